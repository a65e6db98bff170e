/*
 * workers.h: the workers that graphs run on, forked from the test program, and their deaths.
 */
#ifndef ASQ_TESTS_GRAPH_WORKERS_H
#define ASQ_TESTS_GRAPH_WORKERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { MAX_WORKERS = 8 };

struct workers;

/* n of them, of capacities from 1 to 4 by the dice. killed: for workers_kill: their leases are short. */
struct workers *workers_start(const char *url, size_t n, bool killed, uint64_t dice);
/* SIGKILL: to a process of one of them, whose supervisor starts another; or to all of it, and a new worker
 * is started. `dice`: which. A line about it goes to stderr if `verbose`. */
void workers_kill(struct workers *w, uint64_t dice, bool verbose);
/* SIGTERM. False: one did not end in order. */
bool workers_stop(struct workers *w);

#endif
