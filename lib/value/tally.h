/*
 * tally.h: counts failures that nobody else hears of, by name (class and method) and code. The first of each
 * kind is told at once, those that follow as a count once a minute. Bounded: what does not fit into the
 * table counts as one kind. No I/O: the text goes to a function. Of one thread.
 */
#ifndef ASQ_VALUE_TALLY_H
#define ASQ_VALUE_TALLY_H

#include "asqueue.h"

enum { ASQ__TALLY_NAME = 96 };

struct asq__tally_kind;

struct asq__tally {
    struct asq__tally_kind *kinds; /* NULL: there were none */
    size_t n;
    int64_t looked_ms;
    uint64_t total;
    void (*tell)(void *user, asq_log_level level, const char *text);
    void *user;
};

void asq__tally_init(struct asq__tally *t, void (*tell)(void *, asq_log_level, const char *),
                     void *user);
void asq__tally_release(struct asq__tally *t);
/* `name` is cut to ASQ__TALLY_NAME. */
void asq__tally_note(struct asq__tally *t, const char *name, const asq_error *error,
                     int64_t now_ms);
/* Tells what has been counted for a minute; all: for any time. To be called now and then. */
void asq__tally_look(struct asq__tally *t, int64_t now_ms, bool all);

#endif
