/*
 * tls_why.h: makes messages of TLS failures that say what to do. The causes come from three places:
 * the check of the certificate, OpenSSL's error queue, the socket.
 */
#ifndef ASQ_REDIS_TLS_WHY_H
#define ASQ_REDIS_TLS_WHY_H

#include <openssl/x509.h>
#include <stdbool.h>

#include "redis/tls.h"

/* The server of a session. */
struct asq__tls_peer {
    char name[256];              /* name or address that the certificate must have */
    const char *announced;       /* what a Cluster calls it, which does as well; NULL: the same */
    bool is_node;                /* of a Cluster */
    const char *own_certificate; /* file of our own certificate; NULL: none is shown */
    bool has_answered;           /* data has arrived after the handshake */
    char certificate[600];       /* fault of the server's certificate; "": none */
};

/* Notes a fault found by the check of a certificate. The first one counts. */
void asq__tls_note_certificate(struct asq__tls_peer *peer, X509_STORE_CTX *store);
/* Writes why an operation has failed. closed: the server has closed; error: errno of the socket, or
 * 0. */
void asq__tls_why(const struct asq__tls_peer *peer, bool handshake, bool closed, int error,
                  char why[ASQ__TLS_WHY]);

/* Write a file's fault; `what` the file is comes before its path. All but the first return
 * ASQ_ECONN. */
bool asq__tls_can_read(const char *what, const char *path, char why[ASQ__TLS_WHY]);
int asq__tls_why_unreadable(const char *what, const char *path, int error, char why[ASQ__TLS_WHY]);
int asq__tls_why_file(const char *what, const char *path, char why[ASQ__TLS_WHY]);
/* together: certificate and key are to be in one file. */
int asq__tls_why_key(const char *key, const char *cert, bool together, char why[ASQ__TLS_WHY]);

#endif
