/*
 * signal.c: signals to agents, for programs and methods. Sending one is a job to the agent, which
 * does not wait for the agent's calls; hearing one is a step of a method, whose value comes from
 * the mode; listing reads Redis, or local mode's own box.
 */
#include "client/pools.h"
#include "client/signal.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "client/admin.h"
#include "client/handle.h"
#include "client/object.h"
#include "client/remote.h"
#include "client/step.h"
#include "redis/keys.h"
#include "redis/redis.h"
#include "value/msg.h"
#include "value/value.h"

/* Room that is left for the other fields of a record, and for that of a failure. */
enum { RESERVED = 2048 };

/* ---- sending ---- */

static int refuse_future(void *user, const struct asq__future_place *place)
{
    asq *h = user;
    return place->future->future->unawaited
               ? 0
               : asq__fail(h, ASQ_EINVAL,
                           "the value of a signal cannot have a future that is to be awaited: "
                           "wait for it and send its value, or use asq_value_future_unawaited");
}

static int send_signal(asq_agent *agent, const char *name, const asq_value *value)
{
    asq *h = agent->h;
    struct asq__job job = { .kind = ASQUEUE__JOB_KIND__SIGNAL,
                            .agent = agent->id,
                            .class_name = agent->class_name,
                            .method = name,
                            .args = value };
    char why[300];
    asq_result *r;
    int rc = asq__check_name("signal", name, why, sizeof why);
    if (rc < 0)
        return asq__fail(h, rc, "%s", why);
    int64_t n = value ? asq_value_encoded_size(value) : 0;
    if (n < 0)
        return asq__fail(h, (int) n, "signal '%s': its value is nested too deep", name);
    if (n > ASQ__SIGNAL_MAX)
        return asq__fail(
            h, ASQ_ELIMIT,
            "signal '%s': its value has %lld bytes, and may have %d; send the id of an "
            "agent that has more",
            name, (long long) n, ASQ__SIGNAL_MAX);
    rc = value ? asq__value_every_future(value, refuse_future, h) : 0;
    if (rc < 0 || (rc = asq__call_job(h, &job, &r)) < 0)
        return rc;
    rc = asq_result_wait(r, h->timeout_ms);
    asq_result_free(r);
    return rc;
}

int asq_signal(asq_agent *agent, const char *name, asq_value *value)
{
    int rc = agent && name ? send_signal(agent, name, value)
                           : asq__null(agent ? agent->h : NULL, "asq_signal");
    asq_value_free(value);
    return rc;
}

/* ---- hearing ---- */

static int give_timeout(asq_ctx *ctx, const char *name)
{
    char text[ASQ_MAX_NAME + 64];
    int n = snprintf(text, sizeof text, "no signal '%s' has come in time", name);
    return asq__step_give_failure(ctx, ASQ_ETIMEOUT, text, (size_t) n);
}

/* Gives what this run or an earlier one has heard. */
static int give(asq_ctx *ctx, const struct asq__step *step, const char *name, asq_value **ret)
{
    return step->code ? give_timeout(ctx, name) : asq__step_give_value(ctx, step, ret);
}

/* Waits for a signal that no earlier run has heard. until_ms: as asq.waits_until_ms. */
static int hear(asq_ctx *ctx, struct asq__step_log *log, const char *name, int64_t timeout_ms,
                int64_t until_ms, asq_value **ret)
{
    asq *h = ctx->h;
    size_t limit = asq__step_limit(ctx);
    struct asq__signal_wait wait = { .name = name,
                                     .timeout_ms = timeout_ms,
                                     .room = limit - log->bytes - RESERVED };
    asq__buf_init(&wait.value, 0);
    int rc = asq__step_record_calls(ctx, log);
    if (rc < 0)
        return rc;
    wait.number = log->number;
    h->waits_until_ms = until_ms;
    rc = h->mode->next_signal(h, &wait);
    h->waits_until_ms = 0;
    log->bytes += wait.recorded;
    if (rc == ASQ_ELIMIT)
        return asq_fail(ctx, rc,
                        "signal '%s' has come, but the records of this call's steps have %zu bytes "
                        "and may have %zu, so there is no room for its value; another call can "
                        "hear it",
                        name, log->bytes, limit);
    if (rc < 0 && rc != ASQ_ETIMEOUT)
        return asq_fail(ctx, rc, "waiting for signal '%s': %s", name, asq_errmsg(h));
    struct asq__step heard = { .name = name,
                               .name_n = strlen(name),
                               .value = wait.value.data,
                               .value_n = wait.value.len,
                               .code = rc };
    rc = give(ctx, &heard, name, ret);
    asq__buf_release(&wait.value);
    return rc;
}

static int next_signal(asq_ctx *ctx, const char *name, int64_t timeout_ms, asq_value **ret)
{
    struct asq__step_log *log;
    struct asq__step known;
    char why[300];
    int rc = asq__check_name("signal", name, why, sizeof why);
    asq *h = asq_ctx_handle(ctx);
    if (rc < 0)
        return asq_fail(ctx, rc, "%s", why);
    if (!h)
        return asq_fail(ctx, ASQ_ENOMEM, "out of memory");
    if (!ctx->object || !ctx->object->snapshot)
        return asq_fail(ctx, ASQ_ENOTSUP,
                        "a creation cannot wait for signals: its agent is there when it has ended");
    int64_t until_ms = timeout_ms < 0 ? INT64_MAX : 0;
    if (timeout_ms > 0 && asq__step_wait_is_recorded(ctx, h, timeout_ms)) {
        rc = asq__step_record_wait(ctx, ASQUEUE__STEP_KIND__SIGNAL_UNTIL, &timeout_ms, &until_ms);
        if (rc < 0)
            return rc;
    }
    rc = asq__step_begin(ctx, ASQUEUE__STEP_KIND__SIGNAL_HEARD, name, 0, &log, &known);
    if (rc != 0)
        return rc < 0 ? rc : give(ctx, &known, name, ret);
    return hear(ctx, log, name, timeout_ms, until_ms, ret);
}

int asq_ctx_next_signal(asq_ctx *ctx, const char *name, asq_value **ret, int64_t timeout_ms)
{
    if (!ctx)
        return ASQ_EINVAL;
    if (!name)
        return asq_fail(ctx, ASQ_EINVAL, "asq_ctx_next_signal: an argument is NULL");
    return asq__step_told(ctx, next_signal(ctx, name, timeout_ms, ret));
}

/* ---- listing ---- */

int asq__signals_add(asq_value *list, const struct asq__signal_box *box)
{
    ASQ__LIST_EACH (it, &box->signals) {
        const struct asq__signal *s = ASQ__CONTAINER(it, struct asq__signal, node);
        asq_value *value = NULL;
        int rc = s->value_n ? asq__value_decode(s->value, s->value_n, &value, NULL, 0) : 0;
        if (rc == ASQ_ENOMEM)
            return rc;
        if (!value && !(value = asq_value_null())) /* null, or a foreign write */
            return ASQ_ENOMEM;
        rc = asq_list_append(
            list, asq_pack("{s:s, s:o, s:I}", "name", s->name, "value", value, "at_ms", s->at_ms));
        if (rc < 0)
            return rc;
    }
    return 0;
}

static int take_signals(asq *h, const redisReply *reply, void *user)
{
    struct asq__signal_box box;
    if (reply->type != REDIS_REPLY_STRING)
        return 0;
    asq__signal_box_init(&box);
    int rc = asq__signal_box_read(&box, reply->str, reply->len);
    if (rc == 0)
        rc = asq__signals_add(user, &box);
    asq__signal_box_release(&box);
    if (rc == ASQ_ENOMEM)
        return asq__fail_memory(h);
    return rc < 0 ? asq__fail(h, rc,
                              "the signals of the agent cannot be decoded: they were "
                              "overwritten")
                  : 0;
}

static int list_remote(asq *h, const char *agent, asq_value *list)
{
    char key[ASQ__KEY_MAX];
    int rc = asq__admin_begin(h, "asq_signals");
    if (rc < 0)
        return rc;
    uint32_t partition;
    if ((rc = asq__agent_partition_there(h, agent, &partition)) < 0)
        return asq__admin_end(h, rc);
    asq__keys_signals(asq__redis_keys(asq__remote_redis(h)), partition, agent, key);
    return asq__admin_end(
        h, asq__admin_command(h, partition, take_signals, list, 2, (const char *[]){ "GET", key }));
}

int asq_signals(asq *h, const char *agent_id, asq_value **ret)
{
    char why[300];
    if (!h || !agent_id || !ret)
        return asq__null(h, "asq_signals");
    int rc = asq__check_id(agent_id, why, sizeof why);
    if (rc < 0)
        return asq__fail(h, rc, "%s", why);
    asq_value *list = asq_value_list();
    if (!list)
        return asq__fail_memory(h);
    rc = h->mode == &asq__local_mode && !h->in_method ? asq__local_signals(h, agent_id, list)
                                                      : list_remote(h, agent_id, list);
    if (rc < 0)
        asq_value_free(list);
    else
        *ret = list;
    return rc;
}
