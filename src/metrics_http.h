/*
 * metrics_http.h: as-worker --metrics: serves a worker's metrics, health and readiness over HTTP.
 *
 * One thread of the supervisor serves. The processes that the supervisor forks have neither the
 * thread nor its descriptors.
 */
#ifndef ASQ_SRC_METRICS_HTTP_H
#define ASQ_SRC_METRICS_HTTP_H

#include <stddef.h>

#include "asqueue.h"

/* Listens at "HOST:PORT" ("[::1]:9464"); port 0: any free one. ASQ_EINVAL: no such address;
 * ASQ_ESYS: it cannot be used; ASQ_ENOTSUP: this build cannot serve. The text says which. */
int as_metrics_listen(const char *address, char *err, size_t errlen);
/* Starts to serve the worker's metrics there, until the program ends. On success `text` gets a line
 * for the log, else the reason. */
int as_metrics_serve(const asq_worker *w, char *text, size_t size);

#endif
