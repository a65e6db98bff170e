/*
 * unpack.c: reads a value by a format. The format is walked twice: first to check that everything
 * fits, then to write. A missing optional part is walked without a value, for its arguments.
 *
 * In an optional place null counts as missing, unless the letter there takes null (n, o, O, s?).
 * `a`, `r` and `R` check the type, and give the value like `o`.
 */
#include <limits.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "asqueue.h"
#include "value/error.h"
#include "value/value.h"

struct unpacker {
    const char *fmt, *at;
    va_list ap;
    bool store;
    bool strict; /* refuse elements of the outermost list or map that the format does not name */
    const char *params; /* names of the outermost list's items, "a, b", for messages; or NULL */
    unsigned depth;
    char *err;
    size_t errlen;
};

/* The path from the root, for messages. */
struct place {
    const struct place *up;
    const char *key; /* NULL: item i of a list */
    size_t i;
};

static char next(struct unpacker *u)
{
    while (*u->at == ' ' || *u->at == ',' || *u->at == ':' || *u->at == '\t' || *u->at == '\n')
        u->at++;
    return *u->at ? *u->at++ : '\0';
}

static char peek(struct unpacker *u)
{
    char c = next(u);
    if (c)
        u->at--;
    return c;
}

static bool accept(struct unpacker *u, char c)
{
    if (*u->at != c)
        return false;
    u->at++;
    return true;
}

/* Appends the path to text, as far as it fits; returns the new length. */
static size_t put_place(const struct unpacker *u, const struct place *place, char *text,
                        size_t size)
{
    size_t n = place->up ? put_place(u, place->up, text, size) : 0, name_n;
    bool outermost = place->up && !place->up->up;
    const char *name = outermost ? asq__param_at(u->params, place->i, &name_n) : NULL;
    if (place->key)
        asq__err(text + n, size - n, 0, "%s%s", n ? "." : "", place->key);
    else if (name)
        asq__err(text + n, size - n, 0, "%.*s", (int) name_n, name);
    else if (place->up)
        asq__err(text + n, size - n, 0, "[%zu]", place->i);
    return n + strlen(text + n);
}

#define FAIL(u, place, code, ...) fail(u, place, asq__err((u)->err, (u)->errlen, code, __VA_ARGS__))

static __attribute__((noinline)) int fail(struct unpacker *u, const struct place *place, int rc)
{
    char where[160] = "", text[160];
    if (u->err && u->errlen && put_place(u, place, where, sizeof where)) {
        asq__err(text, sizeof text, 0, "%s", u->err);
        asq__err(u->err, u->errlen, 0, "%s: %s", where, text);
    }
    return rc;
}

static int bad_format(struct unpacker *u, const char *what)
{
    return asq__err(u->err, u->errlen, ASQ_EINVAL, "format \"%.60s\", character %zu: %s", u->fmt,
                    (size_t) (u->at - u->fmt), what);
}

static int mismatch(struct unpacker *u, const struct place *place, const char *expected,
                    const asq_value *v)
{
    return FAIL(u, place, ASQ_ETYPE, "%s expected, %s found", expected,
                asq_type_name(asq_value_type(v)));
}

static int unpack_one(struct unpacker *u, const asq_value *v, const struct place *place);

static int unpack_text(struct unpacker *u, const asq_value *v, const struct place *place)
{
    bool optional = accept(u, '?'), counted = accept(u, '#');
    const char **s = va_arg(u->ap, const char **);
    size_t *n = counted ? va_arg(u->ap, size_t *) : NULL;
    if (!v)
        return 0;
    bool null = optional && v->type == ASQ_NULL;
    if (!null && v->type != ASQ_STRING)
        return mismatch(u, place, optional ? "string or null" : "string", v);
    if (!null && !counted && strlen(v->str.data) != v->str.n)
        return FAIL(u, place, ASQ_ETYPE,
                    "the string contains a NUL, and is read without its length");
    if (u->store) {
        *s = null ? NULL : v->str.data;
        if (counted)
            *n = null ? 0 : v->str.n;
    }
    return 0;
}

static int unpack_bytes(struct unpacker *u, const asq_value *v, const struct place *place)
{
    if (!accept(u, '#'))
        return bad_format(u, "'y' is followed by '#': bytes have a length");
    const void **data = va_arg(u->ap, const void **);
    size_t *n = va_arg(u->ap, size_t *);
    if (!v)
        return 0;
    if (v->type != ASQ_BYTES)
        return mismatch(u, place, "bytes", v);
    return u->store ? asq_value_get_bytes(v, data, n) : 0;
}

static int unpack_int(struct unpacker *u, const asq_value *v, const struct place *place)
{
    int *ret = va_arg(u->ap, int *);
    if (!v)
        return 0;
    if (v->type != ASQ_INT)
        return mismatch(u, place, "int", v);
    if (v->integer < INT_MIN || v->integer > INT_MAX)
        return FAIL(u, place, ASQ_ELIMIT, "%lld is beyond the range of an int",
                    (long long) v->integer);
    if (u->store)
        *ret = (int) v->integer;
    return 0;
}

/* Reads a value of a type; 0: any type. */
static int unpack_value(struct unpacker *u, const asq_value *v, const struct place *place, int type)
{
    const asq_value **ret = va_arg(u->ap, const asq_value **);
    if (v && type && (int) v->type != type)
        return mismatch(u, place, asq_type_name((asq_type) type), v);
    if (v && u->store)
        *ret = v;
    return 0;
}

/* Returns the value for the next letter of an optional place; NULL if it counts as missing. */
static const asq_value *skip_missing(struct unpacker *u, const asq_value *v)
{
    if (v && v->type == ASQ_NULL) {
        char c = peek(u);
        if (c != 'n' && c != 'o' && c != 'O' && !(c == 's' && u->at[1] == '?'))
            return NULL;
    }
    return v;
}

static int unpack_list(struct unpacker *u, const asq_value *v, const struct place *place)
{
    struct place here = { .up = place, .key = NULL, .i = 0 };
    bool optional = false;
    if (v && v->type != ASQ_LIST)
        return mismatch(u, place, "list", v);
    for (char c; (c = peek(u)) != ']';) {
        if (!c)
            return bad_format(u, "']' is missing");
        if (c == '|') {
            next(u);
            optional = true;
            continue;
        }
        const asq_value *item = asq_list_get(v, here.i);
        if (v && !item && !optional)
            return FAIL(u, &here, ASQ_ENOENT, "missing");
        int rc = unpack_one(u, optional ? skip_missing(u, item) : item, &here);
        if (rc < 0)
            return rc;
        here.i++;
    }
    next(u);
    if (v && v->list.n > here.i && u->strict && u->depth == 1)
        return FAIL(u, &here, ASQ_EARGS, "surplus argument: %zu were given, at most %zu are taken",
                    v->list.n, here.i);
    if (v && v->list.n > here.i)
        return FAIL(u, place, ASQ_ETYPE, "a list of %zu expected, one of %zu found", here.i,
                    v->list.n);
    return 0;
}

/* Walks the rest of a map's format, from `walk` on. False: `key` is not one of its keys, which are
 * written to names. */
static bool is_named(struct unpacker *walk, const char *key, char *names, size_t size)
{
    static const struct place nowhere;
    size_t n = 0;
    bool found = false;
    names[0] = '\0';
    while (!found && next(walk) == 's') {
        accept(walk, '?');
        const char *one = va_arg(walk->ap, const char *);
        found = strcmp(one, key) == 0;
        asq__err(names + n, size - n, 0, "%s%s", n ? ", " : "", one);
        n += strlen(names + n);
        if (unpack_one(walk, NULL, &nowhere) < 0)
            break;
    }
    return found;
}

/* Reports the key of a map that the format does not have. start: copy of u before the first key. */
static int refuse_unknown(struct unpacker *u, struct unpacker *start, const asq_value *v,
                          const struct place *place)
{
    char names[120];
    struct unpacker walk = { .fmt = start->fmt };
    const char *key = NULL;
    bool known = true;
    for (size_t i = 0; i < v->map.n && known; i++) {
        key = v->map.pairs[i].key;
        walk.at = start->at;
        va_copy(walk.ap, start->ap);
        known = is_named(&walk, key, names, sizeof names);
        va_end(walk.ap);
    }
    return known ? 0
                 : FAIL(u, place, ASQ_EARGS, "unknown argument \"%.80s\"; known arguments: %s", key,
                        *names ? names : "none");
}

static int unpack_map(struct unpacker *u, const asq_value *v, const struct place *place)
{
    struct place here = { .up = place };
    struct unpacker start = { .fmt = u->fmt, .at = u->at };
    bool strict = v && u->strict && u->depth == 1;
    size_t found = 0;
    int rc = 0;
    if (v && v->type != ASQ_MAP)
        return mismatch(u, place, "map", v);
    if (strict)
        va_copy(start.ap, u->ap);
    for (char c; rc == 0 && (c = next(u)) != '}';) {
        if (c != 's') {
            rc = bad_format(u, c ? "a key ('s') or '}' expected" : "'}' is missing");
            break;
        }
        bool optional = accept(u, '?');
        here.key = va_arg(u->ap, const char *);
        if (!here.key) {
            rc = bad_format(u, "the key is NULL");
            break;
        }
        const asq_value *item = asq_map_get(v, here.key);
        found += item != NULL;
        if (v && !item && !optional)
            rc = FAIL(u, &here, ASQ_ENOENT, "missing");
        else
            rc = unpack_one(u, optional ? skip_missing(u, item) : item, &here);
    }
    if (strict) {
        if (rc == 0 && found < v->map.n)
            rc = refuse_unknown(u, &start, v, place);
        va_end(start.ap);
    }
    return rc;
}

/* Reads v by the next part of the format; v NULL: only consumes the arguments. */
static int unpack_one(struct unpacker *u, const asq_value *v, const struct place *place)
{
    char c = next(u);
    switch (c) {
    case 'n': return v && v->type != ASQ_NULL ? mismatch(u, place, "null", v) : 0;
    case 'b': {
        bool *ret = va_arg(u->ap, bool *);
        if (v && v->type != ASQ_BOOL)
            return mismatch(u, place, "bool", v);
        return v && u->store ? asq_value_get_bool(v, ret) : 0;
    }
    case 'i': return unpack_int(u, v, place);
    case 'I': {
        int64_t *ret = va_arg(u->ap, int64_t *);
        if (v && v->type != ASQ_INT)
            return mismatch(u, place, "int", v);
        return v && u->store ? asq_value_get_int(v, ret) : 0;
    }
    case 'f': {
        double *ret = va_arg(u->ap, double *);
        if (v && v->type != ASQ_DOUBLE && v->type != ASQ_INT)
            return mismatch(u, place, "double", v);
        return v && u->store ? asq_value_get_double(v, ret) : 0;
    }
    case 's': return unpack_text(u, v, place);
    case 'y': return unpack_bytes(u, v, place);
    case 'o':
    case 'O': return unpack_value(u, v, place, 0);
    case 'a': return unpack_value(u, v, place, ASQ_AGENT);
    case 'r':
    case 'R': return unpack_value(u, v, place, ASQ_FUTURE);
    case '[':
    case '{': {
        if (u->depth == ASQ_MAX_DEPTH)
            return bad_format(u, "nested too deep");
        u->depth++;
        int rc = c == '[' ? unpack_list(u, v, place) : unpack_map(u, v, place);
        u->depth--;
        return rc;
    }
    case '\0': return bad_format(u, "the format ends where a value is expected");
    default: return bad_format(u, "this letter does not stand for a value");
    }
}

static int vunpack(bool strict, const char *params, const asq_value *v, char *err, size_t errlen,
                   const char *fmt, va_list ap)
{
    static const struct place root;
    if (!fmt)
        return asq__err(err, errlen, ASQ_EINVAL, "the format is NULL");
    if (!v)
        v = asq_value_null();
    struct unpacker u = {
        .fmt = fmt, .at = fmt, .err = err, .errlen = errlen, .strict = strict, .params = params
    };
    va_copy(u.ap, ap);
    int rc = unpack_one(&u, v, &root);
    if (rc == 0 && next(&u))
        rc = bad_format(&u, "more than one value");
    va_end(u.ap);
    if (rc == 0) {
        u.at = fmt;
        u.store = true;
        u.strict = false; /* checked in the first walk */
        va_copy(u.ap, ap);
        rc = unpack_one(&u, v, &root);
        va_end(u.ap);
    }
    return rc;
}

int asq_vunpack(const asq_value *v, char *err, size_t errlen, const char *fmt, va_list ap)
{
    return vunpack(false, NULL, v, err, errlen, fmt, ap);
}

int asq__vunpack_args(const asq_value *args, const char *params, char *err, size_t errlen,
                      const char *fmt, va_list ap)
{
    return vunpack(true, params, args, err, errlen, fmt, ap);
}

int asq_unpack(const asq_value *v, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    int rc = asq_vunpack(v, NULL, 0, fmt, ap);
    va_end(ap);
    return rc;
}
