/*
 * bar.h: a bar for values that tell which share of the work is done.
 */
#ifndef ASQ_SRC_BAR_H
#define ASQ_SRC_BAR_H

#include <stdbool.h>

#include "asqueue.h"

enum { AS_BAR_MAX = 40, AS_BAR_TEXT = AS_BAR_MAX + 16 };

/* Returns whether a value is a share: a floating-point number from 0 to 1. goes_on: the values
 * before it were, so the ints 0 and 1 are, too. */
bool as_bar_share(const asq_value *v, bool goes_on, double *ret);
/* Writes "[####----]  50 %" with so many places, at most AS_BAR_MAX. */
const char *as_bar(double share, int places, char text[AS_BAR_TEXT]);

#endif
