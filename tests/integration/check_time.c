/*
 * check_time.c: deadlines and delays count from the moment at which a call was made, also when
 * Redis is away meanwhile, and when its clock is set. A resent call whose record may have expired
 * is not run again.
 */
#include "load.h"
#include "support/server_clock.h"
#include "support/suite.h"
#include "value/buf.h"
#include "value/hash.h"
#include "value/msg.h"
#include "value/value.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { HOUR_MS = 3600000, SHORT_MS = 300, SOON_MS = 50 };

static sup_redis *redis;
static asq *h;
static asq_agent *agent;
static pid_t worker;

/* ---- a Redis whose clock can be set ---- */

static int64_t redis_ms(void)
{
    redisReply *reply = sup_redis_reply(redis, "TIME");
    int64_t ms = strtoll(reply->element[0]->str, NULL, 10) * 1000 +
                 strtoll(reply->element[1]->str, NULL, 10) / 1000;
    freeReplyObject(reply);
    return ms;
}

static void set_clock(int64_t by_ms)
{
    int64_t before = redis_ms();
    sup_clock_set(by_ms);
    int64_t set = redis_ms() - before;
    ck_assert_msg(by_ms < 0 ? set < 0 : set >= by_ms, "set by %lld ms", (long long) set);
}

static pid_t start_worker(uint32_t max_expire_time_s)
{
    asq_worker_options options = ASQ_WORKER_OPTIONS_INIT;
    options.lease_time_ms = 2000;
    options.max_expire_time_s = max_expire_time_s;
    return load_worker(sup_redis_url(redis), &options);
}

static void set_up_with(uint32_t max_expire_time_s)
{
    static const char *const config[] = { "appendonly yes", "appendfsync always", NULL };
    sup_clock_start();
    redis = sup_redis_start(config);
    worker = start_worker(max_expire_time_s);
    h = load_open(sup_redis_url(redis));
    ck_assert_int_eq(asq_create(h, "Counter", "{one}", &agent, "{s:i}", "value", 0), 0);
    ck_assert_int_eq(asq_ready(agent, sup_limit_ms()), 0);
}

static void set_up(void)
{
    set_up_with(0);
}

static void set_up_brief(void)
{
    set_up_with(1);
}

static void tear_down(void)
{
    asq_agent_free(agent);
    asq_close(h);
    load_worker_stop(worker);
    sup_redis_free(redis);
    sup_clock_stop();
}

static asq_result *add(int64_t deadline_ms, int64_t delay_ms)
{
    asq_call_options options = ASQ_CALL_OPTIONS_INIT;
    asq_result *r;
    options.deadline_ms = deadline_ms;
    options.delay_ms = delay_ms;
    ck_assert_int_eq(asq_callv(agent, "add", &options, asq_pack("[i]", 1), &r), 0);
    return r;
}

static int outcome(asq_result *r)
{
    int rc = asq_result_wait(r, sup_limit_ms());
    asq_result_free(r);
    return rc;
}

static int64_t value(void)
{
    asq_result *r;
    int64_t n = -1;
    ck_assert_int_eq(asq_call(agent, "read", &r, NULL), 0);
    ck_assert_int_eq(asq_result_int(r, &n), 0);
    asq_result_free(r);
    return n;
}

/* ---- tests ---- */

START_TEST(a_deadline_passes_while_redis_is_away)
{
    sup_redis_kill(redis);
    asq_poll(h, 0);
    asq_result *late = add(SHORT_MS, 0), *early = add(HOUR_MS, 0), *later = add(HOUR_MS, SOON_MS);
    sup_sleep_ms(2 * SHORT_MS);
    sup_redis_restart(redis);
    ck_assert_int_eq(outcome(late), ASQ_EDEADLINE);
    ck_assert_int_eq(outcome(early), 0);
    ck_assert_int_eq(outcome(later), 0);
    ck_assert_int_eq(value(), 2);
}
END_TEST

/* Gathered calls leave together, but each has its own deadline. */
START_TEST(a_deadline_counts_from_its_call_not_from_the_first_of_its_batch)
{
    asq_result *early;
    asq_cork(h);
    ck_assert_int_eq(asq_call(agent, "add", &early, "[i]", 1), 0);
    sup_sleep_ms(2 * SHORT_MS);
    asq_result *late = add(SHORT_MS, 0);
    sup_sleep_ms(2 * SHORT_MS);
    ck_assert_int_eq(asq_uncork(h), 0);
    ck_assert_int_eq(outcome(early), 0);
    ck_assert_int_eq(outcome(late), ASQ_EDEADLINE);
    asq_cork(h);
    ck_assert_int_eq(asq_call(agent, "add", &early, "[i]", 1), 0);
    sup_sleep_ms(2 * SHORT_MS);
    late = add(HOUR_MS, 0);
    ck_assert_int_eq(asq_uncork(h), 0);
    ck_assert_int_eq(outcome(early), 0);
    ck_assert_int_eq(outcome(late), 0);
    ck_assert_int_eq(value(), 3);
}
END_TEST

/* The clock is set by _i hours, and neither client nor worker has noticed yet. */
START_TEST(a_clock_that_is_set_changes_no_deadline_and_no_delay)
{
    int64_t by = (int64_t) _i * HOUR_MS;
    asq_result *before = add(0, 3 * SHORT_MS);
    ck_assert_int_eq(asq_flush(h, sup_limit_ms()), 0);
    set_clock(by);
    asq_result *made = add(HOUR_MS / 2, 0), *soon = add(HOUR_MS / 2, SOON_MS);
    ck_assert_int_eq(outcome(made), 0);
    ck_assert_int_eq(outcome(soon), 0);
    ck_assert_int_eq(outcome(before), 0);
    /* A new client knows only the new clock, and may know it before the worker does. */
    asq *h2 = load_open(sup_redis_url(redis));
    asq_agent *same;
    asq_call_options options = ASQ_CALL_OPTIONS_INIT;
    asq_result *r;
    options.deadline_ms = HOUR_MS / 2;
    ck_assert_int_eq(asq_attach(h2, "{one}", &same), 0);
    ck_assert_int_eq(asq_callv(same, "add", &options, asq_pack("[i]", 1), &r), 0);
    ck_assert_int_eq(outcome(r), 0);
    options.delay_ms = SOON_MS;
    ck_assert_int_eq(asq_callv(same, "add", &options, asq_pack("[i]", 1), &r), 0);
    ck_assert_int_eq(outcome(r), 0);
    asq_agent_free(same);
    asq_close(h2);
    ck_assert_int_eq(value(), 5);
}
END_TEST

/* A call waits in its stream when the clock is set, because the worker is stopped. */
START_TEST(what_waits_while_the_clock_is_set_keeps_its_deadline)
{
    int64_t by = (int64_t) _i * HOUR_MS;
    load_signal(worker, SIGSTOP);
    asq_result *late = add(SHORT_MS, 0), *early = add(HOUR_MS / 2, 0), *soon = add(0, SOON_MS);
    ck_assert_int_eq(asq_flush(h, sup_limit_ms()), 0);
    sup_sleep_ms(5 * SHORT_MS);
    set_clock(by);
    load_signal(worker, SIGCONT);
    ck_assert_int_eq(outcome(late), ASQ_EDEADLINE);
    ck_assert_int_eq(outcome(early), 0);
    ck_assert_int_eq(outcome(soon), 0);
    ck_assert_int_eq(value(), 2);
}
END_TEST

/* A worker that starts after the clock was set back finds stamps from the future. */
START_TEST(a_stamp_from_the_future_counts_as_now)
{
    load_worker_stop(worker);
    asq_result *early = add(HOUR_MS / 2, 0), *soon = add(0, SOON_MS);
    ck_assert_int_eq(asq_flush(h, sup_limit_ms()), 0);
    set_clock(-HOUR_MS);
    worker = start_worker(0);
    ck_assert_int_eq(outcome(early), 0);
    ck_assert_int_eq(outcome(soon), 0);
}
END_TEST

/* ---- expired records ---- */

/* Sends a copy of a call of another client, made `age_ms` ago. Returns the code of its outcome. */
static int send_copy(uint8_t number, bool resent, int64_t in_stream_ms, int64_t age_ms)
{
    const uint8_t id[ASQ__BATCH_ID] = { number };
    uint32_t p = asq__partition_of("{one}", 5, 128);
    asq_value *args = asq_pack("[i]", 1);
    struct asq__job job = {
        .kind = ASQUEUE__JOB_KIND__CALL, .agent = "{one}", .method = "add", .args = args
    };
    struct asq__call_id call = { .partition = p };
    char text[ASQ__CALL_ID_TEXT];
    struct asq__buf b;
    asq_result *r;

    asq__buf_init(&b, 4096);
    asq__batch_head(id, "07e4000000000000", number, &b);
    ck_assert_int_eq(asq__job_encode(&job, &b), 0);
    if (resent)
        asq__batch_mark_resent(&b);
    asq__batch_set_times((uint64_t) (redis_ms() - in_stream_ms), (uint64_t) age_ms, &b);
    sup_redis_do(redis, "XADD asq:{default.%u}:jobs * call x batch %b", p, b.data, b.len);
    asq__buf_release(&b);
    asq_value_free(args);
    memcpy(call.batch, id, sizeof id);
    asq__call_id_format(&call, text);
    ck_assert_int_eq(asq_result_attach(h, text, &r), 0);
    return outcome(r);
}

START_TEST(a_copy_is_not_run_when_the_record_of_the_first_may_have_expired)
{
    enum { OLD_MS = 3000 };
    ck_assert_int_eq(send_copy(1, true, 0, OLD_MS), ASQ_EUNKNOWN); /* expired when it was sent */
    ck_assert_int_eq(send_copy(2, true, OLD_MS, 0), ASQ_EUNKNOWN); /* expired since then */
    ck_assert_int_eq(value(), 0);
    ck_assert_int_eq(send_copy(3, true, 0, 10), 0);
    ck_assert_int_eq(send_copy(9, false, 0, OLD_MS), 0); /* not a resent call, though old */
    ck_assert_int_eq(value(), 2);
    /* An unmarked copy, behind later calls of its sender. */
    ck_assert_int_eq(send_copy(5, false, 0, OLD_MS), ASQ_EUNKNOWN);
    ck_assert_int_eq(value(), 2);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("time");
    TCase *t = tcase_create("time"), *brief = tcase_create("expired");

    if (!sup_redis_available())
        return sup_skip("no redis-server");
    tcase_set_timeout(t, 120);
    tcase_set_timeout(brief, 120);
    tcase_add_checked_fixture(t, set_up, tear_down);
    tcase_add_checked_fixture(brief, set_up_brief, tear_down);
    tcase_add_test(t, a_deadline_passes_while_redis_is_away);
    tcase_add_test(t, a_deadline_counts_from_its_call_not_from_the_first_of_its_batch);
    tcase_add_loop_test(t, a_clock_that_is_set_changes_no_deadline_and_no_delay, -1, 0);
    tcase_add_loop_test(t, a_clock_that_is_set_changes_no_deadline_and_no_delay, 1, 2);
    tcase_add_loop_test(t, what_waits_while_the_clock_is_set_keeps_its_deadline, -1, 0);
    tcase_add_loop_test(t, what_waits_while_the_clock_is_set_keeps_its_deadline, 1, 2);
    tcase_add_test(t, a_stamp_from_the_future_counts_as_now);
    tcase_add_test(brief, a_copy_is_not_run_when_the_record_of_the_first_may_have_expired);
    suite_add_tcase(s, t);
    suite_add_tcase(s, brief);
    return sup_suite_run(s);
}
