/*
 * cluster_faults.c: see cluster_faults.h.
 */
#include "cluster_faults.h"
#include "cluster_proxy.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>

enum {
    SETTLE_MS = 100,    /* between two looks */
    FAILOVER_MS = 6000, /* Redis gives a manual failover up after 5 s */
    MAX_MOVES = 8,
    ADDED_NODES = 2
};

static struct {
    bool server; /* one lasts, or the nodes have not come to rest since */
    bool delay;
    int64_t unsettled_since_ms; /* 0: the nodes are not expected to settle yet */
    int promoted;               /* replica that was asked to take over */
    int64_t promoted_until_ms;
    struct { /* slots that move, one after the other */
        int slots[MAX_MOVES];
        int n, done, from, to;
        int target; /* where all go; -1: anywhere */
        heal_fn then;
    } moves;
    int added; /* the added master; its replica is the next node */
} now;

void cluster_faults_begin(struct deployment *d)
{
    (void) d;
    memset(&now, 0, sizeof now);
}

bool cluster_faults_last(void)
{
    return now.server;
}

static sup_redis *node(struct deployment *d, int i)
{
    return sup_cluster_node(d->cluster, i);
}

/* ---- coming to rest ---- */

/* Returns whether all is well; fails when it has not come to that for long. */
static bool is_settled(struct deployment *d)
{
    if (now.unsettled_since_ms == 0)
        now.unsettled_since_ms = sup_now_ms();
    if (sup_cluster_settled(d->cluster)) {
        now.unsettled_since_ms = 0;
        return true;
    }
    if (sup_now_ms() - now.unsettled_since_ms > 2 * sup_limit_ms()) {
        char *nodes = sup_redis_str(node(d, 0), "CLUSTER NODES");
        sup_fail("the Cluster has not come to rest:\n%s", nodes);
    }
    sup_sleep_ms(5); /* at the end nobody else waits */
    return false;
}

static void settle(struct deployment *d, int arg)
{
    if (is_settled(d))
        now.server = false;
    else
        faults_later(SETTLE_MS, settle, arg);
}

static void node_back(struct deployment *d, int i)
{
    sup_redis_restart(node(d, i));
    faults_later(500, settle, 0);
}

static void node_resume(struct deployment *d, int i)
{
    sup_proc_signal(sup_redis_proc(node(d, i)), SIGCONT);
    faults_later(500, settle, 0);
}

/* Returns a master, or a replica. */
static int pick(struct deployment *d, bool master)
{
    int n = sup_cluster_size(d->cluster), from = (int) rng_below(&d->rng, (uint32_t) n);
    for (int i = 0; i < n; i++)
        if (sup_cluster_leads(d->cluster, (from + i) % n) == master)
            return (from + i) % n;
    return from; /* all are about to change */
}

/* ---- nodes ---- */

/* The node comes back before or after its replica has taken over. */
static bool kill_node(struct deployment *d, bool master)
{
    if (now.server)
        return false;
    int i = pick(d, master);
    sup_redis_kill(node(d, i));
    now.server = true;
    faults_later(faults_between(d, 0, 6000), node_back, i);
    return true;
}

static bool pause_node(struct deployment *d, bool master)
{
    if (now.server)
        return false;
    int i = pick(d, master);
    sup_proc_signal(sup_redis_proc(node(d, i)), SIGSTOP);
    now.server = true;
    faults_later(faults_pause_ms(d), node_resume, i);
    return true;
}

bool cluster_master_kill(struct deployment *d)
{
    return kill_node(d, true);
}
bool cluster_master_pause(struct deployment *d)
{
    return pause_node(d, true);
}
bool cluster_replica_kill(struct deployment *d)
{
    return kill_node(d, false);
}
bool cluster_replica_pause(struct deployment *d)
{
    return pause_node(d, false);
}

/* ---- replication ---- */

static void lagging_master_dies(struct deployment *d, int i)
{
    struct cluster_proxy_control *c = d->cluster_proxy.control;
    sup_redis_kill(node(d, i));
    atomic_fetch_add(&c->breaks[i], 1);
    atomic_store(&c->holds[i], false);
    cluster_proxy_changed(&d->cluster_proxy);
    faults_later(faults_between(d, 0, 6000), node_back, i);
}

bool cluster_master_lag(struct deployment *d)
{
    if (now.server)
        return false;
    int i = pick(d, true);
    atomic_store(&d->cluster_proxy.control->holds[i], true);
    cluster_proxy_changed(&d->cluster_proxy);
    now.server = true;
    faults_later(faults_between(d, 20, 600), lagging_master_dies, i);
    return true;
}

static void set_delay(struct deployment *d, int ms)
{
    for (int i = 0; i < CLUSTER_NODES_MAX; i++)
        atomic_store(&d->cluster_proxy.control->delay_ms[i], ms);
    cluster_proxy_changed(&d->cluster_proxy);
}

static void delay_ends(struct deployment *d, int arg)
{
    (void) arg;
    set_delay(d, 0);
    now.delay = false;
}

bool replication_delay(struct deployment *d)
{
    if (now.delay)
        return false;
    set_delay(d, (int) faults_between(d, 5, 600));
    now.delay = true;
    faults_later(faults_between(d, 500, 4000), delay_ends, 0);
    return true;
}

/* ---- the bus ---- */

static void cut_ends(struct deployment *d, int arg)
{
    (void) arg;
    atomic_store(&d->cluster_proxy.control->cuts_bus, false);
    atomic_store(&d->cluster_proxy.control->cuts_replication, false);
    cluster_proxy_changed(&d->cluster_proxy);
    faults_later(500, settle, 0);
}

bool bus_cut(struct deployment *d)
{
    struct cluster_proxy_control *c = d->cluster_proxy.control;
    int n = sup_cluster_size(d->cluster);
    if (now.server)
        return false;
    unsigned sides = 1 + rng_below(&d->rng, (1u << n) - 2); /* none is empty */
    for (int i = 0; i < n; i++)
        atomic_store(&c->sides[i], (int) (sides >> i & 1));
    atomic_store(&c->cuts_replication, rng_below(&d->rng, 2));
    atomic_store(&c->cuts_bus, true);
    cluster_proxy_changed(&d->cluster_proxy);
    now.server = true;
    faults_later(faults_between(d, 500, 8000), cut_ends, 0);
    return true;
}

/* ---- failovers of masters that are well ---- */

static void await_promotion(struct deployment *d, int arg)
{
    if (sup_cluster_leads(d->cluster, now.promoted) || sup_now_ms() > now.promoted_until_ms) {
        faults_later(SETTLE_MS, settle, 0);
    } else {
        sup_sleep_ms(5);
        faults_later(50, await_promotion, arg);
    }
}

static bool promote(struct deployment *d, const char *how)
{
    if (now.server)
        return false;
    int i = pick(d, false);
    redisReply *reply = sup_redis_reply(node(d, i), how);
    bool begun = reply->type == REDIS_REPLY_STATUS;
    freeReplyObject(reply);
    if (!begun)
        return false;
    now.server = true;
    now.promoted = i;
    now.promoted_until_ms = sup_now_ms() + FAILOVER_MS;
    faults_later(50, await_promotion, 0);
    return true;
}

bool cluster_failover(struct deployment *d)
{
    return promote(d, "CLUSTER FAILOVER");
}
bool cluster_failover_force(struct deployment *d)
{
    return promote(d, "CLUSTER FAILOVER FORCE");
}
bool cluster_failover_takeover(struct deployment *d)
{
    return promote(d, "CLUSTER FAILOVER TAKEOVER");
}

/* ---- slots that move ---- */

static void next_move(struct deployment *d, int arg);

static void keys_move(struct deployment *d, int arg)
{
    int slot = now.moves.slots[now.moves.done++];
    sup_cluster_move_keys(d->cluster, slot, now.moves.from, now.moves.to);
    sup_cluster_move_end(d->cluster, slot, now.moves.from, now.moves.to);
    faults_later(0, next_move, arg);
}

/* Keys that are made while a slot moves are made at its next owner, and those that there were stay
 * until they move: for a moment the slot is on both. */
static void next_move(struct deployment *d, int arg)
{
    if (now.moves.done == now.moves.n) {
        faults_later(0, now.moves.then, 0);
        return;
    }
    int slot = now.moves.slots[now.moves.done], n = sup_cluster_size(d->cluster);
    int from = sup_cluster_owner(d->cluster, 0, slot), to = now.moves.target;
    if (from < 0 || sup_cluster_owner(d->cluster, from, slot) != from) {
        sup_sleep_ms(5); /* not all have heard of its last move */
        faults_later(20, next_move, arg);
        return;
    }
    while (to < 0 || to == from || (now.moves.target < 0 && now.added && to >= now.added)) {
        to = pick(d, true);
        if (n < 2)
            sup_fail("there is no other node");
    }
    now.moves.from = from;
    now.moves.to = to;
    sup_cluster_move_begin(d->cluster, slot, from, to);
    faults_later(faults_between(d, 0, 300), keys_move, 0);
}

/* Draws slots with partitions; one more is that of the namespace. */
static void draw_slots(struct deployment *d)
{
    now.moves.n = 1 + (int) rng_below(&d->rng, MAX_MOVES);
    for (int i = 0; i < now.moves.n; i++)
        now.moves.slots[i] = d->slots[rng_below(&d->rng, PARTITIONS + 1)];
}

static void move_all(struct deployment *d, int target, heal_fn then)
{
    now.moves.done = 0;
    now.moves.target = target;
    now.moves.then = then;
    next_move(d, 0);
}

bool slots_move(struct deployment *d)
{
    if (now.server)
        return false;
    now.server = true;
    draw_slots(d);
    move_all(d, -1, settle);
    return true;
}

/* ---- nodes that come and go ---- */

static void remove_added(struct deployment *d, int arg)
{
    if (!is_settled(d)) {
        faults_later(SETTLE_MS, remove_added, arg);
        return;
    }
    for (int i = 0; i < ADDED_NODES; i++)
        sup_cluster_remove_last(d->cluster);
    now.added = 0;
    faults_later(SETTLE_MS, settle, 0);
}

static void give_back(struct deployment *d, int arg)
{
    (void) arg;
    move_all(d, -1, remove_added);
}

static void work_with_added(struct deployment *d, int arg)
{
    (void) arg;
    faults_later(faults_between(d, 200, 3000), give_back, 0);
}

static void give_slots(struct deployment *d, int arg)
{
    if (!is_settled(d)) {
        faults_later(SETTLE_MS, give_slots, arg);
        return;
    }
    draw_slots(d);
    /* Each once, because the new master has it then. */
    for (int i = 0; i < now.moves.n; i++)
        for (int k = i + 1; k < now.moves.n;)
            if (now.moves.slots[k] == now.moves.slots[i])
                now.moves.slots[k] = now.moves.slots[--now.moves.n];
            else
                k++;
    move_all(d, now.added, work_with_added);
}

static void added_replica_follows(struct deployment *d, int arg)
{
    if (sup_cluster_knows(d->cluster, now.added + 1, now.added)) {
        sup_cluster_replicate(d->cluster, now.added + 1, now.added);
        faults_later(SETTLE_MS, give_slots, 0);
    } else {
        sup_sleep_ms(5);
        faults_later(20, added_replica_follows, arg);
    }
}

bool node_add(struct deployment *d)
{
    if (now.server)
        return false;
    now.server = true;
    now.added = sup_cluster_add(d->cluster);
    sup_cluster_add(d->cluster);
    faults_later(20, added_replica_follows, 0);
    return true;
}

bool cluster_faults_heals_server(heal_fn fn)
{
    return fn == node_back || fn == node_resume || fn == cut_ends || fn == lagging_master_dies;
}
