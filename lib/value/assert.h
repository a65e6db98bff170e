/*
 * assert.h: assertions of this library's own invariants. They are checked in every build, unless
 * configured with --disable-assert: a broken invariant must end the process, which others recover
 * from, before it reaches a commit. What comes from outside (arguments, replies, records) is
 * checked with an error instead.
 */
#ifndef ASQ_VALUE_ASSERT_H
#define ASQ_VALUE_ASSERT_H

/* Prints file, line and condition to stderr, and aborts. */
void asq__assert_failed(const char *file, int line, const char *condition)
    __attribute__((noreturn, cold));

/* Aborts if `condition` is false. It must have no side effects: --disable-assert leaves it out. */
#ifdef NDEBUG
#define asq__assert(condition) ((void) (0 && (condition)))
#else
#define asq__assert(condition)                                                                     \
    (__builtin_expect(!(condition), 0) ? asq__assert_failed(__FILE__, __LINE__, #condition)        \
                                       : (void) 0)
#endif

#endif
