/*
 * read.h: reads a frame (frame.h) by the library's functions for operators. What is read costs
 * Redis and the workers little: each part has a share of the time at most.
 *
 *     figures, workers, calls that have begun, the subject    with each frame
 *     how many workers there were in the last hour            once a minute
 *     last values of calls that emit, those that have not
 *     begun, failures, dead letters                           when SHARE times the time that the
 *                                                             last reading took has passed
 */
#ifndef ASQ_SRC_TOP_READ_H
#define ASQ_SRC_TOP_READ_H

#include <stdatomic.h>
#include <stdint.h>

#include "asqueue.h"
#include "history.h"
#include "top/frame.h"
#include "top/remember.h"

/* A list that is not read with each frame. */
struct as_top_kept {
    asq_value *list;
    int64_t next_ms; /* when it is read again, monotonic */
};

struct as_top_reader {
    asq *h;
    int64_t interval_ms;
    atomic_bool *stop; /* NULL, or: ends a reading (ASQ_ECANCELED) */
    struct as_top_memory memory;
    struct as_top_kept queued, failures, letters, its_failures;
    struct as_top_kept progress; /* a map: id of the call -> {emitted, value} */
    char id[ASQ_MAX_ID + 1];     /* of the agent whose failures these are */
    asq_value *failure;          /* the one that was opened, which leaves the list at some time */
    size_t n_queued[AS_TOP_CALL_STATES];
    int64_t queued_ms;
    int64_t begun_took_ms; /* the last reading of calls that have begun */
    bool more_letters;
    struct as_history history;
    int64_t history_next_ms;
};

/* Reads a frame, which the caller frees. On failure the handle has the text. */
int as_top_read(struct as_top_reader *reader, const struct as_top_wish *wish,
                struct as_top_frame **ret);
/* Returns whether it is time for the calls that have not begun; reads them. */
bool as_top_queued_is_due(const struct as_top_reader *reader);
int as_top_read_queued(struct as_top_reader *reader);
/* Frees what it has, but not the handle. */
void as_top_reader_release(struct as_top_reader *reader);

#endif
