/*
 * rates.h: how many calls end, and how many fail, in a second: the mean of the last seconds, so
 * that it can be read.
 */
#ifndef ASQ_SRC_STUDIO_RATES_H
#define ASQ_SRC_STUDIO_RATES_H

#include <stdbool.h>

#include "asqueue.h"

enum { AS_RATES_S = 10 };

struct as_rates {
    double calls, failures; /* in a second */
};

/* Takes the rates from what asq_stats gives with points, which are a second each. False: it has no
 * such points, or there is no worker process that keeps figures. */
bool as_rates_of(const asq_value *stats, struct as_rates *ret);

#endif
