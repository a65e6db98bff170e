/*
 * options.h: a program's command line as two tables, options and commands, from which parsing
 * (options.c), --help and completion (help.c) all come. A new option or command is one entry.
 *
 * Options may stand before, between and after the other arguments; "--" ends them. A word like
 * -5 or -0.5 is an argument, since no option is a digit. Long options may be shortened while
 * they are unambiguous.
 */
#ifndef ASQ_SRC_OPTIONS_H
#define ASQ_SRC_OPTIONS_H

#include "asqueue.h"

#define AS_MAX_OPTIONS 64 /* of one program: they are bits of as_cli_args.given */

struct as_option {
    const char *name;   /* without the dashes; the table is sorted by it */
    char letter;        /* the short form; 0: none */
    const char *arg;    /* what the argument is called; NULL: it takes none */
    const char *values; /* what the argument may be: "a|b|c", "FILE", "DIR"; NULL: anything */
    /* Reads text (NULL without an argument) into the field at `offset` of the program's
     * settings. On failure writes what is wrong with it, without naming it. NULL: only noted as
     * given. */
    int (*set)(const struct as_option *o, void *settings, const char *text, char *err,
               size_t errlen);
    size_t offset;
    int64_t min, max; /* of numbers, after their suffix was applied */
    bool everywhere;  /* with every command, not only with those that list it */
    const char *help; /* lines are broken by \n */
};

struct as_command {
    const char *name;
    const char *usage; /* of the arguments: "ID METHOD [ARGS]" */
    const char *help;
    int min, max;        /* how many arguments */
    const char *options; /* names of those it takes beside the ones that go everywhere, by spaces */
    int (*run)(void *program, int argc, char **argv); /* gives the exit status */
};

struct as_cli {
    const char *program;
    const char *summary; /* what it is: the first lines of --help */
    const char *notes;   /* the last ones: environment, exit status */
    const struct as_option *options;
    size_t noptions;
    const struct as_command *commands;
    size_t ncommands;
    const struct as_command *fallback; /* when no command is named; NULL: one is needed */
};

struct as_cli_args {
    const struct as_command *command; /* NULL: none was named (only with --help or --version) */
    int argc;
    char **argv;    /* the arguments after the command; in `words` */
    char **words;   /* all that is no option: main's strings */
    uint64_t given; /* bit i: option i of the table */
};

/* Reads the command line. ASQ_EINVAL: it is wrong, err says how, ret->command is the command as
 * far as it was found. With --help or --version (options of these names) arguments are not
 * counted. */
int as_cli_parse(const struct as_cli *cli, int argc, char **argv, void *settings,
                 struct as_cli_args *ret, char *err, size_t errlen);
void as_cli_args_release(struct as_cli_args *args);
bool as_cli_given(const struct as_cli *cli, const struct as_cli_args *args, const char *name);
/* True when `name` goes with the command. */
bool as_cli_takes(const struct as_command *command, const struct as_option *o);
const struct as_command *as_cli_command(const struct as_cli *cli, const char *name);

/* What `set` can be: a bool becomes true, or false; a string is borrowed from argv; numbers are
 * checked against min and max. */
int as_option_true(const struct as_option *o, void *settings, const char *text, char *err,
                   size_t errlen);
int as_option_false(const struct as_option *o, void *settings, const char *text, char *err,
                    size_t errlen);
int as_option_string(const struct as_option *o, void *settings, const char *text, char *err,
                     size_t errlen);
int as_option_u32(const struct as_option *o, void *settings, const char *text, char *err,
                  size_t errlen);
/* size_t bytes, with suffix K, M or G (powers of 1024). */
int as_option_size(const struct as_option *o, void *settings, const char *text, char *err,
                   size_t errlen);
/* int64_t milliseconds, plain or with suffix ms, s, m or h. */
int as_option_ms(const struct as_option *o, void *settings, const char *text, char *err,
                 size_t errlen);
/* uint32_t seconds, plain or with suffix s, m, h or d. */
int as_option_seconds(const struct as_option *o, void *settings, const char *text, char *err,
                      size_t errlen);
/* int: the index of one of `values`. */
int as_option_choice(const struct as_option *o, void *settings, const char *text, char *err,
                     size_t errlen);

/* Finds the word that was meant: offer all there are, then read `best` (NULL: none is near). */
struct as_nearest {
    const char *word;
    const char *best;
    size_t distance;
};
void as_nearest_offer(struct as_nearest *n, const char *candidate);

/* --help: of the program, or of one command. */
void as_cli_help(const struct as_cli *cli, const struct as_command *command);
/* "usage: as-ctl call ID METHOD [ARGS] [--timeout MS]", to stderr. */
void as_cli_usage(const struct as_cli *cli, const struct as_command *command);
/*
 * Completion: prints what the last of n words (those after the program's name) can be, one a
 * line; ":FILE" or ":DIR" asks the shell for such names. When it is an argument of a command,
 * nothing is printed and false is given: *ret gets the command, argc and argv are then the
 * arguments before it.
 */
bool as_cli_complete(const struct as_cli *cli, int n, char **words, struct as_cli_args *ret);

#endif
