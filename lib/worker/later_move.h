/*
 * later_move.h: moves batches of which nothing can run yet out of the stream, and back.
 */
#ifndef ASQ_WORKER_LATER_MOVE_H
#define ASQ_WORKER_LATER_MOVE_H

#include <stdbool.h>
#include <stddef.h>

struct asq__entry;
struct asq__partition;
struct asq__process;

void asq__later_open(struct asq__partition *p); /* after a claim: looks for waiting batches */
void asq__later_close(struct asq__partition *p);
void asq__later_free(struct asq__partition *p);
void asq__later_move_out(struct asq__entry *e); /* if nothing of it can run for a while */
/* Takes entries whose commit out of the stream is acknowledged, or dropped with the partition.
 * False: there were none. */
bool asq__later_take_moved(struct asq__process *w);
void asq__later_upkeep(struct asq__partition *p); /* once a second */

enum { ASQ__LATER_CHANNELS = 4096 }; /* clients that a Later may name */

/* Restores what the field `later` of its entry keeps. ASQ_EPROTO, ASQ_ENOMEM. */
int asq__later_take(struct asq__entry *e, const void *data, size_t n);
/* Gives `to`, whose calls are not dispatched, what `from` knows of them: a copy of it that has
 * waited outside of the stream. */
void asq__later_take_state(struct asq__entry *to, const struct asq__entry *from);
/* Replaces `from` by `to`, its copy read before the commit that moved `from` out is acknowledged
 * here. Channels and cancels that came since go to `to`. */
void asq__later_take_over(struct asq__entry *from, struct asq__entry *to);

#endif
