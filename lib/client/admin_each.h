/*
 * admin_each.h: one small command to each of many partitions, without waiting for a reply before
 * the next is sent.
 */
#ifndef ASQ_CLIENT_ADMIN_EACH_H
#define ASQ_CLIENT_ADMIN_EACH_H

#include <hiredis/hiredis.h>
#include <stddef.h>
#include <stdint.h>

#include "asqueue.h"
#include "redis/keys.h"

struct asq__each {
    uint32_t partitions; /* how many there are; a namespace that gets another number ends all */
    uint32_t first, end; /* from first to below end are asked; end 0: all */
    const char *command; /* which only reads, because it may be sent again */
    size_t (*key)(const struct asq__keys *k, uint32_t partition,
                  char *out); /* its first argument */
    size_t n_more;
    const char *more[8]; /* the arguments behind it */
    /* Takes the reply of a partition, which may be an error: the key has another type, or the user
     * lacks the right. Other errors end all. */
    int (*take)(asq *h, uint32_t partition, const redisReply *reply, void *user);
    void *user;
};

/* Asks the partitions, in no certain order. The handle's timeout is for all; deadline_ms above 0:
 * for each some hundred of them, and that time for all. Between asq__admin_begin and
 * asq__admin_end. Errors as of asq__admin_ask, and those of `take`. */
int asq__admin_each(asq *h, const struct asq__each *each, int64_t deadline_ms);

#endif
