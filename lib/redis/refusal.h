/*
 * refusal.h: what an error reply of Redis means for who gets it: does it pass by itself, and who has to
 * do something about it? The one place that knows Redis' error texts; everybody else asks for the kind.
 */
#ifndef ASQ_REDIS_REFUSAL_H
#define ASQ_REDIS_REFUSAL_H

#include <hiredis/hiredis.h>
#include <stdbool.h>

enum asq__refusal {
    ASQ__REFUSED_NOT, /* no error reply */
    /* The server cannot serve now, or is no master any more: LOADING, BUSY, READONLY, MASTERDOWN, no more
     * connections, … Passes by itself, or by connecting again, for the address may lead elsewhere then. */
    ASQ__REFUSED_FOR_NOW,
    ASQ__REFUSED_MEMORY,  /* OOM: passes when memory is freed */
    ASQ__REFUSED_LOGIN,   /* user or password: passes when somebody mends them, here or there */
    ASQ__REFUSED_ACCESS,  /* NOPERM: the user lacks a command, key or channel */
    ASQ__REFUSED_SIZE,    /* a string is longer than Redis takes, and will be the next time: see limit.h */
    ASQ__REFUSED_COMMAND, /* the command itself is wrong, or unknown there */
};

enum asq__refusal asq__reply_refusal(const redisReply *reply); /* NULL: not refused */

/* The same of what a script tells of one of its commands. */
enum asq__refusal asq__text_refusal(const char *text);

/* True for errors after which a command is to be sent again later, on a new connection if need be. */
bool asq__reply_is_transient(const redisReply *reply);

/* True when the user lacks a command, a key or a channel, by itself or within a script, or the server the command. */
bool asq__reply_is_denial(const redisReply *reply);
#define ASQ__DENIAL_HINT " (as-ctl acl prints what each user has to be allowed)"

/* "prefix: text" of an error reply, or a text for NULL or an unexpected type. Borrowed. */
const char *asq__reply_text(const redisReply *reply);
/* Is it this string? */
bool asq__reply_is(const redisReply *reply, const char *text);
bool asq__reply_is_error(const redisReply *reply, const char *prefix); /* prefix NULL: any error */

#endif
