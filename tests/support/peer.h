/*
 * peer.h: the client of a server in a test, over a plain socket or TLS, and the certificates that
 * such a server shows. One thread, which blocks; the process ends with the connection.
 */
#ifndef ASQ_TESTS_PEER_H
#define ASQ_TESTS_PEER_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct sup_peer {
    int fd;
    void *tls; /* NULL: plain */
};

/* Shakes hands as a server with the key and the certificate in a file. False: the client did not
 * want them, or this build has no TLS. */
bool sup_peer_secure(struct sup_peer *p, const char *identity);
/* As recv: at most n bytes, 0 at the end, negative on errors. */
ssize_t sup_peer_read(const struct sup_peer *p, void *to, size_t n);
bool sup_peer_write(const struct sup_peer *p, const void *data, size_t n);

/* Returns whether this build has TLS, and certificates can be made, by the program openssl. */
bool sup_tls_available(void);
/* Makes a CA. Returns the path of its certificate; the key is beside it. The caller frees it. */
char *sup_tls_ca(const char *name);
/* Makes a key and a certificate by a CA, for subjectAltName `names` ("IP:127.0.0.1"). Returns the
 * path of a file with both; the caller frees it. */
char *sup_tls_identity(const char *ca, const char *name, const char *names);

#endif
