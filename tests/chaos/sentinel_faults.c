/*
 * sentinel_faults.c: see sentinel_faults.h.
 */
#include "sentinel_faults.h"

#include <signal.h>
#include <stdlib.h>

static struct {
    bool server; /* a server is away, or the Sentinels have not come to rest since */
    bool sentinel;
    int64_t unsettled_since_ms; /* 0: the servers are not expected to settle yet */
} now;

void sentinel_faults_begin(void)
{
    now.server = now.sentinel = false;
    now.unsettled_since_ms = 0;
}

bool sentinel_faults_last(void)
{
    return now.server;
}

/* Notes the master once all is well again. */
static void settle(struct deployment *d, int arg)
{
    int master = sup_sentinels_settled(d->sentinels);

    (void) arg;
    if (now.unsettled_since_ms == 0)
        now.unsettled_since_ms = sup_now_ms();
    if (master < 0) {
        if (sup_now_ms() - now.unsettled_since_ms > 2 * sup_limit_ms())
            sup_fail("the Sentinels have not come to rest");
        sup_sleep_ms(5); /* at the end nobody else waits */
        faults_later(100, settle, 0);
        return;
    }
    d->redis = sup_sentinels_server(d->sentinels, master);
    now.server = false;
    now.unsettled_since_ms = 0;
}

static void server_back(struct deployment *d, int i)
{
    sup_redis_restart(sup_sentinels_server(d->sentinels, i));
    faults_later(500, settle, 0);
}

static void server_resume(struct deployment *d, int i)
{
    sup_proc_signal(sup_redis_proc(sup_sentinels_server(d->sentinels, i)), SIGCONT);
    faults_later(500, settle, 0);
}

bool sentinel_faults_heals_server(heal_fn fn)
{
    return fn == server_back || fn == server_resume;
}

/* Returns the index of the master, or of one of its replicas. */
static int pick(struct deployment *d, bool master)
{
    int at = 0;

    while (sup_sentinels_server(d->sentinels, at) != d->redis)
        at++;
    if (!master)
        at = (at + 1 + (int) rng_below(&d->rng, SUP_SENTINEL_SERVERS - 1)) % SUP_SENTINEL_SERVERS;
    return at;
}

/* The server comes back before or after the Sentinels have taken it for dead. */
static bool kill_server(struct deployment *d, bool master)
{
    if (now.server)
        return false;
    int i = pick(d, master);
    sup_redis_kill(sup_sentinels_server(d->sentinels, i));
    now.server = true;
    faults_later(faults_between(d, 0, 4000), server_back, i);
    return true;
}

static bool pause_server(struct deployment *d, bool master)
{
    if (now.server)
        return false;
    int i = pick(d, master);
    sup_proc_signal(sup_redis_proc(sup_sentinels_server(d->sentinels, i)), SIGSTOP);
    now.server = true;
    faults_later(faults_pause_ms(d), server_resume, i);
    return true;
}

bool master_kill(struct deployment *d)
{
    return kill_server(d, true);
}
bool master_pause(struct deployment *d)
{
    return pause_server(d, true);
}
/* Cuts the replicas off for so many times 10 ms, and kills the master then. They connect again
 * about once a second. */
static void cut_off(struct deployment *d, int times)
{
    freeReplyObject(sup_redis_reply(d->redis, "CLIENT KILL TYPE replica"));
    if (times > 0) {
        faults_later(10, cut_off, times - 1);
        return;
    }
    int i = pick(d, true);
    sup_redis_kill(d->redis);
    faults_later(faults_between(d, 0, 4000), server_back, i);
}

bool master_lag(struct deployment *d)
{
    if (now.server)
        return false;
    now.server = true;
    cut_off(d, (int) faults_between(d, 5, 60));
    return true;
}
bool replica_kill(struct deployment *d)
{
    return kill_server(d, false);
}
bool replica_pause(struct deployment *d)
{
    return pause_server(d, false);
}

bool failover(struct deployment *d)
{
    if (now.server || now.sentinel || !sup_sentinels_begin_failover(d->sentinels))
        return false;
    now.server = true;
    faults_later(500, settle, 0);
    return true;
}

static void sentinel_back(struct deployment *d, int i)
{
    sup_sentinels_restart(d->sentinels, i);
    now.sentinel = false;
}

bool sentinel_kill(struct deployment *d)
{
    if (now.sentinel)
        return false;
    int i = (int) rng_below(&d->rng, SUP_SENTINELS);
    sup_sentinels_kill(d->sentinels, i);
    now.sentinel = true;
    faults_later(faults_between(d, 0, 4000), sentinel_back, i);
    return true;
}
