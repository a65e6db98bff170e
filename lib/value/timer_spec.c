/*
 * timer_spec.c: see timer_spec.h.
 */
#include "value/timer_spec.h"

#include <string.h>

#include "value/error.h"
#include "value/value.h"
#include "value/zone.h"

/* ---- the map ---- */

static int set_text(asq_value *map, const char *key, const char *text)
{
    return text ? asq_map_set(map, key, asq_value_string(text)) : 0;
}

static int set_number(asq_value *map, const char *key, int64_t n)
{
    return n ? asq_map_set_int(map, key, n) : 0;
}

asq_value *asq__timer_spec_map(const asq_timer *timer, const char *method, asq_value *args)
{
    asq_value *map = asq_value_map();
    int rc = map ? set_text(map, "method", method) : ASQ_ENOMEM;
    if (args && rc == 0)
        rc = asq_map_set(map, "args", args);
    else
        asq_value_free(args);
    if (rc < 0 || set_number(map, "every_ms", timer->every_ms) < 0 ||
        set_number(map, "at_ms", timer->at_ms) < 0 || set_text(map, "cron", timer->cron) < 0 ||
        set_text(map, "zone", timer->zone) < 0 || set_number(map, "overlap", timer->overlap) < 0 ||
        set_number(map, "missed", timer->missed) < 0) {
        asq_value_free(map);
        return NULL;
    }
    return map;
}

static const char *text_of(const asq_value *map, const char *key)
{
    const char *text = NULL;
    asq_value_get_string(asq_map_get(map, key), &text, NULL);
    return text;
}

static int check_times(struct asq__timer_spec *s, char *err, size_t errlen)
{
    if ((s->every_ms != 0) + (s->at_ms != 0) + (s->cron_text != NULL) != 1)
        return asq__err(err, errlen, ASQ_EINVAL,
                        "a timer has one of every_ms, at_ms and cron, not several or none");
    if (s->every_ms && (s->every_ms < ASQ__TIMER_SHORTEST_MS || s->every_ms > ASQ__TIMER_LATEST_MS))
        return asq__err(err, errlen, ASQ_EINVAL,
                        "the interval of a timer is %d ms and more, not %lld ms",
                        ASQ__TIMER_SHORTEST_MS, (long long) s->every_ms);
    if (s->at_ms && (s->at_ms < 0 || s->at_ms > ASQ__TIMER_LATEST_MS))
        return asq__err(err, errlen, ASQ_EINVAL,
                        "%lld is not the time of a timer: it is Unix time in ms, up to the year "
                        "9999",
                        (long long) s->at_ms);
    if (s->zone && !s->cron_text)
        return asq__err(err, errlen, ASQ_EINVAL,
                        "a time zone is for a cron expression; an interval has none, and a time is "
                        "Unix time");
    return s->cron_text ? asq__cron_parse(s->cron_text, &s->cron, err, errlen) : 0;
}

static int check_policies(int64_t overlap, int64_t missed, char *err, size_t errlen)
{
    if (overlap < ASQ_OVERLAP_QUEUE || overlap > ASQ_OVERLAP_CANCEL)
        return asq__err(err, errlen, ASQ_EINVAL, "%lld is no asq_overlap", (long long) overlap);
    if (missed < ASQ_MISSED_ONE || missed > ASQ_MISSED_SKIP)
        return asq__err(err, errlen, ASQ_EINVAL, "%lld is no asq_missed", (long long) missed);
    return 0;
}

int asq__timer_spec_read(const asq_value *map, struct asq__timer_spec *ret, char *err,
                         size_t errlen)
{
    int64_t overlap = asq_map_int(map, "overlap"), missed = asq_map_int(map, "missed");
    *ret = (struct asq__timer_spec){ .method = text_of(map, "method"),
                                     .args = asq_map_get(map, "args"),
                                     .every_ms = asq_map_int(map, "every_ms"),
                                     .at_ms = asq_map_int(map, "at_ms"),
                                     .cron_text = text_of(map, "cron"),
                                     .zone = text_of(map, "zone"),
                                     .overlap = (asq_overlap) overlap,
                                     .missed = (asq_missed) missed };
    if (asq_value_type(map) != ASQ_MAP || !ret->method)
        return asq__err(err, errlen, ASQ_EINVAL, "a timer is a map with a method");
    if (ret->args && asq_value_type(ret->args) != ASQ_LIST && asq_value_type(ret->args) != ASQ_MAP)
        return asq__err(err, errlen, ASQ_EINVAL,
                        "the arguments of a timer's call are a value of type %s; a list "
                        "(positional) or a map (named) is needed",
                        asq_type_name(asq_value_type(ret->args)));
    if (asq_value_encoded_size(map) > ASQ__TIMER_ARGS)
        return asq__err(err, errlen, ASQ_ELIMIT, "a timer with its arguments has at most %d bytes",
                        ASQ__TIMER_ARGS);
    int rc = asq__check_name("method", ret->method, err, errlen);
    if (rc == 0)
        rc = check_policies(overlap, missed, err, errlen);
    return rc < 0 ? rc : check_times(ret, err, errlen);
}

/* ---- times ---- */

/* A timer with its zone. */
struct timer {
    const struct asq__timer_spec *spec;
    struct asq__zone *zone; /* NULL without a cron expression */
};

static int open_timer(struct timer *t, const struct asq__timer_spec *spec, char *err, size_t errlen)
{
    *t = (struct timer){ spec, NULL };
    return spec->cron_text ? asq__zone_load(spec->zone ? spec->zone : "UTC", &t->zone, err, errlen)
                           : 0;
}

/* Returns the first time after another one. -1: none comes. base_ms: a time of an interval. */
static int64_t time_after(const struct timer *t, int64_t base_ms, int64_t after_ms)
{
    const struct asq__timer_spec *s = t->spec;
    int64_t next_s;
    if (s->every_ms)
        return after_ms < base_ms
                   ? base_ms
                   : base_ms + ((after_ms - base_ms) / s->every_ms + 1) * s->every_ms;
    if (s->at_ms)
        return after_ms < s->at_ms ? s->at_ms : -1;
    int64_t after_s = after_ms >= 0 ? after_ms / 1000 : -1;
    return asq__cron_next(&s->cron, t->zone, after_s, &next_s) &&
                   next_s <= ASQ__TIMER_LATEST_MS / 1000
               ? next_s * 1000
               : -1;
}

int asq__timer_first(const struct asq__timer_spec *spec, int64_t now_ms, int64_t *ret_ms, char *err,
                     size_t errlen)
{
    struct timer t;
    int rc = open_timer(&t, spec, err, errlen);
    if (rc < 0)
        return rc;
    *ret_ms = spec->every_ms ? now_ms + spec->every_ms
              : spec->at_ms  ? spec->at_ms
                             : time_after(&t, 0, now_ms);
    asq__zone_free(t.zone);
    return *ret_ms >= 0 ? 0
                        : asq__err(err, errlen, ASQ_EINVAL,
                                   "cron expression '%.100s': no such time comes", spec->cron_text);
}

/* Takes each time, up to ASQ__TIMER_AT_ONCE of them. */
static void take_all(const struct timer *t, int64_t now_ms, struct asq__timer_due *ret)
{
    while (ret->n < ASQ__TIMER_AT_ONCE && ret->next_ms >= 0 && ret->next_ms <= now_ms) {
        ret->times_ms[ret->n++] = ret->next_ms;
        ret->next_ms = time_after(t, ret->next_ms, ret->next_ms);
    }
}

/* Takes the first time that is not too late, for all that are due. */
static void take_one(const struct timer *t, int64_t now_ms, int64_t from_ms,
                     struct asq__timer_due *ret)
{
    int64_t base_ms = ret->next_ms;
    int64_t first_ms = base_ms >= from_ms ? base_ms : time_after(t, base_ms, from_ms - 1);
    if (first_ms >= 0 && first_ms <= now_ms)
        ret->times_ms[ret->n++] = first_ms;
    ret->next_ms = time_after(t, base_ms, now_ms);
}

int asq__timer_due(const struct asq__timer_spec *spec, int64_t due_ms, int64_t now_ms,
                   struct asq__timer_due *ret, char *err, size_t errlen)
{
    struct timer t;
    int rc = open_timer(&t, spec, err, errlen);
    *ret = (struct asq__timer_due){ .next_ms = due_ms };
    if (rc < 0 || due_ms > now_ms) {
        asq__zone_free(t.zone);
        return rc;
    }
    if (spec->missed == ASQ_MISSED_ALL)
        take_all(&t, now_ms, ret);
    else
        take_one(&t, now_ms, spec->missed == ASQ_MISSED_SKIP ? now_ms - ASQ__TIMER_LATE_MS : due_ms,
                 ret);
    asq__zone_free(t.zone);
    return 0;
}
