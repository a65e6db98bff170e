/*
 * feed.c: see feed.h.
 *
 * A frame is the text of one event. The listeners that send it and the list of the newest ones have
 * references, under the lock. A version is new for each frame of a kind, so a listener knows what
 * it has not sent yet. No version and no listener means no reading of Redis.
 */
#include "studio/feed.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "program.h"
#include "studio/api.h"
#include "studio/overview.h"
#include "studio/studio.h"

enum { STEP_MS = 1000, IDLE_MS = 60000, FRESH_MS = 3000, WORKERS_MS = 5000 };

struct as_frame {
    unsigned refs;
    uint64_t version; /* of a takeover: its number */
    size_t n, head;   /* bytes; of these before the JSON */
    char text[];
};

static const char *const names[AS_EVENTS] = { "redis", "overview", "workers" };

/* ---- frames ---- */

static struct as_frame *frame_new(const char *event, uint64_t id, const asq_value *v)
{
    char *json = NULL, head[80];
    if (!v || asq_to_json(v, 0, &json) < 0)
        return NULL;
    int n = id ? snprintf(head, sizeof head, "id: %llu\nevent: %s\ndata: ", (unsigned long long) id,
                          event)
               : snprintf(head, sizeof head, "event: %s\ndata: ", event);
    size_t size = strlen(json);
    struct as_frame *f = malloc(sizeof *f + (size_t) n + size + 3);
    if (f) {
        f->refs = 1;
        f->version = id;
        f->head = (size_t) n;
        f->n = f->head + size + 2;
        memcpy(f->text, head, f->head);
        memcpy(f->text + f->head, json, size);
        memcpy(f->text + f->head + size, "\n\n", 3);
    }
    free(json);
    return f;
}

static void frame_unref(struct as_frame *f)
{
    if (f && --f->refs == 0)
        free(f);
}

/* Puts an event in place of the last one of its kind. v is borrowed. */
static void publish(struct as_feed *w, enum as_event kind, const asq_value *v)
{
    struct as_frame *f = frame_new(names[kind], 0, v);
    if (!f)
        return; /* no memory: the last one stays */
    f->version = w->newest[kind] ? w->newest[kind]->version + 1 : 1;
    frame_unref(w->newest[kind]);
    w->newest[kind] = f;
}

static void wake_all(struct as_feed *w)
{
    for (struct as_listener *l = w->listeners; l; l = l->next)
        if (l->suspended) {
            l->suspended = false;
            w->resume(l->connection);
        }
}

/* ---- takeovers ---- */

static void add_takeover(struct as_feed *w, const asq_value *from, const asq_value *to)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    uint64_t seq = w->last_seq + 1;
    asq_value *v = asq_pack("{s:I, s:I, s:I, s:O, s:O}", "seq", (int64_t) seq, "time_ms",
                            (int64_t) now.tv_sec * 1000 + now.tv_nsec / 1000000, "partition",
                            asq_map_int(to, "partition"), "from", asq_map_get(from, "owner"), "to",
                            asq_map_get(to, "owner"));
    struct as_frame *f = v ? frame_new("takeover", seq, v) : NULL;
    if (!f || asq_list_append(w->takeover_list, asq_value_copy(v)) < 0) {
        frame_unref(f);
        asq_value_free(v);
        return;
    }
    asq_value_free(v);
    if (asq_list_size(w->takeover_list) > AS_TAKEOVERS)
        asq_list_remove(w->takeover_list, 0);
    w->last_seq = seq;
    frame_unref(w->takeovers[seq % AS_TAKEOVERS]);
    w->takeovers[seq % AS_TAKEOVERS] = f;
}

/* Compares the owners of all partitions with those of before. */
static void find_takeovers(struct as_feed *w, const asq_value *before, const asq_value *owners)
{
    if (!before || asq_list_size(before) != asq_list_size(owners))
        return;
    for (size_t i = 0; i < asq_list_size(owners); i++) {
        const asq_value *from = asq_list_get(before, i), *to = asq_list_get(owners, i);
        if (!asq_value_equal(asq_map_get(from, "owner"), asq_map_get(to, "owner")))
            add_takeover(w, from, to);
    }
}

/* ---- readings ---- */

/* State of the watcher alone; no other thread sees it. */
struct reader {
    asq *h;
    struct as_past past;
    asq_value *owners;  /* of the last takeovers */
    asq_value *workers; /* of the last event, without figures that always change */
    int64_t workers_ms;
    bool up, told;
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
    if (r->told && r->up == up)
        return;
    r->told = true;
    r->up = up;
    asq_value *v = asq_pack("{s:b, s:s}", "up", up, "why", why);
    publish(w, AS_EVENT_REDIS, v);
    asq_value_free(v);
}

static void publish_workers(struct as_feed *w, struct reader *r, const asq_value *workers)
{
    asq_value *now = outline(workers);
    int64_t now_ms = as_program_now_ms();
    if (now && asq_value_equal(now, r->workers) && now_ms - r->workers_ms < WORKERS_MS) {
        asq_value_free(now);
        return;
    }
    asq_value_free(r->workers);
    r->workers = now;
    r->workers_ms = now_ms;
    publish(w, AS_EVENT_WORKERS, workers);
}

static void publish_failure(struct as_feed *w, struct reader *r, const char *why)
{
    asq_value *away = as_overview_away(w->studio->ns, why);
    pthread_mutex_lock(&w->lock);
    publish_state(w, r, false, why);
    publish(w, AS_EVENT_OVERVIEW, away);
    pthread_mutex_unlock(&w->lock);
    asq_value_free(away);
}

/* Reads once, and publishes what it finds. */
static void read_once(struct as_feed *w, struct reader *r)
{
    char why[1536];
    asq_value *overview, *workers;
    int rc = r->h ? 0 : as_connect_open(&w->studio->connection, &r->h, why, sizeof why);
    if (rc < 0) {
        publish_failure(w, r, why);
        return;
    }
    rc = as_overview_read(r->h, &r->past, &overview, &workers);
    if (rc < 0) {
        const asq_error *e = asq_last_error(r->h);
        snprintf(why, sizeof why, "%s", e->code == rc ? e->message : asq_strerror(rc));
        publish_failure(w, r, why);
        asq_close(r->h); /* opening tells more about what is wrong */
        r->h = NULL;
        return;
    }
    pthread_mutex_lock(&w->lock);
    publish_state(w, r, true, "");
    find_takeovers(w, r->owners, r->past.owners);
    publish(w, AS_EVENT_OVERVIEW, overview);
    publish_workers(w, r, workers);
    pthread_mutex_unlock(&w->lock);
    asq_value_free(r->owners);
    r->owners = asq_value_copy(r->past.owners);
    asq_value_free(overview);
    asq_value_free(workers);
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

static void *watch(void *arg)
{
    struct as_feed *w = arg;
    struct reader r = { .h = NULL };
    int64_t begun_ms = as_program_now_ms() - STEP_MS;
    as_past_init(&r.past);
    pthread_mutex_lock(&w->lock);
    while (!w->stopping) {
        int64_t gone_ms = as_program_now_ms() - begun_ms;
        if (!w->listeners && (!r.h || gone_ms < IDLE_MS)) {
            wait_for(w, r.h ? IDLE_MS - gone_ms : -1);
            continue;
        }
        if (w->listeners && gone_ms < STEP_MS) {
            wait_for(w, STEP_MS - gone_ms);
            continue;
        }
        bool rest = !w->listeners;
        pthread_mutex_unlock(&w->lock);
        if (rest) {
            reader_rest(&r);
        } else {
            begun_ms = as_program_now_ms();
            read_once(w, &r);
        }
        pthread_mutex_lock(&w->lock);
        if (!rest)
            w->read_ms = as_program_now_ms();
        wake_all(w);
    }
    pthread_mutex_unlock(&w->lock);
    reader_rest(&r);
    return NULL;
}

int as_feed_start(struct as_feed *w, struct as_studio *studio)
{
    pthread_condattr_t attr;
    w->studio = studio;
    pthread_mutex_init(&w->lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&w->wanted, &attr);
    pthread_condattr_destroy(&attr);
    w->read_ms = -FRESH_MS;
    if (!(w->takeover_list = asq_value_list()))
        return ENOMEM;
    int rc = pthread_create(&w->thread, NULL, watch, w);
    w->started = rc == 0;
    return rc;
}

void as_feed_stop(struct as_feed *w)
{
    pthread_mutex_lock(&w->lock);
    w->stopping = true;
    pthread_cond_signal(&w->wanted);
    wake_all(w);
    pthread_mutex_unlock(&w->lock);
    if (w->started)
        pthread_join(w->thread, NULL);
}

void as_feed_release(struct as_feed *w)
{
    for (size_t i = 0; i < AS_EVENTS; i++)
        frame_unref(w->newest[i]);
    for (size_t i = 0; i < AS_TAKEOVERS; i++)
        frame_unref(w->takeovers[i]);
    asq_value_free(w->takeover_list);
    pthread_cond_destroy(&w->wanted);
    pthread_mutex_destroy(&w->lock);
}

/* ---- listeners ---- */

bool as_feed_join(struct as_feed *w, struct as_listener *l, uint64_t seq)
{
    pthread_mutex_lock(&w->lock);
    bool room = w->n_listeners < AS_LISTENERS && !w->stopping;
    if (room) {
        l->seq = seq <= w->last_seq ? seq : w->last_seq;
        /* States of the last listener are too old for this one. */
        for (size_t i = 0; !w->listeners && i < AS_EVENTS; i++)
            if (as_program_now_ms() - w->read_ms >= FRESH_MS && w->newest[i])
                l->seen[i] = w->newest[i]->version;
        l->next = w->listeners;
        w->listeners = l;
        w->n_listeners++;
        pthread_cond_signal(&w->wanted);
    }
    pthread_mutex_unlock(&w->lock);
    return room;
}

void as_feed_leave(struct as_feed *w, struct as_listener *l)
{
    pthread_mutex_lock(&w->lock);
    for (struct as_listener **at = &w->listeners; *at; at = &(*at)->next)
        if (*at == l) {
            *at = l->next;
            w->n_listeners--;
            break;
        }
    frame_unref(l->sending);
    l->sending = NULL;
    pthread_mutex_unlock(&w->lock);
}

/* Returns the next frame that the listener has not sent, with a reference; NULL: none. */
static struct as_frame *next_frame(struct as_feed *w, struct as_listener *l)
{
    struct as_frame *f = NULL;
    for (size_t i = 0; !f && i < AS_EVENTS; i++)
        if (w->newest[i] && w->newest[i]->version != l->seen[i]) {
            f = w->newest[i];
            l->seen[i] = f->version;
        }
    if (!f && l->seq < w->last_seq) {
        if (w->last_seq - l->seq > AS_TAKEOVERS)
            l->seq = w->last_seq - AS_TAKEOVERS; /* earlier ones are gone */
        f = w->takeovers[++l->seq % AS_TAKEOVERS];
    }
    if (f)
        f->refs++;
    return f;
}

ssize_t as_feed_read(struct as_feed *w, struct as_listener *l, char *buf, size_t max)
{
    static const char greeting[] = "retry: 2000\n\n", logout[] = "event: logout\ndata: {}\n\n";
    struct as_auth *auth = &w->studio->auth;
    ssize_t n = 0;
    pthread_mutex_lock(&w->lock);
    if (!l->sending && *l->session && !as_auth_has_session(auth, l->session, as_program_now_ms())) {
        l->session[0] = '\0';
        l->ending = true;
        n = (ssize_t) (sizeof logout - 1);
        memcpy(buf, logout, (size_t) n);
    } else if (w->stopping || (l->ending && !l->sending)) {
        n = -1;
    } else if (!l->greeted) {
        l->greeted = true;
        n = (ssize_t) (sizeof greeting - 1);
        memcpy(buf, greeting, (size_t) n);
    } else if (l->sending || (l->sending = next_frame(w, l))) {
        size_t left = l->sending->n - l->offset;
        n = (ssize_t) (left < max ? left : max);
        memcpy(buf, l->sending->text + l->offset, (size_t) n);
        l->offset += (size_t) n;
        if (l->offset == l->sending->n) {
            frame_unref(l->sending);
            l->sending = NULL;
            l->offset = 0;
        }
    } else {
        l->suspended = true;
        w->suspend(l->connection);
    }
    pthread_mutex_unlock(&w->lock);
    return n;
}

char *as_feed_fresh(struct as_feed *w, enum as_event kind)
{
    char *json = NULL;
    pthread_mutex_lock(&w->lock);
    const struct as_frame *f = w->newest[kind];
    if (f && as_program_now_ms() - w->read_ms < FRESH_MS)
        json = strndup(f->text + f->head, f->n - f->head - 2);
    pthread_mutex_unlock(&w->lock);
    return json;
}

asq_value *as_feed_takeovers(struct as_feed *w)
{
    pthread_mutex_lock(&w->lock);
    asq_value *list = asq_value_list();
    for (size_t i = asq_list_size(w->takeover_list); list && i-- > 0;)
        if (asq_list_append(list, asq_value_copy(asq_list_get(w->takeover_list, i))) < 0) {
            asq_value_free(list);
            list = NULL;
        }
    pthread_mutex_unlock(&w->lock);
    return list;
}
