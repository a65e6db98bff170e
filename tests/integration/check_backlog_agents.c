/*
 * check_backlog_agents.c: more calls wait for one agent than a worker holds in memory. The other
 * agents of its partition are served meanwhile. When the agent goes on, its calls run once each,
 * and in order.
 */
#include "load.h"
#include "support/suite.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    SENDERS = 2,
    EACH = 2500,
    OTHERS = 8,
    SMALL = 100000,
    LARGE = 256 * 1024,
    MIB = 1024 * 1024
};

static sup_redis *redis;
static asq *senders[SENDERS], *h; /* h is the first */
static asq_agent *slow[SENDERS], *others[OTHERS];
static asq_result *results[SENDERS][EACH], *hold;
static char *begun, *go;
static char *padding;

static void set_up(void)
{
    asq_options options = ASQ_OPTIONS_INIT;
    char err[300] = "";

    options.partitions = 1; /* the partition of all of them */
    options.timeout_ms = 6 * sup_limit_ms();
    redis = sup_redis_start(NULL);
    for (int s = 0; s < SENDERS; s++)
        ck_assert_msg(load_asq_open(sup_redis_url(redis), &options, &senders[s], err, sizeof err) ==
                          0,
                      "%s", err);
    h = senders[0];
    begun = sup_path("begun");
    go = sup_path("go");
    padding = calloc(1, LARGE);
    ck_assert_int_eq(asq_create(h, "Journal", "slow", &slow[0], "{s:i}", "limit", 100000), 0);
    ck_assert_int_eq(asq_attach(senders[1], "slow", &slow[1]), 0);
    for (int i = 0; i < OTHERS; i++) {
        char *id = sup_format("other%d", i);
        ck_assert_int_eq(asq_create(h, "Counter", id, &others[i], NULL), 0);
        free(id);
    }
    ck_assert_int_eq(asq_flush(h, sup_limit_ms()), 0);
}

static void tear_down(void)
{
    for (int s = 0; s < SENDERS; s++) {
        for (int i = 0; i < EACH; i++)
            asq_result_free(results[s][i]);
        asq_agent_free(slow[s]);
    }
    asq_result_free(hold);
    for (int i = 0; i < OTHERS; i++)
        asq_agent_free(others[i]);
    for (int s = 0; s < SENDERS; s++)
        asq_close(senders[s]);
    sup_redis_free(redis);
    free(begun);
    free(go);
    free(padding);
}

static pid_t start(const char *id, size_t bytes)
{
    asq_worker_options options = ASQ_WORKER_OPTIONS_INIT;

    options.max_backlog_size = bytes;
    options.lease_time_ms = 1000;
    options.id = id;
    return load_worker(sup_redis_url(redis), &options);
}

static void make(const char *path)
{
    FILE *f = fopen(path, "w");

    ck_assert_ptr_nonnull(f);
    fclose(f);
}

static void poll_all(void)
{
    for (int s = 0; s < SENDERS; s++)
        asq_poll(senders[s], 1);
}

static bool is_holding(void)
{
    poll_all();
    return access(begun, F_OK) == 0;
}

/* The slow agent is occupied until the file `go` is there. */
static void occupy(void)
{
    ck_assert_int_eq(asq_call(slow[0], "hold", &hold, "[s, s]", begun, go), 0);
    sup_wait_until(is_holding());
}

static void flush_all(void)
{
    for (int s = 0; s < SENDERS; s++)
        ck_assert_int_eq(asq_flush(senders[s], 2 * sup_limit_ms()), 0);
}

/* Returns the item that the n-th call of a sender puts into the journal. */
static int item(int sender, int n)
{
    return sender * EACH + n;
}

static void push(int s, int i)
{
    ck_assert_int_eq(asq_call(slow[s], "push", &results[s][i], "[i]", item(s, i)), 0);
}

/* Each call has an entry of its own; the senders take turns. */
static void push_small(int n)
{
    for (int i = 0; i < n; i++)
        for (int s = 0; s < SENDERS; s++)
            push(s, i);
    flush_all();
}

/* Each of the other agents answers as often. */
static void call_others(int first, int times)
{
    int64_t value;

    for (int n = first; n < first + times; n++)
        for (int i = 0; i < OTHERS; i++) {
            asq_value *ret;
            ck_assert_msg(asq_call_wait(others[i], "add", &ret, "[i]", 1) == 0, "%d: %s", n,
                          asq_errmsg(h));
            ck_assert_int_eq(asq_value_get_int(ret, &value), 0);
            ck_assert_int_eq(value, n + 1);
            asq_value_free(ret);
        }
}

/* Many calls to each of the other agents wait at the same time. */
static void call_others_at_once(int first)
{
    enum { BURST = 50 };
    asq_result *burst[OTHERS][BURST];
    int64_t value;

    for (int n = 0; n < BURST; n++)
        for (int i = 0; i < OTHERS; i++)
            ck_assert_int_eq(
                asq_call(others[i], n % 2 ? "add" : "add_blocking", &burst[i][n], "[i]", 1), 0);
    for (int i = 0; i < OTHERS; i++)
        for (int n = 0; n < BURST; n++) {
            ck_assert_int_eq(asq_result_int(burst[i][n], &value), 0);
            ck_assert_int_eq(value, first + n + 1);
            asq_result_free(burst[i][n]);
        }
}

/* All calls to the slow agent have run, once each, those of each sender in its order. */
static void check_journal(int n)
{
    int64_t next[SENDERS] = { 0 }, value;
    asq_value *items;

    for (int s = 0; s < SENDERS; s++)
        ck_assert_int_eq(asq_wait_all(results[s], (size_t) n, 4 * sup_limit_ms()), 0);
    for (int s = 0; s < SENDERS; s++)
        for (int i = 0; i < n; i++)
            ck_assert_msg(asq_result_error(results[s][i])->code == 0, "%d of %d: %s", i, s,
                          asq_result_error(results[s][i])->message);
    ck_assert_int_eq(asq_call_wait(slow[0], "items", &items, NULL), 0);
    ck_assert_int_eq(asq_list_size(items), SENDERS * n);
    for (int i = 0; i < SENDERS * n; i++) {
        ck_assert_int_eq(asq_value_get_int(asq_list_get(items, (size_t) i), &value), 0);
        ck_assert_int_eq(value % EACH, next[value / EACH]++);
    }
    asq_value_free(items);
    sup_wait_until(sup_redis_int(redis, "XLEN asq:{default.0}:jobs") == 0);
}

START_TEST(small_calls_to_one_agent_keep_no_other_waiting)
{
    pid_t worker = start("w", SMALL);

    occupy();
    push_small(EACH);
    call_others(0, 20);
    call_others_at_once(20);
    make(go);
    check_journal(EACH);
    call_others(70, 1);
    load_worker_stop(worker);
}
END_TEST

/* Each batch has calls to the slow agent and to others. */
START_TEST(calls_that_share_a_batch_with_them_are_served)
{
    enum { TURNS = EACH / OTHERS };
    static asq_result *mixed[TURNS][OTHERS];
    int64_t value;
    pid_t worker = start("w", SMALL);

    occupy();
    for (int t = 0; t < TURNS; t++) {
        asq_cork(h);
        for (int i = 0; i < OTHERS; i++) {
            push(0, t * OTHERS + i);
            ck_assert_int_eq(asq_call(others[i], "add", &mixed[t][i], "[i]", 1), 0);
        }
        ck_assert_int_eq(asq_uncork(h), 0);
        for (int i = 0; i < OTHERS; i++)
            push(1, t * OTHERS + i);
    }
    flush_all();
    for (int t = 0; t < TURNS; t++)
        for (int i = 0; i < OTHERS; i++) {
            ck_assert_int_eq(asq_result_int(mixed[t][i], &value), 0);
            ck_assert_int_eq(value, t + 1);
            asq_result_free(mixed[t][i]);
        }
    ck_assert_int_eq(asq_result_done(hold), 0);
    make(go);
    check_journal(TURNS * OTHERS);
    call_others(TURNS, 1);
    load_worker_stop(worker);
}
END_TEST

START_TEST(large_calls_to_one_agent_keep_no_other_waiting)
{
    enum { N = 40 };
    pid_t worker = start("w", MIB);

    occupy();
    for (int i = 0; i < N; i++)
        for (int s = 0; s < SENDERS; s++)
            ck_assert_int_eq(asq_call(slow[s], "push_padded", &results[s][i], "[i, y#]", item(s, i),
                                      padding, (size_t) LARGE),
                             0);
    flush_all();
    call_others(0, 10);
    /* So does the next owner. */
    load_worker_kill(worker);
    unlink(begun);
    worker = start("w2", MIB);
    sup_wait_until(is_holding());
    call_others(10, 10);
    make(go);
    check_journal(N);
    load_worker_stop(worker);
}
END_TEST

START_TEST(what_waits_for_one_agent_takes_bounded_memory)
{
    enum { N = 300 }; /* 75 MiB */
    asq_result *sleeper;
    asq_agent *echo;
    sup_proc *worker = sup_worker_start(sup_redis_url(redis), "--agent-dir", sup_agent_dir(),
                                        "--id", "w", "--max-backlog-size", "4M", NULL);

    ck_assert_int_eq(asq_create(h, "Echo", "sleepy", &echo, NULL), 0);
    ck_assert_int_eq(asq_call(echo, "sleep", &sleeper, "[i]", 3600000), 0);
    for (int i = 0; i < N; i++) {
        ck_assert_int_eq(asq_call(echo, "echo", &results[0][i], "[y#]", padding, (size_t) LARGE),
                         0);
        if (i % 50 == 49)
            call_others(i / 50, 1);
    }
    ck_assert_int_gt(sup_redis_worker_peak_kb(redis, "w.0"), 0);
    if (!sup_is_wrapped() && !SUP_SANITIZED) /* sanitizers keep freed memory */
        ck_assert_int_lt(sup_redis_worker_peak_kb(redis, "w.0"), N / 4 * 3 * (LARGE / 1024));
    ck_assert_int_eq(asq_result_cancel(sleeper), 0);
    ck_assert_int_eq(asq_wait_all(results[0], N, 4 * sup_limit_ms()), 0);
    for (int i = 0; i < N; i++)
        ck_assert_int_eq(asq_result_error(results[0][i])->code, 0);
    if (!sup_is_wrapped() && !SUP_SANITIZED)
        ck_assert_int_lt(sup_redis_worker_peak_kb(redis, "w.0"), N / 4 * 3 * (LARGE / 1024));
    asq_result_free(sleeper);
    asq_agent_free(echo);
    ck_assert_int_eq(sup_proc_stop(worker), 0);
    sup_proc_free(worker);
}
END_TEST

START_TEST(the_next_owner_serves_the_others_and_loses_nothing)
{
    pid_t worker = start("w", SMALL), second;

    occupy();
    push_small(EACH / 2);
    call_others(0, 3);
    second = start("second", SMALL); /* owns nothing yet */
    load_worker_kill(worker);
    unlink(begun);
    sup_wait_until(is_holding());
    for (int i = EACH / 2; i < EACH; i++)
        for (int s = 0; s < SENDERS; s++)
            push(s, i);
    call_others(3, 3);
    worker = start("third", SMALL); /* joins, and may be given the partition */
    call_others(6, 3);
    make(go);
    poll_all();
    load_worker_kill(second); /* while the agent goes on */
    check_journal(EACH);
    call_others(9, 1);
    load_worker_stop(worker);
}
END_TEST

/* Every third of the deferred calls is cancelled. Some of them are alone in their batch, others
 * not. */
START_TEST(calls_that_are_left_can_be_cancelled)
{
    enum { N = 1000 };
    asq_result *alone[N], *with[N], *other[N];
    asq_value *items;
    size_t n = 0;
    pid_t worker = start("w", SMALL);

    occupy();
    push_small(500);
    for (int i = 0; i < N; i++) {
        ck_assert_int_eq(asq_call(slow[0], "push", &alone[i], "[i]", i), 0);
        asq_cork(h);
        ck_assert_int_eq(asq_call(slow[0], "push", &with[i], "[i]", i), 0);
        ck_assert_int_eq(asq_call(others[i % OTHERS], "add", &other[i], "[i]", 1), 0);
        ck_assert_int_eq(asq_uncork(h), 0);
    }
    ck_assert_int_eq(asq_wait_all(other, N, 2 * sup_limit_ms()), 0);
    for (int i = 0; i < N; i += 3) {
        ck_assert_int_eq(asq_result_cancel(alone[i]), 0);
        ck_assert_int_eq(asq_result_cancel(with[i]), 0);
    }
    ck_assert_int_eq(asq_flush(h, sup_limit_ms()), 0);
    call_others(N / OTHERS, 1); /* behind the cancellations */
    /* A call whose entry is in memory, because another call of it runs, ends at once. */
    asq_result *beside, *in_memory;
    asq_agent *journal;
    char *begun_too = sup_path("begun_too");
    ck_assert_int_eq(asq_create(h, "Journal", NULL, &journal, "{s:i}", "limit", 1), 0);
    asq_cork(h);
    ck_assert_int_eq(asq_call(slow[0], "push", &in_memory, "[i]", 1), 0);
    ck_assert_int_eq(asq_call(journal, "hold", &beside, "[s, s]", begun_too, go), 0);
    ck_assert_int_eq(asq_uncork(h), 0);
    sup_wait_until(asq_poll(h, 1) >= 0 && access(begun_too, F_OK) == 0);
    ck_assert_int_eq(asq_result_cancel(in_memory), 0);
    ck_assert_int_eq(asq_result_wait(in_memory, sup_limit_ms()), ASQ_ECANCELED);
    ck_assert(!asq_result_done(beside));
    make(go);
    ck_assert_int_eq(asq_result_wait(beside, sup_limit_ms()), 0);
    asq_result_free(beside);
    asq_result_free(in_memory);
    asq_agent_free(journal);
    free(begun_too);
    ck_assert_int_eq(asq_wait_all(alone, N, 2 * sup_limit_ms()), 0);
    ck_assert_int_eq(asq_wait_all(with, N, 2 * sup_limit_ms()), 0);
    for (int i = 0; i < N; i++) {
        ck_assert_int_eq(asq_result_error(alone[i])->code, i % 3 ? 0 : ASQ_ECANCELED);
        ck_assert_int_eq(asq_result_error(with[i])->code, i % 3 ? 0 : ASQ_ECANCELED);
        ck_assert_int_eq(asq_result_error(other[i])->code, 0);
        n += i % 3 ? 2 : 0;
        asq_result_free(alone[i]);
        asq_result_free(with[i]);
        asq_result_free(other[i]);
    }
    ck_assert_int_eq(asq_call_wait(slow[0], "items", &items, NULL), 0);
    for (int s = 0; s < SENDERS; s++)
        ck_assert_int_eq(asq_wait_all(results[s], 500, sup_limit_ms()), 0);
    ck_assert_int_eq(asq_list_size(items), n + 1000);
    asq_value_free(items);
    sup_wait_until(sup_redis_int(redis, "XLEN asq:{default.0}:jobs") == 0);
    load_worker_stop(worker);
}
END_TEST

START_TEST(calls_behind_a_deletion_that_is_left_find_no_agent)
{
    enum { N = 600 };
    pid_t worker = start("w", SMALL);

    occupy();
    for (int i = 0; i < N; i++)
        push(0, i);
    ck_assert_int_eq(asq_delete(slow[0], 100), ASQ_ETIMEOUT); /* waits like the others */
    for (int i = N; i < 2 * N; i++)
        push(0, i);
    call_others(0, 2);
    make(go);
    ck_assert_int_eq(asq_wait_all(results[0], 2 * N, 2 * sup_limit_ms()), 0);
    for (int i = 0; i < 2 * N; i++)
        ck_assert_int_eq(asq_result_error(results[0][i])->code, i < N ? 0 : ASQ_ENOAGENT);
    sup_wait_until(sup_redis_int(redis, "XLEN asq:{default.0}:jobs") == 0);
    load_worker_stop(worker);
}
END_TEST

/* A method's calls are never deferred. Here an agent with many deferred calls goes on when one of a
 * method's calls is done. */
START_TEST(methods_call_the_agent_whose_calls_are_left)
{
    asq_agent *ring, *relay;
    asq_result *outer;
    int64_t value;
    pid_t worker = start("w", SMALL);

    ck_assert_int_eq(asq_create(h, "Relay", "ring", &ring, NULL), 0);
    ck_assert_int_eq(asq_create(h, "Relay", "relay", &relay, NULL), 0);
    ck_assert_int_eq(asq_call(ring, "cross", &outer, "[s, s, a, s, [a, s, [i, i]]]", begun, go,
                              relay, "call", ring, "late", 0, 0),
                     0);
    sup_wait_until(is_holding());
    for (int i = 0; i < EACH; i++)
        ck_assert_int_eq(asq_call(ring, "late", &results[0][i], "[i, i]", 0, 0), 0);
    flush_all();
    call_others(0, 2);
    ck_assert(!asq_result_done(outer));
    make(go);
    ck_assert_int_eq(asq_result_int(outer, &value), 0);
    ck_assert_int_eq(value, 1);
    ck_assert_int_eq(asq_wait_all(results[0], EACH, 4 * sup_limit_ms()), 0);
    for (int i = 0; i < EACH; i++)
        ck_assert_int_eq(asq_result_error(results[0][i])->code, 0);
    asq_result_free(outer);
    asq_agent_free(ring);
    asq_agent_free(relay);
    load_worker_stop(worker);
}
END_TEST

/* When the notes about deferred calls take all their memory, further calls wait, and nothing is
 * lost. Here many agents have a call that runs for long, and many more have deferred calls. */
START_TEST(what_is_not_even_noted_runs_all_the_same)
{
    enum { HOLDING = 150, MORE = 800 };
    static asq_agent *holding[HOLDING], *more[MORE];
    static asq_result *held[HOLDING], *added[MORE];
    int64_t value;
    pid_t worker = start("w", SMALL);

    occupy();
    push_small(EACH);
    for (int i = 0; i < HOLDING; i++) {
        ck_assert_int_eq(asq_create(h, "Echo", NULL, &holding[i], NULL), 0);
        ck_assert_int_eq(asq_call(holding[i], "hold", &held[i], "[s, s]", begun, go), 0);
    }
    for (int i = 0; i < MORE; i++) {
        ck_assert_int_eq(asq_create(h, "Counter", NULL, &more[i], NULL), 0);
        ck_assert_int_eq(asq_call(more[i], "add", &added[i], "[i]", i), 0);
    }
    flush_all();
    make(go);
    for (int i = 0; i < MORE; i++) {
        ck_assert_int_eq(asq_result_int(added[i], &value), 0);
        ck_assert_int_eq(value, i);
        asq_result_free(added[i]);
        asq_agent_free(more[i]);
    }
    for (int i = 0; i < HOLDING; i++) {
        ck_assert_int_eq(asq_result_wait(held[i], sup_limit_ms()), 0);
        asq_result_free(held[i]);
        asq_agent_free(holding[i]);
    }
    check_journal(EACH);
    load_worker_stop(worker);
}
END_TEST

/* ---- at random
 * -------------------------------------------------------------------------------------- */

enum { AGENTS = 12, STEPS = 150, MOST = 6000, PAD = 3000 };

/* A call to a journal; its number counts those of its sender to that agent. */
struct sent {
    asq_result *r;
    int agent, sender;
    bool canceled;
};
static struct sent all[MOST];
static asq_agent *journals[SENDERS][AGENTS];
static unsigned dice = 1;

static int roll(int n)
{
    dice = dice * 1103515245 + 12345;
    return (int) ((dice >> 16) % (unsigned) n);
}

/* The numbers of each sender grow. Each call that was not cancelled is there once. */
static void check_random(int agent, const int *sent, int n)
{
    int64_t value, last[SENDERS] = { -1, -1 };
    asq_value *items;
    bool *seen = calloc(SENDERS * 100000, 1);

    ck_assert_int_eq(asq_call_wait(journals[0][agent], "items", &items, NULL), 0);
    for (size_t i = 0; i < asq_list_size(items); i++) {
        ck_assert_int_eq(asq_value_get_int(asq_list_get(items, i), &value), 0);
        ck_assert_int_gt(value % 100000, last[value / 100000]);
        last[value / 100000] = value % 100000;
        seen[value] = true;
    }
    int number[SENDERS] = { 0 };
    for (int i = 0; i < n; i++) {
        if (all[i].agent != agent)
            continue;
        int64_t at = all[i].sender * 100000 + number[all[i].sender]++;
        int code = asq_result_error(all[i].r)->code;
        ck_assert_msg(code == 0 || (all[i].canceled && code == ASQ_ECANCELED), "call %d: %s", i,
                      asq_result_error(all[i].r)->message);
        ck_assert_int_eq(seen[at], code == 0);
    }
    for (int s = 0; s < SENDERS; s++)
        ck_assert_int_eq(number[s], sent[s]);
    asq_value_free(items);
    free(seen);
}

/* Batches with calls to any agents, naps, cancellations and deaths of the worker, in any order,
 * with hardly any memory for them. */
START_TEST(random_calls_run_once_and_in_order_beside_deaths)
{
    int sent[AGENTS][SENDERS] = { { 0 } }, n = 0;
    asq_result *naps[STEPS] = { NULL };
    pid_t worker = start("w", SMALL);

    dice = (unsigned) _i + 1;
    for (int a = 0; a < AGENTS; a++) {
        char *id = sup_format("journal%d", a);
        ck_assert_int_eq(asq_create(h, "Journal", id, &journals[0][a], "{s:i}", "limit", 100000),
                         0);
        ck_assert_int_eq(asq_attach(senders[1], id, &journals[1][a]), 0);
        free(id);
        ck_assert_int_eq(asq_ready(journals[0][a], sup_limit_ms()), 0);
    }
    for (int step = 0; step < STEPS; step++) {
        int s = roll(SENDERS), calls = 1 + roll(roll(4) ? 8 : 40), favourite = roll(AGENTS);
        if (roll(6) == 0)
            ck_assert_int_eq(asq_call(journals[s][favourite], "nap", &naps[step], "[i]", roll(400)),
                             0);
        bool corked = roll(2);
        if (corked)
            asq_cork(senders[s]);
        for (int i = 0; i < calls && n < MOST; i++, n++) {
            int a = roll(3) ? favourite : roll(AGENTS);
            all[n] = (struct sent){ .agent = a, .sender = s };
            ck_assert_int_eq(asq_call(journals[s][a], "push_padded", &all[n].r, "[i, y#]",
                                      s * 100000 + sent[a][s]++, padding,
                                      (size_t) (roll(8) ? 100 : PAD)),
                             0);
        }
        if (corked)
            ck_assert_int_eq(asq_uncork(senders[s]), 0);
        if (roll(5) == 0) {
            int victim = n - 1 - roll(n < 100 ? n : 100);
            all[victim].canceled = true;
            asq_result_cancel(all[victim].r);
        }
        poll_all();
        if (roll(STEPS / 3) == 0) {
            load_worker_kill(worker);
            worker = start(roll(2) ? "w" : "w2", SMALL);
        }
    }
    flush_all();
    for (int i = 0; i < n; i++)
        ck_assert_int_ne(asq_result_wait(all[i].r, 4 * sup_limit_ms()), ASQ_ETIMEOUT);
    for (int a = 0; a < AGENTS; a++)
        check_random(a, sent[a], n);
    for (int i = 0; i < n; i++)
        asq_result_free(all[i].r);
    for (int step = 0; step < STEPS; step++) {
        if (naps[step])
            ck_assert_int_ne(asq_result_wait(naps[step], sup_limit_ms()), ASQ_ETIMEOUT);
        asq_result_free(naps[step]);
    }
    sup_wait_until(sup_redis_int(redis, "XLEN asq:{default.0}:jobs") == 0);
    for (int a = 0; a < AGENTS; a++)
        for (int s = 0; s < SENDERS; s++)
            asq_agent_free(journals[s][a]);
    load_worker_stop(worker);
}
END_TEST

int main(void)
{
    if (!sup_redis_available())
        return sup_skip("no redis-server");
    Suite *s = suite_create("backlog_agents");
    TCase *t = tcase_create("backlog_agents");

    tcase_add_checked_fixture(t, set_up, tear_down);
    tcase_add_test(t, small_calls_to_one_agent_keep_no_other_waiting);
    tcase_add_test(t, calls_that_share_a_batch_with_them_are_served);
    tcase_add_test(t, large_calls_to_one_agent_keep_no_other_waiting);
    tcase_add_test(t, what_waits_for_one_agent_takes_bounded_memory);
    tcase_add_test(t, the_next_owner_serves_the_others_and_loses_nothing);
    tcase_add_test(t, calls_that_are_left_can_be_cancelled);
    tcase_add_test(t, calls_behind_a_deletion_that_is_left_find_no_agent);
    tcase_add_test(t, methods_call_the_agent_whose_calls_are_left);
    tcase_add_test(t, what_is_not_even_noted_runs_all_the_same);
    tcase_add_loop_test(t, random_calls_run_once_and_in_order_beside_deaths, 0, 4);
    suite_add_tcase(s, t);
    return sup_suite_run(s);
}
