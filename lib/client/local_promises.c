/*
 * local_promises.c: see local_promises.h.
 */
#include "client/local_promises.h"

#include <stdlib.h>
#include <string.h>

#include "value/error.h"
#include "value/list.h"

/* A result that waits; holds a reference to it. */
struct waiter {
    struct asq__list node;
    asq_result *result;
};

struct promise {
    struct asq__node node; /* in by_id */
    struct asq__call_id id;
    char maker[ASQ__CALL_ID_TEXT];
    char token[ASQ__SETTLE_TOKEN]; /* SETTLED: of who has settled it; "": of a method */
    enum asq__promise_state state;
    asq_value *value;        /* SETTLED, resolved */
    struct asq__error error; /* SETTLED, rejected */
    struct asq__list waiters;
};

static const void *promise_key(const struct asq__node *node, size_t *n)
{
    const struct promise *p = ASQ__CONTAINER(node, struct promise, node);
    *n = sizeof p->id;
    return &p->id;
}

static struct promise *find(const struct asq__local_promises *p, const struct asq__call_id *id)
{
    struct asq__node *node = asq__table_find(&p->by_id, id, sizeof *id);
    return node ? ASQ__CONTAINER(node, struct promise, node) : NULL;
}

int asq__local_promises_init(struct asq__local_promises *p)
{
    return asq__table_init(&p->by_id, promise_key);
}

/* Completes a result by an outcome. */
static void complete(asq_result *r, const asq_value *value, const asq_error *error)
{
    asq__result_set(r, value ? asq_value_copy(value) : NULL, error);
    r->h->ncompleted++;
    if (!r->h->closed)
        asq__result_queue_callback(r);
}

static void complete_waiters(struct promise *p, const asq_value *value, const asq_error *error)
{
    struct asq__list *node;
    while ((node = asq__list_pop(&p->waiters))) {
        struct waiter *w = ASQ__CONTAINER(node, struct waiter, node);
        complete(w->result, value, error);
        asq__result_unref(w->result);
        free(w);
    }
}

static void free_promise(struct asq__node *node, void *user)
{
    static const asq_error closed = { ASQ_ECLOSED, "the handle was closed", "", "", "", "", "" };
    struct asq__local_promises *all = user;
    struct promise *p = ASQ__CONTAINER(node, struct promise, node);
    asq__table_del(&all->by_id, node);
    complete_waiters(p, NULL, &closed);
    asq_value_free(p->value);
    asq__error_clear(&p->error);
    free(p);
}

void asq__local_promises_free(struct asq__local_promises *p)
{
    asq__table_each(&p->by_id, free_promise, p);
    asq__table_release(&p->by_id);
}

int asq__local_promise_open(struct asq__local_promises *p, const struct asq__call_id *id,
                            const char *maker)
{
    struct promise *new = calloc(1, sizeof *new);
    if (!new)
        return ASQ_ENOMEM;
    new->id = *id;
    strncpy(new->maker, maker, sizeof new->maker - 1);
    new->state = ASQ__PROMISE_OPEN;
    asq__error_init(&new->error);
    asq__list_init(&new->waiters);
    asq__table_add(&p->by_id, &new->node);
    return 0;
}

int asq__local_promise_await(struct asq__local_promises *p, asq_result *r)
{
    struct promise *promise = find(p, &r->id);
    if (!promise)
        return ASQ_EEXPIRED;
    if (promise->state == ASQ__PROMISE_SETTLED) {
        complete(r, promise->value, promise->error.pub.code ? &promise->error.pub : NULL);
        return 0;
    }
    struct waiter *w = calloc(1, sizeof *w);
    if (!w)
        return ASQ_ENOMEM;
    w->result = r;
    asq__result_ref(r);
    asq__list_add(&promise->waiters, &w->node);
    return 0;
}

int asq__local_promise_settle(struct asq__local_promises *p, const struct asq__settlement *s,
                              enum asq__settled *ret)
{
    struct promise *promise = find(p, &s->id);
    if (!promise || promise->state == ASQ__PROMISE_SETTLED) {
        *ret = !promise                                             ? ASQ__SETTLED_NONE
               : *s->token && strcmp(promise->token, s->token) == 0 ? ASQ__SETTLED
                                                                    : ASQ__SETTLED_OTHER;
        return 0;
    }
    asq_value *value = NULL;
    int rc = s->code                      ? 0
             : s->value_n                 ? asq__value_decode(s->value, s->value_n, &value, NULL, 0)
             : (value = asq_value_null()) ? 0
                                          : ASQ_ENOMEM;
    if (rc < 0)
        return rc;
    if (s->code) {
        asq__error_set(&promise->error, s->code, "%.*s", ASQ__REJECTION_MAX, s->message);
        asq__error_where(&promise->error, "", "", "", "", s->id_text);
    }
    promise->value = value;
    promise->state = ASQ__PROMISE_SETTLED;
    memcpy(promise->token, s->token, sizeof promise->token);
    complete_waiters(promise, value, s->code ? &promise->error.pub : NULL);
    *ret = ASQ__SETTLED;
    return 0;
}

enum asq__promise_state asq__local_promise_find(const struct asq__local_promises *p,
                                                const struct asq__call_id *id,
                                                const asq_value **ret_value,
                                                const asq_error **ret_error, const char **ret_maker)
{
    const struct promise *promise = find(p, id);
    if (!promise)
        return ASQ__PROMISE_NONE;
    *ret_value = promise->value;
    *ret_error = promise->error.pub.code ? &promise->error.pub : NULL;
    *ret_maker = promise->maker;
    return promise->state;
}
