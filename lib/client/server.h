/*
 * server.h: the private redis-server (or valkey-server) of child mode, on a Unix socket in its own
 * temporary directory. A keeper process watches the program; it ends the server and removes the
 * directory however the program ends.
 */
#ifndef ASQ_CLIENT_SERVER_H
#define ASQ_CLIENT_SERVER_H

#include <stddef.h>
#include <stdint.h>

struct asq__server;

/* Starts the server and returns at once. ASQ_ENOSERVER: none is installed. ASQ_ESYS, ASQ_ENOMEM. */
int asq__server_start(struct asq__server **ret, char *err, size_t errlen);
/* Returns the path of the server's socket; borrowed. */
const char *asq__server_path(const struct asq__server *s);
/* Waits until the server answers. ASQ_ESYS, with the end of its log, if it has ended;
 * ASQ_ETIMEOUT. */
int asq__server_wait_ready(struct asq__server *s, int64_t timeout_ms, char *err, size_t errlen);
/* Ends the server, waits until server, socket and directory are gone, and frees. NULL is fine. */
void asq__server_stop(struct asq__server *s);
/* Frees `s` in a process forked from the program, without ending the server. */
void asq__server_child_forget(struct asq__server *s);

#endif
