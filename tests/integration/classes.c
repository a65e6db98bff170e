/*
 * classes.c: see classes.h. The methods are as short as the tests allow, and as careful as real
 * ones.
 */
#include "classes.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* ---- Counter --------------------------------------------------------------------------------- */

static int counter_add(asq_ctx *ctx, void *self, const asq_value *args, asq_value **ret)
{
    asq_value *state = asq_ctx_state(ctx);
    int64_t n;
    int rc;

    (void) self;
    if ((rc = asq_args(ctx, args, "[I]", &n)) < 0)
        return rc;
    n += asq_map_int(state, "value");
    if ((rc = asq_map_set_int(state, "value", n)) < 0)
        return rc;
    *ret = asq_value_int(n);
    return 0;
}

static int counter_read(asq_ctx *ctx, void *self, const asq_value *args, asq_value **ret)
{
    (void) self, (void) args;
    *ret = asq_value_int(asq_map_int(asq_ctx_state(ctx), "value"));
    return 0;
}

/* Changes its state and fails: the change must stay invisible. */
static int counter_spoil(asq_ctx *ctx, void *self, const asq_value *args, asq_value **ret)
{
    (void) self, (void) args, (void) ret;
    asq_map_set_int(asq_ctx_state(ctx), "value", -5);
    asq_map_set(asq_ctx_state(ctx), "more", asq_pack("[i]", 1));
    return asq_fail(ctx, ASQ_EUSER(3), "no luck with %s today", asq_ctx_agent_id(ctx));
}

/* Replaces its whole state, and fails. */
static int counter_replace(asq_ctx *ctx, void *self, const asq_value *args, asq_value **ret)
{
    (void) self, (void) args, (void) ret;
    asq_ctx_set_state(ctx, asq_pack("{s:i}", "value", -6));
    return asq_fail(ctx, ASQ_EUSER(4), "replaced");
}

static int counter_charge(asq_ctx *ctx, void *self, const asq_value *args, asq_value **ret)
{
    int rc = counter_add(ctx, self, args, ret);

    if (rc < 0)
        return rc;
    asq_value_free(*ret);
    *ret = NULL;
    asq_ctx_keep_state(ctx);
    return asq_fail(ctx, ASQ_EUSER(5), "charged all the same");
}

static int counter_bare(asq_ctx *ctx, void *self, const asq_value *args, asq_value **ret)
{
    (void) ctx, (void) self, (void) args, (void) ret;
    return ASQ_EUSER(9);
}

/* Adds 1, and fails as if there were no room. */
static int counter_busy(asq_ctx *ctx, void *self, const asq_value *args, asq_value **ret)
{
    asq_value *state = asq_ctx_state(ctx);

    (void) self, (void) args, (void) ret;
    asq_map_set_int(state, "value", asq_map_int(state, "value") + 1);
    asq_ctx_keep_state(ctx);
    return asq_fail(ctx, ASQ_EBUSY, "busy");
}

static int counter_zero(asq_ctx *ctx, void *self, const asq_value *args, asq_value **ret)
{
    (void) self, (void) args, (void) ret;
    return asq_fail(ctx, 0, "a code that is none");
}

static int counter_secret(asq_ctx *ctx, void *self, const asq_value *args, asq_value **ret)
{
    (void) ctx, (void) self, (void) args;
    *ret = asq_value_int(7);
    return 0;
}

/* Calls a private method of itself. */
static int counter_use_secret(asq_ctx *ctx, void *self, const asq_value *args, asq_value **ret)
{
    asq_agent *me;
    int rc;

    (void) self, (void) args;
    if ((rc = asq_ctx_self(ctx, &me)) < 0)
        return asq_fail(ctx, rc, "self");
    if ((rc = asq_call_wait(me, "_secret", ret, NULL)) < 0)
        rc = asq_fail(ctx, rc, "%s", asq_errmsg(asq_ctx_handle(ctx)));
    asq_agent_free(me);
    return rc;
}

/* leave(how): calls a missing method, and frees the result; "wait": when the result has arrived. */
static int counter_leave(asq_ctx *ctx, void *self, const asq_value *args, asq_value **ret)
{
    const char *how;
    asq_agent *a = NULL;
    asq_result *r = NULL;
    int rc;

    (void) self, (void) ret;
    if ((rc = asq_args(ctx, args, "[s]", &how)) < 0 ||
        (rc = asq_attach(asq_ctx_handle(ctx), asq_ctx_agent_id(ctx), &a)) < 0)
        return rc;
    rc = asq_call(a, "nosuch", &r, NULL);
    if (rc == 0 && *how) /* behind it */
        rc = asq_call_wait(a, "read", NULL, NULL);
    asq_result_free(r);
    asq_agent_free(a);
    return rc;
}

static int counter_get_twice(asq_ctx *ctx, void *self, asq_value **ret)
{
    (void) self;
    *ret = asq_value_int(2 * asq_map_int(asq_ctx_state(ctx), "value"));
    return 0;
}

static int counter_set_twice(asq_ctx *ctx, void *self, const asq_value *value)
{
    int64_t n;

    (void) self;
    if (asq_value_get_int(value, &n) < 0 || n % 2)
        return asq_fail(ctx, ASQ_EARGS, "an even number is wanted");
    return asq_map_set_int(asq_ctx_state(ctx), "value", n / 2);
}

/* digit(n, runs): appends a digit to the value, in the run of this number; earlier runs fail. */
static int counter_digit(asq_ctx *ctx, void *self, const asq_value *args, asq_value **ret)
{
    int64_t n, runs, value;
    int rc;

    (void) self;
    if ((rc = asq_args(ctx, args, "[I, I]", &n, &runs)) < 0)
        return rc;
    value = asq_map_int(asq_ctx_state(ctx), "value") * 10 + n;
    if ((rc = asq_map_set_int(asq_ctx_state(ctx), "value", value)) < 0)
        return rc;
    if (asq_ctx_attempt(ctx) < runs)
        return asq_fail(ctx, ASQ_EUSER(9), "run %u fails", asq_ctx_attempt(ctx));
    *ret = asq_value_int(value);
    return 0;
}

static const asq_retry counter_stubborn = { ASQ_RETRY_INIT, .attempts = 4, .delay_ms = 1 };
/* traced(id): adds 1 if the call belongs to this trace. */
static int counter_traced(asq_ctx *ctx, void *self, const asq_value *args, asq_value **ret)
{
    const char *id;
    asq_trace trace;
    asq_value *state = asq_ctx_state(ctx);
    int rc = asq_args(ctx, args, "[s]", &id);

    (void) self, (void) ret;
    if (rc == 0 && asq_ctx_trace(ctx, &trace) == 0 && strstr(trace.parent, id))
        rc = asq_map_set_int(state, "value", asq_map_int(state, "value") + 1);
    return rc;
}

/* every(name, ms): sets a timer of its own that adds 1 at intervals. */
static int counter_every(asq_ctx *ctx, void *self, const asq_value *args, asq_value **ret)
{
    asq_timer timer = ASQ_TIMER_INIT;
    const char *name;
    asq *h = asq_ctx_handle(ctx);
    asq_agent *a;
    int rc;

    (void) self, (void) ret;
    if ((rc = asq_args(ctx, args, "[s, I]", &name, &timer.every_ms)) < 0)
        return rc;
    if ((rc = asq_attach(h, asq_ctx_agent_id(ctx), &a)) < 0)
        return asq_fail(ctx, rc, "attach: %s", asq_errmsg(h));
    rc = asq_schedule(a, name, &timer, "add", "[i]", 1);
    asq_agent_free(a);
    return rc < 0 ? asq_fail(ctx, rc, "%s", asq_errmsg(h)) : 0;
}

static const asq_method_retry counter_retries[] = { { "stubborn", &counter_stubborn },
                                                    { NULL, NULL } };

static const asq_method counter_methods[] = {
    { "add", counter_add, "n", ASQ_NONBLOCKING, "Adds n." },
    { "add_blocking", counter_add, "n", 0, "The same on a thread." },
    { "read", counter_read, "", ASQ_READONLY | ASQ_NONBLOCKING, NULL },
    { "spoil", counter_spoil, NULL, 0, NULL },
    { "replace", counter_replace, NULL, ASQ_NONBLOCKING, NULL },
    { "charge", counter_charge, "n", 0, NULL },
    { "bare", counter_bare, NULL, 0, NULL },
    { "busy", counter_busy, NULL, 0, NULL },
    { "every", counter_every, "name, ms", 0, NULL },
    { "traced", counter_traced, "id", 0, NULL },
    { "zero", counter_zero, NULL, 0, NULL },
    { "use_secret", counter_use_secret, NULL, 0, NULL },
    { "digit", counter_digit, NULL, 0, NULL },
    { "leave", counter_leave, NULL, 0, NULL },
    { "stubborn", counter_digit, NULL, 0, NULL },
    { "_secret", counter_secret, NULL, 0, NULL },
    { 0 }
};
static const asq_attribute counter_attributes[] = {
    { "value", NULL, NULL, ASQ_WRITABLE, "The number." },
    { "label", NULL, NULL, 0, NULL },
    { "twice", counter_get_twice, counter_set_twice, ASQ_WRITABLE, NULL },
    { "_hidden", NULL, NULL, ASQ_WRITABLE, NULL },
    { 0 }
};
const asq_class counter_class = { ASQ_CLASS_INIT, .name = "Counter", .methods = counter_methods,
                                  .attributes = counter_attributes, .retries = counter_retries };

/* ---- Echo ------------------------------------------------------------------------------------ */

static int echo_all(asq_ctx *ctx, void *self, const asq_value *args, asq_value **ret)
{
    (void) self;
    if ((*ret = asq_value_copy(args)) == NULL)
        return asq_fail(ctx, ASQ_ENOMEM, "copy");
    return 0;
}

static int echo_first(asq_ctx *ctx, void *self, const asq_value *args, asq_value **ret)
{
    (void) ctx, (void) self;
    *ret = asq_value_copy(asq_list_get(args, 0));
    return 0;
}

static int echo_nothing(asq_ctx *ctx, void *self, const asq_value *args, asq_value **ret)
{
    (void) ctx, (void) self, (void) args, (void) ret;
    return 0;
}

static int echo_who(asq_ctx *ctx, void *self, const asq_value *args, asq_value **ret)
{
    (void) self, (void) args;
    *ret = asq_pack(
        "{s:s, s:s, s:s, s:s, s:s, s:I, s:i, s:I, s:i}", "call_id", asq_ctx_call_id(ctx), "agent",
        asq_ctx_agent_id(ctx), "class", asq_ctx_class(ctx), "method", asq_ctx_method(ctx), "worker",
        asq_ctx_worker(ctx), "epoch", (int64_t) asq_ctx_epoch(ctx), "attempt",
        (int) asq_ctx_attempt(ctx), "remaining", asq_ctx_remaining_ms(ctx), "pid", (int) getpid());
    return 0;
}

static int echo_nap(asq_ctx *ctx, void *self, const asq_value *args, asq_value **ret)
{
    int64_t ms;
    int rc;

    (void) self, (void) ret;
    if ((rc = asq_args(ctx, args, "[I]", &ms)) < 0)
        return rc;
    return asq_sleep(asq_ctx_handle(ctx), ms); /* parked, however long it is */
}

static int make_file(asq_ctx *ctx, const char *path)
{
    FILE *f = fopen(path, "w");

    if (f == NULL)
        return asq_fail(ctx, ASQ_ESYS, "%s", path);
    fclose(f);
    return 0;
}

static int wait_for_file(asq_ctx *ctx, const char *begun, const char *release)
{
    int rc = make_file(ctx, begun);

    if (rc < 0)
        return rc;
    while (access(release, F_OK) < 0)
        if ((rc = asq_ctx_sleep(ctx, 5)) < 0)
            return rc;
    return 0;
}

/* Makes a file when it runs, and waits for another one, parked. */
static int echo_hold(asq_ctx *ctx, void *self, const asq_value *args, asq_value **ret)
{
    const char *begun, *release;
    int rc;

    (void) self;
    if ((rc = asq_args(ctx, args, "[s, s]", &begun, &release)) < 0 ||
        (rc = wait_for_file(ctx, begun, release)) < 0)
        return rc;
    *ret = asq_value_bool(true);
    return 0;
}

/* Makes a file when it runs, and fails when it was cancelled. */
static int echo_fail_when_cancelled(asq_ctx *ctx, void *self, const asq_value *args,
                                    asq_value **ret)
{
    const char *begun;
    int rc;

    (void) self, (void) ret;
    if ((rc = asq_args(ctx, args, "[s]", &begun)) < 0 || (rc = make_file(ctx, begun)) < 0)
        return rc;
    while (!asq_ctx_canceled(ctx))
        nanosleep(&(struct timespec){ .tv_nsec = 5000000 }, NULL);
    return asq_fail(ctx, ASQ_EUSER(9), "what it had begun failed");
}

/* Sums up ints, of a list or one by one, futures included. */
static int echo_sum(asq_ctx *ctx, void *self, const asq_value *args, asq_value **ret)
{
    int64_t sum = 0, n;

    (void) self;
    for (size_t i = 0; i < asq_list_size(args); i++) {
        if (asq_value_get_int(asq_list_get(args, i), &n) < 0)
            return asq_fail(ctx, ASQ_EARGS, "[%zu]: int expected, %s found", i,
                            asq_type_name(asq_value_type(asq_list_get(args, i))));
        sum += n;
    }
    *ret = asq_value_int(sum);
    return 0;
}

static int echo_type(asq_ctx *ctx, void *self, const asq_value *args, asq_value **ret)
{
    (void) ctx, (void) self;
    *ret = asq_value_string(asq_type_name(asq_value_type(asq_list_get(args, 0))));
    return 0;
}

static int echo_blob(asq_ctx *ctx, void *self, const asq_value *args, asq_value **ret)
{
    int64_t n;
    int rc = asq_args(ctx, args, "[I]", &n);
    (void) self;
    char *data = rc < 0 ? NULL : malloc((size_t) n);
    if (!data)
        return rc < 0 ? rc : ASQ_ENOMEM;
    memset(data, 'b', (size_t) n);
    *ret = asq_value_bytes(data, (size_t) n);
    free(data);
    return 0;
}

/* trace(runs): fails in the runs before this one; returns [parent, state] of its trace, or null. */
static int echo_trace(asq_ctx *ctx, void *self, const asq_value *args, asq_value **ret)
{
    int runs;
    asq_trace trace;
    int rc = asq_args(ctx, args, "[i]", &runs);
    (void) self;
    if (rc < 0)
        return rc;
    if ((int) asq_ctx_attempt(ctx) < runs)
        return asq_fail(ctx, ASQ_EFAILED, "once more");
    if ((rc = asq_ctx_trace(ctx, &trace)) == ASQ_ENOENT)
        return 0;
    if (rc == 0)
        *ret = asq_pack("[s, s]", trace.parent, trace.state);
    return rc;
}

static const asq_method echo_methods[] = {
    { "blob", echo_blob, "n", ASQ_READONLY, NULL },
    { "all", echo_all, NULL, ASQ_NONBLOCKING, NULL },
    { "named", echo_all, "a, b, c", 0, NULL },
    { "first", echo_first, NULL, 0, NULL },
    { "nothing", echo_nothing, NULL, ASQ_READONLY, NULL },
    { "who", echo_who, NULL, 0, NULL },
    { "nap", echo_nap, "ms", 0, NULL },
    { "hold", echo_hold, "begun, release", 0, NULL },
    { "fail_when_cancelled", echo_fail_when_cancelled, "begun", 0, NULL },
    { "sum", echo_sum, NULL, 0, NULL },
    { "type", echo_type, NULL, 0, NULL },
    { "trace", echo_trace, "runs", 0, NULL },
    { "together", echo_blob, "n", ASQ_READONLY | ASQ_CONCURRENT, NULL },
    { 0 }
};
const asq_class echo_class = { ASQ_CLASS_INIT, .name = "Echo", .methods = echo_methods };

/* ---- Journal: state in a struct -------------------------------------------------------------- */

struct journal {
    int64_t *items;
    size_t n, limit;
};

static int journal_create(asq_ctx *ctx, const asq_value *args, void **ret_self)
{
    struct journal *j;
    int64_t limit;
    int rc;

    if ((rc = asq_args(ctx, args, "{s:I}", "limit", &limit)) < 0)
        return rc;
    if (limit < 1 || limit > 100000)
        return asq_fail(ctx, ASQ_EUSER(1), "a journal of %lld items cannot be", (long long) limit);
    if ((j = calloc(1, sizeof *j)) == NULL ||
        (j->items = calloc((size_t) limit, sizeof *j->items)) == NULL) {
        free(j);
        return asq_fail(ctx, ASQ_ENOMEM, "journal");
    }
    j->limit = (size_t) limit;
    *ret_self = j;
    return 0;
}

static void journal_destroy(void *self)
{
    struct journal *j = self;

    free(j->items);
    free(j);
}

static int journal_save(const void *self, asq_value **ret_state)
{
    const struct journal *j = self;
    asq_value *list = asq_value_list();

    for (size_t i = 0; i < j->n; i++)
        if (asq_list_append(list, asq_value_int(j->items[i])) < 0) {
            asq_value_free(list);
            return ASQ_ENOMEM;
        }
    *ret_state = asq_pack("{s:i, s:o}", "limit", (int) j->limit, "items", list);
    return *ret_state ? 0 : ASQ_ENOMEM;
}

static int journal_load(asq_ctx *ctx, const asq_value *state, void **ret_self)
{
    const asq_value *items = asq_map_get(state, "items");
    struct journal *j;
    void *self;
    int rc;

    if ((rc = journal_create(ctx, state, &self)) < 0)
        return rc;
    j = self;
    for (size_t i = 0; i < asq_list_size(items) && i < j->limit; i++)
        asq_value_get_int(asq_list_get(items, i), &j->items[j->n++]);
    *ret_self = j;
    return 0;
}

static int journal_push(asq_ctx *ctx, void *self, const asq_value *args, asq_value **ret)
{
    struct journal *j = self;
    int64_t n;
    int rc;

    if ((rc = asq_args(ctx, args, "[I]", &n)) < 0)
        return rc;
    if (j->n == j->limit)
        return asq_fail(ctx, ASQ_EUSER(2), "full");
    j->items[j->n++] = n;
    *ret = asq_value_int((int64_t) j->n);
    return 0;
}

/* push_padded(n, anything) */
static int journal_push_padded(asq_ctx *ctx, void *self, const asq_value *args, asq_value **ret)
{
    asq_value *first = asq_value_list();
    int rc = first ? asq_list_append(first, asq_value_copy(asq_list_get(args, 0))) : ASQ_ENOMEM;

    if (rc == 0)
        rc = journal_push(ctx, self, first, ret);
    asq_value_free(first);
    return rc;
}

static int journal_spoil(asq_ctx *ctx, void *self, const asq_value *args, asq_value **ret)
{
    struct journal *j = self;

    (void) args, (void) ret;
    j->n = 0;
    j->items[0] = -1;
    return asq_fail(ctx, ASQ_EUSER(3), "spoiled");
}

static int journal_charge(asq_ctx *ctx, void *self, const asq_value *args, asq_value **ret)
{
    int rc = journal_push(ctx, self, args, ret);

    if (rc < 0)
        return rc;
    asq_value_free(*ret);
    *ret = NULL;
    asq_ctx_keep_state(ctx);
    return asq_fail(ctx, ASQ_EUSER(5), "kept");
}

static int journal_items(asq_ctx *ctx, void *self, const asq_value *args, asq_value **ret)
{
    asq_value *state;
    int rc;

    (void) args;
    if (asq_ctx_state(ctx) != NULL)
        return asq_fail(ctx, ASQ_EFAILED, "a struct's class has library-held state");
    if ((rc = journal_save(self, &state)) < 0)
        return rc;
    *ret = asq_value_copy(asq_map_get(state, "items"));
    asq_value_free(state);
    return 0;
}

/* Returns true when the items are 0, 1, 2… n-1. */
static int journal_in_order(asq_ctx *ctx, void *self, const asq_value *args, asq_value **ret)
{
    struct journal *j = self;
    int64_t n;
    bool in_order = true;
    int rc;

    if ((rc = asq_args(ctx, args, "[I]", &n)) < 0)
        return rc;
    for (size_t i = 0; i < j->n; i++)
        in_order = in_order && j->items[i] == (int64_t) i;
    *ret = asq_value_bool(in_order && j->n == (size_t) n);
    return 0;
}

static int journal_get_count(asq_ctx *ctx, void *self, asq_value **ret)
{
    (void) ctx;
    *ret = asq_value_int((int64_t) ((struct journal *) self)->n);
    return 0;
}

static const asq_method journal_methods[] = { { "push", journal_push, "n", ASQ_NONBLOCKING, NULL },
                                              { "push_blocking", journal_push, "n", 0, NULL },
                                              { "push_padded", journal_push_padded, NULL, 0, NULL },
                                              { "hold", echo_hold, "begun, release", 0, NULL },
                                              { "nap", echo_nap, "ms", 0, NULL },
                                              { "spoil", journal_spoil, NULL, 0, NULL },
                                              { "charge", journal_charge, "n", 0, NULL },
                                              { "items", journal_items, NULL, ASQ_READONLY, NULL },
                                              { "in_order", journal_in_order, "n", ASQ_READONLY,
                                                NULL },
                                              { 0 } };
static const asq_attribute journal_attributes[] = { { "count", journal_get_count, NULL, 0, NULL },
                                                    { 0 } };
const asq_class journal_class = { ASQ_CLASS_INIT,
                                  .name = "Journal",
                                  .methods = journal_methods,
                                  .attributes = journal_attributes,
                                  .create = journal_create,
                                  .destroy = journal_destroy,
                                  .save = journal_save,
                                  .load = journal_load,
                                  .version = 1 };

/* ---- Relay: methods that call ---------------------------------------------------------------- */

static int forward(asq_ctx *ctx, const asq_value *target, const char *method,
                   const asq_value *inner, asq_value **ret)
{
    asq *h = asq_ctx_handle(ctx);
    asq_agent *a;
    asq_result *r = NULL;
    int rc;

    if ((rc = asq_attach_value(h, target, &a)) < 0)
        return asq_fail(ctx, rc, "attach: %s", asq_errmsg(h));
    rc = asq_callv(a, method, NULL, asq_value_copy(inner), &r);
    asq_agent_free(a);
    if (rc < 0)
        return asq_fail(ctx, rc, "call: %s", asq_errmsg(h));
    if ((rc = asq_result_take(r, ret)) < 0)
        rc = asq_fail(ctx, rc, "inner: %s", asq_result_error(r)->message);
    asq_result_free(r);
    return rc;
}

/* relay(agent, method, args): returns the outcome of that call. */
static int relay_call(asq_ctx *ctx, void *self, const asq_value *args, asq_value **ret)
{
    const asq_value *target, *inner;
    const char *method;
    int rc;

    (void) self;
    if ((rc = asq_args(ctx, args, "[O, s, O]", &target, &method, &inner)) < 0)
        return rc;
    return forward(ctx, target, method, inner, ret);
}

/* cross(begun, release, agent, method, args): makes the first file, waits for the second, then
 * does as call. */
static int relay_cross(asq_ctx *ctx, void *self, const asq_value *args, asq_value **ret)
{
    const asq_value *target, *inner;
    const char *begun, *release, *method;
    int rc;

    (void) self;
    if ((rc = asq_args(ctx, args, "[s, s, O, s, O]", &begun, &release, &target, &method, &inner)) <
            0 ||
        (rc = wait_for_file(ctx, begun, release)) < 0)
        return rc;
    return forward(ctx, target, method, inner, ret);
}

/* notify(begun, release, agent): sends `me` to the agent without waiting for it, then does as
 * Echo.hold. */
static int relay_notify(asq_ctx *ctx, void *self, const asq_value *args, asq_value **ret)
{
    const asq_value *target;
    const char *begun, *release;
    asq *h = asq_ctx_handle(ctx);
    asq_agent *a;
    int rc;

    (void) self;
    (void) ret;
    if ((rc = asq_args(ctx, args, "[s, s, O]", &begun, &release, &target)) < 0)
        return rc;
    if ((rc = asq_attach_value(h, target, &a)) < 0)
        return asq_fail(ctx, rc, "attach: %s", asq_errmsg(h));
    rc = asq_send(a, "me", NULL);
    asq_agent_free(a);
    return rc < 0 ? asq_fail(ctx, rc, "%s", asq_errmsg(h)) : wait_for_file(ctx, begun, release);
}

/* report(journal): pushes the epoch of its run. */
static int relay_report(asq_ctx *ctx, void *self, const asq_value *args, asq_value **ret)
{
    asq *h = asq_ctx_handle(ctx);
    asq_agent *journal;
    int rc;

    (void) self;
    if ((rc = asq_attach_value(h, asq_list_get(args, 0), &journal)) < 0)
        return asq_fail(ctx, rc, "attach: %s", asq_errmsg(h));
    rc = asq_call_wait(journal, "push", ret, "[I]", (int64_t) asq_ctx_epoch(ctx));
    asq_agent_free(journal);
    return rc < 0 ? asq_fail(ctx, rc, "%s", asq_errmsg(h)) : 0;
}

/* down(agents, level): calls the next agent of the ring with one level less, down to 0; returns
 * the number of levels below. */
static int relay_down(asq_ctx *ctx, void *self, const asq_value *args, asq_value **ret)
{
    const asq_value *ring;
    asq *h = asq_ctx_handle(ctx);
    int64_t level, below;
    asq_agent *next;
    asq_result *r = NULL;
    int rc;

    (void) self;
    if ((rc = asq_args(ctx, args, "[O, I]", &ring, &level)) < 0)
        return rc;
    asq_map_set_int(asq_ctx_state(ctx), "entered", asq_map_int(asq_ctx_state(ctx), "entered") + 1);
    if (level == 0) {
        *ret = asq_value_int(0);
        return 0;
    }
    rc = asq_attach_value(h, asq_list_get(ring, (size_t) level % asq_list_size(ring)), &next);
    if (rc < 0)
        return asq_fail(ctx, rc, "attach: %s", asq_errmsg(h));
    if ((rc = asq_call(next, "down", &r, "[O, I]", ring, level - 1)) == 0)
        rc = asq_result_int(r, &below);
    if (rc < 0)
        rc = asq_fail(ctx, rc, "level %lld: %s", (long long) level,
                      r ? asq_result_error(r)->message : asq_errmsg(h));
    else
        *ret = asq_value_int(below + 1);
    asq_result_free(r);
    asq_agent_free(next);
    return rc;
}

/* outer(other): sets its state to 1 and has `other` call back, which finds 1 and sets 2; returns
 * its state afterwards. */
static int relay_outer(asq_ctx *ctx, void *self, const asq_value *args, asq_value **ret)
{
    const asq_value *target;
    asq *h = asq_ctx_handle(ctx);
    asq_agent *other = NULL, *me = NULL;
    asq_result *r = NULL;
    int64_t seen = 0;
    int rc;

    (void) self;
    if ((rc = asq_args(ctx, args, "[O]", &target)) < 0)
        return rc;
    asq_map_set_int(asq_ctx_state(ctx), "step", 1);
    if ((rc = asq_attach_value(h, target, &other)) == 0 && (rc = asq_ctx_self(ctx, &me)) == 0 &&
        (rc = asq_call(other, "call", &r, "[a, s, []]", me, "inner")) == 0)
        rc = asq_result_int(r, &seen);
    if (rc < 0)
        rc = asq_fail(ctx, rc, "%s", r ? asq_result_error(r)->message : asq_errmsg(h));
    else
        *ret = asq_pack("[I, I]", seen, asq_map_int(asq_ctx_state(ctx), "step"));
    asq_result_free(r);
    asq_agent_free(me);
    asq_agent_free(other);
    return rc;
}

static int relay_inner(asq_ctx *ctx, void *self, const asq_value *args, asq_value **ret)
{
    (void) self, (void) args;
    *ret = asq_value_int(asq_map_int(asq_ctx_state(ctx), "step"));
    return asq_map_set_int(asq_ctx_state(ctx), "step", 2);
}

/* fan(agents, method, args): calls all of them, and returns the sum of their ints. */
static int relay_fan(asq_ctx *ctx, void *self, const asq_value *args, asq_value **ret)
{
    enum { MAX = 128 };
    const asq_value *targets, *inner;
    asq *h = asq_ctx_handle(ctx);
    asq_agent *agents[MAX] = { NULL };
    asq_result *results[MAX] = { NULL };
    const char *method;
    int64_t sum = 0, n;
    size_t count;
    int rc;

    (void) self;
    if ((rc = asq_args(ctx, args, "[O, s, O]", &targets, &method, &inner)) < 0)
        return rc;
    if ((count = asq_list_size(targets)) > MAX)
        return asq_fail(ctx, ASQ_ELIMIT, "at most %d", MAX);
    for (size_t i = 0; i < count && rc == 0; i++)
        rc = asq_attach_value(h, asq_list_get(targets, i), &agents[i]);
    if (rc == 0 && (rc = asq_broadcast(agents, count, method, asq_value_copy(inner), results)) == 0)
        rc = asq_wait_all(results, count, ASQ_FOREVER);
    for (size_t i = 0; i < count && rc == 0; i++) {
        rc = asq_result_int(results[i], &n);
        sum += n;
    }
    if (rc < 0)
        rc = asq_fail(ctx, rc, "%s", asq_errmsg(h));
    else
        *ret = asq_value_int(sum);
    for (size_t i = 0; i < count; i++) {
        asq_result_free(results[i]);
        asq_agent_free(agents[i]);
    }
    return rc;
}

/* spawn(value): makes a Counter and returns it. */
static int relay_spawn(asq_ctx *ctx, void *self, const asq_value *args, asq_value **ret)
{
    asq *h = asq_ctx_handle(ctx);
    asq_agent *a;
    int64_t n;
    int rc;

    (void) self;
    if ((rc = asq_args(ctx, args, "[I]", &n)) < 0)
        return rc;
    if ((rc = asq_create(h, "Counter", NULL, &a, "{s:I}", "value", n)) < 0)
        return asq_fail(ctx, rc, "%s", asq_errmsg(h));
    *ret = asq_value_agent(a);
    asq_agent_free(a);
    return 0;
}

/* hire(id, relay, file): makes a Counter, has the relay add to it, and makes the file meanwhile.
 * Returns the sum. */
static int relay_hire(asq_ctx *ctx, void *self, const asq_value *args, asq_value **ret)
{
    asq *h = asq_ctx_handle(ctx);
    const asq_value *target;
    const char *id, *file;
    asq_agent *relay, *made;
    asq_result *r;
    int rc;

    (void) self;
    if ((rc = asq_args(ctx, args, "[s, O, s]", &id, &target, &file)) < 0)
        return rc;
    if ((rc = asq_attach_value(h, target, &relay)) < 0)
        return asq_fail(ctx, rc, "attach: %s", asq_errmsg(h));
    if ((rc = asq_create(h, "Counter", id, &made, "{s:i}", "value", 40)) == 0) {
        rc = asq_call(relay, "call", &r, "[a, s, [i]]", made, "add", 2);
        asq_agent_free(made);
    }
    asq_agent_free(relay);
    if (rc < 0)
        return asq_fail(ctx, rc, "%s", asq_errmsg(h));
    if ((rc = wait_for_file(ctx, file, file)) == 0 && (rc = asq_result_take(r, ret)) < 0)
        rc = asq_fail(ctx, rc, "%s", asq_result_error(r)->message);
    asq_result_free(r);
    return rc;
}

/* lend(x, y, begun, release, lent): calls x.hold, and gives its result, which is not there yet, to
 * y.first, whose result it returns. Makes the file `lent` when both calls have left; where that
 * existed at the beginning, LENT-again. */
static int relay_lend(asq_ctx *ctx, void *self, const asq_value *args, asq_value **ret)
{
    asq *h = asq_ctx_handle(ctx);
    const asq_value *targets[2];
    const char *begun, *release, *lent;
    char file[500];
    asq_agent *agents[2] = { NULL, NULL };
    asq_result *held = NULL, *got = NULL;
    int rc;

    (void) self;
    if ((rc = asq_args(ctx, args, "[O, O, s, s, s]", &targets[0], &targets[1], &begun, &release,
                       &lent)) < 0)
        return rc;
    snprintf(file, sizeof file, "%s%s", lent, access(lent, F_OK) == 0 ? "-again" : "");
    for (int i = 0; i < 2 && rc == 0; i++)
        rc = asq_attach_value(h, targets[i], &agents[i]);
    if (rc == 0)
        rc = asq_call(agents[0], "hold", &held, "[s, s]", begun, release);
    if (rc == 0)
        rc = asq_call(agents[1], "first", &got, "[r]", held);
    if (rc == 0) {
        asq_result_wait(got, 300); /* a wait has calls leave */
        rc = make_file(ctx, file);
    }
    if (rc == 0 && (rc = asq_result_take(got, ret)) < 0)
        rc = asq_fail(ctx, rc, "%s", asq_errmsg(h));
    asq_result_free(held);
    asq_result_free(got);
    asq_agent_free(agents[0]);
    asq_agent_free(agents[1]);
    return rc;
}

static int relay_me(asq_ctx *ctx, void *self, const asq_value *args, asq_value **ret)
{
    asq_agent *me;
    int rc;

    (void) self, (void) args;
    if ((rc = asq_ctx_self(ctx, &me)) < 0)
        return rc;
    *ret = asq_pack("{s:a}", "me", me);
    asq_agent_free(me);
    return 0;
}

/* pass(agent, values): calls Echo.sum of that agent with the items of a list as arguments. */
static int relay_pass(asq_ctx *ctx, void *self, const asq_value *args, asq_value **ret)
{
    const asq_value *target, *values;
    asq *h = asq_ctx_handle(ctx);
    asq_result *r = NULL;
    asq_agent *a;
    int rc;

    (void) self;
    if ((rc = asq_args(ctx, args, "[O, O]", &target, &values)) < 0)
        return rc;
    if ((rc = asq_attach_value(h, target, &a)) < 0)
        return asq_fail(ctx, rc, "%s", asq_errmsg(h));
    if ((rc = asq_callv(a, "sum", NULL, asq_value_copy(values), &r)) == 0)
        rc = asq_result_take(r, ret);
    if (rc < 0)
        rc = asq_fail(ctx, rc, "%s", r ? asq_result_error(r)->message : asq_errmsg(h));
    asq_result_free(r);
    asq_agent_free(a);
    return rc;
}

/* Attaches to each agent of a list; at most MAX_AGENTS. The caller frees the array, also on
 * failure. */
enum { MAX_AGENTS = 64 };

static int attach_all(asq_ctx *ctx, const asq_value *targets, asq_agent **agents)
{
    int rc = 0;

    if (asq_list_size(targets) > MAX_AGENTS)
        return asq_fail(ctx, ASQ_ELIMIT, "at most %d", MAX_AGENTS);
    for (size_t i = 0; i < asq_list_size(targets) && rc == 0; i++)
        if ((rc = asq_attach_value(asq_ctx_handle(ctx), asq_list_get(targets, i), &agents[i])) < 0)
            asq_fail(ctx, rc, "%s", asq_errmsg(asq_ctx_handle(ctx)));
    return rc;
}

static void free_all(asq_agent **agents)
{
    for (size_t i = 0; i < MAX_AGENTS; i++)
        asq_agent_free(agents[i]);
}

/* each(agents, method, inputs, limit): returns the list of asq_call_each. */
static int relay_each(asq_ctx *ctx, void *self, const asq_value *args, asq_value **ret)
{
    asq_each_options options = ASQ_EACH_OPTIONS_INIT;
    asq_agent *agents[MAX_AGENTS] = { NULL };
    const asq_value *targets, *inputs;
    const char *method;
    int64_t limit;
    int rc;

    (void) self;
    if ((rc = asq_args(ctx, args, "[O, s, O, I]", &targets, &method, &inputs, &limit)) < 0)
        return rc;
    options.limit = (size_t) limit;
    if ((rc = attach_all(ctx, targets, agents)) == 0 &&
        (rc = asq_call_each(agents, asq_list_size(targets), method, inputs, &options, ret)) < 0)
        asq_fail(ctx, rc, "%s", asq_errmsg(asq_ctx_handle(ctx)));
    free_all(agents);
    return rc;
}

/* each_then(agents, method, inputs, limit, counter): does as each and ignores the outcome; then
 * adds 1 to the counter. In its first run its process dies at the end. */
static int relay_each_then(asq_ctx *ctx, void *self, const asq_value *args, asq_value **ret)
{
    asq_each_options options = ASQ_EACH_OPTIONS_INIT;
    asq_agent *agents[MAX_AGENTS] = { NULL }, *counter;
    const asq_value *targets, *inputs, *target;
    asq *h = asq_ctx_handle(ctx);
    const char *method;
    int64_t limit;
    int rc;

    (void) self;
    if ((rc = asq_args(ctx, args, "[O, s, O, I, O]", &targets, &method, &inputs, &limit, &target)) <
        0)
        return rc;
    options.limit = (size_t) limit;
    if ((rc = attach_all(ctx, targets, agents)) == 0) {
        asq_call_each(agents, asq_list_size(targets), method, inputs, &options, NULL);
        if ((rc = asq_attach_value(h, target, &counter)) == 0) {
            rc = asq_call_wait(counter, "add", ret, "[i]", 1);
            asq_agent_free(counter);
        }
        if (rc < 0)
            asq_fail(ctx, rc, "%s", asq_errmsg(h));
    }
    free_all(agents);
    if (asq_ctx_attempt(ctx) == 1)
        kill(getpid(), SIGKILL);
    return rc;
}

static int do_nothing(asq_ctx *ctx, void *user, asq_value **ret)
{
    (void) ctx, (void) user, (void) ret;
    return 0;
}

/* The same behind a step, so the calls are recorded. */
static int relay_step_each_then(asq_ctx *ctx, void *self, const asq_value *args, asq_value **ret)
{
    int rc = asq_step(ctx, "begin", do_nothing, NULL, NULL);

    return rc < 0 ? rc : relay_each_then(ctx, self, args, ret);
}

static int call_when_told(void *user, size_t index, asq_result *r, size_t done, size_t n)
{
    (void) index, (void) r, (void) done, (void) n;
    return asq_send(user, "me", NULL);
}

/* tell(agent): calls the agent from the callback of a result; returns the outcome. */
static int relay_tell(asq_ctx *ctx, void *self, const asq_value *args, asq_value **ret)
{
    asq_each_options options = ASQ_EACH_OPTIONS_INIT;
    asq_agent *agent;
    asq_value *inputs = asq_pack("[[]]");
    int rc;

    (void) self, (void) ret;
    if ((rc = asq_attach_value(asq_ctx_handle(ctx), asq_list_get(args, 0), &agent)) == 0) {
        options.fn = call_when_told;
        options.user = agent;
        rc = asq_call_each(&agent, 1, "me", inputs, &options, NULL);
        asq_agent_free(agent);
    }
    asq_value_free(inputs);
    return rc < 0 ? asq_fail(ctx, rc, "%s", asq_errmsg(asq_ctx_handle(ctx))) : 0;
}

/* late(ms, fails): returns 1 after a while, or fails. */
static int relay_late(asq_ctx *ctx, void *self, const asq_value *args, asq_value **ret)
{
    int64_t ms, fails;
    int rc;

    (void) self;
    if ((rc = asq_args(ctx, args, "[I, I]", &ms, &fails)) < 0 ||
        (ms && (rc = asq_ctx_sleep(ctx, ms)) < 0))
        return rc;
    asq_map_set_int(asq_ctx_state(ctx), "entered", asq_map_int(asq_ctx_state(ctx), "entered") + 1);
    *ret = asq_value_int(1);
    return fails ? asq_fail(ctx, ASQ_EUSER(6), "late") : 0;
}

/* Ends a gather or an each with the first result. */
static int first_is_enough(void *user, size_t index, asq_result *r, size_t done, size_t n)
{
    (void) index, (void) done, (void) n;
    *(int *) user = asq_result_error(r)->code;
    return 1;
}

/* any(begun, release, agents, how): does as cross, with `me` of several agents, and waits for
 * any of them: by asq_wait_any, a group, asq_gather, asq_call_each. Returns the code of the
 * first one that ended. */
static int relay_any(asq_ctx *ctx, void *self, const asq_value *args, asq_value **ret)
{
    asq_each_options options = ASQ_EACH_OPTIONS_INIT;
    asq_agent *agents[MAX_AGENTS] = { NULL };
    asq_result *results[MAX_AGENTS] = { NULL }, *first = NULL;
    asq *h = asq_ctx_handle(ctx);
    asq_group *group = NULL;
    const char *begun, *release;
    const asq_value *targets;
    int how, rc, code = 0;
    size_t n, which;

    (void) self;
    if ((rc = asq_args(ctx, args, "[s, s, O, i]", &begun, &release, &targets, &how)) < 0 ||
        (rc = wait_for_file(ctx, begun, release)) < 0 ||
        (rc = attach_all(ctx, targets, agents)) < 0)
        goto out;
    n = asq_list_size(targets);
    if (how == 3) {
        asq_value *inputs = asq_value_list();
        for (size_t i = 0; i < n; i++)
            asq_list_append(inputs, asq_value_list());
        options.fn = first_is_enough;
        options.user = &code;
        options.all = true;
        rc = asq_call_each(agents, n, "me", inputs, &options, NULL);
        asq_value_free(inputs);
    } else {
        rc = asq_broadcast(agents, n, "me", NULL, results);
    }
    if (rc == 0 && how == 0 && (rc = asq_wait_any(results, n, ASQ_FOREVER, &which)) == 0)
        first = results[which];
    if (rc == 0 && how == 1 && (rc = asq_group_new(h, &group)) == 0) {
        for (size_t i = 0; i < n && rc == 0; i++)
            rc = asq_group_add(group, results[i]);
        if (rc == 0)
            rc = asq_group_next(group, ASQ_FOREVER, &first);
    }
    if (rc == 0 && how == 2)
        rc = asq_gather(results, n, ASQ_FOREVER, first_is_enough, &code);
    if (first)
        code = asq_result_error(first)->code;
    if (rc < 0)
        asq_fail(ctx, rc, "%s", asq_errmsg(h));
    else
        *ret = asq_value_int(code);
    rc = rc < 0 ? rc : 0;
    asq_group_free(group);
    for (size_t i = 0; i < MAX_AGENTS; i++)
        asq_result_free(results[i]);
out:
    free_all(agents);
    return rc;
}

static const asq_method relay_methods[] = {
    { "call", relay_call, "agent, method, args", 0, NULL },
    { "cross", relay_cross, NULL, 0, NULL },
    { "peek", relay_cross, NULL, ASQ_READONLY | ASQ_CONCURRENT, NULL },
    { "any", relay_any, NULL, 0, NULL },
    { "notify", relay_notify, NULL, 0, NULL },
    { "report", relay_report, "journal", 0, NULL },
    { "down", relay_down, "agents, level", 0, NULL },
    { "outer", relay_outer, "other", 0, NULL },
    { "inner", relay_inner, NULL, 0, NULL },
    { "fan", relay_fan, "agents, method, args", 0, NULL },
    { "spawn", relay_spawn, "value", 0, NULL },
    { "hire", relay_hire, "id, relay, file", 0, NULL },
    { "lend", relay_lend, NULL, 0, NULL },
    { "me", relay_me, NULL, 0, NULL },
    { "each", relay_each, NULL, 0, NULL },
    { "each_then", relay_each_then, NULL, 0, NULL },
    { "step_each_then", relay_step_each_then, NULL, 0, NULL },
    { "tell", relay_tell, NULL, 0, NULL },
    { "late", relay_late, NULL, 0, NULL },
    { "pass", relay_pass, "agent, values", 0, NULL },
    { 0 }
};
static const asq_attribute relay_attributes[] = { { "entered", NULL, NULL, 0, NULL },
                                                  { "step", NULL, NULL, 0, NULL },
                                                  { 0 } };
const asq_class relay_class = { ASQ_CLASS_INIT, .name = "Relay", .methods = relay_methods,
                                .attributes = relay_attributes };

/* ---- Poison: methods that harm a worker ------------------------------------------------------ */

/* die(how): ends its process: 0 by SIGKILL, 1 by abort, 2 by _exit, 3 by a fault. */
static int poison_die(asq_ctx *ctx, void *self, const asq_value *args, asq_value **ret)
{
    volatile char *nowhere = NULL;
    int64_t how;
    int rc;

    (void) self;
    (void) ret;
    if ((rc = asq_args(ctx, args, "[I]", &how)) < 0)
        return rc;
    signal(SIGABRT, SIG_DFL);
    signal(SIGSEGV, SIG_DFL);
    if (how == 0)
        raise(SIGKILL);
    else if (how == 1)
        abort();
    else if (how == 2)
        _exit(3);
    else
        *nowhere = 1;
    return 0;
}

/* Notes that a run has begun: appends a byte to the file, if one is given, even if the run has no
 * effect. */
static int poison_begin(asq_ctx *ctx, const asq_value *args, int64_t *ret_ms, int64_t *ret_runs)
{
    const char *file = NULL;
    int rc = asq_list_size(args) > 1 ? asq_args(ctx, args, "[I, s]", ret_ms, &file)
                                     : asq_args(ctx, args, "[I]", ret_ms);

    if (rc < 0)
        return rc;
    if (file) {
        int fd = open(file, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
        ssize_t n = fd < 0 ? -1 : write(fd, ".", 1);
        if (fd >= 0)
            close(fd);
        if (n != 1)
            return asq_fail(ctx, ASQ_ESYS, "%s", file);
    }
    *ret_runs = asq_map_int(asq_ctx_state(ctx), "runs") + 1;
    return asq_map_set_int(asq_ctx_state(ctx), "runs", *ret_runs);
}

/* block(ms[, file]): occupies its thread for ms; returns the number of its runs. */
static int poison_block(asq_ctx *ctx, void *self, const asq_value *args, asq_value **ret)
{
    struct timespec left;
    int64_t ms, runs;
    int rc;

    (void) self;
    if ((rc = poison_begin(ctx, args, &ms, &runs)) < 0)
        return rc;
    left = (struct timespec){ ms / 1000, ms % 1000 * 1000000 };
    while (nanosleep(&left, &left) < 0)
        ;
    *ret = asq_value_int(runs);
    return 0;
}

/* block_until(file): occupies its thread until the file exists. */
static int poison_block_until(asq_ctx *ctx, void *self, const asq_value *args, asq_value **ret)
{
    const char *path;
    int rc = asq_args(ctx, args, "[s]", &path);

    (void) self;
    while (rc == 0 && access(path, F_OK) < 0)
        nanosleep(&(struct timespec){ .tv_nsec = 5000000 }, NULL);
    *ret = asq_value_bool(true);
    return rc;
}

/* wait(ms[, file]): does as block, but parked. The sleep is not durable, so that the run is never
 * unloaded. */
static int poison_wait(asq_ctx *ctx, void *self, const asq_value *args, asq_value **ret)
{
    int64_t ms, runs;
    int rc;

    (void) self;
    if ((rc = poison_begin(ctx, args, &ms, &runs)) < 0 ||
        (rc = asq_sleep(asq_ctx_handle(ctx), ms)) < 0)
        return rc;
    *ret = asq_value_int(runs);
    return 0;
}

static int poison_exit(asq_ctx *ctx, void *self, const asq_value *args, asq_value **ret)
{
    (void) ctx, (void) self, (void) args, (void) ret;
    _exit(0);
}

static const asq_method poison_methods[] = {
    { "die", poison_die, NULL, 0, NULL },
    { "block", poison_block, NULL, 0, NULL },
    { "block_loop", poison_block, NULL, ASQ_NONBLOCKING, NULL },
    { "block_until", poison_block_until, NULL, 0, NULL },
    { "block_loop_until", poison_block_until, NULL, ASQ_NONBLOCKING, NULL },
    { "wait", poison_wait, NULL, 0, NULL },
    { "exit", poison_exit, NULL, 0, NULL },
    { 0 }
};
const asq_class poison_class = { ASQ_CLASS_INIT, .name = "Poison", .methods = poison_methods };

const asq_class *const classes[] = { &counter_class, &echo_class,   &journal_class,
                                     &relay_class,   &poison_class, NULL };
