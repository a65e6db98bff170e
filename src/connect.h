/*
 * connect.h: opens the deployment that a command is about: which URL, and what to say when that
 * fails.
 */
#ifndef ASQ_SRC_CONNECT_H
#define ASQ_SRC_CONNECT_H

#include "output.h"

#define AS_DEFAULT_URL "redis://127.0.0.1:6379"

/*
 * Opens url, else ASQUEUE_URL, else AS_DEFAULT_URL; never local: or child:, which have no workers
 * to be looked at from outside. ns NULL: the URL's. timeout_ms is of what Redis answers by itself;
 * ASQ_FOREVER: half a minute. Gives an exit status, having reported the failure;
 * option is what the program calls the URL's option. password_file: see as_secret_add.
 */
int as_connect(const struct as_reporter *who, const char *url, const char *password_file,
               const char *option, const char *ns, int64_t timeout_ms, asq **ret);

#endif
