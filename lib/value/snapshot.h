/*
 * snapshot.h: saved states of agents: encoded AgentRecords, shared by reference count. A snapshot
 * with other holders is never changed. Counting is safe from any thread.
 */
#ifndef ASQ_VALUE_SNAPSHOT_H
#define ASQ_VALUE_SNAPSHOT_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

struct asq__snapshot {
    atomic_uint refs;
    uint32_t spare; /* unused bytes behind the n */
    size_t n;
    uint8_t data[];
};
/* Returns NULL when there is no memory. */
struct asq__snapshot *asq__snapshot_new(const void *data, size_t n);
struct asq__snapshot *asq__snapshot_ref(struct asq__snapshot *r);
void asq__snapshot_unref(struct asq__snapshot *r); /* takes NULL */

#endif
