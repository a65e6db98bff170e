/*
 * frame.h: what as-ctl top has read of a deployment at one time: values of the library, as they
 * came from Redis. Parts that were not read are NULL; what they have may be of any form.
 */
#ifndef ASQ_SRC_TOP_FRAME_H
#define ASQ_SRC_TOP_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "asqueue.h"
#include "history.h"

enum as_top_subject {
    AS_TOP_NOTHING,
    AS_TOP_AGENT,
    AS_TOP_WORKER,
    AS_TOP_LETTER,
    AS_TOP_METHOD, /* CLASS.METHOD, as as_top_method_name writes it */
    AS_TOP_FAILURE
};

/* A wish of the screen: what is read besides what each frame has. */
struct as_top_wish {
    enum as_top_subject subject;
    char id[ASQ_MAX_ID + 1];
    bool failures;   /* the list of failures */
    int64_t last_ms; /* of stats */
    bool paused;     /* nothing is to be read */
};

enum { AS_TOP_CALL_STATES = 5 };
extern const char *const as_top_call_states[AS_TOP_CALL_STATES];

struct as_top_frame {
    int64_t read_ms;           /* when it was complete, monotonic */
    int64_t time_ms;           /* the same, Unix time */
    asq_value *stats;          /* of asq_stats */
    asq_value *workers;        /* of asq_workers_live; also those that are gone (remember.h) */
    asq_value *deaths;         /* of asq_workers_dead */
    struct as_history history; /* how many workers there were */
    asq_value *calls; /* of asq_calls_each: the oldest that run or are parked, and of the others */
    size_t n_calls[AS_TOP_CALL_STATES]; /* all of them, by state */
    int64_t queued_ms;   /* when those that neither run nor are parked were read, monotonic */
    asq_value *progress; /* the last value of calls that emit, by their ids */
    asq_value *paused;   /* of asq_paused */
    asq_value *failures; /* of asq_failures, the newest */
    asq_value *letters;  /* of asq_dead_list, the newest */
    bool more_letters;   /* there may be others */
    char note[300];      /* a part that could not be read, and why; "" */
    /* Of the subject. */
    enum as_top_subject subject;
    char id[ASQ_MAX_ID + 1];
    char why[300];     /* it could not be read; "" */
    asq_value *record; /* of asq_show or asq_dead_show; a failure */
    asq_value *its_calls, *its_failures;
};

void as_top_frame_free(struct as_top_frame *frame);
/* Makes the frame as one map for JSON; NULL: no memory. */
asq_value *as_top_frame_value(const struct as_top_frame *frame);

/* Writes what a map of a call, a failure or figures is about, as CLASS.METHOD. */
enum { AS_TOP_METHOD_NAME = 2 * ASQ_MAX_ID + 4 };
const char *as_top_method_name(const asq_value *map, char text[AS_TOP_METHOD_NAME]);

/* Finds a map in a list by its id. NULL: there is none. */
const asq_value *as_top_find(const asq_value *list, const char *id);

/* Reads a field of any value: NAN if there is no number. */
double as_top_number(const asq_value *map, const char *key);

#endif
