/*
 * check_with_handle.c: agents that end with the handle that has made them: when it is closed, when
 * its program is killed, and not before, whatever happens to Redis, workers and keys meanwhile.
 * Where a test would wait for the time to live of a key, it shortens that.
 */
#include "load.h"
#include "proto/asqueue.pb-c.h"
#include "redis/handle_key.h"
#include "support/acl.h"
#include "support/suite.h"
#include "value/expiry.h"
#include "value/hash.h"
#include "value/msg.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { AGENTS = 30, PARTITIONS = 4, ROUNDS = 4 };

static sup_redis *redis;
static asq *h, *op; /* op has the rights to look at agents */

static const char *const durable[] = { "appendonly yes", "appendfsync always", NULL };

static pid_t worker(void)
{
    asq_worker_options options = ASQ_WORKER_OPTIONS_INIT;
    options.lease_time_ms = 1000;
    return load_worker(sup_redis_url(redis), &options);
}

static asq *open_handle(void)
{
    asq_options options = ASQ_OPTIONS_INIT;
    char err[300] = "";
    asq *handle;
    options.partitions = PARTITIONS;
    options.timeout_ms = 4 * sup_limit_ms();
    ck_assert_msg(load_asq_open(sup_redis_url(redis), &options, &handle, err, sizeof err) == 0,
                  "%s", err);
    return handle;
}

static void set_up(void)
{
    char err[300] = "";
    redis = sup_redis_start(durable);
    h = open_handle();
    ck_assert_msg(
        asq_open(sup_url_as(sup_redis_url(redis), "operator"), NULL, &op, err, sizeof err) == 0,
        "%s", err);
}

static void tear_down(void)
{
    asq_close(op);
    asq_close(h);
    sup_redis_free(redis);
}

/* Makes an agent "NAME-i" that ends with this handle. */
static asq_agent *make(asq *handle, const char *name, int i)
{
    asq_create_options options = ASQ_CREATE_OPTIONS_INIT;
    asq_agent *a;
    char *id = sup_format("%s-%d", name, i);
    options.id = id;
    options.with_handle = true;
    int rc = asq_create_with(handle, "Counter", &options, asq_pack("{s:i}", "value", 0), &a);
    ck_assert_msg(rc == 0, "%s", asq_errmsg(handle));
    free(id);
    return a;
}

static void make_all(asq *handle, const char *name)
{
    asq_agent *agents[AGENTS];
    for (int i = 0; i < AGENTS; i++)
        agents[i] = make(handle, name, i);
    for (int i = 0; i < AGENTS; i++) {
        ck_assert_msg(asq_ready(agents[i], 4 * sup_limit_ms()) == 0, "%s", asq_errmsg(handle));
        asq_agent_free(agents[i]);
    }
}

static int64_t count(const char *name)
{
    int64_t n;
    ck_assert_msg(asq_agents_count(op, NULL, name, sup_limit_ms(), &n) == 0, "%s", asq_errmsg(op));
    return n;
}

/* Returns the handle with which an agent ends, as it is shown; "": none. Owned by the caller. */
static char *shown_handle(const char *id)
{
    asq_value *record;
    const char *text = "";
    ck_assert_msg(asq_show(op, id, &record) == 0, "%s", asq_errmsg(op));
    ck_assert_int_eq(asq_map_int(record, "expires_ms"), 0);
    asq_value_get_string(asq_map_get(record, "with_handle"), &text, NULL);
    char *copy = strdup(text);
    asq_value_free(record);
    return copy;
}

static char *key_of(const char *id)
{
    char *handle = shown_handle(id), *key = sup_format("asq:{default}:handle:%s", handle);
    ck_assert_uint_eq(strlen(handle), 16);
    free(handle);
    return key;
}

static bool says(const char *key, const char *expected)
{
    char *text = sup_redis_str(redis, "GET %s", key);
    bool equal = text && strcmp(text, expected) == 0;
    free(text);
    return equal;
}

static void check_nothing_is_left(void)
{
    for (int p = 0; p < PARTITIONS; p++) {
        ck_assert_int_eq(sup_redis_int(redis, "HLEN asq:{default.%d}:agents", p), 0);
        ck_assert_int_eq(sup_redis_int(redis, "ZCARD asq:{default.%d}:timers", p), 0);
        sup_wait_until(sup_redis_int(redis, "XLEN asq:{default.%d}:jobs", p) == 0);
        ck_assert_int_eq(sup_redis_int(redis, "EXISTS asq:{default.%d}:dead", p), 0);
    }
}

START_TEST(agents_end_when_their_handle_is_closed)
{
    pid_t w = worker();
    asq *other = open_handle();
    make_all(h, "mine");
    make_all(other, "its");
    char *mine = key_of("mine-0"), *its = key_of("its-0");
    ck_assert_str_ne(mine, its);
    ck_assert(says(mine, ASQ__HANDLE_OPEN) && says(its, ASQ__HANDLE_OPEN));
    ck_assert_int_gt(sup_redis_int(redis, "PTTL %s", its), ASQ__HANDLE_LEASE_MS / 2);
    asq_close(other);
    ck_assert(says(its, ASQ__HANDLE_CLOSED));
    sup_wait_until(count("its") == 0);
    ck_assert_int_eq(count("mine"), AGENTS);
    asq_close(h);
    h = open_handle();
    sup_wait_until(count("mine") == 0);
    check_nothing_is_left();
    load_worker_stop(w);
    free(mine);
    free(its);
}
END_TEST

/* Starts a program that makes agents, and then stays outside of the library. */
static pid_t program(const char *name)
{
    char *ready = sup_path("ready");
    pid_t pid = fork();
    ck_assert_int_ge(pid, 0);
    if (pid == 0) {
        make_all(open_handle(), name);
        fclose(fopen(ready, "w"));
        for (;;)
            pause();
    }
    sup_wait_until(access(ready, F_OK) == 0);
    free(ready);
    return pid;
}

START_TEST(agents_end_when_their_program_is_killed)
{
    pid_t w = worker();
    make_all(h, "mine");
    pid_t p = program("its");
    char *key = key_of("its-0");
    sup_redis_do(redis, "PEXPIRE %s 1", key);
    sup_wait_until(says(key, ASQ__HANDLE_OPEN)); /* the program has renewed it, in no call */
    kill(p, SIGKILL);
    ck_assert_int_eq(waitpid(p, NULL, 0), p);
    ck_assert_int_eq(count("its"), AGENTS);
    sup_redis_do(redis, "PEXPIRE %s 1", key);
    sup_wait_until(count("its") == 0);
    ck_assert_int_eq(count("mine"), AGENTS);
    load_worker_stop(w);
    free(key);
}
END_TEST

/* The key is lost with Redis, and the program cannot write it again for a while: the owner must not
 * take that for its end, as it may when it has seen the key on the same connection. */
START_TEST(a_key_that_redis_has_lost_ends_nothing)
{
    pid_t w = worker(), p = program("its");
    char *key = key_of("its-0");
    sup_sleep_ms(ASQ__EXPIRY_LOOK_MS + 4000); /* the owner has seen the key by then */
    int64_t began_ms = sup_now_ms();
    kill(p, SIGSTOP);
    sup_redis_do(redis, "DEL %s", key);
    sup_redis_restart(redis);
    sup_sleep_ms(ASQ__HANDLE_GRACE_MS + 12000);
    int64_t n = count("its");
    if (sup_now_ms() - began_ms < ASQ__HANDLE_LEASE_MS) { /* else this test was held up */
        ck_assert_int_eq(n, AGENTS);
        ck_assert_int_eq(sup_redis_int(redis, "EXISTS %s", key), 0);
        kill(p, SIGCONT);
        sup_wait_until(says(key, ASQ__HANDLE_OPEN));
        sup_sleep_ms(3000);
        ck_assert_int_eq(count("its"), AGENTS);
    }
    kill(p, SIGKILL);
    ck_assert_int_eq(waitpid(p, NULL, 0), p);
    load_worker_stop(w);
    free(key);
}
END_TEST

START_TEST(a_forked_copy_of_a_handle_ends_nothing)
{
    pid_t w = worker();
    make_all(h, "mine");
    char *key = key_of("mine-0");
    pid_t p = fork();
    ck_assert_int_ge(p, 0);
    if (p == 0) {
        asq_close(h);
        _exit(0);
    }
    ck_assert_int_eq(waitpid(p, NULL, 0), p);
    ck_assert(says(key, ASQ__HANDLE_OPEN));
    sup_redis_do(redis, "DEL %s", key);
    sup_wait_until(says(key, ASQ__HANDLE_OPEN)); /* the thread is still there */
    ck_assert_int_eq(count("mine"), AGENTS);
    load_worker_stop(w);
    free(key);
}
END_TEST

START_TEST(who_gets_an_agent_does_not_change_its_end)
{
    pid_t w = worker();
    asq *other = open_handle();
    asq_create_options options = ASQ_CREATE_OPTIONS_INIT;
    asq_agent *a, *same, *plain;
    make_all(h, "mine");
    ck_assert_int_eq(asq_create(h, "Counter", "plain", &plain, "{s:i}", "value", 0), 0);
    ck_assert_int_eq(asq_ready(plain, sup_limit_ms()), 0);
    options.with_handle = options.or_get = true;
    options.id = "mine-0";
    ck_assert_int_eq(asq_create_with(other, "Counter", &options, NULL, &a), 0);
    options.id = "plain";
    ck_assert_int_eq(asq_create_with(other, "Counter", &options, NULL, &same), 0);
    ck_assert_int_eq(asq_ready(a, sup_limit_ms()), 0);
    ck_assert_int_eq(asq_ready(same, sup_limit_ms()), 0);
    char *of_mine = shown_handle("mine-0"), *of_next = shown_handle("mine-1"),
         *of_plain = shown_handle("plain");
    ck_assert_str_eq(of_mine, of_next);
    ck_assert_str_eq(of_plain, "");
    asq_agent_free(a);
    asq_agent_free(same);
    asq_agent_free(plain);
    asq_close(other);
    load_worker_stop(w);
    free(of_mine);
    free(of_next);
    free(of_plain);
}
END_TEST

/* Puts the job of an owner into the stream that has found the end of a handle. */
static void tell_of_end(const char *id, uint64_t handle)
{
    struct asq__expiry told = { .handle = handle };
    uint8_t bytes[500], expiry[ASQ__EXPIRY_BYTES_MAX], batch_id[ASQ__BATCH_ID] = "another handle";
    char *agent = strdup(id);
    Asqueue__Batch batch;
    Asqueue__Job job, *jobs = &job;
    asqueue__batch__init(&batch);
    asqueue__job__init(&job);
    asq__expiry_write(&told, expiry);
    batch_id[ASQ__BATCH_ID - 1] = (uint8_t) handle;
    job.kind = ASQUEUE__JOB_KIND__EXPIRE;
    job.agent = agent;
    job.expiry = (ProtobufCBinaryData){ sizeof expiry, expiry };
    job.no_result = true;
    batch.id = (ProtobufCBinaryData){ sizeof batch_id, batch_id };
    batch.jobs = &jobs;
    batch.n_jobs = 1;
    size_t n = asqueue__batch__pack(&batch, bytes);
    sup_redis_do(redis, "XADD asq:{default.%d}:jobs * call expire batch %b",
                 (int) asq__partition_of(id, strlen(id), PARTITIONS), bytes, n);
    free(agent);
}

START_TEST(the_end_of_another_handle_is_none)
{
    pid_t w = worker();
    asq_agent *a = make(h, "mine", 0);
    ck_assert_int_eq(asq_ready(a, sup_limit_ms()), 0);
    char *handle = shown_handle("mine-0");
    tell_of_end("mine-0", 1 + strtoull(handle, NULL, 16));
    ck_assert_int_eq(asq_call_wait(a, "read", NULL, NULL), 0); /* behind that */
    tell_of_end("mine-0", strtoull(handle, NULL, 16));
    sup_wait_until(count("mine") == 0);
    asq_agent_free(a);
    load_worker_stop(w);
    free(handle);
}
END_TEST

START_TEST(an_agent_ends_sooner_that_is_not_used)
{
    asq_create_options options = ASQ_CREATE_OPTIONS_INIT;
    asq_agent *a;
    pid_t w = worker();
    options.id = "idle-0";
    options.with_handle = true;
    options.ttl_ms = 1000;
    ck_assert_int_eq(asq_create_with(h, "Counter", &options, asq_pack("{s:i}", "value", 0), &a), 0);
    ck_assert_int_eq(asq_ready(a, sup_limit_ms()), 0);
    sup_wait_until(count("idle") == 0);
    asq_agent_free(a);
    check_nothing_is_left();
    load_worker_stop(w);
}
END_TEST

START_TEST(a_client_that_may_not_write_the_key_is_told)
{
    char *denied = sup_format("%s?user=app&password=pw", sup_redis_url_default(redis));
    asq_create_options options = ASQ_CREATE_OPTIONS_INIT;
    char err[300] = "";
    asq_agent *a;
    asq *other;
    sup_redis_do(redis, "ACL SETUSER app on >pw ~* &* +@all -set");
    ck_assert_msg(asq_open(denied, NULL, &other, err, sizeof err) == 0, "%s", err);
    options.with_handle = true;
    ck_assert_int_eq(asq_create_with(other, "Counter", &options, NULL, &a), ASQ_EREDIS);
    ck_assert_ptr_nonnull(strstr(asq_errmsg(other), "cannot end with this handle"));
    ck_assert_ptr_nonnull(strstr(asq_errmsg(other), "as-ctl acl"));
    asq_close(other);
    free(denied);
}
END_TEST

/* The worker dies, or Redis, just when handles are closed. */
START_TEST(each_agent_ends_once_when_workers_and_redis_die)
{
    pid_t w = worker();
    make_all(h, "mine");
    for (int round = 0; round < ROUNDS; round++) {
        asq *other = open_handle();
        make_all(other, "its");
        if (round % 2 == 0)
            load_worker_kill(w);
        asq_close(other);
        if (round % 2 == 0) {
            w = worker();
        } else {
            sup_sleep_ms(50 * round);
            sup_redis_restart(redis);
            load_worker_kill(w);
            w = worker();
        }
        sup_wait_until(count("its") == 0);
        ck_assert_int_eq(count("mine"), AGENTS);
    }
    asq_close(h);
    h = open_handle();
    sup_wait_until(count("mine") == 0);
    check_nothing_is_left();
    load_worker_stop(w);
}
END_TEST

/* ---- without Redis --------------------------------------------------------------------------- */

static int maker_make(asq_ctx *ctx, void *self, const asq_value *args, asq_value **ret)
{
    asq_create_options options = ASQ_CREATE_OPTIONS_INIT;
    asq *own = asq_ctx_handle(ctx);
    asq_agent *a;
    (void) self, (void) args;
    options.with_handle = true;
    int rc = asq_create_with(own, "Maker", &options, NULL, &a);
    *ret = asq_value_string(rc < 0 ? asq_errmsg(own) : "made");
    return 0;
}

static const asq_method maker_methods[] = { { "make", maker_make, "", 0, NULL }, { 0 } };
static const asq_class maker = { ASQ_CLASS_INIT, .name = "Maker", .methods = maker_methods };

START_TEST(a_method_is_told_that_its_handle_has_no_such_agents)
{
    asq_create_options options = ASQ_CREATE_OPTIONS_INIT;
    char err[300] = "";
    asq *local;
    asq_agent *a;
    asq_value *v;
    const char *text;
    ck_assert_msg(asq_open("local:", NULL, &local, err, sizeof err) == 0, "%s", err);
    ck_assert_int_eq(asq_register(local, &maker), 0);
    options.with_handle = true;
    ck_assert_msg(asq_create_with(local, "Maker", &options, NULL, &a) == 0, "%s",
                  asq_errmsg(local));
    ck_assert_msg(asq_call_wait(a, "make", &v, NULL) == 0, "%s", asq_errmsg(local));
    ck_assert_int_eq(asq_value_get_string(v, &text, NULL), 0);
    ck_assert_msg(strstr(text, "with_handle") && strstr(text, "ttl_ms"), "%s", text);
    asq_value_free(v);
    asq_agent_free(a);
    asq_close(local);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("with_handle");
    TCase *t = tcase_create("with_handle"), *local = tcase_create("local");
    tcase_add_test(local, a_method_is_told_that_its_handle_has_no_such_agents);
    suite_add_tcase(s, local);
    if (!sup_redis_available())
        return sup_skip("there is no redis-server");
    tcase_set_timeout(t, 0);
    tcase_add_checked_fixture(t, set_up, tear_down);
    tcase_add_test(t, agents_end_when_their_handle_is_closed);
    tcase_add_test(t, agents_end_when_their_program_is_killed);
    tcase_add_test(t, a_key_that_redis_has_lost_ends_nothing);
    tcase_add_test(t, a_forked_copy_of_a_handle_ends_nothing);
    tcase_add_test(t, who_gets_an_agent_does_not_change_its_end);
    tcase_add_test(t, the_end_of_another_handle_is_none);
    tcase_add_test(t, an_agent_ends_sooner_that_is_not_used);
    tcase_add_test(t, a_client_that_may_not_write_the_key_is_told);
    tcase_add_test(t, each_agent_ends_once_when_workers_and_redis_die);
    suite_add_tcase(s, t);
    return sup_suite_run(s);
}
