/*
 * sender.c: recognises an entry that comes late. A client numbers its batches, and its connection keeps
 * their order, so what comes to a partition from one sender has growing numbers. When a connection breaks,
 * what it had sent may still be on its way to Redis, and arrive there after the client has sent it again
 * by another one: without the mark of a resent batch, but behind numbers that were seen.
 *
 * Two numbers are kept of a sender. The highest that was seen, in whatever entry: what has a lower one, and
 * no record, was refused by Redis when it was first sent, and what was sent behind it was not. And the
 * highest that came in order: what has a higher one need not be looked up. That one is of a batch that has
 * come since this process owns the partition, and has no record: neither it nor a later one was ever taken
 * before. One with a record, or from before, tells nothing of those behind it.
 *
 * All of it is a cache, of more senders than there usually are: of one who is not in it the records are looked
 * up, which costs a read.
 */
#include <stdlib.h>
#include <string.h>

#include "value/hash.h"
#include "worker/process.h"

enum { SLOTS_FIRST = 64, SLOTS_MAX = 16384, PROBES = 16 };

struct asq__sender {
    uint64_t name;     /* hash of the client id; two with one hash only cost reads */
    uint64_t seen;     /* 0: an empty slot */
    uint64_t in_order; /* 0: none */
};

struct asq__senders {
    size_t slots, used;
    struct asq__sender slot[];
};

static uint64_t name_of(const Asqueue__Batch *batch)
{
    return asq__fnv1a64(batch->reply, strlen(batch->reply));
}

/* Its slot, or an empty one for it, or one to be taken from another. */
static struct asq__sender *slot_of(struct asq__senders *t, uint64_t name)
{
    for (size_t i = 0; i < PROBES; i++) {
        struct asq__sender *s = &t->slot[(name + i) & (t->slots - 1)];
        if (s->seen == 0 || s->name == name)
            return s;
    }
    return &t->slot[name & (t->slots - 1)];
}

static struct asq__sender *find(const struct asq__partition *p, const Asqueue__Batch *batch)
{
    uint64_t name = name_of(batch);
    struct asq__sender *s = p->senders ? slot_of(p->senders, name) : NULL;
    return s && s->seen && s->name == name ? s : NULL;
}

/* Twice the room, as long as few enough are kept; without memory it stays as it is. */
static void grow(struct asq__partition *p)
{
    struct asq__senders *old = p->senders;
    size_t slots = old ? 2 * old->slots : SLOTS_FIRST;
    struct asq__senders *t = calloc(1, sizeof *t + slots * sizeof t->slot[0]);
    if (!t)
        return;
    t->slots = slots;
    for (size_t i = 0; old && i < old->slots; i++) {
        if (old->slot[i].seen) {
            struct asq__sender *s = slot_of(t, old->slot[i].name);
            t->used += s->seen == 0;
            *s = old->slot[i];
        }
    }
    free(old);
    p->senders = t;
}

enum asq__sender_order asq__sender_order(const struct asq__partition *p,
                                         const Asqueue__Batch *batch)
{
    const struct asq__sender *s = find(p, batch);
    if (!s || batch->number == 0)
        return ASQ__SENDER_UNKNOWN;
    if (batch->number <= s->seen)
        return ASQ__SENDER_BEHIND;
    return s->in_order ? ASQ__SENDER_IN_ORDER : ASQ__SENDER_UNKNOWN;
}

void asq__sender_see(struct asq__partition *p, const Asqueue__Batch *batch)
{
    uint64_t name = name_of(batch);
    if (batch->number == 0)
        return;
    if (!p->senders || (2 * p->senders->used >= p->senders->slots && p->senders->slots < SLOTS_MAX))
        grow(p);
    if (!p->senders)
        return;
    struct asq__sender *s = slot_of(p->senders, name);
    p->senders->used += s->seen == 0;
    if (s->name != name)
        *s = (struct asq__sender){ .name = name };
    if (s->seen < batch->number)
        s->seen = batch->number;
}

void asq__sender_in_order(struct asq__partition *p, const Asqueue__Batch *batch)
{
    struct asq__sender *s = find(p, batch);
    if (s && s->in_order < batch->number)
        s->in_order = batch->number;
}

void asq__senders_forget(struct asq__partition *p)
{
    free(p->senders);
    p->senders = NULL;
}
