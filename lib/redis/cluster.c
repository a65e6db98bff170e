/*
 * cluster.c: see cluster.h. topology_reader.c asks for the map; here it is applied.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "asqueue.h"
#include "redis/barrier.h"
#include "redis/cluster.h"
#include "redis/conn.h"
#include "redis/known_hosts.h"
#include "redis/refusal.h"
#include "redis/script.h"
#include "redis/slots.h"
#include "redis/timer.h"
#include "redis/topology.h"
#include "redis/topology_reader.h"
#include "redis/url.h"
#include "value/clock.h"

enum { TICK_MS = 1000, SLOW_MS = 1000 };

struct asq__cluster {
    struct asq__cluster_config config;
    char *name;
    struct asq__cluster_node *nodes[ASQ__NODES_MAX]; /* NULL: a free place */
    struct asq__topology_reader *reader;
    uint16_t preferred;  /* a node that knows of a move; ASQ__NO_NODE */
    uint64_t maps;       /* read so far */
    unsigned first_host; /* of those to ask */
    unsigned seed;
    ev_timer tick;
    ev_timer sweep; /* closes connections to nodes without wanted slots */
    size_t in_use;  /* no place in `nodes` is taken from here on */
    /* Of each slot: index of its node, or ASQ__NO_NODE. While it moves, `next` is where to. */
    uint16_t owner[ASQ__SLOTS], next[ASQ__SLOTS];
    bool wanted[ASQ__SLOTS], moving[ASQ__SLOTS];
};

/* ---- connections of nodes ---- */

static void on_up(struct asq__conn *conn, void *user)
{
    struct asq__cluster_node *node = user;
    (void) conn;
    node->is_down = false;
    node->cluster->config.up(node->cluster, node, node->cluster->config.user);
}

static void on_down(struct asq__conn *conn, int code, const char *why, void *user)
{
    struct asq__cluster_node *node = user;
    struct asq__cluster *c = node->cluster;
    (void) conn;
    memset(&node->scripts, 0, sizeof node->scripts);
    node->trying = node->permitted = false;
    node->is_down = true;
    c->config.down(c, node, code, why, c->config.user);
    asq__topology_reader_refresh(c->reader);
}

static void on_sub_up(struct asq__conn *conn, void *user)
{
    struct asq__cluster_node *node = user;
    (void) conn;
    node->cluster->config.hears(node->cluster, node, node->cluster->config.user);
}

static void on_sub_down(struct asq__conn *conn, int code, const char *why, void *user)
{
    struct asq__cluster_node *node = user;
    struct asq__cluster *c = node->cluster;
    (void) conn;
    c->config.deaf(c, node, code, why, c->config.user);
    asq__topology_reader_refresh(c->reader);
}

static void on_push(struct asq__conn *conn, const redisReply *reply, void *user)
{
    struct asq__cluster_node *node = user;
    (void) conn;
    node->cluster->config.push(node->cluster, node, reply, node->cluster->config.user);
}

/* Returns whether the node does not serve what it was asked for, and takes what that tells. */
static bool on_refused(struct asq__conn *conn, const redisReply *reply, void *user)
{
    struct asq__cluster_node *node = user;
    struct asq__cluster *c = node->cluster;
    (void) conn;
    if (asq__reply_is_error(reply, "MOVED ")) {
        asq__cluster_redirected(c, node, reply->str);
        return true;
    }
    if (!asq__reply_is_error(reply, "READONLY") && !asq__reply_is_error(reply, "CLUSTERDOWN"))
        return false;
    asq__topology_reader_refresh(c->reader); /* it is a replica by now, or cut off from the rest */
    return true;
}

static void on_waited(unsigned have, void *user)
{
    const struct asq__cluster_node *node = user;
    if (node->cluster->config.waited)
        node->cluster->config.waited(have, node->cluster->config.user);
}

static int make_barrier(struct asq__cluster_node *node)
{
    const struct asq__cluster_config *config = &node->cluster->config;
    struct asq__barrier_config barrier = {
        .conn = node->conn,
        .keys = config->keys,
        .replicas = config->wait_replicas,
        .timeout_ms = config->wait_timeout_ms,
        .waited = on_waited,
        .user = node,
    };
    if (!config->wait_replicas)
        return 0;
    node->barrier = asq__barrier_new(&barrier);
    return node->barrier ? 0 : ASQ_ENOMEM;
}

static int make_conn(struct asq__cluster_node *node, const struct asq__conn_config *config)
{
    int rc = asq__conn_new(config, &node->conn);
    if (rc == 0 && make_barrier(node) < 0) {
        asq__conn_free(node->conn);
        node->conn = NULL;
        rc = ASQ_ENOMEM;
    }
    return rc;
}

/* Makes the connections of a node that has wanted slots. Without memory they are made with the
 * next map. */
static void connect_node(struct asq__cluster *c, struct asq__cluster_node *node)
{
    struct asq__conn_config config = {
        .loop = c->config.loop,
        .url = c->config.url,
        .host = &node->host,
        .name = c->name,
        .connect_timeout_ms = c->config.connect_timeout_ms,
        .reply_timeout_ms = c->config.reply_timeout_ms,
        .up = on_up,
        .down = on_down,
        .user = node,
    };
    if (c->config.follows)
        config.refused = on_refused;
    if (!node->conn && node->slots && make_conn(node, &config) < 0)
        asq__topology_reader_refresh(c->reader);
    config.refused = NULL;
    config.subscriber = true;
    config.up = on_sub_up;
    config.down = on_sub_down;
    config.push = on_push;
    if (c->config.push && !node->sub && node->slots && asq__conn_new(&config, &node->sub) < 0)
        asq__topology_reader_refresh(c->reader);
}

static void disconnect_node(struct asq__cluster_node *node)
{
    struct asq__conn *conn = node->conn, *sub = node->sub;
    node->conn = node->sub = NULL; /* callbacks must not find them */
    node->trying = node->permitted = node->stale = node->is_down = false;
    asq__conn_free(conn);
    asq__barrier_free(node->barrier);
    node->barrier = NULL;
    asq__conn_free(sub);
}

/* Closes the connections of a node without wanted slots, and forgets one that no map lists. */
static void release_node(struct asq__cluster *c, struct asq__cluster_node *node)
{
    if (node->slots || node->pings)
        return;
    disconnect_node(node);
    if (node->is_listed)
        return;
    for (int i = 0; i < ASQ__SLOTS; i++)
        if (c->owner[i] == node->index || c->next[i] == node->index)
            return; /* named by a redirection; the next map lists it */
    if (c->preferred == node->index)
        c->preferred = ASQ__NO_NODE;
    c->nodes[node->index] = NULL;
    asq__host_release(&node->host);
    free(node);
}

/* Returns the node at a host, which is added if it is new. NULL: no memory, or no place. */
static struct asq__cluster_node *find_node(struct asq__cluster *c, const struct asq__host *host)
{
    size_t place = ASQ__NODES_MAX;
    for (size_t i = ASQ__NODES_MAX; i-- > 0;) {
        if (!c->nodes[i])
            place = i;
        else if (asq__host_is_same(&c->nodes[i]->host, host))
            return c->nodes[i];
    }
    struct asq__cluster_node *node = place < ASQ__NODES_MAX ? calloc(1, sizeof *node) : NULL;
    if (!node || !(node->host.name = strdup(host->name))) {
        free(node);
        return NULL;
    }
    node->cluster = c;
    node->host.port = host->port;
    node->index = (uint16_t) place;
    c->nodes[place] = node;
    if (c->in_use <= place)
        c->in_use = place + 1;
    return node;
}

/* ---- slots ---- */

static struct asq__cluster_node *node_at(const struct asq__cluster *c, uint16_t index)
{
    return index == ASQ__NO_NODE ? NULL : c->nodes[index];
}

/* Gives a wanted slot to the node in `next`, and tells it. */
static void finish_move(struct asq__cluster *c, uint16_t slot)
{
    struct asq__cluster_node *from = node_at(c, c->owner[slot]), *to = node_at(c, c->next[slot]);
    c->owner[slot] = c->next[slot];
    c->moving[slot] = false;
    if (to)
        to->slots++;
    if (from)
        from->slots--;
    if (to)
        connect_node(c, to);
    c->config.moved(c, slot, to, c->config.user);
}

/* Finishes the moves of slots away from a node, all of whose commands are answered. */
static void finish_moves(struct asq__cluster *c, struct asq__cluster_node *from)
{
    for (int i = 0; i < ASQ__SLOTS; i++)
        if (c->moving[i] && c->owner[i] == from->index)
            finish_move(c, (uint16_t) i);
    /* From the loop: replies to the node may still be awaited, or be on their way to callbacks. */
    asq__timer_restart(c->config.loop, &c->sweep, 0., 0.);
}

static void on_sweep(struct ev_loop *loop, ev_timer *w, int revents)
{
    struct asq__cluster *c = w->data;
    (void) loop, (void) revents;
    for (size_t i = 0; i < c->in_use; i++)
        if (c->nodes[i])
            release_node(c, c->nodes[i]);
}

static void on_ping(struct asq__conn *conn, const redisReply *reply, void *user)
{
    struct asq__cluster_node *node = user;
    (void) conn, (void) reply;
    if (--node->pings == 0 && node->conn) /* else the cluster is being freed */
        finish_moves(node->cluster, node);
}

/* Ends the moves away from a node: at once if it has no command under way, else behind those. A
 * node that fails will not answer: its connection is lost at once. */
static void begin_leaving(struct asq__cluster *c, struct asq__cluster_node *from)
{
    if (from->conn && asq__conn_is_up(from->conn) && asq__conn_unanswered(from->conn)) {
        bool sent = asq__conn_cmd(from->conn, on_ping, from, "PING", NULL) == 0;
        from->pings += sent;
        bool pending = from->pings > 0;
        if (pending && sent && !from->fails)
            return;
        asq__conn_drop(from->conn, sent ? "the Cluster has replaced this node" : "out of memory");
        if (pending)
            return; /* the loss has ended the barriers, and may have ended the node */
    }
    if (!from->pings)
        finish_moves(c, from);
}

/* Begins to move a slot to the node with this index. Returns whether its node has to answer
 * first. */
static bool begin_move(struct asq__cluster *c, uint16_t slot, uint16_t to)
{
    if (c->next[slot] == to)
        return false;
    c->next[slot] = to;
    if (c->wanted[slot] && c->owner[slot] != ASQ__NO_NODE) {
        c->moving[slot] = true;
        return true;
    }
    if (c->wanted[slot])
        finish_move(c, slot);
    else
        c->owner[slot] = to;
    return false;
}

/* Returns whether a wanted slot has no node that can be reached. One that cannot may be replaced
 * before the others agree that it fails. */
static bool lacks_slots(const struct asq__cluster *c)
{
    for (int i = 0; i < ASQ__SLOTS; i++) {
        const struct asq__cluster_node *node = node_at(c, c->next[i]);
        if (c->wanted[i] && (!node || node->fails || node->is_down))
            return true;
    }
    return false;
}

/* ---- the map ---- */

/* Finds or makes the nodes of a map; index[i] is that of its node i. */
static void take_nodes(struct asq__cluster *c, const struct asq__topology *map, uint16_t *index)
{
    for (size_t i = 0; i < ASQ__NODES_MAX; i++)
        if (c->nodes[i])
            c->nodes[i]->is_listed = false;
    for (size_t i = 0; i < map->n; i++) {
        struct asq__cluster_node *node = find_node(c, &map->nodes[i].host);
        index[i] = node ? node->index : ASQ__NO_NODE;
        if (node) {
            node->is_listed = true;
            node->fails = map->nodes[i].fails;
        }
    }
}

/* Loses connections to nodes that do not answer, and of which the Cluster says that they fail. */
static void drop_failing(struct asq__cluster *c)
{
    for (size_t i = 0; i < ASQ__NODES_MAX; i++) {
        const struct asq__cluster_node *node = c->nodes[i];
        if (node && node->fails && node->conn && asq__conn_waits_ms(node->conn) >= SLOW_MS)
            asq__conn_drop(node->conn, "it does not answer, and the Cluster says that it fails");
    }
}

static bool on_map(void *user, const struct asq__topology *map)
{
    struct asq__cluster *c = user;
    uint16_t index[ASQ__NODES_MAX];
    bool leaves[ASQ__NODES_MAX] = { false };
    c->maps++;
    c->preferred = ASQ__NO_NODE;
    asq__known_hosts_learn(c->config.url->known, map);
    take_nodes(c, map, index);
    for (int i = 0; i < ASQ__SLOTS; i++) {
        uint16_t to = map->owner[i] == ASQ__NO_NODE ? ASQ__NO_NODE : index[map->owner[i]];
        if (begin_move(c, (uint16_t) i, to))
            leaves[c->owner[i]] = true;
    }
    for (size_t i = 0; i < ASQ__NODES_MAX; i++)
        if (c->nodes[i] && leaves[i])
            begin_leaving(c, c->nodes[i]);
    for (size_t i = 0; i < ASQ__NODES_MAX; i++)
        if (c->nodes[i])
            connect_node(c, c->nodes[i]); /* for which there was no memory */
    drop_failing(c);
    asq__timer_restart(c->config.loop, &c->sweep, 0., 0.);
    return lacks_slots(c);
}

static void on_failed(void *user, int code, const char *why)
{
    struct asq__cluster *c = user;
    c->config.failed(c, code, why, c->config.user);
}

static bool answers(const struct asq__cluster_node *node)
{
    return node && !node->fails && node->conn && asq__conn_is_up(node->conn) &&
           asq__conn_waits_ms(node->conn) < SLOW_MS;
}

/* Chooses a node with a connection: the preferred one, else any. NULL: there is none. */
static const struct asq__cluster_node *choose_connected(struct asq__cluster *c)
{
    size_t start = (size_t) rand_r(&c->seed) % ASQ__NODES_MAX;
    if (c->preferred != ASQ__NO_NODE && answers(c->nodes[c->preferred]))
        return c->nodes[c->preferred];
    for (size_t i = 0; i < ASQ__NODES_MAX; i++)
        if (answers(c->nodes[(start + i) % ASQ__NODES_MAX]))
            return c->nodes[(start + i) % ASQ__NODES_MAX];
    return NULL;
}

/* Returns one of the URL's hosts and of the nodes known, counted round and round. */
static const struct asq__host *host_at(const struct asq__cluster *c, size_t number)
{
    size_t seeds = 1 + c->config.url->others.n, n = seeds;
    for (size_t i = 0; i < ASQ__NODES_MAX; i++)
        n += c->nodes[i] != NULL;
    number %= n;
    if (number == 0)
        return NULL; /* the URL's first */
    if (number < seeds)
        return &c->config.url->others.list[number - 1];
    size_t at = 0;
    for (number -= seeds; number || !c->nodes[at]; at++)
        number -= c->nodes[at] != NULL;
    return &c->nodes[at]->host;
}

static struct asq__conn *choose(void *user, unsigned failures, const struct asq__host **ret_host)
{
    struct asq__cluster *c = user;
    const struct asq__cluster_node *node = failures < 2 ? choose_connected(c) : NULL;
    if (!node) {
        *ret_host = host_at(c, c->first_host + failures);
        return NULL;
    }
    *ret_host = &node->host;
    return node->conn;
}

/* ---- for the layers above ---- */

void asq__cluster_want(struct asq__cluster *c, uint16_t slot)
{
    struct asq__cluster_node *node = node_at(c, c->owner[slot]);
    if (c->wanted[slot])
        return;
    c->wanted[slot] = true;
    if (!node) {
        asq__topology_reader_refresh(c->reader);
        return;
    }
    node->slots++;
    connect_node(c, node);
    c->config.moved(c, slot, node, c->config.user);
}

struct asq__cluster_node *asq__cluster_node_of(const struct asq__cluster *c, uint16_t slot)
{
    return c->moving[slot] ? NULL : node_at(c, c->owner[slot]);
}

struct asq__cluster_node *asq__cluster_node_with(const struct asq__cluster *c,
                                                 const struct asq__conn *conn)
{
    for (size_t i = 0; i < c->in_use; i++)
        if (c->nodes[i] && c->nodes[i]->conn == conn)
            return c->nodes[i];
    return NULL;
}

uint32_t asq__cluster_first_unserved(const struct asq__cluster *c)
{
    for (uint32_t i = 0; i < ASQ__SLOTS; i++)
        if (c->wanted[i] && (c->moving[i] || c->owner[i] == ASQ__NO_NODE))
            return i;
    return ASQ__SLOTS;
}

bool asq__cluster_is_up(const struct asq__cluster *c)
{
    if (asq__cluster_first_unserved(c) < ASQ__SLOTS)
        return false;
    for (size_t i = 0; i < c->in_use; i++) {
        const struct asq__cluster_node *node = c->nodes[i];
        if (node && node->slots &&
            (!node->conn || !asq__conn_is_up(node->conn) ||
             (c->config.push && (!node->sub || !asq__conn_is_up(node->sub)))))
            return false;
    }
    return true;
}

/* Callbacks of a loss may end other nodes, so each is looked up anew. */
static void drop_node(struct asq__cluster *c, size_t i, const char *why)
{
    c->nodes[i]->stale = false;
    if (c->nodes[i]->conn)
        asq__conn_drop(c->nodes[i]->conn, why);
    if (c->nodes[i] && c->nodes[i]->sub)
        asq__conn_drop(c->nodes[i]->sub, why);
}

void asq__cluster_drop(struct asq__cluster *c, const char *why)
{
    for (size_t i = 0; i < c->in_use; i++)
        if (c->nodes[i])
            drop_node(c, i, why);
}

void asq__cluster_drop_stale(struct asq__cluster *c, const char *why)
{
    for (size_t i = 0; i < c->in_use; i++)
        if (c->nodes[i] && c->nodes[i]->stale)
            drop_node(c, i, why);
}

void asq__cluster_give_up(struct asq__cluster *c)
{
    for (size_t i = 0; i < c->in_use; i++) {
        if (c->nodes[i] && c->nodes[i]->conn)
            asq__conn_give_up(c->nodes[i]->conn);
        if (c->nodes[i] && c->nodes[i]->sub)
            asq__conn_give_up(c->nodes[i]->sub);
    }
}

void asq__cluster_flush(struct asq__cluster *c)
{
    for (size_t i = 0; i < c->in_use; i++)
        if (c->nodes[i] && c->nodes[i]->conn)
            asq__conn_flush(c->nodes[i]->conn);
}

enum asq__redirect_kind asq__cluster_redirected(struct asq__cluster *c,
                                                struct asq__cluster_node *node, const char *text)
{
    struct asq__topology_view view = { c->config.url, node->host.name, node->host.port };
    struct asq__host host;
    uint16_t slot;
    enum asq__redirect_kind kind = asq__redirect_parse(&view, text, &slot, &host);
    if (kind != ASQ__REDIRECT_MOVED) {
        asq__host_release(&host);
        return kind;
    }
    /* Of several refused commands the first has moved the slot. One that comes later, from a node
     * that the slot has left since, says nothing new. */
    struct asq__cluster_node *to =
        host.name && c->owner[slot] == node->index && !c->moving[slot] ? find_node(c, &host) : NULL;
    asq__host_release(&host);
    asq__topology_reader_refresh(c->reader);
    if (to && to != node) {
        c->preferred = to->index; /* it knows best what it has */
        if (begin_move(c, slot, to->index))
            begin_leaving(c, node);
    }
    return kind;
}

void asq__cluster_refresh(struct asq__cluster *c)
{
    asq__topology_reader_refresh(c->reader);
}

uint64_t asq__cluster_maps(const struct asq__cluster *c)
{
    return c->maps;
}

size_t asq__cluster_connections(const struct asq__cluster *c)
{
    size_t n = 0;
    for (size_t i = 0; i < ASQ__NODES_MAX; i++)
        if (c->nodes[i])
            n += (size_t) (c->nodes[i]->conn != NULL) + (c->nodes[i]->sub != NULL);
    return n;
}

/* ---- life ---- */

/* A node that does not answer may have been replaced, and its connection may stay open for long. */
static void on_tick(struct ev_loop *loop, ev_timer *w, int revents)
{
    struct asq__cluster *c = w->data;
    (void) loop, (void) revents;
    for (size_t i = 0; i < ASQ__NODES_MAX; i++)
        if (c->nodes[i] && c->nodes[i]->conn && asq__conn_waits_ms(c->nodes[i]->conn) >= SLOW_MS)
            asq__topology_reader_refresh(c->reader);
}

int asq__cluster_new(const struct asq__cluster_config *config, struct asq__cluster **ret)
{
    struct asq__cluster *c = calloc(1, sizeof *c);
    if (!c)
        return ASQ_ENOMEM;
    c->config = *config;
    c->config.name = c->name = strdup(config->name);
    c->preferred = ASQ__NO_NODE;
    c->seed = (unsigned) getpid() ^ (unsigned) (uintptr_t) c ^ (unsigned) asq__now_ms();
    c->first_host = (unsigned) rand_r(&c->seed) % (unsigned) (1 + config->url->others.n);
    for (int i = 0; i < ASQ__SLOTS; i++)
        c->owner[i] = c->next[i] = ASQ__NO_NODE;
    struct asq__topology_reader_config reader = {
        .loop = config->loop,
        .url = config->url,
        .name = c->name,
        .connect_timeout_ms = config->connect_timeout_ms,
        .choose = choose,
        .read = on_map,
        .failed = on_failed,
        .user = c,
    };
    if (!c->name || asq__topology_reader_new(&reader, &c->reader) < 0) {
        asq__cluster_free(c);
        return ASQ_ENOMEM;
    }
    ev_timer_init(&c->tick, on_tick, TICK_MS / 1000., TICK_MS / 1000.);
    ev_timer_init(&c->sweep, on_sweep, 0., 0.);
    c->tick.data = c->sweep.data = c;
    ev_timer_start(config->loop, &c->tick);
    *ret = c;
    return 0;
}

void asq__cluster_free(struct asq__cluster *c)
{
    if (!c)
        return;
    ev_timer_stop(c->config.loop, &c->tick);
    ev_timer_stop(c->config.loop, &c->sweep);
    for (size_t i = 0; i < ASQ__NODES_MAX; i++) {
        struct asq__cluster_node *node = c->nodes[i];
        if (!node)
            continue;
        disconnect_node(node);
        asq__host_release(&node->host);
        free(node);
    }
    asq__topology_reader_free(c->reader); /* has to see its questions end */
    free(c->name);
    free(c);
}

void asq__cluster_set_loop(struct asq__cluster *c, struct ev_loop *loop)
{
    ev_timer_stop(c->config.loop, &c->tick);
    ev_timer_stop(c->config.loop, &c->sweep);
    c->config.loop = loop;
    asq__timer_restart(loop, &c->tick, TICK_MS / 1000., TICK_MS / 1000.);
    asq__timer_restart(loop, &c->sweep, 0., 0.);
    asq__topology_reader_set_loop(c->reader, loop);
    for (size_t i = 0; i < ASQ__NODES_MAX; i++) {
        if (c->nodes[i] && c->nodes[i]->conn)
            asq__conn_set_loop(c->nodes[i]->conn, loop);
        if (c->nodes[i] && c->nodes[i]->sub)
            asq__conn_set_loop(c->nodes[i]->sub, loop);
    }
}
