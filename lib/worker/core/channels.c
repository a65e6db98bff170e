/*
 * channels.c: clients besides its sender that get the results of a batch. There may be thousands:
 * each is found by hash, and there is a bound, because each costs a push in the commit that has the
 * result. A client beyond the bound polls the record by itself, as every client does now and then.
 */
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "asqueue.h"
#include "value/list.h"
#include "value/table.h"
#include "worker/core/channels.h"
#include "worker/core/entry.h"

enum { FEW = 16, CHANNELS_AT_MOST = 10000 };

struct channel {
    struct asq__node node; /* in entry->by_client, when there are more than a few */
    char client[];
};

static const void *channel_key(const struct asq__node *node, size_t *n)
{
    const struct channel *c = ASQ__CONTAINER(node, struct channel, node);
    *n = strlen(c->client);
    return c->client;
}

static bool has(const struct asq__entry *e, const char *client, size_t n)
{
    if (e->by_client)
        return asq__table_find(e->by_client, client, n);
    for (size_t i = 0; i < e->nchannels; i++)
        if (strcmp(e->channels[i], client) == 0)
            return true;
    return false;
}

static struct channel *channel_of(const char *client)
{
    return ASQ__CONTAINER(client, struct channel, client);
}

static int make_table(struct asq__entry *e)
{
    struct asq__table *t = malloc(sizeof *t);
    if (!t || asq__table_init(t, channel_key) < 0) {
        free(t);
        return ASQ_ENOMEM;
    }
    for (size_t i = 0; i < e->nchannels; i++)
        asq__table_add(t, &channel_of(e->channels[i])->node);
    e->by_client = t;
    return 0;
}

int asq__channels_add(struct asq__entry *e, const char *client, size_t *ret_bytes)
{
    size_t n = strlen(client);
    *ret_bytes = 0;
    if (n == 0 || strcmp(e->batch->reply, client) == 0 || has(e, client, n))
        return 0;
    if (e->nchannels == CHANNELS_AT_MOST)
        return ASQ_ELIMIT;
    if (e->nchannels == FEW && make_table(e) < 0)
        return ASQ_ENOMEM;
    if ((e->nchannels & (e->nchannels - 1)) == 0) { /* as many as there is room for */
        size_t room = e->nchannels ? 2 * e->nchannels : 1;
        char **channels = realloc(e->channels, room * sizeof(char *));
        if (!channels)
            return ASQ_ENOMEM;
        e->channels = channels;
    }
    struct channel *c = calloc(1, sizeof *c + n + 1);
    if (!c)
        return ASQ_ENOMEM;
    memcpy(c->client, client, n + 1);
    if (e->by_client)
        asq__table_add(e->by_client, &c->node);
    e->channels[e->nchannels++] = c->client;
    *ret_bytes = sizeof *c + n + 1 + sizeof(char *);
    return 0;
}

void asq__channels_free(struct asq__entry *e)
{
    for (size_t i = 0; i < e->nchannels; i++)
        free(channel_of(e->channels[i]));
    free(e->channels);
    if (e->by_client)
        asq__table_release(e->by_client);
    free(e->by_client);
    e->channels = NULL;
    e->by_client = NULL;
    e->nchannels = 0;
}
