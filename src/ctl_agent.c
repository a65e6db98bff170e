/*
 * ctl_agent.c: as-ctl's commands about agents as such: create, agents, show, delete, clone.
 */
#include <stdlib.h>
#include <string.h>

#include "ctl.h"

/* Waits for a new agent and prints its id. Frees the proxy. */
static int print_new(struct asq__ctl *ctl, asq_agent *agent)
{
    int status = asq__ctl_ready(ctl, agent);

    if (status == ASQ__EXIT_OK)
        status = asq__ctl_print_id(ctl, "id", asq_agent_id(agent));
    asq_agent_free(agent);
    return status;
}

int asq__ctl_create(void *program, int argc, char **argv)
{
    struct asq__ctl *ctl = program;
    asq_agent *agent;
    asq_value *args;
    int status = asq__ctl_args(ctl, argc > 1 ? argv[1] : NULL, &args);

    if (status != ASQ__EXIT_OK)
        return status;
    if ((status = asq__ctl_open(ctl)) != ASQ__EXIT_OK) {
        asq_value_free(args);
        return status;
    }
    status = asq__ctl_outcome(ctl, asq_createv(ctl->h, argv[0], ctl->settings.id, args, &agent));
    return status == ASQ__EXIT_OK ? print_new(ctl, agent) : status;
}

static int print_agents(struct asq__ctl *ctl, const asq_value *list)
{
    static const struct asq__column columns[] = {
        { "AGENT", false }, { "CLASS", false }, { "PARTITION", true }
    };
    struct asq__table *t;

    if (ctl->base.who.json)
        return asq__ctl_print(ctl, list);
    if (asq_list_size(list) == 0)
        return ASQ__EXIT_OK;
    t = asq__table_new(columns, 3);
    for (size_t i = 0; i < asq_list_size(list); i++) {
        const asq_value *agent = asq_list_get(list, i);
        asq__table_add(t, asq__word(asq_map_get(agent, "id")));
        asq__table_add(t, asq__word(asq_map_get(agent, "class")));
        asq__table_add(t, asq__word(asq_map_get(agent, "partition")));
    }
    return asq__table_print(t, &ctl->base.who);
}

int asq__ctl_agents(void *program, int argc, char **argv)
{
    struct asq__ctl *ctl = program;
    asq_value *list;
    int status = asq__ctl_open(ctl);

    (void) argc, (void) argv;
    if (status != ASQ__EXIT_OK)
        return status;
    if (asq_agents(ctl->h, ctl->settings.class_name, &list) < 0)
        return asq__ctl_failed(ctl);
    status = print_agents(ctl, list);
    asq_value_free(list);
    return status;
}

int asq__ctl_show(void *program, int argc, char **argv)
{
    struct asq__ctl *ctl = program;
    asq_value *record;
    const char *key;
    char *word;
    int status = asq__ctl_open(ctl);

    (void) argc;
    if (status != ASQ__EXIT_OK)
        return status;
    if ((status = asq__ctl_outcome(ctl, asq_show(ctl->h, argv[0], &record))) != ASQ__EXIT_OK)
        return status;
    if (ctl->base.who.json) {
        status = asq__ctl_print(ctl, record);
        asq_value_free(record);
        return status;
    }
    for (size_t i = 0; status == ASQ__EXIT_OK && i < asq_map_size(record); i++) {
        const asq_value *v = asq_map_at(record, i, &key);
        /* State and arguments as JSON, lists too: what they are is what matters here. */
        if (asq_value_type(v) != ASQ_LIST)
            word = asq__word(v);
        else if (asq_to_json(v, 0, &word) < 0)
            word = NULL;
        if (word) {
            printf("%-12s ", key);
            asq__print_text(stdout, word, false);
            putchar('\n');
        } else {
            status = asq__report_code(&ctl->base.who, ASQ_ENOMEM, NULL, "out of memory");
        }
        free(word);
    }
    asq_value_free(record);
    return status;
}

int asq__ctl_delete(void *program, int argc, char **argv)
{
    struct asq__ctl *ctl = program;
    asq_agent *agent;
    int status = asq__ctl_attach(ctl, argv[0], &agent);

    (void) argc;
    if (status != ASQ__EXIT_OK)
        return status;
    /* Its own call can wait only in one go: what it would wait for is seen here. */
    if ((status = asq__ctl_ready(ctl, agent)) == ASQ__EXIT_OK)
        status = asq__ctl_outcome(ctl, asq_delete(agent, asq__ctl_remaining_ms(ctl)));
    asq_agent_free(agent);
    if (status == ASQ__EXIT_OK && ctl->base.who.json)
        status = asq__ctl_print_id(ctl, "deleted", argv[0]);
    return status;
}

int asq__ctl_clone(void *program, int argc, char **argv)
{
    struct asq__ctl *ctl = program;
    asq_agent *agent, *clone;
    int status = asq__ctl_attach(ctl, argv[0], &agent);

    (void) argc;
    if (status != ASQ__EXIT_OK)
        return status;
    if ((status = asq__ctl_ready(ctl, agent)) == ASQ__EXIT_OK) {
        asq_set_timeout(ctl->h, asq__ctl_remaining_ms(ctl));
        status = asq__ctl_outcome(ctl, asq_clone(agent, ctl->settings.id, &clone));
    }
    asq_agent_free(agent);
    return status == ASQ__EXIT_OK ? print_new(ctl, clone) : status;
}
