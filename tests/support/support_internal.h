/* support_internal.h: what support.c and support_redis.c share. */
#ifndef ASQ_TESTS_SUPPORT_INTERNAL_H
#define ASQ_TESTS_SUPPORT_INTERNAL_H

#include <stddef.h>

void *sup__alloc(size_t n); /* zeroed; never NULL */

#endif
