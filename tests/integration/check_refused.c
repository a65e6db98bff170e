/*
 * check_refused.c: a commit that Redis refuses because of one of its keys is refused as a whole. No
 * part of it takes effect, it waits or its call ends, and other partitions are not affected.
 */
#include "logged.h"
#include "modes.h"
#include "support/suite.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MIB = 1024 * 1024, PARTITIONS = 2 };

static const char *go;

/* ---- Tally: counts its runs in its state ----------------------------------------------------- */

static int tally_add(asq_ctx *ctx, void *self, const asq_value *args, asq_value **ret)
{
    int64_t n = asq_map_int(asq_ctx_state(ctx), "n") + 1;

    (void) self, (void) args;
    *ret = asq_value_int(n);
    return asq_map_set_int(asq_ctx_state(ctx), "n", n);
}

/* Returns a result of the given number of bytes. With `wait`, first waits for a file. */
static int tally_large(asq_ctx *ctx, void *self, const asq_value *args, asq_value **ret)
{
    int64_t size, wait, n = asq_map_int(asq_ctx_state(ctx), "n") + 1;
    int rc = asq_args(ctx, args, "[II]", &size, &wait);
    char *text;

    (void) self;
    if (rc < 0)
        return rc;
    if (wait)
        sup_wait_until(exists(go));
    text = malloc((size_t) size + 1);
    memset(text, 'x', (size_t) size);
    *ret = asq_value_stringn(text, (size_t) size);
    free(text);
    return asq_map_set_int(asq_ctx_state(ctx), "n", n);
}

static const asq_method tally_methods[] = { { "add", tally_add, "", 0, NULL },
                                            { "large", tally_large, "size, wait", 0, NULL },
                                            { NULL, NULL, NULL, 0, NULL } };
static const asq_class tally_class = { ASQ_CLASS_INIT, .name = "Tally", .methods = tally_methods };

/* ---- fixtures -------------------------------------------------------------------------------- */

static void set_up(void)
{
    static const asq_class *const list[] = { &tally_class, NULL };
    asq_worker_options options = ASQ_WORKER_OPTIONS_INIT;
    char *url;

    logged_set_up();
    go = logged_file("go");
    sup_redis_do(redis, "ACL SETUSER refused on >pw ~* &* +@all");
    options.partitions = PARTITIONS;
    options.capacity = 4;
    options.lease_time_ms = 2000;
    url = sup_format("unix:%s?user=refused&password=pw", sup_redis_socket(redis));
    logged_start_worker(url, &options, list);
    free(url);
    sup_wait_until(sup_redis_workers(redis, "default") > 0);
    logged_open();
}

static asq_agent *tally(const char *id)
{
    asq_agent *a;

    ok(asq_create(H, "Tally", id, &a, NULL));
    ok(asq_ready(a, sup_limit_ms()));
    return a;
}

/* Creates agents of two partitions; returns the first one's partition. */
static int two_partitions(asq_agent *agents[PARTITIONS])
{
    char id[16];
    int at[PARTITIONS] = { 0 }, n = 0;

    for (int i = 0; n < PARTITIONS; i++) {
        snprintf(id, sizeof id, "t%d", i);
        asq_agent *a = tally(id);
        at[n] = (int) sup_redis_int(redis, "HEXISTS asq:{default.1}:agents %s", id);
        if (n == 0 || at[n] != at[0])
            agents[n++] = a;
        else
            asq_agent_free(a);
    }
    return at[0];
}

/* Denies the worker the keys of this kind in this partition. All other keys stay allowed. */
static void deny(int partition, const char *kind)
{
    static const char *const kinds[] = { "lease", "jobs",  "agents", "attempts",
                                         "dead",  "epoch", "later*", "r:*" };
    char rules[800] = "resetkeys ~asq:{default}:*";

    snprintf(rules + strlen(rules), sizeof rules - strlen(rules), " ~asq:{default.%d}:*",
             !partition);
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (strcmp(kinds[i], kind) != 0)
            snprintf(rules + strlen(rules), sizeof rules - strlen(rules), " ~asq:{default.%d}:%s",
                     partition, kinds[i]);
    /* Each word becomes an argument. */
    const char *argv[40] = {
        "redis-cli", "-s", sup_redis_socket(redis), "ACL", "SETUSER", "refused"
    };
    int argc = 6;
    for (char *word = strtok(rules, " "); word; word = strtok(NULL, " "))
        argv[argc++] = word;
    char *out, *err;
    ck_assert_int_eq(sup_run(argv, &out, &err), 0);
    ck_assert_msg(strncmp(out, "OK", 2) == 0, "%s%s", out, err);
    free(out);
    free(err);
}

/* ---- tests ----------------------------------------------------------------------------------- */

static const char *const kinds[] = { "r:*", "agents" };

START_TEST(a_key_that_is_denied_holds_up_its_partition_and_nothing_takes_effect_by_half)
{
    asq_agent *agents[PARTITIONS];
    int partition = two_partitions(agents);
    asq_result *r;
    char seq[60];

    ck_assert_int_eq(call_int(agents[0], "add", NULL), 1);
    snprintf(seq, sizeof seq, "HGET asq:{default.%d}:lease seq", partition);
    int64_t before = sup_redis_int(redis, seq);
    deny(partition, kinds[_i]);
    ok(asq_call(agents[0], "add", &r, NULL));
    sup_wait_until(logged_count("Redis refuses its commit") > 0);
    ck_assert_int_eq(call_int(agents[1], "add", NULL), 1);
    ck_assert_code(asq_result_wait(r, 2500), ASQ_ETIMEOUT);
    ck_assert_int_eq(sup_redis_int(redis, seq), before);
    ck_assert_int_eq(logged_count("Redis refuses its commit"), 1);
    ck_assert_int_eq(logged_count("as-ctl acl prints"), 1);
    sup_redis_do(redis, "ACL SETUSER refused ~*");
    ck_assert_int_eq(result_int(r), 2);
    ck_assert_int_eq(call_int(agents[0], "add", NULL), 3);
    sup_wait_until(logged_count("taken again") == 1);
    ck_assert_int_eq(logged_count("is lost"), 0);
    asq_agent_free(agents[0]);
    asq_agent_free(agents[1]);
}
END_TEST

/* The limit is lowered after the first result of the batch is there. */
START_TEST(a_result_that_cannot_be_appended_fails_its_call_alone)
{
    asq_agent *a = tally("a");
    asq_result *first, *second;

    asq_cork(H);
    ok(asq_call(a, "large", &first, "[ii]", 700 * 1024, 0));
    ok(asq_call(a, "large", &second, "[ii]", 500 * 1024, 1));
    ok(asq_uncork(H));
    ok(asq_result_wait(first, sup_limit_ms()));
    sup_redis_do(redis, "CONFIG SET proto-max-bulk-len %d", MIB);
    touch(go);
    ck_assert_code(asq_result_wait(second, sup_limit_ms()), ASQ_ELIMIT);
    /* the call has failed, so its state is as before */
    ck_assert_int_eq(call_int(a, "add", NULL), 2);
    asq_result_free(first);
    asq_result_free(second);
    asq_agent_free(a);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("refused");
    TCase *t = tcase_create("independent");

    if (!sup_redis_available())
        return sup_skip("no redis-server");
    if (getenv("ASQ_TEST_ACL"))
        return sup_skip("the worker's user is one of this test's own");
    tcase_set_timeout(t, 120);
    tcase_add_checked_fixture(t, set_up, logged_tear_down);
    tcase_add_loop_test(
        t, a_key_that_is_denied_holds_up_its_partition_and_nothing_takes_effect_by_half, 0, 2);
    tcase_add_test(t, a_result_that_cannot_be_appended_fails_its_call_alone);
    suite_add_tcase(s, t);
    return sup_suite_run(s);
}
