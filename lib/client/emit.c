/*
 * emit.c: what methods emit while they run (asq_emit), and its readers: asq_result_next, and a
 * callback (asq_result_on_emit). How it comes from one to the other is the mode's.
 *
 * A callback reads as asq_result_next does. When something is there, the mode puts the result into
 * a queue, on the handle's thread, and asq__emit_tell calls the callback with all of it, and has
 * more read:
 *
 *     asq_result_on_emit ──▶ read_on() ──asq__emit_due──▶ queue ──asq__emit_tell──▶ fn(…) ──▶ fn(…)
 *                               ▲                                                        │
 *                               ╰──────────────────── until the end or an error ─────────╯
 */
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

#include "asqueue.h"
#include "client/emitted.h"
#include "client/handle.h"
#include "client/object.h"
#include "client/progress.h"
#include "value/assert.h"
#include "value/buf.h"
#include "value/emissions.h"
#include "value/value.h"

/* ---- in the method ---- */

/* Encodes the value, and hands it to the mode. */
static int emit(asq_ctx *ctx, asq *h, const asq_value *value)
{
    struct asq__buf bytes;
    int64_t n = asq_value_encoded_size(value);
    if (n < 0)
        return asq_fail(ctx, (int) n, "asq_emit: the value is nested too deep");
    if (n > ASQ__EMIT_MAX)
        return asq_fail(ctx, ASQ_ELIMIT,
                        "asq_emit: the value has %lld bytes, and may have %d; emit it in parts",
                        (long long) n, ASQ__EMIT_MAX);
    asq__buf_init(&bytes, ASQ__EMIT_MAX);
    int rc = asq__value_encode(value, &bytes);
    if (rc == 0)
        rc = h->mode->emit(h, bytes.data, bytes.len);
    asq__buf_release(&bytes);
    return rc < 0 ? asq_fail(ctx, rc, "asq_emit: %s",
                             rc == ASQ_ENOMEM ? "out of memory" : asq_errmsg(h))
                  : 0;
}

int asq_emit(asq_ctx *ctx, asq_value *value)
{
    asq *h = ctx && value ? asq_ctx_handle(ctx) : NULL;
    int rc = ASQ_EINVAL;
    if (h)
        rc = emit(ctx, h, value);
    else if (ctx)
        rc = asq_fail(ctx, ASQ_ENOMEM, "asq_emit: out of memory (the value is NULL)");
    asq_value_free(value);
    return rc;
}

/* ---- for whoever waits for the call ---- */

struct asq__progress *asq__result_progress(asq_result *r)
{
    if (!r->progress && (r->progress = malloc(sizeof *r->progress)))
        asq__progress_init(r->progress, &r->id, &r->call);
    return r->progress;
}

void asq__result_free_progress(asq_result *r)
{
    asq__progress_release(r->progress);
    free(r->progress);
}

static bool is_there(void *arg)
{
    const asq_result *r = arg;
    return asq__progress_is_there(r->progress);
}

enum asq__wait asq__emit_wait_results(bool (*ready)(void *arg), const void *arg, asq__wait_fn visit,
                                      void *user)
{
    if (ready != is_there || asq__result_is_done(arg))
        return ASQ__WAIT_OTHER;
    visit(user, arg);
    return ASQ__WAIT_ALL;
}

/* Takes a value, or what is told instead of one. ASQ_NEXT_END: there is nothing. */
static int take_value(asq_result *r, struct asq__progress *p, asq_value **ret)
{
    int rc = asq__emitted_take(&p->got, ret);
    return rc < 0 ? asq__fail(r->h, rc, "what call %s has emitted: %s", asq__result_id_text(r),
                              asq_strerror(rc))
                  : rc;
}

/* Takes the failure of the read; 0: none. The next read tries again. */
static int take_failure(asq_result *r, struct asq__progress *p)
{
    int code = p->code;
    p->code = 0;
    return code ? asq__fail(r->h, code, "what call %s emits: %s", asq__result_id_text(r), p->why)
                : 0;
}

/* Takes what has come. ASQ_NEXT_END: there is nothing. */
static int take(asq_result *r, struct asq__progress *p, asq_value **ret)
{
    int rc = take_value(r, p, ret);
    return rc == ASQ_NEXT_END ? take_failure(r, p) : rc;
}

static bool is_finished(const asq_result *r, const struct asq__progress *p)
{
    return p->finished || !r->h->mode->read_emitted;
}

/* Has more read. */
static int read_on(asq_result *r, struct asq__progress *p)
{
    if (r->h->closed)
        return asq__fail(r->h, ASQ_ECLOSED, "the handle was closed");
    atomic_store(&p->there, false);
    int rc = r->h->mode->read_emitted(r->h, r);
    if (rc < 0)
        atomic_store(&p->there, true);
    return rc;
}

int asq_result_next(asq_result *r, asq_value **ret, int64_t timeout_ms)
{
    if (!r || !ret)
        return asq__null(r ? r->h : NULL, "asq_result_next");
    struct asq__progress *p = asq__result_progress(r);
    if (!p)
        return asq__fail_memory(r->h);
    if (p->by_callback)
        return asq__fail(r->h, ASQ_ESTATE,
                         "asq_result_next: what call %s emits goes to a callback "
                         "(asq_result_on_emit)",
                         asq__result_id_text(r));
    p->by_next = true;
    *ret = NULL;
    int rc = asq__progress_is_there(p) ? take(r, p, ret) : ASQ_NEXT_END;
    if (rc != ASQ_NEXT_END)
        return rc;
    if (asq__progress_is_there(p)) {
        if (is_finished(r, p))
            return ASQ_NEXT_END;
        rc = read_on(r, p);
    }
    if (rc == 0)
        rc = asq__handle_wait(r->h, is_there, r, timeout_ms);
    if (rc == ASQ_ETIMEOUT)
        asq__fail(r->h, rc, "call %s has emitted nothing within %lld ms", asq__result_id_text(r),
                  (long long) timeout_ms);
    return rc < 0 ? rc : take(r, p, ret);
}

/* ---- by callback ---- */

bool asq__emit_is_over(const asq_result *r)
{
    return !r->progress || !r->progress->fn;
}

bool asq__emit_is_settled(const asq_result *r)
{
    const struct asq__progress *p = r->progress;
    return asq__emit_is_over(r) || p->telling || (r->h->in_callbacks && p->queue == &r->h->emitted);
}

void asq__emit_due(asq_result *r)
{
    struct asq__progress *p = r->progress;
    if (!asq__list_empty(&p->due))
        return;
    asq__result_ref(r);
    asq__list_add(p->queue, &p->due);
}

/* Calls the callback. */
static void call(asq_result *r, struct asq__progress *p, int what, const asq_value *value)
{
    asq *h = r->h;
    h->notifying++;
    p->telling = true;
    p->fn(r, what, value, p->user);
    p->telling = false;
    h->notifying--;
    if (what == ASQ_NEXT_END || (what < 0 && what != ASQ_EPROTO))
        p->fn = NULL;
}

/* Calls the callback with all that has come. */
static void tell_all(asq_result *r, struct asq__progress *p)
{
    asq_value *value;
    int what;
    while (p->fn && (what = take_value(r, p, &value)) != ASQ_NEXT_END) {
        call(r, p, what, value);
        asq_value_free(value);
    }
}

/* Tells what has come, and has more read. */
static void tell(asq_result *r, struct asq__progress *p)
{
    int rc;
    tell_all(r, p);
    if (!p->fn)
        return;
    if ((rc = take_failure(r, p)) < 0 || is_finished(r, p) || (rc = read_on(r, p)) < 0)
        call(r, p, rc, NULL); /* 0: ASQ_NEXT_END */
}

/* Runs the callback that had to wait until all was told, if the call has ended by now. */
static void run_done(asq_result *r)
{
    asq_result_fn fn = r->fn;
    if (!fn || r->at_once || r->queued || !asq__result_is_done(r))
        return;
    r->fn = NULL;
    fn(r, r->user);
}

/* Takes a result out of its queue, with the queue's reference. */
static asq_result *pop(struct asq__list *queue)
{
    struct asq__progress *p = ASQ__CONTAINER(asq__list_pop(queue), struct asq__progress, due);
    return ASQ__CONTAINER(p->call, asq_result, call);
}

void asq__emit_tell(struct asq__list *queue)
{
    asq_result *r = pop(queue);
    struct asq__progress *p = r->progress;
    asq__assert(!p->telling); /* it is put here when more was read, and that begins behind */
    tell(r, p);
    if (asq__emit_is_over(r))
        run_done(r);
    asq__result_unref(r);
}

void asq__emit_drop(struct asq__list *queue)
{
    while (!asq__list_empty(queue))
        asq__result_unref(pop(queue));
}

void asq__emit_unwatch(asq_result *r)
{
    struct asq__progress *p = r->progress;
    if (!p)
        return;
    p->fn = NULL;
    if (asq__list_empty(&p->due))
        return;
    asq__list_del(&p->due);
    asq__result_unref(r);
}

void asq__emit_end(asq_result *r)
{
    struct asq__progress *p = r->progress;
    bool was_watched = p->fn;
    asq__emit_unwatch(r);
    if (r->h->closed)
        return;
    if (!asq__progress_is_there(p))
        r->h->mode->drop_emitted(r->h, r);
    if (was_watched && !p->telling && r->fn && asq__result_is_done(r)) {
        p->queue = &r->h->emitted;
        asq__emit_due(r); /* its other callback is due */
    }
}

int asq__emit_watch(asq_result *r, asq_emit_fn fn, void *user, struct asq__list *queue)
{
    if (r->h->closed)
        return asq__fail(r->h, ASQ_ECLOSED, "the handle was closed");
    struct asq__progress *p = asq__result_progress(r);
    if (!p)
        return asq__fail_memory(r->h);
    if (p->by_callback || p->by_next)
        return asq__fail(r->h, ASQ_ESTATE, "asq_result_on_emit: what call %s emits %s",
                         asq__result_id_text(r),
                         p->by_next ? "is read by asq_result_next" : "goes to a callback already");
    p->user = user;
    p->queue = queue ? queue : &r->h->emitted;
    p->by_callback = true;
    p->fn = fn;
    int rc = 0;
    if (is_finished(r, p))
        asq__emit_due(r); /* all of it is there */
    else
        rc = read_on(r, p);
    if (rc < 0) {
        p->fn = NULL;
        p->by_callback = false;
    }
    return rc;
}

int asq_result_on_emit(asq_result *r, asq_emit_fn fn, void *user)
{
    if (!r)
        return ASQ_EINVAL;
    return fn ? asq__emit_watch(r, fn, user, NULL) : asq__null(r->h, "asq_result_on_emit");
}
