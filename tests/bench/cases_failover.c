/*
 * cases_failover.c: the case failover: a master of a Redis Cluster is killed under a light load.
 * Measured are the time until its replica leads, which is Redis' own; the time until calls to all
 * agents of the node go on; and how long calls to agents of the other nodes take meanwhile.
 */
#include "bench.h"
#include "floor.h"

#include <asqueue.h>
#include <errno.h>
#include <hiredis/hiredis.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    MASTERS = 3,
    TIMEOUT_MS = 2000, /* after which nodes believe that another one fails */
    MORE_S = 2,        /* the bar: as much later */
    AGENTS = 256,
    GAP_MS = 50, /* between two calls to an agent */
    ASK_MS = 20,
    LIMIT_S = 60,
    MAX_SAMPLES = 1 << 18
};

/* Measured by a client process, in seconds after the death: extra[…] of its outcome. */
enum { LEADS, GOES_ON, BEFORE_US, DURING_US };
#define AFTER_S .3 /* the floor goes on for so long, as calls do until all agents go on */

struct called {
    asq_agent *agent;
    asq_result *result; /* under way; NULL: none */
    bool is_lost;       /* of the node that is killed */
    double sent, next;
    double first; /* result of a call that was made after the death; 0: none yet */
};

struct scene {
    asq *h;
    const struct deployment *d;
    int victim;
    pid_t watcher;
    int watched;   /* readable once the victim's replica leads */
    double killed; /* 0: not yet */
    struct called agents[AGENTS];
    size_t nbefore, nduring; /* samples, µs, of the other nodes' agents */
    double *before, *during;
};

static struct scene scene; /* a client has one, and callbacks need its parts */

static void check(int rc, const char *what)
{
    if (rc < 0)
        fail_client("%s: %s (%s)", what, asq_errmsg(scene.h), asq_error_name(rc));
}

static void add_sample(double sent, double now)
{
    if (scene.killed <= 0) {
        if (scene.nbefore < MAX_SAMPLES)
            scene.before[scene.nbefore++] = (now - sent) * 1e6;
    } else if (scene.nduring < MAX_SAMPLES) {
        scene.during[scene.nduring++] = (now - sent) * 1e6;
    }
}

static void on_result(asq_result *r, void *user)
{
    struct called *c = user;
    double now = now_s();
    if (asq_result_error(r)->code)
        fail_client("a call failed: %s", asq_result_error(r)->message);
    asq_result_free(r);
    c->result = NULL;
    c->next = now + GAP_MS / 1000.;
    if (!c->is_lost)
        add_sample(c->sent, now);
    else if (scene.killed > 0 && c->sent > scene.killed && c->first <= 0)
        c->first = now;
}

/* Calls each agent whose time has come, for some time or until `until` says that it is enough. */
static void call_for(double seconds, bool (*until)(void))
{
    for (double end = now_s() + seconds; now_s() < end && !(until && until());) {
        for (int i = 0; i < AGENTS; i++) {
            struct called *c = &scene.agents[i];
            if (c->result || now_s() < c->next)
                continue;
            c->sent = now_s();
            check(asq_call(c->agent, "noop", &c->result, "[y#]", "x", (size_t) 1), "call");
            check(asq_result_then(c->result, on_result, c), "then");
        }
        if (asq_poll(scene.h, 1) < 0)
            fail_client("poll: %s", asq_errmsg(scene.h));
    }
}

/* Marks the agents whose partitions the victim has. */
static void mark_lost(void)
{
    int n = 0;
    for (uint32_t p = 0; p < scene.d->partitions; p++) {
        char command[64];
        snprintf(command, sizeof command, "HKEYS asq:{default.%u}:agents", p);
        redisReply *reply = ask_server(&scene.d->servers[scene.victim], command);
        for (size_t i = 0; reply && reply->type == REDIS_REPLY_ARRAY && i < reply->elements; i++)
            for (int k = 0; k < AGENTS; k++)
                if (strcmp(asq_agent_id(scene.agents[k].agent), reply->element[i]->str) == 0)
                    scene.agents[k].is_lost = true;
        if (reply)
            freeReplyObject(reply);
    }
    for (int k = 0; k < AGENTS; k++)
        n += scene.agents[k].is_lost;
    if (n == 0 || n == AGENTS)
        fail_client("%d of %d agents are on the node", n, AGENTS);
}

/* Asks the victim's replica now and then, until it leads; arg: where a byte tells of that. */
static int watch_replica(const void *arg)
{
    const struct server *replica = &scene.d->servers[scene.victim + scene.d->masters];
    for (bool yes = false; !yes; usleep(ASK_MS * 1000)) {
        redisReply *reply = ask_server(replica, "INFO replication");
        yes = reply && reply->type == REDIS_REPLY_STRING && strstr(reply->str, "role:master");
        if (reply)
            freeReplyObject(reply);
    }
    return write(*(const int *) arg, "", 1) == 1 ? 0 : 1;
}

/* Starts a process that asks, from before the death, because the calls must not wait for it. */
static void start_watcher(void)
{
    int ends[2];
    if (pipe(ends) < 0)
        fail_client("pipe: %s", strerror(errno));
    scene.watched = ends[0];
    scene.watcher = spawn_fn(watch_replica, &ends[1]);
    close(ends[1]);
}

static bool leads(void)
{
    struct pollfd fd = { .fd = scene.watched, .events = POLLIN };
    return poll(&fd, 1, 0) == 1;
}

static void end_watcher(void)
{
    end_process(scene.watcher);
    close(scene.watched);
}

static void kill_victim(void)
{
    scene.killed = now_s();
    kill(scene.d->servers[scene.victim].pid, SIGKILL);
}

static void begin(const struct deployment *d, const int *victim)
{
    scene = (struct scene){ .d = d, .victim = *victim };
    scene.before = malloc(MAX_SAMPLES * sizeof(double));
    scene.during = malloc(MAX_SAMPLES * sizeof(double));
    if (!scene.before || !scene.during)
        fail_client("out of memory");
}

static bool all_go_on(void)
{
    for (int i = 0; i < AGENTS; i++)
        if (scene.agents[i].is_lost && scene.agents[i].first <= 0)
            return false;
    return true;
}

static void await_all(void)
{
    for (int i = 0; i < AGENTS; i++)
        while (scene.agents[i].result)
            if (asq_poll(scene.h, 1000) < 0)
                fail_client("poll: %s", asq_errmsg(scene.h));
}

static double p99_of(double *us, size_t n)
{
    struct outcome o = { .p99_us = 0 };
    latencies(us, n, &o);
    return o.p99_us;
}

static void lose_master(const struct deployment *d, const void *victim, struct outcome *out)
{
    char err[200], id[32];
    begin(d, victim);
    if (asq_open(d->url, NULL, &scene.h, err, sizeof err) < 0)
        fail_client("%s", err);
    for (int i = 0; i < AGENTS; i++) {
        snprintf(id, sizeof id, "lost-%d", i);
        check(asq_create(scene.h, "Bench", id, &scene.agents[i].agent, NULL), "create");
    }
    for (int i = 0; i < AGENTS; i++)
        check(asq_ready(scene.agents[i].agent, LIMIT_S * 1000), "create");
    mark_lost();
    for (int i = 0; i < AGENTS; i++) /* not all at the same time */
        scene.agents[i].next = now_s() + (double) i / AGENTS * GAP_MS / 1000;
    start_watcher();
    call_for(warm_s(), NULL);
    scene.nbefore = 0;
    call_for(settings.span_s * 2, NULL);
    kill_victim();
    call_for(LIMIT_S, leads);
    out->extra[LEADS] = now_s() - scene.killed;
    call_for(LIMIT_S, all_go_on);
    if (!all_go_on())
        fail_client("calls do not go on within %d s", LIMIT_S);
    for (int i = 0; i < AGENTS; i++)
        if (scene.agents[i].first - scene.killed > out->extra[GOES_ON])
            out->extra[GOES_ON] = scene.agents[i].first - scene.killed;
    out->extra[BEFORE_US] = p99_of(scene.before, scene.nbefore);
    out->extra[DURING_US] = p99_of(scene.during, scene.nduring);
    out->calls = (double) (scene.nbefore + scene.nduring);
    out->seconds = now_s() - scene.killed;
    await_all();
    asq_close(scene.h);
    end_watcher();
}

/* ---- the floor: a bare client, without workers ---- */

enum { FLOOR_QUEUE = 1 << 16 };

/* The floor's connection to a master, and when the commands under way were sent, in a ring. */
struct floor_node {
    struct floor_conn conn;
    double sent[FLOOR_QUEUE], next;
    unsigned nsent, nanswered;
};

/* Sends each master as many commands as agents of it are called, for some time or until `until`. */
static void ask_for(struct floor_node *nodes, int n, double seconds, bool (*until)(void))
{
    static const char *const ping[] = { "PING" };
    const double gap = GAP_MS / 1000. / AGENTS * MASTERS;
    struct pollfd fds[MASTERS];
    for (double end = now_s() + seconds; now_s() < end && !(until && until());) {
        for (int i = 0; i < n; i++) {
            struct floor_node *node = &nodes[i];
            fds[i] = (struct pollfd){ node->conn.c->fd, POLLIN, 0 };
            if (now_s() < node->next || node->nsent - node->nanswered == FLOOR_QUEUE)
                continue;
            node->next = now_s() + gap;
            node->sent[node->nsent++ % FLOOR_QUEUE] = now_s();
            floor_command(&node->conn, 1, ping, NULL);
            floor_write(&node->conn);
        }
        redisReply *reply;
        poll(fds, (nfds_t) n, 1);
        for (int i = 0; i < n; i++)
            if (fds[i].revents)
                for (floor_read(&nodes[i].conn); (reply = floor_reply(&nodes[i].conn));) {
                    freeReplyObject(reply);
                    add_sample(nodes[i].sent[nodes[i].nanswered++ % FLOOR_QUEUE], now_s());
                }
    }
}

static void lose_master_bare(const struct deployment *d, const void *victim, struct outcome *out)
{
    static struct floor_node nodes[MASTERS];
    int n = 0;
    begin(d, victim);
    for (int i = 0; i < d->masters; i++)
        if (i != scene.victim)
            floor_connect(&nodes[n++].conn, d->servers[i].socket);
    start_watcher();
    ask_for(nodes, n, warm_s(), NULL);
    scene.nbefore = 0;
    ask_for(nodes, n, settings.span_s * 2, NULL);
    kill_victim();
    ask_for(nodes, n, LIMIT_S, leads);
    out->extra[LEADS] = now_s() - scene.killed;
    ask_for(nodes, n, AFTER_S, NULL);
    out->extra[BEFORE_US] = p99_of(scene.before, scene.nbefore);
    out->extra[DURING_US] = p99_of(scene.during, scene.nduring);
    out->calls = (double) (scene.nbefore + scene.nduring);
    out->seconds = now_s() - scene.killed;
    for (int i = 0; i < n; i++)
        floor_close(&nodes[i].conn);
    end_watcher();
}

static double leads_s(const struct outcome *o)
{
    return o->extra[LEADS];
}

static double goes_on_s(const struct outcome *o)
{
    return o->extra[GOES_ON];
}

static double after_s(const struct outcome *o)
{
    return o->extra[GOES_ON] - o->extra[LEADS];
}

static double during_us(const struct outcome *o)
{
    return o->extra[DURING_US];
}

static double during_ratio(const struct outcome *o)
{
    return o->extra[BEFORE_US] > 0 ? o->extra[DURING_US] / o->extra[BEFORE_US] : 0;
}

static void add_row(const char *who, const char *what, const struct contender *c, int rounds,
                    figure_fn fn, const char *unit, double at_most)
{
    struct row row = { .value = figure(c, rounds, fn), .unit = unit };
    snprintf(row.name, sizeof row.name, "%s: %s", who, what);
    row.bar = at_most > 0 ? AT_MOST : NO_BAR;
    row.bar_value = at_most;
    row.bar_on_value = fn == goes_on_s;
    if (fn == during_us) {
        snprintf(row.yardstick, sizeof row.yardstick, "before");
        row.ratio = figure(c, rounds, during_ratio);
    }
    table_add(&row);
}

/* Returns the master that has the keys of the namespace. */
static int home_of(const struct deployment *d)
{
    for (int i = 0; i < d->masters; i++) {
        redisReply *reply = ask_server(&d->servers[i], "EXISTS asq:{default}:meta");
        bool yes = reply && reply->type == REDIS_REPLY_INTEGER && reply->integer == 1;
        if (reply)
            freeReplyObject(reply);
        if (yes)
            return i;
    }
    die("no node has the keys of the namespace");
}

enum { FLOOR, MASTER, HOME, CONTENDERS };

void case_failover(void)
{
    static const char *const names[CONTENDERS] = { "floor: a master", "a master",
                                                   "that of the namespace" };
    int rounds = rounds_of(5, 2), victim;
    struct contender c[CONTENDERS];
    memset(c, 0, sizeof c);
    table_case("failover",
               "a master of 3 is killed; cluster-node-timeout 2 s; calls to 256 agents");
    for (int i = 0; i < CONTENDERS; i++)
        c[i] = (struct contender){ .name = names[i],
                                   .fn = i == FLOOR ? lose_master_bare : lose_master,
                                   .arg = &victim,
                                   .cpu = -1 };
    for (int r = 0; r < CONTENDERS * rounds; r++) {
        int i = r % CONTENDERS;
        struct contender *now = &c[i];
        struct deployment *d = deployment_start(&(struct deployment_options){
            .name = "failover",
            .alone = i == FLOOR,
            .nodes = MASTERS,
            .replicas = true,
            .node_timeout_ms = TIMEOUT_MS,
        });
        victim = i == FLOOR ? 1 : (home_of(d) + (i == MASTER)) % MASTERS;
        now->d = d;
        if (!now->failed && !run_clients(now, &now->rounds[r / CONTENDERS]))
            now->failed = true;
        deployment_stop(d);
    }
    for (int i = 0; i < CONTENDERS; i++) {
        add_row(names[i], "its replica leads", &c[i], rounds, leads_s, "s", 0);
        if (i != FLOOR) {
            add_row(names[i], "all agents go on", &c[i], rounds, goes_on_s, "s",
                    TIMEOUT_MS / 1000. + MORE_S);
            add_row(names[i], "after the replica leads", &c[i], rounds, after_s, "s", 0);
        }
        add_row(names[i], "others, p99", &c[i], rounds, during_us, "us", i == FLOOR ? 0 : 2);
    }
}
