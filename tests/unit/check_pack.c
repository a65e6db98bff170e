/*
 * check_pack.c: values from formats and back into variables; error messages, and ownership after
 * errors.
 */
#include "unit/random_value.h"
#include "support/suite.h"

#include <check.h>
#include <limits.h>
#include <stdlib.h>

static int packed(asq_value **ret, char *err, size_t errlen, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    int rc = asq_vpack(ret, err, errlen, fmt, ap);
    va_end(ap);
    return rc;
}

static int unpacked(const asq_value *v, char *err, size_t errlen, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    int rc = asq_vunpack(v, err, errlen, fmt, ap);
    va_end(ap);
    return rc;
}

/* Compares with JSON, a compact way of writing the expected value. */
static void assert_json(asq_value *v, const char *expected)
{
    char *json;
    ck_assert_ptr_nonnull(v);
    ck_assert_int_eq(asq_to_json(v, 0, &json), 0);
    ck_assert_str_eq(json, expected);
    free(json);
    asq_value_free(v);
}

START_TEST(every_letter_makes_its_type)
{
    assert_json(asq_pack("n"), "null");
    assert_json(asq_pack("b", 5), "true");
    assert_json(asq_pack("i", -7), "-7");
    assert_json(asq_pack("I", INT64_MIN), "-9223372036854775808");
    assert_json(asq_pack("f", 0.1), "0.1");
    assert_json(asq_pack("s", "text"), "\"text\"");
    assert_json(asq_pack("s?", "text"), "\"text\"");
    assert_json(asq_pack("s?", NULL), "null");
    assert_json(asq_pack("s#", "a\0bcd", (size_t) 3), "\"a\\u0000b\"");
    assert_json(asq_pack("s?#", NULL, (size_t) 0), "null");
    assert_json(asq_pack("y#", "\xff", (size_t) 1), "{\"$bytes\":\"/w==\"}");
    assert_json(asq_pack("y#", NULL, (size_t) 0), "{\"$bytes\":\"\"}");
    assert_json(asq_pack("o", asq_value_int(3)), "3");
    asq_value *v = asq_pack("[i,i]", 1, 2);
    assert_json(asq_pack("{s:O,s:O}", "a", v, "b", v), "{\"a\":[1,2],\"b\":[1,2]}");
    assert_json(v, "[1,2]");
    assert_json(asq_pack("[]"), "[]");
    assert_json(asq_pack("{}"), "{}");
}
END_TEST

static int packed_borrowed(asq_value **ret, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    int rc = asq__vpack_borrowed(ret, NULL, 0, fmt, ap);
    va_end(ap);
    return rc;
}

START_TEST(borrowed_text_is_read_where_it_is)
{
    char text[] = "text", bytes[] = { 'a', 'b', 'c' }; /* no NUL behind them */
    asq_value *v, *copy;

    ck_assert_int_eq(
        packed_borrowed(&v, "[s, s?, y#, y#]", text, NULL, bytes, sizeof bytes, NULL, (size_t) 0),
        0);
    copy = asq_value_copy(v);
    text[0] = 'n';
    bytes[2] = '\0';
    assert_json(v, "[\"next\",null,{\"$bytes\":\"YWIA\"},{\"$bytes\":\"\"}]");
    assert_json(copy, "[\"text\",null,{\"$bytes\":\"YWJj\"},{\"$bytes\":\"\"}]");
}
END_TEST

START_TEST(formats_nest_and_skip_separators)
{
    assert_json(asq_pack(" { s : [ i, {s:n} ] , s:b s[] }", "a", 1, "k", "c", 0, "d"),
                "{\"a\":[1,{\"k\":null}],\"c\":false,\"d\":[]}");
    assert_json(asq_pack("[[[i]][]i]", 1, 2), "[[[1]],[],2]");
    assert_json(asq_pack("{s:i,s:i}", "k", 1, "k", 2), "{\"k\":2}");
}
END_TEST

static const struct {
    const char *fmt, *err;
} bad_formats[] = {
    { "", "format \"\", character 0: the format ends where a value is expected" },
    { "[", "format \"[\", character 1: ']' is missing" },
    { "{", "format \"{\", character 1: '}' is missing" },
    { "]", "format \"]\", character 0: ']' does not stand for a value" },
    { "[}", "format \"[}\", character 1: '}' does not stand for a value" },
    { "{]", "format \"{]\", character 1: a key ('s') or '}' expected" },
    { "{n}", "format \"{n}\", character 1: a key ('s') or '}' expected" },
    { "nn", "format \"nn\", character 1: more than one value" },
    { "[] x", "format \"[] x\", character 3: more than one value" },
    { "y", "format \"y\", character 1: 'y' is followed by '#': bytes have a length" },
    { "[n|n]", "format \"[n|n]\", character 2: '|' does not stand for a value" },
};

START_TEST(wrong_formats_are_explained)
{
    char err[200];
    asq_value *v = NULL;
    for (size_t i = 0; i < sizeof bad_formats / sizeof *bad_formats; i++) {
        ck_assert_int_eq(packed(&v, err, sizeof err, bad_formats[i].fmt), ASQ_EINVAL);
        ck_assert_str_eq(err, bad_formats[i].err);
    }
    ck_assert_int_eq(packed(&v, err, sizeof err, NULL), ASQ_EINVAL);
    ck_assert_int_eq(packed(&v, err, sizeof err, "{s", "k"), ASQ_EINVAL);
    ck_assert_int_eq(packed(&v, err, sizeof err, "{s}", "k"), ASQ_EINVAL);
    ck_assert_ptr_null(v);
}
END_TEST

START_TEST(wrong_arguments_are_explained)
{
    char err[200];
    asq_value *v = NULL;
    ck_assert_int_eq(packed(&v, err, sizeof err, "[i,s]", 1, NULL), ASQ_EINVAL);
    ck_assert_str_eq(err, "format \"[i,s]\", character 4: the argument is NULL");
    ck_assert_int_eq(packed(&v, err, sizeof err, "s", "\xff"), ASQ_EINVAL);
    ck_assert_str_eq(err, "format \"s\", character 1: the string is not UTF-8");
    ck_assert_int_eq(packed(&v, err, sizeof err, "{s:i}", NULL, 1), ASQ_EINVAL);
    ck_assert_str_eq(err, "format \"{s:i}\", character 2: the key is NULL");
    ck_assert_int_eq(packed(&v, err, sizeof err, "{s:i}", "\xff", 1), ASQ_EINVAL);
    ck_assert_str_eq(err, "format \"{s:i}\", character 4: the key is not UTF-8");
    ck_assert_int_eq(packed(&v, err, sizeof err, "O", NULL), ASQ_EINVAL);
    ck_assert_int_eq(packed(&v, err, sizeof err, "a", NULL), ASQ_EINVAL);
    ck_assert_int_eq(packed(&v, err, sizeof err, "r", NULL), ASQ_EINVAL);
    ck_assert_int_eq(packed(&v, err, sizeof err, "[o]", NULL), ASQ_ENOMEM);
    ck_assert_int_eq(packed(&v, err, sizeof err, "[i,y#]", 1, NULL, (size_t) 3), ASQ_EINVAL);
    ck_assert_ptr_null(v);
}
END_TEST

START_TEST(depth_is_bounded)
{
    char fmt[2 * ASQ_MAX_DEPTH + 3] = "", err[300];
    asq_value *v = NULL;
    memset(fmt, '[', ASQ_MAX_DEPTH);
    memset(fmt + ASQ_MAX_DEPTH, ']', ASQ_MAX_DEPTH);
    ck_assert_int_eq(packed(&v, err, sizeof err, fmt), 0);
    ck_assert_int_eq(unpacked(v, err, sizeof err, fmt), 0);
    asq_value *copy = asq_value_copy(v);
    ck_assert_int_eq(packed(&v, err, sizeof err, "[o]", v), ASQ_ELIMIT);
    ck_assert_ptr_nonnull(strstr(err, "nested deeper than 64"));
    memset(fmt, '[', ASQ_MAX_DEPTH + 1);
    memset(fmt + ASQ_MAX_DEPTH + 1, ']', ASQ_MAX_DEPTH + 1);
    ck_assert_int_eq(packed(&v, err, sizeof err, fmt), ASQ_ELIMIT);
    ck_assert_int_eq(unpacked(copy, err, sizeof err, fmt), ASQ_ENOENT);
    asq_value_free(copy);
}
END_TEST

/* A future that counts how often it is freed. */
static int living;

static void ref(void *object)
{
    (void) object;
    living++;
}

static void unref(void *object)
{
    (void) object;
    living--;
}

static asq_value *witness(void)
{
    struct asq__future_object live = { &living, ref, unref };
    return asq__value_future_ref("1-00000000000000000000000000000000-1", &live);
}

START_TEST(values_given_away_are_freed_whatever_fails)
{
    asq_value *o = asq_value_int(1), *v = NULL;
    double d = 1.5;
    ck_assert_ptr_null(asq_pack("[o,s,o]", witness(), NULL, witness()));
    ck_assert_int_eq(living, 0);
    /* There are arguments of every size between the failure and the value. */
    ck_assert_ptr_null(asq_pack("{s:s,s:[i,I,f,b,n,s,s#,s?,s?#,y#,O,{s:a,s:r}],s:o}", "k", "\xff",
                                "l", 1, INT64_C(2), d, 0, "t", "abc", (size_t) 2, NULL, NULL,
                                (size_t) 0, "b", (size_t) 1, o, "a", NULL, "r", NULL, "w",
                                witness()));
    ck_assert_int_eq(living, 0);
    ck_assert_ptr_null(asq_pack("oo", witness(), witness()));
    ck_assert_int_eq(living, 0);
    ck_assert_ptr_null(asq_pack("{s:o,s:o", "a", witness(), "b", witness()));
    ck_assert_int_eq(living, 0);
    ck_assert_ptr_null(asq_pack("{s:o,o}", "a", witness(), witness()));
    ck_assert_int_eq(living, 0);
    ck_assert_ptr_null(asq_pack("{s:o}", NULL, witness()));
    ck_assert_int_eq(living, 0);
    ck_assert_ptr_null(asq_pack("[o}o]", witness(), witness()));
    ck_assert_int_eq(living, 0);
    /* Packing ends at an unknown letter, so values behind it still belong to the caller. */
    asq_value *behind = witness();
    ck_assert_ptr_null(asq_pack("[o,%,o]", witness(), behind));
    ck_assert_int_eq(living, 1);
    asq_value_free(behind);
    ck_assert_int_eq(living, 0);
    /* A value that has an owner is refused, and stays with it. */
    asq_value *list = asq_pack("[o]", witness());
    ck_assert_int_eq(packed(&v, NULL, 0, "{s:o}", "k", asq_list_at(list, 0)), ASQ_EINVAL);
    ck_assert_int_eq(packed(&v, NULL, 0, "o", asq_list_at(list, 0)), ASQ_EINVAL);
    ck_assert_int_eq(packed(&v, NULL, 0, "[s,o]", NULL, asq_list_at(list, 0)), ASQ_EINVAL);
    ck_assert_int_eq(living, 1);
    asq_value_free(list);
    ck_assert_int_eq(living, 0);
    asq_value_free(o);
}
END_TEST

START_TEST(every_letter_reads_its_type)
{
    bool b = false;
    int i = 0;
    int64_t big = 0;
    double d = 0, whole = 0;
    const char *s = NULL, *counted = NULL, *none = "x";
    size_t n = 0, data_n = 0;
    const void *data = NULL;
    const asq_value *item = NULL, *agent = NULL, *future = NULL;
    asq_value *v =
        asq_pack("[b,i,I,f,i,s,s#,n,y#,[i],n,o,o]", 1, INT_MIN, INT64_MAX, 2.5, 3, "text", "a\0b",
                 (size_t) 3, "\x01\x02", (size_t) 2, 9, asq__value_agent_ref("id", "C"), witness());
    ck_assert_int_eq(asq_unpack(v, "[b,i,I,f,f,s,s#,s?,y#,o,n,a,r]", &b, &i, &big, &d, &whole, &s,
                                &counted, &n, &none, &data, &data_n, &item, &agent, &future),
                     0);
    ck_assert(b);
    ck_assert_int_eq(i, INT_MIN);
    ck_assert(big == INT64_MAX);
    ck_assert_double_eq(d, 2.5);
    ck_assert_double_eq(whole, 3);
    ck_assert_str_eq(s, "text");
    ck_assert_uint_eq(n, 3);
    ck_assert_mem_eq(counted, "a\0b", 4);
    ck_assert_ptr_null(none);
    ck_assert_uint_eq(data_n, 2);
    ck_assert_mem_eq(data, "\x01\x02", 2);
    ck_assert_ptr_eq(item, asq_list_get(v, 9));
    ck_assert_int_eq(asq_value_type(agent), ASQ_AGENT);
    ck_assert_int_eq(asq_value_type(future), ASQ_FUTURE);
    asq_value_free(v);
}
END_TEST

START_TEST(nothing_is_written_unless_everything_fits)
{
    int a = 10, b = 20;
    const char *s = "untouched";
    asq_value *v = asq_pack("{s:i,s:[i,s]}", "a", 1, "l", 2, "text");
    ck_assert_int_eq(asq_unpack(v, "{s:i,s:[i,i]}", "a", &a, "l", &b, &b), ASQ_ETYPE);
    ck_assert_int_eq(asq_unpack(v, "{s:i,s:[i,s],s:i}", "a", &a, "l", &b, &s, "missing", &b),
                     ASQ_ENOENT);
    ck_assert_int_eq(asq_unpack(v, "{s:i,s:[i,s]", "a", &a, "l", &b, &s), ASQ_EINVAL);
    ck_assert_int_eq(a, 10);
    ck_assert_int_eq(b, 20);
    ck_assert_str_eq(s, "untouched");
    ck_assert_int_eq(asq_unpack(v, "{s:i,s:[i,s]}", "a", &a, "l", &b, &s), 0);
    ck_assert_int_eq(a, 1);
    ck_assert_int_eq(b, 2);
    ck_assert_str_eq(s, "text");
    asq_value_free(v);
}
END_TEST

static int unpacked_args(const asq_value *v, const char *params, char *err, size_t errlen,
                         const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    int rc = asq__vunpack_args(v, params, err, errlen, fmt, ap);
    va_end(ap);
    return rc;
}

START_TEST(an_argument_that_does_not_fit_is_named_by_its_parameter)
{
    char err[200];
    int i = 5;
    const asq_value *o = NULL;
    asq_value *v = asq_pack("[i,[i,s],s]", 1, 2, "x", "y");
    ck_assert_int_eq(unpacked_args(v, "url, depth\t,n", err, sizeof err, "[i,o,i]", &i, &o, &i),
                     ASQ_ETYPE);
    ck_assert_str_eq(err, "n: int expected, string found");
    ck_assert_int_eq(unpacked_args(v, "url, depth", err, sizeof err, "[i,[i,i],o]", &i, &i, &i, &o),
                     ASQ_ETYPE);
    ck_assert_str_eq(err, "depth[1]: int expected, string found");
    ck_assert_int_eq(unpacked_args(v, "a, b, c, d", err, sizeof err, "[o,o,o,i]", &o, &o, &o, &i),
                     ASQ_ENOENT);
    ck_assert_str_eq(err, "d: missing");
    ck_assert_int_eq(unpacked_args(v, "a,b", err, sizeof err, "[i,o,i]", &i, &o, &i), ASQ_ETYPE);
    ck_assert_str_eq(err, "[2]: int expected, string found");
    ck_assert_int_eq(unpacked_args(v, NULL, err, sizeof err, "[s]", &o), ASQ_ETYPE);
    ck_assert_str_eq(err, "[0]: string expected, int found");
    ck_assert_int_eq(i, 5);
    asq_value_free(v);
}
END_TEST

START_TEST(what_does_not_fit_is_named_with_its_place)
{
    char err[200];
    int i = 5;
    const char *s;
    asq_value *v =
        asq_pack("[i,{s:s,s:{s:[i,I]}}]", 1, "depth", "x", "a", "b", 1, INT64_C(1) << 40);
    ck_assert_int_eq(unpacked(v, err, sizeof err, "[i,{s:i}]", &i, "depth", &i), ASQ_ETYPE);
    ck_assert_str_eq(err, "[1].depth: int expected, string found");
    ck_assert_int_eq(unpacked(v, err, sizeof err, "[i,{s:{s:[i,i]}}]", &i, "a", "b", &i, &i),
                     ASQ_ELIMIT);
    ck_assert_str_eq(err, "[1].a.b[1]: 1099511627776 is beyond the range of an int");
    ck_assert_int_eq(unpacked(v, err, sizeof err, "[i,{s:s}]", &i, "url", &s), ASQ_ENOENT);
    ck_assert_str_eq(err, "[1].url: missing");
    ck_assert_int_eq(unpacked(v, err, sizeof err, "[i]", &i), ASQ_ETYPE);
    ck_assert_str_eq(err, "a list of 1 expected, one of 2 found");
    ck_assert_int_eq(unpacked(v, err, sizeof err, "[i,o,s]", &i, &s, &s), ASQ_ENOENT);
    ck_assert_str_eq(err, "[2]: missing");
    ck_assert_int_eq(unpacked(v, err, sizeof err, "{s:i}", "k", &i), ASQ_ETYPE);
    ck_assert_str_eq(err, "map expected, list found");
    ck_assert_int_eq(unpacked(NULL, err, sizeof err, "s", &s), ASQ_ETYPE);
    ck_assert_str_eq(err, "string expected, null found");
    ck_assert_int_eq(i, 5);
    asq_value_free(v);

    v = asq_value_stringn("a\0b", 3);
    ck_assert_int_eq(unpacked(v, err, sizeof err, "s", &s), ASQ_ETYPE);
    ck_assert_str_eq(err, "the string contains a NUL, and is read without its length");
    asq_value_free(v);
}
END_TEST

START_TEST(formats_to_read_by_are_checked)
{
    static const char *const bad[] = { "", "[", "{", "[]x", "]", "q", "[n", "[n|", "y", "{n}" };
    char err[200];
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        asq_value *v = bad[i][0] == '{'   ? asq_value_map()
                       : bad[i][0] == '[' ? asq_pack("[]")
                                          : NULL;
        int rc = unpacked(v, err, sizeof err, bad[i], NULL, NULL);
        ck_assert_msg(rc == ASQ_EINVAL || (rc == ASQ_ENOENT && bad[i][1] == 'n'), "%s: %d", bad[i],
                      rc);
        asq_value_free(v);
    }
    ck_assert_int_eq(unpacked(NULL, err, sizeof err, NULL), ASQ_EINVAL);
    ck_assert_int_eq(unpacked(NULL, err, sizeof err, "nn"), ASQ_EINVAL);
    ck_assert_str_eq(err, "format \"nn\", character 2: more than one value");
}
END_TEST

START_TEST(optional_parts_leave_their_variables_alone)
{
    int a = 1, b = 2, c = 3, d = 4;
    const char *s = "before";
    bool flag = true;
    asq_value *v = asq_pack("[i]", 10);
    ck_assert_int_eq(
        asq_unpack(v, "[i|i,[i,b],{s:i,s?:i},s]", &a, &b, &c, &flag, "k", &c, "l", &d, &s), 0);
    ck_assert_int_eq(a, 10);
    ck_assert_int_eq(b, 2);
    ck_assert_int_eq(c, 3);
    ck_assert_str_eq(s, "before");
    asq_value_free(v);

    v = asq_pack("[i,i,n,s]", 10, 20, "text");
    ck_assert_int_eq(asq_unpack(v, "[i|i,i,s]", &a, &b, &c, &s),
                     0); /* null in the middle: missing */
    ck_assert_int_eq(b, 20);
    ck_assert_int_eq(c, 3);
    ck_assert_str_eq(s, "text");
    ck_assert_int_eq(asq_unpack(v, "[i|i]", &a, &b), ASQ_ETYPE);
    asq_value_free(v);

    v = asq_pack("{s:i,s:n,s:n}", "a", 7, "null", "s");
    ck_assert_int_eq(asq_unpack(v, "{s:i,s?:i,s?:i,s?:s?}", "a", &a, "no", &b, "null", &c, "s", &s),
                     0);
    ck_assert_int_eq(a, 7);
    ck_assert_int_eq(b, 20);
    ck_assert_int_eq(c, 3);
    ck_assert_ptr_null(s);
    /* A value that is present must fit, optional or not. */
    ck_assert_int_eq(asq_unpack(v, "{s?:s}", "a", &s), ASQ_ETYPE);
    asq_value_free(v);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("pack");
    TCase *c = tcase_create("pack");
    tcase_add_test(c, every_letter_makes_its_type);
    tcase_add_test(c, borrowed_text_is_read_where_it_is);
    tcase_add_test(c, formats_nest_and_skip_separators);
    tcase_add_test(c, wrong_formats_are_explained);
    tcase_add_test(c, wrong_arguments_are_explained);
    tcase_add_test(c, depth_is_bounded);
    tcase_add_test(c, values_given_away_are_freed_whatever_fails);
    tcase_add_test(c, every_letter_reads_its_type);
    tcase_add_test(c, nothing_is_written_unless_everything_fits);
    tcase_add_test(c, what_does_not_fit_is_named_with_its_place);
    tcase_add_test(c, an_argument_that_does_not_fit_is_named_by_its_parameter);
    tcase_add_test(c, formats_to_read_by_are_checked);
    tcase_add_test(c, optional_parts_leave_their_variables_alone);
    suite_add_tcase(s, c);
    return sup_suite_run(s);
}
