/*
 * refused.h: a commit was refused for its partition alone; `text`: error, or "ERR KEY: error".
 */
#ifndef ASQ_WORKER_REFUSED_H
#define ASQ_WORKER_REFUSED_H

#include <stdbool.h>
#include <stdint.h>

struct asq__commit;
struct asq__partition;

/* Begins how a call "died" that is blamed for a refused commit. */
#define ASQ__REFUSED_HOW "its commit was refused: "

/* Says whether `died_how` of a call (core/entry.h; or NULL) tells of a refused commit, not of a
 * process that died. */
bool asq__refused_is_how(const char *died_how);

void asq__refused_note(struct asq__partition *p, const char *text);
void asq__refused_over(struct asq__partition *p, bool taken); /* after it was taken, or dropped */

/* Blames the calls of a commit that stays refused because of its content, and then gives the
 * partition up. Called after each refusal of commit `seq`, while nothing asks for the lease. Does
 * nothing before its time, nor if the server may be the cause. */
void asq__refused_blame(struct asq__partition *p, const struct asq__commit *c, uint64_t seq,
                        const char *text);

#endif
