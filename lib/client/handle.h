/*
 * handle.h: the inside of an asq handle, of agents and of results. The public functions
 * (agent.c, call.c, result.c) are the same for every mode; what differs stands in a table of six
 * functions, the mode: local (local.c), remote (remote.c: also child mode), and inside a
 * method (worker/nested.c).
 *
 * Threads: a handle is used by one thread at a time. Inside a worker, results are completed from the
 * loop's thread; `state` is what publishes them (release, acquire), all other fields of a result are
 * written before it and read after it.
 *
 * Lifetime: results and agents count references to their handle, calls under way count references to
 * their results. Whoever drops the last one frees.
 */
#ifndef ASQ_CLIENT_HANDLE_H
#define ASQ_CLIENT_HANDLE_H

#include <stdatomic.h>

#include "asqueue.h"
#include "client/class.h"
#include "client/engine.h"
#include "value/buf.h"
#include "value/error.h"
#include "value/list.h"
#include "value/msg.h"
#include "value/tally.h"

struct asq__mode {
    const char *name;
    /* A method that runs again makes the same calls again, and they are recognised by what they say:
     * nothing in them may depend on how far other calls are. */
    bool repeats;
    /* Sends calls that were made by one statement; each result holds its encoded job. Takes a
     * reference to each result until it is completed. On failure nothing was taken. */
    int (*submit)(asq *h, asq_result **results, size_t n);
    /* Waits until ready(arg) is true, processing what arrives. 0 or ASQ_ETIMEOUT; inside a method also
     * ASQ_ECANCELED and ASQ_EDEADLINE. With timeout 0 it only takes what is there. */
    int (*wait)(asq *h, bool (*ready)(void *arg), void *arg, int64_t timeout_ms);
    /* Sends open batches. */
    int (*flush)(asq *h);
    /* True when all that was called is safe with Redis. */
    bool (*accepted)(asq *h);
    /* Takes up a result that was made elsewhere: r->id says which. Takes a reference. */
    int (*attach)(asq *h, asq_result *r);
    /* The result's key is to be kept. */
    void (*keep)(asq *h, asq_result *r);
    int (*cancel)(asq *h, asq_result *r);
    int (*attach_ev)(asq *h, struct ev_loop *loop); /* NULL: back to a loop of its own */
    /* Ends the mode; completes what is unfinished with ASQ_ECLOSED. Not 0: Redis has not taken all that was
     * called, and the handle's error says how many. */
    int (*close)(asq *h);
    /* Frees impl with the last reference; or NULL. */
    void (*release)(asq *h);
};

struct asq {
    const struct asq__mode *mode;
    void *impl; /* the mode's own */
    atomic_uint refs;
    bool closed;
    bool sealed;     /* the workers have been forked: no classes any more */
    bool in_method;  /* a method's handle: gone with its call */
    unsigned inside; /* functions of the mode on the stack that may call the program back */
    unsigned corked;
    unsigned telling;    /* callbacks of gather.c that run */
    unsigned ncompleted; /* results completed since asq_poll looked */
    int64_t timeout_ms;
    int64_t admin_until_ms; /* how long the function of admin.h that is under way waits */
    int64_t call_deadline_ms; /* from each call; 0: none */
    int64_t busy_wait_ms;     /* of calls that find no room */
    /* Monotonic, of the call inside of which this is the handle; INT64_MAX: none. */
    int64_t deadline_ms;
    size_t max_message_size;
    uint32_t partitions;
    struct asq__error error;
    int64_t close_timeout_ms;
    /* Calls without a result that were refused, and that have failed, and asq_flush has not told; what the
     * first of either kind ended with. */
    size_t nlost, nfailed;
    struct asq__error loss, first_failure;
    struct asq__tally failures;     /* of calls without a result: told to the log */
    struct asq__list done;          /* results whose callback is due */
    struct asq__registry *registry; /* NULL: none */
    char *url, *ns;
    asq_log_fn log;
    void *log_user;
    /* Inside a method: the calls that wait for what is called now; else NULL. Borrowed. */
    const Asqueue__Chain *chain;
};

struct asq_agent {
    asq *h;
    const char *class_name; /* behind the id, or learned_class */
    char *learned_class;    /* NULL: it was known at first, or is not yet */
    asq_result *creation;   /* NULL when attached, or once it is known to have succeeded */
    char id[];
};

struct asq_result {
    atomic_uint refs;
    atomic_bool completed;
    bool keep;
    bool foreign;   /* made elsewhere, attached by its id */
    bool queued;    /* in h->done */
    bool unwatched; /* made without a result: nobody else sees what becomes of it */
    bool refused;   /* there was no room: the call was not taken, and did nothing */
    bool timed;     /* the call has a deadline or a delay */
    bool at_once;   /* fn is the library's own, and runs inside of callbacks too */
    asq *h;
    struct asq__call_id id;          /* known once submitted */
    char id_text[ASQ__CALL_ID_TEXT]; /* by asq__result_id_text */
    struct asq__call call;           /* the engine's part */
    struct asq__list node;           /* in h->done */
    /* While it is being submitted. */
    uint32_t partition;
    struct asq__buf job;         /* encoded; empty: it has gone */
    char label[ASQ__CALL_LABEL]; /* "class/agent.method", cut: what redis-cli shows */
    /* When completed. */
    asq_value *value;
    struct asq__error *error; /* NULL: none */
    asq_result_fn fn;
    void *user;
    asq_group *group;
};

/* What a mode's asq_open needs; see ../open.c. */
int asq__local_open(asq *h, const asq_options *options, char *err, size_t errlen);
/* Connects; `h` gets url and ns. before_use (may be NULL) is called once, when the first agent is used. */
int asq__remote_open(asq *h, const struct asq__url *url, const char *ns, const asq_options *options,
                     int (*before_use)(asq *h, void *user), void (*at_close)(asq *h, void *user),
                     void *user, char *err, size_t errlen);
extern const struct asq__mode asq__local_mode, asq__remote_mode;

/* handle.c */
asq *asq__handle_new(const struct asq__mode *mode);
/* One that begins a larger block: zeroed memory of malloc, freed with the handle. */
void asq__handle_init(asq *h, const struct asq__mode *mode);
void asq__handle_ref(asq *h);
void asq__handle_unref(asq *h);
/* Around what may call the program back: a handle that is closed meanwhile ends when the outermost of
 * them leaves, and may be gone then. */
void asq__handle_enter(asq *h);
void asq__handle_leave(asq *h);
/* Sets the handle's last error and returns code. */
int asq__fail(asq *h, int code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* A function got NULL where it must not: ASQ_EINVAL, with a text when there is a handle (h may be NULL). */
int asq__null(asq *h, const char *function);
int asq__fail_from(asq *h, const asq_error *error);
/* The first use of an agent, where this program's classes are all there are: ASQ_ENOCLASS without any. */
int asq__handle_need_class(asq *h, const struct asq__registry *registry);
/* A call without a result was not taken: asq_flush tells it, asq_close logs it. */
void asq__handle_note_loss(asq *h, const asq_error *error);
/* A call without a result has failed. */
void asq__handle_note_failure(asq *h, const asq_result *r, const asq_error *error);
void asq__log(const asq *h, asq_log_level level, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* As the log function of what knows no handle: user is one. */
void asq__log_text(void *user, asq_log_level level, const char *message);
/* Runs the callbacks that are due. On the handle's thread. */
void asq__handle_run_callbacks(asq *h);
int asq__handle_wait(asq *h, bool (*ready)(void *arg), void *arg, int64_t timeout_ms);

/* result.c */
int asq__result_new(asq *h, asq_result **ret);
void asq__result_ref(asq_result *r);
const char *asq__result_id_text(const asq_result *r);
/* What a wait (of a mode) is for: visits the results that are not there, until `visit` returns false.
 * ALL: it cannot end without each of them; ANY: not without one of them; OTHER: it is for none. */
enum asq__wait { ASQ__WAIT_OTHER, ASQ__WAIT_ALL, ASQ__WAIT_ANY };
typedef bool (*asq__wait_fn)(void *user, const asq_result *r);
enum asq__wait asq__wait_results(bool (*ready)(void *arg), const void *arg, asq__wait_fn visit,
                                 void *user);
enum asq__wait asq__group_wait_results(bool (*ready)(void *arg), const void *arg,
                                       asq__wait_fn visit, void *user);
enum asq__wait asq__gather_wait_results(bool (*ready)(void *arg), const void *arg,
                                        asq__wait_fn visit, void *user);
/* Complete it: value (taken; NULL: null) or error. Once. The caller holds a reference. Callbacks are
 * queued to h->done by who runs on the handle's thread. */
void asq__result_set(asq_result *r, asq_value *value, const asq_error *error);
/* 0: all are of one handle and none is NULL; else ASQ_EINVAL, with a text on the first one's handle. */
int asq__results_check(asq_result *const *results, size_t n, const char *function);
/* Decodes and completes; for engines. */
void asq__result_set_message(asq_result *r, const Asqueue__Result *m);
/* Queues the callback of a completed result, when it has one. */
void asq__result_queue_callback(asq_result *r);
/* asq_result_then for fn of the library's, which call nothing back: what waits for them may be a
 * callback itself. */
int asq__result_then_at_once(asq_result *r, asq_result_fn fn, void *user);
static inline bool asq__result_is_done(const asq_result *r)
{
    return atomic_load_explicit(&r->completed, memory_order_acquire);
}

/* agent.c: as asq__results_check. */
int asq__agents_check(asq_agent *const *agents, size_t n, const char *function);

/* call.c: encodes a job and submits it. ret may be NULL. */
int asq__call_job(asq *h, const struct asq__job *job, asq_result **ret);
int asq__call_jobs(asq *h, const struct asq__job *jobs, size_t n, asq_result **ret);

#endif
