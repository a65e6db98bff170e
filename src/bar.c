/*
 * bar.c: see bar.h.
 */
#include "bar.h"

#include <stdint.h>
#include <stdio.h>

bool as_bar_share(const asq_value *v, bool goes_on, double *ret)
{
    int64_t n;
    if (goes_on && asq_value_get_int(v, &n) == 0)
        *ret = (double) n;
    else if (asq_value_type(v) != ASQ_DOUBLE || asq_value_get_double(v, ret) < 0)
        return false;
    return *ret >= 0 && *ret <= 1;
}

const char *as_bar(double share, int places, char text[AS_BAR_TEXT])
{
    int full = (int) (share * places + 0.5);
    text[0] = '[';
    for (int i = 0; i < places; i++)
        text[1 + i] = i < full ? '#' : '-';
    snprintf(text + 1 + places, (size_t) (AS_BAR_TEXT - 1 - places), "] %3d %%",
             (int) (share * 100));
    return text;
}
