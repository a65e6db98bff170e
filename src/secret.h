/*
 * secret.h: where the URL and its password come from, so that neither what methods start nor who looks at
 * the processes of the machine gets them.
 */
#ifndef ASQ_SRC_SECRET_H
#define ASQ_SRC_SECRET_H

#include <stddef.h>

/* ASQUEUE_URL, or NULL. The first call takes it out of the environment, and overwrites what
 * /proc/PID/environ shows of it. Lives as long as the program. */
const char *as_secret_url(void);

/* The password of `file`, else of the systemd credential asqueue-password, put into the URL. *ret is the URL
 * itself when there is neither; else it lives until the next call. 0, or ASQ_EINVAL with a text: the file cannot be read, others
 * may read it, the URL has a password already. */
int as_secret_add(const char *url, const char *file, const char **ret, char *err, size_t errlen);

#endif
