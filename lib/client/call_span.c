/*
 * call_span.c: see call_span.h. On the handle's thread.
 */
#include "client/call_span.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "client/handle.h"
#include "client/object.h"
#include "client/tracer.h"
#include "value/clock.h"
#include "value/error.h"
#include "value/msg.h"
#include "value/random.h"
#include "value/span.h"

enum { FLUSH_MS = 1000 };

int asq__handle_trace(asq *h, const asq_options *options, char *err, size_t errlen)
{
    char instance[160] = "";
    gethostname(instance, sizeof instance - 32);
    size_t n = strlen(instance);
    snprintf(instance + n, sizeof instance - n, "-%ld", (long) getpid());
    struct asq__tracer_config config = { .url = options->traces,
                                         .rate = options->trace_rate,
                                         .service = options->trace_service,
                                         .otherwise = program_invocation_short_name,
                                         .instance = instance };
    return options->traces ? asq__tracer_new(&config, &h->tracer, err, errlen) : 0;
}

static void log_line(asq *h)
{
    asq_log_level level;
    char text[ASQ__TRACER_TEXT];
    if (asq__tracer_line(h->tracer, &level, text))
        asq__log(h, level, "%s", text);
}

void asq__handle_end_trace(asq *h)
{
    asq_log_level level;
    char text[ASQ__TRACER_TEXT];
    if (!h->tracer)
        return;
    log_line(h);
    if (asq__tracer_free(h->tracer, FLUSH_MS, &level, text))
        asq__log(h, level, "%s", text);
    h->tracer = NULL;
}

void asq__call_span_begin(asq_result *r, struct asq__job *job)
{
    struct {
        uint8_t root[ASQ__TRACE_ID], id[ASQ__SPAN_ID];
        uint64_t choice;
    } drawn;
    asq *h = r->h;
    char place[ASQ__PLACE_MAX];
    if (job->trace ? !asq__trace_is_sampled(job->trace->parent.data)
                   : !asq__tracer_chooses(h->tracer, 0))
        return;
    if (asq__random(&drawn, sizeof drawn) < 0 ||
        (!job->trace && !asq__tracer_chooses(h->tracer, drawn.choice)))
        return;
    drawn.root[0] |= !drawn.root[0]; /* ids are not all zero */
    drawn.id[0] |= !drawn.id[0];
    struct asq__span_about about = { .class_name = job->class_name,
                                     .method = asq__job_place(job->kind, job->method, place),
                                     .agent = job->agent,
                                     .partition = r->partition };
    r->span =
        asq__span_new(ASQ__SPAN_CLIENT, &about, job->trace, drawn.root, drawn.id, asq__now_ns());
    if (r->span)
        job->trace = &r->span->trace;
    log_line(h);
}

void asq__call_span_end(asq_result *r)
{
    struct asq__span *s = r->span;
    r->span = NULL;
    if (!r->h->tracer) {
        asq__span_free(s);
        return;
    }
    snprintf(s->call_id, sizeof s->call_id, "%s", asq__result_id_text(r));
    if (r->error)
        asq__span_fail(s, r->error->pub.code, r->error->pub.message);
    else if (!r->value)
        asq__span_fail(s, ASQ_ENOMEM, "out of memory");
    s->end_ns = asq__now_ns();
    asq__tracer_add(r->h->tracer, s);
}
