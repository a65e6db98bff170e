/*
 * random.c: see random.h.
 */
#include <errno.h>
#include <sys/random.h>
#include <sys/types.h>

#include "asqueue.h"
#include "value/random.h"

int asq__random(void *to, size_t n)
{
    ssize_t got;
    do {
        got = getrandom(to, n, 0);
    } while (got < 0 && errno == EINTR);
    return got == (ssize_t) n ? 0 : ASQ_ESYS;
}
