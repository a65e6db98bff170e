/*
 * on_cluster.h: a deployment on a Redis Cluster for the tests of a program: a worker with some
 * processes, a handle, and what their logs have told. Each test has its own.
 */
#ifndef ASQ_TESTS_ON_CLUSTER_H
#define ASQ_TESTS_ON_CLUSTER_H

#include "asqueue.h"
#include "support/cluster.h"

#include <check.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

enum { MASTERS = 3, PARTITIONS = 24, PROCESSES = 2, LEASE_MS = 3000 };

/* Written by the log functions of the client and of the worker's processes. */
struct seen {
    atomic_int client_away, worker_away; /* lines that tell of a lost node */
    atomic_int aways;                    /* lines that tell of anything lost */
    atomic_int crashes;                  /* of worker processes */
};

extern sup_cluster *nodes;
extern char *url;
extern asq *h;
extern struct seen *seen;

/* Fixtures: masters alone, or each with a replica, which has all that is seen. */
void on_masters_begin(void);
void on_replicas_begin(void);
/* The same; the URL has one host alone, the node with the keys of the namespace. */
void on_home_url_begin(void);
/* Masters alone, which keep all that is written (sup_redis_keep). */
void on_durable_masters_begin(void);
/* Masters alone; worker and handle have the URL of one node, as of a Redis without a Cluster. */
void on_plain_url_begin(void);
/* The same, and that node has all slots. */
void on_one_owner_begin(void);
void on_cluster_end(void); /* also checks that no process has crashed */
/* Runs a suite where Redis can be a Cluster. Returns main's status. */
int on_cluster_main(Suite *(*suite)(void) );

/* Returns such a URL of a node, to be freed. */
char *plain_url(int node);
/* Returns the slot of a partition's keys. */
uint16_t slot_of(uint32_t partition);
/* Returns the node of a partition. */
int node_of(uint32_t partition);
/* Returns the node with the keys of the namespace. */
int home_node(void);
/* Returns whether each process says that it has partitions, and all together all. What one has
 * handed back when the home node is lost has no owner until that is there again. */
bool all_are_owned(void);
/* Makes an agent that is kept by a node, which is found by trying names. */
asq_agent *agent_on(int node, const char *class_name, const char *name);
uint32_t partition_of(const asq_agent *a);

#endif
