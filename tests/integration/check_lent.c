/*
 * check_lent.c: the result of a method's call is lent, as a future, to an agent of another process;
 * the method's worker dies, and the method runs again in the process where the lent result is
 * awaited. There the call is known by its id, but was made by nobody in that process.
 */
#include "classes.h"
#include "load.h"
#include "support/placing.h"
#include "support/suite.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "value/hash.h"

enum { PARTITIONS = 8 };

static sup_redis *redis;

static void set_up(void)
{
    redis = sup_redis_start(NULL);
    load_make_namespace(sup_redis_url(redis), PARTITIONS);
}

static void tear_down(void)
{
    sup_redis_free(redis);
}

static pid_t start(const char *id)
{
    asq_worker_options options = ASQ_WORKER_OPTIONS_INIT;
    options.id = id;
    options.lease_time_ms = 1000;
    return load_worker(sup_redis_url(redis), &options);
}

static bool is_owner(uint32_t partition, const char *process)
{
    char *owner = sup_redis_str(redis, "HGET asq:{default.%u}:lease owner", partition);
    bool is = owner && strcmp(owner, process) == 0;
    free(owner);
    return is;
}

/* The only process of each worker. */
static const struct asq__place_worker processes[2] = { { "one.0", 1, 0 }, { "two.0", 1, 0 } };

/* Waits until all partitions have the owners that they are to have; puts the first one of each
 * process into `firsts`. */
static void await_placing(uint32_t firsts[2])
{
    uint32_t owners[PARTITIONS];
    ck_assert_int_eq(sup_place(processes, 2, PARTITIONS, NULL, owners), 0);
    for (uint32_t p = PARTITIONS; p-- > 0;) {
        sup_wait_until(is_owner(p, processes[owners[p]].id));
        firsts[owners[p]] = p;
    }
}

/* Creates an agent in the partition. */
static asq_agent *agent_in(asq *h, uint32_t partition, const char *class_name, const char *name)
{
    asq_agent *a;
    char id[40];
    int n = 0;
    do
        snprintf(id, sizeof id, "%s-%d", name, n++);
    while (asq__partition_of(id, strlen(id), PARTITIONS) != partition);
    ck_assert_int_eq(asq_create(h, class_name, id, &a, NULL), 0);
    ck_assert_int_eq(asq_ready(a, sup_limit_ms()), 0);
    return a;
}

START_TEST(who_runs_again_where_its_call_is_awaited_ends)
{
    char *begun = sup_path("begun"), *release = sup_path("release"), *lent = sup_path("lent");
    char *again = sup_path("lent-again");
    uint32_t firsts[2] = { PARTITIONS, PARTITIONS };
    bool value = false;
    asq_result *r;
    pid_t one = start("one"), two = start("two");
    asq *h = load_open(sup_redis_url(redis));

    await_placing(firsts);
    asq_agent *lender = agent_in(h, firsts[0], "Relay", "lender");
    asq_agent *holder = agent_in(h, firsts[1], "Echo", "holder");
    asq_agent *taker = agent_in(h, firsts[1], "Echo", "taker");
    asq_agent *other = agent_in(h, firsts[1], "Echo", "other");
    ck_assert_int_eq(
        asq_call(lender, "lend", &r, "[a, a, s, s, s]", holder, taker, begun, release, lent), 0);
    sup_wait_until(access(begun, F_OK) == 0 && access(lent, F_OK) == 0);
    /* Calls behind the taker's in their stream have run: that one awaits its argument. */
    ck_assert_int_eq(asq_call_wait(other, "nothing", NULL, NULL), 0);
    ck_assert(is_owner(firsts[0], "one.0") && is_owner(firsts[1], "two.0"));
    load_worker_kill(one);
    sup_wait_until(access(again, F_OK) == 0);
    ck_assert(is_owner(firsts[0], "two.0"));
    close(open(release, O_CREAT | O_WRONLY, 0600));
    ck_assert_msg(asq_result_wait(r, sup_limit_ms()) == 0, "%s", asq_errmsg(h));
    ck_assert_int_eq(asq_result_bool(r, &value), 0);
    ck_assert(value);

    asq_result_free(r);
    asq_agent_free(lender);
    asq_agent_free(holder);
    asq_agent_free(taker);
    asq_agent_free(other);
    asq_close(h);
    load_worker_stop(two);
    free(begun);
    free(release);
    free(lent);
    free(again);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("lent");
    TCase *t = tcase_create("run again");
    tcase_add_checked_fixture(t, set_up, tear_down);
    tcase_add_test(t, who_runs_again_where_its_call_is_awaited_ends);
    suite_add_tcase(s, t);
    return s;
}

int main(void)
{
    return sup_suite_run(suite());
}
