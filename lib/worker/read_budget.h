/*
 * read_budget.h: bound in bytes on the reads of a process.
 */
#ifndef ASQ_WORKER_READ_BUDGET_H
#define ASQ_WORKER_READ_BUDGET_H

#include <stddef.h>

#include "redis/reply.h"

struct asq__process;

size_t asq__read_begin(struct asq__process *w); /* bytes reserved until asq__read_end */
void asq__read_end(struct asq__process *w, size_t bytes);
/* Returns how many entries to read of each of `streams` streams; 0: entries may be too large for
 * that. */
size_t asq__read_entries(const struct asq__process *w, size_t streams);
/* Returns how many entries, up to `most`, a read that counts bytes may bring. Decoded entries may
 * take more than their bytes. */
size_t asq__read_entries_at_most(const struct asq__process *w, size_t most);
void asq__read_note(struct asq__process *w, size_t largest); /* largest entry of a reply */
size_t asq__reply_entry_bytes(const redisReply *entry);

#endif
