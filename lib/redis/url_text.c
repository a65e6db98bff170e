/*
 * url_text.c: see url_text.h.
 */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "asqueue.h"
#include "redis/url_text.h"
#include "value/buf.h"
#include "value/error.h"

static int hex_digit(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

/* Makes a percent-decoded copy. NULL: a wrong or NUL escape (*bad), or no memory. */
static char *decode(const char *s, size_t n, bool *bad)
{
    char *out = malloc(n + 1), *p = out;
    if (!out)
        return NULL;
    for (size_t i = 0; i < n; i++) {
        if (s[i] != '%') {
            *p++ = s[i];
            continue;
        }
        bool whole = n - i > 2;
        int high = whole ? hex_digit(s[i + 1]) : -1, low = whole ? hex_digit(s[i + 2]) : -1;
        if (high < 0 || low < 0 || (high == 0 && low == 0)) {
            *bad = true;
            free(out);
            return NULL;
        }
        *p++ = (char) (high << 4 | low);
        i += 2;
    }
    *p = '\0';
    return out;
}

int asq__url_decode(char **to, const char *s, size_t n, const char *what, char *err, size_t errlen)
{
    bool bad = false;
    char *copy = decode(s, n, &bad);
    if (!copy)
        return bad ? asq__err(err, errlen, ASQ_EINVAL, "the URL's %s has an invalid %%-escape",
                              what)
                   : asq__err(err, errlen, ASQ_ENOMEM, "out of memory");
    free(*to);
    *to = copy;
    return 0;
}

int asq__url_number(const char *s, size_t n, long min, long max, const char *what, long *ret,
                    char *err, size_t errlen)
{
    char text[16], *end;
    if (n > 0 && n < sizeof text) {
        memcpy(text, s, n);
        text[n] = '\0';
        errno = 0;
        long value = strtol(text, &end, 10);
        if (!*end && errno == 0 && value >= min && value <= max && (*text >= '0' && *text <= '9')) {
            *ret = value;
            return 0;
        }
    }
    return asq__err(err, errlen, ASQ_EINVAL,
                    "the URL's %s is '%.*s'; a number from %ld to %ld is needed", what,
                    (int) (n > 40 ? 40 : n), s, min, max);
}

bool asq__url_is_plain(unsigned char c, const char *others)
{
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
           (c && strchr(others, c));
}

void asq__url_put_escaped(struct asq__buf *b, const char *s, const char *plain)
{
    for (; *s; s++) {
        unsigned char c = (unsigned char) *s;
        if (asq__url_is_plain(c, plain))
            asq__buf_putc(b, c);
        else
            asq__buf_printf(b, "%%%02X", c);
    }
}
