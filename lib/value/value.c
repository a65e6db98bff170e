/*
 * value.c: constructors, getters, freeing and copying of values. Lists and maps are in container.c,
 * the order of values in compare.c.
 *
 * A tree is never deeper than ASQ_MAX_DEPTH, because asq__value_adopt refuses deeper ones:
 * functions here and elsewhere may recurse once for each level.
 */
#include <stdlib.h>
#include <string.h>

#include "value/unconst.h"
#include "value/value.h"

static const asq_value null_value = { .type = ASQ_NULL };
static const asq_value bool_values[2] = {
    { .type = ASQ_BOOL, .boolean = false },
    { .type = ASQ_BOOL, .boolean = true },
};

/* Casts a constant, which is never written: asq__value_adopt and asq_value_free ignore these
 * types. */
static asq_value *constant(const asq_value *v)
{
    return asq__unconst(v);
}

/* Allocates a value with `extra` bytes behind it. */
static asq_value *new_value(asq_type type, size_t extra)
{
    asq_value *v = extra <= SIZE_MAX - sizeof *v ? malloc(sizeof *v + extra) : NULL;
    if (v) {
        v->type = type;
        v->owned = false;
        v->height = 0;
        v->parent = NULL;
    }
    return v;
}

asq_value *asq_value_null(void)
{
    return constant(&null_value);
}

asq_value *asq_value_bool(bool b)
{
    return constant(&bool_values[b]);
}

asq_value *asq_value_int(int64_t i)
{
    asq_value *v = new_value(ASQ_INT, 0);
    if (v)
        v->integer = i;
    return v;
}

asq_value *asq_value_double(double d)
{
    asq_value *v = new_value(ASQ_DOUBLE, 0);
    if (v)
        v->number = d;
    return v;
}

asq_value *asq__value_new_bytes(asq_type type, size_t n)
{
    asq_value *v = n < SIZE_MAX ? new_value(type, n + 1) : NULL;
    if (v) {
        v->str.data = (char *) (v + 1);
        v->str.data[n] = '\0';
        v->str.n = n;
    }
    return v;
}

asq_value *asq__value_borrow_bytes(asq_type type, const void *data, size_t n)
{
    asq_value *v = new_value(type, 0);
    if (v) {
        v->str.data = asq__unconst(data ? data : "");
        v->str.n = n;
    }
    return v;
}

asq_value *asq_value_string(const char *s)
{
    return s ? asq_value_stringn(s, strlen(s)) : NULL;
}

asq_value *asq_value_stringn(const char *s, size_t n)
{
    if ((!s && n) || !asq__utf8_valid(s, n))
        return NULL;
    asq_value *v = asq__value_new_bytes(ASQ_STRING, n);
    if (v && n)
        memcpy(v->str.data, s, n);
    return v;
}

asq_value *asq_value_bytes(const void *data, size_t n)
{
    if (!data && n)
        return NULL;
    asq_value *v = asq__value_new_bytes(ASQ_BYTES, n);
    if (v && n)
        memcpy(v->str.data, data, n);
    return v;
}

asq_value *asq_value_list(void)
{
    asq_value *v = new_value(ASQ_LIST, ASQ__FEW_ITEMS * sizeof(asq_value *));
    if (v) {
        v->height = 1;
        v->list.items = asq__list_inline(v);
        v->list.n = 0;
        v->list.cap = ASQ__FEW_ITEMS;
    }
    return v;
}

asq_value *asq_value_map(void)
{
    asq_value *v = new_value(ASQ_MAP, 0);
    if (v) {
        v->height = 1;
        v->map.pairs = NULL;
        v->map.index = NULL;
        v->map.n = v->map.cap = 0;
    }
    return v;
}

asq_value *asq__value_agent_ref(const char *id, const char *class_name)
{
    size_t id_n = id ? strlen(id) : 0, class_n = class_name ? strlen(class_name) : 0;
    if (asq__check_id(id, NULL, 0) < 0 || class_n > ASQ_MAX_NAME ||
        !asq__utf8_valid(class_name, class_n))
        return NULL;
    asq_value *v = new_value(ASQ_AGENT, id_n + 1 + class_n + 1);
    if (v) {
        v->agent.id = (char *) (v + 1);
        memcpy(v->agent.id, id, id_n + 1);
        v->agent.class_name = v->agent.id + id_n + 1;
        if (class_n)
            memcpy(v->agent.class_name, class_name, class_n);
        v->agent.class_name[class_n] = '\0';
    }
    return v;
}

asq_value *asq__value_future_ref(const char *call_id, const struct asq__future_object *live)
{
    struct asq__call_id id;
    if (asq__call_id_parse(call_id, &id) < 0)
        return NULL;
    asq_value *v = new_value(ASQ_FUTURE, sizeof *v->future);
    if (v) {
        v->future = (struct asq__future *) (v + 1);
        asq__call_id_format(&id, v->future->text);
        v->future->live = live ? *live : (struct asq__future_object){ .object = NULL };
        v->future->unawaited = false;
        if (v->future->live.object)
            v->future->live.ref(v->future->live.object);
    }
    return v;
}

static bool is_container(const asq_value *v)
{
    return v->type == ASQ_LIST || v->type == ASQ_MAP;
}

static void free_leaf(asq_value *v)
{
    if (v->type <= ASQ_BOOL)
        return;
    if (v->type == ASQ_FUTURE && v->future->live.object)
        v->future->live.unref(v->future->live.object);
    free(v);
}

/* Removes the last element of a container, and its key; NULL if empty. */
static asq_value *pop(asq_value *v)
{
    if (v->type == ASQ_LIST)
        return v->list.n ? v->list.items[--v->list.n] : NULL;
    if (!v->map.n)
        return NULL;
    struct asq__pair *pair = &v->map.pairs[--v->map.n];
    free(pair->key);
    return pair->value;
}

void asq_value_free(asq_value *v)
{
    if (!v)
        return;
    if (!is_container(v)) {
        free_leaf(v);
        return;
    }
    for (asq_value *at = v;;) {
        asq_value *item = pop(at);
        if (item && is_container(item)) {
            at = item;
        } else if (item) {
            free_leaf(item);
        } else {
            asq_value *up = at == v ? NULL : at->parent;
            if (at->type == ASQ_LIST) {
                if (at->list.items != asq__list_inline(at))
                    free(at->list.items);
            } else {
                free(at->map.pairs);
                asq__map_index_free(at->map.index);
            }
            free(at);
            if (!up)
                return;
            at = up;
        }
    }
}

static asq_value *copy_list(const asq_value *v)
{
    asq_value *copy = asq_value_list();
    if (!copy || asq__list_reserve(copy, v->list.n) < 0)
        goto fail;
    for (size_t i = 0; i < v->list.n; i++)
        if (asq_list_append(copy, asq_value_copy(v->list.items[i])) < 0)
            goto fail;
    return copy;
fail:
    asq_value_free(copy);
    return NULL;
}

static asq_value *copy_map(const asq_value *v)
{
    asq_value *copy = asq_value_map();
    if (!copy || asq__map_reserve(copy, v->map.n) < 0)
        goto fail;
    for (; copy->map.n < v->map.n; copy->map.n++) {
        const struct asq__pair *from = &v->map.pairs[copy->map.n];
        char *key = strdup(from->key);
        asq_value *item = asq_value_copy(from->value);
        if (!key || !item || asq__value_adopt(copy, item) < 0) {
            free(key);
            asq_value_free(item);
            goto fail;
        }
        copy->map.pairs[copy->map.n] = (struct asq__pair){ key, item };
    }
    if (asq__map_index_copy(copy, v) < 0)
        goto fail;
    return copy;
fail:
    asq_value_free(copy);
    return NULL;
}

asq_value *asq_value_copy(const asq_value *v)
{
    if (!v)
        return NULL;
    switch (v->type) {
    case ASQ_NULL: return asq_value_null();
    case ASQ_BOOL: return asq_value_bool(v->boolean);
    case ASQ_INT: return asq_value_int(v->integer);
    case ASQ_DOUBLE: return asq_value_double(v->number);
    case ASQ_STRING:
    case ASQ_BYTES: {
        asq_value *copy = asq__value_new_bytes(v->type, v->str.n);
        if (copy)
            memcpy(copy->str.data, v->str.data, v->str.n);
        return copy;
    }
    case ASQ_LIST: return copy_list(v);
    case ASQ_MAP: return copy_map(v);
    case ASQ_AGENT: return asq__value_agent_ref(v->agent.id, v->agent.class_name);
    case ASQ_FUTURE: {
        asq_value *copy = asq__value_future_ref(v->future->text, &v->future->live);
        if (copy)
            copy->future->unawaited = v->future->unawaited;
        return copy;
    }
    }
    return NULL;
}

asq_type asq_value_type(const asq_value *v)
{
    return v ? v->type : ASQ_NULL;
}

const char *asq_type_name(asq_type type)
{
    static const char *const names[] = {
        [ASQ_NULL] = "null",     [ASQ_BOOL] = "bool",     [ASQ_INT] = "int",
        [ASQ_DOUBLE] = "double", [ASQ_STRING] = "string", [ASQ_BYTES] = "bytes",
        [ASQ_LIST] = "list",     [ASQ_MAP] = "map",       [ASQ_AGENT] = "agent",
        [ASQ_FUTURE] = "future"
    };
    size_t i = (size_t) type;
    return i >= ASQ_NULL && i <= ASQ_FUTURE ? names[i] : "unknown";
}

int asq_value_get_bool(const asq_value *v, bool *ret)
{
    if (asq_value_type(v) != ASQ_BOOL)
        return ASQ_ETYPE;
    if (!ret)
        return ASQ_EINVAL;
    *ret = v->boolean;
    return 0;
}

int asq_value_get_int(const asq_value *v, int64_t *ret)
{
    if (asq_value_type(v) != ASQ_INT)
        return ASQ_ETYPE;
    if (!ret)
        return ASQ_EINVAL;
    *ret = v->integer;
    return 0;
}

int asq_value_get_double(const asq_value *v, double *ret)
{
    if (!ret)
        return ASQ_EINVAL;
    if (asq_value_type(v) == ASQ_DOUBLE)
        *ret = v->number;
    else if (asq_value_type(v) == ASQ_INT)
        *ret = (double) v->integer;
    else
        return ASQ_ETYPE;
    return 0;
}

int asq_value_get_string(const asq_value *v, const char **ret, size_t *ret_n)
{
    if (asq_value_type(v) != ASQ_STRING)
        return ASQ_ETYPE;
    if (!ret)
        return ASQ_EINVAL;
    *ret = v->str.data;
    if (ret_n)
        *ret_n = v->str.n;
    return 0;
}

int asq_value_get_bytes(const asq_value *v, const void **ret, size_t *ret_n)
{
    if (asq_value_type(v) != ASQ_BYTES)
        return ASQ_ETYPE;
    if (!ret)
        return ASQ_EINVAL;
    *ret = v->str.data;
    if (ret_n)
        *ret_n = v->str.n;
    return 0;
}

int asq_value_get_agent(const asq_value *v, const char **ret_id, const char **ret_class)
{
    if (asq_value_type(v) != ASQ_AGENT)
        return ASQ_ETYPE;
    if (ret_id)
        *ret_id = v->agent.id;
    if (ret_class)
        *ret_class = v->agent.class_name;
    return 0;
}

int asq_value_get_future(const asq_value *v, const char **ret_call_id)
{
    if (asq_value_type(v) != ASQ_FUTURE)
        return ASQ_ETYPE;
    if (!ret_call_id)
        return ASQ_EINVAL;
    *ret_call_id = v->future->text;
    return 0;
}
