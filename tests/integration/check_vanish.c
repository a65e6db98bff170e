/*
 * check_vanish.c: any part of the contents of Redis vanishes while calls are under way. A worker
 * process goes on, and later calls work.
 */
#include "load.h"
#include "support/file_lines.h"
#include "support/suite.h"
#include "value/hash.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PARTITIONS = 2, ACTORS = 12, ROUNDS = 20, CALLS = 24, KEPT = 4096 };

static sup_redis *redis;
static asq *h;
static char *log_path;
static unsigned seed;

static pid_t worker(void)
{
    asq_worker_options options = ASQ_WORKER_OPTIONS_INIT;

    options.id = "w";
    options.processes = 2;
    options.partitions = PARTITIONS;
    options.lease_time_ms = 1000;
    options.drain_timeout_ms = 3000; /* a call that waits for a lost call is not drained */
    options.log = sup_log_to_file;
    options.log_user = log_path;
    options.log_level = ASQ_LOG_WARNING;
    return load_worker(sup_redis_url(redis), &options);
}

static void set_up(void)
{
    /* Clients that find the namespace gone try to make it again, with HSETNX. */
    sup_acl_expect("hsetnx");
    redis = sup_redis_start(NULL);
    log_path = sup_path("worker.log");
    seed = getenv("ASQ_TEST_SEED") ? (unsigned) atoi(getenv("ASQ_TEST_SEED")) : 1;
}

static void tear_down(void)
{
    sup_redis_free(redis);
    free(log_path);
}

static unsigned dice(unsigned sides)
{
    return (unsigned) rand_r(&seed) % sides;
}

/* ---- calls of many kinds, with any outcome ---- */

static asq_agent *counters[ACTORS], *relays[ACTORS];
static asq_result *kept[KEPT];
static size_t nkept;

static void make_agents(void)
{
    char id[32];

    for (int i = 0; i < ACTORS; i++) {
        asq_agent_free(counters[i]);
        asq_agent_free(relays[i]);
        snprintf(id, sizeof id, "c%d", i);
        ck_assert_int_eq(
            asq_get_or_create(h, "Counter", id, asq_pack("{s:i}", "value", 0), &counters[i]), 0);
        snprintf(id, sizeof id, "r%d", i);
        ck_assert_int_eq(asq_get_or_create(h, "Relay", id, NULL, &relays[i]), 0);
    }
}

static void keep(asq_result *r)
{
    if (nkept == KEPT) {
        asq_result_free(kept[0]);
        kept[0] = kept[--nkept];
    }
    if (r)
        kept[nkept++] = r;
}

static void call_something(void)
{
    asq_agent *c = counters[dice(ACTORS)], *r = relays[dice(ACTORS)], *s = relays[dice(ACTORS)];
    asq_call_options options = ASQ_CALL_OPTIONS_INIT;
    asq_result *result = NULL;
    asq_value *list;
    int n;

    switch (dice(12)) {
    case 0: asq_call(c, dice(2) ? "add" : "add_blocking", &result, "[i]", 1); break;
    case 1: asq_call(r, "call", &result, "[a, s, [i]]", c, "add", 1); break;
    case 2:
        asq_call(r, "call", &result, "[a, s, [i, i]]", s, "late", (int) dice(40), (int) dice(2));
        break;
    case 3: asq_call(r, "outer", &result, "[a]", s); break;
    case 4: asq_call(r, "late", &result, "[i, i]", (int) dice(80), 0); break;
    case 5:
        if (nkept)
            asq_call(c, "add", &result, "[r, r]", kept[dice((unsigned) nkept)],
                     kept[dice((unsigned) nkept)]);
        break;
    case 6:
        list = asq_value_list();
        for (n = 0; n < ACTORS; n++)
            asq_list_append(list, asq_value_agent(counters[n]));
        asq_call(r, "fan", &result, "[o, s, [i]]", list, "add_blocking", 1);
        break;
    case 7:
        list = asq_value_list();
        for (n = 0; n < 4; n++)
            asq_list_append(list, asq_value_agent(relays[dice(ACTORS)]));
        asq_call(r, "down", &result, "[o, i]", list, 5);
        break;
    case 8:
        options.delay_ms = dice(50);
        asq_callv(c, "stubborn", &options, asq_pack("[i]", 1), &result);
        break;
    case 9: asq_send(r, "tell", "[a]", s); break;
    case 10:
        if (nkept)
            asq_result_cancel(kept[dice((unsigned) nkept)]);
        break;
    default: asq_call(r, "pass", &result, "[a, [i, i]]", s, 1, 2); break;
    }
    keep(result);
}

/* ---- damage to Redis ---- */

static const char *const kinds[] = { "lease", "jobs", "agents", "attempts", "dead", "later" };

static void do_harm(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
static void do_harm(const char *fmt, ...)
{
    va_list ap;
    char command[300];
    redisReply *r;

    va_start(ap, fmt);
    vsnprintf(command, sizeof command, fmt, ap);
    va_end(ap);
    r = sup_redis_reply(redis, command);
    freeReplyObject(r);
}

/* Removes the oldest entry. */
static const char take_first[] = "local e = redis.call('XRANGE', KEYS[1], '-', '+', 'COUNT', 1) "
                                 "return e[1] and redis.call('XDEL', KEYS[1], e[1][1])";

enum { FLUSH, LEASES, KEYS, STREAMS, EVERYTHING };

static void harm(int what)
{
    unsigned p = dice(PARTITIONS);
    const char *kind = kinds[dice(sizeof kinds / sizeof kinds[0])];

    if (what == EVERYTHING)
        what = (int) dice(EVERYTHING);
    switch (what) {
    case FLUSH: do_harm("FLUSHALL"); break;
    case LEASES:
        do_harm(dice(2) ? "DEL asq:{default.%u}:lease" : "SET asq:{default.%u}:lease x", p);
        break;
    case KEYS:
        switch (dice(5)) {
        case 0: do_harm("DEL asq:{default.%u}:%s", p, kind); break;
        case 1: /* the operator has to deal with overwritten agents */
            do_harm("SET asq:{default.%u}:%s x", p, strcmp(kind, "agents") == 0 ? "lease" : kind);
            break;
        case 2:
            do_harm("RENAME asq:{default.%u}:%s asq:{default.%u}:%s", p, kind, 1 - p, kind);
            break;
        case 3: do_harm("DEL asq:{default}:%s", dice(2) ? "workers" : "worker:w.0"); break;
        default: do_harm("DEL asq:{default}:meta"); break;
        }
        break;
    case STREAMS:
        switch (dice(4)) {
        case 0: do_harm("XTRIM asq:{default.%u}:jobs MAXLEN 0", p); break;
        case 1: do_harm("XTRIM asq:{default.%u}:jobs MAXLEN 3", p); break;
        case 2: do_harm("RENAME asq:{default.%u}:jobs asq:{default.%u}:jobs", p, 1 - p); break;
        default:
            freeReplyObject(
                sup_redis_reply(redis, "EVAL %s 1 asq:{default.%u}:jobs", take_first, p));
        }
    }
}

static void check_alive(void)
{
    char *text = sup_read_file(log_path);

    ck_assert_msg(!strstr(text, "was ended by signal") && !strstr(text, "ended by itself"),
                  "a worker process has died: %s", text);
    free(text);
}

/* Checks that agents can be made, and called. */
static void check_works(void)
{
    int64_t end = sup_now_ms() + sup_limit_ms();
    char id[40];

    for (int i = 0; i < 2 * PARTITIONS; i++) {
        asq_agent *a = NULL;
        int rc = -1;

        snprintf(id, sizeof id, "after-%d", i);
        while (rc < 0 && sup_now_ms() < end) {
            asq_agent_free(a);
            a = NULL;
            rc = asq_get_or_create(h, "Counter", id, asq_pack("{s:i}", "value", 0), &a);
            rc = rc < 0 ? rc : asq_call_wait(a, "add", NULL, "[i]", 1);
        }
        ck_assert_msg(rc == 0, "%s: %s: %s", id, asq_error_name(rc), asq_errmsg(h));
        asq_agent_free(a);
    }
}

START_TEST(a_worker_lives_on_whatever_vanishes_beneath_its_calls)
{
    const char *more = getenv("ASQ_TEST_ROUNDS");
    int rounds = more ? atoi(more) : ROUNDS;
    asq_options options = ASQ_OPTIONS_INIT;
    char err[300];
    pid_t w = worker();

    options.timeout_ms = 3000;
    options.partitions = PARTITIONS;
    ck_assert_msg(load_asq_open(sup_redis_url(redis), &options, &h, err, sizeof err) == 0, "%s",
                  err);
    make_agents();
    for (int i = 0; i < rounds; i++) {
        for (int k = 0; k < CALLS; k++)
            call_something();
        asq_poll(h, dice(30));
        harm(_i);
        asq_poll(h, dice(60));
        make_agents();
        check_alive();
    }
    check_works();
    for (size_t i = 0; i < nkept; i++)
        asq_result_free(kept[i]);
    nkept = 0;
    for (int i = 0; i < ACTORS; i++) {
        asq_agent_free(counters[i]);
        asq_agent_free(relays[i]);
        counters[i] = relays[i] = NULL;
    }
    asq_close(h);
    load_worker_stop(w);
    check_alive();
}
END_TEST

/* Calls of two callers wait for one result. When it arrives, the second call ends together with the
 * first, because another of its inputs has failed before. */
START_TEST(a_call_that_ends_while_others_are_told_is_not_told)
{
    asq_options options = ASQ_OPTIONS_INIT;
    char err[300];
    pid_t w = worker();
    asq_agent *agent, *same, *relay;
    asq_result *fails, *late, *their_fails, *their_late, *first, *second;
    asq *other;

    options.partitions = PARTITIONS;
    ck_assert_msg(load_asq_open(sup_redis_url(redis), &options, &h, err, sizeof err) == 0, "%s",
                  err);
    ck_assert_msg(load_asq_open(sup_redis_url(redis), &options, &other, err, sizeof err) == 0, "%s",
                  err);
    ck_assert_int_eq(asq_create(h, "Counter", "{one}", &agent, "{s:i}", "value", 0), 0);
    ck_assert_int_eq(asq_ready(agent, sup_limit_ms()), 0);
    ck_assert_int_eq(asq_attach(other, "{one}", &same), 0);
    for (int i = 0; i < 10; i++) {
        ck_assert_int_eq(asq_create(h, "Relay", NULL, &relay, NULL), 0);
        ck_assert_int_eq(asq_call(relay, "late", &fails, "[i, i]", 50, 1), 0);
        ck_assert_int_eq(asq_call(relay, "late", &late, "[i, i]", 100, 1), 0);
        ck_assert_int_eq(asq_result_attach(other, asq_result_id(fails), &their_fails), 0);
        ck_assert_int_eq(asq_result_attach(other, asq_result_id(late), &their_late), 0);
        ck_assert_int_eq(asq_call(agent, "add", &first, "[r]", late), 0);
        asq_poll(h, 20);
        ck_assert_int_eq(asq_call(same, "add", &second, "[r, r]", their_fails, their_late), 0);
        ck_assert_int_eq(asq_result_wait(second, sup_limit_ms()), ASQ_EINPUT);
        ck_assert_int_eq(asq_result_wait(first, sup_limit_ms()), ASQ_EINPUT);
        asq_result_free(first);
        asq_result_free(second);
        asq_result_free(fails);
        asq_result_free(late);
        asq_result_free(their_fails);
        asq_result_free(their_late);
        asq_agent_free(relay);
    }
    asq_agent_free(agent);
    asq_agent_free(same);
    asq_close(other);
    asq_close(h);
    load_worker_stop(w);
    check_alive();
}
END_TEST

int main(void)
{
    Suite *s = suite_create("vanish");
    TCase *t = tcase_create("vanish");

    if (!sup_redis_available())
        return sup_skip("no redis-server");
    tcase_add_checked_fixture(t, set_up, tear_down);
    tcase_add_loop_test(t, a_worker_lives_on_whatever_vanishes_beneath_its_calls, 0,
                        EVERYTHING + 1);
    tcase_add_test(t, a_call_that_ends_while_others_are_told_is_not_told);
    suite_add_tcase(s, t);
    return sup_suite_run(s);
}
