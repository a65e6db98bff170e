/*
 * msg.h: the messages of proto/asqueue.proto: batches of jobs, result records, snapshots of agents.
 * Decoded messages are checked (sizes, ids, kinds) before use. No I/O.
 *
 * The format relies on a property of protobuf: the concatenation of two encoded messages is their
 * merge. So a batch grows by appending jobs, a batch is marked as resent by appending two bytes,
 * and a result record grows by APPEND.
 */
#ifndef ASQ_VALUE_MSG_H
#define ASQ_VALUE_MSG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "asqueue.h"
#include "proto/asqueue.pb-c.h"
#include "value/arena.h"

struct asq__buf;

#define ASQ__BATCH_ID 16

/* Larger results are announced, not pushed, because Redis disconnects a subscriber with too much
 * pending output. Small enough for any sensible limit. commit.lua has the same number. */
#define ASQ__PUSH_MAX ((size_t) 128 * 1024)

enum { ASQ__MAX_JOBS = 65536, ASQ__MAX_CHAIN = 100000, ASQ__MAX_PROBED = 8192 };

enum { ASQ__BATCH_ROOM = 80 }; /* bytes of a batch's head and marks */

struct asq__expiry;

/* A call before it is encoded, as the client's functions make it. Strings are borrowed. */
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
    const asq_retry *retry;           /* or NULL */
    const Asqueue__Trace *trace;      /* or NULL */
    const struct asq__expiry *expiry; /* of an agent that it makes; or NULL */
};

/* Returns whether the job is a control job: await, cancel, probe. A batch has only such jobs, or
 * none. */
bool asq__job_is_control(const Asqueue__Job *job);
/* Returns whether it sets or removes a timer. */
bool asq__job_is_about_timer(Asqueue__JobKind kind);
/* Appends one job as a field of a Batch. On failure `out` is as before. ASQ_ELIMIT, ASQ_ENOMEM. */
int asq__job_encode(const struct asq__job *job, struct asq__buf *out);
/* Appends the head of a Batch, with its id first; the jobs follow. `number` is above all numbers
 * that the client `reply` has used. */
void asq__batch_head(const uint8_t id[ASQ__BATCH_ID], const char *reply, uint64_t number,
                     struct asq__buf *out);
/* Appends the mark of a resent batch. */
void asq__batch_mark_resent(struct asq__buf *out);
/* Appends the creation time of the calls: age_ms before stamp_ms of Redis' clock (0: unknown). The
 * last one counts. */
void asq__batch_set_times(uint64_t stamp_ms, uint64_t age_ms, struct asq__buf *out);
/* Appends another number, which replaces the earlier one. */
void asq__batch_set_number(uint64_t number, struct asq__buf *out);
/* Appends a limit for all of the batch's jobs. */
void asq__batch_set_timeout(uint64_t timeout_ms, struct asq__buf *out);
/* Return the bound of an arena for a batch, or a result record, that the protocol allows. */
size_t asq__batch_room(const void *data, size_t n);
size_t asq__results_room(const void *data, size_t n);
/* Returns whether `reply` is a client's channel, or "" for none. Other channels are not for
 * results. */
bool asq__is_client_id(const char *reply);
/* Decodes a batch into the arena, and checks it. ASQ_EPROTO, ASQ_ENOMEM. */
int asq__batch_decode(const void *data, size_t n, struct asq__arena *arena, Asqueue__Batch **ret,
                      char *err, size_t errlen);

/* Appends the head of a Results; results follow. */
void asq__results_head(const uint8_t batch[ASQ__BATCH_ID], struct asq__buf *out);
/* Append a result: a success (value NULL: null; else encoded) or a failure. */
void asq__result_put(uint32_t index, const void *value, size_t n, struct asq__buf *out);
void asq__result_put_failure(uint32_t index, const asq_error *error, bool refused,
                             struct asq__buf *out);
/* Appends the place of results in their record, pushed in place of results that are too large. */
void asq__results_announce(const uint8_t batch[ASQ__BATCH_ID], uint64_t upto, uint64_t size,
                           struct asq__buf *out);
/* Appends the results of another batch, for the same client. */
void asq__results_add_other(const void *frame, size_t n, struct asq__buf *out);
/* Appends how many values a run of a call has emitted so far. */
void asq__results_put_emitted(uint32_t index, uint64_t run, uint64_t count, struct asq__buf *out);
int asq__results_decode(const void *data, size_t n, struct asq__arena *arena,
                        Asqueue__Results **ret, char *err, size_t errlen);
/* Makes an error of f, from which it borrows. */
void asq__failure_to_error(const Asqueue__Failure *f, asq_error *ret);

/* Encodes an agent's snapshot. args and state are encoded already. */
int asq__snapshot_encode(const char *class_name, uint32_t version, const void *args, size_t args_n,
                         const void *state, size_t state_n, struct asq__buf *out);
/* Encodes an agent's snapshot; state_n from asq__value_size. */
int asq__snapshot_encode_value(const char *class_name, uint32_t version, const void *args,
                               size_t args_n, const asq_value *state, size_t state_n,
                               struct asq__buf *out);
int asq__snapshot_decode(const void *data, size_t n, struct asq__arena *arena,
                         Asqueue__AgentRecord **ret, char *err, size_t errlen);
/* Finds the creation arguments of a snapshot, borrowed from data. False: undecodable. */
bool asq__snapshot_args(const void *data, size_t n, const void **ret, size_t *ret_n);
/* Finds its class in the same way, not terminated. False: also if it names none. */
bool asq__snapshot_class(const void *data, size_t n, const char **ret, size_t *ret_n);
/* Appends an expiry to an encoded snapshot. Reads that of a snapshot; *ret_at (may be NULL) is
 * where its bytes begin. False: there is none. */
void asq__snapshot_put_expiry(const struct asq__expiry *e, struct asq__buf *out);
bool asq__snapshot_expiry(const void *data, size_t n, struct asq__expiry *ret, size_t *ret_at);

#endif
