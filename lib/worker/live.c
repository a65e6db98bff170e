/*
 * live.c: see live.h. A run has a slot for values that its thread has published and the loop has
 * not taken:
 *
 *     thread   asq_ctx_publish ──▶ run->live ──────╮ (later values replace those in the slot)
 *     loop                          asq__live_take ╰─▶ by agent: p->live ──▶ readers
 *
 * They go when the run ends and no other one of the agent is active. A call inside of another one
 * leaves its values to readers, unless it has failed: those before it come back then. A run that is
 * unloaded leaves them, too, until its call runs again or ends.
 */
#include "worker/live.h"

#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "client/live.h"
#include "value/hash.h"
#include "value/table.h"
#include "worker/core/actor.h"
#include "worker/core/mailbox.h"
#include "worker/exec/run.h"
#include "worker/handover.h"
#include "worker/partition.h"

enum { LEFT_MOST = 1024 * 1024 }; /* bytes that unloaded runs of a partition leave */

/* Of a partition. */
struct asq__live_agents {
    struct asq__table agents;
    size_t left; /* bytes of those with `sleeper` */
};

struct agent {
    struct asq__node node; /* in agents, by id */
    struct asq__live *values;
    char sleeper[ASQ__CALL_ID_TEXT]; /* call whose unloaded run has left them; or "" */
    char id[];
};

static const void *agent_key(const struct asq__node *node, size_t *n)
{
    const struct agent *a = ASQ__CONTAINER(node, struct agent, node);
    *n = strlen(a->id);
    return a->id;
}

static struct agent *find(const struct asq__partition *p, const char *id)
{
    struct asq__node *node =
        p->live && p->live->agents.count ? asq__table_find(&p->live->agents, id, strlen(id)) : NULL;
    return node ? ASQ__CONTAINER(node, struct agent, node) : NULL;
}

static struct asq__live_agents *agents_of(struct asq__partition *p)
{
    if (p->live)
        return p->live;
    struct asq__live_agents *l = calloc(1, sizeof *l);
    if (l && asq__table_init(&l->agents, agent_key) < 0) {
        free(l);
        return NULL;
    }
    return p->live = l;
}

static struct agent *find_or_add(struct asq__partition *p, const char *id)
{
    struct agent *a = find(p, id);
    size_t n = strlen(id) + 1;
    if (a || !agents_of(p) || !(a = calloc(1, sizeof *a + n)))
        return a;
    memcpy(a->id, id, n);
    asq__table_add(&p->live->agents, &a->node);
    return a;
}

static void wake_up(struct asq__partition *p, struct agent *a)
{
    if (*a->sleeper)
        p->live->left -= a->values->bytes.len;
    *a->sleeper = '\0';
}

static void drop(struct asq__partition *p, struct agent *a)
{
    wake_up(p, a);
    asq__table_del(&p->live->agents, &a->node);
    asq__live_unref(a->values);
    free(a);
}

void asq__live_hand_over(asq_ctx *ctx, struct asq__live *values)
{
    struct asq__run *run = ctx->impl;
    struct asq__live *before = atomic_exchange(&run->live, values);
    if (before)
        asq__live_unref(before); /* the loop has yet to come */
    else
        asq__process_hand_over(run->w, &run->published);
}

bool asq__live_take(struct asq__run *run)
{
    struct asq__actor *actor = run->actor;
    struct asq__live *values = atomic_exchange(&run->live, NULL); /* the thread may go on */
    bool is_lost = asq__actor_is_orphan(actor) || !asq__partition_is_owned(actor->part);
    struct agent *a = is_lost ? NULL : find_or_add(actor->part, actor->id);
    if (!a) {
        asq__live_unref(values);
        return false;
    }
    wake_up(actor->part, a);
    if (!run->has_published && actor->calls->mailbox.n_active > 1 && a->values)
        run->live_before = asq__live_ref(a->values);
    run->has_published = true;
    asq__live_unref(a->values);
    a->values = values;
    return true;
}

const struct asq__live *asq__live_of(const struct asq__partition *p, const char *agent)
{
    const struct agent *a = find(p, agent);
    return a ? a->values : NULL;
}

/* Leaves the values of an unloaded run, if there is room. */
static void leave(struct asq__partition *p, struct agent *a, const struct asq__run *run)
{
    size_t n = a->values->bytes.len;
    wake_up(p, a);
    if (p->live->left + n > LEFT_MOST) {
        drop(p, a);
        return;
    }
    p->live->left += n;
    memcpy(a->sleeper, run->active.id, sizeof a->sleeper);
}

void asq__live_end(struct asq__run *run)
{
    struct asq__partition *p = run->actor->part;
    struct agent *a = asq__actor_is_orphan(run->actor) ? NULL : find(p, run->actor->id);
    struct asq__live *before = run->live_before;
    run->live_before = NULL;
    if (a && run->actor->calls->mailbox.n_active) {
        if (before && run->ctx.error.pub.code) {
            struct asq__live *failed = a->values;
            a->values = before;
            before = failed;
        }
    } else if (a && (!*a->sleeper || strcmp(a->sleeper, run->active.id) == 0)) {
        if (run->unloads)
            leave(p, a, run);
        else
            drop(p, a);
    }
    asq__live_unref(before);
}

void asq__live_call_ended(struct asq__partition *p, const char *agent, const char *call)
{
    struct agent *a = find(p, agent);
    if (a && strcmp(a->sleeper, call) == 0)
        drop(p, a);
}

static void free_agent(struct asq__node *node, void *user)
{
    struct agent *a = ASQ__CONTAINER(node, struct agent, node);
    (void) user;
    asq__live_unref(a->values);
    free(a);
}

void asq__live_drop(struct asq__partition *p)
{
    if (!p->live)
        return;
    asq__table_each(&p->live->agents, free_agent, NULL);
    asq__table_release(&p->live->agents);
    free(p->live);
    p->live = NULL;
}
