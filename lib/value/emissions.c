/*
 * emissions.c: see emissions.h.
 */
#include "value/emissions.h"

#include "asqueue.h"
#include "value/buf.h"
#include "value/varint.h"

enum { TAG_EMISSIONS_VALUE = 1 << 3 | 2 };

void asq__emission_put(const void *value, size_t n, struct asq__buf *out)
{
    if (!asq__buf_reserve(out, asq__field_size(n))) /* all of it, or nothing */
        return;
    asq__buf_putc(out, TAG_EMISSIONS_VALUE);
    asq__buf_varint(out, n);
    asq__buf_put(out, value, n);
}

size_t asq__emission_size(size_t n)
{
    return asq__field_size(n);
}

int asq__emission_read(const uint8_t *data, size_t n, size_t *at, const uint8_t **ret,
                       size_t *ret_n)
{
    uint64_t size;
    if (*at >= n)
        return ASQ_ENOENT;
    const uint8_t *end = data + n;
    const uint8_t *p = data + *at;
    if (*p++ != TAG_EMISSIONS_VALUE || !(p = asq__varint_read(p, end, &size)) ||
        size > (size_t) (end - p))
        return ASQ_EPROTO;
    *ret = p;
    *ret_n = (size_t) size;
    *at = (size_t) (p - data) + (size_t) size;
    return 0;
}

bool asq__emissions_count(const uint8_t *data, size_t n, uint64_t *ret)
{
    const uint8_t *value;
    size_t at = 0, value_n;
    int rc;
    *ret = 0;
    while ((rc = asq__emission_read(data, n, &at, &value, &value_n)) == 0)
        ++*ret;
    return rc == ASQ_ENOENT;
}
