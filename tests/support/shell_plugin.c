/*
 * shell_plugin.c: a plugin for shell tests with one class, Shell: its method `run` starts a
 * program, as methods of users do, and returns its output; its method `overflow` needs more stack
 * than there is. Built by build_shell_plugin of support.sh.
 */
#include <asqueue.h>
#include <stdio.h>

enum { MAX_OUTPUT = 64 << 10 };

static int run(asq_ctx *ctx, void *self, const asq_value *args, asq_value **ret)
{
    (void) self;
    const char *command;
    int rc = asq_args(ctx, args, "[s]", &command);
    if (rc < 0)
        return rc;
    FILE *f = popen(command, "r");
    if (!f)
        return asq_fail(ctx, ASQ_ESYS, "popen failed");
    char out[MAX_OUTPUT];
    size_t n = fread(out, 1, sizeof out - 1, f);
    out[n] = '\0';
    pclose(f);
    *ret = asq_value_string(out);
    return *ret ? 0 : ASQ_ENOMEM;
}

/* Needs some stack for each of so many levels. */
static int descend(int levels)
{
    volatile char frame[256];
    frame[0] = (char) levels;
    return levels > 0 ? descend(levels - 1) + frame[0] : 0;
}

static int overflow(asq_ctx *ctx, void *self, const asq_value *args, asq_value **ret)
{
    (void) ctx, (void) self, (void) args;
    *ret = asq_value_int(descend(1 << 20));
    return *ret ? 0 : ASQ_ENOMEM;
}

static const asq_method methods[] = { { "run", run, "command", 0, "Runs a command of the shell." },
                                      { "overflow", overflow, "", 0, "Ends its process." },
                                      { NULL, NULL, NULL, 0, NULL } };

static const asq_class shell_class = { ASQ_CLASS_INIT, .name = "Shell", .methods = methods };

ASQ_PLUGIN
{
    return asq_plugin_register(plugin, &shell_class);
}
