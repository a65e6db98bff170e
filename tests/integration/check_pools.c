/*
 * check_pools.c: pools, which have partitions and workers of their own: agents whose ids name one
 * run on its workers alone, whoever makes the pool, and whatever dies.
 */
#include "classes.h"
#include "load.h"
#include "modes.h"
#include "support/acl.h"
#include "support/file_lines.h"
#include "support/suite.h"
#include "value/pools.h"

#include <check.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PARTITIONS = 8, AGENTS = 16 };

static sup_redis *redis;
static asq *h;
static char *log_path;

/* The handle makes pools, as a client of least privilege may not. */
static void set_up_with(int partitions)
{
    char err[300];
    redis = sup_redis_start(NULL);
    sup_redis_do(redis, "HSET asq:{default}:meta format 1 partitions %d", partitions);
    ck_assert_msg(asq_open(sup_url_as(sup_redis_url(redis), "worker"), NULL, &h, err, sizeof err) ==
                      0,
                  "%s", err);
    log_path = sup_write_file("worker.log", "");
}

static void set_up(void)
{
    set_up_with(PARTITIONS);
}

static void tear_down(void)
{
    asq_close(h);
    sup_redis_free(redis);
    free(log_path);
}

static pid_t start_with(const char *id, const char *pools, int64_t lease_time_ms)
{
    asq_worker_options options = ASQ_WORKER_OPTIONS_INIT;
    options.id = id;
    options.pools = pools;
    options.lease_time_ms = lease_time_ms;
    options.log = sup_log_to_file;
    options.log_user = log_path;
    return modes_fork_worker_with(sup_redis_url(redis), &options, classes);
}

static pid_t start(const char *id, const char *pools)
{
    return start_with(id, pools, 1000);
}

static struct asq__pools *read_pools(void)
{
    struct asq__pools *t;
    char why[300];
    char *text = sup_redis_str(redis, "EVAL %s 1 asq:{default}:meta",
                               "return redis.call('HGET', KEYS[1], 'pools') or ''");
    ck_assert_msg(asq__pools_read(PARTITIONS, text, &t, why, sizeof why) == 0, "%s", why);
    free(text);
    return t;
}

static bool has_pool(const char *name)
{
    struct asq__pools *t = read_pools();
    bool has = asq__pools_find(t, name, strlen(name)) != NULL;
    free(t);
    return has;
}

/* Returns the process that owns an agent's partition, to be freed; "": none does. */
static char *owner_of(const char *id)
{
    struct asq__pools *t = read_pools();
    uint32_t p;
    ck_assert(asq__pools_place(t, id, &p));
    free(t);
    return sup_redis_str(redis, "EVAL %s 1 asq:{default.%d}:lease",
                         "return redis.call('HGET', KEYS[1], 'owner') or ''", (int) p);
}

static bool is_owned_by(const char *id, const char *processes)
{
    char *owner = owner_of(id);
    bool is = *owner && strstr(processes, owner);
    free(owner);
    return is;
}

static bool is_owned_by_nobody(const char *id)
{
    char *owner = owner_of(id);
    bool is = !*owner;
    free(owner);
    return is;
}

static asq_agent *make(const char *class_name, const char *id)
{
    asq_agent *a;
    bool counter = strcmp(class_name, "Counter") == 0;
    ck_assert_msg((counter ? asq_create(h, class_name, id, &a, "{s:i}", "value", 0)
                           : asq_create(h, class_name, id, &a, NULL)) == 0,
                  "%s", asq_errmsg(h));
    return a;
}

static void make_many(const char *pool, asq_agent *agents[AGENTS])
{
    char id[80];
    for (int i = 0; i < AGENTS; i++) {
        snprintf(id, sizeof id, "%sagent%d", pool, i);
        agents[i] = make("Counter", id);
    }
}

/* Adds 1 to each, and checks that it has the value then. */
static void add_to_all(asq_agent *const agents[AGENTS], int64_t value)
{
    asq_result *results[AGENTS];
    for (int i = 0; i < AGENTS; i++)
        ck_assert_int_eq(asq_call(agents[i], "add", &results[i], "[i]", 1), 0);
    for (int i = 0; i < AGENTS; i++)
        ck_assert_int_eq(result_int(results[i]), value);
}

static bool all_are_owned_by(asq_agent *const agents[AGENTS], const char *processes)
{
    for (int i = 0; i < AGENTS; i++)
        if (!is_owned_by(asq_agent_id(agents[i]), processes))
            return false;
    return true;
}

static void free_all(asq_agent *agents[AGENTS])
{
    for (int i = 0; i < AGENTS; i++)
        asq_agent_free(agents[i]);
}

START_TEST(agents_of_a_pool_run_on_its_workers_alone)
{
    asq_agent *plain[AGENTS], *gpu[AGENTS];
    pid_t others = start("plain", NULL), first = start("first", "gpu"),
          second = start("second", "gpu");

    make_many("", plain);
    make_many("gpu/", gpu);
    add_to_all(plain, 1);
    add_to_all(gpu, 1);
    sup_wait_until(all_are_owned_by(gpu, "first.0 second.0"));
    ck_assert(all_are_owned_by(plain, "plain.0"));
    load_worker_kill(first);
    add_to_all(gpu, 2);
    add_to_all(plain, 2);
    sup_wait_until(all_are_owned_by(gpu, "second.0"));
    ck_assert(all_are_owned_by(plain, "plain.0"));
    modes_stop_worker(second);
    sup_wait_until(sup_redis_int(redis, "EXISTS asq:{default}:worker:second.0") == 0);
    add_to_all(plain, 3);
    ck_assert(!all_are_owned_by(gpu, "plain.0"));
    second = start("third", "gpu,default");
    add_to_all(gpu, 3);
    add_to_all(plain, 4);
    ck_assert(all_are_owned_by(gpu, "third.0"));
    free_all(plain);
    free_all(gpu);
    modes_stop_worker(second);
    modes_stop_worker(others);
}
END_TEST

START_TEST(a_call_to_a_pool_without_workers_waits_for_one)
{
    pid_t plain = start("plain", NULL), gpu;
    asq_agent *a = make("Counter", "gpu/a"), *b = make("Counter", "b");
    asq_result *waits, *runs;

    ck_assert_int_eq(asq_call(a, "add", &waits, "[i]", 1), 0);
    ck_assert_int_eq(asq_call(b, "add", &runs, "[i]", 1), 0);
    ck_assert_int_eq(result_int(runs), 1);
    ck_assert_int_eq(asq_flush(h, sup_limit_ms()), 0);
    ck_assert(!asq_result_done(waits));
    ck_assert(has_pool("gpu"));
    gpu = start("gpu", "gpu");
    ck_assert_int_eq(result_int(waits), 1);
    ck_assert(is_owned_by("gpu/a", "gpu.0"));
    asq_agent_free(a);
    asq_agent_free(b);
    modes_stop_worker(gpu);
    modes_stop_worker(plain);
}
END_TEST

/* Returns how many processes tell that they serve the pool. */
static int64_t count_serving(const char *pool)
{
    asq_value *list;
    int64_t n = -1;
    ck_assert_int_eq(asq_pools(h, &list), 0);
    for (size_t i = 0; i < asq_list_size(list); i++) {
        const char *name = "";
        asq_value_get_string(asq_map_get(asq_list_get(list, i), "pool"), &name, NULL);
        if (strcmp(name, pool) == 0)
            n = asq_map_int(asq_list_get(list, i), "workers");
    }
    asq_value_free(list);
    return n;
}

static bool none_is_owned(asq_agent *const agents[AGENTS])
{
    for (int i = 0; i < AGENTS; i++)
        if (!is_owned_by_nobody(asq_agent_id(agents[i])))
            return false;
    return true;
}

/* Calls go on without a gap in their order; those of the other pool are where they were. */
START_TEST(a_drained_pool_is_served_by_others)
{
    asq_agent *plain[AGENTS], *gpu[AGENTS];
    pid_t first = start("first", _i ? "*" : "gpu,default"), second;

    make_many("", plain);
    make_many("gpu/", gpu);
    add_to_all(plain, 1);
    add_to_all(gpu, 1);
    second = start("second", "gpu");
    sup_wait_until(count_serving("gpu") == 2);
    struct load *l = load_new(h, 20);
    load_calls(l, 20);
    ck_assert_msg(asq_drain_worker(h, "first", "gpu") == 0, "%s", asq_errmsg(h));
    ck_assert_int_eq(asq_drain_worker(h, "first.0", "gpu"), 0); /* again is no error */
    for (int i = 2; i < 6; i++) {
        add_to_all(gpu, i);
        add_to_all(plain, i);
    }
    sup_wait_until(count_serving("gpu") == 1);
    sup_wait_until(all_are_owned_by(gpu, "second.0"));
    ck_assert(all_are_owned_by(plain, "first.0"));
    add_to_all(gpu, 6);
    while (!load_is_done(l))
        asq_poll(h, 10);
    load_check(l);
    ck_assert_int_eq(asq_drain_worker(h, "second", "gpu"), ASQ_ESTATE);
    ck_assert_msg(strstr(asq_errmsg(h), "serves no other pool than 'gpu'"), "%s", asq_errmsg(h));
    ck_assert_int_eq(asq_drain_worker(h, "second", "none"), ASQ_ENOENT);
    ck_assert_int_eq(asq_drain_worker(h, "nobody", "gpu"), ASQ_ENOENT);
    ck_assert_int_eq(asq_drain_worker(h, "second", "9"), ASQ_EINVAL);
    free_all(plain);
    free_all(gpu);
    modes_stop_worker(second);
    modes_stop_worker(first);
}
END_TEST

/* Nobody waits for a tick, which comes each third of a lease time. */
START_TEST(a_drained_pool_moves_at_once)
{
    enum { LEASE_MS = 600000 };
    asq_agent *gpu[AGENTS];
    pid_t first = start_with("first", "gpu,default", LEASE_MS), second;

    make_many("gpu/", gpu);
    add_to_all(gpu, 1);
    second = start_with("second", "gpu", LEASE_MS);
    sup_wait_until(count_serving("gpu") == 2);
    ck_assert_int_eq(asq_drain_worker(h, "first", "gpu"), 0);
    sup_wait_until(all_are_owned_by(gpu, "second.0"));
    add_to_all(gpu, 2);
    free_all(gpu);
    modes_stop_worker(second);
    modes_stop_worker(first);
}
END_TEST

/* Runs as-ctl as an operator, and checks what it prints and notes. */
static void ctl(const char *out_has, const char *err_has, const char *a, const char *b,
                const char *c)
{
    char *out, *err, *url = sup_format("%s", sup_url_as(sup_redis_url(redis), "operator"));
    const char *const argv[] = { sup_program("as-ctl"), "-u", url, a, b, c, NULL };
    int status = sup_run(argv, &out, &err);
    ck_assert_msg(status == 0 && strstr(out, out_has) && strstr(err, err_has), "%s: %d: %s%s", a,
                  status, out, err);
    free(url);
    free(out);
    free(err);
}

/* Until the process is started anew. */
START_TEST(calls_of_a_drained_pool_wait_where_nobody_serves_it)
{
    asq_agent *plain[AGENTS], *gpu[AGENTS];
    asq_result *waits;
    asq_value *list;
    const char *drained = "";
    pid_t worker = start("w", "gpu,default");

    make_many("", plain);
    make_many("gpu/", gpu);
    add_to_all(plain, 1);
    add_to_all(gpu, 1);
    ctl("w was asked to serve pool gpu no longer",
        "no other live worker serves pool gpu: its calls wait for one", "drain", "w", "gpu");
    sup_wait_until(none_is_owned(gpu));
    ctl("w.0", "w.0 serves these pools no longer (as-ctl drain), until it is started anew: gpu",
        "workers", NULL, NULL);
    ctl("gpu", "no live worker serves pool gpu", "pools", NULL, NULL);
    ck_assert_int_eq(asq_call(gpu[0], "add", &waits, "[i]", 1), 0);
    add_to_all(plain, 2);
    ck_assert(!asq_result_done(waits));
    ck_assert_int_eq(count_serving("gpu"), 0);
    ck_assert_int_eq(asq_workers(h, &list), 0);
    asq_value_get_string(asq_map_get(asq_list_get(list, 0), "drained"), &drained, NULL);
    ck_assert_str_eq(drained, "gpu");
    asq_value_free(list);
    load_worker_kill(worker);
    worker = start("w", "gpu,default");
    ck_assert_int_eq(result_int(waits), 2);
    add_to_all(plain, 3);
    ck_assert(is_owned_by("gpu/agent0", "w.0"));
    free_all(plain);
    free_all(gpu);
    modes_stop_worker(worker);
}
END_TEST

START_TEST(a_worker_makes_its_pools)
{
    pid_t worker = start("w", "gpu:3,default,slow");

    sup_wait_until(has_pool("gpu") && has_pool("slow"));
    struct asq__pools *t = read_pools();
    ck_assert_uint_eq(t->n, 3);
    ck_assert_uint_eq(asq__pools_find(t, "gpu", 3)->partitions, 3);
    ck_assert_uint_eq(asq__pools_find(t, "slow", 4)->partitions, PARTITIONS);
    ck_assert_uint_eq(t->partitions, 2 * PARTITIONS + 3);
    free(t);
    modes_stop_worker(worker);
    worker = start("w", "gpu:5"); /* it is there, and stays as it is */
    sup_wait_until(sup_redis_int(redis, "HEXISTS asq:{default}:worker:w.0 pools") == 1);
    t = read_pools();
    ck_assert_uint_eq(t->partitions, 2 * PARTITIONS + 3);
    free(t);
    modes_stop_worker(worker);
}
END_TEST

START_TEST(a_worker_of_all_pools_takes_those_that_come_later)
{
    pid_t worker = start("w", "*");
    asq_agent *before[AGENTS], *after[AGENTS];

    make_many("", before);
    add_to_all(before, 1);
    make_many("late/", after);
    add_to_all(after, 1);
    add_to_all(before, 2);
    free_all(before);
    free_all(after);
    modes_stop_worker(worker);
}
END_TEST

static asq_value *agent_ref(const char *id)
{
    asq_agent *a;
    ck_assert_int_eq(asq_attach(h, id, &a), 0);
    asq_value *v = asq_value_agent(a);
    asq_agent_free(a);
    return v;
}

/* The worker of the caller does not know the pool, which nobody has made. */
START_TEST(a_method_calls_an_agent_of_a_pool_that_is_not_there_yet)
{
    pid_t plain = start("plain", NULL), gpu;
    asq_agent *relay = make("Relay", "relay");
    asq_result *r, *created;
    asq_agent *a;

    ck_assert_int_eq(asq_call(relay, "call", &r, "[o, s, [i]]", agent_ref("gpu/a"), "add", 5), 0);
    sup_wait_until(asq_poll(h, 0) >= 0 && has_pool("gpu"));
    a = make("Counter", "gpu/b");
    ck_assert_int_eq(asq_call(a, "add", &created, "[i]", 1), 0);
    gpu = start("gpu", "gpu");
    ck_assert_int_eq(result_int(created), 1);
    asq_result_wait(r, sup_limit_ms());
    ck_assert_int_eq(asq_result_error(r)->code, ASQ_ENOAGENT); /* that agent was never made */
    asq_result_free(r);
    ck_assert_int_eq(call_int(relay, "call", "[o, s, [i]]", agent_ref("gpu/b"), "add", 5), 6);
    asq_agent_free(a);
    asq_agent_free(relay);
    modes_stop_worker(gpu);
    modes_stop_worker(plain);
}
END_TEST

/* Results of partitions that the other worker has not heard of, since nobody tells it. */
START_TEST(results_are_arguments_across_pools)
{
    pid_t plain = start("plain", NULL), gpu = start("gpu", "gpu");
    asq_agent *there = make("Counter", "gpu/a"), *here = make("Counter", "b");
    asq_result *r;

    ck_assert_int_eq(asq_call(there, "add", &r, "[i]", 3), 0);
    ck_assert_int_eq(call_int(here, "add", "[r]", r), 3);
    asq_result_free(r);
    ck_assert_int_eq(asq_call(here, "add", &r, "[i]", 1), 0);
    ck_assert_int_eq(call_int(there, "add", "[r]", r), 7);
    asq_result_free(r);
    asq_agent_free(here);
    asq_agent_free(there);
    modes_stop_worker(gpu);
    modes_stop_worker(plain);
}
END_TEST

START_TEST(a_cycle_through_pools_ends)
{
    char *begun[2], *go = sup_path("go");
    pid_t plain = start("plain", NULL), gpu = start("gpu", "gpu");
    asq_agent *relays[2] = { make("Relay", "a"), make("Relay", "gpu/b") };
    asq_result *r[2];
    int deadlocks = 0;

    begun[0] = sup_path("begun0");
    begun[1] = sup_path("begun1");
    for (int i = 0; i < 2; i++)
        ck_assert_int_eq(asq_call(relays[i], "cross", &r[i], "[s, s, o, s, []]", begun[i], go,
                                  asq_value_agent(relays[1 - i]), "me"),
                         0);
    sup_wait_until(asq_poll(h, 0) >= 0 && access(begun[0], F_OK) == 0 &&
                   access(begun[1], F_OK) == 0);
    free(sup_write_file("go", ""));
    for (int i = 0; i < 2; i++) {
        asq_result_wait(r[i], sup_limit_ms());
        deadlocks += asq_result_error(r[i])->code == ASQ_EDEADLK;
        asq_result_free(r[i]);
        asq_agent_free(relays[i]);
        free(begun[i]);
    }
    ck_assert_int_eq(deadlocks, 1);
    free(go);
    modes_stop_worker(gpu);
    modes_stop_worker(plain);
}
END_TEST

/* Looking makes no pool. */
START_TEST(lists_and_views_have_the_agents_of_pools)
{
    pid_t worker = start("w", "default,gpu:4");
    asq_agent *gpu[AGENTS], *plain[AGENTS];
    asq_value *list;
    char err[300];
    asq *other;

    ck_assert_int_eq(
        asq_open(sup_url_as(sup_redis_url(redis), "operator"), NULL, &other, err, sizeof err), 0);
    make_many("gpu/", gpu);
    make_many("", plain);
    add_to_all(gpu, 1);
    add_to_all(plain, 1);
    asq_value *shown;
    ck_assert_msg(asq_show(other, "gpu/agent3", &shown) == 0, "%s", asq_errmsg(other));
    ck_assert_int_ge(asq_map_int(shown, "partition"), PARTITIONS);
    asq_value_free(shown);
    ck_assert_int_eq(asq_agents(other, NULL, &list), 0);
    ck_assert_uint_eq(asq_list_size(list), 2 * AGENTS);
    asq_value_free(list);
    ck_assert_int_eq(asq_show(other, "none/x", &shown), ASQ_ENOENT);
    ck_assert_msg(strstr(asq_errmsg(other), "there is no pool 'none'"), "%s", asq_errmsg(other));
    ck_assert(!has_pool("none"));
    asq_close(other);
    free_all(gpu);
    free_all(plain);
    modes_stop_worker(worker);
}
END_TEST

/* A user that may not make a pool uses one that is there. */
START_TEST(a_client_of_least_privilege_finds_pools)
{
    char *url = sup_format("%s", sup_redis_url(redis)), err[300];
    asq *client;
    asq_agent *a;
    pid_t worker;

    sup_redis_do(redis, "ACL SETUSER reader on nopass ~* &* +@all -eval");
    asq_options options = ASQ_OPTIONS_INIT;
    char *as_reader = sup_format("%s%suser=reader", url, strchr(url, '?') ? "&" : "?");
    ck_assert_msg(asq_open(as_reader, &options, &client, err, sizeof err) == 0, "%s", err);
    ck_assert_int_eq(asq_create(client, "Echo", "gpu/a", &a, NULL), ASQ_EREDIS);
    ck_assert_msg(strstr(asq_errmsg(client), "this user may not make it"), "%s",
                  asq_errmsg(client));
    worker = start("w", "gpu");
    sup_wait_until(has_pool("gpu"));
    ck_assert_msg(asq_create(client, "Echo", "gpu/a", &a, NULL) == 0, "%s", asq_errmsg(client));
    ck_assert_int_eq(asq_ready(a, sup_limit_ms()), 0);
    asq_agent_free(a);
    asq_close(client);
    free(as_reader);
    free(url);
    modes_stop_worker(worker);
}
END_TEST

static char warning[500];

static void take_warning(void *user, asq_log_level level, const char *message)
{
    (void) user;
    if (level == ASQ_LOG_WARNING)
        snprintf(warning, sizeof warning, "%s", message);
}

/* Where a program has its own workers, they serve all pools; in local mode an id is an id. */
START_TEST(own_workers_serve_each_pool)
{
    static const char *const urls[] = { "local:", "child:?processes=1" };
    char err[300];
    asq *own;
    asq_agent *a;

    asq_options options = ASQ_OPTIONS_INIT;
    options.log = take_warning;
    ck_assert_msg(asq_open(urls[_i], &options, &own, err, sizeof err) == 0, "%s", err);
    ck_assert_int_eq(asq_register(own, &counter_class), 0);
    ck_assert_msg(asq_create(own, "Counter", "gpu/a", &a, "{s:i}", "value", 0) == 0, "%s",
                  asq_errmsg(own));
    ck_assert_int_eq(call_int(a, "add", "[i]", 4), 4);
    ck_assert_str_eq(warning, "");
    asq_agent_free(a);
    asq_close(own);
}
END_TEST

START_TEST(who_makes_a_pool_by_an_id_is_told)
{
    asq_options options = ASQ_OPTIONS_INIT;
    char err[300];
    asq *own;
    asq_agent *a;

    options.log = take_warning;
    ck_assert_int_eq(
        asq_open(sup_url_as(sup_redis_url(redis), "worker"), &options, &own, err, sizeof err), 0);
    ck_assert_int_eq(asq_create(own, "Counter", "user/a", &a, NULL), 0);
    ck_assert_msg(strstr(warning, "there was no pool 'user'") != NULL, "%s", warning);
    asq_agent_free(a);
    asq_close(own);
}
END_TEST

START_TEST(pools_come_back_when_redis_loses_them)
{
    pid_t worker = start("w", "default,gpu");
    asq_agent *a = make("Counter", "gpu/a");

    ck_assert_int_eq(call_int(a, "add", "[i]", 1), 1);
    sup_redis_do(redis, "HDEL asq:{default}:meta pools");
    sup_wait_until(has_pool("gpu"));
    ck_assert_int_eq(call_int(a, "add", "[i]", 1), 2);
    sup_redis_do(redis, "HSET asq:{default}:meta pools nonsense");
    sup_wait_until(sup_redis_int(redis, "EVAL %s 1 asq:{default}:meta",
                                 "return redis.call('HGET', KEYS[1], 'pools') == 'gpu 8 8' and 1 "
                                 "or 0") == 1);
    ck_assert_int_eq(call_int(a, "add", "[i]", 1), 3);
    asq_agent_free(a);
    modes_stop_worker(worker);
}
END_TEST

/* Ids whose part before a '/' is another thing than a pool. */
START_TEST(a_pool_for_which_there_is_no_room_is_an_error)
{
    asq_agent *a;
    char id[80];
    int rc = 0;
    for (int i = 0; i < 4 && rc == 0; i++) {
        snprintf(id, sizeof id, "user%d/x", i);
        rc = asq_create(h, "Counter", id, &a, NULL);
        if (rc == 0)
            asq_agent_free(a);
    }
    ck_assert_int_eq(rc, ASQ_ELIMIT);
    ck_assert_msg(strstr(asq_errmsg(h), "no room for it"), "%s", asq_errmsg(h));
    ck_assert_int_eq(asq_create(h, "Counter", "http://x/y", &a, NULL), 0);
    asq_agent_free(a);
}
END_TEST

static void set_up_large(void)
{
    set_up_with(6000);
}

START_TEST(a_list_of_pools_is_checked)
{
    asq_worker_options options = ASQ_WORKER_OPTIONS_INIT;
    asq_worker *w;
    char err[300];
    options.url = sup_redis_url(redis);
    options.pools = "gpu,9x";
    ck_assert_int_eq(asq_worker_new(&options, &w, err, sizeof err), ASQ_EINVAL);
    ck_assert_msg(strstr(err, "'9x' is no name of a pool"), "%s", err);
    options.pools = "gpu:0";
    ck_assert_int_eq(asq_worker_new(&options, &w, err, sizeof err), ASQ_EINVAL);
}
END_TEST

/* Calls go on while pools come, one after the other, and none is lost. */
START_TEST(pools_that_come_under_load_lose_nothing)
{
    pid_t workers[2] = { start("one", "*"), start("two", "*") };
    struct load *l = load_new(h, 20);
    for (int i = 0; i < 6; i++) {
        asq_agent *agents[AGENTS];
        char pool[20];
        load_calls(l, 20);
        snprintf(pool, sizeof pool, "p%d/", i);
        make_many(pool, agents);
        add_to_all(agents, 1);
        if (i == 2) {
            load_worker_kill(workers[0]);
            workers[0] = start("three", "*");
        }
        add_to_all(agents, 2);
        free_all(agents);
    }
    while (!load_is_done(l))
        asq_poll(h, 10);
    load_check(l);
    modes_stop_worker(workers[0]);
    modes_stop_worker(workers[1]);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("pools");
    TCase *t = tcase_create("pools"), *drained = tcase_create("drained"),
          *large = tcase_create("large");

    tcase_set_timeout(t, 120);
    tcase_add_checked_fixture(t, set_up, tear_down);
    tcase_add_test(t, agents_of_a_pool_run_on_its_workers_alone);
    tcase_add_test(t, a_call_to_a_pool_without_workers_waits_for_one);
    tcase_add_test(t, a_worker_makes_its_pools);
    tcase_add_test(t, a_worker_of_all_pools_takes_those_that_come_later);
    tcase_add_test(t, a_method_calls_an_agent_of_a_pool_that_is_not_there_yet);
    tcase_add_test(t, results_are_arguments_across_pools);
    tcase_add_test(t, a_cycle_through_pools_ends);
    tcase_add_test(t, lists_and_views_have_the_agents_of_pools);
    tcase_add_test(t, a_client_of_least_privilege_finds_pools);
    tcase_add_loop_test(t, own_workers_serve_each_pool, 0, 2);
    tcase_add_test(t, who_makes_a_pool_by_an_id_is_told);
    tcase_add_test(t, pools_come_back_when_redis_loses_them);
    tcase_add_test(t, a_list_of_pools_is_checked);
    tcase_add_test(t, pools_that_come_under_load_lose_nothing);
    suite_add_tcase(s, t);
    tcase_set_timeout(drained, 120);
    tcase_add_checked_fixture(drained, set_up, tear_down);
    tcase_add_loop_test(drained, a_drained_pool_is_served_by_others, 0, 2);
    tcase_add_test(drained, a_drained_pool_moves_at_once);
    tcase_add_test(drained, calls_of_a_drained_pool_wait_where_nobody_serves_it);
    suite_add_tcase(s, drained);
    tcase_add_checked_fixture(large, set_up_large, tear_down);
    tcase_add_test(large, a_pool_for_which_there_is_no_room_is_an_error);
    suite_add_tcase(s, large);
    return sup_suite_run(s);
}
