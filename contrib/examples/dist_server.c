/*
 * dist_server.c: a worker with its own classes compiled in. It does the work of as-worker in three
 * library calls.
 *
 *     cc -o dist_server dist_server.c booking.c booking_desk.c web_agent.c ledger.c \
 *         $(pkg-config --cflags --libs asqueue)
 *     dist_server [--id ID] [--processes N] [URL]
 *
 * URL: of a Redis (else ASQUEUE_URL, else redis://127.0.0.1:6379). Start the program on as many
 * hosts as you like; agents are spread over all of them. After SIGTERM or Ctrl-C it finishes
 * running calls, hands its agents over to the other workers, and ends.
 *
 * booking, dist_main, rpc_example and web_search can be given the same URL. For web_search it needs
 * libcurl:
 *
 *     cc -o dist_server -DHAVE_LIBCURL dist_server.c booking.c booking_desk.c web_agent.c ledger.c \
 *         page_reader.c page_text.c $(pkg-config --cflags --libs asqueue libcurl)
 */
#include "booking.h"
#include "ledger.h"
#include "page_reader.h"
#include "web_agent.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The library never prints. It reports here, from several threads at once: one fprintf for each
 * message keeps the lines whole. */
static void log_to_stderr(void *user, asq_log_level level, const char *message)
{
    static const char *const names[] = { "error", "warning", "info", "debug" };

    (void) user;
    fprintf(stderr, "dist_server: %s: %s\n", names[level], message);
}

int main(int argc, char **argv)
{
    asq_worker_options options = ASQ_WORKER_OPTIONS_INIT;
    asq_worker *worker;
    char err[1024];
    int i, rc;

    options.log = log_to_stderr;
    for (i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--id") == 0 && i + 1 < argc) {
            options.id = argv[++i];
        } else if (strcmp(argv[i], "--processes") == 0 && i + 1 < argc) {
            options.processes = (uint32_t) strtoul(argv[++i], NULL, 10);
        } else if (argv[i][0] != '-' && !options.url) {
            options.url = argv[i];
        } else {
            fprintf(stderr, "usage: dist_server [--id ID] [--processes N] [URL]\n");
            return 2;
        }
    }
    if (asq_worker_new(&options, &worker, err, sizeof err) < 0) {
        fprintf(stderr, "dist_server: %s\n", err);
        return 2;
    }
    rc = asq_worker_register(worker, &web_agent_class);
    if (rc == 0)
        rc = asq_worker_register(worker, &ledger_class);
    if (rc == 0)
        rc = asq_worker_register(worker, &trip_class);
#ifdef HAVE_LIBCURL
    if (rc == 0)
        rc = page_reader_init(); /* before threads are started */
    if (rc == 0)
        rc = asq_worker_register(worker, &page_reader_class);
#endif
    if (rc == 0)
        rc = asq_worker_run(worker); /* until SIGTERM */
    if (rc < 0)
        fprintf(stderr, "dist_server: %s\n", asq_worker_errmsg(worker));
    asq_worker_free(worker);
    return rc < 0 ? 1 : 0;
}
