/*
 * ownership.h: what a process does about one partition, from the lease as last read, the placement
 * and what is known of the members. A partition is claimed where it is placed, and by any candidate
 * once it was free for long, because views of membership may differ. Also by a process that lacks
 * classes, if the lease names it though it has forgotten the partition: no other one claims what a
 * live worker holds. It is handed over only to a member that has proved itself alive, unless this
 * process does not serve its pool: then it is handed back, whoever comes. Pure.
 */
#ifndef ASQ_WORKER_CORE_OWNERSHIP_H
#define ASQ_WORKER_CORE_OWNERSHIP_H

#include <stdbool.h>
#include <stdint.h>

/* The token in the lease, as last read. */
enum asq__lease_token {
    ASQ__LEASE_NONE,   /* none: released, deleted, or no hash */
    ASQ__LEASE_OURS,   /* the token of this process */
    ASQ__LEASE_ANOTHER /* the token of another claim */
};

struct asq__ownership {
    bool owned;   /* this process works for it */
    bool active;  /* owned, and not draining */
    bool idle;    /* this process has nothing to do with it */
    bool ours;    /* placed at this process */
    bool fit;     /* no worker has more of the classes that it needs, or the lease names this one */
    bool proven;  /* the member where it is placed has proved itself alive */
    bool foreign; /* this process does not serve its pool, any more */
    bool is_held; /* the lease names a live owner other than this process */
    enum asq__lease_token token;
};

enum asq__ownership_step {
    ASQ__OWNERSHIP_LEAVE, /* nothing is to be done */
    ASQ__OWNERSHIP_CLAIM,
    ASQ__OWNERSHIP_CANCEL,    /* a claim that was not sent yet is cancelled */
    ASQ__OWNERSHIP_DRAIN,     /* it is placed elsewhere */
    ASQ__OWNERSHIP_LOST,      /* the lease is gone */
    ASQ__OWNERSHIP_SUPERSEDED /* another claim was granted */
};

/* Decides. *unowned_since_ms: since when this process has seen it without an owner; 0: it has
 * not. */
enum asq__ownership_step asq__ownership_decide(const struct asq__ownership *o, int64_t now_ms,
                                               int64_t lease_time_ms, int64_t *unowned_since_ms);

#endif
