/*
 * object.h: an agent in memory, and the effect of one job on it. The same code runs calls in local
 * mode and in workers; it does no I/O. Also the inside of asq_ctx.
 *
 * An object's state has two forms: the live form (a library-held value, or the class's struct), and
 * `snapshot`: the encoded AgentRecord as it is, or is about to be, in Redis. A job that
 * fails restores the live form from the snapshot. Snapshots are shared by reference count: the
 * object holds one reference, a commit under way another. A snapshot with other holders is never
 * changed.
 */
#ifndef ASQ_CLIENT_OBJECT_H
#define ASQ_CLIENT_OBJECT_H

#include <stdatomic.h>

#include "client/class.h"
#include "client/handle.h"
#include "value/error.h"
#include "value/msg.h"
#include "value/snapshot.h"

struct asq__live;

struct asq__object {
    const char *id;               /* borrowed from the object's holder */
    const struct asq__class *cls; /* NULL: there is no agent */
    asq_value *state;             /* library-held, else NULL */
    void *self;                   /* struct, else NULL */
    bool live;                    /* state or self are up to date */
    bool expires;                 /* its snapshot has an expiry */
    /* A re-entrant call has failed, and its struct could not be restored under the outer call. */
    bool inconsistent;
    struct asq__snapshot *snapshot; /* NULL: there is no agent */
    char *failure;                  /* error of a failed creation, for later calls */
    /* Active calls; above 1 when re-entered. Concurrent calls are counted by their runner. */
    unsigned depth;
    unsigned recommits; /* re-entrant calls that have taken effect */
};

void asq__object_init(struct asq__object *o, const char *id);
/* Frees the live form and drops the snapshot. */
void asq__object_release(struct asq__object *o);
/* Sets a snapshot from Redis; the state is decoded when a call needs it. ASQ_EPROTO, ASQ_ENOCLASS,
 * ASQ_EVERSION: the object is unchanged, and the text says why. */
int asq__object_load(struct asq__object *o, struct asq__registry *registry,
                     struct asq__snapshot *snapshot, char *err, size_t errlen);
/* Drops the live form of an idle object; the next call rebuilds it from the snapshot. */
void asq__object_unload(struct asq__object *o);
/* Rebuilds the live form before a call does, if that needs no code of the class. */
void asq__object_preload(struct asq__object *o);

/* Records a use at this time (Unix, ms), if that is worth it. Only while no call of the object is
 * active. *ret: the new snapshot, borrowed, which is to be saved; NULL: nothing has changed. False:
 * no memory. */
bool asq__object_touch(struct asq__object *o, int64_t at_ms, struct asq__snapshot **ret);

/* Environment of all calls of a worker, or of a local handle. */
struct asq__env {
    struct asq__registry *registry;
    const asq_value *models; /* NULL: no configuration was given */
    const char *worker;      /* id, for messages; "" in local mode */
    size_t max_message_size;
    /* Longest string that Redis accepts, which limits a snapshot or a result; 0: no limit. The
     * worker's loop may change it while methods run. */
    atomic_size_t max_string;
    /* Makes ctx->h when a method first asks for it; NULL: ctx->h is set already. */
    asq *(*make_handle)(asq_ctx *ctx);
    /* Gives the values of live attributes (taken) to whoever reads them; on the method's thread. */
    void (*publish)(asq_ctx *ctx, struct asq__live *values);
    /* Logs what a method says. */
    void (*log)(void *user, asq_log_level level, const char *message, const asq_log_fields *fields);
    void *log_user;
};

struct asq_ctx {
    const struct asq__env *env;
    struct asq__object *object;
    const struct asq__class *cls;
    asq *h; /* for nested calls; NULL: not made yet */
    const char *call_id;
    const char *method_name;
    const char *params;    /* of the method, or NULL */
    const asq_value *args; /* arguments of the function; NULL outside of methods and create */
    const ProtobufCBinaryData *expiry; /* of an agent that the call makes; NULL: none */
    const Asqueue__Trace *trace;       /* of the calls that it makes; NULL: none */
    char *trace_text;                  /* its traceparent, made when it is asked for; or NULL */
    const char *caller_agent;          /* the agent whose method made the call; "" from outside */
    uint64_t epoch;
    int64_t clock_minus_boot_ms; /* clock of the partition minus asq__boot_ms; 0 without one */
    uint32_t attempt;
    int64_t wall_minus_mono_ms; /* clock of Redis minus the monotonic one; 0: not known */
    int64_t deadline_ms;        /* monotonic; INT64_MAX: none */
    size_t result_room; /* bytes left for its result among those of its batch; 0: no limit */
    atomic_bool canceled;
    bool keep_state;
    bool no_timers;       /* they cannot be kept */
    bool calls_wait;      /* for their turn, behind the call of an expiry */
    bool recorded;        /* an earlier run has left records of its steps */
    bool canceled_asleep; /* it was cancelled without a run: the sleep of the last record tells */
    /* Place of the wait in which it was cancelled without a run, and which tells: 1 + number of the
     * last step or statement before it; 0: it was not. */
    uint64_t canceled_at;
    bool unloaded;    /* this run has no effect, and the call runs again later */
    bool shared;      /* concurrent calls may use the object: it must not be changed */
    bool publishes;   /* publishes the live attributes as it begins */
    bool may_publish; /* asq_ctx_publish may be called */
    int step_failure; /* of the last step that has failed; its text is that of `h` */
    struct asq__error error;
    void *impl; /* the worker's own */
};

/* Effect of a job on the agent's snapshot. */
enum asq__effect_kind { ASQ__EFFECT_NONE, ASQ__EFFECT_SAVE, ASQ__EFFECT_DELETE };

/* Effect of a job on the agent's timers; of one that is not about a timer, on the timer that looks
 * whether the agent is due to end. */
enum asq__timer_change {
    ASQ__TIMER_NONE = 0,
    ASQ__TIMER_SET = 's',
    ASQ__TIMER_REMOVE = 'd',
    ASQ__TIMER_REMOVE_ALL = 'x' /* of an agent that ends */
};

struct asq__effect {
    enum asq__effect_kind kind;
    enum asq__timer_change timer;
    int64_t timer_ms;               /* SET: its first time */
    struct asq__buf timer_spec;     /* SET: see timer_spec.h */
    struct asq__snapshot *snapshot; /* SAVE: a reference */
    struct asq__buf value;          /* the encoded value, when ctx->error.pub.code is 0 */
};

/* Runs a job that is no control job. Sets ctx->error on failure. args are encoded. */
void asq__object_run(asq_ctx *ctx, struct asq__object *o, Asqueue__JobKind kind,
                     const char *class_name, const char *method, const void *args, size_t args_n,
                     struct asq__effect *ret);
void asq__effect_release(struct asq__effect *e);
/* Reads an attribute of the live form, by its get function if it has one. *ret is borrowed: from
 * the state, or from *ret_owned, which the caller frees. Sets ctx->error on failure. */
int asq__object_get(asq_ctx *ctx, const struct asq__object *o, const struct asq__attribute *a,
                    asq_value **ret_owned, const asq_value **ret);

void asq__ctx_init(asq_ctx *ctx, const struct asq__env *env);
void asq__ctx_release(asq_ctx *ctx);

/* Returns the method's retry policy, or NULL. */
const asq_retry *asq__object_retry(const struct asq__object *o, Asqueue__JobKind kind,
                                   const char *method);

enum { ASQ__PLACE_MAX = ASQ_MAX_NAME + 2 };
/* Returns the method named in a job's failure: a call's method, "create", "delete", ".name" of an
 * attribute, "" for questions about the agent. buf is used if the text is neither constant nor
 * `method`. */
const char *asq__job_place(Asqueue__JobKind kind, const char *method, char buf[ASQ__PLACE_MAX]);

#endif
