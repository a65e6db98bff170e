/*
 * log.h: a worker's log, on stderr or in a file, as text for people ("TIME LEVEL WORKER[PID]
 * MESSAGE") or as one JSON object a line for machines, with the fields of the line by themselves.
 *
 * Writing never waits: lines that the reader does not take at once are kept, up to a limit, until
 * it does. Beyond the limit lines are lost, and the next line says how many. A program has one log,
 * also in forked processes.
 */
#ifndef ASQ_SRC_LOG_H
#define ASQ_SRC_LOG_H

#include <stdbool.h>

#include "asqueue.h"

struct as_log {
    bool json;
    const char *path; /* of the file; NULL: stderr */
};

/* Begins the log. False: the file cannot be opened, with errno. */
bool as_log_open(const struct as_log *log);
/* Waits a short time for kept lines to be written. Lines may follow. */
void as_log_flush(void);

/* Writes a message; an asq_log_fn; user is a struct as_log. Any thread. */
void as_log_write(void *user, asq_log_level level, const char *message);

/* Writes a line with its fields; an asq_log_fields_fn; as above. */
void as_log_write_fields(void *user, asq_log_level level, const char *message,
                         const asq_log_fields *fields);

/* Makes each process reopen the file at its next line. user as above. */
void as_log_reopen(void *user);

#endif
