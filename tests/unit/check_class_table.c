/*
 * check_class_table.c: which tables of classes are accepted, with which layouts, and the messages
 * about refused ones.
 */
#include "class_tables.h"
#include "support/suite.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Checks that the table is refused with this code and text, and leaves nothing behind. */
#define refused(cls, code, text)                                                                   \
    do {                                                                                           \
        size_t before_ = asq__registry_count(&registry);                                           \
        ck_assert_int_eq(add(cls), code);                                                          \
        ck_assert_msg(strstr(err, text) != NULL, "expected \"%s\" in \"%s\"", text, err);          \
        ck_assert_uint_eq(asq__registry_count(&registry), before_);                                \
    } while (0)

/* ---- taking tables over ---- */

START_TEST(a_table_is_copied_and_its_names_are_borrowed)
{
    asq_method methods[] = { { "run", method, "url, depth", ASQ_READONLY, "Runs." },
                             { .name = NULL } };
    asq_class cls = { ASQ_CLASS_INIT, .name = "Runner",    .methods = methods,
                      .version = 7,   .stack_size = 65536, .user = &registry };
    const char *name = methods[0].name;
    const struct asq__class *c = added(&cls);
    memset(methods, 0x5a, sizeof methods);
    cls.version = 8;
    ck_assert_uint_eq(c->def.version, 7);
    ck_assert_uint_eq(c->def.stack_size, 65536);
    ck_assert_ptr_eq(c->def.user, &registry);
    const struct asq__method *m = asq__class_method(c, "run");
    ck_assert_ptr_nonnull(m);
    ck_assert_ptr_eq(m->def.name, name);
    ck_assert_str_eq(m->def.params, "url, depth");
    ck_assert_uint_eq(m->def.flags, ASQ_READONLY);
    ck_assert(m->def.fn == method);
    ck_assert_ptr_null(asq__class_method(c, "ru"));
    ck_assert_uint_eq(asq__registry_count(&registry), 1);
}
END_TEST

START_TEST(classes_are_found_by_name_and_stay_where_they_are)
{
    enum { MANY = 300 };
    static char names[MANY][16];
    static asq_class all[MANY];
    const struct asq__class *found[MANY];
    for (int i = 0; i < MANY; i++) {
        snprintf(names[i], sizeof names[i], "C%d", i);
        all[i] = counter;
        all[i].name = names[i];
        found[i] = added(&all[i]);
    }
    for (int i = 0; i < MANY; i++)
        ck_assert_ptr_eq(asq__registry_find(&registry, names[i]), found[i]);
    ck_assert_ptr_null(asq__registry_find(&registry, "C300"));
    ck_assert_ptr_null(asq__registry_find(&registry, ""));
    refused(&all[17], ASQ_EEXIST, "C17 is registered already");
    ck_assert_ptr_eq(asq__registry_find(&registry, "C17"), found[17]);
}
END_TEST

START_TEST(a_registry_may_be_released_unused_or_twice)
{
    struct asq__registry zeroed;
    memset(&zeroed, 0, sizeof zeroed);
    asq__registry_release(&zeroed);
    added(&counter);
    asq__registry_release(&registry);
    asq__registry_release(&registry);
    ck_assert_uint_eq(asq__registry_count(&registry), 0);
}
END_TEST

START_TEST(names_are_checked)
{
    asq_class cls = counter;
    refused(NULL, ASQ_EINVAL, "NULL");
    cls.name = NULL;
    refused(&cls, ASQ_EINVAL, "has no name");
    cls.name = "";
    refused(&cls, ASQ_EINVAL, "class name is empty");
    cls.name = "My Class";
    refused(&cls, ASQ_EINVAL, "\"My Class\" is no class name");
    cls.name = "_C";
    refused(&cls, ASQ_EINVAL, "\"_C\" is no class name");

    asq_method methods[] = { { "good", method, NULL, 0, NULL },
                             { "b/d", method, NULL, 0, NULL },
                             { .name = NULL } };
    cls = (asq_class){ ASQ_CLASS_INIT, .name = "M", .methods = methods };
    refused(&cls, ASQ_EINVAL, "class M: \"b/d\" is no method name");
    methods[1].name = "";
    refused(&cls, ASQ_EINVAL, "class M: the method name is empty");
    methods[1].name = "good";
    refused(&cls, ASQ_EINVAL, "class M has two methods 'good'");
    methods[1].name = "better";
    asq_attribute attributes[] = { { .name = "x" }, { .name = "x" }, { .name = NULL } };
    cls.attributes = attributes;
    refused(&cls, ASQ_EINVAL, "class M has two attributes 'x'");
    attributes[1].name = "1x";
    refused(&cls, ASQ_EINVAL, "class M: \"1x\" is no attribute name");
    attributes[1].name = "better"; /* methods and attributes share no names */
    added(&cls);
}
END_TEST

START_TEST(methods_are_checked)
{
    asq_method methods[] = { { "run", NULL, NULL, 0, NULL }, { .name = NULL } };
    asq_class cls = { ASQ_CLASS_INIT, .name = "M", .methods = methods };
    refused(&cls, ASQ_EINVAL, "method 'run' of class M has no function");
    methods[0].fn = method;
    methods[0].flags = ASQ_WRITABLE;
    refused(&cls, ASQ_EINVAL, "ASQ_WRITABLE is for attributes");
    methods[0].flags = ASQ_LIVE;
    refused(&cls, ASQ_EINVAL, "ASQ_LIVE is for attributes");
    asq_retry retry = { ASQ_RETRY_INIT, .attempts = 2, .delay_ms = -1 };
    asq_method_retry retries[] = { { "nothing", &retry }, { NULL, NULL } };
    methods[0].flags = 0;
    cls.retries = retries;
    refused(&cls, ASQ_EINVAL, "'nothing', which is not one of its methods");
    retries[0].method = methods[0].name;
    refused(&cls, ASQ_EINVAL, "negative delay");
    retry.delay_ms = 0;
    retry.codes = (const int[]){ ASQ_EFAILED, 7, 0 };
    refused(&cls, ASQ_EINVAL, "codes that are not negative");
    retry.size = 0;
    refused(&cls, ASQ_EINVAL, "ASQ_RETRY_INIT");
    cls.retries = NULL;
    methods[0].flags = ASQ_CONCURRENT;
    refused(&cls, ASQ_EINVAL, "ASQ_CONCURRENT and not ASQ_READONLY");
    methods[0].flags = 1u << 9;
    refused(&cls, ASQ_EVERSION, "class M: method run uses what asqueue " ASQ_VERSION);
    methods[0].flags = 0;
    methods[0].params = "url, depth,url";
    refused(&cls, ASQ_EINVAL, "two parameters 'url'");
    methods[0].params = "url, de=pth";
    refused(&cls, ASQ_EINVAL, "\"de=pth\" is no parameter name");
    methods[0].params = "url";
    methods[0].doc = "\xff";
    refused(&cls, ASQ_EINVAL, "its doc is not UTF-8");
    methods[0].doc = NULL;
    cls.methods = NULL;
    refused(&cls, ASQ_EINVAL, "class M has neither methods nor attributes");
    cls.methods = methods;
    cls.stack_size = 100;
    refused(&cls, ASQ_EINVAL, "stack_size of 100 bytes is too small");
    cls.stack_size = 0;
    added(&cls);
}
END_TEST

START_TEST(a_table_without_its_end_is_noticed)
{
    static asq_method methods[ASQ__MAX_MEMBERS + 2];
    for (size_t i = 0; i < ASQ__MAX_MEMBERS + 1; i++)
        methods[i] = (asq_method){ "same", method, NULL, 0, NULL };
    asq_class cls = { ASQ_CLASS_INIT, .name = "M", .methods = methods };
    refused(&cls, ASQ_EINVAL, "does the table lack the NULL at its end?");
}
END_TEST

START_TEST(struct_state_needs_all_its_functions)
{
    asq_attribute attributes[] = { { .name = "x", .get = get }, { .name = NULL } };
    asq_class cls = { ASQ_CLASS_INIT,           .name = "S",      .methods = counter_methods,
                      .attributes = attributes, .create = create, .save = save };
    refused(&cls, ASQ_EINVAL, "class S has save without load");
    cls.save = NULL;
    cls.load = load;
    refused(&cls, ASQ_EINVAL, "class S has load without save");
    cls.save = save;
    cls.create = NULL;
    refused(&cls, ASQ_EINVAL, "no create");
    cls.create = create;
    attributes[0].get = NULL;
    refused(&cls, ASQ_EINVAL, "attribute 'x' of class S has no get");
    attributes[0].get = get;
    attributes[0].flags = ASQ_WRITABLE;
    refused(&cls, ASQ_EINVAL, "attribute 'x' of class S is ASQ_WRITABLE but has no set");
    attributes[0].set = set;
    attributes[0].flags = ASQ_WRITABLE | ASQ_READONLY;
    refused(&cls, ASQ_EINVAL, "both ASQ_WRITABLE and ASQ_READONLY");
    attributes[0].name = "_x";
    attributes[0].flags = ASQ_LIVE;
    refused(&cls, ASQ_EINVAL, "ASQ_LIVE and, by the '_', private");
    attributes[0].name = "x";
    attributes[0].flags = ASQ_WRITABLE;
    added(&cls); /* a table without destroy is fine */
    cls.name = "T";
    cls.destroy = destroy;
    added(&cls);
    cls.name = "U";
    cls.save = NULL;
    cls.load = NULL;
    refused(&cls, ASQ_EINVAL, "class U has destroy, but no save and load");
}
END_TEST

/* ---- tables of other versions ---- */

/* The layout of 0.1.0, member by member, as it is in plugins. It must never be changed: when
 * asq_class and similar structs grow, plugins with this layout must still be accepted. */
struct frozen_method {
    const char *name;
    asq_method_fn fn;
    const char *params;
    unsigned flags;
    const char *doc;
};

struct frozen_attribute {
    const char *name;
    int (*get)(asq_ctx *ctx, void *self, asq_value **ret);
    int (*set)(asq_ctx *ctx, void *self, const asq_value *value);
    unsigned flags;
    const char *doc;
};

struct frozen_class {
    size_t size, method_size, attribute_size;
    const char *name, *doc;
    const struct frozen_method *methods;
    const struct frozen_attribute *attributes;
    int (*create)(asq_ctx *ctx, const asq_value *args, void **ret_self);
    void (*destroy)(void *self);
    int (*save)(const void *self, asq_value **ret_state);
    int (*load)(asq_ctx *ctx, const asq_value *state, void **ret_self);
    uint32_t version;
    int (*upgrade)(asq_ctx *ctx, uint32_t from_version, asq_value **state);
    size_t stack_size;
    void *user;
};

START_TEST(the_layout_of_0_1_0_is_taken)
{
    static const struct frozen_method methods[] = {
        { "one", method, "a", ASQ_READONLY, "First." },
        { "two", method, NULL, 0, NULL },
        { .name = NULL },
    };
    static const struct frozen_attribute attributes[] = { { "x", get, set, ASQ_WRITABLE, "X." },
                                                          { "y", get, NULL, 0, NULL },
                                                          { .name = NULL } };
    static const struct frozen_class frozen = { sizeof frozen,
                                                sizeof methods[0],
                                                sizeof attributes[0],
                                                "Frozen",
                                                "Old.",
                                                methods,
                                                attributes,
                                                create,
                                                destroy,
                                                save,
                                                load,
                                                3,
                                                NULL,
                                                32768,
                                                &registry };
    union {
        const struct frozen_class *theirs;
        const asq_class *ours;
    } table = { &frozen };
    const struct asq__class *c = added(table.ours);
    ck_assert_str_eq(c->def.doc, "Old.");
    ck_assert(c->def.create == create && c->def.destroy == destroy);
    ck_assert(c->def.save == save && c->def.load == load);
    ck_assert_uint_eq(c->def.version, 3);
    ck_assert_uint_eq(c->def.stack_size, 32768);
    ck_assert_ptr_eq(c->def.user, &registry);
    ck_assert_uint_eq(c->method_count, 2);
    ck_assert_uint_eq(c->attribute_count, 2);
    ck_assert_str_eq(asq__class_method(c, "one")->def.doc, "First.");
    ck_assert_uint_eq(asq__class_method(c, "one")->def.flags, ASQ_READONLY);
    ck_assert(asq__class_method(c, "two")->def.fn == method);
    ck_assert_uint_eq(asq__class_attribute(c, "x")->def.flags, ASQ_WRITABLE);
    ck_assert(asq__class_attribute(c, "x")->def.set == set);
    ck_assert(asq__class_attribute(c, "y")->def.get == get);
    ck_assert(!c->def.retries && !c->def.pool);
}
END_TEST

/* Smaller than any real layout, which shows that the sizes are used. */
struct short_method {
    const char *name;
    asq_method_fn fn;
};

struct short_attribute {
    const char *name;
    int (*get)(asq_ctx *ctx, void *self, asq_value **ret);
};

START_TEST(what_an_older_table_lacks_is_zero)
{
    static const struct short_method methods[] = { { "one", method },
                                                   { "two", method },
                                                   { NULL, NULL } };
    static const struct short_attribute attributes[] = { { "x", get },
                                                         { "y", NULL },
                                                         { NULL, NULL } };
    /* On the heap at its exact size, so that sanitizers see reads beyond it. */
    size_t size = offsetof(struct frozen_class, destroy);
    struct frozen_class whole = { .size = size,
                                  .method_size = sizeof methods[0],
                                  .attribute_size = sizeof attributes[0],
                                  .name = "Short",
                                  .create = create };
    memcpy(&whole.methods, &(const void *){ methods }, sizeof whole.methods);
    memcpy(&whole.attributes, &(const void *){ attributes }, sizeof whole.attributes);
    void *table = malloc(size);
    ck_assert_ptr_nonnull(table);
    memcpy(table, &whole, size);
    const struct asq__class *c = added(table);
    free(table);
    ck_assert(c->def.create == create);
    ck_assert(!c->def.destroy && !c->def.save && !c->def.load && !c->def.upgrade);
    ck_assert_uint_eq(c->def.version, 0);
    ck_assert_ptr_null(c->def.user);
    ck_assert_uint_eq(c->method_count, 2);
    ck_assert_uint_eq(c->attribute_count, 2);
    const struct asq__method *two = asq__class_method(c, "two");
    ck_assert(two && two->def.fn == method);
    ck_assert(!two->def.params && !two->def.flags && !two->def.doc);
    const struct asq__attribute *x = asq__class_attribute(c, "x");
    ck_assert(x && x->def.get == get && !x->def.set && !x->def.flags);
}
END_TEST

struct long_class {
    asq_class now;
    uint32_t later, latest;
};

struct long_method {
    asq_method now;
    void *later;
};

struct long_attribute {
    asq_attribute now;
    void *later;
};

START_TEST(a_newer_table_is_taken_unless_it_uses_what_is_new)
{
    struct long_method methods[] = { { { "one", method, NULL, 0, NULL }, NULL },
                                     { { "two", method, NULL, 0, NULL }, NULL },
                                     { .now = { .name = NULL } } };
    struct long_attribute attributes[] = { { { .name = "x" }, NULL },
                                           { { .name = "y" }, NULL },
                                           { .now = { .name = NULL } } };
    struct long_class cls = { .now = { sizeof cls, sizeof methods[0], sizeof attributes[0],
                                       .name = "Late", .methods = &methods[0].now,
                                       .attributes = &attributes[0].now } };
    cls.latest = 1;
    refused(&cls.now, ASQ_EVERSION,
            "class Late: its table uses what asqueue " ASQ_VERSION " does not have");
    cls.latest = 0;
    methods[1].later = methods;
    refused(&cls.now, ASQ_EVERSION, "class Late: method two uses");
    methods[1].later = NULL;
    attributes[1].later = methods;
    refused(&cls.now, ASQ_EVERSION, "class Late: attribute y uses");
    attributes[1].later = NULL;
    const struct asq__class *c = added(&cls.now);
    ck_assert_ptr_nonnull(asq__class_method(c, "two"));
    ck_assert_ptr_nonnull(asq__class_attribute(c, "y"));
    ck_assert_uint_eq(c->def.size, sizeof(asq_class));
}
END_TEST

START_TEST(sizes_that_no_version_has_are_refused)
{
    asq_class cls = counter;
    cls.size = 0;
    refused(&cls, ASQ_EINVAL, "begins with ASQ_CLASS_INIT");
    cls.size = 8;
    refused(&cls, ASQ_EINVAL, "is 8, which no version");
    cls.size = (size_t) -1;
    refused(&cls, ASQ_EINVAL, "which no version");
    cls.size = sizeof cls;
    cls.method_size = 0;
    refused(&cls, ASQ_EINVAL, "class Counter: method_size is 0");
    cls.method_size = sizeof(asq_method) + 1;
    refused(&cls, ASQ_EINVAL, "class Counter: method_size is");
    cls.method_size = sizeof(asq_method);
    cls.attribute_size = 8;
    refused(&cls, ASQ_EINVAL, "class Counter: attribute_size is 8");
}
END_TEST

int main(void)
{
    Suite *s = suite_create("class_table");
    TCase *c = tcase_create("tables");
    tcase_add_checked_fixture(c, setup, teardown);
    tcase_add_test(c, a_table_is_copied_and_its_names_are_borrowed);
    tcase_add_test(c, classes_are_found_by_name_and_stay_where_they_are);
    tcase_add_test(c, a_registry_may_be_released_unused_or_twice);
    tcase_add_test(c, names_are_checked);
    tcase_add_test(c, methods_are_checked);
    tcase_add_test(c, a_table_without_its_end_is_noticed);
    tcase_add_test(c, struct_state_needs_all_its_functions);
    tcase_add_test(c, the_layout_of_0_1_0_is_taken);
    tcase_add_test(c, what_an_older_table_lacks_is_zero);
    tcase_add_test(c, a_newer_table_is_taken_unless_it_uses_what_is_new);
    tcase_add_test(c, sizes_that_no_version_has_are_refused);
    suite_add_tcase(s, c);
    return sup_suite_run(s);
}
