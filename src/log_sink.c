/*
 * log_sink.c: see log_sink.h.
 *
 * A line is written at once if that is possible without waiting: to a socket by MSG_DONTWAIT, to a
 * pipe or a terminal by an open file of its own, which is non-blocking without affecting others
 * that share stderr. Otherwise it goes into a buffer, which a thread writes. If no such file can be
 * opened (a pipe of another user), the thread does all of the writing, and a line waits for it for
 * a few milliseconds at most.
 *
 * A forked process begins with an empty buffer, because the parent writes the buffered lines.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "log_sink.h"

enum {
    MAX_KEPT = 256 * 1024,
    ABOUT_LOST = 512,
    SHORT_WAIT_MS = 10, /* wait for the thread if only it may write */
    THREAD_STACK = 64 * 1024
};

enum kind { KIND_FILE, KIND_SOCKET, KIND_NONBLOCKING, KIND_BLOCKING };

/* Global, because a program has one log, and fork handlers have no argument. */
static struct {
    pthread_mutex_t lock;
    pthread_cond_t bell, progress;
    const char *path;
    int fd;
    enum kind kind;
    char *kept; /* MAX_KEPT bytes, of which n are used */
    size_t n;
    size_t lost; /* lines lost since the last line about it */
    bool has_thread;
    bool stalled;         /* the thread made no progress in time: do not wait for it */
    atomic_uint *reopens; /* shared by all processes */
    unsigned reopened;
} sink = { .lock = PTHREAD_MUTEX_INITIALIZER,
           .bell = PTHREAD_COND_INITIALIZER,
           .progress = PTHREAD_COND_INITIALIZER,
           .fd = STDERR_FILENO,
           .kind = KIND_FILE };

/* Writes without waiting. -1: not possible, or an error. */
static ssize_t write_some(const char *data, size_t n)
{
    ssize_t written;
    do
        written = sink.kind == KIND_SOCKET ? send(sink.fd, data, n, MSG_DONTWAIT | MSG_NOSIGNAL)
                                           : write(sink.fd, data, n);
    while (written < 0 && errno == EINTR);
    return written;
}

static void remove_kept(size_t n)
{
    memmove(sink.kept, sink.kept + n, sink.n - n);
    sink.n -= n;
}

static size_t count_lines(const char *data, size_t n)
{
    size_t lines = 0;
    for (size_t i = 0; i < n; i++)
        lines += data[i] == '\n';
    return lines;
}

/* Counts the kept lines as lost, because they cannot be written any more. */
static void count_kept_as_lost(void)
{
    sink.lost += count_lines(sink.kept, sink.n);
    sink.n = 0;
}

/* Returns the size of a piece that a pipe takes as a whole, of whole lines if possible. */
static size_t piece_size(const char *data, size_t n)
{
    if (n <= PIPE_BUF)
        return n;
    size_t i;
    for (i = PIPE_BUF; i > 0 && data[i - 1] != '\n'; i--)
        ;
    return i > 0 ? i : PIPE_BUF;
}

static void *thread_main(void *arg)
{
    (void) arg;
    pthread_mutex_lock(&sink.lock);
    for (;;) {
        while (sink.n == 0)
            pthread_cond_wait(&sink.bell, &sink.lock);
        struct pollfd ready = { sink.fd, POLLOUT, 0 };
        size_t n = piece_size(sink.kept, sink.n);
        char data[PIPE_BUF];
        memcpy(data, sink.kept, n);
        pthread_mutex_unlock(&sink.lock);
        poll(&ready, 1, -1);
        /* Only this thread removes data from a non-empty buffer. */
        ssize_t written = write_some(data, n);
        int failure = written < 0 ? errno : 0;
        pthread_mutex_lock(&sink.lock);
        if (written > 0)
            remove_kept((size_t) written);
        else if (failure && failure != EAGAIN)
            count_kept_as_lost();
        sink.stalled = false;
        pthread_cond_broadcast(&sink.progress);
    }
    return NULL;
}

/* Wakes or starts the thread. Call with the lock. */
static void wake_thread(void)
{
    pthread_attr_t attr;
    if (!sink.has_thread && pthread_attr_init(&attr) == 0) {
        pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
        pthread_attr_setstacksize(&attr, THREAD_STACK);
        sigset_t all, old;
        sigfillset(&all);
        pthread_sigmask(SIG_SETMASK, &all, &old);
        pthread_t thread;
        sink.has_thread = pthread_create(&thread, &attr, thread_main, NULL) == 0;
        pthread_sigmask(SIG_SETMASK, &old, NULL);
        pthread_attr_destroy(&attr);
    }
    pthread_cond_signal(&sink.bell);
}

/* Waits until the buffer is empty, or for ms. Call with the lock. */
static bool wait_empty(int ms)
{
    int rc = 0;
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += ms / 1000;
    until.tv_nsec += ms % 1000 * 1000000L;
    if (until.tv_nsec >= 1000000000) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000;
    }
    while (sink.n > 0 && rc == 0)
        rc = pthread_cond_timedwait(&sink.progress, &sink.lock, &until);
    return sink.n == 0;
}

/* Keeps a line for the thread; false: no room. Call with the lock. */
static bool keep_line(const char *line, size_t n)
{
    if (n > MAX_KEPT - sink.n || (!sink.kept && !(sink.kept = malloc(MAX_KEPT))))
        return false;
    memcpy(sink.kept + sink.n, line, n);
    sink.n += n;
    wake_thread();
    return true;
}

/* Writes or keeps a line; false: it is lost. Call with the lock. */
static bool write_or_keep(const char *line, size_t n)
{
    size_t done = 0;
    if (sink.n > 0)
        return keep_line(line, n);
    while (sink.kind != KIND_BLOCKING && done < n) {
        ssize_t written = write_some(line + done, n - done);
        if (written < 0 && errno != EAGAIN)
            return false;
        if (written <= 0)
            break;
        done += (size_t) written;
    }
    if (done < n && !keep_line(line + done, n - done))
        return false;
    if (sink.kind == KIND_BLOCKING && !sink.stalled)
        sink.stalled = !wait_empty(SHORT_WAIT_MS);
    return true;
}

/* ---- the file ---- */

static void find_kind(int fd)
{
    sink.fd = fd;
    sink.kind = KIND_FILE;
    struct stat st;
    if (fstat(fd, &st) < 0 || S_ISREG(st.st_mode))
        return;
    if (S_ISSOCK(st.st_mode)) {
        sink.kind = KIND_SOCKET;
        return;
    }
    fd = open("/proc/self/fd/2", O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (fd > STDERR_FILENO) {
        sink.fd = fd;
        sink.kind = KIND_NONBLOCKING;
    } else {
        sink.kind = KIND_BLOCKING;
    }
}

static int open_file(void)
{
    return open(sink.path, O_WRONLY | O_APPEND | O_CREAT | O_NOCTTY | O_NONBLOCK | O_CLOEXEC, 0640);
}

/* Reopens the file if asked; on failure the old one stays. Call with the lock. */
static void reopen_if_asked(void)
{
    unsigned asked = sink.reopens ? atomic_load(sink.reopens) : 0;
    int fd;

    if (asked == sink.reopened)
        return;
    sink.reopened = asked;
    if (!sink.path || (fd = open_file()) < 0)
        return;
    dup3(fd, sink.fd, O_CLOEXEC); /* keeps the number, which the thread may be using */
    close(fd);
}

static void before_fork(void)
{
    pthread_mutex_lock(&sink.lock);
}

static void after_fork(void)
{
    pthread_mutex_unlock(&sink.lock);
}

static void in_child(void)
{
    pthread_mutex_init(&sink.lock, NULL);
    pthread_cond_init(&sink.bell, NULL);
    pthread_cond_init(&sink.progress, NULL);
    sink.n = sink.lost = 0;
    sink.has_thread = sink.stalled = false;
}

bool as_sink_open(const char *path)
{
    void *shared =
        mmap(NULL, sizeof *sink.reopens, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED || (errno = pthread_atfork(before_fork, after_fork, in_child)) != 0)
        return false;
    sink.reopens = shared;
    sink.path = path;
    if (!path) {
        find_kind(STDERR_FILENO);
        return true;
    }
    if ((sink.fd = open_file()) < 0)
        return false;
    struct stat st;
    sink.kind = fstat(sink.fd, &st) == 0 && S_ISREG(st.st_mode) ? KIND_FILE : KIND_NONBLOCKING;
    return true;
}

void as_sink_reopen(void)
{
    if (sink.reopens)
        atomic_fetch_add(sink.reopens, 1);
}

void as_sink_write(const char *line, size_t n,
                   size_t (*about_lost)(void *user, size_t lost, char *line, size_t size),
                   void *user)
{
    pthread_mutex_lock(&sink.lock);
    reopen_if_asked();
    char about[ABOUT_LOST];
    if (sink.lost > 0 && write_or_keep(about, about_lost(user, sink.lost, about, sizeof about)))
        sink.lost = 0;
    if (sink.lost > 0 || !write_or_keep(line, n))
        sink.lost++;
    pthread_mutex_unlock(&sink.lock);
}

void as_sink_flush(int ms)
{
    pthread_mutex_lock(&sink.lock);
    wait_empty(ms);
    pthread_mutex_unlock(&sink.lock);
}
