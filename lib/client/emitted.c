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
    e->missed = e->gone = 0;
    e->at = e->oldest = 0;
}

bool asq__emitted_has(const struct asq__emitted *e)
{
    return e->again || e->missed || e->at < e->values.len;
}

/* Moves what is kept to the beginning, once what is not is as long. */
static void compact(struct asq__emitted *e)
{
    if (!e->oldest || e->oldest < e->values.len - e->oldest)
        return;
    memmove(e->values.data, e->values.data + e->oldest, e->values.len - e->oldest);
    e->values.len -= e->oldest;
    e->at -= e->oldest;
    e->oldest = 0;
}

/* Forgets the oldest value. False: there is none. */
static bool drop_oldest(struct asq__emitted *e)
{
    const uint8_t *value;
    size_t n;
    if (asq__emission_read(e->values.data, e->values.len, &e->oldest, &value, &n) < 0)
        return false;
    e->gone++;
    if (e->at < e->oldest) {
        e->at = e->oldest;
        e->missed++;
    }
    return true;
}

int asq__emitted_add(struct asq__emitted *e, const void *value, size_t n)
{
    while (e->values.len - e->oldest + asq__emission_size(n) > ASQ__EMITTED_KEPT && drop_oldest(e))
        continue;
    compact(e);
    asq__emission_put(value, n, &e->values);
    return e->values.error;
}

bool asq__emitted_go_to(struct asq__emitted *e, struct asq__emitted_place *place, uint64_t run,
                        uint64_t n)
{
    uint64_t next = run == place->run ? place->next : 0;
    if (run == place->run && n == next)
        return true;
    if (asq__emitted_has(e))
        return false;
    e->again = place->run && run != place->run;
    e->missed = n - next;
    *place = (struct asq__emitted_place){ run, n };
    return true;
}

bool asq__emitted_add_entry(struct asq__emitted *e, struct asq__emitted_place *place, uint64_t run,
                            uint64_t n, const void *values, size_t len)
{
    uint64_t count;
    if (run < place->run || (run == place->run && n < place->next))
        return true; /* not asked for */
    if (!asq__emitted_go_to(e, place, run, n))
        return false;
    if (len > ASQ__EMITTED_KEPT || !asq__emissions_count(values, len, &count) || !count) {
        /* Not from a worker: skipped, as a value that is missed. */
        return asq__emitted_go_to(e, place, run, n + 1);
    }
    asq__buf_put(&e->values, values, len);
    if (e->values.error)
        return false;
    place->next += count;
    return true;
}

int asq__emitted_copy(struct asq__emitted *e, const struct asq__emitted *from)
{
    e->missed += from->gone;
    if (from->oldest < from->values.len)
        asq__buf_put(&e->values, from->values.data + from->oldest, from->values.len - from->oldest);
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
