/*
 * known_hosts.h: the nodes of a Redis Cluster that were heard of by one URL, whichever connection
 * was told: those who connect later find one that answers, though all hosts of the URL may be gone.
 * On any thread.
 */
#ifndef ASQ_REDIS_KNOWN_HOSTS_H
#define ASQ_REDIS_KNOWN_HOSTS_H

#include "redis/url_hosts.h"

struct asq__known_hosts;
struct asq__topology;

/* NULL: no memory. */
struct asq__known_hosts *asq__known_hosts_new(void);
struct asq__known_hosts *asq__known_hosts_ref(struct asq__known_hosts *k);
void asq__known_hosts_unref(struct asq__known_hosts *k);
/* Takes the nodes of a map in place of those before. These stay without memory, and when no slot of
 * the map has a node, as that of a node which the others have forgotten. */
void asq__known_hosts_learn(struct asq__known_hosts *k, const struct asq__topology *map);
/* Copies them, to be released by asq__hosts_release. k may be NULL. ASQ_ENOMEM. */
int asq__known_hosts_copy(struct asq__known_hosts *k, struct asq__hosts *ret);

#endif
