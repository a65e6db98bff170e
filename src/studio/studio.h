/*
 * studio.h: what the parts of as-studio share. Threads:
 *
 *     main       waits for signals
 *     HTTP       libmicrohttpd's; handles requests (http.c), never waits for Redis
 *     askers     a few; each has a handle, and runs the functions of api.h (askers.c)
 *     watcher    has a handle; reads once a second while somebody listens (watcher.c)
 *
 * A request to the API suspends its connection until an asker has made the answer.
 */
#ifndef ASQ_SRC_STUDIO_STUDIO_H
#define ASQ_SRC_STUDIO_STUDIO_H

#include <stdatomic.h>
#include <stdbool.h>

#include "connect.h"
#include "studio/auth.h"
#include "studio/askers.h"
#include "studio/feed.h"
#include "studio/spans.h"

struct as_studio {
    struct as_connection connection;
    bool allow_writes;
    int listener;
    char url[300];       /* of the deployment, for people: without user and password */
    char ns[80];         /* of it; the namespace that the URL and the options name */
    struct as_auth auth; /* for the HTTP thread alone */
    struct as_askers askers;
    struct as_feed feed;
    struct as_spans spans;
    atomic_bool stopping;
};

#endif
