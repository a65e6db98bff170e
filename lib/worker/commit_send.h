/*
 * commit_send.h: sends commits.
 */
#ifndef ASQ_WORKER_COMMIT_SEND_H
#define ASQ_WORKER_COMMIT_SEND_H

struct asq__process;

void asq__commits_send(struct asq__process *w); /* at the end of the iteration */

#endif
