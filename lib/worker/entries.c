/*
 * entries.c: see entries.h.
 */
#include "worker/entries.h"

#include <stdlib.h>

#include "value/assert.h"
#include "value/table.h"
#include "worker/core/channels.h"
#include "worker/core/entry.h"
#include "worker/delay.h"
#include "worker/partition.h"
#include "worker/process.h"

void asq__entry_free(struct asq__entry *e)
{
    if (!e)
        return;
    asq__assert(!asq__entry_is_known(e) && !e->uncommitted && !e->n_lookups);
    asq__assert(e->part->held_bytes >= e->bytes);
    asq__assert(e->part->held_calls + e->apart + e->left >= e->batch->n_jobs);
    asq__list_del(&e->order);
    asq__list_del(&e->moved);
    atomic_fetch_sub(&e->part->w->held_bytes, e->bytes);
    e->part->held_bytes -= e->bytes;
    if (e->admitted) {
        e->part->w->admitted_bytes -= e->bytes;
        e->part->admitted--;
    }
    e->part->held_calls -= e->batch->n_jobs - e->left;
    for (size_t i = 0; i < e->batch->n_jobs; i++) {
        asq__delay_end(&e->calls[i]);
        free(e->calls[i].inner);
    }
    asq__channels_free(e);
    free(e->copies);
    asq__arena_release(&e->arena);
    free(e);
}

void asq__wcall_unleave(struct asq__wcall *c)
{
    if (!c->left)
        return;
    asq__assert(c->entry->left > 0);
    c->left = false;
    c->entry->left--;
    c->entry->part->held_calls++;
}

void asq__entry_detach(struct asq__entry *e)
{
    asq__table_del(&e->part->entries, &e->node);
    asq__entry_enter(e, ASQ__ENTRY_DETACHED);
}

void asq__entry_release_if_done(struct asq__entry *e)
{
    if (e->unfinished > e->left || e->uncommitted || e->n_lookups)
        return;
    if (e->unfinished && asq__entry_is_in_intake(e))
        return;
    /* Calls that are left have notes, by which the entry is read again. */
    for (size_t i = 0; i < e->batch->n_jobs; i++)
        if (e->calls[i].active)
            return; /* an orphan: still on its fiber */
    if (asq__entry_is_known(e))
        asq__entry_detach(e);
    asq__entry_free(e);
}

bool asq__entry_end_lookup(struct asq__entry *e)
{
    asq__assert(e->n_lookups > 0);
    e->n_lookups--;
    if (asq__entry_is_known(e))
        return true;
    asq__entry_release_if_done(e);
    return false;
}

int asq__entry_add_channel(struct asq__entry *e, const char *client)
{
    size_t bytes;
    int rc = asq__channels_add(e, client, &bytes);
    if (rc == 0 && bytes)
        asq__entry_note_bytes(e, bytes);
    return rc;
}

void asq__entry_note_bytes(struct asq__entry *e, size_t bytes)
{
    e->bytes += bytes;
    e->part->held_bytes += bytes;
    if (e->admitted)
        e->part->w->admitted_bytes += bytes;
    atomic_fetch_add(&e->part->w->held_bytes, bytes);
}

struct asq__entry *asq__entry_find(const struct asq__partition *p, const uint8_t id[ASQ__BATCH_ID])
{
    struct asq__node *node = asq__table_find(&p->entries, id, ASQ__BATCH_ID);
    return node ? ASQ__CONTAINER(node, struct asq__entry, node) : NULL;
}

struct asq__wcall *asq__wcall_find(struct asq__partition *p, const struct asq__call_id *id)
{
    struct asq__entry *e = asq__entry_find(p, id->batch);
    struct asq__wcall *c = e && id->index < e->batch->n_jobs ? &e->calls[id->index] : NULL;
    return c && c->state != ASQ__CALL_FINISHED ? c : NULL;
}
