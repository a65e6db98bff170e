/*
 * move_keys.h: the keys of a namespace that moves: which there are, of which kind each is, and
 * which stay behind, because they tell of processes that do not move.
 */
#ifndef ASQ_CLIENT_MOVE_KEYS_H
#define ASQ_CLIENT_MOVE_KEYS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "client/move_page.h"

struct asq__side;

/* For people; the order is that of the report. */
enum asq__key_kind {
    ASQ__KIND_AGENTS,
    ASQ__KIND_CALLS, /* that wait */
    ASQ__KIND_LATER,
    ASQ__KIND_RESULTS,
    ASQ__KIND_STEPS,
    ASQ__KIND_PROMISES,
    ASQ__KIND_EMITTED,
    ASQ__KIND_TIMERS,
    ASQ__KIND_SIGNALS,
    ASQ__KIND_ATTEMPTS,
    ASQ__KIND_DEAD,
    ASQ__KIND_FAILURES,
    ASQ__KIND_LEASES, /* without owners; and epochs */
    ASQ__KIND_PAUSES,
    ASQ__KIND_OTHER,
    ASQ__KINDS,
    ASQ__KIND_STAYS /* does not move */
};

/* Returns the name of a kind: "agents". */
const char *asq__kind_name(enum asq__key_kind kind);

struct asq__moved_key {
    uint32_t partition; /* or ASQ__KEYS_OF_NAMESPACE */
    char *rest;         /* of its name, behind "}:"; of rest_n bytes */
    uint16_t rest_n;
    enum asq__key_kind kind;
    enum asq__key_type type; /* NONE: gone meanwhile */
    bool has_ttl;
    uint8_t sum[16];
    uint64_t bytes, items;
};

struct asq__moved_keys {
    struct asq__moved_key *list; /* sorted, each once */
    size_t n, cap;
};

/* Kinds of keys that are looked for, and their names. */
enum asq__key_view {
    ASQ__VIEW_MOVING, /* those that move */
    ASQ__VIEW_SEALED, /* the same where the partitions are sealed: a stream has another name */
    ASQ__VIEW_ALL     /* all but meta and lock; without their types */
};

/* Finds keys. Fails for one that moves and has a type that asqueue does not use. */
int asq__moved_keys_scan(struct asq__side *side, enum asq__key_view view,
                         struct asq__moved_keys *ret);
void asq__moved_keys_release(struct asq__moved_keys *keys);
int asq__moved_key_compare(const struct asq__moved_key *a, const struct asq__moved_key *b);
/* Writes the name of a key of a side, and returns its length. */
size_t asq__moved_key_name(const struct asq__side *side, enum asq__key_view view,
                           const struct asq__moved_key *key, char *out);
/* Removes all keys that ASQ__VIEW_ALL finds; keep_seals: but those under the names of streams. */
int asq__moved_keys_unlink(struct asq__side *side, bool keep_seals, size_t *ret_n);

#endif
