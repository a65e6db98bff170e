/*
 * check_sentinel_failover.c: calls while the master behind Sentinels changes: it dies, it is left
 * although it still answers, Sentinels are away. check_sentinel.c has the way to the master.
 */
#include "load.h"
#include "support/sentinel.h"
#include "support/suite.h"
#include "value/hash.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { AGENTS = 8, CALLS = 20 };

static sup_sentinels *s;
static asq *h;
static pid_t worker;
static char *log_path;
static char client_log[65536];

static void log_client(void *user, asq_log_level level, const char *message)
{
    size_t n = strlen(client_log);
    (void) user;
    if (level <= ASQ_LOG_INFO)
        snprintf(client_log + n, sizeof client_log - n, "%s\n", message);
}

static void log_worker(void *user, asq_log_level level, const char *message)
{
    FILE *f = fopen(log_path, "a");
    (void) user, (void) level;
    if (f) {
        fprintf(f, "%s\n", message);
        fclose(f);
    }
}

static int worker_said(const char *text)
{
    char *all = sup_read_file(log_path);
    int n = sup_count(all, text);
    free(all);
    return n;
}

/* one: give worker and client the URL of Sentinel 0 alone. */
static void start(bool one, const struct sup_sentinels_config *config)
{
    s = sup_sentinels_start(config);
    char *url =
        one ? sup_format("redis+sentinel://127.0.0.1:%d/themaster", sup_sentinels_port(s, 0))
            : sup_format("%s", sup_sentinels_url(s));
    asq_worker_options options = ASQ_WORKER_OPTIONS_INIT;
    asq_options of_client = ASQ_OPTIONS_INIT;
    char err[1024];
    log_path = sup_path("worker.log");
    *client_log = '\0';
    options.id = "w";
    options.lease_time_ms = 3000;
    options.log = log_worker;
    of_client.log = log_client;
    worker = load_worker(url, &options);
    int rc = load_asq_open(url, &of_client, &h, err, sizeof err);
    ck_assert_msg(rc == 0, "%s", err);
    free(url);
}

static void set_up(void)
{
    start(false, NULL);
}

static void tear_down(void)
{
    asq_close(h);
    load_worker_stop(worker);
    sup_sentinels_free(s);
    free(log_path);
}

/* Makes calls until the client has got results from this server. */
static void call_until_served_by(int server)
{
    struct load *l = load_new(h, AGENTS);
    load_calls(l, CALLS);
    load_check(l);
    sup_wait_until(asq_poll(h, 5) >= 0 &&
                   sup_redis_workers(sup_sentinels_server(s, server), "default") == 1);
}

START_TEST(calls_go_on_with_the_next_master_when_the_master_dies)
{
    struct load *l = load_new(h, AGENTS);
    load_calls(l, CALLS);
    sup_wait_until(load_is_done(l));
    sup_sentinels_wait_synced(s);
    sup_redis_kill(sup_sentinels_server(s, 0));
    load_calls(l, CALLS);
    int master = sup_sentinels_wait_failover(s, 0);
    load_check(l);
    call_until_served_by(master);
}
END_TEST

/* Keeps the replicas from receiving more, without telling the Sentinels. */
static void pause_replication(void)
{
    for (int i = 1; i < SUP_SENTINEL_SERVERS; i++)
        sup_redis_do(sup_sentinels_server(s, i), "CONFIG SET masterauth refused");
    sup_redis_do(sup_sentinels_server(s, 0), "CLIENT KILL TYPE replica");
}

static void allow_replication(void)
{
    for (int i = 1; i < SUP_SENTINEL_SERVERS; i++)
        sup_redis_do(sup_sentinels_server(s, i), "CONFIG SET masterauth %s", "");
}

enum { PARTITIONS = 128 };

static int owned_at_first_master(void)
{
    int n = 0;
    for (int p = 0; p < PARTITIONS; p++)
        n += (int) sup_redis_int(sup_sentinels_server(s, 0), "HEXISTS asq:{default.%d}:lease token",
                                 p);
    return n;
}

/* Makes the worker claim a partition of which the agent is not. */
static void have_one_claimed_anew(uint32_t not_this)
{
    sup_redis *master = sup_sentinels_server(s, 0);
    int p = not_this ? 0 : 1;
    char *before = sup_redis_str(master, "HGET asq:{default.%d}:lease token", p);
    sup_redis_do(master, "HDEL asq:{default.%d}:lease token owner", p);
    sup_wait_until(sup_redis_int(master, "HEXISTS asq:{default.%d}:lease token", p) == 1);
    char *now = sup_redis_str(master, "HGET asq:{default.%d}:lease token", p);
    ck_assert_str_ne(now, before);
    free(before);
    free(now);
}

/* Two results were told, and no replica has their effects, nor the claim of another partition. The
 * worker begins with what the new master has, and says what is gone: the claim is nothing that
 * anybody misses. Calls under way run once more, in their order. */
START_TEST(a_lost_tail_is_told_and_calls_go_on_from_what_redis_has)
{
    asq_agent *a;
    asq_result *r[CALLS];
    int64_t value;
    ck_assert_int_eq(asq_create(h, "Counter", "{tail}", &a, "{s:i}", "value", 0), 0);
    for (int i = 1; i <= 3; i++) {
        ck_assert_int_eq(asq_call(a, "add", &r[0], "[i]", 1), 0);
        ck_assert_int_eq(asq_result_int(r[0], &value), 0);
        ck_assert_int_eq(value, i);
        asq_result_free(r[0]);
        if (i > 1)
            continue;
        sup_wait_until(owned_at_first_master() == PARTITIONS);
        sup_sentinels_wait_synced(s);
        pause_replication();
    }
    have_one_claimed_anew(asq__partition_of("{tail}", 6, PARTITIONS));
    sup_redis_kill(sup_sentinels_server(s, 0));
    allow_replication();
    for (int i = 0; i < CALLS; i++)
        ck_assert_int_eq(asq_call(a, "add", &r[i], "[i]", 1), 0);
    for (int i = 0; i < CALLS; i++) {
        ck_assert_int_eq(asq_result_int(r[i], &value), 0);
        ck_assert_int_eq(value, i + 2);
        asq_result_free(r[i]);
    }
    asq_agent_free(a);
    int master = sup_sentinels_wait_failover(s, 0);
    sup_wait_until(worker_said("acknowledged commits of 1 partition are gone") == 1);
    sup_wait_until(sup_redis_int(sup_sentinels_server(s, master),
                                 "HGET asq:{default}:worker:w.0 lost_commits") >= 2);
}
END_TEST

/* Counts the connections of asqueue to a server. */
static int connections(int server)
{
    char *list = sup_redis_str(sup_sentinels_server(s, server), "CLIENT LIST");
    int n = sup_count(list, "name=asqueue-");
    free(list);
    return n;
}

START_TEST(a_switch_of_masters_is_followed)
{
    struct load *l = load_new(h, AGENTS);
    load_calls(l, CALLS);
    sup_wait_until(load_is_done(l));
    for (int i = 0; i < 2; i++) {
        int old = sup_sentinels_master(s);
        int master = sup_sentinels_fail_over(s);
        /* The old one serves until it is told, and forgets that as a replica. */
        sup_wait_until(asq_poll(h, 5) >= 0 && connections(old) == 0 && connections(master) > 0);
        load_calls(l, CALLS);
        sup_wait_until(load_is_done(l));
        sup_sentinels_wait_synced(s);
    }
    load_check(l);
}
END_TEST

/* Neither the heartbeat nor another connection stays with a master that the Sentinels no longer
 * reach, and have replaced, although it answers everybody else, as the master that it takes itself
 * for. */
START_TEST(a_master_that_still_answers_is_left)
{
    sup_redis *old = sup_sentinels_server(s, 0);
    struct load *l = load_new(h, AGENTS);
    load_calls(l, CALLS);
    sup_wait_until(load_is_done(l));
    sup_sentinels_wait_synced(s);
    sup_redis_do(old, "ACL SETUSER sentinel -@all");
    int master = sup_sentinels_wait_failover(s, 0);
    sup_wait_until(asq_poll(h, 5) >= 0 && connections(0) == 0 && connections(master) > 0);
    load_calls(l, CALLS);
    load_check(l);
    redisReply *role = sup_redis_reply(old, "ROLE");
    ck_assert_str_eq(role->element[0]->str, "master");
    freeReplyObject(role);
    ck_assert_int_ge(worker_said("the Sentinels tell of another master"), 1);
}
END_TEST

static void set_up_cut_off(void)
{
    static const char *const server[] = { "user sentinel on >pw ~* &* +@all", NULL };
    static const char *const sentinel[] = { "sentinel auth-user themaster sentinel",
                                            "sentinel auth-pass themaster pw", NULL };
    const struct sup_sentinels_config config = { .server = server, .sentinel = sentinel };
    start(false, &config);
}

START_TEST(work_goes_on_without_sentinels)
{
    struct load *l = load_new(h, AGENTS);
    load_calls(l, CALLS);
    sup_wait_until(load_is_done(l));
    for (int i = 0; i < SUP_SENTINELS; i++)
        sup_sentinels_kill(s, i);
    sup_wait_until(asq_poll(h, 5) >= 0 && worker_said("no Sentinel answers") > 0 &&
                   strstr(client_log, "no Sentinel answers"));
    load_calls(l, CALLS);
    load_check(l);
    ck_assert_int_eq(worker_said("no Sentinel answers"), 1);
    ck_assert_int_eq(sup_count(client_log, "no Sentinel answers"), 1);
    for (int i = 0; i < SUP_SENTINELS; i++)
        sup_sentinels_restart(s, i);
    sup_wait_until(asq_poll(h, 5) >= 0 && worker_said("a Sentinel answers again") == 1 &&
                   strstr(client_log, "a Sentinel answers again"));
}
END_TEST

/* The URL has one Sentinel, and that one is gone. */
START_TEST(other_sentinels_are_learned)
{
    struct load *l = load_new(h, AGENTS);
    load_calls(l, CALLS);
    sup_wait_until(load_is_done(l));
    sup_sentinels_wait_synced(s);
    sup_sentinels_kill(s, 0);
    sup_redis_kill(sup_sentinels_server(s, 0));
    load_calls(l, CALLS);
    load_check(l);
    call_until_served_by(sup_sentinels_wait_failover(s, 0));
}
END_TEST

static void set_up_one_known(void)
{
    start(true, NULL);
}

int main(void)
{
    if (!sup_redis_available())
        return sup_skip("no redis-server");
    Suite *suite = suite_create("sentinel_failover");
    TCase *t = tcase_create("failover");
    tcase_add_checked_fixture(t, set_up, tear_down);
    tcase_add_test(t, calls_go_on_with_the_next_master_when_the_master_dies);
    tcase_add_test(t, a_switch_of_masters_is_followed);
    tcase_add_test(t, a_lost_tail_is_told_and_calls_go_on_from_what_redis_has);
    tcase_add_test(t, work_goes_on_without_sentinels);
    tcase_set_timeout(t, 300);
    suite_add_tcase(suite, t);
    t = tcase_create("cut_off");
    tcase_add_checked_fixture(t, set_up_cut_off, tear_down);
    tcase_add_test(t, a_master_that_still_answers_is_left);
    tcase_set_timeout(t, 300);
    suite_add_tcase(suite, t);
    t = tcase_create("one_known");
    tcase_add_checked_fixture(t, set_up_one_known, tear_down);
    tcase_add_test(t, other_sentinels_are_learned);
    tcase_set_timeout(t, 300);
    suite_add_tcase(suite, t);
    return sup_suite_run(suite);
}
