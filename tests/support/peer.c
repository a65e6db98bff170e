/*
 * peer.c: see peer.h.
 */
#include "peer.h"
#include "support.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

/* ---- bytes ---- */

#ifdef HAVE_TLS
#include <openssl/ssl.h>

bool sup_peer_secure(struct sup_peer *p, const char *identity)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
    if (!ctx || SSL_CTX_use_PrivateKey_file(ctx, identity, SSL_FILETYPE_PEM) != 1 ||
        SSL_CTX_use_certificate_chain_file(ctx, identity) != 1)
        sup_fail("no identity in %s", identity);
    SSL *tls = SSL_new(ctx);
    SSL_set_fd(tls, p->fd);
    if (SSL_accept(tls) != 1)
        return false;
    p->tls = tls;
    return true;
}

ssize_t sup_peer_read(const struct sup_peer *p, void *to, size_t n)
{
    return p->tls ? SSL_read(p->tls, to, (int) n) : recv(p->fd, to, n, 0);
}

bool sup_peer_write(const struct sup_peer *p, const void *data, size_t n)
{
    return p->tls ? SSL_write(p->tls, data, (int) n) == (int) n
                  : send(p->fd, data, n, MSG_NOSIGNAL) == (ssize_t) n;
}

bool sup_tls_available(void)
{
    return system("openssl version >/dev/null 2>&1") == 0;
}
#else
bool sup_peer_secure(struct sup_peer *p, const char *identity)
{
    (void) p, (void) identity;
    return false;
}

ssize_t sup_peer_read(const struct sup_peer *p, void *to, size_t n)
{
    return recv(p->fd, to, n, 0);
}

bool sup_peer_write(const struct sup_peer *p, const void *data, size_t n)
{
    return send(p->fd, data, n, MSG_NOSIGNAL) == (ssize_t) n;
}

bool sup_tls_available(void)
{
    return false;
}
#endif

/* ---- certificates ---- */

/* Runs commands of the shell in the test's directory; $1, $2, $3 are the texts. */
static void shell(const char *commands, const char *first, const char *second, const char *third)
{
    char *all = sup_format("set -e; cd '%s'; %s", sup_dir(), commands), *err = NULL;
    const char *const argv[] = { "sh", "-c", all, "sh", first, second, third, NULL };
    if (sup_run(argv, NULL, &err) != 0)
        sup_fail("openssl: %s", err);
    free(all);
    free(err);
}

char *sup_tls_ca(const char *name)
{
    shell("openssl ecparam -name prime256v1 -genkey -noout -out $1.key; "
          "openssl req -x509 -new -key $1.key -days 30 -subj /CN=$1 -out $1.crt",
          name, "", "");
    char *file = sup_format("%s.crt", name), *path = sup_path(file);
    free(file);
    return path;
}

char *sup_tls_identity(const char *ca, const char *name, const char *names)
{
    shell(
        "openssl ecparam -name prime256v1 -genkey -noout -out $1.key; "
        "openssl req -new -key $1.key -subj /CN=$1 -out $1.csr; "
        "echo subjectAltName=$3 >$1.ext; "
        "openssl x509 -req -in $1.csr -CA $2.crt -CAkey $2.key -set_serial 0x$(openssl rand -hex 8)"
        " -days 30 -extfile $1.ext -out $1.crt; "
        "cat $1.key $1.crt >$1.pem",
        name, ca, names);
    char *file = sup_format("%s.pem", name), *path = sup_path(file);
    free(file);
    return path;
}
