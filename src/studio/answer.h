/*
 * answer.h: the answer to a request, a text of JSON with a status of HTTP; failures are
 * {"error": {code, number, message, class, method, agent, worker, call_id}}.
 */
#ifndef ASQ_SRC_STUDIO_ANSWER_H
#define ASQ_SRC_STUDIO_ANSWER_H

#include <stddef.h>

#include "asqueue.h"

struct as_answer {
    unsigned status; /* 0: not answered yet */
    char *text;      /* NULL: there was no memory for it */
};

/* Take a value, or a text made by malloc; NULL: there was no memory. */
void as_answer_value(struct as_answer *a, unsigned status, asq_value *v);
void as_answer_text(struct as_answer *a, unsigned status, char *text);
/* Answer with a failure of the server's own, by its name. */
void as_answer_fail(struct as_answer *a, unsigned status, const char *name, const char *fmt, ...)
    ASQ_PRINTF(4, 5);
/* Answer with the handle's last failure, or one of the library's codes and a text. */
void as_answer_error(struct as_answer *a, const asq_error *e);
void as_answer_code(struct as_answer *a, int code, const char *message);
/* Makes {code, number, …} of a failure; NULL: no memory. */
asq_value *as_answer_describe(const asq_error *e);
void as_answer_release(struct as_answer *a);

#endif
