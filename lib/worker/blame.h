/*
 * blame.h: lets the supervisor know of which call a process has died.
 */
#ifndef ASQ_WORKER_BLAME_H
#define ASQ_WORKER_BLAME_H

#include <stdbool.h>
#include <stddef.h>

#include "worker/exec/pool.h"

struct asq__process;
struct asq__task;

/* Notes the call that a thread (0: the loop) runs from now on. task NULL: none. */
void asq__blame_note(const struct asq__process *w, unsigned thread, struct asq__task *task,
                     const char class_name[ASQ__POOL_NAME], const char method[ASQ__POOL_NAME]);
/* Blames the coming end of the process on the call of this thread (0: the loop) alone. */
void asq__process_blame_thread(const struct asq__process *w, unsigned thread);

/* Notes for the supervisor that the process crashes in the call of the task. overflowed: size of
 * the stack, if that has overflowed, else 0. False: the call has no slot. Async-signal-safe. */
bool asq__blame_crash(struct asq__task *task, int signal_number, size_t overflowed);

#endif
