/*
 * classes.h: sets of classes as text: those that a worker knows, and those that a partition needs.
 *
 *     Counter 2,Echo 1
 *
 * Each is a name and the highest version of the state's layout, sorted by name. A set is kept, sent
 * and compared as this text, and an empty one is "" or NULL. Any client may have written it: what
 * is no class is skipped. Pure.
 */
#ifndef ASQ_VALUE_CLASSES_H
#define ASQ_VALUE_CLASSES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Bytes of a set at most, as fields.lua and claim.lua have it. */
enum { ASQ__CLASSES_MAX = 16384 };
/* In place of a set that would be longer: it may have every class. */
#define ASQ__CLASSES_ALL "*"

/* A class in a set; the name is followed by other text. */
struct asq__class_item {
    const char *name;
    size_t n;
    uint32_t version;
};

/* Finds the next class behind *at, which moves on. False: there is none. */
bool asq__classes_next(const char **at, struct asq__class_item *ret);
/* Returns whether a class, of this version or a higher one, is in the set. */
bool asq__classes_have(const char *set, const char *name, uint32_t version);
/* Returns how many of the needed classes are not in the set. */
unsigned asq__classes_count_missing(const char *set, const char *needed);
/* Adds a class to the set, which is allocated anew, or raises its version. 1: the set has grown;
 * 0: it had that; ASQ_ENOMEM; ASQ_ELIMIT: it would be too long. */
int asq__classes_add(char **set, const char *name, uint32_t version);

#endif
