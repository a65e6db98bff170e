/*
 * feed.h: server-sent events. What the watcher finds (watcher.h) is sent to all listeners. Of each
 * kind there is the newest state alone: a listener that reads slowly misses states, and keeps
 * nobody waiting.
 */
#ifndef ASQ_SRC_STUDIO_FEED_H
#define ASQ_SRC_STUDIO_FEED_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "asqueue.h"
#include "studio/auth.h"

struct as_studio;
struct as_frame;

enum { AS_LISTENERS = 64, AS_TAKEOVERS = 200 };
enum as_event { AS_EVENT_REDIS, AS_EVENT_OVERVIEW, AS_EVENT_WORKERS, AS_EVENTS };

/* Somebody who listens. */
struct as_listener {
    struct as_listener *next;
    void *connection;
    bool suspended, greeted, ending;
    struct as_frame *sending; /* or NULL */
    size_t offset;            /* in it */
    uint64_t seen[AS_EVENTS]; /* versions */
    uint64_t seq;             /* of the last takeover */
    char session[AS_SECRET_TEXT];
};

struct as_feed {
    struct as_studio *studio;
    void (*suspend)(void *connection);
    void (*resume)(void *connection);
    pthread_mutex_t lock;
    pthread_cond_t wanted;
    struct as_listener *listeners;
    size_t n_listeners;
    struct as_frame *newest[AS_EVENTS];
    int64_t read_ms;              /* when the last reading ended */
    uint64_t writes, read_writes; /* that have ended: so far, and when the last reading began */
    bool retell;                  /* somebody has to be told what has not changed */
    struct as_frame *takeovers[AS_TAKEOVERS];
    asq_value *takeover_list; /* the same, for /api/takeovers */
    uint64_t last_seq;
    bool stopping, started;
    pthread_t thread;
};

/* 0, or an errno; released in both cases. */
int as_feed_init(struct as_feed *w, struct as_studio *studio);
/* Tells the watcher to end, and ends all streams. */
void as_feed_close(struct as_feed *w);
void as_feed_release(struct as_feed *w);

/* For the watcher, with the lock: puts an event in place of the last one of its kind; adds one of a
 * partition's owners, as of asq_partitions; lets all listeners go on. Values are borrowed. */
void as_feed_publish(struct as_feed *w, enum as_event kind, const asq_value *v);
void as_feed_add_takeover(struct as_feed *w, const asq_value *from, const asq_value *to);
void as_feed_wake_all(struct as_feed *w);

/* Tells that something was written: what was read before may be wrong. */
void as_feed_wrote(struct as_feed *w);
/* Begins to listen, after the takeover of that number. False: too many do. */
bool as_feed_join(struct as_feed *w, struct as_listener *l, uint64_t seq);
void as_feed_leave(struct as_feed *w, struct as_listener *l);
/* Copies up to `max` bytes of the stream. 0: there is nothing now, and the connection is suspended
 * until there is; -1: the stream has ended. */
ssize_t as_feed_read(struct as_feed *w, struct as_listener *l, char *buf, size_t max);
/* Returns a copy of the newest event's JSON if it is of the last seconds, and nothing was written
 * since; else NULL. */
char *as_feed_fresh(struct as_feed *w, enum as_event kind);
/* Returns the takeovers that were seen, newest first; NULL: no memory. */
asq_value *as_feed_takeovers(struct as_feed *w);

#endif
