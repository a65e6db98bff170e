/*
 * commit_recover.h: recovers commits whose outcome is unknown.
 */
#ifndef ASQ_WORKER_COMMIT_RECOVER_H
#define ASQ_WORKER_COMMIT_RECOVER_H

struct asq__partition;
struct asq__process;

/* Puts a partition into recovery, if it is owned: no call starts before its lease is read. */
void asq__commits_begin_recovery(struct asq__partition *p);
/* Reads the leases of partitions in recovery, as soon as nothing of them is under way. */
void asq__commits_recover(struct asq__process *w);

#endif
