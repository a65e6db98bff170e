/*
 * page_text.c: makes text of HTML, well enough to read articles; no full HTML parser. Works in
 * place, in one pass, on arbitrary bytes.
 */
#include "page_text.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

#define MAX_WORDS 16
#define MAX_WORD  64

typedef struct output {
    char *to;
    size_t n;
    bool space; /* white space is due before the next letter */
    bool line;  /* the white space is a line's end */
} output;

static void put(output *o, char c)
{
    /* control characters too, because terminals obey them */
    if ((unsigned char) c <= ' ' || c == 0x7f) {
        o->space = true;
        return;
    }
    if (o->n > 0 && o->line)
        o->to[o->n++] = '\n';
    else if (o->n > 0 && o->space)
        o->to[o->n++] = ' ';
    o->space = o->line = false;
    o->to[o->n++] = c;
}

/* Returns the bytes of the UTF-8 sequence at s (of at most n bytes), or 0 if it is invalid. */
static size_t utf8_length(const char *s, size_t n)
{
    const unsigned char *u = (const unsigned char *) s;
    size_t len = u[0] < 0x80   ? 1
                 : u[0] < 0xc2 ? 0
                 : u[0] < 0xe0 ? 2
                 : u[0] < 0xf0 ? 3
                 : u[0] < 0xf5 ? 4
                               : 0;
    size_t i;

    if (len == 0 || len > n)
        return 0;
    for (i = 1; i < len; i++)
        if ((u[i] & 0xc0) != 0x80)
            return 0;
    if ((u[0] == 0xe0 && u[1] < 0xa0) || (u[0] == 0xed && u[1] > 0x9f) ||
        (u[0] == 0xf0 && u[1] < 0x90) || (u[0] == 0xf4 && u[1] > 0x8f))
        return 0; /* overlong, a surrogate, or beyond U+10FFFF */
    return len;
}

/* Returns whether the tag at s ("<p class=..." or "</p>") has this name. */
static bool tag_is(const char *s, size_t n, const char *name)
{
    size_t len = strlen(name), at = n > 1 && s[1] == '/' ? 2 : 1;

    return n > at + len && strncasecmp(s + at, name, len) == 0 &&
           !isalnum((unsigned char) s[at + len]);
}

static bool tag_ends_line(const char *s, size_t n)
{
    static const char *const names[] = { "p",       "br",      "li",    "div",    "tr",     "td",
                                         "th",      "h1",      "h2",    "h3",     "h4",     "h5",
                                         "h6",      "dt",      "dd",    "pre",    "ul",     "ol",
                                         "section", "article", "title", "header", "footer", NULL };
    size_t i;

    for (i = 0; names[i]; i++)
        if (tag_is(s, n, names[i]))
            return true;
    return false;
}

/* Returns the position behind `end` in s; n without one. */
static size_t skip_past(const char *s, size_t n, const char *end)
{
    size_t len = strlen(end), i;

    for (i = 0; i + len <= n; i++)
        if (strncasecmp(s + i, end, len) == 0)
            return i + len;
    return n;
}

/* Returns the length of the tag at s, with all of a script, style or comment. */
static size_t skip_tag(const char *s, size_t n)
{
    size_t head;

    if (n >= 4 && memcmp(s, "<!--", 4) == 0)
        return 4 + skip_past(s + 4, n - 4, "-->");
    head = skip_past(s, n, ">");
    if (s[1] != '/' && (tag_is(s, n, "script") || tag_is(s, n, "style"))) {
        head += skip_past(s + head, n - head, tag_is(s, n, "script") ? "</script" : "</style");
        return head + skip_past(s + head, n - head, ">");
    }
    return head;
}

/* Writes the character of the entity at s; returns the entity's bytes, or 0 if it is unknown. */
static size_t put_entity(output *o, const char *s, size_t n)
{
    static const struct {
        const char *name;
        char c;
    } entities[] = { { "&amp;", '&' },  { "&lt;", '<' },    { "&gt;", '>' },   { "&quot;", '"' },
                     { "&#39;", '\'' }, { "&apos;", '\'' }, { "&nbsp;", ' ' }, { NULL, 0 } };
    size_t i;

    for (i = 0; entities[i].name; i++) {
        size_t len = strlen(entities[i].name);
        if (len <= n && memcmp(s, entities[i].name, len) == 0) {
            put(o, entities[i].c);
            return len;
        }
    }
    return 0;
}

size_t page_text(char *text, size_t n, bool html)
{
    output o = { text, 0, false, false };
    size_t i = 0, len;

    while (i < n) {
        const char *s = text + i;
        if (html && s[0] == '<' && n - i > 1 &&
            (isalpha((unsigned char) s[1]) || s[1] == '/' || s[1] == '!' || s[1] == '?')) {
            if (tag_ends_line(s, n - i))
                o.line = true;
            i += skip_tag(s, n - i);
        } else if (html && s[0] == '&' && (len = put_entity(&o, s, n - i)) > 0) {
            i += len;
        } else if ((len = utf8_length(s, n - i)) > 0) {
            if (!html && s[0] == '\n')
                o.line = true;
            i += len;
            if (len == 2 && (unsigned char) s[0] == 0xc2 && (unsigned char) s[1] < 0xa0)
                put(&o, ' '); /* a control character again, U+0080 to U+009F */
            else
                for (; len > 0; len--, s++)
                    put(&o, *s);
        } else {
            put(&o, '?');
            i++;
        }
    }
    text[o.n] = '\0';
    return o.n;
}

/* ---- Passages ---- */

static size_t split_query(const char *query, char words[MAX_WORDS][MAX_WORD])
{
    size_t n = 0, len;

    for (; n < MAX_WORDS; n++, query += len) {
        query += strspn(query, " \t\r\n");
        if ((len = strcspn(query, " \t\r\n")) == 0)
            break;
        memcpy(words[n], query, len < MAX_WORD ? len : MAX_WORD - 1);
        words[n][len < MAX_WORD ? len : MAX_WORD - 1] = '\0';
    }
    return n;
}

static const char *find_word(const char *line, const char *word)
{
    size_t len = strlen(word);

    for (; *line; line++)
        if (strncasecmp(line, word, len) == 0)
            return line;
    return NULL;
}

/* Copies the line, or the text around `hit` if it is long; never half a UTF-8 sequence. */
static void shorten(const char *line, const char *hit, char passage[PASSAGE_SIZE])
{
    size_t len = strlen(line), from = (size_t) (hit - line), n;

    from = len < PASSAGE_SIZE || from < PASSAGE_SIZE / 3 ? 0 : from - PASSAGE_SIZE / 3;
    while (from > 0 && line[from - 1] != ' ' && hit - line - (ptrdiff_t) from < PASSAGE_SIZE / 2)
        from--;
    while ((line[from] & 0xc0) == 0x80)
        from++;
    n = len - from < PASSAGE_SIZE - 1 ? len - from : PASSAGE_SIZE - 1;
    while (n > 0 && (line[from + n] & 0xc0) == 0x80)
        n--;
    memcpy(passage, line + from, n);
    passage[n] = '\0';
}

size_t page_passages(char *text, const char *query, char (*passages)[PASSAGE_SIZE], size_t max)
{
    char words[MAX_WORDS][MAX_WORD];
    size_t n_words = split_query(query, words), n = 0, want;

    /* Lines with all words come first, then lines with one fewer, and so on. */
    for (want = n_words; want > 0 && n < max; want--) {
        char *line = text, *end;
        for (; *line && n < max; line = end + (*end != '\0')) {
            const char *first = NULL;
            size_t found = 0, w;
            char kept;

            end = line + strcspn(line, "\n");
            kept = *end;
            *end = '\0';
            for (w = 0; w < n_words; w++) {
                const char *hit = find_word(line, words[w]);
                found += hit != NULL;
                if (hit && (!first || hit < first))
                    first = hit;
            }
            if (found == want)
                shorten(line, first, passages[n++]);
            *end = kept;
        }
    }
    return n;
}
