/*
 * check_url.c: accepted URLs and their meaning, messages about others, and passwords, which stay
 * out of messages.
 */
#include "redis/url.h"

#include <arpa/inet.h>
#include <check.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netdb.h>
#include <netinet/in.h>
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
    err[0] = '\0';
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

/* Checks that the URL is refused with this code and text; *ret stays unchanged. */
#define refused(text, code, part)                                                                  \
    do {                                                                                           \
        struct asq__url kept_ = { .port = 4711 };                                                  \
        err[0] = '\0';                                                                             \
        ck_assert_int_eq(asq__url_parse(text, &kept_, err, sizeof err), code);                     \
        ck_assert_msg(strstr(err, part) != NULL, "expected \"%s\" in \"%s\"", part, err);          \
        ck_assert_int_eq(kept_.port, 4711);                                                        \
    } while (0)

static void is_tcp(const char *text, const char *host, int port, int db)
{
    parse(text);
    ck_assert_int_eq(url.scheme, ASQ__URL_TCP);
    ck_assert_str_eq(url.host, host);
    ck_assert_int_eq(url.port, port);
    ck_assert_int_eq(url.db, db);
    ck_assert_ptr_null(url.path);
}

static void has_credentials(const char *user, const char *password)
{
    ck_assert_pstr_eq(url.user, user);
    ck_assert_pstr_eq(url.password, password);
}

/* ---- the forms ---- */

START_TEST(local_and_child_have_no_address)
{
    parse("local:");
    ck_assert_int_eq(url.scheme, ASQ__URL_LOCAL);
    parse("LOCAL:");
    ck_assert_int_eq(url.scheme, ASQ__URL_LOCAL);
    parse("child:");
    ck_assert_int_eq(url.scheme, ASQ__URL_CHILD);
    ck_assert_uint_eq(url.processes, 0);
    ck_assert_uint_eq(url.capacity, 0);
    parse("child:?processes=3&capacity=17");
    ck_assert_uint_eq(url.processes, 3);
    ck_assert_uint_eq(url.capacity, 17);
    refused("local://here", ASQ_EINVAL, "'//here' behind local: is not understood");
    refused("child:3", ASQ_EINVAL, "'3' behind child: is not understood");
    refused("child:?processes=0", ASQ_EINVAL,
            "processes is '0'; a number from 1 to 1024 is needed");
    refused("child:?capacity=4097", ASQ_EINVAL, "a number from 1 to 4096");
}
END_TEST

START_TEST(what_is_left_out_of_an_address_has_a_default)
{
    is_tcp("redis://", "127.0.0.1", 6379, 0);
    is_tcp("redis://redis.example", "redis.example", 6379, 0);
    is_tcp("redis://redis.example/", "redis.example", 6379, 0);
    is_tcp("redis://:7000", "127.0.0.1", 7000, 0);
    is_tcp("REDIS://h:7000/5", "h", 7000, 5);
    is_tcp("redis:///5", "127.0.0.1", 6379, 5);
    has_credentials(NULL, NULL);
    ck_assert_ptr_null(url.ns);
    ck_assert(!url.tls);
}
END_TEST

START_TEST(ipv6_addresses_stand_in_brackets)
{
    is_tcp("redis://[::1]", "::1", 6379, 0);
    is_tcp("redis://[2001:db8::7]:7000/2", "2001:db8::7", 7000, 2);
    is_tcp("redis://u:p@[fe80::1%25eth0]:7000", "fe80::1%eth0", 7000, 0);
    has_credentials("u", "p");
    refused("redis://[::1", ASQ_EINVAL, "a '[' without ']'");
    refused("redis://[]:7000", ASQ_EINVAL, "no IPv6 address between '[' and ']'");
    refused("redis://[::1]7000", ASQ_EINVAL, "'7000' behind its host");
    refused("redis://::1", ASQ_EINVAL, "port");
}
END_TEST

START_TEST(credentials_are_user_and_password_or_a_password_alone)
{
    is_tcp("redis://alice:secret@h:1", "h", 1, 0);
    has_credentials("alice", "secret");
    parse("redis://:secret@h");
    has_credentials(NULL, "secret");
    parse("redis://secret@h");
    has_credentials(NULL, "secret");
    parse("redis://a%3Ab:p%40%2F%3f%25@h");
    has_credentials("a:b", "p@/?%");
    is_tcp("redis://alice:p@ss:w@h", "h", 6379, 0); /* the last '@' counts */
    has_credentials("alice", "p@ss:w");
}
END_TEST

START_TEST(an_empty_name_is_none_and_a_name_without_a_password_has_an_empty_one)
{
    static const char *const nobody[] = { "redis://@h", "redis://:@h", "unix:/s?user=",
                                          "unix:/s?password=", "unix:/s?user=&password=" };
    for (size_t i = 0; i < sizeof nobody / sizeof nobody[0]; i++) {
        parse(nobody[i]);
        has_credentials(NULL, NULL);
    }
    parse("redis://bob:@h");
    has_credentials("bob", "");
    parse("unix:/s?user=bob");
    has_credentials("bob", "");
    parse("unix:/s?user=&password=p");
    has_credentials(NULL, "p");
    parse("redis://%E2%82%AC%0A:%ff@h"); /* any bytes but NUL */
    has_credentials("\xe2\x82\xac\n", "\xff");
}
END_TEST

START_TEST(hosts_are_names_or_addresses)
{
    is_tcp("redis://redis-1.my_net.example", "redis-1.my_net.example", 6379, 0);
    is_tcp("redis://%72edis", "redis", 6379, 0);
    is_tcp("redis://xn--bcher-kva.example.:1", "xn--bcher-kva.example.", 1, 0);
    refused("redis://b\xc3\xbc"
            "cher.example",
            ASQ_EINVAL,
            "host has byte 0xC3 at place 2, which a host name cannot have; write a name in");
    refused("redis://b%c3%bccher.example", ASQ_EINVAL, "xn--…");
    refused("redis://@h\x91\x8c\xc5\xc0ifq=ca&ple", ASQ_EINVAL, "byte 0x91 at place 2");
    refused("redis://a b", ASQ_EINVAL, "byte 0x20 at place 2, which a host name cannot have");
    refused("redis://a%0Ab", ASQ_EINVAL, "byte 0x0A");
    refused("redis://a%1b[2J:7000", ASQ_EINVAL, "byte 0x1B");
    refused("redis://a%2Fb", ASQ_EINVAL, "byte 0x2F");
    refused("redis://a%3A1", ASQ_EINVAL, "byte 0x3A");
    refused("redis://a=b", ASQ_EINVAL, "byte 0x3D");
    refused("redis://[::1\xff]", ASQ_EINVAL, "no IPv6 address between");
    refused("redis://[fe80::1%25eth 0]", ASQ_EINVAL, "no IPv6 address between");
    refused("redis://[fe80::1%25]", ASQ_EINVAL, "no IPv6 address between");
    refused("redis://[127.0.0.1]", ASQ_EINVAL, "as in [2001:db8::1] or [fe80::1%25eth0]");
    refused("redis://[redis]", ASQ_EINVAL, "no IPv6 address between");
#ifdef HAVE_TLS
    parse("rediss://10.0.0.1?sni=redis.example");
    ck_assert_str_eq(url.tls_sni, "redis.example");
    refused("rediss://10.0.0.1?sni=a%0Ab", ASQ_EINVAL, "sni has byte 0x0A");
#endif
    char text[300] = "redis://";
    memset(text + 8, 'h', 254);
    refused(text, ASQ_EINVAL, "host has 254 bytes; names have up to 253");
    text[8 + 253] = '\0';
    parse(text);
}
END_TEST

START_TEST(unix_sockets_have_a_path_and_parameters)
{
    parse("unix:/run/redis/redis.sock");
    ck_assert_int_eq(url.scheme, ASQ__URL_UNIX);
    ck_assert_str_eq(url.path, "/run/redis/redis.sock");
    ck_assert_ptr_null(url.host);
    has_credentials(NULL, NULL);
    parse("unix:///run/my%20redis.sock?db=3&ns=team-a&user=alice&password=a%26b%3dc");
    ck_assert_str_eq(url.path, "/run/my redis.sock");
    ck_assert_int_eq(url.db, 3);
    ck_assert_str_eq(url.ns, "team-a");
    has_credentials("alice", "a&b=c");
    refused("unix:redis.sock", ASQ_EINVAL, "an absolute path");
    refused("unix:", ASQ_EINVAL, "an absolute path");
}
END_TEST

START_TEST(socket_paths_end_where_the_system_ends_them)
{
    char text[200] = "unix:/";
    memset(text + 6, 'x', 106);
    parse(text); /* 107 bytes */
    ck_assert_uint_eq(strlen(url.path), 107);
    text[112] = 'x';
    refused(text, ASQ_EINVAL, "more than 107 bytes");
}
END_TEST

START_TEST(parameters_that_are_not_known_are_answered_with_those_that_are)
{
    parse("redis://h?ns=prod");
    ck_assert_str_eq(url.ns, "prod");
    parse("redis://h/1?");
    parse("redis://h/1?&ns=prod&");
    ck_assert_str_eq(url.ns, "prod");
    refused("redis://h?namespace=prod", ASQ_EINVAL,
            "'namespace' that is not known; known parameters: ns");
    refused("redis://h?db=1", ASQ_EINVAL, "known parameters: ns");
    refused("redis://h?n", ASQ_EINVAL, "'n' that is not known");
    refused("unix:/s?port=1", ASQ_EINVAL,
            "'port' that is not known; known parameters: db, ns, user, password");
    refused("child:?ns=x", ASQ_EINVAL, "known parameters: processes, capacity");
    refused("local:?ns=x", ASQ_EINVAL, "'ns' that is not known; known parameters: none");
}
END_TEST

START_TEST(numbers_are_checked)
{
    refused("redis://h:0", ASQ_EINVAL, "port is '0'; a number from 1 to 65535 is needed");
    refused("redis://h:65536", ASQ_EINVAL, "a number from 1 to 65535");
    refused("redis://h:", ASQ_EINVAL, "port is ''");
    refused("redis://h:+1", ASQ_EINVAL, "port is '+1'");
    refused("redis://h:0x10", ASQ_EINVAL, "port is '0x10'");
    refused("redis://h: 1", ASQ_EINVAL, "port is ' 1'");
    refused("redis://h:99999999999999999999999999", ASQ_EINVAL, "port");
    refused("redis://h/x", ASQ_EINVAL, "database is 'x'; a number from 0 to 1000000");
    refused("redis://h/1/2", ASQ_EINVAL, "database is '1/2'");
    refused("redis://h/-1", ASQ_EINVAL, "database is '-1'");
    refused("unix:/s?db=", ASQ_EINVAL, "db is ''");
}
END_TEST

START_TEST(escapes_are_checked)
{
    static const char *const bad[] = { "%", "%2", "%zz", "%00", "x%0", "%%25" };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        char text[64];
        snprintf(text, sizeof text, "unix:/%s", bad[i]);
        refused(text, ASQ_EINVAL, "the URL's path has an invalid %-escape");
    }
    refused("redis://u:%@h", ASQ_EINVAL, "password has an invalid %-escape");
    refused("redis://h%", ASQ_EINVAL, "host has an invalid %-escape");
    refused("redis://h?ns=%f", ASQ_EINVAL, "ns has an invalid %-escape");
}
END_TEST

START_TEST(other_schemes_are_answered_with_those_there_are)
{
    refused("http://h", ASQ_EINVAL, "'http:' begins no known URL");
    refused("localhost:6379", ASQ_EINVAL,
            "use local:, child:, redis://, rediss://, redis+sentinel://, "
            "rediss+sentinel://, redis+cluster://, rediss+cluster:// or unix:");
    refused("redis:h", ASQ_EINVAL, "redis://");
    refused("", ASQ_EINVAL, "'' begins no known URL");
    ck_assert_int_eq(asq__url_parse("x", &url, NULL, 0), ASQ_EINVAL);
}
END_TEST

START_TEST(tls_is_a_matter_of_the_build)
{
#ifdef HAVE_TLS
    is_tcp("rediss://h:7000", "h", 7000, 0);
    ck_assert(url.tls);
#else
    refused("rediss://h:7000", ASQ_ENOTSUP, "rediss:// needs TLS, which this build does not have");
#endif
}
END_TEST

/* ---- passwords ---- */

START_TEST(no_error_shows_a_password)
{
    static const char *const all[] = {
        "redis://alice:geheim/geheim@h",
        "redis://alice:geheim?geheim@h",
        "redis://alice:geheim@h:port",
        "redis://geheim@h/x",
        "redis://alice:geheim%@h",
        "redis://alice:geheim@[::1",
        "http://alice:geheim@h",
        "alice:geheim@h",
        "unix:/s?password=geheim%",
        "unix:/s?password=geheim&x=y",
        "redis://alice:geheim@h?password=x",
        "redis://alice:geheim%zz@h:1/2?ns=3",
    };
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        ck_assert_int_eq(asq__url_parse(all[i], &url, err, sizeof err), ASQ_EINVAL);
        ck_assert_msg(!strstr(err, "geheim"), "%s: %s", all[i], err);
    }
    refused("redis://alice:a/b@h", ASQ_EINVAL, "write these two as %2F and %3F");
}
END_TEST

static void formats(const char *text, const char *expected)
{
    parse(text);
    char *s = asq__url_format(&url, true);
    ck_assert_pstr_eq(s, expected);
    free(s);
}

START_TEST(as_text_the_password_is_hidden_and_the_rest_is_shown)
{
    formats("local:", "local:");
    formats("child:?capacity=4", "child:?capacity=4");
    formats("redis://", "redis://127.0.0.1:6379");
    formats("redis://alice:secret@h/3?ns=a", "redis://alice:***@h:6379/3?ns=a");
    formats("redis://secret@[::1]:7000", "redis://:***@[::1]:7000");
    formats("redis://bob:@h", "redis://bob:***@h:6379");
    formats("redis://:@h", "redis://h:6379");
    formats("unix:/s?user=bob", "unix:/s?user=bob&password=***");
    formats("unix:/s?password=secret&user=alice&db=2", "unix:/s?db=2&user=alice&password=***");
}
END_TEST

START_TEST(whole_text_parses_to_the_same_url)
{
    static const char *const all[] = {
        "local:",
        "child:?processes=3&capacity=17",
        "redis://a%3Ab%40:p%2F%3F%25%26@redis.example:7000/5?ns=x.y_z-1",
        "redis://:p%40@[fe80::1%25eth0]:7000",
        "redis://u:@h:1",
        "redis://%E2%82%AC%0A%FF:%C3@h:1",
        "redis://@h",
        "unix:/s?user=u",
        "unix:/tmp/100%25%20of%3Fit%26/s?db=1&user=u%26&password=p%3D%26%23&ns=n",
    };
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        struct asq__url again = { 0 };
        parse(all[i]);
        char *text = asq__url_format(&url, false);
        ck_assert_ptr_nonnull(text);
        ck_assert_msg(asq__url_parse(text, &again, err, sizeof err) == 0, "%s: %s", text, err);
        ck_assert_int_eq(again.scheme, url.scheme);
        ck_assert_pstr_eq(again.host, url.host);
        ck_assert_int_eq(again.port, url.port);
        ck_assert_pstr_eq(again.path, url.path);
        ck_assert_int_eq(again.db, url.db);
        ck_assert_pstr_eq(again.user, url.user);
        ck_assert_pstr_eq(again.password, url.password);
        ck_assert_pstr_eq(again.ns, url.ns);
        ck_assert_uint_eq(again.processes, url.processes);
        ck_assert_uint_eq(again.capacity, url.capacity);
        free(text);
        asq__url_release(&again);
    }
}
END_TEST

START_TEST(a_copy_shares_nothing)
{
    struct asq__url copy;
    parse("unix:/s?db=1&user=u&password=p&ns=n");
    ck_assert_int_eq(asq__url_copy(&copy, &url), 0);
    asq__url_release(&url);
    ck_assert_str_eq(copy.path, "/s");
    ck_assert_str_eq(copy.user, "u");
    ck_assert_str_eq(copy.password, "p");
    ck_assert_str_eq(copy.ns, "n");
    ck_assert_int_eq(copy.db, 1);
    ck_assert_ptr_null(copy.host);
    asq__url_release(&copy);
    asq__url_release(&copy); /* twice is fine, and so is an empty one */
    asq__url_release(NULL);
}
END_TEST

/* ---- the address ---- */

static bool local(const char *text)
{
    parse(text);
    return asq__url_is_local(&url, NULL, 0) == 1;
}

START_TEST(this_machine_is_known_by_all_its_addresses)
{
    struct ifaddrs *all, *i;
    ck_assert(local("unix:/nowhere"));
    ck_assert(local("redis://"));
    ck_assert(local("redis://127.1.2.3"));
    ck_assert(local("redis://[::1]"));
    ck_assert(local("redis://[::ffff:127.0.0.1]"));
    ck_assert(local("redis://0.0.0.0"));
    if (gethostbyname("localhost")) /* a bare system has no /etc/hosts */
        ck_assert(local("redis://localhost:7000"));
    ck_assert_int_eq(getifaddrs(&all), 0);
    for (i = all; i; i = i->ifa_next) {
        char address[64], text[100];
        if (!i->ifa_addr || i->ifa_addr->sa_family != AF_INET)
            continue;
        const void *in = &((const struct sockaddr_in *) (const void *) i->ifa_addr)->sin_addr;
        ck_assert_ptr_nonnull(inet_ntop(AF_INET, in, address, sizeof address));
        snprintf(text, sizeof text, "redis://%s", address);
        ck_assert_msg(local(text), "%s", text);
    }
    freeifaddrs(all);
}
END_TEST

START_TEST(other_machines_are_not_this_one)
{
    ck_assert(!local("redis://192.0.2.1")); /* reserved for documentation: no host has it */
    ck_assert(!local("redis://[2001:db8::1]"));
    ck_assert(!local("redis://[::ffff:192.0.2.1]"));
    ck_assert(!local("redis://128.0.0.1"));
    ck_assert(!local("redis://no-such-host.invalid"));
    /* Names that only look like the loopback's. */
    ck_assert(!local("redis://127.0.0.1.invalid"));
    ck_assert(!local("redis://localhost.no-such-host.invalid"));
}
END_TEST

int main(void)
{
    Suite *s = suite_create("url");
    TCase *c = tcase_create("url");
    tcase_add_checked_fixture(c, setup, teardown);
    tcase_add_test(c, local_and_child_have_no_address);
    tcase_add_test(c, what_is_left_out_of_an_address_has_a_default);
    tcase_add_test(c, ipv6_addresses_stand_in_brackets);
    tcase_add_test(c, credentials_are_user_and_password_or_a_password_alone);
    tcase_add_test(c, an_empty_name_is_none_and_a_name_without_a_password_has_an_empty_one);
    tcase_add_test(c, hosts_are_names_or_addresses);
    tcase_add_test(c, unix_sockets_have_a_path_and_parameters);
    tcase_add_test(c, socket_paths_end_where_the_system_ends_them);
    tcase_add_test(c, parameters_that_are_not_known_are_answered_with_those_that_are);
    tcase_add_test(c, numbers_are_checked);
    tcase_add_test(c, escapes_are_checked);
    tcase_add_test(c, other_schemes_are_answered_with_those_there_are);
    tcase_add_test(c, tls_is_a_matter_of_the_build);
    tcase_add_test(c, no_error_shows_a_password);
    tcase_add_test(c, as_text_the_password_is_hidden_and_the_rest_is_shown);
    tcase_add_test(c, whole_text_parses_to_the_same_url);
    tcase_add_test(c, a_copy_shares_nothing);
    tcase_add_test(c, this_machine_is_known_by_all_its_addresses);
    tcase_add_test(c, other_machines_are_not_this_one);
    suite_add_tcase(s, c);
    return sup_suite_run(s);
}
