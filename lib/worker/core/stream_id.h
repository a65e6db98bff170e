/*
 * stream_id.h: ids of stream entries.
 */
#ifndef ASQ_WORKER_CORE_STREAM_ID_H
#define ASQ_WORKER_CORE_STREAM_ID_H

#include <stdbool.h>
#include <stdint.h>

struct asq__stream_id {
    uint64_t ms, n;
};

enum { ASQ__STREAM_ID_TEXT = 48 };

bool asq__stream_id_is_at_most(struct asq__stream_id a, struct asq__stream_id b); /* a <= b */
/* Reads "ms-n". Returns 0, or ASQ_EPARSE with *ret unchanged. */
int asq__stream_id_parse(const char *text, struct asq__stream_id *ret);
void asq__stream_id_format(struct asq__stream_id id, char out[ASQ__STREAM_ID_TEXT]);

#endif
