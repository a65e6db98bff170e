/*
 * zone_text.h: time zones for tests, made from the POSIX text of their rule, so that no test relies
 * on the system's database.
 */
#ifndef TESTS_ZONE_TEXT_H
#define TESTS_ZONE_TEXT_H

#include "value/zone.h"

#include <check.h>
#include <string.h>

#define BERLIN    "CET-1CEST,M3.5.0,M10.5.0/3"
#define NEW_YORK  "EST5EDT,M3.2.0,M11.1.0"
#define LORD_HOWE "<+1030>-10:30<+11>-11,M10.1.0,M4.1.0"

/* Writes a file of the database without changes, with a rule. Returns its size. */
static inline size_t zone_file(uint8_t file[256], const char *rule)
{
    static const uint8_t header[44] = { 'T', 'Z', 'i', 'f', '2', [39] = 1, [43] = 1 };
    size_t n = 0;
    for (int copy = 0; copy < 2; copy++, n += 44 + 7) {
        memcpy(file + n, header, 44);
        memset(file + n + 44, 0, 7); /* one type, of offset 0 */
    }
    file[n++] = '\n';
    memcpy(file + n, rule, strlen(rule));
    n += strlen(rule);
    file[n++] = '\n';
    return n;
}

static inline struct asq__zone *zone_of(const char *rule)
{
    uint8_t file[256];
    char err[300] = "";
    struct asq__zone *zone = NULL;
    int rc = asq__zone_parse(rule, file, zone_file(file, rule), &zone, err, sizeof err);
    ck_assert_msg(rc == 0, "%s", err);
    return zone;
}

#endif
