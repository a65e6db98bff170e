/*
 * process_log.h: lines of a worker process's log.
 */
#ifndef ASQ_WORKER_PROCESS_LOG_H
#define ASQ_WORKER_PROCESS_LOG_H

#include <stdbool.h>

#include "asqueue.h"
#include "value/clock.h"
#include "value/lines.h"
#include "worker/process.h"

/* Fields of a line that is about no call, agent or partition. */
#define ASQ__LOG_ABOUT_NOTHING ((asq_log_fields){ "", "", "", "", "", -1, 0, 0, NULL, "" })
/* Fields of a line about a partition, of which this process may hold the lease. */
#define ASQ__LOG_ABOUT_PARTITION(p)                                                                \
    (&(const asq_log_fields){ "", "", "", "", "", (p)->number, (p)->epoch, 0, NULL, "" })

/* Returns whether lines of a level are logged at all. */
bool asq__config_logs(const struct asq__process_config *config, asq_log_level level);
/* Logs a line in the name of the configuration's id. about NULL: about nothing. Any thread. */
void asq__config_log(const struct asq__process_config *config, asq_log_level level,
                     const asq_log_fields *about, const char *text);

/* Logs a line, from any thread. */
void asq__process_log(struct asq__process *w, asq_log_level level, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* The same, with what it is about. */
void asq__process_log_about(struct asq__process *w, asq_log_level level,
                            const asq_log_fields *about, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
/* Logs a line of w->lines; process: a struct asq__process. */
void asq__process_log_line(void *process, asq_log_level level, const char *text);

/* Logs, on the loop, lines that input or Redis can cause again and again; see lines.h. */
#define asq__process_log_some(w, level, ...)                                                       \
    do {                                                                                           \
        if ((level) <= (w)->config.log_level)                                                      \
            asq__lines_log(&(w)->lines, asq__now_ms_coarse(), (level), __VA_ARGS__);               \
    } while (0)

/* The same, with what the line is about. The number of left-out lines is about nothing. */
#define asq__process_log_some_about(w, about, level, ...)                                          \
    do {                                                                                           \
        (w)->line_about = (about);                                                                 \
        asq__process_log_some(w, level, __VA_ARGS__);                                              \
        (w)->line_about = NULL;                                                                    \
    } while (0)

#endif
