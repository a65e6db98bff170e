/*
 * collector.h: a collector of traces for tests, in a process of its own. It keeps each request that
 * it takes; the test reads them and checks their form strictly.
 *
 *     sup_collector *c = sup_collector_start();
 *     ...                                          // something exports to sup_collector_url(c)
 *     sup_wait_until(sup_collector_read(c) == 3);  // spans so far
 *     const struct sup_span *s = sup_collector_span(c, "Counter.add", 0);
 */
#ifndef ASQ_TESTS_COLLECTOR_H
#define ASQ_TESTS_COLLECTOR_H

#include <stddef.h>
#include <stdint.h>

typedef struct sup_collector sup_collector;

enum { SUP_INTERNAL = 1, SUP_SERVER, SUP_CLIENT };

struct sup_span {
    const char *trace, *id, *parent, *state, *name; /* parent, state: "" if there is none */
    const char *service, *instance;                 /* of its resource */
    int kind;
    int64_t begin_ns, end_ns;
    int status; /* 2: an error */
    const char *message;
    const void *attributes;
};

enum { SUP_COLLECTOR_STALLS = 1 }; /* takes the request and does not answer */

sup_collector *sup_collector_start(void);
/* Starts one behind https, which shows a key and a certificate (sup_tls_identity). */
sup_collector *sup_collector_start_as(const char *identity);
/* Shows others from the next connection on. */
void sup_collector_identity(sup_collector *c, const char *identity);
const char *sup_collector_url(const sup_collector *c);
/* Sets how requests are answered from now on: a status of HTTP, or SUP_COLLECTOR_STALLS. */
void sup_collector_answer(sup_collector *c, int status);
/* Does the same, with a line for the head ("Retry-After: 2\r\n"; or "") and a body. */
void sup_collector_answer_with(sup_collector *c, int status, const char *head, const char *body);
/* Reads what has come, and fails the test if any of it is not as OTLP has it. Returns the number of
 * spans that were answered by 200. */
size_t sup_collector_read(sup_collector *c);
/* Returns the number of requests, whatever was answered. */
size_t sup_collector_requests(sup_collector *c);
/* Returns the number of connections that began with TLS and brought no request. */
size_t sup_collector_refusals(sup_collector *c);
/* Returns the heads of all requests; the caller frees it. */
char *sup_collector_heads(sup_collector *c);
/* Returns the i-th span of a name (NULL: any), in the order of their begin; NULL: there are no
 * more. Valid until the next reading. */
const struct sup_span *sup_collector_span(const sup_collector *c, const char *name, size_t i);
/* Returns the i-th span below another. */
const struct sup_span *sup_collector_child(const sup_collector *c, const struct sup_span *above,
                                           const char *name, size_t i);
/* Returns an attribute's text, also of a number, or "true"; "": it has none. */
const char *sup_span_text(const struct sup_span *s, const char *key);
/* Ends the process; its port is free then, until it is started again there. */
void sup_collector_stop(sup_collector *c);
void sup_collector_restart(sup_collector *c);
void sup_collector_free(sup_collector *c);

#endif
