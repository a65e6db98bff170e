/*
 * fuzz_reply.c: any bytes of a server, in any pieces, become the replies that hiredis makes of
 * them, in an arena with a bound. Every function that examines a reply can be called with each of
 * them.
 */
#include "redis/refusal.h"
#include "redis/reply.h"
#include "value/arena.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { ARENA = 1 << 20, MAX_DEPTH = 12, REPLIES = 100 };

static void require(int condition)
{
    if (!condition)
        abort();
}

static void check(const redisReply *r, int depth)
{
    require(depth < MAX_DEPTH);
    (void) asq__reply_refusal(r);
    (void) asq__reply_is_transient(r);
    require(asq__reply_text(r) != NULL);
    switch (r->type) {
    case REDIS_REPLY_STRING:
    case REDIS_REPLY_STATUS:
    case REDIS_REPLY_ERROR: require(r->str && r->str[r->len] == '\0'); break;
    case REDIS_REPLY_ARRAY:
        for (size_t i = 0; i < (size_t) r->elements; i++) {
            require(r->element[i] != NULL);
            check(r->element[i], depth + 1);
        }
        break;
    default: break;
    }
}

static void same(const redisReply *a, const redisReply *b)
{
    require(a->type == b->type);
    if (a->type == REDIS_REPLY_INTEGER)
        require(a->integer == b->integer);
    if (a->type == REDIS_REPLY_STRING || a->type == REDIS_REPLY_STATUS ||
        a->type == REDIS_REPLY_ERROR)
        require(a->len == b->len && memcmp(a->str, b->str, (size_t) a->len) == 0);
    if (a->type == REDIS_REPLY_ARRAY) {
        require(a->elements == b->elements);
        for (size_t i = 0; i < (size_t) a->elements; i++)
            same(a->element[i], b->element[i]);
    }
}

/* The first byte is the size of the pieces in which the rest arrives. The arena refuses counts of
 * elements for which hiredis would reserve much memory, so hiredis gets accepted replies only. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct asq__arena arena;
    redisReader *reader = redisReaderCreate(), *other = redisReaderCreate();
    size_t piece = size ? data[0] % 64 + 1u : 1;
    int replies = 0, rc = REDIS_OK;

    require(reader && other);
    asq__arena_init(&arena, ARENA);
    asq__reply_in_arena(reader, &arena);
    for (size_t at = 1; at < size && rc == REDIS_OK; at += piece) {
        size_t n = size - at < piece ? size - at : piece;
        void *reply = NULL;
        require(redisReaderFeed(reader, (const char *) data + at, n) == REDIS_OK);
        require(redisReaderFeed(other, (const char *) data + at, n) == REDIS_OK);
        while ((rc = redisReaderGetReply(reader, &reply)) == REDIS_OK && reply &&
               replies++ < REPLIES) {
            void *its = NULL;
            check(reply, 0);
            require(redisReaderGetReply(other, &its) == REDIS_OK && its);
            same(reply, its);
            freeReplyObject(its);
            asq__arena_reset(&arena);
            reply = NULL;
        }
        if (replies > REPLIES)
            break;
    }
    redisReaderFree(reader);
    redisReaderFree(other);
    asq__arena_release(&arena);
    return 0;
}
