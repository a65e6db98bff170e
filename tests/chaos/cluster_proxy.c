/*
 * cluster_proxy.c: see cluster_proxy.h. A link tells by its first bytes who has made it: a message
 * of the bus has the port that its sender announces, and a replica sends the port on which it
 * listens. All other links are those of clients.
 */
#include "cluster_proxy.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    MAX_HELD = 8 << 20,
    PIECE = 64 << 10,
    SENDER_PORT_AT = 10, /* in a message of the bus, 16 bits */
    GREETING_MAX = 2048, /* a replica tells its port within so many bytes */
    EVENTS = 256,
    IDLE_MS = 10,
    BUSY_MS = 1
};

struct chunk {
    struct chunk *next;
    int64_t due_ms;
    size_t n, sent;
    char bytes[];
};

/* An end of a link, or a listening socket, for epoll. */
struct end {
    struct link *link;
    int fd, node;
    bool bus;
    uint32_t events; /* that epoll waits for; 0: it does not know the descriptor */
};

/* One direction of a link. */
struct flow {
    struct end *from, *to;
    struct chunk *first, **last;
    size_t held;
    bool ended; /* the end was read */
};

struct link {
    struct link *next;
    struct end ends[2]; /* towards the node that made it; towards `node` */
    struct flow up, down;
    int node, peer; /* peer: -1: a client, or it is not known yet */
    bool bus, dead;
    unsigned breaks;
    size_t greeting;
};

static struct cluster_proxy *self;
static struct link *links;
static int epoll;

/* ---- sockets ---- */

static struct sockaddr_in local(int port)
{
    return (struct sockaddr_in){ .sin_family = AF_INET,
                                 .sin_port = htons((uint16_t) port),
                                 .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
}

static int tcp_socket(void)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;
    if (fd < 0)
        sup_fail("socket: %s", strerror(errno));
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    return fd;
}

static int listen_on(int port)
{
    struct sockaddr_in at = local(port);
    int fd = tcp_socket();
    if (bind(fd, (struct sockaddr *) &at, sizeof at) < 0 || listen(fd, 512) < 0)
        sup_fail("port %d: %s", port, strerror(errno));
    fcntl(fd, F_SETFL, O_NONBLOCK);
    return fd;
}

/* Connects to a node, which is on this machine and so answers or refuses at once. */
static int connect_to(int port)
{
    struct sockaddr_in at = local(port);
    int fd = tcp_socket();
    if (connect(fd, (struct sockaddr *) &at, sizeof at) < 0) {
        close(fd);
        return -1;
    }
    fcntl(fd, F_SETFL, O_NONBLOCK);
    return fd;
}

static void watch(struct end *e, uint32_t events)
{
    struct epoll_event event = { .events = events, .data.ptr = e };
    if (events == e->events)
        return;
    /* Without events the descriptor is left out: epoll would tell of a hang-up again and again. */
    int op = !events ? EPOLL_CTL_DEL : e->events ? EPOLL_CTL_MOD : EPOLL_CTL_ADD;
    if (epoll_ctl(epoll, op, e->fd, &event) < 0)
        sup_fail("epoll_ctl: %s", strerror(errno));
    e->events = events;
}

/* ---- what the control says ---- */

static bool is_replication(const struct link *l)
{
    return !l->bus && l->peer >= 0;
}

static bool is_cut(const struct link *l)
{
    struct cluster_proxy_control *c = self->control;
    return l->peer >= 0 && atomic_load(l->bus ? &c->cuts_bus : &c->cuts_replication) &&
           atomic_load(&c->sides[l->node]) != atomic_load(&c->sides[l->peer]);
}

static bool is_held(const struct link *l, const struct flow *f)
{
    return is_cut(l) ||
           (is_replication(l) && f == &l->down && atomic_load(&self->control->holds[l->node]));
}

static int64_t delay_of(const struct link *l, const struct flow *f)
{
    return is_replication(l) && f == &l->down ? atomic_load(&self->control->delay_ms[l->node]) : 0;
}

/* ---- links ---- */

static void link_new(const struct end *listener)
{
    const struct sup_cluster_ports *ports = &self->ports[listener->node];
    int client = accept4(listener->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK), one = 1;
    if (client < 0)
        return;
    setsockopt(client, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    int server = connect_to(listener->bus ? ports->bus : ports->port);
    if (server < 0) {
        close(client);
        return;
    }
    struct link *l = calloc(1, sizeof *l);
    if (!l)
        sup_fail("out of memory");
    l->ends[0] = (struct end){ .link = l, .fd = client };
    l->ends[1] = (struct end){ .link = l, .fd = server };
    l->up = (struct flow){ .from = &l->ends[0], .to = &l->ends[1], .last = &l->up.first };
    l->down = (struct flow){ .from = &l->ends[1], .to = &l->ends[0], .last = &l->down.first };
    l->node = listener->node;
    l->bus = listener->bus;
    l->peer = -1;
    l->breaks = atomic_load(&self->control->breaks[l->node]);
    l->next = links;
    links = l;
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
    for (int i = 0; i < 2; i++)
        close(l->ends[i].fd);
    flow_free(&l->up);
    flow_free(&l->down);
    free(l);
}

/* Finds out who has made a link. */
static void recognise(struct link *l, const char *bytes, size_t n)
{
    static const char told[] = "listening-port\r\n$";
    int port = 0;
    if (l->bus && n >= SENDER_PORT_AT + 2) {
        port =
            (unsigned char) bytes[SENDER_PORT_AT] << 8 | (unsigned char) bytes[SENDER_PORT_AT + 1];
    } else if (!l->bus) {
        const char *at = memmem(bytes, n, told, sizeof told - 1);
        const char *line =
            at ? memchr(at + sizeof told, '\n', (size_t) (bytes + n - at) - sizeof told) : NULL;
        for (line = line ? line + 1 : NULL;
             line && line < bytes + n && *line >= '0' && *line <= '9'; line++)
            port = port * 10 + (*line - '0');
    }
    for (int i = 0; port && i < CLUSTER_NODES_MAX; i++)
        if (port == self->ports[i].port || port == self->ports[i].front)
            l->peer = i;
    l->greeting += n;
}

static void flow_read(struct link *l, struct flow *f)
{
    static char piece[PIECE];
    ssize_t n = read(f->from->fd, piece, sizeof piece);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0) {
        f->ended = true;
        return;
    }
    if (f == &l->up && l->peer < 0 && l->greeting < GREETING_MAX)
        recognise(l, piece, (size_t) n);
    struct chunk *c = malloc(sizeof *c + (size_t) n);
    if (!c)
        sup_fail("out of memory");
    *c = (struct chunk){ .due_ms = sup_now_ms() + delay_of(l, f), .n = (size_t) n };
    memcpy(c->bytes, piece, (size_t) n);
    *f->last = c;
    f->last = &c->next;
    f->held += (size_t) n;
}

static void flow_write(struct link *l, struct flow *f)
{
    while (f->first && !is_held(l, f) && f->first->due_ms <= sup_now_ms()) {
        struct chunk *c = f->first;
        ssize_t n = send(f->to->fd, c->bytes + c->sent, c->n - c->sent, MSG_NOSIGNAL);
        if (n < 0) {
            l->dead |= errno != EAGAIN && errno != EINTR;
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
    l->dead |= f->ended && !f->first;
}

static bool is_due(const struct link *l, const struct flow *f)
{
    return f->first && !is_held(l, f) && f->first->due_ms <= sup_now_ms();
}

/* Reads and writes what there is, and waits for more. */
static void link_go_on(struct link *l)
{
    struct flow *flows[2] = { &l->up, &l->down };
    if (is_replication(l) && l->breaks != atomic_load(&self->control->breaks[l->node]))
        l->dead = true;
    for (int k = 0; k < 2 && !l->dead; k++) {
        struct flow *f = flows[k];
        if (!f->ended && !is_held(l, f) && f->held < MAX_HELD)
            flow_read(l, f);
        flow_write(l, f);
    }
    for (int k = 0; k < 2 && !l->dead; k++) {
        bool reads = !flows[k]->ended && !is_held(l, flows[k]) && flows[k]->held < MAX_HELD;
        watch(flows[k]->from,
              (reads ? EPOLLIN : 0u) | (is_due(l, flows[!k]) ? (uint32_t) EPOLLOUT : 0u));
    }
}

static bool has_bytes(const struct link *l)
{
    return l->up.first || l->down.first;
}

/* Has all links, or only new ones and those with bytes that wait, go on. Returns whether bytes
 * wait. */
static bool links_go_on(bool all)
{
    bool waits = false;
    for (struct link *l = links; l; l = l->next) {
        bool is_new = !l->ends[0].events && !l->ends[1].events;
        if (all || is_new || has_bytes(l))
            link_go_on(l);
        waits |= has_bytes(l);
    }
    return waits;
}

static void free_dead(void)
{
    for (struct link **at = &links; *at;) {
        struct link *l = *at;
        if (!l->dead) {
            at = &l->next;
            continue;
        }
        *at = l->next;
        link_free(l);
    }
}

static void run(struct end *listeners, size_t n_listeners)
{
    static struct epoll_event events[EVENTS];
    unsigned seen = 0;
    bool waits = false;
    if ((epoll = epoll_create1(EPOLL_CLOEXEC)) < 0)
        sup_fail("epoll: %s", strerror(errno));
    for (size_t i = 0; i < n_listeners; i++)
        watch(&listeners[i], EPOLLIN);
    for (;;) {
        int n = epoll_wait(epoll, events, EVENTS, waits ? BUSY_MS : IDLE_MS);
        bool made = false;
        for (int i = 0; i < n; i++) {
            struct end *e = events[i].data.ptr;
            if (e->link)
                link_go_on(e->link);
            else
                link_new(e);
            made |= !e->link;
        }
        bool changed = seen != atomic_load(&self->control->changes);
        if (changed)
            seen = atomic_load(&self->control->changes);
        if (made || waits || changed)
            waits = links_go_on(changed);
        free_dead();
    }
}

void cluster_proxy_start(struct cluster_proxy *p)
{
    static struct end listeners[2 * CLUSTER_NODES_MAX];
    enum { N = sizeof listeners / sizeof *listeners };
    pid_t parent = getpid();
    p->control =
        mmap(NULL, sizeof *p->control, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (p->control == MAP_FAILED)
        sup_fail("mmap: %s", strerror(errno));
    for (int i = 0; i < CLUSTER_NODES_MAX; i++) {
        struct sup_cluster_ports *ports = &p->ports[i];
        *ports = (struct sup_cluster_ports){ sup_free_port(), sup_free_port(), sup_free_port(),
                                             sup_free_port() };
        listeners[2 * i] = (struct end){ .fd = listen_on(ports->front), .node = i };
        listeners[2 * i + 1] =
            (struct end){ .fd = listen_on(ports->front_bus), .node = i, .bus = true };
    }
    self = p;
    if ((p->pid = fork()) < 0)
        sup_fail("fork: %s", strerror(errno));
    if (p->pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != parent)
            _exit(1);
        signal(SIGPIPE, SIG_IGN);
        run(listeners, N);
    }
    for (size_t i = 0; i < N; i++)
        close(listeners[i].fd);
}

void cluster_proxy_stop(struct cluster_proxy *p)
{
    kill(p->pid, SIGKILL);
    waitpid(p->pid, NULL, 0);
    for (int i = 0; i < CLUSTER_NODES_MAX; i++) {
        sup_release_port(p->ports[i].port);
        sup_release_port(p->ports[i].bus);
        sup_release_port(p->ports[i].front);
        sup_release_port(p->ports[i].front_bus);
    }
    munmap(p->control, sizeof *p->control);
}

void cluster_proxy_changed(struct cluster_proxy *p)
{
    atomic_fetch_add(&p->control->changes, 1);
}
