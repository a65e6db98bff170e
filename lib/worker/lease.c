/*
 * lease.c: claims, drains and hands back partitions, and drops what a lost one had in memory. A
 * lost partition is dropped as a whole. Calls of it that are on threads cannot be stopped, so their
 * agents become orphans and go when the calls end, their effects unseen.
 */
#include "worker/agent_signals.h"
#include "worker/lease.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "asqueue.h"
#include "redis/conn.h"
#include "redis/keys.h"
#include "redis/redis.h"
#include "redis/refusal.h"
#include "redis/reply.h"
#include "redis/script.h"
#include "value/assert.h"
#include "value/clock.h"
#include "value/hex.h"
#include "value/list.h"
#include "value/msg.h"
#include "value/pools.h"
#include "value/random.h"
#include "value/table.h"
#include "worker/actor_fetch.h"
#include "worker/actor_memory.h"
#include "worker/await.h"
#include "worker/backlog.h"
#include "worker/commit.h"
#include "worker/commit_end.h"
#include "worker/core/actor.h"
#include "worker/core/attempts.h"
#include "worker/core/entry.h"
#include "worker/core/sender.h"
#include "worker/core/stream_id.h"
#include "worker/delay.h"
#include "worker/dispatch.h"
#include "worker/emits.h"
#include "worker/entries.h"
#include "worker/inputs.h"
#include "worker/later_clock.h"
#include "worker/later_move.h"
#include "worker/later_script.h"
#include "worker/live.h"
#include "worker/needs.h"
#include "worker/nested.h"
#include "worker/partition.h"
#include "worker/process.h"
#include "worker/process_log.h"
#include "worker/promises.h"
#include "worker/reader.h"
#include "worker/recount.h"
#include "worker/takeover.h"
#include "worker/steps.h"
#include "worker/timers.h"
#include "worker/unload.h"
#include "worker/unload_wait.h"

enum { DRAIN_PATIENCE_MS = 1000, CLAIMS_AT_ONCE = 16 };

static const void *entry_key(const struct asq__node *node, size_t *n)
{
    *n = ASQ__BATCH_ID;
    return ASQ__CONTAINER(node, struct asq__entry, node)->batch->id.data;
}

/* ---- claim ---- */

static int random_token(char token[ASQ__TOKEN_TEXT])
{
    uint8_t random[16];
    if (asq__random(random, sizeof random) < 0)
        return ASQ_ESYS;
    *asq__hex(token, random, sizeof random) = '\0';
    return 0;
}

static void take_attempts(struct asq__partition *p, const redisReply *list)
{
    asq__attempts_clear(&p->attempts);
    for (size_t i = 0; list->type == REDIS_REPLY_ARRAY && i + 1 < list->elements; i += 2)
        if (list->element[i]->type == REDIS_REPLY_STRING &&
            list->element[i + 1]->type == REDIS_REPLY_STRING)
            asq__attempts_add(&p->attempts, list->element[i]->str, list->element[i + 1]->str);
    asq__attempts_sort(&p->attempts);
}

static void claim_next(struct asq__process *w);

static void log_set_aside(const struct asq__partition *p, const redisReply *keys)
{
    for (size_t i = 0; keys->type == REDIS_REPLY_ARRAY && i < keys->elements; i++)
        if (keys->element[i]->type == REDIS_REPLY_STRING)
            asq__process_log_some_about(
                p->w, ASQ__LOG_ABOUT_PARTITION(p), ASQ_LOG_ERROR,
                "partition %u: %s had a wrong type, too many fields, or took no more entries, "
                "because of "
                "a foreign write. The key was renamed to %s:aside, and its content is not used "
                "any more",
                p->number, keys->element[i]->str, keys->element[i]->str);
}

void asq__partition_restore_owner(struct asq__partition *p)
{
    struct asq__process *w = p->w;
    char lease[ASQ__KEY_MAX], epoch[24];
    asq__keys_lease(asq__redis_keys(w->redis), p->number, lease);
    snprintf(epoch, sizeof epoch, "%llu", (unsigned long long) p->epoch);
    asq__process_log_some_about(
        w, ASQ__LOG_ABOUT_PARTITION(p), ASQ_LOG_WARNING,
        "partition %u: the owner or the epoch in its lease was overwritten; both are restored",
        p->number);
    asq__conn_cmd(asq__redis_conn(w->redis, p->number), NULL, NULL, "EVAL", asq__script_own, "1",
                  lease, p->token, w->config.id, epoch, NULL);
}

static void granted(struct asq__partition *p, const redisReply *reply)
{
    struct asq__process *w = p->w;
    asq__partition_enter(p, ASQ__PART_ACTIVE);
    p->epoch = (uint64_t) reply->element[1]->integer;
    asq__partition_note_epoch(p, p->epoch);
    p->ownership++;
    p->seq = p->acked = (uint64_t) reply->element[2]->integer;
    p->inherited = (struct asq__stream_id){ 0, 0 };
    if (reply->element[3]->type == REDIS_REPLY_STRING)
        asq__stream_id_parse(reply->element[3]->str, &p->inherited);
    take_attempts(p, reply->element[4]);
    log_set_aside(p, reply->element[5]);
    if (reply->element[6]->type == REDIS_REPLY_INTEGER && reply->element[6]->integer) {
        atomic_fetch_add(&w->dead, (unsigned long long) reply->element[6]->integer);
        asq__process_log_some_about(
            w, ASQ__LOG_ABOUT_PARTITION(p), ASQ_LOG_ERROR,
            "partition %u: %lld entries had the highest ids that a stream can have, so the stream "
            "took no more calls: the entries are dead letters now, and the stream is made anew",
            p->number, reply->element[6]->integer);
    }
    asq__later_clock_begin(p, reply->element[7]->integer, reply->element[8]->str);
    if (reply->element[9]->type == REDIS_REPLY_INTEGER && reply->element[9]->integer)
        asq__process_log_some_about(
            w, ASQ__LOG_ABOUT_PARTITION(p), ASQ_LOG_ERROR,
            "partition %u: %lld fields of its key attempts were too long to be of a "
            "worker, because of a foreign write, and were removed",
            p->number, reply->element[9]->integer);
    p->read_to = p->last_there = p->must_have = (struct asq__stream_id){ 0, 0 };
    p->recovering = p->asking = false;
    p->unowned_since_ms = 0;
    asq__needs_take(p, reply->element[10]);
    asq__recount_postpone(p);
    free(p->seen_owner);
    free(p->seen_token);
    p->seen_owner = strdup(w->config.id);
    p->seen_token = strdup(p->token);
    asq__process_log_about(w, ASQ_LOG_DEBUG, ASQ__LOG_ABOUT_PARTITION(p),
                           "partition %u claimed, epoch %llu", p->number,
                           (unsigned long long) p->epoch);
    asq__later_open(p);
    asq__timers_open(p);
    if (w->stopping)
        asq__partition_drain(p, 0);
    else if (asq__partition_is_owned(p)) /* memory may have been short */
        asq__reader_add(p);
}

static void claimed(struct asq__partition *p, const redisReply *reply)
{
    struct asq__process *w = p->w;
    w->claims_in_flight--;
    if (p->state != ASQ__PART_CLAIMING)
        return;
    if (reply && reply->type == REDIS_REPLY_ARRAY && reply->elements == 11 &&
        reply->element[0]->type == REDIS_REPLY_INTEGER && reply->element[0]->integer == 1) {
        granted(p, reply);
        asq__takeover_count(p);
        claim_next(w);
        return;
    }
    asq__partition_enter(p, ASQ__PART_IDLE);
    if (!reply && !asq__redis_is_spread(w->redis))
        return; /* whether it was granted shows at the next refresh */
    if (asq__reply_is_error(reply, "NOSCRIPT")) {
        asq__redis_reload_scripts(w->redis, p->number);
        w->refresh_due = true;
    } else if (asq__reply_is_error(reply, NULL)) {
        asq__process_log_some_about(w, ASQ__LOG_ABOUT_PARTITION(p), ASQ_LOG_ERROR,
                                    "partition %u cannot be claimed: %s", p->number, reply->str);
        /* a replica by now: its address may lead elsewhere */
        if (asq__reply_refusal(reply) == ASQ__REFUSED_FOR_NOW) {
            asq__redis_drop_server(w->redis, p->number, "Redis refuses claims");
            if (!asq__redis_is_up(w->redis))
                return;
        }
    } /* otherwise another worker was faster */
    claim_next(w);
}

static void on_claimed(struct asq__conn *c, const redisReply *reply, void *user)
{
    struct asq__partition *p = user;
    (void) c;
    claimed(p, reply);
    if (!p->w->claims_in_flight && asq__list_empty(&p->w->claims))
        asq__takeovers_tell(p->w);
}

static void claim(struct asq__partition *p)
{
    struct asq__process *w = p->w;
    const struct asq__keys *keys = asq__redis_keys(w->redis);
    char lease[ASQ__KEY_MAX], jobs[ASQ__KEY_MAX], attempts[ASQ__KEY_MAX], dead[ASQ__KEY_MAX];
    char later[ASQ__KEY_MAX], later_jobs[ASQ__KEY_MAX], epoch[ASQ__KEY_MAX], known[24];
    enum { KEYS = 7, ARGC = KEYS + 4 };
    if (random_token(p->token) < 0)
        return;
    p->claimed_ms = asq__now_ms();
    asq__keys_lease(keys, p->number, lease);
    asq__keys_jobs(keys, p->number, jobs);
    asq__keys_attempts(keys, p->number, attempts);
    asq__keys_dead(keys, p->number, dead);
    asq__keys_later(keys, p->number, later);
    asq__keys_later_jobs(keys, p->number, later_jobs);
    asq__keys_epoch(keys, p->number, epoch);
    snprintf(known, sizeof known, "%llu", (unsigned long long) p->known_epoch);
    const char *argv[ARGC] = {
        lease,        jobs,       attempts, dead,
        later,        later_jobs, epoch,    p->seen_token ? p->seen_token : "",
        w->config.id, p->token,   known
    };
    if (asq__script_run(asq__redis_conn(w->redis, p->number),
                        asq__redis_scripts(w->redis, p->number), ASQ__SCRIPT_CLAIM, on_claimed, p,
                        KEYS, ARGC - KEYS, argv) < 0)
        return;
    asq__partition_enter(p, ASQ__PART_CLAIMING);
    w->claims_in_flight++;
}

/* A claim has Redis look through a partition, and its reader fetch what waits there. So a few are
 * made at a time, and the next when one is answered: a server that is busy has them spread over
 * more time. */
static void claim_next(struct asq__process *w)
{
    struct asq__list *node;
    while (w->claims_in_flight < CLAIMS_AT_ONCE && (node = asq__list_pop(&w->claims))) {
        struct asq__partition *p = ASQ__CONTAINER(node, struct asq__partition, claim);
        if (p->state == ASQ__PART_IDLE)
            claim(p);
    }
}

void asq__partition_claim(struct asq__partition *p)
{
    struct asq__process *w = p->w;
    if (asq__list_empty(&p->claim))
        asq__list_add(&w->claims, &p->claim);
    claim_next(w);
}

void asq__partition_cancel_claim(struct asq__partition *p)
{
    asq__list_del(&p->claim);
}

/* ---- dropping what is in memory ---- */

static void drop_actor(struct asq__node *node, void *user)
{
    (void) user;
    asq__actor_orphan(ASQ__CONTAINER(node, struct asq__actor, node));
}

static void drop_entry(struct asq__node *node, void *user)
{
    struct asq__entry *e = ASQ__CONTAINER(node, struct asq__entry, node);
    (void) user;
    asq__entry_detach(e);
    for (size_t i = 0; i < e->batch->n_jobs; i++) {
        struct asq__wcall *c = &e->calls[i];
        if (c->active)
            continue; /* an orphan: ends by itself */
        asq__list_del(&c->node);
        /* The entry may stay for another of its calls; this one must not begin. */
        asq__delay_end(c);
        asq__inputs_free(c->inputs);
        c->inputs = NULL;
        asq__unload_forget(c);
        asq__wcall_unleave(c);
        if (c->state != ASQ__CALL_FINISHED) {
            asq__wcall_enter(c, ASQ__CALL_FINISHED);
            e->unfinished--;
        }
    }
    asq__entry_release_if_done(e);
}

/* Drops all that a partition has in memory, which this process does not hold any more. */
static void drop(struct asq__partition *p)
{
    asq__reader_remove(p);
    asq__steps_drop(p);
    asq__agent_signals_drop(p);
    asq__emits_drop(p);
    asq__live_drop(p);
    asq__nested_drop_deferred(p);
    asq__backlog_drop(p);
    asq__later_close(p);
    asq__timers_close(p);
    asq__promises_drop(p);
    asq__commits_drop(p);
    ASQ__LIST_EACH (it, &p->intake)
        asq__list_del(it);
    p->intake_out = p->intake_in;
    asq__fetch_drop(p);
    asq__table_each(&p->entries, drop_entry, NULL);
    asq__table_each(&p->actors.by_id, drop_actor, NULL);
    asq__senders_forget(&p->senders);
    asq__assert(!p->open && !p->entries.count && !p->actors.by_id.count);
    p->n_active = 0;
    p->recovering = p->asking = false;
    p->give_up_at_ms = 0;
    asq__list_del(&p->fenced);
    asq__list_del(&p->drained);
    asq__needs_drop(p);
    asq__partition_enter(p, ASQ__PART_IDLE);
}

/* ---- drain, release ---- */

static void on_released(struct asq__conn *c, const redisReply *reply, void *user)
{
    struct asq__partition *p = user;
    (void) c;
    if (p->state != ASQ__PART_RELEASING)
        return;
    if (asq__reply_is_error(reply, "NOSCRIPT")) {
        asq__redis_reload_scripts(p->w->redis, p->number);
        asq__partition_enter(p, ASQ__PART_DRAINING);
        asq__partition_release_if_empty(p);
        return;
    }
    if (asq__reply_is_transient(reply)) {
        asq__partition_enter(p, ASQ__PART_DRAINING); /* empty: handed back when Redis is up again */
        asq__redis_drop_server(p->w->redis, p->number, "Redis refuses the release of leases");
        return;
    }
    /* Not answered: the others will find that this worker is gone or claims nothing. */
    drop(p);
    free(p->seen_owner);
    free(p->seen_token);
    p->seen_owner = p->seen_token = NULL;
    p->w->announce_due = true;
}

static bool is_empty(const struct asq__partition *p)
{
    return p->n_active == 0 && !asq__commits_pending(p);
}

/* Hands a draining partition back if it is empty now. */
static void check_drained(struct asq__partition *p)
{
    struct asq__process *w = p->w;
    char lease[ASQ__KEY_MAX];
    if (p->state != ASQ__PART_DRAINING || !is_empty(p))
        return;
    asq__keys_lease(asq__redis_keys(w->redis), p->number, lease);
    const char *argv[] = { lease, p->token };
    asq__later_keep_clock(p);
    bool sent = asq__script_run(asq__redis_conn(w->redis, p->number),
                                asq__redis_scripts(w->redis, p->number), ASQ__SCRIPT_RELEASE,
                                on_released, p, 1, 1, argv) == 0;
    if (!sent && !w->stopping)
        return; /* Redis is away: tried again when it is back, if the partition still drains */
    asq__reader_remove(p);
    asq__partition_enter(p, ASQ__PART_RELEASING);
    if (!sent)
        drop(p); /* the process is about to end: other workers find the owner gone */
}

static void on_given_up(struct asq__conn *c, const redisReply *reply, void *user)
{
    struct asq__partition *p = user;
    (void) c, (void) reply; /* a lease that was not released is claimed again: member.c decide() */
    p->w->announce_due = true;
}

/* Releases a partition that would never drain, because its active calls wait for ones that only its
 * next owner can run. There they run again. */
static void give_up_unfinished(struct asq__partition *p)
{
    struct asq__process *w = p->w;
    char lease[ASQ__KEY_MAX];
    asq__keys_lease(asq__redis_keys(w->redis), p->number, lease);
    asq__later_keep_clock(p);
    if (asq__conn_cmd(asq__redis_conn(w->redis, p->number), on_given_up, p, "EVAL",
                      asq__script_text(ASQ__SCRIPT_RELEASE), "1", lease, p->token, NULL) < 0)
        return; /* Redis is away: tried again at the next upkeep */
    asq__partition_abandon(p, "calls that run wait for calls of a class that this worker lacks, so "
                              "they run again at one that has it");
}

void asq__partition_check_drain(struct asq__partition *p)
{
    if (p->state == ASQ__PART_DRAINING)
        asq__unload_partition(p); /* waits that were too young before */
    check_drained(p);             /* the partition may have become empty while Redis was away */
    if (p->state != ASQ__PART_DRAINING || asq__now_ms() <= p->drain_deadline_ms)
        return;
    if (asq__partition_needs_next_owner(p)) {
        give_up_unfinished(p);
        return;
    }
    asq__process_log_about(p->w, ASQ_LOG_INFO, ASQ__LOG_ABOUT_PARTITION(p),
                           "partition %u did not drain in time; this worker keeps it for now",
                           p->number);
    asq__partition_enter(p, ASQ__PART_ACTIVE);
    if (!p->reader)
        asq__reader_add(p);
}

void asq__partition_drain(struct asq__partition *p, int64_t timeout_ms)
{
    if (p->state != ASQ__PART_ACTIVE)
        return;
    asq__partition_enter(p, ASQ__PART_DRAINING);
    p->drain_patience_ms = asq__deadline_ms(DRAIN_PATIENCE_MS);
    p->drain_deadline_ms = asq__deadline_ms(timeout_ms);
    asq__unload_partition(p);
    asq__partition_release_if_empty(p);
}

/* ---- the end of an iteration ---- */

bool asq__leases_run_due(struct asq__process *w)
{
    struct asq__list *node;
    bool any = false;
    while ((node = asq__list_pop(&w->fenced))) {
        drop(ASQ__CONTAINER(node, struct asq__partition, fenced));
        w->refresh_due = true; /* the partition may be claimed again */
        any = true;
    }
    while ((node = asq__list_pop(&w->drained))) {
        check_drained(ASQ__CONTAINER(node, struct asq__partition, drained));
        any = true;
    }
    return any;
}

/* ---- life ---- */

int asq__partitions_init(struct asq__process *w)
{
    w->parts = calloc(ASQ__MAX_PARTITIONS, sizeof *w->parts); /* memory comes with their use */
    return w->parts ? asq__partitions_grow(w) : ASQ_ENOMEM;
}

int asq__partitions_grow(struct asq__process *w)
{
    uint32_t n = asq__redis_partitions(w->redis);
    for (uint32_t i = w->nparts; i < n; i++) {
        struct asq__partition *p = &w->parts[i];
        p->w = w;
        p->number = i;
        asq__list_init(&p->intake);
        asq__list_init(&p->leaving);
        asq__list_init(&p->fetching);
        asq__list_init(&p->to_fetch);
        asq__list_init(&p->commits);
        asq__list_init(&p->ready);
        asq__list_init(&p->postponed);
        asq__list_init(&p->deferred);
        asq__list_init(&p->recording);
        asq__list_init(&p->emits);
        asq__list_init(&p->emit_flushes);
        asq__list_init(&p->emitting);
        asq__list_init(&p->claim);
        asq__list_init(&p->fenced);
        asq__list_init(&p->drained);
        if (asq__table_init(&p->entries, entry_key) < 0 ||
            asq__table_init(&p->awaits, asq__await_key) < 0 ||
            asq__table_init(&p->promises, asq__promise_key) < 0 ||
            asq__actor_set_init(&p->actors) < 0)
            return ASQ_ENOMEM; /* asq__partitions_release frees the tables made so far */
        w->nparts = i + 1;
        w->nidle++;
    }
    return 0;
}

void asq__partitions_drop(struct asq__process *w)
{
    for (uint32_t i = 0; i < w->nparts; i++) {
        struct asq__partition *p = &w->parts[i];
        if (asq__partition_is_owned(p))
            asq__partition_enter(p, ASQ__PART_FENCED);
        if (p->state != ASQ__PART_IDLE)
            drop(p);
        asq__partition_cancel_claim(p);
        p->ownership++;
    }
}

void asq__partitions_release(struct asq__process *w)
{
    for (uint32_t i = 0; i < w->nparts; i++) {
        struct asq__partition *p = &w->parts[i];
        asq__table_release(&p->entries);
        asq__actor_set_release(&p->actors);
        asq__table_release(&p->awaits);
        asq__table_release(&p->promises);
        asq__later_free(p);
        asq__timers_free(p);
        asq__agent_signals_free(p);
        asq__attempts_clear(&p->attempts);
        asq__senders_forget(&p->senders);
        free(p->seen_owner);
        free(p->former);
        free(p->seen_token);
        free(p->needs);
        free(p->wants);
        free(p->recount.found);
    }
    free(w->parts);
    w->parts = NULL;
    w->nparts = w->nidle = 0;
}
