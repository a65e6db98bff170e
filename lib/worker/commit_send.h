/*
 * commit_send.h: sends commits.
 */
#ifndef ASQ_WORKER_COMMIT_SEND_H
#define ASQ_WORKER_COMMIT_SEND_H

#include <stdbool.h>

struct asq__partition;
struct asq__process;

int asq__commits_init(struct asq__process *w); /* ASQ_ENOMEM */
void asq__commits_release(struct asq__process *w);
/* Returns whether the server of a partition, a node of a Cluster, has other commits to do. */
bool asq__commits_keep_busy(const struct asq__partition *p);
void asq__commits_send(struct asq__process *w); /* at the end of the iteration */

#endif
