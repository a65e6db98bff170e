/*
 * sleeper.h: agents of which a call sleeps outside of the stream, in the agent's first place.
 */
#ifndef ASQ_WORKER_SLEEPER_H
#define ASQ_WORKER_SLEEPER_H

#include <stdbool.h>
#include <stddef.h>

struct asq__actor;
struct asq__entry;
struct asq__partition;
struct asq__wcall;

/* Returns whether a call that sleeps in its place could give up its memory here: no other call
 * concerns its agent. */
bool asq__sleeper_may_leave(const struct asq__wcall *c);
/* Takes a call out of its agent's mailbox that the partition's last commit moves out of the
 * stream. */
void asq__sleeper_leaves(struct asq__wcall *c);
/* Starts what waits for calls of an entry that has left the stream. */
void asq__sleeper_has_left(const struct asq__entry *e);
/* Notes that the call that has the first place is in the agent's mailbox, or about to be. */
void asq__sleeper_is_back(struct asq__actor *a);
/* Returns whether no other call of the agent may start, because one that sleeps has the first place
 * or may have it. Redis is then asked to move it back into the stream; the agent resumes when it is
 * there, or is none. */
bool asq__sleeper_blocks(struct asq__actor *a);
/* Asks for several agents that are about to be loaded. */
void asq__sleeper_ask(struct asq__partition *p, struct asq__actor *const *actors, size_t n);

#endif
