/*
 * gearman.c: gearmand by libgearman: foreground jobs, 1,024 tasks run at a time.
 */
#include "peer.h"

#include <libgearman/gearman.h>

static gearman_client_st *client;
static char *payload;
static size_t payload_n;

static void *noop(gearman_job_st *job, void *context, size_t *n, gearman_return_t *ret)
{
    (void) job;
    (void) context;
    *n = 0;
    *ret = GEARMAN_SUCCESS;
    return NULL;
}

int peer_worker(const char *address, int one_at_a_time)
{
    (void) one_at_a_time;
    gearman_worker_st *w = gearman_worker_create(NULL);
    if (!w ||
        gearman_failed(gearman_worker_add_server(w, "127.0.0.1", (in_port_t) atoi(address))) ||
        gearman_failed(gearman_worker_add_function(w, "noop", 0, noop, NULL)))
        return 1;
    for (;;)
        gearman_worker_work(w);
}

int peer_open(const char *address, size_t bytes, int one_at_a_time)
{
    (void) one_at_a_time;
    client = gearman_client_create(NULL);
    payload = calloc(1, bytes + 1);
    payload_n = bytes;
    return client && payload &&
                   gearman_success(
                       gearman_client_add_server(client, "127.0.0.1", (in_port_t) atoi(address)))
               ? 0
               : -1;
}

int peer_one(void)
{
    gearman_return_t rc;
    size_t n;
    free(gearman_client_do(client, "noop", NULL, payload, payload_n, &n, &rc));
    return gearman_success(rc) ? 0 : -1;
}

int peer_async(const char *address, double seconds, size_t bytes)
{
    static gearman_task_st tasks[WINDOW];
    unsigned long done = 0;
    struct span span;
    if (peer_open(address, bytes, 0) < 0)
        return 1;
    for (span = span_start(seconds); span_on(&span, done); done += WINDOW) {
        for (int i = 0; i < WINDOW; i++) {
            gearman_return_t rc;
            if (!gearman_client_add_task(client, &tasks[i], NULL, "noop", NULL, payload, payload_n,
                                         &rc))
                return 1;
        }
        if (gearman_failed(gearman_client_run_tasks(client)))
            return 1;
        for (int i = 0; i < WINDOW; i++)
            gearman_task_free(&tasks[i]);
    }
    span_print(&span, done);
    return 0;
}

PEER_MAIN
