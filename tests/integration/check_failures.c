/*
 * check_failures.c: workers keep the last failed runs of calls in Redis, in the commit of the run:
 * those of calls that are run again and of calls that nobody waits for as well. The list of them
 * is bounded, whatever fails and whatever has been written in its place.
 */
#include "modes.h"
#include "load.h"
#include "support/suite.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static sup_redis *redis;
static pid_t worker;

/* ---- Failing: its methods fail as they are told ---------------------------------------------- */

static int failing_fail(asq_ctx *ctx, void *self, const asq_value *args, asq_value **ret)
{
    int64_t code;
    const char *message;
    int rc;
    (void) self, (void) ret;
    if ((rc = asq_args(ctx, args, "[I, s]", &code, &message)) < 0)
        return rc;
    return asq_fail(ctx, (int) code, "%s", message);
}

/* Fails in each run before the given one. */
static int failing_until(asq_ctx *ctx, void *self, const asq_value *args, asq_value **ret)
{
    int64_t run;
    int rc;
    (void) self;
    if ((rc = asq_args(ctx, args, "[I]", &run)) < 0)
        return rc;
    if (asq_ctx_attempt(ctx) < run)
        return asq_fail(ctx, ASQ_EUSER(7), "run %u", asq_ctx_attempt(ctx));
    *ret = asq_value_int(asq_ctx_attempt(ctx));
    return 0;
}

/* Fails for its large argument. */
static int failing_take(asq_ctx *ctx, void *self, const asq_value *args, asq_value **ret)
{
    (void) self, (void) ret, (void) args;
    return asq_fail(ctx, ASQ_EUSER(1), "taken");
}

static const asq_method failing_methods[] = { { "fail", failing_fail, NULL, 0, NULL },
                                              { "until", failing_until, NULL, 0, NULL },
                                              { "take", failing_take, NULL, 0, NULL },
                                              { 0 } };
static const asq_class failing_class = { ASQ_CLASS_INIT, .name = "Failing",
                                         .methods = failing_methods };
static const asq_class *const classes[] = { &failing_class, NULL };

/* ---- helpers --------------------------------------------------------------------------------- */

static void begin_with(const asq_worker_options *own)
{
    asq_worker_options options = *own;
    redis = sup_redis_start(NULL);
    mode = MODE_INDEPENDENT;
    asq_options four = ASQ_OPTIONS_INIT;
    asq *h;
    four.partitions = 4;
    ck_assert_int_eq(asq_open(sup_url_as(sup_redis_url(redis), "worker"), &four, &h, NULL, 0), 0);
    asq_close(h);
    worker = modes_fork_worker_with(sup_redis_url(redis), &options, classes);
    H = modes_open_url(sup_url_as(sup_redis_url(redis), "operator"));
}

static void begin(void)
{
    asq_worker_options options = ASQ_WORKER_OPTIONS_INIT;
    begin_with(&options);
}

static void end(void)
{
    asq_close(H);
    H = NULL;
    modes_stop_worker(worker);
    sup_redis_free(redis);
}

static asq_agent *failing(const char *id)
{
    asq_agent *a = NULL;
    ok(asq_create(H, "Failing", id, &a, NULL));
    ok(asq_ready(a, ASQ_FOREVER));
    return a;
}

/* Lists failures; the caller frees the list. */
static asq_value *failures(const asq_failures_options *options)
{
    asq_value *list = NULL;
    ok(asq_failures(H, options, &list));
    return list;
}

static size_t count(const asq_failures_options *options)
{
    asq_value *list = failures(options);
    size_t n = asq_list_size(list);
    asq_value_free(list);
    return n;
}

static const char *text_of(const asq_value *map, const char *key)
{
    const char *s = NULL;
    ck_assert_msg(asq_value_get_string(asq_map_get(map, key), &s, NULL) == 0, "no text '%s'", key);
    return s;
}

static bool again(const asq_value *failure)
{
    bool yes;
    ck_assert_int_eq(asq_value_get_bool(asq_map_get(failure, "again"), &yes), 0);
    return yes;
}

static int64_t kept(int partition)
{
    return sup_redis_int(redis, "XLEN asq:{default.%d}:failures", partition);
}

static int64_t kept_in_all(void)
{
    return kept(0) + kept(1) + kept(2) + kept(3);
}

/* ---- tests ----------------------------------------------------------------------------------- */

START_TEST(a_failed_call_is_kept_with_all_that_is_known_of_it)
{
    begin();
    asq_agent *a = failing("one");
    asq_result *r = NULL;
    ok(asq_call(a, "fail", &r, "[i, s]", ASQ_EUSER(3), "it does\nnot work"));
    char *id = strdup(asq_result_id(r));
    ck_assert_int_eq(result_code(r), ASQ_EUSER(3));
    asq_value *list = failures(NULL);
    ck_assert_uint_eq(asq_list_size(list), 1);
    const asq_value *f = asq_list_get(list, 0);
    ck_assert_str_eq(text_of(f, "class"), "Failing");
    ck_assert_str_eq(text_of(f, "method"), "fail");
    ck_assert_str_eq(text_of(f, "agent"), "one");
    ck_assert_str_eq(text_of(f, "code"), "ASQ_EUSER(3)");
    ck_assert_int_eq(asq_map_int(f, "number"), ASQ_EUSER(3));
    ck_assert_str_eq(text_of(f, "message"), "it does\nnot work");
    ck_assert_str_eq(text_of(f, "call_id"), id);
    ck_assert_int_eq(asq_map_int(f, "attempt"), 1);
    ck_assert(!again(f));
    ck_assert_str_eq(text_of(f, "args"), "[-1003, \"it does\\u000anot work\"]");
    ck_assert_ptr_nonnull(strrchr(text_of(f, "worker"), '.'));
    int64_t redis_ms = sup_redis_int(redis, "EVAL %s 0", "return redis.call('TIME')[1] * 1000");
    ck_assert_int_le(asq_map_int(f, "time_ms"), redis_ms + 1000);
    ck_assert_int_ge(asq_map_int(f, "time_ms"), redis_ms - 600000);
    char *key = sup_format("asq:{default.%d}:failures", (int) asq_map_int(f, "partition"));
    ck_assert_int_gt(sup_redis_int(redis, "PTTL %s", key), 6 * 24 * 3600 * 1000);
    free(key);
    free(id);
    asq_value_free(list);
    asq_agent_free(a);
    end();
}
END_TEST

START_TEST(each_failed_run_is_kept_and_calls_without_a_caller_too)
{
    begin();
    asq_agent *a = failing("one");
    asq_retry retry = ASQ_RETRY_OPTIONS_INIT;
    asq_call_options options = ASQ_CALL_OPTIONS_INIT;
    asq_value *args = asq_pack("[i]", 3);
    asq_result *r = NULL;
    retry.attempts = 5;
    retry.delay_ms = 1;
    options.retry = &retry;
    ok(asq_callv(a, "until", &options, args, &r));
    ck_assert_int_eq(result_int(r), 3);
    asq_value *list = failures(NULL);
    ck_assert_uint_eq(asq_list_size(list), 2);
    for (int i = 0; i < 2; i++) {
        const asq_value *f = asq_list_get(list, (size_t) i);
        ck_assert_int_eq(asq_map_int(f, "attempt"), 2 - i);
        ck_assert_str_eq(text_of(f, "message"), i ? "run 1" : "run 2");
        ck_assert(again(f));
    }
    asq_value_free(list);
    /* Nobody waits for this one. */
    ok(asq_send(a, "fail", "[i, s]", ASQ_EUSER(4), "alone"));
    asq_flush(H, ASQ_FOREVER); /* which tells that it failed */
    asq_failures_options wanted = ASQ_FAILURES_OPTIONS_INIT;
    wanted.code = ASQ_EUSER(4);
    sup_wait_until(count(&wanted) == 1);
    /* This one does not run: it would have to create an agent that exists. */
    ck_assert_int_eq(create_code("Failing", "one", NULL), ASQ_EEXIST);
    wanted.code = ASQ_EEXIST;
    list = failures(&wanted);
    ck_assert_uint_eq(asq_list_size(list), 1);
    ck_assert_str_eq(text_of(asq_list_get(list, 0), "method"), "create");
    asq_value_free(list);
    asq_agent_free(a);
    end();
}
END_TEST

START_TEST(the_last_ones_of_a_partition_are_kept)
{
    enum { SENT = 300, KEPT = 20 };
    asq_worker_options options = ASQ_WORKER_OPTIONS_INIT;
    options.keep_failures = KEPT;
    begin_with(&options);
    asq_agent *a = failing("one");
    asq_result *results[SENT];
    for (int i = 0; i < SENT; i++)
        ok(asq_call(a, "fail", &results[i], "[i, s]", ASQ_EUSER(i), "again and again"));
    for (int i = 0; i < SENT; i++)
        ck_assert_int_eq(result_code(results[i]), ASQ_EUSER(i));
    ck_assert_int_eq(kept_in_all(), KEPT);
    asq_value *list = failures(NULL);
    ck_assert_uint_eq(asq_list_size(list), KEPT);
    for (int i = 0; i < KEPT; i++)
        ck_assert_int_eq(asq_map_int(asq_list_get(list, (size_t) i), "number"),
                         ASQ_EUSER(SENT - 1 - i));
    asq_value_free(list);
    asq_agent_free(a);
    end();
}
END_TEST

START_TEST(the_ones_kept_are_bounded_in_bytes)
{
    enum { SENT = 2500, ROOM = 1 << 20 };
    asq_worker_options options = ASQ_WORKER_OPTIONS_INIT;
    options.keep_failures = 10000;
    begin_with(&options);
    asq_agent *a = failing("one");
    asq_result *results[SENT];
    char *text = malloc(2000);
    memset(text, 'x', 1999);
    text[1999] = '\0';
    for (int i = 0; i < SENT; i++)
        ok(asq_call(a, "fail", &results[i], "[i, s]", ASQ_EUSER(i), text));
    for (int i = 0; i < SENT; i++)
        ck_assert_int_eq(result_code(results[i]), ASQ_EUSER(i));
    for (int p = 0; p < 4; p++)
        if (kept(p) > 0)
            ck_assert_int_le(
                sup_redis_int(redis, "MEMORY USAGE asq:{default.%d}:failures SAMPLES 0", p), ROOM);
    ck_assert_int_ge(kept_in_all(), 100);
    ck_assert_int_lt(kept_in_all(), SENT);
    asq_value *list = failures(NULL);
    ck_assert_uint_eq(asq_list_size(list), 100);
    ck_assert_int_eq(asq_map_int(asq_list_get(list, 0), "number"), ASQ_EUSER(SENT - 1));
    ck_assert_uint_eq(strlen(text_of(asq_list_get(list, 0), "message")), 512);
    ck_assert_uint_lt(strlen(text_of(asq_list_get(list, 0), "args")), 256);
    asq_value_free(list);
    free(text);
    asq_agent_free(a);
    end();
}
END_TEST

START_TEST(a_worker_may_keep_none)
{
    asq_worker_options options = ASQ_WORKER_OPTIONS_INIT;
    options.keep_failures = -1;
    begin_with(&options);
    asq_agent *a = failing("one");
    ck_assert_int_eq(call_code(a, "fail", "[i, s]", ASQ_EUSER(1), "not kept"), ASQ_EUSER(1));
    ck_assert_int_eq(kept_in_all(), 0);
    ck_assert_uint_eq(count(NULL), 0);
    asq_agent_free(a);
    end();
}
END_TEST

START_TEST(a_worker_may_leave_the_arguments_out)
{
    asq_worker_options options = ASQ_WORKER_OPTIONS_INIT;
    options.omit_arguments = true;
    begin_with(&options);
    asq_agent *a = failing("one");
    ck_assert_int_eq(call_code(a, "take", "[s]", "the secret"), ASQ_EUSER(1));
    asq_value *list = failures(NULL);
    ck_assert_uint_eq(asq_list_size(list), 1);
    ck_assert_int_eq(asq_value_type(asq_map_get(asq_list_get(list, 0), "args")), ASQ_NULL);
    for (int p = 0; p < 4; p++) {
        redisReply *all = sup_redis_reply(redis, "XRANGE asq:{default.%d}:failures - +", p);
        for (size_t i = 0; i < all->elements; i++)
            for (size_t f = 0; f < all->element[i]->element[1]->elements; f++)
                ck_assert_ptr_null(
                    strstr(all->element[i]->element[1]->element[f]->str, "the secret"));
        freeReplyObject(all);
    }
    asq_value_free(list);
    asq_agent_free(a);
    end();
}
END_TEST

START_TEST(failures_are_chosen_by_what_failed_and_listed_newest_first)
{
    enum { AGENTS = 12 };
    begin();
    int64_t middle_ms = 0;
    for (int i = 0; i < AGENTS; i++) {
        char *id = sup_format("agent-%d", i);
        asq_agent *a = failing(id);
        sup_sleep_ms(2); /* so that the time tells them apart */
        if (i == AGENTS / 2) {
            middle_ms = sup_redis_int(redis, "EVAL %s 0",
                                      "local t = redis.call('TIME') "
                                      "return t[1] * 1000 + math.floor(t[2] / 1000)");
        }
        if (i % 2)
            ck_assert_int_eq(call_code(a, "fail", "[i, s]", ASQ_EUSER(i), "no"), ASQ_EUSER(i));
        else
            ck_assert_int_eq(call_code(a, "take", NULL), ASQ_EUSER(1));
        asq_agent_free(a);
        free(id);
    }
    asq_value *list = failures(NULL);
    ck_assert_uint_eq(asq_list_size(list), AGENTS);
    for (int i = 0; i < AGENTS; i++) {
        char *id = sup_format("agent-%d", AGENTS - 1 - i);
        ck_assert_str_eq(text_of(asq_list_get(list, (size_t) i), "agent"), id);
        free(id);
    }
    asq_value_free(list);
    asq_failures_options wanted = ASQ_FAILURES_OPTIONS_INIT;
    wanted.method = "take";
    ck_assert_uint_eq(count(&wanted), AGENTS / 2);
    wanted.class_name = "Other";
    ck_assert_uint_eq(count(&wanted), 0);
    wanted = (asq_failures_options) ASQ_FAILURES_OPTIONS_INIT;
    wanted.class_name = "Failing";
    wanted.limit = 5;
    list = failures(&wanted);
    ck_assert_uint_eq(asq_list_size(list), 5);
    ck_assert_str_eq(text_of(asq_list_get(list, 4), "agent"), "agent-7");
    asq_value_free(list);
    wanted = (asq_failures_options) ASQ_FAILURES_OPTIONS_INIT;
    wanted.agent_id = "agent-3";
    ck_assert_uint_eq(count(&wanted), 1);
    wanted.code = ASQ_EUSER(4);
    ck_assert_uint_eq(count(&wanted), 0);
    wanted = (asq_failures_options) ASQ_FAILURES_OPTIONS_INIT;
    wanted.since_ms = middle_ms;
    ck_assert_uint_eq(count(&wanted), AGENTS / 2);
    wanted.since_ms = -1;
    asq_value *none = NULL;
    ck_assert_int_eq(asq_failures(H, &wanted, &none), ASQ_EINVAL);
    end();
}
END_TEST

START_TEST(a_foreign_key_in_their_place_does_no_harm)
{
    begin();
    asq_agent *a = failing("one");
    ck_assert_int_eq(call_code(a, "take", NULL), ASQ_EUSER(1));
    int p = 0;
    while (p < 4 && !kept(p))
        p++;
    ck_assert_int_lt(p, 4);
    sup_redis_do(redis, "DEL asq:{default.%d}:failures", p);
    sup_redis_do(redis, "SET asq:{default.%d}:failures foreign", p);
    ck_assert_int_eq(call_code(a, "take", NULL), ASQ_EUSER(1));
    ck_assert_int_eq(kept(p), 1);
    char *aside = sup_redis_str(redis, "GET asq:{default.%d}:failures:aside", p);
    ck_assert_str_eq(aside, "foreign");
    free(aside);
    /* A stream that takes no more entries. */
    sup_redis_do(redis, "XADD asq:{default.%d}:failures " LOAD_HIGHEST " x y", p);
    ck_assert_int_eq(call_code(a, "take", NULL), ASQ_EUSER(1));
    ck_assert_int_eq(kept(p), 1);
    /* Entries of another form are listed as far as they can be read. */
    sup_redis_do(redis, "XADD asq:{default.%d}:failures * message %b code 12x3", p, "\xff\x1b[2J",
                 (size_t) 5);
    asq_value *list = failures(NULL);
    ck_assert_uint_eq(asq_list_size(list), 2);
    const asq_value *f = asq_list_get(list, 0);
    ck_assert_str_eq(text_of(f, "message"), "?\x1b[2J");
    ck_assert_int_eq(asq_value_type(asq_map_get(f, "class")), ASQ_NULL);
    asq_value_free(list);
    asq_agent_free(a);
    end();
}
END_TEST

START_TEST(local_mode_keeps_none)
{
    asq *h = NULL;
    asq_value *list = NULL;
    ck_assert_int_eq(asq_open("local:", NULL, &h, NULL, 0), 0);
    ck_assert_int_eq(asq_failures(h, NULL, &list), ASQ_ENOTSUP);
    asq_close(h);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("failures");
    TCase *t = tcase_create("independent");

    if (!sup_redis_available())
        return sup_skip("no redis-server");
    tcase_set_timeout(t, 120);
    tcase_add_test(t, a_failed_call_is_kept_with_all_that_is_known_of_it);
    tcase_add_test(t, each_failed_run_is_kept_and_calls_without_a_caller_too);
    tcase_add_test(t, the_last_ones_of_a_partition_are_kept);
    tcase_add_test(t, the_ones_kept_are_bounded_in_bytes);
    tcase_add_test(t, a_worker_may_keep_none);
    tcase_add_test(t, a_worker_may_leave_the_arguments_out);
    tcase_add_test(t, failures_are_chosen_by_what_failed_and_listed_newest_first);
    tcase_add_test(t, a_foreign_key_in_their_place_does_no_harm);
    tcase_add_test(t, local_mode_keeps_none);
    suite_add_tcase(s, t);
    return sup_suite_run(s);
}
