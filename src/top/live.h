/*
 * live.h: a thread that reads frames, so that keys are answered also while Redis is slow or away.
 * The handle is the thread's own until live_stop has returned true.
 */
#ifndef ASQ_SRC_TOP_LIVE_H
#define ASQ_SRC_TOP_LIVE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "top/read.h"

struct as_top_live {
    struct as_top_reader reader; /* the thread's */
    pthread_t thread;
    int wake_fd; /* readable when there is news */
    atomic_bool stop;
    pthread_mutex_t lock;   /* of all below */
    pthread_cond_t changed; /* the wish, or stop */
    struct as_top_wish wish;
    bool wish_is_new;
    struct as_top_frame *frame; /* that was not taken yet, or NULL */
    char error[300];            /* of the last reading; "" */
    int64_t answered_ms;        /* of the last frame; 0: there was none */
    bool busy;                  /* reads the calls that wait */
};

/* News to show. */
struct as_top_news {
    struct as_top_frame *frame; /* the caller's; NULL: none since the last time */
    char error[300];
    int64_t answered_ms;
    bool busy;
};

/* Begins to read with the handle. 0, ASQ_ESYS (errno), ASQ_ENOMEM. */
int as_top_live_start(struct as_top_live *live, asq *h, int64_t interval_ms,
                      const struct as_top_wish *wish);
/* Changes what is read; another wish is read at once. */
void as_top_live_wish(struct as_top_live *live, const struct as_top_wish *wish);
void as_top_live_take(struct as_top_live *live, struct as_top_news *ret);
/* Ends the thread. False: it waits for Redis and was left behind with the handle, because nobody
 * should wait for Redis to end a program: the process has to end without freeing them. */
bool as_top_live_stop(struct as_top_live *live);

#endif
