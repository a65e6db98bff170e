/*
 * live.c: see live.h.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "program.h"
#include "top/live.h"

enum {
    STOP_MS = 300,
    SHARE = 3,          /* times the length of a reading, */
    MAX_PAUSE_MS = 3000 /* up to so long, before the next one */
};

static void wake(struct as_top_live *live)
{
    uint64_t one = 1;
    ssize_t n = write(live->wake_fd, &one, sizeof one);
    (void) n; /* it is readable already */
}

static struct timespec after(clockid_t clock, int64_t ms)
{
    struct timespec t;
    clock_gettime(clock, &t);
    t.tv_sec += ms / 1000;
    t.tv_nsec += ms % 1000 * 1000000;
    if (t.tv_nsec >= 1000000000) {
        t.tv_sec++;
        t.tv_nsec -= 1000000000;
    }
    return t;
}

/* ---- The thread ----------------------------------------------------------------------------- */

/* Publishes a frame, or why there is none. */
static void publish(struct as_top_live *live, struct as_top_frame *frame, int rc)
{
    const char *error = "";
    if (rc == ASQ_ENOMEM)
        error = "out of memory";
    else if (rc < 0)
        error = asq_errmsg(live->reader.h);
    pthread_mutex_lock(&live->lock);
    snprintf(live->error, sizeof live->error, "%s", error);
    struct as_top_frame *former = frame ? live->frame : NULL;
    if (frame) {
        live->frame = frame;
        live->answered_ms = frame->read_ms;
    }
    pthread_mutex_unlock(&live->lock);
    as_top_frame_free(former);
    wake(live);
}

/* Waits for the time of the next reading, or a new wish; takes it. False: the end. */
static bool next_wish(struct as_top_live *live, int64_t pause_ms, struct as_top_wish *ret)
{
    struct timespec until = after(CLOCK_MONOTONIC, pause_ms);
    int rc = 0;
    pthread_mutex_lock(&live->lock);
    while (!atomic_load(&live->stop) && (!live->wish_is_new || live->wish.paused) &&
           (live->wish.paused || rc != ETIMEDOUT))
        rc = live->wish.paused ? pthread_cond_wait(&live->changed, &live->lock)
                               : pthread_cond_timedwait(&live->changed, &live->lock, &until);
    live->wish_is_new = false;
    *ret = live->wish;
    pthread_mutex_unlock(&live->lock);
    return !atomic_load(&live->stop);
}

static void set_busy(struct as_top_live *live, bool busy)
{
    pthread_mutex_lock(&live->lock);
    live->busy = busy;
    pthread_mutex_unlock(&live->lock);
}

static void *read_frames(void *user)
{
    struct as_top_live *live = user;
    struct as_top_wish wish;
    int64_t pause_ms = 0;
    bool first = true;
    while (next_wish(live, pause_ms, &wish)) {
        int64_t begun_ms = as_program_now_ms();
        int rc = 0;
        /* Something is shown before the calls that wait, which may be many. */
        if (!first && as_top_queued_is_due(&live->reader)) {
            set_busy(live, true);
            rc = as_top_read_queued(&live->reader);
            set_busy(live, false);
        }
        int64_t queued_ms = as_program_now_ms();
        struct as_top_frame *frame = NULL;
        if (rc == 0)
            rc = as_top_read(&live->reader, &wish, &frame);
        if (!atomic_load(&live->stop))
            publish(live, frame, rc);
        else
            as_top_frame_free(frame);
        int64_t now_ms = as_program_now_ms();
        int64_t most_ms =
            live->reader.interval_ms > MAX_PAUSE_MS ? live->reader.interval_ms : MAX_PAUSE_MS;
        pause_ms = live->reader.interval_ms - (now_ms - begun_ms);
        if (pause_ms < SHARE * (now_ms - queued_ms))
            pause_ms = SHARE * (now_ms - queued_ms);
        pause_ms = pause_ms > most_ms ? most_ms : pause_ms;
        if (first && rc == 0) {
            first = false;
            pause_ms = 0;
        }
    }
    return NULL;
}

/* ---- The owner of the reader --------------------------------------------------------------- */

static int start_thread(struct as_top_live *live)
{
    sigset_t all, old;
    pthread_condattr_t attr;
    pthread_mutex_init(&live->lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&live->changed, &attr);
    pthread_condattr_destroy(&attr);
    /* Signals are for the thread that waits for keys. */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    int error = pthread_create(&live->thread, NULL, read_frames, live);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (!error)
        return 0;
    pthread_cond_destroy(&live->changed);
    pthread_mutex_destroy(&live->lock);
    errno = error;
    return ASQ_ESYS;
}

int as_top_live_start(struct as_top_live *live, asq *h, int64_t interval_ms,
                      const struct as_top_wish *wish)
{
    *live = (struct as_top_live){ .wish = *wish, .wish_is_new = true };
    atomic_init(&live->stop, false);
    live->reader =
        (struct as_top_reader){ .h = h, .interval_ms = interval_ms, .stop = &live->stop };
    live->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (live->wake_fd < 0)
        return ASQ_ESYS;
    int rc = start_thread(live);
    if (rc < 0) {
        int saved = errno;
        close(live->wake_fd);
        errno = saved;
    }
    return rc;
}

static bool is_other(const struct as_top_wish *a, const struct as_top_wish *b)
{
    return a->subject != b->subject || strcmp(a->id, b->id) != 0 || a->failures != b->failures ||
           a->last_ms != b->last_ms || a->paused != b->paused;
}

void as_top_live_wish(struct as_top_live *live, const struct as_top_wish *wish)
{
    pthread_mutex_lock(&live->lock);
    if (is_other(&live->wish, wish)) {
        live->wish = *wish;
        live->wish_is_new = true;
        pthread_cond_signal(&live->changed);
    }
    pthread_mutex_unlock(&live->lock);
}

void as_top_live_take(struct as_top_live *live, struct as_top_news *ret)
{
    uint64_t n;
    ssize_t got = read(live->wake_fd, &n, sizeof n);
    (void) got; /* there may be no news */
    pthread_mutex_lock(&live->lock);
    ret->frame = live->frame;
    live->frame = NULL;
    memcpy(ret->error, live->error, sizeof ret->error);
    ret->answered_ms = live->answered_ms;
    ret->busy = live->busy;
    pthread_mutex_unlock(&live->lock);
}

bool as_top_live_stop(struct as_top_live *live)
{
    struct timespec until = after(CLOCK_REALTIME, STOP_MS);
    pthread_mutex_lock(&live->lock);
    atomic_store(&live->stop, true);
    pthread_cond_signal(&live->changed);
    pthread_mutex_unlock(&live->lock);
    if (pthread_timedjoin_np(live->thread, NULL, &until) != 0)
        return false;
    as_top_frame_free(live->frame);
    as_top_reader_release(&live->reader);
    close(live->wake_fd);
    pthread_cond_destroy(&live->changed);
    pthread_mutex_destroy(&live->lock);
    return true;
}
