/*
 * on_pair.c: see on_pair.h.
 */
#include "on_pair.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct server master, replica;
static char *link_path;

static void start_server(struct server *s)
{
    s->port = sup_free_port();
    char *port = sup_format("port %d", s->port);
    const char *config[] = { port, "repl-diskless-sync-delay 0", NULL };
    s->redis = sup_redis_start(config);
    free(port);
}

static bool follows(struct server *s)
{
    char *info = sup_redis_str(s->redis, "INFO replication");
    bool up = strstr(info, "master_link_status:up") != NULL;
    free(info);
    return up && sup_redis_int(s->redis, "EXISTS asq:{default}:meta") == 1;
}

void follow(struct server *s, const struct server *of)
{
    sup_redis_do(s->redis, "REPLICAOF 127.0.0.1 %d", of->port);
    sup_wait_until(follows(s));
}

void lead_to(const struct server *s)
{
    unlink(link_path);
    if (symlink(sup_redis_socket(s->redis), link_path) < 0)
        sup_fail("symlink: %m");
}

void cut_off(void)
{
    sup_redis_do(replica.redis, "REPLICAOF 127.0.0.1 1");
}

void fail_over(void)
{
    sup_redis_kill(master.redis);
    sup_proc_signal(sup_redis_proc(replica.redis), SIGCONT);
    sup_redis_do(replica.redis, "REPLICAOF NO ONE");
    lead_to(&replica);
}

char *link_url(const char *user)
{
    const char *query = strchr(sup_redis_url(master.redis), '?');
    return sup_format("unix:%s%s", link_path, user ? user : query ? query : "");
}

asq *open_handle(const char *user)
{
    asq_options options = ASQ_OPTIONS_INIT;
    char err[500], *url = link_url(user);
    asq *opened;
    options.wait_replicas = 1;
    options.wait_timeout_ms = 50;
    options.close_timeout_ms = -1;
    if (asq_open(url, &options, &opened, err, sizeof err) < 0)
        sup_fail("%s", err);
    free(url);
    return opened;
}

void on_pair_begin(void)
{
    start_server(&master);
    start_server(&replica);
    sup_redis_do(master.redis, "HSET asq:{default}:meta format 1 partitions 4");
    follow(&replica, &master);
    link_path = sup_path("redis.link");
    lead_to(&master);
}

void on_pair_end(void)
{
    sup_redis_free(replica.redis);
    sup_redis_free(master.redis);
    free(link_path);
}
