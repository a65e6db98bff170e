/*
 * engine.h: sends batches of calls and sees every call through to its result, whatever happens to the
 * connection. What a program's handle and a worker's nested calls share; it knows no agents and no
 * values, only encoded jobs and decoded results.
 *
 * A batch is in one of these states:
 *
 *     OPEN ──flush──▶ READY ──XADD──▶ SENT ──results──▶ gone (its key is unlinked)
 *                       ▲               │ connection lost        or HELD until unhold
 *                       └───────────────┘ marked as resent, in the old order, before anything new
 *
 * One thread: the loop's. Every call is completed exactly once; the engine touches a call no more
 * after its `done`.
 */
#ifndef ASQ_CLIENT_ENGINE_H
#define ASQ_CLIENT_ENGINE_H

#include "asqueue.h"
#include "redis/redis.h"
#include "value/msg.h"

struct asq__engine;
struct asq__batch;
struct asq__call;

/* One of result and error is given; both are borrowed. */
typedef void (*asq__call_fn)(struct asq__call *call, const Asqueue__Result *result,
                             const asq_error *error);

struct asq__call {
    asq__call_fn done;
    struct asq__batch *batch; /* NULL when not under way */
    uint32_t index;
    struct asq__call *next; /* of several that wait for the same foreign call */
};

enum asq__settled { ASQ__TAKEN, ASQ__REFUSED, ASQ__FENCED };

struct asq__engine_config {
    struct asq__redis *redis; /* borrowed */
    const char *client;       /* the client id: names the channel that pushes come on */
    uint64_t client_number;   /* the first half of batch ids */
    /* A worker's: how long the record of a method's batch lives, unless it is renewed, while the method's own
     * call is not committed; and then, if it is not to be forgotten at once. */
    int64_t record_ms, kept_ms;
    /* Redis has lost its last second, and with it a call whose result a method of an agent of that partition
     * has had already: what came of it since must not be committed. */
    void (*lost)(void *user, uint32_t from);
    void (*log)(void *user, asq_log_level level, const char *message);
    void *log_user; /* of both */
};

enum { ASQ__CALL_LABEL = 64 }; /* of what redis-cli shows of a call, and its NUL */

int asq__engine_new(const struct asq__engine_config *config, struct asq__engine **ret);
/* Completes what is under way with ASQ_ECLOSED; unlinks what was fetched as far as it can. */
void asq__engine_free(struct asq__engine *e);
/* To be called by the owner of `redis`. */
void asq__engine_up(struct asq__engine *e);
void asq__engine_down(struct asq__engine *e);
/* The namespace has another number of partitions now: it is another one. All calls under way end, and those to come
 * find their partitions. */
void asq__engine_renew(struct asq__engine *e);
void asq__engine_push(struct asq__engine *e, const void *payload, size_t n);
void asq__engine_set_loop(struct asq__engine *e, struct ev_loop *loop);

/* Appends an encoded job to the open batch of the partition; ret_id gets the call's id. `timed`: it has a
 * deadline or a delay, which counts from now. The batch becomes ready at 64 calls or 64 KiB. ASQ_ENOMEM, ASQ_EBUSY (too much is under way). */
int asq__engine_add(struct asq__engine *e, uint32_t partition, const char *label,
                    const struct asq__buf *job, bool timed, struct asq__call *call,
                    struct asq__call_id *ret_id);
/* A whole batch that a method has made, under its derived id; sent at once. Redis takes it only while the
 * lease of the partition whose agent's method it is holds `token`, and at least `seq`; after a lost connection, only while
 * `entry` stands in that partition's stream. Its key is not unlinked when the results are there, but after
 * asq__engine_unhold. */
struct asq__nested_batch {
    uint32_t partition; /* that it goes to */
    const uint8_t *id;
    const char *label;
    const void *jobs; /* encoded */
    size_t n;
    int64_t made_ms; /* when the calls were; monotonic */
    bool again; /* somebody may have sent it before: marked as resent, its key left to its TTL */
    struct asq__call *const *calls;
    size_t ncalls;
    uint32_t from; /* the partition of the agent that calls */
    const char *token;
    uint64_t seq;      /* the last that is known to be acknowledged there */
    const char *entry; /* the id of the entry that the calling call stands in */
    /* Called once: Redis has taken it; it has not, and will not; it says that the lease is another's. */
    void (*settled)(void *user, enum asq__settled how);
    void *user;
};
/* ASQ_EEXIST: a batch of this id is known, and is this one's from now on; its calls can be awaited. With any
 * other failure `settled` is not called. */
int asq__engine_batch(struct asq__engine *e, const struct asq__nested_batch *nested);
/* Makes open batches ready and sends what is ready; it is written when the loop comes by … */
void asq__engine_send(struct asq__engine *e);
/* … or at once. */
void asq__engine_flush(struct asq__engine *e);
/* Waits for the result of a call that was made elsewhere: reads its key, else asks its owner. */
int asq__engine_await(struct asq__engine *e, const struct asq__call_id *id, struct asq__call *call);
/* Asks the owner to cancel a call. */
int asq__engine_cancel(struct asq__engine *e, const struct asq__call_id *id);
/* … every call of a batch of this engine's that is not finished. */
void asq__engine_cancel_batch(struct asq__engine *e, const uint8_t batch[ASQ__BATCH_ID]);
/* Sends a probe to the owner of a call. */
int asq__engine_probe(struct asq__engine *e, const struct asq__call_id *id,
                      const Asqueue__Probe *probe);
/* Nobody waits for the call any more; `done` will not be called. The call itself is still seen
 * through to the stream. */
void asq__engine_abandon(struct asq__engine *e, struct asq__call *call);
/* Leaves the record of the call's batch to its TTL. */
void asq__engine_keep(struct asq__engine *e, struct asq__call *call);
/* A held batch need not be held any more. What becomes of its record, once its results are there: */
enum asq__unhold {
    ASQ__UNHOLD_FORGET, /* it is unlinked; if it was ever sent twice, as with expire */
    ASQ__UNHOLD_EXPIRE, /* somebody has its id: it has kept_ms from now on */
    ASQ__UNHOLD_LEAVE /* the method's call is not committed, and runs again elsewhere, which needs it */
};
void asq__engine_unhold(struct asq__engine *e, const uint8_t id[ASQ__BATCH_ID],
                        enum asq__unhold how);

/* Calls that Redis has not taken: never sent, and sent without an answer. */
void asq__engine_count_unaccepted(const struct asq__engine *e, size_t *ret_unsent,
                                  size_t *ret_unknown);
/* True when Redis has accepted all that was made ready. */
bool asq__engine_accepted(const struct asq__engine *e);
size_t asq__engine_unfinished(const struct asq__engine *e); /* batches */
size_t asq__engine_backlog(const struct asq__engine *e);    /* bytes held by unfinished batches */

#endif
