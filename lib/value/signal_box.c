/*
 * signal_box.c: see signal_box.h. Written by hand like step_msg.c: the string is read in place.
 */
#include "value/signal_box.h"

#include <stdlib.h>
#include <string.h>

#include "asqueue.h"
#include "value/value.h"
#include "value/varint.h"

enum {
    TAG_SIGNAL = 1 << 3 | 2, /* of Signals */
    TAG_HEARD = 2 << 3,
    TAG_NUMBER = 1 << 3, /* of Signal */
    TAG_NAME = 2 << 3 | 2,
    TAG_VALUE = 3 << 3 | 2,
    TAG_AT = 4 << 3
};

/* The string may have as many bytes about signals that were heard, beyond those of the others. */
enum { HEARD_BYTES = 4096 };

static size_t number_size(uint64_t v)
{
    return v ? 1 + asq__varint_size(v) : 0;
}

/* Returns the size of a Signal without tag and length. */
static size_t message_size(uint64_t number, size_t name_n, size_t value_n, int64_t at_ms)
{
    return number_size(number) + asq__bytes_size(name_n) + asq__bytes_size(value_n) +
           number_size((uint64_t) at_ms);
}

void asq__signal_box_init(struct asq__signal_box *box)
{
    *box = (struct asq__signal_box){ .n = 0 };
    asq__list_init(&box->signals);
}

void asq__signal_box_remove(struct asq__signal_box *box, struct asq__signal *s)
{
    asq__list_del(&s->node);
    box->n--;
    box->bytes -= s->bytes;
    free(s);
}

static struct asq__signal *signal_at(struct asq__list *node)
{
    return ASQ__CONTAINER(node, struct asq__signal, node);
}

void asq__signal_box_release(struct asq__signal_box *box)
{
    while (!asq__list_empty(&box->signals))
        asq__signal_box_remove(box, signal_at(box->signals.next));
}

/* ---- adding, finding ---- */

bool asq__signal_box_has_room(const struct asq__signal_box *box, const char *name, size_t value_n)
{
    size_t n = asq__field_size(message_size(box->last + 1, strlen(name), value_n, INT64_MAX));
    return box->n < ASQ__SIGNALS_MAX && box->bytes + n <= ASQ__SIGNALS_BYTES;
}

static struct asq__signal *add(struct asq__signal_box *box, uint64_t number, const char *name,
                               size_t name_n, const void *value, size_t value_n, int64_t at_ms)
{
    struct asq__signal *s = malloc(sizeof *s + name_n + 1 + value_n);
    if (!s)
        return NULL;
    s->number = number;
    s->at_ms = at_ms;
    s->bytes = asq__field_size(message_size(number, name_n, value_n, at_ms));
    memcpy(s->name, name, name_n);
    s->name[name_n] = '\0';
    s->value = (uint8_t *) s->name + name_n + 1;
    s->value_n = value_n;
    if (value_n)
        memcpy(s->value, value, value_n);
    asq__list_init(&s->node);
    asq__list_add(&box->signals, &s->node);
    box->n++;
    box->bytes += s->bytes;
    box->last = number;
    return s;
}

struct asq__signal *asq__signal_box_add(struct asq__signal_box *box, const char *name,
                                        const void *value, size_t value_n, int64_t at_ms)
{
    return add(box, box->last + 1, name, strlen(name), value, value_n, at_ms);
}

struct asq__signal *asq__signal_box_find(const struct asq__signal_box *box, const char *name)
{
    ASQ__LIST_EACH (it, &box->signals)
        if (strcmp(signal_at(it)->name, name) == 0)
            return signal_at(it);
    return NULL;
}

/* ---- the string ---- */

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

static void put_signal(const struct asq__signal *s, struct asq__buf *out)
{
    size_t name_n = strlen(s->name);
    asq__buf_putc(out, TAG_SIGNAL);
    asq__buf_varint(out, message_size(s->number, name_n, s->value_n, s->at_ms));
    put_number(out, TAG_NUMBER, s->number);
    put_bytes(out, TAG_NAME, s->name, name_n);
    put_bytes(out, TAG_VALUE, s->value, s->value_n);
    put_number(out, TAG_AT, (uint64_t) s->at_ms);
}

static enum asq__signals_change replace(struct asq__signal_box *box, struct asq__buf *out)
{
    ASQ__LIST_EACH (it, &box->signals)
        put_signal(signal_at(it), out);
    box->written = box->bytes;
    return ASQ__SIGNALS_REPLACE;
}

enum asq__signals_change asq__signal_box_added(struct asq__signal_box *box,
                                               const struct asq__signal *s, struct asq__buf *out)
{
    if (box->written == 0)
        return replace(box, out);
    put_signal(s, out);
    box->written += s->bytes;
    return ASQ__SIGNALS_APPEND;
}

enum asq__signals_change asq__signal_box_heard(struct asq__signal_box *box, uint64_t number,
                                               struct asq__buf *out)
{
    if (box->n == 0) {
        box->written = 0;
        return ASQ__SIGNALS_UNLINK;
    }
    if (box->written > 2 * box->bytes + HEARD_BYTES)
        return replace(box, out);
    put_number(out, TAG_HEARD, number);
    box->written += number_size(number);
    return ASQ__SIGNALS_APPEND;
}

/* A Signal as it was read. */
struct read {
    uint64_t number, at_ms;
    const char *name;
    const uint8_t *value;
    size_t name_n, value_n;
};

/* Reads the fields of a Signal. */
static bool read_signal(const uint8_t *p, const uint8_t *end, struct read *ret)
{
    uint64_t tag, v;
    *ret = (struct read){ .name = "" };
    while (p < end) {
        if (!(p = asq__varint_read(p, end, &tag)) || !(p = asq__varint_read(p, end, &v)))
            return false;
        if (tag == TAG_NUMBER)
            ret->number = v;
        else if (tag == TAG_AT)
            ret->at_ms = v;
        if ((tag & 7) == 0)
            continue;
        if ((tag & 7) != 2 || v > (size_t) (end - p))
            return false;
        if (tag == TAG_NAME) {
            ret->name = (const char *) p;
            ret->name_n = (size_t) v;
        } else if (tag == TAG_VALUE) {
            ret->value = p;
            ret->value_n = (size_t) v;
        }
        p += v;
    }
    return ret->number && ret->name_n && ret->name_n <= ASQ_MAX_NAME &&
           !memchr(ret->name, '\0', ret->name_n) && asq__utf8_valid(ret->name, ret->name_n) &&
           ret->value_n <= ASQ__SIGNAL_MAX;
}

static void remove_heard(struct asq__signal_box *box, uint64_t number)
{
    ASQ__LIST_EACH (it, &box->signals)
        if (signal_at(it)->number == number) {
            asq__signal_box_remove(box, signal_at(it));
            return;
        }
}

static int read_all(struct asq__signal_box *box, const uint8_t *p, const uint8_t *end)
{
    uint64_t tag, v;
    struct read s;
    while (p < end) {
        if (!(p = asq__varint_read(p, end, &tag)) || !(p = asq__varint_read(p, end, &v)))
            return ASQ_EPROTO;
        if (tag == TAG_HEARD) {
            remove_heard(box, v);
            continue;
        }
        if (tag != TAG_SIGNAL || v > (size_t) (end - p) || !read_signal(p, p + v, &s) ||
            s.number <= box->last || box->n >= ASQ__SIGNALS_MAX)
            return ASQ_EPROTO;
        if (!add(box, s.number, s.name, s.name_n, s.value, s.value_n, (int64_t) s.at_ms))
            return ASQ_ENOMEM;
        p += v;
    }
    return 0;
}

int asq__signal_box_read(struct asq__signal_box *box, const void *data, size_t n)
{
    int rc = read_all(box, data, (const uint8_t *) data + n);
    if (rc < 0) {
        asq__signal_box_release(box);
        asq__signal_box_init(box);
        return rc;
    }
    box->written = n;
    return 0;
}
