/*
 * ctl_complete.c: completes arguments of as-ctl's commands from the deployment: names of classes
 * and workers, methods and attributes of the agent given before, ids of the newest dead letters.
 * Agents' ids are not offered, because there may be a million. Failures are silent, because the
 * user is typing.
 */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "ctl.h"
#include "value/escape.h"
#include "secret.h"
#include "workers.h"

#define TIMEOUT_MS  1000
#define MAX_LETTERS 50

/* Returns whether a name may be offered to a shell: it has no space, quote or other special
 * character of shells, and does not begin like an option. */
static bool is_plain(const char *word)
{
    char out[ASQ__ESCAPE_MAX];
    size_t n = strlen(word);

    if (n == 0 || n > ASQ_MAX_ID || *word == '-')
        return false;
    for (const char *at = word, *was; was = at, *at;)
        if (asq__escape_next(&at, ASQ__ESCAPE_LINE, out) != (size_t) (at - was) ||
            (!(*was & 0x80) && !isalnum((unsigned char) *was) &&
             !strchr("_.,:@%+/={}~^#![]-", *was)))
            return false;
    return true;
}

static void print_word(const char *word)
{
    if (is_plain(word))
        puts(word);
}

static asq *open_quietly(void)
{
    asq_options options = ASQ_OPTIONS_INIT;
    const char *url = as_secret_url();
    asq *h;

    options.timeout_ms = TIMEOUT_MS;
    options.connect_timeout_ms = TIMEOUT_MS;
    options.close_timeout_ms = -1;
    /* The line's -u may be half typed, or lack a password that comes from elsewhere. */
    if (!url || !*url || strncmp(url, "child:", 6) == 0 || strncmp(url, "local:", 6) == 0)
        return NULL;
    return asq_open(url, &options, &h, NULL, 0) == 0 ? h : NULL;
}

static void print_classes(asq *h)
{
    asq_value *classes;
    const char *name;

    if (asq_classes(h, &classes) < 0)
        return;
    for (size_t i = 0; i < asq_map_size(classes); i++) {
        asq_map_at(classes, i, &name);
        print_word(name);
    }
    asq_value_free(classes);
}

static void print_workers(asq *h)
{
    asq_value *list;

    if (asq_workers(h, &list) < 0)
        return;
    for (size_t i = 0; i < asq_list_size(list); i++)
        print_word(as_worker_id(asq_list_get(list, i)));
    asq_value_free(list);
}

static void print_letters(asq *h)
{
    asq_value *list;
    const char *id;

    if (asq_dead_list(h, MAX_LETTERS, &list) < 0)
        return;
    for (size_t i = 0; i < asq_list_size(list); i++)
        if (asq_value_get_string(asq_map_get(asq_list_get(list, i), "id"), &id, NULL) == 0)
            print_word(id);
    asq_value_free(list);
}

/* Prints the members of an agent's class. `kind`: "methods" or "attributes". */
static void print_members(asq *h, const char *agent_id, const char *kind)
{
    asq_value *record = NULL, *classes = NULL;
    const asq_value *members;
    const char *class_name = "", *name;

    if (asq_show(h, agent_id, &record) == 0 && asq_classes(h, &classes) == 0) {
        asq_value_get_string(asq_map_get(record, "class"), &class_name, NULL);
        members = asq_map_get(asq_map_get(classes, class_name), kind);
        for (size_t i = 0; i < asq_list_size(members); i++)
            if (asq_value_get_string(asq_map_get(asq_list_get(members, i), "name"), &name, NULL) ==
                    0 &&
                *name != '_')
                print_word(name);
    }
    asq_value_free(record);
    asq_value_free(classes);
}

void as_ctl_complete(struct as_program *program, const struct as_cli_args *args)
{
    const char *command = args->command ? args->command->name : "";
    bool classes = args->open && strcmp(args->open->name, "class") == 0;
    asq *h;

    (void) program;
    if (args->open && !classes)
        return;
    if (!args->open && args->argc == 0 && strcmp(command, "acl") == 0)
        fputs("client\nobserver\noperator\nworker\n", stdout);
    if (!args->open && args->argc == 0 && strcmp(command, "dead") == 0)
        fputs("drop\nlist\nretry\nshow\n", stdout);
    if (strcmp(command, "acl") == 0 || !(h = open_quietly()))
        return;
    if (classes)
        print_classes(h);
    else if (args->argc == 0 && strcmp(command, "create") == 0)
        print_classes(h);
    else if (args->argc == 0 && strcmp(command, "stop") == 0)
        print_workers(h);
    else if (args->argc == 1 && strcmp(command, "dead") == 0 && strcmp(args->argv[0], "list") != 0)
        print_letters(h);
    else if (args->argc == 1 && strcmp(command, "call") == 0)
        print_members(h, args->argv[0], "methods");
    else if (args->argc == 1 && (strcmp(command, "get") == 0 || strcmp(command, "set") == 0))
        print_members(h, args->argv[0], "attributes");
    asq_close(h);
}
