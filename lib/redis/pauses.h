/*
 * pauses.h: the hash asq:{N}:paused: what an operator has paused, and since when. A field is the
 * name of a class, or "*" for the namespace; its value is the time, Unix ms.
 */
#ifndef ASQ_REDIS_PAUSES_H
#define ASQ_REDIS_PAUSES_H

#include <hiredis/hiredis.h>
#include <stddef.h>
#include <stdint.h>

#include "asqueue.h"

/* The field of the namespace. */
#define ASQ__PAUSE_ALL "*"
/* Message on the channel of the workers when the hash has changed. */
#define ASQ__PAUSE_NEWS "!paused"

enum { ASQ__PAUSES_MAX = 1000 }; /* classes; further ones are refused, and ignored */

struct asq__pause {
    char class_name[ASQ_MAX_NAME + 1]; /* or ASQ__PAUSE_ALL */
    int64_t since_ms;                  /* 0: the field has no time */
};

/* Reads the answer to HGETALL; fields that asqueue would not write are left out. The
 * namespace's is in the list wherever it stands. ASQ_EPROTO: it is no such answer. The caller frees
 * the list. */
int asq__pauses_take(const redisReply *reply, struct asq__pause **ret_list, size_t *ret_n);

#endif
