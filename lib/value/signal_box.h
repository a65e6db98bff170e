/*
 * signal_box.h: the signals of one agent that no call has heard yet, in order, and their form in
 * Redis: a string of Signals messages (proto/asqueue.proto), which grows by appended bytes.
 *
 *     signal 1 │ signal 2 │ heard 1 │ signal 3 │ …        kept: 2, 3
 *
 * When most of the string is about signals that were heard, it is written anew; without signals it
 * is removed. No I/O.
 */
#ifndef ASQ_VALUE_SIGNAL_BOX_H
#define ASQ_VALUE_SIGNAL_BOX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "value/buf.h"
#include "value/list.h"

/* Bounds of one value, and of all signals of an agent; asqueue.h has them, too. */
enum { ASQ__SIGNAL_MAX = 64 * 1024, ASQ__SIGNALS_MAX = 10000, ASQ__SIGNALS_BYTES = 1024 * 1024 };

struct asq__signal {
    struct asq__list node; /* in box->signals */
    uint64_t number;       /* grows from signal to signal while there are any */
    int64_t at_ms;         /* when it came; Unix time */
    size_t bytes;          /* encoded */
    size_t value_n;
    uint8_t *value; /* encoded; behind the name */
    char name[];    /* NUL-terminated */
};

struct asq__signal_box {
    struct asq__list signals;
    size_t n, bytes;
    uint64_t last;  /* number of the newest one, ever */
    size_t written; /* bytes of the string in Redis */
};

/* Fate of the string. */
enum asq__signals_change {
    ASQ__SIGNALS_APPEND = 'a',
    ASQ__SIGNALS_REPLACE = 'r',
    ASQ__SIGNALS_UNLINK = 'u'
};

void asq__signal_box_init(struct asq__signal_box *box);
void asq__signal_box_release(struct asq__signal_box *box);
/* Reads the string of an agent into an empty box. ASQ_EPROTO: the box stays empty, and the next
 * change replaces the string. ASQ_ENOMEM. */
int asq__signal_box_read(struct asq__signal_box *box, const void *data, size_t n);
/* Returns whether another signal of this size may be added. */
bool asq__signal_box_has_room(const struct asq__signal_box *box, const char *name, size_t value_n);
/* Adds a signal, the newest. NULL: no memory. */
struct asq__signal *asq__signal_box_add(struct asq__signal_box *box, const char *name,
                                        const void *value, size_t value_n, int64_t at_ms);
/* Returns the oldest signal of the name; NULL: none. */
struct asq__signal *asq__signal_box_find(const struct asq__signal_box *box, const char *name);
/* Removes a signal, which was heard, and frees it. */
void asq__signal_box_remove(struct asq__signal_box *box, struct asq__signal *s);
/* Write what becomes of the string when the signal was added, or one of this number was heard and
 * removed; see out->error. */
enum asq__signals_change asq__signal_box_added(struct asq__signal_box *box,
                                               const struct asq__signal *s, struct asq__buf *out);
enum asq__signals_change asq__signal_box_heard(struct asq__signal_box *box, uint64_t number,
                                               struct asq__buf *out);

#endif
