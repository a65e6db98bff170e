/*
 * futures.c: visits the futures in a tree of arguments, and replaces them by values; visits the
 * agents in it.
 */
#include <stdbool.h>
#include <stdint.h>

#include "asqueue.h"
#include "value/unconst.h"
#include "value/value.h"

/* Visits the futures in v. unawaited: visits unawaited futures, too. */
static int visit(const asq_value *v, unsigned depth, bool unawaited, asq__future_fn fn, void *user);

static inline int visit_item(const struct asq__future_place *place, unsigned depth, bool unawaited,
                             asq__future_fn fn, void *user)
{
    const asq_value *item = place->future;
    if (item->type < ASQ_LIST || item->type == ASQ_AGENT)
        return 0;
    if (item->type != ASQ_FUTURE)
        return visit(item, depth + 1, unawaited, fn, user);
    return item->future->unawaited && !unawaited ? 0 : fn(user, place);
}

/* Trees have a bounded depth; checking it again here only protects the stack. */
static int visit(const asq_value *v, unsigned depth, bool unawaited, asq__future_fn fn, void *user)
{
    struct asq__future_place place = { .container = v };
    int rc = depth > ASQ_MAX_DEPTH ? ASQ_ELIMIT : 0;
    if (v->type == ASQ_LIST) {
        for (; place.at < v->list.n && rc == 0; place.at++) {
            place.future = v->list.items[place.at];
            rc = visit_item(&place, depth, unawaited, fn, user);
        }
    } else {
        for (uint32_t i = 0; i < v->map.n && rc == 0; i++) {
            place.key = v->map.pairs[i].key;
            place.future = v->map.pairs[i].value;
            rc = visit_item(&place, depth, unawaited, fn, user);
        }
    }
    return rc;
}

int asq__value_each_future(const asq_value *root, asq__future_fn fn, void *user)
{
    struct asq__future_place place = { .future = root };
    return root ? visit_item(&place, 0, false, fn, user) : 0;
}

int asq__value_every_future(const asq_value *root, asq__future_fn fn, void *user)
{
    struct asq__future_place place = { .future = root };
    return root ? visit_item(&place, 0, true, fn, user) : 0;
}

bool asq__value_has_agent(const asq_value *v, bool (*is_meant)(void *user, const char *id),
                          void *user)
{
    if (!v || v->type < ASQ_LIST)
        return false;
    if (v->type == ASQ_AGENT)
        return is_meant(user, v->agent.id);
    bool found = false;
    for (size_t i = 0; v->type == ASQ_LIST && i < v->list.n && !found; i++)
        found = asq__value_has_agent(v->list.items[i], is_meant, user);
    for (uint32_t i = 0; v->type == ASQ_MAP && i < v->map.n && !found; i++)
        found = asq__value_has_agent(v->map.pairs[i].value, is_meant, user);
    return found;
}

int asq__future_replace(asq_value **root, const struct asq__future_place *place, asq_value *value)
{
    asq_value *container = asq__unconst(place->container);
    if (!value)
        return ASQ_ENOMEM;
    if (container)
        return place->key ? asq_map_set(container, place->key, value)
                          : asq_list_set(container, place->at, value);
    asq_value_free(*root);
    *root = value;
    return 0;
}
