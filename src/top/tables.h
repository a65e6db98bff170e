/*
 * tables.h: the tables of as-ctl top, made from a frame: which columns they have, what stands in
 * their cells, and what stands out.
 */
#ifndef ASQ_SRC_TOP_TABLES_H
#define ASQ_SRC_TOP_TABLES_H

#include <stddef.h>
#include <stdint.h>

#include "top/frame.h"
#include "top/grid.h"

enum as_top_table { AS_TOP_METHODS, AS_TOP_CALLS, AS_TOP_WORKERS, AS_TOP_FAILURES, AS_TOP_LETTERS };
enum { AS_TOP_TABLES = 5 };

/* A call that has been under way for so long stands out, as it does in a worker's log. */
enum { AS_TOP_STUCK_MS = 10000 };

extern const struct as_top_table_kind {
    const char *name;    /* of its tab */
    size_t first_sort;   /* column */
    const char *nothing; /* if it has no rows */
} as_top_table_kinds[AS_TOP_TABLES];

/* Makes a table of the frame; now_ms is monotonic. The grid is to be released; if its rows are
 * incomplete, it says so (failed). */
void as_top_make_table(struct as_top_grid *grid, enum as_top_table table,
                       const struct as_top_frame *frame, int64_t now_ms);
/* The same from lists of calls or failures that are not those of the frame. What it tells of
 * methods, and of how far calls are, is shown with them. */
void as_top_make_calls(struct as_top_grid *grid, const asq_value *calls,
                       const struct as_top_frame *frame, int64_t passed_ms,
                       int64_t queued_passed_ms);
void as_top_make_failures(struct as_top_grid *grid, const asq_value *failures, int64_t time_ms);

/* Formats for people in at most 8 characters: a time, a number; "-" for NAN. */
const char *as_top_short_ms(double ms, char text[32]);
const char *as_top_short_number(double number, char text[32]);

#endif
