/*
 * check_signal_box.c: what is read of an agent's signals is what is kept, after any changes of the
 * string, and hostile strings do no harm.
 */
#include "support/suite.h"
#include "value/signal_box.h"

#include "asqueue.h"

#include <stdlib.h>
#include <string.h>

/* The string as Redis has it. */
static struct asq__buf kept;

static void set_up(void)
{
    asq__buf_init(&kept, 4 * ASQ__SIGNALS_BYTES);
}

static void tear_down(void)
{
    asq__buf_release(&kept);
}

static void apply(enum asq__signals_change mode, const struct asq__buf *bytes)
{
    ck_assert_int_eq(bytes->error, 0);
    if (mode != ASQ__SIGNALS_APPEND)
        asq__buf_reset(&kept);
    if (mode == ASQ__SIGNALS_UNLINK)
        ck_assert_uint_eq(bytes->len, 0);
    asq__buf_put(&kept, bytes->data, bytes->len);
    ck_assert_int_eq(kept.error, 0);
}

static void add(struct asq__signal_box *box, const char *name, const void *value, size_t n)
{
    struct asq__buf change;
    asq__buf_init(&change, 4 * ASQ__SIGNALS_BYTES);
    ck_assert(asq__signal_box_has_room(box, name, n));
    struct asq__signal *s = asq__signal_box_add(box, name, value, n, 1700000000000 + rand() % 1000);
    ck_assert_ptr_nonnull(s);
    apply(asq__signal_box_added(box, s, &change), &change);
    asq__buf_release(&change);
}

static void hear(struct asq__signal_box *box, struct asq__signal *s)
{
    struct asq__buf change;
    uint64_t number = s->number;
    asq__buf_init(&change, 4 * ASQ__SIGNALS_BYTES);
    asq__signal_box_remove(box, s);
    apply(asq__signal_box_heard(box, number, &change), &change);
    asq__buf_release(&change);
}

/* Checks that the string has the signals of the box. */
static void check_read(const struct asq__signal_box *box)
{
    struct asq__signal_box read;
    asq__signal_box_init(&read);
    ck_assert_int_eq(asq__signal_box_read(&read, kept.data, kept.len), 0);
    ck_assert_uint_eq(read.n, box->n);
    ck_assert_uint_eq(read.bytes, box->bytes);
    const struct asq__list *other = read.signals.next;
    ASQ__LIST_EACH (it, &box->signals) {
        const struct asq__signal *a = ASQ__CONTAINER(it, struct asq__signal, node);
        const struct asq__signal *b = ASQ__CONTAINER(other, struct asq__signal, node);
        ck_assert_uint_eq(a->number, b->number);
        ck_assert_int_eq(a->at_ms, b->at_ms);
        ck_assert_str_eq(a->name, b->name);
        ck_assert_uint_eq(a->value_n, b->value_n);
        ck_assert_int_eq(memcmp(a->value, b->value, a->value_n), 0);
        other = other->next;
    }
    asq__signal_box_release(&read);
}

START_TEST(what_is_read_is_what_is_kept)
{
    static const char *const names[] = { "go", "stop", "a_rather_long_name_of_a_signal" };
    static uint8_t value[3000];
    struct asq__signal_box box;
    asq__signal_box_init(&box);
    srand((unsigned) _i);
    for (int step = 0; step < 2000; step++) {
        const char *name = names[rand() % 3];
        struct asq__signal *s = asq__signal_box_find(&box, name);
        size_t n = (size_t) rand() % (rand() % 20 ? 40 : sizeof value);
        /* Phases in which the box fills and empties. */
        if (rand() % 100 < (step / 250 % 2 ? 60 : 40)) {
            memset(value, rand(), n);
            add(&box, name, value, n);
        } else if (s) {
            hear(&box, s);
        }
        if (step % 20 == 0)
            check_read(&box);
        /* A read of it, by the next owner, goes on in the same way. */
        if (rand() % 200 == 0) {
            asq__signal_box_release(&box);
            asq__signal_box_init(&box);
            ck_assert_int_eq(asq__signal_box_read(&box, kept.data, kept.len), 0);
        }
        ck_assert_uint_le(kept.len, 2 * box.bytes + 8192);
        ck_assert_uint_eq(box.written, kept.len);
    }
    while (!asq__list_empty(&box.signals))
        hear(&box, ASQ__CONTAINER(box.signals.next, struct asq__signal, node));
    ck_assert_uint_eq(kept.len, 0);
    asq__signal_box_release(&box);
}
END_TEST

START_TEST(signals_of_a_name_come_in_order)
{
    struct asq__signal_box box;
    asq__signal_box_init(&box);
    for (uint8_t i = 0; i < 10; i++)
        add(&box, i % 2 ? "odd" : "even", &i, 1);
    for (uint8_t i = 1; i < 10; i += 2) {
        struct asq__signal *s = asq__signal_box_find(&box, "odd");
        ck_assert_uint_eq(s->value[0], i);
        hear(&box, s);
    }
    ck_assert_ptr_null(asq__signal_box_find(&box, "odd"));
    ck_assert_uint_eq(asq__signal_box_find(&box, "even")->value[0], 0);
    asq__signal_box_release(&box);
}
END_TEST

START_TEST(a_box_has_bounds)
{
    static uint8_t value[ASQ__SIGNAL_MAX];
    struct asq__signal_box box;
    asq__signal_box_init(&box);
    for (int i = 0; i < ASQ__SIGNALS_MAX; i++)
        add(&box, "s", NULL, 0);
    ck_assert(!asq__signal_box_has_room(&box, "s", 0));
    check_read(&box);
    asq__signal_box_release(&box);
    asq__signal_box_init(&box);
    asq__buf_reset(&kept);
    for (int i = 0; i < 15; i++)
        add(&box, "s", value, sizeof value);
    ck_assert(!asq__signal_box_has_room(&box, "s", sizeof value));
    check_read(&box);
    asq__signal_box_release(&box);
}
END_TEST

START_TEST(hostile_strings_do_no_harm)
{
    struct asq__signal_box box, read;
    asq__signal_box_init(&box);
    for (uint8_t i = 0; i < 5; i++)
        add(&box, "name", &i, 1);
    hear(&box, asq__signal_box_find(&box, "name"));
    for (size_t cut = 0; cut < kept.len; cut++) {
        uint8_t *copy = malloc(cut + 1);
        memcpy(copy, kept.data, cut);
        asq__signal_box_init(&read);
        int rc = asq__signal_box_read(&read, copy, cut);
        ck_assert(rc == 0 || (rc == ASQ_EPROTO && read.n == 0 && read.written == 0));
        asq__signal_box_release(&read);
        free(copy);
    }
    for (size_t at = 0; at < kept.len; at++)
        for (int bit = 0; bit < 8; bit++) {
            kept.data[at] ^= (uint8_t) (1 << bit);
            asq__signal_box_init(&read);
            int rc = asq__signal_box_read(&read, kept.data, kept.len);
            ck_assert(rc == 0 || rc == ASQ_EPROTO);
            asq__signal_box_release(&read);
            kept.data[at] ^= (uint8_t) (1 << bit);
        }
    asq__signal_box_release(&box);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("signal_box");
    TCase *t = tcase_create("signal_box");
    tcase_add_checked_fixture(t, set_up, tear_down);
    tcase_add_loop_test(t, what_is_read_is_what_is_kept, 0, 8);
    tcase_add_test(t, signals_of_a_name_come_in_order);
    tcase_add_test(t, a_box_has_bounds);
    tcase_add_test(t, hostile_strings_do_no_harm);
    suite_add_tcase(s, t);
    return sup_suite_run(s);
}
