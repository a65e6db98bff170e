/*
 * pause.c: see pause.h. core/mailbox.c has the rule which calls a pause holds.
 */
#include "worker/pause.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "asqueue.h"
#include "redis/conn.h"
#include "redis/keys.h"
#include "redis/pauses.h"
#include "redis/redis.h"
#include "redis/refusal.h"
#include "value/clock.h"
#include "worker/partition.h"
#include "worker/process.h"
#include "worker/process_log.h"

enum { LOG_EVERY_MS = 60000, LINES = 8 /* of one change */ };

static int compare(const void *a, const void *b)
{
    return strcmp(((const struct asq__pause *) a)->class_name,
                  ((const struct asq__pause *) b)->class_name);
}

static const struct asq__pause *find(const struct asq__pause *list, size_t n, const char *name)
{
    struct asq__pause key = { 0 };
    if (!n || strlen(name) >= sizeof key.class_name)
        return NULL;
    strcpy(key.class_name, name);
    return bsearch(&key, list, n, sizeof key, compare);
}

bool asq__pause_covers(const struct asq__process *w, const char *class_name)
{
    const struct asq__pauses *p = &w->pauses;
    return p->n && (p->all || find(p->list, p->n, class_name));
}

bool asq__pause_is_reading(const struct asq__process *w)
{
    return w->pauses.asking;
}

/* ---- changes ---- */

static void log_begin(struct asq__process *w, const char *class_name)
{
    if (strcmp(class_name, ASQ__PAUSE_ALL) == 0)
        asq__process_log(w, ASQ_LOG_WARNING,
                         "namespace '%s' is paused: calls that have not begun wait for as-ctl "
                         "resume",
                         w->config.ns);
    else
        asq__process_log(w, ASQ_LOG_WARNING,
                         "class %s is paused: its calls that have not begun wait for as-ctl resume "
                         "--class %s",
                         class_name, class_name);
}

static void log_end(struct asq__process *w, const char *class_name)
{
    if (strcmp(class_name, ASQ__PAUSE_ALL) == 0)
        asq__process_log(w, ASQ_LOG_WARNING, "namespace '%s' is not paused any more", w->config.ns);
    else
        asq__process_log(w, ASQ_LOG_WARNING, "class %s is not paused any more", class_name);
}

/* Logs each pause of a list that another list does not have; the rest of many is counted. */
static size_t log_differences(struct asq__process *w, const struct asq__pauses *of,
                              const struct asq__pauses *other,
                              void (*log)(struct asq__process *w, const char *class_name))
{
    size_t n = 0;
    for (size_t i = 0; i < of->n; i++)
        if (!find(other->list, other->n, of->list[i].class_name) && n++ < LINES)
            log(w, of->list[i].class_name);
    if (n > LINES)
        asq__process_log(w, ASQ_LOG_WARNING, "and so are %zu more classes", n - LINES);
    return n;
}

static void resume(struct asq__process *w)
{
    for (uint32_t i = 0; i < w->nparts; i++)
        if (asq__partition_is_owned(&w->parts[i]))
            asq__partition_resume_later(&w->parts[i]);
}

/* Takes the list over. True: a pause has ended. */
static bool change(struct asq__process *w, struct asq__pause *list, size_t n)
{
    struct asq__pauses *p = &w->pauses;
    struct asq__pauses old = *p;
    if (n)
        qsort(list, n, sizeof *list, compare);
    p->list = list;
    p->n = n;
    p->all = find(list, n, ASQ__PAUSE_ALL);
    log_differences(w, p, &old, log_begin);
    bool ended = log_differences(w, &old, p, log_end) > 0;
    free(old.list);
    return ended;
}

/* A process that cannot read it goes on with what it knows, because other work must not stop for
 * it. */
static void log_unreadable(struct asq__process *w, const redisReply *reply)
{
    int64_t now = asq__now_ms();
    if (w->pauses.last_logged_ms && now - w->pauses.last_logged_ms < LOG_EVERY_MS)
        return;
    w->pauses.last_logged_ms = now;
    asq__process_log(w, ASQ_LOG_ERROR,
                     "asq:{%s}:paused cannot be read, so what was paused before stays so: %s",
                     w->config.ns, asq__reply_text(reply));
}

static void on_read(struct asq__conn *c, const redisReply *reply, void *user)
{
    struct asq__process *w = user;
    struct asq__pauses *p = &w->pauses;
    struct asq__pause *list = NULL;
    size_t n = 0;
    (void) c;
    p->asking = false;
    if (!reply)
        return; /* read again with the next connection */
    if (asq__reply_is_transient(reply))
        return; /* the next look at the workers reads it again */
    int rc = asq__pauses_take(reply, &list, &n);
    if (rc == ASQ_ENOMEM)
        return; /* likewise */
    bool may_go_on = !p->known;
    p->known = true;
    if (rc < 0)
        log_unreadable(w, reply);
    else
        may_go_on |= change(w, list, n);
    if (may_go_on)
        resume(w);
    if (p->again)
        asq__pause_read(w, false);
}

/* ---- reading ---- */

void asq__pause_read(struct asq__process *w, bool new_connection)
{
    struct asq__pauses *p = &w->pauses;
    char key[ASQ__KEY_MAX];
    if (new_connection)
        p->known = false;
    if (p->asking) {
        p->again = true;
        return;
    }
    asq__keys_paused(asq__redis_keys(w->redis), key);
    p->again = false;
    p->asking = asq__conn_cmd(asq__redis_home(w->redis), on_read, w, "HGETALL", key, NULL) == 0;
}

bool asq__pause_on_announcement(struct asq__process *w, const char *payload, size_t n)
{
    static const char text[] = ASQ__PAUSE_NEWS;
    if (n != sizeof text - 1 || memcmp(payload, text, n) != 0)
        return false;
    if (asq__redis_is_up(w->redis))
        asq__pause_read(w, false);
    return true;
}

void asq__pause_release(struct asq__process *w)
{
    free(w->pauses.list);
    w->pauses.list = NULL;
    w->pauses.n = 0;
}
