/*
 * step_log.c: see step_log.h.
 */
#include "client/step_log.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/handle.h"
#include "client/object.h"
#include "value/msg.h"

/* Room for the record of a failure, and for a name. */
enum { RESERVED = 2048 };
/* Records of calls that were made before the first step; those beyond have no name in a message. */
enum { CALLS_MAX = 16384 };
/* A run with more bytes on their way waits until Redis has them. */
enum { UNWRITTEN_MAX = 256 * 1024 };

size_t asq__step_limit(const asq_ctx *ctx)
{
    size_t max = atomic_load_explicit(&ctx->env->max_string, memory_order_relaxed);
    size_t limit = ctx->h->max_message_size;
    return max && max < limit ? max : limit;
}

int asq__step_log(asq_ctx *ctx, struct asq__step_log **ret)
{
    asq *h = asq_ctx_handle(ctx);
    if (ctx->unloaded)
        return asq_fail(ctx, ASQ_EUNLOADED, ASQ__UNLOADED);
    if (!h)
        return asq_fail(ctx, ASQ_ENOMEM, "out of memory");
    if (!h->steps && !(h->steps = calloc(1, sizeof *h->steps)))
        return asq_fail(ctx, ASQ_ENOMEM, "out of memory");
    struct asq__step_log *log = h->steps;
    if (!log->loaded) {
        asq__buf_init(&log->calls, CALLS_MAX);
        int rc = ctx->recorded ? h->mode->load_steps(h, &log->earlier) : 0;
        if (rc < 0)
            return asq_fail(ctx, rc, "%s", asq_errmsg(h));
        log->loaded = true;
        log->bytes = log->earlier.len;
        log->recording = log->earlier.len > 0;
    }
    *ret = log;
    return 0;
}

void asq__step_log_free(struct asq__step_log *log)
{
    if (!log)
        return;
    asq__buf_release(&log->earlier);
    asq__buf_release(&log->calls);
    free(log);
}

/* Writes what a record is about. */
static void describe(Asqueue__StepKind kind, const char *name, size_t n, char out[200])
{
    switch (kind) {
    case ASQUEUE__STEP_KIND__CALLED: snprintf(out, 200, "a call of %.*s", (int) n, name); break;
    case ASQUEUE__STEP_KIND__NOW: snprintf(out, 200, "asq_ctx_now"); break;
    case ASQUEUE__STEP_KIND__RANDOM: snprintf(out, 200, "asq_ctx_random"); break;
    case ASQUEUE__STEP_KIND__SLEEP: snprintf(out, 200, "a sleep"); break;
    case ASQUEUE__STEP_KIND__SIGNAL_UNTIL: snprintf(out, 200, "a wait for a signal"); break;
    case ASQUEUE__STEP_KIND__SIGNAL_HEARD:
        snprintf(out, 200, "a wait for signal '%.*s'", (int) n, name);
        break;
    case ASQUEUE__STEP_KIND__PROMISE: snprintf(out, 200, "a promise"); break;
    case ASQUEUE__STEP_KIND__WAIT:
    case ASQUEUE__STEP_KIND__WAITED: snprintf(out, 200, "asq_ctx_wait"); break;
    default: snprintf(out, 200, "step '%.*s'", (int) n, name);
    }
}

static int diverged(asq_ctx *ctx, uint64_t number, const char *now, const char *earlier)
{
    return asq_fail(ctx, ASQ_EDIVERGED,
                    "at place %llu, this run of the method makes %s, and its earlier run has made "
                    "%s: a method has to take the same path when it runs again (is it another "
                    "version of the program, or does it depend on the time, on random numbers or "
                    "on data from outside of a step?)",
                    (unsigned long long) number, now, earlier);
}

static int unreadable(asq_ctx *ctx)
{
    return asq_fail(ctx, ASQ_EINTERRUPTED,
                    "the records of what an earlier run of the call has done cannot be decoded: "
                    "they were overwritten, and the steps cannot be told from new ones");
}

/* Returns whether a record of the same kind has the name. A statement without calls is like any. */
static bool are_alike(const struct asq__step *s, const char *name)
{
    size_t n = strlen(name);
    if (s->kind == ASQUEUE__STEP_KIND__CALLED && (n == 0 || s->name_n == 0))
        return true;
    return s->name_n == n && memcmp(s->name, name, n) == 0;
}

int asq__step_next(asq_ctx *ctx, struct asq__step_log *log, Asqueue__StepKind kind,
                   const char *name, struct asq__step *ret)
{
    char now[200], then[200];
    size_t at = log->at;
    uint64_t number = ++log->number;
    int rc = asq__step_read(log->earlier.data, log->earlier.len, &at, ret);
    if (rc == ASQ_ENOENT) {
        asq__buf_release(&log->earlier);
        asq__buf_init(&log->earlier, 0);
        log->at = 0;
        return 0;
    }
    if (rc < 0 || ret->number < number)
        return unreadable(ctx);
    describe(kind, name, strlen(name), now);
    if (ret->number > number) { /* more calls before the first step than have names */
        if (kind == ASQUEUE__STEP_KIND__CALLED)
            return 1;
        return diverged(ctx, number, now, "a call");
    }
    if (ret->kind != kind || !are_alike(ret, name)) {
        describe(ret->kind, ret->name, ret->name_n, then);
        return diverged(ctx, number, now, then);
    }
    log->at = at;
    return 1;
}

bool asq__step_is_last(const struct asq__step_log *log)
{
    return log->at == log->earlier.len;
}

/* Hands bytes over to the mode. */
static int put(asq_ctx *ctx, struct asq__step_log *log, const struct asq__buf *records,
               const uint8_t *promise, bool binds, bool wait)
{
    asq *h = ctx->h;
    if (records->error)
        return asq_fail(ctx, records->error, "out of memory");
    log->bytes += records->len;
    log->unwritten += records->len;
    wait = wait || (binds && log->unwritten > UNWRITTEN_MAX);
    int rc = h->mode->record_steps
                 ? h->mode->record_steps(h, records->data, records->len, promise, binds, wait)
                 : 0;
    if (wait)
        log->unwritten = 0;
    return rc < 0 ? asq_fail(ctx, rc, "%s", asq_errmsg(h)) : 0;
}

int asq__step_record(asq_ctx *ctx, struct asq__step_log *log, const struct asq__step *step,
                     bool wait)
{
    struct asq__buf out;
    asq__buf_init(&out, (size_t) 1 << 31);
    if (!log->recording)
        asq__buf_put(&out, log->calls.data, log->calls.len);
    asq__buf_release(&log->calls);
    log->recording = true;
    asq__step_encode(step, &out);
    const uint8_t *promise = step->kind == ASQUEUE__STEP_KIND__PROMISE ? step->value : NULL;
    int rc = put(ctx, log, &out, promise, true, wait);
    asq__buf_release(&out);
    return rc;
}

int asq__step_record_calls(asq_ctx *ctx, struct asq__step_log *log)
{
    struct asq__buf calls = log->calls;
    if (log->recording)
        return 0;
    asq__buf_init(&log->calls, CALLS_MAX);
    log->recording = true;
    calls.error = 0; /* further ones have no name */
    int rc = calls.len ? put(ctx, log, &calls, NULL, false, false) : 0;
    asq__buf_release(&calls);
    return rc;
}

int asq__step_called(asq_ctx *ctx, const char *label)
{
    struct asq__step_log *log;
    struct asq__step known;
    int rc = asq__step_log(ctx, &log);
    if (rc < 0)
        return rc;
    rc = asq__step_next(ctx, log, ASQUEUE__STEP_KIND__CALLED, label, &known);
    if (rc != 0)
        return rc < 0 ? rc : 0;
    struct asq__step step = { .number = log->number,
                              .kind = ASQUEUE__STEP_KIND__CALLED,
                              .name = label,
                              .name_n = strlen(label) };
    if (!log->recording) {
        size_t before = log->calls.len;
        if (log->calls.error)
            return 0;
        asq__step_encode(&step, &log->calls);
        if (log->calls.error)
            log->calls.len = before;
        return 0;
    }
    if (log->bytes + RESERVED > asq__step_limit(ctx))
        return 0; /* the next step is refused, so nothing depends on this record */
    struct asq__buf out;
    asq__buf_init(&out, RESERVED);
    asq__step_encode(&step, &out);
    rc = put(ctx, log, &out, NULL, false, false);
    asq__buf_release(&out);
    return rc;
}

int asq__step_check_end(asq_ctx *ctx)
{
    struct asq__step_log *log;
    struct asq__step next;
    char then[200];
    int rc = asq__step_log(ctx, &log);
    if (rc < 0 || asq_ctx_canceled(ctx))
        return rc;
    size_t at = log->at;
    rc = asq__step_read(log->earlier.data, log->earlier.len, &at, &next);
    if (rc == ASQ_ENOENT)
        return 0;
    if (rc < 0)
        return unreadable(ctx);
    describe(next.kind, next.name, next.name_n, then);
    return diverged(ctx, next.number, "nothing more", then);
}
