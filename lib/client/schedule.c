/*
 * schedule.c: timers of agents, for programs and methods: setting and removing one is a job to the
 * agent, in the order of its calls. schedule_list.c lists them.
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "asqueue.h"
#include "client/handle.h"
#include "client/remote.h"
#include "value/msg.h"
#include "value/sized_options.h"
#include "value/timer_spec.h"
#include "value/value.h"

/* Submits a job about a timer, and waits for it. */
static int ask(asq_agent *a, Asqueue__JobKind kind, const char *name, const asq_value *args)
{
    struct asq__job job = {
        .kind = kind, .agent = a->id, .class_name = a->class_name, .method = name, .args = args
    };
    asq_result *r;
    char why[300];
    int rc = asq__check_name("timer", name, why, sizeof why);
    if (rc < 0)
        return asq__fail(a->h, rc, "%s", why);
    if ((rc = asq__call_job(a->h, &job, &r)) < 0)
        return rc;
    rc = asq_result_wait(r, a->h->timeout_ms);
    asq_result_free(r);
    return rc;
}

static int take_timer(asq *h, const asq_timer *given, asq_timer *ret)
{
    char why[300];
    *ret = (asq_timer) ASQ_TIMER_INIT;
    int rc = asq__sized_options_take(ret, sizeof *ret, given, "ASQ_TIMER_INIT", why, sizeof why);
    return rc < 0 ? asq__fail(h, rc, "asq_schedule: %s", why) : 0;
}

int asq_schedulev(asq_agent *agent, const char *name, const asq_timer *given, const char *method,
                  asq_value *args)
{
    if (!agent || !name || !given || !method) {
        asq_value_free(args);
        return asq__null(agent ? agent->h : NULL, "asq_schedulev");
    }
    asq *h = agent->h;
    asq_timer timer;
    struct asq__timer_spec spec;
    char why[400];
    int rc = take_timer(h, given, &timer);
    if (rc < 0) {
        asq_value_free(args);
        return rc;
    }
    asq_value *map = asq__timer_spec_map(&timer, method, args);
    if (!map)
        return asq__fail_memory(h);
    rc = asq__timer_spec_read(map, &spec, why, sizeof why);
    rc = rc < 0 ? asq__fail(h, rc, "timer '%.100s': %s", name, why)
                : ask(agent, ASQUEUE__JOB_KIND__SCHEDULE, name, map);
    asq_value_free(map);
    return rc;
}

int asq_schedule(asq_agent *agent, const char *name, const asq_timer *timer, const char *method,
                 const char *fmt, ...)
{
    if (!agent || !name || !timer || !method)
        return asq__null(agent ? agent->h : NULL, "asq_schedule");
    asq_value *args = NULL;
    char why[200];
    va_list ap;
    int rc = 0;
    if (fmt) {
        va_start(ap, fmt);
        rc = asq_vpack(&args, why, sizeof why, fmt, ap);
        va_end(ap);
    }
    return rc < 0 ? asq__fail(agent->h, rc, "the arguments \"%s\": %s", fmt, why)
                  : asq_schedulev(agent, name, timer, method, args);
}

int asq_unschedule(asq_agent *agent, const char *name)
{
    if (!agent || !name)
        return asq__null(agent ? agent->h : NULL, "asq_unschedule");
    return ask(agent, ASQUEUE__JOB_KIND__UNSCHEDULE, name, NULL);
}
