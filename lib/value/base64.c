/*
 * base64.c: see base64.h.
 */
#include <stdint.h>

#include "asqueue.h"
#include "value/base64.h"
#include "value/buf.h"

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void asq__base64_encode(const void *data, size_t n, struct asq__buf *out)
{
    const uint8_t *in = data;
    size_t groups = n / 3 + (n % 3 != 0);
    uint8_t *p = groups <= SIZE_MAX / 4 ? asq__buf_reserve(out, groups * 4) : NULL;
    if (!p)
        return;
    for (size_t i = 0; i < n; i += 3, p += 4) {
        size_t left = n - i;
        uint32_t bits = (uint32_t) in[i] << 16;
        if (left > 1)
            bits |= (uint32_t) in[i + 1] << 8;
        if (left > 2)
            bits |= in[i + 2];
        p[0] = (uint8_t) alphabet[bits >> 18];
        p[1] = (uint8_t) alphabet[bits >> 12 & 63];
        p[2] = left > 1 ? (uint8_t) alphabet[bits >> 6 & 63] : '=';
        p[3] = left > 2 ? (uint8_t) alphabet[bits & 63] : '=';
    }
    out->len += groups * 4;
}

static int digit(char c)
{
    return c >= 'A' && c <= 'Z'   ? c - 'A'
           : c >= 'a' && c <= 'z' ? c - 'a' + 26
           : c >= '0' && c <= '9' ? c - '0' + 52
           : c == '+'             ? 62
           : c == '/'             ? 63
                                  : -1;
}

int asq__base64_decode(const char *text, size_t n, void *to, size_t *ret_n)
{
    uint8_t *p = to;
    size_t pad = 0, out = 0;
    if (n % 4)
        return ASQ_EPARSE;
    if (n)
        pad = text[n - 1] != '=' ? 0 : text[n - 2] != '=' ? 1 : 2;
    for (size_t i = 0; i < n; i += 4) {
        size_t digits = i + 4 < n ? 4 : 4 - pad;
        uint32_t bits = 0;
        for (size_t k = 0; k < 4; k++) {
            int d = k < digits ? digit(text[i + k]) : 0;
            if (d < 0)
                return ASQ_EPARSE;
            bits = bits << 6 | (uint32_t) d;
        }
        /* Bits cut off by the padding must be zero. */
        if (digits < 4 && (bits & (digits == 3 ? 0xff : 0xffff)))
            return ASQ_EPARSE;
        for (size_t k = 0; k + 1 < digits; k++)
            p[out++] = (uint8_t) (bits >> (16 - 8 * k));
    }
    *ret_n = out;
    return 0;
}
