/*
 * entry.c: see entry.h.
 */
#include "value/msg.h"
#include "worker/core/entry.h"

#include <string.h>

#include "value/assert.h"

struct asq__call_id asq__wcall_call_id(const struct asq__wcall *c)
{
    struct asq__call_id id = { .partition = c->entry->partition, .index = c->index };
    memcpy(id.batch, c->entry->batch->id.data, ASQ__BATCH_ID);
    return id;
}

void asq__wcall_id(const struct asq__wcall *c, char out[ASQ__CALL_ID_TEXT])
{
    struct asq__call_id id = asq__wcall_call_id(c);
    asq__call_id_format(&id, out);
}

int64_t asq__wcall_due_ms(const struct asq__wcall *c)
{
    uint64_t delay_ms = asq__wcall_job(c)->delay_ms, most_ms = INT64_MAX / 4;
    return delay_ms ? c->entry->made_ms + (int64_t) (delay_ms < most_ms ? delay_ms : most_ms) : 0;
}

#define TO(state) (1u << ASQ__ENTRY_##state)
static const unsigned entry_steps[] = {
    [ASQ__ENTRY_NEW] = TO(LOOKUP) | TO(QUEUED),
    [ASQ__ENTRY_LOOKUP] = TO(QUEUED) | TO(DETACHED),
    [ASQ__ENTRY_QUEUED] = TO(DISPATCHED) | TO(DETACHED),
    [ASQ__ENTRY_DISPATCHED] = TO(LEAVING) | TO(DETACHED),
    [ASQ__ENTRY_LEAVING] = TO(DETACHED),
    [ASQ__ENTRY_DETACHED] = 0,
};
#undef TO

void asq__entry_enter(struct asq__entry *e, enum asq__entry_state state)
{
    asq__assert(entry_steps[e->state] & 1u << state);
    e->state = state;
}

#define TO(state) (1u << ASQ__CALL_##state)
static const unsigned call_steps[] = {
    [ASQ__CALL_WAITING] = TO(INPUTS) | TO(DELAYED) | TO(RUNNING) | TO(FINISHED),
    [ASQ__CALL_INPUTS] = TO(WAITING) | TO(RUNNING) | TO(FINISHED),
    [ASQ__CALL_DELAYED] = TO(WAITING) | TO(FINISHED),
    [ASQ__CALL_RUNNING] = TO(PARKED) | TO(DELAYED) | TO(FINISHED),
    [ASQ__CALL_PARKED] = TO(RESUMABLE),
    [ASQ__CALL_RESUMABLE] = TO(RUNNING),
    [ASQ__CALL_FINISHED] = 0,
};
#undef TO

void asq__wcall_enter(struct asq__wcall *c, enum asq__wcall_state state)
{
    asq__assert(call_steps[c->state] & 1u << state);
    c->state = state;
}
