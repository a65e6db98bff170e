/*
 * pause.h: what operators have paused: classes, or the whole namespace. The hash asq:{N}:paused is
 * the truth. A process reads it with each new connection, with each look at the other workers, and
 * when a change is announced, and starts no call before it has read it.
 */
#ifndef ASQ_WORKER_PAUSE_H
#define ASQ_WORKER_PAUSE_H

#include <stdbool.h>
#include <stddef.h>

struct asq__process;

/* Asks for what is paused now. new_connection: what was known may be old, so no call starts before
 * the answer. */
void asq__pause_read(struct asq__process *w, bool new_connection);
/* Takes a message of the workers' channel. False: it is not about pauses. */
bool asq__pause_on_announcement(struct asq__process *w, const char *payload, size_t n);
/* Returns whether calls of the class wait. */
bool asq__pause_covers(const struct asq__process *w, const char *class_name);
/* Returns whether an answer is awaited. */
bool asq__pause_is_reading(const struct asq__process *w);
void asq__pause_release(struct asq__process *w);

#endif
