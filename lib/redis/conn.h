/*
 * conn.h: one pipelined connection to one Redis server, on a libev loop. The connection connects,
 * authenticates, and reconnects with jittered backoff when it is lost, until it is freed. Nothing
 * is queued while it is down: its user resends from `up`, and knows which commands may be sent
 * twice.
 *
 * Connections for threads that wait for each reply are in sync.h.
 *
 * States: WAITING (for the next try) → CONNECTING → GREETING (AUTH, SELECT, …) → UP → WAITING …
 *
 * Every command's callback is called exactly once: with the reply, or with NULL when the connection
 * was lost or freed before it came. Replies are borrowed for the callback. Callbacks may send
 * commands and free the connection.
 */
#ifndef ASQ_REDIS_CONN_H
#define ASQ_REDIS_CONN_H

#include <ev.h>
#include <hiredis/hiredis.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct asq__cmd;
struct asq__conn;
struct asq__host;
struct asq__url;
struct ev_loop;

typedef void (*asq__reply_fn)(struct asq__conn *c, const redisReply *reply, void *user);

struct asq__conn_config {
    struct ev_loop *loop;
    const struct asq__url *url;   /* outlives the connection */
    const struct asq__host *host; /* copied; NULL: the URL's */
    const char *name;             /* for CLIENT SETNAME; copied */
    bool idle;                    /* never connects: stands for a server that is not known */
    bool subscriber;              /* every reply after the greeting goes to `push` */
    /* Gives up after the first failure to connect, and calls `down`, unless the failure passes by
     * itself (ASQ_EBUSY). */
    bool once;
    size_t read_size; /* bytes of the input buffer; 0: the default */
    int64_t connect_timeout_ms;
    /* The connection counts as lost when the oldest command waits longer; 0: never. A confirmation
     * is the reply to a subscriber's command. */
    int64_t reply_timeout_ms;
    void (*up)(struct asq__conn *c, void *user);
    /* Called when the connection is lost or cannot be made; why is a text. ASQ_ECONN; ASQ_EBUSY:
     * Redis answers, but cannot serve now; ASQ_EAUTH: user or password are refused; ASQ_EINVAL: the
     * URL is wrong about the kind of server, or its Sentinels do not know the master; ASQ_EREDIS:
     * another error reply. */
    void (*down)(struct asq__conn *c, int code, const char *why, void *user);
    void (*push)(struct asq__conn *c, const redisReply *reply, void *user);
    /* Called with each error reply to a command before the command's callback is. True: the server
     * does not serve what it was asked for, and the connection is lost for that. The command is
     * then answered with NULL, as those behind it. May be NULL. */
    bool (*refused)(struct asq__conn *c, const redisReply *reply, void *user);
    void *user;
};

int asq__conn_new(const struct asq__conn_config *config, struct asq__conn **ret);
/* Calls pending callbacks with NULL, but not `down`. */
void asq__conn_free(struct asq__conn *c);
bool asq__conn_is_up(const struct asq__conn *c);
/* Returns whether it leads, or has led last, to a server that is no longer the master, by what the
 * URL's Sentinels have told. */
bool asq__conn_is_outdated(const struct asq__conn *c);
/* Drops the connection, or ends its waiting for the next try, and connects again at once: the
 * server is known to be elsewhere. */
void asq__conn_move(struct asq__conn *c, const char *why);
/* Leads it to another host than before, from the next connection on. ASQ_ENOMEM. */
int asq__conn_set_host(struct asq__conn *c, const struct asq__host *host);
/* Moves its watchers to another loop. */
void asq__conn_set_loop(struct asq__conn *c, struct ev_loop *loop);
/* Loses a connection that is not up yet, and tells `down` what it has waited for. For callers whose
 * own time is up: the timer of the connection may be a moment behind. */
void asq__conn_give_up(struct asq__conn *c);
/* Drops the connection as if it had been lost; it connects again. */
void asq__conn_drop(struct asq__conn *c, const char *why);
/* Does the same with a code for `down`: a reply is a reason not to be up. */
void asq__conn_fail(struct asq__conn *c, int code, const char *why);

/* Appends a command; the loop writes it, or asq__conn_flush. fn may be NULL. On failure fn is not
 * called. Errors: ASQ_ECONN (not up), ASQ_ENOMEM, ASQ_ELIMIT (too much is waiting). lens NULL: the
 * arguments are strings. */
int asq__conn_argv(struct asq__conn *c, asq__reply_fn fn, void *user, int argc,
                   const char *const *argv, const size_t *lens);
/* Appends a command of string arguments, ended by NULL. */
int asq__conn_cmd(struct asq__conn *c, asq__reply_fn fn, void *user, ...) __attribute__((sentinel));
/* Appends a command built with cmd.h; also returns the error of building it: ASQ_ENOMEM,
 * ASQ_ELIMIT. */
int asq__conn_send(struct asq__conn *c, asq__reply_fn fn, void *user, const struct asq__cmd *cmd);
/* Writes as much as the socket accepts now. */
void asq__conn_flush(struct asq__conn *c);
/* Returns whether the other end is on this machine, as far as that is known. */
bool asq__conn_is_local(const struct asq__conn *c);
/* Return the bytes not written yet, and the commands without a reply. */
size_t asq__conn_unwritten(const struct asq__conn *c);
size_t asq__conn_unanswered(const struct asq__conn *c);
/* Returns for how long the oldest command has waited for its reply; 0: none does. */
int64_t asq__conn_waits_ms(const struct asq__conn *c);
/* Returns the connection's id in Redis (CLIENT ID), 0 while not up. */
long long asq__conn_redis_id(const struct asq__conn *c);

#endif
