/*
 * needs.c: see needs.h.
 */
#include "worker/needs.h"

#include <stdlib.h>
#include <string.h>

#include "asqueue.h"
#include "client/class.h"
#include "value/classes.h"
#include "worker/partition.h"
#include "worker/process.h"
#include "worker/process_log.h"

int asq__needs_init(struct asq__process *w)
{
    int rc = 0;
    free(w->knows);
    w->knows = NULL;
    for (const struct asq__class *c = w->config.registry->first; c && rc >= 0; c = c->next)
        rc = asq__classes_add(&w->knows, c->def.name, c->def.version);
    if (rc == ASQ_ELIMIT) {
        asq__process_log(w, ASQ_LOG_WARNING,
                         "the names of this worker's classes have more than %d bytes: it counts as "
                         "one that knows every class",
                         ASQ__CLASSES_MAX);
        free(w->knows);
        w->knows = NULL;
        return 0;
    }
    if (rc >= 0 && !w->knows && !(w->knows = strdup("")))
        rc = ASQ_ENOMEM;
    return rc < 0 ? rc : 0;
}

void asq__needs_take(struct asq__partition *p, const redisReply *text)
{
    const char *needs = text && text->type == REDIS_REPLY_STRING ? text->str : NULL;
    p->needs_unsaved = false;
    p->needs_last = NULL;
    if (needs && p->needs && strcmp(needs, p->needs) == 0)
        return;
    free(p->needs);
    p->needs = needs ? strdup(needs) : NULL; /* without memory it is read again */
}

void asq__needs_note(struct asq__partition *p, const struct asq__class *cls)
{
    if (!cls || cls == p->needs_last)
        return;
    p->needs_last = cls;
    int rc = asq__classes_add(&p->needs, cls->def.name, cls->def.version);
    p->needs_unsaved |= rc > 0;
    if (rc >= 0 && p->recount.found)
        rc = asq__classes_add(&p->recount.found, cls->def.name, cls->def.version);
    if (rc < 0)
        asq__process_log_some_about(
            p->w, ASQ__LOG_ABOUT_PARTITION(p), ASQ_LOG_WARNING,
            "partition %u: that it needs class %s cannot be kept (%s): a worker that lacks it may "
            "take the partition",
            p->number, cls->def.name, asq_strerror(rc));
}

void asq__needs_drop(struct asq__partition *p)
{
    free(p->wants);
    p->wants = NULL;
    free(p->recount.found);
    p->recount = (struct asq__recount){ 0 };
    p->needs_unsaved = false;
}

void asq__needs_release(struct asq__process *w)
{
    free(w->knows);
    free(w->kinds);
    free(w->lacked);
    w->knows = w->kinds = w->lacked = NULL;
}
