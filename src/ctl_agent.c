/*
 * ctl_agent.c: as-ctl's commands about agents as such: create, agents, show, delete, clone.
 */
#include <stdlib.h>
#include <string.h>

#include "ctl.h"

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
    asq_agent *agent;
    asq_value *args;
    int status = as_ctl_args(ctl, argc > 1 ? argv[1] : NULL, &args);

    if (status != AS_EXIT_OK)
        return status;
    if ((status = as_ctl_open(ctl)) != AS_EXIT_OK) {
        asq_value_free(args);
        return status;
    }
    status = as_ctl_outcome(ctl, asq_createv(ctl->h, argv[0], ctl->settings.id, args, &agent));
    return status == AS_EXIT_OK ? print_new(ctl, agent) : status;
}

static int print_agents(struct as_ctl *ctl, const asq_value *list)
{
    static const struct as_column columns[] = { { "AGENT", false },
                                                { "CLASS", false },
                                                { "PARTITION", true } };
    struct as_table *t;

    if (ctl->base.who.json)
        return as_ctl_print(ctl, list);
    if (asq_list_size(list) == 0)
        return AS_EXIT_OK;
    t = as_table_new(columns, 3);
    for (size_t i = 0; i < asq_list_size(list); i++) {
        const asq_value *agent = asq_list_get(list, i);
        as_table_add(t, as_word(asq_map_get(agent, "id")));
        as_table_add(t, as_word(asq_map_get(agent, "class")));
        as_table_add(t, as_word(asq_map_get(agent, "partition")));
    }
    return as_table_print(t, &ctl->base.who);
}

int as_ctl_agents(void *program, int argc, char **argv)
{
    struct as_ctl *ctl = program;
    asq_value *list;
    int status = as_ctl_open(ctl);

    (void) argc, (void) argv;
    if (status != AS_EXIT_OK)
        return status;
    if (asq_agents(ctl->h, ctl->settings.class_name, &list) < 0)
        return as_ctl_failed(ctl);
    status = print_agents(ctl, list);
    asq_value_free(list);
    return status;
}

int as_ctl_show(void *program, int argc, char **argv)
{
    struct as_ctl *ctl = program;
    asq_value *record;
    const char *key;
    char *word;
    int status = as_ctl_open(ctl);

    (void) argc;
    if (status != AS_EXIT_OK)
        return status;
    if ((status = as_ctl_outcome(ctl, asq_show(ctl->h, argv[0], &record))) != AS_EXIT_OK)
        return status;
    if (ctl->base.who.json) {
        status = as_ctl_print(ctl, record);
        asq_value_free(record);
        return status;
    }
    for (size_t i = 0; status == AS_EXIT_OK && i < asq_map_size(record); i++) {
        const asq_value *v = asq_map_at(record, i, &key);
        /* State and arguments as JSON, lists too: what they are is what matters here. */
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

int as_ctl_delete(void *program, int argc, char **argv)
{
    struct as_ctl *ctl = program;
    asq_agent *agent;
    int status = as_ctl_attach(ctl, argv[0], &agent);

    (void) argc;
    if (status != AS_EXIT_OK)
        return status;
    /* Its own call can wait only in one go: what it would wait for is seen here. */
    if ((status = as_ctl_ready(ctl, agent)) == AS_EXIT_OK)
        status = as_ctl_outcome(ctl, asq_delete(agent, as_ctl_remaining_ms(ctl)));
    asq_agent_free(agent);
    if (status == AS_EXIT_OK && ctl->base.who.json)
        status = as_ctl_print_id(ctl, "deleted", argv[0]);
    return status;
}

int as_ctl_clone(void *program, int argc, char **argv)
{
    struct as_ctl *ctl = program;
    asq_agent *agent, *clone;
    int status = as_ctl_attach(ctl, argv[0], &agent);

    (void) argc;
    if (status != AS_EXIT_OK)
        return status;
    if ((status = as_ctl_ready(ctl, agent)) == AS_EXIT_OK) {
        asq_set_timeout(ctl->h, as_ctl_remaining_ms(ctl));
        status = as_ctl_outcome(ctl, asq_clone(agent, ctl->settings.id, &clone));
    }
    asq_agent_free(agent);
    return status == AS_EXIT_OK ? print_new(ctl, clone) : status;
}
