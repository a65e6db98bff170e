/*
 * cmd.c: see cmd.h.
 */
#include <string.h>

#include "redis/cmd.h"
#include "value/decimal.h"

enum { COUNT_MAX = ASQ__DECIMAL_MAX + 3 }; /* a sign, digits, CRLF */
#define KEPT  ((size_t) 256 * 1024)
#define LIMIT ((size_t) 1 << 31)

/* Writes "$5\r\n" or "*3\r\n". Returns the end. */
static inline char *count(char *out, char kind, size_t n)
{
    *out++ = kind;
    out += asq__decimal(n, out);
    *out++ = '\r';
    *out++ = '\n';
    return out;
}

void asq__cmd_write_arg(struct asq__buf *b, const void *data, size_t n)
{
    char *start = (char *) asq__buf_reserve(b, COUNT_MAX + n + 2), *p = start;
    if (!p)
        return;
    p = count(p, '$', n);
    if (n)
        memcpy(p, data, n);
    p += n;
    *p++ = '\r';
    *p++ = '\n';
    b->len += (size_t) (p - start);
}

void asq__cmd_write_head(struct asq__buf *b, size_t argc)
{
    char *start = (char *) asq__buf_reserve(b, COUNT_MAX);
    if (start)
        b->len += (size_t) (count(start, '*', argc) - start);
}

void asq__cmd_init(struct asq__cmd *c)
{
    asq__buf_init(&c->bytes, LIMIT);
    c->argc = 0;
}

void asq__cmd_release(struct asq__cmd *c)
{
    asq__buf_release(&c->bytes);
}

void asq__cmd_reset(struct asq__cmd *c)
{
    if (c->bytes.cap > KEPT)
        asq__buf_release(&c->bytes);
    asq__buf_reset(&c->bytes);
    c->argc = 0;
}

void asq__cmd_put(struct asq__cmd *c, const void *data, size_t n)
{
    asq__cmd_write_arg(&c->bytes, data, n);
    c->argc++;
}

void asq__cmd_puts(struct asq__cmd *c, const char *s)
{
    asq__cmd_put(c, s, strlen(s));
}

void asq__cmd_number(struct asq__cmd *c, uint64_t number)
{
    char *start = (char *) asq__buf_reserve(&c->bytes, COUNT_MAX + ASQ__DECIMAL_MAX + 2),
         *p = start;
    size_t n = asq__decimal_size(number);
    c->argc++;
    if (!p)
        return;
    p = count(p, '$', n);
    asq__decimal_write(number, n, p);
    p += n;
    *p++ = '\r';
    *p++ = '\n';
    c->bytes.len += (size_t) (p - start);
}

void asq__cmd_append(struct asq__cmd *c, const struct asq__cmd *other)
{
    asq__buf_put(&c->bytes, other->bytes.data, other->bytes.len);
    if (other->bytes.error)
        c->bytes.error = other->bytes.error;
    c->argc += other->argc;
}
