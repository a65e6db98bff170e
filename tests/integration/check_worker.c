/*
 * check_worker.c: workers join, stop, are killed and paused under load, and every call takes effect
 * exactly once and in order. Also the effects of user code on its worker.
 */
#include "load.h"
#include "support/file_lines.h"
#include "support/placing.h"
#include "support/suite.h"
#include "value/buf.h"
#include "value/hash.h"
#include "value/msg.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { AGENTS = 12, CALLS = 150, LEASE_MS = 1000 };

static sup_redis *redis;
static asq *h;
static asq_worker_options options;

static void set_up(void)
{
    redis = sup_redis_start(NULL);
    h = load_open(sup_redis_url(redis));
    options = (asq_worker_options) ASQ_WORKER_OPTIONS_INIT;
    options.lease_time_ms = LEASE_MS;
}

static void tear_down(void)
{
    asq_close(h);
    sup_redis_free(redis);
}

static pid_t worker(const char *id)
{
    options.id = id;
    return load_worker(sup_redis_url(redis), &options);
}

static bool owns(const char *process, uint32_t partition)
{
    char *owner = sup_redis_str(redis, "HGET asq:{default.%u}:lease owner", partition);
    bool yes = owner && strcmp(owner, process) == 0;

    free(owner);
    return yes;
}

static int owned_by(const char *process)
{
    char *n = sup_redis_str(redis, "HGET asq:{default}:worker:%s partitions", process);
    int owned = n ? atoi(n) : 0;

    free(n);
    return owned;
}

/* ---- joining, stopping ---- */

START_TEST(a_worker_that_joins_gets_its_share_and_calls_go_on)
{
    pid_t first = worker("first"), second;
    struct load *l = load_new(h, AGENTS);

    load_calls(l, CALLS);
    second = worker("second");
    sup_wait_until((load_calls(l, 1), asq_poll(h, 5) >= 0) && owned_by("second.0") > 0);
    sup_wait_until(owned_by("first.0") + owned_by("second.0") == 128 && owned_by("first.0") <= 80 &&
                   owned_by("second.0") <= 80);
    load_calls(l, CALLS);
    load_check(l);
    load_worker_stop(first);
    load_worker_stop(second);
}
END_TEST

START_TEST(a_worker_that_stops_hands_over_and_ends_in_order)
{
    pid_t first = worker("first"), second = worker("second");
    struct load *l = load_new(h, AGENTS);

    load_calls(l, CALLS);
    load_worker_stop(first);
    load_calls(l, CALLS);
    second = (load_worker_stop(second), worker("third"));
    load_check(l);
    load_worker_stop(second);
}
END_TEST

START_TEST(a_second_request_to_stop_ends_it_sooner_and_loses_nothing)
{
    pid_t first = worker("first"), second;
    struct load *l = load_new(h, AGENTS);
    asq_agent *p;
    asq_result *r;
    int64_t runs;

    ck_assert_int_eq(asq_create(h, "Poison", NULL, &p, NULL), 0);
    ck_assert_int_eq(asq_call(p, "wait", &r, "[i]", 4000), 0);
    load_calls(l, CALLS);
    ck_assert_int_eq(asq_poll(h, 50) >= 0, 1);
    kill(first, SIGTERM);
    sup_sleep_ms(100);
    kill(first, SIGTERM);
    load_worker_status(first);
    second = worker("second");
    load_check(l);
    ck_assert_int_eq(asq_result_int(r, &runs), 0);
    ck_assert_int_eq(runs, 1); /* the first run was given up with all its effects */
    asq_result_free(r);
    asq_agent_free(p);
    load_worker_stop(second);
}
END_TEST

/* A parked call `cross` of the agent, which calls `me` of the other when go_on() lets it. */
struct crossing {
    char begun[20], go[20];
    asq_agent *agent;
    asq_result *result;
};

static void cross(struct crossing *c, int n, asq_agent *agent, asq_agent *other)
{
    char *begun, *go;

    snprintf(c->begun, sizeof c->begun, "begun%d", n);
    snprintf(c->go, sizeof c->go, "go%d", n);
    begun = sup_path(c->begun);
    go = sup_path(c->go);
    ck_assert_int_eq(
        asq_call(agent, "cross", &c->result, "[s, s, a, s, []]", begun, go, other, "me"), 0);
    sup_wait_until(access(begun, F_OK) == 0);
    free(begun);
    free(go);
}

static void go_on(const struct crossing *c)
{
    free(sup_write_file(c->go, ""));
}

/* A parked call holds a partition. A call that it waits for has to begin there, or neither would
 * end. In the second case it waits for an agent elsewhere, which is busy with a call of another
 * chain that waits for a call here. In the third it waits for an agent that is created before it is
 * called, as always. */
START_TEST(a_partition_that_is_handed_over_begins_what_it_waits_for)
{
    pid_t first, second;
    struct crossing x, z;
    asq_agent *a, *b, *e;

    options.drain_timeout_ms = 3600000;
    first = worker("first");
    ck_assert_int_eq(asq_create(h, "Relay", "{one}a", &a, NULL), 0);
    if (_i == 2)
        ck_assert_int_eq(asq_attach(h, "{one}b", &b), 0);
    else
        ck_assert_int_eq(asq_create(h, "Relay", "{one}b", &b, NULL), 0);
    ck_assert_int_eq(asq_create(h, "Relay", "{two}e", &e, NULL), 0);
    cross(&x, 1, a, _i == 1 ? e : b);
    if (_i == 1)
        cross(&z, 2, e, b);
    kill(first, SIGTERM);
    sup_wait_until(sup_redis_int(redis, "HGET asq:{default}:worker:first.0 stopping") == 1);
    second = worker("second");
    if (_i == 2) {
        asq_agent_free(b);
        ck_assert_int_eq(asq_create(h, "Relay", "{one}b", &b, NULL), 0);
        ck_assert_int_eq(asq_flush(h, sup_limit_ms()), 0);
    }
    go_on(&x);
    if (_i == 1) {
        go_on(&z);
        ck_assert_int_eq(asq_result_wait(z.result, sup_limit_ms()), 0);
        asq_result_free(z.result);
    }
    ck_assert_int_eq(asq_result_wait(x.result, sup_limit_ms()), 0);
    asq_result_free(x.result);
    ck_assert_int_eq(load_worker_status(first), 0);
    asq_agent_free(a);
    asq_agent_free(b);
    asq_agent_free(e);
    load_worker_stop(second);
}
END_TEST

/* Returns an id whose process takes the partition from first.0. */
static char *successor(uint32_t p)
{
    struct asq__place_worker workers[2] = { { "first.0", 4, 0 }, { NULL, 4, 0 } };
    uint32_t owners[128] = { 0 };
    char *id = NULL;

    for (int i = 0; owners[p] == 0; i++) {
        free(id);
        id = sup_format("second%d", i);
        char *process = sup_format("%s.0", id);
        workers[1].id = process;
        ck_assert_int_eq(sup_place(workers, 2, 128, NULL, owners), 0);
        free(process);
    }
    return id;
}

/* Balancing interrupts no call. A partition that does not drain stays where it is, continues to
 * work, and moves later. */
START_TEST(a_hand_over_that_does_not_drain_is_called_off_and_tried_again)
{
    uint32_t p = asq__partition_of("{one}", 5, 128);
    char *begun = sup_path("begun"), *go = sup_path("go"), *id = successor(p), *process;
    pid_t first, second;
    asq_agent *held, *other;
    asq_result *r;

    options.capacity = 4;
    options.drain_timeout_ms = 100;
    first = worker("first");
    ck_assert_int_eq(asq_create(h, "Echo", "{one}held", &held, NULL), 0);
    ck_assert_int_eq(asq_create(h, "Counter", "{one}other", &other, "{s:i}", "value", 0), 0);
    ck_assert_int_eq(asq_ready(other, sup_limit_ms()), 0);
    ck_assert_int_eq(asq_call(held, "hold", &r, "[s, s]", begun, go), 0);
    ck_assert_int_eq(asq_flush(h, sup_limit_ms()), 0);
    sup_wait_until(access(begun, F_OK) == 0);
    second = worker(id);
    process = sup_format("%s.0", id);
    sup_wait_until(owned_by(process) > 0);
    for (int i = 0; i < 5; i++) { /* at any time of the takeover */
        ck_assert_int_eq(asq_call_wait(other, "add", NULL, "[i]", 1), 0);
        sup_sleep_ms(LEASE_MS / 3);
    }
    ck_assert(owns("first.0", p));
    free(sup_write_file("go", ""));
    ck_assert_int_eq(asq_result_wait(r, sup_limit_ms()), 0);
    sup_wait_until(owns(process, p));
    ck_assert_int_eq(asq_call_wait(other, "add", NULL, "[i]", 1), 0);
    asq_result_free(r);
    asq_agent_free(held);
    asq_agent_free(other);
    free(begun), free(go), free(id), free(process);
    load_worker_stop(first);
    load_worker_stop(second);
}
END_TEST

/* ---- dying, pausing ---- */

START_TEST(a_killed_worker_is_taken_over)
{
    pid_t first = worker("first"), second = worker("second");
    struct load *l = load_new(h, AGENTS);

    for (int i = 0; i < 3; i++) {
        load_calls(l, CALLS);
        asq_poll(h, 20);
        load_worker_kill(first);
        first = worker(i == 0 ? "third" : i == 1 ? "fourth" : "fifth");
    }
    load_check(l);
    load_worker_stop(first);
    load_worker_stop(second);
}
END_TEST

START_TEST(a_killed_worker_process_is_started_again)
{
    pid_t first = worker("first");
    struct load *l = load_new(h, AGENTS);

    for (int i = 0; i < 5; i++) {
        load_calls(l, CALLS);
        asq_poll(h, 20);
        char *pid = sup_redis_str(redis, "HGET asq:{default}:worker:first.0 pid");
        if (pid && atoi(pid) > 1)
            kill(atoi(pid), SIGKILL);
        free(pid);
    }
    load_check(l);
    load_worker_stop(first);
}
END_TEST

START_TEST(a_worker_that_was_paused_changes_nothing_any_more)
{
    pid_t first = worker("first"), second = worker("second");
    struct load *l = load_new(h, AGENTS);

    for (int i = 0; i < 2; i++) {
        load_calls(l, CALLS);
        asq_poll(h, 20);
        load_signal(first, SIGSTOP);
        sup_wait_until(owned_by("second.0") == 128); /* all partitions were taken over */
        load_calls(l, CALLS);
        load_signal(first, SIGCONT);
        sup_wait_until(owned_by("second.0") < 128); /* first.0 is back */
    }
    load_check(l);
    load_worker_stop(first);
    load_worker_stop(second);
}
END_TEST

/* ---- effects of user code ---- */

START_TEST(a_call_that_kills_its_process_is_given_up_alone)
{
    enum { N = 20 };
    pid_t w = worker("first");
    asq_agent *poison, *innocent[N];
    asq_result *guilty, *results[N];
    char id[40];
    int64_t value;

    /* Sends all in one batch: the braces put the agents into one partition. */
    ck_assert_int_eq(asq_create(h, "Poison", "{same}poison", &poison, NULL), 0);
    for (int i = 0; i < N; i++) {
        snprintf(id, sizeof id, "{same}%d", i);
        ck_assert_int_eq(asq_create(h, "Counter", id, &innocent[i], "{s:i}", "value", 0), 0);
        ck_assert_int_eq(asq_ready(innocent[i], sup_limit_ms()), 0);
    }
    asq_cork(h);
    for (int i = 0; i < N; i++) {
        if (i == N / 2)
            ck_assert_int_eq(asq_call(poison, "die", &guilty, "[i]", _i), 0);
        ck_assert_int_eq(asq_call(innocent[i], "add_blocking", &results[i], "[i]", 1), 0);
    }
    ck_assert_int_eq(asq_uncork(h), 0);
    ck_assert_int_eq(asq_result_wait(guilty, 2 * sup_limit_ms()), ASQ_EDEADLETTER);
    ck_assert_ptr_nonnull(strstr(asq_result_error(guilty)->message, "died"));
    ck_assert_str_eq(asq_result_error(guilty)->method, "die");
    for (int i = 0; i < N; i++) {
        ck_assert_int_eq(asq_result_int(results[i], &value), 0);
        ck_assert_int_eq(value, 1);
        asq_result_free(results[i]);
        asq_agent_free(innocent[i]);
    }
    int p = atoi(asq_result_id(guilty)); /* a call id begins with its partition */
    ck_assert_int_eq(sup_redis_int(redis, "XLEN asq:{default.%d}:dead", p), 1);
    ck_assert_int_eq(sup_redis_int(redis, "XLEN asq:{default.%d}:jobs", p), 0);
    sup_wait_until(sup_redis_int(redis, "HLEN asq:{default.%d}:attempts", p) == 0);
    ck_assert_int_eq(asq_call_wait(poison, "wait", NULL, "[i]", 1), 0);
    asq_result_free(guilty);
    asq_agent_free(poison);
    load_worker_stop(w);
}
END_TEST

/* Two owners run a call; the first does not know yet that it has lost the partition. */
START_TEST(a_worker_that_has_lost_a_partition_makes_no_calls_from_it)
{
    uint32_t p = asq__partition_of("{one}", 5, 128);
    asq_agent *relay, *journal;
    asq_value *items;
    int64_t epoch, first, second;
    pid_t w;

    if (sup_redis_is_cluster(redis))
        return; /* the lease is in another slot than the journal's stream; see check_one_slot.c */
    options.lease_time_ms = 3600000; /* the process does not check its lease */
    w = worker("first");
    ck_assert_int_eq(asq_create(h, "Relay", "{one}relay", &relay, NULL), 0);
    ck_assert_int_eq(asq_create(h, "Journal", "{two}journal", &journal, "{s:i}", "limit", 10), 0);
    ck_assert_int_eq(asq_call_wait(relay, "report", NULL, "[a]", journal), 0);
    epoch = sup_redis_int(redis, "HGET asq:{default.%u}:lease epoch", p);
    sup_redis_do(redis, "HSET asq:{default.%u}:lease owner another token stolen epoch %lld", p,
                 (long long) epoch + 1);
    ck_assert_int_eq(asq_call_wait(relay, "report", NULL, "[a]", journal), 0);
    ck_assert_int_eq(asq_call_wait(journal, "items", &items, NULL), 0);
    ck_assert_int_eq(asq_unpack(items, "[I, I]", &first, &second), 0);
    ck_assert_int_eq(first, epoch);
    /* The second item has the epoch of the next claim, because the nested calls of the first owner
     * did not run. */
    ck_assert_int_eq(second, sup_redis_int(redis, "HGET asq:{default.%u}:lease epoch", p));
    ck_assert_int_gt(second, epoch + 1);
    asq_value_free(items);
    asq_agent_free(journal);
    asq_agent_free(relay);
    load_worker_stop(w);
}
END_TEST

/* A client resends a call after cuts, though the call has long been done. */
START_TEST(copies_of_a_call_that_is_done_leave_its_stream)
{
    static const char twice[] = "redis.call('XADD', KEYS[1], '*', 'call', 'x', 'batch', ARGV[1]) "
                                "redis.call('XADD', KEYS[1], '*', 'call', 'x', 'batch', ARGV[1])",
                      resent[] = "\x18\x01";
    uint32_t p = asq__partition_of("{one}", 5, 128);
    char bytes[1024];
    redisReply *entries, *batch;
    pid_t w = worker("first");
    asq_agent *a;
    asq_result *r;
    int64_t value;

    ck_assert_int_eq(asq_create(h, "Counter", "{one}", &a, "{s:i}", "value", 0), 0);
    ck_assert_int_eq(asq_ready(a, sup_limit_ms()), 0);
    load_worker_stop(w);
    ck_assert_int_eq(asq_call(a, "add", &r, "[i]", 1), 0);
    ck_assert_int_eq(asq_result_keep(r), 0);
    ck_assert_int_eq(asq_flush(h, sup_limit_ms()), 0);
    entries = sup_redis_reply(redis, "XRANGE asq:{default.%u}:jobs - +", p);
    ck_assert_int_eq(entries->elements, 1);
    batch = entries->element[0]->element[1]->element[3];
    ck_assert_int_lt(batch->len + sizeof resent, sizeof bytes);
    memcpy(bytes, batch->str, batch->len);
    memcpy(bytes + batch->len, resent, sizeof resent);
    w = worker("second");
    ck_assert_int_eq(asq_result_wait(r, sup_limit_ms()), 0);
    sup_redis_do(redis, "EVAL %s 1 asq:{default.%u}:jobs %b", twice, p, bytes,
                 batch->len + sizeof resent - 1);
    sup_wait_until(sup_redis_int(redis, "XLEN asq:{default.%u}:jobs", p) == 0);
    asq_result_free(r);
    ck_assert_int_eq(asq_call(a, "add", &r, "[i]", 1), 0);
    ck_assert_int_eq(asq_result_int(r, &value), 0);
    ck_assert_int_eq(value, 2);
    freeReplyObject(entries);
    asq_result_free(r);
    asq_agent_free(a);
    load_worker_stop(w);
}
END_TEST

/* Batches that were sent on a broken connection may reach Redis after the client has resent them
 * and has the results. Here two calls do, in a worker that has had later calls of the client (0),
 * and in one that does not know the client (1). */
START_TEST(a_call_that_arrives_when_a_resent_copy_is_done_does_not_run)
{
    enum { N = 2 };
    uint32_t p = asq__partition_of("{one}", 5, 128);
    redisReply *entries;
    pid_t w = worker("first");
    asq_agent *a;
    asq_result *r[N];
    int64_t value;

    ck_assert_int_eq(asq_create(h, "Counter", "{one}", &a, "{s:i}", "value", 0), 0);
    ck_assert_int_eq(asq_ready(a, sup_limit_ms()), 0);
    load_worker_stop(w);
    for (int i = 0; i < N; i++) {
        ck_assert_int_eq(asq_call(a, "add", &r[i], "[i]", 1), 0);
        ck_assert_int_eq(asq_result_keep(r[i]), 0); /* as one that was resent */
        ck_assert_int_eq(asq_flush(h, sup_limit_ms()), 0);
    }
    entries = sup_redis_reply(redis, "XRANGE asq:{default.%u}:jobs - +", p);
    ck_assert_int_eq(entries->elements, N);
    w = worker("second");
    for (int i = 0; i < N; i++) {
        ck_assert_int_eq(asq_result_wait(r[i], sup_limit_ms()), 0);
        asq_result_free(r[i]);
    }
    if (_i) {
        load_worker_stop(w);
        w = worker("third");
        sup_wait_until(owns("third.0", p));
    } else {
        ck_assert_int_eq(asq_call(a, "add", &r[0], "[i]", 0), 0);
        ck_assert_int_eq(asq_result_wait(r[0], sup_limit_ms()), 0);
        asq_result_free(r[0]);
    }
    for (int i = 0; i < N; i++) {
        const redisReply *batch = entries->element[i]->element[1]->element[3];
        sup_redis_do(redis, "XADD asq:{default.%u}:jobs * call x batch %b", p, batch->str,
                     batch->len);
    }
    sup_wait_until(sup_redis_int(redis, "XLEN asq:{default.%u}:jobs", p) == 0);
    ck_assert_int_eq(asq_call(a, "add", &r[0], "[i]", 1), 0);
    ck_assert_int_eq(asq_result_int(r[0], &value), 0);
    ck_assert_int_eq(value, N + 1);
    freeReplyObject(entries);
    asq_result_free(r[0]);
    asq_agent_free(a);
    load_worker_stop(w);
}
END_TEST

static void add_by_other(uint32_t p, uint64_t number, bool resent)
{
    const uint8_t id[ASQ__BATCH_ID] = { (uint8_t) number };
    asq_value *args = asq_pack("[i]", 1);
    struct asq__job job = {
        .kind = ASQUEUE__JOB_KIND__CALL, .agent = "{one}", .method = "add", .args = args
    };
    struct asq__buf b;

    asq__buf_init(&b, 4096);
    asq__batch_head(id, "07e4000000000000", number, &b);
    ck_assert_int_eq(asq__job_encode(&job, &b), 0);
    if (resent)
        asq__batch_mark_resent(&b);
    sup_redis_do(redis, "XADD asq:{default.%u}:jobs * call x batch %b", p, b.data, b.len);
    asq__buf_release(&b);
    asq_value_free(args);
}

/* Redis refuses one of several calls in flight, and the connection breaks before the answer. When
 * the call is resent, later calls have run (0), or a new owner that has run none of them is about
 * to run them (1). */
START_TEST(a_call_that_later_ones_have_overtaken_is_refused)
{
    uint32_t p = asq__partition_of("{one}", 5, 128);
    pid_t w = worker("first");
    asq_agent *a;
    asq_result *r;
    int64_t value;

    ck_assert_int_eq(asq_create(h, "Counter", "{one}", &a, "{s:i}", "value", 0), 0);
    ck_assert_int_eq(asq_ready(a, sup_limit_ms()), 0);
    if (_i)
        load_worker_stop(w);
    add_by_other(p, 5, false);
    sup_wait_until(_i || sup_redis_int(redis, "XLEN asq:{default.%u}:jobs", p) == 0);
    add_by_other(p, 4, true);
    if (_i)
        w = worker("second");
    sup_wait_until(sup_redis_int(redis, "XLEN asq:{default.%u}:jobs", p) == 0);
    ck_assert_int_eq(
        sup_redis_int(redis, "EXISTS asq:{default.%u}:r:%s", p, "04000000000000000000000000000000"),
        1);
    add_by_other(p, 6, true);
    ck_assert_int_eq(asq_call(a, "add", &r, "[i]", 0), 0);
    ck_assert_int_eq(asq_result_int(r, &value), 0);
    ck_assert_int_eq(value, 2);
    asq_result_free(r);
    asq_agent_free(a);
    load_worker_stop(w);
}
END_TEST

/* Runs two workers. The first one has calls that take `ms` on its only thread. Each call is begun
 * once: a byte in its file counts each run, whether or not its effects are ever visible. */
static void run_once(const char *method, int64_t ms)
{
    enum { N = 3 };
    uint32_t p = asq__partition_of("{one}", 5, 128);
    pid_t first, second;
    asq_agent *a[N];
    asq_result *r[N];
    char id[24], name[24], *noted[N];
    int64_t runs, epoch;

    options.capacity = 1;
    first = worker("first");
    for (int i = 0; i < N; i++) {
        snprintf(id, sizeof id, "{one}%d", i);
        snprintf(name, sizeof name, "noted%d", i);
        noted[i] = sup_path(name);
        ck_assert_int_eq(asq_create(h, "Poison", id, &a[i], NULL), 0);
        ck_assert_int_eq(asq_ready(a[i], sup_limit_ms()), 0);
    }
    epoch = sup_redis_int(redis, "HGET asq:{default.%u}:lease epoch", p);
    for (int i = 0; i < N; i++)
        ck_assert_int_eq(asq_call(a[i], method, &r[i], "[I, s]", ms, noted[i]), 0);
    ck_assert_int_eq(asq_flush(h, sup_limit_ms()), 0);
    second = worker("second");
    for (int i = 0; i < N; i++) {
        ck_assert_int_eq(asq_result_int(r[i], &runs), 0);
        ck_assert_int_eq(runs, 1);
        asq_result_free(r[i]);
    }
    /* The partition was at most handed over, after the calls had ended, and no worker has claimed
     * an owned partition. During a hand-over it has no owner, and the last owner's epoch. */
    char *claimed = sup_redis_str(
        redis, "EVAL %s 1 asq:{default.%u}:lease %lld",
        "local lease = redis.call('HMGET', KEYS[1], 'owner', 'epoch') "
        "return (lease[2] == ARGV[1] or string.find(lease[1] or '', '^second')) and '' or lease[1]",
        p, (long long) epoch);
    ck_assert_msg(claimed && !*claimed, "%s has claimed it", claimed ? claimed : "somebody");
    free(claimed);
    /* Another run would have taken effect by now, or would do so before this one. */
    for (int i = 0; i < N; i++) {
        ck_assert_int_eq(asq_call(a[i], "wait", &r[i], "[i]", 0), 0);
        ck_assert_int_eq(asq_result_int(r[i], &runs), 0);
        ck_assert_int_eq(runs, 2);
        char *text = sup_read_file(noted[i]);
        ck_assert_str_eq(text, ".");
        free(text);
        free(noted[i]);
        asq_result_free(r[i]);
        asq_agent_free(a[i]);
    }
    load_worker_stop(first);
    load_worker_stop(second);
}

/* ---- code that blocks ---- */

static char *log_path;

static bool log_has(const char *words)
{
    return sup_file_count(log_path, words) > 0;
}

/* On a thread (0), on the loop, which runs only methods that never block (1). */
START_TEST(code_that_blocks_is_named)
{
    const char *method = _i ? "block_loop_until" : "block_until";
    char *words = sup_format("Poison.%s has kept its thread busy", method),
         *done = sup_path("done");
    asq_agent *a;
    asq_result *r;
    pid_t w;

    log_path = sup_path("log");
    options.log = sup_log_to_file;
    options.log_user = log_path;
    options.log_level = ASQ_LOG_WARNING;
    options.lease_time_ms = 10 * LEASE_MS; /* the process is given up after three lease times */
    options.capacity = 2;
    /* a loop that stands still for three lease times ends its process */
    options.lease_time_ms = 10 * LEASE_MS;
    w = worker("w");
    ck_assert_int_eq(asq_create(h, "Poison", NULL, &a, NULL), 0);
    ck_assert_int_eq(asq_call(a, method, &r, "[s]", done), 0);
    ck_assert_int_eq(asq_flush(h, sup_limit_ms()), 0);
    sup_wait_until(log_has(words));
    free(sup_write_file("done", ""));
    ck_assert_int_eq(asq_result_wait(r, sup_limit_ms()), 0);
    load_worker_stop(w);
    asq_result_free(r);
    asq_agent_free(a);
    free(log_path);
    free(words);
    free(done);
}
END_TEST

/* All threads are taken, and some thousand calls wait, to the same agents and to others. */
START_TEST(ping_and_cancel_do_not_wait_behind_work)
{
    enum { THREADS = 2, WAITING = 2000 };
    static asq_result *waiting[WAITING];
    char *done = sup_path("done");
    asq_agent *a[THREADS], *other;
    asq_result *r[THREADS];
    pid_t w;

    options.capacity = THREADS;
    w = worker("w");
    ck_assert_int_eq(asq_create(h, "Poison", NULL, &other, NULL), 0);
    for (int i = 0; i < THREADS; i++) {
        ck_assert_int_eq(asq_create(h, "Poison", NULL, &a[i], NULL), 0);
        ck_assert_int_eq(asq_ready(a[i], sup_limit_ms()), 0);
        ck_assert_int_eq(asq_call(a[i], "block_until", &r[i], "[s]", done), 0);
    }
    for (int i = 0; i < WAITING; i++)
        ck_assert_int_eq(asq_call(i % 2 ? a[0] : other, "wait", &waiting[i], "[i]", 0), 0);
    ck_assert_int_eq(asq_flush(h, sup_limit_ms()), 0);
    ck_assert_int_eq(asq_ping(h, NULL), 0);
    for (int i = WAITING; i-- > WAITING - 10;) {
        ck_assert_int_eq(asq_result_cancel(waiting[i]), 0);
        ck_assert_int_eq(asq_result_wait(waiting[i], sup_limit_ms()), ASQ_ECANCELED);
    }
    ck_assert(!asq_result_done(r[0]) && !asq_result_done(r[1]));
    /* the running call cannot be cancelled, which does no harm */
    ck_assert_int_eq(asq_result_cancel(r[0]), 0);
    ck_assert_int_eq(asq_ping(h, NULL), 0);
    free(sup_write_file("done", ""));
    for (int i = 0; i < WAITING; i++) {
        int rc = asq_result_wait(waiting[i], sup_limit_ms());
        ck_assert_int_eq(rc, i < WAITING - 10 ? 0 : ASQ_ECANCELED);
        asq_result_free(waiting[i]);
    }
    for (int i = 0; i < THREADS; i++) {
        asq_result_free(r[i]);
        asq_agent_free(a[i]);
    }
    asq_agent_free(other);
    free(done);
    load_worker_stop(w);
}
END_TEST

/* bull #308, bullmq #3183, #3056, #439: user code that blocks lost its lock, and ran elsewhere,
 * too. */
START_TEST(bull_308_code_that_blocks_all_threads_keeps_its_partitions)
{
    run_once("block", 3 * LEASE_MS);
}
END_TEST

/* A loop that stands still for three lease times ends its process: five seconds are left. */
START_TEST(bullmq_3183_code_that_blocks_the_loop_keeps_its_partitions)
{
    options.lease_time_ms = 3 * LEASE_MS;
    run_once("block_loop", 4 * LEASE_MS);
}
END_TEST

START_TEST(celery_2599_a_call_of_several_lease_times_runs_once)
{
    run_once("wait", 4 * LEASE_MS);
}
END_TEST

/* celery #5935, #4400: a waiting call ran again after each lease time, or once on each worker. */
START_TEST(celery_5935_a_call_that_waits_several_lease_times_for_its_time_runs_once)
{
    asq_call_options delayed = ASQ_CALL_OPTIONS_INIT;
    asq_retry retry = { ASQ_RETRY_INIT, .attempts = 2, .delay_ms = 4 * LEASE_MS };
    pid_t first = worker("first"), second = worker("second");
    asq_agent *p;
    asq_result *due, *again;
    int64_t n;

    ck_assert_int_eq(asq_create(h, "Counter", NULL, &p, "{s:i}", "value", 0), 0);
    delayed.delay_ms = 4 * LEASE_MS;
    ck_assert_int_eq(asq_callv(p, "add", &delayed, asq_pack("[i]", 1), &due), 0);
    delayed.delay_ms = 0;
    delayed.retry = &retry; /* the second run, after some lease times, adds a digit */
    ck_assert_int_eq(asq_callv(p, "digit", &delayed, asq_pack("[i, i]", 5, 2), &again), 0);
    sup_sleep_ms(2 * LEASE_MS);
    load_worker_stop(first); /* stops the worker that has seen it; the second takes over */
    ck_assert_int_eq(asq_result_wait(due, sup_limit_ms()), 0);
    ck_assert_int_eq(asq_result_wait(again, sup_limit_ms()), 0);
    sup_sleep_ms(2 * LEASE_MS);
    asq_result_free(again);
    ck_assert_int_eq(asq_call(p, "read", &again, NULL), 0);
    ck_assert_int_eq(asq_result_int(again, &n), 0);
    ck_assert_msg(n == 15 || n == 6, "%lld", (long long) n); /* depends on which came first */
    asq_result_free(due);
    asq_result_free(again);
    asq_agent_free(p);
    load_worker_stop(second);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("worker");
    TCase *t = tcase_create("worker");

    if (!sup_redis_available())
        return sup_skip("no redis-server");
    tcase_add_checked_fixture(t, set_up, tear_down);
    tcase_add_test(t, a_worker_that_joins_gets_its_share_and_calls_go_on);
    tcase_add_test(t, a_worker_that_stops_hands_over_and_ends_in_order);
    tcase_add_loop_test(t, a_partition_that_is_handed_over_begins_what_it_waits_for, 0, 3);
    tcase_add_test(t, a_hand_over_that_does_not_drain_is_called_off_and_tried_again);
    tcase_add_test(t, a_killed_worker_is_taken_over);
    tcase_add_test(t, a_killed_worker_process_is_started_again);
    tcase_add_test(t, a_worker_that_was_paused_changes_nothing_any_more);
    if (!sup_is_wrapped()) { /* interrupts calls, or crashes */
        tcase_add_test(t, a_second_request_to_stop_ends_it_sooner_and_loses_nothing);
        tcase_add_loop_test(t, a_call_that_kills_its_process_is_given_up_alone, 0, 4);
    }
    tcase_add_test(t, a_worker_that_has_lost_a_partition_makes_no_calls_from_it);
    tcase_add_test(t, copies_of_a_call_that_is_done_leave_its_stream);
    tcase_add_loop_test(t, a_call_that_arrives_when_a_resent_copy_is_done_does_not_run, 0, 2);
    tcase_add_loop_test(t, a_call_that_later_ones_have_overtaken_is_refused, 0, 2);
    tcase_add_loop_test(t, code_that_blocks_is_named, 0, 2);
    tcase_add_test(t, ping_and_cancel_do_not_wait_behind_work);
    tcase_add_test(t, bull_308_code_that_blocks_all_threads_keeps_its_partitions);
    tcase_add_test(t, bullmq_3183_code_that_blocks_the_loop_keeps_its_partitions);
    tcase_add_test(t, celery_2599_a_call_of_several_lease_times_runs_once);
    tcase_add_test(t, celery_5935_a_call_that_waits_several_lease_times_for_its_time_runs_once);
    suite_add_tcase(s, t);
    return sup_suite_run(s);
}
