/*
 * loop.c: a worker process: brings its parts up, runs the loop, and ends in order.
 *
 * An iteration of the loop handles events (entries read, answers, timers). Before it waits again,
 * it takes what threads have handed over, resumes ready fibers of the loop, fetches snapshots,
 * sends commits, and writes all of it to the sockets.
 */
#include "asqueue.h"
#include "client/engine.h"
#include "client/object.h"
#include "redis/cmd.h"
#include "redis/conn.h"
#include "redis/permit.h"
#include "redis/redis.h"
#include "redis/tls.h"
#include "redis/timer.h"
#include "redis/trouble.h"
#include "redis/url.h"
#include "value/error.h"
#include "value/lines.h"
#include "value/list.h"
#include "value/random.h"
#include "value/tally.h"
#include "worker/actor_fetch.h"
#include "worker/allowed.h"
#include "worker/backlog.h"
#include "worker/blame.h"
#include "worker/call_time.h"
#include "worker/commit.h"
#include "worker/deadlock.h"
#include "worker/descriptors.h"
#include "worker/dispatch.h"
#include "worker/ending.h"
#include "worker/handover.h"
#include "worker/inputs.h"
#include "worker/intake.h"
#include "worker/later_move.h"
#include "worker/lease.h"
#include "worker/member.h"
#include "worker/nested.h"
#include "worker/partition.h"
#include "worker/exec/pool.h"
#include "worker/process.h"
#include "worker/process_log.h"
#include "worker/reader.h"
#include "worker/result_read.h"
#include "worker/shared.h"
#include "worker/state.h"
#include "worker/stream_end.h"
#include "worker/stuck.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "redis/fork_guard.h"
#include "value/clock.h"
#include "worker/actor_memory.h"
#include "worker/commit_recover.h"
#include "worker/commit_send.h"
#include "worker/control.h"
#include "worker/delay.h"
#include "worker/exec/run.h"
#include "worker/loop.h"

enum {
    ROUNDS = 64,
    RETRY_MS = 500,
    UPKEEP_MS = 1000,
    STOP_THREADS_MS = 1000,
    IDLE_THREAD_MS = 10 * 1000,
    ASK_POLICY_MS = 5000,
    LOG_POLICY_EVERY_MS = 60000
};

static void log_text(void *user, asq_log_level level, const char *message)
{
    asq__process_log(user, level, "%s", message);
}

static void log_method(void *user, asq_log_level level, const char *message)
{
    const struct asq__process *w = user;
    if (w->config.log && level <= w->config.method_log_level)
        w->config.log(w->config.log_user, level, message);
}

/* ---- stopping ---- */

static void check_stopped(struct asq__process *w)
{
    if (!w->stopping || w->ended)
        return;
    if (w->nidle == w->nparts)
        asq__process_end(w, 0);
}

static void begin_stop(struct asq__process *w)
{
    w->stopping = true;
    w->stop_deadline_ms = asq__deadline_ms(w->config.drain_timeout_ms);
    if (w->config.link)
        atomic_store(&w->config.link->stopping_ms, asq__now_ms());
    bool orphan = w->config.link && getppid() != w->config.supervisor;
    asq__process_log(
        w, orphan ? ASQ_LOG_WARNING : ASQ_LOG_INFO, "%sstopping: running calls have %lld ms to end",
        orphan ? "the supervisor has ended; " : "", (long long) w->config.drain_timeout_ms);
    asq__members_stop(w->members);
    for (uint32_t i = 0; i < w->nparts; i++) {
        struct asq__partition *p = &w->parts[i];
        if (p->state == ASQ__PART_DRAINING)
            /* the process stops: no deadline of balancing holds */
            p->drain_deadline_ms = INT64_MAX;
        asq__partition_cancel_claim(p);
        asq__partition_drain(p, ASQ_FOREVER);
    }
}

static void check_stop(struct asq__process *w)
{
    int stop = w->stop ? atomic_load(w->stop) : 0;
    if (stop && !w->members) {
        asq__process_end(w, 0); /* Redis was never reached */
        return;
    }
    if (stop && !w->stopping)
        begin_stop(w);
    if (w->stopping && (stop > 1 || asq__now_ms() > w->stop_deadline_ms) && !w->ended) {
        asq__process_log(
            w, ASQ_LOG_WARNING,
            "ending now; calls of partitions that have not drained run again on other workers");
        asq__process_end(w, 0);
    }
    check_stopped(w);
}

/* ---- the iteration ---- */

/* Counts an iteration; the loop's thread alone writes the counter. */
static void count_iteration(struct asq__process *w)
{
    atomic_store_explicit(&w->iterations,
                          atomic_load_explicit(&w->iterations, memory_order_relaxed) + 1,
                          memory_order_relaxed);
}

static void check_ready(struct asq__process *w)
{
    if (!w->members || w->stopping || !asq__members_have_decided(w->members) ||
        !asq__list_empty(&w->claims) || w->claims_in_flight || !asq__readers_serve(w))
        return;
    w->has_announced_ready = true;
    if (w->config.ready)
        w->config.ready(w->config.ready_user);
}

/* Returns whether a partition is to be dropped, or perhaps to be handed back. */
static bool leases_are_due(const struct asq__process *w)
{
    return !asq__list_empty(&w->fenced) || !asq__list_empty(&w->drained);
}

/* Does what leases that have come and gone ask of the membership. */
static void announce_and_refresh(struct asq__process *w)
{
    if (w->announce_due)
        asq__members_announce(w);
    if (w->refresh_due)
        asq__members_refresh(w->members);
    w->announce_due = w->refresh_due = false;
}

/* Does what lower files have left for the end of the iteration. False: there was nothing. */
static bool run_due(struct asq__process *w)
{
    bool any = asq__dispatch_run_due(w);
    any |= asq__later_take_moved(w);
    if (w->redis_time_changed) {
        w->redis_time_changed = false;
        for (uint32_t i = 0; i < w->nparts; i++)
            if (!asq__list_empty(&w->parts[i].intake))
                asq__intake_resume(&w->parts[i]);
        any = true;
    }
    return any;
}

static void on_iteration(struct ev_loop *loop, ev_prepare *watcher, int revents)
{
    struct asq__process *w = watcher->data;
    (void) loop;
    (void) revents;
    count_iteration(w);
    unsigned rounds = 0;
    while (rounds < ROUNDS &&
           ((leases_are_due(w) && asq__leases_run_due(w)) || asq__handovers_take(w) ||
            asq__pool_inline_ready(w->pool) || (w->parts && run_due(w))))
        rounds++;
    if (!w->parts)
        return;
    /* Commits leave and sockets are read in between, however much there is to do. */
    if (rounds == ROUNDS || (!asq__list_empty(&w->postponed) && asq__dispatch_postponed(w)))
        asq__process_wake(w);
    w->starts = 0;
    announce_and_refresh(w);
    if (!asq__list_empty(&w->inputs_waiting))
        asq__inputs_run_due(w);
    asq__backlog_run_due(w);
    asq__fetch_snapshots(w);
    asq__result_reads_send(w);
    asq__commits_send(w);
    if (asq__actors_are_crowded(&w->actors))
        asq__actor_memory_evict(w);
    asq__engine_flush(w->engine);
    asq__conn_flush(asq__redis_conn(w->redis, 0));
    asq__readers_run_due(w);
    if (!w->has_announced_ready)
        check_ready(w);
    check_stopped(w);
    if (leases_are_due(w) || w->refresh_due || !asq__list_empty(&w->actors.resuming))
        asq__process_wake(w); /* for what the end of this iteration has caused */
}

static void on_wake(struct ev_loop *loop, ev_async *watcher, int revents)
{
    (void) loop;
    (void) revents;
    struct asq__process *w = watcher->data;
    if (w->members)
        asq__members_on_wake(w->members);
    check_stop(w);
}

static void resume_everywhere(struct asq__process *w)
{
    for (uint32_t i = 0; i < w->nparts; i++) {
        asq__intake_resume(&w->parts[i]);
        asq__partition_resume(&w->parts[i]);
    }
}

static void on_give_up(struct ev_loop *loop, ev_timer *watcher, int revents)
{
    (void) loop;
    (void) revents;
    asq__streams_give_up(watcher->data);
}

static void on_retry(struct ev_loop *loop, ev_timer *watcher, int revents)
{
    struct asq__process *w = watcher->data;
    (void) loop;
    (void) revents;
    if (w->refused_until_ms && asq__now_ms() < w->refused_until_ms) {
        asq__timer_restart(w->loop, &w->retry, RETRY_MS / 1000., 0.);
        return;
    }
    if (w->reconnect) {
        w->reconnect = false;
        /* continues when it is up again */
        asq__redis_drop(w->redis, "Redis refuses commits");
        return;
    }
    asq__commits_recover(w);
}

/* ---- upkeep ---- */

static const char policy_text[] =
    "this Redis has maxmemory-policy %s, which may drop calls and agents when memory is full; set "
    "it "
    "to noeviction (redis-cli CONFIG SET maxmemory-policy noeviction, and in redis.conf)";

static bool policy_is_safe(const struct asq__process *w)
{
    const char *policy = asq__redis_eviction_policy(w->redis);
    return !*policy || strcmp(policy, "noeviction") == 0;
}

/* Logs a change of the eviction policy. A running worker continues, because memory may never be
 * short. */
static void check_policy(struct asq__process *w)
{
    int64_t now = asq__now_ms();
    if (policy_is_safe(w)) {
        if (w->policy_last_logged_ms)
            asq__process_log(w, ASQ_LOG_INFO, "this Redis has maxmemory-policy noeviction again");
        w->policy_last_logged_ms = 0;
    } else if (!w->policy_last_logged_ms || now - w->policy_last_logged_ms > LOG_POLICY_EVERY_MS) {
        asq__process_log(w, ASQ_LOG_ERROR, policy_text, asq__redis_eviction_policy(w->redis));
        w->policy_last_logged_ms = now;
    }
    if (now - w->policy_asked_ms > ASK_POLICY_MS) {
        w->policy_asked_ms = now;
        asq__redis_ask_policy(w->redis);
    }
}

/* Forgets a refusal of commits that may be gone with their partitions, so Redis will never take
 * them. */
static void forget_refusal(struct asq__process *w)
{
    if (!w->refused_until_ms || asq__now_ms() < w->refused_until_ms || w->scripts_in_flight)
        return;
    for (uint32_t i = 0; i < w->nparts; i++)
        if (w->parts[i].recovering && asq__partition_is_owned(&w->parts[i]))
            return;
    w->refused_until_ms = 0;
}

static void on_upkeep(struct ev_loop *loop, ev_timer *watcher, int revents)
{
    struct asq__process *w = watcher->data;
    (void) loop;
    (void) revents;
    check_stop(w); /* shared memory may ask for it too, because a plugin may have taken SIGTERM */
    if (w->config.link && atomic_load(&w->config.link->state_asked) != w->state_answered) {
        w->state_answered = atomic_load(&w->config.link->state_asked);
        asq__state_log(w);
    }
    if (!w->parts)
        return;
    forget_refusal(w);
    check_policy(w);
    pthread_mutex_lock(&w->untaken_failures_lock);
    asq__tally_log_due(&w->untaken_failures, asq__now_ms_coarse(), false);
    pthread_mutex_unlock(&w->untaken_failures_lock);
    asq__actor_memory_upkeep(w);
    asq__backlog_retry(w);
    asq__stuck_refresh(w);
    asq__lines_log_rest(&w->lines, asq__now_ms_coarse());
    asq__process_learn_limit(w); /* old refusals do not count any more */
    for (uint32_t i = 0; i < w->nparts; i++) {
        asq__partition_check_drain(&w->parts[i]);
        asq__later_upkeep(&w->parts[i]);
    }
    /* Calls that a refusal, a missed heartbeat or a lost answer held up can start now. */
    if (asq__redis_is_up(w->redis) && asq__process_may_start(w))
        resume_everywhere(w);
}

/* ---- Redis ---- */

/* Restarts the process because its namespace was made anew: nothing that it holds is of the new
 * one, and the number of partitions, on which everything is built, may differ. */
static void start_anew(struct asq__process *w)
{
    asq__process_end(w, w->stopping ? 0 : ASQ__START_ANEW);
}

static void on_namespace(struct asq__redis *redis, enum asq__namespace_event what, uint32_t before,
                         void *user)
{
    struct asq__process *w = user;
    switch (what) {
    case ASQ__NAMESPACE_RECREATED:
        asq__process_log(w, ASQ_LOG_WARNING,
                         "namespace '%s' was gone: this Redis was flushed, or asq:{%s}:meta was "
                         "deleted. The namespace is made again, with its %u partitions",
                         w->config.ns, w->config.ns, before);
        break;
    case ASQ__NAMESPACE_REPAIRED:
        asq__process_log(w, ASQ_LOG_WARNING,
                         "asq:{%s}:meta was overwritten with impossible values, and is restored: "
                         "%u partitions",
                         w->config.ns, before);
        break;
    case ASQ__NAMESPACE_DOTTED:
        asq__process_log(
            w, ASQ_LOG_WARNING,
            "the name of namespace '%s' has dots: patterns of commands and ACL rules for the keys "
            "of another namespace may reach it; new ones cannot have any",
            w->config.ns);
        break;
    case ASQ__NAMESPACE_CHANGED:
        asq__process_log(
            w, ASQ_LOG_WARNING,
            "namespace '%s' has %u partitions now, not %u: it was made anew, or asq:{%s}:meta was "
            "changed. This process drops its partitions and claims the new ones",
            w->config.ns, asq__redis_partitions(redis), before, w->config.ns);
        start_anew(w);
        break;
    }
}

/* Logs which commands Redis refuses to this worker, when that has changed, and the consequences. */
static void log_lack(struct asq__process *w)
{
    const char *names;
    unsigned lack = asq__redis_lack(w->redis, &names);
    if (lack != w->logged_lack && lack)
        asq__process_log(
            w, ASQ_LOG_WARNING,
            "Redis refuses optional commands of a worker: %s.%s%s%s%s%s as-ctl acl "
            "prints the rules that a worker needs",
            names,
            lack & ASQ__LACKS_SORTED_SETS
                ? " Delayed calls stay in their streams and take room from due calls."
                : "",
            lack & ASQ__LACKS_RANGES ? " Results for other clients take one more command." : "",
            lack & ASQ__LACKS_BOUNDS
                ? " Reads of agents, and dead letters, are not bounded in bytes."
                : "",
            lack & ASQ__LACKS_SEARCH ? " Delayed calls are lost if their keys `later` are deleted."
                                     : "",
            lack & ASQ__LACKS_TIME
                ? " Deadlines and delays count from when a worker reads the call."
                : "");
    else if (lack != w->logged_lack)
        asq__process_log(w, ASQ_LOG_INFO, "Redis refuses no command that a worker needs any more");
    w->logged_lack = lack;
}

/* Looks at batches in `later`, which were out of reach while sorted sets were refused. */
static void open_later_everywhere(struct asq__process *w)
{
    for (uint32_t i = 0; i < w->nparts; i++)
        if (asq__partition_is_owned(&w->parts[i]) && !w->parts[i].later)
            asq__later_open(&w->parts[i]);
}

static void on_up(struct asq__redis *redis, void *user)
{
    struct asq__process *w = user;
    bool first = !w->parts;
    char text[ASQ__TROUBLE_TEXT] = "";
    (void) redis;
    if (w->ended)
        return;
    if (first && !w->config.was_up && !policy_is_safe(w)) {
        asq__process_fail(w, ASQ_EREDIS, policy_text, asq__redis_eviction_policy(w->redis));
        return;
    }
    if (first) {
        int rc = asq__partitions_init(w);
        if (rc == 0)
            rc = asq__readers_init(w);
        if (rc == 0)
            rc = asq__members_new(w, &w->members);
        if (rc < 0) {
            asq__process_fail(w, rc, "%s",
                              rc == ASQ_ESYS ? "no file descriptor is left" : "out of memory");
            return;
        }
        asq__descriptors_check(w);
    } else {
        asq__readers_reconnect(w);
    }
    bool logged = asq__trouble_over(&w->away, asq__now_ms(), text);
    if (first || logged)
        asq__process_log(w, ASQ_LOG_INFO, "connected to Redis%s%s", first ? "" : " again", text);
    if (first && w->config.url->tls && w->config.url->tls_verify == ASQ__TLS_VERIFY_NO)
        asq__process_log(w, ASQ_LOG_WARNING, "%s", asq__url_unverified_text);
    if (first && w->config.partitions && w->config.partitions != w->nparts)
        asq__process_log(
            w, ASQ_LOG_WARNING,
            "namespace '%s' has %u partitions since it was made; %u were asked for (--partitions)",
            w->config.ns, w->nparts, w->config.partitions);
    log_lack(w);
    open_later_everywhere(w);
    asq__process_learn_limit(w);
    asq__commits_begin_recovery(w);
    asq__engine_up(w->engine);
    w->refused_until_ms = 0;
    w->suspected = false;
    asq__members_start(w->members);
    asq__commits_recover(w);
    resume_everywhere(w);
    check_stop(w);
}

static void on_redis_time(struct asq__redis *redis, int64_t set_ms, void *user)
{
    (void) redis;
    asq__process_on_redis_time(user, set_ms);
}

static void on_down(struct asq__redis *redis, int code, const char *why, void *user)
{
    struct asq__process *w = user;
    char text[ASQ__TROUBLE_TEXT];
    (void) redis;
    asq__engine_down(w->engine);
    bool first = !w->parts && !w->config.was_up;
    char *where = asq__url_format(w->config.url, true);
    if (first && (code == ASQ_EAUTH || code == ASQ_EVERSION || code == ASQ_EINVAL))
        asq__process_fail(w, code, "%s: %s", where ? where : "Redis", why);
    else if (asq__trouble_note(&w->away, why, asq__now_ms(), text))
        asq__process_log(w,
                         code == ASQ_ECONN || code == ASQ_EBUSY ? ASQ_LOG_WARNING : ASQ_LOG_ERROR,
                         "%s: %s; trying again", where ? where : "Redis", text);
    free(where);
}

static void on_push(struct asq__redis *redis, int channel, const void *payload, size_t n,
                    void *user)
{
    struct asq__process *w = user;
    (void) redis;
    if (channel == 0)
        asq__engine_push(w->engine, payload, n);
    else if (w->members && !asq__members_on_announcement(w->members, payload, n)) {
        /* A worker has come, gone or handed back; or this one must stop. */
        asq__members_refresh(w->members);
        asq__members_heartbeat(w->members);
    }
}

static void on_lost(void *user, uint32_t partition)
{
    struct asq__process *w = user;
    if (w->parts)
        asq__partition_abandon(&w->parts[partition], "Redis has gone back in time");
}

/* ---- the pool's hooks ---- */

static void on_inline_ready(void *user)
{
    struct asq__process *w = user;
    asq__process_wake(w);
}

static void on_switch(void *user, unsigned thread, struct asq__task *task,
                      const char class_name[ASQ__POOL_NAME], const char method[ASQ__POOL_NAME])
{
    struct asq__process *w = user;
    if (w->forked) {
        asq__process_log(
            w, ASQ_LOG_WARNING,
            "a process that a method forked has returned from the method, or waits through the "
            "library: the process ends");
        _exit(0);
    }
    if (thread == 0)
        count_iteration(w);
    asq__blame_note(w, thread, task, class_name, method);
}

static void on_thread_lost(void *user, unsigned thread, const char *class_name, const char *method)
{
    const struct asq__process *w = user;
    asq__process_blame_thread(w, thread);
    asq__process_log(
        user, ASQ_LOG_ERROR,
        "%s.%s has ended its thread (pthread_exit), which a method must not do: %s ends",
        class_name, method, w->config.id);
    _exit(ASQ__EXIT_THREAD_LOST);
}

/* ---- life ---- */

static int set_up(struct asq__process *w, char *err, size_t errlen)
{
    char name[64];
    if (asq__random(&w->client_number, sizeof w->client_number) < 0)
        return asq__err(err, errlen, ASQ_ESYS, "getrandom: %s", strerror(errno));
    snprintf(w->client, sizeof w->client, "%016llx", (unsigned long long) w->client_number);
    snprintf(name, sizeof name, "asqueue-worker-%ld", (long) getpid());
    w->loop = ev_loop_new(EVFLAG_AUTO | EVFLAG_NOENV | EVFLAG_NOSIGMASK);
    if (!w->loop)
        return asq__err(err, errlen, ASQ_ESYS, "libev cannot make an event loop");
    ev_prepare_init(&w->iteration, on_iteration);
    ev_async_init(&w->wake, on_wake);
    ev_timer_init(&w->retry, on_retry, 0., 0.);
    ev_timer_init(&w->give_up, on_give_up, 0., 0.);
    w->give_up.data = w;
    ev_timer_init(&w->upkeep, on_upkeep, UPKEEP_MS / 1000., UPKEEP_MS / 1000.);
    w->iteration.data = w->wake.data = w->retry.data = w->upkeep.data = w;
    ev_prepare_start(w->loop, &w->iteration);
    ev_async_start(w->loop, &w->wake);
    ev_timer_start(w->loop, &w->upkeep);
    asq__deadlock_init(w);
    struct asq__pool_config pool = { .capacity = w->config.capacity,
                                     .stack_size = w->config.stack_size,
                                     .idle_ms = IDLE_THREAD_MS,
                                     .inline_ready = on_inline_ready,
                                     .on_switch = on_switch,
                                     .thread_lost = on_thread_lost,
                                     .user = w };
    int rc = asq__pool_new(&pool, &w->pool);
    if (rc < 0)
        return asq__err(err, errlen, rc, "the thread pool cannot be made: %s", asq_strerror(rc));
    struct asq__redis_config redis = {
        .loop = w->loop,
        .url = w->config.url,
        .ns = w->config.ns,
        .name = name,
        .partitions = w->config.partitions,
        .channels = { w->client, "workers" },
        .serves = true,
        .connect_timeout_ms = 5000,
        .up = on_up,
        .down = on_down,
        .push = on_push,
        .namespace_event = on_namespace,
        .time = on_redis_time,
        .user = w,
    };
    rc = asq__redis_new(&redis, &w->redis, err, errlen);
    if (rc < 0)
        return rc;
    struct asq__engine_config engine = { .redis = w->redis,
                                         .client = w->client,
                                         .client_number = w->client_number,
                                         .record_ms = asq__commit_record_ms(w, true),
                                         .kept_ms = asq__commit_record_ms(w, false),
                                         .lost = on_lost,
                                         .log = log_text,
                                         .log_user = w };
    rc = asq__engine_new(&engine, &w->engine);
    return rc < 0 ? asq__err(err, errlen, rc, "out of memory") : 0;
}

/* Frees everything. False: threads still run, so all their memory must stay. */
static bool tear_down(struct asq__process *w)
{
    if (w->pool && !asq__pool_stop(w->pool, STOP_THREADS_MS)) {
        /* User code holds a thread and its memory. The process ends anyway. */
        asq__members_end(w->members);
        return false;
    }
    if (w->loop)
        while (asq__handovers_take(w))
            ;
    asq__members_end(w->members); /* the heartbeat's thread uses key names of redis */
    asq__partitions_drop(w);
    asq__later_take_moved(w);
    asq__result_reads_drop(w);
    asq__engine_free(w->engine);
    if (w->loop)
        while (asq__handovers_take(w)) /* of calls whose nested calls awaited Redis */
            ;
    /* Pending replies end with an error here, so their users and the readers must still exist. */
    asq__redis_free(w->redis);
    w->redis = NULL;
    asq__readers_release(w);
    asq__partitions_release(w);
    asq__members_free(w->members);
    asq__cmd_release(&w->commit_cmd);
    asq__pool_free(w->pool);
    if (w->loop)
        ev_loop_destroy(w->loop);
    pthread_mutex_lock(&w->untaken_failures_lock);
    asq__tally_log_due(&w->untaken_failures, asq__now_ms_coarse(), true);
    asq__tally_release(&w->untaken_failures);
    pthread_mutex_unlock(&w->untaken_failures_lock);
    asq__handovers_release(w);
    return true;
}

int asq__process_run(const struct asq__process_config *config, atomic_int *stop,
                     struct asq__process **current, char *err, size_t errlen)
{
    struct asq__process *w = calloc(1, sizeof *w);
    if (!w)
        return asq__err(err, errlen, ASQ_ENOMEM, "out of memory");
    asq__fork_guard_begin();
    w->config = *config;
    w->stop = stop;
    w->thread = pthread_self();
    w->env = (struct asq__env){ .registry = config->registry,
                                .models = config->models,
                                .worker = config->id,
                                .max_message_size = config->max_message_size,
                                .make_handle = asq__nested_handle,
                                .log = log_method,
                                .log_user = w };
    asq__lines_init(&w->lines, config->log, config->log_user);
    asq__cmd_init(&w->commit_cmd);
    asq__list_init(&w->ready);
    asq__list_init(&w->postponed);
    asq__list_init(&w->due);
    asq__list_init(&w->moved);
    w->run_hooks = &asq__dispatch_run_hooks;
    w->mailbox_hooks = &asq__dispatch_hooks;
    w->cancel = asq__wcall_cancel;
    asq__list_init(&w->fetching);
    asq__list_init(&w->leaving);
    asq__list_init(&w->result_reads);
    asq__list_init(&w->inputs_waiting);
    asq__list_init(&w->inputs_admitted);
    asq__list_init(&w->claims);
    asq__list_init(&w->fenced);
    asq__list_init(&w->drained);
    asq__list_init(&w->stuck_actors);
    asq__actor_memory_init(w);
    asq__handovers_init(w);
    asq__tally_init(&w->untaken_failures, log_text, w);
    pthread_mutex_init(&w->untaken_failures_lock, NULL);
    int rc = set_up(w, err, errlen);
    if (rc == 0) {
        if (current)
            *current = w;
        /* the request to stop may have come before the process could be woken */
        asq__process_wake(w);
        ev_run(w->loop, 0);
        if (current)
            *current = NULL;
        rc = w->code;
        if (rc < 0)
            asq__err(err, errlen, rc, "%s", w->why);
    }
    if (tear_down(w))
        free(w);
    return rc;
}
