/*
 * proxy.h: a proxy between a worker and Redis, Unix socket to Unix socket, which imitates network
 * faults at the worst moment. It is a process of its own that ends with the test.
 */
#ifndef ASQ_TESTS_PROXY_H
#define ASQ_TESTS_PROXY_H

#include "support.h"

typedef struct sup_proxy sup_proxy;

sup_proxy *sup_proxy_start(const char *redis_socket);
const char *sup_proxy_url(const sup_proxy *p);
void sup_proxy_free(sup_proxy *p);

/* Breaks the connection on which the pattern is sent next, before Redis gets it, or when Redis has
 * answered and before the answer arrives. SUP_CUT_EACH: also every later connection that sends
 * it. */
enum sup_cut { SUP_CUT_REQUEST = 1, SUP_CUT_ANSWER, SUP_CUT_EACH };
void sup_proxy_cut(sup_proxy *p, enum sup_cut how, const char *pattern);
bool sup_proxy_has_cut(const sup_proxy *p); /* since sup_proxy_cut() */

/* Holds all replies of Redis on a connection from when the pattern is sent on it. */
void sup_proxy_stall(sup_proxy *p, const char *pattern);
int sup_proxy_n_stalled(const sup_proxy *p); /* how often the pattern was sent */
void sup_proxy_resume(sup_proxy *p);

/* Replaces, in the bytes to Redis, the last `from` before each pattern by `to`, of the same length,
 * so that Redis refuses the command. from NULL: stops that. Works beside cutting and holding. */
void sup_proxy_spoil(sup_proxy *p, const char *pattern, const char *from, const char *to);

/* Delays each piece of an answer by `ms`; 0: not at all. */
void sup_proxy_delay(sup_proxy *p, int ms);

#endif
