/*
 * inputs.c: results of other calls, given to a call as arguments. They are awaited before its
 * method starts; then each stands in the arguments as its value. On the loop only.
 *
 * The results that calls hold have a bound in bytes for the whole process, a share of
 * --max-backlog-size, and count in held_bytes. A result for which there is no room when it arrives
 * is dropped: only its size is noted, and its record stays in Redis.
 *
 *     await ──▶ arrived ──▶ held ───────────────────────────▶ all held: encoded ──▶ runs
 *                  │                                             ▲
 *                  └──▶ dropped ──all there, its turn──▶ waits for room ──▶ awaited again
 *
 * A call whose results are all there, but not all held, waits for room when it is its turn at its
 * agent. Calls get room in the order in which they ask. Calls that hold room must not keep the
 * first of them waiting for ever, because they may wait for it. So it gets room beyond the bound
 * (it is admitted) as soon as no call that was admitted before is on its way: reading its inputs,
 * about to start, or running without waiting. A parked one is not on its way, and one that has its
 * inputs but cannot start, because its agent is busy meanwhile, gives them back and begins anew. A
 * method that waits otherwise, by a handle of its own, looks as if it ran: after a while one more
 * is admitted beside it for each thread. So more than the bound is held by running and parked calls
 * alone.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "asqueue.h"
#include "client/engine.h"
#include "redis/redis.h"
#include "value/buf.h"
#include "value/clock.h"
#include "value/error.h"
#include "value/list.h"
#include "value/msg.h"
#include "value/value.h"
#include "worker/actor_memory.h"
#include "worker/allowed.h"
#include "worker/core/actor.h"
#include "worker/core/entry.h"
#include "worker/inputs.h"
#include "worker/partition.h"
#include "worker/process.h"

enum {
    SHARE = 4,          /* results may take this part of --max-backlog-size */
    PATIENCE_MS = 10000 /* then one more is admitted beside those that run */
};

struct input {
    struct asq__call call;
    struct asq__inputs *inputs;
    struct asq__future_place place; /* in the arguments, until all are there */
    void *data;                     /* the result, encoded, while it is held */
    size_t size;                    /* of the result, once it has arrived */
    bool pending, dropped;
};

struct asq__inputs {
    struct asq__list room; /* in w->inputs_waiting or w->inputs_admitted; or in no list */
    struct asq__wcall *c;
    asq_value *args;         /* NULL once they are encoded */
    struct asq__buf encoded; /* of args, once all are there */
    char *failure;
    size_t bytes; /* of the results that have arrived, encoded */
    size_t held;  /* counted in w->input_bytes */
    size_t n, pending, ndropped;
    int64_t asked_ms; /* for room */
    bool admitted;    /* may exceed the bound */
    bool finished;    /* all are there, and encoded; or it has failed */
    struct input items[];
};

static struct asq__process *process_of(const struct asq__inputs *in)
{
    return in->c->entry->part->w;
}

static void hold(struct asq__inputs *in, size_t bytes)
{
    struct asq__process *w = process_of(in);
    in->held += bytes;
    w->input_bytes += bytes;
    atomic_fetch_add(&w->held_bytes, bytes);
}

static void release(struct asq__inputs *in)
{
    struct asq__process *w = process_of(in);
    for (size_t i = 0; i < in->n; i++) {
        free(in->items[i].data);
        in->items[i].data = NULL;
    }
    w->input_bytes -= in->held;
    atomic_fetch_sub(&w->held_bytes, in->held);
    in->held = 0;
}

static bool has_room(const struct asq__process *w, size_t bytes)
{
    return w->input_bytes + bytes <= w->config.max_backlog_size / SHARE;
}

static void fail(struct asq__inputs *in, const char *id, const asq_error *why)
{
    struct asq__error e;
    if (in->failure)
        return;
    asq__error_init(&e);
    asq__error_input(&e, id, why);
    in->failure = strdup(e.pub.message);
    if (!in->failure)
        in->failure = strdup("out of memory");
    asq__error_clear(&e);
}

/* Fails for a reason that is not a method's. */
static void fail_with(struct asq__inputs *in, const char *id, int code, const char *text)
{
    fail(in, id, &(asq_error){ code, text, "", "", "", "", "" });
}

static void fail_to_put(struct asq__inputs *in, const char *id, const char *why)
{
    char text[300];
    if (in->failure)
        return;
    snprintf(text, sizeof text,
             "it was not run: with the result of call %s in their place the arguments %s", id, why);
    in->failure = strdup(text);
    if (!in->failure)
        in->failure = strdup("out of memory");
}

/* Keeps a result that has arrived, if there is room. More than one message may hold is refused as
 * soon as it is known. */
static void keep(struct asq__inputs *in, struct input *item, const Asqueue__Result *result)
{
    const char *id = item->place.future->future->text;
    size_t n = result->value.len;
    in->bytes += n - item->size; /* the size of one that was dropped is known */
    item->size = n;
    if (in->bytes > in->encoded.max) {
        fail_to_put(in, id, "are too large");
        return;
    }
    if (!in->admitted && !has_room(process_of(in), n)) {
        item->dropped = true;
        in->ndropped++;
        return;
    }
    if (n && !(item->data = malloc(n))) {
        fail_to_put(in, id, "find no memory: out of memory");
        return;
    }
    if (n)
        memcpy(item->data, result->value.data, n);
    hold(in, n);
}

/* Puts a result into the arguments. */
static void put(struct asq__inputs *in, const struct input *item)
{
    asq_value *value = NULL;
    char why[200], id[ASQ__CALL_ID_TEXT];
    snprintf(id, sizeof id, "%s", item->place.future->future->text);
    int rc = item->data ? asq__value_decode(item->data, item->size, &value, why, sizeof why) : 0;
    if (rc < 0) {
        fail_with(in, id, rc, why);
        return;
    }
    rc = asq__future_replace(&in->args, &item->place, value ? value : asq_value_null());
    if (rc < 0)
        fail_to_put(in, id,
                    rc == ASQ_ELIMIT ? "are nested too deep" : "find no memory: out of memory");
}

/* Encodes the arguments with all results in their places, or takes the failure. */
static void finish(struct asq__inputs *in)
{
    for (size_t i = 0; i < in->n && !in->failure; i++)
        put(in, &in->items[i]);
    if (!in->failure && asq__value_encode(in->args, &in->encoded) < 0)
        fail_to_put(in, "(the last)", "are too large");
    asq_value_free(in->args);
    in->args = NULL;
    release(in);
    if (in->failure)
        asq__buf_reset(&in->encoded);
    else
        hold(in, in->encoded.len);
    in->finished = true;
}

/* Finishes the inputs of a call: no input is pending any more. */
static void all_there(struct asq__inputs *in)
{
    if (in->failure || !in->ndropped)
        finish(in);
    if (in->c->actor && in->c->state == ASQ__CALL_INPUTS)
        asq__actor_resume_later(in->c->actor);
}

static void input_done(struct asq__call *call, const Asqueue__Result *result,
                       const asq_error *error)
{
    struct input *item = ASQ__CONTAINER(call, struct input, call);
    struct asq__inputs *in = item->inputs;
    const char *id = item->place.future->future->text;
    item->pending = false;
    in->pending--;
    if (error)
        fail(in, id, error);
    else if (result->failure)
        fail(in, id,
             &(asq_error){ .code = result->failure->code,
                           .message = result->failure->message,
                           .class_name = result->failure->class_name,
                           .method = result->failure->method,
                           .agent_id = result->failure->agent,
                           .worker = "",
                           .call_id = "" });
    else if (!in->failure)
        keep(in, item, result);
    if (in->pending == 0)
        all_there(in);
}

static int count(void *user, const struct asq__future_place *place)
{
    size_t *n = user;
    (void) place;
    return ++*n > ASQ_MAX_FUTURES ? ASQ_ELIMIT : 0;
}

static int note(void *user, const struct asq__future_place *place)
{
    struct asq__inputs *in = user;
    struct input *item = &in->items[in->n++];
    item->call.done = input_done;
    item->inputs = in;
    item->place = *place;
    return 0;
}

/* Awaits a result. The engine may report at once that it is there already; then it takes its
 * place. */
static void await(struct asq__inputs *in, struct input *item)
{
    struct asq__process *w = in->c->entry->part->w;
    const char *text = item->place.future->future->text;
    struct asq__call_id id;
    int rc = asq__call_id_parse(text, &id);
    if (rc == 0 && !asq__redis_reach(w->redis, id.partition))
        rc = ASQ_EINVAL;
    item->pending = true;
    in->pending++;
    if (rc == 0)
        rc = asq__engine_await(w->engine, &id, &item->call);
    if (rc < 0) {
        item->pending = false;
        in->pending--;
        fail_with(in, text, rc, asq_strerror(rc));
    }
}

int asq__inputs_begin(struct asq__wcall *c)
{
    const Asqueue__Job *job = asq__wcall_job(c);
    struct asq__process *w = c->entry->part->w;
    struct asq__inputs *in = NULL;
    asq_value *args = NULL;
    size_t n = 0;
    int rc = asq__value_decode_marked(job->args.data, job->args.len, &args, NULL, 0);
    if (rc == 0)
        rc = asq__value_each_future(args, count, &n);
    if (rc == 0 && !(in = calloc(1, sizeof *in + n * sizeof in->items[0])))
        rc = ASQ_ENOMEM;
    if (rc < 0) {
        asq_value_free(args);
        return rc; // cppcheck-suppress memleak ; there is no `in` then
    }
    asq__list_init(&in->room);
    in->c = c;
    in->args = args;
    asq__buf_init(&in->encoded, w->config.max_message_size);
    c->inputs = in;
    asq__value_each_future(args, note, in);
    in->pending = 1; /* until all are asked for */
    for (size_t i = 0; i < in->n; i++)
        await(in, &in->items[i]);
    if (--in->pending == 0 && (in->failure || !in->ndropped))
        finish(in);
    return 0;
}

bool asq__inputs_ready(const struct asq__wcall *c)
{
    return c->inputs && (c->inputs->finished || c->inputs->failure);
}

/* ---- room ---- */

void asq__inputs_want_room(struct asq__wcall *c)
{
    struct asq__inputs *in = c->inputs;
    if (in->pending || in->admitted || !asq__list_empty(&in->room))
        return;
    in->asked_ms = asq__now_ms_coarse();
    asq__list_add(&process_of(in)->inputs_waiting, &in->room);
}

bool asq__inputs_wait_for_room(const struct asq__wcall *c)
{
    return c->inputs && c->inputs->asked_ms && !c->inputs->admitted;
}

static void begin_anew(struct asq__wcall *c)
{
    asq__inputs_free(c->inputs);
    c->inputs = NULL;
    asq__wcall_enter(c, ASQ__CALL_WAITING);
}

/* Returns whether calls of the partition may start. If so, a call that its agent admits has
 * started. */
static bool may_start(const struct asq__partition *p)
{
    return asq__process_may_start(p->w) && !p->recovering && !p->commits_many &&
           asq__list_empty(&p->postponed);
}

/* Returns whether a call that takes inputs waits for no other call: for its inputs, for the end of
 * the iteration, or until its partition may start calls. */
static bool is_coming(const struct asq__inputs *in)
{
    const struct asq__wcall *c = in->c;
    return in->pending || !asq__list_empty(&c->actor->calls->resuming) ||
           !may_start(c->entry->part);
}

/* Counts the admitted calls that are on their way. Calls that wait for another call are left
 * out. */
static unsigned count_on_their_way(struct asq__process *w)
{
    unsigned n = 0;
    ASQ__LIST_EACH (it, &w->inputs_admitted) {
        struct asq__inputs *in = ASQ__CONTAINER(it, struct asq__inputs, room);
        struct asq__wcall *c = in->c;
        if (c->state == ASQ__CALL_RUNNING || (c->state == ASQ__CALL_INPUTS && is_coming(in)))
            n++;
        else if (c->state == ASQ__CALL_INPUTS)
            begin_anew(c);
        else
            asq__list_del(it);
    }
    return n;
}

static bool may_exceed(struct asq__process *w, const struct asq__inputs *in)
{
    unsigned n = count_on_their_way(w);
    return n == 0 || (n < w->config.capacity && asq__now_ms_coarse() - in->asked_ms >= PATIENCE_MS);
}

static void admit(struct asq__inputs *in)
{
    asq__list_del(&in->room);
    asq__list_add(&process_of(in)->inputs_admitted, &in->room);
    in->admitted = true;
    in->ndropped = 0;
    in->pending = 1; /* until all are asked for */
    for (size_t i = 0; i < in->n; i++)
        if (in->items[i].dropped) {
            in->items[i].dropped = false;
            await(in, &in->items[i]);
        }
    if (--in->pending == 0)
        all_there(in);
}

void asq__inputs_run_due(struct asq__process *w)
{
    while (!asq__list_empty(&w->inputs_waiting)) {
        struct asq__inputs *in = ASQ__CONTAINER(w->inputs_waiting.next, struct asq__inputs, room);
        if (!has_room(w, in->bytes - in->held) && !may_exceed(w, in))
            return;
        admit(in);
    }
}

void asq__inputs_retry(struct asq__wcall *c)
{
    if (c->inputs && c->inputs->admitted) {
        asq__inputs_free(c->inputs);
        c->inputs = NULL;
    }
}

/* ---- what others ask ---- */

bool asq__inputs_pending(const struct asq__wcall *c, size_t skip, struct asq__call_id *ret)
{
    const struct asq__inputs *in = c->inputs;
    for (size_t i = 0; in && i < in->n; i++)
        if (in->items[i].pending && skip-- == 0)
            return asq__call_id_parse(in->items[i].place.future->future->text, ret) == 0;
    return false;
}

size_t asq__inputs_awaited(const struct asq__wcall *c, struct asq__call_id *ids, size_t room)
{
    const struct asq__inputs *in = c->inputs;
    size_t n = 0;
    for (size_t i = 0; in && i < in->n; i++) {
        if (!in->items[i].pending)
            continue;
        if (n < room && asq__call_id_parse(in->items[i].place.future->future->text, &ids[n]) < 0)
            continue;
        n++;
    }
    return n;
}

const char *asq__inputs_failure(const struct asq__wcall *c)
{
    return c->inputs ? c->inputs->failure : NULL;
}

const void *asq__inputs_args(const struct asq__inputs *in, size_t *n)
{
    *n = in->encoded.len;
    return in->encoded.data;
}

void asq__inputs_free(struct asq__inputs *in)
{
    if (!in)
        return;
    for (size_t i = 0; i < in->n; i++)
        if (in->items[i].pending)
            asq__engine_abandon(process_of(in)->engine, &in->items[i].call);
    asq__list_del(&in->room);
    release(in);
    asq_value_free(in->args);
    asq__buf_release(&in->encoded);
    free(in->failure);
    free(in);
}
