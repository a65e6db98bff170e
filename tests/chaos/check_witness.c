/*
 * check_witness.c: checks the notes of the witness, which has seen every run of every call begin
 * and end. A run whose item is in a state was committed. Each committed run has an end, no call has
 * two of them, and on one agent each ends before the next begins. Otherwise two owners ran the
 * agent at the same time, and both committed.
 */
#include "check.h"

#include <inttypes.h>
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

/* Adds a note of one run: E, then X or F. The notes of a run are joined after sorting. */
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
    if (what == 'E')
        r->entered = place;
    else if (what == 'X')
        r->left = place;
    else
        r->failed = true; /* no effect */
    all->n++;
}

static void read_notes(struct deployment *d, struct runs *all)
{
    enum { PIECE = 5000 };
    size_t place = 0, n;

    do {
        redisReply *reply =
            sup_redis_reply(d->witness, "LRANGE runs %d %d", (int) place, (int) place + PIECE - 1);
        n = reply->elements;
        for (size_t i = 0; i < n; i++)
            add_note(all, reply->element[i]->str, ++place);
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

void check_witness(struct deployment *d, const struct entries *all, struct outcome *ret)
{
    struct runs runs = { NULL, 0, 0 };
    const struct run *before = NULL;
    size_t logged = 0;

    read_notes(d, &runs);
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
    free(runs.r);
}
