/*
 * object_state.h: the two forms of an object's state, for the jobs in object.c. Functions that may
 * fail set the context's error.
 */
#ifndef ASQ_CLIENT_OBJECT_STATE_H
#define ASQ_CLIENT_OBJECT_STATE_H

#include "client/object.h"

/* Replaces a snapshot's bytes. In place if exactly `holders` references exist, whose holders expect
 * it: the agent's memory then does not move. */
int asq__object_update_snapshot(struct asq__snapshot **at, unsigned holders, const void *data,
                                size_t n);
/* Drops the object's snapshot and takes over this reference, which may be NULL. */
void asq__object_set_snapshot(struct asq__object *o, struct asq__snapshot *snapshot);
/* Decodes a snapshot into an arena large enough for it. */
int asq__object_decode(const struct asq__snapshot *snapshot, struct asq__arena *arena,
                       Asqueue__AgentRecord **ret, char *err, size_t errlen);

/* Returns how many bytes the result of the context's call may have. */
size_t asq__object_result_limit(const asq_ctx *ctx);
/* Names the origin of a limit, for messages. */
const char *asq__object_limit_origin(const asq_ctx *ctx, size_t limit);

int asq__object_positive_code(asq_ctx *ctx, int rc, const char *function);
/* Turns a positive return code of a class's function, probably an errno by mistake, into a failure
 * that names it. */
static inline int asq__object_check_code(asq_ctx *ctx, int rc, const char *function)
{
    return rc <= 0 ? rc : asq__object_positive_code(ctx, rc, function);
}

/* Builds the live form from the snapshot, unless it is there. */
int asq__object_load_live(asq_ctx *ctx, struct asq__object *o);
/* Restores the live form to `base`, without freeing memory that an active outer call may use. */
void asq__object_restore_live(asq_ctx *ctx, struct asq__object *o, struct asq__snapshot *base);

/* Begins a buffer with room for a snapshot. */
void asq__object_buf_init(const asq_ctx *ctx, struct asq__buf *out);
/* Encodes the live form with the given creation arguments. */
int asq__object_encode_live(asq_ctx *ctx, struct asq__object *o, const void *args, size_t args_n,
                            struct asq__buf *out);
/* Encodes the current live form, with the creation arguments of the current snapshot. */
int asq__object_encode_snapshot(asq_ctx *ctx, struct asq__object *o, struct asq__buf *out);
int asq__object_cannot_encode(asq_ctx *ctx, const struct asq__object *o, int rc)
    __attribute__((cold));
/* Fails if rc is not 0: the state cannot be encoded. */
static inline int asq__object_check_encoded(asq_ctx *ctx, const struct asq__object *o, int rc)
{
    return rc < 0 ? asq__object_cannot_encode(ctx, o, rc) : 0;
}

#endif
