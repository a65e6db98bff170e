/*
 * check_codes.c: functions of a class return numbers that are no codes. A positive number, most
 * likely an errno, fails the call with a text that names it, whichever function returns it, and the
 * call has no effect.
 */
#include "client/class.h"
#include "client/object.h"
#include "support/suite.h"
#include "value/buf.h"
#include "value/error.h"
#include "value/snapshot.h"
#include "value/value.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct asq__registry registry;
static struct asq__env env;
static struct asq__object object;
static struct asq__effect effect; /* of the last job */
static asq_ctx ctx;               /* of the last job */
static const char *slips;         /* the function that returns an errno */

static int code_of(const char *function)
{
    return slips && strcmp(slips, function) == 0 ? EAGAIN : 0;
}

struct box {
    int64_t n;
};

static int create(asq_ctx *c, const asq_value *args, void **ret)
{
    (void) c, (void) args;
    if (code_of("create"))
        return code_of("create");
    *ret = calloc(1, sizeof(struct box));
    return *ret ? 0 : ASQ_ENOMEM;
}

static void destroy(void *self)
{
    free(self);
}

static int save(const void *self, asq_value **ret)
{
    const struct box *b = self;
    *ret = asq_value_int(b->n);
    return code_of("save");
}

static int load(asq_ctx *c, const asq_value *state, void **ret)
{
    struct box *b;
    (void) c;
    if (code_of("load"))
        return code_of("load");
    if (!(b = calloc(1, sizeof *b)))
        return ASQ_ENOMEM;
    *ret = b;
    return asq_value_get_int(state, &b->n);
}

static int upgrade(asq_ctx *c, uint32_t version, asq_value **state)
{
    (void) c, (void) version, (void) state;
    return code_of("upgrade");
}

static int add(asq_ctx *c, void *self, const asq_value *args, asq_value **ret)
{
    struct box *b = self;
    (void) c, (void) args;
    *ret = asq_value_int(++b->n);
    return code_of("add");
}

/* A message of the method itself takes precedence over the code that it returns. */
static int refuse(asq_ctx *c, void *self, const asq_value *args, asq_value **ret)
{
    (void) self, (void) args, (void) ret;
    asq_fail(c, ASQ_EUSER(1), "in its own words");
    return EAGAIN;
}

static int get_n(asq_ctx *c, void *self, asq_value **ret)
{
    (void) c;
    *ret = asq_value_int(((struct box *) self)->n);
    return code_of("n");
}

static int set_n(asq_ctx *c, void *self, const asq_value *value)
{
    (void) c;
    asq_value_get_int(value, &((struct box *) self)->n);
    return code_of("n");
}

static const asq_method methods[] = { { "add", add, NULL, 0, NULL },
                                      { "refuse", refuse, NULL, 0, NULL },
                                      { .name = NULL } };
static const asq_attribute attributes[] = { { "n", get_n, set_n, ASQ_WRITABLE, NULL },
                                            { .name = NULL } };
static asq_class box_class = { ASQ_CLASS_INIT,     .name = "Box",
                               .methods = methods, .attributes = attributes,
                               .create = create,   .destroy = destroy,
                               .save = save,       .load = load,
                               .upgrade = upgrade, .version = 1 };

static int run(Asqueue__JobKind kind, const char *method, asq_value *args)
{
    struct asq__buf raw;
    asq__effect_release(&effect);
    asq__ctx_release(&ctx);
    asq__buf_init(&raw, 1 << 20);
    ck_assert_int_eq(asq__value_encode(args, &raw), 0);
    asq__ctx_init(&ctx, &env);
    asq__object_run(&ctx, &object, kind, "Box", method, raw.data, raw.len, &effect);
    asq__buf_release(&raw);
    asq_value_free(args);
    return ctx.error.pub.code;
}

static int call(const char *method)
{
    return run(ASQUEUE__JOB_KIND__CALL, method, asq_value_list());
}

static int64_t count(void)
{
    char why[200];
    asq_value *v;
    int64_t n;
    slips = NULL;
    ck_assert_int_eq(run(ASQUEUE__JOB_KIND__GET, "n", asq_value_list()), 0);
    ck_assert_int_eq(asq__value_decode(effect.value.data, effect.value.len, &v, why, sizeof why),
                     0);
    ck_assert_int_eq(asq_value_get_int(v, &n), 0);
    asq_value_free(v);
    return n;
}

/* Checks that the last job failed by the return value of `function`. */
static void check_is_named(const char *function)
{
    char want[60];
    snprintf(want, sizeof want, "Box.%s returned %d", function, EAGAIN);
    ck_assert_int_eq(ctx.error.pub.code, ASQ_EFAILED);
    ck_assert_msg(strstr(ctx.error.pub.message, want), "%s", ctx.error.pub.message);
    ck_assert_int_eq(effect.kind, ASQ__EFFECT_NONE);
    slips = NULL;
}

static void set_up(void)
{
    char err[200];
    ck_assert_int_eq(asq__registry_init(&registry), 0);
    box_class.version = 1;
    ck_assert_int_eq(asq__registry_add(&registry, &box_class, err, sizeof err), 0);
    env = (struct asq__env){ .registry = &registry, .worker = "w", .max_message_size = 1 << 20 };
    memset(&effect, 0, sizeof effect);
    memset(&ctx, 0, sizeof ctx);
    asq__ctx_init(&ctx, &env);
    slips = NULL;
    asq__object_init(&object, "b");
}

static void tear_down(void)
{
    asq__effect_release(&effect);
    asq__ctx_release(&ctx);
    asq__object_release(&object);
    asq__registry_release(&registry);
}

static void make(void)
{
    ck_assert_int_eq(run(ASQUEUE__JOB_KIND__CREATE, "", asq_value_list()), 0);
}

START_TEST(a_method_that_returns_a_positive_number_fails_and_changes_nothing)
{
    make();
    ck_assert_int_eq(call("add"), 0);
    slips = "add";
    call("add");
    check_is_named("add");
    ck_assert_int_eq(count(), 1);
}
END_TEST

START_TEST(what_a_method_says_itself_goes_before_the_number)
{
    make();
    ck_assert_int_eq(call("refuse"), ASQ_EUSER(1));
    ck_assert_str_eq(ctx.error.pub.message, "in its own words");
}
END_TEST

START_TEST(an_attribute_s_functions_fail_by_a_positive_number)
{
    make();
    slips = "n";
    run(ASQUEUE__JOB_KIND__GET, "n", asq_value_list());
    check_is_named("n");
    slips = "n";
    run(ASQUEUE__JOB_KIND__SET, "n", asq_value_int(7));
    check_is_named("n");
    ck_assert_int_eq(count(), 0);
}
END_TEST

START_TEST(an_agent_whose_create_returns_a_positive_number_is_not_made)
{
    slips = "create";
    run(ASQUEUE__JOB_KIND__CREATE, "", asq_value_list());
    check_is_named("create");
    ck_assert_ptr_null(object.snapshot);
    make();
}
END_TEST

START_TEST(a_state_whose_save_returns_a_positive_number_goes_back)
{
    make();
    slips = "save";
    call("add");
    check_is_named("save");
    ck_assert_int_eq(count(), 0);
}
END_TEST

START_TEST(an_agent_whose_load_returns_a_positive_number_is_not_called)
{
    make();
    asq__object_unload(&object);
    slips = "load";
    call("add");
    check_is_named("load");
    ck_assert_int_eq(count(), 0);
}
END_TEST

START_TEST(an_upgrade_that_returns_a_positive_number_is_none)
{
    make();
    struct asq__snapshot *old = asq__snapshot_ref(object.snapshot);
    char err[200];
    asq__object_release(&object);
    asq__registry_release(&registry);
    ck_assert_int_eq(asq__registry_init(&registry), 0);
    box_class.version = 2;
    ck_assert_int_eq(asq__registry_add(&registry, &box_class, err, sizeof err), 0);
    ck_assert_int_eq(asq__object_load(&object, &registry, old, err, sizeof err), 0);
    asq__snapshot_unref(old);
    slips = "upgrade";
    call("add");
    check_is_named("upgrade");
    ck_assert_int_eq(call("add"), 0);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("codes");
    TCase *t = tcase_create("codes");
    tcase_add_checked_fixture(t, set_up, tear_down);
    tcase_add_test(t, a_method_that_returns_a_positive_number_fails_and_changes_nothing);
    tcase_add_test(t, what_a_method_says_itself_goes_before_the_number);
    tcase_add_test(t, an_attribute_s_functions_fail_by_a_positive_number);
    tcase_add_test(t, an_agent_whose_create_returns_a_positive_number_is_not_made);
    tcase_add_test(t, a_state_whose_save_returns_a_positive_number_goes_back);
    tcase_add_test(t, an_agent_whose_load_returns_a_positive_number_is_not_called);
    tcase_add_test(t, an_upgrade_that_returns_a_positive_number_is_none);
    suite_add_tcase(s, t);
    return sup_suite_run(s);
}
