/*
 * fuzz_batch.c: any bytes in a stream entry, a result key or an agent's snapshot are decoded or
 * refused with a text. Accepted messages have the properties that later code relies on.
 */
#include "value/arena.h"
#include "value/msg.h"
#include "value/msg_fields.h"
#include "value/value.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(int condition)
{
    if (!condition)
        abort();
}

static void require_text(const char *s)
{
    require(asq__utf8_valid(s, strlen(s)));
}

static void refused(int rc, const char *why)
{
    require(rc == ASQ_EPROTO && *why);
    require_text(why);
}

static void value(const ProtobufCBinaryData *bytes)
{
    asq_value *v = NULL;
    if (asq__value_decode(bytes->data, bytes->len, &v, NULL, 0) == 0)
        asq_value_free(v);
}

static void check_batch(const Asqueue__Batch *b)
{
    require(b->id.len == ASQ__BATCH_ID && b->n_jobs >= 1 && b->n_jobs <= ASQ__MAX_JOBS);
    require_text(b->reply);
    for (size_t i = 0; i < b->n_jobs; i++) {
        const Asqueue__Job *job = b->jobs[i];
        struct asq__call_id id;
        require(asq__job_is_control(job) == asq__job_is_control(b->jobs[0]));
        if (asq__job_is_control(job)) {
            require(asq__call_id_parse(job->target, &id) == 0);
        } else {
            require(asq__check_id(job->agent, NULL, 0) == 0);
            require_text(job->method);
            require_text(job->class_name);
        }
        for (size_t k = 0; job->chain && k < job->chain->n_links; k++) {
            require_text(job->chain->links[k]->call);
            require_text(job->chain->links[k]->agent);
        }
        value(&job->args);
    }
}

static void check_results(const Asqueue__Results *r)
{
    require(r->batch.len == ASQ__BATCH_ID);
    for (size_t i = 0; i < r->n_results; i++) {
        asq_error e;
        if (r->results[i]->failure) {
            asq__failure_to_error(r->results[i]->failure, &e);
            require(e.code < 0);
            require_text(e.message);
            require_text(e.worker);
        }
        value(&r->results[i]->value);
    }
}

/* Checks that both are no message, or have the same bytes when they are packed. */
static void same(const ProtobufCMessage *a, const ProtobufCMessage *b)
{
    require(!a == !b);
    if (!a)
        return;
    size_t n = protobuf_c_message_get_packed_size(a);
    uint8_t *packed = malloc(2 * n + 1);
    require(packed && n == protobuf_c_message_get_packed_size(b));
    protobuf_c_message_pack(a, packed);
    protobuf_c_message_pack(b, packed + n);
    require(memcmp(packed, packed + n, n) == 0);
    free(packed);
}

/* Compares msg_read.c with protobuf-c. */
static void compare_readers(const uint8_t *data, size_t size)
{
    struct asq__arena arena, other;
    asq__arena_init(&arena, SIZE_MAX);
    asq__arena_init(&other, SIZE_MAX);
    const Asqueue__Batch *b = asq__batch_read(data, size, &arena);
    const Asqueue__Batch *its_b = asqueue__batch__unpack(&other.allocator, size, data);
    same(b ? &b->base : NULL, its_b ? &its_b->base : NULL);
    const Asqueue__Results *r = asq__results_read(data, size, &arena);
    const Asqueue__Results *its_r = asqueue__results__unpack(&other.allocator, size, data);
    same(r ? &r->base : NULL, its_r ? &its_r->base : NULL);
    asq__arena_release(&arena);
    asq__arena_release(&other);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct asq__arena arena;
    Asqueue__Batch *batch;
    Asqueue__Results *results;
    Asqueue__AgentRecord *record;
    char why[300] = "";
    asq__arena_init(&arena, 8 * size + 65536);
    int rc = asq__batch_decode(data, size, &arena, &batch, why, sizeof why);
    if (rc == 0)
        check_batch(batch);
    else
        refused(rc, why);
    rc = asq__results_decode(data, size, &arena, &results, why, sizeof why);
    if (rc == 0)
        check_results(results);
    else
        refused(rc, why);
    rc = asq__snapshot_decode(data, size, &arena, &record, why, sizeof why);
    if (rc == 0) {
        require_text(record->class_name);
        value(&record->args);
        value(&record->state);
        const void *args;
        const char *class_name;
        size_t n;
        if (asq__snapshot_class(data, size, &class_name, &n))
            require(n == strlen(record->class_name) &&
                    memcmp(class_name, record->class_name, n) == 0);
        if (asq__snapshot_args(data, size, &args, &n))
            require(n == record->args.len && (n == 0 || memcmp(args, record->args.data, n) == 0));
    } else {
        require(rc < 0 && *why);
        require_text(why);
    }
    asq__arena_release(&arena);
    compare_readers(data, size);
    return 0;
}
