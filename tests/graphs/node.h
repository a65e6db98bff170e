/*
 * node.h: the agent class whose methods run the steps of a graph's node, which are their arguments.
 *
 * A call as its caller needs it: [[agent id…], method, deadline ms, flaky, program]
 * A method's arguments:          [program, drawn, given, input…]
 * A program:                     [node, flaky, emits, [step…]]
 * A step:                        [kind, must, detached, slot, how, code, ms, [slot…], [call…],
 *                                 [gives, reads, node, n, first, bytes, agent id]]
 * Return value of a method:      [node, [digest of each input…], [outcome of each calling step…],
 *                                 [note of each step…]]
 * given: id of the promise that the call is given; "": none
 * A note:                        null, except for STEP_SETTLE (0, or the code), STEP_AWAIT (the
 *                                outcome), STEP_EARLY (the code), STEP_HEAR (the value, or the
 *                                code), and calls of which it reads what they emit: the number of
 *                                each value of the last run, NODE_BAD for one of something else
 * drawn: what STEP_ONCE has drawn in the caller. If it is another number in another run, the calls
 *        of the caller are other ones, and happen twice.
 * An outcome:                    the returned value; the code of the failure; null if it was
 *                                not waited for; a list for STEP_EACH and STEP_BROADCAST
 *
 * The agent's state has a map "log": under each node's number, 1 for each time that it began and 16
 * for each STEP_ADD.
 */
#ifndef ASQ_TESTS_GRAPH_NODE_H
#define ASQ_TESTS_GRAPH_NODE_H

#include "asqueue.h"
#include "graphs/graph.h"

#define NODE_CLASS "Node"
#define NODE_LOG   "log"

enum { NODE_BAD = -1 };

extern const asq_class node_class;

/* Makes a call of a graph. ret NULL: the result is not wanted. */
int node_call(asq *h, const asq_value *call, int64_t drawn, const char *given,
              asq_result *const *inputs, size_t ninputs, asq_result **ret);
/* Sends the signals of a STEP_SIGNAL to an agent. */
int node_signal(asq *h, const char *agent_id, int node, int first, int n);
/* Adds what a call emits to `seen`, a list for a note, until nothing is there or all was read
 * (*ret_end), within timeout_ms. Adds 1 to *ret_again for each run that begins again. */
int node_read(asq_result *r, int64_t node, asq_value **seen, int64_t timeout_ms, bool *ret_end,
              unsigned long long *ret_again);
/* Makes the value with which `node` resolves a promise; that of its signal i; of its emit i. */
asq_value *node_settled(int64_t node);
asq_value *node_signalled(int64_t node, int i);
asq_value *node_emitted(int64_t node, int i, int bytes);
/* Returns the outcome of a finished result: its value (a copy) or its code. NULL: out of memory. */
asq_value *node_outcome(asq_result *r);
/* Returns the digest that a method reports of an input. */
int64_t node_digest(const asq_value *v);

#endif
