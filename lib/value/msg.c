/*
 * msg.c: see msg.h. Stands on the code that protobuf-c generates.
 */
#include "value/msg.h"

#include <string.h>

#include "value/msg_fields.h"
#include "value/unconst.h"
#include "value/varint.h"

/* protobuf-c's strings are not const, though packing only reads them. */
static char *text(const char *s)
{
    return asq__unconst(s ? s : "");
}

/* ---- fields, written where there is room for them ----
 *
 * What is written for each call does not go through protobuf-c, which walks over all fields that a message
 * may have, twice. The bytes are the same. As in proto3, a field that is zero or empty is not written. */

static size_t number_size(uint64_t v)
{
    return v ? 1 + asq__varint_size(v) : 0;
}

static uint8_t *write_number(uint8_t *p, uint8_t tag, uint64_t v)
{
    if (!v)
        return p;
    *p++ = tag;
    return asq__varint_write(p, v);
}

/* Tag and length of a field whose bytes follow. */
static uint8_t *write_begin(uint8_t *p, uint8_t tag, size_t n)
{
    *p++ = tag;
    return asq__varint_write(p, n);
}

static uint8_t *write_bytes(uint8_t *p, uint8_t tag, const void *data, size_t n)
{
    if (!n)
        return p;
    p = write_begin(p, tag, n);
    memcpy(p, data, n);
    return p + n;
}

/* A message inside another, which may be absent (NULL): rare, and left to protobuf-c. */
static size_t message_size(const ProtobufCMessage *m)
{
    return m ? asq__field_size(protobuf_c_message_get_packed_size(m)) : 0;
}

static uint8_t *write_message(uint8_t *p, uint8_t tag, const ProtobufCMessage *m)
{
    if (!m)
        return p;
    p = write_begin(p, tag, protobuf_c_message_get_packed_size(m));
    return p + protobuf_c_message_pack(m, p);
}

/* Tag and length of a message whose n bytes follow, and room for them; NULL: out->error. */
static uint8_t *begin_message(struct asq__buf *out, uint8_t tag, size_t n)
{
    uint8_t *p = asq__buf_reserve(out, asq__field_size(n));
    return p ? write_begin(p, tag, n) : NULL;
}

static void written_to(struct asq__buf *out, const uint8_t *end)
{
    out->len = (size_t) (end - out->data);
}

/* ---- jobs and batches ---- */

static Asqueue__Retry *put_retry(Asqueue__Retry *m, const asq_retry *retry)
{
    asqueue__retry__init(m);
    m->attempts = retry->attempts;
    m->delay_ms = (uint64_t) retry->delay_ms;
    m->max_delay_ms = (uint64_t) retry->max_delay_ms;
    m->codes = asq__unconst(retry->codes);
    while (m->codes && m->codes[m->n_codes])
        m->n_codes++;
    m->keep_place = retry->keep_place;
    return m;
}

static size_t length(const char *s)
{
    return s ? strlen(s) : 0;
}

/* The arguments stand last, and are encoded where they are to be: they may be large. */
int asq__job_encode(const struct asq__job *job, struct asq__buf *out)
{
    int64_t args_size = job->args ? asq__value_size(job->args) : 0;
    if (args_size < 0)
        return (int) args_size;
    Asqueue__Retry retry_message;
    const ProtobufCMessage *chain = job->chain ? &job->chain->base : NULL;
    const ProtobufCMessage *probe = job->probe ? &job->probe->base : NULL;
    const ProtobufCMessage *retry =
        job->retry ? &put_retry(&retry_message, job->retry)->base : NULL;
    size_t agent_n = length(job->agent), class_n = length(job->class_name);
    size_t method_n = length(job->method), target_n = length(job->target);
    size_t args_n = (size_t) args_size;
    size_t n = number_size(job->kind) + asq__bytes_size(agent_n) + asq__bytes_size(class_n) +
               asq__bytes_size(method_n) + number_size(job->timeout_ms) +
               number_size(job->no_result) + message_size(chain) + asq__bytes_size(target_n) +
               number_size(job->inputs) + number_size(job->delay_ms) + message_size(retry) +
               message_size(probe) + asq__bytes_size(args_n);
    uint8_t *p = begin_message(out, TAG_BATCH_JOBS, n);
    if (p) {
        p = write_number(p, TAG_JOB_KIND, job->kind);
        p = write_bytes(p, TAG_JOB_AGENT, job->agent, agent_n);
        p = write_bytes(p, TAG_JOB_CLASS, job->class_name, class_n);
        p = write_bytes(p, TAG_JOB_METHOD, job->method, method_n);
        p = write_number(p, TAG_JOB_TIMEOUT, job->timeout_ms);
        p = write_number(p, TAG_JOB_NO_RESULT, job->no_result);
        p = write_message(p, TAG_JOB_CHAIN, chain);
        p = write_bytes(p, TAG_JOB_TARGET, job->target, target_n);
        p = write_number(p, TAG_JOB_INPUTS, job->inputs);
        p = write_number(p, TAG_JOB_DELAY, job->delay_ms);
        p = write_message(p, TAG_JOB_RETRY, retry);
        p = write_message(p, TAG_JOB_PROBE, probe);
        if (args_n)
            p = write_begin(p, TAG_JOB_ARGS, args_n);
        written_to(out, p);
        if (args_n)
            asq__value_put(job->args, args_n, out);
    }
    int rc = out->error;
    out->error = 0;
    return rc;
}

void asq__batch_head(const uint8_t id[ASQ__BATCH_ID], const char *reply, uint64_t number,
                     struct asq__buf *out)
{
    size_t reply_n = length(reply);
    uint8_t *p = asq__buf_reserve(out, asq__field_size(ASQ__BATCH_ID) + asq__bytes_size(reply_n) +
                                           number_size(number));
    if (p) {
        p = write_bytes(p, TAG_BATCH_ID, id, ASQ__BATCH_ID);
        p = write_bytes(p, TAG_BATCH_REPLY, reply, reply_n);
        written_to(out, write_number(p, TAG_BATCH_NUMBER, number));
    }
}

void asq__batch_mark_resent(struct asq__buf *out)
{
    asq__buf_putc(out, TAG_BATCH_RESENT);
    asq__buf_putc(out, 1);
}

void asq__batch_set_times(uint64_t stamp_ms, uint64_t age_ms, struct asq__buf *out)
{
    /* Zeros are written, too: they count instead of what was appended before. */
    uint8_t *p = asq__buf_reserve(out, 2 + asq__varint_size(stamp_ms) + asq__varint_size(age_ms));
    if (p) {
        *p++ = TAG_BATCH_STAMP;
        p = asq__varint_write(p, stamp_ms);
        *p++ = TAG_BATCH_AGE;
        written_to(out, asq__varint_write(p, age_ms));
    }
}

void asq__batch_set_number(uint64_t number, struct asq__buf *out)
{
    asq__buf_putc(out, TAG_BATCH_NUMBER);
    asq__buf_varint(out, number);
}

void asq__batch_set_timeout(uint64_t timeout_ms, struct asq__buf *out)
{
    asq__buf_putc(out, TAG_BATCH_TIMEOUT);
    asq__buf_varint(out, timeout_ms);
}

static bool utf8(const char *s)
{
    return asq__utf8_valid(s, strlen(s));
}

bool asq__job_is_control(const Asqueue__Job *job)
{
    return job->kind == ASQUEUE__JOB_KIND__AWAIT || job->kind == ASQUEUE__JOB_KIND__CANCEL ||
           job->kind == ASQUEUE__JOB_KIND__PROBE;
}

static int check_chain(const Asqueue__Job *job, size_t i, char *err, size_t errlen)
{
    if (!job->chain)
        return 0;
    if (job->chain->n_links > ASQ__MAX_CHAIN)
        return asq__err(err, errlen, ASQ_EPROTO, "job %zu has a chain of %zu callers", i,
                        job->chain->n_links);
    for (size_t k = 0; k < job->chain->n_links; k++)
        if (!utf8(job->chain->links[k]->call) || !utf8(job->chain->links[k]->agent))
            return asq__err(err, errlen, ASQ_EPROTO, "job %zu has a chain that is not UTF-8", i);
    return 0;
}

static int check_probe(const Asqueue__Probe *probe, size_t i, char *err, size_t errlen)
{
    struct asq__call_id id;
    bool ok = probe && utf8(probe->agent) && probe->n_calls <= ASQ__MAX_PROBED &&
              probe->way <= probe->n_calls;
    for (size_t k = 0; ok && k < probe->n_calls; k++) {
        const Asqueue__Waiting *c = probe->calls[k];
        ok = asq__call_id_parse(c->call, &id) == 0 && utf8(c->agent);
        for (size_t t = 0; ok && t < c->n_targets; t++)
            ok = c->targets[t] < probe->n_calls;
    }
    return ok ? 0 : asq__err(err, errlen, ASQ_EPROTO, "job %zu has no valid probe", i);
}

static int check_job(const Asqueue__Job *job, size_t i, char *err, size_t errlen)
{
    char why[200];
    bool control = asq__job_is_control(job);
    if (!control && job->kind > ASQUEUE__JOB_KIND__DESCRIBE)
        return asq__err(err, errlen, ASQ_EPROTO, "job %zu is of unknown kind %d", i,
                        (int) job->kind);
    if (control) {
        struct asq__call_id id;
        if (asq__call_id_parse(job->target, &id) < 0)
            return asq__err(err, errlen, ASQ_EPROTO, "job %zu has no valid target call id", i);
        if (job->kind == ASQUEUE__JOB_KIND__PROBE)
            return check_probe(job->probe, i, err, errlen);
        return check_chain(job, i, err, errlen);
    }
    if (asq__check_id(job->agent, why, sizeof why) < 0)
        return asq__err(err, errlen, ASQ_EPROTO, "job %zu: %s", i, why);
    if (!utf8(job->method) || !utf8(job->class_name))
        return asq__err(err, errlen, ASQ_EPROTO, "job %zu has a name that is not UTF-8", i);
    if (strlen(job->method) > ASQ_MAX_NAME || strlen(job->class_name) > ASQ_MAX_NAME)
        return asq__err(err, errlen, ASQ_EPROTO, "job %zu has a name of more than %d bytes", i,
                        ASQ_MAX_NAME);
    return check_chain(job, i, err, errlen);
}

bool asq__is_client_id(const char *reply)
{
    size_t n = strspn(reply, "0123456789abcdef");
    return (n == 16 || n == 0) && reply[n] == '\0';
}

int asq__batch_decode(const void *data, size_t n, struct asq__arena *arena, Asqueue__Batch **ret,
                      char *err, size_t errlen)
{
    Asqueue__Batch *b = asq__batch_read(data, n, arena);
    if (!b)
        return asq__err(err, errlen, ASQ_EPROTO,
                        "the batch is no valid protobuf message, or too large");
    if (b->id.len != ASQ__BATCH_ID)
        return asq__err(err, errlen, ASQ_EPROTO, "the batch id has %zu bytes instead of %d",
                        b->id.len, ASQ__BATCH_ID);
    if (!asq__is_client_id(b->reply))
        return asq__err(err, errlen, ASQ_EPROTO,
                        "the reply channel is not a client id (16 hexadecimal digits)");
    if (b->n_jobs == 0 || b->n_jobs > ASQ__MAX_JOBS)
        return asq__err(err, errlen, ASQ_EPROTO, "the batch has %zu jobs; 1 to %d are allowed",
                        b->n_jobs, ASQ__MAX_JOBS);
    for (size_t i = 0; i < b->n_jobs; i++) {
        int rc = check_job(b->jobs[i], i, err, errlen);
        if (rc < 0)
            return rc;
        if (asq__job_is_control(b->jobs[i]) != asq__job_is_control(b->jobs[0]))
            return asq__err(err, errlen, ASQ_EPROTO, "the batch mixes calls with control jobs");
    }
    *ret = b;
    return 0;
}

void asq__results_head(const uint8_t batch[ASQ__BATCH_ID], struct asq__buf *out)
{
    uint8_t *p = asq__buf_reserve(out, asq__field_size(ASQ__BATCH_ID));
    if (p)
        written_to(out, write_bytes(p, TAG_RESULTS_BATCH, batch, ASQ__BATCH_ID));
}

void asq__results_announce(const uint8_t batch[ASQ__BATCH_ID], uint64_t upto, uint64_t size,
                           struct asq__buf *out)
{
    asq__results_head(batch, out);
    uint8_t *p = asq__buf_reserve(out, number_size(upto) + number_size(size));
    if (p) {
        p = write_number(p, TAG_RESULTS_UPTO, upto);
        written_to(out, write_number(p, TAG_RESULTS_SIZE, size));
    }
}

void asq__result_put(uint32_t index, const void *value, size_t n, struct asq__buf *out)
{
    uint8_t *p = begin_message(out, TAG_RESULTS_RESULT, number_size(index) + asq__bytes_size(n));
    if (p) {
        p = write_number(p, TAG_RESULT_INDEX, index);
        written_to(out, write_bytes(p, TAG_RESULT_VALUE, value, n));
    }
}

void asq__result_put_failure(uint32_t index, const asq_error *error, bool refused,
                             struct asq__buf *out)
{
    Asqueue__Failure f;
    asqueue__failure__init(&f);
    f.code = error->code;
    f.message = text(error->message);
    f.class_name = text(error->class_name);
    f.method = text(error->method);
    f.agent = text(error->agent_id);
    f.worker = text(error->worker);
    f.call = text(error->call_id);
    f.refused = refused;
    Asqueue__Result m;
    asqueue__result__init(&m);
    m.index = index;
    m.failure = &f;
    uint8_t *p = asq__buf_reserve(out, message_size(&m.base));
    if (p)
        written_to(out, write_message(p, TAG_RESULTS_RESULT, &m.base));
}

int asq__results_decode(const void *data, size_t n, struct asq__arena *arena,
                        Asqueue__Results **ret, char *err, size_t errlen)
{
    Asqueue__Results *r = asq__results_read(data, n, arena);
    if (!r)
        return asq__err(err, errlen, ASQ_EPROTO, "the result record is no valid protobuf message");
    if (r->batch.len != ASQ__BATCH_ID)
        return asq__err(err, errlen, ASQ_EPROTO, "the result record names no batch");
    for (size_t i = 0; i < r->n_results; i++) {
        const Asqueue__Failure *f = r->results[i]->failure;
        if (f && (f->code >= 0 || !utf8(f->message) || !utf8(f->class_name) || !utf8(f->method) ||
                  !utf8(f->agent) || !utf8(f->worker) || !utf8(f->call)))
            return asq__err(err, errlen, ASQ_EPROTO, "the result record has an invalid failure");
    }
    *ret = r;
    return 0;
}

void asq__failure_to_error(const Asqueue__Failure *f, asq_error *ret)
{
    ret->code = f->code;
    ret->message = f->message;
    ret->class_name = f->class_name;
    ret->method = f->method;
    ret->agent_id = f->agent;
    ret->worker = f->worker;
    ret->call_id = f->call;
}

/* Up to the bytes of the state, for which there is room then. */
static void record_head(const char *class_name, uint32_t version, const void *args, size_t args_n,
                        size_t state_n, struct asq__buf *out)
{
    size_t class_n = strlen(class_name);
    uint8_t *p = asq__buf_reserve(out, asq__bytes_size(class_n) + number_size(version) +
                                           asq__bytes_size(args_n) + asq__bytes_size(state_n));
    if (!p)
        return;
    p = write_bytes(p, TAG_RECORD_CLASS, class_name, class_n);
    p = write_number(p, TAG_RECORD_VERSION, version);
    p = write_bytes(p, TAG_RECORD_ARGS, args, args_n);
    if (state_n)
        p = write_begin(p, TAG_RECORD_STATE, state_n);
    written_to(out, p);
}

int asq__record_encode(const char *class_name, uint32_t version, const void *args, size_t args_n,
                       const void *state, size_t state_n, struct asq__buf *out)
{
    record_head(class_name, version, args, args_n, state_n, out);
    asq__buf_put(out, state, state_n);
    return out->error;
}

int asq__record_encode_value(const char *class_name, uint32_t version, const void *args,
                             size_t args_n, const asq_value *state, size_t state_n,
                             struct asq__buf *out)
{
    record_head(class_name, version, args, args_n, state_n, out);
    if (state_n)
        asq__value_put(state, state_n, out);
    return out->error;
}

bool asq__record_args(const void *data, size_t n, const void **ret, size_t *ret_n)
{
    const uint8_t *p = data, *end = p + n;
    *ret = NULL;
    *ret_n = 0;
    while (p < end) {
        uint64_t tag, length;
        if (!(p = asq__varint_read(p, end, &tag)) || !(p = asq__varint_read(p, end, &length)))
            return false;
        if ((tag & 7) == 0)
            continue; /* a varint field: `length` was its value */
        if ((tag & 7) != 2 || length > (size_t) (end - p))
            return false;
        if (tag == TAG_RECORD_ARGS) { /* of several the last counts, as for any decoder */
            *ret = p;
            *ret_n = (size_t) length;
        }
        p += length;
    }
    return true;
}

int asq__record_decode(const void *data, size_t n, struct asq__arena *arena,
                       Asqueue__AgentRecord **ret, char *err, size_t errlen)
{
    Asqueue__AgentRecord *r = asqueue__agent_record__unpack(&arena->allocator, n, data);
    if (!r)
        return asq__err(err, errlen, ASQ_EPROTO, "the agent's record is no valid protobuf message");
    if (!*r->class_name || !utf8(r->class_name))
        return asq__err(err, errlen, ASQ_EPROTO, "the agent's record names no class");
    *ret = r;
    return 0;
}
