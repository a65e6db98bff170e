/*
 * object.h: an agent in memory, and what one job does to it. The same code runs calls in local mode and
 * in workers; it does no I/O. Also the inside of asq_ctx.
 *
 * An object's state lives in two forms: the live one (library-held value, or the class's struct), and
 * `record`, the encoded AgentRecord as it is, or is about to be, in Redis. A job that fails puts the live
 * form back from the record. Records are shared by reference count: the object holds one, a commit under
 * way another. Nothing changes one that anybody else holds.
 */
#ifndef ASQ_CLIENT_OBJECT_H
#define ASQ_CLIENT_OBJECT_H

#include <stdatomic.h>

#include "client/class.h"
#include "client/handle.h"
#include "value/error.h"
#include "value/msg.h"

struct asq__record {
    atomic_uint refs;
    uint32_t spare; /* bytes that there is room for behind the n */
    size_t n;
    uint8_t data[];
};
struct asq__record *asq__record_new(const void *data, size_t n);
struct asq__record *asq__record_ref(struct asq__record *r);
void asq__record_unref(struct asq__record *r);

struct asq__object {
    const char *id;               /* borrowed from who holds the object */
    const struct asq__class *cls; /* NULL: there is no agent */
    asq_value *state;             /* library-held, else NULL */
    void *self;                   /* struct, else NULL */
    bool live;                    /* state or self stand for the record */
    bool torn;                    /* a re-entrant call has failed on a struct that could not be put
                                   * back */
    struct asq__record *record;   /* NULL: there is no agent */
    char *failure;                /* why its creation failed, for those who call it all the same */
    unsigned depth;     /* calls of it on the way: above 1 when re-entered. Calls that share
                                   * it are counted by who runs them */
    unsigned recommits; /* re-entrant calls that have taken effect */
};

void asq__object_init(struct asq__object *o, const char *id);
/* Frees the live form and the record. */
void asq__object_release(struct asq__object *o);
/* Takes over a record from Redis, decoded when a call needs it. ASQ_EPROTO, ASQ_ENOCLASS, ASQ_EVERSION: the
 * object then stays as it was, and the text says why. */
int asq__object_load(struct asq__object *o, struct asq__registry *registry,
                     struct asq__record *record, char *err, size_t errlen);
/* Drops the live form of an idle object; the record brings it back. */
void asq__object_unload(struct asq__object *o);
/* Brings it back before a call does, where that takes no code of the class's. */
void asq__object_revive(struct asq__object *o);

/* What is the same for all calls of a worker, or of a local handle. */
struct asq__env {
    struct asq__registry *registry;
    const asq_value *models; /* NULL: no configuration was given */
    const char *worker;      /* id, for messages; "" in local mode */
    size_t max_message_size;
    /* The longest string that Redis takes, which a record or a result has to be in; 0: no matter. The worker's
     * loop sets it while methods run. */
    atomic_size_t max_string;
    asq *(*make_handle)(
        asq_ctx *ctx); /* when a method asks for it first; NULL: it is there already */
    void (*log)(void *user, asq_log_level level, const char *message);
    void *log_user;
};

struct asq_ctx {
    const struct asq__env *env;
    struct asq__object *object;
    const struct asq__class *cls;
    asq *h; /* for nested calls; NULL: nobody has asked for it yet */
    const char *call_id;
    const char *method_name;
    const char *params;       /* of the method, or NULL */
    const asq_value *args;    /* what its function was given; NULL outside of methods and create */
    const char *caller_agent; /* the agent whose method made the call; "" from outside */
    uint64_t epoch;
    uint32_t attempt;
    int64_t deadline_ms; /* monotonic; INT64_MAX: none */
    size_t result_room; /* bytes that its result may have beside those of its batch; 0: no matter */
    atomic_bool canceled;
    bool keep_state;
    bool shared; /* others may use the object at the same time: nothing of it may be changed */
    struct asq__error error;
    void *impl; /* the worker's own */
};

/* What a job came to. */
enum asq__effect_kind { ASQ__EFFECT_NONE, ASQ__EFFECT_SAVE, ASQ__EFFECT_DELETE };

struct asq__effect {
    enum asq__effect_kind kind;
    struct asq__record *record; /* SAVE: a reference */
    struct asq__buf value;      /* the encoded value, when ctx->error.pub.code is 0 */
};

/* Runs a job of kind CALL … DESCRIBE. What it failed with is in ctx->error. args are encoded. */
void asq__object_run(asq_ctx *ctx, struct asq__object *o, Asqueue__JobKind kind,
                     const char *class_name, const char *method, const void *args, size_t args_n,
                     struct asq__effect *ret);
void asq__effect_release(struct asq__effect *e);

void asq__ctx_init(asq_ctx *ctx, const struct asq__env *env);
void asq__ctx_release(asq_ctx *ctx);

/* The method's policy for calls that fail; or NULL. */
const asq_retry *asq__object_retry(const struct asq__object *o, Asqueue__JobKind kind,
                                   const char *method);
/* The flags of the job's method (ASQ_NONBLOCKING, …); 0 for other jobs, and without an agent. */
unsigned asq__object_flags(const struct asq__object *o, Asqueue__JobKind kind, const char *method);

/* Gives the method that a failure of a job names: that of a call, "create", "delete", ".name" of an attribute, "" of
 * questions about the agent. buf holds it where it is neither constant nor `method`. */
enum { ASQ__PLACE_MAX = ASQ_MAX_NAME + 2 };
const char *asq__job_place(Asqueue__JobKind kind, const char *method, char buf[ASQ__PLACE_MAX]);

#endif
