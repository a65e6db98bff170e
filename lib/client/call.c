/*
 * call.c: makes calls: checks and encodes the arguments, makes a result for each job, and lets the
 * mode submit the jobs of one statement together.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "asqueue.h"
#include "client/call_span.h"
#include "client/handle.h"
#include "client/own_stats.h"
#include "client/pools.h"
#include "client/step_log.h"
#include "client/object.h"
#include "client/retry.h"
#include "value/buf.h"
#include "value/clock.h"
#include "value/error.h"
#include "value/msg.h"
#include "value/random.h"
#include "value/sized_options.h"
#include "value/trace.h"
#include "value/value.h"

enum { ON_STACK = 16, BUSY_FIRST_MS = 10, BUSY_MAX_MS = 1000 };

static const char *kind_name(Asqueue__JobKind kind)
{
    switch (kind) {
    case ASQUEUE__JOB_KIND__CREATE:
    case ASQUEUE__JOB_KIND__GET_OR_CREATE: return "(create)";
    case ASQUEUE__JOB_KIND__DELETE: return "(delete)";
    case ASQUEUE__JOB_KIND__GET: return "(get)";
    case ASQUEUE__JOB_KIND__SET: return "(set)";
    case ASQUEUE__JOB_KIND__EXISTS: return "(exists)";
    case ASQUEUE__JOB_KIND__DESCRIBE: return "(describe)";
    case ASQUEUE__JOB_KIND__SCHEDULE: return "(schedule)";
    case ASQUEUE__JOB_KIND__UNSCHEDULE: return "(unschedule)";
    case ASQUEUE__JOB_KIND__SIGNAL: return "(signal)";
    case ASQUEUE__JOB_KIND__EXPIRE: return "(expire)";
    default: return "";
    }
}

/* Appends to a label of *n bytes. False: it was cut. */
static bool put_label(char *label, size_t *n, const char *s)
{
    size_t len = strlen(s), room = ASQ__CALL_LABEL - 1 - *n, taken = len < room ? len : room;
    memcpy(label + *n, s, taken);
    *n += taken;
    return taken == len;
}

/* Does the same with one character. */
static bool put_label_char(char *label, size_t *n, char c)
{
    if (*n == ASQ__CALL_LABEL - 1)
        return false;
    label[(*n)++] = c;
    return true;
}

/* Sets the call's label for redis-cli: "class/agent.method". */
static void set_label(asq_result *r, const struct asq__job *job, const char *method)
{
    const char *class_name = job->class_name ? job->class_name : "";
    char *label = r->label;
    size_t n = 0;
    bool whole =
        (!*class_name || (put_label(label, &n, class_name) && put_label_char(label, &n, '/'))) &&
        put_label(label, &n, job->agent) && put_label_char(label, &n, '.') &&
        put_label(label, &n, method);
    label[n] = '\0';
    while (!whole && n && !asq__utf8_valid(label, n)) /* cut in the middle of a character */
        label[--n] = '\0';
}

/* Futures found by resolve_inputs, and the arguments into which it puts their values. */
struct inputs {
    asq *h;
    size_t n, there;    /* futures to be awaited; futures that are done */
    asq_result *failed; /* the first future that has failed, or NULL */
    asq_value *args;    /* a copy of the arguments, to be changed */
    size_t bytes;       /* size of the inserted values */
};

static asq_result *finished_input(const asq_value *future)
{
    asq_result *input = future->future->live.object;
    return input && asq__result_is_done(input) ? input : NULL;
}

static int count_input(void *user, const struct asq__future_place *place)
{
    struct inputs *in = user;
    asq_result *live = place->future->future->live.object, *input;
    if (live && live->h != in->h)
        return asq__fail(
            in->h, ASQ_EINVAL,
            "the result of call %s, given as an argument, belongs to another handle; wait for it "
            "and pass its value",
            asq__result_id_text(live));
    if (place->future->future->unawaited)
        return 0;
    in->n++;
    input = in->h->mode->repeats ? NULL : finished_input(place->future);
    if (input) {
        in->there++;
        if (!in->failed && asq_result_error(input)->code)
            in->failed = input;
    }
    return in->n > ASQ_MAX_FUTURES
               ? asq__fail(in->h, ASQ_ELIMIT,
                           "there are more than %d results of other calls among the arguments",
                           ASQ_MAX_FUTURES)
               : 0;
}

static int put_input(void *user, const struct asq__future_place *place)
{
    struct inputs *in = user;
    asq_result *input = finished_input(place->future);
    if (!input)
        return 0;
    in->bytes += (size_t) asq_value_encoded_size(input->value);
    if (in->bytes > in->h->max_message_size)
        return asq__fail(in->h, ASQ_ELIMIT,
                         "the arguments, with the results that were given as futures, are larger "
                         "than %zu bytes",
                         in->h->max_message_size);
    int rc = asq__future_replace(&in->args, place, asq_value_copy(input->value));
    return rc < 0 ? asq__fail(in->h, rc, "putting the result of call %s into the arguments: %s",
                              asq__result_id_text(input),
                              rc == ASQ_ELIMIT ? "nested too deep" : asq_strerror(rc))
                  : 0;
}

/* Resolves futures among the arguments. A done future is replaced by its value. A failed future
 * fails the call, which is not sent. The worker awaits an unfinished one. The arguments are copied
 * only if one is replaced. */
static int resolve_inputs(asq *h, const asq_value *args, asq_value **ret_copy,
                          asq_result **ret_failed, bool *ret_inputs)
{
    struct inputs in = { .h = h };
    int rc = asq__value_every_future(args, count_input, &in);
    if (rc < 0)
        return rc;
    *ret_failed = in.failed;
    *ret_inputs = in.n > in.there;
    if (in.failed || !in.there)
        return 0;
    if (!(in.args = asq_value_copy(args)))
        return asq__fail_memory(h);
    rc = asq__value_each_future(in.args, put_input, &in);
    *ret_copy = in.args;
    return rc;
}

static int encode(asq *h, const struct asq__job *job, asq_result *r)
{
    asq__buf_init(&r->job, h->max_message_size);
    int rc = asq__job_encode(job, &r->job);
    if (rc == ASQ_ELIMIT)
        return asq__fail(h, rc,
                         "the arguments of %s are larger than %zu bytes or nested deeper than %d",
                         r->label, h->max_message_size, ASQ_MAX_DEPTH);
    if (rc < 0)
        return asq__fail(h, rc, "encoding the arguments of %s: %s", r->label, asq_strerror(rc));
    return 0;
}

/* Completes the result of a call that is not sent. Its id has the usual form, so that the result
 * can be used as a future. */
static int fail_unsent(asq *h, const struct asq__job *job, asq_result *r, const asq_result *failed)
{
    struct asq__error error;
    char place[ASQ__PLACE_MAX];
    if (asq__random(r->id.batch, sizeof r->id.batch) < 0)
        return asq__fail(h, ASQ_ESYS, "getrandom: %s", strerror(errno));
    r->id.partition = r->partition;
    asq__error_init(&error);
    asq__error_input(&error, asq__result_id_text(failed), asq_result_error(failed));
    asq__error_where(&error, job->class_name, asq__job_place(job->kind, job->method, place),
                     job->agent, NULL, asq__result_id_text(r));
    asq__result_set(r, NULL, &error.pub);
    asq__error_clear(&error);
    h->ncompleted++;
    return 0;
}

/* Makes the result of a job, and encodes the job. now_ns is needed if the handle has figures. */
static int prepare(asq *h, const struct asq__job *job, bool ret_wanted, int64_t now_ns,
                   asq_result **ret)
{
    char why[300];
    const char *method = job->kind == ASQUEUE__JOB_KIND__CALL ? job->method : kind_name(job->kind);
    asq_result *r, *failed = NULL;
    asq_value *resolved = NULL;
    bool inputs = false;
    int rc = asq__check_id(job->agent, why, sizeof why);
    if (rc < 0)
        return asq__fail(h, rc, "%s", why);
    rc = asq__result_new(h, &r);
    if (rc < 0)
        return rc;
    set_label(r, job, method);
    if (h->own_stats)
        asq__own_stats_begin(r, job->class_name ? job->class_name : "", method, now_ns);
    rc = asq__agent_partition(h, job->agent, &r->partition);
    if (rc == 0)
        rc = resolve_inputs(h, job->args, &resolved, &failed, &inputs);
    if (rc == 0 && failed) {
        if (ret_wanted) {
            rc = fail_unsent(h, job, r, failed);
        } else {
            rc =
                asq__fail(h, ASQ_EINPUT,
                          "%s was not called: the result of call %s, given as an argument, is a "
                          "failure: %s",
                          r->label, asq__result_id_text(failed), asq_result_error(failed)->message);
        }
    } else if (rc == 0) {
        struct asq__job whole = *job;
        whole.chain = h->chain;
        whole.inputs = inputs;
        if (!whole.trace)
            whole.trace = h->own_trace ? h->own_trace : h->outer_trace;
        if (h->tracer)
            asq__call_span_begin(r, &whole);
        if (!whole.timeout_ms)
            whole.timeout_ms = (uint64_t) h->call_deadline_ms;
        if (resolved)
            whole.args = resolved;
        r->timed = whole.timeout_ms || whole.delay_ms;
        r->creates =
            job->kind == ASQUEUE__JOB_KIND__CREATE || job->kind == ASQUEUE__JOB_KIND__GET_OR_CREATE;
        rc = encode(h, &whole, r);
        if (rc == 0 && h->mode->await_agents)
            rc = h->mode->await_agents(h, whole.args, r);
    }
    asq_value_free(resolved);
    if (rc < 0)
        asq_result_free(r);
    else
        *ret = r;
    return rc;
}

int asq__call_jobs(asq *h, const struct asq__job *jobs, size_t n, asq_result **ret)
{
    asq_result *small[2 * ON_STACK], **results = small;
    size_t made = 0, to_send = 0;
    int rc = 0;
    if (h->closed)
        return asq__fail(h, ASQ_ECLOSED, "the handle was closed");
    if (h->in_method && h->notifying)
        return asq__fail(
            h, ASQ_ESTATE,
            "inside a method, a callback of asq_call_each or asq_result_on_emit must not make "
            "calls: their order would differ when the method runs again");
    if (h->steps && h->steps->in_step)
        return asq__fail(
            h, ASQ_ESTATE,
            "inside of a step no calls can be made: its function does not run again, and they "
            "would be missing then. The method makes them, before or after the step");
    if (n > ON_STACK && !(results = calloc(n, 2 * sizeof *results)))
        return asq__fail_memory(h);
    asq_result **sent = results + n;
    int64_t now_ns = h->own_stats ? asq__now_ns() : 0;
    while (made < n && rc == 0) {
        rc = prepare(h, &jobs[made], ret != NULL, now_ns, &results[made]);
        if (rc < 0)
            break;
        if (!asq__result_is_done(results[made]))
            sent[to_send++] = results[made];
        made++;
    }
    for (size_t i = 0; i < to_send; i++)
        sent[i]->unwatched = !ret;
    if (rc == 0 && to_send)
        rc = h->mode->submit(h, sent, to_send);
    for (size_t i = 0; i < made; i++) {
        if (rc == 0 && ret)
            ret[i] = results[i];
        else
            asq_result_free(results[i]);
    }
    if (results != small)
        free(results);
    return rc;
}

int asq__call_job(asq *h, const struct asq__job *job, asq_result **ret)
{
    return asq__call_jobs(h, job, 1, ret);
}

/* ---- public ---- */

static int take_options(const asq_call_options *given, asq_call_options *ret, char *err,
                        size_t errlen)
{
    *ret = (asq_call_options) ASQ_CALL_OPTIONS_INIT;
    int rc = asq__sized_options_take(ret, sizeof *ret, given, "ASQ_CALL_OPTIONS_INIT", err, errlen);
    if (rc < 0)
        return rc;
    if (ret->deadline_ms < 0)
        return asq__err(err, errlen, ASQ_EDEADLINE, "its deadline has passed");
    if (ret->delay_ms < 0)
        return asq__err(err, errlen, ASQ_EINVAL, "its delay is negative");
    return ret->retry ? asq__retry_check(ret->retry, err, errlen) : 0;
}

/* Calls a method. The arguments are encoded when the function returns. */
static int call_value(asq_agent *agent, const char *method, const asq_call_options *given,
                      const asq_value *args, asq_result **ret)
{
    char why[300];
    asq *h = agent->h;
    asq_call_options options;
    uint8_t parent[ASQ__TRACE_PARENT];
    int rc = asq__check_name("method", method, why, sizeof why);
    if (rc < 0) {
        rc = asq__fail(h, rc, "%s", why);
    } else if (args && asq_value_type(args) != ASQ_LIST && asq_value_type(args) != ASQ_MAP) {
        rc = asq__fail(h, ASQ_EINVAL,
                       "the arguments of %s are a value of type %s; a list (positional) or "
                       "a map (named) is needed",
                       method, asq_type_name(asq_value_type(args)));
    } else if ((rc = take_options(given, &options, why, sizeof why)) < 0) {
        asq__fail(h, rc, "the call of %s: %s", method, why);
    } else if (options.trace &&
               (rc = asq__trace_parse(options.trace, parent, why, sizeof why)) < 0) {
        asq__fail(h, rc, "the call of %s: %s", method, why);
    } else {
        Asqueue__Trace trace;
        if (options.trace)
            asq__trace_borrow(&trace, parent, options.trace->state);
        struct asq__job job = {
            .kind = ASQUEUE__JOB_KIND__CALL,
            .agent = agent->id,
            .class_name = agent->class_name,
            .method = method,
            .args = args,
            .timeout_ms = (uint64_t) options.deadline_ms,
            .no_result = !ret || options.no_result,
            .delay_ms = (uint64_t) options.delay_ms,
            .retry = options.retry,
            .trace = options.trace ? &trace : NULL,
        };
        rc = asq__call_job(h, &job, ret);
    }
    return rc;
}

int asq_callv(asq_agent *agent, const char *method, const asq_call_options *given, asq_value *args,
              asq_result **ret)
{
    if (!agent) {
        asq_value_free(args);
        return ASQ_EINVAL;
    }
    int rc = call_value(agent, method, given, args, ret);
    asq_value_free(args);
    return rc;
}

/* Packs arguments, which point into the caller's memory. fmt NULL: none. */
static int pack(asq *h, asq_value **ret, const char *fmt, va_list ap)
{
    char why[200];
    *ret = NULL;
    if (!fmt)
        return 0;
    int rc = asq__vpack_borrowed(ret, why, sizeof why, fmt, ap);
    return rc < 0 ? asq__fail(h, rc, "the arguments \"%s\": %s", fmt, why) : 0;
}

static int pack_and_call(asq_agent *agent, const char *method, asq_result **ret, const char *fmt,
                         va_list ap)
{
    asq_value *args;
    int rc = pack(agent->h, &args, fmt, ap);
    if (rc == 0)
        rc = call_value(agent, method, NULL, args, ret);
    asq_value_free(args);
    return rc;
}

int asq_call(asq_agent *agent, const char *method, asq_result **ret, const char *fmt, ...)
{
    if (!agent)
        return ASQ_EINVAL;
    va_list ap;
    va_start(ap, fmt);
    int rc = pack_and_call(agent, method, ret, fmt, ap);
    va_end(ap);
    return rc;
}

int asq_send(asq_agent *agent, const char *method, const char *fmt, ...)
{
    if (!agent)
        return ASQ_EINVAL;
    va_list ap;
    va_start(ap, fmt);
    int rc = pack_and_call(agent, method, NULL, fmt, ap);
    va_end(ap);
    return rc;
}

/* Tries asq_call_wait once. *ret_refused: the call found no room. */
static int call_and_wait(asq_agent *agent, const char *method, const asq_value *args,
                         asq_value **ret, bool *ret_refused)
{
    asq_result *r;
    int rc = call_value(agent, method, NULL, args, &r);
    *ret_refused = rc == ASQ_EBUSY;
    if (rc < 0)
        return rc;
    rc = ret ? asq_result_take(r, ret) : asq_result_wait(r, agent->h->timeout_ms);
    *ret_refused = rc < 0 && asq__result_is_done(r) && r->refused;
    asq_result_free(r);
    return rc;
}

/* Tries until the call finds room, at most for the handle's busy_wait_ms. */
static int call_until_taken(asq_agent *agent, const char *method, const asq_value *args,
                            asq_value **ret)
{
    asq *h = agent->h;
    int64_t give_up_ms = asq__deadline_ms(h->busy_wait_ms), pause_ms = BUSY_FIRST_MS;
    for (;;) {
        bool refused;
        int rc = call_and_wait(agent, method, args, ret, &refused);
        int64_t left = give_up_ms - asq__now_ms();
        if (!refused || left <= 0)
            return rc;
        int64_t wait_ms = asq__retry_jitter(pause_ms);
        if ((rc = asq_sleep(h, wait_ms < left ? wait_ms : left)) < 0)
            return rc;
        pause_ms = pause_ms * 2 < BUSY_MAX_MS ? pause_ms * 2 : BUSY_MAX_MS;
    }
}

int asq_call_wait(asq_agent *agent, const char *method, asq_value **ret, const char *fmt, ...)
{
    if (!agent)
        return ASQ_EINVAL;
    asq_value *args;
    bool refused;
    va_list ap;
    va_start(ap, fmt);
    int rc = pack(agent->h, &args, fmt, ap);
    va_end(ap);
    if (rc < 0)
        return rc;
    rc = !agent->h->busy_wait_ms || agent->h->in_method
             ? call_and_wait(agent, method, args, ret, &refused)
             : call_until_taken(agent, method, args, ret);
    asq_value_free(args);
    return rc;
}

int asq_broadcast(asq_agent *const *agents, size_t n, const char *method, asq_value *args,
                  asq_result **ret)
{
    char why[300];
    int rc = 0;
    struct asq__job *jobs = NULL;
    if (n == 0)
        goto out;
    rc = asq__agents_check(agents, n, "asq_broadcast");
    if (rc < 0)
        goto out;
    asq *h = agents[0]->h;
    rc = asq__check_name("method", method, why, sizeof why);
    if (rc < 0) {
        asq__fail(h, rc, "%s", why);
        goto out;
    }
    if (!(jobs = calloc(n, sizeof *jobs))) {
        rc = asq__fail_memory(h);
        goto out;
    }
    for (size_t i = 0; i < n; i++) {
        jobs[i] = (struct asq__job){ .kind = ASQUEUE__JOB_KIND__CALL,
                                     .agent = agents[i]->id,
                                     .class_name = agents[i]->class_name,
                                     .method = method,
                                     .args = args,
                                     .no_result = !ret };
    }
    h->corked++;
    rc = asq__call_jobs(h, jobs, n, ret);
    int flushed = asq_uncork(h);
    if (rc == 0)
        rc = flushed;
out:
    asq_value_free(args);
    free(jobs);
    return rc;
}
