/*
 * supervisor.c: see supervisor.h. The supervisor runs no user code and keeps no connection while
 * nothing happens, so faults that kill a worker process do not reach it. It reads which calls were
 * running from memory that it shares with its children, because a dead process cannot be asked.
 */
#include "asqueue.h"
#include "redis/keys.h"
#include "redis/reply.h"
#include "redis/trouble.h"
#include "value/error.h"
#include "worker/core/attempts.h"
#include "worker/exec/fiber.h"
#include "worker/handover.h"
#include "worker/process.h"
#include "worker/shared.h"
#include "worker/signals.h"
#include "worker/core/stream_id.h"
#include "worker/supervisor.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>
#ifdef HAVE_LIBSYSTEMD
#include <systemd/sd-daemon.h>
#endif

#include "redis/sync.h"
#include "value/clock.h"
#include "value/fd.h"
#include "worker/leave.h"
#include "worker/loop.h"

enum {
    BACKOFF_FIRST_MS = 100,
    BACKOFF_MAX_MS = 10000,
    HEALTHY_MS = 10000,
    TICK_MS = 1000,
    ANNOUNCE_TIMEOUT_MS = 2000,
    SECOND_GRACE_MS = 2000, /* after a second request to stop */
    EXIT_CANNOT_GO_ON = 3,
    EXIT_START_ANEW = 4
};

/* Shared with one child. */
struct shared {
    atomic_int ready;
    atomic_int ended; /* ended in order: status 0 may also be an exit of user code */
    struct asq__signals_got got;
    int code;
    char why[400];
    struct asq__process_link link;
    struct asq__slot slots[];
};

struct child {
    pid_t pid;        /* 0: not running */
    bool done;        /* ended in order, or not restarted */
    bool unannounced; /* ended, and Redis does not know yet */
    bool died;        /* ended neither in order nor cut off: its calls are blamed */
    bool cut_off;     /* ended by SIGKILL because it had to stop: its calls are not blamed */
    unsigned starts;
    char id[ASQ_MAX_ID + 16];
    unsigned blamed;            /* rank of the calls blamed for the last death; RANKS: none yet */
    char how[ASQ_MAX_ID + 100]; /* how the last process died */
    struct shared *shared;
    int64_t started_ms, start_at_ms;
    int64_t backoff_ms;
    struct asq__signals_told signals_told;
};

struct supervisor {
    const struct asq__supervisor_config *config;
    struct child *children;
    size_t shared_size;
    sigset_t old_mask;
    sigset_t meaningless; /* signals that are ignored, with a line */
    struct asq__signals_told signals_told;
    int signals;        /* signalfd */
    int ready[2];       /* pipe: children say that they are ready */
    int stopping;       /* number of requests to stop */
    int64_t kill_at_ms; /* while stopping: processes that still run then are ended */
    bool unreachable;   /* Redis was away while stopping: no second wait */
    bool told_ready;
    struct asq__trouble untold; /* failures to tell Redis of a death */
    bool was_up; /* a process was ready once: from then on every answer of Redis is waited out */
    int code;
    char why[400];
};

static void say(const struct supervisor *s, asq_log_level level, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
static void say(const struct supervisor *s, asq_log_level level, const char *fmt, ...)
{
    char text[800];
    va_list ap;
    const struct asq__process_config *c = &s->config->process;
    if (!c->log || level > c->log_level)
        return;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    c->log(c->log_user, level, text);
}

static void notify(const struct supervisor *s, const char *state)
{
#ifdef HAVE_LIBSYSTEMD
    if (s->config->notify)
        sd_notify(0, state);
#else
    (void) s;
    (void) state;
#endif
}

/* Returns whether the worker belongs to a program (child mode). A signal to all processes of a
 * service stops the program, which may need its workers to finish: they end with it, and by no
 * signal before. */
static bool is_part_of_program(const struct supervisor *s)
{
    return s->config->parent_fds[0] >= 0 || s->config->parent_fds[1] >= 0;
}

/* ---- in the child ---- */

static struct shared *child_shared;
static atomic_int *child_stop; /* in shared memory */
static struct asq__process *child_process;
static pid_t child_supervisor;
static bool child_obeys_others;

/* Notes a request to stop. A signal to a whole process group reaches the supervisor too, which
 * passes it on: both are one request. So only the supervisor can ask a second time, by shared
 * memory. */
static void on_term(int signal, siginfo_t *info, void *context)
{
    (void) signal, (void) context;
    bool supervisor = info->si_pid == child_supervisor;
    if (!supervisor && !child_obeys_others)
        return;
    int saved = errno, none = 0;
    atomic_compare_exchange_strong(child_stop, &none, 1);
    if (child_process)
        asq__process_wake(child_process);
    errno = saved;
}

/* Stands in place of SIG_IGN, which programs that methods start would inherit. */
static void on_nothing(int signal)
{
    (void) signal;
}

/* Handles signals that would end the process, or that are for the supervisor, which decides for
 * all. */
static void set_signals(const struct supervisor *s)
{
    static const int harmless[] = { SIGPIPE, SIGXFSZ, SIGUSR1, SIGQUIT };
    struct sigaction term = { .sa_sigaction = on_term, .sa_flags = SA_SIGINFO };
    struct sigaction nothing = { .sa_handler = on_nothing, .sa_flags = SA_RESTART }, old;
    sigset_t mask = s->old_mask;
    sigemptyset(&term.sa_mask);
    sigemptyset(&nothing.sa_mask);
    sigaction(SIGTERM, &term, NULL);
    signal(SIGINT, SIG_IGN); /* the terminal signals all processes; the supervisor decides */
    signal(SIGHUP, SIG_IGN);
    for (size_t i = 0; i < sizeof harmless / sizeof *harmless; i++)
        if (sigaction(harmless[i], NULL, &old) == 0 &&
            (old.sa_flags & SA_SIGINFO || (old.sa_handler != SIG_DFL && old.sa_handler != SIG_IGN)))
            continue; /* the program has a handler of its own */
        else
            sigaction(harmless[i], &nothing, NULL);
    asq__signals_ignore(&s->meaningless, &child_shared->got, s->ready[1]);
    signal(SIGCHLD, SIG_DFL);
    sigdelset(&mask, SIGTERM);
    sigprocmask(SIG_SETMASK, &mask, NULL);
}

/* Runs in a process that a method has forked. */
static void in_forked(void)
{
    if (child_process)
        child_process->forked = true;
}

struct ready_hook {
    struct shared *shared;
    int fd;
};

static void on_ready(void *user)
{
    struct ready_hook *hook = user;
    atomic_store(&hook->shared->ready, 1);
    ssize_t n = write(hook->fd, "r", 1);
    (void) n; /* the supervisor also polls the memory */
}

static void run_child(struct supervisor *s, struct child *c, pid_t parent)
    __attribute__((noreturn));
static void run_child(struct supervisor *s, struct child *c, pid_t parent)
{
    struct asq__process_config config = s->config->process;
    char err[400] = "";
    struct ready_hook hook = { c->shared, s->ready[1] };
    prctl(PR_SET_PDEATHSIG, is_part_of_program(s) ? SIGKILL : SIGTERM);
    if (getppid() != parent)
        _exit(0);
    child_supervisor = parent;
    child_obeys_others = !is_part_of_program(s);
    child_shared = c->shared;
    child_stop = &c->shared->link.stop;
    set_signals(s);
    close(s->signals);
    close(s->ready[0]);
    asq__fd_fill_standard();
    asq__fiber_install_overflow_handler();
    pthread_atfork(NULL, NULL, in_forked);
    config.id = c->id;
    config.was_up = s->was_up;
    config.slots = c->shared->slots;
    config.link = &c->shared->link;
    config.supervisor_fd = s->ready[1];
    config.supervisor = parent;
    config.ready = on_ready;
    config.ready_user = &hook;
    int rc = asq__process_run(&config, child_stop, &child_process, err, sizeof err);
    if (rc == 0) {
        atomic_store(&c->shared->ended, 1);
        _exit(0);
    }
    c->shared->code = rc;
    snprintf(c->shared->why, sizeof c->shared->why, "%s", err);
    _exit(rc == ASQ__START_ANEW ? EXIT_START_ANEW : EXIT_CANNOT_GO_ON);
}

/* ---- children ---- */

static void start(struct supervisor *s, struct child *c)
{
    memset(c->shared, 0, s->shared_size);
    c->cut_off = false;
    c->starts++;
    c->started_ms = asq__now_ms();
    pid_t self = getpid();
    c->pid = fork();
    if (c->pid == 0)
        run_child(s, c, self);
    if (c->pid < 0) {
        say(s, ASQ_LOG_ERROR, "worker process %s cannot be forked: %s", c->id, strerror(errno));
        c->pid = 0;
        c->start_at_ms = asq__now_ms() + BACKOFF_MAX_MS;
    }
}

/* ---- what a process has died of ---- */

static void tell_blamed(const struct supervisor *s, const struct child *c,
                        const struct asq__slot *slot, const redisReply *r)
{
    long long n = r->element[0]->integer, wait_ms = r->element[1]->integer;
    uint32_t max = s->config->process.max_attempts;
    char then[60] = "it becomes a dead letter";
    if (n < max)
        snprintf(then, sizeof then, "it is tried again in %lld ms", wait_ms);
    say(s, ASQ_LOG_ERROR,
        "%s.%s of agent %s was running when %s (attempt %lld of %u of call %s); %s",
        *slot->class_name ? slot->class_name : "?", *slot->method ? slot->method : "create",
        slot->agent, c->how, n, max, slot->call, then);
}

/* Ranks of calls in the order of blame for a death: only the first rank with a call in it is
 * blamed. A call that has returned and is not committed yet seldom caused it, and would be given up
 * for the faults of others. */
enum { GUILTY, KILLED_BEFORE, RUNNING, RETURNED, RANKS };

static unsigned rank_of(const struct asq__slot *slot)
{
    if (slot->guilty && slot->guilty == slot->ticket)
        return GUILTY;
    if (slot->suspect)
        return KILLED_BEFORE;
    return slot->state == ASQ__SLOT_RUNS ? RUNNING : RETURNED;
}

/* Counts a death against the call in a slot, unless it has ended. False: Redis does not take it
 * now. */
static bool blame(struct supervisor *s, struct child *c, struct asq__sync *ctx,
                  const struct asq__keys *keys, struct asq__slot *slot)
{
    char lease[ASQ__KEY_MAX], jobs[ASQ__KEY_MAX], attempts[ASQ__KEY_MAX],
        entry[ASQ__STREAM_ID_TEXT], epoch[24];
    char seq[24] = "", first[24], longest[24];
    slot->call[sizeof slot->call - 1] = slot->class_name[ASQ__SLOT_NAME - 1] = '\0';
    slot->method[ASQ__SLOT_NAME - 1] = slot->agent[ASQ_MAX_ID] = '\0';
    asq__keys_lease(keys, slot->partition, lease);
    asq__keys_jobs(keys, slot->partition, jobs);
    asq__keys_attempts(keys, slot->partition, attempts);
    asq__stream_id_format(slot->entry, entry);
    snprintf(epoch, sizeof epoch, "%llu", (unsigned long long) slot->epoch);
    if (slot->done == slot->ticket)
        snprintf(seq, sizeof seq, "%llu", (unsigned long long) slot->done_seq);
    snprintf(first, sizeof first, "%d", ASQ__DIED_WAIT_MS);
    snprintf(longest, sizeof longest, "%d", ASQ__DIED_WAIT_MAX_MS);
    redisReply *r =
        asq__sync_cmd(ctx, "EVAL %s 3 %s %s %s %s %s %s %s %s %s %s %s", asq__script_died, lease,
                      jobs, attempts, slot->call, c->id, epoch, entry, seq, c->how, first, longest);
    bool answered = r && r->type != REDIS_REPLY_ERROR;
    bool cannot = r && r->type == REDIS_REPLY_ERROR && strstr(r->str, "WRONGTYPE");
    if (cannot)
        say(s, ASQ_LOG_WARNING, "call %s was running when %s; that cannot be counted: %s",
            slot->call, c->how, r->str);
    if (answered && r->type == REDIS_REPLY_ARRAY && r->elements == 2) {
        tell_blamed(s, c, slot, r);
        c->blamed = rank_of(slot);
    }
    if (answered || cannot)
        slot->state = ASQ__SLOT_FREE;
    freeReplyObject(r);
    return answered || cannot;
}

/* Blames all calls of the first rank. False: Redis does not take it now; the next tick continues
 * with the same rank. */
static bool blame_all(struct supervisor *s, struct child *c, struct asq__sync *ctx,
                      const struct asq__keys *keys)
{
    bool ok = true;
    for (unsigned rank = 0; rank < RANKS && rank <= c->blamed && ok; rank++)
        for (uint32_t i = 0; i <= s->config->process.capacity; i++) {
            struct asq__slot *slot = &c->shared->slots[i];
            if (slot->state != ASQ__SLOT_FREE && rank_of(slot) == rank)
                ok &= blame(s, c, ctx, keys, slot);
        }
    return ok;
}

/* Returns whether an ended process had to stop, by a signal or by a request in Redis. */
static bool stays_away(const struct supervisor *s, const struct child *c)
{
    return s->stopping || c->done || c->cut_off || atomic_load(&c->shared->link.stop);
}

static void tell_untold(struct supervisor *s, const struct child *c, const char *why)
{
    char text[ASQ__TROUBLE_TEXT];
    if (stays_away(s, c))
        say(s, ASQ_LOG_WARNING,
            "Redis cannot be told that %s has ended, which stays in the list of workers until the others find it "
            "dead: %s",
            c->id, why);
    else if (asq__trouble_note(&s->untold, why, asq__now_ms(), text))
        say(s, ASQ_LOG_WARNING,
            "Redis cannot be told that a process has died, before which it is not started again: "
            "%s; trying again",
            text);
}

/* Raises `attempts` of the calls that were on its threads, then removes it from the list of
 * workers. False: Redis does not take that now. */
static bool announce(struct supervisor *s, struct child *c)
{
    const struct asq__process_config *config = &s->config->process;
    struct asq__keys keys;
    struct asq__process_link *link = &c->shared->link;
    struct asq__sync *ctx;
    char err[300];
    if (!c->died && !atomic_load(&link->listed))
        return true;
    if (asq__keys_init(&keys, config->ns, err, sizeof err) < 0)
        return true;
    if (asq__sync_open(config->url, "asqueue-supervisor", ANNOUNCE_TIMEOUT_MS, -1, &ctx, err,
                       sizeof err) < 0) {
        tell_untold(s, c, err);
        return false;
    }
    bool ok = !c->died || blame_all(s, c, ctx, &keys);
    if (!ok)
        snprintf(err, sizeof err, "what it was running cannot be counted: %s", asq__sync_why(ctx));
    link->client[sizeof link->client - 1] = '\0';
    if (ok && atomic_load(&link->listed) &&
        (ok = asq__leave(ctx, &keys, c->id, link->client, err, sizeof err)))
        atomic_store(&link->listed, 0);
    if (!ok)
        tell_untold(s, c, err);
    asq__sync_free(ctx);
    if (ok) {
        char text[ASQ__TROUBLE_TEXT];
        if (asq__trouble_over(&s->untold, asq__now_ms(), text))
            say(s, ASQ_LOG_INFO, "Redis knows of the process that has died%s", text);
    }
    return ok;
}

/* Tells Redis about an ended process. While stopping, it tries an absent Redis only once. */
static void see_off(struct supervisor *s, struct child *c, bool died)
{
    c->died = died;
    c->unannounced = s->unreachable || !announce(s, c);
    s->unreachable |= c->unannounced && s->stopping;
}

static void reaped(struct supervisor *s, struct child *c, int status)
{
    int64_t now = asq__now_ms();
    char signal_text[32];
    if (WIFSIGNALED(status))
        snprintf(c->how, sizeof c->how, "process %ld (%s) was ended by %s", (long) c->pid, c->id,
                 asq__signal_name(WTERMSIG(status), signal_text));
    else
        snprintf(c->how, sizeof c->how, "process %ld (%s) ended by itself with status %d",
                 (long) c->pid, c->id, WEXITSTATUS(status));
    c->blamed = RANKS;
    c->pid = 0;
    s->was_up |= atomic_load(&c->shared->ready) != 0;
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0 && atomic_load(&c->shared->ended)) {
        c->done = true;
        see_off(s, c, false);
        return;
    }
    if (WIFEXITED(status) && WEXITSTATUS(status) == EXIT_START_ANEW &&
        c->shared->code == ASQ__START_ANEW) {
        see_off(s, c, false);
        c->done = stays_away(s, c);
        c->start_at_ms = now;
        return;
    }
    if (WIFEXITED(status) && WEXITSTATUS(status) == EXIT_CANNOT_GO_ON && c->shared->code) {
        c->done = true;
        see_off(s, c, false);
        if (!s->code) {
            s->code = c->shared->code;
            c->shared->why[sizeof c->shared->why - 1] = '\0';
            snprintf(s->why, sizeof s->why, "%s", c->shared->why);
        }
        return;
    }
    if (c->cut_off)
        say(s, ASQ_LOG_WARNING, "worker process %s is gone", c->id);
    else if (WIFSIGNALED(status))
        say(s, ASQ_LOG_ERROR, "worker process %s was ended by signal %d (%s)%s", c->id,
            WTERMSIG(status), strsignal(WTERMSIG(status)),
            stays_away(s, c) ? "" : "; it is started again");
    else
        say(s, ASQ_LOG_ERROR, "worker process %s ended by itself with status %d%s", c->id,
            WEXITSTATUS(status), stays_away(s, c) ? "" : "; it is started again");
    see_off(s, c, !c->cut_off);
    if (stays_away(s, c)) {
        c->done = true;
        return;
    }
    c->backoff_ms = now - c->started_ms > HEALTHY_MS || !c->backoff_ms ? BACKOFF_FIRST_MS
                    : c->backoff_ms * 2 < BACKOFF_MAX_MS               ? c->backoff_ms * 2
                                                                       : BACKOFF_MAX_MS;
    c->start_at_ms = now + c->backoff_ms;
}

/* Reaps orphans, which process 1 of a container or a subreaper inherits. */
static void reap_orphans(struct supervisor *s)
{
    siginfo_t info;
    for (;;) {
        info.si_pid = 0;
        if (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) < 0 || info.si_pid == 0)
            return;
        for (uint32_t i = 0; i < s->config->processes; i++)
            if (s->children[i].pid == info.si_pid)
                /* a worker process has ended meanwhile: the next SIGCHLD or tick handles it */
                return;
        waitpid(info.si_pid, NULL, WNOHANG);
    }
}

static void reap(struct supervisor *s)
{
    for (uint32_t i = 0; i < s->config->processes; i++) {
        struct child *c = &s->children[i];
        int status;
        if (c->pid && waitpid(c->pid, &status, WNOHANG) == c->pid)
            reaped(s, c, status);
    }
    if (s->config->reap_orphans)
        reap_orphans(s);
}

static void signal_all(struct supervisor *s, int signal)
{
    for (uint32_t i = 0; i < s->config->processes; i++)
        if (s->children[i].pid)
            kill(s->children[i].pid, signal);
}

/* Asks the processes to stop, by a signal and by shared memory. A process that heeds neither is
 * ended when its time is up. */
static void ask_to_stop(struct supervisor *s)
{
    int64_t now = asq__now_ms();
    if (++s->stopping == 1) {
        notify(s, "STOPPING=1");
        s->kill_at_ms = now + s->config->process.drain_timeout_ms + ASQ__END_GRACE_MS;
    } else if (s->stopping > 1 && s->kill_at_ms > now + SECOND_GRACE_MS) {
        s->kill_at_ms = now + SECOND_GRACE_MS;
    }
    for (uint32_t i = 0; i < s->config->processes; i++)
        atomic_store(&s->children[i].shared->link.stop, s->stopping > 1 ? 2 : 1);
    signal_all(s, SIGTERM);
    for (uint32_t i = 0; i < s->config->processes; i++)
        if (!s->children[i].pid)
            s->children[i].done = true;
}

/* Ends a process at once; reaped() follows. */
static void cut_off(struct child *c)
{
    c->cut_off = true;
    kill(c->pid, SIGKILL);
}

static void quit(struct supervisor *s)
{
    say(s, ASQ_LOG_WARNING, "SIGQUIT: %s ends at once; what its processes ran runs again elsewhere",
        s->config->process.id);
    ask_to_stop(s);
    for (uint32_t i = 0; i < s->config->processes; i++)
        if (s->children[i].pid)
            cut_off(&s->children[i]);
}

/* Returns the time by which the process must have ended; INT64_MAX: it may stay. Requests to stop
 * that came by Redis count too. */
static int64_t must_end_ms(const struct supervisor *s, const struct child *c)
{
    int64_t since_ms = atomic_load(&c->shared->link.stopping_ms), at_ms = INT64_MAX;
    if (since_ms)
        at_ms = since_ms + s->config->process.drain_timeout_ms + ASQ__END_GRACE_MS;
    return s->stopping && s->kill_at_ms < at_ms ? s->kill_at_ms : at_ms;
}

/* Ends processes that have not ended in time, or have given themselves up. */
static void end_overdue(struct supervisor *s, int64_t now)
{
    for (uint32_t i = 0; i < s->config->processes; i++) {
        struct child *c = &s->children[i];
        if (!c->pid || c->cut_off)
            continue;
        if (now >= must_end_ms(s, c)) {
            say(s, ASQ_LOG_WARNING,
                "worker process %s has not ended in time (drain timeout %lld ms): it is ended by "
                "SIGKILL, and what it ran runs again elsewhere",
                c->id, (long long) s->config->process.drain_timeout_ms);
            cut_off(c);
        } else if (atomic_load(&c->shared->link.given_up)) {
            kill(c->pid, SIGKILL);
        }
    }
}

static void tell_state(struct supervisor *s)
{
    int64_t now = asq__now_ms();
    say(s, ASQ_LOG_INFO, "state: %s, process %ld, has %u worker process%s%s", s->config->process.id,
        (long) getpid(), s->config->processes, s->config->processes == 1 ? "" : "es",
        s->stopping ? ", and is stopping" : "");
    for (uint32_t i = 0; i < s->config->processes; i++) {
        struct child *c = &s->children[i];
        if (c->pid)
            say(s, ASQ_LOG_INFO, "state: %s is process %ld, for %lld s, %s, started %u time%s",
                c->id, (long) c->pid, (long long) (now - c->started_ms) / 1000,
                atomic_load(&c->shared->ready) ? "ready" : "not ready yet", c->starts,
                c->starts == 1 ? "" : "s");
        else
            say(s, ASQ_LOG_INFO, "state: %s %s, started %u time%s", c->id,
                c->done ? "has ended" : "is about to be started again", c->starts,
                c->starts == 1 ? "" : "s");
        atomic_fetch_add(&c->shared->link.state_asked, 1);
    }
}

/* Tells of signals that a process has ignored. */
static void tell_signals(struct supervisor *s, struct child *c)
{
    char text[32];
    for (int number; (number = asq__signals_take(&c->shared->got));)
        if (asq__signals_may_tell(&c->signals_told, number, asq__now_ms()))
            say(s, ASQ_LOG_INFO,
                "%s has got %s, which means nothing to a worker process, and ignores it", c->id,
                asq__signal_name(number, text));
}

static bool all_done(const struct supervisor *s)
{
    for (uint32_t i = 0; i < s->config->processes; i++)
        if (!s->children[i].done)
            return false;
    return true;
}

static void tell_ready(struct supervisor *s)
{
    char buf[64];
    while (read(s->ready[0], buf, sizeof buf) > 0)
        ;
    for (uint32_t i = 0; i < s->config->processes; i++)
        tell_signals(s, &s->children[i]);
    if (s->told_ready)
        return;
    for (uint32_t i = 0; i < s->config->processes; i++)
        if (!atomic_load(&s->children[i].shared->ready))
            return;
    s->told_ready = true;
    say(s, ASQ_LOG_INFO, "ready: %u worker process%s of %s", s->config->processes,
        s->config->processes == 1 ? "" : "es", s->config->process.id);
    notify(s, "READY=1");
}

/* ---- the loop ---- */

static void on_signals(struct supervisor *s)
{
    struct signalfd_siginfo info;
    char text[32];
    while (read(s->signals, &info, sizeof info) == (ssize_t) sizeof info) {
        if (info.ssi_signo == SIGCHLD || is_part_of_program(s))
            continue;
        switch (info.ssi_signo) {
        case SIGHUP:
            if (s->config->log_reopen)
                s->config->log_reopen(s->config->process.log_user);
            say(s, ASQ_LOG_INFO, "SIGHUP: %s",
                s->config->log_reopen ? "the log is opened again"
                                      : "there is no log to open again");
            break;
        case SIGUSR1: tell_state(s); break;
        case SIGQUIT: quit(s); break;
        case SIGXCPU:
            say(s, ASQ_LOG_WARNING,
                "SIGXCPU: the CPU time that it may use is spent (ulimit -t): %s",
                s->stopping ? "ending soon" : "stopping in order");
            ask_to_stop(s);
            break;
        case SIGTERM:
        case SIGINT:
            say(s, ASQ_LOG_INFO, "SIG%s: %s", info.ssi_signo == SIGINT ? "INT" : "TERM",
                s->stopping ? "ending soon" : "stopping in order");
            ask_to_stop(s);
            break;
        default:
            if (asq__signals_may_tell(&s->signals_told, (int) info.ssi_signo, asq__now_ms()))
                say(s, ASQ_LOG_INFO, "%s means nothing to a worker; it is ignored",
                    asq__signal_name((int) info.ssi_signo, text));
        }
    }
    reap(s);
}

static void upkeep(struct supervisor *s)
{
    int64_t now = asq__now_ms();
    for (uint32_t i = 0; i < s->config->processes; i++) {
        struct child *c = &s->children[i];
        tell_signals(s, c);
        if (c->unannounced && !s->unreachable)
            see_off(s, c, c->died);
        if (!c->pid && !c->done && !c->unannounced && now >= c->start_at_ms)
            start(s, c);
    }
    if (s->code && !s->stopping)
        ask_to_stop(s); /* the others would fail in the same way */
    notify(s, "WATCHDOG=1");
}

static void supervise(struct supervisor *s)
{
    int64_t next_ms = 0;
    while (!all_done(s)) {
        struct pollfd fds[] = { { s->signals, POLLIN, 0 },
                                { s->ready[0], POLLIN, 0 },
                                { s->config->parent_fds[0], POLLIN, 0 },
                                { s->config->parent_fds[1], POLLIN, 0 },
                                { s->config->wake_fd, POLLIN, 0 } };
        int64_t now = asq__now_ms();
        end_overdue(s, now);
        if (now >= next_ms) {
            upkeep(s);
            next_ms = now + (s->told_ready && !s->stopping ? TICK_MS : 100);
        }
        if (poll(fds, 5, (int) (next_ms - now > 0 ? next_ms - now : 0)) < 0 && errno != EINTR)
            break;
        if (fds[0].revents)
            on_signals(s);
        if (fds[1].revents)
            tell_ready(s);
        if (fds[2].revents || fds[3].revents) { /* the program is gone */
            signal_all(s, SIGKILL);
            s->stopping++;
            for (uint32_t i = 0; i < s->config->processes; i++) {
                struct child *c = &s->children[i];
                if (c->pid)
                    waitpid(c->pid, NULL, 0);
                c->pid = 0;
                c->done = true;
            }
        }
        if (fds[4].revents) {
            uint64_t n;
            if (read(s->config->wake_fd, &n, sizeof n) == (ssize_t) sizeof n &&
                atomic_load(s->config->stop))
                ask_to_stop(s);
        }
    }
}

/* Tells Redis about ended processes of which it could not be told before. */
static void see_off_rest(struct supervisor *s)
{
    for (uint32_t i = 0; i < s->config->processes; i++)
        if (s->children[i].unannounced && !s->unreachable)
            see_off(s, &s->children[i], s->children[i].died);
}

/* Collects the signals that come by the descriptor, and in s->meaningless those of them that are
 * ignored. */
static void handled_signals(struct supervisor *s, sigset_t *mask)
{
    static const int always[] = { SIGTERM, SIGINT, SIGCHLD },
                     unless_own[] = { SIGHUP, SIGUSR1, SIGQUIT };
    sigemptyset(mask);
    for (size_t i = 0; i < 3; i++) {
        struct sigaction old;
        sigaddset(mask, always[i]);
        if (sigaction(unless_own[i], NULL, &old) == 0 && !(old.sa_flags & SA_SIGINFO) &&
            (old.sa_handler == SIG_DFL || old.sa_handler == SIG_IGN))
            sigaddset(mask, unless_own[i]);
    }
    asq__signals_meaningless(&s->meaningless, &s->old_mask);
    for (int number = 1; number <= 64; number++)
        if (sigismember(&s->meaningless, number) == 1)
            sigaddset(mask, number);
    if (asq__signal_is_free(SIGXCPU, &s->old_mask))
        sigaddset(mask, SIGXCPU);
}

int asq__supervise(const struct asq__supervisor_config *config, char *err, size_t errlen)
{
    struct supervisor s = { .config = config, .signals = -1, .ready = { -1, -1 } };
    sigset_t mask;
    int rc = 0;
    sigprocmask(SIG_BLOCK, NULL, &s.old_mask);
    handled_signals(&s, &mask);
    s.shared_size =
        sizeof(struct shared) + (config->process.capacity + 1) * sizeof(struct asq__slot);
    s.children = calloc(config->processes, sizeof *s.children);
    if (!s.children)
        return asq__err(err, errlen, ASQ_ENOMEM, "out of memory");
    sigprocmask(SIG_BLOCK, &mask, NULL);
    /* Writing to a closed pipe or connection raises SIGPIPE, and a log beyond the size that a file
     * may have SIGXFSZ. They are blocked here: the program's disposition stays unchanged. */
    sigset_t of_writes;
    sigemptyset(&of_writes);
    if (!sigismember(&s.old_mask, SIGPIPE))
        sigaddset(&of_writes, SIGPIPE);
    if (!sigismember(&s.old_mask, SIGXFSZ))
        sigaddset(&of_writes, SIGXFSZ);
    sigprocmask(SIG_BLOCK, &of_writes, NULL);
    s.signals = asq__fd_keep(signalfd(-1, &mask, SFD_NONBLOCK | SFD_CLOEXEC));
    if (s.signals < 0 || pipe2(s.ready, O_NONBLOCK | O_CLOEXEC) < 0 ||
        (s.ready[0] = asq__fd_keep(s.ready[0])) < 0 ||
        (s.ready[1] = asq__fd_keep(s.ready[1])) < 0) {
        rc = asq__err(err, errlen, ASQ_ESYS, "signalfd, pipe: %s", strerror(errno));
        goto out;
    }
    for (uint32_t i = 0; i < config->processes; i++) {
        struct child *c = &s.children[i];
        snprintf(c->id, sizeof c->id, "%s.%u", config->process.id, i);
        c->shared =
            mmap(NULL, s.shared_size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        if (c->shared == MAP_FAILED) {
            c->shared = NULL;
            rc = asq__err(err, errlen, ASQ_ESYS, "mmap: %s", strerror(errno));
            goto out;
        }
    }
    supervise(&s);
    see_off_rest(&s);
    if (s.stopping && !s.code)
        say(&s, ASQ_LOG_INFO, "%s has stopped", config->process.id);
    if (s.code)
        rc = asq__err(err, errlen, s.code, "%s", s.why);
out:
    for (uint32_t i = 0; i < config->processes; i++)
        if (s.children[i].shared)
            munmap(s.children[i].shared, s.shared_size);
    if (s.signals >= 0)
        close(s.signals);
    if (s.ready[0] >= 0) {
        close(s.ready[0]);
        close(s.ready[1]);
    }
    static const struct timespec at_once = { 0, 0 };
    while (sigtimedwait(&of_writes, NULL, &at_once) > 0) /* of this thread's own writes */
        ;
    sigprocmask(SIG_SETMASK, &s.old_mask, NULL);
    free(s.children);
    return rc;
}
