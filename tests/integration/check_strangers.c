/*
 * check_strangers.c: keys of workers have contents that no worker writes. as-ctl and as-worker
 * still show the other workers, and stop them.
 */
#include "load.h"
#include "support/suite.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static sup_redis *redis;
static asq *h;
static const char *url;
static pid_t w;

static void set_up(void)
{
    asq_worker_options options = ASQ_WORKER_OPTIONS_INIT;

    redis = sup_redis_start(NULL);
    url = sup_url_as(sup_redis_url(redis), "operator");
    options.id = "w";
    options.lease_time_ms = 60000; /* long enough that no worker buries another one */
    w = load_worker(sup_redis_url(redis), &options);
    sup_wait_until(sup_redis_int(redis, "SISMEMBER asq:{default}:workers w.0") == 1);
    h = load_open(url);
}

static void tear_down(void)
{
    asq_close(h);
    sup_redis_free(redis);
}

/* KEYS: workers, and the hash of a member "a", which sorts before the worker. */
static const char *const harms[] = {
    "redis.call('SET', KEYS[2], 'x')",
    "redis.call('ZADD', KEYS[2], 1, 'x')",
    "redis.call('HSET', KEYS[2], 'classes', string.rep('[', 63) .. string.rep(']', 63))",
    "redis.call('HSET', KEYS[2], 'classes', string.rep('{\"x\":', 63) .. '1' .. string.rep('}', 63))",
    "redis.call('HSET', KEYS[2], 'classes', '{\"Counter\":{\"x\":' .. string.rep('[', 40) .. string.rep(']', 40) .. '}}')",
    "redis.call('HSET', KEYS[2], 'classes', '{\"Counter\":{\"workers\":9223372036854775807,\"methods\":[7,"
    "{\"name\":[]},{\"name\":{\"a\":1},\"params\":{},\"doc\":5}],\"attributes\":\"x\",\"doc\":{}}}')",
    "redis.call('HSET', KEYS[2], 'classes', '{\"Counter\":7}')",
    "redis.call('HSET', KEYS[2], 'classes', '[]')",
    "redis.call('HSET', KEYS[2], 'classes', '{')",
    "redis.call('HSET', KEYS[2], '', '', '\\255', '\\255', 'id\\0x', 'y', 'id', '5', 'alive', 'x')",
    "redis.call('HSET', KEYS[2], 'lease_time_ms', '-9223372036854775807', 'pid', '99999999999999999999999',"
    " 'capacity', '-1', 'partitions', '[', 'stopping', '\\0', 'beat', 'nan') redis.call('PEXPIRE', KEYS[2], 1000000)",
    "redis.call('HSET', KEYS[2], 'lease_time_ms', '9223372036854775807') redis.call('PEXPIRE', KEYS[2], 1000000)",
    "redis.call('HSET', KEYS[2], 'host', string.rep('x', 40000000), 'classes', '[\"' .. string.rep('y', 40000000) .. '\"]')",
    "redis.call('HSET', KEYS[2], string.rep('x', 40000000), 'x')",
    "redis.call('SADD', KEYS[1], '', '.', 'w', 'W.0', 'w.0.0', 'a b', '\\255\\254\\0', string.rep('x', 300),"
    " string.rep('y', 5000000))",
};

/* Checks the exit status, and whether the output names the worker. */
static void check_run(const char *program, const char *command, const char *option,
                      const char *shown)
{
    const char *const argv[] = { sup_program(program), command, "-u", url, option, NULL };
    char *out, *err;
    int status = sup_run(argv, &out, &err);

    ck_assert_msg(status == 0, "%s %s: %s", program, command, err);
    ck_assert_msg(strstr(out, shown) != NULL, "%s %s %s shows no %s", program, command,
                  option ? option : "", shown);
    free(out);
    free(err);
}

static const asq_value *find(const asq_value *list, const char *id)
{
    for (size_t i = 0; i < asq_list_size(list); i++) {
        const char *text = "";

        asq_value_get_string(asq_map_get(asq_list_get(list, i), "id"), &text, NULL);
        if (strcmp(text, id) == 0)
            return asq_list_get(list, i);
    }
    return NULL;
}

START_TEST(what_somebody_writes_among_the_workers_hides_none)
{
    asq_value *list, *classes;
    bool alive = false;
    char *script = sup_format("redis.call('SADD', KEYS[1], 'a') %s return 1", harms[_i]);

    ck_assert_int_eq(
        sup_redis_int(redis, "EVAL %s 2 asq:{default}:workers asq:{default}:worker:a", script), 1);
    free(script);
    ck_assert_msg(asq_workers(h, &list) == 0, "%s", asq_errmsg(h));
    ck_assert_int_eq(asq_value_get_bool(asq_map_get(find(list, "w.0"), "alive"), &alive), 0);
    ck_assert(alive);
    if (find(list, "a")) {
        ck_assert_int_eq(asq_value_get_bool(asq_map_get(find(list, "a"), "alive"), &alive), 0);
        ck_assert(!alive);
    }
    asq_value_free(list);
    ck_assert_msg(asq_classes(h, &classes) == 0, "%s", asq_errmsg(h));
    ck_assert_int_ge(asq_map_int(asq_map_get(classes, "Counter"), "workers"), 1);
    ck_assert_int_le(asq_map_int(asq_map_get(classes, "Counter"), "workers"), 2);
    ck_assert_uint_gt(asq_list_size(asq_map_get(asq_map_get(classes, "Counter"), "methods")), 3);
    asq_value_free(classes);
    check_run("as-ctl", "workers", NULL, "w.0 ");
    check_run("as-ctl", "workers", "--json", "\"id\":\"w.0\"");
    check_run("as-ctl", "classes", NULL, "add(");
    check_run("as-ctl", "classes", "--json", "\"Counter\"");
    check_run("as-worker", "status", NULL, "w.0 ");
    check_run("as-worker", "status", "--json", "\"id\":\"w.0\"");
    check_run("as-worker", "stop", "--all", "w.0 has stopped");
    ck_assert_int_eq(load_worker_status(w), 0);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("strangers");
    TCase *t = tcase_create("strangers");

    if (!sup_redis_available())
        return sup_skip("no redis-server");
    tcase_add_checked_fixture(t, set_up, tear_down);
    tcase_add_loop_test(t, what_somebody_writes_among_the_workers_hides_none, 0,
                        sizeof harms / sizeof harms[0]);
    suite_add_tcase(s, t);
    return sup_suite_run(s);
}
