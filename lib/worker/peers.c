/*
 * peers.c: see peers.h.
 */
#include "worker/peers.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "asqueue.h"
#include "redis/refusal.h"
#include "redis/reply.h"
#include "value/classes.h"
#include "value/clock.h"
#include "value/decimal.h"
#include "value/error.h"
#include "value/list.h"
#include "value/pools.h"
#include "value/table.h"
#include "value/value.h"
#include "worker/process.h"

enum { MAX_LEASE_MS = 24 * 3600 * 1000, MAX_CAPACITY = 4096 };

static const void *peer_key(const struct asq__node *node, size_t *n)
{
    const struct asq__peer *p = ASQ__CONTAINER(node, struct asq__peer, node);
    *n = strlen(p->id);
    return p->id;
}

int asq__peers_init(struct asq__table *peers)
{
    return asq__table_init(peers, peer_key);
}

struct asq__peer *asq__peers_find(const struct asq__table *peers, const char *id)
{
    struct asq__node *node = asq__table_find(peers, id, strlen(id));
    return node ? ASQ__CONTAINER(node, struct asq__peer, node) : NULL;
}

struct asq__peer *asq__peers_list(struct asq__table *peers, const char *id, void *owner)
{
    struct asq__peer *p = asq__peers_find(peers, id);
    if (!p) {
        p = calloc(1, sizeof *p);
        if (!p || !(p->id = strdup(id))) {
            free(p);
            return NULL;
        }
        p->owner = owner;
        p->moved_ms = asq__now_ms();
        asq__table_add(peers, &p->node);
    }
    p->listed = true;
    p->left = false;
    return p;
}

static void unlist(struct asq__node *node, void *user)
{
    (void) user;
    ASQ__CONTAINER(node, struct asq__peer, node)->listed = false;
}

void asq__peers_unlist(struct asq__table *peers)
{
    asq__table_each(peers, unlist, NULL);
}

static void peer_free(struct asq__table *peers, struct asq__peer *p)
{
    asq__table_del(peers, &p->node);
    free(p->id);
    free(p->knows.text);
    free(p->knows.other);
    free(p->pools.text);
    free(p->pools.other);
    free(p);
}

static void forget_unlisted(struct asq__node *node, void *user)
{
    struct asq__table *peers = user;
    struct asq__peer *p = ASQ__CONTAINER(node, struct asq__peer, node);
    if (p->listed)
        return;
    peer_free(peers, p);
}

void asq__peers_forget_unlisted(struct asq__table *peers)
{
    asq__table_each(peers, forget_unlisted, peers);
}

static void forget(struct asq__node *node, void *user)
{
    peer_free(user, ASQ__CONTAINER(node, struct asq__peer, node));
}

void asq__peers_release(struct asq__table *peers)
{
    asq__table_each(peers, forget, peers);
    asq__table_release(peers);
}

/* ---- what they say ---- */

bool asq__peer_is_client(const redisReply *r)
{
    return r->type == REDIS_REPLY_STRING &&
           r->len == sizeof(((struct asq__process *) 0)->client) - 1 &&
           strspn(r->str, "0123456789abcdef") == r->len;
}

bool asq__peer_may_be_called(const redisReply *id)
{
    char why[200];
    return id->len > 0 && id->len < ASQ_MAX_ID + 16 && strlen(id->str) == id->len &&
           (id->len > ASQ_MAX_ID || asq__check_id(id->str, why, sizeof why) == 0);
}

/* Takes a heartbeat. An older one may come later, because reads and messages cross. */
bool asq__peer_see_heartbeat(struct asq__peer *p, long long number)
{
    if (p->seen && (number == p->heartbeat || number == p->before))
        return false;
    bool proves = p->seen && p->whole && !p->proven;
    p->proven |= proves;
    p->before = p->seen ? p->heartbeat : number;
    p->heartbeat = number;
    p->seen = true;
    p->moved_ms = asq__now_ms();
    return proves;
}

/* Returns the lease time in the text; 0: it is invalid. */
static int64_t lease_time_of(const redisReply *text)
{
    int64_t ms = text->type == REDIS_REPLY_STRING ? strtoll(text->str, NULL, 10) : 0;
    return ms > 0 && ms <= MAX_LEASE_MS ? ms : 0;
}

/* Reads a number. False: it is none, or above `max`. */
static bool read_number(const redisReply *text, uint64_t max, uint64_t *ret)
{
    const char *at = text->type == REDIS_REPLY_STRING ? text->str : "";
    uint64_t number;
    if (!asq__decimal_read(&at, &number) || *at || number > max)
        return false;
    *ret = number;
    return true;
}

/* Takes the capacity of a worker, and the heartbeat beside it. A process has one capacity, and
 * writes it with each heartbeat. So a value that stays for less than a heartbeat is a foreign one,
 * which would move all partitions, and back. Announced heartbeats do not count here: they may come
 * after the value, and be of before it. */
static void see_capacity(struct asq__peer *p, uint32_t capacity, long long heartbeat)
{
    if (!p->whole) {
        p->capacity = capacity;
    } else if (capacity == p->capacity) {
        p->other_capacity = 0;
    } else if (capacity != p->other_capacity) {
        p->other_capacity = capacity;
        p->other_heartbeat = heartbeat;
    } else if (heartbeat != p->other_heartbeat) {
        p->capacity = capacity;
        p->other_capacity = 0;
    }
}

static bool is_same(const char *a, const char *b)
{
    return a && b ? strcmp(a, b) == 0 : a == b;
}

static void take_text(char **to, const char *text)
{
    free(*to);
    *to = text ? strdup(text) : NULL;
}

/* Takes what a worker says with each heartbeat; another text is believed as another capacity is. */
static void see_text(struct asq__peer *p, struct asq__peer_text *t, const char *text,
                     long long heartbeat)
{
    if (!p->whole) {
        take_text(&t->text, text);
    } else if (is_same(text, t->text)) {
        t->other_heartbeat = 0;
    } else if (!t->other_heartbeat || !is_same(text, t->other)) {
        take_text(&t->other, text);
        t->other_heartbeat = heartbeat;
    } else if (heartbeat != t->other_heartbeat) {
        take_text(&t->text, text);
        t->other_heartbeat = 0;
    }
}

/* Returns a field that is a text; NULL: it is none, or says `all`, as where it is missing. */
static const char *text_of(const redisReply *field, const char *all)
{
    return field->type == REDIS_REPLY_STRING && strcmp(field->str, all) != 0 ? field->str : NULL;
}

/* Takes which process it is. What a hash without a process has leaves the last one. */
static void see_process(struct asq__peer *p, redisReply *const *field)
{
    const redisReply *host = field[ASQ__PEER_HOST], *pid = field[ASQ__PEER_PID];
    if (host->type == REDIS_REPLY_STRING && pid->type == REDIS_REPLY_STRING) {
        snprintf(p->host, sizeof p->host, "%s", host->str);
        snprintf(p->pid, sizeof p->pid, "%s", pid->str);
    }
    if (asq__peer_is_client(field[ASQ__PEER_CLIENT]))
        memcpy(p->client, field[ASQ__PEER_CLIENT]->str, sizeof p->client);
}

const char *asq__peer_place(const struct asq__peer *p, char text[ASQ__PEER_PLACE])
{
    *text = '\0';
    if (p && *p->pid)
        snprintf(text, ASQ__PEER_PLACE, " (host %s, process %s)", p->host, p->pid);
    return text;
}

bool asq__peer_see(struct asq__peer *p, redisReply *const *field)
{
    uint64_t heartbeat = 0, capacity = 0;
    bool has_heartbeat = read_number(field[ASQ__PEER_HEARTBEAT], INT64_MAX, &heartbeat);
    bool has_capacity = read_number(field[ASQ__PEER_CAPACITY], MAX_CAPACITY, &capacity) && capacity;
    p->present = field[ASQ__PEER_HEARTBEAT]->type == REDIS_REPLY_STRING;
    p->stopping = asq__reply_is(field[ASQ__PEER_STOPPING], "1");
    p->lease_time_ms = lease_time_of(field[ASQ__PEER_LEASE_TIME]);
    see_process(p, field);
    bool proves = has_heartbeat && asq__peer_see_heartbeat(p, (long long) heartbeat);
    if (has_heartbeat && has_capacity)
        see_capacity(p, (uint32_t) capacity, (long long) heartbeat);
    if (has_heartbeat) {
        see_text(p, &p->knows, text_of(field[ASQ__PEER_KNOWS], ASQ__CLASSES_ALL),
                 (long long) heartbeat);
        see_text(p, &p->pools, text_of(field[ASQ__PEER_POOLS], ASQ__POOL_DEFAULT),
                 (long long) heartbeat);
    }
    p->whole |= has_heartbeat && has_capacity && p->lease_time_ms &&
                asq__reply_is(field[ASQ__PEER_ID], p->id) &&
                asq__peer_is_client(field[ASQ__PEER_CLIENT]);
    return proves;
}

void asq__peer_see_alive(struct asq__peer *p, bool alive)
{
    if (!alive)
        p->missed_heartbeat = p->heartbeat;
    p->missed = !alive || (p->missed && p->heartbeat == p->missed_heartbeat);
}
