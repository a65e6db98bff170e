/*
 * program.h: what the two programs' main functions have in common: from argv to the command's
 * function and to the exit status.
 */
#ifndef ASQ_SRC_PROGRAM_H
#define ASQ_SRC_PROGRAM_H

#include "options.h"
#include "output.h"

/* Stands first in a program's own struct, which is what its commands get. */
struct as_program {
    const struct as_cli *cli;
    struct as_reporter who;
    struct as_cli_args args;
    void *settings;
    const bool *json; /* in the settings */
    /* Completion of a command's arguments; args is as as_cli_complete gives it. May be NULL. */
    void (*complete)(struct as_program *p, const struct as_cli_args *args);
};

/* Runs the command. Before anything else it opens /dev/null as each standard stream that is closed, so
 * that what is printed cannot get into a file or a connection of that number. */
int as_program_main(struct as_program *p, int argc, char **argv);
/* A mistake in how the command was given: reports it with the command's usage. Gives
 * AS_EXIT_USAGE. */
int as_program_usage(const struct as_program *p, const char *fmt, ...) ASQ_PRINTF(2, 3);

/* Milliseconds of the monotonic clock. */
int64_t as_program_now_ms(void);
/* The rest of a time limit that began at begun_ms: ASQ_FOREVER for ASQ_FOREVER, else 0 and more. */
int64_t as_program_left_ms(int64_t begun_ms, int64_t timeout_ms);

#endif
