/*
 * draw_subject.c: an agent with its calls and failures, a worker, or a dead letter: tables first,
 * then all fields as text, which can be longer than the page (view.h).
 */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "output.h"
#include "top/died.h"
#include "top/view.h"

enum { MAX_LINES = 100000 };

/* Where text goes: lines before `skip` are counted only. */
struct text {
    struct as_top_page *page;
    unsigned row, end;
    size_t skip, n; /* lines */
    bool failed;    /* memory was short */
};

static void put_line(struct text *t, enum as_top_style style, const char *text)
{
    if (t->n++ < t->skip || t->row >= t->end)
        return;
    as_top_put(t->page, t->row++, style, text);
}

/* Puts text with its line feeds, and in as many lines as it needs. */
static void put_text(struct text *t, const char *text)
{
    unsigned cols = t->page->cols > 1 ? t->page->cols : 1;
    while (*text && t->n < MAX_LINES) {
        size_t n = strcspn(text, "\n");
        char *line = strndup(text, n);
        if (!line) {
            t->failed = true;
            return;
        }
        const char *rest = line;
        do {
            size_t some = as_top_fitting(rest, cols, t->page->utf8);
            char *part = strndup(rest, some);
            if (part)
                put_line(t, AS_TOP_PLAIN, part);
            t->failed |= !part;
            free(part);
            rest += some;
        } while (*rest && t->n < MAX_LINES);
        free(line);
        text += n + (text[n] == '\n');
    }
}

static void put_field(struct text *t, const char *key, const asq_value *v)
{
    char *word = NULL, *line = NULL;
    bool deep = asq_value_type(v) == ASQ_MAP || asq_value_type(v) == ASQ_LIST;
    if (deep && asq_to_json(v, 2, &word) < 0)
        word = strdup("(cannot be written as JSON)");
    else if (!deep)
        word = as_word(v);
    if (!word || asprintf(&line, "%s%s%s", key, deep ? ":\n" : ": ", word) < 0) {
        t->failed = true;
        line = NULL;
    }
    if (line)
        put_text(t, line);
    free(line);
    free(word);
}

static void put_fields(struct text *t, const asq_value *record)
{
    for (size_t i = 0; i < asq_map_size(record); i++) {
        const char *key;
        const asq_value *v = asq_map_at(record, i, &key);
        put_field(t, key, v);
    }
}

/* Draws a small table below its name, and frees it; returns the row behind it. */
static unsigned draw_small(struct as_top_grid *grid, size_t sort, const char *name,
                           const char *nothing, struct as_top_page *page, unsigned row,
                           unsigned end, bool *failed)
{
    unsigned most = (end - row) / 3, height = grid->n + 1 < most ? (unsigned) grid->n + 1 : most;
    as_top_grid_sort(grid, sort, false);
    if (grid->n == 0) {
        as_top_put(page, row++, AS_TOP_DIM, nothing);
    } else {
        as_top_putf(page, row++, AS_TOP_BOLD, "%s: %zu", name, grid->n);
        height = height < 2 ? 2 : height;
        height = height > end - row ? end - row : height;
        as_top_grid_draw(grid, page, row, height, 0, SIZE_MAX, sort, false);
        row += height;
    }
    *failed |= grid->failed;
    as_top_grid_release(grid);
    return row;
}

/* Makes a list of the calls or failures that are about the method. NULL: no memory. */
static asq_value *about_method(const asq_value *list, const char *name)
{
    asq_value *some = asq_value_list();
    char other[AS_TOP_METHOD_NAME];
    for (size_t i = 0; some && i < asq_list_size(list); i++)
        if (strcmp(as_top_method_name(asq_list_get(list, i), other), name) == 0 &&
            asq_list_append(some, asq_value_copy(asq_list_get(list, i))) < 0) {
            asq_value_free(some);
            some = NULL;
        }
    return some;
}

static const asq_value *find_method(const asq_value *methods, const char *name)
{
    char text[AS_TOP_METHOD_NAME];
    for (size_t i = 0; i < asq_list_size(methods); i++)
        if (strcmp(as_top_method_name(asq_list_get(methods, i), text), name) == 0)
            return asq_list_get(methods, i);
    return NULL;
}

static const asq_value *find_worker(const asq_value *workers, const char *id)
{
    char key[AS_TOP_WORKER_KEY];
    for (size_t i = 0; i < asq_list_size(workers); i++)
        if (strcmp(as_top_worker_key(asq_list_get(workers, i), key), id) == 0)
            return asq_list_get(workers, i);
    return NULL;
}

/* Draws calls and failures of the subject; returns the row behind them. */
static unsigned draw_lists(const struct as_top_frame *frame, const asq_value *calls,
                           const asq_value *failures, int64_t passed_ms, struct as_top_page *page,
                           unsigned row, unsigned end, bool *failed)
{
    struct as_top_grid grid;
    if (row >= end)
        return row;
    as_top_make_calls(&grid, calls, frame, passed_ms, passed_ms);
    row = draw_small(&grid, 1, "calls", "no calls", page, row, end, failed);
    if (row >= end)
        return row;
    as_top_make_failures(&grid, failures, frame->time_ms + passed_ms);
    return draw_small(&grid, 0, "failures", "no failures are kept", page, row, end, failed);
}

static unsigned draw_method(const struct as_top_view *view, const struct as_top_frame *frame,
                            int64_t passed_ms, struct as_top_page *page, unsigned row, unsigned end,
                            bool *failed)
{
    asq_value *calls = about_method(frame->calls, view->id),
              *failures = about_method(frame->failures, view->id);
    *failed |= !calls || !failures;
    row = draw_lists(frame, calls, failures, passed_ms, page, row, end, failed);
    asq_value_free(calls);
    asq_value_free(failures);
    return row;
}

int as_top_draw_subject(struct as_top_view *view, const struct as_top_frame *frame, int64_t now_ms,
                        struct as_top_page *page, unsigned row, unsigned end)
{
    static const char *const names[] = {
        "", "agent", "worker", "dead letter", "method", "failure"
    };
    bool failed = false;
    bool read = frame->subject == view->subject && strcmp(frame->id, view->id) == 0;
    const asq_value *record = read ? frame->record : NULL;
    int64_t passed_ms = now_ms - frame->read_ms;
    as_top_putf(page, row, AS_TOP_BOLD, "%s %s", names[view->subject], view->id);
    as_top_fill(page, row++, AS_TOP_PLAIN);
    if (view->subject == AS_TOP_WORKER)
        record = find_worker(frame->workers, view->id);
    else if (view->subject == AS_TOP_METHOD)
        record = find_method(asq_map_get(frame->stats, "methods"), view->id);
    else if (view->subject == AS_TOP_FAILURE && !record)
        record = as_top_find(frame->failures, view->id);
    bool listed = view->subject == AS_TOP_WORKER || view->subject == AS_TOP_FAILURE;
    if (read && *frame->why && row < end)
        as_top_put(page, row++, AS_TOP_BAD, frame->why);
    else if (!record && row < end)
        as_top_put(page, row++, AS_TOP_DIM,
                   listed                           ? "it is not in the list any more"
                   : view->subject == AS_TOP_METHOD ? "no calls of it in this time (w: longer)"
                                                    : "reading ...");
    if (read && view->subject == AS_TOP_AGENT)
        row = draw_lists(frame, frame->its_calls, frame->its_failures, passed_ms, page, row, end,
                         &failed);
    else if (view->subject == AS_TOP_METHOD)
        row = draw_method(view, frame, passed_ms, page, row, end, &failed);
    struct text t = { .page = page, .row = row, .end = end, .skip = view->first_line };
    put_fields(&t, record);
    if (t.n && view->first_line >= t.n) {
        /* Beyond the end: the last line stays, and is drawn the next time. */
        view->first_line = t.n - 1;
        t = (struct text){ .page = page, .row = row, .end = end, .skip = view->first_line };
        put_fields(&t, record);
    }
    view->height = end > row ? end - row : 0;
    return failed || t.failed ? ASQ_ENOMEM : 0;
}
