/*
 * watch.h: watches a process from the thread of its heartbeat, which agents' code cannot block:
 * whether the loop still turns, and whether the process ends when it should.
 */
#ifndef ASQ_WORKER_WATCH_H
#define ASQ_WORKER_WATCH_H

#include <stdbool.h>
#include <stdint.h>

struct asq__process;

/* State of the watch, for the heartbeat's thread alone. Zeroed at first. */
struct asq__watch {
    unsigned iterations; /* iterations of the loop at the last check */
    int64_t checked_ms;  /* time of the last check; 0: never */
    int64_t still_ms;    /* time without an iteration */
    bool warned;
};

/* Checks the process, several times in a lease time. False: the process is given up, which was
 * logged and told to the supervisor. No heartbeat may follow, and asq__watch_end is next. */
bool asq__watch_check(struct asq__watch *watch, struct asq__process *w, int64_t now_ms);
/* Waits for the supervisor to end this process, and ends it itself if that does not happen. */
void asq__watch_end(void) __attribute__((noreturn));

#endif
