/*
 * servers.c: the Redis servers of a deployment: one on a Unix socket, one on TCP as well, or the
 * nodes of a Redis Cluster, with a replica for each master if that is asked for. Each has a Unix
 * socket, too, by which the bench talks to it.
 */
#include "bench.h"

#include <errno.h>
#include <hiredis/hiredis.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { LIMIT_S = 60, MAX_ARGUMENTS = 48, SLOTS = 16384 };

struct arguments {
    char text[MAX_ARGUMENTS][128];
    char *argv[MAX_ARGUMENTS + 1];
    int n;
};

/* Adds the words of a line; "''" stands for an empty one. */
static void add(struct arguments *a, const char *fmt, ...)
{
    char line[512], *save = NULL;
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(line, sizeof line, fmt, ap);
    va_end(ap);
    for (char *word = strtok_r(line, " ", &save); word; word = strtok_r(NULL, " ", &save)) {
        if (a->n == MAX_ARGUMENTS)
            die("too many arguments");
        snprintf(a->text[a->n], sizeof a->text[0], "%s", strcmp(word, "''") == 0 ? "" : word);
        a->argv[a->n] = a->text[a->n];
        a->n++;
    }
}

static void check_reply(const redisReply *reply, const char *command)
{
    if (!reply || reply->type == REDIS_REPLY_ERROR)
        die("%s: %s", command, reply ? reply->str : "no answer");
}

static void tell(const struct server *s, const char *fmt, ...)
{
    char command[200];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(command, sizeof command, fmt, ap);
    va_end(ap);
    redisReply *reply = ask_server(s, command);
    check_reply(reply, command);
    freeReplyObject(reply);
}

/* Waits until the answer to a command has a text in it. */
static void wait_for(const struct server *s, const char *command, const char *text)
{
    for (double end = now_s() + LIMIT_S; now_s() < end; usleep(20000)) {
        redisReply *reply = ask_server(s, command);
        bool there = reply && reply->type == REDIS_REPLY_STRING && strstr(reply->str, text);
        if (reply)
            freeReplyObject(reply);
        if (there)
            return;
    }
    die("%s has no %s", command, text);
}

static bool has_tcp(const struct deployment_options *o)
{
    return o->tcp || o->nodes;
}

static void start_server(struct deployment *d, const struct deployment_options *o, int i)
{
    struct server *s = &d->servers[i];
    struct arguments a = { .n = 0 };
    char name[48], log[64];
    snprintf(name, sizeof name, "%.31s-%d", d->name, i);
    snprintf(s->socket, sizeof s->socket, "%.45s/%.40s.sock", run_dir(), name);
    snprintf(s->dir, sizeof s->dir, "%.60s/%.40s", run_dir(), name);
    if (mkdir(s->dir, 0700) < 0)
        die("%s: %s", s->dir, strerror(errno));
    s->port = has_tcp(o) ? free_port() : 0;
    add(&a, "redis-server --port %d --unixsocket %s --save '' --loglevel warning --dir %s", s->port,
        s->socket, s->dir);
    if (o->log)
        add(&a, "--appendonly yes --appendfsync %s", o->log);
    if (o->replicas)
        add(&a, "--repl-diskless-sync-delay 0");
    if (o->nodes) {
        do
            s->bus = free_port();
        while (s->bus == s->port);
        add(&a, "--cluster-enabled yes --cluster-port %d", s->bus);
        if (o->node_timeout_ms)
            add(&a, "--cluster-node-timeout %d --cluster-require-full-coverage no",
                o->node_timeout_ms);
    } else if (i >= d->masters) {
        add(&a, "--replicaof 127.0.0.1 %d", d->servers[0].port);
    }
    snprintf(log, sizeof log, "redis-%s", name);
    s->pid = spawn(log, a.argv);
    if (!wait_for_socket(s->socket, LIMIT_S))
        die("redis-server did not start (is it installed?); see %s.log", log);
}

/* Makes a Cluster of the servers. */
static void join(struct deployment *d)
{
    char known[48];
    for (int i = 0; i < d->nservers; i++) {
        tell(&d->servers[i], "CLUSTER SET-CONFIG-EPOCH %d", i + 1);
        if (i < d->masters)
            tell(&d->servers[i], "CLUSTER ADDSLOTSRANGE %d %d", SLOTS * i / d->masters,
                 SLOTS * (i + 1) / d->masters - 1);
        if (i > 0)
            tell(&d->servers[i], "CLUSTER MEET 127.0.0.1 %d %d", d->servers[0].port,
                 d->servers[0].bus);
    }
    for (int i = d->masters; i < d->nservers; i++) {
        redisReply *id = ask_server(&d->servers[i % d->masters], "CLUSTER MYID");
        check_reply(id, "CLUSTER MYID");
        wait_for(&d->servers[i], "CLUSTER NODES", id->str);
        tell(&d->servers[i], "CLUSTER REPLICATE %s", id->str);
        freeReplyObject(id);
    }
    snprintf(known, sizeof known, "cluster_known_nodes:%d\r\n", d->nservers);
    for (int i = 0; i < d->nservers; i++) {
        wait_for(&d->servers[i], "CLUSTER INFO", known);
        wait_for(&d->servers[i], "CLUSTER INFO", "cluster_slots_ok:16384");
        wait_for(&d->servers[i], "CLUSTER INFO", "cluster_state:ok");
    }
}

void servers_start(struct deployment *d, const struct deployment_options *o)
{
    d->masters = o->nodes ? o->nodes : 1;
    d->nservers = d->masters * (o->replicas ? 2 : 1);
    if (d->nservers > MAX_SERVERS)
        die("too many servers");
    for (int i = 0; i < d->nservers; i++)
        start_server(d, o, i);
    d->redis = d->servers[0].pid;
    snprintf(d->socket, sizeof d->socket, "%s", d->servers[0].socket);
    if (has_tcp(o))
        snprintf(d->url, sizeof d->url, "redis%s://127.0.0.1:%d", o->nodes ? "+cluster" : "",
                 d->servers[0].port);
    else
        snprintf(d->url, sizeof d->url, "unix:%s", d->socket);
    if (o->nodes)
        join(d);
    for (int i = d->masters; i < d->nservers; i++)
        wait_for(&d->servers[i], "INFO replication", "master_link_status:up");
}
