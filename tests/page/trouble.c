/*
 * trouble.c: a plugin for the tests of as-studio's page with one class, Trouble, whose methods
 * bring about what an operator has to find: calls that hang, chains and rings of waits, failures,
 * crashes, and odd states.
 */
#include <asqueue.h>
#include <stdlib.h>

enum { HANG_MS = 3600000 };

/* hang(): parked until it is cancelled; a sleep of the context would be unloaded. */
static int hang(asq_ctx *ctx, void *self, const asq_value *args, asq_value **ret)
{
    (void) self;
    (void) args;
    (void) ret;
    return asq_sleep(asq_ctx_handle(ctx), HANG_MS);
}

static int touch(asq_ctx *ctx, void *self, const asq_value *args, asq_value **ret)
{
    (void) ctx;
    (void) self;
    (void) args;
    (void) ret;
    return 0;
}

/* ask(ms, agent, method, args): sleeps, then waits for that call. Two agents that ask each other to
 * `touch` are a ring. */
static int ask(asq_ctx *ctx, void *self, const asq_value *args, asq_value **ret)
{
    int64_t ms;
    const char *id, *method;
    const asq_value *inner;
    (void) self;
    int rc = asq_args(ctx, args, "[I, s, s, O]", &ms, &id, &method, &inner);
    if (rc == 0 && ms > 0)
        rc = asq_ctx_sleep(ctx, ms);
    if (rc < 0)
        return rc;
    asq *h = asq_ctx_handle(ctx);
    asq_agent *agent;
    if ((rc = asq_attach(h, id, &agent)) < 0)
        return asq_fail(ctx, rc, "attach: %s", asq_errmsg(h));
    asq_result *r = NULL;
    rc = asq_callv(agent, method, NULL, asq_value_copy(inner), &r);
    asq_agent_free(agent);
    if (rc < 0)
        return asq_fail(ctx, rc, "call: %s", asq_errmsg(h));
    if ((rc = asq_result_take(r, ret)) < 0)
        rc = asq_fail(ctx, rc, "inner: %s", asq_result_error(r)->message);
    asq_result_free(r);
    return rc;
}

/* fail(message): with a number of an application's own. */
static int fail(asq_ctx *ctx, void *self, const asq_value *args, asq_value **ret)
{
    const char *message;
    (void) self;
    (void) ret;
    int rc = asq_args(ctx, args, "[s]", &message);
    return rc < 0 ? rc : asq_fail(ctx, ASQ_EUSER(7), "%s", message);
}

static int crash(asq_ctx *ctx, void *self, const asq_value *args, asq_value **ret)
{
    (void) ctx;
    (void) self;
    (void) args;
    (void) ret;
    abort();
}

/* remember(value): becomes the agent's state. */
static int remember(asq_ctx *ctx, void *self, const asq_value *args, asq_value **ret)
{
    const asq_value *value;
    (void) self;
    (void) ret;
    int rc = asq_args(ctx, args, "[O]", &value);
    return rc < 0 ? rc : asq_map_set(asq_ctx_state(ctx), "value", asq_value_copy(value));
}

static const asq_method methods[] = {
    { "hang", hang, NULL, 0, "Waits until it is cancelled." },
    { "touch", touch, NULL, 0, NULL },
    { "ask", ask, "ms, agent, method, args", 0, "Waits for a call of another agent." },
    { "fail", fail, "message", 0, "Fails with <b>message</b>." },
    { "crash", crash, NULL, 0, "Kills its worker." },
    { "remember", remember, "value", 0, "Keeps value as its state." },
    { NULL, NULL, NULL, 0, NULL }
};

static const asq_class trouble_class = { ASQ_CLASS_INIT, .name = "Trouble",
                                         .doc = "What goes wrong.", .methods = methods };

ASQ_PLUGIN
{
    return asq_plugin_register(plugin, &trouble_class);
}
