/*
 * suite.h: the cases of a suite, and the end of every main of a Check program.
 */
#ifndef ASQ_TESTS_SUITE_H
#define ASQ_TESTS_SUITE_H

#include <check.h>

/* Adds a case whose tests have these fixtures. */
static inline TCase *sup_suite_case(Suite *s, const char *name, void (*up)(void),
                                    void (*down)(void))
{
    TCase *t = tcase_create(name);
    tcase_add_checked_fixture(t, up, down);
    tcase_set_timeout(t, 120);
    suite_add_tcase(s, t);
    return t;
}

/* Runs the tests and frees the suite. Returns the program's exit status. */
static inline int sup_suite_run(Suite *s)
{
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}

#endif
