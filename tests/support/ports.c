/* ports.c: TCP ports for the servers of tests that run at the same time. */
#include "support.h"

#include <errno.h>
#include <netinet/in.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* Lies below the ports that the kernel gives to outgoing connections, and below those of the shell
 * tests, which begin at 20000. */
enum { FIRST_PORT = 10000, PORTS = 10000 };

/* Returns a socket whose name stands for the port until this process ends, -1 if another process
 * has it. */
static int reserve(int port)
{
    struct sockaddr_un name = { .sun_family = AF_UNIX };
    int n = snprintf(name.sun_path + 1, sizeof name.sun_path - 1, "asqueue-test-port-%d", port);
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        sup_fail("no free TCP port: %s", strerror(errno));
    socklen_t size = (socklen_t) (offsetof(struct sockaddr_un, sun_path) + 1 + (size_t) n);
    if (bind(fd, (struct sockaddr *) &name, size) == 0)
        return fd;
    close(fd);
    return -1;
}

/* The socket of each reserved port, or 0, which is never one. */
static int reserved[PORTS];

static bool can_be_bound(int port)
{
    struct sockaddr_in at = { .sin_family = AF_INET,
                              .sin_port = htons((uint16_t) port),
                              .sin_addr.s_addr = htonl(INADDR_ANY) };
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool can = fd >= 0 && bind(fd, (struct sockaddr *) &at, sizeof at) == 0;
    if (fd >= 0)
        close(fd);
    return can;
}

int sup_free_port(void)
{
    static int next;
    if (!next)
        next = (int) (getpid() * 31L % PORTS);
    for (int tries = 0; tries < PORTS; tries++) {
        int port = FIRST_PORT + next;
        next = (next + 1) % PORTS;
        int fd = reserve(port);
        if (fd > 0 && can_be_bound(port)) {
            reserved[port - FIRST_PORT] = fd;
            return port;
        }
        if (fd >= 0)
            close(fd);
    }
    sup_fail("no free TCP port from %d to %d", FIRST_PORT, FIRST_PORT + PORTS - 1);
}

void sup_release_port(int port)
{
    int *fd = &reserved[port - FIRST_PORT];
    if (*fd > 0)
        close(*fd);
    *fd = 0;
}
