/*
 * check_booking.c: the saga of contrib/examples/booking.c books everything or nothing, at whichever
 * of its requests its worker dies.
 */
#include "contrib/examples/booking.h"
#include "logged.h"
#include "modes.h"
#include "support/file_lines.h"
#include "support/suite.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Places at a request where the worker dies. */
enum place {
    NOWHERE,
    RECORDED, /* before it, when the step before it has its record in Redis */
    SERVED    /* when the service has done its part, before the step has its record */
};

static const char *const services[] = { "flight", "hotel", "car", "payment" };
enum { SERVICES = 4, ALL_ASK = SERVICES, PAYMENT_FULL = 2 * SERVICES - 1 };

static char *desk, *requests, *plan, *arrived, *killed, *deaf;
static asq_agent *trip;

/* ---- the services, as the worker asks them ---- */

/* Waits to be killed, if this is the place; once for each plan. */
static void stop_at(enum place place)
{
    char *text = sup_read_file(plan);
    int at = 0, request = 0, n = sup_file_count(requests, "\n");

    sscanf(text, "%d %d", &at, &request);
    free(text);
    if (at != (int) place || request != n || exists(killed))
        return;
    touch(killed);
    text = sup_format("%d", (int) getpid());
    sup_file_add(arrived, text);
    free(text);
    for (;;)
        pause();
}

/* Notes the request, and asks the desk. A deaf service does its part, and never answers. */
static int ask(asq_ctx *ctx, const char *where, const char *service, const char *verb,
               const char *key, const char *who, char ret_reference[BOOKING_REFERENCE])
{
    char *line = sup_format("%s %s", verb, service);
    int rc;

    sup_file_add(requests, line);
    stop_at(RECORDED);
    rc = booking_desk(ctx, where, service, verb, key, who, ret_reference);
    stop_at(SERVED);
    if (sup_file_count(deaf, line))
        rc = asq_fail(ctx, BOOKING_EAWAY, "no answer");
    free(line);
    return rc;
}

/* ---- fixture ---- */

static void set_up(void)
{
    static const asq_class *const list[] = { &trip_class, NULL };
    asq_worker_options options = ASQ_WORKER_OPTIONS_INIT;

    logged_set_up();
    booking_ask = ask;
    desk = sup_path("desk");
    ck_assert_int_eq(mkdir(desk, 0700), 0);
    requests = sup_path("requests");
    plan = sup_path("plan");
    arrived = sup_path("arrived");
    killed = sup_path("killed");
    deaf = sup_path("deaf");
    logged_open();
    options.lease_time_ms = 1000;
    options.max_attempts = 100;
    logged_start_worker(NULL, &options, list);
}

/* Removes what a trip has left. */
static void clean(void)
{
    for (int i = 0; i < SERVICES; i++) {
        char *path = sup_format("%s/%s", desk, services[i]);
        remove(path);
        char *full = sup_format("%s.full", path);
        remove(full);
        free(full);
        free(path);
    }
    remove(requests);
    remove(plan);
    remove(arrived);
    remove(killed);
    remove(deaf);
}

static void tear_down(void)
{
    clean();
    rmdir(desk);
    free(desk);
    free(requests);
    free(plan);
    free(arrived);
    free(killed);
    free(deaf);
    logged_tear_down();
}

/* ---- what is done and expected ---- */

/* How often a service has noted this. */
static int noted(const char *service, const char *verb)
{
    char *path = sup_format("%s/%s", desk, service), *text = sup_format("%s ", verb);
    int n = sup_file_count(path, text);

    free(path);
    free(text);
    return n;
}

static int asked(const char *verb, const char *service)
{
    char *text = sup_format("%s %s\n", verb, service);
    int n = sup_file_count(requests, text);

    free(text);
    return n;
}

/* Whether Redis has the record of the step that was `request`-th. */
static bool is_recorded(const char *name)
{
    redisReply *keys = sup_redis_reply(redis, "KEYS asq:{default*}:s:*");
    bool found = false;

    for (size_t i = 0; i < keys->elements && !found; i++) {
        redisReply *r = sup_redis_reply(redis, "GET %s", keys->element[i]->str);
        found = r->type == REDIS_REPLY_STRING && memmem(r->str, r->len, name, strlen(name));
        freeReplyObject(r);
    }
    freeReplyObject(keys);
    return found;
}

/* Returns line n, from 0, without its end; the caller frees it. */
static char *request_at(int n)
{
    char *text = sup_read_file(requests), *line = text, *copy;

    while (n--)
        line = strchr(line, '\n') + 1;
    copy = strndup(line, strcspn(line, "\n"));
    free(text);
    return copy;
}

/* Waits until the worker has come to the place, and kills the process. */
static void kill_at(enum place place, int request)
{
    sup_wait_until(sup_file_count(arrived, "\n") == 1);
    if (place == RECORDED && request > 1) {
        char *before = request_at(request - 2);
        sup_wait_until(is_recorded(before));
        free(before);
    }
    char *pid = sup_read_file(arrived);
    ck_assert_int_eq(kill((pid_t) atoi(pid), SIGKILL), 0);
    free(pid);
}

/* Books a trip at services of which one may be full, while the worker dies at a request. The caller
 * frees the outcome. */
static asq_value *book(const char *full, enum place place, int request)
{
    asq_result *r;
    asq_value *v;

    clean();
    if (full) {
        char *path = sup_format("%s/%s.full", desk, full);
        touch(path);
        free(path);
    }
    if (place) {
        char *text = sup_format("%d %d", (int) place, request);
        sup_file_add(plan, text);
        free(text);
    }
    trip = agent_new("Trip", "[s]", desk);
    ok(asq_call(trip, "book", &r, "[s]", "Ada"));
    if (place)
        kill_at(place, request);
    asq_result_wait(r, sup_limit_ms());
    ck_assert_msg(asq_result_error(r)->code == 0, "%s", asq_result_error(r)->message);
    ok(asq_result_take(r, &v));
    asq_result_free(r);
    return v;
}

static const char *text_at(const asq_value *map, const char *key)
{
    const char *text = "";

    ok(asq_value_get_string(asq_map_get(map, key), &text, NULL));
    return text;
}

/* Checks outcome, state and services of a trip that `full` has ended; NULL: that is booked. */
static void expect_trip(asq_value *v, const char *full)
{
    const char *status = full ? "cancelled" : "booked";
    bool before = true;

    ck_assert_str_eq(text_at(v, "status"), status);
    if (full)
        ck_assert_str_eq(text_at(v, "by"), full);
    ck_assert_uint_eq(asq_map_size(asq_map_get(v, "references")), full ? 0 : SERVICES);
    ck_assert_uint_eq(asq_list_size(asq_map_get(v, "left")), 0);
    asq_value *state;
    ok(asq_get(trip, "status", &state));
    const char *text;
    ok(asq_value_get_string(state, &text, NULL));
    ck_assert_str_eq(text, status);
    asq_value_free(state);
    for (int i = 0; i < SERVICES; i++) {
        before &= !full || strcmp(services[i], full) != 0;
        ck_assert_int_eq(noted(services[i], "book"), before);
        ck_assert_int_eq(noted(services[i], "cancel"), full && before);
    }
    asq_value_free(v);
    ok(asq_delete(trip, sup_limit_ms()));
    asq_agent_free(trip);
}

/* ---- tests ---- */

START_TEST(a_trip_is_booked_in_whole_or_not_at_all)
{
    expect_trip(book(NULL, NOWHERE, 0), NULL);
    for (int i = 0; i < SERVICES; i++)
        expect_trip(book(services[i], NOWHERE, 0), services[i]);
}
END_TEST

/* A request that is made a second time has an effect once. One whose step is recorded is made
 * once. */
static void die_at(const char *full, int request)
{
    asq_value *v = book(full, RECORDED, request);
    char *twice = request_at(request - 1);

    for (int i = 0; i < 2 * SERVICES; i++) {
        const char *verb = i < SERVICES ? "book" : "cancel", *of = services[i % SERVICES];
        char *name = sup_format("%s %s", verb, of);
        ck_assert_int_le(asked(verb, of), strcmp(twice, name) == 0 ? 2 : 1);
        free(name);
    }
    free(twice);
    expect_trip(v, full);
    expect_trip(book(full, SERVED, request), full);
}

START_TEST(a_trip_is_booked_wherever_its_worker_dies)
{
    die_at(NULL, _i);
}
END_TEST

START_TEST(a_trip_is_cancelled_wherever_its_worker_dies)
{
    die_at("payment", _i);
}
END_TEST

START_TEST(a_booking_without_an_answer_is_cancelled_too)
{
    clean();
    trip = agent_new("Trip", "[s]", desk);
    ok(asq_ready(trip, sup_limit_ms()));
    sup_file_add(deaf, "book car");
    asq_value *v;
    ok(asq_call_wait(trip, "book", &v, "[s]", "Ada"));
    ck_assert_str_eq(text_at(v, "by"), "car");
    ck_assert_int_eq(asked("book", "car"), 3);
    ck_assert_int_eq(noted("car", "book"), 1);
    ck_assert_int_eq(noted("car", "cancel"), 1);
    ck_assert_int_eq(noted("flight", "cancel"), 1);
    ck_assert_int_eq(noted("payment", "book"), 0);
    asq_value_free(v);
    asq_agent_free(trip);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("booking");
    TCase *t = tcase_create("booking");

    if (!sup_redis_available())
        return sup_skip("no redis-server");
    tcase_set_timeout(t, 240);
    tcase_add_checked_fixture(t, set_up, tear_down);
    tcase_add_test(t, a_trip_is_booked_in_whole_or_not_at_all);
    tcase_add_loop_test(t, a_trip_is_booked_wherever_its_worker_dies, 1, ALL_ASK + 1);
    tcase_add_loop_test(t, a_trip_is_cancelled_wherever_its_worker_dies, 1, PAYMENT_FULL + 1);
    tcase_add_test(t, a_booking_without_an_answer_is_cancelled_too);
    suite_add_tcase(s, t);
    return sup_suite_run(s);
}
