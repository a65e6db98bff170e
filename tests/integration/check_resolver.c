/*
 * check_resolver.c: host names, with a resolver that answers when the test tells it to. getaddrinfo
 * is the test's own function for names that end in .test. While it does not answer, no other work
 * waits for it.
 */
#include <check.h>
#include <ev.h>
#include <netdb.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "asqueue.h"
#include "load.h"
#include "redis/link.h"
#include "redis/lookup.h"
#include "support/suite.h"
#include "support/support.h"

/* Shared with forked workers. */
static struct {
    atomic_int blocked, asked, answered, signals_open;
    atomic_int failure;
    char addresses[3][64]; /* addresses of the name, ended by "" */
} * resolver;

int __real_getaddrinfo(const char *node, const char *service, const struct addrinfo *hints,
                       struct addrinfo **res);
int __wrap_getaddrinfo(const char *node, const char *service, const struct addrinfo *hints,
                       struct addrinfo **res);
int __wrap_getaddrinfo(const char *node, const char *service, const struct addrinfo *hints,
                       struct addrinfo **res)
{
    struct addrinfo **end = res;
    sigset_t mask;
    int rc = 0;
    if ((hints->ai_flags & AI_NUMERICHOST) || !strstr(node, ".test"))
        return __real_getaddrinfo(node, service, hints, res);
    pthread_sigmask(SIG_SETMASK, NULL, &mask);
    atomic_fetch_add(&resolver->signals_open, !sigismember(&mask, SIGTERM));
    atomic_fetch_add(&resolver->asked, 1);
    while (atomic_load(&resolver->blocked))
        usleep(2000);
    rc = atomic_load(&resolver->failure);
    *res = NULL;
    for (int i = 0; rc == 0 && i < 3 && resolver->addresses[i][0]; i++) {
        rc = __real_getaddrinfo(resolver->addresses[i], service, hints, end);
        end = &(*end)->ai_next;
    }
    atomic_fetch_add(&resolver->answered, 1);
    return rc;
}

static void resolves_to(const char *first, const char *second, const char *third)
{
    snprintf(resolver->addresses[0], 64, "%s", first ? first : "");
    snprintf(resolver->addresses[1], 64, "%s", second ? second : "");
    snprintf(resolver->addresses[2], 64, "%s", third ? third : "");
}

static void set_up(void)
{
    resolver =
        mmap(NULL, sizeof *resolver, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ck_assert(resolver != MAP_FAILED);
    resolves_to("127.0.0.1", NULL, NULL);
}

/* Lets the resolver answer, because no thread of it may be left when the process ends. */
static void let_answer(void)
{
    atomic_store(&resolver->blocked, 0);
    sup_wait_until(atomic_load(&resolver->answered) == atomic_load(&resolver->asked));
}

static void tear_down(void)
{
    let_answer();
    ck_assert_int_eq(atomic_load(&resolver->signals_open), 0);
}

static int open_within(const char *url, int64_t timeout_ms, asq **ret, char err[400])
{
    asq_options options = ASQ_OPTIONS_INIT;
    options.connect_timeout_ms = timeout_ms;
    return asq_open(url, &options, ret, err, 400);
}

/* ---- a resolver that does not answer ---- */

START_TEST(hiredis_966_opening_ends_within_its_timeout)
{
    asq *h;
    char err[400];
    atomic_store(&resolver->blocked, 1);
    ck_assert_int_eq(open_within("redis://:x@one.test", 2000, &h, err), ASQ_ECONN);
    ck_assert_msg(strstr(err, "the resolver has not answered for the name 'one.test'"), "%s", err);
    ck_assert_int_gt(atomic_load(&resolver->asked), 0);
    ck_assert_int_eq(atomic_load(&resolver->answered), 0);
}
END_TEST

START_TEST(hiredis_966_a_worker_ends_by_sigterm)
{
    atomic_store(&resolver->blocked, 1);
    pid_t worker = load_worker("redis://:x@one.test", NULL);
    sup_wait_until(atomic_load(&resolver->asked) > 0);
    load_signal(worker, SIGTERM);
    ck_assert_int_eq(load_worker_status(worker), 0);
    ck_assert_int_eq(atomic_load(&resolver->answered), 0);
    atomic_store(&resolver->asked, 0); /* the threads are gone with the process */
}
END_TEST

struct ticks {
    ev_timer timer;
    int n, wanted;
};

static void on_tick(struct ev_loop *loop, ev_timer *w, int revents)
{
    struct ticks *t = (struct ticks *) w;
    (void) revents;
    if (++t->n >= t->wanted)
        ev_break(loop, EVBREAK_ALL);
}

/* Runs the loop with a timer of the program, which fires `n` times. */
static void run_loop(struct ev_loop *loop, int n)
{
    struct ticks t = { .wanted = n };
    ev_timer_init(&t.timer, on_tick, 0.01, 0.01);
    ev_timer_start(loop, &t.timer);
    ev_run(loop, 0);
    ev_timer_stop(loop, &t.timer);
}

static atomic_int again;

static void on_log(void *user, asq_log_level level, const char *message)
{
    (void) user, (void) level;
    if (strstr(message, "connected to Redis again"))
        atomic_fetch_add(&again, 1);
}

START_TEST(hiredis_966_an_attached_loop_goes_on)
{
    int port = sup_free_port();
    char *line = sup_format("port %d", port), *url = sup_format("redis://one.test:%d", port);
    sup_redis *redis = sup_redis_start((const char *const[]){ line, NULL });
    struct ev_loop *loop = ev_loop_new(EVFLAG_AUTO);
    asq_options options = ASQ_OPTIONS_INIT;
    asq *h;
    char err[400];
    options.log = on_log;
    ck_assert_msg(asq_open(url, &options, &h, err, sizeof err) == 0, "%s", err);
    ck_assert_int_eq(asq_attach_ev(h, loop), 0);
    atomic_store(&resolver->blocked, 1);
    int asked = atomic_load(&resolver->asked), answered = atomic_load(&resolver->answered);
    sup_redis_do(redis, "CLIENT KILL TYPE normal SKIPME yes");
    while (atomic_load(&resolver->asked) == asked)
        run_loop(loop, 1);
    run_loop(loop, 50);
    ck_assert_int_eq(atomic_load(&resolver->answered),
                     answered); /* the lookup still waits, the loop did not */
    ck_assert_int_eq(atomic_load(&again), 0);
    atomic_store(&resolver->blocked, 0);
    while (!atomic_load(&again)) /* the test's own limit ends the loop */
        run_loop(loop, 1);
    asq_close(h);
    ev_loop_destroy(loop);
    sup_redis_free(redis);
    free(line);
    free(url);
}
END_TEST

START_TEST(a_handle_may_be_closed_meanwhile)
{
    asq *h;
    char err[400];
    atomic_store(&resolver->blocked, 1);
    for (int i = 0; i < 5; i++)
        ck_assert_int_eq(open_within("redis://one.test", 20, &h, err), ASQ_ECONN);
}
END_TEST

/* ---- answers of the resolver ---- */

START_TEST(addresses_are_tried_in_turn)
{
    int port = sup_free_port();
    char *line = sup_format("port %d", port), *url = sup_format("redis://one.test:%d", port);
    sup_redis *redis = sup_redis_start((const char *const[]){ line, "bind 127.0.0.3", NULL });
    asq *h;
    char err[400];
    resolves_to("::1", "127.0.0.1", "127.0.0.3");
    ck_assert_msg(open_within(url, 20000, &h, err) == 0, "%s", err);
    asq_close(h);
    resolves_to("127.0.0.3", "::1", "127.0.0.1");
    ck_assert_msg(open_within(url, 20000, &h, err) == 0, "%s", err);
    asq_close(h);
    resolves_to("::1", "127.0.0.1", NULL);
    ck_assert_int_eq(open_within(url, 20000, &h, err), ASQ_ECONN);
    ck_assert_msg(strstr(err, "127.0.0.1:") && strstr(err, "Connection refused"), "%s", err);
    sup_redis_free(redis);
    free(line);
    free(url);
}
END_TEST

START_TEST(it_is_asked_anew_for_each_connection)
{
    int port = sup_free_port();
    char *line = sup_format("port %d", port), *url = sup_format("redis://one.test:%d", port);
    sup_redis *first = sup_redis_start((const char *const[]){ line, "bind 127.0.0.2", NULL });
    sup_redis *second = sup_redis_start((const char *const[]){ line, "bind 127.0.0.3", NULL });
    asq_options options = ASQ_OPTIONS_INIT;
    asq *h;
    char err[400];
    options.log = on_log;
    resolves_to("127.0.0.2", NULL, NULL);
    ck_assert_msg(asq_open(url, &options, &h, err, sizeof err) == 0, "%s", err);
    resolves_to("127.0.0.3", NULL, NULL);
    sup_redis_kill(first);
    while (!atomic_load(&again))
        asq_poll(h, 10);
    ck_assert_int_gt(sup_redis_int(second, "EXISTS asq:{default}:meta"), 0);
    asq_close(h);
    sup_redis_free(first);
    sup_redis_free(second);
    free(line);
    free(url);
}
END_TEST

START_TEST(a_name_that_does_not_exist_is_told)
{
    asq *h;
    char err[400];
    atomic_store(&resolver->failure, EAI_NONAME);
    ck_assert_int_eq(open_within("redis://one.test", 20000, &h, err), ASQ_ECONN);
    ck_assert_msg(strstr(err, "the name 'one.test' cannot be resolved: "), "%s", err);
}
END_TEST

/* ---- lookups themselves ---- */

START_TEST(lookups_that_are_not_answered_are_bounded)
{
    struct asq__lookup *all[100] = { NULL };
    char err[400] = "";
    int n = 0, rc = 0;
    atomic_store(&resolver->blocked, 1);
    while (n < 100 && (rc = asq__lookup_start("one.test", 1, &all[n], err, sizeof err)) == 0)
        n++;
    ck_assert_int_eq(rc, ASQ_ESYS);
    ck_assert_msg(strstr(err, "has 64 unanswered lookups"), "%s", err);
    ck_assert_int_eq(n, 64);
    let_answer();
    for (int i = 0; i < n; i++) {
        ck_assert(asq__lookup_wait(all[i], 60000));
        asq__lookup_free(all[i]);
    }
    /* Each thread counts down when it has answered. */
    sup_wait_until(asq__lookup_start("one.test", 1, &all[0], NULL, 0) == 0);
    ck_assert(asq__lookup_wait(all[0], 60000));
    asq__lookup_free(all[0]);
}
END_TEST

START_TEST(a_forked_process_has_lookups_of_its_own)
{
    struct asq__lookup *l, *own;
    const struct asq__address *found;
    atomic_store(&resolver->blocked, 1);
    ck_assert_int_eq(asq__lookup_start("one.test", 1, &l, NULL, 0), 0);
    sup_wait_until(atomic_load(&resolver->asked) == 1);
    pid_t pid = fork();
    if (pid == 0) {
        atomic_store(&resolver->blocked, 0);
        bool ok = asq__lookup_start("one.test", 1, &own, NULL, 0) == 0 &&
                  asq__lookup_wait(own, 60000) && asq__lookup_addresses(own, &found, NULL, 0) == 1;
        asq__lookup_free(own);
        asq__lookup_free(l);
        _exit(!ok);
    }
    int status;
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    ck_assert(asq__lookup_wait(l, 60000));
    ck_assert_int_eq(asq__lookup_addresses(l, &found, NULL, 0), 1);
    asq__lookup_free(l);
}
END_TEST

START_TEST(an_address_needs_no_lookup)
{
    struct asq__address a;
    ck_assert(asq__address_parse("127.0.0.1", 6379, &a));
    ck_assert_int_eq(a.sockaddr.ss_family, AF_INET);
    ck_assert(asq__address_parse("::1", 6379, &a));
    ck_assert_int_eq(a.sockaddr.ss_family, AF_INET6);
    ck_assert(!asq__address_parse("one.test", 6379, &a));
    ck_assert_int_eq(atomic_load(&resolver->asked), 0);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("resolver");
    TCase *t = tcase_create("resolver");

    if (!sup_redis_available())
        return sup_skip("no redis-server");
    tcase_add_checked_fixture(t, set_up, tear_down);
    tcase_add_test(t, hiredis_966_opening_ends_within_its_timeout);
    tcase_add_test(t, hiredis_966_a_worker_ends_by_sigterm);
    tcase_add_test(t, hiredis_966_an_attached_loop_goes_on);
    tcase_add_test(t, a_handle_may_be_closed_meanwhile);
    tcase_add_test(t, addresses_are_tried_in_turn);
    tcase_add_test(t, it_is_asked_anew_for_each_connection);
    tcase_add_test(t, a_name_that_does_not_exist_is_told);
    tcase_add_test(t, lookups_that_are_not_answered_are_bounded);
    tcase_add_test(t, a_forked_process_has_lookups_of_its_own);
    tcase_add_test(t, an_address_needs_no_lookup);
    suite_add_tcase(s, t);
    return sup_suite_run(s);
}
