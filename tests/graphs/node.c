/*
 * node.c: see node.h.
 */
#include "graphs/node.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

/* ---- shared with the program ---- */

/* Wraps input i of n: as it is, in a list, or deeper. */
static asq_value *wrap(size_t i, size_t n, asq_result *input)
{
    switch ((i + n) % 3) {
    case 0: return asq_value_future(input);
    case 1: return asq_pack("[r]", input);
    default: return asq_pack("[[{s:r}]]", "in", input);
    }
}

/* Makes the arguments of a call without inputs. */
static asq_value *args_of(const asq_value *program, int64_t drawn)
{
    return asq_pack("[O, I]", program, drawn);
}

int node_call(asq *h, const asq_value *call, int64_t drawn, asq_result *const *inputs,
              size_t ninputs, asq_result **ret)
{
    asq_call_options options = ASQ_CALL_OPTIONS_INIT;
    asq_retry retry = { ASQ_RETRY_INIT, 0, 1, 0, NULL, false };
    const int codes[] = { ASQ_EUSER(GRAPH_FLAKY_CODE), 0 };
    const asq_value *agents, *program;
    asq_value *args;
    asq_agent *agent;
    const char *method, *id;
    int flaky, rc;

    if ((rc = asq_unpack(call, "[O, s, I, i, O]", &agents, &method, &options.deadline_ms, &flaky,
                         &program)) < 0)
        return rc;
    args = args_of(program, drawn);
    for (size_t i = 0; i < ninputs && rc == 0; i++)
        rc = asq_list_append(args, wrap(i, ninputs, inputs[i]));
    if (!args || rc < 0) {
        asq_value_free(args);
        return ASQ_ENOMEM;
    }
    if (flaky) {
        retry.attempts = (uint32_t) flaky + 1;
        retry.codes = codes;
        retry.keep_place = flaky > 1;
        options.retry = &retry;
    }
    if ((rc = asq_value_get_string(asq_list_get(agents, 0), &id, NULL)) < 0 ||
        (rc = asq_attach(h, id, &agent)) < 0) {
        asq_value_free(args);
        return rc;
    }
    rc = asq_callv(agent, method, &options, args, ret);
    asq_agent_free(agent);
    return rc;
}

asq_value *node_outcome(asq_result *r)
{
    const asq_value *v;
    int code = asq_result_error(r)->code;

    if (code)
        return asq_value_int(code);
    return asq_result_value(r, &v) == 0 ? asq_value_copy(v) : NULL;
}

int64_t node_digest(const asq_value *v)
{
    uint64_t hash = UINT64_C(14695981039346656037);
    char *json;

    if (asq_to_json(v, 0, &json) < 0)
        return -1;
    for (const char *p = json; *p; p++)
        hash = (hash ^ (unsigned char) *p) * UINT64_C(1099511628211);
    free(json);
    return (int64_t) (hash >> 2);
}

static const asq_value *unwrap(size_t i, size_t n, const asq_value *given)
{
    switch ((i + n) % 3) {
    case 0: return given;
    case 1: return asq_list_get(given, 0);
    default: return asq_map_get(asq_list_get(asq_list_get(given, 0), 0), "in");
    }
}

/* ---- a run ---- */

struct slot {
    asq_result *r;
    size_t index; /* of its outcome */
    bool detached, waited;
};

struct run {
    asq_ctx *ctx;
    asq *h;
    int64_t node, drawn;
    asq_value *outcomes;
    struct slot slots[GRAPH_SLOTS];
    int nslots;
};

static int out_of_memory(struct run *run)
{
    return asq_fail(run->ctx, ASQ_ENOMEM, "out of memory");
}

static int own_end(struct run *run, int rc)
{
    return asq_fail(run->ctx, rc, "#%lld: %s", (long long) run->node, asq_errmsg(run->h));
}

static int must_fail(struct run *run, int code, const char *why)
{
    return asq_fail(run->ctx, code, "#%lld: what must succeed has failed: %s",
                    (long long) run->node, why);
}

/* Waits for a result. Not 0: the run's time is over. */
static int wait_for(struct run *run, asq_result *r)
{
    int rc = asq_result_wait(r, ASQ_FOREVER);

    return asq_result_done(r) ? 0 : own_end(run, rc < 0 ? rc : ASQ_EFAILED);
}

static int note(struct run *run, size_t index, asq_value *outcome)
{
    return asq_list_set(run->outcomes, index, outcome) < 0 ? out_of_memory(run) : 0;
}

static int take(struct run *run, struct slot *s)
{
    if (s->waited)
        return 0;
    s->waited = true;
    return note(run, s->index, node_outcome(s->r));
}

static int slot_wait(struct run *run, struct slot *s)
{
    int rc = wait_for(run, s->r);

    return rc < 0 ? rc : take(run, s);
}

static int add(struct run *run, int64_t n)
{
    asq_value *state = asq_ctx_state(run->ctx), *log;
    char key[24];

    if (strcmp(asq_ctx_method(run->ctx), node_method_name(NODE_LOOK)) == 0)
        return 0;
    if (!(log = asq_map_find(state, NODE_LOG)) &&
        (asq_map_set(state, NODE_LOG, asq_value_map()) < 0 ||
         !(log = asq_map_find(state, NODE_LOG))))
        return out_of_memory(run);
    snprintf(key, sizeof key, "%lld", (long long) run->node);
    return asq_map_set_int(log, key, asq_map_int(log, key) + n) < 0 ? out_of_memory(run) : 0;
}

/* ---- steps ---- */

struct notified {
    asq_value *outcomes;
    bool out_of_memory;
    size_t first; /* the first failed result */
    int code;
};

static int on_notify(void *user, size_t index, asq_result *r, size_t done, size_t n)
{
    struct notified *t = user;
    int code = asq_result_error(r)->code;

    (void) done, (void) n;
    if (code && (!t->code || index < t->first)) {
        t->first = index;
        t->code = code;
    }
    t->out_of_memory |= asq_list_set(t->outcomes, index, node_outcome(r)) < 0;
    return 0;
}

static asq_value *nulls(size_t n)
{
    asq_value *list = asq_value_list();

    for (size_t i = 0; i < n; i++)
        asq_list_append(list, asq_value_null());
    return list;
}

static int attach(struct run *run, const asq_value *id, asq_agent **ret)
{
    const char *text;
    int rc = asq_value_get_string(id, &text, NULL);

    if (rc == 0)
        rc = asq_attach(run->h, text, ret);
    return rc < 0 ? own_end(run, rc) : 0;
}

/* Stores the outcomes of many calls in their places, and returns the first failure if none may
 * fail. */
static int notified_of_many(struct run *run, size_t index, struct notified *t, bool must)
{
    int rc;

    if (t->out_of_memory) {
        asq_value_free(t->outcomes);
        return out_of_memory(run);
    }
    if ((rc = note(run, index, t->outcomes)) < 0)
        return rc;
    return must && t->code ? must_fail(run, t->code, "one of many") : 0;
}

static int step_each(struct run *run, size_t index, const asq_value *kids, int limit, bool must)
{
    asq_each_options options = ASQ_EACH_OPTIONS_INIT;
    asq_agent *agents[GRAPH_KIDS] = { NULL };
    size_t n = asq_list_size(kids);
    struct notified t = { nulls(n), false, 0, 0 };
    asq_value *inputs = asq_value_list();
    int rc = 0;

    for (size_t i = 0; i < n && i < GRAPH_KIDS && rc == 0; i++) {
        const asq_value *ids = asq_list_get(asq_list_get(kids, i), 0);
        rc = attach(run, asq_list_get(ids, 0), &agents[i]);
        if (rc == 0 && asq_list_append(
                           inputs, args_of(asq_list_get(asq_list_get(kids, i), 4), run->drawn)) < 0)
            rc = out_of_memory(run);
    }
    options.limit = (size_t) limit;
    options.all = true;
    options.fn = on_notify;
    options.user = &t;
    if (rc == 0 &&
        (rc = asq_call_each(agents, n, node_method_name(NODE_RUN), inputs, &options, NULL)) < 0)
        own_end(run, rc);
    for (size_t i = 0; i < GRAPH_KIDS; i++)
        asq_agent_free(agents[i]);
    asq_value_free(inputs);
    if (rc < 0) {
        asq_value_free(t.outcomes);
        return rc;
    }
    return notified_of_many(run, index, &t, must);
}

static int step_broadcast(struct run *run, size_t index, const asq_value *kid, int how, bool must)
{
    asq_agent *agents[GRAPH_KIDS] = { NULL };
    asq_result *results[GRAPH_KIDS] = { NULL };
    const asq_value *ids = asq_list_get(kid, 0);
    size_t n = asq_list_size(ids);
    struct notified t = { nulls(n), false, 0, 0 };
    int rc = 0;

    for (size_t i = 0; i < n && i < GRAPH_KIDS && rc == 0; i++)
        rc = attach(run, asq_list_get(ids, i), &agents[i]);
    if (rc == 0 && ((rc = asq_broadcast(agents, n, node_method_name(NODE_RUN),
                                        args_of(asq_list_get(kid, 4), run->drawn), results)) < 0 ||
                    (how == 1 && (rc = asq_gather(results, n, ASQ_FOREVER, on_notify, &t)) < 0)))
        own_end(run, rc);
    for (size_t i = 0; i < n && i < GRAPH_KIDS; i++) {
        if (rc == 0 && how != 1 && (rc = wait_for(run, results[i])) == 0)
            on_notify(&t, i, results[i], 0, n);
        asq_result_free(results[i]);
        asq_agent_free(agents[i]);
    }
    if (rc < 0) {
        asq_value_free(t.outcomes);
        return rc;
    }
    return notified_of_many(run, index, &t, must);
}

/* Waits for all pending results, in one way or another. */
static int step_all(struct run *run, int how)
{
    asq_result *all[GRAPH_SLOTS], *next;
    asq_group *group = NULL;
    size_t n = 0;
    int rc = 0;

    for (int i = 0; i < run->nslots; i++)
        if (!run->slots[i].detached && !run->slots[i].waited)
            all[n++] = run->slots[i].r;
    if (how == ALL_GATHER) {
        rc = asq_gather(all, n, ASQ_FOREVER, NULL, NULL);
    } else if (how == ALL_GROUP) {
        rc = asq_group_new(run->h, &group);
        for (size_t i = 0; i < n && rc == 0; i++)
            rc = asq_group_add(group, all[i]);
        while (rc == 0)
            rc = asq_group_next(group, ASQ_FOREVER, &next);
        rc = rc == ASQ_ENOENT ? 0 : rc;
        asq_group_free(group);
    } else {
        rc = asq_wait_all(all, n, ASQ_FOREVER);
    }
    if (rc < 0)
        return own_end(run, rc);
    for (int i = 0; i < run->nslots && rc == 0; i++)
        if (!run->slots[i].detached)
            rc = take(run, &run->slots[i]);
    return rc;
}

static int step_any(struct run *run)
{
    asq_result *all[GRAPH_SLOTS];
    size_t n = 0, which;
    int rc;

    for (int i = 0; i < run->nslots; i++)
        if (!run->slots[i].detached && !run->slots[i].waited)
            all[n++] = run->slots[i].r;
    if (n == 0)
        return 0;
    rc = asq_wait_any(all, n, ASQ_FOREVER, &which);
    return rc < 0 ? own_end(run, rc) : 0;
}

/* Makes a call, and waits for it, remembers it, or does neither. */
static int step_call(struct run *run, size_t index, enum step_kind kind, bool detached,
                     const asq_value *inputs, const asq_value *kid, int slot)
{
    asq_result *given[GRAPH_INPUTS], *r = NULL;
    size_t n = asq_list_size(inputs);
    int64_t from;
    int rc;

    for (size_t i = 0; i < n; i++) {
        asq_value_get_int(asq_list_get(inputs, i), &from);
        given[i] = run->slots[from].r;
    }
    rc = node_call(run->h, kid, run->drawn, given, n, kind == STEP_SEND ? NULL : &r);
    if (kind == STEP_SEND && rc == ASQ_EINPUT)
        return 0; /* like a later failure, which no caller would see */
    if (rc < 0)
        return own_end(run, rc);
    if (kind == STEP_CALL) {
        if ((rc = wait_for(run, r)) == 0)
            rc = note(run, index, node_outcome(r));
        asq_result_free(r);
    } else if (kind == STEP_ASYNC) {
        run->slots[slot] = (struct slot){ .r = r, .index = index, .detached = detached };
        run->nslots = slot + 1;
    }
    return rc;
}

static int draw(asq_ctx *ctx, void *user, asq_value **ret)
{
    uint32_t n;

    (void) user;
    if (getrandom(&n, sizeof n, 0) != sizeof n)
        return asq_fail(ctx, ASQ_ESYS, "getrandom failed");
    *ret = asq_value_int(n);
    return 0;
}

/* Draws a number that must be the same in each run. */
static int step_once(struct run *run, int how)
{
    asq_step_options options = ASQ_STEP_OPTIONS_INIT;
    asq_value *v = NULL;
    uint32_t n;
    int rc;

    options.wait_record = how == ONCE_WAIT;
    if (how == ONCE_RANDOM) {
        if ((rc = asq_ctx_random(run->ctx, &n, sizeof n)) == 0)
            run->drawn = n;
    } else {
        if ((rc = asq_step_with(run->ctx, "draw", &options, draw, NULL, &v)) == 0)
            rc = asq_value_get_int(v, &run->drawn);
        asq_value_free(v);
    }
    return rc < 0 ? own_end(run, rc) : 0;
}

static int run_step(struct run *run, const asq_value *step, size_t *next_outcome)
{
    const asq_value *inputs, *kids;
    bool must, detached;
    int kind, slot, how, code, ms, rc = 0;
    int64_t of_outcome;
    size_t index = 0;

    if ((rc = asq_args(run->ctx, step, "[i, b, b, i, i, i, i, O, O]", &kind, &must, &detached,
                       &slot, &how, &code, &ms, &inputs, &kids)) < 0)
        return rc;
    if (step_calls((enum step_kind) kind)) {
        index = (*next_outcome)++;
        if (asq_list_append(run->outcomes, asq_value_null()) < 0)
            return out_of_memory(run);
    }
    switch ((enum step_kind) kind) {
    case STEP_CALL:
    case STEP_ASYNC:
    case STEP_SEND:
        rc = step_call(run, index, (enum step_kind) kind, detached, inputs, asq_list_get(kids, 0),
                       slot);
        break;
    case STEP_EACH: return step_each(run, index, kids, how, must);
    case STEP_BROADCAST: return step_broadcast(run, index, asq_list_get(kids, 0), how, must);
    case STEP_WAIT:
        index = run->slots[slot].index;
        rc = slot_wait(run, &run->slots[slot]);
        break;
    case STEP_ALL: return step_all(run, how);
    case STEP_ANY: return step_any(run);
    case STEP_CANCEL: rc = asq_result_cancel(run->slots[slot].r); break;
    case STEP_SLEEP: return asq_ctx_sleep(run->ctx, ms);
    case STEP_ADD: return add(run, 16);
    case STEP_ONCE: return step_once(run, how);
    case STEP_FAIL:
        return asq_fail(run->ctx, ASQ_EUSER(code), "#%lld fails", (long long) run->node);
    }
    if (rc == 0 && must && (kind == STEP_CALL || kind == STEP_WAIT) &&
        asq_value_get_int(asq_list_get(run->outcomes, index), &of_outcome) == 0)
        rc = must_fail(run, (int) of_outcome, "a call");
    return rc;
}

/* Waits in a failing call for its pending results, so that none of its calls goes on without it. */
static int leave(struct run *run, int rc)
{
    for (int i = 0; i < run->nslots; i++)
        if (!run->slots[i].detached && !run->slots[i].waited && !asq_ctx_canceled(run->ctx))
            asq_result_wait(run->slots[i].r, ASQ_FOREVER);
    return rc;
}

static int node_run(asq_ctx *ctx, void *self, const asq_value *args, asq_value **ret)
{
    struct run run = { .ctx = ctx, .h = asq_ctx_handle(ctx), .outcomes = asq_value_list() };
    const asq_value *steps, *program = asq_list_get(args, 0);
    asq_value *inputs = asq_value_list();
    size_t next_outcome = 0, before = 2, ninputs = asq_list_size(args) - before;
    int64_t flaky;
    int rc;

    (void) self;
    if ((rc = asq_args(ctx, program, "[I, I, O]", &run.node, &flaky, &steps)) == 0)
        rc = add(&run, 1);
    if (rc == 0 && asq_ctx_attempt(ctx) <= flaky)
        rc =
            asq_fail(ctx, ASQ_EUSER(GRAPH_FLAKY_CODE), "#%lld fails for now", (long long) run.node);
    for (size_t i = 0; i < ninputs && rc == 0; i++)
        if (asq_list_append(inputs, asq_value_int(node_digest(
                                        unwrap(i, ninputs, asq_list_get(args, before + i))))) < 0)
            rc = out_of_memory(&run);
    for (size_t i = 0; i < asq_list_size(steps) && rc == 0; i++)
        rc = run_step(&run, asq_list_get(steps, i), &next_outcome);
    if (rc < 0)
        rc = leave(&run, rc);
    else if (!(*ret = asq_pack("[I, O, O]", run.node, inputs, run.outcomes)))
        rc = out_of_memory(&run);
    for (int i = 0; i < run.nslots; i++)
        asq_result_free(run.slots[i].r);
    asq_value_free(run.outcomes);
    asq_value_free(inputs);
    return rc;
}

static const asq_method node_methods[] = { { "run", node_run, NULL, 0, NULL },
                                           { "run_inline", node_run, NULL, ASQ_NONBLOCKING, NULL },
                                           { "look", node_run, NULL, ASQ_READONLY | ASQ_CONCURRENT,
                                             NULL },
                                           { 0 } };
static const asq_attribute node_attributes[] = { { NODE_LOG, NULL, NULL, 0, NULL }, { 0 } };
const asq_class node_class = { ASQ_CLASS_INIT, .name = NODE_CLASS, .methods = node_methods,
                               .attributes = node_attributes };
