/*
 * options.c: reads a command line by its tables (options.h). getopt_long splits it; this file adds
 * error messages that name the wrong word and suggest a similar one. Prints nothing, and knows only
 * the options --help and --version, with which the rest of the line does not matter.
 */
#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "asqueue.h"
#include "options.h"

#define LONG_BASE 256 /* getopt_long's value of option i is LONG_BASE + i, above all letters */
#define MAX_WORD  64  /* longer words are not compared */

static int fail_usage(char *err, size_t errlen, const char *fmt, ...) ASQ_PRINTF(3, 4);

static int fail_usage(char *err, size_t errlen, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(err, errlen, fmt, ap);
    va_end(ap);
    return ASQ_EINVAL;
}

/* ---- What was meant ------------------------------------------------------------------------- */

static size_t min3(size_t a, size_t b, size_t c)
{
    size_t least = a < b ? a : b;
    return least < c ? least : c;
}

/* Returns the letters to insert, delete, replace or swap with a neighbour. Both words have at most
 * MAX_WORD bytes. */
static size_t edit_distance(const char *a, size_t na, const char *b, size_t nb)
{
    size_t rows[3][MAX_WORD + 1];
    size_t *before = rows[0], *last = rows[1], *now = rows[2];
    for (size_t j = 0; j <= nb; j++)
        last[j] = j;
    for (size_t i = 1; i <= na; i++) {
        size_t *spare = before;
        now[0] = i;
        for (size_t j = 1; j <= nb; j++) {
            now[j] = min3(last[j] + 1, now[j - 1] + 1, last[j - 1] + (a[i - 1] != b[j - 1]));
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] &&
                before[j - 2] + 1 < now[j])
                now[j] = before[j - 2] + 1;
        }
        before = last;
        last = now;
        now = spare;
    }
    return last[nb];
}

/* Returns whether `part` is a hyphenated part of `whole`, as "url" is of "redis-url". */
static bool has_part(const char *whole, const char *part)
{
    size_t n = strlen(part);
    for (const char *at = n ? strstr(whole, part) : NULL; at; at = strstr(at + 1, part))
        if ((at == whole || at[-1] == '-') && (!at[n] || at[n] == '-'))
            return true;
    return false;
}

void as_nearest_offer(struct as_nearest *n, const char *candidate)
{
    size_t na = strlen(n->word), nb = strlen(candidate);
    if (na > MAX_WORD || nb > MAX_WORD)
        return;
    size_t d = edit_distance(n->word, na, candidate, nb);
    /* A third of the letters may be wrong. A prefix always matches, and so does a hyphenated part
     * of either word, because the other program may use that name. */
    if (d > (na + 2) / 3 && (na < 2 || strncmp(n->word, candidate, na) != 0) &&
        !has_part(candidate, n->word) && !has_part(n->word, candidate))
        return;
    if (!n->best || d < n->distance) {
        n->best = candidate;
        n->distance = d;
    }
}

/* ---- What options are set to ---------------------------------------------------------------- */

static void *field(const struct as_option *o, void *settings)
{
    return (char *) settings + o->offset;
}

int as_option_true(const struct as_option *o, void *settings, const char *text, char *err,
                   size_t errlen)
{
    (void) text, (void) err, (void) errlen;
    *(bool *) field(o, settings) = true;
    return 0;
}

int as_option_false(const struct as_option *o, void *settings, const char *text, char *err,
                    size_t errlen)
{
    (void) text, (void) err, (void) errlen;
    *(bool *) field(o, settings) = false;
    return 0;
}

int as_option_string(const struct as_option *o, void *settings, const char *text, char *err,
                     size_t errlen)
{
    if (!*text)
        return fail_usage(err, errlen, "it is empty");
    *(const char **) field(o, settings) = text;
    return 0;
}

struct suffix {
    const char *name;
    uint64_t factor;
};

/* Reads a whole number with one of the suffixes ("": the suffix may be missing). */
static int number(const struct as_option *o, const char *text, const struct suffix *suffixes,
                  uint64_t *ret, char *err, size_t errlen)
{
    if (!isdigit((unsigned char) *text))
        return fail_usage(err, errlen, "a number is needed");
    errno = 0;
    char *end;
    unsigned long long n = strtoull(text, &end, 10);
    const struct suffix *s;
    for (s = suffixes; s->name && strcasecmp(end, s->name) != 0; s++)
        ;
    if (!s->name) {
        size_t used = (size_t) snprintf(err, errlen, "a whole number is needed");
        for (s = suffixes; s->name && used < errlen; s++)
            if (*s->name)
                used += (size_t) snprintf(err + used, errlen - used, "%s%s",
                                          s == suffixes + 1 ? ", if need be followed by " : ", ",
                                          s->name);
        return ASQ_EINVAL;
    }
    uint64_t value;
    if (errno == ERANGE || __builtin_mul_overflow((uint64_t) n, s->factor, &value) ||
        value < (uint64_t) o->min || value > (uint64_t) o->max)
        return fail_usage(err, errlen, "it must be %lld to %lld", (long long) o->min,
                          (long long) o->max);
    *ret = value;
    return 0;
}

int as_option_u32(const struct as_option *o, void *settings, const char *text, char *err,
                  size_t errlen)
{
    static const struct suffix none[] = { { "", 1 }, { NULL, 0 } };
    uint64_t n;
    int rc = number(o, text, none, &n, err, errlen);
    if (rc == 0)
        *(uint32_t *) field(o, settings) = (uint32_t) n;
    return rc;
}

int as_option_share(const struct as_option *o, void *settings, const char *text, char *err,
                    size_t errlen)
{
    char *end;
    double share = strtod(text, &end);
    if (!strchr("0123456789.", *text) || *end || end == text)
        return fail_usage(err, errlen, "it is no number");
    if (!(share >= (double) o->min && share <= (double) o->max))
        return fail_usage(err, errlen, "it must be %lld to %lld", (long long) o->min,
                          (long long) o->max);
    *(double *) field(o, settings) = share;
    return 0;
}

int as_option_size(const struct as_option *o, void *settings, const char *text, char *err,
                   size_t errlen)
{
    static const struct suffix sizes[] = {
        { "", 1 }, { "K", 1 << 10 }, { "M", 1 << 20 }, { "G", 1 << 30 }, { NULL, 0 }
    };
    uint64_t n;
    int rc = number(o, text, sizes, &n, err, errlen);
    if (rc == 0)
        *(size_t *) field(o, settings) = (size_t) n;
    return rc;
}

int as_option_ms(const struct as_option *o, void *settings, const char *text, char *err,
                 size_t errlen)
{
    static const struct suffix times[] = { { "", 1 },      { "ms", 1 },      { "s", 1000 },
                                           { "m", 60000 }, { "h", 3600000 }, { NULL, 0 } };
    uint64_t n;
    int rc = number(o, text, times, &n, err, errlen);
    if (rc == 0)
        *(int64_t *) field(o, settings) = (int64_t) n;
    return rc;
}

int as_option_seconds(const struct as_option *o, void *settings, const char *text, char *err,
                      size_t errlen)
{
    static const struct suffix times[] = { { "", 1 },     { "s", 1 },     { "m", 60 },
                                           { "h", 3600 }, { "d", 86400 }, { NULL, 0 } };
    uint64_t n;
    int rc = number(o, text, times, &n, err, errlen);
    if (rc == 0)
        *(uint32_t *) field(o, settings) = (uint32_t) n;
    return rc;
}

int as_option_choice(const struct as_option *o, void *settings, const char *text, char *err,
                     size_t errlen)
{
    size_t n = strlen(text);
    int i = 0;
    for (const char *p = o->values;; p++, i++) {
        size_t len = strcspn(p, "|");
        if (len == n && strncmp(p, text, n) == 0) {
            *(int *) field(o, settings) = i;
            return 0;
        }
        p += len;
        if (!*p)
            return fail_usage(err, errlen, "it must be one of %s", o->values);
    }
}

/* ---- The line ------------------------------------------------------------------------------- */

bool as_cli_takes(const struct as_command *command, const struct as_option *o)
{
    size_t n = strlen(o->name);
    if (o->everywhere)
        return true;
    for (const char *p = command->options; p && *p; p += strcspn(p, " "), p += strspn(p, " "))
        if (strncmp(p, o->name, n) == 0 && (p[n] == ' ' || !p[n]))
            return true;
    return false;
}

bool as_cli_given(const struct as_cli *cli, const struct as_cli_args *args, const char *name)
{
    for (size_t i = 0; i < cli->noptions; i++)
        if (strcmp(cli->options[i].name, name) == 0)
            return args->given >> i & 1;
    return false;
}

const char *as_command_in_group(const struct as_command *command, const char *group)
{
    size_t n = strlen(group);
    return strncmp(command->name, group, n) == 0 && command->name[n] == ' ' ? command->name + n + 1
                                                                            : NULL;
}

bool as_cli_has_group(const struct as_cli *cli, const char *group)
{
    for (size_t i = 0; i < cli->ncommands; i++)
        if (as_command_in_group(&cli->commands[i], group))
            return true;
    return false;
}

const struct as_command *as_cli_command(const struct as_cli *cli, int n, char *const *words,
                                        int *ret_used)
{
    for (size_t i = 0; n > 0 && i < cli->ncommands; i++) {
        const struct as_command *c = &cli->commands[i];
        const char *second = as_command_in_group(c, words[0]);
        if (second ? n > 1 && strcmp(second, words[1]) == 0 : strcmp(c->name, words[0]) == 0) {
            *ret_used = second ? 2 : 1;
            return c;
        }
    }
    return NULL;
}

static int unknown_long(const struct as_cli *cli, const char *word, char *err, size_t errlen)
{
    size_t n = strcspn(word + 2, "="), begun = 0;
    char name[MAX_WORD + 1];
    struct as_nearest nearest = { name, NULL, 0 };
    snprintf(name, sizeof name, "%.*s", (int) (n < MAX_WORD ? n : MAX_WORD), word + 2);
    for (size_t i = 0; i < cli->noptions; i++)
        begun += n > 0 && strncmp(cli->options[i].name, name, n) == 0;
    if (begun > 1) {
        size_t used = (size_t) snprintf(err, errlen, "--%s can be", name);
        for (size_t i = 0; i < cli->noptions && used < errlen; i++)
            if (strncmp(cli->options[i].name, name, n) == 0)
                used += (size_t) snprintf(err + used, errlen - used, " --%s", cli->options[i].name);
        return ASQ_EINVAL;
    }
    for (size_t i = 0; i < cli->noptions; i++)
        as_nearest_offer(&nearest, cli->options[i].name);
    if (nearest.best && strncmp(nearest.best, "no-", 3) == 0 && strcmp(nearest.best + 3, name) == 0)
        return fail_usage(err, errlen, "there is no option --%s, only its opposite, --%s", name,
                          nearest.best);
    if (nearest.best)
        return fail_usage(err, errlen, "there is no option --%s; did you mean --%s?", name,
                          nearest.best);
    return fail_usage(err, errlen, "there is no option --%s", name);
}

/* Returns the index of the option for getopt's value, or -1. */
static int option_index(const struct as_cli *cli, int value)
{
    if (value >= LONG_BASE)
        return value - LONG_BASE;
    for (size_t i = 0; i < cli->noptions; i++)
        if (value && cli->options[i].letter == value)
            return (int) i;
    return -1;
}

static int fail_option(const struct as_cli *cli, int kind, const char *word, char *err,
                       size_t errlen)
{
    int i = option_index(cli, optopt);
    if (kind == ':' && i >= 0)
        return fail_usage(err, errlen, "--%s needs an argument, %s", cli->options[i].name,
                          cli->options[i].arg);
    if (i >= 0)
        return fail_usage(err, errlen, "--%s takes no argument", cli->options[i].name);
    if (optopt)
        return fail_usage(err, errlen, "there is no option -%c", optopt);
    return unknown_long(cli, word, err, errlen);
}

static int set_option(const struct as_cli *cli, int i, void *settings, struct as_cli_args *args,
                      char *err, size_t errlen)
{
    const struct as_option *o = &cli->options[i];
    args->given |= UINT64_C(1) << i;
    char why[256];
    if (!o->set || o->set(o, settings, optarg, why, sizeof why) == 0)
        return 0;
    return fail_usage(err, errlen, "--%s %s: %s", o->name, optarg, why);
}

/* Splits the line: sets options, and collects all other words in args. */
static int split(const struct as_cli *cli, int argc, char **argv, void *settings,
                 struct as_cli_args *args, char *err, size_t errlen)
{
    struct option longs[AS_MAX_OPTIONS + 1] = { { NULL, 0, NULL, 0 } };
    char shorts[2 * AS_MAX_OPTIONS + 3] = "-:"; /* words in order; report missing arguments */
    size_t n = 2;
    for (size_t i = 0; i < cli->noptions; i++) {
        const struct as_option *o = &cli->options[i];
        longs[i] = (struct option){ o->name, o->arg ? required_argument : no_argument, NULL,
                                    LONG_BASE + (int) i };
        if (o->letter) {
            shorts[n++] = o->letter;
            if (o->arg)
                shorts[n++] = ':';
        }
    }
    opterr = 0;
    for (;;) {
        const char *word = optind < argc ? argv[optind] : "";
        if (word[0] == '-' && (isdigit((unsigned char) word[1]) || word[1] == '.')) {
            args->words[args->argc++] = argv[optind++]; /* a negative number */
            continue;
        }
        int kind = getopt_long(argc, argv, shorts, longs, NULL);
        if (kind == -1)
            break;
        int rc;
        if (kind == 1)
            args->words[args->argc++] = optarg;
        else if (kind == '?' || kind == ':')
            return fail_option(cli, kind, word, err, errlen);
        else if ((rc = set_option(cli, option_index(cli, kind), settings, args, err, errlen)) < 0)
            return rc;
    }
    while (optind < argc)
        args->words[args->argc++] = argv[optind++];
    return 0;
}

/* Writes "'dead' is followed by list, show, retry or drop". */
static int fail_incomplete(const struct as_cli *cli, const char *group, char *err, size_t errlen)
{
    size_t left = 0, used = (size_t) snprintf(err, errlen, "'%s' is followed by ", group);
    for (size_t i = 0; i < cli->ncommands; i++)
        left += as_command_in_group(&cli->commands[i], group) != NULL;
    for (size_t i = 0; i < cli->ncommands && used < errlen; i++) {
        const char *second = as_command_in_group(&cli->commands[i], group);
        if (!second)
            continue;
        left--;
        used += (size_t) snprintf(err + used, errlen - used, "%s%s", second,
                                  left > 1    ? ", "
                                  : left == 1 ? " or "
                                              : "");
    }
    return ASQ_EINVAL;
}

static int unknown_command(const struct as_cli *cli, const struct as_cli_args *args, char *err,
                           size_t errlen)
{
    const char *group = args->group ? args->group : "", *between = args->group ? " " : "";
    const char *word = args->words[args->group ? 1 : 0];
    struct as_nearest nearest = { .word = word };
    for (size_t i = 0; i < cli->ncommands; i++) {
        const char *name = cli->commands[i].name;
        if (args->group)
            name = as_command_in_group(&cli->commands[i], args->group);
        if (name)
            as_nearest_offer(&nearest, name);
    }
    char first[MAX_WORD + 1]; /* nearest.best may point to it */
    /* The first word of a group by itself. */
    for (size_t i = 0; !args->group && !nearest.best && i < cli->ncommands; i++) {
        size_t n = strcspn(cli->commands[i].name, " ");
        snprintf(first, sizeof first, "%.*s", (int) n, cli->commands[i].name);
        as_nearest_offer(&nearest, first);
    }
    if (nearest.best)
        return fail_usage(err, errlen, "there is no command '%s%s%s'; did you mean '%s%s%s'?",
                          group, between, word, group, between, nearest.best);
    return fail_usage(err, errlen, "there is no command '%s%s%s'", group, between, word);
}

static int find_command(const struct as_cli *cli, struct as_cli_args *args, char *err,
                        size_t errlen)
{
    if (args->argc == 0) {
        args->command = cli->fallback;
        return args->command ? 0 : fail_usage(err, errlen, "a command is needed");
    }
    int used;
    args->command = as_cli_command(cli, args->argc, args->words, &used);
    if (args->command) {
        args->argv = args->words + used;
        args->argc -= used;
        return 0;
    }
    if (as_cli_has_group(cli, args->words[0]))
        args->group = args->words[0];
    if (args->group && args->argc == 1)
        return fail_incomplete(cli, args->group, err, errlen);
    return unknown_command(cli, args, err, errlen);
}

static int check_options(const struct as_cli *cli, const struct as_cli_args *args, char *err,
                         size_t errlen)
{
    for (size_t i = 0; i < cli->noptions; i++)
        if (args->given >> i & 1 && !as_cli_takes(args->command, &cli->options[i]))
            return fail_usage(err, errlen, "--%s does not go with '%s'", cli->options[i].name,
                              args->command->name);
    return 0;
}

int as_cli_parse(const struct as_cli *cli, int argc, char **argv, void *settings,
                 struct as_cli_args *ret, char *err, size_t errlen)
{
    *ret = (struct as_cli_args){ .words = calloc((size_t) argc + 1, sizeof *ret->words) };
    if (!ret->words) {
        fail_usage(err, errlen, "out of memory");
        return ASQ_ENOMEM;
    }
    ret->argv = ret->words;
    int rc = split(cli, argc, argv, settings, ret, err, errlen);
    if (rc < 0) {
        char ignored[1];
        find_command(cli, ret, ignored, sizeof ignored);
        return rc;
    }
    bool asked = as_cli_given(cli, ret, "help") || as_cli_given(cli, ret, "version");
    if (asked && ret->argc == 0)
        return 0;
    rc = find_command(cli, ret, err, errlen);
    if (asked && ret->group && ret->argc == 1)
        return 0;
    if (rc < 0 || asked)
        return rc;
    if ((rc = check_options(cli, ret, err, errlen)) < 0)
        return rc;
    if (ret->argc < ret->command->min)
        return fail_usage(err, errlen, "'%s' needs %s", ret->command->name, ret->command->usage);
    if (ret->argc > ret->command->max)
        return fail_usage(err, errlen, "'%s' is one argument too many for '%s'",
                          ret->argv[ret->command->max], ret->command->name);
    return 0;
}

void as_cli_args_release(struct as_cli_args *args)
{
    free(args->words);
    *args = (struct as_cli_args){ 0 };
}
