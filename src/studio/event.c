/*
 * event.c: see event.h.
 */
#include "studio/event.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct as_frame *as_frame_new(const char *event, uint64_t id, const asq_value *v)
{
    char *json = NULL, head[80];
    if (!v || asq_to_json(v, 0, &json) < 0)
        return NULL;
    int n = id ? snprintf(head, sizeof head, "id: %llu\nevent: %s\ndata: ", (unsigned long long) id,
                          event)
               : snprintf(head, sizeof head, "event: %s\ndata: ", event);
    size_t size = strlen(json);
    struct as_frame *f = malloc(sizeof *f + (size_t) n + size + 3);
    if (f) {
        f->refs = 1;
        f->version = id;
        f->head = (size_t) n;
        f->n = f->head + size + 2;
        memcpy(f->text, head, f->head);
        memcpy(f->text + f->head, json, size);
        memcpy(f->text + f->head + size, "\n\n", 3);
    }
    free(json);
    return f;
}

void as_frame_unref(struct as_frame *f)
{
    if (f && --f->refs == 0)
        free(f);
}

char *as_frame_json(const struct as_frame *f)
{
    return strndup(f->text + f->head, f->n - f->head - 2);
}
