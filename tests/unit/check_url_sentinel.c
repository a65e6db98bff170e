/*
 * check_url_sentinel.c: redis+sentinel:// as text: hosts, the master's name, the Sentinels' own
 * credentials, and what is wrong with others.
 */
#include "asqueue.h"
#include "redis/url.h"
#include "support/suite.h"

#include <stdlib.h>
#include <string.h>

static struct asq__url url;
static char err[400];

static void parse(const char *text)
{
    asq__url_release(&url);
    ck_assert_msg(asq__url_parse(text, &url, err, sizeof err) == 0, "%s: %s", text, err);
}

static void refused(const char *text, const char *part)
{
    struct asq__url none;
    ck_assert_int_eq(asq__url_parse(text, &none, err, sizeof err), ASQ_EINVAL);
    ck_assert_msg(strstr(err, part) != NULL, "%s: no \"%s\" in: %s", text, part, err);
}

static void tear_down(void)
{
    asq__url_release(&url);
}

START_TEST(hosts_master_and_database_are_taken_apart)
{
    parse("redis+sentinel://alice:pw@s1,s2:7000,[::1]/my.master/3?ns=n");
    ck_assert_int_eq(url.scheme, ASQ__URL_TCP);
    ck_assert_int_eq(url.servers, ASQ__URL_SENTINEL);
    ck_assert_str_eq(url.host, "s1");
    ck_assert_int_eq(url.port, 26379);
    ck_assert_uint_eq(url.others.n, 2);
    ck_assert_int_eq(url.others.list[0].port, 7000);
    ck_assert_str_eq(url.others.list[1].name, "::1");
    ck_assert_int_eq(url.others.list[1].port, 26379);
    ck_assert_str_eq(url.master, "my.master");
    ck_assert_int_eq(url.db, 3);
    ck_assert_str_eq(url.user, "alice");
    ck_assert_str_eq(url.password, "pw");
    ck_assert_str_eq(url.ns, "n");
    ck_assert_ptr_null(url.sentinel_user);
    ck_assert_ptr_null(url.sentinel_password);
    ck_assert_ptr_nonnull(url.sentinels);
    parse("redis+sentinel://s1/a%2Fb");
    ck_assert_str_eq(url.master, "a/b");
    ck_assert_int_eq(url.db, 0);
}
END_TEST

START_TEST(the_sentinels_credentials_are_their_own)
{
    parse("redis+sentinel://s/m?sentinel-user=bob&sentinel-password=p%26w");
    ck_assert_ptr_null(url.password);
    ck_assert_str_eq(url.sentinel_user, "bob");
    ck_assert_str_eq(url.sentinel_password, "p&w");
    parse("redis+sentinel://s/m?sentinel-user=bob");
    ck_assert_str_eq(url.sentinel_password, "");
    parse("redis+sentinel://s/m?sentinel-user=&sentinel-password=");
    ck_assert_ptr_null(url.sentinel_user);
    ck_assert_ptr_null(url.sentinel_password);
    parse("redis+sentinel://s/m?sentinel-user=bob&sentinel-password-file=/etc/a%20b");
    ck_assert_ptr_null(url.sentinel_password);
    ck_assert_str_eq(url.sentinel_password_file, "/etc/a b");
    refused("redis+sentinel://s/m?sentinel-password=x&sentinel-password-file=/y", "leave one out");
    refused("redis+sentinel://s/m?sentinel-password-file=", "is empty");
    refused("redis://s?sentinel-password=x", "not known");
}
END_TEST

START_TEST(a_master_needs_a_name)
{
    refused("redis+sentinel://s1,s2", "needs the master's name");
    refused("redis+sentinel://s1,s2/", "needs the master's name");
    refused("redis+sentinel://s1?ns=x", "needs the master's name");
    refused("redis+sentinel://s1/m/x", "database");
    refused("redis+sentinel://s1/a%20b", "byte 0x20 at place 2");
    refused("redis+sentinel://s1/a%0Ab", "byte 0x0A");
    char text[300] = "redis+sentinel://s1/";
    memset(text + strlen(text), 'm', 129);
    refused(text, "129 bytes");
    refused("redis+sentinel://s1,/m", "");
    refused("redis+sentinel://s1/m?x=y", "sentinel-password-file");
}
END_TEST

START_TEST(as_text_it_parses_to_the_same_and_hides_passwords)
{
    static const char *const all[] = {
        "redis+sentinel://a:b@s1:1,[fe80::1%25eth0]:2/a%2Fb/7?ns=n",
        "redis+sentinel://s/m?sentinel-user=bo%26b&sentinel-password=x%25",
        "redis+sentinel://s/m?sentinel-password-file=/run/secrets/a%20b",
    };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        struct asq__url again;
        parse(all[i]);
        char *text = asq__url_format(&url, false);
        ck_assert_msg(asq__url_parse(text, &again, err, sizeof err) == 0, "%s: %s", text, err);
        char *twice = asq__url_format(&again, false);
        ck_assert_str_eq(twice, text);
        ck_assert_str_eq(again.master, url.master);
        ck_assert_int_eq(again.db, url.db);
        ck_assert_pstr_eq(again.sentinel_user, url.sentinel_user);
        ck_assert_pstr_eq(again.sentinel_password, url.sentinel_password);
        ck_assert_pstr_eq(again.sentinel_password_file, url.sentinel_password_file);
        free(text);
        free(twice);
        asq__url_release(&again);
    }
    parse("redis+sentinel://:geheim@s,t/m/1?sentinel-password=geheim&sentinel-user=u");
    char *text = asq__url_format(&url, true);
    ck_assert_str_eq(text, "redis+sentinel://:***@s:26379,t:26379/m/1?sentinel-user=u&"
                           "sentinel-password=***");
    free(text);
    refused("redis+sentinel://s/m?sentinel-password=geheim%", "sentinel-password");
    ck_assert_ptr_null(strstr(err, "geheim"));
}
END_TEST

int main(void)
{
    Suite *s = suite_create("url_sentinel");
    TCase *t = tcase_create("url_sentinel");
    tcase_add_checked_fixture(t, NULL, tear_down);
    tcase_add_test(t, hosts_master_and_database_are_taken_apart);
    tcase_add_test(t, the_sentinels_credentials_are_their_own);
    tcase_add_test(t, a_master_needs_a_name);
    tcase_add_test(t, as_text_it_parses_to_the_same_and_hides_passwords);
    suite_add_tcase(s, t);
    return sup_suite_run(s);
}
