/*
 * step.c: durable steps of methods: asq_step, the time and random numbers that are the same when
 * the call runs again, and sleeps that go on. What was done before is step_log.c's question; who
 * keeps it is the mode's.
 */
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "asqueue.h"
#include "client/handle.h"
#include "client/object.h"
#include "client/retry.h"
#include "client/step.h"
#include "client/step_log.h"
#include "value/clock.h"
#include "value/error.h"
#include "value/random.h"
#include "value/value.h"

/* Room for the record of a failure: name, message, and the other fields. */
enum { RESERVED = 2048, MESSAGE_MAX = 1024 };
enum { RANDOM_MAX = 256 };
/* Shorter sleeps are not recorded. */
enum { RECORDED_SLEEP_MS = 1000 };

int asq__step_give_failure(asq_ctx *ctx, int code, const char *message, size_t n)
{
    ctx->step_failure = code;
    return asq__fail(ctx->h, code, "%.*s", (int) n, message);
}

int asq__step_told(asq_ctx *ctx, int rc)
{
    if (rc < 0 && ctx->h && ctx->error.pub.code == rc)
        asq__fail_from(ctx->h, &ctx->error.pub);
    return rc;
}

/* Returns whether another step can be recorded. Once there is no room, there never is. */
static bool has_room(const asq_ctx *ctx, const struct asq__step_log *log, size_t value_n)
{
    return log->bytes + value_n + RESERVED <= asq__step_limit(ctx);
}

/* Without room for its record, only a sleep goes on: no other step comes behind it, so it is
 * missing at the end of the records, and does no harm. */
int asq__step_begin(asq_ctx *ctx, Asqueue__StepKind kind, const char *name, size_t value_n,
                    struct asq__step_log **ret_log, struct asq__step *known)
{
    int rc = asq__step_log(ctx, ret_log);
    struct asq__step_log *log = *ret_log;
    if (rc < 0)
        return rc;
    if (log->in_step)
        return asq_fail(ctx, ASQ_ESTATE,
                        "a step cannot have steps of its own: its function does not run again, and "
                        "they would be missing then");
    if (ctx->h->notifying)
        return asq_fail(ctx, ASQ_ESTATE,
                        "a callback of asq_call_each or asq_result_on_emit must not make steps: "
                        "their order would differ when the method runs again");
    rc = asq__step_next(ctx, log, kind, name, known);
    if (rc != 0 || kind == ASQUEUE__STEP_KIND__SLEEP || has_room(ctx, log, value_n))
        return rc;
    return asq_fail(ctx, ASQ_ELIMIT,
                    "the records of this call's steps have %zu bytes, and there is no room for "
                    "another step: they may have %zu (the largest message)",
                    log->bytes, asq__step_limit(ctx));
}

/* ---- a step's function ---- */

/* Runs the function once. What it says by asq_fail is the step's failure, and not the call's. */
static int run_once(asq_ctx *ctx, struct asq__step_log *log, asq_step_fn fn, void *user,
                    asq_value **ret, struct asq__error *failure)
{
    struct asq__error before = ctx->error;
    asq__error_init(&ctx->error);
    *ret = NULL;
    log->in_step = true;
    int rc = fn(ctx, user, ret);
    log->in_step = false;
    if (rc >= 0 && ctx->error.pub.code)
        rc = ctx->error.pub.code;
    if (rc < 0) {
        asq_value_free(*ret);
        *ret = NULL;
        asq__error_set(failure, rc, "%.*s", MESSAGE_MAX,
                       ctx->error.pub.code ? ctx->error.pub.message : asq_strerror(rc));
    }
    asq__error_clear(&ctx->error);
    ctx->error = before;
    return rc < 0 ? rc : 0;
}

/* Runs the function until it succeeds, or its policy ends. */
static int run(asq_ctx *ctx, struct asq__step_log *log, const asq_step_options *options,
               asq_step_fn fn, void *user, asq_value **ret, struct asq__error *failure)
{
    for (uint32_t runs = 1;; runs++) {
        int64_t delay_ms;
        bool keep_place;
        asq__error_clear(failure);
        int rc = run_once(ctx, log, fn, user, ret, failure);
        if (rc == 0 || !options || !options->retry || asq_ctx_canceled(ctx) ||
            !asq__retry_wanted(NULL, options->retry, rc, runs, &delay_ms, &keep_place) ||
            (ctx->deadline_ms != INT64_MAX && delay_ms >= ctx->deadline_ms - asq__now_ms()))
            return rc;
        rc = asq_sleep(ctx->h, delay_ms);
        if (rc < 0)
            return rc;
    }
}

/* Encodes the value. A value that cannot be kept makes the step fail. */
static int encode(asq_ctx *ctx, const struct asq__step_log *log, const char *name,
                  const asq_value *value, struct asq__buf *out, struct asq__error *failure)
{
    size_t limit = asq__step_limit(ctx), left = limit - log->bytes - RESERVED;
    asq__buf_init(out, left);
    int rc = value ? asq__value_encode(value, out) : 0;
    if (rc == ASQ_ENOMEM)
        return asq_fail(ctx, rc, "out of memory");
    if (rc < 0)
        asq__error_set(failure, rc,
                       "step '%s' was made, but its value of %lld bytes cannot be recorded: the "
                       "steps of a call may have %zu bytes together (the largest message), and %zu "
                       "are left",
                       name, (long long) asq_value_encoded_size(value), limit, left);
    return 0;
}

static int record(asq_ctx *ctx, struct asq__step_log *log, const char *name, bool wait,
                  asq_value *value, struct asq__error *failure, asq_value **ret)
{
    struct asq__buf bytes;
    asq__buf_init(&bytes, 0);
    int rc = failure->pub.code ? 0 : encode(ctx, log, name, value, &bytes, failure);
    bool failed = failure->pub.code != 0;
    struct asq__step step = { .number = log->number,
                              .kind = ASQUEUE__STEP_KIND__STEP,
                              .name = name,
                              .name_n = strlen(name) };
    if (failed) {
        step.code = failure->pub.code;
        step.message = failure->pub.message;
        step.message_n = strlen(step.message);
    } else {
        step.value = bytes.data;
        step.value_n = bytes.len;
    }
    if (rc == 0)
        rc = asq__step_record(ctx, log, &step, wait);
    asq__buf_release(&bytes);
    if (rc == 0 && failed)
        rc = asq__step_give_failure(ctx, step.code, step.message, step.message_n);
    if (rc == 0 && ret)
        *ret = value ? value : asq_value_null();
    else
        asq_value_free(value);
    return rc == 0 && ret && !*ret ? asq_fail(ctx, ASQ_ENOMEM, "out of memory") : rc;
}

int asq__step_give_value(asq_ctx *ctx, const struct asq__step *known, asq_value **ret)
{
    char why[200] = "";
    if (!ret)
        return 0;
    int rc = 0;
    if (known->value_n)
        rc = asq__value_decode(known->value, known->value_n, ret, why, sizeof why);
    else if (!(*ret = asq_value_null()))
        rc = ASQ_ENOMEM;
    return rc < 0 ? asq_fail(ctx, rc, "the recorded value of step '%.*s': %s", (int) known->name_n,
                             known->name, *why ? why : asq_strerror(rc))
                  : 0;
}

/* Gives what an earlier run has recorded. */
static int give(asq_ctx *ctx, const struct asq__step *known, asq_value **ret)
{
    if (known->code)
        return asq__step_give_failure(ctx, known->code, known->message, known->message_n);
    return asq__step_give_value(ctx, known, ret);
}

static int step(asq_ctx *ctx, const char *name, const asq_step_options *options, asq_step_fn fn,
                void *user, asq_value **ret)
{
    struct asq__step_log *log;
    struct asq__step known;
    char why[300];
    if (!name || !fn)
        return asq_fail(ctx, ASQ_EINVAL, "asq_step: an argument is NULL");
    if (!*name || strlen(name) > ASQ_MAX_NAME || !asq__utf8_valid(name, strlen(name)))
        return asq_fail(ctx, ASQ_EINVAL, "asq_step: the name of a step is UTF-8 of 1 to %d bytes",
                        ASQ_MAX_NAME);
    if (options && options->size != sizeof *options)
        return asq_fail(ctx, ASQ_EINVAL,
                        "asq_step_with: its options begin with a size of %zu; "
                        "ASQ_STEP_OPTIONS_INIT sets it",
                        options->size);
    if (options && options->retry && asq__retry_check(options->retry, why, sizeof why) < 0)
        return asq_fail(ctx, ASQ_EINVAL, "step '%s': %s", name, why);
    int rc = asq__step_begin(ctx, ASQUEUE__STEP_KIND__STEP, name, 0, &log, &known);
    if (rc != 0)
        return rc < 0 ? rc : give(ctx, &known, ret);
    asq_value *value;
    struct asq__error failure;
    asq__error_init(&failure);
    rc = run(ctx, log, options, fn, user, &value, &failure);
    if (rc < 0 && !failure.pub.code) /* its wait between two tries has ended: nothing is decided */
        rc = asq_fail(ctx, rc, "step '%s': %s", name, asq_errmsg(ctx->h));
    else
        rc = record(ctx, log, name, options && options->wait_record, value, &failure, ret);
    asq__error_clear(&failure);
    return rc;
}

int asq_step_with(asq_ctx *ctx, const char *name, const asq_step_options *options, asq_step_fn fn,
                  void *user, asq_value **ret)
{
    if (!ctx)
        return ASQ_EINVAL;
    return asq__step_told(ctx, step(ctx, name, options, fn, user, ret));
}

int asq_step(asq_ctx *ctx, const char *name, asq_step_fn fn, void *user, asq_value **ret)
{
    return asq_step_with(ctx, name, NULL, fn, user, ret);
}

/* ---- time, random numbers, sleeps ---- */

/* 1: it could not be recorded, and is a sleep's, which another run has all of again. */
int asq__step_fact(asq_ctx *ctx, Asqueue__StepKind kind, void *value, size_t value_n)
{
    struct asq__step_log *log;
    struct asq__step known;
    int rc = asq__step_begin(ctx, kind, "", value_n, &log, &known);
    if (rc < 0)
        return rc;
    if (rc == 0) {
        if (!has_room(ctx, log, 0))
            return 1;
        struct asq__step step = {
            .number = log->number, .kind = kind, .name = "", .value = value, .value_n = value_n
        };
        return asq__step_record(ctx, log, &step, false);
    }
    if (known.value_n != value_n)
        return asq_fail(ctx, ASQ_EDIVERGED,
                        "at place %llu, this run of the method asks for %zu bytes, and its earlier "
                        "run has asked for %zu",
                        (unsigned long long) log->number, value_n, known.value_n);
    memcpy(value, known.value, value_n);
    return 0;
}

int asq__step_time(asq_ctx *ctx, Asqueue__StepKind kind, int64_t *ms)
{
    uint8_t bytes[8];
    uint64_t v = (uint64_t) *ms;
    for (int i = 0; i < 8; i++)
        bytes[i] = (uint8_t) (v >> 8 * i);
    int rc = asq__step_fact(ctx, kind, bytes, sizeof bytes);
    v = 0;
    for (int i = 0; i < 8; i++)
        v |= (uint64_t) bytes[i] << 8 * i;
    *ms = (int64_t) v;
    return rc;
}

int asq_ctx_now(asq_ctx *ctx, int64_t *ret_ms)
{
    if (!ctx || !ret_ms)
        return ctx ? asq_fail(ctx, ASQ_EINVAL, "asq_ctx_now: an argument is NULL") : ASQ_EINVAL;
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    int64_t now = (int64_t) t.tv_sec * 1000 + t.tv_nsec / 1000000;
    int rc = asq__step_told(ctx, asq__step_time(ctx, ASQUEUE__STEP_KIND__NOW, &now));
    if (rc == 0)
        *ret_ms = now;
    return rc;
}

int asq_ctx_random(asq_ctx *ctx, void *ret, size_t n)
{
    uint8_t bytes[RANDOM_MAX];
    if (!ctx || !ret)
        return ctx ? asq_fail(ctx, ASQ_EINVAL, "asq_ctx_random: an argument is NULL") : ASQ_EINVAL;
    if (n == 0 || n > sizeof bytes)
        return asq_fail(ctx, ASQ_EINVAL, "asq_ctx_random: 1 to %d bytes can be asked for",
                        RANDOM_MAX);
    if (asq__random(bytes, n) < 0)
        return asq_fail(ctx, ASQ_ESYS, "getrandom failed");
    int rc = asq__step_told(ctx, asq__step_fact(ctx, ASQUEUE__STEP_KIND__RANDOM, bytes, n));
    if (rc == 0)
        memcpy(ret, bytes, n);
    return rc;
}

/* Whether a sleep is recorded must be the same in each run, so it depends on the sleep and its
 * place alone. Outside of methods and creations (args), whether a function runs is not the same in
 * each run. */
bool asq__step_wait_is_recorded(const asq_ctx *ctx, const asq *h, int64_t ms)
{
    return ms >= RECORDED_SLEEP_MS && ctx->args && !h->notifying &&
           !(h->steps && h->steps->in_step);
}

int asq__step_record_wait(asq_ctx *ctx, Asqueue__StepKind kind, int64_t *ms, int64_t *ret_until_ms)
{
    int64_t now = asq__boot_ms() + ctx->clock_minus_boot_ms;
    int64_t wake_ms = *ms > INT64_MAX - now ? INT64_MAX : now + *ms;
    int rc = asq__step_time(ctx, kind, &wake_ms);
    if (rc == 0 && wake_ms <= now)
        *ms = 0;
    else if (rc == 0 && wake_ms - now < *ms)
        *ms = wake_ms - now;
    *ret_until_ms = rc == 0 ? wake_ms : 0;
    return rc < 0 ? rc : 0;
}

int asq_ctx_sleep(asq_ctx *ctx, int64_t ms)
{
    if (!ctx)
        return ASQ_EINVAL;
    asq *h = asq_ctx_handle(ctx);
    if (!h)
        return asq_fail(ctx, ASQ_ENOMEM, "out of memory");
    int64_t until_ms = 0;
    if (asq__step_wait_is_recorded(ctx, h, ms)) {
        int rc = asq__step_told(
            ctx, asq__step_record_wait(ctx, ASQUEUE__STEP_KIND__SLEEP, &ms, &until_ms));
        if (rc < 0)
            return rc;
    }
    h->asleep_until_ms = until_ms;
    /* A call that is cancelled when this sleep is over, and has not gone on, is told all the same.
     */
    if (ms == 0 && until_ms && ctx->canceled_asleep && asq__step_is_last(h->steps))
        ms = 1;
    int rc = asq_sleep(h, ms);
    h->asleep_until_ms = 0;
    return rc < 0 ? asq_fail(ctx, rc, "%s", asq_errmsg(h)) : 0;
}

/* ---- waits ---- */

/* Waits for a result in a wait that another run comes to again, with the same end. */
static int wait_durably(asq_result *r, int64_t timeout_ms, int64_t until_ms)
{
    asq *h = r->h;
    h->waits_until_ms = until_ms;
    int rc = asq_result_wait(r, timeout_ms);
    h->waits_until_ms = 0;
    return rc;
}

/* Waits for a result, and records whether it was there in time. What an earlier run has recorded of
 * that counts: a result that was there then is there now, or comes again. */
static int wait_until(asq_ctx *ctx, asq_result *r, int64_t timeout_ms)
{
    struct asq__step_log *log;
    struct asq__step known;
    int64_t now = asq__boot_ms() + ctx->clock_minus_boot_ms;
    int64_t until_ms = timeout_ms > INT64_MAX - now ? INT64_MAX : now + timeout_ms;
    uint8_t late;
    int rc = asq__step_time(ctx, ASQUEUE__STEP_KIND__WAIT, &until_ms);
    if (rc == 0)
        rc = asq__step_begin(ctx, ASQUEUE__STEP_KIND__WAITED, "", sizeof late, &log, &known);
    if (rc < 0)
        return asq__step_told(ctx, rc);
    if (rc == 1) {
        late = known.value_n ? *(const uint8_t *) known.value : 0;
        return late ? asq__fail(ctx->h, ASQ_ETIMEOUT, "the wait for %s was over before",
                                asq__result_id_text(r))
                    : wait_durably(r, ASQ_FOREVER, INT64_MAX);
    }
    int64_t left = until_ms - (asq__boot_ms() + ctx->clock_minus_boot_ms);
    rc = wait_durably(r, left < 0 ? 0 : left < timeout_ms ? left : timeout_ms, until_ms);
    if (!asq__result_is_settled(r) && rc != ASQ_ETIMEOUT)
        return rc; /* the call is over: nothing is decided */
    late = !asq__result_is_settled(r);
    struct asq__step step = { .number = log->number,
                              .kind = ASQUEUE__STEP_KIND__WAITED,
                              .name = "",
                              .value = &late,
                              .value_n = sizeof late };
    int recorded = asq__step_record(ctx, log, &step, false);
    return recorded < 0 ? asq__step_told(ctx, recorded) : rc;
}

int asq_ctx_wait(asq_ctx *ctx, asq_result *r, int64_t timeout_ms)
{
    if (!ctx || !r)
        return ctx ? asq_fail(ctx, ASQ_EINVAL, "asq_ctx_wait: an argument is NULL") : ASQ_EINVAL;
    if (r->h != ctx->h)
        return asq_fail(ctx, ASQ_EINVAL, "asq_ctx_wait: the result is of another handle");
    return timeout_ms < 0 ? wait_durably(r, ASQ_FOREVER, INT64_MAX)
                          : wait_until(ctx, r, timeout_ms);
}
