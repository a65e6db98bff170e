/*
 * ctl_top.c: as-ctl top: what runs in the deployment, in a terminal (top/screen.c), or as text or
 * JSON for scripts.
 */
#include <locale.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "ctl.h"
#include "output.h"
#include "program.h"
#include "top/live.h"
#include "top/read.h"
#include "top/screen.h"
#include "top/view.h"

enum {
    DEFAULT_INTERVAL_MS = 1000,
    TIMEOUT_MS = 5000, /* of each reading */
    BATCH_ROWS = 100,
    BATCH_COLS = 200
};

/* ---- Frames as text or JSON ----------------------------------------------------------------- */

/* Prints the lines of a page without the spaces at their ends. */
static void print_lines(const struct as_top_page *page, unsigned n)
{
    for (unsigned i = 0; i < n && i < page->rows; i++) {
        size_t end = page->lines[i].n;
        while (end && page->lines[i].text[end - 1] == ' ')
            end--;
        printf("%.*s\n", (int) end, page->lines[i].text);
    }
}

static int print_table(struct as_top_view *view, const struct as_top_frame *frame,
                       const struct as_top_status *status, enum as_top_table table)
{
    struct as_top_grid grid;
    struct as_top_page page;
    struct as_top_shown *shown = &view->tables[table];
    as_top_make_table(&grid, table, frame, status->now_ms);
    as_top_grid_sort(&grid, shown->sort, shown->reverse);
    unsigned rows = (unsigned) (grid.n < BATCH_ROWS ? grid.n : BATCH_ROWS) + 1;
    int rc = as_top_page_init(&page, rows, BATCH_COLS, true);
    if (rc == 0) {
        as_top_grid_draw(&grid, &page, 0, rows, 0, SIZE_MAX, shown->sort, shown->reverse);
        printf("\n%s\n", as_top_table_kinds[table].name);
        if (grid.n)
            print_lines(&page, rows);
        else
            puts(as_top_table_kinds[table].nothing);
        as_top_page_release(&page);
    }
    rc = grid.failed ? ASQ_ENOMEM : rc;
    as_top_grid_release(&grid);
    return rc;
}

/* Prints the header and all tables. */
static int print_text(struct as_top_view *view, const struct as_top_frame *frame)
{
    struct as_top_status status = { frame->read_ms, frame->read_ms, "", false };
    struct as_top_page page;
    int rc = as_top_page_init(&page, 7, BATCH_COLS, true);
    if (rc < 0)
        return rc;
    unsigned rows = as_top_draw_header(view, frame, &status, &page);
    print_lines(&page, rows);
    as_top_page_release(&page);
    for (int table = 0; rc == 0 && table < AS_TOP_TABLES; table++)
        rc = print_table(view, frame, &status, (enum as_top_table) table);
    return rc;
}

static int print_frame(struct as_ctl *ctl, struct as_top_view *view,
                       const struct as_top_frame *frame)
{
    if (ctl->base.who.json)
        return as_print_json_own(&ctl->base.who, as_top_frame_value(frame));
    return print_text(view, frame) < 0
               ? as_report_code(&ctl->base.who, ASQ_ENOMEM, NULL, "out of memory")
               : AS_EXIT_OK;
}

static int run_batch(struct as_ctl *ctl, struct as_top_view *view, uint32_t frames)
{
    struct as_top_reader reader = { .h = ctl->h, .interval_ms = view->interval_ms };
    struct as_top_wish wish = as_top_view_wish(view);
    int status = AS_EXIT_OK;
    wish.failures = true;
    for (uint32_t i = 0; status == AS_EXIT_OK && i < frames; i++) {
        struct as_top_frame *frame = NULL;
        struct timespec pause = { view->interval_ms / 1000, view->interval_ms % 1000 * 1000000 };
        if (i)
            nanosleep(&pause, NULL);
        if (i && !ctl->base.who.json)
            putchar('\n');
        int rc = as_top_queued_is_due(&reader) ? as_top_read_queued(&reader) : 0;
        if (rc == 0)
            rc = as_top_read(&reader, &wish, &frame);
        status = rc < 0 ? as_ctl_outcome(ctl, rc) : print_frame(ctl, view, frame);
        as_top_frame_free(frame);
        /* Flushes, so that the reader of a pipe has each frame when it is there. */
        if (status == AS_EXIT_OK && fflush(stdout) != 0)
            break;
    }
    as_top_reader_release(&reader);
    return status;
}

/* ---- The terminal --------------------------------------------------------------------------- */

#ifdef HAVE_NCURSES
static int run_terminal(struct as_ctl *ctl, struct as_top_view *view)
{
    struct as_top_wish wish = as_top_view_wish(view);
    struct as_top_live *live = calloc(1, sizeof *live);
    int number = 0;
    /* Messages of the library would stand in the middle of the page, which says the same. */
    ctl->base.who.quiet = true;
    int rc = live ? as_top_live_start(live, ctl->h, view->interval_ms, &wish) : ASQ_ENOMEM;
    if (rc < 0) {
        free(live);
        return as_report_code(&ctl->base.who, rc, NULL, "the thread that reads: %s",
                              asq_strerror(rc));
    }
    int status = as_top_screen_run(view, live, &ctl->base.who, &number);
    bool stopped = as_top_live_stop(live);
    if (number) {
        fflush(NULL);
        signal(number, SIG_DFL);
        raise(number);
    }
    if (!stopped) {
        fflush(NULL);
        _exit(status);
    }
    free(live);
    return status;
}

static int check_terminal(struct as_ctl *ctl)
{
    if (isatty(STDIN_FILENO) && isatty(STDOUT_FILENO))
        return AS_EXIT_OK;
    return as_program_usage(&ctl->base,
                            "standard %s is no terminal: use --batch N for N frames "
                            "as text, or --json",
                            isatty(STDOUT_FILENO) ? "input" : "output");
}
#else
static int run_terminal(struct as_ctl *ctl, struct as_top_view *view)
{
    (void) ctl, (void) view;
    return AS_EXIT_FAILED; /* check_terminal has refused */
}

static int check_terminal(struct as_ctl *ctl)
{
    return as_report_code(&ctl->base.who, ASQ_ENOTSUP, NULL,
                          "as-ctl was built without ncurses: top has --batch N for N frames as "
                          "text, and --json");
}
#endif

int as_ctl_top(void *program, int argc, char **argv)
{
    struct as_ctl *ctl = program;
    struct as_top_view view;
    uint32_t frames = ctl->settings.batch ? ctl->settings.batch : ctl->base.who.json;
    int status = frames ? AS_EXIT_OK : check_terminal(ctl);
    (void) argc, (void) argv;
    if (status != AS_EXIT_OK)
        return status;
    setlocale(LC_CTYPE, ""); /* for the widths of characters */
    if ((status = as_ctl_open(ctl)) != AS_EXIT_OK)
        return status;
    asq_set_timeout(ctl->h, ctl->settings.timeout_ms == ASQ_FOREVER ? TIMEOUT_MS
                                                                    : ctl->settings.timeout_ms);
    as_top_view_init(&view, asq_namespace(ctl->h),
                     ctl->settings.interval_ms ? ctl->settings.interval_ms : DEFAULT_INTERVAL_MS);
    return frames ? run_batch(ctl, &view, frames) : run_terminal(ctl, &view);
}
