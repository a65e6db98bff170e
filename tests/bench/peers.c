/*
 * peers.c: other queues beside the library, in the same rounds. Each peer has its own server, and a
 * worker and a client in the configuration that suits it best (peers/). C programs are compiled
 * here, when pkg-config finds the peer's library; a peer that is not installed is skipped with a
 * line. BullMQ and Restate come from npm, into the build tree, and only on request (--install).
 *
 * A peer's program: `worker ADDRESS` (or worker-sync, for one call at a time) until it is killed;
 * `async ADDRESS SECONDS BYTES` prints calls per second with 1,024 in flight; `sync ADDRESS SECONDS
 * BYTES` prints median and p99 in µs. Both begin to measure after a while of the same load.
 */
#include "bench.h"
#include "value/unconst.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { MAX_ARGS = 12, PAYLOAD = 100, WINDOW = 1024, AGENTS = 1024, GROUP = 2048 };

/* Versions for which the program is written, and with which it is known to work. */
#define NODE_PACKAGES                                                                              \
    "bullmq@6.7.0 ioredis@6.0.0 @restatedev/restate-server@1.7.12 @restatedev/restate-sdk@1.17.2"

/* The path of Restate's program, in a package for each kind of machine. The program that npm puts
 * into .bin starts it as a child, which would be left. */
#define RESTATE                                                                                    \
    "\"$(node -p 'require.resolve(`@restatedev/restate-server-${process.platform}-${process.arch}" \
    "/bin/restate-server`)')\""

/* The interpreter of the system's packages, which may not be the first in PATH. */
#define PYTHON "${PYTHON:-/usr/bin/python3}"

struct peer {
    const char *name, *source; /* of peers/: .c is compiled, others are run */
    const char
        *server[MAX_ARGS]; /* "@" is a port, "%" a path, "U" a Unix socket; NULL first: a Redis */
    const char *libraries; /* for pkg-config, or NULL */
    const char *needs;     /* a shell command that succeeds when it is installed */
    int workers;
    double async_bar; /* the library's calls per second relative to the peer's */
    bool packed_bar;
    /* A path below "%": it is there when the server is up, and its directory is the address; NULL:
     * by port or Unix socket. */
    const char *ready;
    bool logs; /* to disk, so rows with a log of Redis stand beside it */
};

static const struct peer peers[] = {
    { .name = "gearmand",
      .source = "gearman.c",
      .server = { "gearmand", "-L", "127.0.0.1", "-p", "@", "-l", "stderr" },
      .libraries = "gearmand",
      .needs = "command -v gearmand",
      .workers = 1,
      .async_bar = 4 },
    { .name = "gearmand, 4 workers",
      .source = "gearman.c",
      .server = { "gearmand", "-L", "127.0.0.1", "-p", "@", "-l", "stderr" },
      .libraries = "gearmand",
      .needs = "command -v gearmand",
      .workers = 4,
      .async_bar = 4 },
    { .name = "beanstalkd",
      .source = "beanstalkd.c",
      .server = { "beanstalkd", "-l", "U" },
      .needs = "command -v beanstalkd",
      .workers = 1,
      .async_bar = 4 },
    { .name = "JetStream",
      .source = "nats.c",
      .server = { "nats-server", "-a", "127.0.0.1", "-p", "@", "-js", "-sd", "%" },
      .libraries = "libnats",
      .needs = "command -v nats-server",
      .workers = 1,
      .async_bar = 1.1,
      .packed_bar = true },
    { .name = "BullMQ",
      .source = "bullmq_peer.js",
      .needs = "node -e 'require(\"bullmq\")'",
      .workers = 1,
      .async_bar = 4 },
    { .name = "Restate",
      .source = "restate_peer.js",
      .server = { "sh", "-c",
                  "RESTATE_DISABLE_TELEMETRY=true exec " RESTATE
                  " --listen-mode unix --node-name n --base-dir \"$0\" --no-logo",
                  "%" },
      .needs = "node -e 'require(\"@restatedev/restate-sdk\")' && test -x " RESTATE,
      .workers = 1,
      .async_bar = 4,
      .ready = "n/ingress.sock",
      .logs = true },
    { .name = "Celery",
      .source = "celery_peer.py",
      .needs = PYTHON " -c 'import celery, redis'",
      .workers = 2,
      .async_bar = 4 },
    { .name = "RQ",
      .source = "rq_peer.py",
      .needs = PYTHON " -c 'import rq'",
      .workers = 2,
      .async_bar = 4 },
};
enum { N_PEERS = sizeof peers / sizeof *peers };

struct running {
    const struct peer *peer;
    char program[768], address[160], name[32];
    struct deployment processes; /* server and workers, to be pinned */
};

static bool is_listening(int port)
{
    struct sockaddr_in a = { .sin_family = AF_INET,
                             .sin_port = htons((uint16_t) port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool yes = fd >= 0 && connect(fd, (struct sockaddr *) &a, sizeof a) == 0;
    if (fd >= 0)
        close(fd);
    return yes;
}

static bool shell(const char *command)
{
    char line[3200];
    snprintf(line, sizeof line, "( %s ) >>%s/peers.log 2>&1", command, run_dir());
    return system(line) == 0;
}

/* Returns the path of the program, after compiling a C program. */
static bool make_program(const struct peer *p, char *out, size_t n)
{
    char command[2400], source[700];
    const char *dot = strrchr(p->source, '.'), *cc = getenv("CC");
    snprintf(source, sizeof source, "%.500s/peers/%s", settings.source_dir, p->source);
    if (strcmp(dot, ".c") != 0) {
        snprintf(out, n, "%s", source);
        return access(source, R_OK) == 0;
    }
    snprintf(out, n, "%s/%.*s", run_dir(), (int) (dot - p->source), p->source);
    snprintf(command, sizeof command, "%s -O2 -pthread -o '%s' '%s' $(%s%s)", cc && *cc ? cc : "cc",
             out, source, p->libraries ? "pkg-config --cflags --libs " : "",
             p->libraries ? p->libraries : "");
    return access(out, X_OK) == 0 || shell(command);
}

/* The room is for quotes, too. */
enum { COMMAND = 1200 };

static void program_command(const struct running *r, const char *mode, char *out, size_t n)
{
    const char *dot = strrchr(r->peer->source, '.');
    const char *with = strcmp(dot, ".py") == 0   ? PYTHON " "
                       : strcmp(dot, ".js") == 0 ? "node "
                                                 : "";
    snprintf(out, n, "%s'%s' %s '%s' %g %d", with, r->program, mode, r->address, settings.span_s,
             PAYLOAD);
}

static pid_t spawn_args(const char *name, const char *const *argv)
{
    return spawn(name, asq__unconst(argv));
}

/* Starts the workers; a peer may configure itself by the mode, because many calls at a time and
 * one at a time have different optima. */
static void start_workers(struct running *r, const char *mode)
{
    struct deployment *d = &r->processes;
    for (d->npids = 0; d->npids < r->peer->workers; d->npids++) {
        char command[COMMAND], full[COMMAND + 16];
        program_command(r, mode, command, sizeof command);
        snprintf(full, sizeof full, "exec %s", command);
        const char *sh[] = { "sh", "-c", full, NULL };
        d->pids[d->npids] = spawn_args(r->name, sh);
    }
    usleep(700000); /* a client's first call waits for a worker in any case */
}

static void end_workers(struct running *r)
{
    for (int i = 0; i < r->processes.npids; i++)
        end_process(r->processes.pids[i]);
}

static bool start_server(struct running *r)
{
    const struct peer *p = r->peer;
    char data[128], listen_at[160];
    const char *argv[MAX_ARGS + 1] = { NULL };
    int port = free_port();
    bool up = false, by_path = p->server[0] == NULL;
    snprintf(data, sizeof data, "%s/%s", run_dir(), r->name);
    snprintf(listen_at, sizeof listen_at, "unix:%s.sock", data);
    for (int i = 0; i < MAX_ARGS && p->server[i]; i++)
        by_path |= strcmp(p->server[i], "U") == 0;
    if (p->ready)
        snprintf(r->address, sizeof r->address, "%s/%.*s", data, (int) strcspn(p->ready, "/"),
                 p->ready);
    else if (by_path)
        snprintf(r->address, sizeof r->address, "%s", listen_at + 5);
    else
        snprintf(r->address, sizeof r->address, "%d", port);
    if (p->server[0]) {
        for (int i = 0; i < MAX_ARGS && p->server[i]; i++)
            argv[i] = strcmp(p->server[i], "@") == 0   ? r->address
                      : strcmp(p->server[i], "%") == 0 ? data
                      : strcmp(p->server[i], "U") == 0 ? listen_at
                                                       : p->server[i];
    } else {
        const char *redis[] = { "redis-server", "--port", "0", "--unixsocket",
                                r->address,     "--save", "",  NULL };
        memcpy(argv, redis, sizeof redis);
    }
    r->processes.redis = spawn_args(r->name, argv);
    r->processes.servers[0].pid = r->processes.redis;
    r->processes.masters = r->processes.nservers = 1;
    if (p->ready)
        snprintf(listen_at, sizeof listen_at, "unix:%.120s/%.30s", data, p->ready);
    for (double end = now_s() + 20; !up && now_s() < end; usleep(20000))
        up = by_path || p->ready ? access(listen_at + 5, F_OK) == 0 : is_listening(port);
    if (!up)
        end_process(r->processes.redis);
    return up;
}

static bool start_peer(const struct peer *p, struct running *r)
{
    static int number;
    memset(r, 0, sizeof *r);
    r->peer = p;
    snprintf(r->name, sizeof r->name, "peer-%d", ++number);
    const char *why = !shell(p->needs)                                  ? "not installed"
                      : !make_program(p, r->program, sizeof r->program) ? "its client cannot be "
                                                                          "built here"
                      : !start_server(r)                                ? "its server did not "
                                                                          "start"
                                                                        : NULL;
    if (why)
        table_note("%s: %s, skipped", p->name, why);
    return !why;
}

static void peer_client(const struct running *r, const char *mode, double out[2])
{
    char command[COMMAND], line[COMMAND + 64];
    program_command(r, mode, command, sizeof command);
    snprintf(line, sizeof line, "timeout -k 1 %d %s 2>>%s/peers.log",
             40 + (int) settings.span_s * 2, command, run_dir());
    FILE *f = popen(line, "r");
    if (!f || fscanf(f, "%lf %lf", &out[0], &out[1]) < 1 || out[0] <= 0)
        fail_client("%s: its client failed (%s)", r->peer->name, mode);
    pclose(f);
}

static void peer_async(const struct deployment *d, const void *arg, struct outcome *out)
{
    double v[2] = { 0, 0 };
    (void) d;
    peer_client(arg, "async", v);
    out->calls = v[0];
    out->seconds = 1;
}

static void peer_sync(const struct deployment *d, const void *arg, struct outcome *out)
{
    double v[2] = { 0, 0 };
    (void) d;
    peer_client(arg, "sync", v);
    out->p50_us = v[0];
    out->p99_us = v[1];
}

static void sync_rows(const struct running *r, const struct contender *lib,
                      const struct contender *peer, const char *where, int rounds, bool barred)
{
    char name[80];
    struct row row;
    snprintf(name, sizeof name, "peers: %s, sync%s, median", r->peer->name, where);
    row = row_of(name, peer, NULL, rounds, p50_us, "us");
    table_add(&row);
    snprintf(name, sizeof name, "sync against %s%s, median", r->peer->name, where);
    row = row_of(name, lib, peer, rounds, p50_us, "us");
    row.bar = barred ? AT_MOST : NO_BAR;
    row.bar_value = 1;
    table_add(&row);
}

/* Measures the library with a log of Redis beside a peer that has one, and adds rows. */
static void rows_with_log(struct running *r, const struct load *load, int rounds)
{
    enum { LOGS = 2, PEER = LOGS };
    static const char *const logs[LOGS] = { "always", "everysec" };
    struct deployment *d[LOGS];
    struct contender c[LOGS + 1];
    struct row row;
    char name[64];
    for (int i = 0; i < LOGS; i++) {
        struct deployment_options o = { .name = logs[i], .log = logs[i] };
        d[i] = deployment_start(&o);
    }
    for (int sync = 0; sync < 2; sync++) {
        memset(c, 0, sizeof c);
        for (int i = 0; i < LOGS; i++)
            c[i] = (struct contender){ .name = logs[i],
                                       .d = d[i],
                                       .fn = sync ? load_sync : load_async,
                                       .arg = load,
                                       .cpu = -1 };
        c[PEER] = (struct contender){ .name = r->peer->name,
                                      .d = &r->processes,
                                      .fn = sync ? peer_sync : peer_async,
                                      .arg = r,
                                      .cpu = -1 };
        start_workers(r, sync ? "worker-sync" : "worker");
        measure(c, LOGS + 1, rounds);
        end_workers(r);
        for (int i = 0; i < LOGS; i++) {
            snprintf(name, sizeof name, "%s, AOF %s, against %s%s", sync ? "sync" : "async",
                     logs[i], r->peer->name, sync ? ", median" : "");
            row = row_of(name, &c[i], &c[PEER], rounds, sync ? p50_us : calls_per_s,
                         sync ? "us" : "calls/s");
            table_add(&row);
        }
    }
    for (int i = 0; i < LOGS; i++)
        deployment_stop(d[i]);
}

static void peer_rows(struct running *r, int rounds)
{
    enum { LIB_ASYNC, LIB_PACKED, ASYNC, LIB_SYNC, SYNC, LIB_SYNC_1, SYNC_1, N };
    struct deployment *d = &r->processes;
    struct load one = { .method = "noop", .payload = PAYLOAD, .window = WINDOW, .agents = AGENTS },
                packed = {
                    .method = "noop", .payload = PAYLOAD, .group = GROUP, .broadcast = true
                };
    struct contender c[N] = {
        { .name = "async", .d = the_library(), .fn = load_async, .arg = &one, .cpu = -1 },
        { .name = "packed", .d = the_library(), .fn = load_packed, .arg = &packed, .cpu = -1 },
        { .name = r->peer->name, .d = d, .fn = peer_async, .arg = r, .cpu = -1 },
        { .name = "sync", .d = the_library(), .fn = load_sync, .arg = &one, .cpu = -1 },
        { .name = r->peer->name, .d = d, .fn = peer_sync, .arg = r, .cpu = -1 },
        { .name = "sync", .d = the_library(), .fn = load_sync, .arg = &one, .cpu = 0 },
        { .name = r->peer->name, .d = d, .fn = peer_sync, .arg = r, .cpu = 0 },
    };
    char name[64];
    struct row row;
    start_workers(r, "worker");
    measure(c, LIB_SYNC, rounds);
    end_workers(r);
    start_workers(r, "worker-sync");
    measure(c + LIB_SYNC, N - LIB_SYNC, rounds);
    end_workers(r);
    snprintf(name, sizeof name, "peers: %s, async", r->peer->name);
    row = row_of(name, &c[ASYNC], NULL, rounds, calls_per_s, "calls/s");
    table_add(&row);
    snprintf(name, sizeof name, "async against %s", r->peer->name);
    row = row_of(name, &c[LIB_ASYNC], &c[ASYNC], rounds, calls_per_s, "calls/s");
    row.bar = AT_LEAST;
    row.bar_value = r->peer->async_bar;
    table_add(&row);
    snprintf(name, sizeof name, "packed against %s", r->peer->name);
    row = row_of(name, &c[LIB_PACKED], &c[ASYNC], rounds, calls_per_s, "calls/s");
    row.bar = r->peer->packed_bar ? AT_LEAST : NO_BAR;
    row.bar_value = 3;
    table_add(&row);
    sync_rows(r, &c[LIB_SYNC], &c[SYNC], "", rounds, true);
    sync_rows(r, &c[LIB_SYNC_1], &c[SYNC_1], ", one core", rounds, false);
    if (r->peer->logs)
        rows_with_log(r, &one, rounds);
}

/* Installs npm's packages beside the program. */
static void prepare_node(void)
{
    char path[1200];
    snprintf(path, sizeof path, "%s/node_modules", settings.node_dir);
    setenv("NODE_PATH", path, 1);
    if (!settings.install)
        return;
    snprintf(path, sizeof path,
             "mkdir -p '%s' && npm install --prefix '%s' --no-audit --no-fund --ignore-scripts %s",
             settings.node_dir, settings.node_dir, NODE_PACKAGES);
    if (!shell(path))
        table_note("npm could not install %s", NODE_PACKAGES);
}

void case_peers(void)
{
    int rounds = rounds_of(5, 1);
    setenv("PYTHONDONTWRITEBYTECODE", "1", 1); /* keeps the source tree clean */
    prepare_node();
    table_case("peers", "other queues, 100 B, 1,024 in flight; a call and its answer");
    for (int i = 0; i < N_PEERS; i++) {
        struct running r;
        if (!start_peer(&peers[i], &r))
            continue;
        peer_rows(&r, rounds);
        end_process(r.processes.redis);
    }
}
