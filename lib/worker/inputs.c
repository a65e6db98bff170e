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
    struct asq__future_place place; /* in the arguments; its future is there while pending */
    bool pending;
};

struct asq__inputs {
    struct asq__wcall *c;
    asq_value *args;
    struct asq__buf encoded; /* of args, once all are there */
    char *failure;
    size_t bytes; /* of the results that are there, encoded */
    size_t n, pending;
    struct input items[];
};

static void fail(struct asq__inputs *in, const char *id, const asq_error *why)
{
    struct asq__error e;
    if (in->failure)
        return;
    asq__error_init(&e);
    asq__error_input(&e, id, why);
    in->failure = strdup(e.pub.message);
    if (!in->failure)
        in->failure = strdup("out of memory");
    asq__error_clear(&e);
}

/* Fails for a reason that is not a method's. */
static void fail_with(struct asq__inputs *in, const char *id, int code, const char *text)
{
    fail(in, id, &(asq_error){ code, text, "", "", "", "", "" });
}

static void fail_to_put(struct asq__inputs *in, const char *id, const char *why)
{
    char text[300];
    if (in->failure)
        return;
    snprintf(text, sizeof text,
             "it was not run: with the result of call %s in their place the arguments %s", id, why);
    in->failure = strdup(text);
    if (!in->failure)
        in->failure = strdup("out of memory");
}

/* All are there. */
static void settled(struct asq__inputs *in)
{
    if (!in->failure && asq__value_encode(in->args, &in->encoded) < 0)
        fail_to_put(in, "(the last)", "are too large");
}

/* Puts a result into the arguments. More than one message may hold is refused as soon as it is known:
 * until then a call with many inputs holds as many large results. */
static void put(struct asq__inputs *in, const struct input *item, const char *id,
                const Asqueue__Result *result)
{
    asq_value *value = NULL;
    char why[200];
    in->bytes += result->value.len;
    if (in->bytes > in->encoded.max) {
        fail_to_put(in, id, "are too large");
        return;
    }
    int rc = result->value.len
                 ? asq__value_decode(result->value.data, result->value.len, &value, why, sizeof why)
                 : 0;
    if (rc < 0) {
        fail_with(in, id, rc, why);
        return;
    }
    rc = asq__future_replace(&in->args, &item->place, value ? value : asq_value_null());
    if (rc < 0)
        fail_to_put(in, id,
                    rc == ASQ_ELIMIT ? "are nested too deep" : "find no memory: out of memory");
}

static void input_done(struct asq__call *call, const Asqueue__Result *result,
                       const asq_error *error)
{
    struct input *item = ASQ__CONTAINER(call, struct input, call);
    struct asq__inputs *in = item->inputs;
    char id[ASQ__CALL_ID_TEXT];
    snprintf(id, sizeof id, "%s", item->place.future->future->text);
    item->pending = false;
    in->pending--;
    if (error)
        fail(in, id, error);
    else if (result->failure)
        fail(in, id,
             &(asq_error){ .code = result->failure->code,
                           .message = result->failure->message,
                           .class_name = result->failure->class_name,
                           .method = result->failure->method,
                           .agent_id = result->failure->agent,
                           .worker = "",
                           .call_id = "" });
    else if (!in->failure)
        put(in, item, id, result);
    if (in->pending == 0) {
        settled(in);
        if (in->c->actor && in->c->state == ASQ__CALL_INPUTS)
            asq__actor_go_on(in->c->actor);
    }
}

static int count(void *user, const struct asq__future_place *place)
{
    size_t *n = user;
    (void) place;
    return ++*n > ASQ_MAX_FUTURES ? ASQ_ELIMIT : 0;
}

static int note(void *user, const struct asq__future_place *place)
{
    struct asq__inputs *in = user;
    struct input *item = &in->items[in->n++];
    item->call.done = input_done;
    item->inputs = in;
    item->place = *place;
    return 0;
}

/* One that is there already, as an engine may tell at once, takes its place then. */
static void await(struct asq__inputs *in, struct input *item)
{
    struct asq__process *w = in->c->entry->part->w;
    const char *text = item->place.future->future->text;
    struct asq__call_id id;
    int rc = asq__call_id_parse(text, &id);
    if (rc == 0 && id.partition >= w->nparts)
        rc = ASQ_EINVAL;
    item->pending = true;
    in->pending++;
    if (rc == 0)
        rc = asq__engine_await(w->engine, &id, &item->call);
    if (rc < 0) {
        item->pending = false;
        in->pending--;
        fail_with(in, text, rc, asq_strerror(rc));
    }
}

int asq__inputs_begin(struct asq__wcall *c)
{
    const Asqueue__Job *job = c->entry->batch->jobs[c->index];
    struct asq__process *w = c->entry->part->w;
    struct asq__inputs *in = NULL;
    asq_value *args = NULL;
    size_t n = 0;
    int rc = asq__value_decode_marked(job->args.data, job->args.len, &args, NULL, 0);
    if (rc == 0)
        rc = asq__value_each_future(args, count, &n);
    if (rc == 0 && !(in = calloc(1, sizeof *in + n * sizeof in->items[0])))
        rc = ASQ_ENOMEM;
    if (rc < 0) {
        asq_value_free(args);
        return rc; // cppcheck-suppress memleak ; there is no `in` then
    }
    in->c = c;
    in->args = args;
    asq__buf_init(&in->encoded, w->config.max_message_size);
    c->inputs = in;
    asq__value_each_future(args, note, in);
    in->pending = 1; /* until all are asked for */
    for (size_t i = 0; i < in->n; i++)
        await(in, &in->items[i]);
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
    for (size_t i = 0; in && i < in->n; i++)
        if (in->items[i].pending && skip-- == 0)
            return asq__call_id_parse(in->items[i].place.future->future->text, ret) == 0;
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
