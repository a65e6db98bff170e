/*
 * result.c: results (asq_result): completion, waiting, reading, callbacks, ids. The mode implements
 * the wait itself.
 */
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

#include "asqueue.h"
#include "client/call_span.h"
#include "client/engine.h"
#include "client/handle.h"
#include "client/late.h"
#include "client/own_stats.h"
#include "client/pools.h"
#include "value/assert.h"
#include "value/buf.h"
#include "value/error.h"
#include "value/list.h"
#include "value/msg.h"
#include "value/span.h"
#include "value/unconst.h"
#include "value/value.h"

/* ---- life ---- */

int asq__result_new(asq *h, asq_result **ret)
{
    asq_result *r = calloc(1, sizeof *r);
    if (!r)
        return asq__fail_memory(h);
    atomic_init(&r->refs, 1);
    atomic_init(&r->completed, false);
    r->h = h;
    asq__handle_ref(h);
    asq__list_init(&r->node);
    *ret = r;
    return 0;
}

void asq__result_ref(asq_result *r)
{
    atomic_fetch_add_explicit(&r->refs, 1, memory_order_relaxed);
}

void asq__result_note_freed(asq_result *r)
{
    if (!r->fn && atomic_load_explicit(&r->refs, memory_order_acquire) == 1)
        r->seen = false;
}

/* Returns whether the failure of a result that is about to be freed would stay unseen. The result
 * of a call whose id was handed out can be fetched elsewhere; a failure of a call without a result,
 * or of a canceled call, was reported already. */
static bool is_unseen_failure(const asq_result *r)
{
    int code = r->error->pub.code;
    return !r->seen && !r->keep && !r->unwatched && !r->h->closed && code != ASQ_ECLOSED &&
           code != ASQ_ECANCELED;
}

void asq__result_unref(asq_result *r)
{
    if (!r || atomic_fetch_sub_explicit(&r->refs, 1, memory_order_acq_rel) != 1)
        return;
    asq__assert(!r->call.batch && asq__list_empty(&r->node)); /* else a reference is missing */
    asq_value_free(r->value);
    if (r->error) {
        if (is_unseen_failure(r) && r->h->mode->unseen)
            r->h->mode->unseen(r->h, r, &r->error->pub);
        asq__error_clear(r->error);
        free(r->error);
    }
    asq__buf_release(&r->job);
    free(r->awaited);
    if (r->span) /* of a call that was not made */
        asq__span_free(r->span);
    if (r->series)
        asq__own_stats_drop(r);
    if (r->progress)
        asq__result_free_progress(r);
    if (r->call.has_emitted && !r->keep && !r->foreign && !r->h->closed &&
        r->h->mode->forget_emitted)
        r->h->mode->forget_emitted(r->h, r);
    asq__handle_unref(r->h);
    free(r);
}

void asq_result_free(asq_result *r)
{
    if (r && r->progress)
        asq__emit_end(r);
    asq__result_unref(r);
}

const char *asq__result_id_text(const asq_result *r)
{
    asq_result *writable = asq__unconst(r);
    if (!*r->id_text)
        asq__call_id_format(&r->id, writable->id_text); /* on first use */
    return r->id_text;
}

/* ---- completion ---- */

void asq__result_set(asq_result *r, asq_value *value, const asq_error *error)
{
    asq__assert(!asq__result_is_done(r)); /* every result is completed once */
    if (error) {
        r->error = malloc(sizeof *r->error);
        if (r->error) {
            asq__error_init(r->error);
            asq__error_copy(r->error, error);
        }
        asq_value_free(value);
        value = NULL;
    }
    r->value = value;
    if (!value && !r->error) {
        /* A null value, or no memory for the error. A result without value and error stands for
         * ASQ_ENOMEM. */
        if (!error)
            r->value = asq_value_null();
    }
    if (r->span)
        asq__call_span_end(r);
    if (r->series)
        asq__own_stats_end(r);
    atomic_store_explicit(&r->completed, true, memory_order_release);
}

void asq__result_set_message(asq_result *r, const Asqueue__Result *m)
{
    if (m->failure) {
        asq_error error;
        asq__failure_to_error(m->failure, &error);
        asq__result_set(r, NULL, &error);
        return;
    }
    asq_value *value = NULL;
    char why[200];
    int rc = 0;
    if (m->value.len)
        rc = asq__value_decode(m->value.data, m->value.len, &value, why, sizeof why);
    if (rc < 0) {
        asq_error error = { rc, why, "", "", "", "", asq__result_id_text(r) };
        asq__result_set(r, NULL, &error);
    } else {
        asq__result_set(r, value, NULL);
    }
}

void asq__result_queue_callback(asq_result *r)
{
    if (!r->fn || r->queued)
        return;
    if (r->at_once) {
        asq_result_fn fn = r->fn;
        r->fn = NULL;
        fn(r, r->user);
        return;
    }
    if (!asq__emit_is_over(r))
        return; /* emit.c runs it */
    r->queued = true;
    asq__result_ref(r);
    asq__list_add(&r->h->done, &r->node);
}

/* ---- waiting ---- */

bool asq__result_is_settled(const asq_result *r)
{
    return asq__result_is_done(r) && asq__emit_is_settled(r);
}

static bool is_settled(void *arg)
{
    return asq__result_is_settled(arg);
}

bool asq_result_done(asq_result *r)
{
    if (!r)
        return false;
    r->seen = true;
    if (!asq__result_is_settled(r) && !r->h->closed)
        asq__handle_wait(r->h, is_settled, r, 0);
    return asq__result_is_settled(r);
}

static const asq_error no_memory = { ASQ_ENOMEM, "out of memory", "", "", "", "", "" };
static const asq_error no_result = { ASQ_EINVAL, "the result is NULL", "", "", "", "", "" };
static const asq_error no_error = { 0, "", "", "", "", "", "" };

static const asq_error *error_of(const asq_result *r)
{
    if (r->error)
        return &r->error->pub;
    return r->value ? &no_error : &no_memory;
}

static int late(asq_result *r, int64_t timeout_ms, const char *nobody)
{
    const char *id = asq__result_id_text(r);
    const long long ms = timeout_ms;
    if (asq__result_is_done(r))
        return asq__fail(r->h, ASQ_ETIMEOUT,
                         "call %s is finished, but what it has emitted was not told after %lld ms",
                         id, ms);
    return asq__call_id_is_promise(&r->id)
               ? asq__fail(r->h, ASQ_ETIMEOUT, "promise %s is not settled after %lld ms%s", id, ms,
                           nobody)
               : asq__fail(r->h, ASQ_ETIMEOUT,
                           "call %s is not finished after %lld ms%s; it goes on", id, ms, nobody);
}

int asq_result_wait(asq_result *r, int64_t timeout_ms)
{
    if (!r)
        return ASQ_EINVAL;
    r->seen = true;
    if (!asq__result_is_settled(r)) {
        char nobody[ASQ__LATE_TEXT];
        int rc = asq__late_wait(r->h, is_settled, r, timeout_ms, nobody);
        if (rc == ASQ_ETIMEOUT)
            return late(r, timeout_ms, nobody);
        if (rc < 0)
            return rc;
    }
    const asq_error *error = error_of(r);
    return error->code ? asq__fail_from(r->h, error) : 0;
}

const asq_error *asq_result_error(const asq_result *r)
{
    if (!r)
        return &no_result;
    asq_result *writable = asq__unconst(r);
    writable->seen = true;
    return asq__result_is_done(r) ? error_of(r) : &no_error;
}

int asq_result_value(asq_result *r, const asq_value **ret)
{
    if (!r || !ret)
        return asq__null(r ? r->h : NULL, "asq_result_value");
    int rc = asq_result_wait(r, r->h->timeout_ms);
    if (rc == 0)
        *ret = r->value;
    return rc;
}

int asq_result_take(asq_result *r, asq_value **ret)
{
    if (!r || !ret)
        return asq__null(r ? r->h : NULL, "asq_result_take");
    asq_value *stand_in = NULL;
    int rc = asq_result_wait(r, r->h->timeout_ms);
    if (rc < 0)
        return rc;
    if (!(stand_in = asq_value_null()))
        return asq__fail_memory(r->h);
    *ret = r->value;
    r->value = stand_in;
    return 0;
}

static int wrong_type(asq_result *r, int code, const char *wanted)
{
    return asq__fail(r->h, code, "the result of call %s is a value of type %s, not %s",
                     asq__result_id_text(r), asq_type_name(asq_value_type(r->value)), wanted);
}

int asq_result_bool(asq_result *r, bool *ret)
{
    if (!r || !ret)
        return asq__null(r ? r->h : NULL, "asq_result_bool");
    int rc = asq_result_wait(r, r->h->timeout_ms);
    if (rc == 0 && (rc = asq_value_get_bool(r->value, ret)) < 0)
        wrong_type(r, rc, "bool");
    return rc;
}

int asq_result_int(asq_result *r, int64_t *ret)
{
    if (!r || !ret)
        return asq__null(r ? r->h : NULL, "asq_result_int");
    int rc = asq_result_wait(r, r->h->timeout_ms);
    if (rc == 0 && (rc = asq_value_get_int(r->value, ret)) < 0)
        wrong_type(r, rc, "int");
    return rc;
}

int asq_result_double(asq_result *r, double *ret)
{
    if (!r || !ret)
        return asq__null(r ? r->h : NULL, "asq_result_double");
    int rc = asq_result_wait(r, r->h->timeout_ms);
    if (rc == 0 && (rc = asq_value_get_double(r->value, ret)) < 0)
        wrong_type(r, rc, "double");
    return rc;
}

int asq_result_string(asq_result *r, const char **ret)
{
    if (!r || !ret)
        return asq__null(r ? r->h : NULL, "asq_result_string");
    int rc = asq_result_wait(r, r->h->timeout_ms);
    if (rc == 0 && (rc = asq_value_get_string(r->value, ret, NULL)) < 0)
        wrong_type(r, rc, "string");
    return rc;
}

int asq_result_field(asq_result *r, const char *key, const asq_value **ret)
{
    if (!r || !key || !ret)
        return asq__null(r ? r->h : NULL, "asq_result_field");
    int rc = asq_result_wait(r, r->h->timeout_ms);
    if (rc < 0)
        return rc;
    if (asq_value_type(r->value) != ASQ_MAP)
        return wrong_type(r, ASQ_ETYPE, "map");
    const asq_value *field = asq_map_get(r->value, key);
    if (!field)
        return asq__fail(r->h, ASQ_ENOENT, "the result of call %s has no field '%s'",
                         asq__result_id_text(r), key);
    *ret = field;
    return 0;
}

int asq_result_unpack(asq_result *r, const char *fmt, ...)
{
    if (!r)
        return ASQ_EINVAL;
    char why[200];
    int rc = asq_result_wait(r, r->h->timeout_ms);
    if (rc < 0)
        return rc;
    va_list ap;
    va_start(ap, fmt);
    rc = asq_vunpack(r->value, why, sizeof why, fmt, ap);
    va_end(ap);
    return rc < 0 ? asq__fail(r->h, rc, "the result of call %s: %s", asq__result_id_text(r), why)
                  : 0;
}

static int then(asq_result *r, asq_result_fn fn, void *user, bool at_once)
{
    if (!r)
        return ASQ_EINVAL;
    if (!fn)
        return asq__fail(r->h, ASQ_EINVAL, "asq_result_then: fn is NULL");
    if (r->fn)
        return asq__fail(r->h, ASQ_ESTATE, "asq_result_then: call %s has a callback already",
                         asq__result_id_text(r));
    r->seen = true;
    r->at_once = at_once;
    if (asq__result_is_done(r) && (at_once || asq__emit_is_over(r))) {
        fn(r, user);
        return 0;
    }
    r->user = user;
    r->fn = fn;
    return 0;
}

int asq_result_then(asq_result *r, asq_result_fn fn, void *user)
{
    return then(r, fn, user, false);
}

int asq__result_then_at_once(asq_result *r, asq_result_fn fn, void *user)
{
    return then(r, fn, user, true);
}

/* ---- ids ---- */

int asq_result_keep(asq_result *r)
{
    if (!r)
        return ASQ_EINVAL;
    if (!r->keep && !r->h->closed) {
        r->keep = true;
        r->h->mode->keep(r->h, r);
    }
    return 0;
}

const char *asq_result_id(asq_result *r)
{
    if (!r)
        return "";
    asq_result_keep(r);
    return asq__result_id_text(r);
}

int asq_result_attach(asq *h, const char *call_id, asq_result **ret)
{
    if (!h || !call_id || !ret)
        return asq__null(h, "asq_result_attach");
    struct asq__call_id id;
    if (h->closed)
        return asq__fail(h, ASQ_ECLOSED, "the handle was closed");
    if (asq__call_id_parse(call_id, &id) < 0 || !asq__partition_is_there(h, id.partition))
        return asq__fail(h, ASQ_EINVAL, "'%s' is not a call id of this namespace", call_id);
    return asq__result_attach(h, &id, ret);
}

int asq__result_attach(asq *h, const struct asq__call_id *id, asq_result **ret)
{
    asq_result *r;
    int rc = asq__result_new(h, &r);
    if (rc < 0)
        return rc;
    r->id = *id;
    r->foreign = r->keep = true;
    rc = h->mode->attach(h, r);
    if (rc < 0) {
        asq_result_free(r);
        return rc;
    }
    *ret = r;
    return 0;
}

asq_value *asq_value_future(asq_result *result)
{
    struct asq__future_object live = { result, (void (*)(void *)) asq__result_ref,
                                       (void (*)(void *)) asq__result_unref };
    if (!result)
        return NULL;
    asq_result_keep(result);
    return asq__value_future_ref(asq__result_id_text(result), &live);
}

asq_value *asq_value_future_unawaited(asq_result *result)
{
    asq_value *v = asq_value_future(result);
    if (v)
        v->future->unawaited = true;
    return v;
}

int asq_result_cancel(asq_result *r)
{
    if (!r)
        return ASQ_EINVAL;
    if (asq__result_is_done(r))
        return 0;
    if (r->h->closed)
        return asq__fail(r->h, ASQ_ECLOSED, "the handle was closed");
    if (asq__call_id_is_promise(&r->id))
        return asq__fail(r->h, ASQ_EINVAL,
                         "promise %s is no call, which could be cancelled: reject it",
                         asq__result_id_text(r));
    return r->h->mode->cancel(r->h, r);
}

/* ---- many ---- */

struct many {
    asq_result *const *results;
    size_t n, next;
};

static bool all_done(void *arg)
{
    struct many *m = arg;
    while (m->next < m->n && asq__result_is_settled(m->results[m->next]))
        m->next++;
    return m->next == m->n;
}

static bool any_done(void *arg)
{
    struct many *m = arg;
    for (m->next = 0; m->next < m->n; m->next++)
        if (asq__result_is_settled(m->results[m->next]))
            return true;
    return false;
}

int asq__results_check(asq_result *const *results, size_t n, const char *function)
{
    if (!results)
        return ASQ_EINVAL;
    for (size_t i = 0; i < n; i++)
        if (!results[i])
            return asq__null(results[0] ? results[0]->h : NULL, function);
        else if (results[i]->h != results[0]->h)
            return asq__fail(results[0]->h, ASQ_EINVAL, "%s: the results are of different handles",
                             function);
        else
            results[i]->seen = true;
    return 0;
}

/* A wait for what calls have emitted that have ended is one for no call. */
static enum asq__wait visit_many(const struct many *m, enum asq__wait kind, asq__wait_fn visit,
                                 void *user)
{
    enum asq__wait ret = ASQ__WAIT_OTHER;
    for (size_t i = 0; i < m->n; i++) {
        if (asq__result_is_done(m->results[i])) {
            if (kind == ASQ__WAIT_ANY)
                return ASQ__WAIT_OTHER;
            continue;
        }
        ret = kind;
        if (!visit(user, m->results[i]))
            break;
    }
    return ret;
}

enum asq__wait asq__wait_results(bool (*ready)(void *arg), const void *arg, asq__wait_fn visit,
                                 void *user)
{
    if (ready == is_settled) {
        if (asq__result_is_done(arg))
            return ASQ__WAIT_OTHER;
        visit(user, arg);
        return ASQ__WAIT_ALL;
    }
    if (ready == all_done)
        return visit_many(arg, ASQ__WAIT_ALL, visit, user);
    if (ready == any_done)
        return visit_many(arg, ASQ__WAIT_ANY, visit, user);
    enum asq__wait kind = asq__emit_wait_results(ready, arg, visit, user);
    if (kind == ASQ__WAIT_OTHER)
        kind = asq__group_wait_results(ready, arg, visit, user);
    return kind != ASQ__WAIT_OTHER ? kind : asq__gather_wait_results(ready, arg, visit, user);
}

static int wait_many(asq *h, bool (*ready)(void *arg), struct many *m, int64_t timeout_ms)
{
    char nobody[ASQ__LATE_TEXT];
    int rc = asq__late_wait(h, ready, m, timeout_ms, nobody);
    if (rc == ASQ_ETIMEOUT)
        asq__fail(h, rc, "%s of %zu results %s there after %lld ms%s; their calls go on",
                  ready == all_done ? "not all" : "none", m->n, ready == all_done ? "are" : "is",
                  (long long) timeout_ms, nobody);
    return rc;
}

int asq_wait_all(asq_result *const *results, size_t n, int64_t timeout_ms)
{
    struct many m = { results, n, 0 };
    if (n == 0)
        return 0;
    int rc = asq__results_check(results, n, "asq_wait_all");
    if (rc < 0)
        return rc;
    return all_done(&m) ? 0 : wait_many(results[0]->h, all_done, &m, timeout_ms);
}

int asq_wait_any(asq_result *const *results, size_t n, int64_t timeout_ms, size_t *ret_index)
{
    struct many m = { results, n, 0 };
    int rc = n ? asq__results_check(results, n, "asq_wait_any") : ASQ_EINVAL;
    if (rc < 0)
        return rc;
    if (!ret_index)
        return asq__null(results[0]->h, "asq_wait_any");
    rc = any_done(&m) ? 0 : wait_many(results[0]->h, any_done, &m, timeout_ms);
    if (rc == 0)
        *ret_index = m.next;
    return rc;
}
