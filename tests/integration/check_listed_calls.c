/*
 * check_listed_calls.c: asq_calls_each tells of each call that has not ended in which state it is,
 * and what it waits for. This and other lists end in an error when the namespace is made anew
 * meanwhile.
 */
#include "load.h"
#include "proto/asqueue.pb-c.h"
#include "support/proxy.h"
#include "support/suite.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LONG_MS = 3600000, MIB = 1024 * 1024 };

static sup_redis *redis;
static asq *h;
static pid_t worker;
static char *unblock;
static asq_value *listed; /* id -> row, of the last look */

static void start_worker_with(asq_worker_options options)
{
    options.id = "w";
    worker = load_worker(sup_redis_url(redis), &options);
}

static void start_worker(void)
{
    start_worker_with((asq_worker_options) ASQ_WORKER_OPTIONS_INIT);
}

static void set_up(void)
{
    redis = sup_redis_start(NULL);
    h = load_open(sup_redis_url(redis));
    unblock = sup_path("unblock");
    worker = 0;
}

static void tear_down(void)
{
    asq_value_free(listed);
    listed = NULL;
    free(sup_write_file("unblock", ""));
    asq_close(h);
    if (worker)
        load_worker_kill(worker);
    free(unblock);
    sup_redis_free(redis);
}

static int take_row(const asq_value *call, void *user)
{
    const char *id = NULL;
    (void) user;
    ck_assert_int_eq(asq_value_get_string(asq_map_get(call, "id"), &id, NULL), 0);
    ck_assert_msg(!asq_map_get(listed, id), "%s is listed twice", id);
    ck_assert_int_eq(asq_map_set(listed, id, asq_value_copy(call)), 0);
    return 0;
}

static size_t look(unsigned states, const char *agent, const char *class_name)
{
    asq_value_free(listed);
    listed = asq_value_map();
    int rc = asq_calls_each(h, states, agent, class_name, sup_limit_ms(), take_row, NULL);
    ck_assert_msg(rc == 0, "%s", asq_errmsg(h));
    return asq_map_size(listed);
}

/* Checks how many calls are listed, and counted, while none changes its state. */
static void check_number(unsigned states, const char *agent, const char *class_name, size_t n)
{
    int64_t counted = -1;
    ck_assert_uint_eq(look(states, agent, class_name), n);
    ck_assert_int_eq(asq_calls_count(h, states, agent, class_name, sup_limit_ms(), &counted), 0);
    ck_assert_int_eq(counted, (int64_t) n);
}

static const char *text_of(const char *id, const char *key)
{
    const char *text = "";
    asq_value_get_string(asq_map_get(asq_map_get(listed, id), key), &text, NULL);
    return text;
}

static bool has_state(asq_result *r, const char *state)
{
    look(0, NULL, NULL);
    return strcmp(text_of(asq_result_id(r), "state"), state) == 0;
}

/* Returns whether a call has parked by now. id: of the last look. */
static bool is_parked(const char *id)
{
    char copy[ASQ_MAX_ID];
    snprintf(copy, sizeof copy, "%s", id);
    look(0, NULL, NULL);
    return strcmp(text_of(copy, "state"), "parked") == 0;
}

static asq_agent *make(const char *class_name, const char *id)
{
    asq_agent *a;
    ck_assert_int_eq(asq_create(h, class_name, id, &a, NULL), 0);
    ck_assert_int_eq(asq_ready(a, sup_limit_ms()), 0);
    return a;
}

static asq_result *call(asq_agent *a, const char *method, const asq_call_options *options,
                        asq_value *args)
{
    asq_result *r;
    ck_assert_int_eq(asq_callv(a, method, options, args, &r), 0);
    return r;
}

/* Checks that of a call which has begun, and of no other one, the time in its method is told, and
 * the process that has it. */
static void check_begun(const char *id, bool begun)
{
    const asq_value *row = asq_map_get(listed, id);
    int64_t ms = -1;
    ck_assert_int_eq(asq_value_get_int(asq_map_get(row, "run_ms"), &ms), begun ? 0 : ASQ_ETYPE);
    ck_assert(!begun || (ms >= 0 && ms <= asq_map_int(row, "age_ms") + 1000));
    ck_assert_int_eq(*text_of(id, "worker") != '\0', begun);
}

START_TEST(each_state_is_told)
{
    start_worker();
    asq_agent *relay = make("Relay", "relay"), *echo = make("Echo", "echo"),
              *poison = make("Poison", "poison"), *counter = make("Counter", "counter"),
              *other = make("Counter", "other");
    asq_call_options later = ASQ_CALL_OPTIONS_INIT, again = later, in_place = later;
    const asq_retry retry = { ASQ_RETRY_INIT, .attempts = 5, .delay_ms = LONG_MS,
                              .max_delay_ms = LONG_MS },
                    keeps = { ASQ_RETRY_INIT, .attempts = 5, .delay_ms = LONG_MS,
                              .max_delay_ms = LONG_MS, .keep_place = true };
    later.delay_ms = LONG_MS;
    again.retry = &retry;
    in_place.retry = &keeps;

    asq_result *outer =
        call(relay, "call", NULL, asq_pack("[o, s, [i]]", asq_value_agent(echo), "nap", LONG_MS));
    sup_wait_until(has_state(outer, "parked") && *text_of(asq_result_id(outer), "waits_for"));
    sup_wait_until(is_parked(text_of(asq_result_id(outer), "waits_for")));
    asq_result *behind = call(echo, "nothing", NULL, NULL);
    asq_result *runs = call(poison, "block_until", NULL, asq_pack("[s]", unblock));
    asq_result *delayed = call(counter, "add", &later, asq_pack("[i]", 1));
    asq_result *retried = call(counter, "digit", &again, asq_pack("[i, i]", 1, 5));
    asq_result *kept = call(other, "digit", &in_place, asq_pack("[i, i]", 1, 5));
    sup_wait_until(has_state(retried, "retrying"));
    sup_wait_until(has_state(kept, "retrying"));
    sup_wait_until(has_state(runs, "running"));

    check_number(0, NULL, NULL, 7); /* these, and the inner call */
    ck_assert_str_eq(text_of(asq_result_id(outer), "state"), "parked");
    ck_assert_str_eq(text_of(asq_result_id(outer), "class"), "Relay");
    ck_assert_str_eq(text_of(asq_result_id(outer), "agent"), "relay");
    const char *inner = text_of(asq_result_id(outer), "waits_for");
    ck_assert_str_eq(text_of(inner, "state"), "parked");
    ck_assert_str_eq(text_of(inner, "agent"), "echo");
    ck_assert_str_eq(text_of(inner, "method"), "nap");
    ck_assert_str_eq(text_of(inner, "why"), "sleeps");
    check_begun(asq_result_id(outer), true);
    check_begun(asq_result_id(runs), true);
    check_begun(asq_result_id(behind), false);
    ck_assert_ptr_nonnull(strstr(text_of(asq_result_id(runs), "args"), unblock));
    ck_assert_ptr_null(asq_map_get(asq_map_get(listed, asq_result_id(behind)), "args"));
    ck_assert_str_eq(text_of(asq_result_id(behind), "state"), "waiting");
    ck_assert_ptr_null(asq_map_get(asq_map_get(listed, asq_result_id(behind)), "may_run"));
    ck_assert_str_eq(text_of(asq_result_id(delayed), "state"), "delayed");
    int64_t due = asq_map_int(asq_map_get(listed, asq_result_id(delayed)), "due_ms");
    ck_assert(due > 0 && due <= LONG_MS);
    due = asq_map_int(asq_map_get(listed, asq_result_id(retried)), "due_ms");
    ck_assert(due > 0 && due <= LONG_MS);
    ck_assert_int_eq(asq_map_int(asq_map_get(listed, asq_result_id(retried)), "failed_runs"), 1);
    due = asq_map_int(asq_map_get(listed, asq_result_id(kept)), "due_ms");
    ck_assert(due > 0 && due <= LONG_MS);

    check_number(ASQ_CALLS_PARKED, NULL, NULL, 2);
    check_number(ASQ_CALLS_RUNNING | ASQ_CALLS_DELAYED, NULL, NULL, 2);
    check_number(0, "counter", NULL, 2);
    check_number(0, NULL, "Counter", 3);
    check_number(ASQ_CALLS_RETRYING, NULL, "Counter", 2);
    check_number(ASQ_CALLS_WAITING, NULL, "Counter", 0);

    asq_result *all[] = { outer, behind, runs, delayed, retried, kept };
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        asq_result_cancel(all[i]);
        asq_result_free(all[i]);
    }
    asq_agent *agents[] = { relay, echo, poison, counter, other };
    for (size_t i = 0; i < sizeof agents / sizeof agents[0]; i++)
        asq_agent_free(agents[i]);
}
END_TEST

START_TEST(a_worker_may_omit_arguments)
{
    asq_worker_options options = ASQ_WORKER_OPTIONS_INIT;
    options.omit_arguments = true;
    start_worker_with(options);
    asq_agent *echo = make("Echo", "echo");
    asq_result *naps = call(echo, "nap", NULL, asq_pack("[i]", LONG_MS));
    sup_wait_until(has_state(naps, "parked"));
    check_begun(asq_result_id(naps), true);
    ck_assert_ptr_null(asq_map_get(asq_map_get(listed, asq_result_id(naps)), "args"));
    asq_result_cancel(naps);
    asq_result_free(naps);
    asq_agent_free(echo);
}
END_TEST

START_TEST(a_worker_without_figures_tells_how_long_ago_methods_began)
{
    asq_worker_options options = ASQ_WORKER_OPTIONS_INIT;
    options.no_stats = true;
    start_worker_with(options);
    asq_agent *echo = make("Echo", "echo"), *poison = make("Poison", "poison");
    asq_result *naps = call(echo, "nap", NULL, asq_pack("[i]", LONG_MS));
    asq_result *runs = call(poison, "block_until", NULL, asq_pack("[s]", unblock));
    sup_wait_until(has_state(naps, "parked"));
    sup_wait_until(has_state(runs, "running"));
    check_begun(asq_result_id(naps), true);
    check_begun(asq_result_id(runs), true);
    asq_result_cancel(naps);
    asq_result_free(naps);
    asq_result_free(runs);
    asq_agent_free(echo);
    asq_agent_free(poison);
}
END_TEST

START_TEST(of_a_batch_only_what_has_not_ended_is_listed)
{
    start_worker();
    asq_agent *echo = make("Echo", "{one}"), *counter = make("Counter", "{one}c");
    asq_cork(h);
    asq_result *added = call(counter, "add", NULL, asq_pack("[i]", 1));
    asq_result *held = call(echo, "nap", NULL, asq_pack("[i]", LONG_MS));
    ck_assert_int_eq(asq_uncork(h), 0);
    ck_assert_int_eq(asq_result_wait(added, sup_limit_ms()), 0);
    sup_wait_until(has_state(held, "parked"));
    check_number(0, NULL, NULL, 1);
    asq_result_free(added);
    asq_result_free(held);
    asq_agent_free(echo);
    asq_agent_free(counter);
}
END_TEST

START_TEST(without_a_worker_calls_wait)
{
    asq_call_options later = ASQ_CALL_OPTIONS_INIT;
    asq_agent *a;
    later.delay_ms = LONG_MS;
    ck_assert_int_eq(asq_attach(h, "a", &a), 0);
    asq_result *waits = call(a, "add", NULL, NULL), *delayed = call(a, "add", &later, NULL);
    ck_assert_int_eq(asq_flush(h, sup_limit_ms()), 0);
    check_number(0, NULL, NULL, 2);
    ck_assert_str_eq(text_of(asq_result_id(waits), "state"), "waiting");
    ck_assert_ptr_null(asq_map_get(asq_map_get(listed, asq_result_id(waits)), "class"));
    ck_assert_ptr_null(asq_map_get(asq_map_get(listed, asq_result_id(waits)), "may_run"));
    ck_assert_str_eq(text_of(asq_result_id(delayed), "state"), "delayed");
    asq_result_free(waits);
    asq_result_free(delayed);
    asq_agent_free(a);
}
END_TEST

START_TEST(large_arguments_are_not_read)
{
    enum { CALLS = 8 };
    char *text = calloc(1, MIB);
    asq_agent *a;
    memset(text, 'x', MIB - 1);
    ck_assert_int_eq(asq_attach(h, "a", &a), 0);
    for (int i = 0; i < CALLS; i++)
        asq_result_free(call(a, "add", NULL, asq_pack("[s]", text)));
    ck_assert_int_eq(asq_flush(h, sup_limit_ms()), 0);
    int64_t before = sup_redis_stat(redis, "stats", "total_net_output_bytes:", "bytes:");
    check_number(0, NULL, NULL, CALLS);
    int64_t after = sup_redis_stat(redis, "stats", "total_net_output_bytes:", "bytes:");
    ck_assert_int_lt(after - before, MIB);
    asq_agent_free(a);
    free(text);
}
END_TEST

/* Calls a method of each agent, in a method. */
static asq_result *fan(asq_agent *relay, asq_agent **agents, size_t n, const char *method,
                       asq_value *args)
{
    asq_value *list = asq_value_list();
    for (size_t i = 0; i < n; i++)
        ck_assert_int_eq(asq_list_append(list, asq_value_agent(agents[i])), 0);
    return call(relay, "fan", NULL, asq_pack("[o, s, o]", list, method, args));
}

static void make_several(const char *class_name, const char *head, asq_agent **agents, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        char id[32];
        snprintf(id, sizeof id, "%s%zu", head, i);
        agents[i] = make(class_name, id);
    }
}

/* Checks that `awaits` has the first calls of those that a call waits for, each with this state. */
static void check_awaited(asq_result *r, size_t n, const char *state)
{
    const asq_value *row = asq_map_get(listed, asq_result_id(r)),
                    *awaits = asq_map_get(row, "awaits");
    asq_value *seen = asq_value_map();
    char why[200];
    ck_assert_int_eq(asq_map_int(row, "awaited"), (int64_t) n);
    ck_assert_uint_eq(asq_list_size(awaits), n < 16 ? n : 16);
    for (size_t i = 0; i < asq_list_size(awaits); i++) {
        const char *id = NULL;
        ck_assert_int_eq(asq_value_get_string(asq_list_get(awaits, i), &id, NULL), 0);
        ck_assert_str_eq(text_of(id, "state"), state);
        ck_assert_ptr_null(asq_map_get(seen, id));
        ck_assert_int_eq(asq_map_set(seen, id, asq_value_null()), 0);
    }
    const char *first = text_of(asq_result_id(r), "waits_for");
    ck_assert_ptr_nonnull(asq_map_get(seen, first));
    snprintf(why, sizeof why, "waits for call %s and %zu more", first, n - 1);
    ck_assert_ptr_nonnull(strstr(text_of(asq_result_id(r), "why"), why));
    asq_value_free(seen);
}

static bool awaits(asq_result *r, size_t n)
{
    look(0, NULL, NULL);
    return asq_map_int(asq_map_get(listed, asq_result_id(r)), "awaited") == (int64_t) n;
}

START_TEST(all_calls_that_a_call_waits_for_are_told)
{
    enum { MANY = 20, FEW = 3 };
    asq_agent *agents[MANY];
    asq_result *inputs[FEW];
    start_worker();
    asq_agent *relay = make("Relay", "relay"), *echo = make("Echo", "echo");
    make_several("Echo", "echo-", agents, MANY);
    asq_result *outer = fan(relay, agents, MANY, "nap", asq_pack("[I]", LONG_MS));
    sup_wait_until(awaits(outer, MANY) && look(ASQ_CALLS_PARKED, NULL, NULL) == MANY + 1);
    check_awaited(outer, MANY, "parked");

    asq_value *args = asq_value_list();
    for (int i = 0; i < FEW; i++) {
        inputs[i] = call(agents[i], "nothing", NULL, NULL);
        ck_assert_int_eq(asq_list_append(args, asq_value_future(inputs[i])), 0);
    }
    asq_result *given = call(echo, "all", NULL, args);
    sup_wait_until(awaits(given, FEW));
    check_awaited(given, FEW, "waiting");

    for (int i = 0; i < FEW; i++)
        asq_result_free(inputs[i]);
    for (int i = 0; i < MANY; i++)
        asq_agent_free(agents[i]);
    asq_result_free(given);
    asq_result_free(outer);
    asq_agent_free(relay);
    asq_agent_free(echo);
}
END_TEST

START_TEST(a_large_batch_tells_who_has_made_its_calls)
{
    enum { N = 32 };
    asq_agent *agents[N];
    char padding[1024] = { 0 };
    memset(padding, 'x', sizeof padding - 1);
    start_worker();
    asq_agent *relay = make("Relay", "relay");
    make_several("Echo", "{one}", agents, N);
    for (int i = 0; i < N; i++)
        asq_result_free(call(agents[i], "nap", NULL, asq_pack("[I]", LONG_MS)));
    sup_wait_until(look(ASQ_CALLS_PARKED, NULL, NULL) == N);
    asq_result *outer = fan(relay, agents, N, "all", asq_pack("[s]", padding));
    sup_wait_until(look(ASQ_CALLS_WAITING, NULL, NULL) == N);
    for (size_t i = 0; i < N; i++) {
        const char *id;
        ck_assert_ptr_nonnull(asq_map_at(listed, i, &id));
        ck_assert_str_eq(text_of(id, "caller"), asq_result_id(outer));
    }
    for (int i = 0; i < N; i++)
        asq_agent_free(agents[i]);
    asq_result_free(outer);
    asq_agent_free(relay);
}
END_TEST

/* A worker has room to tell half of them with all that they wait for. */
START_TEST(of_many_calls_some_tell_only_how_many_they_wait_for)
{
    enum { N = 360, EACH = 16 };
    asq_agent *relays[N], *agents[EACH];
    size_t lists = 0;
    start_worker();
    make_several("Relay", "{one}", relays, N);
    make_several("Echo", "echo-", agents, EACH);
    for (size_t i = 0; i < EACH; i++)
        asq_result_free(call(agents[i], "nap", NULL, asq_pack("[I]", LONG_MS)));
    for (size_t i = 0; i < N; i++)
        asq_result_free(fan(relays[i], agents, EACH, "nothing", asq_value_list()));
    sup_wait_until(look(ASQ_CALLS_PARKED, NULL, "Relay") == N);
    for (size_t i = 0; i < N; i++) {
        const char *id;
        const asq_value *row = asq_map_at(listed, i, &id);
        ck_assert_int_eq(asq_map_int(row, "awaited"), EACH);
        ck_assert_str_ne(text_of(id, "waits_for"), "");
        lists += asq_list_size(asq_map_get(row, "awaits")) == EACH;
    }
    ck_assert_uint_gt(lists, 0);
    ck_assert_uint_lt(lists, N);
    for (int i = 0; i < N; i++)
        asq_agent_free(relays[i]);
    for (int i = 0; i < EACH; i++)
        asq_agent_free(agents[i]);
}
END_TEST

/* Adds a batch of a method, made as deep inside of others, to a stream. */
static void add_deep_batch(size_t calls, size_t depth)
{
    uint8_t id[16] = { 1 };
    char outer[] = "outer", caller[] = "caller", agent[] = "a", method[] = "add";
    Asqueue__Batch batch;
    Asqueue__Job job, **jobs = calloc(calls, sizeof *jobs);
    Asqueue__Chain chain;
    Asqueue__Link first, last, **links = calloc(depth, sizeof *links);
    asqueue__batch__init(&batch);
    asqueue__job__init(&job);
    asqueue__chain__init(&chain);
    asqueue__link__init(&first);
    asqueue__link__init(&last);
    first.call = outer;
    last.call = caller;
    first.agent = last.agent = agent;
    for (size_t i = 0; i < depth; i++)
        links[i] = i + 1 < depth ? &first : &last;
    chain.links = links;
    chain.n_links = depth;
    job.agent = agent;
    job.method = method;
    job.chain = &chain;
    for (size_t i = 0; i < calls; i++)
        jobs[i] = &job;
    batch.id = (ProtobufCBinaryData){ sizeof id, id };
    batch.jobs = jobs;
    batch.n_jobs = calls;
    uint8_t *bytes = malloc(asqueue__batch__get_packed_size(&batch));
    size_t n = asqueue__batch__pack(&batch, bytes);
    sup_redis_do(redis, "XADD asq:{default.0}:jobs * call deep batch %b", bytes, n);
    free(bytes);
    free(links);
    free(jobs);
}

/* Redis walks some 20,000 links for a page. */
START_TEST(of_deep_calls_the_first_tell_who_has_made_them)
{
    enum { CALLS = 100, DEPTH = 500 };
    size_t told = 0;
    add_deep_batch(CALLS, DEPTH);
    check_number(ASQ_CALLS_WAITING, NULL, NULL, CALLS);
    for (size_t i = 0; i < CALLS; i++) {
        const char *id, *caller;
        ck_assert_ptr_nonnull(asq_map_at(listed, i, &id));
        caller = text_of(id, "caller");
        told += strcmp(caller, "caller") == 0;
        ck_assert(strcmp(caller, "caller") == 0 || !*caller);
    }
    ck_assert_uint_eq(told, 20000 / DEPTH);
}
END_TEST

static int stop_at_once(const asq_value *call, void *user)
{
    (void) call;
    ++*(int *) user;
    return 7;
}

START_TEST(a_function_ends_the_list)
{
    asq_agent *a;
    int64_t counted = -1;
    int n = 0;
    ck_assert_int_eq(asq_attach(h, "a", &a), 0);
    for (int i = 0; i < 3; i++)
        asq_result_free(call(a, "add", NULL, NULL));
    ck_assert_int_eq(asq_flush(h, sup_limit_ms()), 0);
    ck_assert_int_eq(asq_calls_each(h, 0, NULL, NULL, sup_limit_ms(), stop_at_once, &n), 7);
    ck_assert_int_eq(n, 1);
    ck_assert_int_eq(asq_calls_each(h, 64, NULL, NULL, 0, stop_at_once, &n), ASQ_EINVAL);
    ck_assert_int_eq(asq_calls_each(h, 0, "a b", NULL, 0, stop_at_once, &n), ASQ_EINVAL);
    ck_assert_int_eq(asq_calls_count(h, 64, NULL, NULL, 0, &counted), ASQ_EINVAL);
    ck_assert_int_eq(asq_calls_count(h, 0, "a b", NULL, 0, &counted), ASQ_EINVAL);
    ck_assert_int_eq(counted, -1);
    asq_agent_free(a);
}
END_TEST

/* ---- a namespace that is made anew meanwhile ---- */

static int ignore(const asq_value *row, void *user)
{
    (void) row;
    (void) user;
    return 0;
}

static int list_calls(asq *through)
{
    return asq_calls_each(through, 0, NULL, NULL, sup_limit_ms(), ignore, NULL);
}

static int count_calls(asq *through)
{
    int64_t n;
    return asq_calls_count(through, 0, NULL, NULL, sup_limit_ms(), &n);
}

static int list_calls_of_agent(asq *through)
{
    return asq_calls_each(through, 0, "a", NULL, sup_limit_ms(), ignore, NULL);
}

static int list_agents(asq *through)
{
    return asq_agents_each(through, NULL, NULL, sup_limit_ms(), ignore, NULL);
}

static int count_agents(asq *through)
{
    int64_t n;
    return asq_agents_count(through, NULL, NULL, sup_limit_ms(), &n);
}

static int list_failures(asq *through)
{
    asq_value *list = NULL;
    int rc = asq_failures(through, NULL, &list);
    asq_value_free(list);
    return rc;
}

static int list_dead(asq *through)
{
    asq_value *list = NULL;
    int rc = asq_dead_list(through, 0, &list);
    asq_value_free(list);
    return rc;
}

static int list_partitions(asq *through)
{
    asq_value *list = NULL;
    int rc = asq_partitions(through, &list);
    asq_value_free(list);
    return rc;
}

/* Lists, and a part of a command that each sends. */
static const struct {
    int (*list)(asq *through);
    const char *command;
} lists[] = {
    { list_calls, ":paused" },
    { list_calls, "XLEN" },
    { list_calls, "ZRANGE" },
    { list_calls, ".0}:lease" },
    { list_agents, "HSCAN" },
    { list_failures, "XREVRANGE" },
    { list_dead, "XLEN" },
    { count_agents, "HLEN" },
    { count_calls, "XLEN" },
    { list_partitions, ".0}:lease" },
    { list_calls_of_agent, ":paused" },
};

/* The client learns of it when it connects again, while it waits for a reply. */
START_TEST(a_list_of_a_namespace_that_is_made_anew_ends_in_an_error)
{
    const int sizes[][2] = { { 2, 16384 }, { 1000, 1 } };
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        sup_redis *other = sup_redis_start(NULL);
        sup_proxy *proxy = sup_proxy_start(sup_redis_socket(other));
        load_make_namespace(sup_redis_url(other), (uint32_t) sizes[i][0]);
        asq *through = load_open(sup_proxy_url(proxy));
        asq_agent *a;
        ck_assert_int_eq(asq_attach(through, "a", &a), 0);
        for (int k = 0; k < 2; k++)
            sup_redis_do(other, "XADD asq:{default.%d}:jobs * batch x", k);
        sup_redis_do(other, "HSET asq:{default}:meta partitions %d", sizes[i][1]);
        sup_proxy_cut(proxy, SUP_CUT_ANSWER, lists[_i].command);
        int rc = lists[_i].list(through);
        ck_assert_msg(rc == ASQ_EREDIS, "%s: %s", lists[_i].command, asq_error_name(rc));
        ck_assert_msg(strstr(asq_errmsg(through), "made anew") != NULL, "%s", asq_errmsg(through));
        ck_assert(sup_proxy_has_cut(proxy));
        asq_agent_free(a);
        asq_close(through);
        sup_proxy_free(proxy);
        sup_redis_free(other);
    }
}
END_TEST

int main(void)
{
    if (!sup_redis_available())
        return sup_skip("no redis-server");
    Suite *s = suite_create("listed_calls");
    TCase *t = tcase_create("listed_calls");
    tcase_add_checked_fixture(t, set_up, tear_down);
    tcase_add_test(t, each_state_is_told);
    tcase_add_test(t, a_worker_may_omit_arguments);
    tcase_add_test(t, a_worker_without_figures_tells_how_long_ago_methods_began);
    tcase_add_test(t, of_a_batch_only_what_has_not_ended_is_listed);
    tcase_add_test(t, without_a_worker_calls_wait);
    tcase_add_test(t, large_arguments_are_not_read);
    tcase_add_test(t, all_calls_that_a_call_waits_for_are_told);
    tcase_add_test(t, a_large_batch_tells_who_has_made_its_calls);
    tcase_add_test(t, of_many_calls_some_tell_only_how_many_they_wait_for);
    tcase_add_test(t, of_deep_calls_the_first_tell_who_has_made_them);
    tcase_add_test(t, a_function_ends_the_list);
    tcase_add_loop_test(t, a_list_of_a_namespace_that_is_made_anew_ends_in_an_error, 0,
                        (int) (sizeof lists / sizeof *lists));
    suite_add_tcase(s, t);
    return sup_suite_run(s);
}
