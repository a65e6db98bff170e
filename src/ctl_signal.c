/*
 * ctl_signal.c: as-ctl's commands signal, signals: signals to agents.
 */
#include <stdlib.h>

#include "asqueue.h"
#include "ctl.h"
#include "output.h"
#include "program.h"

struct request {
    const char *name;
    asq_value *value; /* until it is given away */
};

static int send_signal(struct as_ctl *ctl, asq_agent *agent, void *user)
{
    struct request *q = user;
    asq_value *value = q->value;
    q->value = NULL;
    return as_ctl_outcome(ctl, asq_signal(agent, q->name, value));
}

int as_ctl_signal(void *program, int argc, char **argv)
{
    struct as_ctl *ctl = program;
    struct request q = { .name = argv[1] };
    int status = argc > 2 ? as_ctl_value(ctl, "VALUE", argv[2], &q.value) : AS_EXIT_OK;
    if (status == AS_EXIT_OK)
        status = as_ctl_with_agent(ctl, argv[0], send_signal, &q);
    asq_value_free(q.value);
    return status;
}

static int print_signals(struct as_ctl *ctl, const asq_value *list)
{
    static const struct as_column columns[] = { { "SIGNAL", false },
                                                { "SINCE", false },
                                                { "VALUE", false } };
    struct as_table *t = as_table_new(columns, sizeof columns / sizeof *columns);
    for (size_t i = 0; i < asq_list_size(list); i++) {
        const asq_value *signal = asq_list_get(list, i);
        char *json = NULL;
        if (asq_to_json(asq_map_get(signal, "value"), 0, &json) < 0)
            json = NULL; /* no memory: as_table_print says so */
        as_table_add(t, as_word(asq_map_get(signal, "name")));
        as_table_add(t, as_ctl_time_text(asq_map_int(signal, "at_ms")));
        as_table_add(t, json);
    }
    return as_table_print(t, &ctl->base.who);
}

int as_ctl_signals(void *program, int argc, char **argv)
{
    struct as_ctl *ctl = program;
    asq_value *list;
    int status = as_ctl_open(ctl);
    (void) argc;
    if (status != AS_EXIT_OK)
        return status;
    as_ctl_limit_timeout(ctl);
    status = as_ctl_outcome(ctl, asq_signals(ctl->h, argv[0], &list));
    if (status != AS_EXIT_OK)
        return status;
    if (ctl->base.who.json)
        status = as_ctl_print(ctl, list);
    else if (asq_list_size(list) == 0)
        as_note(&ctl->base.who, "no signals to agent %s in namespace '%s'", argv[0],
                asq_namespace(ctl->h));
    else
        status = print_signals(ctl, list);
    asq_value_free(list);
    return status;
}
