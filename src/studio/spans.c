/*
 * spans.c: see spans.h. What senders give is not trusted: ids and times are checked, and what the
 * page shows of a span is made anew from its fields.
 */
#include "studio/spans.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "studio/api.h"

int as_spans_init(struct as_spans *s)
{
    *s = (struct as_spans){ .ring = calloc(AS_SPANS, sizeof(struct as_span)) };
    pthread_mutex_init(&s->lock, NULL);
    return s->ring ? 0 : ASQ_ENOMEM;
}

static void drop_first(struct as_spans *s)
{
    struct as_span *span = &s->ring[s->first];
    s->bytes -= span->bytes;
    free(span->row);
    span->row = NULL;
    s->first = (s->first + 1) % AS_SPANS;
    s->n--;
}

void as_spans_release(struct as_spans *s)
{
    if (!s->ring)
        return;
    while (s->n)
        drop_first(s);
    free(s->ring);
    s->ring = NULL;
    pthread_mutex_destroy(&s->lock);
}

/* ---- reading an export ---------------------------------------------------------------------- */

/* Copies an id of `n` hexadecimal digits, in small letters. */
static bool read_id(const asq_value *map, const char *key, size_t n, char *out)
{
    const char *text = asq_map_string(map, key);
    bool zero = true;
    if (strlen(text) != n)
        return false;
    for (size_t i = 0; i < n; i++) {
        if (!isxdigit((unsigned char) text[i]))
            return false;
        out[i] = (char) tolower((unsigned char) text[i]);
        zero &= text[i] == '0';
    }
    out[n] = '\0';
    return !zero;
}

/* Reads a number that JSON of OTLP has as a text. */
static bool read_u64(const asq_value *v, uint64_t *ret)
{
    const char *text;
    int64_t number;
    char *end;
    if (asq_value_get_int(v, &number) == 0 && number >= 0) {
        *ret = (uint64_t) number;
        return true;
    }
    if (asq_value_get_string(v, &text, NULL) < 0 || !isdigit((unsigned char) *text) ||
        strlen(text) > 19)
        return false;
    *ret = strtoull(text, &end, 10);
    return !*end;
}

/* Makes a value of {stringValue: …} and its like. */
static asq_value *read_any(const asq_value *any)
{
    static const char *const keys[] = { "stringValue", "boolValue", "doubleValue" };
    const asq_value *whole = asq_map_get(any, "intValue");
    const char *text;
    if (asq_value_get_string(whole, &text, NULL) == 0 && strlen(text) < 20)
        return asq_value_int(strtoll(text, NULL, 10));
    if (asq_value_type(whole) == ASQ_INT)
        return asq_value_copy(whole);
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        const asq_value *v = asq_map_get(any, keys[i]);
        asq_type type = asq_value_type(v);
        if (type == ASQ_STRING || type == ASQ_BOOL || type == ASQ_INT || type == ASQ_DOUBLE)
            return asq_value_copy(v);
    }
    return asq_value_null();
}

/* Makes a map of a list of {key, value}. */
static asq_value *read_attributes(const asq_value *list)
{
    asq_value *map = asq_value_map();
    for (size_t i = 0; map && i < asq_list_size(list); i++) {
        const asq_value *pair = asq_list_get(list, i);
        const char *key = asq_map_string(pair, "key");
        if (*key && asq_map_set(map, key, read_any(asq_map_get(pair, "value"))) < 0) {
            asq_value_free(map);
            return NULL;
        }
    }
    return map;
}

static asq_value *read_events(const asq_value *list, uint64_t start_ns)
{
    asq_value *events = asq_value_list();
    for (size_t i = 0; events && i < asq_list_size(list); i++) {
        const asq_value *e = asq_list_get(list, i);
        asq_value *attributes = read_attributes(asq_map_get(e, "attributes"));
        uint64_t at_ns = start_ns;
        read_u64(asq_map_get(e, "timeUnixNano"), &at_ns);
        asq_value *event =
            attributes
                ? asq_pack("{s:s, s:f, s:o}", "name", asq_map_string(e, "name"), "offset_ms",
                           ((double) at_ns - (double) start_ns) / 1e6, "attributes", attributes)
                : NULL;
        if (asq_list_append(events, event) < 0) {
            asq_value_free(events);
            return NULL;
        }
    }
    return events;
}

/* Makes the row, and keeps what is looked for behind its text. */
static bool make_row(struct as_span *s, const asq_value *span, const char *service)
{
    static const char *const kinds[] = { "unspecified", "internal", "server",
                                         "client",      "producer", "consumer" };
    static const char *const states[] = { "unset", "ok", "error" };
    const asq_value *status = asq_map_get(span, "status");
    int64_t kind = asq_map_int(span, "kind"), state = asq_map_int(status, "code");
    asq_value *attributes = read_attributes(asq_map_get(span, "attributes"));
    asq_value *events = read_events(asq_map_get(span, "events"), s->start_ns);
    const char *name = asq_map_string(span, "name");
    char *json = NULL, call[80], agent[ASQ_MAX_ID + 1], start[24];
    if (!attributes || !events) {
        asq_value_free(attributes);
        asq_value_free(events);
        return false;
    }
    snprintf(call, sizeof call, "%s", asq_map_string(attributes, "asqueue.call_id"));
    snprintf(agent, sizeof agent, "%s", asq_map_string(attributes, "asqueue.agent"));
    snprintf(start, sizeof start, "%llu", (unsigned long long) s->start_ns);
    s->failed = state == 2;
    asq_value *row = asq_pack(
        "{s:s, s:s, s:s, s:s, s:s, s:f, s:s, s:s, s:s, s:o, s:o}", "span_id", s->id, "parent_id",
        s->parent, "name", name, "kind", kinds[kind > 0 && kind < 6 ? kind : 0], "start_ns", start,
        "duration_ms", (double) (s->end_ns - s->start_ns) / 1e6, "status",
        states[state > 0 && state < 3 ? state : 0], "message", asq_map_string(status, "message"),
        "service", service, "attributes", attributes, "events", events);
    int rc = row ? asq_to_json(row, 0, &json) : ASQ_ENOMEM;
    asq_value_free(row);
    if (rc < 0)
        return false;
    size_t n = strlen(json) + 1, size = n + strlen(name) + strlen(agent) + strlen(call) + 3;
    char *whole = size <= AS_SPAN_BYTES ? realloc(json, size) : NULL;
    if (!whole) {
        free(json);
        return false;
    }
    s->row = whole;
    s->name = whole + n;
    s->agent = stpcpy(whole + n, name) + 1;
    s->call = stpcpy((char *) (uintptr_t) s->agent, agent) + 1;
    strcpy((char *) (uintptr_t) s->call, call);
    s->bytes = size + sizeof *s;
    return true;
}

static void add_span(struct as_spans *s, const asq_value *span, const char *service)
{
    struct as_span new = { .start_ns = 0 };
    const char *parent = asq_map_string(span, "parentSpanId");
    bool right = read_id(span, "traceId", 32, new.trace) && read_id(span, "spanId", 16, new.id) &&
                 (!*parent || read_id(span, "parentSpanId", 16, new.parent)) &&
                 read_u64(asq_map_get(span, "startTimeUnixNano"), &new.start_ns) &&
                 read_u64(asq_map_get(span, "endTimeUnixNano"), &new.end_ns) &&
                 new.end_ns >= new.start_ns &&make_row(&new, span, service);
    pthread_mutex_lock(&s->lock);
    if (!right)
        s->dropped++;
    while (right && s->n && (s->n == AS_SPANS || s->bytes + new.bytes > AS_SPANS_BYTES)) {
        drop_first(s);
        s->dropped++;
    }
    if (right) {
        s->ring[(s->first + s->n++) % AS_SPANS] = new;
        s->bytes += new.bytes;
    }
    pthread_mutex_unlock(&s->lock);
}

int as_spans_add(struct as_spans *s, const asq_value *export)
{
    const asq_value *resources = asq_map_get(export, "resourceSpans");
    if (asq_value_type(resources) != ASQ_LIST)
        return ASQ_EINVAL;
    for (size_t i = 0; i < asq_list_size(resources); i++) {
        const asq_value *r = asq_list_get(resources, i);
        const asq_value *scopes = asq_map_get(r, "scopeSpans");
        asq_value *about = read_attributes(asq_map_get(asq_map_get(r, "resource"), "attributes"));
        for (size_t k = 0; k < asq_list_size(scopes); k++) {
            const asq_value *spans = asq_map_get(asq_list_get(scopes, k), "spans");
            for (size_t m = 0; m < asq_list_size(spans); m++)
                add_span(s, asq_list_get(spans, m), asq_map_string(about, "service.name"));
        }
        asq_value_free(about);
    }
    return 0;
}

/* ---- showing -------------------------------------------------------------------------------- */

static int by_trace(const void *x, const void *y)
{
    const struct as_span *a = *(const struct as_span *const *) x,
                         *b = *(const struct as_span *const *) y;
    int order = strcmp(a->trace, b->trace);
    if (order == 0)
        order = (a->start_ns > b->start_ns) - (a->start_ns < b->start_ns);
    return order ? order : strcmp(a->id, b->id);
}

/* Returns all spans, by trace and start. The caller frees the list. */
static const struct as_span **sorted(const struct as_spans *s)
{
    const struct as_span **list = calloc(s->n + 1, sizeof *list);
    for (size_t i = 0; list && i < s->n; i++)
        list[i] = &s->ring[(s->first + i) % AS_SPANS];
    if (list && s->n)
        qsort(list, s->n, sizeof *list, by_trace);
    return list;
}

/* A trace in the sorted list. */
struct trace {
    const struct as_span **spans;
    size_t n;
    uint64_t end_ns;
};

static int newest_first(const void *x, const void *y)
{
    const struct trace *a = x, *b = y;
    uint64_t at = a->spans[0]->start_ns, bt = b->spans[0]->start_ns;
    return (bt > at) - (bt < at);
}

static size_t find_traces(const struct as_span **list, size_t n, const char *call,
                          const char *agent, struct trace *traces)
{
    size_t found = 0;
    for (size_t from = 0, to; from < n; from = to) {
        struct trace t = { list + from, 0, 0 };
        bool wanted = false;
        for (to = from; to < n && strcmp(list[to]->trace, list[from]->trace) == 0; to++) {
            t.end_ns = list[to]->end_ns > t.end_ns ? list[to]->end_ns : t.end_ns;
            wanted |= (!call || strcmp(list[to]->call, call) == 0) &&
                      (!agent || strcmp(list[to]->agent, agent) == 0);
        }
        t.n = to - from;
        if (wanted)
            traces[found++] = t;
    }
    return found;
}

static bool has_parent(const struct trace *t, const struct as_span *span)
{
    for (size_t i = 0; *span->parent && i < t->n; i++)
        if (strcmp(t->spans[i]->id, span->parent) == 0)
            return true;
    return false;
}

/* Returns the first span that is below no other one that is kept. */
static const struct as_span *root_of(const struct trace *t)
{
    for (size_t i = 0; i < t->n; i++)
        if (!has_parent(t, t->spans[i]))
            return t->spans[i];
    return t->spans[0];
}

static asq_value *describe(const struct trace *t)
{
    const struct as_span *root = root_of(t);
    int64_t failed = 0;
    for (size_t i = 0; i < t->n; i++)
        failed += t->spans[i]->failed;
    return asq_pack("{s:s, s:s, s:f, s:f, s:I, s:I}", "trace_id", root->trace, "name", root->name,
                    "start_ms", (double) (t->spans[0]->start_ns / 1000000), "duration_ms",
                    (double) (t->end_ns - t->spans[0]->start_ns) / 1e6, "spans", (int64_t) t->n,
                    "errors", failed);
}

asq_value *as_spans_list(struct as_spans *s, const char *call, const char *agent, size_t limit)
{
    asq_value *rows = asq_value_list();
    pthread_mutex_lock(&s->lock);
    const struct as_span **list = sorted(s);
    struct trace *traces = calloc(s->n + 1, sizeof *traces);
    size_t n = list && traces ? find_traces(list, s->n, call, agent, traces) : 0;
    bool failed = !list || !traces || !rows;
    if (n)
        qsort(traces, n, sizeof *traces, newest_first);
    for (size_t i = 0; !failed && i < n && i < limit; i++)
        failed = asq_list_append(rows, describe(&traces[i])) < 0;
    int64_t kept = (int64_t) s->n, dropped = (int64_t) s->dropped;
    pthread_mutex_unlock(&s->lock);
    free(list);
    free(traces);
    if (failed) {
        asq_value_free(rows);
        return NULL;
    }
    return asq_pack("{s:o, s:I, s:I, s:b}", "traces", rows, "kept", kept, "dropped", dropped,
                    "more", n > limit);
}

/* Joins the rows of a trace, each with its offset to the first. */
static char *join(const struct as_span **list, size_t n)
{
    size_t size = 200, used;
    for (size_t i = 0; i < n; i++)
        size += strlen(list[i]->row) + 60;
    char *text = malloc(size);
    if (!text)
        return NULL;
    used = (size_t) sprintf(text, "{\"trace_id\":\"%s\",\"spans\":[", list[0]->trace);
    for (size_t i = 0; i < n; i++) {
        double ms = (double) (list[i]->start_ns - list[0]->start_ns) / 1e6;
        used += (size_t) snprintf(text + used, size - used, "%s{\"start_ms\":%.6f,%s", i ? "," : "",
                                  ms, list[i]->row + 1);
    }
    snprintf(text + used, size - used, "]}");
    return text;
}

char *as_spans_trace(struct as_spans *s, const char *trace, bool *ret_found)
{
    char *text = NULL;
    size_t from = 0, n = 0;
    pthread_mutex_lock(&s->lock);
    const struct as_span **list = sorted(s);
    while (list && from < s->n && strcmp(list[from]->trace, trace) != 0)
        from++;
    while (list && from + n < s->n && strcmp(list[from + n]->trace, trace) == 0)
        n++;
    *ret_found = !list || n > 0;
    if (n)
        text = join(list + from, n);
    pthread_mutex_unlock(&s->lock);
    free(list);
    return text;
}
