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
#include "worker/process.h"
#include "worker/process_log.h"

void asq__takeover_expect(struct asq__partition *p, const char *owner, const char *place)
{
    free(p->taken_from);
    p->taken_from = NULL;
    if (!owner || !*owner)
        return;
    p->taken_from_id = strlen(owner);
    p->taken_epoch = p->known_epoch;
    if (asprintf(&p->taken_from, "%s%s", owner, place) < 0)
        p->taken_from = NULL; /* without memory it is not told */
}

void asq__takeover_count(struct asq__partition *p)
{
    struct asq__takeovers *t = &p->w->takeovers;
    char *from = p->taken_from;
    size_t i = 0;
    p->taken_from = NULL;
    if (!from)
        return;
    while (i < t->n && strcmp(t->list[i].from, from) != 0)
        i++;
    if (i == ASQ__TAKEOVERS_MAX) {
        asq__takeovers_tell(p->w);
        i = 0;
    }
    struct asq__takeover *one = &t->list[i];
    if (i == t->n) {
        t->n++;
        *one = (struct asq__takeover){ .from = from, .id = p->taken_from_id };
    } else {
        free(from);
    }
    one->n++;
    if (p->taken_epoch > one->epoch)
        one->epoch = p->taken_epoch;
}

/* Returns whether an earlier process of the same id had the partitions. */
static bool is_own(const struct asq__process *w, const struct asq__takeover *one)
{
    return strlen(w->config.id) == one->id && memcmp(one->from, w->config.id, one->id) == 0;
}

static void log_taken(struct asq__process *w)
{
    const struct asq__takeovers *t = &w->takeovers;
    char text[1000];
    size_t n = 0;
    for (size_t i = 0; i < t->n && n < sizeof text; i++)
        if (!is_own(w, &t->list[i]))
            n += (size_t) snprintf(text + n, sizeof text - n, "%s%u partition%s of %s",
                                   n ? ", " : "", t->list[i].n, t->list[i].n == 1 ? "" : "s",
                                   t->list[i].from);
    if (n)
        asq__process_log(w, ASQ_LOG_INFO, "has taken over %s", text);
}

void asq__takeovers_tell(struct asq__process *w)
{
    const struct asq__takeovers *t = &w->takeovers;
    log_taken(w);
    for (size_t i = 0; i < t->n; i++) {
        char owner[ASQ_MAX_ID + 32];
        snprintf(owner, sizeof owner, "%.*s", (int) t->list[i].id, t->list[i].from);
        asq__heir_note(w, owner, t->list[i].n, t->list[i].epoch);
    }
    asq__takeovers_release(w);
}

void asq__takeovers_release(struct asq__process *w)
{
    struct asq__takeovers *t = &w->takeovers;
    while (t->n)
        free(t->list[--t->n].from);
}
