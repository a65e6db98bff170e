/*
 * check_deaths.c: what Redis keeps of worker processes that have died: one entry for each, whoever
 * notes it; nothing of one that has left; heirs with the process whose leases they took; a bounded
 * number, whatever is written there. The scripts run here as survivors and supervisors run them.
 */
#include "modes.h"
#include "support/suite.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "redis/script.h"

#define KEYS(ID) "asq:{default}:worker-deaths", "asq:{default}:workers", "asq:{default}:worker:" ID
#define ONE      "1111111111111111"
#define OTHER    "2222222222222222"

static sup_redis *redis;

static void begin(void)
{
    redis = sup_redis_start(NULL);
    mode = MODE_INDEPENDENT;
    sup_redis_do(redis, "HSET asq:{default}:meta format 1 partitions 4");
    H = modes_open_url(sup_url_as(sup_redis_url(redis), "operator"));
}

static void end(void)
{
    asq_close(H);
    sup_redis_free(redis);
}

/* Writes the hash of worker one.0 as a process does. */
static void lives(const char *client, const char *beat)
{
    sup_redis_do(redis, "HSET asq:{default}:worker:one.0 client %s beat %s", client, beat);
    sup_redis_do(redis, "SADD asq:{default}:workers one.0");
}

static int64_t note(const char *client, const char *by, const char *how, const char *value,
                    const char *beat)
{
    return sup_redis_int(redis, "EVAL %s 3 %s %s %s one.0 %s host 7 %s %s %s %s",
                         asq__script_note_death, KEYS("one.0"), client, by, how, value, beat);
}

/* As a heir that has seen process ONE of worker one.0 last. */
static int64_t inherit(const char *heir, const char *n, const char *epoch)
{
    return sup_redis_int(redis, "EVAL %s 3 %s %s %s one.0 %s %s %s %s", asq__script_note_heir,
                         KEYS("one.0"), heir, n, epoch, ONE);
}

static asq_value *deaths(size_t n)
{
    asq_value *list = NULL;
    ok(asq_workers_dead(H, &list));
    ck_assert_uint_eq(asq_list_size(list), n);
    return list;
}

static const char *text_of(const asq_value *death, const char *key)
{
    const char *text = "";
    asq_value_get_string(asq_map_get(death, key), &text, NULL);
    return text;
}

/* Finds the death with this text; several may have come within a millisecond. */
static const asq_value *with(const asq_value *list, const char *key, const char *text)
{
    for (size_t i = 0; i < asq_list_size(list); i++)
        if (strcmp(text_of(asq_list_get(list, i), key), text) == 0)
            return asq_list_get(list, i);
    ck_abort_msg("no death with %s %s", key, text);
}

/* Checks how the only death is told. */
static void is_told(const char *how, const char *by)
{
    asq_value *list = deaths(1);
    const asq_value *death = asq_list_get(list, 0);
    ck_assert_str_eq(text_of(death, "id"), "one.0");
    ck_assert_str_eq(text_of(death, "how"), how);
    ck_assert_str_eq(text_of(death, "found_by"), by);
    ck_assert_str_eq(text_of(death, "host"), "host");
    ck_assert_int_eq(asq_map_int(death, "pid"), 7);
    ck_assert_int_gt(asq_map_int(death, "time_ms"), INT64_C(1700000000000));
    asq_value_free(list);
}

START_TEST(however_many_survivors_note_a_death_it_is_one)
{
    begin();
    lives(ONE, "5");
    ck_assert_int_eq(note(ONE, "two.0", "silent_ms", "10000", "5"), 1);
    ck_assert_int_eq(note(ONE, "three.0", "silent_ms", "12000", "5"), 0);
    ck_assert_int_eq(note(ONE, "two.0", "silent_ms", "13000", "5"), 0);
    is_told("no heartbeat for 10 s", "two.0");
    ck_assert_int_gt(sup_redis_int(redis, "PTTL asq:{default}:worker-deaths"), 23 * 3600000);
    /* The hash has expired, and the set still has it. */
    sup_redis_do(redis, "DEL asq:{default}:worker:one.0");
    ck_assert_int_eq(note(ONE, "three.0", "silent_ms", "14000", "5"), 0);
    is_told("no heartbeat for 10 s", "two.0");
    end();
}
END_TEST

START_TEST(a_supervisor_tells_how_it_ended_whoever_was_first)
{
    begin();
    lives(ONE, "5");
    ck_assert_int_eq(note(ONE, "two.0", "silent_ms", "10000", "5"), 1);
    ck_assert_int_eq(note(ONE, "one", "signal", "SIGSEGV", ""), 1);
    is_told("SIGSEGV", "one");
    ck_assert_int_eq(note(ONE, "one", "signal", "SIGSEGV", ""), 0); /* its answer was lost */
    ck_assert_int_eq(note(ONE, "two.0", "silent_ms", "10000", "5"), 0);
    is_told("SIGSEGV", "one");
    ck_assert_int_eq(note(OTHER, "one", "status", "3", ""), 1);
    asq_value *list = deaths(2);
    ck_assert_int_eq(asq_map_int(with(list, "how", "exit status 3"), "status"), 3);
    asq_value_free(list);
    /* The memory of a process that is dead may have anything. */
    ck_assert_int_eq(note("no number", "one", "signal", "SIGSEGV", ""), 0);
    asq_value_free(deaths(2));
    end();
}
END_TEST

START_TEST(who_lives_or_has_left_has_not_died)
{
    begin();
    lives(ONE, "6");
    ck_assert_int_eq(note(ONE, "two.0", "silent_ms", "10000", "5"), 0); /* a heartbeat came */
    lives(OTHER, "5");
    ck_assert_int_eq(note(ONE, "two.0", "silent_ms", "10000", "5"), 0); /* it was started again */
    sup_redis_do(redis, "DEL asq:{default}:worker:one.0 asq:{default}:workers");
    ck_assert_int_eq(note(ONE, "two.0", "silent_ms", "10000", "5"), 0); /* it has left */
    ck_assert_int_eq(inherit("two.0", "3", "1"), 0); /* without handing them back, perhaps */
    asq_value_free(deaths(0));
    end();
}
END_TEST

START_TEST(a_worker_that_was_only_missed_is_told_so_and_may_die_later)
{
    begin();
    lives(ONE, "5");
    ck_assert_int_eq(note(ONE, "two.0", "heard", "", "5"), 0); /* nothing was noted */
    ck_assert_int_eq(note(ONE, "two.0", "silent_ms", "10000", "5"), 1);
    ck_assert_int_eq(inherit("two.0", "2", "1"), 1);
    lives(ONE, "6");
    ck_assert_int_eq(note(ONE, "three.0", "heard", "", "6"), 1);
    ck_assert_int_eq(note(ONE, "two.0", "heard", "", "6"), 0);
    asq_value *list = deaths(1);
    ck_assert_int_ge(asq_map_int(asq_list_get(list, 0), "heard_ms"),
                     asq_map_int(asq_list_get(list, 0), "time_ms"));
    asq_value_free(list);
    ck_assert_int_eq(note(ONE, "two.0", "silent_ms", "11000", "6"), 1);
    is_told("no heartbeat for 11 s", "two.0");
    list = deaths(1);
    ck_assert_ptr_null(asq_map_get(asq_list_get(list, 0), "heard_ms"));
    ck_assert_uint_eq(asq_map_size(asq_map_get(asq_list_get(list, 0), "heirs")), 0);
    asq_value_free(list);
    end();
}
END_TEST

/* A survivor that was away itself may take a dead worker for alive. */
START_TEST(only_who_has_sent_a_heartbeat_since_its_death_was_noted_was_heard)
{
    begin();
    lives(ONE, "5");
    ck_assert_int_eq(note(ONE, "two.0", "silent_ms", "10000", "5"), 1);
    ck_assert_int_eq(note(ONE, "two.0", "heard", "", "5"), 0);
    lives(OTHER, "6"); /* the next process of the same id */
    ck_assert_int_eq(note(ONE, "two.0", "heard", "", "6"), 0);
    sup_redis_do(redis, "DEL asq:{default}:worker:one.0");
    ck_assert_int_eq(note(ONE, "two.0", "heard", "", "6"), 0);
    asq_value *list = deaths(1);
    ck_assert_ptr_null(asq_map_get(asq_list_get(list, 0), "heard_ms"));
    asq_value_free(list);
    end();
}
END_TEST

START_TEST(heirs_are_those_of_the_process_that_had_the_leases)
{
    char epoch[32];
    begin();
    lives(ONE, "5");
    ck_assert_int_eq(note(ONE, "one", "signal", "SIGKILL", ""), 1);
    ck_assert_int_eq(inherit("two.0", "3", "1"), 1);
    ck_assert_int_eq(inherit("three.0", "1", "1"), 1);
    ck_assert_int_eq(inherit("two.0", "2", "1"), 1);
    asq_value *list = deaths(1);
    const asq_value *death = asq_list_get(list, 0), *heirs = asq_map_get(death, "heirs");
    ck_assert_uint_eq(asq_map_size(heirs), 2);
    ck_assert_int_eq(asq_map_int(heirs, "two.0"), 5);
    ck_assert_int_eq(asq_map_int(heirs, "three.0"), 1);
    /* A lease that was claimed after that death was not the dead process's. */
    snprintf(epoch, sizeof epoch, "%lld", (long long) asq_map_int(death, "time_ms") + 60000);
    asq_value_free(list);
    ck_assert_int_eq(inherit("two.0", "4", epoch), 0);
    asq_value_free(deaths(1));
    /* Nobody was there when its last process died: the set has it, its hash has expired. */
    sup_redis_do(redis, "DEL asq:{default}:worker:one.0");
    ck_assert_int_eq(inherit("three.0", "4", epoch), 1);
    list = deaths(2);
    death = with(list, "how", "unknown");
    ck_assert_int_eq(asq_map_int(asq_map_get(death, "heirs"), "three.0"), 4);
    asq_value_free(list);
    end();
}
END_TEST

START_TEST(what_is_kept_is_bounded)
{
    char client[32], id[32];
    begin();
    /* One worker that dies again and again has the last ten, and others keep theirs. */
    for (int i = 0; i < 12; i++) {
        snprintf(client, sizeof client, "%016x", i + 1);
        ck_assert_int_eq(note(client, "one", "signal", "SIGSEGV", ""), 1);
    }
    asq_value_free(deaths(10));
    for (int i = 0; i < 120; i++) {
        snprintf(client, sizeof client, "%016x", i + 100);
        snprintf(id, sizeof id, "w%d.0", i);
        sup_redis_do(redis, "EVAL %s 3 %s %s %s %s %s host 7 w signal SIGKILL",
                     asq__script_note_death, KEYS("x"), id, client);
    }
    asq_value *list = deaths(100);
    ck_assert_str_eq(text_of(with(list, "id", "w119.0"), "how"), "SIGKILL");
    ck_assert_str_ne(text_of(asq_list_get(list, 99), "id"), "w0.0");
    asq_value_free(list);
    /* So are its heirs; the rest of them count together. */
    for (int i = 0; i < 70; i++) {
        snprintf(id, sizeof id, "heir%d", i);
        /* Half of them know its process. */
        sup_redis_do(redis, "EVAL %s 3 %s %s %s w119.0 %s 1 1 %s", asq__script_note_heir, KEYS("x"),
                     id, i % 2 ? client : "");
    }
    list = deaths(100);
    const asq_value *heirs = asq_map_get(with(list, "id", "w119.0"), "heirs");
    ck_assert_uint_eq(asq_map_size(heirs), 65);
    ck_assert_int_eq(asq_map_int(heirs, "(others)"), 6);
    asq_value_free(list);
    end();
}
END_TEST

/* A question of each of a thousand survivors must not grow with the deaths that are kept. */
START_TEST(who_is_not_the_first_has_few_fields_read)
{
    begin();
    lives(ONE, "5");
    ck_assert_int_eq(note(ONE, "two.0", "silent_ms", "10000", "5"), 1);
    ck_assert_int_eq(inherit("two.0", "3", "1"), 1);
    sup_redis_do(redis, "CONFIG RESETSTAT");
    ck_assert_int_eq(note(ONE, "three.0", "silent_ms", "10000", "5"), 0);
    ck_assert_int_eq(inherit("three.0", "3", "1"), 1);
    lives(ONE, "6");
    ck_assert_int_eq(note(ONE, "three.0", "heard", "", "6"), 1);
    ck_assert_int_eq(note(ONE, "two.0", "heard", "", "6"), 0);
    char *stats = sup_redis_str(redis, "INFO commandstats");
    ck_assert_ptr_nonnull(strstr(stats, "cmdstat_hmget"));
    ck_assert_ptr_null(strstr(stats, "cmdstat_hgetall"));
    free(stats);
    end();
}
END_TEST

START_TEST(a_day_later_it_is_forgotten)
{
    static const char key[] = "asq:{default}:worker-deaths";
    begin();
    ck_assert_int_eq(note(ONE, "one", "signal", "SIGSEGV", ""), 1);
    ck_assert_int_eq(inherit("two.0", "3", "1"), 1);
    asq_value *list = deaths(1);
    char time[32];
    snprintf(time, sizeof time, "%lld",
             (long long) asq_map_int(asq_list_get(list, 0), "time_ms") - 86400001);
    asq_value_free(list);
    sup_redis_do(redis, "HSET %s %s %s", key, ONE " time", time);
    ck_assert_int_eq(note(OTHER, "one", "signal", "SIGBUS", ""), 1);
    is_told("SIGBUS", "one");
    ck_assert_int_eq(sup_redis_int(redis, "HEXISTS %s %s", key, ONE " +two.0"), 0);
    end();
}
END_TEST

START_TEST(foreign_content_does_no_harm)
{
    static const char key[] = "asq:{default}:worker-deaths";
    begin();
    sup_redis_do(redis, "SET %s foreign", key);
    ck_assert_int_eq(note(ONE, "one", "signal", "SIGSEGV", ""), 1);
    char *aside = sup_redis_str(redis, "GET %s:aside", key);
    ck_assert_str_eq(aside, "foreign");
    free(aside);
    sup_redis_do(redis, "HSET %s %s x %s x %b x %s x %s %b", key, "nothing", "3333333333333333 ",
                 "3333333333333333 +\xff\0", (size_t) 19, "3333333333333333 time",
                 "4444444444444444 id", "\xff\x1b[2J", (size_t) 5);
    sup_redis_do(redis, "HSET %s %s soon %s x", key, "4444444444444444 time",
                 "4444444444444444 +two.0");
    is_told("SIGSEGV", "one");
    sup_redis_do(redis, "HSET %s %s 5 %s %b %s 12345", key, "4444444444444444 time",
                 "4444444444444444 signal", "\x1b[2J", (size_t) 4, "4444444444444444 pid");
    asq_value *list = deaths(2);
    ck_assert_str_eq(text_of(asq_list_get(list, 1), "id"), "?\x1b[2J");
    asq_value_free(list);
    /* More than is ever written is dropped as a whole. */
    sup_redis_do(redis, "EVAL %s 1 %s",
                 "for i = 1, 9000 do redis.call('HSET', KEYS[1], i, 'x') end", key);
    ck_assert_int_eq(note(OTHER, "one", "signal", "SIGBUS", ""), 1);
    is_told("SIGBUS", "one");
    end();
}
END_TEST

int main(void)
{
    Suite *s = suite_create("deaths");
    TCase *t = tcase_create("scripts");
    if (!sup_redis_available())
        return sup_skip("no redis-server");
    tcase_set_timeout(t, 120);
    tcase_add_test(t, however_many_survivors_note_a_death_it_is_one);
    tcase_add_test(t, a_supervisor_tells_how_it_ended_whoever_was_first);
    tcase_add_test(t, who_lives_or_has_left_has_not_died);
    tcase_add_test(t, a_worker_that_was_only_missed_is_told_so_and_may_die_later);
    tcase_add_test(t, only_who_has_sent_a_heartbeat_since_its_death_was_noted_was_heard);
    tcase_add_test(t, heirs_are_those_of_the_process_that_had_the_leases);
    tcase_add_test(t, what_is_kept_is_bounded);
    tcase_add_test(t, who_is_not_the_first_has_few_fields_read);
    tcase_add_test(t, a_day_later_it_is_forgotten);
    tcase_add_test(t, foreign_content_does_no_harm);
    suite_add_tcase(s, t);
    return sup_suite_run(s);
}
