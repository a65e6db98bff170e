/*
 * view.h: what as-ctl top shows at the moment, and how keys change it. It knows no terminal: keys
 * come as numbers, and draw.c lays out a page.
 *
 *     tables ──Enter──▶ a method, an agent, a worker, a failure, a dead letter
 *            ◀──Esc───
 *     any ──?──▶ help; ──/──▶ a filter is typed; ──a──▶ an agent's id is typed
 */
#ifndef ASQ_SRC_TOP_VIEW_H
#define ASQ_SRC_TOP_VIEW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "top/frame.h"
#include "top/page.h"
#include "top/tables.h"

/* Keys are bytes of UTF-8, or one of these. */
enum as_top_key {
    AS_TOP_KEY_ESCAPE = 27,
    AS_TOP_KEY_UP = 0x1000,
    AS_TOP_KEY_DOWN,
    AS_TOP_KEY_LEFT,
    AS_TOP_KEY_RIGHT,
    AS_TOP_KEY_PAGE_UP,
    AS_TOP_KEY_PAGE_DOWN,
    AS_TOP_KEY_HOME,
    AS_TOP_KEY_END,
    AS_TOP_KEY_ENTER,
    AS_TOP_KEY_BACKSPACE
};

enum as_top_mode { AS_TOP_BROWSE, AS_TOP_TYPE_FILTER, AS_TOP_TYPE_AGENT, AS_TOP_HELP };

struct as_top_view {
    const char *ns;
    int64_t interval_ms;
    enum as_top_mode mode;
    enum as_top_table table;
    struct as_top_shown {
        size_t sort; /* column */
        bool reverse;
        char filter[ASQ_MAX_ID + 1];
        size_t row, first;            /* selected, and first one shown */
        bool moved;                   /* `row` is new; else the row with the key stays selected */
        char key[2 * ASQ_MAX_ID + 4]; /* of the selected row; "": none */
        char agent[ASQ_MAX_ID + 1];   /* of the selected row; "": none */
        size_t n_columns;             /* of the last drawing */
    } tables[AS_TOP_TABLES];
    unsigned height; /* of the table in the last drawing: a page of PgUp */
    enum as_top_subject subject;
    char id[ASQ_MAX_ID + 1];
    size_t first_line; /* of the subject, or of the help */
    char typed[ASQ_MAX_ID + 1];
    size_t window; /* index of the time that stats are about */
    bool paused;
};

/* What is known of the reading. */
struct as_top_status {
    int64_t now_ms;      /* monotonic */
    int64_t answered_ms; /* when the last frame was complete; 0: there was none */
    const char *error;   /* why the last reading has failed; "" */
    bool busy;           /* the calls that wait are being read, which takes its time */
};

void as_top_view_init(struct as_top_view *view, const char *ns, int64_t interval_ms);
/* Acts on a key. False: the program is to end. */
bool as_top_view_key(struct as_top_view *view, int key);
/* Tells what is to be read for the view. */
struct as_top_wish as_top_view_wish(const struct as_top_view *view);
/* Returns the name of the time that stats are about: "60 s". */
const char *as_top_view_window(const struct as_top_view *view);

/* draw.c: lays out the page; notes in the view which rows are selected. frame NULL: nothing was
 * read yet. ASQ_ENOMEM: the page is incomplete. */
int as_top_draw(struct as_top_view *view, const struct as_top_frame *frame,
                const struct as_top_status *status, struct as_top_page *page);
/* draw_header.c: the first lines; returns how many. */
unsigned as_top_draw_header(const struct as_top_view *view, const struct as_top_frame *frame,
                            const struct as_top_status *status, struct as_top_page *page);
/* draw_subject.c: an agent, a worker or a letter, in the rows from `row` to before `end`. */
int as_top_draw_subject(struct as_top_view *view, const struct as_top_frame *frame, int64_t now_ms,
                        struct as_top_page *page, unsigned row, unsigned end);

#endif
