/*
 * check_json.c: values as JSON and back.
 */
#include "unit/random_value.h"
#include "support/suite.h"

#include <check.h>
#include <locale.h>
#include <stdlib.h>

static int parse(const char *text, asq_value **ret, char *err, size_t errlen)
{
    return asq_from_json(text, strlen(text), ret, err, errlen);
}

/* Writes v (taken) and reads it back. */
static void assert_json(asq_value *v, const char *expected)
{
    char *json;
    asq_value *back = NULL;
    char err[200] = "";
    ck_assert_ptr_nonnull(v);
    ck_assert_int_eq(asq_to_json(v, 0, &json), 0);
    ck_assert_str_eq(json, expected);
    ck_assert_msg(parse(json, &back, err, sizeof err) == 0, "%s: %s", json, err);
    ck_assert(asq_value_equal(v, back));
    free(json);
    asq_value_free(back);
    asq_value_free(v);
}

START_TEST(what_json_can_say_is_plain)
{
    assert_json(asq_value_null(), "null");
    assert_json(asq_value_bool(false), "false");
    assert_json(asq_value_int(INT64_MIN), "-9223372036854775808");
    assert_json(asq_value_int(INT64_MAX), "9223372036854775807");
    assert_json(asq_value_double(1), "1.0");
    assert_json(asq_value_double(0.1), "0.1");
    assert_json(asq_value_double(1e22), "1e+22");
    assert_json(asq_value_double(5e-324), "4.94065645841247e-324");
    assert_json(asq_value_double(0.1 + 0.2), "0.30000000000000004");
    assert_json(asq_value_double(1e300 * 1.7), "1.7e+300");
    assert_json(asq_value_string("é \"\\/\b\f\n\r\t\x01\x0b\x7f"),
                "\"é \\\"\\\\/\\b\\f\\n\\r\\t\\u0001\\u000b\x7f\"");
    assert_json(asq_value_stringn("a\0b", 3), "\"a\\u0000b\"");
    assert_json(asq_pack("{s:[i,{}],s:[]}", "a", 1, ""), "{\"a\":[1,{}],\"\":[]}");
}
END_TEST

START_TEST(the_sign_of_zero_survives)
{
    asq_value *v;
    double d = 1;
    assert_json(asq_value_double(-0.0), "-0.0");
    ck_assert_int_eq(parse("-0.0", &v, NULL, 0), 0);
    asq_value_get_double(v, &d);
    ck_assert(signbit(d));
    asq_value_free(v);
}
END_TEST

START_TEST(what_json_cannot_say_is_an_object)
{
    assert_json(asq_value_bytes("\0\xff\x10", 3), "{\"$bytes\":\"AP8Q\"}");
    assert_json(asq_value_bytes("", 0), "{\"$bytes\":\"\"}");
    assert_json(asq_value_double((double) NAN), "{\"$double\":\"nan\"}");
    assert_json(asq_value_double((double) INFINITY), "{\"$double\":\"inf\"}");
    assert_json(asq_value_double((double) -INFINITY), "{\"$double\":\"-inf\"}");
    assert_json(asq__value_agent_ref("a-1", "Counter"),
                "{\"$agent\":\"a-1\",\"class\":\"Counter\"}");
    assert_json(asq__value_agent_ref("a-1", NULL), "{\"$agent\":\"a-1\"}");
    assert_json(asq__value_future_ref("7-00112233445566778899aabbccddeeff-1", NULL),
                "{\"$future\":\"7-00112233445566778899aabbccddeeff-1\"}");
    asq_value *handed_on = asq__value_future_ref("7-00112233445566778899aabbccddeeff-1", NULL);
    handed_on->future->unawaited = true;
    assert_json(handed_on,
                "{\"$future\":\"7-00112233445566778899aabbccddeeff-1\",\"await\":false}");
    assert_json(asq_pack("{s:s,s:i}", "$bytes", "x", "b", 1),
                "{\"$map\":{\"$bytes\":\"x\",\"b\":1}}");
    assert_json(asq_pack("{s:{s:{s:i}}}", "$map", "$map", "$x", 1),
                "{\"$map\":{\"$map\":{\"$map\":{\"$map\":{\"$map\":{\"$x\":1}}}}}}");
    assert_json(asq_pack("{s:i,s:i}", "a", 1, "$b", 2), "{\"a\":1,\"$b\":2}");
}
END_TEST

START_TEST(other_keys_with_a_dollar_are_keys_like_any)
{
    asq_value *v;
    ck_assert_int_eq(parse("{\"$ref\": \"#/a\", \"$id\": 1}", &v, NULL, 0), 0);
    ck_assert_uint_eq(asq_map_size(v), 2);
    ck_assert_int_eq(asq_map_int(v, "$id"), 1);
    asq_value_free(v);
    ck_assert_int_eq(parse("{\"a\": 1, \"$bytes\": 5}", &v, NULL, 0), 0);
    asq_value_free(v);
}
END_TEST

START_TEST(indentation)
{
    asq_value *v = asq_pack("{s:[i,n],s:{},s:y#}", "a", 1, "b", "c", "x", (size_t) 1);
    char *json;
    ck_assert_int_eq(asq_to_json(v, 2, &json), 0);
    ck_assert_str_eq(
        json, "{\n  \"a\": [\n    1,\n    null\n  ],\n  \"b\": {},\n  \"c\": {\n    \"$bytes\": "
              "\"eA==\"\n  }\n}");
    free(json);
    ck_assert_int_eq(asq_to_json(v, -3, &json), 0);
    ck_assert_str_eq(json, "{\"a\":[1,null],\"b\":{},\"c\":{\"$bytes\":\"eA==\"}}");
    free(json);
    asq_value_free(v);
    ck_assert_int_eq(asq_to_json(NULL, 0, &json), 0);
    ck_assert_str_eq(json, "null");
    free(json);
}
END_TEST

START_TEST(errors_name_line_and_column)
{
    char err[200];
    asq_value *v = NULL;
    ck_assert_int_eq(parse("{\n  \"a\": 1,\n  \"b\" 2\n}", &v, err, sizeof err), ASQ_EPARSE);
    ck_assert_msg(strncmp(err, "line 3, column ", 15) == 0, "%s", err);
    ck_assert_int_eq(parse("", &v, err, sizeof err), ASQ_EPARSE);
    ck_assert_int_eq(asq_from_json(NULL, 0, &v, err, sizeof err), ASQ_EPARSE);
    ck_assert_int_eq(asq_from_json(NULL, 1, &v, err, sizeof err), ASQ_EINVAL);
    static const char *const bad[] = {
        "[1,]",
        "[1",
        "{\"a\":1,\"a\":2}",
        "9223372036854775808",
        "-9223372036854775809",
        "1e400",
        "nan",
        "\"\xff\"",
        "\"\xc0\x80\"",
        "\"\\ud800\"",
        "1 2",
        "'a'",
        "{\"a\\u0000\":1}",
        "\"a\nb\"",
        "[1]]",
        "tru",
        "\"",
        "\"\\",
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        ck_assert_msg(parse(bad[i], &v, err, sizeof err) == ASQ_EPARSE, "%s", bad[i]);
        ck_assert_msg(strncmp(err, "line ", 5) == 0, "%s: %s", bad[i], err);
    }
    ck_assert_ptr_null(v);
    /* Jansson would cut the character in two. */
    ck_assert_int_eq(parse("\"\\u0\xd0\xa6n\n\"", &v, err, sizeof err), ASQ_EPARSE);
    ck_assert(asq__utf8_valid(err, strlen(err)));
    ck_assert_ptr_null(strchr(err, '\n'));
}
END_TEST

START_TEST(special_objects_are_checked)
{
    static const char *const bad[] = {
        "{\"$bytes\":5}",
        "{\"$bytes\":\"Zg\"}",
        "{\"$bytes\":\"Zg==\",\"x\":1}",
        "{\"$double\":\"NaN\"}",
        "{\"$double\":1.5}",
        "{\"$double\":\"nan\\u0000\"}",
        "{\"$agent\":\"\"}",
        "{\"$agent\":\"a b\"}",
        "{\"$agent\":\"a\",\"class\":5}",
        "{\"$agent\":\"a\",\"other\":\"C\"}",
        "{\"$agent\":\"a\",\"class\":\"C\",\"x\":1}",
        "{\"$agent\":\"a\",\"class\":\"C\\u0000\"}",
        "{\"$future\":\"1-2\"}",
        "{\"$map\":[]}",
        "{\"$map\":{},\"x\":1}",
        "[{\"$future\":null}]",
    };
    char err[200];
    asq_value *v = NULL;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        *err = '\0';
        ck_assert_msg(parse(bad[i], &v, err, sizeof err) == ASQ_EPARSE, "%s", bad[i]);
        ck_assert_msg(strchr(err, '$') != NULL, "%s: %s", bad[i], err);
    }
    ck_assert_ptr_null(v);
}
END_TEST

static char *repeat(const char *open, const char *middle, const char *close, size_t n)
{
    char *text = malloc(n * (strlen(open) + strlen(close)) + strlen(middle) + 1), *p = text;
    for (size_t i = 0; i < n; i++)
        p += sprintf(p, "%s", open);
    p += sprintf(p, "%s", middle);
    for (size_t i = 0; i < n; i++)
        p += sprintf(p, "%s", close);
    return text;
}

START_TEST(depth_is_bounded)
{
    static const struct {
        const char *open, *middle, *close;
        size_t levels;
        int rc;
    } list[] = {
        { "[", "1", "]", ASQ_MAX_DEPTH, 0 },
        { "[", "1", "]", ASQ_MAX_DEPTH + 1, ASQ_ELIMIT },
        { "[", "1", "]", 1000000, ASQ_ELIMIT },
        { "[", "", "", 1000000, ASQ_ELIMIT },
        { "{\"a\":", "{\"$bytes\":\"\"}", "}", ASQ_MAX_DEPTH, 0 },
        { "{\"a\":", "1", "}", ASQ_MAX_DEPTH + 1, ASQ_ELIMIT },
        { "{\"$map\":{\"$a\":", "{\"$bytes\":\"\"}", "}}", ASQ_MAX_DEPTH, 0 },
        { "{\"$map\":{\"$a\":", "1", "}}", ASQ_MAX_DEPTH + 1, ASQ_ELIMIT },
        { "[", "\"[[[[[[[[{{{\\\"[[[[[[\"", "]", ASQ_MAX_DEPTH, 0 },
    };
    for (size_t i = 0; i < sizeof list / sizeof *list; i++) {
        char *text = repeat(list[i].open, list[i].middle, list[i].close, list[i].levels),
             err[200] = "";
        asq_value *v = NULL;
        int rc = parse(text, &v, err, sizeof err);
        ck_assert_msg(rc == list[i].rc, "%zu: %d, %s", i, rc, err);
        if (rc < 0)
            ck_assert_ptr_nonnull(strstr(err, "lists and maps are nested deeper than 64"));
        asq_value_free(v);
        free(text);
    }
}
END_TEST

START_TEST(random_values_survive)
{
    for (uint64_t i = 0; i < 2000; i++) {
        uint64_t seed = i;
        asq_value *v = random_value(&seed, 5), *back = NULL;
        char *json, *again, err[200] = "";
        ck_assert_int_eq(asq_to_json(v, (int) (i % 3), &json), 0);
        ck_assert_msg(parse(json, &back, err, sizeof err) == 0, "seed %d: %s in %s", (int) i, err,
                      json);
        ck_assert_msg(asq_value_equal(v, back), "seed %d: %s", (int) i, json);
        ck_assert_int_eq(asq_to_json(back, (int) (i % 3), &again), 0);
        ck_assert_str_eq(json, again);
        free(json);
        free(again);
        asq_value_free(v);
        asq_value_free(back);
    }
}
END_TEST

START_TEST(a_locale_with_decimal_commas_changes_nothing)
{
    static const char *const names[] = { "de_DE.UTF-8", "de_DE.utf8", "fr_FR.UTF-8", "de_DE" };
    size_t i = 0;
    while (i < sizeof names / sizeof *names && !setlocale(LC_NUMERIC, names[i]))
        i++;
    assert_json(asq_value_double(1.5), "1.5");
    assert_json(asq_value_double(-1.25e-7), "-1.25e-07");
    setlocale(LC_NUMERIC, "C");
}
END_TEST

int main(void)
{
    Suite *s = suite_create("json");
    TCase *c = tcase_create("json");
    tcase_add_test(c, what_json_can_say_is_plain);
    tcase_add_test(c, the_sign_of_zero_survives);
    tcase_add_test(c, what_json_cannot_say_is_an_object);
    tcase_add_test(c, other_keys_with_a_dollar_are_keys_like_any);
    tcase_add_test(c, indentation);
    tcase_add_test(c, errors_name_line_and_column);
    tcase_add_test(c, special_objects_are_checked);
    tcase_add_test(c, depth_is_bounded);
    tcase_add_test(c, random_values_survive);
    tcase_add_test(c, a_locale_with_decimal_commas_changes_nothing);
    suite_add_tcase(s, c);
    return sup_suite_run(s);
}
