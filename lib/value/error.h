/*
 * error.h: a failure with all that is known of it, as an object that owns its strings. The public
 * asq_error is its face. When memory is too short for a message, the code's own text stands in.
 */
#ifndef ASQ_VALUE_ERROR_H
#define ASQ_VALUE_ERROR_H

#include "asqueue.h"

struct asq__error {
    asq_error pub;  /* what users see; strings point at owned copies or at constants */
    char *owned[6]; /* message, class_name, method, agent_id, worker, call_id; or NULL */
};

void asq__error_init(struct asq__error *e);
/* Back to code 0 and empty strings. */
void asq__error_clear(struct asq__error *e);
/* Sets code and message, clears the rest; returns code, so that it can be returned. */
int asq__error_set(struct asq__error *e, int code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
int asq__error_vset(struct asq__error *e, int code, const char *fmt, va_list ap)
    __attribute__((format(printf, 3, 0)));
/* Adds where it happened; NULL leaves a field as it is. */
void asq__error_where(struct asq__error *e, const char *class_name, const char *method,
                      const char *agent_id, const char *worker, const char *call_id);
void asq__error_copy(struct asq__error *to, const asq_error *from);
/* Writes a message to a caller's buffer (err may be NULL) and returns code. */
int asq__err(char *err, size_t errlen, int code, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

#endif
