/*
 * expiry.c: see expiry.h.
 */
#include "value/expiry.h"

#include "asqueue.h"
#include "value/error.h"

int asq__expiry_check(int64_t ttl_ms, int64_t end_ms, char *err, size_t errlen)
{
    if (ttl_ms && (ttl_ms < ASQ__EXPIRY_TTL_LEAST_MS || ttl_ms > ASQ__EXPIRY_LATEST_MS))
        return asq__err(err, errlen, ASQ_EINVAL, "ttl_ms is %lld; 0, or %d to %lld are allowed",
                        (long long) ttl_ms, ASQ__EXPIRY_TTL_LEAST_MS,
                        (long long) ASQ__EXPIRY_LATEST_MS);
    if (end_ms < 0 || end_ms > ASQ__EXPIRY_LATEST_MS)
        return asq__err(err, errlen, ASQ_EINVAL,
                        "expires_ms is %lld; it is a Unix time in ms, up to the year 9999",
                        (long long) end_ms);
    return 0;
}

static uint8_t *put(uint8_t *to, int64_t v)
{
    for (int i = 0; i < 8; i++)
        *to++ = (uint8_t) ((uint64_t) v >> 8 * i);
    return to;
}

static int64_t get(const uint8_t *from)
{
    uint64_t v = 0;
    for (int i = 7; i >= 0; i--)
        v = v << 8 | from[i];
    return (int64_t) v;
}

void asq__expiry_write(const struct asq__expiry *e, uint8_t bytes[ASQ__EXPIRY_BYTES])
{
    put(put(put(bytes, e->ttl_ms), e->end_ms), e->used_ms);
}

bool asq__expiry_read(const void *data, size_t n, struct asq__expiry *ret)
{
    const uint8_t *at = data;
    if (n != ASQ__EXPIRY_BYTES)
        return false;
    *ret = (struct asq__expiry){ get(at), get(at + 8), get(at + 16) };
    return asq__expiry_check(ret->ttl_ms, ret->end_ms, NULL, 0) == 0 &&
           (ret->ttl_ms || ret->end_ms) && ret->used_ms >= 0 &&
           ret->used_ms <= ASQ__EXPIRY_LATEST_MS;
}

static int64_t slack_ms(const struct asq__expiry *e)
{
    return e->ttl_ms / 8;
}

int64_t asq__expiry_due_ms(const struct asq__expiry *e)
{
    int64_t idle_ms = e->ttl_ms ? e->used_ms + e->ttl_ms + slack_ms(e) : ASQ__EXPIRY_LATEST_MS;
    if (idle_ms > ASQ__EXPIRY_LATEST_MS)
        idle_ms = ASQ__EXPIRY_LATEST_MS;
    return e->end_ms && e->end_ms < idle_ms ? e->end_ms : idle_ms;
}

bool asq__expiry_notes(const struct asq__expiry *e, int64_t at_ms)
{
    return e->ttl_ms && at_ms <= ASQ__EXPIRY_LATEST_MS && at_ms >= e->used_ms + slack_ms(e);
}
