/*
 * process.h: declarations shared by the files of one worker process. All data belongs to the thread
 * of the event loop unless a field says otherwise; pool threads hand work over through `handover`.
 *
 * Path of a call inside a process, each step in the file of its name:
 *
 *     reader ─▶ intake ─▶ dispatch ─▶ exec (on a fiber) ─▶ dispatch ─▶ commit ─▶ Redis
 *               decode,    mailbox,    run the method,      next call   one script
 *               duplicates agent load  nested calls
 *
 * A partition lives from claim to release or fencing:
 *
 * IDLE ──claim──▶ CLAIMING ──granted──▶ ACTIVE ◀──called off── DRAINING ─empty──▶ RELEASING ─▶ IDLE
 *                    │                    └───────balance, stop───▲
 *                    └──refused──▶ IDLE        FENCED (from any state): drops everything ─▶ IDLE
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
    ASQ__CALL_INPUTS,   /* in the mailbox, awaiting its futures */
    ASQ__CALL_DELAYED,  /* not due yet: in no list, or queued to keep its place */
    ASQ__CALL_RUNNING,  /* on a fiber, or about to be */
    ASQ__CALL_PARKED,   /* on a fiber that waits */
    ASQ__CALL_FINISHED, /* outcome is in a commit */
};

/* A call as the worker sees it: job number `index` of an entry. */
struct asq__wcall {
    struct asq__list node; /* in the actor's mailbox, reentrant or wakers */
    struct asq__entry *entry;
    struct asq__actor *actor;
    struct asq__run *run;       /* while RUNNING or PARKED */
    struct asq__inputs *inputs; /* awaited futures, or their values; or NULL */
    uint32_t index;
    uint32_t attempts;     /* processes that died while running it */
    int64_t not_before_ms; /* after a death: earliest start; monotonic; 0: no wait */
    /* How the last of these processes died; borrowed from part->attempts; or NULL. */
    const char *died_how;
    uint32_t retries; /* failed runs, each to be followed by another */
    /* Earliest start of the next run, by the partition's clock; 0: not a retry. */
    uint64_t due_ms;
    struct asq__delay *delay; /* DELAYED: its timer; or NULL */
    int64_t wake_ms;          /* DELAYED: due time; monotonic */
    enum asq__wcall_state state;
    bool canceled;
    bool keeps_place; /* DELAYED: later calls to the agent wait behind it */
    bool apart;       /* DELAYED: in no queue; counted in entry->apart */
    bool shared;      /* runs beside other ASQ_CONCURRENT calls */
    bool reentrant;   /* in the actor's list `reentrant` */
    bool reentered;   /* a re-entrant call took effect inside it: must not be restarted */
    bool left;        /* in no queue: earlier calls to its agent are left in the stream */
    bool released;    /* was `left`, and is dispatched when its entry's turn in the intake comes */
};

/* A batch from a stream. Freed when every call is finished and acknowledged, and nothing refers to
 * it. */
struct asq__entry {
    struct asq__node node;  /* in part->entries, by batch id */
    struct asq__list order; /* in part->intake */
    struct asq__partition *part;
    struct asq__stream_id id;
    struct asq__arena arena;
    Asqueue__Batch *batch;
    size_t bytes;    /* approximate memory held */
    int64_t read_ms; /* time of reading; monotonic, coarse */
    int64_t made_ms; /* time when its calls were made, by the same clock */
    char **channels; /* client ids besides batch->reply that get the results */
    size_t nchannels;
    struct asq__table *by_client;  /* index of channels, when there are more than a few; or NULL */
    struct asq__stream_id *copies; /* duplicates in the stream, removed together with it */
    size_t ncopies;
    size_t result_bytes; /* size of its result record, including results in commits */
    /* Leading channels and copies that its commit out of the stream contains. */
    size_t left_channels, left_copies;
    size_t unfinished;  /* calls */
    size_t apart;       /* calls that wait for their time, in no queue */
    size_t left;        /* calls that are left for now, see backlog.c */
    size_t uncommitted; /* unacknowledged commits with a piece of it */
    bool known;         /* in part->entries */
    bool dispatched;    /* was in the intake before */
    bool admitted;      /* beyond --max-backlog-size, for agents that were idle */
    bool partial;       /* some of its results are in its record already */
    bool kept;          /* later:jobs has a field for it until it is done */
    bool returned;      /* moved out of the stream before, and back */
    bool leaving;       /* a commit moves it out of the stream */
    unsigned looking;   /* pending replies about its record and its copy outside the stream */
    /* later.lua's state of its first copy: 1 waits, 2 in the stream; 0: none; -1: unknown. */
    int later;
    bool lookup;       /* result record must be read before it runs */
    bool again;        /* may have begun before: its nested calls may exist already */
    bool refused;      /* too many calls wait already */
    bool misplaced;    /* contains a call to an agent of another partition */
    bool behind;       /* seen before: this batch or a later one of its sender */
    bool overtaken;    /* Redis never accepted it; running it now would break the order */
    bool stale;        /* a copy; the record of the first may have expired: outcome unknown */
    bool control;      /* await, cancel, probe: handled at once */
    bool limited;      /* some of its calls have a deadline */
    bool time_doubted; /* made_ms may be wrong: ask Redis for its clock first */
    struct asq__wcall calls[];
};

/* ---- an agent in memory ---- */

/* Calls that concern an agent now. */
struct asq__calls {
    struct asq__list mailbox; /* waiting calls, first in, first out */
    /* Calls that a parked run depends on; admitted while it is parked. */
    struct asq__list reentrant;
    struct asq__list insiders;    /* active runs: running or parked */
    struct asq__list wakers;      /* resumable calls: parked, wait over, turn to come */
    struct asq__wcall *turn;      /* the call that runs alone; or NULL */
    unsigned sharing;             /* concurrent calls that run now; `turn` is NULL then */
    unsigned inside;              /* number of active runs */
    unsigned shared_inside;       /* active runs of concurrent calls */
    struct asq__probing *probing; /* while it may be part of a deadlock; of deadlock.c */
    struct asq__actor *actor;
    struct asq__list fetching; /* in part->to_fetch until its snapshot is requested */
    size_t record_bytes;       /* size of its snapshot, once Redis has reported it; 0: unknown */
};

/* An agent in memory. Small, because there are many; the fields read first stand first. */
struct asq__actor {
    struct asq__node node;    /* in part->actors, by id */
    struct asq__calls *calls; /* NULL: asleep */
    struct asq__partition *part;
    /* In part->busy, or process->awake, asleep or gone; an orphan: in no list. */
    struct asq__list where;
    struct asq__object object;
    uint64_t saved_seq; /* seq of the commit with its last effect */
    int64_t idle_since_ms;
    size_t bytes; /* bytes counted for it in process->actor_bytes */
    uint32_t id_n;
    bool busy;  /* in part->busy: calls concern it */
    bool awake; /* in process->awake */
    bool loading, loaded;
    bool orphan; /* partition was lost; freed when its last run ends */
    bool left;   /* entries with calls to it are noted in part->backlog */
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
    uint64_t known_epoch; /* highest epoch that this process has heard of */
    /* Counts the claims of this process, because a reply to a query from an earlier claim is void.
     * Epochs do not tell: a Redis that has lost its last second gives one twice. */
    uint64_t ownership;
    /* The stream. */
    struct asq__reader *reader;
    struct asq__stream_id read_to; /* last entry seen */
    /* Time to give up entries under the highest ids; 0: there are none. */
    int64_t give_up_at_ms;
    struct asq__stream_id inherited; /* entries up to here may have begun under another owner */
    struct asq__senders *senders;    /* senders of entries in this ownership; or NULL */
    size_t held_bytes;               /* of entries in memory */
    size_t held_calls;               /* of entries in memory, without `apart` and `left` ones */
    size_t admitted;                 /* entries in memory that were admitted beyond the bound */
    struct asq__later *later;        /* batches that wait outside of the stream; of later_move.c */
    /* Clock of the partition: the monotonic one plus minus_mono_ms; of later_clock.c. */
    int64_t minus_mono_ms;
    /* Suspension of the machine, in all, that minus_mono_ms includes. */
    int64_t suspended_ms;
    int64_t claimed_ms;           /* time when the claim was sent */
    bool has_clock;               /* clock was set by an earlier claim */
    struct asq__table awaits;     /* reads for clients that await results; of await.c */
    struct asq__backlog *backlog; /* entries left in the stream for now; or NULL */
    struct asq__list leaving;     /* in process->leaving while there is a backlog */
    struct asq__list intake;      /* entries in stream order, not dispatched yet */
    uint64_t intake_in, intake_out; /* entries that have come to the intake, and left it */
    struct asq__table entries;    /* all unfinished entries, by batch id */
    /* Agents. */
    struct asq__table actors;
    struct asq__list busy;         /* actors with calls */
    struct asq__list to_fetch;     /* actors whose snapshots are to be fetched */
    struct asq__list fetching;     /* in process->fetching meanwhile */
    size_t inside;                 /* active runs */
    struct asq__attempt *attempts; /* earlier attempts of calls, by call id */
    size_t nattempts;
    /* Commits. */
    uint64_t seq, acked;      /* last commit made, last one acknowledged */
    struct asq__commit *open; /* commit being filled */
    struct asq__list commits; /* closed commits in order of seq: unsent, sent, or to be resent */
    /* In process->turn_over while calls are left for the next iteration. */
    struct asq__list turn_over;
    /* In process->ready while `open` has something or commits are to be sent. */
    struct asq__list ready;
    size_t in_flight, unsent;
    size_t commit_bytes;       /* of `commits` */
    bool commits_many;         /* no call starts until more commits are acknowledged */
    const char *doomed;        /* reason to drop it at the end of the iteration; or NULL */
    bool refused;              /* Redis refuses a commit of it; of refused.c */
    bool recovering;           /* a commit's outcome is unknown: read the lease first */
    bool asking;               /* the read of the lease is under way */
    struct asq__list held;     /* deferred nested batches: each waits for a commit */
    int64_t drain_patience_ms; /* DRAINING: until then only calls of active runs start */
    int64_t drain_deadline_ms;
    /* Lease as last read, under any owner. */
    char *seen_owner, *seen_token;
    int64_t unowned_since_ms;
    struct asq__list claim; /* in process->claims while it is to be claimed */
};

/* A field of the partition's attempts: a call id, alone or after a sign. */
enum asq__attempt_kind {
    ASQ__ATTEMPT_DIED, /* "ID": number of processes that died while running it */
    /* "+ID": earliest next try (partition's clock, ms), and how the last process died. */
    ASQ__ATTEMPT_WAIT = '+',
    ASQ__ATTEMPT_MARK = '!', /* "!ID": a re-entrant call took effect inside it */
    /* "~ID": failed runs, when the next is due (partition's clock, ms), 1 if it keeps its place. */
    ASQ__ATTEMPT_RETRY = '~'
};
struct asq__attempt {
    char call[ASQ__CALL_ID_TEXT];
    enum asq__attempt_kind kind;
    uint32_t count;
    uint64_t due_ms;
    bool keeps_place;
    char *how; /* WAIT: how the last process died; or NULL */
};

/* Wait of a call after a process has died of it: the first time, and at most. */
enum { ASQ__DIED_WAIT_MS = 1000, ASQ__DIED_WAIT_MAX_MS = 60000 };

/* ---- shared with the supervisor ---- */

/* The call that a thread runs or ran last: its process may die of it until its outcome is
 * committed. Written by that thread, except the outcome, which the loop writes; read after the
 * process has died. */
enum { ASQ__SLOT_FREE, ASQ__SLOT_RUNS, ASQ__SLOT_ENDED };
enum { ASQ__SLOT_NAME = 64 };
struct asq__slot {
    volatile uint32_t state;
    volatile uint32_t suspect; /* earlier processes died of it: blame it alone */
    volatile uint32_t partition;
    volatile uint64_t ticket; /* number of the call within this slot */
    /* Ticket whose outcome is in commit done_seq; written by the loop. */
    volatile uint64_t done, done_seq;
    volatile uint64_t guilty; /* ticket of the call that certainly ended the process; 0: none */
    uint64_t epoch;
    struct asq__stream_id entry;
    char call[ASQ__CALL_ID_TEXT];
    char class_name[ASQ__SLOT_NAME], method[ASQ__SLOT_NAME], agent[ASQ_MAX_ID + 1];
};

/* Shared memory of a process and its supervisor. */
struct asq__link {
    atomic_int stop;          /* as asq__process.stop */
    atomic_uint state_asked;  /* raised for each request to log the state */
    atomic_llong stopping_ms; /* time when it began to stop; monotonic; 0: not yet */
    atomic_int given_up;      /* set by its watch: end it and start it again */
    char client[17];          /* CLIENT of the process, once it is listed */
    /* May be in the list of workers: set before the first heartbeat, 0 once it has left. */
    atomic_int listed;
};
enum { ASQ__END_GRACE_MS = 3000 }; /* from the drain timeout to SIGKILL */

/* ---- the process ---- */

enum { ASQ__STUCK_MAX = 8192, ASQ__EXIT_THREAD_LOST = 5 };

/* Defaults; see asq_worker_options. */
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
    bool was_up;             /* replaces a process that had served: waits for what Redis lacks */
    struct asq__slot *slots; /* capacity + 1, in shared memory; or NULL */
    struct asq__link *link;  /* in shared memory; or NULL */
    int supervisor_fd;       /* with link: a write to it wakes the supervisor */
    pid_t supervisor;        /* with link: the parent at the start; getppid() differs once it has ended */
    /* Called once it reads the streams of all its partitions, except those others still hold. */
    void (*ready)(void *user);
    void *ready_user;
    asq_log_level log_level;
    asq_log_level method_log_level; /* of asq_ctx_log */
    asq_log_fn log;
    void *log_user;
};

/* Work that other threads hand over to the loop. */
struct asq__handover {
    struct asq__list node;
    void (*handle)(struct asq__handover *h); /* on the loop; may free the object around h */
};

struct asq__process {
    struct asq__process_config config;
    struct asq__env env;
    struct ev_loop *loop;
    ev_prepare cycle;    /* end of an iteration: fetches snapshots, sends commits, flushes */
    ev_async wake;       /* wakes the loop: handed-over work, or a request to stop */
    ev_timer retry;      /* recovers commits after a refusal */
    bool no_stream_info; /* XINFO on streams is forbidden; it helps in rare cases only */
    ev_timer give_up;    /* gives up entries under the highest ids of streams */
    ev_timer upkeep;     /* housekeeping, such as evicting idle agents */
    struct asq__redis *redis;
    struct asq__engine *engine;
    struct asq__pool *pool;
    char client[17];
    uint64_t client_number;
    uint32_t nparts;
    struct asq__partition *parts; /* NULL until Redis was up once */
    struct asq__reader **readers;
    size_t nreaders;
    size_t reading_bytes;      /* bytes that reads under way may bring */
    size_t entry_bytes;        /* size of the largest recent entries; shrinks */
    struct asq__list ready;    /* partitions with commits to send */
    struct asq__list fetching; /* partitions with snapshots to fetch */
    size_t fetching_bytes;     /* bytes that fetches under way may bring */
    struct asq__list inputs_waiting;  /* inputs that wait for room, first in, first out */
    struct asq__list inputs_admitted; /* inputs that may exceed the bound */
    size_t input_bytes;               /* of results held as inputs; also in held_bytes */
    struct asq__list result_reads; /* reads of result records that wait for room */
    size_t result_bytes;           /* bytes that such reads under way may bring */
    struct asq__list leaving;  /* partitions with a backlog */
    size_t admitted_bytes;     /* part of held_bytes that was admitted beyond the bound */
    size_t noted_bytes;        /* memory of notes of what is left in streams */
    struct asq__list claims;   /* partitions to claim */
    size_t claims_in_flight;
    struct asq__list held_up;     /* stuck actors: calls wait, and no run moves */
    ev_timer probe;               /* checks the stuck actors */
    int64_t probe_ms;             /* time of the next check; INT64_MAX: none */
    int64_t probes_rest_until_ms; /* until then probes of other workers are dropped */
    uint64_t waits;               /* last number given to a wait; starts at client_number */
    /* Actors without calls, longest idle first. */
    struct asq__list awake;  /* recently called: everything that a call needs is in memory */
    struct asq__list asleep; /* with a snapshot alone, or a struct of the class's own */
    struct asq__list gone;   /* agents that do not exist */
    size_t nawake;
    struct asq__members *members;
    struct asq__cmd commit_cmd; /* command being built; else empty */
    size_t scripts_in_flight, large_in_flight;
    bool any_doomed;            /* some partition is doomed */
    unsigned starts;            /* calls started in this iteration */
    struct asq__list turn_over; /* partitions with calls left for the next iteration */
    /* Time of the next try after Redis refused a commit; no call starts until it takes one. 0: no
     * refusal. */
    int64_t refused_until_ms;
    bool reconnect; /* try again on a new connection */
    /* Lower bound of the clock of Redis minus the monotonic one. See asq__redis_clock for more. */
    int64_t redis_minus_mono_ms;
    bool redis_clock_known;
    char machine[ASQ__MACHINE_TEXT]; /* see later_clock.h; "": unknown */
    bool suspected;                  /* a commit is suspected of the last loss of the connection */
    struct asq__wcall *suspect;      /* the only call with attempts that may run now */
    size_t suspects_waiting;
    pthread_t thread;          /* thread of the loop */
    struct asq__tally unheard; /* failures of calls whose callers do not take the result */
    atomic_uint turns;         /* iterations of the loop, for watch.c */
    bool forked;               /* copy made by fork() in a method */
    unsigned state_told;       /* value of link->state_asked last answered */
    /* 1: drain and end; 2: end now. Set from signal handlers and threads. */
    atomic_int *stop;
    struct asq__lines lines;      /* log lines that may come often */
    struct asq__trouble away;     /* Redis is unusable */
    struct asq__trouble reading;  /* Redis is unusable for reading */
    struct asq__trouble refusing; /* Redis refuses commits of `nrefused` partitions */
    unsigned nrefused;
    size_t readers_down;
    /* Eviction policy: last asked, last logged; the latter 0: no fault. */
    int64_t policy_asked_ms, policy_told_ms;
    bool told_ready;    /* config.ready was called */
    unsigned told_lack; /* refused commands (ASQ__LACKS_…) that were last logged */
    bool stopping, ended;
    int64_t stop_deadline_ms;
    int code; /* result of asq__process_run */
    char why[400];
    /* Work handed over by threads. */
    pthread_mutex_t handover_lock;
    struct asq__list handover;
    char stuck[ASQ__STUCK_MAX]; /* lines of stuck.c for the heartbeat; under handover_lock */
    int64_t stuck_looked_ms;
    /* Counters, read by the heartbeat thread. */
    atomic_ullong calls, failures, commits, commit_calls, actors_in_memory, actor_bytes, held_bytes,
        dead;
};

/* Blames the coming end of the process on the call of this thread (0: the loop) alone. */
void asq__process_blame_thread(const struct asq__process *w, unsigned thread);
void asq__process_log(struct asq__process *w, asq_log_level level, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* Logs, on the loop, lines that input or Redis can cause again and again; see lines.h. */
#define asq__process_log_some(w, level, ...)                                                       \
    do {                                                                                           \
        if ((level) <= (w)->config.log_level)                                                      \
            asq__lines_say(&(w)->lines, asq__now_ms_coarse(), (level), __VA_ARGS__);               \
    } while (0)

/* process.c: runs until told to stop by *stop and asq__process_wake on *current (set while it runs;
 * may be NULL). Returns 0, or why it could not continue. */
int asq__process_run(const struct asq__process_config *config, atomic_int *stop,
                     struct asq__process **current, char *err, size_t errlen);
/* Wakes the loop, from any thread or signal handler. */
void asq__process_wake(struct asq__process *w);
/* Result of asq__process_run when the namespace was made anew with other partitions: start the
 * process again. */
enum { ASQ__START_ANEW = 1 };
/* Gives the loop work, in the order of the calls, from any thread. */
void asq__process_hand_over(struct asq__process *w, struct asq__handover *h);
bool asq__process_is_quiet(struct asq__process *w); /* on the loop: nothing is handed over */
/* Notes the largest string that Redis takes, so that a larger one fails in the call that makes
 * it. */
void asq__process_learn_limit(struct asq__process *w);
void asq__process_fail(struct asq__process *w, int code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* partition.c */
int asq__partitions_init(struct asq__process *w);
/* Drops all that they hold; pending replies find nothing. */
void asq__partitions_drop(struct asq__process *w);
void asq__partitions_release(struct asq__process *w);
/* Claims it if the lease is as last seen. May take a while because claims are spread over time. */
void asq__partition_claim(struct asq__partition *p);
/* Notes an epoch under which it was held. */
void asq__partition_note_epoch(struct asq__partition *p, uint64_t epoch);
/* Writes owner and epoch into the lease again if it is still held. */
void asq__partition_tell_owner(struct asq__partition *p);
void asq__partition_claim_not(struct asq__partition *p); /* cancels a claim that was not sent yet */
/* Stops starting calls, and releases it once it is empty. */
void asq__partition_drain(struct asq__partition *p, int64_t timeout_ms);
void asq__partition_fence(struct asq__partition *p, const char *why);
/* Drops it because memory is short: unacknowledged effects are void, and the next owner starts from
 * Redis. Takes effect at the end of the iteration, because callers still hold what is dropped. */
void asq__partition_doom(struct asq__partition *p);
/* Does the same for another reason. */
void asq__partition_doom_for(struct asq__partition *p, const char *why);
void asq__partitions_drop_doomed(struct asq__process *w);
/* Releases a draining partition if it is empty now. */
void asq__partition_check_drained(struct asq__partition *p);
/* Does the same once a second, and calls off a drain that takes too long. */
void asq__partition_look_at_drain(struct asq__partition *p);
bool asq__partition_is_owned(const struct asq__partition *p);
size_t asq__partitions_owned(const struct asq__process *w);

/* reader.c */
int asq__readers_init(struct asq__process *w);
void asq__readers_release(struct asq__process *w);
void asq__readers_go_on(struct asq__process *w); /* at the end of the iteration */
void asq__reader_add(struct asq__partition *p);
void asq__reader_remove(struct asq__partition *p);
size_t asq__readers_up(const struct asq__process *w); /* connections */
/* Returns whether each connection that has streams to read is up. */
bool asq__readers_serve(const struct asq__process *w);
void asq__readers_reconnect(struct asq__process *w);

/* descriptors.c */
/* Raises the soft limit of open files to the need of the process, and logs where the hard one is
 * too low. Called when the number of readers is known. */
void asq__descriptors_check(struct asq__process *w);

/* read_budget.c: bytes that reads of streams may bring, of all reads of a process together. */
size_t asq__read_begin(struct asq__process *w); /* bytes reserved until asq__read_end */
void asq__read_end(struct asq__process *w, size_t bytes);
/* Returns how many entries to read of each of `streams` streams; 0: entries may be too large for
 * that. */
size_t asq__read_entries(const struct asq__process *w, size_t streams);
/* Returns how many entries, up to `most`, a read that counts bytes may bring. Decoded entries may
 * take more than their bytes. */
size_t asq__read_entries_at_most(const struct asq__process *w, size_t most);
void asq__read_note(struct asq__process *w, size_t largest); /* largest entry of a reply */
size_t asq__reply_entry_bytes(const redisReply *entry);

/* intake.c */
/* Takes in an entry of the stream: [id, [field, value, …]]. Returns its weight in reads: its bytes,
 * or its memory if that is more. */
size_t asq__intake_reply(struct asq__partition *p, const redisReply *entry);
/* Dispatches the ready entries at the head of the intake. */
void asq__intake_go_on(struct asq__partition *p);
void asq__entry_free(struct asq__entry *e);
void asq__entry_note_bytes(struct asq__entry *e, size_t bytes); /* adds to its memory */
/* Frees it when nothing needs it any more. */
void asq__entry_settle(struct asq__entry *e);
void asq__wcall_id(const struct asq__wcall *c, char out[ASQ__CALL_ID_TEXT]);
struct asq__entry *asq__entry_find(const struct asq__partition *p, const uint8_t id[ASQ__BATCH_ID]);
/* Pushes committed results to a client. */
void asq__push(struct asq__partition *p, const char *client, const void *data, size_t n);
/* Announces a record of n bytes: the client reads from its key what it lacks. */
void asq__push_announcement(struct asq__partition *p, const uint8_t batch[ASQ__BATCH_ID],
                            const char *client, size_t n);
/* Pushes a whole record; a large one is only announced. */
void asq__push_record(struct asq__partition *p, const uint8_t batch[ASQ__BATCH_ID],
                      const char *client, const void *data, size_t n);
void asq__wcall_cancel(struct asq__wcall *c);
/* Takes the result record that asq__result_read has asked for: the first n bytes of reply->str. n 0: an error, or there
 * is none. reply NULL: not known. Ends e->looking of that read; may free `e`. */
void asq__intake_record(struct asq__entry *e, const redisReply *reply, size_t n);
/* Returns the call while it waits or runs here; else NULL. */
struct asq__wcall *asq__wcall_find(struct asq__partition *p, const struct asq__call_id *id);

/* result_read.c: result records of entries that may have been done before, read with a bound in bytes. */
/* Queues a read, which ends with asq__intake_record; e->looking counts it until then. ASQ_ENOMEM. */
int asq__result_read(struct asq__entry *e);
void asq__result_reads_send(struct asq__process *w);      /* at the end of the iteration */
void asq__result_reads_drop(struct asq__process *w); /* after asq__partitions_drop */

/* channels.c: clients besides its sender that get a batch's results. ASQ_ENOMEM; ASQ_ELIMIT: too
 * many, and the client finds the record by itself. */
int asq__entry_add_channel(struct asq__entry *e, const char *client);
void asq__entry_free_channels(struct asq__entry *e);

/* Takes in an entry that was left in the stream. False: the entry stays there for now. *ret_id gets
 * its id, if it is an entry. */
bool asq__intake_again(struct asq__partition *p, const redisReply *entry,
                       struct asq__stream_id *ret_id);
/* Takes in an entry that was noted for the agent. False: it is in memory, and about to be
 * dispatched for another agent; it is to be read again afterwards. */
struct asq__note;
bool asq__intake_noted(struct asq__partition *p, const redisReply *entry,
                       const struct asq__note *note, const char *agent, bool admitted);
void asq__wcall_unleave(struct asq__wcall *c); /* it is not `left` any more */

/* ---- stream_end.c ---- */

/* Returns whether the id is so near to the highest one that Redis soon takes no more entries. */
bool asq__stream_id_is_last(struct asq__stream_id id);
/* Makes the stream usable again a moment later. Doing so at once would break the order: of the
 * calls that a client has sent in a row, the first would be refused and the next one taken. */
void asq__stream_give_up_soon(struct asq__partition *p);
void asq__streams_give_up(struct asq__process *w);    /* when the moment is over */
void asq__stream_check_end(struct asq__partition *p); /* finds the end of an empty stream */

/* call_time.c: times when calls were made, by the monotonic clock. */
/* Called after reading, when `lookup` is decided. */
void asq__entry_take_time(struct asq__entry *e);
/* False: the clock of Redis is asked, and the intake continues with the answer. */
bool asq__entry_time_is_known(struct asq__entry *e);
/* Returns whether the record of an earlier run could have expired. The entry has none. */
bool asq__entry_is_stale(const struct asq__entry *e);
int64_t asq__wcall_limit_ms(const struct asq__wcall *c); /* slow path of asq__wcall_deadline_ms */
static inline int64_t
asq__wcall_deadline_ms(const struct asq__wcall *c) /* INT64_MAX: no deadline */
{
    return c->entry->limited ? asq__wcall_limit_ms(c) : INT64_MAX;
}
/* End of its delay; 0: no delay. */
int64_t asq__wcall_due_ms(const struct asq__wcall *c);
void asq__process_time_told(struct asq__process *w, int64_t set_ms); /* TIME was answered */

/* sender.c: tells whether an entry comes in the order in which its sender has sent. */
enum asq__sender_order {
    ASQ__SENDER_IN_ORDER,
    ASQ__SENDER_BEHIND, /* seen before, or a later one was: a copy, or refused by Redis then */
    ASQ__SENDER_UNKNOWN
};
enum asq__sender_order asq__sender_order(const struct asq__partition *p,
                                         const Asqueue__Batch *batch);
/* Notes a batch that was in the stream, whatever its fate. in_order: the batch came in order, or
 * came in this ownership and was not taken before. */
void asq__sender_note(struct asq__partition *p, const Asqueue__Batch *batch, bool in_order);
void asq__senders_forget(struct asq__partition *p);

/* backlog.c: the part of a stream that this process has no room for. */
enum asq__room {
    ASQ__ROOM,          /* taken in */
    ASQ__ROOM_ADMITTED, /* taken in beyond the bound */
    ASQ__ROOM_NOTED,    /* left, and noted for its agents */
    ASQ__ROOM_NONE,     /* left, as everything behind it */
    ASQ__ROOM_NO_MEMORY
};
/* An entry for which room is sought. */
struct asq__arrival {
    struct asq__stream_id id;
    const Asqueue__Batch *batch;
    size_t bytes; /* that it takes in memory */
    bool again;   /* was left with everything behind it */
    bool fresh;   /* came in the order of its sender, and was never run */
    bool behind;  /* came behind later entries of its sender */
};
/* Decides whether an entry is taken in. Of one that is, the calls for which
 * asq__backlog_holds_back is true are left. */
enum asq__room asq__backlog_room(struct asq__partition *p, const struct asq__arrival *a);
/* Returns whether calls to the agent are left that stand in the stream at `id` or before it. */
bool asq__backlog_holds_back(const struct asq__partition *p, const char *agent,
                             struct asq__stream_id id);
bool asq__backlog_has(const struct asq__partition *p, const char *agent); /* calls to it are left */
void asq__backlog_actor_rests(struct asq__actor *a); /* one of which calls are left */
size_t asq__backlog_calls(const struct asq__partition *p); /* calls that are left, about */
/* Returns whether a call that was left is cancelled, and forgets that. */
bool asq__backlog_take_cancel(struct asq__partition *p, const struct asq__call_id *id);
void asq__backlog_cancel(struct asq__partition *p, const struct asq__call_id *id);
void asq__backlog_go_on(struct asq__process *w); /* at the end of the iteration */
/* Once a second: retries reads that Redis has refused. */
void asq__backlog_try_again(struct asq__process *w);
void asq__backlog_drop(struct asq__partition *p);

/* actor.c: agents in memory. */
struct asq__actor *asq__actor_of(struct asq__partition *p, const char *id); /* NULL: no memory */
/* Activates it for a call; false: no memory. */
bool asq__actor_wake(struct asq__actor *a);
/* Passivates it if no call concerns it. */
void asq__actor_rest(struct asq__actor *a);
bool asq__actor_has_queued(const struct asq__actor *a);
void asq__actor_note_size(struct asq__actor *a);
void asq__actor_unload_created(struct asq__actor *a, Asqueue__JobKind kind);
/* Detaches an agent of a lost partition; freed when its last run ends. */
void asq__actor_orphan(struct asq__actor *a);
void asq__actor_free(struct asq__actor *a);
bool asq__is_crowded(const struct asq__process *w);
/* Evicts idle agents; over the memory limit, evicts more, longest idle first. */
void asq__actors_evict(struct asq__process *w);
void asq__actors_upkeep(struct asq__process *w); /* once a second; also evicts */

/* actor_fetch.c: snapshots of agents, read with a bound in bytes. */
void asq__actor_want_record(struct asq__actor *a); /* resumes the actor when it is there */
void asq__fetch_records(struct asq__process *w);   /* at the end of the iteration */
void asq__fetch_drop(struct asq__partition *p);

/* dispatch.c */
/* Queues or delays a new call. */
void asq__dispatch(struct asq__wcall *c);
/* Re-queues it as re-entrant: its caller now runs here. */
void asq__dispatch_let_in(struct asq__wcall *c);
/* Queues a delayed call that is due. */
void asq__dispatch_due(struct asq__wcall *c);
/* Queues a call, and starts none. False: the call has failed. */
bool asq__dispatch_join(struct asq__wcall *c);
/* Resumes or starts what it can. */
void asq__actor_go_on(struct asq__actor *a);
/* Returns whether a run of it runs, or is about to. */
bool asq__actor_is_moving(const struct asq__actor *a);
/* Returns whether its method is ASQ_CONCURRENT and the call is not re-entrant. */
bool asq__wcall_may_share(const struct asq__wcall *c);
const struct asq__run *asq__actor_innermost(const struct asq__actor *a); /* or NULL */
/* Returns the run that blocks re-entrant call `c`; NULL if it is unblocked or not re-entrant. */
const struct asq__run *asq__actor_holds_back(const struct asq__wcall *c);
/* Bounds on skipping calls that wait for inputs or after a death: calls skipped, and calls seen
 * behind the first. Each new call causes such a search. */
enum { ASQ__PASSED = 8, ASQ__PASSED_SEEN = 256 };
struct asq__passed {
    const struct asq__wcall *calls[ASQ__PASSED]; /* of different callers */
    unsigned n;
};
/* Returns whether a skipped call blocks `c`, because both have one caller or it is c's caller. */
bool asq__passed_holds(const struct asq__passed *passed, const struct asq__wcall *c);
/* Returns whether all calls behind `c` wait for it: `c` creates an agent that does not exist
 * yet. */
bool asq__wcall_holds_all(const struct asq__wcall *c);
/* Resumes or starts what it can, of all its actors. */
void asq__partition_go_on(struct asq__partition *p);
/* Starts, at the end of an iteration, calls that it had no room for. True: some are left for the
 * next one. */
bool asq__dispatch_turn_over(struct asq__process *w);
void asq__run_finished(struct asq__handover *h);
void asq__run_parks(struct asq__run *run); /* run begins to wait: gives up its turn */
void asq__run_wake(struct asq__run *run);  /* run may resume: its wait is over */
void asq__wcall_fail(struct asq__wcall *c, int code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
bool asq__process_may_start(struct asq__process *w);

/* later.c: calls that are due in the future. */
/* Delays a new call. False: due now; true: the call waits, or has failed. */
bool asq__later_begin(struct asq__wcall *c);
/* Returns whether every call of a new entry is due later than now. */
bool asq__later_is_all_ahead(struct asq__partition *p, Asqueue__Batch *batch);
void asq__later_stop(struct asq__wcall *c); /* stops its timer; its time is kept elsewhere */
#define ASQ__CANCELED_BEFORE_RETRY "the call was cancelled before it ran again"
/* Handles a failed run. True: the call runs again, later. A cancelled call that would run again
 * fails with the text above. */
bool asq__later_retry(struct asq__wcall *c, struct asq__run *run);
void asq__later_end(struct asq__wcall *c); /* ends its delay */

/* later_move.c: batches of which nothing can run yet, out of the stream and back. */
void asq__later_open(struct asq__partition *p); /* after a claim: looks for waiting batches */
void asq__later_close(struct asq__partition *p);
void asq__later_free(struct asq__partition *p);
bool asq__later_may_have(const struct asq__partition *p); /* false: nothing waits there */
void asq__later_leave(struct asq__entry *e);              /* if nothing of it can run for a while */
void asq__later_left(struct asq__entry *e);               /* after its commit was acknowledged */
/* After its commit was dropped with the partition. */
void asq__later_forget(struct asq__entry *e);
void asq__later_upkeep(struct asq__partition *p); /* once a second */
enum { ASQ__LATER_CHANNELS = 4096 };              /* clients that a Later may name */
/* Restores what the field `later` of its entry keeps. ASQ_EPROTO, ASQ_ENOMEM. */
int asq__later_take(struct asq__entry *e, const void *data, size_t n);
/* Replaces `from` by `to`, its copy read before the commit that moved `from` out is acknowledged
 * here. Channels and cancels that came since go to `to`. */
void asq__later_take_over(struct asq__entry *from, struct asq__entry *to);

/* later_clock.c: the clock of a partition, which continues when that of Redis is set. */
/* Sets the clock of a claimed partition by the clock of Redis and the last owner's mark, or "". */
void asq__later_clock_begin(struct asq__partition *p, int64_t redis_ms, const char *kept);
int64_t asq__later_clock(struct asq__partition *p);   /* current time */
void asq__later_clock_keep(struct asq__partition *p); /* stores it for the next owner */
/* Stores all of them after the clock of Redis was set. */
void asq__later_clock_was_set(struct asq__process *w);
/* Formats what the lease keeps for the next owner on this machine. */
void asq__later_clock_mark(const struct asq__partition *p, char mark[ASQ__CLOCK_MARK]);

/* later_ask.c: queries about single batches that wait outside of the stream. */
/* Asks whether the first copy of `e` is there, and if so adds e's channels to it. The answer goes
 * to e->later; e->looking counts it until then. */
void asq__later_ask_copy(struct asq__entry *e);
/* Asks for a client that awaits a call of the batch. state: as later.lua says; -1: unknown. False:
 * not asked. */
bool asq__later_ask_await(struct asq__partition *p, const uint8_t batch[ASQ__BATCH_ID],
                          const char *client, void (*answer)(void *user, int state), void *user);
/* Cancels calls that wait there. control: the requesting entry, removed afterwards; 0-0: none.
 * False: no memory. */
bool asq__later_cancel(struct asq__partition *p, const struct asq__call_id *ids, size_t n,
                       struct asq__stream_id control);
void asq__later_add_channels(struct asq__entry *e, size_t from); /* to what is kept of it */
/* Once a second: repeats unanswered cancels. */
void asq__later_cancel_again(struct asq__partition *p);

/* await.c */
void asq__await(struct asq__partition *p, const struct asq__call_id *target, const char *client);
const void *asq__await_key(const struct asq__node *node, size_t *n); /* for part->awaits */

/* state.c */
void asq__state_tell(struct asq__process *w);

/* stuck.c: which calls have been under way for long, and why. */
void asq__stuck_look(struct asq__process *w); /* once a second */

/* deadlock.c: cycles of calls that wait for each other. */
void asq__deadlock_init(struct asq__process *w);
/* Notes that calls of the agent wait while no run of it moves, or that one more waits. */
void asq__deadlock_note(struct asq__actor *a);
void asq__deadlock_forget(struct asq__actor *a);
void asq__deadlock_probe(struct asq__process *w, const Asqueue__Probe *probe);

/* exec.c: a call on its fiber. */
struct asq__inner { /* a batch of nested calls */
    uint32_t partition;
    uint8_t id[ASQ__BATCH_ID];
    bool keep; /* record stays for a while: its id was given away */
};
struct asq__run {
    struct asq__task task;
    struct asq__handover finished;
    struct asq__process *w;
    struct asq__wcall *call;
    struct asq__actor *actor;
    struct asq__list inside; /* in actor->insiders */
    asq_ctx ctx;
    struct asq__nested *nested; /* memory for ctx.h; NULL once it is used */
    char call_id[ASQ__CALL_ID_TEXT];
    /* Slot of its thread, which has `ticket` if the run is its last; or NULL. */
    struct asq__slot *slot;
    uint64_t ticket;
    struct asq__effect effect;
    struct asq__inner *inner; /* batches to forget after its own commit */
    size_t ninner, inner_cap;
    bool keep_inner;          /* leaves them to their TTL: their ids were given away */
    size_t unsettled;         /* batches neither taken nor refused by Redis yet */
    bool ended;               /* method has returned; ends when `unsettled` is 0 */
    bool at_once;             /* started inline; the starter may finish it */
    bool through;             /* completed without parking; the starter must end it */
    bool parked;              /* waits, and has given up its turn */
    bool woken;               /* wait is over, turn still to come */
    int wait_rc;              /* outcome of its wait */
    uint64_t wait;            /* number of its wait, unique in this process */
    struct asq__fiber *fiber; /* while parked */
};
int asq__run_new(struct asq__wcall *c, struct asq__run **ret);
/* Starts a run. True: it is through, and the caller must end it. */
bool asq__run_start(struct asq__run *run, bool nonblocking);
void asq__run_free(struct asq__run *run);

/* nested.c */
/* Returns memory for the handle inside the run's method, for run->nested. NULL: there is none. */
struct asq__nested *asq__nested_room(const struct asq__run *run);
asq *asq__nested_handle(asq_ctx *ctx);      /* made there, on the method's thread */
void asq__nested_end(struct asq__run *run); /* after the method has returned; on the loop */
/* Visits what a parked run waits for; see asq__wait_results. OTHER: also when its wait is over. */
enum asq__wait asq__nested_waits_for(const struct asq__run *run, asq__wait_fn visit, void *user);
void asq__nested_cancel(struct asq__run *run); /* cancels the calls that it made */
/* Sends deferred batches whose commit is acknowledged. */
void asq__nested_go_on(struct asq__partition *p);
void asq__nested_drop_held(struct asq__partition *p);

/* inputs.c: futures given as arguments. */
int asq__inputs_begin(struct asq__wcall *c); /* 0: awaited or there; else an error */
bool asq__inputs_ready(const struct asq__wcall *c);
/* Gets an awaited future, after the first `skip` of them. False: there is none. */
bool asq__inputs_pending(const struct asq__wcall *c, size_t skip, struct asq__call_id *ret);
const char *asq__inputs_failure(const struct asq__wcall *c); /* NULL: none has failed */
void asq__inputs_free(struct asq__inputs *in);
/* Asks for room for results that were dropped; it is the call's turn at its agent. Resumes the agent when they are
 * there. */
void asq__inputs_want_room(struct asq__wcall *c);
bool asq__inputs_wait_for_room(const struct asq__wcall *c);
void asq__inputs_go_on(struct asq__process *w); /* at the end of the iteration: gives room */
/* Drops what was admitted beyond the bound before the call waits for its next run. */
void asq__inputs_retry(struct asq__wcall *c);
const void *asq__inputs_args(const struct asq__inputs *in, size_t *n);

/* commit.c */
/* Returns how long the record of a batch lives. A nested one lives until the commit of its method's
 * call, which forgets it, and is renewed meanwhile; it expires if that call is never run again. */
int64_t asq__commit_record_ms(const struct asq__process *w, bool nested);
/* Returns how large the call's result may be if its batch's record must stay one string; 0: no
 * limit. */
size_t asq__commit_result_room(const struct asq__wcall *c);
void asq__commit_result(struct asq__wcall *c, struct asq__run *run, const asq_error *error);
void asq__commit_remove(struct asq__partition *p, struct asq__stream_id id);
void asq__commit_mark(struct asq__wcall *c);
/* Commits a failed run that is followed by another, at due_ms of the partition's clock. */
void asq__commit_retry(struct asq__wcall *c, struct asq__run *run, uint64_t due_ms);
/* Moves a batch out of the stream, until due_ms of the partition's clock. Takes over `kept`, its
 * stored form. */
void asq__commit_later(struct asq__entry *e, uint64_t due_ms, void *kept, size_t n);
/* Deletes the stored form of a finished batch, whose second copy leaves the stream. */
void asq__commit_forget_later(struct asq__entry *e);
void asq__commit_dead_letter(struct asq__wcall *c, const char *label, const char *reason);
void asq__commits_send(struct asq__process *w); /* at the end of the iteration */
/* Puts all owned partitions into recovery: no call starts before the leases are read. */
void asq__commits_doubt(struct asq__process *w);
void asq__commits_recover(struct asq__process *w);
void asq__commits_drop(struct asq__partition *p);
bool asq__commits_pending(const struct asq__partition *p);
/* Returns whether too many bytes wait to be committed to start more calls. Calls start again when
 * it is less. */
bool asq__commits_are_many(struct asq__partition *p);
/* Moves entry bytes that cannot be decoded from the stream to the dead letters. */
void asq__dead_letter(struct asq__partition *p, struct asq__stream_id id, const char *label,
                      const void *batch, size_t n, const char *reason, uint32_t attempts);

/* refused.c: a commit was refused for its partition alone; `text`: error, or "ERR KEY: error". */
void asq__refused_note(struct asq__partition *p, const char *text);
void asq__refused_over(struct asq__partition *p, bool taken); /* after it was taken, or dropped */

/* member.c */
int asq__members_new(struct asq__process *w, struct asq__members **ret);
void asq__members_start(struct asq__members *m); /* Redis is up (again) */
/* Returns whether the partitions that this process should hold are decided. */
bool asq__members_have_decided(const struct asq__members *m);
void asq__members_look(struct asq__members *m); /* refreshes now, not at the next tick */
/* Handles a message on the channel of workers. False: it is no heartbeat. */
bool asq__members_heard(struct asq__members *m, const char *payload, size_t n);
/* After a wake of the loop, perhaps by the first heartbeat. */
void asq__members_woken(struct asq__members *m);
void asq__members_beat(struct asq__members *m); /* heartbeat at once, which tells whether to stop */
void asq__members_stop(struct asq__members *m); /* no claims any more; the heartbeat continues */
void asq__members_end(struct asq__members *m);  /* ends the heartbeat; leaves the list of workers */
void asq__members_free(struct asq__members *m);
void asq__members_tell(struct asq__process *w); /* wakes the other workers */
/* False when its own heartbeat was not acknowledged for too long. */
bool asq__members_beating(const struct asq__members *m);

#endif
