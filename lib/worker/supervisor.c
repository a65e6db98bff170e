/*
 * supervisor.c: see supervisor.h. The supervisor runs no user code and keeps no connection while
 * nothing happens, so faults that kill a worker process do not reach it.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "asqueue.h"
#include "redis/keys.h"
#include "value/clock.h"
#include "value/error.h"
#include "value/fd.h"
#include "worker/ending.h"
#include "worker/metrics.h"
#include "worker/process.h"
#include "worker/process_log.h"
#include "worker/shared.h"
#include "worker/signals.h"
#include "worker/start_log.h"
#include "worker/supervisor.h"
#include "worker/supervisor_child.h"
#include "worker/supervisor_config.h"
#include "worker/supervisor_deaths.h"
#include "worker/supervisor_state.h"

#ifdef HAVE_LIBSYSTEMD
#include <systemd/sd-daemon.h>
#endif

enum {
    BACKOFF_FIRST_MS = 100,
    BACKOFF_MAX_MS = 10000,
    HEALTHY_MS = 10000,
    TICK_MS = 1000,
    SECOND_GRACE_MS = 2000 /* after a second request to stop */
};

static void notify(const struct asq__supervisor *s, const char *state)
{
#ifdef HAVE_LIBSYSTEMD
    if (s->config->notify)
        sd_notify(0, state);
#else
    (void) s;
    (void) state;
#endif
}

/* ---- children ---- */

static void start(struct asq__supervisor *s, struct asq__child *c)
{
    memset(c->shared, 0, s->shared_size);
    c->cut_off = false;
    c->starts++;
    c->started_ms = asq__now_ms();
    asq__metrics_on_start(s->config->metrics, (uint32_t) (c - s->children));
    pid_t self = getpid();
    c->pid = fork();
    if (c->pid == 0)
        asq__child_run(s, c, self);
    if (c->pid < 0) {
        asq__supervisor_log(s, ASQ_LOG_ERROR, "worker process %s cannot be forked: %s", c->id,
                            strerror(errno));
        c->pid = 0;
        c->start_at_ms = asq__now_ms() + BACKOFF_MAX_MS;
    }
}

/* Writes what is known of the call in which the process has crashed, with a space before it. */
static void format_crash(const struct asq__slot *slot, char *text, size_t size)
{
    int n = snprintf(text, size, " in %s.%s of agent %s (call %s)",
                     *slot->class_name ? slot->class_name : "?",
                     *slot->method ? slot->method : "create", slot->agent, slot->call);
    if (slot->overflowed && n > 0 && (size_t) n < size)
        snprintf(text + n, size - (size_t) n,
                 " by a stack overflow (stack %llu bytes; raise the class's stack_size or the "
                 "worker's --stack-size)",
                 (unsigned long long) slot->overflowed);
}

static void log_signaled(struct asq__supervisor *s, const struct asq__child *c, int number)
{
    const struct asq__slot *slot = asq__child_crash(s, c, number);
    asq_log_fields about = slot ? asq__slot_fields(slot) : ASQ__LOG_ABOUT_NOTHING;
    char name[32], where[sizeof *slot + 200] = "";
    about.signal = asq__signal_name(number, name);
    if (slot)
        format_crash(slot, where, sizeof where);
    asq__supervisor_log_about(
        s, ASQ_LOG_ERROR, &about, "worker process %s was ended by signal %d (%s)%s%s", c->id,
        number, strsignal(number), where,
        asq__child_stays_away(s, c) ? "" : "; the supervisor starts it again");
}

static void reaped(struct asq__supervisor *s, struct asq__child *c, int status)
{
    int64_t now = asq__now_ms();
    char signal_text[32];
    c->ended_pid = c->pid;
    c->ended_status = status;
    if (WIFSIGNALED(status))
        snprintf(c->how, sizeof c->how, "process %ld (%s) was ended by %s", (long) c->pid, c->id,
                 asq__signal_name(WTERMSIG(status), signal_text));
    else
        snprintf(c->how, sizeof c->how, "process %ld (%s) ended by itself with status %d",
                 (long) c->pid, c->id, WEXITSTATUS(status));
    c->pid = 0;
    asq__metrics_on_end(s->config->metrics, (uint32_t) (c - s->children),
                        WIFSIGNALED(status) && !c->cut_off);
    s->was_up |= atomic_load(&c->shared->ready) != 0;
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0 && atomic_load(&c->shared->ended)) {
        c->done = true;
        asq__child_see_off(s, c, false);
        return;
    }
    if (WIFEXITED(status) && WEXITSTATUS(status) == ASQ__EXIT_START_ANEW &&
        c->shared->code == ASQ__START_ANEW) {
        asq__child_see_off(s, c, false);
        c->done = asq__child_stays_away(s, c);
        c->start_at_ms = now;
        return;
    }
    if (WIFEXITED(status) && WEXITSTATUS(status) == ASQ__EXIT_CANNOT_GO_ON && c->shared->code) {
        c->done = true;
        asq__child_see_off(s, c, false);
        if (!s->code) {
            s->code = c->shared->code;
            c->shared->why[sizeof c->shared->why - 1] = '\0';
            snprintf(s->why, sizeof s->why, "%s", c->shared->why);
        }
        return;
    }
    if (c->cut_off)
        asq__supervisor_log(s, ASQ_LOG_WARNING, "worker process %s is gone", c->id);
    else if (WIFSIGNALED(status))
        log_signaled(s, c, WTERMSIG(status));
    else
        asq__supervisor_log(s, ASQ_LOG_ERROR, "worker process %s ended by itself with status %d%s",
                            c->id, WEXITSTATUS(status),
                            asq__child_stays_away(s, c) ? "" : "; the supervisor starts it again");
    asq__child_see_off(s, c, !c->cut_off);
    if (asq__child_stays_away(s, c)) {
        c->done = true;
        return;
    }
    c->backoff_ms = now - c->started_ms > HEALTHY_MS || !c->backoff_ms ? BACKOFF_FIRST_MS
                    : c->backoff_ms * 2 < BACKOFF_MAX_MS               ? c->backoff_ms * 2
                                                                       : BACKOFF_MAX_MS;
    c->start_at_ms = now + c->backoff_ms;
}

/* Reaps orphans, which process 1 of a container or a subreaper inherits. */
static void reap_orphans(struct asq__supervisor *s)
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

static void reap(struct asq__supervisor *s)
{
    for (uint32_t i = 0; i < s->config->processes; i++) {
        struct asq__child *c = &s->children[i];
        int status;
        if (c->pid && waitpid(c->pid, &status, WNOHANG) == c->pid)
            reaped(s, c, status);
    }
    if (s->config->reap_orphans)
        reap_orphans(s);
}

static void signal_all(struct asq__supervisor *s, int signal)
{
    for (uint32_t i = 0; i < s->config->processes; i++)
        if (s->children[i].pid)
            kill(s->children[i].pid, signal);
}

/* Asks the processes to stop, by a signal and by shared memory. A process that heeds neither is
 * ended when its time is up. */
static void ask_to_stop(struct asq__supervisor *s)
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
static void cut_off(struct asq__child *c)
{
    c->cut_off = true;
    kill(c->pid, SIGKILL);
}

static void quit(struct asq__supervisor *s)
{
    asq__supervisor_log(
        s, ASQ_LOG_WARNING,
        "SIGQUIT: %s ends at once; the calls that its processes ran will run again on other "
        "workers",
        s->config->process.id);
    ask_to_stop(s);
    for (uint32_t i = 0; i < s->config->processes; i++)
        if (s->children[i].pid)
            cut_off(&s->children[i]);
}

/* Returns the time by which the process must have ended; INT64_MAX: it may stay. Requests to stop
 * that came by Redis count too. */
static int64_t must_end_ms(const struct asq__supervisor *s, const struct asq__child *c)
{
    int64_t since_ms = atomic_load(&c->shared->link.stopping_ms), at_ms = INT64_MAX;
    if (since_ms)
        at_ms = since_ms + s->config->process.drain_timeout_ms + ASQ__END_GRACE_MS;
    return s->stopping && s->kill_at_ms < at_ms ? s->kill_at_ms : at_ms;
}

/* Ends processes that have not ended in time, or have given themselves up. */
static void end_overdue(struct asq__supervisor *s, int64_t now)
{
    for (uint32_t i = 0; i < s->config->processes; i++) {
        struct asq__child *c = &s->children[i];
        if (!c->pid || c->cut_off)
            continue;
        if (now >= must_end_ms(s, c)) {
            asq__supervisor_log(
                s, ASQ_LOG_WARNING,
                "worker process %s has not ended in time (drain timeout %lld ms): it is ended by "
                "SIGKILL, and its calls run again on other workers",
                c->id, (long long) s->config->process.drain_timeout_ms);
            cut_off(c);
        } else if (atomic_load(&c->shared->link.given_up)) {
            kill(c->pid, SIGKILL);
        }
    }
}

static void log_state(struct asq__supervisor *s)
{
    int64_t now = asq__now_ms();
    asq__supervisor_log(s, ASQ_LOG_INFO, "state: %s, process %ld, has %u worker process%s%s",
                        s->config->process.id, (long) getpid(), s->config->processes,
                        s->config->processes == 1 ? "" : "es",
                        s->stopping ? ", and is stopping" : "");
    for (uint32_t i = 0; i < s->config->processes; i++) {
        struct asq__child *c = &s->children[i];
        if (c->pid)
            asq__supervisor_log(s, ASQ_LOG_INFO,
                                "state: %s is process %ld, for %lld s, %s, started %u time%s",
                                c->id, (long) c->pid, (long long) (now - c->started_ms) / 1000,
                                atomic_load(&c->shared->ready) ? "ready" : "not ready yet",
                                c->starts, c->starts == 1 ? "" : "s");
        else
            asq__supervisor_log(s, ASQ_LOG_INFO, "state: %s %s, started %u time%s", c->id,
                                c->done ? "has ended" : "will be started again soon", c->starts,
                                c->starts == 1 ? "" : "s");
        atomic_fetch_add(&c->shared->link.state_asked, 1);
    }
}

/* Logs signals that a process has ignored. */
static void log_signals(struct asq__supervisor *s, struct asq__child *c)
{
    char text[32];
    for (int number; (number = asq__signals_take(&c->shared->got));)
        if (asq__signals_may_log(&c->signals_logged, number, asq__now_ms()))
            asq__supervisor_log(
                s, ASQ_LOG_INFO,
                "%s has got %s, which has no meaning for a worker process, and ignores it", c->id,
                asq__signal_name(number, text));
}

static bool all_done(const struct asq__supervisor *s)
{
    for (uint32_t i = 0; i < s->config->processes; i++)
        if (!s->children[i].done)
            return false;
    return true;
}

static void announce_ready(struct asq__supervisor *s)
{
    char buf[64];
    while (read(s->ready[0], buf, sizeof buf) > 0)
        ;
    for (uint32_t i = 0; i < s->config->processes; i++)
        log_signals(s, &s->children[i]);
    if (s->has_announced_ready)
        return;
    for (uint32_t i = 0; i < s->config->processes; i++)
        if (!atomic_load(&s->children[i].shared->ready))
            return;
    s->has_announced_ready = true;
    asq__supervisor_log(s, ASQ_LOG_INFO, "ready: %u worker process%s of %s", s->config->processes,
                        s->config->processes == 1 ? "" : "es", s->config->process.id);
    notify(s, "READY=1");
}

/* ---- the loop ---- */

static void on_signals(struct asq__supervisor *s)
{
    struct signalfd_siginfo info;
    char text[32];
    while (read(s->signals, &info, sizeof info) == (ssize_t) sizeof info) {
        if (info.ssi_signo == SIGCHLD || asq__supervisor_is_part_of_program(s))
            continue;
        switch (info.ssi_signo) {
        case SIGHUP:
            if (s->config->log_reopen)
                s->config->log_reopen(s->config->process.log_user);
            asq__supervisor_log(s, ASQ_LOG_INFO, "SIGHUP: %s",
                                s->config->log_reopen ? "the log is opened again"
                                                      : "there is no log to open again");
            break;
        case SIGUSR1: log_state(s); break;
        case SIGQUIT: quit(s); break;
        case SIGXCPU:
            asq__supervisor_log(s, ASQ_LOG_WARNING,
                                "SIGXCPU: the CPU time that it may use is spent (ulimit -t): %s",
                                s->stopping ? "ending soon" : "stopping in order");
            ask_to_stop(s);
            break;
        case SIGTERM:
        case SIGINT:
            asq__supervisor_log(s, ASQ_LOG_INFO, "SIG%s: %s",
                                info.ssi_signo == SIGINT ? "INT" : "TERM",
                                s->stopping ? "ending soon" : "stopping in order");
            ask_to_stop(s);
            break;
        default:
            if (asq__signals_may_log(&s->signals_logged, (int) info.ssi_signo, asq__now_ms()))
                asq__supervisor_log(s, ASQ_LOG_INFO,
                                    "%s has no meaning for a worker, and is ignored",
                                    asq__signal_name((int) info.ssi_signo, text));
        }
    }
    reap(s);
}

static void upkeep(struct asq__supervisor *s)
{
    int64_t now = asq__now_ms();
    reap(s); /* orphans may have ended before SIGCHLD was told */
    for (uint32_t i = 0; i < s->config->processes; i++) {
        struct asq__child *c = &s->children[i];
        log_signals(s, c);
        asq__child_see_off_again(s, c);
        if (!c->pid && !c->done && !c->unannounced && now >= c->start_at_ms)
            start(s, c);
    }
    if (s->code && !s->stopping)
        ask_to_stop(s); /* the others would fail in the same way */
    notify(s, "WATCHDOG=1");
}

static void supervise(struct asq__supervisor *s)
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
            next_ms = now + (s->has_announced_ready && !s->stopping ? TICK_MS : 100);
        }
        if (poll(fds, 5, (int) (next_ms - now > 0 ? next_ms - now : 0)) < 0 && errno != EINTR)
            break;
        if (fds[0].revents)
            on_signals(s);
        if (fds[1].revents)
            announce_ready(s);
        if (fds[2].revents || fds[3].revents) { /* the program is gone */
            signal_all(s, SIGKILL);
            s->stopping++;
            for (uint32_t i = 0; i < s->config->processes; i++) {
                struct asq__child *c = &s->children[i];
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

/* Removes ended processes from Redis that could not be removed before. */
static void see_off_rest(struct asq__supervisor *s)
{
    for (uint32_t i = 0; i < s->config->processes; i++)
        asq__child_see_off_again(s, &s->children[i]);
}

/* Collects the signals that come by the descriptor, and in s->meaningless those of them that are
 * ignored. */
static void handled_signals(struct asq__supervisor *s, sigset_t *mask)
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

static void set_title(const struct asq__supervisor_config *config)
{
    char title[ASQ__NS_MAX + 32];
    if (!config->process.set_title)
        return;
    snprintf(title, sizeof title, "supervisor of ns=%s", config->process.ns);
    config->process.set_title(title);
}

int asq__supervise(const struct asq__supervisor_config *config, char *err, size_t errlen)
{
    struct asq__supervisor s = { .config = config, .signals = -1, .ready = { -1, -1 } };
    sigset_t mask;
    int rc = 0;
    sigprocmask(SIG_BLOCK, NULL, &s.old_mask);
    handled_signals(&s, &mask);
    s.shared_size = sizeof(struct asq__child_memory) +
                    (config->process.capacity + 1) * sizeof(struct asq__slot);
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
        struct asq__child *c = &s.children[i];
        snprintf(c->id, sizeof c->id, "%s.%u", config->process.id, i);
        c->shared =
            mmap(NULL, s.shared_size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        if (c->shared == MAP_FAILED) {
            c->shared = NULL;
            rc = asq__err(err, errlen, ASQ_ESYS, "mmap: %s", strerror(errno));
            goto out;
        }
    }
    asq__start_log(&s);
    set_title(config);
    supervise(&s);
    see_off_rest(&s);
    if (s.stopping && !s.code)
        asq__supervisor_log(&s, ASQ_LOG_INFO, "%s has stopped", config->process.id);
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
