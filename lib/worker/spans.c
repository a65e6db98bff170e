/*
 * spans.c: see spans.h. The id of a run's span derives from the call and the number of its failed
 * runs, as the ids of its nested calls do: a run that is repeated elsewhere, after a death, has the
 * same one, so the calls below it, which are not made twice, are below the run that counts. What is
 * not committed has not happened, and is not exported.
 */
#include "worker/spans.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "asqueue.h"
#include "client/class.h"
#include "client/object.h"
#include "client/tracer.h"
#include "value/clock.h"
#include "value/hash.h"
#include "value/list.h"
#include "value/msg.h"
#include "worker/actor_object.h"
#include "worker/call_time.h"
#include "worker/core/actor.h"
#include "worker/core/commit_set.h"
#include "worker/core/entry.h"
#include "worker/core/series.h"
#include "worker/measure.h"
#include "worker/partition.h"
#include "worker/process.h"
#include "worker/process_log.h"

enum { FLUSH_MS = 1000 };

int asq__spans_begin(struct asq__process *w, char *err, size_t errlen)
{
    struct asq__figures *f = w->config.figures;
    struct asq__tracer_config config = { .url = w->config.traces,
                                         .rate = w->config.trace_rate,
                                         .service = w->config.trace_service,
                                         .otherwise = "as-worker",
                                         .instance = w->config.id,
                                         .exported = f ? &f->spans_exported : NULL,
                                         .dropped = f ? &f->spans_dropped : NULL };
    int rc = config.url ? asq__tracer_new(&config, &w->tracer, err, errlen) : 0;
    if (config.url)
        unsetenv("OTEL_EXPORTER_OTLP_HEADERS"); /* not for methods, and programs that they start */
    return rc;
}

void asq__spans_end(struct asq__process *w)
{
    asq_log_level level;
    char text[ASQ__TRACER_TEXT];
    if (asq__tracer_free(w->tracer, FLUSH_MS, &level, text))
        asq__process_log(w, level, "%s", text);
    w->tracer = NULL;
}

void asq__spans_upkeep(struct asq__process *w)
{
    asq_log_level level;
    char text[ASQ__TRACER_TEXT];
    if (asq__tracer_line(w->tracer, &level, text))
        asq__process_log(w, level, "%s", text);
}

/* Makes the span of a call, if the call is traced: its caller says so, or nobody has called it who
 * could, and it is chosen by its id. */
static struct asq__span *span_of(const struct asq__wcall *c, const char *id,
                                 const struct asq__class *cls, int64_t now_ns)
{
    const Asqueue__Job *job = asq__wcall_job(c);
    char text[ASQ__CALL_ID_TEXT + 16], place[ASQ__PLACE_MAX];
    uint8_t root[ASQ__TRACE_ID];
    if (job->trace && !asq__trace_is_sampled(job->trace->parent.data))
        return NULL;
    if (!job->trace) {
        const struct asq__tracer *tracer = c->entry->part->w->tracer;
        uint64_t choice;
        if (!asq__tracer_chooses(tracer, 0) || asq__batch_is_nested(c->entry->batch))
            return NULL;
        asq__siphash128(id, strlen(id), root);
        memcpy(&choice, root + sizeof root - sizeof choice, sizeof choice);
        if (!asq__tracer_chooses(tracer, choice))
            return NULL;
        root[0] |= !root[0]; /* not all zero */
    }
    snprintf(text, sizeof text, "%s/%u", id, c->retries);
    uint64_t own = asq__siphash64(text, strlen(text));
    own += !own;
    struct asq__span_about about = { cls ? cls->def.name : job->class_name,
                                     asq__job_place(job->kind, job->method, place),
                                     job->agent,
                                     id,
                                     c->entry->partition,
                                     c->attempts + c->retries + 1 };
    int64_t since_ns = asq__measure_waits_since_ms(c) * 1000000;
    struct asq__span *s =
        asq__span_new(ASQ__SPAN_SERVER, &about, job->trace, root, (const uint8_t *) &own,
                      since_ns < now_ns ? since_ns : now_ns);
    if (s) {
        s->resent = c->entry->batch->resent;
        asq__span_enter(s, ASQ__PHASE_QUEUE, s->begin_ns);
    }
    return s;
}

void asq__spans_start(struct asq__run *run, int64_t now_ns)
{
    run->span =
        span_of(run->active.call, run->active.id, asq__actor_object(run->actor)->cls, now_ns);
    if (run->span)
        run->ctx.trace = &run->span->trace;
}

void asq__spans_unstarted(const struct asq__wcall *c, const struct asq__class *cls,
                          const asq_error *error)
{
    char id[ASQ__CALL_ID_TEXT];
    int64_t now_ns = asq__now_ns();
    asq__wcall_id(c, id);
    struct asq__span *s = span_of(c, id, cls, now_ns);
    if (!s)
        return;
    asq__span_fail(s, error->code, error->message);
    s->end_ns = now_ns;
    asq__tracer_add(c->entry->part->w->tracer, s);
}

void asq__spans_committed(struct asq__process *w, struct asq__commit *c)
{
    int64_t now_ns = asq__now_ns();
    struct asq__list *node;
    while ((node = asq__list_pop(&c->spans))) {
        struct asq__span *s = ASQ__CONTAINER(node, struct asq__span, node);
        s->end_ns = now_ns;
        asq__tracer_add(w->tracer, s);
    }
}
