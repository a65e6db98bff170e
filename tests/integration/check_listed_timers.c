/*
 * check_listed_timers.c: asq_schedules_page and asq_schedules give each timer once, in the order in
 * which they are due, though many are due at the same time: page by page, for an agent, by the
 * beginnings of names, and whatever somebody else has written into the keys. No worker runs, so
 * nothing fires.
 */
#include "load.h"
#include "support/proxy.h"
#include "support/suite.h"
#include "value/buf.h"
#include "value/hash.h"
#include "value/value.h"

#include <stdlib.h>
#include <string.h>

enum { PARTITIONS = 24, EACH = 300, ALL = PARTITIONS / 2 * EACH, TIMES = 5, MOST_BYTES = 1000 };

static sup_redis *redis;
static sup_proxy *proxy;
static asq *h;

/* Adds timers of a partition, numbers `from` to `to`, one after the other at five times and with
 * two names, for the agent, or (NULL) for one agent each. */
static void add_timers(uint32_t partition, const char *agent, int from, int to)
{
    struct asq__buf spec;
    asq_value *map = asq_pack("{s:s, s:i}", "method", "add", "every_ms", 3600000);
    asq__buf_init(&spec, MOST_BYTES);
    ck_assert_int_eq(asq__value_encode(map, &spec), 0);
    sup_redis_do(redis, "EVAL %s 1 asq:{default.%d}:timers %d %d %b %d %s",
                 "for i=ARGV[1],ARGV[2] do local name=(i%3==0 and 'third-' or 'other-')..i "
                 "local agent=ARGV[5]~='' and ARGV[5] or string.match(KEYS[1],'%.(%d+)}')..'-'..i "
                 "local due=string.format('%.0f',4e12+i%ARGV[4]) "
                 "redis.call('ZADD',KEYS[1],due,agent..' '..name) "
                 "redis.call('HSET',string.gsub(KEYS[1],'timers$','t:'..agent),'='..name,ARGV[3],"
                 "'+'..name,due..' 1-1 2 '..due..' 5-0 '..string.rep('ab',16)) end",
                 partition, from, to, spec.data, spec.len, TIMES, agent ? agent : "");
    asq_value_free(map);
    asq__buf_release(&spec);
}

static void set_up(void)
{
    asq_options o = ASQ_OPTIONS_INIT;
    char err[300] = "";
    redis = sup_redis_start(NULL);
    proxy = sup_proxy_start(sup_redis_socket(redis));
    o.partitions = PARTITIONS;
    o.timeout_ms = 4 * sup_limit_ms();
    ck_assert_msg(load_asq_open(sup_proxy_url(proxy), &o, &h, err, sizeof err) == 0, "%s", err);
    for (uint32_t p = 0; p < PARTITIONS; p += 2)
        add_timers(p, NULL, 1, EACH);
}

static void tear_down(void)
{
    asq_close(h);
    sup_proxy_free(proxy);
    sup_redis_free(redis);
}

static asq_schedules_options options(size_t limit)
{
    asq_schedules_options o = ASQ_SCHEDULES_OPTIONS_INIT;
    o.limit = limit;
    o.timeout_ms = 4 * sup_limit_ms();
    return o;
}

struct seen {
    asq_value *names; /* "AGENT NAME" */
    size_t given;
    int64_t last_ms;
};

static void note(struct seen *seen, const asq_value *list)
{
    for (size_t i = 0; i < asq_list_size(list); i++) {
        const asq_value *timer = asq_list_get(list, i);
        const char *agent = NULL, *name = NULL, *method = NULL;
        char both[ASQ_MAX_ID + ASQ_MAX_NAME + 2];
        int64_t next_ms = asq_map_int(timer, "next_ms");
        ck_assert_int_eq(asq_value_get_string(asq_map_get(timer, "agent"), &agent, NULL), 0);
        ck_assert_int_eq(asq_value_get_string(asq_map_get(timer, "name"), &name, NULL), 0);
        ck_assert_int_eq(asq_value_get_string(asq_map_get(timer, "method"), &method, NULL), 0);
        ck_assert_str_eq(method, "add");
        ck_assert_int_ge(next_ms, seen->last_ms);
        ck_assert_int_eq(asq_map_int(timer, "fired"), 2);
        seen->last_ms = next_ms;
        snprintf(both, sizeof both, "%s %s", agent, name);
        ck_assert_int_eq(asq_map_set(seen->names, both, asq_value_null()), 0);
        seen->given++;
    }
}

/* Reads all pages; each timer has to come once, in order. Returns the number of pages. */
static size_t read_pages(asq_schedules_options o, size_t expected)
{
    struct seen seen = { asq_value_map(), 0, 0 };
    char from[ASQ_CURSOR_SIZE] = "";
    size_t pages = 0;
    do {
        asq_value *page;
        o.from = from;
        int rc = asq_schedules_page(h, &o, &page, from);
        ck_assert_msg(rc == 0, "%s", asq_errmsg(h));
        ck_assert_uint_le(asq_list_size(page), o.limit);
        note(&seen, page);
        asq_value_free(page);
        pages++;
    } while (*from);
    ck_assert_uint_eq(seen.given, expected);
    ck_assert_uint_eq(asq_map_size(seen.names), expected);
    asq_value_free(seen.names);
    return pages;
}

START_TEST(pages_have_each_timer_once_in_the_order_of_their_times)
{
    ck_assert_uint_eq(read_pages(options(ALL), ALL), 1);
    ck_assert_uint_ge(read_pages(options(7), ALL), ALL / 7);
    ck_assert_uint_ge(read_pages(options(1000), ALL), ALL / 1000);
}
END_TEST

START_TEST(all_timers_are_listed_in_the_order_of_their_times)
{
    struct seen seen = { asq_value_map(), 0, 0 };
    asq_value *list;
    ck_assert_msg(asq_schedules(h, NULL, &list) == 0, "%s", asq_errmsg(h));
    note(&seen, list);
    ck_assert_uint_eq(asq_map_size(seen.names), ALL);
    asq_value_free(list);
    asq_value_free(seen.names);
}
END_TEST

START_TEST(timers_are_chosen_by_agent_and_by_the_beginnings_of_names)
{
    asq_schedules_options o = options(100);
    o.name_prefix = "thi";
    read_pages(o, ALL / 3);
    o.prefix = "4-2"; /* 2, 20 to 29, 200 to 299 */
    read_pages(o, 3 + 33);
    o.prefix = "4-299";
    read_pages(o, 0);
    o.name_prefix = NULL;
    read_pages(o, 1);
}
END_TEST

START_TEST(an_agents_timers_are_found_among_others)
{
    asq_schedules_options o = options(20);
    const char *id = "one";
    uint32_t p = asq__partition_of(id, strlen(id), PARTITIONS);
    o.agent_id = id;
    read_pages(o, 0);
    add_timers(p, NULL, EACH + 1, 20 * EACH);
    add_timers(p, id, 1, 50);
    read_pages(o, 50);
    o.prefix = "two";
    read_pages(o, 0);
}
END_TEST

START_TEST(a_page_ends_with_its_time_and_the_next_one_goes_on)
{
    asq_schedules_options o = options(2 * ALL);
    o.timeout_ms = 1;
    ck_assert_uint_gt(read_pages(o, ALL), 1);
}
END_TEST

START_TEST(a_page_is_whole_though_a_connection_is_lost)
{
    sup_proxy_cut(proxy, SUP_CUT_ANSWER, "ZRANGE");
    read_pages(options(50), ALL);
    ck_assert(sup_proxy_has_cut(proxy));
    sup_proxy_cut(proxy, SUP_CUT_ANSWER, "HMGET");
    read_pages(options(50), ALL);
    ck_assert(sup_proxy_has_cut(proxy));
}
END_TEST

/* Times that are none, members without a timer, keys of another type. */
START_TEST(foreign_writes_do_no_harm)
{
    char longest[2000];
    memset(longest, 'x', sizeof longest);
    for (int p = 0; p < PARTITIONS; p += 3) {
        sup_redis_do(redis, "ZADD asq:{default.%d}:timers inf %b -inf x -5 %b 1.5 y 1e300 %b 7 %b",
                     p, "no timer", (size_t) 8, "a\0b c", (size_t) 5, longest, sizeof longest, " ",
                     (size_t) 1);
        sup_redis_do(redis, "SET asq:{default.%d}:t:odd x", p);
        sup_redis_do(redis, "ZADD asq:{default.%d}:timers 8 %b 4000000000001.5 %b", p, "odd one",
                     (size_t) 7, "odd two", (size_t) 7);
        sup_redis_do(redis, "HSET asq:{default.%d}:t:bad =one x +one y =two %s +two %s", p, "x",
                     "1 1-1 1 1 - -");
        sup_redis_do(redis, "ZADD asq:{default.%d}:timers 9 %b 9 %b", p, "bad one", (size_t) 7,
                     "bad two", (size_t) 7);
    }
    sup_redis_do(redis, "SET asq:{default.1}:timers x");
    for (size_t limit = 1; limit < ALL; limit *= 60)
        read_pages(options(limit), ALL);
}
END_TEST

START_TEST(a_place_that_is_none_is_refused)
{
    static const char *const places[] = {
        "x", "1", "1-2", "1-24-0", "-1-0-0", "1-1-0x", "1-1-99999999999"
    };
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        asq_schedules_options o = options(1);
        char next[ASQ_CURSOR_SIZE];
        asq_value *page;
        o.from = places[i];
        ck_assert_int_eq(asq_schedules_page(h, &o, &page, next), ASQ_EINVAL);
        ck_assert_ptr_nonnull(strstr(asq_errmsg(h), "is no place where asq_schedules_page"));
    }
    asq_schedules_options o = options(1);
    asq_value *page;
    char next[ASQ_CURSOR_SIZE];
    o.size += 8;
    ck_assert_int_eq(asq_schedules_page(h, &o, &page, next), ASQ_EVERSION);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("listed_timers");
    TCase *t = tcase_create("listed_timers");
    if (!sup_redis_available())
        return sup_skip("no redis-server");
    tcase_set_timeout(t, 0);
    tcase_add_checked_fixture(t, set_up, tear_down);
    tcase_add_test(t, pages_have_each_timer_once_in_the_order_of_their_times);
    tcase_add_test(t, all_timers_are_listed_in_the_order_of_their_times);
    tcase_add_test(t, timers_are_chosen_by_agent_and_by_the_beginnings_of_names);
    tcase_add_test(t, an_agents_timers_are_found_among_others);
    tcase_add_test(t, a_page_ends_with_its_time_and_the_next_one_goes_on);
    tcase_add_test(t, a_page_is_whole_though_a_connection_is_lost);
    tcase_add_test(t, foreign_writes_do_no_harm);
    tcase_add_test(t, a_place_that_is_none_is_refused);
    suite_add_tcase(s, t);
    return sup_suite_run(s);
}
