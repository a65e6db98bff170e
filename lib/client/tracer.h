/*
 * tracer.h: exports spans to a collector, on a thread of its own that begins with the first span.
 * Nobody waits for it: spans that find no room are dropped and counted.
 */
#ifndef ASQ_CLIENT_TRACER_H
#define ASQ_CLIENT_TRACER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "asqueue.h"
#include "redis/trouble.h"
#include "value/span.h"

struct asq__tracer;

struct asq__tracer_config {
    const char *url;
    double rate;         /* share of the calls that nobody else traces */
    const char *service; /* NULL: OTEL_SERVICE_NAME from the environment, else `otherwise` */
    const char *otherwise;
    const char *instance;
    atomic_ullong *exported, *dropped; /* counters of calls; NULL: none */
};

enum { ASQ__TRACER_TEXT = ASQ__TROUBLE_TEXT + 200 };

/* Checks what asq__tracer_new would refuse. ASQ_EINVAL, ASQ_ENOTSUP, ASQ_ENOMEM. */
int asq__tracer_check(const char *url, double rate, const char *service, char *err, size_t errlen);
int asq__tracer_new(const struct asq__tracer_config *config, struct asq__tracer **ret, char *err,
                    size_t errlen);
/* Exports what there is, for at most flush_ms, and ends. Returns whether there is something to be
 * logged, as asq__tracer_line does. In the copy of a process made by fork it does nothing. */
bool asq__tracer_free(struct asq__tracer *t, int64_t flush_ms, asq_log_level *level,
                      char text[ASQ__TRACER_TEXT]);
/* Returns whether a call that nobody traces is to be traced; `random` is a random number of its
 * own. */
bool asq__tracer_chooses(const struct asq__tracer *t, uint64_t random);
/* Takes over a span that has ended. Any thread. */
void asq__tracer_add(struct asq__tracer *t, struct asq__span *span);
/* Returns whether there is something to be logged since it was last asked: failures are told at
 * once, then once a minute, and their end. Any thread. */
bool asq__tracer_line(struct asq__tracer *t, asq_log_level *level, char text[ASQ__TRACER_TEXT]);

#endif
