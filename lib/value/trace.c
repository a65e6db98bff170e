/*
 * trace.c: see trace.h.
 */
#include <stdlib.h>
#include <string.h>

#include "value/error.h"
#include "value/hex.h"
#include "value/trace.h"
#include "value/unconst.h"

enum {
    TEXT_N = ASQ__TRACE_TEXT - 1,
    STATE_MAX = 512, /* bytes, as the standard recommends */
    MEMBERS_MAX = 32,
    KEY_MAX = 256,
    VALUE_MAX = 256
};

static bool is_zero(const uint8_t *data, size_t n)
{
    while (n && !*data)
        data++, n--;
    return n == 0;
}

static int digit(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Reads 2 * n lower-case hexadecimal digits. */
static bool read_hex(const char *s, uint8_t *out, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        int high = digit(s[2 * i]), low = high < 0 ? -1 : digit(s[2 * i + 1]);
        if (low < 0)
            return false;
        out[i] = (uint8_t) (high << 4 | low);
    }
    return true;
}

/* Reads "VERSION-TRACE-SPAN-FLAGS". A later version than 00 may have more behind a further '-'. */
static bool parse_parent(const char *s, uint8_t out[ASQ__TRACE_PARENT])
{
    uint8_t version;
    size_t n = strlen(s);
    return n >= TEXT_N && s[2] == '-' && s[35] == '-' && s[52] == '-' && read_hex(s, &version, 1) &&
           version != 0xff && (n == TEXT_N || (version && s[TEXT_N] == '-')) &&
           read_hex(s + 3, out, ASQ__TRACE_ID) &&
           read_hex(s + 36, out + ASQ__TRACE_ID, ASQ__SPAN_ID) &&
           read_hex(s + 53, out + ASQ__TRACE_ID + ASQ__SPAN_ID, 1) &&
           asq__trace_parent_is_valid(out, ASQ__TRACE_PARENT);
}

bool asq__trace_parent_is_valid(const uint8_t *parent, size_t n)
{
    return n == ASQ__TRACE_PARENT && !is_zero(parent, ASQ__TRACE_ID) &&
           !is_zero(parent + ASQ__TRACE_ID, ASQ__SPAN_ID);
}

/* Returns whether n bytes are "KEY=VALUE". */
static bool is_member(const char *s, size_t n)
{
    static const char key[] = "abcdefghijklmnopqrstuvwxyz0123456789_-*/@";
    size_t k = strspn(s, key), v = 0;
    if (k == 0 || k > KEY_MAX || k >= n || s[k] != '=' || strchr("_-*/@", s[0]))
        return false;
    for (const char *p = s + k + 1; p < s + n; p++, v++)
        if (*p < 0x20 || *p > 0x7e || *p == '=')
            return false;
    return v > 0 && v <= VALUE_MAX;
}

bool asq__trace_state_is_valid(const char *state)
{
    size_t members = 0;
    if (strnlen(state, STATE_MAX + 1) > STATE_MAX)
        return false;
    for (const char *s = state; *s;) {
        s += strspn(s, " \t");
        size_t n = strcspn(s, ","), used = n;
        while (used && (s[used - 1] == ' ' || s[used - 1] == '\t'))
            used--;
        if (used && (!is_member(s, used) || ++members > MEMBERS_MAX))
            return false;
        s += n + (s[n] == ',');
    }
    return true;
}

int asq__trace_parse(const asq_trace *trace, uint8_t ret_parent[ASQ__TRACE_PARENT], char *err,
                     size_t errlen)
{
    uint8_t parent[ASQ__TRACE_PARENT];
    if (!trace->parent || !parse_parent(trace->parent, parent))
        return asq__err(err, errlen, ASQ_EINVAL,
                        "its traceparent is not VERSION-TRACE-SPAN-FLAGS, 2, 32, 16 and 2 "
                        "lower-case hexadecimal digits, with ids that are not zero");
    if (trace->state && !asq__trace_state_is_valid(trace->state))
        return asq__err(err, errlen, ASQ_EINVAL,
                        "its tracestate is not a list of at most %d KEY=VALUE in %d bytes",
                        MEMBERS_MAX, STATE_MAX);
    memcpy(ret_parent, parent, sizeof parent);
    return 0;
}

void asq__trace_text(const uint8_t parent[ASQ__TRACE_PARENT], char out[ASQ__TRACE_TEXT])
{
    memcpy(out, "00-", 3);
    asq__hex(out + 3, parent, ASQ__TRACE_ID);
    out[35] = '-';
    asq__hex(out + 36, parent + ASQ__TRACE_ID, ASQ__SPAN_ID);
    out[52] = '-';
    *asq__hex(out + 53, parent + ASQ__TRACE_ID + ASQ__SPAN_ID, 1) = '\0';
}

Asqueue__Trace *asq__trace_new(const uint8_t parent[ASQ__TRACE_PARENT], const char *state)
{
    size_t n = strlen(state ? state : "") + 1;
    Asqueue__Trace *t = malloc(sizeof *t + ASQ__TRACE_PARENT + n);
    if (!t)
        return NULL;
    asqueue__trace__init(t);
    t->parent.data = memcpy(t + 1, parent, ASQ__TRACE_PARENT);
    t->parent.len = ASQ__TRACE_PARENT;
    t->state = memcpy(t->parent.data + ASQ__TRACE_PARENT, state ? state : "", n);
    return t;
}

void asq__trace_borrow(Asqueue__Trace *ret, uint8_t parent[ASQ__TRACE_PARENT], const char *state)
{
    asqueue__trace__init(ret);
    ret->parent.data = parent;
    ret->parent.len = ASQ__TRACE_PARENT;
    ret->state = asq__unconst(state ? state : "");
}
