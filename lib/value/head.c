/*
 * head.c: see head.h. Walks over the bytes of the message Value of proto/asqueue.proto without
 * decoding them first: a decoder would need memory for all of a large value, of which a line shows
 * the beginning.
 */
#include "value/head.h"

#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "value/assert.h"
#include "value/escape.h"
#include "value/varint.h"

enum { MAX_DEPTH = 8 }; /* deeper lists and maps are not shown */

static const char more[] = "…";

struct head {
    char *out;
    size_t n, room; /* room: for text, without that for `more` and the NUL */
    bool full;      /* text was cut */
    bool broken;    /* bytes did not decode */
};

struct bytes {
    const uint8_t *at, *end;
};

/* One field of a message. */
struct field {
    uint64_t number;
    unsigned wire;
    uint64_t value;     /* of wire types 0, 1, 5 */
    struct bytes bytes; /* of wire type 2 */
};

static void put(struct head *h, const char *text, size_t n)
{
    if (h->full || n > h->room - h->n) {
        h->full = true;
        return;
    }
    memcpy(h->out + h->n, text, n);
    h->n += n;
}

static void puts_of(struct head *h, const char *text)
{
    put(h, text, strlen(text));
}

/* Reads the next field of a message. False: there is none, or the bytes are none. */
static bool next(struct head *h, struct bytes *from, struct field *f)
{
    uint64_t tag, n = 0;
    if (h->full || h->broken || from->at >= from->end)
        return false;
    h->broken = true;
    const uint8_t *at = asq__varint_read(from->at, from->end, &tag);
    if (!at)
        return false;
    *f = (struct field){ .number = tag >> 3, .wire = (unsigned) (tag & 7) };
    switch (f->wire) {
    case 0:
        if (!(at = asq__varint_read(at, from->end, &f->value)))
            return false;
        break;
    case 1:
    case 5:
        n = f->wire == 1 ? 8 : 4;
        if ((uint64_t) (from->end - at) < n)
            return false;
        for (size_t i = 0; i < n; i++)
            f->value |= (uint64_t) at[i] << (8 * i);
        at += n;
        break;
    case 2:
        if (!(at = asq__varint_read(at, from->end, &n)) || (uint64_t) (from->end - at) < n)
            return false;
        f->bytes = (struct bytes){ at, at + n };
        at += n;
        break;
    default: return false;
    }
    from->at = at;
    h->broken = false;
    return true;
}

/* Writes text in quotes. Bytes that are no UTF-8, and a NUL, become '?'. */
static void put_text(struct head *h, struct bytes text)
{
    puts_of(h, "\"");
    while (text.at < text.end && !h->full) {
        unsigned char c[5] = "";
        uint32_t number;
        size_t left = (size_t) (text.end - text.at);
        memcpy(c, text.at, left < 4 ? left : 4);
        size_t n = *c ? asq__utf8_next(c, &number) : 0;
        char escape[8];
        if (n == 0) {
            puts_of(h, "?");
            n = 1;
        } else if (number < 0x20 || number == 0x7f) {
            snprintf(escape, sizeof escape, "\\u%04x", number);
            puts_of(h, escape);
        } else {
            if (number == '"' || number == '\\')
                puts_of(h, "\\");
            put(h, (const char *) c, n);
        }
        text.at += n;
    }
    puts_of(h, "\"");
}

static void put_number(struct head *h, uint64_t bits)
{
    double d;
    char text[40];
    memcpy(&d, &bits, sizeof d);
    snprintf(text, sizeof text, "%.15g", d);
    puts_of(h, text);
}

static void put_value(struct head *h, struct bytes value, unsigned depth);

/* Writes the elements of a List, or the entries of a Map. */
static void put_elements(struct head *h, struct bytes elements, bool map, unsigned depth)
{
    struct field element, part;
    bool any = false;
    if (depth >= MAX_DEPTH && elements.at < elements.end) {
        puts_of(h, map ? "{…}" : "[…]");
        return;
    }
    puts_of(h, map ? "{" : "[");
    while (next(h, &elements, &element)) {
        if (element.number != 1 || element.wire != 2)
            continue;
        if (any)
            puts_of(h, ", ");
        any = true;
        if (!map) {
            put_value(h, element.bytes, depth + 1);
            continue;
        }
        struct bytes key = { 0 }, value = { 0 };
        while (next(h, &element.bytes, &part)) {
            if (part.number == 1 && part.wire == 2)
                key = part.bytes;
            else if (part.number == 2 && part.wire == 2)
                value = part.bytes;
        }
        put_text(h, key);
        puts_of(h, ": ");
        put_value(h, value, depth + 1);
    }
    puts_of(h, map ? "}" : "]");
}

/* Writes the first field of a message, which is a text, behind a name. */
static void put_named(struct head *h, const char *name, struct bytes message)
{
    struct field f;
    puts_of(h, name);
    while (next(h, &message, &f))
        if (f.number == 1 && f.wire == 2) {
            put_text(h, f.bytes);
            return;
        }
}

static void put_value(struct head *h, struct bytes value, unsigned depth)
{
    struct field f, last = { 0 };
    char text[40];
    while (next(h, &value, &f))
        if (f.number <= 10) /* of the kinds the last one counts */
            last = f;
    unsigned wire = last.number >= 5 ? 2 : last.number == 4 ? 1 : 0;
    if (h->full || h->broken)
        return;
    if (last.number && last.wire != wire) {
        h->broken = true;
        return;
    }
    switch (last.number) {
    case 2: puts_of(h, last.value ? "true" : "false"); break;
    case 3: {
        uint64_t v = last.value;
        snprintf(text, sizeof text, "%lld", (long long) (int64_t) (v >> 1 ^ -(v & 1)));
        puts_of(h, text);
        break;
    }
    case 4: put_number(h, last.value); break;
    case 5: put_text(h, last.bytes); break;
    case 6:
        snprintf(text, sizeof text, "<%zu bytes>", (size_t) (last.bytes.end - last.bytes.at));
        puts_of(h, text);
        break;
    case 7: put_elements(h, last.bytes, false, depth); break;
    case 8: put_elements(h, last.bytes, true, depth); break;
    case 9: put_named(h, "agent ", last.bytes); break;
    case 10:
        puts_of(h, "future ");
        put_text(h, last.bytes);
        break;
    default: puts_of(h, "null"); break;
    }
}

size_t asq__value_head(const void *data, size_t n, char *out, size_t size)
{
    asq__assert(size >= 8);
    const uint8_t *at = data;
    struct head h = { .out = out, .room = size - sizeof more - 1 };
    put_value(&h, (struct bytes){ at, n ? at + n : at }, 0);
    if (h.full) {
        memcpy(out + h.n, more, sizeof more - 1);
        h.n += sizeof more - 1;
    } else if (h.broken) {
        out[h.n++] = '?';
    }
    out[h.n] = '\0';
    return h.n;
}
