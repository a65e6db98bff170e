/*
 * move_page.h: reads a key of any type in pages, so that neither a reply nor the time for which a
 * server is busy grows with the key; and makes a checksum of what was read, which is the same on
 * every version of Redis, however it keeps the key.
 */
#ifndef ASQ_CLIENT_MOVE_PAGE_H
#define ASQ_CLIENT_MOVE_PAGE_H

#include <hiredis/hiredis.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "redis/keys.h"

struct asq__cmd;

enum asq__key_type {
    ASQ__KEY_NONE, /* the key is not there */
    ASQ__KEY_STRING,
    ASQ__KEY_HASH,
    ASQ__KEY_SET,
    ASQ__KEY_ZSET,
    ASQ__KEY_STREAM,
    ASQ__KEY_OTHER
};

/* Returns the type that a reply to TYPE names. */
enum asq__key_type asq__key_type_of(const redisReply *reply);

struct asq__pages {
    enum asq__key_type type;
    bool done;
    char name[ASQ__KEY_MAX];
    size_t name_n;
    /* The next page: a number of bytes, a cursor, or an id. */
    uint64_t offset;
    char at[64];
    uint32_t count;   /* elements to ask for */
    char last_id[64]; /* STREAM: the highest id that it has ever had; "": not known yet */
};

/* Takes an element: STRING: the bytes; HASH: field, value; SET: member; ZSET: member, score;
 * STREAM: id, list of fields and values. Missing ones are NULL. */
typedef int (*asq__element_fn)(void *user, const redisReply *a, const redisReply *b);

void asq__pages_begin(struct asq__pages *p, const char *name, size_t n, enum asq__key_type type);
/* Writes the command that reads the next page. */
void asq__pages_ask(struct asq__pages *p, struct asq__cmd *cmd);
/* Takes its reply. A hash or set may give an element twice. ASQ_EPROTO: the reply is nonsense; the
 * codes of fn. */
int asq__pages_take(struct asq__pages *p, const redisReply *reply, asq__element_fn fn, void *user);

/* ---- checksums ---- */

struct asq__digest {
    enum asq__key_type type;
    uint8_t sum[16];         /* of STRING and STREAM so far */
    uint8_t (*elements)[16]; /* of others: of each one */
    size_t n, cap;
    uint64_t bytes, items;
};

void asq__digest_begin(struct asq__digest *d, enum asq__key_type type);
int asq__digest_element(void *digest, const redisReply *a, const redisReply *b);
/* Ends it: bytes and items are complete, and `sum` is the checksum. Frees memory. */
void asq__digest_end(struct asq__digest *d, const struct asq__pages *p);
void asq__digest_release(struct asq__digest *d);

#endif
