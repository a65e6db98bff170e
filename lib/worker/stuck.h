/*
 * stuck.h: tells which calls have been under way for long, and why.
 */
#ifndef ASQ_WORKER_STUCK_H
#define ASQ_WORKER_STUCK_H

#include <stddef.h>

#include "value/value.h"

struct asq__process;
struct asq__run;
struct asq__wcall;

/* Calls that a call waits for. */
enum { ASQ__AWAITED_IDS = 16 };
struct asq__awaited {
    struct asq__call_id ids[ASQ__AWAITED_IDS]; /* the first of them */
    size_t n;                                  /* a large number is not counted out */
};

/* Return why a call has not ended: a constant text, or one in `text`. *ret, whose n is 0 before,
 * gets the calls that it waits for. The first is for a call that has not begun and is the first of
 * its agent, the second for one that has. */
const char *asq__stuck_why_waiting(const struct asq__wcall *c, char *text, size_t size,
                                   struct asq__awaited *ret);
const char *asq__stuck_why_active(const struct asq__run *run, char *text, size_t size,
                                  struct asq__awaited *ret);
void asq__stuck_refresh(struct asq__process *w); /* once a second */

#endif
