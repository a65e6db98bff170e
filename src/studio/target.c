/*
 * target.c: see target.h. Decoding never makes a text longer, so it is done in place.
 */
#include "studio/target.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "asqueue.h"

static int digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static bool is_utf8(const char *text)
{
    asq_value *v = asq_value_string(text);
    asq_value_free(v);
    return v != NULL;
}

/* Decodes a part in place. In queries and forms a "+" is a space. */
static int decode(char *part, bool query, char *err, size_t errlen)
{
    char *to = part;
    for (const char *at = part; *at; at++) {
        unsigned char c = (unsigned char) *at;
        if (c == '%') {
            int high = digit(at[1]), low = high < 0 ? -1 : digit(at[2]);
            if (low < 0 || (high == 0 && low == 0)) {
                snprintf(err, errlen,
                         "the address has a '%%' that is not followed by two hexadecimal "
                         "digits of a byte above 0");
                return ASQ_EINVAL;
            }
            c = (unsigned char) (high * 16 + low);
            at += 2;
        } else if (c == '+' && query) {
            c = ' ';
        } else if (c < 0x21 || c == 0x7f) {
            snprintf(err, errlen, "the address has a space or a control character");
            return ASQ_EINVAL;
        }
        *to++ = (char) c;
    }
    *to = '\0';
    if (is_utf8(part))
        return 0;
    snprintf(err, errlen, "a part of the address is not UTF-8");
    return ASQ_EINVAL;
}

static int add_segments(struct as_target *t, char *path, char *err, size_t errlen)
{
    while (*path == '/')
        path++;
    while (*path) {
        size_t n = strcspn(path, "/");
        char *next = path + n + (path[n] == '/');
        path[n] = '\0';
        if (t->n_segments == AS_TARGET_SEGMENTS) {
            snprintf(err, errlen, "the path has more than %d parts", AS_TARGET_SEGMENTS);
            return ASQ_EINVAL;
        }
        int rc = decode(path, false, err, errlen);
        if (rc < 0)
            return rc;
        t->segments[t->n_segments++] = path;
        path = next;
    }
    return 0;
}

static int add_params(struct as_target *t, char *query, char *err, size_t errlen)
{
    while (*query) {
        size_t n = strcspn(query, "&");
        char *name = query, *value;
        query += n + (query[n] == '&');
        name[n] = '\0';
        if (!*name)
            continue;
        value = name + strcspn(name, "=");
        if (*value)
            *value++ = '\0';
        int rc = decode(name, true, err, errlen);
        if (rc == 0)
            rc = decode(value, true, err, errlen);
        if (rc < 0)
            return rc;
        if (t->n_params == AS_TARGET_PARAMS || as_target_param(t, name)) {
            snprintf(err, errlen, "%s",
                     t->n_params == AS_TARGET_PARAMS ? "there are too many parameters"
                                                     : "a parameter is given twice");
            return ASQ_EINVAL;
        }
        t->params[t->n_params].name = name;
        t->params[t->n_params++].value = value;
    }
    return 0;
}

static int copy(const char *text, struct as_target *t, char *err, size_t errlen)
{
    *t = (struct as_target){ .text = NULL };
    if (strlen(text) > AS_TARGET_BYTES) {
        snprintf(err, errlen, "the address is longer than %d bytes", AS_TARGET_BYTES);
        return ASQ_ELIMIT;
    }
    t->text = strdup(text);
    t->size = strlen(text);
    if (t->text)
        return 0;
    snprintf(err, errlen, "out of memory");
    return ASQ_ENOMEM;
}

int as_target_parse(const char *uri, struct as_target *ret, char *err, size_t errlen)
{
    struct as_target t;
    int rc = copy(uri, &t, err, errlen);
    if (rc < 0)
        return rc;
    char *query = t.text + strcspn(t.text, "?#");
    bool has_query = *query == '?';
    if (*query)
        *query++ = '\0';
    query[strcspn(query, "#")] = '\0';
    if (*t.text != '/') {
        snprintf(err, errlen, "the address does not begin with '/'");
        rc = ASQ_EINVAL;
    }
    if (rc == 0)
        rc = add_segments(&t, t.text, err, errlen);
    if (rc == 0 && has_query)
        rc = add_params(&t, query, err, errlen);
    if (rc < 0)
        as_target_release(&t);
    else
        *ret = t;
    return rc;
}

int as_target_parse_form(const char *body, struct as_target *ret, char *err, size_t errlen)
{
    struct as_target t;
    int rc = copy(body, &t, err, errlen);
    if (rc < 0)
        return rc;
    rc = add_params(&t, t.text, err, errlen);
    if (rc < 0)
        as_target_release(&t);
    else
        *ret = t;
    return rc;
}

void as_target_release(struct as_target *t)
{
    if (!t)
        return;
    if (t->text)
        explicit_bzero(t->text, t->size); /* a form can have a token */
    free(t->text);
    t->text = NULL;
}

const char *as_target_param(const struct as_target *t, const char *name)
{
    for (size_t i = 0; i < t->n_params; i++)
        if (strcmp(t->params[i].name, name) == 0)
            return t->params[i].value;
    return NULL;
}

int as_target_number(const struct as_target *t, const char *name, int64_t least, int64_t most,
                     int64_t *ret, char *err, size_t errlen)
{
    const char *text = as_target_param(t, name);
    int64_t n = 0;
    if (!text)
        return 0;
    bool right = *text != '\0';
    for (const char *at = text; right && *at; at++)
        right = *at >= '0' && *at <= '9' && !__builtin_mul_overflow(n, 10, &n) &&
                !__builtin_add_overflow(n, *at - '0', &n);
    if (right && n >= least && n <= most) {
        *ret = n;
        return 0;
    }
    snprintf(err, errlen, "%s must be a whole number, %lld to %lld", name, (long long) least,
             (long long) most);
    return ASQ_EINVAL;
}
