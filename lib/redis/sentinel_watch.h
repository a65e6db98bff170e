/*
 * sentinel_watch.h: hears from one Sentinel when the master changes (+switch-master), on a loop. If
 * that Sentinel is lost, another one is taken. While none answers, work goes on with the present
 * master.
 */
#ifndef ASQ_REDIS_SENTINEL_WATCH_H
#define ASQ_REDIS_SENTINEL_WATCH_H

#include <stdbool.h>

#include "asqueue.h"

struct asq__sentinel_watch;
struct asq__url;
struct ev_loop;

struct asq__sentinel_watch_config {
    struct ev_loop *loop;
    const struct asq__url *url; /* has Sentinels; outlives it */
    /* Called whenever a Sentinel has told the master, which connections may have to follow. */
    void (*told)(void *user);
    /* Returns whether the master serves, so that a line about the Sentinels is due. */
    bool (*serves)(void *user);
    void (*log)(void *user, asq_log_level level, const char *text);
    void *user;
};

/* NULL: no memory. */
struct asq__sentinel_watch *
asq__sentinel_watch_new(const struct asq__sentinel_watch_config *config);
void asq__sentinel_watch_free(struct asq__sentinel_watch *w);
/* Begins to listen, from the loop. Later calls change nothing. */
void asq__sentinel_watch_start(struct asq__sentinel_watch *w);
void asq__sentinel_watch_set_loop(struct asq__sentinel_watch *w, struct ev_loop *loop);

#endif
