/*
 * ranking.c: see ranking.h. A rank is always the beginning of the order of all workers: one that
 * goes is taken out of it, and one that comes is put in where its place is known. A rank that
 * becomes too short is made anew.
 */
#include "worker/core/ranking.h"

#include <stdlib.h>
#include <string.h>

#include "asqueue.h"
#include "value/pools.h"
#include "worker/core/score.h"

enum { GONE = UINT32_MAX, TOO_SHORT = ASQ__RANKED / 2 };

static int compare(const void *a, const void *b)
{
    const struct asq__ranked_worker *x = a, *y = b;
    if (x->hash != y->hash)
        return x->hash < y->hash ? -1 : 1;
    return (x->weight > y->weight) - (x->weight < y->weight);
}

/* Puts a worker into a rank that has those before it in the list of workers, or returns without it
 * when it is behind all that the rank can hold or knows. */
static void consider(const struct asq__ranking *r, struct asq__rank *rank, uint32_t p, uint32_t of)
{
    const struct asq__ranked_worker *w = &r->workers[of];
    double u = asq__score_chance(w->hash, p);
    bool can_append = rank->all && rank->n < ASQ__RANKED;
    if (!can_append && (!rank->n || asq__score_is_above(u, w->weight, rank->scores[rank->n - 1]))) {
        rank->all = false;
        return;
    }
    double score = asq__score(u, w->weight);
    int at = rank->n;
    while (at && (score < rank->scores[at - 1] ||
                  (score <= rank->scores[at - 1] && of < rank->workers[at - 1])))
        at--;
    rank->all = can_append;
    if (at == rank->n && !can_append)
        return;
    rank->n += rank->n < ASQ__RANKED;
    for (int i = rank->n - 1; i > at; i--) {
        rank->scores[i] = rank->scores[i - 1];
        rank->workers[i] = rank->workers[i - 1];
    }
    rank->scores[at] = score;
    rank->workers[at] = of;
}

static void remove_gone(struct asq__rank *rank, const uint32_t *now)
{
    int n = 0;
    for (int i = 0; i < rank->n; i++) {
        uint32_t of = now[rank->workers[i]];
        if (of == GONE)
            continue;
        rank->scores[n] = rank->scores[i];
        rank->workers[n++] = of;
    }
    rank->n = (uint8_t) n;
}

/* Where the workers of the last update are in the new list, and which of this are new. */
struct changes {
    uint32_t *now; /* GONE: nowhere */
    uint32_t *come;
    size_t ncome;
    bool any_gone;
};

static void find_changes(const struct asq__ranking *r, const struct asq__ranked_worker *list,
                         size_t n, struct changes *c)
{
    size_t old = 0;
    for (size_t i = 0; i < n; i++) {
        for (; old < r->n && compare(&r->workers[old], &list[i]) < 0; c->any_gone = true)
            c->now[old++] = GONE;
        if (old < r->n && compare(&r->workers[old], &list[i]) == 0)
            c->now[old++] = (uint32_t) i;
        else
            c->come[c->ncome++] = (uint32_t) i;
    }
    for (; old < r->n; c->any_gone = true)
        c->now[old++] = GONE;
}

static void apply(const struct asq__ranking *r, const struct changes *c)
{
    for (uint32_t i = 0; i < r->partitions; i++) {
        struct asq__rank *rank = &r->ranks[i];
        remove_gone(rank, c->now);
        for (size_t k = 0; k < c->ncome; k++)
            consider(r, rank, r->first + i, c->come[k]);
        if (rank->all || rank->n >= TOO_SHORT)
            continue;
        *rank = (struct asq__rank){ .all = true };
        for (uint32_t k = 0; k < r->n; k++)
            consider(r, rank, r->first + i, k);
    }
}

/* Makes room for the pool, unless it is the same as in the last update. */
static int begin(struct asq__ranking *r, const struct asq__pool *pool)
{
    if (r->ranks && r->first == pool->first && r->partitions == pool->partitions)
        return 0;
    asq__ranking_release(r);
    r->ranks = calloc(pool->partitions, sizeof *r->ranks);
    if (!r->ranks)
        return ASQ_ENOMEM;
    r->first = pool->first;
    r->partitions = pool->partitions;
    for (uint32_t i = 0; i < r->partitions; i++)
        r->ranks[i].all = true;
    return 0;
}

int asq__ranking_update(struct asq__ranking *r, const struct asq__pool *pool,
                        struct asq__ranked_worker *list, size_t n)
{
    int rc = begin(r, pool);
    struct changes c = { .now = malloc((r->n + 1) * sizeof *c.now),
                         .come = malloc((n + 1) * sizeof *c.come) };
    if (rc == 0 && c.now && c.come) {
        qsort(list, n, sizeof *list, compare);
        find_changes(r, list, n, &c);
        free(r->workers);
        r->workers = list;
        r->n = n;
        if (c.ncome || c.any_gone)
            apply(r, &c);
    } else {
        free(list);
        asq__ranking_release(r);
        rc = ASQ_ENOMEM;
    }
    free(c.now);
    free(c.come);
    return rc;
}

void asq__ranking_release(struct asq__ranking *r)
{
    free(r->workers);
    free(r->ranks);
    *r = (struct asq__ranking){ 0 };
}
