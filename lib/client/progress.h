/*
 * progress.h: reads what a call emits from its stream in Redis, a bounded part at a time, and only
 * when its reader wants more: so a slow reader holds nothing.
 *
 * The reader asks (asq__progress_want), waits until asq__progress_is_there(), takes what has come,
 * and asks again. From asking until it is there, all of it belongs to the thread of the engine, and
 * whoever asks has to keep it until `release` is called.
 */
#ifndef ASQ_CLIENT_PROGRESS_H
#define ASQ_CLIENT_PROGRESS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "client/emitted.h"
#include "client/engine.h"
#include "value/list.h"
#include "value/value.h"

struct asq__progress {
    struct asq__list node; /* in e->progress while the reader waits */
    struct asq__engine *engine;
    struct asq__call *call;
    struct asq__call_id id;
    struct asq__emitted_place place; /* of the next read */
    bool asking;                     /* a read is under way */
    bool more;                       /* there may be more than it finds */
    bool ended;                      /* the call has ended */
    bool at_end;                     /* it had before the read under way was sent */
    bool counted;                    /* its result says how much the last run has emitted */
    uint64_t last_run, last_count;
    bool succeeded;
    /* For the reader. */
    struct asq__emitted got;
    bool finished; /* nothing comes behind `got` */
    int code;      /* of a failure; 0: none */
    char why[200];
    atomic_bool there;
    /* Set by whoever asks; called on the thread of the engine, in this order: something is there;
     * and the engine needs it no more. Of a read that is dropped only the second. */
    void (*arrived)(struct asq__progress *p);
    void (*release)(struct asq__progress *p);
    struct asq__list of_method; /* of nested.c: in its reads, or in what has arrived for it */
    /* The reader's callback, of emit.c, on the handle's thread. */
    bool by_callback; /* there is one, or was; never changes while it is read */
    bool by_next;     /* asq_result_next reads */
    bool telling;     /* the callback runs */
    asq_emit_fn fn;   /* NULL: none, or it has been told all */
    void *user;
    struct asq__list *queue; /* to be put into when something is there */
    struct asq__list due;    /* in it */
};

void asq__progress_init(struct asq__progress *p, const struct asq__call_id *id,
                        struct asq__call *call);
void asq__progress_release(struct asq__progress *p);
static inline bool asq__progress_is_there(const struct asq__progress *p)
{
    return atomic_load_explicit(&p->there, memory_order_acquire);
}
/* Has it read on. done: the call has ended. */
void asq__progress_want(struct asq__engine *e, struct asq__progress *p, bool done);
/* Ends a read that nobody waits for any more, for good. */
void asq__progress_drop(struct asq__progress *p);

/* For the engine. */
/* Notes that the call has emitted more. */
void asq__progress_more(struct asq__progress *p);
/* Notes that the call has ended. */
void asq__progress_ended(struct asq__progress *p);
/* Reads for all that wait, on a new connection, and once a second because pushes are hints. */
void asq__progress_read_all(struct asq__engine *e);
/* Ends all reads, because the engine ends. */
void asq__progress_close(struct asq__engine *e);
/* Removes what a call has emitted, when its result is not needed any more. */
void asq__engine_forget_emitted(struct asq__engine *e, const struct asq__call_id *id);

#endif
