/*
 * exec.h: runs a call on its fiber.
 */
#ifndef ASQ_WORKER_EXEC_EXEC_H
#define ASQ_WORKER_EXEC_EXEC_H

#include <stdbool.h>

struct asq__run;
struct asq__wcall;

int asq__run_new(struct asq__wcall *c, struct asq__run **ret);
/* Starts a run. True: it is through, and the caller must end it. */
bool asq__run_start(struct asq__run *run, bool nonblocking);
void asq__run_free(struct asq__run *run);

#endif
