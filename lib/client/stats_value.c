/*
 * stats_value.c: see stats_value.h.
 */
#include "client/stats_value.h"

#include <stddef.h>
#include <string.h>

#include "value/error.h"

int64_t asq__stats_int(uint64_t n)
{
    return n > INT64_MAX ? INT64_MAX : (int64_t) n;
}

int asq__stats_set_ms(asq_value *map, const char *key, bool known, double us)
{
    return asq_map_set(map, key, known ? asq_value_double(us / 1000) : asq_value_null());
}

asq_value *asq__stats_times_value(const struct asq__stats_times *t)
{
    asq_value *map = asq_value_map();
    uint64_t n = asq__stats_count(t);
    if (!map || asq_map_set_int(map, "count", asq__stats_int(n)) < 0 ||
        asq__stats_set_ms(map, "mean_ms", n, n ? (double) t->sum_us / (double) n : 0) < 0 ||
        asq__stats_set_ms(map, "p50_ms", n, n ? asq__stats_quantile(t, .5) : 0) < 0 ||
        asq__stats_set_ms(map, "p90_ms", n, n ? asq__stats_quantile(t, .9) : 0) < 0 ||
        asq__stats_set_ms(map, "p99_ms", n, n ? asq__stats_quantile(t, .99) : 0) < 0 ||
        asq__stats_set_ms(map, "max_ms", n, (double) t->max_us) < 0) {
        asq_value_free(map);
        return NULL;
    }
    return map;
}

asq_value *asq__stats_failures_value(const struct asq__stats_failures *f)
{
    asq_value *map = asq_value_map();
    char code[32];
    for (size_t i = 0; map && i < f->n; i++) {
        if (f->of[i].code)
            asq__error_code_name(f->of[i].code, code, sizeof code);
        else
            strcpy(code, "other");
        if (asq_map_set_int(map, code, asq__stats_int(f->of[i].n)) < 0) {
            asq_value_free(map);
            return NULL;
        }
    }
    return map;
}

int asq__stats_put_rate(asq_value *map, uint64_t calls, const struct asq__stats_failures *f,
                        int64_t ms)
{
    double rate = ms > 0 ? (double) calls * 1000 / (double) ms : 0;
    int rc = asq_map_set_int(map, "calls", asq__stats_int(calls));
    rc = rc < 0 ? rc : asq_map_set(map, "rate", asq_value_double(rate));
    return rc < 0 ? rc : asq_map_set_int(map, "failed", asq__stats_int(asq__stats_failed(f)));
}

int asq__stats_append(asq_value *list, asq_value *map, int rc)
{
    if (map && rc == 0)
        return asq_list_append(list, map);
    asq_value_free(map);
    return ASQ_ENOMEM;
}
