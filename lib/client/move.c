/*
 * move.c: asq_migrate: moves a namespace to another Redis or a Cluster. PROTOCOL.md, Moves, has the
 * states and why nothing is lost.
 *
 *     source            target            clients and workers
 *     begun, sealed     filling           refused by both
 *     moved             filling           refused by both; nothing but the next line is left to do
 *     moved             (its own again)   go to the target
 *
 * Each step can be made again, so a move that was interrupted anywhere is gone on with by the same
 * steps: what is equal already is not copied again.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "asqueue.h"
#include "client/admin_workers.h"
#include "client/move_copy.h"
#include "client/move_keys.h"
#include "client/move_side.h"
#include "redis/cmd.h"
#include "redis/redis.h"
#include "redis/refusal.h"
#include "redis/script.h"
#include "redis/slots.h"
#include "value/clock.h"
#include "value/error.h"
#include "value/hash.h"
#include "value/hex.h"
#include "value/random.h"
#include "value/sized_options.h"

enum {
    TIMEOUT_MS = 30000,
    LOCK_MS = 15000,
    RENEW_MS = 3000,
    TOLD_MS = 10000,
    ROUNDS = 5, /* of copying what differs; clients that are connected still remove results */
    ID_BYTES = 16,
    ID_TEXT = 2 * ID_BYTES + 1
};

struct move {
    struct asq__side from, to;
    asq_migrate_options options;
    char id[64], token[ID_TEXT];
    bool locked;
    int64_t renew_at_ms, tell_at_ms;
    size_t copied, removed;
    bool has_to, moved, equal;
    int64_t clock_ms; /* the target's clock is so much ahead of the source's */
    asq_value *kinds;
    char *err;
    size_t errlen;
};

static void tell(const struct move *m, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static void tell(const struct move *m, const char *fmt, ...)
{
    char text[600];
    va_list ap;
    if (!m->options.log)
        return;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    m->options.log(m->options.log_user, ASQ_LOG_INFO, text);
}

static int fail(struct move *m, int code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

static int fail(struct move *m, int code, const char *fmt, ...)
{
    char why[1200];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(why, sizeof why, fmt, ap);
    va_end(ap);
    return asq__err(m->err, m->errlen, code, "%s", why);
}

static int random_id(struct move *m, char out[ID_TEXT])
{
    uint8_t bytes[ID_BYTES];
    if (asq__random(bytes, sizeof bytes) < 0)
        return fail(m, ASQ_ESYS, "no random bytes");
    *asq__hex(out, bytes, sizeof bytes) = '\0';
    return 0;
}

/* Writes a time of meta for people. */
static const char *time_text(const char *unix_s, char out[32])
{
    time_t t = (time_t) strtoll(unix_s, NULL, 10);
    struct tm tm;
    if (!gmtime_r(&t, &tm) || strftime(out, 32, "%Y-%m-%dT%H:%M:%SZ", &tm) == 0)
        snprintf(out, 32, "?");
    return out;
}

/* ---- the lock ---- */

static int renew(void *user)
{
    struct move *m = user;
    int64_t now = asq__now_ms();
    if (now < m->renew_at_ms)
        return 0;
    int left = asq__side_lock(&m->from, m->token, LOCK_MS, m->id, ASQ__MOVE_BEGUN);
    if (left > 0)
        return fail(m, ASQ_EBUSY, "another as-ctl migrate goes on with this move");
    m->renew_at_ms = now + RENEW_MS;
    return left;
}

/* Takes the lock. That of a process which was killed expires soon: waits so long. */
static int lock(struct move *m)
{
    int64_t until = asq__now_ms() + LOCK_MS + RENEW_MS;
    bool told = false;
    for (;;) {
        int left = asq__side_lock(&m->from, m->token, LOCK_MS, "", "");
        if (left <= 0) {
            m->locked = left == 0;
            return left;
        }
        if (asq__now_ms() > until)
            return fail(m, ASQ_EBUSY, "another as-ctl migrate is at work on this namespace");
        if (!told)
            tell(m,
                 "another as-ctl migrate is at work, or was killed within the last %d s: waiting",
                 LOCK_MS / 1000);
        told = true;
        nanosleep(&(struct timespec){ .tv_nsec = 200000000 }, NULL);
    }
}

/* Leaves the lock, also after a failure; otherwise it expires. */
static void unlock(struct move *m)
{
    char ignored[1];
    if (!m->locked || asq__side_settle(&m->from) < 0)
        return;
    m->from.err = ignored;
    m->from.errlen = sizeof ignored;
    asq__side_lock(&m->from, m->token, 0, "", "");
}

/* ---- what has to be so ---- */

static int check_worker(struct move *m, const char *id)
{
    struct asq__side *from = &m->from;
    char key[ASQ__KEY_MAX];
    struct asq__cmd cmd;
    redisReply *lease = NULL, *ttl = NULL;
    asq__keys_worker(&from->keys, id, key);
    asq__cmd_init(&cmd);
    asq__cmd_puts(&cmd, "HMGET");
    asq__cmd_puts(&cmd, key);
    asq__cmd_puts(&cmd, "lease_time_ms");
    int rc = asq__side_append(from, from->home, &cmd);
    asq__cmd_reset(&cmd);
    asq__cmd_puts(&cmd, "PTTL");
    asq__cmd_puts(&cmd, key);
    if (rc == 0)
        rc = asq__side_append(from, from->home, &cmd);
    asq__cmd_release(&cmd);
    if (rc == 0)
        rc = asq__side_reply_or_error(from, from->home, &lease);
    if (rc == 0)
        rc = asq__side_reply(from, from->home, &ttl);
    if (rc == 0 && lease->type == REDIS_REPLY_ERROR && !asq__reply_is_wrong_type(lease))
        rc = asq__side_refused(from, lease);
    if (rc == 0 && lease->type == REDIS_REPLY_ARRAY && lease->elements == 1 &&
        lease->element[0]->type == REDIS_REPLY_STRING &&
        asq__admin_is_alive(asq__admin_lease_time(lease->element[0]->str, lease->element[0]->len),
                            ttl->integer))
        rc = asq__side_fail(from, ASQ_EBUSY,
                            "worker %s is alive. Stop all workers before the namespace moves "
                            "(as-ctl stop %s); calls that wait move with it",
                            id, id);
    freeReplyObject(lease);
    freeReplyObject(ttl);
    return rc;
}

/* Fails if a worker of the source has sent a heartbeat within its lease time. */
static int check_workers(struct move *m)
{
    struct asq__side *from = &m->from;
    char key[ASQ__KEY_MAX];
    struct asq__cmd cmd;
    redisReply *reply;
    asq__keys_workers(&from->keys, key);
    asq__cmd_init(&cmd);
    asq__cmd_puts(&cmd, "SMEMBERS");
    asq__cmd_puts(&cmd, key);
    int rc = asq__side_run(from, from->home, &cmd, &reply);
    asq__cmd_release(&cmd);
    if (rc < 0)
        return rc;
    for (size_t i = 0; rc == 0 && reply->type == REDIS_REPLY_ARRAY && i < reply->elements; i++)
        if (reply->element[i]->type == REDIS_REPLY_STRING)
            rc = check_worker(m, reply->element[i]->str);
    freeReplyObject(reply);
    return rc;
}

/* Fails if the target has keys of the namespace. */
static int check_empty(struct move *m)
{
    struct asq__side *to = &m->to;
    struct asq__moved_keys keys;
    char first[ASQ__KEY_MAX];
    int rc = asq__moved_keys_scan(to, ASQ__VIEW_ALL, &keys);
    if (rc < 0)
        return rc;
    size_t n = keys.n + to->meta.there;
    asq__keys_meta(&to->keys, first);
    if (keys.n)
        asq__moved_key_name(to, ASQ__VIEW_ALL, &keys.list[0], first);
    asq__moved_keys_release(&keys);
    if (n == 0)
        return 0;
    if (strcmp(to->meta.state, ASQ__MOVE_MOVED) == 0)
        return asq__side_fail(to, ASQ_EINVAL,
                              "namespace '%s' has moved away from there, to %s; remove what it has "
                              "left: %zu keys, such as %s",
                              to->keys.ns, to->meta.other, n, first);
    return asq__side_fail(
        to, ASQ_EINVAL,
        "namespace '%s' is not empty there: %zu keys, such as %s. Remove them, or "
        "choose another name (?ns=NAME in the URL of --to)",
        to->keys.ns, n, first);
}

/* Tries at each node of a side what the move needs there. */
static int try_rights(struct move *m, struct asq__side *side)
{
    static const char *const rests[] = { "r:moving", "r:moving:2" };
    char key[ASQ__KEY_MAX];
    bool *tried = calloc(side->nodes.n, sizeof *tried);
    struct asq__cmd cmd;
    int rc = tried ? 0 : fail(m, ASQ_ENOMEM, "out of memory");
    asq__cmd_init(&cmd);
    for (uint32_t p = 0; rc == 0 && p < m->from.meta.partitions; p++) {
        redisReply *reply;
        size_t n = asq__keys_jobs(&side->keys, p, key), node = asq__side_node_of(side, key, n);
        if (tried[node])
            continue;
        tried[node] = true;
        asq__cmd_reset(&cmd);
        asq__script_eval(&cmd, asq__script_move_try, 2);
        for (int i = 0; i < 2; i++) {
            n = asq__keys_join(&side->keys, p, rests[i], strlen(rests[i]), key);
            asq__cmd_put(&cmd, key, n);
        }
        rc = asq__side_run(side, node, &cmd, &reply);
        if (rc < 0)
            break;
        if (!asq__reply_is(reply, ""))
            rc = asq__side_fail(side, ASQ_EREDIS,
                                "Redis: %s (as-ctl acl mover prints the rights that are needed)",
                                reply->type == REDIS_REPLY_STRING ? reply->str : "?");
        freeReplyObject(reply);
    }
    asq__cmd_release(&cmd);
    free(tried);
    return rc;
}

/* Reads the clock of a side's first node, in ms. */
static int read_clock(struct asq__side *side, int64_t *ret)
{
    struct asq__cmd cmd;
    redisReply *reply;
    asq__cmd_init(&cmd);
    asq__cmd_puts(&cmd, "TIME");
    int rc = asq__side_run(side, side->home, &cmd, &reply);
    asq__cmd_release(&cmd);
    if (rc < 0)
        return rc;
    if (reply->type == REDIS_REPLY_ARRAY && reply->elements == 2)
        *ret = strtoll(reply->element[0]->str, NULL, 10) * 1000 +
               strtoll(reply->element[1]->str, NULL, 10) / 1000;
    freeReplyObject(reply);
    return 0;
}

static int check_clocks(struct move *m)
{
    int64_t from = 0, to = 0;
    int rc = read_clock(&m->from, &from);
    if (rc == 0)
        rc = read_clock(&m->to, &to);
    m->clock_ms = to - from;
    if (rc == 0 && (m->clock_ms > 1000 || m->clock_ms < -1000))
        tell(m,
             "the clock of the target's Redis is %lld ms ahead of the source's: delayed calls and "
             "deadlines become earlier by that",
             (long long) m->clock_ms);
    return rc;
}

static int check_moving_slots(struct move *m)
{
    char why[600];
    int rc = asq__sync_nodes_check(&m->from.nodes, why, sizeof why);
    if (rc < 0)
        return asq__side_fail(&m->from, rc, "%s", why);
    rc = m->has_to ? asq__sync_nodes_check(&m->to.nodes, why, sizeof why) : 0;
    return rc < 0 ? asq__side_fail(&m->to, rc, "%s", why) : 0;
}

/* Checks all that can be checked before a move begins. */
static int check_start(struct move *m)
{
    struct asq__side *from = &m->from;
    struct asq__moved_keys keys;
    if (strchr(m->to.keys.ns, '.'))
        return asq__side_fail(&m->to, ASQ_EINVAL,
                              "names of new namespaces have no dots; choose another than '%s' "
                              "(?ns=NAME in the URL of --to)",
                              m->to.keys.ns);
    int rc = check_workers(m);
    if (rc == 0)
        rc = check_empty(m);
    if (rc == 0)
        rc = check_moving_slots(m);
    if (rc == 0)
        rc = try_rights(m, from);
    if (rc == 0)
        rc = try_rights(m, &m->to);
    if (rc == 0)
        rc = check_clocks(m);
    if (rc == 0)
        rc = asq__moved_keys_scan(from, ASQ__VIEW_MOVING, &keys);
    if (rc < 0)
        return rc;
    asq__moved_keys_release(&keys);
    return 0;
}

/* Fails unless meta of the source is in a state that fits what is asked for. */
static int check_source(struct move *m)
{
    const struct asq__side_meta *meta = &m->from.meta;
    char at[32];
    bool begun = strcmp(meta->state, ASQ__MOVE_BEGUN) == 0;
    bool moved = strcmp(meta->state, ASQ__MOVE_MOVED) == 0;
    bool given_up = strcmp(meta->state, ASQ__MOVE_GIVEN_UP) == 0;
    if (!meta->there || !meta->partitions)
        return asq__side_fail(&m->from, ASQ_EINVAL, "there is no namespace '%s'", m->from.keys.ns);
    if (!*meta->move && meta->format != ASQ__FORMAT_VERSION)
        return asq__side_fail(&m->from, ASQ_EVERSION,
                              "namespace '%s' has format %u; this is asqueue %s with format %d",
                              m->from.keys.ns, meta->format, ASQ_VERSION, ASQ__FORMAT_VERSION);
    time_text(meta->at, at);
    if (m->options.abort) {
        if (begun || given_up)
            return 0;
        return moved ? asq__side_fail(&m->from, ASQ_EINVAL,
                                      "namespace '%s' has moved to %s since %s: calls may have run "
                                      "there, so that there is no way back to what is left here",
                                      m->from.keys.ns, meta->other, at)
                     : asq__side_fail(&m->from, ASQ_EINVAL, "namespace '%s' is not being moved",
                                      m->from.keys.ns);
    }
    if (m->options.resume) {
        if (begun || moved)
            return 0;
        return given_up
                   ? asq__side_fail(&m->from, ASQ_EINVAL,
                                    "the move to %s is being given up: --abort goes on with that",
                                    meta->other)
                   : asq__side_fail(&m->from, ASQ_EINVAL,
                                    "no move of namespace '%s' was begun: leave out --resume",
                                    m->from.keys.ns);
    }
    if (moved)
        return asq__side_fail(&m->from, ASQ_EINVAL,
                              "namespace '%s' has moved to %s since %s (--resume --delete-source "
                              "removes what is left here)",
                              m->from.keys.ns, meta->other, at);
    if (*meta->move)
        return asq__side_fail(&m->from, ASQ_EBUSY,
                              "a move of namespace '%s' to %s was begun at %s, and has not ended: "
                              "--resume goes on with it, --abort gives it up",
                              m->from.keys.ns, meta->other, at);
    return 0;
}

/* ---- copying ---- */

/* Keys of both sides, and what is to be done about them. */
struct difference {
    struct asq__moved_keys from, to;
    struct asq__moved_key **copy; /* of `from` */
    size_t n_copy;
    struct asq__moved_key **extra; /* of `to` */
    size_t n_extra;
};

static void difference_release(struct difference *d)
{
    asq__moved_keys_release(&d->from);
    asq__moved_keys_release(&d->to);
    free(d->copy);
    free(d->extra);
    *d = (struct difference){ 0 };
}

static bool is_equal(const struct asq__moved_key *a, const struct asq__moved_key *b)
{
    return a->type == b->type && a->has_ttl == b->has_ttl &&
           memcmp(a->sum, b->sum, sizeof a->sum) == 0;
}

static int compare_sides(struct move *m, struct difference *d)
{
    d->copy = calloc(d->from.n + 1, sizeof(struct asq__moved_key *));
    d->extra = calloc(d->to.n + 1, sizeof(struct asq__moved_key *));
    if (!d->copy || !d->extra)
        return fail(m, ASQ_ENOMEM, "out of memory");
    size_t i = 0, k = 0;
    while (i < d->from.n || k < d->to.n) {
        struct asq__moved_key *a = i < d->from.n ? &d->from.list[i] : NULL;
        struct asq__moved_key *b = k < d->to.n ? &d->to.list[k] : NULL;
        int c = !a ? 1 : !b ? -1 : asq__moved_key_compare(a, b);
        i += c <= 0;
        k += c >= 0;
        bool in_from = c <= 0 && a->type != ASQ__KEY_NONE;
        bool in_to = c >= 0 && b->type != ASQ__KEY_NONE;
        if (in_from && !(in_to && is_equal(a, b)))
            d->copy[d->n_copy++] = a;
        else if (!in_from && in_to)
            d->extra[d->n_extra++] = b;
    }
    return 0;
}

/* Finds out what differs. A target without keys needs no measuring. */
static int find_difference(struct move *m, struct difference *ret)
{
    struct asq__move_tick tick = { renew, m };
    struct difference d = { 0 };
    int rc = asq__moved_keys_scan(&m->from, ASQ__VIEW_SEALED, &d.from);
    if (rc == 0)
        rc = asq__moved_keys_scan(&m->to, ASQ__VIEW_MOVING, &d.to);
    if (rc == 0)
        rc = renew(m);
    if (rc == 0 && d.to.n)
        rc = asq__move_measure(&m->from, ASQ__VIEW_SEALED, &d.from, &tick);
    if (rc == 0 && d.to.n)
        rc = asq__move_measure(&m->to, ASQ__VIEW_MOVING, &d.to, &tick);
    if (rc == 0)
        rc = compare_sides(m, &d);
    if (rc < 0)
        difference_release(&d);
    else
        *ret = d;
    return rc;
}

static int remove_extra(struct move *m, const struct difference *d)
{
    char name[ASQ__KEY_MAX];
    struct asq__cmd cmd;
    int rc = 0;
    asq__cmd_init(&cmd);
    for (size_t i = 0; rc == 0 && i < d->n_extra; i++) {
        size_t n = asq__moved_key_name(&m->to, ASQ__VIEW_MOVING, d->extra[i], name);
        asq__cmd_reset(&cmd);
        asq__cmd_puts(&cmd, "UNLINK");
        asq__cmd_put(&cmd, name, n);
        rc = asq__side_write(&m->to, asq__side_node_of(&m->to, name, n), &cmd);
    }
    asq__cmd_release(&cmd);
    return rc < 0 ? rc : asq__side_flush(&m->to);
}

/* Copies in portions, and tells how far it is. */
static int copy(struct move *m, const struct difference *d)
{
    enum { PORTION = 1024 };
    struct asq__move_tick tick = { renew, m };
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < d->n_copy; i += PORTION) {
        size_t n = d->n_copy - i < PORTION ? d->n_copy - i : PORTION;
        rc = asq__move_copy(&m->from, ASQ__VIEW_SEALED, &m->to, d->copy + i, n, &tick);
        m->copied += rc == 0 ? n : 0;
        if (rc == 0 && asq__now_ms() >= m->tell_at_ms) {
            tell(m, "%zu of %zu keys are copied", i + n, d->n_copy);
            m->tell_at_ms = asq__now_ms() + TOLD_MS;
        }
    }
    return rc;
}

static int report_kinds(struct move *m, const struct difference *d);

/* Copies until nothing differs. */
static int make_equal(struct move *m)
{
    for (int round = 0;; round++) {
        struct difference d;
        int rc = find_difference(m, &d);
        if (rc < 0)
            return rc;
        bool equal = d.n_copy == 0 && d.n_extra == 0;
        if (equal) {
            rc = report_kinds(m, &d);
            m->equal = rc == 0;
        } else if (round == ROUNDS) {
            char name[ASQ__KEY_MAX];
            asq__moved_key_name(&m->to, ASQ__VIEW_MOVING, d.n_copy ? d.copy[0] : d.extra[0], name);
            report_kinds(m, &d);
            rc = fail(m, ASQ_EREDIS,
                      "%zu keys differ still after they were copied %d times, such as %s: somebody "
                      "writes there. --resume tries again, --abort gives the move up",
                      d.n_copy + d.n_extra, ROUNDS, name);
        } else {
            tell(m, round ? "%zu keys differ, and are copied again" : "copying %zu keys",
                 d.n_copy + d.n_extra);
            m->tell_at_ms = asq__now_ms() + TOLD_MS;
            rc = remove_extra(m, &d);
            if (rc == 0)
                rc = copy(m, &d);
            if (rc == 0)
                tell(m, "comparing both sides");
        }
        difference_release(&d);
        if (rc < 0 || equal)
            return rc;
    }
}

/* ---- the report ---- */

struct sums {
    int64_t keys, items, bytes;
    uint8_t sum[16];
};

static void add_key(struct sums *kinds, const struct asq__moved_key *key)
{
    struct sums *s = &kinds[key->kind];
    uint8_t all[16 + 16 + 8 + 1] = { 0 };
    if (key->type == ASQ__KEY_NONE)
        return;
    s->keys++;
    s->items += (int64_t) key->items;
    s->bytes += (int64_t) key->bytes;
    memcpy(all, s->sum, 16);
    asq__siphash128(key->rest, key->rest_n, all + 16);
    for (int i = 0; i < 4; i++)
        all[32 + i] = (uint8_t) (key->partition >> 8 * i);
    all[36] = key->has_ttl;
    uint8_t first[16];
    asq__siphash128(all, sizeof all, first);
    memcpy(all, first, 16);
    memcpy(all + 16, key->sum, 16);
    asq__siphash128(all, 32, s->sum);
}

static asq_value *side_value(const struct sums *s)
{
    char sum[33];
    *asq__hex(sum, s->sum, sizeof s->sum) = '\0';
    return asq_pack("{s:I,s:I,s:I,s:s}", "keys", s->keys, "items", s->items, "bytes", s->bytes,
                    "checksum", s->keys ? sum : "");
}

/* Makes the list of kinds that there are. `d->to` may be empty: a dry run. */
static int report_kinds(struct move *m, const struct difference *d)
{
    struct sums from[ASQ__KINDS] = { 0 }, to[ASQ__KINDS] = { 0 };
    bool both = !m->options.dry_run;
    asq_value_free(m->kinds);
    if (!(m->kinds = asq_value_list()))
        return fail(m, ASQ_ENOMEM, "out of memory");
    for (size_t i = 0; i < d->from.n; i++)
        add_key(from, &d->from.list[i]);
    for (size_t i = 0; i < d->to.n; i++)
        add_key(to, &d->to.list[i]);
    for (int k = 0; k < ASQ__KINDS; k++) {
        if (!from[k].keys && !to[k].keys)
            continue;
        bool equal = from[k].keys == to[k].keys && from[k].items == to[k].items &&
                     memcmp(from[k].sum, to[k].sum, 16) == 0;
        asq_value *row = asq_pack("{s:s,s:o}", "kind", asq__kind_name((enum asq__key_kind) k),
                                  "source", side_value(&from[k]));
        if (row && both &&
            (asq_map_set(row, "target", side_value(&to[k])) < 0 ||
             asq_map_set(row, "equal", asq_value_bool(equal)) < 0)) {
            asq_value_free(row);
            row = NULL;
        }
        if (asq_list_append(m->kinds, row) < 0)
            return fail(m, ASQ_ENOMEM, "out of memory");
    }
    return 0;
}

static int make_report(struct move *m, const char *outcome, asq_value **ret)
{
    asq_value *kinds = m->kinds ? m->kinds : asq_value_list();
    m->kinds = NULL;
    *ret = asq_pack("{s:s,s:s,s:s,s:s,s:s,s:I,s:o,s:b,s:I,s:I,s:I}", "outcome", outcome, "from",
                    m->from.shown, "to", m->has_to ? m->to.shown : "", "namespace", m->from.keys.ns,
                    "to_namespace", m->has_to ? m->to.keys.ns : "", "partitions",
                    (int64_t) m->from.meta.partitions, "kinds", kinds, "equal", (int) m->equal,
                    "copied", (int64_t) m->copied, "removed", (int64_t) m->removed, "clock_ms",
                    m->clock_ms);
    return *ret ? 0 : fail(m, ASQ_ENOMEM, "out of memory");
}

/* ---- steps ---- */

static int dry_run(struct move *m)
{
    struct difference d = { 0 };
    int rc = check_start(m);
    if (rc == 0)
        rc = asq__moved_keys_scan(&m->from, ASQ__VIEW_MOVING, &d.from);
    if (rc == 0)
        rc = asq__move_measure(&m->from, ASQ__VIEW_MOVING, &d.from, NULL);
    if (rc == 0)
        rc = report_kinds(m, &d);
    difference_release(&d);
    return rc;
}

/* Removes user and password of a URL: whoever reads it is another user than the mover. */
static void remove_user(char *url)
{
    char *host = strstr(url, "://");
    if (!host)
        return; /* a Unix socket, which has them among its parameters */
    host += strlen("://");
    size_t n = strcspn(host, "/?"), from = n;
    while (from > 0 && host[from - 1] != '@')
        from--;
    memmove(host, host + from, strlen(host + from) + 1);
}

/* Writes the other side's URL with its namespace, for people. */
static void name_side(const struct asq__side *side, char out[ASQ__MOVE_TEXT])
{
    if (side->url.ns)
        snprintf(out, ASQ__MOVE_TEXT, "%s", side->shown);
    else
        snprintf(out, ASQ__MOVE_TEXT, "%.*s%cns=%s", ASQ__MOVE_TEXT - 80, side->shown,
                 strchr(side->shown, '?') ? '&' : '?', side->keys.ns);
    remove_user(out);
}

/* Fences the source: no client and no worker opens it any more. */
static int begin_source(struct move *m)
{
    char to[ASQ__MOVE_TEXT], at[24];
    name_side(&m->to, to);
    snprintf(at, sizeof at, "%lld", (long long) time(NULL));
    const char *const fields[] = { "move",           m->id,      "move_state",
                                   ASQ__MOVE_BEGUN,  "moved_to", to,
                                   "moved_at",       at,         "format",
                                   ASQ__FORMAT_MOVED };
    int rc = asq__side_mark(&m->from, "", "", 5, fields);
    if (rc == 0)
        rc = asq__side_fail(&m->from, ASQ_EBUSY, "another as-ctl migrate has begun a move");
    return rc < 0 ? rc : asq__side_read_meta(&m->from); /* a pool may have come before the mark */
}

/* Makes the target the one of this move, which nobody opens yet. */
static int begin_target(struct move *m)
{
    const struct asq__side_meta *meta = &m->to.meta, *from = &m->from.meta;
    char other[ASQ__MOVE_TEXT], at[24], partitions[16];
    int rc;
    if (strcmp(meta->move, m->id) == 0 && strcmp(meta->state, ASQ__MOVE_FILLING) == 0)
        return 0;
    if (strcmp(meta->move, m->id) == 0)
        return asq__side_fail(&m->to, ASQ_EINVAL, "the source and the target are the same");
    if (m->options.resume) {
        name_side(&m->to, other);
        if (strcmp(other, from->other) != 0)
            return asq__side_fail(&m->to, ASQ_EINVAL,
                                  "the move was begun to %s; give that URL to --to, or --abort the "
                                  "move",
                                  from->other);
        if ((rc = check_empty(m)) < 0)
            return rc;
    }
    name_side(&m->from, other);
    snprintf(at, sizeof at, "%lld", (long long) time(NULL));
    snprintf(partitions, sizeof partitions, "%u", from->own);
    const char *const fields[] = {
        "move",       m->id,
        "move_state", ASQ__MOVE_FILLING,
        "moved_from", other,
        "moved_at",   at,
        "format",     ASQ__FORMAT_MOVED,
        "partitions", partitions,
        "pools",      from->pools ? from->pools : "",
        "created",    *from->created ? from->created : at,
    };
    rc = asq__side_mark(&m->to, "", "", sizeof fields / sizeof *fields / 2, fields);
    if (rc == 0)
        rc = asq__side_fail(&m->to, ASQ_EBUSY, "another namespace is being moved there");
    return rc < 0 ? rc : asq__side_read_meta(&m->to);
}

static int seal(struct move *m)
{
    char text[ASQ__MOVE_TEXT + 40], to[ASQ__MOVE_TEXT];
    name_side(&m->to, to);
    snprintf(text, sizeof text, "asqueue: moved to %s", to);
    return asq__side_seal(&m->from, text);
}

/* Decides that the target counts from here on: the only step that cannot be taken back. */
static int decide(struct move *m)
{
    int rc = check_moving_slots(m);
    if (rc == 0)
        rc = asq__side_mark(&m->from, m->id, ASQ__MOVE_BEGUN, 1,
                            (const char *[]){ "move_state", ASQ__MOVE_MOVED });
    if (rc == 0)
        rc = asq__side_fail(&m->from, ASQ_ECANCELED, "the move was given up meanwhile");
    return rc < 0 ? rc : 0;
}

static int open_target(struct move *m)
{
    char format[16];
    snprintf(format, sizeof format, "%d", ASQ__FORMAT_VERSION);
    const char *const fields[] = { "format", format,       "move", "",         "move_state",
                                   "",       "moved_from", "",     "moved_at", "" };
    /* 0: it was opened before. */
    int rc = asq__side_mark(&m->to, m->id, ASQ__MOVE_FILLING, 5, fields);
    return rc < 0 ? rc : 0;
}

static int move(struct move *m)
{
    char to[ASQ__MOVE_TEXT];
    int rc = 0;
    name_side(&m->to, to);
    if (strcmp(m->from.meta.state, ASQ__MOVE_MOVED) == 0) {
        if (strcmp(m->to.meta.move, m->id) != 0 && strcmp(to, m->from.meta.other) != 0)
            rc = asq__side_fail(&m->from, ASQ_EINVAL,
                                "the namespace has moved to %s; give that "
                                "URL to --to",
                                m->from.meta.other);
    } else {
        rc = m->options.resume ? 0 : begin_source(m);
        if (rc == 0)
            rc = begin_target(m);
        if (rc == 0)
            rc = seal(m);
        if (rc == 0)
            rc = make_equal(m);
        if (rc == 0)
            rc = decide(m);
    }
    if (rc == 0)
        rc = open_target(m);
    m->moved = rc == 0;
    if (rc == 0 && m->options.delete_source) {
        tell(m, "removing the keys of the source");
        rc = asq__moved_keys_unlink(&m->from, true, &m->removed);
    }
    return rc;
}

/* Gives a move up: the source becomes what it was, and the target is emptied. */
static int give_up(struct move *m)
{
    char format[16], meta[ASQ__KEY_MAX];
    struct asq__cmd cmd;
    snprintf(format, sizeof format, "%d", ASQ__FORMAT_VERSION);
    int rc = asq__side_mark(&m->from, m->id, ASQ__MOVE_BEGUN, 1,
                            (const char *[]){ "move_state", ASQ__MOVE_GIVEN_UP });
    bool filling = m->has_to && strcmp(m->to.meta.move, m->id) == 0 &&
                   strcmp(m->to.meta.state, ASQ__MOVE_FILLING) == 0;
    if (rc >= 0)
        rc = filling ? asq__moved_keys_unlink(&m->to, false, &m->removed) : 0;
    if (rc == 0 && filling) {
        asq__keys_meta(&m->to.keys, meta);
        asq__cmd_init(&cmd);
        asq__cmd_puts(&cmd, "UNLINK");
        asq__cmd_puts(&cmd, meta);
        rc = asq__side_run(&m->to, m->to.home, &cmd, NULL);
        asq__cmd_release(&cmd);
    } else if (rc == 0) {
        tell(m, "the target was not emptied: %s",
             m->has_to ? "it has nothing of this move" : "--to was not given");
    }
    if (rc == 0)
        rc = asq__side_unseal(&m->from);
    const char *const fields[] = { "format", format,     "move", "",         "move_state",
                                   "",       "moved_to", "",     "moved_at", "" };
    if (rc == 0)
        rc = asq__side_mark(&m->from, m->id, ASQ__MOVE_GIVEN_UP, 5, fields);
    if (rc == 0)
        rc = asq__side_fail(&m->from, ASQ_EBUSY, "another as-ctl migrate has changed its meta");
    return rc < 0 ? rc : 0;
}

/* ---- the whole ---- */

static int open_sides(struct move *m, const char *from, const char *to)
{
    int64_t ms = m->options.timeout_ms > 0 ? m->options.timeout_ms : TIMEOUT_MS;
    int rc =
        asq__side_open(&m->from, "source", from, m->options.ns, "default", ms, m->err, m->errlen);
    if (rc == 0)
        rc = asq__side_read_meta(&m->from);
    if (rc < 0 || !to)
        return rc;
    rc = asq__side_open(&m->to, "target", to, NULL, m->from.keys.ns, ms, m->err, m->errlen);
    m->has_to = rc == 0;
    return rc < 0 ? rc : asq__side_read_meta(&m->to);
}

/* Adds what to do to the text of a move that has stopped in the middle. */
static void add_hint(struct move *m, int rc)
{
    char why[1200];
    snprintf(why, sizeof why, "%s", m->err);
    /* The texts of what follows are not wanted. */
    m->from.err = why + strlen(why);
    m->from.errlen = 1;
    if (asq__side_settle(&m->from) == 0 && asq__side_read_meta(&m->from) == 0 &&
        !*m->from.meta.move)
        return;
    asq__err(m->err, m->errlen, rc, "%s; the move has stopped%s", why,
             m->options.abort ? ", half given up: give --abort again"
             : m->moved       ? ", but the target counts: --resume --delete-source goes on"
                              : ", and both sides are closed to clients and workers: --resume goes "
                                "on with it, --abort gives it up");
}

static int run(struct move *m)
{
    int rc = check_source(m);
    if (rc < 0)
        return rc;
    if (m->options.dry_run)
        return dry_run(m);
    if (!m->options.resume && !m->options.abort && (rc = check_start(m)) < 0)
        return rc;
    if (m->options.resume && (rc = check_clocks(m)) < 0)
        return rc;
    if (*m->from.meta.move)
        snprintf(m->id, sizeof m->id, "%s", m->from.meta.move);
    else if ((rc = random_id(m, m->id)) < 0)
        return rc;
    if ((rc = random_id(m, m->token)) < 0 || (rc = lock(m)) < 0)
        return rc;
    /* Another process may have gone on while this one waited for the lock. */
    if ((rc = asq__side_read_meta(&m->from)) < 0 || (rc = check_source(m)) < 0 ||
        (m->has_to && (rc = asq__side_read_meta(&m->to)) < 0))
        return rc;
    rc = m->options.abort ? give_up(m) : move(m);
    if (rc < 0)
        add_hint(m, rc);
    return rc;
}

int asq_migrate(const char *from, const char *to, const asq_migrate_options *options,
                asq_value **ret, char *err, size_t errlen)
{
    struct move m = { .options = ASQ_MIGRATE_OPTIONS_INIT, .err = err, .errlen = errlen };
    asq_value *report = NULL;
    char unwanted[1];
    if (!err)
        m.err = unwanted, m.errlen = sizeof unwanted;
    int rc = asq__sized_options_take(&m.options, sizeof m.options, options,
                                     "ASQ_MIGRATE_OPTIONS_INIT", m.err, m.errlen);
    if (rc < 0)
        return rc;
    if (!from || (!to && !m.options.abort))
        return fail(&m, ASQ_EINVAL, "asq_migrate needs two URLs");
    if (m.options.dry_run + m.options.resume + m.options.abort > 1)
        return fail(&m, ASQ_EINVAL, "dry_run, resume and abort exclude each other");
    if (m.options.delete_source && (m.options.dry_run || m.options.abort))
        return fail(&m, ASQ_EINVAL, "delete_source goes with a move only");
    rc = open_sides(&m, from, to);
    if (rc == 0)
        rc = run(&m);
    unlock(&m);
    if (ret && (rc == 0 || m.kinds)) {
        const char *outcome = rc < 0              ? "stopped"
                              : m.options.dry_run ? "checked"
                              : m.options.abort   ? "given up"
                                                  : "moved";
        int made = make_report(&m, outcome, &report);
        rc = rc < 0 ? rc : made;
    }
    if (ret)
        *ret = report;
    asq_value_free(m.kinds);
    asq__side_close(&m.from);
    asq__side_close(&m.to);
    return rc;
}
