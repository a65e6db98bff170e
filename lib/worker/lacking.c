/*
 * lacking.c: see lacking.h.
 */
#include "worker/lacking.h"

#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "asqueue.h"
#include "client/class.h"
#include "redis/redis.h"
#include "value/classes.h"
#include "value/pools.h"
#include "worker/commit.h"
#include "worker/partition.h"
#include "worker/process.h"
#include "worker/process_log.h"
#include "worker/recount.h"

/* Returns how many of the classes the live worker of a pool lacks that has most of them. */
static unsigned count_missing_everywhere(const struct asq__process *w, const char *pool,
                                         const char *classes)
{
    unsigned fewest = UINT_MAX;
    char *kinds = w->kinds ? strdup(w->kinds) : NULL, *rest = kinds, *set;
    while (fewest && rest && *rest && (set = strsep(&rest, "\n"))) {
        const char *pools = strsep(&set, " ");
        if (!set || !asq__pool_list_has(pools, pool))
            continue;
        bool is_all = strcmp(set, ASQ__CLASSES_ALL) == 0;
        unsigned missing = is_all ? 0 : asq__classes_count_missing(set, classes);
        fewest = missing < fewest ? missing : fewest;
    }
    free(kinds);
    return kinds ? fewest : 0;
}

static const char *pool_of(const struct asq__partition *p)
{
    const struct asq__pool *pool = asq__pools_of(asq__redis_pools(p->w->redis), p->number);
    return pool ? pool->name : ASQ__POOL_DEFAULT;
}

enum reach {
    REACHABLE,   /* another worker lacks fewer of all classes that would be needed */
    UNREACHABLE, /* the partition would find no better owner */
    TOO_MANY     /* that cannot be kept, or there is no memory */
};

/* Tells what comes of it if the partition needs the class, too. */
static enum reach reach_of(const struct asq__partition *p, const char *name, uint32_t version)
{
    const struct asq__process *w = p->w;
    char *all = strdup(p->needs ? p->needs : "");
    enum reach reach = TOO_MANY;
    if (all && asq__classes_add(&all, name, version) >= 0)
        reach =
            count_missing_everywhere(w, pool_of(p), all) < asq__classes_count_missing(w->knows, all)
                ? REACHABLE
                : UNREACHABLE;
    free(all);
    return reach;
}

/* Returns whether a live worker of the partition's pool has the class. */
static bool is_anywhere(const struct asq__partition *p, const char *name, uint32_t version)
{
    char *set = NULL;
    bool is = asq__classes_add(&set, name, version) > 0 &&
              !count_missing_everywhere(p->w, pool_of(p), set);
    free(set);
    return is;
}

/* Has the heartbeat tell what calls wait for in vain. */
static void publish(struct asq__process *w)
{
    pthread_mutex_lock(&w->handover_lock);
    snprintf(w->awaits, sizeof w->awaits, "%s", w->lacked ? w->lacked : "");
    pthread_mutex_unlock(&w->handover_lock);
}

/* Has what is still lacked logged anew by the next decision. */
static void forget_lacked(struct asq__process *w)
{
    free(w->lacked);
    w->lacked = NULL;
    publish(w);
}

/* Writes why calls wait for a class. */
static void describe_lack(const struct asq__partition *p, const char *name, uint32_t version,
                          char *why, size_t n)
{
    struct asq__process *w = p->w;
    if (is_anywhere(p, name, version))
        snprintf(why, n,
                 "no live worker has version %lu of class %s together with the classes of other "
                 "agents in partition %u: %.200s",
                 (unsigned long) version, name, p->number, p->needs ? p->needs : "");
    else if (asq__registry_find(w->config.registry, name))
        snprintf(why, n, "no live worker has version %lu of class %s, which an agent has",
                 (unsigned long) version, name);
    else
        asq__registry_unknown(w->config.registry, name, why, n);
}

/* Logs, once until other workers come or go, that calls wait for a class which no worker has that
 * could own their partition. */
static void log_unreachable(struct asq__partition *p, const char *name, uint32_t version)
{
    struct asq__process *w = p->w;
    char why[600];
    if (asq__classes_add(&w->lacked, name, version) == 0)
        return;
    publish(w);
    describe_lack(p, name, version, why, sizeof why);
    asq__process_log_some(w, ASQ_LOG_WARNING,
                          "%s; calls that need it wait for a worker that has it, until their "
                          "deadlines (as-ctl workers; --no-class fail)",
                          why);
}

static void log_too_many(const struct asq__partition *p, const char *name)
{
    asq__process_log_some_about(
        p->w, ASQ__LOG_ABOUT_PARTITION(p), ASQ_LOG_ERROR,
        "partition %u: that it needs class %s cannot be kept, for lack of memory or because the "
        "names of all classes that it needs have more than %d bytes: calls of the class fail here",
        p->number, name, ASQ__CLASSES_MAX);
}

/* Has the partition placed where the class is known, if it is anywhere. */
static void want(struct asq__partition *p, const char *name, uint32_t version)
{
    struct asq__process *w = p->w;
    if (reach_of(p, name, version) == UNREACHABLE) {
        log_unreachable(p, name, version);
        return;
    }
    if (asq__classes_have(w->lacked, name, version))
        forget_lacked(w);
    if (asq__classes_add(&p->needs, name, version) <= 0)
        return;
    p->needs_unsaved = true;
    asq__commit_needs(p);
    w->refresh_due = true;
    asq__process_log_some_about(
        w, ASQ__LOG_ABOUT_PARTITION(p), ASQ_LOG_INFO,
        "partition %u has calls of class %s (version %lu), which this worker lacks: it goes to one "
        "that has it",
        p->number, name, (unsigned long) version);
}

bool asq__lacking_await(struct asq__partition *p, const char *class_name, uint32_t version)
{
    bool fails = p->w->config.fail_no_class;
    if (!fails && asq__classes_have(p->wants, class_name, version))
        return true;
    enum reach reach = reach_of(p, class_name, version);
    if (reach == UNREACHABLE && fails)
        return false;
    int rc = reach == TOO_MANY ? ASQ_ELIMIT : asq__classes_add(&p->wants, class_name, version);
    if (rc < 0)
        log_too_many(p, class_name);
    else if (rc > 0)
        want(p, class_name, version);
    return rc >= 0;
}

static void decide(struct asq__partition *p)
{
    struct asq__class_item item;
    char name[ASQ_MAX_NAME + 1];
    for (const char *at = p->wants; asq__classes_next(&at, &item);) {
        snprintf(name, sizeof name, "%.*s", (int) item.n, item.name);
        want(p, name, item.version);
    }
}

void asq__lacking_decide(struct asq__process *w, char *kinds)
{
    bool same = w->kinds && kinds && strcmp(w->kinds, kinds) == 0;
    free(w->kinds);
    w->kinds = kinds;
    if (!same) {
        forget_lacked(w);
        asq__recount_soon(w);
    }
    for (uint32_t i = 0; i < w->nparts; i++)
        if (asq__partition_is_owned(&w->parts[i]))
            decide(&w->parts[i]);
}
