/*
 * redis_events.h: a worker process and its Redis.
 */
#ifndef ASQ_WORKER_REDIS_EVENTS_H
#define ASQ_WORKER_REDIS_EVENTS_H

#include <stddef.h>

struct asq__process;

/* Makes the process's deployment, which connects while the loop runs. */
int asq__process_connect(struct asq__process *w, char *err, size_t errlen);
/* Logs a change of the eviction policy, and asks for it now and then. A running worker continues,
 * because memory may never be short. */
void asq__process_check_policy(struct asq__process *w);
/* Resumes the intake and the calls of each partition, after something that held all of them up. */
void asq__process_resume_all(struct asq__process *w);

#endif
