/*
 * lease_refresh.c: see lease_refresh.h.
 *
 * Calls need no lease that was read: commits are fenced, and a claim is granted for the token that
 * the lease has now. So a lease that was overwritten or deleted under an owner without calls may be
 * found late, when its turn comes. So is a stream at its end, see stream_end.c.
 */
#include "worker/lease_refresh.h"

#include <stdlib.h>
#include <string.h>

#include "redis/cmd.h"
#include "redis/conn.h"
#include "redis/fields.h"
#include "redis/keys.h"
#include "redis/redis.h"
#include "redis/refusal.h"
#include "redis/reply.h"
#include "redis/script.h"
#include "value/decimal.h"
#include "worker/lease.h"
#include "worker/needs.h"
#include "worker/partition.h"
#include "worker/process.h"
#include "worker/stream_end.h"

enum {
    AT_ONCE = 64,    /* leases that one script reads; many keep Redis from others for long */
    IN_TURN = 64,    /* leases in a look: of the others at most, own ones at least */
    IN_CLUSTER = 16, /* likewise in a Cluster, where each is a command of its own */
    OWN_LOOKS = 16   /* looks in which each own lease is read, however many there are */
};

enum { OWNER, TOKEN, EPOCH, NEEDS, FIELDS };
static const char *const fields[FIELDS] = {
    [OWNER] = "owner", [TOKEN] = "token", [EPOCH] = "epoch", [NEEDS] = "needs"
};

/* Partitions that one command reads. */
struct query {
    struct asq__lease_refresh *look;
    struct asq__partition *parts[AT_ONCE];
    struct {
        struct asq__partition *part;
        uint64_t ownership;
    } streams[AT_ONCE];
    size_t n, n_streams;
};

static void replace(char **to, const redisReply *from)
{
    free(*to);
    *to = from && from->type == REDIS_REPLY_STRING ? strdup(from->str) : NULL;
}

/* Takes what stands in a partition's lease. NULL: no hash, so no worker holds it; see claim.lua. */
static void see_lease(struct asq__partition *p, const redisReply *lease)
{
    const redisReply *owner = lease ? lease->element[OWNER] : NULL,
                     *token = lease ? lease->element[TOKEN] : NULL,
                     *epoch = lease ? lease->element[EPOCH] : NULL;
    replace(&p->seen_owner, owner);
    replace(&p->seen_token, token);
    if (p->state == ASQ__PART_IDLE)
        asq__needs_take(p, lease ? lease->element[NEEDS] : NULL);
    if (!lease)
        return;
    const char *text = epoch->type == REDIS_REPLY_STRING ? epoch->str : "";
    uint64_t number = 0;
    if (asq__decimal_read(&text, &number) && !*text)
        asq__partition_note_epoch(p, number);
    if (asq__partition_is_owned(p) && asq__reply_is(token, p->token) &&
        (number != p->epoch || *text || !asq__reply_is(owner, p->w->config.id)))
        asq__partition_restore_owner(p);
}

static void on_leases(struct asq__conn *c, const redisReply *reply, void *user)
{
    struct query *q = user;
    struct asq__lease_refresh *l = q->look;
    bool arrived = asq__fields_arrived(reply, q->n + q->n_streams);
    bool lost = !reply && asq__redis_is_spread(l->w->redis); /* one server of several */
    (void) c;
    for (size_t i = 0; i < q->n; i++)
        q->parts[i]->lease_unknown = lost;
    for (size_t i = 0; arrived && i < q->n; i++)
        see_lease(q->parts[i], asq__fields_of(reply, i, FIELDS));
    for (size_t i = 0; arrived && i < q->n_streams; i++)
        if (q->streams[i].part->ownership == q->streams[i].ownership)
            asq__stream_see_last_id(q->streams[i].part, reply->element[q->n + i]);
    free(q);
    l->answered(l->user, reply, arrived || lost);
}

static int send(struct query *q)
{
    struct asq__redis *redis = q->look->w->redis;
    uint32_t first = q->parts[0]->number;
    char key[ASQ__KEY_MAX];
    struct asq__cmd cmd;
    asq__cmd_init(&cmd);
    asq__script_begin(&cmd, asq__redis_scripts(redis, first), ASQ__SCRIPT_LEASES,
                      q->n + q->n_streams);
    for (size_t i = 0; i < q->n; i++)
        asq__cmd_put(&cmd, key, asq__keys_lease(asq__redis_keys(redis), q->parts[i]->number, key));
    for (size_t i = 0; i < q->n_streams; i++)
        asq__cmd_put(&cmd, key,
                     asq__keys_jobs(asq__redis_keys(redis), q->streams[i].part->number, key));
    asq__cmd_number(&cmd, q->n);
    asq__fields_end(&cmd, FIELDS, fields);
    int rc = asq__conn_send(asq__redis_conn(redis, first), on_leases, q, &cmd);
    asq__cmd_release(&cmd);
    return rc;
}

/* Commands of a look that is being made up. */
struct asking {
    struct asq__lease_refresh *look;
    struct query *query; /* not sent yet; or NULL */
    size_t at_once;
    unsigned asked;
    bool failed;
};

static void flush(struct asking *a)
{
    if (!a->query)
        return;
    if (send(a->query) == 0) {
        a->asked++;
    } else {
        a->failed = true;
        free(a->query);
    }
    a->query = NULL;
}

/* Returns whether its server is lost, while others can be asked. */
static bool is_out_of_reach(const struct asq__partition *p)
{
    const struct asq__redis *redis = p->w->redis;
    return asq__redis_is_spread(redis) && !asq__redis_serves(redis, p->number);
}

static void add(struct asking *a, struct asq__partition *p)
{
    struct query *q = a->query;
    if (p->refreshed == a->look->round)
        return;
    if (is_out_of_reach(p)) {
        p->lease_unknown = true;
        return;
    }
    if (!q && !(q = a->query = calloc(1, sizeof *q))) {
        a->failed = true;
        return;
    }
    q->look = a->look;
    p->refreshed = a->look->round;
    q->parts[q->n++] = p;
    if (asq__stream_may_be_at_end(p)) {
        q->streams[q->n_streams].part = p;
        q->streams[q->n_streams++].ownership = p->ownership;
    }
    if (q->n == a->at_once)
        flush(a);
}

/* Adds the next n of the owned partitions, or of the others. */
static void add_in_turn(struct asking *a, bool owned, uint32_t n, uint32_t *next)
{
    const struct asq__process *w = a->look->w;
    uint32_t i = 0;
    for (; i < w->nparts && n; i++) {
        struct asq__partition *p = &w->parts[(*next + i) % w->nparts];
        if (asq__partition_is_owned(p) != owned)
            continue;
        add(a, p);
        n--;
    }
    *next = (*next + i) % w->nparts;
}

/* Returns whether a decision about the partition is near, or waits for its server. */
static bool is_due(const struct asq__partition *p)
{
    if (p->lease_unknown)
        return true;
    return p->state == ASQ__PART_IDLE && (p->placed_here || p->unowned_since_ms);
}

bool asq__lease_refresh(struct asq__lease_refresh *l, bool all, uint32_t n_workers, unsigned *asked)
{
    struct asq__process *w = l->w;
    bool cluster = asq__redis_is_cluster(w->redis);
    struct asking a = { .look = l, .at_once = cluster ? 1 : AT_ONCE };
    uint32_t most = cluster ? IN_CLUSTER : IN_TURN;
    uint32_t share = w->nparts / (n_workers ? n_workers : 1) + 1;
    uint32_t own = w->nowned / OWN_LOOKS + 1;
    l->round++;
    for (uint32_t i = 0; i < w->nparts; i++)
        if (all || is_due(&w->parts[i]))
            add(&a, &w->parts[i]);
    add_in_turn(&a, true, own > most ? own : most, &l->own_next);
    add_in_turn(&a, false, share < most ? share : most, &l->other_next);
    flush(&a);
    *asked += a.asked;
    return !a.failed;
}

void asq__lease_refresh_init(struct asq__lease_refresh *l, struct asq__process *w)
{
    *l = (struct asq__lease_refresh){ .w = w };
    /* each process begins elsewhere */
    l->other_next = w->nparts ? (uint32_t) (w->client_number % w->nparts) : 0;
}
