/*
 * live.h: values of an agent's attributes that are ASQ_LIVE, as a method has published them. They
 * are encoded on the method's thread, and never changed after that, so any thread may read them.
 * Who keeps them for readers is the mode's.
 */
#ifndef ASQ_CLIENT_LIVE_H
#define ASQ_CLIENT_LIVE_H

#include <stdatomic.h>
#include <stddef.h>

#include "asqueue.h"
#include "value/buf.h"

struct asq__object;

enum { ASQ__LIVE_MAX = 64 * 1024 }; /* bytes of all values of an agent */

/* Value of an attribute; or how its get function has failed. */
struct asq__live_value {
    const char *name; /* of the class's table */
    int code;         /* 0; or the failure's, whose text the bytes are, with its NUL */
    size_t at, n;     /* in the bytes */
};

struct asq__live {
    atomic_uint refs;
    size_t n;
    struct asq__buf bytes;
    struct asq__live_value values[];
};

/* Publishes them as a call begins, with the failures of get functions. Without memory nothing is
 * published. */
void asq__live_begin(asq_ctx *ctx, const struct asq__object *o);
struct asq__live *asq__live_ref(struct asq__live *l);
void asq__live_unref(struct asq__live *l); /* may be NULL */
/* Returns the value of an attribute; NULL: there is none, or l is NULL. */
const struct asq__live_value *asq__live_find(const struct asq__live *l, const char *name);
/* Returns the v->n bytes of a value. */
static inline const void *asq__live_bytes(const struct asq__live *l,
                                          const struct asq__live_value *v)
{
    return v->n ? (const void *) (l->bytes.data + v->at) : "";
}

#endif
