/*
 * log_sink.h: writes log lines without waiting for the reader. See log.h.
 */
#ifndef ASQ_SRC_LOG_SINK_H
#define ASQ_SRC_LOG_SINK_H

#include <stdbool.h>
#include <stddef.h>

/* Opens the log, once in a program. path NULL: stderr. False on failure, with errno. */
bool as_sink_open(const char *path);
void as_sink_reopen(void);
/* Writes a whole line. about_lost makes the line about lost ones, of at most size bytes. */
void as_sink_write(const char *line, size_t n,
                   size_t (*about_lost)(void *user, size_t lost, char *line, size_t size),
                   void *user);
void as_sink_flush(int ms);

#endif
