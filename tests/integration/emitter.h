/*
 * emitter.h: a method that emits what a text says, one word after the other:
 *
 *     e:N   emits the next N of the ints 0, 1, … of this run
 *     o:N   the same, in the first run alone
 *     b:N   emits a text of N bytes
 *     j:T   emits the JSON value T
 *     g     notes that it is at the gate, and waits until the gate is open, on its thread
 *     p     the same, parked
 *     w:N   waits until emitter_go(N)
 *     k     kills the process, the first time
 *     s:N   sleeps for N ms
 *     E     fails with ASQ_EFAILED, the first time
 *     F     fails with ASQ_EFAILED
 */
#ifndef ASQ_TESTS_EMITTER_H
#define ASQ_TESTS_EMITTER_H

#include "asqueue.h"

/* Files, by their existence: the gate is open; something was done that is done once; somebody is at
 * the gate. */
extern const char *gate, *turn, *notes;

/* Begin and end a test that uses them. */
void emitter_begin(void);
void emitter_end(void);
/* Waits until a method is at the gate. */
void emitter_wait_at_gate(void);
/* Has the word w:N go on, N from 0 to 9; or waits for that. */
void emitter_go(int n);
void emitter_wait_for(int n);

/* The method; returns how many ints of the run it has emitted. */
int emitter_run(asq_ctx *ctx, void *self, const asq_value *args, asq_value **ret);

/* Adds what asq_result_next has returned, or a callback is told, to a text of that size. */
enum { EMITTER_TEXT = 200000 };
void emitter_add(char *out, int what, const asq_value *v);

#endif
