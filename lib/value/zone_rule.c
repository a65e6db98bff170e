/*
 * zone_rule.c: see zone_rule.h.
 */
#include "value/zone_rule.h"

#include <ctype.h>
#include <stddef.h>

#include "value/civil.h"

/* ---- parsing ---- */

static bool read_char(const char **at, char c)
{
    if (**at != c)
        return false;
    (*at)++;
    return true;
}

static bool read_number(const char **at, int lowest, int highest, int *ret)
{
    int n = 0;
    const char *from = *at;
    for (; isdigit((unsigned char) **at) && n <= highest; (*at)++)
        n = n * 10 + (**at - '0');
    *ret = n;
    return *at > from && n >= lowest && n <= highest;
}

/* Reads "CET", or "<+0330>". */
static bool read_name(const char **at)
{
    const char *from = *at;
    if (read_char(at, '<')) {
        while (isalnum((unsigned char) **at) || **at == '+' || **at == '-')
            (*at)++;
        return read_char(at, '>');
    }
    while (isalpha((unsigned char) **at))
        (*at)++;
    return *at > from;
}

/* Reads "[+-]HOURS[:MINUTES[:SECONDS]]". */
static bool read_time(const char **at, int most_hours, int32_t *ret_s)
{
    int hours, minutes = 0, seconds = 0;
    bool negative = read_char(at, '-');
    if (!negative)
        read_char(at, '+');
    if (!read_number(at, 0, most_hours, &hours) ||
        (read_char(at, ':') && (!read_number(at, 0, 59, &minutes) ||
                                (read_char(at, ':') && !read_number(at, 0, 59, &seconds)))))
        return false;
    int32_t s = hours * ASQ__HOUR_S + minutes * ASQ__MINUTE_S + seconds;
    *ret_s = negative ? -s : s;
    return true;
}

static bool read_day(const char **at, struct asq__zone_day *ret)
{
    if (read_char(at, 'M')) {
        ret->kind = ASQ__DAY_MONTH;
        if (!read_number(at, 1, 12, &ret->month) || !read_char(at, '.') ||
            !read_number(at, 1, 5, &ret->week) || !read_char(at, '.') ||
            !read_number(at, 0, 6, &ret->day))
            return false;
    } else if (read_char(at, 'J')) {
        ret->kind = ASQ__DAY_JULIAN;
        if (!read_number(at, 1, 365, &ret->day))
            return false;
    } else {
        ret->kind = ASQ__DAY_NUMBER;
        if (!read_number(at, 0, 365, &ret->day))
            return false;
    }
    ret->time_s = 2 * ASQ__HOUR_S;
    return !read_char(at, '/') || read_time(at, 167, &ret->time_s);
}

bool asq__zone_rule_parse(const char *text, struct asq__zone_rule *ret)
{
    *ret = (struct asq__zone_rule){ .offset_s = 0 };
    int32_t west_s;
    if (!read_name(&text) || !read_time(&text, 24, &west_s))
        return false;
    ret->offset_s = ret->summer_s = -west_s;
    if (!*text)
        return true;
    ret->has_summer = true;
    ret->summer_s += ASQ__HOUR_S;
    if (!read_name(&text))
        return false;
    if (*text != ',') {
        if (!read_time(&text, 24, &west_s))
            return false;
        ret->summer_s = -west_s;
    }
    return read_char(&text, ',') && read_day(&text, &ret->begin) && read_char(&text, ',') &&
           read_day(&text, &ret->end) && !*text;
}

/* ---- years ---- */

/* Returns the day of the rule in a year, as days since 1970. */
static int64_t day_in_year(const struct asq__zone_day *day, int64_t year)
{
    int64_t first = asq__civil_to_days((struct asq__civil){ year, 1, 1 });
    if (day->kind == ASQ__DAY_NUMBER)
        return first + day->day;
    if (day->kind == ASQ__DAY_JULIAN) /* February 29 does not count */
        return first + day->day - 1 + (day->day >= 60 && asq__civil_is_leap(year));
    int64_t month = asq__civil_to_days((struct asq__civil){ year, day->month, 1 });
    int in_month = (day->day - asq__civil_weekday(month) + 7) % 7 + 7 * (day->week - 1);
    if (in_month >= asq__civil_month_days(year, day->month))
        in_month -= 7; /* week 5 is the last one */
    return month + in_month;
}

void asq__zone_rule_year(const struct asq__zone_rule *rule, int64_t year, int64_t *ret_begin_s,
                         int64_t *ret_end_s)
{
    *ret_begin_s =
        day_in_year(&rule->begin, year) * ASQ__DAY_S + rule->begin.time_s - rule->offset_s;
    *ret_end_s = day_in_year(&rule->end, year) * ASQ__DAY_S + rule->end.time_s - rule->summer_s;
}
