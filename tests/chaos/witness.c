/*
 * witness.c: see witness.h. Linked into the plugin; each thread keeps a connection.
 */
#include "witness.h"

#include <hiredis/hiredis.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

static _Thread_local redisContext *connection;
static _Thread_local pid_t connection_owner;

void witness_run_id(char *id, size_t size)
{
    static atomic_uint counter;
    static atomic_llong born;
    struct timespec ts;
    long long none = 0;

    if (atomic_load(&born) == 0) { /* beside the pid, because pids are reused */
        clock_gettime(CLOCK_MONOTONIC, &ts);
        atomic_compare_exchange_strong(&born, &none,
                                       (long long) ts.tv_sec * 1000 + ts.tv_nsec / 1000000);
    }
    snprintf(id, size, "%d.%llx.%u", (int) getpid(), (unsigned long long) atomic_load(&born),
             atomic_fetch_add(&counter, 1));
}

static redisContext *witness_connection(void)
{
    const char *socket = getenv("CHAOS_WITNESS");

    if (connection && (connection->err || connection_owner != getpid())) {
        redisFree(connection);
        connection = NULL;
    }
    if (!connection && socket && socket[0]) {
        connection = redisConnectUnix(socket);
        connection_owner = getpid();
        if (connection && connection->err) {
            redisFree(connection);
            connection = NULL;
        }
    }
    return connection;
}

void witness_note(const char *what, const char *agent, const char *call, const char *run,
                  uint64_t epoch, const char *worker)
{
    redisContext *c = witness_connection();
    char note[1024];
    int n = snprintf(note, sizeof note, "%s %s %s %s %" PRIu64 " %s", what, agent, call, run, epoch,
                     worker);

    if (c && n > 0 && (size_t) n < sizeof note)
        freeReplyObject(redisCommand(c, "RPUSH runs %b", note, (size_t) n));
}
