/*
 * process_log.h: lines of a worker process's log.
 */
#ifndef ASQ_WORKER_PROCESS_LOG_H
#define ASQ_WORKER_PROCESS_LOG_H

#include "asqueue.h"
#include "value/clock.h"
#include "value/lines.h"
#include "worker/process.h"

/* Logs a line, from any thread. */
void asq__process_log(struct asq__process *w, asq_log_level level, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* Logs, on the loop, lines that input or Redis can cause again and again; see lines.h. */
#define asq__process_log_some(w, level, ...)                                                       \
    do {                                                                                           \
        if ((level) <= (w)->config.log_level)                                                      \
            asq__lines_log(&(w)->lines, asq__now_ms_coarse(), (level), __VA_ARGS__);               \
    } while (0)

#endif
