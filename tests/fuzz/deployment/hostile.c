/*
 * hostile.c: see hostile.h. Messages are made by hand, because the library's encoder writes no
 * wrong ones.
 */
#include "hostile.h"

#include "support/support.h"
#include "value/buf.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BATCH_OF_COMMANDS = 400, LOOK_EVERY = 20, TEXT = 300 };

#define HOSTILE_NAME(name, text) text,
const char *const hostile_names[HOSTILE_KINDS_N] = { HOSTILE_KINDS(HOSTILE_NAME) };
#undef HOSTILE_NAME

/* ---- random things ---- */

/* splitmix64 */
static uint64_t draw(struct hostile *h)
{
    uint64_t z = h->rng += 0x9e3779b97f4a7c15u;

    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

static uint32_t below(struct hostile *h, uint32_t n)
{
    return (uint32_t) (draw(h) % n);
}

static bool one_in(struct hostile *h, uint32_t n)
{
    return below(h, n) == 0;
}

/* Returns true in one of n calls, for costly attacks; more often by the factor `often`. */
static bool rare(struct hostile *h, uint32_t n)
{
    return one_in(h, h->often < n ? n / h->often : 1);
}

/* Returns a number, mostly one near the limit of a type. */
static uint64_t number(struct hostile *h)
{
    static const uint64_t edges[] = { 0,          1,          127,        128,         255,
                                      65535,      65536,      INT32_MAX,  UINT32_MAX,  INT64_MAX,
                                      UINT64_MAX, 1ull << 63, 1ull << 53, 86400000ull, 7200000ull };
    uint64_t n = edges[below(h, sizeof edges / sizeof edges[0])];

    if (one_in(h, 3))
        n = draw(h) >> below(h, 64);
    return n + below(h, 3) - 1;
}

/* Returns a number as text, in a right or wrong form. */
static const char *number_text(struct hostile *h, char out[TEXT])
{
    static const char *const odd[] = { "",
                                       "-",
                                       "nan",
                                       "inf",
                                       "1e300",
                                       "-1e300",
                                       "0x7f",
                                       "+1",
                                       " 1",
                                       "1 ",
                                       "-0",
                                       "1.5",
                                       "1e400",
                                       "00000000001",
                                       "true",
                                       "\xff",
                                       "1\n-1",
                                       "2 3 4 5",
                                       "99999999999999999999999" };

    if (one_in(h, 2))
        return odd[below(h, sizeof odd / sizeof odd[0])];
    snprintf(out, TEXT, one_in(h, 4) ? "-%llu" : "%llu", (unsigned long long) number(h));
    return out;
}

static void random_bytes(struct hostile *h, struct asq__buf *out, size_t n)
{
    for (size_t i = 0; i < n; i++)
        asq__buf_putc(out, (uint8_t) draw(h));
}

/* Returns an agent id that no honest caller uses, or text that looks like one. */
static const char *agent_id(struct hostile *h, char out[TEXT])
{
    static const char *const odd[] = { "",
                                       "\xc0\xaf",
                                       "a\nb",
                                       "{",
                                       "{}",
                                       "{x}y",
                                       "\x1b[2J",
                                       "\xe2\x80\xae"
                                       "x",
                                       "x\r\nFLUSHALL\r\n" };

    if (one_in(h, 6))
        return odd[below(h, sizeof odd / sizeof odd[0])];
    if (one_in(h, 12)) {
        memset(out, 'i', TEXT - 1);
        out[250 + below(h, 10)] = '\0';
        return out;
    }
    snprintf(out, TEXT, "nobodys-%u", below(h, 40));
    return out;
}

static const char *call_id(struct hostile *h, char out[TEXT])
{
    if (one_in(h, 8))
        snprintf(out, TEXT, "%s", one_in(h, 2) ? "1-2" : "4294967296-0-0");
    else
        snprintf(out, TEXT, "%u-%016llx%016llx-%u", below(h, (uint32_t) h->partitions + 1),
                 (unsigned long long) draw(h), (unsigned long long) below(h, 50), below(h, 4));
    return out;
}

/* ---- messages ---- */

static void put_number(struct asq__buf *b, uint32_t field, uint64_t n)
{
    asq__buf_varint(b, field << 3);
    asq__buf_varint(b, n);
}

static void put_bytes(struct asq__buf *b, uint32_t field, const void *data, size_t n)
{
    asq__buf_varint(b, field << 3 | 2);
    asq__buf_varint(b, n);
    asq__buf_put(b, data, n);
}

static void put_text(struct asq__buf *b, uint32_t field, const char *text)
{
    put_bytes(b, field, text, strlen(text));
}

/* Puts the output of `make` as a message in a field. */
static void put_message(struct hostile *h, struct asq__buf *b, uint32_t field,
                        void (*make)(struct hostile *h, struct asq__buf *b, int depth), int depth)
{
    struct asq__buf inner;

    asq__buf_init(&inner, 1 << 20);
    make(h, &inner, depth);
    put_bytes(b, field, inner.data, inner.len);
    asq__buf_release(&inner);
}

static void map_entry(struct hostile *h, struct asq__buf *b, int depth);

static void value(struct hostile *h, struct asq__buf *b, int depth)
{
    char text[TEXT];

    switch (below(h, depth > 0 ? 11 : 7)) {
    case 0: put_number(b, 1, 1); break;
    case 1: put_number(b, 2, number(h)); break;
    case 2: put_number(b, 3, number(h)); break;
    case 3: put_text(b, 5, agent_id(h, text)); break;
    case 4: put_text(b, 10, call_id(h, text)); break; /* a future that never comes */
    case 5: random_bytes(h, b, below(h, 20)); break;
    case 6: break;
    case 7:
        for (uint32_t i = below(h, 4); i > 0; i--)
            put_message(h, b, 7, value, depth - 1);
        break;
    case 8: put_message(h, b, 8, map_entry, depth - 1); break;
    default: put_message(h, b, 7, value, depth - 1); break;
    }
}

static void map_entry(struct hostile *h, struct asq__buf *b, int depth)
{
    char text[TEXT];

    for (uint32_t i = below(h, 3); i > 0; i--) {
        put_text(b, 1, agent_id(h, text));
        put_message(h, b, 2, value, depth);
    }
}

/* Writes lists in lists, deeper than allowed. */
static void deep(struct asq__buf *b, uint32_t depth)
{
    struct asq__buf inner, outer;

    asq__buf_init(&inner, 1 << 20);
    for (; depth > 0; depth--) {
        asq__buf_init(&outer, 1 << 20);
        put_bytes(&outer, 7, inner.data, inner.len);
        asq__buf_release(&inner);
        inner = outer;
    }
    asq__buf_put(b, inner.data, inner.len);
    asq__buf_release(&inner);
}

static void arguments(struct hostile *h, struct asq__buf *b, int depth)
{
    if (one_in(h, 20))
        deep(b, 60 + below(h, 2000));
    else
        value(h, b, depth);
}

static void link_of_chain(struct hostile *h, struct asq__buf *b, int depth)
{
    char text[TEXT];

    (void) depth;
    put_text(b, 1, call_id(h, text));
    put_text(b, 2, agent_id(h, text));
}

static void chain(struct hostile *h, struct asq__buf *b, int depth)
{
    for (uint32_t i = one_in(h, 30) ? below(h, 3000) : below(h, 4); i > 0; i--)
        put_message(h, b, 1, link_of_chain, depth);
}

static void retry(struct hostile *h, struct asq__buf *b, int depth)
{
    (void) depth;
    put_number(b, 1, one_in(h, 4) ? number(h) : below(h, 4));
    put_number(b, 2, one_in(h, 4) ? number(h) : below(h, 50));
    put_number(b, 3, number(h));
    put_number(b, 5, below(h, 2));
}

static void waiting(struct hostile *h, struct asq__buf *b, int depth)
{
    char text[TEXT];

    (void) depth;
    put_text(b, 1, call_id(h, text));
    put_text(b, 2, agent_id(h, text));
    put_number(b, 3, number(h));
    for (uint32_t field = 4; field <= 7; field++)
        put_number(b, field, below(h, 2));
    for (uint32_t i = below(h, 4); i > 0; i--)
        put_number(b, 8, one_in(h, 3) ? number(h) : below(h, 4));
}

static void probe(struct hostile *h, struct asq__buf *b, int depth)
{
    char text[TEXT];

    put_text(b, 1, agent_id(h, text));
    put_number(b, 2, number(h));
    put_number(b, 3, below(h, 2));
    put_number(b, 4, one_in(h, 2) ? below(h, 4) : number(h));
    for (uint32_t i = below(h, 5); i > 0; i--)
        put_message(h, b, 5, waiting, depth);
}

static const char *method(struct hostile *h)
{
    static const char *const names[] = { "add",  "get", "relay",    "fail", "sleep",
                                         "none", "",    "_private", "\xff" };

    return names[below(h, sizeof names / sizeof names[0])];
}

static void job(struct hostile *h, struct asq__buf *b, int depth)
{
    char text[TEXT];
    uint32_t kind = one_in(h, 20) ? (uint32_t) number(h) : below(h, 19);

    put_number(b, 1, kind);
    put_text(b, 2, agent_id(h, text));
    if (kind == 1 || kind == 2 || one_in(h, 4))
        put_text(b, 3, one_in(h, 8) ? agent_id(h, text) : "Honest");
    put_text(b, 4, method(h));
    if (!one_in(h, 3))
        put_message(h, b, 5, arguments, depth);
    if (one_in(h, 5))
        put_number(b, 6, number(h));
    if (one_in(h, 5))
        put_number(b, 7, 1);
    if (one_in(h, 4))
        put_message(h, b, 8, chain, depth);
    if (kind >= 16 || one_in(h, 9))
        put_text(b, 9, call_id(h, text));
    if (one_in(h, 4))
        put_number(b, 10, 1);
    if (one_in(h, 6))
        put_number(b, 12, one_in(h, 2) ? number(h) : below(h, 2000));
    if (one_in(h, 5))
        put_message(h, b, 13, retry, depth);
    if (kind == 18 || one_in(h, 12))
        put_message(h, b, 14, probe, depth);
    if (one_in(h, 15))
        random_bytes(h, b, below(h, 12));
}

/* Writes a batch with the number of an absent client; or of a present client, but then only with
 * control jobs. */
static void batch(struct hostile *h, struct asq__buf *b, int depth)
{
    struct asq__buf id;
    char reply[TEXT];

    asq__buf_init(&id, 64);
    random_bytes(h, &id, one_in(h, 15) ? below(h, 30) : 8);
    for (int i = 0; i < 8; i++)
        asq__buf_putc(&id, i == 7 ? (uint8_t) below(h, 60) : 0); /* copies come, too */
    put_bytes(b, 1, id.data, id.len);
    asq__buf_release(&id);
    snprintf(reply, sizeof reply, "%016llx", (unsigned long long) below(h, 5));
    put_text(b, 2, one_in(h, 8) ? agent_id(h, reply) : reply);
    if (one_in(h, 3))
        put_number(b, 3, 1);
    if (one_in(h, 4))
        put_number(b, 5, number(h));
    put_number(b, 6, one_in(h, 3) ? number(h) : below(h, 1000));
    for (uint32_t field = 7; field < 12; field++)
        if (one_in(h, 6))
            put_number(b, field, number(h));
    for (uint32_t n = one_in(h, 40) ? below(h, 3000) : 1 + below(h, 3); n > 0; n--)
        put_message(h, b, 4, job, depth);
}

static void failure(struct hostile *h, struct asq__buf *b, int depth)
{
    char text[TEXT];

    (void) depth;
    put_number(b, 1, number(h));
    for (uint32_t field = 2; field <= 7; field++)
        put_text(b, field, agent_id(h, text));
    put_number(b, 8, below(h, 2));
}

static void result(struct hostile *h, struct asq__buf *b, int depth)
{
    put_number(b, 1, one_in(h, 3) ? number(h) : below(h, 3));
    if (one_in(h, 2))
        put_message(h, b, 2, arguments, depth);
    else
        put_message(h, b, 3, failure, depth);
}

static void results(struct hostile *h, struct asq__buf *b, int depth)
{
    struct asq__buf id;

    asq__buf_init(&id, 64);
    random_bytes(h, &id, one_in(h, 6) ? below(h, 30) : 16);
    put_bytes(b, 1, id.data, id.len);
    asq__buf_release(&id);
    for (uint32_t n = below(h, 4); n > 0; n--)
        put_message(h, b, 2, result, depth);
    if (depth > 0 && one_in(h, 3))
        put_message(h, b, 3, results, depth - 1);
    for (uint32_t field = 4; field < 8; field++)
        if (one_in(h, 6))
            put_number(b, field, number(h));
}

static void state(struct hostile *h, struct asq__buf *b, int depth)
{
    char text[TEXT];

    put_text(b, 1, one_in(h, 3) ? agent_id(h, text) : "Honest");
    put_number(b, 2, one_in(h, 2) ? 0 : number(h));
    put_message(h, b, 3, arguments, depth);
    put_message(h, b, 4, arguments, depth);
}

/* Writes a message by `make`, which is sometimes cut, changed in some bytes, or replaced by random
 * bytes. */
static void message(struct hostile *h, struct asq__buf *out,
                    void (*make)(struct hostile *h, struct asq__buf *b, int depth))
{
    if (one_in(h, 12)) {
        random_bytes(h, out, below(h, 200));
        return;
    }
    make(h, out, 3);
    if (out->error || out->len == 0)
        return;
    if (one_in(h, 6))
        out->len = below(h, (uint32_t) out->len + 1);
    if (one_in(h, 4))
        for (uint32_t n = 1 + below(h, 4); n > 0 && out->len > 0; n--)
            out->data[below(h, (uint32_t) out->len)] ^= (uint8_t) (1u << below(h, 8));
}

/* ---- commands ---- */

static const char *key(struct hostile *h, const char *what, char out[TEXT])
{
    snprintf(out, TEXT, "asq:{default.%u}:%.200s", below(h, (uint32_t) h->partitions), what);
    return out;
}

static void append(struct hostile *h, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    if (redisvAppendCommand(h->redis, fmt, ap) == REDIS_OK) {
        h->pending++;
        h->sent++;
    }
    va_end(ap);
}

static void hostile_entry(struct hostile *h, struct asq__buf *b, bool far_ahead)
{
    static const char *const ids[] = { "18446744073709551615-18446744073709551615",
                                       "18446744073709551614-1", "9223372036854775807-0",
                                       "99999999999999-5" };
    const char *id = far_ahead ? ids[below(h, sizeof ids / sizeof ids[0])] : "*";
    char k[TEXT];

    message(h, b, batch);
    if (far_ahead && one_in(h, 4)) { /* and deleted at once */
        key(h, "jobs", k);
        append(h, "MULTI");
        append(h, "XADD %s %s call x", k, id);
        append(h, "XDEL %s %s", k, id);
        append(h, "EXEC");
        return;
    }
    if (far_ahead && one_in(h, 4)) { /* no dead letter can be added behind it */
        append(h, "XADD %s %s call x", key(h, "dead", k), id);
        return;
    }
    switch (below(h, 12)) {
    case 0: append(h, "XADD %s %s call %b", key(h, "jobs", k), id, b->data, b->len); break;
    case 1: append(h, "XADD %s %s batch %b", key(h, "jobs", k), id, b->data, b->len); break;
    case 2:
        append(h, "XADD %s %s x y batch %b batch z", key(h, "jobs", k), id, b->data, b->len);
        break;
    default: append(h, "XADD %s %s call x batch %b", key(h, "jobs", k), id, b->data, b->len); break;
    }
}

static void hostile_lease(struct hostile *h)
{
    static const char *const fields[] = { "owner", "token", "epoch", "seq", "clock", "other" };
    char k[TEXT], text[TEXT], more[TEXT];

    if (one_in(h, 5))
        append(h, "SET %s %s", key(h, "epoch", k), number_text(h, text));
    else if (one_in(h, 6))
        append(h, "DEL %s", key(h, "lease", k));
    else if (one_in(h, 8))
        append(h, "SET %s lies", key(h, "lease", k));
    else if (one_in(h, 6)) {
        char *clock = sup_format("%s %s", number_text(h, text), number_text(h, more));
        append(h, "HSET %s clock %s", key(h, "lease", k), clock);
        free(clock);
    } else
        append(h, "HSET %s %s %s", key(h, "lease", k),
               fields[below(h, sizeof fields / sizeof fields[0])], number_text(h, text));
}

static void hostile_attempts(struct hostile *h, struct asq__buf *b)
{
    static const char *const signs[] = { "", "!", "~", "+", "\xff" };
    char k[TEXT], id[TEXT], text[TEXT];

    switch (below(h, 3)) {
    case 0:
        append(h, "HSET %s %s%s %s", key(h, "attempts", k), signs[below(h, 5)], call_id(h, id),
               number_text(h, text));
        break;
    case 1:
        message(h, b, batch);
        append(h, "XADD %s * call x id %s reason %b batch %b", key(h, "dead", k), call_id(h, id),
               b->data, b->len, b->data, b->len);
        break;
    default: append(h, "HDEL %s %s", key(h, "attempts", k), call_id(h, id)); break;
    }
}

static void later_call(struct hostile *h, struct asq__buf *b, int depth)
{
    (void) depth;
    put_number(b, 1, one_in(h, 3) ? number(h) : below(h, 3));
    for (uint32_t field = 2; field <= 5; field++)
        if (one_in(h, 2))
            put_number(b, field, number(h));
}

static void later(struct hostile *h, struct asq__buf *b, int depth)
{
    char text[TEXT];

    put_text(b, 1, agent_id(h, text));
    put_message(h, b, 2, batch, depth);
    put_number(b, 3, number(h));
    for (uint32_t n = below(h, 3); n > 0; n--)
        put_text(b, 4, agent_id(h, text));
    for (uint32_t n = below(h, 4); n > 0; n--)
        put_message(h, b, 5, later_call, depth);
}

/* Writes a delayed batch under an unused id: due at once, soon, never, or without a time. */
static void hostile_delay(struct hostile *h, struct asq__buf *b)
{
    char k[TEXT], id[TEXT], text[TEXT];

    snprintf(id, sizeof id, one_in(h, 8) ? "%llu" : "%032llx", (unsigned long long) below(h, 500));
    switch (below(h, 6)) {
    case 0: append(h, "ZADD %s %s %s", key(h, "later", k), number_text(h, text), id); break;
    case 1: append(h, "ZADD %s %d %s", key(h, "later", k), (int) below(h, 100), id); break;
    case 2:
        message(h, b, later);
        append(h, "HSET %s %s+ %b", key(h, "later:jobs", k), id, b->data, b->len);
        break;
    case 3:
        random_bytes(h, b, below(h, 60));
        append(h, "ZADD %s 5 %b", key(h, "later", k), b->data, b->len);
        break;
    default:
        message(h, b, later);
        append(h, "HSET %s %s %b", key(h, "later:jobs", k), id, b->data, b->len);
        break;
    }
}

/* Attacks the hash of the namespace. Writes no other number of partitions, which would make another
 * namespace. A worker that knows the number repairs an invalid one. */
static void hostile_meta(struct hostile *h)
{
    static const char *const fields[] = { "created", "other", "" };
    static const char *const known[] = { "format", "partitions" };
    static const char *const none[] = { "", "-1", "nan", "1e9", " 16", "16 ", "0x10", "\xff", "0" };
    char text[TEXT];

    switch (below(h, 8)) {
    case 0: append(h, "HSET asq:{default}:meta partitions %s", none[below(h, 9)]); break;
    case 1: append(h, "HDEL asq:{default}:meta %s", known[below(h, 2)]); break;
    case 2: append(h, "DEL asq:{default}:meta"); break;
    case 3:
        append(h, one_in(h, 2) ? "SET asq:{default}:meta lies" : "RENAME asq:{default}:meta x");
        break;
    default:
        append(h, "HSET asq:{default}:meta %s %s", fields[below(h, 3)], number_text(h, text));
        break;
    }
}

/* Announces to a client that results of a batch of its own are at empty or wrong places. */
static void hostile_announcement(struct hostile *h, struct asq__buf *b)
{
    if (h->nbatches == 0)
        return;
    int i = (int) below(h, (uint32_t) h->nbatches);
    put_bytes(b, 1, h->batches[i].id, sizeof h->batches[i].id);
    put_number(b, 4, number(h));
    put_number(b, 5, one_in(h, 2) ? number(h) : below(h, 200));
    if (one_in(h, 3))
        put_message(h, b, 3, results, 1);
    append(h, "PUBLISH asq:{default}:c:%s %b", h->batches[i].client, b->data, b->len);
}

static void hostile_ghost(struct hostile *h)
{
    char k[TEXT], capacity[TEXT], lease[TEXT], beat[TEXT];

    snprintf(k, sizeof k, one_in(h, 9) ? "ghost:%u\n" : "ghost-%u.0", below(h, 20));
    append(h, "SADD asq:{default}:workers %s", k);
    append(h, "HSETNX asq:{default}:worker:%s beat %s", k, number_text(h, beat));
    append(h, "HSET asq:{default}:worker:%s id %s client %016llx capacity %s lease_time_ms %s", k,
           one_in(h, 6) ? "another" : k, (unsigned long long) draw(h), number_text(h, capacity),
           number_text(h, lease));
}

/* Attacks the result keys without a batch on which permit.lua tries commands, and keys that claims
 * create for a moment or set aside. */
static void hostile_scratch(struct hostile *h)
{
    static const char *const names[] = { "r:00000000000000000000000000000000",
                                         "jobs:mended",
                                         "jobs:aside",
                                         "attempts:aside",
                                         "dead:aside",
                                         "later:aside",
                                         "later:jobs:aside",
                                         "epoch:aside" };
    const char *name = names[below(h, sizeof names / sizeof names[0])];
    char k[TEXT], text[TEXT];

    if (one_in(h, 3))
        snprintf(k, sizeof k, "asq:{default.0}:%s", names[0]);
    else
        key(h, name, k);
    switch (below(h, 5)) {
    case 0: append(h, "SET %s %s", k, number_text(h, text)); break;
    case 1: append(h, "RPUSH %s lies", k); break;
    case 2: append(h, "HSET %s a b", k); break;
    case 3: append(h, "XADD %s 18446744073709551615-18446744073709551615 call x", k); break;
    default: append(h, "DEL %s", k); break;
    }
}

static void hostile_heartbeat(struct hostile *h, struct asq__buf *b)
{
    static const char *const fields[] = { "beat", "capacity", "partitions",    "classes",
                                          "pid",  "stopping", "lease_time_ms", "calls",
                                          "id",   "stuck",    "client",        "host" };
    const char *field = fields[below(h, sizeof fields / sizeof fields[0])];
    char text[TEXT], id[TEXT];

    switch (below(h, 5)) {
    case 0: append(h, "SADD asq:{default}:workers %s", agent_id(h, id)); break;
    case 1:
        random_bytes(h, b, below(h, 300));
        append(h, "SADD asq:{default}:workers %b", b->data, b->len);
        break;
    case 2: append(h, "SREM asq:{default}:workers %s", agent_id(h, id)); break;
    case 3:
        append(h, "HSET asq:{default}:worker:%s %s %s", agent_id(h, id), field,
               number_text(h, text));
        break;
    default:
        if (h->nworkers > 0)
            append(h, "HSET asq:{default}:worker:%s %s %s",
                   h->workers[below(h, (uint32_t) h->nworkers)], field, number_text(h, text));
        break;
    }
}

static void hostile_push(struct hostile *h, struct asq__buf *b)
{
    char text[TEXT];

    if (one_in(h, 4)) {
        snprintf(text, sizeof text, "+%llu %s", (unsigned long long) number(h),
                 h->nworkers > 0 && one_in(h, 2) ? "x" : "w.0");
        append(h, "PUBLISH asq:{default}:c:workers %s", one_in(h, 3) ? "" : text);
        return;
    }
    message(h, b, results);
    if (h->nclients > 0)
        append(h, "PUBLISH asq:{default}:c:%s %b", h->clients[below(h, (uint32_t) h->nclients)],
               b->data, b->len);
}

/* Spares keys of honest partitions, because delayed calls are lost with them. */
static void hostile_type(struct hostile *h)
{
    static const char *const keys[] = { "attempts", "dead", "epoch", "later", "later:jobs" };
    uint32_t p = below(h, (uint32_t) h->partitions), n = h->honest & 1u << p ? 3 : 5;
    char k[TEXT];

    snprintf(k, sizeof k, "asq:{default.%u}:%s", p, keys[below(h, n)]);
    append(h, "DEL %s", k);
    if (one_in(h, 2))
        append(h, "SET %s lies", k);
    else
        append(h, "RPUSH %s lies", k);
}

static void command(struct hostile *h, enum hostile_kind kind)
{
    struct asq__buf b;
    char k[TEXT], id[TEXT];

    uint64_t before = h->sent;

    asq__buf_init(&b, 4 << 20);
    asq__buf_reserve(&b, 1);
    switch (kind) {
    case HOSTILE_ENTRIES: hostile_entry(h, &b, false); break;
    case HOSTILE_STREAM_IDS:
        if (rare(h, 4000))
            hostile_entry(h, &b, true);
        break;
    case HOSTILE_STATES:
        message(h, &b, state);
        append(h, "HSET %s %s %b", key(h, "agents", k), agent_id(h, id), b.data, b.len);
        break;
    case HOSTILE_RESULTS:
        message(h, &b, results);
        snprintf(id, sizeof id, "r:%016llx%016llx", (unsigned long long) below(h, 5),
                 (unsigned long long) below(h, 60));
        append(h, one_in(h, 2) ? "SET %s %b" : "APPEND %s %b", key(h, id, k), b.data, b.len);
        break;
    case HOSTILE_LEASES:
        if (rare(h, 50))
            hostile_lease(h);
        break;
    case HOSTILE_ATTEMPTS: hostile_attempts(h, &b); break;
    case HOSTILE_HEARTBEATS:
        if (rare(h, 4))
            hostile_heartbeat(h, &b);
        break;
    case HOSTILE_PUSHES: hostile_push(h, &b); break;
    case HOSTILE_TYPES:
        if (rare(h, 50))
            hostile_type(h);
        break;
    case HOSTILE_DELAYS: hostile_delay(h, &b); break;
    case HOSTILE_META:
        if (rare(h, 20))
            hostile_meta(h);
        break;
    case HOSTILE_ANNOUNCED: hostile_announcement(h, &b); break;
    case HOSTILE_GHOSTS:
        if (rare(h, 20))
            hostile_ghost(h);
        break;
    case HOSTILE_SCRATCH:
        if (rare(h, 4))
            hostile_scratch(h);
        break;
    case HOSTILE_KINDS_N: break;
    }
    h->of_kind[kind] += h->sent - before;
    asq__buf_release(&b);
}

/* Reads ids of batches that are under way. The field `batch` of an entry begins with the batch's
 * id, which begins with the client's number. */
static void look_at_batches(struct hostile *h)
{
    int p = (int) below(h, (uint32_t) h->partitions);
    redisReply *r = redisCommand(h->redis, "XREVRANGE asq:{default.%d}:jobs + - COUNT 16", p);

    for (size_t i = 0; r && r->type == REDIS_REPLY_ARRAY && i < r->elements; i++) {
        const redisReply *fields = r->element[i]->element[1];
        const char *batch = fields->elements == 4 ? fields->element[3]->str : "";
        char client[17];
        if (fields->elements != 4 || fields->element[3]->len < 18 ||
            memcmp(batch, "\n\x10", 2) != 0)
            continue;
        for (int k = 0; k < 8; k++)
            snprintf(client + 2 * k, 3, "%02x", (unsigned char) batch[2 + k]);
        for (int k = 0; k < h->nclients; k++)
            if (strcmp(h->clients[k], client) == 0) {
                int at = h->nbatches < 32 ? h->nbatches++ : (int) below(h, 32);
                memcpy(h->batches[at].id, batch + 2, 16);
                memcpy(h->batches[at].client, client, sizeof client);
            }
    }
    freeReplyObject(r);
}

/* Reads the channels of clients, and the ids of workers. */
static void look(struct hostile *h)
{
    redisReply *r = redisCommand(h->redis, "PUBSUB CHANNELS asq:{default}:c:*");

    h->nclients = 0;
    for (size_t i = 0; r && r->type == REDIS_REPLY_ARRAY && i < r->elements && h->nclients < 16;
         i++) {
        const char *id = strrchr(r->element[i]->str, ':') + 1;
        if (strlen(id) == 16)
            memcpy(h->clients[h->nclients++], id, 17);
    }
    freeReplyObject(r);
    r = redisCommand(h->redis, "SMEMBERS asq:{default}:workers");
    h->nworkers = 0;
    for (size_t i = 0; r && r->type == REDIS_REPLY_ARRAY && i < r->elements && h->nworkers < 8; i++)
        if (r->element[i]->str[0] == 'w' && r->element[i]->len < 64) /* as the harness names them */
            memcpy(h->workers[h->nworkers++], r->element[i]->str, (size_t) r->element[i]->len + 1);
    freeReplyObject(r);
}

bool hostile_open(struct hostile *h, const char *socket, uint64_t seed, unsigned kinds,
                  int partitions, uint32_t honest, uint32_t often)
{
    memset(h, 0, sizeof *h);
    h->redis = redisConnectUnix(socket);
    h->rng = seed;
    h->kinds = kinds;
    h->partitions = partitions;
    h->honest = honest;
    h->often = often;
    if (!h->redis || h->redis->err) {
        fprintf(stderr, "hostile: %s\n", h->redis ? h->redis->errstr : "out of memory");
        return false;
    }
    return true;
}

bool hostile_step(struct hostile *h)
{
    if (h->steps++ % LOOK_EVERY == 0)
        look(h);
    if (h->kinds & 1u << HOSTILE_ANNOUNCED)
        look_at_batches(h);
    for (int i = 0; i < BATCH_OF_COMMANDS; i++) {
        enum hostile_kind kind = (enum hostile_kind) below(h, HOSTILE_KINDS_N);
        if (h->kinds & 1u << kind)
            command(h, kind);
    }
    for (; h->pending > 0; h->pending--) {
        void *reply = NULL;
        if (redisGetReply(h->redis, &reply) != REDIS_OK) {
            fprintf(stderr, "hostile: %s\n", h->redis->errstr);
            return false;
        }
        freeReplyObject(reply);
    }
    return true;
}

void hostile_close(struct hostile *h)
{
    if (h->redis)
        redisFree(h->redis);
    h->redis = NULL;
}
