/*
 * hash.h: the hashes of the protocol (PROTOCOL.md): FNV-1a determines an agent's partition,
 * SipHash-2-4 derives the ids of nested calls and places partitions on workers. Tables in memory
 * use another hash.
 */
#ifndef ASQ_VALUE_HASH_H
#define ASQ_VALUE_HASH_H

#include <stddef.h>
#include <stdint.h>

uint64_t asq__fnv1a64(const void *data, size_t n);

/* Compute SipHash-2-4 with an all-zero key. */
uint64_t asq__siphash64(const void *data, size_t n);
void asq__siphash128(const void *data, size_t n, uint8_t out[16]);

/* A key for SipHash-2-4: two little-endian words. */
struct asq__siphash_key {
    uint64_t k0, k1;
};
uint64_t asq__siphash64_keyed(const struct asq__siphash_key *key, const void *data, size_t n);
void asq__siphash128_keyed(const struct asq__siphash_key *key, const void *data, size_t n,
                           uint8_t out[16]);
/* For tables in memory: SipHash-1-3 under a key that differs from process to process, so that
 * outsiders cannot choose colliding keys. */
void asq__memory_key(struct asq__siphash_key *ret);
uint64_t asq__hash_memory(const struct asq__siphash_key *key, const void *data, size_t n);

/* Returns an agent id's partition: (h ^ h >> 32) mod partitions, with h the FNV-1a of the part
 * within the first {…} if that is not empty, else of the whole id. */
uint32_t asq__partition_of(const char *id, size_t n, uint32_t partitions);

#endif
