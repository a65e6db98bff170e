/*
 * answer.c: see answer.h.
 */
#include "studio/answer.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "output.h"

void as_answer_release(struct as_answer *a)
{
    free(a->text);
    a->text = NULL;
    a->status = 0;
}

void as_answer_text(struct as_answer *a, unsigned status, char *text)
{
    as_answer_release(a);
    a->status = status;
    a->text = text;
}

void as_answer_value(struct as_answer *a, unsigned status, asq_value *v)
{
    char *text = NULL;
    int rc = v ? asq_to_json(v, 0, &text) : ASQ_ENOMEM;
    asq_value_free(v);
    if (rc == ASQ_ELIMIT)
        as_answer_fail(a, 502, "ASQ_ELIMIT", "the answer is nested too deep to be shown");
    else
        as_answer_text(a, status, rc < 0 ? NULL : text);
}

void as_answer_fail(struct as_answer *a, unsigned status, const char *name, const char *fmt, ...)
{
    char message[1024];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(message, sizeof message, fmt, ap);
    va_end(ap);
    asq_value *v = asq_pack("{s:{s:s, s:i, s:s, s:s, s:s, s:s, s:s, s:s}}", "error", "code", name,
                            "number", asq_error_number(name), "message", message, "class", "",
                            "method", "", "agent", "", "worker", "", "call_id", "");
    /* A message that quotes a request may have been cut inside of a letter. */
    if (!v)
        v = asq_pack("{s:{s:s, s:i, s:s}}", "error", "code", name, "number", asq_error_number(name),
                     "message", "the request cannot be understood");
    as_answer_value(a, status, v);
}

asq_value *as_answer_describe(const asq_error *e)
{
    char name[32];
    return asq_pack("{s:s, s:i, s:s, s:s, s:s, s:s, s:s, s:s}", "code",
                    as_code_name(e->code, name, sizeof name), "number", e->code, "message",
                    e->message, "class", e->class_name, "method", e->method, "agent", e->agent_id,
                    "worker", e->worker, "call_id", e->call_id);
}

static unsigned status_of(int code)
{
    switch (code) {
    case ASQ_EINVAL:
    case ASQ_EPARSE: return 400;
    case ASQ_ENOENT:
    case ASQ_ENOAGENT:
    case ASQ_ENOCLASS:
    case ASQ_ENOMETHOD:
    case ASQ_EEXPIRED: return 404;
    case ASQ_EEXIST: return 409;
    case ASQ_ENOTSUP: return 501;
    case ASQ_ENOMEM:
    case ASQ_ESYS:
    case ASQ_ECONN:
    case ASQ_EAUTH:
    case ASQ_EBUSY:
    case ASQ_ETIMEOUT:
    case ASQ_ECLOSED: return 503;
    default: return 502;
    }
}

void as_answer_error(struct as_answer *a, const asq_error *e)
{
    asq_value *described = as_answer_describe(e);
    as_answer_value(a, status_of(e->code),
                    described ? asq_pack("{s:o}", "error", described) : NULL);
}

void as_answer_code(struct as_answer *a, int code, const char *message)
{
    const asq_error e = { code, message, "", "", "", "", "" };
    as_answer_error(a, &e);
}
