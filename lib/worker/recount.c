/*
 * recount.c: see recount.h.
 *
 * A count begins with an empty set, to which needs.c adds each class that a commit or a load notes
 * from then on. It reads no page before all commits made until then are acknowledged. So an agent
 * that is there at the end was either in Redis when the first page was read, and HSCAN has returned
 * it, or was noted. The set may have a class too many until the next count, of an agent deleted
 * meanwhile.
 */
#include "worker/recount.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "asqueue.h"
#include "redis/conn.h"
#include "redis/keys.h"
#include "redis/redis.h"
#include "redis/script.h"
#include "value/classes.h"
#include "value/clock.h"
#include "value/value.h"
#include "worker/commit.h"
#include "worker/partition.h"
#include "worker/process.h"
#include "worker/process_log.h"

enum {
    LARGEST_PAGE = 500, /* agents */
    PAGE_BYTES = 256 * 1024,
    LONGEST_PAUSE_MS = 600000
};

struct page {
    struct asq__partition *p;
    uint64_t ownership;
};

static void end(struct asq__partition *p, bool shrank)
{
    struct asq__recount *r = &p->recount;
    int64_t lease_ms = p->w->config.lease_time_ms, pause_ms = 2 * r->pause_ms;
    free(r->found);
    r->found = NULL;
    r->asking = false;
    r->pause_ms = shrank || pause_ms < lease_ms ? lease_ms
                  : pause_ms > LONGEST_PAUSE_MS ? LONGEST_PAUSE_MS
                                                : pause_ms;
    r->next_ms = asq__now_ms() + r->pause_ms;
}

/* Keeps classes that are needed for calls which wait for them, though no agent has them yet. */
static int keep_wanted(struct asq__partition *p)
{
    struct asq__class_item item;
    char name[ASQ_MAX_NAME + 1];
    int rc = 0;
    for (const char *at = p->wants; rc >= 0 && asq__classes_next(&at, &item);) {
        snprintf(name, sizeof name, "%.*s", (int) item.n, item.name);
        if (asq__classes_have(p->needs, name, item.version))
            rc = asq__classes_add(&p->recount.found, name, item.version);
    }
    return rc;
}

/* Takes the set over, when all agents are counted. */
static void finish(struct asq__partition *p)
{
    if (keep_wanted(p) < 0 || strcmp(p->recount.found, p->needs ? p->needs : "") == 0) {
        end(p, false);
        return;
    }
    asq__process_log_about(p->w, ASQ_LOG_DEBUG, ASQ__LOG_ABOUT_PARTITION(p),
                           "partition %u needs the classes '%s' now, no longer '%s'", p->number,
                           p->recount.found, p->needs ? p->needs : "");
    free(p->needs);
    p->needs = p->recount.found;
    p->recount.found = NULL;
    p->needs_last = NULL;
    p->needs_unsaved = true;
    p->w->refresh_due = true;
    end(p, true);
    asq__commit_needs(p);
}

/* Adds the classes of a page. False: no memory, too many, or no answer of the script. */
static bool take_classes(struct asq__partition *p, const redisReply *reply)
{
    for (size_t i = 2; i + 1 < reply->elements; i += 2) {
        const redisReply *name = reply->element[i], *version = reply->element[i + 1];
        if (name->type != REDIS_REPLY_STRING || version->type != REDIS_REPLY_STRING)
            return false;
        if (asq__check_name("class", name->str, NULL, 0) < 0)
            continue; /* no worker can load it */
        if (asq__classes_add(&p->recount.found, name->str,
                             (uint32_t) strtoul(version->str, NULL, 10)) < 0)
            return false;
    }
    return true;
}

/* Returns how many agents the next page should have: by the size of these, but at most twice as
 * many, because the next ones may be larger. */
static uint32_t next_page(uint32_t agents, long long bytes)
{
    double fit = bytes > 0 ? (double) PAGE_BYTES * agents / (double) bytes : LARGEST_PAGE;
    uint32_t most = 2 * agents < LARGEST_PAGE ? 2 * agents : LARGEST_PAGE;
    return fit < 1 ? 1 : fit > most ? most : (uint32_t) fit;
}

static bool is_page(const redisReply *reply)
{
    return reply && reply->type == REDIS_REPLY_ARRAY && reply->elements >= 2 &&
           reply->element[0]->type == REDIS_REPLY_STRING &&
           reply->element[0]->len < sizeof(((struct asq__recount *) 0)->cursor) &&
           reply->element[1]->type == REDIS_REPLY_INTEGER;
}

static void on_page(struct asq__conn *c, const redisReply *reply, void *user)
{
    struct page *page = user;
    struct asq__partition *p = page->p;
    struct asq__recount *r = &p->recount;
    bool asked = p->ownership == page->ownership && r->asking;
    (void) c;
    free(page);
    if (!asked)
        return;
    r->asking = false;
    if (!asq__partition_is_owned(p))
        return; /* it is being released; if Redis refuses that, the page is read again */
    if (!is_page(reply) || !take_classes(p, reply)) {
        end(p, false); /* tried again later */
        return;
    }
    r->page = next_page(r->page, reply->element[1]->integer);
    strcpy(r->cursor, reply->element[0]->str);
    if (strcmp(r->cursor, "0") == 0)
        finish(p);
}

void asq__recount_upkeep(struct asq__partition *p)
{
    struct asq__recount *r = &p->recount;
    struct asq__process *w = p->w;
    char key[ASQ__KEY_MAX], count[16];
    if (!r->found || r->asking || p->acked < r->from_seq || !asq__partition_is_owned(p))
        return;
    struct page *page = malloc(sizeof *page);
    if (!page)
        return;
    *page = (struct page){ p, p->ownership };
    asq__keys_agents(asq__redis_keys(w->redis), p->number, key);
    snprintf(count, sizeof count, "%u", r->page);
    r->asking = asq__conn_cmd(asq__redis_conn(w->redis, p->number), on_page, page, "EVAL",
                              asq__script_agent_classes, "1", key, r->cursor, count, NULL) == 0;
    if (!r->asking)
        free(page); /* Redis is away */
}

void asq__recount_postpone(struct asq__partition *p)
{
    p->recount.pause_ms = 0;
    p->recount.next_ms = asq__now_ms() + p->w->config.lease_time_ms;
}

void asq__recount_begin(struct asq__partition *p)
{
    struct asq__recount *r = &p->recount;
    if (r->found || p->state != ASQ__PART_ACTIVE || asq__now_ms() < r->next_ms ||
        !(r->found = strdup("")))
        return;
    r->from_seq = p->seq;
    if (!r->page)
        r->page = 1; /* nothing is known of the size of its agents */
    strcpy(r->cursor, "0");
    p->needs_last = NULL; /* has each class noted anew */
    asq__recount_upkeep(p);
}

void asq__recount_soon(struct asq__process *w)
{
    for (uint32_t i = 0; i < w->nparts; i++)
        asq__recount_postpone(&w->parts[i]);
}
