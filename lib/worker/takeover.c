/*
 * takeover.c: see takeover.h.
 */
#include "worker/takeover.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "asqueue.h"
#include "worker/deaths.h"
#include "worker/partition.h"
#include "worker/peers.h"
#include "worker/process.h"
#include "worker/process_log.h"

/* The owner that a partition, or several, had before. */
struct asq__former {
    char client[sizeof((struct asq__peer *) 0)->client]; /* of its last process; "": unknown */
    uint64_t epoch;                                      /* of the lease; of several, the highest */
    size_t id;   /* length of the id, with which the text begins */
    char text[]; /* id and place */
};

void asq__takeover_expect(struct asq__partition *p, const char *owner, const struct asq__peer *peer)
{
    char place[ASQ__PEER_PLACE];
    free(p->former);
    p->former = NULL;
    if (!owner || !*owner)
        return;
    size_t n = strlen(owner) + strlen(asq__peer_place(peer, place)) + 1;
    struct asq__former *f = p->former = malloc(sizeof *f + n);
    if (!f) /* without memory it is not told */
        return;
    snprintf(f->client, sizeof f->client, "%s", peer ? peer->client : "");
    f->epoch = p->known_epoch;
    f->id = strlen(owner);
    snprintf(f->text, n, "%s%s", owner, place);
}

static bool is_same(const struct asq__former *a, const struct asq__former *b)
{
    return strcmp(a->text, b->text) == 0 && strcmp(a->client, b->client) == 0;
}

void asq__takeover_count(struct asq__partition *p)
{
    struct asq__takeovers *t = &p->w->takeovers;
    struct asq__former *former = p->former;
    size_t i = 0;
    p->former = NULL;
    if (!former)
        return;
    while (i < t->n && !is_same(t->list[i].former, former))
        i++;
    if (i == ASQ__TAKEOVERS_MAX) {
        asq__takeovers_tell(p->w);
        i = 0;
    }
    struct asq__takeover *one = &t->list[i];
    if (i == t->n) {
        t->n++;
        *one = (struct asq__takeover){ .former = former };
    } else {
        if (former->epoch > one->former->epoch)
            one->former->epoch = former->epoch;
        free(former);
    }
    one->n++;
}

/* Returns whether an earlier process of the same id had the partitions. */
static bool is_own(const struct asq__process *w, const struct asq__former *f)
{
    return strlen(w->config.id) == f->id && memcmp(f->text, w->config.id, f->id) == 0;
}

static void log_taken(struct asq__process *w)
{
    const struct asq__takeovers *t = &w->takeovers;
    char text[1000];
    size_t n = 0;
    for (size_t i = 0; i < t->n && n < sizeof text; i++)
        if (!is_own(w, t->list[i].former))
            n += (size_t) snprintf(text + n, sizeof text - n, "%s%u partition%s of %s",
                                   n ? ", " : "", t->list[i].n, t->list[i].n == 1 ? "" : "s",
                                   t->list[i].former->text);
    if (n)
        asq__process_log(w, ASQ_LOG_INFO, "has taken over %s", text);
}

void asq__takeovers_tell(struct asq__process *w)
{
    const struct asq__takeovers *t = &w->takeovers;
    log_taken(w);
    for (size_t i = 0; i < t->n; i++) {
        const struct asq__former *f = t->list[i].former;
        char owner[ASQ_MAX_ID + 32];
        snprintf(owner, sizeof owner, "%.*s", (int) f->id, f->text);
        asq__heir_note(w, owner, f->client, t->list[i].n, f->epoch);
    }
    asq__takeovers_release(w);
}

void asq__takeovers_release(struct asq__process *w)
{
    struct asq__takeovers *t = &w->takeovers;
    while (t->n)
        free(t->list[--t->n].former);
}
