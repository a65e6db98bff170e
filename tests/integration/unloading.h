/*
 * unloading.h: a walker (walker.h), a peer of its class, and a worker that unloads their calls, for
 * tests of calls that sleep or wait without a run.
 */
#ifndef ASQ_TESTS_UNLOADING_H
#define ASQ_TESTS_UNLOADING_H

#include "asqueue.h"
#include "logged.h"
#include "modes.h"
#include "walker.h"

enum { HOUR_MS = 3600000 };

extern asq_agent *walker, *peer;

/* Starts Redis, a worker "w" with this unload_after_ms, H and the agents; and ends them. */
void unloading_set_up(int64_t unload_after_ms);
void unloading_tear_down(void);
void unloading_start_worker(int64_t unload_after_ms);
/* Calls the walker with a script, and returns when Redis has the call. */
asq_result *begin(const char *fmt, ...) ASQ_PRINTF(1, 2);
/* Waits for what the script gave, and frees the result. */
void expect_text(asq_result *r, const char *expected);
int64_t count_calls(unsigned states);
/* Adds up what a command gives of the keys of this name in all partitions. */
int64_t sum(const char *command, const char *name);
/* Checks that nothing is left of any call. */
void expect_nothing(void);
/* Kills the process of worker "w", which its supervisor starts again. */
void kill_owner(void);

#endif
