/*
 * node.h: the agent class whose methods run the steps of a graph's node, which are their arguments.
 *
 * A call as its caller needs it: [[agent id…], method, deadline ms, flaky, program]
 * A method's arguments:          [program, drawn, input…]
 * A program:                     [node, flaky, [step…]]
 * A step:                        [kind, must, detached, slot, how, code, ms, [slot…], [call…]]
 * Return value of a method:      [node, [digest of each input…], [outcome of each calling step…]]
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

extern const asq_class node_class;

/* Makes a call of a graph. ret NULL: the result is not wanted. */
int node_call(asq *h, const asq_value *call, int64_t drawn, asq_result *const *inputs,
              size_t ninputs, asq_result **ret);
/* Returns the outcome of a finished result: its value (a copy) or its code. NULL: out of memory. */
asq_value *node_outcome(asq_result *r);
/* Returns the digest that a method reports of an input. */
int64_t node_digest(const asq_value *v);

#endif
