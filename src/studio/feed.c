/*
 * feed.c: see feed.h.
 *
 * A version is new for each frame of a kind, so a listener knows what it has not sent yet.
 */
#include "studio/feed.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "program.h"
#include "studio/event.h"
#include "studio/studio.h"

enum { FRESH_MS = 3000 };

static const char *const names[AS_EVENTS] = { "redis", "overview", "workers" };

int as_feed_init(struct as_feed *w, struct as_studio *studio)
{
    pthread_condattr_t attr;
    w->studio = studio;
    pthread_mutex_init(&w->lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&w->wanted, &attr);
    pthread_condattr_destroy(&attr);
    w->read_ms = -FRESH_MS;
    w->takeover_list = asq_value_list();
    return w->takeover_list ? 0 : ENOMEM;
}

void as_feed_close(struct as_feed *w)
{
    pthread_mutex_lock(&w->lock);
    w->stopping = true;
    pthread_cond_signal(&w->wanted);
    as_feed_wake_all(w);
    pthread_mutex_unlock(&w->lock);
}

void as_feed_release(struct as_feed *w)
{
    for (size_t i = 0; i < AS_EVENTS; i++)
        as_frame_unref(w->newest[i]);
    for (size_t i = 0; i < AS_TAKEOVERS; i++)
        as_frame_unref(w->takeovers[i]);
    asq_value_free(w->takeover_list);
    pthread_cond_destroy(&w->wanted);
    pthread_mutex_destroy(&w->lock);
}

/* ---- what the watcher has found ---- */

void as_feed_publish(struct as_feed *w, enum as_event kind, const asq_value *v)
{
    struct as_frame *f = as_frame_new(names[kind], 0, v);
    if (!f)
        return; /* no memory: the last one stays */
    f->version = w->newest[kind] ? w->newest[kind]->version + 1 : 1;
    as_frame_unref(w->newest[kind]);
    w->newest[kind] = f;
}

void as_feed_wake_all(struct as_feed *w)
{
    for (struct as_listener *l = w->listeners; l; l = l->next)
        if (l->suspended) {
            l->suspended = false;
            w->resume(l->connection);
        }
}

void as_feed_add_takeover(struct as_feed *w, const asq_value *from, const asq_value *to)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    uint64_t seq = w->last_seq + 1;
    asq_value *v = asq_pack("{s:I, s:I, s:I, s:O, s:O}", "seq", (int64_t) seq, "time_ms",
                            (int64_t) now.tv_sec * 1000 + now.tv_nsec / 1000000, "partition",
                            asq_map_int(to, "partition"), "from", asq_map_get(from, "owner"), "to",
                            asq_map_get(to, "owner"));
    struct as_frame *f = as_frame_new("takeover", seq, v);
    if (!f || asq_list_append(w->takeover_list, asq_value_copy(v)) < 0) {
        as_frame_unref(f);
        asq_value_free(v);
        return;
    }
    asq_value_free(v);
    if (asq_list_size(w->takeover_list) > AS_TAKEOVERS)
        asq_list_remove(w->takeover_list, 0);
    w->last_seq = seq;
    as_frame_unref(w->takeovers[seq % AS_TAKEOVERS]);
    w->takeovers[seq % AS_TAKEOVERS] = f;
}

void as_feed_wrote(struct as_feed *w)
{
    pthread_mutex_lock(&w->lock);
    w->writes++;
    pthread_cond_signal(&w->wanted);
    pthread_mutex_unlock(&w->lock);
}

/* ---- listeners ---- */

/* Lets the first listener after a while wait for the next reading: states of before are too old,
 * and those that have not changed since are told to it again. */
static void begin_anew(struct as_feed *w, struct as_listener *l)
{
    for (size_t i = 0; i < AS_EVENTS; i++)
        if (w->newest[i])
            l->seen[i] = w->newest[i]->version;
    w->retell = true;
}

bool as_feed_join(struct as_feed *w, struct as_listener *l, uint64_t seq)
{
    pthread_mutex_lock(&w->lock);
    bool room = w->n_listeners < AS_LISTENERS && !w->stopping;
    if (room) {
        l->seq = seq <= w->last_seq ? seq : w->last_seq;
        if (!w->listeners && as_program_now_ms() - w->read_ms >= FRESH_MS)
            begin_anew(w, l);
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
    as_frame_unref(l->sending);
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
            as_frame_unref(l->sending);
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
    if (w->newest[kind] && w->read_writes == w->writes &&
        as_program_now_ms() - w->read_ms < FRESH_MS)
        json = as_frame_json(w->newest[kind]);
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
