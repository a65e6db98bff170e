/*
 * echo.c: a plugin with one class, Echo, without state: it answers, waits and fails on request.
 * Good for trying out a deployment:
 *
 *     cc -shared -fPIC -o echo.so echo.c $(pkg-config --cflags --libs asqueue)
 *     as-ctl create Echo --id e
 *     as-ctl call e echo '[{"any": ["value", 1.5, null]}]'
 *     as-ctl call e sleep '[1000]'
 *     as-ctl call e fail '["so that I see what an error looks like"]'
 */
#include <asqueue.h>

#define ECHO_EFAIL ASQ_EUSER(1) /* -1001: numbers from ASQ_EUSER(0) down are an application's own */

static int echo_echo(asq_ctx *ctx, void *self, const asq_value *args, asq_value **ret)
{
    const asq_value *x;
    int rc;

    (void) self;
    if ((rc = asq_args(ctx, args, "[o]", &x)) < 0)
        return rc;
    *ret = asq_value_copy(x); /* x is borrowed from args; the returned value must be our own */
    return *ret ? 0 : ASQ_ENOMEM;
}

/* asq_ctx_sleep parks the call: thousands may sleep at once on one thread. It returns early,
 * with a code that ends the call, when the call is cancelled or its deadline passes. */
static int echo_sleep(asq_ctx *ctx, void *self, const asq_value *args, asq_value **ret)
{
    int64_t ms;
    int rc;

    (void) self;
    if ((rc = asq_args(ctx, args, "[I]", &ms)) < 0)
        return rc;
    if (ms < 0)
        return asq_fail(ctx, ASQ_EARGS, "ms is %lld, but time only goes forward", (long long) ms);
    if ((rc = asq_ctx_sleep(ctx, ms)) < 0)
        return rc;
    *ret = asq_value_int(ms);
    return *ret ? 0 : ASQ_ENOMEM;
}

/* Fails. The caller gets code and message, and with them class, method, agent and worker. */
static int echo_fail(asq_ctx *ctx, void *self, const asq_value *args, asq_value **ret)
{
    const char *message;
    int rc;

    (void) self;
    (void) ret;
    if ((rc = asq_args(ctx, args, "[s]", &message)) < 0)
        return rc;
    return asq_fail(ctx, ECHO_EFAIL, "%s", message);
}

static const asq_method echo_methods[] = {
    { "echo", echo_echo, "x", ASQ_READONLY | ASQ_NONBLOCKING, "Gives x back." },
    { "sleep", echo_sleep, "ms", ASQ_READONLY, "Sleeps ms milliseconds and gives them back." },
    { "fail", echo_fail, "message", ASQ_READONLY | ASQ_NONBLOCKING, "Fails with message." },
    { NULL, NULL, NULL, 0, NULL }
};

static const asq_class echo_class = {
    ASQ_CLASS_INIT,          .name = "Echo", .doc = "Answers, waits and fails on request.",
    .methods = echo_methods, .version = 1,
};

ASQ_PLUGIN
{
    return asq_plugin_register(plugin, &echo_class);
}
