/*
 * listen.c: see listen.h.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "asqueue.h"
#include "listen.h"

enum { BACKLOG = 16 };

/* Splits "HOST:PORT". False: it is not of that form. */
static bool split(const char *address, char host[256], char port[8])
{
    const char *colon = strrchr(address, ':');
    size_t n = colon ? (size_t) (colon - address) : 0, digits;
    if (!colon || n == 0 || n > 255)
        return false;
    bool bracketed = *address == '[' && address[n - 1] == ']';
    if (!bracketed && memchr(address, ':', n))
        return false;
    digits = strspn(colon + 1, "0123456789");
    if (digits == 0 || digits > 5 || colon[1 + digits] || strtoul(colon + 1, NULL, 10) > 65535)
        return false;
    snprintf(host, 256, "%.*s", (int) (n - 2 * bracketed), address + bracketed);
    snprintf(port, 8, "%s", colon + 1);
    return *host != '\0';
}

static int listen_at(const struct addrinfo *at)
{
    int one = 1;
    int fd = socket(at->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(fd, at->ai_addr, at->ai_addrlen) < 0 || listen(fd, BACKLOG) < 0) {
        int saved = errno;
        close(fd);
        errno = saved;
        return -1;
    }
    return fd;
}

int as_listen(const struct as_listen_option *option, const char *address, char *err, size_t errlen)
{
    char host[256], port[8];
    struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV },
                    *list;
    if (!split(address, host, port)) {
        snprintf(err, errlen, "%s %s: give HOST:PORT, as 127.0.0.1:%s, [::1]:%s or 0.0.0.0:%s",
                 option->name, address, option->port, option->port, option->port);
        return ASQ_EINVAL;
    }
    int rc = getaddrinfo(host, port, &hints, &list);
    if (rc != 0) {
        snprintf(err, errlen, "%s %s: there is no such address: %s", option->name, address,
                 gai_strerror(rc));
        return ASQ_EINVAL;
    }
    int fd = listen_at(list);
    int why = errno;
    freeaddrinfo(list);
    if (fd < 0) {
        snprintf(err, errlen, "%s %s cannot be served: %s%s%s", option->name, address,
                 strerror(why), why == EADDRINUSE ? "; another program uses the port" : "",
                 why == EADDRINUSE ? option->if_taken : "");
        return ASQ_ESYS;
    }
    return fd;
}

void as_listen_url(int listener, char *text, size_t size)
{
    struct sockaddr_storage at;
    socklen_t n = sizeof at;
    char host[NI_MAXHOST] = "?", port[NI_MAXSERV] = "?";
    if (getsockname(listener, (struct sockaddr *) &at, &n) == 0)
        getnameinfo((struct sockaddr *) &at, n, host, sizeof host, port, sizeof port,
                    NI_NUMERICHOST | NI_NUMERICSERV);
    snprintf(text, size, strchr(host, ':') ? "http://[%s]:%s" : "http://%s:%s", host, port);
}

bool as_listen_is_loopback(int listener)
{
    union {
        struct sockaddr_storage any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
    } at = { .any = { .ss_family = AF_UNSPEC } };
    socklen_t n = sizeof at;
    if (getsockname(listener, (struct sockaddr *) &at.any, &n) < 0)
        return false;
    if (at.any.ss_family == AF_INET)
        return ntohl(at.v4.sin_addr.s_addr) >> 24 == IN_LOOPBACKNET;
    if (at.any.ss_family != AF_INET6)
        return false;
    const struct in6_addr *a = &at.v6.sin6_addr;
    return IN6_IS_ADDR_LOOPBACK(a) || (IN6_IS_ADDR_V4MAPPED(a) && a->s6_addr[12] == IN_LOOPBACKNET);
}
