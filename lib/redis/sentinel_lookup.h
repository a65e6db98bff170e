/*
 * sentinel_lookup.h: asks the Sentinels of a URL, one after the other, where the master is, and
 * which other Sentinels there are. No function blocks or knows a loop: the caller waits for the
 * lookup's descriptor and calls asq__sentinel_lookup_step.
 */
#ifndef ASQ_REDIS_SENTINEL_LOOKUP_H
#define ASQ_REDIS_SENTINEL_LOOKUP_H

#include <stdbool.h>
#include <stdint.h>

#include "redis/sentinel_reply.h"
#include "redis/tls.h"

struct asq__sentinel_lookup;
struct asq__url;

/* Begins with the Sentinel that has answered last. The URL has Sentinels, and outlives the lookup.
 * NULL: no memory. */
struct asq__sentinel_lookup *asq__sentinel_lookup_new(const struct asq__url *url,
                                                      int64_t timeout_ms);
void asq__sentinel_lookup_free(struct asq__sentinel_lookup *l);

/* Goes on, at first and when the descriptor is ready or the wait is over. 1: the master is known,
 * to this URL's copies as well. 0: under way. Else why no Sentinel has told it: ASQ_EINVAL if each
 * says that it does not know the master, or is no Sentinel; ASQ_EAUTH if each refuses the user or
 * password; else ASQ_ECONN; or ASQ_ENOMEM. */
int asq__sentinel_lookup_step(struct asq__sentinel_lookup *l);
/* Return the descriptor to wait for (-1: none), for reading or writing; and the time to wait. */
int asq__sentinel_lookup_fd(const struct asq__sentinel_lookup *l, bool *ret_writing);
int64_t asq__sentinel_lookup_wait_ms(const struct asq__sentinel_lookup *l);
/* Ends it as if the time were up, with the reasons so far. */
int asq__sentinel_lookup_give_up(struct asq__sentinel_lookup *l);
const char *asq__sentinel_lookup_why(const struct asq__sentinel_lookup *l);
/* Returns the address that was found. */
const struct asq__server_address *asq__sentinel_lookup_master(const struct asq__sentinel_lookup *l);

#endif
