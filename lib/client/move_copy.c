/*
 * move_copy.c: see move_copy.h. Keys are worked on in groups: each round asks for the next page of
 * each key of the group, and then takes the replies.
 */
#include "client/move_copy.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "asqueue.h"
#include "client/move_side.h"
#include "redis/cmd.h"

enum { GROUP = 64, ARGUMENTS = 1000 };
#define COMMAND ((size_t) 1024 * 1024) /* bytes of a written command, or one element */

/* A key of a group. */
struct work {
    struct asq__moved_key *key;
    struct asq__pages pages;
    size_t node;
    struct asq__digest digest; /* measuring */
    /* Copying: the key's name and node at the target. */
    struct asq__side *to;
    char name[ASQ__KEY_MAX];
    size_t name_n, to_node;
    struct asq__cmd cmd; /* the next write; begun by its first element */
    char last_id[64];    /* of a stream: written last */
    int64_t ttl_ms;
};

static int fail_protocol(struct asq__side *side, const struct work *w, int rc)
{
    if (rc == ASQ_EPROTO)
        return asq__side_fail(side, rc, "what Redis tells of the key %s is nonsense",
                              w->pages.name);
    return rc == ASQ_ENOMEM ? asq__side_fail(side, rc, "out of memory") : rc;
}

/* Takes a reply. A stream that has expired meanwhile is an error of XINFO alone. */
static int take_page(struct asq__side *side, struct work *w, const redisReply *reply,
                     asq__element_fn fn)
{
    if (reply->type == REDIS_REPLY_ERROR && strstr(reply->str, "no such key")) {
        w->pages.done = true;
        return 0;
    }
    return reply->type == REDIS_REPLY_ERROR
               ? asq__side_refused(side, reply)
               : fail_protocol(side, w, asq__pages_take(&w->pages, reply, fn, w));
}

/* Reads all pages of a group. */
static int read_pages(struct asq__side *side, struct work *group, size_t n, asq__element_fn fn,
                      const struct asq__move_tick *tick)
{
    struct asq__cmd cmd;
    size_t left = n;
    int rc = 0;
    asq__cmd_init(&cmd);
    while (rc == 0 && left) {
        struct work *asked[GROUP];
        size_t count = 0;
        for (size_t i = 0; rc == 0 && i < n; i++)
            if (!group[i].pages.done) {
                asq__pages_ask(&group[i].pages, &cmd);
                rc = asq__side_append(side, group[i].node, &cmd);
                asked[count++] = &group[i];
            }
        for (size_t i = 0; rc == 0 && i < count; i++) {
            redisReply *reply;
            rc = asq__side_reply_or_error(side, asked[i]->node, &reply);
            if (rc < 0)
                break;
            rc = take_page(side, asked[i], reply, fn);
            freeReplyObject(reply);
        }
        if (rc == 0 && tick && tick->fn)
            rc = tick->fn(tick->user);
        left = count;
    }
    asq__cmd_release(&cmd);
    return rc;
}

static void begin(struct asq__side *side, enum asq__key_view view, struct work *w,
                  struct asq__moved_key *key)
{
    char name[ASQ__KEY_MAX];
    size_t n = asq__moved_key_name(side, view, key, name);
    *w = (struct work){ .key = key, .node = asq__side_node_of(side, name, n) };
    asq__pages_begin(&w->pages, name, n, key->type);
}

/* Asks how long each key of a group lives: ms, -1 (for ever), -2 (it is gone). */
static int read_ttls(struct asq__side *side, struct work *group, size_t n)
{
    struct asq__cmd cmd;
    int rc = 0;
    asq__cmd_init(&cmd);
    for (size_t i = 0; rc == 0 && i < n; i++) {
        asq__cmd_reset(&cmd);
        asq__cmd_puts(&cmd, "PTTL");
        asq__cmd_put(&cmd, group[i].pages.name, group[i].pages.name_n);
        rc = asq__side_append(side, group[i].node, &cmd);
    }
    asq__cmd_release(&cmd);
    for (size_t i = 0; rc == 0 && i < n; i++) {
        redisReply *reply;
        rc = asq__side_reply(side, group[i].node, &reply);
        if (rc < 0)
            break;
        group[i].ttl_ms = reply->type == REDIS_REPLY_INTEGER ? reply->integer : -2;
        freeReplyObject(reply);
    }
    return rc;
}

/* ---- measuring ---- */

static int measure_element(void *user, const redisReply *a, const redisReply *b)
{
    struct work *w = user;
    return asq__digest_element(&w->digest, a, b);
}

static void note(struct work *w)
{
    struct asq__moved_key *key = w->key;
    asq__digest_end(&w->digest, &w->pages);
    key->has_ttl = w->ttl_ms >= 0;
    key->bytes = w->digest.bytes;
    key->items = w->digest.items;
    memcpy(key->sum, w->digest.sum, sizeof key->sum);
    if (w->ttl_ms == -2 || (key->type == ASQ__KEY_STREAM && key->items == 0 &&
                            strcmp(w->pages.last_id, "0-0") == 0)) /* as none, for a reader */
        key->type = ASQ__KEY_NONE;
}

int asq__move_measure(struct asq__side *side, enum asq__key_view view, struct asq__moved_keys *keys,
                      const struct asq__move_tick *tick)
{
    struct work *group = calloc(GROUP, sizeof *group);
    int rc = group ? 0 : asq__side_fail(side, ASQ_ENOMEM, "out of memory");
    for (size_t from = 0; rc == 0 && from < keys->n; from += GROUP) {
        size_t n = keys->n - from < GROUP ? keys->n - from : GROUP;
        for (size_t i = 0; i < n; i++) {
            begin(side, view, &group[i], &keys->list[from + i]);
            asq__digest_begin(&group[i].digest, group[i].key->type);
        }
        rc = read_pages(side, group, n, measure_element, tick);
        if (rc == 0)
            rc = read_ttls(side, group, n);
        for (size_t i = 0; i < n; i++) {
            if (rc == 0)
                note(&group[i]);
            asq__digest_release(&group[i].digest);
        }
    }
    free(group);
    return rc;
}

/* ---- copying ---- */

/* Sends the write that is begun. */
static int send_write(struct work *w)
{
    int rc = w->cmd.argc ? asq__side_write(w->to, w->to_node, &w->cmd) : 0;
    asq__cmd_reset(&w->cmd);
    return rc;
}

/* Begins a write unless one is begun, or sends that first because it is long. */
static int begin_write(struct work *w, const char *command)
{
    int rc = w->cmd.bytes.len > COMMAND || w->cmd.argc > ARGUMENTS ? send_write(w) : 0;
    if (rc == 0 && w->cmd.argc == 0) {
        asq__cmd_puts(&w->cmd, command);
        asq__cmd_put(&w->cmd, w->name, w->name_n);
    }
    return rc;
}

static int copy_entry(struct work *w, const redisReply *id, const redisReply *fields)
{
    int rc = begin_write(w, "XADD");
    if (rc < 0)
        return rc;
    asq__cmd_put(&w->cmd, id->str, id->len);
    for (size_t i = 0; i < fields->elements; i++)
        asq__cmd_put(&w->cmd, fields->element[i]->str, fields->element[i]->len);
    memcpy(w->last_id, id->str, id->len + 1); /* an id that pages take is short */
    return send_write(w);
}

static int copy_element(void *user, const redisReply *a, const redisReply *b)
{
    struct work *w = user;
    const char *const commands[] = { [ASQ__KEY_STRING] = "APPEND",
                                     [ASQ__KEY_HASH] = "HSET",
                                     [ASQ__KEY_SET] = "SADD",
                                     [ASQ__KEY_ZSET] = "ZADD" };
    if (w->pages.type == ASQ__KEY_STREAM)
        return copy_entry(w, a, b);
    int rc = begin_write(w, commands[w->pages.type]);
    if (rc < 0)
        return rc;
    if (w->pages.type == ASQ__KEY_ZSET)
        asq__cmd_put(&w->cmd, b->str, b->len);
    asq__cmd_put(&w->cmd, a->str, a->len);
    if (w->pages.type == ASQ__KEY_HASH)
        asq__cmd_put(&w->cmd, b->str, b->len);
    return w->pages.type == ASQ__KEY_STRING ? send_write(w) : 0;
}

static int write_words(struct work *w, int argc, const char *const *argv)
{
    asq__cmd_reset(&w->cmd);
    asq__cmd_puts(&w->cmd, argv[0]);
    asq__cmd_put(&w->cmd, w->name, w->name_n);
    for (int i = 1; i < argc; i++)
        asq__cmd_puts(&w->cmd, argv[i]);
    return send_write(w);
}

/* Writes what pages do not have: an empty string; a stream's highest id, which no later entry may
 * have, though its own entry is gone; the time to live. */
static int finish(struct work *w)
{
    char ms[24];
    int rc = send_write(w);
    if (w->ttl_ms == -2) /* gone meanwhile */
        return rc < 0 ? rc : write_words(w, 1, (const char *[]){ "UNLINK" });
    if (rc == 0 && w->pages.type == ASQ__KEY_STRING && w->pages.offset == 0)
        rc = write_words(w, 2, (const char *[]){ "APPEND", "" });
    if (rc == 0 && w->pages.type == ASQ__KEY_STREAM && strcmp(w->pages.last_id, w->last_id) != 0 &&
        strcmp(w->pages.last_id, "0-0") != 0) {
        rc = write_words(w, 4, (const char *[]){ "XADD", w->pages.last_id, "moved", "" });
        if (rc == 0)
            rc = write_words(w, 2, (const char *[]){ "XDEL", w->pages.last_id });
    }
    if (rc == 0 && w->ttl_ms >= 0) {
        snprintf(ms, sizeof ms, "%lld", (long long) (w->ttl_ms > 1 ? w->ttl_ms : 1));
        rc = write_words(w, 2, (const char *[]){ "PEXPIRE", ms });
    }
    return rc;
}

static int copy_group(struct asq__side *from, struct work *group, size_t n,
                      const struct asq__move_tick *tick)
{
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < n; i++)
        rc = write_words(&group[i], 1, (const char *[]){ "UNLINK" });
    if (rc == 0)
        rc = read_pages(from, group, n, copy_element, tick);
    if (rc == 0)
        rc = read_ttls(from, group, n);
    for (size_t i = 0; rc == 0 && i < n; i++)
        rc = finish(&group[i]);
    return rc;
}

int asq__move_copy(struct asq__side *from, enum asq__key_view view, struct asq__side *to,
                   struct asq__moved_key *const *keys, size_t n, const struct asq__move_tick *tick)
{
    struct work *group = calloc(GROUP, sizeof *group);
    int rc = group ? 0 : asq__side_fail(from, ASQ_ENOMEM, "out of memory");
    for (size_t at = 0; rc == 0 && at < n; at += GROUP) {
        size_t count = n - at < GROUP ? n - at : GROUP;
        for (size_t i = 0; i < count; i++) {
            struct work *w = &group[i];
            begin(from, view, w, keys[at + i]);
            w->to = to;
            w->name_n = asq__moved_key_name(to, ASQ__VIEW_MOVING, w->key, w->name);
            w->to_node = asq__side_node_of(to, w->name, w->name_n);
            asq__cmd_init(&w->cmd);
        }
        rc = copy_group(from, group, count, tick);
        for (size_t i = 0; i < count; i++)
            asq__cmd_release(&group[i].cmd);
    }
    free(group);
    return rc < 0 ? rc : asq__side_flush(to);
}
