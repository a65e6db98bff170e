/*
 * program.h: shared by the two programs' main functions: from argv to the command's function and to
 * the exit status.
 */
#ifndef ASQ_SRC_PROGRAM_H
#define ASQ_SRC_PROGRAM_H

#include <stdbool.h>
#include <stdint.h>

#include "asqueue.h"
#include "options.h"
#include "output.h"

/* First member of a program's own struct, which its commands get as `program`. */
struct as_program {
    const struct as_cli *cli;
    struct as_reporter who;
    struct as_cli_args args;
    void *settings;
    const bool *json; /* in the settings */
    /* Completes a command's arguments; args as set by as_cli_complete. May be NULL. */
    void (*complete)(struct as_program *p, const struct as_cli_args *args);
};

/* Runs the command. First opens /dev/null in place of each closed standard stream, so that output
 * cannot get into a file or a connection of that number. */
int as_program_main(struct as_program *p, int argc, char **argv);
/* Reports wrong usage of the command, with its usage line. Returns AS_EXIT_USAGE. */
int as_program_usage(const struct as_program *p, const char *fmt, ...) ASQ_PRINTF(2, 3);

/* Returns milliseconds of the monotonic clock. */
int64_t as_program_now_ms(void);
/* Returns the rest of a time limit that began at begun_ms: ASQ_FOREVER for ASQ_FOREVER, else 0 and
 * more. */
int64_t as_program_left_ms(int64_t begun_ms, int64_t timeout_ms);

#endif
