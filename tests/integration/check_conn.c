/*
 * check_conn.c: one connection to servers that do not answer, refuse the login, send nonsense, or
 * go away: its costs, bounds and messages. With TLS, if the build has it.
 */
#include "asqueue.h"
#include "redis/conn.h"
#include "redis/url.h"
#include "support/suite.h"
#include "support/support.h"

#include <arpa/inet.h>
#include <check.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

static struct ev_loop *loop;
static struct asq__url url;
static struct asq__conn *conn;
static int port, ups, downs, down_code, answers;
static char why[600];

static void on_up(struct asq__conn *c, void *user)
{
    (void) c, (void) user;
    ups++;
}

static void on_down(struct asq__conn *c, int code, const char *text, void *user)
{
    (void) c, (void) user;
    downs++;
    down_code = code;
    snprintf(why, sizeof why, "%s", text);
}

static void on_answer(struct asq__conn *c, const redisReply *reply, void *user)
{
    (void) c, (void) user;
    answers += reply && reply->type != REDIS_REPLY_ERROR;
}

/* login: empty, or USER:PASSWORD@. */
static void begin_as(const char *login, const char *scheme, const char *parameters,
                     int64_t timeout_ms)
{
    char *text = sup_format("%s://%s127.0.0.1:%d%s", scheme, login, port, parameters), err[300];
    ck_assert_msg(asq__url_parse(text, &url, err, sizeof err) == 0, "%s", err);
    free(text);
    loop = ev_loop_new(EVFLAG_AUTO);
    struct asq__conn_config config = { .loop = loop,
                                       .url = &url,
                                       .name = "test",
                                       .once = true,
                                       .connect_timeout_ms = timeout_ms,
                                       .up = on_up,
                                       .down = on_down };
    ck_assert_int_eq(asq__conn_new(&config, &conn), 0);
}

static void begin(const char *scheme, const char *parameters, int64_t timeout_ms)
{
    begin_as("", scheme, parameters, timeout_ms);
}

static void end(void)
{
    asq__conn_free(conn);
    ev_loop_destroy(loop);
    asq__url_release(&url);
}

/* Returns a socket that listens on `port` and accepts no connection. */
static int silent_server(void)
{
    struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t n = sizeof a;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert_int_eq(bind(fd, (void *) &a, sizeof a), 0);
    ck_assert_int_eq(listen(fd, 8), 0);
    ck_assert_int_eq(getsockname(fd, (void *) &a, &n), 0);
    port = ntohs(a.sin_port);
    return fd;
}

/* ---- servers that do not answer ---- */

static void check_it_sleeps(const char *scheme, const char *parameters, const char *told)
{
    int fd = silent_server();
    begin(scheme, parameters, 300);
    while (!downs)
        ev_run(loop, EVRUN_ONCE);
    ck_assert_msg(strstr(why, told), "%s", why);
    ck_assert_uint_lt(ev_iteration(loop), 20);
    end();
    close(fd);
}

START_TEST(a_greeting_that_is_not_answered_is_slept_through)
{
    check_it_sleeps("redis", "", "no answer within the connect timeout");
}
END_TEST

/* The timeout of asq_open begins before that of its connections, and ends first on a busy
 * machine. */
START_TEST(an_open_whose_time_is_up_names_what_it_has_waited_for)
{
    for (int i = 0; i < 400; i++) {
        int fd = silent_server();
        char *text = sup_format("redis://127.0.0.1:%d", port), err[512];
        asq_options options = ASQ_OPTIONS_INIT;
        asq *h = NULL;

        options.connect_timeout_ms = 1 + i % 2;
        ck_assert_int_eq(asq_open(text, &options, &h, err, sizeof err), ASQ_ECONN);
        ck_assert_msg(strstr(err, "connect timeout"), "%s", err);
        free(text);
        close(fd);
    }
}
END_TEST

/* ---- refused logins ---- */

/* Runs the loop until the connection has come; returns its descriptor. */
static int accept_in_loop(int fd)
{
    int peer = -1;
    fcntl(fd, F_SETFL, O_NONBLOCK);
    while (peer < 0) {
        ev_run(loop, EVRUN_ONCE | EVRUN_NOWAIT);
        peer = accept(fd, NULL, NULL);
    }
    return peer;
}

/* Reads a greeting, to the PING at its end. */
static void hear_greeting(int peer, char *to, size_t size)
{
    size_t n = 0;
    *to = '\0';
    while (!strstr(to, "PING\r\n")) {
        ev_run(loop, EVRUN_ONCE | EVRUN_NOWAIT);
        ssize_t got = recv(peer, to + n, size - 1 - n, MSG_DONTWAIT);
        n += got > 0 ? (size_t) got : 0;
        to[n] = '\0';
        ck_assert_uint_lt(n, size - 1);
    }
}

#define WRONG      "does not take the user or password: WRONGPASS"
#define NO_LOGIN   "-NOAUTH Authentication required.\r\n"
#define OTHERS     "+OK\r\n:7\r\n+PONG\r\n"
#define MODE(mode) "*2\r\n$4\r\nmode\r\n" mode "\r\n"
static const struct {
    const char *replies; /* behind that to AUTH */
    int code;
    const char *told;
} logins[] = {
    { MODE("$10\r\nstandalone") OTHERS, ASQ_EAUTH, WRONG },
    { MODE("$8\r\nsentinel") OTHERS, ASQ_EINVAL, "this is a Sentinel" },
    { NO_LOGIN NO_LOGIN NO_LOGIN NO_LOGIN, ASQ_EAUTH, WRONG },
    { "", ASQ_EAUTH, WRONG }, /* closed at once */
};

/* Redis from 7.2 on leaves the reply to a failed AUTH out if a reply to an earlier command is still
 * to be written. */
START_TEST(redis_15640_a_wrong_password_is_told_as_such)
{
    static const char refusal[] = "-WRONGPASS invalid username-password pair.\r\n";
    static const char first[] = "*3\r\n$4\r\nAUTH\r\n";
    const char *replies = logins[_i].replies;
    char heard[1000];
    int fd = silent_server();
    begin_as("app:wrong@", "redis", "", 3000);
    int peer = accept_in_loop(fd);
    hear_greeting(peer, heard, sizeof heard);
    if (strncmp(heard, first, strlen(first)) == 0)
        ck_assert_int_eq(write(peer, refusal, strlen(refusal)), (int) strlen(refusal));
    ck_assert_int_eq(write(peer, replies, strlen(replies)), (int) strlen(replies));
    if (!*replies)
        shutdown(peer, SHUT_WR);
    while (!downs)
        ev_run(loop, EVRUN_ONCE);
    ck_assert_msg(down_code == logins[_i].code && strstr(why, logins[_i].told), "%d: %s", down_code,
                  why);
    ck_assert_int_eq(ups, 0);
    end();
    close(peer);
    close(fd);
}
END_TEST

/* ---- nonsense ---- */

#define DEEP "*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n"
static const char *const nonsense[] = {
    "*2147483647\r\n",
    "*16777217\r\n",
    "*4000000000\r\n:1\r\n",
    "*-7\r\n",
    "$-7\r\n",
    "$99999999999999999999\r\n",
    DEEP,
    "HTTP/1.1 400 Bad Request\r\n\r\n",
    "\x15\x03\x01\x01\x02\x02\x46",
    ":1\r\n:1\r\n:1\r\n:1\r\n:1\r\n",
};

START_TEST(nonsense_is_the_end_of_the_connection_and_costs_no_memory)
{
    int fd = silent_server();
    struct rusage usage;
    begin("redis", "", 20000);
    int peer = accept_in_loop(fd);
    ck_assert_int_eq(write(peer, nonsense[_i], strlen(nonsense[_i])), (int) strlen(nonsense[_i]));
    shutdown(peer, SHUT_WR);
    while (!downs)
        ev_run(loop, EVRUN_ONCE);
    ck_assert(*why);
    getrusage(RUSAGE_SELF, &usage);
    ck_assert_int_lt(usage.ru_maxrss, 400 * 1024);
    end();
    close(peer);
    close(fd);
}
END_TEST

/* ---- what is to be written ---- */

/* Something waits to be written all the time: the memory is bounded by that, not by all that was
 * sent. */
START_TEST(written_commands_take_no_memory)
{
    const size_t size = (size_t) 1024 * 1024, waiting = 32 * size, all = 512 * size;
    char *big = malloc(size + 1), *line = sup_format("port %d", port = sup_free_port());
    sup_redis *r = sup_redis_start((const char *const[]){ line, NULL });
    struct rusage usage;
    int sent = 0;
    free(line);
    memset(big, 'x', size);
    big[size] = '\0';
    begin("redis", "", 20000);
    while (!ups && !downs)
        ev_run(loop, EVRUN_ONCE);
    ck_assert_msg(ups, "%s", why);
    while ((size_t) sent * size < all && !downs) {
        for (; asq__conn_unwritten(conn) < waiting; sent++)
            ck_assert_int_eq(asq__conn_cmd(conn, on_answer, NULL, "SET", "key", big, NULL), 0);
        ev_run(loop, EVRUN_ONCE);
    }
    while (answers < sent && !downs)
        ev_run(loop, EVRUN_ONCE);
    ck_assert_msg(!downs, "%s", why);
    getrusage(RUSAGE_SELF, &usage);
    if (!sup_is_wrapped() && !SUP_SANITIZED)
        ck_assert_int_lt(usage.ru_maxrss, (long) (4 * waiting / 1024));
    end();
    free(big);
    sup_redis_free(r);
}
END_TEST

#ifdef HAVE_TLS

/* ---- TLS ---- */

START_TEST(a_tls_handshake_that_is_not_answered_is_slept_through)
{
    check_it_sleeps("rediss", "", "the TLS handshake was not answered within 300 ms");
}
END_TEST

static sup_redis *tls_redis(void)
{
    const char *dir = sup_dir();
    char *make =
        sup_format("openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost -addext "
                   "subjectAltName=IP:127.0.0.1 -keyout %s/key.pem -out %s/cert.pem 2>/dev/null",
                   dir, dir);
    if (system(make) != 0)
        return NULL;
    free(make);
    port = sup_free_port();
    char *lines[] = { sup_format("tls-port %d", port), sup_format("tls-cert-file %s/cert.pem", dir),
                      sup_format("tls-key-file %s/key.pem", dir),
                      sup_format("tls-ca-cert-file %s/cert.pem", dir) };
    sup_redis *r = sup_redis_start((const char *const[]){ lines[0], lines[1], lines[2], lines[3],
                                                          "tls-auth-clients no", NULL });
    for (int i = 0; i < 4; i++)
        free(lines[i]);
    char *parameters = sup_format("?cacert=%s/cert.pem", dir);
    begin("rediss", parameters, 20000);
    free(parameters);
    while (!ups && !downs)
        ev_run(loop, EVRUN_ONCE);
    ck_assert_msg(ups, "%s", why);
    return r;
}

/* Bytes that Redis does not read stay where they are counted, not in a buffer of TLS. */
START_TEST(what_waits_to_be_written_over_tls_is_counted)
{
    enum { COMMANDS = 64 };
    const size_t size = (size_t) 1024 * 1024;
    sup_redis *r = tls_redis();
    ck_assert_ptr_nonnull(r);
    char *big = malloc(size + 1);
    memset(big, 'x', size);
    big[size] = '\0';
    sup_proc_signal(sup_redis_proc(r), SIGSTOP);
    for (int i = 0; i < COMMANDS; i++) {
        ck_assert_int_eq(asq__conn_cmd(conn, on_answer, NULL, "SET", "key", big, NULL), 0);
        asq__conn_flush(conn);
        ev_run(loop, EVRUN_NOWAIT);
    }
    ck_assert_uint_gt(asq__conn_unwritten(conn), COMMANDS / 2 * size);
    ck_assert_uint_eq(asq__conn_unanswered(conn), COMMANDS);
    sup_proc_signal(sup_redis_proc(r), SIGCONT);
    while (answers < COMMANDS && !downs)
        ev_run(loop, EVRUN_ONCE);
    ck_assert_msg(!downs, "%s", why);
    ck_assert_uint_eq(asq__conn_unwritten(conn), 0);
    /* The answers of Redis arrive complete. */
    answers = 0;
    for (int i = 0; i < COMMANDS; i++)
        ck_assert_int_eq(asq__conn_cmd(conn, on_answer, NULL, "GET", "key", NULL), 0);
    while (answers < COMMANDS && !downs)
        ev_run(loop, EVRUN_ONCE);
    ck_assert_msg(!downs, "%s", why);
    end();
    free(big);
    sup_redis_free(r);
}
END_TEST

/* hiredis #1229: SIGPIPE has its default action in the program. */
START_TEST(hiredis_1229_a_server_that_is_gone_raises_no_signal)
{
    sup_redis *r = tls_redis();
    ck_assert_ptr_nonnull(r);
    signal(SIGPIPE, SIG_DFL);
    sup_redis_kill(r);
    for (int i = 0; i < 20; i++) { /* the loop notices the end only when it writes */
        asq__conn_cmd(conn, NULL, NULL, "PING", NULL);
        asq__conn_flush(conn);
        sup_sleep_ms(5);
    }
    while (!downs)
        ev_run(loop, EVRUN_ONCE);
    struct sigaction now;
    sigaction(SIGPIPE, NULL, &now);
    ck_assert(now.sa_handler == SIG_DFL);
    end();
    sup_redis_free(r);
}
END_TEST

#endif

int main(void)
{
    Suite *s = suite_create("conn");
    TCase *t = tcase_create("conn");

    if (!sup_redis_available())
        return sup_skip("no redis-server");
    tcase_add_test(t, a_greeting_that_is_not_answered_is_slept_through);
    tcase_add_test(t, an_open_whose_time_is_up_names_what_it_has_waited_for);
    tcase_add_loop_test(t, redis_15640_a_wrong_password_is_told_as_such, 0,
                        sizeof logins / sizeof *logins);
    tcase_add_loop_test(t, nonsense_is_the_end_of_the_connection_and_costs_no_memory, 0,
                        sizeof nonsense / sizeof *nonsense);
    tcase_add_test(t, written_commands_take_no_memory);
#ifdef HAVE_TLS
    tcase_add_test(t, a_tls_handshake_that_is_not_answered_is_slept_through);
    if (system("openssl version >/dev/null 2>&1") == 0) {
        tcase_add_test(t, what_waits_to_be_written_over_tls_is_counted);
        tcase_add_test(t, hiredis_1229_a_server_that_is_gone_raises_no_signal);
    }
#endif
    suite_add_tcase(s, t);
    return sup_suite_run(s);
}
