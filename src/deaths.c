/*
 * deaths.c: see deaths.h.
 */
#include "deaths.h"

#include <stdint.h>
#include <stdio.h>

void as_death_how(const asq_value *death, char *text, size_t n)
{
    const char *how = asq_map_string(death, "how");
    snprintf(text, n, "%s%s", how, asq_map_get(death, "heard_ms") ? ", then heard again" : "");
}

/* Returns the heir with the most partitions among those that come behind (most, last): by their
 * number, and if it is the same by their place. */
static size_t next_heir(const asq_value *heirs, int64_t most, size_t last)
{
    size_t found = SIZE_MAX;
    int64_t found_n = -1, n;
    for (size_t i = 0; i < asq_map_size(heirs); i++) {
        if (asq_value_get_int(asq_map_at(heirs, i, NULL), &n) < 0)
            continue;
        if ((n < most || (n == most && i > last)) && n > found_n) {
            found = i;
            found_n = n;
        }
    }
    return found;
}

void as_death_heirs(const asq_value *death, char *text, size_t n)
{
    const asq_value *heirs = asq_map_get(death, "heirs");
    const char *id;
    int64_t number = INT64_MAX;
    size_t used = 0;
    *text = '\0';
    for (size_t i = 0; (i = next_heir(heirs, number, i)) != SIZE_MAX && used < n;) {
        asq_value_get_int(asq_map_at(heirs, i, &id), &number);
        used += (size_t) snprintf(text + used, n - used, "%s%s %lld", used ? ", " : "", id,
                                  (long long) number);
    }
}
