/*
 * model.h: computes the expected result of a graph, which is every outcome and every agent's state,
 * and compares it with the actual one.
 *
 * The model runs the graph as local mode would, one call at a time. Deviations are listed, and
 * allowed only where the graph has a reason: a call may end in
 *     ASQ_EDEADLK       in a wild graph
 *     ASQ_EDEADLINE     when it, or a caller above it, has a tight deadline
 *     ASQ_ECANCELED     when it, or a caller above it, is cancelled
 *     ASQ_EINTERRUPTED  when workers are killed and a call re-enters it
 *     ASQ_EINPUT, or the code of a call that must succeed, when one of these codes is the cause.
 * What promises, signals and emits give is determined, except that the maker of a promise settles
 * it itself if the call that was to do so has ended in one of these codes, and that such a call may
 * have emitted a part only.
 * Effects are checked for every call whose outcome is known: one that returned has its effect,
 * once; one that failed has none (but commits of re-entrant calls stay). A call whose outcome is
 * unknown, because its caller failed early, must not have its effect twice.
 */
#ifndef ASQ_TESTS_GRAPH_MODEL_H
#define ASQ_TESTS_GRAPH_MODEL_H

#include "graphs/graph.h"

enum check_where { CHECK_LOCAL, CHECK_WORKERS, CHECK_KILLED };

struct figures {
    unsigned long long graphs, calls, deadlocks, deadlines, cancels, interrupts, mismatches;
    unsigned long long promises, signals, emits; /* as in the model */
    unsigned long long agains;                   /* runs that the program saw begin again */
};

struct check;

/* Makes the model of a graph. NULL: out of memory. */
struct check *check_new(const struct graph *g, enum check_where where);
void check_free(struct check *c);
/* Checks the outcomes of the program's calls: [0, [], [outcome…], [note…]], as node.h has it. */
bool check_outcomes(struct check *c, const asq_value *outcomes);
/* Checks an agent's log. 1: it is correct; 0: something is missing yet; -1: it is wrong. */
int check_log(struct check *c, int agent, const asq_value *log);
/* Returns the description of the error, or of the missing part. */
const char *check_why(const struct check *c);
/* Adds up the outcomes. */
void check_count(const struct check *c, struct figures *f);

#endif
