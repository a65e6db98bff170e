/*
 * check_expire.c: agents that end by themselves, and many that are deleted at once, in all modes.
 * check_expire_faults.c has what happens when something dies.
 */
#include "modes.h"
#include "support/acl.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { TTL_MS = 1000, HOUR_MS = 3600000, MANY = 300 };

static int64_t wall_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (int64_t) t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* Waits, in a function of the library, because in local mode agents expire there. */
#define wait_for(condition)                                                                        \
    do {                                                                                           \
        int64_t end_ = sup_now_ms() + sup_limit_ms();                                              \
        while (!(condition)) {                                                                     \
            ck_assert_msg(sup_now_ms() < end_, "not in time: %s", #condition);                     \
            ok(asq_sleep(H, 5));                                                                   \
        }                                                                                          \
    } while (0)

static asq_agent *make(const char *class_name, const asq_create_options *options)
{
    asq_agent *a;
    asq_value *args =
        strcmp(class_name, "Counter") == 0 ? asq_pack("{s:i}", "value", 0) : asq_value_map();
    ok(asq_create_with(H, class_name, options, args, &a));
    ok(asq_ready(a, sup_limit_ms()));
    return a;
}

static asq_agent *idle_for(int64_t ttl_ms)
{
    asq_create_options options = ASQ_CREATE_OPTIONS_INIT;
    options.ttl_ms = ttl_ms;
    return make("Counter", &options);
}

static int add(asq_agent *a, int64_t *ret)
{
    asq_value *v;
    int rc = asq_call_wait(a, "add", &v, "[i]", 1);
    if (rc == 0) {
        ok(asq_value_get_int(v, ret));
        asq_value_free(v);
    }
    return rc;
}

/* Gives the agent a timer, which ends with it, and whose list is no use of the agent. */
static void mark(asq_agent *a)
{
    asq_timer timer = ASQ_TIMER_INIT;
    timer.every_ms = HOUR_MS;
    ok(asq_schedule(a, "mark", &timer, "add", "[i]", 1));
}

static bool is_there(asq_agent *a)
{
    asq_value *list;
    ok(asq_schedules(H, asq_agent_id(a), &list));
    size_t n = asq_list_size(list);
    asq_value_free(list);
    ck_assert_uint_le(n, 1); /* the expiry itself is not listed */
    return n;
}

START_TEST(an_agent_that_is_not_used_ends_with_its_timers)
{
    asq_agent *a = idle_for(TTL_MS), *again;
    int64_t n, used_ms = sup_now_ms();
    mark(a);
    ck_assert(is_there(a));
    wait_for(!is_there(a));
    ck_assert_int_ge(sup_now_ms() - used_ms, TTL_MS);
    ck_assert_code(add(a, &n), ASQ_ENOAGENT);
    ck_assert_code(asq_ready(a, sup_limit_ms()), ASQ_ENOAGENT);
    ok(asq_create(H, "Counter", asq_agent_id(a), &again, "{s:i}", "value", 7));
    ok(add(again, &n));
    ck_assert_int_eq(n, 8);
    asq_agent_free(again);
    asq_agent_free(a);
}
END_TEST

START_TEST(calls_keep_an_agent)
{
    asq_agent *a = NULL;
    int64_t n = 0, begun_ms = 0, used_ms = 0;
    do {
        /* A pause of this test, by whoever else needs the processors, may be too long. */
        if (!a || sup_now_ms() - used_ms >= TTL_MS) {
            asq_agent_free(a);
            a = idle_for(TTL_MS);
            mark(a);
            begun_ms = sup_now_ms();
            n = 0;
        }
        int64_t before = n, called_ms = sup_now_ms();
        int rc = add(a, &n);
        ck_assert_msg(rc == 0 || called_ms - used_ms >= TTL_MS, "it ended %lld ms after a call: %s",
                      (long long) (called_ms - used_ms), asq_errmsg(H));
        if (rc == 0)
            ck_assert_int_eq(n, before + 1);
        used_ms = rc == 0 ? called_ms : 0;
        ok(asq_sleep(H, 20));
    } while (sup_now_ms() - begun_ms < 4 * TTL_MS);
    wait_for(!is_there(a));
    ck_assert_int_ge(sup_now_ms() - used_ms, TTL_MS);
    asq_agent_free(a);
}
END_TEST

START_TEST(an_agent_ends_at_its_time_though_it_is_used)
{
    asq_create_options options = ASQ_CREATE_OPTIONS_INIT;
    options.expires_ms = wall_ms() + 1500;
    options.ttl_ms = HOUR_MS;
    asq_agent *a = make("Counter", &options);
    int64_t n, calls = 0, end = sup_now_ms() + sup_limit_ms();
    int rc;
    while ((rc = add(a, &n)) == 0) {
        ck_assert_int_eq(n, ++calls);
        ck_assert_int_lt(sup_now_ms(), end);
        ok(asq_sleep(H, 5));
    }
    ck_assert_code(rc, ASQ_ENOAGENT);
    ck_assert_int_ge(wall_ms(), options.expires_ms);
    asq_agent_free(a);
}
END_TEST

/* check_with_handle.c has the rest. */
START_TEST(an_agent_may_end_with_its_handle)
{
    asq_create_options options = ASQ_CREATE_OPTIONS_INIT;
    asq_agent *stays = idle_for(HOUR_MS), *a, *seen; /* in child mode it has the workers started */
    asq *other = modes_open();
    int64_t n;
    options.with_handle = true;
    int rc = asq_create_with(other, "Counter", &options, asq_pack("{s:i}", "value", 2), &a);
    ck_assert_msg(rc == 0, "%s", asq_errmsg(other));
    ck_assert_int_eq(call_int(a, "add", "[i]", 1), 3);
    ok(asq_attach(H, asq_agent_id(a), &seen));
    ck_assert_code(asq_ready(seen, sup_limit_ms()), mode == MODE_LOCAL ? ASQ_ENOAGENT : 0);
    asq_agent_free(a);
    asq_close(other);
    wait_for(asq_ready(seen, sup_limit_ms()) == ASQ_ENOAGENT);
    ok(add(stays, &n));
    asq_agent_free(seen);
    asq_agent_free(stays);
}
END_TEST

START_TEST(what_is_deleted_does_not_come_back_to_expire)
{
    asq_agent *a = idle_for(TTL_MS), *b;
    asq_create_options options = ASQ_CREATE_OPTIONS_INIT;
    int64_t n;
    ok(asq_delete(a, sup_limit_ms()));
    ok(asq_create(H, "Counter", asq_agent_id(a), &b, "{s:i}", "value", 0));
    mark(b);
    /* Another one made in the meantime is gone first, if they were to go. */
    options.ttl_ms = TTL_MS;
    options.or_get = true;
    options.id = asq_agent_id(b);
    asq_agent *same = make("Counter", &options), *last = idle_for(TTL_MS + 500);
    mark(last);
    wait_for(!is_there(last));
    ck_assert(is_there(b));
    ok(add(same, &n));
    ck_assert_int_eq(n, 1);
    asq_agent_free(a);
    asq_agent_free(b);
    asq_agent_free(same);
    asq_agent_free(last);
}
END_TEST

START_TEST(an_expiry_that_makes_no_sense_is_refused)
{
    asq_create_options options = ASQ_CREATE_OPTIONS_INIT;
    asq_agent *a;
    options.ttl_ms = 999;
    ck_assert_code(asq_create_with(H, "Counter", &options, NULL, &a), ASQ_EINVAL);
    ck_assert_ptr_nonnull(strstr(asq_errmsg(H), "ttl_ms is 999"));
    options.ttl_ms = -1;
    ck_assert_code(asq_create_with(H, "Counter", &options, NULL, &a), ASQ_EINVAL);
    options.ttl_ms = 0;
    options.expires_ms = -1;
    ck_assert_code(asq_create_with(H, "Counter", &options, asq_value_map(), &a), ASQ_EINVAL);
    options.expires_ms = INT64_MAX;
    ck_assert_code(asq_create_with(H, "Counter", &options, NULL, &a), ASQ_EINVAL);
    options.expires_ms = 0;
    options.size = 0;
    ck_assert_code(asq_create_with(H, "Counter", &options, NULL, &a), ASQ_EINVAL);
    options.size = sizeof options + 1;
    ck_assert_code(asq_create_with(H, "Counter", &options, NULL, &a), ASQ_EVERSION);
    ok(asq_create_with(H, "Counter", NULL, NULL, &a));
    ok(asq_delete(a, sup_limit_ms()));
    asq_agent_free(a);
}
END_TEST

/* ---- many deletions ---- */

struct deleted {
    int codes[MANY];
    size_t n;
    size_t stop_at; /* fn ends the function after so many, with 7 */
};

static int note(void *user, size_t index, asq_result *r, size_t done, size_t n)
{
    struct deleted *d = user;
    ck_assert_uint_lt(index, MANY);
    ck_assert_uint_eq(n, MANY);
    ck_assert_int_eq(d->codes[index], 1);
    d->codes[index] = asq_result_error(r)->code;
    ck_assert_uint_eq(done, ++d->n);
    return d->stop_at == done ? 7 : 0;
}

static struct deleted nothing(void)
{
    struct deleted d = { .n = 0 };
    for (size_t i = 0; i < MANY; i++)
        d.codes[i] = 1;
    return d;
}

/* Makes agents; some of the ids are of none, or come twice. */
static void make_many(asq_agent *agents[MANY], const char *ids[MANY])
{
    ok(asq_create_many(H, "Counter", MANY, NULL, asq_pack("{s:i}", "value", 0), agents));
    for (size_t i = 0; i < MANY; i++)
        ids[i] = asq_agent_id(agents[i]);
}

static void free_many(asq_agent *agents[MANY])
{
    for (size_t i = 0; i < MANY; i++)
        asq_agent_free(agents[i]);
}

START_TEST(many_are_deleted_and_each_failure_is_told)
{
    asq_agent *agents[MANY];
    const char *ids[MANY];
    struct deleted d = nothing();
    asq_delete_options options = ASQ_DELETE_OPTIONS_INIT;
    make_many(agents, ids);
    ids[3] = own("nobody");
    ids[200] = ids[5];
    options.limit = 7;
    options.fn = note;
    options.user = &d;
    ck_assert_int_eq(asq_delete_many(H, MANY, ids, &options), 2);
    ck_assert_uint_eq(d.n, MANY);
    for (size_t i = 0; i < MANY; i++)
        ck_assert_int_eq(d.codes[i], i == 3 || i == 200 ? ASQ_ENOAGENT : 0);
    ck_assert_code(asq_last_error(H)->code, ASQ_ENOAGENT);
    ck_assert_str_eq(asq_last_error(H)->agent_id, ids[3]);
    ok(asq_ready(agents[3], sup_limit_ms()));
    ok(asq_delete_many(H, 1, (const char *const[]){ asq_agent_id(agents[3]) }, NULL));
    ok(asq_delete_many(H, 0, NULL, NULL));
    for (size_t i = 1; i < MANY; i += 50)
        ck_assert_code(asq_call_wait(agents[i], "read", NULL, NULL), ASQ_ENOAGENT);
    free_many(agents);
}
END_TEST

START_TEST(an_invalid_id_deletes_nothing)
{
    asq_agent *a = counter(1);
    const char *ids[] = { asq_agent_id(a), "no id" };
    asq_delete_options options = ASQ_DELETE_OPTIONS_INIT;
    ck_assert_code(asq_delete_many(H, 2, ids, NULL), ASQ_EINVAL);
    ck_assert_ptr_nonnull(strstr(asq_errmsg(H), "id 2 of 2"));
    ids[1] = NULL;
    options.no_wait = true;
    ck_assert_code(asq_delete_many(H, 2, ids, &options), ASQ_EINVAL);
    options.size = 0;
    ck_assert_code(asq_delete_many(H, 1, ids, &options), ASQ_EINVAL);
    ck_assert_int_eq(call_int(a, "read", NULL), 1);
    asq_agent_free(a);
}
END_TEST

START_TEST(the_function_ends_the_deletions)
{
    asq_agent *agents[MANY];
    const char *ids[MANY];
    struct deleted d = nothing();
    asq_delete_options options = ASQ_DELETE_OPTIONS_INIT;
    make_many(agents, ids);
    options.limit = 10;
    options.fn = note;
    options.user = &d;
    d.stop_at = 20;
    ck_assert_int_eq(asq_delete_many(H, MANY, ids, &options), 7);
    ck_assert_uint_eq(d.n, 20);
    ck_assert_int_eq(call_int(agents[MANY - 1], "read", NULL), 0);
    options.fn = NULL;
    ck_assert_int_ge(asq_delete_many(H, MANY, ids, &options), 20);
    free_many(agents);
}
END_TEST

START_TEST(deletions_need_not_be_waited_for)
{
    asq_agent *agents[MANY];
    const char *ids[MANY];
    asq_delete_options options = ASQ_DELETE_OPTIONS_INIT;
    make_many(agents, ids);
    ids[0] = own("nobody"); /* its failure stops no other */
    options.no_wait = true;
    options.limit = 11;
    ok(asq_delete_many(H, MANY, ids, &options));
    for (size_t i = 1; i < MANY; i++) /* made later, so it runs later */
        ck_assert_code(asq_call_wait(agents[i], "read", NULL, NULL), ASQ_ENOAGENT);
    ok(asq_ready(agents[0], sup_limit_ms()));
    ck_assert_code(asq_flush(H, sup_limit_ms()), ASQ_ENOAGENT);
    ok(asq_delete(agents[0], sup_limit_ms()));
    free_many(agents);
}
END_TEST

/* ---- with a deployment ---- */

/* The rights of H do not suffice to look at agents, or to pause them. */
static asq *operator_new(void)
{
    return modes_open_url(sup_url_as(asq_url(H), "operator"));
}

static int64_t shown(asq *op, asq_agent *a, const char *key)
{
    asq_value *record;
    int rc = asq_show(op, asq_agent_id(a), &record);
    ck_assert_msg(rc == 0, "%s", asq_errmsg(op));
    int64_t n = asq_map_int(record, key);
    asq_value_free(record);
    return n;
}

START_TEST(the_expiry_is_shown)
{
    asq *op = operator_new();
    int64_t before = wall_ms();
    asq_agent *a = idle_for(HOUR_MS), *plain = counter(0);
    ok(asq_ready(plain, sup_limit_ms()));
    ck_assert_int_eq(shown(op, a, "ttl_ms"), HOUR_MS);
    ck_assert_int_ge(shown(op, a, "expires_ms"), before + HOUR_MS);
    ck_assert_int_le(shown(op, a, "expires_ms"), wall_ms() + HOUR_MS + HOUR_MS / 8);
    ck_assert_int_eq(shown(op, plain, "ttl_ms"), 0);
    ck_assert_int_eq(shown(op, plain, "expires_ms"), 0);
    asq_create_options options = ASQ_CREATE_OPTIONS_INIT;
    options.expires_ms = before + HOUR_MS;
    asq_agent *b = make("Counter", &options);
    ck_assert_int_eq(shown(op, b, "ttl_ms"), 0);
    ck_assert_int_eq(shown(op, b, "expires_ms"), before + HOUR_MS);
    ck_assert_int_eq(call_int(b, "add", "[i]", 3), 3); /* a new state keeps it */
    ck_assert_int_eq(shown(op, b, "expires_ms"), before + HOUR_MS);
    ok(asq_delete(a, sup_limit_ms()));
    ok(asq_delete(b, sup_limit_ms()));
    asq_agent_free(a);
    asq_agent_free(b);
    asq_agent_free(plain);
    asq_close(op);
}
END_TEST

START_TEST(an_agent_stays_while_a_call_of_it_runs)
{
    asq *op = operator_new();
    asq_create_options options = ASQ_CREATE_OPTIONS_INIT;
    char *begun = sup_path("begun"), *release = sup_path("release");
    asq_result *r;
    options.ttl_ms = TTL_MS;
    asq_agent *a = make("Echo", &options);
    ok(asq_call(a, "hold", &r, "[s, s]", begun, release));
    wait_for(exists(begun));
    int64_t due_ms = shown(op, a, "expires_ms");
    wait_for(wall_ms() > due_ms + 500); /* it is due, and the look at it waits behind the call */
    touch(release);
    ok(asq_result_wait(r, sup_limit_ms()));
    ck_assert_int_gt(shown(op, a, "expires_ms"), due_ms);
    asq_result_free(r);
    ok(asq_delete(a, sup_limit_ms()));
    asq_agent_free(a);
    free(begun);
    free(release);
    asq_close(op);
}
END_TEST

START_TEST(an_agent_stays_while_a_call_waits_for_its_turn)
{
    asq *op = operator_new();
    asq_agent *a = idle_for(TTL_MS);
    asq_result *r;
    int64_t n, due_ms = shown(op, a, "expires_ms");
    ck_assert_msg(asq_pause(op, "Counter") == 0, "%s", asq_errmsg(op));
    wait_for(wall_ms() > due_ms + 500);
    ok(asq_call(a, "add", &r, "[i]", 1)); /* behind the look, which waits for the same */
    ok(asq_flush(H, sup_limit_ms()));
    ok(asq_sleep(H, 200));
    ck_assert_msg(asq_resume(op, "Counter") == 0, "%s", asq_errmsg(op));
    ck_assert_msg(asq_result_int(r, &n) == 0, "%s", asq_errmsg(H));
    ck_assert_int_eq(n, 1);
    asq_result_free(r);
    asq_agent_free(a);
    asq_close(op);
}
END_TEST

static void add_all(TCase *t)
{
    tcase_add_test(t, an_agent_that_is_not_used_ends_with_its_timers);
    tcase_add_test(t, calls_keep_an_agent);
    tcase_add_test(t, an_agent_ends_at_its_time_though_it_is_used);
    tcase_add_test(t, an_agent_may_end_with_its_handle);
    tcase_add_test(t, what_is_deleted_does_not_come_back_to_expire);
    tcase_add_test(t, an_expiry_that_makes_no_sense_is_refused);
    tcase_add_test(t, many_are_deleted_and_each_failure_is_told);
    tcase_add_test(t, an_invalid_id_deletes_nothing);
    tcase_add_test(t, the_function_ends_the_deletions);
    tcase_add_test(t, deletions_need_not_be_waited_for);
}

static void add_distributed(TCase *t)
{
    tcase_add_test(t, the_expiry_is_shown);
    tcase_add_test(t, an_agent_stays_while_a_call_of_it_runs);
    tcase_add_test(t, an_agent_stays_while_a_call_waits_for_its_turn);
}

int main(void)
{
    return modes_main("expire", add_all, add_distributed);
}
