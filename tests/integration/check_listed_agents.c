/*
 * check_listed_agents.c: asq_agents_each and asq_agents_count find every agent once, though pages
 * of several partitions are under way: also when a connection is lost meanwhile, when the function
 * that is given the agents ends the list, and when it closes the handle.
 */
#include "load.h"
#include "support/proxy.h"
#include "support/suite.h"

#include <stdlib.h>
#include <string.h>

enum { PARTITIONS = 24, EACH = 700, ALL = PARTITIONS / 2 * EACH };

static sup_redis *redis;
static sup_proxy *proxy;
static asq *h;

/* Half of the partitions have agents, more than a page of them. */
static void set_up(void)
{
    redis = sup_redis_start(NULL);
    proxy = sup_proxy_start(sup_redis_socket(redis));
    load_make_namespace(sup_redis_url(redis), PARTITIONS);
    for (int p = 0; p < PARTITIONS; p += 2)
        sup_redis_do(
            redis, "EVAL %s 1 asq:{default.%d}:agents %d %d",
            "for i=1,ARGV[2] do local name=i%7==0 and 'Dog' or 'Cat' "
            "redis.call('HSET',KEYS[1],ARGV[1]..'-'..i,'\\10\\3'..name..'\\34\\2\\66\\0') end",
            p, p, EACH);
    h = load_open(sup_proxy_url(proxy));
}

static void tear_down(void)
{
    asq_close(h);
    sup_proxy_free(proxy);
    sup_redis_free(redis);
}

struct seen {
    asq_value *ids;
    size_t given;
    size_t cut_at; /* the connection is lost for the page that is asked for then; 0: never */
};

static int note(const asq_value *agent, void *user)
{
    struct seen *seen = user;
    const char *id = NULL, *class_name = NULL;
    ck_assert_int_eq(asq_value_get_string(asq_map_get(agent, "id"), &id, NULL), 0);
    ck_assert_int_eq(asq_value_get_string(asq_map_get(agent, "class"), &class_name, NULL), 0);
    ck_assert_int_eq(asq_map_int(agent, "partition"), atoi(id));
    ck_assert_str_eq(class_name, atoi(strchr(id, '-') + 1) % 7 ? "Cat" : "Dog");
    ck_assert_int_eq(asq_map_set(seen->ids, id, asq_value_null()), 0);
    if (++seen->given == seen->cut_at)
        sup_proxy_cut(proxy, SUP_CUT_ANSWER, "HSCAN");
    return 0;
}

static struct seen list(const char *class_name, const char *prefix, size_t cut_at)
{
    struct seen seen = { asq_value_map(), 0, cut_at };
    int rc = asq_agents_each(h, class_name, prefix, 4 * sup_limit_ms(), note, &seen);
    ck_assert_msg(rc == 0, "%s", asq_errmsg(h));
    return seen;
}

static void check(const char *class_name, const char *prefix, size_t n)
{
    int64_t counted = -1;
    struct seen seen = list(class_name, prefix, 0);
    ck_assert_uint_eq(seen.given, n);
    ck_assert_uint_eq(asq_map_size(seen.ids), n);
    ck_assert_int_eq(asq_agents_count(h, class_name, prefix, 4 * sup_limit_ms(), &counted), 0);
    ck_assert_int_eq(counted, (int64_t) n);
    asq_value_free(seen.ids);
}

START_TEST(each_agent_is_given_once)
{
    check(NULL, NULL, ALL);
    check("Dog", NULL, PARTITIONS / 2 * (EACH / 7));
    check(NULL, "4-", EACH);
    check("Cat", "4-7", 8); /* 71 to 79 without 77 */
    check("Cow", NULL, 0);
}
END_TEST

static int64_t n_pages(void)
{
    return sup_redis_stat(redis, "commandstats", "cmdstat_hscan:", "calls=");
}

START_TEST(pages_grow_when_no_agent_has_the_prefix)
{
    int64_t before;
    check("Cow", NULL, 0);
    before = n_pages();
    check(NULL, "none", 0); /* listed, and counted */
    ck_assert_int_lt(n_pages() - before, 2 * PARTITIONS / 2 * (EACH / 16) / 2);
}
END_TEST

START_TEST(all_agents_are_given_though_a_connection_is_lost)
{
    struct seen seen = list(NULL, NULL, ALL / 3);
    ck_assert(sup_proxy_has_cut(proxy));
    ck_assert_uint_eq(asq_map_size(seen.ids), ALL);
    asq_value_free(seen.ids);
}
END_TEST

static int stop_in_time(const asq_value *agent, void *user)
{
    (void) agent;
    return ++*(int *) user == 1000 ? 7 : 0;
}

START_TEST(the_function_ends_the_list)
{
    int given = 0;
    ck_assert_int_eq(asq_agents_each(h, NULL, NULL, sup_limit_ms(), stop_in_time, &given), 7);
    ck_assert_int_eq(given, 1000);
    check(NULL, "4-", EACH); /* the handle goes on, and takes no page of before */
}
END_TEST

static int close_in_time(const asq_value *agent, void *user)
{
    (void) agent;
    if (++*(int *) user == 1000)
        ck_assert_int_eq(asq_close(h), 0);
    return 0;
}

START_TEST(the_function_may_close_the_handle_with_pages_under_way)
{
    int given = 0;
    ck_assert_int_eq(asq_agents_each(h, NULL, NULL, sup_limit_ms(), close_in_time, &given),
                     ASQ_ECLOSED);
    ck_assert_int_eq(given, 1000);
    h = NULL;
}
END_TEST

START_TEST(pages_one_after_the_other_have_all_agents)
{
    char from[ASQ_CURSOR_SIZE] = "";
    asq_value *ids = asq_value_map();
    size_t pages = 0;
    do {
        asq_value *page;
        int rc = asq_agents_page(h, NULL, NULL, from, 300, sup_limit_ms(), &page, from);
        ck_assert_msg(rc == 0, "%s", asq_errmsg(h));
        for (size_t i = 0; i < asq_list_size(page); i++) {
            const char *id = NULL;
            asq_value_get_string(asq_map_get(asq_list_get(page, i), "id"), &id, NULL);
            ck_assert_int_eq(asq_map_set(ids, id, asq_value_null()), 0);
        }
        asq_value_free(page);
        pages++;
    } while (*from);
    ck_assert_uint_eq(asq_map_size(ids), ALL);
    ck_assert_uint_gt(pages, PARTITIONS / 2);
    asq_value_free(ids);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("listed_agents");
    TCase *t = tcase_create("listed_agents");
    if (!sup_redis_available())
        return sup_skip("no redis-server");
    tcase_add_checked_fixture(t, set_up, tear_down);
    tcase_add_test(t, each_agent_is_given_once);
    tcase_add_test(t, pages_grow_when_no_agent_has_the_prefix);
    tcase_add_test(t, all_agents_are_given_though_a_connection_is_lost);
    tcase_add_test(t, the_function_ends_the_list);
    tcase_add_test(t, the_function_may_close_the_handle_with_pages_under_way);
    tcase_add_test(t, pages_one_after_the_other_have_all_agents);
    suite_add_tcase(s, t);
    return sup_suite_run(s);
}
