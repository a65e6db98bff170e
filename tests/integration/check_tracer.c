/*
 * check_tracer.c: what the exporter of traces keeps for a collector that is slow, or cannot be
 * reached, and that its end is not held up and leaves no span uncounted.
 */
#include "client/tracer.h"
#include "support/collector.h"
#include "support/suite.h"
#include "support/support.h"
#include "value/span.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* As ARCHITECTURE.md promises them, under "Bounds". */
enum { KEPT = 16384, KEPT_BYTES = 16 * 1024 * 1024 };
enum { UNDER_WAY = 512, FLUSH_MS = 300 };

static sup_collector *collector;
static struct asq__tracer *tracer;
static atomic_ullong exported, dropped;

static void set_up(void)
{
    collector = sup_collector_start();
}

static void tear_down(void)
{
    sup_collector_free(collector);
}

static void begin(const char *url)
{
    struct asq__tracer_config config = { .url = url,
                                         .otherwise = "test",
                                         .instance = "one",
                                         .exported = &exported,
                                         .dropped = &dropped };
    char err[300] = "";
    ck_assert_msg(asq__tracer_new(&config, &tracer, err, sizeof err) == 0, "%s", err);
}

/* Adds a span of a call that has failed with a text, or succeeded; returns its size. */
static size_t add(const char *failure)
{
    static const uint8_t root[ASQ__TRACE_ID] = { 1 };
    static unsigned n;
    uint8_t id[ASQ__SPAN_ID] = { 1 };
    struct asq__span_about about = { .class_name = "C", .method = "m", .agent = "a" };
    memcpy(id + 1, &n, sizeof n);
    n++;
    struct asq__span *s = asq__span_new(ASQ__SPAN_CLIENT, &about, NULL, root, id, 1);
    ck_assert_ptr_nonnull(s);
    s->end_ns = 2;
    if (failure)
        asq__span_fail(s, ASQ_EFAILED, failure);
    size_t bytes = s->bytes;
    asq__tracer_add(tracer, s);
    return bytes;
}

/* Ends the tracer within a time that no try of a request fits in; all spans are accounted for. */
static void end(unsigned long long added)
{
    char text[ASQ__TRACER_TEXT];
    asq_log_level level;
    asq__tracer_free(tracer, FLUSH_MS, &level, text);
    ck_assert_uint_eq(exported + dropped, added);
}

/* Makes the collector take a first span, and not answer. */
static void stall(void)
{
    sup_collector_answer(collector, SUP_COLLECTOR_STALLS);
    begin(sup_collector_url(collector));
    add(NULL);
    sup_wait_until(sup_collector_requests(collector) == 1);
}

START_TEST(a_number_of_spans_is_kept_and_others_are_dropped_and_counted)
{
    enum { ADDED = KEPT + 1000 };
    char text[ASQ__TRACER_TEXT];
    asq_log_level level;
    stall();
    for (int i = 0; i < ADDED; i++)
        add(NULL);
    ck_assert_uint_eq(dropped, ADDED - KEPT);
    ck_assert_uint_eq(exported, 0);
    ck_assert(asq__tracer_line(tracer, &level, text) && level == ASQ_LOG_WARNING);
    ck_assert_ptr_nonnull(strstr(text, "takes calls more slowly than they end; 1 are missing"));
    ck_assert(!asq__tracer_line(tracer, &level, text));
    end(ADDED + 1);
    ck_assert_uint_eq(exported, 0);
}
END_TEST

START_TEST(long_spans_are_kept_up_to_a_size)
{
    char failure[ASQ__SPAN_MESSAGE + 1];
    size_t added = 0, bytes = 0;
    memset(failure, 'x', sizeof failure - 1);
    failure[sizeof failure - 1] = '\0';
    stall();
    while (dropped == 0 && added < KEPT) {
        bytes = add(failure);
        added++;
    }
    ck_assert_uint_eq(dropped, 1);
    ck_assert_uint_le((added - 1) * bytes, KEPT_BYTES);
    ck_assert_uint_gt(added * bytes, KEPT_BYTES);
    end(added + 1);
}
END_TEST

START_TEST(what_was_kept_is_exported_when_the_collector_answers)
{
    enum { ADDED = 3 * UNDER_WAY };
    begin(sup_collector_url(collector));
    for (int i = 0; i < ADDED; i++)
        add("no luck");
    sup_wait_until(exported == ADDED);
    ck_assert_uint_eq(sup_collector_read(collector), ADDED);
    ck_assert_uint_le(sup_collector_requests(collector), ADDED / UNDER_WAY + 1);
    end(ADDED);
    ck_assert_uint_eq(dropped, 0);
}
END_TEST

/* Fills the queue of a listener that takes no connection: later ones are not answered. */
static int deaf_listener(struct sockaddr_in *at)
{
    socklen_t size = sizeof *at;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    *at = (struct sockaddr_in){ .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };
    ck_assert(bind(fd, (struct sockaddr *) at, size) == 0 && listen(fd, 0) == 0 &&
              getsockname(fd, (struct sockaddr *) at, &size) == 0);
    for (int i = 0; i < 4; i++) {
        int client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        connect(client, (struct sockaddr *) at, size);
    }
    return fd;
}

START_TEST(a_collector_that_cannot_be_reached_does_not_hold_up_the_end)
{
    enum { ADDED = 1000 };
    struct sockaddr_in at;
    int fd = deaf_listener(&at);
    char *url = sup_format("http://127.0.0.1:%d", ntohs(at.sin_port));
    begin(url);
    for (int i = 0; i < ADDED; i++)
        add(NULL);
    end(ADDED);
    ck_assert_uint_eq(dropped, ADDED);
    free(url);
    close(fd);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("tracer");
    TCase *t = tcase_create("tracer");
#ifndef HAVE_LIBCURL
    return sup_skip("asqueue was built without libcurl");
#endif
    tcase_add_checked_fixture(t, set_up, tear_down);
    tcase_set_timeout(t, 4. * (double) sup_limit_ms() / 1000);
    tcase_add_test(t, a_number_of_spans_is_kept_and_others_are_dropped_and_counted);
    tcase_add_test(t, long_spans_are_kept_up_to_a_size);
    tcase_add_test(t, what_was_kept_is_exported_when_the_collector_answers);
    tcase_add_test(t, a_collector_that_cannot_be_reached_does_not_hold_up_the_end);
    suite_add_tcase(s, t);
    return sup_suite_run(s);
}
