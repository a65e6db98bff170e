/*
 * line_caller.c: a program with one handle, for shell tests, that calls agents of the class Counter
 * as the lines of its input say:
 *
 *     line_caller URL
 *
 *     add ID N      calls ID's method `add` with N, and prints "ID SUM"
 *     begin ID N    makes such a call, and does not wait for it
 *     wait          waits for all that were begun, and prints each as above
 *
 * A failure is printed as "ID failed: TEXT". The log of the handle goes to the standard error.
 * Between the lines the handle is polled, as by a program with a loop. Ends with its input.
 */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "asqueue.h"

enum { BEGUN_MAX = 64, LINE_MAX_BYTES = 200, POLL_MS = 20 };

static asq *h;
static struct begun {
    char id[LINE_MAX_BYTES];
    asq_result *result;
} begun[BEGUN_MAX];
static int n_begun;

static void log_line(void *user, asq_log_level level, const char *message)
{
    (void) user, (void) level;
    fprintf(stderr, "log: %s\n", message);
}

static void finish(const char *id, asq_result *result)
{
    int64_t sum;
    if (asq_result_int(result, &sum) < 0)
        printf("%s failed: %s\n", id, asq_errmsg(h));
    else
        printf("%s %lld\n", id, (long long) sum);
    asq_result_free(result);
}

static void wait_for_all(void)
{
    for (int i = 0; i < n_begun; i++)
        finish(begun[i].id, begun[i].result);
    n_begun = 0;
}

/* Makes a call. NULL: it has failed, and that is printed. */
static asq_result *call(const char *id, long long n)
{
    asq_agent *agent = NULL;
    asq_result *result = NULL;
    int rc = asq_attach(h, id, &agent);
    if (rc == 0)
        rc = asq_call(agent, "add", &result, "[I]", (int64_t) n);
    asq_agent_free(agent);
    if (rc < 0)
        printf("%s failed: %s\n", id, asq_errmsg(h));
    return rc < 0 ? NULL : result;
}

static void begin(const char *id, long long n)
{
    struct begun *b = &begun[n_begun];
    if (n_begun == BEGUN_MAX) {
        printf("%s failed: too many calls were begun\n", id);
        return;
    }
    b->result = call(id, n);
    if (!b->result)
        return;
    snprintf(b->id, sizeof b->id, "%s", id);
    n_begun++;
}

static void add(const char *id, long long n)
{
    asq_result *result = call(id, n);
    if (result)
        finish(id, result);
}

static void obey(const char *line)
{
    char word[LINE_MAX_BYTES] = "", id[LINE_MAX_BYTES] = "";
    long long n = 0;
    int fields = sscanf(line, "%199s %199s %lld", word, id, &n);
    if (fields == 3 && strcmp(word, "add") == 0) {
        add(id, n);
    } else if (fields == 3 && strcmp(word, "begin") == 0) {
        begin(id, n);
    } else if (strcmp(word, "wait") == 0) {
        wait_for_all();
    } else {
        printf("not understood: %s\n", line);
    }
    fflush(stdout);
}

/* Reads a line without its end, and polls the handle meanwhile. False: the input has ended. */
static bool read_line(char line[LINE_MAX_BYTES])
{
    size_t n = 0;
    for (;;) {
        struct pollfd in = { STDIN_FILENO, POLLIN, 0 };
        char c;
        while (poll(&in, 1, POLL_MS) == 0)
            asq_poll(h, 0);
        if (read(STDIN_FILENO, &c, 1) != 1)
            return false;
        if (c == '\n')
            break;
        if (n + 1 < LINE_MAX_BYTES)
            line[n++] = c;
    }
    line[n] = '\0';
    return true;
}

int main(int argc, char **argv)
{
    asq_options options = ASQ_OPTIONS_INIT;
    char err[800] = "", line[LINE_MAX_BYTES];
    options.log = log_line;
    options.timeout_ms = 120000;
    if (argc != 2) {
        fprintf(stderr, "usage: %s URL\n", argv[0]);
        return 2;
    }
    if (asq_open(argv[1], &options, &h, err, sizeof err) < 0) {
        fprintf(stderr, "%s\n", err);
        return 1;
    }
    printf("open\n");
    fflush(stdout);
    while (read_line(line))
        obey(line);
    return asq_close(h) < 0;
}
