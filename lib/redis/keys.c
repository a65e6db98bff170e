/*
 * keys.c: see keys.h. Names are built without printf, because each call needs some.
 */
#include <string.h>

#include "asqueue.h"
#include "redis/keys.h"
#include "value/decimal.h"
#include "value/error.h"
#include "value/hex.h"

int asq__keys_init(struct asq__keys *k, const char *ns, char *err, size_t errlen)
{
    static const char allowed[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.";
    size_t n = strlen(ns);
    if (n == 0 || n > ASQ__NS_MAX || strspn(ns, allowed) != n)
        return asq__err(
            err, errlen, ASQ_EINVAL,
            "'%.80s' is not the name of a namespace: 1 to %d letters, digits, '_' and '-' are "
            "allowed "
            "('.' only in existing ones)",
            ns, ASQ__NS_MAX);
    memcpy(k->ns, ns, n + 1);
    memcpy(k->prefix, "asq:{", 5);
    memcpy(k->prefix + 5, ns, n + 1);
    k->prefix_n = n + 5;
    return 0;
}

static char *put(char *to, const char *text, size_t n)
{
    memcpy(to, text, n);
    return to + n;
}

/* Writes "asq:{N}:kind" and a name behind it, cut if it does not fit (callers have checked ids). */
static size_t put_namespace_key(const struct asq__keys *k, const char *kind, const char *name,
                                char *out)
{
    char *p = put(out, k->prefix, k->prefix_n);
    p = put(p, "}:", 2);
    p = put(p, kind, strlen(kind));
    if (name) {
        size_t n = strlen(name), room = ASQ__KEY_MAX - 1 - (size_t) (p - out);
        p = put(p, name, n < room ? n : room);
    }
    *p = '\0';
    return (size_t) (p - out);
}

/* Writes "asq:{N.p}:kind". */
static char *put_partition_key(const struct asq__keys *k, uint32_t partition, const char *kind,
                               size_t n, char *out)
{
    char *p = put(out, k->prefix, k->prefix_n);
    *p++ = '.';
    p += asq__decimal(partition, p);
    p = put(p, "}:", 2);
    p = put(p, kind, n);
    *p = '\0';
    return p;
}
#define OF_PARTITION(k, partition, kind, out)                                                      \
    ((size_t) (put_partition_key(k, partition, kind, sizeof kind - 1, out) - (out)))

size_t asq__keys_meta(const struct asq__keys *k, char *out)
{
    return put_namespace_key(k, "meta", NULL, out);
}

size_t asq__keys_workers(const struct asq__keys *k, char *out)
{
    return put_namespace_key(k, "workers", NULL, out);
}

size_t asq__keys_worker(const struct asq__keys *k, const char *id, char *out)
{
    return put_namespace_key(k, "worker:", id, out);
}

size_t asq__keys_worker_calls(const struct asq__keys *k, const char *id, char *out)
{
    return put_namespace_key(k, "worker-calls:", id, out);
}

size_t asq__keys_worker_deaths(const struct asq__keys *k, char *out)
{
    return put_namespace_key(k, "worker-deaths", NULL, out);
}

size_t asq__keys_beats(const struct asq__keys *k, char *out)
{
    return put_namespace_key(k, "beats", NULL, out);
}

size_t asq__keys_beat_changes(const struct asq__keys *k, char *out)
{
    return put_namespace_key(k, "beats:changes", NULL, out);
}

size_t asq__keys_paused(const struct asq__keys *k, char *out)
{
    return put_namespace_key(k, "paused", NULL, out);
}

size_t asq__keys_handle(const struct asq__keys *k, const char *client, char *out)
{
    return put_namespace_key(k, "handle:", client, out);
}

size_t asq__keys_moving(const struct asq__keys *k, char *out)
{
    return put_namespace_key(k, "moving", NULL, out);
}

size_t asq__keys_stats(const struct asq__keys *k, char *out)
{
    return put_namespace_key(k, "stats:now", NULL, out);
}

size_t asq__keys_channel(const struct asq__keys *k, const char *client, char *out)
{
    return put_namespace_key(k, "c:", client, out);
}

size_t asq__keys_shard_channel(const struct asq__keys *k, uint32_t partition, const char *client,
                               char *out)
{
    char *p = put_partition_key(k, partition, "c:", 2, out);
    size_t n = strlen(client), room = ASQ__KEY_MAX - 1 - (size_t) (p - out);
    p = put(p, client, n < room ? n : room);
    *p = '\0';
    return (size_t) (p - out);
}

size_t asq__keys_jobs(const struct asq__keys *k, uint32_t partition, char *out)
{
    return OF_PARTITION(k, partition, "jobs", out);
}

size_t asq__keys_jobs_moved(const struct asq__keys *k, uint32_t partition, char *out)
{
    return OF_PARTITION(k, partition, "jobs:moved", out);
}

size_t asq__keys_lease(const struct asq__keys *k, uint32_t partition, char *out)
{
    return OF_PARTITION(k, partition, "lease", out);
}

size_t asq__keys_agents(const struct asq__keys *k, uint32_t partition, char *out)
{
    return OF_PARTITION(k, partition, "agents", out);
}

size_t asq__keys_attempts(const struct asq__keys *k, uint32_t partition, char *out)
{
    return OF_PARTITION(k, partition, "attempts", out);
}

size_t asq__keys_epoch(const struct asq__keys *k, uint32_t partition, char *out)
{
    return OF_PARTITION(k, partition, "epoch", out);
}

size_t asq__keys_fences(const struct asq__keys *k, uint32_t partition, char *out)
{
    return OF_PARTITION(k, partition, "fences", out);
}

size_t asq__keys_dead(const struct asq__keys *k, uint32_t partition, char *out)
{
    return OF_PARTITION(k, partition, "dead", out);
}

size_t asq__keys_failures(const struct asq__keys *k, uint32_t partition, char *out)
{
    return OF_PARTITION(k, partition, "failures", out);
}

size_t asq__keys_barrier(const struct asq__keys *k, uint32_t partition, char *out)
{
    return OF_PARTITION(k, partition, "barrier", out);
}

size_t asq__keys_later(const struct asq__keys *k, uint32_t partition, char *out)
{
    return OF_PARTITION(k, partition, "later", out);
}

size_t asq__keys_later_jobs(const struct asq__keys *k, uint32_t partition, char *out)
{
    return OF_PARTITION(k, partition, "later:jobs", out);
}

size_t asq__keys_timers(const struct asq__keys *k, uint32_t partition, char *out)
{
    return OF_PARTITION(k, partition, "timers", out);
}

/* Writes "asq:{N.p}:k:ID", where ID is of a call or an agent; kind is "k:". */
static size_t put_id_key(const struct asq__keys *k, uint32_t partition, const char *kind,
                         const char *id, char *out)
{
    char *p = put_partition_key(k, partition, kind, 2, out);
    size_t n = strlen(id), room = ASQ__KEY_MAX - 1 - (size_t) (p - out);
    p = put(p, id, n < room ? n : room);
    *p = '\0';
    return (size_t) (p - out);
}

size_t asq__keys_agent_timers(const struct asq__keys *k, uint32_t partition, const char *agent,
                              char *out)
{
    return put_id_key(k, partition, "t:", agent, out);
}

size_t asq__keys_steps(const struct asq__keys *k, uint32_t partition, const char *call, char *out)
{
    return put_id_key(k, partition, "s:", call, out);
}

size_t asq__keys_signals(const struct asq__keys *k, uint32_t partition, const char *agent,
                         char *out)
{
    return put_id_key(k, partition, "g:", agent, out);
}

size_t asq__keys_emitted(const struct asq__keys *k, uint32_t partition, const char *call, char *out)
{
    return put_id_key(k, partition, "p:", call, out);
}

size_t asq__keys_promise(const struct asq__keys *k, uint32_t partition, const char *id, char *out)
{
    return put_id_key(k, partition, "o:", id, out);
}

size_t asq__keys_result(const struct asq__keys *k, uint32_t partition, const uint8_t *batch,
                        char *out)
{
    char *p = asq__hex(put_partition_key(k, partition, "r:", 2, out), batch, 16);
    *p = '\0';
    return (size_t) (p - out);
}

/* ---- any key ---- */

size_t asq__keys_pattern(const struct asq__keys *k, char *out)
{
    char *p = put(out, k->prefix, k->prefix_n); /* names have no byte that a pattern knows */
    p = put(p, "[.}]*", 6);
    return (size_t) (p - out) - 1;
}

bool asq__keys_parse(const struct asq__keys *k, const char *name, size_t n, uint32_t *ret_partition,
                     const char **ret_rest)
{
    const char *p = name + k->prefix_n, *end = name + n;
    uint64_t partition = ASQ__KEYS_OF_NAMESPACE;
    if (n < k->prefix_n + 2 || memcmp(name, k->prefix, k->prefix_n) != 0)
        return false;
    if (*p == '.') {
        const char *digits = ++p;
        for (partition = 0; p < end && *p >= '0' && *p <= '9' && p - digits < 6; p++)
            partition = partition * 10 + (uint64_t) (*p - '0');
        if (p == digits || (*digits == '0' && p > digits + 1))
            return false;
    }
    if (end - p < 2 || p[0] != '}' || p[1] != ':')
        return false;
    *ret_partition = (uint32_t) partition;
    *ret_rest = p + 2;
    return true;
}

size_t asq__keys_join(const struct asq__keys *k, uint32_t partition, const char *rest, size_t n,
                      char *out)
{
    char *p = partition == ASQ__KEYS_OF_NAMESPACE ? out + put_namespace_key(k, "", NULL, out)
                                                  : put_partition_key(k, partition, "", 0, out);
    p = put(p, rest, n);
    *p = '\0';
    return (size_t) (p - out);
}
