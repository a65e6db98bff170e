/*
 * start_log.h: the line with which a worker begins its log: what runs here, and for whom.
 */
#ifndef ASQ_WORKER_START_LOG_H
#define ASQ_WORKER_START_LOG_H

struct asq__supervisor;

/* Logs the version, Redis (without its password), the namespace, the capacity, and the plugins with
 * their classes. */
void asq__start_log(const struct asq__supervisor *s);

#endif
