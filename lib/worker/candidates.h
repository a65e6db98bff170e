/*
 * candidates.h: the live workers, what each of them knows, and the owners that partitions should
 * have therefore. core/place.h has the rule.
 */
#ifndef ASQ_WORKER_CANDIDATES_H
#define ASQ_WORKER_CANDIDATES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct asq__partition;
struct asq__place_worker;

struct asq__candidates {
    struct asq__place_worker *workers;
    const char **kinds; /* distinct sets of classes; NULL: every class */
    uint16_t *missing;  /* as asq__place takes it */
    uint32_t *owners;
    size_t n;
    uint32_t nkinds, partitions;
};

/* Where a set of candidates has placed the partitions; zero: nothing. */
struct asq__placed {
    char *workers; /* ids and weights */
    size_t workers_n;
    uint32_t *owners;
};

/* Makes room for `most` workers. ASQ_ENOMEM; asq__candidates_release frees what was made. */
int asq__candidates_init(struct asq__candidates *c, size_t most, uint32_t partitions);
void asq__candidates_release(struct asq__candidates *c);
/* Adds a worker. id and knows must stay; knows NULL: every class. */
void asq__candidates_add(struct asq__candidates *c, const char *id, uint32_t weight,
                         const char *knows);
/* Returns the distinct sets of classes of the workers, sorted, a line each, to be freed; NULL: no
 * memory, or far too many. */
char *asq__candidates_kinds(const struct asq__candidates *c);
/* Places all partitions. placed: the last result, which is taken for the same candidates if all
 * know the same classes, because to find it takes long when both are many. Returns 0 or ASQ_ENOMEM.
 */
int asq__candidates_place(struct asq__candidates *c, const struct asq__partition *parts,
                          struct asq__placed *placed);
void asq__placed_release(struct asq__placed *placed);
/* Returns the id of the worker that should own a partition. */
const char *asq__candidates_best(const struct asq__candidates *c, uint32_t partition);
/* Returns whether some workers lack classes that the partition needs. */
bool asq__candidates_are_few(const struct asq__candidates *c, uint32_t partition);
/* Returns whether no worker has more of the classes that the partition needs than the last one that
 * was added. */
bool asq__candidates_last_is_fit(const struct asq__candidates *c, uint32_t partition);

#endif
