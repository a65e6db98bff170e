/*
 * stream_id.c: see stream_id.h.
 */
#include "worker/core/stream_id.h"

#include "asqueue.h"
#include "value/decimal.h"

int asq__stream_id_parse(const char *text, struct asq__stream_id *ret)
{
    struct asq__stream_id id;
    if (!asq__decimal_read(&text, &id.ms) || *text++ != '-' || !asq__decimal_read(&text, &id.n) ||
        *text)
        return ASQ_EPARSE;
    *ret = id;
    return 0;
}

void asq__stream_id_format(struct asq__stream_id id, char out[ASQ__STREAM_ID_TEXT])
{
    char *p = out + asq__decimal(id.ms, out);
    *p++ = '-';
    p += asq__decimal(id.n, p);
    *p = '\0';
}

bool asq__stream_id_is_at_most(struct asq__stream_id a, struct asq__stream_id b)
{
    return a.ms < b.ms || (a.ms == b.ms && a.n <= b.n);
}
