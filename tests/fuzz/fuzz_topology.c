/*
 * fuzz_topology.c: whatever a server says of its Cluster is refused with a text, or is a topology
 * within its bounds, all of whose hosts have names.
 */
#include "redis/topology.h"
#include "redis/url.h"

#include <asqueue.h>

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(int condition)
{
    if (!condition)
        abort();
}

static void check(const struct asq__topology *t)
{
    require(t->n > 0 && t->n <= ASQ__NODES_MAX);
    for (size_t i = 0; i < t->n; i++) {
        require(asq__host_is_name(t->nodes[i].host.name));
        require(t->nodes[i].host.port > 0 && t->nodes[i].host.port < 65536);
    }
    for (int i = 0; i < ASQ__SLOTS; i++)
        require(t->owner[i] == ASQ__NO_NODE ||
                (t->owner[i] < t->n && !t->nodes[t->owner[i]].is_replica));
}

static void redirect(const struct asq__topology_view *view, const redisReply *reply)
{
    struct asq__host host;
    uint16_t slot = 0;
    if (reply->type != REDIS_REPLY_ERROR)
        return;
    if (asq__redirect_parse(view, reply->str, &slot, &host) == ASQ__REDIRECT_NONE)
        require(!host.name);
    require(slot < ASQ__SLOTS && (!host.name || asq__host_is_name(host.name)));
    asq__host_release(&host);
}

/* The first byte chooses the form, TLS, and a map of addresses. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct asq__url url;
    struct asq__topology t;
    char err[400] = "";
    void *reply = NULL;
    redisReader *reader = redisReaderCreate();
    if (!size) {
        redisReaderFree(reader);
        return 0;
    }
    require(reader &&
            asq__url_parse(data[0] & 4 ? "redis+cluster://a?nat=h:1=g:2" : "redis+cluster://a",
                           &url, err, sizeof err) == 0);
    url.tls = data[0] & 2;
    struct asq__topology_view view = { &url, "seed", 7000 };
    require(redisReaderFeed(reader, (const char *) data + 1, size - 1) == REDIS_OK);
    if (redisReaderGetReply(reader, &reply) == REDIS_OK && reply) {
        int rc = data[0] & 1 ? asq__topology_from_slots(&view, reply, &t, err, sizeof err)
                             : asq__topology_from_shards(&view, reply, &t, err, sizeof err);
        require(rc == 0 || (rc == ASQ_EPROTO && *err));
        if (rc == 0) {
            check(&t);
            asq__topology_release(&t);
        }
        redirect(&view, reply);
        freeReplyObject(reply);
    }
    redisReaderFree(reader);
    url.tls = false;
    asq__url_release(&url);
    return 0;
}
