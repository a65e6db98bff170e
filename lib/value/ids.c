/*
 * ids.c: checks and formats of names: call ids, agent ids, names of classes, methods and
 * attributes; and of UTF-8. No allocation.
 */
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "asqueue.h"
#include "value/decimal.h"
#include "value/error.h"
#include "value/hex.h"
#include "value/value.h"

#define PROMISE "promise" /* in the place of an index */

void asq__call_id_format(const struct asq__call_id *id, char text[ASQ__CALL_ID_TEXT])
{
    char *p = text + asq__decimal(id->partition, text);
    *p++ = '-';
    p = asq__hex(p, id->batch, sizeof id->batch);
    *p++ = '-';
    if (asq__call_id_is_promise(id)) {
        memcpy(p, PROMISE, sizeof PROMISE);
        return;
    }
    p += asq__decimal(id->index, p);
    *p = '\0';
}

/* Parses a number in its only form: no sign, no leading zeros. Returns the end; NULL: no such
 * number. */
static const char *parse_u32(const char *p, uint32_t *ret)
{
    uint64_t v = 0;
    const char *from = p;
    for (; *p >= '0' && *p <= '9'; p++) {
        v = v * 10 + (uint64_t) (*p - '0');
        if (v > UINT32_MAX)
            return NULL;
    }
    if (p == from || (*from == '0' && p > from + 1))
        return NULL;
    *ret = (uint32_t) v;
    return p;
}

static int hex_digit(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

int asq__call_id_parse(const char *text, struct asq__call_id *ret)
{
    struct asq__call_id id;
    const char *p = text ? parse_u32(text, &id.partition) : NULL;
    if (!p || *p++ != '-')
        return ASQ_EPARSE;
    for (size_t i = 0; i < sizeof id.batch; i++) {
        int high = hex_digit(*p), low = high < 0 ? -1 : hex_digit(p[1]);
        if (low < 0)
            return ASQ_EPARSE;
        id.batch[i] = (uint8_t) (high << 4 | low);
        p += 2;
    }
    if (*p++ != '-')
        return ASQ_EPARSE;
    if (strcmp(p, PROMISE) == 0)
        id.index = ASQ__PROMISE_INDEX;
    else if (!(p = parse_u32(p, &id.index)) || *p || asq__call_id_is_promise(&id))
        return ASQ_EPARSE;
    *ret = id;
    return 0;
}

/* Returns the length of the character at p, of at most n bytes; 0 if invalid. RFC 3629: no overlong
 * forms, no surrogates, nothing above U+10FFFF. */
static size_t utf8_char(const unsigned char *p, size_t n)
{
    unsigned char c = p[0], low = 0x80, high = 0xbf;
    size_t more;
    if (c < 0x80)
        return 1;
    if (c >= 0xc2 && c <= 0xdf) {
        more = 1;
    } else if (c >= 0xe0 && c <= 0xef) {
        more = 2;
        if (c == 0xe0)
            low = 0xa0;
        else if (c == 0xed)
            high = 0x9f;
    } else if (c >= 0xf0 && c <= 0xf4) {
        more = 3;
        if (c == 0xf0)
            low = 0x90;
        else if (c == 0xf4)
            high = 0x8f;
    } else {
        return 0;
    }
    if (more >= n || p[1] < low || p[1] > high)
        return 0;
    for (size_t i = 2; i <= more; i++)
        if (p[i] < 0x80 || p[i] > 0xbf)
            return 0;
    return more + 1;
}

bool asq__utf8_valid(const char *s, size_t n)
{
    const unsigned char *p = (const unsigned char *) s;
    while (n) {
        /* Skip eight bytes of ASCII at a time. */
        uint64_t eight;
        while (n >= 8 && (memcpy(&eight, p, 8), !(eight & UINT64_C(0x8080808080808080)))) {
            p += 8;
            n -= 8;
        }
        if (!n)
            break;
        size_t step = utf8_char(p, n);
        if (!step)
            return false;
        p += step;
        n -= step;
    }
    return true;
}

int asq__check_id(const char *id, char *err, size_t errlen)
{
    size_t n = id ? strlen(id) : 0;
    if (!n)
        return asq__err(err, errlen, ASQ_EINVAL, "the agent id is empty");
    if (n > ASQ_MAX_ID)
        return asq__err(err, errlen, ASQ_EINVAL, "the agent id has %zu bytes; %d are allowed", n,
                        ASQ_MAX_ID);
    const unsigned char *p = (const unsigned char *) id;
    while (*p > ' ' && *p < 0x7f)
        p++;
    if (!*p)
        return 0; /* ASCII alone, as most are */
    if (!asq__utf8_valid(id, n))
        return asq__err(err, errlen, ASQ_EINVAL, "the agent id is not UTF-8");
    for (; *p; p++)
        if (*p <= ' ' || *p == 0x7f || (*p == 0xc2 && p[1] <= 0x9f))
            return asq__err(err, errlen, ASQ_EINVAL, "the agent id contains a %s at byte %zu",
                            *p == ' ' ? "space" : "control character",
                            (size_t) (p - (const unsigned char *) id));
    return 0;
}

int asq__check_name(const char *what, const char *name, char *err, size_t errlen)
{
    size_t n = name ? strlen(name) : 0;
    if (!n)
        return asq__err(err, errlen, ASQ_EINVAL, "the %s name is empty", what);
    if (n > ASQ_MAX_NAME)
        return asq__err(err, errlen, ASQ_EINVAL, "the %s name has %zu bytes; %d are allowed", what,
                        n, ASQ_MAX_NAME);
    if (!asq__utf8_valid(name, n))
        return asq__err(err, errlen, ASQ_EINVAL, "the %s name is not UTF-8", what);
    bool class_name = strcmp(what, "class") == 0;
    for (const char *p = name; *p; p++) {
        bool letter = (*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z');
        bool other = (*p >= '0' && *p <= '9') || *p == '-' || *p == '.';
        if (letter || (*p == '_' && (p > name || !class_name)) || (other && p > name))
            continue;
        if ((unsigned char) *p < ' ' || *p == 0x7f)
            return asq__err(err, errlen, ASQ_EINVAL, "the %s name contains a control character",
                            what);
        return asq__err(
            err, errlen, ASQ_EINVAL,
            "\"%s\" is no %s name: letters, digits, '_', '-' and '.' are allowed, and the "
            "first is a letter%s",
            name, what, class_name ? "" : " or '_'");
    }
    return 0;
}
