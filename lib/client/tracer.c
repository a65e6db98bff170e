/*
 * tracer.c: see tracer.h. Owner and thread share the struct; who leaves last frees it, because the
 * owner does not wait for ever.
 */
#include "client/tracer.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "client/collector.h"
#include "value/buf.h"
#include "value/clock.h"
#include "value/error.h"
#include "value/list.h"
#include "value/otlp.h"
#include "value/value.h"

enum {
    QUEUE_MAX = 16384, /* spans of calls */
    QUEUE_BYTES = 16 * 1024 * 1024,
    BATCH_MAX = 512,
    BATCH_BYTES = 256 * 1024, /* in memory; as JSON about four times that */
    BODY_MAX = 64 * 1024 * 1024,
    GATHER_MS = 1000, /* from a span's end until it leaves */
    TRIES = 5,
    FIRST_PAUSE_MS = 500, /* before the second try; doubles */
    TELL_MS = 60000,
    END_MS = 2000 /* for the thread to end, beyond the time of the flush */
};

struct asq__tracer {
    pid_t owner; /* process */
    uint64_t threshold;
    char *service, *instance;
    char host[128];
    struct asq__collector *collector;
    atomic_ullong *exported, *dropped;
    pthread_t thread;
    pthread_mutex_t lock; /* of all below */
    pthread_cond_t bell;  /* spans, or the end; by the monotonic clock */
    pthread_cond_t ended_bell;
    struct asq__list queue;
    size_t n, bytes;
    unsigned long long n_dropped;  /* calls */
    unsigned long long n_rejected; /* spans, of which a call can have several */
    bool started, ending, ended, abandoned;
    int64_t end_ms;
    struct asq__trouble trouble;
    int64_t told_ms; /* of a full queue; 0: never */
    bool has_line;
    asq_log_level line_level;
    char line[ASQ__TRACER_TEXT];
};

/* ---- life ---- */

static int check_rate(double rate, const char *service, char *err, size_t errlen)
{
    if (!(rate >= 0 && rate <= 1))
        return asq__err(err, errlen, ASQ_EINVAL, "a rate of traces is between 0 and 1");
    if (service && !asq__utf8_valid(service, strlen(service)))
        return asq__err(err, errlen, ASQ_EINVAL, "the service's name in traces is not UTF-8");
    return 0;
}

int asq__tracer_check(const char *url, double rate, const char *service, char *err, size_t errlen)
{
    int rc = check_rate(rate, service, err, errlen);
    return rc < 0 ? rc : asq__collector_check(url, err, errlen);
}

static void destroy(struct asq__tracer *t)
{
    struct asq__list *node;
    while ((node = asq__list_pop(&t->queue)))
        asq__span_free(ASQ__CONTAINER(node, struct asq__span, node));
    asq__collector_free(t->collector);
    pthread_mutex_destroy(&t->lock);
    pthread_cond_destroy(&t->bell);
    pthread_cond_destroy(&t->ended_bell);
    free(t->service);
    free(t->instance);
    free(t);
}

int asq__tracer_new(const struct asq__tracer_config *config, struct asq__tracer **ret, char *err,
                    size_t errlen)
{
    const char *service = config->service ? config->service : secure_getenv("OTEL_SERVICE_NAME");
    if (!service || !*service)
        service = config->otherwise;
    int rc = check_rate(config->rate, service, err, errlen);
    if (rc < 0)
        return rc;
    struct asq__tracer *t = calloc(1, sizeof *t);
    pthread_condattr_t monotonic;
    if (!t)
        return asq__err(err, errlen, ASQ_ENOMEM, "out of memory");
    t->owner = getpid();
    t->threshold = config->rate >= 1 ? UINT64_MAX : (uint64_t) (config->rate * 0x1p64);
    t->exported = config->exported;
    t->dropped = config->dropped;
    asq__list_init(&t->queue);
    pthread_mutex_init(&t->lock, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&t->bell, &monotonic);
    pthread_cond_init(&t->ended_bell, &monotonic);
    pthread_condattr_destroy(&monotonic);
    gethostname(t->host, sizeof t->host - 1);
    t->service = strdup(service);
    t->instance = strdup(config->instance);
    rc = t->service && t->instance ? asq__collector_new(config->url, &t->collector, err, errlen)
                                   : asq__err(err, errlen, ASQ_ENOMEM, "out of memory");
    if (rc < 0)
        destroy(t);
    else
        *ret = t;
    return rc;
}

bool asq__tracer_chooses(const struct asq__tracer *t, uint64_t random)
{
    return t->threshold && random <= t->threshold;
}

/* ---- the thread ---- */

static void wait_until(struct asq__tracer *t, pthread_cond_t *cond, int64_t ms)
{
    struct timespec at = { ms / 1000, ms % 1000 * 1000000 };
    pthread_cond_timedwait(cond, &t->lock, &at);
}

static void count(atomic_ullong *counter, size_t n)
{
    if (counter)
        atomic_fetch_add_explicit(counter, n, memory_order_relaxed);
}

/* Returns whether the time of the last flush is over. With the lock held. */
static bool is_late(const struct asq__tracer *t)
{
    return t->ending && asq__now_ms() >= t->end_ms;
}

/* Waits for spans and takes a batch of them. False: it is time to end. */
static bool take_batch(struct asq__tracer *t, struct asq__list *batch, size_t *ret_n)
{
    size_t n = 0, bytes = 0;
    while (!t->n && !t->ending)
        pthread_cond_wait(&t->bell, &t->lock);
    int64_t until = asq__now_ms() + GATHER_MS;
    while (!t->ending && t->n < BATCH_MAX && t->bytes < BATCH_BYTES && asq__now_ms() < until)
        wait_until(t, &t->bell, until);
    while (n < BATCH_MAX && bytes < BATCH_BYTES && !asq__list_empty(&t->queue)) {
        struct asq__span *s = ASQ__CONTAINER(asq__list_pop(&t->queue), struct asq__span, node);
        asq__list_add(batch, &s->node);
        bytes += s->bytes;
        n++;
    }
    t->n -= n;
    t->bytes -= bytes;
    *ret_n = n;
    return n > 0;
}

static void say(struct asq__tracer *t, asq_log_level level, const char *text)
{
    t->has_line = true;
    t->line_level = level;
    snprintf(t->line, sizeof t->line, "%s", text);
}

static void tell_recovery(struct asq__tracer *t, const char *since)
{
    char rejected[60] = "", line[ASQ__TRACER_TEXT];
    if (t->n_rejected)
        snprintf(rejected, sizeof rejected, " and %llu rejected spans", t->n_rejected);
    snprintf(line, sizeof line, "traces are exported again%s; %llu calls%s are missing", since,
             t->n_dropped, rejected);
    say(t, ASQ_LOG_INFO, line);
}

/* Notes how a request has ended, with the lock held. */
static void note(struct asq__tracer *t, enum asq__collector_answer answer, const char *why)
{
    char text[ASQ__TROUBLE_TEXT], line[ASQ__TRACER_TEXT];
    t->n_rejected += asq__collector_rejected(t->collector);
    if (answer == ASQ__COLLECTOR_TOOK) {
        if (asq__trouble_over(&t->trouble, asq__now_ms(), text))
            tell_recovery(t, text);
    } else if (asq__trouble_note(&t->trouble, why, asq__now_ms(), text)) {
        snprintf(line, sizeof line, "traces cannot be exported to %.150s: %s",
                 asq__collector_url(t->collector), text);
        say(t, ASQ_LOG_WARNING, line);
    }
}

/* Sends a request until the collector takes it or there is no sense in it. Called with the lock
 * held, which it gives up meanwhile. */
static bool deliver(struct asq__tracer *t, const struct asq__buf *body)
{
    int64_t pause_ms = FIRST_PAUSE_MS;
    for (int i = 1;; i++, pause_ms *= 2) {
        char why[ASQ__COLLECTOR_WHY];
        pthread_mutex_unlock(&t->lock);
        enum asq__collector_answer answer =
            asq__collector_send(t->collector, body->data, body->len, why);
        pthread_mutex_lock(&t->lock);
        note(t, answer, why);
        if (answer != ASQ__COLLECTOR_AWAY || i == TRIES)
            return answer == ASQ__COLLECTOR_TOOK || answer == ASQ__COLLECTOR_TOOK_PART;
        int64_t asked_ms = asq__collector_wait_ms(t->collector);
        int64_t next_ms = asq__now_ms() + (asked_ms > pause_ms ? asked_ms : pause_ms);
        while (asq__now_ms() < next_ms && !is_late(t))
            wait_until(t, &t->bell, t->ending && t->end_ms < next_ms ? t->end_ms : next_ms);
        if (is_late(t))
            return false;
    }
}

static int64_t unix_minus_monotonic_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t) now.tv_sec * 1000000000 + now.tv_nsec - asq__now_ns();
}

static void *run(void *arg)
{
    struct asq__tracer *t = arg;
    struct asq__otlp_resource resource = { t->service, t->instance, t->host, getpid() };
    struct asq__list batch, *node;
    struct asq__buf body;
    size_t n;
    asq__list_init(&batch);
    asq__buf_init(&body, BODY_MAX);
    pthread_mutex_lock(&t->lock);
    while (take_batch(t, &batch, &n)) {
        bool late = is_late(t);
        pthread_mutex_unlock(&t->lock);
        asq__buf_reset(&body);
        if (!late)
            asq__otlp_write(&resource, &batch, unix_minus_monotonic_ns(), &body);
        while ((node = asq__list_pop(&batch)))
            asq__span_free(ASQ__CONTAINER(node, struct asq__span, node));
        pthread_mutex_lock(&t->lock);
        bool taken = !late && !body.error && !is_late(t) && deliver(t, &body);
        count(taken ? t->exported : t->dropped, n);
        t->n_dropped += taken ? 0 : n;
    }
    asq__buf_release(&body);
    t->ended = true;
    pthread_cond_signal(&t->ended_bell);
    bool last = t->abandoned;
    pthread_mutex_unlock(&t->lock);
    if (last)
        destroy(t);
    return NULL;
}

/* Starts the thread, which gets no signals. */
static bool start(struct asq__tracer *t)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &before);
    int rc = pthread_create(&t->thread, NULL, run, t);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (rc != 0) {
        char why[200], text[ASQ__TROUBLE_TEXT];
        snprintf(why, sizeof why, "traces cannot be exported: no thread can be started: %s",
                 strerror(rc));
        if (asq__trouble_note(&t->trouble, why, asq__now_ms(), text))
            say(t, ASQ_LOG_WARNING, text);
    }
    return rc == 0;
}

/* ---- for the owner ---- */

/* Says once a minute that spans have found no room, if nothing else says why. */
static void tell_of_loss(struct asq__tracer *t)
{
    char line[ASQ__TRACER_TEXT];
    int64_t now_ms = asq__now_ms();
    if (t->trouble.since_ms || (t->told_ms && now_ms - t->told_ms < TELL_MS))
        return;
    t->told_ms = now_ms;
    snprintf(line, sizeof line,
             "traces: %.150s takes calls more slowly than they end; %llu are missing",
             asq__collector_url(t->collector), t->n_dropped);
    say(t, ASQ_LOG_WARNING, line);
}

void asq__tracer_add(struct asq__tracer *t, struct asq__span *s)
{
    if (getpid() != t->owner) {
        asq__span_free(s); /* the thread, and perhaps the lock's holder, are not in this copy */
        return;
    }
    pthread_mutex_lock(&t->lock);
    bool taken = t->n < QUEUE_MAX && t->bytes + s->bytes <= QUEUE_BYTES &&
                 (t->started || (t->started = start(t)));
    if (taken) {
        asq__list_add(&t->queue, &s->node);
        t->bytes += s->bytes;
        if (++t->n == 1 || t->n == BATCH_MAX || t->bytes >= BATCH_BYTES)
            pthread_cond_signal(&t->bell);
    } else {
        t->n_dropped++;
        count(t->dropped, 1);
        tell_of_loss(t);
    }
    pthread_mutex_unlock(&t->lock);
    if (!taken)
        asq__span_free(s);
}

/* Takes what is to be logged, with the lock held. */
static bool take_line(struct asq__tracer *t, asq_log_level *level, char text[ASQ__TRACER_TEXT])
{
    bool any = t->has_line;
    if (any) {
        *level = t->line_level;
        memcpy(text, t->line, sizeof t->line);
    }
    t->has_line = false;
    return any;
}

bool asq__tracer_line(struct asq__tracer *t, asq_log_level *level, char text[ASQ__TRACER_TEXT])
{
    if (getpid() != t->owner)
        return false;
    pthread_mutex_lock(&t->lock);
    bool any = take_line(t, level, text);
    pthread_mutex_unlock(&t->lock);
    return any;
}

bool asq__tracer_free(struct asq__tracer *t, int64_t flush_ms, asq_log_level *level,
                      char text[ASQ__TRACER_TEXT])
{
    if (!t || getpid() != t->owner)
        return false; /* a copy cannot know the state of the lock */
    pthread_mutex_lock(&t->lock);
    t->ending = true;
    t->end_ms = asq__now_ms() + flush_ms;
    int64_t until = t->end_ms + END_MS;
    asq__collector_stop_at(t->collector, t->end_ms);
    pthread_cond_signal(&t->bell);
    while (t->started && !t->ended && asq__now_ms() < until)
        wait_until(t, &t->ended_bell, until);
    bool ended = !t->started || t->ended;
    bool started = t->started;
    pthread_t thread = t->thread;
    bool any = take_line(t, level, text);
    t->abandoned = !ended;
    if (!ended)
        t->exported = t->dropped = NULL; /* the owner's; freed perhaps */
    pthread_mutex_unlock(&t->lock);
    if (!ended) {
        pthread_detach(thread); /* which frees it */
        return any;
    }
    if (started)
        pthread_join(thread, NULL);
    destroy(t);
    return any;
}
