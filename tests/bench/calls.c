/*
 * calls.c: a client that makes a given number of calls of one kind, and ends. For measurements of a
 * whole process, as by instructions.sh, and of lists and sleeps, as by lists.sh and sleepers.sh,
 * for which it makes agents, or calls whose results it does not await.
 */
#include <asqueue.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BATCH = 64, AGENTS = 1000, IN_FLIGHT = 1024, TIMEOUT_MS = 600000, SLEEP_MS = 3600000 };

static asq *h;
static asq_agent *agents[AGENTS];
static char payload[100];
static long left, in_flight;

static void check(int rc)
{
    if (rc >= 0)
        return;
    fprintf(stderr, "calls: %s\n", asq_errmsg(h));
    exit(1);
}

/* Makes agents of one tag, and so of one partition: packed calls make one entry. */
static void make_agents(size_t n, const char *format)
{
    static char ids[AGENTS][32];
    static const char *list[AGENTS];
    for (size_t i = 0; i < n; i++) {
        snprintf(ids[i], sizeof ids[i], "%s%zu", format, i);
        list[i] = ids[i];
    }
    check(asq_create_many(h, "Bench", n, list, NULL, agents));
    for (size_t i = 0; i < n; i++)
        check(asq_ready(agents[i], TIMEOUT_MS));
}

static void packed(bool broadcast)
{
    asq_result *results[BATCH];
    make_agents(BATCH, "{tag}");
    for (; left > 0; left -= BATCH) {
        if (broadcast) {
            check(asq_broadcast(agents, BATCH, "noop", asq_pack("[y#]", payload, sizeof payload),
                                results));
        } else {
            asq_cork(h);
            for (size_t i = 0; i < BATCH; i++)
                check(asq_call(agents[i], "noop", &results[i], "[y#]", payload, sizeof payload));
            check(asq_uncork(h));
        }
        check(asq_wait_all(results, BATCH, TIMEOUT_MS));
        for (size_t i = 0; i < BATCH; i++)
            asq_result_free(results[i]);
    }
}

static void call_one(void);

static void on_result(asq_result *r, void *user)
{
    (void) user;
    check(asq_result_error(r)->code);
    asq_result_free(r);
    in_flight--;
    if (left > 0)
        call_one();
}

static void call_one(void)
{
    static unsigned long random = 88172645463325252u;
    asq_result *r;
    random ^= random << 13;
    random ^= random >> 7;
    random ^= random << 17;
    check(asq_call(agents[random % AGENTS], "noop", &r, "[y#]", payload, sizeof payload));
    check(asq_result_then(r, on_result, NULL));
    left--;
    in_flight++;
}

static void one_by_one(void)
{
    make_agents(AGENTS, "agent");
    while (left > 0 && in_flight < IN_FLIGHT)
        call_one();
    while (in_flight > 0)
        check(asq_poll(h, TIMEOUT_MS));
}

static void in_sync(void)
{
    make_agents(1, "agent");
    for (; left > 0; left--)
        check(asq_call_wait(agents[0], "noop", NULL, "[y#]", payload, sizeof payload));
}

/* Creates agents over all partitions, many at a time. */
static void create(void)
{
    for (long first = 0; first < left; first += AGENTS) {
        char format[32];
        snprintf(format, sizeof format, "agent-%ld-", first / AGENTS);
        make_agents(first + AGENTS < left ? AGENTS : (size_t) (left - first), format);
        for (size_t i = 0; i < AGENTS; i++) {
            asq_agent_free(agents[i]);
            agents[i] = NULL;
        }
    }
}

/* Makes calls to agents that `create` has made, and leaves them; each is an entry of its own. They
 * count, or sleep for an hour first. */
static void leave(bool asleep)
{
    for (long i = 0; i < left; i++) {
        char id[48];
        asq_agent *agent;
        snprintf(id, sizeof id, "agent-%ld-%ld", i / AGENTS, i % AGENTS);
        check(asq_attach(h, id, &agent));
        if (asleep)
            check(asq_send(agent, "sleep", "[i]", SLEEP_MS));
        else
            check(asq_send(agent, "noop", "[y#]", payload, sizeof payload));
        asq_agent_free(agent);
        if (i % IN_FLIGHT == 0)
            check(asq_flush(h, TIMEOUT_MS));
    }
    check(asq_flush(h, TIMEOUT_MS));
}

int main(int argc, char **argv)
{
    char err[300];
    if (argc != 4 || (left = atol(argv[3])) <= 0) {
        fprintf(stderr, "usage: calls URL corked|broadcast|async|sync|create|leave|sleep N\n");
        return 2;
    }
    if (asq_open(argv[1], NULL, &h, err, sizeof err) < 0) {
        fprintf(stderr, "calls: %s\n", err);
        return 1;
    }
    asq_set_timeout(h, TIMEOUT_MS);
    memset(payload, 'x', sizeof payload);
    if (strcmp(argv[2], "corked") == 0)
        packed(false);
    else if (strcmp(argv[2], "broadcast") == 0)
        packed(true);
    else if (strcmp(argv[2], "async") == 0)
        one_by_one();
    else if (strcmp(argv[2], "create") == 0)
        create();
    else if (strcmp(argv[2], "leave") == 0)
        leave(false);
    else if (strcmp(argv[2], "sleep") == 0)
        leave(true);
    else
        in_sync();
    for (size_t i = 0; i < AGENTS; i++)
        asq_agent_free(agents[i]);
    asq_close(h);
    return 0;
}
