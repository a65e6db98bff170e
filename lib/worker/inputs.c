/*
 * inputs.c: results of other calls, given to a call as arguments. They are awaited before its method
 * starts; then each stands in the arguments as its value. On the loop only.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "worker/process.h"

struct input {
    struct asq__call call;
    struct asq__inputs *inputs;
    size_t at; /* index in the list or map of arguments */
    bool pending;
};

struct asq__inputs {
    struct asq__wcall *c;
    asq_value *args;
    struct asq__buf encoded; /* of args, once all are there */
    char *failure;
    size_t n, pending;
    struct input items[];
};

static const asq_value *slot(const asq_value *args, size_t i, const char **ret_key)
{
    *ret_key = NULL;
    return asq_value_type(args) == ASQ_LIST ? asq_list_get(args, i) : asq_map_at(args, i, ret_key);
}

static void fail(struct asq__inputs *in, const char *id, const char *why)
{
    char text[1200];
    if (in->failure)
        return;
    snprintf(text, sizeof text,
             "it was not run: the result of call %s, given as an argument, is a failure: %s", id,
             why);
    in->failure = strdup(text);
    if (!in->failure)
        in->failure = strdup("out of memory");
}

static void settled(struct asq__inputs *in)
{
    if (in->failure)
        return;
    if (asq__value_encode(in->args, &in->encoded) < 0)
        fail(in, "?", "the arguments are too large with it in their place");
}

static void input_done(struct asq__call *call, const Asqueue__Result *result,
                       const asq_error *error)
{
    struct input *item = ASQ__CONTAINER(call, struct input, call);
    struct asq__inputs *in = item->inputs;
    asq_value *value = NULL;
    char id[ASQ__CALL_ID_TEXT], why[200];
    const char *text = "", *key;
    asq_value_get_future(slot(in->args, item->at, &key), &text);
    snprintf(id, sizeof id, "%s", text);
    item->pending = false;
    in->pending--;
    if (error || result->failure) {
        fail(in, id, error ? error->message : result->failure->message);
    } else {
        int rc = result->value.len ? asq__value_decode(result->value.data, result->value.len,
                                                       &value, why, sizeof why)
                                   : 0;
        if (rc == 0 && !value)
            value = asq_value_null();
        if (rc < 0)
            fail(in, id, why);
        else if ((key ? asq_map_set(in->args, key, value)
                      : asq_list_set(in->args, item->at, value)) < 0)
            fail(in, id, "out of memory");
    }
    if (in->pending == 0) {
        settled(in);
        if (in->c->actor && in->c->state == ASQ__CALL_INPUTS)
            asq__actor_go_on(in->c->actor);
    }
}

int asq__inputs_begin(struct asq__wcall *c)
{
    const Asqueue__Job *job = c->entry->batch->jobs[c->index];
    struct asq__process *w = c->entry->part->w;
    asq_value *args = NULL;
    int rc = asq__value_decode(job->args.data, job->args.len, &args, NULL, 0);
    if (rc < 0)
        return rc;
    size_t n = asq_value_type(args) == ASQ_LIST ? asq_list_size(args) : asq_map_size(args);
    struct asq__inputs *in = calloc(1, sizeof *in + n * sizeof in->items[0]);
    if (!in) {
        asq_value_free(args);
        return ASQ_ENOMEM;
    }
    in->c = c;
    in->args = args;
    asq__buf_init(&in->encoded, w->config.max_message_size);
    c->inputs = in;
    in->pending = 1; /* until all are asked for */
    for (size_t i = 0; i < n; i++) {
        const char *text, *key;
        struct asq__call_id id;
        struct input *item = &in->items[in->n];
        if (asq_value_get_future(slot(args, i, &key), &text) < 0)
            continue;
        item->call.done = input_done;
        item->inputs = in;
        item->at = i;
        in->n++;
        rc = asq__call_id_parse(text, &id);
        if (rc == 0 && id.partition >= w->nparts)
            rc = ASQ_EINVAL;
        if (rc == 0)
            rc = asq__engine_await(w->engine, &id, &item->call);
        if (rc < 0) {
            fail(in, text, asq_strerror(rc));
            continue;
        }
        item->pending = true;
        in->pending++;
    }
    if (--in->pending == 0)
        settled(in);
    return 0;
}

bool asq__inputs_ready(const struct asq__wcall *c)
{
    return c->inputs && (c->inputs->pending == 0 || c->inputs->failure);
}

bool asq__inputs_pending(const struct asq__wcall *c, size_t skip, struct asq__call_id *ret)
{
    const struct asq__inputs *in = c->inputs;
    const char *key, *text;
    for (size_t i = 0; in && i < in->n; i++)
        if (in->items[i].pending && skip-- == 0)
            return asq_value_get_future(slot(in->args, in->items[i].at, &key), &text) == 0 &&
                   asq__call_id_parse(text, ret) == 0;
    return false;
}

const char *asq__inputs_failure(const struct asq__wcall *c)
{
    return c->inputs ? c->inputs->failure : NULL;
}

const void *asq__inputs_args(const struct asq__inputs *in, size_t *n)
{
    *n = in->encoded.len;
    return in->encoded.data;
}

void asq__inputs_free(struct asq__inputs *in)
{
    if (!in)
        return;
    for (size_t i = 0; i < in->n; i++)
        if (in->items[i].pending)
            asq__engine_abandon(in->c->entry->part->w->engine, &in->items[i].call);
    asq_value_free(in->args);
    asq__buf_release(&in->encoded);
    free(in->failure);
    free(in);
}
