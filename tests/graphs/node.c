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
static asq_value *args_of(const asq_value *program, int64_t drawn, const char *given)
{
    return asq_pack("[O, I, s]", program, drawn, given);
}

int node_call(asq *h, const asq_value *call, int64_t drawn, const char *given,
              asq_result *const *inputs, size_t ninputs, asq_result **ret)
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
    args = args_of(program, drawn, given);
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

asq_value *node_settled(int64_t node)
{
    return asq_pack("[s, I]", "settled", node);
}

asq_value *node_signalled(int64_t node, int i)
{
    return asq_pack("[s, I, i]", "signal", node, i);
}

asq_value *node_emitted(int64_t node, int i, int bytes)
{
    char text[4096];

    memset(text, 'x', sizeof text);
    return asq_pack("[I, i, o]", node, i, asq_value_stringn(text, (size_t) bytes % sizeof text));
}

int node_signal(asq *h, const char *agent_id, int node, int first, int n)
{
    asq_agent *agent;
    char name[24];
    int rc = asq_attach(h, agent_id, &agent);

    if (rc < 0)
        return rc;
    snprintf(name, sizeof name, "n%d", node);
    for (int i = first; i < first + n && rc == 0; i++)
        rc = asq_signal(agent, name, node_signalled(node, i));
    asq_agent_free(agent);
    return rc;
}

int node_read(asq_result *r, int64_t node, asq_value **seen, int64_t timeout_ms, bool *ret_end,
              unsigned long long *ret_again)
{
    for (;;) {
        asq_value *v = NULL;
        int64_t of = NODE_BAD, i = NODE_BAD;
        const asq_value *text;
        int rc = asq_result_next(r, &v, timeout_ms);
        if (rc == ASQ_NEXT_AGAIN) {
            asq_value_free(*seen);
            *seen = asq_value_list();
            ++*ret_again;
            continue;
        }
        if (rc == ASQ_NEXT_END) {
            *ret_end = true;
            return 0;
        }
        if (rc < 0)
            return rc == ASQ_ETIMEOUT ? 0 : rc;
        if (rc != ASQ_NEXT_VALUE || asq_unpack(v, "[I, I, O]", &of, &i, &text) < 0 || of != node)
            i = NODE_BAD;
        asq_value_free(v);
        if ((rc = asq_list_append(*seen, asq_value_int(i))) < 0)
            return rc;
    }
}

/* ---- a run ---- */

struct slot {
    asq_result *r;
    size_t index; /* of its outcome */
    size_t step;
    int64_t reads; /* node whose emits are read; 0: none */
    bool detached, waited, promise;
};

struct run {
    asq_ctx *ctx;
    asq *h;
    int64_t node, drawn;
    const char *given;
    int emitted;
    asq_value *outcomes, *notes;
    struct slot slots[GRAPH_SLOTS];
};

/* Whether the result of a call is to be waited for. */
static bool is_pending(const struct slot *s)
{
    return s->r && !s->promise && !s->detached && !s->waited;
}

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

static int note_step(struct run *run, size_t step, asq_value *note)
{
    return asq_list_set(run->notes, step, note) < 0 ? out_of_memory(run) : 0;
}

/* Reads all that a call emits, which ends with the call. */
static int read_emits(struct run *run, asq_result *r, size_t step, int64_t node)
{
    asq_value *seen = asq_value_list();
    unsigned long long again = 0;
    bool end = false;
    int rc = 0;

    while (rc == 0 && !end)
        rc = node_read(r, node, &seen, ASQ_FOREVER, &end, &again);
    if (rc == 0)
        return note_step(run, step, seen);
    asq_value_free(seen);
    return own_end(run, rc);
}

static int take(struct run *run, struct slot *s)
{
    int rc = 0;

    if (s->waited)
        return 0;
    s->waited = true;
    if (s->reads)
        rc = read_emits(run, s->r, s->step, s->reads);
    return rc < 0 ? rc : note(run, s->index, node_outcome(s->r));
}

static int slot_wait(struct run *run, struct slot *s)
{
    /* Reads the emitted values while the call runs. */
    int rc = s->reads ? 0 : wait_for(run, s->r);

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
        if (rc == 0 && asq_list_append(inputs, args_of(asq_list_get(asq_list_get(kids, i), 4),
                                                       run->drawn, "")) < 0)
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
    if (rc == 0 &&
        ((rc = asq_broadcast(agents, n, node_method_name(NODE_RUN),
                             args_of(asq_list_get(kid, 4), run->drawn, ""), results)) < 0 ||
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

    for (int i = 0; i < GRAPH_SLOTS; i++)
        if (is_pending(&run->slots[i]))
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
    for (int i = 0; i < GRAPH_SLOTS && rc == 0; i++)
        if (is_pending(&run->slots[i]))
            rc = take(run, &run->slots[i]);
    return rc;
}

static int step_any(struct run *run)
{
    asq_result *all[GRAPH_SLOTS];
    size_t n = 0, which;
    int rc;

    for (int i = 0; i < GRAPH_SLOTS; i++)
        if (is_pending(&run->slots[i]))
            all[n++] = run->slots[i].r;
    if (n == 0)
        return 0;
    rc = asq_wait_any(all, n, ASQ_FOREVER, &which);
    return rc < 0 ? own_end(run, rc) : 0;
}

/* A step as it was decoded. */
struct decoded {
    enum step_kind kind;
    bool must, detached, reads;
    int slot, how, code, ms, gives, node, n, first, bytes;
    const char *agent; /* STEP_SIGNAL */
    const asq_value *inputs, *kids;
    size_t at, index; /* of the step; of its outcome */
};

/* Returns the id of the promise that a call is given. */
static const char *id_to_give(const struct run *run, int gives)
{
    return gives == SLOT_NONE    ? ""
           : gives == SLOT_GIVEN ? run->given
                                 : asq_result_id(run->slots[gives].r);
}

/* Makes a call, and waits for it, remembers it, or does neither. */
static int step_call(struct run *run, const struct decoded *s)
{
    asq_result *given[GRAPH_INPUTS], *r = NULL;
    const asq_value *kid = asq_list_get(s->kids, 0);
    size_t n = asq_list_size(s->inputs);
    int64_t from, node = 0;
    int rc;

    for (size_t i = 0; i < n; i++) {
        asq_value_get_int(asq_list_get(s->inputs, i), &from);
        given[i] = run->slots[from].r;
    }
    rc = node_call(run->h, kid, run->drawn, id_to_give(run, s->gives), given, n,
                   s->kind == STEP_SEND ? NULL : &r);
    if (s->kind == STEP_SEND && rc == ASQ_EINPUT)
        return 0; /* like a later failure, which no caller would see */
    if (rc < 0)
        return own_end(run, rc);
    if (s->reads)
        asq_value_get_int(asq_list_get(asq_list_get(kid, 4), 0), &node);
    if (s->kind == STEP_CALL) {
        rc = node ? read_emits(run, r, s->at, node) : 0;
        if (rc == 0 && (rc = wait_for(run, r)) == 0)
            rc = note(run, s->index, node_outcome(r));
        asq_result_free(r);
    } else if (s->kind == STEP_ASYNC) {
        run->slots[s->slot] = (struct slot){
            .r = r, .index = s->index, .step = s->at, .reads = node, .detached = s->detached
        };
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

/* ---- promises, signals, emits ---- */

static int step_promise(struct run *run, int slot)
{
    asq_result *r;
    int rc = asq_promise_new(run->ctx, &r);

    if (rc < 0)
        return own_end(run, rc);
    run->slots[slot] = (struct slot){ .r = r, .promise = true };
    return 0;
}

/* Settles a promise in one way or the other; false: the attempt has no outcome. */
static bool settle(struct run *run, const char *id, bool reject, asq_value *value, int *ret)
{
    *ret = reject ? asq_promise_reject(run->h, id, ASQ_EUSER(GRAPH_REJECTED_CODE), "rejected")
                  : asq_promise_resolve(run->h, id, value);
    if (reject)
        asq_value_free(value);
    return *ret == 0 || *ret == ASQ_ESTATE;
}

static int step_settle(struct run *run, const struct decoded *s)
{
    const char *id = id_to_give(run, s->slot);
    bool reject = s->how & SETTLE_REJECT;
    int first, second = ASQ_ESTATE;

    if (!settle(run, id, reject, node_settled(run->node), &first))
        return own_end(run, first);
    if (s->how & SETTLE_TWICE && !settle(run, id, !reject, asq_value_string("late"), &second))
        return own_end(run, second);
    return note_step(run, s->at,
                     second == ASQ_ESTATE ? asq_value_int(first)
                                          : asq_value_string("was settled a second time"));
}

static int step_await(struct run *run, const struct decoded *s)
{
    asq_result *attached = NULL, *r;
    size_t which;
    int rc = 0;

    if (s->slot == SLOT_GIVEN)
        rc = asq_result_attach(run->h, run->given, &attached);
    if (rc < 0)
        return own_end(run, rc);
    r = attached ? attached : run->slots[s->slot].r;
    switch (s->how) {
    case AWAIT_CTX: rc = asq_ctx_wait(run->ctx, r, ASQ_FOREVER); break;
    case AWAIT_LIMIT: rc = asq_ctx_wait(run->ctx, r, s->ms); break;
    case AWAIT_ANY: rc = asq_wait_any(&r, 1, ASQ_FOREVER, &which); break;
    default: rc = asq_result_wait(r, ASQ_FOREVER); break;
    }
    if (!asq_result_done(r))
        rc = own_end(run, rc < 0 ? rc : ASQ_EFAILED);
    else if ((rc = note_step(run, s->at, node_outcome(r))) == 0 && s->must &&
             asq_result_error(r)->code)
        rc = must_fail(run, asq_result_error(r)->code, "a promise");
    asq_result_free(attached);
    return rc;
}

/* Waits for a promise that nobody has settled. In local mode waits block the program, so those of
 * a second and more are cut. */
static int step_early(struct run *run, const struct decoded *s)
{
    int rc = asq_ctx_wait(run->ctx, run->slots[s->slot].r, asq_ctx_epoch(run->ctx) ? s->ms : 1);

    if (rc < 0 && rc != ASQ_ETIMEOUT && !asq_result_done(run->slots[s->slot].r))
        return own_end(run, rc);
    return note_step(run, s->at, asq_value_int(rc));
}

static int step_hear(struct run *run, const struct decoded *s)
{
    asq_value *v = NULL;
    char name[24];
    int64_t ms = s->how == HEAR_FOREVER ? ASQ_FOREVER : s->ms;
    int rc;

    snprintf(name, sizeof name, "n%d", s->node);
    if (s->how == HEAR_FOR_MS && !asq_ctx_epoch(run->ctx) && ms > 1)
        ms = 1;
    rc = asq_ctx_next_signal(run->ctx, name, &v, ms);
    if (rc < 0 && rc != ASQ_ETIMEOUT)
        return own_end(run, rc);
    return note_step(run, s->at, rc < 0 ? asq_value_int(rc) : v);
}

static int emit(struct run *run, int n, int bytes)
{
    int rc = 0;

    for (int i = 0; i < n && rc == 0; i++)
        rc = asq_emit(run->ctx, node_emitted(run->node, run->emitted++, bytes));
    return rc < 0 ? own_end(run, rc) : 0;
}

static int step_sleep(struct run *run, int ms)
{
    return asq_ctx_sleep(run->ctx, ms >= 1000 && !asq_ctx_epoch(run->ctx) ? 1 : ms);
}

/* ---- all steps ---- */

static int run_step(struct run *run, size_t at, const asq_value *step, size_t *next_outcome)
{
    struct decoded s = { .at = at };
    int kind, rc;
    int64_t of_outcome;

    if ((rc = asq_args(run->ctx, step, "[i, b, b, i, i, i, i, O, O, [i, b, i, i, i, i, s]]", &kind,
                       &s.must, &s.detached, &s.slot, &s.how, &s.code, &s.ms, &s.inputs, &s.kids,
                       &s.gives, &s.reads, &s.node, &s.n, &s.first, &s.bytes, &s.agent)) < 0)
        return rc;
    s.kind = (enum step_kind) kind;
    if (asq_list_append(run->notes, asq_value_null()) < 0)
        return out_of_memory(run);
    if (step_calls(s.kind)) {
        s.index = (*next_outcome)++;
        if (asq_list_append(run->outcomes, asq_value_null()) < 0)
            return out_of_memory(run);
    }
    switch (s.kind) {
    case STEP_CALL:
    case STEP_ASYNC:
    case STEP_SEND: rc = step_call(run, &s); break;
    case STEP_EACH: return step_each(run, s.index, s.kids, s.how, s.must);
    case STEP_BROADCAST:
        return step_broadcast(run, s.index, asq_list_get(s.kids, 0), s.how, s.must);
    case STEP_WAIT:
        s.index = run->slots[s.slot].index;
        rc = slot_wait(run, &run->slots[s.slot]);
        break;
    case STEP_ALL: return step_all(run, s.how);
    case STEP_ANY: return step_any(run);
    case STEP_CANCEL: rc = asq_result_cancel(run->slots[s.slot].r); break;
    case STEP_SLEEP: return step_sleep(run, s.ms);
    case STEP_ADD: return add(run, 16);
    case STEP_ONCE: return step_once(run, s.how);
    case STEP_PROMISE: return step_promise(run, s.slot);
    case STEP_SETTLE: return step_settle(run, &s);
    case STEP_AWAIT: return step_await(run, &s);
    case STEP_EARLY: return step_early(run, &s);
    case STEP_SIGNAL:
        rc = node_signal(run->h, s.agent, s.node, s.first, s.n);
        return rc < 0 ? own_end(run, rc) : 0;
    case STEP_HEAR: return step_hear(run, &s);
    case STEP_EMIT: return emit(run, s.n, s.bytes);
    case STEP_FAIL:
        return asq_fail(run->ctx, ASQ_EUSER(s.code), "#%lld fails", (long long) run->node);
    }
    if (rc == 0 && s.must && (s.kind == STEP_CALL || s.kind == STEP_WAIT) &&
        asq_value_get_int(asq_list_get(run->outcomes, s.index), &of_outcome) == 0)
        rc = must_fail(run, (int) of_outcome, "a call");
    return rc;
}

/* Waits in a failing call for its pending results, so that none of its calls goes on without it. */
static int leave(struct run *run, int rc)
{
    for (int i = 0; i < GRAPH_SLOTS; i++)
        if (is_pending(&run->slots[i]) && !asq_ctx_canceled(run->ctx))
            asq_result_wait(run->slots[i].r, ASQ_FOREVER);
    return rc;
}

static int node_run(asq_ctx *ctx, void *self, const asq_value *args, asq_value **ret)
{
    struct run run = { .ctx = ctx,
                       .h = asq_ctx_handle(ctx),
                       .outcomes = asq_value_list(),
                       .notes = asq_value_list() };
    const asq_value *steps = NULL, *program = asq_list_get(args, 0);
    asq_value *inputs = asq_value_list();
    size_t next_outcome = 0, before = 3, ninputs = asq_list_size(args) - before;
    int64_t flaky;
    int rc, emits;

    (void) self;
    rc = asq_value_get_string(asq_list_get(args, 2), &run.given, NULL);
    if (rc == 0 &&
        (rc = asq_args(ctx, program, "[I, I, i, O]", &run.node, &flaky, &emits, &steps)) == 0)
        rc = add(&run, 1);
    if (rc == 0)
        rc = emit(&run, emits, 0);
    if (rc == 0 && asq_ctx_attempt(ctx) <= flaky)
        rc =
            asq_fail(ctx, ASQ_EUSER(GRAPH_FLAKY_CODE), "#%lld fails for now", (long long) run.node);
    for (size_t i = 0; i < ninputs && rc == 0; i++)
        if (asq_list_append(inputs, asq_value_int(node_digest(
                                        unwrap(i, ninputs, asq_list_get(args, before + i))))) < 0)
            rc = out_of_memory(&run);
    for (size_t i = 0; i < asq_list_size(steps) && rc == 0; i++)
        rc = run_step(&run, i, asq_list_get(steps, i), &next_outcome);
    if (rc < 0)
        rc = leave(&run, rc);
    else if (!(*ret = asq_pack("[I, O, O, O]", run.node, inputs, run.outcomes, run.notes)))
        rc = out_of_memory(&run);
    for (int i = 0; i < GRAPH_SLOTS; i++)
        asq_result_free(run.slots[i].r);
    asq_value_free(run.outcomes);
    asq_value_free(run.notes);
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
