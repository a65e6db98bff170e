/*
 * floor.h: the protocol between the floor's client and worker, and their connections.
 *
 * An entry has one batch; its bytes begin with a header of 40 characters: the batch's id in 32
 * hexadecimal digits, of which the first 16 are the client's, the number of calls in 4 digits, and
 * 4 characters of padding.
 */
#ifndef FLOOR_H
#define FLOOR_H

#include <hiredis/hiredis.h>
#include <stddef.h>
#include <stdint.h>

enum {
    FLOOR_HEADER = 40,
    FLOOR_ID = 32,
    FLOOR_CLIENT = 16,
    /* Sizes of the library's messages beyond the payload. */
    FLOOR_CALL_OVERHEAD = 32, /* bytes of a call in an entry */
    FLOOR_RECORD = 48,        /* an agent's snapshot */
    FLOOR_FRAME = 30,         /* bytes of a result frame with one result */
    FLOOR_RESULT = 8          /* bytes of each further result */
};
/* Beginning of a channel, which ends with 16 characters of the client. */
#define FLOOR_CHANNEL     "asq:{default}:c:"
#define FLOOR_CHANNEL_MAX 40

/* A hiredis connection, with hiredis' reader for replies. */
struct floor_conn {
    redisContext *c;
    char *out; /* commands that were not written yet */
    size_t n, cap;
};

/* End the process when the connection fails. */
void floor_connect(struct floor_conn *c, const char *socket);
void floor_close(struct floor_conn *c);
/* Adds a command; a large one leaves at once. */
void floor_command(struct floor_conn *c, size_t argc, const char *const *argv, const size_t *lens);
void floor_write(struct floor_conn *c);
/* Reads once. floor_reply then returns the replies that have arrived. */
void floor_read(struct floor_conn *c);
/* NULL: no further reply yet. An error reply ends the process. */
redisReply *floor_reply(struct floor_conn *c);

#endif
