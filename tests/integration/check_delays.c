/*
 * check_delays.c: calls that are due in the future wait outside of the stream: they block no other
 * call, take no memory of the worker, and run once, whatever happens to the worker meanwhile.
 * Workers whose --max-backlog-size is one byte move every delayed call out of the stream, however
 * soon it is due.
 */
#include "load.h"
#include "support/suite.h"

#include <stdlib.h>
#include <string.h>

/* LATE_MS is enough for what a test does before a call is due, also on a slow machine. */
enum { LONG_MS = 3600000, SOON_MS = 400, LATE_MS = 12000, MANY = 3000 };

static sup_redis *redis;
static asq *h;
static asq_agent *counter, *echo;

static int64_t length(const char *command, const char *kind)
{
    return sup_redis_int(redis, "%s asq:{default.0}:%s", command, kind);
}

#define JOBS  length("XLEN", "jobs")
#define LATER length("ZCARD", "later")
#define KEPT  length("HLEN", "later:jobs")

static asq_worker_options tight(void)
{
    asq_worker_options options = ASQ_WORKER_OPTIONS_INIT;

    options.max_backlog_size = 1;
    return options;
}

static pid_t tight_worker(void)
{
    asq_worker_options options = tight();

    return load_worker(sup_redis_url(redis), &options);
}

static asq *open_handle(void)
{
    asq_options options = ASQ_OPTIONS_INIT;
    char err[300] = "";
    asq *handle;

    options.partitions = 1; /* the partition in which all calls wait */
    options.timeout_ms = 4 * sup_limit_ms();
    ck_assert_msg(load_asq_open(sup_redis_url(redis), &options, &handle, err, sizeof err) == 0,
                  "%s", err);
    return handle;
}

static void set_up(void)
{
    redis = sup_redis_start(NULL);
    h = open_handle();
    ck_assert_int_eq(asq_create(h, "Counter", "c", &counter, "{s:i}", "value", 0), 0);
    ck_assert_int_eq(asq_create(h, "Echo", "e", &echo, NULL), 0);
}

static void tear_down(void)
{
    asq_agent_free(counter);
    asq_agent_free(echo);
    asq_close(h);
    sup_redis_free(redis);
}

static asq_result *delayed(asq_agent *a, const char *method, int64_t delay_ms, int64_t n)
{
    asq_call_options options = ASQ_CALL_OPTIONS_INIT;
    asq_result *r;

    options.delay_ms = delay_ms;
    ck_assert_msg(asq_callv(a, method, &options, asq_pack("[I]", n), &r) == 0, "%s", asq_errmsg(h));
    return r;
}

struct addition {
    int64_t delay_ms, n;
};

static bool are_one_batch(asq_result *const *r, int n)
{
    size_t length = (size_t) (strrchr(asq_result_id(r[0]), '-') - asq_result_id(r[0]));
    for (int i = 1; i < n; i++)
        if (strncmp(asq_result_id(r[0]), asq_result_id(r[i]), length + 1) != 0)
            return false;
    return true;
}

/* Makes calls of one batch. A batch has one time at which its calls were made: where the coarse
 * clock has moved on between two of them, they are taken back, and made again. Returns what was
 * added all the same. */
static int64_t in_one_batch(asq_result **r, const struct addition *calls, int n)
{
    int64_t added = 0;

    for (;;) {
        asq_cork(h);
        for (int i = 0; i < n; i++)
            r[i] = delayed(counter, "add", calls[i].delay_ms, calls[i].n);
        ck_assert_int_eq(asq_uncork(h), 0);
        if (are_one_batch(r, n))
            return added;
        for (int i = 0; i < n; i++)
            ck_assert_int_eq(asq_result_cancel(r[i]), 0);
        for (int i = 0; i < n; i++) {
            if (asq_result_wait(r[i], sup_limit_ms()) == 0)
                added += calls[i].n;
            asq_result_free(r[i]);
        }
    }
}

static void ready(void)
{
    ck_assert_int_eq(asq_ready(counter, sup_limit_ms()), 0);
    ck_assert_int_eq(asq_ready(echo, sup_limit_ms()), 0);
}

static int64_t value(void)
{
    int64_t n;
    asq_result *r;

    ck_assert_int_eq(asq_call(counter, "read", &r, NULL), 0);
    ck_assert_msg(asq_result_int(r, &n) == 0, "%s", asq_errmsg(h));
    asq_result_free(r);
    return n;
}

static void gives(asq_result *r, int64_t expected)
{
    int64_t n;

    ck_assert_msg(asq_result_int(r, &n) == 0, "%s", asq_errmsg(h));
    ck_assert_int_eq(n, expected);
    asq_result_free(r);
}

static void fails(asq_result *r, int code)
{
    ck_assert_int_eq(asq_result_wait(r, sup_limit_ms()), code);
    asq_result_free(r);
}

/* Waits until no key of finished calls is left. */
static void all_is_gone(void)
{
    sup_wait_until(JOBS == 0);
    ck_assert_int_eq(LATER, 0);
    ck_assert_int_eq(KEPT, 0);
    ck_assert_int_eq(length("HLEN", "attempts"), 0);
}

START_TEST(delayed_calls_stand_before_nothing_and_are_no_waiting_ones)
{
    asq_worker_options options = ASQ_WORKER_OPTIONS_INIT;
    asq_call_options call = ASQ_CALL_OPTIONS_INIT;

    options.max_backlog_size = 1024 * 1024;
    options.max_waiting = 100;
    call.delay_ms = LONG_MS;
    call.no_result = true;
    pid_t w = load_worker(sup_redis_url(redis), &options);
    ready();
    for (int i = 0; i < MANY; i++) {
        ck_assert_int_eq(asq_callv(i % 2 ? counter : echo, i % 2 ? "add" : "all", &call,
                                   asq_pack("[i]", 1), NULL),
                         0);
        if (i % 50 == 49) { /* calls on their way out of the stream still count */
            ck_assert_int_eq(asq_flush(h, sup_limit_ms()), 0);
            sup_wait_until(JOBS == 0);
        }
    }
    ck_assert_int_eq(value(), 0);
    sup_wait_until(JOBS == 0);
    ck_assert_int_eq(LATER, MANY);
    /* The next owner handles them, too. */
    load_worker_kill(w);
    w = load_worker(sup_redis_url(redis), &options);
    ck_assert_int_eq(value(), 0);
    ck_assert_int_eq(LATER, MANY);
    load_worker_stop(w);
}
END_TEST

START_TEST(what_was_sent_while_no_worker_was_there_is_no_obstacle)
{
    asq_call_options call = ASQ_CALL_OPTIONS_INIT;
    asq_worker_options options = tight();

    call.delay_ms = LONG_MS;
    call.no_result = true;
    for (int i = 0; i < MANY; i++)
        ck_assert_int_eq(asq_callv(counter, "add", &call, asq_pack("[i]", 1), NULL), 0);
    ck_assert_int_eq(asq_flush(h, sup_limit_ms()), 0);
    options.max_waiting = 1;
    pid_t w = load_worker(sup_redis_url(redis), &options);
    sup_wait_until(JOBS == 0);
    ck_assert_int_eq(LATER, MANY);
    ck_assert_int_eq(value(), 0);
    load_worker_stop(w);
}
END_TEST

START_TEST(a_call_that_has_left_the_stream_runs_once_when_it_is_due)
{
    asq_result *r[20];
    pid_t w = tight_worker();

    ready();
    for (int i = 0; i < 20; i++)
        r[i] = delayed(counter, "add", SOON_MS + 10 * i, 1);
    sup_wait_until(asq_poll(h, 0) >= 0 && JOBS == 0);
    for (int i = 0; i < 20; i++)
        gives(r[i], i + 1);
    ck_assert_int_eq(value(), 20);
    all_is_gone();
    load_worker_stop(w);
}
END_TEST

START_TEST(the_next_owner_finds_what_waits)
{
    asq_result *r[20];
    pid_t w = tight_worker();

    ready();
    for (int i = 0; i < 20; i++)
        r[i] = delayed(counter, "add", SOON_MS + 100 * i, 1);
    for (int i = 0; i < 4; i++) {
        sup_redis_wait_until(redis, asq_result_done(r[4 * i]) || asq_poll(h, 20) < 0);
        load_worker_kill(w);
        w = tight_worker();
    }
    for (int i = 0; i < 20; i++)
        ck_assert_int_eq(asq_result_wait(r[i], sup_limit_ms()), 0);
    for (int i = 0; i < 20; i++)
        asq_result_free(r[i]);
    ck_assert_int_eq(value(), 20);
    all_is_gone();
    load_worker_stop(w);
}
END_TEST

START_TEST(a_retry_waits_outside_of_the_stream_and_its_runs_are_counted)
{
    const asq_retry retry = { ASQ_RETRY_INIT, .attempts = 2, .delay_ms = LATE_MS };
    const asq_retry soon = { ASQ_RETRY_INIT, .attempts = 4, .delay_ms = SOON_MS };
    asq_call_options options = ASQ_CALL_OPTIONS_INIT;
    asq_result *r;
    pid_t w = tight_worker();

    ready();
    options.retry = &retry;
    ck_assert_int_eq(asq_callv(counter, "digit", &options, asq_pack("[i, i]", 7, 2), &r), 0);
    sup_redis_wait_until(redis, asq_poll(h, 0) >= 0 && LATER == 1 && JOBS == 0);
    ck_assert_int_eq(length("HLEN", "attempts"), 0);
    load_worker_kill(w);
    w = tight_worker();
    gives(r, 7);
    options.retry = &soon;
    ck_assert_int_eq(asq_callv(counter, "digit", &options, asq_pack("[i, i]", 7, 5), &r), 0);
    fails(r, ASQ_EUSER(9));
    all_is_gone();
    load_worker_stop(w);
}
END_TEST

START_TEST(a_batch_of_calls_due_and_not_due_is_done_piece_by_piece)
{
    static const struct addition calls[] = { { LONG_MS, 100 }, { 0, 1 }, { SOON_MS, 10 } };
    asq_result *r[3];
    int64_t added;
    pid_t w = tight_worker();

    ready();
    added = in_one_batch(r, calls, 3);
    gives(r[1], added + 1);
    gives(r[2], added + 11);
    sup_redis_wait_until(redis, LATER == 1 && JOBS == 0);
    /* Results of the batch stay as long as it is not finished. */
    char *batch = strndup(strchr(asq_result_id(r[0]), '-') + 1, 32);
    ck_assert_int_eq(sup_redis_int(redis, "PTTL asq:{default.0}:r:%s", batch), -1);
    free(batch);
    ck_assert_int_eq(asq_result_cancel(r[0]), 0);
    fails(r[0], ASQ_ECANCELED);
    ck_assert_int_eq(value(), added + 11);
    all_is_gone();
    load_worker_stop(w);
}
END_TEST

START_TEST(what_waits_can_be_cancelled_and_waited_for)
{
    static const struct addition calls[] = { { LONG_MS, 1 },
                                             { 3 * SOON_MS, 10 },
                                             { LONG_MS, 100 } };
    asq_result *r[3], *found;
    int64_t added;
    asq *other;
    pid_t w = tight_worker();

    ready();
    added = in_one_batch(r, calls, 3);
    sup_redis_wait_until(redis, asq_poll(h, 0) >= 0 && LATER == 1 && JOBS == 0);
    other = open_handle();
    ck_assert_int_eq(asq_result_attach(other, asq_result_id(r[1]), &found), 0);
    ck_assert_int_eq(asq_result_cancel(r[0]), 0);
    fails(r[0], ASQ_ECANCELED);
    gives(r[1], added + 10);
    ck_assert_int_eq(asq_result_wait(found, sup_limit_ms()), 0);
    asq_result_free(found);
    asq_close(other);
    sup_redis_wait_until(redis, LATER == 1 && JOBS == 0);
    ck_assert_int_eq(asq_result_cancel(r[2]), 0);
    fails(r[2], ASQ_ECANCELED);
    ck_assert_int_eq(value(), added + 10);
    all_is_gone();
    load_worker_stop(w);
}
END_TEST

/* The key `later` is deleted while a worker runs, or while none runs. */
START_TEST(calls_whose_due_times_somebody_deletes_wait_on)
{
    enum { CALLS = 1200 };
    asq_result *r[CALLS], *far;
    pid_t w = tight_worker();

    ready();
    for (int i = 0; i < CALLS; i++)
        r[i] = delayed(counter, "add", LATE_MS, 1);
    far = delayed(counter, "add", LONG_MS, 1);
    sup_wait_until(asq_poll(h, 0) >= 0 && LATER == CALLS + 1 && JOBS == 0);
    if (_i)
        load_worker_kill(w);
    sup_redis_do(redis, "DEL asq:{default.0}:later");
    if (_i)
        w = tight_worker();
    for (int i = 0; i < CALLS; i++) {
        ck_assert_int_eq(asq_result_wait(r[i], sup_limit_ms()), 0);
        asq_result_free(r[i]);
    }
    ck_assert_int_eq(value(), CALLS);
    sup_redis_wait_until(redis, LATER == 1 && JOBS == 0);
    ck_assert_int_eq(asq_result_cancel(far), 0);
    fails(far, ASQ_ECANCELED);
    all_is_gone();
    load_worker_stop(w);
}
END_TEST

START_TEST(who_waits_long_is_not_told_that_the_outcome_is_unknown)
{
    pid_t w = tight_worker();
    asq_result *r;

    ready();
    r = delayed(counter, "add", LONG_MS, 1);
    sup_redis_wait_until(redis, asq_poll(h, 0) >= 0 && LATER == 1 && JOBS == 0);
    ck_assert_int_eq(asq_result_wait(r, 7000), ASQ_ETIMEOUT); /* looked up twice by then */
    ck_assert_int_eq(asq_result_cancel(r), 0);
    fails(r, ASQ_ECANCELED);
    load_worker_stop(w);
}
END_TEST

/* Sends the bytes of the only entry again, marked as resent. */
static void send_copy(const char *bytes, size_t n)
{
    sup_redis_do(redis, "XADD asq:{default.0}:jobs * call copy batch %b", bytes, n);
}

START_TEST(a_copy_of_what_waits_is_recognised)
{
    asq_result *r;
    redisReply *entries;
    char *bytes;
    size_t n;
    pid_t w = tight_worker();

    ready();
    sup_wait_until(JOBS == 0);
    load_worker_stop(w);
    r = delayed(counter, "add", LATE_MS, 1);
    ck_assert_int_eq(asq_flush(h, sup_limit_ms()), 0);
    entries = sup_redis_reply(redis, "XRANGE asq:{default.0}:jobs - +");
    ck_assert_uint_eq(entries->elements, 1);
    const redisReply *batch = entries->element[0]->element[1]->element[3];
    n = (size_t) batch->len + 2;
    bytes = malloc(n);
    memcpy(bytes, batch->str, n - 2);
    memcpy(bytes + n - 2, "\x18\x01", 2);
    freeReplyObject(entries);
    w = tight_worker();
    sup_redis_wait_until(redis, asq_poll(h, 0) >= 0 && LATER == 1 && JOBS == 0);
    send_copy(bytes, n);
    sup_wait_until(JOBS == 0);
    send_copy(bytes, n);
    /* The next owner drops the copy, too, and so does an owner that reads both entries. */
    load_worker_kill(w);
    send_copy(bytes, n);
    w = tight_worker();
    gives(r, 1);
    send_copy(bytes, n);
    sup_wait_until(JOBS == 0);
    ck_assert_int_eq(value(), 1);
    all_is_gone();
    free(bytes);
    load_worker_stop(w);
}
END_TEST

START_TEST(a_call_whose_deadline_comes_before_its_time_fails_at_once)
{
    asq_call_options options = ASQ_CALL_OPTIONS_INIT;
    asq_result *r;
    pid_t w = tight_worker();

    ready();
    options.delay_ms = LONG_MS;
    options.deadline_ms = LONG_MS / 2;
    ck_assert_int_eq(asq_callv(counter, "add", &options, asq_pack("[i]", 1), &r), 0);
    fails(r, ASQ_EDEADLINE);
    all_is_gone();
    load_worker_stop(w);
}
END_TEST

START_TEST(an_agent_that_is_deleted_meanwhile_is_not_there_any_more)
{
    asq_result *r;
    pid_t w = tight_worker();

    ready();
    r = delayed(counter, "add", LATE_MS, 1);
    ck_assert_int_eq(asq_delete(counter, sup_limit_ms()), 0);
    fails(r, ASQ_ENOAGENT);
    all_is_gone();
    load_worker_stop(w);
}
END_TEST

START_TEST(keys_of_another_type_are_set_aside)
{
    pid_t w = tight_worker();

    ready();
    sup_redis_do(redis, "SET asq:{default.0}:later spoilt");
    sup_redis_do(redis, "SET asq:{default.0}:later:jobs spoilt");
    gives(delayed(counter, "add", SOON_MS, 1), 1);
    ck_assert_int_eq(sup_redis_int(redis, "EXISTS asq:{default.0}:later:aside"), 1);
    all_is_gone();
    load_worker_stop(w);
}
END_TEST

START_TEST(what_is_kept_and_cannot_be_read_is_a_dead_letter)
{
    pid_t w = tight_worker();
    asq_result *r;

    ready();
    r = delayed(counter, "add", LONG_MS, 1);
    sup_redis_wait_until(redis, asq_poll(h, 0) >= 0 && LATER == 1 && JOBS == 0);
    sup_redis_do(redis, "HSET asq:{default.0}:later:jobs x nonsense y \n\x03");
    sup_redis_do(redis, "ZADD asq:{default.0}:later 1 x 2 y 3 z");
    load_worker_kill(w); /* the next owner looks at once */
    w = tight_worker();
    sup_wait_until(length("XLEN", "dead") == 2);
    sup_wait_until(LATER == 1);
    gives(delayed(counter, "add", SOON_MS, 1), 1);
    asq_result_cancel(r);
    fails(r, ASQ_ECANCELED);
    all_is_gone();
    load_worker_stop(w);
}
END_TEST

int main(void)
{
    if (!sup_redis_available())
        return sup_skip("no redis-server");
    Suite *s = suite_create("delays");
    TCase *t = tcase_create("delays");

    tcase_add_checked_fixture(t, set_up, tear_down);
    tcase_add_test(t, delayed_calls_stand_before_nothing_and_are_no_waiting_ones);
    tcase_add_test(t, what_was_sent_while_no_worker_was_there_is_no_obstacle);
    tcase_add_test(t, a_call_that_has_left_the_stream_runs_once_when_it_is_due);
    tcase_add_test(t, the_next_owner_finds_what_waits);
    tcase_add_test(t, a_retry_waits_outside_of_the_stream_and_its_runs_are_counted);
    tcase_add_test(t, a_batch_of_calls_due_and_not_due_is_done_piece_by_piece);
    tcase_add_test(t, what_waits_can_be_cancelled_and_waited_for);
    tcase_add_loop_test(t, calls_whose_due_times_somebody_deletes_wait_on, 0, 2);
    tcase_add_test(t, who_waits_long_is_not_told_that_the_outcome_is_unknown);
    tcase_add_test(t, a_copy_of_what_waits_is_recognised);
    tcase_add_test(t, a_call_whose_deadline_comes_before_its_time_fails_at_once);
    tcase_add_test(t, an_agent_that_is_deleted_meanwhile_is_not_there_any_more);
    tcase_add_test(t, keys_of_another_type_are_set_aside);
    tcase_add_test(t, what_is_kept_and_cannot_be_read_is_a_dead_letter);
    suite_add_tcase(s, t);
    return sup_suite_run(s);
}
