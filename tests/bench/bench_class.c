/*
 * bench_class.c: the class that the bench calls. Each method exists twice: marked as never
 * blocking, and unmarked ("b_…"). Each call counts, so each commit saves a state. Built as a
 * plugin, and into the bench itself for child mode.
 */
#include <asqueue.h>

#include <stdlib.h>
#include <string.h>
#include <time.h>

extern const asq_class bench_class;

static int noop(asq_ctx *ctx, void *self, const asq_value *args, asq_value **ret)
{
    asq_value *state = asq_ctx_state(ctx);

    (void) self;
    (void) args;
    (void) ret;
    return asq_map_set_int(state, "n", asq_map_int(state, "n") + 1);
}

static int nap(asq_ctx *ctx, void *self, const asq_value *args, asq_value **ret)
{
    int64_t ms;
    int rc = asq_args(ctx, args, "[I]", &ms);

    if (rc == 0)
        rc = asq_sleep(asq_ctx_handle(ctx), ms);
    return rc == 0 ? noop(ctx, self, args, ret) : rc;
}

static int durable_sleep(asq_ctx *ctx, void *self, const asq_value *args, asq_value **ret)
{
    int64_t ms;
    int rc = asq_args(ctx, args, "[I]", &ms);

    if (rc == 0)
        rc = asq_ctx_sleep(ctx, ms);
    return rc == 0 ? noop(ctx, self, args, ret) : rc;
}

/* ---- durable work ---- */

enum { STEPS = 10, EMITS = 100, EMIT_BYTES = 20 };

static int one(asq_ctx *ctx, void *user, asq_value **ret)
{
    (void) ctx;
    (void) user;
    *ret = asq_value_int(1);
    return 0;
}

static int make_steps(asq_ctx *ctx, bool wait_record)
{
    asq_step_options options = ASQ_STEP_OPTIONS_INIT;
    int rc = 0;

    options.wait_record = wait_record;
    for (int i = 0; i < STEPS && rc == 0; i++)
        rc = asq_step_with(ctx, "step", &options, one, NULL, NULL);
    return rc;
}

static int steps(asq_ctx *ctx, void *self, const asq_value *args, asq_value **ret)
{
    int rc = make_steps(ctx, false);

    return rc == 0 ? noop(ctx, self, args, ret) : rc;
}

/* Waits, so that the records leave before the result. */
static int steps_wait(asq_ctx *ctx, void *self, const asq_value *args, asq_value **ret)
{
    int rc = make_steps(ctx, false);

    if (rc == 0)
        rc = asq_ctx_sleep(ctx, 1);
    return rc == 0 ? noop(ctx, self, args, ret) : rc;
}

static int steps_recorded(asq_ctx *ctx, void *self, const asq_value *args, asq_value **ret)
{
    int rc = make_steps(ctx, true);

    return rc == 0 ? noop(ctx, self, args, ret) : rc;
}

static int emit_one(asq_ctx *ctx)
{
    char text[EMIT_BYTES];

    memset(text, 'x', sizeof text);
    return asq_emit(ctx, asq_value_stringn(text, sizeof text));
}

static int emit(asq_ctx *ctx, void *self, const asq_value *args, asq_value **ret)
{
    int rc = 0;

    for (int i = 0; i < EMITS && rc == 0; i++)
        rc = emit_one(ctx);
    return rc == 0 ? noop(ctx, self, args, ret) : rc;
}

static int64_t now_ms(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t) ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* Emits n values, one each gap_ms. */
static int emit_paced(asq_ctx *ctx, void *self, const asq_value *args, asq_value **ret)
{
    int64_t n, gap_ms, begin = now_ms();
    int rc = asq_args(ctx, args, "[II]", &n, &gap_ms);

    for (int64_t i = 0; i < n && rc == 0; i++) {
        int64_t left = begin + i * gap_ms - now_ms();
        if (left > 0)
            rc = asq_ctx_sleep(ctx, left);
        if (rc == 0)
            rc = emit_one(ctx);
    }
    return rc == 0 ? noop(ctx, self, args, ret) : rc;
}

/* Makes a promise, tells its id, and waits for it. */
static int promise(asq_ctx *ctx, void *self, const asq_value *args, asq_value **ret)
{
    asq_result *p;
    int rc = asq_promise_new(ctx, &p);

    if (rc < 0)
        return rc;
    rc = asq_emit(ctx, asq_value_string(asq_result_id(p)));
    if (rc == 0)
        rc = asq_result_wait(p, ASQ_FOREVER);
    asq_result_free(p);
    return rc == 0 ? noop(ctx, self, args, ret) : rc;
}

/* Sets the size of the state beside the counter. */
static int fill(asq_ctx *ctx, void *self, const asq_value *args, asq_value **ret)
{
    int64_t n;
    char *bytes;
    int rc = asq_args(ctx, args, "[I]", &n);

    (void) self;
    (void) ret;
    if (rc < 0)
        return rc;
    if (n < 0 || n > 1 << 24 || !(bytes = malloc((size_t) n + 1)))
        return asq_fail(ctx, ASQ_ELIMIT, "no state of %lld bytes", (long long) n);
    memset(bytes, 'x', (size_t) n);
    rc = asq_map_set(asq_ctx_state(ctx), "fill", asq_value_bytes(bytes, (size_t) n));
    free(bytes);
    return rc;
}

static const asq_method methods[] = {
    { .name = "noop", .fn = noop, .flags = ASQ_NONBLOCKING, .doc = "Counts." },
    { .name = "nap", .fn = nap, .flags = ASQ_NONBLOCKING, .doc = "Waits for so many ms; counts." },
    { .name = "sleep",
      .fn = durable_sleep,
      .flags = ASQ_NONBLOCKING,
      .doc = "Sleeps durably for so many ms; counts." },
    { .name = "steps", .fn = steps, .flags = ASQ_NONBLOCKING, .doc = "Makes 10 steps; counts." },
    { .name = "steps_wait",
      .fn = steps_wait,
      .flags = ASQ_NONBLOCKING,
      .doc = "Makes 10 steps, waits; counts." },
    { .name = "steps_recorded",
      .fn = steps_recorded,
      .flags = ASQ_NONBLOCKING,
      .doc = "Makes 10 steps, each with a wait for its record; counts." },
    { .name = "b_steps", .fn = steps, .doc = "Makes 10 steps; may block; counts." },
    { .name = "emit", .fn = emit, .flags = ASQ_NONBLOCKING, .doc = "Emits 100 values; counts." },
    { .name = "emit_paced",
      .fn = emit_paced,
      .flags = ASQ_NONBLOCKING,
      .doc = "Emits n values, one each gap_ms; counts." },
    { .name = "promise",
      .fn = promise,
      .flags = ASQ_NONBLOCKING,
      .doc = "Emits the id of a promise, waits for it; counts." },
    { .name = "fill", .fn = fill, .flags = ASQ_NONBLOCKING, .doc = "Sets the size of the state." },
    { .name = "b_noop", .fn = noop, .doc = "Counts; may block." },
    { .name = "b_nap", .fn = nap, .doc = "Waits for so many ms, then counts; may block." },
    { .name = NULL },
};

const asq_class bench_class = { ASQ_CLASS_INIT, .name = "Bench", .doc = "What the bench calls.",
                                .methods = methods, .version = 1 };

#ifdef BENCH_PLUGIN
ASQ_PLUGIN
{
    return asq_plugin_register(plugin, &bench_class);
}
#endif
