/*
 * ctl_complete.c: completes arguments of as-ctl's commands from the deployment: names of classes
 * and workers, methods and attributes of the agent given before, ids of the newest dead letters.
 * Agents' ids are not offered, because there may be a million.
 */
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "asqueue.h"
#include "complete.h"
#include "ctl.h"
#include "options.h"

#define MAX_LETTERS 50

static void print_classes(asq *h)
{
    asq_value *classes;
    if (asq_classes(h, &classes) < 0)
        return;
    for (size_t i = 0; i < asq_map_size(classes); i++) {
        const char *name;
        asq_map_at(classes, i, &name);
        as_complete_word(name);
    }
    asq_value_free(classes);
}

static void print_letters(asq *h)
{
    asq_value *list;
    if (asq_dead_list(h, MAX_LETTERS, &list) < 0)
        return;
    const char *id;
    for (size_t i = 0; i < asq_list_size(list); i++)
        if (asq_value_get_string(asq_map_get(asq_list_get(list, i), "id"), &id, NULL) == 0)
            as_complete_word(id);
    asq_value_free(list);
}

/* Prints the members of an agent's class. `kind`: "methods" or "attributes". */
static void print_members(asq *h, const char *agent_id, const char *kind)
{
    asq_value *record = NULL, *classes = NULL;
    if (asq_show(h, agent_id, &record) == 0 && asq_classes(h, &classes) == 0) {
        const asq_value *members =
            asq_map_get(asq_map_get(classes, asq_map_string(record, "class")), kind);
        const char *name;
        for (size_t i = 0; i < asq_list_size(members); i++)
            if (asq_value_get_string(asq_map_get(asq_list_get(members, i), "name"), &name, NULL) ==
                    0 &&
                *name != '_')
                as_complete_word(name);
    }
    asq_value_free(record);
    asq_value_free(classes);
}

void as_ctl_complete(struct as_program *program, const struct as_cli_args *args)
{
    const char *command = args->command ? args->command->name : "";
    bool codes = args->open && strcmp(args->open->name, "code") == 0;
    bool classes = args->open && strcmp(args->open->name, "class") == 0;
    (void) program;
    for (int code = -1; codes && code > -1000; code--)
        if (asq_error_name(code))
            as_complete_word(asq_error_name(code));
    if (args->open && !classes)
        return;
    if (!args->open && args->argc == 0 && strcmp(command, "acl") == 0)
        fputs("client\nmover\nobserver\noperator\nworker\n", stdout);
    asq *h;
    if (strcmp(command, "acl") == 0 || !(h = as_complete_open()))
        return;
    if (classes)
        print_classes(h);
    else if (args->argc == 0 && strcmp(command, "create") == 0)
        print_classes(h);
    else if (args->argc == 0 && strcmp(command, "stop") == 0)
        as_complete_workers(h);
    else if (args->argc == 0 && args->command && args->command->run != as_ctl_dead_list &&
             as_command_in_group(args->command, "dead"))
        print_letters(h);
    else if ((args->argc == 1 && strcmp(command, "call") == 0) ||
             (args->argc == 2 && strcmp(command, "schedule") == 0))
        print_members(h, args->argv[0], "methods");
    else if (args->argc == 1 && (strcmp(command, "get") == 0 || strcmp(command, "set") == 0))
        print_members(h, args->argv[0], "attributes");
    asq_close(h);
}
