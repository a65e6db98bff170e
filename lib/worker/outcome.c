/*
 * outcome.c: see outcome.h.
 */
#include "worker/outcome.h"

#include <stdarg.h>
#include <stdatomic.h>

#include "client/class.h"
#include "client/object.h"
#include "value/error.h"
#include "value/msg.h"
#include "worker/actor_object.h"
#include "worker/commit.h"
#include "worker/core/actor.h"
#include "worker/core/entry.h"
#include "worker/core/mailbox.h"
#include "worker/delay.h"
#include "worker/inputs.h"
#include "worker/later_move.h"
#include "worker/live.h"
#include "worker/measure.h"
#include "worker/partition.h"
#include "worker/process.h"
#include "worker/spans.h"
#include "worker/unload_wait.h"

/* Takes a call that does not run out of its agent's mailbox. */
static void finish(struct asq__wcall *c, char id[ASQ__CALL_ID_TEXT])
{
    asq__mailbox_remove(c);
    asq__inputs_free(c->inputs);
    c->inputs = NULL;
    asq__unload_wait_free(c->unload_wait);
    asq__delay_end(c);
    asq__wcall_enter(c, ASQ__CALL_FINISHED);
    asq__wcall_id(c, id);
    if (c->entry->part->live)
        asq__live_call_ended(c->entry->part, asq__wcall_job(c)->agent, id);
}

void asq__wcall_answer(struct asq__wcall *c, const void *value, size_t n)
{
    char id[ASQ__CALL_ID_TEXT];
    finish(c, id);
    asq__counter_add(&c->entry->part->w->calls, 1);
    asq__commit_value(c, value, n);
}

void asq__wcall_fail(struct asq__wcall *c, int code, const char *fmt, ...)
{
    const Asqueue__Job *job = asq__wcall_job(c);
    struct asq__actor *a = c->actor;
    struct asq__error error;
    char id[ASQ__CALL_ID_TEXT], place[ASQ__PLACE_MAX];
    va_list ap;
    asq__error_init(&error);
    va_start(ap, fmt);
    asq__error_vset(&error, code, fmt, ap); /* first: the text may be that of the inputs */
    va_end(ap);
    finish(c, id);
    /* While a call has the turn, the object is that call's. */
    const struct asq__class *cls =
        a && !(a->calls && a->calls->mailbox.turn) ? asq__actor_object(a)->cls : NULL;
    asq__error_where(&error, cls ? cls->def.name : job->class_name,
                     asq__job_place(job->kind, job->method, place), job->agent,
                     c->entry->part->w->config.id, id);
    asq__counter_add(&c->entry->part->w->failures, 1);
    if (c->entry->part->w->config.figures)
        asq__measure_unstarted(c, cls, code);
    if (c->entry->part->w->tracer)
        asq__spans_unstarted(c, cls, &error.pub);
    asq__commit_result(c, NULL, &error.pub);
    if (c->entry->apart || c->entry->resting)
        asq__later_move_out(c->entry);
    asq__error_clear(&error);
}
