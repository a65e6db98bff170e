/*
 * zone.c: see zone.h. A file of the database (tzfile(5), RFC 8536) has changes and offsets, once in
 * 32 bits and once in 64, and ends with the rule for the time after:
 *
 *     header │ data of 32 bits │ header │ data of 64 bits │ \n rule \n
 *
 * All of it is checked, because the name comes from a program, and the file may be any.
 */
#include "value/zone.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "asqueue.h"
#include "value/civil.h"
#include "value/error.h"
#include "value/zone_rule.h"

enum { HEADER = 44, MOST_BYTES = 256 * 1024, MOST_OFFSET_S = 26 * ASQ__HOUR_S, MOST_NAME = 100 };
#define ALWAYS (INT64_MAX / 2) /* room for an offset */

struct change {
    int64_t at_s;
    int32_t offset_s; /* from then on */
};

struct asq__zone {
    size_t n;
    int32_t first_s; /* offset before all changes */
    bool has_rule;   /* for the time behind the last change */
    struct asq__zone_rule rule;
    struct change changes[];
};

/* ---- a file's content ---- */

struct header {
    size_t is_uts, is_stds, leaps, changes, types, names;
};

static uint32_t read32(const uint8_t *p)
{
    return (uint32_t) p[0] << 24 | (uint32_t) p[1] << 16 | (uint32_t) p[2] << 8 | p[3];
}

static int64_t read_time(const uint8_t *p, size_t width)
{
    if (width == 4)
        return (int32_t) read32(p);
    return (int64_t) ((uint64_t) read32(p) << 32 | read32(p + 4));
}

/* Reads a header, and the size of the data behind it. */
static bool read_header(const uint8_t *data, size_t n, size_t width, struct header *ret,
                        size_t *ret_bytes)
{
    if (n < HEADER || memcmp(data, "TZif", 4) != 0)
        return false;
    size_t *const counts[] = { &ret->is_uts,  &ret->is_stds, &ret->leaps,
                               &ret->changes, &ret->types,   &ret->names };
    for (size_t i = 0; i < 6; i++)
        if ((*counts[i] = read32(data + 20 + 4 * i)) > MOST_BYTES)
            return false;
    *ret_bytes = ret->changes * (width + 1) + ret->types * 6 + ret->names +
                 ret->leaps * (width + 4) + ret->is_stds + ret->is_uts;
    return *ret_bytes <= n - HEADER && ret->types > 0;
}

/* Reads the offset of a type. */
static bool read_offset(const uint8_t *types, const struct header *h, size_t type, int32_t *ret)
{
    if (type >= h->types)
        return false;
    *ret = (int32_t) read32(types + 6 * type);
    return *ret >= -MOST_OFFSET_S && *ret <= MOST_OFFSET_S;
}

static bool read_changes(struct asq__zone *zone, const uint8_t *data, const struct header *h,
                         size_t width)
{
    const uint8_t *indices = data + h->changes * width, *types = indices + h->changes;
    if (!read_offset(types, h, 0, &zone->first_s))
        return false;
    for (size_t i = 0; i < h->changes; i++) {
        struct change *c = &zone->changes[i];
        c->at_s = read_time(data + i * width, width);
        if ((i && c->at_s <= c[-1].at_s) || !read_offset(types, h, indices[i], &c->offset_s))
            return false;
    }
    zone->n = h->changes;
    return true;
}

/* Reads the rule between two line ends; an empty one says nothing. */
static bool read_rule(struct asq__zone *zone, const uint8_t *data, size_t n)
{
    char text[128];
    const uint8_t *end = n > 1 && *data == '\n' ? memchr(data + 1, '\n', n - 1) : NULL;
    size_t len = end ? (size_t) (end - data - 1) : 0;
    if (!end || len >= sizeof text || memchr(data, '\0', len + 1))
        return false;
    memcpy(text, data + 1, len);
    text[len] = '\0';
    zone->has_rule = len > 0;
    return len == 0 || asq__zone_rule_parse(text, &zone->rule);
}

static int damaged(const char *name, char *err, size_t errlen)
{
    return asq__err(err, errlen, ASQ_EPROTO,
                    "the file of time zone '%.100s' is damaged, or in an unknown format", name);
}

int asq__zone_parse(const char *name, const void *content, size_t n, struct asq__zone **ret,
                    char *err, size_t errlen)
{
    const uint8_t *data = content;
    struct header h;
    size_t bytes, width = 4;
    if (!read_header(data, n, width, &h, &bytes))
        return damaged(name, err, errlen);
    if (data[4] >= '2') {
        data += HEADER + bytes;
        n -= HEADER + bytes;
        width = 8;
        if (!read_header(data, n, width, &h, &bytes))
            return damaged(name, err, errlen);
    }
    if (h.leaps)
        return asq__err(err, errlen, ASQ_EINVAL,
                        "time zone '%.100s' counts leap seconds, which Unix time does not", name);
    struct asq__zone *zone = calloc(1, sizeof *zone + h.changes * sizeof *zone->changes);
    if (!zone)
        return asq__err(err, errlen, ASQ_ENOMEM, "out of memory");
    if (!read_changes(zone, data + HEADER, &h, width) ||
        (width == 8 && !read_rule(zone, data + HEADER + bytes, n - HEADER - bytes))) {
        free(zone);
        return damaged(name, err, errlen);
    }
    *ret = zone;
    return 0;
}

/* ---- the database ---- */

/* Returns whether the name leads to a file below the database's directory. */
static bool is_name(const char *name)
{
    static const char allowed[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_+-/";
    size_t n = strlen(name);
    return n > 0 && n <= MOST_NAME && strspn(name, allowed) == n && *name != '/' &&
           name[n - 1] != '/' && !strstr(name, "//");
}

static int open_file(const char *name)
{
    static const char *const places[] = { "/usr/share/zoneinfo", "/usr/lib/zoneinfo",
                                          "/usr/share/lib/zoneinfo", "/etc/zoneinfo" };
    int fd = -1;
    for (size_t i = 0; i < sizeof places / sizeof *places && fd < 0; i++) {
        char path[160];
        snprintf(path, sizeof path, "%s/%s", places[i], name);
        fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
        if (fd < 0 && errno != ENOENT && errno != ENOTDIR)
            return -1;
    }
    return fd;
}

/* Reads all of a file. -1: with errno; 0: it is no file of the database. */
static ssize_t read_file(int fd, uint8_t *to, size_t size)
{
    struct stat st;
    ssize_t n = 0, some = 1;
    if (fstat(fd, &st) < 0)
        return -1;
    if (!S_ISREG(st.st_mode))
        return 0;
    while (some > 0 && (size_t) n < size)
        if ((some = read(fd, to + n, size - (size_t) n)) < 0)
            return -1;
        else
            n += some;
    return n;
}

static int load_file(const char *name, struct asq__zone **ret, char *err, size_t errlen)
{
    int fd = open_file(name);
    if (fd < 0)
        return errno == ENOENT || errno == ENOTDIR
                   ? asq__err(err, errlen, ASQ_EINVAL,
                              "there is no time zone '%s' in /usr/share/zoneinfo; names are as "
                              "Europe/Berlin, and the package is tzdata",
                              name)
                   : asq__err(err, errlen, ASQ_ESYS, "time zone '%s': %s", name, strerror(errno));
    uint8_t *data = malloc(MOST_BYTES);
    ssize_t n = data ? read_file(fd, data, MOST_BYTES) : 0;
    int saved = errno, rc;
    close(fd);
    if (!data)
        rc = asq__err(err, errlen, ASQ_ENOMEM, "out of memory");
    else if (n < 0)
        rc = asq__err(err, errlen, ASQ_ESYS, "time zone '%s': %s", name, strerror(saved));
    else
        rc = asq__zone_parse(name, data, (size_t) n, ret, err, errlen);
    free(data);
    return rc;
}

int asq__zone_load(const char *name, struct asq__zone **ret, char *err, size_t errlen)
{
    if (!*name || strcmp(name, "UTC") == 0) {
        if (!(*ret = calloc(1, sizeof **ret)))
            return asq__err(err, errlen, ASQ_ENOMEM, "out of memory");
        return 0;
    }
    if (!is_name(name))
        return asq__err(err, errlen, ASQ_EINVAL,
                        "'%.100s' is not the name of a time zone; names are as Europe/Berlin",
                        name);
    return load_file(name, ret, err, errlen);
}

void asq__zone_free(struct asq__zone *zone)
{
    free(zone);
}

/* ---- spans ---- */

/* A search: the span so far, which contains the time. */
struct search {
    int64_t at_s;
    struct asq__zone_span *span;
};

/* Takes a change into account. False: it is behind the time, and so are all later ones. */
static bool pass(struct search *s, int64_t at_s, int32_t offset_s)
{
    if (at_s > s->at_s) {
        s->span->end_s = at_s;
        return false;
    }
    if (at_s != s->span->begin_s) /* of two changes at once, the second counts */
        s->span->before_s = s->span->offset_s;
    s->span->begin_s = at_s;
    s->span->offset_s = offset_s;
    return true;
}

/* Takes the changes of the year of a time, and of those around it, that come after `from_s`. */
static void pass_rule(struct search *s, const struct asq__zone_rule *rule, int64_t from_s)
{
    if (!rule->has_summer) {
        if (s->span->offset_s != rule->offset_s)
            pass(s, from_s, rule->offset_s);
        return;
    }
    int64_t year = asq__civil_from_days(asq__floor_div(s->at_s, ASQ__DAY_S)).year;
    for (int64_t y = year - 1; y <= year + 1; y++) {
        int64_t begin_s, end_s;
        asq__zone_rule_year(rule, y, &begin_s, &end_s);
        bool summer_first = begin_s < end_s;
        int64_t first_s = summer_first ? begin_s : end_s, second_s = summer_first ? end_s : begin_s;
        int32_t first = summer_first ? rule->summer_s : rule->offset_s;
        int32_t second = summer_first ? rule->offset_s : rule->summer_s;
        if ((first_s > from_s && !pass(s, first_s, first)) ||
            (second_s > from_s && !pass(s, second_s, second)))
            return;
    }
}

/* Returns how many changes are not after a time. */
static size_t count_changes(const struct asq__zone *zone, int64_t at_s)
{
    size_t low = 0, high = zone->n;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (zone->changes[middle].at_s <= at_s)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

void asq__zone_find(const struct asq__zone *zone, int64_t at_s, struct asq__zone_span *ret)
{
    size_t n = count_changes(zone, at_s);
    struct search s = { at_s, ret };
    *ret = (struct asq__zone_span){ -ALWAYS, ALWAYS, zone->first_s, zone->first_s };
    if (n >= 2)
        pass(&s, zone->changes[n - 2].at_s, zone->changes[n - 2].offset_s);
    if (n >= 1)
        pass(&s, zone->changes[n - 1].at_s, zone->changes[n - 1].offset_s);
    if (n < zone->n)
        ret->end_s = zone->changes[n].at_s;
    else if (zone->has_rule)
        pass_rule(&s, &zone->rule, n ? zone->changes[n - 1].at_s : -ALWAYS);
}
