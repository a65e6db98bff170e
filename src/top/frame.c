/*
 * frame.c: see frame.h.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "top/frame.h"

const char *const as_top_call_states[AS_TOP_CALL_STATES] = { "running", "parked", "waiting",
                                                             "delayed", "retrying" };

void as_top_frame_free(struct as_top_frame *frame)
{
    if (!frame)
        return;
    asq_value_free(frame->stats);
    asq_value_free(frame->workers);
    asq_value_free(frame->deaths);
    asq_value_free(frame->calls);
    asq_value_free(frame->progress);
    asq_value_free(frame->paused);
    asq_value_free(frame->failures);
    asq_value_free(frame->letters);
    asq_value_free(frame->record);
    asq_value_free(frame->its_calls);
    asq_value_free(frame->its_failures);
    free(frame);
}

const char *as_top_method_name(const asq_value *map, char text[AS_TOP_METHOD_NAME])
{
    const char *class_name = asq_map_string(map, "class"), *method = asq_map_string(map, "method");
    snprintf(text, AS_TOP_METHOD_NAME, "%s%s%s", class_name, *class_name && *method ? "." : "",
             method);
    return text;
}

const asq_value *as_top_find(const asq_value *list, const char *id)
{
    for (size_t i = 0; i < asq_list_size(list); i++)
        if (strcmp(asq_map_string(asq_list_get(list, i), "id"), id) == 0)
            return asq_list_get(list, i);
    return NULL;
}

double as_top_number(const asq_value *map, const char *key)
{
    double d;
    return asq_value_get_double(asq_map_get(map, key), &d) == 0 ? d : NAN;
}

/* Adds a copy of a part, if it was read. */
static int add(asq_value *map, const char *key, const asq_value *part)
{
    return part ? asq_map_set(map, key, asq_value_copy(part)) : 0;
}

asq_value *as_top_frame_value(const struct as_top_frame *frame)
{
    asq_value *map = asq_pack("{s:I, s:{}}", "time_ms", frame->time_ms, "call_counts");
    int rc = map ? 0 : ASQ_ENOMEM;
    for (size_t i = 0; rc == 0 && i < AS_TOP_CALL_STATES; i++)
        rc = asq_map_set_int(asq_map_find(map, "call_counts"), as_top_call_states[i],
                             (int64_t) frame->n_calls[i]);
    const struct {
        const char *key;
        const asq_value *part;
    } parts[] = { { "stats", frame->stats },          { "workers", frame->workers },
                  { "calls", frame->calls },          { "progress", frame->progress },
                  { "paused", frame->paused },        { "failures", frame->failures },
                  { "dead_letters", frame->letters }, { "deaths", frame->deaths } };
    for (size_t i = 0; rc == 0 && i < sizeof parts / sizeof parts[0]; i++)
        rc = add(map, parts[i].key, parts[i].part);
    if (rc == 0)
        return map;
    asq_value_free(map);
    return NULL;
}
