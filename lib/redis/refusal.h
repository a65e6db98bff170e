/*
 * refusal.h: classifies error replies of Redis: whether an error passes by itself, and which part
 * has to be changed. Only this module knows Redis' error texts; others ask for the kind.
 */
#ifndef ASQ_REDIS_REFUSAL_H
#define ASQ_REDIS_REFUSAL_H

#include <hiredis/hiredis.h>
#include <stdbool.h>

enum asq__refusal {
    ASQ__REFUSED_NOT, /* no error reply */
    /* The server cannot serve now, is no longer a master, or does not have this slot of a Cluster:
     * LOADING, BUSY, READONLY, MOVED, too many connections, … Passes by itself or after
     * reconnecting, because the address may lead elsewhere. */
    ASQ__REFUSED_FOR_NOW,
    /* The keys of this slot of a Cluster are on their way to another node: ASK, TRYAGAIN. Passes by
     * itself, and concerns no other slot. The command had no effect. */
    ASQ__REFUSED_SLOT,
    ASQ__REFUSED_MEMORY,  /* OOM: passes when memory is freed */
    ASQ__REFUSED_LOGIN,   /* user or password: passes when they are corrected on either side */
    ASQ__REFUSED_KEY,     /* NOPERM: the user lacks a key of the command */
    ASQ__REFUSED_ACCESS,  /* NOPERM: the user lacks the command or a channel */
    ASQ__REFUSED_TYPE,    /* WRONGTYPE: passes when the key is set aside */
    ASQ__REFUSED_SIZE,    /* a string is longer than Redis accepts; does not pass: see limit.h */
    ASQ__REFUSED_COMMAND, /* the command is wrong, or unknown to the server */
};

enum asq__refusal asq__reply_refusal(const redisReply *reply); /* NULL: not refused */

/* Classifies an error text that a script returns for one of its commands. */
enum asq__refusal asq__text_refusal(const char *text);

/* Returns whether the command should be resent later, on a new connection if need be. */
bool asq__reply_is_transient(const redisReply *reply);

/* Returns whether the user lacks a command, a key or a channel, also within a script, or the server
 * lacks the command. */
bool asq__reply_is_denial(const redisReply *reply);
#define ASQ__DENIAL_HINT " (as-ctl acl prints the rights that each user needs)"

/* Returns whether a key of the command, also within a script, holds another type than it has to. */
bool asq__reply_is_wrong_type(const redisReply *reply);

/* Returns the text of an error reply, or a text for NULL or an unexpected type. Borrowed. */
const char *asq__reply_text(const redisReply *reply);
/* Returns whether the reply is the string `text`. */
bool asq__reply_is(const redisReply *reply, const char *text);
bool asq__reply_is_error(const redisReply *reply, const char *prefix); /* prefix NULL: any error */

#endif
