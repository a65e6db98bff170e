/*
 * class.c: see class.h. The registry, lookups of names whose errors suggest similar names, and
 * descriptions. class_table.c copies tables.
 */
#include <stdio.h>
#include <string.h>

#include "client/class.h"
#include "value/error.h"
#include "value/list.h"

/* ---- the registry ---- */

static const void *class_key(const struct asq__node *node, size_t *n)
{
    const struct asq__class *c = ASQ__CONTAINER(node, struct asq__class, node);
    *n = strlen(c->def.name);
    return c->def.name;
}

int asq__registry_init(struct asq__registry *r)
{
    memset(r, 0, sizeof *r);
    r->last = &r->first;
    return asq__table_init(&r->by_name, class_key);
}

void asq__registry_release(struct asq__registry *r)
{
    for (struct asq__class *c = r->first, *next; c; c = next) {
        next = c->next;
        asq__class_free(c);
    }
    asq__table_release(&r->by_name);
    r->first = NULL;
    r->last = &r->first;
}

static void append(struct asq__registry *r, struct asq__class *c)
{
    asq__table_add(&r->by_name, &c->node);
    *r->last = c;
    r->last = &c->next;
}

int asq__registry_add(struct asq__registry *r, const asq_class *cls, char *err, size_t errlen)
{
    if (!cls)
        return asq__err(err, errlen, ASQ_EINVAL, "the class is NULL");
    struct asq__class *c;
    int rc = asq__class_take(cls, &c, err, errlen);
    if (rc < 0)
        return rc;
    if (asq__registry_find(r, c->def.name)) {
        rc = asq__err(err, errlen, ASQ_EEXIST, "a class %s is registered already", c->def.name);
        asq__class_free(c);
        return rc;
    }
    append(r, c);
    return 0;
}

static const char *pool_of(const struct asq__class *c)
{
    return c->def.pool ? c->def.pool : "";
}

int asq__registry_note(struct asq__registry *r, const asq_class *cls, char *err, size_t errlen)
{
    struct asq__class *c;
    int rc = asq__class_take_pool(cls, &c, err, errlen);
    if (rc < 0)
        return rc;
    const struct asq__class *before = asq__registry_find(r, c->def.name);
    if (!before) {
        append(r, c);
        return 0;
    }
    if (strcmp(pool_of(before), pool_of(c)) != 0)
        rc = asq__err(err, errlen, ASQ_EEXIST,
                      "a class %s is registered already, with the pool '%s', not '%s'", c->def.name,
                      pool_of(before), pool_of(c));
    asq__class_free(c);
    return rc;
}

size_t asq__registry_count(const struct asq__registry *r)
{
    return r->by_name.count;
}

const struct asq__class *asq__registry_find(const struct asq__registry *r, const char *name)
{
    struct asq__node *node = asq__table_find(&r->by_name, name, strlen(name));
    return node ? ASQ__CONTAINER(node, struct asq__class, node) : NULL;
}

const struct asq__method *asq__class_method(const struct asq__class *cls, const char *name)
{
    enum { FEW = 8 }; /* up to this number, a linear search is faster */
    if (cls->method_count > FEW) {
        struct asq__node *node = asq__table_find(&cls->by_method, name, strlen(name));
        return node ? ASQ__CONTAINER(node, struct asq__method, node) : NULL;
    }
    for (size_t i = 0; i < cls->method_count; i++)
        if (strcmp(cls->methods[i].def.name, name) == 0)
            return &cls->methods[i];
    return NULL;
}

const struct asq__attribute *asq__class_attribute(const struct asq__class *c, const char *name)
{
    struct asq__node *node = asq__table_find(&c->by_attribute, name, strlen(name));
    return node ? ASQ__CONTAINER(node, struct asq__attribute, node) : NULL;
}

/* ---- unknown names ---- */

/* The names that may have been meant: of classes, methods or attributes. */
struct names {
    const char *(*at)(const void *of, size_t i);
    const void *of;
    size_t n;
    bool private_too;
};

static bool offered(const struct names *names, size_t i)
{
    return names->private_too || names->at(names->of, i)[0] != '_';
}

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char) (c - 'A' + 'a') : c;
}

static size_t min_size(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* Returns the edit distance: letters to insert, delete, replace or swap with a neighbour, without
 * regard to case. Both names have at most ASQ_MAX_NAME bytes. */
static size_t distance(const char *a, const char *b)
{
    size_t rows[3][ASQ_MAX_NAME + 1], *before = rows[0], *last = rows[1], *now = rows[2];
    size_t na = strlen(a), nb = strlen(b);
    for (size_t j = 0; j <= nb; j++)
        before[j] = last[j] = j;
    for (size_t i = 1; i <= na; i++) {
        now[0] = i;
        for (size_t j = 1; j <= nb; j++) {
            bool same = lower(a[i - 1]) == lower(b[j - 1]);
            now[j] = min_size(min_size(last[j], now[j - 1]) + 1, last[j - 1] + !same);
            if (i > 1 && j > 1 && lower(a[i - 1]) == lower(b[j - 2]) &&
                lower(a[i - 2]) == lower(b[j - 1]))
                now[j] = min_size(now[j], before[j - 2] + 1);
        }
        size_t *spare = before;
        before = last;
        last = now;
        now = spare;
    }
    return last[nb];
}

/* Returns the most similar name, or NULL: a third of the letters may be wrong, or the rest of the
 * name missing. */
static const char *nearest(const char *name, const struct names *names)
{
    const char *best = NULL;
    size_t n = strlen(name), best_d = 0;
    if (!n || n > ASQ_MAX_NAME)
        return NULL;
    for (size_t i = 0; i < names->n; i++) {
        const char *other = names->at(names->of, i);
        if (!offered(names, i))
            continue;
        size_t d = distance(name, other);
        if (d > (n + 2) / 3 && (n < 2 || strncmp(name, other, n) != 0))
            continue;
        if (!best || d < best_d) {
            best = other;
            best_d = d;
        }
    }
    return best;
}

/* Appends as many names as fit. */
static void append_names(const struct names *names, char *err, size_t errlen)
{
    enum { REST = 20 }; /* ", and 4096 more" */
    size_t used = strlen(err), left = 0;
    bool first = true;
    for (size_t i = 0; i < names->n; i++)
        left += offered(names, i);
    for (size_t i = 0; i < names->n; i++) {
        if (!offered(names, i))
            continue;
        const char *name = names->at(names->of, i);
        size_t need = strlen(name) + 2;
        if (used + need + (left > 1 ? REST : 0) >= errlen) {
            if (used + REST < errlen)
                snprintf(err + used, errlen - used, "%s%zu more", first ? "" : ", and ", left);
            return;
        }
        used += (size_t) snprintf(err + used, errlen - used, "%s%s", first ? "" : ", ", name);
        first = false;
        left--;
    }
}

/* Makes a name from outside fit for a message. */
static const char *printable(const char *name, char text[ASQ_MAX_NAME + 1])
{
    size_t i = 0;
    for (; i < ASQ_MAX_NAME && name[i]; i++)
        text[i] = name[i] >= ' ' && name[i] < 0x7f ? name[i] : '?';
    text[i] = '\0';
    return text;
}

/* Writes "HEAD 'NAME'; did you mean 'OTHER'? LIST: …". */
static int unknown(int code, const char *head, const char *name, const struct names *names,
                   const char *list, const char *none, char *err, size_t errlen)
{
    char shown[ASQ_MAX_NAME + 1];
    const char *other = nearest(name, names);
    bool any = false;
    for (size_t i = 0; i < names->n && !any; i++)
        any = offered(names, i);
    printable(name, shown);
    if (!any)
        return asq__err(err, errlen, code, "%s '%s'; %s", head, shown, none);
    if (other)
        asq__err(err, errlen, code, "%s '%s'; did you mean '%s'? %s: ", head, shown, other, list);
    else
        asq__err(err, errlen, code, "%s '%s'. %s: ", head, shown, list);
    if (err && errlen)
        append_names(names, err, errlen);
    return code;
}

static const char *method_at(const void *of, size_t i)
{
    return ((const struct asq__class *) of)->methods[i].def.name;
}

static const char *attribute_at(const void *of, size_t i)
{
    return ((const struct asq__class *) of)->attributes[i].def.name;
}

static const char *class_at(const void *of, size_t i)
{
    const struct asq__class *c = ((const struct asq__registry *) of)->first;
    while (i--)
        c = c->next;
    return c->def.name;
}

int asq__registry_unknown(const struct asq__registry *r, const char *name, char *err, size_t errlen)
{
    struct names names = { class_at, r, asq__registry_count(r), true };
    return unknown(ASQ_ENOCLASS, "there is no class", name, &names, "There are",
                   "no class is registered at all", err, errlen);
}

int asq__class_check_call(const struct asq__class *cls, const char *name, bool is_own,
                          const struct asq__method **ret, char *err, size_t errlen)
{
    char head[ASQ_MAX_NAME + 40], shown[ASQ_MAX_NAME + 1];
    if (name[0] == '_' && !is_own)
        return asq__err(err, errlen, ASQ_EPRIVATE,
                        "class %s: methods with a leading '_', such as '%s', are "
                        "private: only the agent itself may call them",
                        cls->def.name, printable(name, shown));
    const struct asq__method *m = asq__class_method(cls, name);
    if (m) {
        *ret = m;
        return 0;
    }
    if (asq__class_attribute(cls, name))
        return asq__err(err, errlen, ASQ_ENOMETHOD,
                        "class %s has no method '%s': that is an attribute, to be "
                        "read with asq_get",
                        cls->def.name, name);
    struct names names = { method_at, cls, cls->method_count, is_own };
    snprintf(head, sizeof head, "class %s has no method", cls->def.name);
    return unknown(ASQ_ENOMETHOD, head, name, &names, "It has", "it has none", err, errlen);
}

int asq__class_check_attribute(const struct asq__class *cls, const char *name, bool for_set,
                               bool is_own, const struct asq__attribute **ret, char *err,
                               size_t errlen)
{
    char head[ASQ_MAX_NAME + 40], shown[ASQ_MAX_NAME + 1];
    if (name[0] == '_' && !is_own)
        return asq__err(err, errlen, ASQ_EPRIVATE,
                        "class %s: attributes with a leading '_', such as '%s', are "
                        "private: only the agent itself may use them",
                        cls->def.name, printable(name, shown));
    const struct asq__attribute *a = asq__class_attribute(cls, name);
    if (a && for_set && !is_own && !(a->def.flags & ASQ_WRITABLE))
        return asq__err(err, errlen, ASQ_EPRIVATE,
                        "attribute '%s' of class %s cannot be set from outside: it is "
                        "not declared ASQ_WRITABLE",
                        name, cls->def.name);
    if (a && for_set && cls->def.save && !a->def.set)
        return asq__err(err, errlen, ASQ_ENOTSUP,
                        "attribute '%s' of class %s cannot be set: it has no set "
                        "function",
                        name, cls->def.name);
    if (a) {
        *ret = a;
        return 0;
    }
    if (asq__class_method(cls, name))
        return asq__err(err, errlen, ASQ_ENOATTR,
                        "class %s has no attribute '%s': that is a method, to be "
                        "called",
                        cls->def.name, name);
    struct names names = { attribute_at, cls, cls->attribute_count, is_own };
    snprintf(head, sizeof head, "class %s has no attribute", cls->def.name);
    return unknown(ASQ_ENOATTR, head, name, &names, "It has", "it has none", err, errlen);
}

/* ---- descriptions ---- */

static asq_value *text_or_null(const char *text)
{
    return text ? asq_value_string(text) : asq_value_null();
}

static asq_value *describe_flags(unsigned flags)
{
    static const struct {
        unsigned flag;
        const char *name;
    } known[] = { { ASQ_READONLY, "readonly" },
                  { ASQ_NONBLOCKING, "nonblocking" },
                  { ASQ_WRITABLE, "writable" },
                  { ASQ_CONCURRENT, "concurrent" },
                  { ASQ_LIVE, "live" } };
    asq_value *list = asq_value_list();
    for (size_t i = 0; list && i < sizeof known / sizeof known[0]; i++)
        if (flags & known[i].flag && asq_list_append(list, asq_value_string(known[i].name)) < 0) {
            asq_value_free(list);
            list = NULL;
        }
    return list;
}

/* Describes a method. asq_map_set refuses a value that could not be made, so only the overall
 * outcome is checked. */
static asq_value *describe_method(const asq_method *m)
{
    asq_value *map = asq_value_map();
    if (map && asq_map_set(map, "name", asq_value_string(m->name)) == 0 &&
        asq_map_set(map, "params", text_or_null(m->params)) == 0 &&
        asq_map_set(map, "flags", describe_flags(m->flags)) == 0 &&
        asq_map_set(map, "doc", text_or_null(m->doc)) == 0)
        return map;
    asq_value_free(map);
    return NULL;
}

static asq_value *describe_attribute(const asq_attribute *a)
{
    asq_value *map = asq_value_map();
    if (map && asq_map_set(map, "name", asq_value_string(a->name)) == 0 &&
        asq_map_set(map, "flags", describe_flags(a->flags)) == 0 &&
        asq_map_set(map, "doc", text_or_null(a->doc)) == 0)
        return map;
    asq_value_free(map);
    return NULL;
}

static asq_value *describe_class(const struct asq__class *c)
{
    asq_value *methods = asq_value_list(), *attributes = asq_value_list(), *map = asq_value_map();
    bool good = methods && attributes && map;
    for (size_t i = 0; good && i < c->method_count; i++)
        if (c->methods[i].def.name[0] != '_')
            good = asq_list_append(methods, describe_method(&c->methods[i].def)) == 0;
    for (size_t i = 0; good && i < c->attribute_count; i++)
        if (c->attributes[i].def.name[0] != '_')
            good = asq_list_append(attributes, describe_attribute(&c->attributes[i].def)) == 0;
    good = good && asq_map_set(map, "doc", text_or_null(c->def.doc)) == 0 &&
           asq_map_set(map, "pool", text_or_null(c->def.pool)) == 0;
    if (!good) {
        asq_value_free(methods);
        asq_value_free(attributes);
        asq_value_free(map);
        return NULL;
    }
    int rc = asq_map_set(map, "methods", methods); /* each value is consumed, also on failure */
    if (asq_map_set(map, "attributes", attributes) < 0 || rc < 0) {
        asq_value_free(map);
        return NULL;
    }
    return map;
}

asq_value *asq__registry_describe(const struct asq__registry *r)
{
    asq_value *all = asq_value_map();
    for (const struct asq__class *c = r->first; all && c; c = c->next)
        if (asq_map_set(all, c->def.name, describe_class(c)) < 0) {
            asq_value_free(all);
            all = NULL;
        }
    return all;
}
