/*
 * object.c: see object.h. A job on an object looks the method up, builds the live form from the
 * snapshot, runs the user's function, and then either encodes the new state (an effect) or restores
 * the old one. Both forms of the state are made in object_state.c.
 */
#include "client/live.h"
#include "client/object_state.h"
#include "client/step_log.h"
#include "value/clock.h"
#include "value/expiry.h"
#include "value/timer_spec.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Keeps a function's frame off the stack of a running method, which is a fiber's and may stay while
 * parked. */
#define OWN_FRAME __attribute__((noinline))

static int fail_no_agent(asq_ctx *ctx, struct asq__object *o)
{
    if (o->failure)
        return asq_fail(ctx, ASQ_ENOAGENT, "there is no agent '%s': its creation failed: %s", o->id,
                        o->failure);
    return asq_fail(ctx, ASQ_ENOAGENT, "there is no agent '%s': it was never created, or deleted",
                    o->id);
}

static void set_result(asq_ctx *ctx, const asq_value *value, struct asq__effect *ret)
{
    int rc = asq__value_encode(value, &ret->value);
    if (rc == 0)
        return;
    size_t limit = asq__object_result_limit(ctx);
    int64_t n = asq__value_size(value);
    if (rc == ASQ_ELIMIT && n >= 0)
        asq_fail(ctx, rc, "the result of %s.%s has %lld bytes, and %zu are allowed (%s)",
                 asq_ctx_class(ctx), ctx->method_name, (long long) n, limit,
                 asq__object_limit_origin(ctx, limit));
    else
        asq_fail(ctx, rc, "the result of %s.%s is larger than %zu bytes or nested deeper than %d",
                 asq_ctx_class(ctx), ctx->method_name, limit, ASQ_MAX_DEPTH);
}

/* Sets an error that names a user's function that returned rc, unless it has set one itself. */
static void take_failure(asq_ctx *ctx, int rc)
{
    if (ctx->error.pub.code)
        return;
    if (ctx->step_failure == rc && ctx->h->error.pub.code == rc)
        asq_fail(ctx, rc, "%s", ctx->h->error.pub.message);
    else
        asq_fail(ctx, rc, "%s.%s failed: %s", asq_ctx_class(ctx), ctx->method_name,
                 asq_strerror(rc));
}

/* Makes a new agent's live form. */
static int create_live(asq_ctx *ctx, struct asq__object *o, const asq_value *args)
{
    const asq_class *def = &o->cls->def;
    if (!def->save && !(o->state = asq_value_map()))
        return asq_fail(ctx, ASQ_ENOMEM, "out of memory");
    o->live = true;
    if (!def->create && asq_list_size(args) > 0)
        return asq_fail(
            ctx, ASQ_EARGS,
            "the creation arguments of class %s have to be named, because they are its first state (it "
            "has no create function): a list was given",
            def->name);
    if (!def->create)
        return 0;
    void *self = NULL;
    ctx->args = args;
    int rc = asq__object_check_code(ctx, def->create(ctx, args, &self), "create");
    if (rc >= 0 && ctx->recorded && !ctx->error.pub.code)
        rc = asq__step_check_end(ctx);
    ctx->args = NULL;
    if (rc < 0 || ctx->error.pub.code) {
        take_failure(ctx, rc < 0 ? rc : ctx->error.pub.code);
        return ctx->error.pub.code;
    }
    o->self = self;
    return 0;
}

enum { EXPIRE_AGAIN_MS = 1000 };

/* Returns the time of Redis, in local mode that of the machine; Unix time. */
static int64_t unix_ms(const asq_ctx *ctx)
{
    return ctx->wall_minus_mono_ms ? asq__now_ms() + ctx->wall_minus_mono_ms : asq__wall_ms();
}

/* Sets the timer that looks whether the agent is due to end. */
static OWN_FRAME int set_expiry_timer(asq_ctx *ctx, const struct asq__expiry *e, int64_t due_ms,
                                      int64_t now_ms, struct asq__effect *ret)
{
    char spec[ASQ__EXPIRY_SPEC];
    ret->timer = ASQ__TIMER_SET;
    ret->timer_ms = asq__expiry_timer(e, due_ms, now_ms, spec);
    asq__buf_puts(&ret->timer_spec, spec);
    return ret->timer_spec.error ? asq_fail(ctx, ASQ_ENOMEM, "out of memory") : 0;
}

/* Adds its expiry to the snapshot of a new agent. */
static OWN_FRAME int begin_expiry(asq_ctx *ctx, const struct asq__object *o, struct asq__buf *out,
                                  struct asq__effect *ret)
{
    struct asq__expiry e;
    if (!ctx->expiry || !asq__expiry_read(ctx->expiry->data, ctx->expiry->len, &e))
        return 0;
    if (ctx->no_timers)
        return asq_fail(ctx, ASQ_ENOTSUP,
                        "agents that expire need sorted sets, which Redis denies to the worker's "
                        "user");
    e.used_ms = unix_ms(ctx);
    asq__snapshot_put_expiry(&e, out);
    int rc = asq__object_check_encoded(ctx, o, out->error);
    return rc < 0 ? rc : set_expiry_timer(ctx, &e, asq__expiry_due_ms(&e), e.used_ms, ret);
}

static void create(asq_ctx *ctx, struct asq__object *o, const char *class_name,
                   const asq_value *args, const void *raw, size_t raw_n, bool or_get,
                   struct asq__effect *ret)
{
    struct asq__buf encoded;
    char why[500];
    int rc = 0;
    asq__object_buf_init(ctx, &encoded);
    if (o->snapshot) {
        if (or_get && strcmp(o->cls->def.name, class_name) == 0) {
            set_result(ctx, NULL, ret);
            return;
        }
        asq_fail(ctx, ASQ_EEXIST, "an agent '%s' exists already, of class %s", o->id,
                 o->cls->def.name);
        return;
    }
    const struct asq__class *cls = asq__registry_find(ctx->env->registry, class_name);
    if (!cls) {
        rc = asq__registry_unknown(ctx->env->registry, class_name, why, sizeof why);
        asq_fail(ctx, rc, "%s", why);
        goto failed;
    }
    ctx->cls = o->cls = cls;
    if (!cls->def.save && !cls->def.create && asq_value_type(args) == ASQ_MAP)
        /* The arguments are the state; the first call builds the live form. */
        rc = asq__object_check_encoded(ctx, o,
                                       asq__snapshot_encode(cls->def.name, cls->def.version, raw,
                                                            raw_n, raw, raw_n, &encoded));
    else if ((rc = create_live(ctx, o, args)) == 0)
        rc = asq__object_encode_live(ctx, o, raw, raw_n, &encoded);
    if (rc == 0)
        rc = begin_expiry(ctx, o, &encoded, ret);
    if (rc < 0)
        goto failed;
    struct asq__snapshot *snapshot = asq__snapshot_new(encoded.data, encoded.len);
    if (asq__object_check_encoded(ctx, o, snapshot ? 0 : ASQ_ENOMEM) < 0)
        goto failed;
    asq__buf_release(&encoded);
    free(o->failure);
    o->failure = NULL;
    asq__object_set_snapshot(o, snapshot);
    o->expires = ret->timer == ASQ__TIMER_SET;
    ret->kind = ASQ__EFFECT_SAVE;
    ret->snapshot = asq__snapshot_ref(snapshot);
    set_result(ctx, NULL, ret);
    return;
failed:
    ret->timer = ASQ__TIMER_NONE;
    asq__buf_release(&encoded);
    asq__object_unload(o);
    o->cls = NULL;
    free(o->failure);
    o->failure = strdup(ctx->error.pub.message);
}

/* The snapshot at the beginning of a call, and the object's recommits then. */
struct base {
    struct asq__snapshot *snapshot;
    unsigned recommits;
};

/* Restores the state after a failed call. Effects of re-entrant calls inside it remain. */
static void roll_back(asq_ctx *ctx, struct asq__object *o, const struct base *base)
{
    asq__object_restore_live(ctx, o,
                             o->recommits == base->recommits ? base->snapshot : o->snapshot);
}

/* Brings the snapshot up to date. *ret: a reference to it if it has changed. */
static int save_state(asq_ctx *ctx, struct asq__object *o, const struct base *base,
                      struct asq__snapshot **ret)
{
    struct asq__buf now;
    asq__object_buf_init(ctx, &now);
    int rc = asq__object_encode_snapshot(ctx, o, &now);
    if (rc == 0 &&
        (now.len != o->snapshot->n || memcmp(now.data, o->snapshot->data, now.len) != 0)) {
        /* `base` may be overwritten, because this call will not restore it. */
        unsigned holders = base->snapshot == o->snapshot ? 2 : 1;
        rc = asq__object_check_encoded(
            ctx, o, asq__object_update_snapshot(&o->snapshot, holders, now.data, now.len));
        if (rc == 0)
            *ret = asq__snapshot_ref(o->snapshot);
    }
    asq__buf_release(&now);
    return rc;
}

/* Saves or restores the state after a job that may have changed it. */
static void finish_call(asq_ctx *ctx, struct asq__object *o, const struct base *base, bool readonly,
                        struct asq__effect *ret)
{
    bool failed = ctx->error.pub.code != 0;
    if (readonly)
        return;
    if (failed && !ctx->keep_state) {
        roll_back(ctx, o, base);
        return;
    }
    struct asq__error kept = ctx->error;
    asq__error_init(&ctx->error);
    if (save_state(ctx, o, base, &ret->snapshot) < 0) { /* a state that cannot be saved is undone */
        asq__error_clear(&kept);
        asq__buf_reset(&ret->value);
        roll_back(ctx, o, base);
        return;
    }
    asq__error_clear(&ctx->error);
    ctx->error = kept;
    if (!ret->snapshot)
        return; /* unchanged */
    if (o->depth > 1)
        o->recommits++;
    ret->kind = ASQ__EFFECT_SAVE;
}

int asq__object_get(asq_ctx *ctx, const struct asq__object *o, const struct asq__attribute *a,
                    asq_value **ret_owned, const asq_value **ret)
{
    *ret_owned = NULL;
    if (!a->def.get) {
        *ret = asq_map_get(o->state, a->def.name);
        return 0;
    }
    int rc = asq__object_check_code(ctx, a->def.get(ctx, o->self, ret_owned), ctx->method_name);
    if (rc < 0 || ctx->error.pub.code) {
        take_failure(ctx, rc < 0 ? rc : ctx->error.pub.code);
        asq_value_free(*ret_owned);
        *ret_owned = NULL;
        return ctx->error.pub.code;
    }
    *ret = *ret_owned;
    return 0;
}

static void get_attribute(asq_ctx *ctx, struct asq__object *o, const struct asq__attribute *a,
                          struct asq__effect *ret)
{
    asq_value *owned;
    const asq_value *value;
    if (asq__object_get(ctx, o, a, &owned, &value) == 0)
        set_result(ctx, value, ret);
    asq_value_free(owned);
}

static void set_attribute(asq_ctx *ctx, struct asq__object *o, const struct asq__attribute *a,
                          const asq_value *value, struct asq__effect *ret)
{
    int rc;
    if (a->def.set)
        rc = asq__object_check_code(ctx, a->def.set(ctx, o->self, value), ctx->method_name);
    else
        rc = asq_map_set(o->state, a->def.name, asq_value_copy(value));
    if (rc < 0 || ctx->error.pub.code)
        take_failure(ctx, rc < 0 ? rc : ctx->error.pub.code);
    else
        set_result(ctx, NULL, ret);
}

/* Orders named arguments by the method's parameters. */
static OWN_FRAME int order_args(asq_ctx *ctx, const struct asq__object *o,
                                const struct asq__method *m, const asq_value *args, asq_value **ret)
{
    char why[300];
    int rc = asq__value_by_params(args, m->def.params, ret, why, sizeof why);
    return rc < 0 ? asq_fail(ctx, rc, "%s.%s(%s): %s", o->cls->def.name, m->def.name, m->def.params,
                             why)
                  : 0;
}

static void call_method(asq_ctx *ctx, struct asq__object *o, const struct asq__method *m,
                        const asq_value *args, struct asq__effect *ret)
{
    asq_value *value = NULL, *ordered = NULL;
    ctx->params = m->def.params;
    if (m->def.params && asq_value_type(args) == ASQ_MAP) {
        if (order_args(ctx, o, m, args, &ordered) < 0)
            return;
        args = ordered;
    }
    if (m->def.params && asq_list_size(args) > m->nparams) {
        asq_fail(ctx, ASQ_EARGS,
                 "%s.%s(%s): surplus argument: %zu were given, at most %zu are taken",
                 o->cls->def.name, m->def.name, m->def.params, asq_list_size(args), m->nparams);
        return;
    }
    ctx->args = args;
    int rc = asq__object_check_code(ctx, m->def.fn(ctx, o->self, args, &value), m->def.name);
    if (ctx->unloaded) { /* whatever the method has made of it */
        asq__error_clear(&ctx->error);
        ctx->keep_state = false;
        rc = asq_fail(ctx, ASQ_EUNLOADED, ASQ__UNLOADED);
    } else if (rc >= 0 && ctx->recorded && !ctx->error.pub.code) {
        rc = asq__step_check_end(ctx);
    }
    if (rc < 0 || ctx->error.pub.code)
        take_failure(ctx, rc < 0 ? rc : ctx->error.pub.code);
    else
        set_result(ctx, value, ret);
    ctx->args = NULL;
    asq_value_free(value);
    asq_value_free(ordered);
}

static OWN_FRAME void describe(asq_ctx *ctx, struct asq__object *o, struct asq__effect *ret)
{
    struct asq__arena arena;
    Asqueue__AgentRecord *m;
    char why[200];
    asq_value *args = NULL, *about = NULL;
    int rc = asq__object_decode(o->snapshot, &arena, &m, why, sizeof why);
    if (rc == 0 && m->args.len)
        rc = asq__value_decode(m->args.data, m->args.len, &args, why, sizeof why);
    if (rc < 0) {
        asq_fail(ctx, rc, "agent '%s': %s", o->id, why);
    } else {
        about = args ? asq_pack("{s:s, s:o}", "class", m->class_name, "args", args)
                     : asq_pack("{s:s, s:n}", "class", m->class_name, "args");
        if (about)
            set_result(ctx, about, ret);
        else
            asq_fail(ctx, ASQ_ENOMEM, "out of memory");
        asq_value_free(about);
    }
    asq__arena_release(&arena);
}

/* Checks a timer, and finds its first time. */
static OWN_FRAME int set_timer(asq_ctx *ctx, const struct asq__object *o, const asq_value *map,
                               int64_t *ret_ms)
{
    struct asq__timer_spec spec;
    const struct asq__method *m;
    char why[500];
    int rc = asq__timer_spec_read(map, &spec, why, sizeof why);
    if (rc == 0)
        rc = asq__class_check_call(o->cls, spec.method, false, &m, why, sizeof why);
    if (rc == 0)
        rc = asq__timer_first(&spec, unix_ms(ctx), ret_ms, why, sizeof why);
    return rc < 0 ? asq_fail(ctx, rc, "timer '%s': %s", ctx->method_name, why) : 0;
}

static OWN_FRAME void change_timer(asq_ctx *ctx, const struct asq__object *o, Asqueue__JobKind kind,
                                   const char *name, const asq_value *args, const void *raw,
                                   size_t raw_n, struct asq__effect *ret)
{
    char why[300];
    int rc = ctx->no_timers
                 ? asq__err(why, sizeof why, ASQ_ENOTSUP,
                            "timers need sorted sets, which Redis denies to the worker's user")
                 : asq__check_name("timer", name, why, sizeof why);
    if (rc < 0) {
        asq_fail(ctx, rc, "%s", why);
        return;
    }
    if (kind == ASQUEUE__JOB_KIND__SCHEDULE) {
        if (set_timer(ctx, o, args, &ret->timer_ms) < 0)
            return;
        asq__buf_put(&ret->timer_spec, raw, raw_n);
        if (ret->timer_spec.error) {
            asq_fail(ctx, ret->timer_spec.error, "timer '%s': %s", name,
                     asq_strerror(ret->timer_spec.error));
            return;
        }
    }
    ret->timer = kind == ASQUEUE__JOB_KIND__SCHEDULE ? ASQ__TIMER_SET : ASQ__TIMER_REMOVE;
    set_result(ctx, NULL, ret);
}

/* Ends the agent. */
static void end_agent(asq_ctx *ctx, struct asq__object *o, struct asq__effect *ret)
{
    asq__object_unload(o);
    asq__object_set_snapshot(o, NULL);
    o->cls = NULL;
    o->expires = false;
    ret->kind = ASQ__EFFECT_DELETE;
    ret->timer = ASQ__TIMER_REMOVE_ALL;
    set_result(ctx, NULL, ret);
}

/* Returns whether the agent's handle has ended, as the owner has found: the job names it. */
static bool handle_has_ended(const asq_ctx *ctx, const struct asq__expiry *e)
{
    struct asq__expiry told;
    return e->handle && ctx->expiry &&
           asq__expiry_read(ctx->expiry->data, ctx->expiry->len, &told) && told.handle == e->handle;
}

/* Ends the agent if it is due, or its handle has ended, or sets its timer to the time when it will
 * be. One that is idle by its record, but has calls behind this one, is in use. In local mode one
 * of its methods may wait, around this call: the end comes later. An agent that is gone, or was
 * made anew without an expiry, is none of this call's business. */
static OWN_FRAME void expire(asq_ctx *ctx, struct asq__object *o, struct asq__effect *ret)
{
    struct asq__expiry e;
    int64_t now_ms = unix_ms(ctx);
    if (!o->snapshot || !o->expires ||
        !asq__snapshot_expiry(o->snapshot->data, o->snapshot->n, &e, NULL)) {
        set_result(ctx, NULL, ret);
        return;
    }
    if (ctx->calls_wait || o->depth)
        e.used_ms = now_ms;
    int64_t due_ms = handle_has_ended(ctx, &e) ? now_ms : asq__expiry_due_ms(&e);
    if (due_ms <= now_ms && !o->depth) {
        end_agent(ctx, o, ret);
    } else {
        set_expiry_timer(ctx, &e, due_ms > now_ms ? due_ms : now_ms + EXPIRE_AGAIN_MS, now_ms, ret);
        set_result(ctx, NULL, ret);
    }
}

/* Looks up the method or attribute of a call, get or set. */
static OWN_FRAME int find_member(asq_ctx *ctx, const struct asq__object *o, Asqueue__JobKind kind,
                                 const char *name, const struct asq__method **ret_method,
                                 const struct asq__attribute **ret_attribute)
{
    bool is_own = strcmp(ctx->caller_agent, o->id) == 0;
    char why[500];
    int rc = kind == ASQUEUE__JOB_KIND__CALL
                 ? asq__class_check_call(o->cls, name, is_own, ret_method, why, sizeof why)
                 : asq__class_check_attribute(o->cls, name, kind == ASQUEUE__JOB_KIND__SET, is_own,
                                              ret_attribute, why, sizeof why);
    return rc < 0 ? asq_fail(ctx, rc, "%s", why) : 0;
}

/* Sets `base`, to be restored if the call fails. A re-entrant call's base is the state that the
 * parked call has made. */
static int begin_call(asq_ctx *ctx, struct asq__object *o, bool readonly, struct base *base)
{
    struct asq__buf now;
    if (o->depth == 1 || readonly) {
        base->snapshot = asq__snapshot_ref(o->snapshot);
        return 0;
    }
    asq__object_buf_init(ctx, &now);
    int rc = asq__object_encode_snapshot(ctx, o, &now);
    if (rc == 0)
        rc = asq__object_check_encoded(
            ctx, o, (base->snapshot = asq__snapshot_new(now.data, now.len)) ? 0 : ASQ_ENOMEM);
    asq__buf_release(&now);
    return rc;
}

/* Publishes the live attributes as a call begins that may take long. */
static void begin_live(asq_ctx *ctx, const struct asq__object *o, const struct asq__method *m,
                       const struct asq__attribute *a)
{
    bool quick = m ? m->def.flags & ASQ_NONBLOCKING : a->def.flags & (ASQ_NONBLOCKING | ASQ_LIVE);
    if (ctx->publishes && !quick)
        asq__live_begin(ctx, o);
    ctx->may_publish = true;
}

/* Looks up a call, get or set, and runs it on the live object. */
static void run_on_live(asq_ctx *ctx, struct asq__object *o, Asqueue__JobKind kind,
                        const char *name, const asq_value *args, struct asq__effect *ret)
{
    const struct asq__method *m = NULL;
    const struct asq__attribute *a = NULL;
    if (find_member(ctx, o, kind, name, &m, &a) < 0 || asq__object_load_live(ctx, o) < 0)
        return;
    if (o->cls->live_count)
        begin_live(ctx, o, m, a);
    if (ctx->shared) {
        call_method(ctx, o, m, args, ret);
        return;
    }
    bool readonly = m ? m->def.flags & ASQ_READONLY : kind == ASQUEUE__JOB_KIND__GET;
    struct base base = { NULL, o->recommits };
    o->depth++;
    if (begin_call(ctx, o, readonly, &base) == 0) {
        if (m)
            call_method(ctx, o, m, args, ret);
        else if (kind == ASQUEUE__JOB_KIND__GET)
            get_attribute(ctx, o, a, ret);
        else
            set_attribute(ctx, o, a, args, ret);
        if (o->inconsistent && o->depth == 1) {
            o->inconsistent = false;
            readonly = ctx->keep_state = false;
            asq__buf_reset(&ret->value);
            asq_fail(ctx, ASQ_EINTERRUPTED,
                     "%s.%s was re-entered by a call that failed; its state went back "
                     "to what was last committed",
                     o->cls->def.name, name);
        }
        finish_call(ctx, o, &base, readonly, ret);
    }
    o->depth--;
    asq__snapshot_unref(base.snapshot);
}

static OWN_FRAME int decode_args(asq_ctx *ctx, Asqueue__JobKind kind, const void *raw, size_t raw_n,
                                 asq_value **ret)
{
    char why[200];
    int rc = 0;
    if (raw_n)
        rc = asq__value_decode(raw, raw_n, ret, why, sizeof why);
    else if (!(*ret = kind == ASQUEUE__JOB_KIND__SET ? asq_value_null() : asq_value_list()))
        rc = asq__err(why, sizeof why, ASQ_ENOMEM, "out of memory");
    if (rc == 0 && kind != ASQUEUE__JOB_KIND__SET && asq_value_type(*ret) != ASQ_LIST &&
        asq_value_type(*ret) != ASQ_MAP)
        rc = asq__err(why, sizeof why, ASQ_EARGS, "a value of type %s, neither list nor map",
                      asq_type_name(asq_value_type(*ret)));
    return rc < 0 ? asq_fail(ctx, rc, "the arguments of %s: %s", ctx->method_name, why) : 0;
}

const char *asq__job_place(Asqueue__JobKind kind, const char *method, char buf[ASQ__PLACE_MAX])
{
    switch (kind) {
    case ASQUEUE__JOB_KIND__CALL: return method;
    case ASQUEUE__JOB_KIND__GET:
    case ASQUEUE__JOB_KIND__SET: snprintf(buf, ASQ__PLACE_MAX, ".%s", method); return buf;
    case ASQUEUE__JOB_KIND__CREATE:
    case ASQUEUE__JOB_KIND__GET_OR_CREATE: return "create";
    case ASQUEUE__JOB_KIND__DELETE: return "delete";
    case ASQUEUE__JOB_KIND__DESCRIBE: return "describe";
    case ASQUEUE__JOB_KIND__SCHEDULE: return "schedule";
    case ASQUEUE__JOB_KIND__UNSCHEDULE: return "unschedule";
    case ASQUEUE__JOB_KIND__SIGNAL: return "signal";
    case ASQUEUE__JOB_KIND__EXPIRE: return "expire";
    default: return "";
    }
}

void asq__object_run(asq_ctx *ctx, struct asq__object *o, Asqueue__JobKind kind,
                     const char *class_name, const char *method, const void *raw, size_t raw_n,
                     struct asq__effect *ret)
{
    asq_value *args = NULL;
    char place[ASQ__PLACE_MAX];
    ret->kind = ASQ__EFFECT_NONE;
    ret->timer = ASQ__TIMER_NONE;
    ret->snapshot = NULL;
    asq__buf_init(&ret->timer_spec, ASQ__TIMER_ARGS);
    asq__buf_init(&ret->value, asq__object_result_limit(ctx));
    ctx->object = o;
    ctx->cls = o->cls;
    ctx->method_name = kind == ASQUEUE__JOB_KIND__CALL || kind == ASQUEUE__JOB_KIND__GET ||
                               kind == ASQUEUE__JOB_KIND__SET || asq__job_is_about_timer(kind)
                           ? method
                           : "create";
    if (decode_args(ctx, kind, raw, raw_n, &args) < 0) {
        ; /* decode_args has set the error */
    } else if (kind == ASQUEUE__JOB_KIND__CREATE || kind == ASQUEUE__JOB_KIND__GET_OR_CREATE) {
        create(ctx, o, class_name, args, raw, raw_n, kind == ASQUEUE__JOB_KIND__GET_OR_CREATE, ret);
    } else if (kind == ASQUEUE__JOB_KIND__EXPIRE) {
        expire(ctx, o, ret);
    } else if (!o->snapshot) {
        fail_no_agent(ctx, o);
    } else if (kind == ASQUEUE__JOB_KIND__DELETE && o->depth) {
        asq_fail(ctx, ASQ_ESTATE, "agent '%s' cannot be deleted by a call that it waits for itself",
                 o->id);
    } else if (kind == ASQUEUE__JOB_KIND__DELETE) {
        end_agent(ctx, o, ret);
    } else if (kind == ASQUEUE__JOB_KIND__EXISTS) {
        asq_value *name = asq_value_string(o->cls->def.name);
        set_result(ctx, name, ret);
        asq_value_free(name);
    } else if (asq__job_is_about_timer(kind)) {
        change_timer(ctx, o, kind, method, args, raw, raw_n, ret);
    } else if (kind == ASQUEUE__JOB_KIND__DESCRIBE) {
        describe(ctx, o, ret);
    } else {
        run_on_live(ctx, o, kind, method, args, ret);
    }
    asq_value_free(args);
    if (ctx->error.pub.code)
        asq__error_where(&ctx->error, ctx->cls ? ctx->cls->def.name : class_name,
                         asq__job_place(kind, method, place), o->id, ctx->env->worker,
                         ctx->call_id);
}

void asq__effect_release(struct asq__effect *e)
{
    asq__snapshot_unref(e->snapshot);
    e->snapshot = NULL;
    asq__buf_release(&e->value);
    asq__buf_release(&e->timer_spec);
}

static const struct asq__method *method_of(const struct asq__object *o, Asqueue__JobKind kind,
                                           const char *name)
{
    return o->cls && kind == ASQUEUE__JOB_KIND__CALL ? asq__class_method(o->cls, name) : NULL;
}

const asq_retry *asq__object_retry(const struct asq__object *o, Asqueue__JobKind kind,
                                   const char *method)
{
    const struct asq__method *m = method_of(o, kind, method);
    return m ? m->retry : NULL;
}
