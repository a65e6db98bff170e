/*
 * connect.h: chooses the URL of a command's deployment, opens it, and reports failures.
 */
#ifndef ASQ_SRC_CONNECT_H
#define ASQ_SRC_CONNECT_H

#include <stdint.h>

#include "asqueue.h"

struct as_reporter;

#define AS_DEFAULT_URL "redis://127.0.0.1:6379"

/* The bytes of a namespace's name, and how many there may be. Old names have dots, too. */
#define AS_NS_BYTES "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-"
#define AS_NS_MAX   64

/*
 * Opens url, else ASQUEUE_URL, else AS_DEFAULT_URL; never local: or child:, whose workers cannot be
 * seen from outside. ns NULL: the URL's. timeout_ms is for functions that only ask Redis;
 * ASQ_FOREVER: half a minute. Returns an exit status and reports failures; option is the name of
 * the program's option for the URL. password_file: see as_secret_add.
 */
int as_connect(const struct as_reporter *who, const char *url, const char *password_file,
               const char *option, const char *ns, int64_t timeout_ms, asq **ret);

/* Names a deployment for as_connect_open: see as_connect. */
struct as_connection {
    const char *url, *password_file, *option, *ns;
    int64_t timeout_ms;
    asq_log_fn log; /* NULL: no log */
    void *log_user;
};
/* Opens a deployment in the same way, but only returns what has failed: the code of asq_open, or
 * ASQ_EINVAL for wrong options, with a text. Any thread. */
int as_connect_open(const struct as_connection *c, asq **ret, char *err, size_t errlen);

/* Writes the URL with the password of a file, or of the systemd credential, if there is one; see
 * as_secret_add. *ret is freed by the caller, who overwrites it before. 0, or a code and a text. */
int as_connect_add_password(const char *url, const char *file, char **ret, char *err,
                            size_t errlen);

#endif
