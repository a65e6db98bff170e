/*
 * counter.c: a plugin with one class, Counter, whose agents count. The smallest agent with state:
 * the library holds it as a map and saves it in the same step as each result, so a count is
 * neither lost nor made twice, whatever dies in between.
 *
 * Built outside of asqueue's tree with
 *
 *     cc -shared -fPIC $(pkg-config --cflags asqueue) -o counter.so counter.c $(pkg-config --libs asqueue)
 *
 * and used with
 *
 *     as-worker --agent-dir .  &
 *     as-ctl create Counter '{"start": 40}' --id tally
 *     as-ctl call tally add '[2]'                        # 42
 *     as-ctl get tally value                             # 42
 */
#include <asqueue.h>

/* Makes an agent: runs once, as the agent's first call. The arguments are those of asq_create, by
 * name or by position. */
static int counter_create(asq_ctx *ctx, const asq_value *args, void **ret_self)
{
    int64_t start = 0;
    int rc;

    (void) ret_self; /* for classes that keep a struct of their own; this class uses the map */
    if (asq_value_type(args) == ASQ_MAP)
        rc = asq_args(ctx, args, "{s?:I}", "start", &start);
    else
        rc = asq_args(ctx, args, "[|I]", &start);
    if (rc < 0)
        return rc;
    return asq_map_set_int(asq_ctx_state(ctx), "value", start);
}

/* One call of an agent runs at a time, so reading and writing need no lock. */
static int counter_add(asq_ctx *ctx, void *self, const asq_value *args, asq_value **ret)
{
    asq_value *state = asq_ctx_state(ctx);
    int64_t n, sum;
    int rc;

    (void) self;
    if ((rc = asq_args(ctx, args, "[I]", &n)) < 0)
        return rc;
    if (__builtin_add_overflow(asq_map_int(state, "value"), n, &sum))
        return asq_fail(ctx, ASQ_ELIMIT, "adding %lld would exceed 64 bits", (long long) n);
    if ((rc = asq_map_set_int(state, "value", sum)) < 0)
        return rc;
    *ret = asq_value_int(sum);
    return *ret ? 0 : ASQ_ENOMEM;
}

static int counter_reset(asq_ctx *ctx, void *self, const asq_value *args, asq_value **ret)
{
    int rc = asq_args(ctx, args, "[]");

    (void) self;
    (void) ret; /* unset: the call returns null */
    return rc < 0 ? rc : asq_map_set_int(asq_ctx_state(ctx), "value", 0);
}

/* ASQ_NONBLOCKING: these methods never wait for anything, so they run on the worker's loop itself
 * and save two thread wake-ups for each call. */
static const asq_method counter_methods[] = {
    { "add", counter_add, "n", ASQ_NONBLOCKING, "Adds n; gives the new value." },
    { "reset", counter_reset, NULL, ASQ_NONBLOCKING, "Sets the value to 0." },
    { NULL, NULL, NULL, 0, NULL }
};

/* No getter: the attribute is the value of that name in the state. */
static const asq_attribute counter_attributes[] = { { "value", NULL, NULL, 0, "The count." },
                                                    { NULL, NULL, NULL, 0, NULL } };

static const asq_class counter_class = {
    ASQ_CLASS_INIT,
    .name = "Counter",
    .doc = "Counts.",
    .methods = counter_methods,
    .attributes = counter_attributes,
    .create = counter_create,
    .version = 1,
};

ASQ_PLUGIN
{
    return asq_plugin_register(plugin, &counter_class);
}
