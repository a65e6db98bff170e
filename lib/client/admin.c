/*
 * admin.c: shows the workers, classes and agents of a deployment, and asks a worker to stop. The
 * same keys can be read with redis-cli. Local mode has no deployment.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "client/admin.h"
#include "client/class.h"
#include "client/handle.h"
#include "client/remote.h"
#include "redis/conn.h"
#include "redis/keys.h"
#include "redis/redis.h"
#include "redis/refusal.h"
#include "redis/script.h"
#include "value/arena.h"
#include "value/clock.h"
#include "value/decimal.h"
#include "value/hash.h"
#include "value/msg.h"
#include "value/value.h"

enum {
    HASH_LIVES_LEASES = 10,
    MAX_LEASE_MS = 24 * 3600 * 1000,
    MAX_FIELD = 1024 * 1024, /* bytes; workers write less */
    MAX_FIELD_NAME = 100,
    CLASSES_HEIGHT = 8 /* workers write fewer levels: {class: {methods: [{flags: [flag]}]}} */
};

static int out_of_memory(asq *h)
{
    return asq__fail(h, ASQ_ENOMEM, "out of memory");
}

/* One sending of a query. The connection answers each exactly once, at the latest when it ends.
 * A reply that comes too late for its asker frees this. */
struct ask {
    asq *h;
    struct asq__query *q; /* NULL: the asker has given up */
    bool done;
    int rc;
};

/* Returns the first key of a command or a script. */
static const char *key_of(const struct asq__query *q)
{
    int at = strcmp(q->argv[0], "EVAL") == 0 ? 3 : 1;
    return q->argc > at ? q->argv[at] : q->argv[0];
}

static bool begins_with(const char *text, const char *with)
{
    return strncmp(text, with, strlen(with)) == 0;
}

static void on_answer(struct asq__conn *c, const redisReply *reply, void *user)
{
    struct ask *a = user;
    (void) c;
    if (!a->q) {
        free(a);
        return;
    }
    a->done = true;
    if (!reply)
        a->rc = ASQ_ECONN;
    else if (reply->type == REDIS_REPLY_ERROR) {
        a->q->denied =
            begins_with(reply->str, "NOPERM") || begins_with(reply->str, "ERR unknown command");
        a->q->wrong_type = begins_with(reply->str, "WRONGTYPE");
        a->rc = asq__fail(a->h, ASQ_EREDIS, "Redis: %s: %s%s", key_of(a->q), reply->str,
                          asq__reply_is_denial(reply) ? ASQ__DENIAL_HINT : "");
    } else
        a->rc = a->q->take(a->h, reply, a->q->user);
}

static int was_closed(asq *h)
{
    return asq__fail(h, ASQ_ECLOSED, "a callback closed the handle");
}

int asq__admin_begin(asq *h, const char *what)
{
    if (h->closed)
        return asq__fail(h, ASQ_ECLOSED, "the handle was closed");
    if (h->mode != &asq__remote_mode)
        return asq__fail(h, ASQ_ENOTSUP, "%s is not possible %s", what,
                         h->in_method ? "inside a method" : "in local mode");
    h->admin_until_ms = asq__deadline_ms(h->timeout_ms);
    asq__handle_enter(h);
    int rc = asq__remote_ready(h);
    return rc < 0 ? asq__admin_end(h, rc) : 0;
}

int asq__admin_end(asq *h, int rc)
{
    asq__handle_leave(h);
    return rc;
}

void asq__admin_extend(asq *h, int64_t deadline_ms)
{
    h->admin_until_ms = asq__deadline_ms(h->timeout_ms);
    if (h->admin_until_ms > deadline_ms)
        h->admin_until_ms = deadline_ms;
}

static int too_late(asq *h)
{
    return asq__fail(h, ASQ_ETIMEOUT, "Redis did not answer in time");
}

/* Sends once and waits. ASQ_ECONN: no reply will come, and time is left to ask again. */
static int ask_once(asq *h, struct asq__query *q)
{
    struct asq__conn *conn = asq__redis_conn(asq__remote_redis(h), q->partition);
    struct ask *a;
    int rc;
    if (!asq__redis_is_up(asq__remote_redis(h)))
        return ASQ_ECONN;
    if (!(a = calloc(1, sizeof *a)))
        return out_of_memory(h);
    a->h = h;
    a->q = q;
    if (asq__conn_argv(conn, on_answer, a, q->argc, q->argv, q->lens) < 0) {
        free(a);
        return ASQ_ECONN;
    }
    q->sent++;
    asq__conn_flush(conn);
    /* Ends with the reply, when the connection is given up, or at the timeout. */
    while (!a->done) {
        int64_t left = h->admin_until_ms - asq__now_ms();
        if (left <= 0) {
            a->q = NULL;
            return too_late(h);
        }
        asq__remote_pump(h, left < 100 ? left : 100);
        if (h->closed && !a->done) {
            a->q = NULL;
            return was_closed(h);
        }
    }
    rc = a->rc;
    free(a);
    return rc;
}

int asq__admin_ask(asq *h, struct asq__query *q)
{
    q->denied = q->wrong_type = false;
    while (asq__now_ms() < h->admin_until_ms) {
        if (h->closed)
            return was_closed(h);
        int rc = ask_once(h, q);
        if (rc != ASQ_ECONN)
            return rc;
        asq__remote_pump(h, 50);
    }
    return too_late(h);
}

static int ask(asq *h, uint32_t partition, int (*take)(asq *, const redisReply *, void *),
               void *user, int argc, const char *const *argv)
{
    struct asq__query q = { partition, take, user, argc, argv, NULL, 0, false, false };
    return asq__admin_ask(h, &q);
}

/* ---- ping ---- */

static int take_nothing(asq *h, const redisReply *reply, void *user)
{
    (void) h;
    (void) reply;
    (void) user;
    return 0;
}

int asq_ping(asq *h, double *ret_ms)
{
    if (!h)
        return ASQ_EINVAL;
    struct timespec from, to;
    if (h->mode == &asq__local_mode) {
        if (ret_ms)
            *ret_ms = 0;
        return 0;
    }
    int rc = asq__admin_begin(h, "asq_ping");
    if (rc < 0)
        return rc;
    clock_gettime(CLOCK_MONOTONIC, &from);
    rc = ask(h, 0, take_nothing, NULL, 1, (const char *[]){ "PING" });
    clock_gettime(CLOCK_MONOTONIC, &to);
    if (rc == 0 && ret_ms)
        *ret_ms =
            (double) (to.tv_sec - from.tv_sec) * 1e3 + (double) (to.tv_nsec - from.tv_nsec) / 1e6;
    return asq__admin_end(h, rc);
}

/* ---- workers ---- */

/* Reads a list of strings. */
static int take_strings(asq *h, const redisReply *reply, void *user)
{
    asq_value *list = user;
    if (reply->type != REDIS_REPLY_ARRAY)
        return asq__fail(h, ASQ_EPROTO, "Redis answered with something other than a list");
    for (size_t i = 0; i < reply->elements; i++)
        if (reply->element[i]->type == REDIS_REPLY_STRING &&
            strlen(reply->element[i]->str) == reply->element[i]->len &&
            asq__utf8_valid(reply->element[i]->str, reply->element[i]->len) && /* else not an id */
            asq_list_append(list, asq_value_stringn(reply->element[i]->str,
                                                    (size_t) reply->element[i]->len)) < 0)
            return out_of_memory(h);
    return 0;
}

static bool is_number(const char *text, size_t n, int64_t *ret)
{
    const char *at = text;
    uint64_t number;
    if (!asq__decimal_read(&at, &number) || at != text + n || number > INT64_MAX)
        return false;
    *ret = (int64_t) number;
    return true;
}

/* Makes a value of a field of a worker's hash; numbers become numbers. *ret: NULL if no worker
 * writes such a value. ASQ_ENOMEM. */
static int field_value(const char *name, const char *text, size_t n, asq_value **ret)
{
    static const char *const numbers[] = {
        "pid",          "beat",     "capacity",   "partitions",
        "calls",        "failures", "agents",     "lease_time_ms",
        "dead_letters", "parked",   "stack_used", "stacks_unguarded",
        "agent_bytes",  NULL
    };
    asq_value *v = NULL;
    *ret = NULL;
    if (n > MAX_FIELD)
        return 0;
    if (strcmp(name, "classes") == 0) {
        int rc = asq_from_json(text, n, &v, NULL, 0);
        if (rc < 0)
            return rc == ASQ_ENOMEM ? rc : 0;
        if (asq_value_type(v) == ASQ_MAP && v->height <= CLASSES_HEIGHT)
            *ret = v;
        else
            asq_value_free(v);
        return 0;
    }
    if (strcmp(name, "stopping") == 0)
        v = asq_value_bool(strcmp(text, "1") == 0);
    for (int i = 0; !v && numbers[i]; i++)
        if (strcmp(name, numbers[i]) == 0) {
            int64_t number;
            if (!is_number(text, n, &number))
                return 0;
            v = asq_value_int(number);
        }
    if (!v)
        v = asq__utf8_valid(text, n) ? asq_value_stringn(text, n) : asq_value_bytes(text, n);
    *ret = v;
    return v ? 0 : ASQ_ENOMEM;
}

static int take_hash(asq *h, const redisReply *reply, void *user)
{
    asq_value *map = user;
    if (reply->type != REDIS_REPLY_ARRAY)
        return asq__fail(h, ASQ_EPROTO, "Redis answered with something other than a hash");
    for (size_t i = 0; i + 1 < reply->elements; i += 2) {
        const redisReply *name = reply->element[i], *text = reply->element[i + 1];
        if (name->type != REDIS_REPLY_STRING || text->type != REDIS_REPLY_STRING ||
            strlen(name->str) != (size_t) name->len || name->len > MAX_FIELD_NAME ||
            !asq__utf8_valid(name->str, (size_t) name->len))
            continue;
        asq_value *v;
        if (field_value(name->str, text->str, (size_t) text->len, &v) < 0 ||
            (v && asq_map_set(map, name->str, v) < 0))
            return out_of_memory(h);
    }
    return 0;
}

static int take_int(asq *h, const redisReply *reply, void *user)
{
    if (reply->type != REDIS_REPLY_INTEGER)
        return asq__fail(h, ASQ_EPROTO, "Redis answered with something other than a number");
    *(long long *) user = reply->integer;
    return 0;
}

/* Each heartbeat sets the hash's TTL; the part of it that has passed is the heartbeat's age. */
bool asq__admin_is_alive(int64_t lease_ms, int64_t ttl_ms)
{
    if (lease_ms <= 0 || lease_ms > MAX_LEASE_MS) /* no worker writes this */
        return false;
    return ttl_ms >= 0 && lease_ms * HASH_LIVES_LEASES - ttl_ms < lease_ms;
}

int64_t asq__admin_lease_time(const char *text, size_t n)
{
    int64_t ms;
    return is_number(text, n, &ms) ? ms : 0;
}

static int one_worker(asq *h, const char *id, asq_value **ret)
{
    char key[ASQ__KEY_MAX];
    asq_value *map = asq_value_map();
    long long ttl = -2;
    if (!map)
        return out_of_memory(h);
    asq__keys_worker(asq__redis_keys(asq__remote_redis(h)), id, key);
    /* A key that is not a hash is not a worker, and must not hide the others. */
    int rc = ask(h, 0, take_hash, map, 2, (const char *[]){ "HGETALL", key });
    if (rc == ASQ_EREDIS && strstr(asq_errmsg(h), "WRONGTYPE"))
        rc = 0;
    if (rc == 0)
        rc = ask(h, 0, take_int, &ttl, 2, (const char *[]){ "PTTL", key });
    if (rc == 0) {
        bool alive = asq__admin_is_alive(asq_map_int(map, "lease_time_ms"), ttl);
        if (asq_map_set(map, "id", asq_value_string(id)) < 0 ||
            asq_map_set(map, "alive", asq_value_bool(alive)) < 0)
            rc = out_of_memory(h);
    }
    if (rc < 0)
        asq_value_free(map);
    else
        *ret = map;
    return rc;
}

static int compare_strings(const void *a, const void *b)
{
    return asq_value_compare(*(asq_value *const *) a, *(asq_value *const *) b);
}

int asq__admin_worker_ids(asq *h, asq_value **ret)
{
    char key[ASQ__KEY_MAX];
    asq_value *ids = asq_value_list();
    if (!ids)
        return out_of_memory(h);
    asq__keys_workers(asq__redis_keys(asq__remote_redis(h)), key);
    int rc = ask(h, 0, take_strings, ids, 2, (const char *[]){ "SMEMBERS", key });
    if (rc < 0) {
        asq_value_free(ids);
        return rc;
    }
    if (ids->list.n)
        qsort(ids->list.items, ids->list.n, sizeof(asq_value *), compare_strings);
    *ret = ids;
    return 0;
}

static int list_workers(asq *h, asq_value **ret)
{
    asq_value *ids = NULL, *list = NULL;
    int rc = asq__admin_worker_ids(h, &ids);
    if (rc == 0 && !(list = asq_value_list()))
        rc = out_of_memory(h);
    for (size_t i = 0; rc == 0 && i < asq_list_size(ids); i++) {
        const char *id;
        asq_value *worker;
        asq_value_get_string(asq_list_get(ids, i), &id, NULL);
        rc = one_worker(h, id, &worker);
        if (rc == 0 && asq_list_append(list, worker) < 0)
            rc = out_of_memory(h);
    }
    asq_value_free(ids);
    if (rc < 0)
        asq_value_free(list);
    else
        *ret = list;
    return rc;
}

int asq_workers(asq *h, asq_value **ret)
{
    if (!h || !ret)
        return asq__null(h, "asq_workers");
    int rc = asq__admin_begin(h, "asq_workers");
    return rc < 0 ? rc : asq__admin_end(h, list_workers(h, ret));
}

static int add_classes(asq *h, asq_value *all, const asq_value *classes)
{
    for (size_t i = 0; i < asq_map_size(classes); i++) {
        const char *name;
        const asq_value *about = asq_map_at(classes, i, &name);
        if (asq_value_type(about) != ASQ_MAP)
            continue; /* not written by a worker */
        asq_value *known = asq_map_find(all, name);
        if (!known) {
            if (asq_map_set(all, name, asq_value_copy(about)) < 0 ||
                !(known = asq_map_find(all, name)) || asq_map_set_int(known, "workers", 0) < 0)
                return out_of_memory(h);
        }
        if (asq_map_set_int(known, "workers", asq_map_int(known, "workers") + 1) < 0)
            return out_of_memory(h);
    }
    return 0;
}

static int list_classes(asq *h, asq_value **ret)
{
    asq_value *workers = NULL, *all = NULL;
    int rc = list_workers(h, &workers);
    if (rc < 0)
        return rc;
    if (!(all = asq_value_map()))
        rc = out_of_memory(h);
    /* Live workers come first: their classes prevail over those of dead workers and of other
     * hashes. */
    for (size_t i = 0; rc == 0 && i < 2 * asq_list_size(workers); i++) {
        const asq_value *worker = asq_list_get(workers, i % asq_list_size(workers));
        bool alive = false;
        asq_value_get_bool(asq_map_get(worker, "alive"), &alive);
        if (alive == (i < asq_list_size(workers)))
            rc = add_classes(h, all, asq_map_get(worker, "classes"));
    }
    asq_value_free(workers);
    if (rc < 0)
        asq_value_free(all);
    else
        *ret = all;
    return rc;
}

int asq_classes(asq *h, asq_value **ret)
{
    if (!h || !ret)
        return asq__null(h, "asq_classes");
    if (h->mode == &asq__local_mode && h->registry) {
        asq_value *all = asq__registry_describe(h->registry);
        if (!all)
            return out_of_memory(h);
        *ret = all;
        return 0;
    }
    int rc = asq__admin_begin(h, "asq_classes");
    return rc < 0 ? rc : asq__admin_end(h, list_classes(h, ret));
}

static int stop_worker(asq *h, const char *worker_id)
{
    asq_value *ids = NULL;
    char key[ASQ__KEY_MAX], names[400] = "";
    size_t n = strlen(worker_id), asked = 0, listed = 0;
    int rc = asq__admin_worker_ids(h, &ids);
    for (size_t i = 0; rc == 0 && i < asq_list_size(ids); i++) {
        const char *id;
        asq_value_get_string(asq_list_get(ids, i), &id, NULL);
        size_t used = strlen(names);
        snprintf(names + used, sizeof names - used, "%s%s", used ? ", " : "", id);
        if (strncmp(id, worker_id, n) != 0 || (id[n] != '\0' && id[n] != '.'))
            continue;
        listed++;
        asq__keys_worker(asq__redis_keys(asq__remote_redis(h)), id, key);
        long long is_worker = 0;
        rc = ask(h, 0, take_int, &is_worker, 4,
                 (const char *[]){ "EVAL", asq__script_stop, "1", key });
        asked += is_worker == 1;
    }
    asq_value_free(ids);
    if (rc < 0)
        return rc;
    if (listed && !asked)
        return asq__fail(
            h, ASQ_ENOENT,
            "worker '%s' is dead: the list still has it, but it has sent no heartbeat for long",
            worker_id);
    if (!asked)
        return asq__fail(h, ASQ_ENOENT, "there is no worker '%s'; there %s: %s", worker_id,
                         *names ? "are" : "is", *names ? names : "none at all");
    asq__keys_channel(asq__redis_keys(asq__remote_redis(h)), "workers", key);
    return ask(h, 0, take_nothing, NULL, 3, (const char *[]){ "PUBLISH", key, "stop" });
}

int asq_stop_worker(asq *h, const char *worker_id)
{
    if (!h || !worker_id)
        return asq__null(h, "asq_stop_worker");
    int rc = asq__admin_begin(h, "asq_stop_worker");
    return rc < 0 ? rc : asq__admin_end(h, stop_worker(h, worker_id));
}

/* ---- agents ---- */

enum { SCAN_COUNT = 500, SCAN_BYTES = 1 << 20 };

struct scan {
    const char *class_name;
    int (*fn)(const asq_value *agent, void *user);
    void *user;
    uint32_t partition;
    size_t n_agents, bytes; /* of the last page */
    bool stopped;           /* fn has returned non-zero */
    char cursor[32];
};

static int take_agent(asq *h, struct scan *s, const redisReply *id, const redisReply *bytes)
{
    struct asq__arena arena;
    Asqueue__AgentRecord *snapshot;
    const char *class_name = "?";
    int rc = 0;
    asq__arena_init(&arena, 4 * (size_t) bytes->len + 4096);
    if (asq__snapshot_decode(bytes->str, (size_t) bytes->len, &arena, &snapshot, NULL, 0) == 0)
        class_name = snapshot->class_name;
    if (!s->class_name || strcmp(s->class_name, class_name) == 0) {
        asq_value *agent = asq_pack("{s:s, s:s, s:I}", "id", id->str, "class", class_name,
                                    "partition", (int64_t) s->partition);
        rc = agent ? s->fn(agent, s->user) : out_of_memory(h);
        s->stopped = agent && rc != 0;
        asq_value_free(agent);
    }
    asq__arena_release(&arena);
    return rc;
}

static int take_scan(asq *h, const redisReply *reply, void *user)
{
    struct scan *s = user;
    int rc = 0;
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 2 ||
        reply->element[0]->type != REDIS_REPLY_STRING ||
        reply->element[1]->type != REDIS_REPLY_ARRAY)
        return asq__fail(h, ASQ_EPROTO,
                         "Redis answered HSCAN with something other than a page of fields");
    snprintf(s->cursor, sizeof s->cursor, "%s", reply->element[0]->str);
    const redisReply *pairs = reply->element[1];
    for (size_t i = 0; rc == 0 && i + 1 < pairs->elements; i += 2) {
        const redisReply *id = pairs->element[i], *bytes = pairs->element[i + 1];
        if (id->type != REDIS_REPLY_STRING || bytes->type != REDIS_REPLY_STRING)
            continue;
        s->n_agents++;
        s->bytes += (size_t) bytes->len;
        if (!memchr(id->str, '\0', (size_t) id->len) && asq__utf8_valid(id->str, (size_t) id->len))
            rc = take_agent(h, s, id, bytes);
        if (rc == 0 && h->closed)
            rc = was_closed(h);
    }
    return rc;
}

/* Lists the agents of a partition, in pages of about SCAN_BYTES, estimated by the last page. */
static int scan_partition(asq *h, struct scan *s, int64_t deadline_ms)
{
    char key[ASQ__KEY_MAX], count[16];
    size_t wanted = 16;
    int rc;
    asq__keys_agents(asq__redis_keys(asq__remote_redis(h)), s->partition, key);
    strcpy(s->cursor, "0");
    do {
        snprintf(count, sizeof count, "%zu", wanted);
        s->n_agents = s->bytes = 0;
        asq__admin_extend(h, deadline_ms);
        rc = ask(h, s->partition, take_scan, s, 5,
                 (const char *[]){ "HSCAN", key, s->cursor, "COUNT", count });
        if (s->n_agents) {
            wanted = SCAN_BYTES / (s->bytes / s->n_agents + 1);
            wanted = wanted < 1 ? 1 : wanted > SCAN_COUNT ? SCAN_COUNT : wanted;
        }
    } while (rc == 0 && strcmp(s->cursor, "0") != 0);
    return rc;
}

int asq_agents_each(asq *h, const char *class_name, int64_t timeout_ms,
                    int (*fn)(const asq_value *agent, void *user), void *user)
{
    struct scan s = { .class_name = class_name, .fn = fn, .user = user };
    int64_t deadline_ms = asq__deadline_ms(timeout_ms);
    int rc;
    if (!h || !fn)
        return asq__null(h, "asq_agents_each");
    rc = asq__admin_begin(h, "asq_agents_each");
    if (rc < 0)
        return rc;
    for (; rc == 0 && s.partition < h->partitions; s.partition++)
        rc = scan_partition(h, &s, deadline_ms);
    /* The handle's last error may differ from the code that fn has returned. */
    if (s.stopped && rc < 0)
        asq__fail(h, rc, "the function that was given to asq_agents_each failed: %s",
                  asq_strerror(rc));
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
    int rc = list ? asq_agents_each(h, class_name, ASQ_FOREVER, append_agent, list)
                  : asq__fail(h, ASQ_ENOMEM, "out of memory");
    if (rc < 0)
        asq_value_free(list);
    else
        *ret = list;
    return rc;
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
        if (rc == 0) {
            rc = asq_map_set(shown->map, "args", args);
            args = NULL;
        }
        if (rc == 0) {
            rc = asq_map_set(shown->map, "state", state);
            state = NULL;
        }
        if (rc < 0)
            out_of_memory(h);
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
    return asq_map_set(map, "owner", owner) < 0 ? out_of_memory(h) : 0;
}

static int show_agent(asq *h, const char *id, asq_value **ret)
{
    char key[ASQ__KEY_MAX], why[300];
    int rc = asq__check_id(id, why, sizeof why);
    if (rc < 0)
        return asq__fail(h, rc, "%s", why);
    uint32_t partition = asq__partition_of(id, strlen(id), h->partitions);
    const struct asq__keys *keys = asq__redis_keys(asq__remote_redis(h));
    struct shown shown = { asq_pack("{s:s, s:I}", "id", id, "partition", (int64_t) partition), id };
    if (!shown.map)
        return out_of_memory(h);
    asq__keys_lease(keys, partition, key);
    rc = ask(h, partition, take_owner, shown.map, 3, (const char *[]){ "HGET", key, "owner" });
    asq__keys_agents(keys, partition, key);
    if (rc == 0)
        rc = ask(h, partition, take_snapshot, &shown, 3, (const char *[]){ "HGET", key, id });
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
