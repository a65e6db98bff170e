/*
 * object_state.c: an object between jobs: its snapshot and its live form, each made from the other,
 * and the size limits of both. See object_state.h.
 */
#include "client/object_state.h"
#include "value/expiry.h"

#include <stdlib.h>
#include <string.h>

/* ---- snapshots ---- */

int asq__object_update_snapshot(struct asq__snapshot **at, unsigned holders, const void *data,
                                size_t n)
{
    struct asq__snapshot *r = *at;
    size_t room = r->n + r->spare;
    if (n <= room && room - n < UINT16_MAX &&
        atomic_load_explicit(&r->refs, memory_order_acquire) == holders) {
        memcpy(r->data, data, n);
        r->n = n;
        r->spare = (uint32_t) (room - n);
        return 0;
    }
    if (!(r = asq__snapshot_new(data, n)))
        return ASQ_ENOMEM;
    asq__snapshot_unref(*at);
    *at = r;
    return 0;
}

void asq__object_set_snapshot(struct asq__object *o, struct asq__snapshot *snapshot)
{
    asq__snapshot_unref(o->snapshot);
    o->snapshot = snapshot;
}

int asq__object_decode(const struct asq__snapshot *snapshot, struct asq__arena *arena,
                       Asqueue__AgentRecord **ret, char *err, size_t errlen)
{
    asq__arena_init(arena, 4 * snapshot->n + 4096);
    return asq__snapshot_decode(snapshot->data, snapshot->n, arena, ret, err, errlen);
}

/* ---- life of an object ---- */

void asq__object_init(struct asq__object *o, const char *id)
{
    memset(o, 0, sizeof *o);
    o->id = id;
}

void asq__object_unload(struct asq__object *o)
{
    if (!o->live)
        return;
    if (o->self && o->cls->def.destroy)
        o->cls->def.destroy(o->self);
    asq_value_free(o->state);
    o->self = NULL;
    o->state = NULL;
    o->live = false;
}

void asq__object_release(struct asq__object *o)
{
    asq__object_unload(o);
    asq__object_set_snapshot(o, NULL);
    free(o->failure);
    o->failure = NULL;
    o->cls = NULL;
}

int asq__object_load(struct asq__object *o, struct asq__registry *registry,
                     struct asq__snapshot *snapshot, char *err, size_t errlen)
{
    struct asq__arena arena;
    Asqueue__AgentRecord *m;
    int rc = asq__object_decode(snapshot, &arena, &m, err, errlen);
    if (rc == 0) {
        const struct asq__class *cls = asq__registry_find(registry, m->class_name);
        if (!cls) {
            rc = asq__registry_unknown(registry, m->class_name, err, errlen);
        } else if (m->version > cls->def.version) {
            rc = asq__err(
                err, errlen, ASQ_EVERSION,
                "agent '%s' has a state of version %u; this worker's class %s knows up to %u: "
                "install the newer plugin here",
                o->id, m->version, cls->def.name, cls->def.version);
        } else {
            asq__object_unload(o);
            asq__object_set_snapshot(o, asq__snapshot_ref(snapshot));
            o->cls = cls;
            o->expires = m->expiry.len > 0;
        }
    }
    asq__arena_release(&arena);
    return rc;
}

/* ---- size limits ---- */

/* Bytes of a Redis string that are reserved for everything but the value. */
#define STRING_ROOM ((size_t) 64 * 1024)

static size_t clamp_to_string(const asq_ctx *ctx, size_t limit)
{
    size_t string = atomic_load_explicit(&ctx->env->max_string, memory_order_relaxed);
    if (!string)
        return limit;
    string = string > 2 * STRING_ROOM ? string - STRING_ROOM : string / 2;
    return string < limit ? string : limit;
}

size_t asq__object_result_limit(const asq_ctx *ctx)
{
    size_t limit = clamp_to_string(ctx, ctx->env->max_message_size);
    return ctx->result_room && ctx->result_room < limit ? ctx->result_room : limit;
}

const char *asq__object_limit_origin(const asq_ctx *ctx, size_t limit)
{
    return limit >= ctx->env->max_message_size ? "max-message-size"
           : limit == ctx->result_room
               ? "the room beside the other results of its batch in one string of Redis"
               : "the longest string that this Redis takes, by proto-max-bulk-len or "
                 "client-query-buffer-limit";
}

/* ---- return codes of the class's functions ---- */

int asq__object_positive_code(asq_ctx *ctx, int rc, const char *function)
{
    if (!ctx->error.pub.code)
        asq_fail(
            ctx, ASQ_EFAILED,
            "%s.%s returned %d, which is not a code: 0 is success, and a failure is negative (as "
            "an "
            "errno it would be '%s'; return asq_fail(ctx, ASQ_ESYS, …))",
            asq_ctx_class(ctx), function, rc, strerror(rc));
    return ctx->error.pub.code;
}

/* ---- state: snapshot → live ---- */

/* Makes the live form from an encoded state. Sets the context's error on failure. */
static int make_live(asq_ctx *ctx, struct asq__object *o, uint32_t version, const void *data,
                     size_t n)
{
    const asq_class *def = &o->cls->def;
    char why[200];
    asq_value *state = NULL;
    int rc = asq__value_decode(data, n, &state, why, sizeof why);
    if (rc < 0)
        return asq_fail(ctx, rc, "the state of agent '%s': %s", o->id, why);
    if (version < def->version) {
        if (!def->upgrade) {
            rc = asq_fail(ctx, ASQ_EVERSION,
                          "agent '%s' has a state of version %u, class %s is at %u and "
                          "has no upgrade hook",
                          o->id, version, def->name, def->version);
        } else {
            rc = asq__object_check_code(ctx, def->upgrade(ctx, version, &state), "upgrade");
            if (rc < 0 && !ctx->error.pub.code)
                asq_fail(ctx, rc, "upgrading the state of agent '%s' from version %u: %s", o->id,
                         version, asq_strerror(rc));
        }
    }
    if (rc == 0 && def->load) {
        void *self = NULL;
        rc = asq__object_check_code(ctx, def->load(ctx, state, &self), "load");
        if (rc < 0 && !ctx->error.pub.code)
            asq_fail(ctx, rc, "loading agent '%s': %s", o->id, asq_strerror(rc));
        if (rc == 0) {
            o->self = self;
            o->live = true;
        }
    } else if (rc == 0) {
        o->state = state;
        o->live = true;
        return 0;
    }
    asq_value_free(state);
    return rc;
}

int asq__object_load_live(asq_ctx *ctx, struct asq__object *o)
{
    struct asq__arena arena;
    Asqueue__AgentRecord *m;
    char why[200];
    if (o->live)
        return 0;
    int rc = asq__object_decode(o->snapshot, &arena, &m, why, sizeof why);
    if (rc < 0)
        asq_fail(ctx, rc, "agent '%s': %s", o->id, why);
    else
        rc = make_live(ctx, o, m->version, m->state.data, m->state.len);
    asq__arena_release(&arena);
    return rc;
}

void asq__object_preload(struct asq__object *o)
{
    struct asq__arena arena;
    Asqueue__AgentRecord *m;
    char why[200];
    if (o->live || !o->snapshot || o->cls->def.load)
        return;
    if (asq__object_decode(o->snapshot, &arena, &m, why, sizeof why) == 0 &&
        m->version == o->cls->def.version)
        o->live = asq__value_decode(m->state.data, m->state.len, &o->state, why, sizeof why) == 0;
    asq__arena_release(&arena);
}

/* ---- state: live → snapshot ---- */

int asq__object_cannot_encode(asq_ctx *ctx, const struct asq__object *o, int rc)
{
    if (rc == ASQ_ELIMIT)
        return asq_fail(ctx, rc,
                        "the state of agent '%s' and what it was created with: %s (%zu bytes are "
                        "allowed)",
                        o->id, asq_strerror(rc),
                        clamp_to_string(ctx, ctx->env->max_message_size * 2 + 4096));
    return asq_fail(ctx, rc, "the state of agent '%s': %s", o->id, asq_strerror(rc));
}

int asq__object_encode_live(asq_ctx *ctx, struct asq__object *o, const void *args, size_t args_n,
                            struct asq__buf *out)
{
    const asq_class *def = &o->cls->def;
    asq_value *saved = NULL;
    int rc = 0;
    if (def->save) {
        rc = asq__object_check_code(ctx, def->save(o->self, &saved), "save");
        if (rc == 0 && !saved)
            rc = ASQ_ENOMEM;
        if (rc < 0 && !ctx->error.pub.code)
            asq_fail(ctx, rc, "saving the state of agent '%s': %s", o->id, asq_strerror(rc));
    }
    if (rc == 0) {
        const asq_value *state = def->save ? saved : o->state;
        int64_t n = asq__value_size(state);
        rc = n < 0 ? (int) n : (size_t) n > ctx->env->max_message_size ? ASQ_ELIMIT : 0;
        size_t limit = clamp_to_string(ctx, ctx->env->max_message_size);
        if (rc == 0 && (size_t) n > limit)
            rc = ASQ_ELIMIT;
        if (rc < 0 && n >= 0)
            asq_fail(ctx, rc, "the state of agent '%s' has %lld bytes, and %zu are allowed (%s)",
                     o->id, (long long) n, limit, asq__object_limit_origin(ctx, limit));
        else if (rc < 0)
            asq_fail(ctx, rc, "the state of agent '%s': %s (%zu bytes and %d levels are allowed)",
                     o->id, asq_strerror(rc), limit, ASQ_MAX_DEPTH);
        else
            rc = asq__object_check_encoded(ctx, o,
                                           asq__snapshot_encode_value(def->name, def->version, args,
                                                                      args_n, state, (size_t) n,
                                                                      out));
    }
    asq_value_free(saved);
    return rc;
}

void asq__object_buf_init(const asq_ctx *ctx, struct asq__buf *out)
{
    asq__buf_init(out, clamp_to_string(ctx, ctx->env->max_message_size * 2 + 4096));
}

int asq__object_encode_snapshot(asq_ctx *ctx, struct asq__object *o, struct asq__buf *out)
{
    const void *args;
    size_t args_n;
    if (!asq__snapshot_args(o->snapshot->data, o->snapshot->n, &args, &args_n))
        return asq_fail(ctx, ASQ_EPROTO, "agent '%s': its snapshot cannot be decoded", o->id);
    int rc = asq__object_encode_live(ctx, o, args, args_n, out);
    struct asq__expiry expiry;
    if (rc == 0 && o->expires &&
        asq__snapshot_expiry(o->snapshot->data, o->snapshot->n, &expiry, NULL)) {
        asq__snapshot_put_expiry(&expiry, out);
        rc = asq__object_check_encoded(ctx, o, out->error);
    }
    return rc;
}

bool asq__object_touch(struct asq__object *o, int64_t at_ms, struct asq__snapshot **ret)
{
    struct asq__expiry e;
    size_t at;
    *ret = NULL;
    if (!o->expires || !o->snapshot ||
        !asq__snapshot_expiry(o->snapshot->data, o->snapshot->n, &e, &at) ||
        !asq__expiry_notes(&e, at_ms))
        return true;
    struct asq__snapshot *copy = asq__snapshot_new(o->snapshot->data, o->snapshot->n);
    if (!copy)
        return false;
    e.used_ms = at_ms;
    asq__expiry_write(&e, (uint8_t *) copy->data + at);
    asq__object_set_snapshot(o, copy);
    *ret = copy;
    return true;
}

void asq__object_restore_live(asq_ctx *ctx, struct asq__object *o, struct asq__snapshot *base)
{
    struct asq__error kept = ctx->error; /* the method's own error remains */
    struct asq__arena arena;
    Asqueue__AgentRecord *m;
    char why[200];
    asq__error_init(&ctx->error);
    if (o->depth > 1 && asq_value_type(o->state) == ASQ_MAP) {
        /* An outer call may hold the root: change its contents, not its address. */
        asq_value *root = o->state;
        bool done = false;
        if (asq__object_decode(base, &arena, &m, why, sizeof why) == 0) {
            o->state = NULL;
            o->live = false;
            if (make_live(ctx, o, m->version, m->state.data, m->state.len) == 0) {
                done = asq__map_swap(root, o->state);
                asq_value_free(o->state);
            }
            o->state = root;
            o->live = true;
        }
        o->inconsistent |= !done;
        asq__arena_release(&arena);
    } else if (o->depth > 1) {
        /* An outer call may hold the struct: that call will fail, and restore it. */
        o->inconsistent = true;
    } else {
        asq__object_unload(o); /* the next call rebuilds the live form */
    }
    asq__error_clear(&ctx->error);
    ctx->error = kept;
}
