/*
 * supervisor_child.c: see supervisor_child.h. The process handles its signals, runs its loop, and
 * leaves in shared memory why it has ended.
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "value/fd.h"
#include "worker/blame.h"
#include "worker/ending.h"
#include "worker/exec/fiber.h"
#include "worker/handover.h"
#include "worker/loop.h"
#include "worker/metrics.h"
#include "worker/process.h"
#include "worker/process_log.h"
#include "worker/shared.h"
#include "worker/signals.h"
#include "worker/supervisor_child.h"
#include "worker/supervisor_config.h"
#include "worker/supervisor_state.h"

static struct asq__child_memory *child_shared;
static atomic_int *child_stop; /* in shared memory */
static struct asq__process *child_process;
static pid_t child_supervisor;
static bool child_obeys_others;
static bool child_forked; /* this is a copy, which a method has forked */
static bool child_logs;   /* lines about crashes are logged */

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
static void set_signals(const struct asq__supervisor *s)
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
    child_forked = true;
    if (child_process)
        child_process->forked = true;
}

/* Notes a crash for the supervisor, which logs it when it has seen the process die. It does not see
 * copies of the process die. */
static bool on_crash(struct asq__task *task, int signal_number, size_t overflowed)
{
    return !child_forked && asq__blame_crash(task, signal_number, overflowed) && child_logs;
}

struct ready_hook {
    struct asq__child_memory *shared;
    int fd;
};

static void on_ready(void *user)
{
    struct ready_hook *hook = user;
    atomic_store(&hook->shared->ready, 1);
    ssize_t n = write(hook->fd, "r", 1);
    (void) n; /* the supervisor also polls the memory */
}

void asq__child_run(struct asq__supervisor *s, struct asq__child *c, pid_t parent)
{
    struct asq__process_config config = s->config->process;
    char err[400] = "";
    struct ready_hook hook = { c->shared, s->ready[1] };
    prctl(PR_SET_PDEATHSIG, asq__supervisor_is_part_of_program(s) ? SIGKILL : SIGTERM);
    if (getppid() != parent)
        _exit(0);
    child_supervisor = parent;
    child_logs = asq__config_logs(&config, ASQ_LOG_ERROR);
    child_obeys_others = !asq__supervisor_is_part_of_program(s);
    child_shared = c->shared;
    child_stop = &c->shared->link.stop;
    set_signals(s);
    close(s->signals);
    close(s->ready[0]);
    asq__fd_fill_standard();
    asq__fiber_install_fault_handler(on_crash);
    pthread_atfork(NULL, NULL, in_forked);
    config.id = c->id;
    config.was_up = s->was_up;
    config.slots = c->shared->slots;
    config.link = &c->shared->link;
    config.metrics = s->config->metrics;
    config.figures = asq__metrics_of(s->config->metrics, (uint32_t) (c - s->children));
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
    _exit(rc == ASQ__START_ANEW ? ASQ__EXIT_START_ANEW : ASQ__EXIT_CANNOT_GO_ON);
}
