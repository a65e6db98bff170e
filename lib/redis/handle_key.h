/*
 * handle_key.h: the key of an open handle, with which agents end that were made so
 * (asq_create_options.with_handle). The program's handle writes it (client/keeper.c), the owners of
 * its agents look for it (worker/handles.c).
 */
#ifndef ASQ_REDIS_HANDLE_KEY_H
#define ASQ_REDIS_HANDLE_KEY_H

#define ASQ__HANDLE_OPEN   "open"
#define ASQ__HANDLE_CLOSED "closed" /* the handle was closed: no doubt is left */

enum {
    ASQ__HANDLE_LEASE_MS = 30000,
    ASQ__HANDLE_RENEW_MS = 5000,
    ASQ__HANDLE_CLOSED_MS = 600000, /* so long owners that come late can see it */
    /* An owner that has seen the key, on the connection that it still has, waits so long after it
     * is gone; any other one waits for the lease. */
    ASQ__HANDLE_GRACE_MS = 10000
};

#endif
