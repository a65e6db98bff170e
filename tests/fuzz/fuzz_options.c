/*
 * fuzz_options.c: any command line is read or refused with a text that names the error; accepted
 * numbers are within their bounds, and completion of the line never fails. Words are separated by
 * NUL.
 */
#include "asqueue.h"
#include "options.h"

#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { WORDS = 40 };

struct settings {
    bool all, wait;
    const char *name;
    uint32_t count, seconds;
    size_t bytes;
    int64_t ms;
    int choice;
};
#define AT(field) offsetof(struct settings, field)

static const struct as_option options[] = {
    { "all", 'a', NULL, NULL, as_option_true, AT(all), 0, 0, true, "all" },
    { "bytes", 'b', "BYTES", NULL, as_option_size, AT(bytes), 1024, INT64_C(1) << 40, false, "b" },
    { "choice", 0, "C", "red|green|blue", as_option_choice, AT(choice), 0, 0, false, "one" },
    { "count", 'c', "N", NULL, as_option_u32, AT(count), 1, 4096, false, "how many" },
    { "help", 'h', NULL, NULL, NULL, 0, 0, 0, true, "this" },
    { "ms", 't', "MS", NULL, as_option_ms, AT(ms), 1, 86400000, false, "time" },
    { "name", 'n', "NAME", "FILE", as_option_string, AT(name), 0, 0, true, "a name" },
    { "no-wait", 0, NULL, NULL, as_option_false, AT(wait), 0, 0, false, "not" },
    { "seconds", 's', "S", NULL, as_option_seconds, AT(seconds), 1, 31536000, false, "time" },
    { "version", 'V', NULL, NULL, NULL, 0, 0, 0, true, "the version" },
};
static const struct as_command commands[] = {
    { "call", "ID METHOD [ARGS]", "calls", 2, 3, "bytes choice ms", NULL },
    { "dead list", "", "lists", 0, 0, "count", NULL },
    { "dead show", "ID", "shows", 1, 1, NULL, NULL },
    { "start", "", "starts", 0, 0, "count seconds no-wait", NULL },
};
static const struct as_cli cli = {
    "fuzz", "summary", "notes", options, sizeof options / sizeof *options, commands, 4, &commands[3]
};

static void require(int condition)
{
    if (!condition)
        abort();
}

static void check_settings(const struct settings *s, const struct as_cli_args *args)
{
    if (as_cli_given(&cli, args, "bytes"))
        require(s->bytes >= 1024 && s->bytes <= (size_t) 1 << 40);
    if (as_cli_given(&cli, args, "count"))
        require(s->count >= 1 && s->count <= 4096);
    if (as_cli_given(&cli, args, "ms"))
        require(s->ms >= 1 && s->ms <= 86400000);
    if (as_cli_given(&cli, args, "seconds"))
        require(s->seconds >= 1 && s->seconds <= 31536000);
    if (as_cli_given(&cli, args, "choice"))
        require(s->choice >= 0 && s->choice <= 2);
    if (as_cli_given(&cli, args, "name"))
        require(s->name != NULL);
}

/* Completes a line, with the output to /dev/null. */
static void complete(int n, char **words)
{
    static int nowhere = -1;
    struct as_cli_args args;
    int out;

    if (n == 0)
        return;
    if (nowhere < 0)
        nowhere = open("/dev/null", O_WRONLY | O_CLOEXEC);
    fflush(stdout);
    out = dup(STDOUT_FILENO);
    require(nowhere >= 0 && out >= 0);
    dup2(nowhere, STDOUT_FILENO);
    memset(&args, 0, sizeof args);
    as_cli_complete(&cli, n, words, &args);
    as_cli_args_release(&args);
    fflush(stdout);
    dup2(out, STDOUT_FILENO);
    close(out);
}

/* Resets getopt, which would otherwise go on in the last command line, because programs read only
 * one. */
static void reset_getopt(void)
{
    static const struct option none[] = { { NULL, 0, NULL, 0 } };
    char program[] = "fuzz", *argv[] = { program, NULL };

    optind = 0;
    (void) getopt_long(1, argv, "-:", none, NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct settings settings = { .wait = true };
    struct as_cli_args args;
    char err[600] = "", program[] = "fuzz", *text = malloc(size + 1),
         *argv[WORDS + 2] = { program };
    int argc = 1;

    require(text != NULL);
    memcpy(text, data, size);
    text[size] = '\0';
    for (size_t at = 0; at < size && argc <= WORDS; at += strlen(text + at) + 1)
        argv[argc++] = text + at;
    reset_getopt();
    int rc = as_cli_parse(&cli, argc, argv, &settings, &args, err, sizeof err);
    if (rc < 0)
        require(rc == ASQ_EINVAL && *err);
    else if (args.group)
        require(!args.command);
    else if (args.command)
        require(as_cli_given(&cli, &args, "help") || as_cli_given(&cli, &args, "version") ||
                (args.argc >= args.command->min && args.argc <= args.command->max));
    if (rc == 0)
        check_settings(&settings, &args);
    as_cli_args_release(&args);
    complete(argc - 1, argv + 1);
    free(text);
    return 0;
}
