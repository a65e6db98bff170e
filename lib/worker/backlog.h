/*
 * backlog.h: the part of a stream that a process has no room for.
 */
#ifndef ASQ_WORKER_BACKLOG_H
#define ASQ_WORKER_BACKLOG_H

#include <stdbool.h>
#include <stddef.h>

#include "value/msg.h"
#include "worker/core/stream_id.h"

struct asq__actor;
struct asq__call_id;
struct asq__partition;
struct asq__process;

enum asq__room {
    ASQ__ROOM,          /* taken in */
    ASQ__ROOM_ADMITTED, /* taken in beyond the bound */
    ASQ__ROOM_NOTED,    /* left, and noted for its agents */
    ASQ__ROOM_NONE,     /* left, as everything behind it */
    ASQ__ROOM_NO_MEMORY
};

/* An entry for which room is sought. */
struct asq__arrival {
    struct asq__stream_id id;
    const Asqueue__Batch *batch;
    size_t bytes;      /* memory that the entry takes */
    bool reread;       /* was left with everything behind it */
    bool fresh;        /* came in the order of its sender, and was never run */
    bool out_of_order; /* came behind later entries of its sender */
};

/* Decides whether an entry is taken in. Of an entry that is taken in, the calls for which
 * asq__backlog_defers is true are deferred. */
enum asq__room asq__backlog_room(struct asq__partition *p, const struct asq__arrival *a);
/* Returns whether calls to the agent are deferred that stand in the stream at `id` or before it. */
bool asq__backlog_defers(const struct asq__partition *p, const char *agent,
                         struct asq__stream_id id);
bool asq__backlog_has(const struct asq__partition *p, const char *agent); /* calls to it are left */
void asq__backlog_actor_passive(struct asq__actor *a);     /* one of which calls are left */
size_t asq__backlog_calls(const struct asq__partition *p); /* calls that are left, about */
/* Returns whether a call that was left is cancelled, and forgets that. */
bool asq__backlog_take_cancel(struct asq__partition *p, const struct asq__call_id *id);
void asq__backlog_cancel(struct asq__partition *p, const struct asq__call_id *id);
void asq__backlog_run_due(struct asq__process *w); /* at the end of the iteration */
/* Once a second: retries reads that Redis has refused. */
void asq__backlog_retry(struct asq__process *w);
void asq__backlog_drop(struct asq__partition *p);

#endif
