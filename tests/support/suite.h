/*
 * suite.h: the end of every main of a Check program.
 */
#ifndef ASQ_TESTS_SUITE_H
#define ASQ_TESTS_SUITE_H

#include <check.h>

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
