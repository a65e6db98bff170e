/*
 * ctl_deployment.c: as-ctl's commands about the deployment: ping, classes, workers, stop.
 */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "asqueue.h"
#include "ctl.h"
#include "output.h"
#include "program.h"
#include "worker_stop.h"
#include "workers.h"

int as_ctl_ping(void *program, int argc, char **argv)
{
    struct as_ctl *ctl = program;
    int status = as_ctl_open(ctl);
    (void) argc, (void) argv;
    if (status != AS_EXIT_OK)
        return status;
    double ms;
    if (asq_ping(ctl->h, &ms) < 0)
        return as_ctl_failed(ctl);
    if (ctl->base.who.json)
        return as_print_json_own(
            &ctl->base.who, asq_pack("{s:s, s:f}", "namespace", asq_namespace(ctl->h), "ms", ms));
    printf("PONG in %.3f ms\n", ms);
    return AS_EXIT_OK;
}

/* ---- classes -------------------------------------------------------------------------------- */

/* Formats "name(params)", or ".name" of an attribute; to be freed. */
static char *member_text(const asq_value *member, bool attribute)
{
    char *name = as_word(asq_map_get(member, "name"));
    const asq_value *params = asq_map_get(member, "params");
    char *list = params && asq_value_type(params) != ASQ_NULL ? as_word(params) : strdup("");
    if (list && strcmp(list, "-") == 0)
        *list = '\0';
    char *text;
    if (!name || !list || asprintf(&text, attribute ? ".%s%.0s" : "%s(%s)", name, list) < 0)
        text = NULL;
    free(name);
    free(list);
    return text;
}

static bool has_flag(const asq_value *member, const char *name)
{
    const asq_value *flags = asq_map_get(member, "flags");
    const char *s;
    for (size_t i = 0; i < asq_list_size(flags); i++)
        if (asq_value_get_string(asq_list_get(flags, i), &s, NULL) == 0 && strcmp(s, name) == 0)
            return true;
    return false;
}

/* Prints a member: signature and flags, then its documentation. */
static void print_member(const asq_value *member, bool attribute)
{
    char *text = member_text(member, attribute), *doc = as_word(asq_map_get(member, "doc"));
    printf("  ");
    as_print_text(stdout, text ? text : "?", false);
    int pad = text && as_text_width(text) < 26 ? 26 - (int) as_text_width(text) : 1;
    printf("%*s", pad, "");
    if (has_flag(member, "readonly"))
        printf("[readonly] ");
    if (has_flag(member, "writable"))
        printf("[writable] ");
    as_print_text(stdout, doc && strcmp(doc, "-") != 0 ? doc : "", false);
    putchar('\n');
    free(text);
    free(doc);
}

static void print_class(const char *name, const asq_value *class)
{
    const asq_value *methods = asq_map_get(class, "methods"),
                    *attributes = asq_map_get(class, "attributes");
    char *doc = as_word(asq_map_get(class, "doc"));
    char *workers = as_word(asq_map_get(class, "workers"));
    as_print_text(stdout, name, false);
    printf("  (workers: ");
    as_print_text(stdout, workers ? workers : "-", false);
    printf(")");
    if (doc && strcmp(doc, "-") != 0) {
        printf("  ");
        as_print_text(stdout, doc, false);
    }
    putchar('\n');
    for (size_t i = 0; i < asq_list_size(methods); i++)
        print_member(asq_list_get(methods, i), false);
    for (size_t i = 0; i < asq_list_size(attributes); i++)
        print_member(asq_list_get(attributes, i), true);
    free(doc);
    free(workers);
}

int as_ctl_classes(void *program, int argc, char **argv)
{
    struct as_ctl *ctl = program;
    int status = as_ctl_open(ctl);
    (void) argc, (void) argv;
    if (status != AS_EXIT_OK)
        return status;
    asq_value *classes;
    if (asq_classes(ctl->h, &classes) < 0)
        return as_ctl_failed(ctl);
    if (ctl->base.who.json)
        status = as_ctl_print(ctl, classes);
    else if (asq_map_size(classes) == 0)
        as_note(&ctl->base.who, "no classes in namespace '%s': no worker has any",
                asq_namespace(ctl->h));
    else
        for (size_t i = 0; i < asq_map_size(classes); i++) {
            const char *name;
            const asq_value *class = asq_map_at(classes, i, &name);
            if (i)
                putchar('\n');
            print_class(name, class);
        }
    asq_value_free(classes);
    return status;
}

/* ---- workers, stop -------------------------------------------------------------------------- */

int as_ctl_workers(void *program, int argc, char **argv)
{
    struct as_ctl *ctl = program;
    int status = as_ctl_open(ctl);
    (void) argc, (void) argv;
    if (status == AS_EXIT_OK && (status = as_workers_show(&ctl->base.who, ctl->h)) == AS_EXIT_OK)
        as_ctl_note_paused(ctl);
    return status;
}

int as_ctl_stop(void *program, int argc, char **argv)
{
    struct as_ctl *ctl = program;
    struct as_stop_options options = { argv[0], ctl->settings.wait, as_program_now_ms(),
                                       ctl->settings.timeout_ms };
    int status = as_ctl_open(ctl);
    (void) argc;
    return status == AS_EXIT_OK ? as_workers_stop(&ctl->base.who, ctl->h, &options) : status;
}
