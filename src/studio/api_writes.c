/*
 * api_writes.c: what changes something in the deployment. Comes here only with --allow-writes.
 */
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "program.h"
#include "studio/api.h"
#include "studio/studio.h"

enum {
    CALL_MS = 10000,
    MAX_CALL_MS = 60000,
    END_MS = 5000,
    TAKEN_MS = 2000,
    SLICE_MS = 200 /* until the end of the program is noticed */
};

/* ---- bodies --------------------------------------------------------------------------------- */

/* Reads a text of the body. Answers and returns false if it is missing, or no text. */
static bool body_text(const struct as_call *c, const char *key, bool needed, const char **ret,
                      struct as_answer *a)
{
    const asq_value *v = asq_map_get(c->body, key);
    const char *text = NULL;
    size_t n = 0;
    *ret = NULL;
    if ((!v || asq_value_type(v) == ASQ_NULL) && !needed)
        return true;
    if (asq_value_get_string(v, &text, &n) == 0 && n > 0 && strlen(text) == n) {
        *ret = text;
        return true;
    }
    as_answer_fail(a, 400, "BAD_REQUEST", "\"%s\" must be a text that is not empty", key);
    return false;
}

/* Copies the arguments of the body: a list, a map, or none. */
static bool body_args(const struct as_call *c, asq_value **ret, struct as_answer *a)
{
    const asq_value *v = asq_map_get(c->body, "args");
    asq_type type = v ? asq_value_type(v) : ASQ_NULL;
    *ret = NULL;
    if (type == ASQ_NULL)
        return true;
    if (type != ASQ_LIST && type != ASQ_MAP) {
        as_answer_fail(a, 400, "BAD_REQUEST",
                       "\"args\" must be a list (arguments by position) or an object (by name)");
        return false;
    }
    if ((*ret = asq_value_copy(v)))
        return true;
    as_answer_code(a, ASQ_ENOMEM, "out of memory");
    return false;
}

/* ---- waiting -------------------------------------------------------------------------------- */

/* Waits for a result. False: it has not come within the time. */
static bool wait_for(const struct as_call *c, asq_result *r, int64_t timeout_ms)
{
    int64_t begun_ms = as_program_now_ms();
    while (!asq_result_done(r)) {
        int64_t left = as_program_left_ms(begun_ms, timeout_ms);
        if (left == 0 || atomic_load(&c->studio->stopping))
            return false;
        asq_result_wait(r, left < SLICE_MS ? left : SLICE_MS);
    }
    return true;
}

/* Of a write whose outcome has not come in time: returns whether Redis has taken it, so that it
 * goes on. Otherwise it must not be sent later, when its user knows no more of it: the handle is
 * closed, which drops what it has queued. What was sent already may still run, and the answer says
 * so. */
static bool is_taken(const struct as_call *c, const char *id, struct as_answer *a)
{
    int rc = asq_flush(c->h, TAKEN_MS);
    if (rc < 0) /* perhaps the failures of earlier calls, which it reports once */
        rc = asq_flush(c->h, TAKEN_MS);
    if (rc == 0)
        return true;
    *c->ret_unsent = true;
    as_answer_fail(a, 503, "ASQ_EUNKNOWN",
                   "Redis has not taken the request (%s): as-studio does not send it any more, but "
                   "it may still run if it was on its way. Look whether it has, before you repeat "
                   "it",
                   id);
    return false;
}

/* Answers with a call's value, which is joined as text: it may be nested as deep as values can. */
static void answer_value(asq_result *r, const char *call_id, int64_t ms, struct as_answer *a)
{
    const asq_value *v;
    char *json = NULL, *text = NULL;
    int rc = asq_result_value(r, &v);
    if (rc == 0)
        rc = asq_to_json(v, 0, &json);
    if (rc == 0 && asprintf(&text, "{\"ok\":true,\"value\":%s,\"call_id\":\"%s\",\"ms\":%lld}",
                            json, call_id, (long long) ms) < 0)
        text = NULL;
    free(json);
    if (rc == 0)
        as_answer_text(a, 200, text);
    else
        as_answer_code(a, rc, asq_strerror(rc));
}

/* Answers with the outcome of a call. */
static void answer_outcome(const struct as_call *c, asq_result *r, int64_t timeout_ms,
                           struct as_answer *a)
{
    int64_t begun_ms = as_program_now_ms();
    const char *call_id = asq_result_id(r);
    if (!wait_for(c, r, timeout_ms)) {
        if (is_taken(c, call_id, a))
            as_answer_value(a, 202, asq_pack("{s:n, s:s}", "ok", "call_id", call_id));
        return;
    }
    const asq_error *e = asq_result_error(r);
    if (e->code == 0) {
        answer_value(r, call_id, as_program_now_ms() - begun_ms, a);
        return;
    }
    asq_value *described = as_answer_describe(e);
    as_answer_value(
        a, 200,
        described ? asq_pack("{s:b, s:o, s:s}", "ok", 0, "error", described, "call_id", call_id)
                  : NULL);
}

/* ---- agents --------------------------------------------------------------------------------- */

void as_api_call_method(const struct as_call *c, struct as_answer *a)
{
    const char *method;
    asq_value *args;
    asq_agent *agent;
    asq_result *r;
    int64_t timeout_ms = CALL_MS;
    const asq_value *timeout = asq_map_get(c->body, "timeout_ms");
    if (timeout && (asq_value_get_int(timeout, &timeout_ms) < 0 || timeout_ms < 1 ||
                    timeout_ms > MAX_CALL_MS)) {
        as_answer_fail(a, 400, "BAD_REQUEST", "\"timeout_ms\" must be 1 to %d", MAX_CALL_MS);
        return;
    }
    if (!body_text(c, "method", true, &method, a) || !body_args(c, &args, a))
        return;
    if (!as_api_ok(c, asq_attach(c->h, c->id, &agent), a)) {
        asq_value_free(args);
        return;
    }
    if (as_api_ok(c, asq_callv(agent, method, NULL, args, &r), a)) {
        answer_outcome(c, r, timeout_ms, a);
        asq_result_free(r);
    }
    asq_agent_free(agent);
}

/* Waits for a creation, in slices. *ret_late: its outcome has not come within the time. */
static int wait_ready(const struct as_call *c, asq_agent *agent, bool *ret_late)
{
    int64_t begun_ms = as_program_now_ms();
    *ret_late = false;
    for (;;) {
        int64_t left = as_program_left_ms(begun_ms, CALL_MS);
        int rc = asq_ready(agent, left < SLICE_MS ? left : SLICE_MS);
        /* The creation itself may have failed with ASQ_ETIMEOUT; its error then names a worker. */
        if (rc != ASQ_ETIMEOUT || *asq_last_error(c->h)->worker)
            return rc;
        *ret_late = left == 0 || atomic_load(&c->studio->stopping);
        if (*ret_late)
            return rc;
    }
}

void as_api_create(const struct as_call *c, struct as_answer *a)
{
    const char *class_name, *id;
    asq_value *args;
    asq_agent *agent;
    asq_create_options options = ASQ_CREATE_OPTIONS_INIT;
    if (!body_text(c, "class", true, &class_name, a) || !body_text(c, "id", false, &id, a) ||
        !body_args(c, &args, a))
        return;
    asq_value *classes = NULL;
    /* A class of which nothing is known is no reason to make no agent. */
    if (asq_classes(c->h, &classes) == 0)
        asq_value_get_string(asq_map_get(asq_map_get(classes, class_name), "pool"), &options.pool,
                             NULL);
    options.id = id;
    bool made = as_api_ok(c, asq_create_with(c->h, class_name, &options, args, &agent), a);
    asq_value_free(classes);
    if (!made)
        return;
    bool late;
    int rc = wait_ready(c, agent, &late);
    id = asq_agent_id(agent);
    if (late && is_taken(c, id, a))
        as_answer_value(a, 202, asq_pack("{s:s, s:n}", "id", id, "ready"));
    else if (!late && as_api_ok(c, rc, a))
        as_answer_value(a, 200, asq_pack("{s:s}", "id", id));
    asq_agent_free(agent);
}

void as_api_delete(const struct as_call *c, struct as_answer *a)
{
    asq_agent *agent;
    asq_result *r;
    if (!as_api_ok(c, asq_attach(c->h, c->id, &agent), a))
        return;
    if (as_api_ok(c, asq_delete_async(agent, &r), a)) {
        if (!wait_for(c, r, CALL_MS)) {
            if (is_taken(c, c->id, a))
                as_answer_code(a, ASQ_ETIMEOUT,
                               "the agent is not deleted yet: earlier calls to it have "
                               "not ended. The deletion goes on");
        } else if (asq_result_error(r)->code) {
            as_answer_error(a, asq_result_error(r));
        } else {
            as_answer_value(a, 200, asq_pack("{s:s}", "deleted", c->id));
        }
        asq_result_free(r);
    }
    asq_agent_free(agent);
}

void as_api_unschedule(const struct as_call *c, struct as_answer *a)
{
    const char *name;
    asq_agent *agent;
    if (!body_text(c, "name", true, &name, a) || !as_api_ok(c, asq_attach(c->h, c->id, &agent), a))
        return;
    asq_set_timeout(c->h, END_MS);
    int rc = asq_unschedule(agent, name);
    asq_set_timeout(c->h, c->studio->connection.timeout_ms);
    if (rc == ASQ_ETIMEOUT) {
        if (is_taken(c, name, a))
            as_answer_code(a, rc,
                           "the timer is not removed yet: earlier calls to its agent have not "
                           "ended. The removal goes on");
    } else if (as_api_ok(c, rc, a)) {
        as_answer_value(a, 200, asq_pack("{s:s}", "removed", name));
    }
    asq_agent_free(agent);
}

/* ---- calls, letters, workers ---------------------------------------------------------------- */

void as_api_cancel(const struct as_call *c, struct as_answer *a)
{
    asq_result *r;
    if (!as_api_ok(c, asq_result_attach(c->h, c->id, &r), a))
        return;
    asq_result_keep(r); /* its caller may want it, too */
    if (as_api_ok(c, asq_result_cancel(r), a)) {
        bool ended = wait_for(c, r, END_MS);
        int code = ended ? asq_result_error(r)->code : 0;
        if (code == ASQ_EEXPIRED)
            as_answer_error(a, asq_result_error(r));
        else if (ended || is_taken(c, c->id, a))
            as_answer_value(a, 200,
                            asq_pack("{s:s?}", "end",
                                     !ended                  ? (char *) NULL
                                     : code == 0             ? "succeeded"
                                     : code == ASQ_ECANCELED ? "canceled"
                                                             : "failed"));
    }
    asq_result_free(r);
}

void as_api_dead_retry(const struct as_call *c, struct as_answer *a)
{
    asq_value *ids;
    if (as_api_ok(c, asq_dead_retry(c->h, c->id, &ids), a))
        as_answer_value(a, 200, asq_pack("{s:o}", "call_ids", ids));
}

void as_api_dead_drop(const struct as_call *c, struct as_answer *a)
{
    if (as_api_ok(c, asq_dead_drop(c->h, c->id), a))
        as_answer_value(a, 200, asq_pack("{s:s}", "dropped", c->id));
}

/* Answers with what is paused now. */
static void answer_paused(const struct as_call *c, int rc, struct as_answer *a)
{
    if (as_api_ok(c, rc, a))
        as_api_paused(c, a);
}

void as_api_pause(const struct as_call *c, struct as_answer *a)
{
    const char *class_name;
    if (body_text(c, "class", false, &class_name, a))
        answer_paused(c, asq_pause(c->h, class_name), a);
}

void as_api_resume(const struct as_call *c, struct as_answer *a)
{
    const char *class_name;
    if (body_text(c, "class", false, &class_name, a))
        answer_paused(c, asq_resume(c->h, class_name), a);
}

void as_api_stop_worker(const struct as_call *c, struct as_answer *a)
{
    if (as_api_ok(c, asq_stop_worker(c->h, c->id), a))
        as_answer_value(a, 200, asq_pack("{s:s}", "stopping", c->id));
}
