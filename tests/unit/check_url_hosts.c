/*
 * check_url_hosts.c: URLs with several hosts, and with a map of a network that translates
 * addresses.
 */
#include "redis/url.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "asqueue.h"
#include "support/suite.h"

static struct asq__url url;
static char err[400];

static void setup(void)
{
    memset(&url, 0, sizeof url);
}

static void teardown(void)
{
    asq__url_release(&url);
}

static void parse(const char *text)
{
    asq__url_release(&url);
    ck_assert_msg(asq__url_parse(text, &url, err, sizeof err) == 0, "%s: %s", text, err);
}

static void refused(const char *text, const char *part)
{
    struct asq__url none;
    err[0] = '\0';
    ck_assert_int_eq(asq__url_parse(text, &none, err, sizeof err), ASQ_EINVAL);
    ck_assert_msg(strstr(err, part) != NULL, "expected \"%s\" in \"%s\"", part, err);
}

static void is_host(const struct asq__host *host, const char *name, int port)
{
    ck_assert_str_eq(host->name, name);
    ck_assert_int_eq(host->port, port);
}

static void is_written_as(const struct asq__url *u, const char *text)
{
    char *written = asq__url_format(u, false);
    ck_assert_ptr_nonnull(written);
    ck_assert_str_eq(written, text);
    free(written);
}

START_TEST(a_cluster_has_one_host_or_several)
{
    parse("redis+cluster://");
    ck_assert_int_eq(url.scheme, ASQ__URL_TCP);
    ck_assert_int_eq(url.servers, ASQ__URL_CLUSTER);
    ck_assert_str_eq(url.host, "127.0.0.1");
    ck_assert_int_eq(url.port, 6379);
    ck_assert_uint_eq(url.others.n, 0);
    parse("Redis+Cluster://u:p@a.example:7000,b.example,[::1]:7002,:7003?ns=n");
    ck_assert_str_eq(url.host, "a.example");
    ck_assert_int_eq(url.port, 7000);
    ck_assert_str_eq(url.user, "u");
    ck_assert_str_eq(url.password, "p");
    ck_assert_str_eq(url.ns, "n");
    ck_assert_uint_eq(url.others.n, 3);
    is_host(&url.others.list[0], "b.example", 6379);
    is_host(&url.others.list[1], "::1", 7002);
    is_host(&url.others.list[2], "127.0.0.1", 7003);
    parse("redis://a");
    ck_assert_int_eq(url.servers, ASQ__URL_ONE);
}
END_TEST

#ifdef HAVE_TLS
START_TEST(a_cluster_with_tls_has_the_parameters_of_both)
{
    parse("rediss+cluster://a,b:7001?verify=ca&nat=c:1=d:2&sni=e");
    ck_assert(url.tls);
    ck_assert_int_eq(url.servers, ASQ__URL_CLUSTER);
    ck_assert_int_eq(url.tls_verify, ASQ__TLS_VERIFY_CA);
    ck_assert_str_eq(url.tls_sni, "e");
    is_written_as(&url, "rediss+cluster://a:6379,b:7001?sni=e&verify=ca&nat=c:1=d:2");
}
END_TEST
#endif

START_TEST(faults_in_a_list_of_hosts_are_named)
{
    char many[2000] = "redis+cluster://h";
    refused("redis+cluster://a,,b", "host number 2 is empty");
    refused("redis+cluster://a,", "host number 2 is empty");
    refused("redis+cluster://a,b:0", "port is '0'; a number from 1 to 65535");
    refused("redis+cluster://a,b c", "host has byte 0x20 at place 2");
    refused("redis+cluster://a,[::1", "a '[' without ']'");
    refused("redis+cluster://a/1", "a Cluster has only database 0");
    refused("redis+cluster://a?db=1", "known parameters: ns, nat");
    refused("redis://a,b", "host has byte 0x2C");
    refused("redis://a?nat=b:1=c:1", "parameter 'nat' that is not known");
    for (int i = 0; i < ASQ__URL_HOSTS_MAX - 1; i++)
        strcat(many, ",h");
    parse(many);
    ck_assert_uint_eq(url.others.n, ASQ__URL_HOSTS_MAX - 1);
    strcat(many, ",h");
    refused(many, "more than 64 hosts");
}
END_TEST

START_TEST(a_password_before_a_list_is_not_shown)
{
    refused("redis+cluster://u:secret@a:x,b", "port is 'x'");
    ck_assert_ptr_null(strstr(err, "secret"));
    refused("redis+cluster://u:secret/x@a,b", "an '@' behind a '/'");
    ck_assert_ptr_null(strstr(err, "secret"));
    parse("redis+cluster://u:secret@a:7000,b");
    char *hidden = asq__url_format(&url, true);
    ck_assert_str_eq(hidden, "redis+cluster://u:***@a:7000,b:6379");
    free(hidden);
}
END_TEST

START_TEST(the_map_leads_from_announced_hosts_to_reachable_ones)
{
    parse("redis+cluster://a?nat=10.0.0.1:7000=203.0.113.5:7001,[::2]:7000=n2.example:6380");
    ck_assert_uint_eq(url.nat.announced.n, 2);
    struct asq__host first = { (char[]){ "10.0.0.1" }, 7000 };
    struct asq__host second = { (char[]){ "::2" }, 7000 };
    struct asq__host third = { (char[]){ "10.0.0.1" }, 7001 };
    is_host(asq__nat_find(&url.nat, &first), "203.0.113.5", 7001);
    is_host(asq__nat_find(&url.nat, &second), "n2.example", 6380);
    ck_assert_ptr_eq(asq__nat_find(&url.nat, &third), &third);
    size_t from = 0;
    is_host(asq__nat_announced(&url.nat, "N2.example", 6380, &from), "::2", 7000);
    ck_assert_uint_eq(from, 2);
    ck_assert_ptr_null(asq__nat_announced(&url.nat, "n2.example", 6380, &from));
    from = 0;
    ck_assert_ptr_null(asq__nat_announced(&url.nat, "n2.example", 7000, &from));
    refused("redis+cluster://a?nat=", "announced:port=reached:port is needed");
    refused("redis+cluster://a?nat=b:1", "announced:port=reached:port is needed");
    refused("redis+cluster://a?nat=b:1=c", "nat host 'c' needs a port");
    refused("redis+cluster://a?nat=b=c:1", "nat host 'b' needs a port");
    refused("redis+cluster://a?nat=b:1=c:1,", "announced:port=reached:port is needed");
    refused("redis+cluster://a?nat==c:1", "nat host number 1 is empty");
    refused("redis+cluster://a?nat=b:1=c:1=d:1", "port is '1=d:1'");
}
END_TEST

START_TEST(a_list_and_a_map_survive_writing_and_copying)
{
    static const char text[] = "redis+cluster://u:p%40@a:7000,[::1]:7001,b:6379"
                               "?nat=c:1=d:2,[fe80::1%25eth0]:3=[::2]:4&ns=n";
    struct asq__url copy;
    parse(text);
    is_written_as(&url, text);
    ck_assert_int_eq(asq__url_copy(&copy, &url), 0);
    asq__url_release(&url);
    is_written_as(&copy, text);
    asq__url_release(&copy);
}
END_TEST

START_TEST(a_list_is_local_when_all_its_hosts_are)
{
    parse("redis+cluster://127.0.0.1:7000,127.0.0.1:7001,[::1]");
    ck_assert_int_eq(asq__url_is_local(&url, err, sizeof err), 1);
    parse("redis+cluster://127.0.0.1:7000,127.0.0.1:7001,192.0.2.1");
    ck_assert_int_eq(asq__url_is_local(&url, err, sizeof err), 0);
    parse("redis+cluster://127.0.0.1?nat=192.0.2.1:7000=127.0.0.1:7000");
    ck_assert_int_eq(asq__url_is_local(&url, err, sizeof err), 1);
    parse("redis+cluster://127.0.0.1?nat=127.0.0.1:7000=192.0.2.1:7000");
    ck_assert_int_eq(asq__url_is_local(&url, err, sizeof err), 0);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("url_hosts");
    TCase *tc = tcase_create("all");
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, a_cluster_has_one_host_or_several);
#ifdef HAVE_TLS
    tcase_add_test(tc, a_cluster_with_tls_has_the_parameters_of_both);
#endif
    tcase_add_test(tc, faults_in_a_list_of_hosts_are_named);
    tcase_add_test(tc, a_password_before_a_list_is_not_shown);
    tcase_add_test(tc, the_map_leads_from_announced_hosts_to_reachable_ones);
    tcase_add_test(tc, a_list_and_a_map_survive_writing_and_copying);
    tcase_add_test(tc, a_list_is_local_when_all_its_hosts_are);
    suite_add_tcase(s, tc);
    return sup_suite_run(s);
}
