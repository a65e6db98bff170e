/*
 * move_copy.h: measures the keys of a namespace that moves, and copies them, many at a time.
 */
#ifndef ASQ_CLIENT_MOVE_COPY_H
#define ASQ_CLIENT_MOVE_COPY_H

#include <stddef.h>
#include <stdint.h>

#include "client/move_keys.h"

struct asq__side;

/* Called between two rounds of commands, some times a second; its code ends the work. NULL: no. */
struct asq__move_tick {
    int (*fn)(void *user);
    void *user;
};

/* Reads the keys of the list, and sets what they are measured by. A key that is gone gets the type
 * NONE. */
int asq__move_measure(struct asq__side *side, enum asq__key_view view, struct asq__moved_keys *keys,
                      const struct asq__move_tick *tick);
/* Copies n keys to the same parts of names in the other side, in place of what is there under
 * these. */
int asq__move_copy(struct asq__side *from, enum asq__key_view view, struct asq__side *to,
                   struct asq__moved_key *const *keys, size_t n, const struct asq__move_tick *tick);

#endif
