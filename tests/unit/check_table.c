/*
 * check_table.c: the intrusive hash table.
 */
#include "asqueue.h"
#include "value/list.h"
#include "value/table.h"
#include "support/suite.h"

#include <check.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct item {
    int number;
    struct asq__node node;
    char key[24];
    bool seen;
};

static struct item *item_of(const struct asq__node *node)
{
    return ASQ__CONTAINER(node, struct item, node);
}

static const void *key_of(const struct asq__node *node, size_t *n)
{
    struct item *item = item_of(node);
    *n = strlen(item->key);
    return item->key;
}

static struct item *find(const struct asq__table *t, const char *key)
{
    struct asq__node *node = asq__table_find(t, key, strlen(key));
    return node ? item_of(node) : NULL;
}

START_TEST(what_was_added_is_found_until_it_is_deleted)
{
    enum { ITEMS = 5000 };
    struct item *items = calloc(ITEMS, sizeof *items);
    struct asq__table t;
    char key[24];
    ck_assert_int_eq(asq__table_init(&t, key_of), 0);
    ck_assert_ptr_null(find(&t, "item-0"));
    for (int i = 0; i < ITEMS; i++) {
        items[i].number = i;
        snprintf(items[i].key, sizeof items[i].key, "item-%d", i);
        asq__table_add(&t, &items[i].node);
    }
    ck_assert_uint_eq(t.count, ITEMS);
    ck_assert_uint_ge(t.mask + 1, ITEMS / 2); /* grown */
    for (int i = 0; i < ITEMS; i += 2)
        asq__table_del(&t, &items[i].node);
    ck_assert_uint_eq(t.count, ITEMS / 2);
    for (int i = 0; i < ITEMS; i++) {
        snprintf(key, sizeof key, "item-%d", i);
        ck_assert_ptr_eq(find(&t, key), i % 2 ? &items[i] : NULL);
    }
    asq__table_release(&t);
    free(items);
}
END_TEST

START_TEST(deleting_twice_does_nothing)
{
    struct item a = { .key = "a" }, b = { .key = "b" };
    struct asq__table t;
    ck_assert_int_eq(asq__table_init(&t, key_of), 0);
    asq__table_del(&t, &a.node);
    asq__table_add(&t, &a.node);
    asq__table_add(&t, &b.node);
    asq__table_del(&t, &a.node);
    asq__table_del(&t, &a.node);
    ck_assert_uint_eq(t.count, 1);
    ck_assert_ptr_eq(find(&t, "b"), &b);
    asq__table_add(&t, &a.node);
    ck_assert_ptr_eq(find(&t, "a"), &a);
    asq__table_release(&t);
}
END_TEST

START_TEST(keys_may_be_empty_and_contain_anything)
{
    struct item empty = { .key = "" }, prefix = { .key = "ab" };
    struct asq__table t;
    ck_assert_int_eq(asq__table_init(&t, key_of), 0);
    asq__table_add(&t, &empty.node);
    asq__table_add(&t, &prefix.node);
    ck_assert_ptr_eq(find(&t, ""), &empty);
    ck_assert_ptr_null(find(&t, "a"));
    ck_assert_ptr_null(find(&t, "abc"));
    ck_assert_ptr_null(asq__table_find(&t, "ab\0", 3));
    asq__table_release(&t);
}
END_TEST

static int visits;

static void visit(struct asq__node *node, void *user)
{
    struct asq__table *t = user;
    struct item *item = item_of(node);
    ck_assert(!item->seen);
    item->seen = true;
    visits++;
    if (item->number % 3 == 0) {
        asq__table_del(t, node);
        free(item);
    }
}

START_TEST(a_visitor_may_delete_what_it_is_given)
{
    struct asq__table t;
    struct item *items[300];
    ck_assert_int_eq(asq__table_init(&t, key_of), 0);
    for (int i = 0; i < 300; i++) {
        items[i] = calloc(1, sizeof *items[i]);
        items[i]->number = i;
        snprintf(items[i]->key, sizeof items[i]->key, "%d", i);
        asq__table_add(&t, &items[i]->node);
    }
    asq__table_each(&t, visit, &t);
    ck_assert_int_eq(visits, 300);
    ck_assert_uint_eq(t.count, 200);
    for (int i = 0; i < 300; i++)
        if (i % 3)
            free(items[i]);
    asq__table_release(&t);
}
END_TEST

START_TEST(lists_splice_and_survive_deletion_inside_a_loop)
{
    struct asq__list a, b, nodes[6];
    asq__list_init(&a);
    asq__list_init(&b);
    for (int i = 0; i < 3; i++) {
        asq__list_add(&a, &nodes[i]);
        asq__list_add(&b, &nodes[i + 3]);
    }
    asq__list_splice(&a, &b);
    ck_assert(asq__list_empty(&b));
    asq__list_splice(&a, &b);
    int i = 0;
    ASQ__LIST_EACH (it, &a) {
        ck_assert_ptr_eq(it, &nodes[i++]);
        asq__list_del(it);
        asq__list_del(it);
    }
    ck_assert_int_eq(i, 6);
    ck_assert(asq__list_empty(&a));
    ck_assert_ptr_null(asq__list_pop(&a));
}
END_TEST

int main(void)
{
    Suite *s = suite_create("table");
    TCase *c = tcase_create("table");
    tcase_add_test(c, what_was_added_is_found_until_it_is_deleted);
    tcase_add_test(c, deleting_twice_does_nothing);
    tcase_add_test(c, keys_may_be_empty_and_contain_anything);
    tcase_add_test(c, a_visitor_may_delete_what_it_is_given);
    tcase_add_test(c, lists_splice_and_survive_deletion_inside_a_loop);
    suite_add_tcase(s, c);
    return sup_suite_run(s);
}
