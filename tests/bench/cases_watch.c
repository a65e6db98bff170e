/*
 * cases_watch.c: the case watched: what it costs to be seen. The figures that workers keep are
 * measured by the worker's CPU with and without --no-stats; those who look (as-ctl top, a page of
 * as-studio and a scraper of metrics) by the rate of calls with and without them.
 */
#include "bench.h"

#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
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

/* A load, and who looks while it is applied. */
struct watched {
    client_fn load;
    struct load what;
    int metrics; /* the port where as-worker has its metrics */
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

/* Applies the load while as-ctl top, a page of as-studio and a scraper look, each once a second. */
static void load_watched(const struct deployment *d, const void *arg, struct outcome *out)
{
    const struct watched *w = arg;
    int port = free_port();
    char top[] = "top", batch[] = "--batch", frames[] = "1000000", listen[] = "--listen",
         address[32];
    snprintf(address, sizeof address, "127.0.0.1:%d", port);
    pid_t lookers[] = {
        start_tool("as-studio", d, (char *[]){ listen, address, NULL }),
        start_tool("as-ctl", d, (char *[]){ top, batch, frames, NULL }),
        start_asker(w->metrics, "/metrics"),
    };
    for (int tries = 0, fd; (fd = connect_to(port)) < 0 || close(fd) < 0; tries++) {
        if (tries > PATIENCE_MS / 10)
            fail_client("as-studio does not listen: see as-studio.log");
        usleep(10000);
    }
    pid_t page = start_asker(port, "/api/events");
    w->load(d, &w->what, out);
    end_process(page);
    for (size_t i = 0; i < sizeof lookers / sizeof *lookers; i++)
        end_process(lookers[i]);
}

static void rows_of_looking(int rounds)
{
    char address[32];
    int port = free_port();
    snprintf(address, sizeof address, "127.0.0.1:%d", port);
    struct deployment_options o = { .name = "watched", .metrics = address };
    struct deployment *d = deployment_start(&o);
    struct watched packed = { load_packed,
                              { .method = "noop", .payload = 100, .group = GROUP },
                              port },
                   async = {
                       load_async,
                       { .method = "noop", .payload = 100, .window = WINDOW, .agents = AGENTS },
                       port
                   };
    struct contender c[] = {
        { .name = "packed, alone", .d = d, .fn = load_packed, .arg = &packed.what, .cpu = -1 },
        { .name = "packed, watched", .d = d, .fn = load_watched, .arg = &packed, .cpu = -1 },
        { .name = "async, alone", .d = d, .fn = load_async, .arg = &async.what, .cpu = -1 },
        { .name = "async, watched", .d = d, .fn = load_watched, .arg = &async, .cpu = -1 },
    };
    measure(c, 4, rounds);
    for (int i = 0; i < 4; i++) {
        struct row row =
            row_of(c[i].name, &c[i], i % 2 ? &c[i - 1] : NULL, rounds, calls_per_s, "calls/s");
        row.bar = i % 2 ? AT_LEAST : NO_BAR;
        row.bar_value = 0.97;
        table_add(&row);
    }
    deployment_stop(d);
}

/* A round has deployments of its own, in turns: where its memory lies makes more of a difference to
 * a worker than what is measured here. */
static void rows_of_figures(int rounds)
{
    static const struct deployment_options options[] = { { .name = "without", .no_stats = true },
                                                         { .name = "with" } };
    static const struct load load = { .method = "noop", .payload = 100, .group = GROUP };
    static const char *const names[] = { "worker's CPU, --no-stats", "worker's CPU, figures" };
    struct contender c[2];
    memset(c, 0, sizeof c);
    for (int i = 0; i < 2; i++)
        c[i] = (struct contender){ .name = names[i], .fn = load_packed, .arg = &load, .cpu = -1 };
    for (int r = 0; r < 2 * rounds; r++) {
        struct contender *now = &c[(r + r / 2) % 2];
        now->d = deployment_start(&options[now - c]);
        if (!run_clients(now, &now->rounds[r / 2]))
            now->failed = true;
        deployment_stop(now->d);
    }
    for (int i = 0; i < 2; i++) {
        struct row row = row_of(names[i], &c[i], i ? &c[0] : NULL, rounds, worker_us, "us");
        row.bar = i ? AT_MOST : NO_BAR;
        row.bar_value = 1.02;
        table_add(&row);
    }
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
