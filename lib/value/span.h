/*
 * span.h: what is recorded of a call for its trace: who ran what in which trace, and when it
 * waited, ran, was parked and was committed. Times are by the monotonic clock. No I/O, no clock.
 */
#ifndef ASQ_VALUE_SPAN_H
#define ASQ_VALUE_SPAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/asqueue.pb-c.h"
#include "value/list.h"
#include "value/trace.h"
#include "value/value.h"

/* The numbers of OTLP. */
enum asq__span_kind { ASQ__SPAN_SERVER = 2, ASQ__SPAN_CLIENT = 3 };

enum asq__span_phase {
    ASQ__PHASE_QUEUE,  /* from its making, or from when it was due, to its start */
    ASQ__PHASE_RUN,    /* on a thread */
    ASQ__PHASE_PARKED, /* waits in a function of the library */
    ASQ__PHASE_COMMIT  /* from its end to the acknowledgement by Redis */
};

/* Phases of a span, with the first and the last; further ones count to the one before them. */
enum { ASQ__SPAN_PHASES = 64, ASQ__SPAN_MESSAGE = 1000 };

struct asq__span {
    struct asq__list node;
    enum asq__span_kind kind;
    uint8_t place[ASQ__TRACE_PARENT]; /* trace id, own span id, flags */
    Asqueue__Trace trace;             /* for the calls below it; refers to `place` and `state` */
    uint8_t parent[ASQ__SPAN_ID];     /* all zero: none, the root of its trace */
    int64_t begin_ns, end_ns;         /* end 0: not ended */
    uint32_t attempt;
    uint32_t partition;
    int code; /* 0: it has not failed */
    size_t bytes;
    char *message; /* with code; or NULL */
    struct {
        enum asq__span_phase phase;
        int64_t begin_ns;
    } * phases; /* each ends where the next one begins, the last one with the span */
    size_t nphases, cphases;
    bool cut;                                        /* it had more phases */
    bool resent;                                     /* Redis may have lost an earlier run of it */
    const char *class_name, *method, *agent, *state; /* behind the struct */
    char call_id[ASQ__CALL_ID_TEXT];                 /* "": not known yet */
};

/* Texts of a new span; class_name and call_id may be NULL. */
struct asq__span_about {
    const char *class_name, *method, *agent, *call_id;
    uint32_t partition, attempt;
};

/* Makes a span at a place in a trace: `trace` has the caller's place, NULL: there is no caller, and
 * the trace has the id `root`. NULL: no memory. */
struct asq__span *asq__span_new(enum asq__span_kind kind, const struct asq__span_about *about,
                                const Asqueue__Trace *trace, const uint8_t root[ASQ__TRACE_ID],
                                const uint8_t id[ASQ__SPAN_ID], int64_t begin_ns);
void asq__span_free(struct asq__span *s);
/* Begins a phase, and so ends the one before it. Without memory it belongs to that one. */
void asq__span_enter(struct asq__span *s, enum asq__span_phase phase, int64_t now_ns);
/* Notes the failure of the call; the text is copied, cut and made UTF-8. */
void asq__span_fail(struct asq__span *s, int code, const char *message);

#endif
