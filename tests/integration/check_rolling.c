/*
 * check_rolling.c: three workers are replaced one after the other by newer ones, which have a new
 * class, lack one that was dropped, and have a newer version of another one whose states they
 * upgrade. Each agent has calls under way all the time. No call fails, is lost or runs twice, and
 * the order of each agent's calls holds.
 */
#include "classes.h"
#include "load.h"
#include "modes.h"
#include "support/file_lines.h"
#include "support/suite.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

enum { PARTITIONS = 16, WORKERS = 3, AGENTS = 20, UNDER_WAY = 6, PROGRESS = 20 };

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

/* ---- the workers before and after ---- */

/* Counter is upgraded, Former dropped, Newcomer new: both are Counters by another name. */
static asq_class newer, former, newcomer;
static const asq_class *const before[] = { &counter_class, &former, &relay_class, NULL };
static const asq_class *const after[] = { &newer, &newcomer, &relay_class, NULL };
static const char *const ids[WORKERS] = { "one", "two", "three" };

static int upgrade(asq_ctx *ctx, uint32_t from_version, asq_value **state)
{
    (void) ctx;
    return from_version == 0 ? asq_map_set(*state, "label", asq_value_string("new")) : ASQ_EVERSION;
}

static void make_classes(void)
{
    newer = former = newcomer = counter_class;
    newer.version = 1;
    newer.upgrade = upgrade;
    former.name = "Former";
    newcomer.name = "Newcomer";
}

static pid_t start(int i, const asq_class *const *list)
{
    asq_worker_options options = ASQ_WORKER_OPTIONS_INIT;
    options.id = ids[i];
    options.capacity = 4;
    options.lease_time_ms = 20000;
    options.log = sup_log_to_file;
    options.log_user = log_path;
    return modes_fork_worker_with(sup_redis_url(redis), &options, list);
}

/* Returns whether a worker is listed, with all that others decide by. */
static bool is_there(int i)
{
    return sup_redis_int(redis, "HEXISTS asq:{default}:worker:%s.0 knows", ids[i]) == 1;
}

static int count_owned(int i)
{
    char *process = sup_format("%s.0", ids[i]);
    int n = 0;
    for (int p = 0; p < PARTITIONS; p++) {
        char *owner = sup_redis_str(redis, "HGET asq:{default.%d}:lease owner", p);
        n += owner && strcmp(owner, process) == 0;
        free(owner);
    }
    free(process);
    return n;
}

/* ---- the load ---- */

/* An agent and its calls under way, the oldest first: a ring. */
struct stream {
    asq_agent *agent;
    asq_result *results[UNDER_WAY];
    int64_t sent, taken;
};

struct group {
    const char *class_name;
    struct stream streams[AGENTS];
    bool there, ends; /* ends: makes no more calls */
};

static struct group counters = { .class_name = "Counter" }, formers = { .class_name = "Former" },
                    newcomers = { .class_name = "Newcomer" };
static struct group *const groups[] = { &counters, &formers, &newcomers };
enum { GROUPS = sizeof groups / sizeof *groups };

static void make_group(struct group *g)
{
    for (int i = 0; i < AGENTS; i++)
        ck_assert_int_eq(
            asq_create(h, g->class_name, NULL, &g->streams[i].agent, "{s:i}", "value", 0), 0);
    g->there = true;
}

/* Takes what has come: the n-th call of an agent gives n. */
static void take(const struct group *g, struct stream *s)
{
    asq_result **oldest;
    while (s->taken < s->sent && asq_result_done(*(oldest = &s->results[s->taken % UNDER_WAY]))) {
        int64_t value;
        int rc = asq_result_int(*oldest, &value);
        ck_assert_msg(rc == 0, "call %lld of a %s: %s", (long long) s->taken + 1, g->class_name,
                      asq_errmsg(h));
        ck_assert_int_eq(value, ++s->taken);
        asq_result_free(*oldest);
    }
}

/* Half of the calls run on threads, half on the loop's. */
static void drive(struct group *g)
{
    for (int i = 0; g->there && i < AGENTS; i++) {
        struct stream *s = &g->streams[i];
        take(g, s);
        for (; !g->ends && s->sent - s->taken < UNDER_WAY; s->sent++)
            ck_assert_int_eq(asq_call(s->agent, s->sent % 2 ? "add" : "add_blocking",
                                      &s->results[s->sent % UNDER_WAY], "[i]", 1),
                             0);
    }
}

static bool goes_on(void)
{
    for (int i = 0; i < GROUPS; i++)
        drive(groups[i]);
    return asq_poll(h, 5) >= 0;
}

/* Waits, with calls of all agents under way. */
#define GO_ON_UNTIL(condition) sup_wait_until(goes_on() && (condition))

/* Returns whether each agent of a group has got so far. */
static bool have_come_to(const struct group *g, const int64_t goals[AGENTS])
{
    for (int i = 0; i < AGENTS; i++)
        if (g->streams[i].taken < goals[i])
            return false;
    return true;
}

/* Goes on until each agent of a group has run some more calls. */
static void progress(const struct group *g)
{
    int64_t goals[AGENTS];
    for (int i = 0; i < AGENTS; i++)
        goals[i] = g->streams[i].taken + PROGRESS;
    GO_ON_UNTIL(have_come_to(g, goals));
}

static bool is_at_rest(const struct group *g)
{
    for (int i = 0; i < AGENTS; i++)
        if (g->streams[i].taken < g->streams[i].sent)
            return false;
    return true;
}

/* Deletes the agents of a group, while the others go on. */
static void end_group(struct group *g)
{
    asq_result *deleted[AGENTS];
    g->ends = true;
    GO_ON_UNTIL(is_at_rest(g));
    g->there = false;
    for (int i = 0; i < AGENTS; i++)
        ck_assert_int_eq(asq_delete_async(g->streams[i].agent, &deleted[i]), 0);
    for (int i = 0; i < AGENTS; i++) {
        GO_ON_UNTIL(asq_result_done(deleted[i]));
        ck_assert_msg(asq_result_wait(deleted[i], 0) == 0, "%s", asq_errmsg(h));
        asq_result_free(deleted[i]);
        asq_agent_free(g->streams[i].agent);
    }
}

/* Ends a worker in order, and starts a newer one in its place. */
static void replace(pid_t *worker, int i)
{
    int status;
    kill(*worker, SIGTERM);
    GO_ON_UNTIL(waitpid(*worker, &status, WNOHANG) != 0);
    ck_assert_int_eq(status, 0);
    *worker = start(i, after);
    GO_ON_UNTIL(is_there(i));
}

/* ---- the update ---- */

/* Until the last agents of the dropped class are gone, no worker has all classes where one of them
 * is beside an agent of the new one or of the new version: these wait, and do not fail. */
START_TEST(a_class_added_another_dropped_and_a_third_upgraded_at_once_fail_no_call)
{
    pid_t workers[WORKERS];
    make_classes();
    for (int i = 0; i < WORKERS; i++)
        workers[i] = start(i, before);
    make_group(&counters);
    make_group(&formers);
    progress(&counters);
    progress(&formers);
    GO_ON_UNTIL(count_owned(0) && count_owned(1) && count_owned(2));
    replace(&workers[0], 0);
    progress(&counters);
    progress(&formers);
    make_group(&newcomers);
    progress(&counters);
    progress(&formers);
    replace(&workers[1], 1);
    progress(&counters);
    progress(&formers);
    end_group(&formers); /* the last worker that has their class is about to go */
    replace(&workers[2], 2);
    GO_ON_UNTIL(count_owned(0) && count_owned(1) && count_owned(2));
    progress(&counters);
    progress(&newcomers);
    end_group(&counters);
    end_group(&newcomers);
    for (int i = 0; i < WORKERS; i++)
        modes_stop_worker(workers[i]);
}
END_TEST

int main(void)
{
    if (!sup_redis_available())
        return sup_skip("no redis-server");
    Suite *s = suite_create("rolling");
    TCase *t = sup_suite_case(s, "rolling", set_up, tear_down);
    tcase_add_test(t, a_class_added_another_dropped_and_a_third_upgraded_at_once_fail_no_call);
    return sup_suite_run(s);
}
