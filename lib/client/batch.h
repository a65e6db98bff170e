/*
 * batch.h: what the files of the engine share: the batches, and how one comes to its end.
 *
 *     engine.c   life and events: the connection is there, it is gone, a second has passed
 *     submit.c   from a call to an entry in a stream
 *     again.c    … and again: after a lost connection, or when Redis has refused it for a while
 *     fetch.c    records are read, a bounded part at a time
 *     lookup.c   what was pushed is a hint, the key is the truth; jobs about other calls
 *     batch.c    results are taken, calls completed, records forgotten
 */
#ifndef ASQ_CLIENT_BATCH_H
#define ASQ_CLIENT_BATCH_H

#include <ev.h>

#include "client/engine.h"
#include "value/lines.h"
#include "value/list.h"
#include "value/table.h"

enum {
    ASQ__QUIET_FIRST_MS = 2000, /* before a batch is looked up; doubles with each look */
    ASQ__QUIET_MAX_MS = 30000,
    ASQ__UNLINK_AT = 256,
    ASQ__LABEL_MAX = 320
};

#define ASQ__BATCH_MAX ((size_t) 1 << 31) /* bytes */

enum asq__batch_state {
    ASQ__BATCH_OPEN,
    ASQ__BATCH_READY,
    ASQ__BATCH_SENT,
    ASQ__BATCH_FOREIGN,
    ASQ__BATCH_HELD,
    ASQ__BATCH_GONE
};

/* Has Redis taken what was sent on a connection that was lost? */
enum asq__asked {
    ASQ__ASKED_NOT,
    ASQ__ASKED_WAITS, /* it is in the stream, and has no result */
    ASQ__ASKED_RECORD,
    ASQ__ASKED_MISSING,
    ASQ__ASKED_PASSED_OVER /* nor that, though it has taken one that has to come after it */
};

/* What a batch made inside a method needs besides. */
struct asq__guard {
    uint32_t partition;
    char token[ASQ__TOKEN_TEXT];
    char entry[48]; /* that the calling call stands in */
    uint64_t seq;
    void (*settled)(void *user, enum asq__settled how); /* NULL: has been called */
    void *user;                                         /* the run; NULL: settled */
};

struct asq__batch {
    struct asq__node node; /* in e->batches, by id */
    struct asq__list
        order; /* in e->ready or e->sent, in the order in which they were made; e->foreign; e->gone */
    struct asq__list watch; /* in e->watch, the one looked up longest ago first */
    struct asq__engine *engine; /* NULL: it has ended, and answers are still to come */
    enum asq__batch_state state;
    uint8_t id[ASQ__BATCH_ID];
    uint32_t partition;
    uint64_t number; /* grows from each batch to the next */
    int64_t made_ms; /* when its calls were; monotonic, coarse */
    struct asq__buf bytes;
    size_t
        body; /* bytes of it that stay; behind them are marks, written anew when it is sent again */
    char label[ASQ__CALL_LABEL];
    struct asq__call **calls; /* [index] → who waits for it */
    struct asq__call *first;  /* is calls, as long as there is one */
    size_t n, cap, unfinished;
    struct asq__completing *completing; /* those that are being told now; batch.c's */
    struct asq__call *foreign;    /* who waits for what was not called here; chained by next */
    unsigned answers;             /* of Redis still to come for it */
    unsigned fetching, announced; /* answers to readings of its record, and of parts of it */
    uint64_t seen;                /* bytes at the beginning of its record that were read */
    bool fetch_again, garbled;    /* its record is to be read again; could not be decoded once */
    struct asq__guard *guard;     /* made inside a method; else NULL */
    bool accepted, resent, refused, keep, hold;
    bool expire;      /* its record, when nobody holds it and it is not forgotten at once */
    bool sent, taken; /* ever; accepted: since it was sent last */
    bool doubtful; /* made before the connection that there is: Redis may have lost what made it */
    unsigned losses; /* of the connection, that it may be to blame for */
    enum asq__asked asked;
    uint64_t
        since_ms; /* the entry before it in the stream, if it is there, has this or a later one in its id */
    char entry[48]; /* its id in the stream, once accepted */
    bool left; /* of the look under way: it is neither in the stream nor does it wait to be due */
    int64_t look_at_ms, quiet_ms;
    int64_t held_ms; /* HELD: since when; coarse */
};

/* Rights that a client's user may lack without its calls failing. */
enum asq__denied {
    ASQ__DENIED_READ,   /* results */
    ASQ__DENIED_ASK,    /* after a lost connection: what has become of calls */
    ASQ__DENIED_LOOK,   /* whether a call that has been quiet still waits */
    ASQ__DENIED_FORGET, /* results that have arrived */
    ASQ__DENIED_KINDS
};

struct asq__engine {
    struct asq__engine_config config;
    struct asq__redis *redis;
    struct asq__table batches;
    struct asq__list ready, sent, foreign, watch;
    struct asq__list gone; /* batches that have ended, and have answers to come */
    struct asq__batch **open; /* [partition] */
    uint32_t partitions;
    size_t opened;       /* open batches */
    uint32_t *open_list; /* their partitions */
    uint64_t counter;
    size_t unfinished, backlog, unaccepted;
    uint64_t *ended; /* [partition]: the highest number with a result before Redis had answered */
    uint64_t *taken_ms;       /* [partition]: of the id of the last entry there */
    struct asq__list fetches; /* that wait for their turn */
    size_t fetching;          /* bytes of answers on their way, about */
    size_t fetch_guess;       /* bytes of a record that was not read yet */
    bool only_get, no_get;    /* Redis does not let this user use GETRANGE, and not even GET */
    bool no_eval;             /* Redis does not let this user run scripts */
    bool reading_entry;       /* a large entry is on its way, which a script would have looked for */
    unsigned denied_told;     /* bits: enum asq__denied */
    struct asq__list questions;      /* to be answered before anything is sent */
    struct asq__cmd unlink;          /* records that Redis may forget; empty: none */
    struct asq__lines lines;         /* of what may come again and again */
    struct asq__arena pushed, other; /* what is pushed is decoded there, and another within it */
    ev_timer tick;
    struct ev_loop *loop;
    bool up, closing;
    bool stalled;       /* Redis takes nothing for now: tried again at the next tick */
    bool first_alone;   /* one batch is tried, and the others when that was answered */
    struct asq__batch *first; /* that one, under way; only compared */
    bool reconnect;     /* the next try goes on a new connection */
    int64_t renewed_ms; /* coarse: when records were renewed */
    bool suspected;     /* of this loss of the connection: a batch */
};

/* batch.c */
const void *asq__batch_key(const struct asq__node *node, size_t *n);
/* Counted as unfinished from here on; in the table of batches, and in no list. `label` may be NULL. */
int asq__batch_new(struct asq__engine *e, enum asq__batch_state state, uint32_t partition,
                   const uint8_t id[ASQ__BATCH_ID], const char *label, struct asq__batch **ret);
int asq__batch_add_call(struct asq__batch *b, struct asq__call *call);
/* Tells a method's batch what has become of it, once. */
void asq__batch_settle(struct asq__batch *b, enum asq__settled how);
/* Two of one partition: must the first not come after the other? What different runs of methods call has no
 * order. */
bool asq__batch_is_in_order_with(const struct asq__batch *b, const struct asq__batch *later);
/* Nobody waits for it any more. */
void asq__batch_end(struct asq__engine *e, struct asq__batch *b);
/* All that is unfinished in it ends in an error. */
void asq__batch_fail(struct asq__engine *e, struct asq__batch *b, int code, const char *why);
/* One of the answers that it had to come is there; frees it if it was the last, and all else is over. */
void asq__batch_answered(struct asq__batch *b);
/* Takes a record, of `expected`, or what was pushed (NULL). False when it cannot be decoded. */
bool asq__engine_apply(struct asq__engine *e, const void *payload, size_t n,
                       struct asq__batch *expected);
void asq__engine_flush_unlinks(struct asq__engine *e);
/* Renews the records of finished batches that are held, as long as the methods' calls go on, and so sees whether
 * they are there still: their results may have been used. */
void asq__engine_look_at_held(struct asq__engine *e);

/* submit.c */
int asq__engine_open_tables(struct asq__engine *e); /* once the partitions are known */
void asq__engine_send_ready(struct asq__engine *e);
void asq__engine_close_open(struct asq__engine *e); /* all that are open become ready */
/* Writes its marks anew: how old it is now, its number, whether it was sent before. */
void asq__batch_stamp(struct asq__engine *e, struct asq__batch *b);
/* A job that needs no answer and no record: await, cancel, probe. */
int asq__engine_control(struct asq__engine *e, const char *name, struct asq__job *job,
                        const struct asq__call_id *id);

/* again.c */
/* What was sent and not accepted is sent again, before what never was. */
void asq__engine_send_refused_again(struct asq__engine *e);
/* What was sent is sent again: first, in its old order, and marked. Redis may have to be asked before. */
void asq__engine_send_all_again(struct asq__engine *e);
/* Their answers find nobody: the engine is about to be freed. */
void asq__engine_forget_questions(struct asq__engine *e);

/* fetch.c */
/* Reads what has not been read of the record, and hands it to asq__batch_take_record. */
void asq__batch_fetch(struct asq__engine *e, struct asq__batch *b);
/* Reads results that are there, by what was pushed instead of them. */
void asq__batch_fetch_announced(struct asq__engine *e, struct asq__batch *b, uint64_t upto,
                                uint64_t size);
void asq__engine_begin_fetches(struct asq__engine *e); /* on a new connection */
void asq__engine_fetch_more(struct asq__engine *e);
void asq__engine_forget_fetches(struct asq__engine *e); /* that wait for their turn */

/* denied.c */
/* Tells of the first reply of each kind that denies the user a command or a key; `reply` may be NULL. */
void asq__engine_denied(struct asq__engine *e, enum asq__denied what, const redisReply *reply);

/* lookup.c */
/* Takes the record of b, read from byte `from` on to its end; n is 0 when there is nothing. */
void asq__batch_take_record(struct asq__engine *e, struct asq__batch *b, uint64_t from,
                            const void *data, size_t n);
/* Redis does not let this user read records. */
void asq__batch_cannot_read(struct asq__engine *e, struct asq__batch *b, const redisReply *reply);
void asq__batch_look_up(struct asq__engine *e, struct asq__batch *b);
void asq__engine_look_at_quiet(struct asq__engine *e); /* once a second */

#endif
