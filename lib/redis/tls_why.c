/*
 * tls_why.c: see tls_why.h. Names in certificates come from outside: messages show them without
 * control characters, and cut.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "asqueue.h"
#include "redis/tls_why.h"

enum { NAME_MAX_SHOWN = 64, NAMES_MAX_SHOWN = 3 };

/* ---- the certificate ---- */

/* Appends ", NAME" to `names`. */
static void add_name(char *names, size_t size, const char *name, size_t n)
{
    size_t len = strlen(names);
    size_t shown = n < NAME_MAX_SHOWN ? n : NAME_MAX_SHOWN;
    if (len + shown + 8 > size)
        return;
    if (len) {
        memcpy(names + len, ", ", 2);
        len += 2;
    }
    for (size_t i = 0; i < shown; i++)
        names[len++] = name[i] > ' ' && name[i] < 0x7f ? name[i] : '?';
    names[len] = '\0';
    if (shown < n)
        memcpy(names + len, "...", 4);
}

static void list_alternatives(const GENERAL_NAMES *list, char *names, size_t size)
{
    int n = sk_GENERAL_NAME_num(list), shown = 0;
    for (int i = 0; i < n && shown < NAMES_MAX_SHOWN; i++) {
        const GENERAL_NAME *name = sk_GENERAL_NAME_value(list, i);
        char text[INET6_ADDRSTRLEN] = "";
        if (name->type == GEN_DNS) {
            add_name(names, size, (const char *) ASN1_STRING_get0_data(name->d.dNSName),
                     (size_t) ASN1_STRING_length(name->d.dNSName));
            shown++;
        } else if (name->type == GEN_IPADD) {
            int bytes = ASN1_STRING_length(name->d.iPAddress);
            inet_ntop(bytes == 4 ? AF_INET : AF_INET6, ASN1_STRING_get0_data(name->d.iPAddress),
                      text, bytes == 4 || bytes == 16 ? sizeof text : 0);
            add_name(names, size, text, strlen(text));
            shown++;
        }
    }
    if (shown == NAMES_MAX_SHOWN && n > shown)
        add_name(names, size, "...", 3);
}

static void list_names(X509 *certificate, char *names, size_t size)
{
    GENERAL_NAMES *list = X509_get_ext_d2i(certificate, NID_subject_alt_name, NULL, NULL);
    names[0] = '\0';
    if (list) {
        list_alternatives(list, names, size);
        GENERAL_NAMES_free(list);
    }
    if (!*names) {
        char common[NAME_MAX_SHOWN + 1] = "";
        int n = X509_NAME_get_text_by_NID(X509_get_subject_name(certificate), NID_commonName,
                                          common, sizeof common);
        if (n > 0)
            add_name(names, size, common, strlen(common));
    }
}

static const char node_hint[] =
    "; give that node a certificate for it, or let the URL and the node "
    "(cluster-announce-hostname) call it as the certificate does";

void asq__tls_note_certificate(struct asq__tls_peer *peer, X509_STORE_CTX *store)
{
    int error = X509_STORE_CTX_get_error(store);
    X509 *certificate = X509_STORE_CTX_get0_cert(store);
    const char *text = X509_verify_cert_error_string(error);
    bool of_ca = X509_STORE_CTX_get_error_depth(store) > 0;
    char names[NAMES_MAX_SHOWN * (NAME_MAX_SHOWN + 8)] = "";
    size_t size = sizeof peer->certificate;
    if (*peer->certificate)
        return;
    switch (error) {
    case X509_V_ERR_HOSTNAME_MISMATCH:
    case X509_V_ERR_IP_ADDRESS_MISMATCH:
        if (certificate)
            list_names(certificate, names, sizeof names);
        snprintf(peer->certificate, size,
                 "the server's certificate is for %s, not for %.100s%s%.60s%s%s",
                 *names ? names : "nobody", peer->name, peer->announced ? " (announced as " : "",
                 peer->announced ? peer->announced : "", peer->announced ? ")" : "",
                 peer->is_node ? node_hint : "");
        break;
    case X509_V_ERR_CERT_HAS_EXPIRED:
        snprintf(peer->certificate, size, "the %s certificate has expired",
                 of_ca ? "CA's" : "server's");
        break;
    case X509_V_ERR_CERT_NOT_YET_VALID:
        snprintf(peer->certificate, size,
                 "the %s certificate is not valid yet (are both clocks right?)",
                 of_ca ? "CA's" : "server's");
        break;
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
    case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
    case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
        snprintf(peer->certificate, size,
                 "the server's certificate is from a CA that is not trusted here (%s); name its CA "
                 "by cacert= in the URL, or ASQUEUE_TLS_CA",
                 text);
        break;
    default: snprintf(peer->certificate, size, "the server's certificate is refused: %s", text);
    }
}

/* ---- operations ---- */

/* Names a server's alert about our own certificate, shown or missing. NULL: another alert. */
static const char *own_certificate_alert(int reason)
{
    switch (reason) {
    case SSL_R_SSLV3_ALERT_BAD_CERTIFICATE: return "bad certificate";
    case SSL_R_SSLV3_ALERT_CERTIFICATE_EXPIRED: return "it has expired";
    case SSL_R_SSLV3_ALERT_CERTIFICATE_REVOKED: return "it was revoked";
    case SSL_R_SSLV3_ALERT_CERTIFICATE_UNKNOWN: return "certificate unknown";
    case SSL_R_SSLV3_ALERT_UNSUPPORTED_CERTIFICATE: return "unsupported certificate";
    case SSL_R_TLSV1_ALERT_UNKNOWN_CA: return "it is from a CA that the server does not trust";
    case SSL_R_TLSV1_ALERT_DECRYPT_ERROR: return "decrypt error";
    case SSL_R_SSLV3_ALERT_HANDSHAKE_FAILURE: return "handshake failure";
#ifdef SSL_R_TLSV13_ALERT_CERTIFICATE_REQUIRED
    case SSL_R_TLSV13_ALERT_CERTIFICATE_REQUIRED: return "certificate required";
#endif
    default: return NULL;
    }
}

static const char wanted[] =
    "give one by cert= and key= in the URL, or ASQUEUE_TLS_CERT and ASQUEUE_TLS_KEY";

static void explain_alert(const struct asq__tls_peer *peer, const char *alert,
                          char why[ASQ__TLS_WHY])
{
    if (peer->own_certificate)
        snprintf(why, ASQ__TLS_WHY, "the server does not take the client certificate %.150s: %s",
                 peer->own_certificate, alert);
    else
        snprintf(why, ASQ__TLS_WHY, "the server wants a client certificate (%s): %s", alert,
                 wanted);
}

/* Writes why the server may have closed or reset the connection. */
static void explain_close(const struct asq__tls_peer *peer, bool handshake, const char *how,
                          char why[ASQ__TLS_WHY])
{
    if (handshake)
        snprintf(why, ASQ__TLS_WHY,
                 "%s during the TLS handshake; does the server speak TLS at this port?", how);
    else if (peer->has_answered)
        snprintf(why, ASQ__TLS_WHY, "%s", how);
    else if (peer->own_certificate) /* the server's alert may be lost with the connection */
        snprintf(why, ASQ__TLS_WHY,
                 "%s after the TLS handshake; it may not take the client certificate %.150s", how,
                 peer->own_certificate);
    else
        snprintf(why, ASQ__TLS_WHY,
                 "%s after the TLS handshake; it may want a client certificate: %s", how, wanted);
}

void asq__tls_why(const struct asq__tls_peer *peer, bool handshake, bool closed, int error,
                  char why[ASQ__TLS_WHY])
{
    unsigned long first = ERR_peek_error();
    int reason = ERR_GET_REASON(first);
    bool of_ssl = first && ERR_GET_LIB(first) == ERR_LIB_SSL;
    const char *alert = of_ssl ? own_certificate_alert(reason) : NULL;
    const char *text = first ? ERR_reason_error_string(first) : NULL;
    if (*peer->certificate)
        snprintf(why, ASQ__TLS_WHY, "%s", peer->certificate);
    else if (alert)
        explain_alert(peer, alert, why);
    else if (error)
        explain_close(peer, handshake, strerror(error), why);
    else if (closed)
        explain_close(peer, handshake, "Redis closed the connection", why);
    else if (of_ssl && handshake &&
             (reason == SSL_R_WRONG_VERSION_NUMBER || reason == SSL_R_HTTP_REQUEST ||
              reason == SSL_R_UNKNOWN_PROTOCOL || reason == SSL_R_UNEXPECTED_MESSAGE
#ifdef SSL_R_PACKET_LENGTH_TOO_LONG
              || reason == SSL_R_PACKET_LENGTH_TOO_LONG
#endif
#ifdef SSL_R_NOT_SSLV3_OR_TLS
              || reason == SSL_R_NOT_SSLV3_OR_TLS
#endif
              ))
        snprintf(why, ASQ__TLS_WHY, "the server does not speak TLS at this port (%s)",
                 text ? text : "no TLS record");
    else
        snprintf(why, ASQ__TLS_WHY, "TLS: %s", text ? text : "failed for an unknown reason");
}

/* ---- files ---- */

int asq__tls_why_unreadable(const char *what, const char *path, int error, char why[ASQ__TLS_WHY])
{
    snprintf(why, ASQ__TLS_WHY, "cannot read %s %.250s: %s", what, path, strerror(error));
    return ASQ_ECONN;
}

bool asq__tls_can_read(const char *what, const char *path, char why[ASQ__TLS_WHY])
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) {
        asq__tls_why_unreadable(what, path, errno, why);
        return false;
    }
    close(fd);
    return true;
}

int asq__tls_why_file(const char *what, const char *path, char why[ASQ__TLS_WHY])
{
    unsigned long error = ERR_peek_last_error();
    const char *text = error ? ERR_reason_error_string(error) : NULL;
    if (ERR_GET_LIB(error) == ERR_LIB_PEM && ERR_GET_REASON(error) == PEM_R_NO_START_LINE)
        text = "there is no certificate in it (PEM)";
    snprintf(why, ASQ__TLS_WHY, "%s %.250s: %s", what, path, text ? text : "it cannot be used");
    return ASQ_ECONN;
}

int asq__tls_why_key(const char *key, const char *cert, bool together, char why[ASQ__TLS_WHY])
{
    bool mismatch = false, encrypted = false, none = false;
    unsigned long error;
    const char *text = NULL;
    while ((error = ERR_get_error())) {
        int lib = ERR_GET_LIB(error), reason = ERR_GET_REASON(error);
        mismatch |= lib == ERR_LIB_X509 &&
                    (reason == X509_R_KEY_VALUES_MISMATCH || reason == X509_R_KEY_TYPE_MISMATCH);
        encrypted |= lib == ERR_LIB_PEM && (reason == PEM_R_BAD_PASSWORD_READ ||
                                            reason == PEM_R_PROBLEMS_GETTING_PASSWORD);
        none |= lib == ERR_LIB_PEM && reason == PEM_R_NO_START_LINE;
#ifdef ERR_LIB_OSSL_DECODER
        none |= lib == ERR_LIB_OSSL_DECODER;
#endif
        text = ERR_reason_error_string(error);
    }
    if (mismatch)
        snprintf(why, ASQ__TLS_WHY, "the key %.150s does not match the certificate %.150s", key,
                 cert);
    else if (encrypted)
        snprintf(why, ASQ__TLS_WHY,
                 "the key %.250s is encrypted; it has to be without a passphrase", key);
    else if (together)
        snprintf(why, ASQ__TLS_WHY,
                 "there is no key for the certificate %.150s: give key= in the URL, or "
                 "ASQUEUE_TLS_KEY",
                 cert);
    else if (none)
        snprintf(why, ASQ__TLS_WHY, "there is no private key (PEM) in %.250s", key);
    else
        snprintf(why, ASQ__TLS_WHY, "the key %.250s cannot be used: %s", key, text ? text : "?");
    return ASQ_ECONN;
}
