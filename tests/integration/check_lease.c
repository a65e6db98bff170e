/*
 * check_lease.c: an operator deletes or overwrites leases to unstick a partition while calls are
 * under way. Each call still takes effect once.
 */
#include "load.h"
#include "support/suite.h"
#include "value/hash.h"

#include <stdlib.h>
#include <string.h>

enum { PARTITIONS = 2, AGENTS = 16, RELAYS = 16, ROUNDS = 100, CALLS_PER_ROUND = 4 };

static sup_redis *redis;
static asq *h;

static void set_up(void)
{
    redis = sup_redis_start(NULL);
    sup_redis_do(redis, "HSET asq:{default}:meta format 1 partitions %d", PARTITIONS);
    h = load_open(sup_redis_url(redis));
}

static void tear_down(void)
{
    asq_close(h);
    sup_redis_free(redis);
}

static pid_t worker(const char *id)
{
    asq_worker_options options = ASQ_WORKER_OPTIONS_INIT;

    options.id = id;
    options.processes = 2;
    options.lease_time_ms = 1000;
    return load_worker(sup_redis_url(redis), &options);
}

/* Relays, of which each adds to a counter of its own, so the results of each are 1, 2, 3 … */
struct nested {
    asq_agent *relay[RELAYS], *counter[RELAYS];
    asq_result *results[ROUNDS * CALLS_PER_ROUND * RELAYS];
    size_t n;
};

static struct nested *nested_new(void)
{
    struct nested *n = calloc(1, sizeof *n);

    for (int i = 0; i < RELAYS; i++) {
        ck_assert_int_eq(asq_create(h, "Relay", NULL, &n->relay[i], NULL), 0);
        ck_assert_int_eq(asq_create(h, "Counter", NULL, &n->counter[i], "{s:i}", "value", 0), 0);
    }
    for (int i = 0; i < RELAYS; i++) {
        ck_assert_int_eq(asq_ready(n->relay[i], sup_limit_ms()), 0);
        ck_assert_int_eq(asq_ready(n->counter[i], sup_limit_ms()), 0);
    }
    return n;
}

static void nested_calls(struct nested *n)
{
    for (int k = 0; k < CALLS_PER_ROUND * RELAYS; k++, n->n++)
        ck_assert_int_eq(asq_call(n->relay[n->n % RELAYS], "call", &n->results[n->n], "[a, s, [i]]",
                                  n->counter[n->n % RELAYS], "add", 1),
                         0);
}

static void nested_check(struct nested *n)
{
    for (size_t i = 0; i < n->n; i++) {
        int64_t value = 0;
        int rc = asq_result_int(n->results[i], &value);

        ck_assert_msg(rc == 0, "call %zu: %s: %s", i, asq_error_name(rc), asq_errmsg(h));
        ck_assert_int_eq(value, (int64_t) (i / RELAYS + 1));
        asq_result_free(n->results[i]);
    }
    for (int i = 0; i < RELAYS; i++) {
        asq_agent_free(n->relay[i]);
        asq_agent_free(n->counter[i]);
    }
    free(n);
}

/* Deletes leases (0), overwrites them (1), or overwrites their owner (2). */
static void harm_lease(int how, uint32_t p)
{
    if (how == 0)
        sup_redis_do(redis, "DEL asq:{default.%u}:lease", p);
    else if (how == 1)
        sup_redis_do(redis, "SET asq:{default.%u}:lease x", p);
    else
        sup_redis_do(redis, "HSET asq:{default.%u}:lease owner nobody token x seq 7", p);
}

START_TEST(calls_take_effect_once_though_leases_are_harmed_under_load)
{
    pid_t a = worker("a"), b = worker("b");
    struct load *l = load_new(h, AGENTS);
    struct nested *n = nested_new();

    for (int i = 0; i < ROUNDS; i++) {
        load_calls(l, CALLS_PER_ROUND);
        nested_calls(n);
        asq_poll(h, i % 7);
        harm_lease(_i, (uint32_t) i % PARTITIONS);
        asq_poll(h, i % 5);
    }
    sup_wait_until(load_is_done(l));
    nested_check(n);
    load_check(l);
    load_worker_stop(a);
    load_worker_stop(b);
}
END_TEST

static int64_t epoch(void)
{
    char *text = sup_redis_str(redis, "HGET asq:{default.0}:lease epoch");
    int64_t number = text ? strtoll(text, NULL, 10) : 0;

    free(text);
    return number;
}

/* Waits for a new owner, whose epoch is above `before`. */
static int64_t next_epoch(int64_t before)
{
    int64_t now = 0;

    sup_wait_until((now = epoch()) != 0 && now != before);
    ck_assert_int_gt(now, before);
    return now;
}

/* Leases are deleted and overwritten. Once, an epoch is far ahead of the clock. */
START_TEST(an_epoch_never_goes_back)
{
    enum { DAY_MS = 24 * 3600 * 1000 };
    pid_t a = worker("a");
    int64_t last = next_epoch(0), ahead = last + DAY_MS;

    sup_redis_do(redis, "DEL asq:{default.0}:lease");
    last = next_epoch(last);
    sup_redis_do(redis, "SET asq:{default.0}:lease x");
    sup_wait_until(sup_redis_int(redis, "EXISTS asq:{default.0}:lease:aside") == 1);
    last = next_epoch(last);
    load_worker_kill(a);
    sup_redis_do(redis, "HSET asq:{default.0}:lease epoch %lld", (long long) ahead);
    a = worker("b");
    last = next_epoch(ahead);
    /* Redis keeps the epoch beside the lease. */
    load_worker_kill(a);
    sup_redis_do(redis, "DEL asq:{default.0}:lease");
    a = worker("c");
    last = next_epoch(last);
    /* Workers keep the epoch in memory. */
    sup_redis_do(redis, "DEL asq:{default.0}:lease asq:{default.0}:epoch");
    next_epoch(last);
    load_worker_kill(a);
}
END_TEST

static const struct {
    const char *field, *value;
} values[] = {
    { "seq", "-1" },
    { "seq", "nan" },
    { "seq", "inf" },
    { "seq", "1e300" },
    { "seq", "9007199254740993" },
    { "seq", "18446744073709551615" },
    { "seq", "text" },
    { "epoch", "nan" },
    { "epoch", "-5" },
    { "epoch", "1e300" },
    { "epoch", "9223372036854775807" },
    { "token", "" },
    { "owner", "ghost" },
};

START_TEST(a_lease_with_values_that_are_none_heals)
{
    pid_t w = worker("w");
    asq_agent *agent;
    int64_t last;

    ck_assert_int_eq(asq_create(h, "Counter", "{one}", &agent, "{s:i}", "value", 0), 0);
    ck_assert_int_eq(asq_ready(agent, sup_limit_ms()), 0);
    last = epoch();
    for (int i = 0; i < PARTITIONS; i++)
        sup_redis_do(redis, "HSET asq:{default.%d}:lease %s %s", i, values[_i].field,
                     values[_i].value);
    ck_assert_int_eq(asq_call_wait(agent, "add", NULL, "[i]", 1), 0);
    load_worker_stop(w);
    w = worker("w");
    ck_assert_int_eq(asq_call_wait(agent, "add", NULL, "[i]", 1), 0);
    sup_wait_until(epoch() > last && epoch() < (int64_t) 1 << 53);
    asq_agent_free(agent);
    load_worker_stop(w);
}
END_TEST

/* A lease with the number of the next commit does not mean that this commit has taken effect. */
START_TEST(a_commit_that_redis_refused_has_no_effect)
{
    pid_t w = worker("w");
    asq_agent *agent;
    int64_t value = 0;

    ck_assert_int_eq(asq_create(h, "Counter", "{one}", &agent, "{s:i}", "value", 0), 0);
    ck_assert_int_eq(asq_ready(agent, sup_limit_ms()), 0);
    for (int i = 1; i <= 5; i++) {
        asq_result *r;

        for (int p = 0; p < PARTITIONS; p++)
            sup_redis_do(redis, "HINCRBY asq:{default.%d}:lease seq 1", p);
        ck_assert_int_eq(asq_call(agent, "add", &r, "[i]", 1), 0);
        ck_assert_int_eq(asq_result_wait(r, sup_limit_ms()), 0);
        ck_assert_int_eq(asq_result_int(r, &value), 0);
        ck_assert_int_eq(value, i);
        asq_result_free(r);
    }
    asq_agent_free(agent);
    load_worker_stop(w);
}
END_TEST

/* Redis takes no entry behind the highest id. Other entries that wait there are not lost, and take
 * effect once; the entry of that id becomes a dead letter. A call fails if Redis has refused it and
 * accepted a later one, because it would run out of order. */
START_TEST(an_entry_with_the_highest_id_does_not_end_its_partition)
{
    uint32_t p;
    pid_t w = worker("w");
    struct load *before = load_new(h, AGENTS), *meanwhile = load_new(h, AGENTS),
                *after = load_new(h, AGENTS);

    load_calls(before, 10);
    ck_assert_int_eq(asq_flush(h, sup_limit_ms()), 0);
    for (p = 0; p < PARTITIONS; p++)
        sup_redis_do(redis, "XADD asq:{default.%u}:jobs " LOAD_HIGHEST " call x batch y", p);
    load_calls(meanwhile, 10);
    sup_wait_until(load_is_done(before) && load_is_done(meanwhile) &&
                   load_streams_are_usable(redis, PARTITIONS));
    load_calls(after, 10);
    sup_wait_until(load_is_done(after));
    load_check(before);
    load_check_but(meanwhile, ASQ_EREDIS);
    load_check(after);
    for (p = 0; p < PARTITIONS; p++)
        sup_wait_until(sup_redis_int(redis, "XLEN asq:{default.%u}:dead", p) == 1);
    load_worker_stop(w);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("lease");
    TCase *t = tcase_create("lease");

    if (!sup_redis_available())
        return sup_skip("no redis-server");
    tcase_add_checked_fixture(t, set_up, tear_down);
    tcase_add_loop_test(t, calls_take_effect_once_though_leases_are_harmed_under_load, 0, 3);
    tcase_add_test(t, an_epoch_never_goes_back);
    tcase_add_loop_test(t, a_lease_with_values_that_are_none_heals, 0,
                        sizeof values / sizeof values[0]);
    tcase_add_test(t, a_commit_that_redis_refused_has_no_effect);
    tcase_add_test(t, an_entry_with_the_highest_id_does_not_end_its_partition);
    suite_add_tcase(s, t);
    return sup_suite_run(s);
}
