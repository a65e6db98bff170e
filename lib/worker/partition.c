/*
 * partition.c: the state of a partition in this process. Each step of it is made here.
 * ARCHITECTURE.md has the picture, under States.
 *
 * A partition is found to be lost in the middle of other work, by code that holds entries, calls
 * and agents of it. So abandoning changes the state alone, which every file asks for before it does
 * something for a partition. The end of the iteration drops what is in memory (lease.c).
 */
#include "worker/partition.h"

#include "asqueue.h"
#include "value/assert.h"
#include "value/list.h"
#include "worker/process.h"
#include "worker/process_log.h"

#define TO(state) (1u << ASQ__PART_##state)

static const unsigned steps[] = {
    [ASQ__PART_IDLE] = TO(CLAIMING),
    [ASQ__PART_CLAIMING] = TO(IDLE) | TO(ACTIVE),
    [ASQ__PART_ACTIVE] = TO(DRAINING) | TO(FENCED),
    [ASQ__PART_DRAINING] = TO(ACTIVE) | TO(RELEASING) | TO(FENCED),
    [ASQ__PART_RELEASING] = TO(DRAINING) | TO(IDLE) | TO(FENCED),
    [ASQ__PART_FENCED] = TO(IDLE),
};

void asq__partition_enter(struct asq__partition *p, enum asq__part_state state)
{
    struct asq__process *w = p->w;
    asq__assert(steps[p->state] & 1u << state);
    w->nowned -= asq__partition_is_owned(p);
    w->nidle -= p->state == ASQ__PART_IDLE;
    p->state = state;
    w->nowned += asq__partition_is_owned(p);
    w->nidle += state == ASQ__PART_IDLE;
    asq__assert(w->nowned + w->nidle <= w->nparts);
}

void asq__partition_note_epoch(struct asq__partition *p, uint64_t epoch)
{
    if (p->known_epoch < epoch && epoch < (uint64_t) 1 << 53) /* else it is none, see claim.lua */
        p->known_epoch = epoch;
}

void asq__partition_abandon(struct asq__partition *p, const char *why)
{
    struct asq__process *w = p->w;
    if (!asq__partition_is_owned(p) && p->state != ASQ__PART_RELEASING)
        return;
    /* Often all are lost at once. */
    asq__process_log_some_about(
        w, ASQ__LOG_ABOUT_PARTITION(p), ASQ_LOG_WARNING,
        "partition %u is lost (epoch %llu): %s; dropping what it had in memory", p->number,
        (unsigned long long) p->epoch, why);
    asq__partition_enter(p, ASQ__PART_FENCED);
    asq__list_add(&w->fenced, &p->fenced);
}

void asq__partition_release_if_empty(struct asq__partition *p)
{
    if (p->state == ASQ__PART_DRAINING && asq__list_empty(&p->drained))
        asq__list_add(&p->w->drained, &p->drained);
}

void asq__partition_resume_later(struct asq__partition *p)
{
    if (asq__list_empty(&p->postponed))
        asq__list_add(&p->w->postponed, &p->postponed);
}
