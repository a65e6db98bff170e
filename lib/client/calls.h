/*
 * calls.h: the calls of a deployment that have not ended.
 *
 *     calls.c         goes through the partitions, and decides what state a call is in
 *     calls_page.c    reads batches from a partition's stream and from `later`, a page at a time
 *     calls_report.c  asks the workers which calls run, are parked, or wait for a special reason
 */
#ifndef ASQ_CLIENT_CALLS_H
#define ASQ_CLIENT_CALLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "asqueue.h"
#include "value/arena.h"
#include "value/msg.h"

/* ---- Reports of workers ---- */

/* A call as the owner of its partition reports it. */
struct asq__reported {
    char *id;
    const char *agent; /* in the row */
    asq_value *row;    /* {id, state, agent, class, method, age_ms, why, …} */
};

struct asq__report_reader {
    char nonce[33]; /* "": workers cannot be asked */
    int64_t asked_ms;
    char last_owner[ASQ_MAX_ID + 1]; /* of the last partition, and whether it has answered */
    bool last_answered;
    struct asq__reported *calls; /* of the partition, sorted by id */
    size_t n, room;
    const struct asq__reported **begun; /* those that run or are parked, sorted by agent */
    size_t n_begun, begun_room;
    bool partial; /* the owner has not answered, or has left some out */
};

/* Asks all workers; a denial is no failure. */
int asq__report_ask(asq *h, struct asq__report_reader *r);
/* Reads what the owner of a partition tells of it. owner "": there is none. */
int asq__report_read(asq *h, struct asq__report_reader *r, uint32_t partition, const char *owner);
/* Returns what is told of a call; NULL: nothing. */
const struct asq__reported *asq__report_find(const struct asq__report_reader *r, const char *id);
/* Returns a call of the agent that runs or is parked; NULL: none is told. */
const struct asq__reported *asq__report_begun(const struct asq__report_reader *r,
                                              const char *agent);
void asq__report_release(struct asq__report_reader *r);

/* ---- Pages ---- */

/* A batch, decoded and checked. */
struct asq__listed {
    struct asq__arena arena;     /* of what follows */
    const Asqueue__Batch *batch; /* NULL: undecodable */
    const Asqueue__Later *later; /* or NULL */
    uint64_t first;              /* ms of the entry's id; of a batch in `later`, when it is due */
    bool has_record;             /* some of its calls may have ended */
    bool cut;                    /* further jobs were left out */
};

struct asq__page_reader {
    uint32_t partition;
    bool later;      /* reads `later`, not the stream */
    bool plain;      /* scripts are denied: whole batches are read */
    char from[64];   /* where the next page begins; "": at the beginning */
    unsigned wanted; /* plain: batches at a time */
    bool more;       /* another page follows */
    struct asq__listed *batches;
    size_t n, room;
};

/* Finds which of the namespace's partitions have batches: *ret has flags for each, freed by the
 * caller. Batches that come meanwhile may be missed. */
enum { ASQ__CALLS_IN_STREAM = 1, ASQ__CALLS_IN_LATER = 2 };
int asq__calls_find(asq *h, uint32_t partitions, int64_t deadline_ms, uint8_t **ret);
/* Reads the next page in place of the last one. */
int asq__page_read(asq *h, struct asq__page_reader *r);
void asq__page_release(struct asq__page_reader *r);

#endif
