/*
 * check_poison.c: a call that kills its process waits before it is tried again, and the log names
 * it; others go on. A process that dies after the method and before the commit counts as well.
 */
#include "logged.h"
#include "modes.h"
#include "support/file_lines.h"
#include "support/suite.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *runs_path;

/* ---- Deadly: reports when it ran, and kills its process -------------------------------------- */

static int deadly_die(asq_ctx *ctx, void *self, const asq_value *args, asq_value **ret)
{
    const char *path;
    char text[32];
    int rc;

    (void) self, (void) ret;
    if ((rc = asq_args(ctx, args, "[s]", &path)) < 0)
        return rc;
    snprintf(text, sizeof text, "%lld", (long long) sup_now_ms());
    sup_file_add(path, text);
    kill(getpid(), SIGKILL);
    return 0;
}

static int deadly_live(asq_ctx *ctx, void *self, const asq_value *args, asq_value **ret)
{
    (void) ctx, (void) self, (void) args;
    *ret = asq_value_int(1);
    return 0;
}

static void *kill_soon(void *arg)
{
    sup_sleep_ms(200);
    kill(getpid(), SIGKILL);
    return arg;
}

/* Ends its process, in the first run, after it has returned. */
static int deadly_part(asq_ctx *ctx, void *self, const asq_value *args, asq_value **ret)
{
    const char *begun, *go;
    pthread_t thread;
    int rc;

    (void) self;
    if ((rc = asq_args(ctx, args, "[ss]", &begun, &go)) < 0)
        return rc;
    sup_file_add(begun, "");
    sup_wait_until(exists(go));
    if (asq_ctx_attempt(ctx) == 1 && pthread_create(&thread, NULL, kill_soon, NULL) != 0)
        return ASQ_ESYS;
    *ret = asq_value_int(asq_ctx_attempt(ctx));
    return asq_map_set_int(asq_ctx_state(ctx), "runs", asq_ctx_attempt(ctx));
}

static const asq_method deadly_methods[] = { { "part", deadly_part, NULL, 0, NULL },
                                             { "die", deadly_die, NULL, 0, NULL },
                                             { "live", deadly_live, NULL, 0, NULL },
                                             { 0 } };
static const asq_class deadly_class = { ASQ_CLASS_INIT, .name = "Deadly",
                                        .methods = deadly_methods };

/* ---- fixtures -------------------------------------------------------------------------------- */

static void set_up(void)
{
    static const asq_class *const list[] = { &deadly_class, NULL };
    asq_worker_options options = ASQ_WORKER_OPTIONS_INIT;

    logged_set_up();
    runs_path = logged_file("runs");
    logged_open();
    options.processes = 2;
    options.lease_time_ms = 2000;
    logged_start_worker(NULL, &options, list);
}

static asq_agent *deadly(void)
{
    asq_agent *a = agent_new("Deadly", NULL);
    ok(asq_ready(a, sup_limit_ms()));
    return a;
}

/* ---- tests ----------------------------------------------------------------------------------- */

START_TEST(a_deadly_call_waits_longer_each_time_and_others_go_on)
{
    asq_agent *a = deadly(), *other = deadly();
    asq_result *r, *behind;
    long long at[3] = { 0 };

    ok(asq_call(a, "die", &r, "[s]", runs_path));
    ok(asq_call(a, "live", &behind, NULL));
    while (asq_result_wait(r, 50) == ASQ_ETIMEOUT) {
        if (exists(runs_path))
            ck_assert_int_eq(call_int(other, "live", NULL), 1);
        ck_assert(!asq_result_done(behind) || asq_result_done(r));
    }
    ck_assert_int_eq(asq_result_error(r)->code, ASQ_EDEADLETTER);
    ck_assert_int_eq(result_int(behind), 1);
    char *runs = sup_read_file(runs_path);
    ck_assert_int_eq(sscanf(runs, "%lld %lld %lld", &at[0], &at[1], &at[2]), 3);
    ck_assert_int_ge(at[1] - at[0], 900);
    ck_assert_int_ge(at[2] - at[1], 1900);
    free(runs);
    asq_result_free(r);
    asq_agent_free(a);
    asq_agent_free(other);
}
END_TEST

START_TEST(class_method_agent_and_signal_are_named)
{
    asq_agent *a = deadly();
    asq_result *r;
    char *want = sup_format("Deadly.die of agent %s", asq_agent_id(a));

    ok(asq_call(a, "die", &r, "[s]", runs_path));
    ck_assert_code(asq_result_wait(r, sup_limit_ms()), ASQ_EDEADLETTER);
    ck_assert_contains(asq_result_error(r)->message, want);
    ck_assert_contains(asq_result_error(r)->message, "was ended by SIGKILL");
    char *log = sup_read_file(log_path);
    ck_assert_contains(log, want);
    ck_assert_contains(log, "was ended by SIGKILL (attempt 2 of 3");
    ck_assert_contains(log, "it becomes a dead letter");
    free(log);
    asq_value *letters;
    ok(asq_dead_list(H, 0, &letters));
    const char *reason = NULL;
    asq_value_get_string(asq_map_get(asq_list_get(letters, 0), "reason"), &reason, NULL);
    ck_assert_contains(reason, want);
    ck_assert_contains(reason, "SIGKILL");
    asq_value_free(letters);
    free(want);
    asq_result_free(r);
    asq_agent_free(a);
}
END_TEST

/* Redis takes no writes while the method returns and its process dies. */
START_TEST(a_process_that_dies_between_method_and_commit_counts)
{
    asq_agent *a = deadly();
    asq_result *r;
    char *begun = sup_path("begun"), *go = sup_path("go");

    ok(asq_call(a, "part", &r, "[ss]", begun, go));
    ok(asq_flush(H, sup_limit_ms()));
    sup_wait_until(exists(begun));
    sup_redis_do(redis, "CLIENT PAUSE %lld WRITE", (long long) sup_limit_ms());
    touch(go);
    sup_wait_until(logged_count("was ended by signal") > 0);
    sup_redis_do(redis, "CLIENT UNPAUSE");
    ck_assert_int_eq(result_int(r), 2);
    char *log = sup_read_file(log_path);
    ck_assert_contains(log, "was ended by SIGKILL (attempt 1 of 3");
    free(log);
    remove(begun);
    remove(go);
    free(begun);
    free(go);
    asq_agent_free(a);
}
END_TEST

/* A committed call, whose thread is not busy any more, is not blamed for a later death of the
 * process. */
START_TEST(a_call_that_is_committed_does_not_count)
{
    asq_agent *a = deadly();

    ck_assert_int_eq(call_int(a, "live", NULL), 1);
    for (int i = 0; i < 2; i++) {
        char *key = sup_format("asq:{default}:worker:w.%d", i);
        pid_t pid = sup_redis_worker_pid(redis, i ? "w.1" : "w.0");
        kill(pid, SIGKILL);
        sup_wait_until(sup_redis_int(redis, "EXISTS %s", key) &&
                       sup_redis_int(redis, "HGET %s pid", key) != pid);
        free(key);
    }
    ck_assert_int_eq(call_int(a, "live", NULL), 1);
    char *log = sup_read_file(log_path);
    ck_assert_contains(log, "was ended by signal");
    ck_assert_msg(!strstr(log, "attempt 1 of"), "%s", log);
    free(log);
    asq_agent_free(a);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("poison");
    TCase *t = tcase_create("independent");

    if (!sup_redis_available())
        return sup_skip("no redis-server");
    tcase_set_timeout(t, 120);
    tcase_add_checked_fixture(t, set_up, logged_tear_down);
    tcase_add_test(t, a_deadly_call_waits_longer_each_time_and_others_go_on);
    tcase_add_test(t, class_method_agent_and_signal_are_named);
    tcase_add_test(t, a_process_that_dies_between_method_and_commit_counts);
    tcase_add_test(t, a_call_that_is_committed_does_not_count);
    suite_add_tcase(s, t);
    return sup_suite_run(s);
}
