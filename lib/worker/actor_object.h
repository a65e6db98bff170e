/*
 * actor_object.h: an agent in memory as one allocation: what core knows of it, its object, its id.
 */
#ifndef ASQ_WORKER_ACTOR_OBJECT_H
#define ASQ_WORKER_ACTOR_OBJECT_H

#include "client/object.h"
#include "value/list.h"
#include "worker/core/actor.h"

struct asq__actor_memory {
    struct asq__actor actor;
    struct asq__object object;
    char id[];
};

static inline struct asq__object *asq__actor_object(const struct asq__actor *a)
{
    return &ASQ__CONTAINER(a, struct asq__actor_memory, actor)->object;
}

#endif
