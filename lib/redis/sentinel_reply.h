/*
 * sentinel_reply.h: the meaning of what a Sentinel says: where the master is, which other Sentinels
 * watch it, that the master has changed. Nothing in it is trusted: hosts become names for the
 * resolver, and text for the log.
 */
#ifndef ASQ_REDIS_SENTINEL_REPLY_H
#define ASQ_REDIS_SENTINEL_REPLY_H

#include <hiredis/hiredis.h>
#include <stdbool.h>
#include <stddef.h>

enum {
    ASQ__SENTINEL_HOST = 254, /* bytes of a host, with the NUL */
    ASQ__SENTINELS_MAX = 64,  /* of one deployment; a Sentinel's further ones are ignored */
    ASQ__SENTINEL_WHY = 300
};

struct asq__server_address {
    char host[ASQ__SENTINEL_HOST]; /* a name or an address; "": none */
    int port;
};

/* Makes an address of a host and a port in decimal. False: one of them is none. */
bool asq__server_address_set(struct asq__server_address *to, const char *host, const char *port);
bool asq__server_address_is_same(const struct asq__server_address *a,
                                 const struct asq__server_address *b);
/* Appends host:port, or [host]:port. */
void asq__server_address_put(const struct asq__server_address *a, char *out, size_t size);

/* Reads the reply to SENTINEL GET-MASTER-ADDR-BY-NAME. 0; ASQ_ENOENT: the Sentinel does not know
 * the master; ASQ_EAUTH, ASQ_EINVAL (no Sentinel), ASQ_EPROTO, ASQ_EBUSY or ASQ_EREDIS, with a
 * text. */
int asq__sentinel_read_master(const redisReply *reply, struct asq__server_address *ret,
                              char why[ASQ__SENTINEL_WHY]);
/* Reads the reply to SENTINEL SENTINELS into `list`. Returns the number of usable addresses; what
 * is none is left out. */
unsigned asq__sentinel_read_others(const redisReply *reply,
                                   struct asq__server_address list[ASQ__SENTINELS_MAX]);
/* Writes the names in a reply to SENTINEL MASTERS, as "a, b"; "" without any. Bytes that must not
 * reach a log become '?'. */
void asq__sentinel_read_names(const redisReply *reply, char *out, size_t size);
/* Reads a message of the channel +switch-master: NAME OLD-HOST OLD-PORT HOST PORT. False: it is
 * about another master, or is no such message. */
bool asq__sentinel_read_switch(const char *text, size_t n, const char *master,
                               struct asq__server_address *ret);

#endif
