/*
 * class_table.c: see class.h. Reads a user's class table in the layout it was built with, checks
 * all of it, and makes the copy that lookups use.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "asqueue.h"
#include "client/class.h"
#include "client/retry.h"
#include "value/error.h"
#include "value/list.h"
#include "value/pools.h"
#include "value/table.h"
#include "value/value.h"

enum {
    MAX_LAYOUT = 4096, /* bytes of a table's struct, of any version; a larger size is wrong */
    LEAST_STACK = 16384,
    METHOD_FLAGS = ASQ_READONLY | ASQ_NONBLOCKING | ASQ_CONCURRENT,
    ATTRIBUTE_FLAGS = ASQ_READONLY | ASQ_NONBLOCKING | ASQ_WRITABLE | ASQ_LIVE
};

/* ---- tables of other versions ---- */

/* The least size of a struct: up to and including `member`. */
#define THROUGH(type, member) (offsetof(type, member) + sizeof(((type *) NULL)->member))

static int check_size(const char *what, size_t size, size_t least, size_t align, char *err,
                      size_t errlen)
{
    if (size == 0)
        return asq__err(err, errlen, ASQ_EINVAL,
                        "%s is 0: the table of a class begins with ASQ_CLASS_INIT", what);
    if (size < least || size > MAX_LAYOUT || size % align != 0)
        return asq__err(
            err, errlen, ASQ_EINVAL,
            "%s is %zu, which no version of asqueue has: the table of a class begins with "
            "ASQ_CLASS_INIT",
            what, size);
    return 0;
}

/* Copies a struct of another version; fields that an older one lacks are zero. False if a newer one
 * uses fields that are unknown here. */
static bool take(void *to, size_t to_size, const void *from, size_t from_size)
{
    memset(to, 0, to_size);
    memcpy(to, from, from_size < to_size ? from_size : to_size);
    for (size_t i = to_size; i < from_size; i++)
        if (((const unsigned char *) from)[i])
            return false;
    return true;
}

static int too_new(const char *class_name, const char *what, const char *name, char *err,
                   size_t errlen)
{
    return asq__err(err, errlen, ASQ_EVERSION,
                    "class %s: %s%s%s uses what asqueue " ASQ_VERSION
                    " does not have yet: it was built with a newer one",
                    class_name, what, *name ? " " : "", name);
}

/* Counts the entries of a table; each has `stride` bytes and begins with the name. */
static int count_entries(const struct asq__class *c, const char *what, const void *table,
                         size_t stride, size_t *ret, char *err, size_t errlen)
{
    const char *name;
    size_t n = 0;
    for (; table; n++) {
        memcpy(&name, (const char *) table + n * stride, sizeof name);
        if (!name)
            break;
        if (n == ASQ__MAX_MEMBERS)
            return asq__err(
                err, errlen, ASQ_EINVAL,
                "class %s has more than %d %ss; does the table lack the NULL at its end?",
                c->def.name, ASQ__MAX_MEMBERS, what);
    }
    *ret = n;
    return 0;
}

/* ---- checks ---- */

static int check_text(const char *owner, const char *what, const char *text, char *err,
                      size_t errlen)
{
    if (text && !asq__utf8_valid(text, strlen(text)))
        return asq__err(err, errlen, ASQ_EINVAL, "%s: its %s is not UTF-8", owner, what);
    return 0;
}

/* Finds the next name in a list like "url, depth", separated as in params.c; returns its length. */
static size_t next_param(const char **at)
{
    *at += strspn(*at, ", \t\n");
    return strcspn(*at, ", \t\n");
}

static int check_params(const char *owner, const char *params, char *err, size_t errlen)
{
    char name[ASQ_MAX_NAME + 1], why[300];
    size_t n, other_n;
    if (!params)
        return 0;
    for (const char *p = params; (n = next_param(&p)) != 0; p += n) {
        if (n > ASQ_MAX_NAME)
            return asq__err(err, errlen, ASQ_EINVAL,
                            "%s: a parameter's name has %zu bytes; %d are allowed", owner, n,
                            ASQ_MAX_NAME);
        memcpy(name, p, n);
        name[n] = '\0';
        if (asq__check_name("parameter", name, why, sizeof why) < 0)
            return asq__err(err, errlen, ASQ_EINVAL, "%s: %s", owner, why);
        for (const char *q = params; (other_n = next_param(&q)) != 0 && q < p; q += other_n)
            if (other_n == n && memcmp(p, q, n) == 0)
                return asq__err(err, errlen, ASQ_EINVAL, "%s has two parameters '%s'", owner, name);
    }
    return 0;
}

/* Checks the fields that methods and attributes share. */
static int check_member(const char *owner, const char *what, const char *class_name,
                        const char *name, const char *doc, unsigned flags, char *err, size_t errlen)
{
    char why[400];
    if (asq__check_name(what, name, why, sizeof why) < 0)
        return asq__err(err, errlen, ASQ_EINVAL, "class %s: %s", class_name, why);
    if (flags & ~(unsigned) (METHOD_FLAGS | ATTRIBUTE_FLAGS))
        return too_new(class_name, what, name, err, errlen);
    return check_text(owner, "doc", doc, err, errlen);
}

static int check_method(const struct asq__class *c, const asq_method *m, char *err, size_t errlen)
{
    char owner[2 * ASQ_MAX_NAME + 40];
    snprintf(owner, sizeof owner, "method '%s' of class %s", m->name, c->def.name);
    int rc = check_member(owner, "method", c->def.name, m->name, m->doc, m->flags, err, errlen);
    if (rc < 0)
        return rc;
    if (!m->fn)
        return asq__err(err, errlen, ASQ_EINVAL, "%s has no function (fn is NULL)", owner);
    if (m->flags & ~(unsigned) METHOD_FLAGS)
        return asq__err(err, errlen, ASQ_EINVAL, "%s: %s is for attributes", owner,
                        m->flags & ASQ_LIVE ? "ASQ_LIVE" : "ASQ_WRITABLE");
    if (m->flags & ASQ_CONCURRENT && !(m->flags & ASQ_READONLY))
        return asq__err(err, errlen, ASQ_EINVAL,
                        "%s is ASQ_CONCURRENT and not ASQ_READONLY: only what changes no state can "
                        "run beside others",
                        owner);
    rc = check_text(owner, "params", m->params, err, errlen);
    return rc < 0 ? rc : check_params(owner, m->params, err, errlen);
}

static int check_attribute(const struct asq__class *c, const asq_attribute *a, char *err,
                           size_t errlen)
{
    char owner[2 * ASQ_MAX_NAME + 40];
    snprintf(owner, sizeof owner, "attribute '%s' of class %s", a->name, c->def.name);
    int rc = check_member(owner, "attribute", c->def.name, a->name, a->doc, a->flags, err, errlen);
    if (rc < 0)
        return rc;
    if (a->flags & ASQ_CONCURRENT)
        return asq__err(err, errlen, ASQ_EINVAL, "%s: ASQ_CONCURRENT is for methods", owner);
    if (a->flags & ASQ_LIVE && *a->name == '_')
        return asq__err(err, errlen, ASQ_EINVAL,
                        "%s is ASQ_LIVE and, by the '_', private: nobody could read it", owner);
    if (c->def.save && !a->get)
        return asq__err(err, errlen, ASQ_EINVAL,
                        "%s has no get function, which it needs because the class keeps its state "
                        "in a struct",
                        owner);
    if (c->def.save && a->flags & ASQ_WRITABLE && !a->set)
        return asq__err(
            err, errlen, ASQ_EINVAL,
            "%s is ASQ_WRITABLE but has no set function, which it needs because the class keeps "
            "its state in a struct",
            owner);
    if (a->flags & ASQ_WRITABLE && a->flags & ASQ_READONLY)
        return asq__err(err, errlen, ASQ_EINVAL, "%s is both ASQ_WRITABLE and ASQ_READONLY", owner);
    return 0;
}

/* Checks the class itself; its name was checked. */
static int check_class(const asq_class *def, char *err, size_t errlen)
{
    if (!def->save != !def->load)
        return asq__err(
            err, errlen, ASQ_EINVAL,
            "class %s has %s without %s: a class that keeps its state in a struct has both, and a "
            "class whose state the library keeps has neither",
            def->name, def->save ? "save" : "load", def->save ? "load" : "save");
    if (def->save && !def->create)
        return asq__err(err, errlen, ASQ_EINVAL,
                        "class %s has save and load, but no create to make the struct", def->name);
    if (def->destroy && !def->save)
        return asq__err(err, errlen, ASQ_EINVAL,
                        "class %s has destroy, but no save and load: without them the "
                        "library keeps the state, and there is no struct to destroy",
                        def->name);
    if (!def->methods && !def->attributes)
        return asq__err(err, errlen, ASQ_EINVAL, "class %s has neither methods nor attributes",
                        def->name);
    if (def->stack_size && def->stack_size < LEAST_STACK)
        return asq__err(err, errlen, ASQ_EINVAL,
                        "class %s: a stack_size of %zu bytes is too small: %d is the least",
                        def->name, def->stack_size, LEAST_STACK);
    char owner[ASQ_MAX_NAME + 10];
    snprintf(owner, sizeof owner, "class %s", def->name);
    return check_text(owner, "doc", def->doc, err, errlen);
}

static int check_pool(const asq_class *def, char *err, size_t errlen)
{
    char why[400];
    int rc = def->pool ? asq__pool_check(def->pool, strlen(def->pool), why, sizeof why) : 0;
    return rc < 0 ? asq__err(err, errlen, ASQ_EINVAL, "class %s: %s", def->name, why) : 0;
}

/* ---- a class ---- */

static const void *method_key(const struct asq__node *node, size_t *n)
{
    const struct asq__method *m = ASQ__CONTAINER(node, struct asq__method, node);
    *n = strlen(m->def.name);
    return m->def.name;
}

static const void *attribute_key(const struct asq__node *node, size_t *n)
{
    const struct asq__attribute *a = ASQ__CONTAINER(node, struct asq__attribute, node);
    *n = strlen(a->def.name);
    return a->def.name;
}

void asq__class_free(struct asq__class *c)
{
    if (!c)
        return;
    asq__table_release(&c->by_method);
    asq__table_release(&c->by_attribute);
    free(c->methods);
    free(c->attributes);
    free(c->plugin);
    free(c);
}

static int take_methods(struct asq__class *c, const asq_class *def, char *err, size_t errlen)
{
    size_t n = 0;
    int rc = count_entries(c, "method", def->methods, def->method_size, &n, err, errlen);
    if (rc < 0)
        return rc;
    c->methods = calloc(n + 1, sizeof *c->methods);
    if (!c->methods || asq__table_init(&c->by_method, method_key) < 0)
        return asq__err(err, errlen, ASQ_ENOMEM, "out of memory");
    for (size_t i = 0; i < n; i++) {
        struct asq__method *m = &c->methods[i];
        bool known = take(&m->def, sizeof m->def,
                          (const char *) def->methods + i * def->method_size, def->method_size);
        if (!known)
            return too_new(c->def.name, "method", m->def.name, err, errlen);
        rc = check_method(c, &m->def, err, errlen);
        if (rc < 0)
            return rc;
        if (asq__class_method(c, m->def.name))
            return asq__err(err, errlen, ASQ_EINVAL, "class %s has two methods '%s'", c->def.name,
                            m->def.name);
        const char *param = m->def.params ? m->def.params : "";
        for (size_t len; (len = next_param(&param)) != 0; param += len)
            m->nparams++;
        asq__table_add(&c->by_method, &m->node);
        c->method_count++;
    }
    return 0;
}

static int take_attributes(struct asq__class *c, const asq_class *def, char *err, size_t errlen)
{
    int rc = count_entries(c, "attribute", def->attributes, def->attribute_size,
                           &c->attribute_count, err, errlen);
    if (rc < 0)
        return rc;
    c->attributes = calloc(c->attribute_count + 1, sizeof *c->attributes);
    if (!c->attributes || asq__table_init(&c->by_attribute, attribute_key) < 0)
        return asq__err(err, errlen, ASQ_ENOMEM, "out of memory");
    for (size_t i = 0; i < c->attribute_count; i++) {
        struct asq__attribute *a = &c->attributes[i];
        bool known =
            take(&a->def, sizeof a->def, (const char *) def->attributes + i * def->attribute_size,
                 def->attribute_size);
        if (!known)
            return too_new(c->def.name, "attribute", a->def.name, err, errlen);
        rc = check_attribute(c, &a->def, err, errlen);
        if (rc < 0)
            return rc;
        if (asq__class_attribute(c, a->def.name))
            return asq__err(err, errlen, ASQ_EINVAL, "class %s has two attributes '%s'",
                            c->def.name, a->def.name);
        asq__table_add(&c->by_attribute, &a->node);
        c->live_count += (a->def.flags & ASQ_LIVE) != 0;
    }
    return 0;
}

static int take_retries(struct asq__class *c, const asq_class *def, char *err, size_t errlen)
{
    char why[200];
    for (const asq_method_retry *r = def->retries; r && r->method; r++) {
        struct asq__node *node = asq__table_find(&c->by_method, r->method, strlen(r->method));
        if (!node)
            return asq__err(
                err, errlen, ASQ_EINVAL,
                "class %s has a retry policy for '%.*s', which is not one of its methods",
                def->name, ASQ_MAX_NAME, r->method);
        if (!r->retry)
            return asq__err(err, errlen, ASQ_EINVAL,
                            "method '%s' of class %s has a retry policy that is NULL", r->method,
                            def->name);
        if (asq__retry_check(r->retry, why, sizeof why) < 0)
            return asq__err(err, errlen, ASQ_EINVAL, "method '%s' of class %s: %s", r->method,
                            def->name, why);
        ASQ__CONTAINER(node, struct asq__method, node)->retry = r->retry;
    }
    return 0;
}

/* Copies the struct of a user's table, and checks what each use of it needs. */
static int take_def(asq_class *def, const asq_class *cls, char *err, size_t errlen)
{
    int rc = check_size("the size of a class", cls->size, THROUGH(asq_class, methods),
                        _Alignof(asq_class), err, errlen);
    if (rc < 0)
        return rc;
    bool known = take(def, sizeof *def, cls, cls->size);
    if (!def->name)
        return asq__err(err, errlen, ASQ_EINVAL, "a class has no name (name is NULL)");
    rc = asq__check_name("class", def->name, err, errlen);
    if (rc < 0)
        return rc;
    if (!known)
        return too_new(def->name, "its table", "", err, errlen);
    return check_pool(def, err, errlen);
}

/* Fills c from a user's table. */
static int take_class(struct asq__class *c, const asq_class *cls, char *err, size_t errlen)
{
    asq_class *def = &c->def;
    char what[ASQ_MAX_NAME + 40];
    int rc = take_def(def, cls, err, errlen);
    if (rc < 0)
        return rc;
    snprintf(what, sizeof what, "class %s: method_size", def->name);
    rc = check_size(what, def->method_size, THROUGH(asq_method, fn), _Alignof(asq_method), err,
                    errlen);
    if (rc == 0) {
        snprintf(what, sizeof what, "class %s: attribute_size", def->name);
        rc = check_size(what, def->attribute_size, THROUGH(asq_attribute, get),
                        _Alignof(asq_attribute), err, errlen);
    }
    if (rc == 0)
        rc = check_class(def, err, errlen);
    asq_class theirs = *def;
    if (rc == 0)
        rc = take_methods(c, &theirs, err, errlen);
    if (rc == 0)
        rc = take_attributes(c, &theirs, err, errlen);
    if (rc == 0)
        rc = take_retries(c, &theirs, err, errlen);
    /* Both arrays are in the user's layout, and must not be read as ours. */
    def->methods = NULL;
    def->attributes = NULL;
    def->size = sizeof(asq_class);
    def->method_size = sizeof(asq_method);
    def->attribute_size = sizeof(asq_attribute);
    return rc;
}

int asq__class_take(const asq_class *table, struct asq__class **ret, char *err, size_t errlen)
{
    struct asq__class *c = calloc(1, sizeof *c);
    if (!c)
        return asq__err(err, errlen, ASQ_ENOMEM, "out of memory");
    int rc = take_class(c, table, err, errlen);
    if (rc < 0)
        asq__class_free(c);
    else
        *ret = c;
    return rc;
}

int asq__class_take_pool(const asq_class *table, struct asq__class **ret, char *err, size_t errlen)
{
    asq_class def;
    int rc = take_def(&def, table, err, errlen);
    if (rc < 0)
        return rc;
    size_t name_size = strlen(def.name) + 1, pool_size = def.pool ? strlen(def.pool) + 1 : 0;
    struct asq__class *c = calloc(1, sizeof *c + name_size + pool_size);
    if (!c)
        return asq__err(err, errlen, ASQ_ENOMEM, "out of memory");
    char *texts = (char *) (c + 1);
    c->def.size = sizeof c->def;
    c->def.name = memcpy(texts, def.name, name_size);
    if (def.pool)
        c->def.pool = memcpy(texts + name_size, def.pool, pool_size);
    *ret = c;
    return 0;
}
