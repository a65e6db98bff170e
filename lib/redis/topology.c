/*
 * topology.c: see topology.h. Whatever a server sends is checked against bounds: 16,384 slots,
 * ASQ__NODES_MAX nodes, and ENTRIES_MAX places in a reply where a node stands.
 */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "asqueue.h"
#include "redis/topology.h"
#include "redis/url.h"
#include "value/decimal.h"
#include "value/error.h"

enum { ENTRIES_MAX = 128 * 1024, PORT_MAX = 65535 };

/* One parse under way. */
struct parse {
    const struct asq__topology_view *view;
    struct asq__topology t;
    size_t cap;     /* nodes */
    size_t entries; /* places where a node stood */
    char *err;
    size_t errlen;
};

static int nonsense(struct parse *p, const char *what)
{
    return asq__err(p->err, p->errlen, ASQ_EPROTO, "the Cluster's description of itself %s", what);
}

/* ---- values ---- */

static bool is_list(const redisReply *r)
{
#ifdef REDIS_REPLY_MAP
    if (r->type == REDIS_REPLY_MAP)
        return true;
#endif
    return r->type == REDIS_REPLY_ARRAY;
}

/* Returns a string without a NUL byte, or NULL. */
static const char *text_of(const redisReply *r)
{
    bool text = r && (r->type == REDIS_REPLY_STRING || r->type == REDIS_REPLY_STATUS);
    return text && strlen(r->str) == (size_t) r->len ? r->str : NULL;
}

static bool is_text(const redisReply *r, const char *text)
{
    const char *s = text_of(r);
    return s && strcmp(s, text) == 0;
}

/* Returns the value behind a name in a list of names and values; NULL: none. */
static const redisReply *value_of(const redisReply *fields, const char *name)
{
    for (size_t i = 0; i + 1 < (size_t) fields->elements; i += 2)
        if (is_text(fields->element[i], name))
            return fields->element[i + 1];
    return NULL;
}

/* ---- nodes ---- */

/* Says where to reach the node that announces `endpoint` (may be NULL) and `ip` (may be NULL). A
 * name that cannot be one has NULL in *ret. */
static int host_of(const struct asq__topology_view *view, const char *endpoint, const char *ip,
                   int port, struct asq__host *ret)
{
    struct asq__host announced = { NULL, port };
    const char *name = endpoint && strcmp(endpoint, "?") == 0 ? ip : endpoint;
    ret->name = NULL;
    if (!name || !*name)
        name = view->asked;
    if (!asq__host_is_name(name))
        return 0;
    announced.name = strdup(name);
    if (!announced.name)
        return ASQ_ENOMEM;
    const struct asq__host *reached = asq__nat_find(&view->url->nat, &announced);
    if (reached == &announced) {
        *ret = announced;
        return 0;
    }
    free(announced.name);
    ret->port = reached->port;
    ret->name = strdup(reached->name);
    return ret->name ? 0 : ASQ_ENOMEM;
}

/* Writes the index of the node with this host, which is added if it is new; takes over its name. */
static int add_host(struct parse *p, struct asq__host *host, size_t *ret)
{
    for (size_t i = 0; i < p->t.n; i++)
        if (asq__host_is_same(&p->t.nodes[i].host, host)) {
            asq__host_release(host);
            *ret = i;
            return 0;
        }
    if (p->t.n == ASQ__NODES_MAX) {
        asq__host_release(host);
        return nonsense(p, "has more than 1024 nodes");
    }
    if (p->t.n == p->cap) {
        size_t cap = p->cap ? p->cap * 2 : 8;
        struct asq__topology_node *nodes = realloc(p->t.nodes, cap * sizeof *nodes);
        if (!nodes) {
            asq__host_release(host);
            return ASQ_ENOMEM;
        }
        p->t.nodes = nodes;
        p->cap = cap;
    }
    p->t.nodes[p->t.n] = (struct asq__topology_node){ .host = *host, .is_replica = true };
    *ret = p->t.n++;
    return 0;
}

/* Adds a node. *ret: its index, or ASQ__NO_NODE: it has no port for this URL. */
static int add_node(struct parse *p, const char *endpoint, const char *ip, long long port,
                    bool fails, size_t *ret)
{
    struct asq__host host;
    *ret = ASQ__NO_NODE;
    if (++p->entries > ENTRIES_MAX)
        return nonsense(p, "repeats its nodes without end");
    if (port < 0 || port > PORT_MAX)
        return nonsense(p, "has a port that is none");
    if (port == 0)
        return 0;
    int rc = host_of(p->view, endpoint, ip, (int) port, &host);
    if (rc == 0 && !host.name)
        rc = nonsense(p, "has a host with a name that is none");
    if (rc == 0)
        rc = add_host(p, &host, ret);
    if (rc == 0)
        p->t.nodes[*ret].fails = fails;
    return rc;
}

/* Gives a master the slots from `first` to `last`; index ASQ__NO_NODE: nobody serves them. */
static int add_slots(struct parse *p, long long first, long long last, size_t index)
{
    if (first < 0 || last < first || last >= ASQ__SLOTS)
        return nonsense(p, "has slots that are none");
    for (long long i = first; i <= last; i++) {
        if (p->t.owner[i] != ASQ__NO_NODE)
            return nonsense(p, "gives a slot to two nodes");
        p->t.owner[i] = (uint16_t) index;
    }
    if (index != ASQ__NO_NODE)
        p->t.nodes[index].is_replica = false;
    return 0;
}

/* ---- CLUSTER SHARDS ---- */

/* Adds a shard's node. *ret_rank: how well it serves as the shard's master; 0: it does not. */
static int add_shard_node(struct parse *p, const redisReply *fields, size_t *ret, int *ret_rank)
{
    *ret_rank = 0;
    if (!fields || !is_list(fields))
        return nonsense(p, "has a node that is not a list of fields");
    const redisReply *port = value_of(fields, p->view->url->tls ? "tls-port" : "port");
    const redisReply *health = value_of(fields, "health");
    if (port && port->type != REDIS_REPLY_INTEGER)
        return nonsense(p, "has a port that is none");
    bool fails = is_text(health, "fail") || is_text(health, "failed");
    int rc = add_node(p, text_of(value_of(fields, "endpoint")), text_of(value_of(fields, "ip")),
                      port ? port->integer : 0, fails, ret);
    if (rc == 0 && *ret != ASQ__NO_NODE && is_text(value_of(fields, "role"), "master")) {
        p->t.nodes[*ret].is_replica = false;
        *ret_rank = fails ? 1 : is_text(health, "loading") ? 2 : 3;
    }
    return rc;
}

static int add_shard(struct parse *p, const redisReply *shard)
{
    const redisReply *slots = is_list(shard) ? value_of(shard, "slots") : NULL;
    const redisReply *nodes = is_list(shard) ? value_of(shard, "nodes") : NULL;
    size_t master = ASQ__NO_NODE, index;
    int best = 0, rank, rc = 0;
    if (!slots || !is_list(slots) || slots->elements % 2 || !nodes || !is_list(nodes))
        return nonsense(p, "has a shard without slots and nodes");
    for (size_t i = 0; i < (size_t) nodes->elements && rc == 0; i++) {
        rc = add_shard_node(p, nodes->element[i], &index, &rank);
        if (rc == 0 && rank > best) { /* a master that failed may still stand beside the new one */
            best = rank;
            master = index;
        }
    }
    for (size_t i = 0; i < (size_t) slots->elements && rc == 0; i += 2) {
        const redisReply *first = slots->element[i], *last = slots->element[i + 1];
        if (first->type != REDIS_REPLY_INTEGER || last->type != REDIS_REPLY_INTEGER)
            return nonsense(p, "has slots that are none");
        rc = add_slots(p, first->integer, last->integer, master);
    }
    return rc;
}

/* ---- CLUSTER SLOTS ---- */

static int add_slots_node(struct parse *p, const redisReply *node, size_t *ret)
{
    if (!is_list(node) || node->elements < 2 || node->element[1]->type != REDIS_REPLY_INTEGER)
        return nonsense(p, "has a node without host and port");
    const redisReply *host = node->element[0];
    const redisReply *more = node->elements > 3 ? node->element[3] : NULL;
    if (host->type != REDIS_REPLY_NIL && !text_of(host))
        return nonsense(p, "has a host with a name that is none");
    return add_node(p, text_of(host), more && is_list(more) ? text_of(value_of(more, "ip")) : NULL,
                    node->element[1]->integer, false, ret);
}

static int add_range(struct parse *p, const redisReply *range)
{
    size_t master = ASQ__NO_NODE, index;
    int rc = 0;
    if (!is_list(range) || range->elements < 3 || range->element[0]->type != REDIS_REPLY_INTEGER ||
        range->element[1]->type != REDIS_REPLY_INTEGER)
        return nonsense(p, "has a range of slots without a node");
    for (size_t i = 2; i < (size_t) range->elements && rc == 0; i++) {
        rc = add_slots_node(p, range->element[i], &index);
        if (i == 2)
            master = index;
    }
    return rc < 0 ? rc
                  : add_slots(p, range->element[0]->integer, range->element[1]->integer, master);
}

/* ---- whole ---- */

static int parse(const struct asq__topology_view *view, const redisReply *reply,
                 int (*add)(struct parse *p, const redisReply *element), struct asq__topology *ret,
                 char *err, size_t errlen)
{
    struct parse p = { .view = view, .err = err, .errlen = errlen };
    int rc = 0;
    for (int i = 0; i < ASQ__SLOTS; i++)
        p.t.owner[i] = ASQ__NO_NODE;
    if (!is_list(reply))
        rc = nonsense(&p, "is not a list");
    for (size_t i = 0; rc == 0 && i < (size_t) reply->elements; i++)
        rc = add(&p, reply->element[i]);
    if (rc == 0 && !p.t.n && p.entries)
        rc = asq__err(err, errlen, ASQ_EPROTO, "no node of the Cluster announces a port %s",
                      view->url->tls ? "for TLS; Redis 7.0 does with tls-cluster yes"
                                     : "without TLS; use rediss+cluster:");
    else if (rc == 0 && !p.t.n)
        rc = nonsense(&p, "has no nodes");
    if (rc < 0) {
        asq__topology_release(&p.t);
        return rc == ASQ_ENOMEM ? asq__err(err, errlen, rc, "out of memory") : rc;
    }
    *ret = p.t;
    return 0;
}

int asq__topology_from_shards(const struct asq__topology_view *view, const redisReply *reply,
                              struct asq__topology *ret, char *err, size_t errlen)
{
    return parse(view, reply, add_shard, ret, err, errlen);
}

int asq__topology_from_slots(const struct asq__topology_view *view, const redisReply *reply,
                             struct asq__topology *ret, char *err, size_t errlen)
{
    return parse(view, reply, add_range, ret, err, errlen);
}

void asq__topology_release(struct asq__topology *t)
{
    for (size_t i = 0; i < t->n; i++)
        asq__host_release(&t->nodes[i].host);
    free(t->nodes);
    t->nodes = NULL;
    t->n = 0;
}

uint32_t asq__topology_first_unserved(const struct asq__topology *t)
{
    uint32_t i = 0;
    while (i < ASQ__SLOTS && t->owner[i] != ASQ__NO_NODE)
        i++;
    return i;
}

/* ---- redirections ---- */

/* Reads a number and the byte behind it. False: there is none up to `most`. */
static bool read_number(const char **at, uint64_t most, char behind, uint64_t *ret)
{
    if (!asq__decimal_read(at, ret) || *ret > most || **at != behind)
        return false;
    *at += behind != '\0';
    return true;
}

enum asq__redirect_kind asq__redirect_parse(const struct asq__topology_view *view, const char *text,
                                            uint16_t *ret_slot, struct asq__host *ret_host)
{
    enum asq__redirect_kind kind = strncmp(text, "MOVED ", 6) == 0 ? ASQ__REDIRECT_MOVED
                                   : strncmp(text, "ASK ", 4) == 0 ? ASQ__REDIRECT_ASK
                                                                   : ASQ__REDIRECT_NONE;
    char name[256];
    uint64_t slot, port;
    *ret_host = (struct asq__host){ NULL, 0 };
    if (kind == ASQ__REDIRECT_NONE)
        return kind;
    text += kind == ASQ__REDIRECT_MOVED ? 6 : 4;
    if (!read_number(&text, ASQ__SLOTS - 1, ' ', &slot))
        return ASQ__REDIRECT_NONE;
    *ret_slot = (uint16_t) slot;
    const char *colon = strrchr(text, ':'); /* the last one: an IPv6 address has others */
    if (!colon || (size_t) (colon - text) >= sizeof name)
        return kind;
    memcpy(name, text, (size_t) (colon - text));
    name[colon - text] = '\0';
    text = colon + 1;
    if (strcmp(name, "?") == 0 || !read_number(&text, PORT_MAX, '\0', &port) || !port)
        return kind;
    /* Without memory the host stays unknown, and the topology is asked for. */
    (void) host_of(view, name, NULL, (int) port, ret_host);
    return kind;
}
