/*
 * draw_header.c: the first lines of as-ctl top: totals and rates, and whether Redis answers. An
 * item that has no room in its line is left out.
 */
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "deaths.h"
#include "top/view.h"

enum { LATE_MS = 6000, OLD_MS = 5000, RECENT_MS = 600000 };

static void put_item(struct as_top_page *page, unsigned row, enum as_top_style style,
                     const char *fmt, ...) ASQ_PRINTF(4, 5);
static void put_item(struct as_top_page *page, unsigned row, enum as_top_style style,
                     const char *fmt, ...)
{
    char text[300] = "  ";
    bool first = row < page->rows && page->lines[row].used == 0;
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text + 2, sizeof text - 2, fmt, ap);
    va_end(ap);
    as_top_put_whole(page, row, style, first ? text + 2 : text);
}

static void put_title(const struct as_top_view *view, const struct as_top_frame *frame,
                      struct as_top_page *page)
{
    char clock[32] = "";
    time_t seconds = frame ? (time_t) (frame->time_ms / 1000) : 0;
    struct tm tm;
    if (frame && localtime_r(&seconds, &tm))
        strftime(clock, sizeof clock, "%H:%M:%S", &tm);
    as_top_put(page, 0, AS_TOP_BAR, "as-ctl top  ");
    as_top_put_cell(page, 0, AS_TOP_BAR, view->ns, as_top_width(view->ns, 24, page->utf8), false);
    put_item(page, 0, AS_TOP_BAR, "%s", clock);
    if (view->paused)
        put_item(page, 0, AS_TOP_BAR, "PAUSED");
    else if (view->interval_ms % 1000)
        put_item(page, 0, AS_TOP_BAR, "every %lld ms", (long long) view->interval_ms);
    else
        put_item(page, 0, AS_TOP_BAR, "every %lld s", (long long) view->interval_ms / 1000);
    put_item(page, 0, AS_TOP_BAR, "figures of the last %s", as_top_view_window(view));
    as_top_fill(page, 0, AS_TOP_BAR);
}

/* Tells that Redis does not answer. */
static bool put_trouble(const struct as_top_view *view, const struct as_top_status *status,
                        struct as_top_page *page, unsigned row)
{
    char age[32];
    int64_t silent_ms = status->now_ms - status->answered_ms;
    if (!*status->error &&
        (view->paused || !status->answered_ms || silent_ms < LATE_MS + 2 * view->interval_ms))
        return false;
    if (status->answered_ms)
        as_top_putf(page, row, AS_TOP_BAD, "These figures are %s old: %s",
                    as_top_short_ms((double) silent_ms, age),
                    *status->error ? status->error
                    : status->busy ? "reading the calls that wait"
                                   : "Redis has not answered yet");
    else
        as_top_putf(page, row, AS_TOP_BAD, "Nothing was read yet: %s", status->error);
    return true;
}

static void put_rates(const struct as_top_frame *frame, struct as_top_page *page, unsigned row)
{
    const asq_value *total = asq_map_get(frame->stats, "total");
    const asq_value *run = asq_map_get(total, "run"), *queue = asq_map_get(total, "queue");
    char a[32], b[32];
    double failed = as_top_number(total, "failed"), calls = as_top_number(total, "calls");
    if (isnan(calls)) {
        put_item(page, row, AS_TOP_WARN, "no figures of calls: the workers keep none");
        return;
    }
    put_item(page, row, AS_TOP_BOLD, "calls %s/s",
             as_top_short_number(as_top_number(total, "rate"), a));
    put_item(page, row, failed > 0 ? AS_TOP_BAD : AS_TOP_PLAIN, "failed %s",
             as_top_short_number(failed, a));
    put_item(page, row, AS_TOP_PLAIN, "run p50 %s p99 %s",
             as_top_short_ms(as_top_number(run, "p50_ms"), a),
             as_top_short_ms(as_top_number(run, "p99_ms"), b));
    put_item(page, row, AS_TOP_PLAIN, "queue p50 %s p99 %s",
             as_top_short_ms(as_top_number(queue, "p50_ms"), a),
             as_top_short_ms(as_top_number(queue, "p99_ms"), b));
    put_item(page, row, AS_TOP_PLAIN, "commit p99 %s",
             as_top_short_ms(as_top_number(asq_map_get(total, "commit"), "p99_ms"), a));
}

/* Returns the age of the oldest call of a state; below 0: there is none. */
static double oldest(const struct as_top_frame *frame, const char *state, int64_t passed_ms)
{
    double found = -1;
    for (size_t i = 0; i < asq_list_size(frame->calls); i++) {
        const asq_value *call = asq_list_get(frame->calls, i);
        double age = as_top_number(call, "age_ms") + (double) passed_ms;
        if (strcmp(asq_map_string(call, "state"), state) == 0 && age > found)
            found = age;
    }
    return found;
}

static void put_calls(const struct as_top_frame *frame, int64_t now_ms, struct as_top_page *page,
                      unsigned row)
{
    const asq_value *now = asq_map_get(frame->stats, "now");
    int64_t passed_ms = now_ms - frame->queued_ms;
    double waiting = (double) frame->n_calls[2], age = oldest(frame, "waiting", passed_ms);
    char a[32], b[32];
    /* The streams are read seldom when much stands in them; workers know what they have read. */
    if (passed_ms > OLD_MS && as_top_number(now, "waiting") >= 0) {
        waiting = as_top_number(now, "waiting");
        age = waiting > 0 ? as_top_number(now, "oldest_waiting_ms") : -1;
    }
    put_item(page, row, AS_TOP_BOLD, "running %s",
             as_top_short_number((double) frame->n_calls[0], a));
    put_item(page, row, AS_TOP_PLAIN, "parked %s",
             as_top_short_number((double) frame->n_calls[1], a));
    if (age >= 0)
        put_item(page, row, age >= AS_TOP_STUCK_MS ? AS_TOP_WARN : AS_TOP_PLAIN,
                 "waiting %s, the oldest for %s", as_top_short_number(waiting, a),
                 as_top_short_ms(age, b));
    else
        put_item(page, row, AS_TOP_PLAIN, "waiting %s", as_top_short_number(waiting, a));
    if (frame->n_calls[4])
        put_item(page, row, AS_TOP_WARN, "retrying %s",
                 as_top_short_number((double) frame->n_calls[4], a));
    if (frame->n_calls[3])
        put_item(page, row, AS_TOP_PLAIN, "delayed %s",
                 as_top_short_number((double) frame->n_calls[3], a));
    if (as_top_number(now, "backlog") > 0)
        put_item(page, row, AS_TOP_PLAIN, "left in the streams %s",
                 as_top_short_number(as_top_number(now, "backlog"), a));
}

/* Tells what is paused: the namespace, a class, or how many of them. */
static void put_paused(const asq_value *paused, struct as_top_page *page, unsigned row)
{
    size_t n = asq_list_size(paused);
    const asq_value *first = asq_list_get(paused, 0);
    if (n && asq_value_type(asq_map_get(first, "class")) == ASQ_NULL)
        put_item(page, row, AS_TOP_WARN, "PAUSED: the namespace");
    else if (n == 1)
        put_item(page, row, AS_TOP_WARN, "PAUSED: class %s", asq_map_string(first, "class"));
    else if (n)
        put_item(page, row, AS_TOP_WARN, "PAUSED: %zu classes", n);
}

/* Tells of workers that there were, of which Redis may have no more than their number. */
static void put_most_workers(const struct as_top_frame *frame, size_t alive,
                             struct as_top_page *page, unsigned row)
{
    char clock[32] = "";
    time_t seconds = (time_t) (frame->history.most_ms / 1000);
    struct tm tm;
    if (frame->history.most_workers <= alive || !localtime_r(&seconds, &tm))
        return;
    strftime(clock, sizeof clock, "%H:%M", &tm);
    put_item(page, row, AS_TOP_WARN, "there were %zu until %s", frame->history.most_workers, clock);
}

static void put_processes(const struct as_top_frame *frame, struct as_top_page *page, unsigned row)
{
    const asq_value *now = asq_map_get(frame->stats, "now");
    size_t alive = 0, dead = 0, restarted = 0, letters = asq_list_size(frame->letters);
    char a[32], b[32];
    for (size_t i = 0; i < asq_list_size(frame->workers); i++) {
        const asq_value *worker = asq_list_get(frame->workers, i);
        const char *became = asq_map_string(worker, "became");
        bool is_alive = asq_map_bool(worker, "alive");
        alive += is_alive;
        restarted += is_alive && *became;
        dead += !is_alive && strcmp(became, "left") != 0;
    }
    put_paused(frame->paused, page, row);
    put_item(page, row, alive ? AS_TOP_BOLD : AS_TOP_BAD, "workers %zu alive", alive);
    put_most_workers(frame, alive, page, row);
    if (dead)
        put_item(page, row, AS_TOP_BAD, "%zu dead", dead);
    if (restarted)
        put_item(page, row, AS_TOP_WARN, "%zu restarted", restarted);
    if (letters)
        put_item(page, row, AS_TOP_BAD, "dead letters %zu%s", letters,
                 frame->more_letters ? " and more" : "");
    /* Without a process that tells them, gauges are 0, which would say too much. */
    if (!(as_top_number(now, "processes") > 0))
        return;
    if (as_top_number(now, "agents") >= 0)
        put_item(page, row, AS_TOP_PLAIN, "agents in memory %s, %sB",
                 as_top_short_number(as_top_number(now, "agents"), a),
                 as_top_short_number(as_top_number(now, "agent_bytes"), b));
    if (as_top_number(now, "commits_in_flight") >= 0)
        put_item(page, row, AS_TOP_PLAIN, "commits under way %s",
                 as_top_short_number(as_top_number(now, "commits_in_flight"), a));
    if (as_top_number(now, "round_trip_ms") >= 0)
        put_item(page, row, AS_TOP_PLAIN, "Redis %s",
                 as_top_short_ms(as_top_number(now, "round_trip_ms"), a));
}

/* Tells of the last death, also of one before this program began. */
static bool put_death(const struct as_top_frame *frame, int64_t passed_ms, struct as_top_page *page,
                      unsigned row)
{
    const asq_value *death = asq_list_get(frame->deaths, 0);
    double age = (double) (frame->time_ms + passed_ms) - as_top_number(death, "time_ms");
    char ago[32], how[200], heirs[1000];
    if (!death)
        return false;
    as_death_how(death, how, sizeof how);
    as_death_heirs(death, heirs, sizeof heirs);
    put_item(page, row, age < RECENT_MS ? AS_TOP_BAD : AS_TOP_PLAIN, "%s died %s ago: %s",
             asq_map_string(death, "id"), as_top_short_ms(age, ago), how);
    if (*heirs)
        put_item(page, row, AS_TOP_PLAIN, "its partitions went to %.200s", heirs);
    if (asq_list_size(frame->deaths) > 1)
        put_item(page, row, AS_TOP_PLAIN, "%zu more in 24 h: as-ctl workers --dead",
                 asq_list_size(frame->deaths) - 1);
    return true;
}

unsigned as_top_draw_header(const struct as_top_view *view, const struct as_top_frame *frame,
                            const struct as_top_status *status, struct as_top_page *page)
{
    unsigned row = 1;
    put_title(view, frame, page);
    row += put_trouble(view, status, page, row);
    if (frame && *frame->note)
        as_top_put(page, row++, AS_TOP_WARN, frame->note);
    if (frame) {
        put_rates(frame, page, row++);
        put_calls(frame, status->now_ms, page, row++);
        put_processes(frame, page, row++);
        row += put_death(frame, status->now_ms - frame->read_ms, page, row);
    }
    return row;
}
