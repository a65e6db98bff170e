/*
 * ctl_delete.c: as-ctl delete: ends one agent, several, or all of a class or with a prefix. More
 * than one need a yes, from the terminal or by --yes. Deletions are sent in groups, because each
 * waits for the earlier calls of its agent. With --no-wait Redis only has to accept them
 * (asq_delete_many); else the command waits by itself, because it tells that no worker is alive.
 */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "asqueue.h"
#include "ctl.h"
#include "output.h"
#include "program.h"

enum { GROUP = 1024, ROUND = 8192 /* ids in memory at a time */ };

struct deletion {
    struct as_ctl *ctl;
    bool all;           /* of a class or with a prefix: an agent that is gone is no failure */
    asq_value *deleted; /* ids, for JSON; NULL: they are only counted */
    size_t n;           /* deleted; --no-wait: accepted */
    int status;         /* of the first failure */
    bool unfinished;    /* timeout or signal */
};

static void note_status(struct deletion *d, int status)
{
    if (d->status == AS_EXIT_OK)
        d->status = status;
}

static void send_one(struct deletion *d, const char *id, asq_result **ret)
{
    struct as_ctl *ctl = d->ctl;
    asq_agent *agent = NULL;
    *ret = NULL;
    as_ctl_limit_timeout(ctl);
    int rc = asq_attach(ctl->h, id, &agent);
    if (rc == 0)
        rc = asq_delete_async(agent, ret);
    if (rc < 0)
        note_status(d, as_ctl_outcome(ctl, rc));
    asq_agent_free(agent);
}

static void wait_one(struct deletion *d, const char *id, asq_result *r)
{
    int status = as_ctl_await(d->ctl, r);
    if (status != AS_EXIT_OK) {
        d->unfinished = true;
        note_status(d, status);
        return;
    }
    const asq_error *error = asq_result_error(r);
    if (error->code == 0) {
        d->n++;
        if (d->deleted && asq_list_append(d->deleted, asq_value_string(id)) < 0)
            note_status(d, as_report_code(&d->ctl->base.who, ASQ_ENOMEM, NULL, "out of memory"));
    } else if (!d->all || error->code != ASQ_ENOAGENT) {
        note_status(d, as_report(&d->ctl->base.who, error));
    }
}

/* Has Redis accept the deletion of agents. */
static void send_ids(struct deletion *d, size_t n, const char *const *ids)
{
    struct as_ctl *ctl = d->ctl;
    asq_delete_options options = ASQ_DELETE_OPTIONS_INIT;
    options.no_wait = true;
    as_ctl_limit_timeout(ctl);
    int status = as_ctl_outcome(ctl, asq_delete_many(ctl->h, n, ids, &options));
    if (status != AS_EXIT_OK) {
        d->unfinished = true;
        note_status(d, status);
        return;
    }
    d->n += n;
    for (size_t i = 0; i < n && d->deleted; i++)
        if (asq_list_append(d->deleted, asq_value_string(ids[i])) < 0)
            note_status(d, as_report_code(&ctl->base.who, ASQ_ENOMEM, NULL, "out of memory"));
}

/* Deletes agents, a group at a time. A failure does not stop the others. */
static void delete_ids(struct deletion *d, size_t n, const char *const *ids)
{
    asq_result *results[GROUP];
    for (size_t from = 0; from < n && !d->unfinished; from += GROUP) {
        size_t size = n - from < GROUP ? n - from : GROUP;
        asq_cork(d->ctl->h);
        for (size_t i = 0; i < size; i++)
            send_one(d, ids[from + i], &results[i]);
        if (asq_uncork(d->ctl->h) < 0)
            note_status(d, as_ctl_failed(d->ctl));
        for (size_t i = 0; i < size; i++) {
            if (results[i] && !d->unfinished)
                wait_one(d, ids[from + i], results[i]);
            asq_result_free(results[i]);
        }
    }
}

/* Asks at the terminal. A program that has none must say --yes. */
static int confirm(struct as_ctl *ctl, const char *what)
{
    char answer[16] = "";
    if (ctl->settings.yes)
        return AS_EXIT_OK;
    if (!isatty(STDIN_FILENO) || !isatty(STDERR_FILENO))
        return as_program_usage(&ctl->base, "deleting %s needs --yes, or a terminal to ask", what);
    fflush(stdout);
    fprintf(stderr, "as-ctl: delete ");
    as_print_text(stderr, what, false);
    fprintf(stderr, " from namespace '%s'? [y/N] ", asq_namespace(ctl->h));
    if (fgets(answer, sizeof answer, stdin) &&
        (strcasecmp(answer, "y\n") == 0 || strcasecmp(answer, "yes\n") == 0))
        return AS_EXIT_OK;
    return as_report_code(&ctl->base.who, ASQ_ECANCELED, NULL, "nothing was deleted");
}

/* The key for JSON. */
static const char *what_is_done(const struct as_ctl *ctl)
{
    return ctl->settings.no_wait ? "accepted" : "deleted";
}

static int delete_given(struct as_ctl *ctl, int argc, char **argv)
{
    struct deletion d = { .ctl = ctl };
    const struct as_reporter *who = &ctl->base.who;
    char what[32];
    int status = as_ctl_open(ctl);
    if (status != AS_EXIT_OK)
        return status;
    snprintf(what, sizeof what, "%d agents", argc);
    if (argc > 1 && (status = confirm(ctl, what)) != AS_EXIT_OK)
        return status;
    if (who->json && !(d.deleted = asq_value_list()))
        return as_report_code(who, ASQ_ENOMEM, NULL, "out of memory");
    if (ctl->settings.no_wait)
        send_ids(&d, (size_t) argc, (const char *const *) argv);
    else
        delete_ids(&d, (size_t) argc, (const char *const *) argv);
    if (who->json && argc > 1) {
        status = as_print_json_own(who, asq_pack("{s:o}", what_is_done(ctl), d.deleted));
        note_status(&d, status);
        return d.status;
    }
    if (who->json && d.n)
        note_status(&d, as_ctl_print_id(ctl, what_is_done(ctl), argv[0]));
    asq_value_free(d.deleted);
    return d.status;
}

/* ---- All of a class or with a prefix -------------------------------------------------------- */

struct round {
    char *ids[ROUND];
    size_t n;
};

static void free_ids(struct round *round)
{
    for (size_t i = 0; i < round->n; i++)
        free(round->ids[i]);
    round->n = 0;
}

/* Collects an id; ends the walk when the round is full. */
static int collect(const asq_value *agent, void *user)
{
    struct round *round = user;
    const char *id = asq_map_string(agent, "id");
    if (!(round->ids[round->n] = strdup(id)))
        return ASQ_ENOMEM;
    return ++round->n == ROUND;
}

/* Deletes what is found, and looks again, until nothing is found any more, or nothing of it can be
 * deleted. */
static void delete_found(struct deletion *d, struct round *round)
{
    struct as_ctl *ctl = d->ctl;
    size_t before;
    do {
        before = d->n;
        round->n = 0;
        as_ctl_limit_timeout(ctl);
        int rc = asq_agents_each(ctl->h, ctl->settings.class_name, ctl->settings.prefix,
                                 as_ctl_remaining_ms(ctl), collect, round);
        if (rc < 0)
            note_status(d, as_ctl_failed(ctl));
        else
            delete_ids(d, round->n, (const char *const *) round->ids);
        free_ids(round);
    } while (d->status == AS_EXIT_OK && d->n > before);
}

/* Walks the agents once, and sends the deletion of those that a page has: they are still there when
 * Redis has accepted it. */
static void send_found(struct deletion *d, struct round *round)
{
    struct as_ctl *ctl = d->ctl;
    char place[ASQ_CURSOR_SIZE] = "", next[ASQ_CURSOR_SIZE];
    do {
        asq_value *page = NULL;
        as_ctl_limit_timeout(ctl);
        int rc = asq_agents_page(ctl->h, ctl->settings.class_name, ctl->settings.prefix,
                                 *place ? place : NULL, ROUND / 2, as_ctl_remaining_ms(ctl), &page,
                                 next);
        if (rc < 0) {
            note_status(d, as_ctl_failed(ctl));
            return;
        }
        for (size_t i = 0; i < asq_list_size(page) && !d->unfinished; i++) {
            bool last = i + 1 == asq_list_size(page);
            rc = collect(asq_list_get(page, i), round);
            if (rc < 0) {
                d->unfinished = true;
                note_status(d, as_report_code(&ctl->base.who, rc, NULL, "out of memory"));
            } else if (rc > 0 || last) {
                send_ids(d, round->n, (const char *const *) round->ids);
                free_ids(round);
            }
        }
        free_ids(round);
        asq_value_free(page);
        memcpy(place, next, sizeof place);
    } while (*place && !d->unfinished);
}

static int delete_all(struct as_ctl *ctl)
{
    const char *class_name = ctl->settings.class_name, *prefix = ctl->settings.prefix;
    const struct as_reporter *who = &ctl->base.who;
    struct deletion d = { .ctl = ctl, .all = true };
    int64_t n;
    char which[2 * ASQ_MAX_ID + 64], what[sizeof which + 48];
    int status = as_ctl_open(ctl);
    if (status != AS_EXIT_OK)
        return status;
    snprintf(which, sizeof which, "%s%s%s%s", class_name ? " of class " : "",
             class_name ? class_name : "", prefix ? " with prefix " : "", prefix ? prefix : "");
    if (!ctl->settings.yes) {
        status = as_ctl_outcome(
            ctl, asq_agents_count(ctl->h, class_name, prefix, as_ctl_remaining_ms(ctl), &n));
        if (status != AS_EXIT_OK)
            return status;
        snprintf(what, sizeof what, "%lld agent%s%s", (long long) n, n == 1 ? "" : "s", which);
        if (n && (status = confirm(ctl, what)) != AS_EXIT_OK)
            return status;
    }
    struct round *round = malloc(sizeof *round);
    if (!round)
        return as_report_code(who, ASQ_ENOMEM, NULL, "out of memory");
    if (ctl->settings.no_wait)
        send_found(&d, round);
    else
        delete_found(&d, round);
    free(round);
    const char *key = ctl->settings.no_wait ? "accepted_count" : "deleted_count";
    if (who->json)
        note_status(&d, as_print_json_own(who, asq_pack("{s:I}", key, (int64_t) d.n)));
    else if (d.n == 0 && d.status == AS_EXIT_OK)
        as_note(who, "no agents%s in namespace '%s'", which, asq_namespace(ctl->h));
    else
        printf("%zu\n", d.n);
    return d.status;
}

int as_ctl_delete(void *program, int argc, char **argv)
{
    struct as_ctl *ctl = program;
    bool all = ctl->settings.class_name || ctl->settings.prefix;
    if (all && argc)
        return as_program_usage(&ctl->base, "'delete' takes either IDs, or --class and --prefix");
    if (!all && !argc)
        return as_program_usage(&ctl->base, "'delete' needs an ID, --class or --prefix");
    return all ? delete_all(ctl) : delete_given(ctl, argc, argv);
}
