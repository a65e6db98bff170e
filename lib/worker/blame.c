/*
 * blame.c: see blame.h. The slots of threads are in memory that the supervisor shares; it reads
 * them when the process has died (shared.h).
 */
#include "worker/blame.h"

#include <string.h>

#include "worker/core/actor.h"
#include "worker/core/entry.h"
#include "worker/exec/run.h"
#include "worker/partition.h"
#include "worker/process.h"
#include "worker/shared.h"

/* Copies a name, and the bytes behind it: a constant size takes a few instructions. */
static void copy_name(char to[ASQ__SLOT_NAME], const char name[ASQ__POOL_NAME])
{
    memcpy(to, name, ASQ__SLOT_NAME);
    to[ASQ__SLOT_NAME - 1] = '\0';
}

void asq__blame_note(const struct asq__process *w, unsigned thread, struct asq__task *task,
                     const char class_name[ASQ__POOL_NAME], const char method[ASQ__POOL_NAME])
{
    if (!w->config.slots || thread > w->config.capacity)
        return;
    struct asq__slot *slot = &w->config.slots[thread];
    slot->state = ASQ__SLOT_FREE;
    if (!task)
        return; /* the fiber has parked; else it reports its end */
    struct asq__run *run = ASQ__CONTAINER(task, struct asq__run, task);
    run->slot = slot;
    run->ticket = ++slot->ticket;
    memcpy(slot->call, run->active.id, sizeof slot->call);
    memcpy(slot->agent, run->actor->id, run->actor->id_n + 1);
    copy_name(slot->class_name, class_name);
    copy_name(slot->method, method);
    slot->entry = run->active.call->entry->id;
    slot->epoch = run->ctx.epoch;
    slot->partition = run->actor->part->number;
    slot->suspect = run->active.call->attempts != 0;
    slot->state = ASQ__SLOT_RUNS;
}

void asq__process_blame_thread(const struct asq__process *w, unsigned thread)
{
    if (w->config.slots && thread <= w->config.capacity)
        w->config.slots[thread].guilty = w->config.slots[thread].ticket;
}

bool asq__blame_crash(struct asq__task *task, int signal_number, size_t overflowed)
{
    const struct asq__run *run = ASQ__CONTAINER(task, struct asq__run, task);
    struct asq__slot *slot = run->slot;
    if (!slot || slot->ticket != run->ticket)
        return false;
    slot->crash_signal = signal_number;
    slot->overflowed = overflowed;
    slot->crashed = slot->ticket;
    return true;
}
