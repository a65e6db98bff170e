/*
 * redis.c: see redis.h. Connections to one server, or to the nodes of a Cluster, and whether all
 * is up.
 *
 * Coming up: the connection to the home server asks for facts about the server, and makes or reads
 * the namespace's meta hash; the subscriber waits for the reply to SUBSCRIBE. In a Cluster the
 * partitions, whose number is known by then, want their slots, and each node with one of them is
 * connected. When all is ready, `up`.
 *
 * The loss of the only server takes the deployment down until it is back: first the other
 * connection is dropped, too, so that every command is answered before `down` is called.
 *
 * The loss of a node of a Cluster takes down its partitions: both of its connections are dropped,
 * so that every command is answered before `parts_down` is called. So it is when slots have moved,
 * because the former node may have answered other commands than the new one knows of. If it was
 * the home server, its facts are asked for again where they are served next. Pushes in between are
 * missed, and their receivers query the results.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "asqueue.h"
#include "redis/barrier.h"
#include "redis/cluster.h"
#include "redis/conn.h"
#include "redis/keys.h"
#include "redis/redis.h"
#include "redis/redis_state.h"
#include "redis/refusal.h"
#include "redis/script.h"
#include "redis/sentinel_watch.h"
#include "redis/slots.h"
#include "redis/timer.h"
#include "redis/url.h"
#include "value/clock.h"
#include "value/error.h"

enum { REPLY_TIMEOUT_MS = 30000, CAUSE_MS = 10000, SLOW_MS = 1000 };

bool asq__redis_is_up(const struct asq__redis *r)
{
    return r->up;
}

bool asq__redis_serves(const struct asq__redis *r, uint32_t partition)
{
    if (!r->up || !r->cluster)
        return r->up;
    return partition < r->nslots && r->announced[partition] &&
           r->routes[r->slots[partition]] != &r->one;
}

bool asq__redis_serves_all(const struct asq__redis *r)
{
    for (uint32_t p = 0; p < r->meta.partitions; p++)
        if (!asq__redis_serves(r, p))
            return false;
    return r->up && (!r->cluster || r->home_announced);
}

bool asq__redis_home_answers(const struct asq__redis *r)
{
    return !r->cluster ||
           (r->up && r->home_announced && asq__conn_waits_ms(r->home->conn) < SLOW_MS);
}

bool asq__redis_home_fails(const struct asq__redis *r)
{
    const struct asq__cluster_node *node =
        r->cluster ? asq__cluster_node_of(r->cluster, r->home_slot) : NULL;
    return node && node->fails && !asq__redis_home_answers(r);
}

bool asq__redis_is_cluster(const struct asq__redis *r)
{
    return r->facts.mode.cluster;
}

bool asq__redis_is_spread(const struct asq__redis *r)
{
    return r->cluster != NULL;
}

/* ---- the server of a partition ---- */

struct asq__conn *asq__redis_home(struct asq__redis *r)
{
    return r->up && !r->home_announced ? r->one.conn : r->home->conn;
}

struct asq__script_cache *asq__redis_home_scripts(struct asq__redis *r)
{
    return &r->home->scripts;
}

struct asq__conn *asq__redis_conn(struct asq__redis *r, uint32_t partition)
{
    return asq__redis_node(r, partition)->conn;
}

_Static_assert((int) ASQ__REDIS_SERVERS == (int) ASQ__NODES_MAX, "a number for each node");

uint32_t asq__redis_server(const struct asq__redis *r, uint32_t partition)
{
    return asq__redis_node(r, partition)->index;
}

struct asq__script_cache *asq__redis_scripts(struct asq__redis *r, uint32_t partition)
{
    return &asq__redis_node(r, partition)->scripts;
}

struct asq__barrier *asq__redis_barrier(struct asq__redis *r, uint32_t partition)
{
    return asq__redis_node(r, partition)->barrier;
}

const struct asq__host *asq__redis_host(const struct asq__redis *r, uint32_t partition)
{
    const struct asq__cluster_node *node = asq__redis_node(r, partition);
    return node == &r->one ? NULL : &node->host;
}

void asq__redis_refused_on(struct asq__redis *r, uint32_t partition, const redisReply *reply)
{
    struct asq__cluster_node *node = asq__redis_node(r, partition);
    if (!r->cluster) {
        if (asq__reply_is_error(reply, "MOVED"))
            asq__redis_join(r);
        return;
    }
    if (node != &r->one)
        asq__cluster_redirected(r->cluster, node, reply->str);
    asq__cluster_refresh(r->cluster);
}

void asq__redis_flush(struct asq__redis *r)
{
    if (r->cluster)
        asq__cluster_flush(r->cluster);
    else
        asq__conn_flush(r->one.conn);
}

void asq__redis_reload_scripts(struct asq__redis *r, uint32_t partition)
{
    struct asq__cluster_node *node = asq__redis_node(r, partition);
    asq__scripts_load(node->conn, &node->scripts);
}

void asq__redis_reload_home_scripts(struct asq__redis *r)
{
    asq__scripts_load(r->home->conn, &r->home->scripts);
}

/* ---- facts ---- */

const struct asq__keys *asq__redis_keys(const struct asq__redis *r)
{
    return &r->keys;
}

const struct asq__url *asq__redis_url(const struct asq__redis *r)
{
    return r->config.url;
}

struct ev_loop *asq__redis_loop(const struct asq__redis *r)
{
    return r->config.loop;
}

/* ---- up and down ---- */

void asq__redis_check_up(struct asq__redis *r)
{
    asq__redis_find_later(r);
    if (r->up || !r->meta.known || !r->facts.mode.known || !asq__conn_is_up(r->home->conn))
        return;
    if (r->facts.asking_nodes || r->joining)
        return;
    if (*r->facts.denied) { /* only after the namespace exists, so that clients can make calls */
        asq__redis_reject(r, ASQ_EREDIS, r->facts.denied);
        return;
    }
    if (!asq__subscriber_is_up(r) || (r->cluster && !asq__cluster_is_up(r->cluster)))
        return;
    if (!r->facts.permitted && r->cluster)
        asq__server_facts_try(r);
    if (!r->facts.permitted)
        return;
    r->up = r->home_announced = true;
    r->cause[0] = '\0';
    for (uint32_t p = 0; p < r->nslots; p++)
        r->announced[p] = r->routes[r->slots[p]] != &r->one;
    r->config.up(r, r->config.user);
    asq__redis_find_later(r);
}

static void went_down(struct asq__redis *r, int code, const char *why)
{
    r->up = r->home_announced = false;
    for (uint32_t p = 0; p < r->nslots; p++)
        r->announced[p] = false;
    r->config.down(r, code, why, r->config.user);
}

void asq__redis_reject(struct asq__redis *r, int code, const char *why)
{
    asq__conn_fail(r->home->conn, code, why);
}

/* Asks a new connection to the home server for what `up` needs. */
static void home_up(struct asq__redis *r)
{
    asq__namespace_reset(&r->meta);
    int rc = asq__server_facts_ask(r);
    if (rc == 0 && r->config.serves && !r->cluster)
        rc = asq__scripts_load(r->home->conn, &r->home->scripts);
    rc |= asq__namespace_ask(r); /* asks first, because clients may only read it */
    if (rc < 0)
        asq__conn_drop(r->home->conn, "out of memory");
}

/* ---- one server ---- */

static void cmd_up(struct asq__conn *c, void *user)
{
    struct asq__redis *r = user;
    (void) c;
    if (r->watch)
        asq__sentinel_watch_start(r->watch);
    home_up(r);
}

static void cmd_down(struct asq__conn *c, int code, const char *why, void *user)
{
    struct asq__redis *r = user;
    (void) c;
    r->meta.known = false;
    if (r->up || !r->joining) /* else nobody knows of the server that is left for its Cluster */
        went_down(r, code, why);
    if (!r->one.sub)
        return;
    r->dropping = true; /* the address may now lead to another server */
    asq__conn_drop(r->one.sub, "the command connection is lost");
    r->dropping = false;
}

static void sub_up(struct asq__conn *c, void *user)
{
    struct asq__redis *r = user;
    (void) c;
    asq__subscriber_up(r, &r->one);
}

static void sub_down(struct asq__conn *c, int code, const char *why, void *user)
{
    struct asq__redis *r = user;
    (void) c;
    asq__subscriber_down(r, &r->one);
    if (!r->dropping)
        went_down(r, code, why);
}

static void sub_push(struct asq__conn *c, const redisReply *reply, void *user)
{
    struct asq__redis *r = user;
    (void) c;
    asq__subscriber_push(r, &r->one, reply);
}

/* ---- the nodes of a Cluster ---- */

/* Tells why not all is up. Several nodes fail by turns: one cause stands for them for a while, so
 * that logs have one line. */
static void tell_down(struct asq__redis *r, int code, const char *why)
{
    int64_t now = asq__now_ms();
    if (!*r->cause || now - r->cause_ms > CAUSE_MS) {
        snprintf(r->cause, sizeof r->cause, "%s", why);
        r->cause_ms = now;
    }
    went_down(r, code, r->cause);
}

struct asq__cluster_node *asq__redis_node_with(struct asq__redis *r, const struct asq__conn *c)
{
    if (c == r->one.conn)
        return &r->one;
    return r->cluster ? asq__cluster_node_with(r->cluster, c) : NULL;
}

void asq__redis_find_later(struct asq__redis *r)
{
    if (r->up && r->cluster && !r->closing)
        asq__timer_restart(r->config.loop, &r->find_timer, 0., 0.);
}

/* Returns the node that has a partition, if commands may be sent there and pushes can be heard;
 * asks a new one first what it allows. NULL: none now. */
static struct asq__cluster_node *find_server(struct asq__redis *r, uint32_t partition)
{
    struct asq__cluster_node *node = asq__cluster_node_of(r->cluster, r->slots[partition]);
    if (!node || !node->conn || !asq__conn_is_up(node->conn) ||
        (r->pushes.wanted && (!node->sub || !asq__conn_is_up(node->sub))))
        return NULL;
    if (r->config.serves && !node->permitted) {
        asq__server_facts_try_at(r, node, partition);
        return NULL;
    }
    return node;
}

/* Tells the layers above of the partitions that have lost their servers. */
static void tell_parts_down(struct asq__redis *r, int code, const char *why)
{
    for (uint32_t p = 0; p < r->nslots; p++) {
        r->parts[p] = r->announced[p] && r->routes[r->slots[p]] == &r->one;
        r->announced[p] &= !r->parts[p];
    }
    r->config.parts_down(r, r->parts, code, why, r->config.user);
}

/* Takes the partitions of stale nodes from them, and loses these. */
static void lose_stale(struct asq__redis *r, int code, const char *why)
{
    for (uint32_t p = 0; p < r->nslots; p++)
        if (r->routes[r->slots[p]]->stale)
            r->routes[r->slots[p]] = &r->one;
    if (r->home->stale)
        r->meta.known = r->home_announced = false;
    r->stale_why[0] = '\0';
    r->announcing = true;
    asq__cluster_drop_stale(r->cluster, why);
    tell_parts_down(r, code, why);
    r->announcing = false;
    asq__redis_find_later(r);
}

/* Tells the layers above that the home server is there again, if its facts are known and its
 * pushes are heard. */
static void find_home(struct asq__redis *r)
{
    if (r->home_announced || !r->meta.known || !asq__conn_is_up(r->home->conn) ||
        !asq__subscriber_is_up(r))
        return;
    r->home_announced = true;
    if (r->config.home_up)
        r->config.home_up(r, r->config.user);
}

/* Routes partitions without a server to the node that has them, if it is there. */
static void find_servers(struct asq__redis *r)
{
    bool any = false;
    r->announcing = true;
    for (uint32_t p = 0; p < r->nslots; p++) {
        struct asq__cluster_node **route = &r->routes[r->slots[p]], *server;
        if (*route == &r->one && (server = find_server(r, p)))
            *route = server;
        r->parts[p] = !r->announced[p] && *route != &r->one;
        any |= r->parts[p];
    }
    for (uint32_t p = 0; any && p < r->nslots; p++) {
        r->announced[p] |= r->parts[p];
        if (r->parts[p])
            asq__subscriber_part_up(r, p);
    }
    if (any && r->up)
        r->config.parts_up(r, r->parts, r->config.user);
    r->announcing = false;
}

static void join_cluster(struct asq__redis *r);

static void on_find(struct ev_loop *loop, ev_timer *w, int revents)
{
    struct asq__redis *r = w->data;
    char why[sizeof r->stale_why];
    (void) loop, (void) revents;
    if (r->joining)
        join_cluster(r);
    memcpy(why, r->stale_why, sizeof why);
    if (r->up && *why)
        lose_stale(r, ASQ_EBUSY, why); /* and comes back */
    else if (r->up)
        find_servers(r);
    if (r->up && !*why)
        find_home(r);
}

/* Has the connections to a node lost from the loop. */
static void make_stale(struct asq__redis *r, struct asq__cluster_node *node, const char *why)
{
    if (!*r->stale_why)
        snprintf(r->stale_why, sizeof r->stale_why, "%s", why);
    node->stale = true;
    asq__redis_find_later(r);
}

/* Loses all connections. */
static void lose_all(struct asq__redis *r, int code, const char *why)
{
    r->stale_why[0] = '\0';
    r->dropping = true;
    r->meta.known = false;
    asq__cluster_drop(r->cluster, "another node of the Cluster is lost, or slots have moved");
    r->dropping = false;
    tell_down(r, code, why);
}

static void slot_moved(struct asq__cluster *c, uint16_t slot, struct asq__cluster_node *node,
                       void *user);

/* Finds the slots of a node that have moved there while all was up, or when memory was too short
 * for its connection. While all is up, on_find() finds those of partitions. */
static void open_missed_routes(struct asq__redis *r, struct asq__cluster_node *node)
{
    for (uint32_t p = 0; !r->up && p < r->nslots; p++)
        if (r->routes[r->slots[p]] == &r->one &&
            asq__cluster_node_of(r->cluster, r->slots[p]) == node)
            slot_moved(r->cluster, r->slots[p], node, r);
    if (r->home == &r->one && asq__cluster_node_of(r->cluster, r->home_slot) == node)
        slot_moved(r->cluster, r->home_slot, node, r);
}

static void node_up(struct asq__cluster *c, struct asq__cluster_node *node, void *user)
{
    struct asq__redis *r = user;
    bool is_home = node == r->home; /* else asked already, if it turns out to be */
    (void) c;
    open_missed_routes(r, node);
    if (r->config.serves && asq__scripts_load(node->conn, &node->scripts) < 0)
        asq__conn_drop(node->conn, "out of memory");
    else if (is_home)
        home_up(r);
    else
        asq__redis_check_up(r);
}

static bool serves_something(const struct asq__redis *r, const struct asq__cluster_node *node)
{
    if (node == r->home && r->home_announced)
        return true;
    for (uint32_t p = 0; p < r->nslots; p++)
        if (r->routes[r->slots[p]] == node)
            return true;
    return false;
}

/* Tells that a node is lost, or cannot be reached. Before all was up once, that may pass, because
 * the Cluster replaces the node. */
static void lost_node(struct asq__redis *r, struct asq__cluster_node *node, int code,
                      const char *why)
{
    char text[sizeof r->cause];
    if (r->dropping)
        return;
    snprintf(text, sizeof text, "node %s:%d of the Cluster: %s", node->host.name, node->host.port,
             why);
    node->stale |= r->up && serves_something(r, node); /* its other connection may be up */
    if (r->up && !r->announcing)
        lose_stale(r, code, text);
    else if (node->stale)
        make_stale(r, node, text);
    else if (!r->up)
        tell_down(r, code == ASQ_ECONN ? ASQ_EBUSY : code, text);
}

static void node_down(struct asq__cluster *c, struct asq__cluster_node *node, int code,
                      const char *why, void *user)
{
    struct asq__redis *r = user;
    (void) c;
    if (node == r->home)
        r->meta.known = false;
    lost_node(r, node, code, why);
}

static void node_hears(struct asq__cluster *c, struct asq__cluster_node *node, void *user)
{
    struct asq__redis *r = user;
    (void) c;
    asq__subscriber_up(r, node);
    asq__redis_check_up(r);
}

static void node_is_deaf(struct asq__cluster *c, struct asq__cluster_node *node, int code,
                         const char *why, void *user)
{
    struct asq__redis *r = user;
    (void) c;
    asq__subscriber_down(r, node);
    lost_node(r, node, code, why);
}

static void node_pushes(struct asq__cluster *c, struct asq__cluster_node *node,
                        const redisReply *reply, void *user)
{
    (void) c;
    asq__subscriber_push(user, node, reply);
}

/* Asks the new home server, to which connections may be up already. */
static void home_moved(struct asq__redis *r, struct asq__cluster_node *node)
{
    asq__subscriber_down(r, r->home);
    r->home = node;
    r->meta.known = r->home_announced = false;
    if (node->conn && asq__conn_is_up(node->conn))
        home_up(r);
    if (node->sub && asq__conn_is_up(node->sub))
        asq__subscriber_up(r, node);
}

/* While all is up, the slot is routed to no node until the former node is lost, whose commands are
 * answered then, and on_find() finds the new one: a replica that has taken over may lack the
 * last calls and commits, and nothing may reach it before they are asked about. */
static void slot_moved(struct asq__cluster *c, uint16_t slot, struct asq__cluster_node *node,
                       void *user)
{
    struct asq__redis *r = user;
    struct asq__cluster_node *former = r->routes[slot];
    (void) c;
    if (!node || !node->conn)
        node = &r->one;
    r->routes[slot] = r->up ? &r->one : node;
    if (slot == r->home_slot && r->home != node)
        home_moved(r, node);
    if (r->up && former != &r->one) /* from the loop: other slots move with it */
        make_stale(r, former, "slots of the Cluster have moved");
    asq__redis_check_up(r);
}

/* A host that does not answer matters when none does. */
static void map_failed(struct asq__cluster *c, int code, const char *why, void *user)
{
    struct asq__redis *r = user;
    if (r->closing || r->up)
        return;
    if (asq__cluster_maps(c) != r->maps)
        r->unanswered = 0;
    r->maps = asq__cluster_maps(c);
    if (++r->unanswered <= r->config.url->others.n)
        return;
    r->unanswered = 0;
    tell_down(r, code, why);
}

int asq__redis_open_routes(struct asq__redis *r)
{
    uint32_t n = r->meta.partitions;
    if (!r->cluster)
        return 0;
    if (n > r->nslots) { /* a smaller number leaves the rest, of which the layers above may know */
        uint16_t *slots = realloc(r->slots, n * sizeof *slots);
        if (!slots)
            return ASQ_ENOMEM;
        r->slots = slots;
        asq__slots_of_partitions(&r->keys, n, slots);
        bool *announced = realloc(r->announced, n * sizeof *announced);
        if (!announced)
            return ASQ_ENOMEM;
        r->announced = announced;
        bool *parts = realloc(r->parts, n * sizeof *parts);
        if (!parts)
            return ASQ_ENOMEM;
        r->parts = parts;
        memset(announced + r->nslots, 0, (n - r->nslots) * sizeof *announced);
        r->nslots = n;
    }
    for (uint32_t p = 0; p < n; p++)
        asq__cluster_want(r->cluster, r->slots[p]);
    return 0;
}

static void on_waited(unsigned have, void *user)
{
    struct asq__redis *r = user;
    if (r->config.waited)
        r->config.waited(r, have, r->config.user);
}

/* ---- Sentinels ---- */

/* Leaves a server that is no longer the master at once, even if it still answers. */
static void on_master_told(void *user)
{
    struct asq__redis *r = user;
    if (asq__conn_is_outdated(r->one.conn))
        asq__conn_move(r->one.conn, "the Sentinels tell of another master");
    if (r->one.sub && asq__conn_is_outdated(r->one.sub))
        asq__conn_move(r->one.sub, "the Sentinels tell of another master");
}

static bool master_serves(void *user)
{
    const struct asq__redis *r = user;
    return r->up;
}

static void log_line(void *user, asq_log_level level, const char *text)
{
    struct asq__redis *r = user;
    if (r->config.log)
        r->config.log(r, level, text, r->config.user);
}

static int watch_sentinels(struct asq__redis *r)
{
    const struct asq__sentinel_watch_config config = {
        .loop = r->config.loop,
        .url = r->config.url,
        .told = on_master_told,
        .serves = master_serves,
        .log = log_line,
        .user = r,
    };
    r->watch = asq__sentinel_watch_new(&config);
    return r->watch ? 0 : ASQ_ENOMEM;
}

/* ---- life ---- */

static int make_barrier(struct asq__redis *r)
{
    const struct asq__barrier_config config = {
        .conn = r->one.conn,
        .keys = &r->keys,
        .replicas = r->config.wait_replicas,
        .timeout_ms = r->config.wait_timeout_ms,
        .waited = on_waited,
        .user = r,
    };
    r->one.barrier = r->config.wait_replicas ? asq__barrier_new(&config) : NULL;
    return r->one.barrier || !r->config.wait_replicas ? 0 : ASQ_ENOMEM;
}

/* Makes the connections to the only server, or, in a Cluster, the one that leads nowhere. */
static int connect_one(struct asq__redis *r, bool is_cluster)
{
    struct asq__conn_config config = {
        .loop = r->config.loop,
        .url = r->config.url,
        .name = r->config.name,
        .idle = is_cluster,
        .once = r->config.once,
        .connect_timeout_ms = r->config.connect_timeout_ms,
        .reply_timeout_ms = REPLY_TIMEOUT_MS,
        .up = cmd_up,
        .down = cmd_down,
        .user = r,
    };
    int rc = asq__conn_new(&config, &r->one.conn);
    if (rc == 0)
        rc = make_barrier(r);
    if (rc < 0 || is_cluster || !r->pushes.wanted)
        return rc;
    config.subscriber = true;
    config.up = sub_up;
    config.down = sub_down;
    config.push = sub_push;
    return asq__conn_new(&config, &r->one.sub);
}

static int connect_cluster(struct asq__redis *r)
{
    const struct asq__cluster_config config = {
        .loop = r->config.loop,
        .url = r->config.url,
        .name = r->config.name,
        .connect_timeout_ms = r->config.connect_timeout_ms,
        .reply_timeout_ms = REPLY_TIMEOUT_MS,
        .wait_replicas = r->config.wait_replicas,
        .wait_timeout_ms = r->config.wait_timeout_ms,
        .keys = &r->keys,
        .waited = on_waited,
        .follows = true,
        .up = node_up,
        .down = node_down,
        .hears = node_hears,
        .deaf = node_is_deaf,
        .push = r->pushes.wanted ? node_pushes : NULL,
        .moved = slot_moved,
        .failed = map_failed,
        .user = r,
    };
    r->routes = calloc(ASQ__SLOTS, sizeof(struct asq__cluster_node *));
    if (!r->routes)
        return ASQ_ENOMEM;
    for (uint32_t i = 0; i < ASQ__SLOTS; i++)
        r->routes[i] = &r->one;
    r->home_slot = asq__slot_of_namespace(&r->keys);
    int rc = asq__cluster_new(&config, &r->cluster);
    if (rc == 0)
        asq__cluster_want(r->cluster, r->home_slot);
    return rc;
}

bool asq__redis_join(struct asq__redis *r)
{
    if (r->joining || !asq__url_join_cluster(r->config.url))
        return r->joining;
    r->joining = true;
    asq__timer_restart(r->config.loop, &r->find_timer, 0., 0.);
    return true;
}

/* Replaces the connections to the only server, on which every command is answered first. Without
 * memory these come back, and find the Cluster anew. */
static void join_cluster(struct asq__redis *r)
{
    struct asq__cluster_node former = r->one;
    asq__conn_drop(r->one.conn, "the server is a node of a Redis Cluster, and has other nodes");
    r->joining = false;
    r->one.conn = r->one.sub = NULL;
    r->one.barrier = NULL;
    int rc = connect_one(r, true);
    if (rc == 0)
        rc = connect_cluster(r);
    if (rc < 0) {
        free(r->routes);
        r->routes = NULL;
        asq__conn_free(r->one.conn);
        asq__barrier_free(r->one.barrier);
        r->one = former;
        return;
    }
    asq__conn_free(former.conn);
    asq__barrier_free(former.barrier);
    asq__conn_free(former.sub);
    log_line(r, ASQ_LOG_INFO, "the server is a node of a Redis Cluster: connecting to its nodes");
}

int asq__redis_new(const struct asq__redis_config *config, struct asq__redis **ret, char *err,
                   size_t errlen)
{
    struct asq__redis *r = calloc(1, sizeof *r);
    if (!r)
        return asq__err(err, errlen, ASQ_ENOMEM, "out of memory");
    r->config = *config;
    r->config.name = r->name = strdup(config->name);
    r->home = &r->one;
    ev_timer_init(&r->find_timer, on_find, 0., 0.);
    r->find_timer.data = r;
    asq__server_facts_init(r);
    int rc = r->name ? asq__keys_init(&r->keys, config->ns, err, errlen)
                     : asq__err(err, errlen, ASQ_ENOMEM, "out of memory");
    if (rc < 0)
        goto fail;
    r->config.ns = r->keys.ns;
    rc = asq__subscriber_init(r);
    if (rc == 0)
        rc = connect_one(r, asq__url_is_cluster(config->url));
    if (rc == 0 && asq__url_is_cluster(config->url))
        rc = connect_cluster(r);
    if (rc == 0 && config->url->sentinels)
        rc = watch_sentinels(r);
    if (rc < 0) {
        asq__err(err, errlen, rc, "out of memory");
        goto fail;
    }
    *ret = r;
    return 0;
fail:
    asq__redis_free(r);
    return rc;
}

void asq__redis_free(struct asq__redis *r)
{
    if (!r)
        return;
    r->up = false;
    r->closing = r->dropping = true;
    ev_timer_stop(r->config.loop, &r->find_timer);
    asq__sentinel_watch_free(r->watch);
    asq__cluster_free(r->cluster);
    asq__conn_free(r->one.conn);
    asq__barrier_free(r->one.barrier);
    asq__conn_free(r->one.sub);
    asq__subscriber_release(&r->pushes);
    free(r->routes);
    free(r->slots);
    free(r->announced);
    free(r->parts);
    asq__namespace_release(&r->meta);
    free(r->name);
    free(r);
}

void asq__redis_set_loop(struct asq__redis *r, struct ev_loop *loop)
{
    ev_timer_stop(r->config.loop, &r->find_timer);
    r->config.loop = loop;
    if (r->joining)
        asq__timer_restart(loop, &r->find_timer, 0., 0.);
    asq__redis_find_later(r);
    if (r->watch)
        asq__sentinel_watch_set_loop(r->watch, loop);
    if (r->cluster)
        asq__cluster_set_loop(r->cluster, loop);
    asq__conn_set_loop(r->one.conn, loop);
    if (r->one.sub)
        asq__conn_set_loop(r->one.sub, loop);
}

void asq__redis_give_up(struct asq__redis *r)
{
    char why[80];
    if (!r->cluster) {
        asq__conn_give_up(r->one.conn);
        if (r->one.sub)
            asq__conn_give_up(r->one.sub);
        return;
    }
    asq__cluster_give_up(r->cluster);
    uint32_t slot = asq__cluster_first_unserved(r->cluster);
    if (slot == ASQ__SLOTS || asq__cluster_maps(r->cluster) == 0)
        return;
    snprintf(why, sizeof why, "no node of the Cluster serves slot %u", slot);
    went_down(r, ASQ_EBUSY, why);
}

void asq__redis_drop(struct asq__redis *r, const char *why)
{
    if (!r->cluster) {
        asq__conn_drop(r->one.conn, why);
        return;
    }
    asq__cluster_refresh(r->cluster);
    if (r->up)
        lose_all(r, ASQ_ECONN, why);
}

void asq__redis_drop_server(struct asq__redis *r, uint32_t partition, const char *why)
{
    struct asq__cluster_node *node = asq__redis_node(r, partition);
    if (!r->cluster) {
        asq__redis_drop(r, why);
        return;
    }
    asq__cluster_refresh(r->cluster);
    if (node != &r->one)
        make_stale(r, node, why);
}
