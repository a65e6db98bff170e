/*
 * on_cluster.c: see on_cluster.h.
 */
#include "on_cluster.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "load.h"
#include "redis/keys.h"
#include "redis/slots.h"
#include "support/suite.h"
#include "value/hash.h"

sup_cluster *nodes;
char *url;
asq *h;
struct seen *seen;
static pid_t worker;

static void count_away(const char *message)
{
    if (strstr(message, "trying again") || strstr(message, "Redis is away"))
        atomic_fetch_add(&seen->aways, 1);
}

static void log_client(void *user, asq_log_level level, const char *message)
{
    (void) user;
    fprintf(stderr, "# client %d %s\n", (int) level, message);
    count_away(message);
    if (strstr(message, "a part of Redis is away"))
        atomic_fetch_add(&seen->client_away, 1);
}

static void log_worker(void *user, asq_log_level level, const char *message)
{
    (void) user;
    fprintf(stderr, "# worker %d %s\n", (int) level, message);
    count_away(message);
    if (strstr(message, "of the Cluster:") && strstr(message, "trying again"))
        atomic_fetch_add(&seen->worker_away, 1);
    if (strstr(message, "was ended by signal"))
        atomic_fetch_add(&seen->crashes, 1);
}

char *plain_url(int node)
{
    char *full = sup_cluster_url(nodes, node);
    char *plain = sup_format("redis%s", strchr(full, ':'));
    free(full);
    return plain;
}

static void begin_nodes_with(int replicas, const char *const *lines)
{
    struct sup_cluster_config config = { lines, NULL };
    seen = mmap(NULL, sizeof *seen, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ck_assert_ptr_ne(seen, MAP_FAILED);
    nodes = sup_cluster_start_with(MASTERS, replicas, &config);
}

static void begin_nodes(int replicas)
{
    begin_nodes_with(replicas, NULL);
}

/* Starts the worker, and opens the handle, with `url`. */
static void begin_on(int replicas)
{
    asq_worker_options worker_options = ASQ_WORKER_OPTIONS_INIT;
    asq_options options = ASQ_OPTIONS_INIT;
    char err[500] = "";
    sup_redis_do(sup_cluster_node_of(nodes, "asq:{default}:meta"),
                 "HSET asq:{default}:meta format 1 partitions %d", PARTITIONS);
    worker_options.processes = PROCESSES;
    worker_options.lease_time_ms = LEASE_MS;
    worker_options.wait_replicas = replicas ? 1 : 0;
    worker_options.log = log_worker;
    worker_options.log_level = ASQ_LOG_INFO;
    worker = load_worker(url, &worker_options);
    options.wait_replicas = replicas ? 1 : 0;
    options.timeout_ms = 2 * sup_limit_ms();
    options.log = log_client;
    int rc = asq_open(url, &options, &h, err, sizeof err);
    ck_assert_msg(rc == 0, "%s: %s", asq_error_name(rc), err);
}

static void begin(int replicas)
{
    begin_nodes(replicas);
    url = sup_cluster_url(nodes, 0);
    begin_on(replicas);
}

void on_masters_begin(void)
{
    begin(0);
}

void on_replicas_begin(void)
{
    begin(MASTERS);
}

void on_home_url_begin(void)
{
    begin_nodes(MASTERS);
    url = sup_cluster_url(nodes, home_node());
    begin_on(MASTERS);
}

void on_durable_masters_begin(void)
{
    static const char *const durable[] = { "appendonly yes", "appendfsync always", NULL };
    begin_nodes_with(0, durable);
    url = sup_cluster_url(nodes, 0);
    begin_on(0);
}

void on_plain_url_begin(void)
{
    begin_nodes(0);
    url = plain_url(0);
    begin_on(0);
}

static bool serves(sup_redis *node)
{
    redisReply *info = sup_redis_reply(node, "CLUSTER INFO");
    bool ok = strstr(info->str, "cluster_state:ok");
    freeReplyObject(info);
    return ok;
}

void on_one_owner_begin(void)
{
    begin_nodes(0);
    for (int i = 1; i < MASTERS; i++)
        sup_redis_do(sup_cluster_node(nodes, i), "CLUSTER FLUSHSLOTS");
    sup_redis_do(sup_cluster_node(nodes, 0), "CLUSTER DELSLOTSRANGE 0 16383");
    sup_redis_do(sup_cluster_node(nodes, 0), "CLUSTER ADDSLOTSRANGE 0 16383");
    sup_redis_do(sup_cluster_node(nodes, 0), "CLUSTER BUMPEPOCH");
    for (int i = 0; i < MASTERS; i++)
        sup_wait_until(sup_cluster_owner(nodes, i, 16383) == 0 &&
                       serves(sup_cluster_node(nodes, i)));
    url = plain_url(0);
    begin_on(0);
}

void on_cluster_end(void)
{
    asq_close(h);
    load_worker_stop(worker);
    ck_assert_int_eq(atomic_load(&seen->crashes), 0);
    sup_cluster_free(nodes);
    free(url);
    munmap(seen, sizeof *seen);
}

int on_cluster_main(Suite *(*suite)(void) )
{
    if (!sup_cluster_available())
        return sup_skip("no redis-server with a Cluster of sharded channels");
    return sup_suite_run(suite());
}

uint16_t slot_of(uint32_t partition)
{
    struct asq__keys keys;
    char key[ASQ__KEY_MAX], err[200];
    ck_assert_int_eq(asq__keys_init(&keys, "default", err, sizeof err), 0);
    return asq__slot_of_key(key, asq__keys_jobs(&keys, partition, key));
}

/* ---- agents of a node ---- */

int node_of(uint32_t partition)
{
    return sup_cluster_settled_owner(nodes, slot_of(partition));
}

int home_node(void)
{
    struct asq__keys keys;
    char err[200];
    ck_assert_int_eq(asq__keys_init(&keys, "default", err, sizeof err), 0);
    return sup_cluster_settled_owner(nodes, asq__slot_of_namespace(&keys));
}

bool all_are_owned(void)
{
    sup_redis *home = sup_cluster_node(nodes, home_node());
    return sup_redis_int(home, "SCARD asq:{default}:workers") == PROCESSES &&
           sup_redis_int(
               home, "EVAL %s 1 asq:{default}:workers",
               "local n = 0 for _, id in ipairs(redis.call('SMEMBERS', KEYS[1])) do "
               "local own = redis.call('HGET', 'asq:{default}:worker:' .. id, 'partitions') "
               "if not own or own == '0' then return 0 end n = n + own end return n") == PARTITIONS;
}

uint32_t partition_of(const asq_agent *a)
{
    const char *id = asq_agent_id(a);
    return asq__partition_of(id, strlen(id), PARTITIONS);
}

asq_agent *agent_on(int node, const char *class_name, const char *name)
{
    asq_agent *a;
    char id[40];
    int i = 0;
    do
        snprintf(id, sizeof id, "%s-%d", name, i++);
    while (node_of(asq__partition_of(id, strlen(id), PARTITIONS)) != node);
    ck_assert_int_eq(asq_create(h, class_name, id, &a, NULL), 0);
    ck_assert_int_eq(asq_ready(a, sup_limit_ms()), 0);
    return a;
}
