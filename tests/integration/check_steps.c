/*
 * check_steps.c: a method's steps are made once, wherever its worker dies, and what they gave is
 * the same in each run; a run on another path is told so.
 */
#include "logged.h"
#include "modes.h"
#include "support/file_lines.h"
#include "support/suite.h"
#include "value/buf.h"
#include "value/step_msg.h"
#include "walker.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static asq_agent *walker, *peer;

static void start_worker(const char *url, size_t max_message_size)
{
    static const asq_class *const list[] = { &walker_class, NULL };
    asq_worker_options options = ASQ_WORKER_OPTIONS_INIT;

    options.lease_time_ms = 1000;
    options.max_message_size = max_message_size;
    options.unload_after_ms = -1;
    logged_start_worker(url, &options, list);
}

/* user: a user of Redis for the worker; NULL: none. */
static void begin_with(const char *user)
{
    mode = MODE_INDEPENDENT;
    logged_set_up();
    walker_set_up();
    logged_open();
    char *url = NULL;
    if (user) {
        sup_redis_do(redis, "ACL SETUSER %s on >pw ~* &* +@all", user);
        url = sup_format("%s?user=%s&password=pw", sup_redis_url_default(redis), user);
    }
    start_worker(url, 64 * 1024);
    free(url);
    walker = agent_new("Walker", NULL);
    peer = agent_new("Walker", NULL);
    ok(asq_ready(walker, sup_limit_ms()));
    ok(asq_ready(peer, sup_limit_ms()));
}

static void set_up(void)
{
    begin_with(NULL);
}

static void set_up_user(void)
{
    begin_with("app");
}

static void tear_down(void)
{
    asq_agent_free(walker);
    asq_agent_free(peer);
    walker_tear_down();
    logged_tear_down();
}

static void set_up_local(void)
{
    mode = MODE_LOCAL;
    walker_set_up();
    H = modes_open_url("local:");
    ok(asq_register(H, &walker_class));
    walker = agent_new("Walker", NULL);
    peer = agent_new("Walker", NULL);
}

static void tear_down_local(void)
{
    asq_agent_free(walker);
    asq_agent_free(peer);
    asq_close(H);
    H = NULL;
    walker_tear_down();
}

/* Returns the script with the peer's id in place of "PEER"; the caller frees it. */
static char *script_of(const char *script)
{
    char *out = calloc(1, 1000), *p = out;
    const char *at;

    while ((at = strstr(script, "PEER"))) {
        p += sprintf(p, "%.*s%s", (int) (at - script), script, asq_agent_id(peer));
        script = at + 4;
    }
    strcpy(p, script);
    return out;
}

static asq_result *begin(const char *method, const char *script)
{
    asq_result *r;
    char *text = script_of(script);

    ok(asq_call(walker, method, &r, "[s]", text));
    free(text);
    return r;
}

/* Runs a script, which must succeed; the caller frees the text. */
static char *walk(const char *script)
{
    asq_result *r = begin("run", script);
    const char *text;

    ok(asq_result_wait(r, sup_limit_ms()));
    ck_assert_msg(asq_result_error(r)->code == 0, "%s: %s", script, asq_result_error(r)->message);
    ok(asq_result_string(r, &text));
    char *copy = strdup(text);
    asq_result_free(r);
    return copy;
}

/* Runs a script that must fail with this code, and a text with these parts. */
static void stumble(const char *script, int code, const char *one, const char *two)
{
    asq_result *r = begin("run", script);

    asq_result_wait(r, sup_limit_ms());
    const asq_error *e = asq_result_error(r);
    ck_assert_msg(e->code == code, "%s: %d %s", script, e->code, e->message);
    ck_assert_contains(e->message, one);
    ck_assert_contains(e->message, two);
    asq_result_free(r);
}

/* Checks that nothing is left of any call. */
static void expect_nothing(void)
{
    redisReply *keys = sup_redis_reply(redis, "KEYS asq:{default*}:s:*");
    redisReply *attempts = sup_redis_reply(redis, "KEYS asq:{default*}:attempts");

    ck_assert_uint_eq(keys->elements, 0);
    ck_assert_uint_eq(attempts->elements, 0);
    freeReplyObject(keys);
    freeReplyObject(attempts);
}

/* ---- both modes ------------------------------------------------------------------------------ */

START_TEST(a_step_gives_its_value_and_a_failure_is_the_methods_to_handle)
{
    char *text = walk("s:one w:two f:three z:1000 r:four I:five c:PEER n R a");

    ck_assert_contains(text, "1 1 -3:three does not like 1 3 -9 1 now1");
    ck_assert_int_eq(walker_count("one"), 1);
    ck_assert_int_eq(walker_count("three"), 1);
    ck_assert_int_eq(walker_count("four"), 3);
    ck_assert_int_eq(walker_count("five"), 0);
    free(text);
    stumble("i:five", ASQ_ESTATE, "steps of its own", "");
    stumble("s:six F:seven", ASQ_ETYPE, "seven does not like 1", "");
}
END_TEST

START_TEST(a_retry_begins_without_records)
{
    asq_result *r = begin("retried", "w:one E w:two");
    const char *text;

    ok(asq_result_wait(r, sup_limit_ms()));
    ok(asq_result_string(r, &text));
    ck_assert_str_eq(text, "2 1 ");
    asq_result_free(r);
}
END_TEST

/* ---- with workers ---------------------------------------------------------------------------- */

/* Scripts whose worker dies at k, and what the effects file must have of each step then. */
static const char *const deaths[] = {
    "k w:one c:PEER w:two n R a s:three",        "w:one k c:PEER w:two n R a s:three",
    "w:one c:PEER k w:two n R a s:three",        "w:one c:PEER w:two k n R a s:three",
    "s:one c:PEER k w:two n R a s:three",        "s:one c:PEER w:two n R c:PEER k a s:three",
    "s:one s:two c:PEER n R a k s:three",        "n R a s:one s:two c:PEER k s:three",
    "c:PEER c:PEER n w:one k R a s:two s:three", "f:bad w:one c:PEER k w:two n R a s:three",
    "s:one c:PEER z:1000 k n w:two a s:three",   "z:1000 s:one c:PEER n w:two k R a s:three"
};

START_TEST(each_step_is_made_once_wherever_its_worker_dies)
{
    const char *script = deaths[_i];
    char *text = walk(script);

    ck_assert(exists(walker_turn));
    ck_assert_int_eq(walker_count("one"), 1);
    ck_assert_int_eq(walker_count("two"), 1);
    ck_assert_int_eq(walker_count("three"), 1);
    ck_assert_int_le(walker_count("bad"), 1);
    /* A random number may end with 2, too. */
    ck_assert_msg(strstr(text, " 2 2 ") == NULL || strstr(script, "c:PEER c:PEER"), "%s", text);
    ck_assert_int_eq(call_int(peer, "add", "[i]", 0), sup_count(script, "c:PEER"));
    /* What is given after the death was given before it, too, or was not given then. */
    char *copy = strdup(text), *rest;
    for (char *word = strtok_r(copy, " ", &rest); word; word = strtok_r(NULL, " ", &rest))
        if (strncmp(word, "now", 3) == 0 || strncmp(word, "random", 6) == 0 ||
            strncmp(word, "agent", 5) == 0) {
            char *kind = sup_format("is %.3s", word), *line = sup_format("is %s\n", word);
            ck_assert_int_eq(sup_file_count(walker_effects, line),
                             sup_file_count(walker_effects, kind));
            free(kind);
            free(line);
        }
    free(copy);
    free(text);
    expect_nothing();
}
END_TEST

START_TEST(a_step_whose_worker_dies_before_its_record_is_made_again)
{
    char *text = walk("w:one D:two w:three");

    ck_assert_str_eq(text, "1 2 1 ");
    ck_assert_int_eq(walker_count("one"), 1);
    ck_assert_int_eq(walker_count("two"), 2);
    free(text);
}
END_TEST

/* Redis refuses the records meanwhile. */
START_TEST(what_comes_after_a_step_leaves_when_its_record_is_there)
{
    const char *text;

    sup_redis_do(redis, "ACL SETUSER app resetkeys ~asq:{default}:* ~asq:{default.*}:[^s]*");
    asq_result *r = begin("run", "s:one c:PEER s:two");
    ok(asq_flush(H, sup_limit_ms()));
    sup_wait_until(sup_redis_stat(redis, "errorstats", "errorstat_NOPERM", ":count=") > 2);
    ck_assert_int_eq(walker_count("one"), 1);
    ck_assert_int_eq(walker_count("two"), 0);
    ck_assert_int_eq(call_int(peer, "add", "[i]", 0), 0);
    sup_redis_do(redis, "ACL SETUSER app resetkeys ~*");
    ok(asq_result_wait(r, sup_limit_ms()));
    ok(asq_result_string(r, &text));
    ck_assert_str_eq(text, "1 1 1 ");
    asq_result_free(r);
    expect_nothing();
}
END_TEST

START_TEST(a_run_on_another_path_is_told_both_names)
{
    static const struct {
        const char *script, *one, *two;
    } list[] = { { "w:a x:one,two", "step 'two'", "step 'one'" },
                 { "w:a y:one,PEER", "a call of", "step 'one'" },
                 { "w:a Y:PEER,one w:z", "step 'one'", "a call of" },
                 { "w:a e w:b K", "nothing more", "step 'b'" },
                 { "w:a v:1000,two w:b k", "a sleep", "step 'two'" },
                 { "w:a V:1000,two w:b k", "step 'two'", "a sleep" } };
    char id[100];

    snprintf(id, sizeof id, "%s", asq_agent_id(peer));
    stumble(list[_i].script, ASQ_EDIVERGED, list[_i].one, list[_i].two);
    ck_assert(exists(walker_turn));
    ck_assert_int_eq(walker_count("a"), 1);
    ck_assert_int_eq(walker_count("two"), strncmp(list[_i].script, "w:a v", 5) == 0);
    expect_nothing();
}
END_TEST

START_TEST(records_have_a_bound_in_bytes)
{
    stumble("L:70000", ASQ_ELIMIT, "step '70000' was made", "65536 bytes together");
    ck_assert_int_eq(walker_count("70000"), 1);
    stumble("l:63400 l:2000 w:last", ASQ_ELIMIT, "no room for another step", "65536");
    ck_assert_int_eq(walker_count("last"), 0);
    char *text = walk("l:63400 l:2000 z:1000 c:PEER"); /* a sleep needs no record */
    free(text);
    expect_nothing();
}
END_TEST

/* ---- sleeps ---------------------------------------------------------------------------------- */

/* Returns the records of the only call that has any, and their key; NULL: there are none. */
static redisReply *read_records(char key[100])
{
    redisReply *keys = sup_redis_reply(redis, "KEYS asq:{default*}:s:*"), *records = NULL;

    if (keys->elements == 1) {
        snprintf(key, 100, "%s", keys->element[0]->str);
        records = sup_redis_reply(redis, "GET %s", key);
    }
    freeReplyObject(keys);
    return records;
}

/* Waits for the record of a sleep, which must be the only one, and returns when the sleep ends. */
static int64_t sleeping_until(char key[100])
{
    redisReply *records;

    sup_wait_until(asq_poll(H, 0) >= 0 && (records = read_records(key)));
    ck_assert_int_eq(records->type, REDIS_REPLY_STRING);
    struct asq__step step;
    size_t at = 0;
    ck_assert_int_eq(asq__step_read((uint8_t *) records->str, records->len, &at, &step), 0);
    ck_assert_int_eq(step.kind, ASQUEUE__STEP_KIND__SLEEP);
    ck_assert_uint_eq(at, records->len);
    ck_assert_uint_eq(step.value_n, 8);
    int64_t ms = 0;
    for (int i = 8; i-- > 0;)
        ms = ms << 8 | ((const uint8_t *) step.value)[i];
    freeReplyObject(records);
    return ms;
}

static void sleep_until(const char *key, int64_t ms)
{
    uint8_t bytes[8];
    struct asq__buf out;

    for (int i = 0; i < 8; i++)
        bytes[i] = (uint8_t) (ms >> 8 * i);
    struct asq__step step = {
        .number = 1, .kind = ASQUEUE__STEP_KIND__SLEEP, .name = "", .value = bytes, .value_n = 8
    };
    asq__buf_init(&out, 1000);
    asq__step_encode(&step, &out);
    sup_redis_do(redis, "SET %s %b", key, out.data, out.len);
    asq__buf_release(&out);
}

enum { HOUR_MS = 3600000 };

START_TEST(a_sleep_ends_when_its_record_says)
{
    char key[100];
    const char *text;
    asq_result *r = begin("run", "z:3600000 w:one");

    ok(asq_flush(H, sup_limit_ms()));
    sleep_until(key, sleeping_until(key) - HOUR_MS);
    ck_assert_int_eq(walker_count("one"), 0);
    kill(sup_redis_worker_pid(redis, "w.0"), SIGKILL);
    ok(asq_result_wait(r, sup_limit_ms()));
    ok(asq_result_string(r, &text));
    ck_assert_str_eq(text, "1 ");
    ck_assert_int_eq(sup_file_count(walker_effects, "asleep"), 2);
    asq_result_free(r);
    expect_nothing();
}
END_TEST

START_TEST(a_sleep_goes_on_for_the_rest_and_keeps_its_record)
{
    char key[100];
    asq_result *r = begin("run", "z:3600000 w:one");

    ok(asq_flush(H, sup_limit_ms()));
    int64_t until = sleeping_until(key);
    kill(sup_redis_worker_pid(redis, "w.0"), SIGKILL);
    sup_wait_until(asq_poll(H, 0) >= 0 && sup_file_count(walker_effects, "asleep") > 1);
    ck_assert_int_eq(call_int(peer, "add", "[i]", 0), 0);
    ck_assert(!asq_result_done(r));
    ck_assert_int_eq(sleeping_until(key), until);
    ok(asq_result_cancel(r));
    asq_result_wait(r, sup_limit_ms());
    ck_assert_code(asq_result_error(r)->code, ASQ_ECANCELED);
    ck_assert_int_eq(walker_count("one"), 0);
    asq_result_free(r);
    expect_nothing();
}
END_TEST

START_TEST(short_sleeps_and_those_in_a_step_have_no_number)
{
    char *text = walk("w:one Z:999 Z:1 w:two j:three k s:four");

    ck_assert_str_eq(text, "1 1 1 1 ");
    ck_assert(exists(walker_turn));
    ck_assert_int_eq(sup_file_count(walker_effects, "asleep"), 2);
    free(text);
    expect_nothing();
}
END_TEST

START_TEST(records_live_as_long_as_their_call)
{
    asq_result *r = begin("run", "w:one w:two g w:three");

    ok(asq_flush(H, sup_limit_ms()));
    sup_wait_until(sup_file_count(walker_effects, "at the gate") > 0);
    redisReply *keys = sup_redis_reply(redis, "KEYS asq:{default*}:s:*");
    ck_assert_uint_eq(keys->elements, 1);
    ck_assert_int_eq(sup_redis_int(redis, "PTTL %s", keys->element[0]->str), -1);
    freeReplyObject(keys);
    touch(walker_gate);
    ok(asq_result_wait(r, sup_limit_ms()));
    asq_result_free(r);
    expect_nothing();
    stumble("w:one F:two", ASQ_ETYPE, "two does not like", "");
    expect_nothing();
}
END_TEST

START_TEST(steps_outlive_a_restart_of_redis)
{
    asq_result *r = begin("run", "w:one c:PEER g w:two k c:PEER w:three");
    const char *text;

    ok(asq_flush(H, sup_limit_ms()));
    sup_wait_until(asq_poll(H, 0) >= 0 && sup_file_count(walker_effects, "at the gate") > 0);
    sup_redis_do(redis, "SAVE");
    sup_redis_restart(redis);
    touch(walker_gate);
    ok(asq_result_wait(r, sup_limit_ms()));
    ok(asq_result_string(r, &text));
    ck_assert_str_eq(text, "1 1 1 2 1 ");
    ck_assert_int_eq(walker_count("one"), 1);
    ck_assert_int_eq(walker_count("two"), 1);
    asq_result_free(r);
    expect_nothing();
}
END_TEST

START_TEST(an_owner_that_was_paused_records_nothing_any_more)
{
    asq_result *r = begin("run", "w:one g w:two w:three");
    const char *text;
    pid_t first = worker;

    ok(asq_flush(H, sup_limit_ms()));
    sup_wait_until(asq_poll(H, 0) >= 0 && sup_file_count(walker_effects, "at the gate") > 0);
    pid_t process = sup_redis_worker_pid(redis, "w.0");
    kill(first, SIGSTOP);
    kill(process, SIGSTOP);
    static const asq_class *const list[] = { &walker_class, NULL };
    asq_worker_options options = ASQ_WORKER_OPTIONS_INIT;
    options.id = "second";
    options.lease_time_ms = 1000;
    options.unload_after_ms = -1;
    pid_t second = modes_fork_worker_with(sup_redis_url(redis), &options, list);
    sup_wait_until(asq_poll(H, 0) >= 0 && sup_file_count(walker_effects, "at the gate") > 1);
    touch(walker_gate);
    ok(asq_result_wait(r, sup_limit_ms()));
    ok(asq_result_string(r, &text));
    ck_assert_str_eq(text, "1 1 1 ");
    kill(process, SIGCONT);
    kill(first, SIGCONT);
    asq_result_free(r);
    modes_stop_worker(second);
    modes_stop_worker(first);
    worker = 0;
    ck_assert_int_eq(walker_count("one"), 1);
    expect_nothing();
}
END_TEST

START_TEST(a_call_whose_records_are_gone_is_not_run_again)
{
    asq_result *r = begin("run", "w:one g w:two");

    ok(asq_flush(H, sup_limit_ms()));
    sup_wait_until(asq_poll(H, 0) >= 0 && sup_file_count(walker_effects, "at the gate") > 0);
    redisReply *keys = sup_redis_reply(redis, "KEYS asq:{default*}:s:*");
    ck_assert_uint_eq(keys->elements, 1);
    if (_i == 0)
        sup_redis_do(redis, "DEL %s", keys->element[0]->str);
    else
        sup_redis_do(redis, "SET %s rubbish", keys->element[0]->str);
    freeReplyObject(keys);
    kill(sup_redis_worker_pid(redis, "w.0"), SIGKILL);
    touch(walker_gate);
    asq_result_wait(r, sup_limit_ms());
    ck_assert_code(asq_result_error(r)->code, ASQ_EINTERRUPTED);
    ck_assert_contains(asq_result_error(r)->message, "the records of what an earlier run");
    ck_assert_int_eq(walker_count("one"), 1);
    asq_result_free(r);
    expect_nothing();
}
END_TEST

int main(void)
{
    Suite *s = suite_create("steps");
    TCase *local = tcase_create("local"), *t = tcase_create("independent"),
          *denied = tcase_create("denied");

    if (!sup_redis_available())
        return sup_skip("no redis-server");
    tcase_set_timeout(local, 120);
    tcase_add_checked_fixture(local, set_up_local, tear_down_local);
    tcase_add_test(local, a_step_gives_its_value_and_a_failure_is_the_methods_to_handle);
    tcase_add_test(local, a_retry_begins_without_records);
    suite_add_tcase(s, local);
    tcase_set_timeout(t, 240);
    tcase_add_checked_fixture(t, set_up, tear_down);
    tcase_add_test(t, a_step_gives_its_value_and_a_failure_is_the_methods_to_handle);
    tcase_add_test(t, a_retry_begins_without_records);
    tcase_add_loop_test(t, each_step_is_made_once_wherever_its_worker_dies, 0,
                        sizeof deaths / sizeof *deaths);
    tcase_add_test(t, a_step_whose_worker_dies_before_its_record_is_made_again);
    tcase_add_loop_test(t, a_run_on_another_path_is_told_both_names, 0, 6);
    tcase_add_test(t, records_have_a_bound_in_bytes);
    tcase_add_test(t, a_sleep_ends_when_its_record_says);
    tcase_add_test(t, a_sleep_goes_on_for_the_rest_and_keeps_its_record);
    tcase_add_test(t, short_sleeps_and_those_in_a_step_have_no_number);
    tcase_add_test(t, records_live_as_long_as_their_call);
    tcase_add_test(t, steps_outlive_a_restart_of_redis);
    tcase_add_test(t, an_owner_that_was_paused_records_nothing_any_more);
    tcase_add_loop_test(t, a_call_whose_records_are_gone_is_not_run_again, 0, 2);
    suite_add_tcase(s, t);
    tcase_set_timeout(denied, 240);
    tcase_add_checked_fixture(denied, set_up_user, tear_down);
    tcase_add_test(denied, what_comes_after_a_step_leaves_when_its_record_is_there);
    suite_add_tcase(s, denied);
    return sup_suite_run(s);
}
