/*
 * check_batches.c: a batch of the client or of a worker ends once, and no call waits for it after
 * that, whatever happens while its calls are notified, and whatever others push about it.
 */
#include "load.h"
#include "support/suite.h"
#include "value/buf.h"
#include "value/msg.h"
#include "value/value.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static sup_redis *redis;
static asq *h;
static pid_t worker;

static bool ignored; /* the handle has said that it ignored a result */

static void look_at_log(void *user, asq_log_level level, const char *message)
{
    (void) user;
    (void) level;
    ignored = ignored || strstr(message, "a result was ignored: its call has not been sent yet");
}

static void start(void)
{
    asq_worker_options options = ASQ_WORKER_OPTIONS_INIT;
    asq_options with_log = ASQ_OPTIONS_INIT;
    char err[1024] = "";
    redis = sup_redis_start(NULL);
    with_log.timeout_ms = 2 * sup_limit_ms();
    with_log.log = look_at_log;
    ignored = false;
    ck_assert_msg(asq_open(sup_redis_url(redis), &with_log, &h, err, sizeof err) == 0, "%s", err);
    options.processes = 1;
    worker = load_worker(sup_redis_url(redis), &options);
}

static void stop(void)
{
    asq_close(h);
    load_worker_stop(worker);
    sup_redis_free(redis);
}

static asq_agent *agent(const char *cls, const char *id)
{
    asq_agent *a;
    ck_assert_int_eq(asq_create(h, cls, id, &a, NULL), 0);
    ck_assert_int_eq(asq_ready(a, sup_limit_ms()), 0);
    return a;
}

/* When the first call fails, its agent goes on, and asks for the same result at once. */
START_TEST(each_call_with_an_unreadable_result_as_input_fails)
{
    enum { CALLS = 5 };
    asq_result *r, *calls[CALLS];
    start();
    asq_agent *counter = agent("Counter", "c"), *echo = agent("Echo", "e");
    ck_assert_int_eq(asq_call(counter, "add", &r, "[i]", 1), 0);
    char *id = sup_format("%s", asq_result_id(r)); /* handed out, so the record stays */
    ck_assert_int_eq(asq_result_wait(r, sup_limit_ms()), 0);
    asq_result_free(r);
    char *key = sup_format("%s", id), *batch = strchr(key, '-') + 1;
    batch[-1] = '\0';
    *strchr(batch, '-') = '\0';
    sup_redis_do(redis, "SET asq:{default.%s}:r:%s %b", key, batch, "\xff\xff\xff", (size_t) 3);
    /* Another handle does not know the result, so that the future travels as an id. */
    asq *other = load_open(sup_redis_url(redis));
    ck_assert_int_eq(asq_result_attach(other, id, &r), 0);
    asq_agent *same;
    ck_assert_int_eq(asq_attach(other, "e", &same), 0);
    asq_cork(other);
    for (int i = 0; i < CALLS; i++)
        ck_assert_int_eq(asq_call(same, "first", &calls[i], "[r]", r), 0);
    ck_assert_int_eq(asq_uncork(other), 0);
    for (int i = 0; i < CALLS; i++) {
        ck_assert_int_eq(asq_result_wait(calls[i], sup_limit_ms()), ASQ_EINPUT);
        asq_result_free(calls[i]);
    }
    ck_assert_int_eq(asq_call_wait(echo, "sum", NULL, "[i, i]", 1, 2), 0);
    asq_result_free(r);
    asq_agent_free(same);
    asq_close(other);
    asq_agent_free(counter);
    asq_agent_free(echo);
    free(key);
    free(id);
    stop();
}
END_TEST

/* Every user of Redis can push results, and ids can be guessed. */
START_TEST(a_forged_result_of_a_call_that_was_not_sent_yet_is_ignored)
{
    enum { SENT_AT_ONCE = 64 }; /* calls to another partition, among which pushes are read */
    asq_result *r;
    int64_t value;
    start();
    asq_agent *a = agent("Counter", "{a}"), *b = agent("Counter", "{b}");
    asq_cork(h);
    ck_assert_int_eq(asq_call(a, "add", &r, "[i]", 7), 0);
    struct asq__call_id id;
    ck_assert_int_eq(asq__call_id_parse(asq_result_id(r), &id), 0);
    struct asq__buf forged, bytes;
    asq__buf_init(&forged, 4096);
    asq__buf_init(&bytes, 4096);
    asq_value *lie = asq_value_int(666);
    ck_assert_int_eq(asq__value_encode(lie, &bytes), 0);
    asq__results_head(id.batch, &forged);
    asq__result_put(id.index, bytes.data, bytes.len, &forged);
    ck_assert_int_eq(forged.error, 0);
    redisReply *channels = sup_redis_reply(redis, "PUBSUB CHANNELS");
    ck_assert_uint_ge(channels->elements, 2);
    for (size_t c = 0; c < channels->elements; c++)
        sup_redis_do(redis, "PUBLISH %s %b", channels->element[c]->str, forged.data, forged.len);
    freeReplyObject(channels);
    for (int i = 0; !ignored; i++) { /* otherwise the test times out */
        ck_assert_int_eq(asq_call(b, "add", NULL, "[i]", 1), 0);
        if (i % SENT_AT_ONCE == 0)
            usleep(1000);
    }
    ck_assert_int_eq(asq_uncork(h), 0);
    ck_assert_int_eq(asq_result_int(r, &value), 0);
    ck_assert_int_eq(value, 7);
    asq_value_free(lie);
    asq__buf_release(&bytes);
    asq__buf_release(&forged);
    asq_result_free(r);
    asq_agent_free(a);
    asq_agent_free(b);
    stop();
}
END_TEST

int main(void)
{
    Suite *s = suite_create("batches");
    TCase *t = tcase_create("batches");
    tcase_set_timeout(t, 120);
    suite_add_tcase(s, t);
    tcase_add_test(t, each_call_with_an_unreadable_result_as_input_fails);
    tcase_add_test(t, a_forged_result_of_a_call_that_was_not_sent_yet_is_ignored);
    return sup_suite_run(s);
}
