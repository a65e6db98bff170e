/*
 * oldest.h: of many calls, keeps the oldest ones in bounded memory.
 */
#ifndef ASQ_SRC_OLDEST_H
#define ASQ_SRC_OLDEST_H

#include <stddef.h>
#include <stdint.h>

#include "asqueue.h"

struct as_oldest {
    size_t limit; /* so many are kept; at least 1 */
    struct as_aged {
        int64_t age_ms;
        asq_value *call;
    } * calls;
    size_t n;
    size_t seen;      /* calls in all */
    int64_t young_ms; /* such calls and younger ones are not among the oldest */
};

/* Takes a copy of a call, if it is old enough. ASQ_ENOMEM. */
int as_oldest_add(struct as_oldest *oldest, const asq_value *call);
/* Makes a list of what was kept, oldest first, and leaves none. */
int as_oldest_list(struct as_oldest *oldest, asq_value **ret);
void as_oldest_release(struct as_oldest *oldest);

#endif
