/*
 * notes.h: ids of stream entries that are left where they are, a few bytes each.
 */
#ifndef ASQ_WORKER_CORE_NOTES_H
#define ASQ_WORKER_CORE_NOTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct asq__note {
    uint64_t ms, n;    /* id of the entry */
    size_t bytes;      /* memory that the entry takes; read back as the next power of two */
    bool fresh;        /* came in the order of its sender, and no call of it was ever run */
    bool out_of_order; /* came behind later entries of its sender */
    bool needs_inputs; /* a call of it awaits results of others */
};

struct asq__notes_chunk;

/* A queue of notes with growing ids. All zero: empty. */
struct asq__notes {
    struct asq__notes_chunk *first, *last;
    size_t at;                    /* where the front is, in `first` */
    uint64_t before_ms, before_n; /* id before the front, by which it is coded */
    uint64_t last_ms, last_n;     /* id of the last note */
    size_t count, bytes;          /* notes; memory */
};

/* A place in the queue, for reading on. Valid until a note is popped. If the queue was not empty,
 * the place reaches notes that are added later, too. */
struct asq__notes_place {
    const struct asq__notes_chunk *chunk;
    size_t at;
    uint64_t ms, n;
};

/* Makes room for one more note. False: no memory. */
bool asq__notes_reserve(struct asq__notes *q);
/* Appends a note. Its id must be above the last one, and room be reserved. */
void asq__notes_add(struct asq__notes *q, const struct asq__note *note);
struct asq__notes_place asq__notes_begin(const struct asq__notes *q);
/* Reads the note at a place, and moves the place to the next. False: no more notes. */
bool asq__notes_next(const struct asq__notes *q, struct asq__notes_place *place,
                     struct asq__note *ret);
void asq__notes_pop(struct asq__notes *q); /* takes the front away */
void asq__notes_free(struct asq__notes *q);

#endif
