/*
 * signals.h: signals that mean nothing to a worker, and the names of signals. By default such a
 * signal would end a process without a word. So the supervisor and its processes ignore it, and say
 * so. Signals that the program handles, ignores or has blocked are left to the program.
 */
#ifndef ASQ_WORKER_SIGNALS_H
#define ASQ_WORKER_SIGNALS_H

#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* Signals that a process has ignored, not logged yet; shared with its supervisor. */
struct asq__signals_got {
    atomic_ullong bits; /* bit n - 1: signal n */
};

/* Times of the last line about each signal. */
struct asq__signals_logged {
    int64_t at_ms[65];
};

const char *asq__signal_name(int number, char text[32]);
/* Returns whether the program leaves the signal to its default action. `blocked`: by the thread. */
bool asq__signal_is_free(int number, const sigset_t *blocked);
/* Sets *ret to the free signals that mean nothing to a worker. */
void asq__signals_meaningless(sigset_t *ret, const sigset_t *blocked);
/* Ignores them from now on in a worker process: notes them in `got`, and wakes the supervisor by a
 * byte on fd. Programs that it starts do not inherit that. */
void asq__signals_ignore(const sigset_t *meaningless, struct asq__signals_got *got, int fd);
/* Returns a noted signal, which is to be logged, and forgets it; 0: none. */
int asq__signals_take(struct asq__signals_got *got);
/* Returns whether a line about the signal is due: the first one at once, then one a minute. */
bool asq__signals_may_log(struct asq__signals_logged *logged, int number, int64_t now_ms);

#endif
