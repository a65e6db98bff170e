/*
 * fuzz_cron.c: any text, up to the first NUL, is a cron expression or is refused with a text, and
 * what follows is a file of a time zone or is refused. The times of an expression grow, and each is
 * in the span that is found for it.
 */
#include "value/cron.h"
#include "value/zone.h"

#include <asqueue.h>

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(int condition)
{
    if (!condition)
        abort();
}

static void follow(const struct asq__cron *cron, const struct asq__zone *zone)
{
    static const int64_t from_s[] = { -2208988800, 0, 1774000000, 1792000000, 253402000000 };
    struct asq__zone_span span;
    for (size_t i = 0; i < sizeof from_s / sizeof *from_s; i++) {
        int64_t at_s = from_s[i], next_s;
        for (int n = 0; n < 4 && asq__cron_next(cron, zone, at_s, &next_s); n++) {
            require(next_s > at_s);
            asq__zone_find(zone, at_s = next_s, &span);
            require(span.begin_s <= at_s && at_s < span.end_s);
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint8_t *end = memchr(data, '\0', size);
    size_t n = end ? (size_t) (end - data) : size, used = end ? n + 1 : n;
    char err[400] = "", *text = malloc(n + 1);
    struct asq__zone *zone = NULL;
    struct asq__cron cron;

    require(text != NULL);
    memcpy(text, data, n);
    text[n] = '\0';
    int parsed = asq__cron_parse(text, &cron, err, sizeof err);
    require(parsed == 0 || (parsed == ASQ_EINVAL && *err));
    if (used < size) {
        int rc = asq__zone_parse("fuzz", data + used, size - used, &zone, err, sizeof err);
        require(rc == 0 || ((rc == ASQ_EPROTO || rc == ASQ_EINVAL) && *err));
    } else {
        require(asq__zone_load("UTC", &zone, err, sizeof err) == 0);
    }
    if (parsed == 0 && zone)
        follow(&cron, zone);
    asq__zone_free(zone);
    free(text);
    return 0;
}
