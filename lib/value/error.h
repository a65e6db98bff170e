/*
 * error.h: error objects that own their strings; the public asq_error is a part of them. If memory
 * is too short for a message, the code's own text replaces it.
 */
#ifndef ASQ_VALUE_ERROR_H
#define ASQ_VALUE_ERROR_H

#include "asqueue.h"

struct asq__error {
    asq_error pub;  /* the public part; strings point at owned copies or at constants */
    char *owned[6]; /* message, class_name, method, agent_id, worker, call_id; or NULL */
};

void asq__error_init(struct asq__error *e);
/* Resets to code 0 and empty strings. */
void asq__error_clear(struct asq__error *e);
/* Set code and message, clear the rest, and return code. */
int asq__error_set(struct asq__error *e, int code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
int asq__error_vset(struct asq__error *e, int code, const char *fmt, va_list ap)
    __attribute__((format(printf, 3, 0)));
/* Adds the place of the failure; NULL leaves a field unchanged. */
void asq__error_where(struct asq__error *e, const char *class_name, const char *method,
                      const char *agent_id, const char *worker, const char *call_id);
void asq__error_copy(struct asq__error *to, const asq_error *from);
/* Sets ASQ_EINPUT for a call that is not run, because the result of call `id` is among its
 * arguments and `why` is what that call failed with. If `why` is itself such an error, its text is
 * kept, so that a chain of calls reports the failure with which it began, once. */
int asq__error_input(struct asq__error *e, const char *id, const asq_error *why);
/* Writes the name of a code: "ASQ_EINVAL", "ASQ_EUSER(3)", or "code -5" of an unknown one. */
void asq__error_code_name(int code, char *buf, size_t n);
/* Writes a message to a caller's buffer (err may be NULL) and returns code. */
int asq__err(char *err, size_t errlen, int code, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

#endif
