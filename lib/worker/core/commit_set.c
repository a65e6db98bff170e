/*
 * commit_set.c: see commit_set.h.
 */
#include "worker/core/commit_set.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "value/grow.h"
#include "value/span.h"
#include "worker/core/entry.h"

#define GROW(c, what) asq__grow(&(c)->what, (c)->n##what, &(c)->c##what, sizeof *(c)->what)

struct asq__commit *asq__commit_new(struct asq__partition *part, uint64_t seq)
{
    struct asq__commit *c = calloc(1, sizeof *c);
    if (!c)
        return NULL;
    c->part = part;
    c->seq = seq;
    asq__arena_init(&c->ids, SIZE_MAX / 2);
    asq__list_init(&c->node);
    asq__list_init(&c->spans);
    return c;
}

static void release_dead(struct asq__dead *d)
{
    free(d->label);
    free(d->call);
    free(d->reason);
    free(d->batch);
}

static void release_timer(struct asq__timer_set *t)
{
    asq__buf_release(&t->spec);
    asq__buf_release(&t->trace);
}

void asq__commit_free(struct asq__commit *c)
{
    for (size_t i = 0; i < c->nsets; i++)
        asq__snapshot_unref(c->sets[i].snapshot);
    asq__arena_release(&c->ids);
    for (size_t i = 0; i < c->npieces; i++)
        asq__buf_release(&c->pieces[i].frame);
    for (size_t i = 0; i < c->ndeads; i++)
        release_dead(&c->deads[i]);
    for (size_t i = 0; i < c->nmoves; i++)
        free(c->moves[i].kept);
    for (size_t i = 0; i < c->nfailures; i++)
        free(c->failures[i].text);
    free(c->failures);
    for (size_t i = 0; i < c->nsteps; i++)
        asq__buf_release(&c->steps[i].records);
    free(c->steps);
    for (size_t i = 0; i < c->ntimers; i++)
        release_timer(&c->timers[i]);
    free(c->timers);
    for (size_t i = 0; i < c->nsignals; i++)
        asq__buf_release(&c->signals[i].bytes);
    free(c->signals);
    free(c->moves);
    free(c->deads);
    free(c->sets);
    free(c->pieces);
    free(c->removed);
    free(c->marks);
    free(c->inner);
    asq__timed_release(&c->timed);
    for (struct asq__list *node; (node = asq__list_pop(&c->spans));)
        asq__span_free(ASQ__CONTAINER(node, struct asq__span, node));
    free(c);
}

bool asq__commit_add_set(struct asq__commit *c, const char *id, size_t id_n, bool again,
                         struct asq__snapshot *snapshot)
{
    for (size_t i = again ? c->nsets : 0; i > 0; i--) {
        struct asq__set *set = &c->sets[i - 1];
        if (strcmp(set->id, id) != 0)
            continue;
        c->bytes += snapshot ? snapshot->n : 0;
        asq__snapshot_unref(set->snapshot); /* of an earlier call in the same iteration */
        set->snapshot = asq__snapshot_ref(snapshot);
        return true;
    }
    char *copy = asq__arena_alloc(&c->ids, id_n + 1);
    if (!copy || !GROW(c, sets))
        return false;
    memcpy(copy, id, id_n + 1);
    c->sets[c->nsets++] =
        (struct asq__set){ .id = copy, .id_n = id_n, .snapshot = asq__snapshot_ref(snapshot) };
    c->bytes += snapshot ? snapshot->n : 0;
    return true;
}

struct asq__piece *asq__commit_piece_of(struct asq__commit *c, struct asq__entry *e)
{
    if (c->npieces && c->pieces[c->npieces - 1].entry == e)
        return &c->pieces[c->npieces - 1];
    if (e->batch->n_jobs > 1)
        for (size_t i = 0; i < c->npieces; i++)
            if (c->pieces[i].entry == e)
                return &c->pieces[i];
    if (!GROW(c, pieces))
        return NULL;
    struct asq__piece *piece = &c->pieces[c->npieces++];
    piece->entry = e;
    piece->first = !e->partial;
    piece->last = false;
    asq__buf_init(&piece->frame, (size_t) 1 << 31);
    asq__results_head(e->batch->id.data, &piece->frame);
    c->bytes += piece->frame.len;
    e->result_bytes += piece->frame.len;
    e->partial = true; /* later commits append to it */
    e->uncommitted++;
    return piece;
}

bool asq__commit_add_removed(struct asq__commit *c, struct asq__stream_id id)
{
    if (!GROW(c, removed))
        return false;
    c->removed[c->nremoved++] = id;
    return true;
}

bool asq__commit_add_mark(struct asq__commit *c, const struct asq__wcall *call,
                          enum asq__attempt_kind kind, const char *value)
{
    char id[ASQ__CALL_ID_TEXT], sign[2] = { (char) kind, '\0' };
    if (!GROW(c, marks))
        return false;
    struct asq__mark *m = &c->marks[c->nmarks++];
    asq__wcall_id(call, id);
    snprintf(m->field, sizeof m->field, "%s%s", sign, id);
    snprintf(m->value, sizeof m->value, "%s", value ? value : "");
    return true;
}

bool asq__commit_add_inner(struct asq__commit *c, const struct asq__inner *inner, size_t n,
                           bool keep, int64_t run_ms)
{
    for (size_t i = 0; i < n; i++) {
        if (!GROW(c, inner))
            return false;
        c->inner[c->ninner] = inner[i];
        c->inner[c->ninner].again_ms = run_ms;
        c->inner[c->ninner++].keep = keep;
    }
    return true;
}

bool asq__commit_add_move(struct asq__commit *c, const struct asq__entry *e,
                          struct asq__entry *moves, uint64_t due_ms, void *kept, size_t n)
{
    if (!c || !GROW(c, moves)) {
        free(kept);
        return false;
    }
    struct asq__move *m = &c->moves[c->nmoves++];
    *m = (struct asq__move){ .entry = moves, .due_ms = due_ms, .kept = kept, .n = n };
    memcpy(m->batch, e->batch->id.data, ASQ__BATCH_ID);
    c->bytes += n;
    return true;
}

bool asq__commit_add_place(struct asq__commit *c, const char *agent,
                           const uint8_t batch[ASQ__BATCH_ID], bool kept)
{
    size_t n = strlen(agent) + 1;
    char *copy = c ? asq__arena_alloc(&c->ids, n) : NULL;
    if (!copy || !GROW(c, moves))
        return false;
    struct asq__move *m = &c->moves[c->nmoves++];
    *m = (struct asq__move){ .agent = memcpy(copy, agent, n), .unmarks = !kept };
    memcpy(m->batch, batch, ASQ__BATCH_ID);
    return true;
}

/* Adds an empty change of the records of a call's steps. */
static struct asq__steps_change *add_change(struct asq__commit *c, const struct asq__wcall *call,
                                            enum asq__steps_mode mode)
{
    if (!GROW(c, steps))
        return NULL;
    struct asq__steps_change *s = &c->steps[c->nsteps++];
    asq__wcall_id(call, s->call);
    s->mode = mode;
    asq__buf_init(&s->records, (size_t) 1 << 31);
    return s;
}

bool asq__commit_add_steps(struct asq__commit *c, const struct asq__wcall *call,
                           const void *records, size_t n)
{
    char id[ASQ__CALL_ID_TEXT];
    struct asq__steps_change *s = c->nsteps ? &c->steps[c->nsteps - 1] : NULL;
    asq__wcall_id(call, id);
    bool same = s && (s->mode == ASQ__STEPS_FIRST || s->mode == ASQ__STEPS_APPEND) &&
                strcmp(s->call, id) == 0;
    if (!same)
        s = add_change(c, call, call->recorded ? ASQ__STEPS_APPEND : ASQ__STEPS_FIRST);
    if (!s)
        return false;
    asq__buf_put(&s->records, records, n);
    c->bytes += n;
    return !s->records.error;
}

bool asq__commit_add_promise(struct asq__commit *c, const struct asq__wcall *call,
                             const uint8_t batch[ASQ__BATCH_ID])
{
    struct asq__call_id id = asq__wcall_call_id(call);
    char text[ASQ__CALL_ID_TEXT];
    struct asq__steps_change *s = add_change(c, call, ASQ__STEPS_PROMISE);
    if (!s)
        return false;
    memcpy(id.batch, batch, sizeof id.batch);
    id.index = ASQ__PROMISE_INDEX;
    asq__call_id_format(&id, text);
    asq__buf_puts(&s->records, text);
    return !s->records.error;
}

bool asq__commit_forget_steps(struct asq__commit *c, const struct asq__wcall *call)
{
    char id[ASQ__CALL_ID_TEXT];
    bool all = false; /* of its records are in this commit */
    asq__wcall_id(call, id);
    for (size_t i = 0; i < c->nsteps; i++)
        if (strcmp(c->steps[i].call, id) == 0) {
            all = all || c->steps[i].mode == ASQ__STEPS_FIRST;
            c->steps[i].mode = ASQ__STEPS_NONE;
        }
    return all || add_change(c, call, ASQ__STEPS_FORGET);
}

bool asq__commit_add_timer(struct asq__commit *c, const char *agent, const char *name,
                           struct asq__timer_set change)
{
    size_t agent_n = strlen(agent) + 1, name_n = strlen(name) + 1;
    char *ids = asq__arena_alloc(&c->ids, agent_n + name_n);
    if (!ids || change.spec.error || change.trace.error || !GROW(c, timers)) {
        release_timer(&change);
        return false;
    }
    change.agent = memcpy(ids, agent, agent_n);
    change.name = memcpy(ids + agent_n, name, name_n);
    c->timers[c->ntimers++] = change;
    c->bytes += change.spec.len;
    return true;
}

/* Returns the change of an agent's signals, an empty one if it is new; NULL: no memory. */
static struct asq__signals_set *signals_of(struct asq__commit *c, const char *agent)
{
    for (size_t i = c->nsignals; i > 0; i--)
        if (strcmp(c->signals[i - 1].agent, agent) == 0)
            return &c->signals[i - 1];
    size_t n = strlen(agent) + 1;
    char *copy = asq__arena_alloc(&c->ids, n);
    if (!copy || !GROW(c, signals))
        return NULL;
    struct asq__signals_set *s = &c->signals[c->nsignals++];
    s->agent = memcpy(copy, agent, n);
    s->mode = ASQ__SIGNALS_APPEND;
    asq__buf_init(&s->bytes, (size_t) 1 << 31);
    return s;
}

bool asq__commit_add_signals(struct asq__commit *c, const char *agent,
                             enum asq__signals_change mode, const struct asq__buf *bytes)
{
    struct asq__signals_set *s = bytes->error ? NULL : signals_of(c, agent);
    if (!s)
        return false;
    if (mode != ASQ__SIGNALS_APPEND) {
        asq__buf_reset(&s->bytes);
        s->mode = mode;
    } else if (s->mode == ASQ__SIGNALS_UNLINK) {
        s->mode = ASQ__SIGNALS_REPLACE;
    }
    asq__buf_put(&s->bytes, bytes->data, bytes->len);
    c->bytes += bytes->len;
    return !s->bytes.error;
}

bool asq__commit_add_dead(struct asq__commit *c, struct asq__dead letter)
{
    if (!c || !letter.label || !letter.call || !letter.reason || !letter.batch || !GROW(c, deads)) {
        release_dead(&letter);
        return false;
    }
    c->deads[c->ndeads++] = letter;
    c->bytes += letter.n;
    return true;
}

/* Returns how many bytes of a field are kept: whole characters, if it is UTF-8. */
static size_t kept_of(const char *field, size_t most)
{
    size_t n = strnlen(field, most + 1);
    if (n <= most)
        return n;
    for (n = most; n > most - 4 && ((unsigned char) field[n] & 0xc0) == 0x80; n--)
        ;
    return n;
}

void asq__commit_add_failure(struct asq__commit *c, size_t most,
                             const char *const fields[ASQ__FAILURE_FIELDS])
{
    struct asq__failure f;
    size_t n = 0;
    for (size_t i = 0; i < ASQ__FAILURE_FIELDS; i++) {
        f.lengths[i] = (uint16_t) kept_of(fields[i], ASQ__FAILURE_TEXT);
        n += f.lengths[i];
    }
    if (most == 0 || !(f.text = malloc(n + 1)))
        return;
    for (size_t i = 0, at = 0; i < ASQ__FAILURE_FIELDS; at += f.lengths[i++])
        memcpy(f.text + at, fields[i], f.lengths[i]);
    if (c->nfailures < most) {
        if (!GROW(c, failures)) {
            free(f.text);
            return;
        }
        c->nfailures++;
        c->bytes += n;
    } else {
        free(c->failures[c->next_failure].text);
    }
    c->failures[c->next_failure] = f;
    c->next_failure = (c->next_failure + 1) % most;
}

const struct asq__failure *asq__commit_failure(const struct asq__commit *c, size_t i)
{
    /* next_failure is below nfailures only when the ring has gone round */
    return &c->failures[(c->next_failure + i) % c->nfailures];
}

size_t asq__commit_longest_string(const struct asq__commit *c)
{
    size_t longest = 0;
    for (size_t i = 0; i < c->nsets; i++)
        if (c->sets[i].snapshot && c->sets[i].snapshot->n > longest)
            longest = c->sets[i].snapshot->n;
    for (size_t i = 0; i < c->npieces; i++)
        if (c->pieces[i].frame.len > longest)
            longest = c->pieces[i].frame.len;
    for (size_t i = 0; i < c->ndeads; i++)
        if (c->deads[i].n > longest)
            longest = c->deads[i].n;
    for (size_t i = 0; i < c->nmoves; i++)
        if (c->moves[i].n > longest)
            longest = c->moves[i].n;
    for (size_t i = 0; i < c->nsteps; i++)
        if (c->steps[i].records.len > longest)
            longest = c->steps[i].records.len;
    for (size_t i = 0; i < c->nsignals; i++)
        if (c->signals[i].bytes.len > longest)
            longest = c->signals[i].bytes.len;
    return longest;
}

bool asq__commit_is_apart(const struct asq__commit *c)
{
    return c->apart;
}
