/*
 * check_logs.c: the lines of a worker's log say which process they are of and, in fields, what they
 * are about; a crash names the call; the start, the take-over of a dead worker's partitions and the
 * end have a line each.
 */
#include "logged.h"
#include "modes.h"
#include "support/file_lines.h"
#include "support/suite.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- Loud: logs, fails and crashes ----------------------------------------------------------- */

static int loud_say(asq_ctx *ctx, void *self, const asq_value *args, asq_value **ret)
{
    (void) self, (void) args;
    asq_ctx_log(ctx, ASQ_LOG_INFO, "here I am");
    *ret = asq_value_int(1);
    return 0;
}

static int loud_fail(asq_ctx *ctx, void *self, const asq_value *args, asq_value **ret)
{
    (void) self, (void) args, (void) ret;
    return asq_fail(ctx, ASQ_EUSER(5), "it cannot");
}

/* AddressSanitizer ends the process by itself at a fault. */
#ifdef __SANITIZE_ADDRESS__
enum { FAULTS_END_BY_SIGNAL = 0 };
#else
enum { FAULTS_END_BY_SIGNAL = 1 };
#endif

static int loud_crash(asq_ctx *ctx, void *self, const asq_value *args, asq_value **ret)
{
    int64_t number;
    int rc;
    (void) self, (void) ret;
    if ((rc = asq_args(ctx, args, "[I]", &number)) < 0)
        return rc;
    static int *volatile nowhere; /* read, so that no compiler knows that it is NULL */
    if (number == SIGSEGV)
        *(volatile int *) nowhere = 1;
    if (number == SIGABRT)
        abort();
    kill(getpid(), (int) number);
    pause();
    return 0;
}

/* Needs some stack for each level. */
static int64_t descend(int64_t levels)
{
    volatile char frame[256];
    frame[0] = (char) levels;
    return levels > 0 ? descend(levels - 1) + frame[0] : 0;
}

static int loud_overflow(asq_ctx *ctx, void *self, const asq_value *args, asq_value **ret)
{
    (void) ctx, (void) self, (void) args;
    *ret = asq_value_int(descend(1 << 20));
    return 0;
}

static const asq_method loud_methods[] = { { "say", loud_say, NULL, 0, NULL },
                                           { "fail", loud_fail, NULL, 0, NULL },
                                           { "crash", loud_crash, NULL, 0, NULL },
                                           { "overflow", loud_overflow, NULL, 0, NULL },
                                           { 0 } };
static const asq_class loud_class = { ASQ_CLASS_INIT, .name = "Loud", .methods = loud_methods };
static const asq_class *const classes[] = { &loud_class, NULL };

/* ---- a log with fields ----------------------------------------------------------------------- */

/* Writes a line with all its fields in one write, because processes share the file. */
static void log_fields(void *path, asq_log_level level, const char *message,
                       const asq_log_fields *f)
{
    char text[3000];
    int n = snprintf(text, sizeof text,
                     "%d %s pid=%ld class=%s method=%s agent=%s call=%s partition=%lld epoch=%s "
                     "code=%d signal=%s said=%s message=%s\n",
                     level, f->worker, (long) getpid(), f->class_name, f->method, f->agent_id,
                     f->call_id, (long long) f->partition, f->epoch ? "known" : "none", f->code,
                     *f->signal ? f->signal : "-", f->said ? f->said : "-", message);
    int fd = open(path, O_WRONLY | O_APPEND | O_CREAT, 0600);
    ssize_t done = fd >= 0 ? write(fd, text, (size_t) n) : -1;
    (void) done;
    close(fd);
}

static void set_up(void)
{
    asq_worker_options options = ASQ_WORKER_OPTIONS_INIT;
    logged_set_up();
    logged_open();
    options.log_fields = log_fields;
    options.lease_time_ms = 1000;
    options.max_attempts = 1;
    logged_start_worker(NULL, &options, classes);
}

static asq_agent *loud(const char *id)
{
    asq_agent *a = NULL;
    ok(asq_create(H, "Loud", id, &a, NULL));
    ok(asq_ready(a, ASQ_FOREVER));
    return a;
}

START_TEST(a_methods_line_has_its_names_as_fields)
{
    asq_agent *a = loud("one");
    asq_result *r = NULL;
    ok(asq_call(a, "say", &r, NULL));
    char *wanted = sup_format("class=Loud method=say agent=one call=%s partition=%d epoch=known "
                              "code=0 signal=- said=here I am message=Loud/one.say: here I am\n",
                              asq_result_id(r), atoi(asq_result_id(r)));
    ck_assert_int_eq(result_int(r), 1);
    ck_assert_int_eq(logged_count(wanted), 1);
    ck_assert_int_ge(logged_count("2 w.0 pid="), 1);
    free(wanted);
    asq_agent_free(a);
}
END_TEST

START_TEST(a_failure_that_nobody_waits_for_is_a_warning_with_fields_and_a_flood_is_counted)
{
    enum { SENT = 500 };
    asq_agent *a = loud("one");
    for (int i = 0; i < SENT; i++)
        ok(asq_send(a, "fail", NULL));
    asq_flush(H, ASQ_FOREVER); /* which tells that they failed */
    ck_assert_int_eq(call_int(a, "say", NULL), 1);
    sup_wait_until(logged_count("class=Loud method=fail agent=one call=") >= 1);
    ck_assert_int_eq(logged_count("class=Loud method=fail"), 1);
    ck_assert_int_eq(
        logged_count("code=-1005 signal=- said=- message=Loud.fail failed, and its caller"), 1);
    ck_assert_int_eq(logged_count("1 w.0 pid="), 1);
    asq_agent_free(a);
}
END_TEST

static void crash(int number)
{
    asq_agent *a = loud("one");
    asq_result *r = NULL;
    ok(asq_call(a, "crash", &r, "[i]", number));
    char *id = strdup(asq_result_id(r));
    ck_assert_int_eq(result_code(r), ASQ_EDEADLETTER);
    char *wanted = sup_format("was ended by signal %d (%s) in Loud.crash of agent one (call %s)",
                              number, strsignal(number), id);
    char *fields =
        sup_format("0 w pid=%ld class=Loud method=crash agent=one call=%s partition=%d epoch=known "
                   "code=0 signal=%s said=- message=worker process w.0 was ended by signal",
                   (long) worker, id, atoi(id), number == SIGSEGV ? "SIGSEGV" : "SIGABRT");
    ck_assert_int_eq(logged_count(wanted), 1);
    ck_assert_int_eq(logged_count("stack overflow"), 0);
    ck_assert_int_eq(logged_count(fields), 1);
    free(fields);
    free(wanted);
    free(id);
    asq_agent_free(a);
}

START_TEST(a_crash_names_the_call)
{
    crash(SIGSEGV);
}
END_TEST

START_TEST(an_abort_names_the_call)
{
    crash(SIGABRT);
}
END_TEST

START_TEST(a_stack_overflow_is_told_with_the_call)
{
    asq_agent *a = loud("one");
    asq_result *r = NULL;
    ok(asq_call(a, "overflow", &r, NULL));
    char *id = strdup(asq_result_id(r));
    ck_assert_int_eq(result_code(r), ASQ_EDEADLETTER);
    char *wanted = sup_format("in Loud.overflow of agent one (call %s) by a stack overflow (stack "
                              "262144 bytes; raise the class's stack_size or the worker's "
                              "--stack-size); the supervisor starts it again\n",
                              id);
    ck_assert_int_eq(logged_count(wanted), 1);
    ck_assert_int_eq(logged_count("method=overflow agent=one call="), 2); /* and it is given up */
    ck_assert_int_eq(logged_count("signal=SIGSEGV"), 1);
    free(wanted);
    free(id);
    asq_agent_free(a);
}
END_TEST

START_TEST(a_signal_from_outside_names_no_call_as_its_cause)
{
    asq_agent *a = loud("one");
    ck_assert_int_eq(call_code(a, "crash", "[i]", SIGKILL), ASQ_EDEADLETTER);
    ck_assert_int_eq(logged_count("was ended by signal 9 (Killed); the supervisor"), 1);
    ck_assert_int_eq(logged_count("call= partition=-1 epoch=none code=0 signal=SIGKILL"), 1);
    ck_assert_int_eq(logged_count("Loud.crash of agent one was running when process"), 1);
    asq_agent_free(a);
}
END_TEST

START_TEST(the_start_and_the_end_have_a_line_each)
{
    sup_wait_until(logged_count("message=ready: ") == 1);
    ck_assert_int_eq(logged_count("message=starting: asqueue " ASQ_VERSION ", Redis unix:"), 1);
    ck_assert_int_eq(logged_count(", namespace 'default', 1 process with 32 threads each, classes "
                                  "the program's (Loud)\n"),
                     1);
    modes_stop_worker(worker);
    worker = 0;
    ck_assert_int_eq(logged_count("message=w has stopped"), 1);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("logs");
    TCase *t = tcase_create("independent");

    if (!sup_redis_available())
        return sup_skip("no redis-server");
    tcase_set_timeout(t, 120);
    tcase_add_checked_fixture(t, set_up, logged_tear_down);
    tcase_add_test(t, a_methods_line_has_its_names_as_fields);
    tcase_add_test(t,
                   a_failure_that_nobody_waits_for_is_a_warning_with_fields_and_a_flood_is_counted);
    if (!sup_is_wrapped()) {
        if (FAULTS_END_BY_SIGNAL)
            tcase_add_test(t, a_crash_names_the_call);
        tcase_add_test(t, an_abort_names_the_call);
        tcase_add_test(t, a_stack_overflow_is_told_with_the_call);
    }
    tcase_add_test(t, a_signal_from_outside_names_no_call_as_its_cause);
    tcase_add_test(t, the_start_and_the_end_have_a_line_each);
    suite_add_tcase(s, t);
    return sup_suite_run(s);
}
