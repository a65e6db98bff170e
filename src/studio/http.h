/*
 * http.h: HTTP: requests come from libmicrohttpd's thread, and are answered by the other parts.
 */
#ifndef ASQ_SRC_STUDIO_HTTP_H
#define ASQ_SRC_STUDIO_HTTP_H

#include <stddef.h>

struct as_studio;
struct as_http;

/* Starts all threads but main's, which has blocked the signals for them. 0 or a code, with a
 * text. */
int as_http_start(struct as_studio *studio, struct as_http **ret, char *err, size_t errlen);
/* Ends them, and all connections; waits for what they do at the moment. Frees the server. */
void as_http_stop(struct as_http *server);

#endif
