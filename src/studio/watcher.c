/*
 * watcher.c: see watcher.h. What the feed has is touched with its lock, which is never held while
 * Redis is asked.
 */
#include "studio/watcher.h"

#include <stdio.h>
#include <time.h>

#include "program.h"
#include "studio/api.h"
#include "studio/overview.h"
#include "studio/studio.h"

enum { STEP_MS = 1000, AFTER_WRITE_MS = 200, IDLE_MS = 60000, WORKERS_MS = 5000 };

/* State of the watcher alone; no other thread sees it. */
struct reader {
    asq *h;
    struct as_past past;
    asq_value *owners;  /* of the last takeovers */
    asq_value *workers; /* of the last event, without figures that always change */
    int64_t begun_ms, workers_ms;
    bool up, told;
    bool outdated; /* the last reading was, and is not published: something was written meanwhile */
};

/* Findings of one reading. */
struct found {
    int rc;
    char why[1536]; /* rc < 0 */
    asq_value *overview, *workers;
};

/* Returns what a list of workers tells besides figures: it makes a new event at once. */
static asq_value *outline(const asq_value *workers)
{
    asq_value *list = asq_value_list();
    for (size_t i = 0; list && i < asq_list_size(workers); i++) {
        const asq_value *w = asq_list_get(workers, i), *stopping = asq_map_get(w, "stopping");
        asq_value *line = asq_pack("{s:O, s:O, s:O, s:b}", "id", asq_map_get(w, "id"), "alive",
                                   asq_map_get(w, "alive"), "owns", asq_map_get(w, "owns"),
                                   "stopping", stopping != NULL);
        if (asq_list_append(list, line) < 0) {
            asq_value_free(list);
            return NULL;
        }
    }
    return list;
}

static void publish_state(struct as_feed *w, struct reader *r, bool up, const char *why)
{
    if (r->told && r->up == up && !w->retell)
        return;
    r->told = true;
    r->up = up;
    asq_value *v = asq_pack("{s:b, s:s}", "up", up, "why", why);
    as_feed_publish(w, AS_EVENT_REDIS, v);
    asq_value_free(v);
}

static void publish_workers(struct as_feed *w, struct reader *r, const asq_value *workers)
{
    asq_value *now = outline(workers);
    int64_t now_ms = as_program_now_ms();
    if (now && !w->retell && asq_value_equal(now, r->workers) &&
        now_ms - r->workers_ms < WORKERS_MS) {
        asq_value_free(now);
        return;
    }
    asq_value_free(r->workers);
    r->workers = now;
    r->workers_ms = now_ms;
    as_feed_publish(w, AS_EVENT_WORKERS, workers);
}

/* Compares the owners of all partitions with those of before. Who claims a partition again was away
 * from it: its process has been started again, perhaps. */
static void find_takeovers(struct as_feed *w, const asq_value *before, const asq_value *owners)
{
    if (!before || asq_list_size(before) != asq_list_size(owners))
        return;
    for (size_t i = 0; i < asq_list_size(owners); i++) {
        const asq_value *from = asq_list_get(before, i), *to = asq_list_get(owners, i);
        if (!asq_value_equal(asq_map_get(from, "owner"), asq_map_get(to, "owner")) ||
            (*asq_map_string(to, "owner") && asq_map_int(to, "epoch") > asq_map_int(from, "epoch")))
            as_feed_add_takeover(w, from, to);
    }
}

static void publish_failure(struct as_feed *w, struct reader *r, const char *why)
{
    asq_value *away = as_overview_away(w->studio->ns, why);
    publish_state(w, r, false, why);
    as_feed_publish(w, AS_EVENT_OVERVIEW, away);
    asq_value_free(away);
}

static void publish_found(struct as_feed *w, struct reader *r, const struct found *f)
{
    publish_state(w, r, true, "");
    find_takeovers(w, r->owners, r->past.owners);
    as_feed_publish(w, AS_EVENT_OVERVIEW, f->overview);
    publish_workers(w, r, f->workers);
    asq_value_free(r->owners);
    r->owners = asq_value_copy(r->past.owners);
}

/* Reads once, without the lock. */
static void read_once(struct as_feed *w, struct reader *r, struct found *f)
{
    *f = (struct found){ .rc = 0 };
    if (!r->h)
        f->rc = as_connect_open(&w->studio->connection, &r->h, f->why, sizeof f->why);
    if (f->rc < 0)
        return;
    f->rc = as_overview_read(r->h, &r->past, &f->overview, &f->workers);
    if (f->rc < 0) {
        const asq_error *e = asq_last_error(r->h);
        snprintf(f->why, sizeof f->why, "%s", e->code == f->rc ? e->message : asq_strerror(f->rc));
        asq_close(r->h); /* opening tells more about what is wrong */
        r->h = NULL;
    }
}

/* Reads, with the lock, which it gives up meanwhile, and publishes what it finds. What was read
 * while something was written may be from before that: it is read again, but not twice in a row, so
 * that writes without a pause do not keep everybody uninformed. */
static void read_and_publish(struct as_feed *w, struct reader *r)
{
    struct found f;
    uint64_t writes = w->writes;
    r->begun_ms = as_program_now_ms();
    pthread_mutex_unlock(&w->lock);
    read_once(w, r, &f);
    pthread_mutex_lock(&w->lock);
    r->outdated = writes != w->writes && !r->outdated && f.rc == 0;
    if (!r->outdated) {
        if (f.rc < 0)
            publish_failure(w, r, f.why);
        else
            publish_found(w, r, &f);
        w->retell = false;
        w->read_ms = as_program_now_ms();
        w->read_writes = writes;
        as_feed_wake_all(w);
    }
    asq_value_free(f.overview);
    asq_value_free(f.workers);
}

/* Forgets what is too old to be compared with. */
static void reader_rest(struct reader *r)
{
    as_past_release(&r->past);
    asq_value_free(r->owners);
    asq_value_free(r->workers);
    r->owners = r->workers = NULL;
    r->told = false;
    asq_close(r->h);
    r->h = NULL;
}

/* Waits, with the lock, for at most `ms` (-1: without end). */
static void wait_for(struct as_feed *w, int64_t ms)
{
    struct timespec until;
    if (ms < 0) {
        pthread_cond_wait(&w->wanted, &w->lock);
        return;
    }
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += ms / 1000;
    until.tv_nsec += ms % 1000 * 1000000;
    until.tv_sec += until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    pthread_cond_timedwait(&w->wanted, &w->lock, &until);
}

/* Returns after how long the next reading is due; 0: now, -1: when somebody listens. */
static int64_t due_ms(const struct as_feed *w, const struct reader *r)
{
    if (!w->listeners)
        return -1;
    return as_program_left_ms(r->begun_ms, w->read_writes != w->writes ? AFTER_WRITE_MS : STEP_MS);
}

static void *watch(void *arg)
{
    struct as_feed *w = arg;
    struct reader r = { .begun_ms = as_program_now_ms() - STEP_MS };
    as_past_init(&r.past);
    pthread_mutex_lock(&w->lock);
    while (!w->stopping) {
        int64_t ms = due_ms(w, &r);
        if (ms == 0) {
            read_and_publish(w, &r);
        } else if (ms > 0 || !r.h) {
            wait_for(w, ms);
        } else if ((ms = as_program_left_ms(r.begun_ms, IDLE_MS)) > 0) {
            wait_for(w, ms);
        } else {
            pthread_mutex_unlock(&w->lock);
            reader_rest(&r);
            pthread_mutex_lock(&w->lock);
        }
    }
    pthread_mutex_unlock(&w->lock);
    reader_rest(&r);
    return NULL;
}

int as_watch_start(struct as_feed *w)
{
    int rc = pthread_create(&w->thread, NULL, watch, w);
    w->started = rc == 0;
    return rc;
}

void as_watch_join(struct as_feed *w)
{
    if (w->started)
        pthread_join(w->thread, NULL);
}
