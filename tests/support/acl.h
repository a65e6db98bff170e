/*
 * acl.h: with ASQ_TEST_ACL=1 in the environment, tests run under the Redis users of
 * contrib/redis-cli/acl. Each redis-server of support_redis.c has these users. sup_redis_url names
 * the client, as-worker is started as the worker and as-ctl as the operator, and a denial by Redis
 * to one of them fails the test. The commands of the tests themselves (sup_redis_do and the like)
 * run as the default user.
 */
#ifndef ASQ_TESTS_ACL_H
#define ASQ_TESTS_ACL_H

#include <hiredis/hiredis.h>
#include <stdbool.h>
#include <stdio.h>

bool sup_acl_on(void);

/* Returns the same URL for another role: "client", "worker", "operator" or "observer". A URL
 * without a user of the rules, as all are without ASQ_TEST_ACL, stays as it is. Lives until the
 * process ends. */
const char *sup_url_as(const char *url, const char *role);

/* Lets the denial of this command pass, until the process ends. */
void sup_acl_expect(const char *command);

/* Used by support.c and support_redis.c. */
const char *sup__acl_query(void);               /* "?user=…", or "" */
const char *sup__acl_userinfo(void);            /* the same for URLs with hosts: "USER:…@" */
void sup__acl_write(FILE *conf);                /* writes the users, for redis.conf */
const char *sup__acl_role(const char *program); /* role of as-worker and as-ctl; else NULL */
/* Returns the commands that Redis denied to these users, or NULL; the caller frees it. */
char *sup__acl_denied(redisContext *c);

#endif
