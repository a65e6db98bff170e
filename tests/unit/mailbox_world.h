/*
 * mailbox_world.h: a few agents and their calls, and the steps by which both change. Each step is
 * made in the mailboxes and in the model. Whenever an agent goes on, its next call must be the one
 * that the model names, and the rules that hold for all users are checked. A failure names the
 * episode's seed.
 */
#ifndef ASQ_TESTS_MAILBOX_WORLD_H
#define ASQ_TESTS_MAILBOX_WORLD_H

#include "mailbox_model.h"

enum { AGENTS = 4 }; /* at most */

struct world {
    unsigned agents, programs, concurrent, inputs; /* numbers; percentages of calls */
};

extern struct agent agents[AGENTS];
extern struct call calls[CALLS];
extern unsigned n_calls;
extern struct world world;
extern uint64_t seed;
extern const struct asq__mailbox_hooks hooks;

/* Begins a new episode from `seed`. */
void begin_episode(void);

/* Makes one random step, and lets all agents go on. */
void step(void);
/* Makes a call. parent NULL: a program makes it. */
struct call *make(struct call *parent);
/* Lets a call arrive at its agent. */
void enqueue(struct call *c);
/* Starts a call, which must be allowed to start. */
void start(struct agent *a, struct call *c);
void end(struct call *c);
void leave_queue(struct call *c);
/* Resumes and starts all calls of an agent that may run. */
void resume(struct agent *a);
/* Wakes parked calls whose wait is over, as an engine does. */
void wake_parents(void);
/* Ends some delays, waits for time and fetches. */
void pass_time(void);

#endif
