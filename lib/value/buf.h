/*
 * buf.h: a growing byte buffer with an upper bound. After a failure (no memory, bound exceeded) the
 * buffer keeps the first error and ignores further writes, so writers check once, at the end.
 */
#ifndef ASQ_VALUE_BUF_H
#define ASQ_VALUE_BUF_H

#include <stddef.h>
#include <stdint.h>

struct asq__buf {
    uint8_t *data;
    size_t len, cap, max;
    int error; /* 0, ASQ_ENOMEM or ASQ_ELIMIT */
};

void asq__buf_init(struct asq__buf *b, size_t max);
void asq__buf_release(struct asq__buf *b);
/* Empties the buffer and clears the error; keeps the memory. */
void asq__buf_reset(struct asq__buf *b);
/* Slow path of asq__buf_reserve. */
uint8_t *asq__buf_grow(struct asq__buf *b, size_t n);
/* Makes room for n more bytes behind len, which the caller adds to len; NULL on failure. */
static inline uint8_t *asq__buf_reserve(struct asq__buf *b, size_t n)
{
    return b->data && !b->error && n <= b->cap - b->len ? b->data + b->len : asq__buf_grow(b, n);
}
void asq__buf_put(struct asq__buf *b, const void *data, size_t n);
void asq__buf_putc(struct asq__buf *b, uint8_t c);
void asq__buf_puts(struct asq__buf *b, const char *s);
void asq__buf_printf(struct asq__buf *b, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
/* Appends a protobuf base-128 varint. */
void asq__buf_varint(struct asq__buf *b, uint64_t v);
/* Hands the memory over, NUL-terminated, to be freed by free(); NULL on error. Leaves an empty
 * buffer. */
uint8_t *asq__buf_detach(struct asq__buf *b, size_t *ret_n);

#endif
