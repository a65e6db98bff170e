/*
 * admin_agents.c: shows the agents of a deployment: all or some of them, their number, and one with
 * its state. The same keys can be read with redis-cli.
 */
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "asqueue.h"
#include "client/admin.h"
#include "client/admin_each.h"
#include "client/admin_scan.h"
#include "client/handle.h"
#include "client/pools.h"
#include "client/remote.h"
#include "redis/keys.h"
#include "redis/redis.h"
#include "redis/refusal.h"
#include "value/arena.h"
#include "value/clock.h"
#include "value/decimal.h"
#include "value/expiry.h"
#include "value/msg.h"
#include "value/pools.h"
#include "value/value.h"

enum { AT_ONCE = 4, PATTERN_SIZE = 2 * ASQ_MAX_ID + 2 };

struct search {
    const char *class_name;                        /* NULL: all */
    int (*fn)(const asq_value *agent, void *user); /* NULL: they are only counted */
    void *user;
    asq_value *row; /* what fn is given, written anew for each agent */
    int64_t n;      /* agents found */
    bool stopped;   /* fn has returned non-zero */
    size_t limit;   /* of a page, which ends there or at until_ms; 0: all at once */
    int64_t until_ms;
    char pattern[PATTERN_SIZE]; /* of ids, for HSCAN */
    struct asq__scan scan;
};

/* Finds the class of a snapshot, NUL-terminated. */
static void read_class(const redisReply *bytes, char class_name[ASQ_MAX_ID + 1])
{
    const char *at;
    size_t n;
    strcpy(class_name, "?");
    if (asq__snapshot_class(bytes->str, bytes->len, &at, &n) && n <= ASQ_MAX_ID) {
        memcpy(class_name, at, n);
        class_name[n] = '\0';
    }
}

/* Sets when an agent ends, and with which handle. */
static int set_end(asq_value *row, const struct asq__expiry *e)
{
    char handle[17];
    int64_t due_ms = asq__expiry_due_ms(e);
    int rc = due_ms < ASQ__EXPIRY_LATEST_MS ? asq_map_set_int(row, "expires_ms", due_ms) : 0;
    snprintf(handle, sizeof handle, "%016llx", (unsigned long long) e->handle);
    if (rc == 0 && e->handle)
        rc = asq_map_set(row, "with_handle", asq_value_string(handle));
    return rc;
}

/* Sets when an agent ends by itself; or nothing. */
static int set_expiry(asq_value *row, const redisReply *bytes)
{
    struct asq__expiry e;
    asq_map_remove(row, "expires_ms");
    asq_map_remove(row, "with_handle");
    return asq__snapshot_expiry(bytes->str, bytes->len, &e, NULL) ? set_end(row, &e) : 0;
}

static int give_agent(asq *h, struct search *s, uint32_t partition, const char *id,
                      const char *class_name, const redisReply *bytes)
{
    if (!s->row && !(s->row = asq_value_map()))
        return asq__fail_memory(h);
    int rc = asq_map_set(s->row, "id", asq_value_string(id));
    if (rc == 0)
        rc = asq_map_set(s->row, "class", asq_value_string(class_name));
    if (rc == 0)
        rc = asq_map_set_int(s->row, "partition", partition);
    if (rc == 0)
        rc = set_expiry(s->row, bytes);
    if (rc < 0)
        return asq__fail_memory(h);
    rc = s->fn(s->row, s->user);
    s->stopped = rc != 0;
    return rc;
}

static int take_agent(asq *h, uint32_t partition, const redisReply *id, const redisReply *bytes,
                      void *user)
{
    struct search *s = user;
    char class_name[ASQ_MAX_ID + 1];
    if (memchr(id->str, '\0', id->len) || !asq__utf8_valid(id->str, id->len))
        return 0;
    read_class(bytes, class_name);
    if (s->class_name && strcmp(s->class_name, class_name) != 0)
        return 0;
    s->n++;
    return s->fn ? give_agent(h, s, partition, id->str, class_name, bytes) : 0;
}

/* Returns whether the page that was asked for has ended. */
static bool is_enough(const void *user)
{
    const struct search *s = user;
    return s->limit && (s->n >= (int64_t) s->limit || asq__now_ms() >= s->until_ms);
}

/* Makes a pattern of HSCAN for ids that begin with the prefix. */
static int make_pattern(asq *h, const char *prefix, char pattern[PATTERN_SIZE])
{
    size_t n = strlen(prefix);
    char *to = pattern;
    if (n > ASQ_MAX_ID || !asq__utf8_valid(prefix, n))
        return asq__fail(h, ASQ_EINVAL, "no agent's id begins with the prefix: it %s",
                         n > ASQ_MAX_ID ? "is longer than an id may be" : "is not UTF-8");
    for (; *prefix; prefix++) {
        if (strchr("*?[]\\", *prefix))
            *to++ = '\\';
        *to++ = *prefix;
    }
    strcpy(to, "*");
    return 0;
}

/* Returns whether all ids with the prefix are in one partition, because their tag is in it. */
static bool has_tag(const char *prefix)
{
    const char *open = strchr(prefix, '{');
    const char *close = open ? strchr(open, '}') : NULL;
    return close && close > open + 1;
}

/* Leaves out partitions in which no agent has an id that begins so. */
static void choose_partitions(const asq *h, const char *prefix, struct asq__scan *scan)
{
    size_t n = asq__pool_in_id(prefix);
    const struct asq__pool *pool = n ? asq__pools_find(h->pools, prefix, n) : NULL;
    uint32_t first = 0, end = scan->end;
    if (n && !pool) /* it may have been made since the handle has looked */
        return;
    if (pool) {
        first = pool->first;
        end = first + pool->partitions;
    }
    if (has_tag(prefix) && asq__pools_place(h->pools, prefix, &first))
        end = first + 1;
    scan->next = scan->next < first ? first : scan->next;
    scan->end = end;
}

/* Goes through the agents from where the scan is, whose cursor is that of a page. */
static int search_all(asq *h, struct search *s, const char *prefix, int64_t deadline_ms)
{
    uint32_t partitions = h->partitions;
    struct asq__scan *scan = &s->scan;
    int rc = 0;
    scan->partitions = scan->end = partitions;
    scan->at_once = s->limit ? 1 : AT_ONCE;
    scan->pattern = s->pattern;
    scan->take = take_agent;
    scan->is_enough = is_enough;
    scan->user = s;
    if (prefix && *prefix) {
        rc = make_pattern(h, prefix, s->pattern);
        choose_partitions(h, prefix, scan);
    }
    if (rc == 0)
        rc = asq__admin_scan(h, scan, deadline_ms);
    if (rc == 0 && scan->next >= scan->end)
        scan->next = partitions;
    asq_value_free(s->row);
    return rc;
}

int asq_agents_each(asq *h, const char *class_name, const char *prefix, int64_t timeout_ms,
                    int (*fn)(const asq_value *agent, void *user), void *user)
{
    struct search s = { .class_name = class_name, .fn = fn, .user = user };
    int64_t deadline_ms = asq__deadline_ms(timeout_ms);
    if (!h || !fn)
        return asq__null(h, "asq_agents_each");
    int rc = asq__admin_begin(h, "asq_agents_each");
    if (rc < 0)
        return rc;
    rc = search_all(h, &s, prefix, deadline_ms);
    /* The handle's last error may differ from the code that fn has returned. */
    if (s.stopped && rc < 0)
        asq__fail(h, rc, "the function that was given to asq_agents_each failed: %s",
                  asq_strerror(rc));
    return asq__admin_end(h, rc);
}

static int take_number(asq *h, uint32_t partition, const redisReply *reply, void *user)
{
    (void) partition;
    if (reply->type == REDIS_REPLY_ERROR)
        return asq__fail(h, ASQ_EREDIS, "Redis: HLEN: %s%s", reply->str,
                         asq__reply_is_denial(reply) ? ASQ__DENIAL_HINT : "");
    if (reply->type != REDIS_REPLY_INTEGER)
        return asq__fail(h, ASQ_EPROTO, "Redis answered HLEN with something other than a number");
    *(int64_t *) user += reply->integer;
    return 0;
}

/* Adds up the sizes of all partitions. */
static int count_all(asq *h, int64_t deadline_ms, int64_t *ret)
{
    const struct asq__each each = { .partitions = h->partitions,
                                    .command = "HLEN",
                                    .key = asq__keys_agents,
                                    .take = take_number,
                                    .user = ret };
    return asq__admin_each(h, &each, deadline_ms);
}

int asq_agents_count(asq *h, const char *class_name, const char *prefix, int64_t timeout_ms,
                     int64_t *ret)
{
    struct search s = { .class_name = class_name };
    int64_t deadline_ms = asq__deadline_ms(timeout_ms);
    if (!h || !ret)
        return asq__null(h, "asq_agents_count");
    int rc = asq__admin_begin(h, "asq_agents_count");
    if (rc < 0)
        return rc;
    if (class_name || (prefix && *prefix))
        rc = search_all(h, &s, prefix, deadline_ms);
    else
        rc = count_all(h, deadline_ms, &s.n);
    if (rc == 0)
        *ret = s.n;
    return asq__admin_end(h, rc);
}

static int append_agent(const asq_value *agent, void *user)
{
    return asq_list_append(user, asq_value_copy(agent));
}

int asq_agents(asq *h, const char *class_name, asq_value **ret)
{
    if (!h || !ret)
        return asq__null(h, "asq_agents");
    asq_value *list = asq_value_list();
    int rc = list ? asq_agents_each(h, class_name, NULL, ASQ_FOREVER, append_agent, list)
                  : asq__fail_memory(h);
    if (rc < 0)
        asq_value_free(list);
    else
        *ret = list;
    return rc;
}

/* Reads where a page begins: PARTITION-CURSOR. */
static int read_cursor(asq *h, struct asq__scan *scan, const char *from)
{
    const char *at = from;
    uint64_t partition, cursor;
    strcpy(scan->cursor, "0");
    if (!from || !*from)
        return 0;
    if (!asq__decimal_read(&at, &partition) || *at++ != '-' || !asq__decimal_read(&at, &cursor) ||
        *at || partition >= h->partitions)
        return asq__fail(h, ASQ_EINVAL, "'%.40s' is no place where asq_agents_page has ended",
                         from);
    scan->next = (uint32_t) partition;
    snprintf(scan->cursor, sizeof scan->cursor, "%llu", (unsigned long long) cursor);
    return 0;
}

int asq_agents_page(asq *h, const char *class_name, const char *prefix, const char *from,
                    size_t limit, int64_t timeout_ms, asq_value **ret,
                    char ret_next[ASQ_CURSOR_SIZE])
{
    if (!h || !ret || !ret_next)
        return asq__null(h, "asq_agents_page");
    if (limit == 0)
        return asq__fail(h, ASQ_EINVAL, "asq_agents_page needs a limit of 1 and more");
    asq_value *list = asq_value_list();
    struct search s = { .class_name = class_name,
                        .fn = append_agent,
                        .user = list,
                        .limit = limit,
                        .until_ms = asq__deadline_ms(timeout_ms) };
    int rc = list ? asq__admin_begin(h, "asq_agents_page") : asq__fail_memory(h);
    if (rc < 0) {
        asq_value_free(list);
        return rc;
    }
    rc = read_cursor(h, &s.scan, from);
    if (rc == 0)
        rc = search_all(h, &s, prefix, INT64_MAX);
    if (s.stopped && rc < 0)
        asq__fail_memory(h);
    if (rc < 0) {
        asq_value_free(list);
    } else {
        ret_next[0] = '\0';
        if (s.scan.next < h->partitions)
            snprintf(ret_next, ASQ_CURSOR_SIZE, "%u-%s", s.scan.next, s.scan.cursor);
        *ret = list;
    }
    return asq__admin_end(h, rc);
}

struct shown {
    asq_value *map;
    const char *id;
};

static int take_snapshot(asq *h, const redisReply *reply, void *user)
{
    struct shown *shown = user;
    struct asq__arena arena;
    Asqueue__AgentRecord *snapshot;
    char why[300];
    asq_value *args = NULL, *state = NULL;
    if (reply->type != REDIS_REPLY_STRING)
        return asq__fail(h, ASQ_ENOAGENT, "there is no agent '%s'", shown->id);
    asq__arena_init(&arena, 4 * (size_t) reply->len + 4096);
    int rc =
        asq__snapshot_decode(reply->str, (size_t) reply->len, &arena, &snapshot, why, sizeof why);
    if (rc == 0 && snapshot->args.len)
        rc = asq__value_decode(snapshot->args.data, snapshot->args.len, &args, why, sizeof why);
    if (rc == 0)
        rc = asq__value_decode(snapshot->state.data, snapshot->state.len, &state, why, sizeof why);
    if (rc < 0) {
        asq__fail(h, rc, "agent '%s': %s", shown->id, why);
    } else {
        if (!args)
            args = asq_value_null();
        rc = asq_map_set(shown->map, "class", asq_value_string(snapshot->class_name));
        if (rc == 0)
            rc = asq_map_set_int(shown->map, "version", snapshot->version);
        if (rc == 0)
            rc = asq_map_set_int(shown->map, "state_bytes", (int64_t) snapshot->state.len);
        struct asq__expiry e;
        if (rc == 0 && asq__expiry_read(snapshot->expiry.data, snapshot->expiry.len, &e)) {
            rc = e.ttl_ms ? asq_map_set_int(shown->map, "ttl_ms", e.ttl_ms) : 0;
            if (rc == 0)
                rc = set_end(shown->map, &e);
        }
        if (rc == 0) {
            rc = asq_map_set(shown->map, "args", args);
            args = NULL;
        }
        if (rc == 0) {
            rc = asq_map_set(shown->map, "state", state);
            state = NULL;
        }
        if (rc < 0)
            asq__fail_memory(h);
    }
    asq_value_free(args);
    asq_value_free(state);
    asq__arena_release(&arena);
    return rc;
}

static int take_owner(asq *h, const redisReply *reply, void *user)
{
    asq_value *map = user;
    asq_value *owner = reply->type == REDIS_REPLY_STRING
                           ? asq_value_stringn(reply->str, (size_t) reply->len)
                           : asq_value_null();
    return asq_map_set(map, "owner", owner) < 0 ? asq__fail_memory(h) : 0;
}

static int show_agent(asq *h, const char *id, asq_value **ret)
{
    char key[ASQ__KEY_MAX], why[300];
    int rc = asq__check_id(id, why, sizeof why);
    if (rc < 0)
        return asq__fail(h, rc, "%s", why);
    uint32_t partition;
    if ((rc = asq__agent_partition_there(h, id, &partition)) < 0)
        return rc;
    const struct asq__keys *keys = asq__redis_keys(asq__remote_redis(h));
    struct shown shown = { asq_pack("{s:s, s:I}", "id", id, "partition", (int64_t) partition), id };
    if (!shown.map)
        return asq__fail_memory(h);
    asq__keys_lease(keys, partition, key);
    rc = asq__admin_command(h, partition, take_owner, shown.map, 3,
                            (const char *[]){ "HGET", key, "owner" });
    asq__keys_agents(keys, partition, key);
    if (rc == 0)
        rc = asq__admin_command(h, partition, take_snapshot, &shown, 3,
                                (const char *[]){ "HGET", key, id });
    if (rc < 0)
        asq_value_free(shown.map);
    else
        *ret = shown.map;
    return rc;
}

int asq_show(asq *h, const char *id, asq_value **ret)
{
    if (!h || !id || !ret)
        return asq__null(h, "asq_show");
    int rc = asq__admin_begin(h, "asq_show");
    return rc < 0 ? rc : asq__admin_end(h, show_agent(h, id, ret));
}
