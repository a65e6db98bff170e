/*
 * script.c: see script.h.
 */
#include "redis/script.h"

#include <stdlib.h>
#include <string.h>

#include "redis/scripts_gen.h"
#include "value/decimal.h"

const char *const asq__script_dead_list = asq__lua_dead_list;
const char *const asq__script_dead_retry = asq__lua_dead_retry;
const char *const asq__script_send = asq__lua_send;

const char *asq__script_text(enum asq__script script)
{
    switch (script) {
    case ASQ__SCRIPT_COMMIT: return asq__lua_commit;
    case ASQ__SCRIPT_CLAIM: return asq__lua_claim;
    case ASQ__SCRIPT_RELEASE: return asq__lua_release;
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

int asq__scripts_load(struct asq__conn *c, struct asq__script_cache *cache)
{
    memset(cache, 0, sizeof *cache);
    for (int i = 0; i < ASQ__SCRIPTS; i++) {
        int rc = asq__conn_cmd(c, on_loaded, cache->sha[i], "SCRIPT", "LOAD",
                               asq__script_text((enum asq__script) i), NULL);
        if (rc < 0)
            return rc;
    }
    return 0;
}

void asq__script_forget(struct asq__script_cache *cache, enum asq__script script)
{
    cache->sha[script][0] = '\0';
}

int asq__script_run(struct asq__conn *c, const struct asq__script_cache *cache,
                    enum asq__script script, asq__reply_fn fn, void *user, int nkeys, int nargs,
                    const char *const *argv, const size_t *lens)
{
    size_t n = (size_t) nkeys + (size_t) nargs;
    const char **all = malloc((n + 3) * sizeof *all);
    size_t *all_lens = malloc((n + 3) * sizeof *all_lens);
    int rc = ASQ_ENOMEM;
    if (all && all_lens) {
        char count[ASQ__DECIMAL_MAX];
        bool known = cache->sha[script][0];
        all[0] = known ? "EVALSHA" : "EVAL";
        all[1] = known ? cache->sha[script] : asq__script_text(script);
        all_lens[2] = asq__decimal((uint64_t) nkeys, count);
        all[2] = count;
        all_lens[0] = strlen(all[0]);
        all_lens[1] = strlen(all[1]);
        memcpy(all + 3, argv, n * sizeof *argv);
        memcpy(all_lens + 3, lens, n * sizeof *lens);
        rc = asq__conn_argv(c, fn, user, (int) n + 3, all, all_lens);
    }
    free(all);
    free(all_lens);
    return rc;
}
