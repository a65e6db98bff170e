/*
 * check_unload.c: a call that sleeps gives its run back, when it sleeps for long or its worker
 * hands its agent over. It is run again when its sleep is over, and to others it is as if it had
 * slept on.
 */
#include "logged.h"
#include "modes.h"
#include "support/file_lines.h"
#include "support/random_steps.h"
#include "support/suite.h"
#include "unloading.h"
#include "walker.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

/* Sleeps of more than a second are unloaded. */
static void set_up(void)
{
    unloading_set_up(1000);
}

static void set_up_parked(void)
{
    unloading_set_up(-1);
}

static int asleep(void)
{
    return sup_file_count(walker_effects, "asleep");
}

/* Waits until the only call that sleeps has given back its run. */
static void wait_until_unloaded(void)
{
    sup_wait_until(asleep() > 0 && count_calls(ASQ_CALLS_DELAYED) == 1);
    ck_assert_int_eq(count_calls(ASQ_CALLS_PARKED), 0);
}

/* Returns the only key of this name, owned by the caller. */
static char *only_key(const char *name)
{
    redisReply *keys = sup_redis_reply(redis, "KEYS asq:{default*}:%s", name);
    char *key;

    ck_assert_uint_eq(keys->elements, 1);
    key = strdup(keys->element[0]->str);
    freeReplyObject(keys);
    return key;
}

/* Waits until the only call that sleeps, or the only batch of such calls, is in `later` alone. */
static void wait_until_away(void)
{
    sup_redis_wait_until(redis, asq_poll(H, 0) >= 0 && asleep() > 0 && sum("ZCARD", "later") == 1 &&
                                    sum("XLEN", "jobs") == 0);
    ck_assert_int_eq(count_calls(ASQ_CALLS_PARKED), 0);
    ck_assert_int_eq(sum("HLEN", "attempts"), 0);
}

/* ---- long sleeps ----------------------------------------------------------------------------- */

START_TEST(a_call_goes_on_from_its_records_when_its_sleep_is_over)
{
    asq_result *r =
        begin("u:5 w:one c:%s z:3000 s:two c:%s", asq_agent_id(peer), asq_agent_id(peer));

    wait_until_unloaded();
    ck_assert_int_eq(walker_count("two"), 0);
    expect_text(r, "1 1 1 2 ");
    ck_assert_int_eq(asleep(), 2);
    ck_assert_int_eq(walker_count("one"), 1);
    ck_assert_int_eq(sup_file_count(walker_effects, "changed"), 2);
    ck_assert_int_eq(call_int(walker, "add", "[i]", 0), 5);
    ck_assert_int_eq(call_int(peer, "add", "[i]", 0), 2);
    expect_nothing();
}
END_TEST

START_TEST(sleeps_may_follow_each_other)
{
    asq_result *r = begin("z:2000 w:one Z:10 z:1500 w:two z:1100 w:three");

    expect_text(r, "1 1 1 ");
    ck_assert_int_eq(walker_count("one"), 1);
    ck_assert_int_eq(walker_count("two"), 1);
    ck_assert_int_eq(walker_count("three"), 1);
    expect_nothing();
}
END_TEST

START_TEST(the_agents_other_calls_wait_and_those_of_other_agents_do_not)
{
    asq_result *r = begin("u:5 z:3000"), *behind;

    wait_until_unloaded();
    ok(asq_call(walker, "add", &behind, "[i]", 1));
    ck_assert_int_eq(call_int(peer, "add", "[i]", 1), 1);
    ck_assert_int_eq(result_int(behind), 6);
    expect_text(r, "");
    expect_nothing();
}
END_TEST

/* Returns a gauge of the workers; -1 until their figures have a call of Walker.add. */
static int64_t gauge_after_an_add(const char *name)
{
    asq_stats_options options = ASQ_STATS_OPTIONS_INIT;
    asq_value *all = NULL;
    int64_t n = -1;

    options.last_ms = HOUR_MS;
    options.class_name = "Walker";
    options.method = "add";
    ok(asq_stats(H, &options, &all));
    if (asq_map_int(asq_list_get(asq_map_get(all, "methods"), 0), "calls") > 0)
        n = asq_map_int(asq_map_get(all, "now"), name);
    asq_value_free(all);
    return n;
}

START_TEST(a_call_that_sleeps_does_not_count_as_waiting)
{
    asq_result *r = begin("z:%d", HOUR_MS);

    wait_until_unloaded();
    ck_assert_int_eq(call_int(peer, "add", "[i]", 1), 1);
    sup_wait_until(gauge_after_an_add("waiting") >= 0);
    ck_assert_int_eq(gauge_after_an_add("waiting"), 0);
    ok(asq_result_cancel(r));
    asq_result_wait(r, sup_limit_ms());
    asq_result_free(r);
}
END_TEST

/* Cancels a call between its steps "one" and "two". */
static void cancel_asleep(asq_result *r)
{
    ok(asq_result_cancel(r));
    asq_result_wait(r, sup_limit_ms());
    ck_assert_code(asq_result_error(r)->code, ASQ_ECANCELED);
    ck_assert_int_eq(asleep(), 2);
    ck_assert_int_eq(walker_count("one"), 1);
    ck_assert_int_eq(walker_count("two"), 0);
    asq_result_free(r);
    ck_assert_int_eq(call_int(walker, "add", "[i]", 1), 1);
    expect_nothing();
}

START_TEST(a_cancelled_call_is_told_in_its_sleep)
{
    asq_result *r = begin("w:one z:%d w:two", HOUR_MS);

    wait_until_unloaded();
    cancel_asleep(r);
}
END_TEST

START_TEST(a_call_that_is_cancelled_when_its_sleep_is_over_is_told)
{
    asq_result *r = begin("w:one z:3000 w:two");

    wait_until_unloaded();
    ok(asq_pause(H, NULL)); /* so that it does not go on before it is cancelled */
    sup_wait_until(asq_poll(H, 0) >= 0 && count_calls(ASQ_CALLS_WAITING) == 1);
    ok(asq_result_cancel(r));
    ok(asq_flush(H, sup_limit_ms()));
    sup_wait_until(asq_poll(H, 0) >= 0 && sum("XLEN", "jobs") == 1);
    ok(asq_resume(H, NULL));
    asq_result_wait(r, sup_limit_ms());
    ck_assert_code(asq_result_error(r)->code, ASQ_ECANCELED);
    ck_assert_int_eq(asleep(), 2);
    ck_assert_int_eq(walker_count("two"), 0);
    asq_result_free(r);
    expect_nothing();
}
END_TEST

START_TEST(the_deadline_of_a_call_ends_its_sleep)
{
    asq_call_options options = ASQ_CALL_OPTIONS_INIT;
    char *script = sup_format("w:one z:%d", HOUR_MS);
    asq_result *r;

    options.deadline_ms = 5000;
    ok(asq_callv(walker, "run", &options, asq_pack("[s]", script), &r));
    free(script);
    wait_until_unloaded();
    asq_result_wait(r, sup_limit_ms());
    ck_assert_code(asq_result_error(r)->code, ASQ_EDEADLINE);
    asq_result_free(r);
    ck_assert_int_eq(call_int(walker, "add", "[i]", 1), 1);
    expect_nothing();
}
END_TEST

START_TEST(a_call_that_comes_from_it_loads_it)
{
    asq_result *r = begin("u:5 b:%s z:%d", asq_agent_id(peer), HOUR_MS);

    sup_redis_wait_until(redis, asleep() > 0 && sum("ZCARD", "later") == 1);
    ck_assert_int_eq(asleep(), 1);
    ok(asq_signal(peer, "go", asq_value_string("go")));
    ck_assert_int_eq(call_int(peer, "add", "[i]", 0), 0); /* the one before has come back */
    ck_assert_int_eq(asleep(), 2);
    ok(asq_result_cancel(r));
    asq_result_wait(r, sup_limit_ms());
    asq_result_free(r);
    ck_assert_int_eq(call_int(walker, "add", "[i]", 0), 6); /* of the inner call: 5 + 1 */
    expect_nothing();
}
END_TEST

START_TEST(the_next_owner_runs_it_when_it_is_due)
{
    asq_result *r = begin("w:one z:%d w:two", HOUR_MS);

    wait_until_unloaded();
    kill_owner();
    ck_assert_int_eq(call_int(peer, "add", "[i]", 1), 1);
    ck_assert_int_eq(count_calls(ASQ_CALLS_DELAYED), 1);
    ck_assert_int_eq(asleep(), 1);
    ok(asq_result_cancel(r));
    asq_result_wait(r, sup_limit_ms());
    ck_assert_code(asq_result_error(r)->code, ASQ_ECANCELED);
    ck_assert_int_eq(asleep(), 2);
    asq_result_free(r);
    expect_nothing();
}
END_TEST

/* The look whether the agent is due comes while its call sleeps, before it is unloaded or when it
 * is away, and waits for it; the idle time counts from the call's end. */
START_TEST(an_agent_that_expires_stays_while_its_call_sleeps)
{
    static const int64_t ttls_ms[] = { 1000, 4000 };

    for (size_t i = 0; i < sizeof ttls_ms / sizeof *ttls_ms; i++) {
        enum { SLEEP_MS = 9000 };
        asq_create_options options = ASQ_CREATE_OPTIONS_INIT;
        asq_result *r;
        asq_agent *a;
        char *script = sup_format("u:5 w:one%zu z:%d w:two%zu", i, SLEEP_MS, i);
        int64_t agents = sum("HLEN", "agents"), begun_ms = sup_now_ms();

        options.ttl_ms = ttls_ms[i];
        ok(asq_create_with(H, "Walker", &options, NULL, &a));
        ok(asq_call(a, "run", &r, "[s]", script));
        expect_text(r, "1 1 ");
        sup_wait_until(sum("HLEN", "agents") == agents);
        ck_assert_int_ge(sup_now_ms() - begun_ms, SLEEP_MS + ttls_ms[i]);
        expect_nothing();
        asq_agent_free(a);
        free(script);
    }
}
END_TEST

/* ---- sleeps outside of the stream ------------------------------------------------------------ */

START_TEST(a_long_sleep_leaves_the_stream_until_it_is_over)
{
    asq_result *r = begin("u:5 w:one c:%s z:9000 w:two", asq_agent_id(peer));

    wait_until_away();
    ck_assert_int_eq(count_calls(ASQ_CALLS_DELAYED), 1);
    ck_assert_int_eq(call_int(peer, "add", "[i]", 1), 2);
    expect_text(r, "1 1 1 ");
    ck_assert_int_eq(walker_count("one"), 1);
    ck_assert_int_eq(call_int(walker, "add", "[i]", 0), 5);
    expect_nothing();
}
END_TEST

/* The owner dies at none of the places, before the other calls come, after that, or at both. */
START_TEST(the_agents_other_calls_wait_for_one_that_is_away)
{
    asq_result *r = begin("u:5 z:%d", HOUR_MS), *behind[2];

    wait_until_away();
    if (_i & 1)
        kill_owner();
    for (int i = 0; i < 2; i++)
        ok(asq_call(walker, "add", &behind[i], "[i]", 1));
    sup_wait_until(asq_poll(H, 0) >= 0 && sum("XLEN", "jobs") == 3);
    if (_i & 2)
        kill_owner();
    ck_assert_int_eq(call_int(peer, "add", "[i]", 1), 1);
    sup_wait_until(count_calls(ASQ_CALLS_DELAYED) == 1 && count_calls(ASQ_CALLS_WAITING) == 2);
    ck_assert(!asq_result_done(behind[0]));
    ck_assert_int_eq(sum("ZCARD", "later"), 0);
    ok(asq_result_cancel(r));
    asq_result_wait(r, sup_limit_ms());
    ck_assert_code(asq_result_error(r)->code, ASQ_ECANCELED);
    asq_result_free(r);
    ck_assert_int_eq(asleep(), 2);
    for (int i = 0; i < 2; i++)
        ck_assert_int_eq(result_int(behind[i]), i + 1);
    expect_nothing();
}
END_TEST

START_TEST(a_call_that_is_away_is_told_that_it_is_cancelled)
{
    asq_result *r = begin("w:one z:%d w:two", HOUR_MS);

    wait_until_away();
    if (_i)
        kill_owner();
    cancel_asleep(r);
}
END_TEST

START_TEST(an_agent_is_deleted_behind_its_call_that_is_away)
{
    asq_result *r = begin("z:9000"), *deleted;

    wait_until_away();
    ok(asq_delete_async(walker, &deleted));
    sup_wait_until(asq_poll(H, 0) >= 0 && sum("XLEN", "jobs") == 2);
    expect_text(r, "");
    ok(asq_result_wait(deleted, sup_limit_ms()));
    ck_assert_code(asq_result_error(deleted)->code, 0);
    asq_result_free(deleted);
    ck_assert_code(call_code(walker, "add", "[i]", 1), ASQ_ENOAGENT);
    expect_nothing();
}
END_TEST

/* Calls of one entry: they leave together and come back together. */
/* The owner has read the attempts of the call when it took over, before its steps. */
START_TEST(a_call_that_has_failed_under_another_owner_keeps_its_records)
{
    const asq_retry retry = { ASQ_RETRY_INIT, .attempts = 3, .delay_ms = 2000 };
    asq_call_options options = ASQ_CALL_OPTIONS_INIT;
    asq_result *r;

    options.retry = &retry;
    ok(asq_callv(walker, "run", &options, asq_pack("[s]", "E w:one z:9000 w:two"), &r));
    sup_wait_until(asq_poll(H, 0) >= 0 && sum("HLEN", "attempts") == 1);
    kill(sup_redis_worker_pid(redis, "w.0"), SIGKILL);
    wait_until_away();
    ck_assert_int_eq(walker_count("one"), 1);
    expect_text(r, "1 1 ");
    ck_assert_int_eq(walker_count("one"), 1);
    ck_assert_int_eq(asleep(), 2);
    expect_nothing();
}
END_TEST

START_TEST(calls_of_a_batch_leave_together)
{
    enum { N = 3 };
    asq_agent *agents[N];
    asq_result *r[N], *behind[N];
    char *script = sup_format("z:%d", HOUR_MS);

    for (int i = 0; i < N; i++) {
        char *id = sup_format("{together}%d", i);
        ok(asq_createv(H, "Walker", id, NULL, &agents[i]));
        ok(asq_ready(agents[i], sup_limit_ms()));
        free(id);
    }
    asq_cork(H);
    for (int i = 0; i < N; i++)
        ok(asq_call(agents[i], "run", &r[i], "[s]", script));
    ok(asq_uncork(H));
    free(script);
    sup_wait_until(asq_poll(H, 0) >= 0 && asleep() == N);
    wait_until_away();
    ck_assert_int_eq(count_calls(ASQ_CALLS_DELAYED), N);
    for (int i = 0; i < N; i++) {
        ok(asq_call(agents[i], "add", &behind[i], "[i]", i));
        sup_wait_until(asq_poll(H, 0) >= 0 && count_calls(ASQ_CALLS_WAITING) == 1 &&
                       count_calls(ASQ_CALLS_DELAYED) == N - i);
        if (i == 1)
            kill_owner();
        ok(asq_result_cancel(r[i]));
        ck_assert_int_eq(result_int(behind[i]), i);
        asq_result_wait(r[i], sup_limit_ms());
        ck_assert_code(asq_result_error(r[i])->code, ASQ_ECANCELED);
        asq_result_free(r[i]);
    }
    for (int i = 0; i < N; i++)
        asq_agent_free(agents[i]);
    expect_nothing();
}
END_TEST

/* All is removed, or the batch alone, or its entry when it is in the stream again. */
START_TEST(a_call_that_was_removed_by_hand_holds_up_nobody)
{
    asq_result *r = begin("z:%d", HOUR_MS), *behind;

    wait_until_away();
    char *later = only_key("later"), *kept = only_key("later:jobs");
    if (_i < 2) {
        redisReply *fields = sup_redis_reply(redis, "HKEYS %s", kept);
        ck_assert_uint_eq(fields->elements, 2);
        sup_redis_int(redis, "DEL %s", later);
        for (size_t i = 0; i < 2; i++)
            if (_i == 0 || *fields->element[i]->str != '@')
                sup_redis_int(redis, "HDEL %s %s", kept, fields->element[i]->str);
        freeReplyObject(fields);
        kill_owner();
        ck_assert_int_eq(call_int(walker, "add", "[i]", 1), 1);
        ck_assert_int_eq(sup_redis_int(redis, "EXISTS %s", kept), 0);
    } else {
        modes_stop_worker(worker);
        worker = 0;
        ok(asq_call(walker, "add", &behind, "[i]", 1));
        ok(asq_flush(H, sup_limit_ms()));
        redisReply *fields = sup_redis_reply(redis, "HKEYS %s", kept);
        for (size_t i = 0; i < fields->elements; i++)
            if (*fields->element[i]->str != '@')
                sup_redis_int(redis, "HSET %s %s 1-1", kept, fields->element[i]->str);
        freeReplyObject(fields);
        sup_redis_int(redis, "DEL %s", later);
        unloading_start_worker(1000);
        ck_assert_int_eq(result_int(behind), 1);
        ck_assert_int_eq(logged_count("its entry was removed from the stream"), 1);
    }
    free(later);
    free(kept);
    asq_result_free(r);
}
END_TEST

static redisReply *field_of(redisReply *fields, const char *name)
{
    for (size_t i = 0; i + 1 < fields->elements; i += 2)
        if (strcmp(fields->element[i]->str, name) == 0)
            return fields->element[i + 1];
    return NULL;
}

/* A second copy of its entry stands before the one with which it is in the stream again, or
 * comes when that is still to come. */
START_TEST(a_copy_does_not_run_without_what_its_call_has_recorded)
{
    static const char late[] = "99999999999999-0";
    asq_result *r, *behind;

    ok(asq_pause(H, NULL)); /* so that the entry stays for a while */
    r = begin("w:one z:%d w:two", HOUR_MS);
    redisReply *keys = sup_redis_reply(redis, "KEYS asq:{default*}:jobs"), *first = NULL;
    for (size_t i = 0; i < keys->elements && !first; i++) {
        first = sup_redis_reply(redis, "XRANGE %s - +", keys->element[i]->str);
        if (!first->elements) {
            freeReplyObject(first);
            first = NULL;
        }
    }
    freeReplyObject(keys);
    ck_assert_ptr_nonnull(first);
    ok(asq_resume(H, NULL));
    wait_until_away();
    ok(asq_call(walker, "add", &behind, "[i]", 1));
    sup_wait_until(asq_poll(H, 0) >= 0 && sum("XLEN", "jobs") == 2);
    modes_stop_worker(worker);
    worker = 0;
    char *jobs = NULL, *kept = only_key("later:jobs");
    ck_assert_int_gt(asprintf(&jobs, "%.*sjobs", (int) (strlen(kept) - strlen("later:jobs")), kept),
                     0);
    redisReply *entries = sup_redis_reply(redis, "XRANGE %s - +", jobs), *back = NULL;
    for (size_t i = 0; i < entries->elements; i++)
        if (field_of(entries->element[i]->element[1], "later"))
            back = entries->element[i];
    ck_assert_ptr_nonnull(back);
    sup_redis_int(redis, "XDEL %s %s", jobs, back->element[0]->str);
    const redisReply *call = field_of(first->element[0]->element[1], "call"),
                     *batch = field_of(first->element[0]->element[1], "batch"),
                     *later = field_of(back->element[1], "later");
    freeReplyObject(sup_redis_reply(redis, "XADD %s * call %s batch %b", jobs, call->str,
                                    batch->str, batch->len));
    redisReply *fields = sup_redis_reply(redis, "HKEYS %s", kept);
    for (size_t i = 0; i < fields->elements; i++)
        if (*fields->element[i]->str != '@')
            sup_redis_int(redis, "HSET %s %s %s", kept, fields->element[i]->str, late);
    freeReplyObject(fields);
    if (_i) {
        unloading_start_worker(1000);
        sup_wait_until(asq_poll(H, 0) >= 0 && sum("XLEN", "jobs") == 1);
    }
    freeReplyObject(sup_redis_reply(redis, "XADD %s %s call %s batch %b later %b", jobs, late,
                                    call->str, batch->str, batch->len, later->str, later->len));
    if (!_i)
        unloading_start_worker(1000);
    sup_wait_until(asq_poll(H, 0) >= 0 && count_calls(ASQ_CALLS_DELAYED) == 1);
    ok(asq_result_cancel(r));
    asq_result_wait(r, sup_limit_ms());
    ck_assert_code(asq_result_error(r)->code, ASQ_ECANCELED);
    asq_result_free(r);
    ck_assert_int_eq(result_int(behind), 1);
    ck_assert_int_eq(walker_count("one"), 1);
    ck_assert_int_eq(walker_count("two"), 0);
    freeReplyObject(first);
    freeReplyObject(entries);
    free(jobs);
    free(kept);
    expect_nothing();
}
END_TEST

/* ---- hand-overs ------------------------------------------------------------------------------ */

/* Calls sleep on the worker that ends, which has an hour for its calls. */
START_TEST(a_worker_that_ends_does_not_wait_for_sleeping_calls)
{
    enum { N = 20 };
    static const asq_class *const list[] = { &walker_class, NULL };
    asq_worker_options options = ASQ_WORKER_OPTIONS_INIT;
    asq_agent *agents[N];
    asq_result *r[N];

    for (int i = 0; i < N; i++) {
        agents[i] = agent_new("Walker", NULL);
        ok(asq_call(agents[i], "run", &r[i], "[s]",
                    i % 2 ? "w:odd z:3600000 w:never" : "w:even z:4000 w:later"));
    }
    sup_wait_until(asq_poll(H, 0) >= 0 && asleep() == N);
    pid_t first = worker;
    options.id = "second";
    options.lease_time_ms = 1000;
    options.unload_after_ms = -1;
    worker = modes_fork_worker_with(sup_redis_url(redis), &options, list);
    modes_stop_worker(first);
    for (int i = 0; i < N; i++) {
        asq_agent *other = agent_new("Walker", NULL);
        ck_assert_int_eq(call_int(other, "add", "[i]", i), i);
        asq_agent_free(other);
    }
    for (int i = 0; i < N; i += 2) {
        asq_result_wait(r[i], sup_limit_ms());
        ck_assert_code(asq_result_error(r[i])->code, 0);
        asq_result_free(r[i]);
    }
    ck_assert_int_eq(walker_count("even"), N / 2);
    ck_assert_int_eq(walker_count("odd"), N / 2);
    ck_assert_int_eq(walker_count("later"), N / 2);
    for (int i = 1; i < N; i += 2) {
        ok(asq_result_cancel(r[i]));
        asq_result_wait(r[i], sup_limit_ms());
        ck_assert_code(asq_result_error(r[i])->code, ASQ_ECANCELED);
        asq_result_free(r[i]);
    }
    for (int i = 0; i < N; i++)
        asq_agent_free(agents[i]);
    ck_assert_int_eq(walker_count("never"), 0);
    expect_nothing();
}
END_TEST

/* ---- many deaths ----------------------------------------------------------------------------- */

enum { WORKERS = 3 };

/* Has sleeping calls leave the stream, however short their sleeps are. */
static bool tight;

static pid_t start_another(int *number)
{
    static const asq_class *const list[] = { &walker_class, NULL };
    asq_worker_options options = ASQ_WORKER_OPTIONS_INIT;
    char id[20];

    snprintf(id, sizeof id, "m%d", ++*number);
    options.id = id;
    options.lease_time_ms = 1000;
    options.unload_after_ms = 500;
    options.max_backlog_size = tight ? 1 : 0;
    return modes_fork_worker_with(sup_redis_url(redis), &options, list);
}

/* Returns which of the workers m1, m2, … owns the walker; 0: none does now. */
static int owner_number(void)
{
    asq_value *about = NULL;
    const char *owner;
    int number = 0;

    if (asq_show(H, asq_agent_id(walker), &about) == 0 &&
        asq_value_get_string(asq_map_get(about, "owner"), &owner, NULL) == 0)
        sscanf(owner, "m%d.", &number);
    asq_value_free(about);
    return number;
}

static off_t size_of_effects(void)
{
    struct stat about;
    return stat(walker_effects, &about) == 0 ? about.st_size : 0;
}

/* Waits until the method is in the middle of steps, rather than in a sleep, or for a second. */
static void wait_for_step(void)
{
    off_t before = size_of_effects();
    for (int64_t end_ms = sup_now_ms() + 1000; sup_now_ms() < end_ms;)
        if (size_of_effects() != before)
            return;
}

/* Tells how the owners have ended, and how many effects were made again: those of which the record
 * was not there yet. Sleeps part them, so these are at most ten for each death; an owner that is
 * stopped leaves none. */
static void tell_of_ends(unsigned steps, unsigned killed, unsigned stopped)
{
    unsigned made = 0;
    char name[20];

    for (unsigned i = 0; i < steps; i++) {
        snprintf(name, sizeof name, "m%u", i);
        made += (unsigned) walker_count(name);
    }
    fprintf(stderr, "%u steps, %u owners killed, %u stopped: %u effects made again\n", steps,
            killed, stopped, made - steps);
    ck_assert_uint_le(made - steps, 10 * killed);
}

/* The owner ends each time, by SIGKILL with its supervisor, or in order. ASQ_TEST_STEPS and
 * ASQ_TEST_KILLS: how many steps and ends. */
START_TEST(each_step_is_recorded_once_wherever_its_owners_end)
{
    unsigned steps = (unsigned) steps_from("ASQ_TEST_STEPS", 60),
             kills = (unsigned) steps_from("ASQ_TEST_KILLS", 5), killed = 0, stopped = 0;
    pid_t pids[WORKERS];
    int numbers[WORKERS], last = 0;

    steps_begin(steps_seed());
    tight = _i;
    modes_stop_worker(worker);
    worker = 0;
    for (int i = 0; i < WORKERS; i++) {
        pids[i] = start_another(&last);
        numbers[i] = last;
    }
    asq_result *r = begin("m:%u w:end", steps);
    while (killed + stopped < kills && !asq_result_done(r)) {
        int owner, at = 0;
        sup_wait_until(asq_poll(H, 0) >= 0 && (owner = owner_number()));
        if (below(2))
            wait_for_step();
        else
            for (int ms = (int) below(40 * steps / kills); ms > 0 && asq_poll(H, 10) >= 0; ms -= 10)
                ;
        while (at < WORKERS && numbers[at] != owner)
            at++;
        if (at == WORKERS)
            continue; /* it is about to end */
        if (below(3)) {
            char *id = sup_format("m%d.0", owner);
            pid_t process = sup_redis_worker_pid(redis, id);
            free(id);
            kill(pids[at], SIGKILL);
            kill(process, SIGKILL);
            waitpid(pids[at], NULL, 0);
            killed++;
        } else {
            modes_stop_worker(pids[at]);
            stopped++;
        }
        pids[at] = start_another(&last);
        numbers[at] = last;
    }
    expect_text(r, "1 ");
    tell_of_ends(steps, killed, stopped);
    for (int i = 0; i < WORKERS; i++)
        modes_stop_worker(pids[i]);
    expect_nothing();
}
END_TEST

int main(void)
{
    Suite *s = suite_create("unload");
    TCase *t = tcase_create("long sleeps"), *away = tcase_create("away"),
          *handovers = tcase_create("hand-overs"), *deaths = tcase_create("deaths");

    if (!sup_redis_available())
        return sup_skip("no redis-server");
    tcase_set_timeout(t, 240);
    tcase_add_checked_fixture(t, set_up, unloading_tear_down);
    tcase_add_test(t, a_call_goes_on_from_its_records_when_its_sleep_is_over);
    tcase_add_test(t, sleeps_may_follow_each_other);
    tcase_add_test(t, the_agents_other_calls_wait_and_those_of_other_agents_do_not);
    tcase_add_test(t, a_call_that_sleeps_does_not_count_as_waiting);
    tcase_add_test(t, a_cancelled_call_is_told_in_its_sleep);
    tcase_add_test(t, a_call_that_is_cancelled_when_its_sleep_is_over_is_told);
    tcase_add_test(t, the_deadline_of_a_call_ends_its_sleep);
    tcase_add_test(t, a_call_that_comes_from_it_loads_it);
    tcase_add_test(t, the_next_owner_runs_it_when_it_is_due);
    tcase_add_test(t, an_agent_that_expires_stays_while_its_call_sleeps);
    suite_add_tcase(s, t);
    tcase_set_timeout(away, 240);
    tcase_add_checked_fixture(away, set_up, unloading_tear_down);
    tcase_add_test(away, a_long_sleep_leaves_the_stream_until_it_is_over);
    tcase_add_loop_test(away, the_agents_other_calls_wait_for_one_that_is_away, 0, 4);
    tcase_add_loop_test(away, a_call_that_is_away_is_told_that_it_is_cancelled, 0, 2);
    tcase_add_test(away, an_agent_is_deleted_behind_its_call_that_is_away);
    tcase_add_test(away, a_call_that_has_failed_under_another_owner_keeps_its_records);
    tcase_add_test(away, calls_of_a_batch_leave_together);
    tcase_add_loop_test(away, a_call_that_was_removed_by_hand_holds_up_nobody, 0, 3);
    tcase_add_loop_test(away, a_copy_does_not_run_without_what_its_call_has_recorded, 0, 2);
    suite_add_tcase(s, away);
    tcase_set_timeout(handovers, 240);
    tcase_add_checked_fixture(handovers, set_up_parked, unloading_tear_down);
    tcase_add_test(handovers, a_worker_that_ends_does_not_wait_for_sleeping_calls);
    suite_add_tcase(s, handovers);
    tcase_set_timeout(deaths, (double) steps_from("ASQ_TEST_TIMEOUT", 240));
    tcase_add_checked_fixture(deaths, set_up, unloading_tear_down);
    tcase_add_loop_test(deaths, each_step_is_recorded_once_wherever_its_owners_end, 0, 2);
    suite_add_tcase(s, deaths);
    return sup_suite_run(s);
}
