/*
 * check_witness.c: checks the notes of the witness, which has seen every run of every call begin
 * and end. A run whose item is in a state was committed. Each committed run has an end, no call has
 * two of them, and on one agent each ends before the next begins. Otherwise two owners ran the
 * agent at the same time, and both committed.
 *
 * A payment (S) is the effect of a step, and K its id once the step has its record. After that the
 * call pays no more, unless a former owner was in the step: then the epoch is lower than that of
 * the record, and who counts payments refuses it.
 */
#include "check.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct run {
    char agent[32], call[128], run[40], worker[64];
    uint64_t epoch;
    size_t entered, left; /* places among the notes, from 1; 0: never */
    bool failed;
};

struct runs {
    struct run *r;
    size_t n, cap;
};

static int by_run(const void *a, const void *b)
{
    return strcmp(((const struct run *) a)->run, ((const struct run *) b)->run);
}

/* Adds a note of one run: E, then X or F; or of a payment: S, or K. The notes of a run are joined
 * after sorting. */
static void add_note(struct runs *all, const char *note, size_t place)
{
    struct run *r;
    char what;

    if (all->n == all->cap) {
        all->cap = all->cap ? 2 * all->cap : 8192;
        if (!(all->r = realloc(all->r, all->cap * sizeof *all->r)))
            sup_fail("out of memory");
    }
    r = &all->r[all->n];
    memset(r, 0, sizeof *r);
    if (sscanf(note, "%c %31s %127s %39s %" SCNu64 " %63s", &what, r->agent, r->call, r->run,
               &r->epoch, r->worker) != 6)
        sup_fail("witness: what is %s?", note);
    if (what == 'E' || what == 'S')
        r->entered = place;
    else if (what == 'X' || what == 'K')
        r->left = place;
    else
        r->failed = true; /* no effect */
    all->n++;
}

static void read_notes(struct deployment *d, struct runs *all, struct runs *payments)
{
    enum { PIECE = 5000 };
    size_t place = 0, n;

    do {
        redisReply *reply =
            sup_redis_reply(d->witness, "LRANGE runs %d %d", (int) place, (int) place + PIECE - 1);
        n = reply->elements;
        for (size_t i = 0; i < n; i++)
            add_note(strchr("SK", *reply->element[i]->str) ? payments : all, reply->element[i]->str,
                     ++place);
        freeReplyObject(reply);
    } while (n == PIECE);
}

static void join_notes(struct runs *all)
{
    size_t n = 0;

    qsort(all->r, all->n, sizeof *all->r, by_run);
    for (size_t i = 0; i < all->n; i++)
        if (n > 0 && by_run(&all->r[n - 1], &all->r[i]) == 0) {
            all->r[n - 1].entered += all->r[i].entered;
            all->r[n - 1].left += all->r[i].left;
            all->r[n - 1].failed |= all->r[i].failed;
        } else {
            all->r[n++] = all->r[i];
        }
    all->n = n;
}

static const struct run *find(const struct runs *all, const char *id)
{
    struct run key = { 0 };

    snprintf(key.run, sizeof key.run, "%s", id);
    return bsearch(&key, all->r, all->n, sizeof *all->r, by_run);
}

static int by_call(const void *a, const void *b)
{
    const struct entry *x = *(const struct entry *const *) a, *y = *(const struct entry *const *) b;

    return strcmp(x->call, y->call);
}

static void check_calls(struct deployment *d, const struct entries *all)
{
    const struct entry **sorted = calloc(all->n + 1, sizeof *sorted);

    if (!sorted)
        sup_fail("out of memory");
    for (size_t i = 0; i < all->n; i++)
        sorted[i] = &all->e[i];
    qsort(sorted, all->n, sizeof *sorted, by_call);
    for (size_t i = 1; i < all->n; i++)
        if (by_call(&sorted[i - 1], &sorted[i]) == 0)
            anomaly(d, "call %s was committed twice: %s in %s, run %s, and %s in %s, run %s",
                    sorted[i]->call, sorted[i - 1]->item, sorted[i - 1]->agent, sorted[i - 1]->run,
                    sorted[i]->item, sorted[i]->agent, sorted[i]->run);
    free(sorted);
}

/* ---- payments: of each, `entered` is the place of S, and `left` that of K ---- */

static int by_payment(const void *a, const void *b)
{
    const struct run *x = a, *y = b;
    int c = strcmp(x->call, y->call);
    size_t px = x->entered + x->left, py = y->entered + y->left;

    return c ? c : (px > py) - (px < py);
}

/* Checks the notes of one call, in their order. A payment with a lower epoch than one before it is
 * refused by who counts them. */
static void check_payments_of(struct deployment *d, const struct run *r, size_t n)
{
    const struct run *last = NULL, *known = NULL; /* payment that counts; first K */

    for (size_t i = 0; i < n; i++) {
        bool pays = r[i].entered;
        if (pays && (!last || r[i].epoch >= last->epoch)) {
            if (known && r[i].epoch >= known->epoch)
                anomaly(d,
                        "call %s has paid %s in epoch %" PRIu64 ", and its payment %s had been "
                        "recorded in epoch %" PRIu64,
                        r[i].call, r[i].run, r[i].epoch, known->run, known->epoch);
            last = &r[i];
        }
        if (!pays && !known && (!last || strcmp(last->run, r[i].run) != 0))
            anomaly(d, "call %s has recorded payment %s, and made %s", r[i].call, r[i].run,
                    last ? last->run : "none");
        if (!pays && known && strcmp(known->run, r[i].run) != 0)
            anomaly(d, "call %s has recorded payments %s and %s", r[i].call, known->run, r[i].run);
        if (!pays && !known)
            known = &r[i];
    }
}

static bool has_paid(const struct runs *payments, const char *call)
{
    size_t low = 0, high = payments->n;

    while (low < high) {
        size_t middle = (low + high) / 2;
        if (strcmp(payments->r[middle].call, call) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    for (; low < payments->n && strcmp(payments->r[low].call, call) == 0; low++)
        if (payments->r[low].left)
            return true;
    return false;
}

static void check_payments(struct deployment *d, struct runs *payments, const struct entries *all)
{
    qsort(payments->r, payments->n, sizeof *payments->r, by_payment);
    for (size_t i = 0, n; i < payments->n && !d->lossy; i += n) {
        for (n = 1;
             i + n < payments->n && strcmp(payments->r[i + n].call, payments->r[i].call) == 0;)
            n++;
        check_payments_of(d, &payments->r[i], n);
    }
    for (size_t i = 0; i < all->n; i++)
        if (strncmp(all->e[i].agent, "step-", 5) == 0 && !has_paid(payments, all->e[i].call))
            anomaly(d, "%s has %s, and its call %s has recorded no payment", all->e[i].agent,
                    all->e[i].item, all->e[i].call);
}

void check_witness(struct deployment *d, const struct entries *all, struct outcome *ret)
{
    struct runs runs = { NULL, 0, 0 }, payments = { NULL, 0, 0 };
    const struct run *before = NULL;
    size_t logged = 0;

    read_notes(d, &runs, &payments);
    join_notes(&runs);
    check_calls(d, all);
    for (size_t i = 0; i < all->n; i++) {
        const struct entry *e = &all->e[i];
        const struct run *r = find(&runs, e->run);
        if (!r || !r->entered || !r->left) {
            anomaly(d, "witness: %s in %s was committed by run %s, which %s", e->item, e->agent,
                    e->run, r && r->entered ? "never left its method" : "nobody saw");
            before = NULL;
            continue;
        }
        if (i > 0 && before && strcmp(e->agent, e[-1].agent) == 0 && r->entered < before->left)
            anomaly(d,
                    "witness: on %s, call %s (%s, epoch %" PRIu64
                    ") began before call %s (%s, epoch "
                    "%" PRIu64 ") had ended, and both were committed",
                    e->agent, e->call, r->worker, r->epoch, before->call, before->worker,
                    before->epoch);
        before = r;
    }
    for (size_t i = 0; i < runs.n; i++) /* counters keep no log */
        logged += !runs.r[i].failed && strncmp(runs.r[i].agent, "counter", 7) != 0;
    ret->reruns += (unsigned) (logged > all->n ? logged - all->n : 0);
    check_payments(d, &payments, all);
    free(payments.r);
    free(runs.r);
}
