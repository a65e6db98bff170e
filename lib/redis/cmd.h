/*
 * cmd.h: a command that is put together argument by argument, in the form in which it is sent. For those
 * whose arguments would have to be made and listed first otherwise. The head, which counts them, is put
 * before it by asq__conn_send.
 */
#ifndef ASQ_REDIS_CMD_H
#define ASQ_REDIS_CMD_H

#include "value/buf.h"

struct asq__cmd {
    struct asq__buf bytes; /* its error is told by who sends it */
    size_t argc;
};

void asq__cmd_init(struct asq__cmd *c);
void asq__cmd_release(struct asq__cmd *c);
/* Empties it for the next one. Keeps its memory, when that is not much. */
void asq__cmd_reset(struct asq__cmd *c);
void asq__cmd_put(struct asq__cmd *c, const void *data, size_t n);
void asq__cmd_puts(struct asq__cmd *c, const char *s);
void asq__cmd_number(struct asq__cmd *c, uint64_t number);
/* All arguments of another one. */
void asq__cmd_append(struct asq__cmd *c, const struct asq__cmd *other);

/* One argument, and a head for argc of them, as the protocol has them. */
void asq__cmd_write_arg(struct asq__buf *b, const void *data, size_t n);
void asq__cmd_write_head(struct asq__buf *b, size_t argc);

#endif
