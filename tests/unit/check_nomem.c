/*
 * check_nomem.c: the Nth allocation fails, for all N: each function of value/ then ends in
 * ASQ_ENOMEM (or NULL), frees its own allocations, and leaves its arguments intact.
 *
 * The linker replaces malloc and its like by the functions below (--wrap), in the code of asqueue.
 * Allocations in Jansson do not fail, because 2.14 reports some failures as an invalid token. While
 * armed, no code of Check may run, because it allocates too.
 */
#include "unit/random_value.h"
#include "value/buf.h"
#include "value/error.h"
#include "value/list.h"
#include "value/table.h"
#include "support/suite.h"
#include "value/value.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>

void *__real_malloc(size_t n);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t n);
void __real_free(void *p);
void *__wrap_malloc(size_t n);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t n);
void __wrap_free(void *p);
char *__wrap_strdup(const char *s);

static bool armed, for_good; /* for_good: all later ones fail as well */
static long made, failing, failed, living;

static bool fails(void)
{
    if (!armed)
        return false;
    made++;
    if (made < failing || (made > failing && !for_good))
        return false;
    failed++;
    return true;
}

void *__wrap_malloc(size_t n)
{
    void *p = fails() ? NULL : __real_malloc(n);
    living += armed && p;
    return p;
}

void *__wrap_calloc(size_t n, size_t size)
{
    void *p = fails() ? NULL : __real_calloc(n, size);
    living += armed && p;
    return p;
}

void *__wrap_realloc(void *p, size_t n)
{
    bool fresh = !p;
    void *q = fails() ? NULL : __real_realloc(p, n);
    living += armed && q && fresh;
    return q;
}

void __wrap_free(void *p)
{
    living -= armed && p;
    __real_free(p);
}

char *__wrap_strdup(const char *s)
{
    size_t n = strlen(s) + 1;
    char *copy = __wrap_malloc(n);
    return copy ? memcpy(copy, s, n) : NULL;
}

static void disarm(void)
{
    armed = false;
}

#define EXPECT(condition)                                                                          \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            disarm();                                                                              \
            ck_abort_msg("allocation %ld fails: %s", failing, #condition);                         \
        }                                                                                          \
    } while (0)

enum outcome { MUST_FAIL, MAY_SUCCEED };

/* Runs the scenario, which returns 0 or a code, for each N. */
static void for_all_n(int (*scenario)(void), enum outcome outcome)
{
    for (int mode = 0; mode < 2; mode++) {
        long n = 0;
        do {
            for_good = mode == 1;
            made = failed = living = 0;
            failing = ++n;
            armed = true;
            int rc = scenario();
            disarm();
            ck_assert_msg(living == 0, "allocation %ld fails: %ld are not freed", n, living);
            if (!failed || (outcome == MAY_SUCCEED && rc == 0))
                ck_assert_msg(rc == 0, "allocation %ld fails: %d", n, rc);
            else
                ck_assert_msg(rc == ASQ_ENOMEM, "allocation %ld fails: %d", n, rc);
        } while (failed);
        ck_assert_int_gt(n, 2); /* at least some allocations failed */
    }
}

static asq_value *input;
static struct asq__buf input_bytes;
static char *input_json;

static void make_inputs(void)
{
    uint64_t seed = 5;
    input = asq_value_map();
    for (int i = 0; i < 40; i++) {
        char key[16];
        snprintf(key, sizeof key, "key%d", i);
        ck_assert_int_eq(asq_map_set(input, key, random_value(&seed, 3)), 0);
    }
    asq_map_set(input, "bytes", asq_value_bytes("abc", 3));
    asq_map_set(input, "named", asq_pack("{s:s,s:i}", "a", "x", "c", 1));
    asq_map_set(input, "agent", asq__value_agent_ref("a", "C"));
    asq_map_set(input, "future",
                asq__value_future_ref("1-00000000000000000000000000000000-1", NULL));
    asq__buf_init(&input_bytes, 1 << 20);
    ck_assert_int_eq(asq__value_encode(input, &input_bytes), 0);
    ck_assert_int_eq(asq_to_json(input, 2, &input_json), 0);
}

static void free_inputs(void)
{
    asq_value_free(input);
    asq__buf_release(&input_bytes);
    free(input_json);
}

static int build(void)
{
    asq_value *list = asq_value_list();
    int rc = list ? 0 : ASQ_ENOMEM;
    for (int i = 0; rc == 0 && i < 20; i++) {
        asq_value *map = asq_value_map();
        rc = asq_map_set(map, "text", asq_value_string("some text"));
        /* map NULL: the item is still freed */
        if (!map)
            rc = ASQ_ENOMEM;
        if (rc == 0)
            rc = asq_map_set(map, "nested", asq_value_list());
        if (rc == 0)
            rc = asq_list_append(asq_map_find(map, "nested"), asq_value_double(1.5));
        if (rc == 0)
            rc = asq_list_append(list, map);
        else
            asq_value_free(map);
        if (rc == 0)
            rc = asq_list_set(list, (size_t) i / 2, asq_value_int(i));
        if (rc == ASQ_ENOMEM)
            EXPECT(asq_list_size(list) <= (size_t) i + 1);
    }
    asq_value_free(list);
    return rc;
}

/* When setting a key fails, all other keys stay, and setting it again succeeds. */
static int large_map(void)
{
    asq_value *map = asq_value_map();
    int rc = map ? 0 : ASQ_ENOMEM;
    for (int i = 0; map && i < 200; i++) {
        char key[16];
        snprintf(key, sizeof key, "k%d", i);
        int one = asq_map_set_int(map, key, i);
        if (one < 0) {
            EXPECT(one == ASQ_ENOMEM);
            EXPECT(asq_map_size(map) == (size_t) i);
            EXPECT(asq_map_get(map, key) == NULL);
            rc = one;
            if (for_good)
                break;
            EXPECT(asq_map_set_int(map, key, i) == 0);
        }
        for (int k = 0; k <= i; k += 7) {
            snprintf(key, sizeof key, "k%d", k);
            EXPECT(asq_map_int(map, key) == k);
        }
    }
    asq_value_free(map);
    return rc;
}

static int pack(void)
{
    asq_value *v = NULL, *given = asq_value_string("given away");
    v = asq_pack("{s:i,s:[s,s#,y#,f,n,b,{s:o}],s:O,s:[[[I]]],s:s?}", "a", 1, "b", "text", "te\0xt",
                 (size_t) 5, "by", (size_t) 2, 2.5, 1, "o", given, "copy", input, "deep",
                 INT64_C(5), "last", "x");
    asq_value_free(v);
    return v ? 0 : ASQ_ENOMEM;
}

static int packed(asq_value **ret, char *err, size_t errlen, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    int rc = asq_vpack(ret, err, errlen, fmt, ap);
    va_end(ap);
    return rc;
}

static int pack_with_text(void)
{
    asq_value *v = NULL;
    char err[100] = "";
    int rc = packed(&v, err, sizeof err, "[s,[i],{s:s}]", "a", 1, "k", "v");
    EXPECT(rc == 0 || strcmp(err, "out of memory") == 0);
    EXPECT((rc == 0) == (v != NULL));
    asq_value_free(v);
    return rc;
}

static int copy(void)
{
    asq_value *v = asq_value_copy(input);
    EXPECT(!v || asq_value_equal(v, input));
    asq_value_free(v);
    return v ? 0 : ASQ_ENOMEM;
}

static int encode(void)
{
    struct asq__buf b;
    asq__buf_init(&b, 1 << 20);
    int rc = 0;
    for (int i = 0; rc == 0 && i < 3; i++)
        rc = asq__value_encode(input, &b);
    size_t n = 0;
    uint8_t *data = asq__buf_detach(&b, &n);
    EXPECT((rc == 0) == (data != NULL));
    EXPECT(rc || n == 3 * input_bytes.len);
    free(data);
    return rc;
}

static int decode(void)
{
    asq_value *v = NULL;
    char err[100] = "";
    int rc = asq__value_decode(input_bytes.data, input_bytes.len, &v, err, sizeof err);
    EXPECT(rc == 0 || (!v && strcmp(err, "out of memory") == 0));
    EXPECT(rc < 0 || asq_value_equal(v, input));
    asq_value_free(v);
    return rc;
}

static int to_json(void)
{
    char *text = NULL;
    int rc = asq_to_json(input, 2, &text);
    EXPECT((rc == 0) == (text != NULL));
    EXPECT(!text || strcmp(text, input_json) == 0);
    free(text);
    return rc;
}

static int from_json(void)
{
    asq_value *v = NULL;
    char err[200] = "";
    int rc = asq_from_json(input_json, strlen(input_json), &v, err, sizeof err);
    EXPECT(rc == 0 || (!v && strcmp(err, "out of memory") == 0));
    EXPECT(rc < 0 || asq_value_equal(v, input));
    asq_value_free(v);
    return rc;
}

static int by_params(void)
{
    asq_value *v = NULL;
    int rc = asq__value_by_params(asq_map_get(input, "named"), "c, b, a", &v, NULL, 0);
    EXPECT((rc == 0) == (v != NULL));
    asq_value_free(v);
    return rc;
}

/* Comparing values needs memory only to be fast. */
static asq_value *one, *two;

static int compare(void)
{
    EXPECT(asq_value_compare(one, two) < 0);
    EXPECT(asq_value_compare(two, one) > 0);
    EXPECT(!asq_value_equal(one, two));
    return 0;
}

struct item {
    struct asq__node node;
    unsigned number;
};

static const void *key_of(const struct asq__node *node, size_t *n)
{
    *n = sizeof(unsigned);
    return &ASQ__CONTAINER(node, struct item, node)->number;
}

static int table(void)
{
    static struct item items[500];
    struct asq__table t;
    int rc = asq__table_init(&t, key_of);
    for (unsigned i = 0; rc == 0 && i < 500; i++) {
        items[i].number = i;
        asq__table_add(&t, &items[i].node);
    }
    for (unsigned i = 0; rc == 0 && i < 500; i++)
        EXPECT(asq__table_find(&t, &i, sizeof i) == &items[i].node);
    asq__table_release(&t);
    return rc;
}

static int error(void)
{
    struct asq__error e, f;
    asq__error_init(&e);
    asq__error_init(&f);
    EXPECT(asq__error_set(&e, ASQ_EFAILED, "it %s", "failed") == ASQ_EFAILED);
    asq__error_where(&e, "C", "m", "a", "w", "c");
    asq__error_copy(&f, &e.pub);
    EXPECT(f.pub.code == ASQ_EFAILED);
    EXPECT(strcmp(f.pub.message, "it failed") == 0 ||
           strcmp(f.pub.message, asq_strerror(ASQ_EFAILED)) == 0);
    EXPECT(strcmp(f.pub.call_id, "c") == 0 || strcmp(f.pub.call_id, "") == 0);
    asq__error_clear(&e);
    asq__error_clear(&f);
    return 0;
}

static int text_buffer(void)
{
    struct asq__buf b;
    asq__buf_init(&b, 10000);
    for (int i = 0; i < 100; i++)
        asq__buf_printf(&b, "%d, ", i);
    int rc = b.error;
    char *text = (char *) asq__buf_detach(&b, NULL);
    EXPECT((rc == 0) == (text != NULL));
    free(text);
    return rc;
}

#define TEST(name, outcome)                                                                        \
    START_TEST(name##_without_memory)                                                              \
    {                                                                                              \
        make_inputs();                                                                             \
        for_all_n(name, outcome);                                                                  \
        free_inputs();                                                                             \
    }                                                                                              \
    END_TEST

TEST(build, MUST_FAIL)
TEST(large_map, MUST_FAIL)
TEST(pack, MUST_FAIL)
TEST(pack_with_text, MUST_FAIL)
TEST(copy, MUST_FAIL)
TEST(encode, MUST_FAIL)
TEST(decode, MUST_FAIL)
TEST(to_json, MUST_FAIL)
TEST(from_json, MUST_FAIL)
TEST(by_params, MUST_FAIL)
TEST(table, MAY_SUCCEED)
TEST(error, MAY_SUCCEED)
TEST(text_buffer, MUST_FAIL)

START_TEST(compare_without_memory)
{
    one = asq_pack("{s:i,s:i,s:i}", "c", 1, "a", 1, "b", 5);
    two = asq_pack("{s:i,s:i,s:i}", "a", 1, "b", 6, "c", 0);
    for_all_n(compare, MAY_SUCCEED);
    asq_value_free(one);
    asq_value_free(two);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("nomem");
    TCase *c = tcase_create("nomem");
    tcase_add_test(c, build_without_memory);
    tcase_add_test(c, large_map_without_memory);
    tcase_add_test(c, pack_without_memory);
    tcase_add_test(c, pack_with_text_without_memory);
    tcase_add_test(c, copy_without_memory);
    tcase_add_test(c, encode_without_memory);
    tcase_add_test(c, decode_without_memory);
    tcase_add_test(c, to_json_without_memory);
    tcase_add_test(c, from_json_without_memory);
    tcase_add_test(c, by_params_without_memory);
    tcase_add_test(c, compare_without_memory);
    tcase_add_test(c, table_without_memory);
    tcase_add_test(c, error_without_memory);
    tcase_add_test(c, text_buffer_without_memory);
    suite_add_tcase(s, c);
    return sup_suite_run(s);
}
