/*
 * floor.h: what the floor's client and worker agree on.
 *
 * An entry is of one batch; its bytes begin with a header of 40 characters: the batch's id in 32
 * hexadecimal digits, the number of calls in 4, a space and 3 to fill up. The client's channel is one for all.
 */
#ifndef FLOOR_H
#define FLOOR_H

#include <stddef.h>
#include <stdint.h>

enum {
    FLOOR_HEADER = 40,
    FLOOR_ID = 32,
    /* What the library's messages have beyond the payload. */
    FLOOR_CALL_OVERHEAD = 32, /* of a call in an entry */
    FLOOR_RECORD = 48,        /* an agent's record */
    FLOOR_FRAME = 30,         /* a result frame with one result */
    FLOOR_RESULT = 8          /* each further one */
};
#define FLOOR_CHANNEL "asq:{default}:c:floor"

struct redisContext;
/* Appends a command and its arguments; fails the process when the connection does. */
void floor_command(struct redisContext *c, int argc, const char **argv, const size_t *lens);
void floor_write(struct redisContext *c);
struct redisContext *floor_connect(const char *socket);

#endif
