/*
 * emitted.c: see emitted.h.
 */
#include "client/emitted.h"

#include <string.h>

#include "value/emissions.h"
#include "value/value.h"

enum { MOST = 4 * ASQ__EMITTED_KEPT };

void asq__emitted_init(struct asq__emitted *e)
{
    *e = (struct asq__emitted){ .again = false };
    asq__buf_init(&e->values, MOST);
}

void asq__emitted_release(struct asq__emitted *e)
{
    asq__buf_release(&e->values);
}

void asq__emitted_reset(struct asq__emitted *e)
{
    asq__buf_reset(&e->values);
    e->again = false;
    e->missed = 0;
    e->at = 0;
}

bool asq__emitted_has(const struct asq__emitted *e)
{
    return e->again || e->missed || e->at < e->values.len;
}

/* Moves the rest to the beginning, once what was taken is as long. */
static void compact(struct asq__emitted *e)
{
    if (e->at < e->values.len - e->at)
        return;
    memmove(e->values.data, e->values.data + e->at, e->values.len - e->at);
    e->values.len -= e->at;
    e->at = 0;
}

int asq__emitted_add(struct asq__emitted *e, const void *value, size_t n)
{
    const uint8_t *oldest;
    size_t oldest_n;
    while (e->at < e->values.len &&
           e->values.len - e->at + asq__emission_size(n) > ASQ__EMITTED_KEPT &&
           asq__emission_read(e->values.data, e->values.len, &e->at, &oldest, &oldest_n) == 0)
        e->missed++;
    if (e->at)
        compact(e);
    asq__emission_put(value, n, &e->values);
    return e->values.error;
}

int asq__emitted_copy(struct asq__emitted *e, const struct asq__emitted *from)
{
    e->missed += from->missed;
    if (from->at < from->values.len)
        asq__buf_put(&e->values, from->values.data + from->at, from->values.len - from->at);
    return e->values.error;
}

int asq__emitted_take(struct asq__emitted *e, asq_value **ret)
{
    const uint8_t *value;
    size_t n, at = e->at;
    *ret = NULL;
    if (e->again) {
        e->again = false;
        return ASQ_NEXT_AGAIN;
    }
    if (e->missed) {
        if (!(*ret = asq_value_int(e->missed < INT64_MAX ? (int64_t) e->missed : INT64_MAX)))
            return ASQ_ENOMEM;
        e->missed = 0;
        return ASQ_NEXT_MISSED;
    }
    int rc = asq__emission_read(e->values.data, e->values.len, &at, &value, &n);
    if (rc == ASQ_ENOENT)
        return ASQ_NEXT_END;
    if (rc == 0)
        rc = asq__value_decode(value, n, ret, NULL, 0);
    if (rc == ASQ_ENOMEM)
        return rc;
    e->at = rc < 0 && at == e->at ? e->values.len : at; /* what cannot be decoded is skipped */
    return rc < 0 ? rc : ASQ_NEXT_VALUE;
}
