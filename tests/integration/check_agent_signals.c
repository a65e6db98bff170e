/*
 * check_agent_signals.c: signals to agents are kept in order until a call hears them, each is heard
 * once, wherever processes die, and a call that runs again hears the same.
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

enum { HOUR_MS = 3600000 };

/* ---- a class whose calls wait beside each other ---------------------------------------------- */

/* listen(name, timeout_ms) */
static int ear_listen(asq_ctx *ctx, void *self, const asq_value *args, asq_value **ret)
{
    const char *name;
    int64_t timeout_ms;
    int rc = asq_args(ctx, args, "[s, I]", &name, &timeout_ms);

    (void) self;
    return rc < 0 ? rc : asq_ctx_next_signal(ctx, name, ret, timeout_ms);
}

/* A creation that waits for a signal. */
static int early_create(asq_ctx *ctx, const asq_value *args, void **ret_self)
{
    (void) args;
    (void) ret_self;
    return asq_ctx_next_signal(ctx, "go", NULL, 0);
}

static const asq_method ear_methods[] = {
    { "listen", ear_listen, "name, timeout_ms", ASQ_CONCURRENT | ASQ_READONLY, NULL }, { 0 }
};
static const asq_class ear_class = { ASQ_CLASS_INIT, .name = "Ear", .methods = ear_methods };
static const asq_class early_class = { ASQ_CLASS_INIT, .name = "Early", .methods = ear_methods,
                                       .create = early_create };
static const asq_class *const classes[] = { &walker_class, &ear_class, &early_class, NULL };

/* ---- fixtures -------------------------------------------------------------------------------- */

static asq_agent *walker, *peer;

static void make_agents(void)
{
    walker = agent_new("Walker", NULL);
    peer = agent_new("Walker", NULL);
}

static void set_up(void)
{
    asq_worker_options options = ASQ_WORKER_OPTIONS_INIT;

    mode = MODE_INDEPENDENT;
    options.lease_time_ms = 1000;
    logged_set_up();
    walker_set_up();
    logged_open();
    logged_start_worker(NULL, &options, classes);
    make_agents();
}

/* Returns how many agents have signals in Redis. */
static size_t kept_keys(void)
{
    redisReply *keys = sup_redis_reply(redis, "KEYS asq:{default*}:g:*");
    size_t n = keys->elements;

    freeReplyObject(keys);
    return n;
}

static void tear_down(void)
{
    ok(asq_delete(walker, sup_limit_ms()));
    ok(asq_delete(peer, sup_limit_ms()));
    ck_assert_uint_eq(kept_keys(), 0);
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
    for (size_t i = 0; classes[i]; i++)
        ok(asq_register(H, classes[i]));
    make_agents();
}

static void tear_down_local(void)
{
    asq_agent_free(walker);
    asq_agent_free(peer);
    asq_close(H);
    H = NULL;
    walker_tear_down();
}

/* ---- helpers --------------------------------------------------------------------------------- */

static void tell(asq_agent *a, const char *name, int value)
{
    ok(asq_signal(a, name, asq_value_int(value)));
}

/* Begins a script; "PEER" in it stands for the peer's id. */
static asq_result *begin(const char *script)
{
    char text[500] = "";
    const char *at;
    asq_result *r;

    for (; (at = strstr(script, "PEER")); script = at + 4)
        sprintf(text + strlen(text), "%.*s%s", (int) (at - script), script, asq_agent_id(peer));
    strcat(text, script);
    ok(asq_call(walker, "run", &r, "[s]", text));
    ok(asq_flush(H, sup_limit_ms()));
    return r;
}

/* Waits for the end of a script, which must give this text. */
static void expect(asq_result *r, const char *expected)
{
    const char *text;

    ok(asq_result_wait(r, sup_limit_ms()));
    ok(asq_result_string(r, &text));
    ck_assert_str_eq(text, expected);
    asq_result_free(r);
}

/* Checks which signals an agent has, by a text "NAME=VALUE NAME=VALUE ". */
static void expect_kept(asq_agent *a, const char *expected)
{
    char text[500] = "";
    asq_value *list;

    ok(asq_signals(H, asq_agent_id(a), &list));
    for (size_t i = 0; i < asq_list_size(list); i++) {
        const asq_value *map = asq_list_get(list, i);
        const char *name;
        char *json;
        ok(asq_value_get_string(asq_map_get(map, "name"), &name, NULL));
        ok(asq_to_json(asq_map_get(map, "value"), 0, &json));
        snprintf(text + strlen(text), sizeof text - strlen(text), "%s=%s ", name, json);
        ck_assert_int_gt(asq_map_int(map, "at_ms"), 1600000000000);
        free(json);
    }
    ck_assert_str_eq(text, expected);
    asq_value_free(list);
}

static int take_why(const asq_value *call, void *user)
{
    const char *why = "";

    asq_value_get_string(asq_map_get(call, "why"), &why, NULL);
    *(int *) user += strcmp(why, "waits for signal go") == 0;
    return 0;
}

/* Returns how many calls are shown as waiting for the signal "go". */
static int waiting(void)
{
    int n = 0;

    asq_calls_each(H, ASQ_CALLS_PARKED, NULL, NULL, sup_limit_ms(), take_why, &n);
    return n;
}

static void kill_worker(void)
{
    kill(sup_redis_worker_pid(redis, "w.0"), SIGKILL);
}

/* ---- in each mode ---------------------------------------------------------------------------- */

START_TEST(signals_are_heard_by_name_in_the_order_in_which_they_came)
{
    tell(walker, "go", 1);
    tell(walker, "stop", 2);
    tell(walker, "go", 3);
    ok(asq_signal(walker, "stop", NULL));
    tell(peer, "go", 9);
    expect_kept(walker, "go=1 stop=2 go=3 stop=null ");
    expect(begin("h:stop H:60000,go H:0,none"), "2 1 none ");
    expect_kept(walker, "go=3 stop=null ");
    expect(begin("h:go h:stop H:0,go"), "3 null none ");
    expect_kept(walker, "");
    expect_kept(peer, "go=9 ");
}
END_TEST

START_TEST(a_signal_that_does_not_come_times_out)
{
    expect(begin("H:0,go H:200,go H:1100,go s:one"), "none none none 1 ");
}
END_TEST

START_TEST(signals_need_an_agent_a_name_and_a_small_value)
{
    asq_agent *nobody;
    static char text[65536];
    asq_result *r;

    ok(asq_attach(H, own("nobody"), &nobody));
    ck_assert_code(asq_signal(nobody, "go", NULL), ASQ_ENOAGENT);
    ck_assert_contains(asq_errmsg(H), "never created");
    ck_assert_code(asq_signal(walker, "", NULL), ASQ_EINVAL);
    memset(text, 'x', sizeof text - 1);
    ck_assert_code(asq_signal(walker, "go", asq_value_string(text)), ASQ_ELIMIT);
    text[60000] = '\0';
    ok(asq_signal(walker, "go", asq_value_string(text)));
    ok(asq_call(peer, "add", &r, "[i]", 1));
    ck_assert_code(asq_signal(walker, "go", asq_value_future(r)), ASQ_EINVAL);
    ok(asq_signal(walker, "go", asq_value_future_unawaited(r)));
    asq_result_free(r);
    asq_agent_free(nobody);
}
END_TEST

START_TEST(an_agent_has_a_bounded_number_of_signals)
{
    static char text[60001];
    int n = 0, rc;

    memset(text, 'x', sizeof text - 1);
    while ((rc = asq_signal(walker, "large", asq_value_string(text))) == 0)
        n++;
    ck_assert_code(rc, ASQ_EBUSY);
    ck_assert_contains(asq_errmsg(H), "were not heard yet");
    ck_assert_int_eq(n, 1024 * 1024 / 60020);
    ok(asq_signal(walker, "small", NULL));
    asq_result_free(begin("h:large"));
    sup_wait_until((rc = asq_signal(walker, "large", asq_value_string(text))) != ASQ_EBUSY);
    ok(rc);
}
END_TEST

START_TEST(signals_end_with_their_agent)
{
    const char *id = own("mortal");
    asq_agent *a;

    ok(asq_create(H, "Walker", id, &a, NULL));
    tell(a, "go", 1);
    expect_kept(a, "go=1 ");
    ok(asq_delete(a, sup_limit_ms()));
    ck_assert_code(asq_signal(a, "go", NULL), ASQ_ENOAGENT);
    expect_kept(a, "");
    asq_agent_free(a);
    ok(asq_create(H, "Walker", id, &a, NULL));
    tell(a, "stop", 2);
    expect_kept(a, "stop=2 ");
    ok(asq_delete(a, sup_limit_ms()));
    asq_agent_free(a);
}
END_TEST

START_TEST(a_creation_cannot_wait_for_signals)
{
    ck_assert_code(create_code("Early", own("early"), NULL), ASQ_ENOTSUP);
}
END_TEST

START_TEST(methods_signal_other_agents_and_their_own)
{
    char *script = sup_format("u:PEER,go u:%s,self h:self", asq_agent_id(walker));

    expect(begin(script), "\"self\" ");
    expect_kept(peer, "go=\"go\" ");
    free(script);
}
END_TEST

/* ---- with workers ---------------------------------------------------------------------------- */

START_TEST(a_waiting_call_is_shown_and_hears_a_signal_that_comes)
{
    asq_result *r = begin("h:go w:one");

    sup_wait_until(waiting() == 1);
    tell(walker, "stop", 1);
    tell(walker, "go", 2);
    expect(r, "2 1 ");
    expect_kept(walker, "stop=1 ");
}
END_TEST

START_TEST(a_signal_is_kept_while_a_method_runs)
{
    asq_result *r = begin("g h:go");

    sup_wait_until(sup_file_count(walker_effects, "at the gate") > 0);
    tell(walker, "go", 1);
    expect_kept(walker, "go=1 ");
    touch(walker_gate);
    expect(r, "1 ");
}
END_TEST

START_TEST(a_signal_follows_the_creation_of_its_agent)
{
    asq_agent *a;
    asq_result *r;
    const char *text;

    ok(asq_create(H, "Walker", own("new"), &a, NULL));
    ok(asq_call(a, "run", &r, "[s]", "h:go"));
    ok(asq_signal(a, "go", asq_value_int(1)));
    ok(asq_result_wait(r, sup_limit_ms()));
    ok(asq_result_string(r, &text));
    ck_assert_str_eq(text, "1 ");
    asq_result_free(r);
    ok(asq_delete(a, sup_limit_ms()));
    asq_agent_free(a);
}
END_TEST

/* Scripts whose worker dies at k, after go=1 go=2 stop=3; what they give, and what is left. */
static const struct {
    const char *script, *gives, *left;
} deaths[] = { { "k h:go w:one", "1 1 ", "go=2 stop=3 " },
               { "h:go k w:one", "1 1 ", "go=2 stop=3 " },
               { "h:go w:one k h:stop", "1 1 3 ", "go=2 " },
               { "h:go h:go k h:stop w:one", "1 2 3 1 ", "" },
               { "H:60000,go c:PEER H:0,none k h:go", "1 1 none 2 ", "stop=3 " },
               { "c:PEER c:PEER H:0,none h:stop k w:one", "1 2 none 3 1 ", "go=1 go=2 " },
               { "u:PEER,go k h:go u:PEER,go w:one", "1 1 ", "go=2 stop=3 " },
               { "u:PEER,go h:go u:PEER,go k w:one", "1 1 ", "go=2 stop=3 " } };

START_TEST(each_signal_is_heard_once_wherever_a_worker_dies)
{
    tell(walker, "go", 1);
    tell(walker, "go", 2);
    tell(walker, "stop", 3);
    expect(begin(deaths[_i].script), deaths[_i].gives);
    ck_assert(exists(walker_turn));
    ck_assert_int_eq(walker_count("one"), strstr(deaths[_i].script, "w:one") != NULL);
    expect_kept(walker, deaths[_i].left);
    expect_kept(peer, strstr(deaths[_i].script, "u:") ? "go=\"go\" go=\"go\" " : "");
}
END_TEST

START_TEST(a_signal_is_heard_when_the_worker_has_died_meanwhile)
{
    asq_result *r = begin("h:go h:go");

    sup_wait_until(waiting() == 1);
    tell(walker, "go", 1);
    sup_wait_until(sup_file_count(walker_effects, "heard 1") == 1);
    kill_worker();
    tell(walker, "go", 2);
    expect(r, "1 2 ");
    ck_assert_int_eq(sup_file_count(walker_effects, "heard 2"), 1);
    expect_kept(walker, "");
}
END_TEST

START_TEST(signals_outlive_a_restart_of_redis)
{
    tell(walker, "stop", 1);
    asq_result *r = begin("h:go h:stop k h:go");

    sup_wait_until(waiting() == 1);
    sup_redis_do(redis, "SAVE");
    sup_redis_restart(redis);
    tell(walker, "go", 2);
    tell(walker, "go", 3);
    expect(r, "2 1 3 ");
    expect_kept(walker, "");
}
END_TEST

/* Returns the records of the only call that has any; NULL: there are none. */
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

START_TEST(the_end_of_a_wait_is_durable)
{
    char key[100];
    redisReply *records;
    struct asq__step step;
    struct asq__buf out;
    uint8_t bytes[8] = { 0 };
    size_t at = 0;
    asq_result *r = begin("H:3600000,go w:one");

    sup_wait_until(asq_poll(H, 0) >= 0 && (records = read_records(key)));
    ck_assert_int_eq(asq__step_read((uint8_t *) records->str, records->len, &at, &step), 0);
    ck_assert_int_eq(step.kind, ASQUEUE__STEP_KIND__SIGNAL_UNTIL);
    step.value = bytes; /* the hour is over since long */
    asq__buf_init(&out, 1000);
    asq__step_encode(&step, &out);
    sup_redis_do(redis, "SET %s %b", key, out.data, out.len);
    asq__buf_release(&out);
    freeReplyObject(records);
    kill_worker();
    expect(r, "none 1 ");
    ck_assert_int_eq(sup_file_count(walker_effects, "heard none"), 1);
}
END_TEST

START_TEST(a_timeout_is_the_same_in_the_next_run)
{
    asq_result *r = begin("H:1000,go g k w:one h:go");

    sup_wait_until(sup_file_count(walker_effects, "at the gate") > 0);
    tell(walker, "go", 1);
    touch(walker_gate);
    expect(r, "none 1 1 ");
    ck_assert_int_eq(sup_file_count(walker_effects, "heard none"), 2);
}
END_TEST

START_TEST(a_call_that_is_cancelled_leaves_the_signal_to_others)
{
    asq_result *r = begin("h:go");

    sup_wait_until(waiting() == 1);
    ok(asq_result_cancel(r));
    asq_result_wait(r, sup_limit_ms());
    ck_assert_code(asq_result_error(r)->code, ASQ_ECANCELED);
    asq_result_free(r);
    tell(walker, "go", 1);
    expect_kept(walker, "go=1 ");
    expect(begin("h:go"), "1 ");
}
END_TEST

enum { MANY = 16 };

/* Sends numbers to an agent with many waiting calls, and lets the worker die in between. */
START_TEST(several_waiting_calls_hear_one_signal_each)
{
    asq_agent *ear = agent_new("Ear", NULL);
    asq_result *r[MANY];
    bool heard[MANY] = { false };

    for (int i = 0; i < MANY; i++)
        ok(asq_call(ear, "listen", &r[i], "[s, i]", "go", -1));
    ok(asq_flush(H, sup_limit_ms()));
    sup_wait_until(waiting() == MANY);
    for (int i = 0; i < MANY; i++) {
        if (_i == 1 && i % 5 == 4)
            kill_worker();
        if (_i == 2 && i == MANY / 2) {
            sup_redis_do(redis, "SAVE");
            sup_redis_restart(redis);
        }
        tell(ear, "go", i);
    }
    for (int i = 0; i < MANY; i++) {
        int64_t n = result_int(r[i]);
        ck_assert(n >= 0 && n < MANY && !heard[n]);
        heard[n] = true;
    }
    expect_kept(ear, "");
    ok(asq_delete(ear, sup_limit_ms()));
    asq_agent_free(ear);
}
END_TEST

START_TEST(an_owner_that_was_paused_gives_no_signal_any_more)
{
    asq_result *r = begin("h:go w:one");
    pid_t first = worker;

    sup_wait_until(waiting() == 1);
    pid_t process = sup_redis_worker_pid(redis, "w.0");
    kill(first, SIGSTOP);
    kill(process, SIGSTOP);
    asq_worker_options options = ASQ_WORKER_OPTIONS_INIT;
    options.id = "second";
    options.lease_time_ms = 1000;
    pid_t second = modes_fork_worker_with(sup_redis_url(redis), &options, classes);
    tell(walker, "go", 1);
    expect(r, "1 1 ");
    kill(process, SIGCONT);
    kill(first, SIGCONT);
    tell(walker, "go", 2);
    expect(begin("h:go"), "2 ");
    modes_stop_worker(first);
    worker = 0;
    tell(peer, "go", 3);
    expect_kept(peer, "go=3 ");
    ok(asq_delete(walker, sup_limit_ms()));
    ok(asq_delete(peer, sup_limit_ms()));
    ck_assert_uint_eq(kept_keys(), 0);
    asq_agent_free(walker);
    asq_agent_free(peer);
    modes_stop_worker(second);
    walker_tear_down();
    logged_tear_down();
}
END_TEST

START_TEST(signals_that_were_overwritten_begin_anew)
{
    redisReply *keys;

    tell(walker, "go", 1);
    keys = sup_redis_reply(redis, "KEYS asq:{default*}:g:*");
    ck_assert_uint_eq(keys->elements, 1);
    sup_redis_do(redis, _i ? "SET %s rubbish" : "LPUSH %s:2 a", keys->element[0]->str);
    if (_i == 0)
        sup_redis_do(redis, "RENAME %s:2 %s", keys->element[0]->str, keys->element[0]->str);
    freeReplyObject(keys);
    tell(walker, "go", 2);
    expect_kept(walker, "go=2 ");
    expect(begin("h:go H:0,go"), "2 none ");
    ck_assert_int_gt(logged_count("they were overwritten, and are kept anew"), 0);
}
END_TEST

/* Hears some of many, so that the string in Redis is written anew now and then. */
START_TEST(the_string_in_redis_stays_small)
{
    for (int i = 0; i < 300; i++) {
        static char text[101];
        memset(text, 'x', sizeof text - 1);
        ok(asq_signal(walker, "go", asq_value_string(text)));
        ok(asq_signal(walker, "stay", NULL));
        asq_result *r = begin("h:go");
        ok(asq_result_wait(r, sup_limit_ms()));
        asq_result_free(r);
    }
    redisReply *keys = sup_redis_reply(redis, "KEYS asq:{default*}:g:*");
    ck_assert_uint_eq(keys->elements, 1);
    ck_assert_int_lt(sup_redis_int(redis, "STRLEN %s", keys->element[0]->str), 20000);
    freeReplyObject(keys);
    asq_value *list;
    ok(asq_signals(H, asq_agent_id(walker), &list));
    ck_assert_uint_eq(asq_list_size(list), 300);
    asq_value_free(list);
}
END_TEST

static void add_all(TCase *t)
{
    tcase_add_test(t, signals_are_heard_by_name_in_the_order_in_which_they_came);
    tcase_add_test(t, a_signal_that_does_not_come_times_out);
    tcase_add_test(t, signals_need_an_agent_a_name_and_a_small_value);
    tcase_add_test(t, an_agent_has_a_bounded_number_of_signals);
    tcase_add_test(t, signals_end_with_their_agent);
    tcase_add_test(t, a_creation_cannot_wait_for_signals);
    tcase_add_test(t, methods_signal_other_agents_and_their_own);
}

int main(void)
{
    Suite *s = suite_create("agent_signals");
    TCase *local = tcase_create("local"), *t = tcase_create("independent"),
          *paused = tcase_create("paused");

    if (!sup_redis_available())
        return sup_skip("no redis-server");
    tcase_set_timeout(local, 120);
    tcase_add_checked_fixture(local, set_up_local, tear_down_local);
    add_all(local);
    suite_add_tcase(s, local);
    tcase_set_timeout(t, 240);
    tcase_add_checked_fixture(t, set_up, tear_down);
    add_all(t);
    tcase_add_test(t, a_waiting_call_is_shown_and_hears_a_signal_that_comes);
    tcase_add_test(t, a_signal_is_kept_while_a_method_runs);
    tcase_add_test(t, a_signal_follows_the_creation_of_its_agent);
    tcase_add_loop_test(t, each_signal_is_heard_once_wherever_a_worker_dies, 0,
                        sizeof deaths / sizeof *deaths);
    tcase_add_test(t, a_signal_is_heard_when_the_worker_has_died_meanwhile);
    tcase_add_test(t, signals_outlive_a_restart_of_redis);
    tcase_add_test(t, the_end_of_a_wait_is_durable);
    tcase_add_test(t, a_timeout_is_the_same_in_the_next_run);
    tcase_add_test(t, a_call_that_is_cancelled_leaves_the_signal_to_others);
    tcase_add_loop_test(t, several_waiting_calls_hear_one_signal_each, 0, 3);
    tcase_add_loop_test(t, signals_that_were_overwritten_begin_anew, 0, 2);
    tcase_add_test(t, the_string_in_redis_stays_small);
    suite_add_tcase(s, t);
    tcase_set_timeout(paused, 240);
    tcase_add_checked_fixture(paused, set_up, NULL);
    tcase_add_test(paused, an_owner_that_was_paused_gives_no_signal_any_more);
    suite_add_tcase(s, paused);
    return sup_suite_run(s);
}
