/*
 * secret.h: reads the URL and its password so that neither processes started by methods nor users
 * who list the machine's processes can see them.
 */
#ifndef ASQ_SRC_SECRET_H
#define ASQ_SRC_SECRET_H

#include <stdbool.h>
#include <stddef.h>

/* Returns ASQUEUE_URL, or NULL. The first call removes it from the environment and overwrites it in
 * /proc/PID/environ. Lives as long as the program. */
const char *as_secret_url(void);

enum { AS_SECRET_MAX = 4096 };

/* Reads the first line of a file that other users cannot read. `what` names it in texts:
 * "password". 0, or ASQ_EINVAL with a text. */
int as_secret_read_file(const char *what, const char *path, char text[AS_SECRET_MAX], char *err,
                        size_t errlen);

/* Adds the password in `file`, else in the systemd credential asqueue-password, to the URL. *ret is
 * the URL itself if there is neither; else it lives until the next call. 0, or ASQ_EINVAL with a
 * text: the file cannot be read, others may read it, the URL has a password already. */
int as_secret_add(const char *url, const char *file, const char **ret, char *err, size_t errlen);
/* Returns whether the last as_secret_add has taken a password from a file. */
bool as_secret_has_file(void);
/* Reads the password again from that file: the read_password of a worker. */
int as_secret_read(void *user, char *password, size_t size, char *err, size_t errlen);

#endif
