/*
 * logged.h: a fixture for tests with their own Redis, and a worker whose log they read.
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

/* Starts Redis, but no worker and no H. config: as of sup_redis_start. */
void logged_set_up(void);
void logged_set_up_with(const char *const config[]);
/* Opens H, as the operator. */
void logged_open(void);
/* Forks a worker "w" with these classes, ended by NULL, and these options, except id and log.
 * `url`: the way to Redis; NULL: directly. */
void logged_start_worker(const char *url, const asq_worker_options *options,
                         const asq_class *const *list);
/* Returns the path of a file that signals or notes something; borrowed until the end of the
 * fixture. */
const char *logged_file(const char *name);
/* Returns how often a text is in the worker's log. */
int logged_count(const char *text);
/* Closes H, stops the worker, which must end in order, and stops Redis. */
void logged_tear_down(void);

#endif
