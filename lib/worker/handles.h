/*
 * handles.h: whether handles of programs are open, with which agents of this process end
 * (redis/handle_key.h). All of it on the loop.
 */
#ifndef ASQ_WORKER_HANDLES_H
#define ASQ_WORKER_HANDLES_H

#include <stdint.h>

struct asq__process;

enum { ASQ__HANDLES_LOOK_MS = 2000 }; /* from one look at all of them to the next */

enum asq__handle_state {
    ASQ__HANDLE_UNKNOWN, /* ask again after the next look */
    ASQ__HANDLE_LIVES,
    ASQ__HANDLE_ENDED
};

/* Returns what the last look has shown. Handles that are asked for are looked at from then on, for
 * some minutes. */
enum asq__handle_state asq__handles_state(struct asq__process *w, uint64_t handle);
/* Forgets what was seen: Redis was away, and may have lost the keys. */
void asq__handles_doubt(struct asq__process *w);
void asq__handles_release(struct asq__process *w); /* behind the last reply */

#endif
