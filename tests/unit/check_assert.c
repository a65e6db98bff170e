/*
 * check_assert.c: a broken invariant ends the process and says where it was broken.
 */
#include "support/aborts.h"
#include "support/suite.h"
#include "value/assert.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void claim(void *arg)
{
    bool holds = *(const bool *) arg;
    (void) holds;
    asq__assert(holds);
}

/* Returns whether an assertion aborts. `said` gets what it has printed. */
static bool aborts(bool holds, char said[1000])
{
    int fds[2];
    ck_assert_int_eq(pipe(fds), 0);
    bool aborted = sup_aborts_on(claim, &holds, fds[1]);
    close(fds[1]);
    ssize_t n = read(fds[0], said, 999);
    ck_assert_int_ge(n, 0);
    said[n] = '\0';
    close(fds[0]);
    return aborted;
}

START_TEST(an_invariant_that_holds_says_nothing)
{
    char said[1000];
    ck_assert(!aborts(true, said));
    ck_assert_str_eq(said, "");
}
END_TEST

START_TEST(a_broken_invariant_aborts_with_file_line_and_condition)
{
    char said[1000];
    ck_assert(aborts(false, said) == SUP_ASSERTS);
    if (!SUP_ASSERTS) {
        ck_assert_str_eq(said, "");
        return;
    }
    const char *at = strstr(said, "check_assert.c:");
    ck_assert_msg(at != NULL, "%s", said);
    ck_assert_int_gt(atoi(at + strlen("check_assert.c:")), 0);
    ck_assert_msg(strstr(at, "assertion failed: holds\n") != NULL, "%s", said);
}
END_TEST

START_TEST(a_condition_is_evaluated_once_or_never)
{
    int times = 0;
    asq__assert(times++ == 0);
    ck_assert_int_eq(times, SUP_ASSERTS);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("assert");
    TCase *t = tcase_create("assert");
    suite_add_tcase(s, t);
    tcase_add_test(t, an_invariant_that_holds_says_nothing);
    tcase_add_test(t, a_broken_invariant_aborts_with_file_line_and_condition);
    tcase_add_test(t, a_condition_is_evaluated_once_or_never);
    return sup_suite_run(s);
}
