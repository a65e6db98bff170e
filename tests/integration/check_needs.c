/*
 * check_needs.c: workers with different classes. A partition goes where the classes of its agents
 * are known, calls of a class that an owner lacks go to another worker or wait for one, and no call
 * fails for that.
 */
#include "classes.h"
#include "load.h"
#include "modes.h"
#include "support/file_lines.h"
#include "support/placing.h"
#include "support/suite.h"
#include "value/hash.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PARTITIONS = 8, CALLS = 40 };

static const asq_class *const echo_only[] = { &echo_class, NULL };
static const asq_class *const counter_only[] = { &counter_class, NULL };
static const asq_class *const relay_only[] = { &relay_class, NULL };
static const asq_class *const both[] = { &echo_class, &counter_class, NULL };

static sup_redis *redis;
static asq *h;
static char *log_path;

static void set_up(void)
{
    redis = sup_redis_start(NULL);
    sup_redis_do(redis, "HSET asq:{default}:meta format 1 partitions %d", PARTITIONS);
    h = load_open(sup_redis_url(redis));
    log_path = sup_write_file("worker.log", "");
}

static void tear_down(void)
{
    asq_close(h);
    sup_redis_free(redis);
    free(log_path);
}

/* Starts a worker; of the options those that this file does not set are used. */
static pid_t start_with(const char *id, const asq_class *const *list, asq_worker_options options)
{
    options.id = id;
    options.capacity = 4;
    options.log = sup_log_to_file;
    options.log_user = log_path;
    return modes_fork_worker_with(sup_redis_url(redis), &options, list);
}

static pid_t start(const char *id, const asq_class *const *list, bool fail_no_class)
{
    asq_worker_options options = ASQ_WORKER_OPTIONS_INIT;
    options.lease_time_ms = 20000;
    options.fail_no_class = fail_no_class;
    return start_with(id, list, options);
}

static bool owns(const char *process, uint32_t p)
{
    char *owner = sup_redis_str(redis, "EVAL %s 1 asq:{default.%d}:lease",
                                "return redis.call('HGET', KEYS[1], 'owner') or ''", (int) p);
    bool is = strcmp(owner, process) == 0;
    free(owner);
    return is;
}

static uint32_t count_owned(const char *process)
{
    uint32_t n = 0;
    for (uint32_t p = 0; p < PARTITIONS; p++)
        n += owns(process, p);
    return n;
}

static bool needs(uint32_t p, const char *class_name)
{
    char *set = sup_redis_str(redis, "EVAL %s 1 asq:{default.%d}:lease",
                              "return redis.call('HGET', KEYS[1], 'needs') or ''", (int) p);
    bool has = strstr(set, class_name) != NULL;
    free(set);
    return has;
}

/* Returns an agent's id in a partition, another one for each prefix. */
static const char *id_like(const char *prefix, uint32_t p)
{
    static char id[40];
    for (int i = 0;; i++) {
        int n = snprintf(id, sizeof id, "%s%d", prefix, i);
        if (asq__partition_of(id, (size_t) n, PARTITIONS) == p)
            return id;
    }
}

static const char *id_in(uint32_t p)
{
    return id_like("agent", p);
}

static asq_agent *make(const char *class_name, uint32_t p)
{
    asq_agent *a;
    bool counter = strcmp(class_name, "Counter") == 0;
    ck_assert_int_eq(counter ? asq_create(h, class_name, id_in(p), &a, "{s:i}", "value", 0)
                             : asq_create(h, class_name, id_in(p), &a, NULL),
                     0);
    return a;
}

/* Places the partitions on "first.0" and "second.0"; of the first n of them second lacks a class. */
static void place(uint32_t n, uint32_t owners[PARTITIONS])
{
    const struct asq__place_worker workers[] = { { "first.0", 4, 0 }, { "second.0", 4, 1 } };
    uint16_t missing[2 * PARTITIONS] = { 0 };
    for (uint32_t p = 0; p < n; p++)
        missing[PARTITIONS + p] = 1;
    ck_assert_int_eq(sup_place(workers, 2, PARTITIONS, missing, owners), 0);
}

/* Returns whether partitions are where they belong. */
static bool are_placed(uint32_t n_lacking)
{
    uint32_t owners[PARTITIONS];
    place(n_lacking, owners);
    for (uint32_t p = 0; p < PARTITIONS; p++)
        if (!owns(owners[p] ? "second.0" : "first.0", p))
            return false;
    return true;
}

/* Returns a partition that "first.0" has when nothing is lacking. */
static uint32_t of_first(void)
{
    uint32_t owners[PARTITIONS], p = 0;
    place(0, owners);
    while (owners[p])
        ck_assert_uint_lt(++p, PARTITIONS);
    return p;
}

START_TEST(a_worker_takes_no_partition_with_agents_of_a_class_that_it_lacks)
{
    enum { N = 6 };
    asq_agent *agents[N];
    uint32_t owners[PARTITIONS];
    bool moves = false;
    pid_t first = start("first", both, false), second;

    place(0, owners);
    for (uint32_t p = 0; p < N; p++) {
        agents[p] = make("Counter", p);
        ck_assert_int_eq(asq_ready(agents[p], sup_limit_ms()), 0);
        ck_assert(needs(p, "Counter 0"));
        moves |= owners[p] == 1;
    }
    ck_assert(moves); /* without the rule, some would */
    second = start("second", echo_only, false);
    sup_wait_until(are_placed(N));
    ck_assert_uint_gt(count_owned("second.0"), 0);
    for (uint32_t p = 0; p < N; p++) {
        ck_assert_int_eq(asq_call_wait(agents[p], "add", NULL, "[i]", 1), 0);
        ck_assert(owns("first.0", p));
        asq_agent_free(agents[p]);
    }
    modes_stop_worker(second);
    modes_stop_worker(first);
}
END_TEST

/* Two lease times are waited for. */
static pid_t start_with_short_lease(const char *id, const asq_class *const *list)
{
    asq_worker_options options = ASQ_WORKER_OPTIONS_INIT;
    options.lease_time_ms = 2000;
    return start_with(id, list, options);
}

/* As a worker leaves it that gave the partition up while its release got lost. To the other worker
 * it is held by a live one. */
START_TEST(a_partition_whose_lease_names_a_worker_that_forgot_it_gets_an_owner)
{
    uint32_t p = of_first();
    pid_t first = start_with_short_lease("first", echo_only);
    pid_t second = start_with_short_lease("second", both);
    asq_agent *a = make("Counter", p);

    ck_assert_int_eq(asq_ready(a, sup_limit_ms()), 0);
    sup_wait_until(owns("second.0", p));
    sup_redis_do(redis, "HSET asq:{default.%d}:lease owner first.0 token x", (int) p);
    sup_wait_until(owns("second.0", p));
    ck_assert_int_eq(asq_call_wait(a, "add", NULL, "[i]", 1), 0);
    asq_agent_free(a);
    modes_stop_worker(second);
    modes_stop_worker(first);
}
END_TEST

/* Makes calls behind a creation, and checks that all take effect in their order. */
static void check_order(asq_agent *a, asq_result *results[CALLS])
{
    for (int i = 0; i < CALLS; i++) {
        ck_assert_msg(asq_result_wait(results[i], sup_limit_ms()) == 0, "%s", asq_errmsg(h));
        ck_assert_int_eq(result_int(results[i]), i + 1);
    }
    asq_agent_free(a);
}

static asq_agent *make_and_call(uint32_t p, asq_result *results[CALLS])
{
    asq_agent *a = make("Counter", p);
    for (int i = 0; i < CALLS; i++)
        ck_assert_int_eq(asq_call(a, "add", &results[i], "[i]", 1), 0);
    ck_assert_int_eq(asq_flush(h, sup_limit_ms()), 0);
    return a;
}

/* Also where a call without a worker would fail: here is one. */
START_TEST(calls_of_a_class_that_the_owner_lacks_go_to_another_worker_in_order)
{
    asq_result *results[CALLS];
    uint32_t p = of_first();
    pid_t first = start("first", echo_only, _i), second = start("second", both, _i);
    asq_agent *a;

    sup_wait_until(are_placed(0));
    a = make_and_call(p, results);
    check_order(a, results);
    sup_wait_until(owns("second.0", p));
    ck_assert(needs(p, "Counter 0"));
    modes_stop_worker(second);
    modes_stop_worker(first);
}
END_TEST

START_TEST(calls_of_a_class_that_nobody_has_wait_for_a_worker_and_the_log_says_so)
{
    asq_result *results[CALLS];
    pid_t first = start("first", echo_only, false), second;
    asq_agent *a = make_and_call(3, results);

    sup_wait_until(sup_file_count(log_path, "there is no class 'Counter'") > 0);
    ck_assert(!needs(3, "Counter"));
    second = start("second", both, false);
    check_order(a, results);
    ck_assert(owns("second.0", 3));
    modes_stop_worker(second);
    modes_stop_worker(first);
}
END_TEST

static bool awaits(const char *process, const char *class_name)
{
    char *set = sup_redis_str(redis, "HGET asq:{default}:worker:%s awaits", process);
    bool has = set && strstr(set, class_name);
    free(set);
    return has;
}

/* Each class is known to a worker, but no worker could run all agents of the partition. */
START_TEST(calls_wait_or_fail_where_no_worker_has_all_classes_of_a_partition)
{
    uint32_t p = of_first();
    pid_t first = start("first", echo_only, _i), second = start("second", counter_only, _i), third;
    asq_agent *echo, *counter;

    sup_wait_until(are_placed(0));
    ck_assert_int_eq(asq_create(h, "Echo", id_like("echo", p), &echo, NULL), 0);
    ck_assert_int_eq(asq_ready(echo, sup_limit_ms()), 0);
    counter = make("Counter", p);
    if (_i) {
        ck_assert_int_eq(asq_ready(counter, sup_limit_ms()), ASQ_ENOCLASS);
    } else {
        sup_wait_until(sup_file_count(log_path, "of class Counter together with the classes") > 0);
        sup_wait_until(awaits("first.0", "Counter 0"));
    }
    ck_assert(owns("first.0", p) && !needs(p, "Counter"));
    ck_assert_int_eq(asq_call_wait(echo, "nothing", NULL, NULL), 0);
    if (!_i) {
        third = start("third", both, false);
        ck_assert_int_eq(asq_ready(counter, sup_limit_ms()), 0);
        ck_assert(owns("third.0", p));
        sup_wait_until(!awaits("first.0", "Counter"));
        modes_stop_worker(third);
    }
    asq_agent_free(counter);
    asq_agent_free(echo);
    modes_stop_worker(second);
    modes_stop_worker(first);
}
END_TEST

/* The partition cannot drain, because the call that runs waits for the one that does not. */
START_TEST(a_call_that_waits_for_one_of_a_class_that_its_owner_lacks_runs_again_elsewhere)
{
    asq_worker_options options = ASQ_WORKER_OPTIONS_INIT;
    uint32_t p = of_first();
    pid_t maker = start("maker", both, false), first, second;
    asq_agent *counter = make("Counter", p), *relay;
    asq_result *r;

    ck_assert_int_eq(asq_ready(counter, sup_limit_ms()), 0);
    modes_stop_worker(maker);
    sup_redis_do(redis, "HDEL asq:{default.%d}:lease needs", (int) p);
    options.lease_time_ms = 20000;
    options.drain_timeout_ms = 500;
    first = start_with("first", relay_only, options);
    second = start_with("second", classes, options);
    sup_wait_until(are_placed(0));
    ck_assert_int_eq(asq_create(h, "Relay", id_like("relay", p), &relay, NULL), 0);
    ck_assert_int_eq(asq_ready(relay, sup_limit_ms()), 0);
    ck_assert(owns("first.0", p));
    ck_assert_int_eq(asq_call(relay, "call", &r, "[a, s, [i]]", counter, "add", 1), 0);
    ck_assert_msg(asq_result_wait(r, sup_limit_ms()) == 0, "%s", asq_errmsg(h));
    ck_assert_int_eq(result_int(r), 1);
    ck_assert(owns("second.0", p));
    asq_agent_free(relay);
    asq_agent_free(counter);
    modes_stop_worker(second);
    modes_stop_worker(first);
}
END_TEST

/* As an older worker leaves it, which does not keep what a partition needs. */
START_TEST(an_agent_that_the_owner_cannot_load_goes_to_a_worker_that_can)
{
    asq_result *results[CALLS];
    pid_t first = start("first", both, false), second, third;
    asq_agent *a = make("Counter", 5);

    ck_assert_int_eq(asq_ready(a, sup_limit_ms()), 0);
    modes_stop_worker(first);
    sup_redis_do(redis, "HDEL asq:{default.5}:lease needs");
    second = start("second", echo_only, false);
    for (int i = 0; i < CALLS; i++)
        ck_assert_int_eq(asq_call(a, "add", &results[i], "[i]", 1), 0);
    ck_assert_int_eq(asq_flush(h, sup_limit_ms()), 0);
    sup_wait_until(sup_file_count(log_path, "there is no class 'Counter'") > 0);
    third = start("third", both, false);
    check_order(a, results);
    ck_assert(owns("third.0", 5) && needs(5, "Counter 0"));
    modes_stop_worker(third);
    modes_stop_worker(second);
}
END_TEST

/* Also a call behind the creation that waits, which has no deadline. */
START_TEST(a_call_that_waits_for_a_class_ends_at_its_deadline_and_tells_the_class)
{
    pid_t first = start("first", echo_only, false), second;
    asq_call_options soon = ASQ_CALL_OPTIONS_INIT;
    asq_agent *a = make("Counter", 2);
    asq_result *late, *behind;

    ck_assert_int_eq(asq_flush(h, sup_limit_ms()), 0);
    sup_wait_until(sup_file_count(log_path, "there is no class 'Counter'") > 0);
    soon.deadline_ms = sup_limit_ms() / 30; /* it comes to the worker before */
    ck_assert_int_eq(asq_callv(a, "add", &soon, asq_pack("[i]", 7), &late), 0);
    ck_assert_int_eq(asq_call(a, "add", &behind, "[i]", 1), 0);
    ck_assert_int_eq(asq_result_wait(late, sup_limit_ms()), ASQ_EDEADLINE);
    ck_assert_msg(strstr(asq_errmsg(h), "there is no class 'Counter'"), "%s", asq_errmsg(h));
    asq_result_free(late);
    second = start("second", both, false);
    ck_assert_int_eq(asq_result_wait(behind, sup_limit_ms()), 0);
    ck_assert_int_eq(result_int(behind), 1);
    asq_agent_free(a);
    modes_stop_worker(second);
    modes_stop_worker(first);
}
END_TEST

START_TEST(a_call_of_a_class_that_nobody_has_fails_at_once_if_workers_are_told_so)
{
    pid_t first = start("first", echo_only, true);
    asq_agent *a = make("Counter", 0);
    ck_assert_int_eq(asq_ready(a, sup_limit_ms()), ASQ_ENOCLASS);
    asq_agent_free(a);
    modes_stop_worker(first);
}
END_TEST

/* Finds the pages of agents that were read, by Redis' log of commands, the oldest first. Returns
 * how many there are. */
static uint32_t find_pages(long pages[], uint32_t most)
{
    redisReply *log = sup_redis_reply(redis, "SLOWLOG GET 100000");
    uint32_t n = 0;
    for (size_t i = log->elements; i-- > 0 && n < most;) {
        const redisReply *args = log->element[i]->element[3]; /* EVAL text 1 agents cursor page */
        if (args->elements == 6 && strcmp(args->element[0]->str, "EVAL") == 0 &&
            strstr(args->element[3]->str, ":agents"))
            pages[n++] = strtol(args->element[5]->str, NULL, 10);
    }
    freeReplyObject(log);
    return n;
}

/* Nothing is known of their size at first: the first ones may have megabytes each. */
START_TEST(counts_of_agents_begin_with_a_small_page)
{
    enum { N = 400, PAGES = 5 };
    asq_agent *agents[N];
    long pages[PAGES];
    pid_t first = start_with_short_lease("first", both), second;

    for (uint32_t i = 0, made = 0; made < N; i++) {
        char id[40];
        int n = snprintf(id, sizeof id, "agent%u", i);
        if (asq__partition_of(id, (size_t) n, PARTITIONS) == 1)
            ck_assert_int_eq(asq_create(h, "Counter", id, &agents[made++], "{s:i}", "value", 0), 0);
    }
    for (int i = 0; i < N; i++) {
        ck_assert_int_eq(asq_ready(agents[i], sup_limit_ms()), 0);
        asq_agent_free(agents[i]);
    }
    sup_redis_do(redis, "CONFIG SET slowlog-max-len 100000");
    sup_redis_do(redis, "CONFIG SET slowlog-log-slower-than 0");
    second = start_with_short_lease("second", echo_only); /* it lacks a class: they are counted */
    sup_wait_until(find_pages(pages, PAGES) == PAGES);
    ck_assert_int_eq(pages[0], 1);
    for (int i = 1; i < PAGES; i++)
        ck_assert_int_eq(pages[i], 2 * pages[i - 1]);
    modes_stop_worker(second);
    modes_stop_worker(first);
}
END_TEST

/* They are counted anew after a lease time. */
START_TEST(a_call_fails_if_its_partition_needs_too_many_classes_already)
{
    enum { FILL = 1489 }; /* with Counter they have some bytes too many */
    static char set[FILL * 11 + 1];
    asq_worker_options options = ASQ_WORKER_OPTIONS_INIT;
    asq_agent *a = make("Counter", 4);
    pid_t first;

    for (int i = 0, at = 0; i < FILL; i++)
        at += snprintf(set + at, sizeof set - (size_t) at, "%sFill%04d 0", i ? "," : "", i);
    sup_redis_do(redis, "HSET asq:{default.4}:lease needs %s", set);
    options.lease_time_ms = 600000;
    first = start_with("first", echo_only, options);
    ck_assert_int_eq(asq_ready(a, sup_limit_ms()), ASQ_ENOCLASS);
    sup_wait_until(sup_file_count(log_path, "that it needs class Counter cannot be kept") > 0);
    asq_agent_free(a);
    modes_stop_worker(first);
}
END_TEST

/* Also where calls fail that nobody can run: this one waits for a drain. */
START_TEST(a_call_that_waits_for_a_hand_over_ends_at_its_deadline)
{
    char *begun = sup_path("begun"), *release = sup_path("release");
    uint32_t p = of_first();
    pid_t maker = start("maker", both, true), first, second;
    asq_call_options soon = ASQ_CALL_OPTIONS_INIT;
    asq_agent *counter = make("Counter", p), *echo;
    asq_result *hold, *late;

    ck_assert_int_eq(asq_ready(counter, sup_limit_ms()), 0);
    modes_stop_worker(maker);
    sup_redis_do(redis, "HDEL asq:{default.%d}:lease needs", (int) p);
    first = start("first", echo_only, true);
    second = start("second", both, true);
    sup_wait_until(are_placed(0));
    ck_assert_int_eq(asq_create(h, "Echo", id_like("echo", p), &echo, NULL), 0);
    ck_assert_int_eq(asq_call(echo, "hold", &hold, "[s, s]", begun, release), 0);
    sup_wait_until(access(begun, F_OK) == 0);
    soon.deadline_ms = sup_limit_ms() / 30;
    ck_assert_int_eq(asq_callv(counter, "add", &soon, asq_pack("[i]", 1), &late), 0);
    ck_assert_int_eq(asq_result_wait(late, sup_limit_ms()), ASQ_EDEADLINE);
    ck_assert_msg(strstr(asq_errmsg(h), "there is no class 'Counter'"), "%s", asq_errmsg(h));
    ck_assert(owns("first.0", p));
    free(sup_write_file("release", ""));
    ck_assert_int_eq(asq_result_wait(hold, sup_limit_ms()), 0);
    sup_wait_until(owns("second.0", p));
    asq_result_free(hold);
    asq_result_free(late);
    asq_agent_free(echo);
    asq_agent_free(counter);
    free(begun);
    free(release);
    modes_stop_worker(second);
    modes_stop_worker(first);
}
END_TEST

/* The second worker gets its share when the agents of the class that it lacks are gone. */
START_TEST(classes_without_agents_are_needed_no_more)
{
    asq_agent *agents[PARTITIONS], *stays;
    pid_t first = start("first", both, false), second = start("second", echo_only, false);

    for (uint32_t p = 0; p < PARTITIONS; p++) {
        agents[p] = make("Counter", p);
        ck_assert_int_eq(asq_ready(agents[p], sup_limit_ms()), 0);
    }
    ck_assert_int_eq(asq_create(h, "Echo", NULL, &stays, NULL), 0);
    ck_assert_int_eq(asq_ready(stays, sup_limit_ms()), 0);
    sup_wait_until(count_owned("first.0") == PARTITIONS);
    for (uint32_t p = 0; p < PARTITIONS; p++) {
        ck_assert_int_eq(asq_delete(agents[p], sup_limit_ms()), 0);
        asq_agent_free(agents[p]);
    }
    sup_wait_until(are_placed(0));
    for (uint32_t p = 0; p < PARTITIONS; p++)
        ck_assert(owns("first.0", p) || !needs(p, "Counter"));
    ck_assert_int_eq(asq_call_wait(stays, "nothing", NULL, NULL), 0);
    asq_agent_free(stays);
    modes_stop_worker(second);
    modes_stop_worker(first);
}
END_TEST

/* ---- rolling updates ---- */

enum { WORKERS = 3, AGENTS = 24 };
enum update { ADDS, DROPS, UPGRADES, UPDATES };

static int upgrade_counter(asq_ctx *ctx, uint32_t from_version, asq_value **state)
{
    (void) ctx;
    return from_version == 0 ? asq_map_set(*state, "label", asq_value_string("new")) : ASQ_EVERSION;
}

/* Classes of the workers before and after an update. */
static asq_class extra, newer;
static const asq_class *const with_extra[] = { &echo_class, &counter_class, &extra, NULL };
static const asq_class *const with_newer[] = { &echo_class, &newer, NULL };
static const asq_class *const *const before[] = {
    [ADDS] = both, [DROPS] = with_extra, [UPGRADES] = both
};
static const asq_class *const *const after[] = {
    [ADDS] = with_extra, [DROPS] = both, [UPGRADES] = with_newer
};

static void make_classes(void)
{
    extra = newer = counter_class;
    extra.name = "Extra";
    newer.version = 1;
    newer.upgrade = upgrade_counter;
}

struct group {
    asq_agent *agents[AGENTS];
    asq_result *results[AGENTS];
    int64_t rounds;
};

static void make_group(struct group *g, const char *class_name)
{
    *g = (struct group){ .rounds = 0 };
    for (int i = 0; i < AGENTS; i++)
        ck_assert_int_eq(asq_create(h, class_name, NULL, &g->agents[i], "{s:i}", "value", 0), 0);
}

static void send_round(struct group *g)
{
    for (int i = 0; g->agents[0] && i < AGENTS; i++)
        ck_assert_int_eq(asq_call(g->agents[i], "add", &g->results[i], "[i]", 1), 0);
}

/* No call of the round has failed, got lost or run twice. */
static void check_round(struct group *g)
{
    g->rounds++;
    for (int i = 0; g->agents[0] && i < AGENTS; i++) {
        ck_assert_msg(asq_result_wait(g->results[i], sup_limit_ms()) == 0, "round %lld: %s",
                      (long long) g->rounds, asq_errmsg(h));
        ck_assert_int_eq(result_int(g->results[i]), g->rounds);
    }
}

static void delete_group(struct group *g)
{
    for (int i = 0; i < AGENTS; i++) {
        ck_assert_int_eq(asq_delete(g->agents[i], sup_limit_ms()), 0);
        asq_agent_free(g->agents[i]);
        g->agents[i] = NULL;
    }
}

static void free_group(struct group *g)
{
    for (int i = 0; i < AGENTS; i++)
        asq_agent_free(g->agents[i]);
}

static void run_round(struct group *counters, struct group *extras)
{
    send_round(counters);
    send_round(extras);
    check_round(counters);
    check_round(extras);
}

static const char *const ids[WORKERS] = { "one", "two", "three" };

/* Replaces a worker by one with the classes of after the update, and goes on calling meanwhile. */
static void update(pid_t *worker, int i, enum update what, struct group *counters,
                   struct group *extras)
{
    int status;
    char process[16];
    send_round(counters);
    send_round(extras);
    kill(*worker, SIGTERM);
    check_round(counters);
    check_round(extras);
    while (waitpid(*worker, &status, WNOHANG) == 0)
        run_round(counters, extras);
    ck_assert_int_eq(status, 0);
    *worker = start(ids[i], after[what], false);
    snprintf(process, sizeof process, "%s.0", ids[i]);
    int64_t end_ms = sup_now_ms() + sup_limit_ms();
    while (!count_owned(process) && !(what == DROPS && extras->agents[0])) {
        ck_assert_msg(sup_now_ms() < end_ms, "%s gets no partition", process);
        run_round(counters, extras);
    }
    run_round(counters, extras);
}

START_TEST(a_rolling_update_fails_no_call)
{
    enum update what = (enum update) _i;
    pid_t workers[WORKERS];
    struct group counters, extras = { .rounds = 0 };
    make_classes();
    for (int i = 0; i < WORKERS; i++)
        workers[i] = start(ids[i], before[what], false);
    make_group(&counters, "Counter");
    if (what == DROPS)
        make_group(&extras, "Extra");
    run_round(&counters, &extras);
    for (int i = 0; i < WORKERS; i++) {
        if (what == DROPS && i == WORKERS - 1)
            delete_group(&extras); /* its last worker is about to go */
        update(&workers[i], i, what, &counters, &extras);
        if (what == ADDS && i == 0)
            make_group(&extras, "Extra"); /* two of three workers lack it */
    }
    run_round(&counters, &extras);
    free_group(&counters);
    free_group(&extras);
    for (int i = 0; i < WORKERS; i++)
        modes_stop_worker(workers[i]);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("needs");
    TCase *t = tcase_create("needs");

    if (!sup_redis_available())
        return sup_skip("no redis-server");
    tcase_add_checked_fixture(t, set_up, tear_down);
    tcase_add_test(t, a_worker_takes_no_partition_with_agents_of_a_class_that_it_lacks);
    tcase_add_test(t, a_partition_whose_lease_names_a_worker_that_forgot_it_gets_an_owner);
    tcase_add_loop_test(t, calls_of_a_class_that_the_owner_lacks_go_to_another_worker_in_order, 0,
                        2);
    tcase_add_test(t, calls_of_a_class_that_nobody_has_wait_for_a_worker_and_the_log_says_so);
    tcase_add_test(t,
                   a_call_that_waits_for_one_of_a_class_that_its_owner_lacks_runs_again_elsewhere);
    tcase_add_loop_test(t, calls_wait_or_fail_where_no_worker_has_all_classes_of_a_partition, 0, 2);
    tcase_add_test(t, an_agent_that_the_owner_cannot_load_goes_to_a_worker_that_can);
    tcase_add_test(t, a_call_that_waits_for_a_class_ends_at_its_deadline_and_tells_the_class);
    tcase_add_test(t, a_call_fails_if_its_partition_needs_too_many_classes_already);
    tcase_add_test(t, a_call_that_waits_for_a_hand_over_ends_at_its_deadline);
    tcase_add_test(t, a_call_of_a_class_that_nobody_has_fails_at_once_if_workers_are_told_so);
    tcase_add_test(t, counts_of_agents_begin_with_a_small_page);
    tcase_add_test(t, classes_without_agents_are_needed_no_more);
    tcase_add_loop_test(t, a_rolling_update_fails_no_call, 0, UPDATES);
    suite_add_tcase(s, t);
    return sup_suite_run(s);
}
