/*
 * own_stats.h: figures of the calls that a program makes by its handle, by class and method, since
 * the handle was opened: how many, how they have failed, and the time from a call to its result.
 * Methods' handles have none: the worker measures what methods call.
 *
 * In bounded memory: beyond ASQ__OWN_SERIES, methods count as one. On the handle's thread.
 */
#ifndef ASQ_CLIENT_OWN_STATS_H
#define ASQ_CLIENT_OWN_STATS_H

#include <stddef.h>
#include <stdint.h>

#include "asqueue.h"
#include "value/stats_figures.h"

enum {
    ASQ__OWN_SERIES = 257, /* with that of methods without a place */
    ASQ__OWN_BUCKETS = 64
};

struct asq__own_series {
    struct asq__own_series *next; /* in its bucket */
    uint64_t calls;               /* made; those that have ended are in `counts` */
    /* From a call to its result. */
    uint64_t sum_ns, max_ns;
    uint64_t counts[ASQ__STATS_BUCKETS];
    struct asq__stats_failures failures;
    const char *method; /* in `name` */
    char name[];        /* the class; "": the handle does not know it */
};

struct asq__own_stats {
    struct asq__own_series *buckets[ASQ__OWN_BUCKETS];
    size_t n;
    struct asq__own_series *last;  /* the series of the call before; never NULL */
    struct asq__own_series *other; /* of methods without a place; in a bucket, too */
    int64_t opened_ns;             /* monotonic */
    /* When what is processed now has arrived; 0: ask the clock. */
    int64_t arrived_ns;
};

/* NULL: no memory. */
struct asq__own_stats *asq__own_stats_new(void);
void asq__own_stats_free(struct asq__own_stats *s);
/* Counts a call that is about to be made at now_ns, for a handle with figures. */
void asq__own_stats_begin(asq_result *r, const char *class_name, const char *method,
                          int64_t now_ns);
/* Counts the outcome of a call that was begun. */
void asq__own_stats_end(asq_result *r);
/* Takes a call back that was begun and then not made. */
void asq__own_stats_drop(asq_result *r);

/* own_stats_value.c: makes what asq_stats gives of a handle's own calls; class_name, method: of
 * these only; NULL: of all. NULL: no memory. */
asq_value *asq__own_stats_value(const struct asq__own_stats *s, const char *class_name,
                                const char *method);

#endif
