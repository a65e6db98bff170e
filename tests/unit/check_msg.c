/*
 * check_msg.c: batches, results and snapshots as bytes. Encoded messages decode to the same, wrong
 * ones are refused with the reason, and messages that are cut anywhere do no harm.
 */
#include "value/arena.h"
#include "value/buf.h"
#include "value/expiry.h"
#include "value/msg.h"
#include "support/suite.h"
#include "value/trace.h"
#include "value/value.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

static const uint8_t id[ASQ__BATCH_ID] = "0123456789abcdef";
static struct asq__arena arena;
static char why[300];

static void set_up(void)
{
    asq__arena_init(&arena, 1 << 20);
}

static void tear_down(void)
{
    asq__arena_release(&arena);
}

static struct asq__job a_call(void)
{
    return (struct asq__job){ .kind = ASQUEUE__JOB_KIND__CALL, .agent = "a", .method = "m" };
}

static void put(struct asq__buf *b, const struct asq__job *job)
{
    ck_assert_int_eq(asq__job_encode(job, b), 0);
}

static void begin(struct asq__buf *b)
{
    asq__buf_init(b, 1 << 20);
    asq__batch_head(id, "c11e4700000000aa", 7, b);
}

static int decode(const struct asq__buf *b, Asqueue__Batch **ret)
{
    return asq__batch_decode(b->data, b->len, &arena, ret, why, sizeof why);
}

START_TEST(a_batch_comes_back_as_it_was)
{
    const int codes[] = { -1000, -7, 0 };
    const asq_retry retry = { ASQ_RETRY_INIT, 4, 100, 2000, codes, true };
    asq_value *args = asq_pack("[i, s]", 5, "five");
    Asqueue__Link outer, *links[] = { &outer };
    Asqueue__Chain chain;
    struct asq__job job = a_call();
    struct asq__buf b;
    Asqueue__Batch *batch;

    asqueue__link__init(&outer);
    outer.call = (char[]){ "1-00000000000000000000000000000000-0" };
    outer.agent = (char[]){ "o" };
    asqueue__chain__init(&chain);
    chain.links = links;
    chain.n_links = 1;
    job.class_name = "C";
    job.args = args;
    job.timeout_ms = 77;
    job.delay_ms = 5;
    job.inputs = job.no_result = true;
    job.chain = &chain;
    job.retry = &retry;
    begin(&b);
    put(&b, &job);
    job = a_call();
    put(&b, &job);
    asq__batch_set_timeout(9000, &b);
    asq__batch_set_times(12, 13, &b);
    asq__batch_mark_resent(&b);
    asq__batch_set_times(UINT64_C(1) << 41, 0, &b); /* the last of several counts */
    ck_assert_msg(decode(&b, &batch) == 0, "%s", why);
    ck_assert_mem_eq(batch->id.data, id, sizeof id);
    ck_assert_mem_eq(b.data, "\x0a\x10", 2); /* taken.lua finds the id there */
    ck_assert_mem_eq(b.data + 2, id, sizeof id);
    ck_assert_str_eq(batch->reply, "c11e4700000000aa");
    ck_assert(batch->resent);
    ck_assert_uint_eq(batch->timeout_ms, 9000);
    ck_assert_uint_eq(batch->stamp_ms, UINT64_C(1) << 41);
    ck_assert_uint_eq(batch->age_ms, 0);
    ck_assert_uint_eq(batch->n_jobs, 2);
    const Asqueue__Job *j = batch->jobs[0];
    ck_assert_str_eq(j->agent, "a");
    ck_assert_str_eq(j->class_name, "C");
    ck_assert_str_eq(j->method, "m");
    ck_assert_uint_eq(j->timeout_ms, 77);
    ck_assert_uint_eq(j->delay_ms, 5);
    ck_assert(j->inputs && j->no_result);
    ck_assert_uint_eq(j->chain->n_links, 1);
    ck_assert_str_eq(j->chain->links[0]->agent, "o");
    ck_assert_uint_eq(j->retry->attempts, 4);
    ck_assert_uint_eq(j->retry->n_codes, 2);
    ck_assert_int_eq(j->retry->codes[0], -1000);
    ck_assert(j->retry->keep_place);
    asq_value *back;
    ck_assert_int_eq(asq__value_decode(j->args.data, j->args.len, &back, NULL, 0), 0);
    ck_assert_int_eq(asq_value_compare(back, args), 0);
    ck_assert(!batch->jobs[1]->retry && !batch->jobs[1]->chain);
    asq_value_free(back);
    asq_value_free(args);
    asq__buf_release(&b);
}
END_TEST

static Asqueue__Batch *unpacked(const struct asq__buf *b)
{
    Asqueue__Batch *batch = asqueue__batch__unpack(NULL, b->len, b->data);
    ck_assert_ptr_nonnull(batch);
    return batch;
}

/* The hand-written encoder writes the same bytes as protobuf-c, except that the arguments come
 * last. Each bit of `which` is a field that is present. */
START_TEST(jobs_are_written_as_protobuf_writes_them)
{
    static const int codes[] = { -7, 0 };
    static const asq_retry retry = { ASQ_RETRY_INIT, 3, 1, 1 << 20, codes, true };
    asq_value *args = asq_pack("{s:[i, i, s]}", "key", 1, -300, "text");
    Asqueue__Chain chain;
    Asqueue__Probe probe;
    Asqueue__Trace trace;
    uint8_t parent[ASQ__TRACE_PARENT] = { 1, [16] = 2 };
    struct asq__buf b, again;

    asq__trace_borrow(&trace, parent, "a=1");
    asqueue__chain__init(&chain);
    asqueue__probe__init(&probe);
    probe.born_ms = 1234567890123;
    for (unsigned which = 0; which < 1 << 12; which++) {
        struct asq__job job = {
            .kind = which & 1 ? ASQUEUE__JOB_KIND__PROBE : ASQUEUE__JOB_KIND__CALL,
            .agent = which & 2
                         ? "an agent whose name is of more than 127 bytes, so that its length "
                           "takes two bytes, as does that of the whole job: 0123456789abcdef"
                         : NULL,
            .class_name = which & 4 ? "C" : "",
            .method = which & 8 ? "method" : NULL,
            .timeout_ms = which & 16 ? UINT64_MAX : 0,
            .no_result = which & 32,
            .chain = which & 64 ? &chain : NULL,
            .target = which & 128 ? "target" : NULL,
            .inputs = which & 256,
            .delay_ms = which & 256 ? 128 : 0,
            .retry = which & 512 ? &retry : NULL,
            .probe = which & 1024 ? &probe : NULL,
            .trace = which & 2048 ? &trace : NULL,
        };
        asq__buf_init(&b, 1 << 20);
        asq__buf_init(&again, 1 << 20);
        put(&b, &job);
        Asqueue__Batch *batch = unpacked(&b);
        const Asqueue__Job *j = batch->jobs[0];
        ck_assert_int_eq(j->kind, job.kind);
        ck_assert_str_eq(j->agent, job.agent ? job.agent : "");
        ck_assert_str_eq(j->class_name, job.class_name);
        ck_assert_str_eq(j->method, job.method ? job.method : "");
        ck_assert_str_eq(j->target, job.target ? job.target : "");
        ck_assert(j->timeout_ms == job.timeout_ms && j->delay_ms == job.delay_ms);
        ck_assert(j->no_result == job.no_result && j->inputs == job.inputs);
        ck_assert(!j->chain == !job.chain && !j->retry == !job.retry && !j->probe == !job.probe);
        ck_assert(!j->retry || (j->retry->max_delay_ms == 1 << 20 && j->retry->codes[0] == -7));
        ck_assert(!j->probe || j->probe->born_ms == probe.born_ms);
        ck_assert(!j->trace == !job.trace);
        ck_assert(!j->trace ||
                  (j->trace->parent.len == sizeof parent && j->trace->parent.data[16] == 2 &&
                   strcmp(j->trace->state, "a=1") == 0));
        uint8_t *packed = asq__buf_reserve(&again, asqueue__batch__get_packed_size(batch));
        again.len = asqueue__batch__pack(batch, packed);
        ck_assert_uint_eq(again.len, b.len);
        ck_assert_mem_eq(again.data, b.data, b.len);
        asqueue__batch__free_unpacked(batch, NULL);

        size_t without = b.len;
        job.args = args;
        asq__buf_reset(&b);
        put(&b, &job);
        batch = unpacked(&b);
        ck_assert_uint_eq(batch->jobs[0]->args.len, asq_value_encoded_size(args));
        ck_assert_mem_eq(b.data + b.len - batch->jobs[0]->args.len, batch->jobs[0]->args.data,
                         batch->jobs[0]->args.len);
        ck_assert_uint_ge(b.len, without + 2 + batch->jobs[0]->args.len);
        asqueue__batch__free_unpacked(batch, NULL);
        asq__buf_release(&b);
        asq__buf_release(&again);
    }
    asq_value_free(args);
}
END_TEST

START_TEST(results_and_records_are_written_as_protobuf_writes_them)
{
    static const uint32_t numbers[] = { 0, 1, 127, 128, UINT32_MAX };
    static const size_t lengths[] = { 0, 1, 127, 128, 70000 };
    char *bytes = malloc(70000);
    struct asq__buf b, again;

    memset(bytes, 'x', 70000);
    for (size_t i = 0; i < 25; i++) {
        uint32_t number = numbers[i / 5];
        size_t n = lengths[i % 5], other = lengths[i % 4];
        asq__buf_init(&b, 1 << 20);
        asq__buf_init(&again, 1 << 20);
        asq__result_put(number, bytes, n, &b);
        Asqueue__Results *results = asqueue__results__unpack(NULL, b.len, b.data);
        ck_assert_ptr_nonnull(results);
        ck_assert_uint_eq(results->n_results, 1);
        ck_assert_uint_eq(results->results[0]->index, number);
        ck_assert_uint_eq(results->results[0]->value.len, n);
        again.len = asqueue__results__pack(results, asq__buf_reserve(&again, b.len + 1));
        ck_assert_uint_eq(again.len, b.len);
        ck_assert_mem_eq(again.data, b.data, b.len);
        asqueue__results__free_unpacked(results, NULL);

        asq__buf_reset(&b);
        asq__buf_reset(&again);
        ck_assert_int_eq(asq__snapshot_encode("C", number, bytes, n, bytes, other, &b), 0);
        Asqueue__AgentRecord *record = asqueue__agent_record__unpack(NULL, b.len, b.data);
        ck_assert_ptr_nonnull(record);
        ck_assert_uint_eq(record->version, number);
        ck_assert(record->args.len == n && record->state.len == other);
        again.len = asqueue__agent_record__pack(record, asq__buf_reserve(&again, b.len + 1));
        ck_assert_uint_eq(again.len, b.len);
        ck_assert_mem_eq(again.data, b.data, b.len);
        asqueue__agent_record__free_unpacked(record, NULL);
        asq__buf_release(&b);
        asq__buf_release(&again);
    }
    free(bytes);
}
END_TEST

/* Checks that the batch of one job, changed by `spoil`, is refused with a text that contains
 * `reason`. */
static void refused(const struct asq__job *jobs, size_t n, const char *reason)
{
    struct asq__buf b;
    Asqueue__Batch *batch;

    begin(&b);
    for (size_t i = 0; i < n; i++)
        put(&b, &jobs[i]);
    ck_assert_int_eq(decode(&b, &batch), ASQ_EPROTO);
    ck_assert_msg(strstr(why, reason) != NULL, "\"%s\" is not in \"%s\"", reason, why);
    asq__buf_release(&b);
}

/* Decodes a job with a trace, and checks what state it has then; NULL: it has no trace. */
static void leaves(Asqueue__Trace *trace, const char *state)
{
    struct asq__job job = a_call();
    struct asq__buf b;
    Asqueue__Batch *batch;

    job.trace = trace;
    begin(&b);
    put(&b, &job);
    ck_assert_int_eq(decode(&b, &batch), 0);
    ck_assert_str_eq(batch->jobs[0]->method, job.method);
    ck_assert(!batch->jobs[0]->trace == !state);
    if (state)
        ck_assert_str_eq(batch->jobs[0]->trace->state, state);
    asq__buf_release(&b);
}

START_TEST(a_trace_that_is_not_valid_fails_no_call)
{
    Asqueue__Trace trace;
    uint8_t parent[ASQ__TRACE_PARENT] = { 0 };

    asq__trace_borrow(&trace, parent, "a=1");
    leaves(&trace, NULL); /* its ids are 0 */
    parent[0] = parent[16] = 1;
    leaves(&trace, "a=1");
    trace.state = (char[]){ "no member" };
    leaves(&trace, "");
    trace.state = (char[]){ "" };
    trace.parent.len--;
    leaves(&trace, NULL);
}
END_TEST

START_TEST(what_is_wrong_with_a_job_is_told)
{
    char long_name[ASQ_MAX_NAME + 2];
    Asqueue__Link bad, *links[] = { &bad };
    Asqueue__Chain chain;
    struct asq__job job = a_call(), control = { .kind = ASQUEUE__JOB_KIND__CANCEL,
                                                .target = "1-00000000000000000000000000000000-0" };

    refused(NULL, 0, "0 jobs");
    job.agent = "";
    refused(&job, 1, "job 0");
    job.agent = "a\x01";
    refused(&job, 1, "job 0");
    job = a_call();
    job.method = "caf\xe9";
    refused(&job, 1, "not UTF-8");
    memset(long_name, 'x', sizeof long_name);
    long_name[sizeof long_name - 1] = '\0';
    job.method = long_name;
    refused(&job, 1, "more than");
    job = a_call();
    job.kind = (Asqueue__JobKind) 9;
    refused(&job, 1, "unknown kind 9");
    job = control;
    job.target = "nonsense";
    refused(&job, 1, "target");
    refused((const struct asq__job[]){ a_call(), control }, 2, "mixes");
    refused((const struct asq__job[]){ control, a_call() }, 2, "mixes");
    asqueue__link__init(&bad);
    bad.agent = (char[]){ "\xff" };
    asqueue__chain__init(&chain);
    chain.links = links;
    chain.n_links = 1;
    job = a_call();
    job.chain = &chain;
    refused(&job, 1, "chain");
    job = control;
    job.chain = &chain;
    refused(&job, 1, "chain");
}
END_TEST

START_TEST(what_is_wrong_with_a_batch_is_told)
{
    struct asq__buf b;
    struct asq__job job = a_call();
    Asqueue__Batch *batch;
    /* The first one is the channel on which workers announce events to each other. */
    static const char *const replies[] = { "workers", "c11e4700000000a", "c11e4700000000aaa",
                                           "C11E4700000000AA", "c11e4700000000a:" };

    asq__buf_init(&b, 1 << 20);
    put(&b, &job);
    ck_assert_int_eq(decode(&b, &batch), ASQ_EPROTO);
    ck_assert_ptr_nonnull(strstr(why, "id has 0 bytes"));
    for (size_t i = 0; i < sizeof replies / sizeof *replies; i++) {
        asq__buf_reset(&b);
        asq__batch_head(id, replies[i], 1, &b);
        put(&b, &job);
        ck_assert_int_eq(decode(&b, &batch), ASQ_EPROTO);
        ck_assert_ptr_nonnull(strstr(why, "reply"));
    }
    asq__buf_release(&b);
}
END_TEST

START_TEST(no_cut_and_no_flipped_bit_does_harm)
{
    asq_value *args = asq_pack("{s:[i, i], s:s}", "list", 1, 2, "text", "abc");
    struct asq__job job = a_call();
    uint8_t parent[ASQ__TRACE_PARENT] = { 1, [16] = 2 };
    struct asq__buf b;
    Asqueue__Trace trace;
    Asqueue__Batch *batch;
    Asqueue__Results *results;

    asq__trace_borrow(&trace, parent, "a=1");
    job.trace = &trace;
    job.args = args;
    begin(&b);
    put(&b, &job);
    put(&b, &job);
    for (size_t n = 0; n <= b.len; n++) {
        asq__batch_decode(b.data, n, &arena, &batch, why, sizeof why);
        asq__results_decode(b.data, n, &arena, &results, why, sizeof why);
    }
    for (size_t bit = 0; bit < b.len * 8; bit++) {
        b.data[bit / 8] ^= (uint8_t) (1 << bit % 8);
        asq__batch_decode(b.data, b.len, &arena, &batch, why, sizeof why);
        asq__results_decode(b.data, b.len, &arena, &results, why, sizeof why);
        asq__arena_reset(&arena);
        b.data[bit / 8] ^= (uint8_t) (1 << bit % 8);
    }
    ck_assert_int_eq(decode(&b, &batch), 0);
    asq_value_free(args);
    asq__buf_release(&b);
}
END_TEST

START_TEST(as_many_small_jobs_as_are_allowed_have_room)
{
    enum { SIZES = 4 };
    const size_t sizes[SIZES] = { 1, 600, 10000, ASQ__MAX_JOBS };
    struct asq__job job = a_call();

    for (int i = 0; i < SIZES; i++) {
        struct asq__arena own;
        struct asq__buf b;
        Asqueue__Batch *batch;
        Asqueue__Results *results;

        asq__buf_init(&b, 1 << 24);
        asq__batch_head(id, "c11e4700000000aa", 7, &b);
        for (size_t k = 0; k < sizes[i]; k++)
            put(&b, &job);
        asq__arena_init(&own, asq__batch_room(b.data, b.len));
        ck_assert_msg(asq__batch_decode(b.data, b.len, &own, &batch, why, sizeof why) == 0, "%s",
                      why);
        ck_assert_uint_eq(batch->n_jobs, sizes[i]);
        asq__arena_release(&own);
        b.len = 0;
        asq__results_head(id, &b);
        for (size_t k = 0; k < sizes[i]; k++)
            asq__result_put((uint32_t) k, NULL, 0, &b);
        asq__arena_init(&own, asq__results_room(b.data, b.len));
        ck_assert_msg(asq__results_decode(b.data, b.len, &own, &results, why, sizeof why) == 0,
                      "%s", why);
        ck_assert_uint_eq(results->n_results, sizes[i]);
        asq__arena_release(&own);
        asq__buf_release(&b);
    }
}
END_TEST

START_TEST(results_are_joined_by_appending)
{
    const asq_error error = { ASQ_EUSER(1), "why", "C", "m", "a", "w", "id" };
    struct asq__buf b;
    Asqueue__Results *r;
    asq_error back;

    asq__buf_init(&b, 1 << 20);
    asq__results_head(id, &b);
    asq__result_put(0, "\x18\x02", 2, &b);
    asq__results_head(id, &b); /* a second frame behind the first */
    asq__result_put_failure(1, &error, true, &b);
    asq__result_put(2, NULL, 0, &b);
    ck_assert_msg(asq__results_decode(b.data, b.len, &arena, &r, why, sizeof why) == 0, "%s", why);
    ck_assert_mem_eq(r->batch.data, id, sizeof id);
    ck_assert_uint_eq(r->n_results, 3);
    ck_assert_uint_eq(r->results[0]->value.len, 2);
    ck_assert_uint_eq(r->results[1]->index, 1);
    asq__failure_to_error(r->results[1]->failure, &back);
    ck_assert_int_eq(back.code, ASQ_EUSER(1));
    ck_assert_str_eq(back.message, "why");
    ck_assert_str_eq(back.class_name, "C");
    ck_assert_str_eq(back.worker, "w");
    ck_assert(r->results[1]->failure->refused);
    ck_assert_uint_eq(r->results[2]->value.len, 0);
    asq__buf_reset(&b);
    asq__result_put(0, NULL, 0, &b);
    ck_assert_int_eq(asq__results_decode(b.data, b.len, &arena, &r, why, sizeof why), ASQ_EPROTO);
    asq__buf_release(&b);
}
END_TEST

START_TEST(a_success_is_no_failure_and_text_is_text)
{
    const asq_error wrong[] = { { 0, "", "", "", "", "", "" },
                                { 5, "", "", "", "", "", "" },
                                { -5, "\xff", "", "", "", "", "" },
                                { -5, "", "", "", "", "", "\xff" } };
    struct asq__buf b;
    Asqueue__Results *r;

    asq__buf_init(&b, 1 << 20);
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        asq__buf_reset(&b);
        asq__results_head(id, &b);
        asq__result_put_failure(0, &wrong[i], false, &b);
        ck_assert_int_eq(asq__results_decode(b.data, b.len, &arena, &r, why, sizeof why),
                         ASQ_EPROTO);
    }
    asq__buf_release(&b);
}
END_TEST

START_TEST(an_agents_record_comes_back)
{
    struct asq__buf b;
    Asqueue__AgentRecord *m;

    asq__buf_init(&b, 1 << 20);
    ck_assert_int_eq(asq__snapshot_encode("C", 3, "\x18\x02", 2, "\x18\x04", 2, &b), 0);
    ck_assert_int_eq(asq__snapshot_decode(b.data, b.len, &arena, &m, why, sizeof why), 0);
    ck_assert_str_eq(m->class_name, "C");
    ck_assert_uint_eq(m->version, 3);
    ck_assert_uint_eq(m->args.len, 2);
    ck_assert_uint_eq(m->state.len, 2);
    ck_assert_int_lt(asq__snapshot_decode("\xff", 1, &arena, &m, why, sizeof why), 0);
    ck_assert(*why != '\0');
    asq__buf_release(&b);
}
END_TEST

/* Writes an expiry over that of a snapshot, and reads it. */
static struct asq__expiry rewritten(struct asq__buf *b, size_t at, struct asq__expiry e)
{
    struct asq__expiry found = { .ttl_ms = 0 };
    asq__expiry_write(&e, b->data + at);
    ck_assert(asq__snapshot_expiry(b->data, b->len, &found, NULL));
    return found;
}

START_TEST(an_expiry_comes_back_and_is_written_over)
{
    static const uint8_t long_ttl[ASQ__EXPIRY_BYTES] = { 1, 2, 3, 4, 5, 6, 7, 8 };
    struct asq__expiry e = { .ttl_ms = 60000, .end_ms = 1700000000123 }, found;
    struct asq__job job = { .kind = ASQUEUE__JOB_KIND__CREATE, .agent = "a", .class_name = "C" };
    struct asq__buf b;
    Asqueue__Batch *batch;
    Asqueue__AgentRecord *m;
    size_t at;

    begin(&b);
    job.expiry = &e;
    put(&b, &job);
    ck_assert_msg(decode(&b, &batch) == 0, "%s", why);
    ck_assert(asq__expiry_read(batch->jobs[0]->expiry.data, batch->jobs[0]->expiry.len, &found));
    ck_assert_int_eq(found.ttl_ms, e.ttl_ms);
    ck_assert_int_eq(found.end_ms, e.end_ms);
    memcpy(b.data + b.len - ASQ__EXPIRY_BYTES, long_ttl, sizeof long_ttl);
    ck_assert_int_eq(decode(&b, &batch), ASQ_EPROTO);
    ck_assert_ptr_nonnull(strstr(why, "no valid expiry"));

    asq__buf_reset(&b);
    ck_assert_int_eq(asq__snapshot_encode("C", 3, "\x18\x02", 2, "\x18\x04", 2, &b), 0);
    ck_assert(!asq__snapshot_expiry(b.data, b.len, &found, NULL));
    asq__snapshot_put_expiry(&e, &b);
    ck_assert(asq__snapshot_expiry(b.data, b.len, &found, &at));
    ck_assert_int_eq(
        rewritten(&b, at, (struct asq__expiry){ .ttl_ms = 60000, .used_ms = 5 }).used_ms, 5);
    ck_assert_int_eq(asq__snapshot_decode(b.data, b.len, &arena, &m, why, sizeof why), 0);
    ck_assert_uint_eq(m->expiry.len, ASQ__EXPIRY_BYTES);
    ck_assert_uint_eq(m->state.len, 2);
    asq__buf_release(&b);
}
END_TEST

START_TEST(an_expiry_with_a_handle_comes_back)
{
    struct asq__expiry e = { .handle = 0xfedcba9876543210 }, found;
    struct asq__job job = { .kind = ASQUEUE__JOB_KIND__CREATE, .agent = "a", .class_name = "C" };
    struct asq__buf b;
    Asqueue__Batch *batch;
    char spec[ASQ__EXPIRY_SPEC];
    int64_t due_ms;
    uint64_t handle;
    size_t at;

    begin(&b);
    job.expiry = &e;
    put(&b, &job);
    ck_assert_msg(decode(&b, &batch) == 0, "%s", why);
    ck_assert(asq__expiry_read(batch->jobs[0]->expiry.data, batch->jobs[0]->expiry.len, &found));
    ck_assert(found.handle == e.handle && !found.ttl_ms && !found.end_ms);
    memset(b.data + b.len - 8, 0, 8); /* no handle, in the longer form */
    ck_assert_int_eq(decode(&b, &batch), ASQ_EPROTO);

    asq__buf_reset(&b);
    ck_assert_int_eq(asq__snapshot_encode("C", 3, "\x18\x02", 2, "\x18\x04", 2, &b), 0);
    asq__snapshot_put_expiry(&e, &b);
    ck_assert(asq__snapshot_expiry(b.data, b.len, &found, &at));
    e.ttl_ms = 60000;
    e.used_ms = 5;
    found = rewritten(&b, at, e);
    ck_assert(found.used_ms == 5 && found.handle == e.handle);
    asq__buf_release(&b);

    ck_assert_int_eq(asq__expiry_timer(&e, 900000, 1000, spec), 1000 + ASQ__EXPIRY_LOOK_MS);
    ck_assert(asq__expiry_timer_read(spec, strlen(spec), &due_ms, &handle));
    ck_assert(due_ms == 900000 && handle == e.handle);
    ck_assert(!asq__expiry_timer_read(spec, strlen(spec) - 17, &due_ms, &handle));
    ck_assert_int_eq(asq__expiry_timer(&e, 1500, 1000, spec), 1500);
    e.handle = 0;
    ck_assert_int_eq(asq__expiry_timer(&e, 900000, 1000, spec), 900000);
    ck_assert(!asq__expiry_timer_read(spec, strlen(spec), &due_ms, &handle));
    ck_assert(!asq__expiry_timer_read("1 2 0", 5, &due_ms, &handle));
    ck_assert(!asq__expiry_timer_read("1 2 3x", 6, &due_ms, &handle));
}
END_TEST

START_TEST(a_use_that_is_not_recorded_ends_no_agent_too_soon)
{
    struct asq__expiry e = { .ttl_ms = 8000, .used_ms = 1000000 };
    for (int64_t at = e.used_ms; at < e.used_ms + 20000; at += 10)
        if (!asq__expiry_notes(&e, at))
            ck_assert_int_ge(asq__expiry_due_ms(&e), at + e.ttl_ms);
    ck_assert(!asq__expiry_notes(&e, e.used_ms + 999));
    ck_assert(asq__expiry_notes(&e, e.used_ms + 1000));
    ck_assert_int_eq(asq__expiry_due_ms(&e), e.used_ms + 9000);
    e.end_ms = e.used_ms + 100;
    ck_assert_int_eq(asq__expiry_due_ms(&e), e.end_ms);
    e.ttl_ms = 0;
    ck_assert(!asq__expiry_notes(&e, INT64_MAX / 2));
    ck_assert_int_eq(asq__expiry_due_ms(&e), e.end_ms);
    e.ttl_ms = ASQ__EXPIRY_LATEST_MS; /* no overflow */
    e.used_ms = ASQ__EXPIRY_LATEST_MS;
    e.end_ms = 0;
    ck_assert_int_eq(asq__expiry_due_ms(&e), ASQ__EXPIRY_LATEST_MS);
    ck_assert(!asq__expiry_notes(&e, INT64_MAX));
}
END_TEST

START_TEST(a_records_arguments_and_class_are_found_without_the_rest)
{
    static const char *const classes[] = { "C", "A.very.long.name.of.a.class" };
    static uint8_t big[70000];
    const size_t sizes[] = { 0, 1, 127, 128, sizeof big };
    const void *args;
    const char *class_name;
    size_t n;

    memset(big, 0xff, sizeof big);
    for (size_t i = 0; i < 5; i++)
        for (size_t k = 0; k < 5; k++)
            for (uint32_t version = 0; version < 1000; version += 499) {
                struct asq__buf b;
                Asqueue__AgentRecord *m;
                asq__buf_init(&b, 1 << 20);
                ck_assert_int_eq(
                    asq__snapshot_encode(classes[i % 2], version, big, sizes[i], big, sizes[k], &b),
                    0);
                ck_assert_int_eq(asq__snapshot_decode(b.data, b.len, &arena, &m, why, sizeof why),
                                 0);
                ck_assert_uint_eq(m->version, version);
                ck_assert_uint_eq(m->args.len, sizes[i]);
                ck_assert_uint_eq(m->state.len, sizes[k]);
                ck_assert(asq__snapshot_args(b.data, b.len, &args, &n));
                ck_assert_uint_eq(n, sizes[i]);
                ck_assert(!n || memcmp(args, big, n) == 0);
                ck_assert(asq__snapshot_class(b.data, b.len, &class_name, &n));
                ck_assert_uint_eq(n, strlen(classes[i % 2]));
                ck_assert_int_eq(memcmp(class_name, classes[i % 2], n), 0);
                for (size_t cut = b.len - 1; cut > 0 && cut + 10 > b.len;
                     cut--) { /* no reading beyond it */
                    asq__snapshot_args(b.data, cut, &args, &n);
                    asq__snapshot_class(b.data, cut, &class_name, &n);
                }
                asq__buf_release(&b);
                asq__arena_reset(&arena);
            }
    ck_assert(!asq__snapshot_args("\x1a\x05x", 3, &args, &n));
    ck_assert(
        !asq__snapshot_args("\x1a\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 12, &args, &n));
    ck_assert(!asq__snapshot_args("\x1d\x01\x01\x01\x01", 5, &args, &n));
    ck_assert(asq__snapshot_args("", 0, &args, &n));
    ck_assert(asq__snapshot_class("\x0a\x01x\x0a\x02yz", 7, &class_name, &n));
    ck_assert(n == 2 && memcmp(class_name, "yz", 2) == 0);
    ck_assert(!asq__snapshot_class("", 0, &class_name, &n));
    ck_assert(!asq__snapshot_class("\x0a\x00", 2, &class_name, &n));
    ck_assert(!asq__snapshot_class("\x0a\x02x\0", 4, &class_name, &n));
    ck_assert(!asq__snapshot_class("\x0a\x01\xff", 3, &class_name, &n));
    ck_assert(!asq__snapshot_class("\x0a\x02x", 3, &class_name, &n));
}
END_TEST

int main(void)
{
    Suite *s = suite_create("msg");
    TCase *c = tcase_create("msg");
    tcase_add_checked_fixture(c, set_up, tear_down);
    tcase_add_test(c, a_batch_comes_back_as_it_was);
    tcase_add_test(c, jobs_are_written_as_protobuf_writes_them);
    tcase_add_test(c, results_and_records_are_written_as_protobuf_writes_them);
    tcase_add_test(c, what_is_wrong_with_a_job_is_told);
    tcase_add_test(c, a_trace_that_is_not_valid_fails_no_call);
    tcase_add_test(c, what_is_wrong_with_a_batch_is_told);
    tcase_add_test(c, no_cut_and_no_flipped_bit_does_harm);
    tcase_add_test(c, as_many_small_jobs_as_are_allowed_have_room);
    tcase_add_test(c, results_are_joined_by_appending);
    tcase_add_test(c, a_success_is_no_failure_and_text_is_text);
    tcase_add_test(c, an_agents_record_comes_back);
    tcase_add_test(c, an_expiry_comes_back_and_is_written_over);
    tcase_add_test(c, an_expiry_with_a_handle_comes_back);
    tcase_add_test(c, a_use_that_is_not_recorded_ends_no_agent_too_soon);
    tcase_add_test(c, a_records_arguments_and_class_are_found_without_the_rest);
    suite_add_tcase(s, c);
    return sup_suite_run(s);
}
