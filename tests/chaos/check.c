/*
 * check.c: compares the outcomes that callers were told (history.c) with the final states of the
 * agents, as read-only calls return them and as they stand in Redis, and passes the logs to
 * check_witness.c. If Redis has lost its last writes, acknowledged effects may be missing, which
 * are counted; everything else has to be consistent. If each part of a Cluster has lost its own,
 * calls may also lack those that they made, or be missing where those are.
 */
#include "check.h"
#include "faults.h"

#include <asqueue.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int by_item(const void *a, const void *b)
{
    const struct entry *x = a, *y = b;
    int c = strcmp(x->item, y->item);

    return c ? c : strcmp(x->agent, y->agent);
}

static int by_place(const void *a, const void *b)
{
    const struct entry *x = a, *y = b;
    int c = strcmp(x->agent, y->agent);

    return c ? c : (x->place > y->place) - (x->place < y->place);
}

/* ---- final states ---- */

static struct entry *new_entry(struct entries *all)
{
    if (all->n == all->cap) {
        all->cap = all->cap ? 2 * all->cap : 4096;
        if (!(all->e = realloc(all->e, all->cap * sizeof *all->e)))
            sup_fail("out of memory");
    }
    memset(&all->e[all->n], 0, sizeof *all->e);
    return &all->e[all->n++];
}

static void read_log(struct deployment *d, struct entries *all, const char *agent,
                     const asq_value *log)
{
    const char *text;

    for (size_t i = 0; i < asq_list_size(log); i++) {
        struct entry *e = new_entry(all);
        snprintf(e->agent, sizeof e->agent, "%s", agent);
        e->place = i;
        if (asq_value_get_string(asq_list_get(log, i), &text, NULL) < 0 ||
            sscanf(text, "%47s %127s %" SCNu64 " %63s %39s", e->item, e->call, &e->epoch, e->worker,
                   e->run) != 5) {
            anomaly(d, "%s: a log entry that nobody wrote", agent);
            all->n--;
        }
    }
}

/* Reads the state by a call; it must equal that of Redis. */
static void read_agent(struct deployment *d, asq *h, const char *name, struct entries *all,
                       int64_t *ret_n)
{
    asq_agent *a = NULL;
    asq_value *seen = NULL, *shown = NULL;
    const asq_value *state;
    int rc;

    *ret_n = 0;
    if ((rc = asq_attach(h, name, &a)) < 0 || (rc = asq_call_wait(a, "get", &seen, NULL)) < 0 ||
        (rc = asq_show(h, name, &shown)) < 0) {
        anomaly(d, "%s cannot be read: %s: %s", name, asq_error_name(rc), asq_errmsg(h));
    } else {
        state = asq_map_get(shown, "state");
        if (!asq_value_equal(seen, state) &&
            !(asq_map_size(seen) == 0 && (!state || asq_value_type(state) == ASQ_NULL)))
            anomaly(d, "%s: the state in memory is not the one in Redis", name);
        *ret_n = asq_map_int(seen, "n");
        read_log(d, all, name, asq_map_get(seen, "log"));
    }
    asq_value_free(seen);
    asq_value_free(shown);
    asq_agent_free(a);
}

static void check_dead_letters(struct deployment *d, asq *h)
{
    asq_value *dead = NULL;

    if (asq_dead_list(h, 0, &dead) < 0) {
        anomaly(d, "dead letters: %s", asq_errmsg(h));
        return;
    }
    for (size_t i = 0; i < asq_list_size(dead); i++) {
        const char *call = "?", *reason = "?";
        asq_unpack(asq_list_get(dead, i), "{s:s, s:s}", "call", &call, "reason", &reason);
        anomaly(d, "a dead letter: %s: %s", call, reason);
    }
    asq_value_free(dead);
}

/* ---- comparison with the history ---- */

struct index_entry {
    const struct effect *effect;
    struct op *op;
};

static int by_effect(const void *a, const void *b)
{
    const struct effect *x = ((const struct index_entry *) a)->effect;
    const struct effect *y = ((const struct index_entry *) b)->effect;
    int c = strcmp(x->item, y->item);

    return c ? c : strcmp(x->agent, y->agent);
}

/* Checks that every entry was asked for, and occurs once. */
static void match(struct deployment *d, struct history *h, struct entries *all)
{
    struct index_entry *index;
    size_t n = 0;

    for (size_t i = 0; i < h->n; i++)
        n += h->ops[i].n_effects;
    if (!(index = calloc(n + 1, sizeof *index)))
        sup_fail("out of memory");
    n = 0;
    for (size_t i = 0; i < h->n; i++)
        for (size_t k = 0; k < h->ops[i].n_effects; k++)
            index[n++] = (struct index_entry){ &h->ops[i].effects[k], &h->ops[i] };
    qsort(index, n, sizeof *index, by_effect);
    qsort(all->e, all->n, sizeof *all->e, by_item);
    for (size_t i = 0; i < all->n; i++) {
        struct entry *e = &all->e[i];
        struct effect key = { e->agent, e->item, 0 };
        struct index_entry wanted = { &key, NULL }, *found;
        found = bsearch(&wanted, index, n, sizeof *index, by_effect);
        if (!found) {
            anomaly(d, "%s has %s, which nobody asked for", e->agent, e->item);
            continue;
        }
        ((struct effect *) (uintptr_t) found->effect)->seen++;
        if (i > 0 && by_item(&e[-1], e) == 0)
            anomaly(d,
                    "%s has %s twice: call %s epoch %" PRIu64
                    " worker %s run %s, and call %s epoch "
                    "%" PRIu64 " worker %s run %s",
                    e->agent, e->item, e[-1].call, e[-1].epoch, e[-1].worker, e[-1].run, e->call,
                    e->epoch, e->worker, e->run);
    }
    free(index);
}

/* Returns true if a nested call's outcome is unknown, which makes its caller's unknown. */
static bool may_be_inconsistent(const struct op *op)
{
    return op->workload == BANK && op->n_effects && op->outcome == 'u' && op->code != 0;
}

static void check_op(struct deployment *d, struct op *op, struct outcome *ret)
{
    const char *name = workload_names[op->workload];
    size_t seen = 0;

    for (size_t k = 0; k < op->n_effects; k++)
        seen += op->effects[k].seen > 0;
    /* Emits and promises that Redis has forgotten may come again, in another way. */
    if (op->outcome == 'b' && !(d->lossy && (op->workload == PROMISE || op->workload == PROGRESS)))
        anomaly(d, "%s %s: %s", name, op->id, op->text);
    ret->promises_lost += op->outcome == 'b' && op->workload == PROMISE;
    if (op->workload == STEP && op->code == ASQ_EINTERRUPTED && !d->lossy)
        anomaly(d, "step %s: its records are gone: %s", op->id, op->text);
    if (op->workload == COUNTER || op->n_effects == 0)
        return;
    if (op->outcome == 'o' && op->workload != SEND && seen < op->n_effects) {
        ret->lost += (unsigned) (op->n_effects - seen);
        for (size_t k = 0; k < op->n_effects && !d->lossy; k++)
            if (!op->effects[k].seen)
                anomaly(d, "%s %s: ok, but %s is not in %s", name, op->id, op->effects[k].item,
                        op->effects[k].agent);
    }
    if (op->outcome == 'f' && op->effects[0].seen && !d->lossy)
        anomaly(d, "%s %s: failed (%d %s), but %s is in %s", name, op->id, op->code, op->text,
                op->effects[0].item, op->effects[0].agent);
    if (d->parts_lossy)
        return;
    if (op->effects[0].seen && seen < op->n_effects)
        anomaly(d, "%s %s (%c): took effect, but only %zu of its %zu calls did", name, op->id,
                op->outcome, seen, op->n_effects);
    if (op->workload == BANK && !op->effects[0].seen && op->effects[1].seen &&
        !may_be_inconsistent(op))
        anomaly(d, "bank %s (%c %d %s): %s got what %s did not give", op->id, op->outcome, op->code,
                op->text ? op->text : "", op->effects[1].agent, op->effects[0].agent);
}

/* Checks that what callers have read is still there: in entries by agent and place. */
static void check_sights(struct deployment *d, const struct history *h, const struct entries *all,
                         struct outcome *ret)
{
    for (size_t i = 0; i < h->n_sights; i++) {
        const struct sight *s = &h->sights[i];
        struct entry key = { .place = s->n - 1 };
        const struct entry *e;
        snprintf(key.agent, sizeof key.agent, "%s", s->agent);
        e = bsearch(&key, all->e, all->n, sizeof *all->e, by_place);
        if (e && strcmp(e->run, s->run) == 0)
            continue;
        ret->taken_back++;
        if (!d->lossy)
            anomaly(d, "%s: entry %zu was seen, of run %s, and is %s now", s->agent, s->n, s->run,
                    e ? e->run : "missing");
    }
}

/* Checks that accepted sends are there, except sends that were reported as lost later. */
static void check_sends(struct deployment *d, const struct history *h)
{
    bool refuses = faults_include(d->plan->faults, "memory,readonly");
    unsigned missing = 0;

    for (size_t i = 0; i < h->n; i++) {
        const struct op *op = &h->ops[i];
        if (i > 0 && op->caller != h->ops[i - 1].caller)
            missing = 0;
        if (op->workload != SEND || op->outcome != 'o' || op->effects[0].seen)
            continue;
        if (++missing > h->callers[op->caller].told && (h->callers[op->caller].ended || !refuses))
            anomaly(d, "send %s: ok, but %s is not in %s", op->id, op->effects[0].item,
                    op->effects[0].agent);
    }
}

/* Checks that items "a7.12" of one caller stand in the order of their numbers. */
static void check_order(struct deployment *d, struct entries *all)
{
    enum { CALLERS = 4096 };
    static long last[CALLERS];

    qsort(all->e, all->n, sizeof *all->e, by_place);
    for (size_t i = 0; i < all->n; i++) {
        const struct entry *e = &all->e[i];
        int caller;
        long number;
        if (i == 0 || strcmp(e->agent, e[-1].agent) != 0)
            for (int c = 0; c < CALLERS; c++)
                last[c] = -1;
        if ((e->item[0] != 'a' && e->item[0] != 's') ||
            sscanf(e->item + 1, "%d.%ld", &caller, &number) != 2 || caller >= CALLERS)
            continue;
        if (number < last[caller])
            anomaly(d, "%s: %s stands after number %ld of the same caller", e->agent, e->item,
                    last[caller]);
        last[caller] = number;
    }
}

/* Checks that epochs only grow, and each has one owner. */
static void check_epochs(struct deployment *d, const struct entries *all)
{
    for (size_t i = 1; i < all->n; i++) {
        const struct entry *e = &all->e[i];
        if (strcmp(e->agent, e[-1].agent) != 0)
            continue;
        if (e->epoch < e[-1].epoch)
            anomaly(d,
                    "%s: %s of epoch %" PRIu64 " (%s) was committed after %s of epoch %" PRIu64
                    " (%s)",
                    e->agent, e->item, e->epoch, e->worker, e[-1].item, e[-1].epoch, e[-1].worker);
        if (e->epoch == e[-1].epoch && strcmp(e->worker, e[-1].worker) != 0)
            anomaly(d, "%s: epoch %" PRIu64 " has two owners, %s and %s", e->agent, e->epoch,
                    e->worker, e[-1].worker);
    }
}

static int by_value(const void *a, const void *b)
{
    int64_t x = *(const int64_t *) a, y = *(const int64_t *) b;

    return (x > y) - (x < y);
}

/* Checks that each successful call counts once, and has returned another number than the others. */
static void check_counter(struct deployment *d, const struct history *h, const char *name,
                          int64_t n, struct outcome *ret)
{
    int64_t ok = 0, unknown = 0, *values = calloc(h->n + 1, sizeof *values);

    if (!values)
        sup_fail("out of memory");
    for (size_t i = 0; i < h->n; i++) {
        const struct op *op = &h->ops[i];
        if (op->workload != COUNTER || strcmp(op->effects[0].agent, name) != 0)
            continue;
        if (op->outcome == 'o')
            values[ok++] = op->value;
        else
            unknown += op->outcome == 'u';
    }
    ret->lost += n < ok ? (unsigned) (ok - n) : 0;
    if (!d->lossy && (n < ok || n > ok + unknown))
        anomaly(d, "%s is %" PRId64 "; %" PRId64 " calls were ok, %" PRId64 " are unknown", name, n,
                ok, unknown);
    qsort(values, (size_t) ok, sizeof *values, by_value);
    for (int64_t i = 0; i < ok && !d->lossy; i++)
        if (values[i] < 1 || values[i] > n || (i > 0 && values[i] == values[i - 1]))
            anomaly(d, "%s: a call got the value %" PRId64 "%s", name, values[i],
                    i > 0 && values[i] == values[i - 1] ? ", as another one did" : "");
    free(values);
}

static void count(struct deployment *d, const struct history *h, struct outcome *ret)
{
    enum { CODES = 64 };
    int codes[CODES], n = 0;
    unsigned times[CODES];
    const char *texts[CODES];

    for (size_t i = 0; i < h->n; i++) {
        const struct op *op = &h->ops[i];
        int k = 0;
        ret->calls++;
        ret->ok += op->outcome == 'o' || (op->outcome == 'f' && op->code == ASQ_EUSER(1));
        ret->failed += op->outcome == 'f' && op->code != ASQ_EUSER(1);
        ret->unknown += op->outcome == 'u';
        if ((op->outcome != 'f' && op->outcome != 'u') || op->code == ASQ_EUSER(1))
            continue;
        while (k < n && codes[k] != op->code)
            k++;
        if (k == n && n < CODES) {
            codes[n] = op->code;
            times[n] = 0;
            texts[n++] = op->text ? op->text : "";
        }
        if (k < n)
            times[k]++;
    }
    for (int k = 0; k < n && d->plan->verbose; k++)
        printf("  %u x %d %s\n", times[k], codes[k], texts[k]);
}

void check_round(struct deployment *d, struct outcome *ret)
{
    asq_options options = ASQ_OPTIONS_INIT;
    struct entries all = { NULL, 0, 0 };
    static struct history history;
    int64_t n, total = 0;
    char err[512], name[32];
    bool inconsistent = d->parts_lossy;
    asq *h;

    options.timeout_ms = 2 * sup_limit_ms();
    history_read(&history, d->dir);
    count(d, &history, ret);
    if (asq_open(d->url, &options, &h, err, sizeof err) < 0)
        sup_fail("asq_open: %s", err);
    for (int w = 0; w < WORKLOADS; w++)
        for (int i = 0; d->plan->workloads[w] && i < workload_agents[w]; i++) {
            agent_name(name, sizeof name, w, i);
            read_agent(d, h, name, &all, &n);
            if (w == COUNTER)
                check_counter(d, &history, name, n, ret);
            if (w == BANK)
                total += n;
        }
    check_dead_letters(d, h);
    asq_close(h);
    match(d, &history, &all);
    for (size_t i = 0; i < history.n; i++) {
        check_op(d, &history.ops[i], ret);
        inconsistent |= may_be_inconsistent(&history.ops[i]);
    }
    if (total != 0 && !inconsistent)
        anomaly(d, "bank: the total is %" PRId64 ", not 0", total);
    for (size_t i = 0; i < history.n && !inconsistent; i++)
        if (history.ops[i].workload == BANK && history.ops[i].n_effects == 0 &&
            history.ops[i].outcome == 'o' && history.ops[i].value != 0)
            anomaly(d, "bank %s: an audit saw the total %" PRId64 ", not 0", history.ops[i].id,
                    history.ops[i].value);
    if (!d->lossy)
        check_sends(d, &history);
    check_order(d, &all);
    check_sights(d, &history, &all, ret);
    if (!d->lossy)
        check_epochs(d, &all);
    check_witness(d, &all, ret);
    free(all.e);
    history_free(&history);
}
