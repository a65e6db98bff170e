/*
 * cron.h: the times of a cron expression: "MINUTE HOUR DAY MONTH WEEKDAY", or @daily and the like,
 * in the time of a zone. Pure.
 *
 * A field is a list of numbers and ranges, or * for all of them; a step may follow a range or *, as
 * in 10-40/10. Months and weekdays also have names, and Sunday is 0 and 7. If day and weekday are
 * restricted, one of them is enough, as in cron(8). A field that begins with * counts as not
 * restricted, also with a step.
 *
 * When clocks change by less than 3 hours, as cron(8) does it:
 *   - An expression with * in minute or hour follows the clock on the wall. What is skipped is
 *     left out, and what comes twice is due twice, so "0 * * * *" is due once in each hour that
 *     passes.
 *   - Any other one is due once a day that it names: a time that is skipped is due at the moment of
 *     the change, and one that comes twice is due the first time.
 * A larger change is a correction of the clock: only the new time counts.
 */
#ifndef ASQ_VALUE_CRON_H
#define ASQ_VALUE_CRON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct asq__zone;

struct asq__cron {
    uint64_t minutes; /* bit n: minute n */
    uint32_t hours, days;
    uint16_t months;
    uint8_t weekdays;
    bool follows_clock;        /* minute or hour begins with * */
    bool any_day, any_weekday; /* the field begins with * */
};

/* Returns ASQ_EINVAL with a text that names the field, also for a day that never comes. */
int asq__cron_parse(const char *text, struct asq__cron *ret, char *err, size_t errlen);
/* Finds the first time after a Unix time in s. False: none comes for 40 years. */
bool asq__cron_next(const struct asq__cron *cron, const struct asq__zone *zone, int64_t after_s,
                    int64_t *ret_s);

#endif
