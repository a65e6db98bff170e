/*
 * check_redis_faults.c: Redis restarts, cuts connections, forgets scripts and has no memory, and
 * its keys have wrong contents. Calls end, each effect is there once, nothing crashes.
 */
#include "load.h"
#include "support/proxy.h"
#include "support/suite.h"
#include "value/buf.h"
#include "value/hash.h"
#include "value/msg.h"
#include "value/value.h"

#include <regex.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { AGENTS = 12, CALLS = 100 };

static const char *const durable[] = { "appendonly yes", "appendfsync always", NULL };

static sup_redis *redis;
static asq *h;
static pid_t worker;

static void start(const char *const config[])
{
    asq_worker_options options = ASQ_WORKER_OPTIONS_INIT;

    redis = sup_redis_start(config);
    h = load_open(sup_redis_url(redis));
    options.lease_time_ms = 2000;
    options.processes = 2;
    worker = load_worker(sup_redis_url(redis), &options);
}

static void stop(void)
{
    asq_close(h);
    load_worker_stop(worker);
    sup_redis_free(redis);
}

/* ---- under load ---- */

static void restart(struct load *l, size_t calls)
{
    load_calls(l, calls);
    asq_poll(h, 20);
    sup_redis_kill(redis);
    load_calls(l, CALLS / 20); /* made while Redis is away */
    sup_redis_restart(redis);
}

/* celery #8030, #8091, #9054: the worker connects again and consumes no more. */
START_TEST(celery_8030_redis_is_restarted_20_times_under_load)
{
    start(durable);
    struct load *l = load_new(h, AGENTS);
    for (int i = 0; i < 20; i++) {
        restart(l, CALLS / 5);
        sup_wait_until(asq_poll(h, 20) > 0); /* calls complete again */
    }
    load_check(l);
    stop();
}
END_TEST

START_TEST(a_redis_that_is_loading_is_waited_for)
{
    /* Settings with which Redis loads slowly: it serves clients once for each 1,024 bytes of a
     * snapshot, and hardly while it reads a log. */
    static const char *const slow[] = { "appendonly yes", "appendfsync always",
                                        "loading-process-events-interval-bytes 1024",
                                        "key-load-delay 4000", NULL };
    start(slow);
    for (int i = 0; i < 500; i++)
        sup_redis_do(redis, "SET filler:%d %0300d", i, i);
    sup_redis_do(redis, "BGREWRITEAOF");
    sup_wait_until(sup_redis_stat(redis, "persistence", "aof_base_size", ":") > 500 * 8);

    struct load *l = load_new(h, AGENTS);
    for (int seen = 0; seen < 3;) {
        restart(l, CALLS / 2); /* an answer without an error shows that it is loaded */
        /* Each connection asks for its id first, and gets -LOADING for every command after it. */
        seen += sup_redis_stat(redis, "commandstats", "cmdstat_client", ":calls=") > 0;
        sup_wait_until(asq_poll(h, 20) > 0);
    }
    load_check(l);
    stop();
}
END_TEST

/* taken.lua looks for a batch's id at the beginning of the batch's bytes. A batch that it does not
 * find counts as refused. */
START_TEST(an_entry_begins_with_the_id_of_its_batch)
{
    asq_agent *a;
    int found = 0;

    start(NULL);
    ck_assert_int_eq(asq_create(h, "Counter", "tally", &a, NULL), 0);
    ck_assert_int_eq(asq_ready(a, ASQ_FOREVER), 0);
    load_worker_stop(worker); /* called jobs stay in their stream */
    for (size_t size = 1; size < 1 << 20; size *= 64) {
        struct asq__call_id id;
        asq_result *r;
        char *bytes = calloc(1, size);

        ck_assert_int_eq(asq_call(a, "add", &r, "[y#]", bytes, size), 0);
        ck_assert_int_eq(asq_flush(h, ASQ_FOREVER), 0);
        ck_assert_int_eq(asq__call_id_parse(asq_result_id(r), &id), 0);
        redisReply *entries =
            sup_redis_reply(redis, "XRANGE asq:{default.%u}:jobs - +", id.partition);
        for (size_t i = 0; i < entries->elements; i++) {
            const redisReply *fields = entries->element[i]->element[1];
            const redisReply *batch = fields->element[fields->elements - 1];
            found += memcmp(batch->str + 2, id.batch, sizeof id.batch) == 0;
        }
        freeReplyObject(entries);
        asq_result_free(r);
        free(bytes);
    }
    ck_assert_int_eq(found, 4);
    asq_agent_free(a);
    asq_close(h);
    sup_redis_free(redis);
}
END_TEST

START_TEST(connections_are_cut_and_scripts_forgotten_under_load)
{
    start(NULL);
    struct load *l = load_new(h, AGENTS);
    for (int i = 0; i < 30; i++) {
        load_calls(l, CALLS / 5);
        asq_poll(h, 10);
        sup_redis_do(redis, i % 3 == 0   ? "SCRIPT FLUSH"
                            : i % 3 == 1 ? "CLIENT KILL TYPE normal SKIPME yes"
                                         : "CLIENT KILL TYPE pubsub SKIPME yes");
    }
    load_check(l);
    stop();
}
END_TEST

/* ---- a Redis that loses its last second ---- */

static int64_t waiting(void)
{
    int64_t n = 0;

    for (int p = 0; p < 128; p++)
        n += sup_redis_int(redis, "XLEN asq:{default.%d}:jobs", p);
    return n;
}

/* The caller is gone, and no further call is made, so the worker has to notice by itself. */
START_TEST(a_commit_that_redis_has_lost_is_made_again)
{
    asq_agent *a;
    asq_value *value;
    char *kept;
    int64_t n;

    start(durable);
    ck_assert_int_eq(asq_create(h, "Counter", "tally", &a, NULL), 0);
    ck_assert_int_eq(asq_call_wait(a, "add", NULL, "[i]", 1), 0);
    sup_wait_until(waiting() == 0);
    load_signal(worker, SIGSTOP);
    ck_assert_int_eq(asq_send(a, "add", "[i]", 1), 0);
    ck_assert_int_eq(asq_flush(h, ASQ_FOREVER), 0);
    kept = sup_redis_keep(redis);
    asq_agent_free(a);
    asq_close(h);
    load_signal(worker, SIGCONT);
    sup_wait_until(waiting() == 0);
    load_signal(worker, SIGSTOP);
    sup_redis_kill(redis);
    sup_redis_go_back(redis, kept);
    sup_redis_restart(redis);
    ck_assert_int_eq(waiting(), 1);
    load_signal(worker, SIGCONT);
    sup_wait_until(waiting() == 0);
    h = load_open(sup_redis_url(redis));
    ck_assert_int_eq(asq_attach(h, "tally", &a), 0);
    ck_assert_int_eq(asq_call_wait(a, "read", &value, NULL), 0);
    ck_assert_int_eq(asq_value_get_int(value, &n), 0);
    ck_assert_int_eq(n, 2);
    asq_value_free(value);
    asq_agent_free(a);
    free(kept);
    stop();
}
END_TEST

/* Redis has lost a call and its nested calls. Their caller is gone, but the worker still has them.
 * All have completed, but the worker does not know that and would commit again (0), or they run and
 * it would resend them (1). They have no effect. */
START_TEST(of_a_call_that_redis_has_lost_nothing_is_left)
{
    asq_worker_options options = ASQ_WORKER_OPTIONS_INIT;
    sup_proxy *proxy;
    asq_agent *outer, *inner, *counter, *same;
    asq_result *r;
    asq *caller;
    char *kept, *begun = sup_path("begun"), *go = sup_path("go");
    int64_t value;

    redis = sup_redis_start(durable);
    proxy = sup_proxy_start(sup_redis_socket(redis));
    h = load_open(sup_redis_url(redis));
    options.lease_time_ms = 3600000;
    worker = load_worker(sup_proxy_url(proxy), &options);
    ck_assert_int_eq(asq_create(h, "Relay", "outer", &outer, NULL), 0);
    ck_assert_int_eq(asq_create(h, "Relay", "inner", &inner, NULL), 0);
    ck_assert_int_eq(asq_create(h, "Counter", "tally", &counter, "{s:i}", "value", 0), 0);
    ck_assert_int_eq(asq_ready(outer, sup_limit_ms()), 0);
    ck_assert_int_eq(asq_ready(inner, sup_limit_ms()), 0);
    ck_assert_int_eq(asq_ready(counter, sup_limit_ms()), 0);
    free(sup_write_file("go", ""));
    /* Looks them up now, because the worker would look up unknown senders later. */
    ck_assert_int_eq(asq_call_wait(outer, "call", NULL, "[a, s, [s, s, a, s, [i]]]", inner, "cross",
                                   begun, go, counter, "add", 0),
                     0);
    ck_assert_int_eq(unlink(begun), 0);
    if (_i)
        ck_assert_int_eq(unlink(go), 0);
    kept = sup_redis_keep(redis);

    caller = load_open(sup_redis_url(redis));
    ck_assert_int_eq(asq_attach(caller, "outer", &same), 0);
    sup_proxy_stall(proxy, "inner.cross");
    ck_assert_int_eq(asq_call(same, "call", &r, "[a, s, [s, s, a, s, [i]]]", inner, "cross", begun,
                              go, counter, "add", 1),
                     0);
    ck_assert_int_eq(asq_flush(caller, sup_limit_ms()), 0);
    sup_wait_until(sup_proxy_n_stalled(proxy) > 0 && access(begun, F_OK) == 0);
    sup_wait_until(waiting() == (_i ? 2 : 0));
    asq_result_free(r);
    asq_agent_free(same);
    asq_close(caller);
    sup_redis_kill(redis);
    sup_redis_go_back(redis, kept);
    sup_proxy_resume(proxy);
    sup_redis_restart(redis);

    ck_assert_int_eq(asq_call_wait(counter, "read", NULL, NULL), 0); /* Redis is back */
    free(sup_write_file("go", ""));
    ck_assert_int_eq(asq_call_wait(inner, "me", NULL, NULL), 0); /* behind resent calls */
    ck_assert_int_eq(asq_call(counter, "read", &r, NULL), 0);
    ck_assert_int_eq(asq_result_int(r, &value), 0);
    ck_assert_int_eq(value, 0);
    asq_result_free(r);
    asq_agent_free(outer);
    asq_agent_free(inner);
    asq_agent_free(counter);
    free(kept);
    free(begun);
    free(go);
    stop();
    sup_proxy_free(proxy);
}
END_TEST

/* asynq #1144, #1051: errors of Redis leave no call active for ever. */
START_TEST(asynq_1144_writes_are_refused_for_a_while)
{
    start(NULL);
    if (sup_redis_is_cluster(redis)) { /* where REPLICAOF is not allowed */
        stop();
        return;
    }
    struct load *l = load_new(h, AGENTS);
    for (int i = 0; i < 3; i++) {
        load_calls(l, CALLS / 2);
        asq_poll(h, 5);
        /* A replica of an absent master answers -READONLY to every write. */
        sup_redis_do(redis, "REPLICAOF 127.0.0.1 1");
        sup_sleep_ms(700);
        sup_redis_do(redis, "REPLICAOF NO ONE");
        load_calls(l, 1); /* the others may have completed before */
        sup_wait_until(asq_poll(h, 20) > 0);
    }
    /* A refused call fails if a later one was already accepted, so that it does not run out of
     * order. */
    load_check_but(l, ASQ_EREDIS);
    stop();
}
END_TEST

START_TEST(a_commit_that_memory_refuses_is_kept)
{
    start(NULL);
    struct load *l = load_new(h, AGENTS);
    load_calls(l, CALLS);
    ck_assert_int_eq(asq_flush(h, sup_limit_ms()), 0); /* accepted: safe from here on */
    sup_redis_do(redis, "CONFIG SET maxmemory 1");
    sup_sleep_ms(1200);
    sup_redis_do(redis, "CONFIG SET maxmemory 0");
    load_check(l);

    /* A call that is refused alone fails with an error. */
    asq_agent *a;
    ck_assert_int_eq(asq_create(h, "Counter", NULL, &a, "{s:i}", "value", 0), 0);
    ck_assert_int_eq(asq_ready(a, sup_limit_ms()), 0);
    sup_redis_do(redis, "CONFIG SET maxmemory 1");
    int rc = asq_call_wait(a, "add", NULL, "[i]", 1);
    ck_assert_msg(rc == ASQ_EBUSY, "%s: %s", asq_error_name(rc), asq_errmsg(h));
    sup_redis_do(redis, "CONFIG SET maxmemory 0");
    ck_assert_int_eq(asq_call_wait(a, "add", NULL, "[i]", 1), 0);
    asq_agent_free(a);
    stop();
}
END_TEST

/* ---- wrong bytes ---- */

static int partition_of(const char *id)
{
    asq_value *info;
    int64_t p;
    asq *reader = load_open(sup_url_as(sup_redis_url(redis), "operator"));

    ck_assert_int_eq(asq_show(reader, id, &info), 0);
    p = asq_map_int(info, "partition");
    asq_value_free(info);
    asq_close(reader);
    return (int) p;
}

START_TEST(garbage_in_a_stream_becomes_dead_letters)
{
    asq_agent *a;
    int64_t value;
    start(NULL);
    ck_assert_int_eq(asq_create(h, "Counter", "a", &a, "{s:i}", "value", 0), 0);
    ck_assert_int_eq(asq_ready(a, sup_limit_ms()), 0);
    int p = partition_of("a");
    sup_redis_do(redis, "XADD asq:{default.%d}:jobs * call x batch %b", p, "\xff\xff\xff",
                 (size_t) 3);
    sup_redis_do(redis, "XADD asq:{default.%d}:jobs * call x batch %b", p, "", (size_t) 0);
    sup_redis_do(redis, "XADD asq:{default.%d}:jobs * something else", p);
    sup_redis_do(redis, "XADD asq:{default.%d}:jobs * batch %b", p,
                 "\n\x10"
                 "0123456789abcdef"
                 "\"\x03\x12\x01",
                 (size_t) 23); /* cut short */
    for (int i = 1; i <= 3; i++) {
        ck_assert_int_eq(asq_call_wait(a, "add", NULL, "[i]", 1), 0);
    }
    sup_wait_until(sup_redis_int(redis, "XLEN asq:{default.%d}:dead", p) == 4);
    ck_assert_int_eq(sup_redis_int(redis, "XLEN asq:{default.%d}:jobs", p), 0);
    asq_value *v;
    ck_assert_int_eq(asq_call_wait(a, "read", &v, NULL), 0);
    ck_assert_int_eq(asq_value_get_int(v, &value), 0);
    ck_assert_int_eq(value, 3);
    asq_value_free(v);
    asq_agent_free(a);
    stop();
}
END_TEST

START_TEST(a_record_that_cannot_be_read_is_told_and_kept)
{
    asq_agent *a, *b;
    start(NULL);
    ck_assert_int_eq(asq_create(h, "Counter", "a", &a, "{s:i}", "value", 0), 0);
    ck_assert_int_eq(asq_ready(a, sup_limit_ms()), 0);
    int p = partition_of("a");
    load_worker_stop(worker); /* an owner has it in memory */
    sup_redis_do(redis, "HSET asq:{default.%d}:agents a %b", p, "\xff\xff", (size_t) 2);
    worker = load_worker(sup_redis_url(redis), NULL);
    int rc = asq_call_wait(a, "add", NULL, "[i]", 1);
    ck_assert_msg(rc < 0 && rc != ASQ_ETIMEOUT, "%s", asq_error_name(rc));
    ck_assert_ptr_nonnull(strstr(asq_errmsg(h), "'a'"));
    ck_assert_int_eq(sup_redis_int(redis, "HSTRLEN asq:{default.%d}:agents a", p), 2);
    ck_assert_int_eq(asq_create(h, "Counter", "b", &b, "{s:i}", "value", 0), 0);
    ck_assert_int_eq(asq_call_wait(b, "add", NULL, "[i]", 1), 0);
    asq_agent_free(a);
    asq_agent_free(b);
    stop();
}
END_TEST

/* A key of a partition has a wrong type, when a worker starts (odd) or while one runs. Other
 * partitions are not affected. The partition goes on without the key's contents, and the log says
 * so. */
static const char *const lying_keys[] = { "lease", "jobs", "attempts", "dead" };

START_TEST(a_key_of_a_wrong_type_is_set_aside)
{
    const char *name = lying_keys[_i / 2];
    bool before = _i % 2;
    asq_agent *a, *poison, *other;
    asq_result *guilty = NULL;
    int64_t value;
    int rc, ran = 0;

    start(NULL);
    ck_assert_int_eq(asq_create(h, "Counter", "{x}a", &a, "{s:i}", "value", 0), 0);
    ck_assert_int_eq(asq_create(h, "Poison", "{x}p", &poison, NULL), 0);
    ck_assert_int_eq(asq_create(h, "Counter", "other", &other, "{s:i}", "value", 0), 0);
    ck_assert_int_eq(asq_ready(a, sup_limit_ms()), 0);
    ck_assert_int_eq(asq_ready(poison, sup_limit_ms()), 0);
    ck_assert_int_eq(asq_ready(other, sup_limit_ms()), 0);
    int p = partition_of("{x}a");
    ck_assert_int_ne(p, partition_of("other"));
    char *key = sup_format("asq:{default.%d}:%s", p, name), *aside = sup_format("%s:aside", key);
    int64_t epoch = sup_redis_int(redis, "HGET asq:{default.%d}:lease epoch", p);
    if (before)
        load_worker_stop(worker);
    sup_redis_do(redis, "DEL %s", key);
    sup_redis_do(redis, "HSET %s lies 1 more lies", key); /* a lease is corrupted below */
    if (strcmp(name, "lease") == 0) {
        sup_redis_do(redis, "DEL %s", key);
        sup_redis_do(redis, "SET %s lies", key);
    }
    if (strcmp(name, "attempts") == 0) {
        sup_redis_do(redis, "DEL %s", key);
        sup_redis_do(redis, "SADD %s lies", key);
    }
    if (before)
        worker = load_worker(sup_redis_url(redis), NULL);
    /* Commits of calls that are given up use the key. */
    if (strcmp(name, "jobs") != 0 && !sup_is_wrapped())
        ck_assert_int_eq(asq_call(poison, "die", &guilty, "[i]", 2), 0);
    for (int i = 0; i < 20; i++) {
        ck_assert_int_eq(asq_call_wait(other, "add", NULL, "[i]", 1), 0);
        rc = asq_call_wait(a, "add", NULL, "[i]", 1);
        ck_assert_msg(rc == 0 || (rc == ASQ_EREDIS && strcmp(name, "jobs") == 0), "%s",
                      asq_errmsg(h)); /* a key that is no stream takes no calls */
        ran += rc == 0;
    }
    sup_wait_until((rc = asq_call_wait(a, "add", NULL, "[i]", 1)) == 0);
    if (guilty) {
        ck_assert_int_eq(asq_result_wait(guilty, 2 * sup_limit_ms()), ASQ_EDEADLETTER);
        ck_assert_int_eq(sup_redis_int(redis, "XLEN asq:{default.%d}:dead", p), 1);
        asq_result_free(guilty);
    }
    ck_assert_int_eq(asq_call(a, "read", &guilty, NULL), 0);
    ck_assert_int_eq(asq_result_int(guilty, &value), 0);
    ck_assert_int_eq(value, ran + 1);
    ck_assert_int_eq(sup_redis_int(redis, "EXISTS %s", aside), 1);
    ck_assert_int_gt(sup_redis_int(redis, "HGET asq:{default.%d}:lease epoch", p), epoch);
    asq_result_free(guilty);
    asq_agent_free(a);
    asq_agent_free(poison);
    asq_agent_free(other);
    free(key);
    free(aside);
    stop();
}
END_TEST

/* Agents are not set aside: the caller gets an error, and the agents serve again when the key is
 * right. */
START_TEST(agents_of_a_wrong_type_are_told_and_stay)
{
    asq_agent *a, *other;
    asq_result *r;
    int rc;

    start(NULL);
    ck_assert_int_eq(asq_create(h, "Counter", "a", &a, "{s:i}", "value", 0), 0);
    ck_assert_int_eq(asq_create(h, "Counter", "other", &other, "{s:i}", "value", 0), 0);
    ck_assert_int_eq(asq_ready(a, sup_limit_ms()), 0);
    ck_assert_int_eq(asq_ready(other, sup_limit_ms()), 0);
    int p = partition_of("a");
    ck_assert_int_ne(p, partition_of("other"));
    sup_redis_do(redis, "RENAME asq:{default.%d}:agents asq:{default.%d}:kept", p, p);
    sup_redis_do(redis, "SET asq:{default.%d}:agents lies", p);
    for (int i = 0; i < 3; i++) {
        rc = asq_call_wait(a, "add", NULL, "[i]", 1);
        ck_assert_msg(rc == ASQ_EREDIS, "%s: %s", asq_error_name(rc), asq_errmsg(h));
        ck_assert_ptr_nonnull(strstr(asq_errmsg(h), "not a hash"));
        ck_assert_int_eq(asq_call_wait(other, "add", NULL, "[i]", 1), 0);
    }
    sup_redis_do(redis, "RENAME asq:{default.%d}:kept asq:{default.%d}:agents", p, p);
    int64_t value;
    ck_assert_int_eq(asq_call(a, "add", &r, "[i]", 1), 0);
    ck_assert_int_eq(asq_result_int(r, &value), 0);
    ck_assert_int_eq(value, 1);
    asq_result_free(r);
    asq_agent_free(a);
    asq_agent_free(other);
    stop();
}
END_TEST

START_TEST(a_lease_with_lies_in_its_fields_is_made_anew)
{
    static const char *const fields[] = { "seq lies",   "seq 999999", "seq -1",
                                          "epoch lies", "token lies", "owner lies" };
    asq_agent *a;
    int64_t value;
    asq_result *r;

    start(NULL);
    ck_assert_int_eq(asq_create(h, "Counter", "a", &a, "{s:i}", "value", 0), 0);
    ck_assert_int_eq(asq_ready(a, sup_limit_ms()), 0);
    int p = partition_of("a");
    for (int i = 0; i < (int) (sizeof fields / sizeof *fields); i++) {
        char *command = sup_format("HSET asq:{default.%d}:lease %s", p, fields[i]);
        sup_redis_do(redis, command);
        free(command);
        ck_assert_int_eq(asq_call(a, "add", &r, "[i]", 1), 0);
        ck_assert_msg(asq_result_int(r, &value) == 0, "%s: %s", fields[i], asq_errmsg(h));
        ck_assert_int_eq(value, i + 1);
        asq_result_free(r);
    }
    /* Fields that are no call ids, too long or too short, and values that are no counts. */
    load_worker_stop(worker);
    char field[100];
    for (size_t n = 0; n < sizeof field - 1; n++) {
        memset(field, n % 3 == 0 ? '!' : '~', sizeof field);
        sup_redis_do(redis, "HSET asq:{default.%d}:attempts %b %s", p, field, n,
                     n % 2 ? "lies" : "-1 -1 -1");
    }
    worker = load_worker(sup_redis_url(redis), NULL);
    ck_assert_int_eq(asq_call_wait(a, "add", NULL, "[i]", 1), 0);
    asq_agent_free(a);
    stop();
}
END_TEST

/* "P-BATCH-INDEX" → asq:{default.P}:r:BATCH */
static char *record_of(asq_result *r)
{
    char *id = sup_format("%s", asq_result_id(r)), *batch = strchr(id, '-') + 1;

    batch[-1] = '\0';
    *strchr(batch, '-') = '\0';
    char *key = sup_format("asq:{default.%s}:r:%s", id, batch);
    free(id);
    return key;
}

/* Wrong keys are in place before the first result of a batch is written, or between two of its
 * results. */
START_TEST(what_stands_where_results_belong_is_written_over)
{
    char *begun = sup_path("begun"), *go = sup_path("go");
    asq_agent *holder, *a;
    asq_result *held, *added;
    int64_t value;

    start(NULL);
    ck_assert_int_eq(asq_create(h, "Echo", "{x}h", &holder, NULL), 0);
    ck_assert_int_eq(asq_create(h, "Counter", "{x}a", &a, "{s:i}", "value", 0), 0);
    ck_assert_int_eq(asq_ready(holder, sup_limit_ms()), 0);
    ck_assert_int_eq(asq_ready(a, sup_limit_ms()), 0);
    asq_cork(h);
    ck_assert_int_eq(asq_call(holder, "hold", &held, "[s, s]", begun, go), 0);
    ck_assert_int_eq(asq_call(a, "add", &added, "[i]", 1), 0);
    ck_assert_int_eq(asq_uncork(h), 0);
    char *key = record_of(held), *other = record_of(added);
    ck_assert_str_eq(key, other);
    ck_assert_int_eq(asq_result_int(added, &value), 0);
    if (_i < 2)
        sup_redis_do(redis, "DEL %s", key);
    if (_i == 0)
        sup_redis_do(redis, "RPUSH %s lies", key);
    else if (_i == 1)
        sup_redis_do(redis, "XADD %s * li es", key);
    free(sup_write_file("go", ""));
    ck_assert_int_eq(asq_result_wait(held, sup_limit_ms()), 0);
    ck_assert_int_eq(asq_call_wait(a, "add", NULL, "[i]", 1), 0);
    asq_result_free(held);
    asq_result_free(added);
    asq_agent_free(holder);
    asq_agent_free(a);
    free(key);
    free(other);
    free(begun);
    free(go);
    stop();
}
END_TEST

/* A client reads these records by itself, because no worker serves the call or pushes. An empty
 * record counts as none. */
START_TEST(a_result_that_lies_is_told_to_its_caller)
{
    static const struct {
        const char *command, *bytes;
        size_t n;
    } lies[] = { { "SET %s %b", "\xff\xff\xff", 3 },
                 { "SET %s %b",
                   "\n\x10"
                   "0123456789abcdef"
                   "\x12\x7f",
                   20 }, /* cut short */
                 { "SET %s %b",
                   "\n\x10"
                   "0123456789abcdef",
                   18 }, /* of another batch */
                 { "SADD %s %b", "x", 1 },
                 { "HSET %s f %b", "x", 1 } };
    asq_agent *a;
    asq_result *r;

    redis = sup_redis_start(NULL);
    h = load_open(sup_redis_url(redis));
    ck_assert_int_eq(asq_attach(h, "a", &a), 0);
    ck_assert_int_eq(asq_call(a, "add", &r, "[i]", 1), 0);
    ck_assert_int_eq(asq_flush(h, sup_limit_ms()), 0);
    char *key = record_of(r);
    sup_redis_do(redis, lies[_i].command, key, lies[_i].bytes, lies[_i].n);
    ck_assert_int_eq(asq_result_wait(r, sup_limit_ms()), ASQ_EPROTO);
    free(key);
    asq_result_free(r);
    asq_agent_free(a);
    asq_close(h);
    sup_redis_free(redis);
}
END_TEST

/* The call has left its stream, and the record of the right batch does not have its result. */
START_TEST(a_result_that_is_missing_in_its_record_is_told)
{
    asq_agent *a;
    asq_result *r;
    char bytes[18] = "\n\x10";
    unsigned byte;

    redis = sup_redis_start(NULL);
    h = load_open(sup_redis_url(redis));
    ck_assert_int_eq(asq_attach(h, "a", &a), 0);
    ck_assert_int_eq(asq_call(a, "add", &r, "[i]", 1), 0);
    ck_assert_int_eq(asq_flush(h, sup_limit_ms()), 0);
    char *key = record_of(r), *batch = strrchr(key, ':') + 1;
    for (int i = 0; i < 16; i++) {
        ck_assert_int_eq(sscanf(batch + 2 * i, "%2x", &byte), 1);
        bytes[2 + i] = (char) byte;
    }
    sup_redis_do(redis, "SET %s %b", key, bytes, sizeof bytes);
    sup_redis_do(redis, "DEL asq:{default.%u}:jobs", asq__partition_of("a", 1, 128));
    ck_assert_int_eq(asq_result_wait(r, sup_limit_ms()), ASQ_EUNKNOWN);
    free(key);
    asq_result_free(r);
    asq_agent_free(a);
    asq_close(h);
    sup_redis_free(redis);
}
END_TEST

/* Every client of Redis can push to the channels of clients and workers. */
START_TEST(pushes_that_lie_are_passed_over)
{
    static const char *const lies[] = { "", "\xff\xff\xff",
                                        "\n\x10"
                                        "0123456789abcdef"
                                        "\x12\x7f",
                                        "x", "\x1a\x03\x1a\x01\xff" };
    asq_agent *a;

    start(NULL);
    ck_assert_int_eq(asq_create(h, "Counter", "a", &a, "{s:i}", "value", 0), 0);
    ck_assert_int_eq(asq_ready(a, sup_limit_ms()), 0);
    redisReply *channels = sup_redis_reply(redis, "PUBSUB CHANNELS");
    /* channels of the client, of the worker, of all workers */
    ck_assert_uint_ge(channels->elements, 3);
    for (size_t c = 0; c < channels->elements; c++)
        for (size_t i = 0; i < sizeof lies / sizeof *lies; i++)
            sup_redis_do(redis, "PUBLISH %s %s", channels->element[c]->str, lies[i]);
    freeReplyObject(channels);
    for (int i = 0; i < 10; i++)
        ck_assert_int_eq(asq_call_wait(a, "add", NULL, "[i]", 1), 0);
    asq_agent_free(a);
    stop();
}
END_TEST

/* A client that computes partitions wrongly gets an error; no second state of the agent begins. */
START_TEST(a_call_in_another_agents_partition_is_refused)
{
    uint8_t id[ASQ__BATCH_ID] = { 1 };
    struct asq__job job = { .kind = ASQUEUE__JOB_KIND__CREATE,
                            .agent = "stray",
                            .class_name = "Counter" };
    asq_result *r;
    struct asq__buf b;
    uint32_t home = asq__partition_of("stray", 5, 128), p = (home + 1) % 128;

    start(NULL);
    asq__buf_init(&b, 4096);
    asq__batch_head(id, "57a46e4000000000", 1, &b);
    ck_assert_int_eq(asq__job_encode(&job, &b), 0);
    sup_redis_do(redis, "XADD asq:{default.%u}:jobs * call x batch %b", p, b.data, b.len);
    char *call = sup_format("%u-01000000000000000000000000000000-0", p);
    ck_assert_int_eq(asq_result_attach(h, call, &r), 0);
    ck_assert_int_eq(asq_result_wait(r, sup_limit_ms()), ASQ_EPROTO);
    ck_assert_ptr_nonnull(strstr(asq_result_error(r)->message, "partition"));
    ck_assert_int_eq(sup_redis_int(redis, "EXISTS asq:{default.%u}:agents", p), 0);
    asq__buf_release(&b);
    asq_result_free(r);
    free(call);
    stop();
}
END_TEST

/* ---- commit.lua by itself ---- */

static char *everything(void)
{
    return sup_redis_str(redis, "EVAL %s 0",
                         "local all, keys = '', redis.call('KEYS', '*') table.sort(keys) "
                         "for _, key in ipairs(keys) do "
                         "all = all .. key .. redis.sha1hex(redis.call('DUMP', key)) end "
                         "return all");
}

/* Runs a commit of one section that needs flush 5 of emitted values, and would set a record, a
 * result and a mark, remove an entry, add a dead letter, delay a batch, begin, go on with and
 * forget records of steps, and set a timer. */
static char *commit(const char *script, const char *token, const char *seq)
{
    redisReply *r = sup_redis_reply(
        redis,
        "EVAL %s 11 {p}lease {p}agents {p}jobs {p}attempts {p}dead {p}r {p}later {p}later:jobs "
        "{p}s:new {p}s:old {p}s:done "
        "1 %s %s %s 5 1 id record 0 1 1 100000 frame 0 1 1-1 1 mark 1 0 "
        "1 10 1000000 call id reason 1 worker batch 1 moved 5000 kept 0 "
        "3 s new first a old more d done none "
        "1 s agent tick 5000 spec trace",
        script, token, seq, "=New 1");
    ck_assert_int_eq(r->type, REDIS_REPLY_ARRAY);
    char *text = r->element[0]->type == REDIS_REPLY_INTEGER
                     ? sup_format("%lld", r->element[0]->integer)
                     : sup_format("%s", r->element[0]->str);
    freeReplyObject(r);
    return text;
}

START_TEST(a_commit_writes_all_or_nothing)
{
    static const struct {
        const char *token, *seq, *key, *answer;
    } refused[] = { { "other", "8", NULL, "FENCED" },      { "", "8", NULL, "FENCED" },
                    { "mine", "7", NULL, "SEQ 7" },        { "mine", "9", NULL, "SEQ 7" },
                    { "mine", "8", "{p}agents", "ERR" },   { "mine", "8", "{p}jobs", "ERR" },
                    { "mine", "8", "{p}attempts", "ERR" }, { "mine", "8", "{p}dead", "ERR" },
                    { "mine", "8", "{p}later", "ERR" },    { "mine", "8", "{p}later:jobs", "ERR" },
                    { "mine", "8", NULL, "EARLY" } };
    char *path = sup_format("%s/lib/redis/commit.lua", getenv("abs_top_srcdir"));
    char *script = sup_read_file(path);
    redis = sup_redis_start(NULL);
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        sup_redis_do(redis, "FLUSHALL");
        bool early = strcmp(refused[i].answer, "EARLY") == 0;
        sup_redis_do(redis, "HSET {p}lease token mine seq 7 flush %d", early ? 4 : 5);
        if (i % 2)
            sup_redis_do(redis, "HSET {p}lease needs Old");
        if (refused[i].key)
            sup_redis_do(redis, "SET %s lies", refused[i].key);
        else
            sup_redis_do(redis, "XADD {p}jobs 1-1 batch x");
        sup_redis_do(redis, "MSET {p}s:old some {p}s:done all");
        char *before = everything(), *answer = commit(script, refused[i].token, refused[i].seq);
        char *after = everything();
        ck_assert_msg(strncmp(answer, refused[i].answer, strlen(refused[i].answer)) == 0, "%zu: %s",
                      i, answer);
        ck_assert_str_eq(before, after);
        free(before);
        free(after);
        free(answer);
    }
    sup_redis_do(redis, "FLUSHALL");
    sup_redis_do(redis, "HSET {p}lease token mine seq 7 flush 5");
    sup_redis_do(redis, "XADD {p}jobs 1-1 batch x");
    sup_redis_do(redis, "MSET {p}s:old some {p}s:done all");
    sup_redis_do(redis, "HSET {p}attempts =old 1 =done 1");
    char *answer = commit(script, "mine", "8");
    ck_assert_str_eq(answer, "1");
    ck_assert_int_eq(sup_redis_int(redis, "HLEN {p}agents"), 1);
    char *needs = sup_redis_str(redis, "HGET {p}lease needs");
    ck_assert_str_eq(needs, "New 1");
    free(needs);
    ck_assert_int_eq(sup_redis_int(redis, "XLEN {p}jobs"), 0);
    ck_assert_int_eq(sup_redis_int(redis, "HEXISTS {p}attempts mark"), 1);
    ck_assert_int_eq(sup_redis_int(redis, "HEXISTS {p}attempts =new"), 1);
    ck_assert_int_eq(sup_redis_int(redis, "HLEN {p}attempts"), 3);
    ck_assert_int_eq(sup_redis_int(redis, "STRLEN {p}s:new"), 5);
    ck_assert_int_eq(sup_redis_int(redis, "STRLEN {p}s:old"), 8);
    ck_assert_int_eq(sup_redis_int(redis, "EXISTS {p}s:done"), 0);
    ck_assert_int_eq(sup_redis_int(redis, "EXISTS {p}r"), 1);
    ck_assert_int_eq(sup_redis_int(redis, "XLEN {p}dead"), 1);
    ck_assert_int_eq(sup_redis_int(redis, "ZSCORE {p}later moved"), 5000);
    ck_assert_int_eq(sup_redis_int(redis, "HEXISTS {p}later:jobs moved"), 1);
    ck_assert_int_eq(sup_redis_int(redis, "ZCARD {p}timers"), 1);
    ck_assert_int_eq(sup_redis_int(redis, "HLEN {p}t:agent"), 3);
    free(answer);
    answer = commit(script, "mine", "8"); /* runs the same commit once more */
    ck_assert_str_eq(answer, "SEQ 8");
    free(answer);
    free(script);
    free(path);
    sup_redis_free(redis);
}
END_TEST

/* ---- refused at start, noticed later ---- */

static bool has_said(sup_proc *p, const char *pattern)
{
    char *output = sup_proc_output(p);
    regex_t re;

    ck_assert_int_eq(regcomp(&re, pattern, REG_EXTENDED | REG_NOSUB | REG_NEWLINE), 0);
    bool said = regexec(&re, output, 0, NULL, 0) == 0;
    regfree(&re);
    free(output);
    return said;
}

static char *refusal(const char *option, const char *value)
{
    char *text, *err;
    const char *argv[] = { sup_program("as-worker"),
                           "--redis-url",
                           sup_redis_url_default(redis),
                           "--agent-dir",
                           NULL,
                           option,
                           value,
                           NULL };
    char *program = sup_format("%s", argv[0]);

    argv[0] = program;
    argv[4] = sup_agent_dir();
    int status = sup_run(argv, &text, &err);
    ck_assert_msg(status == 1, "status %d: %s", status, err);
    free(text);
    free(program);
    return err;
}

START_TEST(asynq_799_a_redis_that_may_drop_keys_is_refused)
{
    redis = sup_redis_start((const char *const[]){ "maxmemory-policy allkeys-lru", NULL });
    char *why = refusal(NULL, NULL);
    ck_assert_msg(strstr(why, "noeviction") != NULL, "%s", why);
    free(why);
    sup_redis_free(redis);
}
END_TEST

/* The worker notices when the policy is changed later, also while the connection is lost. Calls go
 * on. */
START_TEST(asynq_799_a_policy_that_is_changed_later_is_told)
{
    asq_agent *a;
    redis = sup_redis_start(NULL);
    h = load_open(sup_redis_url(redis));
    sup_proc *w = sup_worker_start(sup_redis_url(redis), "--agent-dir", sup_agent_dir(), NULL);
    ck_assert_int_eq(asq_create(h, "Counter", NULL, &a, NULL), 0);
    ck_assert_int_eq(asq_call_wait(a, "add", NULL, "[i]", 1), 0);
    sup_redis_do(redis, "CONFIG SET maxmemory-policy allkeys-lru");
    sup_wait_until(has_said(w, "error.*maxmemory-policy allkeys-lru"));
    ck_assert_int_eq(asq_call_wait(a, "add", NULL, "[i]", 1), 0);
    sup_redis_do(redis, "CONFIG SET maxmemory-policy noeviction");
    sup_wait_until(has_said(w, "noeviction again"));
    sup_redis_do(redis, "CONFIG SET maxmemory-policy volatile-ttl");
    sup_redis_do(redis, "CLIENT KILL TYPE normal SKIPME yes");
    sup_wait_until(has_said(w, "error.*maxmemory-policy volatile-ttl"));
    ck_assert_int_eq(asq_call_wait(a, "add", NULL, "[i]", 1), 0);
    asq_agent_free(a);
    asq_close(h);
    ck_assert_int_eq(sup_proc_stop(w), 0);
    sup_proc_free(w);
    sup_redis_free(redis);
}
END_TEST

START_TEST(a_wrong_password_is_told)
{
    char err[300], *url;
    asq *none;
    redis = sup_redis_start((const char *const[]){ "requirepass secret", NULL });
    char *why = refusal(NULL, NULL);
    ck_assert_msg(strstr(why, "password") != NULL, "%s", why);
    free(why);
    url = sup_format("unix:%s?password=wrong", sup_redis_socket(redis));
    ck_assert_int_eq(asq_open(url, NULL, &none, err, sizeof err), ASQ_EAUTH);
    ck_assert_msg(strstr(err, "wrong ") == NULL || strstr(err, "=wrong") == NULL, "%s", err);
    free(url);
    sup_redis_free(redis);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("redis_faults");
    TCase *t = tcase_create("redis_faults");

    if (!sup_redis_available())
        return sup_skip("no redis-server");
    tcase_add_test(t, celery_8030_redis_is_restarted_20_times_under_load);
    tcase_add_test(t, a_redis_that_is_loading_is_waited_for);
    tcase_add_test(t, an_entry_begins_with_the_id_of_its_batch);
    tcase_add_test(t, connections_are_cut_and_scripts_forgotten_under_load);
    tcase_add_test(t, a_commit_that_redis_has_lost_is_made_again);
    tcase_add_loop_test(t, of_a_call_that_redis_has_lost_nothing_is_left, 0, 2);
    tcase_add_test(t, asynq_1144_writes_are_refused_for_a_while);
    tcase_add_test(t, a_commit_that_memory_refuses_is_kept);
    tcase_add_test(t, garbage_in_a_stream_becomes_dead_letters);
    tcase_add_test(t, a_record_that_cannot_be_read_is_told_and_kept);
    tcase_add_loop_test(t, a_key_of_a_wrong_type_is_set_aside, 0, 8);
    tcase_add_test(t, agents_of_a_wrong_type_are_told_and_stay);
    tcase_add_test(t, a_lease_with_lies_in_its_fields_is_made_anew);
    tcase_add_loop_test(t, what_stands_where_results_belong_is_written_over, 0, 3);
    tcase_add_loop_test(t, a_result_that_lies_is_told_to_its_caller, 0, 5);
    tcase_add_test(t, a_result_that_is_missing_in_its_record_is_told);
    tcase_add_test(t, pushes_that_lie_are_passed_over);
    tcase_add_test(t, a_call_in_another_agents_partition_is_refused);
    tcase_add_test(t, a_commit_writes_all_or_nothing);
    tcase_add_test(t, asynq_799_a_redis_that_may_drop_keys_is_refused);
    tcase_add_test(t, asynq_799_a_policy_that_is_changed_later_is_told);
    tcase_add_test(t, a_wrong_password_is_told);
    suite_add_tcase(s, t);
    return sup_suite_run(s);
}
