/*
 * dead.c: shows, resends and drops a dead letter. See dead.h.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/admin.h"
#include "client/dead.h"
#include "client/handle.h"
#include "client/remote.h"
#include "redis/keys.h"
#include "redis/redis.h"
#include "redis/script.h"
#include "value/arena.h"
#include "value/buf.h"
#include "value/hex.h"
#include "value/msg.h"
#include "value/pools.h"
#include "value/random.h"
#include "value/value.h"

enum { HEAD_BYTES = 64 };

/* ---- ids ---- */

static bool read_number(const char **text, char end, unsigned long long *ret)
{
    const char *s = *text;
    unsigned long long n = 0;
    if (*s < '0' || *s > '9')
        return false;
    for (; *s >= '0' && *s <= '9'; s++) {
        if (n > (UINT64_MAX - 9) / 10)
            return false;
        n = n * 10 + (unsigned long long) (*s - '0');
    }
    if (*s != end)
        return false;
    *text = s + 1;
    *ret = n;
    return true;
}

bool asq__dead_parse_stream_id(const char *text, struct asq__letter_id *ret)
{
    return read_number(&text, '-', &ret->ms) && read_number(&text, '\0', &ret->n);
}

bool asq__dead_parse_id(const char *text, struct asq__letter_id *ret)
{
    unsigned long long partition;
    if (!read_number(&text, '-', &partition) || partition > UINT32_MAX ||
        !asq__dead_parse_stream_id(text, ret))
        return false;
    ret->partition = (uint32_t) partition;
    return true;
}

int asq__dead_compare(const asq_value *a, const asq_value *b)
{
    struct asq__letter_id x = { 0 }, y = { 0 };
    asq__dead_parse_id(asq_map_string(a, "id"), &x);
    asq__dead_parse_id(asq_map_string(b, "id"), &y);
    if (x.ms != y.ms)
        return x.ms < y.ms ? -1 : 1;
    if (x.n != y.n)
        return x.n < y.n ? -1 : 1;
    return x.partition < y.partition ? -1 : x.partition > y.partition;
}

/* Parses a letter's id into its partition and its stream id. */
static int check_id(asq *h, const char *text, struct asq__letter_id *ret, char stream_id[48])
{
    if (!text || !asq__dead_parse_id(text, ret) || ret->partition >= h->partitions)
        return asq__fail(h, ASQ_EINVAL,
                         "'%s' is not the id of a dead letter of this namespace; as-ctl dead list "
                         "(asq_dead_list) shows the ids",
                         text ? text : "");
    snprintf(stream_id, 48, "%llu-%llu", ret->ms, ret->n);
    return 0;
}

static int no_letter(asq *h, const char *id)
{
    return asq__fail(h, ASQ_ENOENT, "there is no dead letter %s", id);
}

/* ---- contents of a letter ---- */

int asq__dead_describe(const struct asq__letter_id *id, const redisReply *const *fields, size_t n,
                       long long batch_bytes, asq_value **ret)
{
    static const struct {
        const char *field, *key;
    } texts[] = {
        { "call", "call" }, { "id", "call_id" }, { "reason", "reason" }, { "worker", "worker" }
    };
    char text[96];
    snprintf(text, sizeof text, "%u-%llu-%llu", id->partition, id->ms, id->n);
    asq_value *map =
        asq_pack("{s:s, s:I, s:s, s:s, s:s, s:i, s:s, s:I}", "id", text, "time_ms",
                 (int64_t) id->ms, "call", "?", "call_id", "", "reason", "", "attempts", 0,
                 "worker", "", "batch_bytes", (int64_t) (batch_bytes > 0 ? batch_bytes : 0));
    if (!map)
        return ASQ_ENOMEM;
    for (size_t i = 0; i + 1 < n; i += 2) {
        const redisReply *name = fields[i], *value = fields[i + 1];
        int rc = 0;
        if (name->type != REDIS_REPLY_STRING || value->type != REDIS_REPLY_STRING)
            continue;
        if (strcmp(name->str, "attempts") == 0)
            rc = asq_map_set_int(map, "attempts", strtoll(value->str, NULL, 10));
        for (size_t k = 0; k < sizeof texts / sizeof *texts && rc == 0; k++)
            if (strcmp(name->str, texts[k].field) == 0)
                rc = asq_map_set(map, texts[k].key,
                                 asq__admin_text(value->str, (size_t) value->len));
        if (rc < 0) {
            asq_value_free(map);
            return rc;
        }
    }
    *ret = map;
    return 0;
}

/* ---- one letter ---- */

/* A letter read from Redis. */
struct letter {
    const char *text;
    struct asq__letter_id id;
    asq_value *about;
    uint8_t *bytes; /* encoded batch; NULL: none */
    size_t n;
    struct asq__arena arena;
    Asqueue__Batch *batch; /* in the arena; NULL: undecodable */
    char why[300];         /* reason why `batch` is NULL */
};

static void letter_release(struct letter *l)
{
    asq_value_free(l->about);
    free(l->bytes);
    asq__arena_release(&l->arena);
}

static void decode(asq *h, struct letter *l)
{
    Asqueue__Batch *batch;
    if (!l->bytes) {
        snprintf(l->why, sizeof l->why, "the entry had no field 'batch'");
        return;
    }
    if (asq__batch_decode(l->bytes, l->n, &l->arena, &batch, l->why, sizeof l->why) < 0)
        return;
    if (asq__job_is_control(batch->jobs[0])) {
        snprintf(l->why, sizeof l->why, "it is about another call, and is none itself");
        return;
    }
    for (size_t i = 0; i < batch->n_jobs; i++) {
        const char *agent = batch->jobs[i]->agent;
        uint32_t partition;
        if (!asq__pools_place(h->pools, agent, &partition)) {
            snprintf(l->why, sizeof l->why, "agent '%.100s' belongs to a pool that is not there",
                     agent);
            return;
        }
        if (partition != l->id.partition) {
            snprintf(l->why, sizeof l->why, "agent '%.100s' belongs to partition %u, not %u", agent,
                     partition, l->id.partition);
            return;
        }
    }
    l->batch = batch;
}

static int take_letter(asq *h, const redisReply *reply, void *user)
{
    struct letter *l = user;
    const redisReply *fields = NULL, *batch = NULL;
    if (reply->type != REDIS_REPLY_ARRAY)
        return asq__fail(h, ASQ_EPROTO, "Redis answered with something other than a list");
    if (reply->elements == 0)
        return no_letter(h, l->text);
    if (reply->element[0]->type == REDIS_REPLY_ARRAY && reply->element[0]->elements == 2 &&
        reply->element[0]->element[1]->type == REDIS_REPLY_ARRAY)
        fields = reply->element[0]->element[1];
    if (!fields)
        return asq__fail(h, ASQ_EPROTO, "Redis answered with something other than a dead letter");
    for (size_t i = 0; i + 1 < fields->elements; i += 2)
        if (fields->element[i]->type == REDIS_REPLY_STRING &&
            fields->element[i + 1]->type == REDIS_REPLY_STRING &&
            strcmp(fields->element[i]->str, "batch") == 0)
            batch = fields->element[i + 1];
    /* An empty batch: the original entry had none. */
    if (batch && batch->len) {
        l->n = (size_t) batch->len;
        if (!(l->bytes = malloc(l->n)))
            return asq__fail_memory(h);
        memcpy(l->bytes, batch->str, l->n);
    }
    if (asq__dead_describe(&l->id, (const redisReply *const *) fields->element, fields->elements,
                           (long long) l->n, &l->about) < 0)
        return asq__fail_memory(h);
    return 0;
}

/* Reads a letter. The caller releases `l` also after a failure. */
static int read_letter(asq *h, const char *id, struct letter *l)
{
    char key[ASQ__KEY_MAX], stream_id[48];
    memset(l, 0, sizeof *l);
    asq__arena_init(&l->arena, 0);
    l->text = id;
    int rc = check_id(h, id, &l->id, stream_id);
    if (rc < 0)
        return rc;
    asq__keys_dead(asq__redis_keys(asq__remote_redis(h)), l->id.partition, key);
    struct asq__query q = { .partition = l->id.partition,
                            .take = take_letter,
                            .user = l,
                            .argc = 4,
                            .argv = (const char *[]){ "XRANGE", key, stream_id, stream_id } };
    rc = asq__admin_ask(h, &q);
    if (rc < 0)
        return rc;
    asq__arena_init(&l->arena, asq__batch_room(l->bytes, l->n));
    decode(h, l);
    return 0;
}

/* ---- show ---- */

/* Returns the first bytes of undecodable data in hexadecimal. */
static asq_value *hex_head(const void *data, size_t n)
{
    char text[2 * HEAD_BYTES + 1];
    *asq__hex(text, data, n < HEAD_BYTES ? n : HEAD_BYTES) = '\0';
    return asq_value_string(text);
}

static const char *kind_text(Asqueue__JobKind kind)
{
    switch (kind) {
    case ASQUEUE__JOB_KIND__CALL: return "call";
    case ASQUEUE__JOB_KIND__CREATE: return "create";
    case ASQUEUE__JOB_KIND__GET_OR_CREATE: return "get_or_create";
    case ASQUEUE__JOB_KIND__DELETE: return "delete";
    case ASQUEUE__JOB_KIND__GET: return "get";
    case ASQUEUE__JOB_KIND__SET: return "set";
    case ASQUEUE__JOB_KIND__EXISTS: return "exists";
    case ASQUEUE__JOB_KIND__DESCRIBE: return "describe";
    case ASQUEUE__JOB_KIND__SCHEDULE: return "schedule";
    case ASQUEUE__JOB_KIND__UNSCHEDULE: return "unschedule";
    case ASQUEUE__JOB_KIND__SIGNAL: return "signal";
    case ASQUEUE__JOB_KIND__EXPIRE: return "expire";
    default: return "?";
    }
}

/* Adds a job's arguments to the map; null if it has none. */
static int add_args(asq_value *map, const Asqueue__Job *job)
{
    asq_value *args = NULL;
    char why[200];
    int rc = 0;
    if (job->args.len)
        rc = asq__value_decode(job->args.data, job->args.len, &args, why, sizeof why);
    if (rc == 0)
        return asq_map_set(map, "args", args ? args : asq_value_null());
    if (rc == ASQ_ENOMEM)
        return rc;
    rc = asq_map_set(map, "args_error", asq__admin_text(why, strlen(why)));
    if (rc == 0)
        rc = asq_map_set_int(map, "args_bytes", (int64_t) job->args.len);
    return rc < 0 ? rc : asq_map_set(map, "args_head", hex_head(job->args.data, job->args.len));
}

static asq_value *show_job(const Asqueue__Job *job)
{
    asq_value *map = asq_pack("{s:s, s:s, s:s}", "kind", kind_text(job->kind), "agent", job->agent,
                              "method", job->method);
    int rc = map ? add_args(map, job) : ASQ_ENOMEM;
    if (rc == 0 && *job->class_name)
        rc = asq_map_set(map, "class", asq_value_string(job->class_name));
    if (rc == 0 && job->timeout_ms)
        rc = asq_map_set_int(map, "deadline_ms", (int64_t) job->timeout_ms);
    if (rc == 0 && job->delay_ms)
        rc = asq_map_set_int(map, "delay_ms", (int64_t) job->delay_ms);
    if (rc == 0 && job->chain && job->chain->n_links) {
        const Asqueue__Link *caller = job->chain->links[job->chain->n_links - 1];
        rc = asq_map_set(map, "caller",
                         asq_pack("{s:s, s:s}", "call_id", caller->call, "agent", caller->agent));
    }
    if (rc == 0)
        return map;
    asq_value_free(map);
    return NULL;
}

static int show_batch(const struct letter *l)
{
    if (!l->batch) {
        int rc = asq_map_set(l->about, "error", asq__admin_text(l->why, strlen(l->why)));
        return rc < 0 ? rc : asq_map_set(l->about, "batch_head", hex_head(l->bytes, l->n));
    }
    asq_value *jobs = asq_value_list();
    int rc = jobs ? 0 : ASQ_ENOMEM;
    for (size_t i = 0; i < l->batch->n_jobs && rc == 0; i++)
        rc = asq_list_append(jobs, show_job(l->batch->jobs[i]));
    if (rc == 0)
        return asq_map_set(l->about, "jobs", jobs);
    asq_value_free(jobs);
    return rc;
}

static int show_letter(asq *h, const char *id, asq_value **ret)
{
    struct letter l;
    int rc = read_letter(h, id, &l);
    if (rc == 0 && show_batch(&l) < 0)
        rc = asq__fail_memory(h);
    if (rc == 0) {
        *ret = l.about;
        l.about = NULL;
    }
    letter_release(&l);
    return rc;
}

int asq_dead_show(asq *h, const char *id, asq_value **ret)
{
    if (!h || !id || !ret)
        return asq__null(h, "asq_dead_show");
    int rc = asq__admin_begin(h, "asq_dead_show");
    return rc < 0 ? rc : asq__admin_end(h, show_letter(h, id, ret));
}

/* ---- retry ---- */

/* Checks the arguments, so that the error is reported here and not in the call's result. */
static int check_args(asq *h, const struct letter *l)
{
    char why[300];
    for (size_t i = 0; i < l->batch->n_jobs; i++) {
        const Asqueue__Job *job = l->batch->jobs[i];
        asq_value *args = NULL;
        int rc = 0;
        if (job->args.len)
            rc = asq__value_decode(job->args.data, job->args.len, &args, why, sizeof why);
        asq_value_free(args);
        if (rc == ASQ_ENOMEM)
            return asq__fail_memory(h);
        if (rc < 0)
            return asq__fail(h, ASQ_EPROTO,
                             "dead letter %s stays: the arguments of job %zu cannot be decoded: %s",
                             l->text, i, why);
    }
    return 0;
}

/* Encodes a letter's batch as new calls without a caller. Calls of private methods keep the calling
 * agent, which gives them the right to be called, under the id of no real call, so that no call
 * seems to wait. */
static int encode_copy(asq *h, struct letter *l, uint8_t id[ASQ__BATCH_ID], struct asq__buf *out)
{
    struct asq__call_id no_call = { .partition = l->id.partition };
    char no_call_text[ASQ__CALL_ID_TEXT];
    Asqueue__Batch batch;
    if (asq__random(id, ASQ__BATCH_ID) < 0 || asq__random(no_call.batch, ASQ__BATCH_ID) < 0)
        return asq__fail(h, ASQ_ESYS, "getrandom: %s", strerror(errno));
    asq__call_id_format(&no_call, no_call_text);
    asqueue__batch__init(&batch);
    batch.id.data = id;
    batch.id.len = ASQ__BATCH_ID;
    batch.jobs = l->batch->jobs;
    batch.n_jobs = l->batch->n_jobs;
    for (size_t i = 0; i < batch.n_jobs; i++) {
        Asqueue__Job *job = batch.jobs[i];
        Asqueue__Chain *chain = job->chain;
        job->delay_ms = 0;
        job->no_result = false; /* the result can be asked for by id */
        if (chain && chain->n_links && job->method[0] == '_') {
            chain->links[0] = chain->links[chain->n_links - 1];
            chain->n_links = 1;
            chain->links[0]->call = no_call_text;
        } else {
            job->chain = NULL;
        }
    }
    size_t n = asqueue__batch__get_packed_size(&batch);
    asq__buf_init(out, n + 1);
    uint8_t *room = asq__buf_reserve(out, n);
    if (!room)
        return asq__fail_memory(h);
    out->len = asqueue__batch__pack(&batch, room);
    return 0;
}

/* Makes a list of ids, one for each job. */
static asq_value *call_ids(const struct letter *l, const uint8_t batch[ASQ__BATCH_ID])
{
    asq_value *list = asq_value_list();
    struct asq__call_id id = { .partition = l->id.partition };
    char text[ASQ__CALL_ID_TEXT];
    memcpy(id.batch, batch, ASQ__BATCH_ID);
    for (; list && id.index < l->batch->n_jobs; id.index++) {
        asq__call_id_format(&id, text);
        if (asq_list_append(list, asq_value_string(text)) < 0) {
            asq_value_free(list);
            return NULL;
        }
    }
    return list;
}

static int resend(asq *h, const struct letter *l, const struct asq__buf *batch,
                  const asq_value *ids)
{
    char dead[ASQ__KEY_MAX], jobs[ASQ__KEY_MAX], attempts[ASQ__KEY_MAX], stream_id[48];
    const struct asq__keys *keys = asq__redis_keys(asq__remote_redis(h));
    const char *call = asq_map_string(l->about, "call"),
               *call_id = asq_map_string(l->about, "call_id"), *new_id = "";
    int64_t done = 0;
    asq__keys_dead(keys, l->id.partition, dead);
    asq__keys_jobs(keys, l->id.partition, jobs);
    asq__keys_attempts(keys, l->id.partition, attempts);
    snprintf(stream_id, sizeof stream_id, "%llu-%llu", l->id.ms, l->id.n);
    asq_value_get_string(asq_list_get(ids, 0), &new_id, NULL);
    const char *argv[] = {
        "EVAL", asq__script_dead_retry,    "3", dead, jobs, attempts, stream_id, call_id,
        call,   (const char *) batch->data
    };
    enum { ARGC = sizeof argv / sizeof *argv };
    size_t lens[ARGC];
    for (size_t i = 0; i + 1 < ARGC; i++)
        lens[i] = strlen(argv[i]);
    lens[ARGC - 1] = batch->len;
    struct asq__query q = { .partition = l->id.partition,
                            .take = asq__admin_take_int,
                            .user = &done,
                            .argc = ARGC,
                            .argv = argv,
                            .lens = lens };
    int rc = asq__admin_ask(h, &q);
    if ((rc == ASQ_ETIMEOUT || rc == ASQ_ECLOSED) && q.sent)
        return asq__fail(
            h, ASQ_EUNKNOWN,
            "Redis did not answer in time; if dead letter %s is gone, its call was sent "
            "again as %s",
            l->text, new_id);
    if (rc < 0 || done)
        return rc;
    if (q.sent > 1)
        return asq__fail(
            h, ASQ_EUNKNOWN,
            "the connection was lost before Redis answered, and dead letter %s is gone: "
            "its call was sent again as %s, unless another client took the letter meanwhile",
            l->text, new_id);
    return no_letter(h, l->text);
}

static int retry_letter(asq *h, const char *id, asq_value **ret_call_ids)
{
    struct letter l;
    struct asq__buf batch;
    uint8_t batch_id[ASQ__BATCH_ID];
    asq_value *ids = NULL;
    asq__buf_init(&batch, 0);
    int rc = read_letter(h, id, &l);
    if (rc == 0 && !l.batch)
        rc = asq__fail(h, ASQ_EPROTO, "dead letter %s stays: it cannot be sent again: %s", id,
                       l.why);
    if (rc == 0)
        rc = check_args(h, &l);
    if (rc == 0)
        rc = encode_copy(h, &l, batch_id, &batch);
    if (rc == 0 && !(ids = call_ids(&l, batch_id)))
        rc = asq__fail_memory(h);
    if (rc == 0)
        rc = resend(h, &l, &batch, ids);
    if (rc == 0 && ret_call_ids)
        *ret_call_ids = ids;
    else
        asq_value_free(ids);
    asq__buf_release(&batch);
    letter_release(&l);
    return rc;
}

int asq_dead_retry(asq *h, const char *id, asq_value **ret_call_ids)
{
    if (!h || !id)
        return asq__null(h, "asq_dead_retry");
    int rc = asq__admin_begin(h, "asq_dead_retry");
    return rc < 0 ? rc : asq__admin_end(h, retry_letter(h, id, ret_call_ids));
}

/* ---- drop ---- */

static int drop_letter(asq *h, const char *id)
{
    char key[ASQ__KEY_MAX], stream_id[48];
    struct asq__letter_id at;
    int64_t done = 0;
    int rc = check_id(h, id, &at, stream_id);
    if (rc < 0)
        return rc;
    asq__keys_dead(asq__redis_keys(asq__remote_redis(h)), at.partition, key);
    struct asq__query q = { .partition = at.partition,
                            .take = asq__admin_take_int,
                            .user = &done,
                            .argc = 3,
                            .argv = (const char *[]){ "XDEL", key, stream_id } };
    rc = asq__admin_ask(h, &q);
    /* After a resend, the first XDEL may have removed the letter, which is success. */
    return rc == 0 && !done && q.sent < 2 ? no_letter(h, id) : rc;
}

int asq_dead_drop(asq *h, const char *id)
{
    if (!h || !id)
        return asq__null(h, "asq_dead_drop");
    int rc = asq__admin_begin(h, "asq_dead_drop");
    return rc < 0 ? rc : asq__admin_end(h, drop_letter(h, id));
}
