/*
 * event.h: the text of one server-sent event. The listeners that send it and the feed have
 * references, which are counted under the feed's lock.
 */
#ifndef ASQ_SRC_STUDIO_EVENT_H
#define ASQ_SRC_STUDIO_EVENT_H

#include <stddef.h>
#include <stdint.h>

#include "asqueue.h"

struct as_frame {
    unsigned refs;
    uint64_t version; /* of a takeover: its number */
    size_t n, head;   /* bytes; of these before the JSON */
    char text[];
};

/* Makes the text of an event; id 0: it has none. v is borrowed. NULL: no memory, or no v. */
struct as_frame *as_frame_new(const char *event, uint64_t id, const asq_value *v);
void as_frame_unref(struct as_frame *f);
/* Returns a copy of its JSON; NULL: no memory. */
char *as_frame_json(const struct as_frame *f);

#endif
