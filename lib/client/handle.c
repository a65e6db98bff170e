/*
 * handle.c: functions of a handle in every mode: last error, timeout, due callbacks, cork and wait.
 * asq_open itself is in ../open.c.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/call_span.h"
#include "client/class.h"
#include "client/handle.h"
#include "client/own_stats.h"
#include "client/step_log.h"
#include "value/assert.h"
#include "value/clock.h"
#include "value/trace.h"

asq *asq__handle_new(const struct asq__mode *mode)
{
    asq *h = calloc(1, sizeof *h);
    if (h)
        asq__handle_init(h, mode);
    return h;
}

static void log_failure(void *user, asq_log_level level, const char *text, const asq_error *error)
{
    (void) error;
    asq__log_text(user, level, text);
}

void asq__handle_init(asq *h, const struct asq__mode *mode)
{
    h->mode = mode;
    atomic_init(&h->refs, 1);
    h->timeout_ms = ASQ_FOREVER;
    h->deadline_ms = INT64_MAX;
    h->max_message_size = ASQ_MAX_MESSAGE_SIZE;
    asq__error_init(&h->error);
    asq__error_init(&h->loss);
    asq__error_init(&h->first_failure);
    asq__tally_init(&h->failures, log_failure, h);
    asq__list_init(&h->done);
    asq__list_init(&h->emitted);
}

void asq__handle_ref(asq *h)
{
    atomic_fetch_add_explicit(&h->refs, 1, memory_order_relaxed);
}

void asq__handle_unref(asq *h)
{
    if (atomic_fetch_sub_explicit(&h->refs, 1, memory_order_acq_rel) != 1)
        return;
    /* Queued results have references to it. */
    asq__assert(asq__list_empty(&h->done) && asq__list_empty(&h->emitted));
    if (h->mode->release)
        h->mode->release(h);
    asq__error_clear(&h->error);
    asq__error_clear(&h->loss);
    asq__error_clear(&h->first_failure);
    asq__tally_release(&h->failures);
    asq__own_stats_free(h->own_stats);
    asq__step_log_free(h->steps);
    asq__handle_end_trace(h);
    free(h->own_trace);
    free(h->url);
    free(h->ns);
    free(h);
}

static int report_loss(asq *h)
{
    size_t n = h->nlost;
    h->nlost = 0;
    return asq__fail(h, h->loss.pub.code, "%zu call%s without a result %s not taken: %s", n,
                     n == 1 ? "" : "s", n == 1 ? "was" : "were", h->loss.pub.message);
}

static int report_failures(asq *h)
{
    size_t n = h->nfailed;
    h->nfailed = 0;
    return asq__fail(h, h->first_failure.pub.code,
                     "%zu call%s without a result ha%s failed, the first: %s", n, n == 1 ? "" : "s",
                     n == 1 ? "s" : "ve", h->first_failure.pub.message);
}

/* Ends the mode of a closed handle and drops the program's reference. */
static int end_handle(asq *h)
{
    int rc = h->mode->close(h);
    asq__handle_run_callbacks(h);
    if (h->nlost) {
        int lost = report_loss(h);
        asq__log(h, ASQ_LOG_WARNING, "%s", h->error.pub.message);
        rc = rc < 0 ? rc : lost;
    }
    asq__tally_log_due(&h->failures, asq__now_ms_coarse(), true);
    if (rc == 0 && h->nfailed)
        rc = report_failures(h); /* the failures are in the log already */
    asq__handle_end_trace(h);
    asq__handle_unref(h);
    return rc;
}

void asq__handle_enter(asq *h)
{
    h->depth++;
}

void asq__handle_leave(asq *h)
{
    if (--h->depth == 0 && h->closed)
        end_handle(h);
}

int asq_close(asq *h)
{
    if (!h || h->closed || h->in_method)
        return 0; /* a method's handle ends with its call */
    h->closed = true;
    return h->depth ? 0 : end_handle(h); /* inside a callback: asq__handle_leave ends it */
}

int asq__fail(asq *h, int code, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    asq__error_vset(&h->error, code, fmt, ap);
    va_end(ap);
    return code;
}

int asq__fail_memory(asq *h)
{
    return asq__fail(h, ASQ_ENOMEM, "out of memory");
}

int asq__null(asq *h, const char *function)
{
    return h ? asq__fail(h, ASQ_EINVAL, "%s: an argument is NULL that must not be", function)
             : ASQ_EINVAL;
}

int asq__handle_need_class(asq *h, const struct asq__registry *registry)
{
    return asq__registry_count(registry)
               ? 0
               : asq__fail(h, ASQ_ENOCLASS,
                           "no agent class is registered: call asq_register before the first "
                           "agent is used");
}

int asq__fail_from(asq *h, const asq_error *error)
{
    asq__error_copy(&h->error, error);
    return error->code;
}

void asq__handle_note_loss(asq *h, const asq_error *error)
{
    if (h->nlost++ == 0)
        asq__error_copy(&h->loss, error);
}

void asq__result_name(const asq_result *r, const asq_error *error, char name[ASQ__TALLY_NAME])
{
    const size_t size = ASQ__TALLY_NAME;
    const char *method = strrchr(r->label, '.');
    /* The worker that ran the call knows class and method best. */
    if (*error->class_name && *error->method)
        snprintf(name, size, "%.47s.%.47s", error->class_name, error->method);
    else
        snprintf(name, size, "%.*s%.47s", (int) strcspn(r->label, "/."), r->label,
                 method ? method : "");
}

void asq__handle_note_failure(asq *h, const asq_result *r, const asq_error *error)
{
    char name[ASQ__TALLY_NAME];
    asq__result_name(r, error, name);
    if (h->nfailed++ == 0)
        asq__error_copy(&h->first_failure, error);
    asq__tally_note(&h->failures, name, error, asq__now_ms_coarse());
}

void asq__handle_note_unseen(asq *h, const asq_result *r, const asq_error *error)
{
    if (r->refused)
        asq__handle_note_loss(h, error);
    else
        asq__handle_note_failure(h, r, error);
}

void asq__log(const asq *h, asq_log_level level, const char *fmt, ...)
{
    char text[1024];
    va_list ap;
    if (!h->log)
        return;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    h->log(h->log_user, level, text);
}

void asq__log_text(void *user, asq_log_level level, const char *message)
{
    asq__log(user, level, "%s", message);
}

static const asq_error no_handle = { ASQ_EINVAL, "the handle is NULL", "", "", "", "", "" };

const asq_error *asq_last_error(const asq *h)
{
    return h ? &h->error.pub : &no_handle;
}

const char *asq_errmsg(const asq *h)
{
    return asq_last_error(h)->message;
}

const char *asq_url(const asq *h)
{
    if (!h)
        return "";
    return h->url ? h->url : "";
}

const char *asq_namespace(const asq *h)
{
    if (!h)
        return "";
    return h->ns ? h->ns : "";
}

void asq_set_timeout(asq *h, int64_t timeout_ms)
{
    if (!h)
        return;
    h->timeout_ms = timeout_ms;
}

int asq_set_deadline(asq *h, int64_t deadline_ms)
{
    if (!h)
        return ASQ_EINVAL;
    if (deadline_ms < 0)
        return asq__fail(h, ASQ_EINVAL, "asq_set_deadline: %lld ms is in the past",
                         (long long) deadline_ms);
    h->call_deadline_ms = deadline_ms;
    return 0;
}

int asq_set_trace(asq *h, const asq_trace *trace)
{
    char why[200];
    uint8_t parent[ASQ__TRACE_PARENT];
    Asqueue__Trace *own = NULL;
    if (!h)
        return ASQ_EINVAL;
    if (trace && asq__trace_parse(trace, parent, why, sizeof why) < 0)
        return asq__fail(h, ASQ_EINVAL, "asq_set_trace: %s", why);
    if (trace && !(own = asq__trace_new(parent, trace->state)))
        return asq__fail_memory(h);
    free(h->own_trace);
    h->own_trace = own;
    return 0;
}

/* ---- waiting ---- */

/* Runs the callback of a result that is completed. */
static void run_done(struct asq__list *node)
{
    asq_result *r = ASQ__CONTAINER(node, asq_result, node);
    asq_result_fn fn = r->fn;
    r->queued = false;
    if (fn && asq__emit_is_over(r)) { /* else emit.c runs it, behind what is to be told before */
        r->fn = NULL;
        fn(r, r->user);
    }
    asq__result_unref(r); /* the queue's reference */
}

void asq__handle_run_callbacks(asq *h)
{
    struct asq__list *node;
    for (;;) {
        if (!asq__list_empty(&h->emitted))
            asq__emit_tell(&h->emitted);
        else if ((node = asq__list_pop(&h->done)))
            run_done(node);
        else
            break;
    }
}

void asq__handle_drop_callbacks(asq *h)
{
    struct asq__list *node;
    asq__emit_drop(&h->emitted);
    while ((node = asq__list_pop(&h->done)))
        asq__result_unref(ASQ__CONTAINER(node, asq_result, node));
}

int asq__handle_wait(asq *h, bool (*ready)(void *arg), void *arg, int64_t timeout_ms)
{
    if (h->closed)
        return asq__fail(h, ASQ_ECLOSED, "the handle was closed");
    return h->mode->wait(h, ready, arg, timeout_ms);
}

static bool always_false(void *arg)
{
    (void) arg;
    return false;
}

struct poll_state {
    asq *h;
    unsigned before;
};

static bool any_completed(void *arg)
{
    struct poll_state *s = arg;
    return s->h->ncompleted != s->before;
}

int asq_poll(asq *h, int64_t timeout_ms)
{
    if (!h)
        return ASQ_EINVAL;
    struct poll_state s = { h, h->ncompleted };
    asq__handle_ref(h); /* a callback may close it */
    int rc = asq__handle_wait(h, any_completed, &s, timeout_ms);
    if (rc == 0 || rc == ASQ_ETIMEOUT)
        rc = (int) (h->ncompleted - s.before);
    asq__handle_unref(h);
    return rc;
}

int asq_sleep(asq *h, int64_t ms)
{
    if (!h)
        return ASQ_EINVAL;
    int rc = asq__handle_wait(h, always_false, NULL, ms);
    return rc == ASQ_ETIMEOUT ? 0 : rc;
}

int asq_set_busy_wait(asq *h, int64_t timeout_ms)
{
    if (!h)
        return ASQ_EINVAL;
    if (timeout_ms < 0 && timeout_ms != ASQ_FOREVER)
        return asq__fail(h, ASQ_EINVAL, "asq_set_busy_wait: %lld ms is in the past",
                         (long long) timeout_ms);
    h->busy_wait_ms = timeout_ms;
    return 0;
}

void asq_cork(asq *h)
{
    if (!h)
        return;
    h->corked++;
}

int asq_uncork(asq *h)
{
    if (!h)
        return ASQ_EINVAL;
    if (h->corked == 0)
        return asq__fail(h, ASQ_ESTATE, "asq_uncork without asq_cork");
    if (--h->corked)
        return 0;
    return h->closed ? asq__fail(h, ASQ_ECLOSED, "the handle was closed") : h->mode->flush(h);
}

int asq_register(asq *h, const asq_class *cls)
{
    if (!h || !cls)
        return asq__null(h, "asq_register");
    char err[512];
    if (h->in_method)
        return asq__fail(h, ASQ_ENOTSUP, "classes cannot be registered inside a method");
    if (h->closed)
        return asq__fail(h, ASQ_ECLOSED, "the handle was closed");
    if (h->sealed)
        return asq__fail(h, ASQ_ESTATE,
                         "class %s comes too late: the worker processes were forked when the "
                         "first agent was used, and know only what was registered before",
                         cls && cls->name ? cls->name : "?");
    int rc = h->classes_elsewhere ? asq__registry_note(h->registry, cls, err, sizeof err)
                                  : asq__registry_add(h->registry, cls, err, sizeof err);
    return rc < 0 ? asq__fail(h, rc, "%s", err) : 0;
}

int asq_attach_ev(asq *h, struct ev_loop *loop)
{
    if (!h)
        return ASQ_EINVAL;
    if (!loop)
        return asq__fail(h, ASQ_EINVAL, "asq_attach_ev: loop is NULL");
    if (h->closed)
        return asq__fail(h, ASQ_ECLOSED, "the handle was closed");
    return h->mode->attach_ev(h, loop);
}

int asq_detach_ev(asq *h)
{
    if (!h)
        return ASQ_EINVAL;
    return h->closed ? asq__fail(h, ASQ_ECLOSED, "the handle was closed")
                     : h->mode->attach_ev(h, NULL);
}

static bool is_accepted(void *arg)
{
    asq *h = arg;
    return h->mode->accepted(h);
}

int asq__handle_flush(asq *h, int64_t timeout_ms)
{
    if (h->closed)
        return asq__fail(h, ASQ_ECLOSED, "the handle was closed");
    int rc = h->mode->flush(h);
    if (rc == 0 && !is_accepted(h))
        rc = asq__handle_wait(h, is_accepted, h, timeout_ms);
    if (rc == ASQ_ETIMEOUT)
        return asq__fail(h, rc, "Redis has not accepted all calls within %lld ms",
                         (long long) timeout_ms);
    return rc == 0 && h->nlost ? report_loss(h) : rc;
}

int asq_flush(asq *h, int64_t timeout_ms)
{
    if (!h)
        return ASQ_EINVAL;
    int rc = asq__handle_flush(h, timeout_ms);
    return rc == 0 && h->nfailed ? report_failures(h) : rc;
}
