/*
 * signals.c: see signals.h.
 */
#include "worker/signals.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

enum { EVERY_MS = 60000 };

/* Global, because signal handlers have no argument of their own. */
static struct asq__signals_got *noted;
static int wake_fd;

const char *asq__signal_name(int number, char text[32])
{
    static const struct {
        int number;
        const char *name;
    } names[] = { { SIGSEGV, "SIGSEGV" }, { SIGABRT, "SIGABRT" },     { SIGKILL, "SIGKILL" },
                  { SIGBUS, "SIGBUS" },   { SIGFPE, "SIGFPE" },       { SIGILL, "SIGILL" },
                  { SIGTERM, "SIGTERM" }, { SIGTRAP, "SIGTRAP" },     { SIGSYS, "SIGSYS" },
                  { SIGPIPE, "SIGPIPE" }, { SIGQUIT, "SIGQUIT" },     { SIGINT, "SIGINT" },
                  { SIGHUP, "SIGHUP" },   { SIGUSR1, "SIGUSR1" },     { SIGUSR2, "SIGUSR2" },
                  { SIGALRM, "SIGALRM" }, { SIGVTALRM, "SIGVTALRM" }, { SIGPROF, "SIGPROF" },
                  { SIGIO, "SIGIO" },     { SIGPWR, "SIGPWR" },       { SIGSTKFLT, "SIGSTKFLT" },
                  { SIGXCPU, "SIGXCPU" }, { SIGXFSZ, "SIGXFSZ" } };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (names[i].number == number)
            return names[i].name;
    if (number >= SIGRTMIN && number <= SIGRTMAX)
        snprintf(text, 32, "SIGRTMIN+%d", number - SIGRTMIN);
    else
        snprintf(text, 32, "signal %d", number);
    return text;
}

bool asq__signal_is_free(int number, const sigset_t *blocked)
{
    struct sigaction old;
    return !sigismember(blocked, number) && sigaction(number, NULL, &old) == 0 &&
           !(old.sa_flags & SA_SIGINFO) && old.sa_handler == SIG_DFL;
}

void asq__signals_meaningless(sigset_t *ret, const sigset_t *blocked)
{
    static const int all[] = { SIGUSR2, SIGALRM, SIGVTALRM, SIGPROF, SIGIO, SIGPWR, SIGSTKFLT };
    sigemptyset(ret);
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (asq__signal_is_free(all[i], blocked))
            sigaddset(ret, all[i]);
    for (int number = SIGRTMIN; number <= SIGRTMAX && number <= 64; number++)
        if (asq__signal_is_free(number, blocked))
            sigaddset(ret, number);
}

static void on_meaningless(int number)
{
    int saved = errno;
    atomic_fetch_or(&noted->bits, 1ULL << (number - 1));
    ssize_t n = write(wake_fd, "s", 1);
    (void) n; /* the supervisor also looks each second */
    errno = saved;
}

void asq__signals_ignore(const sigset_t *meaningless, struct asq__signals_got *got, int fd)
{
    struct sigaction note = { .sa_handler = on_meaningless, .sa_flags = SA_RESTART };
    noted = got;
    wake_fd = fd;
    sigfillset(&note.sa_mask);
    for (int number = 1; number <= 64; number++)
        if (sigismember(meaningless, number) == 1)
            sigaction(number, &note, NULL);
}

int asq__signals_take(struct asq__signals_got *got)
{
    unsigned long long bits = atomic_load(&got->bits);
    if (!bits)
        return 0;
    int number = __builtin_ctzll(bits) + 1;
    atomic_fetch_and(&got->bits, ~(1ULL << (number - 1)));
    return number;
}

bool asq__signals_may_log(struct asq__signals_logged *logged, int number, int64_t now_ms)
{
    if (number < 1 || number > 64)
        return true;
    int64_t *at_ms = &logged->at_ms[number];
    if (*at_ms && now_ms - *at_ms < EVERY_MS)
        return false;
    *at_ms = now_ms;
    return true;
}
