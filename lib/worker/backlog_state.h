/*
 * backlog_state.h: declarations shared by backlog.c and backlog_read.c: the entries that are left
 * in a partition's stream.
 */
#ifndef ASQ_WORKER_BACKLOG_STATE_H
#define ASQ_WORKER_BACKLOG_STATE_H

#include "value/list.h"
#include "value/table.h"
#include "worker/core/notes.h"
#include "worker/partition.h"
#include "worker/core/stream_id.h"

/* An agent with entries that are left. Exists as long as it has notes. */
struct asq__left {
    struct asq__node node;    /* in backlog->left, by agent id */
    struct asq__list order;   /* in backlog->agents */
    struct asq__list thirsty; /* in backlog->thirsty */
    struct asq__notes notes;  /* entries with calls to it, in the order of the stream */
    size_t calls;             /* calls in them to it, about */
    size_t bytes;             /* counted for it in process->noted_bytes */
    uint64_t taken_upto;      /* part->intake_in when its last entry was taken in */
    uint32_t id_n;
    char id[];
};

struct asq__backlog {
    struct asq__table left;
    struct asq__list agents; /* of `left`; the one to be read next first */
    struct asq__list
        thirsty;  /* agents that may be without work; every agent without work is in it */
    size_t bytes; /* of notes */
    size_t noted_calls;
    bool all;                   /* everything from `from` on is left */
    struct asq__stream_id from; /* first entry that is not noted */
    size_t calls;               /* from there on, as far as they were seen */
    size_t stopped_at; /* memory in use when the first of them found no room; 0: it may find it */
    bool was_all;      /* the last read was of everything from `from` on, not of notes */
    bool reading;
    bool refused;       /* Redis refused the read, or it was in vain: read again after a while */
    bool put_off;       /* entries that are noted are in the intake for other agents */
    int64_t starved_ms; /* time since which thirsty agents find no room; 0: they find room */
    bool has_cancels;   /* the table is there */
    struct asq__table canceled;
};

/* Returns whether the process holds more than `bytes`, and this partition at least `entries`
 * entries or large ones. Entries admitted beyond the bound do not count; they have a bound of their
 * own. */
bool asq__backlog_is_full(const struct asq__partition *p, size_t bytes, size_t entries);
/* Returns whether an entry of `bytes` may be admitted beyond the bound, in addition to `coming`
 * bytes that are being read. */
bool asq__backlog_may_admit(const struct asq__partition *p, size_t coming, size_t bytes,
                            bool needs_inputs, unsigned times);
/* Returns whether the agent has hardly any calls except calls that begin at once. */
bool asq__left_is_thirsty(const struct asq__partition *p, const struct asq__left *l);
/* Returns whether notes leave enough memory for more of them. */
bool asq__backlog_can_note(const struct asq__partition *p);
/* Removes the first note of an agent; with the last note, `l` is freed. */
void asq__left_pop(struct asq__partition *p, struct asq__left *l);
/* Ends the backlog if nothing is left, and so much room is free that it would not begin again at
 * once. */
void asq__backlog_check_end(struct asq__partition *p);

enum {
    ASQ__BACKLOG_AT_LEAST = 64
}; /* entries that every partition may hold if they are small; else one */

#endif
