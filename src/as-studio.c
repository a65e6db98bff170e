/*
 * as-studio.c: shows a deployment in the browser. This file has the command line, the start and the
 * end; the parts are in src/studio, see studio/studio.h.
 */
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "asqueue.h"
#include "connect.h"
#include "listen.h"
#include "options.h"
#include "output.h"
#include "program.h"
#include "secret.h"
#include "studio/http.h"
#include "studio/studio.h"

#define DEFAULT_LISTEN "127.0.0.1:9470"
enum { TIMEOUT_MS = 4000 }; /* of a reading of Redis */

struct settings {
    const char *url, *password_file, *ns, *listen, *token_file;
    bool allow_writes, collect_traces, json;
};

static int serve(void *program, int argc, char **argv);

#define AT(field) offsetof(struct settings, field)

static const struct as_option options[] = {
    { "allow-writes", 0, NULL, NULL, as_option_true, AT(allow_writes), 0, 0, true,
      "allow the page to call methods, create and delete agents,\ncancel calls, retry and drop dead "
      "letters, pause, stop workers" },
    { "collect-traces", 0, NULL, NULL, as_option_true, AT(collect_traces), 0, 0, true,
      "collect the spans that workers and clients export to\n/v1/traces, and show them" },
    { "help", 'h', NULL, NULL, NULL, 0, 0, 0, true, "this text" },
    { "listen", 'l', "ADDRESS", NULL, as_option_string, AT(listen), 0, 0, true,
      "HOST:PORT where the page is served over HTTP\n(" DEFAULT_LISTEN
      "); on another host than this one\n--token-file is needed" },
    { "namespace", 'n', "NAME", NULL, as_option_string, AT(ns), 0, 0, true,
      "namespace (the URL's ?ns=, else default)" },
    { "password-file", 0, "FILE", "FILE", as_option_string, AT(password_file), 0, 0, true,
      "file whose first line is the password of Redis;\nother users must not be able to read it" },
    { "token-file", 0, "FILE", "FILE", as_option_string, AT(token_file), 0, 0, true,
      "file whose first line is what people log in with;\nother users must not be able to read it" },
    { "url", 'u', "URL", NULL, as_option_string, AT(url), 0, 0, true,
      "Redis (ASQUEUE_URL, else " AS_DEFAULT_URL ")" },
    { "version", 'V', NULL, NULL, NULL, 0, 0, 0, true, "the version" },
};

static const struct as_command commands[] = {
    { "serve", "",
      "serves the page until it is stopped (SIGTERM, SIGINT);\nthe command if none is named", 0, 0,
      NULL, serve },
};

static const struct as_cli cli = {
    .program = "as-studio",
    .summary =
        "Shows an asqueue deployment in the browser: workers, classes, agents, calls, what\n"
        "waits for what, failures and dead letters. It reads only, unless --allow-writes is\n"
        "given, and asks Redis only while somebody looks.",
    .notes = "Environment: ASQUEUE_URL. The place for a password, which a command line shows to\n"
             "everybody.\n"
             "Exit status: 0 stopped in order, 1 could not start, 2 wrong usage.\n"
             "See also: as-studio(1), as-ctl(1)",
    .options = options,
    .noptions = sizeof options / sizeof options[0],
    .commands = commands,
    .ncommands = sizeof commands / sizeof commands[0],
    .fallback = &commands[0],
};

struct program {
    struct as_program base; /* comes first */
    struct settings settings;
    struct as_studio studio;
};

/* Writes a URL for people: no user, no password, no options. */
static void show_url(const char *url, char *text, size_t size)
{
    const char *authority = strstr(url, "://");
    int end = (int) strcspn(url, "?#"), scheme = 0, host = 0;
    if (authority && authority - url < end) {
        scheme = host = (int) (authority - url) + 3;
        int authority_end = scheme + (int) strcspn(url + scheme, "/?#");
        for (int i = scheme; i < authority_end; i++)
            if (url[i] == '@')
                host = i + 1;
    }
    snprintf(text, size, "%.*s%.*s", scheme, url, end - host, url + host);
}

/* Writes the namespace of a URL that cannot be opened yet. */
static void guess_namespace(const struct settings *s, const char *url, char *text, size_t size)
{
    const char *query = strchr(url, '?'), *at = query ? strstr(query, "ns=") : NULL;
    if (s->ns)
        snprintf(text, size, "%s", s->ns);
    else if (at && (at[-1] == '?' || at[-1] == '&'))
        snprintf(text, size, "%.*s", (int) strcspn(at + 3, "&#"), at + 3);
    else
        snprintf(text, size, "default");
}

/* Tries whether there is a deployment. A Redis that is away may come. Returns an exit status. */
static int try_deployment(struct program *p)
{
    struct as_studio *studio = &p->studio;
    char why[1536];
    asq *h;
    int rc = as_connect_open(&studio->connection, &h, why, sizeof why);
    if (rc == ASQ_EINVAL)
        return as_report_usage(&p->base.who, why);
    if (rc < 0 && rc != ASQ_ECONN && rc != ASQ_ETIMEOUT)
        return as_report_code(&p->base.who, rc, NULL, "%s", why);
    if (rc == 0) {
        show_url(asq_url(h), studio->url, sizeof studio->url);
        snprintf(studio->ns, sizeof studio->ns, "%s", asq_namespace(h));
        asq_close(h);
        return AS_EXIT_OK;
    }
    const char *url = p->settings.url ? p->settings.url : as_secret_url();
    show_url(url ? url : AS_DEFAULT_URL, studio->url, sizeof studio->url);
    guess_namespace(&p->settings, url ? url : AS_DEFAULT_URL, studio->ns, sizeof studio->ns);
    as_note(&p->base.who, "%s; it is tried again while somebody looks", why);
    return AS_EXIT_OK;
}

/* Listens, and reads the token. Returns an exit status. */
static int prepare(struct program *p)
{
    static const struct as_listen_option option = { "--listen", "9470",
                                                    "; give another one with --listen" };
    struct settings *s = &p->settings;
    struct as_studio *studio = &p->studio;
    char why[1536];
    int fd = as_listen(&option, s->listen ? s->listen : DEFAULT_LISTEN, why, sizeof why);
    if (fd == ASQ_EINVAL)
        return as_report_usage(&p->base.who, why);
    if (fd < 0)
        return as_report_code(&p->base.who, fd, NULL, "%s", why);
    studio->listener = fd;
    bool loopback = as_listen_is_loopback(fd);
    if (!loopback && !s->token_file)
        return as_report_usage(&p->base.who,
                               "others than users of this machine could reach that address: give "
                               "--token-file FILE with a secret to log in with (openssl rand -hex "
                               "32 makes one)");
    int rc = as_auth_init(&studio->auth, s->token_file, loopback, why, sizeof why);
    if (rc == ASQ_EINVAL)
        return as_report_usage(&p->base.who, why);
    return rc < 0 ? as_report_code(&p->base.who, rc, NULL, "%s", why) : AS_EXIT_OK;
}

/* Waits for SIGINT or SIGTERM, which all threads have blocked. The next one ends the program at
 * once. */
static void wait_for_end(const sigset_t *ends)
{
    int number;
    while (sigwait(ends, &number) != 0)
        ;
    pthread_sigmask(SIG_UNBLOCK, ends, NULL);
}

static int serve(void *program, int argc, char **argv)
{
    struct program *p = program;
    struct settings *s = &p->settings;
    struct as_studio *studio = &p->studio;
    (void) argc, (void) argv;
#if !defined(__SANITIZE_ADDRESS__)      /* AddressSanitizer's leak check attaches like a debugger */
    prctl(PR_SET_DUMPABLE, 0, 0, 0, 0); /* memory has the token and the password */
#endif
    studio->connection = (struct as_connection){ .url = s->url,
                                                 .password_file = s->password_file,
                                                 .option = "-u",
                                                 .ns = s->ns,
                                                 .timeout_ms = TIMEOUT_MS };
    studio->allow_writes = s->allow_writes;
    int status = prepare(p);
    if (status == AS_EXIT_OK)
        status = try_deployment(p);
    if (status != AS_EXIT_OK) {
        if (studio->listener >= 0)
            close(studio->listener);
        return status;
    }
    if (s->collect_traces && as_spans_init(&studio->spans) < 0)
        return as_report_code(&p->base.who, ASQ_ENOMEM, NULL, "out of memory");
    sigset_t ends;
    sigemptyset(&ends);
    sigaddset(&ends, SIGINT);
    sigaddset(&ends, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &ends, NULL);
    signal(SIGPIPE, SIG_IGN);
    char url[300], why[300];
    as_listen_url(studio->listener, url, sizeof url);
    struct as_http *server;
    int rc = as_http_start(studio, &server, why, sizeof why);
    if (rc < 0)
        return as_report_code(&p->base.who, rc, NULL, "%s", why);
    as_note(&p->base.who, "%s/ shows namespace '%s' of %s%s", url, studio->ns, studio->url,
            s->allow_writes ? ", and may change it" : "");
    wait_for_end(&ends);
    as_http_stop(server);
    as_spans_release(&studio->spans);
    explicit_bzero(&studio->auth, sizeof studio->auth);
    return AS_EXIT_OK;
}

int main(int argc, char **argv)
{
    static struct program p;
    p.base = (struct as_program){ .cli = &cli,
                                  .who = { .program = "as-studio" },
                                  .settings = &p.settings,
                                  .json = &p.settings.json };
    p.studio.listener = -1;
    return as_program_main(&p.base, argc, argv);
}
