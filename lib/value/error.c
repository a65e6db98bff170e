/*
 * error.c: codes, their names and texts; error objects. Relies only on the list in asqueue.h.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "value/error.h"
#include "value/value.h"

/* Bytes; a longer message is cut. */
enum { LONGEST_MESSAGE = 64 * 1024 };

const char *asq_version(void)
{
    return ASQ_VERSION;
}

const char *asq_strerror(int code)
{
    switch (code) {
    case ASQ_OK: return "success";
#define TEXT(name, number, text)                                                                   \
    case name: return text;
        ASQ_ERRORS(TEXT)
#undef TEXT
    default: return code <= ASQ_EUSER(0) ? "error of the application" : "unknown error";
    }
}

const char *asq_error_name(int code)
{
    switch (code) {
    case ASQ_OK: return "ASQ_OK";
#define NAME(name, number, text)                                                                   \
    case name: return #name;
        ASQ_ERRORS(NAME)
#undef NAME
    default: return NULL;
    }
}

int asq_error_number(const char *name)
{
    static const struct {
        const char *name;
        int number;
    } list[] = {
#define ENTRY(name, number, text) { #name, number },
        ASQ_ERRORS(ENTRY)
#undef ENTRY
    };
    for (size_t i = 0; name && i < sizeof list / sizeof *list; i++)
        if (strcmp(name, list[i].name) == 0)
            return list[i].number;
    return 0;
}

/* Removes a character from the end of s (n bytes) if cutting has split it. */
static void trim_cut(char *s, size_t n)
{
    size_t back = 0;
    while (back < 3 && back < n && ((unsigned char) s[n - 1 - back] & 0xc0) == 0x80)
        back++;
    if (back < n && (unsigned char) s[n - 1 - back] >= 0xc0 &&
        !asq__utf8_valid(s + n - 1 - back, back + 1))
        s[n - 1 - back] = '\0';
}

/* Replaces every byte that is not part of valid UTF-8 by '?': messages from methods and from Redis
 * are sent as text. */
static void make_utf8(char *s)
{
    size_t n = strlen(s);
    if (asq__utf8_valid(s, n))
        return;
    for (size_t i = 0; i < n;) {
        size_t left = n - i, length = 1;
        while (length <= 4 && length <= left && !asq__utf8_valid(s + i, length))
            length++;
        if (length <= 4 && length <= left) {
            i += length;
        } else {
            s[i++] = '?';
        }
    }
}

int asq__err(char *err, size_t errlen, int code, const char *fmt, ...)
{
    if (err && errlen) {
        va_list ap;
        va_start(ap, fmt);
        int n = vsnprintf(err, errlen, fmt, ap);
        va_end(ap);
        if (n < 0)
            *err = '\0';
        else if ((size_t) n >= errlen)
            trim_cut(err, errlen - 1);
    }
    return code;
}

enum { MESSAGE, CLASS_NAME, METHOD, AGENT_ID, WORKER, CALL_ID, FIELDS };

static const char **field(struct asq__error *e, int which)
{
    switch (which) {
    case MESSAGE: return &e->pub.message;
    case CLASS_NAME: return &e->pub.class_name;
    case METHOD: return &e->pub.method;
    case AGENT_ID: return &e->pub.agent_id;
    case WORKER: return &e->pub.worker;
    default: return &e->pub.call_id;
    }
}

/* Sets a field's owned text (may be NULL) and its public pointer, `shown`. */
static void assign(struct asq__error *e, int which, char *owned, const char *shown)
{
    char *old = e->owned[which];
    e->owned[which] = owned;
    *field(e, which) = shown;
    free(old);
}

/* Copies s into a field; s may be the field's current text. If memory is short, sets the constant
 * `otherwise`. */
static void assign_copy(struct asq__error *e, int which, const char *s, const char *otherwise)
{
    size_t n = s ? strnlen(s, LONGEST_MESSAGE) : 0;
    char *copy = n ? malloc(n + 1) : NULL;
    if (copy) {
        memcpy(copy, s, n);
        copy[n] = '\0';
        if (s[n])
            trim_cut(copy, n);
        make_utf8(copy);
    }
    assign(e, which, copy, copy ? copy : n ? otherwise : "");
}

void asq__error_init(struct asq__error *e)
{
    static const struct asq__error none = { .pub = { .message = "",
                                                     .class_name = "",
                                                     .method = "",
                                                     .agent_id = "",
                                                     .worker = "",
                                                     .call_id = "" } };
    *e = none;
}

void asq__error_clear(struct asq__error *e)
{
    for (int i = 0; i < FIELDS; i++)
        if (e->owned[i]) /* tested because it is nearly always NULL, and every call comes here */
            free(e->owned[i]);
    asq__error_init(e);
}

int asq__error_vset(struct asq__error *e, int code, const char *fmt, va_list ap)
{
    char *message = NULL;
    va_list again;
    va_copy(again, ap);
    int n = vsnprintf(NULL, 0, fmt, ap);
    if (n >= 0) {
        size_t size = n < LONGEST_MESSAGE ? (size_t) n + 1 : LONGEST_MESSAGE + 1;
        message = malloc(size);
        if (message) {
            vsnprintf(message, size, fmt, again);
            if ((size_t) n >= size)
                trim_cut(message, size - 1);
            make_utf8(message);
        }
    }
    va_end(again);
    /* Clear only now, because the arguments may be this error's own strings. */
    asq__error_clear(e);
    e->pub.code = code;
    assign(e, MESSAGE, message, message ? message : asq_strerror(code));
    return code;
}

int asq__error_set(struct asq__error *e, int code, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    asq__error_vset(e, code, fmt, ap);
    va_end(ap);
    return code;
}

void asq__error_where(struct asq__error *e, const char *class_name, const char *method,
                      const char *agent_id, const char *worker, const char *call_id)
{
    const char *given[FIELDS] = { NULL, class_name, method, agent_id, worker, call_id };
    for (int i = CLASS_NAME; i < FIELDS; i++)
        if (given[i])
            assign_copy(e, i, given[i], "");
}

void asq__error_copy(struct asq__error *to, const asq_error *from)
{
    if (from == &to->pub)
        return;
    to->pub.code = from->code;
    assign_copy(to, MESSAGE, from->message, asq_strerror(from->code));
    assign_copy(to, CLASS_NAME, from->class_name, "");
    assign_copy(to, METHOD, from->method, "");
    assign_copy(to, AGENT_ID, from->agent_id, "");
    assign_copy(to, WORKER, from->worker, "");
    assign_copy(to, CALL_ID, from->call_id, "");
}

void asq__error_code_name(int code, char *buf, size_t n)
{
    const char *name = asq_error_name(code);
    if (!name && code <= ASQ_EUSER(0))
        snprintf(buf, n, "ASQ_EUSER(%d)", ASQ_EUSER(0) - code);
    else if (!name)
        snprintf(buf, n, "code %d", code);
    else
        snprintf(buf, n, "%s", name);
}

int asq__error_input(struct asq__error *e, const char *id, const asq_error *why)
{
    static const char begin[] = "it was not run: it needs the result of call ";
    char code[32];
    if (why->code == ASQ_EINPUT && strncmp(why->message, begin, sizeof begin - 1) == 0)
        return asq__error_set(e, ASQ_EINPUT, "%s", why->message);
    asq__error_code_name(why->code, code, sizeof code);
    if (!*why->agent_id)
        return asq__error_set(e, ASQ_EINPUT, "%s%s, which failed with %s: %s", begin, id, code,
                              why->message);
    return asq__error_set(e, ASQ_EINPUT, "%s%s (%s%s%s of agent '%s'), which failed with %s: %s",
                          begin, id, why->class_name, *why->class_name ? "." : "", why->method,
                          why->agent_id, code, why->message);
}
