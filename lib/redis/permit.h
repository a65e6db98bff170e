/*
 * permit.h: may this user run what a worker needs? Asked whenever a worker's connection comes up, because
 * a commit that Redis refuses half-way cannot be undone. What is refused is named, so that an operator
 * can add it to the user's rules (as-ctl acl prints them all).
 */
#ifndef ASQ_REDIS_PERMIT_H
#define ASQ_REDIS_PERMIT_H

#include "redis/conn.h"
#include "redis/keys.h"

/* Asks on `c`; the reply that fn gets is for asq__permit_refusal. 0 or as asq__conn_send. */
int asq__permit_ask(struct asq__conn *c, const struct asq__keys *keys, asq__reply_fn fn,
                    void *user);

/* Writes what is refused, by name and with what to do, or "" if nothing is. */
void asq__permit_refusal(const redisReply *reply, char *out, size_t size);

#endif
