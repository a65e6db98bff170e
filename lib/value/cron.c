/*
 * cron.c: see cron.h.
 */
#include "value/cron.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

#include "asqueue.h"
#include "value/civil.h"
#include "value/error.h"
#include "value/zone.h"

enum { MOST_TEXT = 255, SEARCH_YEARS = 40, SMALL_CHANGE_S = 3 * ASQ__HOUR_S };

/* ---- parsing ---- */

struct field {
    const char *name;
    unsigned lowest, highest;
    const char *names; /* of three letters each, from the lowest on; or NULL */
};

static const struct field fields[] = {
    { "minute", 0, 59, NULL },
    { "hour", 0, 23, NULL },
    { "day of the month", 1, 31, NULL },
    { "month", 1, 12, "janfebmaraprmayjunjulaugsepoctnovdec" },
    { "day of the week", 0, 7, "sunmontuewedthufrisat" },
};
enum { N_FIELDS = sizeof fields / sizeof *fields };

/* State of reading a text. */
struct reader {
    const char *at;
    const char *text;
    char *err;
    size_t errlen;
};

static int refuse(const struct reader *r, const struct field *field, const char *why)
{
    return asq__err(r->err, r->errlen, ASQ_EINVAL, "cron expression '%.100s': %s: %s", r->text,
                    field->name, why);
}

static int out_of_range(const struct reader *r, const struct field *field)
{
    return asq__err(r->err, r->errlen, ASQ_EINVAL,
                    "cron expression '%.100s': %s: only %u to %u are possible", r->text,
                    field->name, field->lowest, field->highest);
}

static bool read_digits(struct reader *r, unsigned *ret)
{
    unsigned n = 0;
    if (!isdigit((unsigned char) *r->at))
        return false;
    for (; isdigit((unsigned char) *r->at); r->at++)
        n = n > 1000 ? n : n * 10 + (unsigned) (*r->at - '0');
    *ret = n;
    return true;
}

static bool read_name(struct reader *r, const struct field *field, unsigned *ret)
{
    for (size_t i = 0; field->names && field->names[3 * i]; i++)
        if (strncasecmp(r->at, field->names + 3 * i, 3) == 0 &&
            !isalnum((unsigned char) r->at[3])) {
            r->at += 3;
            *ret = field->lowest + (unsigned) i;
            return true;
        }
    return false;
}

static int read_value(struct reader *r, const struct field *field, unsigned *ret)
{
    if (read_name(r, field, ret))
        return 0;
    if (!read_digits(r, ret))
        return refuse(r, field,
                      field->names ? "a number, a name of three letters or * is missing"
                                   : "a number or * is missing");
    return *ret < field->lowest || *ret > field->highest ? out_of_range(r, field) : 0;
}

/* Reads "/STEP", if it is there. */
static int read_step(struct reader *r, const struct field *field, bool is_range, unsigned *ret)
{
    *ret = 1;
    if (*r->at != '/')
        return 0;
    r->at++;
    if (!is_range)
        return refuse(r, field, "a step (/) needs a range or * before it");
    if (!read_digits(r, ret) || *ret == 0 || *ret > field->highest)
        return refuse(r, field, "a step (/) is 1 or more, and at most the highest value");
    return 0;
}

/* Reads one item of a list into the bits. */
static int read_item(struct reader *r, const struct field *field, uint64_t *bits)
{
    unsigned from = field->lowest, to = field->highest, step;
    bool is_range = *r->at == '*';
    int rc = 0;
    if (is_range) {
        r->at++;
        if (field->highest == 7)
            to = 6; /* Sunday once */
    } else if ((rc = read_value(r, field, &from)) == 0) {
        to = from;
        if (*r->at == '-') {
            r->at++;
            is_range = true;
            rc = read_value(r, field, &to);
        }
    }
    if (rc == 0)
        rc = read_step(r, field, is_range, &step);
    if (rc < 0)
        return rc;
    if (to == 0 && from > 0 && field->highest == 7)
        to = 7; /* fri-sun */
    if (from > to)
        return refuse(r, field, "a range begins after its end; write it as two, with a comma");
    for (unsigned n = from; n <= to; n += step)
        *bits |= (uint64_t) 1 << n;
    return 0;
}

static int read_field(struct reader *r, const struct field *field, uint64_t *ret, bool *ret_star)
{
    *ret = 0;
    *ret_star = *r->at == '*';
    for (;;) {
        int rc = read_item(r, field, ret);
        if (rc < 0)
            return rc;
        if (*r->at != ',')
            break;
        r->at++;
    }
    if (*r->at && *r->at != ' ' && *r->at != '\t')
        return refuse(r, field, "numbers, ranges with -, lists with , and steps with / are known");
    return 0;
}

static void skip_blanks(struct reader *r)
{
    r->at += strspn(r->at, " \t");
}

/* Refuses a day that is in none of the months. */
static int check_days(const struct reader *r, const struct asq__cron *cron)
{
    if (!cron->any_weekday && !cron->any_day)
        return 0; /* a weekday is enough */
    for (int month = 1; month <= 12; month++)
        if (cron->months >> month & 1)
            for (int day = 1; day <= asq__civil_month_days(2000, month); day++)
                if (cron->days >> day & 1)
                    return 0;
    return refuse(r, &fields[2], "none of the months has such a day");
}

static int read_fields(struct reader *r, struct asq__cron *ret)
{
    uint64_t bits[N_FIELDS];
    bool stars[N_FIELDS];
    for (size_t i = 0; i < N_FIELDS; i++) {
        skip_blanks(r);
        if (!*r->at)
            return asq__err(r->err, r->errlen, ASQ_EINVAL,
                            "cron expression '%.100s': the field %s is missing; the fields are "
                            "minute, hour, day of the month, month, day of the week",
                            r->text, fields[i].name);
        int rc = read_field(r, &fields[i], &bits[i], &stars[i]);
        if (rc < 0)
            return rc;
    }
    skip_blanks(r);
    if (*r->at)
        return asq__err(r->err, r->errlen, ASQ_EINVAL,
                        "cron expression '%.100s': it has more than five fields", r->text);
    *ret = (struct asq__cron){ .minutes = bits[0],
                               .hours = (uint32_t) bits[1],
                               .days = (uint32_t) bits[2],
                               .months = (uint16_t) bits[3],
                               .weekdays = (uint8_t) ((bits[4] | bits[4] >> 7) & 127),
                               .follows_clock = stars[0] || stars[1],
                               .any_day = stars[2],
                               .any_weekday = stars[4] };
    return check_days(r, ret);
}

/* Returns what a word as @daily stands for; NULL: it is none. */
static const char *expand(const char *word)
{
    static const struct {
        const char *word, *text;
    } words[] = { { "@yearly", "0 0 1 1 *" },  { "@annually", "0 0 1 1 *" },
                  { "@monthly", "0 0 1 * *" }, { "@weekly", "0 0 * * 0" },
                  { "@daily", "0 0 * * *" },   { "@midnight", "0 0 * * *" },
                  { "@hourly", "0 * * * *" } };
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (strcasecmp(word, words[i].word) == 0)
            return words[i].text;
    return NULL;
}

int asq__cron_parse(const char *text, struct asq__cron *ret, char *err, size_t errlen)
{
    struct reader r = { text, text, err, errlen };
    if (strlen(text) > MOST_TEXT)
        return asq__err(err, errlen, ASQ_EINVAL, "a cron expression has at most %d characters",
                        MOST_TEXT);
    skip_blanks(&r);
    if (*r.at == '@' && !(r.at = expand(r.at)))
        return asq__err(err, errlen, ASQ_EINVAL,
                        "cron expression '%.100s' is not known; there are @yearly, @monthly, "
                        "@weekly, @daily and @hourly",
                        text);
    return read_fields(&r, ret);
}

/* ---- times ---- */

static bool is_day(const struct asq__cron *cron, struct asq__civil date, int64_t days)
{
    bool day = cron->days >> date.day & 1;
    bool weekday = cron->weekdays >> asq__civil_weekday(days) & 1;
    return cron->any_day || cron->any_weekday ? day && weekday : day || weekday;
}

/* Finds the first minute of a day, from the given one on. */
static bool find_minute(const struct asq__cron *cron, int from, int *ret)
{
    for (int hour = from / 60; hour < 24; hour++, from = hour * 60)
        if (cron->hours >> hour & 1)
            for (int minute = from % 60; minute < 60; minute++)
                if (cron->minutes >> minute & 1) {
                    *ret = hour * 60 + minute;
                    return true;
                }
    return false;
}

/* Finds the first minute of local time from `from_s` on, and before `end_s`. */
static bool find_local(const struct asq__cron *cron, int64_t from_s, int64_t end_s, int64_t *ret_s)
{
    int64_t first = asq__floor_div(from_s + ASQ__MINUTE_S - 1, ASQ__MINUTE_S); /* in minutes */
    int64_t day = asq__floor_div(first, 1440);
    int minute, from = (int) (first - day * 1440);
    for (; day * ASQ__DAY_S < end_s; from = 0) {
        struct asq__civil date = asq__civil_from_days(day);
        if (!(cron->months >> date.month & 1)) {
            day += asq__civil_month_days(date.year, date.month) - date.day + 1;
            continue;
        }
        if (is_day(cron, date, day) && find_minute(cron, from, &minute)) {
            *ret_s = day * ASQ__DAY_S + (int64_t) minute * ASQ__MINUTE_S;
            return *ret_s < end_s;
        }
        day++;
    }
    return false;
}

static bool is_small(int64_t change_s)
{
    return change_s > -SMALL_CHANGE_S && change_s < SMALL_CHANGE_S;
}

/* Finds the first time within a span of one offset, from `from_s` on. */
static bool find_in_span(const struct asq__cron *cron, const struct asq__zone_span *span,
                         int64_t from_s, int64_t end_s, int64_t *ret_s)
{
    int64_t local_s = from_s + span->offset_s;
    int64_t back_s = span->before_s - span->offset_s; /* local time that came before, too */
    if (!cron->follows_clock && back_s > 0 && is_small(back_s) &&
        local_s < span->begin_s + span->before_s)
        local_s = span->begin_s + span->before_s;
    if (!find_local(cron, local_s, end_s + span->offset_s, ret_s))
        return false;
    *ret_s -= span->offset_s;
    return true;
}

/* Returns whether a time is skipped when the span begins. */
static bool is_skipped(const struct asq__cron *cron, const struct asq__zone_span *span)
{
    int64_t ahead_s = span->offset_s - span->before_s, local_s;
    return !cron->follows_clock && ahead_s > 0 && is_small(ahead_s) &&
           find_local(cron, span->begin_s + span->before_s, span->begin_s + span->offset_s,
                      &local_s);
}

bool asq__cron_next(const struct asq__cron *cron, const struct asq__zone *zone, int64_t after_s,
                    int64_t *ret_s)
{
    int64_t end_s = after_s + (int64_t) SEARCH_YEARS * 366 * ASQ__DAY_S;
    struct asq__zone_span span;
    for (int64_t from_s = after_s + 1; from_s < end_s; from_s = span.end_s) {
        asq__zone_find(zone, from_s, &span);
        if (from_s == span.begin_s && is_skipped(cron, &span)) {
            *ret_s = from_s;
            return true;
        }
        if (find_in_span(cron, &span, from_s, span.end_s < end_s ? span.end_s : end_s, ret_s))
            return true;
    }
    return false;
}
