/*
 * honest.c: see honest.h.
 */
#include "honest.h"

#include <asqueue.h>

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <signal.h>
#include <time.h>
#include <unistd.h>

enum { CALL_LIMIT_MS = 120000, BURST = 64, DELAYED = 32, LONGEST_DELAY_MS = 15000 };

/* Calls that are due later. Those due soon wait in the owner's memory, the others under keys that
 * are attacked, too. */
struct delayed {
    asq_result *result;
    int agent;
    int64_t due_ms;
};

size_t honest_agent_id(int number, int i, char id[64])
{
    return (size_t) snprintf(id, 64, "honest-%d-%d", number, i);
}

static int64_t now_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t) t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void wrong(struct honest *s, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void wrong(struct honest *s, const char *fmt, ...)
{
    va_list ap;

    if (atomic_load(&s->wrong))
        return;
    va_start(ap, fmt);
    vsnprintf(s->what, sizeof s->what, fmt, ap);
    va_end(ap);
    atomic_store(&s->wrong, true);
}

static void note(struct honest *s, int64_t took_ms, int64_t max_ms)
{
    atomic_fetch_add(&s->calls, 1);
    if ((unsigned long long) took_ms > atomic_load(&s->worst_ms))
        atomic_store(&s->worst_ms, (unsigned long long) took_ms);
    if (took_ms > max_ms)
        atomic_fetch_add(&s->slow, 1);
}

/* Makes one call at a time, or a burst that is corked; nested calls, too. Each adds one to the
 * agent's counter. */
static int round_of_calls(asq *h, asq_agent *const *agents, unsigned turn, struct honest *s,
                          int64_t max_ms, uint64_t *counts)
{
    unsigned i = turn % HONEST_AGENTS;
    asq_agent *a = agents[i];
    asq_result *r[BURST];
    int64_t began = now_ms();
    int n = turn % 5 == 0 ? BURST : 1, rc = 0;

    /* through another agent: the call adds one here, its nested call one there */
    if (turn % 7 == 0) {
        rc = asq_call_wait(agents[(i + 1) % HONEST_AGENTS], "relay", NULL, "[a]", a);
        if (rc == 0) {
            counts[i]++;
            counts[(i + 1) % HONEST_AGENTS]++;
            note(s, now_ms() - began, max_ms);
        }
        return rc;
    }
    asq_cork(h);
    for (int k = 0; k < n && rc == 0; k++)
        rc = asq_call(a, "add", &r[k], "[i]", 1);
    asq_uncork(h);
    if (rc < 0)
        return rc;
    for (int k = 0; k < n; k++) {
        int one = asq_result_wait(r[k], CALL_LIMIT_MS);
        if (one == 0) {
            counts[i]++;
            note(s, now_ms() - began, max_ms);
        } else if (rc == 0) {
            rc = one;
        }
        asq_result_free(r[k]);
    }
    return rc;
}

/* Takes the result of the call in this place, when it is due or all calls are to end, and makes
 * another call. The delay beyond the due time is noted only at the end, when the caller has waited
 * for it all the time. */
static int delayed_call(asq_agent *const *agents, unsigned turn, struct delayed *d, bool last,
                        struct honest *s, int64_t max_ms, uint64_t *counts)
{
    int rc = 0;

    if (d->result) {
        if (!last && now_ms() < d->due_ms)
            return 0;
        rc = asq_result_wait(d->result, CALL_LIMIT_MS);
        if (rc == 0) {
            counts[d->agent]++;
            note(s, last && now_ms() > d->due_ms ? now_ms() - d->due_ms : 0, max_ms);
        }
        asq_result_free(d->result);
        d->result = NULL;
    }
    if (rc < 0 || last)
        return rc;
    asq_call_options options = ASQ_CALL_OPTIONS_INIT;
    options.delay_ms = 1 + (int64_t) (turn * 2654435761u % LONGEST_DELAY_MS);
    d->agent = (int) (turn % HONEST_AGENTS);
    d->due_ms = now_ms() + options.delay_ms;
    return asq_callv(agents[d->agent], "add", &options, asq_pack("[i]", 1), &d->result);
}

/* Returns the call that is due first; NULL: none is under way. */
static struct delayed *first_delayed(struct delayed all[DELAYED])
{
    struct delayed *first = NULL;

    for (int i = 0; i < DELAYED; i++)
        if (all[i].result && (!first || all[i].due_ms < first->due_ms))
            first = &all[i];
    return first;
}

static void run(const char *url, int number, int64_t max_ms, struct honest *s)
{
    asq *h;
    asq_agent *agents[HONEST_AGENTS];
    uint64_t counts[HONEST_AGENTS] = { 0 };
    struct delayed delayed[DELAYED] = { 0 };
    char err[1000], id[64];
    int rc = 0;

    if (asq_open(url, NULL, &h, err, sizeof err) < 0) {
        wrong(s, "asq_open: %s", err);
        return;
    }
    asq_set_timeout(h, CALL_LIMIT_MS);
    for (int i = 0; i < HONEST_AGENTS; i++) {
        honest_agent_id(number, i, id);
        if (asq_create(h, "Honest", id, &agents[i], NULL) < 0) {
            wrong(s, "creating %s: %s", id, asq_errmsg(h));
            return;
        }
    }
    for (unsigned turn = 0; !atomic_load(&s->stop) && rc == 0; turn++) {
        rc = round_of_calls(h, agents, turn, s, max_ms, counts);
        if (rc == 0)
            rc = delayed_call(agents, turn, &delayed[turn % DELAYED], false, s, max_ms, counts);
        if (rc < 0)
            wrong(s, "a call failed: %s: %s", asq_error_name(rc), asq_errmsg(h));
    }
    for (struct delayed *d; rc == 0 && (d = first_delayed(delayed));)
        if ((rc = delayed_call(agents, 0, d, true, s, max_ms, counts)) < 0)
            wrong(s, "a delayed call failed: %s: %s", asq_error_name(rc), asq_errmsg(h));
    for (int i = 0; i < HONEST_AGENTS && rc == 0; i++) {
        asq_value *v = NULL;
        int64_t is = -1;
        rc = asq_call_wait(agents[i], "get", &v, NULL);
        asq_value_get_int(v, &is);
        if (rc < 0)
            wrong(s, "reading a counter: %s: %s", asq_error_name(rc), asq_errmsg(h));
        else if (is != (int64_t) counts[i])
            wrong(s, "honest-%d-%d has %" PRId64 " after %" PRIu64 " calls", number, i, is,
                  counts[i]);
        asq_value_free(v);
    }
    for (int i = 0; i < HONEST_AGENTS; i++)
        asq_agent_free(agents[i]);
    asq_close(h);
}

pid_t honest_start(const char *url, int number, int64_t max_ms, struct honest *shared)
{
    pid_t parent = getpid(), pid = fork();

    if (pid != 0)
        return pid;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(1);
    run(url, number, max_ms, shared);
    /* _exit, because exit would free objects of the harness. */
    _exit(atomic_load(&shared->wrong) ? 1 : 0);
}
