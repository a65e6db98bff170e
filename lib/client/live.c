/*
 * live.c: see live.h, and asq_ctx_publish.
 */
#include "client/live.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "client/object.h"
#include "client/step_log.h"
#include "value/error.h"
#include "value/value.h"

struct asq__live *asq__live_ref(struct asq__live *l)
{
    atomic_fetch_add_explicit(&l->refs, 1, memory_order_relaxed);
    return l;
}

void asq__live_unref(struct asq__live *l)
{
    if (!l || atomic_fetch_sub_explicit(&l->refs, 1, memory_order_acq_rel) != 1)
        return;
    asq__buf_release(&l->bytes);
    free(l);
}

const struct asq__live_value *asq__live_find(const struct asq__live *l, const char *name)
{
    for (size_t i = 0; l && i < l->n; i++)
        if (strcmp(l->values[i].name, name) == 0)
            return &l->values[i];
    return NULL;
}

/* Appends an encoded value. */
static int put_value(asq_ctx *ctx, struct asq__live *l, const asq_value *value)
{
    if (value)
        asq__value_encode(value, &l->bytes);
    if (l->bytes.error == ASQ_ELIMIT || (value && asq_value_encoded_size(value) < 0))
        return asq_fail(ctx, ASQ_ELIMIT,
                        "the live attributes of an agent may have %d bytes together, and be nested "
                        "%d deep",
                        ASQ__LIVE_MAX, ASQ_MAX_DEPTH);
    return l->bytes.error ? asq_fail(ctx, ASQ_ENOMEM, "out of memory") : 0;
}

/* Adds the value of an attribute. A failure is the context's error. */
static int add(asq_ctx *ctx, const struct asq__object *o, const struct asq__attribute *a,
               struct asq__live *l)
{
    struct asq__live_value *v = &l->values[l->n];
    asq_value *owned;
    const asq_value *value;
    v->name = ctx->method_name = a->def.name;
    v->at = l->bytes.len;
    int rc = asq__object_get(ctx, o, a, &owned, &value);
    if (rc == 0)
        rc = put_value(ctx, l, value);
    asq_value_free(owned);
    v->n = l->bytes.len - v->at;
    l->n += rc == 0;
    return rc;
}

/* Adds the failure of an attribute instead of its value. */
static void add_failure(asq_ctx *ctx, struct asq__live *l)
{
    struct asq__live_value *v = &l->values[l->n++];
    l->bytes.len = v->at;
    l->bytes.error = 0;
    v->code = ctx->error.pub.code;
    asq__buf_put(&l->bytes, ctx->error.pub.message, strlen(ctx->error.pub.message) + 1);
    v->n = l->bytes.len - v->at;
    asq__error_clear(&ctx->error);
}

/* Makes values of all live attributes. all: those that fail are among them, with their failure;
 * else the first failure is the context's error, and NULL is returned. */
static struct asq__live *make(asq_ctx *ctx, const struct asq__object *o, bool all)
{
    const char *method = ctx->method_name;
    struct asq__error before = ctx->error;
    struct asq__live *l = malloc(sizeof *l + o->cls->live_count * sizeof l->values[0]);
    if (!l) {
        if (!all)
            asq_fail(ctx, ASQ_ENOMEM, "out of memory");
        return NULL;
    }
    atomic_init(&l->refs, 1);
    l->n = 0;
    memset(l->values, 0, o->cls->live_count * sizeof l->values[0]);
    asq__buf_init(&l->bytes, ASQ__LIVE_MAX);
    asq__error_init(&ctx->error);
    bool may_publish = ctx->may_publish, failed = false;
    ctx->may_publish = false;
    for (size_t i = 0; i < o->cls->attribute_count && !failed; i++) {
        const struct asq__attribute *a = &o->cls->attributes[i];
        if (!(a->def.flags & ASQ_LIVE) || add(ctx, o, a, l) == 0)
            continue;
        if (all)
            add_failure(ctx, l);
        failed = !all || l->bytes.error;
    }
    ctx->may_publish = may_publish;
    ctx->method_name = method;
    if (failed) {
        asq__live_unref(l);
        l = NULL;
    }
    if (failed && !all) {
        asq__error_clear(&before);
    } else {
        asq__error_clear(&ctx->error);
        ctx->error = before;
    }
    return l;
}

void asq__live_begin(asq_ctx *ctx, const struct asq__object *o)
{
    struct asq__live *l = make(ctx, o, true);
    if (l)
        ctx->env->publish(ctx, l);
}

int asq_ctx_publish(asq_ctx *ctx)
{
    if (!ctx)
        return ASQ_EINVAL;
    if (ctx->unloaded)
        return asq_fail(ctx, ASQ_EUNLOADED, ASQ__UNLOADED);
    if (ctx->cls && !ctx->cls->live_count)
        return asq_fail(ctx, ASQ_ENOATTR,
                        "asq_ctx_publish: class %s has no attribute that is ASQ_LIVE",
                        asq_ctx_class(ctx));
    if (!ctx->may_publish)
        return asq_fail(ctx, ASQ_ESTATE,
                        "asq_ctx_publish: in a creation there is no agent yet whose attributes "
                        "could be read, and the function of a live attribute cannot publish "
                        "itself");
    struct asq__live *l = make(ctx, ctx->object, false);
    if (!l)
        return ctx->error.pub.code;
    ctx->env->publish(ctx, l);
    return 0;
}
