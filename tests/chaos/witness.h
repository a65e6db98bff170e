/*
 * witness.h: reports the beginning and the end of every method to a separate Redis, which no fault
 * reaches. Its socket is in CHAOS_WITNESS; without it nothing is reported. Each note is written
 * before the method goes on, so the notes stand in the order of the events.
 */
#ifndef ASQ_CHAOS_WITNESS_H
#define ASQ_CHAOS_WITNESS_H

#include <stddef.h>
#include <stdint.h>

/* Makes a name for one run of one call, unique among all processes. */
void witness_run_id(char *id, size_t size);
/* Adds a note. what: E begins, X ends, F ends and has failed. */
void witness_note(const char *what, const char *agent, const char *call, const char *run,
                  uint64_t epoch, const char *worker);

#endif
