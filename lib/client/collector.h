/*
 * collector.h: requests to a collector of traces over HTTP, one after the other, by libcurl. One
 * thread at a time uses it, except where a function says otherwise.
 */
#ifndef ASQ_CLIENT_COLLECTOR_H
#define ASQ_CLIENT_COLLECTOR_H

#include <stddef.h>
#include <stdint.h>

struct asq__collector;

enum asq__collector_answer {
    ASQ__COLLECTOR_TOOK,
    ASQ__COLLECTOR_TOOK_PART, /* it will never take the rest */
    ASQ__COLLECTOR_AWAY,      /* not reached, or too busy: the same may be sent again */
    ASQ__COLLECTOR_REFUSED    /* it will never take this request */
};

enum { ASQ__COLLECTOR_WHY = 360 };

/* Checks a URL, and the headers in the environment. ASQ_EINVAL; ASQ_ENOTSUP: built without
 * libcurl. */
int asq__collector_check(const char *url, char *err, size_t errlen);
/* Does not connect. The headers of OTEL_EXPORTER_OTLP_HEADERS are sent with each request; no text
 * that is returned has them. Errors as of asq__collector_check, ASQ_ENOMEM. */
int asq__collector_new(const char *url, struct asq__collector **ret, char *err, size_t errlen);
void asq__collector_free(struct asq__collector *c);
/* Sends JSON and waits for the answer, at most 10 s. `why` is written unless it took all of
 * it. */
enum asq__collector_answer asq__collector_send(struct asq__collector *c, const void *body, size_t n,
                                               char why[ASQ__COLLECTOR_WHY]);
/* Returns how many spans the last answer has rejected, 0 unless it took part. */
uint64_t asq__collector_rejected(const struct asq__collector *c);
/* Returns how long the last answer has asked to wait before the next try, at most 30 s; 0: it did
 * not say. */
int64_t asq__collector_wait_ms(const struct asq__collector *c);
/* Ends what is under way, and what is sent later, at a time (monotonic). Any thread. */
void asq__collector_stop_at(struct asq__collector *c, int64_t ms);
/* The URL without what could be secret in it. */
const char *asq__collector_url(const struct asq__collector *c);

#endif
