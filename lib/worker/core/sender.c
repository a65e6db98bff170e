/*
 * sender.c: recognises an entry that comes late. A client numbers its batches, and its connection
 * keeps their order, so the batches of one sender come to a partition with growing numbers. When a
 * connection breaks, its batches may still be on their way to Redis, and arrive there after the
 * client has sent them again by another connection: without the mark of a resent batch, but behind
 * numbers that were seen.
 *
 * Two numbers are kept of a sender. The first is the highest number seen in any entry: a batch with
 * a lower number, and no record, was refused by Redis when it was first sent, and a later batch was
 * not. The second is the highest number that came in order: a batch with a higher number need not
 * be looked up. Its batch has come since this process owns the partition, and has no record:
 * neither that batch nor a later one was ever accepted before. A batch with a record, or from
 * before, tells nothing of later batches.
 *
 * The numbers are a cache, of more senders than usually exist. The batches of an unknown sender are
 * looked up, which costs a read.
 */
#include <stdlib.h>
#include <string.h>

#include "value/list.h"
#include "value/msg.h"
#include "value/table.h"
#include "worker/core/sender.h"

enum { MAX_SENDERS = 16384 };

struct sender {
    struct asq__node node;
    struct asq__list used;   /* in senders->used */
    uint64_t seen, in_order; /* in_order 0: none */
    char name[];             /* the client id */
};

struct asq__senders {
    struct asq__table table;
    struct asq__list used; /* the one used longest ago first */
};

static const void *sender_key(const struct asq__node *node, size_t *n)
{
    const struct sender *s = ASQ__CONTAINER(node, struct sender, node);
    *n = strlen(s->name);
    return s->name;
}

static struct sender *find(const struct asq__senders *all, const char *name)
{
    struct asq__node *node = all ? asq__table_find(&all->table, name, strlen(name)) : NULL;
    return node ? ASQ__CONTAINER(node, struct sender, node) : NULL;
}

static void forget_oldest(struct asq__senders *all)
{
    struct sender *s = ASQ__CONTAINER(asq__list_pop(&all->used), struct sender, used);
    asq__table_del(&all->table, &s->node);
    free(s);
}

static bool open_senders(struct asq__senders **ret)
{
    struct asq__senders *all = *ret ? NULL : calloc(1, sizeof *all);
    if (!all)
        return *ret != NULL;
    if (asq__table_init(&all->table, sender_key) < 0) {
        free(all);
        return false;
    }
    asq__list_init(&all->used);
    *ret = all;
    return true;
}

/* Returns NULL when there is no memory for it. */
static struct sender *add(struct asq__senders **all, const char *name)
{
    size_t n = strlen(name) + 1;
    struct sender *s = open_senders(all) ? calloc(1, sizeof *s + n) : NULL;
    if (!s)
        return NULL;
    if ((*all)->table.count == MAX_SENDERS)
        forget_oldest(*all);
    memcpy(s->name, name, n);
    asq__list_init(&s->used);
    asq__table_add(&(*all)->table, &s->node);
    return s;
}

enum asq__sender_order asq__sender_order(const struct asq__senders *all,
                                         const Asqueue__Batch *batch)
{
    const struct sender *s = find(all, batch->reply);
    if (!s || batch->number == 0)
        return ASQ__SENDER_UNKNOWN;
    if (batch->number <= s->seen)
        return ASQ__SENDER_OUT_OF_ORDER;
    return s->in_order ? ASQ__SENDER_IN_ORDER : ASQ__SENDER_UNKNOWN;
}

void asq__sender_note(struct asq__senders **all, const Asqueue__Batch *batch, bool in_order)
{
    struct sender *s = find(*all, batch->reply);
    if (batch->number == 0 || (!s && !(s = add(all, batch->reply))))
        return;
    if (s->seen < batch->number)
        s->seen = batch->number;
    if (in_order && s->in_order < batch->number)
        s->in_order = batch->number;
    asq__list_del(&s->used);
    asq__list_add(&(*all)->used, &s->used);
}

void asq__senders_forget(struct asq__senders **all)
{
    if (!*all)
        return;
    while (!asq__list_empty(&(*all)->used))
        forget_oldest(*all);
    asq__table_release(&(*all)->table);
    free(*all);
    *all = NULL;
}
