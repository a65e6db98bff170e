/*
 * server_mode.h: asks a server whether it is a node of a Redis Cluster. A Cluster refuses commands
 * and scripts with keys of two slots, so the layers above make other commands for it.
 */
#ifndef ASQ_REDIS_SERVER_MODE_H
#define ASQ_REDIS_SERVER_MODE_H

#include <hiredis/hiredis.h>
#include <stdbool.h>

struct asq__conn;

enum { ASQ__SERVER_MODE_WHY = 200 };

struct asq__server_mode {
    bool cluster;
    bool known; /* for this connection */
    /* Called when it is known. */
    void (*on_known)(void *user);
    void *user;
};

/* Asks on a new connection: HELLO, which no ACL denies; where HELLO is renamed, CLUSTER INFO. The
 * mode is known if neither tells: the server is no Cluster then, unless INFO has said so. */
int asq__server_mode_ask(struct asq__server_mode *m, struct asq__conn *c);
/* Takes the text of INFO, which is needed only if HELLO is refused. */
void asq__server_mode_take_info(struct asq__server_mode *m, const char *redis_mode);
/* Returns a field of the reply to HELLO, "mode" or "role"; NULL without it. */
const char *asq__hello_field(const redisReply *reply, const char *name);
/* Returns whether asqueue can use a server of this version; else writes what it needs. A Cluster
 * must have sharded channels. */
bool asq__server_mode_fits(bool cluster, const char *version, char why[ASQ__SERVER_MODE_WHY]);

#endif
