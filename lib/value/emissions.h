/*
 * emissions.h: the message Emissions of proto/asqueue.proto: values that a call has emitted. It is
 * written value by value, and read in place. No I/O.
 */
#ifndef ASQ_VALUE_EMISSIONS_H
#define ASQ_VALUE_EMISSIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct asq__buf;

/* A value of one call may have this many bytes when it is encoded. */
enum { ASQ__EMIT_MAX = 64 * 1024 };
/* About as many bytes of a call's values are kept; the oldest go first. */
enum { ASQ__EMITTED_KEPT = 1024 * 1024 };

/* Appends an encoded value; see out->error. */
void asq__emission_put(const void *value, size_t n, struct asq__buf *out);
/* Returns how many bytes it takes there. */
size_t asq__emission_size(size_t n);
/* Reads the value at *at of n bytes, and moves *at behind it. 0; ASQ_ENOENT: there is none, at the
 * end; ASQ_EPROTO. */
int asq__emission_read(const uint8_t *data, size_t n, size_t *at, const uint8_t **ret,
                       size_t *ret_n);
/* Counts the values. False: the bytes are no Emissions. */
bool asq__emissions_count(const uint8_t *data, size_t n, uint64_t *ret);

#endif
