/*
 * walker.h: a class whose method does what a text says, one word after the other, for tests of
 * durable steps in processes that die:
 *
 *     s:NAME  a step, whose function adds "effect NAME" to a file and gives how often it did so
 *     w:NAME  the same, and waits for its record
 *     f:NAME  a step that fails with ASQ_ETYPE; the method goes on
 *     F:NAME  the same, and the method returns the code
 *     r:NAME  a step that fails twice, under a policy for three tries
 *     L:N     a step that gives N bytes; the method returns its code
 *     l:N     the same, and the method goes on if it is too large
 *     i:NAME  a step whose function makes a step
 *     I:NAME  a step whose function makes a call, and gives its code
 *     D:NAME  a step whose function kills the process after the effect, the first time
 *     c:ID    calls add(1) of agent ID, and waits
 *     n, R    asq_ctx_now, asq_ctx_random
 *     a       creates an agent without giving an id
 *     k, K    kills the process, the first time; each time
 *     g       waits for the gate
 *     x:A,B   step A in the first run, step B in later ones
 *     y:A,ID  step A in the first run, a call of ID in later ones
 *     Y:ID,A  the other way round
 *     z:MS    adds "asleep" to the file, and sleeps by asq_ctx_sleep
 *     Z:MS    the same, until the first run dies
 *     j:NAME  a step whose function sleeps for a second
 *     v:MS,A  step A until the first run dies, a sleep in later ones
 *     V:MS,A  the other way round
 *     h:NAME  waits for signal NAME, adds "heard VALUE" to the file, and gives the value
 *     H:MS,A  the same for signal A, for so long; gives "none" if none comes
 *     u:ID,A  sends signal A to agent ID, with its name as the value
 *     p:NAME  makes a promise, adds "promise NAME ID" to the file, and waits for its value
 *     P:MS,A  the same with promise A, for so long; gives "none" if it is not settled
 *     C:ID,S  has agent ID walk by script S, with + between its words, and gives what that gave
 *             (a word of S that has a script has one + more there)
 *     T:MS,ID,S  the same, for so long; gives "none" if it does not end
 *     A:ID;ID,S  the same with several agents, by asq_gather; gives their texts as they come
 *     e       returns at once in later runs
 *     E       fails with ASQ_EFAILED in the first run
 *     b:ID    has agent ID wait for signal "go" and call add(1) of this one, and does not wait
 *     m:N     N steps, with a sleep of a second after every tenth; gives those whose value is not
 *             how often their effect has happened
 *     u:N     adds "changed" to the file, and N to what add adds to
 *
 * It returns what all of them gave, as a text. A run adds "is TEXT" of n, R and a to the file, and
 * "unloaded" if it was.
 */
#ifndef ASQ_TESTS_WALKER_H
#define ASQ_TESTS_WALKER_H

#include "asqueue.h"

extern const asq_class walker_class;

/* Files in the test's directory, the same in all of its processes: the effects; and what exists
 * from when the first run dies, or turns off. */
extern char *walker_effects, *walker_turn, *walker_gate;
void walker_set_up(void);
void walker_tear_down(void);
/* Returns how often the effect of this step has happened. */
int walker_count(const char *name);

#endif
