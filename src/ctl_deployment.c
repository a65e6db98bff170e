/*
 * ctl_deployment.c: as-ctl's commands about the deployment: ping, classes, workers, pools, stop.
 */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "asqueue.h"
#include "ctl.h"
#include "deaths.h"
#include "output.h"
#include "program.h"
#include "worker_stop.h"
#include "workers.h"

int as_ctl_ping(void *program, int argc, char **argv)
{
    struct as_ctl *ctl = program;
    int status = as_ctl_open(ctl);
    (void) argc, (void) argv;
    if (status != AS_EXIT_OK)
        return status;
    double ms;
    if (asq_ping(ctl->h, &ms) < 0)
        return as_ctl_failed(ctl);
    if (ctl->base.who.json)
        return as_print_json_own(
            &ctl->base.who, asq_pack("{s:s, s:f}", "namespace", asq_namespace(ctl->h), "ms", ms));
    printf("PONG in %.3f ms\n", ms);
    return AS_EXIT_OK;
}

/* ---- classes -------------------------------------------------------------------------------- */

/* Formats "name(params)", or ".name" of an attribute; to be freed. */
static char *member_text(const asq_value *member, bool attribute)
{
    char *name = as_word(asq_map_get(member, "name"));
    const asq_value *params = asq_map_get(member, "params");
    char *list = params && asq_value_type(params) != ASQ_NULL ? as_word(params) : strdup("");
    if (list && strcmp(list, "-") == 0)
        *list = '\0';
    char *text;
    if (!name || !list || asprintf(&text, attribute ? ".%s%.0s" : "%s(%s)", name, list) < 0)
        text = NULL;
    free(name);
    free(list);
    return text;
}

static bool has_flag(const asq_value *member, const char *name)
{
    const asq_value *flags = asq_map_get(member, "flags");
    const char *s;
    for (size_t i = 0; i < asq_list_size(flags); i++)
        if (asq_value_get_string(asq_list_get(flags, i), &s, NULL) == 0 && strcmp(s, name) == 0)
            return true;
    return false;
}

/* Prints a member: signature and flags, then its documentation. */
static void print_member(const asq_value *member, bool attribute)
{
    char *text = member_text(member, attribute), *doc = as_word(asq_map_get(member, "doc"));
    printf("  ");
    as_print_text(stdout, text ? text : "?", false);
    int pad = text && as_text_width(text) < 26 ? 26 - (int) as_text_width(text) : 1;
    printf("%*s", pad, "");
    if (has_flag(member, "readonly"))
        printf("[readonly] ");
    if (has_flag(member, "writable"))
        printf("[writable] ");
    as_print_text(stdout, doc && strcmp(doc, "-") != 0 ? doc : "", false);
    putchar('\n');
    free(text);
    free(doc);
}

static void print_class(const char *name, const asq_value *class)
{
    const asq_value *methods = asq_map_get(class, "methods"),
                    *attributes = asq_map_get(class, "attributes");
    char *doc = as_word(asq_map_get(class, "doc"));
    char *workers = as_word(asq_map_get(class, "workers"));
    char *pool = as_word(asq_map_get(class, "pool"));
    as_print_text(stdout, name, false);
    printf("  (workers: ");
    as_print_text(stdout, workers ? workers : "-", false);
    if (pool && strcmp(pool, "-") != 0) {
        printf("; pool: ");
        as_print_text(stdout, pool, false);
    }
    printf(")");
    if (doc && strcmp(doc, "-") != 0) {
        printf("  ");
        as_print_text(stdout, doc, false);
    }
    putchar('\n');
    for (size_t i = 0; i < asq_list_size(methods); i++)
        print_member(asq_list_get(methods, i), false);
    for (size_t i = 0; i < asq_list_size(attributes); i++)
        print_member(asq_list_get(attributes, i), true);
    free(doc);
    free(workers);
    free(pool);
}

int as_ctl_classes(void *program, int argc, char **argv)
{
    struct as_ctl *ctl = program;
    int status = as_ctl_open(ctl);
    (void) argc, (void) argv;
    if (status != AS_EXIT_OK)
        return status;
    asq_value *classes;
    if (asq_classes(ctl->h, &classes) < 0)
        return as_ctl_failed(ctl);
    if (ctl->base.who.json)
        status = as_ctl_print(ctl, classes);
    else if (asq_map_size(classes) == 0)
        as_note(&ctl->base.who, "no classes in namespace '%s': no worker has any",
                asq_namespace(ctl->h));
    else
        for (size_t i = 0; i < asq_map_size(classes); i++) {
            const char *name;
            const asq_value *class = asq_map_at(classes, i, &name);
            if (i)
                putchar('\n');
            print_class(name, class);
        }
    asq_value_free(classes);
    return status;
}

/* ---- workers, stop -------------------------------------------------------------------------- */

static int64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t) now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static int show_deaths(const asq_value *list, const struct as_reporter *who)
{
    static const struct as_column columns[] = { { "WORKER", false }, { "DIED", false },
                                                { "HOW", false },    { "HOST", false },
                                                { "PID", true },     { "HEIRS", false } };
    struct as_table *t = as_table_new(columns, sizeof columns / sizeof columns[0]);
    for (size_t i = 0; i < asq_list_size(list); i++) {
        const asq_value *death = asq_list_get(list, i);
        char how[200], heirs[1000];
        as_death_how(death, how, sizeof how);
        as_death_heirs(death, heirs, sizeof heirs);
        as_table_add(t, as_word(asq_map_get(death, "id")));
        as_table_add(t, as_ctl_time_text(asq_map_int(death, "time_ms")));
        as_table_add(t, strdup(how));
        as_table_add(t, as_word(asq_map_get(death, "host")));
        as_table_add(t, as_word(asq_map_get(death, "pid")));
        as_table_add(t, strdup(*heirs ? heirs : "-"));
    }
    return as_table_print(t, who);
}

static int list_deaths(struct as_ctl *ctl)
{
    asq_value *list;
    int status = AS_EXIT_OK;
    if (asq_workers_dead(ctl->h, &list) < 0)
        return as_ctl_failed(ctl);
    if (ctl->base.who.json)
        status = as_ctl_print(ctl, list);
    else if (asq_list_size(list))
        status = show_deaths(list, &ctl->base.who);
    else
        as_note(&ctl->base.who, "no worker of namespace '%s' has died in the last 24 hours",
                asq_namespace(ctl->h));
    asq_value_free(list);
    return status;
}

/* Notes the last death; a failure to read it is no failure. */
static void note_deaths(struct as_ctl *ctl)
{
    asq_value *list;
    as_ctl_limit_timeout(ctl);
    if (asq_workers_dead(ctl->h, &list) < 0)
        return;
    const asq_value *last = asq_list_get(list, 0);
    char how[200], ago[32];
    as_death_how(last, how, sizeof how);
    if (last)
        as_note(&ctl->base.who,
                "%zu worker process%s died in the last 24 hours, the last one %s, %s ago (%s); "
                "as-ctl workers --dead tells more",
                asq_list_size(list), asq_list_size(list) == 1 ? " has" : "es have",
                as_worker_id(last),
                (as_duration(now_ms() - asq_map_int(last, "time_ms"), ago), ago), how);
    asq_value_free(list);
}

int as_ctl_workers(void *program, int argc, char **argv)
{
    struct as_ctl *ctl = program;
    int status = as_ctl_open(ctl);
    (void) argc, (void) argv;
    if (status == AS_EXIT_OK && ctl->settings.dead)
        return list_deaths(ctl);
    if (status == AS_EXIT_OK && (status = as_workers_show(&ctl->base.who, ctl->h)) == AS_EXIT_OK)
        as_ctl_note_paused(ctl);
    if (status == AS_EXIT_OK)
        note_deaths(ctl);
    return status;
}

/* ---- pools ---------------------------------------------------------------------------------- */

static int show_pools(struct as_ctl *ctl, const asq_value *list)
{
    static const struct as_column columns[] = {
        { "POOL", false }, { "PARTITIONS", true }, { "WORKERS", true }, { "CAPACITY", true }
    };
    static const char *const keys[] = { "pool", "partitions", "workers", "capacity" };
    enum { N = sizeof keys / sizeof keys[0] };
    struct as_table *t = as_table_new(columns, N);
    for (size_t row = 0; row < asq_list_size(list); row++)
        for (size_t i = 0; i < N; i++)
            as_table_add(t, as_word(as_field(asq_list_get(list, row), keys[i])));
    return as_table_print(t, &ctl->base.who);
}

int as_ctl_pools(void *program, int argc, char **argv)
{
    struct as_ctl *ctl = program;
    int status = as_ctl_open(ctl);
    asq_value *list;
    (void) argc, (void) argv;
    if (status != AS_EXIT_OK)
        return status;
    if (asq_pools(ctl->h, &list) < 0)
        return as_ctl_failed(ctl);
    status =
        ctl->base.who.json ? as_print_json(&ctl->base.who, list, false) : show_pools(ctl, list);
    for (size_t i = 1; i < asq_list_size(list); i++) {
        const char *pool = asq_map_string(asq_list_get(list, i), "pool");
        if (!asq_map_int(asq_list_get(list, i), "workers"))
            as_note(&ctl->base.who,
                    "no live worker serves pool %s: its calls wait for one (as-worker --pool %s)",
                    pool, pool);
    }
    asq_value_free(list);
    return status;
}

/* Returns whether another live worker serves the pool. True: unknown. */
static bool is_served_without(struct as_ctl *ctl, const char *pool, const char *worker_id)
{
    asq_value *list;
    bool served = false;
    as_ctl_limit_timeout(ctl);
    if (asq_workers(ctl->h, &list) < 0)
        return true;
    for (size_t i = 0; !served && i < asq_list_size(list); i++) {
        const asq_value *worker = asq_list_get(list, i);
        const char *pools = "default";
        asq_value_get_string(asq_map_get(worker, "pools"), &pools, NULL);
        served = as_worker_is_alive(worker) &&
                 !as_worker_includes(worker_id, as_worker_id(worker)) &&
                 as_worker_serves(pools, pool);
    }
    asq_value_free(list);
    return served;
}

int as_ctl_drain(void *program, int argc, char **argv)
{
    struct as_ctl *ctl = program;
    int status = as_ctl_open(ctl);
    (void) argc;
    if (status != AS_EXIT_OK)
        return status;
    if ((status = as_ctl_outcome(ctl, asq_drain_worker(ctl->h, argv[0], argv[1]))) != AS_EXIT_OK)
        return status;
    if (!is_served_without(ctl, argv[1], argv[0]))
        as_note(&ctl->base.who,
                "no other live worker serves pool %s: its calls wait for one (as-worker --pool %s)",
                argv[1], argv[1]);
    if (ctl->base.who.json)
        return as_print_json_own(&ctl->base.who,
                                 asq_pack("{s:s, s:s}", "worker", argv[0], "pool", argv[1]));
    as_print_text(stdout, argv[0], false);
    printf(" was asked to serve pool %s no longer\n", argv[1]);
    return AS_EXIT_OK;
}

int as_ctl_stop(void *program, int argc, char **argv)
{
    struct as_ctl *ctl = program;
    struct as_stop_options options = { argv[0], ctl->settings.wait, as_program_now_ms(),
                                       ctl->settings.timeout_ms };
    int status = as_ctl_open(ctl);
    (void) argc;
    return status == AS_EXIT_OK ? as_workers_stop(&ctl->base.who, ctl->h, &options) : status;
}
