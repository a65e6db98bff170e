/*
 * local.c: the mode in which agents live in the program itself and calls run inline: a call has
 * ended when asq_call returns. Jobs are nevertheless encoded and decoded, so that caller and agent
 * share no memory, as in the other modes, and the same limits apply.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "asqueue.h"
#include "client/class.h"
#include "client/handle.h"
#include "client/live.h"
#include "client/local_promises.h"
#include "client/local_timers.h"
#include "client/model.h"
#include "client/object.h"
#include "client/plugin.h"
#include "client/progress.h"
#include "client/retry.h"
#include "client/schedule.h"
#include "client/signal.h"
#include "client/step_log.h"
#include "client/tracer.h"
#include "value/arena.h"
#include "value/buf.h"
#include "value/clock.h"
#include "value/error.h"
#include "value/hash.h"
#include "value/list.h"
#include "value/msg.h"
#include "value/random.h"
#include "value/span.h"
#include "value/table.h"
#include "value/value.h"

struct local_agent {
    struct asq__node node; /* in local->agents, by id */
    struct asq__object object;
    struct asq__signal_box signals;
    struct asq__live *live; /* published of its attributes; or NULL */
    char id[];              /* NUL-terminated */
};

/* A result whose id was handed out; kept until the handle is closed. */
struct kept {
    struct asq__node node; /* in local->kept, by call id */
    asq_result *result;
};

/* State shared by the program's handle and the handles of running methods. */
struct local {
    struct asq__table agents, kept;
    struct asq__registry registry;
    asq_value *models;
    struct asq__env env;
    struct asq__tracer *tracer; /* of the program's handle; or NULL */
    struct asq__local_timers timers;
    struct asq__local_promises promises;
    uint64_t number, counter;
};

static const void *agent_key(const struct asq__node *node, size_t *n)
{
    const struct local_agent *a = ASQ__CONTAINER(node, struct local_agent, node);
    *n = strlen(a->id);
    return a->id;
}

static const void *kept_key(const struct asq__node *node, size_t *n)
{
    const struct kept *k = ASQ__CONTAINER(node, struct kept, node);
    *n = sizeof k->result->id;
    return &k->result->id;
}

/* ---- running ---- */

static void sleep_until(int64_t deadline_ms)
{
    for (int64_t left; (left = deadline_ms - asq__now_ms()) > 0;) {
        struct timespec t = { left / 1000, left % 1000 * 1000000 };
        nanosleep(&t, NULL);
    }
}

static int64_t min_ms(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static struct local_agent *find_or_add(struct local *l, const char *id)
{
    size_t n = strlen(id);
    struct asq__node *node = asq__table_find(&l->agents, id, n);
    if (node)
        return ASQ__CONTAINER(node, struct local_agent, node);
    struct local_agent *a = calloc(1, sizeof *a + n + 1);
    if (!a)
        return NULL;
    memcpy(a->id, id, n);
    asq__object_init(&a->object, a->id);
    asq__signal_box_init(&a->signals);
    asq__table_add(&l->agents, &a->node);
    return a;
}

/* Makes the handle for a method's own calls. */
static asq *method_handle(asq *h, Asqueue__Chain *chain)
{
    asq *inner = asq__handle_new(h->mode);
    if (!inner)
        return NULL;
    inner->in_method = true;
    inner->impl = h->impl;
    inner->registry = h->registry;
    inner->timeout_ms = h->timeout_ms;
    inner->max_message_size = h->max_message_size;
    inner->partitions = h->partitions;
    inner->log = h->log;
    inner->log_user = h->log_user;
    inner->chain = chain;
    inner->url = strdup(asq_url(h));
    inner->ns = strdup(asq_namespace(h));
    return inner;
}

struct inputs {
    struct local *l;
    struct asq__error *error;
    asq_value *args;
    size_t n, bytes, max_bytes;
};

/* Takes the value of a call or a promise. */
static int take_value(struct inputs *in, const struct asq__future_place *place,
                      const asq_value *value)
{
    in->bytes += (size_t) asq_value_encoded_size(value);
    return in->bytes > in->max_bytes ? ASQ_ELIMIT
                                     : asq__future_replace(&in->args, place, asq_value_copy(value));
}

static int take_promise(struct inputs *in, const struct asq__future_place *place,
                        const struct asq__call_id *id)
{
    const char *text = place->future->future->text, *maker;
    const asq_value *value;
    const asq_error *error;
    switch (asq__local_promise_find(&in->l->promises, id, &value, &error, &maker)) {
    case ASQ__PROMISE_SETTLED:
        return error ? asq__error_input(in->error, text, error) : take_value(in, place, value);
    case ASQ__PROMISE_OPEN:
        return asq__error_input(in->error, text,
                                &(asq_error){ ASQ_ESTATE,
                                              "the promise is not settled yet, and in local mode "
                                              "nothing can settle it before this call runs",
                                              "", "", "", "", "" });
    default:
        return asq__error_input(
            in->error, text,
            &(asq_error){ ASQ_EEXPIRED, "there is no such promise", "", "", "", "", "" });
    }
}

static int take_input(void *user, const struct asq__future_place *place)
{
    struct inputs *in = user;
    struct asq__call_id id;
    const char *text = place->future->future->text;
    struct asq__node *node =
        asq__call_id_parse(text, &id) < 0 ? NULL : asq__table_find(&in->l->kept, &id, sizeof id);
    asq_result *input = node ? ASQ__CONTAINER(node, struct kept, node)->result : NULL;
    if (++in->n > ASQ_MAX_FUTURES)
        return ASQ_ELIMIT;
    if (asq__call_id_parse(text, &id) == 0 && asq__call_id_is_promise(&id))
        return take_promise(in, place, &id);
    if (!input)
        return asq__error_input(
            in->error, text,
            &(asq_error){ ASQ_EEXPIRED, "it has been forgotten", "", "", "", "", "" });
    if (input->error)
        return asq__error_input(in->error, text, &input->error->pub);
    return take_value(in, place, input->value);
}

/* Replaces futures among the arguments by their results. Each result is there or was forgotten,
 * because in local mode a call ends at once. */
static int take_inputs(struct local *l, const Asqueue__Job *job, struct asq__buf *ret_args,
                       struct asq__error *error)
{
    struct inputs in = { .l = l, .error = error, .max_bytes = ret_args->max };
    int rc = asq__value_decode_marked(job->args.data, job->args.len, &in.args, NULL, 0);
    if (rc == 0)
        rc = asq__value_each_future(in.args, take_input, &in);
    if (rc == 0)
        rc = asq__value_encode(in.args, ret_args);
    if (rc < 0 && !error->pub.code)
        asq__error_set(error, rc, "the arguments with the results given as futures: %s",
                       asq_strerror(rc));
    asq_value_free(in.args);
    return rc;
}

/* Returns whether a run that has ended is to be repeated; if so, first waits for the policy's
 * delay. */
static bool wants_retry(asq_ctx *ctx, const Asqueue__Job *job, struct asq__effect *effect)
{
    int64_t delay_ms;
    bool keep_place; /* unused: every call keeps its place here */
    if (!ctx->error.pub.code ||
        !asq__retry_wanted(job->retry, asq__object_retry(ctx->object, job->kind, job->method),
                           ctx->error.pub.code, ctx->attempt, &delay_ms, &keep_place) ||
        delay_ms >= ctx->deadline_ms - asq__now_ms())
        return false;
    sleep_until(asq__deadline_ms(delay_ms));
    asq__effect_release(effect);
    asq__error_clear(&ctx->error);
    ctx->keep_state = false;
    ctx->attempt++;
    ctx->h->retries++;
    asq__step_log_free(ctx->h->steps); /* the next run begins anew */
    ctx->h->steps = NULL;
    if (ctx->h->outer->progress)
        asq__emitted_reset(&ctx->h->outer->progress->got);
    return true;
}

/* Begins to record a run, if its call is traced: the calls of the run are then below it. */
static struct asq__span *begin_span(asq_ctx *ctx, const struct local_agent *a,
                                    const Asqueue__Job *job, const asq_result *r, int64_t due_ns)
{
    char text[ASQ__CALL_ID_TEXT + 16], place[ASQ__PLACE_MAX];
    if (!job->trace || !asq__trace_is_sampled(job->trace->parent.data))
        return NULL;
    snprintf(text, sizeof text, "%s/%u", ctx->call_id, ctx->attempt);
    uint64_t id = asq__siphash64(text, strlen(text));
    id += !id;
    struct asq__span_about about = { a->object.cls ? a->object.cls->def.name : job->class_name,
                                     asq__job_place(job->kind, job->method, place),
                                     job->agent,
                                     ctx->call_id,
                                     r->partition,
                                     ctx->attempt };
    struct asq__span *s =
        asq__span_new(ASQ__SPAN_SERVER, &about, job->trace, NULL, (const uint8_t *) &id, due_ns);
    if (!s)
        return NULL;
    asq__span_enter(s, ASQ__PHASE_RUN, due_ns);
    ctx->trace = ctx->h->outer_trace = &s->trace;
    return s;
}

static void end_span(struct local *l, asq_ctx *ctx, const Asqueue__Job *job, struct asq__span *s)
{
    ctx->trace = ctx->h->outer_trace = job->trace;
    free(ctx->trace_text); /* the next run has a place of its own */
    ctx->trace_text = NULL;
    if (ctx->error.pub.code)
        asq__span_fail(s, ctx->error.pub.code, ctx->error.pub.message);
    s->end_ns = asq__now_ns();
    asq__tracer_add(l->tracer, s);
}

/* Keeps the signal of a job. */
static void keep_signal(asq_ctx *ctx, struct local_agent *a, const Asqueue__Job *job,
                        struct asq__effect *effect)
{
    *effect = (struct asq__effect){ .kind = ASQ__EFFECT_NONE };
    ctx->object = &a->object;
    ctx->cls = a->object.cls;
    asq__buf_init(&effect->value, 0);
    asq__buf_init(&effect->timer_spec, 0);
    if (!a->object.snapshot)
        asq_fail(ctx, ASQ_ENOAGENT, "there is no agent '%s': %s%s", job->agent,
                 a->object.failure ? "its creation failed: " : "it was never created, or deleted",
                 a->object.failure ? a->object.failure : "");
    else if (!asq__signal_box_has_room(&a->signals, job->method, job->args.len))
        asq_fail(ctx, ASQ_EBUSY,
                 "%zu signals of %zu bytes to agent '%.100s' were not heard yet, and no more than "
                 "%d of %d bytes are kept: its calls have to hear some first "
                 "(asq_ctx_next_signal), or somebody deletes the agent",
                 a->signals.n, a->signals.bytes, job->agent, ASQ__SIGNALS_MAX, ASQ__SIGNALS_BYTES);
    else if (!asq__signal_box_add(&a->signals, job->method, job->args.data, job->args.len,
                                  asq__wall_ms()))
        asq_fail(ctx, ASQ_ENOMEM, "out of memory");
    if (ctx->error.pub.code)
        asq__error_where(&ctx->error, a->object.cls ? a->object.cls->def.name : job->class_name,
                         "signal", job->agent, "", ctx->call_id);
}

/* ---- live attributes ---- */

static void publish(asq_ctx *ctx, struct asq__live *values)
{
    struct local_agent *a = ASQ__CONTAINER(ctx->object, struct local_agent, object);
    asq__live_unref(a->live);
    a->live = values;
}

/* Returns what a job that comes while a call is under way reads; NULL: it is none that does. */
static const struct asq__live_value *published(const struct local_agent *a, const Asqueue__Job *job)
{
    return job->kind == ASQUEUE__JOB_KIND__GET ? asq__live_find(a->live, job->method) : NULL;
}

static void read_published(asq_ctx *ctx, struct local_agent *a, const Asqueue__Job *job,
                           const struct asq__live_value *v, struct asq__effect *effect)
{
    char place[ASQ__PLACE_MAX];
    const void *bytes = asq__live_bytes(a->live, v);
    *effect = (struct asq__effect){ .kind = ASQ__EFFECT_NONE };
    ctx->object = &a->object;
    asq__buf_init(&effect->value, v->n);
    asq__buf_init(&effect->timer_spec, 0);
    if (v->code) {
        asq_fail(ctx, v->code, "%s", (const char *) bytes);
        asq__error_where(&ctx->error, a->object.cls->def.name,
                         asq__job_place(job->kind, job->method, place), job->agent, "",
                         ctx->call_id);
    } else {
        asq__buf_put(&effect->value, bytes, v->n);
        if (effect->value.error)
            asq_fail(ctx, ASQ_ENOMEM, "out of memory");
    }
}

/* Ends what a call has published. One inside of another leaves it, unless it has failed. */
static void end_published(struct local_agent *a, struct asq__live *before, bool failed)
{
    if (!a->object.depth || failed) {
        asq__live_unref(a->live);
        a->live = before;
    } else {
        asq__live_unref(before);
    }
}

/* Runs one decoded job inline and completes its result. */
static void run(asq *h, const Asqueue__Job *job, asq_result *r)
{
    struct local *l = h->impl;
    asq_ctx ctx;
    struct asq__effect effect;
    struct local_agent *a = find_or_add(l, job->agent);
    size_t outer = h->chain ? h->chain->n_links : 0;
    Asqueue__Link own, **links = calloc(outer + 1, sizeof(Asqueue__Link *));
    Asqueue__Chain chain;
    asqueue__link__init(&own);
    asqueue__chain__init(&chain);
    char call_id[ASQ__CALL_ID_TEXT];
    memcpy(call_id, asq__result_id_text(r), sizeof call_id);
    asq__ctx_init(&ctx, &l->env);
    ctx.call_id = call_id;
    ctx.trace = job->trace;
    ctx.expiry = job->expiry.len ? &job->expiry : NULL;
    ctx.h = NULL;
    if (links) {
        for (size_t i = 0; i < outer; i++)
            links[i] = h->chain->links[i];
        own.call = call_id;
        own.agent = job->agent;
        links[outer] = &own;
        chain.links = links;
        chain.n_links = outer + 1;
        ctx.h = method_handle(h, &chain);
    }
    if (outer)
        ctx.caller_agent = h->chain->links[outer - 1]->agent;
    if (job->timeout_ms && job->timeout_ms <= INT64_MAX)
        ctx.deadline_ms = asq__deadline_ms((int64_t) job->timeout_ms);
    if (h->deadline_ms < ctx.deadline_ms)
        ctx.deadline_ms = h->deadline_ms; /* the outer call's deadline limits it */
    if (ctx.h) {
        ctx.h->deadline_ms = ctx.deadline_ms;
        ctx.h->outer_trace = ctx.trace;
        ctx.h->outer = r;
    }
    struct asq__buf inputs;
    asq__buf_init(&inputs, h->max_message_size);
    if (job->delay_ms)
        sleep_until(min_ms(asq__deadline_ms((int64_t) job->delay_ms), ctx.deadline_ms));
    if (!a || !ctx.h) {
        asq__error_set(&ctx.error, ASQ_ENOMEM, "out of memory");
    } else if (asq__now_ms() >= ctx.deadline_ms) {
        asq__error_set(&ctx.error, ASQ_EDEADLINE, "its deadline had passed before it was its turn");
    } else if (job->inputs) {
        take_inputs(l, job, &inputs, &ctx.error);
    }
    if (ctx.error.pub.code) {
        char place[ASQ__PLACE_MAX];
        asq__error_where(&ctx.error, job->class_name, asq__job_place(job->kind, job->method, place),
                         job->agent, "", call_id);
        asq__result_set(r, NULL, &ctx.error.pub);
    } else {
        int64_t due_ns = asq__now_ns();
        struct asq__live *before = a->live ? asq__live_ref(a->live) : NULL;
        ctx.publishes = !a->object.depth;
        do {
            struct asq__span *span = l->tracer ? begin_span(&ctx, a, job, r, due_ns) : NULL;
            if (job->kind == ASQUEUE__JOB_KIND__SIGNAL)
                keep_signal(&ctx, a, job, &effect);
            else if (published(a, job))
                read_published(&ctx, a, job, published(a, job), &effect);
            else
                asq__object_run(&ctx, &a->object, job->kind, job->class_name, job->method,
                                job->inputs ? inputs.data : job->args.data,
                                job->inputs ? inputs.len : job->args.len, &effect);
            if (span)
                end_span(l, &ctx, job, span);
            due_ns = asq__now_ns();
        } while (wants_retry(&ctx, job, &effect));
        end_published(a, before, ctx.error.pub.code != 0);
        if (!ctx.error.pub.code && effect.timer != ASQ__TIMER_NONE &&
            asq__local_timers_change(&l->timers, job, &effect) < 0)
            asq__error_set(&ctx.error, ASQ_ENOMEM, "out of memory");
        struct asq__snapshot *unused;
        if (!a->object.depth && job->kind != ASQUEUE__JOB_KIND__EXPIRE &&
            !asq__object_touch(&a->object, asq__wall_ms(), &unused) && !ctx.error.pub.code)
            asq__error_set(&ctx.error, ASQ_ENOMEM, "out of memory");
        if (effect.kind == ASQ__EFFECT_DELETE)
            asq__signal_box_release(&a->signals);
        Asqueue__Result m;
        asqueue__result__init(&m);
        m.value.data = effect.value.data;
        m.value.len = effect.value.len;
        if (ctx.error.pub.code)
            asq__result_set(r, NULL, &ctx.error.pub);
        else
            asq__result_set_message(r, &m);
        asq__effect_release(&effect);
    }
    if (a && !a->object.snapshot && !a->object.failure && !a->object.depth) {
        asq__table_del(&l->agents, &a->node);
        asq__object_release(&a->object);
        asq__signal_box_release(&a->signals);
        free(a);
    }
    asq__buf_release(&inputs);
    asq__ctx_release(&ctx);
    if (ctx.h) {
        ctx.h->closed = true;
        ctx.h->chain = NULL;
        ctx.h->outer_trace = NULL;
        ctx.h->outer = NULL;
        asq__handle_drop_callbacks(ctx.h);
        asq__handle_unref(ctx.h);
    }
    free(links);
}

static void new_id(struct local *l, asq_result *r)
{
    uint64_t number = l->number, counter = ++l->counter;
    for (int i = 7; i >= 0; i--, number >>= 8, counter >>= 8) {
        r->id.batch[i] = (uint8_t) number;
        r->id.batch[8 + i] = (uint8_t) counter;
    }
    r->id.partition = r->partition;
}

static int local_submit(asq *h, asq_result **results, size_t n)
{
    struct local *l = h->impl;
    int rc = asq__handle_need_class(h, &l->registry);
    if (rc < 0)
        return rc;
    asq__handle_enter(h); /* a method may close its program's handle */
    if (!h->in_method)
        asq__local_timers_fire(&l->timers, h);
    for (size_t i = 0; i < n; i++) {
        asq_result *r = results[i];
        struct asq__arena arena;
        struct asq__buf bytes;
        Asqueue__Batch *batch;
        char why[300];
        new_id(l, r);
        asq__arena_init(&arena, r->job.len * 4 + 65536);
        asq__buf_init(&bytes, r->job.len + 256);
        asq__batch_head(r->id.batch, "", 0, &bytes);
        asq__buf_put(&bytes, r->job.data, r->job.len);
        rc = bytes.error;
        if (rc == 0)
            rc = asq__batch_decode(bytes.data, bytes.len, &arena, &batch, why, sizeof why);
        if (rc == 0) {
            run(h, batch->jobs[0], r);
        } else {
            asq_error error = { rc, why, "", "", "", "", "" };
            asq__result_set(r, NULL, &error);
        }
        h->ncompleted++;
        if (r->unwatched && asq_result_error(r)->code)
            asq__handle_note_failure(h, r, asq_result_error(r));
        asq__buf_release(&r->job);
        asq__buf_release(&bytes);
        asq__arena_release(&arena);
    }
    asq__handle_leave(h);
    return 0;
}

/* Sleeps, and fires timers meanwhile; inside a method it only sleeps. ASQ_ECLOSED: a timer's call
 * has closed the handle. */
static int sleep_and_fire(asq *h, int64_t until_ms)
{
    bool closed = false;
    asq__handle_enter(h);
    while (!h->in_method && !closed && asq__now_ms() < until_ms) {
        struct local *l = h->impl;
        asq__local_timers_fire(&l->timers, h);
        if (!(closed = h->closed))
            sleep_until(min_ms(until_ms, asq__local_timers_next_ms(&l->timers)));
    }
    asq__handle_leave(h);
    if (!closed)
        sleep_until(until_ms);
    return closed ? ASQ_ECLOSED : 0;
}

/* Waits. All calls have completed already, so only time can pass. */
static int local_wait(asq *h, bool (*ready)(void *arg), void *arg, int64_t timeout_ms)
{
    asq__handle_enter(h);
    asq__handle_run_callbacks(h);
    bool is_ready = ready(arg);
    bool closed = h->closed;
    asq__handle_leave(h);
    if (is_ready || closed)
        return is_ready ? 0 : ASQ_ECLOSED;
    if (timeout_ms < 0)
        return asq__fail(
            h, ASQ_ESTATE,
            "a wait without a limit would never end: in local mode no call is under way");
    int64_t until = asq__deadline_ms(timeout_ms);
    if (timeout_ms > 0 && h->deadline_ms < until) {
        sleep_and_fire(h, h->deadline_ms);
        return asq__fail(h, ASQ_EDEADLINE, "the call's deadline has passed");
    }
    return sleep_and_fire(h, until) < 0 ? ASQ_ECLOSED : ASQ_ETIMEOUT;
}

static int local_flush(asq *h)
{
    (void) h;
    return 0;
}

static bool local_accepted(asq *h)
{
    (void) h;
    return true;
}

static void local_keep(asq *h, asq_result *r)
{
    struct local *l = h->impl;
    if (asq__table_find(&l->kept, &r->id, sizeof r->id))
        return;
    struct kept *k = calloc(1, sizeof *k);
    if (!k)
        return; /* the result then seems expired */
    k->result = r;
    asq__result_ref(r);
    asq__table_add(&l->kept, &k->node);
}

static int local_attach(asq *h, asq_result *r)
{
    struct local *l = h->impl;
    if (asq__call_id_is_promise(&r->id)) {
        int rc = asq__local_promise_await(&l->promises, r);
        if (rc != ASQ_EEXPIRED)
            return rc < 0 ? asq__fail_memory(h) : 0;
    }
    struct asq__node *node = asq__table_find(&l->kept, &r->id, sizeof r->id);
    h->ncompleted++;
    if (!node) {
        asq_error error = {
            ASQ_EEXPIRED,          "no result is kept under this call id", "", "", "", "",
            asq__result_id_text(r)
        };
        asq__result_set(r, NULL, &error);
        return 0;
    }
    asq_result *source = ASQ__CONTAINER(node, struct kept, node)->result;
    struct asq__progress *from = source->progress;
    struct asq__progress *to = from ? asq__result_progress(r) : NULL;
    if (from && (!to || asq__emitted_copy(&to->got, &from->got) < 0))
        return asq__fail_memory(h);
    asq__result_set(r, source->value ? asq_value_copy(source->value) : NULL,
                    source->error ? &source->error->pub : NULL);
    return 0;
}

/* Keeps a value with the result. The caller sees it when the call has ended. */
static int local_emit(asq *h, const void *value, size_t n)
{
    struct asq__progress *p = h->outer ? asq__result_progress(h->outer) : NULL;
    if (!h->outer)
        return asq__fail(h, ASQ_ECLOSED, "the method has ended");
    return !p || asq__emitted_add(&p->got, value, n) < 0 ? asq__fail_memory(h) : 0;
}

/* A method that waits for a signal. */
struct signal_wait {
    const struct asq__signal_box *signals;
    const char *name;
};

static bool has_signal(void *arg)
{
    const struct signal_wait *w = arg;
    return asq__signal_box_find(w->signals, w->name);
}

/* Nobody sends a signal while a method waits, because nothing else runs then. */
static int local_next_signal(asq *h, struct asq__signal_wait *wait)
{
    struct local *l = h->impl;
    const char *agent = h->chain->links[h->chain->n_links - 1]->agent;
    struct local_agent *a = find_or_add(l, agent); /* it is there: a method of it runs */
    struct signal_wait w = { a ? &a->signals : NULL, wait->name };
    if (!a)
        return asq__fail_memory(h);
    if (wait->timeout_ms < 0 && !has_signal(&w))
        return asq__fail(h, ASQ_ESTATE,
                         "a wait without a limit would never end: in local mode nobody sends a "
                         "signal while a method waits");
    int rc = local_wait(h, has_signal, &w, wait->timeout_ms);
    if (rc < 0)
        return rc;
    struct asq__signal *s = asq__signal_box_find(&a->signals, wait->name);
    asq__buf_init(&wait->value, ASQ__SIGNAL_MAX);
    asq__buf_put(&wait->value, s->value, s->value_n);
    if (wait->value.error)
        return asq__fail_memory(h);
    asq__signal_box_remove(&a->signals, s);
    return 0;
}

int asq__local_signals(asq *h, const char *agent, asq_value *list)
{
    struct local *l = h->impl;
    if (h->closed)
        return asq__fail(h, ASQ_ECLOSED, "the handle was closed");
    struct asq__node *node = asq__table_find(&l->agents, agent, strlen(agent));
    int rc =
        node ? asq__signals_add(list, &ASQ__CONTAINER(node, struct local_agent, node)->signals) : 0;
    return rc == ASQ_ENOMEM ? asq__fail_memory(h) : rc;
}

/* Opens a promise. Records are not kept, because no call runs again without a failure. */
static int local_record(asq *h, const void *records, size_t n, const uint8_t *promise, bool binds,
                        bool wait)
{
    struct local *l = h->impl;
    (void) records, (void) n, (void) binds, (void) wait;
    if (!promise)
        return 0;
    if (!h->outer)
        return asq__fail(h, ASQ_ECLOSED, "the method has ended");
    struct asq__call_id id = h->outer->id;
    id.index = ASQ__PROMISE_INDEX;
    memcpy(id.batch, promise, sizeof id.batch);
    return asq__local_promise_open(&l->promises, &id, asq__result_id_text(h->outer)) < 0
               ? asq__fail_memory(h)
               : 0;
}

static int local_settle(asq *h, const struct asq__settlement *s, enum asq__settled *ret)
{
    struct local *l = h->impl;
    asq__handle_enter(h);
    int rc = asq__local_promise_settle(&l->promises, s, ret);
    asq__handle_run_callbacks(h);
    bool closed = h->closed;
    asq__handle_leave(h);
    return rc < 0 && !closed ? asq__fail_memory(h) : rc;
}

enum asq__promise_state asq__local_promise(asq *h, const struct asq__call_id *id,
                                           const asq_value **ret_value, const asq_error **ret_error,
                                           const char **ret_maker)
{
    const struct local *l = h->impl;
    return asq__local_promise_find(&l->promises, id, ret_value, ret_error, ret_maker);
}

static int local_cancel(asq *h, asq_result *r)
{
    (void) h;
    (void) r;
    return 0; /* the call has ended already */
}

static int local_attach_ev(asq *h, struct ev_loop *loop)
{
    (void) h;
    (void) loop;
    return 0;
}

/* ---- life ---- */

static void free_agent(struct asq__node *node, void *user)
{
    struct local *l = user;
    struct local_agent *a = ASQ__CONTAINER(node, struct local_agent, node);
    asq__table_del(&l->agents, node);
    asq__object_release(&a->object);
    asq__signal_box_release(&a->signals);
    free(a);
}

static void free_kept(struct asq__node *node, void *user)
{
    struct local *l = user;
    struct kept *k = ASQ__CONTAINER(node, struct kept, node);
    asq__table_del(&l->kept, node);
    asq__result_unref(k->result);
    free(k);
}

static void local_free(struct local *l)
{
    asq__local_timers_free(&l->timers);
    asq__local_promises_free(&l->promises);
    asq__table_each(&l->kept, free_kept, l);
    asq__table_each(&l->agents, free_agent, l);
    asq__table_release(&l->kept);
    asq__table_release(&l->agents);
    asq__registry_release(&l->registry);
    asq_value_free(l->models);
    free(l);
}

static int local_close(asq *h)
{
    struct local *l = h->impl;
    h->registry = NULL;
    local_free(l);
    h->impl = NULL;
    return 0;
}

int asq__local_schedules(asq *h, const char *agent, asq_value *list)
{
    struct local *l = h->impl;
    if (h->closed)
        return asq__fail(h, ASQ_ECLOSED, "the handle was closed");
    asq__handle_enter(h);
    asq__local_timers_fire(&l->timers, h);
    int rc = h->closed ? asq__fail(h, ASQ_ECLOSED, "a timer's call closed the handle")
                       : asq__local_timers_list(&l->timers, agent, list);
    asq__handle_leave(h);
    return rc == ASQ_ENOMEM ? asq__fail_memory(h) : rc;
}

const struct asq__mode asq__local_mode = {
    .name = "local",
    .submit = local_submit,
    .wait = local_wait,
    .flush = local_flush,
    .accepted = local_accepted,
    .attach = local_attach,
    .keep = local_keep,
    .cancel = local_cancel,
    .attach_ev = local_attach_ev,
    .next_signal = local_next_signal,
    .emit = local_emit,
    .record_steps = local_record,
    .settle = local_settle,
    .unseen = asq__handle_note_unseen,
    .close = local_close,
};

static void log_method(void *user, asq_log_level level, const char *message,
                       const asq_log_fields *fields)
{
    (void) fields;
    asq__log_text(user, level, message);
}

int asq__local_open(asq *h, const asq_options *options, char *err, size_t errlen)
{
    struct local *l = calloc(1, sizeof *l);
    if (!l)
        return asq__err(err, errlen, ASQ_ENOMEM, "out of memory");
    asq__local_timers_init(&l->timers);
    int rc = asq__registry_init(&l->registry);
    if (rc == 0)
        rc = asq__table_init(&l->agents, agent_key);
    if (rc == 0)
        rc = asq__table_init(&l->kept, kept_key);
    if (rc == 0)
        rc = asq__local_promises_init(&l->promises);
    if (rc < 0)
        asq__err(err, errlen, rc, "out of memory");
    if (rc == 0 && options->agent_dir) {
        rc = asq__plugins_load(&l->registry, options->agent_dir, NULL, err, errlen);
    }
    if (rc == 0 && options->model_config_path)
        rc = asq__model_load(options->model_config_path, &l->models, err, errlen);
    if (rc == 0 && asq__random(&l->number, sizeof l->number) < 0)
        rc = asq__err(err, errlen, ASQ_ESYS, "getrandom: %s", strerror(errno));
    if (rc < 0) {
        local_free(l);
        return rc;
    }
    h->impl = l;
    l->tracer = h->tracer;
    h->partitions = options->partitions ? options->partitions : 128;
    h->registry = &l->registry;
    l->env = (struct asq__env){ .registry = &l->registry,
                                .publish = publish,
                                .models = l->models,
                                .worker = "",
                                .max_message_size = h->max_message_size,
                                .log = log_method,
                                .log_user = h };
    return 0;
}
