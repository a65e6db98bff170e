/*
 * table.c: tables for people (output.h). All cells are kept until the end, because the widths are
 * known only then.
 */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

#include "asqueue.h"
#include "output.h"
#include "value/grow.h"

#define MAX_COLUMNS 16

struct as_table {
    const struct as_column *columns; /* borrowed */
    size_t ncolumns;
    size_t widths[MAX_COLUMNS]; /* characters */
    char **cells;
    size_t ncells, room;
    bool failed; /* memory was short */
};

struct as_table *as_table_new(const struct as_column *columns, size_t n)
{
    struct as_table *t = n <= MAX_COLUMNS ? calloc(1, sizeof *t) : NULL;
    if (!t)
        return NULL;
    t->columns = columns;
    t->ncolumns = n;
    for (size_t i = 0; i < n; i++)
        t->widths[i] = as_text_width(columns[i].title);
    return t;
}

void as_table_add(struct as_table *t, char *text)
{
    if (!t || !text) {
        if (t)
            t->failed = true;
        free(text);
        return;
    }
    if (!asq__grow(&t->cells, t->ncells, &t->room, sizeof *t->cells)) {
        t->failed = true;
        free(text);
        return;
    }
    size_t column = t->ncells % t->ncolumns;
    size_t width = as_text_width(text);
    if (width > t->widths[column])
        t->widths[column] = width;
    t->cells[t->ncells++] = text;
}

static void print_cell(const struct as_table *t, size_t column, const char *text)
{
    size_t width = as_text_width(text);
    int pad = width < t->widths[column] ? (int) (t->widths[column] - width) : 0;
    bool last = column + 1 == t->ncolumns;
    if (t->columns[column].right)
        printf("%*s", pad, "");
    as_print_text(stdout, text, false);
    if (last)
        putchar('\n');
    else
        printf("%*s", t->columns[column].right ? 2 : pad + 2, "");
}

int as_table_print(struct as_table *t, const struct as_reporter *who)
{
    bool failed = !t || t->failed;
    if (!failed) {
        for (size_t i = 0; i < t->ncolumns; i++)
            print_cell(t, i, t->columns[i].title);
        for (size_t i = 0; i < t->ncells; i++)
            print_cell(t, i % t->ncolumns, t->cells[i]);
    }
    for (size_t i = 0; t && i < t->ncells; i++)
        free(t->cells[i]);
    if (t)
        free(t->cells);
    free(t);
    return failed ? as_report_code(who, ASQ_ENOMEM, NULL, "out of memory") : AS_EXIT_OK;
}
