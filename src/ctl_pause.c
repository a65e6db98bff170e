/*
 * ctl_pause.c: as-ctl pause and resume, and the note about what is paused beneath other commands.
 */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "asqueue.h"
#include "ctl.h"
#include "output.h"
#include "program.h"
#include "workers.h"

/* Returns the class of a pause; NULL: the namespace. */
static const char *class_of(const asq_value *pause)
{
    const char *name = NULL;
    asq_value_get_string(asq_map_get(pause, "class"), &name, NULL);
    return name;
}

static void note_pause(const struct as_ctl *ctl, const asq_value *pause)
{
    char age[32];
    const char *class_name = class_of(pause);
    as_duration(asq_map_int(pause, "since_ms_ago"), age);
    bool known = asq_map_int(pause, "since") != 0;
    if (class_name)
        as_note(&ctl->base.who, "class %s is paused%s%s", class_name, known ? " since " : "",
                known ? age : "");
    else
        as_note(&ctl->base.who, "namespace '%s' is paused%s%s: no call begins",
                asq_namespace(ctl->h), known ? " since " : "", known ? age : "");
}

void as_ctl_note_paused(struct as_ctl *ctl)
{
    asq_value *list;
    as_ctl_limit_timeout(ctl);
    if (asq_paused(ctl->h, &list) < 0)
        return;
    for (size_t i = 0; i < asq_list_size(list); i++)
        note_pause(ctl, asq_list_get(list, i));
    asq_value_free(list);
}

char *as_ctl_pool_of(struct as_ctl *ctl, const char *name)
{
    asq_value *classes;
    const char *pool = NULL;
    as_ctl_limit_timeout(ctl);
    if (!name || asq_classes(ctl->h, &classes) < 0)
        return NULL;
    const asq_value *class = asq_map_get(classes, name);
    if (!class)
        as_note(&ctl->base.who, "no worker has a class %s", name);
    asq_value_get_string(asq_map_get(class, "pool"), &pool, NULL);
    char *copy = pool ? strdup(pool) : NULL;
    asq_value_free(classes);
    return copy;
}

void as_ctl_note_unknown(struct as_ctl *ctl, const char *name)
{
    free(as_ctl_pool_of(ctl, name));
}

/* Asks the workers, and notes which of them have not told that they obey a pause. */
static void note_disobedient(struct as_ctl *ctl)
{
    asq_value *list;
    as_ctl_limit_timeout(ctl);
    if (asq_workers_live(ctl->h, &list) < 0)
        return;
    for (size_t i = 0; i < asq_list_size(list); i++) {
        const asq_value *worker = asq_list_get(list, i);
        if (as_worker_is_alive(worker) && asq_map_int(worker, "paused") == 0)
            as_note(&ctl->base.who,
                    "worker %s has not told that it pauses: it is busy, has no connection, or is "
                    "of an older version",
                    as_worker_id(worker));
    }
    asq_value_free(list);
}

static int change(struct as_ctl *ctl, int (*fn)(asq *h, const char *class_name), const char *what)
{
    const char *name = ctl->settings.class_name;
    int status = as_ctl_open(ctl);
    if (status != AS_EXIT_OK)
        return status;
    status = as_ctl_outcome(ctl, fn(ctl->h, name));
    if (status == AS_EXIT_OK && ctl->base.who.json)
        status = as_print_json_own(&ctl->base.who, asq_pack("{s:s?}", what, name));
    return status;
}

int as_ctl_pause(void *program, int argc, char **argv)
{
    struct as_ctl *ctl = program;
    (void) argc, (void) argv;
    int status = change(ctl, asq_pause, "paused");
    if (status != AS_EXIT_OK)
        return status;
    as_ctl_note_unknown(ctl, ctl->settings.class_name);
    note_disobedient(ctl);
    return AS_EXIT_OK;
}

int as_ctl_resume(void *program, int argc, char **argv)
{
    struct as_ctl *ctl = program;
    (void) argc, (void) argv;
    int status = change(ctl, asq_resume, "resumed");
    if (status == AS_EXIT_OK)
        as_ctl_note_paused(ctl); /* what else is paused stays so */
    return status;
}
