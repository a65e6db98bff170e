/*
 * on_pair.h: a master and its replica for the tests of a program, which may change places:
 * programs are given a symbolic link to the socket of the one that leads.
 */
#ifndef ASQ_TESTS_ON_PAIR_H
#define ASQ_TESTS_ON_PAIR_H

#include "asqueue.h"
#include "support/support.h"

/* A Redis that can be another one's replica. */
struct server {
    sup_redis *redis;
    int port;
};

extern struct server master, replica;

/* Starts both, with a namespace of 4 partitions; the link is that of the master. */
void on_pair_begin(void);
void on_pair_end(void);
/* Makes a server follow the other one, and waits until it has the other's data. */
void follow(struct server *s, const struct server *of);
void lead_to(const struct server *s);
/* Has the replica get nothing more: not even what is in its socket, as when it is only stopped. */
void cut_off(void);
/* Kills the master, and has the replica lead, which may be stopped. What it lacks is lost. */
void fail_over(void);
/* Returns the URL by the link, of `user` or of the user that the suite runs under. */
char *link_url(const char *user);
/* Opens a handle that waits for a replica. */
asq *open_handle(const char *user);

#endif
