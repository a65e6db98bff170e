/*
 * sentinels.c: see sentinels.h.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "asqueue.h"
#include "redis/lookup.h"
#include "redis/sentinels.h"
#include "redis/url.h"
#include "value/error.h"

struct asq__sentinels {
    atomic_int refs;
    atomic_bool local;
    pthread_mutex_t lock;
    struct asq__server_address list[ASQ__SENTINELS_MAX]; /* the URL's, then the learned ones */
    unsigned n, n_given;
    unsigned first;                    /* index of the one that has answered last */
    struct asq__server_address master; /* host "": not told yet */
};

static void add(struct asq__sentinels *s, const struct asq__server_address *one)
{
    for (unsigned i = 0; i < s->n; i++)
        if (asq__server_address_is_same(&s->list[i], one))
            return;
    if (s->n < ASQ__SENTINELS_MAX)
        s->list[s->n++] = *one;
}

static void add_host(struct asq__sentinels *s, const char *host, int port)
{
    struct asq__server_address one = { "", port };
    snprintf(one.host, sizeof one.host, "%s", host);
    add(s, &one);
}

struct asq__sentinels *asq__sentinels_new(const struct asq__url *url)
{
    struct asq__sentinels *s = calloc(1, sizeof *s);
    if (!s)
        return NULL;
    atomic_init(&s->refs, 1);
    pthread_mutex_init(&s->lock, NULL);
    add_host(s, url->host, url->port);
    for (size_t i = 0; i < url->others.n; i++)
        add_host(s, url->others.list[i].name, url->others.list[i].port);
    s->n_given = s->n;
    return s;
}

struct asq__sentinels *asq__sentinels_ref(struct asq__sentinels *s)
{
    if (s)
        atomic_fetch_add(&s->refs, 1);
    return s;
}

void asq__sentinels_unref(struct asq__sentinels *s)
{
    if (!s || atomic_fetch_sub(&s->refs, 1) != 1)
        return;
    pthread_mutex_destroy(&s->lock);
    free(s);
}

unsigned asq__sentinels_list(struct asq__sentinels *s,
                             struct asq__server_address list[ASQ__SENTINELS_MAX])
{
    pthread_mutex_lock(&s->lock);
    unsigned n = s->n;
    for (unsigned i = 0; i < n; i++)
        list[i] = s->list[(s->first + i) % n];
    pthread_mutex_unlock(&s->lock);
    return n;
}

void asq__sentinels_skip(struct asq__sentinels *s, unsigned n)
{
    pthread_mutex_lock(&s->lock);
    s->first = (s->first + n) % s->n;
    pthread_mutex_unlock(&s->lock);
}

/* Makes `by` the first to be asked. Call with the lock. */
static void prefer(struct asq__sentinels *s, const struct asq__server_address *by)
{
    for (unsigned i = 0; i < s->n; i++)
        if (asq__server_address_is_same(&s->list[i], by))
            s->first = i;
}

bool asq__sentinels_told(struct asq__sentinels *s, const struct asq__server_address *by,
                         const struct asq__server_address *master)
{
    pthread_mutex_lock(&s->lock);
    prefer(s, by);
    bool moved = !asq__server_address_is_same(&s->master, master);
    s->master = *master;
    pthread_mutex_unlock(&s->lock);
    return moved;
}

static bool is_usable(const struct asq__sentinels *s, const struct asq__server_address *one)
{
    struct asq__address address;
    return !asq__sentinels_are_kept_local(s) ||
           (asq__address_parse(one->host, one->port, &address) &&
            asq__address_is_local((const void *) &address.sockaddr));
}

void asq__sentinels_learn(struct asq__sentinels *s, const struct asq__server_address *by,
                          const struct asq__server_address *others, unsigned n)
{
    pthread_mutex_lock(&s->lock);
    s->n = s->n_given;
    s->first = 0;
    add(s, by);
    for (unsigned i = 0; i < n; i++)
        if (is_usable(s, &others[i]))
            add(s, &others[i]);
    prefer(s, by);
    pthread_mutex_unlock(&s->lock);
}

bool asq__sentinels_master(struct asq__sentinels *s, struct asq__server_address *ret)
{
    pthread_mutex_lock(&s->lock);
    *ret = s->master;
    pthread_mutex_unlock(&s->lock);
    return *ret->host != '\0';
}

void asq__sentinels_keep_local(struct asq__sentinels *s)
{
    atomic_store(&s->local, true);
}

bool asq__sentinels_are_kept_local(const struct asq__sentinels *s)
{
    return atomic_load(&s->local);
}

/* ---- the Sentinels' own credentials ---- */

/* Reads the first line of a file that other users cannot read. */
static int read_password(const char *path, char room[ASQ__SENTINEL_PASSWORD_MAX],
                         char why[ASQ__SENTINEL_WHY])
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK), rc = ASQ_EAUTH;
    ssize_t n;
    struct stat st;
    if (fd < 0 || fstat(fd, &st) < 0) {
        asq__err(why, ASQ__SENTINEL_WHY, rc, "the file of sentinel-password-file, %.180s: %s", path,
                 strerror(errno));
    } else if (st.st_mode & S_IRWXO) {
        asq__err(why, ASQ__SENTINEL_WHY, rc,
                 "the file of sentinel-password-file, %.180s, can be read by other users: chmod o= "
                 "it",
                 path);
    } else if ((n = read(fd, room, ASQ__SENTINEL_PASSWORD_MAX - 1)) < 0) {
        asq__err(why, ASQ__SENTINEL_WHY, rc, "the file of sentinel-password-file, %.180s: %s", path,
                 strerror(errno));
    } else {
        room[n] = '\0';
        room[strcspn(room, "\r\n")] = '\0';
        rc = *room ? 0
                   : asq__err(why, ASQ__SENTINEL_WHY, rc,
                              "the file of sentinel-password-file, %.180s, has no password in its "
                              "first line",
                              path);
    }
    if (fd >= 0)
        close(fd);
    return rc;
}

int asq__sentinel_url(const struct asq__url *url, struct asq__server_address *at,
                      char room[ASQ__SENTINEL_PASSWORD_MAX], struct asq__url *ret,
                      char why[ASQ__SENTINEL_WHY])
{
    memset(ret, 0, sizeof *ret);
    ret->scheme = ASQ__URL_TCP;
    ret->servers = ASQ__URL_SENTINEL;
    ret->tls = url->tls;
    ret->tls_sni = url->tls_sni;
    ret->tls_verify = url->tls_verify;
    ret->tls_files = url->tls_files;
    ret->host = at->host;
    ret->port = at->port;
    ret->user = url->sentinel_user;
    ret->password = url->sentinel_password;
    if (!url->sentinel_password_file)
        return 0;
    ret->password = room;
    return read_password(url->sentinel_password_file, room, why);
}
