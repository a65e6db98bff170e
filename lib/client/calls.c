/*
 * calls.c: lists calls that have not ended, partition by partition: first what the owner reports as
 * running or parked, then the stream, then what is due later. See calls.h.
 *
 *     reported by the owner ─────────────────────────────────▶ running, parked
 *     in its batch's result record ──────────────────────────▶ has ended: left out
 *     failed, and to be run again (`later`, or a mark in `attempts`) ▶ retrying
 *     made with a delay that is not over ────────────────────▶ delayed
 *     else ──────────────────────────────────────────────────▶ waiting
 */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "client/admin.h"
#include "client/admin_pause.h"
#include "client/calls.h"
#include "client/handle.h"
#include "client/pools.h"
#include "client/remote.h"
#include "redis/keys.h"
#include "redis/redis.h"
#include "value/arena.h"
#include "value/clock.h"
#include "value/decimal.h"
#include "value/grow.h"
#include "value/msg.h"
#include "value/value.h"

enum { MAX_RECORD = 1 << 20, MAX_MARK = 64, AT_ONCE = 500 };
#define MAX_TIME (UINT64_C(1) << 53) /* ms; beyond every clock */

/* A call that may be listed. */
struct candidate {
    const struct asq__listed *listed;
    const Asqueue__Job *job;
    char id[ASQ__CALL_ID_TEXT];
    uint64_t runs;    /* failed ones */
    uint64_t due_ms;  /* of the next one, by the clock of the partition */
    char *class_name; /* of its agent, if the call does not name it; or NULL */
    bool sleeps;      /* it was unloaded in a sleep */
};

struct listing {
    unsigned states;
    const char *agent, *class_name;               /* NULL: all */
    int (*fn)(const asq_value *call, void *user); /* NULL: they are only counted */
    void *user;
    int64_t found;
    bool stopped; /* fn has returned non-zero */
    bool plain;   /* scripts are denied */
    int64_t deadline_ms;
    struct asq__pause *pauses;
    size_t n_pauses;
    struct asq__report_reader report;
    /* Of the partition. */
    uint32_t partition;
    char owner[ASQ_MAX_ID + 1];
    int64_t now_ms;               /* by the clock of Redis */
    int64_t plus_ms;              /* the partition's clock is so far ahead of it */
    bool has_marks;               /* `attempts` has fields */
    struct candidate *candidates; /* of the page */
    size_t n, room;
};

/* ---- Facts of a partition ---- */

static int take_lease(asq *h, const redisReply *reply, void *user)
{
    struct listing *l = user;
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 2)
        return asq__fail(h, ASQ_EPROTO, "Redis answered with something other than two fields");
    const redisReply *owner = reply->element[0], *clock = reply->element[1];
    l->owner[0] = '\0';
    l->plus_ms = 0;
    if (owner->type == REDIS_REPLY_STRING && owner->len <= ASQ_MAX_ID &&
        strlen(owner->str) == owner->len && asq__utf8_valid(owner->str, owner->len))
        strcpy(l->owner, owner->str);
    if (clock->type == REDIS_REPLY_STRING)
        l->plus_ms = strtoll(clock->str, NULL, 10) % (int64_t) MAX_TIME;
    return 0;
}

static int take_time(asq *h, const redisReply *reply, void *user)
{
    (void) h;
    if (reply->type == REDIS_REPLY_ARRAY && reply->elements == 2 &&
        reply->element[0]->type == REDIS_REPLY_STRING &&
        reply->element[1]->type == REDIS_REPLY_STRING)
        *(int64_t *) user = strtoll(reply->element[0]->str, NULL, 10) * 1000 +
                            strtoll(reply->element[1]->str, NULL, 10) / 1000;
    return 0;
}

static int take_number(asq *h, const redisReply *reply, void *user)
{
    (void) h;
    *(bool *) user = reply->type == REDIS_REPLY_INTEGER && reply->integer > 0;
    return 0;
}

static int read_partition(asq *h, struct listing *l)
{
    char key[ASQ__KEY_MAX];
    const struct asq__keys *keys = asq__redis_keys(asq__remote_redis(h));
    asq__keys_lease(keys, l->partition, key);
    int rc = asq__admin_command(h, l->partition, take_lease, l, 4,
                                (const char *[]){ "HMGET", key, "owner", "clock" });
    if (rc == 0) {
        struct asq__query q = { .partition = l->partition,
                                .take = take_time,
                                .user = &l->now_ms,
                                .argc = 1,
                                .argv = (const char *[]){ "TIME" } };
        struct timespec now;
        clock_gettime(CLOCK_REALTIME, &now); /* if Redis does not tell its own time */
        l->now_ms = (int64_t) now.tv_sec * 1000 + now.tv_nsec / 1000000;
        rc = asq__admin_ask(h, &q);
        rc = q.denied ? 0 : rc;
    }
    if (rc == 0) {
        asq__keys_attempts(keys, l->partition, key);
        struct asq__query q = { .partition = l->partition,
                                .take = take_number,
                                .user = &l->has_marks,
                                .argc = 2,
                                .argv = (const char *[]){ "HLEN", key } };
        l->has_marks = false;
        rc = asq__admin_ask(h, &q);
        rc = q.denied || q.wrong_type ? 0 : rc;
    }
    return rc == 0 ? asq__report_read(h, &l->report, l->partition, l->owner) : rc;
}

/* ---- The calls of a page ---- */

struct record {
    uint8_t *ended; /* by index; NULL: none has */
    size_t n_jobs;
};

static int take_record(asq *h, const redisReply *reply, void *user)
{
    struct record *record = user;
    struct asq__arena arena;
    Asqueue__Results *results;
    if (reply->type != REDIS_REPLY_STRING || reply->len == 0)
        return 0;
    if (!(record->ended = calloc(record->n_jobs, 1)))
        return asq__fail_memory(h);
    asq__arena_init(&arena, asq__results_room(reply->str, reply->len));
    if (asq__results_decode(reply->str, reply->len, &arena, &results, NULL, 0) == 0)
        for (size_t i = 0; i < results->n_results; i++)
            if (results->results[i]->index < record->n_jobs)
                record->ended[results->results[i]->index] = 1;
    asq__arena_release(&arena);
    return 0;
}

/* Reads which calls of a batch have ended: of one with several calls, because the entry of a batch
 * goes with its last call. Of a very large record no call counts as ended. */
static int read_record(asq *h, const struct listing *l, const struct asq__listed *listed,
                       struct record *ret)
{
    char key[ASQ__KEY_MAX], last[24];
    *ret = (struct record){ NULL, listed->batch->n_jobs };
    if (!listed->has_record || ret->n_jobs < 2)
        return 0;
    snprintf(last, sizeof last, "%d", MAX_RECORD - 1);
    asq__keys_result(asq__redis_keys(asq__remote_redis(h)), l->partition, listed->batch->id.data,
                     key);
    struct asq__query q = { .partition = l->partition,
                            .take = take_record,
                            .user = ret,
                            .argc = 4,
                            .argv = (const char *[]){ "GETRANGE", key, "0", last } };
    int rc = asq__admin_ask(h, &q);
    return q.denied || q.wrong_type ? 0 : rc;
}

/* Returns whether the owner reports the call as running or parked, so that it is given already. */
static bool has_begun(const struct listing *l, const char *id)
{
    const struct asq__reported *told = asq__report_find(&l->report, id);
    const char *state = "waiting";
    if (told)
        asq_value_get_string(asq_map_get(told->row, "state"), &state, NULL);
    return strcmp(state, "waiting") != 0;
}

static int add_candidates(asq *h, struct listing *l, const struct asq__listed *listed)
{
    const Asqueue__Batch *batch = listed->batch;
    struct record record;
    if (!batch)
        return 0;
    int rc = read_record(h, l, listed, &record);
    for (size_t i = 0; rc == 0 && i < batch->n_jobs; i++) {
        struct asq__call_id id = { .partition = l->partition, .index = (uint32_t) i };
        const Asqueue__Job *job = batch->jobs[i];
        if (asq__job_is_control(job) || (record.ended && record.ended[i]) ||
            (l->agent && strcmp(l->agent, job->agent) != 0))
            continue;
        if (!asq__grow(&l->candidates, l->n, &l->room, sizeof *l->candidates)) {
            rc = asq__fail_memory(h);
            break;
        }
        struct candidate *c = &l->candidates[l->n];
        *c = (struct candidate){ .listed = listed, .job = job };
        memcpy(id.batch, batch->id.data, ASQ__BATCH_ID);
        asq__call_id_format(&id, c->id);
        if (!has_begun(l, c->id))
            l->n++;
    }
    free(record.ended);
    return rc;
}

static void drop_candidates(struct listing *l)
{
    for (size_t i = 0; i < l->n; i++)
        free(l->candidates[i].class_name);
    l->n = 0;
}

/* ---- The state of a call ---- */

static const struct {
    const char *name;
    unsigned bit;
} states[] = {
    { "running", ASQ_CALLS_RUNNING },   { "parked", ASQ_CALLS_PARKED },
    { "waiting", ASQ_CALLS_WAITING },   { "delayed", ASQ_CALLS_DELAYED },
    { "retrying", ASQ_CALLS_RETRYING },
};

static unsigned state_bit(const char *name)
{
    for (size_t i = 0; i < sizeof states / sizeof states[0]; i++)
        if (strcmp(name, states[i].name) == 0)
            return states[i].bit;
    return 0;
}

/* Reads the mark of a call that failed, or sleeps, and is to be run again: RUNS DUE PLACE[ s]. */
static void take_mark(struct candidate *c, const redisReply *reply)
{
    uint64_t runs, due;
    if (reply->type != REDIS_REPLY_STRING || reply->len > MAX_MARK)
        return;
    const char *at = reply->str;
    if (asq__decimal_read(&at, &runs) && *at++ == ' ' && asq__decimal_read(&at, &due) &&
        due < MAX_TIME) {
        c->sleeps = strlen(at) == 4 && at[3] == 's';
        c->runs = runs;
        c->due_ms = due;
    }
}

/* Candidates of one question, in the order of its answer. */
struct asked {
    struct candidate *list[AT_ONCE];
    size_t n;
};

static int take_marks(asq *h, const redisReply *reply, void *user)
{
    struct asked *asked = user;
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements != asked->n)
        return asq__fail(h, ASQ_EPROTO, "Redis answered with something other than marks");
    for (size_t i = 0; i < asked->n; i++)
        take_mark(asked->list[i], reply->element[i]);
    return 0;
}

/* Finds which calls have failed and are to be run again. */
static int find_retries(asq *h, struct listing *l)
{
    char key[ASQ__KEY_MAX], marks[AT_ONCE][ASQ__CALL_ID_TEXT + 1];
    const char *argv[AT_ONCE + 2] = { "HMGET", key };
    int rc = 0;
    asq__keys_attempts(asq__redis_keys(asq__remote_redis(h)), l->partition, key);
    for (size_t i = 0; i < l->n; i++) {
        struct candidate *c = &l->candidates[i];
        const Asqueue__Later *later = c->listed->later;
        struct asq__call_id id = { .index = 0 };
        if (later)
            asq__call_id_parse(c->id, &id);
        for (size_t k = 0; later && k < later->n_calls; k++)
            if (later->calls[k]->index == id.index && later->calls[k]->due_ms < MAX_TIME) {
                c->sleeps = later->calls[k]->recorded;
                c->runs = later->calls[k]->runs;
                c->due_ms = later->calls[k]->due_ms;
            }
    }
    for (size_t from = 0; l->has_marks && rc == 0 && from < l->n; from += AT_ONCE) {
        struct asked asked = { .n = 0 };
        for (size_t i = from; i < l->n && asked.n < AT_ONCE; i++) {
            snprintf(marks[asked.n], sizeof marks[0], "~%s", l->candidates[i].id);
            argv[asked.n + 2] = marks[asked.n];
            asked.list[asked.n++] = &l->candidates[i];
        }
        struct asq__query q = { .partition = l->partition,
                                .take = take_marks,
                                .user = &asked,
                                .argc = (int) asked.n + 2,
                                .argv = argv };
        rc = asq__admin_ask(h, &q);
        if (q.denied || q.wrong_type)
            return 0;
    }
    return rc;
}

/* ---- Classes ---- */

/* Reads the class of a snapshot, which comes first in it, by its first bytes. */
static int take_class(struct candidate *c, const redisReply *reply)
{
    const uint8_t *at = (const uint8_t *) reply->str;
    if (reply->type != REDIS_REPLY_STRING || reply->len < 2 || at[0] != 0x0a || c->class_name)
        return 0;
    size_t n = at[1] & 0x7f, head = 2;
    if (at[1] & 0x80) {
        n += reply->len > 2 ? (size_t) at[2] << 7 : 0;
        head = 3;
    }
    if (n > ASQ_MAX_ID || head + n > reply->len || memchr(at + head, '\0', n) ||
        !asq__utf8_valid((const char *) at + head, n))
        return 0;
    return (c->class_name = strndup((const char *) at + head, n)) ? 0 : ASQ_ENOMEM;
}

static int take_classes(asq *h, const redisReply *reply, void *user)
{
    struct asked *asked = user;
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements != asked->n)
        return asq__fail(h, ASQ_EPROTO, "Redis answered with something other than classes");
    for (size_t i = 0; i < asked->n; i++)
        if (take_class(asked->list[i], reply->element[i]) < 0)
            return asq__fail_memory(h);
    return 0;
}

static int take_one_class(asq *h, const redisReply *reply, void *user)
{
    return take_class(user, reply) < 0 ? asq__fail_memory(h) : 0;
}

/* Finds the classes of agents that callers have not named: the first bytes of their snapshots. */
static int find_classes(asq *h, struct listing *l)
{
    static const char script[] =
        "local heads = {} for i, id in ipairs(ARGV) do "
        "local record = redis.call('HGET', KEYS[1], id) "
        "heads[i] = record and string.sub(record, 1, 300) or '' end return heads";
    char key[ASQ__KEY_MAX];
    const char *argv[AT_ONCE + 4] = { "EVAL_RO", script, "1", key };
    int rc = 0;
    asq__keys_agents(asq__redis_keys(asq__remote_redis(h)), l->partition, key);
    for (size_t i = 0; rc == 0 && i < l->n;) {
        struct asked asked = { .n = 0 };
        for (; i < l->n && asked.n < AT_ONCE; i++)
            if (!*l->candidates[i].job->class_name) {
                argv[asked.n + 4] = l->candidates[i].job->agent;
                asked.list[asked.n++] = &l->candidates[i];
            }
        if (!asked.n)
            return 0;
        struct asq__query q = { .partition = l->partition,
                                .take = take_classes,
                                .user = &asked,
                                .argc = (int) asked.n + 4,
                                .argv = argv };
        rc = asq__admin_ask(h, &q);
        for (size_t k = 0; q.denied && k < asked.n; k++)
            rc = asq__admin_command(h, l->partition, take_one_class, asked.list[k], 3,
                                    (const char *[]){ "HGET", key, asked.list[k]->job->agent });
        if (q.wrong_type)
            return 0;
    }
    return rc;
}

/* ---- Rows ---- */

/* Returns when the call was made, by the clock of Redis. */
static int64_t made_ms(const struct listing *l, const struct asq__listed *listed)
{
    const Asqueue__Batch *batch = listed->batch;
    int64_t made = (int64_t) listed->first;
    if (listed->later && listed->later->made_ms)
        made = listed->later->made_ms - l->plus_ms;
    else if (batch->stamp_ms)
        made = (int64_t) (batch->stamp_ms - batch->age_ms);
    return made < l->now_ms ? made : l->now_ms;
}

/* Returns the state of a call that has not begun. *ret_due_ms: in so many ms; INT64_MIN: now. */
static const char *judge(const struct listing *l, const struct candidate *c, int64_t *ret_due_ms)
{
    int64_t made = made_ms(l, c->listed);
    *ret_due_ms = INT64_MIN;
    int64_t left_ms = (int64_t) c->due_ms - l->now_ms - l->plus_ms;
    if (c->sleeps && left_ms > 0) {
        *ret_due_ms = left_ms;
        return "delayed";
    }
    if (c->runs) {
        *ret_due_ms = left_ms;
        return "retrying";
    }
    if (c->job->delay_ms && c->job->delay_ms < MAX_TIME &&
        made + (int64_t) c->job->delay_ms > l->now_ms) {
        *ret_due_ms = made + (int64_t) c->job->delay_ms - l->now_ms;
        return "delayed";
    }
    return "waiting";
}

static int give(asq *h, struct listing *l, const asq_value *row)
{
    l->found++;
    if (!l->fn)
        return 0;
    int rc = l->fn(row, l->user);
    l->stopped = rc != 0;
    return rc == 0 && h->closed ? asq__admin_closed(h) : rc;
}

static bool is_wanted(const struct listing *l, const char *agent, const char *class_name)
{
    return (!l->agent || strcmp(l->agent, agent) == 0) &&
           (!l->class_name || strcmp(l->class_name, class_name) == 0);
}

/* Gives the rows of calls that run or are parked, as their owner has made them. */
static int give_reported(asq *h, struct listing *l)
{
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < l->report.n; i++) {
        const asq_value *row = l->report.calls[i].row;
        unsigned bit =
            state_bit(asq_map_string(row, "state")) & (ASQ_CALLS_RUNNING | ASQ_CALLS_PARKED);
        if (bit & l->states &&
            is_wanted(l, asq_map_string(row, "agent"), asq_map_string(row, "class")))
            rc = give(h, l, row);
    }
    return rc;
}

static const char *method_of(const Asqueue__Job *job)
{
    static const char *const names[] = { [ASQUEUE__JOB_KIND__CREATE] = "create",
                                         [ASQUEUE__JOB_KIND__GET_OR_CREATE] = "get_or_create",
                                         [ASQUEUE__JOB_KIND__DELETE] = "delete",
                                         [ASQUEUE__JOB_KIND__GET] = "get",
                                         [ASQUEUE__JOB_KIND__SET] = "set",
                                         [ASQUEUE__JOB_KIND__EXISTS] = "exists",
                                         [ASQUEUE__JOB_KIND__DESCRIBE] = "describe",
                                         [ASQUEUE__JOB_KIND__EXPIRE] = "expire" };
    if (*job->method || job->kind == ASQUEUE__JOB_KIND__CALL ||
        (size_t) job->kind >= sizeof names / sizeof names[0])
        return job->method;
    return names[job->kind];
}

/* Tells that a call waits because of a pause. Its worker tells this of the first call of each agent
 * alone. */
static int add_pause(const struct listing *l, const char *class_name, asq_value *row)
{
    const struct asq__pause *pause = asq__pause_of(l->pauses, l->n_pauses, class_name);
    char why[ASQ_MAX_NAME + 80] = "is not started, because the namespace is paused (as-ctl resume)";
    if (!pause)
        return 0;
    if (strcmp(pause->class_name, ASQ__PAUSE_ALL) != 0)
        snprintf(why, sizeof why, "is not started, because class %s is paused (as-ctl resume)",
                 pause->class_name);
    return asq_map_set(row, "why", asq_value_string(why));
}

/* Adds what the worker has told of a call. */
static int add_told(const asq_value *told, asq_value *row)
{
    static const char *const keys[] = { "why", "waits_for", "awaited", "awaits" };
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < sizeof keys / sizeof keys[0]; i++) {
        const asq_value *v = asq_map_get(told, keys[i]);
        if (v)
            rc = asq_map_set(row, keys[i], asq_value_copy(v));
    }
    return rc;
}

/* Adds the call that is before one which waits for nothing else. */
static int add_before(const struct listing *l, const struct candidate *c, asq_value *row)
{
    const struct asq__reported *begun =
        asq_map_get(row, "why") ? NULL : asq__report_begun(&l->report, c->job->agent);
    return begun ? asq_map_set(row, "behind", asq_value_string(begun->id)) : 0;
}

/* Makes the row of a call that has not begun; NULL: no memory. */
static asq_value *make_row(const struct listing *l, const struct candidate *c,
                           const char *class_name, const char *state, int64_t due_ms)
{
    const struct asq__reported *told = asq__report_find(&l->report, c->id);
    const Asqueue__Chain *chain = c->job->chain;
    asq_value *row = asq_pack("{s:s, s:s, s:I, s:s, s:s, s:I}", "id", c->id, "state", state,
                              "age_ms", l->now_ms - made_ms(l, c->listed), "agent", c->job->agent,
                              "method", method_of(c->job), "partition", (int64_t) l->partition);
    int rc = row ? 0 : ASQ_ENOMEM;
    if (rc == 0 && *class_name)
        rc = asq_map_set(row, "class", asq_value_string(class_name));
    if (rc == 0 && due_ms != INT64_MIN)
        rc = asq_map_set_int(row, "due_ms", due_ms);
    if (rc == 0 && c->runs)
        rc = asq_map_set_int(row, "failed_runs", (int64_t) c->runs);
    if (rc == 0 && told)
        rc = add_told(told->row, row);
    else if (rc == 0 && !c->job->chain && strcmp(state, "waiting") == 0)
        rc = add_pause(l, class_name, row);
    if (rc == 0 && strcmp(state, "waiting") == 0)
        rc = add_before(l, c, row);
    if (rc == 0 && chain && chain->n_links)
        rc = asq_map_set(row, "caller", asq_value_string(chain->links[chain->n_links - 1]->call));
    if (rc == 0 && l->report.partial && strcmp(state, "waiting") == 0)
        rc = asq_map_set(row, "may_run", asq_value_bool(true));
    if (rc == 0)
        return row;
    asq_value_free(row);
    return NULL;
}

static int give_candidate(asq *h, struct listing *l, const struct candidate *c)
{
    const char *class_name = *c->job->class_name ? c->job->class_name
                             : c->class_name     ? c->class_name
                                                 : "";
    int64_t due_ms;
    const char *state = judge(l, c, &due_ms);
    if (!(state_bit(state) & l->states) || !is_wanted(l, c->job->agent, class_name))
        return 0;
    asq_value *row = l->fn ? make_row(l, c, class_name, state, due_ms) : NULL;
    if (l->fn && !row)
        return asq__fail_memory(h);
    int rc = give(h, l, row);
    asq_value_free(row);
    return rc;
}

/* Lists the batches of the stream, or of `later`. */
static int list_batches(asq *h, struct listing *l, bool later)
{
    struct asq__page_reader page = { .partition = l->partition, .later = later, .plain = l->plain };
    int rc;
    page.wanted = 1;
    do {
        asq__admin_extend(h, l->deadline_ms);
        rc = asq__page_read(h, &page);
        for (size_t i = 0; rc == 0 && i < page.n; i++)
            rc = add_candidates(h, l, &page.batches[i]);
        if (rc == 0)
            rc = find_retries(h, l);
        if (rc == 0 && (l->fn || l->class_name))
            rc = find_classes(h, l);
        for (size_t i = 0; rc == 0 && i < l->n; i++)
            rc = give_candidate(h, l, &l->candidates[i]);
        drop_candidates(l);
    } while (rc == 0 && page.more);
    l->plain = page.plain;
    asq__page_release(&page);
    return rc;
}

/* flags: where the partition has batches. */
static int list_partition(asq *h, struct listing *l, unsigned flags)
{
    const unsigned queued = ASQ_CALLS_WAITING | ASQ_CALLS_DELAYED | ASQ_CALLS_RETRYING;
    asq__admin_extend(h, l->deadline_ms);
    int rc = read_partition(h, l);
    if (rc == 0)
        rc = give_reported(h, l);
    if (rc == 0 && flags & ASQ__CALLS_IN_STREAM && l->states & queued)
        rc = list_batches(h, l, false);
    if (rc == 0 && flags & ASQ__CALLS_IN_LATER &&
        l->states & (ASQ_CALLS_DELAYED | ASQ_CALLS_RETRYING))
        rc = list_batches(h, l, true);
    return rc;
}

static int list_calls(asq *h, struct listing *l)
{
    uint32_t partitions = h->partitions, end = partitions;
    uint8_t *flags = NULL; /* NULL: one partition alone is listed */
    char why[300];
    int rc = l->agent ? asq__check_id(l->agent, why, sizeof why) : 0;
    if (rc < 0)
        return asq__fail(h, rc, "%s", why);
    if (l->agent) {
        if ((rc = asq__agent_partition_there(h, l->agent, &l->partition)) < 0)
            return rc;
        end = l->partition + 1;
    }
    rc = asq__report_ask(h, &l->report);
    if (rc == 0)
        rc = asq__admin_pauses(h, &l->pauses, &l->n_pauses);
    if (rc == 0 && !l->agent)
        rc = asq__calls_find(h, partitions, l->deadline_ms, &flags);
    for (; rc == 0 && l->partition < end; l->partition++) {
        if (!flags)
            rc = list_partition(h, l, ASQ__CALLS_IN_STREAM | ASQ__CALLS_IN_LATER);
        else if (flags[l->partition])
            rc = list_partition(h, l, flags[l->partition]);
        if (rc == 0)
            rc = asq__admin_check_partitions(h, partitions);
    }
    free(flags);
    asq__report_release(&l->report);
    free(l->pauses);
    free(l->candidates);
    return rc;
}

/* Goes through the calls for a public function, whose name is `what`. */
static int run(asq *h, const char *what, unsigned wanted, struct listing *l)
{
    const unsigned all = ASQ_CALLS_RUNNING | ASQ_CALLS_PARKED | ASQ_CALLS_WAITING |
                         ASQ_CALLS_DELAYED | ASQ_CALLS_RETRYING;
    if (wanted & ~all)
        return asq__fail(h, ASQ_EINVAL, "%s: %#x is not a set of states", what, wanted);
    l->states = wanted ? wanted : all;
    int rc = asq__admin_begin(h, what);
    if (rc < 0)
        return rc;
    rc = list_calls(h, l);
    /* The handle's last error may differ from the code that fn has returned. */
    if (l->stopped && rc < 0)
        asq__fail(h, rc, "the function that was given to %s failed: %s", what, asq_strerror(rc));
    return asq__admin_end(h, rc);
}

int asq_calls_each(asq *h, unsigned wanted, const char *agent, const char *class_name,
                   int64_t timeout_ms, int (*fn)(const asq_value *call, void *user), void *user)
{
    if (!h || !fn)
        return asq__null(h, "asq_calls_each");
    struct listing l = { .agent = agent,
                         .class_name = class_name,
                         .fn = fn,
                         .user = user,
                         .deadline_ms = asq__deadline_ms(timeout_ms) };
    return run(h, "asq_calls_each", wanted, &l);
}

int asq_calls_count(asq *h, unsigned wanted, const char *agent, const char *class_name,
                    int64_t timeout_ms, int64_t *ret)
{
    if (!h || !ret)
        return asq__null(h, "asq_calls_count");
    struct listing l = { .agent = agent,
                         .class_name = class_name,
                         .deadline_ms = asq__deadline_ms(timeout_ms) };
    int rc = run(h, "asq_calls_count", wanted, &l);
    if (rc == 0)
        *ret = l.found;
    return rc;
}
