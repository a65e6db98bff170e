/*
 * stats_value.h: parts of what asq_stats gives that figures of the deployment and of a handle have
 * in common.
 */
#ifndef ASQ_CLIENT_STATS_VALUE_H
#define ASQ_CLIENT_STATS_VALUE_H

#include <stdbool.h>
#include <stdint.h>

#include "asqueue.h"
#include "value/stats_figures.h"

/* Returns a count as the int of a value. */
int64_t asq__stats_int(uint64_t n);
/* Sets a number of ms, null if it is not known. */
int asq__stats_set_ms(asq_value *map, const char *key, bool known, double us);
/* Sets calls, rate and failed, of a span of `ms`. */
int asq__stats_put_rate(asq_value *map, uint64_t calls, const struct asq__stats_failures *f,
                        int64_t ms);
/* Makes {CODE: n, …}; {count, mean_ms, …}. NULL: no memory. */
asq_value *asq__stats_failures_value(const struct asq__stats_failures *f);
asq_value *asq__stats_times_value(const struct asq__stats_times *t);
/* Adds a map that was made with `rc` to a list: NULL, or a code: it could not be made. */
int asq__stats_append(asq_value *list, asq_value *map, int rc);

#endif
