/*
 * options.h: a program's command line as two tables, options and commands, used by parsing
 * (options.c), --help and completion (help.c). A new option or command is one entry.
 *
 * Options may come before, between and after the other arguments; "--" ends them. A word like -5 or
 * -0.5 is an argument, because no option is a digit. Long options may be shortened while
 * unambiguous.
 */
#ifndef ASQ_SRC_OPTIONS_H
#define ASQ_SRC_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define AS_MAX_OPTIONS 64 /* of one program: they are bits of as_cli_args.given */

struct as_option {
    const char *name;   /* without the dashes; the table is sorted by it */
    char letter;        /* the short form; 0: none */
    const char *arg;    /* name of the argument; NULL: takes none */
    const char *values; /* possible arguments: "a|b|c", "FILE", "DIR"; NULL: any */
    /* Reads text (NULL without an argument) into the field at `offset` of the program's settings.
     * On failure writes the fault, without naming the option. NULL: the option is only noted as
     * given. */
    int (*set)(const struct as_option *o, void *settings, const char *text, char *err,
               size_t errlen);
    size_t offset;
    int64_t min, max; /* of numbers, after applying their suffix */
    bool everywhere;  /* allowed with every command, listed or not */
    const char *help; /* lines end in \n */
};

/* Commands whose names begin with the same of two words, "dead list" and "dead show", are a
 * group. */
struct as_command {
    const char *name;  /* one word, or two */
    const char *usage; /* of the arguments: "ID METHOD [ARGS]" */
    const char *help;
    int min, max;        /* how many arguments */
    const char *options; /* names of its options, by spaces, besides those of every command */
    int (*run)(void *program, int argc, char **argv); /* returns the exit status */
};

struct as_cli {
    const char *program;
    const char *summary; /* first lines of --help */
    const char *notes;   /* last lines of --help: environment, exit status */
    const struct as_option *options;
    size_t noptions;
    const struct as_command *commands;
    size_t ncommands;
    const struct as_command *fallback; /* if no command is named; NULL: a command is required */
};

struct as_cli_args {
    const struct as_command *command; /* NULL: none named (only with --help or --version) */
    /* first word of a group's commands, if no second one names one of them; or NULL */
    const char *group;
    int argc;
    char **argv;                  /* the arguments after the command; part of `words` */
    char **words;                 /* all words but options; main's strings */
    uint64_t given;               /* bit i: option i of the table */
    const struct as_option *open; /* completion: the option whose argument it is, or NULL */
};

/* Reads the command line. ASQ_EINVAL: the line is wrong; err says how, and ret->command is the
 * command if one was found. With --help or --version (options of these names) arguments are not
 * counted. */
int as_cli_parse(const struct as_cli *cli, int argc, char **argv, void *settings,
                 struct as_cli_args *ret, char *err, size_t errlen);
void as_cli_args_release(struct as_cli_args *args);
bool as_cli_given(const struct as_cli *cli, const struct as_cli_args *args, const char *name);
/* Returns whether the command takes the option. */
bool as_cli_takes(const struct as_command *command, const struct as_option *o);
/* Returns the command that the first of n words names, or the first two, and its number of words;
 * NULL if there is none. */
const struct as_command *as_cli_command(const struct as_cli *cli, int n, char *const *words,
                                        int *ret_used);
/* Returns the second word of a command's name if the first one is `group`; else NULL. */
const char *as_command_in_group(const struct as_command *command, const char *group);
/* Returns whether there are commands of the group. */
bool as_cli_has_group(const struct as_cli *cli, const char *group);

/* Functions for `set`: set a bool to true, or false; borrow a string from argv; read numbers,
 * checked against min and max. */
int as_option_true(const struct as_option *o, void *settings, const char *text, char *err,
                   size_t errlen);
int as_option_false(const struct as_option *o, void *settings, const char *text, char *err,
                    size_t errlen);
int as_option_string(const struct as_option *o, void *settings, const char *text, char *err,
                     size_t errlen);
int as_option_u32(const struct as_option *o, void *settings, const char *text, char *err,
                  size_t errlen);
/* Reads size_t bytes, with suffix K, M or G (powers of 1024). */
int as_option_size(const struct as_option *o, void *settings, const char *text, char *err,
                   size_t errlen);
/* Reads int64_t milliseconds, plain or with suffix ms, s, m or h. */
int as_option_ms(const struct as_option *o, void *settings, const char *text, char *err,
                 size_t errlen);
/* Reads uint32_t seconds, plain or with suffix s, m, h or d. */
int as_option_seconds(const struct as_option *o, void *settings, const char *text, char *err,
                      size_t errlen);
/* Reads a double, such as 0.25, from min to max. */
int as_option_share(const struct as_option *o, void *settings, const char *text, char *err,
                    size_t errlen);
/* Sets an int to the index of one of `values`. */
int as_option_choice(const struct as_option *o, void *settings, const char *text, char *err,
                     size_t errlen);

/* Finds the most similar word: offer all candidates, then read `best` (NULL: none is similar). */
struct as_nearest {
    const char *word;
    const char *best;
    size_t distance;
};
void as_nearest_offer(struct as_nearest *n, const char *candidate);

/* Prints --help of the command or group of args, or of the program. */
void as_cli_help(const struct as_cli *cli, const struct as_cli_args *args);
/* Prints "usage: as-ctl call ID METHOD [ARGS] [--timeout MS]" to stderr. */
void as_cli_usage(const struct as_cli *cli, const struct as_cli_args *args);
/*
 * Prints completions of the last of n words (after the program's name), one a line; ":FILE" or
 * ":DIR" asks the shell for such names. If that word is an argument of a command, prints nothing
 * and returns false: *ret gets the command; argc and argv are then the arguments before the word.
 */
bool as_cli_complete(const struct as_cli *cli, int n, char **words, struct as_cli_args *ret);

#endif
