/*
 * tls.c: see tls.h. Contexts and sessions; tls_why.c has the texts of failures.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "asqueue.h"
#include "redis/tls.h"
#include "redis/tls_why.h"
#include "redis/url.h"

enum { HOST_MAX = 256, WRITE_MAX = 1 << 30 };

/* Attributes that show whether a file was changed or replaced. */
struct version {
    dev_t dev;
    ino_t ino;
    off_t size;
    struct timespec modified, changed;
};

enum { FILE_CA, FILE_CA_DIR, FILE_CERT, FILE_KEY, FILES };

struct asq__tls {
    atomic_int refs;
    char *ca, *cert, *key; /* or NULL */
    pthread_mutex_t lock;
    SSL_CTX *ctx; /* NULL: not made yet */
    /* Version of each file that `ctx` was made from. */
    struct version files[FILES];
    BIO_METHOD *method;
};

struct asq__tls_session {
    struct asq__tls *tls;
    SSL *ssl;
    struct asq__tls_peer peer;
    const struct asq__url *url;      /* outlives it */
    const struct asq__host *reached; /* by the URL's nat=, which may have several names for it */
    int fd;
    int error; /* errno of the socket */
    bool closed;
};

/* ---- the socket, below TLS ---- */

static int socket_write(BIO *bio, const char *data, int n)
{
    struct asq__tls_session *s = BIO_get_data(bio);
    BIO_clear_retry_flags(bio);
    ssize_t sent = send(s->fd, data, (size_t) n, MSG_NOSIGNAL);
    if (sent < 0 && (errno == EAGAIN || errno == EINTR))
        BIO_set_retry_write(bio);
    else if (sent < 0)
        s->error = errno;
    return (int) sent;
}

static int socket_read(BIO *bio, char *data, int n)
{
    struct asq__tls_session *s = BIO_get_data(bio);
    BIO_clear_retry_flags(bio);
    ssize_t got = recv(s->fd, data, (size_t) n, 0);
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        BIO_set_retry_read(bio);
    else if (got < 0)
        s->error = errno;
    else if (got == 0)
        s->closed = true;
    return (int) got;
}

static long socket_ctrl(BIO *bio, int what, long number, void *p)
{
    const struct asq__tls_session *s = BIO_get_data(bio);
    (void) number;
    (void) p;
    return what == BIO_CTRL_FLUSH ? 1 : what == BIO_CTRL_EOF ? s->closed : 0;
}

static BIO_METHOD *new_method(void)
{
    BIO_METHOD *m = BIO_meth_new(BIO_TYPE_SOCKET, "asqueue socket");
    if (m && BIO_meth_set_write(m, socket_write) && BIO_meth_set_read(m, socket_read) &&
        BIO_meth_set_ctrl(m, socket_ctrl))
        return m;
    BIO_meth_free(m);
    return NULL;
}

/* ---- contexts ---- */

static char *copy_setting(const char *given, const char *variable)
{
    const char *value = given ? given : secure_getenv(variable);
    return value && *value ? strdup(value) : NULL;
}

struct asq__tls *asq__tls_new(const char *ca, const char *cert, const char *key)
{
    struct asq__tls *t = calloc(1, sizeof *t);
    if (!t)
        return NULL;
    atomic_init(&t->refs, 1);
    pthread_mutex_init(&t->lock, NULL);
    t->ca = copy_setting(ca, "ASQUEUE_TLS_CA");
    /* Certificate and key belong together, so both come from the URL or both from the
     * environment. */
    bool from_url = cert || key;
    t->cert =
        from_url ? copy_setting(cert ? cert : "", "") : copy_setting(NULL, "ASQUEUE_TLS_CERT");
    t->key = from_url ? copy_setting(key ? key : "", "") : copy_setting(NULL, "ASQUEUE_TLS_KEY");
    t->method = new_method();
    if (t->method)
        return t;
    asq__tls_unref(t);
    return NULL;
}

struct asq__tls *asq__tls_ref(struct asq__tls *t)
{
    if (t)
        atomic_fetch_add(&t->refs, 1);
    return t;
}

void asq__tls_unref(struct asq__tls *t)
{
    if (!t || atomic_fetch_sub(&t->refs, 1) != 1)
        return;
    SSL_CTX_free(t->ctx);
    BIO_meth_free(t->method);
    pthread_mutex_destroy(&t->lock);
    free(t->ca);
    free(t->cert);
    free(t->key);
    free(t);
}

static struct version version_of(const char *path)
{
    struct version v = { 0 };
    struct stat st;
    if (path && stat(path, &st) == 0)
        v = (struct version){ st.st_dev, st.st_ino, st.st_size, st.st_mtim, st.st_ctim };
    return v;
}

static bool same_version(const struct version *a, const struct version *b)
{
    return a->dev == b->dev && a->ino == b->ino && a->size == b->size &&
           a->modified.tv_sec == b->modified.tv_sec && a->modified.tv_nsec == b->modified.tv_nsec &&
           a->changed.tv_sec == b->changed.tv_sec && a->changed.tv_nsec == b->changed.tv_nsec;
}

static void stat_files(const struct asq__tls *t, struct version files[FILES])
{
    files[FILE_CA] = version_of(t->ca ? t->ca : X509_get_default_cert_file());
    files[FILE_CA_DIR] = version_of(t->ca ? NULL : X509_get_default_cert_dir());
    files[FILE_CERT] = version_of(t->cert);
    files[FILE_KEY] = version_of(t->key);
}

/* Refuses to give a passphrase; OpenSSL itself would ask on the terminal. */
static int no_passphrase(char *to, int size, int writing, void *user)
{
    (void) to, (void) size, (void) writing, (void) user;
    return -1;
}

static int load_ca(const struct asq__tls *t, SSL_CTX *ctx, char why[ASQ__TLS_WHY])
{
    struct stat st;
    if (!t->ca)
        return SSL_CTX_set_default_verify_paths(ctx) == 1
                   ? 0
                   : asq__tls_why_file("the system's CA certificates", "", why);
    if (stat(t->ca, &st) < 0)
        return asq__tls_why_unreadable("CA file", t->ca, errno, why);
    bool dir = S_ISDIR(st.st_mode);
    if (!dir && !asq__tls_can_read("CA file", t->ca, why))
        return ASQ_ECONN;
    if (SSL_CTX_load_verify_locations(ctx, dir ? NULL : t->ca, dir ? t->ca : NULL) != 1)
        return asq__tls_why_file("CA file", t->ca, why);
    return 0;
}

static int load_own_certificate(const struct asq__tls *t, SSL_CTX *ctx, char why[ASQ__TLS_WHY])
{
    if (!t->cert && !t->key)
        return 0;
    if (!t->cert) {
        snprintf(why, ASQ__TLS_WHY,
                 "there is a key (%s) for TLS, but no certificate: give cert= in the URL, or "
                 "ASQUEUE_TLS_CERT",
                 t->key);
        return ASQ_ECONN;
    }
    const char *key = t->key ? t->key : t->cert; /* one file may hold both */
    if (!asq__tls_can_read("certificate file", t->cert, why) ||
        !asq__tls_can_read("key file", key, why))
        return ASQ_ECONN;
    if (SSL_CTX_use_certificate_chain_file(ctx, t->cert) != 1)
        return asq__tls_why_file("certificate file", t->cert, why);
    if (SSL_CTX_use_PrivateKey_file(ctx, key, SSL_FILETYPE_PEM) != 1 ||
        SSL_CTX_check_private_key(ctx) != 1)
        return asq__tls_why_key(key, t->cert, !t->key, why);
    return 0;
}

static SSL_CTX *new_context(const struct asq__tls *t, char why[ASQ__TLS_WHY])
{
    ERR_clear_error();
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    if (!ctx) {
        asq__tls_why_file("OpenSSL", "", why);
        return NULL;
    }
    /* The system's own minimum may be higher, but not lower. */
    if (SSL_CTX_get_min_proto_version(ctx) < TLS1_2_VERSION)
        SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION);
    SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
    SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                              SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_read_ahead(ctx, 1);
    SSL_CTX_set_default_passwd_cb(ctx, no_passphrase);
    if (load_ca(t, ctx, why) == 0 && load_own_certificate(t, ctx, why) == 0)
        return ctx;
    SSL_CTX_free(ctx);
    ERR_clear_error();
    return NULL;
}

/* Returns a context of the current files. The caller frees it. */
static SSL_CTX *current_context(struct asq__tls *t, char why[ASQ__TLS_WHY])
{
    struct version files[FILES];
    pthread_mutex_lock(&t->lock);
    stat_files(t, files);
    bool same = t->ctx != NULL;
    for (int i = 0; i < FILES && same; i++)
        same = same_version(&files[i], &t->files[i]);
    if (!same) {
        SSL_CTX_free(t->ctx);
        t->ctx = new_context(t, why);
        memcpy(t->files, files, sizeof files);
    }
    SSL_CTX *ctx = t->ctx;
    if (ctx)
        SSL_CTX_up_ref(ctx);
    pthread_mutex_unlock(&t->lock);
    return ctx;
}

/* ---- sessions ---- */

/* Returns whether `host` is an address; `out` gets it without an IPv6 zone, which certificates
 * lack. */
static bool is_address(const char *host, char out[HOST_MAX])
{
    unsigned char bytes[sizeof(struct in6_addr)];
    size_t n = strcspn(host, "%");
    if (n >= HOST_MAX)
        return false;
    memcpy(out, host, n);
    out[n] = '\0';
    return inet_pton(AF_INET, out, bytes) == 1 || inet_pton(AF_INET6, out, bytes) == 1;
}

/* Returns whether a certificate that is not for the host that was connected to is for one that the
 * URL's nat= leads there: nodes have certificates for what they announce. */
static bool is_for_announced(const struct asq__tls_session *s, X509_STORE_CTX *store)
{
    int error = X509_STORE_CTX_get_error(store);
    X509 *certificate = X509_STORE_CTX_get0_cert(store);
    const struct asq__nat *nat = &s->url->nat;
    const struct asq__host *announced;
    size_t from = 0;
    char address[HOST_MAX];
    bool yes = false;
    if ((error != X509_V_ERR_HOSTNAME_MISMATCH && error != X509_V_ERR_IP_ADDRESS_MISMATCH) ||
        !s->reached || !certificate)
        return false;
    while (!yes && (announced = asq__nat_announced(nat, s->reached->name, s->reached->port, &from)))
        yes = is_address(announced->name, address)
                  ? X509_check_ip_asc(certificate, address, 0) == 1
                  : X509_check_host(certificate, announced->name, 0,
                                    X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS, NULL) == 1;
    return yes;
}

static int on_verified(int ok, X509_STORE_CTX *store)
{
    const SSL *ssl = X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());
    struct asq__tls_session *s = SSL_get_app_data(ssl);
    if (!ok && is_for_announced(s, store)) {
        X509_STORE_CTX_set_error(store, X509_V_OK);
        return 1;
    }
    if (!ok)
        asq__tls_note_certificate(&s->peer, store);
    return ok;
}

/* Sets the name that the certificate must have, and the SNI. */
static bool name_peer(struct asq__tls_session *s, const struct asq__url *url, const char *given)
{
    char host[HOST_MAX];
    bool address = is_address(given, host);
    if (!address) {
        size_t n = strlen(given);
        if (n > 1 && given[n - 1] == '.') /* certificates lack the root's dot */
            n--;
        if (n >= sizeof host)
            return false;
        memcpy(host, given, n);
        host[n] = '\0';
        if (SSL_set_tlsext_host_name(s->ssl, host) != 1)
            return false;
    }
    snprintf(s->peer.name, sizeof s->peer.name, "%s", host);
    if (url->tls_verify != ASQ__TLS_VERIFY_FULL)
        return true;
    if (address)
        return X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(s->ssl), host) == 1;
    SSL_set_hostflags(s->ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    return SSL_set1_host(s->ssl, host) == 1;
}

/* Notes by which other names the server may be known. */
static void find_names(struct asq__tls_session *s, const struct asq__url *url, const char *host,
                       int port)
{
    size_t from = 0;
    const struct asq__host *announced =
        url->tls_sni ? NULL : asq__nat_announced(&url->nat, host, port, &from);
    s->url = url;
    s->reached = announced ? &url->nat.reached.list[from - 1] : NULL;
    s->peer.announced = announced ? announced->name : NULL;
    s->peer.is_node = asq__url_is_cluster(url);
}

int asq__tls_session_new(const struct asq__url *url, const char *host, int port, int fd,
                         struct asq__tls_session **ret, char why[ASQ__TLS_WHY])
{
    const char *name = url->tls_sni ? url->tls_sni : host;
    snprintf(why, ASQ__TLS_WHY, "out of memory for TLS");
    SSL_CTX *ctx = current_context(url->tls_files, why);
    if (!ctx)
        return ASQ_ECONN;
    struct asq__tls_session *s = calloc(1, sizeof *s);
    BIO *bio = s ? BIO_new(url->tls_files->method) : NULL;
    if (s)
        s->ssl = SSL_new(ctx);
    SSL_CTX_free(ctx);
    if (!bio || !s->ssl) {
        BIO_free(bio);
        if (s)
            SSL_free(s->ssl);
        free(s);
        return ASQ_ENOMEM;
    }
    s->tls = asq__tls_ref(url->tls_files);
    s->fd = fd;
    s->peer.own_certificate = url->tls_files->cert;
    find_names(s, url, host, port);
    BIO_set_data(bio, s);
    BIO_set_init(bio, 1);
    SSL_set_bio(s->ssl, bio, bio);
    SSL_set_app_data(s->ssl, s);
    SSL_set_connect_state(s->ssl);
    SSL_set_verify(s->ssl,
                   url->tls_verify == ASQ__TLS_VERIFY_NO ? SSL_VERIFY_NONE : SSL_VERIFY_PEER,
                   url->tls_verify == ASQ__TLS_VERIFY_NO ? NULL : on_verified);
    if (!name_peer(s, url, name)) {
        snprintf(why, ASQ__TLS_WHY, "'%.200s' is not a name that a certificate can have", name);
        asq__tls_session_free(s);
        ERR_clear_error();
        return ASQ_ECONN;
    }
    *ret = s;
    return 0;
}

void asq__tls_session_free(struct asq__tls_session *s)
{
    if (!s)
        return;
    /* No close_notify: sending it may block, and Redis does not need it. */
    SSL_free(s->ssl);
    asq__tls_unref(s->tls);
    free(s);
}

/* Evaluates an operation that returned `result`: 0 with *wants, or -1 with a text. */
static int check_result(struct asq__tls_session *s, int result, bool handshake,
                        enum asq__tls_wants *wants, char why[ASQ__TLS_WHY])
{
    int error = SSL_get_error(s->ssl, result);
    *wants = error == SSL_ERROR_WANT_READ    ? ASQ__TLS_READABLE
             : error == SSL_ERROR_WANT_WRITE ? ASQ__TLS_WRITABLE
                                             : ASQ__TLS_NOTHING;
    if (*wants != ASQ__TLS_NOTHING)
        return 0;
    asq__tls_why(&s->peer, handshake, s->closed || error == SSL_ERROR_ZERO_RETURN, s->error, why);
    ERR_clear_error();
    return -1;
}

int asq__tls_handshake(struct asq__tls_session *s, enum asq__tls_wants *wants,
                       char why[ASQ__TLS_WHY])
{
    ERR_clear_error();
    int result = SSL_do_handshake(s->ssl);
    if (result == 1)
        return 1;
    return check_result(s, result, true, wants, why) < 0 ? ASQ_ECONN : 0;
}

ssize_t asq__tls_recv(struct asq__tls_session *s, void *to, size_t n, bool *ret_wants_write,
                      char why[ASQ__TLS_WHY])
{
    enum asq__tls_wants wants = ASQ__TLS_NOTHING;
    ERR_clear_error();
    int got = SSL_read(s->ssl, to, n > WRITE_MAX ? WRITE_MAX : (int) n);
    if (got > 0)
        s->peer.has_answered = true;
    else
        got = check_result(s, got, false, &wants, why);
    *ret_wants_write = wants == ASQ__TLS_WRITABLE;
    return got;
}

ssize_t asq__tls_send(struct asq__tls_session *s, const void *from, size_t n, bool *ret_wants_read,
                      char why[ASQ__TLS_WHY])
{
    enum asq__tls_wants wants = ASQ__TLS_NOTHING;
    ERR_clear_error();
    int sent = SSL_write(s->ssl, from, n > WRITE_MAX ? WRITE_MAX : (int) n);
    if (sent <= 0)
        sent = check_result(s, sent, false, &wants, why);
    *ret_wants_read = wants == ASQ__TLS_READABLE;
    return sent;
}

bool asq__tls_has_more(const struct asq__tls_session *s)
{
    return SSL_has_pending(s->ssl) == 1;
}
