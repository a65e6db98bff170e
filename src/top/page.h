/*
 * page.h: what as-ctl top shows, as lines of text with styles. They go to a terminal (screen.c) or
 * to a file (--batch). Text comes from Redis: it is escaped (value/escape.h), and cut to whole
 * characters by the columns that a terminal gives them.
 */
#ifndef ASQ_SRC_TOP_PAGE_H
#define ASQ_SRC_TOP_PAGE_H

#include <stdbool.h>
#include <stddef.h>

#include "asqueue.h"

enum as_top_style {
    AS_TOP_PLAIN,
    AS_TOP_DIM,
    AS_TOP_BOLD,
    AS_TOP_BAR, /* titles and keys, on a bar */
    AS_TOP_WARN,
    AS_TOP_BAD,
    AS_TOP_STYLES
};

enum { AS_TOP_MAX_SPANS = 40 };

struct as_top_line {
    char *text;    /* ends in NUL */
    size_t n;      /* bytes */
    unsigned used; /* columns */
    bool selected; /* the whole line stands out */
    size_t n_spans;
    struct as_top_span {
        enum as_top_style style;
        size_t end; /* in bytes; begins where the one before ends */
    } spans[AS_TOP_MAX_SPANS];
};

struct as_top_page {
    unsigned rows, cols;
    bool utf8; /* else all characters beyond ASCII are escaped */
    struct as_top_line *lines;
    char *memory;
};

/* Makes an empty page; of a larger one than the limits below, so much of it. ASQ_ENOMEM. */
enum { AS_TOP_MAX_ROWS = 1000, AS_TOP_MAX_COLS = 1000 };
int as_top_page_init(struct as_top_page *page, unsigned rows, unsigned cols, bool utf8);
void as_top_page_release(struct as_top_page *page);

/* Append to a line (rows beyond the page are ignored), as far as there is room: text; formatted
 * text; a cell of a width, padded at the right or left, with a mark if its text is cut. */
void as_top_put(struct as_top_page *page, unsigned row, enum as_top_style style, const char *text);
void as_top_putf(struct as_top_page *page, unsigned row, enum as_top_style style, const char *fmt,
                 ...) ASQ_PRINTF(4, 5);
void as_top_put_cell(struct as_top_page *page, unsigned row, enum as_top_style style,
                     const char *text, unsigned width, bool right);
/* Appends text only if all of it has room. */
bool as_top_put_whole(struct as_top_page *page, unsigned row, enum as_top_style style,
                      const char *text);
/* Fills the line up to the right margin. */
void as_top_fill(struct as_top_page *page, unsigned row, enum as_top_style style);

/* Returns the columns of a text once escaped, at most `limit` + 1. */
unsigned as_top_width(const char *text, unsigned limit, bool utf8);
/* Returns the bytes of text that fit into `cols` columns, at least one character of it. */
size_t as_top_fitting(const char *text, unsigned cols, bool utf8);

#endif
