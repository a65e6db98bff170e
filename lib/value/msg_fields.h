/*
 * msg_fields.h: tags (number and wire type) of the fields of proto/asqueue.proto that msg.c and
 * msg_read.c write and read without protobuf-c.
 */
#ifndef ASQ_VALUE_MSG_FIELDS_H
#define ASQ_VALUE_MSG_FIELDS_H

#include "proto/asqueue.pb-c.h"
#include "value/arena.h"

enum {
    TAG_BATCH_ID = 1 << 3 | 2,
    TAG_BATCH_REPLY = 2 << 3 | 2,
    TAG_BATCH_RESENT = 3 << 3,
    TAG_BATCH_JOBS = 4 << 3 | 2,
    TAG_BATCH_TIMEOUT = 5 << 3,
    TAG_BATCH_NUMBER = 6 << 3,
    TAG_BATCH_STAMP = 7 << 3,
    TAG_BATCH_AGE = 8 << 3,

    TAG_JOB_KIND = 1 << 3,
    TAG_JOB_AGENT = 2 << 3 | 2,
    TAG_JOB_CLASS = 3 << 3 | 2,
    TAG_JOB_METHOD = 4 << 3 | 2,
    TAG_JOB_ARGS = 5 << 3 | 2,
    TAG_JOB_TIMEOUT = 6 << 3,
    TAG_JOB_NO_RESULT = 7 << 3,
    TAG_JOB_CHAIN = 8 << 3 | 2,
    TAG_JOB_TARGET = 9 << 3 | 2,
    TAG_JOB_INPUTS = 10 << 3,
    TAG_JOB_DELAY = 12 << 3,
    TAG_JOB_RETRY = 13 << 3 | 2,
    TAG_JOB_PROBE = 14 << 3 | 2,
    TAG_JOB_TRACE = 15 << 3 | 2,

    TAG_RESULTS_BATCH = 1 << 3 | 2,
    TAG_RESULTS_RESULT = 2 << 3 | 2,
    TAG_RESULTS_OTHER = 3 << 3 | 2,
    TAG_RESULTS_UPTO = 4 << 3,
    TAG_RESULTS_SIZE = 5 << 3,
    TAG_RESULTS_EMITTED = 6 << 3 | 2,

    TAG_RESULT_INDEX = 1 << 3,
    TAG_RESULT_VALUE = 2 << 3 | 2,
    TAG_RESULT_FAILURE = 3 << 3 | 2,

    TAG_RECORD_CLASS = 1 << 3 | 2,
    TAG_RECORD_VERSION = 2 << 3,
    TAG_RECORD_ARGS = 3 << 3 | 2,
    TAG_RECORD_STATE = 4 << 3 | 2,
    TAG_RECORD_EXPIRY = 5 << 3 | 2
};

/* msg_read.c: decode as protobuf-c's unpack does, into the arena, without further checks. NULL: no
 * valid message, or no memory. */
Asqueue__Batch *asq__batch_read(const void *data, size_t n, struct asq__arena *arena);
Asqueue__Results *asq__results_read(const void *data, size_t n, struct asq__arena *arena);

#endif
