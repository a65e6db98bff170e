/*
 * url_hosts.h: the hosts of a URL, host[:port][,host[:port]…], and the map of a network that
 * translates addresses (NAT): the hosts that a Cluster announces, and where to reach them.
 */
#ifndef ASQ_REDIS_URL_HOSTS_H
#define ASQ_REDIS_URL_HOSTS_H

#include <stdbool.h>
#include <stddef.h>

struct asq__buf;

enum { ASQ__URL_HOSTS_MAX = 64, ASQ__NAT_MAX = 1024 };

struct asq__host {
    char *name; /* a name or an address */
    int port;
};

struct asq__hosts {
    struct asq__host *list;
    size_t n;
};

/* Refuses a name with a byte that must not reach a resolver or a log, and names the byte; `what` is
 * the name's place in the URL. */
int asq__host_check_name(const char *name, const char *what, char *err, size_t errlen);
/* Returns whether a host may be called so: a name, or an address. */
bool asq__host_is_name(const char *text);
/* Parses one host, with port_default if the text has no port (0: it needs one). ASQ_EINVAL with a
 * text, ASQ_ENOMEM. */
int asq__host_parse(const char *s, size_t n, int port_default, const char *what,
                    struct asq__host *ret, char *err, size_t errlen);
void asq__host_release(struct asq__host *host);
bool asq__host_is_same(const struct asq__host *a, const struct asq__host *b);
/* Appends host:port, as asq__host_parse reads it. */
void asq__host_put(struct asq__buf *b, const struct asq__host *host);

/* Parses a list of one to ASQ__URL_HOSTS_MAX hosts; empty text is 127.0.0.1. */
int asq__hosts_parse(const char *s, size_t n, int port_default, struct asq__hosts *ret, char *err,
                     size_t errlen);
int asq__hosts_copy(struct asq__hosts *to, const struct asq__hosts *from);
void asq__hosts_release(struct asq__hosts *hosts);
void asq__hosts_put(struct asq__buf *b, const struct asq__hosts *hosts);

/* reached.list[i] is the way to the host that calls itself announced.list[i]. */
struct asq__nat {
    struct asq__hosts announced, reached;
};

/* Parses announced:port=reached:port[,…]; both need a port. */
int asq__nat_parse(const char *s, size_t n, struct asq__nat *ret, char *err, size_t errlen);
int asq__nat_copy(struct asq__nat *to, const struct asq__nat *from);
void asq__nat_release(struct asq__nat *nat);
void asq__nat_put(struct asq__buf *b, const struct asq__nat *nat);
/* Returns where to reach this host: an entry of the map, or `announced` itself. */
const struct asq__host *asq__nat_find(const struct asq__nat *nat,
                                      const struct asq__host *announced);
/* Returns what the host that is reached here calls itself: the first entry for it from *from on,
 * which is moved behind that. NULL: no (further) one. */
const struct asq__host *asq__nat_announced(const struct asq__nat *nat, const char *name, int port,
                                           size_t *from);

#endif
