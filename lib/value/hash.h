/*
 * hash.h: the hashes whose results are part of the protocol (PROTOCOL.md): FNV-1a decides an agent's
 * partition, SipHash-2-4 derives the ids of nested calls and places partitions on workers. Also used
 * for tables in memory.
 */
#ifndef ASQ_VALUE_HASH_H
#define ASQ_VALUE_HASH_H

#include <stddef.h>
#include <stdint.h>

uint64_t asq__fnv1a64(const void *data, size_t n);

/* SipHash-2-4 with an all-zero key. */
uint64_t asq__siphash64(const void *data, size_t n);
void asq__siphash128(const void *data, size_t n, uint8_t out[16]);

/* The partition of an agent id: of the part within the first {…}, when that is not empty, else of all
 * of it: (h ^ h >> 32) mod partitions, h its FNV-1a. */
uint32_t asq__partition_of(const char *id, size_t n, uint32_t partitions);

#endif
