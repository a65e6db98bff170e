/*
 * creations.c: see creations.h.
 */
#include "client/creations.h"

#include <stdlib.h>

#include "asqueue.h"
#include "client/batch.h"
#include "redis/redis.h"

bool asq__engine_creates(const struct asq__engine *e)
{
    return e->creating > 0;
}

bool asq__engine_creates_in(const struct asq__engine *e, uint32_t partition)
{
    return partition < e->partitions && e->creations[partition].made > e->creations[partition].over;
}

bool asq__engine_holds_briefly(const struct asq__engine *e)
{
    return e->holding_briefly;
}

void asq__engine_hold_longer(struct asq__engine *e)
{
    e->holding_briefly = false;
}

void asq__batch_creates(struct asq__engine *e, struct asq__batch *b)
{
    if (b->creates || !asq__redis_is_spread(e->redis))
        return;
    struct asq__creations *c = &e->creations[b->partition];
    e->creating += c->made <= c->over;
    c->made = b->number;
    b->creates = true;
}

static int await(struct asq__batch *b, struct asq__awaited on)
{
    for (size_t i = 0; i < b->n_awaited; i++)
        if (b->awaited[i].partition == on.partition) {
            b->awaited[i] = on;
            return 0;
        }
    struct asq__awaited *longer = realloc(b->awaited, (b->n_awaited + 1) * sizeof *longer);
    if (!longer)
        return ASQ_ENOMEM;
    b->awaited = longer;
    b->awaited[b->n_awaited++] = on;
    return 0;
}

int asq__batch_await(struct asq__engine *e, struct asq__batch *b, const uint32_t *partitions,
                     size_t n)
{
    int rc = 0;
    for (size_t i = 0; i < n && rc == 0; i++)
        if (partitions[i] != b->partition && asq__engine_creates_in(e, partitions[i]))
            rc = await(b, (struct asq__awaited){ partitions[i], e->creations[partitions[i]].made });
    return rc;
}

bool asq__batch_is_held(struct asq__engine *e, const struct asq__batch *b)
{
    bool held = false;
    for (size_t i = 0; i < b->n_awaited && !held; i++) {
        struct asq__creations *c = &e->creations[b->awaited[i].partition];
        held = c->over < b->awaited[i].number;
        if (held && !c->is_awaited && !asq__engine_blocks(e, b->awaited[i].partition))
            e->holding_briefly = true;
        c->is_awaited |= held;
    }
    if (held)
        e->creations[b->partition].holds = e->holding = true;
    return held;
}

void asq__batch_is_there(struct asq__engine *e, struct asq__batch *b)
{
    struct asq__creations *c = &e->creations[b->partition];
    if (!b->creates)
        return;
    b->creates = false;
    bool before = c->made > c->over;
    if (c->over < b->number)
        c->over = b->number;
    e->creating -= before && c->made <= c->over;
    e->released |= c->is_awaited;
}

void asq__creations_look_again(struct asq__engine *e, const bool *parts)
{
    for (uint32_t p = 0; e->creations && p < e->partitions; p++)
        if (asq__engine_concerns(parts, p))
            e->creations[p].holds = false;
}

void asq__creations_resume(struct asq__engine *e)
{
    if (!e->released)
        return;
    e->released = e->holding = e->holding_briefly = false;
    for (uint32_t p = 0; p < e->partitions; p++)
        e->creations[p].is_awaited = false;
    asq__engine_resend_refused(e);
}
