/*
 * member.h: decides which partitions this process claims and hands back.
 */
#ifndef ASQ_WORKER_MEMBER_H
#define ASQ_WORKER_MEMBER_H

#include <stdbool.h>
#include <stddef.h>

struct asq__members;
struct asq__process;

int asq__members_new(struct asq__process *w, struct asq__members **ret);
void asq__members_start(struct asq__members *m); /* Redis is up (again) */
/* Returns whether the partitions that this process should hold are decided. */
bool asq__members_have_decided(const struct asq__members *m);
void asq__members_refresh(struct asq__members *m); /* refreshes now, not at the next tick */
/* Handles a message on the channel of workers. False: it is no heartbeat. */
bool asq__members_on_announcement(struct asq__members *m, const char *payload, size_t n);
/* After a wake of the loop, perhaps by the first heartbeat. */
void asq__members_on_wake(struct asq__members *m);
/* Sends one heartbeat at once; its reply says whether to stop. */
void asq__members_heartbeat(struct asq__members *m);
/* Has the others believe soon what the hash of this process says now. */
void asq__members_tell_change(struct asq__members *m);
void asq__members_stop(struct asq__members *m); /* no claims any more; the heartbeat continues */
void asq__members_end(struct asq__members *m);  /* ends the heartbeat; leaves the list of workers */
void asq__members_free(struct asq__members *m);
void asq__members_announce(struct asq__process *w); /* wakes the other workers */

#endif
