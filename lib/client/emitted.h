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
    size_t at; /* in `values`: the next one */
};

void asq__emitted_init(struct asq__emitted *e);
void asq__emitted_release(struct asq__emitted *e);
/* Forgets all, for another run. */
void asq__emitted_reset(struct asq__emitted *e);
/* Returns whether there is something to take. */
bool asq__emitted_has(const struct asq__emitted *e);
/* Adds an encoded value; the oldest ones go when there is no room. ASQ_ENOMEM. */
int asq__emitted_add(struct asq__emitted *e, const void *value, size_t n);
/* Adds what another one has. ASQ_ENOMEM. */
int asq__emitted_copy(struct asq__emitted *e, const struct asq__emitted *from);
/* Takes what is next, as asq_result_next; ASQ_NEXT_END: there is nothing. Errors: ASQ_EPROTO,
 * ASQ_ENOMEM. */
int asq__emitted_take(struct asq__emitted *e, asq_value **ret);

#endif
