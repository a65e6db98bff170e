/*
 * url.h: parses and checks the URLs that asq_open and workers take. asqueue.h has the forms, at
 * asq_open.
 */
#ifndef ASQ_REDIS_URL_H
#define ASQ_REDIS_URL_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "redis/tls.h"
#include "redis/url_hosts.h"

struct asq__known_hosts;
struct asq__sentinels;
struct sockaddr;

enum asq__url_scheme { ASQ__URL_LOCAL, ASQ__URL_CHILD, ASQ__URL_TCP, ASQ__URL_UNIX };

/* TCP: what the URL's hosts are. */
enum asq__url_servers {
    ASQ__URL_ONE,     /* one Redis */
    ASQ__URL_CLUSTER, /* nodes of a Redis Cluster, of which any one tells the others */
    ASQ__URL_SENTINEL /* Sentinels, which tell the master */
};

struct asq__url {
    enum asq__url_scheme scheme;
    enum asq__url_servers servers;
    bool tls;
    char *tls_ca, *tls_cert, *tls_key; /* files; or NULL */
    char *tls_sni;                     /* or NULL: the host */
    enum asq__tls_verify tls_verify;
    struct asq__tls *tls_files; /* made from the files, shared with copies; NULL: no TLS */
    char *host;                 /* TCP; of a list the first */
    int port;
    struct asq__hosts others;       /* CLUSTER, SENTINEL: the list's further hosts */
    struct asq__nat nat;            /* CLUSTER: where to reach hosts that it announces */
    struct asq__known_hosts *known; /* CLUSTER, ONE over TCP: its nodes, shared with copies */
    char *master;                   /* SENTINEL: its name */
    /* SENTINEL: how to log in to the Sentinels; or NULL. A file's password is read each time. */
    char *sentinel_user, *sentinel_password, *sentinel_password_file;
    struct asq__sentinels *sentinels; /* what is known of them, shared with copies */
    char *path;                       /* UNIX */
    int db;
    char *user, *password;         /* or NULL; password "": for a user without one */
    struct asq__password *renewed; /* newer passwords; borrowed, also by copies; NULL: never */
    char *ns;                      /* or NULL */
    uint32_t processes, capacity;  /* CHILD; 0: the default */
    atomic_bool *in_cluster;       /* ONE over TCP: the host is a node of a Cluster; of each copy */
};

/* Warning about a URL with verify=no. */
extern const char asq__url_unverified_text[];

/* Warning about a password and calls that another host gets as plain text. */
extern const char asq__url_plain_text[];

/* Parses a URL. ASQ_EINVAL (ASQ_ENOTSUP: TLS in a build without it; ASQ_ENOMEM), with a text that
 * names the fault and shows nothing of the password. */
int asq__url_parse(const char *text, struct asq__url *ret, char *err, size_t errlen);
int asq__url_copy(struct asq__url *to, const struct asq__url *from);
void asq__url_release(struct asq__url *url);
/* Returns the URL as text, to be freed; a hidden password is ***, otherwise the text parses to the
 * same URL. NULL: no memory. */
char *asq__url_format(const struct asq__url *url, bool hide_password);
/* Returns 1 if each host of the URL, and each that its nat= leads to, is on this machine: a Unix
 * socket, or an address of one of its interfaces; else 0. Waits up to 5 s for a name to be
 * resolved; ASQ_ECONN with a text if that fails. */
int asq__url_is_local(const struct asq__url *url, char *err, size_t errlen);
/* Returns whether connections go to the nodes of a Redis Cluster, as the URL says or as was
 * found. */
static inline bool asq__url_is_cluster(const struct asq__url *url)
{
    return url->servers == ASQ__URL_CLUSTER || (url->in_cluster && atomic_load(url->in_cluster));
}
/* Notes that the only host of a URL is one node of a Cluster with several: connections from now on
 * go to all. False: they cannot, because the URL has another kind of server, or another database
 * than 0. */
bool asq__url_join_cluster(const struct asq__url *url);
/* Returns whether the URL has a password that goes over TCP without TLS. */
bool asq__url_has_plain_password(const struct asq__url *url);
/* Returns whether the address is of this machine; an address of a Unix socket is. */
bool asq__address_is_local(const struct sockaddr *address);

#endif
