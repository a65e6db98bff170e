/*
 * handle.h: the inside of an asq handle, of agents and of results. The public functions (agent.c,
 * call.c, result.c) are the same for every mode. A mode is a table of functions for the rest: local
 * (local.c), remote (remote.c: also child mode), and inside a method (worker/nested.c).
 *
 * Threads: a handle is used by one thread at a time. Inside a worker, the loop's thread completes
 * results; `completed` publishes them (release, acquire): all other fields of a result are written
 * before it and read after it.
 *
 * Lifetime: results and agents hold references to their handle, calls under way hold references to
 * their results. Dropping the last reference frees.
 */
#ifndef ASQ_CLIENT_HANDLE_H
#define ASQ_CLIENT_HANDLE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "asqueue.h"
#include "client/engine.h"
#include "value/buf.h"
#include "value/error.h"
#include "value/list.h"
#include "value/tally.h"
#include "value/value.h"

struct asq__job;
struct asq__own_series;
struct asq__own_stats;
struct asq__pools;
struct asq__progress;
struct asq__registry;
struct asq__settlement;
struct asq__span;
struct asq__step_log;
struct asq__tracer;
struct asq__url;
struct ev_loop;

/* A wait of a method for a signal. */
struct asq__signal_wait {
    const char *name;
    uint64_t number;    /* of the step */
    int64_t timeout_ms; /* negative: none */
    size_t room;        /* for the record */
    struct asq__buf value;
    size_t recorded; /* bytes of the record */
};

/* Outcome of an attempt to settle a promise. */
enum asq__settled {
    ASQ__SETTLED,       /* by it, now or by an earlier attempt of the same token */
    ASQ__SETTLED_OTHER, /* by another one, before it */
    ASQ__SETTLED_NONE   /* there is no such promise */
};

struct asq__mode {
    const char *name;
    /* Methods may run again and repeat their calls, which are recognised by their content: nothing
     * in a call may depend on the progress of other calls. */
    bool repeats;
    /* Sends the calls of one statement; each result has its encoded job. Holds a reference to each
     * result until it is completed. On failure, holds none. */
    int (*submit)(asq *h, asq_result **results, size_t n);
    /* Waits until ready(arg) is true, processing what arrives. 0 or ASQ_ETIMEOUT; inside a method
     * also ASQ_ECANCELED and ASQ_EDEADLINE. Timeout 0: only processes pending events. */
    int (*wait)(asq *h, bool (*ready)(void *arg), void *arg, int64_t timeout_ms);
    /* Notes in r which agents among the arguments may not be there yet, where servers keep no order
     * among each other: its call is to leave after their creations. NULL: calls keep their
     * order. */
    int (*await_agents)(asq *h, const asq_value *args, asq_result *r);
    /* Sends open batches. */
    int (*flush)(asq *h);
    /* Returns whether Redis has accepted all calls. */
    bool (*accepted)(asq *h);
    /* Attaches to a call made elsewhere, by r->id. Holds a reference to r. */
    int (*attach)(asq *h, asq_result *r);
    /* Leaves the result's record to its TTL. */
    void (*keep)(asq *h, asq_result *r);
    int (*cancel)(asq *h, asq_result *r);
    int (*attach_ev)(asq *h, struct ev_loop *loop); /* NULL: back to a loop of its own */
    /* Counts the failure of a call whose result is freed unread. Called on any thread of a
     * method. */
    void (*unseen)(asq *h, const asq_result *r, const asq_error *error);
    /* Of a method's handle: loads what an earlier run of the call has recorded, into a new buffer;
     * may park the call. NULL: the mode has no records. */
    int (*load_steps)(asq *h, struct asq__buf *ret);
    /* Keeps further records. promise: the batch of the call's promise that is open from then on, or
     * NULL. binds: what the method sends later waits until Redis has them. wait: returns then.
     * NULL: the mode has none. */
    int (*record_steps)(asq *h, const void *records, size_t n, const uint8_t *promise, bool binds,
                        bool wait);
    /* Settles a promise, by its id. Of a method's handle: may park the call. Gives in *ret what
     * became of it. */
    int (*settle)(asq *h, const struct asq__settlement *s, enum asq__settled *ret);
    /* Of a method's handle: waits for a signal to its agent, and records the outcome. 0: in
     * wait->value; ASQ_ETIMEOUT: none has come, which is recorded, too; ASQ_ELIMIT: one has, but
     * there is no room for the record. */
    int (*next_signal)(asq *h, struct asq__signal_wait *wait);
    /* Of a method's handle: sends an encoded value to whoever waits for the call. May park it. */
    int (*emit)(asq *h, const void *value, size_t n);
    /* Reads on what the call of r emits, into r->progress, which is there some time later. NULL:
     * all of it is there with the result. */
    int (*read_emitted)(asq *h, asq_result *r);
    /* Ends such a read, whose result is about to be freed. NULL: there are none. */
    void (*drop_emitted)(asq *h, asq_result *r);
    /* Removes what the call of r has emitted. NULL: its TTL does it. */
    void (*forget_emitted)(asq *h, asq_result *r);
    /* Keeps the handle's key in Redis, with which agents end, until the handle is closed, and gives
     * the number of its client. NULL: agents end with the handle anyway. */
    int (*keep_key)(asq *h, uint64_t *ret);
    /* Asks Redis which pools there are, and gives them to the handle. make: makes this one. May
     * wait. ASQ_ENOENT: it is not there. name NULL: none is looked for. NULL: the mode has none. */
    int (*ask_pools)(asq *h, const char *name, bool make);
    /* Ends the mode; completes unfinished calls with ASQ_ECLOSED. Not 0: Redis has not accepted all
     * calls; the handle's error says how many. */
    int (*close)(asq *h);
    /* Frees impl with the last reference. May be NULL. */
    void (*release)(asq *h);
};

struct asq {
    const struct asq__mode *mode;
    void *impl; /* the mode's own */
    atomic_uint refs;
    bool closed;
    bool sealed;            /* workers were forked: no further classes */
    bool classes_elsewhere; /* workers were started elsewhere: classes are known by name and pool */
    bool in_method;         /* a method's handle: ends with its call */
    /* Callbacks run, and waits inside of them run no others; of remote.c. */
    bool in_callbacks;
    unsigned depth; /* functions on the stack that may call the program back */
    unsigned corked;
    unsigned notifying;  /* running callbacks that must not make calls in a method */
    unsigned ncompleted; /* results completed so far; asq_poll compares */
    int64_t timeout_ms;
    int64_t admin_until_ms; /* end of the wait of the current function of admin.h */
    struct {                /* the last query of heartbeats, late.c */
        int64_t at_ms;      /* 0: none */
        bool nobody, denied;
    } late;
    int64_t call_deadline_ms; /* from each call; 0: none */
    int64_t busy_wait_ms;     /* of calls that find no room */
    /* Deadline of the call whose method's handle this is; monotonic; INT64_MAX: none. */
    int64_t deadline_ms;
    size_t max_message_size;
    /* Pools, and the partitions of all of them. NULL: the mode has none. Older tables stay. */
    const struct asq__pools *pools;
    uint32_t partitions;
    struct asq__error error;
    int64_t close_timeout_ms;
    /* Calls without a result that were refused, and that have failed, not reported by asq_flush
     * yet; and the first error of either kind. */
    size_t nlost, nfailed;
    struct asq__error loss, first_failure;
    struct asq__tally failures;       /* of calls without a result, for the log */
    struct asq__own_stats *own_stats; /* of a program's calls; NULL: a method's handle */
    struct asq__list done;            /* results with a due callback */
    struct asq__list emitted;         /* results with a due callback for what their calls emit */
    struct asq__registry *registry;   /* NULL: the handle was closed */
    char *url, *ns;
    asq_log_fn log;
    void *log_user;
    /* Inside a method: the chain of calls that wait for a call made now; else NULL. Borrowed. */
    const Asqueue__Chain *chain;
    /* The trace of calls without one of their own: the program's choice, else that of the method's
     * call, which is borrowed. NULL: none. */
    struct asq__tracer *tracer; /* of a program's handle: exports its calls; or NULL */
    Asqueue__Trace *own_trace;
    const Asqueue__Trace *outer_trace;
    /* Inside a method: its steps and statements; NULL: none yet. */
    struct asq__step_log *steps;
    /* Inside a method: when its recorded sleep ends, by the partition's clock; 0: it is in none. */
    int64_t asleep_until_ms;
    /* Inside a method: when its durable wait ends, by the same clock; INT64_MAX: by what it waits
     * for alone; 0: it is in none. */
    int64_t waits_until_ms;
    asq_result *outer; /* local mode: of the call whose method's handle this is; borrowed */
    uint64_t settler;  /* draws tokens of promises that it settles; 0: not drawn yet */
    uint64_t ids;      /* made for new agents in this run */
    uint32_t retries;  /* failed runs before this one, whose ids and nested calls are other ones */
};

struct asq_agent {
    asq *h;
    const char *class_name; /* stored behind the id, or learned_class */
    char *learned_class;    /* NULL: given at creation, or still unknown */
    asq_result *creation;   /* NULL when attached, or once creation has succeeded */
    char id[];
};

struct asq_result {
    atomic_uint refs;
    atomic_bool completed;
    bool keep;
    bool foreign;    /* made elsewhere, attached by its id */
    bool queued;     /* in h->done */
    bool unwatched;  /* made without a result: the program does not see its outcome */
    bool refused;    /* no room: the call was not accepted, and did nothing */
    bool seen;       /* the program has asked for its outcome */
    bool timed;      /* the call has a deadline or a delay */
    bool at_once;    /* fn is the library's own, and runs inside of callbacks too */
    bool creates;    /* the call makes an agent */
    bool has_agents; /* a method's: its arguments may have agents that it has made */
    asq *h;
    struct asq__call_id id;          /* known once submitted */
    char id_text[ASQ__CALL_ID_TEXT]; /* by asq__result_id_text */
    struct asq__call call;           /* the engine's part */
    struct asq__list node;           /* in h->done */
    /* Set while being submitted. */
    uint32_t partition;
    uint32_t *awaited, n_awaited; /* a program's: partitions of agents that may not be there yet */
    struct asq__buf job;          /* encoded; empty: handed to the engine */
    char label[ASQ__CALL_LABEL];  /* "class/agent.method", cut, for redis-cli */
    /* Set when completed. */
    struct asq__span *span;         /* what is recorded of the call until it is complete; or NULL */
    struct asq__own_series *series; /* counts the call until it is complete; or NULL */
    int64_t made_ns;                /* with a series: when the call was made; monotonic */
    asq_value *value;
    struct asq__error *error; /* NULL: none */
    asq_result_fn fn;
    void *user;
    asq_group *group;
    struct asq__progress *progress; /* what it emits, once that is asked for; or NULL */
};

/* Open a handle in local mode; see ../open.c. */
int asq__local_open(asq *h, const asq_options *options, char *err, size_t errlen);
/* Connects; `h` gets url and ns. before_use (may be NULL) is called once, when the first agent is
 * used. */
int asq__remote_open(asq *h, const struct asq__url *url, const char *ns, const asq_options *options,
                     int (*before_use)(asq *h, void *user), void (*at_close)(asq *h, void *user),
                     void *user, char *err, size_t errlen);
extern const struct asq__mode asq__local_mode, asq__remote_mode;

/* handle.c */
asq *asq__handle_new(const struct asq__mode *mode);
/* Initializes a handle that begins a larger block: zeroed memory of malloc, freed with the
 * handle. */
void asq__handle_init(asq *h, const struct asq__mode *mode);
void asq__handle_ref(asq *h);
void asq__handle_unref(asq *h);
/* Enclose code that may call the program back. A handle that is closed meanwhile ends in the
 * outermost asq__handle_leave, and may be gone after it. */
void asq__handle_enter(asq *h);
void asq__handle_leave(asq *h);
/* Sets the handle's last error and returns code. */
int asq__fail(asq *h, int code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
int asq__fail_memory(asq *h); /* ASQ_ENOMEM */
/* Fails a function that got a forbidden NULL: ASQ_EINVAL, with a text if h is not NULL. */
int asq__null(asq *h, const char *function);
int asq__fail_from(asq *h, const asq_error *error);
/* Checks, where this program has the only classes, that there are any before an agent is used:
 * ASQ_ENOCLASS. */
int asq__handle_need_class(asq *h, const struct asq__registry *registry);
/* Notes a refused call without a result: asq_flush reports it, asq_close logs it. */
void asq__handle_note_loss(asq *h, const asq_error *error);
/* Notes a failed call without a result. */
void asq__handle_note_failure(asq *h, const asq_result *r, const asq_error *error);
/* Counts a failure that the program did not look at: as a loss if the call was refused. */
void asq__handle_note_unseen(asq *h, const asq_result *r, const asq_error *error);
/* Writes class and method of a failed call. */
void asq__result_name(const asq_result *r, const asq_error *error, char name[ASQ__TALLY_NAME]);
/* Notes on completion that the program has freed the result, so its outcome stays unseen, even if
 * the program has asked for it before. */
void asq__result_note_freed(asq_result *r);
void asq__log(const asq *h, asq_log_level level, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* Logs to the handle `user`; a log function for parts that know no handle. */
void asq__log_text(void *user, asq_log_level level, const char *message);
/* Runs the due callbacks. Call on the handle's thread. */
void asq__handle_run_callbacks(asq *h);
/* Drops them, because the method has ended whose handle it is. */
void asq__handle_drop_callbacks(asq *h);
int asq__handle_wait(asq *h, bool (*ready)(void *arg), void *arg, int64_t timeout_ms);
/* Waits as asq_flush does, and reports calls that Redis has not accepted, but no failed ones. */
int asq__handle_flush(asq *h, int64_t timeout_ms);

/* result.c */
int asq__result_new(asq *h, asq_result **ret);
void asq__result_ref(asq_result *r);
/* Drops a reference that is not the program's, whose asq_result_free does more. */
void asq__result_unref(asq_result *r);
/* Makes a result for a call that was made elsewhere, or a promise. */
int asq__result_attach(asq *h, const struct asq__call_id *id, asq_result **ret);
const char *asq__result_id_text(const asq_result *r);
/* Visits the unfinished results that a mode's wait is for, until `visit` returns false. ALL: the
 * wait needs each of them; ANY: one of them; OTHER: it is not for results. */
enum asq__wait { ASQ__WAIT_OTHER, ASQ__WAIT_ALL, ASQ__WAIT_ANY };
typedef bool (*asq__wait_fn)(void *user, const asq_result *r);
enum asq__wait asq__wait_results(bool (*ready)(void *arg), const void *arg, asq__wait_fn visit,
                                 void *user);
enum asq__wait asq__group_wait_results(bool (*ready)(void *arg), const void *arg,
                                       asq__wait_fn visit, void *user);
enum asq__wait asq__gather_wait_results(bool (*ready)(void *arg), const void *arg,
                                        asq__wait_fn visit, void *user);
/* Completes a result, once, with value (taken; NULL: null) or error. The caller holds a reference.
 * The handle's thread queues callbacks to h->done. */
void asq__result_set(asq_result *r, asq_value *value, const asq_error *error);
/* Checks that all results are of one handle and none is NULL: 0, or ASQ_EINVAL with a text on the
 * first one's handle. */
int asq__results_check(asq_result *const *results, size_t n, const char *function);
/* Completes a result by a decoded message. */
void asq__result_set_message(asq_result *r, const Asqueue__Result *m);
/* Queues the callback of a completed result, if it has one. */
void asq__result_queue_callback(asq_result *r);
/* Does as asq_result_then, for a function of the library that calls no code of the program. The
 * code that waits for it may itself run in a callback. */
int asq__result_then_at_once(asq_result *r, asq_result_fn fn, void *user);
static inline bool asq__result_is_done(const asq_result *r)
{
    return atomic_load_explicit(&r->completed, memory_order_acquire);
}
/* Returns whether waits for the result end: it is completed, and what its call has emitted was told
 * to the callback for that, if there is one. */
bool asq__result_is_settled(const asq_result *r);

/* emit.c: returns what the call of r emits, made when it is asked for first; NULL: no memory. */
struct asq__progress *asq__result_progress(asq_result *r);
void asq__result_free_progress(asq_result *r);
/* Does as asq_result_on_emit. queue: a list that gets the result's asq__progress.due when there is
 * something to tell, with a reference; whoever has the list calls asq__emit_tell. NULL: the
 * handle's. */
int asq__emit_watch(asq_result *r, asq_emit_fn fn, void *user, struct asq__list *queue);
/* Has the callback called no more, and takes it out of its queue. */
void asq__emit_unwatch(asq_result *r);
/* Has the callback called no more, and drops the read, because the program frees the result. */
void asq__emit_end(asq_result *r);
/* Puts the result into its callback's queue. Call on the handle's thread. */
void asq__emit_due(asq_result *r);
/* Takes the first result out of a queue, and tells its callback what is there. */
void asq__emit_tell(struct asq__list *queue);
/* Empties a queue without telling anybody. */
void asq__emit_drop(struct asq__list *queue);
/* Returns whether there is no callback that has yet to be told something. */
bool asq__emit_is_over(const asq_result *r);
/* Returns whether waits for the result do not depend on such a callback, also because it cannot be
 * called now. */
bool asq__emit_is_settled(const asq_result *r);
/* Tells what a wait for emitted values waits for; see asq__wait_results. */
enum asq__wait asq__emit_wait_results(bool (*ready)(void *arg), const void *arg, asq__wait_fn visit,
                                      void *user);

/* agent.c: as asq__results_check. */
int asq__agents_check(asq_agent *const *agents, size_t n, const char *function);

/* call.c: encodes a job and submits it. ret may be NULL. */
int asq__call_job(asq *h, const struct asq__job *job, asq_result **ret);
int asq__call_jobs(asq *h, const struct asq__job *jobs, size_t n, asq_result **ret);

#endif
