/*
 * admin_pause.c: pauses a class or the namespace, ends that, and tells what is paused. The hash
 * asq:{N}:paused is all there is; workers read it when a change is announced on their channel, and
 * in any case with each look at each other (worker/pause.c).
 */
#include "client/admin_pause.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "client/admin.h"
#include "client/handle.h"
#include "client/remote.h"
#include "redis/keys.h"
#include "redis/redis.h"
#include "value/value.h"

struct pauses {
    struct asq__pause *list;
    size_t n;
};

static int take_pauses(asq *h, const redisReply *reply, void *user)
{
    struct pauses *p = user;
    int rc = asq__pauses_take(reply, &p->list, &p->n);
    if (rc == ASQ_ENOMEM)
        return asq__fail_memory(h);
    return rc < 0 ? asq__fail(h, rc, "Redis answered with something other than a hash") : 0;
}

static int read_pauses(asq *h, struct pauses *p, bool may_be_denied)
{
    char key[ASQ__KEY_MAX];
    *p = (struct pauses){ NULL, 0 };
    asq__keys_paused(asq__redis_keys(asq__remote_redis(h)), key);
    struct asq__query q = { .partition = ASQ__NO_PARTITION,
                            .take = take_pauses,
                            .user = p,
                            .argc = 2,
                            .argv = (const char *[]){ "HGETALL", key } };
    int rc = asq__admin_ask(h, &q);
    return may_be_denied && (q.denied || q.wrong_type) ? 0 : rc;
}

int asq__admin_pauses(asq *h, struct asq__pause **ret_list, size_t *ret_n)
{
    struct pauses p;
    int rc = read_pauses(h, &p, true);
    *ret_list = p.list;
    *ret_n = p.n;
    return rc;
}

const struct asq__pause *asq__pause_of(const struct asq__pause *list, size_t n,
                                       const char *class_name)
{
    for (size_t i = 0; i < n; i++)
        if (strcmp(list[i].class_name, ASQ__PAUSE_ALL) == 0 ||
            strcmp(list[i].class_name, class_name) == 0)
            return &list[i];
    return NULL;
}

/* ---- the time ---- */

static int take_time(asq *h, const redisReply *reply, void *user)
{
    (void) h;
    if (reply->type == REDIS_REPLY_ARRAY && reply->elements == 2 &&
        reply->element[0]->type == REDIS_REPLY_STRING &&
        reply->element[1]->type == REDIS_REPLY_STRING)
        *(int64_t *) user = strtoll(reply->element[0]->str, NULL, 10) * 1000 +
                            strtoll(reply->element[1]->str, NULL, 10) / 1000;
    return 0;
}

/* Gives the time of Redis, or of this machine where TIME is denied. */
static int read_time(asq *h, int64_t *ret_ms)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    *ret_ms = (int64_t) now.tv_sec * 1000 + now.tv_nsec / 1000000;
    struct asq__query q = { .partition = ASQ__NO_PARTITION,
                            .take = take_time,
                            .user = ret_ms,
                            .argc = 1,
                            .argv = (const char *[]){ "TIME" } };
    int rc = asq__admin_ask(h, &q);
    return q.denied ? 0 : rc;
}

/* ---- pausing ---- */

static int announce(asq *h)
{
    char channel[ASQ__KEY_MAX];
    asq__keys_channel(asq__redis_keys(asq__remote_redis(h)), "workers", channel);
    return asq__admin_command(h, ASQ__NO_PARTITION, NULL, NULL, 3,
                              (const char *[]){ "PUBLISH", channel, ASQ__PAUSE_NEWS });
}

/* Returns whether one more class would be paused than may be. */
static bool is_one_too_many(const struct pauses *p, const char *field)
{
    size_t classes = 0;
    for (size_t i = 0; i < p->n; i++) {
        if (strcmp(p->list[i].class_name, field) == 0)
            return false;
        classes += strcmp(p->list[i].class_name, ASQ__PAUSE_ALL) != 0;
    }
    return strcmp(field, ASQ__PAUSE_ALL) != 0 && classes >= ASQ__PAUSES_MAX;
}

static int pause_field(asq *h, const char *field)
{
    char key[ASQ__KEY_MAX], time[32];
    struct pauses p;
    int64_t now_ms;
    int rc = read_pauses(h, &p, false);
    if (rc < 0)
        return rc;
    bool too_many = is_one_too_many(&p, field);
    free(p.list);
    if (too_many)
        return asq__fail(h, ASQ_ELIMIT, "%d classes are paused already: pause the namespace",
                         ASQ__PAUSES_MAX);
    if ((rc = read_time(h, &now_ms)) < 0)
        return rc;
    snprintf(time, sizeof time, "%lld", (long long) now_ms);
    asq__keys_paused(asq__redis_keys(asq__remote_redis(h)), key);
    rc = asq__admin_command(h, ASQ__NO_PARTITION, NULL, NULL, 4,
                            (const char *[]){ "HSETNX", key, field, time });
    return rc < 0 ? rc : announce(h);
}

static int resume_field(asq *h, const char *field)
{
    char key[ASQ__KEY_MAX];
    asq__keys_paused(asq__redis_keys(asq__remote_redis(h)), key);
    int rc = asq__admin_command(h, ASQ__NO_PARTITION, NULL, NULL, 3,
                                (const char *[]){ "HDEL", key, field });
    return rc < 0 ? rc : announce(h);
}

/* Does one of these for a class, or for the namespace. */
static int change(asq *h, const char *what, const char *class_name,
                  int (*fn)(asq *h, const char *field))
{
    char why[300];
    if (!h)
        return asq__null(h, what);
    int rc = class_name ? asq__check_name("class", class_name, why, sizeof why) : 0;
    if (rc < 0)
        return asq__fail(h, rc, "%s", why);
    rc = asq__admin_begin(h, what);
    return rc < 0 ? rc : asq__admin_end(h, fn(h, class_name ? class_name : ASQ__PAUSE_ALL));
}

int asq_pause(asq *h, const char *class_name)
{
    return change(h, "asq_pause", class_name, pause_field);
}

int asq_resume(asq *h, const char *class_name)
{
    return change(h, "asq_resume", class_name, resume_field);
}

/* ---- what is paused ---- */

static int compare(const void *a, const void *b) /* "*" comes before all letters */
{
    return strcmp(((const struct asq__pause *) a)->class_name,
                  ((const struct asq__pause *) b)->class_name);
}

static int list_pauses(asq *h, asq_value **ret)
{
    struct pauses p;
    int64_t now_ms = 0;
    int rc = read_pauses(h, &p, false);
    if (rc == 0)
        rc = read_time(h, &now_ms);
    asq_value *list = rc == 0 ? asq_value_list() : NULL;
    if (rc == 0 && !list)
        rc = asq__fail_memory(h);
    if (p.n)
        qsort(p.list, p.n, sizeof *p.list, compare);
    for (size_t i = 0; rc == 0 && i < p.n; i++) {
        const struct asq__pause *pause = &p.list[i];
        bool all = strcmp(pause->class_name, ASQ__PAUSE_ALL) == 0;
        int64_t for_ms = pause->since_ms && now_ms > pause->since_ms ? now_ms - pause->since_ms : 0;
        asq_value *row = asq_pack("{s:s?, s:I, s:I}", "class", all ? NULL : pause->class_name,
                                  "since", pause->since_ms / 1000, "since_ms_ago", for_ms);
        if (asq_list_append(list, row) < 0)
            rc = asq__fail_memory(h);
    }
    free(p.list);
    if (rc < 0)
        asq_value_free(list);
    else
        *ret = list;
    return rc;
}

int asq_paused(asq *h, asq_value **ret)
{
    if (!h || !ret)
        return asq__null(h, "asq_paused");
    int rc = asq__admin_begin(h, "asq_paused");
    return rc < 0 ? rc : asq__admin_end(h, list_pauses(h, ret));
}
