/*
 * ctl_schedule.c: as-ctl's commands schedule, schedules, unschedule: timers of agents.
 */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "asqueue.h"
#include "ctl.h"
#include "options.h"
#include "output.h"
#include "program.h"

int as_ctl_option_at(const struct as_option *o, void *settings, const char *text, char *err,
                     size_t errlen)
{
    int64_t *to = (int64_t *) (void *) ((char *) settings + o->offset);
    char why[200];
    if (strchr(text, '-')) {
        if (as_ctl_read_time(text, to) && *to > 0)
            return 0;
        snprintf(err, errlen,
                 "'%.80s' is no time: give a date, as 2026-11-23T16:24, or how long from now, as "
                 "10m",
                 text);
        return ASQ_EINVAL;
    }
    int rc = as_option_ms(o, settings, text, why, sizeof why);
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (rc < 0)
        snprintf(err, errlen, "%s", why);
    else
        *to += (int64_t) now.tv_sec * 1000 + now.tv_nsec / 1000000;
    return rc;
}

struct schedule {
    asq_timer timer;
    const char *name, *method;
    asq_value *args; /* until they are given away */
};

static int schedule(struct as_ctl *ctl, asq_agent *agent, void *user)
{
    struct schedule *s = user;
    asq_value *args = s->args;
    s->args = NULL;
    return as_ctl_outcome(ctl, asq_schedulev(agent, s->name, &s->timer, s->method, args));
}

int as_ctl_schedule(void *program, int argc, char **argv)
{
    struct as_ctl *ctl = program;
    asq_timer timer = ASQ_TIMER_INIT;
    timer.every_ms = ctl->settings.every_ms;
    timer.at_ms = ctl->settings.at_ms;
    timer.cron = ctl->settings.cron;
    timer.zone = ctl->settings.zone;
    timer.overlap = (asq_overlap) ctl->settings.overlap;
    timer.missed = (asq_missed) ctl->settings.missed;
    if ((timer.every_ms != 0) + (timer.at_ms != 0) + (timer.cron != NULL) != 1)
        return as_program_usage(&ctl->base, "'schedule' needs one of --every, --at and --cron");
    if (timer.zone && !timer.cron)
        return as_program_usage(&ctl->base, "--zone is for --cron");
    struct schedule s = { .timer = timer, .name = argv[1], .method = argv[2] };
    int status = as_ctl_args(ctl, argc > 3 ? argv[3] : NULL, &s.args);
    if (status == AS_EXIT_OK)
        status = as_ctl_with_agent(ctl, argv[0], schedule, &s);
    asq_value_free(s.args);
    return status;
}

static int unschedule(struct as_ctl *ctl, asq_agent *agent, void *user)
{
    return as_ctl_outcome(ctl, asq_unschedule(agent, user));
}

int as_ctl_unschedule(void *program, int argc, char **argv)
{
    (void) argc;
    return as_ctl_with_agent(program, argv[0], unschedule, argv[1]);
}

/* ---- schedules ------------------------------------------------------------------------------ */

/* Returns when it fires, as words. NULL: no memory. */
static char *when(const asq_value *timer)
{
    int64_t every_ms = asq_map_int(timer, "every_ms");
    const char *zone = asq_map_string(timer, "zone");
    char *text;
    int n = every_ms ? every_ms % 1000 ? asprintf(&text, "every %lldms", (long long) every_ms)
                                       : asprintf(&text, "every %llds", (long long) every_ms / 1000)
            : asq_map_int(timer, "at_ms")
                ? asprintf(&text, "once")
                : asprintf(&text, "%s %s", asq_map_string(timer, "cron"), *zone ? zone : "UTC");
    return n < 0 ? NULL : text;
}

static char *time_of(const asq_value *timer, const char *key)
{
    int64_t ms = asq_map_int(timer, key);
    return ms ? as_ctl_time_text(ms) : strdup("-");
}

static int print_timers(struct as_ctl *ctl, const asq_value *list)
{
    static const struct as_column columns[] = { { "AGENT", false }, { "TIMER", false },
                                                { "NEXT", false },  { "LAST", false },
                                                { "FIRED", true },  { "METHOD", false },
                                                { "WHEN", false } };
    struct as_table *t = as_table_new(columns, sizeof columns / sizeof *columns);
    for (size_t i = 0; i < asq_list_size(list); i++) {
        const asq_value *timer = asq_list_get(list, i);
        as_table_add(t, as_word(asq_map_get(timer, "agent")));
        as_table_add(t, as_word(asq_map_get(timer, "name")));
        as_table_add(t, time_of(timer, "next_ms"));
        as_table_add(t, time_of(timer, "last_ms"));
        as_table_add(t, as_word(asq_map_get(timer, "fired")));
        as_table_add(t, as_word(asq_map_get(timer, "method")));
        as_table_add(t, when(timer));
    }
    return as_table_print(t, &ctl->base.who);
}

int as_ctl_schedules(void *program, int argc, char **argv)
{
    struct as_ctl *ctl = program;
    asq_value *list;
    int status = as_ctl_open(ctl);
    if (status != AS_EXIT_OK)
        return status;
    as_ctl_limit_timeout(ctl);
    status = as_ctl_outcome(ctl, asq_schedules(ctl->h, argc ? argv[0] : NULL, &list));
    if (status != AS_EXIT_OK)
        return status;
    if (ctl->base.who.json)
        status = as_ctl_print(ctl, list);
    else if (asq_list_size(list) == 0)
        as_note(&ctl->base.who, "no timers%s%s in namespace '%s'", argc ? " of agent " : "",
                argc ? argv[0] : "", asq_namespace(ctl->h));
    else
        status = print_timers(ctl, list);
    asq_value_free(list);
    return status;
}
