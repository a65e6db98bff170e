/*
 * buf.c: see buf.h. The memory is one byte larger than cap, for the NUL added by asq__buf_detach.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "asqueue.h"
#include "value/buf.h"
#include "value/varint.h"

enum { SMALLEST = 64 };

void asq__buf_init(struct asq__buf *b, size_t max)
{
    *b = (struct asq__buf){ .max = max < SIZE_MAX ? max : SIZE_MAX - 1 };
}

void asq__buf_release(struct asq__buf *b)
{
    free(b->data);
    b->data = NULL;
    b->len = b->cap = 0;
}

void asq__buf_reset(struct asq__buf *b)
{
    b->len = 0;
    b->error = 0;
}

uint8_t *asq__buf_grow(struct asq__buf *b, size_t n)
{
    if (b->error)
        return NULL;
    if (n > b->max || b->len > b->max - n) {
        b->error = ASQ_ELIMIT;
        return NULL;
    }
    size_t cap = b->cap < b->max / 2 ? b->cap * 2 : b->max;
    if (cap < b->len + n)
        cap = b->len + n;
    if (cap < SMALLEST)
        cap = b->max < SMALLEST ? b->max : SMALLEST;
    uint8_t *data = b->data ? realloc(b->data, cap + 1) : malloc(cap + 1); /* faster in jemalloc */
    if (!data) {
        b->error = ASQ_ENOMEM;
        return NULL;
    }
    b->data = data;
    b->cap = cap;
    return data + b->len;
}

void asq__buf_put(struct asq__buf *b, const void *data, size_t n)
{
    uint8_t *p = n ? asq__buf_reserve(b, n) : NULL;
    if (p) {
        memcpy(p, data, n);
        b->len += n;
    }
}

void asq__buf_putc(struct asq__buf *b, uint8_t c)
{
    uint8_t *p = asq__buf_reserve(b, 1);
    if (p) {
        *p = c;
        b->len++;
    }
}

void asq__buf_puts(struct asq__buf *b, const char *s)
{
    asq__buf_put(b, s, strlen(s));
}

void asq__buf_printf(struct asq__buf *b, const char *fmt, ...)
{
    if (b->error)
        return;
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    if (n < 0) {
        b->error = ASQ_ELIMIT;
        return;
    }
    /* At worst, vsnprintf writes its NUL to the extra byte behind cap. */
    char *p = (char *) asq__buf_reserve(b, (size_t) n);
    if (p) {
        va_start(ap, fmt);
        vsnprintf(p, (size_t) n + 1, fmt, ap);
        va_end(ap);
        b->len += (size_t) n;
    }
}

void asq__buf_varint(struct asq__buf *b, uint64_t v)
{
    uint8_t *p = asq__buf_reserve(b, asq__varint_size(v));
    if (p)
        b->len = (size_t) (asq__varint_write(p, v) - b->data);
}

uint8_t *asq__buf_detach(struct asq__buf *b, size_t *ret_n)
{
    uint8_t *data = b->error ? NULL : b->data;
    if (b->error)
        free(b->data);
    else if (!data)
        data = malloc(1);
    if (data) {
        data[b->len] = '\0';
        if (ret_n)
            *ret_n = b->len;
    }
    asq__buf_init(b, b->max);
    return data;
}
