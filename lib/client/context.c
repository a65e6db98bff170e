/*
 * context.c: the functions of a method's context (asq_ctx_…, asq_fail, asq_args).
 */
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "asqueue.h"
#include "client/class.h"
#include "client/model.h"
#include "client/object.h"
#include "value/clock.h"
#include "value/error.h"
#include "value/trace.h"
#include "value/value.h"

void asq__ctx_init(asq_ctx *ctx, const struct asq__env *env)
{
    memset(ctx, 0, sizeof *ctx);
    ctx->env = env;
    ctx->call_id = ctx->method_name = ctx->caller_agent = "";
    ctx->attempt = 1;
    ctx->deadline_ms = INT64_MAX;
    atomic_init(&ctx->canceled, false);
    asq__error_init(&ctx->error);
}

void asq__ctx_release(asq_ctx *ctx)
{
    free(ctx->trace_text);
    asq__error_clear(&ctx->error);
}

int asq_fail(asq_ctx *ctx, int code, const char *fmt, ...)
{
    va_list ap;
    if (code >= 0)
        code = ASQ_EFAILED;
    if (!ctx)
        return code;
    if (!fmt) {
        asq__error_set(&ctx->error, code, "%s", asq_strerror(code));
        return code;
    }
    va_start(ap, fmt);
    asq__error_vset(&ctx->error, code, fmt, ap);
    va_end(ap);
    return code;
}

int asq_args(asq_ctx *ctx, const asq_value *args, const char *fmt, ...)
{
    char why[300];
    asq_value *empty = NULL;
    bool named = fmt && fmt[strspn(fmt, " ")] == '{';
    if (!ctx)
        return ASQ_EINVAL;
    bool whole = args == ctx->args; /* neither a part of them nor a state that load reads */
    /* An empty list and an empty map both mean no arguments; each fits either form. */
    if (asq_value_type(args) == (named ? ASQ_LIST : ASQ_MAP) && asq_list_size(args) == 0 &&
        asq_map_size(args) == 0) {
        if (!(empty = named ? asq_value_map() : asq_value_list()))
            return asq_fail(ctx, ASQ_ENOMEM, "out of memory");
        args = empty;
    }
    va_list ap;
    va_start(ap, fmt);
    int rc = whole ? asq__vunpack_args(args, ctx->params, why, sizeof why, fmt, ap)
                   : asq_vunpack(args, why, sizeof why, fmt, ap);
    va_end(ap);
    asq_value_free(empty);
    if (rc == 0)
        return 0;
    return asq_fail(ctx, ASQ_EARGS, "%s.%s(%s): %s", asq_ctx_class(ctx), ctx->method_name,
                    ctx->params ? ctx->params : "", why);
}

asq_value *asq_ctx_state(asq_ctx *ctx)
{
    if (!ctx)
        return NULL;
    return ctx->object ? ctx->object->state : NULL;
}

int asq_ctx_set_state(asq_ctx *ctx, asq_value *state)
{
    if (!ctx) {
        asq_value_free(state);
        return ASQ_EINVAL;
    }
    if (!ctx->object || !ctx->object->state || !state) {
        asq_value_free(state);
        return state ? asq_fail(ctx, ASQ_ESTATE, "class %s keeps its state in a struct",
                                asq_ctx_class(ctx))
                     : asq_fail(ctx, ASQ_ENOMEM, "out of memory");
    }
    asq_value_free(ctx->object->state);
    ctx->object->state = state;
    return 0;
}

void asq_ctx_keep_state(asq_ctx *ctx)
{
    if (!ctx)
        return;
    ctx->keep_state = true;
}

asq *asq_ctx_handle(asq_ctx *ctx)
{
    if (!ctx)
        return NULL;
    if (!ctx->h)
        ctx->h = ctx->env->make_handle(ctx);
    return ctx->h;
}

const char *asq_ctx_call_id(const asq_ctx *ctx)
{
    if (!ctx)
        return "";
    return ctx->call_id;
}

const char *asq_ctx_agent_id(const asq_ctx *ctx)
{
    if (!ctx)
        return "";
    return ctx->object ? ctx->object->id : "";
}

const char *asq_ctx_class(const asq_ctx *ctx)
{
    if (!ctx)
        return "";
    return ctx->cls ? ctx->cls->def.name : "";
}

const char *asq_ctx_method(const asq_ctx *ctx)
{
    if (!ctx)
        return "";
    return ctx->method_name;
}

const char *asq_ctx_worker(const asq_ctx *ctx)
{
    if (!ctx)
        return "";
    return ctx->env->worker;
}

uint64_t asq_ctx_epoch(const asq_ctx *ctx)
{
    if (!ctx)
        return 0;
    return ctx->epoch;
}

uint32_t asq_ctx_attempt(const asq_ctx *ctx)
{
    if (!ctx)
        return 0;
    return ctx->attempt;
}

int asq_ctx_trace(asq_ctx *ctx, asq_trace *ret)
{
    if (!ctx || !ret)
        return ASQ_EINVAL;
    if (!ctx->trace)
        return ASQ_ENOENT;
    if (!ctx->trace_text) {
        if (!(ctx->trace_text = malloc(ASQ__TRACE_TEXT)))
            return ASQ_ENOMEM;
        asq__trace_text(ctx->trace->parent.data, ctx->trace_text);
    }
    ret->parent = ctx->trace_text;
    ret->state = ctx->trace->state;
    return 0;
}

int64_t asq_ctx_remaining_ms(const asq_ctx *ctx)
{
    if (!ctx)
        return 0;
    if (ctx->deadline_ms == INT64_MAX)
        return ASQ_FOREVER;
    int64_t left = ctx->deadline_ms - asq__now_ms();
    return left > 0 ? left : 0;
}

bool asq_ctx_canceled(const asq_ctx *ctx)
{
    if (!ctx)
        return false;
    return atomic_load_explicit(&ctx->canceled, memory_order_relaxed) ||
           asq_ctx_remaining_ms(ctx) == 0;
}

void asq_ctx_log(asq_ctx *ctx, asq_log_level level, const char *fmt, ...)
{
    if (!ctx || !fmt)
        return;
    char text[2048];
    va_list ap;
    if (!ctx->env->log)
        return;
    int n = snprintf(text, sizeof text, "%s/%s.%s: ", asq_ctx_class(ctx), asq_ctx_agent_id(ctx),
                     ctx->method_name);
    if (n < 0 || (size_t) n >= sizeof text)
        n = 0;
    va_start(ap, fmt);
    vsnprintf(text + n, sizeof text - (size_t) n, fmt, ap);
    va_end(ap);
    const asq_log_fields fields = { .worker = ctx->env->worker,
                                    .class_name = asq_ctx_class(ctx),
                                    .method = ctx->method_name,
                                    .agent_id = asq_ctx_agent_id(ctx),
                                    .call_id = asq_ctx_call_id(ctx),
                                    .partition = *asq_ctx_call_id(ctx) /* "PARTITION-BATCH-INDEX" */
                                                     ? strtoll(asq_ctx_call_id(ctx), NULL, 10)
                                                     : -1,
                                    .epoch = ctx->epoch,
                                    .said = text + n,
                                    .signal = "" };
    ctx->env->log(ctx->env->log_user, level, text, &fields);
}

int asq_ctx_model(asq_ctx *ctx, const char *config_name, const asq_value **ret)
{
    if (!ctx || !ret)
        return ctx ? asq_fail(ctx, ASQ_EINVAL, "asq_ctx_model: an argument is NULL") : ASQ_EINVAL;
    char why[300];
    int rc = asq__model_find(ctx->env->models, config_name, ret, why, sizeof why);
    return rc < 0 ? asq_fail(ctx, rc, "%s", why) : 0;
}

void *asq_ctx_user(const asq_ctx *ctx)
{
    if (!ctx)
        return NULL;
    return ctx->cls ? ctx->cls->def.user : NULL;
}

int asq_ctx_self(asq_ctx *ctx, asq_agent **ret)
{
    if (!ctx || !ret)
        return ctx ? asq_fail(ctx, ASQ_EINVAL, "asq_ctx_self: an argument is NULL") : ASQ_EINVAL;
    int rc = asq_attach(asq_ctx_handle(ctx), asq_ctx_agent_id(ctx), ret);
    return rc < 0 ? asq_fail(ctx, rc, "%s", asq_errmsg(ctx->h)) : 0;
}
