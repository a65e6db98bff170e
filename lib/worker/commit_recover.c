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
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "redis/barrier.h"
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
#include "worker/agent_signals.h"
#include "worker/commit.h"
#include "worker/commit_end.h"
#include "worker/commit_recover.h"
#include "worker/core/commit_set.h"
#include "worker/core/entry.h"
#include "worker/core/stream_id.h"
#include "worker/nested.h"
#include "worker/partition.h"
#include "worker/process.h"
#include "worker/process_log.h"
#include "worker/push.h"
#include "worker/steps.h"

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
    p->must_have = (struct asq__stream_id){ 0, 0 };
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
    asq__steps_resume(p);
    asq__agent_signals_resume(p);
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
 * before its caller has sent it again, at another place in the order.
 *
 * It also asks for the last entry that was read. A Redis that has gone back has lost the end of
 * what was written, so this entry tells of all before it: of those that were left in the stream,
 * and of the numbers that their senders have used. And if its clock is behind that of the Redis
 * before, it gives out ids below that entry's again, which would never be read. */
static void query_entries(struct asq__partition *p)
{
    char key[ASQ__KEY_MAX], last[ASQ__STREAM_ID_TEXT];
    bool has_last = !asq__partition_may_read(p);
    struct asq__cmd cmd;
    if (p->entries.count == 0 && !has_last) {
        recovered(p);
        return;
    }
    asq__cmd_init(&cmd);
    asq__script_eval(&cmd, asq__script_there, 1);
    asq__cmd_put(&cmd, key, asq__keys_jobs(asq__redis_keys(p->w->redis), p->number, key));
    asq__table_each(&p->entries, put_id, &cmd);
    if (has_last) {
        asq__stream_id_format(p->must_have, last);
        asq__cmd_puts(&cmd, last);
    }
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

/* Acknowledges what Redis has up to the seq in the lease, and asks for the entries next. */
static void take_commits(struct asq__partition *p, uint64_t held)
{
    ASQ__LIST_EACH (it, &p->commits) {
        struct asq__commit *c = ASQ__CONTAINER(it, struct asq__commit, node);
        if (c->seq > held || !c->unanswered)
            continue;
        if (p->w->config.wait_replicas)
            asq__push_results(c);
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

struct replicas_query {
    struct query query; /* first, because answered() frees it */
    uint64_t held;
};

static void on_replicas(bool on_replicas, void *user)
{
    struct replicas_query *q = user;
    uint64_t held = q->held;
    struct asq__partition *p = answered(&q->query);
    if (p && on_replicas)
        take_commits(p, held);
    else if (p)
        asq__commit_recover_later(p);
}

/* Waits for replicas if commits that nobody has been told of are in Redis. False: there is nothing
 * to wait for. */
static bool wait_for_replicas(struct asq__partition *p, uint64_t held)
{
    struct asq__barrier *barrier = asq__redis_barrier(p->w->redis, p->number);
    bool untold = false;
    ASQ__LIST_EACH (it, &p->commits) {
        const struct asq__commit *c = ASQ__CONTAINER(it, struct asq__commit, node);
        untold |= c->seq <= held && c->unanswered;
    }
    if (!barrier || !untold)
        return false;
    struct replicas_query *q = malloc(sizeof *q);
    if (q)
        *q = (struct replicas_query){ { p, p->ownership }, held };
    p->asking = q && asq__barrier_wait(barrier, p->number, false, on_replicas, q) == 0;
    if (!p->asking) {
        free(q);
        asq__commit_recover_later(p);
    }
    return true;
}

/* Abandons a partition whose lease is older than what Redis has acknowledged: it has lost the tail
 * of its history, so what this worker has in memory is wrong, and callers may have been told
 * results whose effects are gone. commits: how many are lost; 0: the claim alone is. */
static void abandon_lost(struct asq__partition *p, uint64_t commits)
{
    char why[160] = "Redis has gone back in time, to before this claim";
    struct asq__process *w = p->w;
    if (commits) {
        w->lost_now += commits;
        w->lost_partitions++;
        atomic_fetch_add(&w->lost_commits, commits);
        snprintf(why, sizeof why,
                 "Redis has gone back in time, and has lost %llu of its acknowledged commits",
                 (unsigned long long) commits);
    }
    asq__partition_abandon(p, why);
}

/* Logs what all partitions together have lost, once for each connection. */
static void log_lost(struct asq__process *w)
{
    if (w->lost_partitions)
        asq__process_log(
            w, ASQ_LOG_ERROR,
            "Redis has gone back in time (a failover, or a restart): %llu acknowledged commits of "
            "%u partition%s are gone; calls whose callers had their results already have lost their "
            "effects, all others run again",
            (unsigned long long) w->lost_now, w->lost_partitions,
            w->lost_partitions == 1 ? "" : "s");
    w->lost_now = 0;
    w->lost_partitions = 0;
}

/* Returns whether a lease is from before the claim of this owner. */
static bool is_before_claim(const struct asq__partition *p, const redisReply *epoch)
{
    const char *text = epoch->type == REDIS_REPLY_STRING ? epoch->str : "0";
    uint64_t held;
    return asq__decimal_read(&text, &held) && !*text && held < p->epoch;
}

static void take_lease(struct asq__partition *p, const redisReply *reply)
{
    const redisReply *lease = asq__fields_of(reply, 0, 3);
    if (asq__reply_is_error(reply, "NOSCRIPT"))
        asq__redis_reload_scripts(p->w->redis, p->number);
    if (!lease) {
        asq__commit_recover_later(p);
        return;
    }
    const redisReply *token = lease->element[0], *seq = lease->element[1];
    const char *text = seq->type == REDIS_REPLY_STRING ? seq->str : "0";
    uint64_t held = 0;
    bool possible = asq__decimal_read(&text, &held) && !*text && held <= p->seq;
    if (is_before_claim(p, lease->element[2])) {
        abandon_lost(p, possible && held < p->acked ? p->acked - held : 0);
        return;
    }
    if (token->type != REDIS_REPLY_STRING || strcmp(token->str, p->token) != 0) {
        asq__partition_abandon(p, "its lease holds another token");
        return;
    }
    if (!possible) {
        asq__commit_foreign_seq(p);
        return;
    }
    if (held < p->acked) {
        abandon_lost(p, p->acked - held);
        return;
    }
    if (wait_for_replicas(p, held))
        return;
    take_commits(p, held);
}

static void on_lease(struct asq__conn *conn, const redisReply *reply, void *user)
{
    struct query *q = user;
    struct asq__process *w = q->p->w;
    (void) conn;
    struct asq__partition *p = answered(q);
    if (p)
        take_lease(p, reply);
    if (--w->leases_asked == 0)
        log_lost(w);
}

void asq__commits_begin_recovery(struct asq__partition *p)
{
    if (!asq__partition_is_owned(p))
        return;
    p->recovering = true;
    p->must_have = p->last_there;
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
                            q, key, 3, (const char *const[]){ "token", "seq", "epoch" }) < 0) {
            free(q);
            again = true;
        } else {
            p->asking = true;
            w->leases_asked++;
        }
    }
    if (again && !ev_is_active(&w->retry)) {
        asq__timer_restart(w->loop, &w->retry, RETRY_MS / 1000., 0.);
    }
}
