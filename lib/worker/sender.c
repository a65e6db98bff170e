/*
 * sender.c: recognises an entry that comes late. A client numbers its batches, and its connection keeps
 * their order, so what comes to a partition from one sender has growing numbers. When a connection breaks,
 * what it had sent may still be on its way to Redis, and arrive there after the client has sent it again
 * by another one: without the mark of a resent batch, but behind numbers that were seen.
 *
 * What is kept of senders is a cache: whoever is not in it is not known, and has the record of his batch
 * looked up, which is always right, and costs a read. He becomes known by a batch that has come since this
 * process owns the partition, and that has no record: neither it nor a later one was ever taken before.
 * One with a record, or from before, tells nothing of those behind it.
 */
#include <stdlib.h>
#include <string.h>

#include "value/hash.h"
#include "worker/process.h"

enum { SLOTS = 512 };

struct asq__sender {
    uint64_t name;   /* hash of the client id; two with one hash only cost reads */
    uint64_t number; /* highest seen; 0: an empty slot */
};

static struct asq__sender *slot_of(const struct asq__partition *p, const Asqueue__Batch *batch,
                                   uint64_t *ret_name)
{
    *ret_name = asq__fnv1a64(batch->reply, strlen(batch->reply));
    return p->senders ? &p->senders[*ret_name % SLOTS] : NULL;
}

enum asq__sender_order asq__sender_order(const struct asq__partition *p,
                                         const Asqueue__Batch *batch)
{
    uint64_t name;
    const struct asq__sender *s = slot_of(p, batch, &name);
    if (!s || s->number == 0 || s->name != name || batch->number == 0)
        return ASQ__SENDER_UNKNOWN;
    return batch->number > s->number ? ASQ__SENDER_IN_ORDER : ASQ__SENDER_BEHIND;
}

void asq__sender_note(struct asq__partition *p, const Asqueue__Batch *batch)
{
    uint64_t name;
    if (!p->senders && !(p->senders = calloc(SLOTS, sizeof *p->senders)))
        return;
    struct asq__sender *s = slot_of(p, batch, &name);
    if (s->name == name && s->number > batch->number)
        return;
    s->name = name;
    s->number = batch->number;
}

void asq__senders_forget(struct asq__partition *p)
{
    free(p->senders);
    p->senders = NULL;
}
