/*
 * grid.c: see grid.h.
 */
#define _GNU_SOURCE
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "top/grid.h"
#include "value/grow.h"

enum { GAP = 2, MAX_CELL = 400 };

void as_top_grid_init(struct as_top_grid *grid, const struct as_top_column *columns, size_t n)
{
    *grid = (struct as_top_grid){ .columns = columns, .n_columns = n };
}

static void free_row(struct as_top_row *row)
{
    for (size_t i = 0; i < AS_TOP_MAX_COLUMNS; i++)
        free(row->cells[i].text);
    free(row->key);
    free(row->agent);
}

void as_top_grid_release(struct as_top_grid *grid)
{
    for (size_t i = 0; i < grid->n; i++)
        free_row(&grid->rows[i]);
    free(grid->rows);
    as_top_grid_init(grid, grid->columns, grid->n_columns);
}

/* ---- Rows ----------------------------------------------------------------------------------- */

void as_top_grid_row(struct as_top_grid *grid, const char *key, const char *agent)
{
    grid->n_cells = AS_TOP_MAX_COLUMNS; /* cells without a row are dropped */
    if (!asq__grow(&grid->rows, grid->n, &grid->room, sizeof *grid->rows)) {
        grid->failed = true;
        return;
    }
    struct as_top_row *row = &grid->rows[grid->n];
    *row = (struct as_top_row){ .key = strdup(key), .agent = agent ? strdup(agent) : NULL };
    if (!row->key || (agent && !row->agent)) {
        free_row(row);
        grid->failed = true;
        return;
    }
    grid->n++;
    grid->n_cells = 0;
}

static void add_cell(struct as_top_grid *grid, struct as_top_cell cell, const char *text)
{
    if (grid->n_cells >= grid->n_columns)
        return;
    if (text && !(cell.text = strndup(text, MAX_CELL)))
        grid->failed = true;
    grid->rows[grid->n - 1].cells[grid->n_cells++] = cell;
}

void as_top_grid_text(struct as_top_grid *grid, enum as_top_style style, const char *text)
{
    add_cell(grid, (struct as_top_cell){ .style = style }, text);
}

void as_top_grid_number(struct as_top_grid *grid, enum as_top_style style, double value,
                        const char *text)
{
    add_cell(grid, (struct as_top_cell){ .style = style, .number = true, .value = value }, text);
}

static const char *text_of(const struct as_top_cell *cell)
{
    return cell->text ? cell->text : "-";
}

/* ---- Filter and order ----------------------------------------------------------------------- */

static bool has_text(const struct as_top_grid *grid, const struct as_top_row *row, const char *text)
{
    for (size_t i = 0; i < grid->n_columns; i++)
        if (strcasestr(text_of(&row->cells[i]), text))
            return true;
    return false;
}

void as_top_grid_filter(struct as_top_grid *grid, const char *text)
{
    size_t kept = 0;
    if (!*text)
        return;
    for (size_t i = 0; i < grid->n; i++) {
        if (has_text(grid, &grid->rows[i], text)) {
            grid->rows[kept++] = grid->rows[i];
            continue;
        }
        free_row(&grid->rows[i]);
        grid->hidden++;
    }
    grid->n = kept;
}

struct order {
    size_t column;
    int sign;
};

static int compare_cells(const struct as_top_cell *a, const struct as_top_cell *b, int sign)
{
    /* Missing values come last in either order. */
    bool a_none = a->number ? isnan(a->value) : !a->text;
    bool b_none = b->number ? isnan(b->value) : !b->text;
    if (a_none || b_none)
        return a_none - b_none;
    if (a->number && b->number)
        return sign * ((a->value < b->value) - (a->value > b->value));
    return sign * strcmp(text_of(a), text_of(b));
}

static int compare_rows(const void *left, const void *right, void *user)
{
    const struct as_top_row *a = left, *b = right;
    const struct order *order = user;
    int by_cell = compare_cells(&a->cells[order->column], &b->cells[order->column], order->sign);
    return by_cell ? by_cell : strcmp(a->key, b->key);
}

void as_top_grid_sort(struct as_top_grid *grid, size_t column, bool reverse)
{
    struct order order = { column < grid->n_columns ? column : 0, reverse ? -1 : 1 };
    if (grid->n)
        qsort_r(grid->rows, grid->n, sizeof *grid->rows, compare_rows, &order);
}

size_t as_top_grid_find(const struct as_top_grid *grid, const char *key)
{
    size_t i = 0;
    while (i < grid->n && strcmp(grid->rows[i].key, key) != 0)
        i++;
    return i;
}

/* ---- Layout --------------------------------------------------------------------------------- */

static unsigned total(const struct as_top_grid *grid, const unsigned *widths)
{
    unsigned sum = 0;
    for (size_t i = 0; i < grid->n_columns; i++)
        sum += widths[i] ? widths[i] + (sum ? GAP : 0) : 0;
    return sum;
}

/* Leaves out the columns of the highest ranks until the others have room. */
static void choose_columns(const struct as_top_grid *grid, unsigned cols, unsigned *widths)
{
    for (size_t i = 0; i < grid->n_columns; i++)
        widths[i] = grid->columns[i].width;
    while (total(grid, widths) > cols) {
        size_t worst = grid->n_columns;
        for (size_t i = 0; i < grid->n_columns; i++)
            if (widths[i] && grid->columns[i].rank &&
                (worst == grid->n_columns || grid->columns[i].rank >= grid->columns[worst].rank))
                worst = i;
        if (worst == grid->n_columns)
            return;
        widths[worst] = 0;
    }
}

/* Gives what room is left to columns that grow, in turn. */
static void grow_columns(const struct as_top_grid *grid, const struct as_top_page *page,
                         size_t first, size_t last, unsigned *widths)
{
    unsigned wanted[AS_TOP_MAX_COLUMNS] = { 0 };
    for (size_t i = 0; i < grid->n_columns; i++)
        for (size_t r = first; grid->columns[i].grows && widths[i] && r < last; r++) {
            unsigned width = as_top_width(text_of(&grid->rows[r].cells[i]), page->cols, page->utf8);
            wanted[i] = width > wanted[i] ? width : wanted[i];
        }
    unsigned used = total(grid, widths);
    unsigned left = used < page->cols ? page->cols - used : 0;
    for (bool grown = true; left && grown;) {
        grown = false;
        for (size_t i = 0; left && i < grid->n_columns; i++)
            if (widths[i] < wanted[i]) {
                widths[i]++;
                left--;
                grown = true;
            }
    }
}

static void draw_titles(const struct as_top_grid *grid, struct as_top_page *page, unsigned row,
                        const unsigned *widths, size_t sorted, bool reverse)
{
    for (size_t i = 0; i < grid->n_columns; i++) {
        char title[40];
        if (!widths[i])
            continue;
        if (row < page->rows && page->lines[row].used)
            as_top_put(page, row, AS_TOP_BAR, "  ");
        snprintf(title, sizeof title, "%s%s", grid->columns[i].title,
                 i != sorted ? ""
                 : reverse   ? "^"
                             : "*");
        as_top_put_cell(page, row, AS_TOP_BAR, title, widths[i], grid->columns[i].right);
    }
    as_top_fill(page, row, AS_TOP_BAR);
}

void as_top_grid_draw(const struct as_top_grid *grid, struct as_top_page *page, unsigned row,
                      unsigned height, size_t first, size_t selected, size_t sorted, bool reverse)
{
    unsigned widths[AS_TOP_MAX_COLUMNS] = { 0 };
    size_t last = height ? first + height - 1 : first;
    if (!height)
        return;
    last = last > grid->n ? grid->n : last;
    choose_columns(grid, page->cols, widths);
    grow_columns(grid, page, first, last, widths);
    draw_titles(grid, page, row, widths, sorted, reverse);
    for (size_t r = first; r < last; r++) {
        unsigned at = row + 1 + (unsigned) (r - first);
        for (size_t i = 0; i < grid->n_columns; i++) {
            const struct as_top_cell *cell = &grid->rows[r].cells[i];
            if (!widths[i])
                continue;
            if (at < page->rows && page->lines[at].used)
                as_top_put(page, at, AS_TOP_PLAIN, "  ");
            as_top_put_cell(page, at, cell->style, text_of(cell), widths[i],
                            grid->columns[i].right);
        }
        if (r == selected && at < page->rows) {
            as_top_fill(page, at, AS_TOP_PLAIN);
            page->lines[at].selected = true;
        }
    }
}
