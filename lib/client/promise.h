/*
 * promise.h: promises, as Redis has them: how one is settled, and what is read of it. See
 * PROTOCOL.md, "Promises".
 */
#ifndef ASQ_CLIENT_PROMISE_H
#define ASQ_CLIENT_PROMISE_H

#include <hiredis/hiredis.h>
#include <stddef.h>
#include <stdint.h>

#include "asqueue.h"
#include "client/handle.h"
#include "redis/keys.h"
#include "value/buf.h"
#include "value/value.h"

enum { ASQ__SETTLE_TOKEN = 64, ASQ__REJECTION_MAX = 4096 /* bytes of a message that are kept */ };

/* An attempt to settle a promise. What it points at is borrowed. */
struct asq__settlement {
    struct asq__call_id id;
    char id_text[ASQ__CALL_ID_TEXT];
    /* Attempts of one token count as one; "": a method's, whose mode makes one. */
    char token[ASQ__SETTLE_TOKEN];
    int code; /* 0: it is resolved */
    const char *message;
    const void *value; /* encoded */
    size_t value_n;
};

enum { ASQ__SETTLE_ARGS = 11 };
/* The command that settles a promise; it points into itself and the settlement. */
struct asq__settle_command {
    int argc;
    const char *argv[ASQ__SETTLE_ARGS];
    size_t lens[ASQ__SETTLE_ARGS];
    char promise[ASQ__KEY_MAX], jobs[ASQ__KEY_MAX], code[16];
};
void asq__settle_command(const struct asq__keys *keys, const struct asq__settlement *s,
                         struct asq__settle_command *ret);
/* Reads the reply, which is no error. ASQ_EREDIS: it is nothing that the script gives. */
int asq__settle_reply(const redisReply *reply, enum asq__settled *ret);

enum asq__promise_state { ASQ__PROMISE_NONE, ASQ__PROMISE_OPEN, ASQ__PROMISE_SETTLED };

/* Outcome of a promise. Anybody may have written it: what cannot be read is a rejection.
 * */
struct asq__promise_outcome {
    int code;             /* 0: resolved */
    struct asq__buf text; /* of the rejection, with its NUL; or the encoded value; see text.error */
    char maker[ASQ__CALL_ID_TEXT]; /* the call that has made it; "": unknown */
};
/* Reads the first two entries of a promise's stream. *ret is to be released unless there is none.
 * */
enum asq__promise_state asq__promise_read(const redisReply *entries,
                                          struct asq__promise_outcome *ret);
void asq__promise_outcome_release(struct asq__promise_outcome *o);

/* local.c: what local mode has of a promise; *ret_value (NULL: none) and *ret_error are borrowed.
 * */
enum asq__promise_state asq__local_promise(asq *h, const struct asq__call_id *id,
                                           const asq_value **ret_value, const asq_error **ret_error,
                                           const char **ret_maker);

#endif
