/*
 * misplaced.c: see misplaced.h.
 */
#include "worker/misplaced.h"

#include <string.h>

#include "asqueue.h"
#include "client/class.h"
#include "value/pools.h"
#include "worker/core/entry.h"
#include "worker/partition.h"
#include "worker/process.h"
#include "worker/process_log.h"

void asq__misplaced_note(const struct asq__wcall *c)
{
    const Asqueue__Job *job = asq__wcall_job(c);
    struct asq__process *w = c->entry->part->w;
    if (job->kind != ASQUEUE__JOB_KIND__CREATE && job->kind != ASQUEUE__JOB_KIND__GET_OR_CREATE)
        return;
    const struct asq__class *cls = asq__registry_find(w->config.registry, job->class_name);
    const char *pool = cls ? cls->def.pool : NULL;
    if (!pool || strcmp(pool, ASQ__POOL_DEFAULT) == 0 || asq__pool_in_id(job->agent))
        return;
    asq__process_log_some(
        w, ASQ_LOG_WARNING,
        "agent '%s' is created in pool " ASQ__POOL_DEFAULT
        ", though the pool of its class %s is '%s': its caller has not registered "
        "the class, or another version of it, and has to, or to name the agent "
        "'%s/%s'",
        job->agent, job->class_name, pool, pool, job->agent);
}
