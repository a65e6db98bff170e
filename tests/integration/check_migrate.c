/*
 * check_migrate.c: a namespace moves to another Redis or a Cluster: everything of it arrives, calls
 * that waited run once, and whoever uses the former one still loses nothing and is told where it
 * is. What stands in the way is found before anything has changed; a move that is killed is gone on
 * with, or given up.
 */
#include <check.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "asqueue.h"
#include "redis/script.h"
#include "support/cluster.h"
#include "support/suite.h"
#include "support/support.h"

enum { PARTITIONS = 16, AGENTS = 24, CALLS = 5, LONG_MS = 60000 };

static sup_redis *source, *target;
static char err[2048];

/* ---- helpers ---- */

static const char *from_url(void)
{
    return sup_redis_url_default(source);
}

static const char *to_url(void)
{
    return sup_redis_url_default(target);
}

static void set_up(void)
{
    source = sup_redis_start(NULL);
    target = sup_redis_start(NULL);
}

static void tear_down(void)
{
    sup_redis_free(source);
    sup_redis_free(target);
}

static int migrate(const char *to, bool resume, bool abort_it, asq_value **ret)
{
    asq_migrate_options options = ASQ_MIGRATE_OPTIONS_INIT;
    options.resume = resume;
    options.abort = abort_it;
    *err = '\0';
    return asq_migrate(from_url(), to, &options, ret, err, sizeof err);
}

static void move_to(const char *to, bool resume)
{
    asq_value *report = NULL;
    bool equal = false;
    int rc = migrate(to, resume, false, &report);
    ck_assert_msg(rc == 0, "%d: %s", rc, err);
    asq_value_get_bool(asq_map_get(report, "equal"), &equal);
    ck_assert(equal);
    ck_assert_uint_gt(asq_list_size(asq_map_get(report, "kinds")), 0);
    asq_value_free(report);
}

/* Expects that the move is refused with this text, and that nothing has changed. */
static void refused(const char *to, int code, const char *text)
{
    int rc = migrate(to, false, false, NULL);
    ck_assert_msg(rc == code, "%d: %s", rc, err);
    ck_assert_msg(strstr(err, text) != NULL, "%s", err);
    ck_assert_int_eq(sup_redis_int(source, "HEXISTS asq:{default}:meta move"), 0);
    char *format = sup_redis_str(source, "HGET asq:{default}:meta format");
    ck_assert_str_eq(format, "1");
    free(format);
}

static asq *open_at(const char *url)
{
    asq_options options = ASQ_OPTIONS_INIT;
    asq *h = NULL;
    options.timeout_ms = LONG_MS;
    int rc = asq_open(url, &options, &h, err, sizeof err);
    ck_assert_msg(rc == 0, "%s", err);
    return h;
}

/* Expects that nobody can open a side, and is told why. */
static void closed_at(const char *url, const char *text)
{
    asq *h = NULL;
    int rc = asq_open(url, NULL, &h, err, sizeof err);
    ck_assert_int_eq(rc, ASQ_EVERSION);
    ck_assert_msg(strstr(err, text) != NULL, "%s", err);
}

static sup_proc *start_worker(const char *url)
{
    return sup_worker_start(url, "--agent-dir", sup_agent_dir(), "--partitions", "16",
                            "--lease-time", "2s", "--id", "w", NULL);
}

static asq_agent *counter(asq *h, int i)
{
    char id[16];
    asq_agent *a;
    snprintf(id, sizeof id, "c%d", i);
    ck_assert_int_eq(asq_attach(h, id, &a), 0);
    return a;
}

/* Makes counters that stand at their number, under a worker that is gone then. */
static void make_counters(void)
{
    sup_proc *worker = start_worker(from_url());
    asq *h = open_at(from_url());
    for (int i = 0; i < AGENTS; i++) {
        char id[16];
        asq_agent *a;
        snprintf(id, sizeof id, "c%d", i);
        ck_assert_msg(asq_create(h, "Counter", id, &a, "{s:i}", "start", i) == 0, "%s",
                      asq_errmsg(h));
        asq_agent_free(a);
    }
    for (int i = 0; i < AGENTS; i++) { /* so that each has a snapshot */
        asq_agent *a = counter(h, i);
        ck_assert_msg(asq_call_wait(a, "add", NULL, "[i]", 0) == 0, "%s", asq_errmsg(h));
        asq_agent_free(a);
    }
    asq_close(h);
    ck_assert_int_eq(sup_proc_stop(worker), 0);
    sup_proc_free(worker);
}

/* Sends calls that nobody runs yet; the last one of each agent is due later. */
static void send_calls(void)
{
    asq *h = open_at(from_url());
    for (int i = 0; i < AGENTS; i++) {
        asq_agent *a = counter(h, i);
        for (int k = 0; k < CALLS; k++) {
            asq_call_options options = ASQ_CALL_OPTIONS_INIT;
            options.delay_ms = k == CALLS - 1 ? 200 : 0;
            options.no_result = true;
            asq_value *args = asq_pack("[i]", 100);
            ck_assert_int_eq(asq_callv(a, "add", &options, args, NULL), 0);
        }
        asq_agent_free(a);
    }
    ck_assert_int_eq(asq_flush(h, LONG_MS), 0);
    asq_close(h);
}

static int64_t value_of(asq *h, int i)
{
    asq_agent *a = counter(h, i);
    asq_value *v = NULL;
    int64_t n = -1;
    ck_assert_msg(asq_get(a, "value", &v) == 0, "%s", asq_errmsg(h));
    asq_value_get_int(v, &n);
    asq_value_free(v);
    asq_agent_free(a);
    return n;
}

/* Expects that a worker at the new place runs each call once. */
static void calls_run_at(const char *url)
{
    sup_proc *worker = start_worker(url);
    asq *h = open_at(url);
    for (int i = 0; i < AGENTS; i++)
        sup_wait_until(value_of(h, i) >= i + 100 * CALLS);
    for (int i = 0; i < AGENTS; i++)
        ck_assert_int_eq(value_of(h, i), i + 100 * CALLS);
    asq_close(h);
    ck_assert_int_eq(sup_proc_stop(worker), 0);
    sup_proc_free(worker);
}

/* Makes a namespace by hand, with keys of all kinds and shapes. */
static void make_keys(void)
{
    sup_redis_do(source, "HSET asq:{default}:meta format 1 partitions %d created 5", PARTITIONS);
    sup_redis_do(source, "HSET asq:{default}:paused * 1700000000000");
    sup_redis_do(source, "HSET asq:{default}:stats:now a b");
    sup_redis_do(source, "SET asq:{default}:handle:0123456789abcdef open");
    sup_redis_do(source, "SADD asq:{default}:workers long-dead");
    sup_redis_do(source, "ZADD asq:{default}:beats 1 long-dead");
    sup_redis_do(source, "HSET asq:{default}:worker:long-dead capacity 1");
    sup_redis_do(source, "SET asq:{default.3}:barrier \"\"");
    sup_redis_do(source,
                 "HSET asq:{default.3}:lease owner o token t epoch 77 seq 5 clock %s "
                 "needs %s",
                 "1 2", "Counter 1");
    sup_redis_do(source, "SET asq:{default.3}:epoch 77");
    sup_redis_do(source, "HSET asq:{default.3}:agents a %b b %s", "\0\1\2", (size_t) 3, "");
    sup_redis_do(source, "EVAL %s 1 asq:{default.4}:agents",
                 "for i = 1, 3000 do redis.call('HSET', KEYS[1], 'agent' .. i, "
                 "string.rep(string.char(i % 256), i % 700)) end");
    sup_redis_do(source, "EVAL %s 1 asq:{default.5}:r:0123456789abcdef0123456789abcdef",
                 "redis.call('SET', KEYS[1], string.rep('x\\0y', 1000000), 'PX', 3600000)");
    sup_redis_do(source, "SET asq:{default.5}:r:fedcba9876543210fedcba9876543210 \"\"");
    sup_redis_do(source, "SET asq:{default.5}:s:5-fedcba9876543210fedcba9876543210-0 steps");
    sup_redis_do(source, "XADD asq:{default.5}:o:5-fedcba9876543210fedcba9876543210-promise 0-1 "
                         "call x");
    sup_redis_do(source, "SADD asq:{default.5}:o:5-fedcba9876543210fedcba9876543210-0 p q r");
    sup_redis_do(source, "XADD asq:{default.5}:p:5-fedcba9876543210fedcba9876543210-0 7000-0 v e");
    sup_redis_do(source, "SET asq:{default.6}:g:agent signals");
    sup_redis_do(source, "ZADD asq:{default.6}:timers 1700000000000.5 %s inf y", "agent name");
    sup_redis_do(source, "HSET asq:{default.6}:t:agent =name map");
    sup_redis_do(source, "ZADD asq:{default.6}:later 12345678901234 BATCH");
    sup_redis_do(source, "HSET asq:{default.6}:later:jobs BATCH x");
    sup_redis_do(source, "HSET asq:{default.6}:attempts call 1");
    sup_redis_do(source, "XADD asq:{default.6}:dead 5-5 call c batch b");
    sup_redis_do(source, "XADD asq:{default.6}:failures 6-1 call c");
    sup_redis_do(source, "PEXPIRE asq:{default.6}:failures 500000");
    sup_redis_do(source, "HSET asq:{default.6}:agents:aside x y");
    sup_redis_do(source, "EVAL %s 1 asq:{default.7}:jobs",
                 "for i = 1, 2500 do redis.call('XADD', KEYS[1], i .. '-1', 'call', 'c' .. i, "
                 "'batch', string.rep('b', i % 100)) end "
                 "redis.call('XADD', KEYS[1], '9000-9', 'call', 'gone') "
                 "redis.call('XDEL', KEYS[1], '9000-9', '7-1')");
    sup_redis_do(source, "XADD asq:{default.8}:jobs 8-8 call c");
    sup_redis_do(source, "XDEL asq:{default.8}:jobs 8-8");
    /* Of others, whose names begin in the same way. */
    sup_redis_do(source, "SET asq:{default2.1}:epoch 1");
    sup_redis_do(source, "SET asq:{default.x.1}:epoch 1");
    sup_redis_do(source, "SET other 1");
}

static void same_string(const char *fmt, const char *key)
{
    redisReply *a = sup_redis_reply(source, fmt, key), *b = sup_redis_reply(target, fmt, key);
    ck_assert_int_eq(a->type, b->type);
    ck_assert_uint_eq(a->len, b->len);
    ck_assert_msg(memcmp(a->str ? a->str : "", b->str ? b->str : "", a->len) == 0, "%s", key);
    freeReplyObject(a);
    freeReplyObject(b);
}

static char *last_id(sup_redis *r, const char *key)
{
    redisReply *info = sup_redis_reply(r, "XINFO STREAM %s", key);
    char *id = NULL;
    for (size_t i = 0; i + 1 < info->elements; i += 2)
        if (strcmp(info->element[i]->str, "last-generated-id") == 0)
            id = strdup(info->element[i + 1]->str);
    freeReplyObject(info);
    return id;
}

/* ---- tests ---- */

START_TEST(every_key_arrives_with_its_content)
{
    /* DUMP is the same where both servers have made the key in the same way. */
    static const char *const small[] = { "asq:{default.3}:agents",
                                         "asq:{default.5}:r:0123456789abcdef0123456789abcdef",
                                         "asq:{default.5}:r:fedcba9876543210fedcba9876543210",
                                         "asq:{default.5}:s:5-fedcba9876543210fedcba9876543210-0",
                                         "asq:{default.6}:g:agent",
                                         "asq:{default.6}:t:agent",
                                         "asq:{default.6}:timers",
                                         "asq:{default.6}:later",
                                         "asq:{default.6}:later:jobs",
                                         "asq:{default.6}:attempts",
                                         "asq:{default.6}:agents:aside",
                                         "asq:{default.3}:epoch",
                                         "asq:{default}:paused",
                                         NULL };
    static const char *const gone[] = { "asq:{default}:workers",
                                        "asq:{default}:beats",
                                        "asq:{default}:worker:long-dead",
                                        "asq:{default}:stats:now",
                                        "asq:{default.3}:barrier",
                                        "asq:{default2.1}:epoch",
                                        "asq:{default.x.1}:epoch",
                                        "other",
                                        "asq:{default}:moving",
                                        "asq:{default}:handle:0123456789abcdef",
                                        NULL };
    set_up();
    make_keys();
    move_to(to_url(), false);
    for (int i = 0; small[i]; i++)
        same_string("DUMP %s", small[i]);
    for (int i = 0; gone[i]; i++)
        ck_assert_msg(sup_redis_int(target, "EXISTS %s", gone[i]) == 0, "%s", gone[i]);
    ck_assert_int_eq(sup_redis_int(target, "HLEN asq:{default.4}:agents"), 3000);
    for (int i = 1; i <= 3000; i += 97) {
        char *a = sup_redis_str(source, "HGET asq:{default.4}:agents agent%d", i);
        char *b = sup_redis_str(target, "HGET asq:{default.4}:agents agent%d", i);
        ck_assert_str_eq(a, b);
        free(a);
        free(b);
    }
    ck_assert_int_eq(sup_redis_int(target, "SCARD asq:{default.5}:o:5-"
                                           "fedcba9876543210fedcba9876543210-0"),
                     3);
    /* Times to live. */
    int64_t ttl = sup_redis_int(target, "PTTL asq:{default.5}:r:0123456789abcdef0123456789abcdef");
    ck_assert(ttl > 3000000 && ttl <= 3600000);
    ttl = sup_redis_int(target, "PTTL asq:{default.6}:failures");
    ck_assert(ttl > 300000 && ttl <= 500000);
    ck_assert_int_eq(sup_redis_int(target, "PTTL asq:{default.6}:dead"), -1);
    /* Streams, with the ids that no later entry may have. */
    ck_assert_int_eq(sup_redis_int(target, "XLEN asq:{default.7}:jobs"), 2499);
    char *id = last_id(target, "asq:{default.7}:jobs");
    ck_assert_str_eq(id, "9000-9");
    free(id);
    ck_assert_int_eq(sup_redis_int(target, "XLEN asq:{default.8}:jobs"), 0);
    id = last_id(target, "asq:{default.8}:jobs");
    ck_assert_str_eq(id, "8-8");
    free(id);
    redisReply *r = sup_redis_reply(target, "XRANGE asq:{default.7}:jobs 2500-0 +");
    ck_assert_uint_eq(r->elements, 1);
    ck_assert_str_eq(r->element[0]->element[0]->str, "2500-1");
    ck_assert_str_eq(r->element[0]->element[1]->element[1]->str, "c2500");
    freeReplyObject(r);
    /* The lease has no owner, and its epoch. */
    ck_assert_int_eq(sup_redis_int(target, "HEXISTS asq:{default.3}:lease token"), 0);
    char *epoch = sup_redis_str(target, "HGET asq:{default.3}:lease epoch");
    ck_assert_str_eq(epoch, "77");
    free(epoch);
    char *format = sup_redis_str(target, "HGET asq:{default}:meta format");
    ck_assert_str_eq(format, "1");
    free(format);
    ck_assert_int_eq(sup_redis_int(target, "HLEN asq:{default}:meta"), 3);
    closed_at(from_url(), "has moved to ");
    tear_down();
}
END_TEST

START_TEST(calls_that_waited_run_once_at_the_target)
{
    set_up();
    make_counters();
    send_calls();
    move_to(to_url(), false);
    calls_run_at(to_url());
    tear_down();
}
END_TEST

START_TEST(a_namespace_moves_to_a_cluster_and_back)
{
    if (!sup_cluster_available())
        return;
    set_up();
    make_counters();
    send_calls();
    sup_cluster *cluster = sup_cluster_start(3, 0);
    char *url = sup_cluster_url(cluster, 1), plain[64];
    move_to(url, false);
    ck_assert_int_gt(sup_redis_int(sup_cluster_node(cluster, 0), "DBSIZE"), 0);
    ck_assert_int_gt(sup_redis_int(sup_cluster_node(cluster, 2), "DBSIZE"), 0);
    calls_run_at(url);
    /* A URL of one node means all of them. */
    snprintf(plain, sizeof plain, "redis://127.0.0.1:%d", sup_cluster_port(cluster, 2));
    asq_migrate_options options = ASQ_MIGRATE_OPTIONS_INIT;
    char *back = sup_format("%s%cns=back", to_url(), strchr(to_url(), '?') ? '&' : '?');
    int rc = asq_migrate(plain, back, &options, NULL, err, sizeof err);
    ck_assert_msg(rc == 0, "%s", err);
    sup_proc *worker = start_worker(back);
    asq *h = open_at(back);
    ck_assert_int_eq(value_of(h, 7), 7 + 100 * CALLS);
    asq_close(h);
    sup_proc_free(worker);
    free(back);
    free(url);
    sup_cluster_free(cluster);
    tear_down();
}
END_TEST

START_TEST(what_stands_in_the_way_is_found_before)
{
    set_up();
    ck_assert_int_eq(migrate(to_url(), false, false, NULL), ASQ_EINVAL);
    ck_assert_msg(strstr(err, "there is no namespace 'default'") != NULL, "%s", err);
    make_keys();
    /* URLs. */
    refused("nonsense:", ASQ_EINVAL, "");
    refused("local:", ASQ_EINVAL, "the URL of a Redis or a Cluster is needed");
    refused("unix:/there/is/none", ASQ_ECONN, "the target");
    refused("redis://127.0.0.1:1", ASQ_ECONN, "the target");
    refused(from_url(), ASQ_EINVAL, "is not empty there");
    /* A target with a key of the namespace, whatever it is. */
    sup_redis_do(target, "SET asq:{default.3}:barrier x");
    refused(to_url(), ASQ_EINVAL, "asq:{default.3}:barrier");
    sup_redis_do(target, "DEL asq:{default.3}:barrier");
    sup_redis_do(target, "HSET asq:{default}:meta format 1");
    refused(to_url(), ASQ_EINVAL, "is not empty there");
    sup_redis_do(target, "DEL asq:{default}:meta");
    /* A key of a foreign type. */
    sup_redis_do(source, "RPUSH asq:{default.3}:dead x");
    refused(to_url(), ASQ_EREDIS, "asq:{default.3}:dead has the type list");
    sup_redis_do(source, "DEL asq:{default.3}:dead");
    /* A live worker, which is no worker any more when it has stopped. */
    sup_proc *worker = start_worker(from_url());
    asq *h = open_at(from_url());
    asq_value *live = NULL;
    sup_wait_until(asq_workers(h, &live) == 0 && (asq_value_free(live), 1) &&
                   sup_redis_workers(source, "default") > 1);
    asq_close(h);
    refused(to_url(), ASQ_EBUSY, "is alive. Stop all workers");
    ck_assert_int_eq(sup_redis_int(target, "DBSIZE"), 0);
    sup_proc_stop(worker);
    sup_proc_free(worker);
    /* Nothing to go on with. */
    ck_assert_int_eq(migrate(to_url(), true, false, NULL), ASQ_EINVAL);
    ck_assert_int_eq(migrate(to_url(), false, true, NULL), ASQ_EINVAL);
    ck_assert_int_eq(sup_redis_int(target, "DBSIZE"), 0);
    tear_down();
}
END_TEST

/* Others are told where it is, not the user who has moved it. */
START_TEST(the_name_of_the_mover_stays_with_it)
{
    char url[200], there[100];
    char *port = sup_format("port %d", sup_free_port());
    source = sup_redis_start(NULL);
    target = sup_redis_start((const char *[]){ port, NULL });
    make_counters();
    sup_redis_do(target, "ACL SETUSER mover on >secret ~* +@all");
    snprintf(there, sizeof there, "127.0.0.1:%s", port + strlen("port "));
    snprintf(url, sizeof url, "redis://mover:secret@%s", there);
    move_to(url, false);
    closed_at(from_url(), there);
    ck_assert_msg(strstr(err, "mover") == NULL && strstr(err, "@") == NULL, "%s", err);
    ck_assert_int_eq(migrate(url, false, false, NULL), ASQ_EINVAL);
    ck_assert_msg(strstr(err, "--resume --delete-source") != NULL, "%s", err);
    ck_assert_int_eq(migrate(url, true, false, NULL), 0);
    free(port);
    tear_down();
}
END_TEST

START_TEST(rights_are_tried_before)
{
    char url[300];
    set_up();
    make_keys();
    for (int side = 0; side < 2; side++) {
        sup_redis *r = side ? target : source;
        sup_redis_do(r, "ACL SETUSER mover on >secret ~asq:{default}:* ~asq:{default.*}:* +@all %s",
                     side ? "-zadd" : "-renamenx");
        snprintf(url, sizeof url, "unix:%s?user=mover&password=secret", sup_redis_socket(r));
        asq_migrate_options options = ASQ_MIGRATE_OPTIONS_INIT;
        int rc = asq_migrate(side ? from_url() : url, side ? url : to_url(), &options, NULL, err,
                             sizeof err);
        ck_assert_int_eq(rc, ASQ_EREDIS);
        ck_assert_msg(strstr(err, side ? "ZADD" : "RENAMENX") != NULL, "%s", err);
        ck_assert_msg(strstr(err, "as-ctl acl mover") != NULL, "%s", err);
        ck_assert_msg(strstr(err, "secret") == NULL, "%s", err);
    }
    ck_assert_int_eq(sup_redis_int(source, "HEXISTS asq:{default}:meta move"), 0);
    ck_assert_int_eq(sup_redis_int(target, "DBSIZE"), 0);
    tear_down();
}
END_TEST

/* Ends the process where the move says this. */
static void die_at(void *user, asq_log_level level, const char *text)
{
    (void) level;
    if (user && strncmp(text, user, strlen(user)) == 0)
        raise(SIGKILL);
}

/* Begins a move in a process that is killed at a step, or once the target has so many keys: then it
 * may have ended. */
static void kill_at(const char *step, int keys)
{
    char *at = step ? strdup(step) : NULL;
    pid_t pid = fork();
    ck_assert_int_ge(pid, 0);
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        asq_migrate_options options = ASQ_MIGRATE_OPTIONS_INIT;
        options.log = die_at;
        options.log_user = at;
        asq_migrate(from_url(), to_url(), &options, NULL, NULL, 0);
        _exit(0);
    }
    if (!step) {
        sup_wait_until(sup_redis_int(target, "DBSIZE") >= keys);
        kill(pid, SIGKILL);
    }
    int status;
    waitpid(pid, &status, 0);
    ck_assert(!step || WIFSIGNALED(status));
    free(at);
}

/* Makes so much that a move takes a while. */
static void make_much(void)
{
    for (int i = 0; i < 40; i++)
        sup_redis_do(source, "EVAL %s 1 asq:{default.%d}:r:x %d",
                     "for i = 1, 100 do redis.call('SET', KEYS[1] .. i + ARGV[1] * 100, "
                     "string.rep('r', 20000)) end",
                     i % PARTITIONS, i);
}

START_TEST(a_move_that_was_killed_is_gone_on_with)
{
    static const char *const steps[] = { "copying", "comparing", NULL, NULL, NULL };
    static const int keys[] = { 0, 0, 1, 700, 2500 };
    set_up();
    make_keys();
    make_much();
    kill_at(steps[_i], keys[_i]);
    char *state = sup_redis_str(source, "HGET asq:{default}:meta move_state");
    if (strcmp(state, "begun") == 0) {
        closed_at(from_url(), "is being moved to");
        if (sup_redis_int(target, "EXISTS asq:{default}:meta"))
            closed_at(to_url(), "is being moved here from");
        ck_assert_int_eq(migrate(to_url(), false, false, NULL), ASQ_EBUSY);
        ck_assert_msg(strstr(err, "--resume") != NULL, "%s", err);
        /* Another target would have a part of it only. */
        sup_redis *third = sup_redis_start(NULL);
        ck_assert_int_eq(migrate(sup_redis_url_default(third), true, false, NULL), ASQ_EINVAL);
        ck_assert_msg(strstr(err, "give that URL") != NULL, "%s", err);
        sup_redis_free(third);
        /* Keys that are not as at the source are found, whoever has written them. */
        if (_i == 1) {
            sup_redis_do(target, "HSET asq:{default.4}:agents agent7 changed");
            sup_redis_do(target, "HSET asq:{default.3}:agents one-more x");
            sup_redis_do(target, "PERSIST asq:{default.6}:failures");
            sup_redis_do(target, "XADD asq:{default.8}:jobs 9-9 call c");
            sup_redis_do(target, "SET asq:{default.9}:r:extra x");
            sup_redis_do(target, "DEL asq:{default.6}:dead");
        }
        move_to(to_url(), true);
        same_string("HGET %s agent7", "asq:{default.4}:agents");
        same_string("DUMP %s", "asq:{default.3}:agents");
        ck_assert_int_gt(sup_redis_int(target, "PTTL asq:{default.6}:failures"), 0);
        ck_assert_int_eq(sup_redis_int(target, "XLEN asq:{default.8}:jobs"), 0);
        ck_assert_int_eq(sup_redis_int(target, "EXISTS asq:{default.9}:r:extra"), 0);
        ck_assert_int_eq(sup_redis_int(target, "XLEN asq:{default.6}:dead"), 1);
    } else {
        ck_assert_ptr_null(steps[_i]);
        ck_assert_int_eq(migrate(to_url(), true, false, NULL), 0);
    }
    free(state);
    ck_assert_int_eq(sup_redis_int(target, "HLEN asq:{default.4}:agents"), 3000);
    ck_assert_int_eq(sup_redis_int(target, "STRLEN asq:{default.0}:r:x1"), 20000);
    asq *h = open_at(to_url());
    asq_close(h);
    closed_at(from_url(), "has moved to ");
    /* Going on once more changes nothing. */
    ck_assert_int_eq(migrate(to_url(), true, false, NULL), 0);
    ck_assert_int_eq(migrate(to_url(), false, true, NULL), ASQ_EINVAL);
    ck_assert_msg(strstr(err, "no way back") != NULL, "%s", err);
    tear_down();
}
END_TEST

START_TEST(a_move_that_was_killed_is_given_up)
{
    set_up();
    make_counters();
    make_much();
    send_calls();
    kill_at(_i ? "comparing" : "copying", 0);
    asq_value *report = NULL;
    ck_assert_msg(migrate(to_url(), false, true, &report) == 0, "%s", err);
    asq_value_free(report);
    ck_assert_int_eq(sup_redis_int(target, "DBSIZE"), 0);
    ck_assert_int_eq(sup_redis_int(source, "HLEN asq:{default}:meta"), 3);
    calls_run_at(from_url());
    tear_down();
}
END_TEST

START_TEST(a_client_that_is_connected_loses_no_call)
{
    set_up();
    make_counters();
    asq *h = open_at(from_url());
    asq_agent *a = counter(h, 3);
    asq_result *before = NULL, *after = NULL;
    ck_assert_int_eq(asq_call(a, "add", &before, "[i]", 1000), 0);
    ck_assert_int_eq(asq_flush(h, LONG_MS), 0);
    move_to(to_url(), false);
    /* Refused, and told; not accepted by a stream that nobody reads. */
    ck_assert_int_eq(asq_call(a, "add", &after, "[i]", 50000), 0);
    ck_assert_int_eq(asq_result_wait(after, LONG_MS), ASQ_EREDIS);
    ck_assert_int_eq(asq_result_error(after)->code, ASQ_EREDIS);
    ck_assert_msg(strstr(asq_result_error(after)->message, "the namespace has moved") != NULL, "%s",
                  asq_result_error(after)->message);
    asq_result_free(before);
    asq_result_free(after);
    asq_agent_free(a);
    asq_close(h);
    sup_proc *worker = start_worker(to_url());
    h = open_at(to_url());
    sup_wait_until(value_of(h, 3) == 1003);
    asq_close(h);
    sup_proc_free(worker);
    tear_down();
}
END_TEST

/* Runs claim.lua as a worker would that has not read meta again. */
static int64_t claim(int partition)
{
    const char *script = asq__script_text(ASQ__SCRIPT_CLAIM);
    char tag[32];
    snprintf(tag, sizeof tag, "asq:{default.%d}", partition);
    redisReply *r = sup_redis_reply(source,
                                    "EVAL %s 7 %s:lease %s:jobs %s:attempts %s:dead %s:later "
                                    "%s:later:jobs %s:epoch %s owner token 0",
                                    script, tag, tag, tag, tag, tag, tag, tag, "");
    ck_assert_int_eq(r->type, REDIS_REPLY_ARRAY);
    int64_t taken = r->element[0]->integer;
    freeReplyObject(r);
    return taken;
}

START_TEST(a_worker_that_was_stopped_does_nothing_when_it_wakes_up)
{
    set_up();
    make_counters();
    sup_proc *worker = start_worker(from_url());
    sup_wait_until(sup_redis_int(source, "HEXISTS asq:{default.15}:lease token") == 1);
    pid_t pid = sup_redis_worker_pid(source, "w.0");
    kill(pid, SIGSTOP);
    send_calls();
    /* The worker counts as dead once its last heartbeat is older than the lease time. */
    int rc;
    sup_wait_until((rc = migrate(to_url(), false, false, NULL)) != ASQ_EBUSY);
    ck_assert_msg(rc == 0, "%s", err);
    kill(pid, SIGCONT);
    sup_wait_until(sup_proc_said(worker, "has moved to ") > 0);
    for (int p = 0; p < PARTITIONS; p++) {
        ck_assert_int_eq(sup_redis_int(source, "HEXISTS asq:{default.%d}:lease token", p), 0);
        ck_assert_int_eq(claim(p), 0);
        char *seal = sup_redis_str(source, "GET asq:{default.%d}:jobs", p);
        ck_assert_msg(strncmp(seal, "asqueue: moved to ", 18) == 0, "%s", seal);
        free(seal);
    }
    calls_run_at(to_url());
    sup_proc_free(worker);
    tear_down();
}
END_TEST

START_TEST(a_second_move_at_the_same_time_waits_or_fails)
{
    set_up();
    make_keys();
    sup_redis_do(source, "SET asq:{default}:moving somebody PX 3000");
    int64_t began = sup_now_ms();
    move_to(to_url(), false);
    ck_assert_int_ge(sup_now_ms() - began, 2000);
    ck_assert_int_eq(sup_redis_int(source, "EXISTS asq:{default}:moving"), 0);
    tear_down();
}
END_TEST

START_TEST(the_tool_tells)
{
    char *out, *said, *with_password;
    int status;
    set_up();
    make_keys();
    const char *ctl = strdup(sup_program("as-ctl"));
#define RUN(...)                                                                                   \
    sup_run((const char *const[]){ ctl, "migrate", "-u", from_url(), __VA_ARGS__, NULL }, &out,    \
            &said)
    status = RUN("--json");
    ck_assert_int_eq(status, 2);
    ck_assert_msg(strstr(said, "needs --to URL") != NULL, "%s", said);
    free(out), free(said);
    status = RUN("--to", to_url(), "--resume", "--abort");
    ck_assert_int_eq(status, 2);
    free(out), free(said);
    status = RUN("--to", to_url(), "--dry-run");
    ck_assert_msg(status == 0, "%s", said);
    ck_assert_msg(strstr(out, "nothing is in the way") && strstr(out, "promises"), "%s", out);
    ck_assert_int_eq(sup_redis_int(target, "DBSIZE"), 0);
    ck_assert_int_eq(sup_redis_int(source, "HLEN asq:{default}:meta"), 3);
    free(out), free(said);
    with_password =
        sup_format("%s%cpassword=secret&user=nobody", to_url(), strchr(to_url(), '?') ? '&' : '?');
    status = RUN("--to", with_password);
    ck_assert_int_eq(status, 1);
    ck_assert_msg(!strstr(said, "secret") && strstr(said, "the target"), "%s", said);
    free(out), free(said), free(with_password);
    status = RUN("--to", to_url(), "--delete-source", "--json");
    ck_assert_msg(status == 0, "%s", said);
    ck_assert_msg(strstr(out, "\"outcome\":\"moved\"") && strstr(out, "\"equal\":true"), "%s", out);
    free(out), free(said);
#undef RUN
    /* Late clients are told where the namespace is by meta, and a seal for each partition. */
    ck_assert_int_eq(sup_redis_int(source, "DBSIZE"), 1 + PARTITIONS + 3 /* of others */);
    closed_at(from_url(), "has moved to ");
    free((void *) (uintptr_t) ctl);
    tear_down();
}
END_TEST

int main(void)
{
    if (!sup_redis_available())
        return sup_skip("no redis-server");
    Suite *s = suite_create("migrate");
    TCase *t = tcase_create("migrate");
    tcase_set_timeout(t, 120);
    tcase_add_test(t, every_key_arrives_with_its_content);
    tcase_add_test(t, calls_that_waited_run_once_at_the_target);
    tcase_add_test(t, a_namespace_moves_to_a_cluster_and_back);
    tcase_add_test(t, what_stands_in_the_way_is_found_before);
    tcase_add_test(t, the_name_of_the_mover_stays_with_it);
    tcase_add_test(t, rights_are_tried_before);
    tcase_add_loop_test(t, a_move_that_was_killed_is_gone_on_with, 0, 5);
    tcase_add_loop_test(t, a_move_that_was_killed_is_given_up, 0, 2);
    tcase_add_test(t, a_client_that_is_connected_loses_no_call);
    tcase_add_test(t, a_worker_that_was_stopped_does_nothing_when_it_wakes_up);
    tcase_add_test(t, a_second_move_at_the_same_time_waits_or_fails);
    tcase_add_test(t, the_tool_tells);
    suite_add_tcase(s, t);
    return sup_suite_run(s);
}
