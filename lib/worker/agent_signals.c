/*
 * agent_signals.c: see agent_signals.h. The signals of an agent are in Redis; while somebody waits
 * for one, or a change of them is not acknowledged, they are in memory, too, in a box:
 *
 *     signal ──▶ queued ──┐   unknown ──asq__signals_read──▶ known
 *                         ▼                                    │ nobody waits, all acknowledged
 *     method ──▶ hearers: box ◀────────────────────────────────┴──▶ forgotten
 *
 *     a signal's call   result and signal are in one commit
 *     it is heard       the record of the step and the removal of the signal are in one commit, and
 *                       the method resumes when that is acknowledged
 *     none comes        the record of the step
 *
 * So each signal is heard by one call, which has it again when it runs again. An owner that is
 * fenced has committed nothing, and its runs end; the next owner finds the signals in Redis.
 *
 * What a method waits for is a struct asq__hearing, which belongs to the loop from its hand-over
 * until the method's wait is over, and in memory to the loop until the method ends or waits for
 * another signal. A wait that is cut short by a cancel or a deadline leaves it with the hearers,
 * where it is passed over.
 */
#include "worker/agent_signals.h"

#include <ev.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "client/handle.h"
#include "client/object.h"
#include "redis/redis.h"
#include "redis/redis_clock.h"
#include "redis/refusal.h"
#include "redis/reply.h"
#include "redis/timer.h"
#include "value/buf.h"
#include "value/clock.h"
#include "value/list.h"
#include "value/msg.h"
#include "value/signal_box.h"
#include "value/step_msg.h"
#include "value/table.h"
#include "worker/call_time.h"
#include "worker/commit.h"
#include "worker/core/actor.h"
#include "worker/core/entry.h"
#include "worker/exec/run.h"
#include "worker/handover.h"
#include "worker/nested_state.h"
#include "worker/outcome.h"
#include "worker/partition.h"
#include "worker/process.h"
#include "worker/process_log.h"
#include "worker/result_read.h"
#include "worker/steps.h"
#include "worker/unload_wait.h"

/* Room for the fields of a record beside name and value. */
enum { RECORD_ROOM = 64 };

/* Of a partition. */
struct asq__agent_signals {
    struct asq__table boxes;   /* by agent */
    struct asq__list settling; /* boxes with changes that are not acknowledged, in order of seq */
    struct asq__list unread;   /* boxes that are to be read again */
};

struct box {
    struct asq__node node;       /* in boxes */
    struct asq__partition *part; /* NULL: lost; the answer to the read frees the box */
    struct asq__list settling, unread;
    struct asq__list queued;  /* calls of signals, while the box is not known */
    struct asq__list hearers; /* waits of methods */
    bool known;               /* `signals` are those of the agent */
    bool reading;             /* an answer will come */
    unsigned in_use;          /* functions on the stack that go on with it */
    uint64_t seq;             /* of the commit with the last change */
    struct asq__signal_box signals;
    char agent[];
};

struct asq__hearing {
    struct asq__handover handover;
    struct asq__list node; /* in box->hearers */
    struct asq__nested *nested;
    struct box *box; /* while it is among its hearers */
    ev_timer timer;
    uint64_t number; /* of the step */
    int64_t timeout_ms;
    size_t room;  /* for the record */
    bool decided; /* the outcome is recorded, in a commit at least */
    int code;     /* 0, or ASQ_ETIMEOUT */
    size_t recorded;
    struct asq__buf value;
    char name[];
};

static const void *box_key(const struct asq__node *node, size_t *n)
{
    const struct box *b = ASQ__CONTAINER(node, struct box, node);
    *n = strlen(b->agent);
    return b->agent;
}

/* ---- boxes ---- */

static struct asq__agent_signals *signals_of(struct asq__partition *p)
{
    if (p->signals)
        return p->signals;
    struct asq__agent_signals *s = calloc(1, sizeof *s);
    if (!s || asq__table_init(&s->boxes, box_key) < 0) {
        free(s);
        return NULL;
    }
    asq__list_init(&s->settling);
    asq__list_init(&s->unread);
    return p->signals = s;
}

/* Finds or makes the box of an agent; NULL: no memory. */
static struct box *box_of(struct asq__partition *p, const char *agent)
{
    struct asq__agent_signals *s = signals_of(p);
    size_t n = strlen(agent);
    struct asq__node *node = s ? asq__table_find(&s->boxes, agent, n) : NULL;
    if (node)
        return ASQ__CONTAINER(node, struct box, node);
    struct box *b = s ? calloc(1, sizeof *b + n + 1) : NULL;
    if (!b)
        return NULL;
    b->part = p;
    memcpy(b->agent, agent, n + 1);
    asq__list_init(&b->settling);
    asq__list_init(&b->unread);
    asq__list_init(&b->queued);
    asq__list_init(&b->hearers);
    asq__signal_box_init(&b->signals);
    asq__table_add(&s->boxes, &b->node);
    return b;
}

static void free_box(struct box *b)
{
    asq__signal_box_release(&b->signals);
    free(b);
}

static void forget_if_idle(struct box *b)
{
    if (b->reading || b->in_use || !asq__list_empty(&b->queued) || !asq__list_empty(&b->hearers) ||
        !asq__list_empty(&b->settling) || !asq__list_empty(&b->unread))
        return;
    asq__table_del(&b->part->signals->boxes, &b->node);
    free_box(b);
}

/* Enclose code that may resume a method, and with it other code that uses the box. */
static void enter(struct box *b)
{
    b->in_use++;
}

static void leave(struct box *b)
{
    b->in_use--;
    forget_if_idle(b);
}

/* Keeps the box until the commit with its change is acknowledged: Redis has older signals. */
static void note_change(struct box *b, uint64_t seq)
{
    if (!seq)
        return; /* the partition is lost */
    b->seq = seq;
    asq__list_del(&b->settling);
    asq__list_add(&b->part->signals->settling, &b->settling);
}

/* ---- hearing ---- */

static void stop_hearing(struct asq__hearing *hr)
{
    ev_timer_stop(hr->nested->w->loop, &hr->timer);
    asq__list_del(&hr->node);
    hr->box = NULL;
}

/* Encodes the record of a step. */
static void encode(struct asq__hearing *hr, int code, struct asq__buf *out)
{
    struct asq__step step = { .number = hr->number,
                              .kind = ASQUEUE__STEP_KIND__SIGNAL_HEARD,
                              .name = hr->name,
                              .name_n = strlen(hr->name),
                              .value = hr->value.data,
                              .value_n = hr->value.len,
                              .code = code };
    asq__buf_init(out, (size_t) 1 << 31);
    asq__step_encode(&step, out);
    hr->recorded = out->len;
}

/* Has the method resume when the commit with its outcome is acknowledged. */
static void decide(struct asq__hearing *hr, int code, uint64_t seq)
{
    struct asq__nested *n = hr->nested;
    hr->decided = seq != 0;
    hr->code = code;
    if (seq)
        n->run->recorded_seq = seq;
    asq__steps_wait_until(n, seq);
}

static void time_out(struct asq__hearing *hr)
{
    struct asq__buf record;
    encode(hr, ASQ_ETIMEOUT, &record);
    uint64_t seq = record.error ? 0
                                : asq__commit_steps(hr->nested->run->active.call, record.data,
                                                    record.len, NULL);
    if (record.error)
        asq__steps_end_wait(hr->nested, record.error);
    else
        decide(hr, ASQ_ETIMEOUT, seq);
    asq__buf_release(&record);
}

/* Returns whether a wait still goes on: it was not cut short. */
static bool is_waiting(const struct asq__hearing *hr)
{
    const struct asq__run *run = hr->nested->run;
    return !atomic_load(&run->ctx.canceled) && asq__now_ms() < run->ctx.deadline_ms &&
           (asq__run_is_parked(run) || run->wait_rc != ASQ_EDEADLINE);
}

static void on_timeout(struct ev_loop *loop, ev_timer *timer, int revents)
{
    struct asq__hearing *hr = timer->data;
    struct box *b = hr->box;
    (void) loop;
    (void) revents;
    enter(b);
    bool waiting = is_waiting(hr);
    stop_hearing(hr);
    if (!asq__steps_are_current(hr->nested->run))
        asq__steps_end_wait(hr->nested, ASQ_ECANCELED);
    else if (waiting)
        time_out(hr);
    leave(b);
}

/* Gives a signal to a call. */
static void give(struct box *b, struct asq__hearing *hr, struct asq__signal *s)
{
    struct asq__nested *n = hr->nested;
    struct asq__buf record, change;
    uint64_t number = s->number;
    if (s->value_n + strlen(s->name) + RECORD_ROOM > hr->room) {
        asq__steps_end_wait(n, ASQ_ELIMIT);
        return;
    }
    asq__buf_put(&hr->value, s->value, s->value_n);
    encode(hr, 0, &record);
    if (hr->value.error || record.error) {
        asq__buf_release(&record);
        asq__steps_end_wait(n, ASQ_ENOMEM);
        return;
    }
    asq__buf_init(&change, 2 * ASQ__SIGNALS_BYTES);
    asq__signal_box_remove(&b->signals, s);
    enum asq__signals_change mode = asq__signal_box_heard(&b->signals, number, &change);
    uint64_t seq = asq__commit_heard(n->run->active.call, &record, mode, &change);
    note_change(b, seq);
    decide(hr, 0, seq);
    asq__buf_release(&change);
    asq__buf_release(&record);
}

/* Gives a signal that has come to the call that waits for it for longest; or has an unloaded call
 * run again, which then hears it. */
static void give_to_first(struct box *b, struct asq__signal *s)
{
    ASQ__LIST_EACH (it, &b->hearers) {
        struct asq__hearing *hr = ASQ__CONTAINER(it, struct asq__hearing, node);
        if (strcmp(hr->name, s->name) != 0)
            continue;
        bool waiting = is_waiting(hr);
        stop_hearing(hr);
        if (!waiting)
            continue;
        give(b, hr, s);
        return;
    }
    asq__unload_wait_signal(b->part, b->agent, s->name);
}

/* Decides about a call that waits, once the box is known. */
static void hear(struct box *b, struct asq__hearing *hr)
{
    struct asq__signal *s = asq__signal_box_find(&b->signals, hr->name);
    if (s || hr->timeout_ms == 0) {
        stop_hearing(hr);
        if (s)
            give(b, hr, s);
        else
            time_out(hr);
        return;
    }
    if (hr->timeout_ms < 0)
        return;
    struct ev_loop *loop = hr->nested->w->loop;
    ev_now_update(loop);
    asq__timer_restart(loop, &hr->timer, (double) hr->timeout_ms / 1000, 0.);
}

/* ---- signals that come ---- */

static __attribute__((noinline, cold)) void refuse(const struct box *b, struct asq__wcall *c)
{
    asq__wcall_fail(c, ASQ_EBUSY,
                    "%zu signals of %zu bytes to agent '%.100s' were not heard yet, and no more "
                    "than %d of %d bytes are kept: its calls have to hear some first "
                    "(asq_ctx_next_signal), or somebody deletes the agent",
                    b->signals.n, b->signals.bytes, b->agent, ASQ__SIGNALS_MAX, ASQ__SIGNALS_BYTES);
}

/* Keeps the signal of a call, which ends. */
static void keep(struct box *b, struct asq__wcall *c)
{
    struct asq__partition *p = b->part;
    const Asqueue__Job *job = asq__wcall_job(c);
    struct asq__buf change;
    asq__list_del(&c->node);
    if (asq__now_ms() >= asq__wcall_deadline_ms(c)) {
        asq__wcall_fail(c, ASQ_EDEADLINE, "its deadline had passed before the signal was kept");
        return;
    }
    if (!asq__signal_box_has_room(&b->signals, job->method, job->args.len)) {
        refuse(b, c);
        return;
    }
    int64_t now_ms = asq__now_ms() + asq__redis_clock(p->w->redis)->segments[0].minus_mono_ms;
    struct asq__signal *s =
        asq__signal_box_add(&b->signals, job->method, job->args.data, job->args.len, now_ms);
    if (!s) {
        asq__wcall_fail(c, ASQ_ENOMEM, "the worker is out of memory");
        return;
    }
    asq__buf_init(&change, 2 * ASQ__SIGNALS_BYTES);
    enum asq__signals_change mode = asq__signal_box_added(&b->signals, s, &change);
    asq__wcall_enter(c, ASQ__CALL_FINISHED);
    note_change(b, asq__commit_signal(c, mode, &change));
    asq__buf_release(&change);
    if (asq__partition_is_owned(p))
        give_to_first(b, s);
}

/* ---- reading ---- */

static void serve(struct box *b)
{
    struct asq__partition *p = b->part;
    struct asq__list hearers, *node;
    enter(b);
    asq__list_init(&hearers);
    asq__list_splice(&hearers, &b->hearers);
    while ((node = asq__list_pop(&hearers))) {
        struct asq__hearing *hr = ASQ__CONTAINER(node, struct asq__hearing, node);
        asq__list_add(&b->hearers, &hr->node);
        if (asq__partition_is_owned(p))
            hear(b, hr);
    }
    while (asq__partition_is_owned(p) && (node = asq__list_pop(&b->queued)))
        keep(b, ASQ__CONTAINER(node, struct asq__wcall, node));
    leave(b);
}

static void read_later(struct box *b)
{
    asq__list_add(&b->part->signals->unread, &b->unread);
}

static void on_read(void *user, const redisReply *reply, size_t size)
{
    struct box *b = user;
    struct asq__partition *p = b->part;
    int rc = 0;
    b->reading = false;
    if (!p) {
        free_box(b);
        return;
    }
    if (b->known) { /* the agent was deleted meanwhile */
        forget_if_idle(b);
        return;
    }
    if (!asq__partition_is_owned(p) || !reply ||
        (reply->type == REDIS_REPLY_ERROR && asq__reply_refusal(reply) != ASQ__REFUSED_TYPE)) {
        read_later(b);
        return;
    }
    if (size)
        rc = asq__signal_box_read(&b->signals, reply->str, size);
    if (rc == ASQ_ENOMEM) {
        read_later(b);
        return;
    }
    if (rc < 0 || reply->type == REDIS_REPLY_ERROR)
        asq__process_log_some_about(p->w, ASQ__LOG_ABOUT_PARTITION(p), ASQ_LOG_ERROR,
                                    "partition %u: the signals to agent '%s' cannot be read (key "
                                    "…:g:%s): they were overwritten, and are kept anew",
                                    p->number, b->agent, b->agent);
    b->known = true;
    serve(b);
}

static void read_box(struct box *b)
{
    if (b->reading || !asq__list_empty(&b->unread))
        return;
    b->reading = true;
    if (asq__signals_read(b->part, b->agent, on_read, b) < 0) {
        b->reading = false;
        read_later(b);
    }
}

void asq__agent_signals_take(struct asq__wcall *c)
{
    struct asq__partition *p = c->entry->part;
    struct box *b = box_of(p, asq__wcall_job(c)->agent);
    asq__list_del(&c->node);
    c->actor = NULL; /* the agent may leave memory while the box is read */
    c->reentrant = false;
    if (!b) {
        asq__wcall_fail(c, ASQ_ENOMEM, "the worker is out of memory");
    } else if (b->known) {
        enter(b);
        keep(b, c);
        leave(b);
    } else {
        asq__list_add(&b->queued, &c->node);
        read_box(b);
    }
}

void asq__agent_signals_delete(struct asq__wcall *c)
{
    struct asq__partition *p = c->entry->part;
    struct box *b = box_of(p, asq__wcall_job(c)->agent);
    struct asq__list *node;
    if (!b) {
        asq__partition_abandon(p, "out of memory");
        return;
    }
    while ((node = asq__list_pop(&b->queued)))
        asq__wcall_fail(ASQ__CONTAINER(node, struct asq__wcall, node), ASQ_ENOAGENT,
                        "there is no agent '%s': it was deleted", b->agent);
    asq__signal_box_release(&b->signals);
    asq__signal_box_init(&b->signals);
    asq__list_del(&b->unread);
    b->known = true;
    note_change(b, asq__commit_no_signals(c));
}

/* ---- methods ---- */

static void hear_on_loop(struct asq__handover *h)
{
    struct asq__hearing *hr = ASQ__CONTAINER(h, struct asq__hearing, handover);
    struct asq__nested *n = hr->nested;
    struct asq__run *run = n->run;
    struct asq__partition *p = run->actor->part;
    asq__agent_signals_end(n); /* an earlier wait */
    n->hearing = hr;
    if (!asq__steps_are_current(run)) {
        asq__steps_end_wait(n, ASQ_ECANCELED);
        return;
    }
    struct box *b = box_of(p, run->actor->id);
    if (!b) {
        asq__steps_end_wait(n, ASQ_ENOMEM);
        return;
    }
    hr->box = b;
    asq__list_add(&b->hearers, &hr->node);
    if (!b->known) {
        read_box(b);
        return;
    }
    enter(b);
    hear(b, hr);
    leave(b);
}

static void free_hearing(struct asq__hearing *hr)
{
    asq__buf_release(&hr->value);
    free(hr);
}

int asq__nested_next_signal(asq *h, struct asq__signal_wait *wait)
{
    struct asq__nested *n = h->impl;
    size_t name_n = strlen(wait->name) + 1;
    struct asq__hearing *hr = calloc(1, sizeof *hr + name_n);
    if (!hr)
        return asq__fail_memory(h);
    hr->handover.handle = hear_on_loop;
    hr->nested = n;
    hr->number = wait->number;
    hr->timeout_ms = wait->timeout_ms;
    hr->room = wait->room;
    memcpy(hr->name, wait->name, name_n);
    asq__list_init(&hr->node);
    asq__buf_init(&hr->value, ASQ__SIGNAL_MAX);
    ev_timer_init(&hr->timer, on_timeout, 0., 0.);
    hr->timer.data = hr;
    asq__steps_begin_wait(n);
    asq__process_hand_over(n->w, &hr->handover);
    int rc = asq__nested_wait_steps(n);
    if (rc == ASQ_ENOMEM)
        return asq__fail_memory(h);
    if (rc < 0)
        return rc;
    if (!hr->decided) /* the answer to an earlier wait, which was cut short */
        return asq__fail(h, ASQ_ECANCELED, "the call was cancelled");
    wait->value = hr->value;
    asq__buf_init(&hr->value, 0);
    wait->recorded = hr->recorded;
    return hr->code;
}

void asq__agent_signals_end(struct asq__nested *n)
{
    struct asq__hearing *hr = n->hearing;
    struct box *b = hr ? hr->box : NULL;
    if (!hr)
        return;
    n->hearing = NULL;
    ev_timer_stop(n->w->loop, &hr->timer);
    asq__list_del(&hr->node);
    if (b)
        forget_if_idle(b);
    free_hearing(hr);
}

bool asq__agent_signals_may_leave(const struct asq__nested *n)
{
    return n->hearing && n->hearing->box && n->hearing->box->known;
}

void asq__agent_signals_leave(struct asq__nested *n)
{
    struct box *b = n->hearing->box;
    stop_hearing(n->hearing);
    forget_if_idle(b);
}

const char *asq__agent_signals_awaited(const struct asq__run *run)
{
    if (!asq__run_is_parked(run))
        return NULL;
    const struct asq__nested *n = run->ctx.h->impl;
    return n->hearing && n->hearing->box ? n->hearing->name : NULL;
}

/* ---- the partition ---- */

void asq__agent_signals_resume(struct asq__partition *p)
{
    struct asq__agent_signals *s = p->signals;
    while (s && !asq__list_empty(&s->settling)) {
        struct box *b = ASQ__CONTAINER(s->settling.next, struct box, settling);
        if (b->seq > p->acked)
            return;
        asq__list_del(&b->settling);
        forget_if_idle(b);
    }
}

void asq__agent_signals_upkeep(struct asq__partition *p)
{
    struct asq__list unread, *node;
    if (!p->signals || !asq__partition_is_owned(p))
        return;
    asq__list_init(&unread);
    asq__list_splice(&unread, &p->signals->unread);
    while ((node = asq__list_pop(&unread)))
        read_box(ASQ__CONTAINER(node, struct box, unread));
}

static void drop_box(struct asq__node *node, void *user)
{
    struct box *b = ASQ__CONTAINER(node, struct box, node);
    struct asq__agent_signals *s = user;
    struct asq__list *it;
    while (asq__list_pop(&b->queued))
        ; /* ends with its entry */
    while ((it = asq__list_pop(&b->hearers))) {
        struct asq__hearing *hr = ASQ__CONTAINER(it, struct asq__hearing, node);
        stop_hearing(hr);
        asq__steps_end_wait(hr->nested, ASQ_ECANCELED);
    }
    asq__list_del(&b->settling);
    asq__list_del(&b->unread);
    asq__table_del(&s->boxes, node);
    b->part = NULL;
    if (!b->reading)
        free_box(b);
}

void asq__agent_signals_drop(struct asq__partition *p)
{
    if (p->signals)
        asq__table_each(&p->signals->boxes, drop_box, p->signals);
}

void asq__agent_signals_free(struct asq__partition *p)
{
    if (!p->signals)
        return;
    asq__table_release(&p->signals->boxes);
    free(p->signals);
    p->signals = NULL;
}
