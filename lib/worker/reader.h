/*
 * reader.h: reads the streams of owned partitions.
 */
#ifndef ASQ_WORKER_READER_H
#define ASQ_WORKER_READER_H

#include <stdbool.h>
#include <stddef.h>

struct asq__partition;
struct asq__process;

int asq__readers_init(struct asq__process *w);
/* Makes room for partitions that have come. */
void asq__readers_grow(struct asq__process *w);
void asq__readers_release(struct asq__process *w);
void asq__readers_run_due(struct asq__process *w); /* at the end of the iteration */
void asq__reader_add(struct asq__partition *p);
void asq__reader_remove(struct asq__partition *p);
size_t asq__readers_up(const struct asq__process *w); /* connections */
/* Returns whether each connection that has streams to read is up. */
bool asq__readers_serve(const struct asq__process *w);
/* Reconnect all readers, or that of a partition, to the servers that take commands now. */
void asq__readers_reconnect(struct asq__process *w);
void asq__reader_reconnect(struct asq__partition *p);

#endif
