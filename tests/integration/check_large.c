/*
 * check_large.c: results above the output limit of a Redis subscriber are read from their keys. So
 * are results that were lost with a connection; their calls are not sent again.
 */
#include "load.h"
#include "support/suite.h"
#include "value/buf.h"
#include "value/hash.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LARGE = 4 * 1000 * 1000, MIB = 1 << 20, MANY = 64, SOME = 300 };

static sup_redis *redis;
static pid_t worker;
static asq *h;
static asq_agent *agent;

static int connections(void)
{
    char *list = sup_redis_str(redis, "CLIENT LIST");
    int n = sup_count(list, " name=asqueue-");

    free(list);
    return n;
}

/* Waits until all connections of program and worker are there, because tests count later ones. */
static void await_connections(void)
{
    enum { PROGRAM = 2, WORKER = 2, HEARTBEAT = 1 };
    int readers = sup_redis_is_cluster(redis) ? 128 : 8;

    sup_wait_until(connections() == PROGRAM + WORKER + HEARTBEAT + readers);
}

static void start(const char *const config[])
{
    redis = sup_redis_start(config);
    worker = load_worker(sup_redis_url(redis), NULL);
    h = load_open(sup_redis_url(redis));
    ck_assert_int_eq(asq_create(h, "Echo", "{one}", &agent, NULL), 0);
    ck_assert_int_eq(asq_ready(agent, sup_limit_ms()), 0);
    await_connections();
    sup_redis_do(redis, "CONFIG RESETSTAT");
}

static void set_up(void)
{
    static const char *const config[] = { "client-output-buffer-limit pubsub 1mb 512kb 60", NULL };
    start(config);
}

/* Starts a Redis whose subscriber limit lets only announcements through. */
static void set_up_narrow(void)
{
    static const char *const config[] = { "client-output-buffer-limit pubsub 20kb 20kb 60", NULL };
    start(config);
}

static void set_up_both(void)
{
    static const char *const config[] = { "client-output-buffer-limit pubsub 1mb 512kb 60",
                                          "client-output-buffer-limit normal 24mb 0 0", NULL };
    start(config);
}

static void tear_down(void)
{
    asq_agent_free(agent);
    asq_close(h);
    load_worker_stop(worker);
    sup_redis_free(redis);
}

static asq_result *blob(asq_agent *a, int64_t n)
{
    asq_result *r;
    ck_assert_int_eq(asq_call(a, "blob", &r, "[I]", n), 0);
    return r;
}

static void is_blob(asq_result *r, size_t n)
{
    const asq_value *v;
    const void *data = NULL;
    size_t got = 0;
    int rc = asq_result_value(r, &v);
    ck_assert_msg(rc == 0, "%s: %s", asq_error_name(rc), asq_result_error(r)->message);
    ck_assert_int_eq(asq_value_get_bytes(v, &data, &got), 0);
    ck_assert_uint_eq(got, n);
    ck_assert(((const char *) data)[0] == 'b' && ((const char *) data)[n - 1] == 'b');
    asq_result_free(r);
}

/* Returns how many connections were made again since the start. */
static int64_t cuts(void)
{
    return sup_redis_stat(redis, "stats", "total_connections_received:", "received:");
}

/* Returns the id of the last entry that was added to the stream; the caller frees it. A worker
 * that connects adds entries elsewhere, to check its rights. */
static char *last_entry(void)
{
    redisReply *info = sup_redis_reply(redis, "XINFO STREAM asq:{default.%u}:jobs",
                                       asq__partition_of("{one}", 5, 128));
    char *id = NULL;
    for (size_t i = 0; i + 1 < info->elements; i += 2)
        if (strcmp(info->element[i]->str, "last-generated-id") == 0)
            id = sup_format("%s", info->element[i + 1]->str);
    freeReplyObject(info);
    ck_assert_ptr_nonnull(id);
    return id;
}

static void is_last_entry(char *id)
{
    char *now = last_entry();
    ck_assert_str_eq(now, id);
    free(now);
    free(id);
}

static int64_t calls_of(const char *command)
{
    char *line = sup_format("cmdstat_%s:", command);
    int64_t n = sup_redis_stat(redis, "commandstats", line, "calls=");
    free(line);
    return n;
}

START_TEST(a_result_that_is_too_large_to_be_pushed_arrives)
{
    asq_result *r = blob(agent, LARGE);
    ck_assert_int_eq(asq_flush(h, sup_limit_ms()), 0);
    char *sent = last_entry();
    is_blob(r, LARGE);
    ck_assert_int_eq(cuts(), 0);
    is_last_entry(sent);
}
END_TEST

/* Each result is read once, not the whole record for each. */
START_TEST(many_large_results_of_one_batch_arrive)
{
    asq_result *r[MANY];
    asq_cork(h);
    for (int i = 0; i < MANY; i++)
        r[i] = blob(agent, MIB);
    ck_assert_int_eq(asq_uncork(h), 0);
    ck_assert_int_eq(asq_flush(h, sup_limit_ms()), 0);
    char *sent = last_entry();
    for (int i = 0; i < MANY; i++)
        is_blob(r[i], MIB);
    ck_assert_int_eq(cuts(), 0);
    is_last_entry(sent);
    ck_assert_int_lt(sup_redis_stat(redis, "stats", "total_net_output_bytes:", "bytes:"),
                     (int64_t) 3 * MANY * MIB);
}
END_TEST

/* The size of one answer of Redis is bounded, too. */
START_TEST(a_result_that_is_larger_than_any_answer_arrives)
{
    is_blob(blob(agent, 30 * MIB), 30 * MIB);
    ck_assert_int_eq(cuts(), 0);
}
END_TEST

START_TEST(a_large_result_of_a_call_inside_a_method_arrives)
{
    asq_agent *relay;
    asq_result *r;
    ck_assert_int_eq(asq_create(h, "Relay", "{two}", &relay, NULL), 0);
    ck_assert_int_eq(asq_call(relay, "call", &r, "[a, s, [i]]", agent, "blob", LARGE), 0);
    is_blob(r, LARGE);
    ck_assert_int_eq(cuts(), 0);
    asq_agent_free(relay);
}
END_TEST

START_TEST(a_large_result_arrives_where_it_was_not_called)
{
    asq *h2 = load_open(sup_redis_url(redis));
    asq_result *r2;
    load_signal(worker, SIGSTOP);
    asq_result *r = blob(agent, LARGE);
    ck_assert_int_eq(asq_result_attach(h2, asq_result_id(r), &r2), 0);
    ck_assert_int_eq(asq_flush(h, sup_limit_ms()), 0);
    asq_poll(h2, 100);
    load_signal(worker, SIGCONT);
    is_blob(r2, LARGE);
    is_blob(r, LARGE);
    /* connections of h2, and of the process that makes the namespace for it */
    ck_assert_int_eq(cuts(), sup_acl_on() ? 4 : 2);
    asq_close(h2);
}
END_TEST

/* Results that are pushed together usually exceed the limit. Redis then cuts the connection, and
 * the client reads the results from their keys. */
START_TEST(results_arrive_though_no_push_does)
{
    enum { SIZE = 4000 };
    static asq_result *r[SOME];
    load_signal(worker, SIGSTOP);
    for (int i = 0; i < SOME; i++)
        r[i] = blob(agent, SIZE);
    ck_assert_int_eq(asq_flush(h, sup_limit_ms()), 0);
    char *sent = last_entry();
    load_signal(worker, SIGCONT);
    for (int i = 0; i < SOME; i++)
        is_blob(r[i], SIZE);
    is_last_entry(sent);
}
END_TEST

/* Cuts the connections of programs, not of workers. */
static void cut_clients(void)
{
    char *list = sup_redis_str(redis, "CLIENT LIST");
    for (char *line = strtok(list, "\n"); line; line = strtok(NULL, "\n"))
        if (strstr(line, " name=asqueue-client-"))
            freeReplyObject(
                sup_redis_reply(redis, "CLIENT KILL ID %lld", strtoll(line + 3, NULL, 10)));
    free(list);
}

/* Redis has the calls, so the client asks for their results; when the connection is back, some
 * still wait and some are done. */
START_TEST(what_redis_has_taken_is_not_sent_again)
{
    asq_result *r[2 * MANY];
    for (int i = 0; i < MANY; i++)
        r[i] = blob(agent, 10);
    ck_assert_int_eq(asq_flush(h, sup_limit_ms()), 0);
    sup_wait_until(sup_redis_int(redis, "XLEN asq:{default.%u}:jobs",
                                 asq__partition_of("{one}", 5, 128)) == 0);
    load_signal(worker, SIGSTOP);
    for (int i = MANY; i < 2 * MANY; i++)
        r[i] = blob(agent, 10);
    ck_assert_int_eq(asq_flush(h, sup_limit_ms()), 0);
    char *sent = last_entry();
    cut_clients();
    sup_wait_until(asq_poll(h, 10) >= 0 && calls_of("eval") > 0);
    load_signal(worker, SIGCONT);
    for (int i = 0; i < 2 * MANY; i++)
        is_blob(r[i], 10);
    is_last_entry(sent);
}
END_TEST

/* ---- users without all rights ---- */

static const char *const lacking[] = { "-eval",
                                       "-xrange",
                                       "-get",
                                       "-getrange",
                                       "-get -getrange",
                                       "-time",
                                       "-eval -xrange -get -getrange -time" };

static char heard[10000];

static void hear(void *user, asq_log_level level, const char *message)
{
    size_t n = strlen(heard);
    (void) user, (void) level;
    snprintf(heard + n, sizeof heard - n, "%s\n", message);
}

/* Announces results of a running batch at empty or impossible positions. */
START_TEST(announcements_that_lie_fail_no_call)
{
    static const uint64_t ends[] = { 1, 1000, INT64_MAX, (uint64_t) INT64_MAX + 1, UINT64_MAX };
    asq_result *r;
    uint8_t id[16];
    unsigned byte;

    ck_assert_int_eq(asq_call(agent, "nap", &r, "[i]", 500), 0);
    ck_assert_int_eq(asq_flush(h, sup_limit_ms()), 0);
    const char *batch = strchr(asq_result_id(r), '-') + 1;
    char *channel = sup_format("asq:{default}:c:%.16s", batch);
    for (int i = 0; i < 16; i++) {
        ck_assert_int_eq(sscanf(batch + 2 * i, "%2x", &byte), 1);
        id[i] = (uint8_t) byte;
    }
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
        struct asq__buf b;
        asq__buf_init(&b, 100);
        asq__buf_puts(&b, "\n\x10");
        asq__buf_put(&b, id, sizeof id);
        asq__buf_putc(&b, 4 << 3); /* upto */
        asq__buf_varint(&b, ends[i]);
        asq__buf_putc(&b, 5 << 3); /* size */
        asq__buf_varint(&b, i % 2 ? ends[i] : 1);
        ck_assert(!b.error);
        sup_redis_do(redis, "PUBLISH %s %b", channel, b.data, b.len);
        asq__buf_release(&b);
    }
    ck_assert_int_eq(asq_result_wait(r, sup_limit_ms()), 0);
    asq_result_free(r);
    free(channel);
}
END_TEST

START_TEST(a_user_with_fewer_rights_goes_on_or_is_told)
{
    asq_options options = ASQ_OPTIONS_INIT;
    char err[512], *url = sup_format("%s?user=c&password=pw", sup_redis_url_default(redis));
    bool reads = strstr(lacking[_i], "-get -getrange") == NULL;
    asq_agent *a;
    asq *c;
    asq_result *r, *r2;

    char *acl = sup_format("%s", lacking[_i]);
    char *words[16];
    int n = 0;
    for (char *w = strtok(acl, " "); w; w = strtok(NULL, " "))
        words[n++] = w;
    sup_redis_do(redis, "ACL SETUSER c on >pw ~* &* +@all");
    for (int i = 0; i < n; i++)
        sup_redis_do(redis, "ACL SETUSER c %s", words[i]);
    options.log = hear;
    options.timeout_ms = sup_limit_ms();
    ck_assert_msg(asq_open(url, &options, &c, err, sizeof err) == 0, "%s", err);
    ck_assert_int_eq(asq_attach(c, "{one}", &a), 0);
    for (int i = 0; i < 10; i++) {
        ck_assert_int_eq(asq_call(a, "blob", &r, "[i]", 10), 0);
        asq_flush(c, sup_limit_ms());
        cut_clients();
        is_blob(r, 10);
    }
    /* Result of a call that was made elsewhere. */
    ck_assert_int_eq(asq_call(a, "blob", &r, "[i]", 10), 0);
    const char *id = asq_result_id(r);
    ck_assert_int_eq(asq_result_attach(c, id, &r2), 0);
    is_blob(r, 10);
    is_blob(r2, 10);
    ck_assert_int_eq(asq_call(a, "blob", &r, "[i]", LARGE), 0);
    if (reads) {
        is_blob(r, LARGE);
    } else {
        ck_assert_int_eq(asq_result_wait(r, sup_limit_ms()), ASQ_EREDIS);
        ck_assert_msg(strstr(asq_result_error(r)->message, "GETRANGE"), "%s",
                      asq_result_error(r)->message);
        ck_assert_msg(strstr(heard, "GETRANGE"), "%s", heard);
        asq_result_free(r);
    }
    if (strstr(lacking[_i], "-time"))
        ck_assert_msg(strstr(heard, "TIME"), "%s", heard);
    asq_agent_free(a);
    asq_close(c);
    free(acl);
    free(url);
}
END_TEST

int main(void)
{
    enum { LACKING = sizeof lacking / sizeof *lacking };
    Suite *s = suite_create("large");
    TCase *t = tcase_create("large"), *narrow = tcase_create("narrow"),
          *both = tcase_create("both");

    if (!sup_redis_available())
        return sup_skip("no redis-server");
    tcase_set_timeout(t, 120);
    tcase_set_timeout(narrow, 120);
    tcase_set_timeout(both, 120);
    tcase_add_checked_fixture(t, set_up, tear_down);
    tcase_add_checked_fixture(narrow, set_up_narrow, tear_down);
    tcase_add_checked_fixture(both, set_up_both, tear_down);
    tcase_add_test(t, a_result_that_is_too_large_to_be_pushed_arrives);
    tcase_add_test(t, many_large_results_of_one_batch_arrive);
    tcase_add_test(t, a_large_result_of_a_call_inside_a_method_arrives);
    tcase_add_test(t, a_large_result_arrives_where_it_was_not_called);
    tcase_add_test(t, announcements_that_lie_fail_no_call);
    tcase_add_test(t, what_redis_has_taken_is_not_sent_again);
    tcase_add_loop_test(t, a_user_with_fewer_rights_goes_on_or_is_told, 0, LACKING);
    tcase_add_test(narrow, results_arrive_though_no_push_does);
    tcase_add_test(both, many_large_results_of_one_batch_arrive);
    tcase_add_test(both, a_result_that_is_larger_than_any_answer_arrives);
    suite_add_tcase(s, t);
    suite_add_tcase(s, narrow);
    suite_add_tcase(s, both);
    return sup_suite_run(s);
}
