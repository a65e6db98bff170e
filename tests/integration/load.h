/*
 * load.h: workers with the test's own options, and a load of calls whose outcome is known exactly.
 * Each agent is a Counter and each call adds 1, so the results of one agent are 1, 2, 3 … in the
 * order of its calls, whatever happens to the processes.
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
void load_signal(pid_t worker, int sig); /* Signals all processes of a worker. */
int load_worker_status(
    pid_t worker); /* Waits for its end. Returns the exit status, or 128 + signal. */
void load_worker_stop(pid_t worker); /* Sends SIGTERM, and checks that the worker ends in order. */
void load_worker_kill(pid_t worker); /* Kills the whole group, and waits. */

/* Makes the namespace as a worker does, because the client of ASQ_TEST_ACL may not, and a test may
 * start the client first. */
void load_make_namespace(const char *url, uint32_t partitions); /* 0: as many as usual */
/* asq_open, after load_make_namespace(). */
int load_asq_open(const char *url, const asq_options *options, asq **ret, char *err, size_t errlen);
asq *load_open(const char *url);

struct load;
/* Creates the agents and waits until they are there. */
struct load *load_new(asq *h, size_t agents);
void load_calls(struct load *l, size_t calls_per_agent); /* Sends the calls; does not wait. */
/* Takes the results that have arrived; returns whether all calls have completed. */
bool load_is_done(struct load *l);
/* Checks that all results are there with their values. Then frees everything. */
void load_check(struct load *l);
/* Does as load_check(), but calls may also have ended with this code, without any effect. */
void load_check_but(struct load *l, int code);

/* Highest id of an entry. A stream that has it takes no more entries. */
#define LOAD_HIGHEST "18446744073709551615-18446744073709551615"
/* Returns whether each stream of calls takes entries (again), that is whether none ends in the
 * highest id. */
bool load_streams_are_usable(sup_redis *redis, int partitions);

#endif
