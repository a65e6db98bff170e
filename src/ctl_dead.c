/*
 * ctl_dead.c: as-ctl's commands about calls that were given up: dead list, show, retry, drop.
 */
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "asqueue.h"
#include "ctl.h"
#include "options.h"
#include "output.h"
#include "program.h"

enum { DEFAULT_LIMIT = 100 };

/* ---- list, show ----------------------------------------------------------------------------- */

/* Returns a letter's field as a word; "-" for unknown text. */
static char *word_of(const asq_value *letter, const char *key)
{
    char *word = as_word(asq_map_get(letter, key));
    if (word && !*word) {
        free(word);
        return strdup("-");
    }
    return word;
}

static int print_letters(struct as_ctl *ctl, const asq_value *list)
{
    static const struct as_column columns[] = {
        { "ID", false },      { "TIME", false },   { "CALL", false },
        { "ATTEMPTS", true }, { "WORKER", false }, { "REASON", false },
    };
    struct as_table *t = as_table_new(columns, 6);
    for (size_t i = 0; i < asq_list_size(list); i++) {
        const asq_value *letter = asq_list_get(list, i);
        as_table_add(t, word_of(letter, "id"));
        as_table_add(t, as_ctl_time_text(asq_map_int(letter, "time_ms")));
        as_table_add(t, word_of(letter, "call"));
        as_table_add(t, word_of(letter, "attempts"));
        as_table_add(t, word_of(letter, "worker"));
        as_table_add(t, word_of(letter, "reason"));
    }
    return as_table_print(t, &ctl->base.who);
}

int as_ctl_dead_list(void *program, int argc, char **argv)
{
    struct as_ctl *ctl = program;
    size_t limit = ctl->settings.limit ? ctl->settings.limit : DEFAULT_LIMIT;
    (void) argc, (void) argv;
    int status = as_ctl_open(ctl);
    if (status != AS_EXIT_OK)
        return status;
    asq_value *letters;
    if (asq_dead_list(ctl->h, limit, &letters) < 0)
        return as_ctl_failed(ctl);
    if (ctl->base.who.json) {
        status = as_ctl_print(ctl, letters);
    } else if (asq_list_size(letters) == 0) {
        as_note(&ctl->base.who, "no dead letters in namespace '%s'", asq_namespace(ctl->h));
        status = AS_EXIT_OK;
    } else {
        status = print_letters(ctl, letters);
        if (status == AS_EXIT_OK && asq_list_size(letters) == limit)
            as_note(&ctl->base.who, "the newest %zu; --limit shows more", limit);
    }
    asq_value_free(letters);
    return status;
}

/* Prints a letter as as_ctl_show prints an agent, followed by its jobs, one a line. */
static int print_letter(struct as_ctl *ctl, const asq_value *letter)
{
    for (size_t i = 0; i < asq_map_size(letter); i++) {
        const char *key;
        const asq_value *v = asq_map_at(letter, i, &key);
        bool is_time = strcmp(key, "time_ms") == 0;
        for (size_t k = 0; asq_value_type(v) == ASQ_LIST && k < asq_list_size(v); k++) {
            char *job;
            if (asq_to_json(asq_list_get(v, k), 0, &job) < 0)
                return as_report_code(&ctl->base.who, ASQ_ENOMEM, NULL, "out of memory");
            printf("%-12s ", "job");
            as_print_text(stdout, job, false);
            putchar('\n');
            free(job);
        }
        if (asq_value_type(v) == ASQ_LIST)
            continue;
        char *word = is_time ? as_ctl_time_text(asq_map_int(letter, key)) : word_of(letter, key);
        if (!word)
            return as_report_code(&ctl->base.who, ASQ_ENOMEM, NULL, "out of memory");
        printf("%-12s ", is_time ? "time" : key);
        as_print_text(stdout, word, false);
        putchar('\n');
        free(word);
    }
    return AS_EXIT_OK;
}

int as_ctl_dead_show(void *program, int argc, char **argv)
{
    struct as_ctl *ctl = program;
    (void) argc;
    int status;
    asq_value *letter;
    if ((status = as_ctl_open(ctl)) != AS_EXIT_OK ||
        (status = as_ctl_outcome(ctl, asq_dead_show(ctl->h, argv[0], &letter))) != AS_EXIT_OK)
        return status;
    status = ctl->base.who.json ? as_ctl_print(ctl, letter) : print_letter(ctl, letter);
    asq_value_free(letter);
    return status;
}

/* ---- retry, drop ---------------------------------------------------------------------------- */

/* Retries or drops one letter. *ret gets the outcome for JSON output. */
static int retry_or_drop_one(struct as_ctl *ctl, bool retry, const char *id, asq_value **ret)
{
    int rc;
    if (retry) {
        asq_value *calls;
        if ((rc = asq_dead_retry(ctl->h, id, &calls)) == 0)
            *ret = asq_pack("{s:s, s:o}", "id", id, "call_ids", calls);
    } else if ((rc = asq_dead_drop(ctl->h, id)) == 0) {
        *ret = asq_value_string(id);
    }
    return rc;
}

/* Prints the ids of a letter's new calls as text, after the letter's id if with_id. */
static void print_act(const asq_value *done, bool with_id)
{
    const asq_value *calls = asq_map_get(done, "call_ids");
    const char *id = "", *call = "";
    if (asq_value_get_string(asq_map_get(done, "id"), &id, NULL) < 0)
        asq_value_get_string(done, &id, NULL);
    for (size_t i = 0; i < asq_list_size(calls); i++) {
        asq_value_get_string(asq_list_get(calls, i), &call, NULL);
        printf("%s%s%s\n", with_id ? id : "", with_id ? " " : "", call);
    }
    if (!calls && with_id)
        printf("%s\n", id);
}

static int handle_one(struct as_ctl *ctl, bool retry, const char *id)
{
    asq_value *done = NULL;
    int status = as_ctl_outcome(ctl, retry_or_drop_one(ctl, retry, id, &done));
    if (status == AS_EXIT_OK && ctl->base.who.json) {
        status = retry ? as_ctl_print(ctl, done) : as_ctl_print_id(ctl, "dropped", id);
    } else if (status == AS_EXIT_OK) {
        print_act(done, false);
    }
    asq_value_free(done);
    return status;
}

/* Acts on all current letters, also after a failure of one. A letter that vanishes meanwhile counts
 * as done; letters left at the timeout count as failed. */
static int handle_all(struct as_ctl *ctl, bool retry)
{
    asq_value *all = asq_value_list();
    size_t failed = 0;
    asq_error first = { 0 };
    char *message = NULL;
    int status = AS_EXIT_OK;
    if (!all)
        return as_report_code(&ctl->base.who, ASQ_ENOMEM, NULL, "out of memory");
    asq_value *letters;
    if (asq_dead_list(ctl->h, 0, &letters) < 0) {
        asq_value_free(all);
        return as_ctl_failed(ctl);
    }
    if (asq_list_size(letters) == 0)
        as_note(&ctl->base.who, "no dead letters in namespace '%s'", asq_namespace(ctl->h));
    for (size_t i = 0; i < asq_list_size(letters); i++) {
        const char *id = asq_map_string(asq_list_get(letters, i), "id");
        asq_value *done = NULL;
        as_ctl_limit_timeout(ctl);
        int rc = retry_or_drop_one(ctl, retry, id, &done);
        if (rc == ASQ_ENOENT)
            continue;
        if (rc < 0) {
            if (failed++ == 0) {
                first.code = rc;
                message = strdup(asq_errmsg(ctl->h));
            }
            if (rc == ASQ_ETIMEOUT) { /* Redis is away, or the command's time is up */
                failed += asq_list_size(letters) - i - 1;
                break;
            }
            continue;
        }
        if (!ctl->base.who.json)
            print_act(done, true);
        if (asq_list_append(all, done) < 0) {
            status = as_report_code(&ctl->base.who, ASQ_ENOMEM, NULL, "out of memory");
            break;
        }
    }
    if (ctl->base.who.json && status == AS_EXIT_OK) {
        status = as_print_json_own(&ctl->base.who,
                                   asq_pack("{s:o}", retry ? "retried" : "dropped", all));
        all = NULL;
    }
    if (failed)
        status =
            as_report_code(&ctl->base.who, first.code, NULL, "%zu of %zu failed; the first: %s",
                           failed, asq_list_size(letters), message ? message : "");
    asq_value_free(all);
    asq_value_free(letters);
    free(message);
    return status;
}

static int retry_or_drop(struct as_ctl *ctl, bool retry, int argc, char **argv)
{
    if ((argc > 0) == ctl->settings.all)
        return as_program_usage(&ctl->base, "'%s' needs either LETTER or --all",
                                ctl->base.args.command->name);
    int status = as_ctl_open(ctl);
    if (status != AS_EXIT_OK)
        return status;
    return argc > 0 ? handle_one(ctl, retry, argv[0]) : handle_all(ctl, retry);
}

int as_ctl_dead_retry(void *program, int argc, char **argv)
{
    return retry_or_drop(program, true, argc, argv);
}

int as_ctl_dead_drop(void *program, int argc, char **argv)
{
    return retry_or_drop(program, false, argc, argv);
}
