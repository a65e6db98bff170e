/*
 * loop.c: a worker process: brings its parts up, runs the loop, and ends in order.
 *
 * An iteration of the loop handles events (entries read, answers, timers). Before it waits again,
 * it takes what threads have handed over, resumes ready fibers of the loop, fetches snapshots,
 * sends commits, and writes all of it to the sockets.
 */
#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "asqueue.h"
#include "client/engine.h"
#include "client/object.h"
#include "redis/cmd.h"
#include "redis/conn.h"
#include "redis/fork_guard.h"
#include "redis/redis.h"
#include "redis/timer.h"
#include "value/clock.h"
#include "value/error.h"
#include "value/lines.h"
#include "value/list.h"
#include "value/quick_clock.h"
#include "value/random.h"
#include "value/tally.h"
#include "worker/actor_fetch.h"
#include "worker/actor_memory.h"
#include "worker/agent_signals.h"
#include "worker/allowed.h"
#include "worker/backlog.h"
#include "worker/blame.h"
#include "worker/commit.h"
#include "worker/commit_recover.h"
#include "worker/commit_send.h"
#include "worker/control.h"
#include "worker/core/actors.h"
#include "worker/deadlock.h"
#include "worker/dispatch.h"
#include "worker/emits.h"
#include "worker/exec/pool.h"
#include "worker/handles.h"
#include "worker/handover.h"
#include "worker/inputs.h"
#include "worker/intake.h"
#include "worker/later_move.h"
#include "worker/lease.h"
#include "worker/live.h"
#include "worker/loop.h"
#include "worker/measure.h"
#include "worker/member.h"
#include "worker/needs.h"
#include "worker/nested.h"
#include "worker/partition.h"
#include "worker/pause.h"
#include "worker/pools.h"
#include "worker/process.h"
#include "worker/process_log.h"
#include "worker/promises.h"
#include "worker/reader.h"
#include "worker/recount.h"
#include "worker/redis_events.h"
#include "worker/report.h"
#include "worker/result_read.h"
#include "worker/shared.h"
#include "worker/spans.h"
#include "worker/state.h"
#include "worker/stats.h"
#include "worker/stopping.h"
#include "worker/stream_end.h"
#include "worker/stuck.h"
#include "worker/takeover.h"
#include "worker/timers.h"

enum {
    ROUNDS = 64,
    RETRY_MS = 500,
    UPKEEP_MS = 1000,
    STOP_THREADS_MS = 1000,
    IDLE_THREAD_MS = 10 * 1000
};

static void log_text(void *user, asq_log_level level, const char *message)
{
    asq__process_log(user, level, "%s", message);
}

static void log_method(void *user, asq_log_level level, const char *message,
                       const asq_log_fields *fields)
{
    const struct asq__process *w = user;
    if (level <= w->config.method_log_level)
        asq__config_log(&w->config, level, fields, message);
}

static void log_failure(void *user, asq_log_level level, const char *message,
                        const asq_error *error)
{
    struct asq__process *w = user;
    const asq_log_fields fields = { "",
                                    error->class_name,
                                    error->method,
                                    error->agent_id,
                                    error->call_id,
                                    *error->call_id ? strtoll(error->call_id, NULL, 10) : -1,
                                    0,
                                    error->code,
                                    NULL,
                                    "" };
    asq__process_log_about(w, level, &fields, "%s", message);
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

/* Announces and refreshes the membership if leases have changed. */
static void announce_and_refresh(struct asq__process *w)
{
    if (w->announce_due)
        asq__members_announce(w);
    if (w->refresh_due)
        asq__members_refresh(w->members);
    w->announce_due = w->refresh_due = false;
}

/* Does the work that lower files have left for the end of the iteration. False: there was none. */
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
    if (w->report.due)
        asq__report_answer(w, false);
    asq__backlog_run_due(w);
    asq__fetch_snapshots(w);
    asq__result_reads_send(w);
    if (!asq__list_empty(&w->emitting))
        asq__emits_send(w);
    asq__commits_send(w);
    if (asq__actors_are_crowded(&w->actors))
        asq__actor_memory_evict(w);
    asq__engine_flush(w->engine);
    asq__redis_flush(w->redis);
    asq__readers_run_due(w);
    if (!w->has_announced_ready)
        check_ready(w);
    asq__process_check_stopped(w);
    if (leases_are_due(w) || w->refresh_due || !asq__list_empty(&w->actors.resuming))
        asq__process_wake(w); /* for what the end of this iteration has caused */
}

/* Starts calls that a refusal, a missed heartbeat or a lost answer held up. */
static void resume_held(struct asq__process *w)
{
    if (w->parts && asq__redis_is_up(w->redis) && asq__process_may_start(w))
        asq__process_resume_all(w);
}

static void on_wake(struct ev_loop *loop, ev_async *watcher, int revents)
{
    (void) loop;
    (void) revents;
    struct asq__process *w = watcher->data;
    if (w->members)
        asq__members_on_wake(w->members);
    asq__worker_pools_drain(w);
    asq__process_check_stop(w);
    if (atomic_load_explicit(&w->is_alive_again, memory_order_relaxed) &&
        atomic_exchange(&w->is_alive_again, false))
        resume_held(w);
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

static void set_title(struct asq__process *w)
{
    const char *dot = strrchr(w->config.id, '.');
    char title[ASQ_MAX_ID + 64];
    if (!w->config.set_title)
        return;
    snprintf(title, sizeof title, "process %s of ns=%s, %u partition%s%s",
             dot ? dot + 1 : w->config.id, w->config.ns, w->nowned, w->nowned == 1 ? "" : "s",
             w->stopping ? ", stopping" : "");
    w->config.set_title(title);
    w->titled = w->nowned;
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
    asq__process_check_stop(
        w); /* shared memory may ask for it too, because a plugin may have taken SIGTERM */
    if (w->config.link && atomic_load(&w->config.link->state_asked) != w->state_answered) {
        w->state_answered = atomic_load(&w->config.link->state_asked);
        asq__state_log(w);
    }
    if (w->titled != w->nowned)
        set_title(w);
    if (w->config.figures)
        asq__measure_sample(w);
    if (w->tracer)
        asq__spans_upkeep(w);
    if (!w->parts)
        return;
    asq__stats_upkeep(w);
    asq__worker_pools_make(w);
    forget_refusal(w);
    asq__process_check_policy(w);
    pthread_mutex_lock(&w->untaken_failures_lock);
    asq__tally_log_due(&w->untaken_failures, asq__now_ms_coarse(), false);
    pthread_mutex_unlock(&w->untaken_failures_lock);
    asq__actor_memory_upkeep(w);
    asq__backlog_retry(w);
    asq__stuck_refresh(w);
    asq__report_answer(w, true);
    asq__lines_log_rest(&w->lines, asq__now_ms_coarse());
    asq__process_learn_limit(w); /* old refusals do not count any more */
    for (uint32_t i = 0; i < w->nparts; i++) {
        asq__partition_check_drain(&w->parts[i]);
        asq__later_upkeep(&w->parts[i]);
        asq__timers_upkeep(&w->parts[i]);
        asq__agent_signals_upkeep(&w->parts[i]);
        asq__promises_upkeep(&w->parts[i]);
        asq__recount_upkeep(&w->parts[i]);
    }
    resume_held(w);
}

/* ---- hooks of the engine and the pool ---- */

static void on_lost(void *user, uint32_t partition)
{
    struct asq__process *w = user;
    if (w->parts)
        asq__partition_abandon(&w->parts[partition], "Redis has gone back in time");
}

static void on_lost_outcomes(void *user, unsigned n)
{
    struct asq__process *w = user;
    atomic_fetch_add(&w->lost_commits, n);
}

/* Redis cannot answer this in the slot of another partition. The lease is in doubt while its server
 * is away or not asked yet what it has kept, and before others take this process for dead. None can
 * while the server with the heartbeats is down. */
static enum asq__lease_belief on_holds(void *user, uint32_t partition, const char *token)
{
    struct asq__process *w = user;
    const struct asq__partition *p = &w->parts[partition];
    if (!asq__partition_is_owned(p) || strcmp(p->token, token) != 0)
        return ASQ__LEASE_LOST;
    if (p->recovering || (!asq__process_is_alive(w) && !asq__redis_home_fails(w->redis)) ||
        !asq__conn_is_up(asq__redis_conn(w->redis, partition)))
        return ASQ__LEASE_DOUBTED;
    return ASQ__LEASE_HELD;
}

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
    if (asq__random(&w->client_number, sizeof w->client_number) < 0)
        return asq__err(err, errlen, ASQ_ESYS, "getrandom: %s", strerror(errno));
    snprintf(w->client, sizeof w->client, "%016llx", (unsigned long long) w->client_number);
    asq__quick_clock_init(&w->clock);
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
    if (w->config.figures && w->config.stats && asq__stats_new(w, &w->stats) < 0)
        return asq__err(err, errlen, ASQ_ENOMEM, "out of memory");
    if (asq__spans_begin(w, err, errlen) < 0)
        return ASQ_EINVAL;
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
    rc = asq__process_connect(w, err, errlen);
    if (rc < 0)
        return rc;
    struct asq__engine_config engine = { .redis = w->redis,
                                         .client = w->client,
                                         .client_number = w->client_number,
                                         .record_ms = asq__commit_record_ms(w, true),
                                         .kept_ms = asq__commit_record_ms(w, false),
                                         .failover_ms =
                                             w->config.wait_replicas ? 0 : ASQ__FAILOVER_MS,
                                         .lost = on_lost,
                                         .lost_outcomes = on_lost_outcomes,
                                         .holds = on_holds,
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
        asq__spans_end(w);
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
    asq__stats_free(w->stats);
    asq__spans_end(w);
    asq__readers_release(w);
    asq__commits_release(w);
    asq__partitions_release(w);
    asq__members_free(w->members);
    asq__cmd_release(&w->commit_cmd);
    asq__timed_release(&w->spare_timed);
    asq__pool_free(w->pool);
    asq__handles_release(w);
    if (w->loop)
        ev_loop_destroy(w->loop);
    pthread_mutex_lock(&w->untaken_failures_lock);
    asq__tally_log_due(&w->untaken_failures, asq__now_ms_coarse(), true);
    asq__tally_release(&w->untaken_failures);
    pthread_mutex_unlock(&w->untaken_failures_lock);
    asq__handovers_release(w);
    asq__pause_release(w);
    asq__needs_release(w);
    asq__worker_pools_release(w);
    asq__takeovers_release(w);
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
                                .publish = asq__live_hand_over,
                                .log = log_method,
                                .log_user = w };
    asq__lines_init(&w->lines, config->log || config->log_fields ? asq__process_log_line : NULL, w);
    asq__cmd_init(&w->commit_cmd);
    asq__list_init(&w->readers_due);
    asq__list_init(&w->ready);
    asq__list_init(&w->postponed);
    asq__list_init(&w->due);
    asq__list_init(&w->moved);
    w->run_hooks = &asq__dispatch_run_hooks;
    w->mailbox_hooks = &asq__dispatch_hooks;
    w->cancel = asq__wcall_cancel;
    w->take_returned = asq__intake_returned;
    asq__list_init(&w->fetching);
    asq__emits_init(w);
    asq__list_init(&w->leaving);
    asq__list_init(&w->result_reads);
    asq__list_init(&w->inputs_waiting);
    asq__list_init(&w->inputs_admitted);
    asq__list_init(&w->claims);
    asq__list_init(&w->fenced);
    asq__list_init(&w->drained);
    asq__list_init(&w->stuck_actors);
    w->started_ms = asq__now_ms();
    asq__actor_memory_init(w);
    asq__handovers_init(w);
    asq__tally_init(&w->untaken_failures, log_failure, w);
    pthread_mutex_init(&w->untaken_failures_lock, NULL);
    int rc = set_up(w, err, errlen);
    if (rc == 0) {
        set_title(w);
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
