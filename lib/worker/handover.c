/*
 * handover.c: see handover.h.
 */
#include "worker/handover.h"

#include <ev.h>
#include <pthread.h>

#include "worker/process.h"

void asq__handovers_init(struct asq__process *w)
{
    asq__list_init(&w->handover);
    pthread_mutex_init(&w->handover_lock, NULL);
}

void asq__handovers_release(struct asq__process *w)
{
    pthread_mutex_destroy(&w->handover_lock);
}

void asq__process_hand_over(struct asq__process *w, struct asq__handover *h)
{
    pthread_mutex_lock(&w->handover_lock);
    bool first = asq__list_empty(&w->handover);
    asq__list_add(&w->handover, &h->node);
    pthread_mutex_unlock(&w->handover_lock);
    if (first && !pthread_equal(pthread_self(), w->thread))
        asq__process_wake(w);
}

bool asq__process_is_quiet(struct asq__process *w)
{
    if (!pthread_equal(pthread_self(), w->thread))
        return false;
    pthread_mutex_lock(&w->handover_lock);
    bool quiet = asq__list_empty(&w->handover);
    pthread_mutex_unlock(&w->handover_lock);
    return quiet;
}

bool asq__handovers_take(struct asq__process *w)
{
    struct asq__list taken, *node;
    asq__list_init(&taken);
    pthread_mutex_lock(&w->handover_lock);
    asq__list_splice(&taken, &w->handover);
    pthread_mutex_unlock(&w->handover_lock);
    bool any = !asq__list_empty(&taken);
    while ((node = asq__list_pop(&taken))) {
        struct asq__handover *h = ASQ__CONTAINER(node, struct asq__handover, node);
        h->handle(h);
    }
    return any;
}

void asq__process_wake(struct asq__process *w)
{
    ev_async_send(w->loop, &w->wake);
}
