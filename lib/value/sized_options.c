/*
 * sized_options.c: see sized_options.h.
 */
#include "value/sized_options.h"

#include <string.h>

#include "asqueue.h"
#include "value/error.h"

int asq__sized_options_take(void *ret, size_t known, const void *given, const char *init, char *err,
                            size_t errlen)
{
    size_t size;
    if (!given)
        return 0;
    memcpy(&size, given, sizeof size);
    if (size == 0)
        return asq__err(err, errlen, ASQ_EINVAL, "its options begin with a size of 0; %s sets it",
                        init);
    if (size > known)
        return asq__err(err, errlen, ASQ_EVERSION,
                        "its options have %zu bytes, of which this library knows %zu: they were "
                        "not set up with %s, or the program was built for a newer asqueue",
                        size, known, init);
    memcpy(ret, given, size);
    return 0;
}
