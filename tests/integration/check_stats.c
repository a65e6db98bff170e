/*
 * check_stats.c: workers add what they measure to the deployment's figures in Redis, each call
 * once, also when the connection is lost at the worst moment; a worker without anything new sends
 * nothing; the figures are bounded, whatever is written in their place.
 */
#include "classes.h"
#include "load.h"
#include "modes.h"
#include "redis/script.h"
#include "support/proxy.h"
#include "support/suite.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static sup_redis *redis;
static sup_proxy *proxy;
static pid_t worker;

static void begin_with(const asq_worker_options *own)
{
    asq_worker_options options = *own;
    redis = sup_redis_start(NULL);
    proxy = sup_proxy_start(sup_redis_socket(redis));
    mode = MODE_INDEPENDENT;
    asq_options four = ASQ_OPTIONS_INIT;
    asq *h;
    four.partitions = 4;
    ck_assert_int_eq(asq_open(sup_url_as(sup_redis_url(redis), "worker"), &four, &h, NULL, 0), 0);
    asq_close(h);
    options.lease_time_ms = 2000;
    worker = load_worker(sup_proxy_url(proxy), &options);
    H = modes_open_url(sup_url_as(sup_redis_url(redis), "operator"));
}

static void begin(uint32_t processes)
{
    asq_worker_options options = ASQ_WORKER_OPTIONS_INIT;
    options.processes = processes;
    begin_with(&options);
}

static void end(void)
{
    asq_close(H);
    H = NULL;
    if (worker)
        load_worker_stop(worker);
    sup_proxy_free(proxy);
    sup_redis_free(redis);
}

/* Gets the figures; the caller frees them. last_ms 0: of the last minute. */
static asq_value *stats(int64_t last_ms, bool points)
{
    asq_stats_options options = ASQ_STATS_OPTIONS_INIT;
    asq_value *all = NULL;
    options.last_ms = last_ms;
    options.points = points;
    ok(asq_stats(H, &options, &all));
    return all;
}

static const asq_value *find_method(const asq_value *all, const char *class_name,
                                    const char *method)
{
    const asq_value *methods = asq_map_get(all, "methods");
    for (size_t i = 0; i < asq_list_size(methods); i++) {
        const asq_value *m = asq_list_get(methods, i);
        const char *c, *name;
        ck_assert_int_eq(asq_value_get_string(asq_map_get(m, "class"), &c, NULL), 0);
        ck_assert_int_eq(asq_value_get_string(asq_map_get(m, "method"), &name, NULL), 0);
        if (strcmp(c, class_name) == 0 && strcmp(name, method) == 0)
            return m;
    }
    return NULL;
}

/* Returns the calls of a method in the last hour, in which no test ends up with parts of two. */
static int64_t calls_of(const char *class_name, const char *method)
{
    asq_value *all = stats(3600000, false);
    int64_t n = asq_map_int(find_method(all, class_name, method), "calls");
    asq_value_free(all);
    return n;
}

static int64_t gauge(const char *name)
{
    asq_value *all = stats(0, false);
    const asq_value *v = asq_map_get(asq_map_get(all, "now"), name);
    int64_t n = -1;
    asq_value_get_int(v, &n);
    asq_value_free(all);
    return n;
}

static int64_t keys(const char *pattern)
{
    redisReply *r = sup_redis_reply(redis, "KEYS %s", pattern);
    int64_t n = (int64_t) r->elements;
    freeReplyObject(r);
    return n;
}

/* ---- tests ----------------------------------------------------------------------------------- */

START_TEST(each_call_counts_once_by_class_and_method)
{
    begin(2);
    asq_agent *a[8];
    for (int i = 0; i < 8; i++)
        a[i] = counter(0);
    for (int i = 0; i < 40; i++)
        call_int(a[i % 8], "add", "[i]", 1);
    for (int i = 0; i < 3; i++)
        ck_assert_int_eq(call_code(a[i], "add", "[s]", "x"), ASQ_EARGS);
    sup_wait_until(calls_of("Counter", "add") >= 43);
    sup_wait_until(gauge("processes") == 2 && gauge("partitions") == 4);
    asq_value *all = stats(3600000, true);
    const asq_value *add = find_method(all, "Counter", "add");
    ck_assert_int_eq(asq_map_int(add, "calls"), 43);
    ck_assert_int_eq(asq_map_int(add, "failed"), 3);
    ck_assert_value(asq_map_get(add, "failures"), "{\"ASQ_EARGS\":3}");
    ck_assert_int_eq(asq_map_int(asq_map_get(add, "queue"), "count"), 43);
    ck_assert_int_eq(asq_map_int(asq_map_get(add, "run"), "count"), 43);
    ck_assert_int_eq(asq_map_int(asq_map_get(add, "parked"), "count"), 0);
    ck_assert_int_eq(asq_value_type(asq_map_get(asq_map_get(add, "parked"), "p99_ms")), ASQ_NULL);
    double p50, p99, max;
    const asq_value *run = asq_map_get(add, "run");
    ck_assert_int_eq(asq_value_get_double(asq_map_get(run, "p50_ms"), &p50), 0);
    ck_assert_int_eq(asq_value_get_double(asq_map_get(run, "p99_ms"), &p99), 0);
    ck_assert_int_eq(asq_value_get_double(asq_map_get(run, "max_ms"), &max), 0);
    ck_assert(0 < p50 && p50 <= p99 && p99 <= max);
    ck_assert_int_eq(asq_map_int(find_method(all, "Counter", "(create)"), "calls"), 8);
    ck_assert_int_eq(asq_map_int(asq_map_get(all, "total"), "calls"), 51);
    int64_t sum = 0;
    const asq_value *points = asq_map_get(all, "points");
    ck_assert_uint_eq(asq_list_size(points), 61);
    for (size_t i = 0; i < asq_list_size(points); i++)
        sum += asq_map_int(asq_list_get(points, i), "calls");
    ck_assert_int_eq(sum, 51);
    asq_value_free(all);
    for (int i = 0; i < 8; i++)
        asq_agent_free(a[i]);
    end();
}
END_TEST

START_TEST(figures_can_be_those_of_a_class_or_method)
{
    begin(1);
    asq_agent *a = counter(0);
    for (int i = 0; i < 5; i++)
        call_int(a, "add", "[i]", 1);
    sup_wait_until(calls_of("Counter", "add") == 5 && calls_of("Counter", "(create)") == 1);
    asq_stats_options options = ASQ_STATS_OPTIONS_INIT;
    asq_value *all;
    options.last_ms = 3600000;
    options.class_name = "Counter";
    options.method = "add";
    options.points = true;
    sup_wait_until(gauge("agents") == 1);
    ok(asq_stats(H, &options, &all));
    ck_assert_uint_eq(asq_list_size(asq_map_get(all, "methods")), 1);
    const asq_value *points = asq_map_get(all, "points");
    /* Gauges of a step without a report are those of the time around it. */
    ck_assert_int_eq(asq_map_int(asq_list_get(points, 0), "agents"), 0);
    ck_assert_int_eq(asq_map_int(asq_list_get(points, asq_list_size(points) - 1), "agents"), 1);
    ck_assert_int_eq(asq_map_int(asq_map_get(all, "total"), "calls"), 5);
    asq_value_free(all);
    options.class_name = "Count";
    options.method = NULL;
    ok(asq_stats(H, &options, &all));
    ck_assert_uint_eq(asq_list_size(asq_map_get(all, "methods")), 0);
    asq_value_free(all);
    options.last_ms = -1;
    ck_assert_code(asq_stats(H, &options, &all), ASQ_EINVAL);
    options.last_ms = 86400001;
    ck_assert_code(asq_stats(H, &options, &all), ASQ_EINVAL);
    asq_agent_free(a);
    end();
}
END_TEST

START_TEST(a_report_whose_answer_is_lost_counts_once)
{
    begin(1);
    asq_agent *a = counter(0);
    for (int i = 0; i < 5; i++)
        call_int(a, "add", "[i]", 1);
    sup_wait_until(calls_of("Counter", "add") == 5);
    sup_proxy_cut(proxy, SUP_CUT_ANSWER, "Counter add\r\n");
    for (int i = 0; i < 7; i++)
        call_int(a, "add", "[i]", 1);
    sup_wait_until(sup_proxy_has_cut(proxy));
    for (int i = 0; i < 3; i++)
        call_int(a, "add", "[i]", 1);
    sup_wait_until(calls_of("Counter", "add") >= 15);
    call_int(a, "read", "[]");
    sup_wait_until(calls_of("Counter", "read") == 1);
    ck_assert_int_eq(calls_of("Counter", "add"), 15);
    asq_agent_free(a);
    end();
}
END_TEST

static int64_t beat(void)
{
    redisReply *ids = sup_redis_reply(redis, "SMEMBERS asq:{default}:workers");
    ck_assert_uint_eq(ids->elements, 1);
    char *text = sup_redis_str(redis, "HGET asq:{default}:worker:%s beat", ids->element[0]->str);
    int64_t n = strtoll(text, NULL, 10);
    free(text);
    freeReplyObject(ids);
    return n;
}

/* Each process but the last gives up a call, and is then killed by the next one, before it has told
 * of it, perhaps also before the commit, and then the next process gives it up once more. */
START_TEST(calls_that_are_given_up_one_after_the_other_all_count)
{
    enum { CALLS = 4, BY_SIGKILL = 0 };
    asq_worker_options options = ASQ_WORKER_OPTIONS_INIT;
    asq_result *deadly[CALLS];
    options.processes = 1;
    options.max_attempts = 1;
    begin_with(&options);
    asq_agent *a = agent_new("Poison", NULL);
    for (int i = 0; i < CALLS; i++)
        ok(asq_call(a, "die", &deadly[i], "[i]", BY_SIGKILL));
    for (int i = 0; i < CALLS; i++) {
        ck_assert_code(asq_result_wait(deadly[i], sup_limit_ms()), ASQ_EDEADLETTER);
        asq_result_free(deadly[i]);
    }
    sup_wait_until(calls_of("Poison", "die") >= CALLS);
    asq_value *all = stats(3600000, false);
    const asq_value *die = find_method(all, "Poison", "die");
    ck_assert_int_ge(asq_map_int(asq_map_get(die, "failures"), "ASQ_EDEADLETTER"), CALLS);
    ck_assert_int_eq(asq_map_int(die, "failed"), asq_map_int(die, "calls"));
    asq_value_free(all);
    asq_agent_free(a);
    end();
}
END_TEST

START_TEST(a_worker_without_anything_new_sends_nothing)
{
    begin(1);
    asq_agent *a = counter(0);
    call_int(a, "add", "[i]", 1);
    sup_wait_until(calls_of("Counter", "add") == 1 && gauge("agents") == 1 &&
                   gauge("running") == 0 && gauge("commits_in_flight") == 0);
    int64_t from = beat();
    sup_wait_until(beat() > from + 2);
    sup_redis_do(redis, "UNLINK asq:{default}:stats:now");
    from = beat();
    sup_wait_until(beat() > from + 6); /* each is a third of two seconds */
    ck_assert_int_eq(keys("asq:{default}:stats:now"), 0);
    call_int(a, "add", "[i]", 1);
    sup_wait_until(keys("asq:{default}:stats:now") == 1);
    sup_wait_until(calls_of("Counter", "add") == 2);
    asq_agent_free(a);
    end();
}
END_TEST

START_TEST(a_worker_may_keep_none)
{
    asq_worker_options options = ASQ_WORKER_OPTIONS_INIT;
    options.no_stats = true;
    begin_with(&options);
    asq_agent *a = counter(0);
    call_int(a, "add", "[i]", 1);
    int64_t from = beat();
    sup_wait_until(beat() > from + 4);
    ck_assert_int_eq(keys("asq:{default}:stats:*"), 0);
    ck_assert_int_eq(gauge("processes"), 0);
    asq_agent_free(a);
    end();
}
END_TEST

START_TEST(gauges_are_those_of_processes_that_live)
{
    begin(1);
    sup_wait_until(gauge("processes") == 1 && gauge("partitions") == 4);
    load_worker_kill(worker);
    worker = 0;
    sup_wait_until(gauge("processes") == 0 && gauge("partitions") == 0);
    end();
}
END_TEST

/* Runs the script as a worker process of that name does. */
static void report(const char *process, const char *series, const char *figures)
{
    sup_redis_do(redis, "EVAL %s 1 asq:{default}:stats:now %s %s %s %s",
                 asq__script_text(ASQ__SCRIPT_STATS), process, "2000 0 0 0 0 0 0 0 0 0 0", series,
                 figures);
}

START_TEST(series_and_codes_beyond_the_bounds_count_as_others)
{
    begin(1);
    for (int i = 0; i < 130; i++) {
        char *series = sup_format("Class%d method", i);
        report("p", series, "c 1 r5 1");
        free(series);
    }
    sup_wait_until(keys("asq:{default}:stats:s:*") > 0);
    redisReply *r = sup_redis_reply(redis, "KEYS asq:{default}:stats:*:*");
    for (size_t i = 0; i < r->elements; i++)
        ck_assert_int_le(sup_redis_int(redis, "HLEN %s", r->element[i]->str), 103);
    freeReplyObject(r);
    asq_value *all = stats(3600000, false);
    ck_assert_int_eq(asq_map_int(asq_map_get(all, "total"), "calls"), 130);
    ck_assert_int_ge(asq_map_int(find_method(all, "(other)", "(other)"), "calls"), 27);
    asq_value_free(all);
    sup_redis_do(redis, "EVAL %s 1 asq:{default}:stats:now %s %s %s %s %s %s",
                 asq__script_text(ASQ__SCRIPT_STATS), "p", "2000 0 0 0 0 0 0 0 0 0 0",
                 "(other) (other)", "c 5", "Another method", "c 7");
    all = stats(3600000, false);
    ck_assert_int_eq(asq_map_int(asq_map_get(all, "total"), "calls"), 130 + 5 + 7);
    asq_value_free(all);
    for (int from = 1; from <= 4000; from += 400) {
        char figures[8192] = "c 400";
        for (int i = 0, n = 5; i < 400; i++)
            n += snprintf(figures + n, sizeof figures - (size_t) n, " f-%d 1", 1000 + from + i);
        report("p", "Class0 method", figures);
    }
    r = sup_redis_reply(redis, "KEYS asq:{default}:stats:m:*");
    for (size_t i = 0; i < r->elements; i++)
        ck_assert_int_lt(sup_redis_int(redis, "HSTRLEN %s %s", r->element[i]->str, "Class0 method"),
                         480 * 20);
    freeReplyObject(r);
    all = stats(3600000, false);
    ck_assert_int_eq(asq_map_int(find_method(all, "Class0", "method"), "failed"), 4000);
    asq_value_free(all);
    end();
}
END_TEST

START_TEST(foreign_keys_in_their_place_do_no_harm)
{
    begin(1);
    asq_agent *a = counter(0);
    sup_wait_until(gauge("processes") == 1);
    sup_redis_do(redis, "DEL asq:{default}:stats:now");
    sup_redis_do(redis, "SADD asq:{default}:stats:now x");
    call_int(a, "add", "[i]", 1);
    sup_wait_until(keys("asq:{default}:stats:now:aside") == 1);
    sup_wait_until(calls_of("Counter", "add") == 1 && gauge("processes") == 1);
    sup_redis_do(redis, "HSET asq:{default}:stats:now y rubbish z %s",
                 "99999999999999999999999 1 1 1 1 1 1 1 1 1 1");
    redisReply *r = sup_redis_reply(redis, "KEYS asq:{default}:stats:?:*");
    for (size_t i = 0; i < r->elements; i++)
        sup_redis_do(redis, "HSET %s %s 1 %b %s %s %s gauges %s", r->element[i]->str, "noblank",
                     "x\0 \x1b[2J", (size_t) 7, "c 5", "\x1b[2J <script>", "c 1 q1 zz", "1 2 3");
    freeReplyObject(r);
    call_int(a, "add", "[i]", 1);
    sup_wait_until(calls_of("Counter", "add") == 2 && gauge("processes") == 1);
    asq_agent_free(a);
    end();
}
END_TEST

START_TEST(processes_beyond_the_bound_are_not_added_up)
{
    begin(1);
    sup_redis_do(redis, "EVAL %s 1 asq:{default}:stats:now",
                 "for i = 1, 10100 do "
                 "redis.call('HSET', KEYS[1], 'p' .. i, '2000 0 0 0 0 0 0 0 0 0 0') "
                 "redis.call('SET', 'asq:{default}:worker:p' .. i, '', 'PX', 3600000) end");
    ck_assert_int_eq(gauge("processes"), 10000);
    end();
}
END_TEST

START_TEST(a_user_who_may_not_ask_for_the_time_is_told)
{
    asq_value *all = NULL;
    redis = sup_redis_start(NULL);
    sup_redis_do(redis, "HSET asq:{default}:meta format 1 partitions 4");
    sup_redis_do(redis, "ACL SETUSER app on >pw ~* &* +@all -time -xadd");
    char *url = sup_format("%s?user=app&password=pw", sup_redis_url_default(redis));
    H = modes_open_url(url);
    ck_assert_int_eq(asq_stats(H, NULL, &all), ASQ_EREDIS);
    ck_assert_ptr_nonnull(strstr(asq_errmsg(H), "its TIME"));
    asq_close(H);
    H = NULL;
    free(url);
    sup_redis_free(redis);
}
END_TEST

START_TEST(figures_of_own_calls_do_not_need_redis)
{
    begin(1);
    asq_stats_options options = ASQ_STATS_OPTIONS_INIT;
    asq_value *all = NULL;
    asq_agent *a = counter(0);
    call_int(a, "add", "[i]", 1);
    sup_proc_signal(sup_redis_proc(redis), SIGSTOP);
    asq_set_timeout(H, 100);
    ck_assert_code(asq_stats(H, NULL, &all), ASQ_ETIMEOUT);
    options.own = true;
    ok(asq_stats(H, &options, &all));
    sup_proc_signal(sup_redis_proc(redis), SIGCONT);
    ck_assert_int_eq(asq_map_int(find_method(all, "Counter", "add"), "calls"), 1);
    asq_value_free(all);
    asq_agent_free(a);
    end();
}
END_TEST

START_TEST(local_mode_has_none)
{
    asq *h = NULL;
    asq_value *all = NULL;
    ck_assert_int_eq(asq_open("local:", NULL, &h, NULL, 0), 0);
    ck_assert_int_eq(asq_stats(h, NULL, &all), ASQ_ENOTSUP);
    asq_close(h);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("stats");
    TCase *t = tcase_create("independent");

    if (!sup_redis_available())
        return sup_skip("no redis-server");
    tcase_set_timeout(t, 120);
    tcase_add_test(t, each_call_counts_once_by_class_and_method);
    tcase_add_test(t, figures_can_be_those_of_a_class_or_method);
    tcase_add_test(t, a_report_whose_answer_is_lost_counts_once);
    tcase_add_test(t, calls_that_are_given_up_one_after_the_other_all_count);
    tcase_add_test(t, a_worker_without_anything_new_sends_nothing);
    tcase_add_test(t, a_worker_may_keep_none);
    tcase_add_test(t, gauges_are_those_of_processes_that_live);
    tcase_add_test(t, series_and_codes_beyond_the_bounds_count_as_others);
    tcase_add_test(t, foreign_keys_in_their_place_do_no_harm);
    tcase_add_test(t, processes_beyond_the_bound_are_not_added_up);
    tcase_add_test(t, a_user_who_may_not_ask_for_the_time_is_told);
    tcase_add_test(t, figures_of_own_calls_do_not_need_redis);
    tcase_add_test(t, local_mode_has_none);
    suite_add_tcase(s, t);
    return sup_suite_run(s);
}
