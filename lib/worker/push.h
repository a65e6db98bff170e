/*
 * push.h: results that are committed already, pushed to clients.
 */
#ifndef ASQ_WORKER_PUSH_H
#define ASQ_WORKER_PUSH_H

#include <stddef.h>
#include <stdint.h>

#include "value/buf.h"
#include "value/msg.h"

struct asq__commit;
struct asq__entry;
struct asq__partition;

/* Pushes committed results to a client. */
void asq__push(struct asq__partition *p, const char *client, const void *data, size_t n);
/* Announces a record of n bytes: the client reads from its key what it lacks. */
void asq__push_announcement(struct asq__partition *p, const uint8_t batch[ASQ__BATCH_ID],
                            const char *client, size_t n);
/* Frames of several batches for one client; zeroed at first. */
enum { ASQ__PUSH_GROUPS = 8 }; /* clients whose frames are gathered at a time */
struct asq__push_group {
    const char *client;
    struct asq__buf frames;
};
/* Gathers a frame of results for all clients that wait for the entry's; pushes those of a client
 * when there are many. */
void asq__push_gather(struct asq__push_group groups[ASQ__PUSH_GROUPS], const struct asq__entry *e,
                      const struct asq__buf *frame);
/* Pushes the rest. */
void asq__push_gathered(struct asq__partition *p, struct asq__push_group groups[ASQ__PUSH_GROUPS]);
/* Pushes the results of a commit that its script has not pushed, because replicas were waited
 * for. */
void asq__push_results(const struct asq__commit *c);
/* Pushes a whole record that was read from Redis, once the replicas have it that are to have it. A
 * large one is only announced. */
void asq__push_record(struct asq__partition *p, const uint8_t batch[ASQ__BATCH_ID],
                      const char *client, const void *data, size_t n);
/* Pushes a record to all clients that wait for the entry's results; beyond a number of bytes it is
 * announced to the others. */
void asq__push_to_all(const struct asq__entry *e, const void *data, size_t n);

#endif
