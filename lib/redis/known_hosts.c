/*
 * known_hosts.c: see known_hosts.h.
 */
#include "redis/known_hosts.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "asqueue.h"
#include "redis/topology.h"

struct asq__known_hosts {
    atomic_int refs;
    pthread_mutex_t lock;
    struct asq__hosts hosts;
};

struct asq__known_hosts *asq__known_hosts_new(void)
{
    struct asq__known_hosts *k = calloc(1, sizeof *k);
    if (!k)
        return NULL;
    atomic_init(&k->refs, 1);
    pthread_mutex_init(&k->lock, NULL);
    return k;
}

struct asq__known_hosts *asq__known_hosts_ref(struct asq__known_hosts *k)
{
    if (k)
        atomic_fetch_add(&k->refs, 1);
    return k;
}

void asq__known_hosts_unref(struct asq__known_hosts *k)
{
    if (!k || atomic_fetch_sub(&k->refs, 1) != 1)
        return;
    asq__hosts_release(&k->hosts);
    pthread_mutex_destroy(&k->lock);
    free(k);
}

static bool has_owners(const struct asq__topology *map)
{
    for (int slot = 0; slot < ASQ__SLOTS; slot++)
        if (map->owner[slot] != ASQ__NO_NODE)
            return true;
    return false;
}

void asq__known_hosts_learn(struct asq__known_hosts *k, const struct asq__topology *map)
{
    struct asq__host *list = k && has_owners(map) ? malloc(map->n * sizeof *list) : NULL;
    struct asq__hosts copy, of_map = { list, map->n };
    if (!list)
        return;
    for (size_t i = 0; i < map->n; i++)
        list[i] = map->nodes[i].host;
    int rc = asq__hosts_copy(&copy, &of_map);
    free(list);
    if (rc < 0)
        return;
    pthread_mutex_lock(&k->lock);
    struct asq__hosts before = k->hosts;
    k->hosts = copy;
    pthread_mutex_unlock(&k->lock);
    asq__hosts_release(&before);
}

int asq__known_hosts_copy(struct asq__known_hosts *k, struct asq__hosts *ret)
{
    *ret = (struct asq__hosts){ NULL, 0 };
    if (!k)
        return 0;
    pthread_mutex_lock(&k->lock);
    int rc = asq__hosts_copy(ret, &k->hosts);
    pthread_mutex_unlock(&k->lock);
    return rc;
}
