/*
 * escape.h: escapes outside text for a terminal or a log: control characters, C1 ones included,
 * which could affect a terminal; bidi controls and invisible characters, which could reorder a line
 * or hide in it; line breaks; and bytes that are not UTF-8.
 *
 * A header without a source file, because the programs need it and the library does not export it.
 */
#ifndef ASQ_VALUE_ESCAPE_H
#define ASQ_VALUE_ESCAPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

enum asq__escape_form {
    ASQ__ESCAPE_LINE,  /* control characters as \x1b, others as \u202e, invalid bytes as \xff */
    ASQ__ESCAPE_LINES, /* the same, but line feeds stay */
    ASQ__ESCAPE_JSON   /* within JSON text, whose meaning stays: \u001b; line feeds stay */
};

enum { ASQ__ESCAPE_MAX = 16 }; /* bytes of an escaped character, with a NUL */

/* Returns the length in bytes of the character at s, and its number in *ret; 0: not UTF-8. Does not
 * read beyond a NUL. */
static inline size_t asq__utf8_next(const unsigned char *s, uint32_t *ret)
{
    size_t n = *s < 0x80 ? 1 : *s < 0xc2 ? 0 : *s < 0xe0 ? 2 : *s < 0xf0 ? 3 : *s < 0xf5 ? 4 : 0;
    uint32_t c = n == 1 ? *s : *s & (0xffu >> (n + 1));
    for (size_t i = 1; i < n; i++) {
        if ((s[i] & 0xc0) != 0x80)
            return 0;
        c = c << 6 | (s[i] & 0x3f);
    }
    if ((n == 3 && (c < 0x800 || (c >= 0xd800 && c < 0xe000))) ||
        (n == 4 && (c < 0x10000 || c > 0x10ffff)))
        return 0;
    *ret = c;
    return n;
}

/* Returns whether a character above U+007F must not reach a terminal. */
static inline bool asq__escape_is_unsafe(uint32_t c)
{
    return (c >= 0x80 && c < 0xa0) ||   /* C1: CSI is U+009B */
           c == 0x61c || c == 0x180e || /* Arabic letter mark, Mongolian vowel separator */
           c == 0x200b || c == 0x200e || c == 0x200f || /* zero width space, marks of direction */
           (c >= 0x2028 && c <= 0x202e) || /* separators of lines; embeddings and overrides */
           (c >= 0x2060 && c <= 0x206f) || /* invisible operators, isolates */
           c == 0xfeff || (c >= 0xfff9 && c <= 0xfffb) || (c >= 0xe0000 && c <= 0xe007f);
}

/* Reads one character of *text, which is not at its end, and writes it, or its escape, with a NUL.
 * Returns the length. */
static inline size_t asq__escape_next(const char **text, enum asq__escape_form form,
                                      char out[ASQ__ESCAPE_MAX])
{
    const unsigned char *s = (const unsigned char *) *text;
    uint32_t c = 0;
    size_t n = asq__utf8_next(s, &c);
    bool json = form == ASQ__ESCAPE_JSON;
    int written;
    *text += n ? n : 1;
    if (n == 0)
        written = snprintf(out, ASQ__ESCAPE_MAX, json ? "\\ufffd" : "\\x%02x", *s);
    else if ((c >= 0x20 && c != 0x7f && !asq__escape_is_unsafe(c)) ||
             (c == '\n' && form != ASQ__ESCAPE_LINE)) {
        memcpy(out, s, n);
        out[n] = '\0';
        return n;
    } else if (c < 0x80 && !json)
        written = snprintf(out, ASQ__ESCAPE_MAX, "\\x%02x", c);
    else if (c < 0x10000)
        written = snprintf(out, ASQ__ESCAPE_MAX, "\\u%04x", c);
    else if (json)
        written = snprintf(out, ASQ__ESCAPE_MAX, "\\u%04x\\u%04x", 0xd800 + ((c - 0x10000) >> 10),
                           0xdc00 + ((c - 0x10000) & 0x3ff));
    else
        written = snprintf(out, ASQ__ESCAPE_MAX, "\\U%08x", c);
    return (size_t) written;
}

#endif
