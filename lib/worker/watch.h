/*
 * watch.h: keeps an eye on a process from its heartbeat's thread, which code of agents cannot block: does
 * the loop still turn, and does the process end when it should?
 */
#ifndef ASQ_WORKER_WATCH_H
#define ASQ_WORKER_WATCH_H

#include <stdbool.h>
#include <stdint.h>

struct asq__process;

/* Of the heartbeat's thread alone. Zeroed at first. */
struct asq__watch {
    unsigned turns;    /* of the loop, when it was last looked at */
    int64_t looked_ms; /* 0: never */
    int64_t still_ms;  /* for so long it has not turned */
    bool warned;
};

/* To be called several times in a lease time. False: the process is given up, which has been logged and told
 * to the supervisor: no heartbeat may follow, and asq__watch_end is next. */
bool asq__watch_look(struct asq__watch *watch, struct asq__process *w, int64_t now_ms);
/* Waits for the supervisor to end this process. Ends it itself when that does not happen. */
void asq__watch_end(void) __attribute__((noreturn));

#endif
