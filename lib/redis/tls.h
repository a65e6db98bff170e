/*
 * tls.h: TLS for rediss: by OpenSSL, over a non-blocking socket. Each URL of a process has one
 * context, which is made again after one of its files has changed. The server's certificate has to
 * be valid, from a trusted CA, and for the host as the URL, Sentinels or the Cluster call it; each
 * refusal names its cause.
 *
 * Data is sent with MSG_NOSIGNAL, so that a vanished server raises no SIGPIPE in the program.
 */
#ifndef ASQ_REDIS_TLS_H
#define ASQ_REDIS_TLS_H

#include <stdbool.h>
#include <sys/types.h>

struct asq__url;
struct asq__tls;         /* of a URL and its copies; for any thread */
struct asq__tls_session; /* of a connection */

enum asq__tls_verify { ASQ__TLS_VERIFY_FULL, ASQ__TLS_VERIFY_CA, ASQ__TLS_VERIFY_NO };

/* Notes files from the URL, else from the environment (ASQUEUE_TLS_CA, _CERT, _KEY); without a CA,
 * the system's CAs. No file is read yet. NULL: no memory. */
struct asq__tls *asq__tls_new(const char *ca, const char *cert, const char *key);
struct asq__tls *asq__tls_ref(struct asq__tls *t);
void asq__tls_unref(struct asq__tls *t);

enum { ASQ__TLS_WHY = 600 };

/* Makes a session with the server that is reached at host and port. Its certificate has to be for
 * that host, or for one that the URL's nat= leads there; unless the URL has a name of its own for
 * that (sni). Reads the files if they have changed. ASQ_ECONN, ASQ_ENOMEM, with a text. */
int asq__tls_session_new(const struct asq__url *url, const char *host, int port, int fd,
                         struct asq__tls_session **ret, char why[ASQ__TLS_WHY]);
void asq__tls_session_free(struct asq__tls_session *s);

/* Events that an operation waits for before it can go on. */
enum asq__tls_wants { ASQ__TLS_NOTHING, ASQ__TLS_READABLE, ASQ__TLS_WRITABLE };

/* Goes on with the handshake. 1: done. 0: waits for *wants. ASQ_ECONN with a text: refused. */
int asq__tls_handshake(struct asq__tls_session *s, enum asq__tls_wants *wants,
                       char why[ASQ__TLS_WHY]);
/* Read and write. Return bytes; 0: none now, and TLS may need the other direction first
 * (*ret_wants_…); -1: the connection is lost, with a text. */
ssize_t asq__tls_recv(struct asq__tls_session *s, void *to, size_t n, bool *ret_wants_write,
                      char why[ASQ__TLS_WHY]);
ssize_t asq__tls_send(struct asq__tls_session *s, const void *from, size_t n, bool *ret_wants_read,
                      char why[ASQ__TLS_WHY]);
/* Returns whether it has buffered bytes that are no longer in the socket. */
bool asq__tls_has_more(const struct asq__tls_session *s);

#endif
