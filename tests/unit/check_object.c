/*
 * check_object.c: effects of jobs on an object's snapshot. Each change of state makes a new
 * snapshot, a snapshot with other references stays as it is, and one without is overwritten in
 * place.
 */
#include "client/class.h"
#include "client/object.h"
#include "support/suite.h"
#include "value/buf.h"
#include "value/error.h"
#include "value/snapshot.h"
#include "value/value.h"

#include <stdlib.h>
#include <string.h>

static struct asq__registry registry;
static struct asq__env env;
static struct asq__object object;
static struct asq__effect effect; /* of the last job */

/* state.value += n, and state.more is dropped; -n: the same, and it fails. */
static int add(asq_ctx *ctx, void *self, const asq_value *args, asq_value **ret)
{
    int64_t n = 0;
    (void) self;
    int rc = asq_args(ctx, args, "[I]", &n);
    if (rc < 0)
        return rc;
    int64_t sum = asq_map_int(asq_ctx_state(ctx), "value") + llabs(n);
    asq_map_set_int(asq_ctx_state(ctx), "value", sum);
    asq_map_remove(asq_ctx_state(ctx), "more");
    *ret = asq_value_int(sum);
    return n < 0 ? asq_fail(ctx, ASQ_EFAILED, "as it was told to") : 0;
}

static int see(asq_ctx *ctx, void *self, const asq_value *args, asq_value **ret)
{
    (void) self, (void) args;
    *ret = asq_value_int(asq_map_int(asq_ctx_state(ctx), "value"));
    return 0;
}

static const asq_method methods[] = { { "add", add, NULL, 0, NULL },
                                      { "see", see, NULL, 0, NULL },
                                      { .name = NULL } };
static const asq_class adder = { ASQ_CLASS_INIT, .name = "Adder", .methods = methods };

/* Runs a job, and frees the outcome of the previous one. Returns its code. */
static int run(Asqueue__JobKind kind, const char *method, asq_value *args)
{
    struct asq__buf raw;
    asq_ctx ctx;
    asq__effect_release(&effect);
    asq__buf_init(&raw, 1 << 20);
    ck_assert_int_eq(asq__value_encode(args, &raw), 0);
    asq__ctx_init(&ctx, &env);
    asq__object_run(&ctx, &object, kind, "Adder", method, raw.data, raw.len, &effect);
    int code = ctx.error.pub.code;
    asq__ctx_release(&ctx);
    asq__buf_release(&raw);
    asq_value_free(args);
    return code;
}

static int call(const char *method, int64_t n)
{
    return run(ASQUEUE__JOB_KIND__CALL, method, asq_pack("[I]", n));
}

static int64_t value(void)
{
    char why[200];
    asq_value *v;
    ck_assert_int_eq(asq__value_decode(effect.value.data, effect.value.len, &v, why, sizeof why),
                     0);
    int64_t n;
    ck_assert_int_eq(asq_value_get_int(v, &n), 0);
    asq_value_free(v);
    return n;
}

static void set_up(void)
{
    char err[200];
    ck_assert_int_eq(asq__registry_init(&registry), 0);
    ck_assert_int_eq(asq__registry_add(&registry, &adder, err, sizeof err), 0);
    env = (struct asq__env){ .registry = &registry, .worker = "w", .max_message_size = 1 << 20 };
    memset(&effect, 0, sizeof effect);
    asq__object_init(&object, "a");
    ck_assert_int_eq(run(ASQUEUE__JOB_KIND__CREATE, "",
                         asq_pack("{s:i, s:s}", "value", 10, "more", "of what is a longer state")),
                     0);
    ck_assert_int_eq(effect.kind, ASQ__EFFECT_SAVE);
}

static void tear_down(void)
{
    asq__effect_release(&effect);
    asq__object_release(&object);
    asq__registry_release(&registry);
}

START_TEST(a_record_that_a_commit_holds_stays_as_it_is)
{
    struct asq__snapshot *held = asq__snapshot_ref(effect.snapshot);
    size_t n = held->n;
    uint8_t *copy = malloc(n);
    memcpy(copy, held->data, n);
    ck_assert_int_eq(call("add", 1), 0);
    ck_assert_int_eq(value(), 11);
    ck_assert_int_eq(effect.kind, ASQ__EFFECT_SAVE);
    ck_assert_ptr_ne(effect.snapshot, held);
    ck_assert_ptr_eq(effect.snapshot, object.snapshot);
    ck_assert_uint_eq(held->n, n);
    ck_assert_mem_eq(held->data, copy, n);
    asq__snapshot_unref(held);
    free(copy);
}
END_TEST

START_TEST(a_record_that_nobody_else_holds_is_written_over)
{
    const struct asq__snapshot *first;
    ck_assert_int_eq(call("add", 1), 0); /* shorter by `more` */
    first = object.snapshot;
    for (int64_t i = 2; i < 100; i++) {
        asq__effect_release(&effect);
        ck_assert_int_eq(call("add", 1), 0);
        ck_assert_int_eq(value(), 10 + i);
        ck_assert_ptr_eq(object.snapshot, first);
        asq__object_unload(&object); /* the next job finds the values of the snapshot */
    }
    ck_assert_int_eq(call("add", INT32_MAX), 0); /* longer than the space in place? */
    asq__object_unload(&object);
    ck_assert_int_eq(call("see", 0), 0);
    ck_assert_int_eq(value(), 109 + (int64_t) INT32_MAX);
}
END_TEST

START_TEST(a_failure_goes_back_to_what_the_record_was)
{
    for (int i = 1; i <= 3; i++) {
        ck_assert_int_eq(call("add", -5), ASQ_EFAILED);
        ck_assert_int_eq(effect.kind, ASQ__EFFECT_NONE);
        ck_assert_int_eq(call("add", 1), 0);
        ck_assert_int_eq(value(), 10 + i);
    }
}
END_TEST

START_TEST(a_state_that_has_not_changed_is_no_effect)
{
    const struct asq__snapshot *before = object.snapshot;
    ck_assert_int_eq(call("see", 0), 0);
    ck_assert_int_eq(value(), 10);
    ck_assert_int_eq(effect.kind, ASQ__EFFECT_NONE);
    ck_assert_ptr_null(effect.snapshot);
    ck_assert_ptr_eq(object.snapshot, before);
}
END_TEST

/* Positional arguments would be dropped, because the state is a map. */
START_TEST(a_class_without_create_refuses_positional_creation_arguments)
{
    asq__object_release(&object);
    asq__object_init(&object, "b");
    ck_assert_int_eq(run(ASQUEUE__JOB_KIND__CREATE, "", asq_pack("[i]", 5)), ASQ_EARGS);
    ck_assert_int_eq(effect.kind, ASQ__EFFECT_NONE);
    ck_assert_int_eq(run(ASQUEUE__JOB_KIND__CREATE, "", asq_pack("[]")), 0);
    ck_assert_int_eq(effect.kind, ASQ__EFFECT_SAVE);
    ck_assert_int_eq(call("add", 1), 0);
    ck_assert_int_eq(value(), 1);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("object");
    TCase *t = tcase_create("object");
    tcase_add_checked_fixture(t, set_up, tear_down);
    tcase_add_test(t, a_record_that_a_commit_holds_stays_as_it_is);
    tcase_add_test(t, a_record_that_nobody_else_holds_is_written_over);
    tcase_add_test(t, a_failure_goes_back_to_what_the_record_was);
    tcase_add_test(t, a_state_that_has_not_changed_is_no_effect);
    tcase_add_test(t, a_class_without_create_refuses_positional_creation_arguments);
    suite_add_tcase(s, t);
    return sup_suite_run(s);
}
