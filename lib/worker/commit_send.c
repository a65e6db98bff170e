/*
 * commit_send.c: sends commits, and recovers those whose outcome is unknown. At the end of an
 * iteration all commits leave in as few script calls as possible.
 *
 * Redis is busy with a large commit for a while, and answers no client meanwhile. So a commit is
 * closed at some size, and few large ones of all partitions are under way at a time; small ones go
 * between them.
 *
 * A commit keeps all it needs until it is acknowledged. After each new connection the leases are
 * read. There the worker also asks whether its calls are still in their streams, because Redis may
 * have lost its last second.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "asqueue.h"
#include "client/engine.h"
#include "client/object.h"
#include "redis/cmd.h"
#include "redis/conn.h"
#include "redis/keys.h"
#include "redis/limit.h"
#include "redis/redis.h"
#include "redis/refusal.h"
#include "redis/reply.h"
#include "redis/script.h"
#include "redis/timer.h"
#include "value/arena.h"
#include "value/buf.h"
#include "value/clock.h"
#include "value/decimal.h"
#include "value/error.h"
#include "value/grow.h"
#include "value/hex.h"
#include "value/list.h"
#include "value/msg.h"
#include "value/table.h"
#include "value/tally.h"
#include "value/value.h"
#include "worker/allowed.h"
#include "worker/commit.h"
#include "worker/commit_send.h"
#include "worker/core/attempts.h"
#include "worker/core/commit_set.h"
#include "worker/core/entry.h"
#include "worker/core/stream_id.h"
#include "worker/entries.h"
#include "worker/nested.h"
#include "worker/partition.h"
#include "worker/process.h"
#include "worker/process_log.h"
#include "worker/refused.h"
#include "worker/shared.h"

enum {
    SCRIPTS_IN_FLIGHT = 8,
    SECTIONS_PER_SCRIPT = 64,
    KEYS = 5,       /* of a partition, before those of results */
    LATER_KEYS = 2, /* keys behind them, if it has moves */
    FULL_CALLS = 512,
    LARGE_BYTES = 128 * 1024,
    LARGE_IN_FLIGHT = 2,
    RETRY_MS = 500,
    REFUSED_MS = 500
};

/* ---- acknowledged ---- */

static void acknowledged(struct asq__commit *c)
{
    struct asq__partition *p = c->part;
    struct asq__process *w = p->w;
    asq__list_del(&c->node);
    p->unsent -= !c->sent;
    p->commit_bytes -= c->bytes;
    if (c->seq > p->acked)
        p->acked = c->seq;
    if (p->refused)
        asq__refused_over(p, true);
    atomic_fetch_add(&w->commits, 1);
    atomic_fetch_add(&w->commit_calls, c->calls);
    for (size_t i = 0; i < c->npieces; i++) {
        struct asq__entry *e = c->pieces[i].entry;
        e->uncommitted--;
        asq__entry_release_if_done(e);
    }
    for (size_t i = 0; i < c->nmoves; i++)
        if (c->moves[i].entry) {
            c->moves[i].entry->uncommitted--;
            asq__list_add(&w->moved, &c->moves[i].entry->moved);
        }
    for (size_t i = 0; i < c->ninner; i++)
        asq__engine_unpin(w->engine, c->inner[i].id,
                          c->inner[i].keep ? ASQ__RECORD_EXPIRE : ASQ__RECORD_UNLINK);
    asq__commit_free(c);
}

void asq__commits_drop(struct asq__partition *p)
{
    struct asq__list *node;
    struct asq__list dropped;
    asq__list_init(&dropped);
    asq__list_splice(&dropped, &p->commits);
    if (p->open)
        asq__list_add(&dropped, &p->open->node);
    p->open = NULL;
    asq__list_del(&p->ready);
    while ((node = asq__list_pop(&dropped))) {
        struct asq__commit *c = ASQ__CONTAINER(node, struct asq__commit, node);
        for (size_t i = 0; i < c->npieces; i++) {
            /* The entry itself goes with the table of entries, which is dropped next. */
            c->pieces[i].entry->uncommitted--;
        }
        for (size_t i = 0; i < c->nmoves; i++)
            if (c->moves[i].entry) {
                c->moves[i].entry->uncommitted--;
                asq__list_add(&p->w->moved, &c->moves[i].entry->moved);
            }
        for (size_t i = 0; i < c->ninner; i++) /* the call may run again and need them */
            asq__engine_unpin(p->w->engine, c->inner[i].id, ASQ__RECORD_LEAVE);
        asq__commit_free(c);
    }
    p->in_flight = p->unsent = p->commit_bytes = 0;
    p->commits_many = false;
    if (p->refused)
        asq__refused_over(p, false);
}

/* ---- sending ---- */

/* Script call under way: its commits, and their ownerships. */
struct section {
    struct asq__partition *part;
    uint64_t ownership, seq;
};

struct script {
    struct asq__process *w;
    size_t n;
    bool large;
    struct section sections[SECTIONS_PER_SCRIPT];
};

static struct asq__commit *find_commit(const struct section *s)
{
    if (s->part->ownership != s->ownership || !asq__partition_is_owned(s->part))
        return NULL;
    ASQ__LIST_EACH (it, &s->part->commits) {
        struct asq__commit *c = ASQ__CONTAINER(it, struct asq__commit, node);
        if (c->seq == s->seq)
            return c;
    }
    return NULL;
}

/* ---- strings that Redis does not take ---- */

/* Gives up a partition whose commit has a string that Redis never takes. Its calls run again from
 * what Redis has, and the call that makes such a string fails then, because the limit is known by
 * now. False: all strings are short enough. */
static bool give_up_large(struct asq__partition *p, const struct asq__commit *c)
{
    char why[300];
    size_t n, limit = asq__redis_max_string(p->w->redis);
    if (c->bytes <= limit || (n = asq__commit_longest_string(c)) <= limit)
        return false;
    snprintf(
        why, sizeof why,
        "a result or state of %zu bytes is more than this Redis takes as one string (at most %zu: "
        "proto-max-bulk-len, client-query-buffer-limit, or what stands before Redis); the call that "
        "it is of will fail",
        n, limit);
    asq__partition_abandon(p, why);
    return true;
}

/* Handles a refusal for the length of the script's longest string. */
static void refused_large(struct script *s)
{
    struct asq__process *w = s->w;
    size_t longest = 0;
    for (size_t i = 0; i < s->n; i++) {
        const struct asq__commit *c = find_commit(&s->sections[i]);
        size_t n = c ? asq__commit_longest_string(c) : 0;
        longest = n > longest ? n : longest;
    }
    asq__redis_refused_string(w->redis, longest);
    asq__process_learn_limit(w);
    for (size_t i = 0; i < s->n; i++) {
        const struct asq__commit *c = find_commit(&s->sections[i]);
        if (c)
            give_up_large(c->part, c);
    }
}

/* Handles the loss of the connection while a script was under way. A script large enough to be the
 * cause is sent again a few times, because connections are lost for other reasons too; then it
 * counts as refused. Of all scripts that were under way, the first one is suspected. */
static void note_loss(struct script *s)
{
    struct asq__process *w = s->w;
    for (size_t i = 0; i < s->n && !w->suspected; i++) {
        struct asq__commit *c = find_commit(&s->sections[i]);
        if (!c || asq__commit_longest_string(c) < ASQ__LIMIT_SUSPECT)
            continue;
        w->suspected = true;
        if (++c->losses >= ASQ__LIMIT_LOSSES)
            refused_large(s);
    }
}

/* ---- answers ---- */

static const char foreign_seq[] = "this owner did not write the sequence number in its lease";

/* Returns whether the lease has a seq that no commit of this owner gave it. While no answer is
 * missing, it has the number of the last acknowledged commit. */
static bool is_foreign_seq(const struct asq__partition *p, const char *text)
{
    uint64_t held;
    ASQ__LIST_EACH (it, &p->commits)
        if (ASQ__CONTAINER(it, struct asq__commit, node)->unheard)
            return false;
    return !asq__decimal_read(&text, &held) || *text || held != p->acked;
}

/* Returns the result whose record a refusal names; or NULL. */
static const struct asq__piece *refused_piece(const struct asq__commit *c, const char *text)
{
    const struct asq__partition *p = c->part;
    char key[ASQ__KEY_MAX];
    for (size_t i = 0; i < c->npieces; i++) {
        size_t n = asq__keys_result(asq__redis_keys(p->w->redis), p->number,
                                    c->pieces[i].entry->batch->id.data, key);
        if (strncmp(text, "ERR ", 4) == 0 && strncmp(text + 4, key, n) == 0 && text[4 + n] == ':')
            return &c->pieces[i];
    }
    return NULL;
}

/* Gives up a result whose record would be longer than Redis allows, because the limit was lowered
 * meanwhile. The call runs again, and ends in an error that says so. False: the result is such an
 * error already, and waits until the limit is raised. */
static bool give_up_appended(struct asq__commit *c, const char *text)
{
    struct asq__partition *p = c->part;
    const struct asq__piece *piece = refused_piece(c, text);
    if (asq__text_refusal(text) != ASQ__REFUSED_SIZE || !piece ||
        piece->frame.len <= 2 * ASQ__RESULT_ROOM)
        return false;
    asq__redis_refused_string(p->w->redis, piece->entry->result_bytes);
    asq__process_learn_limit(p->w);
    asq__partition_abandon(
        p,
        "a result does not fit beside those of its batch into what this Redis takes as one string; "
        "its call will fail");
    return true;
}

static void section_answered(const struct section *s, const redisReply *reply)
{
    struct asq__partition *p = s->part;
    struct asq__process *w = p->w;
    struct asq__commit *c = find_commit(s);
    if (!c)
        return; /* partition lost meanwhile, or commit acknowledged by reading the lease */
    if (p->in_flight)
        p->in_flight--;
    c->unheard |= !reply;
    if (reply && reply->type == REDIS_REPLY_INTEGER) {
        if (reply->integer == 2)
            asq__process_log_some(
                w, ASQ_LOG_ERROR,
                "partition %u: a dead letter was added under the highest id that a stream can "
                "have, so the stream took no more of them; the earlier dead letters are in the "
                "key …:dead:aside",
                p->number);
        if (reply->integer == 3)
            asq__process_log_some(
                w, ASQ_LOG_WARNING,
                "partition %u: its dead letters take more than %zu bytes (--max-dead-letters-size); "
                "the oldest were dropped",
                p->number, w->config.max_dead_letters_size);
        acknowledged(c);
        return;
    }
    if (reply && reply->type == REDIS_REPLY_STRING && strcmp(reply->str, "FENCED") == 0) {
        asq__partition_abandon(p, "the commit found another token in its lease");
        return;
    }
    if (reply && reply->type == REDIS_REPLY_STRING && strstr(reply->str, "WRONGTYPE")) {
        asq__partition_abandon(p, reply->str); /* the claim sees to it, see claim.lua */
        return;
    }
    if (reply && reply->type == REDIS_REPLY_STRING && strncmp(reply->str, "SEQ ", 4) == 0 &&
        is_foreign_seq(p, reply->str + 4)) {
        asq__partition_abandon(p, foreign_seq);
        return;
    }
    if (reply && reply->type == REDIS_REPLY_STRING && strncmp(reply->str, "ERR", 3) == 0) {
        if (give_up_appended(c, reply->str))
            return;
        asq__refused_note(p, reply->str);
        asq__commit_recover_later(p);
        asq__refused_blame(p, c, c->seq, reply->str);
        return;
    }
    asq__commit_recover_later(p);
}

/* Returns whether a refusal has nothing to do with the state of the server. When a script for
 * several partitions is refused, each commit is sent again by itself, so a commit that is refused
 * for its content holds up its own partition alone. */
static bool concerns_one_partition(const redisReply *reply)
{
    enum asq__refusal how = asq__reply_refusal(reply);
    return how == ASQ__REFUSED_ACCESS || how == ASQ__REFUSED_COMMAND;
}

static void on_committed(struct asq__conn *conn, const redisReply *reply, void *user)
{
    struct script *s = user;
    struct asq__process *w = s->w;
    bool list = reply && reply->type == REDIS_REPLY_ARRAY && reply->elements == s->n;
    (void) conn;
    w->scripts_in_flight--;
    w->large_in_flight -= s->large;
    if (!reply)
        note_loss(s);
    if (reply && !list) {
        if (asq__reply_refusal(reply) == ASQ__REFUSED_SIZE) {
            refused_large(s);
        } else if (asq__reply_is_error(reply, "NOSCRIPT")) {
            asq__redis_reload_scripts(w->redis, s->sections[0].part->number);
        } else if (s->n == 1 && concerns_one_partition(reply)) {
            struct asq__commit *c = find_commit(&s->sections[0]);
            if (c) {
                asq__refused_note(c->part, reply->str);
                asq__refused_blame(c->part, c, c->seq, reply->str);
            }
        } else {
            /* The commits are kept and tried again; no calls start meanwhile. */
            if (!w->refused_until_ms)
                asq__process_log(w, ASQ_LOG_ERROR,
                                 "Redis refuses commits; they are kept and tried again, and "
                                 "no calls are started: %s",
                                 asq__reply_text(reply));
            w->refused_until_ms = asq__now_ms() + REFUSED_MS;
            w->reconnect |= asq__reply_is_transient(reply);
        }
    } else if (list) {
        w->refused_until_ms = 0;
    }
    for (size_t i = 0; i < s->n; i++)
        section_answered(&s->sections[i], list ? reply->element[i] : NULL);
    for (size_t i = 0; i < s->n; i++) {
        struct asq__partition *p = s->sections[i].part;
        if (p->ownership != s->sections[i].ownership)
            continue;
        asq__nested_go_on(p);
        asq__partition_release_if_empty(p);
        if (p->commits_many && !asq__commits_are_many(p))
            asq__partition_resume_later(p);
    }
    free(s);
}

static void put_key(struct asq__cmd *cmd,
                    size_t (*name)(const struct asq__keys *, uint32_t, char *),
                    const struct asq__partition *p)
{
    char key[ASQ__KEY_MAX];
    asq__cmd_put(cmd, key, name(asq__redis_keys(p->w->redis), p->number, key));
}

static void put_keys(struct asq__cmd *cmd, const struct asq__commit *c)
{
    const struct asq__partition *p = c->part;
    put_key(cmd, asq__keys_lease, p);
    put_key(cmd, asq__keys_agents, p);
    put_key(cmd, asq__keys_jobs, p);
    put_key(cmd, asq__keys_attempts, p);
    put_key(cmd, asq__keys_dead, p);
    for (size_t i = 0; i < c->npieces; i++) {
        char key[ASQ__KEY_MAX];
        asq__cmd_put(cmd, key,
                     asq__keys_result(asq__redis_keys(p->w->redis), p->number,
                                      c->pieces[i].entry->batch->id.data, key));
    }
    if (c->nmoves) {
        put_key(cmd, asq__keys_later, p);
        put_key(cmd, asq__keys_later_jobs, p);
    }
}

static void put_channel(struct asq__cmd *cmd, const struct asq__partition *p, const char *client)
{
    char key[ASQ__KEY_MAX];
    asq__cmd_put(cmd, key, asq__keys_channel(asq__redis_keys(p->w->redis), client, key));
}

/* Returns how the script writes a frame; see commit.lua. */
static const char *frame_mode(const struct asq__piece *piece)
{
    if (piece->first)
        return piece->last ? "1" : "f";
    return piece->last ? "l" : "a";
}

static void put_section(struct asq__cmd *cmd, const struct asq__commit *c)
{
    const struct asq__partition *p = c->part;
    size_t dels = 0, set_marks = 0;
    asq__cmd_puts(cmd, p->token);
    asq__cmd_number(cmd, c->seq);
    for (size_t i = 0; i < c->nsets; i++)
        dels += !c->sets[i].record;
    asq__cmd_number(cmd, c->nsets - dels);
    for (size_t i = 0; i < c->nsets; i++)
        if (c->sets[i].record) {
            asq__cmd_put(cmd, c->sets[i].id, c->sets[i].id_n);
            asq__cmd_put(cmd, c->sets[i].record->data, c->sets[i].record->n);
        }
    asq__cmd_number(cmd, dels);
    for (size_t i = 0; i < c->nsets; i++)
        if (!c->sets[i].record)
            asq__cmd_put(cmd, c->sets[i].id, c->sets[i].id_n);
    asq__cmd_number(cmd, c->npieces);
    for (size_t i = 0; i < c->npieces; i++) {
        const struct asq__piece *piece = &c->pieces[i];
        const struct asq__entry *e = piece->entry;
        asq__cmd_put(cmd, frame_mode(piece), 1);
        asq__cmd_number(cmd,
                        (uint64_t) asq__commit_record_ms(p->w, asq__batch_is_nested(e->batch)));
        asq__cmd_put(cmd, piece->frame.data, piece->frame.len);
        asq__cmd_number(cmd, (*e->batch->reply != '\0') + e->nchannels);
        if (*e->batch->reply)
            put_channel(cmd, p, e->batch->reply);
        for (size_t k = 0; k < e->nchannels; k++)
            put_channel(cmd, p, e->channels[k]);
    }
    asq__cmd_number(cmd, c->nremoved);
    for (size_t i = 0; i < c->nremoved; i++) {
        char id[ASQ__STREAM_ID_TEXT];
        asq__stream_id_format(c->removed[i], id);
        asq__cmd_puts(cmd, id);
    }
    for (size_t i = 0; i < c->nmarks; i++)
        set_marks += *c->marks[i].value != '\0';
    asq__cmd_number(cmd, set_marks);
    for (size_t i = 0; i < c->nmarks; i++)
        if (*c->marks[i].value) {
            asq__cmd_puts(cmd, c->marks[i].field);
            asq__cmd_puts(cmd, c->marks[i].value);
        }
    asq__cmd_number(cmd, c->nmarks - set_marks);
    for (size_t i = 0; i < c->nmarks; i++)
        if (!*c->marks[i].value)
            asq__cmd_puts(cmd, c->marks[i].field);
    asq__cmd_number(cmd, c->ndeads);
    for (size_t i = 0; i < c->ndeads; i++) {
        const struct asq__dead *d = &c->deads[i];
        asq__cmd_number(cmd, p->w->config.max_dead_letters);
        asq__cmd_number(cmd, p->w->config.max_dead_letters_size);
        asq__cmd_puts(cmd, d->label);
        asq__cmd_puts(cmd, d->call);
        asq__cmd_puts(cmd, d->reason);
        asq__cmd_number(cmd, d->attempts);
        asq__cmd_puts(cmd, p->w->config.id);
        asq__cmd_put(cmd, d->batch, d->n);
    }
    asq__cmd_number(cmd, c->nmoves);
    for (size_t i = 0; i < c->nmoves; i++) {
        const struct asq__move *m = &c->moves[i];
        char batch[2 * ASQ__BATCH_ID];
        asq__hex(batch, m->batch, ASQ__BATCH_ID);
        asq__cmd_put(cmd, batch, sizeof batch);
        if (m->entry)
            asq__cmd_number(cmd, m->due_ms);
        else
            asq__cmd_put(cmd, "", 0);
        asq__cmd_put(cmd, m->kept, m->n);
    }
}

/* Sends the given commits, of different partitions, in one script call. */
static void send_script(struct asq__process *w, struct asq__commit *const *commits, size_t n)
{
    uint32_t number = commits[0]->part->number;
    struct asq__cmd *cmd = &w->commit_cmd;
    struct script *s = malloc(sizeof *s);
    size_t nkeys = 0;
    for (size_t i = 0; i < n; i++)
        nkeys += KEYS + commits[i]->npieces + (commits[i]->nmoves ? LATER_KEYS : 0);
    asq__script_begin(cmd, asq__redis_scripts(w->redis, number), ASQ__SCRIPT_COMMIT, nkeys);
    for (size_t i = 0; i < n; i++)
        put_keys(cmd, commits[i]);
    asq__cmd_number(cmd, n);
    for (size_t i = 0; i < n; i++)
        put_section(cmd, commits[i]);
    bool ok = s != NULL;
    if (ok) {
        s->w = w;
        s->n = n;
        s->large = false;
        for (size_t i = 0; i < n; i++) {
            s->sections[i] =
                (struct section){ commits[i]->part, commits[i]->part->ownership, commits[i]->seq };
            s->large |= commits[i]->bytes > LARGE_BYTES;
        }
        ok = asq__conn_send(asq__redis_conn(w->redis, number), on_committed, s, cmd) == 0;
    }
    for (size_t i = 0; i < n; i++) {
        if (ok) {
            commits[i]->sent = true;
            commits[i]->part->unsent--;
            commits[i]->part->in_flight++;
        } else {
            asq__commit_recover_later(commits[i]->part); /* Redis is away, or memory short: later */
        }
    }
    if (ok) {
        w->scripts_in_flight++;
        w->large_in_flight += s->large;
    } else {
        free(s);
    }
    asq__cmd_reset(cmd);
}

/* Returns the next commit of a partition that may leave now, closed; or NULL. */
static struct asq__commit *next_to_send(struct asq__partition *p)
{
    const struct asq__commit *open = p->open;
    if (!asq__partition_is_owned(p))
        return NULL;
    if (open && (!p->in_flight || open->calls >= FULL_CALLS || open->bytes >= ASQ__COMMIT_BYTES))
        asq__commit_close(p);
    if (!p->unsent ||
        p->recovering) /* commits leave in order, once the outcome of earlier ones is known */
        return NULL;
    ASQ__LIST_EACH (it, &p->commits) {
        struct asq__commit *c = ASQ__CONTAINER(it, struct asq__commit, node);
        if (c->sent)
            continue;
        if (c->bytes > asq__redis_max_string(p->w->redis) && give_up_large(p, c))
            return NULL;
        return c;
    }
    return NULL;
}

void asq__commits_send(struct asq__process *w)
{
    struct asq__commit *commits[SECTIONS_PER_SCRIPT];
    struct asq__list more;
    size_t n = 0, bytes = 0, large = 0;
    asq__list_init(&more);
    ASQ__LIST_EACH (it, &w->ready) {
        struct asq__partition *p = ASQ__CONTAINER(it, struct asq__partition, ready);
        if (w->scripts_in_flight >= SCRIPTS_IN_FLIGHT + w->large_in_flight)
            break;
        struct asq__commit *c = next_to_send(p);
        if (c && c->bytes > LARGE_BYTES && w->large_in_flight + large >= LARGE_IN_FLIGHT)
            c = NULL; /* leaves in its turn */
        if (c) {
            asq__list_del(&p->ready);
            if (p->open || p->unsent > 1)
                asq__list_add(&more, &p->ready); /* behind the others */
            commits[n++] = c;
            bytes += c->bytes;
            large += c->bytes > LARGE_BYTES;
        } else if ((!p->open && (!p->unsent || p->recovering)) || !asq__partition_is_owned(p)) {
            asq__list_del(&p->ready); /* comes back with its next commit, or after recovery */
        }
        if (n && (n == SECTIONS_PER_SCRIPT || bytes > ASQ__COMMIT_BYTES)) {
            send_script(w, commits, n);
            n = bytes = large = 0;
        }
    }
    if (n)
        send_script(w, commits, n);
    asq__list_splice(&w->ready, &more);
}

/* ---- recovering ---- */

struct question {
    struct asq__partition *p;
    uint64_t ownership;
};

/* Returns the partition of a question if the answer still matters; else NULL. */
static struct asq__partition *answered(struct question *q)
{
    struct asq__partition *p = q->p;
    bool current = p->ownership == q->ownership && asq__partition_is_owned(p) && p->recovering;
    free(q);
    if (!current)
        return NULL;
    p->asking = false;
    return p;
}

static void recovered(struct asq__partition *p)
{
    p->recovering = false;
    ASQ__LIST_EACH (it, &p->commits)
        if (give_up_large(p, ASQ__CONTAINER(it, struct asq__commit, node)))
            return;
    p->unsent = 0;
    ASQ__LIST_EACH (it, &p->commits) {
        ASQ__CONTAINER(it, struct asq__commit, node)->sent = false;
        p->unsent++;
    }
    if (p->unsent && asq__list_empty(&p->ready))
        asq__list_add(&p->w->ready, &p->ready);
    asq__nested_go_on(p);
    asq__partition_release_if_empty(p);
    asq__partition_resume_later(p);
}

static void on_there(struct asq__conn *conn, const redisReply *reply, void *user)
{
    struct asq__partition *p = answered(user);
    (void) conn;
    if (!p)
        return;
    if (!reply || asq__reply_is_transient(reply))
        asq__commit_recover_later(p);
    else if (reply->type == REDIS_REPLY_INTEGER && reply->integer == 0)
        asq__partition_abandon(p, "Redis has lost a call that was taken in");
    else
        recovered(p);
}

static void put_id(struct asq__node *node, void *user)
{
    char id[ASQ__STREAM_ID_TEXT];
    asq__stream_id_format(ASQ__CONTAINER(node, struct asq__entry, node)->id, id);
    asq__cmd_puts(user, id);
}

/* Asks whether Redis still has the calls that this worker has. A lost call must have no effect
 * before its caller has sent it again, at another place in the order. */
static void look_at_entries(struct asq__partition *p)
{
    char key[ASQ__KEY_MAX];
    struct asq__cmd cmd;
    if (p->entries.count == 0) {
        recovered(p);
        return;
    }
    asq__cmd_init(&cmd);
    asq__script_eval(&cmd, asq__script_there, 1);
    asq__cmd_put(&cmd, key, asq__keys_jobs(asq__redis_keys(p->w->redis), p->number, key));
    asq__table_each(&p->entries, put_id, &cmd);
    struct question *q = malloc(sizeof *q);
    if (q) {
        *q = (struct question){ p, p->ownership };
        p->asking = asq__conn_send(asq__redis_conn(p->w->redis, p->number), on_there, q, &cmd) == 0;
    }
    asq__cmd_release(&cmd);
    if (!p->asking) {
        free(q);
        asq__commit_recover_later(p);
    }
}

static void on_lease(struct asq__conn *conn, const redisReply *reply, void *user)
{
    struct asq__partition *p = answered(user);
    (void) conn;
    if (!p)
        return;
    if (!reply || reply->type != REDIS_REPLY_ARRAY || reply->elements != 2) {
        asq__commit_recover_later(p);
        return;
    }
    const redisReply *token = reply->element[0], *seq = reply->element[1];
    if (token->type != REDIS_REPLY_STRING || strcmp(token->str, p->token) != 0) {
        asq__partition_abandon(p, "its lease holds another token");
        return;
    }
    const char *text = seq->type == REDIS_REPLY_STRING ? seq->str : "0";
    uint64_t held;
    if (!asq__decimal_read(&text, &held) || *text || held > p->seq) {
        asq__partition_abandon(p, foreign_seq);
        return;
    }
    if (held < p->acked) {
        /* Redis has lost the tail of its history, so what this worker has in memory is wrong. */
        asq__partition_abandon(p, "Redis has gone back in time");
        return;
    }
    ASQ__LIST_EACH (it, &p->commits) {
        struct asq__commit *c = ASQ__CONTAINER(it, struct asq__commit, node);
        if (c->seq <= held && c->unheard)
            acknowledged(c);
    }
    if (p->acked != held) {
        /* Refused or unsent commits had no effect, whatever seq somebody writes there. */
        asq__partition_abandon(p, foreign_seq);
        return;
    }
    if (asq__partition_is_owned(p)) /* memory may have been short */
        look_at_entries(p);
}

void asq__commits_doubt(struct asq__process *w)
{
    for (uint32_t i = 0; i < w->nparts; i++)
        if (asq__partition_is_owned(&w->parts[i]))
            w->parts[i].recovering = true;
}

void asq__commits_recover(struct asq__process *w)
{
    char key[ASQ__KEY_MAX];
    bool again = false;
    for (uint32_t i = 0; i < w->nparts; i++) {
        struct asq__partition *p = &w->parts[i];
        if (!p->recovering || p->asking || !asq__partition_is_owned(p))
            continue;
        /* All scripts under way must be answered first, so that what is read is final. */
        struct question *q = p->in_flight ? NULL : malloc(sizeof *q);
        if (!q) {
            again = true;
            continue;
        }
        q->p = p;
        q->ownership = p->ownership;
        asq__keys_lease(asq__redis_keys(w->redis), i, key);
        if (asq__conn_cmd(asq__redis_conn(w->redis, i), on_lease, q, "HMGET", key, "token", "seq",
                          NULL) < 0) {
            free(q);
            again = true;
        } else {
            p->asking = true;
        }
    }
    if (again && !ev_is_active(&w->retry)) {
        asq__timer_restart(w->loop, &w->retry, RETRY_MS / 1000., 0.);
    }
}
