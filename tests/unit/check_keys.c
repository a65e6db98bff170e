/*
 * check_keys.c: the name of every key, byte by byte as PROTOCOL.md has it, and the syntax of a
 * namespace.
 */
#include "redis/keys.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "asqueue.h"
#include "support/suite.h"

static struct asq__keys keys;
static char err[300];

static void take(const char *ns)
{
    ck_assert_msg(asq__keys_init(&keys, ns, err, sizeof err) == 0, "%s", err);
}

static void refused(const char *ns)
{
    struct asq__keys before = keys;
    err[0] = '\0';
    ck_assert_int_eq(asq__keys_init(&keys, ns, err, sizeof err), ASQ_EINVAL);
    ck_assert_ptr_nonnull(strstr(err, "1 to 64 letters, digits, '_' and '-' are allowed"));
    ck_assert(memcmp(&before, &keys, sizeof keys) == 0);
}

/* Checks that the name is this one, its length is returned, and nothing behind its NUL is
 * written. */
#define names(call, expected)                                                                      \
    do {                                                                                           \
        char out[ASQ__KEY_MAX];                                                                    \
        memset(out, '#', sizeof out);                                                              \
        size_t n_ = (call);                                                                        \
        ck_assert_str_eq(out, expected);                                                           \
        ck_assert_uint_eq(n_, strlen(expected));                                                   \
        for (size_t i_ = n_ + 1; i_ < sizeof out; i_++)                                            \
            ck_assert_int_eq(out[i_], '#');                                                        \
    } while (0)

START_TEST(keys_of_a_namespace)
{
    take("prod");
    ck_assert_str_eq(keys.ns, "prod");
    names(asq__keys_meta(&keys, out), "asq:{prod}:meta");
    names(asq__keys_workers(&keys, out), "asq:{prod}:workers");
    names(asq__keys_worker(&keys, "host-1.a", out), "asq:{prod}:worker:host-1.a");
    names(asq__keys_channel(&keys, "0123abcd", out), "asq:{prod}:c:0123abcd");
}
END_TEST

START_TEST(keys_of_a_partition_share_one_hash_tag)
{
    static const uint8_t batch[16] = { 0,    1,    0x0f, 0x10, 0x7f, 0x80, 0xab, 0xcd,
                                       0xef, 0xff, 5,    6,    7,    8,    9,    0xa };
    take("default");
    names(asq__keys_jobs(&keys, 7, out), "asq:{default.7}:jobs");
    names(asq__keys_lease(&keys, 7, out), "asq:{default.7}:lease");
    names(asq__keys_agents(&keys, 7, out), "asq:{default.7}:agents");
    names(asq__keys_attempts(&keys, 7, out), "asq:{default.7}:attempts");
    names(asq__keys_dead(&keys, 7, out), "asq:{default.7}:dead");
    names(asq__keys_result(&keys, 7, batch, out),
          "asq:{default.7}:r:00010f107f80abcdefff05060708090a");
}
END_TEST

START_TEST(partitions_are_numbers_without_padding)
{
    take("n");
    names(asq__keys_jobs(&keys, 0, out), "asq:{n.0}:jobs");
    names(asq__keys_jobs(&keys, 10, out), "asq:{n.10}:jobs");
    names(asq__keys_jobs(&keys, 127, out), "asq:{n.127}:jobs");
    names(asq__keys_jobs(&keys, UINT32_MAX, out), "asq:{n.4294967295}:jobs");
}
END_TEST

START_TEST(namespaces_are_checked)
{
    char ns[80];
    take("a");
    take("Team-A_1.x");
    take("0");
    take("-");
    memset(ns, 'n', sizeof ns);
    ns[ASQ__NS_MAX] = '\0';
    take(ns);
    ck_assert_str_eq(keys.ns, ns);
    ns[ASQ__NS_MAX] = 'n';
    ns[ASQ__NS_MAX + 1] = '\0';
    refused(ns);
    refused("");
    /* Names that would end the hash tag, match in a pattern, or hide in a log. */
    static const char *const bad[] = { "a b", "a}",  "{a",       "a:b", "a*",
                                       "a\n", "a/b", "\xc3\xa4", " a",  "?" };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        refused(bad[i]);
    ck_assert_int_eq(asq__keys_init(&keys, "", NULL, 0), ASQ_EINVAL);
}
END_TEST

START_TEST(the_longest_names_fit)
{
    char ns[ASQ__NS_MAX + 1], id[ASQ_MAX_ID + 1], expected[ASQ__KEY_MAX], result[ASQ__KEY_MAX];
    static const uint8_t batch[16];
    memset(ns, 'n', sizeof ns);
    ns[ASQ__NS_MAX] = '\0';
    memset(id, 'i', sizeof id);
    id[ASQ_MAX_ID] = '\0';
    take(ns);
    ck_assert_int_lt(snprintf(expected, sizeof expected, "asq:{%s}:worker:%s", ns, id),
                     ASQ__KEY_MAX);
    names(asq__keys_worker(&keys, id, out), expected);
    ck_assert_int_lt(snprintf(result, sizeof result, "asq:{%s.%u}:r:%032d", ns, UINT32_MAX, 0),
                     ASQ__KEY_MAX);
    names(asq__keys_result(&keys, UINT32_MAX, batch, out), result);
}
END_TEST

START_TEST(an_overlong_id_is_cut_and_never_written_past_the_end)
{
    char id[2000], *out = malloc(ASQ__KEY_MAX); /* of its exact size, for sanitizers */
    ck_assert_ptr_nonnull(out);
    memset(id, 'i', sizeof id);
    id[sizeof id - 1] = '\0';
    take("default");
    ck_assert_uint_eq(asq__keys_worker(&keys, id, out), ASQ__KEY_MAX - 1);
    ck_assert_uint_eq(strlen(out), ASQ__KEY_MAX - 1);
    free(out);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("keys");
    TCase *c = tcase_create("keys");
    tcase_add_test(c, keys_of_a_namespace);
    tcase_add_test(c, keys_of_a_partition_share_one_hash_tag);
    tcase_add_test(c, partitions_are_numbers_without_padding);
    tcase_add_test(c, namespaces_are_checked);
    tcase_add_test(c, the_longest_names_fit);
    tcase_add_test(c, an_overlong_id_is_cut_and_never_written_past_the_end);
    suite_add_tcase(s, c);
    return sup_suite_run(s);
}
