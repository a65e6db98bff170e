/*
 * keeper.h: keeps a handle's key in Redis (redis/handle_key.h) while the handle is open, on a
 * thread and a connection of its own, because the handle's loop runs only while its program waits.
 */
#ifndef ASQ_CLIENT_KEEPER_H
#define ASQ_CLIENT_KEEPER_H

#include <stdbool.h>

#include "asqueue.h"
#include "redis/trouble.h"

struct asq__keeper;
struct asq__keys;
struct asq__url;

enum { ASQ__KEEPER_LINE = ASQ__TROUBLE_TEXT + 80 };

/* Starts the thread, and waits for its first try. 0: Redis has the key, or is away and will get it.
 * The URL must outlive the keeper. Errors: ASQ_EREDIS (refused), ASQ_ESYS, ASQ_ENOMEM. */
int asq__keeper_new(const struct asq__url *url, const struct asq__keys *keys, const char *client,
                    struct asq__keeper **ret, char *err, size_t errlen);
/* Takes what is to be logged. False: nothing. */
bool asq__keeper_line(struct asq__keeper *k, asq_log_level *level, char text[ASQ__KEEPER_LINE]);
/* Writes that the handle is closed, if Redis is there, and ends the thread. In the copy of a
 * process made by fork both do nothing. */
void asq__keeper_free(struct asq__keeper *k);

#endif
