/*
 * caller.c: one caller's process. It makes the calls of one workload, a few at a time, and writes
 * the history. SIGTERM ends the calling; the process ends when all its calls have ended. The parent
 * decides when that takes too long.
 */
#include "chaos.h"
#include "history.h"

#include <asqueue.h>

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { WINDOW = 24, MAX_AGENTS = 32, TREE_DEPTH = 3, TREE_CHILDREN = 3 };

static struct {
    asq *h;
    asq_agent *agents[MAX_AGENTS];
    int workload, index, n_agents;
    struct rng rng;
    unsigned next; /* op */
    int unfinished;
    unsigned sends[64]; /* not accepted yet */
    int n_sends;
} self;

static volatile sig_atomic_t stopping;

static void on_term(int sig)
{
    (void) sig;
    stopping = 1;
}

struct waiting {
    unsigned op;
    bool has_expected, want_text, by_intent, tip;
    int64_t expected;
    char text[64];
};

static bool is_unknown(int code)
{
    switch (code) {
    case ASQ_EUNKNOWN:
    case ASQ_ECLOSED:
    case ASQ_EEXPIRED:
    case ASQ_EINTERRUPTED:
    case ASQ_ETIMEOUT: return true;
    }
    return false;
}

static void call_ended(asq_result *r, void *user)
{
    struct waiting *w = user;
    const char *text;
    int64_t n = 0;
    int rc = asq_result_wait(r, 0);

    if (rc == 0 && w->tip) {
        const asq_value *tip;
        const char *run = "";
        if (asq_result_value(r, &tip) == 0 && asq_unpack(tip, "[I, s]", &n, &run) == 0 && n > 0)
            history_line("r %s %" PRId64 " %s", w->text, n, run);
        history_line("o %d.%u", self.index, w->op);
    } else if (rc == 0 && w->by_intent) {
        history_line("b %d.%u it was to fail, and succeeded", self.index, w->op);
    } else if (rc == 0 && w->want_text) {
        if (asq_result_string(r, &text) < 0 || strcmp(text, w->text) != 0)
            history_line("b %d.%u not the value expected: %s", self.index, w->op, w->text);
        else
            history_line("o %d.%u", self.index, w->op);
    } else if (rc == 0) {
        if (asq_result_int(r, &n) < 0 || (w->has_expected && n != w->expected))
            history_line("b %d.%u the value is %" PRId64 ", not %" PRId64, self.index, w->op, n,
                         w->expected);
        else
            history_line("o %d.%u %" PRId64, self.index, w->op, n);
    } else if (rc == ASQ_EUSER(9) || rc == ASQ_EDIVERGED) {
        history_line("b %d.%u %s", self.index, w->op, asq_result_error(r)->message);
    } else {
        history_line("%c %d.%u %d %s: %s", is_unknown(rc) ? 'u' : 'f', self.index, w->op, rc,
                     asq_error_name(rc) ? asq_error_name(rc) : "", asq_result_error(r)->message);
    }
    self.unfinished--;
    asq_result_free(r);
    free(w);
}

/* Notes that a call was made, or refused at once. */
static void called(int rc, asq_result *r, struct waiting *w)
{
    if (rc < 0) {
        history_line("f %d.%u %d %s", self.index, w->op, rc, asq_errmsg(self.h));
        free(w);
        return;
    }
    self.unfinished++;
    asq_result_then(r, call_ended, w);
}

static struct waiting *waiting_new(unsigned op)
{
    struct waiting *w = calloc(1, sizeof *w);

    if (!w)
        sup_fail("out of memory");
    w->op = op;
    return w;
}

static int any_agent(void)
{
    return (int) rng_below(&self.rng, (uint32_t) self.n_agents);
}

static const char *id_of(int agent)
{
    return asq_agent_id(self.agents[agent]);
}

static void call_counter(void)
{
    int a = any_agent();
    struct waiting *w = waiting_new(self.next++);
    asq_result *r = NULL;
    int rc;

    history_line("i %d.%u counter %s:+", self.index, w->op, id_of(a));
    rc =
        asq_call(self.agents[a], rng_below(&self.rng, 2) ? "add" : "add_nonblocking", &r, "[i]", 1);
    called(rc, r, w);
}

/* Notes the last entry of a log: what was seen of a state must stay in it. */
static void call_tip(void)
{
    int a = any_agent();
    struct waiting *w = waiting_new(self.next++);
    asq_result *r = NULL;
    int rc;

    w->tip = true;
    snprintf(w->text, sizeof w->text, "%s", id_of(a));
    history_line("i %d.%u append", self.index, w->op);
    rc = asq_call(self.agents[a], "tip", &r, NULL);
    called(rc, r, w);
}

static void call_append(void)
{
    static const char *const methods[] = { "append", "append", "append_nonblocking",
                                           "append_and_fail" };
    uint32_t kind = rng_below(&self.rng, 16);
    const char *method = methods[kind == 0 ? 3 : kind % 3];
    if (kind == 3) {
        call_tip();
        return;
    }
    int a = any_agent(),
        ms = kind == 1 || kind == 2 ? (int) rng_below(&self.rng, 3 * LEASE_MS) / 2 : 0;
    struct waiting *w = waiting_new(self.next++);
    asq_result *r = NULL;
    int rc;

    w->want_text = true;
    w->by_intent = kind == 0;
    snprintf(w->text, sizeof w->text, "a%d.%u", self.index, w->op);
    history_line("i %d.%u append %s:%s", self.index, w->op, id_of(a), w->text);
    rc = ms ? asq_call(self.agents[a], "append", &r, "[s, i]", w->text, ms)
            : asq_call(self.agents[a], method, &r, "[s]", w->text);
    called(rc, r, w);
}

/* Reads all accounts. The audit keeps earlier accounts busy while it reads the next one, so the sum
 * is that of one moment. */
static void call_audit(void)
{
    struct waiting *w = waiting_new(self.next++);
    asq_value *rest = asq_value_list();
    asq_result *r = NULL;
    int rc;

    for (int i = 1; i < self.n_agents; i++)
        asq_list_append(rest, asq_value_string(id_of(i)));
    history_line("i %d.%u bank", self.index, w->op);
    rc = asq_call(self.agents[0], "audit", &r, "[o]", rest);
    called(rc, r, w);
}

/* Transfers always go from the lower account, so that no two of them wait for each other. */
static void call_bank(void)
{
    int from = any_agent(), to = any_agent(), amount = (int) rng_below(&self.rng, 100) - 50;
    struct waiting *w;
    asq_result *r = NULL;
    int rc;

    if (rng_below(&self.rng, 16) == 0) {
        call_audit();
        return;
    }
    if (from == to)
        to = (from + 1) % self.n_agents;
    if (from > to) {
        int swap = from;
        from = to;
        to = swap;
    }
    w = waiting_new(self.next++);
    w->has_expected = true;
    w->expected = amount;
    snprintf(w->text, sizeof w->text, "b%d.%u", self.index, w->op);
    history_line("i %d.%u bank %s:%s %s:%s", self.index, w->op, id_of(from), w->text, id_of(to),
                 w->text);
    rc = asq_call(self.agents[from], "transfer", &r, "[s, s, i]", id_of(to), w->text, amount);
    called(rc, r, w);
}

/* Returns the children [agent, item, mode, children] of a node on agent `at`: on higher agents
 * only. */
static asq_value *tree_children(unsigned op, int at, int depth, int mode, int *node, char *items,
                                size_t size, int64_t *ret_waited)
{
    asq_value *list = asq_value_list();
    uint32_t n = depth > 0 ? rng_below(&self.rng, TREE_CHILDREN + 1) : 0;

    for (uint32_t i = 0; i < n && at + 1 < self.n_agents; i++) {
        int child = at + 1 + (int) rng_below(&self.rng, (uint32_t) (self.n_agents - at - 1));
        int child_mode = (int) rng_below(&self.rng, 5) % 3;
        int64_t below = 1;
        char item[48];
        size_t used = strlen(items);

        snprintf(item, sizeof item, "t%d.%u.%d", self.index, op, ++*node);
        snprintf(items + used, size - used, " %s:%s", id_of(child), item);
        asq_value *sub = tree_children(op, child, depth - 1, child_mode, node, items, size, &below);
        asq_list_append(list, asq_pack("[s, s, i, o]", id_of(child), item, child_mode, sub));
        if (mode != 2)
            *ret_waited += below;
    }
    return list;
}

static void call_tree(void)
{
    char items[6000] = "";
    int node = 0, a = (int) rng_below(&self.rng, (uint32_t) self.n_agents / 2);
    int mode = (int) rng_below(&self.rng, 5) % 3;
    struct waiting *w = waiting_new(self.next++);
    asq_value *children;
    asq_result *r = NULL;
    int rc;

    w->has_expected = true;
    w->expected = 1;
    children = tree_children(w->op, a, TREE_DEPTH, mode, &node, items, sizeof items, &w->expected);
    snprintf(w->text, sizeof w->text, "t%d.%u.0", self.index, w->op);
    history_line("i %d.%u tree %s:%s%s", self.index, w->op, id_of(a), w->text, items);
    rc = asq_call(self.agents[a], "tree", &r, "[s, i, o]", w->text, mode, children);
    called(rc, r, w);
}

/* Sends are accepted when Redis has accepted all of them. asq_flush does not name the refused
 * sends, and the owner may refuse a resent one later. */
static void settle_sends(void)
{
    int rc = asq_flush(self.h, 100);

    if (rc == ASQ_ETIMEOUT)
        return;
    if (rc < 0)
        history_line("t %lu", strtoul(asq_errmsg(self.h), NULL, 10)); /* "3 calls without …" */
    for (int i = 0; i < self.n_sends; i++)
        if (rc == 0)
            history_line("o %d.%u", self.index, self.sends[i]);
        else
            history_line("u %d.%u %d %s", self.index, self.sends[i], rc, asq_errmsg(self.h));
    self.n_sends = 0;
}

static void call_send(void)
{
    int a = any_agent(), rc;
    unsigned op;
    char item[48];

    if (self.n_sends == sizeof self.sends / sizeof *self.sends)
        return;
    op = self.next++;
    snprintf(item, sizeof item, "s%d.%u", self.index, op);
    history_line("i %d.%u send %s:%s", self.index, op, id_of(a), item);
    rc = asq_send(self.agents[a], "append", "[s]", item);
    if (rc < 0)
        history_line("f %d.%u %d %s", self.index, op, rc, asq_errmsg(self.h));
    else
        self.sends[self.n_sends++] = op;
}

/* Makes two calls. The second one has the first one's result as an argument. */
static void call_future(void)
{
    int a = any_agent(), b = any_agent(), ms = (int) rng_below(&self.rng, 8) ? 0 : 200;
    struct waiting *first = waiting_new(self.next++), *second = waiting_new(self.next++);
    asq_result *r, *after;
    int rc;

    first->want_text = second->want_text = true;
    snprintf(first->text, sizeof first->text, "f%d.%u", self.index, first->op);
    snprintf(second->text, sizeof second->text, "f%d.%u", self.index, second->op);
    history_line("i %d.%u future %s:%s", self.index, first->op, id_of(a), first->text);
    history_line("i %d.%u future %s:%s", self.index, second->op, id_of(b), second->text);
    if ((rc = asq_call(self.agents[a], "append", &r, "[s, i]", first->text, ms)) < 0) {
        called(rc, NULL, first);
        called(rc, NULL, second);
        return;
    }
    rc =
        asq_call(self.agents[b], "append_after", &after, "[r, s, s]", r, first->text, second->text);
    called(0, r, first);
    called(rc, after, second);
}

/* Now and then the call sleeps for a second or more, which is durable. */
static void call_step(void)
{
    int a = any_agent(), ms = rng_below(&self.rng, 8) ? 0 : (int) rng_below(&self.rng, 1500);
    struct waiting *w = waiting_new(self.next++);
    asq_result *r = NULL;
    int rc;

    w->want_text = true;
    snprintf(w->text, sizeof w->text, "p%d.%u", self.index, w->op);
    history_line("i %d.%u step %s:%s", self.index, w->op, id_of(a), w->text);
    rc = asq_call(self.agents[a], "pay", &r, "[s, i]", w->text, ms);
    called(rc, r, w);
}

/* The lower half of the agents makes promises, and the upper half settles them, so that no calls
 * wait for each other. */
static void call_promise(void)
{
    int half = self.n_agents / 2, a = any_agent() % half;
    struct waiting *w = waiting_new(self.next++);
    asq_result *r = NULL;
    int rc;

    w->want_text = true;
    snprintf(w->text, sizeof w->text, "r%d.%u", self.index, w->op);
    history_line("i %d.%u promise %s:%s", self.index, w->op, id_of(a), w->text);
    rc = asq_call(self.agents[a], "promised", &r, "[s, s, s]", w->text,
                  id_of(half + any_agent() % half), id_of(half + any_agent() % half));
    called(rc, r, w);
}

/* ---- progress ---- */

/* A call whose values are read while it runs. */
static struct reading {
    asq_result *r; /* NULL: free */
    struct waiting *w;
    int64_t n, next; /* values that it emits; number of the next one */
    char run[40];    /* that emits them; "": none has yet */
    bool wrong;
} readings[WINDOW];

static void call_progress(void)
{
    int a = any_agent(), ms = rng_below(&self.rng, 3) ? 0 : 1 + (int) rng_below(&self.rng, 150);
    struct reading *reading = readings;
    asq_result *r = NULL;
    int rc;

    while (reading->r)
        reading++; /* fewer than WINDOW calls are unfinished */
    *reading = (struct reading){ .w = waiting_new(self.next++), .n = rng_below(&self.rng, 40) };
    reading->w->want_text = true;
    snprintf(reading->w->text, sizeof reading->w->text, "e%d.%u", self.index, reading->w->op);
    history_line("i %d.%u progress %s:%s", self.index, reading->w->op, id_of(a), reading->w->text);
    rc = asq_call(self.agents[a], "emit", &r, "[s, I, i]", reading->w->text, reading->n, ms);
    if (rc < 0) {
        called(rc, r, reading->w);
        return;
    }
    self.unfinished++;
    reading->r = r;
}

static void wrong_value(struct reading *p, const char *what)
{
    if (!p->wrong)
        history_line("b %d.%u %s, where value %" PRId64 " of run %s was next", self.index, p->w->op,
                     what, p->next, p->run);
    p->wrong = true;
}

/* Within a run each value comes once, in order; another run is announced. */
static void read_value(struct reading *p, const asq_value *v)
{
    const char *run = "";
    int64_t i = -1;
    char text[120];

    asq_unpack(v, "[s, I]", &run, &i);
    snprintf(text, sizeof text, "value %" PRId64 " of run %s", i, run);
    if (i != p->next || (p->next && strcmp(run, p->run) != 0))
        wrong_value(p, text);
    snprintf(p->run, sizeof p->run, "%s", run);
    p->next = i + 1;
}

static void read_ended(struct reading *p)
{
    asq_result *r = p->r;

    p->r = NULL;
    if (asq_result_wait(r, 0) == 0 && p->next != p->n)
        wrong_value(p, "the end");
    if (!p->wrong) {
        call_ended(r, p->w);
        return;
    }
    self.unfinished--;
    asq_result_free(r);
    free(p->w);
}

static void read_progress(void)
{
    for (struct reading *p = readings; p < readings + WINDOW; p++) {
        asq_value *v = NULL;
        int rc = 1;
        while (p->r && rc > 0) {
            rc = asq_result_next(p->r, &v, 0);
            if (rc == ASQ_NEXT_VALUE)
                read_value(p, v);
            else if (rc == ASQ_NEXT_AGAIN)
                p->next = 0;
            else if (rc == ASQ_NEXT_MISSED)
                wrong_value(p, "a gap");
            else if (rc == ASQ_NEXT_END)
                read_ended(p);
            asq_value_free(v);
            v = NULL;
        }
    }
}

/* ---- timers ---- */

/* Gets the time as Redis has it, whose clock does not jump: past clock_shim.c. */
static int64_t true_ms(void)
{
    struct timespec t = { 0, 0 };

    syscall(SYS_clock_gettime, CLOCK_REALTIME, &t);
    return (int64_t) t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* Sets a timer for once, soon. It must append its item once, whatever dies meanwhile. */
static void call_timer(void)
{
    asq_timer timer = ASQ_TIMER_INIT;
    int a = any_agent(), rc;
    unsigned op = self.next++;
    char item[48];

    snprintf(item, sizeof item, "m%d.%u", self.index, op);
    history_line("i %d.%u timer %s:%s", self.index, op, id_of(a), item);
    timer.at_ms = true_ms() + rng_below(&self.rng, 3000);
    rc = asq_schedule(self.agents[a], item, &timer, "append", "[s]", item);
    if (rc == 0)
        history_line("o %d.%u", self.index, op);
    else
        history_line("%c %d.%u %d %s", is_unknown(rc) ? 'u' : 'f', self.index, op, rc,
                     asq_errmsg(self.h));
}

static void (*const calls[WORKLOADS])(void) = { call_counter,  call_append, call_bank, call_tree,
                                                call_send,     call_future, call_step, call_promise,
                                                call_progress, call_timer };

void caller_run(const char *url, const char *history, int workload, int index, uint64_t seed,
                int rate, int wait_replicas)
{
    asq_options options = ASQ_OPTIONS_INIT;
    int64_t next_ms;
    char err[512] = "", name[64];
    int rc;

    signal(SIGTERM, on_term);
    self.workload = workload;
    self.index = index;
    self.n_agents = workload_agents[workload];
    self.rng = (struct rng){ seed };
    history_open(history);
    options.wait_replicas = (uint32_t) wait_replicas;
    while ((rc = asq_open(url, &options, &self.h, err, sizeof err)) < 0 && !stopping)
        sup_sleep_ms(100); /* Redis is away */
    if (rc < 0)
        _exit(0);
    for (int i = 0; i < self.n_agents; i++) {
        agent_name(name, sizeof name, workload, i);
        if (asq_attach(self.h, name, &self.agents[i]) < 0)
            sup_fail("asq_attach: %s", asq_errmsg(self.h));
    }
    if (workload == TIMER)
        asq_set_timeout(self.h, 5000); /* so that SIGTERM is not ignored for long */
    next_ms = sup_now_ms();
    while (!stopping) {
        int64_t now = sup_now_ms();
        if (now >= next_ms && self.unfinished < WINDOW) {
            calls[workload]();
            next_ms += 1000 / rate;
            if (next_ms < now - 1000)
                next_ms = now;
        } else {
            asq_poll(self.h, self.unfinished < WINDOW ? next_ms - now : 100);
        }
        if (self.n_sends > 0)
            settle_sends();
        read_progress();
    }
    while (self.unfinished > 0 || self.n_sends > 0) {
        asq_poll(self.h, 20);
        settle_sends();
        read_progress();
    }
    if (workload == SEND) {
        /* Calls run in order, so after these all refusals have been reported. */
        for (int i = 0; i < self.n_agents; i++)
            if (asq_call_wait(self.agents[i], "get", NULL, NULL) < 0)
                _exit(0);
        settle_sends();
        history_line("e");
    }
    asq_close(self.h);
    _exit(0);
}
