/*
 * stats_figures.h: figures of calls as the deployment keeps them in Redis, as text: pairs of a key
 * and a number, see stats.lua. Histograms are coarser than those of processes, because Redis has
 * many of them: two buckets for each power of two of nanoseconds.
 *
 * No I/O and no clock.
 */
#ifndef ASQ_VALUE_STATS_FIGURES_H
#define ASQ_VALUE_STATS_FIGURES_H

#include <stddef.h>
#include <stdint.h>

#include "value/buf.h"
#include "value/histogram.h"

enum {
    ASQ__STATS_BUCKETS = 1 + (ASQ__HISTOGRAM_BUCKETS - 8) / 4,
    ASQ__STATS_CODES = 80, /* codes of failures; more count as 0 */
};

enum asq__stats_time {
    ASQ__STATS_QUEUE,
    ASQ__STATS_RUN,
    ASQ__STATS_PARKED,
    ASQ__STATS_COMMIT,
    ASQ__STATS_TIMES
};

struct asq__stats_times {
    uint64_t sum_us, max_us;
    uint64_t counts[ASQ__STATS_BUCKETS];
};

struct asq__stats_failures {
    size_t n;
    struct {
        int code; /* 0: others */
        uint64_t n;
    } of[ASQ__STATS_CODES];
};

struct asq__stats_figures {
    uint64_t calls;
    struct asq__stats_times times[ASQ__STATS_TIMES];
    struct asq__stats_failures failures;
};

/* Returns the coarse bucket of a bucket of a process's histogram. */
static inline unsigned asq__stats_bucket(unsigned fine)
{
    return fine < 8 ? 0 : 1 + (fine - 8) / 4;
}

/* Adds failures of a code. */
void asq__stats_fail(struct asq__stats_failures *f, int code, uint64_t n);
uint64_t asq__stats_failed(const struct asq__stats_failures *f);
/* Adds all of `from`. */
void asq__stats_merge_failures(struct asq__stats_failures *f,
                               const struct asq__stats_failures *from);
/* Writes all that is not 0. */
void asq__stats_write(const struct asq__stats_figures *f, struct asq__buf *out);
/* Adds figures in the form of asq__stats_write. Ignores what has another form. */
void asq__stats_read(struct asq__stats_figures *f, const char *text, size_t n);
/* Adds all of `from`. */
void asq__stats_merge(struct asq__stats_figures *f, const struct asq__stats_figures *from);
uint64_t asq__stats_count(const struct asq__stats_times *t);
/* Returns about the value below which the fraction q (0 to 1) of all lies, in microseconds. There
 * must be one. */
double asq__stats_quantile(const struct asq__stats_times *t, double q);

#endif
