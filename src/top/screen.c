/*
 * screen.c: see screen.h.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <langinfo.h>
#include <locale.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <curses.h>

#include "program.h"
#include "top/screen.h"

enum { TICK_MS = 1000, ESCAPE_MS = 25, CTRL_L = 12 };

/* ---- Signals -------------------------------------------------------------------------------- */

/* Signals arrive only while keys are waited for, so that none is missed. */
static volatile sig_atomic_t ended, resized;

static void on_end(int number)
{
    ended = number;
}

static void on_resize(int number)
{
    (void) number;
    resized = 1;
}

static const int ending[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT };
enum { ENDING = sizeof ending / sizeof ending[0] };

struct signals {
    struct sigaction old[ENDING], old_resize;
    sigset_t old_mask;
};

static void catch_signals(struct signals *s)
{
    struct sigaction end = { .sa_handler = on_end }, resize = { .sa_handler = on_resize };
    sigset_t mask;
    sigemptyset(&mask);
    sigaddset(&mask, SIGWINCH);
    for (size_t i = 0; i < ENDING; i++)
        sigaddset(&mask, ending[i]);
    ended = resized = 0;
    pthread_sigmask(SIG_BLOCK, &mask, &s->old_mask);
    for (size_t i = 0; i < ENDING; i++)
        sigaction(ending[i], &end, &s->old[i]);
    sigaction(SIGWINCH, &resize, &s->old_resize); /* before ncurses, which then has none */
}

static void restore_signals(const struct signals *s)
{
    for (size_t i = 0; i < ENDING; i++)
        sigaction(ending[i], &s->old[i], NULL);
    sigaction(SIGWINCH, &s->old_resize, NULL);
    pthread_sigmask(SIG_SETMASK, &s->old_mask, NULL);
}

/* ---- Painting ------------------------------------------------------------------------------- */

static attr_t attributes[AS_TOP_STYLES];

static void choose_attributes(void)
{
    const char *no_color = secure_getenv("NO_COLOR");
    attributes[AS_TOP_DIM] = A_DIM;
    attributes[AS_TOP_BOLD] = A_BOLD;
    attributes[AS_TOP_BAR] = A_REVERSE;
    attributes[AS_TOP_WARN] = A_BOLD;
    attributes[AS_TOP_BAD] = A_BOLD | A_UNDERLINE;
    if ((no_color && *no_color) || !has_colors() || start_color() == ERR)
        return;
    short background = use_default_colors() == OK ? -1 : COLOR_BLACK;
    init_pair(1, COLOR_YELLOW, background);
    init_pair(2, COLOR_RED, background);
    attributes[AS_TOP_WARN] = (attr_t) COLOR_PAIR(1);
    attributes[AS_TOP_BAD] = (attr_t) COLOR_PAIR(2) | A_BOLD;
}

static void paint(const struct as_top_page *page)
{
    erase();
    for (unsigned row = 0; row < page->rows; row++) {
        const struct as_top_line *line = &page->lines[row];
        size_t from = 0;
        move((int) row, 0);
        for (size_t i = 0; i < line->n_spans; i++) {
            const struct as_top_span *span = &line->spans[i];
            attr_set(attributes[span->style] & ~(attr_t) A_COLOR,
                     (short) PAIR_NUMBER(attributes[span->style]), NULL);
            if (line->selected)
                attr_on(A_REVERSE, NULL);
            addnstr(line->text + from, (int) (span->end - from));
            from = span->end;
        }
    }
    attr_set(A_NORMAL, 0, NULL);
    refresh();
}

/* ---- The loop ------------------------------------------------------------------------------- */

struct screen {
    struct as_top_view *view;
    struct as_top_live *live;
    struct as_top_frame *frame; /* that is shown, or NULL */
    struct as_top_news news;    /* without its frame */
    int64_t paused_ms;          /* the figures stay as they were then; 0: not paused */
    bool utf8;
};

static void take_news(struct screen *s)
{
    as_top_live_take(s->live, &s->news);
    if (!s->news.frame)
        return;
    if (s->paused_ms && s->frame) {
        as_top_frame_free(s->news.frame);
    } else {
        as_top_frame_free(s->frame);
        s->frame = s->news.frame;
    }
    s->news.frame = NULL;
}

static int show(struct screen *s)
{
    struct as_top_page page;
    int64_t now_ms = as_program_now_ms();
    if (!s->view->paused)
        s->paused_ms = 0;
    else if (!s->paused_ms)
        s->paused_ms = now_ms;
    struct as_top_status status = { .now_ms = s->paused_ms ? s->paused_ms : now_ms,
                                    .answered_ms = s->news.answered_ms,
                                    .error = s->paused_ms ? "" : s->news.error,
                                    .busy = s->news.busy };
    int rc = as_top_page_init(&page, (unsigned) LINES, (unsigned) COLS, s->utf8);
    if (rc < 0)
        return rc;
    /* Parts without memory are left out of this page; the next one may have them. */
    as_top_draw(s->view, s->frame, &status, &page);
    paint(&page);
    as_top_page_release(&page);
    return 0;
}

static void follow_size(void)
{
    struct winsize size;
    resized = 0;
    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_row && size.ws_col)
        resizeterm(size.ws_row, size.ws_col);
    clearok(curscr, TRUE);
}

static int translate(int key)
{
    static const struct {
        int curses, key;
    } keys[] = {
        { KEY_UP, AS_TOP_KEY_UP },         { KEY_DOWN, AS_TOP_KEY_DOWN },
        { KEY_LEFT, AS_TOP_KEY_LEFT },     { KEY_RIGHT, AS_TOP_KEY_RIGHT },
        { KEY_PPAGE, AS_TOP_KEY_PAGE_UP }, { KEY_NPAGE, AS_TOP_KEY_PAGE_DOWN },
        { KEY_HOME, AS_TOP_KEY_HOME },     { KEY_END, AS_TOP_KEY_END },
        { KEY_ENTER, AS_TOP_KEY_ENTER },   { KEY_BACKSPACE, AS_TOP_KEY_BACKSPACE },
    };
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++)
        if (key == keys[i].curses)
            return keys[i].key;
    return key < 0x100 ? key : 0;
}

/* Acts on the keys that were pressed, each on what is shown after the one before. */
static int read_keys(struct screen *s, bool *ret_end)
{
    int key, rc = 0;
    *ret_end = false;
    while (rc == 0 && !*ret_end && (key = getch()) != ERR) {
        if (key == CTRL_L)
            clearok(curscr, TRUE);
        else
            *ret_end = !as_top_view_key(s->view, translate(key));
        rc = show(s);
    }
    return rc;
}

/* Waits for a key, news, a signal or the next second. False: the terminal is gone. */
static bool wait_for_something(struct screen *s, bool *ret_key)
{
    struct pollfd fds[2] = { { .fd = STDIN_FILENO, .events = POLLIN },
                             { .fd = s->live->wake_fd, .events = POLLIN } };
    struct timespec tick = { TICK_MS / 1000, TICK_MS % 1000 * 1000000 };
    sigset_t none;
    sigemptyset(&none);
    *ret_key = false;
    int n = ppoll(fds, 2, &tick, &none);
    if (n < 0)
        return errno == EINTR;
    *ret_key = fds[0].revents & POLLIN;
    return !(fds[0].revents & (POLLHUP | POLLERR | POLLNVAL));
}

/* Returns whether the terminal is readable but has no bytes. Asked in this order, a key that is
 * pressed meanwhile is no end; nothing is read, so none is lost. */
static bool input_has_ended(void)
{
    struct pollfd fd = { .fd = STDIN_FILENO, .events = POLLIN };
    int n;
    return poll(&fd, 1, 0) > 0 && (ioctl(STDIN_FILENO, FIONREAD, &n) < 0 || n == 0);
}

static int run(struct screen *s)
{
    bool key, end = false;
    for (;;) {
        int rc = show(s);
        if (rc < 0)
            return rc;
        if (!wait_for_something(s, &key) && !ended)
            return ASQ_ECLOSED;
        if (ended)
            return 0;
        if (resized)
            follow_size();
        if (key && ((rc = read_keys(s, &end)) < 0 || end))
            return rc;
        if (key && input_has_ended())
            return ASQ_ECLOSED;
        struct as_top_wish wish = as_top_view_wish(s->view);
        as_top_live_wish(s->live, &wish);
        take_news(s);
    }
}

int as_top_screen_run(struct as_top_view *view, struct as_top_live *live,
                      const struct as_reporter *who, int *ret_signal)
{
    struct screen s = { .view = view, .live = live };
    struct signals signals;
    const char *term = secure_getenv("TERM");
    setlocale(LC_CTYPE, "");
    s.utf8 = strcmp(nl_langinfo(CODESET), "UTF-8") == 0;
    catch_signals(&signals);
    SCREEN *terminal = newterm(NULL, stdout, stdin);
    if (!terminal) {
        restore_signals(&signals);
        return as_report_code(who, ASQ_ENOTSUP, NULL,
                              "TERM=%.40s is no terminal that can be drawn on: use --batch N",
                              term ? term : "");
    }
    set_escdelay(ESCAPE_MS);
    cbreak();
    noecho();
    nonl();
    keypad(stdscr, TRUE);
    nodelay(stdscr, TRUE);
    curs_set(0);
    choose_attributes();
    int rc = run(&s);
    endwin();
    delscreen(terminal);
    restore_signals(&signals);
    as_top_frame_free(s.frame);
    *ret_signal = ended;
    if (rc == ASQ_ECLOSED)
        return as_report_code(who, rc, NULL, "the terminal is gone");
    return rc < 0 ? as_report_code(who, rc, NULL, "%s", asq_strerror(rc)) : AS_EXIT_OK;
}
