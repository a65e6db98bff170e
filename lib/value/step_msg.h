/*
 * step_msg.h: the message Step of proto/asqueue.proto: what a running call has done, kept so that
 * another run of the call does not do it again. Records are read one after the other, in place. No
 * I/O.
 */
#ifndef ASQ_VALUE_STEP_MSG_H
#define ASQ_VALUE_STEP_MSG_H

#include <stddef.h>
#include <stdint.h>

#include "proto/asqueue.pb-c.h"

struct asq__buf;

/* A record. Its bytes are borrowed; name and message are not terminated. */
struct asq__step {
    uint64_t number;
    Asqueue__StepKind kind;
    const char *name;
    size_t name_n;
    const void *value; /* encoded */
    size_t value_n;
    int32_t code; /* 0: success */
    const char *message;
    size_t message_n;
};

/* Appends a record as a field of a Steps; see out->error. */
void asq__step_encode(const struct asq__step *step, struct asq__buf *out);
/* Reads the record at *at of n bytes, and moves *at behind it. 0; ASQ_ENOENT: there is none, at the
 * end; ASQ_EPROTO. */
int asq__step_read(const uint8_t *data, size_t n, size_t *at, struct asq__step *ret);

#endif
