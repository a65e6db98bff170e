/*
 * server_clock.h: a redis-server whose clock a test can set, by tests/chaos/clock_shim.
 */
#ifndef ASQ_TESTS_SERVER_CLOCK_H
#define ASQ_TESTS_SERVER_CLOCK_H

#include <stdint.h>

/* Makes each redis-server that the test starts from now on run with the shim, at first with the
 * right clock. */
void sup_clock_start(void);
/* Sets the clock of these servers ahead of the machine's clock; negative: behind it. */
void sup_clock_set(int64_t by_ms);
void sup_clock_stop(void);

#endif
