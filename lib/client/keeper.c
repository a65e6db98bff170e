/*
 * keeper.c: see keeper.h.
 */
#include "client/keeper.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "redis/handle_key.h"
#include "redis/keys.h"
#include "redis/refusal.h"
#include "redis/slots.h"
#include "redis/sync.h"
#include "redis/sync_cluster.h"
#include "value/clock.h"
#include "value/error.h"
#include "value/fd.h"

enum {
    TIMEOUT_MS = 5000, /* of connecting, and for each answer */
    AGAIN_MS = 500,
    GOOD_BYE_MS = 1000
};

struct asq__keeper {
    const struct asq__url *url;
    char key[ASQ__KEY_MAX];
    uint16_t slot;
    pid_t owner; /* its copies by fork have no thread */
    pthread_t thread;
    int quit_fd; /* eventfd, readable once the thread must end, which may be connecting */
    pthread_mutex_t lock;
    pthread_cond_t bell;
    /* Under the lock. */
    bool quit;
    bool tried; /* once or more */
    int rc;     /* of the last try: 0, ASQ_EREDIS (refused), ASQ_ECONN (Redis is away) */
    char why[400];
    struct asq__trouble trouble;
    bool has_line;
    asq_log_level line_level;
    char line[ASQ__KEEPER_LINE];
};

/* ---- the thread ---- */

static int connect_to(const struct asq__keeper *k, int64_t timeout_ms, int cancel_fd,
                      struct asq__sync **ret, char *err, size_t errlen)
{
    return asq__sync_open_slot(k->url, k->slot, "asqueue-handle", timeout_ms, cancel_fd, ret, err,
                               errlen);
}

/* Writes the key. ASQ_EREDIS: refused for good. ASQ_ECONN: it may be taken later. */
static int put(const struct asq__keeper *k, struct asq__sync *ctx, const char *value, int ttl_ms,
               char *err, size_t errlen)
{
    redisReply *reply = asq__sync_cmd(ctx, "SET %s %s PX %d", k->key, value, ttl_ms);
    int rc = 0;
    if (!reply)
        rc = asq__err(err, errlen, ASQ_ECONN, "%s", asq__sync_why(ctx));
    else if (reply->type == REDIS_REPLY_ERROR)
        rc = asq__err(err, errlen, asq__reply_is_transient(reply) ? ASQ_ECONN : ASQ_EREDIS, "%s%s",
                      reply->str, asq__reply_is_denial(reply) ? ASQ__DENIAL_HINT : "");
    freeReplyObject(reply);
    return rc;
}

/* Renews the key, on a new connection if there is none. */
static int renew(const struct asq__keeper *k, struct asq__sync **ctx, char *err, size_t errlen)
{
    if (*ctx && asq__sync_is_outdated(*ctx)) {
        asq__sync_free(*ctx);
        *ctx = NULL;
    }
    if (!*ctx && connect_to(k, TIMEOUT_MS, k->quit_fd, ctx, err, errlen) < 0) {
        *ctx = NULL;
        return ASQ_ECONN;
    }
    int rc = put(k, *ctx, ASQ__HANDLE_OPEN, ASQ__HANDLE_LEASE_MS, err, errlen);
    if (rc < 0 && !asq__sync_is_cancelled(*ctx)) { /* a new one may lead to the right server */
        asq__sync_free(*ctx);
        *ctx = NULL;
    }
    return rc;
}

/* Notes how a try has ended, with the lock held. */
static void note(struct asq__keeper *k, int rc, const char *err)
{
    char text[ASQ__TROUBLE_TEXT];
    k->tried = true;
    k->rc = rc;
    snprintf(k->why, sizeof k->why, "%s", err);
    if (rc == 0 && asq__trouble_over(&k->trouble, asq__now_ms(), text)) {
        k->has_line = true;
        k->line_level = ASQ_LOG_INFO;
        snprintf(k->line, sizeof k->line, "the key of this handle is renewed again%s", text);
    } else if (rc < 0 && asq__trouble_note(&k->trouble, err, asq__now_ms(), text)) {
        k->has_line = true;
        k->line_level = ASQ_LOG_WARNING;
        snprintf(k->line, sizeof k->line,
                 "the key of this handle, with which its agents end, is not renewed: %s", text);
    }
}

/* Waits, with the lock held. */
static void wait_until(struct asq__keeper *k, int64_t ms)
{
    struct timespec at = { ms / 1000, ms % 1000 * 1000000 };
    pthread_cond_timedwait(&k->bell, &k->lock, &at);
}

/* Says that the handle is closed, behind what was sent before. Tries a new connection too, because
 * the old one may have been lost since the last renewal. */
static void say_good_bye(const struct asq__keeper *k, struct asq__sync *ctx)
{
    char err[400];
    bool said = false;
    for (int tries = 2; tries && !said; tries--) {
        if (!ctx && connect_to(k, GOOD_BYE_MS, -1, &ctx, err, sizeof err) < 0)
            return;
        said = asq__sync_keep(ctx, GOOD_BYE_MS) == 0 &&
               put(k, ctx, ASQ__HANDLE_CLOSED, ASQ__HANDLE_CLOSED_MS, err, sizeof err) == 0;
        asq__sync_free(ctx);
        ctx = NULL;
    }
}

static void *run(void *arg)
{
    struct asq__keeper *k = arg;
    struct asq__sync *ctx = NULL;
    pthread_mutex_lock(&k->lock);
    while (!k->quit) {
        char err[400] = "";
        pthread_mutex_unlock(&k->lock);
        int rc = renew(k, &ctx, err, sizeof err);
        pthread_mutex_lock(&k->lock);
        if (k->quit)
            break;
        note(k, rc, err);
        pthread_cond_broadcast(&k->bell);
        int64_t until = asq__now_ms() + (rc == 0 ? ASQ__HANDLE_RENEW_MS : AGAIN_MS);
        while (!k->quit && asq__now_ms() < until)
            wait_until(k, until);
    }
    bool away = !ctx && k->rc < 0; /* waiting for it would hold up asq_close */
    pthread_mutex_unlock(&k->lock);
    if (!away)
        say_good_bye(k, ctx);
    return NULL;
}

/* ---- for the handle ---- */

static void destroy(struct asq__keeper *k)
{
    pthread_mutex_destroy(&k->lock);
    pthread_cond_destroy(&k->bell);
    if (k->quit_fd >= 0)
        close(k->quit_fd);
    free(k);
}

/* Starts the thread, which gets no signals. */
static int start(struct asq__keeper *k)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &before);
    int rc = pthread_create(&k->thread, NULL, run, k);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return rc;
}

int asq__keeper_new(const struct asq__url *url, const struct asq__keys *keys, const char *client,
                    struct asq__keeper **ret, char *err, size_t errlen)
{
    pthread_condattr_t monotonic;
    struct asq__keeper *k = calloc(1, sizeof *k);
    if (!k)
        return asq__err(err, errlen, ASQ_ENOMEM, "out of memory");
    k->url = url;
    k->owner = getpid();
    asq__keys_handle(keys, client, k->key);
    k->slot = asq__slot_of_namespace(keys);
    pthread_mutex_init(&k->lock, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&k->bell, &monotonic);
    pthread_condattr_destroy(&monotonic);
    k->quit_fd = asq__fd_keep(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    int failed = k->quit_fd < 0 ? errno : start(k);
    if (failed) {
        destroy(k);
        return asq__err(err, errlen, ASQ_ESYS, "no thread can be started that keeps its key: %s",
                        strerror(failed));
    }
    int64_t until = asq__now_ms() + 2 * TIMEOUT_MS;
    pthread_mutex_lock(&k->lock);
    while (!k->tried && asq__now_ms() < until)
        wait_until(k, until);
    int rc = k->tried && k->rc == ASQ_EREDIS
                 ? asq__err(err, errlen, ASQ_EREDIS, "Redis refuses SET %s: %s", k->key, k->why)
                 : 0;
    pthread_mutex_unlock(&k->lock);
    if (rc < 0)
        asq__keeper_free(k);
    else
        *ret = k;
    return rc;
}

bool asq__keeper_line(struct asq__keeper *k, asq_log_level *level, char text[ASQ__KEEPER_LINE])
{
    if (!k || getpid() != k->owner)
        return false;
    pthread_mutex_lock(&k->lock);
    bool any = k->has_line;
    if (any) {
        *level = k->line_level;
        memcpy(text, k->line, sizeof k->line);
    }
    k->has_line = false;
    pthread_mutex_unlock(&k->lock);
    return any;
}

void asq__keeper_free(struct asq__keeper *k)
{
    const uint64_t one = 1;
    if (!k || getpid() != k->owner)
        return; /* a copy cannot know the state of the lock */
    pthread_mutex_lock(&k->lock);
    k->quit = true;
    pthread_cond_broadcast(&k->bell);
    pthread_mutex_unlock(&k->lock);
    ssize_t written = write(k->quit_fd, &one, sizeof one);
    (void) written; /* without it, a wait for Redis ends by its timeout */
    pthread_join(k->thread, NULL);
    destroy(k);
}
