/*
 * step_msg.c: see step_msg.h. Written by hand, because a record is read where it lies: a call may
 * have thousands of them, and needs each once.
 */
#include "value/step_msg.h"

#include <stdbool.h>
#include <string.h>

#include "asqueue.h"
#include "value/buf.h"
#include "value/value.h"
#include "value/varint.h"

enum {
    TAG_STEPS_STEP = 1 << 3 | 2,
    TAG_STEP_NUMBER = 1 << 3,
    TAG_STEP_KIND = 2 << 3,
    TAG_STEP_NAME = 3 << 3 | 2,
    TAG_STEP_VALUE = 4 << 3 | 2,
    TAG_STEP_CODE = 5 << 3,
    TAG_STEP_MESSAGE = 6 << 3 | 2
};

static size_t number_size(uint64_t v)
{
    return v ? 1 + asq__varint_size(v) : 0;
}

static void put_number(struct asq__buf *out, uint8_t tag, uint64_t v)
{
    if (!v)
        return;
    asq__buf_putc(out, tag);
    asq__buf_varint(out, v);
}

static void put_bytes(struct asq__buf *out, uint8_t tag, const void *data, size_t n)
{
    if (!n)
        return;
    asq__buf_putc(out, tag);
    asq__buf_varint(out, n);
    asq__buf_put(out, data, n);
}

void asq__step_encode(const struct asq__step *step, struct asq__buf *out)
{
    uint64_t code = asq__zigzag(step->code);
    size_t n = number_size(step->number) + number_size(step->kind) + asq__bytes_size(step->name_n) +
               asq__bytes_size(step->value_n) + number_size(code) +
               asq__bytes_size(step->message_n);
    asq__buf_putc(out, TAG_STEPS_STEP);
    asq__buf_varint(out, n);
    put_number(out, TAG_STEP_NUMBER, step->number);
    put_number(out, TAG_STEP_KIND, step->kind);
    put_bytes(out, TAG_STEP_NAME, step->name, step->name_n);
    put_bytes(out, TAG_STEP_VALUE, step->value, step->value_n);
    put_number(out, TAG_STEP_CODE, code);
    put_bytes(out, TAG_STEP_MESSAGE, step->message, step->message_n);
}

/* Takes a field of a number. False: unknown. */
static bool take_number(struct asq__step *step, uint64_t tag, uint64_t v)
{
    int64_t code = asq__unzigzag(v);
    switch (tag) {
    case TAG_STEP_NUMBER: step->number = v; return true;
    case TAG_STEP_KIND: step->kind = (Asqueue__StepKind) v; return v <= ASQUEUE__STEP_KIND__WAITED;
    case TAG_STEP_CODE: step->code = (int32_t) code; return code <= 0 && code >= INT32_MIN;
    default: return false;
    }
}

static bool take_bytes(struct asq__step *step, uint64_t tag, const uint8_t *data, size_t n)
{
    switch (tag) {
    case TAG_STEP_NAME:
        step->name = (const char *) data;
        step->name_n = n;
        return asq__utf8_valid(step->name, n);
    case TAG_STEP_VALUE:
        step->value = data;
        step->value_n = n;
        return true;
    case TAG_STEP_MESSAGE:
        step->message = (const char *) data;
        step->message_n = n;
        return asq__utf8_valid(step->message, n);
    default: return false;
    }
}

static bool read_fields(const uint8_t *p, const uint8_t *end, struct asq__step *step)
{
    uint64_t tag, v;
    while (p < end) {
        if (!(p = asq__varint_read(p, end, &tag)) || !(p = asq__varint_read(p, end, &v)))
            return false;
        if ((tag & 7) == 0 && take_number(step, tag, v))
            continue;
        if ((tag & 7) != 2 || v > (size_t) (end - p) || !take_bytes(step, tag, p, (size_t) v))
            return false;
        p += v;
    }
    return step->number != 0;
}

int asq__step_read(const uint8_t *data, size_t n, size_t *at, struct asq__step *ret)
{
    uint64_t size;
    if (*at >= n)
        return ASQ_ENOENT;
    const uint8_t *end = data + n;
    const uint8_t *p = data + *at;
    *ret = (struct asq__step){ .name = "", .value = "", .message = "" };
    if (*p++ != TAG_STEPS_STEP || !(p = asq__varint_read(p, end, &size)) ||
        size > (size_t) (end - p) || !read_fields(p, p + size, ret))
        return ASQ_EPROTO;
    *at = (size_t) (p - data) + (size_t) size;
    return 0;
}
