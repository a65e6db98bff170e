/*
 * draw.c: lays out the page of as-ctl top: header, tabs, tables or a subject, keys (view.h). A tall
 * page also has the beginnings of other tables.
 */
#include <stdio.h>
#include <string.h>

#include "top/view.h"

enum { TALL = 24 /* rows for tables */, OTHERS = 2 };

/* ---- Tables --------------------------------------------------------------------------------- */

/* Finds the selected row and the first one that is shown, so that the former is among them. */
static void place(struct as_top_shown *shown, const struct as_top_grid *grid, size_t height)
{
    if (!shown->moved && *shown->key) {
        size_t row = as_top_grid_find(grid, shown->key);
        shown->row = row < grid->n ? row : shown->row;
    }
    if (shown->row >= grid->n)
        shown->row = grid->n ? grid->n - 1 : 0;
    if (shown->first > shown->row)
        shown->first = shown->row;
    if (height && shown->row - shown->first >= height)
        shown->first = shown->row - height + 1;
    if (shown->first + height > grid->n)
        shown->first = grid->n > height ? grid->n - height : 0;
    const struct as_top_row *selected = grid->n ? &grid->rows[shown->row] : NULL;
    snprintf(shown->key, sizeof shown->key, "%s", selected ? selected->key : "");
    snprintf(shown->agent, sizeof shown->agent, "%.*s", ASQ_MAX_ID,
             selected && selected->agent ? selected->agent : "");
    shown->moved = false;
}

/* Draws a table; as the chosen one, with a selection. */
static int draw_table(struct as_top_view *view, enum as_top_table table,
                      const struct as_top_frame *frame, int64_t now_ms, struct as_top_page *page,
                      unsigned row, unsigned height)
{
    struct as_top_shown *shown = &view->tables[table];
    struct as_top_grid grid;
    bool chosen = table == view->table;
    as_top_make_table(&grid, table, frame, now_ms);
    as_top_grid_filter(&grid, shown->filter);
    as_top_grid_sort(&grid, shown->sort, shown->reverse);
    shown->n_columns = grid.n_columns;
    if (chosen) {
        place(shown, &grid, height > 1 ? height - 1 : 0);
        view->height = height;
    }
    as_top_grid_draw(&grid, page, row, height, chosen ? shown->first : 0,
                     chosen ? shown->row : SIZE_MAX, shown->sort, shown->reverse);
    if (grid.n == 0 && height > 1)
        as_top_put(page, row + 1, AS_TOP_DIM,
                   grid.hidden ? "none of them has the filter's text"
                               : as_top_table_kinds[table].nothing);
    int rc = grid.failed ? ASQ_ENOMEM : 0;
    as_top_grid_release(&grid);
    return rc;
}

static int draw_tables(struct as_top_view *view, const struct as_top_frame *frame, int64_t now_ms,
                       struct as_top_page *page, unsigned row, unsigned end)
{
    static const enum as_top_table others[] = { AS_TOP_METHODS, AS_TOP_CALLS, AS_TOP_WORKERS };
    unsigned height = end - row, share = height >= TALL ? height / 4 : 0, n = 0;
    unsigned first = height - OTHERS * share;
    int rc = draw_table(view, view->table, frame, now_ms, page, row, first);
    row += first;
    for (size_t i = 0; share && rc == 0 && i < sizeof others / sizeof others[0]; i++) {
        if (others[i] == view->table || n == OTHERS)
            continue;
        as_top_put(page, row, AS_TOP_BOLD, as_top_table_kinds[others[i]].name);
        rc = draw_table(view, others[i], frame, now_ms, page, row + 1, share - 1);
        row += share;
        n++;
    }
    return rc;
}

/* ---- Tabs, keys, help ----------------------------------------------------------------------- */

static void draw_tabs(const struct as_top_view *view, struct as_top_page *page, unsigned row)
{
    for (size_t i = 0; i < AS_TOP_TABLES; i++) {
        bool chosen = i == view->table && view->subject == AS_TOP_NOTHING;
        if (i)
            as_top_put(page, row, AS_TOP_PLAIN, " ");
        as_top_putf(page, row, chosen ? AS_TOP_BAR : AS_TOP_PLAIN, "%zu %s", i + 1,
                    as_top_table_kinds[i].name);
    }
}

static void put_key(struct as_top_page *page, unsigned row, const char *key, const char *what)
{
    char text[ASQ_MAX_ID + 40];
    bool first = row < page->rows && page->lines[row].used == 0;
    snprintf(text, sizeof text, "%s%s %s", first ? "" : "  ", key, what);
    as_top_put_whole(page, row, AS_TOP_PLAIN, text);
}

static void draw_keys(const struct as_top_view *view, struct as_top_page *page, unsigned row)
{
    const struct as_top_shown *shown = &view->tables[view->table];
    if (view->mode == AS_TOP_TYPE_FILTER) {
        as_top_putf(page, row, AS_TOP_BOLD, "show rows with: %s_", shown->filter);
        return;
    }
    if (view->mode == AS_TOP_TYPE_AGENT) {
        as_top_putf(page, row, AS_TOP_BOLD, "agent: %s_", view->typed);
        return;
    }
    if (*shown->filter && view->subject == AS_TOP_NOTHING)
        as_top_putf(page, row, AS_TOP_WARN, "only with \"%s\" (Esc: all)", shown->filter);
    put_key(page, row, "q", "end");
    put_key(page, row, "?", "help");
    if (view->subject != AS_TOP_NOTHING) {
        put_key(page, row, "Esc", "back");
        if (view->subject == AS_TOP_FAILURE)
            put_key(page, row, "Enter", "its agent");
    } else {
        put_key(page, row, "/", "filter");
        put_key(page, row, "Enter", "open");
        put_key(page, row, "s", "other order");
        put_key(page, row, "r", "reverse");
    }
    put_key(page, row, "a", "agent");
    put_key(page, row, "w", "time");
    put_key(page, row, "Space", view->paused ? "go on" : "pause");
}

static const char *const help[] = {
    "1 to 5, Tab     a table: methods, calls, workers, failures, dead letters",
    "up, down, j, k  the row before, the next one; also PgUp, PgDn, Home, End",
    "Enter           opens the row: a method with its calls and failures, the agent",
    "                of a call, a worker, a failure (again: its agent), a dead letter",
    "Esc             back; without a filter",
    "/               shows only rows that have a text (Enter keeps it, Esc drops it)",
    "s, S            sorts by the next column, by the one before (marked *); at",
    "                first, methods are sorted by RUN p99, the slowest first",
    "r               the other way round (marked ^)",
    "a               an agent by its id",
    "w               the time that rates and percentiles are about",
    "Space           pauses, goes on",
    "q               ends",
    "",
    "A call is marked when it is older than 10 s. WHY tells what it waits for.",
    "Workers that have died stay for an hour, with END: how, and who took over.",
    "Those that have left stay for 10 minutes; of those that had left before, there",
    "is their number alone: the header tells it if there are fewer now. The last",
    "death is there for a day: as-ctl workers --dead has all of them.",
};
enum { HELP_LINES = sizeof help / sizeof help[0] };

static void draw_help(struct as_top_view *view, struct as_top_page *page, unsigned row,
                      unsigned end)
{
    size_t height = end - row;
    size_t most = HELP_LINES > height ? HELP_LINES - height : 0;
    if (view->first_line > most)
        view->first_line = most;
    for (size_t i = view->first_line; i < HELP_LINES && row < end; i++)
        as_top_put(page, row++, AS_TOP_PLAIN, help[i]);
}

int as_top_draw(struct as_top_view *view, const struct as_top_frame *frame,
                const struct as_top_status *status, struct as_top_page *page)
{
    unsigned row = as_top_draw_header(view, frame, status, page);
    unsigned end = page->rows ? page->rows - 1 : 0;
    int rc = 0;
    if (row < end)
        draw_tabs(view, page, row++);
    view->height = end > row ? end - row : 0;
    if (view->mode == AS_TOP_HELP && row < end)
        draw_help(view, page, row, end);
    else if (frame && row < end && view->subject != AS_TOP_NOTHING)
        rc = as_top_draw_subject(view, frame, status->now_ms, page, row, end);
    else if (frame && row < end)
        rc = draw_tables(view, frame, status->now_ms, page, row, end);
    if (!frame && !*status->error && row < end)
        as_top_put(page, row, AS_TOP_DIM, "reading ...");
    if (end)
        draw_keys(view, page, end);
    return rc;
}
