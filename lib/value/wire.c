/*
 * wire.c: encodes and decodes the protobuf message Value of proto/asqueue.proto by hand, with the
 * same bytes as protobuf-c, whose unpacker would recurse as deep as hostile bytes ask for.
 *
 * Encoding takes two passes: the total size, then the bytes, from the last to the first. A length
 * comes before the bytes that it counts, so writing backwards it is already known, and no size is
 * computed twice.
 *
 * Decoding is one loop with a stack of up to ASQ_MAX_DEPTH frames. Unknown fields are skipped; of
 * the fields of a Value the last one counts. Stricter than protobuf-c on bytes that no encoder
 * writes: an Entry with two values is refused, not merged, and so are duplicate keys, keys with a
 * NUL, field number 0 and varints beyond 64 bits.
 */
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "asqueue.h"
#include "value/assert.h"
#include "value/buf.h"
#include "value/error.h"
#include "value/value.h"
#include "value/varint.h"

enum wire { VARINT = 0, FIXED64 = 1, BYTES = 2, FIXED32 = 5 };

/* Field numbers of the messages, and their encoded tags. */
enum { F_NULL = 1, F_BOOLEAN, F_INTEGER, F_NUMBER, F_TEXT };
enum { F_DATA = F_TEXT + 1, F_LIST, F_MAP, F_AGENT, F_FUTURE, F_UNAWAITED };
enum { F_ELEMENT = 1 };          /* List.items, Map.entries */
enum { F_KEY = 1, F_VALUE = 2 }; /* Entry */
enum { F_ID = 1, F_CLASS = 2 };  /* AgentRef */
#define TAG(field, wire) ((uint8_t) ((field) << 3 | (wire)))

/* MOST_RESERVED: a count of more pairs is not trusted; the map then grows as they are read. */
enum { MOST_RESERVED = 4096, FEW_FRAMES = 6 };

/* ---- Encoding -------------------------------------------------------------------------------- */

static size_t encoded_size(const asq_value *v)
{
    size_t n = 0;
    switch (v->type) {
    case ASQ_NULL:
    case ASQ_BOOL: return 2;
    case ASQ_INT: return 1 + asq__varint_size(asq__zigzag(v->integer));
    case ASQ_DOUBLE: return 1 + sizeof(uint64_t);
    case ASQ_STRING:
    case ASQ_BYTES: return asq__field_size(v->str.n);
    case ASQ_LIST:
        for (size_t i = 0; i < v->list.n; i++)
            n += asq__field_size(encoded_size(v->list.items[i]));
        break;
    case ASQ_MAP:
        for (uint32_t i = 0; i < v->map.n; i++)
            n += asq__field_size(asq__bytes_size(strlen(v->map.pairs[i].key)) +
                                 asq__field_size(encoded_size(v->map.pairs[i].value)));
        break;
    case ASQ_AGENT:
        n = asq__bytes_size(strlen(v->agent.id)) + asq__bytes_size(strlen(v->agent.class_name));
        break;
    case ASQ_FUTURE:
        return asq__field_size(strlen(v->future->text)) + (v->future->unawaited ? 2 : 0);
    }
    return asq__field_size(n);
}

/* The put functions write before p, and return the beginning of the written bytes. */

static inline uint8_t *put_varint(uint8_t *p, uint8_t tag, uint64_t v)
{
    size_t n = asq__varint_size(v);
    p -= n;
    for (size_t i = 0; i + 1 < n; i++, v >>= 7)
        p[i] = (uint8_t) (v | 0x80);
    p[n - 1] = (uint8_t) v;
    *--p = tag;
    return p;
}

static inline uint8_t *put_bytes(uint8_t *p, uint8_t tag, const void *data, size_t n)
{
    p -= n;
    if (n)
        memcpy(p, data, n);
    return put_varint(p, tag, n);
}

static uint8_t *put_text(uint8_t *p, uint8_t tag, const char *s)
{
    return *s ? put_bytes(p, tag, s, strlen(s)) : p;
}

static uint8_t *put_value(uint8_t *p, const asq_value *v)
{
    uint8_t *end = p;
    switch (v->type) {
    case ASQ_NULL: return put_varint(p, TAG(F_NULL, VARINT), 1);
    case ASQ_BOOL: return put_varint(p, TAG(F_BOOLEAN, VARINT), v->boolean);
    case ASQ_INT: return put_varint(p, TAG(F_INTEGER, VARINT), asq__zigzag(v->integer));
    case ASQ_DOUBLE: {
        uint64_t bits;
        memcpy(&bits, &v->number, sizeof bits);
        p -= sizeof bits;
        for (unsigned i = 0; i < sizeof bits; i++)
            p[i] = (uint8_t) (bits >> 8 * i);
        *--p = TAG(F_NUMBER, FIXED64);
        return p;
    }
    case ASQ_STRING: return put_bytes(p, TAG(F_TEXT, BYTES), v->str.data, v->str.n);
    case ASQ_BYTES: return put_bytes(p, TAG(F_DATA, BYTES), v->str.data, v->str.n);
    case ASQ_LIST:
        for (size_t i = v->list.n; i-- > 0;) {
            uint8_t *item_end = p;
            p = put_value(p, v->list.items[i]);
            p = put_varint(p, TAG(F_ELEMENT, BYTES), (size_t) (item_end - p));
        }
        return put_varint(p, TAG(F_LIST, BYTES), (size_t) (end - p));
    case ASQ_MAP:
        for (uint32_t i = v->map.n; i-- > 0;) {
            uint8_t *entry_end = p;
            p = put_value(p, v->map.pairs[i].value);
            p = put_varint(p, TAG(F_VALUE, BYTES), (size_t) (entry_end - p));
            p = put_text(p, TAG(F_KEY, BYTES), v->map.pairs[i].key);
            p = put_varint(p, TAG(F_ELEMENT, BYTES), (size_t) (entry_end - p));
        }
        return put_varint(p, TAG(F_MAP, BYTES), (size_t) (end - p));
    case ASQ_AGENT:
        p = put_text(p, TAG(F_CLASS, BYTES), v->agent.class_name);
        p = put_text(p, TAG(F_ID, BYTES), v->agent.id);
        return put_varint(p, TAG(F_AGENT, BYTES), (size_t) (end - p));
    case ASQ_FUTURE:
        if (v->future->unawaited)
            p = put_varint(p, TAG(F_UNAWAITED, VARINT), 1);
        return put_bytes(p, TAG(F_FUTURE, BYTES), v->future->text, strlen(v->future->text));
    }
    return p;
}

int64_t asq_value_encoded_size(const asq_value *v)
{
    return (int64_t) encoded_size(v ? v : asq_value_null());
}

int64_t asq__value_size(const asq_value *v)
{
    return v && v->height > ASQ_MAX_DEPTH ? ASQ_ELIMIT : asq_value_encoded_size(v);
}

void asq__value_put(const asq_value *v, size_t n, struct asq__buf *out)
{
    uint8_t *p = asq__buf_reserve(out, n);
    if (!p)
        return;
    uint8_t *first = put_value(p + n, v ? v : asq_value_null());
    asq__assert(first == p);
    out->len += n;
}

int asq__value_encode(const asq_value *v, struct asq__buf *out)
{
    int64_t n = asq__value_size(v);
    if (n < 0)
        return (int) n;
    asq__value_put(v, (size_t) n, out);
    return out->error;
}

/* ---- Decoding -------------------------------------------------------------------------------- */

struct reader {
    const uint8_t *start, *p;
    char *err;
    size_t errlen;
    bool marked;    /* keep marks */
    bool unawaited; /* the current Value has the mark */
};

struct field {
    const uint8_t *at; /* beginning of the field */
    uint32_t number;
    enum wire wire;
    uint64_t varint;     /* VARINT, FIXED64 */
    const uint8_t *data; /* BYTES */
    size_t n;
};

#define FAIL(r, at, ...) fail((r), asq__err((r)->err, (r)->errlen, ASQ_EPROTO, __VA_ARGS__), at)

/* Writes an error with its place. */
static int fail(struct reader *r, int rc, const uint8_t *at)
{
    char text[160];
    if (r->err && r->errlen) {
        asq__err(text, sizeof text, 0, "%s", r->err);
        asq__err(r->err, r->errlen, 0, "byte %zu of the value: %s", (size_t) (at - r->start), text);
    }
    return rc;
}

static int out_of_memory(struct reader *r)
{
    return asq__err(r->err, r->errlen, ASQ_ENOMEM, "out of memory");
}

static int read_varint(struct reader *r, const uint8_t *end, uint64_t *ret)
{
    const uint8_t *after = asq__varint_read(r->p, end, ret);
    if (!after && end - r->p >= ASQ__VARINT_MAX)
        return FAIL(r, r->p, "a varint of more than 64 bits");
    if (!after)
        return FAIL(r, r->p, "the end is in the middle of a varint");
    r->p = after;
    return 0;
}

static int read_field(struct reader *r, const uint8_t *end, struct field *f)
{
    uint64_t tag;
    f->at = r->p;
    int rc = read_varint(r, end, &tag);
    if (rc < 0)
        return rc;
    if (tag > UINT32_MAX || tag < 8)
        return FAIL(r, f->at, "no valid field number");
    f->number = (uint32_t) tag >> 3;
    f->wire = tag & 7;
    size_t left = (size_t) (end - r->p);
    switch (f->wire) {
    case VARINT: return read_varint(r, end, &f->varint);
    case FIXED64:
        if (left < 8)
            break;
        f->varint = 0;
        for (unsigned i = 0; i < 8; i++)
            f->varint |= (uint64_t) r->p[i] << 8 * i;
        r->p += 8;
        return 0;
    case FIXED32:
        if (left < 4)
            break;
        r->p += 4;
        return 0;
    case BYTES: {
        uint64_t n;
        rc = read_varint(r, end, &n);
        if (rc < 0)
            return rc;
        left = (size_t) (end - r->p);
        if (n > left)
            return FAIL(r, f->at, "field %u has %llu bytes, but only %zu are left",
                        (unsigned) f->number, (unsigned long long) n, left);
        f->data = r->p;
        f->n = (size_t) n;
        r->p += n;
        return 0;
    }
    default:
        return FAIL(r, f->at, "field %u has unknown wire type %d", (unsigned) f->number,
                    (int) f->wire);
    }
    return FAIL(r, f->at, "field %u is cut off", (unsigned) f->number);
}

static int expect(struct reader *r, const struct field *f, enum wire wire, const char *what)
{
    return f->wire == wire ? 0
                           : FAIL(r, f->at, "%s (field %u) has wire type %d instead of %d", what,
                                  (unsigned) f->number, (int) f->wire, (int) wire);
}

static int expect_text(struct reader *r, const struct field *f, const char *what)
{
    int rc = expect(r, f, BYTES, what);
    if (rc == 0 && !asq__utf8_valid((const char *) f->data, f->n))
        rc = FAIL(r, f->at, "%s is not UTF-8", what);
    return rc;
}

/* Copies a text without NULs, of at most size - 1 bytes. */
static int copy_text(struct reader *r, const struct field *f, const char *what, char *to,
                     size_t size)
{
    int rc = expect_text(r, f, what);
    if (rc < 0)
        return rc;
    if (f->n >= size)
        return FAIL(r, f->at, "%s has %zu bytes; %zu are allowed", what, f->n, size - 1);
    if (f->n && memchr(f->data, 0, f->n))
        return FAIL(r, f->at, "%s contains a NUL", what);
    if (f->n)
        memcpy(to, f->data, f->n);
    to[f->n] = '\0';
    return 0;
}

static int read_bytes(struct reader *r, const struct field *f, asq_type type, asq_value **ret)
{
    *ret = asq__value_new_bytes(type, f->n);
    if (!*ret)
        return out_of_memory(r);
    if (f->n)
        memcpy((*ret)->str.data, f->data, f->n);
    return 0;
}

/* Out of line, like the functions below, so that their buffers do not enlarge the loop's stack
 * frame. */
static __attribute__((noinline)) int read_agent(struct reader *r, const struct field *f,
                                                asq_value **ret)
{
    char id[ASQ_MAX_ID + 1] = "", class_name[ASQ_MAX_NAME + 1] = "", why[80];
    struct reader inner = *r;
    struct field g;
    int rc = expect(r, f, BYTES, "agent");
    inner.p = f->data;
    while (rc == 0 && inner.p < f->data + f->n) {
        rc = read_field(&inner, f->data + f->n, &g);
        if (rc == 0 && g.number == F_ID)
            rc = copy_text(&inner, &g, "the agent's id", id, sizeof id);
        else if (rc == 0 && g.number == F_CLASS)
            rc = copy_text(&inner, &g, "the agent's class", class_name, sizeof class_name);
    }
    if (rc < 0)
        return rc;
    if (asq__check_id(id, why, sizeof why) < 0)
        return FAIL(r, f->at, "%s", why);
    *ret = asq__value_agent_ref(id, class_name);
    return *ret ? 0 : out_of_memory(r);
}

static __attribute__((noinline)) int read_future(struct reader *r, const struct field *f,
                                                 asq_value **ret)
{
    char text[ASQ__CALL_ID_TEXT];
    struct asq__call_id id;
    int rc = copy_text(r, f, "future", text, sizeof text);
    if (rc < 0)
        return rc;
    if (asq__call_id_parse(text, &id) < 0)
        return FAIL(r, f->at, "a future whose text is not a call id");
    *ret = asq__value_future_ref(text, NULL);
    return *ret ? 0 : out_of_memory(r);
}

/* Reads a field of a Value that contains no other values; *ret is NULL if the field is unknown. */
static int read_leaf(struct reader *r, const struct field *f, asq_value **ret)
{
    int rc = 0;
    *ret = NULL;
    switch (f->number) {
    case F_NULL:
        rc = expect(r, f, VARINT, "null");
        if (rc == 0)
            *ret = asq_value_null();
        return rc;
    case F_BOOLEAN:
        rc = expect(r, f, VARINT, "boolean");
        if (rc == 0)
            *ret = asq_value_bool(f->varint != 0);
        return rc;
    case F_INTEGER:
        rc = expect(r, f, VARINT, "integer");
        if (rc == 0 && !(*ret = asq_value_int(asq__unzigzag(f->varint))))
            rc = out_of_memory(r);
        return rc;
    case F_NUMBER:
        rc = expect(r, f, FIXED64, "number");
        if (rc == 0) {
            double d;
            memcpy(&d, &f->varint, sizeof d);
            if (!(*ret = asq_value_double(d)))
                rc = out_of_memory(r);
        }
        return rc;
    case F_TEXT:
        rc = expect_text(r, f, "text");
        return rc < 0 ? rc : read_bytes(r, f, ASQ_STRING, ret);
    case F_DATA:
        rc = expect(r, f, BYTES, "data");
        return rc < 0 ? rc : read_bytes(r, f, ASQ_BYTES, ret);
    case F_AGENT: return read_agent(r, f, ret);
    case F_FUTURE: return read_future(r, f, ret);
    default: return 0;
    }
}

/* A container whose elements are being read. */
struct frame {
    asq_value *container;
    const uint8_t *end;       /* end of its elements */
    const uint8_t *value_end; /* end of the Value that contains it */
    const uint8_t *next;      /* beginning of the next element */
    char *key;                /* in a map: key of the current element */
};

/* Counts the elements at p as far as that is cheap; the number is a hint. */
static size_t count_elements(const uint8_t *p, const uint8_t *end)
{
    size_t count = 0;
    while (p < end && *p++ == TAG(F_ELEMENT, BYTES)) {
        size_t n = 0;
        for (unsigned shift = 0; p < end && shift < 32; shift += 7) {
            n |= (size_t) (*p & 0x7f) << shift;
            if (*p++ < 0x80)
                break;
        }
        if (n > (size_t) (end - p))
            break;
        p += n;
        count++;
    }
    return count;
}

/* Opens the list or map in field f of a Value that ends at value_end. */
static int open_container(struct reader *r, const struct field *f, const uint8_t *value_end,
                          struct frame *frame)
{
    bool list = f->number == F_LIST;
    int rc = expect(r, f, BYTES, list ? "list" : "map");
    if (rc < 0)
        return rc;
    size_t count = count_elements(f->data, f->data + f->n);
    asq_value *v = list ? asq_value_list() : asq_value_map();
    if (!v)
        return out_of_memory(r);
    if (count && (list ? asq__list_reserve(v, count)
                       : asq__map_reserve(v, count < MOST_RESERVED ? count : MOST_RESERVED)) < 0) {
        asq_value_free(v);
        return out_of_memory(r);
    }
    *frame = (struct frame){ .container = v, .end = f->data + f->n, .value_end = value_end };
    r->p = f->data;
    return 0;
}

/* Reads the Entry in a field: sets the frame's key, and makes `entry` the field of the value. */
static int read_entry(struct reader *r, struct field *entry, struct frame *frame)
{
    struct field f, key = { .data = NULL, .n = 0 };
    const uint8_t *end = entry->data + entry->n;
    bool valued = false;
    r->p = entry->data;
    entry->data = end; /* without a value: null */
    entry->n = 0;
    while (r->p < end) {
        int rc = read_field(r, end, &f);
        if (rc == 0 && f.number == F_KEY) {
            rc = expect_text(r, &f, "a key");
            if (rc == 0 && f.n && memchr(f.data, 0, f.n))
                rc = FAIL(r, f.at, "a key contains a NUL");
            key = f;
        } else if (rc == 0 && f.number == F_VALUE) {
            rc = valued ? FAIL(r, f.at, "a second value under one key")
                        : expect(r, &f, BYTES, "the value of an entry");
            *entry = f;
            valued = true;
        }
        if (rc < 0)
            return rc;
    }
    frame->key = malloc(key.n + 1);
    if (!frame->key)
        return out_of_memory(r);
    if (key.n)
        memcpy(frame->key, key.data, key.n);
    frame->key[key.n] = '\0';
    return 0;
}

/* Moves to the next element: 1, with *ret_end the end of its Value; 0: no further element. */
static int next_element(struct reader *r, struct frame *frame, const uint8_t **ret_end)
{
    struct field f;
    bool list = frame->container->type == ASQ_LIST;
    while (r->p < frame->end) {
        int rc = read_field(r, frame->end, &f);
        if (rc < 0)
            return rc;
        if (f.number != F_ELEMENT)
            continue;
        rc = expect(r, &f, BYTES, list ? "an item" : "an entry");
        if (rc < 0)
            return rc;
        frame->next = f.data + f.n;
        if (!list && (rc = read_entry(r, &f, frame)) < 0)
            return rc;
        r->p = f.data;
        *ret_end = f.data + f.n;
        return 1;
    }
    return 0;
}

/* Puts a finished element into the container (taken). */
static int close_element(struct reader *r, struct frame *frame, asq_value *item)
{
    int rc;
    if (frame->container->type == ASQ_LIST) {
        rc = asq_list_append(frame->container, item);
    } else {
        char *key = frame->key;
        frame->key = NULL;
        rc = asq__map_add(frame->container, key, item);
        if (rc == ASQ_EEXIST)
            return FAIL(r, frame->next, "two entries of a map have the same key");
    }
    r->p = frame->next;
    return rc < 0 ? out_of_memory(r) : 0;
}

/* The open containers. Allocates only for deep values, because the stack may be small. */
struct frames {
    struct frame few[FEW_FRAMES], *at;
    size_t depth, cap;
};

static int push_frame(struct reader *r, struct frames *open, const struct field *f,
                      const uint8_t *value_end)
{
    if (open->depth == ASQ_MAX_DEPTH)
        return FAIL(r, f->at, "lists and maps are nested deeper than %d", ASQ_MAX_DEPTH);
    if (open->depth == open->cap) {
        struct frame *all = malloc(ASQ_MAX_DEPTH * sizeof *all);
        if (!all)
            return out_of_memory(r);
        memcpy(all, open->few, sizeof open->few);
        open->at = all;
        open->cap = ASQ_MAX_DEPTH;
    }
    int rc = open_container(r, f, value_end, &open->at[open->depth]);
    if (rc == 0)
        open->depth++;
    return rc;
}

/* Decodes in one loop. v is the Value that ends at `end`, as far as it was read. */
static int decode(struct reader *r, const uint8_t *end, struct frames *open, asq_value **ret)
{
    struct field f;
    asq_value *v = NULL;
    int rc;
    for (;;) {
        if (r->p < end) {
            asq_value *leaf = NULL;
            rc = read_field(r, end, &f);
            if (rc == 0 && (f.number == F_LIST || f.number == F_MAP)) {
                rc = push_frame(r, open, &f, end);
                if (rc < 0)
                    break;
                asq_value_free(v);
                v = NULL;
                r->unawaited = false;
            } else if (rc == 0 && f.number == F_UNAWAITED) {
                rc = expect(r, &f, VARINT, "unawaited");
                if (rc < 0)
                    break;
                r->unawaited = f.varint != 0;
                continue;
            } else {
                if (rc == 0)
                    rc = read_leaf(r, &f, &leaf);
                if (rc < 0)
                    break;
                if (leaf) {
                    asq_value_free(v);
                    v = leaf;
                }
                continue;
            }
        } else {
            if (!v)
                v = asq_value_null();
            if (r->unawaited) {
                r->unawaited = false;
                if (v->type == ASQ_FUTURE)
                    v->future->unawaited = r->marked;
            }
            if (!open->depth) {
                *ret = v;
                return 0;
            }
            rc = close_element(r, &open->at[open->depth - 1], v);
            v = NULL;
            if (rc < 0)
                break;
        }
        struct frame *top = &open->at[open->depth - 1];
        rc = next_element(r, top, &end);
        if (rc < 0)
            break;
        if (rc == 0) {
            v = top->container;
            end = top->value_end;
            open->depth--;
        }
    }
    asq_value_free(v);
    return rc;
}

static int decode_all(bool marked, const void *data, size_t n, asq_value **ret, char *err,
                      size_t errlen)
{
    static const uint8_t nothing[1];
    const uint8_t *start = n ? data : nothing;
    struct reader r = {
        .start = start, .p = start, .err = err, .errlen = errlen, .marked = marked
    };
    struct frames open = { .at = open.few, .cap = FEW_FRAMES };
    int rc = decode(&r, start + n, &open, ret);
    while (open.depth--) {
        free(open.at[open.depth].key);
        asq_value_free(open.at[open.depth].container);
    }
    if (open.at != open.few)
        free(open.at);
    return rc;
}

int asq__value_decode(const void *data, size_t n, asq_value **ret, char *err, size_t errlen)
{
    return decode_all(false, data, n, ret, err, errlen);
}

int asq__value_decode_marked(const void *data, size_t n, asq_value **ret, char *err, size_t errlen)
{
    return decode_all(true, data, n, ret, err, errlen);
}
