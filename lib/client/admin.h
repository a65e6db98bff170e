/*
 * admin.h: one command to Redis and its reply, for the files that look at a deployment.
 */
#ifndef ASQ_CLIENT_ADMIN_H
#define ASQ_CLIENT_ADMIN_H

#include <hiredis/hiredis.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "asqueue.h"

/* Partition of a query about keys of the namespace. */
#define ASQ__NO_PARTITION UINT32_MAX

struct asq__query {
    uint32_t partition; /* whose keys the command has; or ASQ__NO_PARTITION */
    /* Reads the reply; not called for an error, or when the connection is lost. NULL: any reply
     * will do. */
    int (*take)(asq *h, const redisReply *reply, void *user);
    void *user;
    int argc;
    const char *const *argv;
    const size_t *lens; /* NULL: strings */
    bool replicate;     /* the reply counts when the replicas that the handle waits for have what it
                         * stands on; asked again, and read again, when that cannot be told */
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
/* The same for a command of strings, with a query of its own. */
int asq__admin_command(asq *h, uint32_t partition, int (*take)(asq *, const redisReply *, void *),
                       void *user, int argc, const char *const *argv);
/* For a query whose answer is a number, in the int64_t that `user` points to. */
int asq__admin_take_int(asq *h, const redisReply *reply, void *user);
/* Makes text for display; invalid UTF-8 gets a '?' for each byte that is not ASCII. NULL: no
 * memory. */
asq_value *asq__admin_text(const char *s, size_t n);
/* Fails because a callback closed the handle: ASQ_ECLOSED. */
int asq__admin_closed(asq *h);
/* Fails with ASQ_EREDIS when the namespace does not have this number of partitions any more. It may
 * change in each wait. */
int asq__admin_check_partitions(asq *h, uint32_t partitions);

#endif
