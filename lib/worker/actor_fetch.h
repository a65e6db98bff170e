/*
 * actor_fetch.h: snapshots of agents, read with a bound in bytes.
 */
#ifndef ASQ_WORKER_ACTOR_FETCH_H
#define ASQ_WORKER_ACTOR_FETCH_H

struct asq__actor;
struct asq__partition;
struct asq__process;

void asq__actor_request_load(struct asq__actor *a); /* resumes the actor when it is there */
void asq__fetch_snapshots(struct asq__process *w);  /* at the end of the iteration */
void asq__fetch_drop(struct asq__partition *p);

#endif
