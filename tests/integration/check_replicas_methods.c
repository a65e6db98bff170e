/*
 * check_replicas_methods.c: with wait_replicas, a failover takes nothing back of what methods and
 * programs have done beside results: promises that were settled, and values that were emitted.
 */
#include "modes.h"
#include "on_pair.h"
#include "support/suite.h"
#include "support/support.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { SOON_MS = 200, VALUES = 9, STAGE = 3 };

/* Shared with the worker's processes. */
static struct shared {
    atomic_int settled; /* settlements that have returned to their method */
    atomic_int stages;  /* that `emit` may go through */
} * shared;

static pid_t worker;

/* ---- the class ---- */

/* open(): emits the id of a promise, and returns its value. */
static int do_open(asq_ctx *ctx, void *self, const asq_value *args, asq_value **ret)
{
    asq_result *p;
    (void) self, (void) args;
    int rc = asq_promise_new(ctx, &p);
    if (rc < 0)
        return rc;
    if ((rc = asq_emit(ctx, asq_value_string(asq_result_id(p)))) == 0)
        rc = asq_result_take(p, ret);
    asq_result_free(p);
    return rc;
}

/* settle(id, value): returns whether it was the first. */
static int do_settle(asq_ctx *ctx, void *self, const asq_value *args, asq_value **ret)
{
    const char *id;
    const asq_value *value;
    (void) self;
    int rc = asq_args(ctx, args, "[s, O]", &id, &value);
    if (rc < 0)
        return rc;
    rc = asq_promise_resolve(asq_ctx_handle(ctx), id, asq_value_copy(value));
    atomic_fetch_add(&shared->settled, 1);
    if (rc < 0 && rc != ASQ_ESTATE)
        return asq_fail(ctx, rc, "%s", asq_errmsg(asq_ctx_handle(ctx)));
    *ret = asq_value_bool(rc == 0);
    return 0;
}

/* emit(): emits 0, 1, 2 …, a few when each stage begins. */
static int do_emit(asq_ctx *ctx, void *self, const asq_value *args, asq_value **ret)
{
    (void) self, (void) args, (void) ret;
    int rc = 0;
    for (int i = 0; i < VALUES && rc == 0; i++) {
        while (atomic_load(&shared->stages) <= i / STAGE)
            usleep(5000); /* holds the agent, and asks Redis for nothing */
        rc = asq_emit(ctx, asq_value_int(i));
    }
    return rc;
}

static const asq_method methods[] = { { "open", do_open, NULL, 0, NULL },
                                      { "settle", do_settle, NULL, 0, NULL },
                                      { "emit", do_emit, NULL, 0, NULL },
                                      { 0 } };
static const asq_class class = { ASQ_CLASS_INIT, .name = "Doer", .methods = methods };

/* ---- fixture ---- */

static void log_problem(void *user, asq_log_level level, const char *message)
{
    (void) user, (void) level;
    fprintf(stderr, "# %s\n", message);
}

static void begin(void)
{
    static const asq_class *const list[] = { &class, NULL };
    asq_worker_options options = ASQ_WORKER_OPTIONS_INIT;
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ck_assert_ptr_ne(shared, MAP_FAILED);
    on_pair_begin();
    char *url = link_url(NULL);
    options.processes = 1;
    options.capacity = 4;
    options.wait_replicas = 1;
    options.wait_timeout_ms = 50;
    options.log = log_problem;
    worker = modes_fork_worker_with(url, &options, list);
    free(url);
    H = open_handle(NULL);
}

static void end(void)
{
    asq_close(H);
    H = NULL;
    modes_stop_worker(worker);
    on_pair_end();
    munmap(shared, sizeof *shared);
}

static asq_agent *make(const char *id)
{
    asq_agent *a;
    ok(asq_create(H, "Doer", id, &a, NULL));
    ok(asq_ready(a, sup_limit_ms()));
    return a;
}

/* Calls `open`, and returns the id that it emits, to be freed. */
static char *open_promise(asq_agent *a, asq_result **ret)
{
    asq_value *v = NULL;
    const char *id;
    ok(asq_call(a, "open", ret, NULL));
    ck_assert_int_eq(asq_result_next(*ret, &v, sup_limit_ms()), ASQ_NEXT_VALUE);
    ok(asq_value_get_string(v, &id, NULL));
    char *copy = sup_format("%s", id);
    asq_value_free(v);
    return copy;
}

/* Returns how many entries a stream of the key's kind has in a server. */
static int64_t length(const struct server *s, const char *kind)
{
    redisReply *keys = sup_redis_reply(s->redis, "KEYS asq:{default.*}:%s:*-*-*", kind);
    int64_t n = 0;
    for (size_t i = 0; i < keys->elements; i++) {
        redisReply *reply = sup_redis_reply(s->redis, "XLEN %s", keys->element[i]->str);
        n += reply->type == REDIS_REPLY_INTEGER ? reply->integer : 0;
        freeReplyObject(reply);
    }
    freeReplyObject(keys);
    return n;
}

static void fail_over_and_replace(void)
{
    fail_over();
    sup_redis_restart(master.redis);
    follow(&master, &replica);
}

/* ---- tests ---- */

START_TEST(a_method_has_settled_a_promise_when_a_replica_has_it)
{
    asq_agent *maker = make("maker"), *settler = make("settler");
    asq_result *opened, *settled;
    bool first = false;
    const char *value;
    char *id = open_promise(maker, &opened);
    cut_off();
    ok(asq_call(settler, "settle", &settled, "[s, s]", id, "a"));
    while (length(&master, "o") < 2)
        ck_assert_int_eq(asq_result_wait(settled, SOON_MS), ASQ_ETIMEOUT);
    ck_assert_int_eq(asq_result_wait(settled, SOON_MS), ASQ_ETIMEOUT);
    ck_assert_int_eq(atomic_load(&shared->settled), 0);
    fail_over_and_replace();
    ok(asq_result_bool(settled, &first));
    ck_assert(first);
    ok(asq_result_string(opened, &value));
    ck_assert_str_eq(value, "a");
    asq_result_free(opened);
    asq_result_free(settled);
    asq_agent_free(maker);
    asq_agent_free(settler);
    free(id);
}
END_TEST

struct attempt {
    asq *h;
    const char *id;
    int rc;
};

static void *resolve(void *arg)
{
    struct attempt *t = arg;
    t->rc = asq_promise_resolve(t->h, t->id, asq_value_string("b"));
    return NULL;
}

START_TEST(a_program_has_settled_a_promise_when_a_replica_has_it)
{
    asq_agent *maker = make("maker");
    asq_result *opened;
    const char *value;
    pthread_t thread;
    char *id = open_promise(maker, &opened);
    struct attempt t = { open_handle(NULL), id, 1 };
    asq_set_timeout(t.h, 2 * sup_limit_ms());
    cut_off();
    ck_assert_int_eq(pthread_create(&thread, NULL, resolve, &t), 0);
    sup_wait_until(length(&master, "o") == 2);
    fail_over_and_replace();
    pthread_join(thread, NULL);
    ck_assert_int_eq(t.rc, 0);
    ok(asq_result_string(opened, &value));
    ck_assert_str_eq(value, "b");
    asq_close(t.h);
    asq_result_free(opened);
    asq_agent_free(maker);
    free(id);
}
END_TEST

START_TEST(a_failover_leaves_no_gap_in_what_a_call_emits)
{
    asq_agent *a = make("emitter");
    asq_result *r;
    asq_value *v = NULL;
    int64_t n;
    int what = ASQ_NEXT_VALUE;
    ok(asq_call(a, "emit", &r, NULL));
    atomic_store(&shared->stages, 1);
    sup_wait_until(length(&replica, "p") >= 1);
    cut_off();
    int64_t before = length(&master, "p");
    atomic_store(&shared->stages, 2);
    sup_wait_until(length(&master, "p") > before);
    asq_poll(H, SOON_MS); /* the worker has heard that Redis has them */
    fail_over_and_replace();
    atomic_store(&shared->stages, 3);
    for (int i = 0; (what = asq_result_next(r, &v, sup_limit_ms())) != ASQ_NEXT_END; i++) {
        ck_assert_int_eq(what, ASQ_NEXT_VALUE);
        ok(asq_value_get_int(v, &n));
        ck_assert_int_eq(n, i);
        asq_value_free(v);
    }
    ok(asq_result_wait(r, 0));
    asq_result_free(r);
    asq_agent_free(a);
}
END_TEST

int main(void)
{
    if (!sup_redis_available())
        return sup_skip("no redis-server");
    TCase *tc = tcase_create("replicas");
    tcase_add_checked_fixture(tc, begin, end);
    tcase_add_test(tc, a_method_has_settled_a_promise_when_a_replica_has_it);
    tcase_add_test(tc, a_program_has_settled_a_promise_when_a_replica_has_it);
    tcase_add_test(tc, a_failover_leaves_no_gap_in_what_a_call_emits);
    tcase_set_timeout(tc, 300);
    Suite *s = suite_create("replicas_methods");
    suite_add_tcase(s, tc);
    return sup_suite_run(s);
}
