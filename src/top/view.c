/*
 * view.c: see view.h.
 */
#include <stdio.h>
#include <string.h>

#include "top/view.h"

static const struct {
    int64_t ms;
    const char *name;
} windows[] = { { 60000, "60 s" }, { 600000, "10 min" }, { 3600000, "60 min" }, { 10000, "10 s" } };
enum { WINDOWS = sizeof windows / sizeof windows[0] };

void as_top_view_init(struct as_top_view *view, const char *ns, int64_t interval_ms)
{
    *view = (struct as_top_view){ .ns = ns, .interval_ms = interval_ms };
    for (size_t i = 0; i < AS_TOP_TABLES; i++)
        view->tables[i].sort = as_top_table_kinds[i].first_sort;
}

const char *as_top_view_window(const struct as_top_view *view)
{
    return windows[view->window].name;
}

struct as_top_wish as_top_view_wish(const struct as_top_view *view)
{
    struct as_top_wish wish = { .subject = view->subject,
                                .failures = view->table == AS_TOP_FAILURES ||
                                            view->subject == AS_TOP_METHOD,
                                .last_ms = windows[view->window].ms,
                                .paused = view->paused };
    snprintf(wish.id, sizeof wish.id, "%s", view->id);
    return wish;
}

/* ---- Typing --------------------------------------------------------------------------------- */

static void type(char *text, size_t size, int key)
{
    size_t n = strlen(text);
    if (key == AS_TOP_KEY_BACKSPACE || key == 127 || key == 8) {
        /* The whole of a character: its last bytes are 10xxxxxx. */
        while (n && ((unsigned char) text[n - 1] & 0xc0) == 0x80)
            n--;
        text[n ? n - 1 : 0] = '\0';
    } else if (key == 21) { /* Ctrl-U */
        *text = '\0';
    } else if (key >= 0x20 && key < 0x100 && key != 127 && n + 1 < size) {
        text[n] = (char) key;
        text[n + 1] = '\0';
    }
}

static bool is_enter(int key)
{
    return key == AS_TOP_KEY_ENTER || key == '\n' || key == '\r';
}

static void open_subject(struct as_top_view *view, enum as_top_subject subject, const char *id)
{
    if (!*id)
        return;
    snprintf(view->id, sizeof view->id, "%.*s", ASQ_MAX_ID, id);
    view->subject = subject;
    view->first_line = 0;
}

static void type_filter(struct as_top_view *view, int key)
{
    struct as_top_shown *shown = &view->tables[view->table];
    if (is_enter(key)) {
        view->mode = AS_TOP_BROWSE;
    } else if (key == AS_TOP_KEY_ESCAPE) {
        *shown->filter = '\0';
        view->mode = AS_TOP_BROWSE;
    } else {
        type(shown->filter, sizeof shown->filter, key);
    }
}

static void type_agent(struct as_top_view *view, int key)
{
    if (is_enter(key))
        open_subject(view, AS_TOP_AGENT, view->typed);
    if (is_enter(key) || key == AS_TOP_KEY_ESCAPE)
        view->mode = AS_TOP_BROWSE;
    else
        type(view->typed, sizeof view->typed, key);
}

/* ---- Browsing ------------------------------------------------------------------------------- */

/* Moves by so many rows, or lines of a text. What is beyond the end is put right by drawing. */
static void move(struct as_top_view *view, long by)
{
    struct as_top_shown *shown = &view->tables[view->table];
    bool text = view->subject != AS_TOP_NOTHING || view->mode == AS_TOP_HELP;
    size_t *at = text ? &view->first_line : &shown->row;
    if (by < 0)
        *at -= *at < (size_t) -by ? *at : (size_t) -by;
    else
        *at += (size_t) by;
    shown->moved |= !text;
}

static bool move_by_key(struct as_top_view *view, int key)
{
    long page = view->height > 1 ? (long) view->height - 1 : 1;
    switch (key) {
    case AS_TOP_KEY_UP:
    case 'k': move(view, -1); break;
    case AS_TOP_KEY_DOWN:
    case 'j': move(view, 1); break;
    case AS_TOP_KEY_PAGE_UP: move(view, -page); break;
    case AS_TOP_KEY_PAGE_DOWN: move(view, page); break;
    case AS_TOP_KEY_HOME:
    case 'g': move(view, -1000000000); break;
    case AS_TOP_KEY_END:
    case 'G': move(view, 1000000000); break;
    default: return false;
    }
    return true;
}

static void open_selected(struct as_top_view *view)
{
    const struct as_top_shown *shown = &view->tables[view->table];
    switch (view->table) {
    case AS_TOP_CALLS: open_subject(view, AS_TOP_AGENT, shown->agent); break;
    case AS_TOP_FAILURES: open_subject(view, AS_TOP_FAILURE, shown->key); break;
    case AS_TOP_WORKERS: open_subject(view, AS_TOP_WORKER, shown->key); break;
    case AS_TOP_LETTERS: open_subject(view, AS_TOP_LETTER, shown->key); break;
    case AS_TOP_METHODS: open_subject(view, AS_TOP_METHOD, shown->key); break;
    }
}

/* Goes back by one step: from a subject, else from a filter. */
static void go_back(struct as_top_view *view)
{
    if (view->subject != AS_TOP_NOTHING)
        view->subject = AS_TOP_NOTHING;
    else
        *view->tables[view->table].filter = '\0';
}

static void sort_by(struct as_top_view *view, bool next)
{
    struct as_top_shown *shown = &view->tables[view->table];
    size_t n = shown->n_columns ? shown->n_columns : 1;
    shown->sort = (shown->sort + (next ? 1 : n - 1)) % n;
    shown->reverse = false;
}

static void go_to_table(struct as_top_view *view, size_t table)
{
    view->table = (enum as_top_table)(table % AS_TOP_TABLES);
    view->subject = AS_TOP_NOTHING;
}

static void browse(struct as_top_view *view, int key)
{
    if (move_by_key(view, key))
        return;
    if (is_enter(key)) {
        if (view->subject == AS_TOP_NOTHING)
            open_selected(view);
        else if (view->subject == AS_TOP_FAILURE)
            open_subject(view, AS_TOP_AGENT, view->tables[AS_TOP_FAILURES].agent);
        return;
    }
    switch (key) {
    case '1':
    case '2':
    case '3':
    case '4':
    case '5': go_to_table(view, (size_t) (key - '1')); break;
    case '\t':
    case AS_TOP_KEY_RIGHT: go_to_table(view, view->table + 1); break;
    case AS_TOP_KEY_LEFT: go_to_table(view, view->table + AS_TOP_TABLES - 1); break;
    case AS_TOP_KEY_ESCAPE:
    case AS_TOP_KEY_BACKSPACE:
    case 127:
    case 8: go_back(view); break;
    case 's':
    case '>': sort_by(view, true); break;
    case 'S':
    case '<': sort_by(view, false); break;
    case 'r': view->tables[view->table].reverse = !view->tables[view->table].reverse; break;
    case 'w': view->window = (view->window + 1) % WINDOWS; break;
    case ' ': view->paused = !view->paused; break;
    case '/':
        view->subject = AS_TOP_NOTHING;
        view->mode = AS_TOP_TYPE_FILTER;
        break;
    case 'a':
        *view->typed = '\0';
        view->mode = AS_TOP_TYPE_AGENT;
        break;
    case '?':
    case 'h':
        view->mode = AS_TOP_HELP;
        view->first_line = 0;
        break;
    default: break;
    }
}

bool as_top_view_key(struct as_top_view *view, int key)
{
    switch (view->mode) {
    case AS_TOP_TYPE_FILTER: type_filter(view, key); return true;
    case AS_TOP_TYPE_AGENT: type_agent(view, key); return true;
    case AS_TOP_HELP:
        if (move_by_key(view, key))
            return true;
        view->first_line = 0;
        view->mode = AS_TOP_BROWSE;
        return key != 'q';
    case AS_TOP_BROWSE: break;
    }
    if (key == 'q')
        return false;
    browse(view, key);
    return true;
}
