/*
 * otlp.h: spans as a collector of OpenTelemetry takes them: OTLP 1, JSON. No I/O.
 */
#ifndef ASQ_VALUE_OTLP_H
#define ASQ_VALUE_OTLP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct asq__buf;
struct asq__list;

/* Describes the process that made the spans. */
struct asq__otlp_resource {
    const char *service, *instance, *host;
    int64_t pid;
};

/* Appends the body of a request with the spans of a list. unix_ns is what the clock of the day has
 * more than the monotonic one. */
void asq__otlp_write(const struct asq__otlp_resource *resource, const struct asq__list *spans,
                     int64_t unix_ns, struct asq__buf *out);
/* Returns how many spans a collector that has taken a request says in its answer to have rejected,
 * and if any, writes the reason, cut to whylen. whole: the answer is not only the begin of one. */
uint64_t asq__otlp_rejects(const char *answer, size_t n, bool whole, char *why, size_t whylen);

#endif
