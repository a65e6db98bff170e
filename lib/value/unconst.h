/*
 * unconst.h: takes const away, for interfaces that only read what they do not declare const.
 */
#ifndef ASQ_VALUE_UNCONST_H
#define ASQ_VALUE_UNCONST_H

/* The union keeps -Wcast-qual for every other place. */
static inline void *asq__unconst(const void *p)
{
    union {
        const void *in;
        void *out;
    } u = { .in = p };
    return u.out;
}

#endif
