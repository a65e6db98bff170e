/*
 * commit_send.c: sends commits. At the end of an iteration all commits leave in as few script calls
 * as possible.
 *
 * Redis is busy with a large commit for a while, and answers no client meanwhile. So a commit is
 * closed at some size, and few large ones of all partitions are under way at a time; small ones go
 * between them. In a Cluster a script call commits for one partition, and costs Redis as much as
 * several results; so few are under way at a node at a time, and the others take up more results.
 *
 * A commit keeps all it needs until it is acknowledged. What follows when an answer is missing is
 * in commit_recover.c.
 */
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "asqueue.h"
#include "redis/barrier.h"
#include "redis/cmd.h"
#include "redis/conn.h"
#include "redis/keys.h"
#include "redis/limit.h"
#include "redis/redis.h"
#include "redis/refusal.h"
#include "redis/script.h"
#include "value/buf.h"
#include "value/classes.h"
#include "value/clock.h"
#include "value/decimal.h"
#include "value/hex.h"
#include "value/list.h"
#include "value/msg.h"
#include "value/snapshot.h"
#include "worker/agent_signals.h"
#include "worker/allowed.h"
#include "worker/commit.h"
#include "worker/commit_end.h"
#include "worker/commit_send.h"
#include "worker/core/commit_set.h"
#include "worker/core/entry.h"
#include "worker/core/stream_id.h"
#include "worker/core/window.h"
#include "worker/emits.h"
#include "worker/failures.h"
#include "worker/nested.h"
#include "worker/partition.h"
#include "worker/process.h"
#include "worker/process_log.h"
#include "worker/push.h"
#include "worker/refused.h"
#include "worker/steps.h"

enum {
    SCRIPTS_IN_FLIGHT = 8,
    SECTIONS_PER_SCRIPT = 64,
    KEYS = 5,       /* of a partition, before those of results */
    LATER_KEYS = 2, /* keys behind them, if it has moves */
    FULL_CALLS = 512,
    BUSY = 4, /* script calls under way at a node */
    LARGE_BYTES = 128 * 1024,
    LARGE_IN_FLIGHT = 2,
    REFUSED_MS = 500,
    UNASKED_RECORD_MS = 60000
};

/* ---- a script call ---- */

/* Script call under way: its commits, and their ownerships. */
struct section {
    struct asq__partition *part;
    uint64_t ownership, seq;
};

/* Wait of a script for replicas. */
enum replicas_wait {
    WAIT_NONE,      /* it needs none */
    WAIT_UNDER_WAY, /* on_replicas() comes behind on_committed(), and frees the script */
    WAIT_FAILED     /* without memory, or lost: what the script has written counts as unanswered */
};

struct script {
    struct asq__process *w;
    size_t n;
    uint32_t server;
    int64_t sent_ns;
    bool large;
    bool answered;
    enum replicas_wait wait;
    struct section sections[];
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
            asq__commit_give_up_large(c->part, c);
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

/* Returns whether the lease has a seq that no commit of this owner gave it. While no answer is
 * missing, it has the number of the last commit that Redis has taken. */
static bool is_foreign_seq(const struct asq__partition *p, const char *text)
{
    uint64_t held, taken = p->acked;
    ASQ__LIST_EACH (it, &p->commits) {
        const struct asq__commit *c = ASQ__CONTAINER(it, struct asq__commit, node);
        if (c->unanswered)
            return false;
        if (c->written)
            taken = c->seq;
    }
    return !asq__decimal_read(&text, &held) || *text || held != taken;
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
        p, "a result does not fit beside the other results of its batch into one string of this "
           "Redis; its call will fail");
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
    c->unanswered |= !reply;
    if (reply && reply->type == REDIS_REPLY_INTEGER) {
        if (reply->integer == 2)
            asq__process_log_some_about(
                w, ASQ__LOG_ABOUT_PARTITION(p), ASQ_LOG_ERROR,
                "partition %u: a dead letter was added under the highest id that a stream can "
                "have, so the stream took no more of them; the earlier dead letters are in the "
                "key …:dead:aside",
                p->number);
        if (reply->integer == 3)
            asq__process_log_some_about(w, ASQ__LOG_ABOUT_PARTITION(p), ASQ_LOG_WARNING,
                                        "partition %u: its dead letters take more than %zu bytes "
                                        "(--max-dead-letters-size); "
                                        "the oldest were dropped",
                                        p->number, w->config.max_dead_letters_size);
        if (reply->integer == 4)
            asq__process_log_some_about(
                w, ASQ__LOG_ABOUT_PARTITION(p), ASQ_LOG_WARNING,
                "partition %u: the key …:failures was of another type or took no "
                "more entries, and is NAME:aside now; failures are kept anew",
                p->number);
        if (reply->integer == 5)
            asq__process_log_some_about(
                w, ASQ__LOG_ABOUT_PARTITION(p), ASQ_LOG_WARNING,
                "partition %u: Redis does not let this user keep the failures of "
                "calls (key …:failures)",
                p->number);
        if (asq__redis_barrier(w->redis, p->number))
            c->written = true; /* on_replicas() acknowledges it */
        else
            asq__commit_acknowledge(c);
        return;
    }
    if (reply && reply->type == REDIS_REPLY_STRING && strcmp(reply->str, "FENCED") == 0) {
        asq__partition_abandon(p, "the commit found another token in its lease");
        return;
    }
    if (reply && reply->type == REDIS_REPLY_STRING &&
        asq__text_refusal(reply->str) == ASQ__REFUSED_TYPE) {
        asq__partition_abandon(p, reply->str); /* the claim sees to it, see claim.lua */
        return;
    }
    if (reply && reply->type == REDIS_REPLY_STRING && strncmp(reply->str, "SEQ ", 4) == 0 &&
        is_foreign_seq(p, reply->str + 4)) {
        asq__commit_foreign_seq(p);
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
    /* No answer; a commit before it was refused (SEQ); or values that its calls have emitted are
     * still missing (EARLY): these are sent again first, see asq__emits_send(). */
    asq__commit_recover_later(p);
}

/* Returns whether a refusal has nothing to do with the state of the server. When a script for
 * several partitions is refused, each commit is sent again by itself, so a commit that is refused
 * for its content holds up its own partition alone. */
static bool concerns_one_partition(const redisReply *reply)
{
    enum asq__refusal how = asq__reply_refusal(reply);
    return how == ASQ__REFUSED_KEY || how == ASQ__REFUSED_ACCESS || how == ASQ__REFUSED_TYPE ||
           how == ASQ__REFUSED_COMMAND;
}

/* Lets the partitions of a script go on after its commits. */
static void resume_partitions(const struct script *s)
{
    for (size_t i = 0; i < s->n; i++) {
        struct asq__partition *p = s->sections[i].part;
        if (p->ownership != s->sections[i].ownership)
            continue;
        asq__steps_resume(p);
        asq__agent_signals_resume(p);
        asq__nested_resume(p);
        asq__partition_release_if_empty(p);
        if (p->commits_many && !asq__commits_are_many(p))
            asq__partition_resume_later(p);
    }
}

static void on_committed(struct asq__conn *conn, const redisReply *reply, void *user)
{
    struct script *s = user;
    struct asq__process *w = s->w;
    bool list = reply && reply->type == REDIS_REPLY_ARRAY && reply->elements == s->n;
    (void) conn;
    s->answered = true;
    w->scripts_in_flight--;
    asq__window_answered(&w->windows[s->server], reply ? s->sent_ns : 0, asq__now_ns());
    w->large_in_flight -= s->large;
    if (!reply)
        note_loss(s);
    if (reply && !list) {
        if (asq__reply_refusal(reply) == ASQ__REFUSED_SIZE) {
            refused_large(s);
        } else if (asq__reply_is_error(reply, "NOSCRIPT")) {
            asq__redis_reload_scripts(w->redis, s->sections[0].part->number);
        } else if (asq__reply_refusal(reply) == ASQ__REFUSED_SLOT) {
            /* The commit is tried again, as after a lost connection. */
            if (!asq__redis_is_spread(w->redis))
                asq__redis_refused_on(w->redis, s->sections[0].part->number, reply);
        } else if (asq__redis_is_spread(w->redis) && asq__reply_is_transient(reply)) {
            asq__redis_drop_server(w->redis, s->sections[0].part->number, reply->str);
        } else if (s->n == 1 && concerns_one_partition(reply)) {
            struct asq__commit *c = find_commit(&s->sections[0]);
            if (c) {
                asq__refused_note(c->part, reply->str);
                asq__refused_blame(c->part, c, c->seq, reply->str);
            }
        } else {
            /* The commits are kept and tried again; no calls start meanwhile. */
            if (!w->refused_until_ms)
                asq__process_log(
                    w, ASQ_LOG_ERROR,
                    "Redis refuses commits; the worker keeps and retries them, and starts no "
                    "calls: %s",
                    asq__reply_text(reply));
            w->refused_until_ms = asq__now_ms() + REFUSED_MS;
            w->reconnect |= asq__reply_is_transient(reply);
        }
    } else if (list) {
        w->refused_until_ms = 0;
    }
    bool known = list && s->wait != WAIT_FAILED;
    for (size_t i = 0; i < s->n; i++)
        section_answered(&s->sections[i], known ? reply->element[i] : NULL);
    if (s->wait == WAIT_UNDER_WAY)
        return;
    resume_partitions(s);
    free(s);
}

/* Handles the end of the wait for replicas, which comes behind the answer to the script. */
static void on_replicas(bool on_replicas, void *user)
{
    struct script *s = user;
    if (!s->answered) { /* lost with an earlier WAIT; on_committed() comes yet */
        s->wait = WAIT_FAILED;
        return;
    }
    for (size_t i = 0; i < s->n; i++) {
        struct asq__commit *c = find_commit(&s->sections[i]);
        if (!c || !c->written)
            continue; /* refused, or its partition lost meanwhile */
        c->written = false;
        if (on_replicas) {
            asq__push_results(c);
            asq__commit_acknowledge(c);
        } else { /* the next server may lack it */
            c->unanswered = true;
            asq__commit_recover_later(c->part);
        }
    }
    resume_partitions(s);
    free(s);
}

/* ---- sending ---- */

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
    if (c->nfailures)
        put_key(cmd, asq__keys_failures, p);
    for (size_t i = 0; i < c->nsteps; i++)
        if (c->steps[i].mode != ASQ__STEPS_NONE) {
            char key[ASQ__KEY_MAX];
            asq__cmd_put(
                cmd, key,
                asq__keys_steps(asq__redis_keys(p->w->redis), p->number, c->steps[i].call, key));
        }
    for (size_t i = 0; i < c->nsignals; i++) {
        char key[ASQ__KEY_MAX];
        asq__cmd_put(
            cmd, key,
            asq__keys_signals(asq__redis_keys(p->w->redis), p->number, c->signals[i].agent, key));
    }
}

/* Returns how many changes of steps' records and of signals a commit has to send. */
static size_t count_steps(const struct asq__commit *c)
{
    size_t n = c->nsignals;
    for (size_t i = 0; i < c->nsteps; i++)
        n += c->steps[i].mode != ASQ__STEPS_NONE;
    return n;
}

static void put_channel(struct asq__cmd *cmd, const struct asq__partition *p, const char *client)
{
    char key[ASQ__KEY_MAX];
    asq__cmd_put(cmd, key, asq__redis_push_channel(p->w->redis, p->number, client, key));
}

/* Returns how the script writes a frame; see commit.lua. */
static const char *frame_mode(const struct asq__piece *piece)
{
    if (piece->first)
        return piece->last ? "1" : "f";
    return piece->last ? "l" : "a";
}

/* Puts the classes that the partition needs, if they have changed since an earlier commit. */
static void put_needs(struct asq__cmd *cmd, struct asq__commit *c)
{
    struct asq__partition *p = c->part;
    char text[ASQ__CLASSES_MAX + 2];
    c->needs |= p->needs_unsaved;
    p->needs_unsaved = false;
    *text = '\0';
    if (c->needs)
        snprintf(text, sizeof text, "=%s", p->needs ? p->needs : "");
    asq__cmd_puts(cmd, text);
}

/* Returns how long the record of a batch lives. Nobody waits for that of a timer's call, which has
 * neither a sender nor a value. */
static int64_t record_ms(const struct asq__process *w, const Asqueue__Batch *batch)
{
    if (!*batch->reply && batch->jobs[0]->no_result)
        return UNASKED_RECORD_MS;
    return asq__commit_record_ms(w, asq__batch_is_nested(batch));
}

static void put_timers(struct asq__cmd *cmd, const struct asq__commit *c)
{
    asq__cmd_number(cmd, c->ntimers);
    for (size_t i = 0; i < c->ntimers; i++) {
        const struct asq__timer_set *t = &c->timers[i];
        asq__cmd_put(cmd, &t->mode, 1);
        asq__cmd_puts(cmd, t->agent);
        asq__cmd_puts(cmd, t->name);
        asq__cmd_number(cmd, (uint64_t) t->due_ms);
        asq__cmd_put(cmd, t->spec.data, t->spec.len);
        asq__cmd_put(cmd, t->trace.data, t->trace.len);
    }
}

/* Puts the flush of emitted values that Redis must have before the results of this commit. */
static void put_emit_flush(struct asq__cmd *cmd, struct asq__commit *c)
{
    if (c->emits && !c->emit_flush)
        c->emit_flush = c->part->emit_number;
    asq__cmd_number(cmd, asq__emits_missing(c->part, c->emit_flush));
}

static void put_section(struct asq__cmd *cmd, struct asq__commit *c)
{
    const struct asq__partition *p = c->part;
    size_t dels = 0, set_marks = 0;
    asq__cmd_puts(cmd, p->token);
    asq__cmd_number(cmd, c->seq);
    put_needs(cmd, c);
    put_emit_flush(cmd, c);
    for (size_t i = 0; i < c->nsets; i++)
        dels += !c->sets[i].snapshot;
    asq__cmd_number(cmd, c->nsets - dels);
    for (size_t i = 0; i < c->nsets; i++)
        if (c->sets[i].snapshot) {
            asq__cmd_put(cmd, c->sets[i].id, c->sets[i].id_n);
            asq__cmd_put(cmd, c->sets[i].snapshot->data, c->sets[i].snapshot->n);
        }
    asq__cmd_number(cmd, dels);
    for (size_t i = 0; i < c->nsets; i++)
        if (!c->sets[i].snapshot)
            asq__cmd_put(cmd, c->sets[i].id, c->sets[i].id_n);
    asq__cmd_number(cmd, c->npieces);
    for (size_t i = 0; i < c->npieces; i++) {
        const struct asq__piece *piece = &c->pieces[i];
        const struct asq__entry *e = piece->entry;
        asq__cmd_put(cmd, frame_mode(piece), 1);
        asq__cmd_number(cmd, (uint64_t) record_ms(p->w, e->batch));
        asq__cmd_put(cmd, piece->frame.data, piece->frame.len);
        bool pushes = !p->w->config.wait_replicas; /* else asq__push_results() does */
        asq__cmd_number(cmd, pushes ? (*e->batch->reply != '\0') + e->nchannels : 0);
        if (pushes && *e->batch->reply)
            put_channel(cmd, p, e->batch->reply);
        for (size_t k = 0; pushes && k < e->nchannels; k++)
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
        if (m->agent) {
            char field[1 + ASQ_MAX_ID + 1];
            snprintf(field, sizeof field, "@%s", m->agent);
            asq__cmd_puts(cmd, field);
            asq__cmd_put(cmd, "", 0);
            asq__cmd_put(cmd, batch, m->unmarks ? 0 : sizeof batch);
            continue;
        }
        asq__cmd_put(cmd, batch, sizeof batch);
        if (m->entry)
            asq__cmd_number(cmd, m->due_ms);
        else
            asq__cmd_put(cmd, "", 0);
        asq__cmd_put(cmd, m->kept, m->n);
    }
    asq__failures_put(cmd, c);
    asq__cmd_number(cmd, count_steps(c));
    for (size_t i = 0; i < c->nsteps; i++) {
        const struct asq__steps_change *s = &c->steps[i];
        const char mode[2] = { (char) s->mode, '\0' };
        if (s->mode == ASQ__STEPS_NONE)
            continue;
        asq__cmd_puts(cmd, mode);
        asq__cmd_puts(cmd, s->call);
        if (s->mode == ASQ__STEPS_FORGET)
            asq__cmd_number(cmd, (uint64_t) asq__commit_record_ms(p->w, false));
        else
            asq__cmd_put(cmd, s->records.data, s->records.len);
    }
    for (size_t i = 0; i < c->nsignals; i++) {
        const char mode[2] = { (char) c->signals[i].mode, '\0' };
        asq__cmd_puts(cmd, mode);
        asq__cmd_puts(cmd, "");
        asq__cmd_put(cmd, c->signals[i].bytes.data, c->signals[i].bytes.len);
    }
    put_timers(cmd, c);
}

/* Sends the given commits, of different partitions, in one script call. In a Cluster it is one
 * commit, because partitions are in different slots. */
static void send_script(struct asq__process *w, struct asq__commit *const *commits, size_t n)
{
    uint32_t number = commits[0]->part->number;
    struct asq__cmd *cmd = &w->commit_cmd;
    struct script *s = malloc(sizeof *s + n * sizeof s->sections[0]);
    size_t nkeys = 0;
    for (size_t i = 0; i < n; i++)
        nkeys += KEYS + commits[i]->npieces + (commits[i]->nmoves ? LATER_KEYS : 0) +
                 (commits[i]->nfailures != 0) + count_steps(commits[i]);
    asq__script_begin(cmd, asq__redis_scripts(w->redis, number), ASQ__SCRIPT_COMMIT, nkeys);
    for (size_t i = 0; i < n; i++)
        put_keys(cmd, commits[i]);
    if (asq__redis_is_cluster(w->redis))
        asq__cmd_puts(cmd, "cluster");
    else
        asq__cmd_number(cmd, n);
    for (size_t i = 0; i < n; i++)
        put_section(cmd, commits[i]);
    bool ok = s != NULL;
    if (ok) {
        s->w = w;
        s->n = n;
        s->large = false;
        s->server = asq__redis_server(w->redis, number);
        s->sent_ns = asq__now_ns();
        s->wait = WAIT_NONE;
        s->answered = false;
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
    struct asq__barrier *barrier = asq__redis_barrier(w->redis, number);
    if (ok && barrier)
        s->wait = asq__barrier_wait(barrier, number, true, on_replicas, s) == 0 ? WAIT_UNDER_WAY
                                                                                : WAIT_FAILED;
    if (ok) {
        w->scripts_in_flight++;
        asq__window_sent(&w->windows[s->server]);
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
        if (c->bytes > asq__redis_max_string(p->w->redis) && asq__commit_give_up_large(p, c))
            return NULL;
        return c->emits && p->emit_now ? NULL : c; /* without memory values have not left yet */
    }
    return NULL;
}

/* Returns whether a commit of a partition has to wait for answers to others. Where replicas are
 * waited for, a node of a Cluster answers late enough for commits to take up what is done. */
static bool is_held(struct asq__process *w, const struct asq__partition *p)
{
    if (!asq__redis_is_cluster(w->redis))
        return w->scripts_in_flight >= SCRIPTS_IN_FLIGHT + w->large_in_flight;
    struct asq__window *window = &w->windows[asq__redis_server(w->redis, p->number)];
    return asq__redis_barrier(w->redis, p->number) ? window->under_way >= ASQ__WINDOW_MOST
                                                   : asq__window_holds(window);
}

int asq__commits_init(struct asq__process *w)
{
    w->windows = calloc(ASQ__REDIS_SERVERS, sizeof *w->windows);
    return w->windows ? 0 : ASQ_ENOMEM;
}

void asq__commits_release(struct asq__process *w)
{
    free(w->windows);
    w->windows = NULL;
}

bool asq__commits_keep_busy(const struct asq__partition *p)
{
    const struct asq__process *w = p->w;
    return asq__redis_is_cluster(w->redis) &&
           w->windows[asq__redis_server(w->redis, p->number)].under_way >= BUSY;
}

void asq__commits_send(struct asq__process *w)
{
    struct asq__commit *commits[SECTIONS_PER_SCRIPT];
    struct asq__list more;
    size_t n = 0, bytes = 0, large = 0;
    bool is_cluster = asq__redis_is_cluster(w->redis);
    size_t at_once = is_cluster ? 1 : SECTIONS_PER_SCRIPT;
    asq__list_init(&more);
    ASQ__LIST_EACH (it, &w->ready) {
        struct asq__partition *p = ASQ__CONTAINER(it, struct asq__partition, ready);
        if (is_held(w, p)) {
            if (is_cluster)
                continue; /* the nodes of others may have room */
            break;
        }
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
        if (n && (n == at_once || bytes > ASQ__COMMIT_BYTES)) {
            send_script(w, commits, n);
            n = bytes = large = 0;
        }
    }
    if (n)
        send_script(w, commits, n);
    asq__list_splice(&w->ready, &more);
}
