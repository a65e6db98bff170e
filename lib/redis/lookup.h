/*
 * lookup.h: looks up the addresses of a host name without blocking: getaddrinfo, and everything
 * that nsswitch.conf makes it do, runs on a thread of its own. The thread touches only the lookup,
 * which both sides hold: the caller may free it at any time, and the process may fork meanwhile.
 */
#ifndef ASQ_REDIS_LOOKUP_H
#define ASQ_REDIS_LOOKUP_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

enum { ASQ__ADDRESSES_MAX = 16 };

struct asq__address {
    struct sockaddr_storage sockaddr;
    socklen_t len;
};

struct asq__lookup;

/* Parses a numeric address, which needs no lookup. False: `host` is a name. */
bool asq__address_parse(const char *host, int port, struct asq__address *ret);

/* Starts a lookup. ASQ_ENOMEM; ASQ_ESYS: no descriptor or thread is available, or too many lookups
 * are under way. */
int asq__lookup_start(const char *host, int port, struct asq__lookup **ret, char *err,
                      size_t errlen);
/* Returns a descriptor that is readable once the lookup is done. It need not be read. */
int asq__lookup_fd(const struct asq__lookup *l);
bool asq__lookup_is_done(const struct asq__lookup *l);
/* Waits until the lookup is done. False: not within timeout_ms. */
bool asq__lookup_wait(const struct asq__lookup *l, int64_t timeout_ms);
/* Returns the number of addresses that a finished lookup has found, in the order in which to try
 * them; `ret` is borrowed. ASQ_ECONN with a text if there are none. */
int asq__lookup_addresses(const struct asq__lookup *l, const struct asq__address **ret, char *err,
                          size_t errlen);
void asq__lookup_free(struct asq__lookup *l);

#endif
