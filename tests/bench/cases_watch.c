/*
 * cases_watch.c: the case watched: what it costs to be seen. The figures that workers keep are
 * measured by the worker's CPU with and without --no-stats; those who look (as-ctl top, a page of
 * as-studio and a scraper of metrics) by the rate of calls with and without them.
 */
#include "bench.h"

#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { WINDOW = 1024, AGENTS = 1024, GROUP = 2048, PATIENCE_MS = 30000 };

static int connect_to(int port)
{
    struct sockaddr_in at = { .sin_family = AF_INET,
                              .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
                              .sin_port = htons((uint16_t) port) };
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && connect(fd, (struct sockaddr *) &at, sizeof at) < 0) {
        close(fd);
        fd = -1;
    }
    return fd;
}

/* One who asks for a path over HTTP: once a second, or again whenever a stream of events ends. */
struct asker {
    int port;
    const char *path;
    int told; /* the socket that gets a byte with each answer, as long as somebody reads it */
};

/* Sends the request and reads all of the answer. Returns whether there was one of status 200. */
static bool ask_once(const struct asker *a)
{
    char buf[65536];
    bool good = false;
    int fd = connect_to(a->port);
    if (fd < 0)
        return false;
    int n = snprintf(buf, sizeof buf,
                     "GET %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nConnection: close\r\n\r\n", a->path,
                     a->port);
    ssize_t got = write(fd, buf, (size_t) n) == n ? read(fd, buf, sizeof buf - 1) : -1;
    if (got > 0) {
        buf[got] = '\0';
        good = strncmp(buf, "HTTP/1.1 200", 12) == 0;
        if (good)
            send(a->told, "", 1, MSG_NOSIGNAL | MSG_DONTWAIT);
        while (read(fd, buf, sizeof buf) > 0)
            ;
    }
    close(fd);
    return good;
}

static int ask_for_ever(const void *asker)
{
    for (pid_t parent = getppid(); getppid() == parent; usleep(1000000))
        ask_once(asker);
    return 0;
}

/* Starts one who asks, and returns when the first answer has come. */
static pid_t start_asker(int port, const char *path)
{
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
        fail_client("socketpair: %s", strerror(errno));
    struct asker asker = { .port = port, .path = path, .told = ends[1] };
    pid_t pid = spawn_fn(ask_for_ever, &asker);
    struct pollfd first = { .fd = ends[0], .events = POLLIN };
    close(ends[1]);
    if (poll(&first, 1, PATIENCE_MS) != 1 || !(first.revents & POLLIN))
        fail_client("no answer from 127.0.0.1:%d%s", port, path);
    close(ends[0]);
    return pid;
}

enum { MAX_LOOKERS = 4 };

/* A load, and those who look, who are stopped while it is applied without them. */
struct watched {
    client_fn load;
    struct load what;
    const pid_t *lookers;
    bool looking;
};

/* Starts a program that was built beside as-worker. */
static pid_t start_tool(const char *name, const struct deployment *d, char *const *arguments)
{
    char path[1200], url[sizeof d->url], option[] = "--url";
    char *argv[12] = { path };
    int n = 1;
    const char *slash = strrchr(settings.as_worker, '/');
    snprintf(path, sizeof path, "%.*s%s", slash ? (int) (slash - settings.as_worker) + 1 : 0,
             settings.as_worker, name);
    snprintf(url, sizeof url, "%s", d->url);
    argv[n++] = option;
    argv[n++] = url;
    while (*arguments)
        argv[n++] = *arguments++;
    return spawn(name, argv);
}

static void load_watched(const struct deployment *d, const void *arg, struct outcome *out)
{
    const struct watched *w = arg;
    for (int i = 0; i < MAX_LOOKERS; i++)
        kill(w->lookers[i], w->looking ? SIGCONT : SIGSTOP);
    w->load(d, &w->what, out);
}

/* Starts those who look once a second: as-ctl top, as-studio, a page of it, a scraper. */
static void start_lookers(const struct deployment *d, int metrics, pid_t lookers[MAX_LOOKERS])
{
    int port = free_port();
    char top[] = "top", batch[] = "--batch", frames[] = "1000000", listen[] = "--listen",
         address[32];
    snprintf(address, sizeof address, "127.0.0.1:%d", port);
    lookers[0] = start_tool("as-studio", d, (char *[]){ listen, address, NULL });
    lookers[1] = start_tool("as-ctl", d, (char *[]){ top, batch, frames, NULL });
    lookers[2] = start_asker(metrics, "/metrics");
    for (int tries = 0, fd; (fd = connect_to(port)) < 0 || close(fd) < 0; tries++) {
        if (tries > PATIENCE_MS / 10)
            die("as-studio does not listen: see as-studio.log");
        usleep(10000);
    }
    lookers[3] = start_asker(port, "/api/events");
}

static void add_pair(const struct contender c[2], int rounds, figure_fn fn, const char *unit,
                     enum bar bar, double bar_value)
{
    for (int i = 0; i < 2; i++) {
        struct row row = row_of(c[i].name, &c[i], i ? &c[0] : NULL, rounds, fn, unit);
        row.bar = i ? bar : NO_BAR;
        row.bar_value = bar_value;
        table_add(&row);
    }
}

static void rows_of_looking(int rounds)
{
    char address[32];
    int port = free_port();
    snprintf(address, sizeof address, "127.0.0.1:%d", port);
    struct deployment_options o = { .name = "watched", .metrics = address };
    struct deployment *d = deployment_start(&o);
    pid_t lookers[MAX_LOOKERS];
    start_lookers(d, port, lookers);
    static const char *const names[][2] = { { "packed, alone", "packed, watched" },
                                            { "async, alone", "async, watched" } };
    static const struct load packed = { .method = "noop", .payload = 100, .group = GROUP },
                             async = { .method = "noop",
                                       .payload = 100,
                                       .window = WINDOW,
                                       .agents = AGENTS };
    for (int k = 0; k < 2; k++) {
        struct watched arg[2];
        struct contender c[2];
        memset(c, 0, sizeof c);
        for (int i = 0; i < 2; i++) {
            arg[i] = (struct watched){ k ? load_async : load_packed, k ? async : packed, lookers,
                                       i == 1 };
            c[i] = (struct contender){
                .name = names[k][i], .d = d, .fn = load_watched, .arg = &arg[i], .cpu = -1
            };
        }
        for (int r = 0; r < rounds; r++)
            measure_in_turns(c, r, 1);
        add_pair(c, rounds, calls_per_s, "calls/s", AT_LEAST, 0.97);
    }
    for (int i = MAX_LOOKERS; i-- > 0;) {
        kill(lookers[i], SIGCONT);
        end_process(lookers[i]);
    }
    deployment_stop(d);
}

/* A round has deployments of its own: where its memory lies makes more of a difference to a worker
 * than what is measured here. The one that starts first changes, too. */
static void rows_of_figures(int rounds)
{
    enum { TURNS = 3 };
    static const struct deployment_options options[] = { { .name = "without", .no_stats = true },
                                                         { .name = "with" } };
    static const struct load load = { .method = "noop", .payload = 100, .group = GROUP };
    static const char *const names[] = { "worker's CPU, --no-stats", "worker's CPU, figures" };
    struct contender c[2];
    memset(c, 0, sizeof c);
    for (int i = 0; i < 2; i++)
        c[i] = (struct contender){ .name = names[i], .fn = load_packed, .arg = &load, .cpu = -1 };
    for (int r = 0; r < rounds; r++) {
        for (int i = 0; i < 2; i++) {
            int which = (i + r) % 2;
            c[which].d = deployment_start(&options[which]);
        }
        measure_in_turns(c, r, TURNS);
        for (int i = 0; i < 2; i++)
            deployment_stop(c[i].d);
    }
    add_pair(c, rounds, worker_us, "us", AT_MOST, 1.02);
}

void case_watched(void)
{
    int rounds = rounds_of(9, 3);
    table_case("watched",
               "packed and async calls while as-ctl top, a page of as-studio and a scraper "
               "look; what figures cost");
    rows_of_looking(rounds);
    rows_of_figures(rounds);
}
