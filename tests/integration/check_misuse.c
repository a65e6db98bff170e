/*
 * check_misuse.c: calls every function of asqueue.h with NULL in place of a handle or an object,
 * and with objects of another handle. A function of libasqueue.map without a line here fails the
 * first test.
 */
#include "modes.h"
#include "classes.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- NULL ------------------------------------------------------------------------------------ */

/* A call of a function with a NULL, and its name. */
struct nulls {
    const char *name;
    void (*call)(void);
};

#define REFUSED(expression) ck_assert_msg((expression) == ASQ_EINVAL, "%s", #expression)
#define NEUTRAL(expression) ck_assert_msg((expression), "%s", #expression)
#define DONE(statement)     statement
#define FN(name, ...)                                                                              \
    static void null_##name(void)                                                                  \
    {                                                                                              \
        __VA_ARGS__;                                                                               \
    }

static asq_agent *agent; /* agent of H, passed beside NULLs */
static asq_result *result;

static int vpack_null(const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    int rc = asq_vpack(NULL, NULL, 0, "i", ap);
    ck_assert_int_eq(asq_vpack(&(asq_value *){ NULL }, NULL, 0, fmt, ap), ASQ_EINVAL);
    va_end(ap);
    return rc;
}

static int vunpack_null(const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    int rc = asq_vunpack(NULL, NULL, 0, fmt, ap);
    va_end(ap);
    return rc;
}

static int ignore_results(void *user, size_t index, asq_result *r, size_t done, size_t n)
{
    (void) user, (void) index, (void) r, (void) done, (void) n;
    return 0;
}

#define RET(type) (&(type){ 0 })

FN(asq_agent_class, NEUTRAL(strcmp(asq_agent_class(NULL), "") == 0))
FN(asq_agent_free, DONE(asq_agent_free(NULL)))
FN(asq_agent_handle, NEUTRAL(asq_agent_handle(NULL) == NULL))
FN(asq_agent_id, NEUTRAL(strcmp(asq_agent_id(NULL), "") == 0))
FN(asq_agents, REFUSED(asq_agents(NULL, NULL, NULL)); REFUSED(asq_agents(H, NULL, NULL)))
FN(asq_agents_count, REFUSED(asq_agents_count(NULL, NULL, NULL, 0, RET(int64_t)));
   REFUSED(asq_agents_count(H, NULL, NULL, 0, NULL)))
FN(asq_agents_each, REFUSED(asq_agents_each(NULL, NULL, NULL, 0, NULL, NULL));
   REFUSED(asq_agents_each(H, NULL, NULL, 0, NULL, NULL)))
FN(asq_agents_page, REFUSED(asq_agents_page(NULL, NULL, NULL, NULL, 1, 0, NULL, NULL));
   REFUSED(asq_agents_page(H, NULL, NULL, NULL, 1, 0, NULL, NULL));
   REFUSED(asq_agents_page(H, NULL, NULL, NULL, 0, 0, RET(asq_value *),
                           (char[ASQ_CURSOR_SIZE]){ 0 })))
FN(asq_args, REFUSED(asq_args(NULL, NULL, NULL)); REFUSED(asq_args(NULL, NULL, "[i]", RET(int))))
FN(asq_attach, REFUSED(asq_attach(NULL, "a", RET(asq_agent *)));
   REFUSED(asq_attach(H, NULL, RET(asq_agent *))); REFUSED(asq_attach(H, "a", NULL)))
FN(asq_attach_ev, REFUSED(asq_attach_ev(NULL, NULL)); REFUSED(asq_attach_ev(H, NULL)))
FN(asq_attach_value, REFUSED(asq_attach_value(NULL, NULL, NULL));
   NEUTRAL(asq_attach_value(H, NULL, RET(asq_agent *)) == ASQ_ETYPE);
   REFUSED(asq_attach_value(H, NULL, NULL)))
FN(asq_broadcast, REFUSED(asq_broadcast(NULL, 1, "add", NULL, NULL));
   REFUSED(asq_broadcast(&(asq_agent *){ NULL }, 1, "add", asq_value_list(), NULL));
   REFUSED(asq_broadcast((asq_agent *[]){ agent, NULL }, 2, "add", NULL, NULL));
   REFUSED(asq_broadcast(&agent, 1, NULL, NULL, NULL)))
FN(asq_call, REFUSED(asq_call(NULL, "add", NULL, NULL)); REFUSED(asq_call(agent, NULL, NULL, NULL));
   REFUSED(asq_call(agent, "add", NULL, "[r]", NULL)))
FN(asq_call_each, REFUSED(asq_call_each(NULL, 1, "add", NULL, NULL, NULL));
   REFUSED(asq_call_each(&(asq_agent *){ NULL }, 1, "add", NULL, NULL, NULL));
   REFUSED(asq_call_each(&agent, 1, "add", NULL, NULL, NULL)))
FN(asq_call_wait, REFUSED(asq_call_wait(NULL, "add", NULL, NULL));
   REFUSED(asq_call_wait(NULL, "add", RET(asq_value *), "[i]", 1));
   REFUSED(asq_call_wait(agent, NULL, NULL, NULL)))
FN(asq_calls_count, REFUSED(asq_calls_count(NULL, 0, NULL, NULL, 0, RET(int64_t)));
   REFUSED(asq_calls_count(H, 0, NULL, NULL, 0, NULL)))
FN(asq_calls_each, REFUSED(asq_calls_each(NULL, 0, NULL, NULL, 0, NULL, NULL));
   REFUSED(asq_calls_each(H, 0, NULL, NULL, 0, NULL, NULL)))
FN(asq_callv, REFUSED(asq_callv(NULL, "add", NULL, asq_value_list(), RET(asq_result *)));
   REFUSED(asq_callv(agent, NULL, NULL, asq_value_list(), NULL)))
FN(asq_classes, REFUSED(asq_classes(NULL, NULL)); REFUSED(asq_classes(H, NULL)))
FN(asq_clone, REFUSED(asq_clone(NULL, NULL, NULL)); REFUSED(asq_clone(agent, NULL, NULL)))
FN(asq_close, DONE(asq_close(NULL)))
FN(asq_cork, DONE(asq_cork(NULL)))
FN(asq_create, REFUSED(asq_create(NULL, "Echo", NULL, RET(asq_agent *), NULL));
   REFUSED(asq_create(H, NULL, NULL, RET(asq_agent *), NULL));
   REFUSED(asq_create(H, "Echo", NULL, NULL, NULL)))
FN(asq_create_many, REFUSED(asq_create_many(NULL, "Echo", 1, NULL, asq_value_list(), NULL));
   REFUSED(asq_create_many(H, "Echo", 1, NULL, NULL, NULL)))
FN(asq_create_with,
   REFUSED(asq_create_with(NULL, "Echo", NULL, asq_value_list(), RET(asq_agent *)));
   REFUSED(asq_create_with(H, "Echo", NULL, asq_value_list(), NULL));
   REFUSED(asq_create_with(H, NULL, NULL, NULL, RET(asq_agent *))))
FN(asq_createv, REFUSED(asq_createv(NULL, "Echo", NULL, asq_value_list(), RET(asq_agent *)));
   REFUSED(asq_createv(H, "Echo", NULL, NULL, NULL)))
FN(asq_ctx_agent_id, NEUTRAL(strcmp(asq_ctx_agent_id(NULL), "") == 0))
FN(asq_ctx_attempt, NEUTRAL(asq_ctx_attempt(NULL) == 0))
FN(asq_ctx_call_id, NEUTRAL(strcmp(asq_ctx_call_id(NULL), "") == 0))
FN(asq_ctx_canceled, NEUTRAL(!asq_ctx_canceled(NULL)))
FN(asq_ctx_class, NEUTRAL(strcmp(asq_ctx_class(NULL), "") == 0))
FN(asq_ctx_epoch, NEUTRAL(asq_ctx_epoch(NULL) == 0))
FN(asq_ctx_handle, NEUTRAL(asq_ctx_handle(NULL) == NULL))
FN(asq_ctx_keep_state, DONE(asq_ctx_keep_state(NULL)))
FN(asq_ctx_log, DONE(asq_ctx_log(NULL, ASQ_LOG_ERROR, "nothing")))
FN(asq_ctx_method, NEUTRAL(strcmp(asq_ctx_method(NULL), "") == 0))
FN(asq_ctx_model, REFUSED(asq_ctx_model(NULL, NULL, NULL)))
FN(asq_ctx_next_signal, REFUSED(asq_ctx_next_signal(NULL, "s", NULL, 0)))
FN(asq_ctx_now, REFUSED(asq_ctx_now(NULL, NULL)))
FN(asq_ctx_random, REFUSED(asq_ctx_random(NULL, NULL, 0)))
FN(asq_ctx_publish, REFUSED(asq_ctx_publish(NULL)))
FN(asq_ctx_remaining_ms, NEUTRAL(asq_ctx_remaining_ms(NULL) == 0))
FN(asq_ctx_self, REFUSED(asq_ctx_self(NULL, NULL)))
FN(asq_ctx_set_state, REFUSED(asq_ctx_set_state(NULL, asq_value_map())))
FN(asq_ctx_sleep, REFUSED(asq_ctx_sleep(NULL, 0)))
FN(asq_ctx_state, NEUTRAL(asq_ctx_state(NULL) == NULL))
FN(asq_ctx_trace, REFUSED(asq_ctx_trace(NULL, RET(asq_trace))))
FN(asq_ctx_user, NEUTRAL(asq_ctx_user(NULL) == NULL))
FN(asq_ctx_wait, REFUSED(asq_ctx_wait(NULL, NULL, 0)); REFUSED(asq_ctx_wait(NULL, result, 0)))
FN(asq_ctx_worker, NEUTRAL(strcmp(asq_ctx_worker(NULL), "") == 0))
FN(asq_dead_drop, REFUSED(asq_dead_drop(NULL, NULL)); REFUSED(asq_dead_drop(H, NULL)))
FN(asq_dead_list, REFUSED(asq_dead_list(NULL, 0, NULL)); REFUSED(asq_dead_list(H, 0, NULL)))
FN(asq_dead_retry, REFUSED(asq_dead_retry(NULL, NULL, NULL));
   REFUSED(asq_dead_retry(H, NULL, NULL)))
FN(asq_dead_show, REFUSED(asq_dead_show(NULL, NULL, NULL)); REFUSED(asq_dead_show(H, NULL, NULL)))
FN(asq_delete, REFUSED(asq_delete(NULL, 0)))
FN(asq_delete_async, REFUSED(asq_delete_async(NULL, RET(asq_result *)));
   REFUSED(asq_delete_async(agent, NULL)))
FN(asq_delete_many, REFUSED(asq_delete_many(NULL, 1, RET(const char *), NULL));
   REFUSED(asq_delete_many(H, 1, NULL, NULL));
   REFUSED(asq_delete_many(H, 1, RET(const char *), NULL)))
FN(asq_detach_ev, REFUSED(asq_detach_ev(NULL)))
FN(asq_emit, REFUSED(asq_emit(NULL, asq_value_int(1))); REFUSED(asq_emit(NULL, NULL)))
FN(asq_errmsg, NEUTRAL(*asq_errmsg(NULL)))
FN(asq_error_name, NEUTRAL(asq_error_name(12345) == NULL))
FN(asq_error_number, NEUTRAL(asq_error_number(NULL) == 0))
FN(asq_fail, NEUTRAL(asq_fail(NULL, ASQ_EUSER(1), "why") == ASQ_EUSER(1)))
FN(asq_failures, REFUSED(asq_failures(NULL, NULL, NULL)); REFUSED(asq_failures(H, NULL, NULL)))
FN(asq_promise_new, REFUSED(asq_promise_new(NULL, NULL));
   REFUSED(asq_promise_new(NULL, RET(asq_result *))))
FN(asq_promise_reject, REFUSED(asq_promise_reject(NULL, "p", 0, NULL));
   REFUSED(asq_promise_reject(H, NULL, 0, NULL)); REFUSED(asq_promise_reject(H, "p", 0, NULL)))
FN(asq_promise_resolve, REFUSED(asq_promise_resolve(NULL, "p", asq_value_int(1)));
   REFUSED(asq_promise_resolve(H, NULL, asq_value_int(1)));
   REFUSED(asq_promise_resolve(H, "p", NULL));
   REFUSED(asq_promise_resolve(H, "p", asq_value_int(1))))
FN(asq_emitted_last, REFUSED(asq_emitted_last(NULL, "c", NULL));
   REFUSED(asq_emitted_last(H, NULL, RET(asq_value *))); REFUSED(asq_emitted_last(H, "c", NULL)))
FN(asq_migrate, REFUSED(asq_migrate(NULL, NULL, NULL, NULL, NULL, 0)))
FN(asq_promise_show, REFUSED(asq_promise_show(NULL, "p", NULL));
   REFUSED(asq_promise_show(H, NULL, RET(asq_value *)));
   REFUSED(asq_promise_show(H, "p", RET(asq_value *))))
FN(asq_stats, REFUSED(asq_stats(NULL, NULL, NULL)); REFUSED(asq_stats(H, NULL, NULL)))
FN(asq_flush, REFUSED(asq_flush(NULL, 0)))
FN(asq_from_json, REFUSED(asq_from_json(NULL, 1, RET(asq_value *), NULL, 0));
   REFUSED(asq_from_json("1", 1, NULL, NULL, 0)))
FN(asq_gather, REFUSED(asq_gather(NULL, 1, 0, ignore_results, NULL));
   REFUSED(asq_gather(&(asq_result *){ NULL }, 1, 0, NULL, NULL));
   REFUSED(asq_gather((asq_result *[]){ result, NULL }, 2, 0, NULL, NULL)))
FN(asq_get, REFUSED(asq_get(NULL, "value", NULL)); REFUSED(asq_get(agent, NULL, RET(asq_value *)));
   REFUSED(asq_get(agent, "value", NULL)))
FN(asq_get_async, REFUSED(asq_get_async(NULL, "value", NULL));
   REFUSED(asq_get_async(agent, "value", NULL)))
FN(asq_get_or_create, REFUSED(asq_get_or_create(NULL, "Echo", "a", asq_value_list(), NULL));
   REFUSED(asq_get_or_create(H, "Echo", "a", NULL, NULL)))
FN(asq_group_add, REFUSED(asq_group_add(NULL, result)))
FN(asq_group_free, DONE(asq_group_free(NULL)))
FN(asq_group_new, REFUSED(asq_group_new(NULL, NULL)); REFUSED(asq_group_new(H, NULL)))
FN(asq_group_next, REFUSED(asq_group_next(NULL, 0, RET(asq_result *))))
FN(asq_group_pending, NEUTRAL(asq_group_pending(NULL) == 0))
FN(asq_last_error, NEUTRAL(asq_last_error(NULL)->code == ASQ_EINVAL))
FN(asq_list_append, REFUSED(asq_list_append(NULL, asq_value_int(1))))
FN(asq_list_at, NEUTRAL(asq_list_at(NULL, 0) == NULL))
FN(asq_list_get, NEUTRAL(asq_list_get(NULL, 0) == NULL))
FN(asq_list_remove, REFUSED(asq_list_remove(NULL, 0)))
FN(asq_list_set, REFUSED(asq_list_set(NULL, 0, asq_value_int(1))))
FN(asq_list_size, NEUTRAL(asq_list_size(NULL) == 0))
FN(asq_map_at, NEUTRAL(asq_map_at(NULL, 0, NULL) == NULL))
FN(asq_map_bool, NEUTRAL(!asq_map_bool(NULL, NULL)))
FN(asq_map_find, NEUTRAL(asq_map_find(NULL, NULL) == NULL))
FN(asq_map_get, NEUTRAL(asq_map_get(NULL, NULL) == NULL))
FN(asq_map_int, NEUTRAL(asq_map_int(NULL, NULL) == 0))
FN(asq_map_remove, REFUSED(asq_map_remove(NULL, NULL)))
FN(asq_map_set, REFUSED(asq_map_set(NULL, "k", asq_value_int(1))))
FN(asq_map_set_int, REFUSED(asq_map_set_int(NULL, "k", 1)))
FN(asq_map_size, NEUTRAL(asq_map_size(NULL) == 0))
FN(asq_map_string, NEUTRAL(!*asq_map_string(NULL, NULL)))
FN(asq_namespace, NEUTRAL(strcmp(asq_namespace(NULL), "") == 0))
FN(asq_open, REFUSED(asq_open("local:", NULL, NULL, NULL, 0)))
FN(asq_pack, NEUTRAL(asq_pack(NULL) == NULL); NEUTRAL(asq_pack("[R]", NULL) == NULL);
   NEUTRAL(asq_pack("[a, s, O]", NULL, NULL, NULL) == NULL))
FN(asq_ping, REFUSED(asq_ping(NULL, NULL)))
FN(asq_plugin_register, REFUSED(asq_plugin_register(NULL, NULL)))
FN(asq_poll, REFUSED(asq_poll(NULL, 0)))
FN(asq_ready, REFUSED(asq_ready(NULL, 0)))
FN(asq_register, REFUSED(asq_register(NULL, NULL)); REFUSED(asq_register(H, NULL)))
FN(asq_result_attach, REFUSED(asq_result_attach(NULL, NULL, NULL));
   REFUSED(asq_result_attach(H, NULL, RET(asq_result *))))
FN(asq_result_bool, REFUSED(asq_result_bool(NULL, RET(bool)));
   REFUSED(asq_result_bool(result, NULL)))
FN(asq_result_cancel, REFUSED(asq_result_cancel(NULL)))
FN(asq_result_done, NEUTRAL(!asq_result_done(NULL)))
FN(asq_result_double, REFUSED(asq_result_double(NULL, NULL));
   REFUSED(asq_result_double(result, NULL)))
FN(asq_result_error, NEUTRAL(asq_result_error(NULL)->code == ASQ_EINVAL))
FN(asq_result_field, REFUSED(asq_result_field(NULL, NULL, NULL));
   REFUSED(asq_result_field(result, NULL, NULL)))
FN(asq_result_free, DONE(asq_result_free(NULL)))
FN(asq_result_id, NEUTRAL(strcmp(asq_result_id(NULL), "") == 0))
FN(asq_result_int, REFUSED(asq_result_int(NULL, NULL)); REFUSED(asq_result_int(result, NULL)))
FN(asq_result_keep, REFUSED(asq_result_keep(NULL)))
FN(asq_result_next, REFUSED(asq_result_next(NULL, NULL, 0));
   REFUSED(asq_result_next(result, NULL, 0)))
FN(asq_result_on_emit, REFUSED(asq_result_on_emit(NULL, NULL, NULL));
   REFUSED(asq_result_on_emit(result, NULL, NULL)))
FN(asq_result_string, REFUSED(asq_result_string(NULL, NULL)))
FN(asq_result_take, REFUSED(asq_result_take(NULL, NULL)); REFUSED(asq_result_take(result, NULL)))
FN(asq_result_then, REFUSED(asq_result_then(NULL, NULL, NULL));
   REFUSED(asq_result_then(result, NULL, NULL)))
FN(asq_result_unpack, REFUSED(asq_result_unpack(NULL, "i", NULL));
   REFUSED(asq_result_unpack(result, NULL)))
FN(asq_result_value, REFUSED(asq_result_value(NULL, NULL)); REFUSED(asq_result_value(result, NULL)))
FN(asq_result_wait, REFUSED(asq_result_wait(NULL, 0)))
FN(asq_schedule, REFUSED(asq_schedule(NULL, "t", RET(asq_timer), "add", NULL));
   REFUSED(asq_schedule(agent, NULL, RET(asq_timer), "add", NULL));
   REFUSED(asq_schedule(agent, "t", NULL, "add", NULL));
   REFUSED(asq_schedule(agent, "t", RET(asq_timer), NULL, NULL)))
FN(asq_schedules, REFUSED(asq_schedules(NULL, NULL, NULL)); REFUSED(asq_schedules(H, NULL, NULL)))
FN(asq_schedules_page, REFUSED(asq_schedules_page(NULL, NULL, NULL, NULL));
   REFUSED(asq_schedules_page(H, NULL, NULL, (char[ASQ_CURSOR_SIZE]){ 0 }));
   REFUSED(asq_schedules_page(H, NULL, RET(asq_value *), NULL)))
FN(asq_schedulev, REFUSED(asq_schedulev(NULL, "t", RET(asq_timer), "add", asq_value_list()));
   REFUSED(asq_schedulev(agent, NULL, RET(asq_timer), "add", NULL));
   REFUSED(asq_schedulev(agent, "t", NULL, "add", asq_value_list()));
   REFUSED(asq_schedulev(agent, "t", RET(asq_timer), NULL, NULL)))
FN(asq_send, REFUSED(asq_send(NULL, "add", NULL)); REFUSED(asq_send(agent, NULL, NULL)))
FN(asq_set, REFUSED(asq_set(NULL, "value", asq_value_int(1)));
   REFUSED(asq_set(agent, "value", NULL)))
FN(asq_set_async, REFUSED(asq_set_async(NULL, "value", asq_value_int(1), NULL));
   REFUSED(asq_set_async(agent, "value", asq_value_int(1), NULL)))
FN(asq_set_busy_wait, REFUSED(asq_set_busy_wait(NULL, 0)))
FN(asq_set_deadline, REFUSED(asq_set_deadline(NULL, 0)))
FN(asq_set_timeout, DONE(asq_set_timeout(NULL, 0)))
FN(asq_set_trace, REFUSED(asq_set_trace(NULL, NULL)))
FN(asq_show, REFUSED(asq_show(NULL, NULL, NULL)); REFUSED(asq_show(H, NULL, NULL)))
FN(asq_sleep, REFUSED(asq_sleep(NULL, 0)))
FN(asq_signal, REFUSED(asq_signal(NULL, "s", asq_value_null()));
   REFUSED(asq_signal(agent, NULL, asq_value_null())))
FN(asq_signals, REFUSED(asq_signals(NULL, "a", NULL));
   REFUSED(asq_signals(H, NULL, RET(asq_value *))); REFUSED(asq_signals(H, "a", NULL)))
FN(asq_step, REFUSED(asq_step(NULL, NULL, NULL, NULL, NULL)))
FN(asq_step_with, REFUSED(asq_step_with(NULL, NULL, NULL, NULL, NULL, NULL)))
FN(asq_drain_worker, REFUSED(asq_drain_worker(NULL, NULL, NULL));
   REFUSED(asq_drain_worker(H, NULL, "gpu")); REFUSED(asq_drain_worker(H, "w", NULL)))
FN(asq_stop_worker, REFUSED(asq_stop_worker(NULL, NULL)); REFUSED(asq_stop_worker(H, NULL)))
FN(asq_strerror, NEUTRAL(asq_strerror(12345) != NULL))
FN(asq_to_dist, REFUSED(asq_to_dist(NULL, NULL, NULL)); REFUSED(asq_to_dist(agent, NULL, NULL));
   REFUSED(asq_to_dist(agent, H, NULL)))
FN(asq_to_json, REFUSED(asq_to_json(NULL, 0, NULL)))
FN(asq_type_name, NEUTRAL(asq_type_name((asq_type) 99) != NULL))
FN(asq_uncork, REFUSED(asq_uncork(NULL)))
FN(asq_unschedule, REFUSED(asq_unschedule(NULL, "t")); REFUSED(asq_unschedule(agent, NULL)))
FN(asq_unpack, REFUSED(asq_unpack(NULL, NULL)); NEUTRAL(asq_unpack(NULL, "i", NULL) == ASQ_ETYPE))
FN(asq_url, NEUTRAL(strcmp(asq_url(NULL), "") == 0))
FN(asq_value_agent, NEUTRAL(asq_value_agent(NULL) == NULL))
FN(asq_value_bool, asq_value_free(asq_value_bool(true)))
FN(asq_value_bytes, NEUTRAL(asq_value_bytes(NULL, 1) == NULL))
FN(asq_value_compare, NEUTRAL(asq_value_compare(NULL, NULL) == 0))
FN(asq_value_copy, NEUTRAL(asq_value_copy(NULL) == NULL))
FN(asq_value_double, asq_value_free(asq_value_double(1)))
FN(asq_value_encoded_size, NEUTRAL(asq_value_encoded_size(NULL) > 0))
FN(asq_value_equal, NEUTRAL(asq_value_equal(NULL, NULL)))
FN(asq_value_free, DONE(asq_value_free(NULL)))
FN(asq_value_future, NEUTRAL(asq_value_future(NULL) == NULL))
FN(asq_value_future_unawaited, NEUTRAL(asq_value_future_unawaited(NULL) == NULL))
FN(asq_value_get_agent, NEUTRAL(asq_value_get_agent(NULL, NULL, NULL) == ASQ_ETYPE))
FN(asq_value_get_bool, NEUTRAL(asq_value_get_bool(NULL, NULL) == ASQ_ETYPE);
   asq_value *v = asq_value_bool(true); REFUSED(asq_value_get_bool(v, NULL)); asq_value_free(v))
FN(asq_value_get_bytes, NEUTRAL(asq_value_get_bytes(NULL, NULL, NULL) == ASQ_ETYPE))
FN(asq_value_get_double, asq_value *v = asq_value_double(1); REFUSED(asq_value_get_double(v, NULL));
   asq_value_free(v))
FN(asq_value_get_future, NEUTRAL(asq_value_get_future(NULL, NULL) == ASQ_ETYPE))
FN(asq_value_get_int, asq_value *v = asq_value_int(1); REFUSED(asq_value_get_int(v, NULL));
   asq_value_free(v))
FN(asq_value_get_string, asq_value *v = asq_value_string("x");
   REFUSED(asq_value_get_string(v, NULL, NULL)); asq_value_free(v))
FN(asq_value_int, asq_value_free(asq_value_int(1)))
FN(asq_value_list, asq_value_free(asq_value_list()))
FN(asq_value_map, asq_value_free(asq_value_map()))
FN(asq_value_null, asq_value_free(asq_value_null()))
FN(asq_value_string, NEUTRAL(asq_value_string(NULL) == NULL))
FN(asq_value_stringn, NEUTRAL(asq_value_stringn(NULL, 1) == NULL))
FN(asq_value_type, NEUTRAL(asq_value_type(NULL) == ASQ_NULL))
FN(asq_version, NEUTRAL(strcmp(asq_version(), ASQ_VERSION) == 0))
FN(asq_vpack, REFUSED(vpack_null(NULL)))
FN(asq_vunpack, REFUSED(vunpack_null(NULL)))
FN(asq_wait_all, REFUSED(asq_wait_all(NULL, 1, 0));
   REFUSED(asq_wait_all(&(asq_result *){ NULL }, 1, 0)))
FN(asq_wait_any, REFUSED(asq_wait_any(NULL, 1, 0, RET(size_t)));
   REFUSED(asq_wait_any(&result, 1, 0, NULL)))
FN(asq_worker_errmsg, NEUTRAL(*asq_worker_errmsg(NULL)))
FN(asq_worker_free, DONE(asq_worker_free(NULL)))
FN(asq_worker_metrics, REFUSED(asq_worker_metrics(NULL, true, NULL)))
FN(asq_worker_new, REFUSED(asq_worker_new(NULL, NULL, NULL, 0)))
FN(asq_worker_ready, REFUSED(asq_worker_ready(NULL, NULL, 0)))
FN(asq_worker_register, REFUSED(asq_worker_register(NULL, NULL)))
FN(asq_worker_run, REFUSED(asq_worker_run(NULL)))
FN(asq_worker_stop, DONE(asq_worker_stop(NULL)))
FN(asq_workers_dead, REFUSED(asq_workers_dead(NULL, NULL)); REFUSED(asq_workers_dead(H, NULL)))
FN(asq_workers_live, REFUSED(asq_workers_live(NULL, NULL)); REFUSED(asq_workers_live(H, NULL)))
FN(asq_pause, REFUSED(asq_pause(NULL, NULL)))
FN(asq_paused, REFUSED(asq_paused(NULL, NULL)); REFUSED(asq_paused(H, NULL)))
FN(asq_resume, REFUSED(asq_resume(NULL, NULL)))
FN(asq_pools, REFUSED(asq_pools(NULL, NULL)); REFUSED(asq_pools(H, NULL)))
FN(asq_partitions, REFUSED(asq_partitions(NULL, NULL)); REFUSED(asq_partitions(H, NULL)))
FN(asq_workers, REFUSED(asq_workers(NULL, NULL)); REFUSED(asq_workers(H, NULL)))

#define N(name)                                                                                    \
    {                                                                                              \
#name, null_##name                                                                         \
    }
static const struct nulls all[] = {
    N(asq_agent_class),
    N(asq_agent_free),
    N(asq_agent_handle),
    N(asq_agent_id),
    N(asq_agents),
    N(asq_agents_count),
    N(asq_agents_each),
    N(asq_agents_page),
    N(asq_args),
    N(asq_attach),
    N(asq_attach_ev),
    N(asq_attach_value),
    N(asq_broadcast),
    N(asq_call),
    N(asq_call_each),
    N(asq_call_wait),
    N(asq_calls_count),
    N(asq_calls_each),
    N(asq_callv),
    N(asq_classes),
    N(asq_clone),
    N(asq_close),
    N(asq_cork),
    N(asq_create),
    N(asq_create_many),
    N(asq_create_with),
    N(asq_createv),
    N(asq_ctx_agent_id),
    N(asq_ctx_attempt),
    N(asq_ctx_call_id),
    N(asq_ctx_canceled),
    N(asq_ctx_class),
    N(asq_ctx_epoch),
    N(asq_ctx_handle),
    N(asq_ctx_keep_state),
    N(asq_ctx_log),
    N(asq_ctx_method),
    N(asq_ctx_model),
    N(asq_ctx_next_signal),
    N(asq_ctx_now),
    N(asq_ctx_random),
    N(asq_ctx_publish),
    N(asq_ctx_remaining_ms),
    N(asq_ctx_self),
    N(asq_ctx_set_state),
    N(asq_ctx_sleep),
    N(asq_ctx_state),
    N(asq_ctx_trace),
    N(asq_ctx_user),
    N(asq_ctx_wait),
    N(asq_ctx_worker),
    N(asq_dead_drop),
    N(asq_dead_list),
    N(asq_dead_retry),
    N(asq_dead_show),
    N(asq_delete),
    N(asq_delete_async),
    N(asq_delete_many),
    N(asq_detach_ev),
    N(asq_emit),
    N(asq_errmsg),
    N(asq_error_name),
    N(asq_error_number),
    N(asq_fail),
    N(asq_failures),
    N(asq_promise_new),
    N(asq_promise_reject),
    N(asq_promise_resolve),
    N(asq_emitted_last),
    N(asq_migrate),
    N(asq_promise_show),
    N(asq_stats),
    N(asq_flush),
    N(asq_from_json),
    N(asq_gather),
    N(asq_get),
    N(asq_get_async),
    N(asq_get_or_create),
    N(asq_group_add),
    N(asq_group_free),
    N(asq_group_new),
    N(asq_group_next),
    N(asq_group_pending),
    N(asq_last_error),
    N(asq_list_append),
    N(asq_list_at),
    N(asq_list_get),
    N(asq_list_remove),
    N(asq_list_set),
    N(asq_list_size),
    N(asq_map_at),
    N(asq_map_bool),
    N(asq_map_find),
    N(asq_map_get),
    N(asq_map_int),
    N(asq_map_remove),
    N(asq_map_set),
    N(asq_map_set_int),
    N(asq_map_size),
    N(asq_map_string),
    N(asq_namespace),
    N(asq_open),
    N(asq_pack),
    N(asq_ping),
    N(asq_plugin_register),
    N(asq_poll),
    N(asq_ready),
    N(asq_register),
    N(asq_result_attach),
    N(asq_result_bool),
    N(asq_result_cancel),
    N(asq_result_done),
    N(asq_result_double),
    N(asq_result_error),
    N(asq_result_field),
    N(asq_result_free),
    N(asq_result_id),
    N(asq_result_int),
    N(asq_result_keep),
    N(asq_result_next),
    N(asq_result_on_emit),
    N(asq_result_string),
    N(asq_result_take),
    N(asq_result_then),
    N(asq_result_unpack),
    N(asq_result_value),
    N(asq_result_wait),
    N(asq_schedule),
    N(asq_schedules),
    N(asq_schedules_page),
    N(asq_schedulev),
    N(asq_send),
    N(asq_set),
    N(asq_set_async),
    N(asq_set_busy_wait),
    N(asq_set_deadline),
    N(asq_set_timeout),
    N(asq_set_trace),
    N(asq_show),
    N(asq_signal),
    N(asq_signals),
    N(asq_sleep),
    N(asq_step),
    N(asq_step_with),
    N(asq_drain_worker),
    N(asq_stop_worker),
    N(asq_strerror),
    N(asq_to_dist),
    N(asq_to_json),
    N(asq_type_name),
    N(asq_uncork),
    N(asq_unpack),
    N(asq_unschedule),
    N(asq_url),
    N(asq_value_agent),
    N(asq_value_bool),
    N(asq_value_bytes),
    N(asq_value_compare),
    N(asq_value_copy),
    N(asq_value_double),
    N(asq_value_encoded_size),
    N(asq_value_equal),
    N(asq_value_free),
    N(asq_value_future),
    N(asq_value_future_unawaited),
    N(asq_value_get_agent),
    N(asq_value_get_bool),
    N(asq_value_get_bytes),
    N(asq_value_get_double),
    N(asq_value_get_future),
    N(asq_value_get_int),
    N(asq_value_get_string),
    N(asq_value_int),
    N(asq_value_list),
    N(asq_value_map),
    N(asq_value_null),
    N(asq_value_string),
    N(asq_value_stringn),
    N(asq_value_type),
    N(asq_version),
    N(asq_vpack),
    N(asq_vunpack),
    N(asq_wait_all),
    N(asq_wait_any),
    N(asq_worker_errmsg),
    N(asq_worker_free),
    N(asq_worker_metrics),
    N(asq_worker_new),
    N(asq_worker_ready),
    N(asq_worker_register),
    N(asq_worker_run),
    N(asq_worker_stop),
    N(asq_pools),
    N(asq_partitions),
    N(asq_pause),
    N(asq_paused),
    N(asq_resume),
    N(asq_workers),
    N(asq_workers_dead),
    N(asq_workers_live),
};

START_TEST(every_function_takes_null)
{
    agent = agent_new("Echo", NULL);
    ok(asq_call(agent, "nothing", &result, NULL));
    ok(asq_result_wait(result, ASQ_FOREVER));
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        all[i].call();
    /* Later calls work as before. */
    ck_assert_int_eq(call_int(agent, "sum", "[i, i]", 1, 2), 3);
    asq_result_free(result);
    asq_agent_free(agent);
}
END_TEST

START_TEST(no_function_of_the_map_is_forgotten)
{
    char line[200], path[500];
    const char *srcdir = getenv("srcdir");
    size_t found = 0;

    snprintf(path, sizeof path, "%s/lib/libasqueue.map", srcdir ? srcdir : "..");
    FILE *f = fopen(path, "re");
    ck_assert_msg(f != NULL, "%s", path);
    while (fgets(line, sizeof line, f)) {
        char name[200];
        bool known = false;
        if (sscanf(line, " asq_%190[a-z0-9_];", name) != 1)
            continue;
        for (size_t i = 0; i < sizeof all / sizeof *all && !known; i++)
            known = strcmp(all[i].name + strlen("asq_"), name) == 0;
        ck_assert_msg(known, "asq_%s is not called with NULL here", name);
        found++;
    }
    fclose(f);
    ck_assert_uint_eq(found, sizeof all / sizeof *all);
}
END_TEST

/* ---- objects of another handle --------------------------------------------------------------- */

START_TEST(objects_of_another_handle_are_refused)
{
    asq *other = modes_open();
    asq_agent *mine = agent_new("Echo", NULL), *theirs = NULL, *pair[2];
    asq_result *my_result, *their_result, *results[2], *r = NULL;
    asq_value *inputs = asq_pack("[[], []]"), *nested;
    asq_group *group;
    size_t index;

    ok(asq_create(other, "Echo", NULL, &theirs, NULL));
    ok(asq_call(mine, "nothing", &my_result, NULL));
    ok(asq_call(theirs, "nothing", &their_result, NULL));
    pair[0] = mine, pair[1] = theirs;
    results[0] = my_result, results[1] = their_result;
#define REFUSED_SAYING(expression)                                                                 \
    do {                                                                                           \
        ck_assert_code(expression, ASQ_EINVAL);                                                    \
        ck_assert_contains(asq_errmsg(H), "handle");                                               \
        asq_sleep(H, 0);                                                                           \
    } while (0)
    REFUSED_SAYING(asq_broadcast(pair, 2, "nothing", NULL, NULL));
    REFUSED_SAYING(asq_call_each(pair, 2, "nothing", inputs, NULL, NULL));
    REFUSED_SAYING(asq_wait_all(results, 2, 0));
    REFUSED_SAYING(asq_wait_any(results, 2, 0, &index));
    REFUSED_SAYING(asq_gather(results, 2, 0, NULL, NULL));
    ok(asq_group_new(H, &group));
    REFUSED_SAYING(asq_group_add(group, their_result));
    asq_group_free(group);
    /* Futures of another handle, finished or not, at any depth, in each kind of call. */
    for (int i = 0; i < 2; i++) {
        REFUSED_SAYING(asq_call(mine, "all", &r, "[r]", their_result));
        REFUSED_SAYING(asq_call(mine, "all", &r, "[[{s:r}]]", "deep", their_result));
        REFUSED_SAYING(asq_call(mine, "all", &r, "[R]", their_result));
        REFUSED_SAYING(asq_send(mine, "all", "[r]", their_result));
        REFUSED_SAYING(asq_create(H, "Counter", NULL, &pair[1], "{s:r}", "start", their_result));
        nested = asq_pack("[r]", their_result);
        REFUSED_SAYING(asq_set(mine, "value", nested));
        ck_assert_ptr_null(r);
        asq_result_wait(their_result, ASQ_FOREVER);
    }
    asq_value_free(inputs);
    asq_result_free(my_result);
    asq_result_free(their_result);
    asq_agent_free(mine);
    asq_agent_free(theirs);
    asq_close(other);
}
END_TEST

/* ---- unknown arguments ----------------------------------------------------------------------- */

START_TEST(surplus_arguments_are_refused_and_named)
{
    asq_agent *c = counter(1), *e = agent_new("Echo", NULL);

    ck_assert_code(call_code(c, "add", "[i, i, s]", 1, 2, "three"), ASQ_EARGS);
    ck_assert_contains(asq_errmsg(H), "surplus");
    ck_assert_code(call_code(c, "add", "{s:i, s:i}", "n", 1, "typo", 2), ASQ_EARGS);
    ck_assert_contains(asq_errmsg(H), "typo");
    ck_assert_int_eq(call_int(c, "read", NULL), 1);
    /* Creation arguments are named, without params. */
    ck_assert_code(create_code("Journal", NULL, asq_pack("{s:i, s:i}", "limit", 5, "limt", 2)),
                   ASQ_EARGS);
    ck_assert_contains(asq_errmsg(H), "unknown argument \"limt\"");
    ck_assert_contains(asq_errmsg(H), "known arguments: limit");
    asq_agent_free(e);
    asq_agent_free(c);
}
END_TEST

/* ---- unknown classes ------------------------------------------------------------------------- */

START_TEST(an_unknown_class_is_told_alike_in_each_mode)
{
    asq_agent *a = NULL;
    asq_result *r;
    char err[300];
    asq *bare;

    ok(asq_create(H, "Ecco", NULL, &a, NULL));
    ok(asq_call(a, "nothing", &r, NULL));
    ck_assert_code(asq_result_wait(r, ASQ_FOREVER), ASQ_ENOAGENT);
    ck_assert_contains(asq_errmsg(H), "there is no class 'Ecco'; did you mean 'Echo'?");
    ck_assert_code(asq_ready(a, ASQ_FOREVER), ASQ_ENOCLASS);
    ck_assert_contains(asq_errmsg(H), "there is no class 'Ecco'; did you mean 'Echo'?");
    asq_result_free(r);
    asq_agent_free(a);
    if (mode == MODE_INDEPENDENT)
        return;
    /* A handle without any class, in modes where only this program could have them. */
    ck_assert_int_eq(
        asq_open(mode == MODE_LOCAL ? "local:" : "child:", NULL, &bare, err, sizeof err), 0);
    ck_assert_int_eq(asq_create(bare, "Echo", NULL, &a, NULL), ASQ_ENOCLASS);
    ck_assert_contains(asq_errmsg(bare), "no agent class is registered");
    ck_assert_int_eq(asq_register(bare, &echo_class), 0);
    ck_assert_int_eq(asq_create(bare, "Echo", NULL, &a, NULL), 0);
    ck_assert_int_eq(asq_ready(a, ASQ_FOREVER), 0);
    asq_agent_free(a);
    asq_close(bare);
}
END_TEST

static void add_all(TCase *t)
{
    tcase_add_test(t, every_function_takes_null);
    tcase_add_test(t, objects_of_another_handle_are_refused);
    tcase_add_test(t, surplus_arguments_are_refused_and_named);
    tcase_add_test(t, an_unknown_class_is_told_alike_in_each_mode);
    tcase_add_test(t, no_function_of_the_map_is_forgotten);
}

int main(void)
{
    return modes_main("misuse", add_all, NULL);
}
