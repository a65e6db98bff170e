/*
 * script.h: runs the scripts (*.lua, embedded by the build): by EVALSHA once a connection has
 * loaded them, by EVAL before. For a script that it has forgotten (SCRIPT FLUSH), Redis replies
 * NOSCRIPT and changes nothing; further runs send the text, until all scripts are loaded again.
 */
#ifndef ASQ_REDIS_SCRIPT_H
#define ASQ_REDIS_SCRIPT_H

#include <stddef.h>

#include "redis/conn.h"

struct asq__cmd;
struct asq__conn;

enum asq__script {
    ASQ__SCRIPT_COMMIT,
    ASQ__SCRIPT_CLAIM,
    ASQ__SCRIPT_RELEASE,
    ASQ__SCRIPT_LATER,
    ASQ__SCRIPT_READ,
    ASQ__SCRIPT_FETCH,
    ASQ__SCRIPT_FIELDS,
    ASQ__SCRIPT_PEERS,
    ASQ__SCRIPT_LEASES,
    ASQ__SCRIPT_STATS,
    ASQ__SCRIPT_EMIT,
    ASQ__SCRIPT_TIMERS_DUE,
    ASQ__SCRIPT_TIMERS_FIRE,
    ASQ__SCRIPTS
};

/* Scripts run for operators, rarely: always by EVAL, never loaded. So are all below. */
extern const char *const asq__script_calls;
extern const char *const asq__script_dead_list, *const asq__script_dead_retry;
extern const char *const asq__script_stats_read;
/* Run by who moves a namespace to another Redis; see lib/client/move.c. */
extern const char *const asq__script_move_lock, *const asq__script_move_mark;
extern const char *const asq__script_move_seal, *const asq__script_move_unseal;
extern const char *const asq__script_move_try;
/* Run by who meets a pool that it does not know. */
extern const char *const asq__script_pool;
/* Run by who settles a promise. */
extern const char *const asq__script_promise_settle;
/* Run by a supervisor for a process that has died. */
extern const char *const asq__script_died;
/* Run by an owner, now and then; see recount.h. */
extern const char *const asq__script_agent_classes;
/* Run for a commit that stays refused. */
extern const char *const asq__script_blame;
/* Run by the thread that sends heartbeats, on a connection of its own. */
extern const char *const asq__script_beat;
/* Run by a process that ends, or by its supervisor. */
extern const char *const asq__script_leave;
/* Run for each nested batch. A NOSCRIPT reply would let later batches overtake. */
extern const char *const asq__script_send, *const asq__script_send_fenced;
/* Run when a worker connects; see permit.h. */
extern const char *const asq__script_permit;
/* Run after a lost connection. */
extern const char *const asq__script_taken, *const asq__script_there;
/* Run when a worker process has died, and when its partitions are taken over: they keep the hash of
 * deaths, for people. */
extern const char *const asq__script_note_death, *const asq__script_note_heir;
/* Run when a worker has died, a lease was overwritten, or a worker is asked to stop. */
extern const char *const asq__script_bury, *const asq__script_own, *const asq__script_stop;
extern const char *const asq__script_drain;

/* Scripts known to one connection; zeroed when it comes up. */
struct asq__script_cache {
    char sha[ASQ__SCRIPTS][41]; /* "" while unknown */
};

const char *asq__script_text(enum asq__script script);

/* Loads all scripts into Redis; the replies fill the cache. The cache must outlive the connection,
 * or its callbacks. */
int asq__scripts_load(struct asq__conn *c, struct asq__script_cache *cache);

/* Begins a command that runs a script. The caller appends its nkeys keys, then its arguments. */
void asq__script_begin(struct asq__cmd *cmd, const struct asq__script_cache *cache,
                       enum asq__script script, size_t nkeys);
/* Begins an EVAL of a script that is never loaded. */
void asq__script_eval(struct asq__cmd *cmd, const char *text, size_t nkeys);
/* Runs a script whose keys and arguments are strings: nkeys + nargs of them. */
int asq__script_run(struct asq__conn *c, const struct asq__script_cache *cache,
                    enum asq__script script, asq__reply_fn fn, void *user, size_t nkeys,
                    size_t nargs, const char *const *argv);

#endif
