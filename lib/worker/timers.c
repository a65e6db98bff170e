/*
 * timers.c: see timers.h. Timers are in Redis alone; here is only when to look for them next:
 *
 *     wait ──time──▶ timers_due.lua ──▶ what each fires, computed here ──▶ timers_fire.lua ─┐
 *      ▲ ▲                │ nothing due                                                     │
 *      │ └────────────────┘                                                  look again ◀───┘
 *      └── a commit has changed timers: query at once
 *
 * timers_fire.lua fires a timer only in the state in which it was read, and sets its next time in
 * the same step. So an answer may be lost, and this process may be paused or die on any line:
 * whoever looks next finds a timer that is due, or fired already. The time is that of Redis, which
 * the first script tells.
 *
 * A partition without timers costs one query with each claim. One with timers is looked at every
 * QUERY_MS besides, because the clock of Redis may be set.
 */
#include "worker/timers.h"

#include <ev.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "asqueue.h"
#include "redis/cmd.h"
#include "redis/conn.h"
#include "redis/keys.h"
#include "redis/permit.h"
#include "redis/redis.h"
#include "redis/refusal.h"
#include "redis/reply.h"
#include "redis/script.h"
#include "redis/timer.h"
#include "value/buf.h"
#include "value/clock.h"
#include "value/expiry.h"
#include "value/hash.h"
#include "value/hex.h"
#include "value/msg.h"
#include "value/timer_spec.h"
#include "value/trace.h"
#include "value/unconst.h"
#include "value/value.h"
#include "worker/handles.h"
#include "worker/partition.h"
#include "worker/process.h"
#include "worker/process_log.h"

enum {
    TIMERS_AT_ONCE = 128,
    BYTES_AT_ONCE = 1024 * 1024,
    QUERY_MS = 10000,
    AGAIN_MS = 1000,
    PUT_OFF_MS = 60000,
    LOOKS_AT_ONCE = 200, /* agents of a partition looked at in ASQ__EXPIRY_LOOK_MS */
    LOOK_LATEST_MS = 60000,
    LOG_EVERY_MS = 60000
};

struct asq__timers {
    struct asq__partition *part;
    ev_timer timer; /* the next query */
    bool querying;  /* a script is under way */
    bool changed;   /* since it left */
    bool maybe;     /* there may be timers */
    int64_t last_logged_ms;
    /* Agents that end with a handle: from one look at theirs to the next, when this began (by the
     * clock of Redis), and how many were put off since. */
    int64_t look_every_ms, looks_since_ms;
    unsigned looks;
};

/* ---- queries ---- */

static void query(struct asq__timers *t);

static void query_in(struct asq__timers *t, int64_t ms)
{
    ev_now_update(t->part->w->loop);
    asq__timer_restart(t->part->w->loop, &t->timer, (double) ms / 1000, 0.);
}

static void on_time(struct ev_loop *loop, ev_timer *timer, int revents)
{
    (void) loop;
    (void) revents;
    query(timer->data);
}

/* A script under way, of one ownership. */
struct question {
    struct asq__partition *p;
    uint64_t ownership;
};

/* Ends a query. NULL: the partition was lost meanwhile. */
static struct asq__timers *end_question(void *user)
{
    struct question q = *(struct question *) user;
    free(user);
    if (q.p->ownership != q.ownership || !asq__partition_is_owned(q.p) || !q.p->timers)
        return NULL;
    q.p->timers->querying = false;
    return q.p->timers;
}

/* Sends a script. False: Redis is away, or memory short. */
static bool ask(struct asq__timers *t, struct asq__cmd *cmd, asq__reply_fn fn)
{
    struct asq__partition *p = t->part;
    struct question *q = malloc(sizeof *q);
    if (q) {
        *q = (struct question){ p, p->ownership };
        t->querying = asq__conn_send(asq__redis_conn(p->w->redis, p->number), fn, q, cmd) == 0;
    }
    asq__cmd_release(cmd);
    if (q && !t->querying)
        free(q);
    if (!t->querying)
        query_in(t, AGAIN_MS);
    return t->querying;
}

/* Handles an answer that is none. */
static void failed(struct asq__timers *t, const redisReply *reply)
{
    struct asq__partition *p = t->part;
    int64_t now_ms = asq__now_ms();
    if (reply && reply->type == REDIS_REPLY_STRING && strcmp(reply->str, "FENCED") == 0) {
        asq__partition_abandon(p, "a query of its timers found another token in its lease");
        return;
    }
    if (asq__reply_is_error(reply, "NOSCRIPT"))
        asq__redis_reload_scripts(p->w->redis, p->number);
    else if (reply && !asq__reply_is_transient(reply) &&
             (!t->last_logged_ms || now_ms - t->last_logged_ms > LOG_EVERY_MS)) {
        t->last_logged_ms = now_ms;
        asq__process_log_some(p->w, ASQ_LOG_ERROR,
                              "partition %u: Redis refuses to fire the timers that are due; the "
                              "worker retries it: %s",
                              p->number, asq__reply_text(reply));
    }
    query_in(t, AGAIN_MS);
}

static void put_key(struct asq__cmd *cmd, const struct asq__partition *p,
                    size_t (*name)(const struct asq__keys *, uint32_t, char *))
{
    char key[ASQ__KEY_MAX];
    asq__cmd_put(cmd, key, name(asq__redis_keys(p->w->redis), p->number, key));
}

/* ---- firing ---- */

/* A timer as it was read. */
struct fired {
    const redisReply *member, *state, *spec, *trace;
    char agent[ASQ_MAX_ID + 1];
    const char *name; /* in member */
    int64_t due_ms;   /* of its state, as the next three */
    char revision[48];
    char last_batch[2 * ASQ__BATCH_ID + 1]; /* "-": it has not fired yet */
};

/* Returns whether timers_fire.lua can read the state, which somebody else may have written. */
static bool is_state(const redisReply *state)
{
    static const char kinds[] = "nwnnww"; /* numbers, words */
    const char *at = state->str;
    if (strlen(at) != state->len)
        return false;
    for (const char *kind = kinds; *kind; kind++) {
        size_t n = strcspn(at, " \t\n\v\f\r");
        if (n == 0 || (*kind == 'n' && strspn(at, "0123456789") != n))
            return false;
        if ((at[n] == ' ') != (kind[1] != '\0'))
            return false;
        at += n + 1;
    }
    return true;
}

static bool read_timer(const redisReply *const *at, struct fired *ret)
{
    long long due_ms;
    int end = -1;
    *ret = (struct fired){ .member = at[0], .state = at[1], .spec = at[2], .trace = at[3] };
    const char *space = strchr(ret->member->str, ' ');
    size_t n = space ? (size_t) (space - ret->member->str) : 0;
    if (n == 0 || n > ASQ_MAX_ID || strlen(ret->member->str) != ret->member->len ||
        !is_state(ret->state))
        return false;
    memcpy(ret->agent, ret->member->str, n);
    ret->name = space + 1;
    if (sscanf(ret->state->str, "%17lld %47s %*u %*u %*47s %32s%n", &due_ms, ret->revision,
               ret->last_batch, &end) != 3 ||
        end < 0)
        return false;
    ret->due_ms = due_ms;
    return asq__check_id(ret->agent, NULL, 0) == 0;
}

/* Derives the id of the batch of a time, so that a call fired twice, should Redis have lost that it
 * was, is known as a copy. */
static void derive_id(const struct fired *f, int64_t time_ms, const char *what,
                      uint8_t id[ASQ__BATCH_ID])
{
    char text[ASQ_MAX_ID + ASQ_MAX_NAME + 128];
    int n = snprintf(text, sizeof text, "%s %s %s %lld", what, f->member->str, f->revision,
                     (long long) time_ms);
    asq__siphash128(text, n < (int) sizeof text ? (size_t) n : sizeof text - 1, id);
}

static void put_batch(struct asq__cmd *cmd, Asqueue__Batch *batch)
{
    struct asq__buf bytes;
    size_t n = asqueue__batch__get_packed_size(batch);
    asq__buf_init(&bytes, n + 1);
    uint8_t *room = asq__buf_reserve(&bytes, n);
    if (room)
        asq__cmd_put(cmd, room, asqueue__batch__pack(batch, room));
    else
        cmd->bytes.error = ASQ_ENOMEM; /* the command is not sent */
    asq__buf_release(&bytes);
}

/* Puts a batch that cancels the last call, or ''. */
static void put_cancel(struct asq__cmd *cmd, const struct asq__partition *p, const struct fired *f,
                       const struct asq__timer_spec *spec)
{
    char target[ASQ__CALL_ID_TEXT];
    uint8_t id[ASQ__BATCH_ID];
    if (spec->overlap != ASQ_OVERLAP_CANCEL || *f->last_batch == '-') {
        asq__cmd_puts(cmd, "");
        return;
    }
    Asqueue__Job job, *jobs = &job;
    Asqueue__Batch batch;
    asqueue__job__init(&job);
    asqueue__batch__init(&batch);
    derive_id(f, f->due_ms, "cancel", id);
    snprintf(target, sizeof target, "%u-%s-0", p->number, f->last_batch);
    job.kind = ASQUEUE__JOB_KIND__CANCEL;
    job.target = target;
    batch.id = (ProtobufCBinaryData){ ASQ__BATCH_ID, id };
    batch.jobs = &jobs;
    batch.n_jobs = 1;
    put_batch(cmd, &batch);
}

/* Puts the call of a time: `what` is its name in the label, `handle` one that has ended; or 0. */
static void put_job(struct asq__cmd *cmd, const struct fired *f, Asqueue__JobKind kind,
                    const char *what, const char *method, const struct asq__buf *args,
                    Asqueue__Trace *trace, int64_t time_ms, uint64_t handle)
{
    uint8_t expiry[ASQ__EXPIRY_BYTES_MAX];
    char label[ASQ_MAX_ID + ASQ_MAX_NAME + 4], hex[2 * ASQ__BATCH_ID];
    uint8_t id[ASQ__BATCH_ID];
    Asqueue__Job job, *jobs = &job;
    Asqueue__Batch batch;
    asqueue__job__init(&job);
    asqueue__batch__init(&batch);
    derive_id(f, time_ms, "timer", id);
    asq__hex(hex, id, ASQ__BATCH_ID);
    snprintf(label, sizeof label, "%s.%s", f->agent, what);
    job.kind = kind;
    job.agent = asq__unconst(f->agent);
    job.method = asq__unconst(method);
    if (args)
        job.args = (ProtobufCBinaryData){ args->len, args->data };
    if (handle) {
        struct asq__expiry told = { .handle = handle };
        asq__expiry_write(&told, expiry);
        job.expiry = (ProtobufCBinaryData){ sizeof expiry, expiry };
    }
    job.no_result = true;
    job.trace = trace;
    batch.id = (ProtobufCBinaryData){ ASQ__BATCH_ID, id };
    batch.jobs = &jobs;
    batch.n_jobs = 1;
    asq__cmd_number(cmd, (uint64_t) time_ms);
    asq__cmd_put(cmd, hex, sizeof hex);
    asq__cmd_puts(cmd, label);
    put_batch(cmd, &batch);
}

/* Puts the timer that looks whether its agent is due to end: a call in the agent's order, which
 * sets the timer anew. Should that call be lost to a dead letter, there is another one. */
static void put_expiry(struct asq__cmd *cmd, const struct fired *f, int64_t now_ms, uint64_t handle)
{
    asq__cmd_put(cmd, f->member->str, f->member->len);
    asq__cmd_put(cmd, f->state->str, f->state->len);
    asq__cmd_number(cmd, (uint64_t) (now_ms + PUT_OFF_MS));
    asq__cmd_puts(cmd, "s");
    asq__cmd_puts(cmd, "");
    asq__cmd_number(cmd, 1);
    put_job(cmd, f, ASQUEUE__JOB_KIND__EXPIRE, "(expire)", "", NULL, NULL, f->due_ms, handle);
}

/* Reads the trace of the context that has set the timer. NULL: none. */
static Asqueue__Trace *read_trace(const struct fired *f, Asqueue__Trace *trace)
{
    if (f->trace->len < ASQ__TRACE_PARENT ||
        !asq__trace_parent_is_valid((const uint8_t *) f->trace->str, ASQ__TRACE_PARENT))
        return NULL;
    asqueue__trace__init(trace);
    trace->parent = (ProtobufCBinaryData){ ASQ__TRACE_PARENT, (uint8_t *) f->trace->str };
    trace->state = f->trace->str + ASQ__TRACE_PARENT;
    return trace;
}

static void put_timer(struct asq__cmd *cmd, const struct asq__partition *p, const struct fired *f,
                      const struct asq__timer_spec *spec, const struct asq__timer_due *due)
{
    static const char *const overlaps[] = { "q", "s", "c" };
    struct asq__buf args;
    Asqueue__Trace trace;
    bool last_only = spec->overlap == ASQ_OVERLAP_CANCEL && due->n > 1;
    asq__buf_init(&args, ASQ__TIMER_ARGS);
    if (spec->args)
        asq__value_encode(spec->args, &args);
    if (args.error)
        cmd->bytes.error = args.error;
    asq__cmd_put(cmd, f->member->str, f->member->len);
    asq__cmd_put(cmd, f->state->str, f->state->len);
    if (due->next_ms >= 0)
        asq__cmd_number(cmd, (uint64_t) due->next_ms);
    else
        asq__cmd_puts(cmd, "");
    asq__cmd_puts(cmd, overlaps[spec->overlap]);
    put_cancel(cmd, p, f, spec);
    asq__cmd_number(cmd, last_only ? 1 : due->n);
    for (size_t i = last_only ? due->n - 1 : 0; i < due->n; i++)
        put_job(cmd, f, ASQUEUE__JOB_KIND__CALL, spec->method, spec->method, &args,
                read_trace(f, &trace), due->times_ms[i], 0);
    asq__buf_release(&args);
}

/* Puts a timer off, in the state in which it was read. */
static void put_off(struct asq__cmd *cmd, const redisReply *const *at, int64_t until_ms)
{
    asq__cmd_put(cmd, at[0]->str, at[0]->len);
    asq__cmd_put(cmd, at[1]->str, at[1]->len);
    asq__cmd_number(cmd, (uint64_t) until_ms);
    asq__cmd_puts(cmd, "off");
    asq__cmd_puts(cmd, "");
    asq__cmd_number(cmd, 0);
}

/* Returns in how many ms to look at the handle of an agent again: the more agents, the later. */
static int64_t look_again_ms(struct asq__timers *t, int64_t now_ms)
{
    if (now_ms - t->looks_since_ms >= t->look_every_ms || now_ms < t->looks_since_ms) {
        int64_t every_ms = (int64_t) ASQ__EXPIRY_LOOK_MS * (1 + t->looks / LOOKS_AT_ONCE);
        t->look_every_ms = every_ms < LOOK_LATEST_MS ? every_ms : LOOK_LATEST_MS;
        t->looks_since_ms = now_ms;
        t->looks = 0;
    }
    t->looks++;
    return t->look_every_ms;
}

/* Puts the timer of an agent that ends by itself. While the handle is open with which it ends, and
 * it is not due otherwise, it is not called. */
static void put_agents_end(struct asq__cmd *cmd, struct asq__timers *t, const struct fired *f,
                           const redisReply *const *at, int64_t now_ms)
{
    int64_t due_ms, again_ms;
    uint64_t handle;
    if (!asq__expiry_timer_read(f->spec->str, f->spec->len, &due_ms, &handle) || due_ms <= now_ms) {
        put_expiry(cmd, f, now_ms, 0);
        return;
    }
    switch (asq__handles_state(t->part->w, handle)) {
    case ASQ__HANDLE_ENDED: put_expiry(cmd, f, now_ms, handle); return;
    case ASQ__HANDLE_LIVES: again_ms = now_ms + look_again_ms(t, now_ms); break;
    case ASQ__HANDLE_UNKNOWN:
    default: again_ms = now_ms + ASQ__HANDLES_LOOK_MS; break;
    }
    put_off(cmd, at, again_ms < due_ms ? again_ms : due_ms);
}

/* Puts a timer that was read. One that cannot be fired, because a foreign write has damaged it, or
 * its zone is missing here, is put off. */
static void put_read(struct asq__cmd *cmd, struct asq__timers *t, const redisReply *const *at,
                     int64_t now_ms)
{
    struct fired f;
    struct asq__timer_spec spec;
    struct asq__timer_due due = { .n = 0 };
    asq_value *map = NULL;
    char why[400] = "its state is damaged";
    int rc = read_timer(at, &f) ? 0 : ASQ_EPROTO;
    if (rc == 0 && strcmp(f.name, ASQ__EXPIRY_TIMER) == 0) {
        put_agents_end(cmd, t, &f, at, now_ms);
        return;
    }
    if (rc == 0)
        rc = asq__value_decode(f.spec->str, f.spec->len, &map, why, sizeof why);
    if (rc == 0)
        rc = asq__timer_spec_read(map, &spec, why, sizeof why);
    if (rc == 0)
        rc = asq__timer_due(&spec, f.due_ms, now_ms, &due, why, sizeof why);
    if (rc == 0)
        put_timer(cmd, t->part, &f, &spec, &due);
    else {
        asq__process_log_some(
            t->part->w, ASQ_LOG_ERROR,
            "partition %u: timer %s cannot be fired, and is tried again later: %s", t->part->number,
            at[0]->str, why);
        put_off(cmd, at, now_ms + PUT_OFF_MS);
    }
    asq_value_free(map);
}

static void on_fired(struct asq__conn *c, const redisReply *reply, void *user)
{
    struct asq__timers *t = end_question(user);
    (void) c;
    if (t && reply && reply->type == REDIS_REPLY_INTEGER)
        query(t);
    else if (t)
        failed(t, reply);
}

/* Fires what an answer of timers_due.lua has. */
static void fire(struct asq__timers *t, const redisReply *reply)
{
    struct asq__partition *p = t->part;
    struct asq__cmd cmd;
    asq__cmd_init(&cmd);
    asq__script_begin(&cmd, asq__redis_scripts(p->w->redis, p->number), ASQ__SCRIPT_TIMERS_FIRE, 4);
    put_key(&cmd, p, asq__keys_lease);
    put_key(&cmd, p, asq__keys_jobs);
    put_key(&cmd, p, asq__keys_timers);
    put_key(&cmd, p, asq__keys_later_jobs);
    asq__cmd_puts(&cmd, p->token);
    for (size_t i = 2; i < reply->elements; i += 4)
        put_read(&cmd, t, (const redisReply *const *) &reply->element[i],
                 reply->element[0]->integer);
    ask(t, &cmd, on_fired);
}

static bool is_answer(const redisReply *reply)
{
    if (!reply || reply->type != REDIS_REPLY_ARRAY || reply->elements < 2 ||
        reply->elements % 4 != 2)
        return false;
    for (size_t i = 0; i < reply->elements; i++)
        if (reply->element[i]->type != (i < 2 ? REDIS_REPLY_INTEGER : REDIS_REPLY_STRING))
            return false;
    return true;
}

static void on_due(struct asq__conn *c, const redisReply *reply, void *user)
{
    struct asq__timers *t = end_question(user);
    (void) c;
    if (!t)
        return;
    if (!is_answer(reply)) {
        failed(t, reply);
        return;
    }
    int64_t next_ms = reply->element[1]->integer;
    t->maybe = next_ms >= 0;
    if (reply->elements > 2)
        fire(t, reply);
    else if (t->changed)
        query(t);
    else if (t->maybe)
        query_in(t, next_ms < QUERY_MS ? next_ms : QUERY_MS);
}

static void query(struct asq__timers *t)
{
    struct asq__partition *p = t->part;
    struct asq__cmd cmd;
    if (t->querying || p->state != ASQ__PART_ACTIVE) {
        t->changed = true; /* the next owner of a draining partition looks */
        return;
    }
    t->changed = false;
    asq__cmd_init(&cmd);
    asq__script_begin(&cmd, asq__redis_scripts(p->w->redis, p->number), ASQ__SCRIPT_TIMERS_DUE, 2);
    put_key(&cmd, p, asq__keys_lease);
    put_key(&cmd, p, asq__keys_timers);
    asq__cmd_puts(&cmd, p->token);
    asq__cmd_number(&cmd, TIMERS_AT_ONCE);
    asq__cmd_number(&cmd, BYTES_AT_ONCE);
    ask(t, &cmd, on_due);
}

/* ---- life ---- */

void asq__timers_open(struct asq__partition *p)
{
    struct asq__timers *t = p->timers;
    if (asq__redis_lack(p->w->redis, NULL) & ASQ__LACKS_SORTED_SETS) {
        asq__timers_free(p);
        return;
    }
    if (!t) {
        if (!(t = calloc(1, sizeof *t))) {
            asq__partition_abandon(p, "out of memory");
            return;
        }
        t->part = p;
        ev_timer_init(&t->timer, on_time, 0., 0.);
        t->timer.data = t;
        p->timers = t;
    }
    t->querying = false;
    t->maybe = true;
    query(t);
}

void asq__timers_close(struct asq__partition *p)
{
    if (!p->timers)
        return;
    ev_timer_stop(p->w->loop, &p->timers->timer);
    p->timers->querying = false;
}

void asq__timers_free(struct asq__partition *p)
{
    asq__timers_close(p);
    free(p->timers);
    p->timers = NULL;
}

void asq__timers_changed(struct asq__partition *p)
{
    if (!p->timers || !asq__partition_is_owned(p))
        return;
    p->timers->maybe = true;
    query(p->timers);
}

void asq__timers_upkeep(struct asq__partition *p)
{
    struct asq__timers *t = p->timers;
    if (t && t->maybe && !t->querying && !ev_is_active(&t->timer))
        query(t); /* a drain was called off */
}
