/*
 * connect.c: see connect.h. The library's messages name the failure and its place; this file adds
 * the origin of the URL if it was not an option.
 */
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "connect.h"
#include "output.h"
#include "secret.h"

#define CONNECT_MS 5000  /* the library's own limit for connecting */
#define ADMIN_MS   30000 /* default timeout of functions that only ask Redis */

/* Prints the library's messages while a command waits, such as a lost connection. */
static void print_log_line(void *user, asq_log_level level, const char *message)
{
    if (level <= ASQ_LOG_INFO)
        as_note(user, "%s", message);
}

static bool has_scheme(const char *url, const char *scheme)
{
    return strncmp(url, scheme, strlen(scheme)) == 0;
}

/* Adds the password; *ret is freed by the caller. secret.c keeps one URL at a time. */
static int add_password(const char *url, const char *file, char **ret, bool *ret_added, char *err,
                        size_t errlen)
{
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    const char *whole;
    pthread_mutex_lock(&lock);
    int rc = as_secret_add(url, file, &whole, err, errlen);
    if (rc == 0 && !(*ret = strdup(whole))) {
        snprintf(err, errlen, "out of memory");
        rc = ASQ_ENOMEM;
    }
    *ret_added = rc == 0 && whole != url;
    pthread_mutex_unlock(&lock);
    return rc;
}

int as_connect_add_password(const char *url, const char *file, char **ret, char *err, size_t errlen)
{
    bool added;
    return add_password(url, file, ret, &added, err, errlen);
}

int as_connect_open(const struct as_connection *c, asq **ret, char *err, size_t errlen)
{
    asq_options options = ASQ_OPTIONS_INIT;
    const char *url = c->url, *env = as_secret_url(), *source = "", *ns = c->ns;
    if (!url && env && *env) {
        url = env;
        source = " (ASQUEUE_URL)";
    } else if (!url) {
        url = AS_DEFAULT_URL;
    }
    if (has_scheme(url, "child:") || has_scheme(url, "local:")) {
        snprintf(
            err, errlen,
            "%.6s%s is a deployment inside one program, which other programs cannot reach; give "
            "the URL of a Redis with %s or ASQUEUE_URL",
            url, source, c->option);
        return ASQ_EINVAL;
    }
    /* The library does not know that the URL has no part in it. */
    if (ns && (strlen(ns) > AS_NS_MAX || strspn(ns, AS_NS_BYTES ".") < strlen(ns))) {
        snprintf(err, errlen,
                 "--namespace %.80s: 1 to %d letters, digits, '_' and '-' are allowed ('.' only in "
                 "existing ones)",
                 ns, AS_NS_MAX);
        return ASQ_EINVAL;
    }
    options.ns = ns;
    options.timeout_ms = c->timeout_ms == ASQ_FOREVER ? ADMIN_MS : c->timeout_ms;
    if (c->timeout_ms != ASQ_FOREVER && c->timeout_ms < CONNECT_MS)
        options.connect_timeout_ms = c->timeout_ms;
    options.close_timeout_ms = -1; /* commands wait for their outcome themselves */
    options.log = c->log;
    options.log_user = c->log_user;
    char why[1024], *whole = NULL;
    bool added = false;
    int rc = add_password(url, c->password_file, &whole, &added, err, errlen);
    if (rc < 0)
        return rc;
    rc = asq_open(whole, &options, ret, why, sizeof why);
    explicit_bzero(whole, strlen(whole));
    free(whole);
    if (rc == 0)
        return 0;
    if (rc == ASQ_EAUTH && added)
        snprintf(err, errlen, "%s (the URL is from %s, the password from %s)", why,
                 url == env ? "ASQUEUE_URL" : c->option,
                 c->password_file ? c->password_file : "the systemd credential");
    else if (url == env)
        snprintf(err, errlen, "%s (the URL is from ASQUEUE_URL)", why);
    else if (strcmp(url, AS_DEFAULT_URL) == 0)
        snprintf(err, errlen, "%s (neither %s nor ASQUEUE_URL was given: tried " AS_DEFAULT_URL ")",
                 why, c->option);
    else
        snprintf(err, errlen, "%s", why);
    return rc;
}

int as_connect(const struct as_reporter *who, const char *url, const char *password_file,
               const char *option, const char *ns, int64_t timeout_ms, asq **ret)
{
    char message[1536];
    /* as_note does not change the reporter. */
    struct as_connection c = {
        url, password_file, option, ns, timeout_ms, print_log_line, (void *) (uintptr_t) who
    };
    int rc = as_connect_open(&c, ret, message, sizeof message);
    if (rc == 0)
        return AS_EXIT_OK;
    if (rc == ASQ_EINVAL)
        return as_report_usage(who, message);
    return as_report_code(who, rc, NULL, "%s", message);
}
