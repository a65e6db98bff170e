/*
 * span.c: see span.h.
 */
#include "value/span.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "value/escape.h"
#include "value/unconst.h"

/* Copies a text behind the others. */
static const char *put(char **to, const char *s)
{
    char *at = *to;
    *to = stpcpy(at, s ? s : "") + 1;
    return at;
}

static size_t size(const char *s)
{
    return s ? strlen(s) + 1 : 1;
}

struct asq__span *asq__span_new(enum asq__span_kind kind, const struct asq__span_about *about,
                                const Asqueue__Trace *trace, const uint8_t root[ASQ__TRACE_ID],
                                const uint8_t id[ASQ__SPAN_ID], int64_t begin_ns)
{
    size_t n = sizeof(struct asq__span) + size(about->class_name) + size(about->method) +
               size(about->agent) + size(trace ? trace->state : NULL);
    struct asq__span *s = calloc(1, n);
    if (!s)
        return NULL;
    char *to = (char *) (s + 1);
    asq__list_init(&s->node);
    s->kind = kind;
    s->bytes = n;
    s->begin_ns = begin_ns;
    s->attempt = about->attempt;
    s->partition = about->partition;
    memcpy(s->place, trace ? trace->parent.data : root, ASQ__TRACE_ID);
    memcpy(s->place + ASQ__TRACE_ID, id, ASQ__SPAN_ID);
    s->place[ASQ__TRACE_ID + ASQ__SPAN_ID] =
        trace ? trace->parent.data[ASQ__TRACE_ID + ASQ__SPAN_ID] : 1;
    if (trace)
        memcpy(s->parent, trace->parent.data + ASQ__TRACE_ID, ASQ__SPAN_ID);
    s->class_name = put(&to, about->class_name);
    s->method = put(&to, about->method);
    s->agent = put(&to, about->agent);
    snprintf(s->call_id, sizeof s->call_id, "%s", about->call_id ? about->call_id : "");
    s->state = put(&to, trace ? trace->state : NULL);
    asq__trace_borrow(&s->trace, s->place, s->state);
    return s;
}

void asq__span_free(struct asq__span *s)
{
    if (!s)
        return;
    free(s->phases);
    free(s->message);
    free(s);
}

void asq__span_enter(struct asq__span *s, enum asq__span_phase phase, int64_t now_ns)
{
    bool last = phase == ASQ__PHASE_COMMIT; /* has a place of its own */
    if (s->nphases + !last >= ASQ__SPAN_PHASES) {
        s->cut = true;
        return;
    }
    if (s->nphases == s->cphases) {
        size_t c = s->cphases ? 4 * s->cphases : 4;
        void *phases = realloc(s->phases, c * sizeof *s->phases);
        if (!phases) {
            s->cut = true;
            return;
        }
        s->bytes += (c - s->cphases) * sizeof *s->phases;
        s->phases = phases;
        s->cphases = c;
    }
    s->phases[s->nphases].phase = phase;
    s->phases[s->nphases++].begin_ns = now_ns;
}

void asq__span_fail(struct asq__span *s, int code, const char *message)
{
    char text[ASQ__SPAN_MESSAGE + 1];
    size_t n = 0;
    for (const unsigned char *p = (const unsigned char *) message; *p;) {
        uint32_t c;
        size_t len = asq__utf8_next(p, &c);
        if (n + (len ? len : 1) > ASQ__SPAN_MESSAGE)
            break;
        if (len)
            memcpy(text + n, p, len);
        else
            text[n] = '?';
        n += len ? len : 1;
        p += len ? len : 1;
    }
    text[n] = '\0';
    free(s->message);
    s->code = code;
    s->message = strdup(text);
    s->bytes += s->message ? n + 1 : 0;
}
