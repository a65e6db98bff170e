/*
 * logged.h: a fixture for tests with a Redis of their own, and a worker whose log they read.
 *
 *     static void set_up(void)
 *     {
 *         logged_set_up();
 *         go = logged_file("go");
 *         logged_open();
 *         logged_start_worker(NULL, &options, list);
 *     }
 */
#ifndef ASQ_TESTS_LOGGED_H
#define ASQ_TESTS_LOGGED_H

#include "asqueue.h"
#include "support/support.h"

#include <sys/types.h>

extern sup_redis *redis;
extern pid_t worker; /* 0: none */
extern char *log_path;

/* Starts Redis; there are no worker and no H yet. */
void logged_set_up(void);
/* Opens H, as the operator. */
void logged_open(void);
/* Forks a worker "w" with these classes, ended by NULL, and options of one's own, all but id and
 * log. `url`: how it comes to Redis; NULL: straight. */
void logged_start_worker(const char *url, const asq_worker_options *options,
                         const asq_class *const *list);
/* Returns the path of a file that signals or notes something. It ends with the fixture. */
const char *logged_file(const char *name);
/* Returns how often the worker has logged a text. */
int logged_count(const char *text);
/* Closes H, stops the worker, which must end in order, and Redis. */
void logged_tear_down(void);

#endif
