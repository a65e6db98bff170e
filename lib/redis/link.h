/*
 * link.h: the way to one server: resolves its name, tries its addresses in turn, speaks TLS where the URL
 * says so. Nothing here blocks, and nothing knows a loop: who drives it waits for the descriptor that it
 * names, and calls asq__link_step.
 *
 * States: CLOSED → RESOLVING → CONNECTING (each address in turn) → HANDSHAKING → OPEN
 */
#ifndef ASQ_REDIS_LINK_H
#define ASQ_REDIS_LINK_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "redis/lookup.h"
#include "redis/tls.h"
#include "redis/url.h"

enum asq__link_state {
    ASQ__LINK_CLOSED,
    ASQ__LINK_RESOLVING,
    ASQ__LINK_CONNECTING,
    ASQ__LINK_HANDSHAKING,
    ASQ__LINK_OPEN
};

struct asq__link {
    const struct asq__url *url; /* outlives it */
    enum asq__link_state state;
    int fd;                     /* the socket; -1 */
    struct asq__lookup *lookup; /* kept when time is up: there is never more than one */
    struct asq__address addresses[ASQ__ADDRESSES_MAX];
    unsigned naddresses, at; /* at: the one that is tried */
    unsigned passed;         /* addresses that were no good though something listened there */
    int64_t timeout_ms, deadline_ms, address_deadline_ms;
    bool full; /* a Unix socket whose queue is full: tried again in a moment */
    struct asq__tls_session *tls;
    enum asq__tls_wants wants;              /* HANDSHAKING: what it goes on with */
    bool send_wants_read, recv_wants_write; /* OPEN: TLS may need the other direction */
    char why[ASQ__TLS_WHY];                 /* of the last failure */
};

void asq__link_init(struct asq__link *l, const struct asq__url *url);
void asq__link_release(struct asq__link *l);

/* Begins. After these two: 1: it is open; 0: it goes on; else ASQ_ECONN or ASQ_ENOMEM, with `why`; it is
 * to be closed then. */
int asq__link_open(struct asq__link *l, int64_t timeout_ms);
/* To be called when the descriptor is ready, and when the wait is over. */
int asq__link_step(struct asq__link *l);
/* Before it is open: the descriptor to wait for (-1: none), for reading or for writing; and for how long. */
int asq__link_fd(const struct asq__link *l, bool *ret_writing);
int64_t asq__link_wait_ms(const struct asq__link *l);
void asq__link_close(struct asq__link *l);
/* Passes over this address, whose server is of no use: the next try begins with another one, if there is. */
void asq__link_pass_over(struct asq__link *l);

/* OPEN. Bytes; 0: none now; -1: lost, with `why`. */
ssize_t asq__link_recv(struct asq__link *l, void *to, size_t n);
ssize_t asq__link_send(struct asq__link *l, const void *from, size_t n);
/* Has it bytes that the socket does not show any more? */
bool asq__link_has_more(const struct asq__link *l);

#endif
