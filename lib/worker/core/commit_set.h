/*
 * commit_set.h: what one commit of a partition carries. Pure.
 */
#ifndef ASQ_WORKER_CORE_COMMIT_SET_H
#define ASQ_WORKER_CORE_COMMIT_SET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "value/arena.h"
#include "value/buf.h"
#include "value/list.h"
#include "value/msg.h"
#include "value/signal_box.h"
#include "value/snapshot.h"
#include "value/value.h"
#include "worker/core/attempts.h"
#include "worker/core/series.h"
#include "worker/core/stream_id.h"

struct asq__entry;
struct asq__partition;
struct asq__wcall;

/* A batch of nested calls. */
struct asq__inner {
    uint32_t partition;
    uint8_t id[ASQ__BATCH_ID];
    bool keep;        /* record stays for a while: its id was given away */
    int64_t again_ms; /* with the commit: how long the run has taken */
};

enum {
    ASQ__FAILURE_FIELDS = 9, /* of a failure: see commit.lua */
    ASQ__FAILURE_TEXT = 512, /* bytes that are kept of each field */
    ASQ__FAILURE_ARGS = 256  /* of the arguments, with a NUL */
};

/* New snapshot of an agent, or its deletion. */
struct asq__set {
    const char *id; /* in the commit's ids */
    size_t id_n;
    struct asq__snapshot *snapshot; /* NULL: deleted */
};

/* Bytes that one commit adds to a batch's record. */
struct asq__piece {
    struct asq__entry *entry;
    struct asq__buf frame;
    bool first, last; /* of the batch's frames */
};

/* Change of a field of attempts. */
struct asq__mark {
    char field[ASQ__CALL_ID_TEXT + 1];
    char value[48]; /* "": unset */
};

/* Entry of the stream of dead letters. */
struct asq__dead {
    char *label, *call, *reason;
    uint32_t attempts;
    void *batch;
    size_t n;
};

/* Failed run of a call, for people: how it failed, in the stream of failures. */
struct asq__failure {
    char *text; /* its fields, one after the other */
    uint16_t lengths[ASQ__FAILURE_FIELDS];
};

/* Batch that moves out of the stream, or is done outside of it; or the mark that an agent's first
 * place is kept for a call of it. */
struct asq__move {
    struct asq__entry *entry; /* moves; NULL: its stored form is deleted */
    const char *agent;        /* of a mark, in the commit's ids; NULL: none */
    bool unmarks;             /* the mark is deleted */
    uint8_t batch[ASQ__BATCH_ID];
    uint64_t due_ms;
    void *kept;
    size_t n;
};

/* Change of the records of a call's steps. */
enum asq__steps_mode {
    ASQ__STEPS_NONE = 0,    /* of a call that has ended in the same commit: not sent */
    ASQ__STEPS_FIRST = 's', /* its first records */
    ASQ__STEPS_APPEND = 'a',
    ASQ__STEPS_PROMISE = 'p', /* a promise is open from now on; its id stands for records */
    ASQ__STEPS_FORGET = 'd'   /* the call has ended, or begins anew; its promises get a TTL */
};
struct asq__steps_change {
    char call[ASQ__CALL_ID_TEXT];
    enum asq__steps_mode mode;
    struct asq__buf records;
};

/* Change of the string with an agent's signals, see signal_box.h. */
struct asq__signals_set {
    const char *agent; /* in the commit's ids */
    enum asq__signals_change mode;
    struct asq__buf bytes;
};

/* Change of an agent's timers. */
struct asq__timer_set {
    char mode;                   /* enum asq__timer_change */
    char *agent, *name;          /* in the commit's ids; name "": all */
    int64_t due_ms;              /* SET: the first time */
    struct asq__buf spec, trace; /* SET; trace: parent and state of the call, or empty */
};

struct asq__commit {
    struct asq__list node; /* in part->commits */
    struct asq__partition *part;
    uint64_t seq;
    bool sent;
    bool unanswered; /* sent once without an answer: may have taken effect */
    bool written;    /* Redis has taken it; replicas are waited for */
    bool tied;       /* last part takes effect together with the next one */
    bool apart;      /* outcome of one call with attempts, alone */
    bool needs;      /* carries the classes that the partition needs */
    bool emits;      /* has a result behind emitted values */
    /* Last flush of emitted values that was made before it was sent first, if it `emits`; see
     * asq__emits_missing(). */
    uint64_t emit_flush;
    struct asq__set *sets;
    struct asq__arena ids;
    struct asq__piece *pieces;
    struct asq__stream_id *removed;
    struct asq__mark *marks;
    struct asq__inner *inner; /* records of nested calls to forget afterwards */
    struct asq__dead *deads;
    struct asq__move *moves;
    struct asq__failure *failures; /* the last ones; a ring when there are more than are kept */
    struct asq__timed timed;
    struct asq__steps_change *steps;
    struct asq__timer_set *timers;
    struct asq__signals_set *signals; /* one of an agent at most */
    struct asq__list spans;           /* of runs that are traced */
    size_t nsets, npieces, nremoved, nmarks, ninner, ndeads, nmoves, nfailures, nsteps, ntimers,
        nsignals;
    size_t csets, cpieces, cremoved, cmarks, cinner, cdeads, cmoves, cfailures, csteps, ctimers,
        csignals;
    size_t next_failure; /* place of the next one in the ring, and of the oldest */
    size_t bytes;        /* at least those of its strings together, but for ids and names */
    size_t calls;
    unsigned losses; /* losses of the connection that it may have caused */
};

/* Each function below returns false, or NULL, when there is no memory. */

struct asq__commit *asq__commit_new(struct asq__partition *part, uint64_t seq);
void asq__commit_free(struct asq__commit *c);
/* Sets an agent's snapshot; NULL: deletes the agent. again: the commit may have one of an
 * earlier call, which is replaced. */
bool asq__commit_add_set(struct asq__commit *c, const char *id, size_t id_n, bool again,
                         struct asq__snapshot *snapshot);
/* Returns the piece of a batch's record that this commit adds, made if it is new. */
struct asq__piece *asq__commit_piece_of(struct asq__commit *c, struct asq__entry *e);
bool asq__commit_add_removed(struct asq__commit *c, struct asq__stream_id id);
/* Sets a field of attempts. value NULL: deletes it. */
bool asq__commit_add_mark(struct asq__commit *c, const struct asq__wcall *call,
                          enum asq__attempt_kind kind, const char *value);
/* Adds batches of nested calls, whose records are forgotten or kept afterwards. run_ms: how long
 * the run has taken that made them. */
bool asq__commit_add_inner(struct asq__commit *c, const struct asq__inner *inner, size_t n,
                           bool keep, int64_t run_ms);
/* Adds a move; takes over `kept`. c NULL: no memory. */
bool asq__commit_add_move(struct asq__commit *c, const struct asq__entry *e,
                          struct asq__entry *moves, uint64_t due_ms, void *kept, size_t n);
/* Marks that the first place of an agent is kept for a call, or that it is no more. c NULL: no
 * memory. */
bool asq__commit_add_place(struct asq__commit *c, const char *agent,
                           const uint8_t batch[ASQ__BATCH_ID], bool kept);
/* Adds a dead letter; takes over what it points at, also on failure. c NULL: no memory. */
bool asq__commit_add_dead(struct asq__commit *c, struct asq__dead letter);
/* Adds a failure, with copies of its fields, of which ends may be cut off. Keeps the last `most`
 * only. Without memory it is not kept. */
void asq__commit_add_failure(struct asq__commit *c, size_t most,
                             const char *const fields[ASQ__FAILURE_FIELDS]);
/* Returns the i-th failure, the oldest first; i < nfailures. */
const struct asq__failure *asq__commit_failure(const struct asq__commit *c, size_t i);
/* Adds records of a call's steps. */
bool asq__commit_add_steps(struct asq__commit *c, const struct asq__wcall *call,
                           const void *records, size_t n);
/* Opens a promise of a call, by its batch id. */
bool asq__commit_add_promise(struct asq__commit *c, const struct asq__wcall *call,
                             const uint8_t batch[ASQ__BATCH_ID]);
/* Forgets them all, those in this commit included. */
bool asq__commit_forget_steps(struct asq__commit *c, const struct asq__wcall *call);
/* Adds a change of timers; takes over its buffers, also on failure. */
bool asq__commit_add_timer(struct asq__commit *c, const char *agent, const char *name,
                           struct asq__timer_set change);
/* Adds a change of an agent's signals, behind those that the commit has of it. */
bool asq__commit_add_signals(struct asq__commit *c, const char *agent,
                             enum asq__signals_change mode, const struct asq__buf *bytes);
/* Returns the length of the longest string that Redis gets in the commit. */
size_t asq__commit_longest_string(const struct asq__commit *c);
/* Returns whether it has the outcome of one call with attempts, and nothing else. */
bool asq__commit_is_apart(const struct asq__commit *c);

#endif
