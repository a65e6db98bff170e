/*
 * refused.h: a commit was refused for its partition alone; `text`: error, or "ERR KEY: error".
 */
#ifndef ASQ_WORKER_REFUSED_H
#define ASQ_WORKER_REFUSED_H

#include <stdbool.h>

struct asq__partition;

void asq__refused_note(struct asq__partition *p, const char *text);
void asq__refused_over(struct asq__partition *p, bool taken); /* after it was taken, or dropped */

#endif
