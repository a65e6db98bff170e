/*
 * emitted.h: values that a call has emitted, in their order, as they wait for their reader.
 */
#ifndef ASQ_CLIENT_EMITTED_H
#define ASQ_CLIENT_EMITTED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "asqueue.h"
#include "value/buf.h"

struct asq__emitted {
    bool again;      /* told first: what the reader had before is of an earlier run */
    uint64_t missed; /* told next: so many values are not kept any more */
    struct asq__buf values;
    size_t at;     /* in `values`: the next one */
    size_t oldest; /* in `values`: the first that is kept, also for others who read later */
    uint64_t gone; /* values before that one */
};

/* Place of a reader: value `next` of a run. Run 0: nothing was read yet. */
struct asq__emitted_place {
    uint64_t run, next;
};

void asq__emitted_init(struct asq__emitted *e);
void asq__emitted_release(struct asq__emitted *e);
/* Forgets all, for another run. */
void asq__emitted_reset(struct asq__emitted *e);
/* Returns whether there is something to take. */
bool asq__emitted_has(const struct asq__emitted *e);
/* Adds an encoded value; the oldest ones go when there is no room. ASQ_ENOMEM. */
int asq__emitted_add(struct asq__emitted *e, const void *value, size_t n);
/* Goes to value n of a run, and notes what was skipped on the way. False: something waits to be
 * taken before. */
bool asq__emitted_go_to(struct asq__emitted *e, struct asq__emitted_place *place, uint64_t run,
                        uint64_t n);
/* Adds what follows at the place from an entry of a stream, Emissions that begin with value n of
 * the run. True: it is done with. False: the entry is to be read again, once what is there was
 * taken; or see values.error. */
bool asq__emitted_add_entry(struct asq__emitted *e, struct asq__emitted_place *place, uint64_t run,
                            uint64_t n, const void *values, size_t len);
/* Adds what another one has kept, also what was taken from it. ASQ_ENOMEM. */
int asq__emitted_copy(struct asq__emitted *e, const struct asq__emitted *from);
/* Takes what is next, as asq_result_next; ASQ_NEXT_END: there is nothing. Errors: ASQ_EPROTO,
 * ASQ_ENOMEM. */
int asq__emitted_take(struct asq__emitted *e, asq_value **ret);

#endif
