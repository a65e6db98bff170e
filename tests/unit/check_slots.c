/*
 * check_slots.c: slots of keys are those that Redis computes.
 */
#include "redis/slots.h"

#include <check.h>
#include <string.h>

#include "redis/keys.h"
#include "support/suite.h"

static uint16_t slot(const char *key)
{
    return asq__slot_of_key(key, strlen(key));
}

START_TEST(slots_are_as_cluster_keyslot_says)
{
    ck_assert_uint_eq(slot("123456789"), 0x31c3);
    ck_assert_uint_eq(slot(""), 0);
    ck_assert_uint_eq(slot("x"), 16287);
    ck_assert_uint_eq(slot("abc"), 7638);
    ck_assert_uint_eq(slot("somekey"), 11058);
    ck_assert_uint_eq(slot("asq:{default}:meta"), 5718);
    ck_assert_uint_eq(slot("asq:{default.127}:jobs"), 8502);
    ck_assert_uint_eq(slot("\xff\x80"), 4727);
}
END_TEST

START_TEST(a_slot_is_that_of_the_first_hash_tag)
{
    ck_assert_uint_eq(slot("foo{hash_tag}"), 2515);
    ck_assert_uint_eq(slot("{hash_tag}"), slot("hash_tag"));
    ck_assert_uint_eq(slot("a{hash_tag}b{other}"), slot("hash_tag"));
    ck_assert_uint_eq(slot("a{{x}}"), slot("{x"));
    ck_assert_uint_eq(slot("foo{}{bar}"), 8363); /* an empty tag is none */
    ck_assert_uint_eq(slot("foo{bar"), 15278);
    ck_assert_uint_eq(slot("}{bar}"), slot("bar"));
}
END_TEST

START_TEST(all_keys_of_a_partition_share_its_slot)
{
    static uint16_t slots[16384];
    struct asq__keys keys;
    char key[ASQ__KEY_MAX];
    ck_assert_int_eq(asq__keys_init(&keys, "default", NULL, 0), 0);
    asq__slots_of_partitions(&keys, 16384, slots);
    for (uint32_t i = 0; i < 16384; i++) {
        ck_assert_uint_eq(slots[i], asq__slot_of_key(key, asq__keys_jobs(&keys, i, key)));
        ck_assert_uint_eq(
            slots[i],
            asq__slot_of_key(key, asq__keys_result(&keys, i, (const uint8_t[16]){ 1 }, key)));
    }
    ck_assert_uint_eq(slots[127], 8502);
    ck_assert_uint_eq(asq__slot_of_namespace(&keys), 5718);
    ck_assert_uint_eq(asq__slot_of_namespace(&keys),
                      asq__slot_of_key(key, asq__keys_worker(&keys, "w{x}", key)));
}
END_TEST

int main(void)
{
    Suite *s = suite_create("slots");
    TCase *tc = tcase_create("all");
    tcase_add_test(tc, slots_are_as_cluster_keyslot_says);
    tcase_add_test(tc, a_slot_is_that_of_the_first_hash_tag);
    tcase_add_test(tc, all_keys_of_a_partition_share_its_slot);
    suite_add_tcase(s, tc);
    return sup_suite_run(s);
}
