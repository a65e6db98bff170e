/*
 * sentinel.c: see sentinel.h.
 */
#include "sentinel.h"
#include "support_internal.h"

#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MASTER "themaster"

struct sup_sentinels {
    sup_redis *servers[SUP_SENTINEL_SERVERS];
    int server_ports[SUP_SENTINEL_SERVERS];
    struct {
        int port;
        char *conf;
        sup_proc *proc;
    } sentinels[SUP_SENTINELS];
    char *url, *sentinel_password;
};

static void put_lines(FILE *f, const char *const *lines)
{
    for (; lines && *lines; lines++)
        fprintf(f, "%s\n", *lines);
}

static void launch(sup_sentinels *s, int i)
{
    sup_proc_free(s->sentinels[i].proc);
    s->sentinels[i].proc = sup_spawn(
        (const char *[]){ sup__server_program(), s->sentinels[i].conf, "--sentinel", NULL });
}

static void start_server(sup_sentinels *s, int i, const struct sup_sentinels_config *c,
                         const char *host)
{
    const char *lines[32];
    size_t n = 0;
    char *port = sup_format("port %d", s->server_ports[i]);
    char *of = sup_format("replicaof %s %d", host, s->server_ports[0]);
    char *announced = sup_format("replica-announce-ip %s", host);
    char *requirepass = sup_format("requirepass %s", c->password ? c->password : "");
    char *masterauth = sup_format("masterauth %s", c->password ? c->password : "");
    lines[n++] = port;
    lines[n++] = announced;
    lines[n++] = "repl-diskless-sync yes";
    lines[n++] = "repl-diskless-sync-delay 0";
    if (i > 0)
        lines[n++] = of;
    if (c->password) {
        lines[n++] = requirepass;
        lines[n++] = masterauth;
    }
    for (const char *const *line = c->server; line && *line && n < 31; line++)
        lines[n++] = *line;
    lines[n] = NULL;
    s->servers[i] = sup_redis_start(lines);
    free(port);
    free(of);
    free(announced);
    free(requirepass);
    free(masterauth);
}

static void start_sentinel(sup_sentinels *s, int i, const struct sup_sentinels_config *c,
                           const char *host)
{
    char *name = sup_format("sentinel%d-%d.conf", s->sentinels[i].port, i);
    s->sentinels[i].conf = sup_path(name);
    FILE *f = fopen(s->sentinels[i].conf, "w");
    if (!f)
        sup_fail("%s cannot be made", s->sentinels[i].conf);
    fprintf(f, "bind 127.0.0.1\nport %d\ndir %s\nlogfile \"\"\n", s->sentinels[i].port, sup_dir());
    if (strcmp(host, "127.0.0.1") != 0)
        fprintf(f,
                "sentinel resolve-hostnames yes\nsentinel announce-hostnames yes\n"
                "sentinel announce-ip %s\n",
                host);
    fprintf(f, "sentinel monitor " MASTER " %s %d 2\n", host, s->server_ports[0]);
    fprintf(f, "sentinel down-after-milliseconds " MASTER " 1000\n"
               "sentinel failover-timeout " MASTER " 4000\n"
               "sentinel parallel-syncs " MASTER " 2\n");
    if (c->password)
        fprintf(f, "sentinel auth-pass " MASTER " %s\n", c->password);
    if (c->sentinel_password)
        fprintf(f, "requirepass %s\nsentinel sentinel-pass %s\n", c->sentinel_password,
                c->sentinel_password);
    put_lines(f, c->sentinel);
    if (fclose(f) != 0)
        sup_fail("%s cannot be written", s->sentinels[i].conf);
    free(name);
    launch(s, i);
}

/* Returns a number that SENTINEL MASTER gives; -1: none now. */
static long master_field(sup_sentinels *s, int i, const char *name)
{
    redisReply *r = sup_sentinels_reply(s, i, "SENTINEL MASTER " MASTER);
    long n = -1;
    for (size_t k = 0; r && k + 1 < r->elements; k += 2)
        if (strcmp(r->element[k]->str, name) == 0)
            n = atol(r->element[k + 1]->str);
    freeReplyObject(r);
    return n;
}

static bool know_each_other(sup_sentinels *s)
{
    for (int i = 0; i < SUP_SENTINELS; i++)
        if (master_field(s, i, "num-slaves") != SUP_SENTINEL_SERVERS - 1 ||
            master_field(s, i, "num-other-sentinels") != SUP_SENTINELS - 1)
            return false;
    return true;
}

sup_sentinels *sup_sentinels_start(const struct sup_sentinels_config *config)
{
    static const struct sup_sentinels_config plain;
    const struct sup_sentinels_config *c = config ? config : &plain;
    const char *host = c->host ? c->host : "127.0.0.1";
    sup_sentinels *s = sup__alloc(sizeof *s);
    signal(SIGPIPE,
           SIG_IGN); /* a Sentinel ends the connections to a server whose role it changes */
    char *password = c->password ? sup_format(":%s@", c->password) : sup_format("%s", "");
    for (int i = 0; i < SUP_SENTINEL_SERVERS; i++) {
        s->server_ports[i] = sup_free_port();
        start_server(s, i, c, host);
    }
    s->sentinel_password = c->sentinel_password ? sup_format("%s", c->sentinel_password) : NULL;
    for (int i = 0; i < SUP_SENTINELS; i++) {
        s->sentinels[i].port = sup_free_port();
        start_sentinel(s, i, c, host);
    }
    s->url = sup_format("redis+sentinel://%s%s:%d,%s:%d,%s:%d/" MASTER "%s%s", password, host,
                        s->sentinels[0].port, host, s->sentinels[1].port, host,
                        s->sentinels[2].port, c->sentinel_password ? "?sentinel-password=" : "",
                        c->sentinel_password ? c->sentinel_password : "");
    free(password);
    sup_sentinels_wait_synced(s);
    sup_wait_until(know_each_other(s));
    return s;
}

void sup_sentinels_free(sup_sentinels *s)
{
    if (!s)
        return;
    for (int i = 0; i < SUP_SENTINELS; i++) {
        sup_proc_free(s->sentinels[i].proc);
        sup_release_port(s->sentinels[i].port);
        free(s->sentinels[i].conf);
    }
    for (int i = 0; i < SUP_SENTINEL_SERVERS; i++) {
        sup_redis_free(s->servers[i]);
        sup_release_port(s->server_ports[i]);
    }
    free(s->url);
    free(s->sentinel_password);
    free(s);
}

const char *sup_sentinels_url(const sup_sentinels *s)
{
    return s->url;
}

int sup_sentinels_port(const sup_sentinels *s, int i)
{
    return s->sentinels[i].port;
}

int sup_sentinels_server_port(const sup_sentinels *s, int i)
{
    return s->server_ports[i];
}

sup_redis *sup_sentinels_server(sup_sentinels *s, int i)
{
    return s->servers[i];
}

sup_proc *sup_sentinels_proc(sup_sentinels *s, int i)
{
    return s->sentinels[i].proc;
}

void sup_sentinels_kill(sup_sentinels *s, int i)
{
    sup_proc_kill(s->sentinels[i].proc);
}

void sup_sentinels_restart(sup_sentinels *s, int i)
{
    sup_sentinels_kill(s, i);
    launch(s, i);
}

redisReply *sup_sentinels_reply(sup_sentinels *s, int i, const char *fmt, ...)
{
    struct timeval limit = { 2, 0 };
    redisReply *reply = NULL;
    if (!sup_proc_alive(s->sentinels[i].proc))
        return NULL;
    redisContext *c = redisConnectWithTimeout("127.0.0.1", s->sentinels[i].port, limit);
    if (c && !c->err) {
        redisSetTimeout(c, limit);
        if (s->sentinel_password)
            freeReplyObject(redisCommand(c, "AUTH %s", s->sentinel_password));
        va_list ap;
        va_start(ap, fmt);
        reply = redisvCommand(c, fmt, ap);
        va_end(ap);
    }
    if (c)
        redisFree(c);
    return reply;
}

/* Returns which server Sentinel i takes for the master; -1: it does not answer. */
static int master_by(sup_sentinels *s, int i)
{
    redisReply *r = sup_sentinels_reply(s, i, "SENTINEL GET-MASTER-ADDR-BY-NAME " MASTER);
    int found = -1;
    if (r && r->type == REDIS_REPLY_ARRAY && r->elements == 2)
        for (int k = 0; k < SUP_SENTINEL_SERVERS; k++)
            if (atoi(r->element[1]->str) == s->server_ports[k])
                found = k;
    freeReplyObject(r);
    return found;
}

int sup_sentinels_master(sup_sentinels *s)
{
    int found = -1;
    for (int i = 0; i < SUP_SENTINELS && found < 0; i++)
        found = master_by(s, i);
    return found;
}

static bool is_master(sup_sentinels *s, int i)
{
    redisReply *r = sup_redis_reply(s->servers[i], "ROLE");
    bool yes = r->type == REDIS_REPLY_ARRAY && strcmp(r->element[0]->str, "master") == 0;
    freeReplyObject(r);
    return yes;
}

/* Returns the new master that all running Sentinels agree on; -1: not yet. */
static int new_master(sup_sentinels *s, int old)
{
    int master = -1;
    for (int i = 0; i < SUP_SENTINELS; i++) {
        if (!sup_proc_alive(s->sentinels[i].proc))
            continue;
        int said = master_by(s, i);
        if (said < 0 || said == old || (master >= 0 && said != master))
            return -1;
        master = said;
    }
    return master >= 0 && is_master(s, master) ? master : -1;
}

int sup_sentinels_wait_failover(sup_sentinels *s, int old)
{
    int master = -1;
    sup_wait_until((master = new_master(s, old)) >= 0);
    return master;
}

bool sup_sentinels_begin_failover(sup_sentinels *s)
{
    redisReply *r = sup_sentinels_reply(s, 0, "SENTINEL FAILOVER " MASTER);
    bool begun = r && r->type == REDIS_REPLY_STATUS;
    freeReplyObject(r);
    return begun;
}

int sup_sentinels_fail_over(sup_sentinels *s)
{
    int old = sup_sentinels_master(s);
    sup_wait_until(sup_sentinels_begin_failover(s));
    return sup_sentinels_wait_failover(s, old);
}

/* Returns whether a replica has received all that the master has written. */
static bool is_synced(sup_sentinels *s, int replica, int master)
{
    if (!sup_proc_alive(sup_redis_proc(s->servers[replica])))
        return true;
    char *link = sup_redis_str(s->servers[replica], "INFO replication");
    bool up = link && strstr(link, "master_link_status:up");
    free(link);
    return up && sup_redis_stat(s->servers[replica], "replication", "slave_repl_offset", ":") >=
                     sup_redis_stat(s->servers[master], "replication", "master_repl_offset", ":");
}

static bool are_synced_with(sup_sentinels *s, int master)
{
    for (int i = 0; i < SUP_SENTINEL_SERVERS; i++)
        if (i != master && !is_synced(s, i, master))
            return false;
    return true;
}

static bool all_synced(sup_sentinels *s)
{
    int master = sup_sentinels_master(s);
    return master >= 0 && are_synced_with(s, master);
}

int sup_sentinels_settled(sup_sentinels *s)
{
    int master = new_master(s, -1);
    return master >= 0 && are_synced_with(s, master) ? master : -1;
}

void sup_sentinels_wait_synced(sup_sentinels *s)
{
    sup_wait_until(all_synced(s));
}
