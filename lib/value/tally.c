/*
 * tally.c: see tally.h.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "value/error.h"
#include "value/tally.h"

enum { KINDS = 64, EVERY_MS = 60000, TEXT = 700 };

struct asq__tally_kind {
    char name[ASQ__TALLY_NAME];
    char class_name[ASQ_MAX_NAME + 1], method[ASQ_MAX_NAME + 1]; /* of the first failure */
    int code;
    uint64_t n_unlogged; /* failures since last_logged_ms */
    int64_t last_logged_ms;
};

void asq__tally_init(struct asq__tally *t, asq__tally_fn log, void *user)
{
    *t = (struct asq__tally){ .log = log, .user = user };
}

void asq__tally_release(struct asq__tally *t)
{
    free(t->kinds);
    t->kinds = NULL;
    t->n = 0;
}

static const char *code_name(int code, char *room, size_t size)
{
    asq__error_code_name(code, room, size);
    return room;
}

/* Finds the place of a kind. The last place is shared by all kinds without another. */
static struct asq__tally_kind *find(struct asq__tally *t, const char *name, int code, bool *ret_new)
{
    *ret_new = false;
    for (size_t i = 0; i < t->n; i++)
        if (t->kinds[i].code == code &&
            strncmp(t->kinds[i].name, name, sizeof t->kinds[i].name - 1) == 0)
            return &t->kinds[i];
    if (t->n == KINDS)
        return &t->kinds[KINDS - 1];
    *ret_new = true;
    struct asq__tally_kind *kind = &t->kinds[t->n++];
    if (t->n == KINDS) {
        name = "other methods";
        code = 0;
    }
    memcpy(kind->name, name, strnlen(name, sizeof kind->name - 1));
    kind->code = code;
    return kind;
}

void asq__tally_note(struct asq__tally *t, const char *name, const asq_error *error, int64_t now_ms)
{
    char text[TEXT], room[32];
    bool is_new;
    t->total++;
    if (!t->log || (!t->kinds && !(t->kinds = calloc(KINDS, sizeof *t->kinds))))
        return;
    struct asq__tally_kind *kind = find(t, name, error->code, &is_new);
    if (!is_new) {
        kind->n_unlogged++;
        return;
    }
    kind->last_logged_ms = now_ms;
    if (t->n < KINDS) {
        snprintf(kind->class_name, sizeof kind->class_name, "%s", error->class_name);
        snprintf(kind->method, sizeof kind->method, "%s", error->method);
    }
    snprintf(
        text, sizeof text,
        "%.95s failed, and its caller does not take the result: %s: %.400s (later failures are "
        "counted)",
        name, code_name(error->code, room, sizeof room), error->message);
    t->log(t->user, ASQ_LOG_WARNING, text, error);
}

void asq__tally_log_due(struct asq__tally *t, int64_t now_ms, bool all)
{
    char text[TEXT], room[32];
    if (!all && now_ms - t->last_checked_ms < EVERY_MS / 60)
        return;
    t->last_checked_ms = now_ms;
    for (size_t i = 0; i < t->n; i++) {
        struct asq__tally_kind *kind = &t->kinds[i];
        if (!kind->n_unlogged || (!all && now_ms - kind->last_logged_ms < EVERY_MS))
            continue;
        snprintf(text, sizeof text,
                 "%s failed %llu more time%s in %lld s, and the callers do not take the result: %s",
                 kind->name, (unsigned long long) kind->n_unlogged,
                 kind->n_unlogged == 1 ? "" : "s",
                 (long long) (now_ms - kind->last_logged_ms) / 1000,
                 kind->code ? code_name(kind->code, room, sizeof room) : "various codes");
        kind->n_unlogged = 0;
        kind->last_logged_ms = now_ms;
        const asq_error all_of_kind = {
            kind->code, "", kind->class_name, kind->method, "", "", ""
        };
        t->log(t->user, ASQ_LOG_WARNING, text, &all_of_kind);
    }
}
