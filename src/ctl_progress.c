/*
 * ctl_progress.c: what a call emits while it runs (--progress), for as-ctl's commands call and
 * result: values line by line on standard output, or a bar on standard error, if that is a
 * terminal, for values that say which share of the work is done.
 */
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <unistd.h>

#include "asqueue.h"
#include "bar.h"
#include "ctl.h"
#include "output.h"

/* ---- the bar ---- */

static void draw(double share)
{
    char text[AS_BAR_TEXT];
    fprintf(stderr, "\r%s", as_bar(share, AS_BAR_MAX, text));
    fflush(stderr);
}

/* Makes room for other output in the bar's line. */
static void hide(const struct as_ctl *ctl)
{
    if (ctl->progress.bar)
        fputs("\r\033[K", stderr);
}

static void show_again(const struct as_ctl *ctl)
{
    fflush(stdout);
    if (ctl->progress.bar)
        draw(ctl->progress.share);
}

/* Returns whether a value moves the bar. */
static bool is_share(const struct as_ctl *ctl, const asq_value *v, double *ret)
{
    return !ctl->base.who.json && isatty(STDERR_FILENO) && as_bar_share(v, ctl->progress.bar, ret);
}

void as_ctl_end_progress(struct as_ctl *ctl)
{
    if (ctl->progress.bar)
        putc('\n', stderr);
    ctl->progress.bar = false;
}

/* ---- what is told ---- */

/* Prints {key: value} with --json. */
static int print_as(struct as_ctl *ctl, const char *key, const asq_value *v)
{
    return as_print_json_own(&ctl->base.who, asq_pack("{s:O}", key, v));
}

static int print_value(struct as_ctl *ctl, const asq_value *v)
{
    double share;
    if (is_share(ctl, v, &share)) {
        draw(share);
        ctl->progress.bar = true;
        ctl->progress.share = share;
        return AS_EXIT_OK;
    }
    hide(ctl);
    int status =
        ctl->base.who.json ? print_as(ctl, "emitted", v) : as_print_json(&ctl->base.who, v, false);
    show_again(ctl);
    return status;
}

static int print_again(struct as_ctl *ctl)
{
    int status = AS_EXIT_OK;
    hide(ctl);
    if (ctl->base.who.json)
        status = as_print_json_own(&ctl->base.who, asq_pack("{s:b}", "again", true));
    else
        as_note(&ctl->base.who, "the call runs again: what it has emitted so far is void");
    ctl->progress.share = 0;
    show_again(ctl);
    return status;
}

static int print_missed(struct as_ctl *ctl, const asq_value *n)
{
    int status = AS_EXIT_OK;
    int64_t number = 0;
    hide(ctl);
    asq_value_get_int(n, &number);
    if (ctl->base.who.json)
        status = print_as(ctl, "missed", n);
    else
        as_note(&ctl->base.who, "%lld value%s not kept any more", (long long) number,
                number == 1 ? " is" : "s are");
    show_again(ctl);
    return status;
}

static void on_emit(asq_result *r, int what, const asq_value *value, void *user)
{
    struct as_ctl *ctl = user;
    int status = AS_EXIT_OK;
    (void) r;
    switch (what) {
    case ASQ_NEXT_VALUE: status = print_value(ctl, value); break;
    case ASQ_NEXT_AGAIN: status = print_again(ctl); break;
    case ASQ_NEXT_MISSED: status = print_missed(ctl, value); break;
    case ASQ_NEXT_END: break;
    default: /* the result comes all the same */
        as_ctl_end_progress(ctl);
        status = as_ctl_failed(ctl);
    }
    if (ctl->progress.status == AS_EXIT_OK)
        ctl->progress.status = status;
}

int as_ctl_watch(struct as_ctl *ctl, asq_result *r)
{
    return as_ctl_outcome(ctl, asq_result_on_emit(r, on_emit, ctl));
}

int as_ctl_print_result(struct as_ctl *ctl, const asq_value *v)
{
    bool named = ctl->settings.progress && ctl->base.who.json;
    int status = named ? print_as(ctl, "result", v) : as_ctl_print(ctl, v);
    return status == AS_EXIT_OK ? ctl->progress.status : status;
}
