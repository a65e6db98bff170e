/*
 * check_sentinel_reply.c: what Sentinels say is understood, and what is none of it is refused:
 * hosts that must not reach a resolver, ports that are none, replies of other shapes, too many of
 * them. Also the list of Sentinels that a process keeps.
 */
#include "asqueue.h"
#include "redis/sentinel_reply.h"
#include "redis/sentinels.h"
#include "redis/url.h"
#include "support/suite.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static redisReply *parse(const char *text)
{
    redisReader *reader = redisReaderCreate();
    void *reply = NULL;
    ck_assert_int_eq(redisReaderFeed(reader, text, strlen(text)), REDIS_OK);
    ck_assert_int_eq(redisReaderGetReply(reader, &reply), REDIS_OK);
    ck_assert_ptr_nonnull(reply);
    redisReaderFree(reader);
    return reply;
}

static struct asq__server_address master;
static char why[ASQ__SENTINEL_WHY];

static int read_master(const char *text)
{
    redisReply *reply = parse(text);
    memset(&master, 0, sizeof master);
    *why = '\0';
    int rc = asq__sentinel_read_master(reply, &master, why);
    freeReplyObject(reply);
    return rc;
}

/* ---- the master ---- */

START_TEST(a_master_is_a_host_and_a_port)
{
    ck_assert_int_eq(read_master("*2\r\n$9\r\n10.0.0.17\r\n$4\r\n6379\r\n"), 0);
    ck_assert_str_eq(master.host, "10.0.0.17");
    ck_assert_int_eq(master.port, 6379);
    ck_assert_int_eq(read_master("*2\r\n$3\r\n::1\r\n$5\r\n65535\r\n"), 0);
    char text[300];
    asq__server_address_put(&master, text, sizeof text);
    ck_assert_str_eq(text, "[::1]:65535");
    ck_assert_int_eq(read_master("*2\r\n$16\r\nredis-1.internal\r\n$1\r\n1\r\n"), 0);
    asq__server_address_put(&master, text, sizeof text);
    ck_assert_str_eq(text, "redis-1.internal:1");
}
END_TEST

START_TEST(nonsense_is_no_master)
{
    static const char *const all[] = {
        "*0\r\n", "*1\r\n$1\r\na\r\n", "*3\r\n$1\r\na\r\n$1\r\n1\r\n$1\r\n1\r\n", "+OK\r\n",
        ":1\r\n", "$4\r\n1234\r\n", "*2\r\n$1\r\na\r\n:6379\r\n", "*2\r\n$1\r\na\r\n$-1\r\n",
        "*2\r\n*0\r\n$1\r\n1\r\n",
        /* hosts */
        "*2\r\n$0\r\n\r\n$1\r\n1\r\n", "*2\r\n$3\r\na b\r\n$1\r\n1\r\n",
        "*2\r\n$3\r\na\nb\r\n$1\r\n1\r\n", "*2\r\n$3\r\na/b\r\n$1\r\n1\r\n",
        "*2\r\n$3\r\na@b\r\n$1\r\n1\r\n", "*2\r\n$2\r\n\xc3\xa9\r\n$1\r\n1\r\n",
        /* ports */
        "*2\r\n$1\r\na\r\n$1\r\n0\r\n", "*2\r\n$1\r\na\r\n$5\r\n65536\r\n",
        "*2\r\n$1\r\na\r\n$2\r\n-1\r\n", "*2\r\n$1\r\na\r\n$2\r\n1x\r\n",
        "*2\r\n$1\r\na\r\n$0\r\n\r\n", "*2\r\n$1\r\na\r\n$21\r\n184467440737095516160\r\n"
    };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        ck_assert_msg(read_master(all[i]) == ASQ_EPROTO, "%s: %s", all[i], why);
        ck_assert_str_ne(why, "");
    }
    char longest[400], host[300];
    memset(host, 'h', sizeof host);
    snprintf(longest, sizeof longest, "*2\r\n$254\r\n%.254s\r\n$1\r\n1\r\n", host);
    ck_assert_int_eq(read_master(longest), ASQ_EPROTO);
    snprintf(longest, sizeof longest, "*2\r\n$253\r\n%.253s\r\n$1\r\n1\r\n", host);
    ck_assert_int_eq(read_master(longest), 0);
    /* A NUL would hide the rest of a name. */
    redisReply *reply = parse("*2\r\n$3\r\naxb\r\n$1\r\n1\r\n");
    reply->element[0]->str[1] = '\0';
    ck_assert_int_eq(asq__sentinel_read_master(reply, &master, why), ASQ_EPROTO);
    freeReplyObject(reply);
}
END_TEST

START_TEST(each_refusal_says_whose_fault_it_is)
{
    static const struct {
        const char *reply;
        int code;
        const char *text;
    } all[] = {
        { "*-1\r\n", ASQ_ENOENT, "no master of that name" },
        { "-NOAUTH Authentication required.\r\n", ASQ_EAUTH, "wants a password of its own" },
        { "-WRONGPASS invalid username-password pair\r\n", ASQ_EAUTH, "sentinel-user" },
        { "-NOPERM this user has no permissions to run the 'sentinel' command\r\n", ASQ_EAUTH,
          "may not ask" },
        { "-ERR unknown command 'SENTINEL', with args beginning with: \r\n", ASQ_EINVAL,
          "no Sentinel, but a Redis" },
        { "-LOADING Redis is loading\r\n", ASQ_EBUSY, "now" },
        { "-ERR something else\r\n", ASQ_EREDIS, "something else" },
    };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        ck_assert_int_eq(read_master(all[i].reply), all[i].code);
        ck_assert_msg(strstr(why, all[i].text) != NULL, "%s", why);
    }
}
END_TEST

/* ---- the others ---- */

START_TEST(usable_sentinels_are_taken_from_a_list)
{
    struct asq__server_address list[ASQ__SENTINELS_MAX];
    redisReply *reply =
        parse("*6\r\n"
              "*4\r\n$2\r\nip\r\n$8\r\n10.0.0.1\r\n$4\r\nport\r\n$5\r\n26379\r\n"
              "*6\r\n$4\r\nname\r\n$1\r\nx\r\n$4\r\nport\r\n$1\r\n1\r\n$2\r\nip\r\n$1\r\nh\r\n"
              "*2\r\n$2\r\nip\r\n$1\r\na\r\n"
              "*4\r\n$2\r\nip\r\n$1\r\n \r\n$4\r\nport\r\n$1\r\n1\r\n"
              "*3\r\n$2\r\nip\r\n$1\r\na\r\n$4\r\nport\r\n"
              "+OK\r\n");
    ck_assert_uint_eq(asq__sentinel_read_others(reply, list), 2);
    ck_assert_str_eq(list[0].host, "10.0.0.1");
    ck_assert_int_eq(list[0].port, 26379);
    ck_assert_str_eq(list[1].host, "h");
    freeReplyObject(reply);
    reply = parse("-ERR No such master with that name\r\n");
    ck_assert_uint_eq(asq__sentinel_read_others(reply, list), 0);
    freeReplyObject(reply);
}
END_TEST

START_TEST(a_list_is_bounded)
{
    struct asq__server_address list[ASQ__SENTINELS_MAX];
    enum { MANY = 3 * ASQ__SENTINELS_MAX };
    char *text = malloc(MANY * 64 + 64);
    int at = sprintf(text, "*%d\r\n", MANY);
    for (int i = 0; i < MANY; i++)
        at += sprintf(text + at, "*4\r\n$2\r\nip\r\n$4\r\nh%03d\r\n$4\r\nport\r\n$1\r\n1\r\n", i);
    redisReply *reply = parse(text);
    ck_assert_uint_eq(asq__sentinel_read_others(reply, list), ASQ__SENTINELS_MAX);
    freeReplyObject(reply);
    free(text);
}
END_TEST

START_TEST(names_of_masters_are_listed_for_people)
{
    char names[32];
    redisReply *reply = parse("*4\r\n*2\r\n$4\r\nname\r\n$3\r\none\r\n*0\r\n"
                              "*2\r\n$4\r\nname\r\n$5\r\nt\x1b[1m\r\n*2\r\n$4\r\nname\r\n$30\r\n"
                              "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n");
    asq__sentinel_read_names(reply, names, sizeof names);
    ck_assert_str_eq(names, "one, t?[1m");
    freeReplyObject(reply);
    reply = parse("-NOPERM x\r\n");
    asq__sentinel_read_names(reply, names, sizeof names);
    ck_assert_str_eq(names, "");
    freeReplyObject(reply);
}
END_TEST

/* ---- +switch-master ---- */

START_TEST(a_switch_names_the_new_master)
{
    static const char text[] = "m 10.0.0.1 6379 10.0.0.2 6380";
    ck_assert(asq__sentinel_read_switch(text, strlen(text), "m", &master));
    ck_assert_str_eq(master.host, "10.0.0.2");
    ck_assert_int_eq(master.port, 6380);
    ck_assert(!asq__sentinel_read_switch(text, strlen(text), "other", &master));
    static const char *const bad[] = { "",          "m",         "m a 1 b",   "m a 1 b 2 c",
                                       "m a 1 b x", "m a 1 / 1", "m a 1 b 0", " ",
                                       "m  " };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        ck_assert(!asq__sentinel_read_switch(bad[i], strlen(bad[i]), "m", &master));
    ck_assert(!asq__sentinel_read_switch("m a 1 b 1\0 2", 12, "m", &master));
    char *huge = malloc(100000);
    memset(huge, 'm', 100000);
    ck_assert(!asq__sentinel_read_switch(huge, 100000, "m", &master));
    free(huge);
}
END_TEST

/* ---- what a process knows ---- */

static unsigned list_hosts(struct asq__sentinels *s, char *out)
{
    struct asq__server_address list[ASQ__SENTINELS_MAX];
    unsigned n = asq__sentinels_list(s, list);
    *out = '\0';
    for (unsigned i = 0; i < n; i++)
        sprintf(out + strlen(out), "%s%s:%d", i ? " " : "", list[i].host, list[i].port);
    return n;
}

START_TEST(the_sentinel_that_answers_comes_first_and_learned_ones_are_replaced)
{
    struct asq__url url;
    struct asq__server_address got;
    char err[400], hosts[ASQ__SENTINELS_MAX * 64];
    ck_assert_int_eq(asq__url_parse("redis+sentinel://a:1,b:2/m", &url, err, sizeof err), 0);
    struct asq__sentinels *s = url.sentinels;
    ck_assert(!asq__sentinels_master(s, &got));
    ck_assert_uint_eq(list_hosts(s, hosts), 2);
    ck_assert_str_eq(hosts, "a:1 b:2");

    const struct asq__server_address b = { "b", 2 }, c = { "c", 3 }, d = { "d", 4 };
    const struct asq__server_address m = { "m", 6 }, other = { "n", 7 };
    const struct asq__server_address first[] = { c, { "A", 1 } }, second[] = { d };
    asq__sentinels_learn(s, &b, first, 2);
    ck_assert(asq__sentinels_told(s, &b, &m));
    ck_assert(!asq__sentinels_told(s, &b, &m));
    list_hosts(s, hosts);
    ck_assert_str_eq(hosts, "b:2 c:3 a:1");
    ck_assert(asq__sentinels_master(s, &got) && asq__server_address_is_same(&got, &m));

    asq__sentinels_learn(s, &c, second, 1); /* c stays, although it does not tell itself */
    ck_assert(asq__sentinels_told(s, &c, &other));
    list_hosts(s, hosts);
    ck_assert_str_eq(hosts, "c:3 d:4 a:1 b:2");
    asq__sentinels_skip(s, 3);
    list_hosts(s, hosts);
    ck_assert_str_eq(hosts, "b:2 c:3 d:4 a:1");

    struct asq__server_address many[ASQ__SENTINELS_MAX] = { 0 };
    for (int i = 0; i < ASQ__SENTINELS_MAX; i++) {
        snprintf(many[i].host, sizeof many[i].host, "x%d", i);
        many[i].port = 1;
    }
    asq__sentinels_learn(s, &d, many, ASQ__SENTINELS_MAX);
    ck_assert_uint_eq(list_hosts(s, hosts), ASQ__SENTINELS_MAX);
    ck_assert(strncmp(hosts, "d:4 ", 4) == 0);

    struct asq__url copy;
    ck_assert_int_eq(asq__url_copy(&copy, &url), 0);
    ck_assert_ptr_eq(copy.sentinels, s);
    asq__url_release(&url);
    ck_assert(asq__sentinels_master(copy.sentinels, &got));
    asq__url_release(&copy);
}
END_TEST

/* A Sentinel without password must not lead a worker, which has none either, to another machine. */
START_TEST(only_sentinels_of_this_machine_are_learned_when_it_is_meant)
{
    struct asq__url url;
    char err[400], hosts[ASQ__SENTINELS_MAX * 64];
    ck_assert_int_eq(asq__url_parse("redis+sentinel://127.0.0.1/m", &url, err, sizeof err), 0);
    const struct asq__server_address by = { "127.0.0.1", 26379 };
    const struct asq__server_address told[] = { { "192.0.2.1", 1 }, { "127.0.0.2", 2 } };
    asq__sentinels_keep_local(url.sentinels);
    asq__sentinels_learn(url.sentinels, &by, told, 2);
    list_hosts(url.sentinels, hosts);
    ck_assert_str_eq(hosts, "127.0.0.1:26379 127.0.0.2:2");
    asq__url_release(&url);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("sentinel_reply");
    TCase *t = tcase_create("sentinel_reply");
    tcase_add_test(t, a_master_is_a_host_and_a_port);
    tcase_add_test(t, nonsense_is_no_master);
    tcase_add_test(t, each_refusal_says_whose_fault_it_is);
    tcase_add_test(t, usable_sentinels_are_taken_from_a_list);
    tcase_add_test(t, a_list_is_bounded);
    tcase_add_test(t, names_of_masters_are_listed_for_people);
    tcase_add_test(t, a_switch_names_the_new_master);
    tcase_add_test(t, the_sentinel_that_answers_comes_first_and_learned_ones_are_replaced);
    tcase_add_test(t, only_sentinels_of_this_machine_are_learned_when_it_is_meant);
    suite_add_tcase(s, t);
    return sup_suite_run(s);
}
