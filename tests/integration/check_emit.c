/*
 * check_emit.c: what methods emit comes to whoever waits for the call, in order, once, and with
 * nothing left out that is not told, whatever becomes of workers and connections.
 */
#include "emitter.h"
#include "logged.h"
#include "modes.h"
#include "redis/script.h"
#include "support/proxy.h"
#include "support/suite.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static asq_agent *emitter;
static sup_proxy *proxy;
static int64_t unload_after_ms; /* of the worker; 0: the default */

/* ---- a class that emits ---------------------------------------------------------------------- */

/* Reads all that a call emits, until its end. */
static int read_to_end(asq_result *r, char *out)
{
    asq_value *v;
    int what;

    *out = '\0';
    do {
        if ((what = asq_result_next(r, &v, sup_limit_ms())) < 0)
            return what;
        emitter_add(out, what, v);
        asq_value_free(v);
    } while (what != ASQ_NEXT_END);
    return 0;
}

/* Calls another emitter, and returns what it has emitted. */
static int emitter_relay(asq_ctx *ctx, void *self, const asq_value *args, asq_value **ret)
{
    const char *id, *script;
    asq_agent *a = NULL;
    asq_result *r = NULL;
    char *out = malloc(EMITTER_TEXT);
    int rc;

    (void) self;
    if ((rc = asq_args(ctx, args, "[ss]", &id, &script)) == 0 &&
        (rc = asq_attach(asq_ctx_handle(ctx), id, &a)) == 0 &&
        (rc = asq_call(a, "run", &r, "[s]", script)) == 0 && (rc = read_to_end(r, out)) == 0)
        *ret = asq_value_string(out);
    asq_result_free(r);
    asq_agent_free(a);
    free(out);
    return rc < 0 ? asq_fail(ctx, rc, "%s", asq_errmsg(asq_ctx_handle(ctx))) : 0;
}

static int nothing(asq_ctx *ctx, void *user, asq_value **ret)
{
    (void) ctx;
    (void) user;
    (void) ret;
    return 0;
}

/* Calls another emitter behind a step, and notes that it has read what that one emits. */
static int emitter_relay_behind_a_step(asq_ctx *ctx, void *self, const asq_value *args,
                                       asq_value **ret)
{
    const char *id;
    asq_agent *a = NULL;
    asq_result *r = NULL;
    char *out = malloc(EMITTER_TEXT);
    int rc;

    (void) self;
    touch(notes);
    emitter_wait_for(1);
    if ((rc = asq_args(ctx, args, "[s]", &id)) == 0 &&
        (rc = asq_step(ctx, "the step", nothing, NULL, NULL)) == 0 &&
        (rc = asq_attach(asq_ctx_handle(ctx), id, &a)) == 0 &&
        (rc = asq_call(a, "run", &r, "[s]", "e:1")) == 0) {
        rc = read_to_end(r, out);
        touch(turn);
    }
    *ret = NULL;
    asq_result_free(r);
    asq_agent_free(a);
    free(out);
    return rc;
}

static const asq_retry twice = { ASQ_RETRY_INIT, .attempts = 2 };
static const asq_method methods[] = { { "run", emitter_run, "script", 0, NULL },
                                      { "retried", emitter_run, "script", 0, NULL },
                                      { "soon", emitter_run, "script", ASQ_NONBLOCKING, NULL },
                                      { "relay", emitter_relay, "id, script", 0, NULL },
                                      { "stepped", emitter_relay_behind_a_step, "id", 0, NULL },
                                      { 0 } };
static const asq_method_retry retries[] = { { "retried", &twice }, { NULL, NULL } };
static const asq_class emitter_class = { ASQ_CLASS_INIT, .name = "Emitter", .methods = methods,
                                         .retries = retries };

/* ---- fixtures -------------------------------------------------------------------------------- */

static void start_worker(const char *url, int64_t lease_time_ms)
{
    static const asq_class *const list[] = { &emitter_class, NULL };
    asq_worker_options options = ASQ_WORKER_OPTIONS_INIT;

    options.lease_time_ms = lease_time_ms;
    options.unload_after_ms = unload_after_ms;
    logged_start_worker(url, &options, list);
}

static void open_emitter(void)
{
    emitter = agent_new("Emitter", NULL);
    ok(asq_ready(emitter, sup_limit_ms()));
}

/* user: a user of Redis for the worker; NULL: none. */
static void begin_with(const char *user, int64_t lease_time_ms)
{
    mode = MODE_INDEPENDENT;
    logged_set_up();
    emitter_begin();
    logged_open();
    char *url = NULL;
    if (user) {
        sup_redis_do(redis, "ACL SETUSER %s on >pw ~* &* +@all", user);
        url = sup_format("%s?user=%s&password=pw", sup_redis_url_default(redis), user);
    }
    start_worker(url, lease_time_ms);
    free(url);
    open_emitter();
}

static void set_up(void)
{
    begin_with(NULL, 1000);
}

static void set_up_unload(void)
{
    unload_after_ms = 500;
    begin_with(NULL, 1000);
}

static void set_up_user(void)
{
    begin_with("app", 1000);
}

static void set_up_proxy(void)
{
    mode = MODE_INDEPENDENT;
    logged_set_up();
    emitter_begin();
    proxy = sup_proxy_start(sup_redis_socket(redis));
    logged_open();
    start_worker(sup_proxy_url(proxy), 10000);
    open_emitter();
}

static void tear_down_proxy(void)
{
    asq_agent_free(emitter);
    logged_tear_down();
    emitter_end();
    sup_proxy_free(proxy);
}

static void set_up_long_lease(void)
{
    begin_with(NULL, 600000);
}

static void tear_down(void)
{
    asq_agent_free(emitter);
    logged_tear_down();
    emitter_end();
}

static void set_up_local(void)
{
    mode = MODE_LOCAL;
    emitter_begin();
    H = modes_open_url("local:");
    ok(asq_register(H, &emitter_class));
    open_emitter();
}

static void tear_down_local(void)
{
    asq_agent_free(emitter);
    asq_close(H);
    H = NULL;
    emitter_end();
}

static asq_result *begin(const char *method, const char *script)
{
    asq_result *r;

    ok(asq_call(emitter, method, &r, "[s]", script));
    return r;
}

/* Reads all that is left of a call, which must be this. */
static void expect(asq_result *r, const char *text)
{
    char *out = malloc(EMITTER_TEXT);

    ok(read_to_end(r, out));
    ck_assert_str_eq(out, text);
    free(out);
}

/* Checks what comes next. */
static void expect_next(asq_result *r, int what, const char *json)
{
    asq_value *v;

    ck_assert_int_eq(asq_result_next(r, &v, sup_limit_ms()), what);
    if (json)
        ck_assert_value(v, json);
    else
        ck_assert_ptr_null(v);
    asq_value_free(v);
}

/* Returns how many streams of emitted values there are. */
static int count_streams(void)
{
    redisReply *keys = sup_redis_reply(redis, "KEYS asq:{default*}:p:*");
    int n = (int) keys->elements;

    freeReplyObject(keys);
    return n;
}

/* Returns the key of a call's stream, which the caller frees. */
static char *stream_of(asq_result *r)
{
    const char *id = asq_result_id(r);

    return sup_format("asq:{default.%ld}:p:%s", atol(id), id);
}

/* ---- both modes ------------------------------------------------------------------------------ */

START_TEST(values_come_in_order_and_end_with_the_call)
{
    static const char *const list[][2] = { { "e:3", "0 1 2 end" },
                                           { "g", "end" },
                                           { "j:null j:[1,{\"a\":2.5}] j:\"x\"",
                                             "null [1,{\"a\":2.5}] \"x\" end" } };
    touch(gate);
    for (size_t i = 0; i < 3; i++) {
        asq_result *r = begin(i ? "run" : "soon", list[i][0]);
        expect(r, list[i][1]);
        ck_assert(asq_result_done(r));
        ck_assert_code(asq_result_wait(r, 0), 0);
        expect_next(r, ASQ_NEXT_END, NULL);
        asq_result_free(r);
    }
    remove(gate);
}
END_TEST

START_TEST(a_call_that_fails_has_emitted)
{
    asq_result *r = begin("run", "e:2 F");

    expect(r, "0 1 end");
    ck_assert_code(asq_result_wait(r, 0), ASQ_EFAILED);
    asq_result_free(r);
}
END_TEST

START_TEST(only_the_last_run_is_kept)
{
    asq_result *r = begin("retried", "e:2 E e:1");

    ck_assert_int_eq(asq_result_wait(r, sup_limit_ms()), 0);
    expect(r, "0 1 2 end");
    asq_result_free(r);
}
END_TEST

START_TEST(a_value_that_is_too_large_is_refused)
{
    asq_result *r = begin("run", "e:1 b:65600 e:1");

    expect(r, "0 end");
    ck_assert_code(asq_result_wait(r, 0), ASQ_ELIMIT);
    ck_assert_contains(asq_result_error(r)->message, "may have 65536");
    asq_result_free(r);
    ck_assert_int_eq(asq_emit(NULL, asq_value_int(1)), ASQ_EINVAL);
    ck_assert_int_eq(asq_result_next(NULL, NULL, 0), ASQ_EINVAL);
}
END_TEST

START_TEST(the_oldest_go_when_there_are_too_many)
{
    char script[8000] = "";
    asq_value *v;
    int64_t missed;
    int n = 0, what;

    for (int i = 0; i < 100; i++)
        strcat(script, "b:60000 ");
    asq_result *r = begin("run", script);
    ok(asq_result_wait(r, sup_limit_ms())); /* nobody reads, and it ends */
    ck_assert_int_eq(asq_result_next(r, &v, sup_limit_ms()), ASQ_NEXT_MISSED);
    ok(asq_value_get_int(v, &missed));
    asq_value_free(v);
    while ((what = asq_result_next(r, &v, sup_limit_ms())) == ASQ_NEXT_VALUE) {
        asq_value_free(v);
        n++;
    }
    ck_assert_int_eq(what, ASQ_NEXT_END);
    ck_assert_int_eq(missed + n, 100);
    ck_assert_int_ge(n, 10); /* 1 MiB has more */
    ck_assert_int_le(n, 40);
    asq_result_free(r);
}
END_TEST

START_TEST(another_handle_reads_from_the_beginning)
{
    asq *other = mode == MODE_LOCAL ? H : modes_open();
    asq_result *r = begin("run", "e:3"), *theirs;

    ok(asq_result_attach(other, asq_result_id(r), &theirs));
    expect(theirs, "0 1 2 end");
    expect(r, "0 1 2 end");
    asq_result_free(theirs);
    asq_result_free(r);
    if (other != H)
        asq_close(other);
}
END_TEST

START_TEST(what_was_read_is_there_for_others)
{
    asq *other = mode == MODE_LOCAL ? H : modes_open();
    asq_result *r = begin("run", "e:3"), *theirs;

    ok(asq_result_keep(r));
    expect(r, "0 1 2 end");
    ok(asq_result_attach(other, asq_result_id(r), &theirs));
    expect(theirs, "0 1 2 end");
    asq_result_free(theirs);
    asq_result_free(r);
    if (other != H)
        asq_close(other);
}
END_TEST

START_TEST(a_method_reads_what_another_one_emits)
{
    asq_agent *peer = agent_new("Emitter", NULL);
    asq_result *r;
    const char *text;

    ok(asq_call(emitter, "relay", &r, "[ss]", asq_agent_id(peer), "e:20"));
    ok(asq_result_wait(r, sup_limit_ms()));
    ok(asq_result_string(r, &text));
    ck_assert_str_eq(text, "0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 end");
    asq_result_free(r);
    asq_agent_free(peer);
}
END_TEST

/* Checks the last value that a call has emitted. */
static void expect_last(asq_result *r, int64_t n)
{
    asq_value *v = NULL;
    int64_t value;

    ok(asq_emitted_last(H, asq_result_id(r), &v));
    ok(asq_value_get_int(v, &value));
    ck_assert_int_eq(value, n);
    asq_value_free(v);
}

START_TEST(the_last_value_can_be_asked_for)
{
    asq_result *r = begin("run", mode == MODE_LOCAL ? "" : "e:2 g e:1 w:1"),
               *none = begin("run", "");
    asq_value *v = NULL;

    if (mode == MODE_LOCAL) {
        ck_assert_code(asq_emitted_last(H, asq_result_id(r), &v), ASQ_ENOTSUP);
    } else {
        expect_next(r, ASQ_NEXT_VALUE, "0");
        expect_next(r, ASQ_NEXT_VALUE, "1");
        expect_last(r, 1);
        touch(gate);
        expect_next(r, ASQ_NEXT_VALUE, "2");
        expect_last(r, 2);
        emitter_go(1);
        ok(asq_result_wait(none, sup_limit_ms()));
        ck_assert_code(asq_emitted_last(H, asq_result_id(none), &v), ASQ_ENOENT);
        ck_assert_code(asq_emitted_last(H, "nonsense", &v), ASQ_EINVAL);
    }
    asq_result_free(none);
    asq_result_free(r);
}
END_TEST

/* ---- with workers ---------------------------------------------------------------------------- */

START_TEST(values_are_seen_while_the_call_runs)
{
    asq_result *r = begin("run", "e:2 g e:1"), *theirs;
    asq *other = modes_open();
    asq_value *v;

    expect_next(r, ASQ_NEXT_VALUE, "0");
    expect_next(r, ASQ_NEXT_VALUE, "1");
    ck_assert_code(asq_result_next(r, &v, 1), ASQ_ETIMEOUT);
    ok(asq_result_attach(other, asq_result_id(r), &theirs));
    expect_next(theirs, ASQ_NEXT_VALUE, "0");
    touch(gate);
    expect(r, "2 end");
    expect(theirs, "1 2 end");
    asq_result_free(theirs);
    asq_close(other);
    asq_result_free(r);
}
END_TEST

START_TEST(a_method_sees_values_while_the_other_call_runs)
{
    asq_agent *peer = agent_new("Emitter", NULL);
    asq_result *r;
    const char *text;

    ok(asq_call(emitter, "relay", &r, "[ss]", asq_agent_id(peer), "e:2 g e:2000"));
    emitter_wait_at_gate();
    touch(gate);
    ok(asq_result_wait(r, sup_limit_ms()));
    ok(asq_result_string(r, &text));
    ck_assert_contains(text, "0 1 2 3 ");
    ck_assert_contains(text, " 2000 2001 end");
    ck_assert_ptr_null(strstr(text, "missed"));
    asq_result_free(r);
    asq_agent_free(peer);
}
END_TEST

START_TEST(a_run_after_a_death_is_told)
{
    asq_result *r = begin("run", "e:3 g k e:2");

    expect_next(r, ASQ_NEXT_VALUE, "0");
    expect_next(r, ASQ_NEXT_VALUE, "1");
    touch(gate);
    char *out = malloc(EMITTER_TEXT);
    ok(read_to_end(r, out));
    /* value 2 may have come before the death */
    ck_assert_msg(strcmp(out, "2 again 0 1 2 3 4 end") == 0 ||
                      strcmp(out, "again 0 1 2 3 4 end") == 0,
                  "%s", out);
    free(out);
    ck_assert_int_eq(result_int(r), 5);
}
END_TEST

/* The worker unloads the call while it sleeps, and runs it again under the same epoch. */
START_TEST(a_run_after_an_unloaded_one_is_told)
{
    asq_result *r = begin("run", "e:2 s:2000 e:1");

    expect_next(r, ASQ_NEXT_VALUE, "0");
    expect_next(r, ASQ_NEXT_VALUE, "1");
    expect(r, "again 0 1 2 end");
    ck_assert_int_eq(result_int(r), 3);
}
END_TEST

START_TEST(a_run_that_emits_nothing_voids_the_one_before)
{
    asq_result *r = begin("retried", "o:1 g E");

    expect_next(r, ASQ_NEXT_VALUE, "0");
    touch(gate);
    expect(r, "again end");
    ck_assert_int_eq(result_int(r), 0);
}
END_TEST

START_TEST(nothing_is_lost_and_nothing_comes_twice_over_lost_connections)
{
    asq_result *r = begin("run", "e:1 g e:3000 k e:3000");
    asq_value *v;
    int64_t n = 0, value, kills = 0;
    int what;
    bool again = false;

    expect_next(r, ASQ_NEXT_VALUE, "0");
    touch(gate);
    for (n = 1; (what = asq_result_next(r, &v, sup_limit_ms())) != ASQ_NEXT_END; n++) {
        ck_assert_msg(what > 0 && what != ASQ_NEXT_MISSED, "%d: %s", what, asq_errmsg(H));
        if (what == ASQ_NEXT_AGAIN) {
            ck_assert(!again);
            again = true;
            n = -1;
            continue;
        }
        ok(asq_value_get_int(v, &value));
        asq_value_free(v);
        ck_assert_int_eq(value, n);
        if (n % 500 == 250 && kills++ < 20)
            sup_redis_do(redis,
                         n % 1000 == 250 ? "CLIENT KILL TYPE normal" : "CLIENT KILL TYPE pubsub");
    }
    ck_assert_int_eq(n, 6001);
    ck_assert(again);
    ck_assert_int_eq(result_int(r), 6001);
}
END_TEST

START_TEST(values_outlive_a_restart_of_redis)
{
    asq_result *r = begin("run", "e:3 g e:3");

    for (int i = 0; i < 3; i++) {
        char text[8];
        snprintf(text, sizeof text, "%d", i);
        expect_next(r, ASQ_NEXT_VALUE, text);
    }
    emitter_wait_at_gate();
    sup_redis_do(redis, "SAVE");
    sup_redis_restart(redis);
    touch(gate);
    expect(r, "3 4 5 end");
    asq_result_free(r);
}
END_TEST

START_TEST(what_nobody_needs_is_removed)
{
    asq_result *r = begin("run", "e:3"), *kept = begin("run", "e:3");

    ok(asq_result_keep(kept));
    ok(asq_result_wait(r, sup_limit_ms()));
    ok(asq_result_wait(kept, sup_limit_ms()));
    ck_assert_int_eq(count_streams(), 2);
    asq_result_free(r); /* unread */
    asq_result_free(kept);
    sup_wait_until(asq_poll(H, 0) >= 0 && count_streams() < 2);
    ck_assert_int_eq(count_streams(), 1);
    redisReply *keys = sup_redis_reply(redis, "KEYS asq:{default*}:p:*");
    ck_assert_int_gt(sup_redis_int(redis, "PTTL %s", keys->element[0]->str), 60000);
    freeReplyObject(keys);
}
END_TEST

START_TEST(a_stream_that_was_removed_expires_when_it_is_back)
{
    asq_result *r = begin("run", "e:1 g e:2");
    char *key = stream_of(r); /* keeps it */

    expect_next(r, ASQ_NEXT_VALUE, "0");
    emitter_wait_at_gate();
    sup_redis_do(redis, "DEL %s", key);
    touch(gate);
    expect(r, "1 2 end");
    ck_assert_int_gt(sup_redis_int(redis, "PTTL %s", key), 60000);
    free(key);
    asq_result_free(r);
}
END_TEST

START_TEST(a_key_of_a_wrong_type_is_overwritten)
{
    asq_result *r = begin("run", "g e:3");
    char *key = stream_of(r);

    emitter_wait_at_gate();
    sup_redis_do(redis, "SET %s x", key);
    touch(gate);
    expect(r, "0 1 2 end");
    free(key);
    asq_result_free(r);
}
END_TEST

START_TEST(foreign_entries_are_passed_over_and_told)
{
    asq_result *r = begin("run", "e:1 g e:2");
    char *key = stream_of(r);
    char *out = malloc(EMITTER_TEXT);
    redisReply *last;
    unsigned long long run;

    expect_next(r, ASQ_NEXT_VALUE, "0");
    emitter_wait_at_gate();
    last = sup_redis_reply(redis, "XREVRANGE %s + - COUNT 1", key);
    run = strtoull(last->element[0]->element[0]->str, NULL, 10);
    freeReplyObject(last);
    sup_redis_do(redis, "XADD %s %llu-9 v garbage", key, run);
    touch(gate);
    /* The worker's next entries seem to be there already. A call that has ended by then tells how
     * many there are, and nothing more is read. */
    ok(read_to_end(r, out));
    if (strcmp(out, "missed:8 end") != 0)
        ck_assert_str_eq(out, "missed:8 missed:1 end");
    free(out);
    free(key);
    asq_result_free(r);
}
END_TEST

START_TEST(a_worker_that_has_lost_the_partition_emits_nothing)
{
    asq_result *r = begin("run", "e:1 g e:2");
    long partition = atol(asq_result_id(r));
    char *key = stream_of(r);

    expect_next(r, ASQ_NEXT_VALUE, "0");
    emitter_wait_at_gate();
    redisReply *last = sup_redis_reply(redis, "XREVRANGE %s + - COUNT 1", key);
    unsigned long long run = strtoull(last->element[0]->element[0]->str, NULL, 10);
    freeReplyObject(last);
    sup_redis_do(redis, "HSET asq:{default.%ld}:lease token %032d", partition, 1);
    touch(gate);
    char *lost = sup_format("partition %ld is lost (epoch", partition);
    sup_wait_until(asq_poll(H, 0) >= 0 && exists(log_path) && logged_count(lost) > 0);
    /* It leaves before the commit, so that finds nothing out. Looking at all leases may have. */
    ck_assert_int_eq(logged_count("the commit found another token"), 0);
    free(lost);
    last = sup_redis_reply(redis, "XRANGE %s %llu-1 %llu", key, run, run);
    ck_assert_uint_eq(last->elements, 0);
    freeReplyObject(last);
    free(key);
    asq_result_free(r);
}
END_TEST

/* Redis has no memory for the values when they are sent, but has some when the call ends. */
START_TEST(refused_values_are_sent_again_before_the_result)
{
    asq_result *r = begin("run", "g e:2 w:1");
    int64_t before = sup_redis_stat(redis, "errorstats", "errorstat_OOM", "count=");

    emitter_wait_at_gate();
    sup_redis_do(redis, "CONFIG SET maxmemory 1");
    touch(gate);
    sup_wait_until(sup_redis_stat(redis, "errorstats", "errorstat_OOM", "count=") > before);
    sup_redis_do(redis, "CONFIG SET maxmemory 0");
    emitter_go(1);
    expect(r, "0 1 end");
    asq_result_free(r);
}
END_TEST

/* Redis does not know the script that comes with the first values, but knows the one behind it. The
 * worker hears of neither before both are sent. */
START_TEST(values_do_not_overtake_refused_ones)
{
    asq_result *r = begin("run", "e:1 g j:\"AAAA\" w:1 e:1 w:2");

    expect_next(r, ASQ_NEXT_VALUE, "0");
    emitter_wait_at_gate();
    char *sha = sup_redis_str(redis, "SCRIPT LOAD %s", asq__script_text(ASQ__SCRIPT_EMIT));
    sup_proxy_stall(proxy, "}:p:");
    sup_proxy_spoil(proxy, "AAAA", sha, "0123456789012345678901234567890123456789");
    touch(gate);
    sup_wait_until(asq_poll(H, 0) >= 0 && sup_proxy_n_stalled(proxy) == 1);
    sup_proxy_spoil(proxy, NULL, NULL, NULL);
    emitter_go(1);
    sup_wait_until(asq_poll(H, 0) >= 0 && sup_proxy_n_stalled(proxy) == 2);
    sup_proxy_resume(proxy);
    expect_next(r, ASQ_NEXT_VALUE, "\"AAAA\"");
    expect_next(r, ASQ_NEXT_VALUE, "1");
    emitter_go(2);
    expect(r, "end");
    free(sha);
    asq_result_free(r);
}
END_TEST

/* Redis does not know the script that comes with the last values of a run. Behind them comes the
 * commit, or (1) more values before it. */
START_TEST(a_result_does_not_overtake_refused_values)
{
    asq_result *r = begin("run", _i ? "e:1 g j:\"AAAA\" w:1 e:2" : "e:1 g e:2 j:\"AAAA\"");
    const char *rest = _i ? "\"AAAA\" 1 2 end" : "1 2 \"AAAA\" end";

    expect_next(r, ASQ_NEXT_VALUE, "0");
    emitter_wait_at_gate();
    int64_t looks = sup_redis_stat(redis, "commandstats", "cmdstat_hget:", "calls=");
    char *sha = sup_redis_str(redis, "SCRIPT LOAD %s", asq__script_text(ASQ__SCRIPT_EMIT));
    sup_proxy_stall(proxy, "}:p:");
    sup_proxy_spoil(proxy, "AAAA", sha, "0123456789012345678901234567890123456789");
    touch(gate);
    sup_wait_until(asq_poll(H, 0) >= 0 && sup_proxy_n_stalled(proxy) == 1);
    if (_i) {
        emitter_go(1);
        sup_wait_until(asq_poll(H, 0) >= 0 && sup_proxy_n_stalled(proxy) == 2);
    }
    /* commit.lua has looked for the flush. */
    sup_wait_until(asq_poll(H, 0) >= 0 &&
                   (asq_result_done(r) ||
                    sup_redis_stat(redis, "commandstats", "cmdstat_hget:", "calls=") > looks));
    ck_assert(!asq_result_done(r));
    sup_proxy_resume(proxy);
    expect(r, rest);
    ck_assert_int_eq(result_int(r), 3);
    free(sha);
}
END_TEST

/* The partition is lost between a step and its record, so a call behind the step never leaves. */
START_TEST(a_reader_of_a_call_that_cannot_leave_is_told)
{
    asq_agent *peer = agent_new("Emitter", NULL);
    asq_result *r;

    ok(asq_call(emitter, "stepped", &r, "[s]", asq_agent_id(peer)));
    emitter_wait_at_gate();
    int64_t reads = sup_redis_stat(redis, "commandstats", "cmdstat_xrange:", "calls=");
    sup_redis_do(redis, "HSET asq:{default.%ld}:lease token %032d", atol(asq_result_id(r)), 1);
    sup_proxy_stall(proxy, "the step");
    emitter_go(1);
    sup_wait_until(asq_poll(H, 0) >= 0 && sup_proxy_n_stalled(proxy) > 0);
    sup_wait_until(sup_redis_stat(redis, "commandstats", "cmdstat_xrange:", "calls=") > reads);
    sup_proxy_resume(proxy);
    sup_wait_until(asq_poll(H, 0) >= 0 && exists(turn));
    asq_result_free(r);
    asq_agent_free(peer);
}
END_TEST

/* The connection breaks before Redis gets the values (0), or before its answer arrives (1). */
START_TEST(values_are_sent_again_and_are_there_once)
{
    asq_result *r = begin("run", "e:1 g e:3");

    expect_next(r, ASQ_NEXT_VALUE, "0");
    emitter_wait_at_gate();
    sup_proxy_cut(proxy, _i ? SUP_CUT_ANSWER : SUP_CUT_REQUEST, "}:p:");
    touch(gate);
    expect(r, "1 2 3 end");
    sup_wait_until(asq_poll(H, 0) >= 0 && sup_proxy_has_cut(proxy));
    asq_result_free(r);
    for (int i = 0; i < 2; i++) { /* the answer to what was sent again has come by then */
        r = begin("run", "e:1");
        expect(r, "0 end");
        asq_result_free(r);
    }
    ck_assert_int_eq(exists(log_path) ? logged_count("is lost, because") : 0, 0);
}
END_TEST

/* Commands reach Redis, but the worker does not count as connected, because its subscription is not
 * answered. */
START_TEST(values_leave_before_the_result_on_any_connection)
{
    asq_result *r = begin("run", "e:1 g e:3");

    expect_next(r, ASQ_NEXT_VALUE, "0");
    emitter_wait_at_gate();
    sup_proxy_stall(proxy, "SUBSCRIBE");
    sup_redis_do(redis, "CLIENT KILL TYPE pubsub");
    sup_wait_until(asq_poll(H, 0) >= 0 && sup_proxy_n_stalled(proxy) > 0);
    touch(gate);
    expect(r, "1 2 3 end");
    sup_proxy_resume(proxy);
    asq_result_free(r);
}
END_TEST

/* Redis refuses the values, but not the result. */
START_TEST(values_that_redis_refuses_are_told)
{
    sup_redis_do(redis, "ACL SETUSER app resetkeys ~asq:{default}:* ~asq:{default.*}:[^p]*");
    asq_result *r = begin("run", "e:3");

    expect(r, "missed:3 end");
    sup_wait_until(exists(log_path) &&
                   logged_count("what calls have emitted is lost, because Redis refuses it") > 0);
    ck_assert_int_eq(result_int(r), 3);
    sup_redis_do(redis, "ACL SETUSER app resetkeys ~*");
}
END_TEST

START_TEST(a_reader_without_the_right_is_told)
{
    asq_result *r = begin("run", "e:3 g");
    asq_value *v;

    sup_redis_do(redis,
                 "ACL SETUSER reader on >pw ~asq:{default}:* ~asq:{default.*}:[^p]* &* +@all");
    char *url = sup_format("%s?user=reader&password=pw", sup_redis_url_default(redis));
    asq *other = modes_open_url(url);
    asq_result *theirs;
    ok(asq_result_attach(other, asq_result_id(r), &theirs));
    ck_assert_int_eq(asq_result_next(theirs, &v, sup_limit_ms()), ASQ_EREDIS);
    ck_assert_contains(asq_errmsg(other), "allow XRANGE");
    touch(gate);
    asq_result_free(theirs);
    asq_close(other);
    free(url);
    expect(r, "0 1 2 end");
    asq_result_free(r);
}
END_TEST

START_TEST(a_handle_that_closes_ends_the_reading)
{
    asq *other = modes_open();
    asq_result *r = begin("run", "e:1 g"), *theirs;
    asq_value *v;

    ok(asq_result_attach(other, asq_result_id(r), &theirs));
    ck_assert_int_eq(asq_result_next(theirs, &v, sup_limit_ms()), ASQ_NEXT_VALUE);
    asq_value_free(v);
    ck_assert_int_eq(asq_result_next(theirs, &v, 1), ASQ_ETIMEOUT);
    asq_close(other);
    ck_assert_int_eq(asq_result_next(theirs, &v, sup_limit_ms()), ASQ_ECLOSED);
    asq_result_free(theirs);
    touch(gate);
    expect(r, "0 end");
    asq_result_free(r);
}
END_TEST

static void add_all(TCase *t)
{
    tcase_add_test(t, values_come_in_order_and_end_with_the_call);
    tcase_add_test(t, a_call_that_fails_has_emitted);
    tcase_add_test(t, only_the_last_run_is_kept);
    tcase_add_test(t, a_value_that_is_too_large_is_refused);
    tcase_add_test(t, the_oldest_go_when_there_are_too_many);
    tcase_add_test(t, another_handle_reads_from_the_beginning);
    tcase_add_test(t, the_last_value_can_be_asked_for);
    tcase_add_test(t, what_was_read_is_there_for_others);
    tcase_add_test(t, a_method_reads_what_another_one_emits);
}

int main(void)
{
    Suite *s = suite_create("emit");

    if (!sup_redis_available())
        return sup_skip("no redis-server");
    add_all(sup_suite_case(s, "local", set_up_local, tear_down_local));
    TCase *t = sup_suite_case(s, "independent", set_up, tear_down);
    add_all(t);
    tcase_add_test(t, values_are_seen_while_the_call_runs);
    tcase_add_test(t, a_method_sees_values_while_the_other_call_runs);
    tcase_add_test(t, a_run_after_a_death_is_told);
    tcase_add_test(t, a_run_that_emits_nothing_voids_the_one_before);
    tcase_add_test(t, nothing_is_lost_and_nothing_comes_twice_over_lost_connections);
    tcase_add_test(t, values_outlive_a_restart_of_redis);
    tcase_add_test(t, what_nobody_needs_is_removed);
    tcase_add_test(t, a_stream_that_was_removed_expires_when_it_is_back);
    tcase_add_test(t, a_key_of_a_wrong_type_is_overwritten);
    tcase_add_test(t, foreign_entries_are_passed_over_and_told);
    tcase_add_test(t, a_handle_that_closes_ends_the_reading);
    tcase_add_test(t, a_reader_without_the_right_is_told);
    t = sup_suite_case(s, "unloaded", set_up_unload, tear_down);
    tcase_add_test(t, a_run_after_an_unloaded_one_is_told);
    t = sup_suite_case(s, "lost", set_up_long_lease, tear_down);
    tcase_add_test(t, refused_values_are_sent_again_before_the_result);
    tcase_add_test(t, a_worker_that_has_lost_the_partition_emits_nothing);
    t = sup_suite_case(s, "proxy", set_up_proxy, tear_down_proxy);
    tcase_add_loop_test(t, values_are_sent_again_and_are_there_once, 0, 2);
    tcase_add_test(t, values_do_not_overtake_refused_ones);
    tcase_add_loop_test(t, a_result_does_not_overtake_refused_values, 0, 2);
    tcase_add_test(t, a_reader_of_a_call_that_cannot_leave_is_told);
    tcase_add_test(t, values_leave_before_the_result_on_any_connection);
    t = sup_suite_case(s, "refused", set_up_user, tear_down);
    tcase_add_test(t, values_that_redis_refuses_are_told);
    return sup_suite_run(s);
}
