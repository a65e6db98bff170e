/*
 * report.c: see report.h.
 *
 * An asker publishes ?NONCE on the workers' channel. Each worker writes what it knows into the
 * hash asq:{N}:worker-calls:ID, a field for each of its partitions, with the last nonces, and the
 * asker reads the fields that it wants. So nothing is written while nobody asks. The fields are
 * bounded: a call that runs or is parked and does not fit is counted only. So that more fit, the
 * later half is without the lists of what calls wait for, and without arguments. When answers take
 * a sixteenth of the loop's time, the next one waits for the upkeep, each second.
 *
 * Other fields are figures of the process: uptime_ms, running, parked, waiting, and how many pauses
 * it obeys. While it reads what is paused, the answer waits: who has paused something and asks then
 * knows that the worker has read of it.
 *
 * A field of a partition has a line with two numbers, calls that have begun and lines about them,
 * and then a line of JSON for each call: its id, state, agent, class, method, age, time in its
 * method, arguments, reason, and what it awaits.
 */
#include "worker/report.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "asqueue.h"
#include "client/class.h"
#include "client/object.h"
#include "redis/cmd.h"
#include "redis/conn.h"
#include "redis/keys.h"
#include "redis/redis.h"
#include "value/buf.h"
#include "value/clock.h"
#include "value/head.h"
#include "value/list.h"
#include "value/msg.h"
#include "value/value.h"
#include "worker/actor_object.h"
#include "worker/backlog.h"
#include "worker/core/actor.h"
#include "worker/core/commit_set.h"
#include "worker/core/entry.h"
#include "worker/exec/pool.h"
#include "worker/exec/run.h"
#include "worker/partition.h"
#include "worker/pause.h"
#include "worker/process.h"
#include "worker/stuck.h"

enum {
    TTL_MS = 15000,
    SHARE = 16, /* of the loop's time, for answers */
    PARTITION_BYTES = 256 * 1024,
    ALL_BYTES = 4 * 1024 * 1024,
    WAITING_SHARE = 4 /* part of the room that waiting calls may use */
};

/* Appends text as a string of JSON. It is UTF-8, which intake and registry have checked. */
static void put_string(struct asq__buf *out, const char *text)
{
    asq__buf_putc(out, '"');
    for (; *text; text++) {
        unsigned char c = (unsigned char) *text;
        if (c == '"' || c == '\\')
            asq__buf_putc(out, '\\');
        if (c < 0x20)
            asq__buf_printf(out, "\\u%04x", c);
        else
            asq__buf_putc(out, c);
    }
    asq__buf_putc(out, '"');
}

static void put_pair(struct asq__buf *out, const char *key, const char *text)
{
    asq__buf_printf(out, ",\"%s\":", key);
    put_string(out, text);
}

/* Where a field is full, and from where on it has no lists of what calls wait for, and no
 * arguments. */
struct room {
    size_t all, lists;
};

/* Appends which calls a call waits for: the first, their number, and perhaps a list of several. */
static void put_awaited(struct asq__buf *out, const struct asq__awaited *awaited, bool list)
{
    char id[ASQ__CALL_ID_TEXT];
    if (!awaited->n)
        return;
    asq__call_id_format(&awaited->ids[0], id);
    asq__buf_printf(out, ",\"waits_for\":\"%s\",\"awaited\":%zu", id, awaited->n);
    if (!list || awaited->n == 1)
        return;
    for (size_t i = 0; i < awaited->n && i < ASQ__AWAITED_IDS; i++) {
        asq__call_id_format(&awaited->ids[i], id);
        asq__buf_printf(out, "%s\"%s\"", i ? "," : ",\"awaits\":[", id);
    }
    asq__buf_putc(out, ']');
}

/* Appends for how long a call has been in its method. args: also the head of its arguments, unless
 * they are to be omitted. */
static void put_run(struct asq__buf *out, const struct asq__run *run, bool args)
{
    const Asqueue__Job *job = asq__wcall_job(run->active.call);
    char head[ASQ__FAILURE_ARGS];
    asq__buf_printf(out, ",\"run_ms\":%lld",
                    (long long) ((asq__now_ns() - asq__run_began_ns(run)) / 1000000));
    if (run->emitted)
        asq__buf_printf(out, ",\"emitted\":%llu", (unsigned long long) run->emitted);
    if (!args || run->w->config.omit_arguments)
        return;
    asq__value_head(job->args.data, job->args.len, head, sizeof head);
    put_pair(out, "args", head);
}

/* Appends a line about a call. */
static void put_call(struct asq__buf *out, const struct asq__wcall *c, const char *state,
                     const char *why, const struct asq__awaited *awaited, const struct room *room)
{
    bool list = out->len < room->lists;
    const struct asq__run *run = asq__run_of(c);
    const Asqueue__Job *job = asq__wcall_job(c);
    const struct asq__class *cls = c->actor ? asq__actor_object(c->actor)->cls : NULL;
    char id[ASQ__CALL_ID_TEXT];
    asq__wcall_id(c, id);
    asq__buf_printf(out, "{\"id\":\"%s\",\"state\":\"%s\",\"age_ms\":%lld", id, state,
                    (long long) (asq__now_ms() - c->entry->made_ms));
    if (run)
        put_run(out, run, list);
    put_pair(out, "agent", job->agent);
    put_pair(out, "class", cls ? cls->def.name : job->class_name);
    put_pair(out, "method", job->method);
    put_pair(out, "why", why);
    put_awaited(out, awaited, list);
    if (job->chain && job->chain->n_links)
        put_pair(out, "caller", job->chain->links[job->chain->n_links - 1]->call);
    asq__buf_puts(out, "}\n");
}

/* Keeps the last line only if the buffer has not outgrown the room. */
static bool keep_line(struct asq__buf *out, size_t before, size_t room)
{
    if (out->len <= room && !out->error)
        return true;
    out->len = before;
    return false;
}

struct found {
    size_t active, lines;
    bool full;
};

/* Returns the call of an agent that waits without a run, which others see as parked; or NULL. */
static const struct asq__wcall *unloaded_of(const struct asq__actor *a)
{
    const struct asq__mailbox *m = &a->calls->mailbox;
    if (m->n_active || asq__list_empty(&m->queue))
        return NULL;
    const struct asq__wcall *c = ASQ__CONTAINER(m->queue.next, struct asq__wcall, node);
    return asq__wcall_waits_unloaded(c) ? c : NULL;
}

/* Appends a line about a call that has begun, if there is room. */
static void put_begun(struct asq__buf *out, const struct asq__wcall *c, const char *state,
                      const char *why, const struct asq__awaited *awaited, const struct room *room,
                      struct found *found)
{
    size_t before = out->len;
    put_call(out, c, state, why, awaited, room);
    if (keep_line(out, before, room->all))
        found->lines++;
    else
        found->full = true;
}

static void put_active(struct asq__buf *out, const struct asq__actor *a, const struct room *room,
                       struct found *found)
{
    const struct asq__wcall *unloaded = unloaded_of(a);
    char text[200];
    struct asq__awaited awaited;
    ASQ__LIST_EACH (it, &a->calls->mailbox.active) {
        const struct asq__run *run = ASQ__CONTAINER(it, struct asq__run, active.node);
        awaited.n = 0;
        found->active++;
        if (found->full)
            continue;
        const char *why = asq__stuck_why_active(run, text, sizeof text, &awaited);
        bool runs = run->active.call->state == ASQ__CALL_RUNNING;
        put_begun(out, run->active.call, runs ? "running" : "parked", why, &awaited, room, found);
    }
    awaited.n = 0;
    found->active += unloaded != NULL;
    if (unloaded && !found->full)
        put_begun(out, unloaded, "parked",
                  asq__stuck_why_waiting(unloaded, text, sizeof text, &awaited), &awaited, room,
                  found);
}

/* Tells why the first call of an agent waits, unless it is simply the next. */
static bool put_waiting(struct asq__buf *out, const struct asq__actor *a, const struct room *room)
{
    const struct asq__mailbox *m = &a->calls->mailbox;
    if (m->n_active || asq__list_empty(&m->queue) || unloaded_of(a))
        return true;
    const struct asq__wcall *c = ASQ__CONTAINER(m->queue.next, struct asq__wcall, node);
    char text[200];
    size_t before = out->len;
    struct asq__awaited awaited;
    awaited.n = 0;
    const char *why = asq__stuck_why_waiting(c, text, sizeof text, &awaited);
    if (!why)
        return true;
    put_call(out, c, "waiting", why, &awaited, room);
    return keep_line(out, before, room->all);
}

/* Writes the field of a partition. */
static void put_partition(struct asq__buf *out, const struct asq__partition *p, struct room room)
{
    char head[48];
    struct found found = { 0 };
    ASQ__LIST_EACH (it, &p->actors.busy)
        put_active(out, ASQ__CONTAINER(it, struct asq__actor, where), &room, &found);
    size_t more = out->len + room.all / WAITING_SHARE;
    room.all = more < room.all ? more : room.all;
    ASQ__LIST_EACH (it, &p->actors.busy)
        if (!put_waiting(out, ASQ__CONTAINER(it, struct asq__actor, where), &room))
            break;
    int n = snprintf(head, sizeof head, "%zu %zu\n", found.active, found.lines);
    if (!asq__buf_reserve(out, (size_t) n))
        return;
    memmove(out->data + n, out->data, out->len);
    memcpy(out->data, head, (size_t) n);
    out->len += (size_t) n;
}

static void put_figure(struct asq__cmd *cmd, const char *name, uint64_t n)
{
    asq__cmd_puts(cmd, name);
    asq__cmd_number(cmd, n);
}

/* Appends fields about the process as a whole. */
static void put_figures(struct asq__cmd *cmd, struct asq__process *w)
{
    uint64_t active = 0, held = 0;
    for (uint32_t i = 0; i < w->nparts; i++) {
        const struct asq__partition *p = &w->parts[i];
        active += p->n_active;
        held += p->held_calls + asq__backlog_calls(p);
    }
    uint64_t parked = asq__pool_stats(w->pool).parked;
    put_figure(cmd, "uptime_ms", (uint64_t) (asq__now_ms() - w->started_ms));
    put_figure(cmd, "running", active > parked ? active - parked : 0);
    put_figure(cmd, "parked", parked);
    put_figure(cmd, "paused", w->pauses.n);
    put_figure(cmd, "waiting", held > active ? held - active : 0);
}

static void write_report(struct asq__process *w)
{
    struct asq__report *r = &w->report;
    int64_t begun_ns = asq__now_ns();
    char nonces[ASQ__REPORT_NONCES * sizeof r->nonces[0]] = "";
    struct asq__conn *conn = asq__redis_home(w->redis);
    struct asq__cmd cmd;
    struct asq__buf out;
    char key[ASQ__KEY_MAX];
    size_t key_n = asq__keys_worker_calls(asq__redis_keys(w->redis), w->config.id, key);
    size_t left = ALL_BYTES;
    asq__cmd_init(&cmd);
    asq__buf_init(&out, PARTITION_BYTES + 8192);
    asq__cmd_puts(&cmd, "HSET");
    asq__cmd_put(&cmd, key, key_n);
    for (size_t i = 0; i < ASQ__REPORT_NONCES; i++)
        if (*r->nonces[i])
            snprintf(nonces + strlen(nonces), sizeof nonces - strlen(nonces), "%s ", r->nonces[i]);
    asq__cmd_puts(&cmd, "nonces");
    asq__cmd_puts(&cmd, nonces);
    put_figures(&cmd, w);
    for (uint32_t i = 0; i < w->nparts; i++) {
        const struct asq__partition *p = &w->parts[i];
        if (!asq__partition_is_owned(p))
            continue;
        asq__buf_reset(&out);
        size_t room = left < PARTITION_BYTES ? left : PARTITION_BYTES;
        put_partition(&out, p, (struct room){ room, left > ALL_BYTES / 2 ? room / 2 : 0 });
        if (out.error)
            continue;
        asq__cmd_number(&cmd, p->number);
        asq__cmd_put(&cmd, out.data, out.len);
        left -= out.len < left ? out.len : left;
    }
    asq__conn_cmd(conn, NULL, NULL, "UNLINK", key, NULL);
    asq__conn_send(conn, NULL, NULL, &cmd);
    asq__cmd_reset(&cmd);
    asq__cmd_puts(&cmd, "PEXPIRE");
    asq__cmd_put(&cmd, key, key_n);
    asq__cmd_number(&cmd, TTL_MS);
    asq__conn_send(conn, NULL, NULL, &cmd);
    asq__buf_release(&out);
    asq__cmd_release(&cmd);
    int64_t now_ns = asq__now_ns();
    r->next_ns = now_ns + SHARE * (now_ns - begun_ns);
    r->due = false;
}

void asq__report_answer(struct asq__process *w, bool late)
{
    const struct asq__report *r = &w->report;
    if (r->due && !asq__pause_is_reading(w) && (late || asq__now_ns() >= r->next_ns))
        write_report(w);
}

bool asq__report_on_question(struct asq__process *w, const char *payload, size_t n)
{
    struct asq__report *r = &w->report;
    if (n == 0 || *payload != '?')
        return false;
    payload++;
    if (--n == 0 || n >= sizeof r->nonces[0])
        return true;
    for (size_t i = 0; i < n; i++)
        if (!strchr("0123456789abcdef", payload[i]) || !payload[i])
            return true;
    char *nonce = r->nonces[r->next_nonce++ % ASQ__REPORT_NONCES];
    memcpy(nonce, payload, n);
    nonce[n] = '\0';
    r->due = true;
    return true;
}
