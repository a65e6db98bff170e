/*
 * local_timers.c: see local_timers.h. A timer's call may change or remove timers of its agent, so a
 * copy is fired, and the list is searched again before each call.
 */
#include "client/local_timers.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/handle.h"
#include "client/schedule.h"
#include "value/buf.h"
#include "value/clock.h"
#include "value/expiry.h"
#include "value/msg.h"
#include "value/timer_spec.h"
#include "value/trace.h"
#include "value/value.h"

enum { PUT_OFF_MS = 60000 };

struct timer {
    struct asq__list node;
    struct asq__buf spec;
    int64_t next_ms, last_ms; /* Unix time */
    int64_t fired;
    Asqueue__Trace *trace; /* of the context that has set it; or NULL */
    char last_call[ASQ__CALL_ID_TEXT];
    const char *name; /* in text */
    char text[];      /* the agent, and the name behind its NUL */
};

static void free_timer(struct timer *t)
{
    asq__list_del(&t->node);
    asq__buf_release(&t->spec);
    free(t->trace);
    free(t);
}

void asq__local_timers_init(struct asq__local_timers *t)
{
    asq__list_init(&t->list);
    t->firing = false;
}

void asq__local_timers_free(struct asq__local_timers *t)
{
    while (!asq__list_empty(&t->list))
        free_timer(ASQ__CONTAINER(t->list.next, struct timer, node));
}

/* ---- changes ---- */

static struct timer *find(const struct asq__local_timers *t, const char *agent, const char *name)
{
    ASQ__LIST_EACH (it, &t->list) {
        struct timer *timer = ASQ__CONTAINER(it, struct timer, node);
        if (strcmp(timer->text, agent) == 0 && strcmp(timer->name, name) == 0)
            return timer;
    }
    return NULL;
}

static struct timer *new_timer(const char *agent, const char *name)
{
    size_t agent_n = strlen(agent) + 1, name_n = strlen(name) + 1;
    struct timer *t = calloc(1, sizeof *t + agent_n + name_n);
    if (!t)
        return NULL;
    asq__list_init(&t->node);
    memcpy(t->text, agent, agent_n);
    t->name = memcpy(t->text + agent_n, name, name_n);
    return t;
}

/* Returns the name of the timer that a job changes. */
static const char *name_of(const Asqueue__Job *job)
{
    return asq__job_is_about_timer(job->kind) ? job->method : ASQ__EXPIRY_TIMER;
}

static bool is_expiry(const struct timer *t)
{
    return strcmp(t->name, ASQ__EXPIRY_TIMER) == 0;
}

static int set(struct asq__local_timers *t, const Asqueue__Job *job, struct asq__effect *effect)
{
    struct timer *old = find(t, job->agent, name_of(job));
    const struct asq__buf *spec = &effect->timer_spec;
    if (old && old->spec.len == spec->len && memcmp(old->spec.data, spec->data, spec->len) == 0)
        return 0;
    struct timer *timer = new_timer(job->agent, name_of(job));
    if (timer && job->trace && !is_expiry(timer))
        timer->trace = asq__trace_new(job->trace->parent.data, job->trace->state);
    if (!timer || (job->trace && !is_expiry(timer) && !timer->trace)) {
        free(timer);
        return ASQ_ENOMEM;
    }
    timer->spec = effect->timer_spec;
    asq__buf_init(&effect->timer_spec, 0);
    timer->next_ms = effect->timer_ms;
    if (old)
        free_timer(old);
    asq__list_add(&t->list, &timer->node);
    return 0;
}

static void remove_all(struct asq__local_timers *t, const char *agent)
{
    ASQ__LIST_EACH (it, &t->list) {
        struct timer *timer = ASQ__CONTAINER(it, struct timer, node);
        if (strcmp(timer->text, agent) == 0)
            free_timer(timer);
    }
}

int asq__local_timers_change(struct asq__local_timers *t, const Asqueue__Job *job,
                             struct asq__effect *effect)
{
    struct timer *timer;
    switch (effect->timer) {
    case ASQ__TIMER_SET: return set(t, job, effect);
    case ASQ__TIMER_REMOVE:
        if ((timer = find(t, job->agent, job->method)))
            free_timer(timer);
        return 0;
    case ASQ__TIMER_REMOVE_ALL: remove_all(t, job->agent); return 0;
    case ASQ__TIMER_NONE: break;
    }
    return 0;
}

/* ---- firing ---- */

static struct timer *first(const struct asq__local_timers *t)
{
    struct timer *found = NULL;
    ASQ__LIST_EACH (it, &t->list) {
        struct timer *timer = ASQ__CONTAINER(it, struct timer, node);
        if (!found || timer->next_ms < found->next_ms)
            found = timer;
    }
    return found;
}

int64_t asq__local_timers_next_ms(const struct asq__local_timers *t)
{
    const struct timer *timer = t->firing ? NULL : first(t);
    return timer ? asq__now_ms() + timer->next_ms - asq__wall_ms() : INT64_MAX;
}

/* Copy of a timer that fires, because its calls may change or remove the timer. */
struct firing {
    asq *h;
    struct asq__local_timers *timers;
    asq_value *map;
    struct asq__timer_spec spec; /* borrows from map */
    struct asq__timer_due due;
    Asqueue__Trace *trace;
    char agent[ASQ_MAX_ID + 1], name[ASQ_MAX_NAME + 1];
};

/* Makes the call of a time, which has ended with the function's return. */
static void call(struct firing *f, int64_t time_ms)
{
    struct asq__job job = { .kind = ASQUEUE__JOB_KIND__CALL,
                            .agent = f->agent,
                            .class_name = "",
                            .method = f->spec.method,
                            .args = f->spec.args,
                            .no_result = true,
                            .trace = f->trace };
    asq_result *r;
    if (asq__call_job(f->h, &job, &r) < 0) {
        asq__log(f->h, ASQ_LOG_ERROR, "timer %s of agent '%s' cannot be fired: %s", f->name,
                 f->agent, asq_errmsg(f->h));
        return;
    }
    struct timer *timer = find(f->timers, f->agent, f->name);
    if (timer) {
        timer->fired++;
        timer->last_ms = time_ms;
        snprintf(timer->last_call, sizeof timer->last_call, "%s", asq__result_id_text(r));
    }
    const asq_error *error = asq_result_error(r);
    if (error->code)
        asq__handle_note_failure(f->h, r, error);
    asq_result_free(r);
}

/* Has an agent look whether it is due to end. That call sets the timer anew. */
static void expire(asq *h, struct timer *timer, int64_t now_ms)
{
    char agent[ASQ_MAX_ID + 1];
    asq_result *r;
    snprintf(agent, sizeof agent, "%s", timer->text);
    timer->next_ms = now_ms + PUT_OFF_MS;
    struct asq__job job = {
        .kind = ASQUEUE__JOB_KIND__EXPIRE, .agent = agent, .class_name = "", .no_result = true
    };
    if (asq__call_job(h, &job, &r) < 0) {
        asq__log(h, ASQ_LOG_ERROR, "agent '%s' cannot expire: %s", agent, asq_errmsg(h));
        return;
    }
    const asq_error *error = asq_result_error(r);
    if (error->code)
        asq__handle_note_failure(h, r, error);
    asq_result_free(r);
}

/* Takes a timer that is due: its next time is set before its calls are made. ASQ_ENOMEM, or what
 * is wrong with it. */
static int take(struct firing *f, struct timer *timer, int64_t now_ms)
{
    int rc = asq__value_decode(timer->spec.data, timer->spec.len, &f->map, NULL, 0);
    if (rc == 0)
        rc = asq__timer_spec_read(f->map, &f->spec, NULL, 0);
    if (rc == 0)
        rc = asq__timer_due(&f->spec, timer->next_ms, now_ms, &f->due, NULL, 0);
    if (rc == 0 && timer->trace &&
        !(f->trace = asq__trace_new(timer->trace->parent.data, timer->trace->state)))
        rc = ASQ_ENOMEM;
    if (rc < 0) { /* its zone is gone, or memory is short: later */
        timer->next_ms = now_ms + PUT_OFF_MS;
        return rc;
    }
    snprintf(f->agent, sizeof f->agent, "%s", timer->text);
    snprintf(f->name, sizeof f->name, "%s", timer->name);
    timer->next_ms = f->due.next_ms;
    if (timer->next_ms < 0)
        free_timer(timer);
    return 0;
}

void asq__local_timers_fire(struct asq__local_timers *t, asq *h)
{
    struct timer *timer;
    int64_t now_ms = asq__wall_ms();
    if (t->firing || asq__list_empty(&t->list))
        return;
    t->firing = true;
    while (!h->closed && (timer = first(t)) && timer->next_ms <= now_ms) {
        struct firing f = { .h = h, .timers = t };
        if (is_expiry(timer)) {
            expire(h, timer, now_ms);
            continue;
        }
        if (take(&f, timer, now_ms) == 0) {
            bool last_only = f.spec.overlap == ASQ_OVERLAP_CANCEL && f.due.n > 1;
            for (size_t i = last_only ? f.due.n - 1 : 0; i < f.due.n && !h->closed; i++)
                call(&f, f.due.times_ms[i]);
        }
        asq_value_free(f.map);
        free(f.trace);
    }
    t->firing = false;
}

/* ---- listing ---- */

int asq__local_timers_list(const struct asq__local_timers *t, const char *agent, asq_value *list)
{
    int rc = 0;
    ASQ__LIST_EACH (it, &t->list) {
        const struct timer *timer = ASQ__CONTAINER(it, struct timer, node);
        struct asq__timer_shown shown = { .spec = timer->spec.data,
                                          .spec_n = timer->spec.len,
                                          .next_ms = timer->next_ms,
                                          .fired = timer->fired,
                                          .last_ms = timer->last_ms };
        memcpy(shown.last_call, timer->last_call, sizeof shown.last_call);
        if (rc == 0 && !is_expiry(timer) && (!agent || strcmp(agent, timer->text) == 0))
            rc = asq__schedule_add(list, timer->text, timer->name, &shown);
    }
    return rc;
}
