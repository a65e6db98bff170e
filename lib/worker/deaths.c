/*
 * deaths.c: see deaths.h.
 */
#include "worker/deaths.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "asqueue.h"
#include "redis/conn.h"
#include "redis/keys.h"
#include "redis/redis.h"
#include "redis/script.h"
#include "value/clock.h"
#include "value/table.h"
#include "worker/peers.h"
#include "worker/process.h"

/* A script that is under way. The peer may be forgotten before its answer comes, so it is looked up
 * by its id. */
struct note {
    struct asq__table *peers;
    bool dead;
    char id[];
};

struct names {
    char deaths[ASQ__KEY_MAX], workers[ASQ__KEY_MAX], worker[ASQ__KEY_MAX];
};

static void name_keys(struct asq__process *w, const char *id, struct names *ret)
{
    const struct asq__keys *keys = asq__redis_keys(w->redis);
    asq__keys_worker_deaths(keys, ret->deaths);
    asq__keys_workers(keys, ret->workers);
    asq__keys_worker(keys, id, ret->worker);
}

/* Without a reply, or with an error, it is sent again. */
static void on_noted(struct asq__conn *c, const redisReply *reply, void *user)
{
    struct note *note = user;
    (void) c;
    struct asq__peer *p = asq__peers_find(note->peers, note->id);
    if (p)
        p->noting = false;
    if (p && reply && reply->type == REDIS_REPLY_INTEGER)
        p->noted = note->dead;
    free(note);
}

static struct note *new_note(struct asq__table *peers, const char *id, bool dead)
{
    struct note *note = malloc(sizeof *note + strlen(id) + 1);
    if (!note)
        return NULL;
    note->peers = peers;
    note->dead = dead;
    strcpy(note->id, id);
    return note;
}

void asq__death_note(struct asq__process *w, struct asq__table *peers, struct asq__peer *p)
{
    struct names key;
    char silent[24] = "", heartbeat[24];
    bool dead = p->missed;
    struct note *note = p->noting || p->noted == dead ? NULL : new_note(peers, p->id, dead);
    if (!note)
        return;
    name_keys(w, p->id, &key);
    snprintf(heartbeat, sizeof heartbeat, "%lld", p->heartbeat);
    if (dead)
        snprintf(silent, sizeof silent, "%lld", (long long) (asq__now_ms() - p->moved_ms));
    p->noting =
        asq__conn_cmd(asq__redis_home(w->redis), on_noted, note, "EVAL", asq__script_note_death,
                      "3", key.deaths, key.workers, key.worker, p->id, p->client, p->host, p->pid,
                      w->config.id, dead ? "silent_ms" : "heard", silent, heartbeat, NULL) == 0;
    if (!p->noting)
        free(note);
}

void asq__heir_note(struct asq__process *w, const char *owner, const char *client, unsigned n,
                    uint64_t epoch)
{
    struct names key;
    char count[16], highest[24];
    name_keys(w, owner, &key);
    snprintf(count, sizeof count, "%u", n);
    snprintf(highest, sizeof highest, "%llu", (unsigned long long) epoch);
    asq__conn_cmd(asq__redis_home(w->redis), NULL, NULL, "EVAL", asq__script_note_heir, "3",
                  key.deaths, key.workers, key.worker, owner, w->config.id, count, highest, client,
                  NULL);
}
