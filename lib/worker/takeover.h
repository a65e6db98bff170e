/*
 * takeover.h: tells the log and Redis what this process has taken over from workers that are gone.
 * Which partitions go to whom is decided in member.c.
 */
#ifndef ASQ_WORKER_TAKEOVER_H
#define ASQ_WORKER_TAKEOVER_H

struct asq__partition;
struct asq__peer;
struct asq__process;

/* Notes whose partition is about to be claimed; owner "" or NULL: nobody's. peer: what is known of
 * the owner, or NULL. */
void asq__takeover_expect(struct asq__partition *p, const char *owner,
                          const struct asq__peer *peer);
/* Counts the partition, whose claim was granted. */
void asq__takeover_count(struct asq__partition *p);
/* Tells what was counted since the last time. */
void asq__takeovers_tell(struct asq__process *w);
void asq__takeovers_release(struct asq__process *w);

#endif
