/*
 * class.c: the plugin of the deployment under hostile bytes: a counter, and methods that attackers
 * may call.
 */
#include <asqueue.h>

static int add(asq_ctx *ctx, void *self, const asq_value *args, asq_value **ret)
{
    asq_value *state = asq_ctx_state(ctx);
    int64_t n, sum;
    int rc = asq_args(ctx, args, "[I]", &n);

    (void) self;
    if (rc < 0)
        return rc;
    sum = (int64_t) ((uint64_t) asq_map_int(state, "n") + (uint64_t) n);
    *ret = asq_value_int(sum);
    return asq_map_set_int(state, "n", sum);
}

static int get(asq_ctx *ctx, void *self, const asq_value *args, asq_value **ret)
{
    (void) self, (void) args;
    *ret = asq_value_int(asq_map_int(asq_ctx_state(ctx), "n"));
    return 0;
}

/* Adds one to its own counter and one to another agent's. */
static int relay(asq_ctx *ctx, void *self, const asq_value *args, asq_value **ret)
{
    asq *h = asq_ctx_handle(ctx);
    asq_value *state = asq_ctx_state(ctx);
    asq_agent *a;
    const asq_value *to;
    const char *id;
    int rc = asq_args(ctx, args, "[o]", &to);

    (void) self;
    if (rc < 0)
        return rc;
    if ((rc = asq_value_get_agent(to, &id, NULL)) < 0)
        return asq_fail(ctx, ASQ_EARGS, "an agent is wanted");
    if ((rc = asq_map_set_int(state, "n", asq_map_int(state, "n") + 1)) < 0)
        return rc;
    if ((rc = asq_attach(h, id, &a)) < 0)
        return asq_fail(ctx, rc, "%s", asq_errmsg(h));
    rc = asq_call_wait(a, "add", ret, "[i]", 1);
    asq_agent_free(a);
    return rc < 0 ? asq_fail(ctx, rc, "%s", asq_errmsg(h)) : 0;
}

static int fail(asq_ctx *ctx, void *self, const asq_value *args, asq_value **ret)
{
    (void) self, (void) args, (void) ret;
    return asq_fail(ctx, ASQ_EUSER(1), "on purpose");
}

static int nap(asq_ctx *ctx, void *self, const asq_value *args, asq_value **ret)
{
    (void) self, (void) args, (void) ret;
    return asq_ctx_sleep(ctx, 20);
}

static int hidden(asq_ctx *ctx, void *self, const asq_value *args, asq_value **ret)
{
    (void) ctx, (void) self;
    *ret = asq_value_copy(args);
    return 0;
}

static const asq_method methods[] = {
    { "add", add, NULL, 0, "Adds; gives the sum." },
    { "get", get, NULL, ASQ_READONLY, "The sum." },
    { "relay", relay, "agent", 0, "Adds one here and one there." },
    { "fail", fail, NULL, 0, "Fails." },
    { "sleep", nap, NULL, 0, "Waits a little." },
    { "_private", hidden, NULL, ASQ_READONLY, "Private." },
    { NULL, NULL, NULL, 0, NULL },
};
static const asq_class honest_class = { ASQ_CLASS_INIT, .name = "Honest", .methods = methods };

ASQ_PLUGIN
{
    return asq_plugin_register(plugin, &honest_class);
}
