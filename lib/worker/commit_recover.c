/*
 * commit_recover.c: finds out which commits Redis has taken whose outcome is unknown, and has the
 * others sent again.
 *
 * After each new connection the leases are read: the seq of a lease tells which commits were taken.
 * There the worker also asks whether its calls are still in their streams, because Redis may have
 * lost its last second.
 */
#include <ev.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "redis/cmd.h"
#include "redis/conn.h"
#include "redis/fields.h"
#include "redis/keys.h"
#include "redis/redis.h"
#include "redis/refusal.h"
#include "redis/script.h"
#include "redis/timer.h"
#include "value/decimal.h"
#include "value/list.h"
#include "value/table.h"
#include "worker/commit.h"
#include "worker/commit_end.h"
#include "worker/commit_recover.h"
#include "worker/core/commit_set.h"
#include "worker/core/entry.h"
#include "worker/core/stream_id.h"
#include "worker/nested.h"
#include "worker/partition.h"
#include "worker/process.h"

enum { RETRY_MS = 500 };

struct query {
    struct asq__partition *p;
    uint64_t ownership;
};

/* Returns the partition of a query if the answer still matters; else NULL. */
static struct asq__partition *answered(struct query *q)
{
    struct asq__partition *p = q->p;
    bool current = p->ownership == q->ownership && asq__partition_is_owned(p) && p->recovering;
    free(q);
    if (!current)
        return NULL;
    p->asking = false;
    return p;
}

static void recovered(struct asq__partition *p)
{
    p->recovering = false;
    ASQ__LIST_EACH (it, &p->commits)
        if (asq__commit_give_up_large(p, ASQ__CONTAINER(it, struct asq__commit, node)))
            return;
    p->unsent = 0;
    ASQ__LIST_EACH (it, &p->commits) {
        ASQ__CONTAINER(it, struct asq__commit, node)->sent = false;
        p->unsent++;
    }
    if (p->unsent && asq__list_empty(&p->ready))
        asq__list_add(&p->w->ready, &p->ready);
    asq__nested_resume(p);
    asq__partition_release_if_empty(p);
    asq__partition_resume_later(p);
}

static void on_there(struct asq__conn *conn, const redisReply *reply, void *user)
{
    struct asq__partition *p = answered(user);
    (void) conn;
    if (!p)
        return;
    if (!reply || asq__reply_is_transient(reply))
        asq__commit_recover_later(p);
    else if (reply->type == REDIS_REPLY_INTEGER && reply->integer == 0)
        asq__partition_abandon(p, "Redis has lost a call that this worker had read");
    else
        recovered(p);
}

static void put_id(struct asq__node *node, void *user)
{
    char id[ASQ__STREAM_ID_TEXT];
    asq__stream_id_format(ASQ__CONTAINER(node, struct asq__entry, node)->id, id);
    asq__cmd_puts(user, id);
}

/* Asks whether Redis still has the calls that this worker has. A lost call must have no effect
 * before its caller has sent it again, at another place in the order. */
static void query_entries(struct asq__partition *p)
{
    char key[ASQ__KEY_MAX];
    struct asq__cmd cmd;
    if (p->entries.count == 0) {
        recovered(p);
        return;
    }
    asq__cmd_init(&cmd);
    asq__script_eval(&cmd, asq__script_there, 1);
    asq__cmd_put(&cmd, key, asq__keys_jobs(asq__redis_keys(p->w->redis), p->number, key));
    asq__table_each(&p->entries, put_id, &cmd);
    struct query *q = malloc(sizeof *q);
    if (q) {
        *q = (struct query){ p, p->ownership };
        p->asking = asq__conn_send(asq__redis_conn(p->w->redis, p->number), on_there, q, &cmd) == 0;
    }
    asq__cmd_release(&cmd);
    if (!p->asking) {
        free(q);
        asq__commit_recover_later(p);
    }
}

static void on_lease(struct asq__conn *conn, const redisReply *reply, void *user)
{
    struct asq__partition *p = answered(user);
    (void) conn;
    if (!p)
        return;
    const redisReply *lease = asq__fields_of(reply, 0, 2);
    if (asq__reply_is_error(reply, "NOSCRIPT"))
        asq__redis_reload_scripts(p->w->redis, p->number);
    if (!lease) {
        asq__commit_recover_later(p);
        return;
    }
    const redisReply *token = lease->element[0], *seq = lease->element[1];
    if (token->type != REDIS_REPLY_STRING || strcmp(token->str, p->token) != 0) {
        asq__partition_abandon(p, "its lease holds another token");
        return;
    }
    const char *text = seq->type == REDIS_REPLY_STRING ? seq->str : "0";
    uint64_t held;
    if (!asq__decimal_read(&text, &held) || *text || held > p->seq) {
        asq__commit_foreign_seq(p);
        return;
    }
    if (held < p->acked) {
        /* Redis has lost the tail of its history, so what this worker has in memory is wrong. */
        asq__partition_abandon(p, "Redis has gone back in time");
        return;
    }
    ASQ__LIST_EACH (it, &p->commits) {
        struct asq__commit *c = ASQ__CONTAINER(it, struct asq__commit, node);
        if (c->seq <= held && c->unanswered)
            asq__commit_acknowledge(c);
    }
    if (p->acked != held) {
        /* Refused or unsent commits had no effect, whatever seq somebody writes there. */
        asq__commit_foreign_seq(p);
        return;
    }
    if (asq__partition_is_owned(p)) /* memory may have been short */
        query_entries(p);
}

void asq__commits_begin_recovery(struct asq__process *w)
{
    for (uint32_t i = 0; i < w->nparts; i++)
        if (asq__partition_is_owned(&w->parts[i]))
            w->parts[i].recovering = true;
}

void asq__commits_recover(struct asq__process *w)
{
    char key[ASQ__KEY_MAX];
    bool again = false;
    for (uint32_t i = 0; i < w->nparts; i++) {
        struct asq__partition *p = &w->parts[i];
        if (!p->recovering || p->asking || !asq__partition_is_owned(p))
            continue;
        /* All scripts under way must be answered first, so that what is read is final. */
        struct query *q = p->in_flight ? NULL : malloc(sizeof *q);
        if (!q) {
            again = true;
            continue;
        }
        q->p = p;
        q->ownership = p->ownership;
        asq__keys_lease(asq__redis_keys(w->redis), i, key);
        if (asq__fields_ask(asq__redis_conn(w->redis, i), asq__redis_scripts(w->redis, i), on_lease,
                            q, key, 2, (const char *const[]){ "token", "seq" }) < 0) {
            free(q);
            again = true;
        } else {
            p->asking = true;
        }
    }
    if (again && !ev_is_active(&w->retry)) {
        asq__timer_restart(w->loop, &w->retry, RETRY_MS / 1000., 0.);
    }
}
