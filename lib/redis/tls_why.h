/*
 * tls_why.h: why TLS does not come about, in words that say what to do. OpenSSL knows it in three places: the
 * check of the certificate, its queue of errors, the socket.
 */
#ifndef ASQ_REDIS_TLS_WHY_H
#define ASQ_REDIS_TLS_WHY_H

#include <openssl/x509.h>
#include <stdbool.h>

#include "redis/tls.h"

/* The server of a session. */
struct asq__tls_peer {
    char name[256];              /* whom the certificate has to be for */
    const char *own_certificate; /* the file, or NULL: none is shown */
    bool has_answered;           /* something came from it after the handshake */
    char certificate[400];       /* what is wrong with its certificate; "" while nothing is */
};

/* Within the check of a certificate, of which something is wrong. The first finding counts. */
void asq__tls_note_certificate(struct asq__tls_peer *peer, X509_STORE_CTX *store);
/* Writes why an operation has failed. closed: the server has closed; error: errno of the socket, or 0. */
void asq__tls_why(const struct asq__tls_peer *peer, bool handshake, bool closed, int error,
                  char why[ASQ__TLS_WHY]);

/* Write what is wrong with a file; `what` it is stands before its path. All but the first give ASQ_ECONN. */
bool asq__tls_can_read(const char *what, const char *path, char why[ASQ__TLS_WHY]);
int asq__tls_why_unreadable(const char *what, const char *path, int error, char why[ASQ__TLS_WHY]);
int asq__tls_why_file(const char *what, const char *path, char why[ASQ__TLS_WHY]);
/* together: both are to be in one file. */
int asq__tls_why_key(const char *key, const char *cert, bool together, char why[ASQ__TLS_WHY]);

#endif
