/*
 * zone_rule.h: the rule of a time zone for all years to come, as the POSIX text TZ has it:
 * "CET-1CEST,M3.5.0,M10.5.0/3". Pure.
 */
#ifndef ASQ_VALUE_ZONE_RULE_H
#define ASQ_VALUE_ZONE_RULE_H

#include <stdbool.h>
#include <stdint.h>

/* A day of each year, and a time on it. */
struct asq__zone_day {
    enum { ASQ__DAY_MONTH, ASQ__DAY_JULIAN, ASQ__DAY_NUMBER } kind;
    int month, week, day; /* Mmonth.week.day; Jday; day, from 0 */
    int32_t time_s;       /* on the clock before the change; may be negative, or days later */
};

struct asq__zone_rule {
    int32_t offset_s, summer_s; /* local time minus UTC */
    bool has_summer;
    struct asq__zone_day begin, end; /* of summer time */
};

/* False: it is no such text. */
bool asq__zone_rule_parse(const char *text, struct asq__zone_rule *ret);
/* Writes when summer time begins and ends in a year. */
void asq__zone_rule_year(const struct asq__zone_rule *rule, int64_t year, int64_t *ret_begin_s,
                         int64_t *ret_end_s);

#endif
