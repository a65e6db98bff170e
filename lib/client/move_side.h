/*
 * move_side.h: one of the two deployments between which a namespace moves (move.c): connections to
 * all of its servers, and what the hash meta says of the move. Below the handles: a namespace that
 * moves is refused to these.
 */
#ifndef ASQ_CLIENT_MOVE_SIDE_H
#define ASQ_CLIENT_MOVE_SIDE_H

#include <hiredis/hiredis.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "redis/keys.h"
#include "redis/sync_nodes.h"
#include "redis/url.h"

struct asq__cmd;

/* States of a move, in the field move_state of meta. Source: begun, then moved or given up; target:
 * filled, until the fields are removed. */
#define ASQ__MOVE_BEGUN    "begun"
#define ASQ__MOVE_MOVED    "moved"
#define ASQ__MOVE_GIVEN_UP "given-up"
#define ASQ__MOVE_FILLING  "filling"

enum { ASQ__MOVE_TEXT = 600 };

/* The hash meta, as it was read last. */
struct asq__side_meta {
    bool there;
    uint32_t format;
    uint32_t own;        /* partitions of the namespace, without those of pools */
    uint32_t partitions; /* of all pools; 0: it says none, or nothing that makes sense */
    char *pools;         /* as value/pools.h has them; NULL: none */
    char created[32], move[64], state[32], at[32];
    char other[ASQ__MOVE_TEXT]; /* URL of the other side, without its password */
};

struct asq__side {
    const char *role; /* "source" or "target", for texts */
    struct asq__url url;
    char shown[ASQ__MOVE_TEXT]; /* URL without its password */
    struct asq__keys keys;
    size_t home; /* node with the keys of the namespace */
    struct asq__sync_nodes nodes;
    struct asq__side_meta meta;
    struct asq__side_writes {
        size_t n, bytes;
    } * writes; /* [node]: sent or about to be, without a reply */
    char *err;
    size_t errlen;
};

/* Connects. ns NULL: the URL's, else `default_ns`. err gets the text of each failure of the side,
 * and outlives it. A side that failed to open is closed. */
int asq__side_open(struct asq__side *side, const char *role, const char *url, const char *ns,
                   const char *default_ns, int64_t timeout_ms, char *err, size_t errlen);
void asq__side_close(struct asq__side *side); /* also one of zeros */
int asq__side_fail(struct asq__side *side, int code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* ---- commands, each to a node: an index in `nodes` ---- */

size_t asq__side_node_of(const struct asq__side *side, const char *key, size_t n);

/* Sends a command later, with others; its reply is read by asq__side_reply, in order. */
int asq__side_append(struct asq__side *side, size_t node, const struct asq__cmd *cmd);
/* Waits for the next reply, which the caller frees. An error reply fails. */
int asq__side_reply(struct asq__side *side, size_t node, redisReply **ret);
/* Does the same, but an error is a reply like others, for asq__side_refused to fail with. */
int asq__side_reply_or_error(struct asq__side *side, size_t node, redisReply **ret);
int asq__side_refused(struct asq__side *side, const redisReply *reply);
/* Runs one command. ret may be NULL. */
int asq__side_run(struct asq__side *side, size_t node, const struct asq__cmd *cmd,
                  redisReply **ret);
/* Sends a command later of which only success counts, and which asq__side_flush waits for. Not
 * between asq__side_append and its reply. */
int asq__side_write(struct asq__side *side, size_t node, const struct asq__cmd *cmd);
int asq__side_flush(struct asq__side *side);

/* Reads replies that a failure has left unread at the node with the keys of the namespace, so that
 * commands there have their own replies. ASQ_ECONN: the connection is lost. */
int asq__side_settle(struct asq__side *side);

/* ---- the move ---- */

int asq__side_read_meta(struct asq__side *side);
/* Sets n fields of meta (names and values; "": removed) if it has this id and state of a move, by
 * move_mark.lua. 1: done; 0: it has others. */
int asq__side_mark(struct asq__side *side, const char *id, const char *state, size_t n,
                   const char *const *fields);
/* Takes or renews the lock, by move_lock.lua; ttl_ms 0: leaves it. 0; above 0: ms that another
 * process has it for; ASQ_ECANCELED: the move is not in that state any more. */
int asq__side_lock(struct asq__side *side, const char *token, int64_t ttl_ms, const char *id,
                   const char *state);
/* Seal all partitions, and undo that. */
int asq__side_seal(struct asq__side *side, const char *seal);
int asq__side_unseal(struct asq__side *side);

#endif
