/*
 * zone.h: time zones of the system's database, read without tzset(), which is one setting for the
 * whole process: what was the offset from UTC when, and when does it change. zone_rule.h has what
 * comes after the last change that a file lists.
 */
#ifndef ASQ_VALUE_ZONE_H
#define ASQ_VALUE_ZONE_H

#include <stddef.h>
#include <stdint.h>

struct asq__zone;

/* Time with one offset. */
struct asq__zone_span {
    int64_t begin_s, end_s; /* Unix time; the end is the begin of the next span */
    int32_t offset_s;       /* local time minus UTC */
    int32_t before_s;       /* offset of the span before; the same for the first one */
};

/* Loads a zone by its name, as Europe/Berlin; UTC and "" need no file. ASQ_EINVAL: there is no such
 * zone, or the name is none; ASQ_ESYS; ASQ_ENOMEM; ASQ_EPROTO: the file is damaged. */
int asq__zone_load(const char *name, struct asq__zone **ret, char *err, size_t errlen);
/* Reads the content of a file of the database. */
int asq__zone_parse(const char *name, const void *data, size_t n, struct asq__zone **ret, char *err,
                    size_t errlen);
void asq__zone_free(struct asq__zone *zone);
/* Finds the span that a time is in. */
void asq__zone_find(const struct asq__zone *zone, int64_t at_s, struct asq__zone_span *ret);

#endif
