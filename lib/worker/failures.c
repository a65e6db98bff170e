/*
 * failures.c: see failures.h.
 */
#include "worker/failures.h"

#include <stdio.h>

#include "client/object.h"
#include "redis/cmd.h"
#include "value/head.h"
#include "value/msg.h"
#include "worker/core/commit_set.h"
#include "worker/core/entry.h"
#include "worker/partition.h"
#include "worker/process.h"

void asq__failure_keep(struct asq__commit *c, const struct asq__wcall *call, const asq_error *error,
                       unsigned attempt, bool again)
{
    const struct asq__process *w = call->entry->part->w;
    const Asqueue__Job *job = asq__wcall_job(call);
    char id[ASQ__CALL_ID_TEXT], code[16], number[16], args[ASQ__FAILURE_ARGS] = "";
    if (!w->config.keep_failures)
        return;
    asq__wcall_id(call, id);
    snprintf(code, sizeof code, "%d", error->code);
    snprintf(number, sizeof number, "%u", attempt);
    if (!w->config.omit_arguments)
        asq__value_head(job->args.data, job->args.len, args, sizeof args);
    const char *const fields[ASQ__FAILURE_FIELDS] = { id,
                                                      *error->class_name ? error->class_name
                                                                         : job->class_name,
                                                      error->method,
                                                      job->agent,
                                                      code,
                                                      error->message,
                                                      number,
                                                      again ? "1" : "",
                                                      args };
    asq__commit_add_failure(c, w->config.keep_failures, fields);
}

void asq__failures_put(struct asq__cmd *cmd, const struct asq__commit *c)
{
    const struct asq__process *w = c->part->w;
    asq__cmd_number(cmd, c->nfailures);
    if (!c->nfailures)
        return;
    asq__cmd_number(cmd, w->config.keep_failures);
    asq__cmd_number(cmd, ASQ__FAILURES_BYTES);
    asq__cmd_number(cmd, ASQ__FAILURES_TTL_MS);
    asq__cmd_puts(cmd, w->config.id);
    for (size_t i = 0; i < c->nfailures; i++) {
        const struct asq__failure *f = asq__commit_failure(c, i);
        const char *at = f->text;
        for (size_t k = 0; k < ASQ__FAILURE_FIELDS; at += f->lengths[k++])
            asq__cmd_put(cmd, at, f->lengths[k]);
    }
}
