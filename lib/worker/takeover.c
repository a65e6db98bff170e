/*
 * takeover.c: see takeover.h.
 */
#include "worker/takeover.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "asqueue.h"
#include "worker/partition.h"
#include "worker/process.h"
#include "worker/process_log.h"

void asq__takeover_expect(struct asq__partition *p, const char *owner, const char *place)
{
    free(p->taken_from);
    p->taken_from = NULL;
    if (owner && *owner && asprintf(&p->taken_from, "%s%s", owner, place) < 0)
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
    if (i < t->n) {
        t->list[i].n++;
    } else if (t->n < ASQ__TAKEOVERS_MAX) {
        t->list[t->n].from = from;
        t->list[t->n++].n = 1;
        return;
    } else {
        t->others++;
    }
    free(from);
}

void asq__takeovers_log(struct asq__process *w)
{
    struct asq__takeovers *t = &w->takeovers;
    char text[1000];
    size_t n = 0;
    if (!t->n)
        return;
    for (size_t i = 0; i < t->n && n < sizeof text; i++)
        n += (size_t) snprintf(text + n, sizeof text - n, "%s%u partition%s of %s", i ? ", " : "",
                               t->list[i].n, t->list[i].n == 1 ? "" : "s", t->list[i].from);
    if (t->others && n < sizeof text)
        snprintf(text + n, sizeof text - n, ", %u of others", t->others);
    asq__process_log(w, ASQ_LOG_INFO, "has taken over %s", text);
    asq__takeovers_release(w);
}

void asq__takeovers_release(struct asq__process *w)
{
    struct asq__takeovers *t = &w->takeovers;
    while (t->n)
        free(t->list[--t->n].from);
    t->others = 0;
}
