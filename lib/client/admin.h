/*
 * admin.h: what the files that look at a deployment share: one command to Redis, and its answer.
 */
#ifndef ASQ_CLIENT_ADMIN_H
#define ASQ_CLIENT_ADMIN_H

#include <hiredis/hiredis.h>

#include "client/handle.h"

struct asq__question {
    uint32_t partition;
    /* Reads the answer; not called for an error, nor when the connection is lost. */
    int (*take)(asq *h, const redisReply *reply, void *user);
    void *user;
    int argc;
    const char *const *argv;
    const size_t *lens; /* NULL: strings */
    unsigned sent;      /* how often: from the second time on, an earlier one may have been done */
    bool denied;        /* Redis does not know the command, or not for this user */
    bool wrong_type;    /* the key is of another type */
};

/* 0 where there is something to look at; `what` is the name of the public function. From here on the handle's
 * timeout counts. */
int asq__admin_check(asq *h, const char *what);
/* Lets the timeout count from now on again, up to a deadline of the caller's. */
void asq__admin_extend(asq *h, int64_t deadline_ms);
/* Asks and waits, sending again after a lost connection, until the time is up. */
int asq__admin_ask(asq *h, struct asq__question *q);

#endif
