/*
 * check_trace_text.c: the texts of W3C Trace Context are read as the standard has them, and nothing
 * else is.
 */
#include "support/suite.h"
#include "value/trace.h"

#include <stdlib.h>
#include <string.h>

#define IDS "4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7"

static uint8_t parent[ASQ__TRACE_PARENT];

static int parse(const char *text, const char *state)
{
    char why[200];
    asq_trace t = { text, state };
    return asq__trace_parse(&t, parent, why, sizeof why);
}

START_TEST(a_traceparent_comes_back_as_it_was)
{
    static const uint8_t expected[ASQ__TRACE_PARENT] = { 0x4b, 0xf9, 0x2f, 0x35, 0x77, 0xb3, 0x4d,
                                                         0xa6, 0xa3, 0xce, 0x92, 0x9d, 0x0e, 0x0e,
                                                         0x47, 0x36, 0x00, 0xf0, 0x67, 0xaa, 0x0b,
                                                         0xa9, 0x02, 0xb7, 0x03 };
    char text[ASQ__TRACE_TEXT];
    ck_assert_int_eq(parse("00-" IDS "-03", NULL), 0);
    ck_assert_mem_eq(parent, expected, sizeof expected);
    asq__trace_text(parent, text);
    ck_assert_str_eq(text, "00-" IDS "-03");
    ck_assert(asq__trace_is_sampled(parent));
    ck_assert_int_eq(parse("00-" IDS "-02", NULL), 0);
    ck_assert(!asq__trace_is_sampled(parent));
}
END_TEST

START_TEST(a_later_version_may_have_more_behind_its_flags)
{
    char text[ASQ__TRACE_TEXT];
    ck_assert_int_eq(parse("cc-" IDS "-01", NULL), 0);
    ck_assert_int_eq(parse("cc-" IDS "-01-what-the-future-will-be-like", NULL), 0);
    asq__trace_text(parent, text);
    ck_assert_str_eq(text, "00-" IDS "-01");
}
END_TEST

START_TEST(other_texts_are_refused)
{
    static const char *const bad[] = {
        "",
        "00",
        "00-" IDS "-0",
        "00-" IDS "-01-",
        "00-" IDS "-011",
        "cc-" IDS "-01.x",
        "ff-" IDS "-01",
        "0x-" IDS "-01",
        "00_" IDS "-01",
        "00-" IDS "_01",
        "00-" IDS "-0g",
        "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
        "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
        "00-4bf92f3577b34da6a3ce929d0e0e473-600f067aa0ba902b7-01",
    };
    ck_assert_int_eq(parse(NULL, NULL), ASQ_EINVAL);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        ck_assert_msg(parse(bad[i], NULL) == ASQ_EINVAL, "%s", bad[i]);
}
END_TEST

START_TEST(a_tracestate_is_a_list_of_members)
{
    static const char *const good[] = { "",       "a=1",       "a=1,b=2", " a=1 , b=2", "a=1,,b=2",
                                        "a=x y!", "0t@sys=~}", "a*/_-=1", "," };
    static const char *const bad[] = { "a",          "=1",      "a=",        "A=1",
                                       "_a=1",       "a=1=2",   "a 1",       "a=\x01",
                                       "a=\xc3\xa9", "a=1;b,c", "a=1\r\nb=2" };
    char longest[700] = "", *p = longest;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        ck_assert_msg(asq__trace_state_is_valid(good[i]), "%s", good[i]);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        ck_assert_msg(!asq__trace_state_is_valid(bad[i]), "%s", bad[i]);
    for (int i = 0; i < 32; i++)
        p = stpcpy(p, i ? ",a=1" : "a=1");
    ck_assert(asq__trace_state_is_valid(longest));
    stpcpy(p, ",a=1");
    ck_assert(!asq__trace_state_is_valid(longest));
    memset(longest, ' ', 512);
    longest[512] = '\0';
    ck_assert(asq__trace_state_is_valid(longest));
    stpcpy(longest + 512, " ");
    ck_assert(!asq__trace_state_is_valid(longest));
}
END_TEST

int main(void)
{
    Suite *s = suite_create("trace_text");
    TCase *c = tcase_create("all");
    tcase_add_test(c, a_traceparent_comes_back_as_it_was);
    tcase_add_test(c, a_later_version_may_have_more_behind_its_flags);
    tcase_add_test(c, other_texts_are_refused);
    tcase_add_test(c, a_tracestate_is_a_list_of_members);
    suite_add_tcase(s, c);
    return sup_suite_run(s);
}
