/*
 * check_floods.c: many requests of one client cost worker and Redis a bounded amount: one read for
 * all waiters of a result, one push to each of them, pauses between runs and probes, bounded memory
 * and loop iterations. Tests compare what Redis has counted, and never measure speed.
 */
#include "load.h"
#include "support/placing.h"
#include "support/suite.h"
#include "value/buf.h"
#include "value/hash.h"
#include "value/hex.h"
#include "value/msg.h"
#include "value/value.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MIB = 1024 * 1024, LONG_MS = 3600000, LISTENERS = 10000, PARTITIONS = 128, CAPACITY = 2 };

static const char sender[] = "5e4d000000000000";
static sup_redis *redis;
static asq *h;
static asq_agent *holder;
static uint32_t part; /* partition of the holder */
static char *begun, *release;
static pid_t worker;
/* Subscriber to the channels of the clients that this test invents. A count of PUBLISH would
 * include the heartbeats that workers announce. */
static redisContext *ear;

static void start_worker(void)
{
    asq_worker_options options = ASQ_WORKER_OPTIONS_INIT;

    options.id = "w";
    options.capacity = CAPACITY;
    options.lease_time_ms = LONG_MS;
    worker = load_worker(sup_redis_url(redis), &options);
}

static void set_up(void)
{
    redis = sup_redis_start(NULL);
    h = load_open(sup_redis_url(redis));
    start_worker();
    ck_assert_int_eq(asq_create(h, "Echo", "{one}", &holder, NULL), 0);
    ck_assert_int_eq(asq_ready(holder, sup_limit_ms()), 0);
    part = asq__partition_of("{one}", 5, PARTITIONS);
    begun = sup_path("begun");
    release = sup_path("release");
}

static void tear_down(void)
{
    free(begun);
    free(release);
    asq_agent_free(holder);
    asq_close(h);
    load_worker_stop(worker);
    redisFree(ear);
    ear = NULL;
    sup_redis_free(redis);
}

/* Returns how often a command was called, by clients and scripts. */
static int64_t calls(const char *command)
{
    char line[64];

    snprintf(line, sizeof line, "cmdstat_%s:", command);
    return sup_redis_stat(redis, "commandstats", line, "calls=");
}

static int64_t sent_by_redis(void)
{
    return sup_redis_stat(redis, "stats", "total_net_output_bytes:", "total_net_output_bytes:");
}

static void listen_to_pushes(void)
{
    void *reply = NULL;

    ear = redisConnectUnix(sup_redis_socket(redis));
    ck_assert(ear && !ear->err);
    ck_assert_int_eq(
        redisAppendCommand(ear, "PSUBSCRIBE asq:{default}:c:00000000* asq:{default}:c:%s", sender),
        REDIS_OK);
    for (int i = 0; i < 2; i++) {
        ck_assert_int_eq(redisGetReply(ear, &reply), REDIS_OK);
        freeReplyObject(reply);
    }
}

/* Returns the number of pushes to them since the last call. */
static int64_t pushes(void)
{
    static const char end[] = "asq:{default}:c:00000000-end";
    int64_t n = -1;
    bool ends;

    sup_redis_do(redis, "PUBLISH %s x", end);
    do {
        redisReply *reply = NULL;
        ck_assert_int_eq(redisGetReply(ear, (void **) &reply), REDIS_OK);
        ck_assert_uint_eq(reply->elements, 4);
        ends = strcmp(reply->element[2]->str, end) == 0;
        freeReplyObject(reply);
        n++;
    } while (!ends);
    return n;
}

static void check_pushes(int64_t wanted)
{
    int64_t n = 0;

    sup_wait_until((n += pushes()) >= wanted);
    ck_assert_int_eq(n + pushes(), wanted);
}

static bool stream_is_empty(void)
{
    return sup_redis_int(redis, "XLEN asq:{default.%u}:jobs", part) == 0;
}

static void batch_id(uint8_t id[ASQ__BATCH_ID], uint32_t n)
{
    memset(id, 0xf1, ASQ__BATCH_ID);
    memcpy(id, &n, sizeof n);
}

static char *hex(const uint8_t id[ASQ__BATCH_ID])
{
    char *text = malloc(2 * ASQ__BATCH_ID + 1);
    *asq__hex(text, id, ASQ__BATCH_ID) = '\0';
    return text;
}

static char *call_id(const uint8_t batch[ASQ__BATCH_ID])
{
    struct asq__call_id id = { .partition = part };
    char text[ASQ__CALL_ID_TEXT];

    memcpy(id.batch, batch, ASQ__BATCH_ID);
    asq__call_id_format(&id, text);
    return sup_format("%s", text);
}

static void add(const struct asq__buf *batch)
{
    sup_redis_do(redis, "XADD asq:{default.%u}:jobs * call x batch %b", part, batch->data,
                 batch->len);
}

/* Adds an entry of n jobs that ask for the same call, on behalf of one client. */
static void await(const uint8_t target[ASQ__BATCH_ID], const char *client, int n,
                  struct asq__buf *out)
{
    static uint32_t number = 1000000;
    char *call = call_id(target);
    struct asq__job job = { .kind = ASQUEUE__JOB_KIND__AWAIT, .target = call };
    uint8_t id[ASQ__BATCH_ID];

    batch_id(id, number++);
    asq__buf_init(out, MIB);
    asq__batch_head(id, client, 0, out);
    for (int i = 0; i < n; i++)
        ck_assert_int_eq(asq__job_encode(&job, out), 0);
    free(call);
}

/* Adds entries of `clients` clients in one step; each asks `times` times. A batch begins with
 * its id. */
static void await_by_many(const uint8_t target[ASQ__BATCH_ID], int clients, int times)
{
    struct asq__buf b;
    const char *at;

    await(target, sender, 1, &b);
    ck_assert_ptr_nonnull(at = memmem(b.data, b.len, sender, strlen(sender)));
    size_t before = (size_t) (at - (const char *) b.data), behind = before + strlen(sender);
    sup_redis_do(
        redis, "EVAL %s 1 asq:{default.%u}:jobs %b %b %d %d",
        "for t = 1, ARGV[4] do for i = 1, ARGV[3] do "
        "redis.call('XADD', KEYS[1], '*', 'call', 'x', 'batch', string.sub(ARGV[1], 1, 2) .. "
        "string.format('%016x', 100000 * t + i) .. string.sub(ARGV[1], 19) .. "
        "string.format('%016x', i) .. ARGV[2]) end end",
        part, b.data, before, (const char *) b.data + behind, b.len - behind, clients, times);
    asq__buf_release(&b);
}

/* ---- results with many waiters ---- */

/* A finished result of 1 MiB (0) or of some bytes (1) is read once, however often one entry asks
 * for it, and only as much is read as is pushed. */
START_TEST(a_result_is_read_once_for_all_who_ask)
{
    uint8_t id[ASQ__BATCH_ID];
    size_t n = _i ? 100 : MIB;
    char *record = calloc(1, n), *name;
    struct asq__buf b;

    batch_id(id, 1);
    name = hex(id);
    sup_redis_do(redis, "SET asq:{default.%u}:r:%s %b", part, name, record, n);
    await(id, sender, 400, &b);
    int64_t reads = calls("getrange"), lengths = calls("strlen"), wholes = calls("get"),
            bytes = sent_by_redis();
    listen_to_pushes();
    add(&b);
    sup_wait_until(stream_is_empty());
    check_pushes(1);
    ck_assert_int_eq(calls("getrange"), reads + 1);
    ck_assert_int_le(calls("strlen"), lengths + 1);
    ck_assert_int_eq(calls("get"), wholes);
    ck_assert_int_lt(sent_by_redis() - bytes, MIB / 2);
    asq__buf_release(&b);
    free(record);
    free(name);
}
END_TEST

/* Clients whose entries came together share one read. */
START_TEST(clients_that_ask_together_share_a_read)
{
    enum { CLIENTS = 60 };
    uint8_t id[ASQ__BATCH_ID];
    char *name;

    batch_id(id, 1);
    name = hex(id);
    sup_redis_do(redis, "SET asq:{default.%u}:r:%s some", part, name);
    int64_t reads = calls("getrange"), n_pushes = 0;
    listen_to_pushes();
    await_by_many(id, CLIENTS, 3);
    sup_wait_until((n_pushes += pushes()) >= CLIENTS);
    sup_wait_until(stream_is_empty());
    /* There is one read, and another one for requests that came after its answer. */
    ck_assert_int_le(calls("getrange"), reads + CLIENTS / 4);
    free(name);
}
END_TEST

/* When the call is running, each client is notified once, however often it has asked; clients above
 * the limit poll by themselves. */
START_TEST(each_of_many_listeners_is_told_once)
{
    static const int clients[] = { 5, 300, LISTENERS + 200 };
    int n = clients[_i], n_pushes = n < LISTENERS ? n : LISTENERS;
    uint8_t id[ASQ__BATCH_ID];
    asq_value *args = asq_pack("[s, s]", begun, release);
    struct asq__job job = {
        .kind = ASQUEUE__JOB_KIND__CALL, .agent = "{one}", .method = "hold", .args = args
    };
    struct asq__buf b;

    batch_id(id, 1);
    asq__buf_init(&b, MIB);
    asq__batch_head(id, "", 0, &b); /* in no client's name */
    ck_assert_int_eq(asq__job_encode(&job, &b), 0);
    add(&b);
    sup_wait_until(access(begun, F_OK) == 0);
    await_by_many(id, n, 2);
    sup_wait_until(sup_redis_int(redis, "XLEN asq:{default.%u}:jobs", part) == 1);
    listen_to_pushes();
    free(sup_write_file("release", ""));
    sup_wait_until(stream_is_empty());
    check_pushes(n_pushes);
    asq__buf_release(&b);
    asq_value_free(args);
}
END_TEST

/* ---- floors ---- */

/* The policy has no delay, but the n-th run waits for n / 4 ms, so many runs take long. */
START_TEST(retries_without_a_delay_have_a_floor)
{
    enum { RUNS = 80 };
    const asq_retry retry = { ASQ_RETRY_INIT, .attempts = UINT32_MAX };
    asq_call_options options = ASQ_CALL_OPTIONS_INIT;
    asq_agent *a;
    asq_result *r;
    int64_t least_ms = 0, runs = 0;

    ck_assert_int_eq(asq_create(h, "Counter", "{one}c", &a, "{s:i}", "value", 0), 0);
    ck_assert_int_eq(asq_ready(a, sup_limit_ms()), 0);
    options.retry = &retry;
    int64_t since = sup_now_ms();
    ck_assert_int_eq(asq_callv(a, "digit", &options, asq_pack("[i, I]", 1, (int64_t) LONG_MS), &r),
                     0);
    ck_assert_int_eq(asq_flush(h, sup_limit_ms()), 0);
    while (runs < RUNS) {
        char *value = sup_redis_str(redis, "EVAL %s 1 asq:{default.%u}:attempts",
                                    "return redis.call('HVALS', KEYS[1])[1]", part);
        runs = value ? strtoll(value, NULL, 10) : 0;
        free(value);
        if (sup_now_ms() > since + sup_limit_ms() * 10)
            sup_fail("it is not run again and again");
    }
    int64_t took_ms = sup_now_ms() - since;
    for (int64_t i = 1; i < RUNS; i++)
        least_ms += i / 4 > 1 ? i / 4 : 1;
    ck_assert_int_ge(took_ms, least_ms * 8 / 10); /* timers are rounded */
    ck_assert_int_eq(asq_result_cancel(r), 0);
    ck_assert_int_eq(asq_result_wait(r, sup_limit_ms()), ASQ_ECANCELED);
    asq_result_free(r);
    asq_agent_free(a);
}
END_TEST

/* Returns the id of the last entry that the partition's stream was ever given. */
static char *last_entry(uint32_t p)
{
    static const char script[] =
        "local info = redis.call('XINFO', 'STREAM', KEYS[1]) "
        "for i = 1, #info, 2 do if info[i] == 'last-generated-id' then return info[i + 1] end end";

    return sup_redis_str(redis, "EVAL %s 1 asq:{default.%u}:jobs", script, p);
}

static bool is_owned_by(uint32_t partition, const char *process)
{
    char *owner = sup_redis_str(redis, "HGET asq:{default.%u}:lease owner", partition);
    bool is = owner && strcmp(owner, process) == 0;

    free(owner);
    return is;
}

/* Returns whether every partition has reached its final owner, with both workers running. Sets the
 * partition of the other worker. */
static bool are_placed(bool others[PARTITIONS])
{
    const struct asq__place_worker workers[] = { { "w.0", CAPACITY, 0 },
                                                 { "other.0", CAPACITY, 0 } };
    uint32_t owners[PARTITIONS];

    ck_assert_int_eq(sup_place(workers, 2, PARTITIONS, NULL, owners), 0);
    for (uint32_t p = 0; p < PARTITIONS; p++) {
        if (!is_owned_by(p, workers[owners[p]].id))
            return false;
        others[p] = owners[p] == 1;
    }
    return true;
}

/* Calls arrive all the time at an agent that waits for a call in another worker. Its probes have
 * pauses between them. */
START_TEST(probes_have_a_floor)
{
    enum { PROBES = 8, LEAST_MS = 20 + 40 + 80 + 4 * 160 };
    asq_worker_options options = ASQ_WORKER_OPTIONS_INIT;
    asq_agent *relay = NULL, *far = NULL;
    asq_result *r;
    char id[32];
    bool others[PARTITIONS];

    options.id = "other";
    options.capacity = CAPACITY;
    options.lease_time_ms = LONG_MS;
    pid_t other = load_worker(sup_redis_url(redis), &options);
    sup_wait_until(sup_redis_workers(redis, "default") == 2);
    ck_assert_int_eq(asq_create(h, "Relay", "{one}relay", &relay, NULL), 0);
    ck_assert_int_eq(asq_ready(relay, sup_limit_ms()), 0);
    sup_wait_until(are_placed(others));
    for (int i = 0; !far; i++) {
        snprintf(id, sizeof id, "far%d", i);
        if (others[asq__partition_of(id, strlen(id), PARTITIONS)] != others[part])
            ck_assert_int_eq(asq_create(h, "Echo", id, &far, NULL), 0);
    }
    ck_assert_int_eq(asq_ready(far, sup_limit_ms()), 0);
    ck_assert_int_eq(
        asq_callv(relay, "call", NULL,
                  asq_pack("[a, s, o]", far, "hold", asq_pack("[s, s]", begun, release)), &r),
        0);
    sup_wait_until(asq_poll(h, 5) >= 0 && access(begun, F_OK) == 0);
    uint32_t p = asq__partition_of(id, strlen(id), PARTITIONS);
    char *last = last_entry(p), *now;
    int probes = 0;
    int64_t since = sup_now_ms();
    while (probes < PROBES) {
        ck_assert_int_eq(asq_send(relay, "me", NULL), 0);
        ck_assert_int_ge(asq_poll(h, 1), 0);
        now = last_entry(p);
        probes += strcmp(now, last) != 0; /* no other sender writes to that partition */
        free(last);
        last = now;
        if (sup_now_ms() > since + sup_limit_ms() * 10)
            sup_fail("nothing is asked about who is waited for");
    }
    free(last);
    ck_assert_int_ge(sup_now_ms() - since, LEAST_MS * 8 / 10);
    free(sup_write_file("release", ""));
    ck_assert_int_eq(asq_result_wait(r, sup_limit_ms()), 0);
    asq_result_free(r);
    asq_agent_free(relay);
    asq_agent_free(far);
    load_worker_stop(other);
}
END_TEST

/* ---- bounds ---- */

/* Calls of other callers skip a call whose inputs are awaited, as far as one scan of the mailbox
 * goes. Each new call causes one scan. */
START_TEST(a_look_into_a_mailbox_is_bounded)
{
    enum { SEEN = 256 };
    asq *other = load_open(sup_redis_url(redis));
    asq_agent *a, *same, *behind;
    asq_result *input, *waits, *near, *far;

    ck_assert_int_eq(asq_create(h, "Echo", "{one}a", &a, NULL), 0);
    ck_assert_int_eq(asq_ready(a, sup_limit_ms()), 0);
    ck_assert_int_eq(asq_attach(other, "{one}a", &same), 0);
    ck_assert_int_eq(asq_call(holder, "hold", &input, "[s, s]", begun, release), 0);
    sup_wait_until(asq_poll(h, 5) >= 0 && access(begun, F_OK) == 0);
    ck_assert_int_eq(asq_call(a, "first", &waits, "[r]", input), 0);
    for (int i = 0; i < SEEN / 2; i++)
        ck_assert_int_eq(asq_send(a, "nothing", NULL), 0);
    ck_assert_int_eq(asq_flush(h, sup_limit_ms()), 0);
    ck_assert_int_eq(asq_call(same, "nothing", &near, NULL), 0);
    ck_assert_int_eq(asq_result_wait(near, sup_limit_ms()), 0);
    for (int i = 0; i < SEEN; i++)
        ck_assert_int_eq(asq_send(a, "nothing", NULL), 0);
    ck_assert_int_eq(asq_flush(h, sup_limit_ms()), 0);
    ck_assert_int_eq(asq_call(same, "nothing", &far, NULL), 0);
    ck_assert_int_eq(asq_flush(other, sup_limit_ms()), 0);
    /* A later call to another agent has been served. */
    ck_assert_int_eq(asq_create(other, "Echo", "{one}z", &behind, NULL), 0);
    ck_assert_int_eq(asq_call_wait(behind, "nothing", NULL, NULL), 0);
    ck_assert(!asq_result_done(far));
    asq_result_free(near);
    free(sup_write_file("release", ""));
    ck_assert_int_eq(asq_result_wait(waits, sup_limit_ms()), 0);
    ck_assert_int_eq(asq_result_wait(far, sup_limit_ms()), 0);
    asq_result_free(far);
    asq_result_free(waits);
    asq_result_free(input);
    asq_agent_free(a);
    asq_agent_free(same);
    asq_agent_free(behind);
    asq_close(other);
}
END_TEST

/* All calls could run in one loop iteration when the awaited call ends, but commits leave in
 * between. */
START_TEST(a_turn_of_the_loop_starts_no_more_than_some_calls)
{
    enum { CALLS = 8192, STARTS = 1024 };
    asq_result *held;

    ck_assert_int_eq(asq_call(holder, "hold", &held, "[s, s]", begun, release), 0);
    sup_wait_until(asq_poll(h, 5) >= 0 && access(begun, F_OK) == 0);
    for (int i = 0; i < CALLS; i++)
        ck_assert_int_eq(asq_send(holder, "all", "[i]", i), 0);
    ck_assert_int_eq(asq_flush(h, sup_limit_ms()), 0);
    /* All were read, because a call to another agent behind them has run. */
    asq_agent *other;
    ck_assert_int_eq(asq_create(h, "Echo", "{one}other", &other, NULL), 0);
    ck_assert_int_eq(asq_ready(other, sup_limit_ms()), 0);
    int64_t seq = sup_redis_int(redis, "HGET asq:{default.%u}:lease seq", part);
    free(sup_write_file("release", ""));
    sup_wait_until(asq_poll(h, 5) >= 0 && stream_is_empty());
    ck_assert_int_ge(sup_redis_int(redis, "HGET asq:{default.%u}:lease seq", part) - seq,
                     CALLS / (2 * STARTS));
    ck_assert_int_eq(asq_result_wait(held, sup_limit_ms()), 0);
    asq_result_free(held);
    asq_agent_free(other);
}
END_TEST

/* All concurrent calls of one agent, with large results, could run when the awaited call ends.
 * Neither their runs nor their commits are all in memory at once. */
START_TEST(a_burst_of_large_results_is_committed_in_turns)
{
    enum { CALLS = 512 };
    asq_value *args = asq_pack("[i]", MIB);
    struct asq__job job = {
        .kind = ASQUEUE__JOB_KIND__CALL, .agent = "{one}", .method = "together", .args = args
    };
    asq_result *held;

    ck_assert_int_eq(asq_call(holder, "hold", &held, "[s, s]", begun, release), 0);
    sup_wait_until(asq_poll(h, 5) >= 0 && access(begun, F_OK) == 0);
    for (uint32_t i = 0; i < CALLS; i++) { /* sends: no waiter for results */
        uint8_t id[ASQ__BATCH_ID];
        struct asq__buf b;
        batch_id(id, i + 1);
        asq__buf_init(&b, MIB);
        asq__batch_head(id, "", 0, &b);
        ck_assert_int_eq(asq__job_encode(&job, &b), 0);
        add(&b);
        asq__buf_release(&b);
    }
    asq_agent *other;
    ck_assert_int_eq(asq_create(h, "Echo", "{one}other", &other, NULL), 0);
    ck_assert_int_eq(asq_ready(other, sup_limit_ms()), 0);
    free(sup_write_file("release", ""));
    sup_wait_until(asq_poll(h, 5) >= 0 && stream_is_empty());
    int64_t peak_kb = sup_redis_worker_peak_kb(redis, "w.0");
    ck_assert_int_gt(peak_kb, 0);
    /* Commits of 16 MiB may wait, and 20 calls run. Sanitizers keep freed memory. All results at
     * once would take twice CALLS MiB. */
    if (!sup_is_wrapped() && !SUP_SANITIZED)
        ck_assert_int_lt(peak_kb, CALLS / 2 * (int64_t) MIB / 1024);
    asq_value_free(args);
    asq_result_free(held);
    asq_agent_free(other);
}
END_TEST

int main(void)
{
    if (!sup_redis_available())
        return sup_skip("no redis-server");
    Suite *s = suite_create("floods");
    TCase *t = tcase_create("floods");

    tcase_add_checked_fixture(t, set_up, tear_down);
    tcase_add_loop_test(t, a_result_is_read_once_for_all_who_ask, 0, 2);
    tcase_add_test(t, clients_that_ask_together_share_a_read);
    tcase_add_loop_test(t, each_of_many_listeners_is_told_once, 0, 3);
    tcase_add_test(t, retries_without_a_delay_have_a_floor);
    tcase_add_test(t, probes_have_a_floor);
    tcase_add_test(t, a_look_into_a_mailbox_is_bounded);
    tcase_add_test(t, a_turn_of_the_loop_starts_no_more_than_some_calls);
    tcase_add_test(t, a_burst_of_large_results_is_committed_in_turns);
    suite_add_tcase(s, t);
    return sup_suite_run(s);
}
