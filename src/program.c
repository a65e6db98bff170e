/*
 * program.c: see program.h.
 */
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "program.h"
#include "secret.h"

int64_t as_program_now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t) now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

int64_t as_program_left_ms(int64_t begun_ms, int64_t timeout_ms)
{
    int64_t left = timeout_ms - (as_program_now_ms() - begun_ms);
    if (timeout_ms == ASQ_FOREVER)
        return ASQ_FOREVER;
    return left > 0 ? left : 0;
}

int as_program_usage(const struct as_program *p, const char *fmt, ...)
{
    va_list ap;
    char message[1024];
    va_start(ap, fmt);
    vsnprintf(message, sizeof message, fmt, ap);
    va_end(ap);
    as_report_usage(&p->who, message);
    if (!p->who.json)
        as_cli_usage(p->cli, &p->args);
    return AS_EXIT_USAGE;
}

/* Handles --complete WORD...: completes the last word. */
static int complete(struct as_program *p, int n, char **words)
{
    struct as_cli_args args;
    if (!as_cli_complete(p->cli, n, words, &args) && p->complete)
        p->complete(p, &args);
    return AS_EXIT_OK;
}

/* Looks for --json, so that errors before it in the line are also reported as JSON. */
static bool asks_for_json(int argc, char **argv)
{
    for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++)
        if (strcmp(argv[i], "--json") == 0)
            return true;
    return false;
}

static int run(struct as_program *p, int argc, char **argv)
{
    char err[512];
    int rc = as_cli_parse(p->cli, argc, argv, p->settings, &p->args, err, sizeof err);
    p->who.json = *p->json || (rc < 0 && asks_for_json(argc, argv));
    if (rc == ASQ_EINVAL)
        return as_program_usage(p, "%s", err);
    if (rc < 0)
        return as_report_code(&p->who, rc, NULL, "%s", err);
    if (as_cli_given(p->cli, &p->args, "help")) {
        as_cli_help(p->cli, &p->args);
        return AS_EXIT_OK;
    }
    if (as_cli_given(p->cli, &p->args, "version")) {
        printf("%s %s\n", p->cli->program, asq_version());
        return AS_EXIT_OK;
    }
    return p->args.command->run(p, p->args.argc, p->args.argv);
}

/* Opens /dev/null in place of closed streams, read-only, so that output fails and as_finish_output
 * reports it. */
static void secure_standard_streams(void)
{
    int fd;
    while ((fd = open("/dev/null", O_RDONLY)) >= 0 && fd <= STDERR_FILENO)
        ;
    if (fd > STDERR_FILENO)
        close(fd);
}

int as_program_main(struct as_program *p, int argc, char **argv)
{
    secure_standard_streams();
    as_secret_url(); /* clears the environment before any process or plugin can see it */

    int status;
    if (argc > 1 && strcmp(argv[1], "--complete") == 0)
        status = complete(p, argc - 2, argv + 2);
    else
        status = run(p, argc, argv);
    as_cli_args_release(&p->args);
    return as_finish_output(&p->who, status);
}
