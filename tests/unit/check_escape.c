/*
 * check_escape.c: hostile text is escaped before it reaches a terminal. JSON stays JSON with the
 * same meaning.
 */
#include "support/suite.h"
#include "value/escape.h"
#include "value/value.h"

#include <stdlib.h>

static char out[4096];

static const char *escaped(const char *text, enum asq__escape_form form)
{
    size_t n = 0;
    while (*text)
        n += asq__escape_next(&text, form, out + n);
    out[n] = '\0';
    return out;
}

static const struct {
    const char *text, *line;
} cases[] = {
    { "plain ~", "plain ~" },
    { "\xc3\xa4 \xe2\x82\xac \xf0\x9f\x98\x80", "\xc3\xa4 \xe2\x82\xac \xf0\x9f\x98\x80" },
    { "\x1b]0;x\x07\x7f\t\r\n", "\\x1b]0;x\\x07\\x7f\\x09\\x0d\\x0a" },
    { "\xc2\x9b"
      "31m\xc2\x85",
      "\\u009b31m\\u0085" },
    { "\xe2\x80\xae\xe2\x81\xa6\xd8\x9c\xe2\x80\x8f", "\\u202e\\u2066\\u061c\\u200f" },
    { "\xe2\x80\x8b\xef\xbb\xbf\xe2\x80\xa8", "\\u200b\\ufeff\\u2028" },
    { "\xf3\xa0\x81\x81", "\\U000e0041" },
    { "\x9b"
      "31m \xff\xfe",
      "\\x9b31m \\xff\\xfe" },
    { "\xc3", "\\xc3" }, /* cut */
    { "\xe2\x82", "\\xe2\\x82" },
    { "\xf0\x9f\x98", "\\xf0\\x9f\\x98" },
    { "\xc0\x9b\xe0\x82\x9b", "\\xc0\\x9b\\xe0\\x82\\x9b" }, /* longer than necessary */
    { "\xed\xa0\x80", "\\xed\\xa0\\x80" },                   /* half a surrogate */
    { "\xf4\x90\x80\x80", "\\xf4\\x90\\x80\\x80" },          /* above U+10FFFF */
};

START_TEST(what_could_play_with_a_terminal_is_shown)
{
    ck_assert_str_eq(escaped(cases[_i].text, ASQ__ESCAPE_LINE), cases[_i].line);
}
END_TEST

START_TEST(line_feeds_stay_where_lines_are_wanted)
{
    ck_assert_str_eq(escaped("a\nb\r", ASQ__ESCAPE_LINES), "a\nb\\x0d");
    ck_assert_str_eq(escaped("a\nb\r", ASQ__ESCAPE_JSON), "a\nb\\u000d");
}
END_TEST

START_TEST(json_keeps_its_meaning)
{
    static const char hostile[] = "\x1b \xc2\x9b \xe2\x80\xae \xf3\xa0\x81\x81 \x7f \xc3\xa4";
    asq_value *list = asq_value_list(), *again;
    char *text;
    ck_assert_int_eq(asq_list_append(list, asq_value_string(hostile)), 0);
    ck_assert_int_eq(asq_to_json(list, 2, &text), 0);
    ck_assert_str_eq(escaped(text, ASQ__ESCAPE_JSON),
                     "[\n  \"\\u001b \\u009b \\u202e \\udb40\\udc41 \\u007f \xc3\xa4\"\n]");
    ck_assert_int_eq(asq_from_json(out, strlen(out), &again, NULL, 0), 0);
    ck_assert_int_eq(asq_value_compare(list, again), 0);
    free(text);
    asq_value_free(list);
    asq_value_free(again);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("escape");
    TCase *t = tcase_create("escape");
    tcase_add_loop_test(t, what_could_play_with_a_terminal_is_shown, 0,
                        sizeof cases / sizeof *cases);
    tcase_add_test(t, line_feeds_stay_where_lines_are_wanted);
    tcase_add_test(t, json_keeps_its_meaning);
    suite_add_tcase(s, t);
    return sup_suite_run(s);
}
