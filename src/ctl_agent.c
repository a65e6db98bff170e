/*
 * ctl_agent.c: as-ctl's commands create, agents, show, clone.
 */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

#include "asqueue.h"
#include "ctl.h"
#include "output.h"
#include "program.h"

enum { AGENT_WIDTH = 36, CLASS_WIDTH = 20 };

/* Waits for a new agent and prints its id. Frees the proxy. */
static int print_new(struct as_ctl *ctl, asq_agent *agent)
{
    int status = as_ctl_ready(ctl, agent);
    if (status == AS_EXIT_OK)
        status = as_ctl_print_id(ctl, "id", asq_agent_id(agent));
    asq_agent_free(agent);
    return status;
}

int as_ctl_create(void *program, int argc, char **argv)
{
    struct as_ctl *ctl = program;
    asq_value *args;
    int status = as_ctl_args(ctl, argc > 1 ? argv[1] : NULL, &args);
    if (status != AS_EXIT_OK)
        return status;
    if ((status = as_ctl_open(ctl)) != AS_EXIT_OK) {
        asq_value_free(args);
        return status;
    }
    char *pool = as_ctl_pool_of(ctl, argv[0]);
    asq_set_timeout(ctl->h, as_ctl_remaining_ms(ctl));
    asq_agent *agent;
    asq_create_options options = ASQ_CREATE_OPTIONS_INIT;
    options.id = ctl->settings.id;
    options.ttl_ms = ctl->settings.ttl_ms;
    options.expires_ms = ctl->settings.expires_ms;
    options.pool = ctl->settings.pool ? ctl->settings.pool : pool;
    status = as_ctl_outcome(ctl, asq_create_with(ctl->h, argv[0], &options, args, &agent));
    free(pool);
    return status == AS_EXIT_OK ? print_new(ctl, agent) : status;
}

static int print_agent(const asq_value *agent, void *user)
{
    struct as_list *list = user;
    const char *handle;
    int rc = as_list_row(list, agent);
    if (rc != 0 || list->who->json)
        return rc;
    if (list->n == 1) {
        as_list_cell("AGENT", AGENT_WIDTH);
        as_list_cell("CLASS", CLASS_WIDTH);
        puts("PARTITION  EXPIRES");
    }
    as_list_cell(asq_map_string(agent, "id"), AGENT_WIDTH);
    as_list_cell(asq_map_string(agent, "class"), CLASS_WIDTH);
    printf("%9lld", (long long) asq_map_int(agent, "partition"));
    int64_t expires_ms = asq_map_int(agent, "expires_ms");
    char *when = expires_ms ? as_ctl_time_text(expires_ms) : NULL;
    printf("%s%s", when ? "  " : "", when ? when : "");
    if (asq_value_get_string(asq_map_get(agent, "with_handle"), &handle, NULL) == 0)
        printf("  %swith handle %s", when ? "or " : "", handle);
    puts("");
    free(when);
    return 0;
}

static int count_agents(struct as_ctl *ctl)
{
    int64_t n;
    int rc = asq_agents_count(ctl->h, ctl->settings.class_name, ctl->settings.prefix,
                              as_ctl_remaining_ms(ctl), &n);
    if (rc < 0)
        return as_ctl_outcome(ctl, rc);
    return as_ctl_print_count(ctl, n);
}

int as_ctl_agents(void *program, int argc, char **argv)
{
    struct as_ctl *ctl = program;
    const char *class_name = ctl->settings.class_name, *prefix = ctl->settings.prefix;
    struct as_list list = { .who = &ctl->base.who, .limit = ctl->settings.limit };
    (void) argc, (void) argv;
    if (ctl->settings.count && ctl->settings.limit)
        return as_program_usage(&ctl->base, "--count and --limit exclude each other");
    int status = as_ctl_open(ctl);
    if (status != AS_EXIT_OK)
        return status;
    if (ctl->settings.count)
        return count_agents(ctl);
    int rc =
        asq_agents_each(ctl->h, class_name, prefix, as_ctl_remaining_ms(ctl), print_agent, &list);
    if (!as_list_end(&list, rc))
        return as_ctl_outcome(ctl, rc);
    if (list.n == 0)
        as_note(&ctl->base.who, "no agents%s%s%s%s in namespace '%s'",
                class_name ? " of class " : "", class_name ? class_name : "",
                prefix ? " with prefix " : "", prefix ? prefix : "", asq_namespace(ctl->h));
    return AS_EXIT_OK;
}

int as_ctl_show(void *program, int argc, char **argv)
{
    struct as_ctl *ctl = program;
    int status = as_ctl_open(ctl);
    (void) argc;
    if (status != AS_EXIT_OK)
        return status;
    asq_value *record;
    if ((status = as_ctl_outcome(ctl, asq_show(ctl->h, argv[0], &record))) != AS_EXIT_OK)
        return status;
    if (ctl->base.who.json) {
        status = as_ctl_print(ctl, record);
        asq_value_free(record);
        return status;
    }
    for (size_t i = 0; status == AS_EXIT_OK && i < asq_map_size(record); i++) {
        const char *key;
        const asq_value *v = asq_map_at(record, i, &key);
        char *word;
        /* Lists are printed as JSON, too, because their structure matters here. */
        if (asq_value_type(v) != ASQ_LIST)
            word = as_word(v);
        else if (asq_to_json(v, 0, &word) < 0)
            word = NULL;
        if (word) {
            printf("%-12s ", key);
            as_print_text(stdout, word, false);
            putchar('\n');
        } else {
            status = as_report_code(&ctl->base.who, ASQ_ENOMEM, NULL, "out of memory");
        }
        free(word);
    }
    asq_value_free(record);
    return status;
}

static int clone_agent(struct as_ctl *ctl, asq_agent *agent, void *user)
{
    asq_agent *clone;
    int status = as_ctl_ready(ctl, agent);
    (void) user;
    if (status != AS_EXIT_OK)
        return status;
    asq_set_timeout(ctl->h, as_ctl_remaining_ms(ctl));
    status = as_ctl_outcome(ctl, asq_clone(agent, ctl->settings.id, &clone));
    return status == AS_EXIT_OK ? print_new(ctl, clone) : status;
}

int as_ctl_clone(void *program, int argc, char **argv)
{
    (void) argc;
    return as_ctl_with_agent(program, argv[0], clone_agent, NULL);
}
