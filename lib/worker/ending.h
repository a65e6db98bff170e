/*
 * ending.h: ends the loop of a worker process, at the end of the event that it handles.
 */
#ifndef ASQ_WORKER_ENDING_H
#define ASQ_WORKER_ENDING_H

struct asq__process;

/* Result of asq__process_run when the namespace was made anew with other partitions: start the
 * process again. */
enum { ASQ__START_ANEW = 1 };
/* Ends the loop. code: result of asq__process_run, unless the loop was ended before. */
void asq__process_end(struct asq__process *w, int code);
/* Ends the loop because the process cannot continue. The text says why. */
void asq__process_fail(struct asq__process *w, int code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

#endif
