/*
 * shell_plugin.c: a plugin for shell tests with one class, Shell: its method `run` starts a
 * program, as methods of users do, and returns its output; `overflow` needs more stack than there
 * is, and `overflow_copy` does so in a copy of the process. Built by build_shell_plugin of
 * support.sh.
 */
#include <asqueue.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

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

/* Returns the signal that ended the copy. */
static int overflow_copy(asq_ctx *ctx, void *self, const asq_value *args, asq_value **ret)
{
    (void) self, (void) args;
    int status = 0;
    pid_t copy = fork();
    if (copy == 0)
        _exit(descend(1 << 20) & 1);
    if (copy < 0 || waitpid(copy, &status, 0) != copy)
        return asq_fail(ctx, ASQ_ESYS, "fork or waitpid failed");
    *ret = asq_value_int(WIFSIGNALED(status) ? WTERMSIG(status) : 0);
    return *ret ? 0 : ASQ_ENOMEM;
}

static const asq_method methods[] = { { "run", run, "command", 0, "Runs a command of the shell." },
                                      { "overflow", overflow, "", 0, "Ends its process." },
                                      { "overflow_copy", overflow_copy, "", 0, "Ends a copy." },
                                      { NULL, NULL, NULL, 0, NULL } };

static const asq_class shell_class = { ASQ_CLASS_INIT, .name = "Shell", .methods = methods };

ASQ_PLUGIN
{
    return asq_plugin_register(plugin, &shell_class);
}
