/*
 * batch.h: declarations that the files of the engine share: batches and their life.
 *
 *     engine.c        creation and events: connection up, connection lost, a second has passed
 *     submit.c        turns calls into batches, and batches into stream entries
 *     resend.c        resends batches after a lost connection or a temporary refusal
 *     fetch.c         reads result records, a bounded part at a time
 *     query.c         asks Redis about quiet batches; sends jobs about other calls
 *     batch_state.h   takes a batch from state to state
 *     batch.c         applies results, completes calls
 *     forget.c        removes records
 *     progress.c      reads what calls emit
 *     resettle.c      settles promises again that Redis has lost
 *     hearing.c       in a Cluster: subscribes to the pushes of the partitions that are called
 *     creations.c     in a Cluster: holds calls that have got an agent until the agent is there
 */
#ifndef ASQ_CLIENT_BATCH_H
#define ASQ_CLIENT_BATCH_H

#include <ev.h>
#include <hiredis/hiredis.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "client/creations.h"
#include "client/engine.h"
#include "redis/cmd.h"
#include "redis/keys.h"
#include "value/arena.h"
#include "value/buf.h"
#include "value/lines.h"
#include "value/list.h"
#include "value/msg.h"
#include "value/table.h"
#include "value/value.h"

enum {
    ASQ__QUIET_FIRST_MS = 2000, /* silence before a batch is queried; doubles with each query */
    ASQ__QUIET_MAX_MS = 30000,
    ASQ__UNLINK_AT = 256,
    ASQ__LABEL_MAX = 320
};

#define ASQ__BATCH_MAX ((size_t) 1 << 31) /* bytes */

/*
 * States of a batch. batch_state.h has these steps; any other one aborts.
 *
 *                      close_open()     send_batch()       on_added(): its id
 *     NEW ─▶ OPEN ──────────────▶ READY ───────────▶ SENT ─────────────────▶ ACCEPTED
 *      │                          │  ▲               │ │                     │  ▲
 *      │                          │  │               │ └─ for now ─▶ REFUSED │  │
 *      │                          │  └───────────────┴─────────────────┴─────┘  │
 *      │                          │        asq__engine_resend(), asq__engine_resend_refused()
 *      │   ▲                      └───────── keep_waiting(): Redis has it ──────┘
 *      │   │ adopt(): its method runs again here; back, where memory is short
 *      └─▶ FOREIGN
 *
 *     READY, SENT, REFUSED, ACCEPTED ──▶ PINNED    asq__batch_end(): all results are there
 *     every state but NEW and ENDED ───▶ ENDED     asq__batch_end(), asq__batch_fail();
 *                                                  from PINNED also asq__engine_unpin()
 */
enum asq__batch_state {
    ASQ__BATCH_NEW,      /* neither counted nor in a list yet */
    ASQ__BATCH_OPEN,     /* takes further calls; in e->open */
    ASQ__BATCH_READY,    /* complete, to be sent; in e->ready, or in e->blocked while it may not */
    ASQ__BATCH_SENT,     /* no reply yet; in e->sent, as the next two */
    ASQ__BATCH_REFUSED,  /* temporarily; resent at the next tick */
    ASQ__BATCH_ACCEPTED, /* in its stream, on this connection */
    ASQ__BATCH_FOREIGN,  /* made elsewhere, and only awaited; in e->foreign */
    ASQ__BATCH_PINNED,   /* has all results; its record stays until asq__engine_unpin() */
    ASQ__BATCH_ENDED     /* not in the table any more; in e->ended_batches until its last answer */
};

/* The furthest that a batch has come on any connection. */
enum asq__batch_history { ASQ__NEVER_SENT, ASQ__WAS_SENT, ASQ__WAS_ACCEPTED };

/* The read of a batch's record up to its end. */
enum asq__batch_reading {
    ASQ__READING_NOT,
    ASQ__READING_NOW,
    ASQ__READING_TWICE /* under way, and to be repeated, because the record may have grown */
};

/* Redis' answer about a batch that was sent on a lost connection. */
enum asq__asked {
    ASQ__ASKED_NOT,
    ASQ__ASKED_WAITS, /* in the stream or in later:jobs, without a result record */
    ASQ__ASKED_RECORD,
    ASQ__ASKED_MISSING,
    ASQ__ASKED_OUT_OF_ORDER /* missing, and a later batch was accepted: never resend */
};

/* Fields that only a batch made inside a method has. */
struct asq__guard {
    uint32_t partition; /* of the calling agent */
    char token[ASQ__TOKEN_TEXT];
    char entry[48]; /* stream id of the calling call's entry */
    uint64_t epoch, seq;
    void (*notify)(void *user, enum asq__batch_verdict verdict); /* NULL: was called */
    void *user;                                                  /* the run; NULL: notified */
};

struct asq__batch {
    struct asq__node node; /* in e->batches, by id */
    /* In e->ready, e->blocked or e->sent, in the order of creation; or in e->foreign or
     * e->ended_batches. */
    struct asq__list order;
    struct asq__list watch;     /* in e->watch while a call is awaited; longest unchecked first */
    struct asq__engine *engine; /* NULL: the engine was freed, and replies are still pending */
    enum asq__batch_state state;
    uint8_t id[ASQ__BATCH_ID];
    uint32_t partition;
    uint64_t number; /* grows from each batch to the next */
    int64_t made_ms; /* creation of its calls; monotonic, coarse */
    struct asq__buf bytes;
    /* Fixed prefix of `bytes`; the marks behind it are rewritten before each resend. */
    size_t body;
    char label[ASQ__CALL_LABEL];
    struct asq__call **calls; /* [index] → the waiting call; NULL: finished */
    struct asq__call *first;  /* storage of `calls` while cap is 1 */
    size_t n, cap, unfinished;
    struct asq__completing *completing; /* calls being completed now; private to batch.c */
    struct asq__call *foreign; /* waiters for calls made elsewhere, or done; chained by next */
    unsigned answers;          /* pending replies and other uses that keep the batch in memory */
    enum asq__batch_reading reading;
    unsigned announced;       /* pending reads of announced parts of the record */
    uint64_t seen;            /* bytes read from the record's beginning */
    struct asq__guard *guard; /* made inside a method; else NULL */
    enum asq__batch_history history;
    enum asq__record_policy record_policy; /* of the record, once all results are there */
    /* pinned: the record must outlive the results, until asq__engine_unpin(). */
    bool pinned;
    /* resent: a copy may have been sent before. It is marked so, and its record is not unlinked. */
    bool resent;
    /* from_old_connection: created on an earlier one; the call that made it may be lost. */
    bool from_old_connection;
    /* had_entry: Redis has had an entry of it, and lost it. */
    bool had_entry;
    /* garbled: the record has failed to decode once. */
    bool garbled;
    /* left: by the current query, neither in the stream nor in later:jobs. */
    bool left;
    /* heard: counted among those that wait for pushes of their partition; of hearing.c. */
    bool heard;
    /* alone: nothing leaves to its partition before it is answered. */
    bool alone;
    /* creates: has creations, and is not accepted yet; of creations.c. */
    bool creates;
    struct asq__awaited *awaited; /* before it may leave; of creations.c */
    size_t n_awaited;
    unsigned losses; /* connections lost that the batch's size may have caused */
    enum asq__asked asked;
    /* The batch's entry, if in the stream, stands behind an entry whose id has this time. */
    uint64_t since_ms;
    char entry[48]; /* stream id, once accepted */
    int64_t query_at_ms, quiet_ms;
    int64_t refreshed_ms; /* PINNED: last time its record was known to exist; coarse */
    int64_t again_ms;     /* unpinned: how long another run may take to come to its calls */
};

/* Rights that a client's user may lack while its calls still work. */
enum asq__denied {
    ASQ__DENIED_READ,   /* results */
    ASQ__DENIED_ASK,    /* outcome of calls after a lost connection */
    ASQ__DENIED_QUERY,  /* quiet calls: still waiting or not */
    ASQ__DENIED_FORGET, /* removal of results that have arrived */
    ASQ__DENIED_KINDS
};

/* Of a partition whose stream takes no entry until its owner has made it anew. */
enum asq__alone {
    ASQ__ALONE_NOT,
    ASQ__ALONE_NEXT, /* the next batch leaves alone */
    ASQ__ALONE_SENT  /* nothing leaves before it is answered */
};

struct asq__engine {
    struct asq__engine_config config;
    struct asq__redis *redis;
    struct asq__table batches;
    /* blocked: READY batches of partitions of which nothing may leave now, so that those of others
     * are not looked for among them. Of one partition they are older than those in `ready`. */
    struct asq__list ready, blocked, sent, foreign, watch;
    struct asq__list ended_batches; /* ended batches with pending replies */
    struct asq__batch **open;       /* [partition] */
    uint32_t partitions;
    size_t opened;       /* open batches */
    uint32_t *open_list; /* partitions of the open batches */
    uint64_t counter;
    size_t unfinished, backlog, unaccepted;
    /* [partition]: highest number of a batch whose result arrived before the reply to its XADD. */
    uint64_t *ended;
    uint64_t *taken_ms; /* [partition]: time in the id of the last accepted entry */
    uint64_t *left;     /* [partition]: highest number of a batch that has left */
    /* [partition]: its slot of a Cluster moves, or its node takes nothing now, so its batches wait
     * until the next tick; `moves`: one does. */
    bool *moving, moves;
    /* [partition]: its node, one of several, takes no more bytes for now; n_full: how many. */
    bool *full;
    uint32_t n_full;
    /* [partition]: whether one batch is to leave, and the others after its reply; n_alone: of how
     * many it is. */
    enum asq__alone *alone;
    uint32_t n_alone;
    /* [partition]; creating: how many have creations under way; holding: one of them holds batches;
     * holding_briefly: for the answer of a server that is there; released: these are to be looked
     * at again. */
    struct asq__creations *creations;
    uint32_t creating;
    bool holding, holding_briefly, released;
    struct asq__list fetches;  /* queued reads of records */
    size_t fetching;           /* bytes of replies under way, estimated */
    size_t fetch_guess;        /* estimated size of a record that was not read yet */
    bool only_get, no_get;     /* the user may not run GETRANGE; may not run GET either */
    bool no_eval;              /* the user may not run scripts */
    bool reading_entry;        /* a large entry is being read because there.lua may not run */
    unsigned denied_logged;    /* bits: enum asq__denied */
    struct asq__list progress; /* reads of what calls emit that have got nothing yet */
    /* Pending taken.lua queries, which block the sending to the partitions that they ask. */
    struct asq__list queries;
    /* [partition]: number of the round of queries that it waits for; 0: none. */
    uint32_t *rounds;
    uint32_t last_round;
    struct asq__cmd unlink;           /* UNLINK of records no longer needed; empty: none */
    struct asq__forgotten *forgotten; /* the same in a Cluster: room for ASQ__UNLINK_AT, or NULL */
    size_t n_forgotten;
    struct asq__list settled; /* outcomes of promises that may be lost; of resettle.c */
    size_t n_settled, settled_bytes;
    unsigned settled_again, settled_lost; /* since the last line about them */
    char settled_lost_id[ASQ__CALL_ID_TEXT];
    struct asq__hearing *hearing;    /* in a Cluster: partitions whose pushes are heard; or NULL */
    struct asq__lines lines;         /* limits log lines that may repeat */
    struct asq__arena pushed, other; /* for a pushed message, and for one nested in it */
    ev_timer tick;
    struct ev_loop *loop;
    bool up, closing;
    bool stalled;       /* Redis accepts nothing now; retried at the next tick */
    bool reconnect;     /* retry on a new connection */
    int64_t renewed_ms; /* last renewal of records; coarse */
    bool suspected;     /* a batch is already suspected of the current connection loss */
};

/* batch.c */
const void *asq__batch_key(const struct asq__node *node, size_t *n);
/* Creates a batch, which is NEW, in the table of batches and in no list. The caller takes it to
 * OPEN or FOREIGN. `label` may be NULL. */
int asq__batch_new(struct asq__engine *e, uint32_t partition, const uint8_t id[ASQ__BATCH_ID],
                   const char *label, struct asq__batch **ret);
void asq__batch_label(struct asq__batch *b, const char *label); /* NULL: as it was */
int asq__batch_add_call(struct asq__batch *b, struct asq__call *call);
/* Leaves the batch's record to a TTL. */
void asq__batch_keep_record(struct asq__batch *b);
/* Calls `notify` of a method's batch, once. */
void asq__batch_notify(struct asq__batch *b, enum asq__batch_verdict verdict);
/* Returns whether `b` must not come after `later`, both of one partition. Calls of different method
 * runs have no order. */
bool asq__batch_is_in_order_with(const struct asq__batch *b, const struct asq__batch *later);
/* Ends a batch without waiters: keeps its record while `pinned` is set, else forgets it. The batch
 * may be freed. */
void asq__batch_end(struct asq__engine *e, struct asq__batch *b);
/* Forgets the batch, and completes its unfinished calls with an error. A call that their `done`
 * awaits anew gets a new batch. */
void asq__batch_fail(struct asq__engine *e, struct asq__batch *b, int code, const char *why);
/* Counts one pending reply as arrived; frees an ended batch after its last one. */
void asq__batch_answered(struct asq__batch *b);
/* Applies the result record of `expected`, or a pushed message (NULL). False if it cannot be
 * decoded or is another batch's. */
bool asq__engine_apply(struct asq__engine *e, const void *payload, size_t n,
                       struct asq__batch *expected);
/* Renews the TTL of pinned records, and so finds lost ones, whose results a method may have
 * used. */
void asq__engine_refresh_pinned(struct asq__engine *e);
/* Returns whether a partition is among those of a call. */
static inline bool asq__engine_concerns(const bool *parts, uint32_t partition)
{
    return !parts || parts[partition];
}

/* forget.c */
/* Removes a record with the next flush; in a Cluster also: gives it a TTL then. ttl_ms 0: it is
 * removed. */
void asq__engine_forget_soon(struct asq__engine *e, uint32_t partition,
                             const uint8_t id[ASQ__BATCH_ID], int64_t ttl_ms);
void asq__engine_flush_unlinks(struct asq__engine *e);
/* Leaves the records of the partitions p with parts[p] to their TTLs; NULL: all. */
void asq__engine_drop_unlinks(struct asq__engine *e, const bool *parts);
/* Gives a record that is not removed now a TTL. */
void asq__engine_expire_soon(struct asq__engine *e, uint32_t partition,
                             const uint8_t id[ASQ__BATCH_ID]);

/* engine.c */
/* Lets the batches of all partitions leave again. */
void asq__engine_forget_moves(struct asq__engine *e);

/* submit.c */
/* Makes the tables by partition, or makes them longer, once the partitions are known. */
int asq__engine_open_tables(struct asq__engine *e);
/* Makes room for a partition of which somebody else has told. ASQ_EINVAL: there can be none. */
int asq__engine_reach(struct asq__engine *e, uint32_t partition);
/* Returns whether batches of a partition must wait: it has no server, Redis is being asked what has
 * become of earlier ones, or its server takes none until the next tick. */
bool asq__engine_blocks(const struct asq__engine *e, uint32_t partition);
void asq__engine_send_ready(struct asq__engine *e);
void asq__engine_close_open(struct asq__engine *e); /* makes all open batches ready */
/* Rewrites the batch's marks: current age, number, whether it was sent before. False: there is no
 * memory, and the batch has failed. */
bool asq__batch_stamp(struct asq__engine *e, struct asq__batch *b);
/* Notes that a SENT batch is in its stream: it is ACCEPTED once the replicas have it that are to
 * have it. wrote: by the last connection's own XADD. */
void asq__batch_accept(struct asq__engine *e, struct asq__batch *b, bool wrote);
/* Sends a control job, which has neither reply nor record: await, cancel, probe. */
int asq__engine_control(struct asq__engine *e, const char *name, struct asq__job *job,
                        const struct asq__call_id *id);

/* resend.c */
/* Makes sent, unaccepted batches ready again, before batches never sent. */
void asq__engine_resend_refused(struct asq__engine *e);
/* Resends what Redis has lost: first, in its old order, and marked; asks Redis before. `parts`: the
 * partitions p with parts[p]; NULL: all. */
void asq__engine_resend(struct asq__engine *e, const bool *parts);
/* Detaches pending queries from the engine, which is about to be freed. */
void asq__engine_forget_queries(struct asq__engine *e);

/* fetch.c */
/* Reads the unread rest of the record and hands it to asq__batch_take_record. */
void asq__batch_fetch(struct asq__engine *e, struct asq__batch *b);
/* Reads results that a push announced by their place in the record. */
void asq__batch_fetch_announced(struct asq__engine *e, struct asq__batch *b, uint64_t upto,
                                uint64_t size);
void asq__engine_begin_fetches(struct asq__engine *e); /* on a new connection */
void asq__engine_fetch_more(struct asq__engine *e);
/* Drops queued reads of the partitions p with parts[p]; NULL: all. */
void asq__engine_forget_fetches(struct asq__engine *e, const bool *parts);

/* hearing.c; all but open do nothing outside of a Cluster */
int asq__hearing_open(struct asq__engine *e); /* once the partitions are known */
/* More partitions have come; does nothing before it is open. */
int asq__hearing_grow(struct asq__engine *e, uint32_t partitions);
void asq__hearing_close(struct asq__engine *e);
void asq__hearing_set_loop(struct asq__engine *e, struct ev_loop *loop);
/* The connection that tells of the partitions p with parts[p] was lost; NULL: of all. */
void asq__hearing_down(struct asq__engine *e, const bool *parts);
void asq__hearing_tick(struct asq__engine *e); /* once a second; leaves channels without use */
/* Has the results of b's partition pushed, until asq__batch_unhear. */
void asq__batch_hear(struct asq__batch *b);
void asq__batch_unhear(struct asq__batch *b);

/* denied.c */
/* Logs the first denial of each kind: a command or key that the user may not use. `reply` may be
 * NULL. */
void asq__engine_denied(struct asq__engine *e, enum asq__denied what, const redisReply *reply);

/* query.c */
/* Applies b's record, read from byte `from` to its end; n 0: nothing there. */
void asq__batch_take_record(struct asq__engine *e, struct asq__batch *b, uint64_t from,
                            const void *data, size_t n);
/* Notes that the user may not read records, and asks the owner for b's results. */
void asq__batch_cannot_read(struct asq__engine *e, struct asq__batch *b, const redisReply *reply);
void asq__batch_query(struct asq__engine *e, struct asq__batch *b);
void asq__engine_query_quiet(struct asq__engine *e); /* once a second */

#endif
