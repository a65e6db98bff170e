/*
 * commit_end.h: how a commit ends: Redis has taken it, or its partition is lost.
 */
#ifndef ASQ_WORKER_COMMIT_END_H
#define ASQ_WORKER_COMMIT_END_H

#include <stdbool.h>

struct asq__commit;
struct asq__partition;

/* Frees a commit that Redis has taken, and what waits for that. */
void asq__commit_acknowledge(struct asq__commit *c);
/* Frees all commits of a partition that is lost. */
void asq__commits_drop(struct asq__partition *p);
/* Gives up a partition whose commit has a string that Redis never takes. Its calls run again from
 * what Redis has, and the call that makes such a string fails then, because the limit is known by
 * now. False: all strings are short enough. */
bool asq__commit_give_up_large(struct asq__partition *p, const struct asq__commit *c);
/* Gives up a partition whose lease has a seq that no commit of this owner gave it. */
void asq__commit_foreign_seq(struct asq__partition *p);

#endif
