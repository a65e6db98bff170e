/*
 * server.c: see server.h.
 *
 *     program ──forks twice──▶ keeper ──forks──▶ redis-server
 *        │   ◀──gone (EOF: all is gone; a byte: the server has ended)── │
 *        └───life (a byte, or EOF: end it)──▶   and a pidfd of the program
 *
 * The keeper is nobody's child to the program, so the program's own waiting for children is not disturbed. It
 * rests on the pidfd: processes forked from the program may hold the pipe open. The program may have threads,
 * so after the fork the keeper makes system calls only.
 */
#include "client/server.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "asqueue.h"
#include "value/clock.h"
#include "value/error.h"

enum { PATH_ROOM = sizeof(((struct sockaddr_un *) 0)->sun_path), LOG_SHOWN = 400, LOOK_MS = 200 };

struct asq__server {
    char program[4096];
    char dir[PATH_ROOM], socket[PATH_ROOM], log[PATH_ROOM];
    int life[2], gone[2], pidfd;
};

/* ---- before the fork ---- */

static bool is_executable(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISREG(st.st_mode) && access(path, X_OK) == 0;
}

static int find_on_path(const char *name, char *out, size_t size)
{
    const char *at = getenv("PATH");
    while (at && *at) {
        size_t n = strcspn(at, ":");
        int length = n ? snprintf(out, size, "%.*s/%s", (int) n, at, name)
                       : snprintf(out, size, "./%s", name);
        if (length > 0 && (size_t) length < size && is_executable(out))
            return 0;
        at += n;
        if (*at == ':')
            at++;
    }
    return ASQ_ENOENT;
}

static int find_program(struct asq__server *s, char *err, size_t errlen)
{
    const char *given = getenv("ASQUEUE_REDIS_SERVER");
    if (given && *given) {
        int n = snprintf(s->program, sizeof s->program, "%s", given);
        if (strchr(given, '/')
                ? n > 0 && (size_t) n < sizeof s->program && is_executable(s->program)
                : find_on_path(given, s->program, sizeof s->program) == 0)
            return 0;
        return asq__err(err, errlen, ASQ_ENOSERVER,
                        "ASQUEUE_REDIS_SERVER is '%s', which is no program that can be run", given);
    }
    if (find_on_path("redis-server", s->program, sizeof s->program) == 0 ||
        find_on_path("valkey-server", s->program, sizeof s->program) == 0)
        return 0;
    return asq__err(
        err, errlen, ASQ_ENOSERVER,
        "neither redis-server nor valkey-server is on the PATH; install it (Debian, Ubuntu: apt install "
        "redis-server; Fedora: dnf install valkey; Alpine: apk add redis), or set ASQUEUE_REDIS_SERVER to "
        "its path, or ASQUEUE_URL to a Redis that runs (local: needs none)");
}

static int make_dir(struct asq__server *s, char *err, size_t errlen)
{
    const char *bases[] = { getenv("XDG_RUNTIME_DIR"), getenv("TMPDIR"), "/tmp" };
    int failure = ENOENT;
    for (int i = 0; i < 3; i++) {
        if (!bases[i] || bases[i][0] != '/')
            continue;
        int n = snprintf(s->dir, sizeof s->dir, "%s/asqueue-XXXXXX", bases[i]);
        if (n < 0 || (size_t) n + sizeof "/redis.sock" > sizeof s->dir) {
            failure = ENAMETOOLONG;
            continue;
        }
        if (!mkdtemp(s->dir)) {
            failure = errno;
            continue;
        }
        memcpy(s->socket, s->dir, (size_t) n);
        memcpy(s->socket + n, "/redis.sock", sizeof "/redis.sock");
        memcpy(s->log, s->dir, (size_t) n);
        memcpy(s->log + n, "/redis.log", sizeof "/redis.log");
        return 0;
    }
    s->dir[0] = '\0';
    return asq__err(err, errlen, ASQ_ESYS,
                    "no temporary directory can be made (XDG_RUNTIME_DIR, TMPDIR, /tmp): %s",
                    strerror(failure));
}

/* ---- the keeper: system calls only ---- */

/* Closes all but a few descriptors. */
static void close_others(const int *keep, int n)
{
    int from = 3;
    /* In ascending order; what is between two is closed. */
    for (;;) {
        int next = -1;
        for (int i = 0; i < n; i++)
            if (keep[i] >= from && (next < 0 || keep[i] < next))
                next = keep[i];
        unsigned to = next < 0 ? ~0u : (unsigned) next - 1;
        if ((next < 0 || next > from) && syscall(SYS_close_range, (unsigned) from, to, 0) < 0)
            for (int fd = from; fd < (next < 0 ? 65536 : next); fd++) /* before Linux 5.9 */
                close(fd);
        if (next < 0)
            return;
        from = next + 1;
    }
}

static void run_server(const struct asq__server *s, char *const argv[], pid_t keeper)
{
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    for (int i = 1; i < 32; i++)
        signal(i, SIG_DFL);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() == keeper)
        execv(s->program, argv);
    _exit(127);
}

static void clean_up(const struct asq__server *s)
{
    unlink(s->socket);
    unlink(s->log);
    rmdir(s->dir);
}

static void keep(const struct asq__server *s, char *const argv[]) __attribute__((noreturn));
static void keep(const struct asq__server *s, char *const argv[])
{
    const int kept[] = { s->life[0], s->gone[1], s->pidfd };
    bool ended = false;
    setsid();
    signal(SIGINT, SIG_IGN);
    signal(SIGTERM, SIG_IGN);
    signal(SIGHUP, SIG_IGN);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGCHLD, SIG_DFL);
    close_others(kept, 3);
    int null = open("/dev/null", O_RDWR);
    for (int fd = 0; fd < 3; fd++)
        dup2(null, fd);
    if (null > 2)
        close(null);
    if (chdir("/") < 0)
        _exit(1);
    pid_t self = getpid(), server = fork();
    if (server == 0)
        run_server(s, argv, self);
    for (;;) {
        struct pollfd fds[] = { { s->life[0], POLLIN, 0 }, { s->pidfd, POLLIN, 0 } };
        int n = poll(fds, 2, LOOK_MS);
        if (n > 0 && (fds[0].revents || fds[1].revents))
            break;
        if (!ended && (server < 0 || waitpid(server, NULL, WNOHANG) == server)) {
            ended = true; /* the directory stays until the program has read the log */
            ssize_t told = write(s->gone[1], "x", 1);
            (void) told;
        }
    }
    if (!ended && server > 0) {
        kill(server, SIGKILL);
        waitpid(server, NULL, 0);
    }
    clean_up(s);
    _exit(0);
}

/* ---- life ---- */

static void close_fd(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

static void server_free(struct asq__server *s)
{
    close_fd(&s->life[0]);
    close_fd(&s->life[1]);
    close_fd(&s->gone[0]);
    close_fd(&s->gone[1]);
    close_fd(&s->pidfd);
    free(s);
}

int asq__server_start(struct asq__server **ret, char *err, size_t errlen)
{
    struct asq__server *s = calloc(1, sizeof *s);
    if (!s)
        return asq__err(err, errlen, ASQ_ENOMEM, "out of memory");
    s->life[0] = s->life[1] = s->gone[0] = s->gone[1] = s->pidfd = -1;
    int rc = find_program(s, err, errlen);
    if (rc == 0)
        rc = make_dir(s, err, errlen);
    if (rc == 0 && (pipe2(s->life, O_CLOEXEC) < 0 || pipe2(s->gone, O_CLOEXEC) < 0))
        rc = asq__err(err, errlen, ASQ_ESYS, "pipe: %s", strerror(errno));
    if (rc < 0)
        goto fail;
    s->pidfd = (int) syscall(SYS_pidfd_open, getpid(), 0); /* before Linux 5.3 the pipe has to do */
    const char *argv[] = { s->program,   "--port",
                           "0",          "--unixsocket",
                           s->socket,    "--unixsocketperm",
                           "700",        "--save",
                           "",           "--appendonly",
                           "no",         "--maxmemory-policy",
                           "noeviction", "--daemonize",
                           "no",         "--dir",
                           s->dir,       "--logfile",
                           s->log,       "--loglevel",
                           "warning",    NULL };
    union {
        const char **in;
        char *const *out;
    } args = { .in = argv };
    pid_t middle = fork();
    if (middle == 0) {
        pid_t keeper = fork();
        if (keeper == 0)
            keep(s, args.out);
        _exit(keeper < 0);
    }
    int status = 0;
    if (middle < 0 || (waitpid(middle, &status, 0) == middle && status != 0)) {
        rc = asq__err(err, errlen, ASQ_ESYS, "fork: %s", strerror(errno));
        goto fail;
    }
    close_fd(&s->life[0]);
    close_fd(&s->gone[1]);
    close_fd(&s->pidfd);
    *ret = s;
    return 0;
fail:
    if (s->dir[0])
        clean_up(s);
    server_free(s);
    return rc;
}

const char *asq__server_path(const struct asq__server *s)
{
    return s->socket;
}

/* True: it answers. */
static bool answers(const struct asq__server *s)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    struct timeval limit = { 1, 0 };
    char reply[8];
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return false;
    memcpy(address.sun_path, s->socket, sizeof address.sun_path);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    bool ok = connect(fd, (struct sockaddr *) &address, sizeof address) == 0 &&
              send(fd, "PING\r\n", 6, MSG_NOSIGNAL) == 6 && recv(fd, reply, 5, MSG_WAITALL) == 5 &&
              memcmp(reply, "+PONG", 5) == 0;
    close(fd);
    return ok;
}

static int has_ended(const struct asq__server *s, char *err, size_t errlen)
{
    char text[LOG_SHOWN + 1] = "";
    FILE *log = fopen(s->log, "re");
    if (log) {
        if (fseek(log, -LOG_SHOWN, SEEK_END) < 0)
            rewind(log);
        text[fread(text, 1, LOG_SHOWN, log)] = '\0';
        fclose(log);
    }
    size_t n = strlen(text);
    while (n && text[n - 1] == '\n')
        text[--n] = '\0';
    return asq__err(err, errlen, ASQ_ESYS, "%s has ended at once%s%s", s->program,
                    *text ? "; the end of its log: " : ", without a log", text);
}

int asq__server_wait_ready(struct asq__server *s, int64_t timeout_ms, char *err, size_t errlen)
{
    int64_t deadline = asq__deadline_ms(timeout_ms);
    struct timespec pause = { 0, 500000 };
    while (!answers(s)) {
        struct pollfd gone = { s->gone[0], POLLIN, 0 };
        if (poll(&gone, 1, 0) > 0)
            return has_ended(s, err, errlen);
        if (asq__now_ms() > deadline)
            return asq__err(err, errlen, ASQ_ETIMEOUT, "%s does not answer after %lld ms",
                            s->program, (long long) timeout_ms);
        nanosleep(&pause, NULL);
        if (pause.tv_nsec < 5000000)
            pause.tv_nsec += pause.tv_nsec / 4;
    }
    return 0;
}

void asq__server_stop(struct asq__server *s)
{
    char byte = 'x';
    if (!s)
        return;
    if (s->life[1] >= 0) {
        struct pollfd out = { s->life[1], POLLOUT, 0 };
        /* The keeper may have been killed: then the pipe has no reader, and SIGPIPE is not for the program. */
        ssize_t n =
            poll(&out, 1, 0) > 0 && !(out.revents & POLLERR) ? write(s->life[1], &byte, 1) : 0;
        close_fd(&s->life[1]);
        while ((n = read(s->gone[0], &byte, 1)) > 0 || (n < 0 && errno == EINTR))
            ;
        clean_up(s); /* for the same case */
    }
    server_free(s);
}

void asq__server_child_forget(struct asq__server *s)
{
    if (!s)
        return;
    close_fd(&s->life[1]);
    close_fd(&s->gone[0]);
}
