/*
 * history.c: see history.h.
 */
#include "history.h"
#include "chaos.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int fd = -1;

void history_open(const char *path)
{
    if ((fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600)) < 0)
        sup_fail("%s: %s", path, strerror(errno));
}

/* Uses one write, so that a line is complete or missing when the process is killed. */
void history_line(const char *fmt, ...)
{
    char line[8192];
    va_list ap;
    int n;

    va_start(ap, fmt);
    n = vsnprintf(line, sizeof line - 1, fmt, ap);
    va_end(ap);
    if (n < 0 || (size_t) n >= sizeof line - 1)
        sup_fail("a line of the history is too long: %s", fmt);
    for (int i = 0; i < n; i++)
        if (line[i] == '\n')
            line[i] = ' ';
    line[n] = '\n';
    if (write(fd, line, (size_t) n + 1) != n + 1)
        sup_fail("history: %s", strerror(errno));
}

/* ---- reading ---- */

static void *grown(void *p, size_t n, size_t size)
{
    if ((n & (n - 1)) != 0)
        return p;
    p = realloc(p, (n ? 2 * n : 1) * size);
    if (!p)
        sup_fail("out of memory");
    return p;
}

static char *copy(const char *s)
{
    return sup_format("%s", s);
}

static void invoked(struct history *h, char *rest, int caller)
{
    char *save = NULL, *word = strtok_r(rest, " ", &save), *colon;
    struct op *op;

    h->ops = grown(h->ops, h->n, sizeof *h->ops);
    op = &h->ops[h->n++];
    *op = (struct op){ .id = copy(word), .outcome = 'u', .caller = caller, .workload = -1 };
    word = strtok_r(NULL, " ", &save);
    for (int w = 0; word && w < WORKLOADS; w++)
        if (strcmp(word, workload_names[w]) == 0)
            op->workload = w;
    if (op->workload < 0)
        sup_fail("history: what is workload %s?", word ? word : "");
    while ((word = strtok_r(NULL, " ", &save))) {
        if (!(colon = strchr(word, ':')))
            sup_fail("history: what is %s?", word);
        *colon = '\0';
        op->effects = grown(op->effects, op->n_effects, sizeof *op->effects);
        op->effects[op->n_effects++] = (struct effect){ copy(word), copy(colon + 1), 0 };
    }
}

static void ended(struct history *h, size_t first, char what, char *rest)
{
    char *save = NULL, *id = strtok_r(rest, " ", &save);
    struct op *op = NULL;
    char *word;

    for (size_t i = h->n; !op && i > first; i--)
        if (strcmp(h->ops[i - 1].id, id) == 0)
            op = &h->ops[i - 1];
    if (!op)
        sup_fail("history: %s ends, but was not invoked", id);
    op->outcome = what;
    if (what == 'o') {
        if ((word = strtok_r(NULL, " ", &save))) {
            op->has_value = true;
            op->value = strtoll(word, NULL, 10);
        }
        return;
    }
    if (what != 'b' && (word = strtok_r(NULL, " ", &save)))
        op->code = atoi(word);
    word = strtok_r(NULL, "", &save);
    op->text = copy(word ? word : "");
}

static void seen(struct history *h, const char *line)
{
    struct sight *s;

    h->sights = grown(h->sights, h->n_sights, sizeof *h->sights);
    s = &h->sights[h->n_sights++];
    memset(s, 0, sizeof *s);
    if (sscanf(line, "%31s %zu %39s", s->agent, &s->n, s->run) != 3)
        sup_fail("history: what is %s?", line);
}

static void read_file(struct history *h, const char *path, int caller)
{
    char *text = sup_read_file(path), *line = text, *end;
    size_t first = h->n;

    for (; (end = strchr(line, '\n')); line = end + 1) {
        *end = '\0';
        if (line[0] == 't')
            h->callers[caller].told += (unsigned) strtoul(line + 2, NULL, 10);
        else if (line[0] == 'e')
            h->callers[caller].ended = true;
        else if (line[0] == 'r')
            seen(h, line + 2);
        else if (line[0] == 'i')
            invoked(h, line + 2, caller);
        else
            ended(h, first, line[0], line + 2);
    }
    free(text);
}

void history_read(struct history *h, const char *dir)
{
    DIR *d = opendir(dir);
    struct dirent *e;
    int caller = 0;

    memset(h, 0, sizeof *h);
    if (!d)
        sup_fail("%s: %s", dir, strerror(errno));
    while ((e = readdir(d))) {
        char *path;
        if (strncmp(e->d_name, "history.", 8) != 0)
            continue;
        if (caller == MAX_HISTORIES)
            sup_fail("too many callers");
        path = sup_format("%s/%s", dir, e->d_name);
        read_file(h, path, caller++);
        free(path);
    }
    closedir(d);
}

void history_free(struct history *h)
{
    for (size_t i = 0; i < h->n; i++) {
        struct op *op = &h->ops[i];
        for (size_t k = 0; k < op->n_effects; k++) {
            free(op->effects[k].agent);
            free(op->effects[k].item);
        }
        free(op->effects);
        free(op->id);
        free(op->text);
    }
    free(h->sights);
    free(h->ops);
}
