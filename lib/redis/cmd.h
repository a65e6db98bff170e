/*
 * cmd.h: builds a command argument by argument, in the form in which it is sent, without an argv of
 * all arguments. asq__conn_send writes the head, which counts them, before it.
 */
#ifndef ASQ_REDIS_CMD_H
#define ASQ_REDIS_CMD_H

#include <stddef.h>
#include <stdint.h>

#include "value/buf.h"

struct asq__cmd {
    struct asq__buf bytes; /* asq__conn_send returns its error */
    size_t argc;
};

void asq__cmd_init(struct asq__cmd *c);
void asq__cmd_release(struct asq__cmd *c);
/* Empties it for the next command. Keeps the memory unless it is large. */
void asq__cmd_reset(struct asq__cmd *c);
void asq__cmd_put(struct asq__cmd *c, const void *data, size_t n);
void asq__cmd_puts(struct asq__cmd *c, const char *s);
void asq__cmd_number(struct asq__cmd *c, uint64_t number);
/* Appends all arguments of another command. */
void asq__cmd_append(struct asq__cmd *c, const struct asq__cmd *other);

/* Write one argument, and a head for argc arguments, in the Redis protocol. */
void asq__cmd_write_arg(struct asq__buf *b, const void *data, size_t n);
void asq__cmd_write_head(struct asq__buf *b, size_t argc);

#endif
