/*
 * sentinels.h: what a process knows about the Sentinels of one URL: their addresses, which of them
 * has answered last, and where the master is. Shared by all copies of the URL, so that every
 * connection begins with the Sentinel that answers, and that a switch which one hears reaches all.
 * Any thread. After a fork each process has its own.
 */
#ifndef ASQ_REDIS_SENTINELS_H
#define ASQ_REDIS_SENTINELS_H

#include <stdbool.h>
#include <stddef.h>

#include "redis/sentinel_reply.h"

struct asq__sentinels;
struct asq__url;
enum { ASQ__SENTINEL_PASSWORD_MAX = 4096 }; /* bytes, with the NUL */

/* Notes the URL's hosts. NULL: no memory. */
struct asq__sentinels *asq__sentinels_new(const struct asq__url *url);
struct asq__sentinels *asq__sentinels_ref(struct asq__sentinels *s);
void asq__sentinels_unref(struct asq__sentinels *s);

/* Copies the addresses in the order in which to ask them: the one that has answered last comes
 * first. Returns their number, at least 1. */
unsigned asq__sentinels_list(struct asq__sentinels *s,
                             struct asq__server_address list[ASQ__SENTINELS_MAX]);
/* Puts the first n of the list last: they do not answer. */
void asq__sentinels_skip(struct asq__sentinels *s, unsigned n);
/* Notes that the Sentinel `by` has told the master. True: it is another one than before. */
bool asq__sentinels_told(struct asq__sentinels *s, const struct asq__server_address *by,
                         const struct asq__server_address *master);
/* Replaces the learned Sentinels by those that `by` has told; the URL's and `by` itself stay. */
void asq__sentinels_learn(struct asq__sentinels *s, const struct asq__server_address *by,
                          const struct asq__server_address *others, unsigned n);
/* Copies the master's address as it was told last. False: nobody has told it yet. */
bool asq__sentinels_master(struct asq__sentinels *s, struct asq__server_address *ret);

/* Refuses masters and learned Sentinels on other machines from now on: the URL has neither TLS nor
 * a password, and its user has not said that another machine is meant. */
void asq__sentinels_keep_local(struct asq__sentinels *s);
bool asq__sentinels_are_kept_local(const struct asq__sentinels *s);

/* Makes the URL for a connection to one Sentinel. It borrows from `url`, `at` and `room`, which
 * gets a password from a file. ASQ_EAUTH with a text: the file cannot be read. */
int asq__sentinel_url(const struct asq__url *url, struct asq__server_address *at,
                      char room[ASQ__SENTINEL_PASSWORD_MAX], struct asq__url *ret,
                      char why[ASQ__SENTINEL_WHY]);

#endif
