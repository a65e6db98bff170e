/*
 * walker.c: see walker.h.
 */
#include "walker.h"

#include "modes.h"
#include "support/file_lines.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { TEXT = 2000 };

char *walker_effects, *walker_turn, *walker_gate;

void walker_set_up(void)
{
    walker_effects = sup_path("effects");
    walker_turn = sup_path("turn");
    walker_gate = sup_path("gate");
}

void walker_tear_down(void)
{
    char **paths[] = { &walker_effects, &walker_turn, &walker_gate };

    for (size_t i = 0; i < 3; i++) {
        remove(*paths[i]);
        free(*paths[i]);
        *paths[i] = NULL;
    }
}

int walker_count(const char *name)
{
    char *line = sup_format("effect %s\n", name);
    int n = sup_file_count(walker_effects, line);

    free(line);
    return n;
}

/* ---- steps ----------------------------------------------------------------------------------- */

static void effect(const char *name)
{
    char *line = sup_format("effect %s", name);

    sup_file_add(walker_effects, line);
    free(line);
}

/* Returns whether this is the first time that the walker comes to its turn. */
static bool is_first(void)
{
    if (exists(walker_turn))
        return false;
    touch(walker_turn);
    return true;
}

static int count_up(asq_ctx *ctx, void *user, asq_value **ret)
{
    (void) ctx;
    effect(user);
    *ret = asq_value_int(walker_count(user));
    return 0;
}

static int die_once(asq_ctx *ctx, void *user, asq_value **ret)
{
    int rc = count_up(ctx, user, ret);

    if (is_first())
        kill(getpid(), SIGKILL);
    return rc;
}

static int fail_step(asq_ctx *ctx, void *user, asq_value **ret)
{
    (void) ret;
    effect(user);
    return asq_fail(ctx, ASQ_ETYPE, "%s does not like %d", (const char *) user, walker_count(user));
}

static int fail_twice(asq_ctx *ctx, void *user, asq_value **ret)
{
    int rc = count_up(ctx, user, ret);

    return walker_count(user) < 3 ? asq_fail(ctx, ASQ_ETYPE, "not yet") : rc;
}

static int make_large(asq_ctx *ctx, void *user, asq_value **ret)
{
    size_t n = (size_t) atol(user);
    char *text = malloc(n + 1);

    (void) ctx;
    memset(text, 'x', n);
    *ret = asq_value_stringn(text, n);
    free(text);
    effect(user);
    return 0;
}

static int make_step_inside(asq_ctx *ctx, void *user, asq_value **ret)
{
    (void) ret;
    return asq_step(ctx, user, count_up, user, NULL);
}

static int make_call_inside(asq_ctx *ctx, void *user, asq_value **ret)
{
    asq_agent *a;
    int rc = asq_attach(asq_ctx_handle(ctx), user, &a);

    if (rc == 0) {
        rc = asq_call(a, "add", NULL, "[i]", 1);
        asq_agent_free(a);
    }
    *ret = asq_value_int(rc);
    return 0;
}

static int sleep_inside(asq_ctx *ctx, void *user, asq_value **ret)
{
    int rc = asq_ctx_sleep(ctx, 1000);

    return rc < 0 ? rc : count_up(ctx, user, ret);
}

/* ---- the method ------------------------------------------------------------------------------ */

/* Adds what a word gave. */
static void add_value(char out[TEXT], const asq_value *v)
{
    char *json = NULL;

    if (asq_to_json(v, 0, &json) == 0 && strlen(json) < 200)
        strncat(out, json, TEXT - strlen(out) - 1);
    strncat(out, " ", TEXT - strlen(out) - 1);
    free(json);
}

static void add_fact(char out[TEXT], const char *text)
{
    char *line = sup_format("is %s", text);

    sup_file_add(walker_effects, line);
    free(line);
    strncat(out, text, TEXT - strlen(out) - 1);
    strncat(out, " ", TEXT - strlen(out) - 1);
}

static int step(asq_ctx *ctx, asq_step_fn fn, char *name, bool wait, char out[TEXT])
{
    asq_step_options options = ASQ_STEP_OPTIONS_INIT;
    asq_retry retry = ASQ_RETRY_OPTIONS_INIT;
    asq_value *v = NULL;

    retry.attempts = 3;
    retry.delay_ms = 1;
    options.wait_record = wait;
    options.retry = fn == fail_twice ? &retry : NULL;
    int rc = asq_step_with(ctx, name, &options, fn, name, &v);
    if (rc == 0)
        add_value(out, v);
    asq_value_free(v);
    return rc;
}

static int call(asq_ctx *ctx, const char *id, char out[TEXT])
{
    asq_agent *a;
    asq_value *v = NULL;
    int rc = asq_attach(asq_ctx_handle(ctx), id, &a);

    if (rc == 0)
        rc = asq_call_wait(a, "add", &v, "[i]", 1);
    if (rc == 0)
        add_value(out, v);
    asq_value_free(v);
    asq_agent_free(a);
    return rc;
}

static int facts(asq_ctx *ctx, char what, char out[TEXT])
{
    char text[100] = "";
    int64_t now;
    uint64_t random;
    asq_agent *a;
    int rc = ASQ_EINVAL;

    if (what == 'n' && (rc = asq_ctx_now(ctx, &now)) == 0) {
        snprintf(text, sizeof text, "now%lld", (long long) now);
    } else if (what == 'R' && (rc = asq_ctx_random(ctx, &random, sizeof random)) == 0) {
        snprintf(text, sizeof text, "random%llx", (unsigned long long) random);
    } else if (what == 'a' &&
               (rc = asq_create(asq_ctx_handle(ctx), "Walker", NULL, &a, NULL)) == 0) {
        snprintf(text, sizeof text, "agent%s", asq_agent_id(a));
        rc = asq_ready(a, ASQ_FOREVER);
        asq_agent_free(a);
    }
    if (rc == 0)
        add_fact(out, text);
    return rc;
}

static int nap(asq_ctx *ctx, const char *ms)
{
    sup_file_add(walker_effects, "asleep");
    return asq_ctx_sleep(ctx, atol(ms));
}

/* Has another agent call this one, once it has signal "go". It must not wait by blocking: this run
 * may be on the same thread. */
static int call_back(asq_ctx *ctx, const char *id)
{
    asq_agent *a;
    asq_result *r = NULL;
    char *script = sup_format("h:go c:%s", asq_ctx_agent_id(ctx));
    int rc = asq_attach(asq_ctx_handle(ctx), id, &a);

    if (rc == 0) {
        rc = asq_call(a, "run", &r, "[s]", script);
        asq_result_free(r);
        asq_agent_free(a);
    }
    free(script);
    return rc;
}

static int hear(asq_ctx *ctx, const char *name, int64_t timeout_ms, char out[TEXT])
{
    asq_value *v = NULL;
    int rc = asq_ctx_next_signal(ctx, name, &v, timeout_ms);

    if (rc == ASQ_ETIMEOUT) {
        sup_file_add(walker_effects, "heard none");
        strncat(out, "none ", TEXT - strlen(out) - 1);
        return 0;
    }
    if (rc == 0) {
        char *json = NULL;
        asq_to_json(v, 0, &json);
        char *line = sup_format("heard %s", json);
        sup_file_add(walker_effects, line);
        free(line);
        free(json);
        add_value(out, v);
    }
    asq_value_free(v);
    return rc;
}

static int send_signal(asq_ctx *ctx, const char *id, const char *name)
{
    asq_agent *a;
    int rc = asq_attach(asq_ctx_handle(ctx), id, &a);

    if (rc == 0)
        rc = asq_signal(a, name, asq_value_string(name));
    asq_agent_free(a);
    return rc;
}

/* ---- waits for others ------------------------------------------------------------------------ */

/* Adds the text or value of a result; NULL: none came in time. */
static void add_result(char out[TEXT], const asq_value *v)
{
    const char *text;

    if (!v)
        strncat(out, "none ", TEXT - strlen(out) - 1);
    else if (asq_value_get_string(v, &text, NULL) == 0)
        strncat(out, text, TEXT - strlen(out) - 1);
    else
        add_value(out, v);
}

/* Waits for a result, which it frees. timeout_ms: of asq_ctx_wait; below 0: waits by
 * asq_result_value. */
static int await(asq_ctx *ctx, asq_result *r, int64_t timeout_ms, char out[TEXT])
{
    const asq_value *v = NULL;
    int rc = timeout_ms < 0 ? 0 : asq_ctx_wait(ctx, r, timeout_ms);

    if (rc == 0)
        rc = asq_result_value(r, &v);
    else if (rc == ASQ_ETIMEOUT)
        rc = 0;
    if (rc == 0)
        add_result(out, v);
    asq_result_free(r);
    return rc;
}

static int promise(asq_ctx *ctx, const char *name, int64_t timeout_ms, char out[TEXT])
{
    asq_result *r;
    int rc = asq_promise_new(ctx, &r);

    if (rc < 0)
        return rc;
    char *line = sup_format("promise %s %s", name, asq_result_id(r));
    sup_file_add(walker_effects, line);
    free(line);
    return await(ctx, r, timeout_ms, out);
}

/* Has an agent walk. */
static int send(asq_ctx *ctx, const char *id, const char *script, asq_result **ret)
{
    asq_agent *a;
    char *words = strdup(script);
    int rc = asq_attach(asq_ctx_handle(ctx), id, &a);

    for (char *at = words; (at = strchr(at, '+')); at += strspn(at, "+"))
        if (at[1] == '+')
            memmove(at, at + 1, strlen(at)); /* one less, for a word of the script */
        else
            *at = ' ';
    if (rc == 0)
        rc = asq_call(a, "run", ret, "[s]", words);
    if (rc == 0)
        asq_agent_free(a);
    free(words);
    return rc;
}

static int add_gathered(void *user, size_t i, asq_result *r, size_t done, size_t n)
{
    const asq_value *v = NULL;

    (void) i, (void) done, (void) n;
    if (asq_result_value(r, &v) == 0)
        add_result(user, v);
    return 0;
}

static int gather(asq_ctx *ctx, char *ids, const char *script, char out[TEXT])
{
    enum { MOST = 16 };
    asq_result *r[MOST];
    size_t n = 0;
    int rc = 0;
    char *rest;

    for (char *id = strtok_r(ids, ";", &rest); id && rc == 0; id = strtok_r(NULL, ";", &rest))
        if ((rc = send(ctx, id, script, &r[n])) == 0)
            n++;
    if (rc == 0)
        rc = asq_gather(r, n, ASQ_FOREVER, add_gathered, out);
    while (n > 0)
        asq_result_free(r[--n]);
    return rc;
}

/* An effect whose record was lost happens again, and the next record says so. */
static int march(asq_ctx *ctx, int n, char out[TEXT])
{
    int64_t *counts = calloc((size_t) n, sizeof *counts);
    char name[20], text[60];
    int rc = 0;

    for (int i = 0; i < n && rc == 0; i++) {
        asq_value *v = NULL;
        snprintf(name, sizeof name, "m%d", i);
        rc = asq_step(ctx, name, count_up, name, &v);
        if (rc == 0)
            asq_value_get_int(v, &counts[i]);
        asq_value_free(v);
        if (rc == 0 && i % 10 == 9)
            rc = asq_ctx_sleep(ctx, 1000 + i % 7);
    }
    for (int i = 0; i < n && rc == 0; i++) {
        snprintf(name, sizeof name, "m%d", i);
        snprintf(text, sizeof text, "%s:%d!=%lld ", name, walker_count(name),
                 (long long) counts[i]);
        if (walker_count(name) != counts[i] && strlen(out) + strlen(text) < TEXT)
            strcat(out, text);
    }
    free(counts);
    return rc;
}

static int do_word(asq_ctx *ctx, char *word, char out[TEXT])
{
    char *name = strlen(word) > 2 ? word + 2 : word;
    char *other = strchr(name, ',');
    char text[300];
    int rc;

    if (other && strchr("xyY", *word)) {
        bool later = !is_first();
        *other++ = '\0';
        char *chosen = later ? other : name;
        if (*word == 'x' || (*word == 'y') == !later)
            rc = step(ctx, count_up, chosen, !later, out);
        else
            rc = call(ctx, chosen, out);
        if (!later && rc == 0)
            kill(getpid(), SIGKILL);
        return rc;
    }
    if (other && strchr("Hu", *word)) {
        *other++ = '\0';
        return *word == 'H' ? hear(ctx, other, atol(name), out) : send_signal(ctx, name, other);
    }
    if (other && strchr("PCTA", *word)) {
        asq_result *r;
        *other++ = '\0';
        if (*word == 'P')
            return promise(ctx, other, atol(name), out);
        if (*word == 'A')
            return gather(ctx, name, other, out);
        int64_t ms = *word == 'T' ? atol(name) : -1;
        if (*word == 'T') {
            name = other;
            other = strchr(other, ',');
            *other++ = '\0';
        }
        rc = send(ctx, name, other, &r);
        return rc < 0 ? rc : await(ctx, r, ms, out);
    }
    switch (*word) {
    case 'p': return promise(ctx, name, -1, out);
    case 'h': return hear(ctx, name, ASQ_FOREVER, out);
    case 'z': return nap(ctx, name);
    case 'Z': return exists(walker_turn) ? 0 : nap(ctx, name);
    case 'v':
    case 'V':
        *other++ = '\0';
        return exists(walker_turn) == (*word == 'V') ? step(ctx, count_up, other, true, out)
                                                     : nap(ctx, name);
    case 'j': return step(ctx, sleep_inside, name, true, out);
    case 's': return step(ctx, count_up, name, false, out);
    case 'w': return step(ctx, count_up, name, true, out);
    case 'D': return step(ctx, die_once, name, true, out);
    case 'F': return step(ctx, fail_step, name, true, out);
    case 'f':
        rc = step(ctx, fail_step, name, true, out);
        snprintf(text, sizeof text, "%d:%s ", rc, asq_errmsg(asq_ctx_handle(ctx)));
        strncat(out, text, TEXT - strlen(out) - 1);
        return rc == ASQ_ETYPE ? 0 : rc;
    case 'r': return step(ctx, fail_twice, name, true, out);
    case 'L': return step(ctx, make_large, name, true, out);
    case 'l':
        rc = step(ctx, make_large, name, true, out);
        return rc == ASQ_ELIMIT && walker_count(name) ? 0 : rc;
    case 'i': return step(ctx, make_step_inside, name, true, out);
    case 'I': return step(ctx, make_call_inside, name, true, out);
    case 'c': return call(ctx, name, out);
    case 'k':
        if (is_first())
            kill(getpid(), SIGKILL);
        return 0;
    case 'K': kill(getpid(), SIGKILL); return 0;
    case 'g':
        sup_file_add(walker_effects, "at the gate");
        while (!exists(walker_gate))
            sup_sleep_ms(10);
        return 0;
    case 'b': return call_back(ctx, name);
    case 'm': return march(ctx, atoi(name), out);
    case 'u':
        sup_file_add(walker_effects, "changed");
        return asq_map_set_int(asq_ctx_state(ctx), "n",
                               asq_map_int(asq_ctx_state(ctx), "n") + atoi(name));
    case 'E': return is_first() ? asq_fail(ctx, ASQ_EFAILED, "first run") : 0;
    default: return facts(ctx, *word, out);
    }
}

static int walker_run(asq_ctx *ctx, void *self, const asq_value *args, asq_value **ret)
{
    const char *script;
    char *copy, *word, *rest;
    char out[TEXT] = "";
    int rc;

    (void) self;
    if ((rc = asq_args(ctx, args, "[s]", &script)) < 0)
        return rc;
    copy = strdup(script);
    for (word = strtok_r(copy, " ", &rest); word && rc == 0; word = strtok_r(NULL, " ", &rest)) {
        if (*word == 'e' && !is_first())
            break;
        if (*word != 'e')
            rc = do_word(ctx, word, out);
    }
    free(copy);
    if (rc == ASQ_EUNLOADED)
        sup_file_add(walker_effects, "unloaded");
    if (rc == 0)
        *ret = asq_value_string(out);
    return rc;
}

static int walker_add(asq_ctx *ctx, void *self, const asq_value *args, asq_value **ret)
{
    int64_t n;
    int rc;

    (void) self;
    if ((rc = asq_args(ctx, args, "[I]", &n)) < 0)
        return rc;
    n += asq_map_int(asq_ctx_state(ctx), "n");
    *ret = asq_value_int(n);
    return asq_map_set_int(asq_ctx_state(ctx), "n", n);
}

static const asq_retry again = { ASQ_RETRY_INIT, .attempts = 2 };
static const asq_method methods[] = { { "run", walker_run, "script", 0, NULL },
                                      { "retried", walker_run, "script", 0, NULL },
                                      { "add", walker_add, "n", 0, NULL },
                                      { 0 } };
static const asq_method_retry retries[] = { { "retried", &again }, { NULL, NULL } };
const asq_class walker_class = { ASQ_CLASS_INIT, .name = "Walker", .methods = methods,
                                 .retries = retries };
