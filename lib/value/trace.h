/*
 * trace.h: W3C Trace Context: the texts traceparent and tracestate, and their binary form.
 */
#ifndef ASQ_VALUE_TRACE_H
#define ASQ_VALUE_TRACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "asqueue.h"
#include "proto/asqueue.pb-c.h"

/* The binary form of a traceparent, as in a Trace of proto/asqueue.proto:
 *
 *     0            16           24      25
 *     │ trace id   │ span id    │ flags │ */
enum {
    ASQ__TRACE_ID = 16,
    ASQ__SPAN_ID = 8,
    ASQ__TRACE_PARENT = ASQ__TRACE_ID + ASQ__SPAN_ID + 1,
    ASQ__TRACE_TEXT = 56 /* a traceparent with its NUL */
};

/* Reads and checks the texts of a trace; the state stays a text. ASQ_EINVAL. */
int asq__trace_parse(const asq_trace *trace, uint8_t ret_parent[ASQ__TRACE_PARENT], char *err,
                     size_t errlen);
/* Writes a traceparent of version 00. */
void asq__trace_text(const uint8_t parent[ASQ__TRACE_PARENT], char out[ASQ__TRACE_TEXT]);
/* Returns whether n bytes are a parent: of the right size, with both ids. */
bool asq__trace_parent_is_valid(const uint8_t *parent, size_t n);
bool asq__trace_state_is_valid(const char *state);
/* Makes a Trace of parts that it borrows; state NULL: none. */
void asq__trace_borrow(Asqueue__Trace *ret, uint8_t parent[ASQ__TRACE_PARENT], const char *state);
/* Makes a Trace in one block, freed by free(); state NULL: none. NULL: no memory. */
Asqueue__Trace *asq__trace_new(const uint8_t parent[ASQ__TRACE_PARENT], const char *state);
/* Returns whether the caller has asked for its spans to be recorded. */
static inline bool asq__trace_is_sampled(const uint8_t parent[ASQ__TRACE_PARENT])
{
    return parent[ASQ__TRACE_ID + ASQ__SPAN_ID] & 1;
}

#endif
