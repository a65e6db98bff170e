/*
 * report.h: answers who asks which calls run, are parked, or wait for a reason that only the worker
 * knows, and how many.
 */
#ifndef ASQ_WORKER_REPORT_H
#define ASQ_WORKER_REPORT_H

#include <stdbool.h>
#include <stddef.h>

struct asq__process;

/* Takes a message of the workers' channel. False: it is not a question, "?NONCE". */
bool asq__report_on_question(struct asq__process *w, const char *payload, size_t n);
/* Answers, if there is a question. late: it has waited for a second, as answers may take only a
 * share of the loop's time. */
void asq__report_answer(struct asq__process *w, bool late);

#endif
