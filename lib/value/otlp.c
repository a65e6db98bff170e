/*
 * otlp.c: see otlp.h. Names and attributes follow the conventions of OpenTelemetry for calls of
 * remote procedures, where these have a name. In JSON, OTLP has ids as hexadecimal digits and
 * 64-bit numbers as texts.
 */
#include "value/otlp.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "asqueue.h"
#include "value/buf.h"
#include "value/hash.h"
#include "value/hex.h"
#include "value/list.h"
#include "value/span.h"
#include "value/value.h"

enum { KIND_INTERNAL = 1, STATUS_ERROR = 2 };

static void put_text(struct asq__buf *out, const char *s)
{
    asq__json_put_text(out, s, strlen(s));
}

/* Appends an attribute; *first: none stands before it. */
static void put_key(struct asq__buf *out, bool *first, const char *key)
{
    asq__buf_puts(out, *first ? "{\"key\":\"" : ",{\"key\":\"");
    asq__buf_puts(out, key);
    asq__buf_puts(out, "\",\"value\":");
    *first = false;
}

static void put_attribute(struct asq__buf *out, bool *first, const char *key, const char *value)
{
    put_key(out, first, key);
    asq__buf_puts(out, "{\"stringValue\":");
    put_text(out, value);
    asq__buf_puts(out, "}}");
}

static void put_number(struct asq__buf *out, bool *first, const char *key, int64_t value)
{
    put_key(out, first, key);
    asq__buf_printf(out, "{\"intValue\":\"%lld\"}}", (long long) value);
}

static void put_true(struct asq__buf *out, bool *first, const char *key)
{
    put_key(out, first, key);
    asq__buf_puts(out, "{\"boolValue\":true}}");
}

static void put_hex(struct asq__buf *out, const char *name, const uint8_t *id, size_t n)
{
    char text[2 * ASQ__TRACE_ID];
    asq__buf_printf(out, "\"%s\":\"", name);
    asq__hex(text, id, n);
    asq__buf_put(out, text, 2 * n);
    asq__buf_puts(out, "\",");
}

static void put_times(struct asq__buf *out, int64_t begin_ns, int64_t end_ns)
{
    asq__buf_printf(out, "\"startTimeUnixNano\":\"%lld\",\"endTimeUnixNano\":\"%lld\"",
                    (long long) begin_ns, (long long) (end_ns > begin_ns ? end_ns : begin_ns));
}

static void put_attributes(struct asq__buf *out, const struct asq__span *s, const char *worker)
{
    bool first = true;
    asq__buf_puts(out, ",\"attributes\":[");
    put_attribute(out, &first, "rpc.system", "asqueue");
    if (*s->class_name)
        put_attribute(out, &first, "rpc.service", s->class_name);
    put_attribute(out, &first, "rpc.method", s->method);
    put_attribute(out, &first, "asqueue.agent", s->agent);
    put_attribute(out, &first, "asqueue.call_id", s->call_id);
    put_number(out, &first, "asqueue.partition", s->partition);
    if (s->kind == ASQ__SPAN_SERVER) {
        put_number(out, &first, "asqueue.attempt", s->attempt);
        put_attribute(out, &first, "asqueue.worker", worker);
    }
    if (s->resent)
        put_true(out, &first, "asqueue.resent");
    if (s->cut)
        put_true(out, &first, "asqueue.phases_cut");
    if (s->code) {
        const char *name = asq_error_name(s->code);
        put_attribute(out, &first, "error.type", name ? name : "_OTHER");
        put_number(out, &first, "asqueue.code", s->code);
    }
    asq__buf_putc(out, ']');
    if (s->code) {
        asq__buf_printf(out, ",\"status\":{\"code\":%d,\"message\":", STATUS_ERROR);
        put_text(out, s->message ? s->message : "");
        asq__buf_putc(out, '}');
    }
}

/* Appends a phase as a span below that of its call. */
static void put_phase(struct asq__buf *out, const struct asq__span *s, size_t i, int64_t unix_ns)
{
    static const char *const names[] = { [ASQ__PHASE_QUEUE] = "queue",
                                         [ASQ__PHASE_RUN] = "run",
                                         [ASQ__PHASE_PARKED] = "parked",
                                         [ASQ__PHASE_COMMIT] = "commit" };
    struct {
        uint8_t above[ASQ__SPAN_ID];
        uint64_t number;
    } of;
    memcpy(of.above, s->place + ASQ__TRACE_ID, ASQ__SPAN_ID);
    of.number = i;
    uint64_t id = asq__siphash64(&of, sizeof of) | 1;
    asq__buf_puts(out, ",{");
    put_hex(out, "traceId", s->place, ASQ__TRACE_ID);
    put_hex(out, "spanId", (const uint8_t *) &id, ASQ__SPAN_ID);
    put_hex(out, "parentSpanId", of.above, ASQ__SPAN_ID);
    asq__buf_printf(out, "\"name\":\"%s\",\"kind\":%d,", names[s->phases[i].phase], KIND_INTERNAL);
    put_times(out, s->phases[i].begin_ns + unix_ns,
              (i + 1 < s->nphases ? s->phases[i + 1].begin_ns : s->end_ns) + unix_ns);
    asq__buf_putc(out, '}');
}

static void put_span(struct asq__buf *out, const struct asq__span *s, const char *worker,
                     int64_t unix_ns)
{
    static const uint8_t none[ASQ__SPAN_ID];
    char name[2 * ASQ_MAX_NAME + 4];
    asq__buf_putc(out, '{');
    put_hex(out, "traceId", s->place, ASQ__TRACE_ID);
    put_hex(out, "spanId", s->place + ASQ__TRACE_ID, ASQ__SPAN_ID);
    if (memcmp(s->parent, none, sizeof none) != 0)
        put_hex(out, "parentSpanId", s->parent, ASQ__SPAN_ID);
    if (*s->state) {
        asq__buf_puts(out, "\"traceState\":");
        put_text(out, s->state);
        asq__buf_putc(out, ',');
    }
    snprintf(name, sizeof name, "%s%s%s", s->class_name,
             *s->class_name && *s->method != '.' ? "." : "", s->method);
    asq__buf_puts(out, "\"name\":");
    put_text(out, name);
    asq__buf_printf(out, ",\"kind\":%d,", s->kind);
    put_times(out, s->begin_ns + unix_ns, s->end_ns + unix_ns);
    put_attributes(out, s, worker);
    asq__buf_putc(out, '}');
    for (size_t i = 0; i < s->nphases; i++)
        put_phase(out, s, i, unix_ns);
}

void asq__otlp_write(const struct asq__otlp_resource *r, const struct asq__list *spans,
                     int64_t unix_ns, struct asq__buf *out)
{
    bool first = true, begun = false;
    asq__buf_puts(out, "{\"resourceSpans\":[{\"resource\":{\"attributes\":[");
    put_attribute(out, &first, "service.name", r->service);
    put_attribute(out, &first, "service.instance.id", r->instance);
    put_attribute(out, &first, "host.name", r->host);
    put_number(out, &first, "process.pid", r->pid);
    asq__buf_puts(out, "]},\"scopeSpans\":[{\"scope\":{\"name\":\"asqueue\",\"version\":");
    put_text(out, asq_version());
    asq__buf_puts(out, "},\"spans\":[");
    ASQ__LIST_EACH (it, spans) {
        if (begun)
            asq__buf_putc(out, ',');
        begun = true;
        put_span(out, ASQ__CONTAINER(it, struct asq__span, node), r->instance, unix_ns);
    }
    asq__buf_puts(out, "]}]}]}");
}

/* Returns a 64-bit number, which JSON of OTLP has as a text; some collectors write a number. */
static int64_t read_number(const asq_value *v)
{
    const char *text;
    int64_t n = 0;
    if (asq_value_get_string(v, &text, NULL) == 0)
        return strtoll(text, NULL, 10);
    return asq_value_get_int(v, &n) == 0 ? n : 0;
}

/* Finds the number in the begin of an answer; 0: it is not there. */
static int64_t find_number(const char *answer, size_t n)
{
    static const char key[] = "\"rejectedSpans\"";
    char digits[24] = "";
    const char *at = memmem(answer, n, key, sizeof key - 1), *end = answer + n;
    if (!at)
        return 0;
    for (at += sizeof key - 1; at < end && strchr(" \t\r\n:\"", *at); at++)
        ;
    for (size_t i = 0; at < end && *at >= '0' && *at <= '9' && i < sizeof digits - 1; i++)
        digits[i] = *at++;
    return strtoll(digits, NULL, 10);
}

uint64_t asq__otlp_rejects(const char *answer, size_t n, bool whole, char *why, size_t whylen)
{
    asq_value *all = NULL;
    const char *message = "";
    int64_t rejected = 0;
    if (!whole) {
        rejected = find_number(answer, n);
    } else if (asq_from_json(answer, n, &all, NULL, 0) == 0) {
        const asq_value *partial = asq_map_get(all, "partialSuccess");
        rejected = read_number(asq_map_get(partial, "rejectedSpans"));
        asq_value_get_string(asq_map_get(partial, "errorMessage"), &message, NULL);
    }
    if (rejected > 0)
        snprintf(why, whylen, "it rejects spans: %.200s", *message ? message : "without a reason");
    asq_value_free(all);
    return rejected > 0 ? (uint64_t) rejected : 0;
}
