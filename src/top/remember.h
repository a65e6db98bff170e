/*
 * remember.h: the workers of earlier frames. A worker that dies goes out of the list of Redis when
 * others take over from it, and one that its supervisor starts again has the same id: what became
 * of them is told from here.
 */
#ifndef ASQ_SRC_TOP_REMEMBER_H
#define ASQ_SRC_TOP_REMEMBER_H

#include <stddef.h>
#include <stdint.h>

#include "asqueue.h"

enum { AS_TOP_REMEMBER_MS = 10 * 60 * 1000 };

struct as_top_memory {
    struct as_top_known {
        asq_value *worker;  /* as it was last listed */
        int64_t listed_ms;  /* when; monotonic */
        double up_ms;       /* when it last told; NAN: never */
        const char *became; /* "died", "left", "restarted"; NULL: nothing */
        int64_t became_ms;
    } * known;
    size_t n, room;
};

/* Adds to a list of asq_workers_live, for some minutes, the workers of earlier lists with "became":
 * "died" or "left"; and to a worker that has started again, became: "restarted". now_ms is
 * monotonic. ASQ_ENOMEM: some are missing. */
int as_top_remember(struct as_top_memory *memory, asq_value *workers, int64_t now_ms);
void as_top_forget(struct as_top_memory *memory);

#endif
