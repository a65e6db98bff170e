/*
 * dead.h: dead letters. A letter is an entry of its partition's stream asq:{N.p}:dead, written by
 * the worker that gave the call up; its id is "PARTITION-STREAMID". Its contents may be any bytes:
 * they are shown as far as they can be read, and only a batch that a worker would take is resent.
 *
 *     dead_list.c     lists the letters of all partitions
 *     dead.c          ids and fields of letters; shows, resends and drops one
 */
#ifndef ASQ_CLIENT_DEAD_H
#define ASQ_CLIENT_DEAD_H

#include <hiredis/hiredis.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "asqueue.h"

struct asq__letter_id {
    uint32_t partition;
    unsigned long long ms, n;
};

/* Parses "PARTITION-MS-N". */
bool asq__dead_parse_id(const char *text, struct asq__letter_id *ret);
/* Parses "MS-N"; the partition stays. */
bool asq__dead_parse_stream_id(const char *text, struct asq__letter_id *ret);
/* Compares the ids of two maps, by time; as qsort wants it. */
int asq__dead_compare(const asq_value *a, const asq_value *b);
/* Makes the public map of an entry's fields. batch_bytes below 0: no batch. */
int asq__dead_describe(const struct asq__letter_id *id, const redisReply *const *fields, size_t n,
                       long long batch_bytes, asq_value **ret);

#endif
