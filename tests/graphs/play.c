/*
 * play.c: see play.h.
 *
 *     calls ──results──▶ logs ──as expected──▶ rest ──time──▶ logs again ──▶ ended
 *
 * Calls without a waiter may still be under way when all results are there, so the logs are read
 * until they contain those calls. Effects that happened twice may show later, so the logs are read
 * again after a rest.
 */
#include "graphs/play.h"
#include "graphs/node.h"
#include "support/support.h"

#include <stdlib.h>
#include <string.h>

enum phase { CALLS, LOGS, REST, LOGS_AGAIN, ENDED };
enum { READ_AGAIN_MS = 20, READ_EMITS_MS = 5 };

struct play {
    const struct graph *g;
    asq *h;
    struct check *check;
    enum phase phase;
    size_t step;
    int pending; /* number of results to come */
    asq_agent *agents[GRAPH_AGENTS];
    asq_result *results[GRAPH_STEPS]; /* by the step of the program */
    asq_result *logs[GRAPH_AGENTS];
    asq_value *outcomes;
    /* Values that calls have emitted, by the step of the program. */
    asq_value *seen[GRAPH_STEPS];
    asq_result *readers[GRAPH_STEPS]; /* others than results */
    bool read[GRAPH_STEPS];
    unsigned long long agains;
    int64_t rest_ms, not_before_ms, since_ms;
    char why[700];
};

static enum play_state fail(struct play *p, const char *what, const char *why)
{
    snprintf(p->why, sizeof p->why, "%s%s%s", what, *what ? ": " : "", why);
    return PLAY_FAILED;
}

struct play *play_new(const struct graph *g, asq *h, enum check_where where, int64_t rest_ms)
{
    struct play *p = calloc(1, sizeof *p);

    if (!p || !(p->check = check_new(g, where))) {
        free(p);
        return NULL;
    }
    p->g = g;
    p->h = h;
    p->rest_ms = rest_ms;
    p->since_ms = sup_now_ms();
    return p;
}

void play_free(struct play *p)
{
    if (!p)
        return;
    for (int i = 0; i < GRAPH_AGENTS; i++) {
        asq_agent_free(p->agents[i]);
        asq_result_free(p->logs[i]);
    }
    for (int i = 0; i < GRAPH_STEPS; i++) {
        asq_result_free(p->results[i]);
        asq_result_free(p->readers[i]);
        asq_value_free(p->seen[i]);
    }
    asq_value_free(p->outcomes);
    check_free(p->check);
    free(p);
}

static void one_is_there(asq_result *r, void *user)
{
    struct play *p = user;

    (void) r;
    p->pending--;
    if (p->phase == CALLS) /* logs are read again and again */
        p->since_ms = sup_now_ms();
}

static int expect(struct play *p, asq_result *r)
{
    p->pending++;
    return asq_result_then(r, one_is_there, p);
}

/* ---- calls ---- */

static asq_result *result_of_slot(const struct play *p, int slot)
{
    const struct node *n = &p->g->nodes[0];

    for (size_t i = 0; i < p->step; i++)
        if (n->steps[i].kind == STEP_ASYNC && n->steps[i].slot == slot)
            return p->results[i];
    return NULL;
}

static int make_call(struct play *p, const struct step *s)
{
    asq_result *inputs[GRAPH_INPUTS], **ret = s->kind == STEP_SEND ? NULL : &p->results[p->step];
    asq_value *call = graph_value(p->g, s->kids[0]);
    int rc;

    for (size_t i = 0; i < s->ninputs; i++)
        inputs[i] = result_of_slot(p, s->inputs[i]);
    rc = call ? node_call(p->h, call, 0, "", inputs, s->ninputs, ret) : ASQ_ENOMEM;
    asq_value_free(call);
    if (rc == ASQ_EINPUT && s->kind == STEP_SEND)
        rc = 0;
    if (rc == 0 && ret && s->reads && (p->g->seed + p->step) % 2)
        rc = asq_result_attach(p->h, asq_result_id(*ret), &p->readers[p->step]);
    return rc < 0 || !ret ? rc : expect(p, *ret);
}

/* Reads what calls emit, by their result or by their id. True: all is there. */
static bool read_emits(struct play *p, int *ret_rc)
{
    const struct node *n = &p->g->nodes[0];
    bool all = true;

    *ret_rc = 0;
    for (size_t i = 0; i < p->step && *ret_rc == 0; i++) {
        if (!n->steps[i].reads || p->read[i])
            continue;
        if (!p->seen[i])
            p->seen[i] = asq_value_list();
        *ret_rc = node_read(p->readers[i] ? p->readers[i] : p->results[i], n->steps[i].kids[0],
                            &p->seen[i], 0, &p->read[i], &p->agains);
        if (p->read[i])
            p->since_ms = sup_now_ms();
        all &= p->read[i];
    }
    return all;
}

static int send_signals(struct play *p, const struct step *s)
{
    char id[64];

    graph_agent_id(p->g, p->g->nodes[s->node].agents[0], id);
    return node_signal(p->h, id, s->node, s->first, s->n);
}

static int create_agents(struct play *p)
{
    char id[64];
    int rc = 0;

    for (int i = 0; i < p->g->nagents && rc == 0; i++)
        rc = asq_create(p->h, NODE_CLASS, graph_agent_id(p->g, i, id), &p->agents[i], NULL);
    for (int i = 0; i < p->g->nagents && rc == 0 && p->g->waits_for_agents; i++)
        rc = asq_ready(p->agents[i], sup_limit_ms());
    return rc;
}

static enum play_state go_on_calling(struct play *p)
{
    const struct node *n = &p->g->nodes[0];
    int rc = p->agents[0] ? 0 : create_agents(p);

    for (; p->step < n->nsteps && rc == 0; p->step++) {
        const struct step *s = &n->steps[p->step];
        if (s->kind == STEP_ASYNC || s->kind == STEP_SEND)
            rc = make_call(p, s);
        else if (s->kind == STEP_CANCEL)
            rc = asq_result_cancel(result_of_slot(p, s->slot));
        else if (s->kind == STEP_SIGNAL)
            rc = send_signals(p, s);
        else if (s->kind == STEP_ALL && p->pending)
            return PLAY_GOES_ON;
    }
    if (rc == 0 && !read_emits(p, &rc) && rc == 0) {
        p->not_before_ms = sup_now_ms() + READ_EMITS_MS;
        return PLAY_GOES_ON;
    }
    if (rc < 0)
        return fail(p, asq_error_name(rc), asq_errmsg(p->h));
    p->outcomes = asq_pack("[i, [], [], []]", 0);
    for (size_t i = 0; i < n->nsteps; i++) {
        asq_list_append(asq_list_at(p->outcomes, 3), p->seen[i] ? p->seen[i] : asq_value_null());
        p->seen[i] = NULL;
    }
    for (size_t i = 0; i < n->nsteps; i++)
        if (step_calls(n->steps[i].kind))
            asq_list_append(asq_list_at(p->outcomes, 2),
                            p->results[i] ? node_outcome(p->results[i]) : asq_value_null());
    if (!check_outcomes(p->check, p->outcomes))
        return fail(p, "", check_why(p->check));
    p->phase = LOGS;
    p->since_ms = sup_now_ms();
    return PLAY_GOES_ON;
}

/* ---- logs ---- */

static int ask_for_logs(struct play *p)
{
    int rc = 0;

    for (int i = 0; i < p->g->nagents && rc == 0; i++)
        if ((rc = asq_get_async(p->agents[i], NODE_LOG, &p->logs[i])) == 0)
            rc = expect(p, p->logs[i]);
    return rc;
}

/* Checks the logs, which have arrived. */
static enum play_state look_at_logs(struct play *p)
{
    bool all = true;

    for (int i = 0; i < p->g->nagents; i++) {
        const asq_value *log = NULL;
        int fits, rc = asq_result_value(p->logs[i], &log);
        if (rc < 0 && rc != ASQ_ENOATTR)
            return fail(p, "reading an agent's log", asq_result_error(p->logs[i])->message);
        if ((fits = check_log(p->check, i, log)) < 0 || (fits == 0 && p->phase == LOGS_AGAIN))
            return fail(p, p->phase == LOGS ? "" : "later", check_why(p->check));
        all &= fits;
    }
    for (int i = 0; i < p->g->nagents; i++) {
        asq_result_free(p->logs[i]);
        p->logs[i] = NULL;
    }
    if (!all) {
        fail(p, "still missing", check_why(p->check)); /* message if this does not change */
        p->not_before_ms = sup_now_ms() + READ_AGAIN_MS;
        return PLAY_GOES_ON;
    }
    *p->why = '\0';
    p->phase = p->phase == LOGS ? REST : ENDED;
    p->not_before_ms = sup_now_ms() + p->rest_ms;
    return PLAY_GOES_ON;
}

static enum play_state end(struct play *p)
{
    for (int i = 0; i < p->g->nagents; i++) {
        int rc = asq_delete(p->agents[i], sup_limit_ms());
        if (rc < 0)
            return fail(p, "deleting an agent", asq_errmsg(p->h));
    }
    return PLAY_ENDED;
}

enum play_state play_go_on(struct play *p)
{
    enum play_state state = PLAY_GOES_ON;
    int rc = 0;

    if (p->phase == CALLS && p->pending) /* readers see a call's runs while it runs */
        read_emits(p, &rc);
    if (rc < 0)
        return fail(p, asq_error_name(rc), asq_errmsg(p->h));

    while (state == PLAY_GOES_ON && p->pending == 0 && sup_now_ms() >= p->not_before_ms) {
        if (p->phase == CALLS) {
            state = go_on_calling(p);
        } else if (p->phase == REST) {
            p->phase = LOGS_AGAIN;
            p->since_ms = sup_now_ms();
        } else if (p->phase == ENDED) {
            state = end(p);
        } else if (p->logs[0]) {
            state = look_at_logs(p);
        } else if (ask_for_logs(p) < 0) {
            state = fail(p, "asking for logs", asq_errmsg(p->h));
        }
    }
    return state;
}

bool play_is_resting(const struct play *p)
{
    return p->phase >= REST;
}

int64_t play_since_ms(const struct play *p)
{
    return p->since_ms;
}

const char *play_why(const struct play *p)
{
    return p->why;
}

void play_print(const struct play *p, const char *name, FILE *out)
{
    const struct node *n = &p->g->nodes[0];
    char *json;

    fprintf(out, "%s:\n", name);
    for (size_t i = 0; i < n->nsteps && i < p->step + 1; i++) {
        if (!p->results[i])
            continue;
        asq_value *v = asq_result_done(p->results[i]) ? node_outcome(p->results[i]) : NULL;
        if (!v || asq_to_json(v, 0, &json) < 0)
            json = strdup("not there");
        fprintf(out, "  $%d: %s %s\n", n->steps[i].slot, json,
                asq_result_error(p->results[i])->message);
        free(json);
        asq_value_free(v);
    }
}

void play_count(const struct play *p, struct figures *f)
{
    check_count(p->check, f);
    f->agains += p->agains;
}
