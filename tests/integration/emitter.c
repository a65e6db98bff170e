/*
 * emitter.c: see emitter.h.
 */
#include "emitter.h"
#include "modes.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { GOES = 10 };

const char *gate, *turn, *notes;
static char *files[3], *go_files[GOES];

/* ---- files ----------------------------------------------------------------------------------- */

void emitter_begin(void)
{
    gate = files[0] = sup_path("gate");
    turn = files[1] = sup_path("turn");
    notes = files[2] = sup_path("notes");
    for (int i = 0; i < GOES; i++)
        go_files[i] = sup_format("%s.%d", gate, i);
}

static void end(char *path)
{
    remove(path);
    free(path);
}

void emitter_end(void)
{
    for (int i = 0; i < 3; i++)
        end(files[i]);
    for (int i = 0; i < GOES; i++)
        end(go_files[i]);
}

void emitter_wait_at_gate(void)
{
    sup_wait_until(asq_poll(H, 0) >= 0 && exists(notes));
}

/* ---- words ----------------------------------------------------------------------------------- */

static bool is_first(void)
{
    if (exists(turn))
        return false;
    touch(turn);
    return true;
}

static int emit_text(asq_ctx *ctx, size_t n)
{
    char *text = malloc(n + 1);

    memset(text, 'x', n);
    int rc = asq_emit(ctx, asq_value_stringn(text, n));
    free(text);
    return rc;
}

void emitter_go(int n)
{
    touch(go_files[n]);
}

void emitter_wait_for(int n)
{
    while (!exists(go_files[n]))
        sup_sleep_ms(5);
}

static int do_word(asq_ctx *ctx, const char *word, int *next)
{
    asq_value *v = NULL;
    long n = strlen(word) > 2 ? atol(word + 2) : 0;
    int rc = 0;

    switch (*word) {
    case 'e':
        while (n-- > 0 && rc == 0)
            rc = asq_emit(ctx, asq_value_int((*next)++));
        return rc;
    case 'o':
        while (!exists(turn) && n-- > 0 && rc == 0)
            rc = asq_emit(ctx, asq_value_int((*next)++));
        return rc;
    case 'b': return emit_text(ctx, (size_t) n);
    case 'j':
        if (asq_from_json(word + 2, strlen(word + 2), &v, NULL, 0) < 0)
            return asq_fail(ctx, ASQ_EPARSE, "%s", word);
        return asq_emit(ctx, v);
    case 'g':
        touch(notes);
        while (!exists(gate))
            sup_sleep_ms(5);
        return 0;
    case 'p':
        touch(notes);
        while (!exists(gate) && rc == 0)
            rc = asq_ctx_sleep(ctx, 10);
        return rc;
    case 'w': emitter_wait_for((int) n); return 0;
    case 's': return asq_ctx_sleep(ctx, n);
    case 'k':
        if (is_first())
            kill(getpid(), SIGKILL);
        return 0;
    case 'E': return is_first() ? asq_fail(ctx, ASQ_EFAILED, "first run") : 0;
    default: return asq_fail(ctx, ASQ_EFAILED, "as it was told");
    }
}

int emitter_run(asq_ctx *ctx, void *self, const asq_value *args, asq_value **ret)
{
    const char *script;
    char *copy, *word, *rest;
    int rc, next = 0;

    (void) self;
    if ((rc = asq_args(ctx, args, "[s]", &script)) < 0)
        return rc;
    copy = strdup(script);
    for (word = strtok_r(copy, " ", &rest); word && rc == 0; word = strtok_r(NULL, " ", &rest))
        rc = do_word(ctx, word, &next);
    free(copy);
    if (rc == 0)
        *ret = asq_value_int(next);
    return rc;
}

/* ---- what is read ---------------------------------------------------------------------------- */

void emitter_add(char *out, int what, const asq_value *v)
{
    char *json = NULL;
    size_t at = strlen(out);

    if (what < 0) {
        snprintf(out + at, EMITTER_TEXT - at, "%s ", asq_error_name(what));
    } else if (what == ASQ_NEXT_AGAIN || what == ASQ_NEXT_END) {
        snprintf(out + at, EMITTER_TEXT - at, what == ASQ_NEXT_END ? "end" : "again ");
    } else {
        asq_to_json(v, 0, &json);
        snprintf(out + at, EMITTER_TEXT - at, what == ASQ_NEXT_MISSED ? "missed:%s " : "%s ",
                 strlen(json) < 100 ? json : "long");
        free(json);
    }
}
