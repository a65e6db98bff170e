/*
 * workers.h: starts the workers on which graphs run, forked from the test program, and kills them.
 */
#ifndef ASQ_TESTS_GRAPH_WORKERS_H
#define ASQ_TESTS_GRAPH_WORKERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { MAX_WORKERS = 8 };

struct workers;

/* Starts n workers with random capacities from 1 to 4; every second one unloads calls that
 * sleep for a second. killed: their leases are short, for
 * workers_kill. */
struct workers *workers_start(const char *url, size_t n, bool killed, uint64_t dice);
/* Sends SIGKILL to a process of one worker, whose supervisor starts another; or to the whole
 * worker, and starts a new one. `dice` chooses. Prints a line to stderr if `verbose`. */
void workers_kill(struct workers *w, uint64_t dice, bool verbose);
/* Sends SIGTERM to all, and waits. False: one did not end in order. */
bool workers_stop(struct workers *w);

#endif
