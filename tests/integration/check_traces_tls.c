/*
 * check_traces_tls.c: a worker exports to a collector behind https whose certificate holds, and
 * sends nothing to another one, not even the headers with the secret.
 */
#include "classes.h"
#include "logged.h"
#include "modes.h"
#include "support/collector.h"
#include "support/peer.h"
#include "support/suite.h"

#include <stdlib.h>

#define SAMPLED "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"

enum { SPANS = 4, TRIES = 5 }; /* of a call with its phases; to deliver a request */

static sup_collector *collector;
static char *ca, *good;

static void set_up(void)
{
    ca = sup_tls_ca("ca");
    good = sup_tls_identity("ca", "good", "IP:127.0.0.1");
    logged_set_up();
}

static void tear_down(void)
{
    logged_tear_down();
    sup_collector_free(collector);
    free(ca);
    free(good);
    collector = NULL;
}

/* Starts a collector with an identity, and a worker that trusts the CA. */
static void start(const char *identity)
{
    asq_worker_options options = ASQ_WORKER_OPTIONS_INIT;
    collector = sup_collector_start_as(identity);
    options.traces = sup_collector_url(collector);
    options.log_level = ASQ_LOG_INFO;
    setenv("OTEL_EXPORTER_OTLP_CERTIFICATE", ca, 1);
    setenv("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%20s3cr3t", 1);
    logged_start_worker(NULL, &options, classes);
    logged_open();
}

static void traced_call(void)
{
    asq_call_options options = ASQ_CALL_OPTIONS_INIT;
    asq_trace trace = { SAMPLED, NULL };
    asq_result *r;
    asq_agent *a;
    options.trace = &trace;
    ok(asq_create(H, "Echo", NULL, &a, NULL));
    ok(asq_callv(a, "all", &options, NULL, &r));
    ok(asq_result_wait(r, ASQ_FOREVER));
    asq_result_free(r);
    asq_agent_free(a);
}

START_TEST(a_collector_whose_certificate_holds_gets_spans)
{
    start(good);
    traced_call();
    sup_wait_until(sup_collector_read(collector) == SPANS);
    char *heads = sup_collector_heads(collector);
    ck_assert_contains(heads, "\r\nauthorization: Bearer s3cr3t\r\n");
    free(heads);
    ck_assert_int_eq(logged_count("cannot be exported"), 0);
    ck_assert_uint_eq(sup_collector_refusals(collector), 0);
}
END_TEST

static const struct {
    const char *ca, *names, *why;
} wrong[] = {
    { "ca", "DNS:evil.example,IP:192.0.2.7", "name" },
    { "other_ca", "IP:127.0.0.1", "OTEL_EXPORTER_OTLP_CERTIFICATE names the file of CAs" },
};

/* Its spans are dropped after the last try; those of later calls are exported when the certificate
 * was put right. */
START_TEST(a_collector_whose_certificate_does_not_hold_gets_nothing)
{
    int64_t began_ms = sup_now_ms();
    free(sup_tls_ca("other_ca"));
    char *bad = sup_tls_identity(wrong[_i].ca, "bad", wrong[_i].names);
    start(bad);
    traced_call();
    sup_wait_until(sup_collector_refusals(collector) == TRIES);
    int64_t minutes = (sup_now_ms() - began_ms) / 60000;
    ck_assert_int_ge(logged_count("traces cannot be exported to https://127.0.0.1"), 1);
    ck_assert_int_le(logged_count("traces cannot be exported"), 1 + (int) minutes);
    ck_assert_int_ge(logged_count(wrong[_i].why), 1);
    ck_assert_uint_eq(sup_collector_requests(collector), 0);
    sup_collector_identity(collector, good);
    traced_call();
    sup_wait_until(sup_collector_read(collector) == SPANS);
    sup_wait_until(logged_count("traces are exported again") == 1);
    ck_assert_int_eq(logged_count("1 calls are missing"), 1);
    free(bad);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("traces_tls");
    TCase *t = tcase_create("worker");
#ifndef HAVE_LIBCURL
    return sup_skip("asqueue was built without libcurl");
#endif
    if (!sup_redis_available())
        return sup_skip("no redis-server");
    if (!sup_tls_available())
        return sup_skip("no program openssl, or a build without TLS");
    tcase_add_checked_fixture(t, set_up, tear_down);
    tcase_set_timeout(t, 4. * (double) sup_limit_ms() / 1000);
    tcase_add_test(t, a_collector_whose_certificate_holds_gets_spans);
    tcase_add_loop_test(t, a_collector_whose_certificate_does_not_hold_gets_nothing, 0,
                        sizeof wrong / sizeof *wrong);
    suite_add_tcase(s, t);
    return sup_suite_run(s);
}
