/*
 * topology_reader.h: asks nodes of a Cluster for its map: soon after it is told to, again and again
 * while nobody answers, and otherwise about once a minute. Its user chooses whom to ask. All times
 * are spread by chance, so that the processes of a deployment do not ask together.
 */
#ifndef ASQ_REDIS_TOPOLOGY_READER_H
#define ASQ_REDIS_TOPOLOGY_READER_H

#include <stdbool.h>
#include <stdint.h>

struct asq__conn;
struct asq__host;
struct asq__topology;
struct asq__topology_reader;
struct asq__url;
struct ev_loop;

struct asq__topology_reader_config {
    struct ev_loop *loop;
    const struct asq__url *url; /* outlives it, as `name` */
    const char *name;           /* for CLIENT SETNAME */
    int64_t connect_timeout_ms;
    /* Chooses whom to ask: the host, and its connection if it has one that is up; else NULL, and a
     * connection is made for the question. failures: how many hosts have not answered since the
     * last map. A host of NULL is the URL's. */
    struct asq__conn *(*choose)(void *user, unsigned failures, const struct asq__host **ret_host);
    /* Called with each map, which is borrowed. Returns whether to ask again soon. */
    bool (*read)(void *user, const struct asq__topology *map);
    void (*failed)(void *user, int code, const char *why);
    void *user;
};

/* Begins to read. */
int asq__topology_reader_new(const struct asq__topology_reader_config *config,
                             struct asq__topology_reader **ret);
/* Connections that `choose` has given are to be freed before. */
void asq__topology_reader_free(struct asq__topology_reader *r);
void asq__topology_reader_set_loop(struct asq__topology_reader *r, struct ev_loop *loop);
/* Reads the map soon. */
void asq__topology_reader_refresh(struct asq__topology_reader *r);

#endif
