/*
 * check_dead.c: operators list, show, resend and drop dead letters, which are calls that kill their
 * process and entries that are no calls. A resent letter is neither lost nor doubled.
 */
#include "classes.h"
#include "modes.h"
#include "support/suite.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static sup_redis *redis;
static pid_t worker; /* 0: not started */

/* ---- Deadly: kills its process until a file is there ----------------------------------------- */

static int deadly_die(asq_ctx *ctx, void *self, const asq_value *args, asq_value **ret)
{
    const char *antidote;
    int rc;

    (void) self;
    if ((rc = asq_args(ctx, args, "[s]", &antidote)) < 0)
        return rc;
    if (access(antidote, F_OK) < 0)
        kill(getpid(), SIGKILL);
    *ret = asq_value_int(asq_ctx_attempt(ctx));
    return asq_map_set_int(asq_ctx_state(ctx), "runs", asq_map_int(asq_ctx_state(ctx), "runs") + 1);
}

/* Calls a private method of its own agent while it waits: a re-entrant call. */
static int deadly_through(asq_ctx *ctx, void *self, const asq_value *args, asq_value **ret)
{
    asq_agent *me;
    int rc;

    (void) self;
    if ((rc = asq_ctx_self(ctx, &me)) < 0)
        return rc;
    if ((rc = asq_call_wait(me, "_die", ret, "[O]", asq_list_get(args, 0))) < 0)
        rc = asq_fail(ctx, rc, "%s", asq_errmsg(asq_ctx_handle(ctx)));
    asq_agent_free(me);
    return rc;
}

static const asq_method deadly_methods[] = { { "die", deadly_die, NULL, 0, NULL },
                                             { "_die", deadly_die, NULL, 0, NULL },
                                             { "through", deadly_through, NULL, 0, NULL },
                                             { 0 } };
static const asq_attribute deadly_attributes[] = { { "runs", NULL, NULL, 0, NULL }, { 0 } };
static const asq_class deadly_class = { ASQ_CLASS_INIT, .name = "Deadly", .methods = deadly_methods,
                                        .attributes = deadly_attributes };

/* ---- fixtures, helpers ----------------------------------------------------------------------- */

static void start_worker(void)
{
    static const asq_class *const list[] = { &deadly_class, &counter_class, NULL };

    worker = modes_fork_worker(sup_redis_url(redis), NULL, list);
}

static void open_deployment(void)
{
    redis = sup_redis_start(NULL);
    mode = MODE_INDEPENDENT;
    H = modes_open_url(sup_url_as(sup_redis_url(redis), "operator"));
}

static void close_deployment(void)
{
    asq_close(H);
    H = NULL;
    if (worker)
        modes_stop_worker(worker);
    worker = 0;
    sup_redis_free(redis);
}

/* Lists dead letters; the caller frees the list. */
static asq_value *letters(size_t limit)
{
    asq_value *list = NULL;

    ok(asq_dead_list(H, limit, &list));
    return list;
}

static size_t count(void)
{
    asq_value *list = letters(0);
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

/* Returns the id of the only letter; valid until the next call. */
static const char *only_id(void)
{
    static char id[128];
    asq_value *list = letters(0);

    ck_assert_uint_eq(asq_list_size(list), 1);
    snprintf(id, sizeof id, "%s", text_of(asq_list_get(list, 0), "id"));
    asq_value_free(list);
    return id;
}

static int partition_in(const char *letter)
{
    return atoi(letter);
}

static int64_t retried_result(const char *letter)
{
    asq_value *ids = NULL;
    asq_result *r = NULL;
    const char *call;

    ok(asq_dead_retry(H, letter, &ids));
    ck_assert_uint_eq(asq_list_size(ids), 1);
    ck_assert_int_eq(asq_value_get_string(asq_list_get(ids, 0), &call, NULL), 0);
    ok(asq_result_attach(H, call, &r));
    asq_value_free(ids);
    return result_int(r);
}

/* ---- a call that kills ----------------------------------------------------------------------- */

START_TEST(a_deadly_call_is_shown_and_runs_when_it_is_sent_again)
{
    char *antidote = sup_path("antidote");
    asq_agent *a;
    asq_value *list, *shown, *runs;
    const asq_value *letter, *job;
    char *call_id;
    int p;

    start_worker();
    a = agent_new("Deadly", NULL);
    ck_assert_code(call_code(a, "die", "[s]", antidote), ASQ_EDEADLETTER);
    list = letters(0);
    ck_assert_uint_eq(asq_list_size(list), 1);
    letter = asq_list_get(list, 0);
    ck_assert_int_eq(asq_map_int(letter, "attempts"), 3);
    ck_assert_contains(text_of(letter, "call"), ".die");
    /* The cause comes first. */
    ck_assert_int_eq(strncmp(text_of(letter, "reason"), "process ", 8), 0);
    ck_assert_contains(text_of(letter, "reason"), "; 3 worker processes died while they ran");
    ck_assert_int_gt(strlen(text_of(letter, "worker")), 0);
    ck_assert_int_gt(asq_map_int(letter, "time_ms"), INT64_C(1600000000000));
    ck_assert_int_gt(asq_map_int(letter, "batch_bytes"), 0);
    ck_assert_ptr_null(asq_map_get(letter, "jobs"));
    call_id = strdup(text_of(letter, "call_id"));
    ok(asq_dead_show(H, text_of(letter, "id"), &shown));
    ck_assert_str_eq(text_of(shown, "call_id"), call_id);
    ck_assert_uint_eq(asq_list_size(asq_map_get(shown, "jobs")), 1);
    job = asq_list_get(asq_map_get(shown, "jobs"), 0);
    ck_assert_str_eq(text_of(job, "kind"), "call");
    ck_assert_str_eq(text_of(job, "class"), "Deadly");
    ck_assert_str_eq(text_of(job, "method"), "die");
    ck_assert_str_eq(text_of(job, "agent"), asq_agent_id(a));
    ck_assert_uint_eq(asq_list_size(asq_map_get(job, "args")), 1);
    ck_assert_int_eq(asq_value_get_string(asq_list_get(asq_map_get(job, "args"), 0),
                                          &(const char *){ NULL }, NULL),
                     0);
    asq_value_free(shown);
    asq_value_free(list);

    touch(antidote);
    p = partition_in(only_id());
    /* A leftover count of attempts is not kept either. */
    sup_redis_do(redis, "HSET asq:{default.%d}:attempts %s 2", p, call_id);
    ck_assert_int_eq(retried_result(only_id()), 1); /* the first attempt */
    ck_assert_uint_eq(count(), 0);
    ck_assert_int_eq(sup_redis_int(redis, "HEXISTS asq:{default.%d}:attempts %s", p, call_id), 0);
    ok(asq_get(a, "runs", &runs));
    ck_assert_value(runs, "1");
    asq_value_free(runs);
    free(call_id);
    free(antidote);
    asq_agent_free(a);
}
END_TEST

START_TEST(a_private_method_may_be_sent_again)
{
    char *antidote = sup_path("antidote");
    asq_value *shown;
    asq_agent *a;

    start_worker();
    a = agent_new("Deadly", NULL);
    ck_assert_code(call_code(a, "through", "[s]", antidote), ASQ_EDEADLETTER);
    ok(asq_dead_show(H, only_id(), &shown));
    ck_assert_str_eq(text_of(asq_list_get(asq_map_get(shown, "jobs"), 0), "method"), "_die");
    asq_value_free(shown);
    touch(antidote);
    ck_assert_int_eq(retried_result(only_id()), 1);
    free(antidote);
    asq_agent_free(a);
}
END_TEST

/* ---- entries that are no calls --------------------------------------------------------------- */

START_TEST(a_class_that_the_call_does_not_name_is_left_out)
{
    asq_agent *a, *nameless;
    asq_value *shown;
    start_worker();
    a = agent_new("Deadly", NULL);
    ok(asq_attach(H, asq_agent_id(a), &nameless));
    ck_assert_code(call_code(nameless, "die", "[s]", "/nowhere"), ASQ_EDEADLETTER);
    ok(asq_dead_show(H, only_id(), &shown));
    ck_assert_ptr_null(asq_map_get(asq_list_get(asq_map_get(shown, "jobs"), 0), "class"));
    ck_assert_contains(text_of(shown, "reason"), "ran Deadly.die of agent");
    asq_value_free(shown);
    asq_agent_free(nameless);
    asq_agent_free(a);
}
END_TEST

START_TEST(garbage_is_shown_and_dropped_and_never_sent_again)
{
    asq_value *shown, *list;
    char id[128];

    start_worker();
    sup_redis_do(redis, "XADD asq:{default.3}:jobs * call %b batch %b", "caf\xe9", (size_t) 4,
                 "\xff\x00\x01 no batch", (size_t) 12);
    sup_wait_until(count() == 1);
    snprintf(id, sizeof id, "%s", only_id());
    ck_assert_int_eq(partition_in(id), 3);
    ok(asq_dead_show(H, id, &shown));
    ck_assert_str_eq(text_of(shown, "call"), "caf?");
    ck_assert_int_eq(asq_map_int(shown, "batch_bytes"), 12);
    ck_assert_str_eq(text_of(shown, "batch_head"), "ff0001206e6f206261746368");
    ck_assert_contains(text_of(shown, "error"), "protobuf");
    ck_assert_ptr_null(asq_map_get(shown, "jobs"));
    asq_value_free(shown);
    ck_assert_code(asq_dead_retry(H, id, NULL), ASQ_EPROTO);
    ck_assert_contains(asq_errmsg(H), "stays");
    ck_assert_str_eq(only_id(), id);
    /* Calls behind the letter have run. */
    sup_redis_do(redis, "XADD asq:{default.3}:jobs * some thing");
    sup_wait_until(count() == 2);
    list = letters(1);
    ck_assert_uint_eq(asq_list_size(list), 1);
    ck_assert_contains(text_of(asq_list_get(list, 0), "reason"), "no field 'batch'");
    ok(asq_dead_drop(H, text_of(asq_list_get(list, 0), "id")));
    asq_value_free(list);
    ok(asq_dead_drop(H, id));
    ck_assert_code(asq_dead_drop(H, id), ASQ_ENOENT);
    ck_assert_code(asq_dead_retry(H, id, NULL), ASQ_ENOENT);
    ck_assert_code(asq_dead_show(H, id, &shown), ASQ_ENOENT);
    ck_assert_uint_eq(count(), 0);
}
END_TEST

START_TEST(ids_that_cannot_be_are_refused)
{
    static const char *const wrong[] = {
        "",       "x",       "1",      "1-2",       "1-2-",
        "1-2-3 ", "1-2-3-4", "-1-2-3", "99999-1-1", "1-2-99999999999999999999999"
    };
    asq_value *v = NULL;
    asq *local;

    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        ck_assert_code(asq_dead_show(H, wrong[i], &v), ASQ_EINVAL);
        ck_assert_code(asq_dead_retry(H, wrong[i], &v), ASQ_EINVAL);
        ck_assert_code(asq_dead_drop(H, wrong[i]), ASQ_EINVAL);
    }
    ck_assert_ptr_null(v);
    local = modes_open_url("local:");
    ck_assert_int_eq(asq_dead_list(local, 0, &v), ASQ_ENOTSUP);
    asq_close(local);
}
END_TEST

/* ---- sent again, once ------------------------------------------------------------------------ */

/* Makes a dead letter of a call that waits in its stream without a worker. Returns its
 * partition. */
static int forge_letter(asq_agent *a)
{
    asq_result *created, *r;
    redisReply *reply, *fields;
    int p = -1;

    ok(asq_call(a, "read", &created, NULL));
    ok(asq_call(a, "add", &r, "[i]", 5));
    ok(asq_flush(H, ASQ_FOREVER));
    for (int i = 0; i < 128 && p < 0; i++)
        if (sup_redis_int(redis, "XLEN asq:{default.%d}:jobs", i) > 0)
            p = i;
    reply = sup_redis_reply(redis, "XREVRANGE asq:{default.%d}:jobs + - COUNT 1", p);
    ck_assert_uint_eq(reply->elements, 1);
    fields = reply->element[0]->element[1];
    ck_assert_str_eq(fields->element[2]->str, "batch");
    sup_redis_do(redis,
                 "XADD asq:{default.%d}:dead * call %s id %s reason forged attempts 3 worker w "
                 "batch %b",
                 p, fields->element[1]->str, "0-0-0", fields->element[3]->str,
                 (size_t) fields->element[3]->len);
    sup_redis_do(redis, "XDEL asq:{default.%d}:jobs %s", p, reply->element[0]->element[0]->str);
    freeReplyObject(reply);
    asq_result_free(created);
    asq_result_free(r);
    return p;
}

START_TEST(a_letter_is_sent_again_once_or_it_stays)
{
    asq_agent *a = counter(1);
    int p = forge_letter(a);
    int64_t waiting = sup_redis_int(redis, "XLEN asq:{default.%d}:jobs", p);
    asq_value *ids;
    asq_result *r;
    const char *call;
    char id[128];

    snprintf(id, sizeof id, "%s", only_id());
    /* Redis has no memory for it. */
    sup_redis_do(redis, "CONFIG SET maxmemory 1");
    ck_assert_code(asq_dead_retry(H, id, NULL), ASQ_EREDIS);
    ck_assert_contains(asq_errmsg(H), "OOM");
    sup_redis_do(redis, "CONFIG SET maxmemory 0");
    ck_assert_str_eq(only_id(), id);
    /* A key of another type is in place of its stream, or of the attempts. */
    sup_redis_do(redis, "RENAME asq:{default.%d}:jobs {default.%d}aside", p, p);
    sup_redis_do(redis, "SET asq:{default.%d}:jobs x", p);
    ck_assert_code(asq_dead_retry(H, id, NULL), ASQ_EREDIS);
    ck_assert_str_eq(only_id(), id);
    sup_redis_do(redis, "RENAME {default.%d}aside asq:{default.%d}:jobs", p, p);
    sup_redis_do(redis, "SET asq:{default.%d}:attempts x", p);
    ck_assert_code(asq_dead_retry(H, id, NULL), ASQ_EREDIS);
    ck_assert_str_eq(only_id(), id);
    ck_assert_int_eq(sup_redis_int(redis, "XLEN asq:{default.%d}:jobs", p), waiting);
    sup_redis_do(redis, "DEL asq:{default.%d}:attempts", p);

    ok(asq_dead_retry(H, id, &ids));
    ck_assert_uint_eq(count(), 0);
    ck_assert_int_eq(sup_redis_int(redis, "XLEN asq:{default.%d}:jobs", p), waiting + 1);
    ck_assert_code(asq_dead_retry(H, id, NULL), ASQ_ENOENT);
    ck_assert_int_eq(sup_redis_int(redis, "XLEN asq:{default.%d}:jobs", p), waiting + 1);

    start_worker();
    asq_value_get_string(asq_list_get(ids, 0), &call, NULL);
    ok(asq_result_attach(H, call, &r));
    asq_value_free(ids);
    ck_assert_int_eq(result_int(r), 6);
    ck_assert_int_eq(call_int(a, "read", NULL), 6);
    asq_agent_free(a);
}
END_TEST

START_TEST(a_letter_in_another_agents_partition_stays)
{
    asq_agent *a = counter(1);
    int p = forge_letter(a), other = (p + 1) % 128;
    redisReply *reply = sup_redis_reply(redis, "XRANGE asq:{default.%d}:dead - +", p);
    redisReply *batch = reply->element[0]->element[1]->element[11];

    sup_redis_do(redis, "XADD asq:{default.%d}:dead * call x batch %b", other, batch->str,
                 (size_t) batch->len);
    freeReplyObject(reply);
    sup_redis_do(redis, "DEL asq:{default.%d}:dead", p);
    ck_assert_int_eq(partition_in(only_id()), other);
    ck_assert_code(asq_dead_retry(H, only_id(), NULL), ASQ_EPROTO);
    ck_assert_contains(asq_errmsg(H), "partition");
    ck_assert_uint_eq(count(), 1);
    asq_agent_free(a);
}
END_TEST

START_TEST(the_list_has_the_newest_last_over_all_partitions)
{
    enum { MANY = 250, PARTITIONS = 3 };
    asq_value *list;
    char expected[64];

    ck_assert_uint_eq(count(), 0);
    for (int i = 0; i < MANY; i++) /* more than a page for each */
        for (int p = 0; p < PARTITIONS; p++)
            sup_redis_do(redis, "XADD asq:{default.%d}:dead %d-%d call c reason r batch x", p * 5,
                         1000 + i, p);
    list = letters(0);
    ck_assert_uint_eq(asq_list_size(list), MANY * PARTITIONS);
    for (int i = 0; i < MANY * PARTITIONS; i++) {
        int p = i % PARTITIONS;
        snprintf(expected, sizeof expected, "%d-%d-%d", p * 5, 1000 + i / PARTITIONS, p);
        ck_assert_str_eq(text_of(asq_list_get(list, (size_t) i), "id"), expected);
    }
    asq_value_free(list);
    list = letters(4);
    ck_assert_uint_eq(asq_list_size(list), 4);
    ck_assert_str_eq(text_of(asq_list_get(list, 3), "id"), "10-1249-2");
    ck_assert_str_eq(text_of(asq_list_get(list, 0), "id"), "10-1248-2");
    asq_value_free(list);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("dead letters");
    TCase *t = tcase_create("independent");

    if (!sup_redis_available())
        return sup_skip("no redis-server");
    tcase_set_timeout(t, 120);
    tcase_add_checked_fixture(t, open_deployment, close_deployment);
    tcase_add_test(t, a_deadly_call_is_shown_and_runs_when_it_is_sent_again);
    tcase_add_test(t, a_private_method_may_be_sent_again);
    tcase_add_test(t, a_class_that_the_call_does_not_name_is_left_out);
    tcase_add_test(t, garbage_is_shown_and_dropped_and_never_sent_again);
    tcase_add_test(t, ids_that_cannot_be_are_refused);
    tcase_add_test(t, a_letter_is_sent_again_once_or_it_stays);
    tcase_add_test(t, a_letter_in_another_agents_partition_stays);
    tcase_add_test(t, the_list_has_the_newest_last_over_all_partitions);
    suite_add_tcase(s, t);
    return sup_suite_run(s);
}
