/*
 * connect.c: see connect.h. The library's messages name the failure and its place; this file adds
 * the origin of the URL if it was not an option.
 */
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

int as_connect(const struct as_reporter *who, const char *url, const char *password_file,
               const char *option, const char *ns, int64_t timeout_ms, asq **ret)
{
    asq_options options = ASQ_OPTIONS_INIT;
    const char *env = as_secret_url();
    const char *source = "";
    if (!url && env && *env) {
        url = env;
        source = " (ASQUEUE_URL)";
    } else if (!url) {
        url = AS_DEFAULT_URL;
    }
    char message[1536];
    if (has_scheme(url, "child:") || has_scheme(url, "local:")) {
        snprintf(
            message, sizeof message,
            "%.6s%s is a deployment inside one program, which other programs cannot reach; give "
            "the URL of a Redis with %s or ASQUEUE_URL",
            url, source, option);
        return as_report_usage(who, message);
    }
    /* The library does not know that the URL has no part in it. */
    if (ns && (strlen(ns) > AS_NS_MAX || strspn(ns, AS_NS_BYTES ".") < strlen(ns))) {
        snprintf(message, sizeof message,
                 "--namespace %.80s: 1 to %d letters, digits, '_' and '-' are allowed ('.' only in "
                 "existing ones)",
                 ns, AS_NS_MAX);
        return as_report_usage(who, message);
    }
    options.ns = ns;
    options.timeout_ms = timeout_ms == ASQ_FOREVER ? ADMIN_MS : timeout_ms;
    if (timeout_ms != ASQ_FOREVER && timeout_ms < CONNECT_MS)
        options.connect_timeout_ms = timeout_ms;
    options.close_timeout_ms = -1; /* commands wait for their outcome themselves */
    options.log = print_log_line;
    /* as_note does not change the reporter. */
    options.log_user = (void *) (uintptr_t) who;
    char why[1024];
    const char *whole;
    if (as_secret_add(url, password_file, &whole, why, sizeof why) < 0)
        return as_report_usage(who, why);
    int rc = asq_open(whole, &options, ret, why, sizeof why);
    if (rc == 0)
        return AS_EXIT_OK;
    if (rc == ASQ_EAUTH && whole != url)
        snprintf(message, sizeof message, "%s (the URL is from %s, the password from %s)", why,
                 url == env ? "ASQUEUE_URL" : option,
                 password_file ? password_file : "the systemd credential");
    else if (url == env)
        snprintf(message, sizeof message, "%s (the URL is from ASQUEUE_URL)", why);
    else if (strcmp(url, AS_DEFAULT_URL) == 0)
        snprintf(message, sizeof message,
                 "%s (neither %s nor ASQUEUE_URL was given: tried " AS_DEFAULT_URL ")", why,
                 option);
    else
        snprintf(message, sizeof message, "%s", why);
    if (rc == ASQ_EINVAL)
        return as_report_usage(who, message);
    return as_report_code(who, rc, NULL, "%s", message);
}
