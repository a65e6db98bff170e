/*
 * bench_class.c: the class that the bench calls. Each method exists twice: marked as never
 * blocking, and unmarked ("b_…"). Each call counts, so each commit saves a state. Built as a
 * plugin, and into the bench itself for child mode.
 */
#include <asqueue.h>

#include <stdlib.h>
#include <string.h>

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
