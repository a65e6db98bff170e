/*
 * shell_plugin.c: a plugin for shell tests with one class, Shell: its method `run` starts a
 * program, as methods of users do, and returns its output; `ask` makes a promise, writes its id to
 * a file, and returns what it is settled to; `overflow` needs more stack than there
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

static int ask(asq_ctx *ctx, void *self, const asq_value *args, asq_value **ret)
{
    (void) self;
    const char *path;
    asq_result *promise;
    const asq_value *v;
    int rc = asq_args(ctx, args, "[s]", &path);
    if (rc < 0 || (rc = asq_promise_new(ctx, &promise)) < 0)
        return rc;
    FILE *f = fopen(path, "a");
    if (f) {
        fprintf(f, "%s\n", asq_result_id(promise));
        fclose(f);
    }
    rc = asq_ctx_wait(ctx, promise, ASQ_FOREVER);
    if (rc == 0 && (rc = asq_result_value(promise, &v)) == 0)
        *ret = asq_value_copy(v);
    if (rc < 0)
        asq_fail(ctx, rc, "%s", asq_errmsg(asq_ctx_handle(ctx)));
    asq_result_free(promise);
    return rc;
}

static const asq_method methods[] = { { "run", run, "command", 0, "Runs a command of the shell." },
                                      { "ask", ask, "path", 0, "Waits for a promise." },
                                      { "overflow", overflow, "", 0, "Ends its process." },
                                      { "overflow_copy", overflow_copy, "", 0, "Ends a copy." },
                                      { NULL, NULL, NULL, 0, NULL } };

static const asq_class shell_class = { ASQ_CLASS_INIT, .name = "Shell", .methods = methods };

ASQ_PLUGIN
{
    return asq_plugin_register(plugin, &shell_class);
}
