/*
 * greeter.c: a plugin that is built outside of the source tree, with the flags of pkg-config alone.
 */
#include <asqueue.h>

static int greet(asq_ctx *ctx, void *self, const asq_value *args, asq_value **ret)
{
    (void) self;
    const char *name;
    int rc = asq_args(ctx, args, "[s]", &name);
    if (rc < 0)
        return rc;
    *ret = asq_pack("{s:s}", "hello", name);
    return *ret ? 0 : ASQ_ENOMEM;
}

static const asq_method methods[] = {
    { "greet", greet, "name", ASQ_READONLY, "Says hello." },
    { NULL, NULL, NULL, 0, NULL },
};

static const asq_class greeter = {
    ASQ_CLASS_INIT,
    .name = "Greeter",
    .methods = methods,
};

ASQ_PLUGIN
{
    return asq_plugin_register(plugin, &greeter);
}
