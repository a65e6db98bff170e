/*
 * script.c: see script.h.
 */
#include <string.h>

#include "redis/cmd.h"
#include "redis/refusal.h"
#include "redis/script.h"
#include "redis/scripts_gen.h"

const char *const asq__script_beat = asq__lua_beat;
const char *const asq__script_bury = asq__lua_bury;
const char *const asq__script_own = asq__lua_own;
const char *const asq__script_calls = asq__lua_calls;
const char *const asq__script_dead_list = asq__lua_dead_list;
const char *const asq__script_dead_retry = asq__lua_dead_retry;
const char *const asq__script_move_lock = asq__lua_move_lock;
const char *const asq__script_move_mark = asq__lua_move_mark;
const char *const asq__script_move_seal = asq__lua_move_seal;
const char *const asq__script_move_try = asq__lua_move_try;
const char *const asq__script_move_unseal = asq__lua_move_unseal;
const char *const asq__script_promise_settle = asq__lua_promise_settle;
const char *const asq__script_pool = asq__lua_pool;
const char *const asq__script_permit = asq__lua_permit;
const char *const asq__script_note_death = asq__lua_note_death;
const char *const asq__script_note_heir = asq__lua_note_heir;
const char *const asq__script_died = asq__lua_died;
const char *const asq__script_agent_classes = asq__lua_agent_classes;
const char *const asq__script_blame = asq__lua_blame;
const char *const asq__script_leave = asq__lua_leave;
const char *const asq__script_send = asq__lua_send;
const char *const asq__script_send_fenced = asq__lua_send_fenced;
const char *const asq__script_stats_read = asq__lua_stats_read;
const char *const asq__script_stop = asq__lua_stop;
const char *const asq__script_drain = asq__lua_drain;
const char *const asq__script_taken = asq__lua_taken;
const char *const asq__script_there = asq__lua_there;

const char *asq__script_text(enum asq__script script)
{
    switch (script) {
    case ASQ__SCRIPT_COMMIT: return asq__lua_commit;
    case ASQ__SCRIPT_CLAIM: return asq__lua_claim;
    case ASQ__SCRIPT_RELEASE: return asq__lua_release;
    case ASQ__SCRIPT_LATER: return asq__lua_later;
    case ASQ__SCRIPT_READ: return asq__lua_read;
    case ASQ__SCRIPT_FETCH: return asq__lua_fetch;
    case ASQ__SCRIPT_FIELDS: return asq__lua_fields;
    case ASQ__SCRIPT_PEERS: return asq__lua_peers;
    case ASQ__SCRIPT_LEASES: return asq__lua_leases;
    case ASQ__SCRIPT_STATS: return asq__lua_stats;
    case ASQ__SCRIPT_EMIT: return asq__lua_emit;
    case ASQ__SCRIPT_TIMERS_DUE: return asq__lua_timers_due;
    case ASQ__SCRIPT_TIMERS_FIRE: return asq__lua_timers_fire;
    case ASQ__SCRIPTS: break;
    }
    return NULL;
}

static void on_loaded(struct asq__conn *c, const redisReply *reply, void *user)
{
    char *sha = user;
    (void) c;
    if (reply && reply->type == REDIS_REPLY_STRING && reply->len == 40)
        memcpy(sha, reply->str, 41);
}

/* Handles the reply to a test of EVALSHA. Without EVALSHA every run sends the script's text, which
 * only costs Redis more. */
static void on_evalsha(struct asq__conn *c, const redisReply *reply, void *user)
{
    (void) c;
    if (asq__reply_is_error(reply, NULL) && !asq__reply_is_error(reply, "NOSCRIPT"))
        memset(user, 0, sizeof(struct asq__script_cache));
}

int asq__scripts_load(struct asq__conn *c, struct asq__script_cache *cache)
{
    static const char no_script[] = "0000000000000000000000000000000000000000";
    memset(cache, 0, sizeof *cache);
    for (int i = 0; i < ASQ__SCRIPTS; i++) {
        int rc = asq__conn_cmd(c, on_loaded, cache->sha[i], "SCRIPT", "LOAD",
                               asq__script_text((enum asq__script) i), NULL);
        if (rc < 0)
            return rc;
    }
    return asq__conn_cmd(c, on_evalsha, cache, "EVALSHA", no_script, "0", NULL);
}

void asq__script_eval(struct asq__cmd *cmd, const char *text, size_t nkeys)
{
    asq__cmd_puts(cmd, "EVAL");
    asq__cmd_puts(cmd, text);
    asq__cmd_number(cmd, nkeys);
}

void asq__script_begin(struct asq__cmd *cmd, const struct asq__script_cache *cache,
                       enum asq__script script, size_t nkeys)
{
    if (!cache->sha[script][0]) {
        asq__script_eval(cmd, asq__script_text(script), nkeys);
        return;
    }
    asq__cmd_puts(cmd, "EVALSHA");
    asq__cmd_puts(cmd, cache->sha[script]);
    asq__cmd_number(cmd, nkeys);
}

int asq__script_run(struct asq__conn *c, const struct asq__script_cache *cache,
                    enum asq__script script, asq__reply_fn fn, void *user, size_t nkeys,
                    size_t nargs, const char *const *argv)
{
    struct asq__cmd cmd;
    asq__cmd_init(&cmd);
    asq__script_begin(&cmd, cache, script, nkeys);
    for (size_t i = 0; i < nkeys + nargs; i++)
        asq__cmd_puts(&cmd, argv[i]);
    int rc = asq__conn_send(c, fn, user, &cmd);
    asq__cmd_release(&cmd);
    return rc;
}
