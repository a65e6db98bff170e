/*
 * listen.h: a listening socket at an address that an option of the command line names.
 */
#ifndef ASQ_SRC_LISTEN_H
#define ASQ_SRC_LISTEN_H

#include <stdbool.h>
#include <stddef.h>

/* Names the option that the address is of, for error texts. */
struct as_listen_option {
    const char *name;     /* "--metrics" */
    const char *port;     /* an example: "9464" */
    const char *if_taken; /* what to do when another program has the port; "" or a sentence's end */
};

/* Listens at "HOST:PORT". Returns the descriptor (close-on-exec, non-blocking), or ASQ_EINVAL or
 * ASQ_ESYS with a text. */
int as_listen(const struct as_listen_option *option, const char *address, char *err, size_t errlen);
/* Writes where a listener is, as a URL without a path. */
void as_listen_url(int listener, char *text, size_t size);
/* Returns whether only programs of this machine reach the listener. */
bool as_listen_is_loopback(int listener);

#endif
