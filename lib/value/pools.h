/*
 * pools.h: the pools of a namespace: which partitions belong to which pool, and which pool an agent
 * id names. A pool's partitions are numbers in a row that never change, so a table only grows. The
 * text of a table, a line for each pool but the default one, is what the meta hash keeps:
 *
 *     gpu 128 64
 *
 * name, first partition, number of partitions; the pools follow each other without gaps, behind the
 * namespace's own partitions, which are the default pool's. Pure. Any thread may read a table.
 */
#ifndef ASQ_VALUE_POOLS_H
#define ASQ_VALUE_POOLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "asqueue.h"

#define ASQ__MAX_PARTITIONS      16384u
#define ASQ__MAX_PARTITIONS_TEXT "16384"
#define ASQ__POOL_DEFAULT        "default"
/* In place of a list of pools: all, also those that are made later. */
#define ASQ__POOLS_ALL "*"

struct asq__pool {
    char name[ASQ_MAX_POOL + 1];
    uint32_t first, partitions;
};

struct asq__pools {
    struct asq__pools *before; /* of its owner, who frees it */
    uint32_t partitions;       /* of all pools */
    size_t n;
    struct asq__pool list[]; /* the first one is the default pool */
};

/* Returns the bytes of the pool's name at the beginning of an agent id, which ends before a '/'; 0:
 * the id names none, and belongs to the default pool. */
size_t asq__pool_in_id(const char *id);
/* Writes an id as it is in a pool: behind the pool's name and a '/', unless it names a pool itself.
 * pool NULL: as it is. The id is valid; ASQ_EINVAL: it would be too long. */
int asq__pool_into_id(const char *pool, const char *id, char out[ASQ_MAX_ID + 1], char *err,
                      size_t errlen);
/* Checks a pool's name: letters, digits, '_' and '-', a letter first. ASQ_EINVAL, ASQ_ELIMIT, with
 * a text in err. */
int asq__pool_check(const char *name, size_t n, char *err, size_t errlen);

/* Makes the table of a namespace with that many partitions of its own. text: as above; "": no other
 * pools. ASQ_EPROTO: it is no such table, and err says why; ASQ_ENOMEM. */
int asq__pools_read(uint32_t partitions, const char *text, struct asq__pools **ret, char *err,
                    size_t errlen);
/* Returns the pool with a name of n bytes; NULL: there is none. */
const struct asq__pool *asq__pools_find(const struct asq__pools *t, const char *name, size_t n);
/* Returns the pool of a partition; NULL: none has it. */
const struct asq__pool *asq__pools_of(const struct asq__pools *t, uint32_t partition);
/* Returns whether that many partitions are all that the table has, or had when it was shorter. */
bool asq__pools_had(const struct asq__pools *t, uint32_t partitions);
/* Returns whether each pool of `part` is in `whole`, with the same partitions. */
bool asq__pools_include(const struct asq__pools *whole, const struct asq__pools *part);
/* Finds the partition of an agent. False: the table does not have the pool that its id names. */
bool asq__pools_place(const struct asq__pools *t, const char *id, uint32_t *ret_partition);

/* A list of pools is names with commas between them; a name may be followed by ':' and the number
 * of partitions that the pool gets if it is not there: "gpu:64,default". NULL or "": the default
 * pool alone. ASQ__POOLS_ALL: all. */
struct asq__pool_item {
    char name[ASQ_MAX_POOL + 1];
    uint32_t partitions; /* 0: not given */
};

/* Checks a list. ASQ_EINVAL, ASQ_ELIMIT, with a text in err. */
int asq__pool_list_check(const char *list, char *err, size_t errlen);
/* Finds the next pool of a checked list behind *at, which moves on. False: there is none. */
bool asq__pool_list_next(const char **at, struct asq__pool_item *ret);
bool asq__pool_list_has(const char *list, const char *name);
/* Returns the names of a checked list that another one does not have, to be freed; "": none is left.
 * Those of ASQ__POOLS_ALL are the pools of the table. NULL: no memory. */
char *asq__pool_list_without(const char *list, const char *other, const struct asq__pools *t);

#endif
