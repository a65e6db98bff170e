/*
 * msg_read.c: decodes batches and results in a fraction of protobuf-c's time. A first pass checks
 * the bytes: a message that asqueue itself would not write (with a field that is unknown, of
 * another type, or a repeated nested message) is left to protobuf-c as a whole. Plain messages are
 * then read without further checks; rare nested messages are left to protobuf-c, too. The outcome
 * for any bytes is that of protobuf-c.
 */
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "value/arena.h"
#include "value/msg.h"
#include "value/msg_fields.h"
#include "value/varint.h"

enum { LENGTH_MAX = 5 }; /* bytes of a length, as in protobuf-c */

struct reader {
    const uint8_t *p, *end; /* p NULL: not plain */
};

struct field {
    uint8_t tag;
    uint64_t number;
    const uint8_t *data; /* of a string, bytes or a message */
    size_t n;
};

static struct reader reader(const void *data, size_t n)
{
    return (struct reader){ data, (const uint8_t *) data + n };
}

/* Reads the next field. False at the end, and if the message is not plain. */
static bool next(struct reader *r, struct field *f)
{
    if (!r->p || r->p == r->end)
        return false;
    const uint8_t *number = r->p + 1;
    f->tag = *r->p;
    if (number < r->end && *number < 0x80 && (f->tag & 7) != 2) { /* the usual case */
        f->number = *number;
        r->p = number + 1;
        return true;
    }
    if (number < r->end && *number < 0x80) {
        f->number = f->n = *number;
        f->data = number + 1;
        r->p = f->n <= (size_t) (r->end - f->data) ? f->data + f->n : NULL;
        return r->p != NULL;
    }
    r->p = asq__varint_read(number, r->end, &f->number);
    if (r->p && (f->tag & 7) == 2) {
        bool fits = r->p - number <= LENGTH_MAX && f->number <= (size_t) (r->end - r->p);
        f->data = r->p;
        f->n = (size_t) f->number;
        r->p = fits ? r->p + f->n : NULL;
    }
    return r->p != NULL;
}

/* ---- checks for plain messages ---- */

static bool job_is_plain(struct field job)
{
    struct reader r = reader(job.data, job.n);
    struct field f;
    unsigned messages = 0, bit;
    while (next(&r, &f)) {
        switch (f.tag) {
        case TAG_JOB_KIND:
        case TAG_JOB_AGENT:
        case TAG_JOB_CLASS:
        case TAG_JOB_METHOD:
        case TAG_JOB_ARGS:
        case TAG_JOB_TIMEOUT:
        case TAG_JOB_NO_RESULT:
        case TAG_JOB_TARGET:
        case TAG_JOB_INPUTS:
        case TAG_JOB_DELAY: break;
        case TAG_JOB_CHAIN:
        case TAG_JOB_RETRY:
        case TAG_JOB_PROBE:
        case TAG_JOB_TRACE:
            bit = 1u << (f.tag >> 3);
            if (messages & bit)
                return false; /* protobuf would merge the two */
            messages |= bit;
            break;
        default: return false;
        }
    }
    return r.p != NULL;
}

static bool batch_is_plain(struct reader r, size_t *ret_jobs)
{
    struct field f;
    *ret_jobs = 0;
    while (next(&r, &f)) {
        switch (f.tag) {
        case TAG_BATCH_ID:
        case TAG_BATCH_REPLY:
        case TAG_BATCH_RESENT:
        case TAG_BATCH_TIMEOUT:
        case TAG_BATCH_NUMBER:
        case TAG_BATCH_STAMP:
        case TAG_BATCH_AGE: break;
        case TAG_BATCH_JOBS:
            if (!job_is_plain(f))
                return false;
            ++*ret_jobs;
            break;
        default: return false;
        }
    }
    return r.p != NULL;
}

static bool result_is_plain(struct field result)
{
    struct reader r = reader(result.data, result.n);
    struct field f;
    bool failure = false;
    while (next(&r, &f)) {
        if (f.tag != TAG_RESULT_INDEX && f.tag != TAG_RESULT_VALUE &&
            (f.tag != TAG_RESULT_FAILURE || failure))
            return false;
        failure |= f.tag == TAG_RESULT_FAILURE;
    }
    return r.p != NULL;
}

static bool results_are_plain(struct reader r, size_t *ret_results, size_t *ret_others)
{
    struct field f;
    *ret_results = *ret_others = 0;
    while (next(&r, &f)) {
        if (f.tag == TAG_RESULTS_RESULT && result_is_plain(f))
            ++*ret_results;
        else if (f.tag == TAG_RESULTS_OTHER)
            ++*ret_others;
        else if (f.tag != TAG_RESULTS_BATCH)
            return false;
    }
    return r.p != NULL;
}

/* ---- bounds of memory ---- */

/* Bounds of the memory for a message: a generous multiple of a small one's size. The parts of a
 * larger one are counted, because an empty part takes a hundred times its bytes. */
enum { SMALL = 4096, PER_BYTE = 8, PER_PART = 512, BESIDES = 64 * 1024 };

static size_t room_for(const void *data, size_t n, uint8_t part, size_t parts_max)
{
    size_t parts = 0;
    struct reader r = reader(data, n);
    struct field f;
    if (n <= SMALL)
        return BESIDES + SMALL / 2 * (size_t) PER_PART;
    while (parts < parts_max && next(&r, &f))
        parts += f.tag == part;
    return BESIDES + PER_BYTE * n + PER_PART * parts;
}

size_t asq__batch_room(const void *data, size_t n)
{
    return room_for(data, n, TAG_BATCH_JOBS, ASQ__MAX_JOBS + 1);
}

size_t asq__results_room(const void *data, size_t n)
{
    return room_for(data, n, TAG_RESULTS_RESULT, ASQ__MAX_JOBS + 1);
}

/* ---- reading ---- */

/* Takes an array from *p; all sizes are multiples of a pointer's. */
static void *take_array(uint8_t **p, size_t n, size_t size)
{
    void *array = *p;
    *p += n * size;
    return array;
}

/* Room for the bytes of all strings, as large as the whole message: the space of a string's tag and
 * length suffices for its NUL. */
struct room {
    struct asq__arena *arena;
    uint8_t *p;
};

static ProtobufCBinaryData take_bytes(struct room *room, const struct field *f)
{
    ProtobufCBinaryData ret = { .len = f->n, .data = NULL };
    if (f->n) {
        ret.data = memcpy(room->p, f->data, f->n);
        room->p += f->n;
    }
    return ret;
}

static char *take_text(struct room *room, const struct field *f)
{
    char *s = (char *) room->p;
    memcpy(s, f->data, f->n);
    s[f->n] = '\0';
    room->p += f->n + 1;
    return s;
}

static bool read_job(struct room *room, struct field job, Asqueue__Job *ret)
{
    ProtobufCAllocator *allocator = &room->arena->allocator;
    struct reader r = reader(job.data, job.n);
    struct field f;
    asqueue__job__init(ret);
    while (next(&r, &f)) {
        switch (f.tag) {
        case TAG_JOB_KIND: ret->kind = (Asqueue__JobKind) (int32_t) f.number; break;
        case TAG_JOB_AGENT: ret->agent = take_text(room, &f); break;
        case TAG_JOB_CLASS: ret->class_name = take_text(room, &f); break;
        case TAG_JOB_METHOD: ret->method = take_text(room, &f); break;
        case TAG_JOB_ARGS: ret->args = take_bytes(room, &f); break;
        case TAG_JOB_TIMEOUT: ret->timeout_ms = f.number; break;
        case TAG_JOB_NO_RESULT: ret->no_result = f.number != 0; break;
        case TAG_JOB_TARGET: ret->target = take_text(room, &f); break;
        case TAG_JOB_INPUTS: ret->inputs = f.number != 0; break;
        case TAG_JOB_DELAY: ret->delay_ms = f.number; break;
        case TAG_JOB_CHAIN:
            if (!(ret->chain = asqueue__chain__unpack(allocator, f.n, f.data)))
                return false;
            break;
        case TAG_JOB_RETRY:
            if (!(ret->retry = asqueue__retry__unpack(allocator, f.n, f.data)))
                return false;
            break;
        case TAG_JOB_PROBE:
            if (!(ret->probe = asqueue__probe__unpack(allocator, f.n, f.data)))
                return false;
            break;
        case TAG_JOB_TRACE:
            if (!(ret->trace = asqueue__trace__unpack(allocator, f.n, f.data)))
                return false;
            break;
        default: return false;
        }
    }
    return true;
}

Asqueue__Batch *asq__batch_read(const void *data, size_t n, struct asq__arena *arena)
{
    struct reader r = reader(data, n);
    struct field f;
    size_t jobs_n;
    if (!batch_is_plain(r, &jobs_n))
        return asqueue__batch__unpack(&arena->allocator, n, data);
    Asqueue__Batch *b;
    Asqueue__Job *jobs, **list;
    uint8_t *p =
        asq__arena_alloc(arena, sizeof *b + jobs_n * (sizeof *jobs + sizeof(Asqueue__Job *)) + n);
    if (!p)
        return NULL;
    b = take_array(&p, 1, sizeof *b);
    jobs = take_array(&p, jobs_n, sizeof *jobs);
    list = take_array(&p, jobs_n, sizeof(Asqueue__Job *));
    struct room room = { arena, p };
    asqueue__batch__init(b);
    b->jobs = list;
    while (next(&r, &f)) {
        switch (f.tag) {
        case TAG_BATCH_ID: b->id = take_bytes(&room, &f); break;
        case TAG_BATCH_REPLY: b->reply = take_text(&room, &f); break;
        case TAG_BATCH_RESENT: b->resent = f.number != 0; break;
        case TAG_BATCH_TIMEOUT: b->timeout_ms = f.number; break;
        case TAG_BATCH_NUMBER: b->number = f.number; break;
        case TAG_BATCH_STAMP: b->stamp_ms = f.number; break;
        case TAG_BATCH_AGE: b->age_ms = f.number; break;
        case TAG_BATCH_JOBS:
            list[b->n_jobs] = &jobs[b->n_jobs];
            if (!read_job(&room, f, list[b->n_jobs++]))
                return NULL;
            break;
        default: return NULL;
        }
    }
    return b;
}

static bool read_result(struct room *room, struct field result, Asqueue__Result *ret)
{
    struct reader r = reader(result.data, result.n);
    struct field f;
    asqueue__result__init(ret);
    while (next(&r, &f)) {
        if (f.tag == TAG_RESULT_INDEX)
            ret->index = (uint32_t) f.number;
        else if (f.tag == TAG_RESULT_VALUE)
            ret->value = take_bytes(room, &f);
        else if (!(ret->failure = asqueue__failure__unpack(&room->arena->allocator, f.n, f.data)))
            return false;
    }
    return true;
}

Asqueue__Results *asq__results_read(const void *data, size_t n, struct asq__arena *arena)
{
    struct reader r = reader(data, n);
    struct field f;
    size_t results_n, others_n;
    if (!results_are_plain(r, &results_n, &others_n))
        return asqueue__results__unpack(&arena->allocator, n, data);
    Asqueue__Results *m;
    Asqueue__Result *results, **list;
    ProtobufCBinaryData *others;
    uint8_t *p = asq__arena_alloc(
        arena, sizeof *m + results_n * (sizeof *results + sizeof(Asqueue__Result *)) +
                   others_n * sizeof *others + n);
    if (!p)
        return NULL;
    m = take_array(&p, 1, sizeof *m);
    results = take_array(&p, results_n, sizeof *results);
    list = take_array(&p, results_n, sizeof(Asqueue__Result *));
    others = take_array(&p, others_n, sizeof *others);
    struct room room = { arena, p };
    asqueue__results__init(m);
    m->results = list;
    m->others = others;
    while (next(&r, &f)) {
        if (f.tag == TAG_RESULTS_BATCH) {
            m->batch = take_bytes(&room, &f);
        } else if (f.tag == TAG_RESULTS_OTHER) {
            others[m->n_others++] = take_bytes(&room, &f);
        } else {
            list[m->n_results] = &results[m->n_results];
            if (!read_result(&room, f, list[m->n_results++]))
                return NULL;
        }
    }
    return m;
}
