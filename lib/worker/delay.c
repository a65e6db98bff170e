/*
 * delay.c: see delay.h.
 */
#include "worker/delay.h"

#include <ev.h>
#include <stdlib.h>

#include "value/assert.h"
#include "value/clock.h"
#include "value/list.h"
#include "worker/core/entry.h"
#include "worker/partition.h"
#include "worker/process.h"

struct asq__delay {
    ev_timer timer;
    struct asq__list due; /* in process->due once its time has come */
    struct asq__wcall *call;
};

static struct asq__process *process_of(const struct asq__wcall *c)
{
    return c->entry->part->w;
}

static void on_due(struct ev_loop *loop, ev_timer *timer, int revents)
{
    struct asq__delay *d = timer->data;
    (void) loop;
    (void) revents;
    asq__list_add(&process_of(d->call)->due, &d->due);
}

/* Counts a call that keeps its place while it is not due. */
static void count_undue(const struct asq__wcall *c, bool undue)
{
    if (c->keeps_place)
        c->entry->part->undue_calls += undue ? 1 : (size_t) -1;
}

static void set_apart(struct asq__wcall *c, bool apart)
{
    if (c->apart == apart)
        return;
    asq__assert(apart ? c->entry->apart < c->entry->unfinished : c->entry->apart > 0);
    c->apart = apart;
    c->entry->apart += apart ? 1 : (size_t) -1;
    c->entry->part->held_calls += apart ? (size_t) -1 : 1;
}

static void set_rests(struct asq__wcall *c, bool rests)
{
    if (c->rests == rests)
        return;
    asq__assert(rests ? c->entry->resting < c->entry->unfinished : c->entry->resting > 0);
    c->rests = rests;
    c->entry->resting += rests ? 1 : (size_t) -1;
}

bool asq__delay_begin(struct asq__wcall *c, int64_t delay_ms)
{
    struct asq__process *w = process_of(c);
    struct asq__delay *d = calloc(1, sizeof *d);
    if (!d)
        return false;
    d->call = c;
    asq__list_init(&d->due);
    c->delay = d;
    c->wake_ms = asq__now_ms() + delay_ms;
    count_undue(c, true);
    asq__wcall_enter(c, ASQ__CALL_DELAYED);
    set_apart(c, !c->keeps_place);
    ev_now_update(w->loop);
    ev_timer_init(&d->timer, on_due, (double) delay_ms / 1000, 0.);
    d->timer.data = d;
    ev_timer_start(w->loop, &d->timer);
    return true;
}

void asq__delay_rest(struct asq__wcall *c)
{
    asq__assert(c->state == ASQ__CALL_DELAYED && c->keeps_place);
    set_rests(c, true);
}

void asq__delay_stop(struct asq__wcall *c)
{
    if (!c->delay)
        return;
    ev_timer_stop(process_of(c)->loop, &c->delay->timer);
    asq__list_del(&c->delay->due);
    count_undue(c, false);
    free(c->delay);
    c->delay = NULL;
}

void asq__delay_end(struct asq__wcall *c)
{
    asq__delay_stop(c);
    set_apart(c, false);
    set_rests(c, false);
}

struct asq__wcall *asq__delay_next_due(struct asq__process *w)
{
    if (asq__list_empty(&w->due))
        return NULL;
    struct asq__wcall *c = ASQ__CONTAINER(w->due.next, struct asq__delay, due)->call;
    asq__delay_end(c);
    return c;
}
