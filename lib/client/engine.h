/*
 * engine.h: sends batches of calls and brings every call to its result, whatever happens to the
 * connection. A program's handle and a worker's nested calls share it. The engine knows no agents
 * and no values, only encoded jobs and decoded results.
 *
 * The states of a batch, and the steps between them, stand in batch.h.
 *
 * Runs on the loop's thread only. Every call is completed exactly once; the engine does not touch a
 * call after its `done`.
 */
#ifndef ASQ_CLIENT_ENGINE_H
#define ASQ_CLIENT_ENGINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "asqueue.h"
#include "value/msg.h"

struct asq__batch;
struct asq__buf;
struct asq__call;
struct asq__call_id;
struct asq__engine;
struct asq__progress;
struct ev_loop;

/* Exactly one of result and error is not NULL; both are borrowed. */
typedef void (*asq__call_fn)(struct asq__call *call, const Asqueue__Result *result,
                             const asq_error *error);

/* How a call has ended, as its result says; UNKNOWN: it has none, or has not ended. */
enum asq__outcome { ASQ__OUTCOME_UNKNOWN, ASQ__OUTCOME_FAILED, ASQ__OUTCOME_SUCCEEDED };

struct asq__call {
    asq__call_fn done;
    struct asq__batch *batch; /* NULL when not under way */
    uint32_t index;
    struct asq__call *next; /* the next waiter for the same batch */
    /* Emitted values of a run, as last reported; with its outcome, of the last run. */
    uint64_t run, emitted;
    bool has_emitted; /* some run of it has */
    enum asq__outcome outcome;
    struct asq__progress *progress; /* reads what it emits; NULL: nobody wants it now */
};

/* Whether this process holds the lease under which a method has made its batch. */
enum asq__lease_belief {
    ASQ__LEASE_HELD,
    ASQ__LEASE_DOUBTED, /* it may be lost: the batch waits */
    ASQ__LEASE_LOST
};

enum asq__batch_verdict { ASQ__ACCEPTED, ASQ__REFUSED, ASQ__FENCED };

struct asq__engine_config {
    struct asq__redis *redis; /* borrowed */
    const char *client;       /* the client id: names the channel that pushes come on */
    uint64_t client_number;   /* the first half of batch ids */
    /* Workers: TTLs of the record of a method's batch. record_ms: while the method's own call is
     * not committed; renewed. kept_ms: afterwards, if the record is not removed at once. */
    int64_t record_ms, kept_ms;
    /* Workers whose commits wait for no replica: for how long the record of a method's batch stays
     * in a Cluster behind the outer commit, so that it is there if a failover loses that; else
     * 0. */
    int64_t failover_ms;
    /* Called when Redis has lost its last second, and with it a call whose result a method of an
     * agent of partition `from` has used: the effects since then must not be committed. */
    void (*lost)(void *user, uint32_t from);
    /* Workers, in a Cluster: asked before a method's batch is sent, because Redis cannot check the
     * lease of partition `from` in the slot of another one. */
    enum asq__lease_belief (*holds)(void *user, uint32_t from, const char *token);
    /* Told of outcomes of promises that were told and are lost; or NULL. */
    void (*lost_outcomes)(void *user, unsigned n);
    void (*log)(void *user, asq_log_level level, const char *message);
    void *log_user; /* `user` of all */
};

enum { ASQ__CALL_LABEL = 64 }; /* bytes of a call's label for redis-cli, with its NUL */

int asq__engine_new(const struct asq__engine_config *config, struct asq__engine **ret);
/* Completes unfinished calls with ASQ_ECLOSED; unlinks records of finished ones if Redis is
 * there. */
void asq__engine_free(struct asq__engine *e);
/* Called by the owner of `redis` when the connection is up, and when it is lost. */
void asq__engine_up(struct asq__engine *e);
void asq__engine_down(struct asq__engine *e);
/* Likewise when partitions p with parts[p] have a server again, and when they have lost it. */
void asq__engine_parts_up(struct asq__engine *e, const bool *parts);
void asq__engine_parts_down(struct asq__engine *e, const bool *parts);
/* Ends all calls under way with errors, because the namespace was recreated with another number of
 * partitions. Later calls use the new number. */
void asq__engine_renew(struct asq__engine *e);
/* Called when there are more partitions. */
void asq__engine_grow(struct asq__engine *e);
/* Called when pushes of a partition of a Cluster are heard from now on, or not any more. */
void asq__engine_heard(struct asq__engine *e, uint32_t partition, bool now);
void asq__engine_push(struct asq__engine *e, const void *payload, size_t n);
void asq__engine_set_loop(struct asq__engine *e, struct ev_loop *loop);

/* A call of a program. */
struct asq__new_call {
    uint32_t partition;
    const char *label;
    const struct asq__buf *job; /* encoded */
    bool timed;                 /* it has a deadline or a delay, which counts from now */
    bool creates;               /* it makes an agent */
    /* In a Cluster it leaves after the creations in these partitions that are under way. */
    const uint32_t *awaited;
    size_t n_awaited;
};
/* Appends a call to the open batch of its partition; ret_id gets its id. The batch becomes ready at
 * 64 calls or 64 KiB. ASQ_ENOMEM, ASQ_EBUSY (too much is under way). */
int asq__engine_add(struct asq__engine *e, const struct asq__new_call *new_call,
                    struct asq__call *call, struct asq__call_id *ret_id);
/* Return whether creations are under way to a Cluster: to any partition; to this one, so that its
 * agents may not be there yet. */
bool asq__engine_creates(const struct asq__engine *e);
bool asq__engine_creates_in(const struct asq__engine *e, uint32_t partition);
/* Returns whether calls are held for a creation whose answer is on its way, as far as is known;
 * hold_longer: this one takes long, and counts no more. */
bool asq__engine_holds_briefly(const struct asq__engine *e);
void asq__engine_hold_longer(struct asq__engine *e);
/* A whole batch made by a method, under its derived id; ready at once. Redis accepts it only while
 * the lease of the calling agent's partition has `token`, and at least `seq`; after a lost
 * connection, only while `entry` is in that partition's stream. Its record is not unlinked when the
 * results are there, but after asq__engine_unpin. */
struct asq__nested_batch {
    uint32_t partition; /* destination */
    const uint8_t *id;
    const char *label;
    const void *jobs; /* encoded */
    size_t n;
    int64_t made_ms; /* creation of the calls; monotonic */
    bool resent;     /* may have been sent before: marked as resent, its key left to its TTL */
    struct asq__call *const *calls;
    size_t ncalls;
    uint32_t from; /* partition of the calling agent */
    const char *token;
    uint64_t epoch;    /* checked in a Cluster instead of token, seq and entry */
    uint64_t seq;      /* last seq of that partition known to be acknowledged */
    const char *entry; /* stream id of the calling call's entry */
    /* Called once: ACCEPTED, REFUSED (final) or FENCED (the lease is another's). */
    void (*notify)(void *user, enum asq__batch_verdict verdict);
    void *user;
};
/* Adds the batch. ASQ_EEXIST: a batch of this id is known and now belongs to `nested`; its calls
 * can be awaited. After any other failure `notify` is not called. */
int asq__engine_batch(struct asq__engine *e, const struct asq__nested_batch *nested);
/* Makes open batches ready and sends all ready ones. The loop writes them out later. */
void asq__engine_send(struct asq__engine *e);
/* Does the same as asq__engine_send, and writes at once. */
void asq__engine_flush(struct asq__engine *e);
/* Waits for the result of a call that was made elsewhere: reads its record, else asks its owner. */
int asq__engine_await(struct asq__engine *e, const struct asq__call_id *id, struct asq__call *call);
/* Asks the owner to cancel a call. */
int asq__engine_cancel(struct asq__engine *e, const struct asq__call_id *id);
/* Asks the owner to cancel each unfinished call of a batch of this engine. */
void asq__engine_cancel_batch(struct asq__engine *e, const uint8_t batch[ASQ__BATCH_ID]);
/* Sends a probe to the owner of a call. */
int asq__engine_probe(struct asq__engine *e, const struct asq__call_id *id,
                      const Asqueue__Probe *probe);
/* Completes a call that is in no batch, because it could not be sent or awaited. */
void asq__call_fail(struct asq__call *call, const asq_error *error);
/* Detaches `call`: its `done` will not be called. The call itself still reaches its stream. */
void asq__engine_abandon(struct asq__engine *e, struct asq__call *call);
/* Leaves the record of the call's batch to its TTL. */
void asq__engine_keep(struct asq__engine *e, struct asq__call *call);
/* Says what happens to the record of a batch, once all results are there. */
enum asq__record_policy {
    /* Unlink it, after failover_ms where that is set. If a copy may be on its way: EXPIRE (a
     * method's) or LEAVE. */
    ASQ__RECORD_UNLINK,
    ASQ__RECORD_EXPIRE, /* set its TTL to kept_ms, because its id was handed out */
    ASQ__RECORD_LEAVE   /* leave it: the method's call is uncommitted, and its next run needs it */
};
/* Unpins the record of a batch. again_ms: how long another run of the method may take to come to
 * its calls, if a failover loses the outer commit. */
void asq__engine_unpin(struct asq__engine *e, const uint8_t id[ASQ__BATCH_ID],
                       enum asq__record_policy policy, int64_t again_ms);

/* Counts calls that Redis has not accepted: never sent, and sent without a reply. */
void asq__engine_count_unaccepted(const struct asq__engine *e, size_t *ret_unsent,
                                  size_t *ret_unknown);
/* Returns whether Redis has accepted every batch, with none open. */
bool asq__engine_accepted(const struct asq__engine *e);
size_t asq__engine_unfinished(const struct asq__engine *e); /* batches */
size_t asq__engine_backlog(const struct asq__engine *e);    /* bytes of unfinished batches */

#endif
