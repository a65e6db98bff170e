/*
 * check_unload_waits.c: a call that waits for a promise, a signal or other calls for long gives its
 * run back. It is run again when what it waits for is there, and to others it is as if it had
 * waited on.
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
#include <sys/wait.h>

enum { AFTER_MS = 300 };

static void set_up(void)
{
    unloading_set_up(AFTER_MS);
}

/* ---- what the tests ask ---------------------------------------------------------------------- */

static int unloads(void)
{
    return sup_file_count(walker_effects, "unloaded");
}

static int count_unloaded(const asq_value *call, void *user)
{
    int *n = user;
    const char *why = "";

    asq_value_get_string(asq_map_get(call, "why"), &why, NULL);
    *n += strstr(why, "given back its memory") != NULL;
    return 0;
}

/* Returns how many calls wait without a run. */
static int unloaded(void)
{
    int n = 0;

    ok(asq_calls_each(H, ASQ_CALLS_PARKED, NULL, "Walker", sup_limit_ms(), count_unloaded, &n));
    return n;
}

static void wait_until_unloaded(int n)
{
    sup_wait_until(asq_poll(H, 0) >= 0 && unloads() >= n && unloaded() == n);
}

/* Returns the id of a promise that the walker has made, owned by the caller. */
static char *promise_id(const char *name)
{
    char *start = sup_format("promise %s ", name), line[300], *id = NULL;

    sup_wait_until(asq_poll(H, 0) >= 0 && sup_file_count(walker_effects, start) > 0);
    FILE *f = fopen(walker_effects, "r");
    while (!id && fgets(line, sizeof line, f))
        if (strncmp(line, start, strlen(start)) == 0)
            id = strndup(line + strlen(start), strcspn(line + strlen(start), "\n"));
    fclose(f);
    free(start);
    ck_assert_ptr_nonnull(id);
    return id;
}

static void resolve(const char *name, int64_t value)
{
    char *id = promise_id(name);

    ok(asq_promise_resolve(H, id, asq_value_int(value)));
    free(id);
}

static void tell(asq_agent *a, const char *signal)
{
    ok(asq_signal(a, signal, asq_value_string(signal)));
}

static void expect_canceled(asq_result *r)
{
    ok(asq_result_cancel(r));
    asq_result_wait(r, sup_limit_ms());
    ck_assert_code(asq_result_error(r)->code, ASQ_ECANCELED);
    asq_result_free(r);
}

/* ---- each way to wait ------------------------------------------------------------------------ */

/* Ways to wait, for the tests that are the same for each. Step "one" comes before the wait, "two"
 * behind it. */
enum { PROMISE, SIGNAL, CALL, GATHER, WAYS };

static asq_agent *third;

static asq_result *begin_way(int way)
{
    switch (way) {
    case PROMISE: return begin("u:5 w:one p:a w:two");
    case SIGNAL: return begin("u:5 w:one h:go w:two");
    case CALL: return begin("u:5 w:one C:%s,h:go w:two", asq_agent_id(peer));
    default:
        third = agent_new("Walker", NULL);
        return begin("u:5 w:one A:%s;%s,h:go w:two", asq_agent_id(peer), asq_agent_id(third));
    }
}

/* How many calls are unloaded then, and what the script gives at last. */
static const int unloaded_of[WAYS] = { 1, 1, 2, 3 };
static const char *const text_of[WAYS] = { "1 7 1 ", "1 \"go\" 1 ", "1 \"go\" 1 ",
                                           "1 \"go\" \"go\" 1 " };

/* Ends what it waits for. */
static void end_way(int way)
{
    if (way == PROMISE)
        resolve("a", 7);
    else
        tell(way == SIGNAL ? walker : peer, "go");
    if (way == GATHER)
        tell(third, "go");
}

static void expect_end(int way, asq_result *r)
{
    expect_text(r, text_of[way]);
    ck_assert_int_eq(walker_count("one"), 1);
    ck_assert_int_eq(walker_count("two"), 1);
    ck_assert_int_eq(call_int(walker, "add", "[i]", 0), 5);
    expect_nothing();
    asq_agent_free(third);
    third = NULL;
}

START_TEST(a_call_goes_on_when_what_it_waits_for_is_there)
{
    asq_result *r = begin_way(_i), *behind;

    wait_until_unloaded(unloaded_of[_i]);
    ok(asq_call(walker, "add", &behind, "[i]", 0));
    ck_assert_int_eq(walker_count("two"), 0);
    ck_assert_int_eq(count_calls(ASQ_CALLS_PARKED), unloaded_of[_i]);
    ck_assert(!asq_result_done(behind));
    end_way(_i);
    ck_assert_int_eq(result_int(behind), 5);
    expect_end(_i, r);
}
END_TEST

START_TEST(a_call_that_is_cancelled_is_told_in_its_wait)
{
    asq_result *r = begin_way(_i);

    wait_until_unloaded(unloaded_of[_i]);
    expect_canceled(r);
    ck_assert_int_eq(walker_count("one"), 1);
    ck_assert_int_eq(walker_count("two"), 0);
    if (_i >= CALL) /* the calls that it has made are cancelled, too */
        sup_wait_until(asq_poll(H, 0) >= 0 && count_calls(0) == 0);
    ck_assert_int_eq(call_int(walker, "add", "[i]", 1), 1);
    expect_nothing();
    asq_agent_free(third);
    third = NULL;
}
END_TEST

START_TEST(the_next_owner_runs_it_again_and_it_waits_on)
{
    asq_result *r = begin_way(_i);

    wait_until_unloaded(unloaded_of[_i]);
    kill_owner();
    sup_wait_until(asq_poll(H, 0) >= 0 && unloads() >= 2 * unloaded_of[_i]);
    wait_until_unloaded(unloaded_of[_i]);
    end_way(_i);
    expect_end(_i, r);
}
END_TEST

START_TEST(what_comes_while_there_is_no_owner_is_found)
{
    asq_result *r = begin_way(_i);

    wait_until_unloaded(unloaded_of[_i]);
    kill_owner();
    if (_i == PROMISE)
        end_way(_i);
    else
        ok(asq_call(walker, "add", NULL, "[i]", 0)); /* a signal is sent by a call */
    if (_i != PROMISE)
        end_way(_i);
    expect_end(_i, r);
}
END_TEST

/* The worker that ends has an hour for its calls. */
START_TEST(a_worker_that_ends_does_not_wait_for_it)
{
    static const asq_class *const list[] = { &walker_class, NULL };
    asq_worker_options options = ASQ_WORKER_OPTIONS_INIT;
    asq_result *r = begin_way(_i);
    pid_t first = worker;

    wait_until_unloaded(unloaded_of[_i]);
    options.id = "second";
    options.lease_time_ms = 1000;
    options.unload_after_ms = AFTER_MS;
    worker = modes_fork_worker_with(sup_redis_url(redis), &options, list);
    modes_stop_worker(first);
    wait_until_unloaded(unloaded_of[_i]);
    end_way(_i);
    expect_end(_i, r);
}
END_TEST

/* The calls wait on runs, and are unloaded for the hand-over alone. */
START_TEST(a_hand_over_unloads_calls_that_wait)
{
    static const asq_class *const list[] = { &walker_class, NULL };
    asq_worker_options options = ASQ_WORKER_OPTIONS_INIT;
    asq_result *r;
    pid_t first;

    modes_stop_worker(worker);
    unloading_start_worker(-1);
    first = worker;
    r = begin_way(_i);
    sup_wait_until(asq_poll(H, 0) >= 0 && count_calls(ASQ_CALLS_PARKED) == unloaded_of[_i]);
    ck_assert_int_eq(unloads(), 0);
    options.id = "second";
    options.lease_time_ms = 1000;
    options.unload_after_ms = -1;
    worker = modes_fork_worker_with(sup_redis_url(redis), &options, list);
    modes_stop_worker(first);
    ck_assert_int_eq(unloads(), unloaded_of[_i]);
    sup_wait_until(asq_poll(H, 0) >= 0 && count_calls(ASQ_CALLS_PARKED) == unloaded_of[_i]);
    end_way(_i);
    expect_end(_i, r);
}
END_TEST

START_TEST(a_pause_does_not_hold_it)
{
    asq_result *r = begin_way(_i);

    wait_until_unloaded(unloaded_of[_i]);
    ok(asq_pause(H, NULL));
    end_way(_i);
    expect_text(r, text_of[_i]);
    ok(asq_resume(H, NULL));
    ck_assert_int_eq(call_int(walker, "add", "[i]", 0), 5);
    expect_nothing();
    asq_agent_free(third);
    third = NULL;
}
END_TEST

START_TEST(its_agent_is_deleted_behind_it)
{
    asq_result *r = begin_way(_i), *deleted;
    asq_agent *other = agent_new("Walker", NULL);

    wait_until_unloaded(unloaded_of[_i]);
    ok(asq_delete_async(walker, &deleted));
    ok(asq_flush(H, sup_limit_ms()));
    ck_assert_int_eq(call_int(other, "add", "[i]", 1), 1);
    ck_assert(!asq_result_done(deleted));
    end_way(_i);
    expect_text(r, text_of[_i]);
    ok(asq_result_wait(deleted, sup_limit_ms()));
    asq_result_free(deleted);
    ck_assert_code(call_code(walker, "add", "[i]", 1), ASQ_ENOAGENT);
    expect_nothing();
    asq_agent_free(other);
    asq_agent_free(third);
    third = NULL;
}
END_TEST

START_TEST(its_deadline_ends_the_wait)
{
    asq_call_options options = ASQ_CALL_OPTIONS_INIT;
    char *script = _i == PROMISE  ? sup_format("w:one p:a")
                   : _i == SIGNAL ? sup_format("w:one h:go")
                                  : sup_format("w:one C:%s,h:go", asq_agent_id(peer));
    asq_result *r;

    options.deadline_ms = 4000;
    ok(asq_callv(walker, "run", &options, asq_pack("[s]", script), &r));
    free(script);
    sup_wait_until(asq_poll(H, 0) >= 0 && unloads() > 0);
    asq_result_wait(r, sup_limit_ms());
    ck_assert_code(asq_result_error(r)->code, ASQ_EDEADLINE);
    asq_result_free(r);
    ck_assert_int_eq(walker_count("one"), 1);
    ck_assert_int_eq(call_int(walker, "add", "[i]", 1), 1);
}
END_TEST

/* ---- limits ---------------------------------------------------------------------------------- */

static asq_result *begin_limited(int way, int ms)
{
    switch (way) {
    case PROMISE: return begin("w:one P:%d,a w:two", ms);
    case SIGNAL: return begin("w:one H:%d,go w:two", ms);
    default: return begin("w:one T:%d,%s,h:go w:two", ms, asq_agent_id(peer));
    }
}

START_TEST(a_limit_ends_the_wait_and_does_not_begin_anew)
{
    int64_t from = sup_now_ms();
    asq_result *r = begin_limited(_i, 6000);

    wait_until_unloaded(_i == CALL ? 2 : 1);
    sup_wait_until(sup_now_ms() - from > 3000);
    kill_owner(); /* the next owner's run waits for the rest alone */
    expect_text(r, "1 none 1 ");
    ck_assert_int_lt(sup_now_ms() - from, 6000 + 5000);
    ck_assert_int_ge(sup_now_ms() - from, 6000);
    ck_assert_int_eq(walker_count("one"), 1);
    ck_assert_int_eq(walker_count("two"), 1);
    if (_i == CALL)
        tell(peer, "go");
    sup_wait_until(asq_poll(H, 0) >= 0 && count_calls(0) == 0);
    ck_assert_int_eq(call_int(peer, "add", "[i]", 1), 1);
    expect_nothing();
}
END_TEST

START_TEST(what_comes_before_the_limit_counts)
{
    asq_result *r = begin_limited(_i, 3600000);

    wait_until_unloaded(_i == CALL ? 2 : 1);
    if (_i == PROMISE)
        resolve("a", 7);
    else
        tell(_i == SIGNAL ? walker : peer, "go");
    expect_text(r, _i == PROMISE ? "1 7 1 " : "1 \"go\" 1 ");
    expect_nothing();
}
END_TEST

/* ---- calls that stay ------------------------------------------------------------------------- */

/* A method without records does not know of other runs. */
START_TEST(a_method_without_records_keeps_its_run)
{
    asq_result *r = begin("C:%s,h:go", asq_agent_id(peer));

    wait_until_unloaded(1); /* the inner one, which waits for a signal */
    sup_sleep_ms(3 * AFTER_MS);
    ck_assert_int_eq(unloads(), 1);
    ck_assert_int_eq(count_calls(ASQ_CALLS_PARKED), 2);
    tell(peer, "go");
    expect_text(r, "\"go\" ");
    expect_nothing();
}
END_TEST

/* ---- calls that come back -------------------------------------------------------------------- */

START_TEST(a_call_that_comes_from_it_finds_it)
{
    asq_result *r =
        begin("u:5 w:one C:%s,h:go+c:%s w:two", asq_agent_id(peer), asq_agent_id(walker));

    wait_until_unloaded(2);
    tell(peer, "go");
    expect_text(r, "1 \"go\" 6 1 ");
    ck_assert_int_eq(call_int(walker, "add", "[i]", 0), 6);
    expect_nothing();
}
END_TEST

/* Makes a script a part of a word; owned by the caller, and takes it. */
static char *inside(char *script)
{
    char *out = calloc(2, strlen(script) + 1), *to = out;

    for (const char *at = script; *at; at++) {
        if (*at == '+' && (at == script || at[-1] != '+'))
            *to++ = '+';
        *to++ = *at == ' ' ? '+' : *at;
    }
    free(script);
    return out;
}

/* Agents in a row, each of which waits for the next, on one thread; the last calls the first. */
START_TEST(a_chain_of_waits_ends_on_one_thread)
{
    enum { N = 6 };
    static const asq_class *const list[] = { &walker_class, NULL };
    asq_worker_options options = ASQ_WORKER_OPTIONS_INIT;
    asq_agent *agents[N];
    char *script = sup_format("w:last h:go c:%s", asq_agent_id(walker)), *outer;

    modes_stop_worker(worker);
    options.lease_time_ms = 1000;
    options.capacity = 1;
    options.unload_after_ms = 20;
    logged_start_worker(NULL, &options, list);
    for (int i = N - 1; i >= 0; i--) {
        agents[i] = agent_new("Walker", NULL);
        script = inside(script);
        outer = sup_format("w:s%d C:%s,%s w:e%d", i, asq_agent_id(agents[i]), script, i);
        free(script);
        script = outer;
    }
    asq_result *r = begin("%s", script);
    free(script);
    wait_until_unloaded(N + 1);
    tell(agents[N - 1], "go");
    expect_text(r, "1 1 1 1 1 1 1 \"go\" 1 1 1 1 1 1 1 ");
    ck_assert_int_eq(call_int(walker, "add", "[i]", 0), 1);
    for (int i = 0; i < N; i++) {
        char *ends = sup_format("e%d", i);
        ck_assert_int_eq(walker_count(ends), 1);
        free(ends);
        asq_agent_free(agents[i]);
    }
    expect_nothing();
}
END_TEST

/* ---- cycles ---------------------------------------------------------------------------------- */

/* Each of the two waits for a call of the other one, which waits for its first call there. */
START_TEST(a_cycle_with_an_unloaded_call_ends)
{
    asq_result *r[2];

    r[0] = begin("w:one h:go C:%s,s:x", asq_agent_id(peer));
    char *script = sup_format("w:one h:go C:%s,s:y", asq_agent_id(walker));
    ok(asq_call(peer, "run", &r[1], "[s]", script));
    free(script);
    wait_until_unloaded(2);
    tell(walker, "go");
    sup_wait_until(asq_poll(H, 0) >= 0 && unloads() == 3);
    wait_until_unloaded(2); /* the walker waits for the peer, which waits for its signal */
    tell(peer, "go");
    int failed = 0;
    for (int i = 0; i < 2; i++) {
        asq_result_wait(r[i], sup_limit_ms());
        int code = asq_result_error(r[i])->code;
        ck_assert(code == 0 || code == ASQ_EDEADLK);
        failed += code == ASQ_EDEADLK;
        asq_result_free(r[i]);
    }
    ck_assert_int_eq(failed, 1);
    expect_nothing();
}
END_TEST

/* ---- moments --------------------------------------------------------------------------------- */

START_TEST(what_comes_at_the_moment_of_unloading_is_not_lost)
{
    int rounds = (int) steps_from("ASQ_TEST_ROUNDS", 200);

    modes_stop_worker(worker);
    unloading_start_worker(5);
    steps_begin(steps_seed());
    for (int i = 0; i < rounds; i++) {
        char *name = sup_format("%d", i);
        asq_result *r = _i == PROMISE ? begin("s:one p:%s", name)
                        : _i == SIGNAL
                            ? begin("s:one h:go%s", name)
                            : begin("s:one C:%s,Z:%d", asq_agent_id(peer), (int) below(12) + 1);
        if (_i == PROMISE) {
            char *id = promise_id(name);
            sup_sleep_ms((int) below(12));
            ok(asq_promise_resolve(H, id, asq_value_int(i)));
            free(id);
        } else if (_i == SIGNAL) {
            char *signal = sup_format("go%s", name);
            sup_sleep_ms((int) below(12));
            tell(walker, signal);
            free(signal);
        }
        asq_result_wait(r, sup_limit_ms());
        ck_assert_msg(asq_result_error(r)->code == 0, "round %d: %s", i,
                      asq_result_error(r)->message);
        asq_result_free(r);
        free(name);
    }
    ck_assert_int_eq(walker_count("one"), rounds);
    printf("# %d rounds, %d unloaded\n", rounds, unloads());
    ck_assert_int_gt(unloads(), 0);
    expect_nothing();
}
END_TEST

int main(void)
{
    Suite *s = suite_create("unload_waits");
    TCase *ways = tcase_create("ways"), *limits = tcase_create("limits"),
          *others = tcase_create("others"), *moments = tcase_create("moments");

    if (!sup_redis_available())
        return sup_skip("no redis-server");
    tcase_set_timeout(ways, 240);
    tcase_add_checked_fixture(ways, set_up, unloading_tear_down);
    tcase_add_loop_test(ways, a_call_goes_on_when_what_it_waits_for_is_there, 0, WAYS);
    tcase_add_loop_test(ways, a_call_that_is_cancelled_is_told_in_its_wait, 0, WAYS);
    tcase_add_loop_test(ways, the_next_owner_runs_it_again_and_it_waits_on, 0, WAYS);
    tcase_add_loop_test(ways, what_comes_while_there_is_no_owner_is_found, 0, WAYS);
    tcase_add_loop_test(ways, a_worker_that_ends_does_not_wait_for_it, 0, WAYS);
    tcase_add_loop_test(ways, a_hand_over_unloads_calls_that_wait, 0, WAYS);
    tcase_add_loop_test(ways, a_pause_does_not_hold_it, 0, WAYS);
    tcase_add_loop_test(ways, its_agent_is_deleted_behind_it, 0, WAYS);
    tcase_add_loop_test(ways, its_deadline_ends_the_wait, 0, GATHER);
    suite_add_tcase(s, ways);
    tcase_set_timeout(limits, 240);
    tcase_add_checked_fixture(limits, set_up, unloading_tear_down);
    tcase_add_loop_test(limits, a_limit_ends_the_wait_and_does_not_begin_anew, 0, GATHER);
    tcase_add_loop_test(limits, what_comes_before_the_limit_counts, 0, GATHER);
    suite_add_tcase(s, limits);
    tcase_set_timeout(others, 240);
    tcase_add_checked_fixture(others, set_up, unloading_tear_down);
    tcase_add_test(others, a_method_without_records_keeps_its_run);
    tcase_add_test(others, a_call_that_comes_from_it_finds_it);
    tcase_add_test(others, a_chain_of_waits_ends_on_one_thread);
    tcase_add_test(others, a_cycle_with_an_unloaded_call_ends);
    suite_add_tcase(s, others);
    tcase_set_timeout(moments, 240);
    tcase_add_checked_fixture(moments, set_up, unloading_tear_down);
    tcase_add_loop_test(moments, what_comes_at_the_moment_of_unloading_is_not_lost, 0, GATHER);
    suite_add_tcase(s, moments);
    return sup_suite_run(s);
}
