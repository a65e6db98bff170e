/*
 * base64.h: RFC 4648 with the standard alphabet and padding.
 */
#ifndef ASQ_VALUE_BASE64_H
#define ASQ_VALUE_BASE64_H

#include <stddef.h>

struct asq__buf;

void asq__base64_encode(const void *data, size_t n, struct asq__buf *out);
/* Writes up to n / 4 * 3 bytes to `to`, and their number to *ret_n. ASQ_EPARSE for text that the
 * encoder never writes. */
int asq__base64_decode(const char *text, size_t n, void *to, size_t *ret_n);

#endif
