/*
 * route.h: leads a link to its server: to the URL's host, the master that the URL's Sentinels tell,
 * or the node of a Cluster that the link's user has set. conn.c and sync.c drive it until the link
 * is open, as they would drive the link itself.
 */
#ifndef ASQ_REDIS_ROUTE_H
#define ASQ_REDIS_ROUTE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct asq__link;
struct asq__sentinel_lookup;

enum { ASQ__ROUTE_NAME = 280 };

struct asq__route {
    struct asq__link *link;
    struct asq__sentinel_lookup *lookup; /* under way; NULL: none */
    int64_t deadline_ms, timeout_ms;
};

void asq__route_init(struct asq__route *r, struct asq__link *link);
/* As the link's functions of the same names. A failure has its text in the link's `why`, for the
 * node of a Cluster with what to do about an address that is not reached; also ASQ_EAUTH and
 * ASQ_EINVAL, of Sentinels. */
int asq__route_open(struct asq__route *r, int64_t timeout_ms);
int asq__route_step(struct asq__route *r);
int asq__route_fd(const struct asq__route *r, bool *ret_writing);
int64_t asq__route_wait_ms(const struct asq__route *r);
int asq__route_give_up(struct asq__route *r);
void asq__route_close(struct asq__route *r);
void asq__route_release(struct asq__route *r);

/* Returns whether the link leads to a server that is, by what Sentinels have told since, no longer
 * the master. */
bool asq__route_is_outdated(const struct asq__route *r);
/* Writes what precedes the server's refusals: "the master HOST:PORT: "; "" if the URL names the
 * server itself. */
const char *asq__route_name(const struct asq__route *r, char out[ASQ__ROUTE_NAME]);

#endif
