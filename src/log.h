/*
 * log.h: a worker's log on stderr, as text for people ("TIME LEVEL MESSAGE") or as one JSON
 * object a line for machines.
 */
#ifndef ASQ_SRC_LOG_H
#define ASQ_SRC_LOG_H

#include "asqueue.h"

struct as_log {
    bool json;
};

/* An asq_log_fn; user is a struct as_log. Safe from several threads and processes at once: a
 * line is one write. */
void as_log_write(void *user, asq_log_level level, const char *message);

#endif
