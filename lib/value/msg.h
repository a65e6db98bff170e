/*
 * msg.h: the messages of proto/asqueue.proto: batches of jobs, records of results, records of agents.
 * Checks whatever was decoded (sizes, ids, kinds) before anybody uses it. No I/O.
 *
 * Two properties of protobuf carry the format: the concatenation of two encoded messages is their
 * merge. So a batch grows by appending jobs, a batch is marked as resent by appending two bytes, and a
 * result record grows by APPEND.
 */
#ifndef ASQ_VALUE_MSG_H
#define ASQ_VALUE_MSG_H

#include "proto/asqueue.pb-c.h"
#include "value/arena.h"
#include "value/buf.h"
#include "value/error.h"
#include "value/value.h"

#define ASQ__BATCH_ID 16

/* Results that are larger are announced, not pushed: a push is a hint, and Redis cuts who has too much of them
 * coming. Small enough for any limit on pushes that makes sense. commit.lua has this, too. */
#define ASQ__PUSH_MAX ((size_t) 128 * 1024)

enum { ASQ__MAX_JOBS = 65536, ASQ__MAX_CHAIN = 100000, ASQ__MAX_PROBED = 8192 };

/* A call before it is encoded, as the client's functions make it. Strings are borrowed. */
enum { ASQ__BATCH_ROOM = 80 }; /* bytes: its head, its marks */

struct asq__job {
    Asqueue__JobKind kind;
    const char *agent;
    const char *class_name; /* or NULL */
    const char *method;     /* or NULL */
    const asq_value *args;  /* or NULL */
    uint64_t timeout_ms;
    bool no_result;
    const Asqueue__Chain *chain; /* or NULL */
    const char *target;          /* or NULL */
    bool inputs;                 /* args has futures to be awaited */
    const Asqueue__Probe *probe; /* or NULL */
    uint64_t delay_ms;
    const asq_retry *retry; /* or NULL */
};

/* Is it about another call: await, cancel, probe? A batch has only such jobs, or none. */
bool asq__job_is_control(const Asqueue__Job *job);
/* Appends one job as a field of a Batch. On failure `out` is as before. ASQ_ELIMIT, ASQ_ENOMEM. */
int asq__job_encode(const struct asq__job *job, struct asq__buf *out);
/* Appends the head of a Batch, with its id first; the jobs follow. Its number is above those that `reply` has
 * used. */
void asq__batch_head(const uint8_t id[ASQ__BATCH_ID], const char *reply, uint64_t number,
                     struct asq__buf *out);
/* Appends the mark of a resent batch. */
void asq__batch_mark_resent(struct asq__buf *out);
/* Appends when the calls were made: age_ms before stamp_ms of Redis' clock (0: not known). Of several the last
 * counts. */
void asq__batch_set_times(uint64_t stamp_ms, uint64_t age_ms, struct asq__buf *out);
/* Appends another number, which is the one that counts. */
void asq__batch_set_number(uint64_t number, struct asq__buf *out);
/* Appends a limit for all of the batch's jobs. */
void asq__batch_set_timeout(uint64_t timeout_ms, struct asq__buf *out);
/* How large an arena must be allowed to grow for a batch, or a result record, that the protocol allows. */
size_t asq__batch_room(const void *data, size_t n);
size_t asq__results_room(const void *data, size_t n);
/* The name of a client's channel, or "" for nobody's? Another name would be a channel that is not for results. */
bool asq__is_client_id(const char *reply);
/* Decodes into the arena, checked. ASQ_EPROTO, ASQ_ENOMEM. */
int asq__batch_decode(const void *data, size_t n, struct asq__arena *arena, Asqueue__Batch **ret,
                      char *err, size_t errlen);

/* Appends the head of a Results; results follow. */
void asq__results_head(const uint8_t batch[ASQ__BATCH_ID], struct asq__buf *out);
/* Appends a result: of a success (value NULL: null, already encoded otherwise) or of a failure. */
void asq__result_put(uint32_t index, const void *value, size_t n, struct asq__buf *out);
void asq__result_put_failure(uint32_t index, const asq_error *error, bool refused,
                             struct asq__buf *out);
/* Appends what is pushed instead of results that are too large for it: where they stand in their record. */
void asq__results_announce(const uint8_t batch[ASQ__BATCH_ID], uint64_t upto, uint64_t size,
                           struct asq__buf *out);
int asq__results_decode(const void *data, size_t n, struct asq__arena *arena,
                        Asqueue__Results **ret, char *err, size_t errlen);
/* Borrowed from f. */
void asq__failure_to_error(const Asqueue__Failure *f, asq_error *ret);

/* An agent's record. args, and state, are encoded already. */
int asq__record_encode(const char *class_name, uint32_t version, const void *args, size_t args_n,
                       const void *state, size_t state_n, struct asq__buf *out);
/* state_n as asq__value_size says. */
int asq__record_encode_value(const char *class_name, uint32_t version, const void *args,
                             size_t args_n, const asq_value *state, size_t state_n,
                             struct asq__buf *out);
int asq__record_decode(const void *data, size_t n, struct asq__arena *arena,
                       Asqueue__AgentRecord **ret, char *err, size_t errlen);
/* The creation arguments alone, borrowed from data. False: it cannot be decoded. */
bool asq__record_args(const void *data, size_t n, const void **ret, size_t *ret_n);

#endif
