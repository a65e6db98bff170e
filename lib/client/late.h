/*
 * late.h: waits for results, with an error that says why nothing has come.
 */
#ifndef ASQ_CLIENT_LATE_H
#define ASQ_CLIENT_LATE_H

#include <stdbool.h>
#include <stdint.h>

#include "asqueue.h"

enum { ASQ__LATE_TEXT = 128 };

/* Waits as asq__handle_wait does. When the time is up, looks at the workers' heartbeats: `nobody`
 * is then " (no worker of namespace 'N' is alive)" if there is none; "" if there is one, or if that
 * is not known. */
int asq__late_wait(asq *h, bool (*ready)(void *arg), void *arg, int64_t timeout_ms,
                   char nobody[ASQ__LATE_TEXT]);

#endif
