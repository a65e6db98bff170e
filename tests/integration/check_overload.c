/*
 * check_overload.c: more calls are made than fit, in Redis or in a partition. The caller gets an
 * error at once, or waits if it asks for that. Accepted calls are never lost.
 */
#include "load.h"
#include "support/suite.h"
#include "value/hash.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MAX_WAITING = 20, LEASE_MS = 1000, LONG_MS = 3600000 };

static sup_redis *redis;
static asq *h;
static pid_t worker;
static asq_agent *a;

static pid_t start_worker(const char *id, int64_t lease_time_ms)
{
    asq_worker_options options = ASQ_WORKER_OPTIONS_INIT;

    options.max_waiting = MAX_WAITING;
    options.lease_time_ms = lease_time_ms;
    options.id = id;
    return load_worker(sup_redis_url(redis), &options);
}

static void set_up(void)
{
    redis = sup_redis_start(NULL);
    h = load_open(sup_redis_url(redis));
    worker = start_worker("w", LEASE_MS);
    ck_assert_int_eq(asq_create(h, "Counter", "{one}a", &a, "{s:i}", "value", 0), 0);
    ck_assert_int_eq(asq_ready(a, sup_limit_ms()), 0);
}

static void tear_down(void)
{
    asq_agent_free(a);
    asq_close(h);
    load_worker_stop(worker);
    sup_redis_free(redis);
}

static int64_t value(void)
{
    asq_value *v;
    int64_t n = -1;

    ck_assert_int_eq(asq_set_busy_wait(h, sup_limit_ms()), 0);
    ck_assert_int_eq(asq_call_wait(a, "read", &v, NULL), 0);
    ck_assert_int_eq(asq_value_get_int(v, &n), 0);
    asq_value_free(v);
    return n;
}

static void memory_is_short(bool is)
{
    sup_redis_do(redis, "CONFIG SET maxmemory %d", is ? 1 : 0);
}

/* Returns how many commands Redis has refused for lack of memory. */
static int refusals(void)
{
    char *info = sup_redis_str(redis, "INFO errorstats"),
         *at = strstr(info, "errorstat_OOM:count=");
    int n = at ? atoi(strchr(at, '=') + 1) : 0;

    free(info);
    return n;
}

static void send_some(int n)
{
    for (int i = 0; i < n; i++)
        ck_assert_int_eq(asq_send(a, "add", "[i]", 1), 0);
}

/* ---- sends, which have no result ---- */

START_TEST(sends_that_memory_refuses_are_told_by_flush)
{
    send_some(2);
    ck_assert_int_eq(asq_flush(h, sup_limit_ms()), 0);
    memory_is_short(true);
    send_some(3);
    ck_assert_int_eq(asq_flush(h, sup_limit_ms()), ASQ_EBUSY);
    ck_assert_msg(strstr(asq_errmsg(h), "3 calls") && strstr(asq_errmsg(h), "memory"), "%s",
                  asq_errmsg(h));
    ck_assert_int_eq(asq_flush(h, sup_limit_ms()), 0); /* reported once */
    memory_is_short(false);
    send_some(1);
    ck_assert_int_eq(asq_flush(h, sup_limit_ms()), 0);
    ck_assert_int_eq(value(), 3);
}
END_TEST

START_TEST(sends_that_redis_refuses_are_told_by_flush)
{
    uint32_t p = asq__partition_of("{one}", 5, 128);

    sup_redis_do(redis, "RENAMENX asq:{default.%u}:jobs kept", p);
    sup_redis_do(redis, "SET asq:{default.%u}:jobs lies", p);
    send_some(1);
    ck_assert_int_eq(asq_flush(h, sup_limit_ms()), ASQ_EREDIS);
    ck_assert_msg(strstr(asq_errmsg(h), "1 call ") && strstr(asq_errmsg(h), "WRONGTYPE"), "%s",
                  asq_errmsg(h));
    sup_redis_do(redis, "RENAME kept asq:{default.%u}:jobs", p);
    send_some(1);
    ck_assert_int_eq(asq_flush(h, sup_limit_ms()), 0);
    ck_assert_int_eq(value(), 1);
}
END_TEST

/* Fills the partition behind an agent that sleeps. */
static asq_agent *sleeper;
static asq_result *sleep_result, *waiting[MAX_WAITING];

static void fill_partition(void)
{
    ck_assert_int_eq(asq_create(h, "Echo", "{one}sleeper", &sleeper, NULL), 0);
    ck_assert_int_eq(asq_ready(sleeper, sup_limit_ms()), 0);
    ck_assert_int_eq(asq_call(sleeper, "nap", &sleep_result, "[i]", LONG_MS), 0);
    for (int i = 0; i < MAX_WAITING - 1; i++)
        ck_assert_int_eq(asq_call(sleeper, "nothing", &waiting[i], NULL), 0);
    ck_assert_int_eq(asq_flush(h, sup_limit_ms()), 0);
}

static void empty_partition(void)
{
    ck_assert_int_eq(asq_result_cancel(sleep_result), 0);
    ck_assert_int_eq(asq_result_wait(sleep_result, sup_limit_ms()), ASQ_ECANCELED);
    for (int i = 0; i < MAX_WAITING - 1; i++) { /* accepted, so it completes */
        ck_assert_int_eq(asq_result_wait(waiting[i], sup_limit_ms()), 0);
        asq_result_free(waiting[i]);
    }
    asq_result_free(sleep_result);
    asq_agent_free(sleeper);
}

START_TEST(sends_that_a_full_partition_refuses_are_told_by_a_later_flush)
{
    int rc = 0;

    fill_partition();
    send_some(1);
    sup_wait_until((rc = asq_flush(h, sup_limit_ms())) < 0 || asq_poll(h, 20) < 0);
    ck_assert_int_eq(rc, ASQ_EBUSY);
    ck_assert_msg(strstr(asq_errmsg(h), "--max-waiting") != NULL, "%s", asq_errmsg(h));
    empty_partition();
    ck_assert_int_eq(value(), 0);
}
END_TEST

/* A method has run and failed with that code, so its call was accepted. */
START_TEST(what_a_method_ends_with_is_no_refusal)
{
    for (int i = 0; i < 3; i++)
        ck_assert_int_eq(asq_send(a, "busy", NULL), 0);
    ck_assert_int_eq(asq_set_busy_wait(h, ASQ_FOREVER), 0);
    ck_assert_int_eq(asq_call_wait(a, "busy", NULL, NULL), ASQ_EBUSY);
    /* asq_flush reports that they failed, not that they were refused. */
    ck_assert_int_eq(asq_flush(h, sup_limit_ms()), ASQ_EBUSY);
    ck_assert_msg(strstr(asq_errmsg(h), "3 calls without a result have failed") != NULL, "%s",
                  asq_errmsg(h));
    ck_assert_int_eq(asq_flush(h, sup_limit_ms()), 0);
    ck_assert_int_eq(value(), 4);
}
END_TEST

/* ---- at once, or waiting ---- */

START_TEST(a_call_ends_at_once_or_waits_until_redis_has_memory)
{
    memory_is_short(true);
    ck_assert_int_eq(asq_call_wait(a, "add", NULL, "[i]", 1), ASQ_EBUSY);
    ck_assert_int_eq(asq_set_busy_wait(h, 50), 0);
    ck_assert_int_eq(asq_call_wait(a, "add", NULL, "[i]", 1), ASQ_EBUSY);
    ck_assert_int_ge(refusals(), 3);
    ck_assert_int_eq(asq_set_busy_wait(h, ASQ_FOREVER), 0);
    int before = refusals();
    pid_t pid = fork();
    if (pid == 0) {
        sup_wait_until(refusals() > before + 2);
        memory_is_short(false);
        _exit(0);
    }
    ck_assert_int_eq(asq_call_wait(a, "add", NULL, "[i]", 1), 0);
    ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
    ck_assert_int_eq(asq_set_busy_wait(h, -2), ASQ_EINVAL);
    ck_assert_int_eq(value(), 1);
}
END_TEST

START_TEST(a_call_ends_at_once_or_waits_until_the_partition_has_room)
{
    asq_value *v;
    int status;

    fill_partition();
    ck_assert_int_eq(asq_call_wait(a, "add", NULL, "[i]", 1), ASQ_EBUSY);
    ck_assert_int_eq(asq_set_busy_wait(h, ASQ_FOREVER), 0);
    pid_t pid = fork();
    if (pid == 0) { /* it alone asserts until it ends: two would mix what they tell Check */
        asq *other = load_open(sup_redis_url(redis));
        asq_result *r;
        /* The heartbeat was refused several times more. */
        sup_wait_until(sup_redis_int(redis, "HGET asq:{default}:worker:w.0 failures") > 4);
        ck_assert_int_eq(asq_result_attach(other, asq_result_id(sleep_result), &r), 0);
        ck_assert_int_eq(asq_result_cancel(r), 0);
        ck_assert_int_eq(asq_result_wait(r, sup_limit_ms()), ASQ_ECANCELED);
        _exit(0);
    }
    int rc = asq_call_wait(a, "add", &v, "[i]", 1);
    pid_t ended = waitpid(pid, &status, 0);
    ck_assert_int_eq(rc, 0);
    asq_value_free(v);
    ck_assert_int_eq(ended, pid);
    ck_assert_int_eq(status, 0);
    empty_partition();
    ck_assert_int_eq(value(), 1);
}
END_TEST

/* ---- accepted calls ---- */

struct held {
    asq_agent *agent;
    asq_result *result;
    char *begun, *go;
};

static void hold(struct held *x, const char *id, int n, int64_t delay_ms)
{
    asq_call_options options = ASQ_CALL_OPTIONS_INIT;
    char name[40];

    options.delay_ms = delay_ms;
    snprintf(name, sizeof name, "begun%d", n);
    x->begun = sup_path(name);
    snprintf(name, sizeof name, "go%d", n);
    x->go = sup_path(name);
    ck_assert_int_eq(asq_create(h, "Echo", id, &x->agent, NULL), 0);
    ck_assert_int_eq(asq_ready(x->agent, sup_limit_ms()), 0);
    ck_assert_int_eq(
        asq_callv(x->agent, "hold", &options, asq_pack("[s, s]", x->begun, x->go), &x->result), 0);
    ck_assert_int_eq(asq_flush(h, sup_limit_ms()), 0);
}

static void let_go(const struct held *x)
{
    free(sup_write_file(strrchr(x->go, '/') + 1, ""));
}

START_TEST(while_commits_are_refused_no_calls_are_started)
{
    struct held running, due;
    int64_t delay_ms = sup_limit_ms() / 20, due_ms;

    /* starts a worker that misses no heartbeat meanwhile, because that would stop it, too */
    load_worker_stop(worker);
    worker = start_worker("patient", LONG_MS);
    hold(&running, "{one}running", 1, 0);
    hold(&due, "{two}due", 2, delay_ms); /* another partition, whose calls are not refused */
    due_ms = sup_now_ms() + delay_ms;
    sup_wait_until(access(running.begun, F_OK) == 0);
    int before = refusals();
    memory_is_short(true);
    let_go(&running);
    sup_wait_until(refusals() > before); /* refusals of the commit */
    sup_wait_until(sup_now_ms() > due_ms);
    before = refusals();
    sup_wait_until(refusals() > before + 4); /* refusals of its retries */
    ck_assert_int_ne(access(due.begun, F_OK), 0);
    memory_is_short(false);
    ck_assert_int_eq(asq_result_wait(running.result, sup_limit_ms()), 0);
    let_go(&due);
    ck_assert_int_eq(asq_result_wait(due.result, sup_limit_ms()), 0);
    struct held *all[] = { &running, &due };
    for (int i = 0; i < 2; i++) {
        asq_result_free(all[i]->result);
        asq_agent_free(all[i]->agent);
        free(all[i]->begun);
        free(all[i]->go);
    }
}
END_TEST

static const char all_epochs[] =
    "local n = 0 for p = 0, 127 do "
    "n = n + (redis.call('HGET', 'asq:{default.' .. p .. '}:lease', 'epoch') or 0) end return n";

static int64_t owned_by(const char *process)
{
    return sup_redis_int(redis, "HGET asq:{default}:worker:%s partitions", process);
}

static bool beats(const char *process, int64_t from)
{
    return sup_redis_int(redis, "HGET asq:{default}:worker:%s beat", process) > from + 3;
}

/* Returns the sum of epochs when it no longer changes. The last partition may still move at the
 * next heartbeat of its old owner. */
static int64_t settled_epochs(void)
{
    int64_t before, after = sup_redis_int(redis, "EVAL %s 0", all_epochs);
    do {
        int64_t beat_w = sup_redis_int(redis, "HGET asq:{default}:worker:w.0 beat");
        int64_t beat_v = sup_redis_int(redis, "HGET asq:{default}:worker:v.0 beat");
        before = after;
        sup_wait_until(beats("w.0", beat_w) && beats("v.0", beat_v));
        after = sup_redis_int(redis, "EVAL %s 0", all_epochs);
    } while (after != before);
    return after;
}

/* No heartbeat is written, because memory is short or Redis is stopped. Workers with the same
 * trouble find none of the others dead. */
START_TEST(workers_keep_their_partitions_while_redis_takes_no_beats)
{
    pid_t second = start_worker("v", LEASE_MS);

    sup_wait_until(owned_by("w.0") + owned_by("v.0") == 128 && owned_by("w.0") <= 80 &&
                   owned_by("v.0") <= 80);
    int64_t before = settled_epochs();
    for (int i = 0; i < 3; i++) {
        if (_i == 0) {
            int refused = refusals();
            memory_is_short(true);
            sup_sleep_ms(3 * LEASE_MS);
            sup_wait_until(refusals() > refused);
        } else {
            sup_proc_signal(sup_redis_proc(redis), SIGSTOP);
            sup_sleep_ms(3 * LEASE_MS);
            sup_proc_signal(sup_redis_proc(redis), SIGCONT);
        }
        int64_t beat_w = sup_redis_int(redis, "HGET asq:{default}:worker:w.0 beat");
        int64_t beat_v = sup_redis_int(redis, "HGET asq:{default}:worker:v.0 beat");
        memory_is_short(false);
        sup_wait_until(beats("w.0", beat_w) && beats("v.0", beat_v));
    }
    ck_assert_int_eq(sup_redis_int(redis, "EVAL %s 0", all_epochs), before);
    load_worker_stop(second);
}
END_TEST

/* Memory is short now and then while calls are made. Each call completes, or is refused with an
 * error. */
START_TEST(accepted_calls_survive_a_full_redis)
{
    struct load *l = load_new(h, 8);

    for (int i = 0; i < 5; i++) {
        load_calls(l, 20);
        asq_poll(h, 5);
        memory_is_short(true);
        asq_poll(h, 5);
        load_calls(l, 5);
        asq_sleep(h, 200);
        memory_is_short(false);
        asq_sleep(h, 50);
    }
    load_check_but(l, ASQ_EBUSY);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("overload");
    TCase *t = tcase_create("overload");

    if (!sup_redis_available())
        return sup_skip("no redis-server");
    tcase_add_checked_fixture(t, set_up, tear_down);
    tcase_add_test(t, sends_that_memory_refuses_are_told_by_flush);
    tcase_add_test(t, sends_that_redis_refuses_are_told_by_flush);
    tcase_add_test(t, sends_that_a_full_partition_refuses_are_told_by_a_later_flush);
    tcase_add_test(t, what_a_method_ends_with_is_no_refusal);
    tcase_add_test(t, a_call_ends_at_once_or_waits_until_redis_has_memory);
    tcase_add_test(t, a_call_ends_at_once_or_waits_until_the_partition_has_room);
    tcase_add_test(t, while_commits_are_refused_no_calls_are_started);
    tcase_add_loop_test(t, workers_keep_their_partitions_while_redis_takes_no_beats, 0, 2);
    tcase_add_test(t, accepted_calls_survive_a_full_redis);
    suite_add_tcase(s, t);
    return sup_suite_run(s);
}
