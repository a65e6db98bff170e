/*
 * options.h: a program's command line as two tables, options and commands, from which parsing
 * (options.c), --help and completion (help.c) all come. A new option or command is one entry.
 *
 * Options may stand before, between and after the other arguments; "--" ends them. A word like -5 or
 * -0.5 is an argument, since no option is a digit. Long options may be shortened while they are
 * unambiguous.
 */
#ifndef ASQ_SRC_OPTIONS_H
#define ASQ_SRC_OPTIONS_H

#include "asqueue.h"

#define ASQ__MAX_OPTIONS 64 /* of one program: they are bits of asq__cli_args.given */

struct asq__option {
    const char *name;   /* without the dashes; the table is sorted by it */
    char letter;        /* the short form; 0: none */
    const char *arg;    /* what the argument is called; NULL: it takes none */
    const char *values; /* what the argument may be: "a|b|c", "FILE", "DIR"; NULL: anything */
    /* Reads text (NULL without an argument) into the field at `offset` of the program's settings. On
     * failure writes what is wrong with it, without naming it. NULL: only noted as given. */
    int (*set)(const struct asq__option *o, void *settings, const char *text, char *err, size_t errlen);
    size_t offset;
    int64_t min, max;   /* of numbers, after their suffix was applied */
    bool everywhere;    /* with every command, not only with those that list it */
    const char *help;   /* lines are broken by \n */
};

struct asq__command {
    const char *name;
    const char *usage;   /* of the arguments: "ID METHOD [ARGS]" */
    const char *help;
    int min, max;        /* how many arguments */
    const char *options; /* names of those it takes beside the ones that go everywhere, by spaces */
    int (*run)(void *program, int argc, char **argv); /* gives the exit status */
};

struct asq__cli {
    const char *program;
    const char *summary;            /* what it is: the first lines of --help */
    const char *notes;              /* the last ones: environment, exit status */
    const struct asq__option *options;
    size_t noptions;
    const struct asq__command *commands;
    size_t ncommands;
    const struct asq__command *fallback; /* when no command is named; NULL: one is needed */
};

struct asq__cli_args {
    const struct asq__command *command; /* NULL: none was named (only with --help or --version) */
    int argc;
    char **argv;    /* the arguments after the command; in `words` */
    char **words;   /* all that is no option: main's strings */
    uint64_t given; /* bit i: option i of the table */
};

/* Reads the command line. ASQ_EINVAL: it is wrong, err says how, ret->command is the command as far as
 * it was found. With --help or --version (options of these names) arguments are not counted. */
int asq__cli_parse(const struct asq__cli *cli, int argc, char **argv, void *settings,
                   struct asq__cli_args *ret, char *err, size_t errlen);
void asq__cli_args_release(struct asq__cli_args *args);
bool asq__cli_given(const struct asq__cli *cli, const struct asq__cli_args *args, const char *name);
/* True when `name` goes with the command. */
bool asq__cli_takes(const struct asq__command *command, const struct asq__option *o);
const struct asq__command *asq__cli_command(const struct asq__cli *cli, const char *name);

/* What `set` can be: a bool becomes true, or false; a string is borrowed from argv; numbers are checked
 * against min and max. */
int asq__option_true(const struct asq__option *o, void *settings, const char *text, char *err, size_t errlen);
int asq__option_false(const struct asq__option *o, void *settings, const char *text, char *err, size_t errlen);
int asq__option_string(const struct asq__option *o, void *settings, const char *text, char *err, size_t errlen);
int asq__option_u32(const struct asq__option *o, void *settings, const char *text, char *err, size_t errlen);
/* size_t bytes, with suffix K, M or G (powers of 1024). */
int asq__option_size(const struct asq__option *o, void *settings, const char *text, char *err, size_t errlen);
/* int64_t milliseconds, plain or with suffix ms, s, m or h. */
int asq__option_ms(const struct asq__option *o, void *settings, const char *text, char *err, size_t errlen);
/* uint32_t seconds, plain or with suffix s, m, h or d. */
int asq__option_seconds(const struct asq__option *o, void *settings, const char *text, char *err, size_t errlen);
/* int: the index of one of `values`. */
int asq__option_choice(const struct asq__option *o, void *settings, const char *text, char *err, size_t errlen);

/* Finds the word that was meant: offer all there are, then read `best` (NULL: none is near). */
struct asq__nearest {
    const char *word;
    const char *best;
    size_t distance;
};
void asq__nearest_offer(struct asq__nearest *n, const char *candidate);

/* --help: of the program, or of one command. */
void asq__cli_help(const struct asq__cli *cli, const struct asq__command *command);
/* "usage: as-ctl call ID METHOD [ARGS] [--timeout MS]", to stderr. */
void asq__cli_usage(const struct asq__cli *cli, const struct asq__command *command);
/*
 * Completion: prints what the last of n words (those after the program's name) can be, one a line;
 * ":FILE" or ":DIR" asks the shell for such names. When it is an argument of a command, nothing is
 * printed and false is given: *ret gets the command, argc and argv are then the arguments before it.
 */
bool asq__cli_complete(const struct asq__cli *cli, int n, char **words, struct asq__cli_args *ret);

#endif
