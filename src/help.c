/*
 * help.c: prints the tables of options.h as text for people (--help, usage lines) and for the shell
 * (completion). Knows only the tables.
 */
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "options.h"

#define COLUMN 30 /* where descriptions begin */

/* ---- Help ----------------------------------------------------------------------------------- */

/* Prints "  left          text"; further lines of text begin in the same column. */
static void print_entry(const char *left, const char *text)
{
    int used = printf("  %s", left);
    if (used > COLUMN - 2) {
        putchar('\n');
        used = 0;
    }
    for (;;) {
        int n = (int) strcspn(text, "\n");
        printf("%*s%.*s\n", COLUMN - used, "", n, text);
        used = 0;
        if (!text[n])
            break;
        text += n + 1;
    }
}

static void print_option(const struct as_option *o)
{
    size_t n;
    char left[80];
    if (o->letter)
        n = (size_t) snprintf(left, sizeof left, "-%c, --%s", o->letter, o->name);
    else
        n = (size_t) snprintf(left, sizeof left, "    --%s", o->name);
    if (o->arg && n < sizeof left)
        snprintf(left + n, sizeof left - n, " %s", o->arg);
    print_entry(left, o->help);
}

/* Returns the set of commands that take the option: bit i is command i; all bits for an option of
 * every command. */
static uint64_t commands_of(const struct as_cli *cli, const struct as_option *o)
{
    uint64_t set = 0;
    if (o->everywhere)
        return UINT64_MAX;
    for (size_t i = 0; i < cli->ncommands; i++)
        if (as_cli_takes(&cli->commands[i], o))
            set |= UINT64_C(1) << i;
    return set;
}

/* Prints the options that belong to exactly these commands, under a heading that names them. */
static void print_options_of(const struct as_cli *cli, uint64_t set)
{
    const char *between = " of ";
    printf("\nOptions");
    for (size_t i = 0; set != UINT64_MAX && i < cli->ncommands; i++)
        if (set >> i & 1) {
            printf("%s%s", between, cli->commands[i].name);
            between = ", ";
        }
    printf(":\n");
    for (size_t i = 0; i < cli->noptions; i++)
        if (commands_of(cli, &cli->options[i]) == set)
            print_option(&cli->options[i]);
}

static void print_command(const struct as_command *c)
{
    char left[160];
    snprintf(left, sizeof left, "%s%s%s", c->name, *c->usage ? " " : "", c->usage);
    print_entry(left, c->help);
}

static void program_help(const struct as_cli *cli)
{
    uint64_t printed[AS_MAX_OPTIONS];
    size_t nprinted = 0;
    printf("usage: %s [OPTION...] %s [ARGUMENT...]\n\n%s\n\nCommands:\n", cli->program,
           cli->fallback ? "[COMMAND]" : "COMMAND", cli->summary);
    for (size_t i = 0; i < cli->ncommands; i++)
        print_command(&cli->commands[i]);
    print_options_of(cli, UINT64_MAX);
    for (size_t i = 0; i < cli->noptions; i++) {
        uint64_t set = commands_of(cli, &cli->options[i]);
        if (set == UINT64_MAX)
            continue;
        size_t k;
        for (k = 0; k < nprinted && printed[k] != set; k++)
            ;
        if (k < nprinted)
            continue;
        printed[nprinted++] = set;
        print_options_of(cli, set);
    }
    printf("\n%s\n", cli->notes);
}

/* Prints a command's line; `before` is "usage:", or as many spaces. */
static void usage_line(FILE *to, const char *before, const struct as_cli *cli,
                       const struct as_command *command)
{
    fprintf(to, "%s %s %s", before, cli->program, command->name);
    if (*command->usage)
        fprintf(to, " %s", command->usage);
    if (command == cli->fallback) {
        fprintf(to, " [OPTION...]\n");
        return;
    }
    for (size_t i = 0; i < cli->noptions; i++) {
        const struct as_option *o = &cli->options[i];
        if (!o->everywhere && as_cli_takes(command, o))
            fprintf(to, " [--%s%s%s]", o->name, o->arg ? " " : "", o->arg ? o->arg : "");
    }
    fputc('\n', to);
}

/* Prints the line of the command, those of the group's commands, or the program's. */
static void usage(FILE *to, const struct as_cli *cli, const struct as_cli_args *args)
{
    const char *before = "usage:";
    if (args->command) {
        usage_line(to, before, cli, args->command);
        return;
    }
    if (!args->group) {
        fprintf(to, "usage: %s [OPTION...] %s [ARGUMENT...]\n", cli->program,
                cli->fallback ? "[COMMAND]" : "COMMAND");
        return;
    }
    for (size_t i = 0; i < cli->ncommands; i++)
        if (as_command_in_group(&cli->commands[i], args->group)) {
            usage_line(to, before, cli, &cli->commands[i]);
            before = "      ";
        }
}

void as_cli_usage(const struct as_cli *cli, const struct as_cli_args *args)
{
    const char *name = args->command ? args->command->name : args->group;
    usage(stderr, cli, args);
    fprintf(stderr, "For more: %s%s%s --help\n", cli->program, name ? " " : "", name ? name : "");
}

/* Returns whether the command, or one of the group, takes the option. */
static bool is_taken(const struct as_cli *cli, const struct as_command *command, const char *group,
                     const struct as_option *o)
{
    if (command)
        return as_cli_takes(command, o);
    for (size_t i = 0; i < cli->ncommands; i++)
        if (as_command_in_group(&cli->commands[i], group) && as_cli_takes(&cli->commands[i], o))
            return true;
    return false;
}

void as_cli_help(const struct as_cli *cli, const struct as_cli_args *args)
{
    if (!args->command && !args->group) {
        program_help(cli);
        return;
    }
    usage(stdout, cli, args);
    printf("\n");
    if (args->command)
        printf("%s\n", args->command->help);
    for (size_t i = 0; args->group && i < cli->ncommands; i++)
        if (as_command_in_group(&cli->commands[i], args->group))
            print_command(&cli->commands[i]);
    printf("\nOptions:\n");
    for (size_t i = 0; i < cli->noptions; i++)
        if (is_taken(cli, args->command, args->group, &cli->options[i]))
            print_option(&cli->options[i]);
    printf("\n%s\n", cli->notes);
}

/* ---- Completion ----------------------------------------------------------------------------- */

/* Returns the option named by a word, in full; the last one of a cluster of letters. */
static const struct as_option *option_of(const struct as_cli *cli, const char *word)
{
    size_t n = strlen(word);
    for (size_t i = 0; i < cli->noptions; i++) {
        const struct as_option *o = &cli->options[i];
        if (word[1] == '-' ? strcmp(word + 2, o->name) == 0 : o->letter && word[n - 1] == o->letter)
            return o;
    }
    return NULL;
}

static void print_values(const struct as_option *o)
{
    if (!o->values)
        return;
    if (strcmp(o->values, "FILE") == 0 || strcmp(o->values, "DIR") == 0) {
        printf(":%s\n", o->values);
        return;
    }
    for (const char *p = o->values; *p; p += *p == '|') {
        int n = (int) strcspn(p, "|");
        printf("%.*s\n", n, p);
        p += n;
    }
}

/* Prints the options of the command, of the group's commands, or of all. */
static void print_names(const struct as_cli *cli, const struct as_command *command,
                        const char *group)
{
    for (size_t i = 0; i < cli->noptions; i++)
        if ((!command && !group) || is_taken(cli, command, group, &cli->options[i]))
            printf("--%s\n", cli->options[i].name);
}

/* Prints the first words of all commands, or the second ones of a group. */
static void print_words(const struct as_cli *cli, const char *group)
{
    for (size_t i = 0; i < cli->ncommands; i++) {
        const char *name = cli->commands[i].name, *second;
        size_t n = strcspn(name, " ");
        if (group && (second = as_command_in_group(&cli->commands[i], group)))
            printf("%s\n", second);
        /* Commands of a group stand together in the table. */
        else if (!group && (i == 0 || strncmp(cli->commands[i - 1].name, name, n + 1) != 0))
            printf("%.*s\n", (int) n, name);
    }
}

bool as_cli_complete(const struct as_cli *cli, int n, char **words, struct as_cli_args *ret)
{
    const struct as_option *open = NULL; /* an option whose argument is still missing */
    bool ended = false;
    int nwords = 0, nused = 0;
    /* Arguments are collected in place: there are never more than words read so far. */
    for (int i = 0; i + 1 < n; i++) {
        char *word = words[i];
        if (open) {
            /* bash makes three words of --name=value */
            if (strcmp(word, "=") != 0)
                open = NULL;
        } else if (!ended && strcmp(word, "--") == 0) {
            ended = true;
        } else if (!ended && word[0] == '-' && word[1]) {
            open = option_of(cli, word);
            if (open && !open->arg)
                open = NULL;
        } else {
            words[nwords++] = word;
        }
    }
    const struct as_command *command = as_cli_command(cli, nwords, words, &nused);
    *ret = (struct as_cli_args){
        .command = command,
        .group = nwords && !command && as_cli_has_group(cli, words[0]) ? words[0] : NULL,
        .argc = nwords - nused,
        .argv = words + nused,
    };
    if (open) {
        ret->open = open;
        print_values(open);
        return open->values != NULL;
    }
    if (n > 0 && words[n - 1][0] == '-' && !ended) {
        print_names(cli, ret->command || ret->group ? ret->command : cli->fallback, ret->group);
        return true;
    }
    if (nwords == 0 || (ret->group && nwords == 1)) {
        print_words(cli, ret->group);
        return true;
    }
    return ret->command == NULL;
}
