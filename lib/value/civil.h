/*
 * civil.h: dates of the Gregorian calendar as numbers of days, for years before and after 1970.
 */
#ifndef ASQ_VALUE_CIVIL_H
#define ASQ_VALUE_CIVIL_H

#include <stdbool.h>
#include <stdint.h>

enum { ASQ__DAY_S = 86400, ASQ__HOUR_S = 3600, ASQ__MINUTE_S = 60 };

/* A date. Months and days count from 1. */
struct asq__civil {
    int64_t year;
    int month, day;
};

static inline bool asq__civil_is_leap(int64_t year)
{
    return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
}

static inline int asq__civil_month_days(int64_t year, int month)
{
    static const int8_t days[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
    return days[month - 1] + (month == 2 && asq__civil_is_leap(year));
}

/* Divides and rounds down, below zero too. */
static inline int64_t asq__floor_div(int64_t a, int64_t b)
{
    return a / b - (a % b < 0);
}

/* Returns the days from 1970-01-01 to a date. A year of this count begins with March, so that the
 * leap day is its last. */
static inline int64_t asq__civil_to_days(struct asq__civil date)
{
    int64_t year = date.month <= 2 ? date.year - 1 : date.year;
    int64_t era = asq__floor_div(year, 400), of_era = year - era * 400;
    int64_t month = (date.month + 9) % 12;
    int64_t of_year = (153 * month + 2) / 5 + date.day - 1;
    return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}

static inline struct asq__civil asq__civil_from_days(int64_t days)
{
    int64_t era = asq__floor_div(days + 719468, 146097), day = days + 719468 - era * 146097;
    int64_t year = (day - day / 1460 + day / 36524 - day / 146096) / 365;
    int64_t of_year = day - (365 * year + year / 4 - year / 100);
    int month = (int) ((5 * of_year + 2) / 153);
    struct asq__civil date = { year + era * 400, month < 10 ? month + 3 : month - 9,
                               (int) (of_year - (153 * month + 2) / 5 + 1) };
    date.year += date.month <= 2;
    return date;
}

/* Returns the day of the week; 0 is Sunday. */
static inline int asq__civil_weekday(int64_t days)
{
    int64_t day = (days + 4) % 7;
    return (int) (day < 0 ? day + 7 : day);
}

#endif
