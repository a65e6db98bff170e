/*
 * check_redis_errors.c: Redis answers with errors for a while: each command in turn is denied, or
 * the server is demoted and its replica promoted. All calls end, each effect is there once, and
 * every refused process recovers by itself.
 */
#include "load.h"
#include "support/suite.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { AGENTS = 8, CALLS = 20, LEASE_MS = 1000 };

static asq *h;
static pid_t worker;

static pid_t start_worker(const char *url, const char *id, uint32_t processes)
{
    asq_worker_options options = ASQ_WORKER_OPTIONS_INIT;

    options.id = id;
    options.lease_time_ms = LEASE_MS;
    options.processes = processes;
    return load_worker(url, &options);
}

static void start(const char *url)
{
    h = load_open(url);
    worker = start_worker(url, "w", 2);
}

static void stop(void)
{
    asq_close(h);
    load_worker_stop(worker);
}

/* ---- every command in turn ---- */

/* Commands that are sent directly, or that a script begins with. Commands after the first write
 * of a commit cannot be denied: Redis would not roll back, and scripts are atomic only if their
 * commands succeed. */
static const char *const commands[] = { "xadd",     "eval",   "evalsha",   "xread",     "hmget",
                                        "hget",     "hset",   "hincrby",   "xrange",    "get",
                                        "unlink",   "script", "sadd",      "info",      "time",
                                        "smembers", "client", "hgetall",   "hlen",      "xlen",
                                        "hello",    "hsetnx", "xrevrange", "subscribe", "publish" };
enum { COMMANDS = sizeof commands / sizeof *commands };

static int denials(sup_redis *r)
{
    char *info = sup_redis_str(r, "INFO errorstats");
    char *at = strstr(info, "errorstat_NOPERM:count=");
    int n = at ? atoi(strchr(at, '=') + 1) : 0;

    free(info);
    return n;
}

/* Returns the process to kill when it owns its partitions. */
static pid_t victim(sup_redis *r)
{
    sup_wait_until(sup_redis_int(r, "HGET asq:{default}:worker:w.0 partitions") > 0);
    return sup_redis_worker_pid(r, "w.0");
}

/* asynq #1144, #1051: errors under load leave no call active for ever. Meanwhile a process dies, so
 * that its calls are counted and its partitions claimed, or a worker stops and hands its partitions
 * back. */
START_TEST(asynq_1144_each_command_is_denied_for_a_while_and_all_calls_end)
{
    sup_redis *redis = sup_redis_start(NULL);
    start(sup_redis_url_default(redis));
    struct load *l = load_new(h, AGENTS);
    for (int i = _i; i < COMMANDS; i += 4) {
        bool dies = i % 8 < 4;
        pid_t other = dies ? victim(redis) : start_worker(sup_redis_url_default(redis), "other", 1);
        if (!dies)
            sup_wait_until(sup_redis_int(redis, "HGET asq:{default}:worker:other.0 partitions") >
                           0);
        load_calls(l, CALLS);
        asq_poll(h, 5);
        sup_redis_do(redis, "ACL SETUSER default -%s", commands[i]);
        load_calls(l, CALLS);
        kill(other, dies ? SIGKILL : SIGTERM);
        asq_sleep(h, i % 2 ? 100 : 700);
        if (i % 3 == 0) /* new processes meet the errors, too */
            sup_redis_do(redis, "CLIENT KILL TYPE normal SKIPME yes");
        asq_sleep(h, i % 2 ? 700 : 100);
        sup_redis_do(redis, "ACL SETUSER default +@all");
        load_calls(l, 1);
        sup_wait_until(load_is_done(l));
        if (!dies)
            ck_assert_int_eq(load_worker_status(other), 0);
    }
    load_check_but(l, ASQ_EREDIS);
    ck_assert_int_gt(denials(redis), 0);
    stop();
    sup_redis_free(redis);
}
END_TEST

/* ---- failover ---- */

struct pair {
    sup_redis *server[2];
    int port[2], master;
    char *link, *url; /* `link`: leads to the master, for clients and workers. */
};

static void point(struct pair *p, int master)
{
    char *next = sup_path("next");

    p->master = master;
    unlink(next);
    ck_assert_int_eq(symlink(sup_redis_socket(p->server[master]), next), 0);
    ck_assert_int_eq(rename(next, p->link), 0);
    free(next);
}

static void pair_start(struct pair *p)
{
    for (int i = 0; i < 2; i++) {
        p->port[i] = sup_free_port();
        char *port = sup_format("port %d", p->port[i]);
        p->server[i] = sup_redis_start((const char *const[]){ port, "repl-diskless-sync-delay 0",
                                                              "repl-ping-replica-period 1", NULL });
        free(port);
    }
    p->link = sup_path("master.sock");
    p->url = sup_format("unix:%s", p->link);
    point(p, 0);
    sup_redis_do(p->server[1], "REPLICAOF 127.0.0.1 %d", p->port[0]);
}

static bool info_has(sup_redis *r, const char *text)
{
    char *info = sup_redis_str(r, "INFO replication");
    bool has = strstr(info, text) != NULL;

    free(info);
    return has;
}

/* Runs the FAILOVER of Redis, which waits until the replica has all data. */
static void fail_over(struct pair *p)
{
    sup_redis *old = p->server[p->master], *new = p->server[!p->master];

    sup_wait_until(info_has(old, "state=online"));
    sup_redis_do(old, "FAILOVER TO 127.0.0.1 %d", p->port[!p->master]);
    sup_wait_until(info_has(new, "role:master") && info_has(old, "role:slave"));
}

/* asynq #55, #959: jobs that ran when the server was demoted stay in progress, READONLY for
 * ever. */
START_TEST(asynq_55_the_server_is_demoted_and_its_replica_promoted_under_load)
{
    struct pair p;
    pair_start(&p);
    start(p.url);
    struct load *l = load_new(h, AGENTS);
    for (int i = 0; i < 4; i++) {
        load_calls(l, CALLS);
        asq_poll(h, 5);
        fail_over(&p);
        load_calls(l, CALLS); /* the old master answers -READONLY to them */
        asq_sleep(h, 700);
        point(&p, !p.master);
        load_calls(l, 1);
        sup_wait_until(load_is_done(l));
    }
    load_check_but(l, ASQ_EREDIS);
    stop();
    for (int i = 0; i < 2; i++)
        sup_redis_free(p.server[i]);
    free(p.link);
    free(p.url);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("redis_errors");
    TCase *t = tcase_create("redis_errors");

    if (!sup_redis_available())
        return sup_skip("no redis-server");
    tcase_set_timeout(t, 180);
    tcase_add_loop_test(t, asynq_1144_each_command_is_denied_for_a_while_and_all_calls_end, 0, 4);
    tcase_add_test(t, asynq_55_the_server_is_demoted_and_its_replica_promoted_under_load);
    suite_add_tcase(s, t);
    return sup_suite_run(s);
}
