/*
 * tls.h: TLS for rediss: by OpenSSL, over a socket that does not block. One context for a process and URL,
 * which is made anew when a file that it came from has changed. The server's certificate has to be valid,
 * from a CA that is trusted, and for the host that the URL names; each refusal names its cause.
 *
 * What goes out is sent with MSG_NOSIGNAL, so that a server that goes away raises no SIGPIPE in a program
 * whose business that signal is.
 */
#ifndef ASQ_REDIS_TLS_H
#define ASQ_REDIS_TLS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct asq__url;
struct asq__tls;         /* of a URL, and its copies; for any thread */
struct asq__tls_session; /* of a connection */

enum asq__tls_verify { ASQ__TLS_VERIFY_FULL, ASQ__TLS_VERIFY_CA, ASQ__TLS_VERIFY_NO };

/* Files as the URL names them, else the environment (ASQUEUE_TLS_CA, _CERT, _KEY); without a CA those that
 * the system trusts. Nothing is read yet. NULL: no memory. */
struct asq__tls *asq__tls_new(const char *ca, const char *cert, const char *key);
struct asq__tls *asq__tls_ref(struct asq__tls *t);
void asq__tls_unref(struct asq__tls *t);

enum { ASQ__TLS_WHY = 400 };

/* Reads the files when they are new. ASQ_ECONN, ASQ_ENOMEM, with a text. */
int asq__tls_session_new(const struct asq__url *url, int fd, struct asq__tls_session **ret,
                         char why[ASQ__TLS_WHY]);
void asq__tls_session_free(struct asq__tls_session *s);

/* Events that an operation waits for before it can go on. */
enum asq__tls_wants { ASQ__TLS_NOTHING, ASQ__TLS_READABLE, ASQ__TLS_WRITABLE };

/* 1: done. 0: goes on when *wants. ASQ_ECONN with a text: refused. */
int asq__tls_handshake(struct asq__tls_session *s, enum asq__tls_wants *wants,
                       char why[ASQ__TLS_WHY]);
/* Bytes; 0: none now, and it may have to be written to be read, or the other way; -1: the connection is lost, with a
 * text. */
ssize_t asq__tls_recv(struct asq__tls_session *s, void *to, size_t n, bool *ret_wants_write,
                      char why[ASQ__TLS_WHY]);
ssize_t asq__tls_send(struct asq__tls_session *s, const void *from, size_t n, bool *ret_wants_read,
                      char why[ASQ__TLS_WHY]);
/* Has it bytes that the socket does not show any more? */
bool asq__tls_has_more(const struct asq__tls_session *s);

#endif
