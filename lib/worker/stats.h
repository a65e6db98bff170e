/*
 * stats.h: a worker process adds what it has measured to the deployment's figures in Redis
 * (stats.lua), when its configuration has `stats`. On the loop.
 */
#ifndef ASQ_WORKER_STATS_H
#define ASQ_WORKER_STATS_H

struct asq__process;
struct asq__stats;

/* Takes what is in the figures, which outlive processes, as told. ASQ_ENOMEM. */
int asq__stats_new(struct asq__process *w, struct asq__stats **ret);
/* Frees it after the connection, whose replies it takes. */
void asq__stats_free(struct asq__stats *s);
/* Tells what is new; called once a second, after asq__measure_sample. */
void asq__stats_upkeep(struct asq__process *w);
/* Tells the rest, because the process is about to end. */
void asq__stats_tell_rest(struct asq__process *w);

#endif
