/*
 * move_keys.c: see move_keys.h.
 */
#include "client/move_keys.h"

#include <stdlib.h>
#include <string.h>

#include "asqueue.h"
#include "client/move_side.h"
#include "redis/cmd.h"

enum { PAGE = 1000 };

/* ---- kinds ---- */

static const char *const kind_names[ASQ__KINDS] = {
    "agents",  "calls",    "later", "results",  "steps",  "promises", "emitted", "timers",
    "signals", "attempts", "dead",  "failures", "leases", "pauses",   "other",
};

const char *asq__kind_name(enum asq__key_kind kind)
{
    return kind_names[kind];
}

/* Names, or with a ':' at the end beginnings of names. Leases of the time, barriers and fences are
 * of processes that talk to the former Redis. */
struct known {
    const char *name;
    enum asq__key_kind kind;
};
static const struct known of_partitions[] = {
    { "jobs", ASQ__KIND_CALLS },
    { "jobs:moved", ASQ__KIND_STAYS }, /* unless it is sealed: it is then found as jobs */
    { "agents", ASQ__KIND_AGENTS },
    { "later", ASQ__KIND_LATER },
    { "later:jobs", ASQ__KIND_LATER },
    { "r:", ASQ__KIND_RESULTS },
    { "s:", ASQ__KIND_STEPS },
    { "o:", ASQ__KIND_PROMISES },
    { "p:", ASQ__KIND_EMITTED },
    { "timers", ASQ__KIND_TIMERS },
    { "t:", ASQ__KIND_TIMERS },
    { "g:", ASQ__KIND_SIGNALS },
    { "attempts", ASQ__KIND_ATTEMPTS },
    { "dead", ASQ__KIND_DEAD },
    { "failures", ASQ__KIND_FAILURES },
    { "lease", ASQ__KIND_LEASES },
    { "epoch", ASQ__KIND_LEASES },
    { "lease:time", ASQ__KIND_STAYS },
    { "jobs:mended", ASQ__KIND_STAYS },
    { "barrier", ASQ__KIND_STAYS },
    { "fences", ASQ__KIND_STAYS },
};
static const struct known of_namespace[] = {
    { "paused", ASQ__KIND_PAUSES },       { "handle:", ASQ__KIND_STAYS },
    { "workers", ASQ__KIND_STAYS },       { "worker:", ASQ__KIND_STAYS },
    { "worker-calls:", ASQ__KIND_STAYS }, { "worker-deaths", ASQ__KIND_STAYS },
    { "beats", ASQ__KIND_STAYS },         { "beats:changes", ASQ__KIND_STAYS },
    { "stats:", ASQ__KIND_STAYS },
};

static bool is(const char *rest, size_t n, const char *name)
{
    return n == strlen(name) && memcmp(rest, name, n) == 0;
}

static enum asq__key_kind kind_of(uint32_t partition, const char *rest, size_t n)
{
    bool mine = partition == ASQ__KEYS_OF_NAMESPACE;
    const struct known *known = mine ? of_namespace : of_partitions;
    size_t count =
        mine ? sizeof of_namespace / sizeof *known : sizeof of_partitions / sizeof *known;
    for (size_t i = 0; i < count; i++) {
        size_t len = strlen(known[i].name);
        bool prefix = known[i].name[len - 1] == ':';
        if (prefix ? n > len && memcmp(rest, known[i].name, len) == 0 : is(rest, n, known[i].name))
            return known[i].kind;
    }
    return ASQ__KIND_OTHER;
}

/* ---- finding ---- */

int asq__moved_key_compare(const struct asq__moved_key *a, const struct asq__moved_key *b)
{
    size_t n = a->rest_n < b->rest_n ? a->rest_n : b->rest_n;
    if (a->partition != b->partition)
        return a->partition < b->partition ? -1 : 1;
    int c = memcmp(a->rest, b->rest, n);
    return c ? c : (a->rest_n > b->rest_n) - (a->rest_n < b->rest_n);
}

static int compare(const void *a, const void *b)
{
    return asq__moved_key_compare(a, b);
}

size_t asq__moved_key_name(const struct asq__side *side, enum asq__key_view view,
                           const struct asq__moved_key *key, char *out)
{
    if (view == ASQ__VIEW_SEALED && key->kind == ASQ__KIND_CALLS)
        return asq__keys_jobs_moved(&side->keys, key->partition, out);
    return asq__keys_join(&side->keys, key->partition, key->rest, key->rest_n, out);
}

static int add(struct asq__side *side, struct asq__moved_keys *keys, uint32_t partition,
               const char *rest, size_t n, enum asq__key_kind kind)
{
    if (keys->n == keys->cap) {
        size_t cap = keys->cap ? 2 * keys->cap : 256;
        void *more = realloc(keys->list, cap * sizeof *keys->list);
        if (!more)
            return asq__side_fail(side, ASQ_ENOMEM, "out of memory");
        keys->list = more;
        keys->cap = cap;
    }
    struct asq__moved_key key = {
        .partition = partition, .rest = malloc(n + 1), .rest_n = (uint16_t) n, .kind = kind
    };
    if (!key.rest)
        return asq__side_fail(side, ASQ_ENOMEM, "out of memory");
    memcpy(key.rest, rest, n);
    key.rest[n] = '\0';
    keys->list[keys->n++] = key;
    return 0;
}

/* Takes a name that SCAN has found on a node. */
static int take(struct asq__side *side, enum asq__key_view view, const char *name, size_t n,
                struct asq__moved_keys *keys)
{
    uint32_t partition;
    const char *rest;
    if (!asq__keys_parse(&side->keys, name, n, &partition, &rest))
        return 0;
    size_t rest_n = n - (size_t) (rest - name);
    bool mine = partition == ASQ__KEYS_OF_NAMESPACE;
    if (mine && (is(rest, rest_n, "meta") || is(rest, rest_n, "moving")))
        return 0;
    if (n >= ASQ__KEY_MAX || rest_n > ASQ__KEY_REST_MAX)
        return asq__side_fail(side, ASQ_ELIMIT,
                              "the key %.80s… has a longer name than asqueue writes; remove or "
                              "rename it",
                              name);
    if (view == ASQ__VIEW_ALL || (!mine && partition >= side->meta.partitions))
        return add(side, keys, partition, rest, rest_n, ASQ__KIND_OTHER);
    if (view == ASQ__VIEW_SEALED && !mine && is(rest, rest_n, "jobs"))
        return 0; /* the seal */
    if (view == ASQ__VIEW_SEALED && !mine && is(rest, rest_n, "jobs:moved"))
        return add(side, keys, partition, "jobs", 4, ASQ__KIND_CALLS);
    enum asq__key_kind kind = kind_of(partition, rest, rest_n);
    return kind == ASQ__KIND_STAYS ? 0 : add(side, keys, partition, rest, rest_n, kind);
}

/* Asks for the types of the keys from the first on. */
static int ask_types(struct asq__side *side, enum asq__key_view view, struct asq__moved_keys *keys,
                     size_t first)
{
    char name[ASQ__KEY_MAX];
    struct asq__cmd cmd;
    int rc = 0;
    asq__cmd_init(&cmd);
    for (size_t i = first; rc == 0 && i < keys->n; i++) {
        size_t n = asq__moved_key_name(side, view, &keys->list[i], name);
        asq__cmd_reset(&cmd);
        asq__cmd_puts(&cmd, "TYPE");
        asq__cmd_put(&cmd, name, n);
        rc = asq__side_append(side, asq__side_node_of(side, name, n), &cmd);
    }
    asq__cmd_release(&cmd);
    for (size_t i = first; rc == 0 && i < keys->n; i++) {
        redisReply *reply;
        size_t n = asq__moved_key_name(side, view, &keys->list[i], name);
        rc = asq__side_reply(side, asq__side_node_of(side, name, n), &reply);
        if (rc < 0)
            break;
        keys->list[i].type = asq__key_type_of(reply);
        if (keys->list[i].type == ASQ__KEY_OTHER)
            rc = asq__side_fail(side, ASQ_EREDIS,
                                "the key %s has the type %.20s, which asqueue does not use; remove "
                                "or rename it",
                                name, reply->type == REDIS_REPLY_STATUS ? reply->str : "?");
        freeReplyObject(reply);
    }
    return rc;
}

/* Reads a page of SCAN of a node; *cursor is "0" behind the last. */
static int scan_page(struct asq__side *side, size_t node, enum asq__key_view view, char cursor[32],
                     struct asq__moved_keys *keys)
{
    char pattern[ASQ__KEY_MAX];
    struct asq__cmd cmd;
    redisReply *reply;
    size_t first = keys->n;
    asq__keys_pattern(&side->keys, pattern);
    asq__cmd_init(&cmd);
    asq__cmd_puts(&cmd, "SCAN");
    asq__cmd_puts(&cmd, cursor);
    asq__cmd_puts(&cmd, "MATCH");
    asq__cmd_puts(&cmd, pattern);
    asq__cmd_puts(&cmd, "COUNT");
    asq__cmd_number(&cmd, PAGE);
    int rc = asq__side_run(side, node, &cmd, &reply);
    asq__cmd_release(&cmd);
    if (rc < 0)
        return rc;
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 2 ||
        reply->element[0]->type != REDIS_REPLY_STRING || reply->element[0]->len >= 32 ||
        reply->element[1]->type != REDIS_REPLY_ARRAY)
        rc = asq__side_fail(side, ASQ_EPROTO, "the reply to SCAN is nonsense");
    for (size_t i = 0; rc == 0 && i < reply->element[1]->elements; i++) {
        const redisReply *name = reply->element[1]->element[i];
        /* A node may have a stale copy of a key whose slot is another's. */
        if (name->type == REDIS_REPLY_STRING &&
            asq__side_node_of(side, name->str, name->len) == node)
            rc = take(side, view, name->str, name->len, keys);
    }
    if (rc == 0)
        memcpy(cursor, reply->element[0]->str, reply->element[0]->len + 1);
    freeReplyObject(reply);
    return rc < 0 || view == ASQ__VIEW_ALL ? rc : ask_types(side, view, keys, first);
}

/* Sorts the keys, and drops those that SCAN has found again. */
static void sort(struct asq__moved_keys *keys)
{
    size_t n = 0;
    if (keys->n)
        qsort(keys->list, keys->n, sizeof *keys->list, compare);
    for (size_t i = 0; i < keys->n; i++)
        if (n && compare(&keys->list[n - 1], &keys->list[i]) == 0)
            free(keys->list[i].rest);
        else
            keys->list[n++] = keys->list[i];
    keys->n = n;
}

int asq__moved_keys_scan(struct asq__side *side, enum asq__key_view view,
                         struct asq__moved_keys *ret)
{
    struct asq__moved_keys keys = { 0 };
    int rc = 0;
    for (size_t node = 0; rc == 0 && node < side->nodes.n; node++) {
        char cursor[32] = "0";
        do
            rc = scan_page(side, node, view, cursor, &keys);
        while (rc == 0 && strcmp(cursor, "0") != 0);
    }
    sort(&keys);
    if (rc == 0)
        *ret = keys;
    else
        asq__moved_keys_release(&keys);
    return rc;
}

void asq__moved_keys_release(struct asq__moved_keys *keys)
{
    for (size_t i = 0; i < keys->n; i++)
        free(keys->list[i].rest);
    free(keys->list);
    *keys = (struct asq__moved_keys){ 0 };
}

int asq__moved_keys_unlink(struct asq__side *side, bool keep_seals, size_t *ret_n)
{
    char name[ASQ__KEY_MAX];
    struct asq__moved_keys keys;
    struct asq__cmd cmd;
    int rc = asq__moved_keys_scan(side, ASQ__VIEW_ALL, &keys);
    if (rc < 0)
        return rc;
    *ret_n = 0;
    asq__cmd_init(&cmd);
    for (size_t i = 0; rc == 0 && i < keys.n; i++) {
        const struct asq__moved_key *key = &keys.list[i];
        if (keep_seals && key->partition != ASQ__KEYS_OF_NAMESPACE &&
            is(key->rest, key->rest_n, "jobs"))
            continue;
        size_t n = asq__moved_key_name(side, ASQ__VIEW_ALL, key, name);
        asq__cmd_reset(&cmd);
        asq__cmd_puts(&cmd, "UNLINK");
        asq__cmd_put(&cmd, name, n);
        rc = asq__side_write(side, asq__side_node_of(side, name, n), &cmd);
        ++*ret_n;
    }
    asq__cmd_release(&cmd);
    asq__moved_keys_release(&keys);
    return rc < 0 ? rc : asq__side_flush(side);
}
