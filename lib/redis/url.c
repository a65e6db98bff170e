/*
 * url.c: see url.h.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <ifaddrs.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "asqueue.h"
#include "redis/known_hosts.h"
#include "redis/lookup.h"
#include "redis/sentinels.h"
#include "redis/url.h"
#include "redis/url_hosts.h"
#include "redis/url_text.h"
#include "value/buf.h"
#include "value/error.h"

enum { RESOLVE_MS = 5000, MASTER_MAX_BYTES = 128 };

const char asq__url_unverified_text[] =
    "verify=no: any server at this address is taken for the intended Redis, and gets the password; "
    "give the CA of that Redis by cacert= instead";

const char asq__url_plain_text[] =
    "the password and all calls go to another host as plain text: use TLS (rediss://)";

static int no_memory(char *err, size_t errlen)
{
    return asq__err(err, errlen, ASQ_ENOMEM, "out of memory");
}

/* ---- ?name=value&… ---- */

static int parse_verify(struct asq__url *u, const char *value, size_t n, char *err, size_t errlen)
{
    static const char *const names[] = {
        [ASQ__TLS_VERIFY_FULL] = "full", [ASQ__TLS_VERIFY_CA] = "ca", [ASQ__TLS_VERIFY_NO] = "no"
    };
    for (int i = 0; i < 3; i++)
        if (n == strlen(names[i]) && memcmp(value, names[i], n) == 0) {
            u->tls_verify = (enum asq__tls_verify) i;
            return 0;
        }
    return asq__err(err, errlen, ASQ_EINVAL,
                    "the URL's verify is '%.*s'; known: full (the default), ca (any host of the "
                    "CA's), no (anybody)",
                    (int) (n > 40 ? 40 : n), value);
}

static int set_parameter(struct asq__url *u, const char *name, size_t name_n, const char *value,
                         size_t n, char *err, size_t errlen)
{
    bool redis = u->scheme == ASQ__URL_TCP || u->scheme == ASQ__URL_UNIX;
    long i;
    int rc;
#define IS(text) (name_n == sizeof text - 1 && memcmp(name, text, name_n) == 0)
    if (redis && IS("ns"))
        return asq__url_decode(&u->ns, value, n, "ns", err, errlen);
    if (u->tls && (IS("cacert") || IS("cert") || IS("key") || IS("sni"))) {
        char **to = IS("cacert") ? &u->tls_ca
                    : IS("cert") ? &u->tls_cert
                    : IS("key")  ? &u->tls_key
                                 : &u->tls_sni;
        if (!n)
            return asq__err(err, errlen, ASQ_EINVAL, "the URL's %.*s= is empty", (int) name_n,
                            name);
        rc = asq__url_decode(to, value, n, "TLS parameter", err, errlen);
        return rc == 0 && to == &u->tls_sni ? asq__host_check_name(*to, "sni", err, errlen) : rc;
    }
    if (u->servers == ASQ__URL_CLUSTER && IS("nat")) {
        asq__nat_release(&u->nat);
        return asq__nat_parse(value, n, &u->nat, err, errlen);
    }
    if (u->servers == ASQ__URL_SENTINEL && IS("sentinel-user"))
        return asq__url_decode(&u->sentinel_user, value, n, "sentinel-user", err, errlen);
    if (u->servers == ASQ__URL_SENTINEL && IS("sentinel-password"))
        return asq__url_decode(&u->sentinel_password, value, n, "sentinel-password", err, errlen);
    if (u->servers == ASQ__URL_SENTINEL && IS("sentinel-password-file"))
        return asq__url_decode(&u->sentinel_password_file, value, n, "sentinel-password-file", err,
                               errlen);
    if (u->tls && IS("verify"))
        return parse_verify(u, value, n, err, errlen);
    if (u->scheme == ASQ__URL_UNIX && IS("user"))
        return asq__url_decode(&u->user, value, n, "user", err, errlen);
    if (u->scheme == ASQ__URL_UNIX && IS("password"))
        return asq__url_decode(&u->password, value, n, "password", err, errlen);
    if (u->scheme == ASQ__URL_UNIX && IS("db")) {
        rc = asq__url_number(value, n, 0, 1000000, "db", &i, err, errlen);
        if (rc == 0)
            u->db = (int) i;
        return rc;
    }
    if (u->scheme == ASQ__URL_CHILD && (IS("processes") || IS("capacity"))) {
        bool processes = IS("processes");
        rc = asq__url_number(value, n, 1, processes ? 1024 : 4096,
                             processes ? "processes" : "capacity", &i, err, errlen);
        if (rc == 0)
            *(processes ? &u->processes : &u->capacity) = (uint32_t) i;
        return rc;
    }
#undef IS
    const char *known = u->scheme == ASQ__URL_UNIX ? "db, ns, user, password"
                        : u->servers == ASQ__URL_CLUSTER
                            ? (u->tls ? "ns, nat, cacert, cert, key, sni, verify" : "ns, nat")
                        : u->servers == ASQ__URL_SENTINEL
                            ? (u->tls ? "ns, sentinel-user, sentinel-password, "
                                        "sentinel-password-file, cacert, cert, key, sni, verify"
                                      : "ns, sentinel-user, sentinel-password, "
                                        "sentinel-password-file")
                        : u->tls                      ? "ns, cacert, cert, key, sni, verify"
                        : u->scheme == ASQ__URL_TCP   ? "ns"
                        : u->scheme == ASQ__URL_CHILD ? "processes, capacity"
                                                      : "none";
    return asq__err(err, errlen, ASQ_EINVAL,
                    "the URL has a parameter '%.*s' that is not known; known parameters: %s",
                    (int) (name_n > 40 ? 40 : name_n), name, known);
}

static int parse_parameters(struct asq__url *u, const char *s, char *err, size_t errlen)
{
    while (*s) {
        size_t n = strcspn(s, "&"), name_n = strcspn(s, "=&");
        int rc = n == 0 ? 0 /* "?&ns=N" */
                 : name_n < n
                     ? set_parameter(u, s, name_n, s + name_n + 1, n - name_n - 1, err, errlen)
                     : set_parameter(u, s, n, "", 0, err, errlen);
        if (rc < 0)
            return rc;
        s += n;
        if (*s == '&')
            s++;
    }
    return 0;
}

/* ---- redis://[[user]:password@]host[:port][,…][/MASTER][/db] ---- */

static int parse_authority(struct asq__url *u, const char *s, size_t n, char *err, size_t errlen)
{
    const int port = u->servers == ASQ__URL_SENTINEL ? 26379 : 6379;
    struct asq__host first = { NULL, 0 };
    int rc = 0;
    const char *at = NULL;
    for (size_t i = 0; i < n; i++)
        if (s[i] == '@')
            at = s + i; /* the last one: a password may have others */
    if (at) {
        const char *colon = memchr(s, ':', (size_t) (at - s));
        if (!colon)
            rc = asq__url_decode(&u->password, s, (size_t) (at - s), "password", err, errlen);
        else if ((rc = asq__url_decode(&u->password, colon + 1, (size_t) (at - colon - 1),
                                       "password", err, errlen)) == 0 &&
                 colon > s)
            rc = asq__url_decode(&u->user, s, (size_t) (colon - s), "user", err, errlen);
        if (rc < 0)
            return rc;
        n -= (size_t) (at + 1 - s);
        s = at + 1;
    }
    if (u->servers != ASQ__URL_ONE) {
        rc = asq__hosts_parse(s, n, port, &u->others, err, errlen);
        if (rc < 0)
            return rc;
        first = u->others.list[0];
        memmove(u->others.list, u->others.list + 1, --u->others.n * sizeof first);
    } else {
        rc = asq__host_parse(s, n, port, "host", &first, err, errlen);
    }
    u->host = first.name;
    u->port = first.port;
    return rc;
}

/* Parses /MASTER, and moves *s behind it. Words of +switch-master are separated by blanks, so a
 * name has none. */
static int parse_master(struct asq__url *u, const char **s, char *err, size_t errlen)
{
    size_t n = **s == '/' ? strcspn(*s + 1, "/?") : 0;
    if (n == 0)
        return asq__err(err, errlen, ASQ_EINVAL,
                        "the URL of Sentinels needs the master's name behind the hosts, as in "
                        "redis+sentinel://host1,host2,host3/mymaster");
    int rc = asq__url_decode(&u->master, *s + 1, n, "master's name", err, errlen);
    if (rc < 0)
        return rc;
    for (const char *p = u->master; *p; p++)
        if (!asq__url_is_plain((unsigned char) *p, "!#$&'()*+,-./:;<=>?@[]^_{|}~"))
            return asq__err(err, errlen, ASQ_EINVAL,
                            "the URL's name of the master has byte 0x%02X at place %zu, which such "
                            "a name cannot have",
                            (unsigned char) *p, (size_t) (p - u->master) + 1);
    if (strlen(u->master) > MASTER_MAX_BYTES)
        return asq__err(err, errlen, ASQ_EINVAL,
                        "the URL's name of the master has %zu bytes; names have up to %d",
                        strlen(u->master), MASTER_MAX_BYTES);
    *s += n + 1;
    return 0;
}

/* Completes the user and password for the Sentinels, as complete_user() those of the master. */
static int complete_sentinels(struct asq__url *u, char *err, size_t errlen)
{
    if (u->sentinel_password_file && u->sentinel_password)
        return asq__err(
            err, errlen, ASQ_EINVAL,
            "the URL has sentinel-password= and sentinel-password-file=: leave one out");
    if (u->sentinel_password_file && !*u->sentinel_password_file)
        return asq__err(err, errlen, ASQ_EINVAL, "the URL's sentinel-password-file= is empty");
    if (u->sentinel_user && !*u->sentinel_user) {
        free(u->sentinel_user);
        u->sentinel_user = NULL;
    }
    if (!u->sentinel_user && u->sentinel_password && !*u->sentinel_password) {
        free(u->sentinel_password);
        u->sentinel_password = NULL;
    }
    if (u->sentinel_user && !u->sentinel_password && !u->sentinel_password_file &&
        !(u->sentinel_password = strdup("")))
        return no_memory(err, errlen);
    u->sentinels = asq__sentinels_new(u);
    return u->sentinels ? 0 : no_memory(err, errlen);
}

static int parse_tcp(struct asq__url *u, const char *s, char *err, size_t errlen)
{
    size_t n = strcspn(s, "/?");
    long db = 0;
    /* Without this check, an error about a wrong port would show a part of the password. */
    if (strchr(s + n, '@'))
        return asq__err(
            err, errlen, ASQ_EINVAL,
            "the URL has an '@' behind a '/' or '?'; write these two as %%2F and %%3F in a user "
            "or password, and an '@' behind the host as %%40");
    int rc = parse_authority(u, s, n, err, errlen);
    if (rc < 0)
        return rc;
    s += n;
    if (u->servers == ASQ__URL_SENTINEL && (rc = parse_master(u, &s, err, errlen)) < 0)
        return rc;
    if (*s == '/') {
        size_t digits = strcspn(++s, "?");
        if (digits)
            rc = asq__url_number(s, digits, 0, 1000000, "database", &db, err, errlen);
        s += digits;
    }
    u->db = (int) db;
    if (rc == 0 && db && u->servers == ASQ__URL_CLUSTER)
        rc = asq__err(err, errlen, ASQ_EINVAL,
                      "the URL has database %ld, and a Cluster has only database 0", db);
    if (rc == 0 && *s == '?')
        rc = parse_parameters(u, s + 1, err, errlen);
    if (rc == 0 && u->servers == ASQ__URL_ONE && !(u->in_cluster = calloc(1, sizeof(atomic_bool))))
        rc = no_memory(err, errlen);
    if (rc == 0 && u->servers != ASQ__URL_SENTINEL && !(u->known = asq__known_hosts_new()))
        rc = no_memory(err, errlen);
    return rc == 0 && u->servers == ASQ__URL_SENTINEL ? complete_sentinels(u, err, errlen) : rc;
}

static int parse_unix(struct asq__url *u, const char *s, char *err, size_t errlen)
{
    if (strncmp(s, "//", 2) == 0)
        s += 2;
    size_t n = strcspn(s, "?");
    if (*s != '/')
        return asq__err(err, errlen, ASQ_EINVAL,
                        "unix: needs an absolute path, as in unix:/run/redis/redis.sock");
    int rc = asq__url_decode(&u->path, s, n, "path", err, errlen);
    if (rc == 0 && strlen(u->path) >= sizeof((struct sockaddr_un *) 0)->sun_path)
        rc =
            asq__err(err, errlen, ASQ_EINVAL, "the path of the Unix socket has more than %zu bytes",
                     sizeof((struct sockaddr_un *) 0)->sun_path - 1);
    return rc == 0 && s[n] == '?' ? parse_parameters(u, s + n + 1, err, errlen) : rc;
}

/* Completes user and password. An empty name counts as none, and so does an empty password without
 * a name. A name without a password gets an empty one, so that AUTH is sent for a user that needs
 * no password. */
static int complete_user(struct asq__url *u)
{
    if (u->user && !*u->user) {
        free(u->user);
        u->user = NULL;
    }
    if (!u->user && u->password && !*u->password) {
        free(u->password);
        u->password = NULL;
    }
    if (u->user && !u->password && !(u->password = strdup("")))
        return ASQ_ENOMEM;
    return 0;
}

static const struct scheme {
    const char *prefix;
    bool tls;
    enum asq__url_servers servers;
} schemes[] = {
    { "redis://", false, ASQ__URL_ONE },
    { "rediss://", true, ASQ__URL_ONE },
    { "redis+cluster://", false, ASQ__URL_CLUSTER },
    { "rediss+cluster://", true, ASQ__URL_CLUSTER },
    { "redis+sentinel://", false, ASQ__URL_SENTINEL },
    { "rediss+sentinel://", true, ASQ__URL_SENTINEL },
};

/* Returns the scheme of a URL over TCP, or NULL. */
static const struct scheme *find_scheme(const char *text)
{
    for (size_t i = 0; i < sizeof schemes / sizeof schemes[0]; i++)
        if (strncasecmp(text, schemes[i].prefix, strlen(schemes[i].prefix)) == 0)
            return &schemes[i];
    return NULL;
}

static const char *scheme_prefix(const struct asq__url *u)
{
    size_t i = 0;
    while (schemes[i].tls != u->tls || schemes[i].servers != u->servers)
        i++;
    return schemes[i].prefix;
}

int asq__url_parse(const char *text, struct asq__url *ret, char *err, size_t errlen)
{
    struct asq__url u = { 0 };
    const struct scheme *tcp = find_scheme(text);
    int rc;
#define STARTS(s) (strncasecmp(text, s, sizeof s - 1) == 0)
    if (STARTS("local:") || STARTS("child:")) {
        u.scheme = STARTS("local:") ? ASQ__URL_LOCAL : ASQ__URL_CHILD;
        const char *rest = text + 6;
        rc = *rest == '?' ? parse_parameters(&u, rest + 1, err, errlen)
             : *rest ? asq__err(err, errlen, ASQ_EINVAL, "'%.40s' behind %.6s is not understood",
                                rest, text)
                     : 0;
    } else if (tcp) {
        u.scheme = ASQ__URL_TCP;
        u.tls = tcp->tls;
        u.servers = tcp->servers;
#ifndef HAVE_TLS
        if (u.tls)
            rc =
                asq__err(err, errlen, ASQ_ENOTSUP,
                         "%s needs TLS, which this build does not have: configure found no OpenSSL "
                         "(libssl-dev, openssl-devel)",
                         tcp->prefix);
        else
#endif
            rc = parse_tcp(&u, text + strlen(tcp->prefix), err, errlen);
#ifdef HAVE_TLS
        if (rc == 0 && u.tls && !(u.tls_files = asq__tls_new(u.tls_ca, u.tls_cert, u.tls_key)))
            rc = no_memory(err, errlen);
#endif
    } else if (STARTS("unix:")) {
        u.scheme = ASQ__URL_UNIX;
        rc = parse_unix(&u, text + 5, err, errlen);
    } else {
        /* Shows only the scheme, because a password may follow. */
        size_t n = strcspn(text, ":/");
        rc = asq__err(
            err, errlen, ASQ_EINVAL,
            "'%.*s%s' begins no known URL: use local:, child:, redis://, rediss://, "
            "redis+sentinel://, rediss+sentinel://, redis+cluster://, rediss+cluster:// or "
            "unix:",
            (int) (n > 40 ? 40 : n), text, text[n] == ':' ? ":" : "");
    }
#undef STARTS
    if (rc == 0 && complete_user(&u) < 0)
        rc = no_memory(err, errlen);
    if (rc < 0)
        asq__url_release(&u);
    else
        *ret = u;
    return rc;
}

int asq__url_copy(struct asq__url *to, const struct asq__url *from)
{
    struct asq__url u = *from;
    u.host = from->host ? strdup(from->host) : NULL;
    u.path = from->path ? strdup(from->path) : NULL;
    u.user = from->user ? strdup(from->user) : NULL;
    u.password = from->password ? strdup(from->password) : NULL;
    u.ns = from->ns ? strdup(from->ns) : NULL;
    u.tls_ca = from->tls_ca ? strdup(from->tls_ca) : NULL;
    u.tls_cert = from->tls_cert ? strdup(from->tls_cert) : NULL;
    u.tls_key = from->tls_key ? strdup(from->tls_key) : NULL;
    u.tls_sni = from->tls_sni ? strdup(from->tls_sni) : NULL;
    u.master = from->master ? strdup(from->master) : NULL;
    u.sentinel_user = from->sentinel_user ? strdup(from->sentinel_user) : NULL;
    u.sentinel_password = from->sentinel_password ? strdup(from->sentinel_password) : NULL;
    u.sentinel_password_file =
        from->sentinel_password_file ? strdup(from->sentinel_password_file) : NULL;
    u.known = asq__known_hosts_ref(from->known);
    u.sentinels = asq__sentinels_ref(from->sentinels);
    u.in_cluster = from->in_cluster ? malloc(sizeof(atomic_bool)) : NULL;
    if (u.in_cluster)
        atomic_init(u.in_cluster, atomic_load(from->in_cluster));
#ifdef HAVE_TLS
    u.tls_files = asq__tls_ref(from->tls_files);
#endif
    u.others = (struct asq__hosts){ NULL, 0 };
    u.nat = (struct asq__nat){ { NULL, 0 }, { NULL, 0 } };
    bool lists =
        asq__hosts_copy(&u.others, &from->others) == 0 && asq__nat_copy(&u.nat, &from->nat) == 0;
    if (!lists || (from->host && !u.host) || (from->path && !u.path) || (from->user && !u.user) ||
        (from->password && !u.password) || (from->ns && !u.ns) || (from->tls_ca && !u.tls_ca) ||
        (from->tls_cert && !u.tls_cert) || (from->tls_key && !u.tls_key) ||
        (from->tls_sni && !u.tls_sni) || (from->master && !u.master) ||
        (from->sentinel_user && !u.sentinel_user) ||
        (from->sentinel_password && !u.sentinel_password) ||
        (from->sentinel_password_file && !u.sentinel_password_file) ||
        (from->in_cluster && !u.in_cluster)) {
        asq__url_release(&u);
        return ASQ_ENOMEM;
    }
    *to = u;
    return 0;
}

bool asq__url_join_cluster(const struct asq__url *u)
{
    if (!u->in_cluster || u->db != 0)
        return false;
    atomic_store(u->in_cluster, true);
    return true;
}

void asq__url_release(struct asq__url *u)
{
    if (!u)
        return;
    free(u->host);
    free(u->path);
    free(u->user);
    free(u->password);
    free(u->ns);
    free(u->tls_ca);
    free(u->tls_cert);
    free(u->tls_key);
    free(u->tls_sni);
    free(u->master);
    free(u->sentinel_user);
    free(u->sentinel_password);
    free(u->sentinel_password_file);
    free(u->in_cluster);
    asq__known_hosts_unref(u->known);
    asq__sentinels_unref(u->sentinels);
    asq__hosts_release(&u->others);
    asq__nat_release(&u->nat);
#ifdef HAVE_TLS
    asq__tls_unref(u->tls_files);
#endif
    memset(u, 0, sizeof *u);
}

/* ---- as text ---- */

static void put_escaped(struct asq__buf *b, const char *s)
{
    asq__url_put_escaped(b, s, "-._~");
}

/* Appends "?name=" or "&name=". */
static void put_name(struct asq__buf *b, char *sep, const char *name)
{
    asq__buf_putc(b, (uint8_t) *sep);
    asq__buf_printf(b, "%s=", name);
    *sep = '&';
}

static void put_number(struct asq__buf *b, char *sep, const char *name, long value)
{
    if (value) {
        put_name(b, sep, name);
        asq__buf_printf(b, "%ld", value);
    }
}

static void put_text(struct asq__buf *b, char *sep, const char *name, const char *text)
{
    if (text) {
        put_name(b, sep, name);
        put_escaped(b, text);
    }
}

static void put_path(struct asq__buf *b, char *sep, const char *name, const char *path)
{
    if (path) {
        put_name(b, sep, name);
        asq__url_put_escaped(b, path, "-._~/");
    }
}

/* Appends the password; a hidden one is always "***", also if empty. */
static void put_password(struct asq__buf *b, const char *password, bool hide)
{
    if (hide)
        asq__buf_puts(b, "***");
    else
        put_escaped(b, password);
}

static void put_authority(struct asq__buf *b, const struct asq__url *u, bool hide_password)
{
    if (u->password) {
        if (u->user)
            put_escaped(b, u->user);
        asq__buf_putc(b, ':');
        put_password(b, u->password, hide_password);
        asq__buf_putc(b, '@');
    }
    asq__host_put(b, &(struct asq__host){ u->host, u->port });
    if (u->others.n) {
        asq__buf_putc(b, ',');
        asq__hosts_put(b, &u->others);
    }
    if (u->master) {
        asq__buf_putc(b, '/');
        put_escaped(b, u->master);
    }
    if (u->db)
        asq__buf_printf(b, "/%d", u->db);
}

char *asq__url_format(const struct asq__url *u, bool hide_password)
{
    struct asq__buf b;
    char sep = '?';
    asq__buf_init(&b, 65536);
    switch (u->scheme) {
    case ASQ__URL_LOCAL: asq__buf_puts(&b, "local:"); break;
    case ASQ__URL_CHILD:
        asq__buf_puts(&b, "child:");
        put_number(&b, &sep, "processes", (long) u->processes);
        put_number(&b, &sep, "capacity", (long) u->capacity);
        break;
    case ASQ__URL_TCP:
        asq__buf_puts(&b, scheme_prefix(u));
        put_authority(&b, u, hide_password);
        put_text(&b, &sep, "sentinel-user", u->sentinel_user);
        if (u->sentinel_password) {
            put_name(&b, &sep, "sentinel-password");
            put_password(&b, u->sentinel_password, hide_password);
        }
        put_path(&b, &sep, "sentinel-password-file", u->sentinel_password_file);
        put_path(&b, &sep, "cacert", u->tls_ca);
        put_path(&b, &sep, "cert", u->tls_cert);
        put_path(&b, &sep, "key", u->tls_key);
        put_text(&b, &sep, "sni", u->tls_sni);
        if (u->tls_verify != ASQ__TLS_VERIFY_FULL)
            put_text(&b, &sep, "verify", u->tls_verify == ASQ__TLS_VERIFY_CA ? "ca" : "no");
        if (u->nat.reached.n) {
            put_name(&b, &sep, "nat");
            asq__nat_put(&b, &u->nat);
        }
        break;
    case ASQ__URL_UNIX:
        asq__buf_puts(&b, "unix:");
        asq__url_put_escaped(&b, u->path, "-._~/");
        put_number(&b, &sep, "db", u->db);
        put_text(&b, &sep, "user", u->user);
        if (u->password) {
            put_name(&b, &sep, "password");
            put_password(&b, u->password, hide_password);
        }
        break;
    }
    put_text(&b, &sep, "ns", u->ns);
    return (char *) asq__buf_detach(&b, NULL);
}

/* ---- local or remote ---- */

static bool same_address(const struct sockaddr *a, const struct sockaddr *b)
{
    if (!a || !b || a->sa_family != b->sa_family)
        return false;
    if (a->sa_family == AF_INET)
        return ((const struct sockaddr_in *) (const void *) a)->sin_addr.s_addr ==
               ((const struct sockaddr_in *) (const void *) b)->sin_addr.s_addr;
    if (a->sa_family == AF_INET6)
        return memcmp(&((const struct sockaddr_in6 *) (const void *) a)->sin6_addr,
                      &((const struct sockaddr_in6 *) (const void *) b)->sin6_addr,
                      sizeof(struct in6_addr)) == 0;
    return false;
}

/* Returns whether an address is of this machine by its form; so are the "any" addresses, which
 * connect to this machine. */
static bool is_loopback(const struct sockaddr *a)
{
    if (a->sa_family == AF_INET) {
        uint32_t v4 = ntohl(((const struct sockaddr_in *) (const void *) a)->sin_addr.s_addr);
        return v4 >> 24 == 127 || v4 == INADDR_ANY;
    }
    if (a->sa_family != AF_INET6)
        return false;
    const struct in6_addr *v6 = &((const struct sockaddr_in6 *) (const void *) a)->sin6_addr;
    return IN6_IS_ADDR_LOOPBACK(v6) || IN6_IS_ADDR_UNSPECIFIED(v6) ||
           (IN6_IS_ADDR_V4MAPPED(v6) && v6->s6_addr[12] == 127);
}

static bool is_own_address(const struct sockaddr *a, const struct ifaddrs *own)
{
    bool here = is_loopback(a);
    for (const struct ifaddrs *i = own; i && !here; i = i->ifa_next)
        here = same_address(a, i->ifa_addr);
    return here;
}

bool asq__address_is_local(const struct sockaddr *address)
{
    struct ifaddrs *own = NULL;
    if (address->sa_family == AF_UNIX)
        return true;
    if (getifaddrs(&own) != 0)
        own = NULL;
    bool here = is_own_address(address, own);
    if (own)
        freeifaddrs(own);
    return here;
}

bool asq__url_has_plain_password(const struct asq__url *u)
{
    return u->scheme == ASQ__URL_TCP && !u->tls && u->password && *u->password;
}

static int host_is_local(const char *name, int port, char *err, size_t errlen)
{
    struct asq__address one;
    struct asq__lookup *lookup = NULL;
    const struct asq__address *found = &one;
    struct ifaddrs *own = NULL;
    int n = 1;
    if (!asq__address_parse(name, port, &one)) {
        if (asq__lookup_start(name, port, &lookup, err, errlen) < 0)
            return ASQ_ECONN;
        if (asq__lookup_wait(lookup, RESOLVE_MS))
            n = asq__lookup_addresses(lookup, &found, err, errlen);
        else
            n = asq__err(err, errlen, ASQ_ECONN,
                         "the resolver has not answered for the name '%.200s' within %d ms", name,
                         RESOLVE_MS);
        if (n < 0) {
            asq__lookup_free(lookup);
            return n;
        }
    }
    if (getifaddrs(&own) != 0)
        own = NULL;
    bool local = n > 0;
    for (int i = 0; i < n && local; i++) {
        const void *sockaddr = &found[i].sockaddr;
        local = is_own_address(sockaddr, own);
    }
    if (own)
        freeifaddrs(own);
    asq__lookup_free(lookup);
    return local;
}

int asq__url_is_local(const struct asq__url *u, char *err, size_t errlen)
{
    if (u->scheme != ASQ__URL_TCP)
        return 1;
    int local = host_is_local(u->host, u->port, err, errlen);
    for (size_t i = 0; i < u->others.n && local == 1; i++)
        local = host_is_local(u->others.list[i].name, u->others.list[i].port, err, errlen);
    for (size_t i = 0; i < u->nat.reached.n && local == 1; i++)
        local =
            host_is_local(u->nat.reached.list[i].name, u->nat.reached.list[i].port, err, errlen);
    return local;
}
