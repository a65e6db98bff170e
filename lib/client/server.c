/*
 * server.c: see server.h.
 *
 *     program ──clones twice──▶ keeper (asq-keeper) ──clones──▶ redis-server
 *        │                        │ waits on the pidfds of program and server
 *        └─ channel (socketpair) ─┘ program: shut down = "end it"; keeper: notes, shut down = "all is gone"
 *
 * The keeper is not a child of the program, and the process between them ends without a SIGCHLD, so
 * the program's own waiting for children is not disturbed. shutdown() on the channel works even if
 * other processes have inherited a descriptor of it; the pidfd covers a program that dies without
 * one. Signals to all processes of a service or a session end neither keeper nor server, because
 * the program may need the server for its own orderly end. The program may have threads, so the
 * code after the clone makes system calls only.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "asqueue.h"
#include "client/server.h"
#include "value/clock.h"
#include "value/error.h"
#include "value/fd.h"
#include "value/unconst.h"

#define SOCKET_NAME "redis.sock"

enum {
    PATH_ROOM = sizeof(((struct sockaddr_un *) 0)->sun_path),
    LOG_SHOWN = 400,
    POLL_MS = 500, /* poll interval without pidfd: before Linux 5.3 */
    STOP_MS = 5000,
    KILL_MS = 1000,
    MAX_DEPTH = 3 /* levels removed below the directory */
};

/* A packet from the keeper's side on the channel. */
struct note {
    enum { NOTE_KEEPER, NOTE_NOT_RUN, NOTE_ENDED } what;
    int value; /* the keeper's pid; the errno of exec; the server's wait status */
};

struct asq__server {
    char program[4096];
    char dir[PATH_ROOM], socket[PATH_ROOM], log[PATH_ROOM];
    pid_t owner;    /* the program; a process forked from it must not end the server */
    int channel[2]; /* the program's end, the keeper's */
    int pidfd;      /* of the program, for the keeper; -1: not on this kernel */
    int log_fd;     /* the server's stdout and stderr */
    pid_t keeper;
    int keeper_pidfd;
    bool lost;                  /* the keeper is gone */
    int not_run, ended, status; /* from notes: errno of exec, whether ended, wait status */
};

static int open_pidfd(pid_t pid)
{
    return asq__fd_keep((int) syscall(SYS_pidfd_open, pid, 0));
}

static void close_fd(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

/* ---- before the fork ---- */

static bool is_executable(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISREG(st.st_mode) && access(path, X_OK) == 0;
}

/* Makes an absolute path of dir/name, because the server starts in another directory. Symbolic
 * links stay, because a program may behave by the name it is called by. */
static int make_absolute(const char *dir, size_t dir_n, const char *name, char *out, size_t size)
{
    char here[4096] = "";
    if ((dir_n == 0 || dir[0] != '/') && !getcwd(here, sizeof here))
        return ASQ_ENOENT;
    int n = snprintf(out, size, "%s%s%.*s%s%s", here, *here ? "/" : "", (int) dir_n, dir,
                     dir_n ? "/" : "", name);
    return n > 0 && (size_t) n < size && is_executable(out) ? 0 : ASQ_ENOENT;
}

static int find_on_path(const char *name, char *out, size_t size)
{
    const char *at = secure_getenv("PATH");
    if (!at)
        at = "/usr/local/bin:/usr/bin:/bin";
    for (;;) {
        size_t n = strcspn(at, ":");
        if (make_absolute(at, n, name, out, size) == 0)
            return 0;
        at += n;
        if (*at++ != ':')
            return ASQ_ENOENT;
    }
}

static int find_program(struct asq__server *s, char *err, size_t errlen)
{
    const char *given = secure_getenv("ASQUEUE_REDIS_SERVER");
    if (given && *given) {
        const char *slash = strrchr(given, '/');
        int rc = slash == given ? make_absolute("/", 1, given + 1, s->program, sizeof s->program)
                 : slash ? make_absolute(given, (size_t) (slash - given), slash + 1, s->program,
                                         sizeof s->program)
                         : find_on_path(given, s->program, sizeof s->program);
        if (rc == 0)
            return 0;
        return asq__err(
            err, errlen, ASQ_ENOSERVER,
            "ASQUEUE_REDIS_SERVER is '%s', which is not a program that can be run; set it to "
            "the path of a redis-server or valkey-server",
            given);
    }
    if (find_on_path("redis-server", s->program, sizeof s->program) == 0 ||
        find_on_path("valkey-server", s->program, sizeof s->program) == 0)
        return 0;
    return asq__err(
        err, errlen, ASQ_ENOSERVER,
        "neither redis-server nor valkey-server is on the PATH; install it (Debian, Ubuntu: apt "
        "install "
        "redis-server; Fedora: dnf install valkey; Alpine: apk add redis), or set "
        "ASQUEUE_REDIS_SERVER to "
        "its path, or ASQUEUE_URL to a Redis that runs (local: needs none)");
}

/* Returns $XDG_RUNTIME_DIR if it belongs to this user alone, as its specification requires. */
static const char *runtime_dir(void)
{
    const char *path = secure_getenv("XDG_RUNTIME_DIR");
    struct stat st;
    return path && stat(path, &st) == 0 && S_ISDIR(st.st_mode) && st.st_uid == geteuid() &&
                   (st.st_mode & 077) == 0
               ? path
               : NULL;
}

/* Returns whether other users could rename a file made in `dir` and put another in its place. The
 * user's own group commonly has no other member. */
static bool is_open_to_others(const char *dir)
{
    struct stat st;
    if (stat(dir, &st) < 0 || (st.st_mode & S_ISVTX))
        return false;
    return (st.st_mode & 002) || ((st.st_mode & 020) && st.st_gid != getegid());
}

static int make_dir(struct asq__server *s, char *err, size_t errlen)
{
    const char *bases[] = { runtime_dir(), secure_getenv("TMPDIR"), "/tmp" };
    const char *unsafe = NULL;
    int failure = ENOENT;
    for (int i = 0; i < 3; i++) {
        if (!bases[i] || bases[i][0] != '/')
            continue;
        if (is_open_to_others(bases[i])) {
            unsafe = bases[i];
            continue;
        }
        int n = snprintf(s->dir, sizeof s->dir, "%s/asqueue-XXXXXX", bases[i]);
        if (n < 0 || (size_t) n + sizeof "/" SOCKET_NAME > sizeof s->dir) {
            failure = ENAMETOOLONG;
            continue;
        }
        if (!mkdtemp(s->dir)) {
            failure = errno;
            continue;
        }
        memcpy(s->socket, s->dir, (size_t) n);
        memcpy(s->socket + n, "/" SOCKET_NAME, sizeof "/" SOCKET_NAME);
        memcpy(s->log, s->dir, (size_t) n);
        memcpy(s->log + n, "/redis.log", sizeof "/redis.log");
        /* Opened here, because the server's first output may say why it does not start. */
        s->log_fd =
            asq__fd_keep(open(s->log, O_WRONLY | O_APPEND | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
        if (s->log_fd >= 0)
            return 0;
        failure = errno;
        rmdir(s->dir);
    }
    s->dir[0] = '\0';
    if (unsafe)
        return asq__err(
            err, errlen, ASQ_ESYS,
            "no private Redis can be started in %s: other users could replace it; chmod +t it, or "
            "set TMPDIR to another directory",
            unsafe);
    return asq__err(err, errlen, ASQ_ESYS,
                    "no temporary directory can be made (XDG_RUNTIME_DIR, TMPDIR, /tmp): %s",
                    strerror(failure));
}

/* ---- the keeper: system calls only ---- */

/* Forks without libc's additional steps, and with another exit signal than SIGCHLD, or none (0:
 * waiting for it needs __WALL). */
static pid_t clone_self(int exit_signal)
{
#ifdef __s390__ /* the first two arguments are swapped */
    return (pid_t) syscall(SYS_clone, 0UL, (unsigned long) exit_signal, 0UL, 0UL, 0UL);
#else
    return (pid_t) syscall(SYS_clone, (unsigned long) exit_signal, 0UL, 0UL, 0UL, 0UL);
#endif
}

/* Exits without exit handlers, of a sanitizer or a profiler. */
static void exit_now(int status) __attribute__((noreturn));
static void exit_now(int status)
{
    for (;;)
        syscall(SYS_exit_group, status);
}

static void write_note(const struct asq__server *s, int what, int value)
{
    struct note note = { what, value };
    ssize_t n = send(s->channel[1], &note, sizeof note, MSG_NOSIGNAL | MSG_DONTWAIT);
    (void) n; /* on failure the program is gone, which the keeper notices by itself */
}

/* Does signal(number, SIG_DFL) without libc, which may wait for a lock that a thread of the program
 * held at the clone: glibc 2.41 has one for SIGABRT, and takes it in each fork. */
static void set_default(int number)
{
    /* the kernel's struct sigaction, of SIG_DFL: all zeros */
    static const unsigned long action[16];
    syscall(SYS_rt_sigaction, number, action, NULL, (unsigned long) _NSIG / 8);
}

/* Closes all but a few descriptors. */
static void close_others(const int *kept, int n)
{
    int from = 3;
    /* Close each gap between kept descriptors, in ascending order. */
    for (;;) {
        int next = -1;
        for (int i = 0; i < n; i++)
            if (kept[i] >= from && (next < 0 || kept[i] < next))
                next = kept[i];
        unsigned to = next < 0 ? ~0u : (unsigned) next - 1;
        if ((next < 0 || next > from) && syscall(SYS_close_range, (unsigned) from, to, 0) < 0)
            for (int fd = from; fd < (next < 0 ? 65536 : next); fd++) /* before Linux 5.9 */
                close(fd);
        if (next < 0)
            return;
        from = next + 1;
    }
}

/* Removes everything in a directory. */
static void empty_dir(int fd, int depth)
{
    union {
        struct dirent64 align;
        char bytes[2048];
    } buf;
    bool removed;
    do {
        long n;
        removed = false;
        lseek(fd, 0, SEEK_SET);
        while ((n = syscall(SYS_getdents64, fd, buf.bytes, sizeof buf.bytes)) > 0)
            for (long at = 0; at < n;) {
                const void *entry = buf.bytes + at;
                const struct dirent64 *e = entry;
                at += e->d_reclen;
                if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
                    continue;
                if (unlinkat(fd, e->d_name, 0) == 0) {
                    removed = true;
                    continue;
                }
                int sub =
                    depth < MAX_DEPTH
                        ? openat(fd, e->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
                        : -1;
                if (sub >= 0) {
                    empty_dir(sub, depth + 1);
                    close(sub);
                    removed |= unlinkat(fd, e->d_name, AT_REMOVEDIR) == 0;
                }
            }
    } while (removed); /* removal may move entries that were not read yet */
}

static void clean_up(const struct asq__server *s)
{
    int fd = open(s->dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd >= 0) {
        empty_dir(fd, 0);
        close(fd);
    }
    rmdir(s->dir);
}

static void run_server(const struct asq__server *s, char *const argv[], pid_t keeper)
    __attribute__((noreturn));
static void run_server(const struct asq__server *s, char *const argv[], pid_t keeper)
{
    sigset_t blocked;
    setpgid(0, 0);
    dup2(s->log_fd, 1);
    dup2(s->log_fd, 2);
    for (int i = 1; i < 32; i++)
        set_default(i);
    sigemptyset(&blocked); /* the mask survives exec: only the keeper ends the server */
    sigaddset(&blocked, SIGTERM);
    sigaddset(&blocked, SIGINT);
    sigaddset(&blocked, SIGHUP);
    sigprocmask(SIG_SETMASK, &blocked, NULL);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() == keeper) {
        if (chdir(s->dir) == 0)
            execv(s->program, argv);
        write_note(s, NOTE_NOT_RUN, errno);
    }
    exit_now(127);
}

/* Waits for the end of the program, the channel or the server. True: wait again. */
static bool watch(const struct asq__server *s, pid_t server, int server_pidfd, bool *ended)
{
    struct pollfd fds[] = { { s->channel[1], POLLIN, 0 },
                            { s->pidfd, POLLIN, 0 },
                            { *ended ? -1 : server_pidfd, POLLIN, 0 } };
    bool polls = s->pidfd < 0 || (!*ended && server_pidfd < 0);
    int status = 0;
    if (poll(fds, 3, polls ? POLL_MS : -1) < 0 && errno != EINTR)
        return false;
    if (fds[0].revents || fds[1].revents)
        return false;
    if (s->pidfd < 0 && kill(s->owner, 0) < 0 && errno == ESRCH)
        return false;
    siginfo_t info = { 0 };
    if (!*ended && waitid(P_PID, (id_t) server, &info, WEXITED | WNOHANG | WNOWAIT) == 0 &&
        info.si_pid == server) {
        kill(-server, SIGKILL); /* before waitpid, while the id cannot be reused */
        waitpid(server, &status, 0);
        *ended = true; /* the directory stays until the program has read the log */
        write_note(s, NOTE_ENDED, status);
    }
    return true;
}

static void run_keeper(const struct asq__server *s, char *const argv[]) __attribute__((noreturn));
static void run_keeper(const struct asq__server *s, char *const argv[])
{
    const int kept[] = { s->channel[1], s->pidfd, s->log_fd };
    bool ended = false;
    setsid();                                  /* all signals are blocked since the clone */
    prctl(PR_SET_NAME, "asq-keeper", 0, 0, 0); /* so that pkill PROGRAM does not match */
    prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); /* waits for the server's children, too */
    set_default(SIGCHLD);
    close_others(kept, 3);
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    for (int fd = 0; fd < 3; fd++)
        dup2(null, fd);
    if (null > 2)
        close(null);
    if (chdir("/") < 0)
        exit_now(1);
    pid_t self = getpid(), server = clone_self(SIGCHLD);
    if (server == 0)
        run_server(s, argv, self);
    if (server < 0) {
        write_note(s, NOTE_NOT_RUN, errno);
        ended = true;
    } else {
        setpgid(server, server);
    }
    int server_pidfd = server > 0 ? open_pidfd(server) : -1;
    while (watch(s, server, server_pidfd, &ended))
        ;
    if (!ended) {
        kill(server, SIGKILL);
        kill(-server, SIGKILL);
    }
    while (waitpid(-1, NULL, __WALL) > 0 || errno == EINTR)
        ;
    clean_up(s);
    shutdown(s->channel[1], SHUT_RDWR);
    exit_now(0);
}

/* ---- life ---- */

static void server_free(struct asq__server *s)
{
    close_fd(&s->channel[0]);
    close_fd(&s->channel[1]);
    close_fd(&s->pidfd);
    close_fd(&s->log_fd);
    close_fd(&s->keeper_pidfd);
    free(s);
}

/* Reads notes of the keeper's side, waiting at most `wait` for the first one. */
static void read_keeper_notes(struct asq__server *s, struct timespec wait)
{
    struct pollfd fds[] = { { s->channel[0], POLLIN, 0 }, { s->keeper_pidfd, POLLIN, 0 } };
    struct note note;
    ssize_t n;
    ppoll(fds, 2, &wait, NULL);
    while ((n = recv(s->channel[0], &note, sizeof note, MSG_DONTWAIT)) == (ssize_t) sizeof note)
        switch (note.what) {
        case NOTE_KEEPER: s->keeper = note.value; break;
        case NOTE_NOT_RUN: s->not_run = note.value; break;
        case NOTE_ENDED:
            s->ended = true;
            s->status = note.value;
            break;
        }
    if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR) || fds[1].revents)
        s->lost = true;
}

/* Starts the keeper; 0 or an errno. */
static int start_keeper(struct asq__server *s, char *const argv[])
{
    static const struct timespec at_once = { 0, 0 };
    sigset_t all, old;
    int status = 0, failure = 0;
    sigfillset(&all); /* keeps the program's handlers from running in the keeper */
    pthread_sigmask(SIG_SETMASK, &all, &old);
    pid_t middle = clone_self(0);
    if (middle == 0) {
        pid_t keeper = clone_self(0);
        if (keeper == 0)
            run_keeper(s, argv);
        int why = errno;
        if (keeper > 0)
            write_note(s, NOTE_KEEPER, keeper);
        exit_now(keeper < 0 ? why : 0);
    }
    if (middle < 0)
        failure = errno;
    else if (waitpid(middle, &status, __WALL) == middle && status != 0)
        failure = WIFEXITED(status) ? WEXITSTATUS(status) : EINTR;
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (failure)
        return failure;
    read_keeper_notes(s, at_once);
    if (s->keeper > 0)
        s->keeper_pidfd = open_pidfd(s->keeper);
    return 0;
}

int asq__server_start(struct asq__server **ret, char *err, size_t errlen)
{
    struct asq__server *s = calloc(1, sizeof *s);
    if (!s)
        return asq__err(err, errlen, ASQ_ENOMEM, "out of memory");
    s->channel[0] = s->channel[1] = s->pidfd = s->log_fd = s->keeper_pidfd = -1;
    s->owner = getpid();
    int rc = find_program(s, err, errlen);
    if (rc == 0)
        rc = make_dir(s, err, errlen);
    if (rc == 0 && socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, s->channel) < 0)
        rc = asq__err(err, errlen, ASQ_ESYS, "socketpair: %s", strerror(errno));
    for (int i = 0; rc == 0 && i < 2; i++)
        if ((s->channel[i] = asq__fd_keep(s->channel[i])) < 0)
            rc = asq__err(err, errlen, ASQ_ESYS, "socketpair: %s", strerror(errno));
    if (rc < 0)
        goto fail;
    s->pidfd = open_pidfd(s->owner);
    /* The server starts in its directory, and all names are relative to it: arguments become lines
     * of a configuration file, where not every server handles quotes and spaces in paths. */
    const char *argv[] = { s->program,   "--port",           "0",       "--unixsocket",
                           SOCKET_NAME,  "--unixsocketperm", "700",     "--save",
                           "",           "--appendonly",     "no",      "--maxmemory-policy",
                           "noeviction", "--daemonize",      "no",      "--logfile",
                           "",           "--loglevel",       "warning", NULL };
    int failure = start_keeper(s, asq__unconst(argv));
    if (failure) {
        rc = asq__err(err, errlen, ASQ_ESYS, "the private server's keeper cannot be forked: %s",
                      strerror(failure));
        goto fail;
    }
    close_fd(&s->channel[1]);
    close_fd(&s->pidfd);
    close_fd(&s->log_fd);
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

/* Returns whether the server answers. */
static bool is_answering(const struct asq__server *s)
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

/* Reads the last lines of the log, as one line. */
static void read_log(const struct asq__server *s, char text[LOG_SHOWN + 1])
{
    FILE *log = fopen(s->log, "re");
    text[0] = '\0';
    if (!log)
        return;
    bool cut = fseek(log, -LOG_SHOWN, SEEK_END) == 0 && ftell(log) > 0;
    if (!cut)
        rewind(log);
    size_t n = fread(text, 1, LOG_SHOWN, log);
    fclose(log);
    text[n] = '\0';
    while (n && text[n - 1] == '\n')
        text[--n] = '\0';
    char *line = cut ? strchr(text, '\n') : NULL;
    if (line)
        memmove(text, line + 1, strlen(line));
    for (char *c = text; *c; c++)
        if ((unsigned char) *c < ' ')
            *c = *c == '\n' ? '|' : ' ';
}

static int has_failed(const struct asq__server *s, char *err, size_t errlen)
{
    char text[LOG_SHOWN + 1], how[80];
    if (s->not_run)
        return asq__err(err, errlen, ASQ_ENOSERVER, "%s cannot be run: %s", s->program,
                        strerror(s->not_run));
    if (!s->ended)
        return asq__err(err, errlen, ASQ_ESYS,
                        "the process asq-keeper, which runs the private %s, was killed",
                        s->program);
    if (WIFSIGNALED(s->status))
        snprintf(how, sizeof how, "was ended by signal %d", WTERMSIG(s->status));
    else
        snprintf(how, sizeof how, "has ended with status %d", WEXITSTATUS(s->status));
    read_log(s, text);
    return asq__err(err, errlen, ASQ_ESYS, "%s %s%s%s", s->program, how,
                    *text ? "; the end of its log: " : ", without any output", text);
}

static int fail_too_slow(const struct asq__server *s, int64_t ms, char *err, size_t errlen)
{
    char text[LOG_SHOWN + 1];
    read_log(s, text);
    return asq__err(err, errlen, ASQ_ETIMEOUT, "%s does not answer after %lld ms%s%s", s->program,
                    (long long) ms, *text ? "; the end of its log: " : ", without any output",
                    text);
}

int asq__server_wait_ready(struct asq__server *s, int64_t timeout_ms, char *err, size_t errlen)
{
    int64_t deadline = asq__deadline_ms(timeout_ms);
    struct timespec pause = { 0, 500000 };
    while (!is_answering(s)) {
        read_keeper_notes(s, pause);
        if (s->not_run || s->ended || s->lost)
            return has_failed(s, err, errlen);
        if (asq__now_ms() > deadline)
            return fail_too_slow(s, timeout_ms, err, errlen);
        if (pause.tv_nsec < 5000000)
            pause.tv_nsec += pause.tv_nsec / 4;
    }
    return 0;
}

static void wait_for_end(struct asq__server *s, int64_t limit_ms)
{
    int64_t deadline = asq__deadline_ms(limit_ms), left;
    while (!s->lost && (left = deadline - asq__now_ms()) > 0) {
        struct timespec wait = { left / 1000, left % 1000 * 1000000 };
        read_keeper_notes(s, wait);
    }
    /* The channel is shut down just before the keeper is gone. */
    struct pollfd ended = { s->keeper_pidfd, POLLIN, 0 };
    if (s->lost && s->keeper_pidfd >= 0)
        poll(&ended, 1, KILL_MS);
}

void asq__server_stop(struct asq__server *s)
{
    if (!s)
        return;
    if (s->owner == getpid() && s->channel[0] >= 0) {
        shutdown(s->channel[0], SHUT_WR);
        wait_for_end(s, STOP_MS);
        if (!s->lost && s->keeper > 0) { /* the server dies with it (PR_SET_PDEATHSIG) */
            if (s->keeper_pidfd < 0 ||
                syscall(SYS_pidfd_send_signal, s->keeper_pidfd, SIGKILL, NULL, 0) < 0)
                kill(s->keeper, SIGKILL);
            wait_for_end(s, KILL_MS);
        }
        clean_up(s); /* in place of a killed keeper */
    }
    server_free(s);
}

void asq__server_child_forget(struct asq__server *s)
{
    if (!s)
        return;
    close_fd(&s->channel[0]);
    close_fd(&s->keeper_pidfd);
}
