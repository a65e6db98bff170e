/*
 * lacking.c: see lacking.h.
 */
#include "worker/lacking.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "asqueue.h"
#include "client/class.h"
#include "value/classes.h"
#include "worker/commit.h"
#include "worker/partition.h"
#include "worker/process.h"
#include "worker/process_log.h"
#include "worker/recount.h"

static bool is_reachable(const struct asq__process *w, const char *name, uint32_t version)
{
    return !w->reachable || asq__classes_have(w->reachable, name, version);
}

/* Has the heartbeat tell what calls wait for in vain. */
static void publish(struct asq__process *w)
{
    pthread_mutex_lock(&w->handover_lock);
    snprintf(w->awaits, sizeof w->awaits, "%s", w->lacked ? w->lacked : "");
    pthread_mutex_unlock(&w->handover_lock);
}

/* Logs, once until other workers come or go, that calls wait for a class that nobody has. */
static void log_unreachable(struct asq__process *w, const char *name, uint32_t version)
{
    char why[500];
    if (asq__classes_add(&w->lacked, name, version) == 0)
        return;
    publish(w);
    if (asq__registry_find(w->config.registry, name))
        snprintf(why, sizeof why, "no live worker has version %lu of class %s, which an agent has",
                 (unsigned long) version, name);
    else
        asq__registry_unknown(w->config.registry, name, why, sizeof why);
    asq__process_log_some(w, ASQ_LOG_WARNING,
                          "%s; calls that need it wait for a worker that has it, until their "
                          "deadlines (as-ctl workers; --no-class fail)",
                          why);
}

/* Has the partition placed where the class is known, if it is anywhere. */
static void want(struct asq__partition *p, const char *name, uint32_t version)
{
    struct asq__process *w = p->w;
    if (!is_reachable(w, name, version)) {
        log_unreachable(w, name, version);
        return;
    }
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
    struct asq__process *w = p->w;
    if (w->config.fail_no_class && !is_reachable(w, class_name, version))
        return false;
    int rc = asq__classes_add(&p->wants, class_name, version);
    if (rc > 0)
        want(p, class_name, version);
    return rc >= 0; /* of very many classes some are not awaited */
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

void asq__lacking_decide(struct asq__process *w, char *reachable)
{
    bool same = w->reachable && reachable && strcmp(w->reachable, reachable) == 0;
    free(w->reachable);
    w->reachable = reachable;
    if (!same) {
        free(w->lacked);
        w->lacked = NULL;
        publish(w);
        asq__recount_soon(w);
    }
    for (uint32_t i = 0; i < w->nparts; i++)
        if (asq__partition_is_owned(&w->parts[i]))
            decide(&w->parts[i]);
}
