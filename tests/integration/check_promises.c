/*
 * check_promises.c: a promise is settled once, by whoever comes first, and who waits for it gets
 * the outcome wherever and however often the method runs that has made it.
 */
#include "logged.h"
#include "modes.h"
#include "support/file_lines.h"
#include "support/suite.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { TEXT = 4000, LARGE = 300000, RESOLVERS = 5, SHORT_MS = 300 };

static const char *gate, *turn, *ids;
static asq_agent *asker, *peer;

/* ---- a class that asks ------------------------------------------------------------------------
 *
 * Its method does what a text says, one word after the other, and returns what the words gave:
 *
 *     p        makes a promise, and adds its id to a file
 *     w        waits for the last promise, and gives its value
 *     w:MS     the same by asq_ctx_wait, or gives "late"
 *     q:MS     waits for it by asq_result_wait, or gives "late"
 *     e        waits for it, and gives the code and the text of its rejection
 *     f        calls the other agent with the promise as an argument, and gives what that returns
 *     o        has the other agent resolve it to its id
 *     s:JSON   settles the last promise itself
 *     S:ID     settles the promise of this id to 1, and gives the code
 *     i        settles it in a step, and gives the code
 *     R        rejects the last promise
 *     a        adds to the agent's state
 *     g        waits until the gate is open
 *     k        kills the process, the first time
 *     E        fails with ASQ_EFAILED, the first time
 */

static bool is_first(void)
{
    if (exists(turn))
        return false;
    touch(turn);
    return true;
}

static void add(char *out, const char *text)
{
    size_t at = strlen(out);
    snprintf(out + at, TEXT - at, "%s ", text);
}

static void add_value(char *out, const asq_value *v)
{
    char *json = NULL;
    asq_to_json(v, 0, &json);
    add(out, strlen(json) < 100 ? json : "long");
    free(json);
}

static int give(int rc, asq_result *p, char *out)
{
    const asq_value *v;

    if (rc == ASQ_ETIMEOUT) {
        add(out, "late");
        return 0;
    }
    if (rc == 0)
        rc = asq_result_value(p, &v);
    if (rc == 0)
        add_value(out, v);
    return rc;
}

static int call_peer(asq_ctx *ctx, asq_result *p, const char *method, char *out)
{
    asq_agent *a;
    asq_value *v = NULL;
    const char *id;
    int rc = asq_value_get_string(asq_map_get(asq_ctx_state(ctx), "peer"), &id, NULL);
    if (rc == 0)
        rc = asq_attach(asq_ctx_handle(ctx), id, &a);
    if (rc < 0)
        return rc;
    rc = strcmp(method, "take") == 0 ? asq_call_wait(a, method, &v, "[r]", p)
                                     : asq_call_wait(a, method, &v, "[s]", asq_result_id(p));
    if (rc == 0)
        add_value(out, v);
    asq_value_free(v);
    asq_agent_free(a);
    return rc;
}

static int settle_in_step(asq_ctx *ctx, void *user, asq_value **ret)
{
    asq *h = asq_ctx_handle(ctx);

    *ret = asq_value_int(asq_promise_resolve(h, asq_result_id(user), asq_value_int(1)));
    return 0;
}

static int do_word(asq_ctx *ctx, const char *word, asq_result **p, char *out)
{
    asq *h = asq_ctx_handle(ctx);
    const char *rest = strlen(word) > 2 ? word + 2 : "";
    char text[300];
    asq_value *v = NULL;
    int rc = 0;

    switch (*word) {
    case 'p':
        asq_result_free(*p);
        *p = NULL;
        if ((rc = asq_promise_new(ctx, p)) == 0)
            sup_file_add(ids, asq_result_id(*p));
        return rc;
    case 'w': return give(asq_ctx_wait(ctx, *p, *rest ? atol(rest) : ASQ_FOREVER), *p, out);
    case 'q': return give(asq_result_wait(*p, atol(rest)), *p, out);
    case 'e':
        rc = asq_result_wait(*p, ASQ_FOREVER);
        snprintf(text, sizeof text, "%d:%s", rc, asq_result_error(*p)->message);
        add(out, text);
        return 0;
    case 'f': return call_peer(ctx, *p, "take", out);
    case 'o': return call_peer(ctx, *p, "settle", out);
    case 's':
        rc = asq_from_json(rest, strlen(rest), &v, NULL, 0);
        return rc < 0 ? rc : asq_promise_resolve(h, asq_result_id(*p), v);
    case 'S':
        snprintf(text, sizeof text, "%d", asq_promise_resolve(h, rest, asq_value_int(1)));
        add(out, text);
        return 0;
    case 'i':
        if ((rc = asq_step(ctx, "settle", settle_in_step, *p, &v)) == 0)
            add_value(out, v);
        asq_value_free(v);
        return rc;
    case 'R': return asq_promise_reject(h, asq_result_id(*p), ASQ_EUSER(7), "no");
    case 'a': return asq_map_set_int(asq_ctx_state(ctx), "n", 1);
    case 'g':
        while (!exists(gate))
            sup_sleep_ms(5);
        return 0;
    case 'k':
        if (is_first())
            kill(getpid(), SIGKILL);
        return 0;
    default: return is_first() ? ASQ_EFAILED : 0;
    }
}

static int asker_run(asq_ctx *ctx, void *self, const asq_value *args, asq_value **ret)
{
    const char *script;
    char *copy, *word, *rest, out[TEXT] = "";
    asq_result *p = NULL;
    int rc;

    (void) self;
    if ((rc = asq_args(ctx, args, "[s]", &script)) < 0)
        return rc;
    copy = strdup(script);
    for (word = strtok_r(copy, " ", &rest); word && rc == 0; word = strtok_r(NULL, " ", &rest))
        if ((rc = do_word(ctx, word, &p, out)) < 0)
            asq_fail(ctx, rc, "%s: %s", word, asq_errmsg(asq_ctx_handle(ctx)));
    free(copy);
    asq_result_free(p);
    if (rc == 0)
        *ret = asq_value_string(out);
    return rc;
}

static int asker_take(asq_ctx *ctx, void *self, const asq_value *args, asq_value **ret)
{
    (void) ctx, (void) self;
    *ret = asq_value_copy(asq_list_get(args, 0));
    return 0;
}

static int asker_settle(asq_ctx *ctx, void *self, const asq_value *args, asq_value **ret)
{
    const char *id;
    int rc = asq_args(ctx, args, "[s]", &id);

    (void) self;
    if (rc == 0)
        rc = asq_promise_resolve(asq_ctx_handle(ctx), id, asq_value_string(asq_ctx_agent_id(ctx)));
    *ret = asq_value_string("settled");
    return rc;
}

static int asker_meet(asq_ctx *ctx, void *self, const asq_value *args, asq_value **ret)
{
    const char *id;
    int rc = asq_args(ctx, args, "[s]", &id);

    (void) self, (void) ret;
    return rc < 0 ? rc : asq_map_set(asq_ctx_state(ctx), "peer", asq_value_string(id));
}

static const asq_retry twice = { ASQ_RETRY_INIT, .attempts = 2, .delay_ms = 1 };
static const asq_method methods[] = {
    { "run", asker_run, "script", 0, NULL }, { "retried", asker_run, "script", 0, NULL },
    { "take", asker_take, NULL, 0, NULL },   { "settle", asker_settle, NULL, 0, NULL },
    { "meet", asker_meet, NULL, 0, NULL },   { 0 }
};
static const asq_method_retry retries[] = { { "retried", &twice }, { NULL, NULL } };
static const asq_class asker_class = { ASQ_CLASS_INIT, .name = "Asker", .methods = methods,
                                       .retries = retries };

/* ---- fixtures -------------------------------------------------------------------------------- */

static void open_askers(void)
{
    asker = agent_new("Asker", NULL);
    peer = agent_new("Asker", NULL);
    ok(asq_ready(peer, sup_limit_ms()));
    ok(asq_call_wait(asker, "meet", NULL, "[s]", asq_agent_id(peer)));
    ok(asq_call_wait(peer, "meet", NULL, "[s]", asq_agent_id(asker)));
}

static void begin_with(const char *const config[], uint32_t max_expire_time_s)
{
    static const asq_class *const list[] = { &asker_class, NULL };
    asq_worker_options options = ASQ_WORKER_OPTIONS_INIT;

    mode = MODE_INDEPENDENT;
    logged_set_up_with(config);
    gate = logged_file("gate");
    turn = logged_file("turn");
    ids = logged_file("ids");
    logged_open();
    options.lease_time_ms = 1000;
    options.processes = 2;
    options.max_expire_time_s = max_expire_time_s;
    logged_start_worker(NULL, &options, list);
    open_askers();
}

static void set_up(void)
{
    begin_with(NULL, 0);
}

static void set_up_short(void)
{
    begin_with(NULL, 1);
}

static void set_up_durable(void)
{
    static const char *const config[] = { "appendonly yes", "appendfsync always", NULL };

    begin_with(config, 0);
}

static void tear_down(void)
{
    asq_agent_free(asker);
    asq_agent_free(peer);
    logged_tear_down();
}

static char *local_files[3];

static void set_up_local(void)
{
    mode = MODE_LOCAL;
    gate = local_files[0] = sup_path("gate");
    turn = local_files[1] = sup_path("turn");
    ids = local_files[2] = sup_path("ids");
    H = modes_open_url("local:");
    ok(asq_register(H, &asker_class));
    open_askers();
}

static void tear_down_local(void)
{
    asq_agent_free(asker);
    asq_agent_free(peer);
    asq_close(H);
    H = NULL;
    for (int i = 0; i < 3; i++) {
        remove(local_files[i]);
        free(local_files[i]);
    }
}

static asq_result *begin_by(const char *method, const char *script)
{
    asq_result *r;

    ok(asq_call(asker, method, &r, "[s]", script));
    return r;
}

static asq_result *begin(const char *script)
{
    return begin_by("run", script);
}

/* Waits for a call, which must give this; frees it. */
static void expect(asq_result *r, const char *text)
{
    const char *got;

    ok(asq_result_wait(r, sup_limit_ms()));
    ok(asq_result_string(r, &got));
    ck_assert_str_eq(got, text);
    asq_result_free(r);
}

static void expect_code(asq_result *r, int code, const char *text)
{
    asq_result_wait(r, sup_limit_ms());
    ck_assert_msg(asq_result_error(r)->code == code, "%d %s", asq_result_error(r)->code,
                  asq_result_error(r)->message);
    ck_assert_contains(asq_result_error(r)->message, text);
    asq_result_free(r);
}

/* Waits for the n-th line in the file of ids, and returns it; lives until the next call. */
static const char *id_of(int n)
{
    static char id[100];
    char *all, *line, *rest;

    sup_wait_until(asq_poll(H, 0) >= 0 && sup_file_count(ids, "\n") >= n);
    all = sup_read_file(ids);
    line = strtok_r(all, "\n", &rest);
    for (int i = 1; i < n; i++)
        line = strtok_r(NULL, "\n", &rest);
    snprintf(id, sizeof id, "%s", line);
    free(all);
    return id;
}

static asq_value *show(const char *id)
{
    asq_value *map;

    ok(asq_promise_show(H, id, &map));
    return map;
}

static void expect_state(const char *id, const char *state)
{
    asq_value *map = show(id);
    const char *is;

    ok(asq_value_get_string(asq_map_get(map, "state"), &is, NULL));
    ck_assert_str_eq(is, state);
    asq_value_free(map);
}

static int64_t keys(const char *pattern)
{
    redisReply *all = sup_redis_reply(redis, "KEYS %s", pattern);
    int64_t n = (int64_t) all->elements;

    freeReplyObject(all);
    return n;
}

/* ---- both modes ------------------------------------------------------------------------------ */

START_TEST(a_method_settles_what_it_or_another_agent_waits_for)
{
    char text[200];

    snprintf(text, sizeof text, "\"settled\" \"%s\" ", asq_agent_id(peer));
    expect(begin("p o w"), text);
    snprintf(text, sizeof text, "\"settled\" \"%s\" \"%s\" ", asq_agent_id(peer),
             asq_agent_id(peer));
    expect(begin("p o w:60000 f"), text);
}
END_TEST

START_TEST(a_promise_is_settled_once)
{
    expect_code(begin("p s:[1] s:[2]"), ASQ_ESTATE, "settled before, by another one");
    const char *id = id_of(1);
    expect_state(id, "resolved");
    ck_assert_code(asq_promise_resolve(H, id, asq_value_int(2)), ASQ_ESTATE);
    ck_assert_code(asq_promise_reject(H, id, 0, NULL), ASQ_ESTATE);
    asq_value *map = show(id);
    ck_assert_value(asq_map_get(map, "value"), "[1]");
    asq_value_free(map);
}
END_TEST

START_TEST(a_step_settles_no_promise)
{
    char text[100];

    snprintf(text, sizeof text, "%d 2 ", ASQ_ESTATE);
    expect(begin("p i s:2 w"), text);
}
END_TEST

START_TEST(a_rejection_is_a_failure_with_its_code)
{
    char text[100];

    snprintf(text, sizeof text, "%d:no ", ASQ_EUSER(7));
    expect(begin("p R e"), text);
    expect_state(id_of(1), "rejected");
    expect_code(begin("p R w"), ASQ_EUSER(7), "no");
    expect_code(begin("p R f"), ASQ_EINPUT, "no");
}
END_TEST

START_TEST(a_wait_has_a_limit)
{
    expect(begin("p w:10 q:10 s:1 w:60000"), "late late 1 ");
}
END_TEST

START_TEST(a_program_gets_the_outcome_by_the_id)
{
    asq_result *r;
    const asq_value *v;

    expect(begin("p s:{\"a\":1}"), "");
    ok(asq_result_attach(H, id_of(1), &r));
    ok(asq_result_wait(r, sup_limit_ms()));
    ok(asq_result_value(r, &v));
    ck_assert_value(v, "{\"a\":1}");
    ck_assert_str_eq(asq_result_id(r), id_of(1));
    ok(asq_result_cancel(r)); /* it is completed */
    asq_result_free(r);
}
END_TEST

START_TEST(what_is_no_open_promise_cannot_be_settled)
{
    asq_value *map;
    asq_result *r = begin("p s:1");
    char other[100];

    ck_assert_code(asq_promise_resolve(H, asq_result_id(r), asq_value_null()), ASQ_EINVAL);
    ck_assert_contains(asq_errmsg(H), "is the id of a call");
    ck_assert_code(asq_promise_resolve(H, "nonsense", asq_value_null()), ASQ_EINVAL);
    ck_assert_code(asq_promise_show(H, "0-0-promise", &map), ASQ_EINVAL);
    expect(r, "");
    snprintf(other, sizeof other, "%s", id_of(1));
    char *digit = strchr(other, '-') + 1;
    *digit = *digit == '0' ? '1' : '0';
    ck_assert_code(asq_promise_resolve(H, other, asq_value_null()), ASQ_EEXPIRED);
    ck_assert_contains(asq_errmsg(H), other);
    ck_assert_code(asq_promise_show(H, other, &map), ASQ_EEXPIRED);
    ok(asq_result_attach(H, other, &r));
    expect_code(r, ASQ_EEXPIRED, "");
    ck_assert_code(asq_promise_reject(H, id_of(1), 7, "no"), ASQ_EINVAL);
    ck_assert_code(asq_promise_reject(H, id_of(1), 0, "\xff"), ASQ_EINVAL);
}
END_TEST

START_TEST(a_failed_run_leaves_its_promise_and_the_next_makes_another)
{
    char first[100];

    expect(begin_by("retried", "p E s:2 w"), "2 ");
    snprintf(first, sizeof first, "%s", id_of(1));
    ck_assert_str_ne(first, id_of(2));
    expect_state(first, "open");
    expect_state(id_of(2), "resolved");
}
END_TEST

/* ---- local mode ------------------------------------------------------------------------------ */

START_TEST(local_mode_tells_what_would_never_end)
{
    expect_code(begin("p w"), ASQ_ESTATE, "would never end");
    expect_code(begin("p f"), ASQ_EINPUT, "not settled yet");
}
END_TEST

START_TEST(local_mode_completes_what_was_attached_before)
{
    asq_result *r;
    int64_t n = 0;

    expect(begin("p"), "");
    ok(asq_result_attach(H, id_of(1), &r));
    ck_assert(!asq_result_done(r));
    ck_assert_code(asq_result_cancel(r), ASQ_EINVAL);
    ok(asq_promise_resolve(H, id_of(1), asq_value_int(5)));
    ok(asq_promise_resolve(H, id_of(1), asq_value_int(5))); /* the same attempt */
    ok(asq_result_int(r, &n));
    ck_assert_int_eq(n, 5);
    asq_result_free(r);
    expect(begin("p"), "");
    ok(asq_result_attach(H, id_of(2), &r));
    asq_close(H);
    ck_assert_int_eq(asq_result_error(r)->code, ASQ_ECLOSED);
    asq_result_free(r);
    H = modes_open_url("local:");
}
END_TEST

/* ---- with workers ---------------------------------------------------------------------------- */

START_TEST(a_method_waits_for_a_program)
{
    asq_result *r = begin("p w w:60000 f");

    expect_state(id_of(1), "open");
    ok(asq_promise_resolve(H, id_of(1), asq_value_string("yes")));
    expect(r, "\"yes\" \"yes\" \"yes\" ");
    r = begin("p e");
    ok(asq_promise_reject(H, id_of(2), 0, "not today"));
    expect(r, "-51:not today ");
    sup_wait_until(keys("asq:{default*}:s:*") == 0);
    ck_assert_int_eq(keys("asq:{default*}:attempts"), 0);
    ck_assert_int_eq(
        sup_redis_int(redis, "PTTL asq:{default.%d}:o:%s", atoi(id_of(1)), id_of(1)) > 0, 1);
    ck_assert_int_eq(keys("asq:{default*}:o:*"), 2);
}
END_TEST

START_TEST(all_who_wait_are_told)
{
    asq_result *r = begin("p f"), *theirs[3];
    asq *others[3];
    int64_t n = 0;

    for (int i = 0; i < 3; i++) {
        others[i] = modes_open();
        ok(asq_result_attach(others[i], id_of(1), &theirs[i]));
        ck_assert_int_eq(asq_result_wait(theirs[i], 50), ASQ_ETIMEOUT);
        ck_assert_contains(asq_errmsg(others[i]), "is not settled after");
    }
    ok(asq_promise_resolve(H, id_of(1), asq_value_int(9)));
    expect(r, "9 ");
    for (int i = 0; i < 3; i++) {
        ck_assert_int_eq(asq_result_wait(theirs[i], sup_limit_ms()), 0);
        ck_assert_int_eq(asq_result_int(theirs[i], &n), 0);
        ck_assert_int_eq(n, 9);
        asq_result_free(theirs[i]);
        asq_close(others[i]);
    }
}
END_TEST

START_TEST(a_large_value_comes_too)
{
    char *text = malloc(LARGE);
    asq_result *r = begin("p w"), *attached;
    const char *got;

    memset(text, 'x', LARGE);
    ok(asq_promise_resolve(H, id_of(1), asq_value_stringn(text, LARGE)));
    expect(r, "long ");
    ok(asq_result_attach(H, id_of(1), &attached));
    ok(asq_result_wait(attached, sup_limit_ms()));
    ok(asq_result_string(attached, &got));
    ck_assert(strlen(got) == LARGE && memcmp(got, text, LARGE) == 0);
    asq_result_free(attached);
    free(text);
}
END_TEST

/* The worker dies where the text has k. */
static const char *const deaths[] = {
    "k p w", "p k w", "p f k w", "p w k", "p w:600000 k p w", "p k f", "a p k w:600000"
};

START_TEST(another_worker_waits_on_for_the_same_promise)
{
    const char *script = deaths[_i];
    int promises = sup_count(script, "p");
    asq_result *r = begin(script);
    char first[100];

    snprintf(first, sizeof first, "%s", id_of(1));
    if (*script != 'k' && strchr(script, 'k') < strpbrk(script, "wf"))
        id_of(2); /* it runs again */
    ok(asq_promise_resolve(H, first, asq_value_int(1)));
    for (int n = 2; promises > 1; n++) { /* of the second run: the first again, and the last */
        if (strcmp(id_of(n), first) == 0)
            continue;
        ok(asq_promise_resolve(H, id_of(n), asq_value_int(1)));
        break;
    }
    ok(asq_result_wait(r, sup_limit_ms()));
    ck_assert_msg(asq_result_error(r)->code == 0, "%s", asq_result_error(r)->message);
    asq_result_free(r);
    ck_assert_int_eq(sup_file_count(ids, first), *script == 'k' ? 1 : 2);
}
END_TEST

START_TEST(what_is_settled_while_nobody_runs_the_call_is_there)
{
    asq_result *r = begin("p k w");

    ok(asq_promise_resolve(H, id_of(1), asq_value_int(3))); /* about when the worker dies */
    expect(r, "3 ");
}
END_TEST

/* The first run's wait was over: the second must take the same path. */
START_TEST(a_wait_that_was_over_stays_over)
{
    asq_result *r = begin("p w:50 p k w:60000");

    ok(asq_promise_resolve(H, id_of(2), asq_value_int(2)));
    char first[100];
    snprintf(first, sizeof first, "%s", id_of(1));
    ok(asq_promise_resolve(H, first, asq_value_int(1)));
    expect(r, "late 2 ");
}
END_TEST

START_TEST(a_method_that_settles_and_dies_settles_once)
{
    expect(begin("p s:1 k w"), "1 ");
    char first[100];
    snprintf(first, sizeof first, "%s", id_of(1));
    ck_assert_str_eq(id_of(2), first);
}
END_TEST

START_TEST(one_of_many_resolvers_wins)
{
    char *url = strdup(sup_url_as(sup_redis_url(redis), "operator")),
         *ctl = strdup(sup_program("as-ctl"));

    for (int round = 1; round <= 2; round++) {
        asq_result *r = begin("p w");
        sup_proc *all[RESOLVERS];
        char number[16];
        int won = -1;

        for (int i = 0; i < RESOLVERS; i++) {
            snprintf(number, sizeof number, "%d", i);
            all[i] = sup_spawn((const char *[]){ ctl, "--url", url, "promise", "resolve",
                                                 id_of(round), number, NULL });
        }
        for (int i = 0; i < RESOLVERS; i++) {
            if (sup_proc_wait(all[i]) == 0) {
                ck_assert_int_eq(won, -1);
                won = i;
            } else {
                ck_assert_int_eq(sup_proc_said(all[i], "settled before, by another one"), 1);
            }
            sup_proc_free(all[i]);
        }
        snprintf(number, sizeof number, "%d ", won);
        expect(r, number);
    }
    free(ctl);
    free(url);
}
END_TEST

START_TEST(a_retried_attempt_is_the_same_one)
{
    asq *other = modes_open();
    asq_result *r = begin("p g w");

    ok(asq_promise_resolve(H, id_of(1), asq_value_int(1)));
    ok(asq_promise_resolve(H, id_of(1), asq_value_int(1)));
    ck_assert_int_eq(asq_promise_resolve(other, id_of(1), asq_value_int(1)), ASQ_ESTATE);
    ck_assert_code(asq_promise_resolve(H, id_of(1), asq_value_int(2)), ASQ_ESTATE);
    asq_close(other);
    touch(gate);
    expect(r, "1 ");
}
END_TEST

/* Recipes of the documentation, without as-ctl. */
START_TEST(plain_commands_settle_a_promise)
{
    static const struct {
        const char *field, *value, *told;
    } list[] = { { "json", "{\"a\":[1]}", "0: " },
                 { "error", "no way", "-51:no way " },
                 { "json", "{", "-5:it was resolved to a text that is no JSON" },
                 { "nothing", "x", "-6:it was settled without a field" } };
    asq_result *r = begin("p e");
    const char *id = id_of(1), *got;
    int partition = atoi(id);

    char *won = sup_redis_str(redis, "XADD asq:{default.%d}:o:%s NOMKSTREAM 1-0 %s %s", partition,
                              id, list[_i].field, list[_i].value);
    ck_assert_str_eq(won, "1-0");
    free(won);
    redisReply *second =
        sup_redis_reply(redis, "XADD asq:{default.%d}:o:%s NOMKSTREAM 1-0 json 2", partition, id);
    ck_assert_int_eq(second->type, REDIS_REPLY_ERROR);
    freeReplyObject(second);
    char *none =
        sup_redis_str(redis, "XADD asq:{default.%d}:o:%sx NOMKSTREAM 1-0 json 2", partition, id);
    ck_assert_ptr_null(none);
    sup_redis_do(redis, "XADD asq:{default.%d}:jobs * call promise promise %s", partition, id);
    ok(asq_result_wait(r, sup_limit_ms()));
    ok(asq_result_string(r, &got));
    ck_assert_contains(got, list[_i].told);
    asq_result_free(r);
    ck_assert_code(asq_promise_resolve(H, id, asq_value_int(2)), ASQ_ESTATE);
    expect_state(id, strcmp(list[_i].told, "0: ") == 0 ? "resolved" : "rejected");
    sup_wait_until(sup_redis_int(redis, "XLEN asq:{default.%d}:jobs", partition) == 0);
    ck_assert_int_eq(keys("asq:{default*}:dead"), 0);
}
END_TEST

/* The entry that tells the owner is a hint: clients ask again. */
START_TEST(an_owner_that_is_not_told_is_asked)
{
    asq_result *r = begin("p w");
    const char *id = id_of(1);

    sup_redis_do(redis, "XADD asq:{default.%d}:o:%s NOMKSTREAM * json 7", atoi(id), id);
    expect(r, "7 ");
}
END_TEST

START_TEST(a_wait_for_a_promise_is_no_cycle)
{
    asq_result *r = begin("p f w"), *back;

    /* The asker waits for the peer, which waits for the promise, and a call waits for both. */
    ok(asq_call(peer, "take", &back, "[i]", 1));
    char first[100];
    snprintf(first, sizeof first, "%s", id_of(1));
    ck_assert_int_eq(asq_result_wait(r, 3 * SHORT_MS), ASQ_ETIMEOUT);
    ok(asq_promise_resolve(H, first, asq_value_int(1)));
    expect(r, "1 1 ");
    ok(asq_result_wait(back, sup_limit_ms()));
    asq_result_free(back);
}
END_TEST

START_TEST(a_cancelled_call_leaves_its_promise_to_its_time)
{
    asq_result *r = begin("p w");
    char id[100];

    snprintf(id, sizeof id, "%s", id_of(1));
    ok(asq_result_cancel(r));
    expect_code(r, ASQ_ECANCELED, "");
    sup_wait_until(sup_redis_int(redis, "PTTL asq:{default.%d}:o:%s", atoi(id), id) > 0);
    ok(asq_promise_resolve(H, id, asq_value_int(1)));
    expect_state(id, "resolved");
}
END_TEST

START_TEST(a_promise_expires_as_results_do)
{
    asq_result *r = begin("p w:1500 g"), *late;
    char id[100];

    snprintf(id, sizeof id, "%s", id_of(1));
    sup_sleep_ms(1300); /* longer than results are kept, and the call is not over */
    expect_state(id, "open");
    touch(gate);
    expect(r, "late ");
    sup_wait_until(keys("asq:{default*}:o:*") == 0);
    ck_assert_code(asq_promise_resolve(H, id, asq_value_int(1)), ASQ_EEXPIRED);
    ok(asq_result_attach(H, id, &late));
    expect_code(late, ASQ_EEXPIRED, "no such promise");
}
END_TEST

START_TEST(a_promise_outlives_a_restart_of_redis)
{
    asq_result *r = begin("p w");

    id_of(1);
    sup_redis_kill(redis);
    sup_redis_restart(redis);
    expect_state(id_of(1), "open");
    ok(asq_promise_resolve(H, id_of(1), asq_value_int(4)));
    sup_redis_kill(redis);
    sup_redis_restart(redis);
    expect(r, "4 ");
}
END_TEST

static void add_all(TCase *t)
{
    tcase_add_test(t, a_method_settles_what_it_or_another_agent_waits_for);
    tcase_add_test(t, a_promise_is_settled_once);
    tcase_add_test(t, a_step_settles_no_promise);
    tcase_add_test(t, a_rejection_is_a_failure_with_its_code);
    tcase_add_test(t, a_wait_has_a_limit);
    tcase_add_test(t, a_program_gets_the_outcome_by_the_id);
    tcase_add_test(t, what_is_no_open_promise_cannot_be_settled);
    tcase_add_test(t, a_failed_run_leaves_its_promise_and_the_next_makes_another);
}

int main(void)
{
    Suite *s = suite_create("promises");

    if (!sup_redis_available())
        return sup_skip("no redis-server");
    TCase *t = sup_suite_case(s, "local", set_up_local, tear_down_local);
    add_all(t);
    tcase_add_test(t, local_mode_tells_what_would_never_end);
    tcase_add_test(t, local_mode_completes_what_was_attached_before);
    t = sup_suite_case(s, "independent", set_up, tear_down);
    add_all(t);
    tcase_add_test(t, a_method_waits_for_a_program);
    tcase_add_test(t, all_who_wait_are_told);
    tcase_add_test(t, a_large_value_comes_too);
    tcase_add_loop_test(t, another_worker_waits_on_for_the_same_promise, 0,
                        sizeof deaths / sizeof *deaths);
    tcase_add_test(t, what_is_settled_while_nobody_runs_the_call_is_there);
    tcase_add_test(t, a_wait_that_was_over_stays_over);
    tcase_add_test(t, a_method_that_settles_and_dies_settles_once);
    tcase_add_test(t, one_of_many_resolvers_wins);
    tcase_add_test(t, a_retried_attempt_is_the_same_one);
    tcase_add_loop_test(t, plain_commands_settle_a_promise, 0, 4);
    tcase_add_test(t, an_owner_that_is_not_told_is_asked);
    tcase_add_test(t, a_wait_for_a_promise_is_no_cycle);
    tcase_add_test(t, a_cancelled_call_leaves_its_promise_to_its_time);
    t = sup_suite_case(s, "short", set_up_short, tear_down);
    tcase_add_test(t, a_promise_expires_as_results_do);
    t = sup_suite_case(s, "durable", set_up_durable, tear_down);
    tcase_add_test(t, a_promise_outlives_a_restart_of_redis);
    return sup_suite_run(s);
}
