/*
 * stuck.c: says which calls have been under way for long, and what each waits for, in this worker's
 * own hash, where redis-cli finds it (contrib/redis-cli/look stuck). The lines are a sample: the
 * agents of each partition that have been busy for longest, up to a number of lines.
 */
#include <stdio.h>
#include <string.h>

#include "asqueue.h"
#include "client/class.h"
#include "client/handle.h"
#include "client/object.h"
#include "value/buf.h"
#include "value/clock.h"
#include "value/list.h"
#include "value/msg.h"
#include "value/value.h"
#include "worker/actor_object.h"
#include "worker/agent_signals.h"
#include "worker/allowed.h"
#include "worker/core/actor.h"
#include "worker/core/entry.h"
#include "worker/exec/run.h"
#include "worker/inputs.h"
#include "worker/nested.h"
#include "worker/partition.h"
#include "worker/pause.h"
#include "worker/process.h"
#include "worker/refused.h"
#include "worker/stuck.h"
#include "worker/unload_wait.h"

enum { STUCK_MS = 10000, REFRESH_EVERY_MS = 2000, AGENTS_PER_PARTITION = 64, LINE_SIZE = 500 };

/* Writes "waits for call X", or a promise, with the number of the others. Returns the length. */
static size_t tell_awaited(const struct asq__awaited *a, const char *between, char *text,
                           size_t size)
{
    char call[ASQ__CALL_ID_TEXT];
    asq__call_id_format(&a->ids[0], call);
    snprintf(text, size, "waits for %s %s",
             asq__call_id_is_promise(&a->ids[0]) ? "promise" : "call", call);
    if (a->n > 1)
        snprintf(text + strlen(text), size - strlen(text), " %s %zu more", between, a->n - 1);
    return strlen(text);
}

static bool count_id(void *user, const struct asq__call_id *id)
{
    struct asq__awaited *a = user;
    if (a->n < ASQ__AWAITED_IDS)
        a->ids[a->n] = *id;
    return ++a->n < 1000; /* a larger number is not counted out */
}

static bool count_awaited(void *user, const asq_result *r)
{
    return count_id(user, &r->id);
}

/* Tells what a call waits for that was unloaded. */
static void tell_unloaded(const struct asq__unload_wait *wait, char *text, size_t size,
                          struct asq__awaited *ret)
{
    const char *signal = asq__unload_wait_signal_name(wait);
    enum asq__wait kind = asq__unload_wait_visit(wait, count_id, ret);
    size_t n = 0;
    if (signal)
        n = (size_t) snprintf(text, size, "waits for signal %s", signal);
    else if (ret->n)
        n = tell_awaited(ret, kind == ASQ__WAIT_ALL ? "and" : "or for one of", text, size);
    if (n < size)
        snprintf(text + n, size - n, "%s given back its memory meanwhile", n ? ", and has" : "has");
}

const char *asq__stuck_why_waiting(const struct asq__wcall *c, char *text, size_t size,
                                   struct asq__awaited *ret)
{
    const struct asq__process *w = c->entry->part->w;
    if (c->state == ASQ__CALL_INPUTS &&
        (ret->n = asq__inputs_awaited(c, ret->ids, ASQ__AWAITED_IDS))) {
        size_t n = tell_awaited(ret, "and", text, size);
        snprintf(text + n, size - n, ", its input%s", ret->n > 1 ? "s" : "");
        return text;
    }
    if (c->state == ASQ__CALL_INPUTS && asq__inputs_wait_for_room(c))
        return "waits for room for the results given to it (--max-backlog-size)";
    if (asq__wcall_waits_unloaded(c)) {
        tell_unloaded(c->unload_wait, text, size, ret);
        return text;
    }
    if (asq__wcall_is_unloaded(c))
        return "sleeps, and has given back its memory until its sleep is over";
    if (c->state == ASQ__CALL_DELAYED)
        return "has failed, and keeps its place until its next run is due";
    if (c->attempts) {
        bool one = c->attempts == 1;
        if (asq__refused_is_how(c->died_how))
            snprintf(text, size, "waits to run alone: %u attempt%s failed to commit it",
                     c->attempts, one ? "" : "s");
        else
            snprintf(text, size, "waits to run alone: %u worker process%s died while running it",
                     c->attempts, one ? "" : "es");
        return text;
    }
    const struct asq__class *cls = asq__actor_object(c->actor)->cls;
    const char *class_name = cls ? cls->def.name : asq__wcall_job(c)->class_name;
    if (!c->waits_at && asq__pause_covers(w, class_name)) {
        if (w->pauses.all)
            return "is not started, because the namespace is paused (as-ctl resume)";
        snprintf(text, size, "is not started, because class %s is paused (as-ctl resume)",
                 class_name);
        return text;
    }
    if (w->refused_until_ms || c->entry->part->recovering)
        return "is not started, because Redis refuses commits";
    if (!asq__process_is_alive(w))
        return "is not started, because Redis refuses this worker's heartbeat";
    if (c->entry->part->state == ASQ__PART_DRAINING)
        return "is not started, because its partition is being handed over";
    return asq__actor_is_loaded(c->actor) ? "is next" : "waits for its agent to be restored";
}

const char *asq__stuck_why_active(const struct asq__run *run, char *text, size_t size,
                                  struct asq__awaited *ret)
{
    if (run->stage == ASQ__RUN_RETURNED)
        return "has returned, and waits for Redis to take its calls";
    if (run->active.call->state == ASQ__CALL_RUNNING)
        return "runs";
    if (run->active.call->state == ASQ__CALL_RESUMABLE)
        return "waits for its turn to resume";
    const char *signal = asq__agent_signals_awaited(run);
    if (signal) {
        snprintf(text, size, "waits for signal %s", signal);
        return text;
    }
    enum asq__wait kind = asq__nested_waits_for(run, count_awaited, ret);
    if (kind == ASQ__WAIT_OTHER || ret->n == 0)
        return "sleeps";
    tell_awaited(ret, kind == ASQ__WAIT_ALL ? "and" : "or for one of", text, size);
    return text;
}

static int64_t age_ms(const struct asq__wcall *c)
{
    return asq__now_ms() - c->entry->made_ms;
}

static void add_line(struct asq__buf *out, const struct asq__wcall *c, const char *why,
                     size_t behind)
{
    const Asqueue__Job *job = asq__wcall_job(c);
    char id[ASQ__CALL_ID_TEXT], line[LINE_SIZE];
    asq__wcall_id(c, id);
    int n = snprintf(line, sizeof line, "%s %lld s %.128s.%.64s %s", id,
                     (long long) age_ms(c) / 1000, c->actor->id, job->method, why);
    if (behind && n > 0 && (size_t) n < sizeof line)
        n += snprintf(line + n, sizeof line - (size_t) n, "; %zu more behind it", behind);
    if (out->len + strlen(line) + 2 < ASQ__STUCK_MAX) {
        asq__buf_put(out, line, strlen(line));
        asq__buf_put(out, "\n", 1);
    }
}

static size_t length(const struct asq__list *list)
{
    size_t n = 0;
    ASQ__LIST_EACH (it, list)
        if (++n == 1000)
            break; /* a larger number is not counted out */
    return n;
}

static void describe(const struct asq__actor *a, struct asq__buf *out)
{
    const struct asq__mailbox *m = &a->calls->mailbox;
    struct asq__awaited awaited = { .n = 0 };
    char text[200];
    size_t behind = length(&m->queue) + length(&m->reentrant);
    ASQ__LIST_EACH (it, &m->active) {
        const struct asq__run *run = ASQ__CONTAINER(it, struct asq__run, active.node);
        awaited.n = 0;
        if (age_ms(run->active.call) >= STUCK_MS)
            add_line(out, run->active.call, asq__stuck_why_active(run, text, sizeof text, &awaited),
                     behind);
    }
    if (m->n_active == 0 && !asq__list_empty(&m->queue)) {
        const struct asq__wcall *c = ASQ__CONTAINER(m->queue.next, struct asq__wcall, node);
        if (age_ms(c) >= STUCK_MS)
            add_line(out, c, asq__stuck_why_waiting(c, text, sizeof text, &awaited), behind - 1);
    }
}

void asq__stuck_refresh(struct asq__process *w)
{
    int64_t now = asq__now_ms();
    if (now - w->stuck_refreshed_ms < REFRESH_EVERY_MS)
        return;
    w->stuck_refreshed_ms = now;
    struct asq__buf out;
    asq__buf_init(&out, ASQ__STUCK_MAX);
    for (uint32_t i = 0; i < w->nparts; i++) {
        int n = 0;
        ASQ__LIST_EACH (it, &w->parts[i].actors.busy) {
            if (n++ == AGENTS_PER_PARTITION)
                break;
            describe(ASQ__CONTAINER(it, struct asq__actor, where), &out);
        }
    }
    pthread_mutex_lock(&w->handover_lock);
    if (out.len)
        memcpy(w->stuck, out.data, out.len);
    w->stuck[out.len] = '\0';
    pthread_mutex_unlock(&w->handover_lock);
    asq__buf_release(&out);
}
