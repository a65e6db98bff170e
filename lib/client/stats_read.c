/*
 * stats_read.c: see stats_read.h. What is in Redis may have been written by anybody: other forms
 * are ignored. Memory is bounded by the number of steps and of series, beyond which all count as
 * one.
 */
#include "client/stats_read.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/admin.h"
#include "client/handle.h"
#include "client/remote.h"
#include "redis/keys.h"
#include "redis/redis.h"
#include "redis/refusal.h"
#include "redis/script.h"

enum {
    PAGE = 60, /* steps that are read at once */
    MAX_SERIES = 1000,
    MAX_NAME = 2 * ASQ_MAX_NAME + 32,
    SECOND_MS = 1000,
    MINUTE_MS = 60000
};

static const char other[] = "(other) (other)";

static const void *name_of(const struct asq__node *node, size_t *n)
{
    const struct asq__stats_series *s = (const struct asq__stats_series *) node;
    *n = strlen(s->name);
    return s->name;
}

/* Finds or makes a series. NULL: no memory. */
static struct asq__stats_series *series_of(struct asq__stats_span *s, const char *name, size_t n)
{
    struct asq__node *node = asq__table_find(&s->series, name, n);
    if (node)
        return (struct asq__stats_series *) node;
    if (s->series.count >= MAX_SERIES && strcmp(name, other) != 0)
        return series_of(s, other, sizeof other - 1);
    struct asq__stats_series *made = calloc(1, sizeof *made + n + 1);
    if (!made)
        return NULL;
    memcpy(made->name, name, n);
    made->class_n = (size_t) ((const char *) memchr(name, ' ', n) - name);
    asq__table_add(&s->series, &made->node);
    return made;
}

/* Returns whether it is the name of a series that is wanted. */
static bool is_wanted(const struct asq__stats_span *s, const char *name, size_t n)
{
    const char *blank = memchr(name, ' ', n);
    if (!blank || n > MAX_NAME || memchr(name, '\0', n))
        return false;
    size_t class_n = (size_t) (blank - name), method_n = n - class_n - 1;
    return (!s->class_name ||
            (strlen(s->class_name) == class_n && memcmp(s->class_name, name, class_n) == 0)) &&
           (!s->method ||
            (strlen(s->method) == method_n && memcmp(s->method, blank + 1, method_n) == 0));
}

static bool is_text(const redisReply *r)
{
    return r->type == REDIS_REPLY_STRING;
}

/* Reads gauges; all or none. */
static void read_gauges(struct asq__stats_gauges *g, const char *text)
{
    struct asq__stats_gauges read = { .known = true };
    for (size_t i = 0; i < ASQ__STATS_GAUGES; i++) {
        char *end;
        if (*text < '0' || *text > '9')
            return;
        read.values[i] = strtoull(text, &end, 10);
        text = end + (*end == ' ');
    }
    *g = read;
}

static int take_field(asq *h, struct asq__stats_span *s, struct asq__stats_step *step,
                      const redisReply *name, const redisReply *text)
{
    if (strcmp(name->str, "gauges") == 0) {
        if (step)
            read_gauges(&step->gauges, text->str);
        return 0;
    }
    if (strcmp(name->str, "before") == 0) {
        if (step)
            read_gauges(&step->before, text->str);
        return 0;
    }
    if (!is_wanted(s, name->str, name->len))
        return 0;
    struct asq__stats_series *series = series_of(s, name->str, name->len);
    if (!series || (step && !step->figures && !(step->figures = calloc(1, sizeof *step->figures))))
        return asq__fail_memory(h);
    struct asq__stats_figures figures = { 0 };
    asq__stats_read(&figures, text->str, text->len);
    asq__stats_merge(&series->figures, &figures);
    asq__stats_merge(&s->total, &figures);
    if (step)
        asq__stats_merge(step->figures, &figures);
    return 0;
}

/* Reads {time, gauges of now, a list for each step}. */
static int take_page(asq *h, const redisReply *reply, void *user)
{
    struct asq__stats_span *s = user;
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements < 2 ||
        reply->element[0]->type != REDIS_REPLY_INTEGER || !is_text(reply->element[1]))
        return asq__fail(h, ASQ_EPROTO, "Redis answered with something other than figures");
    if (reply->element[0]->integer <= 0)
        return asq__fail(h, ASQ_EREDIS,
                         "Redis does not let this user ask for its TIME, without which no figures "
                         "are found%s",
                         ASQ__DENIAL_HINT);
    s->now_ms = reply->element[0]->integer;
    read_gauges(&s->now, reply->element[1]->str);
    for (size_t i = 2; i < reply->elements && s->nread < s->nsteps; i++, s->nread++) {
        const redisReply *fields = reply->element[i];
        if (fields->type != REDIS_REPLY_ARRAY)
            continue;
        for (size_t f = 0; f + 1 < fields->elements; f += 2) {
            if (!is_text(fields->element[f]) || !is_text(fields->element[f + 1]))
                continue;
            int rc = take_field(h, s, s->steps ? &s->steps[s->nread] : NULL, fields->element[f],
                                fields->element[f + 1]);
            if (rc < 0)
                return rc;
        }
    }
    return 0;
}

/* Reads n steps behind those that were read. Redis 6.2 has no EVAL_RO. */
static int read_page(asq *h, struct asq__stats_span *s, size_t n)
{
    char key[ASQ__KEY_MAX], first[24] = "", count[24];
    asq__keys_stats(asq__redis_keys(asq__remote_redis(h)), key);
    if (n)
        snprintf(first, sizeof first, "%lld", (long long) s->first + (long long) s->nread);
    snprintf(count, sizeof count, "%zu", n);
    const char *argv[] = {
        "EVAL_RO", asq__script_stats_read, "1", key, s->step_ms == SECOND_MS ? "s" : "m", first,
        count
    };
    struct asq__query q = {
        .partition = ASQ__NO_PARTITION, .take = take_page, .user = s, .argc = 7, .argv = argv
    };
    int rc = asq__admin_ask(h, &q);
    if (!q.denied)
        return rc;
    argv[0] = "EVAL";
    return asq__admin_ask(h, &q);
}

/* ---- */

static int compare(const void *a, const void *b)
{
    const struct asq__stats_series *x = *(struct asq__stats_series *const *) a,
                                   *y = *(struct asq__stats_series *const *) b;
    if (x->figures.calls != y->figures.calls)
        return x->figures.calls < y->figures.calls ? 1 : -1;
    return strcmp(x->name, y->name);
}

static void add_to_sorted(struct asq__node *node, void *user)
{
    struct asq__stats_span *s = user;
    s->sorted[s->nseries++] = (struct asq__stats_series *) node;
}

static void raise_gauges(struct asq__stats_gauges *g, const struct asq__stats_gauges *to)
{
    for (size_t i = 0; i < ASQ__STATS_GAUGES; i++)
        if (g->values[i] < to->values[i])
            g->values[i] = to->values[i];
}

/* Gives gauges to steps without: nothing has changed since then, until the next step that has some,
 * or until now. A step that has some lacks what came after its first report: its end is what the
 * next one had before. */
static void fill_gauges(struct asq__stats_span *s)
{
    struct asq__stats_gauges later = s->now;
    for (size_t i = s->steps ? s->nsteps : 0; i--;) {
        struct asq__stats_step *step = &s->steps[i];
        if (step->gauges.known) {
            raise_gauges(&step->gauges, &later);
            later = step->before;
        } else {
            step->gauges = later;
        }
    }
}

/* Chooses the steps: seconds that are over, or minutes with the one that is not over. */
static void choose_steps(struct asq__stats_span *s)
{
    int64_t steps = (s->last_ms + s->step_ms - 1) / s->step_ms;
    int64_t now = s->now_ms / s->step_ms;
    s->first = now > steps ? now - steps : 0;
    s->nsteps = (size_t) (now - s->first) + (s->step_ms == MINUTE_MS);
    s->from_ms = s->first * s->step_ms;
    s->to_ms = s->step_ms == MINUTE_MS ? s->now_ms : now * s->step_ms;
}

int asq__stats_span_read(asq *h, struct asq__stats_span *s)
{
    s->step_ms = s->last_ms <= MINUTE_MS ? SECOND_MS : MINUTE_MS;
    if (asq__table_init(&s->series, name_of) < 0)
        return asq__fail_memory(h);
    int rc = read_page(h, s, 0);
    if (rc < 0)
        return rc;
    choose_steps(s);
    if (s->points && !(s->steps = calloc(s->nsteps + 1, sizeof *s->steps)))
        return asq__fail_memory(h);
    while (rc == 0 && s->nread < s->nsteps) {
        size_t before = s->nread, left = s->nsteps - s->nread;
        rc = read_page(h, s, left < PAGE ? left : PAGE);
        if (rc == 0 && s->nread == before)
            rc = asq__fail(h, ASQ_EPROTO, "Redis answered with something other than figures");
    }
    if (rc < 0)
        return rc;
    fill_gauges(s);
    if (!(s->sorted = calloc(s->series.count + 1, sizeof(void *))))
        return asq__fail_memory(h);
    asq__table_each(&s->series, add_to_sorted, s);
    qsort(s->sorted, s->nseries, sizeof(void *), compare);
    return 0;
}

static void free_series(struct asq__node *node, void *user)
{
    (void) user;
    free(node);
}

void asq__stats_span_release(struct asq__stats_span *s)
{
    if (s->series.buckets)
        asq__table_each(&s->series, free_series, NULL);
    asq__table_release(&s->series);
    for (size_t i = 0; s->steps && i < s->nsteps; i++)
        free(s->steps[i].figures);
    free(s->steps);
    free(s->sorted);
}
