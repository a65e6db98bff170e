/*
 * check_redis_faults.c: Redis restarts, cuts connections, forgets scripts and has no memory, and what
 * stands in its keys is not what it should be. Calls end, each effect is there once, nothing crashes.
 */
#include "load.h"
#include "support/suite.h"

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

START_TEST(celery_8030_redis_is_restarted_20_times_under_load)
{
    start(durable);
    struct load *l = load_new(h, AGENTS);
    for (int i = 0; i < 20; i++) {
        load_calls(l, CALLS / 5);
        asq_poll(h, 20);
        sup_redis_kill(redis);
        load_calls(l, CALLS / 20); /* made while it is away */
        sup_redis_restart(redis);
        sup_wait_until(asq_poll(h, 20) > 0); /* calls are done again */
    }
    load_check(l);
    stop();
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

/* ---- a Redis that comes back without its last second ---- */

static void copy(const char *from, const char *to)
{
    const char *gone[] = { "rm", "-rf", to, NULL }, *argv[] = { "cp", "-r", from, to, NULL };

    ck_assert_int_eq(sup_run(gone, NULL, NULL), 0);
    ck_assert_int_eq(sup_run(argv, NULL, NULL), 0);
}

static int64_t waiting(void)
{
    int64_t n = 0;

    for (int p = 0; p < 128; p++)
        n += sup_redis_int(redis, "XLEN asq:{default.%d}:jobs", p);
    return n;
}

/* The caller is done, and nobody calls again: the worker finds out by itself. */
START_TEST(a_commit_that_redis_has_lost_is_made_again)
{
    asq_agent *a;
    asq_value *value;
    char *files, *kept;
    int64_t n;

    start(durable);
    files = sup_format("%s/appendonlydir", sup_redis_dir(redis));
    kept = sup_path("kept");
    if (access(files, F_OK) != 0) { /* before 7.0 */
        free(files);
        files = sup_format("%s/appendonly.aof", sup_redis_dir(redis));
    }
    ck_assert_int_eq(asq_create(h, "Counter", "tally", &a, NULL), 0);
    ck_assert_int_eq(asq_call_wait(a, "add", NULL, "[i]", 1), 0);
    sup_wait_until(waiting() == 0);
    load_signal(worker, SIGSTOP);
    ck_assert_int_eq(asq_send(a, "add", "[i]", 1), 0);
    ck_assert_int_eq(asq_flush(h, ASQ_FOREVER), 0);
    copy(files, kept);
    asq_agent_free(a);
    asq_close(h);
    load_signal(worker, SIGCONT);
    sup_wait_until(waiting() == 0);
    sup_redis_kill(redis);
    copy(kept, files);
    sup_redis_restart(redis);
    ck_assert_int_eq(waiting(), 1);
    sup_wait_until(waiting() == 0);
    h = load_open(sup_redis_url(redis));
    ck_assert_int_eq(asq_attach(h, "tally", &a), 0);
    ck_assert_int_eq(asq_call_wait(a, "read", &value, NULL), 0);
    ck_assert_int_eq(asq_value_get_int(value, &n), 0);
    ck_assert_int_eq(n, 2);
    asq_value_free(value);
    asq_agent_free(a);
    free(files);
    free(kept);
    stop();
}
END_TEST

/* asynq #1144, #1051: errors of Redis leave nothing active for ever. */
START_TEST(asynq_1144_writes_are_refused_for_a_while)
{
    start(NULL);
    struct load *l = load_new(h, AGENTS);
    for (int i = 0; i < 3; i++) {
        load_calls(l, CALLS / 2);
        asq_poll(h, 5);
        /* A replica of nobody answers -READONLY to every write. */
        sup_redis_do(redis, "REPLICAOF 127.0.0.1 1");
        sup_sleep_ms(700);
        sup_redis_do(redis, "REPLICAOF NO ONE");
        sup_wait_until(asq_poll(h, 20) > 0);
    }
    /* One that was refused while a later one was taken already is told, not run out of its order. */
    load_check_but(l, ASQ_EREDIS);
    stop();
}
END_TEST

START_TEST(a_commit_that_memory_refuses_is_kept)
{
    start(NULL);
    struct load *l = load_new(h, AGENTS);
    load_calls(l, CALLS);
    ck_assert_int_eq(asq_flush(h, sup_limit_ms()), 0); /* accepted: from here on they are safe */
    sup_redis_do(redis, "CONFIG SET maxmemory 1");
    sup_sleep_ms(1200);
    sup_redis_do(redis, "CONFIG SET maxmemory 0");
    load_check(l);

    /* What is refused itself is told. */
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

/* ---- bytes that lie ---- */

static int partition_of(const char *id)
{
    asq_value *info;
    int64_t p;

    ck_assert_int_eq(asq_show(h, id, &info), 0);
    p = asq_map_int(info, "partition");
    asq_value_free(info);
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

START_TEST(keys_of_a_wrong_type_block_nobody_else_and_can_be_repaired)
{
    static const char *const names[] = { "agents", "lease", "dead", "attempts" };
    asq_agent *a, *other;
    asq_result *r;
    char key[64];
    start(NULL);
    ck_assert_int_eq(asq_create(h, "Counter", "a", &a, "{s:i}", "value", 0), 0);
    ck_assert_int_eq(asq_create(h, "Counter", "other", &other, "{s:i}", "value", 0), 0);
    ck_assert_int_eq(asq_ready(a, sup_limit_ms()), 0);
    ck_assert_int_eq(asq_ready(other, sup_limit_ms()), 0);
    int p = partition_of("a");
    ck_assert_int_ne(p, partition_of("other"));
    snprintf(key, sizeof key, "asq:{default.%d}:%s", p, names[_i]);
    if (sup_redis_int(redis, "EXISTS %s", key))
        sup_redis_do(redis, "RENAME %s kept", key);
    sup_redis_do(redis, "SET %s lies", key);
    ck_assert_int_eq(asq_call(a, "add", &r, "[i]", 1), 0);
    for (int i = 0; i < 20; i++)
        ck_assert_int_eq(asq_call_wait(other, "add", NULL, "[i]", 1), 0);
    sup_redis_do(redis, "DEL %s", key);
    if (sup_redis_int(redis, "EXISTS kept"))
        sup_redis_do(redis, "RENAME kept %s", key);
    /* Done before, told as an error, or done now; it ends, and the next works. */
    ck_assert_int_ne(asq_result_wait(r, sup_limit_ms()), ASQ_ETIMEOUT);
    ck_assert_int_eq(asq_call_wait(a, "add", NULL, "[i]", 1), 0);
    asq_result_free(r);
    asq_agent_free(a);
    asq_agent_free(other);
    stop();
}
END_TEST

/* ---- commit.lua by itself ---- */

static char *everything(void)
{
    return sup_redis_str(redis, "EVAL %s 0",
                         "local all = '' for _, key in ipairs(redis.call('KEYS', '*')) do "
                         "all = all .. key .. redis.sha1hex(redis.call('DUMP', key)) end "
                         "return all");
}

/* A commit of one section that would set a record, a result and a mark, and remove an entry. */
static char *commit(const char *script, const char *token, const char *seq)
{
    redisReply *r = sup_redis_reply(
        redis,
        "EVAL %s 6 {p}lease {p}agents {p}jobs {p}attempts {p}dead {p}r 1 %s %s 1 id record 0 1 "
        "1 1000 frame 0 1 1-1 1 mark 1 0 0",
        script, token, seq);
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
    } refused[] = { { "other", "8", NULL, "FENCED" },     { "", "8", NULL, "FENCED" },
                    { "mine", "7", NULL, "SEQ 7" },       { "mine", "9", NULL, "SEQ 7" },
                    { "mine", "8", "{p}agents", "ERR" },  { "mine", "8", "{p}jobs", "ERR" },
                    { "mine", "8", "{p}attempts", "ERR" } };
    char *path = sup_format("%s/lib/redis/commit.lua", getenv("abs_top_srcdir"));
    char *script = sup_read_file(path);
    redis = sup_redis_start(NULL);
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        sup_redis_do(redis, "FLUSHALL");
        sup_redis_do(redis, "HSET {p}lease token mine seq 7");
        if (refused[i].key)
            sup_redis_do(redis, "SET %s lies", refused[i].key);
        else
            sup_redis_do(redis, "XADD {p}jobs 1-1 batch x");
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
    sup_redis_do(redis, "HSET {p}lease token mine seq 7");
    sup_redis_do(redis, "XADD {p}jobs 1-1 batch x");
    char *answer = commit(script, "mine", "8");
    ck_assert_str_eq(answer, "1");
    ck_assert_int_eq(sup_redis_int(redis, "HLEN {p}agents"), 1);
    ck_assert_int_eq(sup_redis_int(redis, "XLEN {p}jobs"), 0);
    ck_assert_int_eq(sup_redis_int(redis, "HLEN {p}attempts"), 1);
    ck_assert_int_eq(sup_redis_int(redis, "EXISTS {p}r"), 1);
    free(answer);
    answer = commit(script, "mine", "8"); /* the same once more */
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
                           sup_redis_url(redis),
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

/* … and noticed when it is changed later, also while the connection is away. Calls go on. */
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
    tcase_add_test(t, connections_are_cut_and_scripts_forgotten_under_load);
    tcase_add_test(t, a_commit_that_redis_has_lost_is_made_again);
    tcase_add_test(t, asynq_1144_writes_are_refused_for_a_while);
    tcase_add_test(t, a_commit_that_memory_refuses_is_kept);
    tcase_add_test(t, garbage_in_a_stream_becomes_dead_letters);
    tcase_add_test(t, a_record_that_cannot_be_read_is_told_and_kept);
    tcase_add_loop_test(t, keys_of_a_wrong_type_block_nobody_else_and_can_be_repaired, 0, 4);
    tcase_add_test(t, a_commit_writes_all_or_nothing);
    tcase_add_test(t, asynq_799_a_redis_that_may_drop_keys_is_refused);
    tcase_add_test(t, asynq_799_a_policy_that_is_changed_later_is_told);
    tcase_add_test(t, a_wrong_password_is_told);
    suite_add_tcase(s, t);
    return sup_suite_run(s);
}
