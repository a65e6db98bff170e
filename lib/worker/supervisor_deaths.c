/*
 * supervisor_deaths.c: see supervisor_deaths.h. It reads which calls were running from memory that
 * the supervisor shares with its children, because a dead process cannot be asked.
 */
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "asqueue.h"
#include "redis/keys.h"
#include "redis/refusal.h"
#include "redis/script.h"
#include "redis/slots.h"
#include "redis/sync.h"
#include "redis/sync_cluster.h"
#include "redis/trouble.h"
#include "redis/url.h"
#include "value/clock.h"
#include "worker/core/attempts.h"
#include "worker/core/stream_id.h"
#include "worker/leave.h"
#include "worker/process.h"
#include "worker/shared.h"
#include "worker/signals.h"
#include "worker/supervisor_config.h"
#include "worker/supervisor_deaths.h"
#include "worker/supervisor_state.h"

enum { ANNOUNCE_TIMEOUT_MS = 2000 };

/* The connection for one child; in a Cluster to the node of one slot after the other. */
struct line {
    struct asq__sync *ctx; /* NULL: none */
    uint16_t slot;
    char err[300];
};

/* Returns the connection to the server with a slot. NULL: there is none, and l->err tells why. */
static struct asq__sync *line_to(struct line *l, const struct asq__url *url, uint16_t slot)
{
    if (l->ctx && (l->slot == slot || !asq__url_is_cluster(url)))
        return l->ctx;
    asq__sync_free(l->ctx);
    l->ctx = NULL;
    l->slot = slot;
    if (asq__sync_open_slot(url, slot, "asqueue-supervisor", ANNOUNCE_TIMEOUT_MS, -1, &l->ctx,
                            l->err, sizeof l->err) < 0)
        l->ctx = NULL;
    return l->ctx;
}

/* Ends the texts of a slot, which its process may have left half written. */
static void end_texts(struct asq__slot *slot)
{
    slot->call[sizeof slot->call - 1] = slot->class_name[ASQ__SLOT_NAME - 1] = '\0';
    slot->method[ASQ__SLOT_NAME - 1] = slot->agent[ASQ_MAX_ID] = '\0';
}

struct asq__slot *asq__child_crash(const struct asq__supervisor *s, const struct asq__child *c,
                                   int signal_number)
{
    for (uint32_t i = 0; i <= s->config->process.capacity; i++) {
        struct asq__slot *slot = &c->shared->slots[i];
        if (slot->crashed && slot->crashed == slot->ticket && slot->crash_signal == signal_number) {
            end_texts(slot);
            return slot;
        }
    }
    return NULL;
}

static void log_blamed(const struct asq__supervisor *s, const struct asq__child *c,
                       const struct asq__slot *slot, const redisReply *r)
{
    long long n = r->element[0]->integer, wait_ms = r->element[1]->integer;
    uint32_t max = s->config->process.max_attempts;
    const asq_log_fields about = asq__slot_fields(slot);
    char then[60] = "it becomes a dead letter";
    if (n < max)
        snprintf(then, sizeof then, "it is tried again in %lld ms", wait_ms);
    asq__supervisor_log_about(
        s, ASQ_LOG_ERROR, &about,
        "%s.%s of agent %s was running when %s (attempt %lld of %u of call %s); %s",
        *slot->class_name ? slot->class_name : "?", *slot->method ? slot->method : "create",
        slot->agent, c->how, n, max, slot->call, then);
}

/* Ranks of calls in the order of blame for a death: only the first rank with a call in it is
 * blamed. A call that has returned and is not committed yet seldom caused it, and would be given up
 * for the faults of others. */
enum { GUILTY, KILLED_BEFORE, RUNNING, RETURNED, RANKS };

static unsigned rank_of(const struct asq__slot *slot)
{
    if (slot->guilty && slot->guilty == slot->ticket)
        return GUILTY;
    if (slot->suspect)
        return KILLED_BEFORE;
    return slot->state == ASQ__SLOT_RUNS ? RUNNING : RETURNED;
}

/* Counts a death against the call in a slot, unless it has ended. False: Redis does not take it
 * now. */
static bool blame(struct asq__supervisor *s, struct asq__child *c, struct line *line,
                  const struct asq__keys *keys, struct asq__slot *slot)
{
    char lease[ASQ__KEY_MAX], jobs[ASQ__KEY_MAX], attempts[ASQ__KEY_MAX],
        entry[ASQ__STREAM_ID_TEXT], epoch[24];
    char seq[24] = "", first[24], longest[24];
    end_texts(slot);
    size_t lease_n = asq__keys_lease(keys, slot->partition, lease);
    struct asq__sync *ctx = line_to(line, s->config->process.url, asq__slot_of_key(lease, lease_n));
    if (!ctx)
        return false;
    asq__keys_jobs(keys, slot->partition, jobs);
    asq__keys_attempts(keys, slot->partition, attempts);
    asq__stream_id_format(slot->entry, entry);
    snprintf(epoch, sizeof epoch, "%llu", (unsigned long long) slot->epoch);
    if (slot->done == slot->ticket)
        snprintf(seq, sizeof seq, "%llu", (unsigned long long) slot->done_seq);
    snprintf(first, sizeof first, "%d", ASQ__DIED_WAIT_MS);
    snprintf(longest, sizeof longest, "%d", ASQ__DIED_WAIT_MAX_MS);
    redisReply *r =
        asq__sync_cmd(ctx, "EVAL %s 3 %s %s %s %s %s %s %s %s %s %s %s", asq__script_died, lease,
                      jobs, attempts, slot->call, c->id, epoch, entry, seq, c->how, first, longest);
    bool answered = r && r->type != REDIS_REPLY_ERROR;
    bool cannot = asq__reply_is_wrong_type(r);
    if (cannot)
        asq__supervisor_log(s, ASQ_LOG_WARNING,
                            "call %s was running when %s; the attempt cannot be counted: %s",
                            slot->call, c->how, r->str);
    if (answered && r->type == REDIS_REPLY_ARRAY && r->elements == 2) {
        log_blamed(s, c, slot, r);
        c->blamed = rank_of(slot);
    }
    if (answered || cannot)
        slot->state = ASQ__SLOT_FREE;
    if (!answered && !cannot)
        snprintf(line->err, sizeof line->err, "the attempts of its calls cannot be counted: %s",
                 r ? r->str : asq__sync_why(ctx));
    freeReplyObject(r);
    return answered || cannot;
}

/* Blames all calls of the first rank. False: Redis does not take it now; the next tick continues
 * with the same rank. */
static bool blame_all(struct asq__supervisor *s, struct asq__child *c, struct line *line,
                      const struct asq__keys *keys)
{
    bool ok = true;
    for (unsigned rank = 0; rank < RANKS && rank <= c->blamed && ok; rank++)
        for (uint32_t i = 0; i <= s->config->process.capacity; i++) {
            struct asq__slot *slot = &c->shared->slots[i];
            if (slot->state != ASQ__SLOT_FREE && rank_of(slot) == rank)
                ok &= blame(s, c, line, keys, slot);
        }
    return ok;
}

static void log_unreported(struct asq__supervisor *s, const struct asq__child *c, const char *why)
{
    char text[ASQ__TROUBLE_TEXT];
    if (asq__child_stays_away(s, c))
        asq__supervisor_log(
            s, ASQ_LOG_WARNING,
            "the entry of %s, which has ended, cannot be removed from Redis; it stays in the list "
            "of workers until the other workers find it dead: %s",
            c->id, why);
    else if (asq__trouble_note(&s->unreported, why, asq__now_ms(), text))
        asq__supervisor_log(
            s, ASQ_LOG_WARNING,
            "the death of a process cannot be written to Redis, so it is not started again yet: "
            "%s; trying again",
            text);
}

/* Notes in Redis how a process has died, for people. A refusal delays nothing. */
static void note_death(const struct asq__supervisor *s, const struct asq__child *c,
                       struct asq__sync *ctx, const struct asq__keys *keys)
{
    char deaths[ASQ__KEY_MAX], workers[ASQ__KEY_MAX], worker[ASQ__KEY_MAX];
    char host[256] = "", pid[24], text[32];
    const char *value = text;
    bool signaled = WIFSIGNALED(c->ended_status);
    asq__keys_worker_deaths(keys, deaths);
    asq__keys_workers(keys, workers);
    asq__keys_worker(keys, c->id, worker);
    gethostname(host, sizeof host - 1);
    snprintf(pid, sizeof pid, "%ld", (long) c->ended_pid);
    if (signaled)
        value = asq__signal_name(WTERMSIG(c->ended_status), text);
    else
        snprintf(text, sizeof text, "%d", WEXITSTATUS(c->ended_status));
    freeReplyObject(asq__sync_cmd(ctx, "EVAL %s 3 %s %s %s %s %s %s %s %s %s %s",
                                  asq__script_note_death, deaths, workers, worker, c->id,
                                  c->shared->link.client, host, pid, s->config->process.id,
                                  signaled ? "signal" : "status", value));
}

/* Raises `attempts` of the calls that were on its threads, then removes it from the list of
 * workers. False: Redis does not take that now. */
static bool announce(struct asq__supervisor *s, struct asq__child *c)
{
    const struct asq__process_config *config = &s->config->process;
    struct asq__keys keys;
    struct asq__process_link *link = &c->shared->link;
    struct line line = { .ctx = NULL };
    if (!c->died && !atomic_load(&link->listed))
        return true;
    if (asq__keys_init(&keys, config->ns, line.err, sizeof line.err) < 0)
        return true;
    if (atomic_load(&link->in_cluster))
        asq__url_join_cluster(config->url);
    bool ok = !c->died || blame_all(s, c, &line, &keys);
    link->client[sizeof link->client - 1] = '\0';
    if (ok && atomic_load(&link->listed)) {
        struct asq__sync *ctx = line_to(&line, config->url, asq__slot_of_namespace(&keys));
        if (ctx && c->died)
            note_death(s, c, ctx, &keys); /* before others can take over, who are noted with it */
        ok = ctx && asq__leave(ctx, &keys, c->id, link->client, line.err, sizeof line.err);
        if (ok)
            atomic_store(&link->listed, 0);
    }
    if (!ok)
        log_unreported(s, c, line.err);
    asq__sync_free(line.ctx);
    if (ok) {
        char text[ASQ__TROUBLE_TEXT];
        if (asq__trouble_over(&s->unreported, asq__now_ms(), text))
            asq__supervisor_log(s, ASQ_LOG_INFO, "Redis has the death of the process%s", text);
    }
    return ok;
}

static void see_off(struct asq__supervisor *s, struct asq__child *c)
{
    c->unannounced = s->unreachable || !announce(s, c);
    s->unreachable |= c->unannounced && s->stopping;
}

void asq__child_see_off(struct asq__supervisor *s, struct asq__child *c, bool died)
{
    c->died = died;
    c->blamed = RANKS;
    see_off(s, c);
}

void asq__child_see_off_again(struct asq__supervisor *s, struct asq__child *c)
{
    if (c->unannounced && !s->unreachable)
        see_off(s, c);
}
