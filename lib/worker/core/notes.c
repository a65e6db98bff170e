/*
 * notes.c: a note is coded by the one before it, so that most take three or four bytes:
 *
 *     flags and size, 1 byte │ ms above the last ms, varint │ n; where the ms is the same: n above the last n
 *
 * Notes are in chunks. The first chunks are small, because most agents with notes have few.
 */
#include "worker/core/notes.h"

#include <stdlib.h>

#include "value/varint.h"

enum { NOTE_MAX = 1 + 2 * ASQ__VARINT_MAX, CHUNK_LEAST = 32, CHUNK_MOST = 1024 };
enum { FRESH = 1, OUT_OF_ORDER = 2, NEEDS_INPUTS = 4, SIZE_SHIFT = 3, SIZE_MOST = 31 };

struct asq__notes_chunk {
    struct asq__notes_chunk *next;
    uint16_t used, size;
    uint8_t bytes[];
};

bool asq__notes_reserve(struct asq__notes *q)
{
    struct asq__notes_chunk *last = q->last;
    if (last && last->size - last->used >= NOTE_MAX)
        return true;
    size_t size = !last                     ? CHUNK_LEAST
                  : last->size < CHUNK_MOST ? 2 * (size_t) last->size
                                            : CHUNK_MOST;
    struct asq__notes_chunk *c = malloc(sizeof *c + size);
    if (!c)
        return false;
    c->next = NULL;
    c->used = 0;
    c->size = (uint16_t) size;
    if (last)
        last->next = c;
    else
        q->first = c;
    q->last = c;
    q->bytes += sizeof *c + size;
    return true;
}

static unsigned size_class(size_t bytes)
{
    unsigned k = 0;
    while (k < SIZE_MOST && ((size_t) 1 << k) < bytes)
        k++;
    return k;
}

void asq__notes_add(struct asq__notes *q, const struct asq__note *note)
{
    struct asq__notes_chunk *c = q->last;
    uint8_t *p = c->bytes + c->used;
    *p++ =
        (uint8_t) ((note->fresh ? FRESH : 0) | (note->out_of_order ? OUT_OF_ORDER : 0) |
                   (note->needs_inputs ? NEEDS_INPUTS : 0) | size_class(note->bytes) << SIZE_SHIFT);
    uint64_t ms = note->ms - q->last_ms;
    p = asq__varint_write(p, ms);
    p = asq__varint_write(p, ms ? note->n : note->n - q->last_n);
    c->used = (uint16_t) (p - c->bytes);
    q->last_ms = note->ms;
    q->last_n = note->n;
    q->count++;
}

struct asq__notes_place asq__notes_begin(const struct asq__notes *q)
{
    return (struct asq__notes_place){ q->first, q->at, q->before_ms, q->before_n };
}

bool asq__notes_next(const struct asq__notes *q, struct asq__notes_place *place,
                     struct asq__note *ret)
{
    (void) q;
    while (place->chunk && place->at == place->chunk->used) {
        place->chunk = place->chunk->next;
        place->at = 0;
    }
    const struct asq__notes_chunk *c = place->chunk;
    uint64_t ms, n;
    if (!c)
        return false;
    const uint8_t *p = c->bytes + place->at, *end = c->bytes + c->used;
    uint8_t flags = *p++;
    if (!(p = asq__varint_read(p, end, &ms)) || !(p = asq__varint_read(p, end, &n)))
        return false; /* cannot be: they were written above */
    place->at = (size_t) (p - c->bytes);
    place->n = ms ? n : place->n + n;
    place->ms += ms;
    *ret = (struct asq__note){ .ms = place->ms,
                               .n = place->n,
                               .bytes = (size_t) 1 << (flags >> SIZE_SHIFT),
                               .fresh = flags & FRESH,
                               .out_of_order = flags & OUT_OF_ORDER,
                               .needs_inputs = flags & NEEDS_INPUTS };
    return true;
}

void asq__notes_pop(struct asq__notes *q)
{
    struct asq__notes_place place = asq__notes_begin(q);
    struct asq__note note;
    if (!asq__notes_next(q, &place, &note))
        return;
    while (q->first != place.chunk) {
        struct asq__notes_chunk *next = q->first->next;
        q->bytes -= sizeof *next + q->first->size;
        free(q->first);
        q->first = next;
    }
    q->at = place.at;
    q->before_ms = place.ms;
    q->before_n = place.n;
    q->count--;
}

void asq__notes_free(struct asq__notes *q)
{
    struct asq__notes_chunk *next;
    for (struct asq__notes_chunk *c = q->first; c; c = next) {
        next = c->next;
        free(c);
    }
    *q = (struct asq__notes){ 0 };
}
