/*
 * askers.c: see askers.h.
 *
 * A reading is in the list from its beginning on. It is freed when no request has it and nobody
 * else may join it: a second after its end, or when a write has ended since it began. Answers of
 * failed readings are for those who have waited for them.
 */
#include "studio/askers.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "program.h"
#include "studio/studio.h"

enum { FRESH_MS = 1000, IDLE_MS = 60000, TICK_S = 1 };

static void free_reading(struct as_reading *r)
{
    free(r->key);
    as_target_release(&r->target);
    asq_value_free(r->body);
    as_answer_release(&r->answer);
    free(r);
}

/* Returns whether requests that come now may have this reading. */
static bool is_shared(const struct as_askers *askers, const struct as_reading *r, int64_t now_ms)
{
    if (!r->key || (r->state != AS_READING_QUEUED && r->generation != askers->generation))
        return false;
    return r->state != AS_READING_DONE ||
           (r->answer.status == 200 && r->answer.text && now_ms - r->done_ms < FRESH_MS);
}

/* Frees readings of no use. Returns whether there are others that are done. */
static bool purge(struct as_askers *askers)
{
    int64_t now_ms = as_program_now_ms();
    bool left = false;
    for (struct as_reading **at = &askers->readings; *at;) {
        struct as_reading *r = *at;
        if (r->state == AS_READING_DONE && r->refs == 0 && !is_shared(askers, r, now_ms)) {
            *at = r->next;
            free_reading(r);
            continue;
        }
        left |= r->state == AS_READING_DONE;
        at = &r->next;
    }
    return left;
}

/* ---- threads ---- */

static void run(struct as_askers *askers, struct as_reading *r, asq **h)
{
    struct as_studio *studio = askers->studio;
    char why[1536];
    int rc = *h || r->route->local ? 0 : as_connect_open(&studio->connection, h, why, sizeof why);
    if (rc < 0) {
        as_answer_code(&r->answer, rc == ASQ_EINVAL ? ASQ_ECONN : rc, why);
        return;
    }
    bool unsent = false;
    const struct as_call call = { studio, &r->target, r->body, r->id, *h, &unsent };
    r->route->run(&call, &r->answer);
    /* ASQ_EAUTH: the password may be another one by now: it is read again. */
    if (*h && (unsent || asq_last_error(*h)->code == ASQ_EAUTH)) {
        asq_close(*h);
        *h = NULL;
    }
}

/* Returns whether a further one of its kind may run. */
static bool has_place(const struct as_askers *askers, const struct as_route *route)
{
    return (!route->writes || askers->n_writing < AS_ASKERS_WRITES) &&
           (!route->large || askers->n_large < AS_ASKERS_LARGE);
}

static struct as_reading *next_queued(const struct as_askers *askers)
{
    for (struct as_reading *r = askers->readings; r; r = r->next)
        if (r->state == AS_READING_QUEUED && has_place(askers, r->route))
            return r;
    return NULL;
}

/* Counts one that begins, or has ended, in which case another one of its kind may begin. */
static void count(struct as_askers *askers, const struct as_route *route, bool begins)
{
    askers->n_writing += (size_t) (begins ? route->writes : -route->writes);
    askers->n_large += (size_t) (begins ? route->large : -route->large);
    if (!begins && (route->writes || route->large))
        pthread_cond_broadcast(&askers->work);
}

static void wake(struct as_askers *askers, struct as_reading *r)
{
    while (r->waiters) {
        struct as_waiter *w = r->waiters;
        r->waiters = w->next;
        askers->resume(w->connection);
    }
}

/* Waits for work, with `lock`: for a second, if something has to be looked after. */
static void wait_for_work(struct as_askers *askers, bool timed)
{
    struct timespec until;
    if (!timed) {
        pthread_cond_wait(&askers->work, &askers->lock);
        return;
    }
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += TICK_S;
    pthread_cond_timedwait(&askers->work, &askers->lock, &until);
}

static void *ask(void *arg)
{
    struct as_askers *askers = arg;
    asq *h = NULL;
    int64_t used_ms = 0;
    pthread_mutex_lock(&askers->lock);
    while (!askers->stopping) {
        bool left = purge(askers);
        struct as_reading *r = next_queued(askers);
        if (!r && h && as_program_now_ms() - used_ms >= IDLE_MS) {
            asq *closing = h;
            h = NULL;
            pthread_mutex_unlock(&askers->lock);
            asq_close(closing);
            pthread_mutex_lock(&askers->lock);
            continue;
        }
        if (!r) {
            wait_for_work(askers, h || left);
            continue;
        }
        r->state = AS_READING_RUNNING;
        r->generation = askers->generation;
        askers->n_queued--;
        count(askers, r->route, true);
        pthread_mutex_unlock(&askers->lock);
        run(askers, r, &h);
        if (r->route->writes)
            as_feed_wrote(&askers->studio->feed);
        pthread_mutex_lock(&askers->lock);
        used_ms = r->done_ms = as_program_now_ms();
        r->state = AS_READING_DONE;
        askers->generation += r->route->writes;
        count(askers, r->route, false);
        wake(askers, r);
    }
    pthread_mutex_unlock(&askers->lock);
    asq_close(h);
    return NULL;
}

int as_askers_start(struct as_askers *askers, struct as_studio *studio)
{
    pthread_condattr_t attr;
    askers->studio = studio;
    pthread_mutex_init(&askers->lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&askers->work, &attr);
    pthread_condattr_destroy(&attr);
    for (; askers->n_threads < AS_ASKERS_THREADS; askers->n_threads++) {
        int rc = pthread_create(&askers->threads[askers->n_threads], NULL, ask, askers);
        if (rc != 0)
            return askers->n_threads ? 0 : rc;
    }
    return 0;
}

void as_askers_stop(struct as_askers *askers)
{
    pthread_mutex_lock(&askers->lock);
    askers->stopping = true;
    pthread_cond_broadcast(&askers->work);
    pthread_mutex_unlock(&askers->lock);
    for (size_t i = 0; i < askers->n_threads; i++)
        pthread_join(askers->threads[i], NULL);
    pthread_mutex_lock(&askers->lock);
    for (struct as_reading *r = askers->readings; r; r = r->next)
        if (r->state == AS_READING_QUEUED) {
            r->state = AS_READING_DONE;
            as_answer_fail(&r->answer, 503, "BUSY", "as-studio is ending");
            wake(askers, r);
        }
    askers->n_queued = 0;
    pthread_mutex_unlock(&askers->lock);
}

void as_askers_release(struct as_askers *askers)
{
    while (askers->readings) {
        struct as_reading *r = askers->readings;
        askers->readings = r->next;
        free_reading(r);
    }
    pthread_cond_destroy(&askers->work);
    pthread_mutex_destroy(&askers->lock);
}

/* ---- requests ---- */

static struct as_reading *make(const struct as_route *route, const char *key, const char *id,
                               struct as_target *target, asq_value *body)
{
    struct as_reading *r = calloc(1, sizeof *r);
    if (r)
        *r = (struct as_reading){ .route = route, .target = *target, .body = body, .id = id };
    if (r && key && !(r->key = strdup(key))) {
        free(r);
        r = NULL;
    }
    if (!r) {
        as_target_release(target);
        asq_value_free(body);
    }
    target->text = NULL;
    return r;
}

struct as_reading *as_askers_ask(struct as_askers *askers, const struct as_route *route,
                                 const char *key, const char *id, struct as_target *target,
                                 asq_value *body, struct as_waiter *waiter)
{
    pthread_mutex_lock(&askers->lock);
    purge(askers);
    int64_t now_ms = as_program_now_ms();
    struct as_reading *r = NULL, **end = &askers->readings;
    for (; *end; end = &(*end)->next)
        if (key && !r && (*end)->key && strcmp((*end)->key, key) == 0 &&
            is_shared(askers, *end, now_ms))
            r = *end;
    if (r || askers->n_queued >= AS_ASKERS_QUEUE || askers->stopping) {
        as_target_release(target);
        asq_value_free(body);
    } else if ((r = make(route, key, id, target, body))) {
        *end = r;
        askers->n_queued++;
        pthread_cond_signal(&askers->work);
    }
    if (r) {
        r->refs++;
        if (r->state != AS_READING_DONE) {
            waiter->next = r->waiters;
            r->waiters = waiter;
            waiter->waits = true;
            askers->suspend(waiter->connection);
        }
    }
    pthread_mutex_unlock(&askers->lock);
    return r;
}

bool as_askers_is_done(struct as_askers *askers, const struct as_reading *r)
{
    pthread_mutex_lock(&askers->lock);
    bool done = r->state == AS_READING_DONE;
    pthread_mutex_unlock(&askers->lock);
    return done;
}

void as_askers_leave(struct as_askers *askers, struct as_reading *r, struct as_waiter *waiter)
{
    pthread_mutex_lock(&askers->lock);
    for (struct as_waiter **at = &r->waiters; *at; at = &(*at)->next)
        if (*at == waiter) {
            *at = waiter->next;
            break;
        }
    r->refs--;
    purge(askers);
    pthread_mutex_unlock(&askers->lock);
}
