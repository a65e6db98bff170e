/*
 * proxy.c: stands between the processes under test and Redis, Unix socket to Unix socket, and
 * damages the passing bytes as its controls say (shared memory, written by faults.c). There is a
 * port for each worker, so that faults can affect one worker alone. The proxy is a process of its
 * own, which ends with its parent.
 */
#include "chaos.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { MAX_LINKS = 400, MAX_HELD = 8 << 20, PIECE = 64 << 10, LINGER_MS = 200 };

struct chunk {
    struct chunk *next;
    int64_t due_ms;
    size_t n, sent;
    char bytes[];
};

/* One direction of a link. */
struct flow {
    int from, to;
    struct chunk *first, **last;
    size_t held;
    bool ended; /* the end was read */
};

struct link {
    int port;
    unsigned cuts, faults, orphans;
    bool broken; /* bytes are missing, so no further ones may pass */
    /* The sender has been cut off; held bytes still go to Redis. */
    bool orphan;
    int64_t orphan_until_ms;
    bool dead;
    struct flow up, down;
};

static struct proxy_control *control;
static struct link *links[MAX_LINKS];
static size_t n_links;

static int unix_socket(const char *path, bool listening)
{
    struct sockaddr_un a = { .sun_family = AF_UNIX };
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd < 0 || strlen(path) >= sizeof a.sun_path)
        return -1;
    strcpy(a.sun_path, path);
    if (listening)
        unlink(path);
    if (listening ? bind(fd, (struct sockaddr *) &a, sizeof a) < 0 || listen(fd, 128) < 0
                  : connect(fd, (struct sockaddr *) &a, sizeof a) < 0) {
        close(fd);
        return -1;
    }
    fcntl(fd, F_SETFL, O_NONBLOCK);
    return fd;
}

static void flow_free(struct flow *f)
{
    while (f->first) {
        struct chunk *next = f->first->next;
        free(f->first);
        f->first = next;
    }
}

static void link_free(struct link *l)
{
    close(l->up.from);
    close(l->up.to);
    flow_free(&l->up);
    flow_free(&l->down);
    free(l);
}

static void link_new(int port, int listener, const char *target)
{
    int client = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK), server;
    struct link *l;

    if (client < 0)
        return;
    if (n_links == MAX_LINKS || (server = unix_socket(target, false)) < 0) {
        close(client);
        return;
    }
    if (!(l = calloc(1, sizeof *l)))
        sup_fail("out of memory");
    l->port = port;
    l->cuts = atomic_load(&control->ports[port].cuts);
    l->faults = atomic_load(&control->ports[port].faults);
    l->orphans = atomic_load(&control->ports[port].orphans);
    l->up = (struct flow){ .from = client, .to = server };
    l->down = (struct flow){ .from = server, .to = client };
    l->up.last = &l->up.first;
    l->down.last = &l->down.first;
    links[n_links++] = l;
}

static int mode_of(const struct link *l)
{
    const struct proxy_port *port = &control->ports[l->port];

    if (atomic_load(&port->old_only) && l->faults == atomic_load(&port->faults))
        return PROXY_PASS;
    return atomic_load(&port->mode);
}

/* Closes the sender's side. The sender opens another connection; Redis has not noticed yet. */
static void orphan(struct link *l, int64_t now)
{
    const struct chunk *c = l->up.first;

    l->orphan = true;
    l->orphan_until_ms = now + LINGER_MS;
    for (; c; c = c->next)
        l->orphan_until_ms = c->due_ms + LINGER_MS;
    shutdown(l->up.from, SHUT_RDWR);
    flow_free(&l->down);
    l->down.last = &l->down.first;
    l->down.held = 0;
}

static void flow_read(struct link *l, struct flow *f, int mode, int64_t now)
{
    char piece[PIECE];
    struct chunk *c;
    ssize_t n = read(f->from, piece, sizeof piece);

    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0) {
        f->ended = true;
        if (!f->first)
            l->dead = true;
        return;
    }
    if (l->orphan)
        return;
    if (mode == PROXY_DROP_REPLIES && f == &l->down) {
        l->broken = true;
        return;
    }
    if (!(c = malloc(sizeof *c + (size_t) n)))
        sup_fail("out of memory");
    *c = (struct chunk){ NULL, now, (size_t) n, 0 };
    if (mode == PROXY_DELAY)
        c->due_ms += atomic_load(&control->ports[l->port].delay_ms);
    memcpy(c->bytes, piece, (size_t) n);
    *f->last = c;
    f->last = &c->next;
    f->held += (size_t) n;
}

static void flow_write(struct link *l, struct flow *f, int64_t now)
{
    while (f->first && f->first->due_ms <= now) {
        struct chunk *c = f->first;
        ssize_t n = send(f->to, c->bytes + c->sent, c->n - c->sent, MSG_NOSIGNAL);
        if (n < 0) {
            if (errno != EAGAIN && errno != EINTR)
                l->dead = true;
            return;
        }
        c->sent += (size_t) n;
        if (c->sent < c->n)
            return;
        f->held -= c->n;
        if (!(f->first = c->next))
            f->last = &f->first;
        free(c);
    }
    if (f->ended && !f->first)
        l->dead = true;
}

static bool flow_reads(const struct link *l, const struct flow *f, int mode)
{
    if (l->orphan)
        return f == &l->down && !f->ended;
    return !f->ended && f->held < MAX_HELD && !(mode == PROXY_HOLD_UP && f == &l->up) &&
           !(mode == PROXY_HOLD_DOWN && f == &l->down);
}

static void run(const int *listeners, const char *target)
{
    static struct pollfd fds[PROXY_PORTS + 2 * MAX_LINKS];
    for (;;) {
        size_t n = 0, n_polled = n_links;
        int timeout = 20;
        int64_t now;

        for (int p = 0; p < PROXY_PORTS; p++)
            fds[n++] = (struct pollfd){ listeners[p], POLLIN, 0 };
        for (size_t i = 0; i < n_links; i++) {
            struct link *l = links[i];
            int mode = mode_of(l);
            struct flow *flows[2] = { &l->up, &l->down };
            for (int k = 0; k < 2; k++) {
                struct flow *f = flows[k], *other = flows[!k];
                short events = flow_reads(l, f, mode) ? POLLIN : 0;
                if (other->first && other->first->sent > 0)
                    events |= POLLOUT;
                else if (other->first)
                    timeout = 2;
                /* Leaves the descriptor out, because poll reports a hang-up again and again even if
                 * no events are requested. */
                fds[n++] = (struct pollfd){ events ? f->from : -1, events, 0 };
            }
        }
        poll(fds, n, timeout);
        now = sup_now_ms();
        for (size_t i = 0; i < n_polled; i++) {
            struct link *l = links[i];
            struct proxy_port *port = &control->ports[l->port];
            int mode = mode_of(l);
            short up = fds[PROXY_PORTS + 2 * i].revents,
                  down = fds[PROXY_PORTS + 2 * i + 1].revents;
            if (l->cuts != atomic_load(&port->cuts) || (l->broken && mode != PROXY_DROP_REPLIES)) {
                l->dead = true;
                continue;
            }
            if (l->orphans != atomic_load(&port->orphans)) {
                l->orphans = atomic_load(&port->orphans);
                orphan(l, now);
            }
            l->dead |= l->orphan && now > l->orphan_until_ms;
            if ((up & (POLLIN | POLLHUP | POLLERR)) && flow_reads(l, &l->up, mode))
                flow_read(l, &l->up, mode, now);
            if ((down & (POLLIN | POLLHUP | POLLERR)) && flow_reads(l, &l->down, mode))
                flow_read(l, &l->down, mode, now);
            flow_write(l, &l->up, now);
            flow_write(l, &l->down, now);
        }
        for (size_t i = 0; i < n_links;)
            if (links[i]->dead) {
                link_free(links[i]);
                links[i] = links[--n_links];
            } else {
                i++;
            }
        for (int p = 0; p < PROXY_PORTS; p++)
            if (fds[p].revents & POLLIN)
                link_new(p, listeners[p], target);
    }
}

pid_t proxy_start(const char *dir, const char *target, struct proxy_control *given)
{
    int listeners[PROXY_PORTS];
    pid_t parent = getpid(), pid;

    control = given;
    for (int p = 0; p < PROXY_PORTS; p++) {
        char *path = sup_format("%s/port%d.sock", dir, p);
        if ((listeners[p] = unix_socket(path, true)) < 0)
            sup_fail("%s: %s", path, strerror(errno));
        free(path);
    }
    fflush(NULL);
    if ((pid = fork()) < 0)
        sup_fail("fork: %s", strerror(errno));
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != parent)
            _exit(1);
        signal(SIGPIPE, SIG_IGN);
        run(listeners, target);
    }
    for (int p = 0; p < PROXY_PORTS; p++)
        close(listeners[p]);
    return pid;
}
