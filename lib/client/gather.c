/*
 * gather.c: handles many results in the order of completion (asq_gather), and calls over a list of
 * inputs with a limit of calls under way (asq_call_each), or deletions over a list of ids
 * (asq_delete_many). Like a group it uses the results' callbacks and the mode's wait. What calls
 * emit comes to a queue of its own, and is told from here, also inside of a callback, where the
 * handle's are not.
 *
 * A method may run again, and must then make the same calls by the same statements. So the calls of
 * asq_call_each never depend on which one completes first: each input is a statement of its own, in
 * the order of the inputs, to the agent of its index. asq_call_each counts as one statement for
 * each input, also when it ends early, so that the method's later calls are recognised as well.
 */
#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "asqueue.h"
#include "client/handle.h"
#include "client/late.h"
#include "value/clock.h"
#include "value/error.h"
#include "value/list.h"
#include "value/sized_options.h"

enum { DEFAULT_LIMIT = 64, DELETIONS_LIMIT = 1024 };

/* A result being waited for. */
struct slot {
    struct asq__list node; /* in gather->in_flight, ->done or ->unused */
    struct gather *g;
    size_t index; /* of the result, or of the input */
    asq_result *r;
};

struct gather {
    asq *h;
    struct asq__list in_flight; /* oldest first */
    struct asq__list done;
    struct asq__list emitted; /* results with emitted values to be told */
    asq_each_emit_fn on_emit; /* NULL: nobody wants them */
    void *user;               /* of on_emit */
    int told_rc;              /* what it has returned, if not 0 */
    int64_t until_ms;
    bool all;                    /* ends only when all calls under way are done */
    char nobody[ASQ__LATE_TEXT]; /* of the wait whose time was up */
};

static void gather_init(struct gather *g, asq *h, int64_t timeout_ms, bool all)
{
    *g = (struct gather){ .h = h, .all = all, .until_ms = asq__deadline_ms(timeout_ms) };
    asq__list_init(&g->in_flight);
    asq__list_init(&g->done);
    asq__list_init(&g->emitted);
}

static void on_done(asq_result *r, void *user)
{
    struct slot *s = user;
    (void) r;
    asq__list_del(&s->node);
    asq__list_add(&s->g->done, &s->node);
}

static void tell(asq_result *r, int what, const asq_value *value, void *user)
{
    struct slot *s = user;
    struct gather *g = s->g;
    g->told_rc = g->on_emit(g->user, s->index, r, what, value);
    if (g->told_rc)
        asq__emit_unwatch(r);
}

static int watch(struct gather *g, struct slot *s, asq_result *r, size_t index)
{
    s->g = g;
    s->r = r;
    s->index = index;
    asq__list_add(&g->in_flight, &s->node);
    int rc = asq__result_then_at_once(r, on_done, s);
    if (rc < 0)
        asq__list_del(&s->node);
    else if (g->on_emit)
        rc = asq__emit_watch(r, tell, s, &g->emitted);
    return rc;
}

static struct slot *first_slot(const struct asq__list *list)
{
    return asq__list_empty(list) ? NULL : ASQ__CONTAINER(list->next, struct slot, node);
}

static struct slot *first_settled(const struct gather *g)
{
    ASQ__LIST_EACH (it, &g->done) {
        struct slot *s = ASQ__CONTAINER(it, struct slot, node);
        if (asq__result_is_settled(s->r))
            return s;
    }
    return NULL;
}

static bool has_due(void *arg)
{
    const struct gather *g = arg;
    return !asq__list_empty(&g->emitted) || first_settled(g);
}

enum asq__wait asq__gather_wait_results(bool (*ready)(void *arg), const void *arg,
                                        asq__wait_fn visit, void *user)
{
    const struct gather *g = arg;
    if (ready != has_due || !asq__list_empty(&g->done))
        return ASQ__WAIT_OTHER;
    ASQ__LIST_EACH (it, &g->in_flight)
        if (!visit(user, ASQ__CONTAINER(it, struct slot, node)->r))
            break;
    return g->all ? ASQ__WAIT_ALL : ASQ__WAIT_ANY;
}

static void unwatch(struct slot *s)
{
    s->r->fn = NULL;
    if (s->g->on_emit)
        asq__emit_unwatch(s->r);
    asq__list_del(&s->node);
}

static int wait_until_due(struct gather *g)
{
    int64_t left = ASQ_FOREVER;
    if (has_due(g))
        return 0;
    if (g->until_ms != INT64_MAX) {
        left = g->until_ms - asq__now_ms();
        left = left > 0 ? left : 0;
    }
    return asq__late_wait(g->h, has_due, g, left, g->nobody);
}

/* Waits for the next result to complete, and tells meanwhile what calls emit. */
static int next_done(struct gather *g, struct slot **ret)
{
    for (;;) {
        int rc = wait_until_due(g);
        if (rc < 0)
            return rc;
        while (!g->told_rc && !asq__list_empty(&g->emitted))
            asq__emit_tell(&g->emitted);
        if (g->told_rc)
            return g->told_rc;
        if ((*ret = first_settled(g)))
            break;
    }
    asq__list_del(&(*ret)->node);
    return 0;
}

/* Calls `fn`, which must not make calls in a method: their order would differ when the method runs
 * again. */
static int notify(asq *h, asq_gather_fn fn, void *user, const struct slot *s, size_t done, size_t n)
{
    if (!fn)
        return 0;
    h->notifying++;
    int rc = fn(user, s->index, s->r, done, n);
    h->notifying--;
    return rc;
}

/* ---- gather ---- */

int asq_gather(asq_result *const *results, size_t n, int64_t timeout_ms, asq_gather_fn fn,
               void *user)
{
    struct gather g;
    struct slot *slots, *s;
    size_t done = 0;
    int rc = 0;
    if (n == 0)
        return 0;
    if ((rc = asq__results_check(results, n, "asq_gather")) < 0)
        return rc;
    asq *h = results[0]->h;
    if (!(slots = calloc(n, sizeof *slots)))
        return asq__fail_memory(h);
    gather_init(&g, h, timeout_ms, !fn);
    for (size_t i = 0; i < n && rc == 0; i++)
        rc = watch(&g, &slots[i], results[i], i);
    while (rc == 0 && done < n) {
        rc = next_done(&g, &s);
        if (rc == 0)
            rc = notify(h, fn, user, s, ++done, n);
        else if (rc == ASQ_ETIMEOUT)
            asq__fail(h, rc, "%zu of %zu results have not come within %lld ms%s; their calls go on",
                      n - done, n, (long long) timeout_ms, g.nobody);
    }
    while ((s = first_slot(&g.in_flight)))
        unwatch(s);
    free(slots);
    return rc;
}

/* ---- each ---- */

struct each {
    struct gather g;
    asq_agent *const *agents;
    size_t nagents;
    const char *method;
    const asq_value *inputs;
    const char *const *ids; /* deletions of these instead; or NULL */
    size_t n, made, done, failed;
    struct asq__list unused; /* free slots: calls that may still start */
    asq_value *values;       /* NULL: not wanted */
    struct asq__error error; /* the failure to report */
    size_t error_index;
};

static int take_options(asq *h, const asq_each_options *given, asq_each_options *ret)
{
    char why[300];
    *ret = (asq_each_options) ASQ_EACH_OPTIONS_INIT;
    int rc =
        asq__sized_options_take(ret, sizeof *ret, given, "ASQ_EACH_OPTIONS_INIT", why, sizeof why);
    if (rc < 0)
        return asq__fail(h, rc, "asq_call_each: %s", why);
    if (ret->call && ret->call->no_result)
        return asq__fail(h, ASQ_EINVAL,
                         "asq_call_each: calls without a result cannot be waited for");
    if (!ret->limit)
        ret->limit = DEFAULT_LIMIT;
    if (!ret->timeout_ms)
        ret->timeout_ms = h->timeout_ms;
    return 0;
}

/* Makes the arguments of an input: a list or map as it is, any other value as the only argument. */
static asq_value *args_of(const asq_value *input)
{
    asq_type type = asq_value_type(input);
    if (type == ASQ_LIST || type == ASQ_MAP)
        return asq_value_copy(input);
    asq_value *args = asq_value_list();
    if (args && asq_list_append(args, asq_value_copy(input)) < 0) {
        asq_value_free(args);
        return NULL;
    }
    return args;
}

static int delete_next(const struct each *e, asq_result **ret)
{
    struct asq__job job = { .kind = ASQUEUE__JOB_KIND__DELETE,
                            .agent = e->ids[e->made],
                            .class_name = "",
                            .no_result = !ret };
    return asq__call_job(e->g.h, &job, ret);
}

static int call_next(const struct each *e, const asq_each_options *o, asq_result **ret)
{
    asq_value *args = args_of(asq_list_get(e->inputs, e->made));
    return args ? asq_callv(e->agents[e->made % e->nagents], e->method, o->call, args, ret)
                : asq__fail_memory(e->g.h);
}

/* Makes calls while a slot is free. */
static int make_calls(struct each *e, const asq_each_options *o)
{
    asq *h = e->g.h;
    int rc = 0;
    h->corked++;
    while (rc == 0 && e->made < e->n && first_slot(&e->unused)) {
        asq_result *r = NULL;
        rc = e->ids ? delete_next(e, &r) : call_next(e, o, &r);
        if (rc == 0) {
            struct slot *s = first_slot(&e->unused);
            asq__list_del(&s->node);
            rc = watch(&e->g, s, r, e->made++);
        }
    }
    int flushed = asq_uncork(h);
    if (rc == ASQ_EBUSY && !h->mode->repeats && e->done < e->made)
        rc = 0; /* room appears when some calls are done */
    return rc < 0 ? rc : flushed;
}

static void note_failure(struct each *e, const struct slot *s)
{
    const asq_error *error = asq_result_error(s->r);
    if (e->failed++ && s->index > e->error_index)
        return;
    asq_error named = *error;
    struct asq__error message;
    asq__error_init(&message);
    if (!e->ids) {
        asq__error_set(&message, error->code, "input %zu: %s", s->index, error->message);
        named.message = message.pub.message;
    }
    asq__error_copy(&e->error, &named);
    asq__error_clear(&message);
    e->error_index = s->index;
}

/* Handles the end of one call. */
static int take_result(struct each *e, const asq_each_options *o, struct slot *s)
{
    bool failed = asq_result_error(s->r)->code != 0;
    if (failed)
        note_failure(e, s);
    int rc = notify(e->g.h, o->fn, o->user, s, ++e->done, e->n);
    if (rc == 0 && failed && !o->all)
        rc = e->error.pub.code;
    if (rc == 0 && !failed && e->values) {
        asq_value *v;
        rc = asq_result_take(s->r, &v);
        if (rc == 0 && asq_list_set(e->values, s->index, v) < 0)
            rc = asq__fail_memory(e->g.h);
    }
    asq_result_free(s->r);
    asq__list_add(&e->unused, &s->node);
    return rc;
}

/* Counts the calls that were not made as statements. */
static void count_unmade(const struct each *e)
{
    for (size_t i = e->made; i < e->n && e->g.h->mode->repeats; i++)
        e->g.h->mode->submit(e->g.h, NULL, 0);
}

static int run_each(struct each *e, const asq_each_options *o)
{
    int rc = 0;
    while (rc == 0 && e->done < e->n) {
        struct slot *s;
        rc = make_calls(e, o);
        if (rc == 0)
            rc = next_done(&e->g, &s);
        if (rc == ASQ_ETIMEOUT)
            asq__fail(e->g.h, rc,
                      "%zu of %zu calls of %s are not done after %lld ms%s, and %zu were not made",
                      e->made - e->done, e->n, e->method, (long long) o->timeout_ms, e->g.nobody,
                      e->n - e->made);
        if (rc == 0)
            rc = take_result(e, o, s);
    }
    /* Unfinished calls go on, but their results are dropped. */
    struct slot *s;
    while ((s = first_slot(&e->g.in_flight)) || (s = first_slot(&e->g.done))) {
        unwatch(s);
        asq_result_free(s->r);
    }
    count_unmade(e);
    return rc;
}

static asq_value *null_list(size_t n)
{
    asq_value *list = asq_value_list();
    for (size_t i = 0; list && i < n; i++)
        if (asq_list_append(list, asq_value_null()) < 0) {
            asq_value_free(list);
            return NULL;
        }
    return list;
}

int asq_call_each(asq_agent *const *agents, size_t nagents, const char *method,
                  const asq_value *inputs, const asq_each_options *options, asq_value **ret)
{
    struct each e = { .agents = agents, .nagents = nagents, .method = method, .inputs = inputs };
    struct slot *slots = NULL;
    asq_each_options o;
    if (nagents == 0)
        return ASQ_EINVAL;
    int rc = asq__agents_check(agents, nagents, "asq_call_each");
    if (rc < 0)
        return rc;
    asq *h = agents[0]->h;
    if (asq_value_type(inputs) != ASQ_LIST)
        return asq__fail(h, ASQ_EINVAL, "asq_call_each: the inputs are a value of type %s, no list",
                         asq_type_name(asq_value_type(inputs)));
    if ((rc = take_options(h, options, &o)) < 0)
        return rc;
    e.n = asq_list_size(inputs);
    gather_init(&e.g, h, o.timeout_ms, o.all && !o.fn);
    e.g.on_emit = o.on_emit;
    e.g.user = o.user;
    asq__list_init(&e.unused);
    asq__error_init(&e.error);
    size_t nslots = e.n < o.limit ? e.n : o.limit;
    if ((ret && !(e.values = null_list(e.n))) || !(slots = calloc(nslots + 1, sizeof *slots))) {
        rc = asq__fail_memory(h);
        goto out;
    }
    for (size_t i = 0; i < nslots; i++)
        asq__list_add(&e.unused, &slots[i].node);
    rc = run_each(&e, &o);
    if (e.failed && (rc == 0 || rc == e.error.pub.code))
        asq__fail_from(h, &e.error.pub);
    if (rc == 0 && ret) {
        *ret = e.values;
        e.values = NULL;
    }
    if (rc == 0)
        rc = e.failed > INT_MAX ? INT_MAX : (int) e.failed;
out:
    asq_value_free(e.values);
    asq__error_clear(&e.error);
    free(slots);
    return rc;
}

/* ---- deletions ---- */

static int take_delete_options(asq *h, const asq_delete_options *given, asq_delete_options *ret)
{
    char why[300];
    *ret = (asq_delete_options) ASQ_DELETE_OPTIONS_INIT;
    int rc = asq__sized_options_take(ret, sizeof *ret, given, "ASQ_DELETE_OPTIONS_INIT", why,
                                     sizeof why);
    if (rc < 0)
        return asq__fail(h, rc, "asq_delete_many: %s", why);
    if (!ret->limit)
        ret->limit = DELETIONS_LIMIT;
    if (!ret->timeout_ms)
        ret->timeout_ms = h->timeout_ms;
    return 0;
}

static int check_ids(asq *h, size_t n, const char *const *ids)
{
    char why[300];
    for (size_t i = 0; i < n; i++) {
        int rc = asq__check_id(ids[i], why, sizeof why);
        if (rc < 0)
            return asq__fail(h, rc, "asq_delete_many: id %zu of %zu: %s; nothing was deleted",
                             i + 1, n, why);
    }
    return 0;
}

/* Has Redis accept deletions whose outcome nobody reads, `limit` of them at a time. */
static int delete_unwatched(struct each *e, size_t limit)
{
    asq *h = e->g.h;
    int rc = 0;
    while (rc == 0 && e->made < e->n) {
        size_t end = e->n - e->made < limit ? e->n : e->made + limit;
        h->corked++;
        for (; rc == 0 && e->made < end; e->made += rc == 0)
            rc = delete_next(e, NULL);
        int flushed = asq_uncork(h);
        if (rc == 0)
            rc = flushed;
        int64_t left = e->g.until_ms - asq__now_ms();
        if (rc == 0)
            rc = asq__handle_flush(h, e->g.until_ms == INT64_MAX ? ASQ_FOREVER
                                      : left > 0                 ? left
                                                                 : 0);
    }
    count_unmade(e);
    return rc;
}

int asq_delete_many(asq *h, size_t n, const char *const *ids, const asq_delete_options *options)
{
    struct each e = { .ids = ids, .n = n, .method = "delete" };
    struct slot *slots = NULL;
    asq_delete_options given;
    if (!h || (n && !ids))
        return asq__null(h, "asq_delete_many");
    int rc = take_delete_options(h, options, &given);
    if (rc == 0)
        rc = check_ids(h, n, ids);
    if (rc < 0 || n == 0)
        return rc;
    gather_init(&e.g, h, given.timeout_ms, !given.fn);
    if (given.no_wait)
        return delete_unwatched(&e, given.limit);
    asq_each_options o = ASQ_EACH_OPTIONS_INIT;
    o.all = true;
    o.limit = given.limit;
    o.timeout_ms = given.timeout_ms;
    o.fn = given.fn;
    o.user = given.user;
    asq__list_init(&e.unused);
    asq__error_init(&e.error);
    size_t nslots = n < o.limit ? n : o.limit;
    if (!(slots = calloc(nslots, sizeof *slots)))
        return asq__fail_memory(h);
    for (size_t i = 0; i < nslots; i++)
        asq__list_add(&e.unused, &slots[i].node);
    rc = run_each(&e, &o);
    if (rc == 0 && e.failed) {
        asq__fail_from(h, &e.error.pub);
        rc = e.failed > INT_MAX ? INT_MAX : (int) e.failed;
    }
    asq__error_clear(&e.error);
    free(slots);
    return rc;
}
