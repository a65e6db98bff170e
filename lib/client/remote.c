/*
 * remote.c: the mode in which agents live in workers that are reached through Redis. A handle has a
 * libev loop of its own that runs only during waits, or uses a loop of the caller's; the engine
 * does the rest.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client/class.h"
#include "client/engine.h"
#include "client/handle.h"
#include "client/keeper.h"
#include "client/own_stats.h"
#include "client/progress.h"
#include "client/pools.h"
#include "client/remote.h"
#include "redis/barrier.h"
#include "redis/conn.h"
#include "redis/keys.h"
#include "redis/lookup.h"
#include "redis/redis.h"
#include "redis/redis_clock.h"
#include "redis/tls.h"
#include "redis/trouble.h"
#include "redis/url.h"
#include "value/buf.h"
#include "value/clock.h"
#include "value/error.h"
#include "value/fd.h"
#include "value/list.h"
#include "value/msg.h"
#include "value/pools.h"
#include "value/random.h"
#include "value/tally.h"

enum { PUMP_EVERY = 64 };
/* A call waits that long for creations which hold it; later the loop has to run for it to leave. */
enum { HELD_MS = 1000 };

struct remote {
    asq *h;
    struct ev_loop *loop, *own_loop;
    struct asq__redis *redis;
    struct asq__engine *engine;
    struct asq__keeper *keeper; /* of the handle's key; NULL: no agent ends with it */
    struct asq__url url;
    char client[17];
    uint64_t client_number;
    ev_prepare prepare; /* attached: runs the callbacks that are due */
    bool attached, was_up;
    bool no_time_logged, plain_logged;
    bool quiet; /* do not log a lost connection */
    struct asq__trouble away;
    unsigned since_pump;
    int64_t unwritten_since_ms; /* oldest unwritten call of a callback; coarse; 0: none */
    struct asq__registry
        known;   /* name and pool of classes, if the workers were started elsewhere */
    pid_t owner; /* processes forked from it share the connection, and must not use it */
    int failure; /* while opening */
    char why[800];
    int (*before_use)(asq *h, void *user);
    void (*at_close)(asq *h, void *user);
    void *user;
};

/* ---- warnings ---- */

static void warn_plain(struct remote *r)
{
    if (!r->plain_logged)
        asq__log(r->h, ASQ_LOG_WARNING, "%s", asq__url_plain_text);
    r->plain_logged = true;
}

/* Warns before a password goes to another host's address as plain text. The address of a name is
 * known once the connection is up. */
static void warn_plain_address(struct remote *r)
{
    struct asq__address address;
    if (asq__url_has_plain_password(&r->url) && !r->url.sentinels &&
        asq__address_parse(r->url.host, r->url.port, &address) &&
        !asq__address_is_local((const void *) &address.sockaddr))
        warn_plain(r);
}

/* ---- events ---- */

static void on_up(struct asq__redis *redis, void *user)
{
    struct remote *r = user;
    (void) redis;
    char text[ASQ__TROUBLE_TEXT];
    if (asq__trouble_over(&r->away, asq__now_ms(), text) && r->was_up)
        asq__log(r->h, ASQ_LOG_INFO, "connected to Redis again%s", text);
    if (!asq__redis_clock(r->redis)->known && !r->no_time_logged) {
        asq__log(
            r->h, ASQ_LOG_WARNING,
            "Redis does not let this user ask for its TIME: deadlines and delays of calls count "
            "from when a worker reads them");
        r->no_time_logged = true;
    }
    if (!r->was_up && asq__url_has_plain_password(&r->url) &&
        !asq__conn_is_local(asq__redis_home(r->redis)))
        warn_plain(r);
    r->was_up = true;
    asq__engine_up(r->engine);
}

static void on_down(struct asq__redis *redis, int code, const char *why, void *user)
{
    struct remote *r = user;
    (void) redis;
    char text[ASQ__TROUBLE_TEXT];
    if (!r->failure) {
        r->failure = code == ASQ_EBUSY ? 0 : code; /* ASQ_EBUSY passes: asq_open goes on waiting */
        snprintf(r->why, sizeof r->why, "%s", why);
    }
    if (r->engine)
        asq__engine_down(r->engine);
    if (r->was_up && !r->quiet && asq__trouble_note(&r->away, why, asq__now_ms(), text))
        asq__log(r->h, ASQ_LOG_WARNING, "Redis is away: %s; calls are kept and sent again", text);
}

static void on_home_up(struct asq__redis *redis, void *user)
{
    struct remote *r = user;
    char text[ASQ__TROUBLE_TEXT];
    if (asq__redis_serves_all(redis) && asq__trouble_over(&r->away, asq__now_ms(), text))
        asq__log(r->h, ASQ_LOG_INFO, "connected to all nodes of the Cluster again%s", text);
}

static void on_parts_up(struct asq__redis *redis, const bool *parts, void *user)
{
    struct remote *r = user;
    on_home_up(redis, user);
    asq__engine_parts_up(r->engine, parts);
}

static void on_parts_down(struct asq__redis *redis, const bool *parts, int code, const char *why,
                          void *user)
{
    struct remote *r = user;
    char text[ASQ__TROUBLE_TEXT];
    (void) redis, (void) code;
    asq__engine_parts_down(r->engine, parts);
    if (!r->quiet && asq__trouble_note(&r->away, why, asq__now_ms(), text))
        asq__log(r->h, ASQ_LOG_WARNING,
                 "a part of Redis is away: %s; calls to its agents are kept and sent again", text);
}

static void on_redis_log(struct asq__redis *redis, asq_log_level level, const char *text,
                         void *user)
{
    const struct remote *r = user;
    (void) redis;
    if (!r->quiet)
        asq__log(r->h, level, "%s", text);
}

static void know_pools(struct remote *r)
{
    r->h->pools = asq__redis_pools(r->redis);
    r->h->partitions = r->h->pools->partitions;
}

static void on_namespace(struct asq__redis *redis, enum asq__namespace_event what, uint32_t before,
                         void *user)
{
    struct remote *r = user;
    const char *ns = r->h->ns ? r->h->ns : "";
    if (what == ASQ__NAMESPACE_DOTTED) {
        asq__log(
            r->h, ASQ_LOG_WARNING,
            "the name of namespace '%s' has dots: patterns for the keys of another namespace may "
            "reach it; new ones cannot have any",
            asq__redis_keys(redis)->ns);
        return;
    }
    if (what == ASQ__NAMESPACE_MOVED) {
        asq__log(r->h, ASQ_LOG_WARNING,
                 "the server of namespace '%s' is %s now: it was replaced. Calls under way end in "
                 "errors",
                 ns, asq__redis_is_cluster(redis) ? "a node of a Cluster" : "no Cluster");
        asq__engine_renew(r->engine);
        return;
    }
    if (what == ASQ__NAMESPACE_GROWN) {
        know_pools(r);
        asq__engine_grow(r->engine);
        return;
    }
    if (what != ASQ__NAMESPACE_CHANGED) {
        asq__log(r->h, ASQ_LOG_WARNING,
                 "asq:{%s}:meta was gone, or had impossible values, and is restored: %u partitions",
                 ns, before);
        return;
    }
    asq__log(r->h, ASQ_LOG_WARNING,
             "namespace '%s' has %u partitions now, not %u: it was made anew. Calls under way end "
             "in errors",
             ns, asq__redis_partitions(redis), before);
    know_pools(r);
    asq__engine_renew(r->engine);
}

static void on_push(struct asq__redis *redis, int channel, const void *payload, size_t n,
                    void *user)
{
    struct remote *r = user;
    (void) redis;
    (void) channel;
    if (!n)
        return;
    r->h->own_stats->arrived_ns = asq__now_ns();
    asq__engine_push(r->engine, payload, n);
    r->h->own_stats->arrived_ns = 0;
}

static void on_heard(struct asq__redis *redis, uint32_t partition, bool now, void *user)
{
    struct remote *r = user;
    (void) redis;
    asq__engine_heard(r->engine, partition, now);
}

static void on_timer(struct ev_loop *loop, ev_timer *w, int revents)
{
    (void) loop; /* the timer only ends ev_run's wait */
    (void) w;
    (void) revents;
}

static void flush(struct remote *r)
{
    r->unwritten_since_ms = 0;
    asq__engine_flush(r->engine);
}

/* Sends calls. Calls made by callbacks are written together after the due callbacks, or when the
 * coarse clock has moved on. */
static void flush_soon(struct remote *r)
{
    int64_t now = asq__now_ms_coarse();
    if (!r->h->in_callbacks || (r->unwritten_since_ms && r->unwritten_since_ms != now)) {
        flush(r);
        return;
    }
    r->unwritten_since_ms = now;
    asq__engine_send(r->engine);
}

static void log_keeper(struct remote *r)
{
    asq_log_level level;
    char text[ASQ__KEEPER_LINE];
    if (asq__keeper_line(r->keeper, &level, text) && !r->quiet)
        asq__log(r->h, level, "%s", text);
}

/* ---- the mode ---- */

/* Runs the loop once, for at most wait_ms (0: only processes pending events; ASQ_FOREVER). */
static void pump(struct remote *r, int64_t wait_ms)
{
    struct ev_loop *loop = r->loop; /* a callback may attach another, or detach this one */
    ev_timer timer;
    r->since_pump = 0;
    ev_timer_init(&timer, on_timer, (double) wait_ms / 1000, 0.);
    if (wait_ms > 0) {
        ev_now_update(loop);
        ev_timer_start(loop, &timer);
    }
    ev_run(loop, wait_ms == 0 ? EVRUN_NOWAIT : EVRUN_ONCE);
    ev_timer_stop(loop, &timer);
}

/* Sees that calls leave which are held for agents that they have got (creations.h). The program
 * need not enter the library again for what it has called to run. */
static void send_held(struct remote *r)
{
    if (r->attached || r->h->in_callbacks || !asq__engine_holds_briefly(r->engine))
        return;
    int64_t deadline = asq__deadline_ms(HELD_MS), left;
    while (asq__engine_holds_briefly(r->engine) && (left = deadline - asq__now_ms()) > 0)
        pump(r, left);
    asq__engine_hold_longer(r->engine);
    asq__engine_flush(r->engine);
}

static void run_callbacks(struct remote *r)
{
    asq *h = r->h;
    if (r->h->in_callbacks)
        return;
    if (r->keeper)
        log_keeper(r);
    if (h->failures.n)
        asq__tally_log_due(&h->failures, asq__now_ms_coarse(), false);
    asq__handle_enter(h);
    r->h->in_callbacks = true;
    asq__handle_run_callbacks(h);
    r->h->in_callbacks = false;
    if (r->unwritten_since_ms) {
        flush(r);
        send_held(r);
    }
    asq__handle_leave(h);
}

static void on_prepare(struct ev_loop *loop, ev_prepare *w, int revents)
{
    (void) loop;
    (void) revents;
    run_callbacks(w->data);
}

static int wait_for(struct remote *r, bool (*ready)(void *arg), void *arg, int64_t timeout_ms)
{
    asq *h = r->h;
    int64_t deadline = asq__deadline_ms(timeout_ms);
    if (r->attached && r->h->in_callbacks && timeout_ms != 0)
        return asq__fail(h, ASQ_ESTATE,
                         "a wait inside a callback of an attached loop would stop the loop; use "
                         "asq_result_then");
    flush(r);
    for (bool first = true;; first = false) {
        if (!r->h->in_callbacks)
            run_callbacks(r);
        if (ready(arg))
            return 0;
        if (h->closed)
            return asq__fail(h, ASQ_ECLOSED, "a callback closed the handle");
        int64_t left = ASQ_FOREVER;
        if (timeout_ms >= 0) {
            left = timeout_ms == 0 ? 0 : deadline - asq__now_ms();
            if (left <= 0 && !(first && timeout_ms == 0))
                return ASQ_ETIMEOUT;
        }
        if (r->attached && r->h->in_callbacks)
            return ASQ_ETIMEOUT; /* the attached loop will process further events */
        pump(r, left);
        if (timeout_ms == 0 && !first)
            return ASQ_ETIMEOUT;
    }
}

static int remote_wait(asq *h, bool (*ready)(void *arg), void *arg, int64_t timeout_ms)
{
    asq__handle_enter(h);
    int rc = wait_for(h->impl, ready, arg, timeout_ms);
    asq__handle_leave(h);
    return rc;
}

/* Counts a call without a result that has failed, or that Redis or the owner of a full partition
 * has refused. */
static void note_unwatched(const asq_result *res, const Asqueue__Result *result,
                           const asq_error *error)
{
    asq_error failure;
    bool refused = error != NULL;
    if (!error && result->failure) {
        asq__failure_to_error(result->failure, &failure);
        error = &failure;
        refused = result->failure->refused;
    }
    if (!error || error->code == ASQ_ECLOSED)
        return;
    if (refused)
        asq__handle_note_loss(res->h, error);
    else
        asq__handle_note_failure(res->h, res, error);
}

static void call_done(struct asq__call *call, const Asqueue__Result *result, const asq_error *error)
{
    asq_result *res = ASQ__CONTAINER(call, asq_result, call);
    res->refused = error ? error->code == ASQ_EBUSY : result->failure && result->failure->refused;
    if (res->unwatched)
        note_unwatched(res, result, error);
    asq__result_note_freed(res);
    if (result && result->failure && result->failure->code == ASQ_EPROTO) {
        struct remote *r = res->h->impl; /* the number of partitions may have changed */
        asq__redis_refresh_meta(r->redis);
    }
    if (result)
        asq__result_set_message(res, result);
    else
        asq__result_set(res, NULL, error);
    res->h->ncompleted++;
    asq__result_queue_callback(res);
    asq__result_unref(res); /* the engine's reference */
}

static int run_before_use(asq *h, struct remote *r)
{
    int (*before_use)(asq *, void *) = r->before_use;
    if (!before_use)
        return 0;
    int rc = before_use(h, r->user);
    if (rc == 0)
        r->before_use = NULL;
    return rc;
}

/* For the visit of a call's arguments. */
struct referring {
    const asq *h;
    const struct asq__engine *engine;
    asq_result *r;
    bool no_memory;
};

static bool note_agent(void *user, const char *id)
{
    struct referring *q = user;
    asq_result *r = q->r;
    uint32_t p;
    if (!asq__pools_place(q->h->pools, id, &p) || !asq__engine_creates_in(q->engine, p))
        return false;
    for (uint32_t i = 0; i < r->n_awaited; i++)
        if (r->awaited[i] == p)
            return false;
    uint32_t *longer = realloc(r->awaited, (r->n_awaited + 1) * sizeof *longer);
    if (longer) {
        r->awaited = longer;
        r->awaited[r->n_awaited++] = p;
    }
    q->no_memory = !longer;
    return q->no_memory;
}

static int remote_await_agents(asq *h, const asq_value *args, asq_result *r)
{
    const struct remote *remote = h->impl;
    struct referring q = { .h = h, .engine = remote->engine, .r = r };
    if (asq__engine_creates(remote->engine))
        asq__value_has_agent(args, note_agent, &q);
    return q.no_memory ? asq__fail_memory(h) : 0;
}

static int remote_submit(asq *h, asq_result **results, size_t n)
{
    struct remote *r = h->impl;
    int rc = run_before_use(h, r);
    size_t i;
    for (i = 0; i < n && rc == 0; i++) {
        asq_result *res = results[i];
        res->call.done = call_done;
        const struct asq__new_call new_call = { .partition = res->partition,
                                                .label = res->label,
                                                .job = &res->job,
                                                .timed = res->timed,
                                                .creates = res->creates,
                                                .awaited = res->awaited,
                                                .n_awaited = res->n_awaited };
        rc = asq__engine_add(r->engine, &new_call, &res->call, &res->id);
        if (rc < 0)
            break;
        asq__result_ref(res);
        asq__buf_release(&res->job);
        free(res->awaited);
        res->awaited = NULL;
        res->n_awaited = 0;
        if (++r->since_pump >= PUMP_EVERY && !r->attached && !r->h->in_callbacks)
            pump(r, 0);
    }
    if (rc < 0) {
        /* Calls that this statement has already sent cannot be undone; abandon them. */
        for (size_t k = 0; k < i; k++) {
            if (results[k]->call.batch) {
                asq__engine_abandon(r->engine, &results[k]->call);
                asq__result_unref(results[k]);
            }
        }
        if (*h->error.pub.message == '\0' || rc == ASQ_EBUSY || rc == ASQ_ENOMEM)
            asq__fail(h, rc, "%s",
                      rc == ASQ_EBUSY ? "too many calls are unfinished; wait for some of them"
                                      : asq_strerror(rc));
        return rc;
    }
    if (!h->corked) {
        flush_soon(r);
        send_held(r);
    }
    return 0;
}

static int remote_flush(asq *h)
{
    flush(h->impl);
    send_held(h->impl);
    return 0;
}

static bool remote_accepted(asq *h)
{
    struct remote *r = h->impl;
    return asq__engine_accepted(r->engine);
}

static int remote_attach(asq *h, asq_result *res)
{
    struct remote *r = h->impl;
    int rc = run_before_use(h, r);
    if (rc < 0)
        return rc;
    res->call.done = call_done;
    asq__result_ref(res);
    rc = asq__engine_await(r->engine, &res->id, &res->call);
    if (rc < 0) {
        asq__result_unref(res);
        return asq__fail(h, rc, "call %s: %s", asq__result_id_text(res), asq_strerror(rc));
    }
    return 0;
}

static void remote_keep(asq *h, asq_result *res)
{
    struct remote *r = h->impl;
    asq__engine_keep(r->engine, &res->call);
}

static int remote_cancel(asq *h, asq_result *res)
{
    struct remote *r = h->impl;
    asq__engine_flush(r->engine);
    int rc = asq__engine_cancel(r->engine, &res->id);
    asq__engine_flush(r->engine);
    return rc < 0 ? asq__fail(h, rc, "cancelling call %s: %s", asq__result_id_text(res),
                              asq_strerror(rc))
                  : 0;
}

static void emitted_arrived(struct asq__progress *p)
{
    if (p->fn)
        asq__emit_due(ASQ__CONTAINER(p->call, asq_result, call));
}

static void release_emitted(struct asq__progress *p)
{
    asq__result_unref(ASQ__CONTAINER(p->call, asq_result, call));
}

static int remote_read_emitted(asq *h, asq_result *res)
{
    struct remote *r = h->impl;
    res->progress->arrived = emitted_arrived;
    res->progress->release = release_emitted;
    asq__result_ref(res);
    asq__progress_want(r->engine, res->progress, asq__result_is_done(res));
    return 0;
}

static void remote_drop_emitted(asq *h, asq_result *res)
{
    (void) h;
    asq__progress_drop(res->progress);
}

static void remote_forget_emitted(asq *h, asq_result *res)
{
    struct remote *r = h->impl;
    asq__engine_forget_emitted(r->engine, &res->id);
}

static int remote_keep_key(asq *h, uint64_t *ret)
{
    struct remote *r = h->impl;
    char why[500];
    int rc = run_before_use(h, r); /* workers are forked before there are threads */
    if (rc == 0 && !r->keeper) {
        rc = asq__keeper_new(&r->url, asq__redis_keys(r->redis), r->client, &r->keeper, why,
                             sizeof why);
        if (rc < 0)
            asq__fail(h, rc, "agents cannot end with this handle: %s", why);
    }
    *ret = r->client_number;
    return rc;
}

static int remote_attach_ev(asq *h, struct ev_loop *loop)
{
    struct remote *r = h->impl;
    if (loop ? r->attached : !r->attached)
        return asq__fail(h, ASQ_ESTATE,
                         loop ? "a loop is attached already" : "no loop is attached");
    if (r->attached)
        ev_prepare_stop(r->loop, &r->prepare);
    r->attached = loop != NULL;
    r->loop = loop ? loop : r->own_loop;
    asq__redis_set_loop(r->redis, r->loop);
    asq__engine_set_loop(r->engine, r->loop);
    if (r->attached)
        ev_prepare_start(r->loop, &r->prepare);
    return 0;
}

static void remote_free(struct remote *r)
{
    asq__keeper_free(r->keeper);
    if (r->attached)
        ev_prepare_stop(r->loop, &r->prepare);
    asq__engine_free(r->engine);
    asq__redis_free(r->redis);
    if (r->own_loop)
        ev_loop_destroy(r->own_loop);
    asq__registry_release(&r->known);
    asq__url_release(&r->url);
    free(r);
}

/* Waits until Redis has accepted all calls, because it may be away for a moment. */
static int wait_until_taken(asq *h, struct remote *r)
{
    size_t unsent, unknown;
    int64_t deadline = asq__deadline_ms(h->close_timeout_ms > 0 ? h->close_timeout_ms : 0);
    asq__engine_flush(r->engine);
    for (int64_t left; !remote_accepted(h) && (left = deadline - asq__now_ms()) > 0;) {
        if (r->at_close && !asq__redis_is_up(r->redis))
            break; /* a private server does not come back */
        pump(r, left);
    }
    asq__engine_count_unaccepted(r->engine, &unsent, &unknown);
    if (unsent + unknown == 0)
        return 0;
    asq__fail(h, ASQ_ECONN, "asq_close: %zu call%s lost: Redis has not taken %s within %lld ms%s",
              unsent + unknown, unsent + unknown == 1 ? " is" : "s are",
              unsent + unknown == 1 ? "it" : "them",
              (long long) (h->close_timeout_ms > 0 ? h->close_timeout_ms : 0),
              unknown ? "; Redis has not answered for some that were sent; they may still run"
                      : "");
    asq__log(h, ASQ_LOG_ERROR, "%s", h->error.pub.message);
    return ASQ_ECONN;
}

static int remote_close(asq *h)
{
    struct remote *r = h->impl;
    int rc = 0;
    bool own = r->owner == getpid();
    if (!own) { /* the parent still uses this connection */
        r->quiet = true;
        asq__redis_drop(r->redis, "not in a forked process");
    }
    if (r->attached) /* asq_close must not run other watchers of the program's loop */
        remote_attach_ev(h, NULL);
    if (own)
        rc = wait_until_taken(h, r);
    r->quiet = true; /* the connection is about to be closed */
    asq__keeper_free(r->keeper);
    r->keeper = NULL;
    if (r->at_close)
        r->at_close(h, r->user);
    h->registry = NULL;
    remote_free(r);
    h->impl = NULL;
    return rc;
}

const struct asq__mode asq__remote_mode = {
    .name = "remote",
    .submit = remote_submit,
    .await_agents = remote_await_agents,
    .wait = remote_wait,
    .flush = remote_flush,
    .accepted = remote_accepted,
    .attach = remote_attach,
    .keep = remote_keep,
    .cancel = remote_cancel,
    .attach_ev = remote_attach_ev,
    .read_emitted = remote_read_emitted,
    .drop_emitted = remote_drop_emitted,
    .forget_emitted = remote_forget_emitted,
    .keep_key = remote_keep_key,
    .ask_pools = asq__remote_ask_pools,
    .unseen = asq__handle_note_unseen,
    .close = remote_close,
};

bool asq__remote_starts_workers(asq *h)
{
    const struct remote *r = h->impl;
    return r->at_close != NULL; /* which ends them */
}

struct asq__redis *asq__remote_redis(asq *h)
{
    return ((struct remote *) h->impl)->redis;
}

struct asq__engine *asq__remote_engine(asq *h)
{
    return ((struct remote *) h->impl)->engine;
}

bool asq__remote_has_named_user(asq *h)
{
    const char *user = ((struct remote *) h->impl)->url.user;
    return user && *user && strcmp(user, "default") != 0;
}

void asq__remote_pump(asq *h, int64_t wait_ms)
{
    pump(h->impl, wait_ms);
}

int asq__remote_ready(asq *h)
{
    return run_before_use(h, h->impl);
}

/* ---- opening ---- */

int asq__remote_open(asq *h, const struct asq__url *url, const char *ns, const asq_options *options,
                     int (*before_use)(asq *h, void *user), void (*at_close)(asq *h, void *user),
                     void *user, char *err, size_t errlen)
{
    char name[64];
    int64_t timeout_ms = options->connect_timeout_ms > 0 ? options->connect_timeout_ms : 5000;
    int64_t deadline = asq__deadline_ms(timeout_ms);
    int64_t wait_timeout_ms =
        options->wait_timeout_ms ? options->wait_timeout_ms : ASQ__WAIT_TIMEOUT_MS;
    int rc = asq__wait_check(options->wait_replicas, wait_timeout_ms, err, errlen);
    if (rc < 0)
        return rc;
    struct remote *r = calloc(1, sizeof *r);
    if (!r)
        return asq__err(err, errlen, ASQ_ENOMEM, "out of memory");
    r->h = h;
    r->owner = getpid();
    rc = asq__url_copy(&r->url, url);
    if (rc < 0) {
        free(r);
        return asq__err(err, errlen, rc, "out of memory");
    }
    rc = asq__registry_init(&r->known);
    if (rc < 0) {
        asq__err(err, errlen, rc, "out of memory");
        goto fail;
    }
    if (asq__random(&r->client_number, sizeof r->client_number) < 0) {
        rc = asq__err(err, errlen, ASQ_ESYS, "getrandom: %s", strerror(errno));
        goto fail;
    }
    warn_plain_address(r);
    snprintf(r->client, sizeof r->client, "%016llx", (unsigned long long) r->client_number);
    snprintf(name, sizeof name, "asqueue-client-%ld", (long) getpid());
    struct asq__fd_fence fence;
    asq__fd_fence_begin(&fence);
    r->own_loop = r->loop = ev_loop_new(EVFLAG_AUTO | EVFLAG_NOENV);
    asq__fd_fence_end(&fence);
    if (!r->loop) {
        rc = asq__err(err, errlen, ASQ_ESYS, "libev cannot make an event loop");
        goto fail;
    }
    ev_prepare_init(&r->prepare, on_prepare);
    r->prepare.data = r;
    struct asq__redis_config config = {
        .loop = r->loop,
        .url = &r->url,
        .ns = ns,
        .name = name,
        .partitions = options->partitions,
        .channels = { r->client, NULL },
        .wait_replicas = options->wait_replicas,
        .wait_timeout_ms = wait_timeout_ms,
        .connect_timeout_ms = timeout_ms,
        .once = true,
        .up = on_up,
        .down = on_down,
        .parts_up = on_parts_up,
        .parts_down = on_parts_down,
        .home_up = on_home_up,
        .push = on_push,
        .heard = on_heard,
        .namespace_event = on_namespace,
        .log = on_redis_log,
        .user = r,
    };
    rc = asq__redis_new(&config, &r->redis, err, errlen);
    if (rc < 0)
        goto fail;
    struct asq__engine_config engine = { .redis = r->redis,
                                         .client = r->client,
                                         .client_number = r->client_number,
                                         .log = options->log ? asq__log_text : NULL,
                                         .log_user = h };
    rc = asq__engine_new(&engine, &r->engine);
    if (rc < 0) {
        asq__err(err, errlen, rc, "out of memory");
        goto fail;
    }
    for (bool tried = false; !asq__redis_is_up(r->redis) && !r->failure; tried = true) {
        int64_t left = deadline - asq__now_ms();
        if (left <= 0 && tried) {
            if (!*r->why)
                asq__redis_give_up(r->redis);
            r->failure = ASQ_ECONN;
            if (!*r->why)
                snprintf(r->why, sizeof r->why, "no answer within %lld ms", (long long) timeout_ms);
            break;
        }
        pump(r, left > 0 ? left : 0);
    }
    if (r->failure) {
        char *where = asq__url_format(url, true);
        rc = asq__err(err, errlen, r->failure, "%s: %s", where ? where : "Redis", r->why);
        free(where);
        goto fail;
    }
    if (url->tls && url->tls_verify == ASQ__TLS_VERIFY_NO)
        asq__log(h, ASQ_LOG_WARNING, "%s", asq__url_unverified_text);
    r->before_use = before_use;
    r->at_close = at_close;
    r->user = user;
    know_pools(r);
    h->registry = &r->known;
    h->classes_elsewhere = !at_close;
    h->impl = r;
    return 0;
fail:
    remote_free(r);
    return rc;
}
