/*
 * log_sink.h: where log lines go, without ever waiting for it. See log.h.
 */
#ifndef ASQ_SRC_LOG_SINK_H
#define ASQ_SRC_LOG_SINK_H

#include <stdbool.h>
#include <stddef.h>

/* path NULL: stderr. Errors: false, with errno. Once in a program. */
bool as_sink_open(const char *path);
void as_sink_reopen(void);
/* A whole line. about_lost makes the line that says how many were lost, of at most size bytes. */
void as_sink_write(const char *line, size_t n,
                   size_t (*about_lost)(void *user, size_t lost, char *line, size_t size),
                   void *user);
void as_sink_flush(int ms);

#endif
