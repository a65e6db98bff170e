/*
 * slots.h: the hash slots of a Redis Cluster. A key's slot is CRC16 of its hash tag, the text
 * between the first '{' and the next '}', modulo 16,384. The keys of a partition share a tag, and
 * so a slot; those of the namespace have another one.
 */
#ifndef ASQ_REDIS_SLOTS_H
#define ASQ_REDIS_SLOTS_H

#include <stddef.h>
#include <stdint.h>

struct asq__keys;

enum { ASQ__SLOTS = 16384 };

uint16_t asq__slot_of_key(const char *key, size_t n);
/* Returns the slot of the namespace's keys. */
uint16_t asq__slot_of_namespace(const struct asq__keys *keys);
/* Writes the slot of each of n partitions. */
void asq__slots_of_partitions(const struct asq__keys *keys, uint32_t n, uint16_t *ret);

#endif
