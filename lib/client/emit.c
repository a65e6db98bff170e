/*
 * emit.c: what methods emit while they run (asq_emit), and its reader (asq_result_next). How it
 * comes from one to the other is the mode's.
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

/* Takes what has come. ASQ_NEXT_END: there is nothing. */
static int take(asq_result *r, struct asq__progress *p, asq_value **ret)
{
    int rc = asq__emitted_take(&p->got, ret), code = p->code;
    if (rc < 0)
        return asq__fail(r->h, rc, "what call %s has emitted: %s", asq__result_id_text(r),
                         asq_strerror(rc));
    if (rc != ASQ_NEXT_END || !code)
        return rc;
    p->code = 0; /* the next one tries again */
    return asq__fail(r->h, code, "what call %s emits: %s", asq__result_id_text(r), p->why);
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
    *ret = NULL;
    int rc = asq__progress_is_there(p) ? take(r, p, ret) : ASQ_NEXT_END;
    if (rc != ASQ_NEXT_END)
        return rc;
    if (asq__progress_is_there(p)) {
        if (p->finished || !r->h->mode->read_emitted)
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
