/*
 * check_class.c: lookups by name: access rights, messages about unknown names, and descriptions.
 */
#include "class_tables.h"
#include "support/suite.h"
#include "value/unconst.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- looking names up ---- */

static int call(const struct asq__class *c, const char *name, bool inside)
{
    const struct asq__method *m = NULL;
    err[0] = '\0';
    int rc = asq__class_check_call(c, name, inside, &m, err, sizeof err);
    ck_assert((rc == 0) == (m != NULL));
    if (m)
        ck_assert_str_eq(m->def.name, name);
    return rc;
}

static int use(const struct asq__class *c, const char *name, bool for_set, bool inside)
{
    const struct asq__attribute *a = NULL;
    err[0] = '\0';
    int rc = asq__class_check_attribute(c, name, for_set, inside, &a, err, sizeof err);
    ck_assert((rc == 0) == (a != NULL));
    if (a)
        ck_assert_str_eq(a->def.name, name);
    return rc;
}

START_TEST(an_unknown_method_is_answered_with_those_there_are)
{
    const struct asq__class *c = added(&counter);
    ck_assert_int_eq(call(c, "add", false), 0);
    ck_assert_int_eq(call(c, "ad", false), ASQ_ENOMETHOD);
    ck_assert_str_eq(err,
                     "class Counter has no method 'ad'; did you mean 'add'? It has: add, reset");
    ck_assert_int_eq(call(c, "RESTE", false), ASQ_ENOMETHOD);
    ck_assert_str_eq(err, "class Counter has no method 'RESTE'; did you mean 'reset'? It has: add, "
                          "reset");
    ck_assert_int_eq(call(c, "elsewhere", false), ASQ_ENOMETHOD);
    ck_assert_str_eq(err, "class Counter has no method 'elsewhere'. It has: add, reset");
    ck_assert_int_eq(call(c, "", false), ASQ_ENOMETHOD);
    ck_assert_int_eq(call(c, "value", false), ASQ_ENOMETHOD);
    ck_assert_str_eq(err,
                     "class Counter has no method 'value': that is an attribute, to be read with "
                     "asq_get");
    ck_assert_int_eq(call(c, "a\n\x1b[2J\xff", false), ASQ_ENOMETHOD);
    ck_assert_ptr_nonnull(strstr(err, "'a??[2J?'"));
}
END_TEST

START_TEST(private_methods_are_for_the_agent_itself)
{
    const struct asq__class *c = added(&counter);
    ck_assert_int_eq(call(c, "_audit", true), 0);
    ck_assert_int_eq(call(c, "_audit", false), ASQ_EPRIVATE);
    ck_assert_ptr_nonnull(strstr(err, "'_audit'"));
    /* Outsiders do not learn which private methods exist. */
    ck_assert_int_eq(call(c, "_other", false), ASQ_EPRIVATE);
    ck_assert_int_eq(call(c, "audit", false), ASQ_ENOMETHOD);
    ck_assert_ptr_null(strstr(err, "_audit"));
    ck_assert_int_eq(call(c, "_audi", true), ASQ_ENOMETHOD);
    ck_assert_str_eq(err,
                     "class Counter has no method '_audi'; did you mean '_audit'? It has: add, "
                     "reset, _audit");
}
END_TEST

START_TEST(attributes_are_read_and_set_by_whom_they_are_meant_for)
{
    const struct asq__class *c = added(&counter);
    ck_assert_int_eq(use(c, "value", false, false), 0);
    ck_assert_int_eq(use(c, "value", true, false), 0);
    ck_assert_int_eq(use(c, "started", false, false), 0);
    ck_assert_int_eq(use(c, "started", true, false), ASQ_EPRIVATE);
    ck_assert_str_eq(err,
                     "attribute 'started' of class Counter cannot be set from outside: it is not "
                     "declared ASQ_WRITABLE");
    ck_assert_int_eq(use(c, "started", true, true), 0);
    for (int for_set = 0; for_set < 2; for_set++) {
        ck_assert_int_eq(use(c, "_secret", for_set, false), ASQ_EPRIVATE);
        ck_assert_int_eq(use(c, "_other", for_set, false), ASQ_EPRIVATE);
        ck_assert_int_eq(use(c, "_secret", for_set, true), 0);
        ck_assert_int_eq(use(c, "valu", for_set, false), ASQ_ENOATTR);
        ck_assert_str_eq(err,
                         "class Counter has no attribute 'valu'; did you mean 'value'? It has: "
                         "value, started");
        ck_assert_int_eq(use(c, "reset", for_set, false), ASQ_ENOATTR);
        ck_assert_ptr_nonnull(strstr(err, "that is a method"));
    }
}
END_TEST

START_TEST(struct_state_is_set_by_functions_only)
{
    static const asq_attribute attributes[] = { { "x", get, NULL, 0, NULL }, { .name = NULL } };
    static const asq_class cls = { ASQ_CLASS_INIT,   .name = "S",  .attributes = attributes,
                                   .create = create, .save = save, .load = load };
    const struct asq__class *c = added(&cls);
    ck_assert_int_eq(use(c, "x", false, false), 0);
    ck_assert_int_eq(use(c, "x", true, false), ASQ_EPRIVATE);
    ck_assert_int_eq(use(c, "x", true, true), ASQ_ENOTSUP);
    ck_assert_int_eq(call(c, "run", false), ASQ_ENOMETHOD);
    ck_assert_str_eq(err, "class S has no method 'run'; it has none");
}
END_TEST

START_TEST(an_unknown_class_is_answered_with_those_there_are)
{
    asq_class other = counter;
    ck_assert_int_eq(asq__registry_unknown(&registry, "Countr", err, sizeof err), ASQ_ENOCLASS);
    ck_assert_str_eq(err, "there is no class 'Countr'; no class is registered at all");
    added(&counter);
    other.name = "Echo";
    added(&other);
    ck_assert_int_eq(asq__registry_unknown(&registry, "Countr", err, sizeof err), ASQ_ENOCLASS);
    ck_assert_str_eq(err, "there is no class 'Countr'; did you mean 'Counter'? There are: Counter, "
                          "Echo");
    ck_assert_int_eq(asq__registry_unknown(&registry, "Countr", NULL, 0), ASQ_ENOCLASS);
}
END_TEST

START_TEST(long_lists_end_with_how_many_are_left)
{
    enum { MANY = 200 };
    static char names[MANY][ASQ_MAX_NAME + 1];
    static asq_method methods[MANY + 1];
    for (int i = 0; i < MANY; i++) {
        snprintf(names[i], sizeof names[i], "m_%0*d", i % 50 + 1, i);
        methods[i] = (asq_method){ names[i], method, NULL, 0, NULL };
    }
    asq_class cls = { ASQ_CLASS_INIT, .name = "Many", .methods = methods };
    const struct asq__class *c = added(&cls);
    char name[3 * ASQ_MAX_NAME];
    memset(name, 'q', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    const struct asq__method *m;
    ck_assert_int_eq(asq__class_check_call(c, name, false, &m, err, sizeof err), ASQ_ENOMETHOD);
    ck_assert_ptr_nonnull(strstr(err, "It has: m_0, m_01, m_002, "));
    char *rest = strstr(err, ", and ");
    unsigned left = 0;
    ck_assert(rest && sscanf(rest, ", and %u more", &left) == 1);
    /* Listed and omitted names add up to all of them. */
    unsigned listed = 1;
    for (char *p = strstr(err, "It has: "); p < rest; p++)
        listed += *p == ',';
    ck_assert_uint_eq(listed + left, MANY);
    /* No buffer is too small. Memory behind it stays as it was. */
    for (size_t room = 1; room < 400; room++) {
        char *small = malloc(room); /* of its exact size, for sanitizers */
        ck_assert_ptr_nonnull(small);
        ck_assert_int_eq(asq__class_check_call(c, "m_", false, &m, small, room), ASQ_ENOMETHOD);
        ck_assert_uint_lt(strlen(small), room);
        free(small);
    }
}
END_TEST

static void *look_up(void *arg)
{
    const struct asq__class *expected = arg;
    const struct asq__method *m;
    const struct asq__attribute *a;
    char why[300];
    intptr_t wrong = 0;
    for (int i = 0; i < 2000; i++) {
        const struct asq__class *c = asq__registry_find(&registry, "Counter");
        wrong += c != expected ||
                 asq__class_check_call(c, "reset", false, &m, why, sizeof why) != 0 ||
                 asq__class_check_call(c, "rest", false, &m, why, sizeof why) != ASQ_ENOMETHOD ||
                 asq__class_check_attribute(c, "value", true, false, &a, why, sizeof why) != 0 ||
                 asq__registry_unknown(&registry, "X", why, sizeof why) != ASQ_ENOCLASS;
    }
    return (void *) wrong;
}

START_TEST(threads_may_look_up_at_the_same_time)
{
    enum { THREADS = 4 };
    pthread_t threads[THREADS];
    const struct asq__class *c = added(&counter);
    for (int i = 0; i < THREADS; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, look_up, asq__unconst(c)), 0);
    for (int i = 0; i < THREADS; i++) {
        void *wrong;
        ck_assert_int_eq(pthread_join(threads[i], &wrong), 0);
        ck_assert_ptr_null(wrong);
    }
}
END_TEST

/* ---- descriptions ---- */

START_TEST(a_description_has_what_callers_may_use)
{
    asq_class bare = { ASQ_CLASS_INIT, .name = "Bare", .methods = counter_methods };
    asq_value *all = asq__registry_describe(&registry);
    char *json = NULL;
    ck_assert_uint_eq(asq_map_size(all), 0);
    asq_value_free(all);
    added(&counter);
    added(&bare);
    all = asq__registry_describe(&registry);
    ck_assert_uint_eq(asq_map_size(all), 2);
    ck_assert_int_eq(asq_to_json(asq_map_get(all, "Counter"), 0, &json), 0);
    ck_assert_str_eq(json,
                     "{\"doc\":\"Counts.\",\"pool\":null,\"methods\":["
                     "{\"name\":\"add\",\"params\":\"n\",\"flags\":[\"nonblocking\"],"
                     "\"doc\":\"Adds n.\"},"
                     "{\"name\":\"reset\",\"params\":null,\"flags\":[],\"doc\":null}],"
                     "\"attributes\":["
                     "{\"name\":\"value\",\"flags\":[\"writable\"],\"doc\":\"The sum so far.\"},"
                     "{\"name\":\"started\",\"flags\":[],\"doc\":null}]}");
    free(json);
    const asq_value *about = asq_map_get(all, "Bare");
    ck_assert_int_eq(asq_value_type(asq_map_get(about, "doc")), ASQ_NULL);
    ck_assert_uint_eq(asq_list_size(asq_map_get(about, "methods")), 2);
    ck_assert_int_eq(asq_value_type(asq_map_get(about, "attributes")), ASQ_LIST);
    ck_assert_uint_eq(asq_list_size(asq_map_get(about, "attributes")), 0);
    asq_value_free(all);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("class");
    TCase *c = tcase_create("lookups");
    tcase_add_checked_fixture(c, setup, teardown);
    tcase_add_test(c, an_unknown_method_is_answered_with_those_there_are);
    tcase_add_test(c, private_methods_are_for_the_agent_itself);
    tcase_add_test(c, attributes_are_read_and_set_by_whom_they_are_meant_for);
    tcase_add_test(c, struct_state_is_set_by_functions_only);
    tcase_add_test(c, an_unknown_class_is_answered_with_those_there_are);
    tcase_add_test(c, long_lists_end_with_how_many_are_left);
    tcase_add_test(c, threads_may_look_up_at_the_same_time);
    tcase_add_test(c, a_description_has_what_callers_may_use);
    suite_add_tcase(s, c);
    return sup_suite_run(s);
}
