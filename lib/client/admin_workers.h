/*
 * admin_workers.h: the list of workers, and whether one is alive.
 */
#ifndef ASQ_CLIENT_ADMIN_WORKERS_H
#define ASQ_CLIENT_ADMIN_WORKERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "asqueue.h"

/* Reads the ids of the workers, dead ones too: a list of strings. */
int asq__admin_worker_ids(asq *h, asq_value **ret);
/* Returns whether an id is that of a worker, or of one of its processes. */
bool asq__admin_is_of_worker(const char *id, const char *worker_id);
/* Has all workers send a heartbeat, whose answer tells each what it is asked. */
int asq__admin_wake_workers(asq *h);
/* Returns the number of a heartbeat's lease_time_ms; 0: it is none. */
int64_t asq__admin_lease_time(const char *text, size_t n);
/* Returns whether the last heartbeat is younger than the lease time, by the TTL of its hash. */
bool asq__admin_is_alive(int64_t lease_ms, int64_t ttl_ms);

#endif
