/*
 * proxy.c: see proxy.h. The test's settings are in shared memory; the proxy reads them for each
 * piece that passes.
 */
#include "proxy.h"
#include "support_internal.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    MAX_LINKS = 256, /* a worker of a Cluster reads each of its partitions by one */
    PIECE = 256 << 10,
    POLL_MS = 5
};

struct control {
    atomic_int cut; /* enum sup_cut; 0: nothing */
    atomic_int cuts;
    atomic_bool stall;
    atomic_int stalled;
    atomic_int delay_ms;
    char pattern[256];
    atomic_bool spoil;
    char marked[256]; /* pattern of what is spoiled */
    char from[64], to[64];
};

struct sup_proxy {
    struct control *control;
    char *socket, *url;
    pid_t pid;
};

struct link {
    int worker, redis;
    bool cut, stalled;
};

static struct control *control;
static struct link links[MAX_LINKS];
static int nlinks;
static char piece[PIECE];

static int open_socket(const char *path, bool listening)
{
    struct sockaddr_un a = { .sun_family = AF_UNIX };
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    strncpy(a.sun_path, path, sizeof a.sun_path - 1);
    if (fd >= 0 && (listening ? bind(fd, (struct sockaddr *) &a, sizeof a) < 0 || listen(fd, 64) < 0
                              : connect(fd, (struct sockaddr *) &a, sizeof a) < 0)) {
        close(fd);
        return -1;
    }
    return fd;
}

static bool pass(int to, const char *data, ssize_t n)
{
    while (n > 0) {
        ssize_t sent = send(to, data, (size_t) n, MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent <= 0)
            return false;
        data += sent;
        n -= sent;
    }
    return true;
}

static int occurrences(ssize_t n)
{
    const char *at = piece, *end = piece + n;
    size_t pattern = strlen(control->pattern);
    int found = 0;
    while (pattern && (at = memmem(at, (size_t) (end - at), control->pattern, pattern))) {
        at += pattern;
        found++;
    }
    return found;
}

static void spoil(ssize_t n)
{
    const char *at = piece, *end = piece + n;
    size_t pattern = strlen(control->marked), from = strlen(control->from);
    while ((at = memmem(at, (size_t) (end - at), control->marked, pattern))) {
        char *last = NULL, *next = piece;
        while ((next = memmem(next, (size_t) (at - next), control->from, from))) {
            last = next;
            next += from;
        }
        if (last)
            memcpy(last, control->to, from);
        at += pattern;
    }
}

/* Forwards a request. False: the link has ended. */
static bool request(struct link *l)
{
    ssize_t n = recv(l->worker, piece, sizeof piece, 0);
    if (n <= 0)
        return n < 0 && errno == EINTR;
    int cut = atomic_load(&control->cut),
        found = cut || atomic_load(&control->stall) ? occurrences(n) : 0;
    if (atomic_load(&control->spoil))
        spoil(n);
    if (found && atomic_load(&control->stall)) {
        l->stalled = true;
        atomic_fetch_add(&control->stalled, found);
    }
    if (found && cut) {
        if (cut != SUP_CUT_EACH)
            atomic_store(&control->cut, 0);
        if (cut != SUP_CUT_ANSWER) {
            atomic_fetch_add(&control->cuts, 1);
            return false;
        }
        l->cut = true;
    }
    return pass(l->redis, piece, n);
}

static bool answer(struct link *l)
{
    ssize_t n = recv(l->redis, piece, sizeof piece, 0);
    if (n <= 0)
        return n < 0 && errno == EINTR;
    if (l->cut) {
        atomic_fetch_add(&control->cuts, 1);
        return false;
    }
    if (atomic_load(&control->delay_ms))
        sup_sleep_ms(atomic_load(&control->delay_ms));
    return pass(l->worker, piece, n);
}

static void accept_link(int listener, const char *redis_socket)
{
    int worker = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    int redis = worker >= 0 && nlinks < MAX_LINKS ? open_socket(redis_socket, false) : -1;
    if (redis < 0) {
        if (worker >= 0)
            close(worker);
        return;
    }
    links[nlinks++] = (struct link){ worker, redis, false, false };
}

static void serve(int listener, const char *redis_socket) __attribute__((noreturn));
static void serve(int listener, const char *redis_socket)
{
    for (;;) {
        struct pollfd fds[1 + 2 * MAX_LINKS] = { { listener, POLLIN, 0 } };
        int n = nlinks;
        for (int i = 0; i < n; i++) {
            bool stalled = links[i].stalled && atomic_load(&control->stall);
            fds[1 + 2 * i] = (struct pollfd){ links[i].worker, POLLIN, 0 };
            fds[2 + 2 * i] = (struct pollfd){ stalled ? -1 : links[i].redis, POLLIN, 0 };
        }
        if (poll(fds, (nfds_t) (1 + 2 * n), POLL_MS) < 0 && errno != EINTR)
            _exit(1);
        for (int i = n - 1; i >= 0; i--)
            if ((fds[1 + 2 * i].revents && !request(&links[i])) ||
                (fds[2 + 2 * i].revents && !answer(&links[i]))) {
                close(links[i].worker);
                close(links[i].redis);
                links[i] = links[--nlinks];
            }
        if (fds[0].revents)
            accept_link(listener, redis_socket);
    }
}

sup_proxy *sup_proxy_start(const char *redis_socket)
{
    sup_proxy *p = sup__alloc(sizeof *p);
    pid_t parent = getpid();
    p->control =
        mmap(NULL, sizeof *p->control, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    p->socket = sup_path("proxy.sock");
    p->url = sup_format("unix:%s%s", p->socket, sup__acl_query());
    int listener = open_socket(p->socket, true);
    if (p->control == MAP_FAILED || listener < 0)
        sup_fail("a proxy cannot be made: %s", strerror(errno));
    if ((p->pid = fork()) == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != parent)
            _exit(1);
        control = p->control;
        serve(listener, redis_socket);
    }
    close(listener);
    if (p->pid < 0)
        sup_fail("fork: %s", strerror(errno));
    return p;
}

const char *sup_proxy_url(const sup_proxy *p)
{
    return p->url;
}

void sup_proxy_free(sup_proxy *p)
{
    if (!p)
        return;
    kill(p->pid, SIGKILL);
    waitpid(p->pid, NULL, 0);
    unlink(p->socket);
    munmap(p->control, sizeof *p->control);
    free(p->socket);
    free(p->url);
    free(p);
}

static void set_pattern(char to[256], const char *pattern)
{
    memset(to, 0, 256);
    strncpy(to, pattern, 255);
}

void sup_proxy_cut(sup_proxy *p, enum sup_cut how, const char *pattern)
{
    atomic_store(&p->control->cut, 0);
    atomic_store(&p->control->cuts, 0);
    set_pattern(p->control->pattern, pattern);
    atomic_store(&p->control->cut, how);
}

bool sup_proxy_has_cut(const sup_proxy *p)
{
    return atomic_load(&p->control->cuts) > 0;
}

void sup_proxy_stall(sup_proxy *p, const char *pattern)
{
    set_pattern(p->control->pattern, pattern);
    atomic_store(&p->control->stalled, 0);
    atomic_store(&p->control->stall, true);
}

int sup_proxy_n_stalled(const sup_proxy *p)
{
    return atomic_load(&p->control->stalled);
}

void sup_proxy_resume(sup_proxy *p)
{
    atomic_store(&p->control->stall, false);
}

void sup_proxy_delay(sup_proxy *p, int ms)
{
    atomic_store(&p->control->delay_ms, ms);
}

void sup_proxy_spoil(sup_proxy *p, const char *pattern, const char *from, const char *to)
{
    struct control *c = p->control;
    atomic_store(&c->spoil, false);
    if (!from)
        return;
    if (strlen(from) != strlen(to) || strlen(from) >= sizeof c->from)
        sup_fail("%s and %s must be of one length", from, to);
    set_pattern(c->marked, pattern);
    strcpy(c->from, from);
    strcpy(c->to, to);
    atomic_store(&c->spoil, true);
}
