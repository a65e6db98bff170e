/*
 * unconst.h: casts const away, for interfaces that only read but do not declare it.
 */
#ifndef ASQ_VALUE_UNCONST_H
#define ASQ_VALUE_UNCONST_H

/* Uses a union, so that -Wcast-qual can stay enabled. */
static inline void *asq__unconst(const void *p)
{
    union {
        const void *in;
        void *out;
    } u = { .in = p };
    return u.out;
}

#endif
