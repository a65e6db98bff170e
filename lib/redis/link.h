/*
 * link.h: connects to one server: resolves its name, tries its addresses in turn, speaks TLS if the
 * URL says so. No function blocks or knows a loop: the caller waits for the link's descriptor and
 * calls asq__link_step.
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

struct asq__url;

enum asq__link_state {
    ASQ__LINK_CLOSED,
    ASQ__LINK_RESOLVING,
    ASQ__LINK_CONNECTING,
    ASQ__LINK_HANDSHAKING,
    ASQ__LINK_OPEN
};

struct asq__link {
    const struct asq__url *url; /* outlives it */
    char *endpoint;             /* the host to connect to; NULL: the URL's */
    int endpoint_port;
    enum asq__link_state state;
    int fd;                     /* the socket; -1 */
    struct asq__lookup *lookup; /* kept after a timeout, so that there is never more than one */
    struct asq__address addresses[ASQ__ADDRESSES_MAX];
    unsigned naddresses, at; /* at: the address being tried, counted from `n_skipped` */
    unsigned n_skipped;      /* addresses where a server listened but was of no use */
    int64_t timeout_ms, deadline_ms, address_deadline_ms;
    bool full; /* a Unix socket with a full queue: retried soon */
    struct asq__tls_session *tls;
    enum asq__tls_wants wants;              /* HANDSHAKING: the event it waits for */
    bool send_wants_read, recv_wants_write; /* OPEN: TLS may need the other direction */
    char why[ASQ__TLS_WHY];                 /* of the last failure */
};

void asq__link_init(struct asq__link *l, const struct asq__url *url);
void asq__link_release(struct asq__link *l);
/* Sets the server to connect to, when it is opened next, which is also the host that a certificate
 * has to be for. All else is as in the URL. ASQ_ENOMEM. */
int asq__link_set_endpoint(struct asq__link *l, const char *host, int port);
/* Returns the host that it connects to. */
const char *asq__link_host(const struct asq__link *l, int *ret_port);

/* Begins to connect. Returns as asq__link_step: 1: open; 0: under way; else ASQ_ECONN or
 * ASQ_ENOMEM, with `why`, and the caller closes the link. */
int asq__link_open(struct asq__link *l, int64_t timeout_ms);
/* Goes on, when the descriptor is ready or the wait is over. */
int asq__link_step(struct asq__link *l);
/* Return, before the link is open, the descriptor to wait for (-1: none), for reading or for
 * writing; and the time to wait. */
int asq__link_fd(const struct asq__link *l, bool *ret_writing);
int64_t asq__link_wait_ms(const struct asq__link *l);
/* Before it is open: time is up, whatever the clock says. ASQ_ECONN, with what it has waited for as
 * `why`. */
int asq__link_give_up(struct asq__link *l);
void asq__link_close(struct asq__link *l);
/* Skips this address, whose server is of no use: the next try begins with another one, if there is
 * one. */
void asq__link_skip_address(struct asq__link *l);

/* Read and write while OPEN. Return bytes; 0: none now; -1: lost, with `why`. */
ssize_t asq__link_recv(struct asq__link *l, void *to, size_t n);
ssize_t asq__link_send(struct asq__link *l, const void *from, size_t n);
/* Returns whether TLS has buffered bytes that are no longer in the socket. */
bool asq__link_has_more(const struct asq__link *l);

#endif
