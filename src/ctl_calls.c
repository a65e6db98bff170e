/*
 * ctl_calls.c: as-ctl calls: lists the calls that have not ended, with their ages and what they
 * wait for.
 */
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "asqueue.h"
#include "ctl.h"
#include "output.h"
#include "program.h"

enum { STATE_WIDTH = 8, AGE_WIDTH = 6, NAME_WIDTH = 24, AGENT_WIDTH = 24, CALL_WIDTH = 42 };

struct output {
    struct as_list list;
    bool doubtful;    /* a waiting call may run */
    asq_value *stats; /* of asq_stats; NULL: not known */
};

/* Returns how long calls of the method run at the median; below 0: it is not known. */
static double usual_ms(const asq_value *stats, const asq_value *call)
{
    const asq_value *methods = asq_map_get(stats, "methods");
    double ms = -1;
    for (size_t i = 0; i < asq_list_size(methods); i++) {
        const asq_value *m = asq_list_get(methods, i);
        if (strcmp(asq_map_string(m, "class"), asq_map_string(call, "class")) == 0 &&
            strcmp(asq_map_string(m, "method"), asq_map_string(call, "method")) == 0)
            asq_value_get_double(asq_map_get(asq_map_get(m, "run"), "p50_ms"), &ms);
    }
    return ms;
}

static void print_run(const asq_value *stats, const asq_value *call)
{
    const asq_value *ms = asq_map_get(call, "run_ms");
    double usual = usual_ms(stats, call);
    char text[32];
    as_duration(asq_map_int(call, ms ? "run_ms" : "age_ms"), text);
    printf("running for %s", text);
    if (usual >= 2)
        as_duration((int64_t) (usual + .5), text);
    else
        snprintf(text, sizeof text, "%.2f ms", usual);
    if (usual >= 0)
        printf(", median %s", text);
}

/* Prints the rest of the line: why the call runs no further. */
static void print_why(const asq_value *stats, const asq_value *call)
{
    const asq_value *due = asq_map_get(call, "due_ms");
    const char *why = asq_map_string(call, "why"), *state = asq_map_string(call, "state");
    long long runs = (long long) asq_map_int(call, "failed_runs");
    char when[32];
    if (runs)
        printf("failed %lld time%s%s", runs, runs == 1 ? "" : "s", due ? ", " : "");
    if (due) {
        as_duration(asq_map_int(call, "due_ms"), when);
        printf("due in %s", when);
    }
    if (due && strcmp(state, "retrying") == 0)
        why = ""; /* told already */
    else if (due && *why)
        printf(": ");
    if (strcmp(state, "running") == 0)
        print_run(stats, call);
    else if (asq_map_get(call, "behind"))
        printf("behind %s of its agent", asq_map_string(call, "behind"));
    else
        as_print_text(stdout, why, false);
    putchar('\n');
}

static void print_row(const asq_value *stats, const asq_value *call, bool first)
{
    char age[32], name[2 * ASQ_MAX_ID + 4];
    const char *class_name = asq_map_string(call, "class");
    if (first) {
        as_list_cell("STATE", STATE_WIDTH);
        as_list_cell("AGE", AGE_WIDTH);
        as_list_cell("METHOD", NAME_WIDTH);
        as_list_cell("AGENT", AGENT_WIDTH);
        as_list_cell("CALL", CALL_WIDTH);
        puts("WHY");
    }
    as_duration(asq_map_int(call, "age_ms"), age);
    snprintf(name, sizeof name, "%s%s%s", class_name, *class_name ? "." : "",
             asq_map_string(call, "method"));
    as_list_cell(asq_map_string(call, "state"), STATE_WIDTH);
    as_list_cell(age, AGE_WIDTH);
    as_list_cell(name, NAME_WIDTH);
    as_list_cell(asq_map_string(call, "agent"), AGENT_WIDTH);
    as_list_cell(asq_map_string(call, "id"), CALL_WIDTH);
    print_why(stats, call);
}

static int print_call(const asq_value *call, void *user)
{
    struct output *out = user;
    bool may_run = asq_map_bool(call, "may_run");
    out->doubtful |= may_run;
    int rc = as_list_row(&out->list, call);
    if (rc == 0 && !out->list.who->json)
        print_row(out->stats, call, out->list.n == 1);
    return rc;
}

/* Reads figures of the last hour, by which it is told what is usual. NULL: there are none, or this
 * user may not see them. */
static asq_value *read_stats(struct as_ctl *ctl)
{
    asq_stats_options options = ASQ_STATS_OPTIONS_INIT;
    asq_value *stats = NULL;
    options.last_ms = 3600000;
    options.class_name = ctl->settings.class_name;
    return asq_stats(ctl->h, &options, &stats) < 0 ? NULL : stats;
}

static unsigned wanted_states(const struct as_ctl *ctl)
{
    return (ctl->settings.running ? ASQ_CALLS_RUNNING : 0) |
           (ctl->settings.parked ? ASQ_CALLS_PARKED : 0) |
           (ctl->settings.waiting ? ASQ_CALLS_WAITING : 0) |
           (ctl->settings.delayed ? ASQ_CALLS_DELAYED : 0) |
           (ctl->settings.retrying ? ASQ_CALLS_RETRYING : 0);
}

static int count_calls(struct as_ctl *ctl)
{
    int64_t n;
    int rc = asq_calls_count(ctl->h, wanted_states(ctl), ctl->settings.agent,
                             ctl->settings.class_name, as_ctl_remaining_ms(ctl), &n);
    if (rc < 0)
        return as_ctl_outcome(ctl, rc);
    return as_ctl_print_count(ctl, n);
}

int as_ctl_calls(void *program, int argc, char **argv)
{
    struct as_ctl *ctl = program;
    const struct as_reporter *who = &ctl->base.who;
    struct output out = { .list = { .who = who, .limit = ctl->settings.limit } };
    (void) argc, (void) argv;
    if (ctl->settings.count && ctl->settings.limit)
        return as_program_usage(&ctl->base, "--count and --limit exclude each other");
    int status = as_ctl_open(ctl);
    if (status != AS_EXIT_OK)
        return status;
    if (ctl->settings.count)
        return count_calls(ctl);
    if (!who->json)
        out.stats = read_stats(ctl);
    as_ctl_limit_timeout(ctl);
    int rc = asq_calls_each(ctl->h, wanted_states(ctl), ctl->settings.agent,
                            ctl->settings.class_name, as_ctl_remaining_ms(ctl), print_call, &out);
    asq_value_free(out.stats);
    if (!as_list_end(&out.list, rc))
        return as_ctl_outcome(ctl, rc);
    if (out.list.n == 0)
        as_note(who, "no such calls in namespace '%s'", asq_namespace(ctl->h));
    as_ctl_note_paused(ctl);
    if (out.doubtful)
        as_note(who, "not every worker has told which calls run: some of those that wait may run");
    return AS_EXIT_OK;
}
