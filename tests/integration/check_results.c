/*
 * check_results.c: results in every mode: waiting, reading, callbacks, ids, groups.
 */
#include "classes.h"
#include "modes.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static asq_agent *echo(void)
{
    return agent_new("Echo", NULL);
}

/* ---- reading ---- */

START_TEST(getters_wait_and_check_the_type)
{
    asq_agent *e = echo();
    asq_result *r;
    int64_t n;
    double d;
    const char *s;
    const asq_value *v;
    asq_value *own_one;

    ok(asq_call(e, "sum", &r, "[i, i]", 40, 2));
    ok(asq_result_int(r, &n));
    ck_assert_int_eq(n, 42);
    ok(asq_result_double(r, &d));
    ck_assert_code(asq_result_string(r, &s), ASQ_ETYPE);
    ck_assert_contains(asq_errmsg(H), "int, not string");
    ck_assert_code(asq_result_field(r, "x", &v), ASQ_ETYPE);
    ok(asq_result_take(r, &own_one));
    ck_assert_value(own_one, "42");
    ok(asq_result_value(r, &v));
    ck_assert_int_eq(asq_value_type(v), ASQ_NULL); /* taken */
    asq_value_free(own_one);
    asq_result_free(r);

    ok(asq_call(e, "first", &r, "[{s:i, s:s}]", "number", 5, "text", "five"));
    ok(asq_result_field(r, "text", &v)); /* reading a part waits by itself */
    ok(asq_value_get_string(v, &s, NULL));
    ck_assert_str_eq(s, "five");
    ck_assert_code(asq_result_field(r, "nothing", &v), ASQ_ENOENT);
    ok(asq_result_unpack(r, "{s:I, s:s}", "number", &n, "text", &s));
    ck_assert_int_eq(n, 5);
    ck_assert_code(asq_result_unpack(r, "{s:s}", "number", &s), ASQ_ETYPE);
    asq_result_free(r);
    asq_agent_free(e);
}
END_TEST

START_TEST(a_failure_arrives_with_all_that_is_known_of_it)
{
    asq_agent *c = counter(1);
    asq_result *r;
    int64_t n;

    ok(asq_call(c, "spoil", &r, NULL));
    ck_assert_code(asq_result_wait(r, ASQ_FOREVER), ASQ_EUSER(3));
    ck_assert_code(asq_result_int(r, &n), ASQ_EUSER(3));
    const asq_error *e = asq_result_error(r);
    ck_assert_int_eq(e->code, ASQ_EUSER(3));
    ck_assert_contains(e->message, "no luck");
    ck_assert_str_eq(e->class_name, "Counter");
    ck_assert_str_eq(e->method, "spoil");
    ck_assert_str_eq(e->agent_id, asq_agent_id(c));
    ck_assert_str_eq(e->call_id, asq_result_id(r));
    ck_assert(mode == MODE_LOCAL ? !*e->worker : *e->worker != '\0');
    ck_assert_str_eq(asq_last_error(H)->message, e->message);
    asq_result_free(r);
    asq_agent_free(c);
}
END_TEST

/* ---- callbacks ---- */

static int called;
static asq_agent **agent_of_closed;
static int64_t called_with[100];

static void note(asq_result *r, void *user)
{
    int64_t n = -1;

    if (asq_result_error(r)->code == 0)
        asq_result_int(r, &n);
    ck_assert_ptr_eq(user, &called);
    called_with[called++] = n;
}

START_TEST(callbacks_run_once_inside_of_waits)
{
    enum { N = 50 };
    asq_agent *e = echo();
    asq_result *r[N];

    called = 0;
    for (int i = 0; i < N; i++) {
        ok(asq_call(e, "sum", &r[i], "[i]", i));
        ok(asq_result_then(r[i], note, &called));
        if (mode != MODE_LOCAL)
            ck_assert_code(asq_result_then(r[i], note, &called), ASQ_ESTATE);
    }
    ok(asq_wait_all(r, N, ASQ_FOREVER));
    ok(asq_poll(H, 0));
    ck_assert_int_eq(called, N);
    bool seen[N] = { false };
    for (int i = 0; i < N; i++) { /* in any order */
        ck_assert(called_with[i] >= 0 && called_with[i] < N && !seen[called_with[i]]);
        seen[called_with[i]] = true;
    }
    asq_result_free(r[0]);
    ok(asq_call(e, "sum", &r[0], "[i]", 7));
    ok(asq_result_wait(r[0], ASQ_FOREVER));
    ok(asq_result_then(r[0], note, &called)); /* finished already: called at once */
    ck_assert_int_eq(called, N + 1);
    for (int i = 0; i < N; i++)
        asq_result_free(r[i]);
    asq_agent_free(e);
}
END_TEST

static void call_on(asq_result *r, void *user)
{
    asq_agent *e = user;
    asq_result *next;
    int64_t n;

    ok(asq_result_int(r, &n));
    asq_result_free(r); /* a callback may free its result */
    if (n == 20) {
        called = 1;
        return;
    }
    ok(asq_call(e, "sum", &next, "[I]", n + 1));
    ok(asq_result_then(next, call_on, e));
}

START_TEST(callbacks_may_call_and_free)
{
    asq_agent *e = echo();
    asq_result *r;

    called = 0;
    ok(asq_call(e, "sum", &r, "[i]", 1));
    ok(asq_result_then(r, call_on, e));
    while (!called)
        ok(asq_poll(H, sup_limit_ms()));
    asq_agent_free(e);
}
END_TEST

/* Opens a handle that accepts no message above 4,000 bytes. */
START_TEST(what_is_larger_than_the_handle_allows_is_refused)
{
    asq_options options = ASQ_OPTIONS_INIT;
    char err[300], *data = calloc(1, 5000);
    asq_agent *e, *seen;
    asq_result *r = NULL;
    asq_value *v;
    asq *h;

    options.max_message_size = 4000;
    e = echo();
    ok(asq_ready(e, sup_limit_ms()));
    ck_assert_int_eq(
        asq_open(mode == MODE_LOCAL ? "local:" : asq_url(H), &options, &h, err, sizeof err), 0);
    if (mode == MODE_LOCAL) {
        ck_assert_int_eq(asq_register(h, &echo_class), 0);
        ck_assert_int_eq(asq_create(h, "Echo", NULL, &seen, NULL), 0);
    } else {
        ck_assert_int_eq(asq_attach(h, asq_agent_id(e), &seen), 0);
    }
    ck_assert_int_eq(asq_call(seen, "first", &r, "[y#]", data, (size_t) 5000), ASQ_ELIMIT);
    ck_assert_ptr_null(r);
    ck_assert_contains(asq_errmsg(h), "4000 bytes");
    ck_assert_contains(asq_errmsg(h), "first");
    ck_assert_int_eq(asq_send(seen, "first", "[y#]", data, (size_t) 5000), ASQ_ELIMIT);
    v = asq_pack("[y#]", data, (size_t) 5000);
    ck_assert_int_eq(asq_broadcast(&seen, 1, "first", v, &r), ASQ_ELIMIT);
    ck_assert_ptr_null(r);
    /* A value that fits is accepted, before and after. */
    ck_assert_int_eq(asq_call_wait(seen, "first", &v, "[y#]", data, (size_t) 3000), 0);
    asq_value_free(v);
    free(data);
    asq_agent_free(seen);
    asq_close(h);
    asq_agent_free(e);
}
END_TEST

static void close_inside(asq_result *r, void *user)
{
    asq_result *late = NULL;

    asq_close(user);
    ck_assert_int_eq(asq_call(*agent_of_closed, "sum", &late, "[i]", 1), ASQ_ECLOSED);
    ck_assert_ptr_null(late);
    asq_result_free(r);
    called++;
}

static void closed_or_done(asq_result *r, void *user)
{
    int code = asq_result_error(r)->code;

    ck_assert_msg(code == 0 || code == ASQ_ECLOSED, "%d", code);
    ++*(int *) user;
    asq_result_free(r);
}

/* A callback may free the last reference to its handle. */
START_TEST(a_callback_may_close_the_handle)
{
    enum { N = 20 };
    int rc, ended = 0;
    asq_agent *e = echo(); /* child mode starts its workers at the first use */
    asq_result *r;

    asq_agent_free(e);
    for (int way = 0; way < 3; way++) {
        asq *h = modes_open();
        called = ended = 0;
        ck_assert_int_eq(asq_create(h, "Echo", NULL, &e, NULL), 0);
        agent_of_closed = &e;
        for (int i = 0; i < N; i++) {
            ck_assert_int_eq(asq_call(e, "sum", &r, "[i]", i), 0);
            /* In local mode all calls are done, and the callbacks run at once. */
            ck_assert_int_eq(i == N - 1 ? 0 : asq_result_then(r, closed_or_done, &ended), 0);
        }
        ck_assert_int_eq(asq_result_then(r, close_inside, h), 0);
        while (!called) {
            rc = way == 0   ? asq_poll(h, 1000)
                 : way == 1 ? asq_sleep(h, 1000)
                            : asq_call_wait(e, "nap", NULL, "[i]", 10);
            ck_assert_msg(rc >= 0 || rc == ASQ_ECLOSED, "%d", rc);
        }
        ck_assert_int_eq(ended, N - 1);
        asq_agent_free(e);
    }
}
END_TEST

/* ---- many ---- */

START_TEST(groups_give_results_as_they_complete)
{
    enum { N = 200 };
    asq_agent *agents[8];
    asq_result *r[N], *next;
    asq_group *g;
    int64_t sum = 0, n;
    size_t index = N;

    for (int i = 0; i < 8; i++)
        agents[i] = echo();
    ok(asq_group_new(H, &g));
    for (int i = 0; i < N; i++) {
        ok(asq_call(agents[i % 8], "sum", &r[i], "[i]", i));
        ok(asq_group_add(g, r[i]));
    }
    ok(asq_wait_any(r, N, ASQ_FOREVER, &index));
    ck_assert_uint_lt(index, N);
    ck_assert(asq_result_done(r[index]));
    for (int i = 0; i < N; i++) {
        ck_assert_uint_eq(asq_group_pending(g), (size_t) (N - i));
        ok(asq_group_next(g, ASQ_FOREVER, &next));
        ck_assert(asq_result_done(next));
        ok(asq_result_int(next, &n));
        sum += n;
    }
    ck_assert_code(asq_group_next(g, ASQ_FOREVER, &next), ASQ_ENOENT);
    ck_assert_int_eq(sum, N * (N - 1) / 2);
    asq_group_free(g);
    for (int i = 0; i < N; i++)
        asq_result_free(r[i]);
    /* Makes one call to each agent of a list. */
    ok(asq_broadcast(agents, 8, "sum", asq_pack("[i, i]", 3, 4), r));
    ok(asq_wait_all(r, 8, ASQ_FOREVER));
    for (int i = 0; i < 8; i++) {
        ck_assert_int_eq(result_int(r[i]), 7);
        asq_agent_free(agents[i]);
    }
}
END_TEST

START_TEST(corked_calls_keep_their_order)
{
    enum { N = 5000 };
    asq_agent *a = counter(0), *b = counter(0);
    static asq_result *r[N];

    asq_cork(H);
    for (int i = 0; i < N; i++)
        ok(asq_call(i % 2 ? a : b, "add", &r[i], "[i]", 1));
    ok(asq_uncork(H));
    for (int i = 0; i < N; i++)
        ck_assert_int_eq(result_int(r[i]), i / 2 + 1);
    for (int i = 0; i < 100; i++)
        ok(asq_send(a, "add", "[i]", 1));
    ok(asq_flush(H, ASQ_FOREVER));
    ck_assert_int_eq(call_int(a, "read", NULL), N / 2 + 100);
    asq_agent_free(a);
    asq_agent_free(b);
}
END_TEST

/* Makes calls in all ways. The calls of one agent run in their order. */
START_TEST(twenty_thousand_calls_are_under_way)
{
    enum { N = 20000, AGENTS = 40 };
    static asq_result *r[N];
    int64_t seen[AGENTS] = { 0 }, n;
    asq_agent *agents[AGENTS];
    asq_result *next;
    asq_group *g;

    ok(asq_create_many(H, "Counter", AGENTS, NULL, NULL, agents));
    ok(asq_group_new(H, &g));
    for (int i = 0; i < N; i += AGENTS) {
        if (i / AGENTS % 3 == 0) {
            ok(asq_broadcast(agents, AGENTS, "add", asq_pack("[i]", 1), &r[i]));
            continue;
        }
        if (i / AGENTS % 3 == 1)
            asq_cork(H);
        for (int k = 0; k < AGENTS; k++)
            ok(asq_call(agents[k], k % 2 ? "add" : "add_blocking", &r[i + k], "[i]", 1));
        if (i / AGENTS % 3 == 1)
            ok(asq_uncork(H));
    }
    for (int i = 0; i < N; i++)
        ok(asq_group_add(g, r[i]));
    for (int i = 0; i < N; i++)
        ok(asq_group_next(g, ASQ_FOREVER, &next));
    ck_assert_uint_eq(asq_group_pending(g), 0);
    asq_group_free(g);
    for (int i = 0; i < N; i++) {
        ok(asq_result_int(r[i], &n));
        ck_assert_int_eq(n, ++seen[i % AGENTS]);
        asq_result_free(r[i]);
    }
    for (int k = 0; k < AGENTS; k++)
        asq_agent_free(agents[k]);
}
END_TEST

START_TEST(what_cannot_be_waited_for_is_refused)
{
    asq *h = modes_open();
    asq_agent *e = echo(), *other;
    asq_result *list[3] = { NULL, NULL, NULL };
    asq_group *g;
    size_t index = 99;

    ck_assert_int_eq(asq_create(h, "Echo", NULL, &other, NULL), 0);
    ok(asq_call(e, "sum", &list[0], "[i]", 1));
    ck_assert_int_eq(asq_call(other, "sum", &list[1], "[i]", 1), 0);
    ok(asq_wait_all(list, 0, ASQ_FOREVER));
    ck_assert_code(asq_wait_any(list, 0, ASQ_FOREVER, &index), ASQ_EINVAL);
    ck_assert_code(asq_wait_all(list, 2, ASQ_FOREVER), ASQ_EINVAL); /* results of two handles */
    ck_assert_code(asq_wait_any(list, 3, ASQ_FOREVER, &index), ASQ_EINVAL);
    ck_assert_uint_eq(index, 99);
    ok(asq_group_new(H, &g));
    ck_assert_code(asq_group_add(g, list[1]), ASQ_EINVAL);
    ck_assert_code(asq_group_add(g, NULL), ASQ_EINVAL);
    ok(asq_group_add(g, list[0]));
    ck_assert_uint_eq(asq_group_pending(g), 1);
    asq_group_free(g); /* the group's end leaves the result as it was, whether done or not */
    ck_assert_int_eq(result_int(list[0]), 1);
    asq_result_free(list[1]);
    asq_agent_free(other);
    asq_close(h);
    asq_agent_free(e);
}
END_TEST

/* ---- ids ---- */

START_TEST(an_id_finds_the_result_again)
{
    asq_agent *e = echo();
    asq_result *r, *found, *never;
    char id[100];

    ok(asq_call(e, "sum", &r, "[i]", 9));
    snprintf(id, sizeof id, "%s", asq_result_id(r));
    ok(asq_result_wait(r, ASQ_FOREVER));
    asq_result_free(r);
    ok(asq_result_attach(H, id, &found));
    ck_assert_int_eq(result_int(found), 9);
    ck_assert_code(asq_result_attach(H, "nonsense", &found), ASQ_EINVAL);
    id[strlen(id) - 4] ^= 1; /* id of no call */
    ok(asq_result_attach(H, id, &never));
    ck_assert_code(asq_result_wait(never, sup_limit_ms()), ASQ_EEXPIRED);
    asq_result_free(never);
    asq_agent_free(e);
}
END_TEST

/* ---- where calls run apart from the program ---- */

static char *begun_file, *go_file;

static asq_result *held_call(asq_agent *e)
{
    asq_result *r;

    begun_file = sup_path(own("begun"));
    go_file = sup_path(own("go"));
    ok(asq_call(e, "hold", &r, "[s, s]", begun_file, go_file));
    sup_wait_until((asq_poll(H, 0), exists(begun_file)));
    return r;
}

static void let_go(void)
{
    touch(go_file);
    free(begun_file);
    free(go_file);
}

START_TEST(a_wait_can_give_up_and_be_taken_up_again)
{
    asq_agent *e = echo();
    asq_result *r = held_call(e), *list[] = { r };
    size_t index;

    ck_assert(!asq_result_done(r));
    ck_assert_code(asq_result_wait(r, 20), ASQ_ETIMEOUT);
    ck_assert_contains(asq_errmsg(H), "goes on");
    ck_assert_code(asq_wait_all(list, 1, 20), ASQ_ETIMEOUT);
    ck_assert_code(asq_wait_any(list, 1, 0, &index), ASQ_ETIMEOUT);
    ck_assert_int_eq(asq_result_error(r)->code, 0);
    let_go();
    ok(asq_result_wait(r, ASQ_FOREVER));
    asq_result_free(r);
    asq_agent_free(e);
}
END_TEST

START_TEST(another_process_fetches_a_result_that_is_still_to_come)
{
    /* Static, so that a leak checker in the fork still reaches them. */
    static asq_agent *e;
    static asq_result *r;
    static char *volatile id, *volatile url, *volatile ready;
    int status;
    pid_t pid;

    e = echo();
    r = held_call(e);
    id = sup_format("%s", asq_result_id(r));
    url = sup_format("%s", asq_url(H));
    ready = sup_path(own("ready"));
    pid = fork();

    if (pid < 0)
        ck_abort_msg("fork");
    if (pid == 0) {
        asq_options options = ASQ_OPTIONS_INIT;
        char err[300];
        asq *h;
        asq_result *found;
        bool b = false;

        options.ns = asq_namespace(H);
        if (asq_open(url, &options, &h, err, sizeof err) < 0 ||
            asq_result_attach(h, id, &found) < 0 || asq_result_wait(found, 50) != ASQ_ETIMEOUT)
            _exit(1);
        touch(ready);
        _exit(asq_result_bool(found, &b) < 0 || !b ? 2 : 0);
    }
    sup_wait_until((asq_poll(H, 0), exists(ready)));
    let_go();
    ok(asq_result_wait(r, ASQ_FOREVER));
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert_int_eq(status, 0);
    asq_result_free(r);
    asq_agent_free(e);
    free(ready);
    free(id);
    free(url);
}
END_TEST

START_TEST(getters_give_up_after_the_timeout_of_the_handle)
{
    asq_agent *e = echo();
    asq_result *r = held_call(e), *next;
    const asq_value *v = NULL;
    asq_value *taken = NULL;
    asq_group *g;
    bool b;

    asq_set_timeout(H, 10);
    ck_assert_code(asq_result_value(r, &v), ASQ_ETIMEOUT);
    ck_assert_code(asq_result_field(r, "x", &v), ASQ_ETIMEOUT);
    ck_assert_code(asq_result_take(r, &taken), ASQ_ETIMEOUT);
    ck_assert_code(asq_result_bool(r, &b), ASQ_ETIMEOUT);
    ck_assert_code(asq_result_unpack(r, "b", &b), ASQ_ETIMEOUT);
    /* behind the call that hangs */
    ck_assert_code(asq_call_wait(e, "nothing", NULL, NULL), ASQ_ETIMEOUT);
    ck_assert_ptr_null(v);
    ck_assert_ptr_null(taken);
    ok(asq_group_new(H, &g));
    ok(asq_group_add(g, r));
    ck_assert_code(asq_group_next(g, 10, &next), ASQ_ETIMEOUT);
    ck_assert_uint_eq(asq_group_pending(g), 1);
    asq_set_timeout(H, sup_limit_ms());
    let_go();
    ok(asq_group_next(g, sup_limit_ms(), &next));
    ck_assert_ptr_eq(next, r);
    ok(asq_result_bool(r, &b));
    ck_assert(b);
    asq_group_free(g);
    asq_result_free(r);
    asq_agent_free(e);
}
END_TEST

START_TEST(an_unfinished_call_is_attached_to_from_several_handles)
{
    asq_agent *e = echo();
    asq_result *r = held_call(e), *here, *there[2];
    asq *h = modes_open();
    int ended = 0;

    ok(asq_result_attach(H, asq_result_id(r), &here));
    ok(asq_result_then(here, closed_or_done, &ended));
    for (int i = 0; i < 2; i++) {
        ck_assert_int_eq(asq_result_attach(h, asq_result_id(r), &there[i]), 0);
        ck_assert_int_eq(asq_result_wait(there[i], 10), ASQ_ETIMEOUT);
        ck_assert_int_eq(asq_result_then(there[i], closed_or_done, &ended), 0);
    }
    let_go();
    while (ended < 3) {
        ck_assert_int_ge(asq_poll(H, 10), 0);
        ck_assert_int_ge(asq_poll(h, 10), 0);
    }
    ok(asq_result_wait(r, sup_limit_ms()));
    asq_result_free(r);
    asq_close(h);
    asq_agent_free(e);
}
END_TEST

START_TEST(closing_completes_what_is_unfinished)
{
    asq *h = modes_open_url(asq_url(H));
    asq_agent *e, *mine = echo();
    asq_result *r;
    asq_value *ref = asq_value_agent(mine);

    called = 0;
    ok(asq_ready(mine, sup_limit_ms())); /* the other handle has a connection of its own */
    ck_assert_int_eq(asq_attach_value(h, ref, &e), 0);
    asq_value_free(ref);
    begun_file = sup_path(own("begun"));
    go_file = sup_path(own("go"));
    ck_assert_int_eq(asq_call(e, "hold", &r, "[s, s]", begun_file, go_file), 0);
    ck_assert_int_eq(asq_result_then(r, note, &called), 0);
    ck_assert_int_eq(asq_flush(h, sup_limit_ms()), 0);
    asq_close(h);
    ck_assert_int_eq(called, 1);
    ck_assert_int_eq(asq_result_error(r)->code, ASQ_ECLOSED);
    ck_assert_int_eq(asq_result_wait(r, 0), ASQ_ECLOSED);
    asq_result_free(r);
    asq_agent_free(e);
    sup_wait_until(exists(begun_file)); /* the call was sent, and goes on */
    let_go();
    ck_assert_int_eq(call_int(mine, "sum", "[i]", 1), 1);
    asq_agent_free(mine);
}
END_TEST

START_TEST(results_may_be_freed_before_they_are_there)
{
    asq_agent *a = counter(0);
    asq_result *r;

    for (int i = 0; i < 100; i++) {
        ok(asq_call(a, "add", &r, "[i]", 1));
        asq_result_free(r);
    }
    ck_assert_int_eq(call_int(a, "read", NULL), 100);
    asq_agent_free(a);
}
END_TEST

START_TEST(fetched_results_are_forgotten_and_kept_ones_are_not)
{
    enum { N = 300 };
    static const char count[] = "local n = 0 for p = 0, 127 do "
                                "n = n + #redis.call('KEYS', 'asq:{default.' .. p .. '}:r:*') end "
                                "return n";
    static sup_redis *redis; /* static, so that a leak checker in the worker's fork reaches it */
    asq_agent *e;
    asq_result *r[N], *found;
    int64_t n;

    redis = sup_redis_start(NULL);
    pid_t worker = modes_fork_worker(sup_redis_url(redis), NULL, classes);
    asq *h = modes_open_url(sup_redis_url(redis));

    ck_assert_int_eq(asq_create(h, "Echo", NULL, &e, NULL), 0);
    ck_assert_int_eq(asq_ready(e, sup_limit_ms()), 0);
    /* Attaches before the calls are done, because afterwards their results may have been
     * removed. */
    ck_assert_int_eq(asq_call(e, "sum", &r[0], "[i]", 0), 0);
    ck_assert_int_eq(asq_result_keep(r[0]), 0);
    ck_assert_int_eq(asq_call(e, "sum", &r[1], "[i]", 1), 0);
    char *id = sup_format("%s", asq_result_id(r[1]));
    for (int i = 2; i < N; i++)
        ck_assert_int_eq(asq_call(e, "sum", &r[i], "[i]", i), 0);
    ck_assert_int_eq(asq_wait_all(r, N, sup_limit_ms()), 0);
    for (int i = 0; i < N; i++)
        asq_result_free(r[i]);
    sup_wait_until((asq_poll(h, 20), sup_redis_int(redis, "EVAL %s 0", count) == 2));
    ck_assert_int_eq(asq_result_attach(h, id, &found), 0);
    ck_assert_int_eq(asq_result_int(found, &n), 0);
    ck_assert_int_eq(n, 1);
    asq_result_free(found);
    /* Once the key is gone, neither this handle nor its worker knows the result. */
    sup_redis_do(redis, "EVAL %s 0",
                 "for p = 0, 127 do for _, k in ipairs(redis.call('KEYS', 'asq:{default.' .. p .. "
                 "'}:r:*')) do redis.call('DEL', k) end end return 1");
    ck_assert_int_eq(asq_result_attach(h, id, &found), 0);
    ck_assert_int_eq(asq_result_wait(found, sup_limit_ms()), ASQ_EEXPIRED);
    ck_assert_str_eq(asq_result_error(found)->call_id, id);
    asq_result_free(found);
    free(id);
    asq_agent_free(e);
    asq_close(h);
    modes_stop_worker(worker);
    sup_redis_free(redis);
}
END_TEST

static void add_tests(TCase *t)
{
    tcase_add_test(t, getters_wait_and_check_the_type);
    tcase_add_test(t, a_failure_arrives_with_all_that_is_known_of_it);
    tcase_add_test(t, callbacks_run_once_inside_of_waits);
    tcase_add_test(t, callbacks_may_call_and_free);
    tcase_add_test(t, what_is_larger_than_the_handle_allows_is_refused);
    tcase_add_test(t, a_callback_may_close_the_handle);
    tcase_add_test(t, twenty_thousand_calls_are_under_way);
    tcase_add_test(t, what_cannot_be_waited_for_is_refused);
    tcase_add_test(t, groups_give_results_as_they_complete);
    tcase_add_test(t, corked_calls_keep_their_order);
    tcase_add_test(t, an_id_finds_the_result_again);
}

static void add_distributed_tests(TCase *t)
{
    tcase_add_test(t, a_wait_can_give_up_and_be_taken_up_again);
    tcase_add_test(t, getters_give_up_after_the_timeout_of_the_handle);
    tcase_add_test(t, an_unfinished_call_is_attached_to_from_several_handles);
    tcase_add_test(t, another_process_fetches_a_result_that_is_still_to_come);
    tcase_add_test(t, closing_completes_what_is_unfinished);
    tcase_add_test(t, results_may_be_freed_before_they_are_there);
    tcase_add_test(t, fetched_results_are_forgotten_and_kept_ones_are_not);
}

int main(void)
{
    return modes_main("results", add_tests, add_distributed_tests);
}
