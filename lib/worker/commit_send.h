/*
 * commit_send.h: sends commits, and recovers those whose outcome is unknown.
 */
#ifndef ASQ_WORKER_COMMIT_SEND_H
#define ASQ_WORKER_COMMIT_SEND_H

struct asq__partition;
struct asq__process;

void asq__commits_send(struct asq__process *w); /* at the end of the iteration */
/* Puts all owned partitions into recovery: no call starts before the leases are read. */
void asq__commits_doubt(struct asq__process *w);
void asq__commits_recover(struct asq__process *w);
void asq__commits_drop(struct asq__partition *p);

#endif
