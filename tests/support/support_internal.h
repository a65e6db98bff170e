/* support_internal.h: declarations shared by support.c and support_redis.c. */
#ifndef ASQ_TESTS_SUPPORT_INTERNAL_H
#define ASQ_TESTS_SUPPORT_INTERNAL_H

#include <stddef.h>

struct sup_redis;

void *sup__alloc(size_t n); /* zeroed; never NULL */
/* Returns redis-server, valkey-server, or ASQ_REDIS_SERVER; NULL without one. */
const char *sup__server_program(void);
/* As sup_redis_start, whatever ASQ_TEST_REDIS is. */
struct sup_redis *sup__redis_start(const char *const config[]);

#endif
