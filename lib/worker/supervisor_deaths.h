/*
 * supervisor_deaths.h: tells Redis of worker processes that have ended, and which calls were on the
 * threads of the dead ones.
 */
#ifndef ASQ_WORKER_SUPERVISOR_DEATHS_H
#define ASQ_WORKER_SUPERVISOR_DEATHS_H

#include <stdbool.h>

struct asq__child;
struct asq__supervisor;

/* Tells Redis about an ended process. `died`: its calls are blamed. While stopping, it tries an
 * absent Redis only once. */
void asq__child_see_off(struct asq__supervisor *s, struct asq__child *c, bool died);
/* Tries it again, if it failed before. */
void asq__child_see_off_again(struct asq__supervisor *s, struct asq__child *c);

/* Returns the call in which the process has crashed by this signal; NULL: it is not known. */
struct asq__slot *asq__child_crash(const struct asq__supervisor *s, const struct asq__child *c,
                                   int signal_number);

#endif
