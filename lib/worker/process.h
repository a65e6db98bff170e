/*
 * process.h: one worker process: what its files share. Everything here belongs to the thread of the
 * event loop, except where a field says otherwise; threads of the pool hand over through `handover`.
 *
 * The way of a call inside a process, each step in the file of its name:
 *
 *     reader ─▶ intake ─▶ dispatch ─▶ exec (on a fiber) ─▶ dispatch ─▶ commit ─▶ Redis
 *               decode,    mailbox,    run the method,      next call   one script
 *               duplicates agent load  nested calls
 *
 * A partition lives from claim to release or fencing:
 *
 *     IDLE ──claim──▶ CLAIMING ──granted──▶ ACTIVE ◀──called off── DRAINING ──empty──▶ RELEASING ─▶ IDLE
 *                        │                    └───────balance, stop───▲
 *                        └──refused──▶ IDLE        FENCED (from any state): drop everything ─▶ IDLE
 */
#ifndef ASQ_WORKER_PROCESS_H
#define ASQ_WORKER_PROCESS_H

#include <ev.h>
#include <pthread.h>
#include <stdatomic.h>

#include "client/engine.h"
#include "client/handle.h"
#include "client/object.h"
#include "redis/redis.h"
#include "redis/trouble.h"
#include "value/clock.h"
#include "value/lines.h"
#include "value/list.h"
#include "value/table.h"
#include "worker/later_clock.h"
#include "worker/pool.h"

struct asq__process;
struct asq__partition;
struct asq__actor;
struct asq__entry;
struct asq__run;
struct asq__commit;
struct asq__reader;
struct asq__senders;
struct asq__members;

/* ---- a stream entry being worked on ---- */

struct asq__stream_id {
    uint64_t ms, n;
};
bool asq__stream_id_is_at_most(struct asq__stream_id a, struct asq__stream_id b);
int asq__stream_id_parse(const char *text, struct asq__stream_id *ret);
void asq__stream_id_format(struct asq__stream_id id, char out[48]);

enum asq__wcall_state {
    ASQ__CALL_WAITING,  /* in the actor's mailbox */
    ASQ__CALL_INPUTS,   /* in the mailbox, its futures are awaited */
    ASQ__CALL_DELAYED,  /* not due yet: in no list, or in the mailbox to keep its place */
    ASQ__CALL_RUNNING,  /* on a fiber, or about to be */
    ASQ__CALL_PARKED,   /* on a fiber that waits */
    ASQ__CALL_FINISHED, /* its result is in a commit */
};

/* A call, as the worker sees it: index'th job of an entry. */
struct asq__wcall {
    struct asq__list node; /* in the actor's mailbox or wakers */
    struct asq__entry *entry;
    struct asq__actor *actor;
    struct asq__run *run;       /* while RUNNING or PARKED */
    struct asq__inputs *inputs; /* futures that are awaited, or their values; or NULL */
    uint32_t index;
    uint32_t attempts;        /* processes that died on it */
    int64_t not_before_ms;    /* … after which it waits; monotonic; 0: not any more */
    const char *died_how;     /* … and how the last one died; in part->attempts; or NULL */
    uint32_t retries;         /* runs that have failed and are not what it comes to */
    uint64_t due_ms;          /* of Redis' clock: not to be run before; 0: at once */
    struct asq__delay *delay; /* DELAYED: its timer; or NULL */
    int64_t wake_ms;          /* DELAYED: when it is due; monotonic */
    enum asq__wcall_state state;
    bool canceled;
    bool keeps_place; /* DELAYED: later calls to the agent wait */
    bool apart;       /* DELAYED: they do not; counted in entry->apart */
    bool shared;      /* runs beside others of its kind: ASQ_CONCURRENT */
    bool reentrant;   /* in the actor's list of these */
    bool reentered;   /* marked: must not be run again from its start */
};

/* A batch. Freed when every call is finished and acknowledged, and nothing refers to it. */
struct asq__entry {
    struct asq__node node;  /* in part->entries, by batch id */
    struct asq__list order; /* in part->intake */
    struct asq__partition *part;
    struct asq__stream_id id;
    struct asq__arena arena;
    Asqueue__Batch *batch;
    size_t bytes;    /* that it holds, about */
    int64_t read_ms; /* when it was read; monotonic, coarse */
    int64_t made_ms; /* when its calls were made, by the same clock */
    char **channels; /* client ids besides batch->reply that get the results */
    size_t nchannels;
    struct asq__table *by_client;  /* of channels, when there are more than a few; or NULL */
    struct asq__stream_id *copies; /* duplicates in the stream, to be removed with it */
    size_t ncopies;
    size_t result_bytes; /* in its record, with what is in commits */
    size_t left_channels, left_copies; /* LEAVING: so many of them its commit has */
    size_t unfinished;  /* calls */
    size_t apart;       /* … that wait for their time, in no queue */
    size_t uncommitted; /* commits with a piece of it that are not acknowledged */
    bool known;         /* in part->entries */
    bool partial;       /* part of its results is in its record already */
    bool kept;          /* later:jobs has a field of it, until it is done */
    bool returned;      /* it was moved out of the stream before, and back */
    bool leaving;       /* a commit moves it out of the stream */
    unsigned looking;   /* answers to come about its record, or about what is kept of it */
    int later;          /* what later.lua says of its first copy: 1 it waits, 2 it is in the stream */
    bool lookup;        /* its record must be read before it runs */
    bool again;     /* it may have been begun before: what it calls may have been called before */
    bool refused;   /* too many wait already */
    bool misplaced; /* it is in another agent's partition */
    bool behind;    /* later ones of its sender came before it */
    bool
        overtaken; /* … and it never did: Redis has refused it, and run now it would be out of order */
    bool stale;   /* it is a copy, and the record of the first can have expired: nobody knows */
    bool control; /* await, cancel: handled at once */
    bool limited; /* some of its calls have a deadline */
    bool time_doubted; /* made_ms may be wrong: the clock of Redis is to be asked first */
    struct asq__wcall calls[];
};

/* ---- an agent in memory ---- */

/* The calls that concern an agent now. */
struct asq__calls {
    struct asq__list mailbox;   /* those that wait, first in first out */
    struct asq__list reentrant; /* those that a call inside waits for: let in while it is parked */
    struct asq__list insiders;  /* runs: begun and not ended */
    struct asq__list wakers;    /* parked ones whose wait is over, waiting for their turn */
    struct asq__wcall *turn;    /* runs now, alone; or NULL */
    unsigned sharing;           /* run now, beside each other; then nobody has the turn */
    unsigned inside;            /* begun and not ended: running, parked */
    unsigned shared_inside;     /* … of them, those that share */
    struct asq__probing *probing; /* while it may be part of a deadlock; deadlock.c's */
    struct asq__actor *actor;
    struct asq__list fetching;    /* in part->to_fetch, until its record is asked for */
    size_t record_bytes;          /* of its record, once Redis has told; 0: not known */
};

/* There are as many as agents in memory, so it is small; what is looked at first stands first. */
struct asq__actor {
    struct asq__node node;    /* in part->actors, by id */
    struct asq__calls *calls; /* NULL: it sleeps */
    struct asq__partition *part;
    struct asq__list
        where; /* in part->busy, or process->awake, asleep or gone; an orphan: nowhere */
    struct asq__object object;
    uint64_t saved_seq; /* the commit that carries its last effect */
    int64_t idle_since_ms;
    size_t bytes; /* that it is counted with */
    uint32_t id_n;
    bool busy;  /* where = part->busy: calls concern it */
    bool awake; /* where = process->awake */
    bool loading, loaded;
    bool orphan; /* its partition was lost: freed when nothing is inside */
    char id[];
};

/* ---- a partition ---- */

enum asq__part_state {
    ASQ__PART_IDLE,
    ASQ__PART_CLAIMING,
    ASQ__PART_ACTIVE,
    ASQ__PART_DRAINING,
    ASQ__PART_RELEASING
};

struct asq__partition {
    struct asq__process *w;
    uint32_t number;
    enum asq__part_state state;
    char token[ASQ__TOKEN_TEXT];
    uint64_t epoch;
    uint64_t known_epoch; /* the highest that this process has heard of */
    /* Counts the claims of this process: an answer to what was asked under an earlier one means nothing.
     * Epochs do not tell, for a Redis that has lost its last second gives one twice. */
    uint64_t ownership;
    /* The stream. */
    struct asq__reader *reader;
    struct asq__stream_id read_to;   /* last entry taken in */
    int64_t give_up_at_ms;           /* when entries under the highest ids are given up; 0: there are none */
    struct asq__stream_id inherited; /* entries up to here may have been begun by another */
    struct asq__senders *senders;    /* whose entries came in this ownership; or NULL */
    size_t held_bytes;               /* of entries in memory */
    size_t held_calls;               /* of entries in memory; without those apart */
    struct asq__later *later;        /* what waits outside of the stream; later_move.c's */
    /* Its clock is the monotonic one plus minus_mono_ms; later_clock.c's. */
    int64_t minus_mono_ms;
    int64_t suspended_ms; /* the machine, in all, when that was found */
    int64_t claimed_ms;   /* when the claim was sent */
    bool has_clock;       /* since it was owned first */
    struct asq__table awaits;        /* reads for those who wait for results; await.c's */
    struct asq__backlog *backlog;    /* what is left in the stream for now; NULL: nothing */
    struct asq__list leaving;        /* in process->leaving while there is some */
    struct asq__list intake;         /* entries in the order of the stream, not dispatched yet */
    struct asq__table entries;       /* all unfinished ones, by batch id */
    /* Agents. */
    struct asq__table actors;
    struct asq__list busy;         /* actors that something concerns */
    struct asq__list to_fetch;     /* actors whose records are to be fetched */
    struct asq__list fetching;     /* in process->fetching meanwhile */
    size_t inside;                 /* calls on fibers */
    struct asq__attempt *attempts; /* what is known of calls from before, by call id */
    size_t nattempts;
    /* Commits. */
    uint64_t seq, acked;      /* last one made, last one acknowledged */
    struct asq__commit *open; /* is being filled */
    struct asq__list commits; /* closed: to be sent, sent, or to be sent again; in order of seq */
    struct asq__list turn_over; /* in process->turn_over while it has to go on in the next turn */
    struct asq__list ready;   /* in process->ready while `open` has something, or some are to be sent */
    size_t in_flight, unsent;
    size_t commit_bytes; /* of `commits` */
    bool commits_many;   /* nothing is started before more of them are acknowledged */
    const char *doomed;        /* why it is to be dropped at the end of the cycle; or NULL */
    bool refused;              /* Redis refuses a commit of it; refused.c's */
    bool recovering;           /* a commit's outcome is unknown: read the lease first */
    bool asking;               /* … and the question is on its way */
    struct asq__list held;     /* nested requests that wait for a commit */
    int64_t drain_patience_ms; /* until then only what those inside have called begins */
    int64_t drain_deadline_ms;
    /* What the lease said when it was last read, whoever holds it. */
    char *seen_owner, *seen_token;
    int64_t unowned_since_ms;
    struct asq__list claim; /* in process->claims while it is to be claimed */
};

/* A field of the partition's attempts: the call id, alone or with a sign before it. */
enum asq__attempt_kind {
    ASQ__ATTEMPT_DIED, /* "ID": how many processes died while they ran it */
    ASQ__ATTEMPT_WAIT =
        '+', /* "+ID": not before when it is tried again (the partition's clock, ms), and how
                              * the last process died */
    ASQ__ATTEMPT_MARK = '!', /* "!ID": a re-entrant call has taken effect inside of it */
    ASQ__ATTEMPT_RETRY = '~' /* "~ID": runs that failed, when the next is due (the partition's
                              * clock, ms), and 1 if it keeps its place */
};
struct asq__attempt {
    char call[ASQ__CALL_ID_TEXT];
    enum asq__attempt_kind kind;
    uint32_t count;
    uint64_t due_ms;
    bool keeps_place;
    char *how; /* WAIT: how the last process died; or NULL */
};

/* A call that a process has died of waits: the first time, and at most. */
enum { ASQ__DIED_WAIT_MS = 1000, ASQ__DIED_WAIT_MAX_MS = 60000 };

/* ---- shared with the supervisor ---- */

/* The call that a thread is running, or has run last: its process may die of it before its outcome is committed. Written
 * by that thread, but for what the loop tells of the outcome; read after the process has died. */
enum { ASQ__SLOT_FREE, ASQ__SLOT_RUNS, ASQ__SLOT_ENDED };
enum { ASQ__SLOT_NAME = 64 };
struct asq__slot {
    volatile uint32_t state;
    volatile uint32_t suspect; /* it had died on it before: blame it alone */
    volatile uint32_t partition;
    volatile uint64_t ticket; /* numbers the calls of this slot */
    volatile uint64_t done,
        done_seq; /* the ticket whose outcome is in the commit done_seq; by the loop */
    volatile uint64_t guilty; /* the ticket of a call that has certainly ended the process; 0: none */
    uint64_t epoch;
    struct asq__stream_id entry;
    char call[ASQ__CALL_ID_TEXT];
    char class_name[ASQ__SLOT_NAME], method[ASQ__SLOT_NAME], agent[ASQ_MAX_ID + 1];
};

/* What a process and its supervisor tell each other; in shared memory. */
struct asq__link {
    atomic_int stop;          /* as asq__process.stop */
    atomic_uint state_asked;  /* raised each time: tell your state */
    atomic_llong stopping_ms; /* when it began to stop, monotonic; 0: not yet */
    atomic_int given_up;      /* by its watch: it is to be ended and started again */
    char client[17];          /* its CLIENT, once it is listed */
    atomic_int
        listed; /* it may be in the list of workers: set before its first beat, 0 once it has left */
};
enum { ASQ__END_GRACE_MS = 3000 }; /* after the drain timeout a process is ended by SIGKILL */

/* ---- the process ---- */

enum { ASQ__STUCK_MAX = 8192, ASQ__EXIT_THREAD_LOST = 5 };

/* Unless something else is wanted: see asq_worker_options. */
enum {
    ASQ__MAX_WAITING = 1000000,
    ASQ__MAX_DEAD_LETTERS = 10000,
    ASQ__MAX_DEAD_LETTERS_SIZE = 32 * 1024 * 1024,
    ASQ__MAX_BACKLOG_SIZE = 256 * 1024 * 1024,
    ASQ__MAX_AGENT_MEMORY = 1024 * 1024 * 1024,
    ASQ__AGENT_IDLE_TIME_MS = 10 * 60 * 1000
};

struct asq__process_config {
    const struct asq__url *url;
    const char *ns, *id;
    struct asq__registry *registry;
    const asq_value *models;
    uint32_t partitions, capacity, max_expire_time_s, max_attempts, max_waiting, max_dead_letters;
    size_t max_message_size, max_backlog_size, max_agent_memory, max_dead_letters_size, stack_size;
    int64_t lease_time_ms, drain_timeout_ms, agent_idle_time_ms;
    bool was_up;               /* it stands in for a process that had served: waits for what it lacks */
    struct asq__slot *slots;   /* capacity + 1, in shared memory; or NULL */
    struct asq__link *link;    /* in shared memory; or NULL */
    int supervisor_fd;         /* with link: what is written there wakes the supervisor */
    /* Called once it reads the calls of all partitions that it should hold, but for what others hold still. */
    void (*ready)(void *user);
    void *ready_user;
    asq_log_level log_level;
    asq_log_level method_log_level; /* of what methods say (asq_ctx_log) */
    asq_log_fn log;
    void *log_user;
};

/* Work that other threads hand to the loop. */
struct asq__handover {
    struct asq__list node;
    void (*handle)(struct asq__handover *h); /* on the loop; may free what h is part of */
};

struct asq__process {
    struct asq__process_config config;
    struct asq__env env;
    struct ev_loop *loop;
    ev_prepare cycle; /* end of a cycle: fetch records, send commits, flush */
    ev_async wake;    /* the pool has something, or somebody wants it to stop */
    ev_timer retry;   /* recovers commits after a refusal */
    bool no_stream_info; /* this user may not ask about streams by XINFO, which helps in rare cases only */
    ev_timer give_up; /* entries under the highest ids of streams */
    ev_timer upkeep;  /* idle agents leave memory */
    struct asq__redis *redis;
    struct asq__engine *engine;
    struct asq__pool *pool;
    char client[17];
    uint64_t client_number;
    uint32_t nparts;
    struct asq__partition *parts; /* NULL until Redis was up once */
    struct asq__reader **readers;
    size_t nreaders;
    size_t reading_bytes; /* that reads under way may bring */
    size_t entry_bytes;   /* of the largest entries that have come lately; shrinks */
    struct asq__list ready;    /* partitions with an open commit */
    struct asq__list fetching; /* partitions with records to fetch */
    size_t fetching_bytes;     /* that fetches under way may bring */
    struct asq__list leaving;  /* partitions with a backlog */
    struct asq__list claims;   /* partitions to be claimed */
    size_t claims_in_flight;
    struct asq__list held_up; /* actors whose calls wait, and nothing moves */
    ev_timer probe;           /* looks at them */
    int64_t probe_ms;         /* when it does; INT64_MAX: not */
    int64_t probes_rest_until_ms; /* probes from elsewhere are dropped until then */
    uint64_t waits;           /* numbers given to waits; begins anywhere */
    /* Actors that nothing concerns, about the longest first. */
    struct asq__list awake;  /* called a while ago: all that a call needs is there */
    struct asq__list asleep; /* with their record alone, or as a struct of their class's */
    struct asq__list gone;   /* there are no such agents */
    size_t nawake;
    struct asq__members *members;
    struct asq__cmd commit_cmd; /* is put together, and empty again */
    size_t scripts_in_flight, large_in_flight;
    bool any_doomed; /* of its partitions */
    unsigned starts;           /* of calls, in this turn of the loop */
    struct asq__list turn_over; /* partitions with calls that start in the next one */
    /* Redis refused a commit, which is tried again then; no new calls until it takes one. 0: it does. */
    int64_t refused_until_ms;
    bool reconnect; /* … and it is to be tried on a new connection */
    /* The clock of Redis is at least the monotonic one plus this. See asq__redis_clock for more. */
    int64_t redis_minus_mono_ms;
    bool redis_clock_known;
    char machine[ASQ__MACHINE_TEXT]; /* see later_clock.h; "": not known */
    bool suspected; /* of the last loss of the connection: a commit */
    struct asq__wcall *suspect; /* the one call with attempts that may run now */
    size_t suspects_waiting;
    pthread_t thread; /* the loop's */
    struct asq__tally unheard; /* failures of calls whose callers do not take the result */
    atomic_uint turns; /* of the loop, for watch.c */
    bool forked;         /* this is a copy, in a process that a method has forked */
    unsigned state_told; /* link->state_asked, when it was last answered */
    atomic_int *stop; /* 1: drain and end; 2: end now. Set from signal handlers and threads */
    struct asq__lines lines;     /* those that may be many */
    struct asq__trouble away;    /* Redis cannot be used */
    struct asq__trouble reading; /* … or not for reading */
    struct asq__trouble refusing; /* partitions whose commits are refused, so many: */
    unsigned nrefused;
    size_t readers_down;
    int64_t policy_asked_ms, policy_told_ms; /* the latter 0: nothing is wrong with it */
    bool told_ready; /* config.ready was called */
    unsigned told_lack; /* what the log says that Redis refuses to this worker */
    bool stopping, ended;
    int64_t stop_deadline_ms;
    int code; /* what it ended with */
    char why[400];
    /* Handed over by threads. */
    pthread_mutex_t handover_lock;
    struct asq__list handover;
    char stuck[ASQ__STUCK_MAX]; /* lines of stuck.c, for the beat; under handover_lock */
    int64_t stuck_looked_ms;
    /* Counters, read by the beat thread. */
    atomic_ullong calls, failures, commits, commit_calls, actors_in_memory, actor_bytes, held_bytes,
        dead;
};

/* The process is about to end for what runs on this thread (0: the loop), and for nothing else. */
void asq__process_blame_thread(const struct asq__process *w, unsigned thread);
void asq__process_log(struct asq__process *w, asq_log_level level, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* The same, on the loop, for what input or Redis can make happen again and again: see lines.h. */
#define asq__process_log_some(w, level, ...)                                                       \
    do {                                                                                           \
        if ((level) <= (w)->config.log_level)                                                      \
            asq__lines_say(&(w)->lines, asq__now_ms_coarse(), (level), __VA_ARGS__);               \
    } while (0)

/* process.c: runs until told to stop, by *stop and asq__process_wake on *current (set while it runs; may
 * be NULL). 0, or why it could not go on. */
int asq__process_run(const struct asq__process_config *config, atomic_int *stop,
                     struct asq__process **current, char *err, size_t errlen);
/* From any thread or signal handler. */
void asq__process_wake(struct asq__process *w);
/* What asq__process_run gives when the namespace is another one than it was, with other partitions: the process
 * is to be started anew. */
enum { ASQ__START_ANEW = 1 };
/* From any thread: gives the loop something to do, in the order of the calls. */
void asq__process_hand_over(struct asq__process *w, struct asq__handover *h);
bool asq__process_is_quiet(struct asq__process *w); /* on the loop: nothing is handed over */
/* What is too large for Redis fails in the call that makes it. */
void asq__process_learn_limit(struct asq__process *w);
void asq__process_fail(struct asq__process *w, int code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* partition.c */
int asq__partitions_init(struct asq__process *w);
void asq__partitions_drop(
    struct asq__process *w); /* all that they hold; answers to come find nothing */
void asq__partitions_release(struct asq__process *w);
/* If it is still held as was last seen. It may be a while: claims are spread over time. */
void asq__partition_claim(struct asq__partition *p);
/* Somebody has held it at that epoch. */
void asq__partition_note_epoch(struct asq__partition *p, uint64_t epoch);
/* Writes owner and epoch into the lease once more, if it is still held. */
void asq__partition_tell_owner(struct asq__partition *p);
void asq__partition_claim_not(struct asq__partition *p); /* if it has not left yet */
/* Stops starting calls, and hands it back once it is empty. */
void asq__partition_drain(struct asq__partition *p, int64_t timeout_ms);
void asq__partition_fence(struct asq__partition *p, const char *why);
/* Memory is short: nothing that was not acknowledged counts, and whoever owns it next starts from Redis. At
 * the end of the cycle, for callers still hold what would be dropped. */
void asq__partition_doom(struct asq__partition *p);
void asq__partition_doom_for(struct asq__partition *p, const char *why); /* … for another reason */
void asq__partitions_drop_doomed(struct asq__process *w);
/* Something has ended: see whether a draining partition is empty. */
void asq__partition_check_drained(struct asq__partition *p);
/* Once a second: … and call a hand-over off that takes too long. */
void asq__partition_look_at_drain(struct asq__partition *p);
bool asq__partition_is_owned(const struct asq__partition *p);
size_t asq__partitions_owned(const struct asq__process *w);

/* reader.c */
int asq__readers_init(struct asq__process *w);
void asq__readers_release(struct asq__process *w);
void asq__readers_go_on(struct asq__process *w); /* at the end of the cycle */
void asq__reader_add(struct asq__partition *p);
void asq__reader_remove(struct asq__partition *p);
size_t asq__readers_up(const struct asq__process *w); /* connections */
/* Is each connection up that has streams to read? */
bool asq__readers_serve(const struct asq__process *w);
void asq__readers_reconnect(struct asq__process *w);

/* descriptors.c */
/* Raises the soft limit of open files to what the process may need, and tells where the hard one is too low. To
 * be called when the number of readers is known. */
void asq__descriptors_check(struct asq__process *w);

/* read_budget.c: what reads of streams may bring, in bytes, all of a process together. */
size_t asq__read_begin(struct asq__process *w); /* so much, at most; until … */
void asq__read_end(struct asq__process *w, size_t bytes);
/* A read by number of entries, from so many streams: how many of each; 0: they may be too large for that. */
size_t asq__read_entries(const struct asq__process *w, size_t streams);
/* … a read that counts bytes: how many in all, for they may take more when they are decoded. */
size_t asq__read_entries_at_most(const struct asq__process *w, size_t most);
void asq__read_note(struct asq__process *w, size_t largest); /* entry, of a reply */
size_t asq__reply_entry_bytes(const redisReply *entry);

/* intake.c */
/* An entry as it came from the stream: [id, [field, value, …]]. Returns what it weighs in reads: its bytes, or
 * what it takes in memory. */
size_t asq__intake_reply(struct asq__partition *p, const redisReply *entry);
/* Dispatches what stands ready at the head of the intake. */
void asq__intake_go_on(struct asq__partition *p);
void asq__entry_free(struct asq__entry *e);
void asq__entry_note_bytes(struct asq__entry *e, size_t bytes); /* more that it holds */
/* Frees it when nothing needs it any more. */
void asq__entry_settle(struct asq__entry *e);
void asq__wcall_id(const struct asq__wcall *c, char out[ASQ__CALL_ID_TEXT]);
struct asq__entry *asq__entry_find(const struct asq__partition *p, const uint8_t id[ASQ__BATCH_ID]);
/* Pushes what is committed already. */
void asq__push(struct asq__partition *p, const char *client, const void *data, size_t n);
/* … a whole record. A large one is only announced: the client reads from its key what it lacks. */
void asq__push_announcement(struct asq__partition *p, const uint8_t batch[ASQ__BATCH_ID],
                            const char *client, size_t n);
void asq__push_record(struct asq__partition *p, const uint8_t batch[ASQ__BATCH_ID],
                      const char *client, const void *data, size_t n);
void asq__wcall_cancel(struct asq__wcall *c);
/* The call, while it waits or runs here; else NULL. */
struct asq__wcall *asq__wcall_find(struct asq__partition *p, const struct asq__call_id *id);

/* channels.c: clients besides its sender that get a batch's results. ASQ_ENOMEM; ASQ_ELIMIT: there are too many, and the
 * client finds the record by itself. */
int asq__entry_add_channel(struct asq__entry *e, const char *client);
void asq__entry_free_channels(struct asq__entry *e);

/* An entry that was left in the stream is read again. False: it is to stay there for now. *ret_id is
 * its id, if it is an entry. */
bool asq__intake_again(struct asq__partition *p, const redisReply *entry,
                       struct asq__stream_id *ret_id);

/* ---- stream_end.c ---- */

/* Is it so near to the highest id of a stream that Redis soon takes nothing any more? */
bool asq__stream_id_is_last(struct asq__stream_id id);
/* The stream is made usable again a moment later: of the calls that a client has sent one behind the other, the
 * first would be refused and the next one taken, which could not be put in order any more. */
void asq__stream_give_up_soon(struct asq__partition *p);
void asq__streams_give_up(struct asq__process *w);     /* … when the moment is over */
void asq__stream_check_end(struct asq__partition *p); /* is it at its end, though nothing stands there? */

/* call_time.c: when calls were made; all of it by the monotonic clock. */
void asq__entry_take_time(struct asq__entry *e); /* it has been read, and is known to be looked up or not */
/* False: the clock of Redis is asked, and the intake goes on when it has answered. */
bool asq__entry_time_is_known(struct asq__entry *e);
/* It has no record: could that have expired, if it was run before? */
bool asq__entry_is_stale(const struct asq__entry *e);
int64_t asq__wcall_limit_ms(const struct asq__wcall *c); /* what asq__wcall_deadline_ms looks for */
static inline int64_t
asq__wcall_deadline_ms(const struct asq__wcall *c) /* INT64_MAX: it has none */
{
    return c->entry->limited ? asq__wcall_limit_ms(c) : INT64_MAX;
}
int64_t asq__wcall_due_ms(const struct asq__wcall *c);      /* with its delay; 0: it has none */
void asq__process_time_told(struct asq__process *w, int64_t set_ms); /* TIME was answered */

/* sender.c: does an entry come in the order in which its sender has sent? */
enum asq__sender_order {
    ASQ__SENDER_IN_ORDER,
    ASQ__SENDER_BEHIND, /* it or a later one was seen: a copy, or one that Redis had refused */
    ASQ__SENDER_UNKNOWN
};
enum asq__sender_order asq__sender_order(const struct asq__partition *p,
                                         const Asqueue__Batch *batch);
/* It was in the stream, whatever becomes of it. in_order: it came in order, or has come since the partition is
 * owned, and was not taken before. */
void asq__sender_note(struct asq__partition *p, const Asqueue__Batch *batch, bool in_order);
void asq__senders_forget(struct asq__partition *p);

/* backlog.c: the part of a stream that this process has no room for. */
/* Is an entry to be left? `again`: it was, and has been read again. */
bool asq__backlog_leave(struct asq__partition *p, struct asq__stream_id id, size_t calls,
                        bool again);
size_t asq__backlog_calls(const struct asq__partition *p); /* that are left, about */
bool asq__backlog_is_canceled(const struct asq__partition *p, const struct asq__call_id *id);
void asq__backlog_cancel(struct asq__partition *p, const struct asq__call_id *id);
void asq__backlog_go_on(struct asq__process *w);     /* at the end of the cycle */
void asq__backlog_try_again(struct asq__process *w); /* once a second: where Redis has refused to */
void asq__backlog_drop(struct asq__partition *p);

/* actor.c: agents in memory. */
struct asq__actor *asq__actor_of(struct asq__partition *p, const char *id); /* NULL: no memory */
bool asq__actor_wake(struct asq__actor *a); /* a call concerns it; false: no memory */
void asq__actor_rest(struct asq__actor *a); /* perhaps none does any more */
bool asq__actor_has_queued(const struct asq__actor *a);
void asq__actor_note_size(struct asq__actor *a);
void asq__actor_unload_created(struct asq__actor *a, Asqueue__JobKind kind);
/* Its partition was lost, and the calls that waited went with their entries: it goes with those inside. */
void asq__actor_orphan(struct asq__actor *a);
void asq__actor_free(struct asq__actor *a);
bool asq__is_crowded(const struct asq__process *w);
/* Those that have been idle for long leave memory; while they take more than they may, others as well. */
void asq__actors_evict(struct asq__process *w);
void asq__actors_upkeep(struct asq__process *w); /* once a second; evicts, too */

/* actor_fetch.c: records of agents, read with a bound in bytes. */
void asq__actor_want_record(struct asq__actor *a); /* goes on when it is there */
void asq__fetch_records(struct asq__process *w);   /* at the end of the cycle */
void asq__fetch_drop(struct asq__partition *p);

/* dispatch.c */
void asq__dispatch(struct asq__wcall *c);        /* a new call: to its actor's mailbox */
void asq__dispatch_let_in(struct asq__wcall *c); /* whose caller has come inside meanwhile */
void asq__dispatch_due(struct asq__wcall *c);    /* … that was delayed, and is due */
bool asq__dispatch_join(struct asq__wcall *c);   /* to its mailbox alone; false: it was failed */
void asq__actor_go_on(struct asq__actor *a);     /* starts what can be started */
bool asq__actor_is_moving(const struct asq__actor *a); /* something of it runs, or is about to */
bool asq__wcall_may_share(const struct asq__wcall *c); /* its method is ASQ_CONCURRENT */
const struct asq__run *asq__actor_innermost(const struct asq__actor *a); /* or NULL */
/* Who keeps a re-entrant call out; NULL: nobody does, or it is none. */
const struct asq__run *asq__actor_holds_back(const struct asq__wcall *c);
/* Calls that wait for their inputs, or after a death, and that calls of other callers behind them may pass: so many.
 * Such a look goes so far into the queue: each new call causes one. */
enum { ASQ__PASSED = 8, ASQ__PASSED_SEEN = 256 };
struct asq__passed {
    const struct asq__wcall *calls[ASQ__PASSED]; /* each of another caller */
    unsigned n;
};
/* Does one of them hold `c` up, because both are of one caller, or because it is c's caller? */
bool asq__passed_holds(const struct asq__passed *passed, const struct asq__wcall *c);
/* A creation that waits, of an agent that is not there: all calls behind it wait for it. */
bool asq__wcall_holds_all(const struct asq__wcall *c);
void asq__partition_go_on(struct asq__partition *p); /* … of all its actors */
/* At the end of a turn: goes on with what it had no room for. True: something is left for the next one. */
bool asq__dispatch_turn_over(struct asq__process *w);
void asq__run_finished(struct asq__handover *h);
void asq__run_parks(struct asq__run *run); /* it waits: others may have its turn */
void asq__run_wake(struct asq__run *run);  /* its wait is over: give it its turn */
void asq__wcall_fail(struct asq__wcall *c, int code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
bool asq__process_may_start(struct asq__process *w);

/* later.c: calls that are due in the future. */
bool asq__later_begin(struct asq__wcall *c); /* a new one; false: it is due now; true: it waits, or was failed */
/* Is every call of a new entry to be run later than now? */
bool asq__later_is_all_ahead(struct asq__partition *p, Asqueue__Batch *batch);
void asq__later_stop(struct asq__wcall *c); /* its timer: others see to its time */
#define ASQ__CANCELED_BEFORE_RETRY "the call was cancelled before it ran again"
/* A run has failed. True: the call is run again, later. Would it be, had it not been cancelled, then the
 * run's error becomes that. */
bool asq__later_retry(struct asq__wcall *c, struct asq__run *run);
void asq__later_end(struct asq__wcall *c); /* it is decided otherwise */

/* later_move.c: batches of which nothing can run yet, out of the stream and back. */
void asq__later_open(struct asq__partition *p); /* it is owned now: looks at what waits */
void asq__later_close(struct asq__partition *p);
void asq__later_free(struct asq__partition *p);
bool asq__later_may_have(const struct asq__partition *p); /* false: nothing waits there */
void asq__later_leave(struct asq__entry *e);  /* if nothing of it can run for a while */
void asq__later_left(struct asq__entry *e);   /* its commit was acknowledged */
void asq__later_forget(struct asq__entry *e); /* … or dropped with the partition */
void asq__later_upkeep(struct asq__partition *p); /* once a second */
enum { ASQ__LATER_CHANNELS = 4096 }; /* clients that a Later may name */
/* Takes what was kept of it from the field `later` of its entry. ASQ_EPROTO, ASQ_ENOMEM. */
int asq__later_take(struct asq__entry *e, const void *data, size_t n);
/* It was read while the commit that had moved it out is not acknowledged here: what has come to it since goes
 * on with the new one. */
void asq__later_take_over(struct asq__entry *from, struct asq__entry *to);

/* later_clock.c: the clock of a partition, which goes on when that of Redis is set. */
/* It is owned now: what the claim has said of the clock of Redis, and what the last owner has kept, or "". */
void asq__later_clock_begin(struct asq__partition *p, int64_t redis_ms, const char *kept);
int64_t asq__later_clock(struct asq__partition *p);    /* so late it is now */
void asq__later_clock_keep(struct asq__partition *p);  /* for the next owner */
void asq__later_clock_was_set(struct asq__process *w); /* that of Redis: keeps all of them */
/* What the lease keeps for the next owner on this machine. */
void asq__later_clock_mark(const struct asq__partition *p, char mark[ASQ__CLOCK_MARK]);

/* later_ask.c: questions about single batches that wait there. */
/* Is the first copy of it there? If so its channels are added. The answer goes to e->later; e->looking until then. */
void asq__later_ask_copy(struct asq__entry *e);
/* Somebody waits for the result of a call of the batch. state: as later.lua says; -1: not known. False: not asked. */
bool asq__later_ask_await(struct asq__partition *p, const uint8_t batch[ASQ__BATCH_ID],
                          const char *client, void (*answer)(void *user, int state), void *user);
/* Cancels what waits there. control: the entry that asks for it, which is removed afterwards; 0-0: none. False: no
 * memory. */
bool asq__later_cancel(struct asq__partition *p, const struct asq__call_id *ids, size_t n,
                       struct asq__stream_id control);
void asq__later_add_channels(struct asq__entry *e, size_t from); /* to what is kept of it */
void asq__later_cancel_again(struct asq__partition *p); /* once a second: what was not answered */

/* await.c */
void asq__await(struct asq__partition *p, const struct asq__call_id *target, const char *client);
const void *asq__await_key(const struct asq__node *node, size_t *n); /* for part->awaits */

/* state.c */
void asq__state_tell(struct asq__process *w);

/* stuck.c: which calls have been under way for long, and why. */
void asq__stuck_look(struct asq__process *w); /* once a second */

/* deadlock.c: circles of calls that wait for each other. */
void asq__deadlock_init(struct asq__process *w);
/* Calls of the agent wait, and nothing of it moves; or one more waits now. */
void asq__deadlock_note(struct asq__actor *a);
void asq__deadlock_forget(struct asq__actor *a);
void asq__deadlock_probe(struct asq__process *w, const Asqueue__Probe *probe);

/* exec.c: a call on its fiber. */
struct asq__inner { /* a batch of nested calls */
    uint32_t partition;
    uint8_t id[ASQ__BATCH_ID];
    bool keep; /* its record, for a while: somebody has its id */
};
struct asq__run {
    struct asq__task task;
    struct asq__handover finished;
    struct asq__process *w;
    struct asq__wcall *call;
    struct asq__actor *actor;
    struct asq__list inside; /* in actor->insiders */
    asq_ctx ctx;
    struct asq__nested *nested; /* room for ctx.h; NULL once it has been made there */
    char call_id[ASQ__CALL_ID_TEXT];
    struct asq__slot *slot; /* of the thread it runs or ran on, with its ticket there; or NULL */
    uint64_t ticket;
    struct asq__effect effect;
    struct asq__inner *inner; /* to be forgotten after its own commit */
    size_t ninner, inner_cap;
    bool keep_inner;          /* … or left to their TTL: somebody has their ids */
    size_t unsettled;         /* batches that Redis has not taken yet, nor refused */
    bool ended;               /* its method has returned; it ends when there are none */
    bool at_once;             /* … and who has started it is still there to end it */
    bool through;             /* … and is to: it has not parked, and handed nothing over */
    bool parked;              /* it waits, and has given up its turn */
    bool woken;               /* its wait is over, its turn still to come */
    int wait_rc;              /* what its wait ended with */
    uint64_t wait;            /* number of its wait, among all of this process */
    struct asq__fiber *fiber; /* while parked */
};
int asq__run_new(struct asq__wcall *c, struct asq__run **ret);
/* True: it has run through, and the caller is to end it. */
bool asq__run_start(struct asq__run *run, bool nonblocking);
void asq__run_free(struct asq__run *run);

/* nested.c */
/* Memory for the handle inside the run's method, for run->nested. NULL: there is none. */
struct asq__nested *asq__nested_room(const struct asq__run *run);
asq *asq__nested_handle(asq_ctx *ctx);      /* makes it there; on the method's thread */
void asq__nested_end(struct asq__run *run); /* the method has returned; on the loop */
/* What a parked run waits for; see asq__wait_results. OTHER: also when its wait is over. */
enum asq__wait asq__nested_waits_for(const struct asq__run *run, asq__wait_fn visit, void *user);
void asq__nested_cancel(struct asq__run *run);    /* what it has called is cancelled too */
void asq__nested_go_on(struct asq__partition *p); /* held requests whose commit is acknowledged */
void asq__nested_drop_held(struct asq__partition *p);

/* inputs.c: futures given as arguments. */
int asq__inputs_begin(struct asq__wcall *c); /* 0: awaited or there; else the call has failed */
bool asq__inputs_ready(const struct asq__wcall *c);
/* One that is awaited, after the first `skip` of them; false: none. */
bool asq__inputs_pending(const struct asq__wcall *c, size_t skip, struct asq__call_id *ret);
const char *asq__inputs_failure(const struct asq__wcall *c); /* NULL: none has failed */
void asq__inputs_free(struct asq__inputs *in);
const void *asq__inputs_args(const struct asq__inputs *in, size_t *n);

/* commit.c */
/* How long the record of a batch lives. One that a method has made: until the method's own call is committed,
 * which forgets it; it is renewed while that goes on. Should nobody run that call again, it ends by itself. */
int64_t asq__commit_record_ms(const struct asq__process *w, bool nested);
/* How large the call's result may be, for the record of its batch to be one string; 0: no matter. */
size_t asq__commit_result_room(const struct asq__wcall *c);
void asq__commit_result(struct asq__wcall *c, struct asq__run *run, const asq_error *error);
void asq__commit_remove(struct asq__partition *p, struct asq__stream_id id);
void asq__commit_mark(struct asq__wcall *c);
/* A run has failed, and is followed by another at due_ms of Redis' clock. */
void asq__commit_retry(struct asq__wcall *c, struct asq__run *run, uint64_t due_ms);
/* Moves a batch out of the stream, until due_ms of Redis' clock. `kept` is what is kept of it; taken over. */
void asq__commit_later(struct asq__entry *e, uint64_t due_ms, void *kept, size_t n);
/* A second copy of a batch that is done leaves: what is kept of the batch goes as well. */
void asq__commit_forget_later(struct asq__entry *e);
void asq__commit_dead_letter(struct asq__wcall *c, const char *label, const char *reason);
void asq__commits_send(struct asq__process *w); /* at the end of the cycle */
void asq__commits_doubt(
    struct asq__process *w); /* nothing goes on before the leases have been read */
void asq__commits_recover(struct asq__process *w);
void asq__commits_drop(struct asq__partition *p);
bool asq__commits_pending(const struct asq__partition *p);
/* So many bytes wait to be committed that nothing more is started; gone on with when it is less. */
bool asq__commits_are_many(struct asq__partition *p);
/* Gives up entry bytes that cannot be decoded: to the dead letters, and out of the stream. */
void asq__dead_letter(struct asq__partition *p, struct asq__stream_id id, const char *label,
                      const void *batch, size_t n, const char *reason, uint32_t attempts);

/* refused.c: a commit of the partition was refused for itself alone; `text`: the error, or "ERR KEY: error". */
void asq__refused_note(struct asq__partition *p, const char *text);
void asq__refused_over(struct asq__partition *p, bool taken); /* … and is taken, or was dropped */

/* member.c */
int asq__members_new(struct asq__process *w, struct asq__members **ret);
void asq__members_start(struct asq__members *m); /* Redis is up (again) */
/* Has it been decided which partitions this process should hold? */
bool asq__members_have_decided(const struct asq__members *m);
void asq__members_look(struct asq__members *m);  /* now, not at the next tick */
/* Something was told on the channel of workers. False: it is no beat. */
bool asq__members_heard(struct asq__members *m, const char *payload, size_t n);
void asq__members_woken(struct asq__members *m); /* the loop was woken: perhaps by the first beat */
void asq__members_beat(
    struct asq__members *m); /* beats at once, and so hears whether it is to stop */
void asq__members_stop(struct asq__members *m); /* no claims any more; the beat goes on */
void asq__members_end(struct asq__members *m);  /* the beat ends, and says good-bye */
void asq__members_free(struct asq__members *m);
void asq__members_tell(struct asq__process *w); /* wakes the other workers */
/* False when its own beat was not acknowledged for too long. */
bool asq__members_beating(const struct asq__members *m);

#endif
