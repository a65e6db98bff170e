/*
 * otlp_schema.c: see otlp_schema.h. Written from opentelemetry-proto (trace.proto, common.proto,
 * resource.proto) and its mapping to JSON, not from the exporter.
 */
#include "otlp_schema.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct check {
    char *why;
    size_t n;
};

__attribute__((format(printf, 2, 3))) static bool wrong(struct check *c, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(c->why, c->n, fmt, ap);
    va_end(ap);
    return false;
}

/* An object with the needed members, and no others than the optional ones. Lists end with NULL. */
static bool is_object(struct check *c, const json_t *o, const char *what,
                      const char *const needed[], const char *const optional[])
{
    const char *key;
    json_t *value;
    if (!json_is_object(o))
        return wrong(c, "%s is no object", what);
    for (size_t i = 0; needed[i]; i++)
        if (!json_object_get(o, needed[i]))
            return wrong(c, "%s has no %s", what, needed[i]);
    json_object_foreach((json_t *) (uintptr_t) o, key, value)
    {
        bool known = false;
        for (size_t i = 0; needed[i]; i++)
            known |= strcmp(key, needed[i]) == 0;
        for (size_t i = 0; optional[i]; i++)
            known |= strcmp(key, optional[i]) == 0;
        if (!known)
            return wrong(c, "%s has %s", what, key);
    }
    return true;
}

#define NAMES(...) ((const char *const[]){ __VA_ARGS__, NULL })
#define NO_NAMES   ((const char *const[]){ NULL })

static bool is_array(struct check *c, const json_t *a, const char *what)
{
    return (json_is_array(a) && json_array_size(a)) || wrong(c, "%s is no array, or empty", what);
}

/* A 64-bit number is a text of decimal digits. */
static bool is_number(struct check *c, const json_t *v, const char *what, bool negative)
{
    const char *s = json_string_value(v);
    size_t n = s && negative && *s == '-';
    if (!s || !s[n] || strspn(s + n, "0123456789") != strlen(s + n))
        return wrong(c, "%s is no number in a text", what);
    return true;
}

static bool is_id(struct check *c, const json_t *v, const char *what, size_t digits)
{
    const char *s = json_string_value(v);
    if (!s || strlen(s) != digits || strspn(s, "0123456789abcdef") != digits ||
        strspn(s, "0") == digits)
        return wrong(c, "%s is not %zu digits of a hexadecimal number", what, digits);
    return true;
}

static bool is_value(struct check *c, const json_t *v)
{
    const json_t *text = json_object_get(v, "stringValue"), *n = json_object_get(v, "intValue");
    if (!json_is_object(v) || json_object_size(v) != 1)
        return wrong(c, "a value is not of one kind");
    if (n)
        return is_number(c, n, "an intValue", true);
    return json_is_string(text) || json_is_boolean(json_object_get(v, "boolValue")) ||
           wrong(c, "a value is of an unknown kind");
}

static bool are_attributes(struct check *c, const json_t *list, const char *const needed[])
{
    size_t i, k;
    json_t *a, *b;
    if (!is_array(c, list, "attributes"))
        return false;
    json_array_foreach(list, i, a)
    {
        if (!is_object(c, a, "an attribute", NAMES("key", "value"), NO_NAMES) ||
            !is_value(c, json_object_get(a, "value")))
            return false;
        const char *key = json_string_value(json_object_get(a, "key"));
        if (!key || !*key)
            return wrong(c, "an attribute has no key");
        json_array_foreach(
            list, k, b) if (k < i && strcmp(key, json_string_value(json_object_get(b, "key"))) ==
                                         0) return wrong(c, "the attribute %s stands there twice",
                                                         key);
    }
    for (size_t n = 0; needed[n]; n++) {
        bool found = false;
        json_array_foreach(list, i, a) found |=
            strcmp(json_string_value(json_object_get(a, "key")), needed[n]) == 0;
        if (!found)
            return wrong(c, "the attribute %s is missing", needed[n]);
    }
    return true;
}

static bool is_span(struct check *c, const json_t *s)
{
    if (!is_object(
            c, s, "a span",
            NAMES("traceId", "spanId", "name", "kind", "startTimeUnixNano", "endTimeUnixNano"),
            NAMES("parentSpanId", "traceState", "attributes", "status")))
        return false;
    const json_t *parent = json_object_get(s, "parentSpanId"), *begin, *end;
    const json_t *status = json_object_get(s, "status"), *state = json_object_get(s, "traceState");
    json_int_t kind = json_integer_value(json_object_get(s, "kind"));
    const char *name = json_string_value(json_object_get(s, "name"));
    if (!is_id(c, json_object_get(s, "traceId"), "a traceId", 32) ||
        !is_id(c, json_object_get(s, "spanId"), "a spanId", 16) ||
        (parent && !is_id(c, parent, "a parentSpanId", 16)))
        return false;
    if (!name || !*name || (state && !json_is_string(state)) ||
        !json_is_integer(json_object_get(s, "kind")) || kind < 1 || kind > 3)
        return wrong(c, "a span has no name, no kind, or a state that is no text");
    begin = json_object_get(s, "startTimeUnixNano");
    end = json_object_get(s, "endTimeUnixNano");
    if (!is_number(c, begin, "a time", false) || !is_number(c, end, "a time", false))
        return false;
    if (strtoll(json_string_value(begin), NULL, 10) > strtoll(json_string_value(end), NULL, 10) ||
        strlen(json_string_value(begin)) != 19)
        return wrong(c, "a span ends before it begins, or its times are no ns since 1970");
    if (kind == 1 && !parent)
        return wrong(c, "a part of a call is below none");
    if (kind != 1 && !are_attributes(c, json_object_get(s, "attributes"),
                                     NAMES("rpc.system", "rpc.method", "asqueue.agent",
                                           "asqueue.call_id", "asqueue.partition")))
        return false;
    if (kind == 2 && !are_attributes(c, json_object_get(s, "attributes"),
                                     NAMES("asqueue.attempt", "asqueue.worker")))
        return false;
    if (status &&
        (!is_object(c, status, "a status", NAMES("code", "message"), NO_NAMES) ||
         json_integer_value(json_object_get(status, "code")) != 2 ||
         !json_is_string(json_object_get(status, "message")) ||
         !are_attributes(c, json_object_get(s, "attributes"), NAMES("error.type", "asqueue.code"))))
        return *c->why ? false : wrong(c, "a status is no error with a message");
    return true;
}

bool sup_otlp_check(const json_t *body, char *why, size_t n)
{
    struct check c = { why, n };
    size_t i, k, j;
    json_t *r, *scope, *span;
    const json_t *list;
    *why = '\0';
    if (!is_object(&c, body, "the request", NAMES("resourceSpans"), NO_NAMES) ||
        !is_array(&c, list = json_object_get(body, "resourceSpans"), "resourceSpans"))
        return false;
    json_array_foreach(list, i, r)
    {
        const json_t *resource = json_object_get(r, "resource");
        const json_t *scopes = json_object_get(r, "scopeSpans");
        if (!is_object(&c, r, "a ResourceSpans", NAMES("resource", "scopeSpans"), NO_NAMES) ||
            !is_object(&c, resource, "a resource", NAMES("attributes"), NO_NAMES) ||
            !are_attributes(
                &c, json_object_get(resource, "attributes"),
                NAMES("service.name", "service.instance.id", "host.name", "process.pid")) ||
            !is_array(&c, scopes, "scopeSpans"))
            return false;
        json_array_foreach(scopes, k, scope)
        {
            if (!is_object(&c, scope, "a ScopeSpans", NAMES("scope", "spans"), NO_NAMES) ||
                !is_object(&c, json_object_get(scope, "scope"), "a scope", NAMES("name", "version"),
                           NO_NAMES) ||
                !is_array(&c, json_object_get(scope, "spans"), "spans"))
                return false;
            json_array_foreach(json_object_get(scope, "spans"), j,
                               span) if (!is_span(&c, span)) return false;
        }
    }
    return true;
}
