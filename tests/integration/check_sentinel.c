/*
 * check_sentinel.c: redis+sentinel:// from the URL to the master: which Sentinel is asked, what is
 * logged in to, and what is said when something is wrong. check_sentinel_failover.c has what
 * happens when the master changes.
 */
#include "load.h"
#include "support/sentinel.h"
#include "support/suite.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static sup_sentinels *s;
static char err[1024];

static void set_up(void)
{
    s = sup_sentinels_start(NULL);
}

static void tear_down(void)
{
    sup_sentinels_free(s);
    s = NULL;
}

/* Returns the code of opening; `err` has the text. */
static int open_code(const char *url)
{
    asq *h = NULL;
    asq_options options = ASQ_OPTIONS_INIT;
    *err = '\0';
    int rc = asq_open(url, &options, &h, err, sizeof err);
    if (rc == 0)
        asq_close(h);
    return rc;
}

static char *sentinel_url(int i, const char *rest)
{
    return sup_format("redis+sentinel://127.0.0.1:%d%s", sup_sentinels_port(s, i), rest);
}

#define ck_refused(url, code, text)                                                                \
    do {                                                                                           \
        char *url_ = (url);                                                                        \
        int rc_ = open_code(url_);                                                                 \
        ck_assert_msg(rc_ == (code), "%s: %s: %s", url_, asq_error_name(rc_), err);                \
        ck_assert_msg(strstr(err, text) != NULL, "no \"%s\" in: %s", text, err);                   \
        free(url_);                                                                                \
    } while (0)

/* Waits until Redis has a namespace, so that a client can open it. */
static pid_t start_worker(const char *url)
{
    asq_worker_options options = ASQ_WORKER_OPTIONS_INIT;
    options.id = "w";
    return load_worker(url, &options);
}

START_TEST(worker_and_client_find_the_master)
{
    pid_t worker = start_worker(sup_sentinels_url(s));
    asq *h = load_open(sup_sentinels_url(s));
    struct load *l = load_new(h, 8);
    load_calls(l, 20);
    load_check(l);
    /* The heartbeat has found it as well. */
    sup_wait_until(sup_redis_workers(sup_sentinels_server(s, 0), "default") == 1);
    char *out, *why;
    const char *const ctl[] = { sup_program("as-ctl"), "--url", sup_sentinels_url(s), "workers",
                                NULL };
    int status = sup_run(ctl, &out, &why);
    ck_assert_msg(status == 0 && strstr(out, "w.0"), "%d: %s%s", status, out, why);
    free(out);
    free(why);
    asq_close(h);
    load_worker_stop(worker);
}
END_TEST

START_TEST(a_sentinel_that_is_dead_or_hangs_is_passed)
{
    sup_sentinels_kill(s, 0);
    sup_proc_signal(sup_sentinels_proc(s, 1), SIGSTOP);
    ck_assert_msg(open_code(sup_sentinels_url(s)) == 0, "%s", err);
    sup_proc_signal(sup_sentinels_proc(s, 1), SIGCONT);
}
END_TEST

START_TEST(without_a_sentinel_each_one_is_named)
{
    char where[32];
    for (int i = 0; i < SUP_SENTINELS; i++)
        sup_sentinels_kill(s, i);
    ck_assert_int_eq(open_code(sup_sentinels_url(s)), ASQ_ECONN);
    for (int i = 0; i < SUP_SENTINELS; i++) {
        snprintf(where, sizeof where, "127.0.0.1:%d", sup_sentinels_port(s, i));
        ck_assert_msg(strstr(err, where) != NULL, "no %s in: %s", where, err);
    }
}
END_TEST

START_TEST(an_unknown_master_is_told_with_the_known_ones)
{
    ck_refused(sentinel_url(0, "/nobody"), ASQ_EINVAL,
               "no master of that name, but these: themaster");
    ck_refused(sentinel_url(0, "/nobody"), ASQ_EINVAL, "the master 'nobody'");
}
END_TEST

START_TEST(a_redis_is_told_from_a_sentinel)
{
    int redis = sup_sentinels_server_port(s, 0), sentinel = sup_sentinels_port(s, 0);
    ck_refused(sup_format("redis+sentinel://127.0.0.1:%d/themaster", redis), ASQ_EINVAL,
               "this is no Sentinel, but a Redis");
    ck_refused(sup_format("redis://127.0.0.1:%d", sentinel), ASQ_EINVAL,
               "this is a Sentinel; use redis+sentinel://");
    /* A password for the master is refused by a Sentinel without one; that is not the fault. */
    ck_refused(sup_format("redis://:secret@127.0.0.1:%d", sentinel), ASQ_EINVAL,
               "this is a Sentinel; use redis+sentinel://");
    /* One of several that is a Redis does not keep the others from being asked. */
    char *mixed =
        sup_format("redis+sentinel://127.0.0.1:%d,127.0.0.1:%d/themaster", redis, sentinel);
    ck_assert_msg(open_code(mixed) == 0, "%s", err);
    free(mixed);
}
END_TEST

START_TEST(a_replica_is_not_taken_for_the_master)
{
    asq_options options = ASQ_OPTIONS_INIT;
    asq *h = NULL;
    /* The Sentinel that is left has no majority to make another master. */
    sup_sentinels_kill(s, 1);
    sup_sentinels_kill(s, 2);
    sup_redis_do(sup_sentinels_server(s, 0), "REPLICAOF 127.0.0.1 %d",
                 sup_sentinels_server_port(s, 1));
    options.connect_timeout_ms = 1000;
    char *url = sentinel_url(0, "/themaster");
    ck_assert_int_eq(asq_open(url, &options, &h, err, sizeof err), ASQ_ECONN);
    free(url);
}
END_TEST

static void add_plain(TCase *t)
{
    tcase_add_checked_fixture(t, set_up, tear_down);
    tcase_add_test(t, worker_and_client_find_the_master);
    tcase_add_test(t, a_sentinel_that_is_dead_or_hangs_is_passed);
    tcase_add_test(t, without_a_sentinel_each_one_is_named);
    tcase_add_test(t, an_unknown_master_is_told_with_the_known_ones);
    tcase_add_test(t, a_redis_is_told_from_a_sentinel);
    tcase_add_test(t, a_replica_is_not_taken_for_the_master);
}

/* ---- passwords ---- */

static void set_up_passwords(void)
{
    const struct sup_sentinels_config config = { .password = "masters",
                                                 .sentinel_password = "sentinels" };
    s = sup_sentinels_start(&config);
}

/* Returns a URL with these passwords; NULL: none. */
static char *with_passwords(const char *master, const char *sentinel)
{
    return sup_format("redis+sentinel://%s%s%s127.0.0.1:%d/themaster%s%s", master ? ":" : "",
                      master ? master : "", master ? "@" : "", sup_sentinels_port(s, 0),
                      sentinel ? "?sentinel-password=" : "", sentinel ? sentinel : "");
}

START_TEST(the_sentinels_and_the_master_have_their_own_passwords)
{
    char *url = with_passwords("masters", "sentinels"), name[64];
    ck_assert_msg(open_code(url) == 0, "%s", err);
    free(url);
    ck_refused(with_passwords("masters", NULL), ASQ_EAUTH, "this Sentinel wants a password");
    ck_refused(with_passwords("masters", "masters"), ASQ_EAUTH,
               "this Sentinel does not take the URL's sentinel-user or its password");
    snprintf(name, sizeof name, "the master 127.0.0.1:%d: ", sup_sentinels_server_port(s, 0));
    ck_refused(with_passwords("sentinels", "sentinels"), ASQ_EAUTH, name);
    ck_refused(with_passwords(NULL, "sentinels"), ASQ_EAUTH, name);
    ck_assert_ptr_null(strstr(err, "sentinel-password=sentinels"));
    ck_refused(sup_format("redis://:sentinels@127.0.0.1:%d", sup_sentinels_port(s, 0)), ASQ_EINVAL,
               "this is a Sentinel; use redis+sentinel://");
}
END_TEST

/* The file is read at each connection, so a password can be renewed. */
START_TEST(the_sentinels_password_comes_from_a_file)
{
    char *path = sup_write_file("sentinel-password", "wrong\n");
    char *url = sup_format("redis+sentinel://:masters@127.0.0.1:%d/themaster?"
                           "sentinel-password-file=%s",
                           sup_sentinels_port(s, 0), path);
    ck_assert_int_eq(chmod(path, 0600), 0);
    ck_assert_int_eq(open_code(url), ASQ_EAUTH);
    free(sup_write_file("sentinel-password", "sentinels\n"));
    ck_assert_int_eq(chmod(path, 0604), 0);
    ck_assert_int_eq(open_code(url), ASQ_EAUTH);
    ck_assert_msg(strstr(err, "can be read by other users") != NULL, "%s", err);
    ck_assert_int_eq(chmod(path, 0600), 0);
    ck_assert_msg(open_code(url) == 0, "%s", err);
    free(url);
    free(path);
}
END_TEST

static void add_passwords(TCase *t)
{
    tcase_add_checked_fixture(t, set_up_passwords, tear_down);
    tcase_add_test(t, the_sentinels_and_the_master_have_their_own_passwords);
    tcase_add_test(t, the_sentinels_password_comes_from_a_file);
}

/* ---- host names ---- */

static void set_up_names(void)
{
    const struct sup_sentinels_config config = { .host = "localhost" };
    s = sup_sentinels_start(&config);
}

START_TEST(announced_host_names_are_resolved)
{
    redisReply *r = sup_sentinels_reply(s, 0, "SENTINEL GET-MASTER-ADDR-BY-NAME themaster");
    ck_assert_str_eq(r->element[0]->str, "localhost");
    freeReplyObject(r);
    pid_t worker = start_worker(sup_sentinels_url(s));
    asq *h = load_open(sup_sentinels_url(s));
    struct load *l = load_new(h, 2);
    load_calls(l, 5);
    load_check(l);
    asq_close(h);
    load_worker_stop(worker);
}
END_TEST

static void add_names(TCase *t)
{
    tcase_add_checked_fixture(t, set_up_names, tear_down);
    tcase_add_test(t, announced_host_names_are_resolved);
}

int main(void)
{
    if (!sup_redis_available())
        return sup_skip("no redis-server");
    Suite *suite = suite_create("sentinel");
    static const struct {
        const char *name;
        void (*add)(TCase *t);
    } cases[] = { { "plain", add_plain }, { "passwords", add_passwords }, { "names", add_names } };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        TCase *t = tcase_create(cases[i].name);
        tcase_set_timeout(t, 300);
        cases[i].add(t);
        suite_add_tcase(suite, t);
    }
    return sup_suite_run(suite);
}
