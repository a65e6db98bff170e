/*
 * check_agents.c: agents live in the same way in every mode: creation and its failures, proxies,
 * deletion, clones, agents that are moved from a local handle to a distributed one, new versions of
 * a class.
 */
#include "modes.h"
#include "classes.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static asq_value *journal_args(int limit)
{
    return asq_pack("{s:i}", "limit", limit);
}

START_TEST(agents_get_ids_of_their_own)
{
    asq_agent *a = counter(1), *b = counter(2);

    ok(asq_ready(a, ASQ_FOREVER));
    ok(asq_ready(b, ASQ_FOREVER));
    ck_assert_str_ne(asq_agent_id(a), "");
    ck_assert_str_ne(asq_agent_id(a), asq_agent_id(b));
    ck_assert_str_eq(asq_agent_class(a), "Counter");
    ck_assert_ptr_eq(asq_agent_handle(a), H);
    ck_assert_int_eq(call_int(a, "read", NULL), 1);
    ck_assert_int_eq(call_int(b, "read", NULL), 2);
    ok(asq_ready(a, ASQ_FOREVER));
    asq_agent_free(a);
    asq_agent_free(b);
    asq_agent_free(NULL);
}
END_TEST

START_TEST(an_id_that_exists_is_an_error)
{
    const char *id = own("taken");
    asq_agent *a;

    ok(asq_create(H, "Counter", id, &a, "{s:i}", "value", 5));
    ck_assert_str_eq(asq_agent_id(a), id);
    ok(asq_ready(a, ASQ_FOREVER));
    ck_assert_code(create_code("Counter", id, asq_pack("{s:i}", "value", 6)), ASQ_EEXIST);
    ck_assert_contains(asq_errmsg(H), id);
    ck_assert_code(create_code("Echo", id, NULL), ASQ_EEXIST);
    ck_assert_int_eq(call_int(a, "read", NULL), 5);
    ck_assert_int_eq(call_int(a, "read", NULL), 5);
    asq_agent_free(a);
}
END_TEST

START_TEST(an_unknown_class_is_told_with_the_known_ones)
{
    ck_assert_code(create_code("Conuter", NULL, NULL), ASQ_ENOCLASS);
    ck_assert_contains(asq_errmsg(H), "Conuter");
    ck_assert_contains(asq_errmsg(H), "Counter");
    ck_assert_contains(asq_errmsg(H), "Journal");
    ck_assert_contains(asq_errmsg(H), "Relay");
}
END_TEST

START_TEST(a_creation_that_fails_is_told_by_ready_or_by_the_first_call)
{
    asq_agent *a;
    const char *id = own("failed");
    int rc;

    ck_assert_code(create_code("Journal", id, journal_args(-1)), ASQ_EUSER(1));
    ck_assert_contains(asq_errmsg(H), "a journal of -1 items cannot be");
    ck_assert_code(create_code("Journal", id, asq_pack("{s:s}", "limit", "x")), ASQ_EARGS);
    /* An owner that hands the partition on meanwhile does not tell the next one why. */
    for (int tries = 0; tries < 20; tries++) {
        rc = asq_createv(H, "Journal", id, journal_args(0), &a);
        if (rc == 0) {
            ck_assert_code(asq_call_wait(a, "push", NULL, "[i]", 1), ASQ_ENOAGENT);
            asq_agent_free(a);
        } else {
            ck_assert_code(rc, ASQ_EUSER(1));
        }
        if (strstr(asq_errmsg(H), "a journal of 0 items cannot be"))
            break;
    }
    ck_assert_contains(asq_errmsg(H), "a journal of 0 items cannot be");
    /* The id is free again. */
    ok(asq_createv(H, "Journal", id, journal_args(2), &a));
    ck_assert_int_eq(call_int(a, "push", "[i]", 1), 1);
    asq_agent_free(a);
}
END_TEST

START_TEST(an_agent_is_there_for_calls_before_it_is_ready)
{
    enum { N = 50 };
    asq_agent *agents[N];
    asq_result *results[N];

    for (int i = 0; i < N; i++) {
        agents[i] = counter(i);
        ok(asq_call(agents[i], "add", &results[i], "[i]", 1000));
        asq_agent_free(agents[i]);
    }
    for (int i = 0; i < N; i++)
        ck_assert_int_eq(result_int(results[i]), 1000 + i);
}
END_TEST

START_TEST(get_or_create_uses_what_is_there)
{
    const char *id = own("shared");
    asq_agent *a, *b, *c;
    int rc;

    ok(asq_get_or_create(H, "Counter", id, asq_pack("{s:i}", "value", 5), &a));
    ck_assert_int_eq(call_int(a, "add", "[i]", 1), 6);
    ok(asq_get_or_create(H, "Counter", id, asq_pack("{s:i}", "value", 50), &b));
    ok(asq_ready(b, ASQ_FOREVER));
    ck_assert_int_eq(call_int(b, "add", "[i]", 1), 7);
    ck_assert_int_eq(call_int(a, "read", NULL), 7);
    if ((rc = asq_get_or_create(H, "Echo", id, NULL, &c)) == 0) {
        rc = asq_ready(c, sup_limit_ms());
        asq_agent_free(c);
    }
    ck_assert_code(rc, ASQ_EEXIST);
    asq_agent_free(a);
    asq_agent_free(b);
}
END_TEST

START_TEST(attached_proxies_reach_the_agent_or_say_that_there_is_none)
{
    asq_agent *a = counter(4), *seen, *none;

    ok(asq_attach(H, asq_agent_id(a), &seen));
    ck_assert_int_eq(call_int(seen, "add", "[i]", 2), 6);
    ok(asq_ready(seen, ASQ_FOREVER));
    ck_assert_int_eq(call_int(a, "read", NULL), 6);
    asq_agent_free(a);
    ck_assert_int_eq(call_int(seen, "read", NULL), 6);
    asq_agent_free(seen);
    ok(asq_attach(H, own("none"), &none));
    ck_assert_str_eq(asq_agent_class(none), "");
    ck_assert_code(asq_ready(none, sup_limit_ms()), ASQ_ENOAGENT);
    ck_assert_code(asq_call_wait(none, "read", NULL, NULL), ASQ_ENOAGENT);
    ck_assert_contains(asq_errmsg(H), asq_agent_id(none));
    ck_assert_code(asq_delete(none, sup_limit_ms()), ASQ_ENOAGENT);
    ck_assert_code(asq_clone(none, NULL, &a), ASQ_ENOAGENT);
    asq_agent_free(none);
}
END_TEST

START_TEST(a_deleted_agent_is_gone_after_the_calls_before)
{
    const char *id = own("mortal");
    asq_agent *a, *again;
    asq_result *before[20];

    ok(asq_create(H, "Counter", id, &a, NULL));
    for (int i = 0; i < 20; i++)
        ok(asq_call(a, i % 2 ? "add" : "add_blocking", &before[i], "[i]", 1));
    ok(asq_delete(a, ASQ_FOREVER));
    for (int i = 0; i < 20; i++)
        ck_assert_int_eq(result_int(before[i]), i + 1);
    ck_assert_code(asq_call_wait(a, "read", NULL, NULL), ASQ_ENOAGENT);
    ck_assert_code(asq_delete(a, ASQ_FOREVER), ASQ_ENOAGENT);
    ok(asq_create(H, "Counter", id, &again, "{s:i}", "value", 77));
    ck_assert_int_eq(call_int(again, "read", NULL), 77);
    ok(asq_delete(again, ASQ_FOREVER));
    asq_agent_free(again);
    asq_agent_free(a);
}
END_TEST

START_TEST(a_deleted_agent_with_a_struct_is_gone_too)
{
    asq_agent *j = agent_new("Journal", "{s:i}", "limit", 3);

    ck_assert_int_eq(call_int(j, "push", "[i]", 1), 1);
    ok(asq_delete(j, ASQ_FOREVER));
    ck_assert_code(call_code(j, "push", "[i]", 1), ASQ_ENOAGENT);
    asq_agent_free(j);
}
END_TEST

START_TEST(a_clone_is_made_from_the_creation_arguments)
{
    asq_agent *a = counter(5), *j = agent_new("Journal", "{s:i}", "limit", 1), *b, *c, *k, *seen;
    const char *id = own("clone");

    ck_assert_int_eq(call_int(a, "add", "[i]", 1), 6);
    ok(asq_clone(a, NULL, &b));
    ck_assert_int_eq(call_int(b, "read", NULL), 5);
    ck_assert_str_ne(asq_agent_id(a), asq_agent_id(b));
    ck_assert_str_eq(asq_agent_class(b), "Counter");
    ck_assert_int_eq(call_int(b, "add", "[i]", 10), 15);
    ck_assert_int_eq(call_int(a, "read", NULL), 6);
    /* Clones by an attached proxy, with an id. */
    ok(asq_attach(H, asq_agent_id(b), &seen));
    ok(asq_clone(seen, id, &c));
    ck_assert_str_eq(asq_agent_id(c), id);
    ck_assert_int_eq(call_int(c, "read", NULL), 5);
    ck_assert_int_eq(call_int(j, "push", "[i]", 1), 1);
    ok(asq_clone(j, NULL, &k));
    ck_assert_int_eq(call_int(k, "push", "[i]", 1), 1);
    ck_assert_code(call_code(k, "push", "[i]", 1), ASQ_EUSER(2));
    /* The original was deleted. */
    ok(asq_delete(b, ASQ_FOREVER));
    asq_agent_free(c);
    ck_assert_code(asq_clone(b, NULL, &c), ASQ_ENOAGENT);
    ck_assert_str_eq(asq_last_error(H)->method, "describe");
    asq_agent_free(a);
    asq_agent_free(b);
    asq_agent_free(j);
    asq_agent_free(k);
    asq_agent_free(seen);
}
END_TEST

START_TEST(many_are_created_at_once)
{
    enum { N = 500 };
    static asq_agent *agents[N];
    asq_agent *named[2], *untouched[2] = { NULL, NULL };
    const char *ids[2] = { own("many"), own("many") }, *bad[2] = { own("many"), "no good" };

    ok(asq_create_many(H, "Counter", N, NULL, asq_pack("{s:i}", "value", 3), agents));
    for (int i = 0; i < N; i++)
        ok(asq_send(agents[i], "add", "[i]", i));
    for (int i = 0; i < N; i++) {
        ok(asq_ready(agents[i], ASQ_FOREVER));
        ck_assert_int_eq(call_int(agents[i], "read", NULL), 3 + i);
        asq_agent_free(agents[i]);
    }
    ok(asq_create_many(H, "Counter", 2, ids, NULL, named));
    ck_assert_str_eq(asq_agent_id(named[1]), ids[1]);
    ck_assert_int_eq(call_int(named[1], "add", "[i]", 1), 1);
    ck_assert_code(create_code("Counter", ids[0], NULL), ASQ_EEXIST);
    ck_assert_code(asq_create_many(H, "Counter", 2, bad, NULL, untouched), ASQ_EINVAL);
    ck_assert_ptr_null(untouched[0]);
    ck_assert_ptr_null(untouched[1]);
    asq_agent_free(named[0]);
    asq_agent_free(named[1]);
}
END_TEST

START_TEST(ids_may_be_any_printable_utf8)
{
    char *id = sup_format("Zähler/%s{tag}:*?", own("utf8"));
    asq_agent *a, *seen;
    asq_value *v;
    const char *cls;

    ok(asq_create(H, "Counter", id, &a, "{s:i}", "value", 9));
    ok(asq_attach(H, id, &seen));
    ok(asq_ready(a, ASQ_FOREVER));
    ck_assert_int_eq(call_int(seen, "read", NULL), 9);
    ck_assert_ptr_nonnull(v = asq_value_agent(a));
    ck_assert_int_eq(asq_value_get_agent(v, NULL, &cls), 0);
    ck_assert_str_eq(cls, "Counter");
    asq_value_free(v);
    asq_agent_free(seen);
    asq_agent_free(a);
    free(id);
}
END_TEST

START_TEST(a_local_agent_is_taken_to_a_distributed_handle)
{
    asq *local = modes_open_url("local:");
    asq_agent *a, *there, *j, *j2;
    asq_value *v;

    ck_assert_int_eq(asq_create(local, "Counter", own("moved"), &a, "{s:i}", "value", 5), 0);
    ck_assert_int_eq(asq_createv(local, "Journal", NULL, journal_args(2), &j), 0);
    ck_assert_int_eq(asq_call_wait(a, "add", NULL, "[i]", 1), 0);
    ok(asq_to_dist(a, H, &there));
    ok(asq_ready(there, ASQ_FOREVER));
    ck_assert_str_eq(asq_agent_id(there), asq_agent_id(a));
    ck_assert_str_eq(asq_agent_class(there), "Counter");
    ck_assert_ptr_eq(asq_agent_handle(there), H);
    ck_assert_int_eq(call_int(there, "read", NULL), 5);
    ck_assert_int_eq(call_int(there, "add", "[i]", 10), 15);
    ck_assert_int_eq(asq_call_wait(a, "read", &v, NULL), 0);
    ck_assert_value(v, "6");
    asq_value_free(v);
    ok(asq_to_dist(j, H, &j2));
    ck_assert_int_eq(call_int(j2, "push", "[i]", 1), 1);
    /* The id is taken now. */
    asq_agent_free(j2);
    if (asq_to_dist(a, H, &j2) == 0) {
        ck_assert_code(asq_ready(j2, sup_limit_ms()), ASQ_EEXIST);
        asq_agent_free(j2);
    }
    asq_agent_free(a);
    asq_agent_free(j);
    asq_close(local);
    /* The distributed agent stays when the local handle is closed. */
    ck_assert_int_eq(call_int(there, "read", NULL), 15);
    asq_agent_free(there);
}
END_TEST

START_TEST(handles_of_one_deployment_share_its_agents)
{
    asq *other = modes_open();
    asq_agent *a = counter(1), *seen;
    asq_value *v;

    ok(asq_ready(a, ASQ_FOREVER));
    ck_assert_int_eq(asq_attach(other, asq_agent_id(a), &seen), 0);
    ck_assert_int_eq(asq_call_wait(seen, "add", &v, "[i]", 1), 0);
    ck_assert_value(v, "2");
    asq_value_free(v);
    ck_assert_int_eq(asq_delete(seen, ASQ_FOREVER), 0);
    ck_assert_code(call_code(a, "read", NULL), ASQ_ENOAGENT);
    asq_agent_free(seen);
    asq_agent_free(a);
    asq_close(other);
}
END_TEST

/* ---- versions of a class: workers of their own, one after the other -------------------------- */

static int tally_read(asq_ctx *ctx, void *self, const asq_value *args, asq_value **ret)
{
    (void) self, (void) args;
    *ret = asq_value_copy(asq_ctx_state(ctx));
    return 0;
}

static int tally_upgrade(asq_ctx *ctx, uint32_t from_version, asq_value **state)
{
    int64_t n = asq_map_int(*state, "count");

    (void) ctx;
    if (from_version != 1)
        return ASQ_EVERSION;
    asq_map_remove(*state, "count");
    return asq_map_set_int(*state, "total", n * 100);
}

static const asq_method tally_methods[] = { { "read", tally_read, NULL, 0, NULL }, { 0 } };
static const asq_class tally_1 = { ASQ_CLASS_INIT, .name = "Tally", .methods = tally_methods,
                                   .version = 1 };
static const asq_class tally_2 = { ASQ_CLASS_INIT, .name = "Tally", .methods = tally_methods,
                                   .version = 2, .upgrade = tally_upgrade };
static const asq_class *const old_classes[] = { &tally_1, NULL };
static const asq_class *const new_classes[] = { &tally_2, NULL };

START_TEST(a_new_version_upgrades_the_state_and_an_older_one_refuses_it)
{
    asq_agent *a, *made;
    asq_value *v;
    pid_t worker;
    sup_redis *redis = sup_redis_start(NULL);
    asq *h = modes_open_url(sup_redis_url(redis));

    worker = modes_fork_worker(sup_redis_url(redis), NULL, old_classes);
    ck_assert_int_eq(asq_create(h, "Tally", "t", &a, "{s:i}", "count", 3), 0);
    ck_assert_int_eq(asq_call_wait(a, "read", &v, NULL), 0);
    ck_assert_value(v, "{\"count\":3}");
    asq_value_free(v);
    modes_stop_worker(worker);

    worker = modes_fork_worker(sup_redis_url(redis), NULL, new_classes);
    ck_assert_int_eq(asq_call_wait(a, "read", &v, NULL), 0);
    ck_assert_value(v, "{\"total\":300}");
    asq_value_free(v);
    ck_assert_int_eq(asq_create(h, "Tally", "new", &made, "{s:i}", "total", 1), 0);
    ck_assert_int_eq(asq_ready(made, ASQ_FOREVER), 0);
    modes_stop_worker(worker);

    worker = modes_fork_worker(sup_redis_url(redis), NULL, old_classes);
    ck_assert_code(asq_call_wait(made, "read", &v, NULL), ASQ_EVERSION);
    ck_assert_contains(asq_errmsg(h), "Tally");
    modes_stop_worker(worker);
    asq_agent_free(a);
    asq_agent_free(made);
    asq_close(h);
    sup_redis_free(redis);
}
END_TEST

static void add_tests(TCase *t)
{
    tcase_add_test(t, agents_get_ids_of_their_own);
    tcase_add_test(t, an_id_that_exists_is_an_error);
    tcase_add_test(t, an_unknown_class_is_told_with_the_known_ones);
    tcase_add_test(t, a_creation_that_fails_is_told_by_ready_or_by_the_first_call);
    tcase_add_test(t, an_agent_is_there_for_calls_before_it_is_ready);
    tcase_add_test(t, get_or_create_uses_what_is_there);
    tcase_add_test(t, attached_proxies_reach_the_agent_or_say_that_there_is_none);
    tcase_add_test(t, a_deleted_agent_is_gone_after_the_calls_before);
    tcase_add_test(t, a_deleted_agent_with_a_struct_is_gone_too);
    tcase_add_test(t, a_clone_is_made_from_the_creation_arguments);
    tcase_add_test(t, many_are_created_at_once);
    tcase_add_test(t, ids_may_be_any_printable_utf8);
}

static void add_distributed_tests(TCase *t)
{
    tcase_add_test(t, a_local_agent_is_taken_to_a_distributed_handle);
    tcase_add_test(t, handles_of_one_deployment_share_its_agents);
    tcase_add_test(t, a_new_version_upgrades_the_state_and_an_older_one_refuses_it);
}

int main(void)
{
    return modes_main("agents", add_tests, add_distributed_tests);
}
