/*
 * program.h: what the two programs' main functions have in common: from argv to the command's function
 * and to the exit status.
 */
#ifndef ASQ_SRC_PROGRAM_H
#define ASQ_SRC_PROGRAM_H

#include "options.h"
#include "output.h"

/* Stands first in a program's own struct, which is what its commands get. */
struct asq__program {
    const struct asq__cli *cli;
    struct asq__reporter who;
    struct asq__cli_args args;
    void *settings;
    const bool *json; /* in the settings */
    /* Completion of a command's arguments; args is as asq__cli_complete gives it. May be NULL. */
    void (*complete)(struct asq__program *p, const struct asq__cli_args *args);
};

int asq__program_main(struct asq__program *p, int argc, char **argv);
/* A mistake in how the command was given: reports it with the command's usage. Gives ASQ__EXIT_USAGE. */
int asq__program_usage(const struct asq__program *p, const char *fmt, ...) ASQ_PRINTF(2, 3);

/* Milliseconds of the monotonic clock. */
int64_t asq__program_now_ms(void);

#endif
