/*
 * live_reads.c: see live_reads.h. A read is answered from what is published, as soon as it comes,
 * or as soon as something is published: each call begins with that. While no call of the agent is
 * active, the read runs as any other does, but before all that are queued, whatever they wait for.
 */
#include "worker/live_reads.h"

#include "client/class.h"
#include "client/live.h"
#include "client/object.h"
#include "value/list.h"
#include "value/msg.h"
#include "worker/actor_object.h"
#include "worker/core/actor.h"
#include "worker/core/entry.h"
#include "worker/core/mailbox.h"
#include "worker/exec/run.h"
#include "worker/live.h"
#include "worker/outcome.h"
#include "worker/partition.h"

void asq__live_reads_begin(struct asq__run *run)
{
    const struct asq__actor *a = run->actor;
    const struct asq__class *cls = asq__actor_object(a)->cls;
    run->ctx.publishes =
        cls && cls->live_count && a->calls->mailbox.n_active == 1 && !asq__live_of(a->part, a->id);
}

/* A call of which a process has died goes the usual way. */
static bool is_plain_read(const struct asq__wcall *c)
{
    return asq__wcall_job(c)->kind == ASQUEUE__JOB_KIND__GET && !c->attempts && !c->reentered;
}

/* Ends a read with what is published. False: nothing is. */
static bool answer(struct asq__wcall *c)
{
    const Asqueue__Job *job = asq__wcall_job(c);
    const struct asq__live *l = asq__live_of(c->entry->part, job->agent);
    const struct asq__live_value *v = asq__live_find(l, job->method);
    if (!v)
        return false;
    const void *bytes = asq__live_bytes(l, v);
    if (v->code)
        asq__wcall_fail(c, v->code, "%s", (const char *) bytes);
    else
        asq__wcall_answer(c, bytes, v->n);
    return true;
}

bool asq__live_reads_answer(struct asq__wcall *c)
{
    return c->entry->part->live && is_plain_read(c) && asq__list_empty(&c->node) && answer(c);
}

static bool is_live(const struct asq__class *cls, const struct asq__wcall *c)
{
    if (!is_plain_read(c))
        return false;
    const struct asq__attribute *a = asq__class_attribute(cls, asq__wcall_job(c)->method);
    return a && a->def.flags & ASQ_LIVE;
}

bool asq__live_reads_take(struct asq__actor *a, struct asq__wcall **ret)
{
    struct asq__mailbox *m = &a->calls->mailbox;
    const struct asq__class *cls = asq__actor_object(a)->cls;
    struct asq__list *queues[] = { &m->queue, &m->reentrant }, found, *node;
    bool any = false;
    *ret = NULL;
    a->calls->has_reads = false;
    if (!cls->live_count)
        return false;
    asq__list_init(&found);
    for (size_t i = 0; i < sizeof queues / sizeof *queues; i++)
        ASQ__LIST_EACH (it, queues[i]) {
            struct asq__wcall *c = ASQ__CONTAINER(it, struct asq__wcall, node);
            if (!is_live(cls, c))
                continue;
            a->calls->has_reads = true;
            if (asq__live_find(asq__live_of(a->part, a->id), asq__wcall_job(c)->method)) {
                asq__list_del(it);
                asq__list_add(&found, it);
            } else if (!*ret && !m->n_active) {
                *ret = c;
            }
        }
    while ((node = asq__list_pop(&found)))
        any |= answer(ASQ__CONTAINER(node, struct asq__wcall, node));
    return any;
}
