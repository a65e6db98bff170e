/*
 * call_span.h: the spans of calls that a program makes, when its handle has a collector.
 */
#ifndef ASQ_CLIENT_CALL_SPAN_H
#define ASQ_CLIENT_CALL_SPAN_H

#include <stddef.h>

#include "asqueue.h"

struct asq__job;

/* Makes the tracer of a handle, if it is to have one. ASQ_EINVAL, ASQ_ENOTSUP, ASQ_ENOMEM. */
int asq__handle_trace(asq *h, const asq_options *options, char *err, size_t errlen);
/* Exports what there is, for a second at most. */
void asq__handle_end_trace(asq *h);
/* Begins the span of a call that is about to be encoded, if it is traced: the call is then below
 * it. For a handle with a tracer. */
void asq__call_span_begin(asq_result *r, struct asq__job *job);
/* Ends the span of a result that is complete. */
void asq__call_span_end(asq_result *r);

#endif
