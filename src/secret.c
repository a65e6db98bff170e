/*
 * secret.c: see secret.h.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "asqueue.h"
#include "secret.h"

#define CREDENTIAL "asqueue-password"

static char *source; /* file of the password; NULL: none */

const char *as_secret_url(void)
{
    static char *url;
    static bool taken;
    if (taken)
        return url;
    taken = true;
    char *env = secure_getenv("ASQUEUE_URL");
    if (env && *env && (url = strdup(env)))
        explicit_bzero(env, strlen(env));
    unsetenv("ASQUEUE_URL");
    return url;
}

int as_secret_read_file(const char *what, const char *path, char text[AS_SECRET_MAX], char *err,
                        size_t errlen)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY), rc = ASQ_EINVAL;
    ssize_t n;
    struct stat st;
    if (fd < 0 || fstat(fd, &st) < 0) {
        snprintf(err, errlen, "the %s file %s cannot be read: %s", what, path, strerror(errno));
    } else if (st.st_mode & S_IRWXO) {
        snprintf(err, errlen, "the %s file %s can be read by other users (mode %03o): chmod o= %s",
                 what, path, (unsigned) (st.st_mode & 0777), path);
    } else if ((n = read(fd, text, AS_SECRET_MAX - 1)) < 0) {
        snprintf(err, errlen, "the %s file %s cannot be read: %s", what, path, strerror(errno));
    } else {
        text[n] = '\0';
        text[strcspn(text, "\r\n")] = '\0';
        if (*text)
            rc = 0;
        else
            snprintf(err, errlen, "the %s file %s has no %s in its first line", what, path, what);
    }
    if (fd >= 0)
        close(fd);
    return rc;
}

/* Percent-encodes every byte but letters and digits. `out` has room for 3 * length + 1 bytes. */
static void encode(const char *text, char *out)
{
    for (; *text; text++) {
        unsigned char c = (unsigned char) *text;
        bool plain = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        out += sprintf(out, plain ? "%c" : "%%%02X", c);
    }
    *out = '\0';
}

/* Inserts a password into redis://[USER@]HOST… or unix:PATH[?…]. NULL: the URL has one, or no
 * memory (errno). */
static char *insert(const char *url, const char *encoded)
{
    const char *authority = strstr(url, "://");
    errno = EEXIST;
    int n;
    char *out;
    if (strncmp(url, "unix:", 5) == 0) {
        if (strstr(url, "password="))
            return NULL;
        n = asprintf(&out, "%s%cpassword=%s", url, strchr(url, '?') ? '&' : '?', encoded);
        return n < 0 ? NULL : out;
    }
    if (!authority)
        return strdup(url); /* not a URL of a Redis: the library reports it */
    authority += 3;
    int len = (int) strcspn(authority, "/?#"), user = len;
    while (user > 0 && authority[user - 1] != '@')
        user--;
    if (user > 0 && memchr(authority, ':', (size_t) user))
        return NULL;
    n = asprintf(&out, "%.*s%.*s:%s@%s", (int) (authority - url), url, user > 0 ? user - 1 : 0,
                 authority, encoded, authority + user);
    return n < 0 ? NULL : out;
}

int as_secret_add(const char *url, const char *file, const char **ret, char *err, size_t errlen)
{
    static char *whole; /* freed by the next call */
    const char *credentials = secure_getenv("CREDENTIALS_DIRECTORY");
    *ret = url;
    free(source);
    source = NULL;
    char path[4096];
    if (!file && credentials && *credentials) {
        snprintf(path, sizeof path, "%s/" CREDENTIAL, credentials);
        struct stat st;
        if (stat(path, &st) == 0)
            file = path;
    }
    if (!file)
        return 0;
    char password[AS_SECRET_MAX];
    int rc = as_secret_read_file("password", file, password, err, errlen);
    if (rc < 0)
        return rc;
    char encoded[3 * AS_SECRET_MAX + 1];
    encode(password, encoded);
    explicit_bzero(password, sizeof password);
    free(whole);
    *ret = whole = insert(url, encoded);
    explicit_bzero(encoded, sizeof encoded);
    if (whole && (source = strdup(file)))
        return 0;
    if (whole)
        errno = ENOMEM;
    snprintf(err, errlen, "%s",
             errno == EEXIST ? "the URL has a password, and there is a password file as well: "
                               "leave one out"
                             : "out of memory");
    return ASQ_EINVAL;
}

bool as_secret_has_file(void)
{
    return source != NULL;
}

int as_secret_read(void *user, char *password, size_t size, char *err, size_t errlen)
{
    int rc = ASQ_ENOENT;
    (void) user;
    char text[AS_SECRET_MAX];
    if (source)
        rc = as_secret_read_file("password", source, text, err, errlen);
    if (rc == 0 && (size_t) snprintf(password, size, "%s", text) >= size) {
        snprintf(err, errlen, "the password in %s is too long", source);
        rc = ASQ_EINVAL;
    }
    explicit_bzero(text, sizeof text);
    return rc;
}
