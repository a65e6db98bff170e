/*
 * creations.h: calls that have got an agent as an argument, in a Cluster. Its nodes keep no order
 * among each other, so such a call could run, and call the agent, before the agent's creation is in
 * its stream. Therefore the batch of the call is held until the creation is accepted, or has
 * failed; and with it what follows to its partition.
 *
 * A batch awaits only batches that were complete before it began to, so none await each other in a
 * circle. All of this is about a program's batches; nested_submit.c does it for those of methods.
 */
#ifndef ASQ_CLIENT_CREATIONS_H
#define ASQ_CLIENT_CREATIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct asq__batch;
struct asq__engine;

/* Of each partition. Numbers are those of batches; 0: none. */
struct asq__creations {
    uint64_t made;   /* of the last one with creations */
    uint64_t over;   /* of the last one of these that is accepted, or has failed */
    bool holds;      /* a batch of the partition is held */
    bool is_awaited; /* one of another partition is held for its creations */
};

/* A batch that is awaited. */
struct asq__awaited {
    uint32_t partition;
    uint64_t number;
};

/* Notes that an open batch has got a creation. */
void asq__batch_creates(struct asq__engine *e, struct asq__batch *b);
/* Has an open batch await the creations in n partitions that are under way. ASQ_ENOMEM. */
int asq__batch_await(struct asq__engine *e, struct asq__batch *b, const uint32_t *partitions,
                     size_t n);
/* Returns whether a batch has to wait; then its partition holds what is behind it, too. */
bool asq__batch_is_held(struct asq__engine *e, const struct asq__batch *b);
/* Notes that a batch is accepted, or has ended. */
void asq__batch_is_there(struct asq__engine *e, struct asq__batch *b);
/* Has no batch of the partitions (NULL: all) count as held until it is to be sent again: others
 * that stand before it, perhaps creations that are awaited, come back to be sent. */
void asq__creations_look_again(struct asq__engine *e, const bool *parts);
/* Has the batches looked at again that were held, when creations are over since. */
void asq__creations_resume(struct asq__engine *e);

#endif
