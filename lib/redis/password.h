/*
 * password.h: a password that may change while connections come and go. When Redis refuses it, it
 * is read again, so that the next attempt to log in uses the new one. Any thread; after a fork each
 * process has its own.
 */
#ifndef ASQ_REDIS_PASSWORD_H
#define ASQ_REDIS_PASSWORD_H

#include <stddef.h>

#include "asqueue.h"

struct asq__url;
struct asq__password;

enum { ASQ__PASSWORD_MAX = 4096 }; /* bytes, with the NUL */

struct asq__password_config {
    /* Reads the password. 0, or a code with a text in err. */
    int (*read)(void *user, char *password, size_t size, char *err, size_t errlen);
    void (*log)(void *user, asq_log_level level, const char *message); /* may be NULL */
    asq_log_level log_level; /* higher levels are not logged */
    void *user;              /* of both */
};

/* NULL: no memory. */
struct asq__password *asq__password_new(const struct asq__password_config *config);
void asq__password_free(struct asq__password *p);

/* Returns the password to log in with: the URL's own, or a newer one, copied to `room`; NULL:
 * none. */
const char *asq__password_get(const struct asq__url *url, char room[ASQ__PASSWORD_MAX]);
/* Reads the password again, because Redis has refused it, and logs if it has changed. */
void asq__password_refused(const struct asq__url *url);

#endif
