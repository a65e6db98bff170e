/*
 * stats_figures.c: see stats_figures.h.
 */
#include "value/stats_figures.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

static const char letters[ASQ__STATS_TIMES] = { 'q', 'r', 'p', 'k' };

static uint64_t plus(uint64_t a, uint64_t b)
{
    return a > UINT64_MAX - b ? UINT64_MAX : a + b;
}

void asq__stats_fail(struct asq__stats_failures *f, int code, uint64_t n)
{
    size_t i = 0;
    while (i < f->n && f->of[i].code != code)
        i++;
    if (i == f->n && i >= ASQ__STATS_CODES - 1 && code != 0) {
        asq__stats_fail(f, 0, n); /* the last place is that of others */
        return;
    }
    if (i == f->n)
        f->of[f->n++].code = code;
    f->of[i].n = plus(f->of[i].n, n);
}

/* ---- as text ---- */

static void put(struct asq__buf *out, const char *key, uint64_t n)
{
    if (n)
        asq__buf_printf(out, "%s%s %llu", out->len ? " " : "", key, (unsigned long long) n);
}

void asq__stats_write(const struct asq__stats_figures *f, struct asq__buf *out)
{
    char key[24];
    put(out, "c", f->calls);
    for (size_t i = 0; i < f->failures.n; i++) {
        snprintf(key, sizeof key, "f%d", f->failures.of[i].code);
        put(out, key, f->failures.of[i].n);
    }
    for (int i = 0; i < ASQ__STATS_TIMES; i++) {
        const struct asq__stats_times *t = &f->times[i];
        snprintf(key, sizeof key, "%cs", letters[i]);
        put(out, key, t->sum_us);
        snprintf(key, sizeof key, "%cm", letters[i]);
        put(out, key, t->max_us);
        for (unsigned b = 0; b < ASQ__STATS_BUCKETS; b++) {
            if (!t->counts[b])
                continue; /* most are 0 */
            snprintf(key, sizeof key, "%c%u", letters[i], b);
            put(out, key, t->counts[b]);
        }
    }
}

/* Reads digits before `end`, at least one. More than fit count as the largest number. */
static bool read_number(const char **at, const char *end, uint64_t *ret)
{
    const char *from = *at;
    *ret = 0;
    for (; *at < end && **at >= '0' && **at <= '9'; (*at)++) {
        unsigned digit = (unsigned) (**at - '0');
        *ret = *ret > (UINT64_MAX - digit) / 10 ? UINT64_MAX : *ret * 10 + digit;
    }
    return *at > from;
}

/* Adds a pair, whose key is key[0..n). */
static void add_pair(struct asq__stats_figures *f, const char *key, size_t n, uint64_t number)
{
    const char *at = key + 1, *end = key + n, *letter;
    uint64_t value;
    if (n == 1 && *key == 'c') {
        f->calls = plus(f->calls, number);
    } else if (n > 1 && *key == 'f') {
        bool minus = *at == '-';
        at += minus;
        if (read_number(&at, end, &value) && at == end && value <= INT32_MAX)
            asq__stats_fail(&f->failures, minus ? -(int) value : (int) value, number);
    } else if (n > 1 && (letter = memchr(letters, *key, sizeof letters))) {
        struct asq__stats_times *t = &f->times[letter - letters];
        if (n == 2 && *at == 's')
            t->sum_us = plus(t->sum_us, number);
        else if (n == 2 && *at == 'm')
            t->max_us = number > t->max_us ? number : t->max_us;
        else if (read_number(&at, end, &value) && at == end && value < ASQ__STATS_BUCKETS)
            t->counts[value] = plus(t->counts[value], number);
    }
}

void asq__stats_read(struct asq__stats_figures *f, const char *text, size_t n)
{
    const char *at = text, *end = text + n;
    while (at < end) {
        const char *key = at, *blank = memchr(at, ' ', (size_t) (end - at));
        uint64_t number;
        if (!blank)
            return;
        at = blank + 1;
        if (!read_number(&at, end, &number) || (at < end && *at != ' '))
            return;
        at++;
        if (blank > key)
            add_pair(f, key, (size_t) (blank - key), number);
    }
}

/* ---- reading ---- */

void asq__stats_merge_failures(struct asq__stats_failures *f,
                               const struct asq__stats_failures *from)
{
    for (size_t i = 0; i < from->n; i++)
        asq__stats_fail(f, from->of[i].code, from->of[i].n);
}

void asq__stats_merge(struct asq__stats_figures *f, const struct asq__stats_figures *from)
{
    f->calls = plus(f->calls, from->calls);
    asq__stats_merge_failures(&f->failures, &from->failures);
    for (int i = 0; i < ASQ__STATS_TIMES; i++) {
        struct asq__stats_times *t = &f->times[i];
        const struct asq__stats_times *other = &from->times[i];
        t->sum_us = plus(t->sum_us, other->sum_us);
        t->max_us = other->max_us > t->max_us ? other->max_us : t->max_us;
        for (unsigned b = 0; b < ASQ__STATS_BUCKETS; b++)
            t->counts[b] = plus(t->counts[b], other->counts[b]);
    }
}

uint64_t asq__stats_failed(const struct asq__stats_failures *f)
{
    uint64_t n = 0;
    for (size_t i = 0; i < f->n; i++)
        n = plus(n, f->of[i].n);
    return n;
}

uint64_t asq__stats_count(const struct asq__stats_times *t)
{
    uint64_t n = 0;
    for (unsigned b = 0; b < ASQ__STATS_BUCKETS; b++)
        n = plus(n, t->counts[b]);
    return n;
}

/* Returns the upper bound of a coarse bucket, in microseconds. */
static double upper_us(unsigned bucket)
{
    return (double) asq__histogram_upper(7 + bucket * 4) / 1000;
}

double asq__stats_quantile(const struct asq__stats_times *t, double q)
{
    double rank = q * (double) asq__stats_count(t), below = 0;
    unsigned last = 0;
    for (unsigned b = 0; b < ASQ__STATS_BUCKETS; b++) {
        double n = (double) t->counts[b];
        if (n == 0)
            continue;
        last = b;
        if (below + n >= rank)
            break;
        below += n;
    }
    double low = last ? upper_us(last - 1) : 0, n = (double) t->counts[last];
    double part = n > 0 && rank > below ? (rank - below) / n : 0;
    double value = low + (upper_us(last) - low) * (part > 1 ? 1 : part);
    return t->max_us && value > (double) t->max_us ? (double) t->max_us : value;
}
