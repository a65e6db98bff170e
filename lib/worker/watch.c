/*
 * watch.c: see watch.h.
 *
 * The loop counts its iterations, at least one a second, and the calls that it runs. When it stands
 * still for some lease times, a call on it blocks, or it has lost its thread. A heartbeat that
 * continued would hold its partitions for ever, so the process is given up: its heartbeat stops,
 * and the supervisor restarts it. Time during which this thread stood still too, as in a stopped
 * process, does not count.
 */
#include "worker/blame.h"
#include "worker/process_log.h"
#include "worker/watch.h"

#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include "asqueue.h"
#include "value/clock.h"
#include "worker/exec/pool.h"
#include "worker/process.h"
#include "worker/shared.h"

enum {
    STILL_LEASES = 3,
    STILL_LEAST_MS = 3000,
    END_GRACE_MS = 2 * ASQ__END_GRACE_MS, /* longer than the supervisor waits */
    SUPERVISOR_MS = 5000
};

static int64_t limit_ms(const struct asq__process *w)
{
    int64_t ms = STILL_LEASES * w->config.lease_time_ms;
    return ms > STILL_LEAST_MS ? ms : STILL_LEAST_MS;
}

/* Names the call on the loop. False: there is none. */
static bool name_call(struct asq__process *w, char *name, size_t n)
{
    char class_name[ASQ__POOL_NAME], method[ASQ__POOL_NAME];
    if (asq__pool_on_loop(w->pool, class_name, method)) {
        snprintf(name, n, "%s.%s", class_name, method);
        return true;
    }
    snprintf(name, n, "code outside a method");
    return false;
}

static void give_up(struct asq__process *w)
{
    if (w->config.link)
        atomic_store(&w->config.link->given_up, 1);
    if (w->config.link && write(w->config.supervisor_fd, "g", 1) < 0)
        return; /* the supervisor polls the memory too */
}

/* Returns whether the process outlived its drain timeout and the supervisor has not ended it. */
static bool is_overdue(const struct asq__process *w, int64_t now_ms)
{
    int64_t since_ms = w->config.link ? atomic_load(&w->config.link->stopping_ms) : 0;
    return since_ms && now_ms - since_ms > w->config.drain_timeout_ms + END_GRACE_MS;
}

bool asq__watch_check(struct asq__watch *watch, struct asq__process *w, int64_t now_ms)
{
    unsigned iterations = atomic_load_explicit(&w->iterations, memory_order_relaxed);
    int64_t passed_ms = watch->checked_ms ? now_ms - watch->checked_ms : 0;
    char name[2 * ASQ__POOL_NAME + 2];
    if (passed_ms > w->config.lease_time_ms)
        passed_ms = w->config.lease_time_ms;
    watch->checked_ms = now_ms;
    if (is_overdue(w, now_ms)) {
        asq__process_log(w, ASQ_LOG_ERROR, "%s has not ended by its drain timeout: it ends now",
                         w->config.id);
        give_up(w);
        return false;
    }
    if (iterations != watch->iterations) {
        if (watch->warned)
            asq__process_log(w, ASQ_LOG_INFO, "the event loop of %s runs again", w->config.id);
        watch->iterations = iterations;
        watch->still_ms = 0;
        watch->warned = false;
        return true;
    }
    watch->still_ms += passed_ms;
    if (watch->still_ms >= limit_ms(w)) {
        if (name_call(w, name, sizeof name))
            asq__process_blame_thread(w, 0);
        asq__process_log(w, ASQ_LOG_ERROR,
                         "%s has blocked the event loop of %s for %lld ms: its heartbeat "
                         "stops, and the process is ended and started again",
                         name, w->config.id, (long long) watch->still_ms);
        give_up(w);
        return false;
    }
    if (!watch->warned && watch->still_ms >= limit_ms(w) / 2) {
        watch->warned = true;
        name_call(w, name, sizeof name);
        asq__process_log(
            w, ASQ_LOG_WARNING,
            "%s has blocked the event loop of %s for %lld ms so far; after %lld ms the process is "
            "ended",
            name, w->config.id, (long long) watch->still_ms, (long long) limit_ms(w));
    }
    return true;
}

void asq__watch_end(void)
{
    struct timespec wait = { SUPERVISOR_MS / 1000, 0 };
    nanosleep(&wait, NULL);
    for (;;)
        kill(getpid(), SIGKILL);
}
