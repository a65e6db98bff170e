/*
 * later_script.h: the script later.lua for batches that wait outside of the stream, and the state
 * that its users share. It also stores the clock of the partition each time.
 */
#ifndef ASQ_WORKER_LATER_SCRIPT_H
#define ASQ_WORKER_LATER_SCRIPT_H

#include <ev.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "redis/cmd.h"
#include "redis/reply.h"
#include "value/list.h"

struct asq__partition;
struct asq__process;

struct asq__later {
    struct asq__partition *part;
    ev_timer timer; /* the next query */
    bool querying;
    bool maybe;    /* batches may wait there, or be in the stream again */
    uint64_t puts; /* batches moved there by this process */
    int64_t last_logged_ms;
    struct asq__list cancels; /* of later_ask.c, to be repeated */
};

/* False: no batch waits there, or has waited there and is not done. */
bool asq__later_may_have(const struct asq__partition *p);
/* Begins the command, up to the batches asked about. The script moves at most `batches` due
 * ones. */
void asq__later_script(struct asq__partition *p, struct asq__cmd *cmd, size_t batches);
/* Returns whether the reply answers a query about n batches. False: the fault was handled, which
 * may have cost the partition; ask again. */
bool asq__later_answered(struct asq__partition *p, const redisReply *reply, size_t n);
void asq__later_keep_clock(struct asq__partition *p); /* stores it for the next owner */
/* Stores all of them after the clock of Redis was set. */
void asq__later_keep_clocks(struct asq__process *w);

#endif
