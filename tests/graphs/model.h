/*
 * model.h: what a graph must come to: every outcome and every agent's state, worked out on paper, and
 * whether what came out is that.
 *
 * The model runs the graph as local mode would, one call at a time. What may differ from that is said
 * by name, and only where the graph gives a reason: a call may end in
 *     ASQ_EDEADLK       in a wild graph
 *     ASQ_EDEADLINE     when it, or a call that it is made by, has a tight deadline
 *     ASQ_ECANCELED     when it, or a call that it is made by, is cancelled
 *     ASQ_EINTERRUPTED  when workers are killed and it is entered again
 *     ASQ_EINPUT, or a code of what must succeed, when one of these is the cause.
 * Effects are checked for every call whose outcome is known: one that returned has its effect, once;
 * one that failed has none (but what a re-entrant call committed stays). Of calls whose outcome nobody can
 * know, since who made them failed early, it is checked that they have no effect twice.
 */
#ifndef ASQ_TESTS_GRAPH_MODEL_H
#define ASQ_TESTS_GRAPH_MODEL_H

#include "graphs/graph.h"

enum check_where { CHECK_LOCAL, CHECK_WORKERS, CHECK_KILLED };

struct figures {
    unsigned long long graphs, calls, deadlocks, deadlines, cancels, interrupts, mismatches;
};

struct check;

/* NULL: out of memory. */
struct check *check_new(const struct graph *g, enum check_where where);
void check_free(struct check *c);
/* The outcomes of the program's calls: [0, [], [outcome…]], as node.h has it. */
bool check_outcomes(struct check *c, const asq_value *outcomes);
/* An agent's log. 1: as it must be; 0: something is not there yet; -1: wrong. */
int check_log(struct check *c, int agent, const asq_value *log);
/* What is wrong, or not there yet. */
const char *check_why(const struct check *c);
/* Adds up what was told. */
void check_count(const struct check *c, struct figures *f);

#endif
