/*
 * check_notes.c: a queue of notes compared with a plain array, in random sequences. Added notes are
 * read in order, from the front or from a kept place, and popped in order. All memory that was
 * taken is freed. The seed is printed; ASQ_TEST_SEED sets it.
 */
#include "support/suite.h"
#include "value/random.h"
#include "worker/core/notes.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>

enum { NOTES = 4096, EPISODES = 200, STEPS = 3000 };

static uint64_t seed, state;

/* Returns the next number of a sequence that depends on the seed (splitmix64). */
static uint64_t next_random(void)
{
    uint64_t z = state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

static uint64_t below(uint64_t n)
{
    return next_random() % n;
}

/* Returns a number of up to `bits` bits; every length is equally likely. */
static uint64_t any(unsigned bits)
{
    uint64_t n = below(bits + 1);
    return n ? next_random() >> (64 - n) : 0;
}

static struct asq__notes queue;
static struct asq__note model[NOTES]; /* the queue: model[front] to model[end - 1] */
static size_t front, end;

/* Returns the memory of an entry as it is read back: the next power of two, at most 2 GiB. */
static size_t rounded(size_t bytes)
{
    size_t power = 1;
    while (power < bytes && power < (size_t) 1 << 31)
        power *= 2;
    return power;
}

static void check_note(const struct asq__note *read, const struct asq__note *added)
{
    ck_assert_msg(read->ms == added->ms && read->n == added->n && read->fresh == added->fresh &&
                      read->out_of_order == added->out_of_order &&
                      read->needs_inputs == added->needs_inputs &&
                      read->bytes == rounded(added->bytes),
                  "seed %llu: added %llu-%llu of %zu bytes, flags %d%d%d; read %llu-%llu of %zu "
                  "bytes, flags %d%d%d",
                  (unsigned long long) seed, (unsigned long long) added->ms,
                  (unsigned long long) added->n, added->bytes, added->fresh, added->out_of_order,
                  added->needs_inputs, (unsigned long long) read->ms, (unsigned long long) read->n,
                  read->bytes, read->fresh, read->out_of_order, read->needs_inputs);
}

/* Adds a note whose id is so much above the last one. Ids end at the highest possible id. */
static void add(uint64_t ms, uint64_t n)
{
    struct asq__note note = {
        .bytes = any(40), .fresh = below(2), .out_of_order = below(2), .needs_inputs = below(2)
    };
    if (__builtin_add_overflow(queue.last_ms, ms, &note.ms))
        return;
    note.n = n;
    if (ms == 0 && __builtin_add_overflow(queue.last_n, n + 1, &note.n))
        return;
    ck_assert(asq__notes_reserve(&queue));
    asq__notes_add(&queue, &note);
    model[end++] = note;
}

static void add_any(void)
{
    /* Draws steps between ids as in streams: several in the same millisecond, the next a little
     * later, sometimes a pause. */
    switch (below(8)) {
    case 0: add(any(44), any(20)); break;
    case 1: add(any(64), any(64)); break;
    case 2:
    case 3: add(1 + below(3), 0); break;
    default: add(0, below(3)); break;
    }
}

static void pop(void)
{
    asq__notes_pop(&queue);
    if (front < end)
        front++;
}

/* Reads from the front until `most` notes are read; returns the place behind them. */
static struct asq__notes_place read_some(size_t most)
{
    struct asq__notes_place place = asq__notes_begin(&queue);
    struct asq__note note;
    for (size_t i = front; i < end && i - front < most; i++) {
        ck_assert_msg(asq__notes_next(&queue, &place, &note),
                      "seed %llu: %zu of %zu notes are there", (unsigned long long) seed, i - front,
                      end - front);
        check_note(&note, &model[i]);
    }
    return place;
}

static void check_all(void)
{
    struct asq__notes_place place = read_some(SIZE_MAX);
    struct asq__note note;
    ck_assert_msg(!asq__notes_next(&queue, &place, &note), "seed %llu: a note too many",
                  (unsigned long long) seed);
    ck_assert_uint_eq(queue.count, end - front);
}

/* A kept place leads to notes that are added later. */
static void check_kept_place(void)
{
    if (front == end)
        return;
    size_t n = below(end - front + 1);
    struct asq__notes_place place = read_some(n);
    struct asq__note note;
    for (uint64_t more = below(40); more > 0 && end < NOTES; more--)
        add_any();
    for (size_t i = front + n; i < end; i++) {
        ck_assert(asq__notes_next(&queue, &place, &note));
        check_note(&note, &model[i]);
    }
    ck_assert(!asq__notes_next(&queue, &place, &note));
}

static void check_freed(void)
{
    asq__notes_free(&queue);
    front = end = 0;
    ck_assert_ptr_null(queue.first);
    ck_assert_uint_eq(queue.bytes, 0);
    check_all();
}

START_TEST(notes_are_read_and_popped_as_they_were_added)
{
    for (int episode = 0; episode < EPISODES; episode++) {
        /* Decides whether the queue grows or shrinks in this part of the episode. */
        uint64_t adds = 4;
        for (int step = 0; step < STEPS && end < NOTES; step++) {
            if (step % 500 == 0)
                adds = 1 + below(7);
            if (below(8) < adds)
                add_any();
            else
                pop();
            if (below(300) == 0)
                check_all();
            if (below(300) == 0)
                check_kept_place();
        }
        check_all();
        if (below(2))
            while (front < end)
                pop();
        check_all();
        check_freed();
    }
}
END_TEST

START_TEST(the_first_and_the_highest_ids_are_kept)
{
    struct asq__note highest = { .ms = UINT64_MAX, .n = UINT64_MAX, .bytes = SIZE_MAX }, note;
    struct asq__notes_place place;
    add(0, 0); /* 0-1 is the lowest id of a stream */
    add(0, UINT64_MAX - 2);
    add(UINT64_MAX, 0);
    ck_assert(asq__notes_reserve(&queue));
    asq__notes_add(&queue, &highest);
    model[end++] = highest;
    ck_assert_uint_eq(end, 4);
    check_all();
    for (int i = 0; i < 3; i++)
        pop();
    place = asq__notes_begin(&queue);
    ck_assert(asq__notes_next(&queue, &place, &note));
    check_note(&note, &highest);
    check_freed();
}
END_TEST

START_TEST(memory_is_given_back_as_notes_are_popped)
{
    size_t full;
    while (end < NOTES)
        add(0, 0);
    full = queue.bytes;
    ck_assert_uint_ge(full, 3 * NOTES);
    ck_assert_uint_le(full, 4 * NOTES); /* three bytes each, and what the chunks take */
    while (front < end)
        pop();
    ck_assert_uint_lt(queue.bytes, full / 2);
    pop(); /* of none */
    ck_assert_uint_eq(queue.count, 0);
    check_freed();
}
END_TEST

START_TEST(an_empty_queue_has_no_note)
{
    struct asq__notes_place place = asq__notes_begin(&queue);
    struct asq__note note;
    ck_assert(!asq__notes_next(&queue, &place, &note));
    asq__notes_pop(&queue);
    check_freed();
}
END_TEST

int main(void)
{
    const char *given = getenv("ASQ_TEST_SEED");
    if (given)
        seed = strtoull(given, NULL, 10);
    else if (asq__random(&seed, sizeof seed) < 0)
        return 1;
    state = seed;
    printf("seed %llu (ASQ_TEST_SEED)\n", (unsigned long long) seed);
    fflush(stdout); /* the tests fork */
    TCase *tc = tcase_create("notes");
    tcase_add_test(tc, an_empty_queue_has_no_note);
    tcase_add_test(tc, notes_are_read_and_popped_as_they_were_added);
    tcase_add_test(tc, the_first_and_the_highest_ids_are_kept);
    tcase_add_test(tc, memory_is_given_back_as_notes_are_popped);
    tcase_set_timeout(tc, 120);
    Suite *s = suite_create("notes");
    suite_add_tcase(s, tc);
    return sup_suite_run(s);
}
