/*
 * check_patience.c: no answer of Redis ends a worker that has served: the worker logs the cause
 * once, waits, and goes on by itself when the cause is gone. At its first start it ends only
 * because of a wrong password.
 */
#include "support/suite.h"
#include "support/support.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static sup_redis *redis;
static sup_proc *worker;
static char *url;

static sup_proc *start_worker(void)
{
    return sup_worker_start(url, "--agent-dir", sup_agent_dir(), "--id", "w", "--lease-time", "1s",
                            NULL);
}

static bool has_said(const char *text)
{
    return sup_proc_said(worker, text) > 0;
}

/* Runs as-ctl with these arguments; returns its output. */
static int ctl(char **ret_said, const char *a, const char *b, const char *c, const char *d)
{
    char *out, *err;
    const char *argv[] = { sup_program("as-ctl"), "-u", url, a, b, c, d, NULL };
    int status = sup_run(argv, &out, &err);
    if (ret_said)
        *ret_said = sup_format("%s%s", out, err);
    free(out);
    free(err);
    return status;
}

static void check_calls_work(void)
{
    char *said;
    int status = ctl(&said, "create", "Counter", "-t", "120s");
    ck_assert_msg(status == 0, "%s", said);
    free(said);
}

static void start(const char *const config[], const char *user, const char *password)
{
    redis = sup_redis_start(config);
    url = user ? sup_format("unix:%s?user=%s&password=%s", sup_redis_socket(redis), user, password)
               : sup_format("unix:%s?password=%s", sup_redis_socket(redis), password);
}

/* Starts a Redis with a user "app" of password "pw", and these rights. */
static void start_app(const char *rights)
{
    char *command = sup_format("ACL SETUSER app on >pw %s", rights);

    start(NULL, "app", "pw");
    sup_redis_do(redis, command); /* the command's words are arguments */
    free(command);
}

/* Starts such a Redis and a worker as that user, and waits until the worker is ready. */
static void serve_app(const char *rights)
{
    start_app(rights);
    worker = start_worker();
    sup_wait_until(has_said("ready:"));
}

static void stop(void)
{
    ck_assert_int_eq(sup_proc_stop(worker), 0);
    sup_proc_free(worker);
    sup_redis_free(redis);
    free(url);
}

/* sidekiq #298: the refusal is the answer to AUTH, but does not concern the password. Without a
 * password (1) it is the answer to the first command, or comes before any command could be sent. */
START_TEST(sidekiq_298_a_full_redis_is_waited_for)
{
    static const char *const none[] = { NULL };
    char *said;
    start(_i ? none : (const char *const[]){ "requirepass secret", NULL }, NULL, "secret");
    if (_i)
        *strchr(url, '?') = '\0';
    worker = start_worker();
    sup_wait_until(has_said("ready:"));
    sup_redis_do(redis, "CONFIG SET maxclients 1");
    sup_redis_do(redis, "CLIENT KILL TYPE normal SKIPME yes");
    sup_redis_do(redis, "CLIENT KILL TYPE pubsub SKIPME yes");
    sup_wait_until(has_said("max number of clients"));
    for (int i = 0; i < 3; i++) {
        ck_assert_int_ne(ctl(&said, "ping", "-t", "2s", NULL), 0);
        ck_assert_msg(strstr(said, "max number of clients"), "%s", said);
        ck_assert_msg(!strstr(said, "user or password"), "%s", said);
        free(said);
    }
    sup_redis_do(redis, "CONFIG SET maxclients 1000");
    sup_wait_until(has_said("connected to Redis again"));
    ck_assert(sup_proc_alive(worker));
    /* Each kind of connection logs it once: for commands, for reading, for the heartbeat. */
    ck_assert_int_le(sup_proc_said(worker, "Redis cannot serve now: ERR max number of clients"), 3);
    check_calls_work();
    stop();
}
END_TEST

/* redis #4300: while the password is changed, a process that has just died is started again,
 * too. */
START_TEST(redis_4300_a_password_that_is_rotated_is_waited_for)
{
    start(NULL, "app", "old");
    sup_redis_do(redis, "ACL SETUSER app on >old ~* +@all allchannels");
    worker = start_worker();
    sup_wait_until(has_said("ready:"));
    pid_t process = sup_redis_worker_pid(redis, "w.0");
    sup_redis_do(redis, "ACL SETUSER app <old >new");
    sup_redis_do(redis, "CLIENT KILL USER app");
    sup_wait_until(has_said("WRONGPASS"));
    kill(process, SIGKILL);
    sup_wait_until(has_said("the death of a process cannot be written to Redis"));
    ck_assert(sup_proc_alive(worker));
    sup_redis_do(redis, "ACL SETUSER app >old");
    sup_wait_until(has_said("has the death of the process"));
    check_calls_work();
    ck_assert_int_le(sup_proc_said(worker, "WRONGPASS"), 6);
    stop();
}
END_TEST

/* The supervisor and a process that is started again read it by themselves. */
START_TEST(a_password_file_is_read_again_when_its_password_is_refused)
{
    char *file = sup_write_file("password", "old\n"), *user_url;

    start(NULL, "app", "new");
    sup_redis_do(redis, "ACL SETUSER app on >old ~* +@all allchannels");
    ck_assert_int_eq(chmod(file, 0600), 0);
    user_url = sup_format("unix:%s?user=app", sup_redis_socket(redis));
    worker = sup_worker_start(user_url, "--agent-dir", sup_agent_dir(), "--id", "w", "--lease-time",
                              "1s", "--password-file", file, NULL);
    sup_wait_until(has_said("ready:"));
    pid_t process = sup_redis_worker_pid(redis, "w.0");
    ck_assert_int_eq(remove(file), 0);
    sup_redis_do(redis, "ACL SETUSER app <old >new");
    sup_redis_do(redis, "CLIENT KILL USER app");
    sup_wait_until(has_said("it cannot be read again: the password file"));
    free(sup_write_file("password", "new\n"));
    ck_assert_int_eq(chmod(file, 0600), 0);
    sup_wait_until(has_said("the password, which was read again and has changed"));
    sup_wait_until(has_said("connected to Redis again"));
    check_calls_work();
    kill(process, SIGKILL);
    sup_wait_until(has_said("the supervisor starts it again"));
    sup_wait_until(sup_redis_worker_pid(redis, "w.0") != process);
    check_calls_work();
    stop();
    free(user_url);
    free(file);
}
END_TEST

START_TEST(a_wrong_password_at_the_first_start_ends_it)
{
    start((const char *const[]){ "requirepass secret", NULL }, NULL, "wrong");
    worker = start_worker();
    ck_assert_int_eq(sup_proc_wait(worker), 1);
    ck_assert(has_said("WRONGPASS"));
    sup_proc_free(worker);
    sup_redis_free(redis);
    free(url);
}
END_TEST

START_TEST(a_full_redis_at_the_first_start_is_waited_for)
{
    start((const char *const[]){ "requirepass secret", NULL }, NULL, "secret");
    sup_redis_do(redis, "CONFIG SET maxclients 1");
    worker = start_worker();
    sup_wait_until(has_said("max number of clients"));
    sup_redis_do(redis, "CONFIG SET maxclients 1000");
    sup_wait_until(has_said("ready:"));
    check_calls_work();
    stop();
}
END_TEST

/* docket #275: a worker that was refused at the meta key tries again. */
START_TEST(docket_275_keys_that_were_denied_are_tried_again)
{
    start_app("~other:* +@all allchannels");
    worker = start_worker();
    /* permission, permitted: depends on which command was first */
    sup_wait_until(has_said("permi"));
    sup_redis_do(redis, "ACL SETUSER app ~*");
    sup_wait_until(has_said("ready:"));
    ck_assert_int_le(sup_proc_said(worker, "NOPERM"), 2);
    check_calls_work();
    stop();
}
END_TEST

static const struct {
    const char *broken, *said, *mended;
} metas[] = {
    { "SET asq:{default}:meta nonsense", "WRONGTYPE", "DEL asq:{default}:meta" },
    { "HSET asq:{default}:meta format 1 partitions 99999", "99999 partitions",
      "HSET asq:{default}:meta partitions 8" },
    { "ACL SETUSER app -hsetnx", "permi", "ACL SETUSER app +hsetnx" },
    { "ACL SETUSER app -hmget", "permi", "ACL SETUSER app +hmget" },
    { "ACL SETUSER app resetchannels", "permi", "ACL SETUSER app allchannels" },
};
enum { METAS = sizeof metas / sizeof *metas };

START_TEST(what_keeps_it_from_coming_up_is_told_and_tried_again)
{
    start_app("~* +@all allchannels");
    sup_redis_do(redis, metas[_i].broken);
    worker = start_worker();
    sup_wait_until(has_said(metas[_i].said));
    ck_assert(!has_said("ready:"));
    sup_redis_do(redis, metas[_i].mended);
    sup_wait_until(has_said("ready:"));
    check_calls_work();
    stop();
}
END_TEST

/* An unneeded command does not have to be allowed. */
START_TEST(ping_and_client_may_be_denied)
{
    serve_app("~* +@all allchannels -ping -client -info -script");
    check_calls_work();
    stop();
}
END_TEST

/* Reads then cannot be interrupted, but partitions claimed later are still read soon. */
START_TEST(a_denied_unblock_is_told_and_does_not_spin)
{
    serve_app("~* +@all allchannels -client|unblock");
    /* Some partitions come back while a read waits for the others. */
    sup_proc *other = sup_worker_start(url, "--agent-dir", sup_agent_dir(), "--id", "other",
                                       "--lease-time", "1s", NULL);
    sup_wait_until(sup_redis_int(redis, "HGET asq:{default}:worker:other.0 partitions") > 0);
    ck_assert_int_eq(sup_proc_stop(other), 0);
    sup_proc_free(other);
    sup_wait_until(has_said("blocking reads cannot be interrupted"));
    for (int i = 0; i < 8; i++)
        check_calls_work();
    int64_t before = sup_redis_stat(redis, "errorstats", "errorstat_NOPERM:", "count=");
    ck_assert_int_lt(before, 200); /* one each 5 ms would be more */
    stop();
}
END_TEST

int main(void)
{
    Suite *s = suite_create("patience");
    TCase *t = tcase_create("patience");

    if (!sup_redis_available())
        return sup_skip("no redis-server");
    tcase_add_loop_test(t, sidekiq_298_a_full_redis_is_waited_for, 0, 2);
    tcase_add_test(t, redis_4300_a_password_that_is_rotated_is_waited_for);
    tcase_add_test(t, a_password_file_is_read_again_when_its_password_is_refused);
    tcase_add_test(t, a_wrong_password_at_the_first_start_ends_it);
    tcase_add_test(t, a_full_redis_at_the_first_start_is_waited_for);
    tcase_add_test(t, docket_275_keys_that_were_denied_are_tried_again);
    tcase_add_loop_test(t, what_keeps_it_from_coming_up_is_told_and_tried_again, 0, METAS);
    tcase_add_test(t, ping_and_client_may_be_denied);
    tcase_add_test(t, a_denied_unblock_is_told_and_does_not_spin);
    suite_add_tcase(s, t);
    return sup_suite_run(s);
}
