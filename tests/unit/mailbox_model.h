/*
 * mailbox_model.h: a small model of an agent's mailbox: its calls, and the rule that decides which
 * of them runs next, as simply as possible. It keeps its own lists, and of the mailbox's calls it
 * reads only the states.
 */
#ifndef ASQ_TESTS_MAILBOX_MODEL_H
#define ASQ_TESTS_MAILBOX_MODEL_H

#include "value/msg.h"
#include "worker/core/entry.h"
#include "worker/core/mailbox.h"

#include <stdbool.h>
#include <stdint.h>

enum {
    CALLS = 400, /* of an episode, at most */
    DEPTH = 6,
    CHILDREN = 2,
    MAX_SHARING = 3
};

enum wait { NOTHING, TIME, ALL_OF_THEM, ANY_OF_THEM };

struct call {
    struct asq__entry *entry; /* with one call */
    Asqueue__Batch batch;
    Asqueue__Job job, *jobs[1];
    Asqueue__Chain chain;
    Asqueue__Link links[DEPTH], *list[DEPTH];
    uint8_t id[ASQ__BATCH_ID];
    char text[ASQ__CALL_ID_TEXT], reply[16];
    struct asq__active active;
    struct call *parent;
    int agent, depth;
    bool concurrent;
    bool unfit;          /* is to end before it starts */
    struct call *inputs; /* call whose result is an input; or NULL */
    bool fetches;        /* the input has to be fetched again */
    bool may_have_begun;
    bool finished;
    /* The awaited kind, while the call is parked. */
    enum wait wait;
    struct call *children[CHILDREN];
    unsigned n_children;
    unsigned arrival, started; /* order of arrival at its agent; of its first start; 0: not yet */
    bool reentrant;            /* as the model says */
};

struct queue {
    struct call *calls[CALLS];
    unsigned n;
};

struct agent {
    struct asq__mailbox m;
    char id[8];
    bool exists, admits, paused;
    struct queue waiting, reentrant, active;
};

/* Returns the call of the mailbox that a call of the model stands for, and back. */
struct asq__wcall *wcall(const struct call *c);
struct call *call_of(const struct asq__wcall *c);
struct agent *agent_of(const struct asq__mailbox *m);

void queue_append(struct queue *q, struct call *c);
void queue_prepend(struct queue *q, struct call *c);
void queue_take_out(struct queue *q, const struct call *c); /* if it is in there */

bool is_ancestor(const struct call *older, const struct call *c);
bool has_one_caller(const struct call *a, const struct call *b);
bool is_called_from_active(const struct agent *a, const struct call *c);
bool is_creation(const struct call *c);
bool runs(const struct call *c);
bool waits_for_inputs(const struct call *c);
/* Returns the active call that may be re-entered: the last one that runs alone; NULL: none. */
struct call *innermost(const struct agent *a);
unsigned count_running(const struct agent *a, bool shared);
/* Returns the call that the agent has to run next; NULL: none. */
struct call *expected(const struct agent *a, int64_t now_ms);

#endif
