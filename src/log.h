/*
 * log.h: a worker's log, on stderr or in a file, as text for people ("TIME LEVEL MESSAGE") or as one JSON
 * object a line for machines.
 *
 * Writing never waits: lines that the reader does not take at once are kept, up to a limit, until it does.
 * Beyond the limit they are lost, and how many were is the next line. There is one log in a program; it
 * goes on in forked processes.
 */
#ifndef ASQ_SRC_LOG_H
#define ASQ_SRC_LOG_H

#include "asqueue.h"

struct as_log {
    bool json;
    const char *path; /* of the file; NULL: stderr */
};

/* Begins the log. False: the file cannot be opened, errno says why. */
bool as_log_open(const struct as_log *log);
/* Waits a short time for what is still kept. Lines may follow. */
void as_log_flush(void);

/* An asq_log_fn; user is a struct as_log. From any thread. */
void as_log_write(void *user, asq_log_level level, const char *message);

/* The file is opened again by each process, at its next line. user as above. */
void as_log_reopen(void *user);

#endif
