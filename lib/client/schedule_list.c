/*
 * schedule_list.c: lists timers: those of an agent; those of all agents, by when they are due; and
 * pages of these. Reads Redis, or local mode's own list.
 *
 * Each partition has its timers in order of their times, in `timers`. They are put together in
 * rounds, each of which reads some of each partition, from where the last one has ended. What is in
 * order for certain then ends with the first partition of which not all was read, so a round takes
 * at least as many timers as it has read of that one.
 */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "asqueue.h"
#include "client/admin.h"
#include "client/admin_each.h"
#include "client/handle.h"
#include "client/pools.h"
#include "client/remote.h"
#include "client/schedule.h"
#include "redis/keys.h"
#include "redis/redis.h"
#include "redis/refusal.h"
#include "value/buf.h"
#include "value/clock.h"
#include "value/decimal.h"
#include "value/expiry.h"
#include "value/grow.h"
#include "value/sized_options.h"
#include "value/value.h"

/* A round reads ROUND members of `timers` at most, or LEAST of each partition if that is more. */
enum { PAGE = 100, PAGE_MS = 1000, LEAST = 8, ROUND = 16384, GROWTH = 4 };
#define FAR_MS (INT64_C(1) << 62)
enum { LONGEST = ASQ_MAX_ID + 1 + ASQ_MAX_NAME, MEMBERS_MAX = 64 << 20 };

int asq__schedule_add(asq_value *list, const char *agent, const char *name,
                      const struct asq__timer_shown *shown)
{
    asq_value *map, *spec = NULL;
    const char *key;
    int rc = asq__value_decode(shown->spec, shown->spec_n, &spec, NULL, 0);
    if (rc < 0 || asq_value_type(spec) != ASQ_MAP) {
        asq_value_free(spec);
        return rc == ASQ_ENOMEM ? rc : 0; /* a foreign write */
    }
    map = asq_pack("{s:s, s:s, s:I, s:I}", "agent", agent, "name", name, "next_ms", shown->next_ms,
                   "fired", shown->fired);
    rc = map ? 0 : ASQ_ENOMEM;
    for (size_t i = 0; rc == 0 && i < asq_map_size(spec); i++) {
        const asq_value *item = asq_map_at(spec, i, &key);
        rc = asq_map_set(map, key, asq_value_copy(item));
    }
    asq_value_free(spec);
    if (rc == 0 && shown->fired)
        rc = asq_map_set_int(map, "last_ms", shown->last_ms);
    if (rc == 0 && shown->fired)
        rc = asq_map_set(map, "last_call", asq_value_string(shown->last_call));
    if (rc < 0) {
        asq_value_free(map);
        return rc;
    }
    return asq_list_append(list, map);
}

/* Reads the state beside a timer's spec, see timers_fire.lua. */
static bool read_state(uint32_t partition, const char *state, struct asq__timer_shown *ret)
{
    long long next_ms, fired, last_ms;
    char batch[33];
    if (sscanf(state, "%17lld %*47s %17lld %17lld %*47s %32s", &next_ms, &fired, &last_ms, batch) !=
        4)
        return false;
    ret->next_ms = next_ms;
    ret->fired = fired;
    ret->last_ms = last_ms;
    snprintf(ret->last_call, sizeof ret->last_call, "%u-%s-0", partition, batch);
    return true;
}

/* Appends a timer as Redis has it. What cannot be read is left out. ASQ_ENOMEM. */
static int take_timer(asq_value *list, uint32_t partition, const char *agent, const char *name,
                      const redisReply *spec, const redisReply *state)
{
    if (spec->type != REDIS_REPLY_STRING || state->type != REDIS_REPLY_STRING)
        return 0;
    struct asq__timer_shown shown = { .spec = spec->str, .spec_n = spec->len };
    return read_state(partition, state->str, &shown) ? asq__schedule_add(list, agent, name, &shown)
                                                     : 0;
}

/* ---- of one agent ---- */

/* A listing of an agent's timers. */
struct listing {
    asq_value *list;
    const char *agent;
    uint32_t partition;
};

/* Finds the state of a timer in the hash of its agent. */
static const redisReply *find_state(const redisReply *hash, const char *name)
{
    for (size_t i = 0; i + 1 < hash->elements; i += 2)
        if (hash->element[i]->type == REDIS_REPLY_STRING && *hash->element[i]->str == '+' &&
            strcmp(hash->element[i]->str + 1, name) == 0)
            return hash->element[i + 1];
    return NULL;
}

static int take_timers(asq *h, const redisReply *reply, void *user)
{
    struct listing *l = user;
    for (size_t i = 0; reply->type == REDIS_REPLY_ARRAY && i + 1 < reply->elements; i += 2) {
        const redisReply *field = reply->element[i], *state;
        if (field->type == REDIS_REPLY_STRING && *field->str == '=' &&
            strcmp(field->str + 1, ASQ__EXPIRY_TIMER) != 0 &&
            (state = find_state(reply, field->str + 1)) &&
            take_timer(l->list, l->partition, l->agent, field->str + 1, reply->element[i + 1],
                       state) < 0)
            return asq__fail_memory(h);
    }
    return 0;
}

static int list_agent(asq *h, struct listing *l)
{
    char key[ASQ__KEY_MAX];
    int rc = asq__agent_partition_there(h, l->agent, &l->partition);
    if (rc < 0)
        return rc;
    asq__keys_agent_timers(asq__redis_keys(asq__remote_redis(h)), l->partition, l->agent, key);
    return asq__admin_command(h, l->partition, take_timers, l, 2,
                              (const char *[]){ "HGETALL", key });
}

/* ---- of all agents ---- */

/* Place of a timer: by its time, then by partition, then by number among those of its partition
 * with the same time. */
struct place {
    int64_t due_ms;
    uint32_t partition;
    uint64_t number;
};

struct entry {
    struct place place;
    size_t member; /* where it stands in `members` */
};

struct walk {
    asq_schedules_options wanted; /* `limit` is set */
    asq_value *list;
    uint32_t first, end; /* partitions that are looked at */
    struct place from;   /* where the next round begins */
    size_t step;         /* what a round reads of each partition */
    int64_t until_ms;    /* when the page ends */
    int64_t deadline_ms; /* as of asq__admin_each */
    struct entry *read;  /* in this round */
    size_t n, room;
    struct asq__buf members;
    bool is_cut;          /* there are others, which are all behind: */
    struct place certain; /* the last one whose place in the order is certain */
    bool ended;
};

static int compare_places(const struct place *a, const struct place *b)
{
    if (a->due_ms != b->due_ms)
        return a->due_ms < b->due_ms ? -1 : 1;
    if (a->partition != b->partition)
        return a->partition < b->partition ? -1 : 1;
    return a->number < b->number ? -1 : a->number > b->number;
}

static int compare_entries(const void *a, const void *b)
{
    return compare_places(&((const struct entry *) a)->place, &((const struct entry *) b)->place);
}

/* Reads a score. Ours are whole numbers; others (a foreign write) are rounded down, which leaves
 * the order as it is. */
static int64_t read_score(const char *score)
{
    const char *at = score;
    uint64_t due;
    if (*score == '-' || strstr(score, "e-"))
        return 0;
    return asq__decimal_read(&at, &due) && due < FAR_MS && !strchr(at, 'e') ? (int64_t) due
                                                                            : FAR_MS;
}

/* Returns the place that follows another one of its partition. A score that was rounded down to
 * less than was asked for has none of its own. */
static struct place next_place(struct place before, int64_t due_ms)
{
    if (due_ms > before.due_ms)
        return (struct place){ due_ms, before.partition, 1 };
    before.number += due_ms == before.due_ms;
    return before;
}

/* Takes what was read of a partition. In a place, `number` is counted from 1, so that it is also
 * how many of its time lie before the next one. */
static int take_members(asq *h, uint32_t partition, const redisReply *reply, void *user)
{
    struct walk *w = user;
    struct place at = { w->from.due_ms + (partition < w->from.partition), partition,
                        partition == w->from.partition ? w->from.number : 0 };
    if (asq__reply_is_denial(reply))
        return asq__fail(h, ASQ_EREDIS, "Redis: ZRANGE: %s%s", reply->str, ASQ__DENIAL_HINT);
    if (reply->type != REDIS_REPLY_ARRAY)
        return 0; /* a key of another type, which the owner sets aside */
    for (size_t i = 0; i + 1 < reply->elements; i += 2) {
        const redisReply *member = reply->element[i], *score = reply->element[i + 1];
        if (member->type != REDIS_REPLY_STRING || score->type != REDIS_REPLY_STRING)
            return asq__fail(h, ASQ_EPROTO, "Redis answered ZRANGE with something other than text");
        at = next_place(at, read_score(score->str));
        if (w->is_cut && compare_places(&at, &w->certain) > 0)
            return 0;
        if (!asq__grow(&w->read, w->n, &w->room, sizeof *w->read))
            return asq__fail_memory(h);
        w->read[w->n++] = (struct entry){ at, w->members.len };
        const char *text = member->len <= LONGEST ? member->str : ""; /* a foreign write */
        asq__buf_put(&w->members, text, strlen(text) + 1);
        if (w->members.error)
            return asq__fail_memory(h);
    }
    if (reply->elements / 2 >= w->step) {
        w->is_cut = true;
        w->certain = at;
    }
    return 0;
}

/* Reads of the partitions from first to below end, behind a time, or from it on but for the first
 * `skipped`. */
static int read_range(asq *h, struct walk *w, uint32_t first, uint32_t end, bool behind,
                      uint64_t skipped)
{
    char min[32], skip[24], step[24];
    if (first >= end)
        return 0;
    snprintf(min, sizeof min, "%s%lld", behind ? "(" : "", (long long) w->from.due_ms);
    snprintf(skip, sizeof skip, "%llu", (unsigned long long) skipped);
    snprintf(step, sizeof step, "%zu", w->step);
    const char *begin = w->from.due_ms == 0 && !behind ? "-inf" : min;
    const struct asq__each each = { .partitions = h->partitions,
                                    .first = first,
                                    .end = end,
                                    .command = "ZRANGE",
                                    .key = asq__keys_timers,
                                    .n_more = 7,
                                    .more = { begin, "+inf", "BYSCORE", "LIMIT", skip, step,
                                              "WITHSCORES" },
                                    .take = take_members,
                                    .user = w };
    return asq__admin_each(h, &each, w->deadline_ms);
}

static int read_round(asq *h, struct walk *w)
{
    uint32_t at = w->from.partition < w->first ? w->first : w->from.partition;
    bool is_first = w->from.partition == at && w->from.number > 0;
    w->n = 0;
    asq__buf_reset(&w->members);
    w->is_cut = false;
    int rc = read_range(h, w, w->first, at < w->end ? at : w->end, true, 0);
    if (rc == 0 && is_first && at < w->end)
        rc = read_range(h, w, at, at + 1, false, w->from.number);
    if (rc == 0)
        rc = read_range(h, w, is_first ? at + 1 : at, w->end, false, 0);
    if (rc == 0 && w->n)
        qsort(w->read, w->n, sizeof *w->read, compare_entries);
    return rc;
}

static bool begins_with(const char *text, const char *prefix)
{
    return !prefix || strncmp(text, prefix, strlen(prefix)) == 0;
}

/* Takes "AGENT NAME" apart, if it is wanted. */
static bool is_wanted(const struct walk *w, const char *member, char agent[ASQ_MAX_ID + 1],
                      const char **ret_name)
{
    const asq_schedules_options *o = &w->wanted;
    size_t n = strcspn(member, " ");
    if (n > ASQ_MAX_ID || !member[n])
        return false;
    memcpy(agent, member, n);
    agent[n] = '\0';
    *ret_name = member + n + 1;
    return (!o->agent_id || strcmp(agent, o->agent_id) == 0) && begins_with(agent, o->prefix) &&
           begins_with(*ret_name, o->name_prefix) && asq__check_id(agent, NULL, 0) == 0 &&
           asq__check_name("timer", *ret_name, NULL, 0) == 0;
}

struct wanted_timer {
    asq_value *list;
    uint32_t partition;
    const char *agent, *name;
};

static int take_fields(asq *h, const redisReply *reply, void *user)
{
    const struct wanted_timer *t = user;
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 2)
        return asq__fail(h, ASQ_EPROTO, "Redis answered HMGET with something other than a list");
    return take_timer(t->list, t->partition, t->agent, t->name, reply->element[0],
                      reply->element[1]) < 0
               ? asq__fail_memory(h)
               : 0;
}

/* Appends a timer, if it is there still. */
static int read_timer(asq *h, struct walk *w, const struct entry *e, const char *agent,
                      const char *name)
{
    struct wanted_timer t = { w->list, e->place.partition, agent, name };
    char key[ASQ__KEY_MAX], spec[ASQ_MAX_NAME + 2], state[ASQ_MAX_NAME + 2];
    asq__keys_agent_timers(asq__redis_keys(asq__remote_redis(h)), t.partition, agent, key);
    snprintf(spec, sizeof spec, "=%s", name);
    snprintf(state, sizeof state, "+%s", name);
    if (w->deadline_ms > 0)
        asq__admin_extend(h, w->deadline_ms);
    struct asq__query q = { .partition = t.partition,
                            .take = take_fields,
                            .user = &t,
                            .argc = 4,
                            .argv = (const char *[]){ "HMGET", key, spec, state } };
    int rc = asq__admin_ask(h, &q);
    return q.wrong_type ? 0 : rc;
}

/* Takes what is in order. Ends after one at least, at the limit or the time. */
static int take_round(asq *h, struct walk *w)
{
    char agent[ASQ_MAX_ID + 1];
    const char *name;
    for (size_t i = 0; i < w->n; i++) {
        const struct entry *e = &w->read[i];
        if (w->is_cut && compare_places(&e->place, &w->certain) > 0)
            return 0;
        w->from = e->place;
        if (!is_wanted(w, (const char *) w->members.data + e->member, agent, &name))
            continue;
        int rc = read_timer(h, w, e, agent, name);
        if (rc < 0)
            return rc;
        if (asq_list_size(w->list) >= w->wanted.limit || asq__now_ms() >= w->until_ms) {
            w->ended = !w->is_cut && i + 1 == w->n;
            return 0;
        }
    }
    w->ended = !w->is_cut;
    return 0;
}

static int walk(asq *h, struct walk *w)
{
    size_t most = ROUND / h->partitions, n = w->end - w->first;
    int rc = 0;
    most = most > LEAST ? most : LEAST;
    if (n == 1)
        most = ROUND / LEAST;
    asq__buf_init(&w->members, MEMBERS_MAX);
    w->step = w->wanted.limit / n < most ? LEAST + w->wanted.limit / n : most;
    do {
        rc = read_round(h, w);
        if (rc == 0)
            rc = take_round(h, w);
        w->step = w->step * GROWTH < most ? w->step * GROWTH : most;
    } while (rc == 0 && !w->ended && asq_list_size(w->list) < w->wanted.limit &&
             asq__now_ms() < w->until_ms);
    free(w->read);
    asq__buf_release(&w->members);
    return rc;
}

static int list_remote(asq *h, const char *agent, asq_value *list)
{
    struct listing l = { list, agent, 0 };
    struct walk w = { .list = list, .until_ms = INT64_MAX, .wanted.limit = SIZE_MAX };
    int rc = asq__admin_begin(h, "asq_schedules");
    if (rc < 0)
        return rc;
    w.end = h->partitions;
    return asq__admin_end(h, agent ? list_agent(h, &l) : walk(h, &w));
}

int asq_schedules(asq *h, const char *agent, asq_value **ret)
{
    if (!h || !ret)
        return asq__null(h, "asq_schedules");
    char why[300];
    int rc = agent ? asq__check_id(agent, why, sizeof why) : 0;
    if (rc < 0)
        return asq__fail(h, rc, "%s", why);
    asq_value *list = asq_value_list();
    if (!list)
        rc = asq__fail_memory(h);
    else if (h->mode == &asq__local_mode && !h->in_method)
        rc = asq__local_schedules(h, agent, list);
    else
        rc = list_remote(h, agent, list);
    if (rc < 0)
        asq_value_free(list);
    else
        *ret = list;
    return rc;
}

/* ---- pages ---- */

/* Reads where a page begins: TIME-PARTITION-NUMBER. */
static int read_cursor(asq *h, struct walk *w, const char *from)
{
    const char *at = from;
    uint64_t due, partition, number;
    if (!from || !*from)
        return 0;
    if (!asq__decimal_read(&at, &due) || *at++ != '-' || !asq__decimal_read(&at, &partition) ||
        *at++ != '-' || !asq__decimal_read(&at, &number) || *at || due > INT64_MAX ||
        partition >= h->partitions || number > INT32_MAX)
        return asq__fail(h, ASQ_EINVAL, "'%.40s' is no place where asq_schedules_page has ended",
                         from);
    w->from = (struct place){ (int64_t) due, (uint32_t) partition, number };
    return 0;
}

static int list_page(asq *h, struct walk *w, char ret_next[ASQ_CURSOR_SIZE])
{
    const char *agent = w->wanted.agent_id;
    int rc = read_cursor(h, w, w->wanted.from);
    if (rc < 0)
        return rc;
    w->end = h->partitions;
    if (agent) {
        if ((rc = asq__agent_partition_there(h, agent, &w->first)) < 0)
            return rc;
        w->end = w->first + 1;
    }
    if ((rc = walk(h, w)) < 0)
        return rc;
    ret_next[0] = '\0';
    if (!w->ended)
        snprintf(ret_next, ASQ_CURSOR_SIZE, "%lld-%u-%llu", (long long) w->from.due_ms,
                 w->from.partition, (unsigned long long) w->from.number);
    return 0;
}

static int take_options(asq *h, const asq_schedules_options *given, asq_schedules_options *ret)
{
    char why[300];
    *ret = (asq_schedules_options) ASQ_SCHEDULES_OPTIONS_INIT;
    int rc = asq__sized_options_take(ret, sizeof *ret, given, "ASQ_SCHEDULES_OPTIONS_INIT", why,
                                     sizeof why);
    if (rc < 0)
        return asq__fail(h, rc, "asq_schedules: %s", why);
    ret->limit = ret->limit ? ret->limit : PAGE;
    ret->timeout_ms = ret->timeout_ms ? ret->timeout_ms : PAGE_MS;
    rc = ret->agent_id ? asq__check_id(ret->agent_id, why, sizeof why) : 0;
    return rc < 0 ? asq__fail(h, rc, "%s", why) : 0;
}

int asq_schedules_page(asq *h, const asq_schedules_options *options, asq_value **ret,
                       char ret_next[ASQ_CURSOR_SIZE])
{
    struct walk w = { .deadline_ms = INT64_MAX };
    if (!h || !ret || !ret_next)
        return asq__null(h, "asq_schedules_page");
    int rc = take_options(h, options, &w.wanted);
    if (rc == 0)
        rc = asq__admin_begin(h, "asq_schedules_page");
    if (rc < 0)
        return rc;
    w.until_ms = asq__deadline_ms(w.wanted.timeout_ms);
    w.list = asq_value_list();
    rc = w.list ? list_page(h, &w, ret_next) : asq__fail_memory(h);
    if (rc < 0)
        asq_value_free(w.list);
    else
        *ret = w.list;
    return asq__admin_end(h, rc);
}
