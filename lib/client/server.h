/*
 * server.h: the private redis-server (or valkey-server) of child mode, on a Unix socket in a temporary directory
 * of its own. A keeper process watches the program and ends all of it, whatever way the program ends.
 */
#ifndef ASQ_CLIENT_SERVER_H
#define ASQ_CLIENT_SERVER_H

#include <stddef.h>
#include <stdint.h>

struct asq__server;

/* Starts it and returns at once. ASQ_ENOSERVER: none is installed. ASQ_ESYS, ASQ_ENOMEM. */
int asq__server_start(struct asq__server **ret, char *err, size_t errlen);
/* The path of its socket; borrowed. */
const char *asq__server_path(const struct asq__server *s);
/* Waits until it answers. ASQ_ESYS, with the end of its log, when it has ended; ASQ_ETIMEOUT. */
int asq__server_wait_ready(struct asq__server *s, int64_t timeout_ms, char *err, size_t errlen);
/* Ends it, waits until server, socket and directory are gone, and frees. NULL is fine. */
void asq__server_stop(struct asq__server *s);
/* In a process forked from the program: lets go of it without ending anything. */
void asq__server_child_forget(struct asq__server *s);

#endif
