/*
 * ctl_migrate.c: as-ctl migrate: moves the namespace to another Redis or a Cluster.
 */
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "asqueue.h"
#include "connect.h"
#include "ctl.h"
#include "output.h"
#include "program.h"
#include "secret.h"

enum { ERROR_SIZE = 2048 };

static void print_line(void *user, asq_log_level level, const char *text)
{
    if (level <= ASQ_LOG_INFO)
        as_note(user, "%s", text);
}

/* Writes a number of a map, or "-". */
static char *number(const asq_value *side, const char *key)
{
    char *text;
    if (!side)
        return strdup("-");
    return asprintf(&text, "%lld", (long long) asq_map_int(side, key)) < 0 ? NULL : text;
}

static char *checksum(const asq_value *side)
{
    const char *sum = asq_map_string(side, "checksum");
    return strndup(*sum ? sum : "-", 16); /* people compare the verdict; --json has all of it */
}

static int print_kinds(const struct as_reporter *who, const asq_value *kinds, bool both)
{
    static const struct as_column columns[] = {
        { "KIND", false }, { "KEYS", true },      { "ITEMS", true },
        { "BYTES", true }, { "CHECKSUM", false }, { "TARGET", false },
    };
    struct as_table *t = as_table_new(columns, both ? 6 : 5);
    for (size_t i = 0; i < asq_list_size(kinds); i++) {
        const asq_value *row = asq_list_get(kinds, i), *source = asq_map_get(row, "source");
        bool equal = asq_map_bool(row, "equal");
        as_table_add(t, as_word(asq_map_get(row, "kind")));
        as_table_add(t, number(source, "keys"));
        as_table_add(t, number(source, "items"));
        as_table_add(t, number(source, "bytes"));
        as_table_add(t, checksum(source));
        if (both)
            as_table_add(t, strdup(equal ? "equal" : "DIFFERENT"));
    }
    return as_table_print(t, who);
}

static void print_verdict(const asq_value *report)
{
    const char *outcome = asq_map_string(report, "outcome"), *to = asq_map_string(report, "to"),
               *ns = asq_map_string(report, "to_namespace");
    bool equal = asq_map_bool(report, "equal");
    int64_t removed = asq_map_int(report, "removed");
    if (strcmp(outcome, "checked") == 0)
        printf("nothing is in the way of the move\n");
    else if (strcmp(outcome, "given up") == 0)
        printf("the move is given up: the source is as it was, and workers may be started there\n");
    else if (strcmp(outcome, "moved") == 0) {
        printf("%s: namespace '", equal ? "both sides are equal" : "the target counts");
        as_print_text(stdout, ns, false);
        printf("' is now at ");
        as_print_text(stdout, to, false);
        putchar('\n');
        if (removed)
            printf("%lld keys of the source were removed\n", (long long) removed);
    }
}

/* Moves, with URLs that have their passwords. */
static int migrate(struct as_ctl *ctl, const char *from, const char *to)
{
    const struct as_reporter *who = &ctl->base.who;
    char err[ERROR_SIZE] = "";
    asq_value *report = NULL;
    asq_migrate_options options = ASQ_MIGRATE_OPTIONS_INIT;
    options.ns = ctl->settings.ns;
    options.timeout_ms = ctl->settings.timeout_ms == ASQ_FOREVER ? 0 : ctl->settings.timeout_ms;
    options.dry_run = ctl->settings.dry_run;
    options.resume = ctl->settings.resume;
    options.abort = ctl->settings.abort;
    options.delete_source = ctl->settings.delete_source;
    options.log = print_line;
    options.log_user = (void *) (uintptr_t) who; /* as_note does not change it */
    int rc = asq_migrate(from, to, &options, &report, err, sizeof err), status = AS_EXIT_OK;
    if (report && who->json) {
        status = as_print_json(who, report, false);
    } else if (report) {
        const asq_value *kinds = asq_map_get(report, "kinds");
        if (asq_list_size(kinds))
            status = print_kinds(who, kinds, !options.dry_run);
        print_verdict(report);
    }
    asq_value_free(report);
    if (rc < 0) {
        fflush(stdout);
        status = as_report_code(who, rc, NULL, "%s", err);
    }
    return status;
}

int as_ctl_migrate(void *program, int argc, char **argv)
{
    struct as_ctl *ctl = program;
    const char *env = as_secret_url(), *url = ctl->settings.url;
    char *from = NULL, *to = NULL, err[ERROR_SIZE];
    (void) argc, (void) argv;
    if (!ctl->settings.to && !ctl->settings.abort)
        return as_program_usage(&ctl->base, "'migrate' needs --to URL");
    if (ctl->settings.dry_run + ctl->settings.resume + ctl->settings.abort > 1)
        return as_program_usage(&ctl->base, "--dry-run, --resume and --abort exclude each other");
    if (ctl->settings.delete_source && (ctl->settings.dry_run || ctl->settings.abort))
        return as_program_usage(&ctl->base, "--delete-source does not go with --dry-run and "
                                            "--abort");
    if (!url)
        url = env && *env ? env : AS_DEFAULT_URL;
    int rc = as_connect_add_password(url, ctl->settings.password_file, &from, err, sizeof err);
    if (rc == 0 && ctl->settings.to)
        rc = as_connect_add_password(ctl->settings.to, ctl->settings.to_password_file, &to, err,
                                     sizeof err);
    int status =
        rc == 0 ? migrate(ctl, from, to) : as_report_code(&ctl->base.who, rc, NULL, "%s", err);
    if (from)
        explicit_bzero(from, strlen(from));
    if (to)
        explicit_bzero(to, strlen(to));
    free(from);
    free(to);
    return status;
}
