/* support_internal.h: declarations shared by support.c and support_redis.c. */
#ifndef ASQ_TESTS_SUPPORT_INTERNAL_H
#define ASQ_TESTS_SUPPORT_INTERNAL_H

#include <stddef.h>

void *sup__alloc(size_t n); /* zeroed; never NULL */

#endif
