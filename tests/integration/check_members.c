/*
 * check_members.c: the set of workers and their hashes, with dead workers, and with strange values
 * in them.
 */
#include "load.h"
#include "support/file_lines.h"
#include "support/placing.h"
#include "support/server_clock.h"
#include "support/suite.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static sup_redis *redis;
static asq *h;
static int64_t lease_ms;

static void set_up(void)
{
    redis = sup_redis_start(NULL);
    sup_redis_do(redis, "HSET asq:{default}:meta format 1 partitions 4");
    h = load_open(sup_url_as(sup_redis_url(redis), "operator"));
    lease_ms = 300;
}

static void tear_down(void)
{
    asq_close(h);
    sup_redis_free(redis);
}

static pid_t worker(const char *id)
{
    asq_worker_options options = ASQ_WORKER_OPTIONS_INIT;

    options.id = id;
    options.lease_time_ms = lease_ms;
    return load_worker(sup_redis_url(redis), &options);
}

static bool is_listed(const char *id)
{
    return sup_redis_int(redis, "SISMEMBER asq:{default}:workers %s", id) == 1;
}

static void check_serves(void)
{
    asq_agent *a;

    ck_assert_int_eq(asq_create(h, "Counter", NULL, &a, "{s:i}", "value", 0), 0);
    ck_assert_int_eq(asq_call_wait(a, "add", NULL, "[i]", 1), 0);
    asq_agent_free(a);
}

START_TEST(a_dead_worker_leaves_the_set)
{
    pid_t keeps = worker("keeps"), dies = worker("dies");

    sup_wait_until(is_listed("keeps.0") && is_listed("dies.0"));
    load_worker_kill(dies);
    sup_redis_do(redis, "SADD asq:{default}:workers ghost");
    sup_wait_until(!is_listed("dies.0") && !is_listed("ghost"));
    ck_assert(is_listed("keeps.0"));
    load_worker_stop(keeps);
}
END_TEST

/* A worker that was found dead, because it was stopped for long, is listed again as soon as it goes
 * on. */
START_TEST(a_worker_that_comes_back_is_listed_again)
{
    pid_t keeps = worker("keeps"), stands = worker("stands");

    sup_wait_until(is_listed("keeps.0") && is_listed("stands.0"));
    load_signal(stands, SIGSTOP);
    sup_wait_until(!is_listed("stands.0"));
    load_signal(stands, SIGCONT);
    sup_wait_until(is_listed("stands.0"));
    load_worker_stop(stands);
    check_serves();
    load_worker_stop(keeps);
}
END_TEST

/* The worker ends in order, or at once when it is signalled twice. No process waits until its
 * heartbeat stops. */
START_TEST(who_ends_leaves_the_set)
{
    for (int i = 0; i < 10; i++) {
        pid_t w = worker("w");

        sup_wait_until(is_listed("w.0"));
        load_signal(w, SIGTERM);
        if (i % 2)
            load_signal(w, SIGTERM);
        ck_assert_int_eq(load_worker_status(w), 0);
        ck_assert(!is_listed("w.0"));
        ck_assert_int_eq(sup_redis_int(redis, "EXISTS asq:{default}:worker:w.0"), 0);
    }
}
END_TEST

static bool says(const char *path, const char *text)
{
    return sup_file_count(path, text) > 0;
}

static void await_beats(const char *id, int n)
{
    for (int i = 0; i < n; i++) {
        long long beat = sup_redis_int(redis, "HGET asq:{default}:worker:%s beat", id);

        sup_wait_until(sup_redis_int(redis, "HGET asq:{default}:worker:%s beat", id) != beat);
    }
}

/* Logs of the other workers say that a host is gone. */
START_TEST(the_log_of_the_others_has_that_a_worker_is_gone)
{
    asq_worker_options options = ASQ_WORKER_OPTIONS_INIT;
    char *log = sup_path("keeps.log");
    pid_t keeps, stands;

    options.id = "keeps";
    options.lease_time_ms = 300;
    options.log = sup_log_to_file;
    options.log_user = log;
    options.log_level = ASQ_LOG_INFO;
    keeps = load_worker(sup_redis_url(redis), &options);
    stands = worker("stands");
    sup_wait_until(is_listed("stands.0"));
    await_beats("stands.0", 10); /* the other worker knows it by now */
    load_signal(stands, SIGSTOP);
    sup_wait_until(says(log, "worker stands.0 has sent no heartbeat for "));
    sup_wait_until(says(log, " of stands.0 (host "));
    ck_assert(says(log, "has taken over "));
    load_signal(stands, SIGCONT);
    sup_wait_until(is_listed("stands.0"));
    load_worker_stop(stands);
    check_serves();
    load_worker_stop(keeps);
    free(log);
}
END_TEST

START_TEST(who_never_was_there_is_not_stopped)
{
    pid_t w = worker("w");
    const char *const argv[] = {
        sup_program("as-ctl"), "-u", sup_redis_url(redis), "stop", "ghost", "--wait", NULL
    };
    char *out, *err;

    sup_wait_until(is_listed("w.0"));
    sup_redis_do(redis, "SADD asq:{default}:workers ghost");
    ck_assert_int_ne(sup_run(argv, &out, &err), 0);
    ck_assert_str_eq(out, "");
    ck_assert_msg(strstr(err, "ghost") != NULL, "%s", err);
    free(out);
    free(err);
    ck_assert_int_eq(asq_stop_worker(h, "nobody"), ASQ_ENOENT);
    ck_assert_int_eq(sup_redis_int(redis, "EXISTS asq:{default}:worker:ghost"), 0);
    load_worker_stop(w);
}
END_TEST

static bool shows(const asq_value *list, const char *id)
{
    for (size_t i = 0; i < asq_list_size(list); i++) {
        const char *text = "";

        asq_value_get_string(asq_map_get(asq_list_get(list, i), "id"), &text, NULL);
        if (strcmp(text, id) == 0)
            return true;
    }
    return false;
}

/* There are impossible members, keys of other types, and meaningless fields. The other members are
 * still listed, serve, and can be stopped. */
START_TEST(a_strange_member_does_not_hide_the_others)
{
    asq_value *list;
    pid_t w;

    sup_redis_do(redis, "SADD asq:{default}:workers string list odd classes %b", "\xff\xfe\0x",
                 (size_t) 4);
    sup_redis_do(redis, "SET asq:{default}:worker:string x");
    sup_redis_do(redis, "RPUSH asq:{default}:worker:list x");
    sup_redis_do(redis,
                 "HSET asq:{default}:worker:odd beat x lease_time_ms 9223372036854775807 pid %b",
                 "\xff", (size_t) 1);
    sup_redis_do(redis, "HSET asq:{default}:worker:classes beat 1 classes %s",
                 "{\"Counter\":7,\"x\":[]}");
    w = worker("w");
    check_serves();
    ck_assert_int_eq(asq_workers(h, &list), 0);
    ck_assert(shows(list, "w.0"));
    asq_value_free(list);
    ck_assert_int_eq(asq_classes(h, &list), 0);
    ck_assert_int_eq(asq_map_int(asq_map_get(list, "Counter"), "workers"), 1);
    asq_value_free(list);
    sup_wait_until(!is_listed("string") && !is_listed("list"));
    ck_assert_int_eq(asq_stop_worker(h, "w"), 0);
    ck_assert_int_eq(load_worker_status(w), 0);
}
END_TEST

static const char *const harms[] = {
    "HSET asq:{default}:worker:w.0 beat text",
    "HSET asq:{default}:worker:w.0 beat 9223372036854775807",
    "SET asq:{default}:worker:w.0 x",
    "SET asq:{default}:workers x",
    "DEL asq:{default}:workers asq:{default}:worker:w.0",
};

START_TEST(a_worker_heals_what_its_heartbeat_needs)
{
    pid_t w = worker("w");

    sup_wait_until(is_listed("w.0"));
    sup_redis_do(redis, harms[_i]);
    sup_wait_until(
        sup_redis_int(
            redis, "EVAL %s 2 asq:{default}:worker:w.0 asq:{default}:workers",
            "local b = redis.pcall('HGET', KEYS[1], 'beat') "
            "local s = redis.pcall('SISMEMBER', KEYS[2], 'w.0') "
            "return s == 1 and type(b) == 'string' and string.find(b, '^%d+$') and #b < 10 "
            "and 1 or 0") == 1);
    check_serves();
    load_worker_stop(w);
}
END_TEST

enum { PARTITIONS = 4 };

/* Reads the epochs of all leases: unchanged epochs show that no lease has had another owner
 * meanwhile. */
static void read_epochs(int64_t epochs[PARTITIONS])
{
    for (int p = 0; p < PARTITIONS; p++)
        epochs[p] = sup_redis_int(redis, "EVAL %s 1 asq:{default.%d}:lease",
                                  "return tonumber(redis.call('HGET', KEYS[1], 'epoch') or 0)", p);
}

static void check_epochs(const int64_t epochs[PARTITIONS])
{
    int64_t now[PARTITIONS];

    read_epochs(now);
    for (int p = 0; p < PARTITIONS; p++)
        ck_assert_int_eq(now[p], epochs[p]);
}

static int owned_by(const char *id)
{
    int n = 0;

    for (int p = 0; p < PARTITIONS; p++)
        n += (int) sup_redis_int(
            redis, "EVAL %s 1 asq:{default.%d}:lease %s",
            "return redis.call('HGET', KEYS[1], 'owner') == ARGV[1] and 1 or 0", p, id);
    return n;
}

/* A member whose heartbeat does not move gets no partitions, whatever capacity it claims. */
START_TEST(a_member_that_does_not_beat_gets_no_partitions)
{
    int64_t before[PARTITIONS];
    pid_t w = worker("w");

    sup_wait_until(owned_by("w.0") == PARTITIONS);
    read_epochs(before);
    sup_redis_do(redis,
                 "HSET asq:{default}:worker:ghost id ghost host h pid 1 client 0123456789abcdef "
                 "capacity 4096 lease_time_ms 300 stopping 0 beat 7");
    sup_redis_do(redis, "SADD asq:{default}:workers ghost");
    sup_redis_do(redis, "PUBLISH asq:{default}:c:workers x");
    sup_wait_until(!is_listed("ghost"));
    check_epochs(before);
    load_worker_stop(w);
}
END_TEST

/* Returns whether each partition is where it belongs with two workers of the same capacity. Before,
 * one may still be handed over. */
static bool are_placed(const char *a, const char *b)
{
    const struct asq__place_worker workers[] = { { a, 1, 0 }, { b, 1, 0 } };
    uint32_t owners[PARTITIONS];
    int of_a = 0;

    ck_assert_int_eq(sup_place(workers, 2, PARTITIONS, NULL, owners), 0);
    for (int p = 0; p < PARTITIONS; p++)
        of_a += owners[p] == 0;
    ck_assert_int_gt(of_a, 0);
    ck_assert_int_lt(of_a, PARTITIONS);
    return owned_by(a) == of_a && owned_by(b) == PARTITIONS - of_a;
}

/* Text written into a worker's hash stays until its next heartbeat, which an announcement on the
 * channel triggers at once; the text moves no partitions, and ends no process. */
START_TEST(what_is_written_over_a_heartbeat_moves_no_partitions)
{
    int64_t before[PARTITIONS];
    pid_t a, b;

    lease_ms = 6000; /* long enough that no worker is found dead on a busy machine */
    a = worker("a");
    b = worker("b");
    sup_wait_until(are_placed("a.0", "b.0"));
    read_epochs(before);
    for (int i = 0; i < 20; i++) {
        sup_redis_do(redis, "HSET asq:{default}:worker:a.0 capacity %d beat %s client %s host x",
                     i % 2 ? 4096 - i : 1 + i, i % 3 ? "nan" : "77", i % 2 ? "1.5" : "");
        sup_redis_do(redis, "PUBLISH asq:{default}:c:workers x");
        sup_wait_until(sup_redis_int(redis, "EVAL %s 1 asq:{default}:worker:a.0",
                                     "return #redis.call('HGET', KEYS[1], 'client')") == 16);
    }
    check_epochs(before);
    check_serves();
    load_worker_stop(a);
    load_worker_stop(b);
}
END_TEST

/* As after a time without Redis that was longer than the hashes of workers live: the first worker
 * that is back finds no hash of the other one, which lives. */
START_TEST(a_hash_that_has_expired_while_redis_was_away_is_no_death)
{
    int64_t before[PARTITIONS];
    pid_t first, other;

    lease_ms = 6000; /* the other one comes back within it */
    first = worker("first");
    other = worker("other");
    sup_wait_until(are_placed("first.0", "other.0"));
    await_beats("other.0", 2); /* the first one knows it by now */
    load_signal(other, SIGSTOP);
    load_signal(first, SIGSTOP);
    read_epochs(before);
    sup_sleep_ms(lease_ms * 2 / 3 + 100); /* its heartbeat counts as interrupted */
    sup_redis_do(redis, "DEL asq:{default}:worker:other.0");
    load_signal(first, SIGCONT);
    await_beats("first.0", 1);
    for (int i = 0; i < 3; i++) { /* looks at the other one */
        long long beat = sup_redis_int(redis, "HGET asq:{default}:worker:first.0 beat");

        sup_redis_do(redis, "PUBLISH asq:{default}:c:workers x");
        sup_wait_until(sup_redis_int(redis, "HGET asq:{default}:worker:first.0 beat") != beat);
    }
    check_epochs(before);
    load_signal(other, SIGCONT);
    sup_wait_until(sup_redis_int(redis, "EXISTS asq:{default}:worker:other.0") == 1);
    await_beats("first.0", 2);
    check_epochs(before);
    load_worker_stop(other);
    load_worker_stop(first);
}
END_TEST

/* A heartbeat as workers sent it before there was an index of heartbeats. */
static void beat_as_before(const char *id, int beat)
{
    sup_redis_do(redis,
                 "HSET asq:{default}:worker:%s id %s host h pid 1 client 0123456789abcdef "
                 "capacity 4 lease_time_ms 300 stopping 0 beat %d",
                 id, id, beat);
    sup_redis_do(redis, "PEXPIRE asq:{default}:worker:%s 3000", id);
    sup_redis_do(redis, "SADD asq:{default}:workers %s", id);
    char *text = sup_format("+%d %s", beat, id);
    sup_redis_do(redis, "PUBLISH asq:{default}:c:workers %s", text);
    free(text);
}

/* A rolling update: the worker gets partitions while it sends heartbeats, and loses them when it
 * does not. The second time the index has as many workers as the set, though not the same. */
START_TEST(a_worker_of_before_the_index_is_seen)
{
    pid_t w = worker("w");
    int beat = 0;

    sup_wait_until(owned_by("w.0") == PARTITIONS);
    while (owned_by("w.0") == PARTITIONS) {
        ck_assert_int_lt(beat, 2000);
        if (_i == 1)
            sup_redis_do(redis, "ZADD asq:{default}:beats %lld stale",
                         (long long) time(NULL) * 1000);
        beat_as_before("before", ++beat);
        sup_sleep_ms(20);
    }
    sup_wait_until(owned_by("w.0") == PARTITIONS);
    check_serves();
    load_worker_stop(w);
}
END_TEST

/* Has both workers look at each other. */
static void have_them_look(void)
{
    long long beat = sup_redis_int(redis, "HGET asq:{default}:worker:a.0 beat");

    sup_redis_do(redis, "PUBLISH asq:{default}:c:workers x");
    sup_wait_until(sup_redis_int(redis, "HGET asq:{default}:worker:a.0 beat") != beat);
}

static bool index_is_whole(void)
{
    return sup_redis_int(redis,
                         "EVAL %s 3 asq:{default}:workers asq:{default}:beats "
                         "asq:{default}:beats:changes",
                         "local n, at = redis.call('SCARD', KEYS[1]), redis.call('TIME')[1] * 1000 "
                         "for _, key in ipairs({KEYS[2], KEYS[3]}) do "
                         "if redis.call('TYPE', key).ok ~= 'zset' then return 0 end "
                         "if redis.call('ZCOUNT', key, 1000, at + 1000) ~= "
                         "redis.call('ZCARD', key) then return 0 end end "
                         "return redis.call('ZCARD', KEYS[2]) == n and 1 or 0") == 1;
}

static const char *const index_harms[] = {
    "DEL asq:{default}:beats",
    "DEL asq:{default}:beats:changes",
    "SET asq:{default}:beats x",
    "SET asq:{default}:beats:changes x",
    "ZADD asq:{default}:beats 1 b.0", /* silent for long, it seems */
    "ZADD asq:{default}:beats inf b.0",
    "ZREM asq:{default}:beats b.0",
    "ZADD asq:{default}:beats 1 ghost",
    "ZADD asq:{default}:beats:changes inf b.0",
    "ZADD asq:{default}:beats:changes -inf ghost",
};

START_TEST(a_harmed_index_moves_no_partitions_and_heals)
{
    int64_t before[PARTITIONS];
    pid_t a, b;

    lease_ms = 6000; /* long enough that no worker is found dead on a busy machine */
    a = worker("a");
    b = worker("b");
    sup_wait_until(are_placed("a.0", "b.0"));
    await_beats("b.0", 2);
    read_epochs(before);
    for (int i = 0; i < 5; i++) {
        load_signal(b, SIGSTOP); /* else it may mend its entry before the other one looks */
        sup_redis_do(redis, index_harms[_i]);
        have_them_look();
        have_them_look();
        load_signal(b, SIGCONT);
        await_beats("b.0", 1);
    }
    sup_wait_until(index_is_whole());
    check_epochs(before);
    load_worker_stop(a);
    load_worker_stop(b);
}
END_TEST

/* As after a failover to a replica that was behind: while Redis loses heartbeats of this worker,
 * the silence of another one proves nothing. */
START_TEST(nobody_is_dead_while_redis_loses_heartbeats)
{
    int64_t before[PARTITIONS], until;
    pid_t a, b;

    lease_ms = 2000;
    a = worker("a");
    b = worker("b");
    sup_wait_until(are_placed("a.0", "b.0"));
    await_beats("a.0", 2);
    read_epochs(before);
    load_signal(b, SIGSTOP);
    until = sup_now_ms() + 2 * lease_ms;
    while (sup_now_ms() < until) {
        sup_redis_do(redis, "HSET asq:{default}:worker:a.0 beat 0");
        sup_redis_do(redis, "PUBLISH asq:{default}:c:workers x");
        sup_sleep_ms(20);
    }
    check_epochs(before);
    load_signal(b, SIGCONT);
    load_worker_stop(b);
    load_worker_stop(a);
}
END_TEST

/* A worker is found dead in its time, and no other one, whatever the clock of Redis is set to. */
START_TEST(the_clock_of_redis_may_be_set)
{
    static const int64_t hours[] = { 1, 0, -1, 0 };
    int64_t before[PARTITIONS];
    pid_t a, b;

    lease_ms = 4000;
    a = worker("a");
    b = worker("b");
    sup_wait_until(are_placed("a.0", "b.0"));
    await_beats("b.0", 2);
    read_epochs(before);
    for (size_t i = 0; i < sizeof hours / sizeof *hours; i++) {
        sup_clock_set(hours[i] * 3600000);
        for (int k = 0; k < 5; k++)
            have_them_look();
        await_beats("b.0", 2);
        have_them_look();
    }
    check_epochs(before);
    load_signal(b, SIGSTOP);
    sup_clock_set(-3600000); /* its last heartbeat is in the future now */
    sup_wait_until(owned_by("a.0") == PARTITIONS);
    load_signal(b, SIGCONT);
    load_worker_stop(b);
    load_worker_stop(a);
}
END_TEST

static void set_up_clock(void)
{
    sup_clock_start();
    set_up();
}

static void tear_down_clock(void)
{
    tear_down();
    sup_clock_stop();
}

START_TEST(the_owner_of_a_lease_is_put_right)
{
    int64_t before[PARTITIONS];
    pid_t w = worker("w");

    sup_wait_until(owned_by("w.0") == PARTITIONS);
    read_epochs(before);
    for (int p = 0; p < PARTITIONS; p++)
        sup_redis_do(redis, "HSET asq:{default.%d}:lease %s %s", p, p % 2 ? "owner" : "epoch",
                     p % 2 ? "nobody" : "3");
    sup_wait_until(owned_by("w.0") == PARTITIONS);
    for (int p = 0; p < PARTITIONS; p++)
        sup_wait_until(sup_redis_int(redis, "EVAL %s 1 asq:{default.%d}:lease %lld",
                                     "return redis.call('HGET', KEYS[1], 'epoch') == ARGV[1] and 1 "
                                     "or 0",
                                     p, (long long) before[p]) == 1);
    check_epochs(before);
    load_worker_stop(w);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("members");
    TCase *t = tcase_create("members");

    if (!sup_redis_available())
        return sup_skip("no redis-server");
    tcase_add_checked_fixture(t, set_up, tear_down);
    tcase_add_test(t, a_dead_worker_leaves_the_set);
    tcase_add_test(t, a_worker_that_comes_back_is_listed_again);
    tcase_add_test(t, who_ends_leaves_the_set);
    tcase_add_test(t, the_log_of_the_others_has_that_a_worker_is_gone);
    tcase_add_test(t, who_never_was_there_is_not_stopped);
    tcase_add_test(t, a_strange_member_does_not_hide_the_others);
    tcase_add_test(t, a_member_that_does_not_beat_gets_no_partitions);
    tcase_add_test(t, what_is_written_over_a_heartbeat_moves_no_partitions);
    tcase_add_test(t, a_hash_that_has_expired_while_redis_was_away_is_no_death);
    tcase_add_test(t, the_owner_of_a_lease_is_put_right);
    tcase_add_loop_test(t, a_worker_of_before_the_index_is_seen, 0, 2);
    tcase_add_loop_test(t, a_harmed_index_moves_no_partitions_and_heals, 0,
                        sizeof index_harms / sizeof index_harms[0]);
    tcase_add_test(t, nobody_is_dead_while_redis_loses_heartbeats);
    tcase_add_loop_test(t, a_worker_heals_what_its_heartbeat_needs, 0,
                        sizeof harms / sizeof harms[0]);
    suite_add_tcase(s, t);
    t = tcase_create("clock");
    tcase_add_checked_fixture(t, set_up_clock, tear_down_clock);
    tcase_add_test(t, the_clock_of_redis_may_be_set);
    suite_add_tcase(s, t);
    return sup_suite_run(s);
}
