/*
 * page.c: see page.h.
 */
#define _GNU_SOURCE
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <wchar.h>

#include "top/page.h"
#include "value/escape.h"

/* A column has a character of 4 bytes at most, with so many that take no column. */
enum { MAX_MARKS = 2, COLUMN_BYTES = 4 * (1 + MAX_MARKS) };

int as_top_page_init(struct as_top_page *page, unsigned rows, unsigned cols, bool utf8)
{
    rows = rows > AS_TOP_MAX_ROWS ? AS_TOP_MAX_ROWS : rows;
    cols = cols > AS_TOP_MAX_COLS ? AS_TOP_MAX_COLS : cols;
    size_t room = (size_t) cols * COLUMN_BYTES + 1;
    *page = (struct as_top_page){ .rows = rows, .cols = cols, .utf8 = utf8 };
    page->lines = calloc(rows ? rows : 1, sizeof *page->lines);
    page->memory = calloc(rows ? rows : 1, room);
    if (!page->lines || !page->memory) {
        as_top_page_release(page);
        return ASQ_ENOMEM;
    }
    for (unsigned i = 0; i < rows; i++)
        page->lines[i].text = page->memory + i * room;
    return 0;
}

void as_top_page_release(struct as_top_page *page)
{
    free(page->lines);
    free(page->memory);
    *page = (struct as_top_page){ .rows = 0 };
}

/* ---- Characters ----------------------------------------------------------------------------- */

/* Returns the columns of a character; -1: a terminal could do anything with it. */
static int char_width(uint32_t c)
{
    int width = wcwidth((wchar_t) c);
    /* In a locale without such characters nothing is known of them, but --batch still prints
     * them. */
    if (width < 0 && wcwidth(L'\u00e9') < 0)
        return 1;
    return width;
}

/* A character as it is shown. */
struct piece {
    char bytes[ASQ__ESCAPE_MAX];
    size_t n;
    unsigned width;
};

/* Escapes a character as asq__escape_next does those that are unsafe. */
static void escape(struct piece *p, uint32_t c)
{
    p->n = (size_t) snprintf(p->bytes, sizeof p->bytes, c < 0x10000 ? "\\u%04x" : "\\U%08x", c);
    p->width = (unsigned) p->n;
}

/* Reads the next character of *text, which is not at its end. marks: characters without a width
 * that stand behind the last one with one; below 0: there is no such. */
static struct piece next_piece(const char **text, bool utf8, int *marks)
{
    struct piece p;
    uint32_t c = 0;
    const unsigned char *first = (const unsigned char *) *text;
    p.n = asq__escape_next(text, ASQ__ESCAPE_LINE, p.bytes);
    p.width = (unsigned) p.n;
    if (!(p.bytes[0] & 0x80)) {
        *marks = 0;
        return p;
    }
    asq__utf8_next(first, &c);
    int width = utf8 ? char_width(c) : -1;
    if (width < 0 || (width == 0 && (*marks < 0 || *marks >= MAX_MARKS)))
        escape(&p, c);
    else
        p.width = (unsigned) width;
    *marks = p.width ? 0 : *marks + 1;
    return p;
}

unsigned as_top_width(const char *text, unsigned limit, bool utf8)
{
    unsigned width = 0;
    int marks = -1;
    while (*text && width <= limit)
        width += next_piece(&text, utf8, &marks).width;
    return width > limit ? limit + 1 : width;
}

size_t as_top_fitting(const char *text, unsigned cols, bool utf8)
{
    const char *at = text;
    unsigned width = 0;
    int marks = -1;
    while (*at) {
        const char *before = at;
        width += next_piece(&at, utf8, &marks).width;
        if (width > cols)
            return (size_t) (before == text ? at - text : before - text);
    }
    return (size_t) (at - text);
}

/* ---- Lines ---------------------------------------------------------------------------------- */

static struct as_top_line *line_of(struct as_top_page *page, unsigned row)
{
    return row < page->rows ? &page->lines[row] : NULL;
}

/* Ends the text that was appended, in this style. */
static void end_span(struct as_top_line *line, enum as_top_style style)
{
    bool same = line->n_spans && line->spans[line->n_spans - 1].style == style;
    line->text[line->n] = '\0';
    /* Text without a span of its own has the style of the last span. */
    if (!same && line->n_spans < AS_TOP_MAX_SPANS)
        line->spans[line->n_spans++].style = style;
    line->spans[line->n_spans - 1].end = line->n;
}

/* Appends text of at most `width` columns; returns how many it took. */
static unsigned append(struct as_top_line *line, const char *text, unsigned width, bool utf8)
{
    unsigned used = 0;
    int marks = -1;
    while (*text) {
        struct piece p = next_piece(&text, utf8, &marks);
        if (used + p.width > width)
            break;
        memcpy(line->text + line->n, p.bytes, p.n);
        line->n += p.n;
        used += p.width;
    }
    line->used += used;
    return used;
}

static void pad(struct as_top_line *line, unsigned n)
{
    memset(line->text + line->n, ' ', n);
    line->n += n;
    line->used += n;
}

void as_top_put(struct as_top_page *page, unsigned row, enum as_top_style style, const char *text)
{
    struct as_top_line *line = line_of(page, row);
    if (!line)
        return;
    append(line, text, page->cols - line->used, page->utf8);
    end_span(line, style);
}

void as_top_putf(struct as_top_page *page, unsigned row, enum as_top_style style, const char *fmt,
                 ...)
{
    char text[1024];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    as_top_put(page, row, style, text);
}

bool as_top_put_whole(struct as_top_page *page, unsigned row, enum as_top_style style,
                      const char *text)
{
    struct as_top_line *line = line_of(page, row);
    unsigned room = line ? page->cols - line->used : 0;
    if (!line || as_top_width(text, room, page->utf8) > room)
        return false;
    as_top_put(page, row, style, text);
    return true;
}

void as_top_put_cell(struct as_top_page *page, unsigned row, enum as_top_style style,
                     const char *text, unsigned width, bool right)
{
    struct as_top_line *line = line_of(page, row);
    if (!line)
        return;
    if (width > page->cols - line->used)
        width = page->cols - line->used;
    unsigned wanted = as_top_width(text, width, page->utf8);
    if (right && wanted < width)
        pad(line, width - wanted);
    if (wanted <= width) {
        append(line, text, width, page->utf8);
    } else if (width > 0) {
        unsigned used = append(line, text, width - 1, page->utf8);
        used += append(line, page->utf8 ? "\u2026" : "~", 1, page->utf8);
        pad(line, width - used);
    }
    if (!right && wanted < width)
        pad(line, width - wanted);
    end_span(line, style);
}

void as_top_fill(struct as_top_page *page, unsigned row, enum as_top_style style)
{
    struct as_top_line *line = line_of(page, row);
    if (!line)
        return;
    pad(line, page->cols - line->used);
    end_span(line, style);
}
