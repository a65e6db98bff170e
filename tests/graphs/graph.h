/*
 * graph.h: a random call graph: the calls of a program, their steps and nested calls. A graph is
 * made from a seed, travels as the argument of the calls (see node.h), is evaluated by model.h, and
 * can be printed.
 *
 * Node 0 is the program itself, every other node one call: it goes to an agent and runs its steps.
 * A node is called from one place only, so its effect on its agent's state can be told apart: it
 * adds 1 under its number when it begins, and STEP_ADD adds 16.
 *
 * Three shapes:
 * - SEQ: no two calls are under way at a time. Everything is determined.
 * - ORDERED: anything at the same time, but an active call waits only for agents with a higher
 *   number or for agents of its own chain, so that no cycle of waits is possible. A call that waits
 *   for an input keeps its agent busy too.
 * - WILD: anything. Cycles of several chains may end in ASQ_EDEADLK.
 */
#ifndef ASQ_TESTS_GRAPH_H
#define ASQ_TESTS_GRAPH_H

#include "asqueue.h"

#include <stdio.h>

enum {
    GRAPH_AGENTS = 8,
    GRAPH_NODES = 96,
    GRAPH_STEPS = 28,
    GRAPH_MADE_STEPS = 10, /* without those of graph_durable.c */
    GRAPH_KIDS = 4,
    GRAPH_SLOTS = 16,
    GRAPH_MADE_SLOTS = 6, /* without those of graph_durable.c */
    GRAPH_INPUTS = 2,
    GRAPH_MAX_DEPTH = 10
};

enum graph_shape { GRAPH_SEQ, GRAPH_ORDERED, GRAPH_WILD, GRAPH_ANY_SHAPE };

/* Codes with which methods fail on purpose, as ASQ_EUSER(n). */
enum { GRAPH_FLAKY_CODE = 9, GRAPH_FIRST_CODE = 100 };
/* Code with which promises are rejected, as ASQ_EUSER(n). */
enum { GRAPH_REJECTED_CODE = 8 };

enum step_kind {
    STEP_CALL,      /* a call that is waited for */
    STEP_ASYNC,     /* a call whose result is remembered in a slot */
    STEP_SEND,      /* a call without a result */
    STEP_EACH,      /* asq_call_each over its kids; `how`: the limit */
    STEP_BROADCAST, /* calls its kid on several agents */
    STEP_WAIT,      /* waits for a slot */
    STEP_ALL,       /* waits for all slots; `how`: the way */
    STEP_ANY,       /* waits for any slot */
    STEP_CANCEL,    /* cancels a slot */
    STEP_SLEEP,
    STEP_ADD,
    STEP_FAIL,
    STEP_ONCE,    /* a durable step, whose random value is in all later calls; `how`: the way */
    STEP_PROMISE, /* makes a promise, remembered in a slot */
    STEP_SETTLE,  /* settles a slot's promise, or the given one; `how`: the way */
    STEP_AWAIT,   /* waits for a slot's promise, or the given one; `how`: the way */
    STEP_EARLY,   /* waits for a slot's promise that nobody has settled, for `ms` */
    STEP_SIGNAL,  /* sends signals to the agent of the node that hears them */
    STEP_HEAR,    /* waits for a signal to the node; `how`: the way */
    STEP_EMIT     /* emits values */
};

enum { ALL_WAIT, ALL_GATHER, ALL_GROUP, ALL_WAYS };
enum { ONCE_STEP, ONCE_WAIT, ONCE_RANDOM, ONCE_WAYS };
/* SETTLE_LATE: also tries when the call that was to settle it may have failed; else it is too
 * late. */
enum { SETTLE_RESOLVE = 0, SETTLE_REJECT = 1, SETTLE_LATE = 2, SETTLE_TWICE = 4 };
enum { AWAIT_RESULT, AWAIT_CTX, AWAIT_LIMIT, AWAIT_ANY, AWAIT_WAYS };
enum { HEAR_FOREVER, HEAR_LIMIT, HEAR_FOR_MS, HEAR_WAYS };
/* Slots of promises: that whose id the node was given by its caller, or none. */
enum { SLOT_NONE = -1, SLOT_GIVEN = -2 };

struct step {
    enum step_kind kind;
    /* The call fails with the code of the failed call that it makes or waits for. */
    bool must;
    bool detached; /* STEP_ASYNC: its result is never waited for */
    int slot;
    int how;
    int code;
    int ms;
    int gives;  /* a calling step: the slot of the promise whose id the called node is given */
    bool reads; /* STEP_CALL, STEP_ASYNC: reads what the call emits */
    int node;   /* STEP_SIGNAL, STEP_HEAR: who hears */
    int n;      /* STEP_SIGNAL, STEP_EMIT: how many */
    int first;  /* STEP_SIGNAL: the number of the first */
    int bytes;  /* STEP_EMIT: the length of each, roughly */
    size_t nkids, ninputs;
    int kids[GRAPH_KIDS];     /* nodes */
    int inputs[GRAPH_INPUTS]; /* slots, given as futures */
};

enum node_method {
    NODE_RUN,        /* the method runs on a thread */
    NODE_RUN_INLINE, /* the method runs on the loop's thread */
    NODE_LOOK,       /* the method changes no state, and several run at a time */
    NODE_METHODS
};

struct node {
    int caller; /* the node that calls it; -1 for the program */
    enum node_method method;
    size_t nagents; /* 1, or more for STEP_BROADCAST */
    int agents[GRAPH_KIDS];
    int deadline_ms; /* 0: none */
    bool tight;      /* whether the deadline may pass */
    /* Number of runs that fail first; the call has a retry policy. */
    int flaky;
    int emits;      /* values that each run emits before it may fail so */
    bool cancelled; /* whether another step cancels it */
    size_t nsteps;
    struct step steps[GRAPH_STEPS];
};

struct graph {
    uint64_t seed;
    enum graph_shape shape;
    bool reenters;   /* whether chains may come back to their agents */
    bool ends_early; /* whether there are tight deadlines or cancels */
    int nagents, nnodes;
    char prefix[32]; /* begins its agents' ids */
    /* Nothing is called before all agents are there: in a Cluster, a method of one may call another
     * one before its creation has arrived. */
    bool waits_for_agents;
    struct node nodes[GRAPH_NODES];
};

/* Makes a graph. depth: of calls; 0: by the seed. durable: share of graphs that get steps of
 * graph_durable.c, in percent. */
void graph_make(struct graph *g, uint64_t seed, int depth, enum graph_shape shape, int durable);
/* Adds promises, signals, emits and long sleeps to a graph, by dice of their own: a seed gives the
 * same graph as before, with these steps in addition. */
void graph_add_durable(struct graph *g, int percent);
void graph_print(const struct graph *g, FILE *out);

/* Writes the id of an agent; `id` has room for 64 bytes. */
const char *graph_agent_id(const struct graph *g, int agent, char *id);
/* Returns a node in the form of a call (see node.h). NULL: out of memory. */
asq_value *graph_value(const struct graph *g, int node);

/* Random numbers from a seed. */
struct dice {
    uint64_t state;
};
uint64_t dice_next(struct dice *d);
int dice_below(struct dice *d, int n); /* 0 … n - 1 */
bool dice_percent(struct dice *d, int percent);

static inline bool step_calls(enum step_kind kind)
{
    return kind <= STEP_BROADCAST;
}
/* Returns the step that has filled a slot: a call, or a promise. NULL: none. */
const struct step *graph_step_of_slot(const struct node *n, int slot);
/* Returns the step that calls a node; its caller is nodes[nodes[id].caller]. */
struct step *graph_step_that_calls(struct graph *g, int id);
const char *step_name(enum step_kind kind);
const char *node_method_name(enum node_method method);

#endif
