/*
 * grid.h: a table of as-ctl top: rows of cells, which are filtered, sorted, and laid out into the
 * columns that have room. It knows nothing of what the cells mean.
 */
#ifndef ASQ_SRC_TOP_GRID_H
#define ASQ_SRC_TOP_GRID_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "top/page.h"

enum { AS_TOP_MAX_COLUMNS = 16 };

struct as_top_column {
    const char *title;
    unsigned width; /* at least */
    unsigned rank;  /* where room is short, columns of a higher rank go first; 0: none of these */
    bool right;     /* numbers */
    bool grows;     /* up to its widest cell */
};

struct as_top_cell {
    char *text;   /* NULL: "-" */
    bool number;  /* sorted by `value`, not by text */
    double value; /* NAN: comes last */
    enum as_top_style style;
};

struct as_top_row {
    struct as_top_cell cells[AS_TOP_MAX_COLUMNS];
    char *key;   /* tells the row from others, also in a later grid */
    char *agent; /* the agent that it is about, or NULL */
};

struct as_top_grid {
    const struct as_top_column *columns; /* borrowed */
    size_t n_columns;
    struct as_top_row *rows;
    size_t n, room;
    size_t n_cells; /* of the last row, that are filled */
    bool failed;    /* memory was short: rows are missing */
    size_t hidden;  /* rows that the filter has taken away */
};

void as_top_grid_init(struct as_top_grid *grid, const struct as_top_column *columns, size_t n);
void as_top_grid_release(struct as_top_grid *grid);

/* Adds a row, then its cells from left to right: a text (copied; NULL: "-"), or a number as a text,
 * by whose value it is sorted. */
void as_top_grid_row(struct as_top_grid *grid, const char *key, const char *agent);
void as_top_grid_text(struct as_top_grid *grid, enum as_top_style style, const char *text);
void as_top_grid_number(struct as_top_grid *grid, enum as_top_style style, double value,
                        const char *text);

/* Removes the rows that have the text, whatever the case of its letters, in no cell. */
void as_top_grid_filter(struct as_top_grid *grid, const char *text);
/* Sorts by a column: numbers with the largest first, texts by the alphabet; or the other way. Rows
 * that are equal there keep an order. */
void as_top_grid_sort(struct as_top_grid *grid, size_t column, bool reverse);
/* Returns the row of that key; grid->n: there is none. */
size_t as_top_grid_find(const struct as_top_grid *grid, const char *key);

/* Lays out titles in the first line and rows from `first` on below it. selected: a row, or
 * SIZE_MAX. sorted: the column that has a mark. */
void as_top_grid_draw(const struct as_top_grid *grid, struct as_top_page *page, unsigned row,
                      unsigned height, size_t first, size_t selected, size_t sorted, bool reverse);

#endif
