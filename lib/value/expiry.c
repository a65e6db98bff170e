/*
 * expiry.c: see expiry.h.
 */
#include "value/expiry.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

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

size_t asq__expiry_size(const struct asq__expiry *e)
{
    return e->handle ? ASQ__EXPIRY_BYTES_MAX : ASQ__EXPIRY_BYTES;
}

void asq__expiry_write(const struct asq__expiry *e, uint8_t *bytes)
{
    uint8_t *end = put(put(put(bytes, e->ttl_ms), e->end_ms), e->used_ms);
    if (e->handle)
        put(end, (int64_t) e->handle);
}

bool asq__expiry_read(const void *data, size_t n, struct asq__expiry *ret)
{
    const uint8_t *at = data;
    if (n != ASQ__EXPIRY_BYTES && n != ASQ__EXPIRY_BYTES_MAX)
        return false;
    *ret = (struct asq__expiry){ get(at), get(at + 8), get(at + 16),
                                 n == ASQ__EXPIRY_BYTES ? 0 : (uint64_t) get(at + 24) };
    return asq__expiry_check(ret->ttl_ms, ret->end_ms, NULL, 0) == 0 &&
           asq__expiry_size(ret) == n && (ret->ttl_ms || ret->end_ms || ret->handle) &&
           ret->used_ms >= 0 && ret->used_ms <= ASQ__EXPIRY_LATEST_MS;
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

int64_t asq__expiry_timer(const struct asq__expiry *e, int64_t at_ms, int64_t now_ms,
                          char spec[ASQ__EXPIRY_SPEC])
{
    if (!e->handle) {
        snprintf(spec, ASQ__EXPIRY_SPEC, "%" PRId64, at_ms);
        return at_ms;
    }
    int64_t look_ms = now_ms + ASQ__EXPIRY_LOOK_MS < at_ms ? now_ms + ASQ__EXPIRY_LOOK_MS : at_ms;
    snprintf(spec, ASQ__EXPIRY_SPEC, "%" PRId64 " %" PRId64 " %016" PRIx64, look_ms, at_ms,
             e->handle);
    return look_ms;
}

bool asq__expiry_timer_read(const char *spec, size_t n, int64_t *ret_due_ms, uint64_t *ret_handle)
{
    int end = -1;
    if (n >= ASQ__EXPIRY_SPEC || strnlen(spec, n) != n)
        return false;
    return sscanf(spec, "%*18[0-9] %18" SCNd64 " %16" SCNx64 "%n", ret_due_ms, ret_handle, &end) ==
               2 &&
           end >= 0 && (size_t) end == n && *ret_due_ms >= 0 && *ret_handle;
}

bool asq__expiry_notes(const struct asq__expiry *e, int64_t at_ms)
{
    return e->ttl_ms && at_ms <= ASQ__EXPIRY_LATEST_MS && at_ms >= e->used_ms + slack_ms(e);
}
