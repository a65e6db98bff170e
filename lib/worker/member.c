/*
 * member.c: this process among the workers of the namespace: its own beat, the others' beats as they are
 * watched, and from both the decision which partitions to claim and which to hand back.
 *
 * The beat is raised from a thread of its own that user code cannot block, on a connection of its own.
 * Looking is done on the loop, every third of the lease time and whenever somebody says that something
 * has changed: read the set of workers, their beats, and all leases; then decide. A worker is dead when
 * its hash is gone, or when its beat has not moved for a lease time by the monotonic clock of who
 * watches, whose own beat was acknowledged all that time. No wall clock takes part. Each beat is also told
 * on the channel of workers, so that the time when it moved is not that of the look that found it.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "redis/sync.h"
#include "value/clock.h"
#include "value/decimal.h"
#include "value/fd.h"
#include "worker/leave.h"
#include "worker/place.h"
#include "worker/process.h"
#include "worker/watch.h"

enum {
    TELL_MS = 60000,
    BLOCKED_THREAD_MS = 5000,
    HASH_LIVES_LEASES = 10,
    UNWANTED_LEASES = 2,
    BEAT_RETRY_MS = 200,
    MAX_CLASSES = 512 * 1024, /* bytes: some Redis take no strings above 1 MiB */
    BEAT_TIMEOUT_MS = 5000,
    GOOD_BYE_MS = 2000, /* for each answer; lease times have no part in this */
    MAX_LEASE_MS = 24 * 3600 * 1000,
    BURY_LEASES = 3,       /* that a worker whose hash is gone has been dead */
    BURY_LEASES_HASH = 20, /* … whose hash stays though its beat does not move */
    MOVES_OF_LIFE = 2,     /* of the beat of another process with the same id, for one that comes */
    MAX_CAPACITY = 4096,
    PROVE_MS = 100 /* between the first two beats: the second shows that the process lives */
};

struct peer {
    struct asq__node node;
    struct asq__members *members;
    char *id;
    long long beat, before;            /* … the one before that one */
    uint32_t capacity, other_capacity; /* … that its hash has had since other_beat */
    long long other_beat;
    int64_t lease_time_ms; /* its own */
    int64_t moved_ms;      /* when the beat was last seen to have moved */
    bool seen, listed, present, stopping;
    bool whole;  /* its hash once had all that a worker writes: before that it counts for nothing */
    bool proven; /* its beat has moved since: partitions are handed over to it */
    bool told_dead; /* the log has it, and not yet that it is back */
};

struct asq__members {
    struct asq__process *w;
    struct asq__table peers;
    ev_timer tick;
    ev_timer overdue; /* the first who may be found dead before the next tick */
    bool started, stopped, looking, again;
    unsigned answers; /* of the look under way */
    bool look_failed;
    bool decided; /* which partitions this process should hold, once */
    /* The beat thread. */
    pthread_t thread;
    bool thread_started;
    pthread_mutex_t lock;
    pthread_cond_t ring;
    bool quit, now; /* under lock: end; beat at once */
    int quit_fd;    /* eventfd, readable once it is to end: it may be connecting */
    atomic_bool quitting;
    struct asq__trouble unreachable; /* the thread's */
    atomic_llong acked_ms;           /* when the last acknowledged beat was sent; 0: never */
    atomic_llong resumed_ms;         /* … the first after it was not acknowledged for too long */
    atomic_uint partitions;          /* owned, for the hash */
    int64_t beat_told_ms;
    unsigned long long beats;
    bool mended;           /* what the last beat has met was mended: it is to be made again */
    bool listed;           /* a beat was sent, which may have put it into the list of workers */
    bool joined;           /* … and acknowledged */
    char others_beat[24];  /* of another process with this id, and where that is */
    unsigned others_moves; /* … how often it has moved */
    char others_client[17]; /* that stood in the hash at the last look */
    char others_place[320];
    atomic_bool ousted;    /* … and that is alive */
    char *classes;         /* JSON */
    int64_t time_asked_ms; /* when TIME was sent */
    int64_t told_ms;       /* that the others cannot be seen */
};

static const void *peer_key(const struct asq__node *node, size_t *n)
{
    const struct peer *p = ASQ__CONTAINER(node, struct peer, node);
    *n = strlen(p->id);
    return p->id;
}

/* ---- the beat ---- */

static void hash_key(const struct asq__members *m, char key[ASQ__KEY_MAX])
{
    asq__keys_worker(asq__redis_keys(m->w->redis), m->w->config.id, key);
}

/* The commands of a beat. */
enum { BEAT_HASH, BEAT_EXPIRE, BEAT_LIST, BEAT_STOP, BEAT_PARTS };

/* What a process writes as its CLIENT. */
static bool is_client(const redisReply *r)
{
    return r->type == REDIS_REPLY_STRING &&
           r->len == sizeof(((struct asq__process *) 0)->client) - 1 &&
           strspn(r->str, "0123456789abcdef") == r->len;
}

static bool is_text(const redisReply *r, const char *text)
{
    return r->type == REDIS_REPLY_STRING && strcmp(r->str, text) == 0;
}

/* Whoever left the hash has certainly ended. */
static bool has_died(const redisReply *host, const redisReply *pid)
{
    char own[256] = "";
    gethostname(own, sizeof own - 1);
    long number = pid->type == REDIS_REPLY_STRING ? strtol(pid->str, NULL, 10) : 0;
    return is_text(host, own) && number > 1 && kill((pid_t) number, 0) < 0 && errno == ESRCH;
}

enum others { NOBODY, SOMEBODY, MAYBE, NOT_TOLD };

/* Has another client come into the hash since the last beat? Only a process writes its own again after the next. */
static bool is_only_scribbled(struct asq__members *m, const redisReply *client)
{
    if (!m->joined || strcmp(client->str, m->others_client) == 0)
        return false;
    snprintf(m->others_client, sizeof m->others_client, "%s", client->str);
    return true;
}

/* Does another process go by this one's id? Both would claim from each other, again and again. Who comes and
 * finds the hash of somebody waits whether his beat moves. It waits as well for one that is about to end:
 * processes whose supervisor was killed drain, and it may have been started again meanwhile. Who has beaten
 * already finds somebody when it was stopped for so long that another has taken its place, or when Redis has
 * lost its last second, and with it that he has come instead of one who is dead. */
static enum others look_for_others(struct asq__members *m, struct asq__sync *ctx)
{
    char key[ASQ__KEY_MAX];
    enum others found = NOBODY;
    hash_key(m, key);
    redisReply *r = asq__sync_cmd(ctx, "HMGET %s client host pid beat stopping", key);
    if (!r)
        return NOT_TOLD;
    if (r->type == REDIS_REPLY_ARRAY && r->elements == 5 && is_client(r->element[0]) &&
        !is_text(r->element[0], m->w->client)) {
        if (is_only_scribbled(m, r->element[0])) {
            freeReplyObject(r);
            return NOBODY;
        }
        const redisReply *beat = r->element[3];
        bool first = !m->others_beat[0];
        bool moved = !first && !is_text(beat, m->others_beat);
        bool leaving = is_text(r->element[4], "1");
        m->others_moves = leaving ? 0 : m->others_moves + moved;
        snprintf(m->others_beat, sizeof m->others_beat, "%s",
                 beat->type == REDIS_REPLY_STRING ? beat->str : "none");
        if (m->others_moves >= (m->joined ? 1 : MOVES_OF_LIFE))
            found = SOMEBODY;
        else if ((first || moved) && !(m->joined && leaving) &&
                 !has_died(r->element[1], r->element[2]))
            found = MAYBE;
        snprintf(m->others_place, sizeof m->others_place, "host %s, process %s",
                 r->element[1]->type == REDIS_REPLY_STRING ? r->element[1]->str : "?",
                 r->element[2]->type == REDIS_REPLY_STRING ? r->element[2]->str : "?");
    } else {
        m->others_beat[0] = m->others_client[0] = '\0';
        m->others_moves = 0;
    }
    freeReplyObject(r);
    return found;
}

static void tell_beat(struct asq__members *m, struct asq__sync *ctx, long long number)
{
    char key[ASQ__KEY_MAX], payload[ASQ_MAX_ID + 32];
    asq__keys_channel(asq__redis_keys(m->w->redis), "workers", key);
    snprintf(payload, sizeof payload, "+%lld %s", number, m->w->config.id);
    freeReplyObject(asq__sync_cmd(ctx, "PUBLISH %s %s", key, payload));
}

/* While Redis is away altogether, the loop's connection tells. */
static void tell_unreachable(struct asq__members *m, const char *why)
{
    char text[ASQ__TROUBLE_TEXT];
    if (!atomic_load(&m->quitting) && asq__trouble_note(&m->unreachable, why, asq__now_ms(), text))
        asq__process_log(m->w, ASQ_LOG_WARNING, "the beat's connection: %s; trying again", text);
}

/* Somebody has written over what the beat needs. What is a hash or a set no more is begun anew here, else the
 * worker would be dead to the others for ever. Other refusals are none of that. */
static void mend(struct asq__members *m, struct asq__sync *ctx, int part, const char *why)
{
    char key[ASQ__KEY_MAX], workers[ASQ__KEY_MAX];
    bool wrong_type = strncmp(why, "WRONGTYPE", 9) == 0;
    hash_key(m, key);
    asq__keys_workers(asq__redis_keys(m->w->redis), workers);
    if (wrong_type && part == BEAT_LIST)
        freeReplyObject(asq__sync_cmd(ctx, "RENAME %s %s:aside", workers, workers));
    else if (wrong_type && part == BEAT_HASH)
        freeReplyObject(asq__sync_cmd(ctx, "RENAME %s %s:aside", key, key));
    else
        return;
    m->mended = true;
    asq__process_log_some(
        m->w, ASQ_LOG_ERROR,
        "somebody has written over %s, which is begun anew (what was there is under NAME:aside): %s",
        part == BEAT_LIST ? workers : key, why);
}

/* One beat on the thread's connection. False when it was not acknowledged. */
static bool beat(struct asq__members *m, struct asq__sync *ctx)
{
    struct asq__process *w = m->w;
    char key[ASQ__KEY_MAX], workers[ASQ__KEY_MAX], host[256] = "", number[13][24];
    hash_key(m, key);
    asq__keys_workers(asq__redis_keys(w->redis), workers);
    gethostname(host, sizeof host - 1);
    snprintf(number[0], 24, "%ld", (long) getpid());
    snprintf(number[1], 24, "%u", w->config.capacity);
    snprintf(number[2], 24, "%u", atomic_load(&m->partitions));
    snprintf(number[3], 24, "%llu", atomic_load(&w->calls));
    snprintf(number[4], 24, "%llu", atomic_load(&w->failures));
    snprintf(number[5], 24, "%llu", atomic_load(&w->actors_in_memory));
    snprintf(number[6], 24, "%lld", (long long) w->config.lease_time_ms);
    snprintf(number[7], 24, "%llu", atomic_load(&w->dead));
    struct asq__pool_stats pool = asq__pool_stats(w->pool);
    snprintf(number[8], 24, "%zu", pool.parked);
    snprintf(number[9], 24, "%zu", pool.high_water);
    snprintf(number[10], 24, "%zu", pool.unguarded);
    snprintf(number[11], 24, "%llu", atomic_load(&w->actor_bytes));
    snprintf(number[12], 24, "%llu", ++m->beats); /* what stands there counts for nothing */
    m->mended = false;
    int64_t sent = asq__now_ms();
    char stuck[ASQ__STUCK_MAX];
    pthread_mutex_lock(&w->handover_lock);
    memcpy(stuck, w->stuck, sizeof stuck);
    pthread_mutex_unlock(&w->handover_lock);
    if (!m->listed && w->config.link) {
        memcpy(w->config.link->client, w->client, sizeof w->client);
        atomic_store(&w->config.link->listed, 1);
    }
    m->listed = true;
    asq__sync_append(
        ctx,
        "HSET %s id %s host %s pid %s version %s client %s capacity %s partitions %s calls %s "
        "failures %s dead_letters %s agents %s agent_bytes %s lease_time_ms %s stopping %s classes %s "
        "stuck %s parked %s stack_used %s stacks_unguarded %s beat %s",
        key, w->config.id, host, number[0], ASQ_VERSION, w->client, number[1], number[2], number[3],
        number[4], number[7], number[5], number[11], number[6], atomic_load(w->stop) ? "1" : "0",
        m->classes, stuck, number[8], number[9], number[10], number[12]);
    asq__sync_append(ctx, "PEXPIRE %s %lld", key,
                     (long long) (w->config.lease_time_ms * HASH_LIVES_LEASES));
    asq__sync_append(ctx, "SADD %s %s", workers, w->config.id);
    asq__sync_append(ctx, "HGET %s stop", key);
    bool ok = true, stop = false;
    redisReply *refused[BEAT_PARTS] = { NULL };
    for (int i = 0; i < BEAT_PARTS; i++) {
        redisReply *r = asq__sync_reply(ctx);
        if (!r) {
            tell_unreachable(m, asq__sync_why(ctx));
            while (i--)
                freeReplyObject(refused[i]);
            return false;
        }
        if (r->type == REDIS_REPLY_ERROR && sent - m->beat_told_ms >= TELL_MS) {
            asq__process_log(
                w, ASQ_LOG_ERROR,
                "Redis does not take this worker's beat, without which it starts no calls: %s",
                r->str);
            m->beat_told_ms = sent;
        }
        if (i == BEAT_HASH)
            ok = r->type == REDIS_REPLY_INTEGER;
        if (i == BEAT_STOP && r->type == REDIS_REPLY_STRING)
            stop = strcmp(r->str, "1") == 0;
        if (r->type == REDIS_REPLY_ERROR)
            refused[i] = r;
        else
            freeReplyObject(r);
    }
    for (int i = 0; i < BEAT_PARTS; i++) {
        if (refused[i])
            mend(m, ctx, i, refused[i]->str);
        freeReplyObject(refused[i]);
    }
    if (ok && !asq__members_beating(m))
        atomic_store(&m->resumed_ms, asq__now_ms());
    if (ok && atomic_exchange(&m->acked_ms, sent) == 0)
        ev_async_send(w->loop, &w->wake); /* others can see it now: it may claim */
    if (ok)
        tell_beat(m, ctx, (long long) m->beats);
    if (stop) {
        int none = 0;
        atomic_compare_exchange_strong(w->stop, &none, 1);
        ev_async_send(w->loop, &w->wake);
    }
    return ok;
}

static void on_blocked(void *user, const char *class_name, const char *method, int64_t ms)
{
    asq__process_log(
        user, ASQ_LOG_WARNING,
        "%s.%s has kept its thread busy for %lld ms without waiting through the library",
        class_name, method, (long long) ms);
}

/* Sleeps, or returns early when told to quit. True: quit. */
static bool beat_sleep(struct asq__members *m, int64_t ms)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += ms / 1000;
    until.tv_nsec += ms % 1000 * 1000000;
    if (until.tv_nsec >= 1000000000) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000;
    }
    pthread_mutex_lock(&m->lock);
    while (!m->quit && !m->now && pthread_cond_timedwait(&m->ring, &m->lock, &until) != ETIMEDOUT)
        ;
    bool quit = m->quit;
    m->now = false;
    pthread_mutex_unlock(&m->lock);
    return quit;
}

/* An orderly end: nobody has to wait for the beat to stop. A beat whose waiting was cancelled is awaited first, else
 * it could list the process again. The connection may have been lost since the last beat, so a fresh one is tried
 * as well. What fails here is done by the supervisor. */
static void say_good_bye(struct asq__members *m, struct asq__sync *ctx)
{
    struct asq__process *w = m->w;
    char err[400];
    bool gone = false;
    if (!ctx && m->unreachable.since_ms)
        return; /* Redis was away before, and would be waited for */
    for (int tries = 2; tries && !gone; tries--) {
        if (!ctx && asq__sync_open(w->config.url, "asqueue-beat", GOOD_BYE_MS, -1, &ctx, err,
                                   sizeof err) < 0)
            break;
        gone = asq__sync_keep(ctx, GOOD_BYE_MS) == 0 &&
               asq__leave(ctx, asq__redis_keys(w->redis), w->config.id, w->client, err, sizeof err);
        asq__sync_free(ctx);
        ctx = NULL;
    }
    if (gone && w->config.link)
        atomic_store(&w->config.link->listed, 0);
}

static void *beat_thread(void *arg)
{
    struct asq__members *m = arg;
    struct asq__process *w = m->w;
    struct asq__sync *ctx = NULL;
    int64_t third_ms = w->config.lease_time_ms / 3;
    int64_t timeout_ms = third_ms < BEAT_TIMEOUT_MS ? third_ms : BEAT_TIMEOUT_MS;
    struct asq__watch watch = { 0 };
    bool quit = false;
    while (!quit) {
        char err[400];
        if (!asq__watch_look(&watch, w, asq__now_ms()))
            asq__watch_end();
        if (!ctx && asq__sync_open(w->config.url, "asqueue-beat", timeout_ms, m->quit_fd, &ctx, err,
                                   sizeof err) < 0) {
            ctx = NULL;
            tell_unreachable(m, err);
        }
        enum others others = ctx ? look_for_others(m, ctx) : NOT_TOLD;
        if (others == SOMEBODY) {
            atomic_store(&m->ousted, true);
            ev_async_send(w->loop, &w->wake);
            asq__sync_free(ctx);
            return NULL;
        }
        bool ok = others == NOBODY && beat(m, ctx);
        if (others == NOBODY && m->mended)
            ok = beat(m, ctx); /* at once: the others would take it for dead */
        bool first = ok && !m->joined;
        char text[ASQ__TROUBLE_TEXT];
        if (ok && asq__trouble_over(&m->unreachable, asq__now_ms(), text))
            asq__process_log(w, ASQ_LOG_INFO, "Redis takes the beat again%s", text);
        m->joined |= ok;
        if (ctx && asq__sync_is_cancelled(ctx))
            break; /* told to quit: its replies are awaited by the good-bye */
        if (others == MAYBE) {
            quit = beat_sleep(m, w->config.lease_time_ms / 2);
            continue;
        }
        if (!ok && ctx) {
            asq__sync_free(ctx);
            ctx = NULL;
        }
        asq__pool_scan(w->pool, asq__now_ms(), BLOCKED_THREAD_MS, on_blocked, w);
        quit = beat_sleep(m, !ok                            ? BEAT_RETRY_MS
                             : first && third_ms > PROVE_MS ? PROVE_MS
                                                            : third_ms);
    }
    if (m->listed)
        say_good_bye(m, ctx);
    else
        asq__sync_free(ctx);
    return NULL;
}

bool asq__members_beating(const struct asq__members *m)
{
    int64_t acked = atomic_load(&m->acked_ms);
    return acked == 0 || asq__now_ms_coarse() - acked < m->w->config.lease_time_ms * 2 / 3;
}

/* ---- deciding ---- */

/* When it will be found dead, if its beat does not move any more. */
static int64_t overdue_ms(const struct asq__members *m, const struct peer *p)
{
    /* While Redis takes no beat of its own, it takes none of theirs. */
    int64_t resumed_ms = atomic_load(&m->resumed_ms);
    int64_t moved_ms = p->moved_ms > resumed_ms ? p->moved_ms : resumed_ms;
    return moved_ms + m->w->config.lease_time_ms;
}

static bool is_alive(const struct asq__members *m, const struct peer *p, int64_t now)
{
    return p->listed && p->present && p->whole &&
           (!asq__members_beating(m) || now < overdue_ms(m, p));
}

static struct peer *find_peer(const struct asq__members *m, const char *id)
{
    struct asq__node *node = asq__table_find(&m->peers, id, strlen(id));
    return node ? ASQ__CONTAINER(node, struct peer, node) : NULL;
}

/* What was read before the last one was told may be heard after it. */
static void see_beat(struct peer *p, long long number)
{
    if (p->seen && (number == p->beat || number == p->before))
        return;
    if (p->seen && p->whole && !p->proven) {
        p->proven = true;
        p->members->again |=
            p->members->looking; /* what was decided before is looked at once more */
    }
    p->before = p->seen ? p->beat : number;
    p->beat = number;
    p->seen = true;
    p->moved_ms = asq__now_ms();
}

bool asq__members_heard(struct asq__members *m, const char *payload, size_t n)
{
    char text[ASQ_MAX_ID + 32], *id;
    if (n == 0 || payload[0] != '+' || n >= sizeof text)
        return false;
    memcpy(text, payload, n);
    text[n] = '\0';
    long long number = strtoll(text + 1, &id, 10);
    if (*id != ' ')
        return false;
    struct peer *p = find_peer(m, id + 1);
    bool news = !p || (p->whole && !p->proven);
    if (p)
        see_beat(p, number);
    if (news)
        asq__members_look(m);
    return true;
}

static bool is_self(const struct asq__members *m, const struct peer *p)
{
    return strcmp(p->id, m->w->config.id) == 0;
}

struct live {
    const struct asq__members *m;
    struct asq__place_worker *workers;
    size_t n;
    int64_t now, overdue_ms;
};

static void add_live(struct asq__node *node, void *user)
{
    struct live *live = user;
    struct peer *p = ASQ__CONTAINER(node, struct peer, node);
    if (p->stopping || !is_alive(live->m, p, live->now) || is_self(live->m, p))
        return;
    live->workers[live->n].id = p->id;
    live->workers[live->n++].weight = p->capacity;
}

/* Dead workers are taken out of the set, where their ids would stay for ever. */
static void bury(struct asq__node *node, void *user)
{
    struct asq__members *m = user;
    struct peer *p = ASQ__CONTAINER(node, struct peer, node);
    struct asq__redis *redis = m->w->redis;
    int64_t now = asq__now_ms(), lease_ms = m->w->config.lease_time_ms;
    char workers[ASQ__KEY_MAX], key[ASQ__KEY_MAX], beat[24] = "";
    if (p->lease_time_ms > lease_ms)
        lease_ms = p->lease_time_ms;
    if (!p->listed || !asq__members_beating(m) || is_self(m, p) ||
        now < overdue_ms(m, p) + (p->present ? BURY_LEASES_HASH : BURY_LEASES) * lease_ms)
        return;
    if (p->present)
        snprintf(beat, sizeof beat, "%lld", p->beat);
    asq__keys_workers(asq__redis_keys(redis), workers);
    asq__keys_worker(asq__redis_keys(redis), p->id, key);
    asq__process_log_some(m->w, ASQ_LOG_INFO, "worker %s is dead; it leaves the list of workers",
                          p->id);
    asq__conn_cmd(asq__redis_conn(redis, 0), NULL, NULL, "EVAL", asq__script_bury, "2", workers,
                  key, p->id, beat, NULL);
    p->moved_ms = now; /* should it still be listed: not at once again */
}

/* Tells the operator of a host or process that is gone, because its partitions move and nothing else says why.
 * A worker that stops in order, or whose supervisor has announced its end, leaves no hash behind. */
static void tell_change(struct asq__node *node, void *user)
{
    struct live *live = user;
    struct peer *p = ASQ__CONTAINER(node, struct peer, node);
    struct asq__process *w = live->m->w;
    bool alive = is_alive(live->m, p, live->now);
    if (!p->listed || !p->present || !p->proven || is_self(live->m, p) || p->told_dead == !alive)
        return;
    p->told_dead = !alive;
    if (alive)
        asq__process_log_some(w, ASQ_LOG_INFO, "worker %s is heard of again", p->id);
    else
        asq__process_log_some(
            w, ASQ_LOG_WARNING,
            "worker %s has not been heard of for %lld ms and is taken for dead: the others take over",
            p->id, (long long) (live->now - p->moved_ms));
}

static void forget_unlisted(struct asq__node *node, void *user)
{
    struct asq__members *m = user;
    struct peer *p = ASQ__CONTAINER(node, struct peer, node);
    if (p->listed)
        return;
    asq__table_del(&m->peers, node);
    free(p->id);
    free(p);
}

/* Nobody hands over to who has not shown that he lives: what a strange member says must not leave partitions
 * without an owner until it is found dead. */
static bool takes_over(const struct asq__members *m, const char *id)
{
    const struct peer *p = find_peer(m, id);
    return p && p->proven;
}

/* What should be done about one partition, given who should own it. */
static void decide(struct asq__members *m, struct asq__partition *p, const char *best, int64_t now)
{
    struct asq__process *w = m->w;
    const char *owner = p->seen_owner, *token = p->seen_token;
    bool mine = strcmp(best, w->config.id) == 0;
    if (asq__partition_is_owned(p)) {
        if (!token || strcmp(token, p->token) != 0)
            asq__partition_fence(p, token ? "another worker holds its lease" : "its lease is gone");
        else if (!mine && p->state == ASQ__PART_ACTIVE && takes_over(m, best))
            asq__partition_drain(p, w->config.drain_timeout_ms);
        return;
    }
    if (p->state != ASQ__PART_IDLE)
        return;
    struct peer *holder = owner && *owner ? find_peer(m, owner) : NULL;
    bool own = owner && strcmp(owner, w->config.id) == 0;
    bool free_now = !token || !*token || own || !holder || !is_alive(m, holder, now);
    if (!free_now) {
        p->unowned_since_ms = 0;
        asq__partition_claim_not(p);
        return;
    }
    if (!p->unowned_since_ms)
        p->unowned_since_ms = now;
    /* What nobody has taken for long is taken by anybody: views of membership may differ. */
    bool unwanted = now - p->unowned_since_ms > UNWANTED_LEASES * w->config.lease_time_ms;
    if (mine || unwanted)
        asq__partition_claim(p);
    else
        asq__partition_claim_not(p);
}

static void note_first_overdue(struct asq__node *node, void *user)
{
    struct live *live = user;
    const struct peer *p = ASQ__CONTAINER(node, struct peer, node);
    int64_t due_ms = overdue_ms(live->m, p);
    if (due_ms > live->now && due_ms < live->overdue_ms)
        live->overdue_ms = due_ms;
}

/* now: as of the last decision, so that nobody falls between. */
static void await_overdue(struct asq__members *m, int64_t now)
{
    struct live live = { .m = m, .now = now, .overdue_ms = INT64_MAX };
    asq__table_each(&m->peers, note_first_overdue, &live);
    ev_timer_stop(m->w->loop, &m->overdue);
    if (live.overdue_ms == INT64_MAX)
        return;
    ev_now_update(m->w->loop);
    ev_timer_set(&m->overdue, (double) (live.overdue_ms - live.now + 1) / 1000, 0.);
    ev_timer_start(m->w->loop, &m->overdue);
}

static void evaluate(struct asq__members *m)
{
    struct asq__process *w = m->w;
    int64_t now = asq__now_ms();
    asq__table_each(&m->peers, bury, m);
    asq__table_each(&m->peers, forget_unlisted, m);
    atomic_store(&m->partitions, (unsigned) asq__partitions_owned(w));
    if (w->stopping)
        return;
    await_overdue(m, now);
    struct live live = { .m = m,
                         .workers = calloc(m->peers.count + 1, sizeof *live.workers),
                         .now = now };
    uint32_t *owners = calloc(w->nparts, sizeof *owners);
    if (live.workers && owners) {
        asq__table_each(&m->peers, tell_change, &live);
        asq__table_each(&m->peers, add_live, &live);
        /* Whatever its hash says: it is alive, and knows its own capacity. */
        live.workers[live.n].id = w->config.id;
        live.workers[live.n++].weight = w->config.capacity;
        if (asq__place(live.workers, live.n, w->nparts, owners) == 0)
            for (uint32_t i = 0; i < w->nparts; i++)
                decide(m, &w->parts[i], live.workers[owners[i]].id, now);
    }
    free(live.workers);
    free(owners);
    m->decided = true;
}

bool asq__members_have_decided(const struct asq__members *m)
{
    return m->decided;
}

/* ---- looking ---- */

static void look_answered(struct asq__members *m)
{
    if (--m->answers)
        return;
    m->looking = false;
    if (!m->look_failed && !m->stopped)
        evaluate(m);
    if (m->again && !m->stopped) {
        m->again = false;
        asq__members_look(m);
    }
}

/* 0: it says none that can be. */
static int64_t lease_time_of(const redisReply *text)
{
    int64_t ms = text->type == REDIS_REPLY_STRING ? strtoll(text->str, NULL, 10) : 0;
    return ms > 0 && ms <= MAX_LEASE_MS ? ms : 0;
}

/* False: none, or more than `max`. */
static bool read_number(const redisReply *text, uint64_t max, uint64_t *ret)
{
    const char *at = text->type == REDIS_REPLY_STRING ? text->str : "";
    uint64_t number;
    if (!asq__decimal_read(&at, &number) || *at || number > max)
        return false;
    *ret = number;
    return true;
}

/* A process has one capacity from beginning to end, and writes it with each beat. So what stands there for less
 * than that is somebody else's; else all partitions would move, and move back. */
static void see_capacity(struct peer *p, uint32_t capacity)
{
    if (!p->whole) {
        p->capacity = capacity;
    } else if (capacity == p->capacity) {
        p->other_capacity = 0;
    } else if (capacity != p->other_capacity) {
        p->other_capacity = capacity;
        p->other_beat = p->beat;
    } else if (p->beat != p->other_beat) {
        p->capacity = capacity;
        p->other_capacity = 0;
    }
}

enum {
    PEER_BEAT,
    PEER_CAPACITY,
    PEER_STOPPING,
    PEER_LEASE_TIME,
    PEER_ID,
    PEER_CLIENT,
    PEER_FIELDS
};

static void see_peer(struct peer *p, redisReply *const *field)
{
    uint64_t beat = 0, capacity = 0;
    bool has_beat = read_number(field[PEER_BEAT], INT64_MAX, &beat);
    bool has_capacity = read_number(field[PEER_CAPACITY], MAX_CAPACITY, &capacity) && capacity;
    p->present = field[PEER_BEAT]->type == REDIS_REPLY_STRING;
    p->stopping = is_text(field[PEER_STOPPING], "1");
    p->lease_time_ms = lease_time_of(field[PEER_LEASE_TIME]);
    if (has_beat)
        see_beat(p, (long long) beat);
    if (has_capacity)
        see_capacity(p, (uint32_t) capacity);
    p->whole |= has_beat && has_capacity && p->lease_time_ms && is_text(field[PEER_ID], p->id) &&
                is_client(field[PEER_CLIENT]);
}

static void on_peer(struct asq__conn *c, const redisReply *reply, void *user)
{
    struct peer *p = user;
    struct asq__members *m = p->members;
    (void) c;
    if (asq__reply_is_error(reply, "WRONGTYPE"))
        p->present = false; /* no worker's hash: it hides the others from nobody */
    else if (!reply || reply->type != REDIS_REPLY_ARRAY || reply->elements != PEER_FIELDS)
        m->look_failed = true;
    else
        see_peer(p, reply->element);
    look_answered(m);
}

static void replace(char **to, const redisReply *from)
{
    free(*to);
    *to = from->type == REDIS_REPLY_STRING ? strdup(from->str) : NULL;
}

static void on_lease(struct asq__conn *c, const redisReply *reply, void *user)
{
    struct asq__partition *p = user;
    struct asq__members *m = p->w->members;
    (void) c;
    if (!reply || reply->type != REDIS_REPLY_ARRAY || reply->elements != 3) {
        m->look_failed |= !asq__reply_is_error(reply, "WRONGTYPE");
        if (asq__reply_is_error(reply,
                                "WRONGTYPE")) { /* no lease: nobody holds it; see claim.lua */
            free(p->seen_owner);
            free(p->seen_token);
            p->seen_owner = p->seen_token = NULL;
        }
    } else {
        replace(&p->seen_owner, reply->element[0]);
        replace(&p->seen_token, reply->element[1]);
        const redisReply *epoch = reply->element[2];
        const char *text = epoch->type == REDIS_REPLY_STRING ? epoch->str : "";
        uint64_t number = 0;
        if (asq__decimal_read(&text, &number) && !*text)
            asq__partition_note_epoch(p, number);
        if (asq__partition_is_owned(p) && is_text(reply->element[1], p->token) &&
            (number != p->epoch || *text || !is_text(reply->element[0], p->w->config.id)))
            asq__partition_tell_owner(p);
    }
    look_answered(m);
}

static void on_time(struct asq__conn *c, const redisReply *reply, void *user)
{
    struct asq__members *m = user;
    (void) c;
    asq__redis_take_time(m->w->redis, reply, m->time_asked_ms);
    look_answered(m);
}

static void unlist(struct asq__node *node, void *user)
{
    (void) user;
    ASQ__CONTAINER(node, struct peer, node)->listed = false;
}

static struct peer *list_peer(struct asq__members *m, const char *id)
{
    struct peer *p = find_peer(m, id);
    if (!p) {
        p = calloc(1, sizeof *p);
        if (!p || !(p->id = strdup(id))) {
            free(p);
            return NULL;
        }
        p->members = m;
        p->moved_ms = asq__now_ms();
        asq__table_add(&m->peers, &p->node);
    }
    p->listed = true;
    return p;
}

/* What no worker can be called. */
static bool may_be_worker(const redisReply *id)
{
    char why[200];
    return id->len > 0 && id->len < ASQ_MAX_ID + 16 && strlen(id->str) == id->len &&
           (id->len > ASQ_MAX_ID || asq__check_id(id->str, why, sizeof why) == 0);
}

static void drop_member(struct asq__members *m, const redisReply *id)
{
    char key[ASQ__KEY_MAX];
    asq__keys_workers(asq__redis_keys(m->w->redis), key);
    const char *argv[] = { "SREM", key, id->str };
    size_t lens[] = { 4, strlen(key), id->len };
    asq__conn_argv(asq__redis_conn(m->w->redis, 0), NULL, NULL, 3, argv, lens);
}

static void on_members(struct asq__conn *c, const redisReply *reply, void *user)
{
    struct asq__members *m = user;
    struct asq__process *w = m->w;
    char key[ASQ__KEY_MAX];
    if (!reply || reply->type != REDIS_REPLY_ARRAY) {
        if (reply && asq__now_ms() - m->told_ms >= TELL_MS) {
            asq__keys_workers(asq__redis_keys(w->redis), key);
            asq__process_log(
                w, ASQ_LOG_ERROR,
                "the workers cannot be listed, and no partitions claimed or handed over: %s: %s",
                key, asq__reply_text(reply));
            m->told_ms = asq__now_ms();
        }
        m->look_failed = true;
        look_answered(m);
        return;
    }
    asq__table_each(&m->peers, unlist, NULL);
    for (size_t i = 0; i < reply->elements; i++) {
        if (reply->element[i]->type != REDIS_REPLY_STRING)
            continue;
        if (!may_be_worker(reply->element[i])) {
            drop_member(m, reply->element[i]);
            continue;
        }
        struct peer *p = list_peer(m, reply->element[i]->str);
        asq__keys_worker(asq__redis_keys(w->redis), reply->element[i]->str, key);
        if (p && asq__conn_cmd(c, on_peer, p, "HMGET", key, "beat", "capacity", "stopping",
                               "lease_time_ms", "id", "client", NULL) == 0)
            m->answers++;
    }
    for (uint32_t i = 0; i < w->nparts; i++) {
        asq__keys_lease(asq__redis_keys(w->redis), i, key);
        if (asq__conn_cmd(asq__redis_conn(w->redis, i), on_lease, &w->parts[i], "HMGET", key,
                          "owner", "token", "epoch", NULL) == 0)
            m->answers++;
        else
            m->look_failed = true;
    }
    m->time_asked_ms = asq__now_ms();
    if (asq__conn_cmd(c, on_time, m, "TIME", NULL) == 0)
        m->answers++;
    look_answered(m);
}

void asq__members_look(struct asq__members *m)
{
    char key[ASQ__KEY_MAX];
    asq__redis_look_at_meta(m->w->redis);
    if (m->looking) {
        m->again = true;
        return;
    }
    /* Before its first beat, others would take what it claims for ownerless. */
    if (m->stopped || !atomic_load(&m->acked_ms) || !asq__redis_is_up(m->w->redis))
        return;
    asq__keys_workers(asq__redis_keys(m->w->redis), key);
    if (asq__conn_cmd(asq__redis_conn(m->w->redis, 0), on_members, m, "SMEMBERS", key, NULL) < 0)
        return;
    m->looking = true;
    m->look_failed = false;
    m->answers = 1;
}

void asq__members_beat(struct asq__members *m)
{
    pthread_mutex_lock(&m->lock);
    m->now = true;
    pthread_cond_signal(&m->ring);
    pthread_mutex_unlock(&m->lock);
}

void asq__members_woken(struct asq__members *m)
{
    if (atomic_load(&m->ousted))
        asq__process_fail(
            m->w, ASQ_EEXIST,
            "another worker with the id '%s' is alive (%s): each needs an --id of its own",
            m->w->config.id, m->others_place);
    if (!m->decided)
        asq__members_look(m);
}

static void on_tick(struct ev_loop *loop, ev_timer *w, int revents)
{
    (void) loop;
    (void) revents;
    asq__members_look(w->data);
}

void asq__members_tell(struct asq__process *w)
{
    char key[ASQ__KEY_MAX];
    asq__keys_channel(asq__redis_keys(w->redis), "workers", key);
    asq__conn_cmd(asq__redis_conn(w->redis, 0), NULL, NULL, "PUBLISH", key, w->config.id, NULL);
}

/* ---- life ---- */

int asq__members_new(struct asq__process *w, struct asq__members **ret)
{
    struct asq__members *m = calloc(1, sizeof *m);
    if (!m)
        return ASQ_ENOMEM;
    m->w = w;
    int rc = asq__table_init(&m->peers, peer_key);
    asq_value *classes = rc == 0 ? asq__registry_describe(w->config.registry) : NULL;
    if (rc == 0)
        rc = classes ? asq_to_json(classes, 0, &m->classes) : ASQ_ENOMEM;
    if (rc == 0 && strlen(m->classes) > MAX_CLASSES) {
        /* A beat that Redis does not take is none. */
        asq__process_log(
            w, ASQ_LOG_WARNING,
            "what this worker says of its classes has %zu bytes; as-ctl classes does not "
            "show them",
            strlen(m->classes));
        strcpy(m->classes, "{}");
    }
    asq_value_free(classes);
    m->quit_fd = rc == 0 ? asq__fd_keep(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) : -1;
    if (rc == 0 && m->quit_fd < 0)
        rc = ASQ_ESYS;
    if (rc < 0) {
        free(m->classes);
        asq__table_release(&m->peers);
        free(m);
        return rc;
    }
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_mutex_init(&m->lock, NULL);
    pthread_cond_init(&m->ring, &attr);
    pthread_condattr_destroy(&attr);
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
        m->thread_started = pthread_create(&m->thread, NULL, beat_thread, m) == 0;
        if (!m->thread_started)
            asq__process_fail(m->w, ASQ_ESYS, "the beat's thread cannot be started");
    }
    ev_timer_stop(m->w->loop, &m->tick);
    ev_timer_set(&m->tick, (double) m->w->config.lease_time_ms / 3000,
                 (double) m->w->config.lease_time_ms / 3000);
    ev_timer_start(m->w->loop, &m->tick);
    asq__members_look(m);
}

void asq__members_stop(struct asq__members *m)
{
    m->stopped = true;
    ev_timer_stop(m->w->loop, &m->tick);
    ev_timer_stop(m->w->loop, &m->overdue);
}

static void free_peer(struct asq__node *node, void *user)
{
    struct asq__members *m = user;
    struct peer *p = ASQ__CONTAINER(node, struct peer, node);
    asq__table_del(&m->peers, node);
    free(p->id);
    free(p);
}

void asq__members_end(struct asq__members *m)
{
    if (!m)
        return;
    asq__members_stop(m);
    if (!m->thread_started)
        return;
    const uint64_t one = 1;
    atomic_store(&m->quitting, true);
    if (write(m->quit_fd, &one, sizeof one) < 0)
        asq__process_log(m->w, ASQ_LOG_WARNING, "eventfd: %s", strerror(errno));
    pthread_mutex_lock(&m->lock);
    m->quit = true;
    pthread_cond_signal(&m->ring);
    pthread_mutex_unlock(&m->lock);
    pthread_join(m->thread, NULL);
    m->thread_started = false;
}

void asq__members_free(struct asq__members *m)
{
    if (!m)
        return;
    asq__members_end(m);
    asq__table_each(&m->peers, free_peer, m);
    asq__table_release(&m->peers);
    pthread_mutex_destroy(&m->lock);
    pthread_cond_destroy(&m->ring);
    close(m->quit_fd);
    free(m->classes);
    free(m);
}
