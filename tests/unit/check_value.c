/*
 * check_value.c: values one by one, as lists and maps, copied, compared and owned.
 */
#include "unit/random_value.h"
#include "support/suite.h"
#include "value/buf.h"
#include "value/value.h"

#include <check.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

START_TEST(getters_accept_their_own_type_only)
{
    bool b;
    int64_t i = 7;
    double d = 0;
    const char *s;
    const void *data;
    size_t n;
    asq_value *v = asq_value_int(-5);
    ck_assert_int_eq(asq_value_get_int(v, &i), 0);
    ck_assert_int_eq(i, -5);
    ck_assert_int_eq(asq_value_get_double(v, &d), 0);
    ck_assert_double_eq(d, -5.0);
    ck_assert_int_eq(asq_value_get_bool(v, &b), ASQ_ETYPE);
    ck_assert_int_eq(asq_value_get_string(v, &s, &n), ASQ_ETYPE);
    ck_assert_int_eq(asq_value_get_bytes(v, &data, &n), ASQ_ETYPE);
    asq_value_free(v);

    v = asq_value_double(2.5);
    ck_assert_int_eq(asq_value_get_int(v, &i), ASQ_ETYPE);
    ck_assert_int_eq(i, -5);
    asq_value_free(v);

    v = asq_value_stringn("a\0b", 3);
    ck_assert_int_eq(asq_value_get_string(v, &s, &n), 0);
    ck_assert_uint_eq(n, 3);
    ck_assert_mem_eq(s, "a\0b\0", 4);
    ck_assert_int_eq(asq_value_get_bytes(v, &data, &n), ASQ_ETYPE);
    asq_value_free(v);

    v = asq_value_bytes(NULL, 0);
    ck_assert_int_eq(asq_value_get_bytes(v, &data, &n), 0);
    ck_assert_uint_eq(n, 0);
    asq_value_free(v);

    ck_assert_int_eq(asq_value_get_bool(asq_value_bool(true), &b), 0);
    ck_assert(b);
    ck_assert_int_eq(asq_value_get_int(NULL, &i), ASQ_ETYPE);
    ck_assert_int_eq(asq_value_type(NULL), ASQ_NULL);
    ck_assert_str_eq(asq_type_name(ASQ_FUTURE), "future");
    ck_assert_str_eq(asq_type_name((asq_type) 77), "unknown");
}
END_TEST

START_TEST(invalid_arguments_make_no_value)
{
    char id[ASQ_MAX_ID + 2];
    ck_assert_ptr_null(asq_value_string(NULL));
    ck_assert_ptr_null(asq_value_string("\xff"));
    ck_assert_ptr_null(asq_value_stringn(NULL, 1));
    ck_assert_ptr_null(asq_value_bytes(NULL, 1));
    memset(id, 'x', sizeof id);
    id[ASQ_MAX_ID + 1] = '\0';
    ck_assert_ptr_null(asq__value_agent_ref(id, "C"));
    id[ASQ_MAX_ID] = '\0';
    asq_value *v = asq__value_agent_ref(id, NULL);
    const char *got, *cls;
    ck_assert_int_eq(asq_value_get_agent(v, &got, &cls), 0);
    ck_assert_str_eq(got, id);
    ck_assert_str_eq(cls, "");
    asq_value_free(v);
    ck_assert_ptr_null(asq__value_agent_ref("", "C"));
    ck_assert_ptr_null(asq__value_agent_ref("a b", "C"));
    ck_assert_ptr_null(asq__value_future_ref("1-2-3", NULL));
}
END_TEST

START_TEST(utf8_is_what_rfc_3629_says)
{
    static const char *const good[] = { "",
                                        "abc",
                                        "\xc2\x80",
                                        "\xdf\xbf",
                                        "\xe0\xa0\x80",
                                        "\xed\x9f\xbf",
                                        "\xee\x80\x80",
                                        "\xf0\x90\x80\x80",
                                        "\xf4\x8f\xbf\xbf",
                                        "1234567\xc3\xa9" };
    static const char *const bad[] = { "\x80",
                                       "\xc0\x80",
                                       "\xc1\xbf",
                                       "\xc2",
                                       "\xe0\x9f\xbf",
                                       "\xed\xa0\x80",
                                       "\xe2\x82",
                                       "\xf0\x8f\xbf\xbf",
                                       "\xf4\x90\x80\x80",
                                       "\xf5\x80\x80\x80",
                                       "\xff",
                                       "12345678\xc3",
                                       "\xe2\x28\xa1",
                                       "\xf0\x90\x80" };
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        ck_assert_msg(asq__utf8_valid(good[i], strlen(good[i])), "good %zu", i);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        ck_assert_msg(!asq__utf8_valid(bad[i], strlen(bad[i])), "bad %zu", i);
    /* Encodes every code point by hand, except surrogates, which are none. */
    for (uint32_t c = 1; c <= 0x110000; c++) {
        char s[4];
        size_t n = 0;
        if (c < 0x80) {
            s[n++] = (char) c;
        } else if (c < 0x800) {
            s[n++] = (char) (0xc0 | c >> 6);
        } else if (c < 0x10000) {
            s[n++] = (char) (0xe0 | c >> 12);
            s[n++] = (char) (0x80 | (c >> 6 & 63));
        } else {
            s[n++] = (char) (0xf0 | c >> 18);
            s[n++] = (char) (0x80 | (c >> 12 & 63));
            s[n++] = (char) (0x80 | (c >> 6 & 63));
        }
        if (c >= 0x80)
            s[n++] = (char) (0x80 | (c & 63));
        bool valid = c < 0x110000 && !(c >= 0xd800 && c <= 0xdfff);
        ck_assert_msg(asq__utf8_valid(s, n) == valid, "U+%04x", (unsigned) c);
    }
}
END_TEST

START_TEST(lists_append_set_and_remove)
{
    asq_value *list = asq_value_list();
    int64_t got;
    for (int i = 0; i < 100; i++)
        ck_assert_int_eq(asq_list_append(list, asq_value_int(i)), 0);
    ck_assert_uint_eq(asq_list_size(list), 100);
    ck_assert_int_eq(asq_list_set(list, 10, asq_value_int(-1)), 0);
    ck_assert_int_eq(asq_list_remove(list, 0), 0);
    ck_assert_int_eq(asq_list_remove(list, 98), 0);
    ck_assert_uint_eq(asq_list_size(list), 98);
    for (size_t i = 0; i < 98; i++) {
        ck_assert_int_eq(asq_value_get_int(asq_list_get(list, i), &got), 0);
        ck_assert_int_eq(got, i == 9 ? -1 : (int64_t) i + 1);
    }
    ck_assert_ptr_null(asq_list_get(list, 98));
    ck_assert_int_eq(asq_list_set(list, 98, asq_value_int(1)), ASQ_ENOENT);
    ck_assert_int_eq(asq_list_remove(list, 98), ASQ_ENOENT);
    ck_assert_int_eq(asq_list_append(list, NULL), ASQ_ENOMEM);
    asq_value_free(list);
}
END_TEST

START_TEST(what_is_no_list_or_map_refuses_and_frees_the_item)
{
    asq_value *number = asq_value_int(1);
    ck_assert_int_eq(asq_list_append(number, asq_value_int(2)), ASQ_ETYPE);
    ck_assert_int_eq(asq_list_set(number, 0, asq_value_int(2)), ASQ_ETYPE);
    ck_assert_int_eq(asq_map_set(number, "k", asq_value_int(2)), ASQ_ETYPE);
    ck_assert_int_eq(asq_list_append(NULL, asq_value_int(2)), ASQ_EINVAL);
    ck_assert_int_eq(asq_map_set(NULL, "k", asq_value_int(2)), ASQ_EINVAL);
    ck_assert_int_eq(asq_list_remove(number, 0), ASQ_ETYPE);
    ck_assert_int_eq(asq_map_remove(number, "k"), ASQ_ETYPE);
    ck_assert_uint_eq(asq_list_size(number), 0);
    ck_assert_uint_eq(asq_map_size(number), 0);
    ck_assert_ptr_null(asq_list_get(number, 0));
    ck_assert_ptr_null(asq_map_get(number, "k"));
    ck_assert_ptr_null(asq_map_at(number, 0, NULL));
    asq_value_free(number);
    asq_value *map = asq_value_map();
    ck_assert_int_eq(asq_map_set(map, NULL, asq_value_int(2)), ASQ_EINVAL);
    ck_assert_int_eq(asq_map_set(map, "\xff", asq_value_int(2)), ASQ_EINVAL);
    ck_assert_int_eq(asq_map_set(map, "k", NULL), ASQ_ENOMEM);
    ck_assert_int_eq(asq_map_remove(map, "k"), ASQ_ENOENT);
    ck_assert_uint_eq(asq_map_size(map), 0);
    asq_value_free(map);
}
END_TEST

START_TEST(a_value_has_one_owner)
{
    asq_value *a = asq_value_list(), *b = asq_value_list(), *inner = asq_value_list();
    ck_assert_int_eq(asq_list_append(a, inner), 0);
    /* The value is refused, and stays in its tree. */
    ck_assert_int_eq(asq_list_append(b, inner), ASQ_EINVAL);
    ck_assert_int_eq(asq_list_append(inner, inner), ASQ_EINVAL);
    ck_assert_int_eq(asq_list_append(inner, a), ASQ_EINVAL);
    ck_assert_int_eq(asq_list_set(a, 0, inner), ASQ_EINVAL);
    asq_value *number = asq_value_int(4);
    ck_assert_int_eq(asq_list_append(inner, number), 0);
    ck_assert_int_eq(asq_list_append(b, number), ASQ_EINVAL);
    ck_assert_ptr_eq(asq_list_get(a, 0), inner);
    asq_value_free(a);
    asq_value_free(b);
}
END_TEST

START_TEST(maps_keep_the_order_of_insertion)
{
    asq_value *map = asq_value_map();
    const char *key;
    ck_assert_int_eq(asq_map_set_int(map, "z", 1), 0);
    ck_assert_int_eq(asq_map_set_int(map, "", 2), 0);
    ck_assert_int_eq(asq_map_set_int(map, "a", 3), 0);
    ck_assert_int_eq(asq_map_set(map, "z", asq_value_string("replaced")), 0);
    asq_map_at(map, 0, &key);
    ck_assert_str_eq(key, "z");
    asq_map_at(map, 1, &key);
    ck_assert_str_eq(key, "");
    ck_assert_int_eq(asq_map_int(map, ""), 2);
    ck_assert_int_eq(asq_map_int(map, "z"), 0);
    ck_assert_int_eq(asq_map_int(map, "missing"), 0);
    ck_assert_int_eq(asq_map_remove(map, "z"), 0);
    ck_assert_uint_eq(asq_map_size(map), 2);
    asq_map_at(map, 1, &key);
    ck_assert_str_eq(key, "a");
    asq_value_free(map);
}
END_TEST

START_TEST(a_map_gives_plain_values)
{
    asq_value *map = asq_pack("{s:s, s:b, s:i}", "text", "abc", "yes", 1, "number", 7);
    ck_assert_str_eq(asq_map_string(map, "text"), "abc");
    ck_assert_str_eq(asq_map_string(map, "number"), "");
    ck_assert_str_eq(asq_map_string(map, "missing"), "");
    ck_assert_str_eq(asq_map_string(asq_map_get(map, "text"), "text"), "");
    ck_assert(asq_map_bool(map, "yes"));
    ck_assert(!asq_map_bool(map, "number") && !asq_map_bool(map, "missing"));
    asq_value_free(map);
}
END_TEST

/* Compares a map with a plain array, across the sizes at which the index appears and grows. */
START_TEST(a_map_does_what_a_plain_array_does)
{
    enum { KEYS = 300 };
    uint64_t seed = 1;
    int64_t model[KEYS];
    size_t order[KEYS], n = 0;
    asq_value *map = asq_value_map();
    for (int step = 0; step < 60000; step++) {
        size_t range = step / 10000 % 2 ? KEYS : 20, k = random_below(&seed, range);
        char key[16];
        snprintf(key, sizeof key, "key%zu", k);
        size_t at = 0;
        while (at < n && order[at] != k)
            at++;
        if (random_below(&seed, 5) < (step / 20000 == 1 ? 3u : 2u)) {
            ck_assert_int_eq(asq_map_remove(map, key), at < n ? 0 : ASQ_ENOENT);
            if (at < n) {
                memmove(order + at, order + at + 1, (n - at - 1) * sizeof *order);
                n--;
            }
        } else {
            ck_assert_int_eq(asq_map_set_int(map, key, step), 0);
            model[k] = step;
            if (at == n)
                order[n++] = k;
        }
        ck_assert_uint_eq(asq_map_size(map), n);
        if (step % 50)
            continue;
        asq_value *copy = asq_value_copy(map);
        for (size_t i = 0; i < n; i++) {
            const char *got;
            asq_map_at(copy, i, &got);
            snprintf(key, sizeof key, "key%zu", order[i]);
            ck_assert_str_eq(got, key);
            ck_assert_int_eq(asq_map_int(map, key), model[order[i]]);
            ck_assert_int_eq(asq_map_int(copy, key), model[order[i]]);
        }
        ck_assert(asq_value_equal(map, copy));
        asq_value_free(copy);
    }
    asq_value_free(map);
}
END_TEST

START_TEST(a_map_of_100000_keys_is_built_at_once)
{
    asq_value *map = asq_value_map();
    char key[24];
    for (int i = 0; i < 100000; i++) {
        snprintf(key, sizeof key, "key-%d", i);
        ck_assert_int_eq(asq_map_set_int(map, key, i), 0);
    }
    for (int i = 0; i < 100000; i++) {
        snprintf(key, sizeof key, "key-%d", i);
        ck_assert_int_eq(asq_map_int(map, key), i);
    }
    asq_value *copy = asq_value_copy(map);
    ck_assert(asq_value_equal(copy, map));
    asq_value_free(copy);
    asq_value_free(map);
}
END_TEST

START_TEST(depth_is_bounded_when_a_tree_is_built)
{
    asq_value *deepest = nested_lists(ASQ_MAX_DEPTH), *inner = deepest;
    ck_assert_ptr_nonnull(deepest);
    ck_assert_ptr_null(nested_lists(ASQ_MAX_DEPTH + 1));
    while (asq_list_size(inner))
        inner = asq_list_at(inner, 0);
    ck_assert_int_eq(asq_list_append(inner, asq_value_int(1)), 0);
    ck_assert_int_eq(asq_list_append(inner, asq_value_list()), ASQ_ELIMIT);
    ck_assert_int_eq(asq_list_append(inner, asq_value_map()), ASQ_ELIMIT);
    asq_value *around = asq_value_map();
    ck_assert_int_eq(asq_map_set(around, "k", asq_value_copy(deepest)), ASQ_ELIMIT);
    ck_assert_uint_eq(asq_map_size(around), 0);
    /* When the deep part is removed again, the rest fits. */
    ck_assert_int_eq(asq_list_remove(deepest, 0), 0);
    ck_assert_int_eq(asq_map_set(around, "k", deepest), 0);
    asq_value_free(around);

    /* Builds the tree from the outside in. */
    asq_value *root = asq_value_list(), *at = root;
    int rc = 0;
    unsigned levels = 1;
    while ((rc = asq_list_append(at, asq_value_list())) == 0) {
        at = asq_list_at(at, 0);
        levels++;
    }
    ck_assert_int_eq(rc, ASQ_ELIMIT);
    ck_assert_uint_eq(levels, ASQ_MAX_DEPTH);
    asq_value_free(root);
}
END_TEST

static void *counted;
static int references;

static void ref(void *object)
{
    ck_assert_ptr_eq(object, counted);
    references++;
}

static void unref(void *object)
{
    ck_assert_ptr_eq(object, counted);
    references--;
}

START_TEST(futures_hold_a_reference_each)
{
    const char *id = "12-00112233445566778899aabbccddeeff-3", *got;
    int object;
    counted = &object;
    struct asq__future_object live = { &object, ref, unref };
    asq_value *v = asq__value_future_ref(id, &live), *list = asq_value_list();
    ck_assert_int_eq(references, 1);
    ck_assert_int_eq(asq_value_get_future(v, &got), 0);
    ck_assert_str_eq(got, id);
    asq_list_append(list, asq_value_copy(v));
    asq_list_append(list, v);
    ck_assert_int_eq(references, 2);
    asq_value *copy = asq_value_copy(list);
    ck_assert_int_eq(references, 4);
    asq_value_free(list);
    ck_assert_int_eq(references, 2);
    asq_value_free(copy);
    ck_assert_int_eq(references, 0);
}
END_TEST

START_TEST(call_ids_have_one_form)
{
    struct asq__call_id id = { .partition = UINT32_MAX, .index = 0 }, back;
    char text[ASQ__CALL_ID_TEXT];
    memset(id.batch, 0xa5, sizeof id.batch);
    asq__call_id_format(&id, text);
    ck_assert_str_eq(text, "4294967295-a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5-0");
    ck_assert_int_eq(asq__call_id_parse(text, &back), 0);
    ck_assert_uint_eq(back.partition, id.partition);
    ck_assert_uint_eq(back.index, 0);
    ck_assert_mem_eq(back.batch, id.batch, sizeof id.batch);
    id.index = ASQ__PROMISE_INDEX;
    asq__call_id_format(&id, text);
    ck_assert_str_eq(text, "4294967295-a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5-promise");
    ck_assert_int_eq(asq__call_id_parse(text, &back), 0);
    ck_assert(asq__call_id_is_promise(&back));
    static const char *const bad[] = {
        "",
        "1",
        "1-",
        "-a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5-0",
        "01-a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5-0",
        "4294967296-a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5-0",
        "1-A5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5-0",
        "1-a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a-0",
        "1-a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5",
        "1-a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5-",
        "1-a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5-0 ",
        "1-a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5-+1",
        "1-a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5-00",
        "1-a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5-4294967295",
        "1-a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5-promises",
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        ck_assert_msg(asq__call_id_parse(bad[i], &back) == ASQ_EPARSE, "%s", bad[i]);
    ck_assert_int_eq(asq__call_id_parse(NULL, &back), ASQ_EPARSE);
}
END_TEST

START_TEST(ids_and_names_are_checked)
{
    char err[200], name[200];
    ck_assert_int_eq(asq__check_id("a{b}/ü:1", err, sizeof err), 0);
    ck_assert_int_eq(asq__check_id("a b", err, sizeof err), ASQ_EINVAL);
    ck_assert_str_eq(err, "the agent id contains a space at byte 1");
    ck_assert_int_eq(asq__check_id("ab\n", err, sizeof err), ASQ_EINVAL);
    ck_assert_str_eq(err, "the agent id contains a control character at byte 2");
    ck_assert_int_eq(asq__check_id("\xc2\x85", err, sizeof err), ASQ_EINVAL);
    ck_assert_int_eq(asq__check_id("\x7f", NULL, 0), ASQ_EINVAL);
    ck_assert_int_eq(asq__check_id(NULL, err, sizeof err), ASQ_EINVAL);
    ck_assert_str_eq(err, "the agent id is empty");

    ck_assert_int_eq(asq__check_name("class", "Web-Agent.2", err, sizeof err), 0);
    ck_assert_int_eq(asq__check_name("method", "_private", err, sizeof err), 0);
    ck_assert_int_eq(asq__check_name("class", "_private", err, sizeof err), ASQ_EINVAL);
    ck_assert_int_eq(asq__check_name("method", "2nd", err, sizeof err), ASQ_EINVAL);
    ck_assert_int_eq(asq__check_name("method", "a b", err, sizeof err), ASQ_EINVAL);
    ck_assert_ptr_nonnull(strstr(err, "\"a b\" is no method name"));
    ck_assert_int_eq(asq__check_name("method", "", err, sizeof err), ASQ_EINVAL);
    memset(name, 'n', sizeof name);
    name[ASQ_MAX_NAME] = '\0';
    ck_assert_int_eq(asq__check_name("method", name, err, sizeof err), 0);
    name[ASQ_MAX_NAME] = 'n';
    name[ASQ_MAX_NAME + 1] = '\0';
    ck_assert_int_eq(asq__check_name("method", name, err, sizeof err), ASQ_EINVAL);
}
END_TEST

/* Fills v with values in ascending order, all different. */
static size_t ordered_values(asq_value *v[40])
{
    size_t n = 0;
    v[n++] = asq_value_null();
    v[n++] = asq_value_bool(false);
    v[n++] = asq_value_bool(true);
    v[n++] = asq_value_double((double) -INFINITY);
    v[n++] = asq_value_int(INT64_MIN);
    v[n++] = asq_value_double(-0x1p63);
    v[n++] = asq_value_int(INT64_MIN + 1);
    v[n++] = asq_value_int(-3);
    v[n++] = asq_value_double(-2.5);
    v[n++] = asq_value_int(-2);
    v[n++] = asq_value_int(0);
    v[n++] = asq_value_double(0);
    v[n++] = asq_value_double(0.5);
    v[n++] = asq_value_int(1);
    v[n++] = asq_value_int((INT64_C(1) << 53));
    v[n++] = asq_value_double(0x1p53);
    v[n++] = asq_value_int((INT64_C(1) << 53) + 1);
    v[n++] = asq_value_int(INT64_MAX);
    v[n++] = asq_value_double(0x1p63);
    v[n++] = asq_value_double((double) INFINITY);
    v[n++] = asq_value_double((double) NAN);
    v[n++] = asq_value_string("");
    v[n++] = asq_value_string("a");
    v[n++] = asq_value_stringn("a\0", 2);
    v[n++] = asq_value_string("\xc3\xa9");
    v[n++] = asq_value_bytes("", 0);
    v[n++] = asq_value_bytes("\xff", 1);
    v[n++] = asq_value_list();
    v[n++] = asq_pack("[i]", 1);
    v[n++] = asq_pack("[i,i]", 1, 1);
    v[n++] = asq_pack("[i]", 2);
    v[n++] = asq_value_map();
    v[n++] = asq_pack("{s:i,s:i}", "b", 1, "a", 1);
    v[n++] = asq_pack("{s:i,s:i}", "a", 1, "b", 2);
    v[n++] = asq_pack("{s:i,s:i}", "c", 0, "a", 1);
    v[n++] = asq_pack("{s:i}", "a", 2);
    v[n++] = asq__value_agent_ref("a", "C");
    v[n++] = asq__value_agent_ref("b", "B");
    v[n++] = asq__value_future_ref("1-a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5-0", NULL);
    return n;
}

START_TEST(values_have_a_total_order)
{
    asq_value *v[40];
    size_t n = ordered_values(v);
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < n; k++) {
            int rc = asq_value_compare(v[i], v[k]);
            ck_assert_msg((rc < 0) == (i < k) && (rc > 0) == (i > k), "%zu and %zu: %d", i, k, rc);
            ck_assert_msg(asq_value_equal(v[i], v[k]) == (i == k), "%zu and %zu", i, k);
        }
    ck_assert_int_eq(asq_value_compare(NULL, v[0]), 0);
    ck_assert_int_lt(asq_value_compare(NULL, v[1]), 0);
    for (size_t i = 0; i < n; i++)
        asq_value_free(v[i]);
}
END_TEST

START_TEST(maps_are_equal_in_any_order_of_keys)
{
    asq_value *a = asq_pack("{s:i,s:[s],s:i}", "x", 1, "y", "t", "z", 3);
    asq_value *b = asq_pack("{s:i,s:i,s:[s]}", "z", 3, "x", 1, "y", "t");
    ck_assert(asq_value_equal(a, b));
    ck_assert_int_eq(asq_value_compare(a, b), 0);
    asq_map_set_int(b, "z", 4);
    ck_assert(!asq_value_equal(a, b));
    ck_assert_int_lt(asq_value_compare(a, b), 0);
    asq_value_free(a);
    asq_value_free(b);
}
END_TEST

START_TEST(copies_are_equal_and_independent)
{
    for (uint64_t seed = 0; seed < 300; seed++) {
        uint64_t s = seed, t = seed ^ 0xabcdef;
        asq_value *v = random_value(&s, 5), *other = random_value(&t, 5), *copy = asq_value_copy(v);
        ck_assert_ptr_nonnull(copy);
        ck_assert(asq_value_equal(v, copy));
        ck_assert_int_eq(asq_value_compare(v, copy), 0);
        int forth = asq_value_compare(v, other), back = asq_value_compare(other, copy);
        ck_assert_int_eq((forth > 0) - (forth < 0), (back < 0) - (back > 0));
        ck_assert(asq_value_equal(v, other) == (forth == 0));
        asq_value_free(v);
        ck_assert_int_ge(asq_value_encoded_size(copy), 2);
        asq_value_free(copy);
        asq_value_free(other);
    }
}
END_TEST

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { SMALL_STACK = 512 * 1024 }; /* sanitizers make frames larger */
#elif defined(__clang__)           /* clang does not define the above */
enum { SMALL_STACK = 512 * 1024 };
#else
enum { SMALL_STACK = 64 * 1024 };
#endif

/* Uses the deepest map possible in every recursive function. */
static void *use_deepest(void *unused)
{
    asq_value *v = asq_value_int(1), *copy, *back = NULL;
    struct asq__buf b;
    char *json;
    (void) unused;
    for (int i = 0; i < ASQ_MAX_DEPTH; i++) {
        asq_value *map = asq_value_map();
        ck_assert_int_eq(asq_map_set(map, "$key", v), 0);
        v = map;
    }
    copy = asq_value_copy(v);
    ck_assert_int_eq(asq_value_compare(v, copy), 0);
    ck_assert(asq_value_equal(v, copy));
    asq_value_free(copy);
    asq__buf_init(&b, 100000);
    ck_assert_int_eq(asq__value_encode(v, &b), 0);
    ck_assert_int_eq(asq__value_decode(b.data, b.len, &back, NULL, 0), 0);
    ck_assert(asq_value_equal(v, back));
    asq_value_free(back);
    asq__buf_release(&b);
    ck_assert_int_eq(asq_to_json(v, 1, &json), 0);
    ck_assert_int_eq(asq_from_json(json, strlen(json), &back, NULL, 0), 0);
    ck_assert(asq_value_equal(v, back));
    asq_value_free(back);
    free(json);
    asq_value_free(v);
    return &references;
}

START_TEST(the_deepest_value_fits_a_small_stack)
{
    pthread_attr_t attr;
    pthread_t thread;
    void *done = NULL;
    ck_assert_int_eq(pthread_attr_init(&attr), 0);
    ck_assert_int_eq(pthread_attr_setstacksize(&attr, SMALL_STACK), 0);
    ck_assert_int_eq(pthread_create(&thread, &attr, use_deepest, NULL), 0);
    ck_assert_int_eq(pthread_join(thread, &done), 0);
    ck_assert_ptr_eq(done, &references);
    pthread_attr_destroy(&attr);
}
END_TEST

START_TEST(named_arguments_come_in_the_order_of_the_parameters)
{
    char err[200];
    asq_value *map = asq_pack("{s:i,s:s}", "timeout", 5, "url", "u"), *list = NULL, *expected;
    ck_assert_int_eq(
        asq__value_by_params(map, "url, depth,timeout , flags", &list, err, sizeof err), 0);
    expected = asq_pack("[s,n,i]", "u", 5);
    ck_assert(asq_value_equal(list, expected));
    asq_value_free(list);
    asq_value_free(expected);
    list = NULL;
    ck_assert_int_eq(asq__value_by_params(map, "url, depth", &list, err, sizeof err), ASQ_EARGS);
    ck_assert_str_eq(err, "unknown argument \"timeout\"; the parameters are: url, depth");
    ck_assert_ptr_null(list);
    ck_assert_int_eq(asq__value_by_params(map, "", &list, err, sizeof err), ASQ_EARGS);
    asq_value_free(map);
    map = asq_value_map();
    ck_assert_int_eq(asq__value_by_params(map, "url, depth", &list, err, sizeof err), 0);
    ck_assert_uint_eq(asq_list_size(list), 0);
    asq_value_free(list);
    asq_value_free(map);
    /* An explicit null counts as an argument. */
    map = asq_pack("{s:n}", "depth");
    ck_assert_int_eq(asq__value_by_params(map, "url, depth", &list, err, sizeof err), 0);
    ck_assert_uint_eq(asq_list_size(list), 2);
    ck_assert_int_eq(asq__value_by_params(list, "url, depth", &expected, err, sizeof err),
                     ASQ_EARGS);
    asq_value_free(list);
    asq_value_free(map);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("value");
    TCase *c = tcase_create("value");
    tcase_add_test(c, getters_accept_their_own_type_only);
    tcase_add_test(c, invalid_arguments_make_no_value);
    tcase_add_test(c, utf8_is_what_rfc_3629_says);
    tcase_add_test(c, lists_append_set_and_remove);
    tcase_add_test(c, what_is_no_list_or_map_refuses_and_frees_the_item);
    tcase_add_test(c, a_value_has_one_owner);
    tcase_add_test(c, maps_keep_the_order_of_insertion);
    tcase_add_test(c, a_map_gives_plain_values);
    tcase_add_test(c, a_map_does_what_a_plain_array_does);
    tcase_add_test(c, a_map_of_100000_keys_is_built_at_once);
    tcase_add_test(c, depth_is_bounded_when_a_tree_is_built);
    tcase_add_test(c, futures_hold_a_reference_each);
    tcase_add_test(c, call_ids_have_one_form);
    tcase_add_test(c, ids_and_names_are_checked);
    tcase_add_test(c, values_have_a_total_order);
    tcase_add_test(c, maps_are_equal_in_any_order_of_keys);
    tcase_add_test(c, copies_are_equal_and_independent);
    tcase_add_test(c, the_deepest_value_fits_a_small_stack);
    tcase_add_test(c, named_arguments_come_in_the_order_of_the_parameters);
    suite_add_tcase(s, c);
    return sup_suite_run(s);
}
