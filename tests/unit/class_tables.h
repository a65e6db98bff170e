/*
 * class_tables.h: a table of a class and its registration, for the tests of classes. Each program
 * uses a part of it.
 */
#ifndef ASQ_TESTS_CLASS_TABLES_H
#define ASQ_TESTS_CLASS_TABLES_H

#include "client/class.h"

#include <check.h>

#define UNUSED __attribute__((unused))

/* ---- functions for the tables; none of them is ever called ---- */

static UNUSED int method(asq_ctx *ctx, void *self, const asq_value *args, asq_value **ret)
{
    (void) ctx, (void) self, (void) args, (void) ret;
    return 0;
}

static UNUSED int get(asq_ctx *ctx, void *self, asq_value **ret)
{
    (void) ctx, (void) self, (void) ret;
    return 0;
}

static UNUSED int set(asq_ctx *ctx, void *self, const asq_value *value)
{
    (void) ctx, (void) self, (void) value;
    return 0;
}

static UNUSED int create(asq_ctx *ctx, const asq_value *args, void **ret_self)
{
    (void) ctx, (void) args, (void) ret_self;
    return 0;
}

static UNUSED int save(const void *self, asq_value **ret_state)
{
    (void) self, (void) ret_state;
    return 0;
}

static UNUSED int load(asq_ctx *ctx, const asq_value *state, void **ret_self)
{
    (void) ctx, (void) state, (void) ret_self;
    return 0;
}

static UNUSED void destroy(void *self)
{
    (void) self;
}

static UNUSED const asq_method counter_methods[] = {
    { "add", method, "n", ASQ_NONBLOCKING, "Adds n." },
    { "reset", method, NULL, 0, NULL },
    { "_audit", method, NULL, ASQ_READONLY, NULL },
    { .name = NULL },
};

static UNUSED const asq_attribute counter_attributes[] = {
    { "value", NULL, NULL, ASQ_WRITABLE, "The sum so far." },
    { "started", NULL, NULL, 0, NULL },
    { "_secret", NULL, NULL, ASQ_WRITABLE, NULL },
    { .name = NULL },
};

static UNUSED const asq_class counter = { ASQ_CLASS_INIT, .name = "Counter", .doc = "Counts.",
                                          .methods = counter_methods,
                                          .attributes = counter_attributes };

/* ---- fixture ---- */

static struct asq__registry registry;
static char err[500];

static UNUSED void setup(void)
{
    ck_assert_int_eq(asq__registry_init(&registry), 0);
    err[0] = '\0';
}

static UNUSED void teardown(void)
{
    asq__registry_release(&registry);
}

static UNUSED int add(const asq_class *cls)
{
    err[0] = '\0';
    return asq__registry_add(&registry, cls, err, sizeof err);
}

static UNUSED const struct asq__class *added(const asq_class *cls)
{
    ck_assert_msg(add(cls) == 0, "%s", err);
    const struct asq__class *c = asq__registry_find(&registry, cls->name);
    ck_assert_ptr_nonnull(c);
    return c;
}

#endif
