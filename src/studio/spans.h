/*
 * spans.h: spans of traces that workers and clients have exported, kept in memory: the newest, up
 * to a number and a size. Any thread.
 */
#ifndef ASQ_SRC_STUDIO_SPANS_H
#define ASQ_SRC_STUDIO_SPANS_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "asqueue.h"

enum { AS_SPANS = 20000, AS_SPANS_BYTES = 32 * 1024 * 1024, AS_SPAN_BYTES = 16 * 1024 };

struct as_span {
    char trace[33], id[17], parent[17]; /* hexadecimal; parent "": none */
    uint64_t start_ns, end_ns;          /* Unix time */
    bool failed;
    char *row; /* the JSON object for the page; owns the texts behind it */
    const char *name, *agent, *call;
    size_t bytes;
};

struct as_spans {
    pthread_mutex_t lock;
    struct as_span *ring; /* NULL: none are collected */
    size_t first, n, bytes;
    uint64_t dropped;
};

/* ASQ_ENOMEM. */
int as_spans_init(struct as_spans *s);
void as_spans_release(struct as_spans *s);
/* Adds the spans of an export of OTLP, as JSON. Spans that are not right are dropped and counted.
 * ASQ_EINVAL: it is no export. */
int as_spans_add(struct as_spans *s, const asq_value *export);
/* Returns the newest traces in which a span has the call and the agent (NULL: any), as {traces,
 * kept, dropped}; NULL: no memory. */
asq_value *as_spans_list(struct as_spans *s, const char *call, const char *agent, size_t limit);
/* Returns a trace as JSON, its spans in the order of their starts. NULL with *ret_found: no
 * memory; else there is no such trace. */
char *as_spans_trace(struct as_spans *s, const char *trace, bool *ret_found);

#endif
