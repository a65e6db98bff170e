/*
 * partition.h: a partition as one process holds it, and its state. lease.h claims it and hands it
 * back.
 */
#ifndef ASQ_WORKER_PARTITION_H
#define ASQ_WORKER_PARTITION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "redis/keys.h"
#include "value/list.h"
#include "value/table.h"
#include "worker/core/actors.h"
#include "worker/core/attempts.h"
#include "worker/core/stream_id.h"

struct asq__agent_signals;
struct asq__backlog;
struct asq__class;
struct asq__commit;
struct asq__later;
struct asq__live_agents;
struct asq__process;
struct asq__reader;
struct asq__senders;

enum asq__part_state {
    ASQ__PART_IDLE,
    ASQ__PART_CLAIMING,
    ASQ__PART_ACTIVE,
    ASQ__PART_DRAINING,
    ASQ__PART_RELEASING,
    ASQ__PART_FENCED /* lost; the end of the iteration drops what it had in memory */
};

/* Count of the classes of its agents; of recount.c. */
struct asq__recount {
    char *found;       /* classes found so far; NULL: none is under way */
    uint64_t from_seq; /* no page is read before this commit is acknowledged */
    char cursor[24];   /* of HSCAN */
    uint32_t page;     /* agents of the next page; kept across counts; 0: none was read yet */
    bool asking;       /* a page is being read */
    int64_t next_ms, pause_ms;
};

struct asq__partition {
    struct asq__process *w;
    uint32_t number;
    enum asq__part_state state;
    char token[ASQ__TOKEN_TEXT];
    uint64_t epoch;
    uint64_t known_epoch; /* highest epoch that this process has heard of */
    /* Counts the claims of this process, because a reply to a query from an earlier claim is void.
     * Epochs do not tell: a Redis that has lost its last second gives one twice. */
    uint64_t ownership;
    /* The stream. */
    struct asq__reader *reader;
    struct asq__stream_id read_to; /* last entry seen */
    /* The same entry as long as no commit that Redis has taken has removed it; and that entry after
     * a lost connection, until Redis has said that it is there: nothing is read meanwhile. 0-0:
     * none. */
    struct asq__stream_id last_there, must_have;
    /* Time to give up entries under the highest ids; 0: there are none. */
    int64_t give_up_at_ms;
    struct asq__stream_id inherited;    /* entries up to here may have begun under another owner */
    struct asq__senders *senders;       /* senders of entries in this ownership; or NULL */
    size_t held_bytes;                  /* of entries in memory */
    size_t held_calls;                  /* of entries in memory, without `apart` and `left` ones */
    size_t undue_calls;                 /* of these: keep their place, and are not due */
    size_t admitted;                    /* entries in memory that were admitted beyond the bound */
    struct asq__timers *timers;         /* of its agents; of timers.c */
    struct asq__agent_signals *signals; /* to its agents; of agent_signals.c */
    struct asq__live_agents *live;      /* what is published of its agents; of live.c; or NULL */
    struct asq__later *later; /* batches that wait outside of the stream; of later_move.c */
    /* Clock of the partition: the monotonic one plus minus_mono_ms; of later_clock.c. */
    int64_t minus_mono_ms;
    /* Suspension of the machine, in all, that minus_mono_ms includes. */
    int64_t suspended_ms;
    int64_t claimed_ms;             /* time when the claim was sent */
    bool has_clock;                 /* clock was set by an earlier claim */
    struct asq__table awaits;       /* reads for clients that await results; of await.c */
    struct asq__table promises;     /* that clients await; of promises.c */
    int64_t promises_sweep_ms;      /* when those are forgotten that nobody asks for any more */
    struct asq__backlog *backlog;   /* entries left in the stream for now; or NULL */
    struct asq__list leaving;       /* in process->leaving while there is a backlog */
    struct asq__list intake;        /* entries in stream order, not dispatched yet */
    uint64_t intake_in, intake_out; /* entries that have come to the intake, and left it */
    struct asq__table entries;      /* all unfinished entries, by batch id */
    /* Agents. */
    struct asq__actor_set actors;
    struct asq__list to_fetch;     /* actors whose snapshots are to be fetched */
    struct asq__list fetching;     /* in process->fetching meanwhile */
    size_t n_active;               /* active runs */
    struct asq__attempts attempts; /* earlier attempts of its calls, as of the claim */
    /* Commits. */
    uint64_t seq, acked;      /* last commit made, last one acknowledged */
    struct asq__commit *open; /* commit being filled */
    struct asq__list commits; /* closed commits in order of seq: unsent, sent, or to be resent */
    /* In process->postponed while calls are left for the next iteration. */
    struct asq__list postponed;
    /* In process->ready while `open` has something or commits are to be sent. */
    struct asq__list ready;
    size_t in_flight, unsent;
    size_t commit_bytes; /* of `commits` */
    bool commits_many;   /* no call starts until more commits are acknowledged */
    bool refused;        /* Redis refuses a commit of it; of refused.c */
    /* Time since which it refuses commit refused_seq because of its content, and w->commits at that
     * time. 0: it does not. */
    int64_t refused_since_ms;
    uint64_t refused_seq, refused_taken;
    bool recovering;               /* a commit's outcome is unknown: read the lease first */
    bool asking;                   /* the read of the lease is under way */
    struct asq__list deferred;     /* deferred nested batches: each waits for a commit */
    struct asq__list recording;    /* runs that wait for records of their steps; of steps.c */
    struct asq__list emits;        /* runs with emitted values that have not left; of emits.c */
    struct asq__list emit_flushes; /* such values that Redis has not acknowledged, in order */
    /* In process->emitting while it has one or the other to send. */
    struct asq__list emitting;
    bool emit_now;         /* a run has ended: what it has emitted leaves now, before its commit */
    uint64_t emit_number;  /* of the last flush of such values, see emit.lua */
    int64_t emit_retry_ms; /* Redis has refused some: when it is tried again; 0: at once */
    int64_t drain_patience_ms; /* DRAINING: until then only calls of active runs start */
    int64_t drain_deadline_ms;
    /* Lease as last read, under any owner. */
    char *seen_owner, *seen_token;
    uint32_t refreshed; /* round in which the lease was read last; of lease_refresh.c */
    bool placed_here;   /* this process should own it, as the members were when last read */
    bool lease_unknown; /* its server did not answer when the lease was to be read last */
    /* Classes that it needs, as classes.h has them: those of its agents. Owned: kept by the owner,
     * `unsaved` until a commit is sent with them; otherwise as last read in the lease. */
    char *needs;
    bool needs_unsaved;
    struct asq__recount recount;
    char *wants;                         /* classes that calls here need and this process lacks */
    const struct asq__class *needs_last; /* the class noted last; most are of the same */
    struct asq__former *former; /* CLAIMING: who owned it, and is gone; of takeover.c; or NULL */
    int64_t unowned_since_ms;
    struct asq__list claim; /* in process->claims while it is to be claimed */
    /* Work for the end of the iteration. */
    struct asq__list fenced;  /* in process->fenced while FENCED */
    struct asq__list drained; /* in process->drained while it may be empty */
};

/* Returns whether this process works for it. Nothing of a partition that is not owned starts, is
 * taken in, or is sent to Redis. */
static inline bool asq__partition_is_owned(const struct asq__partition *p)
{
    return p->state == ASQ__PART_ACTIVE || p->state == ASQ__PART_DRAINING;
}
/* Notes the last entry seen. */
static inline void asq__partition_note_read(struct asq__partition *p, struct asq__stream_id id)
{
    p->read_to = p->last_there = id;
}
static inline bool asq__partition_may_read(const struct asq__partition *p)
{
    return !p->must_have.ms && !p->must_have.n;
}
/* Makes a step of its state, and counts. Aborts if the step is not in the picture. */
void asq__partition_enter(struct asq__partition *p, enum asq__part_state state);
/* Notes an epoch under which it was held. */
void asq__partition_note_epoch(struct asq__partition *p, uint64_t epoch);
/* Gives it up: it is another worker's, or what is in memory is of no use any more. It is not owned
 * from now on. Effects that Redis has not acknowledged are void, and the next owner starts from
 * Redis. Entries, calls and agents in memory stay valid until the end of the iteration, because
 * callers still hold them. Does nothing if it is not held. */
void asq__partition_abandon(struct asq__partition *p, const char *why);
/* Has the end of the iteration, or the next one, start what may start. */
void asq__partition_resume_later(struct asq__partition *p);
/* Has the end of the iteration hand it back, if it is draining and empty then. */
void asq__partition_release_if_empty(struct asq__partition *p);

#endif
