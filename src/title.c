/*
 * title.c: see title.h. Linux shows as a command line what stands in the memory between the first
 * byte of argv and the last one of the environment, as the program was started with; so the strings
 * that the program goes on to use are copied to other places first. They stay allocated until the
 * end of the program.
 */
#include "title.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char *area; /* NULL: there are no titles */
static size_t area_n;
/* Reachable for a leak checker; volatile, or the compiler leaves out what nobody reads. unsetenv
 * takes strings out of the list that environ is, setenv makes another list. */
static char **volatile kept_argv, **volatile kept_strings, **volatile kept_environ;
static const char *name;

static void free_list(char **list)
{
    for (size_t i = 0; list && list[i]; i++)
        free(list[i]);
    free(list);
}

/* Copies a list of strings, ended by NULL. */
static char **copy_list(char **list)
{
    size_t n = 0;
    while (list[n])
        n++;
    char **copy = calloc(n + 1, sizeof *copy);
    for (size_t i = 0; copy && i < n; i++)
        if (!(copy[i] = strdup(list[i]))) {
            free_list(copy);
            return NULL;
        }
    return copy;
}

/* Makes another list of the same strings. */
static char **share_list(char **list)
{
    size_t n = 0;
    while (list[n])
        n++;
    char **other = calloc(n + 1, sizeof *other);
    if (other)
        memcpy(other, list, n * sizeof *other);
    return other;
}

char **as_title_init(int argc, char **argv)
{
    if (argc < 1 || !argv[0] || area)
        return argv;
    char *end = argv[0];
    for (int i = 0; i < argc && argv[i] == end; i++) /* what is not in one piece stays as it is */
        end += strlen(end) + 1;
    char *end_of_argv = end;
    for (char **e = environ; e && *e && *e == end; e++)
        end += strlen(end) + 1;
    char **new_environ = environ ? copy_list(environ) : NULL;
    char **shared = new_environ ? share_list(new_environ) : NULL;
    char **new_argv = copy_list(argv);
    if (!new_argv || (environ && !shared)) {
        free(shared);
        free_list(new_environ);
        free_list(new_argv);
        return argv;
    }
    char *slash = strrchr(new_argv[0], '/');
    name = program_invocation_short_name = slash ? slash + 1 : new_argv[0];
    program_invocation_name = new_argv[0]; /* the C library's, too, pointed into the area */
    kept_argv = new_argv;
    kept_strings = new_environ;
    if (shared)
        environ = kept_environ = shared;
    /* secret.c wipes a password from the environment that there is now. */
    explicit_bzero(end_of_argv, (size_t) (end - end_of_argv));
    area_n = (size_t) (end - argv[0]);
    area = argv[0];
    return new_argv;
}

void as_title_set(const char *text)
{
    char title[512];
    if (!area)
        return;
    int n = snprintf(title, sizeof title, "%s: %s", name, text);
    size_t room = area_n - 1, length = n < 0 ? 0 : (size_t) n;
    if (length >= sizeof title)
        length = sizeof title - 1;
    if (length > room)
        length = room;
    /* A password in the command line goes with the rest of it. */
    memset(area + length, 0, area_n - length);
    memcpy(area, title, length);
}
