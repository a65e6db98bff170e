/*
 * history.c: see history.h.
 */
#include <math.h>

#include "history.h"

size_t as_history_most_workers(const asq_value *points, int64_t *ret_time_ms)
{
    enum { MOST = 1000000 };
    double most = 0;
    for (size_t i = 0; i < asq_list_size(points); i++) {
        const asq_value *point = asq_list_get(points, i);
        double n = NAN;
        asq_value_get_double(asq_map_get(point, "processes"), &n);
        if (n < most || !(n > 0) || n > MOST) /* NAN is not above 0 */
            continue;
        most = n;
        *ret_time_ms = asq_map_int(point, "time_ms");
    }
    return (size_t) most;
}

int as_history_read(asq *h, struct as_history *history)
{
    asq_stats_options options = ASQ_STATS_OPTIONS_INIT;
    asq_value *stats;
    options.last_ms = AS_HISTORY_MS;
    options.points = true;
    int rc = asq_stats(h, &options, &stats);
    if (rc < 0)
        return rc;
    history->most_workers =
        as_history_most_workers(asq_map_get(stats, "points"), &history->most_ms);
    asq_value_free(stats);
    return 0;
}
