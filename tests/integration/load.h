/*
 * load.h: workers with options of one's own, and a load of calls whose outcome is known exactly:
 * each agent is a Counter, each call adds 1, so the results of one agent are 1, 2, 3 … in the order
 * of its calls, whatever happened to the processes on the way.
 */
#ifndef ASQ_TESTS_LOAD_H
#define ASQ_TESTS_LOAD_H

#include "asqueue.h"
#include "support/support.h"

#include <check.h>

/* Forks a worker (a supervisor and its processes, a process group of its own) with the classes
 * of classes.h. options (or NULL): load_worker sets url, and turns logging off unless a log is
 * set. */
pid_t load_worker(const char *url, const asq_worker_options *options);
void load_signal(pid_t worker, int sig); /* signals all of its processes */
int load_worker_status(pid_t worker);    /* waits; exit status, or 128 + signal */
void load_worker_stop(pid_t worker);     /* SIGTERM; checks an orderly end */
void load_worker_kill(pid_t worker);     /* kills the whole group, and waits */

/* Makes the namespace as a worker does, because the client of ASQ_TEST_ACL may not, and a test
 * may start it first. */
void load_make_namespace(const char *url, uint32_t partitions); /* 0: as many as usual */
/* asq_open, after load_make_namespace(). */
int load_asq_open(const char *url, const asq_options *options, asq **ret, char *err, size_t errlen);
asq *load_open(const char *url);

struct load;
/* Creates the agents and waits until they are there. */
struct load *load_new(asq *h, size_t agents);
void load_calls(struct load *l, size_t calls_per_agent); /* sends, does not wait */
/* Takes the results that have arrived; returns whether all calls have completed. */
bool load_is_done(struct load *l);
/* Checks that all results are there, each with its value. Then frees everything. */
void load_check(struct load *l);
/* Does as load_check(), but calls may also have ended with this code, without any effect. */
void load_check_but(struct load *l, int code);

/* Highest id of an entry; a stream that has it takes no entries any more. */
#define LOAD_HIGHEST "18446744073709551615-18446744073709551615"
/* Returns whether each stream of calls takes entries (again): none of them ends in the highest
 * id. */
bool load_streams_are_usable(sup_redis *redis, int partitions);

#endif
