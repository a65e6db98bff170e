/*
 * expiry.h: when an agent ends by itself. Its form in an agent's record keeps its size, so that a
 * new time of the last use is written over the old one.
 *
 * A use is recorded when the recorded one is older than an eighth of ttl_ms, so most calls write
 * nothing. The agent is due that eighth later, so it never expires too soon. Pure.
 */
#ifndef ASQ_VALUE_EXPIRY_H
#define ASQ_VALUE_EXPIRY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    ASQ__EXPIRY_BYTES = 24,
    ASQ__EXPIRY_BYTES_MAX = 32, /* with a handle */
    ASQ__EXPIRY_TTL_LEAST_MS = 1000,
    ASQ__EXPIRY_SPEC = 64,     /* bytes of a timer's spec, with the NUL */
    ASQ__EXPIRY_LOOK_MS = 5000 /* from one look at a handle to the next */
};
#define ASQ__EXPIRY_LATEST_MS ((int64_t) 253402300799000) /* the end of the year 9999 */

/* The timer that looks whether its agent is due. No timer of a program has such a name. */
#define ASQ__EXPIRY_TIMER "!"

struct asq__expiry {
    int64_t ttl_ms;  /* idle time; 0: none */
    int64_t end_ms;  /* Unix time; 0: none */
    int64_t used_ms; /* Unix time of the recorded use */
    uint64_t handle; /* client number of the handle with which it ends; 0: none */
};

/* Checks what a program has given: ASQ_EINVAL with a text. */
int asq__expiry_check(int64_t ttl_ms, int64_t end_ms, char *err, size_t errlen);
size_t asq__expiry_size(const struct asq__expiry *e);
/* Writes asq__expiry_size() bytes. */
void asq__expiry_write(const struct asq__expiry *e, uint8_t *bytes);
/* Reads the bytes of a record. False: they are none, or make no sense. */
bool asq__expiry_read(const void *data, size_t n, struct asq__expiry *ret);
/* Returns the Unix time from which on the agent is to end, unless it is used before;
 * ASQ__EXPIRY_LATEST_MS: it has none. */
int64_t asq__expiry_due_ms(const struct asq__expiry *e);
/* Writes the spec of the agent's timer, which fires at_ms, and returns at_ms; sooner if a look at
 * its handle is due before. Each time makes another timer of it. */
int64_t asq__expiry_timer(const struct asq__expiry *e, int64_t at_ms, int64_t now_ms,
                          char spec[ASQ__EXPIRY_SPEC]);
/* Reads from a timer's spec (n bytes) when the agent is due, and its handle; 0: none. False: it has
 * no handle. */
bool asq__expiry_timer_read(const char *spec, size_t n, int64_t *ret_due_ms, uint64_t *ret_handle);
/* Returns whether a use at this time is to be recorded. */
bool asq__expiry_notes(const struct asq__expiry *e, int64_t at_ms);

#endif
