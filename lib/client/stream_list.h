/*
 * stream_list.h: lists the newest entries of a stream of a partition, newest first, a page at a
 * time, in bounded memory, whatever has been written into it. Its users are the lists of dead
 * letters and of failures.
 */
#ifndef ASQ_CLIENT_STREAM_LIST_H
#define ASQ_CLIENT_STREAM_LIST_H

#include <hiredis/hiredis.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "asqueue.h"
#include "client/dead.h"
#include "redis/keys.h"

struct asq__stream_list {
    uint32_t partition;
    const char *key;
    const char *what; /* its entries are, for errors: "dead letters" */
    size_t limit;     /* SIZE_MAX: all */
    bool plain;       /* EVAL_RO is not available: set by the first list, for the next ones */
};

/* Takes an entry: its id, its fields and values in turn, and the bytes of its field `batch`, which
 * may be left out; below 0: there is none. Returns 0, 1 to end the list, or ASQ_ENOMEM. */
typedef int (*asq__entry_fn)(const struct asq__letter_id *id, const redisReply *const *fields,
                             size_t n, long long batch_bytes, void *user);

/* Streams that have entries, of all partitions. */
struct asq__streams {
    uint32_t partitions; /* how many there were */
    size_t n;
    struct asq__stream_newest {
        uint32_t partition;
        uint64_t ms; /* time of its newest entry; UINT64_MAX: unknown */
    } * found;       /* newest first; freed by the caller */
};

/* Finds the streams that have entries. small: no entry is large, so the newest one of each is
 * looked at; else the time is unknown. deadline_ms as of asq__admin_each. */
int asq__streams_find(asq *h, size_t (*key)(const struct asq__keys *, uint32_t, char *), bool small,
                      struct asq__streams *ret);
/* Lists at most `limit` entries. Between asq__admin_begin and asq__admin_end. */
int asq__stream_list(asq *h, struct asq__stream_list *list, asq__entry_fn take, void *user);

#endif
