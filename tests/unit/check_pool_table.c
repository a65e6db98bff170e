/*
 * check_pool_table.c: which pool an agent's id names, tables of pools as text, and lists of pools.
 */
#include "value/pools.h"
#include "support/suite.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "value/hash.h"

static struct asq__pools *table;

static void read_table(const char *text)
{
    char why[200];
    ck_assert_msg(asq__pools_read(128, text, &table, why, sizeof why) == 0, "%s", why);
}

static void tear_down(void)
{
    free(table);
    table = NULL;
}

START_TEST(an_id_names_the_pool_before_its_slash)
{
    static const struct {
        const char *id;
        size_t n;
    } ids[] = { { "gpu/bert-1", 3 }, { "gpu/", 3 },   { "g/p/u", 1 },  { "a_b-c9/x", 6 },
                { "bert-1", 0 },     { "/bert", 0 },  { "9gpu/x", 0 }, { "http://x/y", 0 },
                { "g.u/x", 0 },      { "gp u/x", 0 }, { "", 0 },       { "{gpu/x}", 0 },
                { "default/x", 7 } };
    for (size_t i = 0; i < sizeof ids / sizeof ids[0]; i++)
        ck_assert_msg(asq__pool_in_id(ids[i].id) == ids[i].n, "%s: %zu", ids[i].id,
                      asq__pool_in_id(ids[i].id));
    char longest[ASQ_MAX_POOL + 3];
    memset(longest, 'a', sizeof longest);
    longest[ASQ_MAX_POOL] = '/';
    longest[sizeof longest - 1] = '\0';
    ck_assert_uint_eq(asq__pool_in_id(longest), ASQ_MAX_POOL);
    longest[ASQ_MAX_POOL] = 'a';
    longest[ASQ_MAX_POOL + 1] = '/';
    ck_assert_uint_eq(asq__pool_in_id(longest), 0);
}
END_TEST

START_TEST(an_id_is_put_into_a_pool)
{
    char id[ASQ_MAX_ID + 1], why[200], longest[ASQ_MAX_ID + 1];
    static const struct {
        const char *pool, *id, *whole;
    } ids[] = { { "gpu", "bert-1", "gpu/bert-1" },         { NULL, "bert-1", "bert-1" },
                { "default", "bert-1", "default/bert-1" }, { "gpu", "slow/bert-1", "slow/bert-1" },
                { "gpu", "default/x", "default/x" },       { "gpu", "{tag}x", "gpu/{tag}x" },
                { "gpu", "http://x/y", "gpu/http://x/y" } };
    for (size_t i = 0; i < sizeof ids / sizeof ids[0]; i++) {
        ck_assert_int_eq(asq__pool_into_id(ids[i].pool, ids[i].id, id, why, sizeof why), 0);
        ck_assert_str_eq(id, ids[i].whole);
    }
    memset(longest, 'a', ASQ_MAX_ID);
    longest[ASQ_MAX_ID] = '\0';
    ck_assert_int_eq(asq__pool_into_id(NULL, longest, id, why, sizeof why), 0);
    ck_assert_str_eq(id, longest);
    ck_assert_int_eq(asq__pool_into_id("g", longest + 1, id, why, sizeof why), ASQ_EINVAL);
    ck_assert_int_eq(asq__pool_into_id("g", longest + 2, id, why, sizeof why), 0);
    ck_assert_uint_eq(strlen(id), ASQ_MAX_ID);
}
END_TEST

START_TEST(agents_live_in_partitions_of_their_pool)
{
    uint32_t p, same;
    read_table("gpu 128 16\nslow 144 1");
    ck_assert_uint_eq(table->partitions, 145);
    for (int i = 0; i < 500; i++) {
        char id[40];
        snprintf(id, sizeof id, "gpu/agent%d", i);
        ck_assert(asq__pools_place(table, id, &p));
        ck_assert(p >= 128 && p < 144);
        ck_assert_str_eq(asq__pools_of(table, p)->name, "gpu");
        ck_assert(asq__pools_place(table, id + 4, &p));
        ck_assert_uint_eq(p, asq__partition_of(id + 4, strlen(id + 4), 128));
        ck_assert_str_eq(asq__pools_of(table, p)->name, "default");
    }
    ck_assert(asq__pools_place(table, "slow/x", &p));
    ck_assert_uint_eq(p, 144);
    ck_assert(!asq__pools_place(table, "fast/x", &p));
    ck_assert(asq__pools_place(table, "gpu/{a}1", &p) &&
              asq__pools_place(table, "gpu/{a}2", &same));
    ck_assert_uint_eq(p, same);
    ck_assert(asq__pools_place(table, "default/x", &p) && asq__pools_place(table, "x", &same));
    ck_assert_uint_eq(p, same);
    ck_assert_ptr_null(asq__pools_of(table, 145));
}
END_TEST

START_TEST(a_table_that_is_none_is_refused)
{
    static const char *const texts[] = {
        "gpu",
        "gpu 128",
        "gpu 128 ",
        "gpu 127 16",
        "gpu 129 16",
        "gpu 128 0",
        "gpu 128 16257",
        "gpu 128 16 1",
        "gpu  128 16",
        "9 128 16",
        "default 128 1",
        "gpu 128 1\ngpu 129 1",
        "gpu 128 1\n\nslow 129 1",
        "gpu 128 1\nslow 130 1",
        "gpu 128 -1",
        "gpu 0x80 1",
        " gpu 128 1",
        "g/u 128 1",
        "gpu 128 99999999999999999999",
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        char why[200];
        ck_assert_msg(asq__pools_read(128, texts[i], &table, why, sizeof why) == ASQ_EPROTO, "%s",
                      texts[i]);
    }
    read_table("gpu 128 16256");
    ck_assert_uint_eq(table->partitions, ASQ__MAX_PARTITIONS);
}
END_TEST

START_TEST(pools_are_taken_off_a_list)
{
    static const struct {
        const char *list, *other, *left;
    } lists[] = { { "gpu,default", "gpu", "default" },
                  { "gpu:64,slow:2", "slow", "gpu" },
                  { "gpu", "gpu", "" },
                  { NULL, "gpu", "default" },
                  { NULL, "default", "" },
                  { "*", "slow", "default,gpu" },
                  { "*", "", "default,gpu,slow" },
                  { "gpu,slow", "slow,gpu", "" } };
    read_table("gpu 128 16\nslow 144 1");
    for (size_t i = 0; i < sizeof lists / sizeof lists[0]; i++) {
        char *left = asq__pool_list_without(lists[i].list, lists[i].other, table);
        ck_assert_str_eq(left, lists[i].left);
        free(left);
    }
}
END_TEST

START_TEST(a_table_only_grows)
{
    struct asq__pools *longer, *other;
    read_table("gpu 128 16");
    ck_assert_int_eq(asq__pools_read(128, "gpu 128 16\nslow 144 8", &longer, NULL, 0), 0);
    ck_assert_int_eq(asq__pools_read(128, "gpu 128 17\nslow 145 8", &other, NULL, 0), 0);
    ck_assert(asq__pools_include(longer, table));
    ck_assert(asq__pools_include(table, table));
    ck_assert(!asq__pools_include(table, longer));
    ck_assert(!asq__pools_include(other, table));
    ck_assert(asq__pools_had(longer, 128) && asq__pools_had(longer, 144) &&
              asq__pools_had(longer, 152));
    ck_assert(!asq__pools_had(longer, 136) && !asq__pools_had(table, 152));
    free(longer);
    free(other);
}
END_TEST

START_TEST(a_list_has_names_and_partitions)
{
    static const char *const wrong[] = { "gpu,",  ",gpu", "gpu:",  "gpu:0",  "gpu:16385",
                                         "gpu:x", "g u",  "gpu,*", "gpu:1:2" };
    struct asq__pool_item item;
    char why[200];
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        ck_assert_msg(asq__pool_list_check(wrong[i], why, sizeof why) < 0, "%s", wrong[i]);
    const char *list = "gpu:64,default,slow", *at = list;
    ck_assert_int_eq(asq__pool_list_check(list, why, sizeof why), 0);
    ck_assert_int_eq(asq__pool_list_check("*", why, sizeof why), 0);
    ck_assert(asq__pool_list_next(&at, &item));
    ck_assert_str_eq(item.name, "gpu");
    ck_assert_uint_eq(item.partitions, 64);
    ck_assert(asq__pool_list_next(&at, &item));
    ck_assert_str_eq(item.name, "default");
    ck_assert_uint_eq(item.partitions, 0);
    ck_assert(asq__pool_list_next(&at, &item));
    ck_assert(!asq__pool_list_next(&at, &item));
    ck_assert(asq__pool_list_has(list, "gpu") && asq__pool_list_has(list, "slow"));
    ck_assert(!asq__pool_list_has(list, "gp") && !asq__pool_list_has(list, "gpu:64"));
    ck_assert(asq__pool_list_has(NULL, "default") && !asq__pool_list_has("", "gpu"));
    ck_assert(asq__pool_list_has("*", "anything"));
    ck_assert(!asq__pool_list_has("gpu", "default"));
}
END_TEST

int main(void)
{
    Suite *s = suite_create("pool_table");
    TCase *t = tcase_create("pool_table");

    tcase_add_checked_fixture(t, NULL, tear_down);
    tcase_add_test(t, an_id_names_the_pool_before_its_slash);
    tcase_add_test(t, an_id_is_put_into_a_pool);
    tcase_add_test(t, agents_live_in_partitions_of_their_pool);
    tcase_add_test(t, a_table_that_is_none_is_refused);
    tcase_add_test(t, a_table_only_grows);
    tcase_add_test(t, pools_are_taken_off_a_list);
    tcase_add_test(t, a_list_has_names_and_partitions);
    suite_add_tcase(s, t);
    return sup_suite_run(s);
}
