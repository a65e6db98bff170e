/*
 * pack.c: builds values from a format, in one loop over the format. `open` is the container being
 * filled; its parents are the containers around it.
 *
 * On failure, values given with `o` are freed, also behind the place of the failure: the rest of
 * the format is walked for its arguments. The walk ends at an unknown letter, whose argument type
 * is unknown.
 */
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "asqueue.h"
#include "value/error.h"
#include "value/value.h"

struct packer {
    const char *fmt, *at;
    va_list ap;
    bool borrow; /* do not copy text */
    char *err;
    size_t errlen;
};

#define FAIL(p, code, ...) fail(p, asq__err((p)->err, (p)->errlen, code, __VA_ARGS__))

/* Writes an error with its place in the format; `at` is behind the letter. */
static int fail(struct packer *p, int rc)
{
    char text[200];
    if (p->err && p->errlen) {
        asq__err(text, sizeof text, 0, "%s", p->err);
        asq__err(p->err, p->errlen, 0, "format \"%.60s\", character %zu: %s", p->fmt,
                 (size_t) (p->at - p->fmt), text);
    }
    return rc;
}

/* Returns the next letter, 0 at the end. */
static char next(struct packer *p)
{
    while (*p->at && strchr(" ,:\t\n", *p->at))
        p->at++;
    return *p->at ? *p->at++ : '\0';
}

static bool accept(struct packer *p, char c)
{
    if (*p->at != c)
        return false;
    p->at++;
    return true;
}

static int out_of_memory(struct packer *p)
{
    return asq__err(p->err, p->errlen, ASQ_ENOMEM, "out of memory");
}

static int pack_text(struct packer *p, asq_type type, asq_value **ret)
{
    const char *s;
    bool optional = type == ASQ_STRING && accept(p, '?'), counted = accept(p, '#');
    if (type == ASQ_BYTES && !counted)
        return FAIL(p, ASQ_EINVAL, "'y' is followed by '#': bytes have a length");
    s = type == ASQ_STRING ? va_arg(p->ap, const char *) : va_arg(p->ap, const void *);
    size_t n = counted ? va_arg(p->ap, size_t) : s ? strlen(s) : 0;
    if (!s && optional) {
        *ret = asq_value_null();
        return 0;
    }
    if (!s && (n || type == ASQ_STRING))
        return FAIL(p, ASQ_EINVAL, "the argument is NULL");
    if (type == ASQ_STRING && !asq__utf8_valid(s, n))
        return FAIL(p, ASQ_EINVAL, "the string is not UTF-8");
    *ret = p->borrow ? asq__value_borrow_bytes(type, s, n) : asq__value_new_bytes(type, n);
    if (*ret && n && !p->borrow)
        memcpy((*ret)->str.data, s, n);
    return 0;
}

/* Makes the value for a letter; *ret is NULL if memory is short. */
static int pack_one(struct packer *p, char c, asq_value **ret)
{
    switch (c) {
    case 'n': *ret = asq_value_null(); return 0;
    case 'b': *ret = asq_value_bool(va_arg(p->ap, int) != 0); return 0;
    case 'i': *ret = asq_value_int(va_arg(p->ap, int)); return 0;
    case 'I': *ret = asq_value_int(va_arg(p->ap, int64_t)); return 0;
    case 'f': *ret = asq_value_double(va_arg(p->ap, double)); return 0;
    case 's': return pack_text(p, ASQ_STRING, ret);
    case 'y': return pack_text(p, ASQ_BYTES, ret);
    case 'o': *ret = va_arg(p->ap, asq_value *); return 0;
    case 'O': {
        const asq_value *v = va_arg(p->ap, const asq_value *);
        if (!v)
            return FAIL(p, ASQ_EINVAL, "the argument is NULL");
        *ret = asq_value_copy(v);
        return 0;
    }
    case 'a': {
        const asq_agent *agent = va_arg(p->ap, const asq_agent *);
        if (!agent)
            return FAIL(p, ASQ_EINVAL, "the agent is NULL");
        *ret = asq_value_agent(agent);
        return 0;
    }
    case 'r':
    case 'R': {
        asq_result *result = va_arg(p->ap, asq_result *);
        if (!result)
            return FAIL(p, ASQ_EINVAL, "the result is NULL");
        *ret = c == 'r' ? asq_value_future(result) : asq_value_future_unawaited(result);
        return 0;
    }
    case '[': *ret = asq_value_list(); return 0;
    case '{': *ret = asq_value_map(); return 0;
    case '\0': return FAIL(p, ASQ_EINVAL, "the format ends where a value is expected");
    default:
        p->at--; /* the walk over the rest must end at this letter */
        return FAIL(p, ASQ_EINVAL, "'%c' does not stand for a value",
                    c >= ' ' && c < 0x7f ? c : '?');
    }
}

/* Consumes the arguments of the rest of the format. */
static void skip_rest(struct packer *p)
{
    char c;
    while ((c = next(p)) != '\0') {
        switch (c) {
        case 'b':
        case 'i': (void) va_arg(p->ap, int); break;
        case 'I': (void) va_arg(p->ap, int64_t); break;
        case 'f': (void) va_arg(p->ap, double); break;
        case 's':
        case 'y':
            (void) va_arg(p->ap, const void *);
            accept(p, '?');
            if (accept(p, '#'))
                (void) va_arg(p->ap, size_t);
            break;
        case 'o': {
            asq_value *v = va_arg(p->ap, asq_value *);
            if (v && !v->owned)
                asq_value_free(v);
            break;
        }
        case 'O':
        case 'a':
        case 'r':
        case 'R': (void) va_arg(p->ap, const void *); break;
        case 'n':
        case '[':
        case ']':
        case '{':
        case '}': break;
        default: return;
        }
    }
}

/* Reads a value and puts it into `open` under key (NULL in a list), or makes it *root. */
static int pack_into(struct packer *p, char c, asq_value **root, asq_value **open, const char *key)
{
    asq_value *item = NULL;
    int rc = pack_one(p, c, &item);
    if (rc < 0)
        return rc;
    if (!item)
        return out_of_memory(p);
    if (!*root && item->owned)
        rc = ASQ_EINVAL;
    else if (!*root)
        *root = item;
    else
        rc = (*open)->type == ASQ_LIST ? asq_list_append(*open, item)
                                       : asq_map_set(*open, key, item);
    if (rc == ASQ_ENOMEM)
        return out_of_memory(p);
    if (rc == ASQ_ELIMIT)
        return FAIL(p, rc, "lists and maps are nested deeper than %d", ASQ_MAX_DEPTH);
    if (rc < 0)
        return FAIL(p, rc,
                    c == 'o' ? "the value already belongs to another value"
                             : "the key is not UTF-8");
    if (c == '[' || c == '{')
        *open = item;
    return 0;
}

static int pack(struct packer *p, asq_value **root)
{
    asq_value *open = NULL;
    do {
        char c = next(p);
        const char *key = NULL;
        if (open && c == (open->type == ASQ_LIST ? ']' : '}')) {
            open = open->parent;
            continue;
        }
        if (open && !c)
            return FAIL(p, ASQ_EINVAL, "'%c' is missing", open->type == ASQ_LIST ? ']' : '}');
        if (open && open->type == ASQ_MAP) {
            if (c != 's') {
                p->at--;
                return FAIL(p, ASQ_EINVAL, "a key ('s') or '}' expected");
            }
            key = va_arg(p->ap, const char *);
            if (!key)
                return FAIL(p, ASQ_EINVAL, "the key is NULL");
            c = next(p);
        }
        int rc = pack_into(p, c, root, &open, key);
        if (rc < 0)
            return rc;
    } while (open);
    return next(p) ? (p->at--, FAIL(p, ASQ_EINVAL, "more than one value")) : 0;
}

static int vpack(bool borrow, asq_value **ret, char *err, size_t errlen, const char *fmt,
                 va_list ap)
{
    struct packer p = { .fmt = fmt, .at = fmt, .borrow = borrow, .err = err, .errlen = errlen };
    asq_value *root = NULL;
    if (!fmt || !ret)
        return asq__err(err, errlen, ASQ_EINVAL,
                        fmt ? "the pointer for the value is NULL" : "the format is NULL");
    va_copy(p.ap, ap);
    int rc = pack(&p, &root);
    if (rc < 0) {
        skip_rest(&p);
        asq_value_free(root);
    } else {
        *ret = root;
    }
    va_end(p.ap);
    return rc;
}

int asq_vpack(asq_value **ret, char *err, size_t errlen, const char *fmt, va_list ap)
{
    return vpack(false, ret, err, errlen, fmt, ap);
}

int asq__vpack_borrowed(asq_value **ret, char *err, size_t errlen, const char *fmt, va_list ap)
{
    return vpack(true, ret, err, errlen, fmt, ap);
}

asq_value *asq_pack(const char *fmt, ...)
{
    asq_value *v = NULL;
    va_list ap;
    va_start(ap, fmt);
    asq_vpack(&v, NULL, 0, fmt, ap);
    va_end(ap);
    return v;
}
