/*
 * classes.c: the plugin whose agents the chaos run calls. An agent's state is a number and a log.
 * Each log entry names the item that a caller asked for, and the call, epoch, worker and run that
 * wrote it, so that the state itself tells which runs were committed. Every run is also reported to
 * the witness, when it enters and when it leaves its method (witness.c).
 */
#include "witness.h"

#include <asqueue.h>

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_CHILDREN = 8, FAILS_ON_PURPOSE = 1, WRONG_VALUE = 9 };

struct run {
    char id[40];
    asq_ctx *ctx;
    bool reads; /* read-only: without effect */
};

static void enter(struct run *run, asq_ctx *ctx)
{
    run->ctx = ctx;
    witness_run_id(run->id, sizeof run->id);
    witness_note("E", asq_ctx_agent_id(ctx), asq_ctx_call_id(ctx), run->id, asq_ctx_epoch(ctx),
                 asq_ctx_worker(ctx));
}

static int leave(struct run *run, int rc)
{
    asq_ctx *ctx = run->ctx;

    witness_note(rc == 0 && !run->reads ? "X" : "F", asq_ctx_agent_id(ctx), asq_ctx_call_id(ctx),
                 run->id, asq_ctx_epoch(ctx), asq_ctx_worker(ctx));
    return rc;
}

static int write_log(struct run *run, const char *item)
{
    asq_ctx *ctx = run->ctx;
    asq_value *state = asq_ctx_state(ctx), *log = asq_map_find(state, "log");
    char text[512];
    int rc;

    if (!log) {
        if ((rc = asq_map_set(state, "log", asq_value_list())) < 0)
            return rc;
        log = asq_map_find(state, "log");
    }
    snprintf(text, sizeof text, "%s %s %" PRIu64 " %s %s", item, asq_ctx_call_id(ctx),
             asq_ctx_epoch(ctx), asq_ctx_worker(ctx), run->id);
    return asq_list_append(log, asq_value_string(text));
}

/* add(n): returns the new sum. */
static int chaos_add(asq_ctx *ctx, void *self, const asq_value *args, asq_value **ret)
{
    asq_value *state = asq_ctx_state(ctx);
    struct run run = { .reads = false };
    int64_t n;
    int rc;

    (void) self;
    enter(&run, ctx);
    if ((rc = asq_args(ctx, args, "[I]", &n)) == 0 &&
        (rc = asq_map_set_int(state, "n", asq_map_int(state, "n") + n)) == 0)
        *ret = asq_value_int(asq_map_int(state, "n"));
    return leave(&run, rc);
}

/* append(item, ms): keeps the item and returns it. Waits for ms in between. */
static int chaos_append(asq_ctx *ctx, void *self, const asq_value *args, asq_value **ret)
{
    const char *item;
    struct run run = { .reads = false };
    int64_t ms = 0;
    int rc;

    (void) self;
    enter(&run, ctx);
    if ((rc = asq_args(ctx, args, "[s, |I]", &item, &ms)) == 0 &&
        (rc = write_log(&run, item)) == 0 && (ms == 0 || (rc = asq_ctx_sleep(ctx, ms)) == 0))
        *ret = asq_value_string(item);
    return leave(&run, rc);
}

/* append_and_fail(item): keeps the item and fails, so the item must not be seen again. */
static int chaos_append_and_fail(asq_ctx *ctx, void *self, const asq_value *args, asq_value **ret)
{
    const char *item;
    struct run run = { .reads = false };
    int rc;

    (void) self;
    (void) ret;
    enter(&run, ctx);
    if ((rc = asq_args(ctx, args, "[s]", &item)) == 0 && (rc = write_log(&run, item)) == 0)
        rc = asq_fail(ctx, ASQ_EUSER(FAILS_ON_PURPOSE), "as it was asked to");
    return leave(&run, rc);
}

/* append_after(value, expected, item): checks that value, which was a future, equals `expected`,
 * and keeps the item. */
static int chaos_append_after(asq_ctx *ctx, void *self, const asq_value *args, asq_value **ret)
{
    const char *value, *expected, *item;
    struct run run = { .reads = false };
    int rc;

    (void) self;
    enter(&run, ctx);
    if ((rc = asq_args(ctx, args, "[s, s, s]", &value, &expected, &item)) == 0) {
        if (strcmp(value, expected) != 0)
            rc = asq_fail(ctx, ASQ_EUSER(WRONG_VALUE), "the future gave %s, not %s", value,
                          expected);
        else if ((rc = write_log(&run, item)) == 0)
            *ret = asq_value_string(item);
    }
    return leave(&run, rc);
}

static int make_payment(asq_ctx *ctx, void *user, asq_value **ret)
{
    char id[40];

    (void) user;
    witness_run_id(id, sizeof id);
    witness_note("S", asq_ctx_agent_id(ctx), asq_ctx_call_id(ctx), id, asq_ctx_epoch(ctx),
                 asq_ctx_worker(ctx));
    *ret = asq_value_string(id);
    return 0;
}

/* pay(item, ms): pays in a step, of which the witness hears (S), tells it under which id when the
 * step has its record (K), waits for ms, and keeps the item. */
static int chaos_pay(asq_ctx *ctx, void *self, const asq_value *args, asq_value **ret)
{
    asq_step_options options = ASQ_STEP_OPTIONS_INIT;
    asq_value *paid = NULL;
    const char *item, *id;
    struct run run = { .reads = false };
    int64_t ms;
    int rc;

    (void) self;
    options.wait_record = true;
    enter(&run, ctx);
    if ((rc = asq_args(ctx, args, "[s, I]", &item, &ms)) == 0 &&
        (rc = asq_step_with(ctx, "payment", &options, make_payment, NULL, &paid)) == 0 &&
        (rc = asq_value_get_string(paid, &id, NULL)) == 0) {
        witness_note("K", asq_ctx_agent_id(ctx), asq_ctx_call_id(ctx), id, asq_ctx_epoch(ctx),
                     asq_ctx_worker(ctx));
        if ((ms == 0 || (rc = asq_ctx_sleep(ctx, ms)) == 0) && (rc = write_log(&run, item)) == 0)
            *ret = asq_value_string(item);
    }
    asq_value_free(paid);
    return leave(&run, rc);
}

enum { SETTLED_MS = 2000, LOST_MS = 60000 };

/* settle(promise, value): tries to resolve a promise, and returns whether it has. */
static int chaos_settle(asq_ctx *ctx, void *self, const asq_value *args, asq_value **ret)
{
    const char *promise, *value;
    struct run run = { .reads = true };
    int rc;

    (void) self;
    enter(&run, ctx);
    if ((rc = asq_args(ctx, args, "[s, s]", &promise, &value)) < 0)
        return leave(&run, rc);
    rc = asq_promise_resolve(asq_ctx_handle(ctx), promise, asq_value_string(value));
    if (rc == 0 || rc == ASQ_ESTATE) {
        *ret = asq_value_bool(rc == 0);
        rc = 0;
    } else {
        asq_fail(ctx, rc, "settle: %s", asq_errmsg(asq_ctx_handle(ctx)));
    }
    return leave(&run, rc);
}

static int begin_settle(asq_ctx *ctx, const char *id, asq_result *promise, const char *value,
                        asq_agent **agent, asq_result **r)
{
    int rc = asq_attach(asq_ctx_handle(ctx), id, agent);

    return rc < 0 ? rc : asq_call(*agent, "settle", r, "[s, s]", asq_result_id(promise), value);
}

/* promised(item, agent, agent): makes a promise, has each of two agents try to settle it with a
 * value of its own, and keeps the item. Exactly one must, and its value must be the promise's. */
static int chaos_promised(asq_ctx *ctx, void *self, const asq_value *args, asq_value **ret)
{
    asq_result *promise = NULL, *r[2] = { NULL, NULL };
    asq_agent *agents[2] = { NULL, NULL };
    const char *item, *ids[2], *value = "";
    char values[2][64];
    bool won[2] = { false, false };
    struct run run = { .reads = false };
    int rc;

    (void) self;
    enter(&run, ctx);
    if ((rc = asq_args(ctx, args, "[s, s, s]", &item, &ids[0], &ids[1])) == 0)
        rc = asq_promise_new(ctx, &promise);
    for (int i = 0; i < 2 && rc == 0; i++) {
        snprintf(values[i], sizeof values[i], "%s/%d", item, i);
        rc = begin_settle(ctx, ids[i], promise, values[i], &agents[i], &r[i]);
    }
    /* Redis may have refused both attempts: then nobody settles it. */
    if (rc == 0 && (rc = asq_ctx_wait(ctx, promise, SETTLED_MS)) == ASQ_ETIMEOUT)
        rc = 0;
    for (int i = 0; i < 2 && rc == 0; i++)
        rc = asq_result_bool(r[i], &won[i]);
    /* Redis may have lost what it has acknowledged. */
    bool is_lost = rc == 0 && asq_ctx_wait(ctx, promise, LOST_MS) == ASQ_ETIMEOUT;
    if (rc == 0 && !is_lost)
        rc = asq_result_string(promise, &value);
    if (is_lost)
        rc = asq_fail(ctx, ASQ_EUSER(WRONG_VALUE), "the promise was settled, and is open");
    else if (rc < 0)
        asq_fail(ctx, rc, "nested: %s", asq_errmsg(asq_ctx_handle(ctx)));
    else if (won[0] == won[1] || strcmp(value, values[won[1]]) != 0)
        rc = asq_fail(ctx, ASQ_EUSER(WRONG_VALUE), "the promise gave %s, and was settled %d times",
                      value, won[0] + won[1]);
    else if ((rc = write_log(&run, item)) == 0)
        *ret = asq_value_string(item);
    for (int i = 0; i < 2; i++) {
        asq_result_free(r[i]);
        asq_agent_free(agents[i]);
    }
    asq_result_free(promise);
    return leave(&run, rc);
}

/* emit(item, n, ms): emits [run, 0] to [run, n - 1], with waits of up to ms in between, and keeps
 * the item. */
static int chaos_emit(asq_ctx *ctx, void *self, const asq_value *args, asq_value **ret)
{
    const char *item;
    struct run run = { .reads = false };
    int64_t n, ms;
    int rc;

    (void) self;
    enter(&run, ctx);
    rc = asq_args(ctx, args, "[s, I, I]", &item, &n, &ms);
    for (int64_t i = 0; rc == 0 && i < n; i++) {
        rc = asq_emit(ctx, asq_pack("[s, I]", run.id, i));
        if (rc == 0 && ms && i % 4 == 3)
            rc = asq_ctx_sleep(ctx, ms);
    }
    if (rc == 0 && (rc = write_log(&run, item)) == 0)
        *ret = asq_value_string(item);
    return leave(&run, rc);
}

/* Fails with the failure of a nested call. */
static int nested_failed(asq_ctx *ctx, int rc, const asq_result *r)
{
    const char *why = r ? asq_result_error(r)->message : asq_errmsg(asq_ctx_handle(ctx));

    return asq_fail(ctx, rc, "nested: %s: %s", asq_error_name(rc) ? asq_error_name(rc) : "?", why);
}

/* deposit(item, amount), and transfer(to, item, amount), which takes the amount from this agent. */
static int chaos_deposit(asq_ctx *ctx, void *self, const asq_value *args, asq_value **ret)
{
    asq_value *state = asq_ctx_state(ctx);
    const char *item;
    struct run run = { .reads = false };
    int64_t amount;
    int rc;

    (void) self;
    enter(&run, ctx);
    if ((rc = asq_args(ctx, args, "[s, I]", &item, &amount)) == 0 &&
        (rc = write_log(&run, item)) == 0 &&
        (rc = asq_map_set_int(state, "n", asq_map_int(state, "n") + amount)) == 0)
        *ret = asq_value_int(amount);
    return leave(&run, rc);
}

static int chaos_transfer(asq_ctx *ctx, void *self, const asq_value *args, asq_value **ret)
{
    asq_value *state = asq_ctx_state(ctx);
    asq *h = asq_ctx_handle(ctx);
    const char *to, *item;
    asq_agent *other = NULL;
    asq_result *r = NULL;
    struct run run = { .reads = false };
    int64_t amount, done = 0;
    int rc;

    (void) self;
    enter(&run, ctx);
    if ((rc = asq_args(ctx, args, "[s, s, I]", &to, &item, &amount)) < 0 ||
        (rc = write_log(&run, item)) < 0 ||
        (rc = asq_map_set_int(state, "n", asq_map_int(state, "n") - amount)) < 0)
        return leave(&run, rc);
    if ((rc = asq_attach(h, to, &other)) == 0 &&
        (rc = asq_call(other, "deposit", &r, "[s, I]", item, amount)) == 0)
        rc = asq_result_int(r, &done);
    if (rc < 0)
        rc = nested_failed(ctx, rc, r);
    else if (done != amount)
        rc = asq_fail(ctx, ASQ_EUSER(WRONG_VALUE), "deposit gave %" PRId64, done);
    else
        *ret = asq_value_int(amount);
    asq_result_free(r);
    asq_agent_free(other);
    return leave(&run, rc);
}

/* tree(item, mode, children): keeps the item and calls `tree` of each child [agent, item, mode,
 * children]: mode 0 one after the other, 1 all at once, 2 without waiting. Returns the number of
 * nodes here and below, except nodes of calls that it does not wait for. */
static int call_child(asq_ctx *ctx, const asq_value *child, bool send, asq_agent **agent,
                      asq_result **r)
{
    const asq_value *children;
    const char *id, *item;
    int64_t mode;
    int rc = asq_args(ctx, child, "[s, s, I, O]", &id, &item, &mode, &children);

    if (rc < 0)
        return rc;
    if ((rc = asq_attach(asq_ctx_handle(ctx), id, agent)) == 0)
        rc = send ? asq_send(*agent, "tree", "[s, I, O]", item, mode, children)
                  : asq_call(*agent, "tree", r, "[s, I, O]", item, mode, children);
    return rc < 0 ? nested_failed(ctx, rc, NULL) : 0;
}

static int chaos_tree(asq_ctx *ctx, void *self, const asq_value *args, asq_value **ret)
{
    asq_agent *agents[MAX_CHILDREN] = { NULL };
    asq_result *results[MAX_CHILDREN] = { NULL };
    const asq_value *children;
    const char *item;
    struct run run = { .reads = false };
    int64_t mode, sum = 1, below;
    size_t n = 0, waited = 0;
    int rc;

    (void) self;
    enter(&run, ctx);
    if ((rc = asq_args(ctx, args, "[s, I, O]", &item, &mode, &children)) == 0)
        rc = write_log(&run, item);
    if (rc == 0 && (n = asq_list_size(children)) > MAX_CHILDREN)
        rc = asq_fail(ctx, ASQ_ELIMIT, "too many children");
    for (size_t i = 0; i < n && rc == 0; i++) {
        rc = call_child(ctx, asq_list_get(children, i), mode == 2, &agents[i], &results[i]);
        if (rc < 0 || mode == 2)
            continue;
        for (; rc == 0 && waited <= i && (mode == 0 || i + 1 == n); waited++) {
            if ((rc = asq_result_int(results[waited], &below)) < 0)
                nested_failed(ctx, rc, results[waited]);
            else
                sum += below;
        }
    }
    if (rc == 0)
        *ret = asq_value_int(sum);
    for (size_t i = 0; i < n && i < MAX_CHILDREN; i++) {
        asq_result_free(results[i]);
        asq_agent_free(agents[i]);
    }
    return leave(&run, rc);
}

/* audit(rest): returns the sum of this account and of the rest, which are read while this call is
 * active. Transfers keep the lower account busy until the higher one has the amount, so the sum
 * contains all of a transfer or nothing of it. */
static int chaos_audit(asq_ctx *ctx, void *self, const asq_value *args, asq_value **ret)
{
    int64_t sum = asq_map_int(asq_ctx_state(ctx), "n"), others = 0;
    const asq_value *rest;
    const char *id;
    asq_value *further;
    asq_agent *next = NULL;
    asq_result *r = NULL;
    struct run run = { .reads = true };
    int rc;

    (void) self;
    enter(&run, ctx);
    if ((rc = asq_args(ctx, args, "[O]", &rest)) == 0 && asq_list_size(rest) > 0) {
        further = asq_value_list();
        for (size_t i = 1; i < asq_list_size(rest); i++)
            asq_list_append(further, asq_value_copy(asq_list_get(rest, i)));
        if ((rc = asq_value_get_string(asq_list_get(rest, 0), &id, NULL)) == 0 &&
            (rc = asq_attach(asq_ctx_handle(ctx), id, &next)) == 0 &&
            (rc = asq_call(next, "audit", &r, "[o]", further)) == 0)
            rc = asq_result_int(r, &others);
        if (rc < 0)
            rc = nested_failed(ctx, rc, r);
        asq_result_free(r);
        asq_agent_free(next);
    }
    if (rc == 0)
        *ret = asq_value_int(sum + others);
    return leave(&run, rc);
}

static int chaos_get(asq_ctx *ctx, void *self, const asq_value *args, asq_value **ret)
{
    struct run run = { .reads = true };

    (void) self;
    (void) args;
    enter(&run, ctx);
    *ret = asq_value_copy(asq_ctx_state(ctx));
    return leave(&run, 0);
}

/* tip(): returns [length, run of the last entry] of the log. */
static int chaos_tip(asq_ctx *ctx, void *self, const asq_value *args, asq_value **ret)
{
    const asq_value *log = asq_map_get(asq_ctx_state(ctx), "log");
    size_t n = log ? asq_list_size(log) : 0;
    const char *text = "", *space;
    struct run run = { .reads = true };
    int rc;

    (void) self;
    (void) args;
    enter(&run, ctx);
    rc = n ? asq_value_get_string(asq_list_get(log, n - 1), &text, NULL) : 0;
    space = rc == 0 ? strrchr(text, ' ') : NULL;
    if (rc == 0)
        *ret = asq_pack("[I, s]", (int64_t) n, space ? space + 1 : "");
    return leave(&run, rc);
}

static const asq_method methods[] = {
    { "add", chaos_add, NULL, 0, NULL },
    { "add_nonblocking", chaos_add, NULL, ASQ_NONBLOCKING, NULL },
    { "append", chaos_append, NULL, 0, NULL },
    { "append_nonblocking", chaos_append, NULL, ASQ_NONBLOCKING, NULL },
    { "append_and_fail", chaos_append_and_fail, NULL, 0, NULL },
    { "append_after", chaos_append_after, NULL, 0, NULL },
    { "pay", chaos_pay, NULL, 0, NULL },
    { "settle", chaos_settle, NULL, 0, NULL },
    { "promised", chaos_promised, NULL, 0, NULL },
    { "emit", chaos_emit, NULL, 0, NULL },
    { "deposit", chaos_deposit, NULL, 0, NULL },
    { "transfer", chaos_transfer, NULL, 0, NULL },
    { "tree", chaos_tree, NULL, 0, NULL },
    { "audit", chaos_audit, NULL, ASQ_READONLY, NULL },
    { "tip", chaos_tip, NULL, ASQ_READONLY, NULL },
    { "get", chaos_get, NULL, ASQ_READONLY, NULL },
    { 0 },
};

static const asq_class chaos_class = { ASQ_CLASS_INIT, .name = "Chaos", .methods = methods };

ASQ_PLUGIN
{
    return asq_plugin_register(plugin, &chaos_class);
}
