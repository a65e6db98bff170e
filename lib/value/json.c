/*
 * json.c: values as JSON text, see "JSON" in asqueue.h. Jansson reads JSON; this file writes it,
 * without a second tree and with the shortest form of doubles.
 *
 * Jansson recurses up to 2048 levels deep, too much for a fiber's stack, so nesting is counted
 * before the text is passed to it. Every map may be wrapped in a "$map", and every leaf is at most
 * one object, so no value needs more than 2 * ASQ_MAX_DEPTH + 1 levels.
 */
#include <jansson.h>
#include <locale.h>
#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "asqueue.h"
#include "value/base64.h"
#include "value/buf.h"
#include "value/error.h"
#include "value/unconst.h"
#include "value/value.h"

enum { TEXT_DEPTH = 2 * ASQ_MAX_DEPTH + 1 };
#define MAX_TEXT ((size_t) 1 << 30)

/* ---- Writing --------------------------------------------------------------------------------- */

struct writer {
    struct asq__buf out;
    size_t indent, level;
};

static void newline(struct writer *w)
{
    if (w->indent) {
        size_t n = 1 + w->indent * w->level;
        uint8_t *p = asq__buf_reserve(&w->out, n);
        if (p) {
            memset(p, ' ', n);
            *p = '\n';
            w->out.len += n;
        }
    }
}

void asq__json_put_text(struct asq__buf *out, const char *s, size_t n)
{
    static const char escapes[] = "btn?fr"; /* for 8 to 13 */
    size_t from = 0;
    asq__buf_putc(out, '"');
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char) s[i];
        if (c >= ' ' && c != '"' && c != '\\')
            continue;
        asq__buf_put(out, s + from, i - from);
        from = i + 1;
        if (c == '"' || c == '\\')
            asq__buf_printf(out, "\\%c", c);
        else if (c >= 8 && c <= 13 && c != 11)
            asq__buf_printf(out, "\\%c", escapes[c - 8]);
        else
            asq__buf_printf(out, "\\u%04x", c);
    }
    asq__buf_put(out, s + from, n - from);
    asq__buf_putc(out, '"');
}

static void put_key(struct writer *w, const char *key)
{
    asq__json_put_text(&w->out, key, strlen(key));
    asq__buf_puts(&w->out, w->indent ? ": " : ":");
}

static void open_object(struct writer *w, char bracket)
{
    asq__buf_putc(&w->out, (uint8_t) bracket);
    w->level++;
}

static void close_object(struct writer *w, char bracket)
{
    w->level--;
    newline(w);
    asq__buf_putc(&w->out, (uint8_t) bracket);
}

/* Writes the fewest digits that read back as the same number, as JSON in any locale. */
static __attribute__((noinline)) void put_number(struct writer *w, double d)
{
    char text[40];
    for (int digits = 15; digits <= 17; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, d);
        if (strtod(text, NULL) == d)
            break;
    }
    const char *point = localeconv()->decimal_point;
    char *at = *point && strcmp(point, ".") != 0 ? strstr(text, point) : NULL;
    if (at) {
        *at = '.';
        memmove(at + 1, at + strlen(point), strlen(at + strlen(point)) + 1);
    }
    asq__buf_puts(&w->out, text);
    if (!strpbrk(text, ".e"))
        asq__buf_puts(&w->out, ".0");
}

/* Writes {"$name": "text" without the end, which close_object writes. */
static void put_special(struct writer *w, const char *name, const char *text)
{
    open_object(w, '{');
    newline(w);
    put_key(w, name);
    asq__json_put_text(&w->out, text, strlen(text));
}

static void put_value(struct writer *w, const asq_value *v);

static void put_list(struct writer *w, const asq_value *v)
{
    if (!v->list.n) {
        asq__buf_puts(&w->out, "[]");
        return;
    }
    open_object(w, '[');
    for (size_t i = 0; i < v->list.n && !w->out.error; i++) {
        if (i)
            asq__buf_putc(&w->out, ',');
        newline(w);
        put_value(w, v->list.items[i]);
    }
    close_object(w, ']');
}

static void put_map(struct writer *w, const asq_value *v)
{
    bool wrapped = v->map.n && *v->map.pairs[0].key == '$';
    if (!v->map.n) {
        asq__buf_puts(&w->out, "{}");
        return;
    }
    if (wrapped) {
        open_object(w, '{');
        newline(w);
        put_key(w, "$map");
    }
    open_object(w, '{');
    for (uint32_t i = 0; i < v->map.n && !w->out.error; i++) {
        if (i)
            asq__buf_putc(&w->out, ',');
        newline(w);
        put_key(w, v->map.pairs[i].key);
        put_value(w, v->map.pairs[i].value);
    }
    close_object(w, '}');
    if (wrapped)
        close_object(w, '}');
}

static void put_bytes(struct writer *w, const asq_value *v)
{
    open_object(w, '{');
    newline(w);
    put_key(w, "$bytes");
    asq__buf_putc(&w->out, '"');
    asq__base64_encode(v->str.data, v->str.n, &w->out);
    asq__buf_putc(&w->out, '"');
    close_object(w, '}');
}

static void put_value(struct writer *w, const asq_value *v)
{
    switch (v->type) {
    case ASQ_NULL: asq__buf_puts(&w->out, "null"); break;
    case ASQ_BOOL: asq__buf_puts(&w->out, v->boolean ? "true" : "false"); break;
    case ASQ_INT: asq__buf_printf(&w->out, "%lld", (long long) v->integer); break;
    case ASQ_DOUBLE:
        if (isfinite(v->number)) {
            put_number(w, v->number);
        } else {
            put_special(w, "$double", isnan(v->number) ? "nan" : v->number > 0 ? "inf" : "-inf");
            close_object(w, '}');
        }
        break;
    case ASQ_STRING: asq__json_put_text(&w->out, v->str.data, v->str.n); break;
    case ASQ_BYTES: put_bytes(w, v); break;
    case ASQ_LIST: put_list(w, v); break;
    case ASQ_MAP: put_map(w, v); break;
    case ASQ_AGENT:
        put_special(w, "$agent", v->agent.id);
        if (*v->agent.class_name) {
            asq__buf_putc(&w->out, ',');
            newline(w);
            put_key(w, "class");
            asq__json_put_text(&w->out, v->agent.class_name, strlen(v->agent.class_name));
        }
        close_object(w, '}');
        break;
    case ASQ_FUTURE:
        put_special(w, "$future", v->future->text);
        if (v->future->unawaited) {
            asq__buf_putc(&w->out, ',');
            newline(w);
            put_key(w, "await");
            asq__buf_put(&w->out, "false", 5);
        }
        close_object(w, '}');
        break;
    }
}

int asq_to_json(const asq_value *v, int indent, char **ret)
{
    if (!ret)
        return ASQ_EINVAL;
    struct writer w = { .indent = indent > 0 ? (size_t) indent : 0, .level = 0 };
    asq__buf_init(&w.out, MAX_TEXT);
    put_value(&w, v ? v : asq_value_null());
    int rc = w.out.error;
    char *text = (char *) asq__buf_detach(&w.out, NULL);
    if (!text)
        return rc ? rc : ASQ_ENOMEM;
    *ret = text;
    return 0;
}

/* ---- Reading --------------------------------------------------------------------------------- */

struct reader {
    char *err;
    size_t errlen;
};

#define FAIL(r, code, ...) asq__err((r)->err, (r)->errlen, code, __VA_ARGS__)

static int check_depth(const struct reader *r, const char *text, size_t n)
{
    size_t depth = 0, line = 1, line_at = 0;
    bool in_string = false;
    for (size_t i = 0; i < n; i++) {
        char c = text[i];
        if (c == '\n') {
            line++;
            line_at = i + 1;
        }
        if (in_string) {
            if (c == '\\')
                i++;
            else if (c == '"')
                in_string = false;
        } else if (c == '"') {
            in_string = true;
        } else if ((c == '[' || c == '{') && ++depth > TEXT_DEPTH) {
            return FAIL(r, ASQ_ELIMIT,
                        "line %zu, column %zu: lists and maps are nested deeper than %d", line,
                        i - line_at + 1, ASQ_MAX_DEPTH);
        } else if ((c == ']' || c == '}') && depth) {
            depth--;
        }
    }
    return 0;
}

static int read_value(const struct reader *r, const json_t *json, asq_value **ret);

static int read_list(const struct reader *r, const json_t *json, asq_value **ret)
{
    size_t n = json_array_size(json);
    asq_value *list = asq_value_list();
    int rc = !list ? ASQ_ENOMEM : n ? asq__list_reserve(list, n) : 0;
    for (size_t i = 0; rc == 0 && i < n; i++) {
        asq_value *item = NULL;
        rc = read_value(r, json_array_get(json, i), &item);
        if (rc == 0)
            rc = asq_list_append(list, item);
    }
    if (rc < 0)
        asq_value_free(list);
    else
        *ret = list;
    return rc;
}

/* Begins an iteration. Jansson's iterators take a non-const json_t, but do not change it. */
static void *first_member(const json_t *json, json_t **ret)
{
    *ret = asq__unconst(json);
    return json_object_iter(*ret);
}

static int read_map(const struct reader *r, const json_t *json, asq_value **ret)
{
    asq_value *map = asq_value_map();
    size_t n = json_object_size(json);
    int rc = !map ? ASQ_ENOMEM : n ? asq__map_reserve(map, n) : 0;
    json_t *object;
    void *at = first_member(json, &object);
    for (; rc == 0 && at; at = json_object_iter_next(object, at)) {
        asq_value *item = NULL;
        rc = read_value(r, json_object_iter_value(at), &item);
        if (rc == 0)
            rc = asq_map_set(map, json_object_iter_key(at), item);
    }
    if (rc < 0)
        asq_value_free(map);
    else
        *ret = map;
    return rc;
}

static int read_bytes(const struct reader *r, const json_t *text, asq_value **ret)
{
    size_t n = json_string_length(text), room = n / 4 * 3;
    asq_value *v = asq__value_new_bytes(ASQ_BYTES, room);
    if (!v)
        return ASQ_ENOMEM;
    int rc = asq__base64_decode(json_string_value(text), n, v->str.data, &v->str.n);
    if (rc < 0) {
        asq_value_free(v);
        return FAIL(r, rc, "the text of \"$bytes\" is not base64 (with '+', '/' and padding)");
    }
    v->str.data[v->str.n] = '\0';
    *ret = v;
    return 0;
}

static int read_double(const struct reader *r, const char *text, asq_value **ret)
{
    double d;
    if (strcmp(text, "nan") == 0)
        d = NAN;
    else if (strcmp(text, "inf") == 0)
        d = INFINITY;
    else if (strcmp(text, "-inf") == 0)
        d = -INFINITY;
    else
        return FAIL(r, ASQ_EPARSE, "\"$double\" is \"nan\", \"inf\" or \"-inf\"");
    *ret = asq_value_double(d);
    return *ret ? 0 : ASQ_ENOMEM;
}

static __attribute__((noinline)) int read_agent(const struct reader *r, const json_t *json,
                                                const char *id, asq_value **ret)
{
    const json_t *cls = json_object_get(json, "class");
    char why[160];
    if (json_object_size(json) != (cls ? 2 : 1) || (cls && !json_is_string(cls)))
        return FAIL(r, ASQ_EPARSE,
                    "an object with \"$agent\" has but one other key, \"class\", a string");
    const char *class_name = cls ? json_string_value(cls) : "";
    if (asq__check_id(id, why, sizeof why) < 0)
        return FAIL(r, ASQ_EPARSE, "\"$agent\": %s", why);
    if (strlen(class_name) > ASQ_MAX_NAME || (cls && strlen(class_name) != json_string_length(cls)))
        return FAIL(r, ASQ_EPARSE, "\"$agent\": no valid class name");
    *ret = asq__value_agent_ref(id, class_name);
    return *ret ? 0 : ASQ_ENOMEM;
}

static int read_future(const struct reader *r, const json_t *json, const char *text,
                       asq_value **ret)
{
    const json_t *await = json_object_get(json, "await");
    struct asq__call_id id;
    if (json_object_size(json) != (await ? 2 : 1) || (await && !json_is_boolean(await)))
        return FAIL(r, ASQ_EPARSE,
                    "an object with \"$future\" has but one other key, \"await\", a bool");
    if (asq__call_id_parse(text, &id) < 0)
        return FAIL(r, ASQ_EPARSE, "the text of \"$future\" is not a call id");
    if (!(*ret = asq__value_future_ref(text, NULL)))
        return ASQ_ENOMEM;
    (*ret)->future->unawaited = await && json_is_false(await);
    return 0;
}

/* Reads an object. If its first key is one of ours, the object is of that kind, or an error; other
 * keys with "$" are ordinary. */
static int read_object(const struct reader *r, const json_t *json, asq_value **ret)
{
    json_t *object;
    void *at = first_member(json, &object);
    const char *key = at ? json_object_iter_key(at) : "";
    if (*key != '$')
        return read_map(r, json, ret);
    const json_t *inner = json_object_iter_value(at);
    bool agent = strcmp(key, "$agent") == 0, map = strcmp(key, "$map") == 0;
    bool bytes = strcmp(key, "$bytes") == 0, number = strcmp(key, "$double") == 0;
    bool future = strcmp(key, "$future") == 0;
    if (!agent && !map && !bytes && !number && !future)
        return read_map(r, json, ret);
    if (!agent && !future && json_object_size(json) != 1)
        return FAIL(r, ASQ_EPARSE, "an object with \"%s\" has no other keys", key);
    if (map)
        return json_is_object(inner) ? read_map(r, inner, ret)
                                     : FAIL(r, ASQ_EPARSE, "\"$map\" is an object");
    if (!json_is_string(inner))
        return FAIL(r, ASQ_EPARSE, "\"%s\" is a string", key);
    if (bytes)
        return read_bytes(r, inner, ret);
    const char *text = json_string_value(inner);
    if (strlen(text) != json_string_length(inner))
        return FAIL(r, ASQ_EPARSE, "the text of \"%s\" contains a NUL", key);
    return agent    ? read_agent(r, json, text, ret)
           : number ? read_double(r, text, ret)
                    : read_future(r, json, text, ret);
}

static int read_value(const struct reader *r, const json_t *json, asq_value **ret)
{
    switch (json_typeof(json)) {
    case JSON_OBJECT: return read_object(r, json, ret);
    case JSON_ARRAY: return read_list(r, json, ret);
    case JSON_STRING:
        *ret = asq_value_stringn(json_string_value(json), json_string_length(json));
        break;
    case JSON_INTEGER: *ret = asq_value_int(json_integer_value(json)); break;
    case JSON_REAL: *ret = asq_value_double(json_real_value(json)); break;
    case JSON_TRUE:
    case JSON_FALSE: *ret = asq_value_bool(json_is_true(json)); break;
    case JSON_NULL: *ret = asq_value_null(); break;
    }
    return *ret ? 0 : ASQ_ENOMEM;
}

/* Replaces unprintable bytes: Jansson quotes the input, sometimes cut in the middle of a
 * character. */
static void make_printable(char *text)
{
    size_t n = strlen(text);
    for (size_t i = 0, width; i < n; i += width) {
        for (width = 1; width <= 4 && i + width <= n && !asq__utf8_valid(text + i, width); width++)
            ;
        bool control = (unsigned char) text[i] < ' ' || text[i] == 0x7f;
        if (width > 4 || i + width > n || control) {
            text[i] = '?';
            width = 1;
        }
    }
}

/* Parses out of line, because json_error_t is large. */
static __attribute__((noinline)) json_t *parse(const struct reader *r, const char *text, size_t n,
                                               int *ret_code)
{
    json_error_t e;
    json_t *json =
        json_loadb(text, n, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY | JSON_ALLOW_NUL, &e);
    /* Jansson has no text for some failures of memory. */
    if (!json && (json_error_code(&e) == json_error_out_of_memory || !*e.text)) {
        *ret_code = ASQ_ENOMEM;
    } else if (!json) {
        make_printable(e.text);
        *ret_code = FAIL(r, ASQ_EPARSE, "line %d, column %d: %s", e.line, e.column, e.text);
    }
    return json;
}

int asq_from_json(const char *text, size_t n, asq_value **ret, char *err, size_t errlen)
{
    struct reader r = { .err = err, .errlen = errlen };
    asq_value *v = NULL;
    if ((!text && n) || !ret)
        return FAIL(&r, ASQ_EINVAL, "the text is NULL, or the pointer for the value is NULL");
    int rc = check_depth(&r, text, n);
    if (rc < 0)
        return rc;
    json_t *json = parse(&r, n ? text : "", n, &rc);
    if (json) {
        rc = read_value(&r, json, &v);
        json_decref(json);
        if (rc == ASQ_ELIMIT)
            FAIL(&r, rc, "lists and maps are nested deeper than %d", ASQ_MAX_DEPTH);
    }
    if (rc == ASQ_ENOMEM)
        FAIL(&r, rc, "out of memory");
    if (rc == 0)
        *ret = v;
    return rc;
}
