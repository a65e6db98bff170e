/*
 * member.c: decides which partitions this process claims and hands back, from its own heartbeat
 * (heartbeat.c) and the heartbeats of the other workers of the namespace (peers.c).
 *
 * The loop looks every third of the lease time, and whenever another worker announces a change: it
 * reads what has changed of the workers (peer_refresh.h), then the leases that matter
 * (lease_refresh.h), and decides. A worker is dead when its heartbeat has not moved for a lease
 * time by the monotonic clock of this process, whose own heartbeat was acknowledged all that time.
 * A worker whose hash is gone, or that is not listed any more, is dead at once, unless Redis was
 * away, when hashes expire, or has lost what it had: then it has a lease time to come back. No wall
 * clock takes part.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "asqueue.h"
#include "redis/conn.h"
#include "redis/keys.h"
#include "redis/redis.h"
#include "redis/refusal.h"
#include "redis/timer.h"
#include "value/clock.h"
#include "value/list.h"
#include "value/table.h"
#include "worker/allowed.h"
#include "worker/candidates.h"
#include "worker/core/place.h"
#include "worker/deaths.h"
#include "worker/ending.h"
#include "worker/heartbeat.h"
#include "worker/lacking.h"
#include "worker/lease.h"
#include "worker/lease_refresh.h"
#include "worker/member.h"
#include "worker/needs.h"
#include "worker/partition.h"
#include "worker/pause.h"
#include "worker/peer_refresh.h"
#include "worker/peers.h"
#include "worker/core/ownership.h"
#include "worker/process.h"
#include "worker/process_log.h"
#include "worker/recount.h"
#include "worker/takeover.h"

enum {
    BURY_LEASES = 3,      /* lease times of death, for a worker whose hash is gone */
    BURY_LEASES_HASH = 20 /* the same where the hash stays but the heartbeat does not move */
};

struct asq__members {
    struct asq__process *w;
    struct asq__table peers; /* struct asq__peer */
    ev_timer tick;
    ev_timer overdue; /* for the first worker that may be found dead before the next tick */
    bool started, stopped, refreshing, refresh_again;
    unsigned answers; /* replies that the refresh under way awaits */
    bool refresh_failed;
    bool leases_asked; /* the refresh under way has come to the leases */
    bool read_all;     /* the next one reads all leases */
    struct asq__peer_refresh look;
    char announced[ASQ_MAX_ID + 32]; /* an unknown worker that has announced a heartbeat; or "" */
    struct asq__lease_refresh leases;
    struct asq__placed placed; /* as of the last decision */
    int64_t resumed_ms;        /* resumed_ms() as of the last decision */
    bool forgotten;            /* Redis has forgotten the script by which this process refreshes */
    bool decided;              /* the first decision was made */
    struct asq__heartbeat *heartbeat;
};

/* ---- deciding ---- */

/* Returns since when Redis takes heartbeats; 0: since ever. While it took none of this process, it
 * took none of the others, and what it has lost of this one, it may have lost of them. */
static int64_t resumed_ms(const struct asq__members *m)
{
    int64_t resumed = asq__heartbeat_resumed_ms(m->heartbeat);
    return resumed > m->look.lost_ms ? resumed : m->look.lost_ms;
}

/* Returns when a worker counts as dead if its heartbeat does not move any more. */
static int64_t overdue_ms(const struct asq__members *m, const struct asq__peer *p)
{
    int64_t resumed = resumed_ms(m);
    return (p->moved_ms > resumed ? p->moved_ms : resumed) + m->w->config.lease_time_ms;
}

/* Returns when a worker without a hash, or that is not listed, counts as dead. While Redis took no
 * heartbeats, hashes of live workers may have expired; it may also have lost the list. */
static int64_t absent_ms(const struct asq__members *m)
{
    int64_t resumed = resumed_ms(m);
    return resumed ? resumed + m->w->config.lease_time_ms : 0;
}

/* Returns whether a worker is alive. Heartbeats in the index are known as of the last look. */
static bool is_alive(const struct asq__members *m, const struct asq__peer *p, int64_t now)
{
    int64_t known_ms = p->indexed ? m->look.asked_ms : now;
    bool may_return = now < absent_ms(m);
    return (p->listed || (may_return && !p->left)) && p->whole &&
           (!asq__process_is_alive(m->w) ||
            (p->present ? known_ms < overdue_ms(m, p) : may_return));
}

/* Refreshes once more after a worker has proved itself alive, because decisions may have ignored
 * it. */
static void refresh_once_more(struct asq__members *m, bool proves)
{
    m->refresh_again |= proves && m->refreshing;
}

bool asq__members_on_announcement(struct asq__members *m, const char *payload, size_t n)
{
    char text[ASQ_MAX_ID + 32], *id;
    if (n == 0 || (payload[0] != ASQ__BEAT && payload[0] != ASQ__BEAT_OF_CHANGE) ||
        n >= sizeof text)
        return false;
    memcpy(text, payload, n);
    text[n] = '\0';
    long long number = strtoll(text + 1, &id, 10);
    if (*id != ' ')
        return false;
    struct asq__peer *p = asq__peers_find(&m->peers, id + 1);
    bool news = !p || !p->listed || (p->whole && !p->proven) || payload[0] == ASQ__BEAT_OF_CHANGE;
    if (!p)
        snprintf(m->announced, sizeof m->announced, "%s", id + 1);
    if (p)
        refresh_once_more(m, asq__peer_see_heartbeat(p, number));
    if (news)
        asq__members_refresh(m);
    return true;
}

static bool is_self(const struct asq__members *m, const struct asq__peer *p)
{
    return strcmp(p->id, m->w->config.id) == 0;
}

struct live {
    const struct asq__members *m;
    struct asq__candidates *candidates;
    int64_t now, overdue_ms;
};

static void add_live(struct asq__node *node, void *user)
{
    struct live *live = user;
    struct asq__peer *p = ASQ__CONTAINER(node, struct asq__peer, node);
    if (p->stopping || !is_alive(live->m, p, live->now) || is_self(live->m, p))
        return;
    asq__candidates_add(live->candidates, p->id, p->capacity,
                        (struct asq__kind){ p->knows.text, p->pools.text });
}

/* Removes a dead worker from the set, where its id would stay for ever. */
static void bury(struct asq__node *node, void *user)
{
    struct asq__members *m = user;
    struct asq__peer *p = ASQ__CONTAINER(node, struct asq__peer, node);
    struct asq__redis *redis = m->w->redis;
    int64_t now = asq__now_ms(), lease_ms = m->w->config.lease_time_ms;
    char workers[ASQ__KEY_MAX], key[ASQ__KEY_MAX], heartbeat[24] = "";
    char beats[ASQ__KEY_MAX], changes[ASQ__KEY_MAX];
    if (p->lease_time_ms > lease_ms)
        lease_ms = p->lease_time_ms;
    if (!p->listed || !asq__process_is_alive(m->w) || is_self(m, p) ||
        now < overdue_ms(m, p) + (p->present ? BURY_LEASES_HASH : BURY_LEASES) * lease_ms)
        return;
    if (p->present)
        snprintf(heartbeat, sizeof heartbeat, "%lld", p->heartbeat);
    asq__keys_workers(asq__redis_keys(redis), workers);
    asq__keys_worker(asq__redis_keys(redis), p->id, key);
    asq__keys_beats(asq__redis_keys(redis), beats);
    asq__keys_beat_changes(asq__redis_keys(redis), changes);
    asq__process_log_some(m->w, ASQ_LOG_INFO, "worker %s is dead; it leaves the list of workers",
                          p->id);
    asq__conn_cmd(asq__redis_home(redis), NULL, NULL, "EVAL", asq__script_bury, "4", workers, key,
                  beats, changes, p->id, heartbeat, NULL);
    p->moved_ms = now; /* if it is still listed, it is not tried again at once */
}

/* Tells the operator of a host or process that is gone, because its partitions move and nothing
 * else says why. A worker that stops in order, or whose supervisor has announced its end, leaves no
 * hash behind. */
static void log_change(struct asq__process *w, struct asq__peer *p, int64_t now)
{
    if (!p->present || !p->proven || p->logged_dead == p->missed)
        return;
    p->logged_dead = p->missed;
    if (!p->missed)
        asq__process_log_some(w, ASQ_LOG_INFO, "worker %s sends heartbeats again", p->id);
    else
        asq__process_log_some(
            w, ASQ_LOG_WARNING,
            "worker %s has sent no heartbeat for %lld ms and counts as dead: the other workers "
            "take over",
            p->id, (long long) (now - p->moved_ms));
}

/* Tells the log and Redis of a death, or that the worker lives after all. */
static void tell_change(struct asq__node *node, void *user)
{
    const struct live *live = user;
    struct asq__peer *p = ASQ__CONTAINER(node, struct asq__peer, node);
    struct asq__members *m = p->owner;
    if (!p->listed || !p->whole || is_self(m, p))
        return;
    asq__peer_see_alive(p, is_alive(m, p, live->now));
    log_change(m->w, p, live->now);
    asq__death_note(m->w, &m->peers, p);
}

/* Returns whether partitions may be handed over to the worker: it has proved itself alive.
 * Otherwise an invented member would leave partitions without an owner until it is found dead. */
static bool takes_over(const struct asq__members *m, const char *id)
{
    const struct asq__peer *p = asq__peers_find(&m->peers, id);
    return p && p->proven;
}

/* Acts on one partition, given the worker where it is placed. */
static void decide(struct asq__members *m, struct asq__partition *p,
                   const struct asq__candidates *c, int64_t now)
{
    struct asq__process *w = m->w;
    const char *best = asq__candidates_best(c, p->number);
    const char *owner = p->seen_owner, *token = p->seen_token;
    struct asq__peer *holder = owner && *owner ? asq__peers_find(&m->peers, owner) : NULL;
    bool own = owner && strcmp(owner, w->config.id) == 0;
    const struct asq__ownership o = {
        .owned = asq__partition_is_owned(p),
        .active = p->state == ASQ__PART_ACTIVE,
        .idle = p->state == ASQ__PART_IDLE,
        .ours = strcmp(best, w->config.id) == 0,
        .fit = asq__candidates_last_is_fit(c, p->number) || (own && token && *token),
        .proven = takes_over(m, best),
        .foreign = !asq__candidates_last_serves(c, p->number),
        .is_held = token && *token && !own && holder && is_alive(m, holder, now),
        .token = !token                         ? ASQ__LEASE_NONE
                 : strcmp(token, p->token) == 0 ? ASQ__LEASE_OURS
                                                : ASQ__LEASE_ANOTHER,
    };
    switch (asq__ownership_decide(&o, now, w->config.lease_time_ms, &p->unowned_since_ms)) {
    case ASQ__OWNERSHIP_LEAVE: break;
    case ASQ__OWNERSHIP_CLAIM:
        if (p->refreshed !=
            m->leases.round) { /* the members have changed since the leases were read */
            m->refresh_again = true;
            break;
        }
        asq__takeover_expect(p, owner, holder);
        asq__partition_claim(p);
        break;
    case ASQ__OWNERSHIP_CANCEL: asq__partition_cancel_claim(p); break;
    case ASQ__OWNERSHIP_DRAIN:
        /* A pool to be served no longer starts nothing more, however long its calls run. */
        asq__partition_drain(p, o.foreign ? ASQ_FOREVER : w->config.drain_timeout_ms);
        break;
    case ASQ__OWNERSHIP_LOST: asq__partition_abandon(p, "its lease is gone"); break;
    case ASQ__OWNERSHIP_SUPERSEDED:
        asq__partition_abandon(p, "another worker holds its lease");
        break;
    }
}

static void note_first_overdue(struct asq__node *node, void *user)
{
    struct live *live = user;
    const struct asq__peer *p = ASQ__CONTAINER(node, struct asq__peer, node);
    int64_t due_ms = overdue_ms(live->m, p);
    if (p->indexed && due_ms > live->m->look.asked_ms && due_ms <= live->now)
        due_ms = live->now + 1; /* overdue since the look, which a new one has to confirm */
    if (due_ms > live->now && due_ms < live->overdue_ms)
        live->overdue_ms = due_ms;
}

/* Sets the timer for the next worker that may be found dead. now: time of the last decision, so
 * that no worker falls between. */
static void await_overdue(struct asq__members *m, int64_t now)
{
    struct live live = { .m = m, .now = now, .overdue_ms = INT64_MAX };
    asq__table_each(&m->peers, note_first_overdue, &live);
    if (live.overdue_ms == INT64_MAX) {
        ev_timer_stop(m->w->loop, &m->overdue);
        return;
    }
    ev_now_update(m->w->loop);
    asq__timer_restart(m->w->loop, &m->overdue, (double) (live.overdue_ms - live.now + 1) / 1000,
                       0.);
}

/* Acts on all partitions, and has those counted that cannot be placed freely. */
static void decide_placed(struct asq__members *m, const struct asq__candidates *c, int64_t now)
{
    struct asq__process *w = m->w;
    for (uint32_t i = 0; i < w->nparts; i++) {
        if (w->parts[i].lease_unknown) /* neither held nor free, as far as this process can see */
            continue;
        decide(m, &w->parts[i], c, now);
        if (asq__candidates_are_few(c, i))
            asq__recount_begin(&w->parts[i]);
    }
}

/* Finds the live workers, this process last. False: no memory. */
static bool find_candidates(struct asq__members *m, struct asq__candidates *c, int64_t now)
{
    const struct asq__process *w = m->w;
    struct live live = { .m = m, .candidates = c, .now = now };
    if (asq__candidates_init(c, m->peers.count + 1, asq__redis_pools(w->redis), w->nparts) < 0)
        return false;
    asq__table_each(&m->peers, add_live, &live);
    /* The process itself is alive and knows its capacity, even if its hash says otherwise. */
    asq__candidates_add(c, w->config.id, w->config.capacity,
                        (struct asq__kind){ w->knows, asq__process_pools(w) });
    return true;
}

static void decide_all(struct asq__members *m, int64_t now)
{
    struct asq__process *w = m->w;
    await_overdue(m, now);
    struct asq__candidates candidates;
    struct live live = { .m = m, .now = now };
    if (find_candidates(m, &candidates, now)) {
        asq__table_each(&m->peers, tell_change, &live); /* before what it had is claimed */
        asq__lacking_decide(w, asq__candidates_kinds(&candidates));
        if (asq__candidates_place(&candidates, w->parts, &m->placed) == 0)
            decide_placed(m, &candidates, now);
    }
    asq__candidates_release(&candidates);
    m->decided = true;
}

static void evaluate(struct asq__members *m)
{
    struct asq__process *w = m->w;
    int64_t now = asq__now_ms();
    asq__table_each(&m->peers, bury, m);
    asq__heartbeat_set_partitions(m->heartbeat, w->nowned);
    if (!w->stopping)
        decide_all(m, now);
    if (now >= absent_ms(m))
        asq__peers_forget_unlisted(&m->peers);
}

bool asq__members_have_decided(const struct asq__members *m)
{
    return m->decided;
}

/* ---- refreshing ---- */

static void on_refresh_answered(struct asq__members *m);

static bool has_arrived(struct asq__members *m, const redisReply *reply, bool arrived)
{
    m->refresh_failed |= !arrived;
    m->forgotten |= asq__reply_is_error(reply, "NOSCRIPT");
    return arrived;
}

static void on_leases(void *user, const redisReply *reply, bool arrived)
{
    struct asq__members *m = user;
    has_arrived(m, reply, arrived);
    on_refresh_answered(m);
}

/* Finds out which partitions should be here, before the leases tell whose they are. */
static void place(struct asq__members *m, struct asq__candidates *c)
{
    struct asq__process *w = m->w;
    if (asq__candidates_place(c, w->parts, &m->placed) < 0)
        return;
    for (uint32_t i = 0; i < w->nparts; i++)
        w->parts[i].placed_here = strcmp(asq__candidates_best(c, i), w->config.id) == 0;
}

/* Reads leases, now that the members are known. Where workers differ in their classes, the place of
 * each partition depends on what its lease says that it needs, so all are read. */
static void read_leases(struct asq__members *m)
{
    struct asq__candidates c;
    int64_t resumed = resumed_ms(m);
    bool found = find_candidates(m, &c, asq__now_ms());
    bool alike = found && asq__candidates_are_alike(&c);
    m->leases_asked = true;
    if (alike)
        place(m, &c);
    m->read_all |= resumed != m->resumed_ms; /* others may have taken any of its partitions */
    m->resumed_ms = resumed;
    m->answers = 1;
    m->refresh_failed |= !asq__lease_refresh(&m->leases, m->read_all || !alike,
                                             found ? (uint32_t) c.n : 1, &m->answers);
    asq__candidates_release(&c);
    on_refresh_answered(m);
}

/* Has all workers read when one announces heartbeats, but is not in the index, as those of an older
 * asqueue. */
static void look_for_announced(struct asq__members *m)
{
    if (*m->announced && !asq__peers_find(&m->peers, m->announced)) {
        asq__peer_refresh_all(&m->look);
        m->refresh_again = true;
    }
    *m->announced = '\0';
}

static void on_refresh_answered(struct asq__members *m)
{
    if (--m->answers)
        return;
    if (!m->refresh_failed && !m->leases_asked) {
        asq__peer_refresh_done(&m->look);
        look_for_announced(m);
        refresh_once_more(m, m->look.proved);
        m->look.proved = false;
    }
    if (!m->leases_asked && !m->refresh_failed && !m->stopped && !m->w->stopping) {
        read_leases(m);
        return;
    }
    m->refreshing = false;
    m->read_all &= m->refresh_failed || !m->leases_asked;
    if (!m->refresh_failed && !m->stopped)
        evaluate(m);
    if (m->forgotten && !m->stopped) {
        asq__redis_reload_home_scripts(m->w->redis);
        m->refresh_again = true;
    }
    m->forgotten = false;
    if (m->refresh_again && !m->stopped) {
        m->refresh_again = false;
        asq__members_refresh(m);
    }
}

static void on_peers(void *user, const redisReply *reply, bool arrived)
{
    struct asq__members *m = user;
    has_arrived(m, reply, arrived);
    on_refresh_answered(m);
}

void asq__members_refresh(struct asq__members *m)
{
    asq__redis_refresh_meta(m->w->redis);
    if (m->refreshing) {
        m->refresh_again = true;
        return;
    }
    /* Before its first heartbeat, others would take what it claims for ownerless. */
    if (m->stopped || !asq__heartbeat_has_begun(m->heartbeat) || !asq__redis_is_up(m->w->redis))
        return;
    m->answers = 0;
    if (!asq__peer_refresh(&m->look))
        return;
    asq__pause_read(m->w, false); /* whose announcement may have been missed */
    m->refreshing = true;
    m->refresh_failed = m->leases_asked = false;
}

void asq__members_heartbeat(struct asq__members *m)
{
    asq__heartbeat_now(m->heartbeat);
}

void asq__members_tell_change(struct asq__members *m)
{
    asq__heartbeat_of_change(m->heartbeat);
}

void asq__members_on_wake(struct asq__members *m)
{
    const char *other = asq__heartbeat_other(m->heartbeat);
    if (other)
        asq__process_fail(
            m->w, ASQ_EEXIST,
            "another worker with the id '%s' is alive (%s): each needs an --id of its own",
            m->w->config.id, other);
    if (!m->decided)
        asq__members_refresh(m);
}

static void on_tick(struct ev_loop *loop, ev_timer *w, int revents)
{
    (void) loop;
    (void) revents;
    asq__members_refresh(w->data);
}

void asq__members_announce(struct asq__process *w)
{
    char key[ASQ__KEY_MAX];
    asq__keys_channel(asq__redis_keys(w->redis), "workers", key);
    asq__conn_cmd(asq__redis_home(w->redis), NULL, NULL, "PUBLISH", key, w->config.id, NULL);
}

/* ---- life ---- */

int asq__members_new(struct asq__process *w, struct asq__members **ret)
{
    struct asq__members *m = calloc(1, sizeof *m);
    if (!m)
        return ASQ_ENOMEM;
    m->w = w;
    int rc = asq__peers_init(&m->peers);
    if (rc == 0)
        rc = asq__needs_init(w);
    if (rc == 0)
        rc = asq__heartbeat_new(w, &m->heartbeat);
    if (rc < 0) {
        asq__table_release(&m->peers);
        free(m);
        return rc;
    }
    m->look = (struct asq__peer_refresh){ .w = w,
                                          .peers = &m->peers,
                                          .heartbeat = m->heartbeat,
                                          .answered = on_peers,
                                          .user = m,
                                          .answers = &m->answers };
    asq__lease_refresh_init(&m->leases, w);
    m->leases.answered = on_leases;
    m->leases.user = m;
    ev_timer_init(&m->tick, on_tick, 0., (double) w->config.lease_time_ms / 3000);
    ev_timer_init(&m->overdue, on_tick, 0., 0.);
    m->tick.data = m->overdue.data = m;
    *ret = m;
    return 0;
}

void asq__members_start(struct asq__members *m)
{
    if (!m->started) {
        m->started = true;
        if (!asq__heartbeat_start(m->heartbeat))
            asq__process_fail(m->w, ASQ_ESYS, "the heartbeat's thread cannot be started");
    }
    m->read_all = true;
    asq__peer_refresh_all(&m->look); /* it may be another Redis, or one that has lost its tail */
    double tick_s = (double) m->w->config.lease_time_ms / 3000;
    asq__timer_restart(m->w->loop, &m->tick, tick_s, tick_s);
    asq__members_refresh(m);
}

void asq__members_stop(struct asq__members *m)
{
    m->stopped = true;
    ev_timer_stop(m->w->loop, &m->tick);
    ev_timer_stop(m->w->loop, &m->overdue);
}

void asq__members_end(struct asq__members *m)
{
    if (!m)
        return;
    asq__members_stop(m);
    asq__heartbeat_end(m->heartbeat);
}

void asq__members_free(struct asq__members *m)
{
    if (!m)
        return;
    asq__members_stop(m);
    asq__heartbeat_free(m->heartbeat);
    asq__peers_release(&m->peers);
    asq__placed_release(&m->placed);
    free(m);
}
