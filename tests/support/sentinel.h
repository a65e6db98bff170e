/*
 * sentinel.h: a master, two replicas and three Sentinels on free ports of 127.0.0.1, for tests of
 * redis+sentinel://.
 *
 *     sup_sentinels *s = sup_sentinels_start(NULL);
 *     asq_open(sup_sentinels_url(s), …);
 *     int old = sup_sentinels_master(s);
 *     sup_redis_kill(sup_sentinels_server(s, old));
 *     sup_sentinels_wait_failover(s, old);
 */
#ifndef ASQ_TESTS_SENTINEL_H
#define ASQ_TESTS_SENTINEL_H

#include "support.h"

enum { SUP_SENTINELS = 3, SUP_SENTINEL_SERVERS = 3 };

typedef struct sup_sentinels sup_sentinels;

struct sup_sentinels_config {
    const char *const *server;   /* further lines for each Redis; or NULL */
    const char *const *sentinel; /* further lines for each Sentinel; or NULL */
    const char *host;            /* how Sentinels and servers are called; NULL: 127.0.0.1 */
    const char *password;        /* of each Redis; or NULL */
    const char *sentinel_password;
};

/* Starts them, server 0 as master, and waits until each Sentinel knows all others. config may be
 * NULL. */
sup_sentinels *sup_sentinels_start(const struct sup_sentinels_config *config);
/* Ends all processes. */
void sup_sentinels_free(sup_sentinels *s);

/* redis+sentinel://HOST:PORT,…/themaster with all Sentinels, the master's password, and that of the
 * Sentinels. */
const char *sup_sentinels_url(const sup_sentinels *s);
int sup_sentinels_port(const sup_sentinels *s, int i);        /* of Sentinel i */
int sup_sentinels_server_port(const sup_sentinels *s, int i); /* of server i */

sup_redis *sup_sentinels_server(sup_sentinels *s, int i);
/* Returns which server is the master, by the first Sentinel that answers; -1: none. */
int sup_sentinels_master(sup_sentinels *s);
/* Waits until the Sentinels that run have made another server than `old` the master, and that one
 * is. Returns which. */
int sup_sentinels_wait_failover(sup_sentinels *s, int old);
/* Makes the Sentinels fail over although the master is well; the old one becomes a replica. */
int sup_sentinels_fail_over(sup_sentinels *s);
/* Asks for a failover of a master that is well, without a wait. False: it is not possible now. */
bool sup_sentinels_begin_failover(sup_sentinels *s);
/* Returns which server is the master once all running Sentinels agree on it and all others are its
 * replicas, with all of its data; -1: not yet. Each server must run. */
int sup_sentinels_settled(sup_sentinels *s);
/* Waits until each running replica has all of what the master has. */
void sup_sentinels_wait_synced(sup_sentinels *s);

sup_proc *sup_sentinels_proc(sup_sentinels *s, int i); /* for signals */
void sup_sentinels_kill(sup_sentinels *s, int i);      /* kill -9 of Sentinel i */
void sup_sentinels_restart(sup_sentinels *s, int i);
/* Runs a command on Sentinel i. NULL: it does not answer. */
redisReply *sup_sentinels_reply(sup_sentinels *s, int i, const char *fmt, ...);

#endif
