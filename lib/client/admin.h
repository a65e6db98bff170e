/*
 * admin.h: one command to Redis and its reply, for the files that look at a deployment.
 */
#ifndef ASQ_CLIENT_ADMIN_H
#define ASQ_CLIENT_ADMIN_H

#include <hiredis/hiredis.h>

#include "client/handle.h"

struct asq__query {
    uint32_t partition;
    /* Reads the reply; not called for an error, or when the connection is lost. */
    int (*take)(asq *h, const redisReply *reply, void *user);
    void *user;
    int argc;
    const char *const *argv;
    const size_t *lens; /* NULL: strings */
    unsigned sent;      /* times sent; above 1: an earlier one may have taken effect */
    bool denied;        /* Redis does not know the command, or denies it to this user */
    bool wrong_type;    /* the key has another type */
};

/* Begins a public function, whose name is `what`, if the handle's mode has a deployment. Starts the
 * handle's timeout. Until asq__admin_end the handle stays, although a callback of an attached loop
 * may close it: asq__admin_ask then gives ASQ_ECLOSED. */
int asq__admin_begin(asq *h, const char *what);
/* Ends what asq__admin_begin has begun; returns rc. A handle that was closed is gone after it. */
int asq__admin_end(asq *h, int rc);
/* Restarts the timeout, limited by a deadline of the caller's. */
void asq__admin_extend(asq *h, int64_t deadline_ms);
/* Sends the command and waits for the reply; resends after a lost connection, until the timeout.
 * ASQ_ECLOSED: the handle was closed meanwhile. */
int asq__admin_ask(asq *h, struct asq__query *q);
/* Reads the ids of the workers, dead ones too: a list of strings. */
int asq__admin_worker_ids(asq *h, asq_value **ret);
/* Returns the number of a heartbeat's lease_time_ms; 0: it is none. */
int64_t asq__admin_lease_time(const char *text, size_t n);
/* Returns whether the last heartbeat is younger than the lease time, by the TTL of its hash. */
bool asq__admin_is_alive(int64_t lease_ms, int64_t ttl_ms);

#endif
