/*
 * shell_plugin.c: a plugin for shell tests with one class, Shell: its method `run` starts a
 * program, as methods of users do, and returns its output; `ask` makes a promise, writes its id to
 * a file, and returns what it is settled to; `emit` emits what it is given; `overflow` needs more
 * stack than there is, and `overflow_copy` does so in a copy of the process. Built by
 * build_shell_plugin of support.sh.
 */
#include <asqueue.h>
#include <stdio.h>
#include <string.h>
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

static int wait_for_file(asq_ctx *ctx, const char *path)
{
    int rc = 0;
    while (rc == 0 && access(path, F_OK) != 0)
        rc = asq_ctx_sleep(ctx, 10);
    return rc;
}

/* Emits the items of a list; but null waits until the file is there, and "fail" fails in the first
 * run. Returns their number. */
static int emit(asq_ctx *ctx, void *self, const asq_value *args, asq_value **ret)
{
    (void) self;
    const asq_value *list;
    const char *path, *word;
    int rc = asq_args(ctx, args, "[O, s]", &list, &path);
    for (size_t i = 0; rc == 0 && i < asq_list_size(list); i++) {
        const asq_value *v = asq_list_get(list, i);
        if (asq_value_type(v) == ASQ_NULL)
            rc = wait_for_file(ctx, path);
        else if (asq_value_get_string(v, &word, NULL) < 0 || strcmp(word, "fail") != 0)
            rc = asq_emit(ctx, asq_value_copy(v));
        else if (asq_ctx_attempt(ctx) == 1)
            rc = asq_fail(ctx, ASQ_EFAILED, "the first run");
    }
    *ret = rc == 0 ? asq_value_int((int64_t) asq_list_size(list)) : NULL;
    return rc;
}

static const asq_method methods[] = { { "run", run, "command", 0, "Runs a command of the shell." },
                                      { "ask", ask, "path", 0, "Waits for a promise." },
                                      { "emit", emit, "values, path", 0, "Emits values." },
                                      { "overflow", overflow, "", 0, "Ends its process." },
                                      { "overflow_copy", overflow_copy, "", 0, "Ends a copy." },
                                      { NULL, NULL, NULL, 0, NULL } };

static const asq_retry twice = { ASQ_RETRY_INIT, .attempts = 2 };
static const asq_method_retry retries[] = { { "emit", &twice }, { NULL, NULL } };

static const asq_class shell_class = { ASQ_CLASS_INIT, .name = "Shell", .methods = methods,
                                       .retries = retries };

ASQ_PLUGIN
{
    return asq_plugin_register(plugin, &shell_class);
}
