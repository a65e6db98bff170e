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

/* Returns 0 if the handle's mode has a deployment; `what` is the name of the public function.
 * Starts the handle's timeout. */
int asq__admin_check(asq *h, const char *what);
/* Restarts the timeout, limited by a deadline of the caller's. */
void asq__admin_extend(asq *h, int64_t deadline_ms);
/* Sends the command and waits for the reply; resends after a lost connection, until the timeout. */
int asq__admin_ask(asq *h, struct asq__query *q);

#endif
