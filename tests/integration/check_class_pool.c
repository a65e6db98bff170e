/*
 * check_class_pool.c: the pool of a class, into which agents are put whose ids name none, by
 * whoever makes them: the same ids come back in every mode.
 */
#include "classes.h"
#include "modes.h"
#include "support/acl.h"
#include "support/file_lines.h"
#include "support/suite.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static sup_redis *redis;
static asq *h;
static char *log_path;
static asq_class pooled; /* Counter, in pool gpu */
static const asq_class *const pooled_classes[] = { &pooled, &relay_class, &echo_class, NULL };

static asq *open_as(const char *role)
{
    char err[300];
    asq *handle;
    ck_assert_msg(
        asq_open(sup_url_as(sup_redis_url(redis), role), NULL, &handle, err, sizeof err) == 0, "%s",
        err);
    return handle;
}

static void make_classes(void)
{
    pooled = counter_class;
    pooled.pool = "gpu";
}

static void set_up(void)
{
    make_classes();
    redis = sup_redis_start(NULL);
    sup_redis_do(redis, "HSET asq:{default}:meta format 1 partitions 4");
    h = open_as("worker"); /* which may make pools */
    log_path = sup_write_file("worker.log", "");
}

static void tear_down(void)
{
    asq_close(h);
    sup_redis_free(redis);
    free(log_path);
}

static pid_t start(const char *id, const char *pools)
{
    asq_worker_options options = ASQ_WORKER_OPTIONS_INIT;
    options.id = id;
    options.pools = pools;
    options.log = sup_log_to_file;
    options.log_user = log_path;
    return modes_fork_worker_with(sup_redis_url(redis), &options, pooled_classes);
}

static asq_agent *make(asq *handle, const char *id, int value)
{
    asq_agent *a;
    ck_assert_msg(asq_create(handle, "Counter", id, &a, "{s:i}", "value", value) == 0, "%s",
                  asq_errmsg(handle));
    return a;
}

static void check_id(asq_agent *a, const char *id)
{
    ck_assert_str_eq(asq_agent_id(a), id);
    asq_agent_free(a);
}

static void check_prefix(asq_agent *a, const char *prefix)
{
    ck_assert_msg(strncmp(asq_agent_id(a), prefix, strlen(prefix)) == 0 &&
                      !strchr(asq_agent_id(a) + strlen(prefix), '/'),
                  "%s", asq_agent_id(a));
    asq_agent_free(a);
}

/* Makes agents in each way, and finds them again. */
static void make_agents(asq *handle)
{
    asq_create_options options = ASQ_CREATE_OPTIONS_INIT;
    const char *const ids[] = { "many-1", "slow/many-2", NULL };
    asq_agent *a, *b, *many[3];

    a = make(handle, "bert-1", 3);
    ck_assert_str_eq(asq_agent_id(a), "gpu/bert-1");
    ck_assert_int_eq(call_int(a, "add", "[i]", 1), 4);
    ck_assert_int_eq(asq_get_or_create(handle, "Counter", "bert-1", NULL, &b), 0);
    ck_assert_int_eq(call_int(b, "add", "[i]", 1), 5);
    check_id(b, "gpu/bert-1");
    ck_assert_int_eq(asq_attach(handle, "gpu/bert-1", &b), 0);
    ck_assert_int_eq(call_int(b, "add", "[i]", 1), 6);
    check_id(b, "gpu/bert-1");
    ck_assert_int_eq(asq_clone(a, "bert-2", &b), 0);
    ck_assert_int_eq(call_int(b, "add", "[i]", 0), 3);
    check_id(b, "gpu/bert-2");
    ck_assert_int_eq(asq_clone(a, NULL, &b), 0);
    check_prefix(b, "gpu/");
    asq_agent_free(a);
    check_prefix(make(handle, NULL, 1), "gpu/");
    check_id(make(handle, "slow/bert", 1), "slow/bert");
    check_id(make(handle, "default/bert", 1), "default/bert");
    ck_assert_int_eq(asq_create_many(handle, "Counter", 3, ids, NULL, many), 0);
    check_id(many[0], "gpu/many-1");
    check_id(many[1], "slow/many-2");
    check_prefix(many[2], "gpu/");
    options.pool = "slow";
    ck_assert_int_eq(asq_create_with(handle, "Counter", &options, NULL, &a), 0);
    ck_assert_int_eq(asq_clone(a, NULL, &b), 0); /* where the first one is */
    check_prefix(a, "slow/");
    check_prefix(b, "slow/");
    options.id = "bert-3";
    ck_assert_int_eq(asq_create_with(handle, "Counter", &options, NULL, &a), 0);
    check_id(a, "slow/bert-3");
    options.pool = "default";
    ck_assert_int_eq(asq_create_with(handle, "Counter", &options, NULL, &a), 0);
    check_id(a, "default/bert-3");
    ck_assert_int_eq(asq_create(handle, "Relay", "relay", &a, NULL), 0);
    check_id(a, "relay");
}

START_TEST(agents_are_put_into_the_pool_of_their_class)
{
    pid_t worker = start("w", "*");
    ck_assert_int_eq(asq_register(h, &pooled), 0);
    ck_assert_int_eq(asq_register(h, &pooled), 0); /* again is no error */
    make_agents(h);
    modes_stop_worker(worker);
    ck_assert_int_eq(sup_file_count(log_path, "is created in pool default"), 0);
}
END_TEST

/* Has a method make an agent, which must be in the pool of its class. */
static void check_spawned(asq *of)
{
    asq_agent *relay, *made;
    asq_value *v;

    ck_assert_int_eq(asq_create(of, "Relay", "r", &relay, NULL), 0);
    ck_assert_int_eq(asq_call_wait(relay, "spawn", &v, "[i]", 33), 0);
    ck_assert_int_eq(asq_attach_value(of, v, &made), 0);
    ck_assert_int_eq(call_int(made, "add", "[i]", 1), 34);
    check_prefix(made, "gpu/");
    asq_value_free(v);
    asq_agent_free(relay);
}

/* A program that moves to a cluster sees the same ids. */
START_TEST(own_workers_give_the_same_ids)
{
    static const char *const urls[] = { "local:", "child:?processes=1" };
    char err[300];
    asq *own;

    make_classes();
    ck_assert_msg(asq_open(urls[_i], NULL, &own, err, sizeof err) == 0, "%s", err);
    ck_assert_int_eq(asq_register(own, &pooled), 0);
    ck_assert_int_eq(asq_register(own, &relay_class), 0);
    make_agents(own);
    check_spawned(own);
    asq_close(own);
}
END_TEST

/* The name and the pool are enough where workers were started elsewhere. */
START_TEST(a_table_with_a_name_and_a_pool_is_enough)
{
    asq_class brief = { ASQ_CLASS_INIT, .name = "Counter", .pool = "gpu" };
    pid_t worker = start("w", "gpu");
    ck_assert_int_eq(asq_register(h, &brief), 0);
    brief.pool = brief.name = NULL; /* nothing of it is needed later */
    asq_agent *a = make(h, "bert-1", 3);
    ck_assert_int_eq(call_int(a, "add", "[i]", 1), 4);
    check_id(a, "gpu/bert-1");
    modes_stop_worker(worker);
}
END_TEST

/* The worker of the caller has the class, though agents of it run elsewhere. */
START_TEST(methods_put_agents_into_the_pool_of_their_class)
{
    pid_t plain = start("plain", NULL), gpu = start("gpu", "gpu");

    check_spawned(h);
    modes_stop_worker(gpu);
    modes_stop_worker(plain);
}
END_TEST

START_TEST(who_has_not_registered_the_class_is_told_by_the_worker)
{
    pid_t worker = start("w", "default,gpu");
    asq_agent *a = make(h, "bert-1", 3);
    ck_assert_int_eq(call_int(a, "add", "[i]", 1), 4);
    check_id(a, "bert-1");
    sup_wait_until(sup_file_count(log_path, "'bert-1' is created in pool default, though the pool "
                                            "of its class Counter is 'gpu'") == 1);
    modes_stop_worker(worker);
}
END_TEST

static void check_refused(asq *handle, const char *pool, const char *why)
{
    asq_class c = pooled;
    c.pool = pool;
    ck_assert_int_eq(asq_register(handle, &c), ASQ_EINVAL);
    ck_assert_msg(strstr(asq_errmsg(handle), why) && strstr(asq_errmsg(handle), "class Counter"),
                  "%s", asq_errmsg(handle));
}

START_TEST(a_bad_pool_is_refused)
{
    char err[300], long_id[ASQ_MAX_ID + 1];
    asq_create_options options = ASQ_CREATE_OPTIONS_INIT;
    asq_class c;
    asq *local;
    asq_agent *a;

    make_classes();
    ck_assert_int_eq(asq_open("local:", NULL, &local, err, sizeof err), 0);
    asq *const handles[] = { h, local };
    for (int i = 0; i < 2; i++) {
        check_refused(handles[i], "9gpu", "'9gpu' is no name of a pool");
        check_refused(handles[i], "", "'' is no name of a pool");
        check_refused(handles[i], "gpu,default", "is no name of a pool");
        check_refused(handles[i],
                      "a2345678901234567890123456789012345678901234567890123456789012345",
                      "has 65 bytes");
        ck_assert_int_eq(asq_register(handles[i], &pooled), 0);
        c = pooled;
        c.pool = NULL;
        ck_assert_int_eq(asq_register(handles[i], &c), ASQ_EEXIST);
        options.pool = "g/pu";
        ck_assert_int_eq(asq_create_with(handles[i], "Counter", &options, NULL, &a), ASQ_EINVAL);
        ck_assert_msg(strstr(asq_errmsg(handles[i]), "'g/pu' is no name of a pool"), "%s",
                      asq_errmsg(handles[i]));
        memset(long_id, 'a', ASQ_MAX_ID);
        long_id[ASQ_MAX_ID] = '\0';
        ck_assert_int_eq(asq_create(handles[i], "Counter", long_id, &a, NULL), ASQ_EINVAL);
        ck_assert_msg(strstr(asq_errmsg(handles[i]), "has 259 bytes with its pool 'gpu' before it"),
                      "%s", asq_errmsg(handles[i]));
        long_id[ASQ_MAX_ID - 4] = '\0';
        ck_assert_int_eq(asq_create(handles[i], "Counter", long_id, &a, "{s:i}", "value", 0), 0);
        ck_assert_uint_eq(strlen(asq_agent_id(a)), ASQ_MAX_ID);
        asq_agent_free(a);
    }
    ck_assert_msg(strstr(asq_errmsg(h), "has 259") != NULL, "%s", asq_errmsg(h));
    asq_close(local);
}
END_TEST

/* Runs as-ctl, and returns what it prints, to be freed. */
static char *ctl(const char *a, const char *b, const char *c, const char *d)
{
    char *out, *err, *url = strdup(sup_url_as(sup_redis_url(redis), "worker"));
    const char *const argv[] = { sup_program("as-ctl"), "-u", url, a, b, c, d, NULL };
    int status = sup_run(argv, &out, &err);
    ck_assert_msg(status == 0, "as-ctl %s: %s", a, err);
    free(url);
    free(err);
    return out;
}

static void check_ctl(const char *b, const char *c, const char *d, const char *id)
{
    char *out = ctl("create", b, c, d);
    ck_assert_msg(strncmp(out, id, strlen(id)) == 0, "%s", out);
    free(out);
}

/* Tools do not have the classes, and go by what workers tell. */
START_TEST(tools_use_the_pool_that_workers_tell)
{
    pid_t worker = start("w", "*");
    asq_value *all;
    const char *pool;

    sup_wait_until(sup_redis_int(redis, "HEXISTS asq:{default}:worker:w.0 classes") == 1);
    check_ctl("Counter", NULL, NULL, "gpu/");
    check_ctl("Counter", "--id", "bert-1", "gpu/bert-1\n");
    check_ctl("Counter", "--id", "slow/bert-1", "slow/bert-1\n");
    check_ctl("Counter", "--pool", "slow", "slow/");
    check_ctl("Echo", "--id", "e", "e\n");
    char *out = ctl("classes", NULL, NULL, NULL);
    ck_assert_msg(strstr(out, "Counter  (workers: 1; pool: gpu)") != NULL, "%s", out);
    ck_assert_msg(strstr(out, "Echo  (workers: 1)") != NULL, "%s", out);
    free(out);
    out = ctl("clone", "gpu/bert-1", NULL, NULL);
    ck_assert_msg(strncmp(out, "gpu/", 4) == 0, "%s", out);
    free(out);
    ck_assert_int_eq(asq_classes(h, &all), 0);
    ck_assert_int_eq(
        asq_value_get_string(asq_map_get(asq_map_get(all, "Counter"), "pool"), &pool, NULL), 0);
    ck_assert_str_eq(pool, "gpu");
    ck_assert_int_eq(asq_value_type(asq_map_get(asq_map_get(all, "Echo"), "pool")), ASQ_NULL);
    asq_value_free(all);
    modes_stop_worker(worker);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("class_pool");
    TCase *t = tcase_create("class_pool"), *own = tcase_create("own");

    tcase_set_timeout(t, 120);
    tcase_add_checked_fixture(t, set_up, tear_down);
    tcase_add_test(t, agents_are_put_into_the_pool_of_their_class);
    tcase_add_test(t, a_table_with_a_name_and_a_pool_is_enough);
    tcase_add_test(t, methods_put_agents_into_the_pool_of_their_class);
    tcase_add_test(t, who_has_not_registered_the_class_is_told_by_the_worker);
    tcase_add_test(t, a_bad_pool_is_refused);
    tcase_add_test(t, tools_use_the_pool_that_workers_tell);
    suite_add_tcase(s, t);
    tcase_set_timeout(own, 120);
    tcase_add_loop_test(own, own_workers_give_the_same_ids, 0, 2);
    suite_add_tcase(s, own);
    return sup_suite_run(s);
}
